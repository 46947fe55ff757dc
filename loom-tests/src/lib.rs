//! Loom models of the code that ships: one scenario each, under `tests/`.
//!
//! Run them with `ci/loom.sh`; without `--cfg loom` there are none.

/// Explores every interleaving of `scenario` with up to three preemptions, or `LOOM_MAX_PREEMPTIONS`.
#[cfg(loom)]
pub fn model(scenario: impl Fn() + Sync + Send + 'static) {
    model_within(3, scenario);
}

/// The same with up to so many preemptions: for scenarios with more steps than others.
#[cfg(loom)]
pub fn model_within(preemptions: usize, scenario: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(scenario);
}
