//! What every end of a queue for many has: a place among the participants, gates, a way to wait.

use crate::error::Result;
use crate::layout::{Crowd, Forum, Kind, Owner, Peer, Place, Segment, Side, Slots, Turns};
use crate::queue::end::Waits;
use crate::ring::mpmc::{Held, Resolved, is_any_left, left_by, resolve};
use crate::sync::Ordering;
#[cfg(not(loom))]
use crate::wait::Watch;
use crate::wait::{Asleep, CrowdBell, Wait, call_all};
use std::sync::Arc;
#[cfg(not(loom))]
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A participant: one place, shared by an end and its clones.
#[derive(Debug)]
pub(super) struct Member {
    forum: Forum,
    place: Place,
    /// Wakes us if another participant dies.
    #[cfg(not(loom))]
    watches: Mutex<Watches>,
}

/// A watch over each place that is held.
#[cfg(not(loom))]
#[derive(Debug, Default)]
struct Watches {
    /// The number of changes that these go by.
    changes: Option<u32>,
    by_place: Vec<Option<Watch>>,
    complete: bool,
}

impl Member {
    fn acquire<T>(segment: &Arc<Segment>, slots: &Slots<T>, side: Side) -> Result<Member> {
        let common = segment.common();
        let turns = Turns::of(slots.capacity());
        let place = Place::acquire(segment, side, |place| {
            let owner = place.owner();
            left_by(common, slots, turns, owner.place, |held| {
                // Of whatever generation: those of the next 255 holders look like it, too.
                settle(segment, slots, turns, held);
            });
        })?;
        call_all(common);
        Ok(Member {
            forum: Forum::of(segment),
            place,
            #[cfg(not(loom))]
            watches: Mutex::default(),
        })
    }

    /// Watches all others. False if that cannot be had for each of them.
    #[cfg(not(loom))]
    fn watch_all(&self) -> bool {
        use crate::layout::standing;
        let segment = self.forum.segment();
        // ORDERING(changes): Acquire. Pairs with ORDERING(changes) in Place::changed: who came with this number is
        // watched, too. No model: nobody is watched in one.
        let changes = self.forum.common().members.changes.load(Ordering::Acquire);
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        if watches.changes == Some(changes) && watches.complete {
            return true;
        }
        watches.complete = true;
        for (index, participant) in segment.participants().iter().enumerate() {
            if watches.by_place.len() <= index {
                watches.by_place.push(None);
            }
            let status = participant.status();
            let watch = &mut watches.by_place[index];
            // Nobody here sees the end of this process. A number that is wrong costs a hint, as in `Watch::start`.
            let here = participant.pid() == crate::sys::process_id();
            if status.standing != standing::ATTACHED || here {
                *watch = None;
                continue;
            }
            if watch.as_ref().is_none_or(|watch| watch.generation() != status.generation) {
                *watch = Watch::participant(segment, participant.pid(), status.generation);
                watches.complete &= watches.by_place[index].is_some();
            }
        }
        watches.changes = Some(changes);
        watches.complete
    }

    /// Nobody dies in a model.
    #[cfg(loom)]
    fn watch_all(&self) -> bool {
        true
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        #[cfg(not(loom))]
        {
            // Before our hold on the segment goes, see `Watcher::wake`.
            *self.watches.get_mut().unwrap_or_else(PoisonError::into_inner) = Watches::default();
        }
        if self.place.close(self.forum.segment()) {
            call_all(self.forum.common());
        }
    }
}

/// Resolves a slot whose holder is gone, and counts it. True for one of all who try.
fn settle<T>(segment: &Segment, slots: &Slots<T>, turns: Turns, held: Held) -> bool {
    let participant = segment.participants().get(usize::from(held.owner().place));
    let resolved = resolve(segment.common(), slots, turns, held);
    match (resolved, participant) {
        (Some(Resolved::Skipped(run)), Some(participant)) => participant.count_skipped(run),
        (Some(Resolved::Again), Some(participant)) => participant.count_redelivered(),
        _ => {}
    }
    resolved.is_some()
}

/// One end's hold on the ring: its own way to wait, and a participant that its clones share.
#[derive(Debug)]
pub(super) struct Seat<T> {
    member: Arc<Member>,
    pub(super) slots: Slots<T>,
    /// Whether takes are acknowledged.
    pub(super) acked: bool,
    bell: CrowdBell,
    wait: Wait,
    /// The number of changes among the members that `others` goes by.
    changes: u32,
    others: Peer,
    /// The number of changes before the last announcement of a sleep.
    announced: u32,
    /// Whether it is time to ask the kernel about who holds what we wait for.
    pub(super) ask: bool,
}

impl<T> Seat<T> {
    pub(super) fn acquire(segment: &Arc<Segment>, side: Side) -> Result<Seat<T>> {
        let slots = Slots::of(segment);
        let member = Arc::new(Member::acquire(segment, &slots, side)?);
        let acked = Kind::of(segment.header().kind).is_some_and(Kind::is_acked);
        let mut seat = Seat {
            member,
            slots,
            acked,
            bell: CrowdBell::new(),
            wait: Wait::default(),
            changes: 0,
            others: Peer::Vacant,
            announced: 0,
            ask: false,
        };
        seat.refresh();
        Ok(seat)
    }

    pub(super) fn another(&self) -> Seat<T> {
        let segment = self.member.forum.segment();
        Seat { member: Arc::clone(&self.member), slots: Slots::of(segment), ..*self }
    }

    #[inline(always)]
    pub(super) fn forum(&self) -> &Forum {
        &self.member.forum
    }

    pub(super) fn place(&self) -> &Place {
        &self.member.place
    }

    /// Whether all on the other side have closed, as far as they say so themselves.
    #[inline(always)]
    pub(super) fn others_closed(&mut self) -> bool {
        self.refresh_if_changed() == Peer::Closed
    }

    /// Whether nothing has changed since the other side was not closed.
    #[inline(always)]
    pub(super) fn others_open(&self) -> bool {
        self.changes_now() == self.changes && self.others != Peer::Closed
    }

    /// Whether nobody is left on the other side, as far as somebody has said so.
    #[inline(always)]
    pub(super) fn others_gone(&mut self) -> bool {
        matches!(self.refresh_if_changed(), Peer::Closed | Peer::Died)
    }

    #[inline(always)]
    fn refresh_if_changed(&mut self) -> Peer {
        if self.changes_now() != self.changes {
            self.refresh();
        }
        self.others
    }

    #[inline(always)]
    fn changes_now(&self) -> u32 {
        self.forum().common().members.changes.load(Ordering::Relaxed)
    }

    /// Whether somebody holds a value that is not acknowledged.
    #[cold]
    pub(super) fn may_come_again(&self) -> bool {
        let turns = Turns::of(self.slots.capacity());
        self.acked && is_any_left(self.forum().common(), &self.slots, turns)
    }

    /// Looks who is there.
    #[cold]
    fn refresh(&mut self) -> Peer {
        // ORDERING(changes): Acquire. Pairs with ORDERING(changes) in Place::changed: what it was bumped for
        // can be seen.
        self.changes = self.forum().common().members.changes.load(Ordering::Acquire);
        let others = self.place().side().other();
        self.others = self.place().all_of(self.forum().segment(), others);
        self.others
    }

    /// What the participants on the other side are together.
    pub(super) fn others(&self) -> Peer {
        let others = self.place().side().other();
        self.place().all_of(self.forum().segment(), others)
    }

    /// Wakes those who wait for what this side brings.
    #[inline(always)]
    pub(super) fn notify(&self) {
        let common = self.forum().common();
        self.bell.notify(match self.place().side() {
            Side::Producer => &common.items,
            Side::Consumer => &common.room,
        });
    }

    /// Wakes who waits for room, whatever this end is.
    pub(super) fn notify_room(&self) {
        self.bell.notify(&self.forum().common().room);
    }

    /// Wakes those who wait for values, whichever side this is.
    pub(super) fn notify_items(&self) {
        self.bell.notify(&self.forum().common().items);
    }

    /// What this side waits on.
    fn gate(&self) -> &Crowd {
        let common = self.forum().common();
        match self.place().side() {
            Side::Producer => &common.room,
            Side::Consumer => &common.items,
        }
    }

    /// Resolves what is held by an owner who is gone, and of whom nobody will know that soon.
    pub(super) fn settle_all_of(&self, turns: Turns, owner: Owner) {
        let (common, segment) = (self.forum().common(), self.forum().segment());
        left_by(common, &self.slots, turns, owner.place, |held| {
            if held.owner() == owner {
                settle(segment, &self.slots, turns, held);
            }
        });
    }

    /// Resolves a slot if its holder is gone. True if it is worth looking again.
    #[cold]
    pub(super) fn settle(&self, turns: Turns, held: Held) -> bool {
        let segment = self.forum().segment();
        if !held.is_held(turns) {
            return true;
        }
        if !self.place().is_gone(segment, held.owner()) {
            return false;
        }
        if settle(segment, &self.slots, turns, held) {
            call_all(segment.common());
        }
        true
    }

    /// The process id of a slot's holder, as it gave it.
    pub(super) fn pid_of(&self, held: Held) -> u32 {
        let all = self.forum().segment().participants();
        all.get(usize::from(held.owner().place)).map_or(0, |participant| participant.pid())
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

impl<T> Waits for Seat<T> {
    type Asleep = Asleep;

    fn wait(&self) -> Wait {
        self.wait
    }

    fn peer(&mut self) -> Peer {
        self.ask = true;
        let others = self.refresh();
        // A producer's death is not the end of what consumers still hold, and may give back.
        if others == Peer::Died && self.place().side() == Side::Consumer && self.may_come_again() {
            if self.changes_now() != self.announced {
                // Who acknowledges may not have heard of the death before our fence, and so not call us. Then
                // we announce our sleep anew.
                self.notify_items();
            }
            return Peer::Closed;
        }
        others
    }

    fn watch(&mut self) -> bool {
        self.ask = true;
        self.member.watch_all()
    }

    fn announce(&mut self) -> Asleep {
        self.announced = self.changes_now();
        self.bell.announce(self.gate(), &self.forum().common().members)
    }

    fn sleep(&mut self, asleep: Asleep, most: Duration) {
        self.bell.sleep(asleep, self.gate(), most);
    }

    fn withdraw(&mut self) {}
}
