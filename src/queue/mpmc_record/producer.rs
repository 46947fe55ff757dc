//! The producing side, and the room it reserves.
#![allow(unsafe_code, reason = "lends the bytes of a record")]

use super::{Blocks, outside};
use crate::error::{PushError, ReserveError};
use crate::layout::{Peer, Segment};
use crate::queue::mpmc;
use crate::ring::mpmc::Claimed;
use crate::wait::Wait;
use std::sync::Arc;
use std::time::Duration;

type Result<T> = std::result::Result<T, ReserveError>;

/// A producing end of a [`Queue`](super::Queue). Clones share its place among the participants; each can go
/// to a thread of its own. When the last of them is dropped the place is closed.
///
/// ```
/// use ringlane::{PopError, mpmc_record::Queue};
/// let queue = Queue::private(1 << 16)?;
/// let (mut one, mut consumer) = (queue.producer()?, queue.consumer()?);
/// let mut other = one.clone();
/// one.push(b"first").unwrap();
/// other.push(b"and second").unwrap();
/// drop((one, other));
/// assert_eq!(consumer.pop().unwrap(), b"first");
/// assert_eq!(consumer.pop().unwrap(), b"and second");
/// assert_eq!(consumer.pop().unwrap_err(), PopError::Closed);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Producer {
    lengths: mpmc::Producer<u64>,
    blocks: Blocks,
}

impl Producer {
    pub(super) fn of(segment: &Arc<Segment>) -> crate::error::Result<Producer> {
        Ok(Producer { lengths: mpmc::Producer::of(segment)?, blocks: Blocks::of(segment) })
    }

    /// How many blocks a record of `len` bytes takes.
    #[inline(always)]
    fn run(&self, len: usize) -> Result<u64> {
        let max = self.blocks.max_len();
        if len > max {
            return Err(ReserveError::TooLarge { len, max });
        }
        Ok((len.saturating_sub(1) >> self.blocks.log) as u64 + 1)
    }

    /// Claims blocks for a record of `len` bytes if there are enough now: what others push comes behind it, and no
    /// consumer gets past it until it is committed or dropped. Never waits.
    ///
    /// # Errors
    /// [`ReserveError::Full`], [`ReserveError::TooLarge`], [`ReserveError::Closed`] if every consumer has closed.
    ///
    /// ```
    /// use ringlane::PopError;
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
    /// let mut other = producer.clone();
    /// let mut room = producer.try_reserve(3).unwrap();
    /// other.push(b"two").unwrap();
    /// assert!(matches!(consumer.try_pop(), Err(PopError::Stalled { .. })));
    /// room.write_at(0, b"one");
    /// room.commit();
    /// assert_eq!(consumer.try_pop().unwrap(), b"one");
    /// assert_eq!(consumer.try_pop().unwrap(), b"two");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn try_reserve(&mut self, len: usize) -> Result<Room<'_>> {
        let run = self.run(len)?;
        let claimed = self.lengths.claim(run, run)?;
        Ok(Room { producer: self, claimed, len })
    }

    /// Claims blocks for a record of `len` bytes, waiting for them as long as it takes. A long record waits until
    /// there is room for all of it, and short ones of others may come before it.
    ///
    /// # Errors
    /// [`ReserveError::TooLarge`], [`ReserveError::Closed`], [`ReserveError::PeerDied`] if no consumer lives and
    /// one of them died.
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// let mut producer = queue.producer()?;
    /// let mut room = producer.reserve(5).unwrap();
    /// room.write_at(0, b"hello");
    /// room.commit();
    /// assert_eq!(queue.consumer()?.pop().unwrap(), b"hello");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn reserve(&mut self, len: usize) -> Result<Room<'_>> {
        self.reserve_within(len, None)
    }

    /// Claims blocks for a record of `len` bytes, waiting for them at most `timeout`.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve), and [`ReserveError::Full`] when the time ran out.
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::mpmc_record::Queue::private(4096)?;
    /// let mut producer = queue.producer()?;
    /// producer.reserve_timeout(4096, Duration::ZERO).unwrap().commit();
    /// assert!(producer.reserve_timeout(1, Duration::from_millis(1)).unwrap_err().is_full());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn reserve_timeout(&mut self, len: usize, timeout: Duration) -> Result<Room<'_>> {
        self.reserve_within(len, Some(timeout))
    }

    #[inline(always)]
    fn reserve_within(&mut self, len: usize, timeout: Option<Duration>) -> Result<Room<'_>> {
        let run = self.run(len)?;
        let claimed = match self.lengths.claim(run, run) {
            Err(PushError::Full(())) => {
                self.lengths.wait_for(run, timeout, |lengths| lengths.claim(run, run))
            }
            done => done,
        };
        Ok(Room { claimed: claimed?, producer: self, len })
    }

    /// Copies a record in if there is room now. Never waits.
    ///
    /// # Errors
    /// As [`try_reserve`](Self::try_reserve).
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// queue.producer()?.try_push(b"now").unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn try_push(&mut self, record: &[u8]) -> Result<()> {
        self.try_reserve(record.len()).map(|room| room.fill(record))
    }

    /// Copies a record in, waiting for room as long as it takes.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// queue.producer()?.push(b"").unwrap(); // a record may be empty
    /// assert_eq!(queue.consumer()?.pop().unwrap(), b"");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
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
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// queue.producer()?.push_timeout(b"soon", Duration::from_secs(1)).unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn push_timeout(&mut self, record: &[u8], timeout: Duration) -> Result<()> {
        self.reserve_timeout(record.len(), timeout).map(|room| room.fill(record))
    }

    /// Waits until everything that was in the queue when this was called, this end's records among it, has
    /// been taken.
    ///
    /// # Errors
    /// [`ReserveError::Full`] when the time ran out, [`ReserveError::Closed`] and [`ReserveError::PeerDied`] if
    /// something is left that nobody will take.
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
    /// producer.push(b"x").unwrap();
    /// assert!(producer.flush(Some(Duration::ZERO)).is_err());
    /// consumer.pop().unwrap();
    /// producer.flush(None).unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn flush(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.lengths.flush(timeout).map_err(ReserveError::from)
    }

    /// The process id of who holds what is at the head of the queue, if it lives: see [`mpmc::Producer::held_by`].
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// let (mut producer, other) = (queue.producer()?, queue.producer()?);
    /// let room = producer.try_reserve(100).unwrap();
    /// assert_eq!(other.held_by(), Some(std::process::id()));
    /// drop(room);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn held_by(&self) -> Option<u32> {
        self.lengths.held_by()
    }

    /// What the consumers are together: alive if one of them is; else dead if one died and no other has come
    /// since; else closed.
    ///
    /// ```
    /// use ringlane::{Peer, mpmc_record::Queue};
    /// assert_eq!(Queue::private(1 << 16)?.producer()?.peer(), Peer::Vacant);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn peer(&self) -> Peer {
        self.lengths.peer()
    }

    /// Waits until a living process holds a consuming end; false if the time ran out before.
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// assert!(!queue.producer()?.wait_peer(Some(Duration::ZERO)));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn wait_peer(&mut self, timeout: Option<Duration>) -> bool {
        self.lengths.wait_peer(timeout)
    }

    /// Chooses how this end waits. Each clone has a choice of its own.
    ///
    /// ```
    /// use ringlane::{Wait, mpmc_record::Queue};
    /// Queue::private(1 << 16)?.producer()?.set_wait(Wait::Spin);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn set_wait(&mut self, wait: Wait) {
        self.lengths.set_wait(wait);
    }

    /// Drops this end. The place is closed with the last of its clones.
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// queue.producer()?.close();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn close(self) {}
}

/// Blocks that a producer has claimed for a record and not committed, see [`Producer::try_reserve`]. Dropping it
/// gives them up: all will pass over them.
///
/// ```
/// use ringlane::PopError;
/// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
/// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
/// drop(producer.reserve(10).unwrap());
/// assert_eq!(consumer.try_pop().unwrap_err(), PopError::Empty);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "room that is dropped is given up"]
pub struct Room<'a> {
    producer: &'a mut Producer,
    claimed: Claimed,
    len: usize,
}

impl Room<'_> {
    /// How many bytes there are.
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// assert_eq!(queue.producer()?.reserve(10).unwrap().len(), 10);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the record has no bytes.
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// assert!(queue.producer()?.reserve(0).unwrap().is_empty());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies bytes in, `offset` bytes from the record's beginning. What is not written is whatever was
    /// there before.
    ///
    /// # Panics
    /// If they do not all fit.
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
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
        let fits = offset.checked_add(bytes.len()).is_some_and(|end| end <= self.len);
        if !fits {
            outside(bytes.len(), offset, self.len);
        }
        self.producer.blocks.bytes.copy_in(self.offset() + offset, bytes);
    }

    #[inline(always)]
    fn offset(&self) -> usize {
        self.producer.blocks.offset(self.claimed.position)
    }

    #[inline(always)]
    fn fill(self, record: &[u8]) {
        self.producer.blocks.bytes.copy_in(self.offset(), record);
        self.commit();
    }

    /// The record's bytes, to be written in place: aligned to 64, and they hold whatever was there before.
    ///
    /// # Safety
    /// Until the slice is gone, nobody else writes to these bytes: every other process that may open the ring
    /// keeps to this crate's rules. And nobody reads them but by this crate: consumers of this process may copy
    /// them meanwhile, to find out that they came too late, and what they copied is not looked at.
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
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
        let at = self.producer.blocks.bytes.address(self.offset(), self.len);
        // SAFETY: `address` checked the range, the segment outlives the borrow of the producer, and the
        // caller vouches that nobody else writes.
        unsafe { std::slice::from_raw_parts_mut(at.as_ptr(), self.len) }
    }

    /// Hands the record to the consumers.
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// queue.producer()?.reserve(8).unwrap().commit();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline(always)]
    pub fn commit(self) {
        let len = self.len;
        self.commit_len(len);
    }

    /// Hands the first `len` bytes to the consumers as the record. It takes as many blocks as were reserved.
    ///
    /// # Panics
    /// If `len` is more than was reserved.
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// let mut producer = queue.producer()?;
    /// let mut room = producer.reserve(1000).unwrap(); // as much as it may become
    /// room.write_at(0, b"short");
    /// room.commit_len(5);
    /// assert_eq!(queue.consumer()?.pop().unwrap(), b"short");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline(always)]
    pub fn commit_len(self, len: usize) {
        if len > self.len {
            outside(len, 0, self.len);
        }
        let room = std::mem::ManuallyDrop::new(self);
        room.producer.lengths.publish_one(room.claimed, len as u64);
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.producer.lengths.abandon(self.claimed);
    }
}
