//! The one door to atomics: `std`'s, or loom's under `--cfg loom`.
//!
//! Nothing else in the crate names `std::sync::atomic` (`tests/house.rs` looks), so every ordering that
//! ships is an ordering that the models in `loom-tests` explore.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

/// The cheap half of the asymmetric fence: orders nothing in the processor, only in the compiler.
///
/// It is sound only against a peer that runs [`crate::sys::heavy_fence`] between its store and its
/// load. Loom has no asymmetric fences, so a model runs a full fence on both sides.
#[inline(always)]
pub(crate) fn light_fence() {
    #[cfg(loom)]
    fence(Ordering::SeqCst);
    #[cfg(not(loom))]
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
}

/// A store to a word that another one may swap at the same time. Loom knows no order of two stores that nothing
/// orders, where the language has one; of swaps it does, so there it is one.
#[inline(always)]
pub(crate) fn store_among_swaps(word: &AtomicU64, value: u64, ordering: Ordering) {
    #[cfg(loom)]
    word.swap(value, ordering);
    #[cfg(not(loom))]
    word.store(value, ordering);
}

/// One turn of a busy wait. Under loom it lets another thread run, or the model would never end.
#[inline(always)]
pub(crate) fn spin_hint() {
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(not(loom))]
    std::hint::spin_loop();
}

/// Stands in a model for a word of payload, so that loom reports two accesses to it that nothing orders:
/// the words themselves are atomics, of which loom knows no reordering of a read and a later write.
#[cfg(loom)]
#[derive(Debug)]
pub(crate) struct Watch(loom::cell::UnsafeCell<()>);

#[cfg(loom)]
impl Watch {
    pub(crate) fn new() -> Watch {
        Watch(loom::cell::UnsafeCell::new(()))
    }

    pub(crate) fn read(&self) {
        self.0.with(|_| ());
    }

    pub(crate) fn write(&self) {
        self.0.with_mut(|_| ());
    }
}

/// Alignment that keeps two words out of each other's way: one line and its prefetched neighbour.
///
/// The size is part of the shared layout, so it is fixed here rather than taken from a crate that
/// pads differently on each target.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Line<T>(pub(crate) T);

impl<T> std::ops::Deref for Line<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}
