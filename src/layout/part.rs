//! What one side of a ring writes and the other only reads: its position, and its gate.

use crate::sync::{AtomicU32, AtomicU64, Line, Ordering};
use crate::sys;
use std::mem::offset_of;

/// Producer or consumer; the caller of a call cell takes the producer's side, the server the consumer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Producer,
    Consumer,
}

impl Side {
    pub(crate) fn other(self) -> Side {
        match self {
            Side::Producer => Side::Consumer,
            Side::Consumer => Side::Producer,
        }
    }

    /// The byte of the object whose lock the holder of this end has.
    pub(crate) fn lock_byte(self) -> u32 {
        match self {
            Side::Producer => 0,
            Side::Consumer => 1,
        }
    }
}

/// One side's words. Only the process that holds the side writes them.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) position: Line<Position>,
    pub(crate) gate: Line<Gate>,
}

/// How far the side has come.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Position {
    /// The position after the last one released (consumer), or at or behind the last one published
    /// (producer): slots, or bytes; the last turn that a call cell's server was given. Own positions live in private memory; this is where the peer, and a
    /// successor, read them.
    pub(crate) at: AtomicU64,
    /// Records so far. For people: a death between two stores leaves it one behind.
    pub(crate) count: AtomicU64,
    /// The position of the first byte of a record that is not released yet, if the consumer released some
    /// of it; then it is further than `at`. If it is not, it says nothing.
    pub(crate) within: AtomicU64,
}

/// Values of [`Gate::state`].
pub(crate) mod state {
    /// Nobody has held this end yet.
    pub(crate) const VACANT: u32 = 0;
    /// A process took this end. It lives if and only if it holds the end's lock.
    pub(crate) const ATTACHED: u32 = 1;
    /// The holder closed it.
    pub(crate) const CLOSED: u32 = 2;
}

/// How the side sleeps, wakes its peer, comes and goes. Written rarely, so the peer's reads of it
/// after each of its operations stay in the peer's own cache.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Gate {
    /// Odd while this side sleeps. It only counts up, from holder to holder, so that no two sleeps
    /// look alike to the peer.
    pub(crate) sleep: AtomicU32,
    /// Bumped by this side to wake the peer, which sleeps on it.
    pub(crate) epoch: AtomicU32,
    /// One of [`state`].
    pub(crate) state: AtomicU32,
    /// 1 if this side runs without fences, because its process takes part in the heavy fence.
    pub(crate) unfenced: AtomicU32,
    /// The holder's process id: for people, never evidence.
    pub(crate) pid: AtomicU32,
    /// How many holders this end has had.
    pub(crate) generation: AtomicU32,
    /// One more than the number of the processor on which the holder last began to wait, or called; 0 if none.
    pub(crate) processor: AtomicU32,
    /// 1 if this side, in a session, is to be woken through the socket, too: it sleeps in a call of its own.
    pub(crate) doorbell: AtomicU32,
}

impl Part {
    /// Offsets within [`Position`] that go into the layout's fingerprint.
    pub(super) const POSITION_OFFSETS: [usize; 3] =
        [offset_of!(Position, at), offset_of!(Position, count), offset_of!(Position, within)];
    /// Offsets within [`Gate`] that go into the layout's fingerprint.
    pub(super) const GATE_OFFSETS: [usize; 7] = [
        offset_of!(Gate, sleep),
        offset_of!(Gate, epoch),
        offset_of!(Gate, state),
        offset_of!(Gate, unfenced),
        offset_of!(Gate, pid),
        offset_of!(Gate, generation),
        offset_of!(Gate, processor),
    ];

    /// Makes it a part of a new session, held by this process. Nobody sleeps on it yet.
    pub(super) fn hold(&self) {
        let Position { at, count, within } = &self.position.0;
        for word in [at, count, within] {
            word.store(0, Ordering::Relaxed);
        }
        let gate = &self.gate.0;
        let Gate { sleep, epoch, processor, doorbell, .. } = gate;
        for word in [sleep, epoch, processor, doorbell] {
            word.store(0, Ordering::Relaxed);
        }
        gate.pid.store(sys::process_id(), Ordering::Relaxed);
        gate.generation.store(1, Ordering::Relaxed);
        gate.unfenced.store(u32::from(sys::register_fence()), Ordering::Relaxed);
        gate.state.store(state::ATTACHED, Ordering::Relaxed);
    }

    /// A part that nobody has held, at position `start`.
    pub(super) fn new(start: u64) -> Part {
        Part {
            position: Line(Position {
                at: AtomicU64::new(start),
                count: AtomicU64::new(0),
                within: AtomicU64::new(start),
            }),
            gate: Line(Gate {
                sleep: AtomicU32::new(0),
                epoch: AtomicU32::new(0),
                state: AtomicU32::new(state::VACANT),
                unfenced: AtomicU32::new(0),
                pid: AtomicU32::new(0),
                generation: AtomicU32::new(0),
                processor: AtomicU32::new(0),
                doorbell: AtomicU32::new(0),
            }),
        }
    }
}
