//! One producer, one consumer, slots of one size; the sequence word is in the slot.
//!
//! The slot of position `p` is published when its sequence word is `p + 1`. Index and value travel in
//! one cache line, and a consumer that polls for its next value polls exactly that line. The head is
//! read by the producer only when it has used up all the room it knows of.

use super::{Claim, Corrupt, MIRROR, further};
use crate::layout::{Position, Slot, Slots};
use crate::sync::Ordering;

/// The producer's side.
#[derive(Debug)]
pub(crate) struct Writer {
    /// The position to publish next.
    tail: u64,
    /// The position up to which there is room, as far as known: a head plus the capacity.
    limit: u64,
    capacity: u64,
}

impl Writer {
    /// Goes on where the segment says the last producer stopped.
    pub(crate) fn resume<T>(
        own: &Position,
        peer: &Position,
        slots: &Slots<T>,
    ) -> Result<Self, Corrupt> {
        let capacity = slots.capacity();
        // ORDERING(head): Acquire. Pairs with ORDERING(head) in Reader::release.
        let head = peer.at.load(Ordering::Acquire);
        let from = further(own.at.load(Ordering::Relaxed), head);
        let tail = from.wrapping_add(published(from, capacity, |at| {
            slots.slot(at).sequence().load(Ordering::Relaxed)
        }));
        if tail.wrapping_sub(head) > capacity {
            return Err(Corrupt);
        }
        own.at.store(tail, Ordering::Relaxed);
        Ok(Writer { tail, limit: head.wrapping_add(capacity), capacity })
    }

    pub(crate) fn tail(&self) -> u64 {
        self.tail
    }

    /// The position to write to, if there is room.
    #[inline(always)]
    pub(crate) fn claim(&mut self, peer: &Position) -> Result<u64, Claim> {
        if self.tail == self.limit {
            self.refresh(peer)?;
        }
        Ok(self.tail)
    }

    /// Looks how far the consumer is.
    #[inline(never)]
    fn refresh(&mut self, peer: &Position) -> Result<(), Claim> {
        // ORDERING(head): Acquire. Pairs with ORDERING(head) in Reader::release: the consumer has
        // finished reading the slots that we are about to write.
        let head = peer.at.load(Ordering::Acquire);
        let used = self.tail.wrapping_sub(head);
        if used > self.capacity {
            return Err(Claim::Corrupt);
        }
        self.limit = head.wrapping_add(self.capacity);
        if used == self.capacity { Err(Claim::Full) } else { Ok(()) }
    }

    /// Hands the claimed position's slot to the consumer. This is the commit.
    #[inline(always)]
    pub(crate) fn publish<T>(&mut self, own: &Position, slot: &Slot<'_, T>) {
        let next = self.tail.wrapping_add(1);
        // ORDERING(slot): Release. Pairs with ORDERING(slot) in Reader::acquire: makes the value visible.
        slot.sequence().store(next, Ordering::Release);
        self.tail = next;
        if next.is_multiple_of(MIRROR) {
            // Relaxed: only a successor and onlookers read it, and they follow the slots from there.
            own.at.store(next, Ordering::Relaxed);
        }
    }
}

/// The consumer's side.
#[derive(Debug)]
pub(crate) struct Reader {
    /// The position to take next.
    head: u64,
}

impl Reader {
    /// Goes on where the segment says the last consumer stopped.
    pub(crate) fn resume<T>(
        own: &Position,
        peer: &Position,
        slots: &Slots<T>,
    ) -> Result<Self, Corrupt> {
        let head = own.at.load(Ordering::Relaxed);
        let tail = peer.at.load(Ordering::Relaxed);
        // The tail may be behind what is published and was taken.
        let lead = tail.wrapping_add(MIRROR).wrapping_sub(head);
        if lead > slots.capacity() + MIRROR {
            return Err(Corrupt);
        }
        Ok(Reader { head })
    }

    /// How many values are there to be taken.
    pub(crate) fn available<T>(&self, peer: &Position, slots: &Slots<T>) -> u64 {
        depth(peer.at.load(Ordering::Relaxed), self.head, slots.capacity(), |at| {
            slots.slot(at).sequence().load(Ordering::Relaxed)
        })
    }

    /// The slot to read, if it has been published.
    #[inline(always)]
    pub(crate) fn acquire<'a, T>(&self, slots: &'a Slots<T>) -> Option<Slot<'a, T>> {
        let slot = slots.slot(self.head);
        // ORDERING(slot): Acquire. Pairs with ORDERING(slot) in Writer::publish.
        let sequence = slot.sequence().load(Ordering::Acquire);
        (sequence == self.head.wrapping_add(1)).then_some(slot)
    }

    /// Gives the slot back to the producer. This is the acknowledgement.
    #[inline(always)]
    pub(crate) fn release(&mut self, own: &Position) {
        self.head = self.head.wrapping_add(1);
        // ORDERING(head): Release. Pairs with ORDERING(head) in Writer::refresh: our copy of the value is
        // complete before the slot is written again.
        own.at.store(self.head, Ordering::Release);
    }
}

/// How many slots have been published from `tail` on: as many as a producer leaves behind its tail's copy.
fn published(tail: u64, capacity: u64, sequence: impl Fn(u64) -> u64) -> u64 {
    let is_published =
        |n: &u64| sequence(tail.wrapping_add(*n)) == tail.wrapping_add(*n).wrapping_add(1);
    (0..capacity.min(MIRROR)).take_while(is_published).count() as u64
}

/// How many values lie between a head and what has been published, of which `tail` says a part.
pub(crate) fn depth(tail: u64, head: u64, capacity: u64, sequence: impl Fn(u64) -> u64) -> u64 {
    let counted = further(tail, head).wrapping_sub(head).min(capacity);
    counted + published(head.wrapping_add(counted), capacity - counted, sequence)
}
