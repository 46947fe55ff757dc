//! The producing end and the room it reserves.
#![allow(unsafe_code, reason = "lends the bytes of a record")]

use super::stream::{AT_LEAST, LONGEST};
use super::{Batch, StreamWriter, outside};
use crate::error::ReserveError;
use crate::layout::{Bytes, Home};
use crate::queue::end::{self, Blocked, End, Limit, block};
use crate::queue::front;
use crate::ring::Claim;
use crate::ring::record::{Room, Shape, Staged, Writer};
use std::sync::Arc;
use std::time::Duration;

type Result<T> = std::result::Result<T, ReserveError>;

/// The producing end of a [`Queue`](super::Queue). Dropping it closes it: the consumer takes what is
/// left, and is then told.
///
/// ```
/// use ringlane::{PopError, record::Queue};
/// let queue = Queue::private(4096)?;
/// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
/// producer.push(b"last").unwrap();
/// drop(producer);
/// assert_eq!(consumer.pop().unwrap(), b"last");
/// assert_eq!(consumer.pop().unwrap_err(), PopError::Closed);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
pub struct Producer {
    pub(super) end: End,
    pub(super) ring: Writer,
    pub(super) bytes: Bytes,
}

impl Producer {
    /// The end of a ring that is in this home.
    pub(crate) fn of(end: End, home: Arc<dyn Home>, align: usize) -> crate::error::Result<Self> {
        let bytes = Bytes::of(home);
        let shape = Shape::of(&bytes, align);
        let ring = Writer::resume(shape, end.own(), end.peer_position(), &bytes);
        let ring = ring.map_err(|_| end.corrupt())?;
        Ok(Producer { end, ring, bytes })
    }

    /// The longest record of a stream of bytes.
    pub(crate) fn longest_piece(&self) -> usize {
        let shape = self.ring.shape();
        (shape.capacity / AT_LEAST).min(LONGEST).min(shape.max_len())
    }

    pub(crate) fn max_len(&self) -> usize {
        self.ring.shape().max_len()
    }

    /// Commits one record within the time.
    #[inline(always)]
    pub(crate) fn push_limited(&mut self, record: &[u8], limit: Limit) -> Result<()> {
        let room = match limit {
            Limit::Now => self.try_reserve(record.len()),
            Limit::Within(timeout) => self.reserve_within(record.len(), Some(timeout)),
            Limit::Never => self.reserve_within(record.len(), None),
        };
        room.map(|room| room.fill(record))
    }

    pub(crate) fn end(&mut self) -> &mut End {
        &mut self.end
    }

    /// Room for a record of `len` bytes, in the ring itself, if there is any now. Never waits.
    ///
    /// # Errors
    /// [`ReserveError::Full`], [`ReserveError::TooLarge`], [`ReserveError::Closed`],
    /// [`ReserveError::Corrupt`].
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let mut producer = queue.producer()?;
    /// let mut room = producer.try_reserve(3).unwrap();
    /// room.write_at(0, &[1, 2, 3]);
    /// room.commit();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline(always)]
    pub fn try_reserve(&mut self, len: usize) -> Result<Reserve<'_>> {
        let room = self.claim(&self.ring.begin(), len)?;
        Ok(Reserve { producer: self, batch: None, room })
    }

    /// Room for a record of `len` bytes, waiting for it as long as it takes.
    ///
    /// # Errors
    /// [`ReserveError::TooLarge`], [`ReserveError::Closed`], [`ReserveError::PeerDied`],
    /// [`ReserveError::Corrupt`].
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.reserve(100).unwrap().commit();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline(always)]
    pub fn reserve(&mut self, len: usize) -> Result<Reserve<'_>> {
        self.reserve_within(len, None)
    }

    /// Room for a record of `len` bytes, waiting for it at most `timeout`.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve), and [`ReserveError::Full`] when the time ran out.
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let mut producer = queue.producer()?;
    /// while producer.try_push(&[0; 1000]).is_ok() {}
    /// assert!(producer.reserve_timeout(1000, Duration::from_millis(1)).unwrap_err().is_full());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn reserve_timeout(&mut self, len: usize, timeout: Duration) -> Result<Reserve<'_>> {
        self.reserve_within(len, Some(timeout))
    }

    #[inline(always)]
    pub(super) fn reserve_within(
        &mut self,
        len: usize,
        timeout: Option<Duration>,
    ) -> Result<Reserve<'_>> {
        let room = self.claim_within(self.ring.begin(), len, timeout)?;
        Ok(Reserve { producer: self, batch: None, room })
    }

    /// Room behind what is staged.
    #[inline(always)]
    pub(super) fn claim(&mut self, staged: &Staged, len: usize) -> Result<Room> {
        if self.end.peer_closed() {
            return Err(ReserveError::Closed);
        }
        let max = self.ring.shape().max_len();
        if len > max {
            return Err(ReserveError::TooLarge { len, max });
        }
        self.ring.claim(staged, len, self.end.peer_position()).map_err(|claim| match claim {
            Claim::Full => self.full(*staged, len),
            Claim::Corrupt => ReserveError::Corrupt,
        })
    }

    /// A batch can be so long that there will never be room behind it.
    #[cold]
    fn full(&self, staged: Staged, len: usize) -> ReserveError {
        match self.ring.most(staged) {
            Some(max) if len <= max => ReserveError::Full,
            most => ReserveError::TooLarge { len, max: most.unwrap_or(0) },
        }
    }

    #[inline(always)]
    pub(super) fn claim_within(
        &mut self,
        staged: Staged,
        len: usize,
        timeout: Option<Duration>,
    ) -> Result<Room> {
        match self.claim(&staged, len) {
            Err(ReserveError::Full) => {
                self.wait_room(staged, len, timeout)?;
                self.claim(&staged, len)
            }
            done => done,
        }
    }

    /// Waits until a claim would give room. It gives none itself: what is returned from here goes through memory,
    /// and would go there on the fast path, too.
    #[cold]
    fn wait_room(&mut self, staged: Staged, len: usize, timeout: Option<Duration>) -> Result<()> {
        let claimed = block(
            self,
            |p| &mut p.end,
            timeout,
            |p, times| p.ring.poll(p.end.peer_position(), times),
            |p| match p.claim(&staged, len) {
                Err(ReserveError::Full) => None,
                done => Some(done),
            },
        );
        claimed.unwrap_or_else(|blocked| match blocked {
            Blocked::TimedOut => Err(ReserveError::Full),
            Blocked::PeerDied => Err(ReserveError::PeerDied),
        })?;
        Ok(())
    }

    /// Hands over what is staged.
    #[inline(always)]
    pub(super) fn publish(&mut self, staged: Staged) {
        self.ring.publish(staged, self.end.own(), &self.bytes);
        self.end.notify();
    }

    /// A batch: several records that the consumer gets all at once, or, if this process dies before, not at
    /// all.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
    /// let mut batch = producer.batch();
    /// batch.push(b"one").unwrap();
    /// batch.push(b"two").unwrap();
    /// assert!(consumer.try_pop().is_err());
    /// batch.commit();
    /// assert_eq!(consumer.pop().unwrap(), b"one");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn batch(&mut self) -> Batch<'_> {
        Batch::new(self)
    }

    /// This end as a stream of bytes, see [`StreamWriter`].
    ///
    /// ```
    /// use std::io::Write;
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let mut stream = queue.producer()?.into_stream();
    /// write!(stream, "{} and {}", 1, 2).unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn into_stream(self) -> StreamWriter {
        StreamWriter::new(self)
    }

    /// Copies a record in if there is room now. Never waits.
    ///
    /// # Errors
    /// As [`try_reserve`](Self::try_reserve).
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.try_push(b"now").unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline(always)]
    pub fn try_push(&mut self, record: &[u8]) -> Result<()> {
        self.try_reserve(record.len()).map(|room| room.fill(record))
    }

    /// Copies a record in, waiting for room as long as it takes.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"").unwrap(); // a record may be empty
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline(always)]
    pub fn push(&mut self, record: &[u8]) -> Result<()> {
        self.reserve(record.len()).map(|room| room.fill(record))
    }

    /// Copies a record in, waiting for room at most `timeout`.
    ///
    /// # Errors
    /// As [`reserve_timeout`](Self::reserve_timeout).
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push_timeout(b"soon", Duration::from_secs(1)).unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn push_timeout(&mut self, record: &[u8], timeout: Duration) -> Result<()> {
        self.reserve_timeout(record.len(), timeout).map(|room| room.fill(record))
    }

    /// Waits until the consumer has released everything.
    ///
    /// # Errors
    /// [`ReserveError::Full`] when the time ran out, [`ReserveError::Closed`] and
    /// [`ReserveError::PeerDied`] if something is left that nobody will take, [`ReserveError::Corrupt`].
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
    /// producer.push(b"x").unwrap();
    /// assert!(producer.flush(Some(Duration::ZERO)).is_err());
    /// consumer.pop().unwrap();
    /// producer.flush(None).unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn flush(&mut self, timeout: Option<Duration>) -> Result<()> {
        let extent = |p: &mut Producer| (p.ring.tail(), p.bytes.capacity() as u64);
        end::flush(self, |p| &mut p.end, timeout, extent).map_err(ReserveError::from)
    }

    front::end! {
        field: end,
        queue: "record::Queue::private(4096)",
        own: "producer",
        peer: "consumer",
        peers_end: "consuming",
    }
}

/// Room in the ring for one record. Committing hands it to the consumer, or adds it to the [`Batch`] that it
/// was reserved in; dropping it gives it up.
///
/// ```
/// use ringlane::{PopError, record::Queue};
/// let queue = Queue::private(4096)?;
/// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
/// drop(producer.reserve(10).unwrap());
/// assert_eq!(consumer.try_pop().unwrap_err(), PopError::Empty);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "room that is dropped is given up"]
pub struct Reserve<'a> {
    pub(super) producer: &'a mut Producer,
    /// What it becomes a part of.
    pub(super) batch: Option<&'a mut Staged>,
    pub(super) room: Room,
}

impl Reserve<'_> {
    /// How many bytes there are.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// assert_eq!(queue.producer()?.reserve(10).unwrap().len(), 10);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.room.len
    }

    /// Whether the record has no bytes.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// assert!(queue.producer()?.reserve(0).unwrap().is_empty());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.room.len == 0
    }

    /// Copies bytes in, `offset` bytes from the record's beginning. What is not written is whatever was
    /// there before.
    ///
    /// # Panics
    /// If they do not all fit.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let mut producer = queue.producer()?;
    /// let mut room = producer.reserve(4).unwrap();
    /// room.write_at(2, &[3, 4]);
    /// room.write_at(0, &[1, 2]);
    /// room.commit();
    /// assert_eq!(queue.consumer()?.pop().unwrap(), [1, 2, 3, 4]);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline(always)]
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) {
        let fits = offset.checked_add(bytes.len()).is_some_and(|end| end <= self.room.len);
        if !fits {
            outside(bytes.len(), offset, self.room.len);
        }
        self.producer.bytes.copy_in(self.room.offset + offset, bytes);
    }

    #[inline(always)]
    pub(super) fn fill(self, record: &[u8]) {
        self.producer.bytes.copy_in(self.room.offset, record);
        self.commit();
    }

    /// The record's bytes, to be written in place. They hold whatever was there before.
    ///
    /// # Safety
    /// Until the slice is gone, nobody else writes to these bytes: the process of the other end, and
    /// every other process that may open the ring, keeps to this crate's rules.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let mut producer = queue.producer()?;
    /// let mut room = producer.reserve(4).unwrap();
    /// // SAFETY: the ring is private to this process.
    /// unsafe { room.as_mut_slice() }.copy_from_slice(b"ping");
    /// room.commit();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[cfg(not(loom))]
    #[inline(always)]
    pub unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        let len = self.room.len;
        let at = self.producer.bytes.address(self.room.offset, len);
        // SAFETY: `address` checked the range, the segment outlives the borrow of the producer, and the
        // caller vouches that nobody else writes.
        unsafe { std::slice::from_raw_parts_mut(at.as_ptr(), len) }
    }

    /// Hands the record to the consumer, or to the batch.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.reserve(8).unwrap().commit();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline(always)]
    pub fn commit(self) {
        let len = self.room.len;
        self.commit_len(len);
    }

    /// Hands the first `len` bytes to the consumer, or to the batch, as the record.
    ///
    /// # Panics
    /// If `len` is more than was reserved.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let mut producer = queue.producer()?;
    /// let mut room = producer.reserve(1000).unwrap(); // as much as it may become
    /// room.write_at(0, b"short");
    /// room.commit_len(5);
    /// assert_eq!(queue.consumer()?.pop().unwrap(), b"short");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline(always)]
    pub fn commit_len(self, len: usize) {
        if len > self.room.len {
            outside(len, 0, self.room.len);
        }
        let producer = self.producer;
        match self.batch {
            Some(staged) => producer.ring.stage(staged, self.room, len, &producer.bytes),
            None => {
                let mut staged = producer.ring.begin();
                producer.ring.stage(&mut staged, self.room, len, &producer.bytes);
                producer.publish(staged);
            }
        }
    }
}
