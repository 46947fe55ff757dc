//! The data of a call cell: one line, which both sides write in turn, and the server's copy of a request.
#![allow(unsafe_code, reason = "addresses words of the segment")]

use super::segment::Segment;
use super::slots::stride_of;
use crate::plain::{self, Plain};
use crate::sync::AtomicU64;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

/// Bytes from the line to the server's copy, for requests and replies of these sizes: the turn word and the
/// larger of the two, in pairs of cache lines, so that no processor fetches the copy along with the line.
pub(crate) const fn bytes_of(request: usize, reply: usize) -> usize {
    let larger = if request > reply { request } else { reply };
    let bytes = stride_of(larger);
    if bytes > 128 { bytes.next_multiple_of(128) } else { 128 }
}

/// The line: `turn word | request, or reply`. The word says whose turn it is, and that side may write. And
/// the copy, of the same shape, which the server alone writes: the reply goes where the request was, so a
/// server that dies meanwhile would take the request with it.
pub(crate) struct Exchange<Req, Rep> {
    /// Keeps the words mapped.
    segment: Arc<Segment>,
    at: NonNull<AtomicU64>,
    _values: PhantomData<fn(Req) -> Rep>,
}

// SAFETY: the words are atomics, and the segment that holds them is Send and Sync.
unsafe impl<Req, Rep> Send for Exchange<Req, Rep> {}

impl<Req, Rep> Exchange<Req, Rep> {
    /// # Panics
    /// If the segment's cell is for other values: opening it checked that.
    pub(crate) fn of(segment: &Arc<Segment>) -> Self {
        let stride = bytes_of(size_of::<Req>(), size_of::<Rep>());
        assert!(segment.header().stride == stride as u64, "a cell for other values");
        Exchange { segment: Arc::clone(segment), at: segment.data(), _values: PhantomData }
    }

    /// The word that says whose turn it is, and which.
    #[inline(always)]
    pub(crate) fn turn(&self) -> &AtomicU64 {
        // SAFETY: the cell begins with its turn word, and `self` keeps the segment.
        unsafe { self.at.as_ref() }
    }

    /// The place of a request.
    #[inline(always)]
    pub(crate) fn request(&self) -> Slot<'_, Req> {
        // SAFETY: the cell has the stride of the larger value, as `of` made sure.
        unsafe { Slot::at(&self.segment, self.at, 0) }
    }

    /// The place of a reply.
    #[inline(always)]
    pub(crate) fn reply(&self) -> Slot<'_, Rep> {
        // SAFETY: as above.
        unsafe { Slot::at(&self.segment, self.at, 0) }
    }

    /// The place of the server's copy of a request.
    #[inline(always)]
    pub(crate) fn copy(&self) -> Slot<'_, Req> {
        let words = bytes_of(size_of::<Req>(), size_of::<Rep>()) / size_of::<u64>();
        // SAFETY: the data has the stride twice, as its header's check made sure.
        unsafe { Slot::at(&self.segment, self.at, words) }
    }
}

/// One place: `turn word | value`.
pub(crate) struct Slot<'a, T> {
    at: NonNull<AtomicU64>,
    #[cfg(loom)]
    watch: &'a crate::sync::Watch,
    _slots: PhantomData<&'a fn(T) -> T>,
}

impl<'a, T> Slot<'a, T> {
    /// The place that begins with the so manieth word of the data.
    ///
    /// # Safety
    /// The data, which begins at `data`, has `stride_of(size_of::<T>())` bytes at least from there.
    #[inline(always)]
    #[cfg_attr(not(loom), expect(unused_variables, reason = "a model has watches in it"))]
    pub(super) unsafe fn at(
        segment: &'a Segment,
        data: NonNull<AtomicU64>,
        word: usize,
    ) -> Slot<'a, T> {
        Slot {
            // SAFETY: within the data, by the contract.
            at: unsafe { data.add(word) },
            #[cfg(loom)]
            watch: segment.watch(word),
            _slots: PhantomData,
        }
    }
}

impl<T> Slot<'_, T> {
    #[inline(always)]
    fn value(&self) -> NonNull<AtomicU64> {
        // SAFETY: the value follows the turn word within the place.
        unsafe { self.at.add(1) }
    }
}

impl<T: Plain> Slot<'_, T> {
    /// Copies a value in.
    #[inline(always)]
    pub(crate) fn store(&self, value: &T) {
        #[cfg(loom)]
        self.watch.write();
        // SAFETY: the stride leaves a `T`, rounded up to words, behind the turn word.
        unsafe { plain::store(self.value(), value) }
    }

    /// Copies the value out.
    #[inline(always)]
    pub(crate) fn load(&self) -> T {
        #[cfg(loom)]
        self.watch.read();
        // SAFETY: the stride leaves a `T`, rounded up to words, behind the turn word.
        unsafe { plain::load(self.value()) }
    }
}

impl<Req, Rep> fmt::Debug for Exchange<Req, Rep> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}
