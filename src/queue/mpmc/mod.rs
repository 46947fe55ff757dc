//! Many producers, many consumers, values of one type, one order.
//!
//! ```
//! use ringlane::{Name, mpmc};
//!
//! // One process creates the queue; it and others push ...
//! let name = Name::new("ringlane-doc-mpmc")?;
//! let queue = mpmc::Queue::<u64>::create(&name, 1024)?;
//! let mut producer = queue.producer()?;
//! producer.push(42).unwrap();
//!
//! // ... any number of processes pop. Each value goes to one of them.
//! let mut consumer = mpmc::Queue::<u64>::open(&name)?.consumer()?;
//! assert_eq!(consumer.pop(), Ok(42));
//! # Ok::<(), ringlane::Error>(())
//! ```
//!
//! * **Order.** The queue is one FIFO, and linearizable: a push takes its place when it claims a slot, a pop
//!   takes the oldest value.
//! * **Ends.** Each call of [`Queue::producer`] and [`Queue::consumer`] takes one of 128 places among the
//!   participants; clones of an end share its place. Come and go at any time.
//! * **Death.** A participant can be killed between any two instructions. What it had published is there;
//!   what it was writing is skipped by the next one that comes to it, as soon as the kernel says that the
//!   process is gone. A consumer that is killed in the middle of a pop has taken the value or has not.
//! * **Stopping.** A process that is stopped is not dead. If it is stopped while it writes a value, what comes
//!   behind that value waits for it, and `pop` says who it is: [`PopError::Stalled`](crate::PopError). A
//!   consumer that is stopped is in nobody's way.
//! * **Delivery.** [`Delivery`] says what becomes of a value whose consumer dies with it.

mod ahead;
mod consumer;
mod member;
mod producer;
mod sole;
mod taken;

pub use consumer::Consumer;
pub(super) use consumer::Nothing;
pub use producer::{Producer, Room};
pub use taken::Taken;

use super::front::{options, power_of_two, queue};
use crate::error::Result;
use crate::layout::{Create, Kind, Segment, Slots, Spec};
use crate::plain::Plain;
use crate::shm::Wrap;
use std::marker::PhantomData;
use std::sync::Arc;

/// What becomes of a value whose consumer dies with it.
///
/// ```
/// use ringlane::mpmc::{Delivery, Queue};
/// assert_eq!(Queue::<u64>::private(8)?.delivery(), Delivery::AtMostOnce);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// It is lost: a consumer copies a value and then takes it, so it holds nothing that another one waits for.
    #[default]
    AtMostOnce,
    /// It comes again, and says so: a consumer takes a value and later acknowledges it, see
    /// [`Consumer::take`]. Its slot is in use until then.
    AtLeastOnce,
}

impl Delivery {
    /// Its creator's choice.
    pub(super) fn of(segment: &Segment) -> Delivery {
        match Kind::of(segment.header().kind).is_some_and(Kind::is_acked) {
            true => Delivery::AtLeastOnce,
            false => Delivery::AtMostOnce,
        }
    }
}

/// How a queue is created, and what is expected of one that is opened.
///
/// ```
/// use ringlane::{Lifetime, Name, mpmc};
///
/// let name = Name::new("ringlane-doc-mpmc-options")?;
/// let options = mpmc::Queue::<f64>::options().capacity(256).tag("prices, v1").clone();
/// let queue = options.create(&name)?;
/// assert!(mpmc::Queue::<f64>::open(&name).is_err()); // another tag
/// assert_eq!(options.open(&name)?.capacity(), 256);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options<T> {
    capacity: usize,
    delivery: Delivery,
    tag: u64,
    how: Create,
    _values: PhantomData<fn() -> T>,
}

impl<T: Plain> Options<T> {
    fn new() -> Self {
        Options {
            capacity: 1024,
            delivery: Delivery::default(),
            tag: 0,
            how: Create::default(),
            _values: PhantomData,
        }
    }

    /// How many values fit: a power of two. Default: 1024.
    ///
    /// ```
    /// use ringlane::{ErrorKind, mpmc};
    /// let error = mpmc::Queue::<u8>::options().capacity(3).private().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidSize);
    /// ```
    pub fn capacity(&mut self, values: usize) -> &mut Self {
        self.capacity = values;
        self
    }

    /// What becomes of a value whose consumer dies with it. Default: [`Delivery::AtMostOnce`]. A queue that is
    /// opened keeps what its creator chose.
    ///
    /// ```
    /// use ringlane::mpmc::{Delivery, Queue};
    /// let queue = Queue::<u64>::options().delivery(Delivery::AtLeastOnce).private()?;
    /// assert_eq!(queue.delivery(), Delivery::AtLeastOnce);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn delivery(&mut self, delivery: Delivery) -> &mut Self {
        self.delivery = delivery;
        self
    }

    fn spec(&self) -> Spec {
        Spec {
            kind: match self.delivery {
                Delivery::AtMostOnce => Kind::Mpmc,
                Delivery::AtLeastOnce => Kind::MpmcAck,
            },
            capacity: self.capacity,
            stride: Slots::<T>::STRIDE,
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
        Ok(self.spec())
    }

    options! {
        module: "mpmc",
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

/// A queue of `T` in shared memory for many producers and many consumers.
///
/// A `Queue` is a handle: it keeps the memory and gives out ends. See the [module](self) for what it promises.
///
/// ```
/// use ringlane::mpmc::Queue;
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
    module: "mpmc",
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
    /// assert_eq!(ringlane::mpmc::Queue::<u64>::private(64)?.capacity(), 64);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn capacity(&self) -> usize {
        self.segment.header().capacity as usize
    }

    /// What becomes of a value whose consumer dies with it: its creator's choice.
    ///
    /// ```
    /// use ringlane::mpmc::{Delivery, Queue};
    /// assert_eq!(Queue::<u64>::private(64)?.delivery(), Delivery::AtMostOnce);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn delivery(&self) -> Delivery {
        Delivery::of(&self.segment)
    }

    /// Takes a place as a producer. More can be had by calling this again, here or in other processes; for
    /// more threads of one process, clone what it gives.
    ///
    /// # Errors
    /// [`ErrorKind::LimitReached`](crate::ErrorKind::LimitReached) if all 128 places are held,
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if the queue was removed;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if there is one producer, alone and alive, and the
    /// kernel refuses this process `membarrier`, by which that one learns that it is alone no longer.
    ///
    /// ```
    /// let queue = ringlane::mpmc::Queue::<u64>::private(8)?;
    /// let (one, other) = (queue.producer()?, queue.producer()?);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn producer(&self) -> Result<Producer<T>> {
        Producer::of(&self.segment)
    }

    /// Takes a place as a consumer, likewise.
    ///
    /// # Errors
    /// [`ErrorKind::LimitReached`](crate::ErrorKind::LimitReached) if all 128 places are held,
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if the queue was removed.
    ///
    /// ```
    /// let queue = ringlane::mpmc::Queue::<u64>::private(8)?;
    /// let (one, other) = (queue.consumer()?, queue.consumer()?);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn consumer(&self) -> Result<Consumer<T>> {
        Consumer::of(&self.segment)
    }
}
