//! The consuming side, and the record it has taken.
#![allow(unsafe_code, reason = "lends the bytes of a record")]

use super::{Blocks, outside};
use crate::error::PopError;
use crate::layout::{Peer, Segment};
use crate::queue::end::Limit;
use crate::queue::mpmc::{self, Nothing};
use crate::ring::mpmc::There;
use crate::wait::Wait;
use std::sync::Arc;
use std::time::Duration;

type Popped<T> = std::result::Result<T, PopError>;

/// What an attempt gave: it can also find what cannot be, and has taken it all the same.
type Attempt<T> = std::result::Result<Popped<T>, Nothing>;

/// A consuming end of a [`Queue`](super::Queue). Clones share its place among the participants; each can go
/// to a thread of its own. When the last of them is dropped the place is closed.
///
/// ```
/// use ringlane::{PopError, mpmc_record::Queue};
/// let queue = Queue::private(1 << 16)?;
/// let (mut producer, mut one) = (queue.producer()?, queue.consumer()?);
/// let mut other = one.clone();
/// producer.push(b"first").unwrap();
/// producer.push(b"second").unwrap();
/// drop(producer);
/// assert_eq!(one.pop().unwrap(), b"first");
/// assert_eq!(other.pop().unwrap(), b"second");
/// assert_eq!(one.pop(), Err(PopError::Closed));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
pub struct Consumer {
    lengths: mpmc::Consumer<u64>,
    blocks: Blocks,
    /// The record that `take` gave, of a queue that delivers at most once.
    copy: Vec<u8>,
}

impl Clone for Consumer {
    fn clone(&self) -> Self {
        let (lengths, blocks) = (self.lengths.clone(), self.blocks.clone());
        Consumer { lengths, blocks, copy: Vec::new() }
    }
}

impl Consumer {
    pub(super) fn of(segment: &Arc<Segment>) -> crate::error::Result<Consumer> {
        let lengths = mpmc::Consumer::of(segment)?;
        Ok(Consumer { lengths, blocks: Blocks::of(segment), copy: Vec::new() })
    }

    /// Copies the next record out, and takes it.
    #[inline(always)]
    fn copy(lengths: &mut mpmc::Consumer<u64>, blocks: &Blocks, out: &mut Vec<u8>) -> Attempt<()> {
        if lengths.is_acked() {
            let held = match Self::hold(lengths, blocks)? {
                Ok(held) => held,
                Err(why) => return Ok(Err(why)),
            };
            blocks.bytes.copy_to(held.offset, held.len, out, true);
            lengths.release(held.there);
            return Ok(Ok(()));
        }
        lengths.take_copied(|len, there| {
            // It may be taken, and its blocks written again, while we copy. Then the head has moved, and the copy is
            // not looked at, nor is a length that cannot be.
            let possible = len <= blocks.room(there.run) as u64;
            if possible {
                blocks.bytes.copy_to(blocks.offset(there.position), len as usize, out, false);
            }
            if possible { Ok(()) } else { Err(PopError::Corrupt) }
        })
    }

    /// Takes the first record that nobody has, to be acknowledged.
    fn hold(lengths: &mut mpmc::Consumer<u64>, blocks: &Blocks) -> Attempt<Held> {
        let (len, there) = lengths.hold()?;
        if len > blocks.room(there.run) as u64 {
            lengths.release(there);
            return Ok(Err(PopError::Corrupt));
        }
        Ok(Ok(Held { there, offset: blocks.offset(there.position), len: len as usize }))
    }

    /// Makes one attempt after another, for as long as there is time.
    #[inline(always)]
    fn attempt<R>(
        &mut self,
        limit: Limit,
        mut attempt: impl FnMut(&mut mpmc::Consumer<u64>, &Blocks) -> Attempt<R>,
    ) -> Popped<R> {
        let Consumer { lengths, blocks, .. } = self;
        let attempt = |lengths: &mut mpmc::Consumer<u64>| attempt(lengths, blocks);
        lengths.attempt(limit, attempt)?
    }

    /// Takes the next record if it is there, and copies it into `out`, in place of what that held. Never waits.
    ///
    /// # Errors
    /// [`PopError::Empty`], [`PopError::Closed`] if every producer has closed and nothing is left that is there
    /// or may come again, [`PopError::Stalled`] if the next record is still being written by a process that lives.
    /// [`PopError::Corrupt`] if its length cannot be: it is passed over. What `out` holds after an error is
    /// anything.
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
    /// producer.push(b"into one buffer").unwrap();
    /// let mut buffer = Vec::new();
    /// consumer.try_pop_into(&mut buffer).unwrap();
    /// assert_eq!(buffer, b"into one buffer");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn try_pop_into(&mut self, out: &mut Vec<u8>) -> Popped<()> {
        self.attempt(Limit::Now, |lengths, blocks| Self::copy(lengths, blocks, out))
    }

    /// The same, waiting as long as it takes.
    ///
    /// # Errors
    /// As [`pop`](Self::pop).
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// queue.producer()?.push(b"hello").unwrap();
    /// let mut buffer = Vec::new();
    /// queue.consumer()?.pop_into(&mut buffer).unwrap();
    /// assert_eq!(buffer, b"hello");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn pop_into(&mut self, out: &mut Vec<u8>) -> Popped<()> {
        self.attempt(Limit::Never, |lengths, blocks| Self::copy(lengths, blocks, out))
    }

    /// The same, waiting at most `timeout`.
    ///
    /// # Errors
    /// As [`pop_timeout`](Self::pop_timeout).
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// let mut buffer = Vec::new();
    /// assert!(queue.consumer()?.pop_into_timeout(&mut buffer, Duration::ZERO).is_err());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn pop_into_timeout(&mut self, out: &mut Vec<u8>, timeout: Duration) -> Popped<()> {
        let limit = Limit::Within(timeout);
        self.attempt(limit, |lengths, blocks| Self::copy(lengths, blocks, out))
    }

    /// Takes the next record if it is there. Never waits.
    ///
    /// # Errors
    /// As [`try_pop_into`](Self::try_pop_into).
    ///
    /// ```
    /// use ringlane::{PopError, mpmc_record::Queue};
    /// assert_eq!(Queue::private(1 << 16)?.consumer()?.try_pop(), Err(PopError::Empty));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn try_pop(&mut self) -> Popped<Vec<u8>> {
        let mut out = Vec::new();
        self.try_pop_into(&mut out).map(|()| out)
    }

    /// Takes the next record, waiting as long as it takes.
    ///
    /// # Errors
    /// [`PopError::Closed`], and [`PopError::PeerDied`] if no producer lives and one of them died, after everything
    /// committed has been taken; in an acknowledged queue, acknowledged: see [`mpmc::Consumer::pop`]. And
    /// [`PopError::Corrupt`], as above.
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// queue.producer()?.push(b"hello").unwrap();
    /// assert_eq!(queue.consumer()?.pop().unwrap(), b"hello");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn pop(&mut self) -> Popped<Vec<u8>> {
        let mut out = Vec::new();
        self.pop_into(&mut out).map(|()| out)
    }

    /// Takes the next record, waiting at most `timeout`.
    ///
    /// # Errors
    /// As [`pop`](Self::pop), and [`PopError::Empty`] or [`PopError::Stalled`] when the time ran out.
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// assert!(queue.consumer()?.pop_timeout(Duration::from_millis(1)).is_err());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn pop_timeout(&mut self, timeout: Duration) -> Popped<Vec<u8>> {
        let mut out = Vec::new();
        self.pop_into_timeout(&mut out, timeout).map(|()| out)
    }

    /// Takes the next record to be acknowledged, if it is there: see [`Taken`]. Never waits.
    ///
    /// # Errors
    /// As [`try_pop`](Self::try_pop).
    ///
    /// ```
    /// use ringlane::{mpmc::Delivery, mpmc_record::Queue};
    /// let queue = Queue::options().delivery(Delivery::AtLeastOnce).private()?;
    /// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
    /// producer.push(b"job").unwrap();
    /// drop(consumer.try_take().unwrap()); // comes again
    /// let job = consumer.try_take().unwrap();
    /// assert!(job.is_again());
    /// job.acknowledge();
    /// assert!(consumer.try_take().is_err());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn try_take(&mut self) -> Popped<Taken<'_>> {
        self.take_within(Limit::Now)
    }

    /// Takes the next record to be acknowledged, waiting as long as it takes.
    ///
    /// # Errors
    /// As [`pop`](Self::pop).
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// queue.producer()?.push(b"job").unwrap();
    /// assert_eq!(queue.consumer()?.take().unwrap().to_vec(), b"job");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn take(&mut self) -> Popped<Taken<'_>> {
        self.take_within(Limit::Never)
    }

    /// Takes the next record to be acknowledged, waiting at most `timeout`.
    ///
    /// # Errors
    /// As [`pop_timeout`](Self::pop_timeout).
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// assert!(queue.consumer()?.take_timeout(Duration::ZERO).is_err());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn take_timeout(&mut self, timeout: Duration) -> Popped<Taken<'_>> {
        self.take_within(Limit::Within(timeout))
    }

    #[inline(always)]
    fn take_within(&mut self, limit: Limit) -> Popped<Taken<'_>> {
        if self.lengths.is_acked() {
            let held = self.attempt(limit, Self::hold)?;
            let again = held.there.again;
            return Ok(Taken { consumer: self, len: held.len, held: Some(held), again });
        }
        let mut copy = std::mem::take(&mut self.copy);
        let taken = self.attempt(limit, |lengths, blocks| Self::copy(lengths, blocks, &mut copy));
        self.copy = copy;
        taken?;
        Ok(Taken { len: self.copy.len(), consumer: self, held: None, again: false })
    }

    /// How many records are there now. In an acknowledged queue those count that consumers hold.
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// let consumer = queue.consumer()?;
    /// queue.producer()?.push(b"one").unwrap();
    /// assert_eq!(consumer.available(), 1);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn available(&self) -> usize {
        self.lengths.available()
    }

    /// What the producers are together: alive if one of them is; else dead if one died and no other has come
    /// since; else closed.
    ///
    /// ```
    /// use ringlane::{Peer, mpmc_record::Queue};
    /// assert_eq!(Queue::private(1 << 16)?.consumer()?.peer(), Peer::Vacant);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn peer(&self) -> Peer {
        self.lengths.peer()
    }

    /// Waits until a living process holds a producing end; false if the time ran out before.
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// assert!(!queue.consumer()?.wait_peer(Some(Duration::ZERO)));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn wait_peer(&mut self, timeout: Option<Duration>) -> bool {
        self.lengths.wait_peer(timeout)
    }

    /// Chooses how this end waits. Each clone has a choice of its own.
    ///
    /// ```
    /// use ringlane::{Wait, mpmc_record::Queue};
    /// Queue::private(1 << 16)?.consumer()?.set_wait(Wait::Yield);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn set_wait(&mut self, wait: Wait) {
        self.lengths.set_wait(wait);
    }

    /// Drops this end. The place is closed with the last of its clones.
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// queue.consumer()?.close();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn close(self) {}
}

/// A record that was taken and not acknowledged.
#[derive(Clone, Copy, Debug)]
struct Held {
    there: There,
    offset: usize,
    len: usize,
}

/// A record in a consumer's hands, see [`Consumer::take`].
///
/// In a queue with [`Delivery::AtLeastOnce`](crate::mpmc::Delivery), it is looked at where it lies, and is done with
/// when [`acknowledge`](Taken::acknowledge) is called. Dropped without that, it comes again, to whoever asks next;
/// and if this process dies with it, it comes again, too. In other queues this is a copy, which was taken already,
/// and neither makes a difference.
///
/// ```
/// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
/// queue.producer()?.push(b"head and body").unwrap();
/// let mut consumer = queue.consumer()?;
/// let taken = consumer.take().unwrap();
/// let mut body = [0; 4];
/// taken.read_at(9, &mut body);
/// assert_eq!((&body, taken.len(), taken.is_again()), (b"body", 13, false));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
pub struct Taken<'a> {
    consumer: &'a mut Consumer,
    len: usize,
    /// Where it lies, if it is not a copy.
    held: Option<Held>,
    again: bool,
}

impl Taken<'_> {
    /// How many bytes it has.
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// queue.producer()?.push(b"12345").unwrap();
    /// assert_eq!(queue.consumer()?.take().unwrap().len(), 5);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// queue.producer()?.push(b"").unwrap();
    /// assert!(queue.consumer()?.take().unwrap().is_empty());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the record was in a consumer's hands before, who dropped it or died.
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// queue.producer()?.push(b"new").unwrap();
    /// assert!(!queue.consumer()?.take().unwrap().is_again());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn is_again(&self) -> bool {
        self.again
    }

    /// Copies bytes out, from `offset` bytes after the record's beginning.
    ///
    /// # Panics
    /// If the record has fewer.
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// queue.producer()?.push(b"12345").unwrap();
    /// let mut some = [0; 2];
    /// queue.consumer()?.take().unwrap().read_at(3, &mut some);
    /// assert_eq!(&some, b"45");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn read_at(&self, offset: usize, to: &mut [u8]) {
        let there = offset.checked_add(to.len()).is_some_and(|end| end <= self.len);
        if !there {
            outside(to.len(), offset, self.len);
        }
        match &self.held {
            Some(held) => self.consumer.blocks.bytes.copy_out(held.offset + offset, to),
            None => to.copy_from_slice(&self.consumer.copy[offset..offset + to.len()]),
        }
    }

    /// Copies the record.
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// queue.producer()?.push(b"copy").unwrap();
    /// assert_eq!(queue.consumer()?.take().unwrap().to_vec(), b"copy");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.read_at(0, &mut bytes);
        bytes
    }

    /// The record's bytes, to be read in place.
    ///
    /// # Safety
    /// Until the slice is gone, nobody writes to these bytes: every other process that may open the ring keeps to
    /// this crate's rules.
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// queue.producer()?.push(b"pong").unwrap();
    /// let mut consumer = queue.consumer()?;
    /// let taken = consumer.take().unwrap();
    /// // SAFETY: the ring is private to this process.
    /// assert_eq!(unsafe { taken.as_slice() }, b"pong");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[cfg(not(loom))]
    pub unsafe fn as_slice(&self) -> &[u8] {
        let Some(held) = &self.held else { return &self.consumer.copy };
        let at = self.consumer.blocks.bytes.address(held.offset, held.len);
        // SAFETY: `address` checked the range, the segment outlives the borrow of the consumer, which gives nothing
        // back meanwhile, and the caller vouches that nobody writes.
        unsafe { std::slice::from_raw_parts(at.as_ptr(), held.len) }
    }

    /// Says that the record is done with: it does not come again, and its blocks can be written.
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// queue.producer()?.push(b"once").unwrap();
    /// queue.consumer()?.take().unwrap().acknowledge();
    /// assert!(queue.consumer()?.try_take().is_err());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn acknowledge(mut self) {
        if let Some(held) = self.held.take() {
            self.consumer.lengths.release(held.there);
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.consumer.lengths.give_back(held.there);
        }
    }
}
