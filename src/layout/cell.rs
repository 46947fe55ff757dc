//! The data of a call cell: one line, which both sides write in turn, and the server's copy of a request.
#![allow(unsafe_code, reason = "addresses words of the segment")]

use super::segment::Segment;
use crate::plain::{self, Plain};
use crate::sync::AtomicU64;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

const WORD: usize = size_of::<u64>();

/// Bytes from the line to the server's copy, for requests and replies of these sizes: the turn word and the
/// larger of the two, in pairs of cache lines, so that no processor fetches the copy along with the line.
pub(crate) const fn bytes_of(request: usize, reply: usize) -> usize {
    let larger = if request > reply { request } else { reply };
    let pairs = larger.saturating_add(WORD).div_ceil(128);
    pairs.saturating_mul(128)
}

/// The line: `turn word | request, or reply`. The word says whose turn it is, and that side may write. And
/// the copy, of the same shape, which the server alone writes: the reply goes where the request was, so a
/// server that dies meanwhile would take the request with it.
pub(crate) struct Exchange<Req, Rep> {
    /// Keeps the words mapped.
    #[cfg_attr(not(loom), expect(dead_code, reason = "only kept"))]
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

    /// The place of a value behind the so manieth word.
    ///
    /// # Safety
    /// The data has a whole `T` there, rounded up to words.
    #[inline(always)]
    unsafe fn place<T>(&self, word: usize) -> Place<'_, T> {
        Place {
            // SAFETY: within the data, by the contract.
            at: unsafe { self.at.add(word + 1) },
            #[cfg(loom)]
            watch: self.segment.watch(word),
            _cell: PhantomData,
        }
    }

    /// The place of a request.
    #[inline(always)]
    pub(crate) fn request(&self) -> Place<'_, Req> {
        // SAFETY: the line has room for the larger value, as `of` made sure.
        unsafe { self.place(0) }
    }

    /// The place of a reply.
    #[inline(always)]
    pub(crate) fn reply(&self) -> Place<'_, Rep> {
        // SAFETY: as above.
        unsafe { self.place(0) }
    }

    /// The place of the server's copy of a request.
    #[inline(always)]
    pub(crate) fn copy(&self) -> Place<'_, Req> {
        // SAFETY: the data has the stride twice, as its header's check made sure.
        unsafe { self.place(bytes_of(size_of::<Req>(), size_of::<Rep>()) / WORD) }
    }
}

/// Where a value lies. It is written word by word: a peer that breaks the rules may write it, too.
pub(crate) struct Place<'a, T> {
    at: NonNull<AtomicU64>,
    #[cfg(loom)]
    watch: &'a crate::sync::Watch,
    _cell: PhantomData<&'a T>,
}

impl<T: Plain> Place<'_, T> {
    /// Copies a value in.
    #[inline(always)]
    pub(crate) fn store(&self, value: &T) {
        #[cfg(loom)]
        self.watch.write();
        // SAFETY: whoever made the place vouched for a `T`, rounded up to words.
        unsafe { plain::store(self.at, value) }
    }

    /// Copies the value out.
    #[inline(always)]
    pub(crate) fn load(&self) -> T {
        #[cfg(loom)]
        self.watch.read();
        // SAFETY: as above.
        unsafe { plain::load(self.at) }
    }
}

impl<Req, Rep> fmt::Debug for Exchange<Req, Rep> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}
