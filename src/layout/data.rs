//! The data part: slots of a fixed size, or bytes of records. Bounds are kept here and nowhere else.
#![allow(unsafe_code, reason = "addresses words of the segment")]

use super::segment::Segment;
use crate::plain::{self, Plain};
use crate::shm::Wrap;
use crate::sync::{AtomicU64, Ordering};
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

const WORD: usize = size_of::<u64>();

/// Bytes from slot to slot for values of `size` bytes: a sequence word and the value.
///
/// Slots up to a cache line are a power of two, so that none lies across two lines; longer ones are
/// whole lines.
pub(crate) fn stride_of(size: usize) -> usize {
    let bytes = size.saturating_add(WORD).min(isize::MAX as usize);
    if bytes <= 64 { bytes.next_power_of_two().max(16) } else { bytes.next_multiple_of(64) }
}

/// What records may be aligned to.
pub(crate) fn is_alignment(bytes: usize) -> bool {
    bytes == 8 || bytes == 64
}

/// The slots of an SPSC ring: `sequence word | value`.
pub(crate) struct Slots {
    /// Keeps the words mapped.
    #[cfg_attr(not(loom), expect(dead_code, reason = "only kept"))]
    segment: Arc<Segment>,
    at: NonNull<AtomicU64>,
    mask: u64,
    /// Words from slot to slot.
    stride: usize,
    value_size: usize,
}

// SAFETY: the words are atomics, and the segment that holds them is Send and Sync.
unsafe impl Send for Slots {}

impl Slots {
    /// Bytes from slot to slot for values of `size` bytes.
    pub(crate) fn stride_of(size: usize) -> usize {
        stride_of(size)
    }

    /// `value_size` must be the segment's.
    pub(crate) fn of(segment: &Arc<Segment>) -> Slots {
        let header = segment.header();
        let slots = Slots {
            segment: Arc::clone(segment),
            at: segment.data(),
            mask: header.capacity - 1,
            stride: header.stride as usize / WORD,
            value_size: header.value_size as usize,
        };
        debug_assert!(header.capacity.is_power_of_two());
        slots
    }

    pub(crate) fn mask(&self) -> u64 {
        self.mask
    }

    #[inline(always)]
    fn slot(&self, position: u64) -> NonNull<AtomicU64> {
        let index = (position & self.mask) as usize;
        // SAFETY: the header's check made sure that capacity times stride lies within the data, and
        // the mask keeps the index below the capacity.
        unsafe { self.at.add(index * self.stride) }
    }

    /// The sequence word of the slot that `position` falls into.
    #[inline(always)]
    pub(crate) fn sequence(&self, position: u64) -> &AtomicU64 {
        // SAFETY: a slot begins with its sequence word, and `self` keeps the segment.
        unsafe { self.slot(position).as_ref() }
    }

    #[inline(always)]
    fn value<T>(&self, position: u64) -> NonNull<AtomicU64> {
        assert!(size_of::<T>() == self.value_size, "the type was checked when the ring was opened");
        // SAFETY: the value follows the sequence word within the slot.
        unsafe { self.slot(position).add(1) }
    }

    /// Copies a value into the slot.
    #[inline(always)]
    pub(crate) fn store<T: Plain>(&self, position: u64, value: &T) {
        #[cfg(loom)]
        self.segment.watch((position & self.mask) as usize * self.stride).write();
        // SAFETY: a slot has `value_size` bytes for the value, rounded up to words.
        unsafe { plain::store(self.value::<T>(position), value) }
    }

    /// Copies the value out of the slot.
    #[inline(always)]
    pub(crate) fn load<T: Plain>(&self, position: u64) -> T {
        #[cfg(loom)]
        self.segment.watch((position & self.mask) as usize * self.stride).read();
        // SAFETY: a slot has `value_size` bytes for the value, rounded up to words.
        unsafe { plain::load(self.value::<T>(position)) }
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots").field("mask", &self.mask).finish_non_exhaustive()
    }
}

/// The bytes of a record ring, by offset.
pub(crate) struct Bytes {
    /// Keeps the words mapped.
    #[cfg_attr(not(loom), expect(dead_code, reason = "only kept"))]
    segment: Arc<Segment>,
    at: NonNull<AtomicU64>,
    /// Bytes of the ring.
    capacity: usize,
    /// Bytes that have addresses: the capacity once or twice.
    reach: usize,
    wrap: Wrap,
}

// SAFETY: the words are atomics, bytes are only copied, and the segment is Send and Sync.
unsafe impl Send for Bytes {}

impl Bytes {
    pub(crate) fn of(segment: &Arc<Segment>) -> Bytes {
        let capacity = segment.header().capacity as usize;
        let wrap = segment.header().wrap();
        let reach = if wrap == Wrap::Mirror { 2 * capacity } else { capacity };
        Bytes { segment: Arc::clone(segment), at: segment.data(), capacity, reach, wrap }
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
        assert!(offset < self.capacity && offset.is_multiple_of(WORD), "no word at {offset}");
        // SAFETY: the word lies within the data, just checked, and `self` keeps the segment.
        unsafe { self.at.add(offset / WORD).as_ref() }
    }

    #[inline(always)]
    fn check(&self, offset: usize, len: usize) {
        let end = offset.checked_add(len);
        assert!(end.is_some_and(|end| end <= self.reach), "{len} bytes at {offset} are outside");
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
            self.segment.watch((offset + index) / WORD).write();
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
            self.segment.watch((offset + index) / WORD).read();
        });
    }

    /// Loom's atomics are no bytes: a model copies through words, one byte at a time.
    #[cfg(loom)]
    fn each_byte(&self, offset: usize, len: usize, mut with: impl FnMut(usize, &AtomicU64, usize)) {
        self.check(offset, len);
        for index in 0..len {
            let at = offset + index;
            with(index, self.word(at / WORD * WORD), at % WORD);
        }
    }

    /// Sets the word at an offset to 0 before the commit that makes it the next to be looked at.
    #[inline(always)]
    pub(crate) fn clear(&self, offset: usize) {
        self.word(offset).store(0, Ordering::Relaxed);
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bytes").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}
