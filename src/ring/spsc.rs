//! One producer, one consumer, values of one size, in slots or side by side.
//!
//! In slots, the slot of position `p` is published when its sequence word is `p + 1`. Index and value
//! travel in one cache line, and a consumer that polls for its next value polls exactly that line. Side
//! by side there is no room for such a word: the producer's position publishes, one store for a whole
//! span, and the consumer reads it only when it has used up what it knows of.
//!
//! Either way the head is read by the producer only when it has used up all the room it knows of.

use super::{Claim, Corrupt, further, looks};
use crate::layout::{Cells, Position};
use crate::sync::Ordering;

/// The producer's side.
#[derive(Debug)]
pub(crate) struct Writer {
    /// The position up to which there is room, as far as known: a head plus the capacity.
    limit: u64,
    capacity: u64,
    dense: bool,
    /// The position to publish next, side by side: the consumer polls the line of the one in the segment, and
    /// takes it away from who would read it there. In slots nobody polls it, and it is read in the segment: a
    /// copy here would be one more line to store to at each publication.
    tail: u64,
}

impl Writer {
    /// Goes on where the segment says the last producer stopped.
    pub(crate) fn resume<T>(
        own: &Position,
        peer: &Position,
        cells: Cells<'_, T>,
    ) -> Result<Self, Corrupt> {
        let capacity = cells.capacity();
        // ORDERING(head): Acquire. Pairs with ORDERING(head) in Reader::release.
        let head = peer.at.load(Ordering::Acquire);
        let used = depth_in(own.at.load(Ordering::Relaxed), head, cells).ok_or(Corrupt)?;
        let tail = head.wrapping_add(used);
        if !cells.is_dense() {
            // Relaxed: the slots publish. Side by side the position does, and it is right already.
            own.at.store(tail, Ordering::Relaxed);
        }
        let limit = head.wrapping_add(capacity);
        Ok(Writer { limit, capacity, dense: cells.is_dense(), tail })
    }

    /// The position to publish next.
    #[inline(always)]
    pub(crate) fn tail(&self, own: &Position) -> u64 {
        if self.dense { self.tail } else { own.at.load(Ordering::Relaxed) }
    }

    /// Makes sure that there is room for `count` values, at most the capacity, from the tail on.
    #[inline(always)]
    pub(crate) fn claim(
        &mut self,
        count: u64,
        own: &Position,
        peer: &Position,
    ) -> Result<(), Claim> {
        let room = self.limit.wrapping_sub(self.tail(own)).cast_signed();
        if room < count.cast_signed() { self.refresh(count, own, peer) } else { Ok(()) }
    }

    /// Looks how far the consumer is.
    #[inline(never)]
    fn refresh(&mut self, count: u64, own: &Position, peer: &Position) -> Result<(), Claim> {
        if self.vacancy(own, peer).map_err(|_| Claim::Corrupt)? < count {
            return Err(Claim::Full);
        }
        Ok(())
    }

    /// How many values there is room for.
    pub(crate) fn vacancy(&mut self, own: &Position, peer: &Position) -> Result<u64, Corrupt> {
        // ORDERING(head): Acquire. Pairs with ORDERING(head) in Reader::release: the consumer has
        // finished reading the values that we are about to write over.
        let head = peer.at.load(Ordering::Acquire);
        let used = self.tail(own).wrapping_sub(head);
        if used > self.capacity {
            return Err(Corrupt);
        }
        self.limit = head.wrapping_add(self.capacity);
        Ok(self.capacity - used)
    }

    /// Looks so many times, or until the consumer has released something since the last look at it.
    #[inline(always)]
    pub(crate) fn poll(&self, peer: &Position, times: u32) {
        let seen = self.limit.wrapping_sub(self.capacity);
        looks(times, || peer.at.load(Ordering::Relaxed) != seen);
    }

    /// Hands `count` values from the tail on to the consumer. This is the commit: of one value after
    /// another in slots, and of all at once side by side.
    #[inline(always)]
    pub(crate) fn publish<T>(
        &mut self,
        tail: u64,
        count: u64,
        own: &Position,
        cells: Cells<'_, T>,
    ) {
        let end = tail.wrapping_add(count);
        if cells.is_dense() {
            // ORDERING(tail): Release. Pairs with ORDERING(tail) in Reader::refresh: makes the values visible.
            own.at.store(end, Ordering::Release);
            self.tail = end;
            return;
        }
        let mut at = tail;
        while at != end {
            let next = at.wrapping_add(1);
            // ORDERING(slot): Release. Pairs with ORDERING(slot) in Reader::acquire: makes the value visible.
            cells.sequence(at).store(next, Ordering::Release);
            at = next;
        }
        // Relaxed: only a successor and onlookers read it.
        own.at.store(end, Ordering::Relaxed);
    }
}

/// The consumer's side.
#[derive(Debug)]
pub(crate) struct Reader {
    /// The position up to which values have been seen, where they lie side by side.
    known: u64,
    /// The position to take next. The producer polls the line of the one in the segment while the ring is full,
    /// and takes it away from who would read it there.
    head: u64,
}

impl Reader {
    /// Goes on where the segment says the last consumer stopped.
    pub(crate) fn resume<T>(
        own: &Position,
        peer: &Position,
        cells: Cells<'_, T>,
    ) -> Result<Self, Corrupt> {
        let head = own.at.load(Ordering::Relaxed);
        let tail = peer.at.load(Ordering::Relaxed);
        let spare = unstored(cells);
        // The last values may have been published, and taken, without the tail saying so.
        let lead = tail.wrapping_add(spare).wrapping_sub(head);
        if lead > cells.capacity() + spare {
            return Err(Corrupt);
        }
        Ok(Reader { known: head, head })
    }

    /// The position to take next.
    #[inline(always)]
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// How many values are there to be taken.
    pub(crate) fn depth<T>(&self, peer: &Position, cells: Cells<'_, T>) -> u64 {
        depth_in(peer.at.load(Ordering::Relaxed), self.head, cells).unwrap_or(0)
    }

    /// How many values, up to `most`, have been published from the head on: these can be read.
    #[inline(always)]
    pub(crate) fn acquire<T>(
        &mut self,
        most: u64,
        peer: &Position,
        cells: Cells<'_, T>,
    ) -> Result<u64, Corrupt> {
        let head = self.head;
        if cells.is_dense() {
            if self.known.wrapping_sub(head) < most {
                self.refresh(peer, cells.capacity())?;
            }
            return Ok(most.min(self.known.wrapping_sub(head)));
        }
        let mut found = 0;
        // Not more than there are slots, whatever their words say.
        while found < most.min(cells.capacity()) {
            let at = head.wrapping_add(found);
            // ORDERING(slot): Acquire. Pairs with ORDERING(slot) in Writer::publish.
            if cells.sequence(at).load(Ordering::Acquire) != at.wrapping_add(1) {
                break;
            }
            found += 1;
        }
        Ok(found)
    }

    /// Looks so many times, or until there is something to be acquired; says whether there is.
    #[inline(always)]
    pub(crate) fn poll<T>(&self, peer: &Position, cells: Cells<'_, T>, times: u32) -> bool {
        if cells.is_dense() {
            let known = self.known;
            return looks(times, || peer.at.load(Ordering::Relaxed) != known);
        }
        let (word, next) = (cells.sequence(self.head), self.head.wrapping_add(1));
        looks(times, || word.load(Ordering::Relaxed) == next)
    }

    /// Looks how far the producer is.
    #[inline(never)]
    fn refresh(&mut self, peer: &Position, capacity: u64) -> Result<(), Corrupt> {
        // ORDERING(tail): Acquire. Pairs with ORDERING(tail) in Writer::publish.
        let tail = peer.at.load(Ordering::Acquire);
        if tail.wrapping_sub(self.head) > capacity {
            return Err(Corrupt);
        }
        self.known = tail;
        Ok(())
    }

    /// Gives `count` values' places back to the producer. This is the acknowledgement.
    #[inline(always)]
    pub(crate) fn release(&mut self, count: u64, own: &Position) {
        let head = self.head.wrapping_add(count);
        self.head = head;
        // ORDERING(head): Release. Pairs with ORDERING(head) in Writer::vacancy: our copies of the values are
        // complete before their places are written again.
        own.at.store(head, Ordering::Release);
    }
}

/// How many values can have been published, by a producer that is in a commit or died in one, without its
/// position saying so: in slots, all of a span.
fn unstored<T>(cells: Cells<'_, T>) -> u64 {
    if cells.is_dense() { 0 } else { cells.capacity() }
}

/// [`depth`] of a ring that is mapped.
fn depth_in<T>(tail: u64, head: u64, cells: Cells<'_, T>) -> Option<u64> {
    depth(tail, head, cells.capacity(), |at| {
        (!cells.is_dense()).then(|| cells.sequence(at).load(Ordering::Relaxed))
    })
}

/// How many values lie between a head and what has been published, of which `tail` says all, or all but the
/// last commit. `sequence` reads the sequence word of a position, if there are any. None if that cannot be.
pub(crate) fn depth(
    tail: u64,
    head: u64,
    capacity: u64,
    sequence: impl Fn(u64) -> Option<u64>,
) -> Option<u64> {
    let published = |at: u64| sequence(at) == Some(at.wrapping_add(1));
    let tail = if sequence(tail).is_some() { further(tail, head) } else { tail };
    let said = tail.wrapping_sub(head);
    let room = capacity.checked_sub(said)?;
    // A commit publishes one value after another, so where it stopped is found by halving.
    let (mut more, mut not) = (0, room);
    if not > 0 && !published(tail) {
        not = 0;
    }
    while more < not {
        let middle = more + (not - more) / 2;
        if published(tail.wrapping_add(middle)) { more = middle + 1 } else { not = middle }
    }
    Some(said + more)
}
