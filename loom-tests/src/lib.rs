//! Loom models of the code that ships: one scenario each, under `tests/`.
//!
//! Run them with `ci/loom.sh`; without `--cfg loom` there are none.

/// Explores every interleaving of `scenario` with up to three preemptions, or `LOOM_MAX_PREEMPTIONS`.
#[cfg(loom)]
pub fn model(scenario: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(scenario);
}
