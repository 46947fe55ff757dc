//! Looking at rings from outside: which there are, how full they are, who holds their ends.
//!
//! An onlooker takes no end, maps nothing and wakes nobody; what it reports was true a moment ago.
//!
//! ```
//! use ringlane::{Name, Peer, inspect, spsc};
//!
//! let name = Name::new("ringlane-doc-inspect")?;
//! let queue = spsc::Queue::<u64>::create(&name, 64)?;
//! queue.producer()?.push(1).unwrap();
//!
//! assert!(inspect::list()?.contains(&name));
//! let report = inspect::report(&name)?;
//! assert_eq!((report.capacity, report.depth), (64, 1));
//! assert_eq!(report.producer.holder, Peer::Closed);
//! # Ok::<(), ringlane::Error>(())
//! ```

use crate::error::Result;
use crate::layout::{Kind, Peek, Peer, Side};
use crate::ring::{self, record::Shape};
use crate::shm::Name;
use crate::sys;

/// What a ring carries.
///
/// ```
/// assert_eq!(ringlane::inspect::RingKind::Record.as_str(), "record");
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingKind {
    /// Values of one type, one producer, one consumer: [`spsc`](crate::spsc).
    Spsc,
    /// Records of bytes, one producer, one consumer: [`record`](crate::record).
    Record,
}

impl RingKind {
    /// The kind in one word.
    ///
    /// ```
    /// assert_eq!(ringlane::inspect::RingKind::Spsc.as_str(), "spsc");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            RingKind::Spsc => Kind::Spsc.as_str(),
            RingKind::Record => Kind::Record.as_str(),
        }
    }
}

/// What a ring looked like.
///
/// ```
/// use ringlane::{Name, inspect, record};
/// let name = Name::new("ringlane-doc-inspect-report")?;
/// let queue = record::Queue::create(&name, 1 << 16)?;
/// queue.producer()?.push(b"twelve bytes").unwrap();
/// let report = inspect::report(&name)?;
/// assert_eq!((report.pushed, report.popped, report.depth), (1, 0, 1));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Report {
    /// What it carries.
    pub kind: RingKind,
    /// The type of its values, as its creator's compiler wrote it.
    pub type_name: String,
    /// Values that fit, or bytes of records.
    pub capacity: u64,
    /// Bytes of the whole object.
    pub size: u64,
    /// Values or records in it.
    pub depth: u64,
    /// Values in it, or bytes of records, headers included: the part of `capacity` in use.
    pub used: u64,
    /// Values or records published so far.
    pub pushed: u64,
    /// Values or records released so far. A death in the middle of releasing a record leaves it one behind.
    pub popped: u64,
    /// The producing end.
    pub producer: End,
    /// The consuming end.
    pub consumer: End,
}

/// One end of a ring, seen from outside.
///
/// ```
/// use ringlane::{Name, Peer, inspect, spsc};
/// let name = Name::new("ringlane-doc-inspect-end")?;
/// let queue = spsc::Queue::<u64>::create(&name, 64)?;
/// let consumer = queue.consumer()?;
/// let end = inspect::report(&name)?.consumer;
/// assert_eq!((end.holder, end.pid), (Peer::Alive, std::process::id()));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// Whether somebody holds it.
    pub holder: Peer,
    /// The process id that its last holder gave, 0 if there was none. It can be another process's by now.
    pub pid: u32,
    /// How many holders it has had.
    pub generation: u32,
    /// Whether its holder sleeps, waiting for the other end.
    pub asleep: bool,
}

/// The names of all rings that this process may read.
///
/// # Errors
/// If the shared-memory directory cannot be read.
///
/// ```
/// for name in ringlane::inspect::list()? {
///     println!("{name}");
/// }
/// # Ok::<(), ringlane::Error>(())
/// ```
pub fn list() -> Result<Vec<Name>> {
    let names = sys::names()?;
    // What cannot be opened, or goes while we look, is no ring of ours.
    let rings = names.iter().filter_map(|name| Name::new(name).ok());
    Ok(rings.filter(|name| Peek::is_ring(name).unwrap_or(false)).collect())
}

/// Looks at a ring.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound), and as when opening a queue: a ring that cannot be
/// used cannot be looked at either.
///
/// ```
/// use ringlane::{ErrorKind, Name, inspect};
/// let error = inspect::report(&Name::new("ringlane-doc-inspect-none")?).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// # Ok::<(), ringlane::Error>(())
/// ```
pub fn report(name: &Name) -> Result<Report> {
    look(name).map_err(|e| e.on(format_args!("look at ring {:?}", name.as_str())))
}

fn look(name: &Name) -> Result<Report> {
    let peek = Peek::open(name)?;
    let header = peek.header();
    // The consumer first: the producer's numbers, read later, are not behind them.
    let consumer = peek.part(Side::Consumer)?;
    let producer = peek.part(Side::Producer)?;
    let kind = match Kind::of(header.kind) {
        Some(Kind::Record) => RingKind::Record,
        _ => RingKind::Spsc,
    };
    let (capacity, head) = (header.capacity, consumer.at);
    let (pushed, popped, used) = match kind {
        RingKind::Spsc => {
            // A slot that cannot be read any more has not been published.
            let sequence = |at: u64| peek.word((at & (capacity - 1)) * header.stride).unwrap_or(at);
            let used = ring::spsc::depth(producer.at, head, capacity, sequence);
            (head.wrapping_add(used), head, used)
        }
        RingKind::Record => {
            let shape = Shape {
                capacity: capacity as usize,
                align: header.stride as usize,
                wrap: header.wrap(),
            };
            let word = |offset: usize| peek.word(offset as u64).map_err(|_| ring::Corrupt);
            // The producer may go round while we follow it: then what it said itself is all we have.
            let from = ring::further(producer.at, head);
            let counted = if from == head { consumer.count } else { producer.count };
            let (tail, more) = shape.follow(from, word).unwrap_or((from, 0));
            (counted.wrapping_add(more), consumer.count, tail.wrapping_sub(head).min(capacity))
        }
    };
    let depth = match kind {
        RingKind::Spsc => used,
        RingKind::Record => u64::try_from(pushed.wrapping_sub(popped).cast_signed()).unwrap_or(0),
    };
    let [producer, consumer] = [producer, consumer].map(|part| End {
        holder: part.holder,
        pid: part.pid,
        generation: part.generation,
        asleep: part.asleep && part.holder == Peer::Alive,
    });
    Ok(Report {
        kind,
        type_name: header.type_name(),
        capacity: header.capacity,
        size: header.total,
        depth,
        used,
        pushed,
        popped,
        producer,
        consumer,
    })
}

/// Removes a ring's name, if no living process holds an end of it, or in any case if `force`d. Processes
/// that have it keep it until they are done.
///
/// # Errors
/// [`ErrorKind::InUse`](crate::ErrorKind::InUse) names the process that holds an end;
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if the object is no ring at all.
///
/// ```
/// use ringlane::{ErrorKind, Name, inspect, spsc};
/// let name = Name::new("ringlane-doc-inspect-remove")?;
/// let queue = spsc::Queue::<u64>::create(&name, 64)?;
/// let producer = queue.producer()?;
/// assert_eq!(inspect::remove(&name, false).unwrap_err().kind(), ErrorKind::InUse);
/// drop(producer);
/// inspect::remove(&name, false)?;
/// # Ok::<(), ringlane::Error>(())
/// ```
pub fn remove(name: &Name, force: bool) -> Result<()> {
    Peek::remove(name, force).map_err(|e| e.on(format_args!("remove ring {:?}", name.as_str())))
}
