//! The consuming end and the values it reads.
#![allow(unsafe_code, reason = "lends the places of values")]

use crate::error::PopError;
use crate::layout::Slots;
use crate::plain::Plain;
use crate::queue::end::{Blocked, End, block};
use crate::queue::front;
use crate::ring::spsc::Reader;
use std::time::Duration;

type Result<T> = std::result::Result<T, PopError>;

/// The consuming end of a [`Queue`](super::Queue). Dropping it closes it: the producer is told at its next push.
///
/// ```
/// use ringlane::{PushError, spsc::Queue};
/// let queue = Queue::<u64>::private(8)?;
/// let mut producer = queue.producer()?;
/// drop(queue.consumer()?);
/// assert!(matches!(producer.push(1), Err(PushError::Closed(1))));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
pub struct Consumer<T> {
    pub(super) end: End,
    pub(super) ring: Reader,
    pub(super) slots: Slots<T>,
}

impl<T: Plain> Consumer<T> {
    /// Takes the next value if it is there. Never waits.
    ///
    /// # Errors
    /// [`PopError::Empty`], [`PopError::Closed`].
    ///
    /// ```
    /// use ringlane::{PopError, spsc::Queue};
    /// let queue = Queue::<u64>::private(8)?;
    /// assert_eq!(queue.consumer()?.try_pop(), Err(PopError::Empty));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn try_pop(&mut self) -> Result<T> {
        if self.acquire(1)? == 0 {
            self.look_again()?;
        }
        Ok(self.take())
    }

    /// How many values, up to `most`, can be read.
    #[inline(always)]
    fn acquire(&mut self, most: u64) -> Result<u64> {
        let Consumer { end, ring, slots } = self;
        let acquired = ring.acquire(most, end.peer_position(), slots.cells());
        acquired.map_err(|_| PopError::Corrupt)
    }

    /// Copies a value that was acquired, and gives its place back.
    #[inline(always)]
    fn take(&mut self) -> T {
        let value = self.slots.cells().load(self.ring.head());
        self.ring.release(1, self.end.own());
        self.end.notify();
        value
    }

    /// The ring was empty: for good?
    fn look_again(&mut self) -> Result<()> {
        if !self.end.peer_closed() {
            return Err(PopError::Empty);
        }
        // The last value may have come between our look and the close.
        if self.acquire(1)? == 0 { Err(PopError::Closed) } else { Ok(()) }
    }

    /// Takes the next value, waiting as long as it takes.
    ///
    /// # Errors
    /// [`PopError::Closed`] and [`PopError::PeerDied`], after everything committed has been taken.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// queue.producer()?.push(7).unwrap();
    /// assert_eq!(queue.consumer()?.pop(), Ok(7));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn pop(&mut self) -> Result<T> {
        self.pop_within(None)
    }

    #[inline(always)]
    fn pop_within(&mut self, timeout: Option<Duration>) -> Result<T> {
        self.acquire_wait(1, timeout)?;
        Ok(self.take())
    }

    /// Takes the next value, waiting at most `timeout`.
    ///
    /// # Errors
    /// As [`pop`](Self::pop), and [`PopError::Empty`] when the time ran out.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ringlane::{PopError, spsc::Queue};
    /// let queue = Queue::<u64>::private(8)?;
    /// let popped = queue.consumer()?.pop_timeout(Duration::from_millis(1));
    /// assert_eq!(popped, Err(PopError::Empty));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn pop_timeout(&mut self, timeout: Duration) -> Result<T> {
        self.pop_within(Some(timeout))
    }

    /// Looks so many times whether there is a value to be acquired.
    #[inline(always)]
    fn poll(&self, times: u32) -> bool {
        self.ring.poll(self.end.peer_position(), self.slots.cells(), times)
    }

    /// Waits until there is a value to be acquired: first here, without a call into what is rarely needed.
    #[inline(always)]
    fn acquire_wait(&mut self, most: u64, timeout: Option<Duration>) -> Result<u64> {
        let found = self.acquire(most)?;
        if found > 0 {
            return Ok(found);
        }
        if !self.poll(self.end.polls()) {
            self.wait_for_value(timeout)?;
        }
        self.acquire(most)
    }

    /// The same, when it takes longer.
    #[cold]
    #[inline(never)]
    fn wait_for_value(&mut self, timeout: Option<Duration>) -> Result<()> {
        let acquired = block(
            self,
            |c| &mut c.end,
            timeout,
            |c, times| {
                c.poll(times);
            },
            |c| match c.acquire(1) {
                Ok(0) => match c.look_again() {
                    Err(PopError::Empty) => None,
                    done => Some(done),
                },
                done => Some(done.map(|_| ())),
            },
        );
        acquired.unwrap_or_else(|blocked| match blocked {
            Blocked::TimedOut => Err(PopError::Empty),
            Blocked::PeerDied => Err(PopError::PeerDied),
        })
    }

    /// The next values, as many as are there now, but at most `most`. Never waits.
    ///
    /// # Errors
    /// As [`try_pop`](Self::try_pop).
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
    /// assert!(consumer.try_read(64).unwrap_err().is_empty());
    /// producer.push(1).unwrap();
    /// assert_eq!(consumer.try_read(64).unwrap().len(), 1);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn try_read(&mut self, most: usize) -> Result<Span<'_, T>> {
        let mut found = self.acquire(most as u64)?;
        if found == 0 && most > 0 {
            self.look_again()?;
            found = self.acquire(most as u64)?;
        }
        Ok(Span::of(self, found))
    }

    /// The next values, at most `most`, waiting for the first of them as long as it takes.
    ///
    /// # Errors
    /// As [`pop`](Self::pop).
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
    /// (1..=5).for_each(|n| producer.push(n).unwrap());
    /// let span = consumer.read(4).unwrap();
    /// assert_eq!(span.iter().sum::<u64>(), 1 + 2 + 3 + 4);
    /// span.release();
    /// assert_eq!(consumer.pop(), Ok(5));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn read(&mut self, most: usize) -> Result<Span<'_, T>> {
        self.read_within(most, None)
    }

    /// The next values, at most `most`, waiting for the first of them at most `timeout`.
    ///
    /// # Errors
    /// As [`pop_timeout`](Self::pop_timeout).
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// let mut consumer = queue.consumer()?;
    /// assert!(consumer.read_timeout(8, Duration::from_millis(1)).unwrap_err().is_empty());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn read_timeout(&mut self, most: usize, timeout: Duration) -> Result<Span<'_, T>> {
        self.read_within(most, Some(timeout))
    }

    #[inline(always)]
    fn read_within(&mut self, most: usize, timeout: Option<Duration>) -> Result<Span<'_, T>> {
        let found = if most > 0 { self.acquire_wait(most as u64, timeout)? } else { 0 };
        Ok(Span::of(self, found))
    }

    /// Pops until the producer has closed its end or died: an iterator that waits.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
    /// (1..=3).for_each(|n| producer.push(n).unwrap());
    /// producer.close();
    /// assert_eq!(consumer.iter().collect::<Vec<_>>(), [1, 2, 3]);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn iter(&mut self) -> impl Iterator<Item = T> {
        std::iter::from_fn(|| self.pop().ok())
    }

    /// Pops what is there: an iterator that never waits.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// queue.producer()?.push(1).unwrap();
    /// assert_eq!(queue.consumer()?.try_iter().count(), 1);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn try_iter(&mut self) -> impl Iterator<Item = T> {
        std::iter::from_fn(|| self.try_pop().ok())
    }

    /// How many values fit.
    ///
    /// ```
    /// assert_eq!(ringlane::spsc::Queue::<u64>::private(64)?.consumer()?.capacity(), 64);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn capacity(&self) -> usize {
        self.slots.capacity() as usize
    }

    /// How many values are there now. It can only become more until this end pops.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// let mut consumer = queue.consumer()?;
    /// queue.producer()?.push(1).unwrap();
    /// assert_eq!(consumer.depth(), 1);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn depth(&self) -> usize {
        self.ring.depth(self.end.peer_position(), self.slots.cells()) as usize
    }

    front::end! {
        field: end,
        queue: "spsc::Queue::<u64>::private(8)",
        own: "consumer",
        peer: "producer",
        peers_end: "producing",
    }
}

/// Values that are there to be taken, still in the ring. Releasing them gives their places back; dropping
/// this takes nothing, and they come again.
///
/// ```
/// use ringlane::spsc::Queue;
/// let queue = Queue::<u64>::private(8)?;
/// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
/// producer.push(7).unwrap();
/// assert_eq!(consumer.read(8).unwrap().get(0), 7);
/// assert_eq!(consumer.pop(), Ok(7));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "values that are not released come again"]
pub struct Span<'a, T> {
    consumer: &'a mut Consumer<T>,
    /// The position of the first value.
    head: u64,
    len: usize,
}

impl<'a, T: Plain> Span<'a, T> {
    #[inline(always)]
    fn of(consumer: &'a mut Consumer<T>, len: u64) -> Self {
        let head = consumer.ring.head();
        Span { consumer, head, len: len as usize }
    }

    /// How many values there are.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// queue.producer()?.push(1).unwrap();
    /// assert_eq!(queue.consumer()?.read(8).unwrap().len(), 1);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none: only if none were asked for.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// assert!(queue.consumer()?.read(0).unwrap().is_empty());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies one of the values.
    ///
    /// # Panics
    /// If there are not so many.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// let mut producer = queue.producer()?;
    /// (0..4).for_each(|n| producer.push(n).unwrap());
    /// assert_eq!(queue.consumer()?.read(4).unwrap().get(2), 2);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn get(&self, index: usize) -> T {
        assert!(index < self.len, "value {index} of {}", self.len);
        self.consumer.slots.cells().load(self.head.wrapping_add(index as u64))
    }

    /// Copies of the values, one after another.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// let mut producer = queue.producer()?;
    /// (0..4).for_each(|n| producer.push(n).unwrap());
    /// let mut consumer = queue.consumer()?;
    /// let span = consumer.read(4).unwrap();
    /// assert!(span.iter().eq(0..4));
    /// span.release();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = T> {
        self.consumer.slots.cells().walk(self.head, self.len)
    }

    /// Copies all of the values.
    ///
    /// # Panics
    /// If the slice is not of this length.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u8>::private(8)?;
    /// let mut producer = queue.producer()?;
    /// b"hello".iter().for_each(|byte| producer.push(*byte).unwrap());
    /// let mut bytes = [0; 5];
    /// queue.consumer()?.read(5).unwrap().copy_to_slice(&mut bytes);
    /// assert_eq!(&bytes, b"hello");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn copy_to_slice(&self, values: &mut [T]) {
        assert_eq!(values.len(), self.len, "a slice of another length than the span's");
        self.consumer.slots.cells().load_all(self.head, values);
    }

    /// The values, to be read in place; the second slice begins where the ring does, and is empty unless the
    /// span goes round its end. None with [`Layout::Slots`](super::Layout::Slots), where values do not lie
    /// side by side.
    ///
    /// # Safety
    /// Until the slices are gone, nobody writes to these bytes: the process of the other end, and every
    /// other process that may open the ring, keeps to this crate's rules.
    ///
    /// ```
    /// use ringlane::spsc::{Layout, Queue};
    /// let queue = Queue::<f32>::options().layout(Layout::Dense).private()?;
    /// queue.producer()?.push(0.5).unwrap();
    /// let mut consumer = queue.consumer()?;
    /// let span = consumer.read(8).unwrap();
    /// // SAFETY: the ring is private to this process.
    /// assert_eq!(unsafe { span.as_slices() }, Some((&[0.5][..], &[][..])));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[cfg(not(loom))]
    #[inline]
    pub unsafe fn as_slices(&self) -> Option<(&[T], &[T])> {
        let (at, first, again) = self.consumer.slots.cells().places(self.head, self.len)?;
        // SAFETY: `places` gives places of values side by side and aligned, any bytes are a `T`, the borrow
        // keeps them mapped, and the caller vouches that nobody writes.
        let here = unsafe { std::slice::from_raw_parts(at.as_ptr(), first) };
        // SAFETY: as above.
        let there = unsafe { std::slice::from_raw_parts(again.as_ptr(), self.len - first) };
        Some((here, there))
    }

    /// Gives the places of all values back to the producer. This acknowledges them: they do not come again.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// queue.producer()?.push(1).unwrap();
    /// let mut consumer = queue.consumer()?;
    /// consumer.read(8).unwrap().release();
    /// assert_eq!(consumer.depth(), 0);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn release(self) {
        let len = self.len;
        self.release_len(len);
    }

    /// Gives the places of the first `len` values back. The others come again.
    ///
    /// # Panics
    /// If there are not so many.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// let mut producer = queue.producer()?;
    /// (0..4).for_each(|n| producer.push(n).unwrap());
    /// let mut consumer = queue.consumer()?;
    /// consumer.read(4).unwrap().release_len(3);
    /// assert_eq!(consumer.pop(), Ok(3));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn release_len(self, len: usize) {
        assert!(len <= self.len, "release of {len} values, {} read", self.len);
        let Consumer { end, ring, .. } = self.consumer;
        ring.release(len as u64, end.own());
        end.notify();
    }
}
