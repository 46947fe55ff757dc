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
use crate::layout::{Abandoned, Kind, PartImage, ParticipantImage, Peek, Peer, Side};
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
    /// One request and its reply at a time, one caller, one server: [`call`](crate::call).
    Call,
    /// Values of one type, many producers and consumers: [`mpmc`](crate::mpmc).
    Mpmc,
    /// Records of bytes, many producers and consumers: [`mpmc_record`](crate::mpmc_record).
    MpmcRecord,
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
            RingKind::Call => Kind::Call.as_str(),
            RingKind::Mpmc => Kind::Mpmc.as_str(),
            RingKind::MpmcRecord => Kind::MpmcRecord.as_str(),
        }
    }

    /// Whether it is for many, and not for two.
    ///
    /// ```
    /// use ringlane::inspect::RingKind;
    /// assert!(RingKind::Mpmc.is_shared() && !RingKind::Spsc.is_shared());
    /// ```
    pub fn is_shared(self) -> bool {
        matches!(self, RingKind::Mpmc | RingKind::MpmcRecord)
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
    /// Values that fit, or bytes of records; 1 call.
    pub capacity: u64,
    /// Bytes of the whole object.
    pub size: u64,
    /// Values or records in it; for a call cell, 1 while a request is not answered.
    pub depth: u64,
    /// Values in it, or bytes of records, headers included: the part of `capacity` in use.
    pub used: u64,
    /// Values, records or requests published so far. In a ring for many, slots claimed so far.
    pub pushed: u64,
    /// Values or records released so far, or requests answered. A death in the middle of releasing a record leaves it
    /// one behind. In a ring for many, slots given back so far, skipped ones among them.
    pub popped: u64,
    /// The producing end, or the caller; of a ring for many, all producers together.
    pub producer: End,
    /// The consuming end, or the server; of a ring for many, all consumers together.
    pub consumer: End,
    /// Who takes part in a ring for many, or did, place by place. Empty for other rings.
    pub participants: Vec<Participant>,
    /// Whether a value that a consumer has not acknowledged comes again when it dies: rings for many only.
    pub at_least_once: bool,
}

/// One place in a ring for many: its last holder, and what all of its holders left behind.
///
/// ```
/// use ringlane::{Name, Peer, inspect, mpmc};
/// let name = Name::new("ringlane-doc-inspect-participant")?;
/// let queue = mpmc::Queue::<u64>::create(&name, 64)?;
/// let (producer, consumer) = (queue.producer()?, queue.consumer()?);
/// let report = inspect::report(&name)?;
/// assert_eq!(report.participants.len(), 2);
/// let first = report.participants[0];
/// assert!(first.is_producer && first.holder == Peer::Alive && first.deaths == 0);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Participant {
    /// Which place it is, from 0 on.
    pub place: usize,
    /// Whether its last holder produces; if not, it consumes.
    pub is_producer: bool,
    /// Whether somebody holds it.
    pub holder: Peer,
    /// The process id that its last holder gave. It can be another process's by now.
    pub pid: u32,
    /// How many holders it has had.
    pub generation: u32,
    /// How many of them were certified dead.
    pub deaths: u64,
    /// The process id that the last of those gave, 0 if there was none.
    pub last_death: u32,
    /// Slots that were skipped because a holder died, or closed, before it filled them.
    pub skipped: u64,
    /// Values that came again because a holder died, or closed, before it acknowledged them.
    pub redelivered: u64,
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

/// How often to look again at a ring that moved while it was looked at.
const LOOKS: u32 = 16;

fn look(name: &Name) -> Result<Report> {
    let peek = Peek::open(name)?;
    let mut report = look_once(&peek)?;
    for _ in 1..LOOKS {
        // What is before the consumer's place now may have been overwritten while it was followed.
        let now = match report.0.kind {
            kind if kind.is_shared() => peek.head()?,
            _ => peek.part(Side::Consumer)?.at,
        };
        if now == report.1 {
            break;
        }
        report = look_once(&peek)?;
    }
    Ok(report.0)
}

/// What the ring looks like, and the consumer's position that this goes by.
fn look_once(peek: &Peek) -> Result<(Report, u64)> {
    let header = peek.header();
    if Kind::of(header.kind).is_some_and(Kind::is_shared) {
        return look_at_many(peek);
    }
    // The consumer first: the producer's numbers, read later, are not behind them.
    let consumer = peek.part(Side::Consumer)?;
    let producer = peek.part(Side::Producer)?;
    let kind = match Kind::of(header.kind) {
        Some(Kind::Record) => RingKind::Record,
        Some(Kind::Call) => RingKind::Call,
        _ => RingKind::Spsc,
    };
    let turn = if kind == RingKind::Call { peek.word(0)? } else { 0 };
    let (depth, used) = match kind {
        RingKind::Record => records(peek, &producer, &consumer),
        // A call is in it while the turn is the server's.
        RingKind::Call => (turn & 1, turn & 1),
        _ => values(peek, &producer, &consumer),
    };
    let popped = match kind {
        RingKind::Record => consumer.count,
        RingKind::Call => turn / 2,
        _ => consumer.at,
    };
    let [producer, end] = [producer, consumer].map(|part| End {
        holder: part.holder,
        pid: part.pid,
        generation: part.generation,
        asleep: part.asleep && part.holder == Peer::Alive,
    });
    let report = Report {
        kind,
        type_name: header.type_name(),
        capacity: header.capacity,
        size: header.total,
        depth,
        used,
        pushed: popped.wrapping_add(depth),
        popped,
        producer,
        consumer: end,
        participants: Vec::new(),
        at_least_once: false,
    };
    Ok((report, consumer.at))
}

/// The same for a ring for many.
fn look_at_many(peek: &Peek) -> Result<(Report, u64)> {
    let header = peek.header();
    let head = peek.head()?;
    // A slot that cannot be read any more holds nothing.
    let slot = |at| peek.slot(at).unwrap_or(0);
    let claim = |at| peek.claim(at).unwrap_or(0);
    let (used, values) = ring::mpmc::depth(head, header.capacity, slot, claim);
    let kind = Kind::of(header.kind);
    // Where there are blocks, their bytes are what counts.
    let (kind_is, unit) = match kind.is_some_and(Kind::has_blocks) {
        true => (RingKind::MpmcRecord, header.stride),
        false => (RingKind::Mpmc, 1),
    };
    let all = peek.participants()?;
    let participant = |one: &ParticipantImage| Participant {
        place: one.place,
        is_producer: one.side == Side::Producer,
        holder: one.holder,
        pid: one.pid,
        generation: one.generation,
        deaths: one.deaths,
        last_death: one.dead_pid,
        skipped: one.skipped,
        redelivered: one.redelivered,
    };
    let report = Report {
        kind: kind_is,
        type_name: header.type_name(),
        capacity: header.capacity.saturating_mul(unit),
        size: header.total,
        depth: values,
        used: used.saturating_mul(unit),
        pushed: head.wrapping_add(used),
        popped: head,
        producer: together(&all, Side::Producer),
        consumer: together(&all, Side::Consumer),
        participants: all.iter().map(participant).collect(),
        at_least_once: kind.is_some_and(Kind::is_acked),
    };
    Ok((report, head))
}

/// All on one side as one: whoever says most about it, and all of their holders counted.
fn together(all: &[ParticipantImage], side: Side) -> End {
    let of_side = || all.iter().filter(|one| one.side == side && one.generation > 0);
    let telling = [Peer::Alive, Peer::Died, Peer::Closed];
    let one = telling.iter().find_map(|state| of_side().find(|one| one.holder == *state));
    End {
        holder: one.map_or(Peer::Vacant, |one| one.holder),
        pid: one.map_or(0, |one| one.pid),
        generation: of_side().fold(0, |sum, one| sum.wrapping_add(one.generation)),
        asleep: false,
    }
}

/// How many values are in a ring, twice: they are what its capacity counts.
fn values(peek: &Peek, producer: &PartImage, consumer: &PartImage) -> (u64, u64) {
    let (capacity, stride) = (peek.header().capacity, peek.header().stride);
    let dense = peek.header().is_dense();
    // A slot that cannot be read any more has not been published.
    let sequence = |at: u64| peek.word((at & (capacity - 1)) * stride + (stride - 8)).unwrap_or(at);
    let depth =
        ring::spsc::depth(producer.at, consumer.at, capacity, |at| (!dense).then(|| sequence(at)));
    let depth = depth.unwrap_or(0);
    (depth, depth)
}

/// How many records are in a ring, and how many bytes they take up.
fn records(peek: &Peek, producer: &PartImage, consumer: &PartImage) -> (u64, u64) {
    let header = peek.header();
    let shape = Shape::new(header.capacity as usize, header.stride as usize, header.wrap());
    let word = |offset: usize| peek.word(offset as u64).map_err(|_| ring::Corrupt);
    let from = ring::further(producer.at, consumer.at);
    let counted = match from == consumer.at {
        true => 0,
        false => {
            u64::try_from(producer.count.wrapping_sub(consumer.count).cast_signed()).unwrap_or(0)
        }
    };
    // The producer may go round while we follow it: then what it said itself is all we have.
    let (tail, more) = shape.follow(from, word).unwrap_or((from, 0));
    let used = tail.wrapping_sub(consumer.at).min(header.capacity);
    (counted.saturating_add(more).min(header.capacity / header.stride), used)
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
    let removed = match force {
        true => Peek::remove(name),
        false => Abandoned::lock(name).and_then(|ring| ring.remove(name)),
    };
    removed.map_err(|e| e.on(format_args!("remove ring {:?}", name.as_str())))
}

/// Removes a ring's name if no living process holds an end of it and nothing is in it. False if something
/// is: then it stays. Nobody can put anything in between the look and the removal.
///
/// # Errors
/// As [`remove`] without `force`.
///
/// ```
/// use ringlane::{Lifetime, Name, inspect, spsc};
/// let name = Name::new("ringlane-doc-inspect-drained")?;
/// let mut options = spsc::Queue::<u64>::options();
/// let queue = options.lifetime(Lifetime::Persistent).create(&name)?;
/// queue.producer()?.push(1).unwrap();
/// assert!(!inspect::remove_drained(&name)?);
/// queue.consumer()?.pop().unwrap();
/// assert!(inspect::remove_drained(&name)?);
/// # Ok::<(), ringlane::Error>(())
/// ```
pub fn remove_drained(name: &Name) -> Result<bool> {
    let removed = Abandoned::lock(name).and_then(|ring| match look(name)?.depth {
        0 => ring.remove(name).map(|()| true),
        _ => Ok(false),
    });
    removed.map_err(|e| e.on(format_args!("remove ring {:?}", name.as_str())))
}
