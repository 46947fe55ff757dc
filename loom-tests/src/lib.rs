//! Loom models of the code that ships: one scenario each, under `tests/`.
//!
//! Run them with `ci/loom.sh`; without `--cfg loom` there are none.

/// Explores every interleaving of `scenario` with up to two preemptions, or `LOOM_MAX_PREEMPTIONS`.
///
/// # Panics
/// If there is one only: then the scenario shows nothing.
#[cfg(loom)]
pub fn model(scenario: impl Fn() + Sync + Send + 'static) {
    explore(true, 2, scenario);
}

/// The same with up to three preemptions, for scenarios that are short.
///
/// # Panics
/// As above.
#[cfg(loom)]
pub fn deep_model(scenario: impl Fn() + Sync + Send + 'static) {
    explore(true, 3, scenario);
}

/// The same with one preemption, for scenarios that are long and need no more.
///
/// # Panics
/// As above.
#[cfg(loom)]
pub fn shallow_model(scenario: impl Fn() + Sync + Send + 'static) {
    explore(true, 1, scenario);
}

/// The same for scenarios that are long, or without compare-and-swaps: with up to three preemptions, but without the
/// interleavings that loom leaves out, see `Met` in the library's `src/sync.rs`.
#[cfg(loom)]
pub fn coarse_model(scenario: impl Fn() + Sync + Send + 'static) {
    explore(false, 3, scenario);
}

#[cfg(loom)]
fn explore(all: bool, preemptions: usize, scenario: impl Fn() + Sync + Send + 'static) {
    use ringlane::model::{Fences, kernel, reads_touch};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.max_branches = 10_000;
    kernel(Fences::Both);
    reads_touch(all);
    let explored = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&explored);
    builder.check(move || {
        count.fetch_add(1, Relaxed);
        scenario();
    });
    let explored = explored.load(Relaxed);
    println!("{explored} interleavings");
    assert!(explored > 1, "one interleaving shows nothing");
}
