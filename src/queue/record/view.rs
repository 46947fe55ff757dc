//! Records that are looked at where they lie: one, or several.
#![allow(unsafe_code, reason = "lends the bytes of a record")]

use super::{Consumer, outside};
use crate::layout::Bytes;
use crate::ring::record::Found;

/// The bytes of a record that stays in the ring.
///
/// ```
/// let queue = ringlane::record::Queue::private(4096)?;
/// queue.producer()?.push(b"look").unwrap();
/// let mut consumer = queue.consumer()?;
/// assert_eq!(consumer.try_peek(0).unwrap().to_vec(), b"look");
/// assert_eq!(consumer.pop().unwrap(), b"look");
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub(super) bytes: &'a Bytes,
    pub(super) found: Found,
}

impl<'a> View<'a> {
    /// How many there are.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"12345").unwrap();
    /// assert_eq!(queue.consumer()?.try_peek(0).unwrap().len(), 5);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.found.len
    }

    /// Whether there are none.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"").unwrap();
    /// assert!(queue.consumer()?.try_peek(0).unwrap().is_empty());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.found.len == 0
    }

    /// Copies bytes out, from `offset` bytes after the beginning.
    ///
    /// # Panics
    /// If there are fewer.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"head and body").unwrap();
    /// let mut body = [0; 4];
    /// queue.consumer()?.try_peek(0).unwrap().read_at(9, &mut body);
    /// assert_eq!(&body, b"body");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline(always)]
    pub fn read_at(&self, offset: usize, to: &mut [u8]) {
        let there = offset.checked_add(to.len()).is_some_and(|end| end <= self.found.len);
        if !there {
            outside(to.len(), offset, self.found.len);
        }
        self.bytes.copy_out(self.found.offset + offset, to);
    }

    /// Copies them.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"copy").unwrap();
    /// assert_eq!(queue.consumer()?.try_peek(0).unwrap().to_vec(), b"copy");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.found.len];
        self.read_at(0, &mut bytes);
        bytes
    }

    /// The bytes, to be read in place.
    ///
    /// # Safety
    /// Until the slice is gone, nobody writes to these bytes: the process of the other end, and every
    /// other process that may open the ring, keeps to this crate's rules.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"here").unwrap();
    /// let consumer = queue.consumer()?;
    /// let view = consumer.try_peek(0).unwrap();
    /// // SAFETY: the ring is private to this process.
    /// assert_eq!(unsafe { view.as_slice() }, b"here");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[cfg(not(loom))]
    #[inline(always)]
    pub unsafe fn as_slice(&self) -> &'a [u8] {
        let at = self.bytes.address(self.found.offset, self.found.len);
        // SAFETY: `address` checked the range, the segment outlives the borrow of the consumer, which releases
        // nothing meanwhile, and the caller vouches that nobody writes.
        unsafe { std::slice::from_raw_parts(at.as_ptr(), self.found.len) }
    }
}

/// Several records in the ring, in order, at least one: see [`Consumer::read_many`]. Releasing gives their
/// bytes back to the producer; dropping them takes nothing, and they are read again.
///
/// ```
/// let queue = ringlane::record::Queue::private(4096)?;
/// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
/// producer.push(b"to be").unwrap();
/// producer.push(b"continued").unwrap();
/// let records = consumer.read_many(100).unwrap();
/// let bytes: usize = records.iter().map(|record| record.len()).sum();
/// assert_eq!(bytes, 14);
/// records.release();
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "records that are dropped are not taken"]
pub struct Records<'a> {
    consumer: &'a mut Consumer,
}

impl<'a> Records<'a> {
    /// `first` and what follows, `max` at most.
    pub(super) fn from(consumer: &'a mut Consumer, first: Found, max: usize) -> Records<'a> {
        let Consumer { ring, bytes, ahead, .. } = consumer;
        ahead.clear();
        ahead.push(first);
        let mut last = first;
        while ahead.len() < max {
            // What cannot be is told when it is next to be read.
            let Ok(Some(found)) = ring.after(&last, bytes) else { break };
            ahead.push(found);
            last = found;
        }
        Records { consumer }
    }

    /// How many there are.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"one").unwrap();
    /// assert_eq!(queue.consumer()?.read_many(2).unwrap().len(), 1);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[expect(clippy::len_without_is_empty, reason = "there is at least one")]
    pub fn len(&self) -> usize {
        self.consumer.ahead.len()
    }

    /// One of them; the first is number 0.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"one").unwrap();
    /// let mut consumer = queue.consumer()?;
    /// let records = consumer.read_many(2).unwrap();
    /// assert_eq!(records.get(0).unwrap().to_vec(), b"one");
    /// assert!(records.get(1).is_none());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn get(&self, index: usize) -> Option<View<'_>> {
        let found = *self.consumer.ahead.get(index)?;
        Some(View { bytes: &self.consumer.bytes, found })
    }

    /// All of them, in order.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"one").unwrap();
    /// for record in queue.consumer()?.read_many(2).unwrap().iter() {
    ///     assert_eq!(record.to_vec(), b"one");
    /// }
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn iter(&self) -> impl ExactSizeIterator<Item = View<'_>> {
        let Consumer { bytes, ahead, .. } = &*self.consumer;
        ahead.iter().map(move |found| View { bytes, found: *found })
    }

    /// Gives all of them back to the producer. One store acknowledges them.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"once").unwrap();
    /// let mut consumer = queue.consumer()?;
    /// consumer.read_many(2).unwrap().release();
    /// assert!(consumer.try_read().is_err());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn release(self) {
        let count = self.len();
        self.release_first(count);
    }

    /// Gives the first `count` of them back; the others are read again.
    ///
    /// # Panics
    /// If there are fewer.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
    /// producer.push(b"done").unwrap();
    /// producer.push(b"to do").unwrap();
    /// consumer.read_many(2).unwrap().release_first(1);
    /// assert_eq!(consumer.pop().unwrap(), b"to do");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn release_first(self, count: usize) {
        assert!(count <= self.len(), "{count} records of {}", self.len());
        if let Some(last) = count.checked_sub(1) {
            self.consumer.release(self.consumer.ahead[last], count);
        }
    }
}
