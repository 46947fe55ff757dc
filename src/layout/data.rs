//! The data part: slots of a fixed size, or bytes of records. Bounds are kept here and nowhere else.
#![allow(unsafe_code, reason = "addresses words of the segment")]

use super::segment::Segment;
use crate::plain::{self, Plain};
use crate::shm::Wrap;
use crate::sync::{AtomicU64, Ordering};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

const WORD: usize = size_of::<u64>();

/// Bytes from slot to slot for values of `size` bytes: a sequence word and the value.
///
/// Slots up to a cache line are a power of two, so that none lies across two lines; longer ones are
/// whole lines.
pub(crate) const fn stride_of(size: usize) -> usize {
    match size.saturating_add(WORD) {
        ..=16 => 16,
        bytes @ ..=64 => bytes.next_power_of_two(),
        bytes => bytes.saturating_add(63) / 64 * 64,
    }
}

/// What records may be aligned to.
pub(crate) fn is_alignment(bytes: usize) -> bool {
    bytes == 8 || bytes == 64
}

/// The slots of an SPSC ring of `T`: `sequence word | value`.
pub(crate) struct Slots<T> {
    /// Keeps the words mapped.
    #[cfg_attr(not(loom), expect(dead_code, reason = "only kept"))]
    segment: Arc<Segment>,
    at: NonNull<AtomicU64>,
    mask: u64,
    _values: PhantomData<fn(T) -> T>,
}

/// One slot.
pub(crate) struct Slot<'a, T> {
    at: NonNull<AtomicU64>,
    #[cfg(loom)]
    watch: &'a crate::sync::Watch,
    _slots: PhantomData<&'a Slots<T>>,
}

impl<'a, T> Slot<'a, T> {
    /// The slot that begins with the so manieth word of the data.
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

// SAFETY: the words are atomics, and the segment that holds them is Send and Sync.
unsafe impl<T> Send for Slots<T> {}

impl<T> Slots<T> {
    /// Bytes from slot to slot.
    pub(crate) const STRIDE: usize = stride_of(size_of::<T>());

    /// # Panics
    /// If the segment's slots are for other values: opening it checked that.
    pub(crate) fn of(segment: &Arc<Segment>) -> Slots<T> {
        let header = segment.header();
        assert!(header.capacity.is_power_of_two() && header.stride == Self::STRIDE as u64);
        Slots {
            segment: Arc::clone(segment),
            at: segment.data(),
            mask: header.capacity - 1,
            _values: PhantomData,
        }
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.mask + 1
    }

    /// The slot that `position` falls into.
    #[inline(always)]
    pub(crate) fn slot(&self, position: u64) -> Slot<'_, T> {
        let index = (position & self.mask) as usize * (Self::STRIDE / WORD);
        Slot {
            // SAFETY: the header's check made sure that capacity times stride lies within the data,
            // `of` that the stride is this one, and the mask keeps the index below the capacity.
            at: unsafe { self.at.add(index) },
            #[cfg(loom)]
            watch: self.segment.watch(index),
            _slots: PhantomData,
        }
    }
}

impl<T> Slot<'_, T> {
    /// The word that says which position the slot has been published for.
    #[inline(always)]
    pub(crate) fn sequence(&self) -> &AtomicU64 {
        // SAFETY: a slot begins with its sequence word, and the slots keep the segment.
        unsafe { self.at.as_ref() }
    }

    #[inline(always)]
    fn value(&self) -> NonNull<AtomicU64> {
        // SAFETY: the value follows the sequence word within the slot.
        unsafe { self.at.add(1) }
    }
}

impl<T: Plain> Slot<'_, T> {
    /// Copies a value in.
    #[inline(always)]
    pub(crate) fn store(&self, value: &T) {
        #[cfg(loom)]
        self.watch.write();
        // SAFETY: the stride leaves a `T`, rounded up to words, behind the sequence word.
        unsafe { plain::store(self.value(), value) }
    }

    /// Copies the value out.
    #[inline(always)]
    pub(crate) fn load(&self) -> T {
        #[cfg(loom)]
        self.watch.read();
        // SAFETY: the stride leaves a `T`, rounded up to words, behind the sequence word.
        unsafe { plain::load(self.value()) }
    }
}

impl<T> fmt::Debug for Slots<T> {
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
        unsafe { plain::word_at(self.at, offset / WORD) }
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
