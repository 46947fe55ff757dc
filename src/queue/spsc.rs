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

use super::end::{Blocked, End, block};
use crate::error::{Error, ErrorKind, PopError, PushError, Result};
use crate::layout::{Create, Kind, Peer, Segment, Side, Slots, Spec, tag_of};
use crate::plain::Plain;
use crate::ring::Claim;
use crate::ring::spsc::{Reader, Writer};
use crate::shm::{Lifetime, Name, SharedMemory, Wrap};
use crate::wait::Wait;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

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
    tag: u64,
    how: Create,
    _values: PhantomData<fn() -> T>,
}

impl<T: Plain> Options<T> {
    fn new() -> Self {
        Options { capacity: 1024, tag: 0, how: Create::default(), _values: PhantomData }
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

    /// A text that both sides must give alike, such as the name and version of a message format: two
    /// types of the same size are told apart by nothing else. Default: empty.
    ///
    /// ```
    /// let options = ringlane::spsc::Queue::<u64>::options().tag("order ids").clone();
    /// ```
    pub fn tag(&mut self, tag: &str) -> &mut Self {
        self.tag = tag_of(tag);
        self
    }

    /// The permission bits of a new queue's object. Default: 0600, only this user.
    ///
    /// ```
    /// let options = ringlane::spsc::Queue::<u64>::options().mode(0o660).clone();
    /// ```
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.how.mode = mode;
        self
    }

    /// When the name of a new queue goes. Default: with its creator.
    ///
    /// ```
    /// use ringlane::{Lifetime, spsc};
    /// let options = spsc::Queue::<u64>::options().lifetime(Lifetime::Persistent).clone();
    /// ```
    pub fn lifetime(&mut self, lifetime: Lifetime) -> &mut Self {
        self.how.lifetime = lifetime;
        self
    }

    /// Whether a queue may be opened that is another user's, or that every user may write to, see
    /// [`OpenOptions::allow_foreign`](crate::OpenOptions::allow_foreign). Default: no.
    ///
    /// ```
    /// let options = ringlane::spsc::Queue::<u64>::options().allow_foreign(true).clone();
    /// ```
    pub fn allow_foreign(&mut self, yes: bool) -> &mut Self {
        self.how.foreign = yes;
        self
    }

    /// The first position, for tests of what happens near the limits of a number.
    #[doc(hidden)]
    pub fn start(&mut self, position: u64) -> &mut Self {
        self.how.start = position;
        self
    }

    fn spec(&self) -> Spec {
        Spec {
            kind: Kind::Spsc,
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
        if !self.capacity.is_power_of_two() {
            let text = format!("capacity {} is not a power of two", self.capacity);
            return Err(Error::new(ErrorKind::InvalidSize, text));
        }
        Ok(self.spec())
    }

    fn make(&self, name: Option<&Name>) -> Result<Queue<T>> {
        Ok(Queue::of(Segment::create(&self.new_spec()?, &self.how, name)?))
    }

    /// Makes a new queue. It appears whole, under a name that nothing has.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`], [`ErrorKind::InvalidSize`] for a capacity that is no power of two
    /// or too large, [`ErrorKind::NoSpace`] if the memory is not there.
    ///
    /// ```
    /// let name = ringlane::Name::new("ringlane-doc-spsc-options-create")?;
    /// let queue = ringlane::spsc::Queue::<u64>::options().create(&name)?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn create(&self, name: &Name) -> Result<Queue<T>> {
        self.make(Some(name)).map_err(|e| e.on(format_args!("create ring {:?}", name.as_str())))
    }

    /// Makes a new queue without a name, for the threads of one process.
    ///
    /// # Errors
    /// As [`create`](Self::create), but for the name.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::options().capacity(8).private()?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn private(&self) -> Result<Queue<T>> {
        self.make(None).map_err(|e| e.on("create a private ring"))
    }

    /// Opens the queue of this name. Its capacity is its creator's.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::PermissionDenied`], [`ErrorKind::Incompatible`] if it is a
    /// ring of another kind, value size, alignment, tag or layout, [`ErrorKind::Corrupt`] if it is no
    /// ring or was truncated.
    ///
    /// ```
    /// use ringlane::{ErrorKind, Name, spsc};
    /// let name = Name::new("ringlane-doc-spsc-options-open")?;
    /// let queue = spsc::Queue::<u64>::create(&name, 8)?;
    /// let error = spsc::Queue::<[u8; 56]>::options().open(&name).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Incompatible);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn open(&self, name: &Name) -> Result<Queue<T>> {
        let opened = Segment::open(&self.spec(), &self.how, name).map(Queue::of);
        opened.map_err(|e| e.on(format_args!("open ring {:?}", name.as_str())))
    }

    /// Makes a new queue in memory that is there already: without a name, to be sent to another process by
    /// its descriptor, or made by another library. It may be larger than the queue takes, and what it holds
    /// is lost.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if there is a ring in it, [`ErrorKind::InUse`] if somebody even uses it,
    /// [`ErrorKind::InvalidSize`] if the memory is too small, [`ErrorKind::PermissionDenied`] if it was not
    /// opened for reading and writing, [`ErrorKind::NoSpace`] if it has a size, but no memory.
    ///
    /// ```
    /// use ringlane::{SharedMemory, spsc};
    /// use std::os::fd::AsFd;
    /// let memory = SharedMemory::anonymous(2 << 20)?;
    /// let descriptor = memory.as_fd().try_clone_to_owned().expect("a descriptor is free");
    /// let queue = spsc::Queue::<u64>::options().host(memory)?;
    /// // Here, or in the process that the descriptor was sent to:
    /// let other = spsc::Queue::<u64>::options().attach(descriptor.try_into()?)?;
    /// queue.producer()?.push(7).unwrap();
    /// assert_eq!(other.consumer()?.pop(), Ok(7));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[cfg(not(loom))]
    pub fn host(&self, memory: SharedMemory) -> Result<Queue<T>> {
        let hosted = Segment::host(&self.new_spec()?, &self.how, memory).map(Queue::of);
        hosted.map_err(|e| e.on("host a ring"))
    }

    /// Opens the queue that lies in this memory. Its capacity is its creator's.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`ErrorKind::PermissionDenied`] if the memory was not opened for reading
    /// and writing.
    ///
    /// ```
    /// use ringlane::{Name, SharedMemory, spsc};
    /// let name = Name::new("ringlane-doc-spsc-attach")?;
    /// let queue = spsc::Queue::<u64>::create(&name, 4096)?;
    /// let same = spsc::Queue::<u64>::options().attach(SharedMemory::open(&name)?)?;
    /// assert_eq!(same.capacity(), queue.capacity());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn attach(&self, memory: SharedMemory) -> Result<Queue<T>> {
        let attached = Segment::attach(&self.spec(), memory).map(Queue::of);
        attached.map_err(|e| e.on("attach to a ring"))
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

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("spsc::Queue").field("memory", self.segment.memory()).finish_non_exhaustive()
    }
}

impl<T: Plain> Queue<T> {
    fn of(segment: Arc<Segment>) -> Self {
        Queue { segment, _values: PhantomData }
    }

    /// Options for a queue of this type.
    ///
    /// ```
    /// let options = ringlane::spsc::Queue::<u64>::options();
    /// ```
    pub fn options() -> Options<T> {
        Options::new()
    }

    /// Makes a new queue for `capacity` values, a power of two.
    ///
    /// # Errors
    /// As [`Options::create`].
    ///
    /// ```
    /// let name = ringlane::Name::new("ringlane-doc-spsc-create")?;
    /// let queue = ringlane::spsc::Queue::<[f32; 2]>::create(&name, 512)?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn create(name: &Name, capacity: usize) -> Result<Self> {
        Self::options().capacity(capacity).create(name)
    }

    /// Opens the queue of this name.
    ///
    /// # Errors
    /// As [`Options::open`].
    ///
    /// ```
    /// use ringlane::{Name, spsc::Queue};
    /// let name = Name::new("ringlane-doc-spsc-open")?;
    /// let queue = Queue::<u64>::create(&name, 512)?;
    /// assert_eq!(Queue::<u64>::open(&name)?.capacity(), 512);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn open(name: &Name) -> Result<Self> {
        Self::options().open(name)
    }

    /// Makes a new queue for the threads of one process.
    ///
    /// # Errors
    /// As [`Options::private`].
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(64)?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn private(capacity: usize) -> Result<Self> {
        Self::options().capacity(capacity).private()
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
        let ring = Writer::resume(end.own(), end.peer_position(), &slots);
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
        let ring = Reader::resume(end.own(), end.peer_position(), &slots);
        let ring = ring.map_err(|_| end.corrupt())?;
        Ok(Consumer { end, ring, slots })
    }
}

/// The producing end of a [`Queue`]. Dropping it closes it: the consumer takes what is left, and is then
/// told.
///
/// ```
/// use ringlane::{PopError, spsc::Queue};
/// let queue = Queue::<u64>::private(8)?;
/// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
/// producer.push(1).unwrap();
/// drop(producer);
/// assert_eq!(consumer.pop(), Ok(1));
/// assert_eq!(consumer.pop(), Err(PopError::Closed));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
pub struct Producer<T> {
    end: End,
    ring: Writer,
    slots: Slots<T>,
}

impl<T: Plain> Producer<T> {
    /// Puts a value in if there is room now. Never waits.
    ///
    /// # Errors
    /// [`PushError::Full`], [`PushError::Closed`], [`PushError::Corrupt`]; the value comes back.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(2)?;
    /// let mut producer = queue.producer()?;
    /// assert!(producer.try_push(1).is_ok());
    /// assert!(producer.try_push(2).is_ok());
    /// assert!(producer.try_push(3).unwrap_err().is_full());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn try_push(&mut self, value: T) -> std::result::Result<(), PushError<T>> {
        self.put(&value).map_err(|refused| refused.of(value))
    }

    /// The value stays with the caller, so that it is copied once: into the slot.
    #[inline(always)]
    fn put(&mut self, value: &T) -> std::result::Result<(), PushError<()>> {
        if self.end.peer_closed() {
            return Err(PushError::Closed(()));
        }
        let position = match self.ring.claim(self.end.peer_position()) {
            Ok(position) => position,
            Err(Claim::Full) => return Err(PushError::Full(())),
            Err(Claim::Corrupt) => return Err(PushError::Corrupt(())),
        };
        let slot = self.slots.slot(position);
        slot.store(value);
        self.ring.publish(self.end.own(), &slot);
        self.end.notify();
        Ok(())
    }

    /// Puts a value in, waiting for room as long as it takes.
    ///
    /// # Errors
    /// [`PushError::Closed`], [`PushError::PeerDied`], [`PushError::Corrupt`]; the value comes back.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(2)?;
    /// queue.producer()?.push(1).unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn push(&mut self, value: T) -> std::result::Result<(), PushError<T>> {
        match self.put(&value) {
            Ok(()) => Ok(()),
            Err(PushError::Full(())) => self.push_wait(value, None),
            Err(refused) => Err(refused.of(value)),
        }
    }

    /// Puts a value in, waiting for room at most `timeout`.
    ///
    /// # Errors
    /// As [`push`](Self::push), and [`PushError::Full`] when the time ran out.
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::spsc::Queue::<u64>::private(1)?;
    /// let mut producer = queue.producer()?;
    /// producer.push(1).unwrap();
    /// assert!(producer.push_timeout(2, Duration::from_millis(1)).unwrap_err().is_full());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn push_timeout(
        &mut self,
        value: T,
        timeout: Duration,
    ) -> std::result::Result<(), PushError<T>> {
        match self.put(&value) {
            Err(PushError::Full(())) => self.push_wait(value, Some(timeout)),
            done => done.map_err(|refused| refused.of(value)),
        }
    }

    #[cold]
    fn push_wait(
        &mut self,
        value: T,
        timeout: Option<Duration>,
    ) -> std::result::Result<(), PushError<T>> {
        let pushed = block(
            self,
            |p| &mut p.end,
            timeout,
            |p| match p.try_push(value) {
                Err(PushError::Full(_)) => None,
                done => Some(done),
            },
        );
        pushed.unwrap_or_else(|blocked| match blocked {
            Blocked::TimedOut => Err(PushError::Full(value)),
            Blocked::PeerDied => Err(PushError::PeerDied(value)),
        })
    }

    /// Waits until the consumer has taken everything.
    ///
    /// # Errors
    /// [`PushError::Full`] when the time ran out, [`PushError::Closed`] and [`PushError::PeerDied`] if
    /// something is left that nobody will take, [`PushError::Corrupt`].
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::spsc::Queue::<u64>::private(2)?;
    /// let (mut producer, mut consumer) = (queue.producer()?, queue.consumer()?);
    /// producer.push(1).unwrap();
    /// assert!(producer.flush(Some(Duration::ZERO)).is_err());
    /// consumer.pop().unwrap();
    /// assert!(producer.flush(None).is_ok());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn flush(&mut self, timeout: Option<Duration>) -> std::result::Result<(), PushError<()>> {
        super::end::flush(self, |p| &mut p.end, timeout, |p| (p.ring.tail(), p.slots.capacity()))
    }

    /// How many more values fit now. It can only become more until this end pushes.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// let mut producer = queue.producer()?;
    /// producer.push(1).unwrap();
    /// assert_eq!(producer.vacant(), 7);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn vacant(&self) -> usize {
        let used = self.end.lead(self.ring.tail());
        self.slots.capacity().saturating_sub(used) as usize
    }

    /// What the consumer is now.
    ///
    /// ```
    /// use ringlane::{Peer, spsc::Queue};
    /// assert_eq!(Queue::<u64>::private(8)?.producer()?.peer(), Peer::Vacant);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn peer(&self) -> Peer {
        self.end.peer()
    }

    /// Waits until a living process holds the consuming end; false if the time ran out before.
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// assert!(!queue.producer()?.wait_peer(Some(Duration::ZERO)));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn wait_peer(&mut self, timeout: Option<Duration>) -> bool {
        super::end::wait_peer(self, |p| &mut p.end, timeout)
    }

    /// Chooses how this end waits.
    ///
    /// ```
    /// use ringlane::{Wait, spsc::Queue};
    /// Queue::<u64>::private(8)?.producer()?.set_wait(Wait::Spin);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn set_wait(&mut self, wait: Wait) {
        self.end.set_wait(wait);
    }

    /// Closes the end. The same as dropping it.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// queue.producer()?.close();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn close(self) {}
}

/// The consuming end of a [`Queue`]. Dropping it closes it: the producer is told at its next push.
///
/// ```
/// use ringlane::{PushError, spsc::Queue};
/// let queue = Queue::<u64>::private(8)?;
/// let mut producer = queue.producer()?;
/// drop(queue.consumer()?);
/// assert!(matches!(producer.push(1), Err(PushError::Closed(1))));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
pub struct Consumer<T> {
    end: End,
    ring: Reader,
    slots: Slots<T>,
}

impl<T: Plain> Consumer<T> {
    /// Takes the next value if it is there. Never waits.
    ///
    /// # Errors
    /// [`PopError::Empty`], [`PopError::Closed`].
    ///
    /// ```
    /// use ringlane::{PopError, spsc::Queue};
    /// let queue = Queue::<u64>::private(8)?;
    /// assert_eq!(queue.consumer()?.try_pop(), Err(PopError::Empty));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn try_pop(&mut self) -> std::result::Result<T, PopError> {
        match self.take() {
            Some(value) => Ok(value),
            None => self.nothing(),
        }
    }

    #[inline(always)]
    fn take(&mut self) -> Option<T> {
        let value = self.ring.acquire(&self.slots)?.load();
        self.ring.release(self.end.own());
        self.end.notify();
        Some(value)
    }

    /// The ring was empty: for good?
    fn nothing(&mut self) -> std::result::Result<T, PopError> {
        if !self.end.peer_closed() {
            return Err(PopError::Empty);
        }
        // The last value may have come between our look and the close.
        self.take().ok_or(PopError::Closed)
    }

    /// Takes the next value, waiting as long as it takes.
    ///
    /// # Errors
    /// [`PopError::Closed`] and [`PopError::PeerDied`], after everything committed has been taken.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// queue.producer()?.push(7).unwrap();
    /// assert_eq!(queue.consumer()?.pop(), Ok(7));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn pop(&mut self) -> std::result::Result<T, PopError> {
        match self.take() {
            Some(value) => Ok(value),
            None => self.pop_wait(None),
        }
    }

    /// Takes the next value, waiting at most `timeout`.
    ///
    /// # Errors
    /// As [`pop`](Self::pop), and [`PopError::Empty`] when the time ran out.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ringlane::{PopError, spsc::Queue};
    /// let queue = Queue::<u64>::private(8)?;
    /// let popped = queue.consumer()?.pop_timeout(Duration::from_millis(1));
    /// assert_eq!(popped, Err(PopError::Empty));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn pop_timeout(&mut self, timeout: Duration) -> std::result::Result<T, PopError> {
        match self.take() {
            Some(value) => Ok(value),
            None => self.pop_wait(Some(timeout)),
        }
    }

    #[cold]
    fn pop_wait(&mut self, timeout: Option<Duration>) -> std::result::Result<T, PopError> {
        let popped = block(
            self,
            |c| &mut c.end,
            timeout,
            |c| match c.try_pop() {
                Err(PopError::Empty) => None,
                done => Some(done),
            },
        );
        popped.unwrap_or_else(|blocked| match blocked {
            Blocked::TimedOut => Err(PopError::Empty),
            Blocked::PeerDied => Err(PopError::PeerDied),
        })
    }

    /// How many values are there now. It can only become more until this end pops.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// let mut consumer = queue.consumer()?;
    /// queue.producer()?.push(1).unwrap();
    /// assert_eq!(consumer.available(), 1);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn available(&self) -> usize {
        self.ring.available(self.end.peer_position(), &self.slots) as usize
    }

    /// What the producer is now.
    ///
    /// ```
    /// use ringlane::{Peer, spsc::Queue};
    /// assert_eq!(Queue::<u64>::private(8)?.consumer()?.peer(), Peer::Vacant);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn peer(&self) -> Peer {
        self.end.peer()
    }

    /// Waits until a living process holds the producing end; false if the time ran out before.
    ///
    /// ```
    /// use std::time::Duration;
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// let producer = queue.producer()?;
    /// assert!(queue.consumer()?.wait_peer(Some(Duration::ZERO)));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn wait_peer(&mut self, timeout: Option<Duration>) -> bool {
        super::end::wait_peer(self, |c| &mut c.end, timeout)
    }

    /// Chooses how this end waits.
    ///
    /// ```
    /// use ringlane::{Wait, spsc::Queue};
    /// Queue::<u64>::private(8)?.consumer()?.set_wait(Wait::Yield);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn set_wait(&mut self, wait: Wait) {
        self.end.set_wait(wait);
    }

    /// Closes the end. The same as dropping it.
    ///
    /// ```
    /// let queue = ringlane::spsc::Queue::<u64>::private(8)?;
    /// queue.consumer()?.close();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn close(self) {}
}
