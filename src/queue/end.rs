//! What both ends of every queue have: a role, a gate, a way to wait.

use crate::error::{Error, ErrorKind, PushError, Result};
use crate::layout::{Parts, Peer, Position, Role, Segment, Side, state};
use crate::sync::Ordering;
#[cfg(not(loom))]
use crate::wait::Watch;
use crate::wait::{Announced, Bell, Wait, Waiter, shares_processor, shout};
use std::sync::Arc;
use std::time::Duration;

/// One end of a queue, held by this process until dropped.
#[derive(Debug)]
pub(super) struct End {
    parts: Parts,
    role: Role,
    bell: Bell,
    wait: Wait,
    /// Wakes us if the peer dies.
    #[cfg(not(loom))]
    watch: Option<Watch>,
}

/// Why waiting ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blocked {
    TimedOut,
    PeerDied,
}

/// What a wait needs of an end.
pub(super) trait Waits {
    /// A sleep that has been announced.
    type Asleep: Copy;

    fn wait(&self) -> Wait;
    /// What the other side is now. Asks the kernel.
    fn peer(&mut self) -> Peer;
    /// Sees to it that a death wakes us. False if that cannot be had.
    fn watch(&mut self) -> bool;
    /// Whether all who could end the wait run where we do, so that looking keeps them from it.
    fn shares_processor(&self) -> bool {
        false
    }
    fn announce(&mut self) -> Self::Asleep;
    fn sleep(&mut self, asleep: Self::Asleep, most: Duration);
    fn withdraw(&mut self);
}

impl Waits for End {
    type Asleep = Announced;

    fn wait(&self) -> Wait {
        self.wait
    }

    fn peer(&mut self) -> Peer {
        End::peer(self)
    }

    fn watch(&mut self) -> bool {
        self.watch_peer()
    }

    fn shares_processor(&self) -> bool {
        shares_processor(&self.parts.own().gate, &self.parts.peer().gate)
    }

    fn announce(&mut self) -> Announced {
        self.bell.announce(&self.parts.own().gate, &self.parts.peer().gate)
    }

    fn sleep(&mut self, asleep: Announced, most: Duration) {
        self.bell.sleep(asleep, &self.parts.peer().gate, most);
    }

    fn withdraw(&mut self) {
        self.bell.withdraw(&self.parts.own().gate);
    }
}

impl End {
    /// Takes the end. The peer, if it waits for somebody to come, wakes.
    pub(super) fn acquire(segment: &Arc<Segment>, side: Side) -> Result<End> {
        let role = Role::acquire(segment, side)?;
        let parts = Parts::of(segment, side);
        shout(&parts.own().gate);
        Ok(End {
            parts,
            role,
            bell: Bell::new(),
            wait: Wait::default(),
            #[cfg(not(loom))]
            watch: None,
        })
    }

    /// The error for positions in the segment that cannot be.
    pub(super) fn corrupt(&self) -> Error {
        let name = self.parts.segment().memory().name().map_or("(private)", |name| name.as_str());
        Error::new(ErrorKind::Corrupt, "the positions in it contradict each other")
            .on(format_args!("ring {name:?}"))
    }

    #[inline(always)]
    pub(super) fn own(&self) -> &Position {
        &self.parts.own().position
    }

    #[inline(always)]
    pub(super) fn peer_position(&self) -> &Position {
        &self.parts.peer().position
    }

    #[inline(always)]
    pub(super) fn notify(&mut self) {
        self.bell.notify(&self.parts.own().gate, &self.parts.peer().gate);
    }

    /// Whether the peer closed its end.
    #[inline(always)]
    pub(super) fn peer_closed(&self) -> bool {
        // ORDERING(state): Acquire. Pairs with ORDERING(state) in Role::close: what the peer published
        // before it closed can be seen now.
        self.parts.peer().gate.state.load(Ordering::Acquire) == state::CLOSED
    }

    /// How far our own position is ahead of the consumer's.
    pub(super) fn lead(&self, tail: u64) -> u64 {
        // ORDERING(head): Acquire. Pairs with ORDERING(head) in Reader::release: what it gave back is ours.
        // ORDERING(record-head): Acquire. Pairs with ORDERING(record-head) in Reader::release: likewise.
        let head = self.peer_position().at.load(Ordering::Acquire);
        tail.wrapping_sub(head)
    }

    pub(super) fn peer(&self) -> Peer {
        self.role.peer(self.parts.segment())
    }

    /// Sees to it that the peer's death wakes us. False if that cannot be had.
    #[cfg(not(loom))]
    fn watch_peer(&mut self) -> bool {
        let generation = self.parts.peer().gate.generation.load(Ordering::Relaxed);
        if generation == 0 {
            // Nobody is there to die, and whoever comes wakes us.
            return true;
        }
        if self.watch.as_ref().is_none_or(|watch| watch.generation() != generation) {
            self.watch = Watch::start(self.parts.segment(), self.role.side().other(), generation);
        }
        self.watch.is_some()
    }

    /// Nobody dies in a model.
    #[cfg(loom)]
    fn watch_peer(&mut self) -> bool {
        true
    }

    /// How often this end looks before it does anything else.
    #[inline(always)]
    pub(super) fn polls(&self) -> u32 {
        self.wait.polls()
    }

    pub(super) fn set_wait(&mut self, wait: Wait) {
        self.wait = wait;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        #[cfg(not(loom))]
        {
            // Before our hold on the segment goes, see `Watcher::wake`.
            self.watch = None;
        }
        if self.role.close(self.parts.segment()) {
            shout(&self.parts.own().gate);
        }
    }
}

/// Waits until `attempt` gives something. `end` finds the end within `owner`, which `attempt` needs whole;
/// `poll` looks so many times whether it is worth an attempt.
///
/// A peer's death ends the wait, after one more attempt: what it committed before comes first.
pub(super) fn block<S, E: Waits, R>(
    owner: &mut S,
    end: impl Fn(&mut S) -> &mut E,
    timeout: Option<Duration>,
    poll: impl Fn(&S, u32),
    attempt: impl FnMut(&mut S) -> Option<R>,
) -> std::result::Result<R, Blocked> {
    block_while(owner, end, timeout, |peer| peer != Peer::Died, poll, attempt)
}

/// The same, for as long as the peer's state is one that `may_wait` allows.
#[inline(always)]
fn block_while<S, E: Waits, R>(
    owner: &mut S,
    end: impl Fn(&mut S) -> &mut E,
    timeout: Option<Duration>,
    may_wait: impl Fn(Peer) -> bool,
    poll: impl Fn(&S, u32),
    mut attempt: impl FnMut(&mut S) -> Option<R>,
) -> std::result::Result<R, Blocked> {
    let mut waiter = Waiter::new(end(owner).wait(), timeout);
    if end(owner).shares_processor() {
        waiter.park();
    }
    loop {
        while let Some(polls) = waiter.burst() {
            poll(owner, polls);
            if let Some(result) = attempt(owner) {
                return Ok(result);
            }
        }
        if !waiter.parks() || waiter.expired() {
            let died = !may_wait(end(owner).peer());
            if died || waiter.expired() {
                let blocked = if died { Blocked::PeerDied } else { Blocked::TimedOut };
                return attempt(owner).ok_or(blocked);
            }
            continue;
        }
        let watched = end(owner).watch();
        let announced = end(owner).announce();
        let result = attempt(owner);
        // Only now: a death before this look is seen by it, and one after it wakes.
        let died = result.is_none() && !may_wait(end(owner).peer());
        if result.is_none() && !died {
            end(owner).sleep(announced, waiter.next_bound(watched));
        }
        end(owner).withdraw();
        if let Some(result) = result.or_else(|| attempt(owner)) {
            return Ok(result);
        }
        if died {
            return Err(Blocked::PeerDied);
        }
    }
}

/// Waits until the consumer's position has reached the producer's own. `extent` says that, and the capacity.
pub(super) fn flush<S>(
    owner: &mut S,
    end: impl Fn(&mut S) -> &mut End + Copy,
    timeout: Option<Duration>,
    extent: impl Fn(&mut S) -> (u64, u64),
) -> std::result::Result<(), PushError<()>> {
    let (tail, capacity) = extent(owner);
    let flushed = |owner: &mut S| {
        let end = end(owner);
        // Closed is looked at first: a consumer may have taken the last value and then closed.
        let closed = end.peer_closed();
        match end.lead(tail) {
            0 => Some(Ok(())),
            lead if lead > capacity => Some(Err(PushError::Corrupt(()))),
            _ => closed.then_some(Err(PushError::Closed(()))),
        }
    };
    if let Some(done) = flushed(owner) {
        return done;
    }
    block(owner, end, timeout, |_, _| (), flushed).unwrap_or_else(|blocked| match blocked {
        Blocked::TimedOut => Err(PushError::Full(())),
        Blocked::PeerDied => Err(PushError::PeerDied(())),
    })
}

/// Waits until a living process holds the other end.
pub(super) fn wait_peer<S, E: Waits>(
    owner: &mut S,
    end: impl Fn(&mut S) -> &mut E,
    timeout: Option<Duration>,
) -> bool {
    let came = |owner: &mut S| (end(owner).peer() == Peer::Alive).then_some(());
    came(owner).is_some() || block_while(owner, &end, timeout, |_| true, |_, _| (), came).is_ok()
}
