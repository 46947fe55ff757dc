//! One producer, one consumer, values of one type.
//!
//! ```
//! use ringlane::{Name, spsc};
//!
//! // One process creates the queue and produces ...
//! let name = Name::new("ringlane-doc-spsc")?;
//! let queue = spsc::Queue::<u64>::create(&name, 1024)?;
//! let mut producer = queue.producer()?;
//! producer.push(42).unwrap();
//!
//! // ... another opens it and consumes.
//! let mut consumer = spsc::Queue::<u64>::open(&name)?.consumer()?;
//! assert_eq!(consumer.pop(), Ok(42));
//! # Ok::<(), ringlane::Error>(())
//! ```

mod consumer;
mod producer;

pub use consumer::{Consumer, Span};
pub use producer::{Producer, Reserve};

use super::end::End;
use super::front::{options, power_of_two, queue};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Create, DATA_ALIGN, Kind, Segment, Side, Slots, Spec};
use crate::plain::Plain;
use crate::ring::spsc::{Reader, Writer};
use crate::shm::Wrap;
use std::marker::PhantomData;
use std::sync::Arc;

/// How the values lie in a new ring.
///
/// ```
/// use ringlane::spsc::{Layout, Queue};
///
/// // Audio, handed over in blocks of 128 samples.
/// let queue = Queue::<f32>::options().capacity(4096).layout(Layout::Dense).private()?;
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Each in a slot of its own, with a word that publishes it: a value and the news of it travel in one
    /// cache line. For values that go one at a time.
    #[default]
    Slots,
    /// Side by side, as in an array. Half the memory for values of 8 bytes, and the most that goes
    /// through in spans; the news of a value travels in a line of its own.
    Dense,
}

/// How a queue is created, and what is expected of one that is opened.
///
/// ```
/// use ringlane::{Lifetime, Name, spsc};
///
/// let name = Name::new("ringlane-doc-spsc-options")?;
/// let options = spsc::Queue::<f64>::options().capacity(256).tag("prices, v1").clone();
/// let queue = options.create(&name)?;
/// assert!(spsc::Queue::<f64>::open(&name).is_err()); // another tag
/// assert_eq!(options.open(&name)?.capacity(), 256);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options<T> {
    capacity: usize,
    layout: Layout,
    tag: u64,
    how: Create,
    _values: PhantomData<fn() -> T>,
}

impl<T: Plain> Options<T> {
    fn new() -> Self {
        Options {
            capacity: 1024,
            layout: Layout::default(),
            tag: 0,
            how: Create::default(),
            _values: PhantomData,
        }
    }

    /// How many values fit: a power of two. Default: 1024.
    ///
    /// ```
    /// use ringlane::{ErrorKind, spsc};
    /// let error = spsc::Queue::<u8>::options().capacity(3).private().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidSize);
    /// ```
    pub fn capacity(&mut self, values: usize) -> &mut Self {
        self.capacity = values;
        self
    }

    /// How the values lie in a new queue. One that is opened is as its creator made it. Default:
    /// [`Layout::Slots`].
    ///
    /// ```
    /// use ringlane::spsc::{Layout, Queue};
    /// let options = Queue::<f32>::options().layout(Layout::Dense).clone();
    /// ```
    pub fn layout(&mut self, layout: Layout) -> &mut Self {
        self.layout = layout;
        self
    }

    fn spec(&self) -> Spec {
        Spec {
            kind: Kind::Spsc,
            capacity: self.capacity,
            stride: match self.layout {
                Layout::Slots => Slots::<T>::STRIDE,
                Layout::Dense => size_of::<T>(),
            },
            value_size: size_of::<T>(),
            value_align: align_of::<T>(),
            reply: (0, 0),
            wrap: Wrap::Never,
            tag: self.tag,
            type_name: std::any::type_name::<T>(),
        }
    }

    /// The spec of a new queue.
    fn new_spec(&self) -> Result<Spec> {
        power_of_two(self.capacity)?;
        if self.layout == Layout::Dense && (size_of::<T>() == 0 || align_of::<T>() > DATA_ALIGN) {
            let name = std::any::type_name::<T>();
            let text = format!(
                "values of type {name} cannot lie side by side: they have no size, or are aligned to more than {DATA_ALIGN} bytes"
            );
            return Err(Error::new(ErrorKind::InvalidSize, text));
        }
        Ok(self.spec())
    }

    options! {
        module: "spsc",
        queue: "Queue::<u64>",
        noun: "queue",
        ring: "ring",
        /// The first position, for tests of what happens near the limits of a number.
        start: position => position,
        impossible: "for a capacity that is no power of two or too large",
        incompatible: "if it is a ring of another kind, value size, alignment, tag or layout",
        opened: " Its capacity is its creator's.",
        sent: "queue.producer()?.push(7).unwrap();",
        received: "assert_eq!(other.consumer()?.pop(), Ok(7));",
        makes: Queue<T>,
    }
}

/// A single-producer single-consumer queue of `T` in shared memory.
///
/// A `Queue` is a handle: it keeps the memory and gives out the two ends. Values are delivered in order,
/// each whole. A value whose `push` returned is delivered even if the producer is killed right after. A
/// consumer that is killed in the middle of a `pop` leaves the value for its successor, unless it had
/// given the slot back already: then it has had the value.
///
/// ```
/// use ringlane::spsc::Queue;
///
/// let queue = Queue::<u64>::private(4)?;
/// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
/// let thread = std::thread::spawn(move || (0..1000).for_each(|n| producer.push(n).unwrap()));
/// assert!((0..1000).all(|n| consumer.pop() == Ok(n)));
/// thread.join().unwrap();
/// # Ok::<(), ringlane::Error>(())
/// ```
pub struct Queue<T> {
    segment: Arc<Segment>,
    _values: PhantomData<fn() -> T>,
}

queue! {
    Queue<T>,
    module: "spsc",
    queue: "Queue::<u64>",
    noun: "queue",
    capacity: "for `capacity` values, a power of two",
}

impl<T: Plain> Queue<T> {
    fn of(segment: Arc<Segment>) -> Self {
        Queue { segment, _values: PhantomData }
    }

    /// How many values fit.
    ///
    /// ```
    /// assert_eq!(ringlane::spsc::Queue::<u64>::private(64)?.capacity(), 64);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn capacity(&self) -> usize {
        self.segment.header().capacity as usize
    }

    /// Takes the producing end. If its last holder died, this one goes on where it stopped.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] while a living process holds it, [`ErrorKind::NotFound`] if the queue was
    /// removed, [`ErrorKind::Corrupt`] if its positions cannot be.
    ///
    /// ```
    /// use ringlane::{ErrorKind, spsc::Queue};
    /// let queue = Queue::<u64>::private(8)?;
    /// let producer = queue.producer()?;
    /// assert_eq!(queue.producer().unwrap_err().kind(), ErrorKind::InUse);
    /// drop(producer);
    /// queue.producer()?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn producer(&self) -> Result<Producer<T>> {
        let end = End::acquire(&self.segment, Side::Producer)?;
        let slots = Slots::of(&self.segment);
        let ring = Writer::resume(end.own(), end.peer_position(), slots.cells());
        let ring = ring.map_err(|_| end.corrupt())?;
        Ok(Producer { end, ring, slots })
    }

    /// Takes the consuming end. If its last holder died, this one goes on where it stopped.
    ///
    /// # Errors
    /// As [`producer`](Self::producer).
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// let consumer = queue.consumer()?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn consumer(&self) -> Result<Consumer<T>> {
        let end = End::acquire(&self.segment, Side::Consumer)?;
        let slots = Slots::of(&self.segment);
        let ring = Reader::resume(end.own(), end.peer_position(), slots.cells());
        let ring = ring.map_err(|_| end.corrupt())?;
        Ok(Consumer { end, ring, slots })
    }
}
