//! Reading a segment without mapping it: nothing that happens to the object can harm the onlooker.

use super::header::{Header, Kind, MAGIC, PRODUCER_AT};
use super::part::{Gate, Part, Position, Side, state};
use super::participants::{
    Common, LOCK_BYTES, Members, PLACES, Participant, Status, lock_byte, standing,
};
use super::role::{Peer, judge};
use super::segment::Segment;
use crate::error::{Error, ErrorKind, Result};
use crate::shm::Name;
use crate::sys::{self, Access};
use std::mem::offset_of;

/// An open segment of which only bytes are read.
#[derive(Debug)]
pub(crate) struct Peek {
    handle: sys::Handle,
    header: Header,
}

/// What a side's words said when they were looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartImage {
    pub(crate) at: u64,
    pub(crate) count: u64,
    pub(crate) asleep: bool,
    pub(crate) pid: u32,
    pub(crate) generation: u32,
    pub(crate) holder: Peer,
}

/// What a place of a ring for many said when it was looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ParticipantImage {
    pub(crate) place: usize,
    pub(crate) side: Side,
    pub(crate) holder: Peer,
    pub(crate) pid: u32,
    pub(crate) dead_pid: u32,
    pub(crate) generation: u32,
    pub(crate) deaths: u64,
    pub(crate) skipped: u64,
    pub(crate) redelivered: u64,
}

impl Peek {
    pub(crate) fn open(name: &Name) -> Result<Peek> {
        let handle = sys::open(name.as_str(), Access::Read)?;
        let header = Segment::read_header(&handle)?;
        Ok(Peek { handle, header })
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// A word of the data, at an offset in bytes.
    pub(crate) fn word(&self, offset: u64) -> Result<u64> {
        self.long_at(self.header.data_at.saturating_add(offset))
    }

    /// The last word of the slot that a position falls into.
    pub(crate) fn slot(&self, position: u64) -> Result<u64> {
        let (at, stride) = self.header.slots();
        let offset = (position & (self.header.capacity - 1)) * stride + stride - 8;
        self.long_at(at.saturating_add(offset))
    }

    /// The word by which a position of a ring for many is claimed.
    pub(crate) fn claim(&self, position: u64) -> Result<u64> {
        let Some(at) = self.header.claims_at() else { return self.slot(position) };
        self.long_at(at.saturating_add((position & (self.header.capacity - 1)) * 8))
    }

    /// One side's words, and whether its holder lives.
    pub(crate) fn part(&self, side: Side) -> Result<PartImage> {
        let at = match side {
            Side::Producer => PRODUCER_AT as u64,
            Side::Consumer => self.header.consumer_at,
        };
        let mut bytes = [0; size_of::<Part>()];
        if sys::read_at(&self.handle, at, &mut bytes)? < bytes.len() {
            return Err(Error::new(ErrorKind::Corrupt, "was truncated while it was looked at"));
        }
        let position = offset_of!(Part, position);
        let gate = offset_of!(Part, gate);
        // The words that are looked at more than once, in one read of the object.
        let seen = || {
            let mut bytes = bytes;
            let again = sys::read_at(&self.handle, at, &mut bytes).unwrap_or(0) == bytes.len();
            let state = word(&bytes, gate + offset_of!(Gate, state));
            let generation = word(&bytes, gate + offset_of!(Gate, generation));
            (if again { state } else { state::CLOSED }, generation)
        };
        let holder = judge(seen, || sys::is_locked(&self.handle, side.lock_byte()).unwrap_or(true));
        Ok(PartImage {
            at: long(&bytes, position + offset_of!(Position, at)),
            count: long(&bytes, position + offset_of!(Position, count)),
            asleep: word(&bytes, gate + offset_of!(Gate, sleep)) & 1 == 1,
            pid: word(&bytes, gate + offset_of!(Gate, pid)),
            generation: word(&bytes, gate + offset_of!(Gate, generation)),
            holder,
        })
    }

    /// The head of a ring for many.
    pub(crate) fn head(&self) -> Result<u64> {
        self.long_at((PRODUCER_AT + offset_of!(Common, head)) as u64)
    }

    /// Who takes part in a ring for many, or did.
    pub(crate) fn participants(&self) -> Result<Vec<ParticipantImage>> {
        let mut common = [0; size_of::<Common>()];
        self.read(PRODUCER_AT as u64, &mut common)?;
        let used = offset_of!(Common, members) + offset_of!(Members, used);
        let used = (word(&common, used) as usize).min(PLACES);
        let mut all = Vec::new();
        for place in 0..used {
            let at = self.header.consumer_at + (place * size_of::<Participant>()) as u64;
            let mut bytes = [0; size_of::<Participant>()];
            self.read(at, &mut bytes)?;
            let status = Status::of(long(&bytes, offset_of!(Participant, status)));
            let seen = || {
                let again = self.long_at(at + offset_of!(Participant, status) as u64);
                let status = Status::of(*again.as_ref().unwrap_or(&0));
                let state = match status.standing {
                    _ if again.is_err() => state::CLOSED,
                    standing::VACANT => state::VACANT,
                    standing::CLOSED => state::CLOSED,
                    _ => state::ATTACHED,
                };
                (state, status.generation)
            };
            let locked = || sys::is_locked(&self.handle, lock_byte(place)).unwrap_or(true);
            all.push(ParticipantImage {
                place,
                side: status.side,
                holder: judge(seen, locked),
                pid: word(&bytes, offset_of!(Participant, pid)),
                dead_pid: word(&bytes, offset_of!(Participant, dead_pid)),
                generation: status.generation,
                deaths: long(&bytes, offset_of!(Participant, deaths)),
                skipped: long(&bytes, offset_of!(Participant, skipped)),
                redelivered: long(&bytes, offset_of!(Participant, redelivered)),
            });
        }
        Ok(all)
    }

    fn long_at(&self, at: u64) -> Result<u64> {
        let mut bytes = [0; 8];
        self.read(at, &mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> Result<()> {
        if sys::read_at(&self.handle, at, bytes)? < bytes.len() {
            return Err(Error::new(ErrorKind::Corrupt, "was truncated while it was looked at"));
        }
        Ok(())
    }

    /// Whether the object begins as a ring does, whatever else is wrong with it.
    pub(crate) fn is_ring(name: &Name) -> Result<bool> {
        let handle = sys::open(name.as_str(), Access::Read)?;
        let mut magic = [0; MAGIC.len()];
        Ok(sys::read_at(&handle, 0, &mut magic)? == magic.len() && magic == MAGIC)
    }

    /// Removes the name of a ring, whoever holds it.
    pub(crate) fn remove(name: &Name) -> Result<()> {
        Abandoned::open(name, Access::Read)?.remove(name)
    }
}

/// A ring of which nobody holds an end, nor can take one while this is there: it has both ends' locks.
#[derive(Debug)]
pub(crate) struct Abandoned {
    handle: sys::Handle,
    _locks: Vec<sys::Lock>,
}

impl Abandoned {
    /// The ring, if no living process holds an end of it.
    pub(crate) fn lock(name: &Name) -> Result<Abandoned> {
        let mut ring = Abandoned::open(name, Access::ReadWrite)?;
        for side in [Side::Producer, Side::Consumer] {
            let handle = sys::reopen(&ring.handle, Access::ReadWrite)?;
            let Some(lock) = sys::try_lock(handle, side.lock_byte())? else {
                let peek = Peek::open(name);
                let kind = peek.as_ref().ok().and_then(|peek| Kind::of(peek.header.kind));
                let end = kind.unwrap_or(Kind::Spsc).end_name(side);
                let text = match peek.and_then(|peek| peek.part(side)) {
                    Ok(part) => format!("its {end} end is held by process {}", part.pid),
                    Err(_) => format!("its {end} end is held by a living process"),
                };
                return Err(Error::new(ErrorKind::InUse, text));
            };
            ring._locks.push(lock);
        }
        let handle = sys::reopen(&ring.handle, Access::ReadWrite)?;
        let (first, places) = (lock_byte(0), LOCK_BYTES - lock_byte(0));
        let Some(lock) = sys::try_lock_all(handle, first, places)? else {
            let text = match Peek::open(name).and_then(|peek| peek.participants()) {
                Ok(all) => match all.iter().find(|one| one.holder == Peer::Alive) {
                    Some(one) => format!("process {} takes part in it", one.pid),
                    None => "a process is about to take part in it".into(),
                },
                Err(_) => "a living process takes part in it".into(),
            };
            return Err(Error::new(ErrorKind::InUse, text));
        };
        ring._locks.push(lock);
        Ok(ring)
    }

    fn open(name: &Name, access: Access) -> Result<Abandoned> {
        let handle = sys::open(name.as_str(), access)?;
        if !Peek::is_ring(name)? {
            return Err(Error::new(ErrorKind::Corrupt, "is no ring, so it is left alone"));
        }
        Ok(Abandoned { handle, _locks: Vec::new() })
    }

    /// Removes the name, if it still means this ring.
    pub(crate) fn remove(self, name: &Name) -> Result<()> {
        sys::unlink(name.as_str(), Some(&self.handle))
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
