//! Several records that become visible at once.

use super::{Producer, Reserve};
use crate::error::ReserveError;
use crate::ring::record::Staged;
use std::time::Duration;

type Result<T> = std::result::Result<T, ReserveError>;

/// Several records that are handed over at once, see [`Producer::batch`]. Dropping it gives all of them up.
///
/// The consumer gets all of them or none: none as long as [`commit`](Self::commit) was not called, whether
/// this process goes on or dies. One wake-up serves all. A batch has to fit into the ring as a whole.
///
/// ```
/// use ringlane::{PopError, record::Queue};
/// let queue = Queue::private(4096)?;
/// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
///
/// let mut batch = producer.batch();
/// batch.push(b"copied").unwrap();
/// let mut room = batch.reserve(100).unwrap();
/// room.write_at(0, b"written in place");
/// room.commit_len(16); // to the batch
/// assert_eq!(batch.len(), 2);
/// batch.commit();
///
/// let records = consumer.read_many(10).unwrap();
/// assert_eq!(records.iter().map(|record| record.len()).collect::<Vec<_>>(), [6, 16]);
/// records.release();
///
/// let mut batch = producer.batch();
/// batch.push(b"given up").unwrap();
/// drop(batch);
/// assert_eq!(consumer.try_pop(), Err(PopError::Empty));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a batch that is dropped is given up"]
pub struct Batch<'a> {
    producer: &'a mut Producer,
    staged: Staged,
}

impl<'a> Batch<'a> {
    pub(super) fn new(producer: &'a mut Producer) -> Batch<'a> {
        let staged = producer.ring.begin();
        Batch { producer, staged }
    }

    /// How many records are in it.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let mut producer = queue.producer()?;
    /// let mut batch = producer.batch();
    /// batch.push(b"").unwrap();
    /// assert_eq!(batch.len(), 1);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.staged.count as usize
    }

    /// Whether there is none in it yet. Committing it then does nothing.
    ///
    /// ```
    /// assert!(ringlane::record::Queue::private(4096)?.producer()?.batch().is_empty());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.staged.count == 0
    }

    /// Room for one more record of `len` bytes, in the ring itself, if there is any now. Never waits.
    /// Committing it adds it to the batch.
    ///
    /// # Errors
    /// As [`Producer::try_reserve`]. [`ReserveError::TooLarge`] also says that there can be no room for it
    /// behind what is in the batch already: then commit that first.
    ///
    /// ```
    /// use ringlane::{ReserveError, record::Queue};
    /// let queue = Queue::private(4096)?;
    /// let mut producer = queue.producer()?;
    /// let mut batch = producer.batch();
    /// batch.try_reserve(2000).unwrap().commit();
    /// batch.try_reserve(1900).unwrap().commit();
    /// let error = batch.try_reserve(1000).unwrap_err();
    /// assert!(matches!(error, ReserveError::TooLarge { len: 1000, max: 160 }), "{error}");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn try_reserve(&mut self, len: usize) -> Result<Reserve<'_>> {
        let room = self.producer.claim(&self.staged, len)?;
        Ok(Reserve { producer: self.producer, batch: Some(&mut self.staged), room })
    }

    /// Room for one more record of `len` bytes, waiting for it as long as it takes.
    ///
    /// # Errors
    /// As [`Producer::reserve`] and [`try_reserve`](Self::try_reserve).
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let mut producer = queue.producer()?;
    /// let mut batch = producer.batch();
    /// batch.reserve(8).unwrap().commit();
    /// batch.commit();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn reserve(&mut self, len: usize) -> Result<Reserve<'_>> {
        self.reserve_within(len, None)
    }

    /// Room for one more record of `len` bytes, waiting for it at most `timeout`.
    ///
    /// # Errors
    /// As [`Producer::reserve_timeout`] and [`try_reserve`](Self::try_reserve).
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let mut producer = queue.producer()?;
    /// while producer.try_push(&[0; 1000]).is_ok() {}
    /// assert!(producer.batch().reserve_timeout(1000, Duration::from_millis(1)).unwrap_err().is_full());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn reserve_timeout(&mut self, len: usize, timeout: Duration) -> Result<Reserve<'_>> {
        self.reserve_within(len, Some(timeout))
    }

    #[inline]
    fn reserve_within(&mut self, len: usize, timeout: Option<Duration>) -> Result<Reserve<'_>> {
        let room = self.producer.claim_within(self.staged, len, timeout)?;
        Ok(Reserve { producer: self.producer, batch: Some(&mut self.staged), room })
    }

    /// Copies one more record in if there is room now. Never waits.
    ///
    /// # Errors
    /// As [`try_reserve`](Self::try_reserve).
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let mut producer = queue.producer()?;
    /// let mut batch = producer.batch();
    /// while batch.try_push(&[1; 1000]).is_ok() {}
    /// assert_eq!(batch.len(), 4);
    /// batch.commit();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn try_push(&mut self, record: &[u8]) -> Result<()> {
        self.try_reserve(record.len()).map(|room| room.fill(record))
    }

    /// Copies one more record in, waiting for room as long as it takes.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let mut producer = queue.producer()?;
    /// let mut batch = producer.batch();
    /// batch.push(b"one of several").unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn push(&mut self, record: &[u8]) -> Result<()> {
        self.reserve(record.len()).map(|room| room.fill(record))
    }

    /// Copies one more record in, waiting for room at most `timeout`.
    ///
    /// # Errors
    /// As [`reserve_timeout`](Self::reserve_timeout).
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.batch().push_timeout(b"soon", Duration::from_secs(1)).unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn push_timeout(&mut self, record: &[u8], timeout: Duration) -> Result<()> {
        self.reserve_timeout(record.len(), timeout).map(|room| room.fill(record))
    }

    /// Hands all of them to the consumer, in order, at once.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let mut producer = queue.producer()?;
    /// let mut batch = producer.batch();
    /// for n in 0..10 {
    ///     batch.push(&[n; 100]).unwrap();
    /// }
    /// batch.commit();
    /// assert_eq!(queue.consumer()?.read_many(20).unwrap().len(), 10);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn commit(self) {
        self.producer.publish(self.staged);
    }
}
