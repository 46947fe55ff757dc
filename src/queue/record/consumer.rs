//! The consuming end and the record it reads.
#![allow(unsafe_code, reason = "lends the bytes of a record")]

use super::{Records, StreamReader, View, outside};
use crate::error::PopError;
use crate::layout::{Bytes, Home, Peer};
use crate::queue::end::{Blocked, End, Limit, block};
use crate::queue::front;
use crate::ring::record::{Found, Reader, Shape};
use std::sync::Arc;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, PopError>;

/// The least that a record takes of a ring.
const HEADER: usize = 8;

/// The consuming end of a [`Queue`](super::Queue). Dropping it closes it: the producer is told when it
/// next reserves.
///
/// ```
/// use ringlane::{ReserveError, record::Queue};
/// let queue = Queue::private(4096)?;
/// let mut producer = queue.producer()?;
/// drop(queue.consumer()?);
/// assert_eq!(producer.push(b"x"), Err(ReserveError::Closed));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
pub struct Consumer {
    pub(super) end: End,
    pub(super) ring: Reader,
    pub(super) bytes: Bytes,
    /// Records that were read together.
    pub(super) ahead: Vec<Found>,
}

impl Consumer {
    /// The end of a ring that is in this home.
    pub(crate) fn of(end: End, home: Arc<dyn Home>, align: usize) -> crate::error::Result<Self> {
        let bytes = Bytes::of(home);
        let ring = Reader::resume(Shape::of(&bytes, align), end.own(), &bytes);
        let ring = ring.map_err(|_| end.corrupt())?;
        Ok(Consumer { end, ring, bytes, ahead: Vec::new() })
    }

    pub(crate) fn end(&mut self) -> &mut End {
        &mut self.end
    }

    /// The next record, in the ring itself, if it is there. Never waits.
    ///
    /// # Errors
    /// [`PopError::Empty`], [`PopError::Closed`], [`PopError::Corrupt`].
    ///
    /// ```
    /// use ringlane::{PopError, record::Queue};
    /// let queue = Queue::private(4096)?;
    /// assert_eq!(queue.consumer()?.try_read().unwrap_err(), PopError::Empty);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline(always)]
    pub fn try_read(&mut self) -> Result<Record<'_>> {
        let found = self.find()?;
        Ok(Record { consumer: self, found })
    }

    /// The next record, waiting as long as it takes.
    ///
    /// # Errors
    /// [`PopError::Closed`] and [`PopError::PeerDied`], after everything committed has been released;
    /// [`PopError::Corrupt`].
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"hello").unwrap();
    /// let mut consumer = queue.consumer()?;
    /// let record = consumer.read().unwrap();
    /// assert_eq!(record.len(), 5);
    /// record.release();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline(always)]
    pub fn read(&mut self) -> Result<Record<'_>> {
        self.read_within(None)
    }

    /// The next record, waiting at most `timeout`.
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`PopError::Empty`] when the time ran out.
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let mut consumer = queue.consumer()?;
    /// assert!(consumer.read_timeout(Duration::from_millis(1)).unwrap_err().is_empty());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn read_timeout(&mut self, timeout: Duration) -> Result<Record<'_>> {
        self.read_within(Some(timeout))
    }

    #[inline(always)]
    pub(crate) fn read_limited(&mut self, limit: Limit) -> Result<Record<'_>> {
        let found = self.find_limited(limit)?;
        Ok(Record { consumer: self, found })
    }

    #[inline(always)]
    fn read_within(&mut self, timeout: Option<Duration>) -> Result<Record<'_>> {
        let found = self.find_within(timeout)?;
        Ok(Record { consumer: self, found })
    }

    #[inline(always)]
    pub(super) fn find(&self) -> Result<Found> {
        match self.ring.acquire(&self.bytes) {
            Ok(Some(found)) => Ok(found),
            Ok(None) if !self.end.peer_closed() => Err(PopError::Empty),
            // The last record may have come between our look and the close.
            Ok(None) => match self.ring.acquire(&self.bytes) {
                Ok(found) => found.ok_or(PopError::Closed),
                Err(_) => Err(PopError::Corrupt),
            },
            Err(_) => Err(PopError::Corrupt),
        }
    }

    #[inline(always)]
    pub(super) fn find_within(&mut self, timeout: Option<Duration>) -> Result<Found> {
        match self.find() {
            Err(PopError::Empty) => {
                if !self.ring.poll(&self.bytes, self.end.polls()) {
                    self.wait_record(timeout)?;
                }
                // A record does not go again.
                self.find().map_err(|_| PopError::Corrupt)
            }
            done => done,
        }
    }

    /// Waits until there is a record. It does not give it: what is returned from here goes through memory, and
    /// would go there on the fast path, too.
    #[inline(always)]
    pub(crate) fn find_limited(&mut self, limit: Limit) -> Result<Found> {
        match limit {
            Limit::Now => self.find(),
            Limit::Within(timeout) => self.find_within(Some(timeout)),
            Limit::Never => self.find_within(None),
        }
    }

    /// The record that the next bytes of a stream are in: empty ones say nothing, and are passed over.
    #[inline(always)]
    pub(crate) fn find_filled(&mut self, limit: Limit) -> Result<Found> {
        let found = self.find_limited(limit)?;
        if found.len > 0 { Ok(found) } else { self.pass_empty(found, limit) }
    }

    /// A ring may be full of them; past that, it is their producer that keeps us at it, and not for longer than the
    /// time, or its life.
    #[cold]
    fn pass_empty(&mut self, mut found: Found, limit: Limit) -> Result<Found> {
        let began = Instant::now();
        let most = self.bytes.capacity() / HEADER;
        let (mut more, mut gone) = (most, false);
        loop {
            self.release(found, 1);
            more -= 1;
            let late = matches!(limit, Limit::Within(all) if began.elapsed() >= all);
            if more == 0 {
                if late || gone || matches!(limit, Limit::Now) {
                    return Err(if gone { PopError::PeerDied } else { PopError::Empty });
                }
                // Once more, for what came before its end.
                (more, gone) = (most, !matches!(self.end.peer(), Peer::Alive | Peer::Vacant));
            }
            found = self.find_limited(match limit {
                _ if late => Limit::Now,
                Limit::Within(all) => Limit::Within(all.saturating_sub(began.elapsed())),
                limit => limit,
            })?;
            if found.len > 0 {
                return Ok(found);
            }
        }
    }

    /// Takes the first bytes of a record that has some.
    #[inline(always)]
    pub(crate) fn take_bytes(&mut self, found: Found, to: &mut [u8]) -> usize {
        let len = found.len.min(to.len());
        self.bytes.copy_out(found.offset, &mut to[..len]);
        self.release_bytes(found, len);
        len
    }

    #[cold]
    fn wait_record(&mut self, timeout: Option<Duration>) -> Result<()> {
        let found = block(
            self,
            |c| &mut c.end,
            timeout,
            |c, times| {
                c.ring.poll(&c.bytes, times);
            },
            |c| match c.find() {
                Err(PopError::Empty) => None,
                done => Some(done),
            },
        );
        found.unwrap_or_else(|blocked| match blocked {
            Blocked::TimedOut => Err(PopError::Empty),
            Blocked::PeerDied => Err(PopError::PeerDied),
        })?;
        Ok(())
    }

    /// Gives back the first `count` records, the last of which is `found`.
    #[inline(always)]
    pub(crate) fn release(&mut self, found: Found, count: usize) {
        self.ring.release(found, count as u64, self.end.own());
        self.end.notify();
    }

    /// Gives back the first `len` bytes of the record at the head. What is left of it.
    #[inline(always)]
    pub(crate) fn release_bytes(&mut self, found: Found, len: usize) -> Option<Found> {
        if len < found.len {
            return Some(self.ring.release_part(found, len, self.end.own()));
        }
        self.release(found, 1);
        None
    }

    /// Several records, in the ring itself: all that are there, `max` at most. Never waits.
    ///
    /// # Errors
    /// As [`try_read`](Self::try_read), if not even one is there.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
    /// for n in 0..5 {
    ///     producer.push(&[n]).unwrap();
    /// }
    /// let records = consumer.try_read_many(3).unwrap();
    /// assert_eq!(records.get(2).unwrap().to_vec(), [2]);
    /// records.release_first(2);
    /// assert_eq!(consumer.pop().unwrap(), [2]);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn try_read_many(&mut self, max: usize) -> Result<Records<'_>> {
        let first = self.find()?;
        Ok(Records::from(self, first, max))
    }

    /// Several records, in the ring itself: all that are there, `max` at most, waiting for the first as long as
    /// it takes.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"one").unwrap();
    /// assert_eq!(queue.consumer()?.read_many(10).unwrap().len(), 1);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn read_many(&mut self, max: usize) -> Result<Records<'_>> {
        let first = self.find_within(None)?;
        Ok(Records::from(self, first, max))
    }

    /// Several records, in the ring itself: all that are there, `max` at most, waiting for the first at most
    /// `timeout`.
    ///
    /// # Errors
    /// As [`read_timeout`](Self::read_timeout).
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let mut consumer = queue.consumer()?;
    /// assert!(consumer.read_many_timeout(10, Duration::from_millis(1)).unwrap_err().is_empty());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn read_many_timeout(&mut self, max: usize, timeout: Duration) -> Result<Records<'_>> {
        let first = self.find_within(Some(timeout))?;
        Ok(Records::from(self, first, max))
    }

    /// A look at the record that is `n` places behind the next one, which is number 0. It takes nothing, and
    /// never waits. It walks from the next record on, so it takes as long as `n` is large.
    ///
    /// # Errors
    /// [`PopError::Empty`] if there are no more than `n`; [`PopError::Closed`] if there is none and will be
    /// none; [`PopError::Corrupt`].
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let mut producer = queue.producer()?;
    /// producer.push(b"first").unwrap();
    /// producer.push(b"second").unwrap();
    /// let consumer = queue.consumer()?;
    /// assert_eq!(consumer.try_peek(1).unwrap().to_vec(), b"second");
    /// assert_eq!(consumer.try_peek(0).unwrap().to_vec(), b"first");
    /// assert!(consumer.try_peek(2).unwrap_err().is_empty());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn try_peek(&self, n: usize) -> Result<View<'_>> {
        let mut found = self.find()?;
        for _ in 0..n {
            let next = self.ring.after(&found, &self.bytes).map_err(|_| PopError::Corrupt)?;
            found = next.ok_or(PopError::Empty)?;
        }
        Ok(View { bytes: &self.bytes, found })
    }

    /// This end as a stream of bytes, see [`StreamReader`].
    ///
    /// ```
    /// use std::io::Read;
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"all of it").unwrap();
    /// let mut text = String::new();
    /// queue.consumer()?.into_stream().read_to_string(&mut text).unwrap();
    /// assert_eq!(text, "all of it");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn into_stream(self) -> StreamReader {
        StreamReader::new(self)
    }

    /// Copies the next record out if it is there. Never waits.
    ///
    /// # Errors
    /// As [`try_read`](Self::try_read).
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"hello").unwrap();
    /// assert_eq!(queue.consumer()?.try_pop().unwrap(), b"hello");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn try_pop(&mut self) -> Result<Vec<u8>> {
        self.try_read().map(Record::take)
    }

    /// Copies the next record out, waiting as long as it takes.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"hello").unwrap();
    /// assert_eq!(queue.consumer()?.pop().unwrap(), b"hello");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn pop(&mut self) -> Result<Vec<u8>> {
        self.read().map(Record::take)
    }

    /// Copies the next record out, waiting at most `timeout`.
    ///
    /// # Errors
    /// As [`read_timeout`](Self::read_timeout).
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// assert!(queue.consumer()?.pop_timeout(Duration::from_millis(1)).is_err());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn pop_timeout(&mut self, timeout: Duration) -> Result<Vec<u8>> {
        self.read_timeout(timeout).map(Record::take)
    }

    /// How many bytes of the ring hold records now, headers included. It can only become more until this
    /// end releases.
    ///
    /// # Errors
    /// [`PopError::Corrupt`].
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(&[0; 8]).unwrap();
    /// assert_eq!(queue.consumer()?.available(), Ok(16));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn available(&self) -> Result<usize> {
        let bytes = self.ring.available(self.end.peer_position(), &self.bytes);
        bytes.map(|bytes| bytes as usize).map_err(|_| PopError::Corrupt)
    }

    front::end! {
        field: end,
        queue: "record::Queue::private(4096)",
        own: "consumer",
        peer: "producer",
        peers_end: "producing",
    }
}

/// A record in the ring. Releasing it gives its bytes back to the producer; dropping it takes nothing, and
/// it is read again.
///
/// ```
/// let queue = ringlane::record::Queue::private(4096)?;
/// queue.producer()?.push(b"still here").unwrap();
/// let mut consumer = queue.consumer()?;
/// drop(consumer.read().unwrap());
/// assert_eq!(consumer.pop().unwrap(), b"still here");
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a record that is dropped is not taken"]
pub struct Record<'a> {
    consumer: &'a mut Consumer,
    found: Found,
}

impl Record<'_> {
    /// How many bytes it has.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"12345").unwrap();
    /// assert_eq!(queue.consumer()?.read().unwrap().len(), 5);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.found.len
    }

    /// Whether it has none.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"").unwrap();
    /// assert!(queue.consumer()?.read().unwrap().is_empty());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.found.len == 0
    }

    /// Copies bytes out, from `offset` bytes after the record's beginning.
    ///
    /// # Panics
    /// If the record has fewer.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"head and body").unwrap();
    /// let mut consumer = queue.consumer()?;
    /// let mut body = [0; 4];
    /// consumer.read().unwrap().read_at(9, &mut body);
    /// assert_eq!(&body, b"body");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline(always)]
    pub fn read_at(&self, offset: usize, to: &mut [u8]) {
        self.view().read_at(offset, to);
    }

    /// Copies the record.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"copy").unwrap();
    /// assert_eq!(queue.consumer()?.read().unwrap().to_vec(), b"copy");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn to_vec(&self) -> Vec<u8> {
        self.view().to_vec()
    }

    #[inline(always)]
    fn view(&self) -> View<'_> {
        View { bytes: &self.consumer.bytes, found: self.found }
    }

    pub(crate) fn take(self) -> Vec<u8> {
        let bytes = self.to_vec();
        self.release();
        bytes
    }

    /// The record's bytes, to be read in place.
    ///
    /// # Safety
    /// Until the slice is gone, nobody writes to these bytes: the process of the other end, and every
    /// other process that may open the ring, keeps to this crate's rules.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"pong").unwrap();
    /// let mut consumer = queue.consumer()?;
    /// let record = consumer.read().unwrap();
    /// // SAFETY: the ring is private to this process.
    /// assert_eq!(unsafe { record.as_slice() }, b"pong");
    /// record.release();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[cfg(not(loom))]
    #[inline(always)]
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: the caller vouches that nobody writes.
        unsafe { self.view().as_slice() }
    }

    /// Gives the record's bytes back to the producer. This acknowledges it: it does not come again.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"once").unwrap();
    /// let mut consumer = queue.consumer()?;
    /// consumer.read().unwrap().release();
    /// assert!(consumer.try_read().is_err());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline(always)]
    pub fn release(self) {
        self.consumer.release(self.found, 1);
    }

    /// Gives the first `len` bytes back: they do not come again, and the rest is read next. The producer gets
    /// its room back when all of the record is released. A successor goes on with the rest, too.
    ///
    /// # Panics
    /// If the record has fewer.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"head and body").unwrap();
    /// queue.consumer()?.read().unwrap().release_bytes(9);
    /// assert_eq!(queue.consumer()?.pop().unwrap(), b"body");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn release_bytes(self, len: usize) {
        if len > self.found.len {
            outside(len, 0, self.found.len);
        }
        self.consumer.release_bytes(self.found, len);
    }
}
