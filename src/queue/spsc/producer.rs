//! The producing end and the room it reserves.
#![allow(unsafe_code, reason = "lends the places of values")]

use crate::error::{PushError, ReserveError};
use crate::layout::Slots;
use crate::plain::Plain;
use crate::queue::end::{self, Blocked, End, block};
use crate::queue::front;
use crate::ring::Claim;
use crate::ring::spsc::Writer;
use std::time::Duration;

/// The producing end of a [`Queue`](super::Queue). Dropping it closes it: the consumer takes what is left, and is then
/// told.
///
/// ```
/// use ringlane::{PopError, spsc::Queue};
/// let queue = Queue::<u64>::private(8)?;
/// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
/// producer.push(1).unwrap();
/// drop(producer);
/// assert_eq!(consumer.pop(), Ok(1));
/// assert_eq!(consumer.pop(), Err(PopError::Closed));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
pub struct Producer<T> {
    pub(super) end: End,
    pub(super) ring: Writer,
    pub(super) slots: Slots<T>,
}

impl<T: Plain> Producer<T> {
    /// Puts a value in if there is room now. Never waits.
    ///
    /// # Errors
    /// [`PushError::Full`], [`PushError::Closed`], [`PushError::Corrupt`]; the value comes back.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(2)?;
    /// let mut producer = queue.producer()?;
    /// assert!(producer.try_push(1).is_ok());
    /// assert!(producer.try_push(2).is_ok());
    /// assert!(producer.try_push(3).unwrap_err().is_full());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn try_push(&mut self, value: T) -> std::result::Result<(), PushError<T>> {
        match self.claim(1) {
            Ok(()) => {
                self.put(&value);
                Ok(())
            }
            Err(refused) => Err(refused.of(value)),
        }
    }

    /// Makes sure that there is room for `count` values, at most the capacity.
    #[inline(always)]
    fn claim(&mut self, count: u64) -> std::result::Result<(), PushError<()>> {
        if self.end.peer_closed() {
            return Err(PushError::Closed(()));
        }
        let claimed = self.ring.claim(count, self.end.own(), self.end.peer_position());
        claimed.map_err(|claim| match claim {
            Claim::Full => PushError::Full(()),
            Claim::Corrupt => PushError::Corrupt(()),
        })
    }

    /// Writes to the claimed place. The value stays with the caller, so that it is copied once.
    #[inline(always)]
    fn put(&mut self, value: &T) {
        let (tail, cells) = (self.ring.tail(self.end.own()), self.slots.cells());
        cells.store(tail, value);
        self.ring.publish(tail, 1, self.end.own(), cells);
        self.end.notify();
    }

    /// Puts a value in, waiting for room as long as it takes.
    ///
    /// # Errors
    /// [`PushError::Closed`], [`PushError::PeerDied`], [`PushError::Corrupt`]; the value comes back.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(2)?;
    /// queue.producer()?.push(1).unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn push(&mut self, value: T) -> std::result::Result<(), PushError<T>> {
        self.push_within(value, None)
    }

    #[inline(always)]
    fn push_within(
        &mut self,
        value: T,
        timeout: Option<Duration>,
    ) -> std::result::Result<(), PushError<T>> {
        let claimed = match self.claim(1) {
            Err(PushError::Full(())) => self.claim_wait(1, timeout),
            done => done,
        };
        match claimed {
            Ok(()) => {
                self.put(&value);
                Ok(())
            }
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
    /// let queue = ringlane::spsc::Queue::<u64>::private(1)?;
    /// let mut producer = queue.producer()?;
    /// producer.push(1).unwrap();
    /// assert!(producer.push_timeout(2, Duration::from_millis(1)).unwrap_err().is_full());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn push_timeout(
        &mut self,
        value: T,
        timeout: Duration,
    ) -> std::result::Result<(), PushError<T>> {
        self.push_within(value, Some(timeout))
    }

    #[cold]
    #[inline(never)]
    fn claim_wait(
        &mut self,
        count: u64,
        timeout: Option<Duration>,
    ) -> std::result::Result<(), PushError<()>> {
        let claimed = block(
            self,
            |p| &mut p.end,
            timeout,
            |p, times| p.ring.poll(p.end.peer_position(), times),
            |p| match p.claim(count) {
                Err(PushError::Full(())) => None,
                done => Some(done),
            },
        );
        claimed.unwrap_or_else(|blocked| match blocked {
            Blocked::TimedOut => Err(PushError::Full(())),
            Blocked::PeerDied => Err(PushError::PeerDied(())),
        })
    }

    /// Room for `count` values in a row, if there is any now. Never waits.
    ///
    /// # Errors
    /// [`ReserveError::Full`], [`ReserveError::TooLarge`] for more than the capacity,
    /// [`ReserveError::Closed`], [`ReserveError::Corrupt`].
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(64)?;
    /// let mut producer = queue.producer()?;
    /// let mut room = producer.try_reserve(3).unwrap();
    /// room.fill([1, 2, 3]);
    /// room.commit();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn try_reserve(
        &mut self,
        count: usize,
    ) -> std::result::Result<Reserve<'_, T>, ReserveError> {
        let values = self.fits(count)?;
        self.claim(values)?;
        Ok(Reserve::of(self, count))
    }

    /// Room for `count` values in a row, waiting for it as long as it takes.
    ///
    /// # Errors
    /// [`ReserveError::TooLarge`], [`ReserveError::Closed`], [`ReserveError::PeerDied`],
    /// [`ReserveError::Corrupt`].
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<f32>::private(512)?;
    /// let mut producer = queue.producer()?;
    /// let mut room = producer.reserve(128).unwrap();
    /// room.copy_from_slice(&[0.5; 128]);
    /// room.commit();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn reserve(&mut self, count: usize) -> std::result::Result<Reserve<'_, T>, ReserveError> {
        self.reserve_within(count, None)
    }

    /// Room for `count` values in a row, waiting for it at most `timeout`.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve), and [`ReserveError::Full`] when the time ran out.
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::spsc::Queue::<u64>::private(4)?;
    /// let mut producer = queue.producer()?;
    /// producer.push(1).unwrap();
    /// assert!(producer.reserve_timeout(4, Duration::from_millis(1)).unwrap_err().is_full());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn reserve_timeout(
        &mut self,
        count: usize,
        timeout: Duration,
    ) -> std::result::Result<Reserve<'_, T>, ReserveError> {
        self.reserve_within(count, Some(timeout))
    }

    #[inline(always)]
    fn reserve_within(
        &mut self,
        count: usize,
        timeout: Option<Duration>,
    ) -> std::result::Result<Reserve<'_, T>, ReserveError> {
        let values = self.fits(count)?;
        match self.claim(values) {
            Err(PushError::Full(())) => self.claim_wait(values, timeout)?,
            done => done?,
        }
        Ok(Reserve::of(self, count))
    }

    #[inline(always)]
    fn fits(&self, count: usize) -> std::result::Result<u64, ReserveError> {
        match self.capacity() {
            max if count > max => Err(ReserveError::TooLarge { len: count, max }),
            _ => Ok(count as u64),
        }
    }

    /// How many values fit.
    ///
    /// ```
    /// assert_eq!(ringlane::spsc::Queue::<u64>::private(64)?.producer()?.capacity(), 64);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn capacity(&self) -> usize {
        self.slots.capacity() as usize
    }

    /// Waits until the consumer has taken everything.
    ///
    /// # Errors
    /// [`PushError::Full`] when the time ran out, [`PushError::Closed`] and [`PushError::PeerDied`] if
    /// something is left that nobody will take, [`PushError::Corrupt`].
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::spsc::Queue::<u64>::private(2)?;
    /// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
    /// producer.push(1).unwrap();
    /// assert!(producer.flush(Some(Duration::ZERO)).is_err());
    /// consumer.pop().unwrap();
    /// assert!(producer.flush(None).is_ok());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn flush(&mut self, timeout: Option<Duration>) -> std::result::Result<(), PushError<()>> {
        let extent = |p: &mut Self| (p.ring.tail(p.end.own()), p.slots.capacity());
        end::flush(self, |p| &mut p.end, timeout, extent)
    }

    /// How many more values fit now. It can only become more until this end pushes.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// let mut producer = queue.producer()?;
    /// producer.push(1).unwrap();
    /// assert_eq!(producer.vacant(), 7);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn vacant(&self) -> usize {
        let used = self.end.lead(self.ring.tail(self.end.own()));
        self.slots.capacity().saturating_sub(used) as usize
    }

    front::end! {
        field: end,
        queue: "spsc::Queue::<u64>::private(8)",
        own: "producer",
        peer: "consumer",
        peers_end: "consuming",
    }
}

/// Room in the ring for several values. Committing hands them to the consumer; dropping it gives the room up.
///
/// What is committed appears value by value, in order: a producer killed in the middle of a commit has
/// committed the first of them. With [`Layout::Dense`](super::Layout::Dense) all appear at once.
///
/// ```
/// use ringlane::{PopError, spsc::Queue};
/// let queue = Queue::<u64>::private(8)?;
/// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
/// drop(producer.reserve(4).unwrap());
/// assert_eq!(consumer.try_pop(), Err(PopError::Empty));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "room that is dropped is given up"]
pub struct Reserve<'a, T> {
    producer: &'a mut Producer<T>,
    /// The position of the first value.
    tail: u64,
    len: usize,
}

impl<'a, T: Plain> Reserve<'a, T> {
    #[inline(always)]
    fn of(producer: &'a mut Producer<T>, len: usize) -> Self {
        let tail = producer.ring.tail(producer.end.own());
        Reserve { producer, tail, len }
    }

    /// How many values there is room for.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// assert_eq!(queue.producer()?.reserve(5).unwrap().len(), 5);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is room for none.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// assert!(queue.producer()?.reserve(0).unwrap().is_empty());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts one of the values in. Those that are not set are whatever was there before.
    ///
    /// # Panics
    /// If there are not so many.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// let mut producer = queue.producer()?;
    /// let mut room = producer.reserve(2).unwrap();
    /// room.set(1, 20);
    /// room.set(0, 10);
    /// room.commit();
    /// assert_eq!(queue.consumer()?.pop(), Ok(10));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn set(&mut self, index: usize, value: T) {
        assert!(index < self.len, "value {index} of {}", self.len);
        self.producer.slots.cells().store(self.tail.wrapping_add(index as u64), &value);
    }

    /// Puts values in, from the first on, until there are no more of them or no more room. Says how many.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// let mut producer = queue.producer()?;
    /// let mut room = producer.reserve(4).unwrap();
    /// let filled = room.fill(1..=3);
    /// room.commit_len(filled);
    /// assert_eq!(queue.consumer()?.depth(), 3);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn fill(&mut self, values: impl IntoIterator<Item = T>) -> usize {
        self.producer.slots.cells().store_each(self.tail, self.len, values.into_iter())
    }

    /// Puts as many values in as there is room for.
    ///
    /// # Panics
    /// If the slice is not of this length.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u8>::private(8)?;
    /// let mut producer = queue.producer()?;
    /// let mut room = producer.reserve(5).unwrap();
    /// room.copy_from_slice(b"hello");
    /// room.commit();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn copy_from_slice(&mut self, values: &[T]) {
        assert_eq!(values.len(), self.len, "a slice of another length than the room's");
        self.producer.slots.cells().store_all(self.tail, values);
    }

    /// The places of the values, to be written in place; the second slice begins where the ring does, and
    /// is empty unless the room goes round its end. They hold whatever was there before. None with
    /// [`Layout::Slots`](super::Layout::Slots), where values do not lie side by side.
    ///
    /// # Safety
    /// Until the slices are gone, nobody else writes to these bytes: the process of the other end, and
    /// every other process that may open the ring, keeps to this crate's rules.
    ///
    /// ```
    /// use ringlane::spsc::{Layout, Queue};
    /// let queue = Queue::<f32>::options().layout(Layout::Dense).private()?;
    /// let mut producer = queue.producer()?;
    /// let mut room = producer.reserve(3).unwrap();
    /// // SAFETY: the ring is private to this process.
    /// let (here, there) = unsafe { room.as_mut_slices() }.expect("side by side");
    /// here.copy_from_slice(&[0.1, 0.2, 0.3]);
    /// assert!(there.is_empty());
    /// room.commit();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[cfg(not(loom))]
    #[inline]
    pub unsafe fn as_mut_slices(&mut self) -> Option<(&mut [T], &mut [T])> {
        let (at, first, again) = self.producer.slots.cells().places(self.tail, self.len)?;
        // SAFETY: `places` gives places of values side by side and aligned, any bytes are a `T`, the borrow
        // keeps them mapped, and the caller vouches that nobody else writes.
        let here = unsafe { std::slice::from_raw_parts_mut(at.as_ptr(), first) };
        // SAFETY: as above; these are other places.
        let there = unsafe { std::slice::from_raw_parts_mut(again.as_ptr(), self.len - first) };
        Some((here, there))
    }

    /// Hands the values to the consumer.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<[u64; 7]>::private(8)?;
    /// let mut producer = queue.producer()?;
    /// let mut room = producer.reserve(2).unwrap();
    /// room.fill([[1; 7], [2; 7]]);
    /// room.commit();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn commit(self) {
        let len = self.len;
        self.commit_len(len);
    }

    /// Hands the first `len` values to the consumer and gives up the rest of the room.
    ///
    /// # Panics
    /// If there are not so many.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// let mut producer = queue.producer()?;
    /// let mut room = producer.reserve(8).unwrap();
    /// room.set(0, 1);
    /// room.commit_len(1);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn commit_len(self, len: usize) {
        assert!(len <= self.len, "commit of {len} values, {} reserved", self.len);
        let Producer { end, ring, slots } = self.producer;
        ring.publish(self.tail, len as u64, end.own(), slots.cells());
        end.notify();
    }
}
