//! The producing side.

use super::member::Seat;
use crate::error::PushError;
use crate::layout::{Cells, Peer, Segment, Side, Slots};
use crate::plain::Plain;
use crate::queue::end::{self, Blocked, block};
use crate::ring::mpmc::{Claimed, Sender, first_held, longest_run, pass};
use crate::sync::{Ordering, spin_hint};
use crate::wait::Wait;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

type Pushed<V> = std::result::Result<(), PushError<V>>;

/// Pauses at most before the first look for room. Measured between two processors, a producer alone, M/s of 8 and 56
/// bytes: none 44 and 24, 16 105 and 32, 32 118 and 36, 64 130 and 38, 128 135 and 40.
const MOST_PAUSES: u64 = if cfg!(loom) { 0 } else { 64 };

/// A producing end of a [`Queue`](super::Queue). Clones share its place among the participants; each can go
/// to a thread of its own. When the last of them is dropped the place is closed.
///
/// ```
/// use ringlane::mpmc::Queue;
/// let queue = Queue::<u64>::private(64)?;
/// let mut consumer = queue.consumer()?;
/// let producer = queue.producer()?;
/// let threads: Vec<_> = (0..4)
///     .map(|n| {
///         let mut producer = producer.clone();
///         std::thread::spawn(move || producer.push(n).unwrap())
///     })
///     .collect();
/// threads.into_iter().for_each(|thread| thread.join().unwrap());
/// let mut all = [0; 4];
/// assert_eq!(consumer.pop_slice(&mut all), Ok(4));
/// all.sort();
/// assert_eq!(all, [0, 1, 2, 3]);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
pub struct Producer<T> {
    seat: Seat<T>,
    ring: Sender,
    /// Whether a value and its word can be written at once.
    in_pairs: bool,
}

impl<T> Clone for Producer<T> {
    fn clone(&self) -> Self {
        // Before the other one is there. This one is in no push, and will see it.
        self.seat.share();
        let mut ring = self.ring.clone();
        ring.go_together();
        Producer { seat: self.seat.another(), ring, in_pairs: self.in_pairs }
    }
}

impl<T: Plain> Producer<T> {
    /// How many slots ahead to ask for the line that will be written: a claim waits for its line, and can
    /// do nothing else meanwhile. Measured: 57 M/s without, 64 with 16 slots of 16 bytes, 82 with 32.
    const FETCH: u64 = (512 / Slots::<T>::STRIDE) as u64;

    pub(in crate::queue) fn of(segment: &Arc<Segment>) -> crate::error::Result<Producer<T>> {
        let seat = Seat::<T>::acquire(segment, Side::Producer)?;
        let owner = seat.place().owner();
        let mut ring = Sender::new(segment.common(), seat.slots.capacity(), owner);
        seat.join(&mut ring)?;
        Ok(Producer { seat, ring, in_pairs: Cells::<T>::in_pairs() })
    }

    /// Puts a value in if there is room now. Never waits.
    ///
    /// # Errors
    /// [`PushError::Full`], [`PushError::Closed`] if every consumer has closed; the value comes back.
    ///
    /// ```
    /// let queue = ringlane::mpmc::Queue::<u64>::private(2)?;
    /// let mut producer = queue.producer()?;
    /// assert!(producer.try_push(1).is_ok());
    /// assert!(producer.try_push(2).is_ok());
    /// assert!(producer.try_push(3).unwrap_err().is_full());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline(always)]
    pub fn try_push(&mut self, value: T) -> Pushed<T> {
        match self.put_alone(&value) {
            true => Ok(()),
            false => self.try_push_claimed(value),
        }
    }

    #[inline]
    fn try_push_claimed(&mut self, value: T) -> Pushed<T> {
        self.put(&value).map_err(|refused| refused.of(value))
    }

    /// Fills the next slot without a claim, if this producer is alone and there is room.
    #[inline(always)]
    fn put_alone(&mut self, value: &T) -> bool {
        if !self.ring.is_alone() || !self.seat.others_open() {
            return false;
        }
        let Some(position) = self.ring.claim_alone(self.seat.forum().common(), &self.seat.slots)
        else {
            return false;
        };
        self.seat.slots.cells().store_among_readers(position, value);
        self.publish(Claimed { position, run: 1 }, true);
        true
    }

    #[inline(always)]
    fn put(&mut self, value: &T) -> Pushed<()> {
        if self.in_pairs {
            return self.put_pair(value);
        }
        let claimed = self.claim(1, 1)?;
        self.seat.slots.cells().store_among_readers(claimed.position, value);
        self.seat.slots.cells().fetch_to_write(claimed.position.wrapping_add(Self::FETCH));
        self.publish(claimed, false);
        Ok(())
    }

    /// Claims a slot and fills it in one step.
    #[inline(always)]
    fn put_pair(&mut self, value: &T) -> Pushed<()> {
        if self.seat.others_closed() {
            return Err(PushError::Closed(()));
        }
        let (common, slots) = (self.seat.forum().common(), &self.seat.slots);
        let done = self.ring.put(common, slots, value)
            || self.seat.acked
                && pass(common, slots, self.ring.turns())
                && self.ring.put(common, slots, value);
        if !done {
            return Err(PushError::Full(()));
        }
        slots.cells().fetch_to_write(self.ring.tail().wrapping_add(Self::FETCH));
        self.seat.notify();
        Ok(())
    }

    /// Claims slots: `least` at least, `most` at most.
    #[inline(always)]
    pub(in crate::queue) fn claim(
        &mut self,
        least: u64,
        most: u64,
    ) -> std::result::Result<Claimed, PushError<()>> {
        if self.seat.others_closed() {
            return Err(PushError::Closed(()));
        }
        match self.ring.claim(self.seat.forum().common(), &self.seat.slots, least, most) {
            Some(claimed) => Ok(claimed),
            None => self.claim_passed(least, most),
        }
    }

    /// The ring was full: unless what is done with at its head has not been passed yet.
    #[cold]
    fn claim_passed(
        &mut self,
        least: u64,
        most: u64,
    ) -> std::result::Result<Claimed, PushError<()>> {
        let common = self.seat.forum().common();
        let passed = self.seat.acked && pass(common, &self.seat.slots, self.ring.turns());
        let claimed = match passed {
            true => self.ring.claim(common, &self.seat.slots, least, most),
            false => None,
        };
        claimed.ok_or(PushError::Full(()))
    }

    #[inline(always)]
    fn publish(&self, claimed: Claimed, as_one: bool) {
        self.ring.publish(&self.seat.slots, claimed, as_one);
        self.seat.notify();
    }

    /// Makes one value visible, which has all slots of the claim.
    #[inline(always)]
    pub(in crate::queue) fn publish_one(&self, claimed: Claimed, value: T) {
        let cells = self.seat.slots.cells();
        cells.store_among_readers(claimed.position, &value);
        cells.fetch_to_write(claimed.position.wrapping_add(Self::FETCH));
        self.publish(claimed, true);
    }

    /// Gives a claim up.
    pub(in crate::queue) fn abandon(&self, claimed: Claimed) {
        let Producer { seat, ring, .. } = self;
        ring.abandon(&seat.slots, claimed);
        seat.notify();
        if seat.acked {
            // Consumers leave the head to whoever is done with a slot: that is us. Another producer may have
            // been faster, and it tells nobody of the room that it has no use for.
            pass(seat.forum().common(), &seat.slots, ring.turns());
            seat.notify_room();
        }
    }

    /// Puts a value in, waiting for room as long as it takes.
    ///
    /// # Errors
    /// [`PushError::Closed`], [`PushError::PeerDied`] if no consumer lives and one of them died; the value
    /// comes back.
    ///
    /// ```
    /// let queue = ringlane::mpmc::Queue::<u64>::private(2)?;
    /// queue.producer()?.push(1).unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline(always)]
    pub fn push(&mut self, value: T) -> Pushed<T> {
        match self.put_alone(&value) {
            true => Ok(()),
            false => self.push_claimed(value),
        }
    }

    #[inline]
    fn push_claimed(&mut self, value: T) -> Pushed<T> {
        match self.put(&value) {
            Ok(()) => Ok(()),
            Err(PushError::Full(())) => self.push_wait(value, None),
            Err(refused) => Err(refused.of(value)),
        }
    }

    /// Puts a value in, waiting for room at most `timeout`.
    ///
    /// # Errors
    /// As [`push`](Self::push), and [`PushError::Full`] when the time ran out.
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::mpmc::Queue::<u64>::private(1)?;
    /// let mut producer = queue.producer()?;
    /// producer.push(1).unwrap();
    /// assert!(producer.push_timeout(2, Duration::from_millis(1)).unwrap_err().is_full());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn push_timeout(&mut self, value: T, timeout: Duration) -> Pushed<T> {
        match self.put(&value) {
            Err(PushError::Full(())) => self.push_wait(value, Some(timeout)),
            done => done.map_err(|refused| refused.of(value)),
        }
    }

    #[cold]
    fn push_wait(&mut self, value: T, timeout: Option<Duration>) -> Pushed<T> {
        self.wait_for(1, timeout, |p| p.put(&value)).map_err(|refused| refused.of(value))
    }

    /// Looks so many times whether there is room, at most. In acknowledged queues who looks for it may make it.
    ///
    /// One that is alone does not look at once: each look takes the head's line away from the consumer, which writes to
    /// it at each value. A sixteenth of the ring is taken in a longer time than that.
    fn poll(&self, wanted: u64, most: u32) {
        if self.ring.is_alone() {
            for _ in 0..(self.seat.slots.capacity() / 16).min(MOST_PAUSES) {
                spin_hint();
            }
        }
        for _ in 0..most {
            if self.seat.acked || self.ring.is_worth_it(self.seat.forum().common(), wanted) {
                return;
            }
            spin_hint();
        }
    }

    /// Waits until an attempt gives something else than `Full`. It wants room for so many slots.
    pub(in crate::queue) fn wait_for<R>(
        &mut self,
        wanted: u64,
        timeout: Option<Duration>,
        mut attempt: impl FnMut(&mut Self) -> std::result::Result<R, PushError<()>>,
    ) -> std::result::Result<R, PushError<()>> {
        let tried = |p: &mut Self| match attempt(p) {
            Err(PushError::Full(())) => None,
            done => Some(done),
        };
        let poll = |p: &Self, most| p.poll(wanted, most);
        block(self, |p| &mut p.seat, timeout, poll, tried).unwrap_or_else(|blocked| match blocked {
            Blocked::TimedOut => Err(PushError::Full(())),
            Blocked::PeerDied => Err(PushError::PeerDied(())),
        })
    }

    /// Puts in as many values as there is room for now, in a row: no other producer's value comes between,
    /// and they appear together. One claim takes 64 at most. How many went in. Never waits.
    ///
    /// # Errors
    /// As [`try_push`](Self::try_push). [`PushError::Full`] if not even one went in.
    ///
    /// ```
    /// let queue = ringlane::mpmc::Queue::<u64>::private(4)?;
    /// let mut producer = queue.producer()?;
    /// assert_eq!(producer.try_push_slice(&[1, 2, 3, 4, 5, 6]), Ok(4));
    /// assert!(producer.try_push_slice(&[5, 6]).unwrap_err().is_full());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn try_push_slice(&mut self, values: &[T]) -> std::result::Result<usize, PushError<()>> {
        if values.is_empty() {
            return Ok(0);
        }
        let most = longest_run(self.seat.slots.capacity()).min(values.len() as u64);
        let claimed = self.claim(1, most)?;
        for (index, value) in (0..claimed.run).zip(values) {
            let position = claimed.position.wrapping_add(index);
            self.seat.slots.cells().store_among_readers(position, value);
        }
        self.publish(claimed, false);
        Ok(claimed.run as usize)
    }

    /// Puts in all values, waiting for room as long as it takes. Values of other producers may come between.
    ///
    /// # Errors
    /// As [`push`](Self::push). How many went in before comes with the error.
    ///
    /// ```
    /// let queue = ringlane::mpmc::Queue::<u64>::private(4)?;
    /// queue.producer()?.push_slice(&[1, 2, 3]).unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn push_slice(&mut self, values: &[T]) -> Pushed<usize> {
        let mut done = 0;
        while done < values.len() {
            let rest = &values[done..];
            let pushed = match self.try_push_slice(rest) {
                Err(PushError::Full(())) => self.wait_for(1, None, |p| p.try_push_slice(rest)),
                pushed => pushed,
            };
            done += pushed.map_err(|refused| refused.of(done))?;
        }
        Ok(())
    }

    /// Claims the next slot now, to be filled later: what others push comes behind it, and no consumer gets
    /// past it until it is committed or dropped. Never waits.
    ///
    /// # Errors
    /// As [`try_push`](Self::try_push).
    ///
    /// ```
    /// use ringlane::PopError;
    /// let queue = ringlane::mpmc::Queue::<u64>::private(4)?;
    /// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
    /// let mut other = producer.clone();
    /// let room = producer.try_reserve().unwrap();
    /// other.push(2).unwrap();
    /// assert!(matches!(consumer.try_pop(), Err(PopError::Stalled { .. })));
    /// room.commit(1);
    /// assert_eq!((consumer.try_pop(), consumer.try_pop()), (Ok(1), Ok(2)));
    /// drop(producer.try_reserve().unwrap()); // given up: nothing comes
    /// assert_eq!(consumer.try_pop(), Err(PopError::Empty));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn try_reserve(&mut self) -> std::result::Result<Room<'_, T>, PushError<()>> {
        let claimed = self.claim(1, 1)?;
        Ok(Room { producer: self, claimed })
    }

    /// Waits until everything that was in the queue when this was called, this end's values among it, has
    /// been taken.
    ///
    /// # Errors
    /// [`PushError::Full`] when the time ran out, [`PushError::Closed`] and [`PushError::PeerDied`] if
    /// something is left that nobody will take.
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::mpmc::Queue::<u64>::private(2)?;
    /// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
    /// producer.push(1).unwrap();
    /// assert!(producer.flush(Some(Duration::ZERO)).is_err());
    /// consumer.pop().unwrap();
    /// assert!(producer.flush(None).is_ok());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn flush(&mut self, timeout: Option<Duration>) -> Pushed<()> {
        let tail = self.ring.find_end(self.seat.forum().common(), &self.seat.slots);
        let flushed = |p: &mut Self| {
            let closed = p.seat.others_closed();
            let common = p.seat.forum().common();
            // What is done with or given up at the head: there may be nobody left who passes it.
            if pass(common, &p.seat.slots, p.ring.turns()) {
                p.seat.notify_room();
            }
            // ORDERING(mpmc-head): Acquire. Pairs with ORDERING(mpmc-head) in Receiver::advance and pass: whoever
            // took the values did so, and what it did before, before we say so.
            let head = common.head.load(Ordering::Acquire);
            match head.wrapping_sub(tail).cast_signed() {
                0.. => Ok(()),
                _ if closed => Err(PushError::Closed(())),
                _ => Err(PushError::Full(())),
            }
        };
        match flushed(self) {
            Err(PushError::Full(())) => self.wait_for(1, timeout, flushed),
            done => done,
        }
    }

    /// The process id of who holds what is at the head of the queue, if it lives: a producer that has not finished its
    /// push, or a consumer that has not acknowledged. If a queue is full and stays so, this is who to ask. Asks the
    /// kernel once; what a dead one holds is given up.
    ///
    /// ```
    /// let queue = ringlane::mpmc::Queue::<u64>::private(2)?;
    /// let (mut producer, other) = (queue.producer()?, queue.producer()?);
    /// assert_eq!(other.held_by(), None);
    /// let room = producer.try_reserve().unwrap();
    /// assert_eq!(other.held_by(), Some(std::process::id()));
    /// room.commit(1);
    /// assert_eq!(other.held_by(), None);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn held_by(&self) -> Option<u32> {
        let held = first_held(self.seat.forum().common(), &self.seat.slots, self.ring.turns())?;
        let gone = self.seat.settle(self.ring.turns(), held);
        (!gone).then(|| self.seat.pid_of(held))
    }

    /// What the consumers are together: alive if one of them is; else dead if one died and no other has come
    /// since; else closed.
    ///
    /// ```
    /// use ringlane::{Peer, mpmc::Queue};
    /// assert_eq!(Queue::<u64>::private(8)?.producer()?.peer(), Peer::Vacant);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn peer(&self) -> Peer {
        self.seat.others()
    }

    /// Waits until a living process holds a consuming end; false if the time ran out before.
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::mpmc::Queue::<u64>::private(8)?;
    /// assert!(!queue.producer()?.wait_peer(Some(Duration::ZERO)));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn wait_peer(&mut self, timeout: Option<Duration>) -> bool {
        end::wait_peer(self, |p| &mut p.seat, timeout)
    }

    /// Chooses how this end waits. Each clone has a choice of its own.
    ///
    /// ```
    /// use ringlane::{Wait, mpmc::Queue};
    /// Queue::<u64>::private(8)?.producer()?.set_wait(Wait::Spin);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn set_wait(&mut self, wait: Wait) {
        self.seat.set_wait(wait);
    }

    /// Drops this end. The place is closed with the last of its clones.
    ///
    /// ```
    /// let queue = ringlane::mpmc::Queue::<u64>::private(8)?;
    /// queue.producer()?.close();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn close(self) {}
}

/// A slot that a producer has claimed and not filled, see [`Producer::try_reserve`]. Dropping it gives the
/// slot up.
///
/// ```
/// let queue = ringlane::mpmc::Queue::<u64>::private(4)?;
/// let mut producer = queue.producer()?;
/// producer.try_reserve().unwrap().commit(7);
/// assert_eq!(queue.consumer()?.try_pop(), Ok(7));
/// # Ok::<(), ringlane::Error>(())
/// ```
pub struct Room<'a, T: Plain> {
    producer: &'a mut Producer<T>,
    claimed: Claimed,
}

impl<T: Plain> Room<'_, T> {
    /// Puts the value in.
    ///
    /// ```
    /// let queue = ringlane::mpmc::Queue::<u64>::private(4)?;
    /// queue.producer()?.try_reserve().unwrap().commit(7);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn commit(self, value: T) {
        let room = std::mem::ManuallyDrop::new(self);
        room.producer.seat.slots.cells().store_among_readers(room.claimed.position, &value);
        room.producer.publish(room.claimed, false);
    }
}

impl<T: Plain> Drop for Room<'_, T> {
    fn drop(&mut self) {
        self.producer.abandon(self.claimed);
    }
}

impl<T: Plain> fmt::Debug for Room<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("claimed", &self.claimed).finish_non_exhaustive()
    }
}
