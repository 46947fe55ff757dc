//! What both ends of every queue have: a role, a gate, a way to wait.

use super::life::{Life, Link};
use crate::error::{Error, ErrorKind, PushError, Result};
use crate::layout::{Home, Parts, Peer, Position, Segment, Side, state};
use crate::sync::Ordering;
use crate::wait::{Announced, Bell, Nudged, Wait, Waiter, shares_processor, shout};
use std::sync::Arc;
use std::time::Duration;

/// One end of a queue, held by this process until dropped.
#[derive(Debug)]
pub(crate) struct End {
    parts: Parts,
    life: Life,
    bell: Bell,
    wait: Wait,
    /// Whether a poll of the session's descriptor has been announced.
    armed: bool,
}

/// A sleep that has been announced, and what wakes from it beside the peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bed {
    announced: Announced,
    nudged: Option<Nudged>,
}

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// Not at all.
    Now,
    Within(Duration),
    Never,
}

/// Why waiting ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
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
    type Asleep = Bed;

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

    fn announce(&mut self) -> Bed {
        self.disarm();
        let nudged = self.life.look();
        let announced = self.bell.announce(&self.parts.own().gate, &self.parts.peer().gate);
        Bed { announced, nudged }
    }

    fn sleep(&mut self, bed: Bed, most: Duration) {
        let nudge = self.life.link().zip(bed.nudged);
        if let Some((link, nudged)) = nudge
            && !link.is_linked()
        {
            link.nudge().sleep(nudged, most);
            return;
        }
        let nudge = nudge.map(|(link, nudged)| (link.nudge(), nudged));
        self.bell.sleep(bed.announced, &self.parts.peer().gate, nudge, most);
    }

    fn withdraw(&mut self) {
        self.withdraw_gate();
    }
}

impl End {
    /// Takes the end. The peer, if it waits for somebody to come, wakes.
    pub(super) fn acquire(segment: &Arc<Segment>, side: Side) -> Result<End> {
        let life = Life::acquire(segment, side)?;
        let end = End::of(life, Arc::clone(segment) as _, side);
        shout(&end.parts.own().gate);
        Ok(end)
    }

    /// An end of a session.
    pub(crate) fn linked(link: Arc<dyn Link>, home: Arc<dyn Home>, side: Side) -> End {
        End::of(Life::Link(link), home, side)
    }

    fn of(life: Life, home: Arc<dyn Home>, side: Side) -> End {
        let parts = Parts::of(home, side);
        End { parts, life, bell: Bell::new(), wait: Wait::default(), armed: false }
    }

    /// The error for positions in the segment that cannot be.
    pub(super) fn corrupt(&self) -> Error {
        Error::new(ErrorKind::Corrupt, "the positions in it contradict each other")
            .on(format_args!("ring {:?}", self.life.name()))
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
        if self.bell.notify(&self.parts.own().gate, &self.parts.peer().gate) {
            self.ring();
        }
    }

    #[cold]
    fn ring(&self) {
        if let Some(link) = self.life.link()
            && self.parts.peer().gate.doorbell.load(Ordering::Relaxed) != 0
        {
            link.ring();
        }
    }

    /// Whether the peer closed its end.
    #[inline(always)]
    pub(super) fn peer_closed(&self) -> bool {
        Life::state_of(&self.parts.peer().gate) == state::CLOSED
    }

    /// How far our own position is ahead of the consumer's.
    pub(super) fn lead(&self, tail: u64) -> u64 {
        // ORDERING(head): Acquire. Pairs with ORDERING(head) in Reader::release: what it gave back is ours.
        // ORDERING(record-head): Acquire. Pairs with ORDERING(record-head) in Reader::release: likewise.
        let head = self.peer_position().at.load(Ordering::Acquire);
        tail.wrapping_sub(head)
    }

    pub(super) fn peer(&self) -> Peer {
        self.life.peer(|| Life::state_of(&self.parts.peer().gate))
    }

    /// Sees to it that the peer's death wakes us. False if that cannot be had.
    fn watch_peer(&mut self) -> bool {
        // ORDERING(holder): Acquire. Pairs with ORDERING(holder) in Role::acquire: whose process id is looked at next.
        // No model: nobody is watched in one.
        self.life.watch(self.parts.peer().gate.generation.load(Ordering::Acquire))
    }

    fn withdraw_gate(&self) {
        self.bell.withdraw(&self.parts.own().gate);
    }

    /// Has the peer ring when it does something next. What is waited for is to be looked at once more, after this.
    pub(crate) fn arm(&mut self) {
        self.disarm();
        // It is read after the sleep word, which the announcement orders.
        self.parts.own().gate.doorbell.store(1, Ordering::Relaxed);
        self.bell.announce(&self.parts.own().gate, &self.parts.peer().gate);
        self.armed = true;
    }

    /// A new sleep has to have a new number, or the peer might have called into it already.
    pub(crate) fn disarm(&mut self) {
        if std::mem::take(&mut self.armed) {
            self.parts.own().gate.doorbell.store(0, Ordering::Relaxed);
            self.withdraw_gate();
        }
    }

    /// How often this end looks before it does anything else.
    #[inline(always)]
    pub(super) fn polls(&self) -> u32 {
        self.wait.polls()
    }

    pub(crate) fn set_wait(&mut self, wait: Wait) {
        self.wait = wait;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.life.close() {
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
        let bed = end(owner).announce();
        let result = attempt(owner);
        // Only now: a death before this look is seen by it, and one after it wakes.
        let died = result.is_none() && !may_wait(end(owner).peer());
        if result.is_none() && !died {
            end(owner).sleep(bed, waiter.next_bound(watched));
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
