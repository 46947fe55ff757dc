//! One producer, one consumer, records of any length, each contiguous in memory.
//!
//! ```
//! use ringlane::{Name, record};
//!
//! let name = Name::new("ringlane-doc-record")?;
//! let queue = record::Queue::create(&name, 1 << 16)?;
//! let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
//!
//! // Copied in and out ...
//! producer.push(b"a short one").unwrap();
//! assert_eq!(consumer.pop().unwrap(), b"a short one");
//!
//! // ... or written and read in place.
//! let mut room = producer.reserve(5).unwrap();
//! room.write_at(0, b"hello");
//! room.commit();
//! let record = consumer.read().unwrap();
//! assert_eq!(record.to_vec(), b"hello");
//! record.release();
//! # Ok::<(), ringlane::Error>(())
//! ```

mod batch;
mod consumer;
mod producer;
mod stream;
mod view;

pub use batch::Batch;
pub use consumer::{Consumer, Record};
pub use producer::{Producer, Reserve};
pub use stream::{StreamReader, StreamWriter};
pub use view::{Records, View};

use super::end::End;
use super::front::{options, queue};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Bytes, Create, Home, Kind, Segment, Side, Spec};
use crate::ring::record::Shape;
#[cfg(not(loom))]
use crate::shm::Granted;
use crate::shm::Wrap;
use std::sync::Arc;

/// Takes numbers, not references: what a panic on the fast path refers to would be kept in memory there.
#[cold]
#[inline(never)]
fn outside(len: usize, offset: usize, of: usize) -> ! {
    panic!("{len} bytes at {offset} of a record of {of}");
}

/// How a queue is created, and what is expected of one that is opened.
///
/// ```
/// use ringlane::{Name, record};
///
/// // Room for two 1280x720 RGBA frames, each beginning at a cache line.
/// let name = Name::new("ringlane-doc-record-options")?;
/// let queue = record::Queue::options().align(64).holding(2, 1280 * 720 * 4).create(&name)?;
/// assert!(queue.max_len() >= 1280 * 720 * 4);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    capacity: Size,
    align: usize,
    wrap: Wrap,
    tag: u64,
    how: Create,
}

#[derive(Clone, Copy, Debug)]
enum Size {
    Bytes(usize),
    Records { count: usize, len: usize },
}

impl Default for Options {
    fn default() -> Self {
        Options {
            capacity: Size::Bytes(1 << 20),
            align: 8,
            wrap: Wrap::Mirror,
            tag: 0,
            how: Create::default(),
        }
    }
}

impl Options {
    fn new() -> Self {
        Self::default()
    }

    /// The size of the ring in bytes, headers included; rounded up to whole pages. Default: 1 MiB.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::options().capacity(5000).private()?;
    /// assert!(queue.capacity() >= 5000);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn capacity(&mut self, bytes: usize) -> &mut Self {
        self.capacity = Size::Bytes(bytes);
        self
    }

    /// The size of the ring by what it has to hold: `count` records of `len` bytes each, at any time. One that is
    /// not [mirrored](Self::mirrored) is larger by one more of them, because its end may have to stay empty.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::options().holding(3, 10_000).private()?;
    /// let mut producer = queue.producer()?;
    /// assert!((0..3).all(|_| producer.try_push(&[0; 10_000]).is_ok()));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn holding(&mut self, count: usize, len: usize) -> &mut Self {
        self.capacity = Size::Records { count, len };
        self
    }

    /// What the address of each record is a multiple of: 8 or 64. Default: 8.
    ///
    /// A header takes up as much, so 64 is for records of at least some hundred bytes.
    ///
    /// ```
    /// use ringlane::{ErrorKind, record};
    /// let error = record::Queue::options().align(32).private().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidSize);
    /// ```
    pub fn align(&mut self, bytes: usize) -> &mut Self {
        self.align = bytes;
        self
    }

    /// Whether the ring's memory is mapped twice in a row, so that records run over its end. If not, a
    /// record that does not fit before the end begins anew at the front. Default: yes.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::options().mirrored(false).private()?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn mirrored(&mut self, yes: bool) -> &mut Self {
        self.wrap = if yes { Wrap::Mirror } else { Wrap::Never };
        self
    }

    /// Whether to ask for huge pages, on either side: they make frames of megabytes cheaper to touch for the first
    /// time and easier to find again. A new ring's size is then rounded up to whole huge pages.
    /// [`Queue::granted`] says how much came of it; none of it is no error. Default: no.
    ///
    /// ```
    /// let mut options = ringlane::record::Queue::options();
    /// let queue = options.holding(2, 1 << 20).huge_pages(true).private()?;
    /// println!("{} bytes of huge pages", queue.granted().huge_page_bytes);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn huge_pages(&mut self, yes: bool) -> &mut Self {
        self.how.huge = yes;
        self
    }

    /// The longest record in bytes that a ring created with these options takes.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSize`] if there can be no such ring.
    ///
    /// ```
    /// let mut options = ringlane::record::Queue::options();
    /// options.capacity(1 << 16);
    /// assert_eq!(options.max_len()?, options.private()?.max_len());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn max_len(&self) -> Result<usize> {
        Ok(Shape::new(self.bytes()?, self.align, self.wrap).max_len())
    }

    /// The capacity asked for, in bytes, if there can be such a ring.
    fn bytes(&self) -> Result<usize> {
        let invalid = |text: String| Err(Error::new(ErrorKind::InvalidSize, text));
        if !crate::layout::is_alignment(self.align) {
            return invalid(format!("records aligned to {} bytes: 8 and 64 are there", self.align));
        }
        let (wanted, text) = match self.capacity {
            Size::Bytes(bytes) => (Some(bytes), format!("{bytes} bytes")),
            Size::Records { count, len } => (
                Shape::capacity_for(count, len, self.align, self.wrap),
                format!("{count} records of {len} bytes"),
            ),
        };
        match wanted.filter(|bytes| *bytes <= isize::MAX as usize / 4) {
            Some(0) => invalid("a ring of 0 bytes".into()),
            Some(bytes) => Ok(bytes.next_multiple_of(crate::layout::data_unit(&self.how))),
            None => invalid(format!("{text} are more than any memory")),
        }
    }

    /// The spec of a new queue.
    fn new_spec(&self) -> Result<Spec> {
        Ok(Spec { capacity: self.bytes()?, ..self.spec() })
    }

    /// Capacity and alignment are the creator's, so what is said of them here does not count.
    fn spec(&self) -> Spec {
        let align = self.align;
        Spec {
            kind: Kind::Record,
            capacity: 0,
            stride: align,
            value_size: 0,
            value_align: align,
            reply: (0, 0),
            wrap: self.wrap,
            tag: self.tag,
            type_name: "bytes",
        }
    }

    options! {
        module: "record",
        queue: "Queue",
        noun: "queue",
        ring: "ring",
        /// The first position, for tests of what happens near the limits of a number: a multiple of the alignment.
        start: position => position,
        impossible: "if there can be no such ring",
        incompatible: "if it is a ring of another kind, tag or layout",
        opened: " Its capacity and alignment are its creator's.",
        sent: "queue.producer()?.push(b\"seven\").unwrap();",
        received: "assert_eq!(other.consumer()?.pop().unwrap(), b\"seven\");",
        makes: Queue,
        refused: "host a ring",
    }
}

/// A single-producer single-consumer queue of byte records in shared memory.
///
/// A `Queue` is a handle: it keeps the memory and gives out the two ends. Records are delivered in order,
/// each whole and contiguous. A record that was committed is delivered even if the producer is killed
/// right after; a record that was not released when the consumer is killed comes to its successor.
///
/// ```
/// let queue = ringlane::record::Queue::private(1 << 16)?;
/// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
/// let thread = std::thread::spawn(move || {
///     for n in 0..100 {
///         producer.push(&vec![n; 1000]).unwrap();
///     }
/// });
/// assert!((0..100).all(|n| consumer.pop().unwrap() == [n; 1000]));
/// thread.join().unwrap();
/// # Ok::<(), ringlane::Error>(())
/// ```
pub struct Queue {
    segment: Arc<Segment>,
}

queue! {
    Queue<>,
    module: "record",
    queue: "Queue",
    noun: "queue",
    capacity: "of `capacity` bytes, rounded up to whole pages",
}

#[cfg(loom)]
impl Options {
    /// Memory of a ring without ends, and the alignment of its records.
    pub(super) fn home(&self) -> Result<(Arc<dyn Home>, usize)> {
        let queue = self.private()?;
        Ok((queue.home(), queue.align()))
    }
}

impl Queue {
    fn of(segment: Arc<Segment>) -> Self {
        Queue { segment }
    }

    /// What the kernel gave of what can be asked of it, counted when this handle was made. All pages are taken in
    /// before the first use where the kernel can. A mirrored ring's data is mapped twice, and counts twice.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(1 << 16)?;
    /// assert!(queue.granted().dont_fork);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[cfg(not(loom))]
    pub fn granted(&self) -> Granted {
        self.segment.granted()
    }

    /// The size of the ring in bytes, headers included.
    ///
    /// ```
    /// assert_eq!(ringlane::record::Queue::private(1 << 16)?.capacity(), 1 << 16);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn capacity(&self) -> usize {
        self.segment.header().capacity as usize
    }

    /// The longest record in bytes: half the ring, less its headers.
    ///
    /// ```
    /// use ringlane::ReserveError;
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let max = queue.max_len();
    /// assert_eq!(
    ///     queue.producer()?.try_push(&vec![0; max + 1]),
    ///     Err(ReserveError::TooLarge { len: max + 1, max })
    /// );
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn max_len(&self) -> usize {
        Shape::of(&Bytes::of(self.home()), self.align()).max_len()
    }

    fn home(&self) -> Arc<dyn Home> {
        Arc::clone(&self.segment) as _
    }

    fn align(&self) -> usize {
        self.segment.header().stride as usize
    }

    /// Takes the producing end. If its last holder died, this one goes on where it stopped.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] while a living process holds it, [`ErrorKind::NotFound`] if the queue was
    /// removed, [`ErrorKind::Corrupt`] if its positions or headers cannot be.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let producer = queue.producer()?;
    /// assert!(queue.producer().is_err());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn producer(&self) -> Result<Producer> {
        Producer::of(End::acquire(&self.segment, Side::Producer)?, self.home(), self.align())
    }

    /// Takes the consuming end. If its last holder died, this one goes on where it stopped: a record that
    /// was read and not released comes again.
    ///
    /// # Errors
    /// As [`producer`](Self::producer).
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let consumer = queue.consumer()?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn consumer(&self) -> Result<Consumer> {
        Consumer::of(End::acquire(&self.segment, Side::Consumer)?, self.home(), self.align())
    }
}
