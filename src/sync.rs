//! The one door to atomics: `std`'s, or loom's under `--cfg loom`.
//!
//! Nothing else in the crate names `std::sync::atomic` (`tests/house.rs` looks), so every ordering that
//! ships is an ordering that the models in `loom-tests` explore.

#[cfg(loom)]
pub(crate) use self::weakened::{
    AtomicU32, AtomicU64, Fences, fence, fences, reads_touch, set_fences,
};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::Ordering;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

/// The cheap half of the asymmetric fence: orders nothing in the processor, only in the compiler.
///
/// It is sound only against a peer that runs [`crate::sys::heavy_fence`] between its store and its
/// load. Loom has no asymmetric fences, so a model runs a full fence on both sides, see [`Fences`].
#[inline(always)]
#[cfg_attr(loom, track_caller)]
pub(crate) fn light_fence() {
    #[cfg(loom)]
    if fences() != Fences::Naps {
        fence(Ordering::SeqCst);
    }
    #[cfg(not(loom))]
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
}

/// A store to a word that another one may swap at the same time. Loom knows no order of two stores that nothing
/// orders, where the language has one; of swaps it does, so there it is one.
#[inline(always)]
#[cfg_attr(loom, track_caller)]
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

/// Loom's atomics, but that the one site which `RINGLANE_WEAKEN=FILE:LINE` names is a step weaker than it says:
/// what `ci/weaken.sh` does, without building anything anew.
#[cfg(loom)]
#[allow(missing_docs, unreachable_pub, reason = "loom has the docs; models reach it")]
pub(crate) mod weakened {
    use loom::sync::atomic::{self, Ordering};
    use std::cell::Cell;
    use std::panic::Location;
    use std::sync::{Once, OnceLock};

    #[track_caller]
    fn weaken(order: Ordering) -> Ordering {
        static SITE: OnceLock<Option<(String, u32)>> = OnceLock::new();
        static SAID: Once = Once::new();
        let site = SITE.get_or_init(|| {
            let site = std::env::var("RINGLANE_WEAKEN").ok()?;
            let (file, line) = site.split_once(':').expect("FILE:LINE");
            Some((file.to_owned(), line.parse().expect("a number of a line")))
        });
        let (here, Some((file, line))) = (Location::caller(), site) else { return order };
        if here.line() != *line || !here.file().ends_with(file.as_str()) {
            return order;
        }
        SAID.call_once(|| eprintln!("weakened: {order:?}"));
        if order == Ordering::SeqCst { Ordering::AcqRel } else { Ordering::Relaxed }
    }

    /// Beside each word, for loom's choice of what to explore. Of each word it remembers the last access only, and for it
    /// two reads do not touch each other; so the read with which a thread prepares its compare-and-swap hides
    /// the one that another made before, and that this one might come after the swap is never tried. So reads may
    /// touch each other here.
    #[derive(Debug, Default)]
    struct Met(atomic::AtomicU32);

    impl Met {
        fn meet(&self) {
            if READS_TOUCH.get() {
                self.0.store(0, Ordering::Relaxed);
            }
        }
    }

    macro_rules! atomic {
        ($name:ident, $value:ty) => {
            #[derive(Debug, Default)]
            pub struct $name(atomic::$name, Met);

            impl $name {
                pub fn new(value: $value) -> Self {
                    $name(atomic::$name::new(value), Met::default())
                }

                #[track_caller]
                pub fn load(&self, order: Ordering) -> $value {
                    self.1.meet();
                    self.0.load(weaken(order))
                }

                #[track_caller]
                pub fn store(&self, value: $value, order: Ordering) {
                    self.0.store(value, weaken(order));
                }

                #[track_caller]
                pub fn swap(&self, value: $value, order: Ordering) -> $value {
                    self.0.swap(value, weaken(order))
                }

                #[track_caller]
                pub fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                    self.0.fetch_add(value, weaken(order))
                }

                #[track_caller]
                pub fn fetch_max(&self, value: $value, order: Ordering) -> $value {
                    self.0.fetch_max(value, weaken(order))
                }

                #[track_caller]
                pub fn compare_exchange(
                    &self,
                    seen: $value,
                    new: $value,
                    done: Ordering,
                    failed: Ordering,
                ) -> Result<$value, $value> {
                    self.0.compare_exchange(seen, new, weaken(done), failed)
                }
            }
        };
    }
    atomic!(AtomicU32, u32);
    atomic!(AtomicU64, u64);

    #[track_caller]
    pub(crate) fn fence(order: Ordering) {
        let weaker = weaken(order);
        if weaker != Ordering::Relaxed {
            atomic::fence(weaker);
        }
    }

    /// What the kernel of a model has of the asymmetric fence.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum Fences {
        /// Both halves, of which the light one is a full fence, for want of one that is not.
        #[default]
        Both,
        /// Nothing: wakers know that, and run full fences.
        Neither,
        /// Wakers run without fences, and sleepers are refused the heavy one: they may only nap.
        Naps,
    }

    thread_local! {
        // All threads of a model are one to the system.
        static FENCES: Cell<Fences> = const { Cell::new(Fences::Both) };
        static READS_TOUCH: Cell<bool> = const { Cell::new(false) };
    }

    pub(crate) fn fences() -> Fences {
        FENCES.get()
    }

    pub(crate) fn reads_touch(yes: bool) {
        READS_TOUCH.set(yes);
    }

    pub(crate) fn set_fences(fences: Fences) {
        FENCES.set(fences);
    }
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
