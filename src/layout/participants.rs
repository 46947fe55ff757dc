//! Who takes part in an MPMC ring: a place for each, and the kernel's word on who is gone.
//!
//! A place is held by holding the lock on its byte of the object, as an end of an SPSC ring is. What a
//! dead participant left behind names its place and generation, so it can be told from what its successor
//! in that place does.

use super::header::Kind;
use super::part::Side;
use super::role::Peer;
use super::segment::Segment;
use super::sole::{Sole, Standing};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{AtomicU32, AtomicU64, Line, Ordering, fence};
use crate::sys::{self, Access};
use std::mem::offset_of;

/// How many can take part at a time. A model has few, for each costs it time.
pub(crate) const PLACES: usize = if cfg!(loom) { 4 } else { 128 };

/// The byte of the object whose lock the holder of the first place has. Those of the ends of other rings
/// come before.
const FIRST_BYTE: u32 = 2;

/// All bytes whose locks mean anything.
pub(crate) const LOCK_BYTES: u32 = FIRST_BYTE + 128;

/// The words that all participants share.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Common {
    /// Where to begin to look for the first position that nobody has claimed. A hint: it may lie behind.
    pub(crate) tail: Line<AtomicU64>,
    /// All slots before this position are free.
    pub(crate) head: Line<AtomicU64>,
    /// How often something was made to come again.
    pub(crate) again: Line<AtomicU64>,
    /// Those who wait for values.
    pub(crate) items: Line<Crowd>,
    /// Those who wait for room.
    pub(crate) room: Line<Crowd>,
    pub(crate) members: Line<Members>,
    /// Whether one producer is alone.
    pub(crate) sole: Line<Sole>,
}

/// Sleepers on one thing. Written rarely, so that looking at it costs little.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    /// Counts announcements of sleep.
    pub(crate) sleep: AtomicU32,
    /// The announcement up to which all sleepers have been called.
    pub(crate) called: AtomicU32,
    /// What they sleep on.
    pub(crate) epoch: AtomicU32,
}

/// Who comes and goes.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// Bumped after each arrival, close and certified death.
    pub(crate) changes: AtomicU32,
    /// Places that have ever been held are below this number.
    pub(crate) used: AtomicU32,
    /// 1 if anybody has come whose process takes part in the heavy fence.
    pub(crate) unfenced: AtomicU32,
}

/// One place.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Participant {
    /// The generation, the side, and one of [`standing`]: see [`Status`].
    pub(super) status: AtomicU64,
    /// The holder's process id: for people, and to be woken by its end; never evidence.
    pub(super) pid: AtomicU32,
    /// The process id of the last holder that died.
    pub(super) dead_pid: AtomicU32,
    /// Holders that died.
    pub(super) deaths: AtomicU64,
    /// Slots that were skipped because a holder died while it wrote them.
    pub(super) skipped: AtomicU64,
    /// Values that came again because a holder died before it acknowledged them.
    pub(super) redelivered: AtomicU64,
}

/// The last byte of [`Participant::status`].
pub(crate) mod standing {
    /// Nobody has held this place.
    pub(crate) const VACANT: u8 = 0;
    /// Somebody took it, who lives if and only if the place's lock is held.
    pub(crate) const ATTACHED: u8 = 1;
    /// The last holder closed it, or its death is history: another one has come since.
    pub(crate) const CLOSED: u8 = 2;
    /// The last holder was certified dead.
    pub(crate) const DIED: u8 = 3;
}

/// What a place's status word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) generation: u32,
    pub(crate) side: Side,
    pub(crate) standing: u8,
}

impl Status {
    pub(crate) fn of(word: u64) -> Status {
        let side = if word >> 8 & 1 == 0 { Side::Producer } else { Side::Consumer };
        Status { generation: (word >> 32) as u32, side, standing: word as u8 }
    }

    fn word(self) -> u64 {
        u64::from(self.generation) << 32
            | u64::from(self.side == Side::Consumer) << 8
            | u64::from(self.standing)
    }

    fn but(self, standing: u8) -> u64 {
        Status { standing, ..self }.word()
    }
}

/// Who claimed or took a slot: a place, and the low bits of its holder's generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) place: u8,
    pub(crate) generation: u8,
}

impl Common {
    /// Offsets that go into the layout's fingerprint.
    pub(super) const OFFSETS: [usize; 7] = [
        offset_of!(Common, tail),
        offset_of!(Common, head),
        offset_of!(Common, again),
        offset_of!(Common, items),
        offset_of!(Common, room),
        offset_of!(Common, members),
        offset_of!(Common, sole),
    ];

    #[cfg(loom)]
    pub(super) fn new() -> Common {
        Common {
            tail: Line(AtomicU64::new(0)),
            head: Line(AtomicU64::new(0)),
            again: Line(AtomicU64::new(0)),
            items: Line(Crowd::default()),
            room: Line(Crowd::default()),
            members: Line(Members::default()),
            sole: Line(Sole::default()),
        }
    }

    /// The words of a new ring, which are all zero, at its first position.
    pub(super) fn begin_at(&self, start: u64) {
        self.tail.store(start, Ordering::Relaxed);
        self.head.store(start, Ordering::Relaxed);
    }
}

impl Participant {
    /// Offsets that go into the layout's fingerprint.
    pub(super) const OFFSETS: [usize; 6] = [
        offset_of!(Participant, status),
        offset_of!(Participant, pid),
        offset_of!(Participant, dead_pid),
        offset_of!(Participant, deaths),
        offset_of!(Participant, skipped),
        offset_of!(Participant, redelivered),
    ];

    #[cfg(loom)]
    pub(super) fn new() -> Participant {
        Participant {
            status: AtomicU64::new(0),
            pid: AtomicU32::new(0),
            dead_pid: AtomicU32::new(0),
            deaths: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            redelivered: AtomicU64::new(0),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    pub(crate) fn status(&self) -> Status {
        // ORDERING(status): Acquire. Pairs with ORDERING(status) in Place::acquire, Place::close and
        // Place::certify.
        Status::of(self.status.load(Ordering::Acquire))
    }

    pub(crate) fn count_skipped(&self, slots: u64) {
        self.skipped.fetch_add(slots, Ordering::Relaxed);
    }

    pub(crate) fn count_redelivered(&self) {
        self.redelivered.fetch_add(1, Ordering::Relaxed);
    }
}

/// The byte whose lock the holder of a place has.
pub(crate) fn lock_byte(place: usize) -> u32 {
    FIRST_BYTE + place as u32
}

/// A place that this process holds, until dropped.
#[derive(Debug)]
pub(crate) struct Place {
    lock: sys::Lock,
    index: usize,
    status: Status,
    /// A forked child has a copy of this, but not the place.
    owner: u64,
}

impl Place {
    /// Takes a place that is free. `sweep` is called, before anything else can be seen of the
    /// newcomer, if what earlier holders left could be taken for the newcomer's.
    pub(crate) fn acquire(
        segment: &Segment,
        side: Side,
        mut sweep: impl FnMut(&Place),
    ) -> Result<Place> {
        let refuse = |e: Error| {
            let name = segment.memory().name().map_or("(private)", |name| name.as_str());
            e.on(format_args!("take part in ring {name:?} as a {}", Kind::Mpmc.end_name(side)))
        };
        let (lock, index) = lock_first(segment, side).map_err(refuse)?;
        // Whoever removes a ring holds its locks while doing so: having ours, we see it.
        if segment.memory().is_orphan().map_err(refuse)? {
            let text = "the ring was removed and no other process can find it";
            return Err(refuse(Error::new(ErrorKind::NotFound, text)));
        }
        let (common, participant) = (segment.common(), segment.participant(index));
        let before = participant.status();
        let mut generation = before.generation.wrapping_add(1);
        // Whoever was alone last may be signed for as long as it is remembered: nobody else signs so.
        // Relaxed: if it had this place, the place's lock says that it is gone.
        let last = Standing(common.sole.standing.load(Ordering::Relaxed)).last();
        if last == (Owner { place: index as u8, generation: generation as u8 }) {
            generation = generation.wrapping_add(1);
        }
        let status = Status { generation, side, standing: standing::ATTACHED };
        let place = Place { lock, index, status, owner: sys::process_token() };
        if before.standing == standing::ATTACHED {
            place.certify(segment, index, before);
        }
        if (generation as u8) < before.generation as u8 {
            sweep(&place);
        }
        common.members.used.fetch_max(index as u32 + 1, Ordering::Relaxed);
        participant.pid.store(sys::process_id(), Ordering::Relaxed);
        if sys::register_fence() {
            common.members.unfenced.store(1, Ordering::Relaxed);
        }
        // ORDERING(status): Release. Pairs with ORDERING(status) in Participant::status: whoever sees the
        // newcomer sees its process id, and that it may run without fences. No model: who reads it watches
        // for deaths, and nobody does there.
        participant.status.store(status.word(), Ordering::Release);
        // Deaths on this side are history from now on.
        for (index, other) in segment.participants().iter().enumerate() {
            let mut status = other.status();
            if status.side == side && status.standing == standing::ATTACHED && !place.is_held(index)
            {
                // Nobody has looked since.
                place.certify(segment, index, status);
                status = other.status();
            }
            if index != place.index && status.side == side && status.standing == standing::DIED {
                let _ = other.status.compare_exchange(
                    status.word(),
                    status.but(standing::CLOSED),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
            }
        }
        place.changed(segment);
        // ORDERING(arrive): SeqCst fence. Pairs with ORDERING(arrive) in CrowdBell::announce: either that
        // sleeper sees `unfenced`, or our first operation sees its announcement. No model: the epoch, which is bumped
        // after this, orders it there.
        fence(Ordering::SeqCst);
        Ok(place)
    }

    fn changed(&self, segment: &Segment) {
        // ORDERING(changes): Release. Pairs with ORDERING(changes) in Member::refresh: who sees the new
        // number sees what has changed.
        segment.common().members.changes.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn side(&self) -> Side {
        self.status.side
    }

    /// How this holder signs what it claims and takes.
    pub(crate) fn owner(&self) -> Owner {
        Owner { place: self.index as u8, generation: self.status.generation as u8 }
    }

    /// Whether whoever signed so is gone: dead, or closed with something left undone. One system call
    /// while it lives.
    pub(crate) fn is_gone(&self, segment: &Segment, owner: Owner) -> bool {
        let index = usize::from(owner.place);
        let Some(participant) = segment.participants().get(index) else {
            // No place has this number: nobody can have written that.
            return true;
        };
        let status = participant.status();
        if status.generation as u8 != owner.generation || status.standing != standing::ATTACHED {
            // The next holder got the place's lock, or this one said so itself.
            return true;
        }
        !self.is_held(index) && {
            self.certify(segment, index, status);
            true
        }
    }

    /// Whether a living process holds a place. A failing query is no proof of death.
    fn is_held(&self, index: usize) -> bool {
        index == self.index || sys::is_locked_beside(&self.lock, lock_byte(index)).unwrap_or(true)
    }

    /// Writes down that the holder of a place, whose lock is free, is dead.
    fn certify(&self, segment: &Segment, index: usize, status: Status) {
        let participant = segment.participant(index);
        let pid = participant.pid();
        // ORDERING(status): Release. Pairs with ORDERING(status) in Participant::status.
        let marked = participant.status.compare_exchange(
            status.word(),
            status.but(standing::DIED),
            Ordering::Release,
            Ordering::Relaxed,
        );
        if marked.is_ok() {
            participant.deaths.fetch_add(1, Ordering::Relaxed);
            participant.dead_pid.store(pid, Ordering::Relaxed);
            self.changed(segment);
        }
    }

    /// What the participants on one side are together: alive if any is. One system call for each until one
    /// is found alive.
    pub(crate) fn all_of(&self, segment: &Segment, side: Side) -> Peer {
        let mut found = Peer::Vacant;
        for (index, participant) in segment.participants().iter().enumerate() {
            let status = participant.status();
            if status.side != side || status.standing == standing::VACANT {
                continue;
            }
            let one = match status.standing {
                standing::ATTACHED if self.is_held(index) => Peer::Alive,
                standing::ATTACHED => {
                    self.certify(segment, index, status);
                    // It may have closed, and even another may have come, before the lock was looked at.
                    match participant.status().standing {
                        standing::DIED => Peer::Died,
                        standing::ATTACHED => Peer::Alive,
                        _ => Peer::Closed,
                    }
                }
                standing::DIED => Peer::Died,
                _ => Peer::Closed,
            };
            match (one, found) {
                (Peer::Alive, _) => return Peer::Alive,
                (_, Peer::Died) => {}
                _ => found = one,
            }
        }
        found
    }

    /// Whether nobody who lives has another place on this side. One system call for each that may.
    pub(crate) fn is_alone(&self, segment: &Segment) -> bool {
        segment.participants().iter().enumerate().all(|(index, participant)| {
            let status = participant.status();
            let may_live = index != self.index
                && status.side == self.side()
                && status.standing == standing::ATTACHED;
            !may_live
                || self.is_gone(
                    segment,
                    Owner { place: index as u8, generation: status.generation as u8 },
                )
        })
    }

    /// Says that this place is given up. False in a forked child, whose place it is not.
    pub(crate) fn close(&self, segment: &Segment) -> bool {
        if self.owner != sys::process_token() {
            return false;
        }
        let closed = self.status.but(standing::CLOSED);
        // ORDERING(status): Release. Pairs with ORDERING(status) in Participant::status: who sees the
        // place closed sees everything that was published before.
        segment.participant(self.index).status.store(closed, Ordering::Release);
        self.changed(segment);
        true
    }
}

/// The lock of the first place that nobody holds, and that is no memory of the other side: what a place says of its last
/// holder outlasts it, and is all that says that a side has been there, and closed or died. Where there are only such
/// places, one of several is taken.
fn lock_first(segment: &Segment, side: Side) -> Result<(sys::Lock, usize)> {
    let memory = segment.memory().handle();
    let recalls = |index: usize| {
        let status = segment.participant(index).status();
        status.side != side && status.standing != standing::VACANT
    };
    let free = |index: usize, others: bool| {
        recalls(index) == others
            && (!others || (0..PLACES).any(|other| other != index && recalls(other)))
    };
    for others in [false, true] {
        for index in 0..PLACES {
            if !free(index, others) || sys::is_locked(memory, lock_byte(index))? {
                continue;
            }
            let handle = sys::reopen(memory, Access::ReadWrite)?;
            if let Some(lock) = sys::try_lock(handle, lock_byte(index))?
                // It may have had another holder meanwhile.
                && free(index, others)
            {
                return Ok((lock, index));
            }
        }
    }
    let text =
        format!("all {PLACES} places are held by living processes, or kept for the other side");
    Err(Error::new(ErrorKind::LimitReached, text))
}
