//! Many producers, many consumers, records of any length, one order.
//!
//! ```
//! use ringlane::{Name, mpmc_record};
//!
//! // One process creates the queue; it and others push ...
//! let name = Name::new("ringlane-doc-mpmc_record")?;
//! let queue = mpmc_record::Queue::create(&name, 1 << 16)?;
//! let mut producer = queue.producer()?;
//! producer.push(b"any length").unwrap();
//!
//! // ... any number of processes pop. Each record goes to one of them.
//! let mut consumer = mpmc_record::Queue::open(&name)?.consumer()?;
//! assert_eq!(consumer.pop().unwrap(), b"any length");
//! # Ok::<(), ringlane::Error>(())
//! ```
//!
//! All that [`mpmc`](crate::mpmc) says of order, ends, death, stopping and delivery is true of records, too: a
//! queue of records is one of values, each of which says how long a record is. The bytes lie in blocks, of which a
//! record claims as many in a row as it needs.

mod consumer;
mod producer;

pub use consumer::{Consumer, Taken};
pub use producer::{Producer, Room};

use super::front::{options, queue};
use super::mpmc::Delivery;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{
    Bytes, Create, Home, Kind, LEAST_BLOCK, LONGEST_RUN, Segment, Spec, data_unit,
};
use crate::ring::mpmc::longest_run;
use crate::shm::Wrap;
use std::sync::Arc;

/// Takes numbers, not references: what a panic on the fast path refers to would be kept in memory there.
#[cold]
#[inline(never)]
fn outside(len: usize, offset: usize, of: usize) -> ! {
    panic!("{len} bytes at {offset} of a record of {of}");
}

/// The blocks of a ring, by position.
#[derive(Clone, Debug)]
struct Blocks {
    bytes: Bytes,
    /// Of the bytes of a block, a power of two.
    log: u32,
    /// How many there are, less 1.
    mask: u64,
}

impl Blocks {
    fn of(segment: &Arc<Segment>) -> Blocks {
        let header = segment.header();
        let bytes = Bytes::of(Arc::clone(segment) as Arc<dyn Home>);
        Blocks { bytes, log: header.stride.trailing_zeros(), mask: header.capacity - 1 }
    }

    /// Where the block of a position begins.
    #[inline(always)]
    fn offset(&self, position: u64) -> usize {
        ((position & self.mask) as usize) << self.log
    }

    /// How many bytes are in so many blocks, if there are as many.
    #[inline(always)]
    fn room(&self, run: u64) -> usize {
        (run.min(self.mask + 1) as usize) << self.log
    }

    fn max_len(&self) -> usize {
        self.room(longest_run(self.mask + 1))
    }
}

/// How a queue is created, and what is expected of one that is opened.
///
/// ```
/// use ringlane::{Name, mpmc_record};
///
/// let name = Name::new("ringlane-doc-mpmc_record-options")?;
/// let options = mpmc_record::Queue::options().capacity(1 << 20).longest(50_000).clone();
/// assert!(options.create(&name)?.max_len() >= 50_000);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    capacity: usize,
    longest: usize,
    delivery: Delivery,
    tag: u64,
    how: Create,
}

impl Options {
    fn new() -> Self {
        let how = Create::default();
        Options { capacity: 1 << 20, longest: 4096, delivery: Delivery::default(), tag: 0, how }
    }

    /// How many bytes the blocks have together: rounded up to a power of two, to whole pages, and to what the
    /// longest record takes. Default: 1 MiB.
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::options().capacity(5000).private()?;
    /// assert!(queue.capacity() >= 5000);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn capacity(&mut self, bytes: usize) -> &mut Self {
        self.capacity = bytes;
        self
    }

    /// The longest record in bytes, or less than that is. A record takes 64 blocks at most, so this decides how
    /// large they are: the next power of two, 64 bytes at least. And each record takes whole blocks, so more than
    /// is needed costs memory. Default: 4096.
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::options().longest(1 << 16).private()?;
    /// assert_eq!((queue.max_len(), queue.block()), (1 << 16, 1024));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn longest(&mut self, bytes: usize) -> &mut Self {
        self.longest = bytes;
        self
    }

    /// What becomes of a record whose consumer dies with it. Default: [`Delivery::AtMostOnce`]. A queue that is
    /// opened keeps what its creator chose.
    ///
    /// ```
    /// use ringlane::{mpmc::Delivery, mpmc_record::Queue};
    /// let queue = Queue::options().delivery(Delivery::AtLeastOnce).private()?;
    /// assert_eq!(queue.delivery(), Delivery::AtLeastOnce);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn delivery(&mut self, delivery: Delivery) -> &mut Self {
        self.delivery = delivery;
        self
    }

    /// Blocks, and bytes of each.
    fn blocks(&self) -> Result<(usize, usize)> {
        let blocks = || {
            let block = self.longest.div_ceil(LONGEST_RUN as usize).checked_next_power_of_two()?;
            let block = block.max(LEAST_BLOCK);
            let bytes = self.capacity.max(self.longest).max(data_unit(&self.how)).max(block);
            let bytes = bytes.checked_next_power_of_two()?;
            Some((bytes / block, block))
        };
        let text = "the capacity or the longest record is more than any memory";
        blocks().ok_or_else(|| Error::new(ErrorKind::InvalidSize, text))
    }

    /// The spec of a new queue.
    fn new_spec(&self) -> Result<Spec> {
        let (capacity, stride) = self.blocks()?;
        Ok(Spec { capacity, stride, ..self.spec() })
    }

    /// Blocks are the creator's, so what is said of them here does not count.
    fn spec(&self) -> Spec {
        Spec {
            kind: match self.delivery {
                Delivery::AtMostOnce => Kind::MpmcRecord,
                Delivery::AtLeastOnce => Kind::MpmcRecordAck,
            },
            capacity: 0,
            stride: LEAST_BLOCK,
            value_size: 0,
            value_align: LEAST_BLOCK,
            reply: (0, 0),
            wrap: Wrap::Mirror,
            tag: self.tag,
            type_name: "bytes",
        }
    }

    options! {
        module: "mpmc_record",
        queue: "Queue",
        noun: "queue",
        ring: "ring",
        /// The first position, for tests of what happens near the limits of a number.
        start: position => position,
        impossible: "if there can be no such ring",
        incompatible: "if it is a ring of another kind, tag or layout",
        opened: " Its blocks are its creator's.",
        sent: "queue.producer()?.push(b\"seven\").unwrap();",
        received: "assert_eq!(other.consumer()?.pop().unwrap(), b\"seven\");",
        makes: Queue,
    }
}

/// A queue of byte records in shared memory for many producers and many consumers.
///
/// A `Queue` is a handle: it keeps the memory and gives out ends. See the [module](self) for what it promises.
///
/// ```
/// use ringlane::mpmc_record::Queue;
///
/// let queue = Queue::private(1 << 16)?;
/// let mut consumer = queue.consumer()?;
/// let threads: Vec<_> = (1..=4)
///     .map(|n| {
///         let mut producer = queue.producer().expect("a place is free");
///         std::thread::spawn(move || producer.push(&vec![n; 100 * n as usize]).unwrap())
///     })
///     .collect();
/// threads.into_iter().for_each(|thread| thread.join().unwrap());
/// let mut bytes = 0;
/// while let Ok(record) = consumer.pop() {
///     bytes += record.len();
/// }
/// assert_eq!(bytes, 1000);
/// # Ok::<(), ringlane::Error>(())
/// ```
pub struct Queue {
    segment: Arc<Segment>,
}

queue! {
    Queue<>,
    module: "mpmc_record",
    queue: "Queue",
    noun: "queue",
    capacity: "of `capacity` bytes, rounded up to a power of two and whole pages",
}

impl Queue {
    fn of(segment: Arc<Segment>) -> Self {
        Queue { segment }
    }

    /// How many bytes the blocks have together.
    ///
    /// ```
    /// assert_eq!(ringlane::mpmc_record::Queue::private(1 << 16)?.capacity(), 1 << 16);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn capacity(&self) -> usize {
        self.segment.header().data_len as usize
    }

    /// How many bytes a block has: each record takes whole ones, and one at least.
    ///
    /// ```
    /// assert_eq!(ringlane::mpmc_record::Queue::private(1 << 16)?.block(), 64);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn block(&self) -> usize {
        self.segment.header().stride as usize
    }

    /// The longest record in bytes: 64 blocks, or all of them.
    ///
    /// ```
    /// use ringlane::ReserveError;
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// let max = queue.max_len();
    /// assert_eq!(
    ///     queue.producer()?.try_push(&vec![0; max + 1]),
    ///     Err(ReserveError::TooLarge { len: max + 1, max })
    /// );
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn max_len(&self) -> usize {
        Blocks::of(&self.segment).max_len()
    }

    /// What becomes of a record whose consumer dies with it: its creator's choice.
    ///
    /// ```
    /// use ringlane::{mpmc::Delivery, mpmc_record::Queue};
    /// assert_eq!(Queue::private(1 << 16)?.delivery(), Delivery::AtMostOnce);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn delivery(&self) -> Delivery {
        Delivery::of(&self.segment)
    }

    /// Takes a place as a producer. More can be had by calling this again, here or in other processes; for
    /// more threads of one process, clone what it gives.
    ///
    /// # Errors
    /// [`ErrorKind::LimitReached`] if all 128 places are held, [`ErrorKind::NotFound`] if the queue was removed.
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// let (one, other) = (queue.producer()?, queue.producer()?);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn producer(&self) -> Result<Producer> {
        Producer::of(&self.segment)
    }

    /// Takes a place as a consumer, likewise.
    ///
    /// # Errors
    /// As [`producer`](Self::producer).
    ///
    /// ```
    /// let queue = ringlane::mpmc_record::Queue::private(1 << 16)?;
    /// let (one, other) = (queue.consumer()?, queue.consumer()?);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn consumer(&self) -> Result<Consumer> {
        Consumer::of(&self.segment)
    }
}
