//! What certifies that whoever holds the other end lives: a lock on the object that both ends are in, or a
//! session's connection.

use crate::error::Result;
use crate::layout::{Peer, Role, Segment, Side, state};
use crate::sync::{AtomicU32, Ordering};
#[cfg(not(loom))]
use crate::wait::Watch;
use crate::wait::{Nudge, Nudged};
use std::fmt::Debug;
use std::sync::Arc;

/// A connection to the process of the other end. It says what the peer is, and wakes who sleeps when that changes.
pub(crate) trait Link: Debug + Send + Sync {
    /// What the other end is to us, which has not closed its end. Whoever is to wait no longer is told that it died.
    fn peer(&self) -> Peer;

    /// Whether the other side's words are there. Until then, only a nudge wakes.
    fn is_linked(&self) -> bool;

    /// What is given when anything here changes.
    fn nudge(&self) -> &Nudge;

    /// Sees to it that the connection's end gives a nudge. False if that cannot be had.
    fn watch(&self) -> bool;

    /// Wakes a peer that sleeps in a call of its own.
    fn ring(&self);
}

/// What has become of a connection, as far as this process knows.
#[derive(Debug)]
pub(crate) struct Fate {
    cancelled: AtomicU32,
    /// Whether the other side is known to be gone.
    gone: AtomicU32,
    nudge: Nudge,
}

impl Fate {
    pub(crate) fn new() -> Fate {
        Fate { cancelled: AtomicU32::new(0), gone: AtomicU32::new(0), nudge: Nudge::new() }
    }

    #[inline(always)]
    pub(crate) fn is_cancelled(&self) -> bool {
        // ORDERING(cancelled): Acquire. Pairs with ORDERING(cancelled) in Fate::cancel.
        self.cancelled.load(Ordering::Acquire) != 0
    }

    #[inline(always)]
    pub(crate) fn is_gone(&self) -> bool {
        // ORDERING(gone): Acquire. Pairs with ORDERING(gone) in Fate::lose: what the other side wrote before it
        // went can be seen now.
        self.gone.load(Ordering::Acquire) != 0
    }

    /// Calls off what waits now and what comes after.
    pub(crate) fn cancel(&self) {
        // ORDERING(cancelled): Release. Pairs with ORDERING(cancelled) in Fate::is_cancelled.
        self.cancelled.store(1, Ordering::Release);
        self.nudge.give();
    }

    /// Nothing more comes.
    pub(crate) fn lose(&self) {
        // ORDERING(gone): Release. Pairs with ORDERING(gone) in Fate::is_gone.
        self.gone.store(1, Ordering::Release);
        self.nudge.give();
    }

    pub(crate) fn nudge(&self) -> &Nudge {
        &self.nudge
    }
}

#[derive(Debug)]
pub(super) enum Life {
    /// We hold one of the object's locks, and look at the other.
    Lock {
        role: Role,
        segment: Arc<Segment>,
        /// Wakes us if the peer dies.
        #[cfg(not(loom))]
        watch: Option<Watch>,
    },
    Link(Arc<dyn Link>),
}

impl Life {
    pub(super) fn acquire(segment: &Arc<Segment>, side: Side) -> Result<Life> {
        Ok(Life::Lock {
            role: Role::acquire(segment, side)?,
            segment: Arc::clone(segment),
            #[cfg(not(loom))]
            watch: None,
        })
    }

    /// What the ring is called.
    pub(super) fn name(&self) -> &str {
        match self {
            Life::Lock { segment, .. } => {
                segment.memory().name().map_or("(private)", |name| name.as_str())
            }
            Life::Link(_) => "(session)",
        }
    }

    /// What the other end is, whose state is this.
    pub(super) fn peer(&self, state: impl Fn() -> u32) -> Peer {
        match self {
            Life::Lock { role, segment, .. } => role.peer(segment),
            Life::Link(_) if state() == state::CLOSED => Peer::Closed,
            Life::Link(link) => match link.peer() {
                // It may have closed its end before it went.
                Peer::Died if state() == state::CLOSED => Peer::Closed,
                peer => peer,
            },
        }
    }

    /// Sees to it that the death of this end's holder, the so manieth, wakes us. False if that cannot be had.
    #[cfg(not(loom))]
    pub(super) fn watch(&mut self, generation: u32) -> bool {
        match self {
            // Nobody is there to die, and whoever comes wakes us.
            Life::Lock { .. } if generation == 0 => true,
            Life::Lock { role, segment, watch } => {
                if watch.as_ref().is_none_or(|watch| watch.generation() != generation) {
                    *watch = Watch::start(segment, role.side().other(), generation);
                }
                watch.is_some()
            }
            Life::Link(link) => link.watch(),
        }
    }

    /// Nobody dies in a model.
    #[cfg(loom)]
    pub(super) fn watch(&mut self, _generation: u32) -> bool {
        true
    }

    pub(super) fn link(&self) -> Option<&dyn Link> {
        match self {
            Life::Lock { .. } => None,
            Life::Link(link) => Some(&**link),
        }
    }

    /// What wakes a sleeper beside the peer, and how it is before anything is looked at.
    pub(super) fn look(&self) -> Option<Nudged> {
        self.link().map(|link| link.nudge().look())
    }

    /// Says that our end is closed, if that is ours to say; a session says so for both of its ends.
    pub(super) fn close(&mut self) -> bool {
        match self {
            Life::Lock { role, segment, .. } => {
                let closed = role.close(segment);
                #[cfg(not(loom))]
                if let Life::Lock { watch, .. } = self {
                    // Before our hold on the segment goes, see `Watcher::wake`.
                    *watch = None;
                }
                closed
            }
            Life::Link(_) => false,
        }
    }

    /// The state of an end. Each push asks for it.
    #[inline(always)]
    pub(super) fn state_of(gate: &crate::layout::Gate) -> u32 {
        // ORDERING(state): Acquire. Pairs with ORDERING(state) in Role::close and Link::close: what the peer
        // published before it closed can be seen now.
        gate.state.load(Ordering::Acquire)
    }
}
