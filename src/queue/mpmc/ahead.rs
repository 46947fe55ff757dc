//! Values that a consumer has copied and not taken yet.

use crate::layout::Slots;
use crate::plain::Plain;
use crate::ring::mpmc::Receiver;

/// How often to copy several long values ahead after another consumer was faster. For one consumer that is a copy too
/// many: 56 bytes, M/s, 38 with it and 44 without. Short ones lie several to a line: 8 bytes, 128 and 104.
const RACED: u32 = 64;

/// Copies of values from one position on, each of which may be taken: it is good until the head has passed it, which
/// whoever moves the head finds out.
#[derive(Debug)]
pub(super) struct Ahead<T> {
    of: u64,
    copies: Vec<T>,
    /// For so many times more several are copied, however long they are: others were faster.
    raced: u32,
}

impl<T> Ahead<T> {
    pub(super) fn new() -> Ahead<T> {
        Ahead { of: 0, copies: Vec::new(), raced: 0 }
    }

    #[inline(always)]
    fn index_of(&self, position: u64) -> usize {
        // Not cut to a short word, or copies of long ago would be of now.
        usize::try_from(position.wrapping_sub(self.of)).unwrap_or(usize::MAX)
    }

    /// Whether there is a copy of what is at a position.
    #[inline(always)]
    pub(super) fn has(&self, position: u64) -> bool {
        self.index_of(position) < self.copies.len()
    }

    /// Another consumer was faster.
    #[inline(always)]
    pub(super) fn was_raced(&mut self) {
        self.raced = RACED;
    }
}

impl<T: Plain> Ahead<T> {
    /// How many values to copy at a time: their lines come together then, where taking waits for each.
    const MOST: u64 = {
        let values = 512 / Slots::<T>::STRIDE as u64;
        if cfg!(loom) || values < 1 { 1 } else { values }
    };

    /// The same, with room for all that there will be.
    pub(super) fn with_room() -> Ahead<T> {
        Ahead { copies: Vec::with_capacity(Self::MOST as usize), ..Ahead::new() }
    }

    /// The copy of what is at a position.
    #[inline(always)]
    pub(super) fn at(&self, position: u64) -> Option<&T> {
        self.copies.get(self.index_of(position))
    }

    /// Copies what comes behind the value at a position, of which `first` is a copy, if that is worth it.
    #[inline(always)]
    pub(super) fn extend(&mut self, ring: &Receiver, slots: &Slots<T>, position: u64, first: T) {
        let worth_it = Self::MOST > 1 && (Slots::<T>::STRIDE <= 32 || self.raced > 0);
        if worth_it && ring.run(slots, position, slots.capacity().min(2)) > 1 {
            self.copy(ring, slots, position, first);
        }
    }

    #[inline(never)]
    fn copy(&mut self, ring: &Receiver, slots: &Slots<T>, position: u64, first: T) {
        self.raced = self.raced.saturating_sub(1);
        self.copies.clear();
        self.of = position;
        self.copies.push(first);
        for index in 1..ring.run(slots, position, slots.capacity().min(Self::MOST)) {
            self.copies.push(slots.cells().load_unsure(position.wrapping_add(index)));
        }
    }
}
