//! The values of an SPSC ring: in slots, or side by side. Bounds are kept here and nowhere else.
#![allow(unsafe_code, reason = "addresses words of the segment")]

use super::segment::Segment;
use crate::plain::{self, Plain};
use crate::sync::{AtomicU64, Ordering};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

const WORD: usize = size_of::<u64>();

/// Bytes from slot to slot for values of `size` bytes: the value, and a sequence word at the end.
///
/// At the end, because that is what is written last and polled: a consumer that polled the first line of a
/// longer slot would take it away from the producer in the middle of its work.
///
/// Slots up to a cache line are a power of two, so that none lies across two lines. Those of up to two are as
/// short as can be, so that a value of 64 bytes takes one line and a bit; longer ones are whole lines.
pub(crate) const fn stride_of(size: usize) -> usize {
    match size.saturating_add(WORD) {
        ..=16 => 16,
        bytes @ ..=64 => bytes.next_power_of_two(),
        bytes @ ..=128 => bytes.next_multiple_of(8),
        bytes => bytes.saturating_add(63) / 64 * 64,
    }
}

/// Whether a slot is so long that the word by which its position is claimed is not its own: who looks for a value then
/// takes no line away from who claims, and a slot's line goes to its producer once, and not for the claim and again
/// for the publication.
pub(super) const fn claims_apart(stride: usize) -> bool {
    stride > 2 * WORD
}

/// The values of an SPSC ring of `T`: slots of `value | sequence word`, or values side by side.
pub(crate) struct Slots<T> {
    /// Keeps the words mapped.
    #[cfg_attr(not(loom), expect(dead_code, reason = "only kept"))]
    segment: Arc<Segment>,
    at: NonNull<AtomicU64>,
    claims: NonNull<AtomicU64>,
    mask: u64,
    dense: bool,
    _values: PhantomData<fn(T) -> T>,
}

/// The same for the time of one operation: where the values are, in registers.
pub(crate) struct Cells<'a, T> {
    at: NonNull<AtomicU64>,
    mask: u64,
    dense: bool,
    #[cfg(loom)]
    segment: &'a Segment,
    _slots: PhantomData<&'a Slots<T>>,
}

impl<T> Clone for Cells<'_, T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Cells<'_, T> {}

// SAFETY: the words are atomics, and the segment that holds them is Send and Sync.
unsafe impl<T> Send for Slots<T> {}

impl<T> Slots<T> {
    /// Bytes from slot to slot.
    pub(crate) const STRIDE: usize = stride_of(size_of::<T>());

    /// # Panics
    /// If the segment's data is for other values: opening it checked that.
    pub(crate) fn of(segment: &Arc<Segment>) -> Slots<T> {
        let header = segment.header();
        let dense = header.is_dense();
        let stride = if dense { size_of::<T>() } else { Self::STRIDE };
        assert!(header.capacity.is_power_of_two() && header.slots().1 == stride as u64);
        Slots {
            segment: Arc::clone(segment),
            at: segment.slots(),
            claims: segment.claims(),
            mask: header.capacity - 1,
            dense,
            _values: PhantomData,
        }
    }

    #[inline(always)]
    pub(crate) fn cells(&self) -> Cells<'_, T> {
        Cells {
            at: self.at,
            mask: self.mask,
            dense: self.dense,
            #[cfg(loom)]
            segment: &self.segment,
            _slots: PhantomData,
        }
    }

    /// Whether positions are claimed by words of their own, in a ring for many.
    pub(crate) const APART: bool = claims_apart(Self::STRIDE);

    /// The word by which a position of a ring for many is claimed.
    #[inline(always)]
    pub(crate) fn claim(&self, position: u64) -> &AtomicU64 {
        if !Self::APART {
            return self.cells().sequence(position);
        }
        // SAFETY: there is one for each slot, or else the slots themselves, which are longer; and the mask keeps the
        // index below the capacity.
        unsafe { plain::word_at(self.claims, (position & self.mask) as usize) }
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.mask + 1
    }
}

impl<'a, T> Cells<'a, T> {
    const STRIDE: usize = Slots::<T>::STRIDE;

    #[inline(always)]
    pub(crate) fn capacity(self) -> u64 {
        self.mask + 1
    }

    /// Whether the values lie side by side.
    #[inline(always)]
    pub(crate) fn is_dense(self) -> bool {
        self.dense
    }

    #[inline(always)]
    fn index(self, position: u64) -> usize {
        (position & self.mask) as usize
    }

    /// The word that says which position a slot has been published for. Not for values side by side.
    #[inline(always)]
    pub(crate) fn sequence(self, position: u64) -> &'a AtomicU64 {
        // SAFETY: a slot ends with its sequence word. The header's check made sure that capacity times
        // stride lies within the slots, `of` that the stride is this one, the mask keeps the index below
        // the capacity, and the slots keep the segment. Values that lie side by side have no such word, and
        // nobody asks: `slot_index` panics.
        unsafe { plain::word_at(self.at, self.slot_index(position) + (Self::STRIDE / WORD - 1)) }
    }

    /// The word at which a slot begins.
    #[inline(always)]
    fn slot_index(self, position: u64) -> usize {
        assert!(!self.dense, "values side by side are in no slots");
        self.index(position) * (Self::STRIDE / WORD)
    }

    /// Where the value of a slot lies.
    #[inline(always)]
    fn in_slot(self, position: u64) -> NonNull<AtomicU64> {
        // SAFETY: within the data, as in `sequence`; a slot begins with its value.
        unsafe { self.at.add(self.slot_index(position)) }
    }

    /// Where the value lies, side by side with the others.
    #[inline(always)]
    fn beside(self, position: u64) -> NonNull<u8> {
        let offset = self.index(position) * size_of::<T>();
        // SAFETY: the index is below the capacity, and `of` checked that the data holds as many values.
        #[cfg(not(loom))]
        unsafe {
            self.at.cast::<u8>().add(offset)
        }
        // SAFETY: as above. A model's words are longer than the eight bytes that they stand for.
        #[cfg(loom)]
        unsafe {
            self.at.add(offset / WORD).cast()
        }
    }

    /// Where the value lies.
    #[inline(always)]
    fn place(self, position: u64) -> NonNull<u8> {
        if self.dense { self.beside(position) } else { self.in_slot(position).cast() }
    }

    /// In a model: the watch over the value.
    #[cfg(loom)]
    fn watch(self, position: u64) -> &'a crate::sync::Watch {
        let stride = if self.dense { size_of::<T>() } else { Self::STRIDE };
        self.segment.watch(self.segment.slots_at() + self.index(position) * (stride / WORD))
    }
}

impl<'a, T: Plain> Cells<'a, T> {
    /// Copies a value in.
    #[inline(always)]
    pub(crate) fn store(self, position: u64, value: &T) {
        #[cfg(loom)]
        self.watch(position).write();
        // SAFETY: a place of a `T`, which is the producer's until it publishes it.
        unsafe { plain::write(self.place(position), value) };
    }

    /// Copies a value in where threads of this process may read meanwhile, to learn afterwards that they should
    /// not have. Slots only.
    #[inline(always)]
    pub(crate) fn store_among_readers(self, position: u64, value: &T) {
        #[cfg(loom)]
        self.watch(position).write();
        // SAFETY: the stride leaves a `T`, rounded up to words, before the sequence word.
        unsafe { plain::store(self.in_slot(position), value) };
    }

    /// Copies a value out while others may write it: it counts only if the caller learns that nobody did. Slots
    /// only.
    #[inline(always)]
    pub(crate) fn load_unsure(self, position: u64) -> T {
        // SAFETY: as in `store_among_readers`; any bytes are a `T`.
        unsafe { plain::load(self.in_slot(position)) }
    }

    /// Whether a value and its word can be written in one step.
    pub(crate) fn in_pairs() -> bool {
        Self::STRIDE == 2 * WORD && plain::has_pairs()
    }

    /// What is in a slot of two words, as it was at two moments.
    #[inline(always)]
    pub(crate) fn pair(self, position: u64) -> [u64; 2] {
        assert!(Self::STRIDE == 2 * WORD, "a slot of two words");
        // SAFETY: within the data, as in `sequence`.
        let value = unsafe { plain::word_at(self.in_slot(position), 0) };
        [value.load(Ordering::Relaxed), self.sequence(position).load(Ordering::Relaxed)]
    }

    /// Replaces what was seen in a slot of two words by a value and its word, if it is still the same.
    ///
    /// # Panics
    /// If slots have other sizes.
    #[inline(always)]
    pub(crate) fn swap(self, position: u64, seen: [u64; 2], value: &T, word: u64) -> bool {
        assert!(Self::STRIDE == 2 * WORD && size_of::<T>() <= WORD, "a slot of two words");
        let mut bytes = [0; WORD];
        bytes[..size_of::<T>()].copy_from_slice(bytemuck::bytes_of(value));
        // SAFETY: a slot of two words is aligned to both, for the data begins at a page; the caller asked
        // `in_pairs`.
        unsafe { plain::swap_pair(self.in_slot(position), seen, [u64::from_ne_bytes(bytes), word]) }
    }

    /// Asks for the line in which the sequence word of a position lies, to be written.
    #[inline(always)]
    pub(crate) fn fetch_to_write(self, position: u64) {
        plain::fetch_to_write(std::ptr::from_ref(self.sequence(position)).cast());
    }

    /// Copies a value out.
    #[inline(always)]
    pub(crate) fn load(self, position: u64) -> T {
        #[cfg(loom)]
        self.watch(position).read();
        // SAFETY: a place of a `T`, in the data that the slots keep, aligned for it or to a word.
        unsafe { plain::load_exactly(self.place(position)) }
    }

    /// The places of `count` values from a position on, which wrap at the end: where both parts begin, and
    /// how many are in the first. None in slots.
    #[cfg(not(loom))]
    pub(crate) fn places(
        self,
        position: u64,
        count: usize,
    ) -> Option<(NonNull<T>, usize, NonNull<T>)> {
        assert!(count as u64 <= self.capacity(), "{count} values are more than there are places");
        let first = count.min(self.capacity() as usize - self.index(position));
        self.dense.then(|| (self.beside(position).cast(), first, self.at.cast()))
    }

    /// Copies `values`, `count` of them at most, in from a position on. Says how many there were.
    #[inline(always)]
    pub(crate) fn store_each(
        self,
        position: u64,
        count: usize,
        values: impl Iterator<Item = T>,
    ) -> usize {
        let mut walk = self.walk(position, count);
        let mut stored = 0;
        for value in values.take(count) {
            walk.store(&value);
            stored += 1;
        }
        stored
    }

    /// Copies `values` in from a position on.
    #[inline]
    pub(crate) fn store_all(self, position: u64, values: &[T]) {
        #[cfg(not(loom))]
        if let Some((at, first, again)) = self.places(position, values.len()) {
            let (here, there) = values.split_at(first);
            // SAFETY: `places` gives room for as many values; a private slice cannot overlap the segment.
            unsafe { plain::copy(at.as_ptr().cast(), here.as_ptr().cast(), size_of_val(here)) };
            // SAFETY: as above.
            unsafe {
                plain::copy(again.as_ptr().cast(), there.as_ptr().cast(), size_of_val(there))
            };
            return;
        }
        let mut walk = self.walk(position, values.len());
        values.iter().for_each(|value| walk.store(value));
    }

    /// Copies values out from a position on.
    #[inline]
    pub(crate) fn load_all(self, position: u64, values: &mut [T]) {
        #[cfg(not(loom))]
        if let Some((at, first, again)) = self.places(position, values.len()) {
            let (here, there) = values.split_at_mut(first);
            // SAFETY: `places` gives as many values; a private slice cannot overlap the segment, and any bytes
            // are a `T`.
            unsafe { plain::copy(here.as_mut_ptr().cast(), at.as_ptr().cast(), size_of_val(here)) };
            // SAFETY: as above.
            unsafe {
                plain::copy(there.as_mut_ptr().cast(), again.as_ptr().cast(), size_of_val(there))
            };
            return;
        }
        let walk = self.walk(position, values.len());
        values.iter_mut().zip(walk).for_each(|(to, value)| *to = value);
    }

    /// The values of `count` positions, one after another.
    ///
    /// # Panics
    /// If there are fewer places.
    #[inline(always)]
    pub(crate) fn walk(self, position: u64, count: usize) -> Walk<'a, T> {
        assert!(count as u64 <= self.capacity(), "{count} values are more than there are places");
        #[cfg(not(loom))]
        {
            let (stride, begin) = match self.dense {
                true => (size_of::<T>(), self.at.cast()),
                false => (Self::STRIDE, self.in_slot(0).cast()),
            };
            let at = self.place(position);
            let here = count.min(self.capacity() as usize - self.index(position));
            let end = at.as_ptr().wrapping_add(here * stride);
            Walk { at, end, begin, rest: count - here, stride, _slots: PhantomData }
        }
        #[cfg(loom)]
        Walk { cells: self, position, left: count }
    }
}

/// A walk over the values of some positions, round the end.
#[cfg(not(loom))]
pub(crate) struct Walk<'a, T> {
    at: NonNull<u8>,
    /// Behind the last place before the ring's end.
    end: *mut u8,
    begin: NonNull<u8>,
    /// Places after the ring's end, from `begin` on.
    rest: usize,
    stride: usize,
    _slots: PhantomData<&'a Slots<T>>,
}

#[cfg(not(loom))]
impl<T: Plain> Walk<'_, T> {
    #[inline(always)]
    fn step(&mut self) -> Option<NonNull<u8>> {
        if self.at.as_ptr() == self.end && !self.turn() {
            return None;
        }
        let at = self.at;
        // SAFETY: one stride after a place, which is the end of the data or before it.
        self.at = unsafe { at.add(self.stride) };
        Some(at)
    }

    /// Goes round the ring's end. False if that was all.
    #[inline(always)]
    fn turn(&mut self) -> bool {
        let rest = std::mem::take(&mut self.rest);
        self.at = self.begin;
        self.end = self.begin.as_ptr().wrapping_add(rest * self.stride);
        rest > 0
    }

    fn left(&self) -> usize {
        (self.end.addr() - self.at.addr().get()) / self.stride + self.rest
    }

    /// Copies a value in at the next place. Does nothing after the last one.
    #[inline(always)]
    pub(crate) fn store(&mut self, value: &T) {
        if let Some(at) = self.step() {
            // SAFETY: a place of a `T`, in the data that the slots keep, which is the producer's.
            unsafe { plain::write(at, value) };
        }
    }
}

#[cfg(not(loom))]
impl<T: Plain> Iterator for Walk<'_, T> {
    type Item = T;

    #[inline(always)]
    fn next(&mut self) -> Option<T> {
        // SAFETY: a place of a `T`, in the data that the slots keep, aligned for it or to a word.
        self.step().map(|at| unsafe { plain::load_exactly(at) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left(), Some(self.left()))
    }
}

/// The same, watched.
#[cfg(loom)]
pub(crate) struct Walk<'a, T> {
    cells: Cells<'a, T>,
    position: u64,
    left: usize,
}

#[cfg(loom)]
impl<T: Plain> Walk<'_, T> {
    fn step(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        self.position = self.position.wrapping_add(1);
        Some(self.position.wrapping_sub(1))
    }

    pub(crate) fn store(&mut self, value: &T) {
        if let Some(position) = self.step() {
            self.cells.store(position, value);
        }
    }
}

#[cfg(loom)]
impl<T: Plain> Iterator for Walk<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.step().map(|position| self.cells.load(position))
    }
}

impl<T> fmt::Debug for Slots<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots").field("mask", &self.mask).finish_non_exhaustive()
    }
}
