//! Reading a segment without mapping it: nothing that happens to the object can harm the onlooker.

use super::header::{Header, MAGIC, PRODUCER_AT};
use super::part::{Gate, Part, Position, Side, state};
use super::role::{Peer, peer_of};
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
        let mut bytes = [0; 8];
        let at = self.header.data_at.saturating_add(offset);
        if sys::read_at(&self.handle, at, &mut bytes)? < bytes.len() {
            return Err(Error::new(ErrorKind::Corrupt, "was truncated while it was looked at"));
        }
        Ok(u64::from_ne_bytes(bytes))
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
        let state_at = gate + offset_of!(Gate, state);
        let state = word(&bytes, state_at);
        let mut holder = Peer::Vacant;
        if state != state::VACANT {
            let locked = sys::is_locked(&self.handle, side.lock_byte())?;
            // Who closes does so before it drops its lock, and must not pass for dead.
            let mut after = [0; 4];
            sys::read_at(&self.handle, at + state_at as u64, &mut after)?;
            holder = peer_of(state, || (locked, u32::from_ne_bytes(after)));
        }
        Ok(PartImage {
            at: long(&bytes, position + offset_of!(Position, at)),
            count: long(&bytes, position + offset_of!(Position, count)),
            asleep: word(&bytes, gate + offset_of!(Gate, sleep)) & 1 == 1,
            pid: word(&bytes, gate + offset_of!(Gate, pid)),
            generation: word(&bytes, gate + offset_of!(Gate, generation)),
            holder,
        })
    }

    /// Whether the object begins as a ring does, whatever else is wrong with it.
    pub(crate) fn is_ring(name: &Name) -> Result<bool> {
        let handle = sys::open(name.as_str(), Access::Read)?;
        let mut magic = [0; MAGIC.len()];
        Ok(sys::read_at(&handle, 0, &mut magic)? == magic.len() && magic == MAGIC)
    }

    /// Removes the name of a ring. Unless `force`d, it takes both ends' locks first, so that nobody holds
    /// an end and nobody can take one while the name goes.
    pub(crate) fn remove(name: &Name, force: bool) -> Result<()> {
        let access = if force { Access::Read } else { Access::ReadWrite };
        let handle = sys::open(name.as_str(), access)?;
        if !Peek::is_ring(name)? {
            return Err(Error::new(ErrorKind::Corrupt, "is no ring, so it is left alone"));
        }
        let mut locks = Vec::new();
        for side in [Side::Producer, Side::Consumer].into_iter().filter(|_| !force) {
            locks.push(sys::try_lock(sys::reopen(&handle, Access::ReadWrite)?, side.lock_byte())?);
            if locks.iter().any(Option::is_none) {
                let holder = Peek::open(name).and_then(|peek| peek.part(side)).map(|part| part.pid);
                let text = match holder {
                    Ok(pid) => format!("its {} end is held by process {pid}", side.as_str()),
                    Err(_) => format!("its {} end is held by a living process", side.as_str()),
                };
                return Err(Error::new(ErrorKind::InUse, text));
            }
        }
        sys::unlink(name.as_str(), Some(&handle))
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
