//! Who holds an end: the kernel's word, and a record for people.
//!
//! An end is held by holding a lock on one byte of the object, through a handle of one's own. The
//! kernel drops the lock when the process is gone, after the last of its threads has stopped, and
//! not before; so "not locked" is proof of death, and a process that is merely stopped is alive.

use super::part::{Side, state};
use super::segment::Segment;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{Ordering, fence};
use crate::sys::{self, Access};

/// What the other end is to us.
///
/// ```
/// use ringlane::{spsc, Peer};
///
/// let queue = spsc::Queue::<u64>::private(8)?;
/// let producer = queue.producer()?;
/// assert_eq!(producer.peer(), Peer::Vacant);
/// let consumer = queue.consumer()?;
/// assert_eq!(producer.peer(), Peer::Alive);
/// drop(consumer);
/// assert_eq!(producer.peer(), Peer::Closed);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Nobody has held it yet.
    Vacant,
    /// A living process holds it. It may be stopped.
    Alive,
    /// Its holder closed it.
    Closed,
    /// Its holder's process ended without closing it.
    Died,
}

/// An end that this process holds, until dropped.
#[derive(Debug)]
pub(crate) struct Role {
    lock: sys::Lock,
    side: Side,
    /// A forked child has a copy of this, but not the end.
    owner: u64,
}

impl Role {
    /// Takes an end. Its former holder's positions are the new holder's.
    pub(crate) fn acquire(segment: &Segment, side: Side) -> Result<Role> {
        let refuse = |e: Error| {
            let name = segment.memory().name().map_or("(private)", |name| name.as_str());
            let end = segment.end_name(side);
            e.on(format_args!("take the {end} end of ring {name:?}"))
        };
        let gate = &segment.part(side).gate;
        let lock = sys::reopen(segment.memory().handle(), Access::ReadWrite).map_err(refuse)?;
        let Some(lock) = sys::try_lock(lock, side.lock_byte()).map_err(refuse)? else {
            let pid = gate.pid.load(Ordering::Relaxed);
            let text = format!("a living process holds it, the last to take it was {pid}");
            return Err(refuse(Error::new(ErrorKind::InUse, text)));
        };
        // Whoever removes a ring holds its locks while doing so: having ours, we see it.
        if segment.memory().is_orphan().map_err(refuse)? {
            let text = "the ring was removed and no other process can find it";
            return Err(refuse(Error::new(ErrorKind::NotFound, text)));
        }
        // A predecessor may have died in its sleep.
        let sleep = gate.sleep.load(Ordering::Relaxed);
        gate.sleep.store(sleep.wrapping_add(sleep & 1), Ordering::Relaxed);
        gate.pid.store(sys::process_id(), Ordering::Relaxed);
        gate.processor.store(0, Ordering::Relaxed);
        let generation = gate.generation.load(Ordering::Relaxed).wrapping_add(1);
        // ORDERING(holder): Release. Pairs with ORDERING(holder) in End::watch_peer: who sees the new holder's number
        // does not watch the process of the one before. No model: nobody is watched in one.
        gate.generation.store(generation, Ordering::Release);
        gate.unfenced.store(u32::from(sys::register_fence()), Ordering::Relaxed);
        // ORDERING(state): Release. Pairs with ORDERING(state) in Role::peer and End::peer_closed. Whoever
        // sees the new holder sees its record.
        gate.state.store(state::ATTACHED, Ordering::Release);
        // ORDERING(attach): SeqCst fence. Pairs with ORDERING(attach) in Bell::announce: either that
        // sleeper sees `unfenced`, or our first operation sees its sleep word. No model: the epoch, which is bumped
        // after this, orders it there.
        fence(Ordering::SeqCst);
        Ok(Role { lock, side, owner: sys::process_token() })
    }

    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// What the other end is. One system call while a process holds it.
    pub(crate) fn peer(&self, segment: &Segment) -> Peer {
        let side = self.side.other();
        let gate = &segment.part(side).gate;
        let seen = || {
            // ORDERING(state): Acquire. Pairs with ORDERING(state) in Role::acquire and Role::close.
            let state = gate.state.load(Ordering::Acquire);
            (state, gate.generation.load(Ordering::Relaxed))
        };
        // A failing query is no proof of death.
        judge(seen, || sys::is_locked_beside(&self.lock, side.lock_byte()).unwrap_or(true))
    }

    /// Says that this end is closed. False in a forked child, whose end it is not.
    pub(crate) fn close(&self, segment: &Segment) -> bool {
        if self.owner != sys::process_token() {
            return false;
        }
        // ORDERING(state): Release. Pairs with ORDERING(state) in Role::peer and End::peer_closed: who
        // sees the end closed sees everything that was published before.
        segment.part(self.side).gate.state.store(state::CLOSED, Ordering::Release);
        true
    }
}

/// How often an end may change hands under our eyes. Then somebody lives.
const HANDOVERS: u32 = 64;

/// Judges an end. `seen` reads its state and then its generation, `locked` asks the kernel.
///
/// An end whose lock is free is dead if its state still says that it is held, by the same holder as before
/// the lock was looked at: who closes says so before the lock goes, and who comes after a close, or a death,
/// is another generation before its state says that the end is held.
pub(crate) fn judge(seen: impl Fn() -> (u32, u32), locked: impl Fn() -> bool) -> Peer {
    for _ in 0..HANDOVERS {
        let before = seen();
        match before.0 {
            state::VACANT => return Peer::Vacant,
            state::CLOSED => return Peer::Closed,
            _ if locked() => return Peer::Alive,
            _ => {}
        }
        let after = seen();
        if after.0 == state::CLOSED {
            return Peer::Closed;
        }
        if after == before {
            return Peer::Died;
        }
    }
    Peer::Alive
}
