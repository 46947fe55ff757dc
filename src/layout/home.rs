//! Where the words of a ring are, whoever owns the memory: one object, or two.
#![allow(unsafe_code, reason = "keeps references to atomics beside what holds them")]

use super::part::{Part, Side};
use crate::shm::Wrap;
use crate::sync::AtomicU64;
use std::fmt::Debug;
use std::ptr::NonNull;
use std::sync::Arc;

/// The bytes of a ring of records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) at: NonNull<AtomicU64>,
    pub(crate) capacity: usize,
    pub(crate) wrap: Wrap,
}

/// Holds the words of one ring at the same addresses for as long as it is there.
pub(crate) trait Home: Debug + Send + Sync {
    /// The words that one side writes.
    fn part(&self, side: Side) -> &Part;

    /// The data, if the ring has records.
    fn bytes(&self) -> Extent;

    /// Stands for a word of the data in a model.
    #[cfg(loom)]
    fn watch(&self, word: usize) -> &crate::sync::Watch;
}

/// One end's view of the two parts, without a detour on each access.
#[derive(Debug)]
pub(crate) struct Parts {
    /// Keeps the parts mapped.
    _home: Arc<dyn Home>,
    own: NonNull<Part>,
    peer: NonNull<Part>,
}

// SAFETY: the parts are atomics, and the home that holds them is Send and Sync.
unsafe impl Send for Parts {}
// SAFETY: as above.
unsafe impl Sync for Parts {}

impl Parts {
    pub(crate) fn of(home: Arc<dyn Home>, side: Side) -> Parts {
        let own = NonNull::from(home.part(side));
        let peer = NonNull::from(home.part(side.other()));
        Parts { _home: home, own, peer }
    }

    #[inline(always)]
    pub(crate) fn own(&self) -> &Part {
        // SAFETY: it came from a reference into the home that `self` keeps.
        unsafe { self.own.as_ref() }
    }

    #[inline(always)]
    pub(crate) fn peer(&self) -> &Part {
        // SAFETY: it came from a reference into the home that `self` keeps.
        unsafe { self.peer.as_ref() }
    }
}
