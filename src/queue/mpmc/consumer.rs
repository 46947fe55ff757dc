//! The consuming side.

use super::Taken;
use super::ahead::Ahead;
use super::member::Seat;
use crate::error::PopError;
use crate::layout::{Peer, Segment, Side};
use crate::plain::Plain;
use crate::queue::end::{self, Blocked, Limit, block};
use crate::ring::looks;
use crate::ring::mpmc::{Held, Look, QUESTION, Receiver, There, depth};
use crate::sync::{Ordering, spin_hint};
use crate::wait::Wait;
use std::sync::Arc;
use std::time::Duration;

type Popped<V> = std::result::Result<V, PopError>;

/// How often to look at a value that is being written before asking whether its producer lives: longer than
/// it takes to write one.
const PATIENCE: u32 = if cfg!(loom) { 1 } else { 64 };

/// Pauses before the first look of a wait. A consumer that is faster than its producers would else take the line
/// away from them at each value; an answer from another processor takes longer anyway. Measured between two
/// processors: none 52 M/s and 1.85 floors a round trip, 4 61 and 1.72, 8 69 and 2.6.
const HEAD_START: u32 = if cfg!(loom) { 0 } else { 4 };

/// The same while each wait ends with several values: then nothing waits for an answer to the first of them, and the
/// others come at the price of one.
const LONG_START: u32 = if cfg!(loom) { 0 } else { 32 };

/// A consuming end of a [`Queue`](super::Queue). Clones share its place among the participants; each can go
/// to a thread of its own. When the last of them is dropped the place is closed.
///
/// ```
/// use ringlane::{PopError, mpmc::Queue};
/// let queue = Queue::<u64>::private(8)?;
/// let (mut producer, mut one) = (queue.producer()?, queue.consumer()?);
/// let mut other = one.clone();
/// producer.push_slice(&[1, 2]).unwrap();
/// drop(producer);
/// assert_eq!((one.pop(), other.pop()), (Ok(1), Ok(2)));
/// assert_eq!((one.pop(), other.pop()), (Err(PopError::Closed), Err(PopError::Closed)));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
pub struct Consumer<T> {
    seat: Seat<T>,
    ring: Receiver,
    ahead: Ahead<T>,
    /// Pauses before the next wait looks.
    head_start: u32,
}

impl<T> Clone for Consumer<T> {
    fn clone(&self) -> Self {
        Consumer {
            seat: self.seat.another(),
            ring: self.ring.clone(),
            ahead: Ahead::new(),
            head_start: HEAD_START,
        }
    }
}

/// Why nothing was taken.
pub(in crate::queue) enum Nothing {
    Empty,
    Pending(Held),
}

impl<T: Plain> Consumer<T> {
    pub(in crate::queue) fn of(segment: &Arc<Segment>) -> crate::error::Result<Consumer<T>> {
        let seat = Seat::<T>::acquire(segment, Side::Consumer)?;
        let owner = seat.place().owner();
        let ring = Receiver::new(segment.common(), seat.slots.capacity(), owner);
        Ok(Consumer { seat, ring, ahead: Ahead::with_room(), head_start: HEAD_START })
    }

    /// Takes the next value if it is there. Never waits.
    ///
    /// # Errors
    /// [`PopError::Empty`], [`PopError::Closed`] if every producer has closed and nothing is left that is there
    /// or may come again, [`PopError::Stalled`] if the next value is still being written by a process that lives.
    ///
    /// ```
    /// use ringlane::{PopError, mpmc::Queue};
    /// let queue = Queue::<u64>::private(8)?;
    /// assert_eq!(queue.consumer()?.try_pop(), Err(PopError::Empty));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn try_pop(&mut self) -> Popped<T> {
        match self.get() {
            Ok(value) => Ok(value),
            Err(_) => self.explain(Self::get),
        }
    }

    /// Takes the value at the head.
    #[inline(always)]
    fn get(&mut self) -> std::result::Result<T, Nothing> {
        if self.seat.acked {
            let (value, taken) = self.hold()?;
            self.release(taken);
            return Ok(value);
        }
        loop {
            let value = match self.ahead.at(self.ring.head()) {
                Some(value) => *value,
                None => self.read()?,
            };
            if self.ring.advance(self.seat.forum().common(), 1) {
                self.seat.notify();
                return Ok(value);
            }
            self.ahead.was_raced();
            if self.ring.is_spent() {
                return Err(self.nothing(Nothing::Empty));
            }
        }
    }

    /// Nothing was taken, but what was given up may have been passed on the way: who waits for room is told.
    fn nothing(&mut self, why: Nothing) -> Nothing {
        if self.ring.has_made_room() {
            self.seat.notify();
        }
        why
    }

    /// Copies the value at the head, and takes it not: the copy counts when the head is moved over its
    /// position, because until then nobody writes to its slot. If there are more, copies some of them, too.
    #[inline(always)]
    fn read(&mut self) -> std::result::Result<T, Nothing> {
        let cells = self.seat.slots.cells();
        let position = match self.ring.look(self.seat.forum().common(), &self.seat.slots) {
            Look::Value(there) => there.position,
            Look::Empty => return Err(self.nothing(Nothing::Empty)),
            Look::Pending(held) => return Err(self.nothing(Nothing::Pending(held))),
        };
        let value = cells.load_unsure(position);
        self.ahead.extend(&self.ring, &self.seat.slots, position, value);
        Ok(value)
    }

    /// Takes values from the head on: at most once. At least one, or nothing.
    #[inline(always)]
    fn get_some(&mut self, out: &mut [T]) -> std::result::Result<usize, Nothing> {
        loop {
            let common = self.seat.forum().common();
            let slots = &self.seat.slots;
            let position = match self.ring.look(common, slots) {
                Look::Value(there) => there.position,
                Look::Empty => return Err(self.nothing(Nothing::Empty)),
                Look::Pending(held) => return Err(self.nothing(Nothing::Pending(held))),
            };
            let run = match out.len() {
                1 => 1,
                most => self.ring.run(slots, position, slots.capacity().min(most as u64)),
            };
            for (index, value) in (0..run).zip(out.iter_mut()) {
                // It may be taken, and its slot written again, while we copy. Then the head has moved, and
                // the copy is not looked at: any bytes are a `T`.
                *value = slots.cells().load_unsure(position.wrapping_add(index));
            }
            if self.ring.advance(common, run) {
                self.seat.notify();
                return Ok(run as usize);
            }
        }
    }

    /// Takes the value at the head, whatever slots it has, after `copy` was given it to copy what it stands for. What
    /// that gave counts only if it was ours.
    #[inline(always)]
    pub(in crate::queue) fn take_copied<R>(
        &mut self,
        mut copy: impl FnMut(T, There) -> R,
    ) -> std::result::Result<R, Nothing> {
        loop {
            let common = self.seat.forum().common();
            let there = match self.ring.look(common, &self.seat.slots) {
                Look::Value(there) => there,
                Look::Empty => return Err(self.nothing(Nothing::Empty)),
                Look::Pending(held) => return Err(self.nothing(Nothing::Pending(held))),
            };
            let copied = copy(self.seat.slots.cells().load_unsure(there.position), there);
            if self.ring.advance(common, there.run) {
                self.seat.notify();
                return Ok(copied);
            }
        }
    }

    /// Whether what is taken has to be acknowledged.
    #[inline(always)]
    pub(in crate::queue) fn is_acked(&self) -> bool {
        self.seat.acked
    }

    /// Makes an attempt, and others for as long as there is time.
    #[inline(always)]
    pub(in crate::queue) fn attempt<R>(
        &mut self,
        limit: Limit,
        mut attempt: impl FnMut(&mut Self) -> std::result::Result<R, Nothing>,
    ) -> Popped<R> {
        match (attempt(self), limit) {
            (Ok(done), _) => Ok(done),
            (Err(_), Limit::Now) => self.explain(attempt),
            (Err(_), Limit::Within(timeout)) => self.wait_for(Some(timeout), attempt),
            (Err(_), Limit::Never) => self.wait_for(None, attempt),
        }
    }

    /// Takes the first value that nobody has, to be acknowledged.
    pub(in crate::queue) fn hold(&mut self) -> std::result::Result<(T, There), Nothing> {
        loop {
            let common = self.seat.forum().common();
            match self.ring.take(common, &self.seat.slots) {
                Look::Value(taken) => {
                    return Ok((self.seat.slots.cells().load(taken.position), taken));
                }
                // Who writes there is in the way of what comes behind it, not of what comes again.
                Look::Pending(_) if self.seat.ask && self.look_behind() => {}
                Look::Pending(held) => return Err(Nothing::Pending(held)),
                Look::Empty if self.look_behind() => {}
                Look::Empty => return Err(Nothing::Empty),
            }
        }
    }

    /// Whether something has come again, or does now, because who had it is gone.
    #[cold]
    fn look_behind(&mut self) -> bool {
        let mut held = Vec::new();
        let common = self.seat.forum().common();
        if self.ring.look_behind(common, &self.seat.slots, |one| held.push(one)) {
            return true;
        }
        let mut settled = false;
        // The kernel is asked once in a while, not at each look.
        if !std::mem::take(&mut self.seat.ask) {
            return false;
        }
        // One question for each holder, whatever it holds.
        held.sort_by_key(|held| (held.owner().place, held.owner().generation));
        for of_one in held.chunk_by(|a, b| a.owner() == b.owner()) {
            settled |= of_one.iter().take_while(|held| self.settle(**held)).count() > 0;
        }
        settled
    }

    /// What was taken is done with.
    pub(in crate::queue) fn release(&mut self, taken: There) {
        self.ring.acknowledge(self.seat.forum().common(), &self.seat.slots, taken);
        self.seat.notify();
        // Behind the fence of that: who sleeps because of what we had goes by members that we see, too.
        if self.seat.others_gone() {
            self.seat.notify_items();
        }
    }

    /// Nothing was taken: why, and for good? `attempt` is what was tried.
    #[cold]
    fn explain<R>(
        &mut self,
        mut attempt: impl FnMut(&mut Self) -> std::result::Result<R, Nothing>,
    ) -> Popped<R> {
        self.ring.renew();
        self.seat.ask = true;
        let mut attempt = |c: &mut Self| attempt(c).map_err(|nothing| c.find_claim(nothing));
        for look in 1.. {
            let nothing = match attempt(self) {
                Ok(value) => return Ok(value),
                Err(nothing) => nothing,
            };
            self.ring.spend(1);
            match nothing {
                _ if self.ring.is_spent() => break,
                Nothing::Empty if !self.seat.others_closed() => break,
                Nothing::Empty => match attempt(self) {
                    // The last value may have come between our look and the close.
                    Ok(value) => return Ok(value),
                    Err(Nothing::Empty) if self.ring.is_spent() || self.seat.may_come_again() => {
                        break;
                    }
                    Err(Nothing::Empty) => return Err(PopError::Closed),
                    Err(Nothing::Pending(_)) => {}
                },
                Nothing::Pending(held) => {
                    if look >= PATIENCE && !self.settle(held) && !self.ring.is_spent() {
                        return Err(PopError::Stalled { pid: self.seat.pid_of(held) });
                    }
                    spin_hint();
                }
            }
        }
        Err(PopError::Empty)
    }

    /// What looks empty may be claimed, where slots do not say that.
    fn find_claim(&self, nothing: Nothing) -> Nothing {
        match (nothing, self.ring.find_claim(&self.seat.slots)) {
            (Nothing::Empty, Some(held)) => Nothing::Pending(held),
            (nothing, _) => nothing,
        }
    }

    /// Resolves a slot if its holder is gone. True if it is worth looking again.
    fn settle(&mut self, held: Held) -> bool {
        self.ring.spend(QUESTION);
        !self.ring.is_spent() && self.seat.settle(self.ring.turns(), held)
    }

    /// Takes the next value, waiting as long as it takes.
    ///
    /// # Errors
    /// [`PopError::Closed`], and [`PopError::PeerDied`] if no producer lives and one of them died, after
    /// everything committed has been taken. In an acknowledged queue only after all of it has been
    /// acknowledged: what somebody holds may come again. So this waits for a [`Taken`] that a clone of this end
    /// holds, too, and without end if it is this thread that holds it, or if it was forgotten.
    ///
    /// ```
    /// let queue = ringlane::mpmc::Queue::<u64>::private(8)?;
    /// queue.producer()?.push(7).unwrap();
    /// assert_eq!(queue.consumer()?.pop(), Ok(7));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn pop(&mut self) -> Popped<T> {
        match self.get() {
            Ok(value) => Ok(value),
            Err(_) => self.pop_soon(),
        }
    }

    /// The next value, which will be there in a moment. It does not go through the hands of a wait then: those take
    /// as long as half a way between processors.
    #[inline(never)]
    fn pop_soon(&mut self) -> Popped<T> {
        self.ring.renew();
        if self.poll(self.seat.polls())
            && let Ok(value) = self.get()
        {
            self.was_woken();
            return Ok(value);
        }
        self.wait_for(None, Self::get)
    }

    /// Takes the next value, waiting at most `timeout`.
    ///
    /// # Errors
    /// As [`pop`](Self::pop), and [`PopError::Empty`] or [`PopError::Stalled`] when the time ran out.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ringlane::{PopError, mpmc::Queue};
    /// let queue = Queue::<u64>::private(8)?;
    /// let popped = queue.consumer()?.pop_timeout(Duration::from_millis(1));
    /// assert_eq!(popped, Err(PopError::Empty));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn pop_timeout(&mut self, timeout: Duration) -> Popped<T> {
        self.attempt(Limit::Within(timeout), Self::get)
    }

    /// Looks so many times whether there is something to take, at most. Whether there is, as far as was looked.
    #[inline(always)]
    fn poll(&self, most: u32) -> bool {
        for _ in 0..if most > 0 { self.head_start } else { 0 } {
            spin_hint();
        }
        looks(most, || self.ring.is_changed(&self.seat.slots))
    }

    /// A wait has ended: is the next one to begin with longer pauses?
    #[inline(always)]
    fn was_woken(&mut self) {
        let copied = self.ahead.has(self.ring.head());
        // With acknowledgements consumers write to slots, too, and a look ahead costs more than it gains.
        let more = copied || !self.seat.acked && self.ring.is_changed(&self.seat.slots);
        self.head_start = match more {
            true => (2 * self.head_start).min(LONG_START),
            false => (self.head_start / 2).max(HEAD_START),
        };
    }

    /// Waits until an attempt takes something.
    #[cold]
    fn wait_for<R>(
        &mut self,
        timeout: Option<Duration>,
        mut attempt: impl FnMut(&mut Self) -> std::result::Result<R, Nothing>,
    ) -> Popped<R> {
        let tried = |c: &mut Self| {
            c.ring.renew();
            // An attempt may ask the kernel about other slots.
            let ask = c.seat.ask;
            let nothing = match attempt(c) {
                Ok(value) => return Some(Ok(value)),
                Err(nothing) => nothing,
            };
            // The kernel is asked once in a while, not at each look, and claims are the producers' lines.
            if !ask && !c.seat.others_closed() {
                return None;
            }
            let mut attempt = |c: &mut Self| attempt(c).map_err(|nothing| c.find_claim(nothing));
            match c.find_claim(nothing) {
                Nothing::Pending(mut held) => {
                    c.seat.ask = false;
                    while ask && c.settle(held) {
                        held = match attempt(c) {
                            Ok(value) => return Some(Ok(value)),
                            Err(Nothing::Empty) => return None,
                            Err(Nothing::Pending(next)) => next,
                        };
                    }
                    None
                }
                Nothing::Empty if c.seat.others_closed() => match attempt(c) {
                    Ok(value) => Some(Ok(value)),
                    Err(Nothing::Empty) if !c.ring.is_spent() && !c.seat.may_come_again() => {
                        Some(Err(PopError::Closed))
                    }
                    Err(_) => None,
                },
                Nothing::Empty => None,
            }
        };
        let poll = |c: &Self, most| {
            c.poll(most);
        };
        let done = block(self, |c| &mut c.seat, timeout, poll, tried);
        self.was_woken();
        match done {
            Ok(done) => done,
            // Says who is in the way, and looks once more.
            Err(Blocked::TimedOut) => self.explain(attempt),
            Err(Blocked::PeerDied) => loop {
                let from = self.ring.head();
                match self.explain(&mut attempt) {
                    // There may be something behind what was passed.
                    Err(PopError::Empty) if self.ring.is_spent() && timeout.is_some() => {
                        break Err(PopError::Empty);
                    }
                    Err(PopError::Empty) if self.ring.is_spent() && self.ring.head() != from => {}
                    Err(PopError::Empty | PopError::Closed) => break Err(PopError::PeerDied),
                    done => break done,
                }
            },
        }
    }

    /// Takes as many values as are there now and fit into `out`, in a row: no other consumer gets one of
    /// them. How many came. Never waits. In an acknowledged queue one at a time.
    ///
    /// # Errors
    /// As [`try_pop`](Self::try_pop), if not even one came.
    ///
    /// ```
    /// let queue = ringlane::mpmc::Queue::<u64>::private(8)?;
    /// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
    /// producer.push_slice(&[1, 2, 3]).unwrap();
    /// let mut out = [0; 8];
    /// assert_eq!(consumer.try_pop_slice(&mut out), Ok(3));
    /// assert_eq!(out[..3], [1, 2, 3]);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn try_pop_slice(&mut self, out: &mut [T]) -> Popped<usize> {
        match self.get_slice(out) {
            Ok(count) => Ok(count),
            Err(_) => self.explain(|c| c.get_slice(out)),
        }
    }

    #[inline(always)]
    fn get_slice(&mut self, out: &mut [T]) -> std::result::Result<usize, Nothing> {
        match out {
            [] => Ok(0),
            [first, ..] if self.seat.acked => {
                *first = self.get()?;
                Ok(1)
            }
            _ => self.get_some(out),
        }
    }

    /// The same, waiting for the first value as long as it takes.
    ///
    /// # Errors
    /// As [`pop`](Self::pop).
    ///
    /// ```
    /// let queue = ringlane::mpmc::Queue::<u64>::private(8)?;
    /// queue.producer()?.push(1).unwrap();
    /// assert_eq!(queue.consumer()?.pop_slice(&mut [0; 8]), Ok(1));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn pop_slice(&mut self, out: &mut [T]) -> Popped<usize> {
        match self.get_slice(out) {
            Ok(count) => Ok(count),
            Err(_) => self.wait_for(None, |c| c.get_slice(out)),
        }
    }

    /// Takes the next value to be acknowledged, if it is there: see [`Taken`]. Never waits.
    ///
    /// # Errors
    /// As [`try_pop`](Self::try_pop).
    ///
    /// ```
    /// use ringlane::mpmc::{Delivery, Queue};
    /// let queue = Queue::<u64>::options().delivery(Delivery::AtLeastOnce).private()?;
    /// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
    /// producer.push(1).unwrap();
    /// drop(consumer.try_take().unwrap()); // comes again
    /// let delivery = consumer.try_take().unwrap();
    /// assert!(delivery.is_again());
    /// assert_eq!(delivery.acknowledge(), 1);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn try_take(&mut self) -> Popped<Taken<'_, T>> {
        let taken = self.attempt(Limit::Now, Self::hand_out)?;
        Ok(self.deliver(taken))
    }

    /// Takes the next value to be acknowledged, waiting as long as it takes.
    ///
    /// # Errors
    /// As [`pop`](Self::pop).
    ///
    /// ```
    /// let queue = ringlane::mpmc::Queue::<u64>::private(8)?;
    /// queue.producer()?.push(7).unwrap();
    /// assert_eq!(*queue.consumer()?.take().unwrap(), 7);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn take(&mut self) -> Popped<Taken<'_, T>> {
        let taken = self.attempt(Limit::Never, Self::hand_out)?;
        Ok(self.deliver(taken))
    }

    /// Takes the next value to be acknowledged, waiting at most `timeout`.
    ///
    /// # Errors
    /// As [`pop_timeout`](Self::pop_timeout).
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::mpmc::Queue::<u64>::private(8)?;
    /// assert!(queue.consumer()?.take_timeout(Duration::ZERO).is_err());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn take_timeout(&mut self, timeout: Duration) -> Popped<Taken<'_, T>> {
        let taken = self.attempt(Limit::Within(timeout), Self::hand_out)?;
        Ok(self.deliver(taken))
    }

    /// A value, and what to acknowledge if there is something.
    fn hand_out(&mut self) -> std::result::Result<(T, Option<There>), Nothing> {
        match self.seat.acked {
            true => self.hold().map(|(value, taken)| (value, Some(taken))),
            false => self.get().map(|value| (value, None)),
        }
    }

    fn deliver(&mut self, (value, taken): (T, Option<There>)) -> Taken<'_, T> {
        Taken::new(self, value, taken)
    }

    /// What was taken comes again.
    pub(in crate::queue) fn give_back(&self, taken: There) {
        self.ring.give_back(self.seat.forum().common(), &self.seat.slots, taken);
        self.seat.notify_items();
    }

    /// How many values are there now. In an acknowledged queue those count that consumers hold.
    ///
    /// ```
    /// let queue = ringlane::mpmc::Queue::<u64>::private(8)?;
    /// let consumer = queue.consumer()?;
    /// queue.producer()?.push(1).unwrap();
    /// assert_eq!(consumer.available(), 1);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn available(&self) -> usize {
        let slots = &self.seat.slots;
        let head = self.seat.forum().common().head.load(Ordering::Relaxed);
        let word = |position| slots.cells().sequence(position).load(Ordering::Relaxed);
        let claim = |position| slots.claim(position).load(Ordering::Relaxed);
        depth(head, slots.capacity(), word, claim).1 as usize
    }

    /// What the producers are together: alive if one of them is; else dead if one died and no other has come
    /// since; else closed.
    ///
    /// ```
    /// use ringlane::{Peer, mpmc::Queue};
    /// assert_eq!(Queue::<u64>::private(8)?.consumer()?.peer(), Peer::Vacant);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn peer(&self) -> Peer {
        self.seat.others()
    }

    /// Waits until a living process holds a producing end; false if the time ran out before.
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::mpmc::Queue::<u64>::private(8)?;
    /// let producer = queue.producer()?;
    /// assert!(queue.consumer()?.wait_peer(Some(Duration::ZERO)));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn wait_peer(&mut self, timeout: Option<Duration>) -> bool {
        end::wait_peer(self, |c| &mut c.seat, timeout)
    }

    /// Chooses how this end waits. Each clone has a choice of its own.
    ///
    /// ```
    /// use ringlane::{Wait, mpmc::Queue};
    /// Queue::<u64>::private(8)?.consumer()?.set_wait(Wait::Yield);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn set_wait(&mut self, wait: Wait) {
        self.seat.set_wait(wait);
    }

    /// Drops this end. The place is closed with the last of its clones.
    ///
    /// ```
    /// let queue = ringlane::mpmc::Queue::<u64>::private(8)?;
    /// queue.consumer()?.close();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn close(self) {}
}
