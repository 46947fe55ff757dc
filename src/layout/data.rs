//! The bytes of a record ring. Bounds are kept here and nowhere else.
#![allow(unsafe_code, reason = "addresses words of the segment")]

use super::home::Home;
use crate::plain;
use crate::shm::Wrap;
use crate::sync::AtomicU64;
#[cfg(loom)]
use crate::sync::Ordering;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

const WORD: usize = size_of::<u64>();

/// What records may be aligned to.
pub(crate) fn is_alignment(bytes: usize) -> bool {
    bytes == 8 || bytes == 64
}

/// Takes numbers, not references: what a panic on a fast path refers to would be kept in memory there.
#[cold]
#[inline(never)]
fn outside(offset: usize, len: usize) -> ! {
    panic!("{len} bytes at {offset} are outside of the ring");
}

/// The bytes of a record ring, by offset.
#[derive(Clone)]
pub(crate) struct Bytes {
    /// Keeps the words mapped.
    #[cfg_attr(not(loom), expect(dead_code, reason = "only kept"))]
    home: Arc<dyn Home>,
    at: NonNull<AtomicU64>,
    /// Bytes of the ring.
    capacity: usize,
    /// Bytes that have addresses: the capacity once or twice.
    reach: usize,
    wrap: Wrap,
}

// SAFETY: the words are atomics, bytes are only copied, and their home is Send and Sync.
unsafe impl Send for Bytes {}

impl Bytes {
    pub(crate) fn of(home: Arc<dyn Home>) -> Bytes {
        let super::home::Extent { at, capacity, wrap } = home.bytes();
        let reach = if wrap == Wrap::Mirror { 2 * capacity } else { capacity };
        Bytes { home, at, capacity, reach, wrap }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn wrap(&self) -> Wrap {
        self.wrap
    }

    /// The word at an offset below the capacity.
    #[inline(always)]
    pub(crate) fn word(&self, offset: usize) -> &AtomicU64 {
        if offset >= self.capacity || !offset.is_multiple_of(WORD) {
            outside(offset, WORD);
        }
        // SAFETY: the word lies within the data, just checked, and `self` keeps their home.
        unsafe { plain::word_at(self.at, offset / WORD) }
    }

    #[inline(always)]
    fn check(&self, offset: usize, len: usize) {
        let end = offset.checked_add(len);
        if end.is_none_or(|end| end > self.reach) {
            outside(offset, len);
        }
    }

    /// The address of `len` bytes at an offset, all of them within reach.
    #[cfg(not(loom))]
    #[inline(always)]
    pub(crate) fn address(&self, offset: usize, len: usize) -> NonNull<u8> {
        self.check(offset, len);
        // SAFETY: within the mapping, just checked.
        unsafe { self.at.cast::<u8>().add(offset) }
    }

    /// Copies bytes in at an offset.
    #[inline(always)]
    pub(crate) fn copy_in(&self, offset: usize, from: &[u8]) {
        #[cfg(not(loom))]
        {
            let to = self.address(offset, from.len());
            // SAFETY: `address` checked the range; a private slice cannot overlap the segment.
            unsafe { plain::copy(to.as_ptr(), from.as_ptr(), from.len()) };
        }
        #[cfg(loom)]
        self.each_byte(offset, from.len(), |index, word, shift| {
            let mut bytes = word.load(Ordering::Relaxed).to_ne_bytes();
            bytes[shift] = from[index];
            word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
            self.home.watch((offset + index) % self.capacity / WORD).write();
        });
    }

    /// Copies bytes out from an offset.
    #[inline(always)]
    pub(crate) fn copy_out(&self, offset: usize, to: &mut [u8]) {
        #[cfg(not(loom))]
        {
            let from = self.address(offset, to.len());
            // SAFETY: `address` checked the range; a private slice cannot overlap the segment.
            unsafe { plain::copy(to.as_mut_ptr(), from.as_ptr(), to.len()) };
        }
        #[cfg(loom)]
        self.each_byte(offset, to.len(), |index, word, shift| {
            to[index] = word.load(Ordering::Relaxed).to_ne_bytes()[shift];
            self.home.watch((offset + index) % self.capacity / WORD).read();
        });
    }

    /// Copies bytes out, in place of what `to` holds. If it is not `sure` that nobody writes meanwhile, what came
    /// counts only if the caller learns that.
    #[inline(always)]
    pub(crate) fn copy_to(&self, offset: usize, len: usize, to: &mut Vec<u8>, sure: bool) {
        let _ = sure;
        to.clear();
        #[cfg(not(loom))]
        {
            to.reserve(len);
            let from = self.address(offset, len);
            // SAFETY: `address` checked the range, and there is room for as many in a private vector.
            unsafe { plain::copy(to.as_mut_ptr(), from.as_ptr(), len) };
            // SAFETY: so many were just written.
            unsafe { to.set_len(len) };
        }
        #[cfg(loom)]
        self.each_byte(offset, len, |index, word, shift| {
            to.push(word.load(Ordering::Relaxed).to_ne_bytes()[shift]);
            if sure {
                self.home.watch((offset + index) % self.capacity / WORD).read();
            }
        });
    }

    /// Loom's atomics are no bytes: a model copies through words, one byte at a time.
    #[cfg(loom)]
    fn each_byte(&self, offset: usize, len: usize, mut with: impl FnMut(usize, &AtomicU64, usize)) {
        self.check(offset, len);
        for index in 0..len {
            let at = offset + index;
            // Mapped twice, for a model.
            with(index, self.word(at % self.capacity / WORD * WORD), at % WORD);
        }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bytes").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}
