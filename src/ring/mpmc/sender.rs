//! The producers' side: claiming positions and publishing them.

use super::{Held, Words, back_off, budget};
use crate::layout::{Common, Control, Owner, Slots, Turn, Turns};
use crate::plain::Plain;
use crate::sync::{Ordering, store_among_swaps};

/// Producers store the hint at the tail once in so many positions.
pub(super) const HINT: u64 = 16;

/// The producer's side of one end.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    /// Where to look for a position to claim.
    pub(super) cursor: u64,
    /// The position up to which there is room, as far as known.
    limit: u64,
    turns: Turns,
    owner: Owner,
    /// The standing that says that this one is alone; 0 if it is not.
    pub(super) sole: u64,
}

/// Positions that are this producer's until it publishes or gives them up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claimed {
    pub(crate) position: u64,
    pub(crate) run: u64,
}

impl Sender {
    pub(crate) fn new(common: &Common, capacity: u64, owner: Owner) -> Sender {
        let head = common.head.load(Ordering::Relaxed);
        Sender { cursor: head, limit: head, turns: Turns::of(capacity), owner, sole: 0 }
    }

    /// The end of what this producer has claimed, or where others have.
    pub(crate) fn tail(&self) -> u64 {
        self.cursor
    }

    pub(crate) fn turns(&self) -> Turns {
        self.turns
    }

    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    /// Whether there is room, as far as known.
    #[inline(always)]
    pub(super) fn has_room(&self) -> bool {
        self.limit.wrapping_sub(self.cursor).cast_signed() > 0
    }

    /// The same after a look at the head.
    #[inline(always)]
    pub(super) fn find_room(&mut self, common: &Common) -> bool {
        // ORDERING(mpmc-head): Acquire. Pairs with ORDERING(mpmc-head) in Receiver::advance: who took
        // the values before it has copied them, so their slots can be written.
        self.limit = common.head.load(Ordering::Acquire).wrapping_add(self.turns.capacity());
        self.has_room()
    }

    /// Whether there may be room for so many slots now.
    pub(crate) fn is_worth_it(&self, common: &Common, least: u64) -> bool {
        let room = common.head.load(Ordering::Relaxed).wrapping_add(self.turns.capacity());
        room.wrapping_sub(self.cursor).cast_signed() >= least.cast_signed()
    }

    /// Claims the next position, and as many behind it as there is room for: `least` slots at least, `most` at
    /// most, neither more than [`longest_run`](super::longest_run).
    #[inline(always)]
    pub(crate) fn claim(
        &mut self,
        common: &Common,
        words: &impl Words,
        least: u64,
        most: u64,
    ) -> Option<Claimed> {
        let position = self.cursor;
        let room = self.limit.wrapping_sub(position).cast_signed();
        if room >= least.cast_signed()
            && let Some(claimed) = self.try_claim(common, words, position, most.min(room as u64))
        {
            return Some(claimed);
        }
        self.search(common, words, least, most)
    }

    /// Claims `run` slots from a position on, if nobody has.
    #[inline(always)]
    fn try_claim(
        &mut self,
        common: &Common,
        words: &impl Words,
        position: u64,
        run: u64,
    ) -> Option<Claimed> {
        let word = words.claim(position);
        let seen = Control(word.load(Ordering::Relaxed));
        if !self.turns.is_earlier(seen, position) {
            return None;
        }
        let claim = self.turns.claimed(position, self.owner, run);
        // What was read from the slot in its last turn is ordered by `head`, and nobody looks at what we write
        // before it is published.
        // ORDERING(claim): Release. Pairs with ORDERING(claim) in Held::at, Receiver::look and
        // Receiver::look_behind: who sees the claim sees our place, and does not take us for gone.
        word.compare_exchange(seen.0, claim.0, Ordering::Release, Ordering::Relaxed).ok()?;
        self.went_to(common, position.wrapping_add(run));
        Some(Claimed { position, run })
    }

    /// Claims the next position and publishes a value there, in one step. False if there is no room.
    #[inline(always)]
    pub(crate) fn put<T: Plain>(&mut self, common: &Common, slots: &Slots<T>, value: &T) -> bool {
        let mut known = self.limit.wrapping_sub(self.cursor).cast_signed() > 0;
        let mut looks = budget(self.turns, 1);
        loop {
            if !known && self.locate(common, slots, 1, &mut looks).is_none() {
                return false;
            }
            let position = self.cursor;
            let seen = slots.cells().pair(position);
            let word = self.turns.published(position, 1);
            // Whoever sees the word sees the value, for both are written at once.
            if self.turns.is_earlier(Control(seen[1]), position)
                && slots.cells().swap(position, seen, value, word.0)
            {
                self.went_to(common, position.wrapping_add(1));
                return true;
            }
            known = false;
        }
    }

    /// The cursor has come to the end of a claim of ours.
    #[inline(always)]
    pub(super) fn went_to(&mut self, common: &Common, position: u64) {
        let from = std::mem::replace(&mut self.cursor, position);
        if from / HINT != position / HINT {
            // May go back, if we were slow. Then others walk further.
            // ORDERING(hint): Release. Pairs with ORDERING(hint) in Sender::locate: who goes on from here has seen
            // all claims before, as if it had walked over them.
            common.tail.store(position, Ordering::Release);
        }
    }

    /// Claims what there is from the first position on that nobody has claimed.
    #[cold]
    fn search(
        &mut self,
        common: &Common,
        words: &impl Words,
        least: u64,
        most: u64,
    ) -> Option<Claimed> {
        let mut looks = budget(self.turns, 1);
        loop {
            let room = self.locate(common, words, least, &mut looks)?;
            let run = most.min(room).min(self.turns.capacity());
            if let Some(claimed) = self.try_claim(common, words, self.cursor, run) {
                return Some(claimed);
            }
            back_off();
        }
    }

    /// The first position that nobody has claimed.
    pub(crate) fn find_end(&mut self, common: &Common, words: &impl Words) -> u64 {
        // No room is no matter: the cursor is there in any case.
        let _ = self.locate(common, words, 1, &mut budget(self.turns, 1));
        self.cursor
    }

    /// Looks for the first position that nobody has claimed, and how much room there is, if it is `least`. `looks` are
    /// left to do that.
    #[cold]
    fn locate(
        &mut self,
        common: &Common,
        words: &impl Words,
        least: u64,
        looks: &mut u64,
    ) -> Option<u64> {
        let mut steps = 0;
        while *looks > 0 {
            *looks -= 1;
            let position = self.cursor;
            // Both: one that was alone has published without a claim.
            let seen = Held::at(words, self.turns, position).word;
            match self.turns.turn(seen, position) {
                Turn::Current => {
                    self.cursor = position.wrapping_add(seen.run());
                    steps += 1;
                    if steps % HINT == 0 {
                        self.follow_hint(common);
                    }
                    continue;
                }
                Turn::Later => {
                    self.follow_hint(common);
                    // Relaxed: to claim what is so far ahead takes a look at the head that acquires.
                    self.skip_ahead(common.head.load(Ordering::Relaxed));
                    continue;
                }
                Turn::Earlier => {}
            }
            let mut room = self.limit.wrapping_sub(position).cast_signed();
            if room < least.cast_signed() {
                // ORDERING(mpmc-head): Acquire. Pairs with ORDERING(mpmc-head) in Receiver::advance: who took
                // the values before it has copied them, so their slots can be written.
                self.limit =
                    common.head.load(Ordering::Acquire).wrapping_add(self.turns.capacity());
                room = self.limit.wrapping_sub(position).cast_signed();
                if room < least.cast_signed() {
                    return None;
                }
            }
            return Some(room as u64);
        }
        None
    }

    fn follow_hint(&mut self, common: &Common) {
        // ORDERING(hint): Acquire. Pairs with ORDERING(hint) in Sender::went_to.
        self.skip_ahead(common.tail.load(Ordering::Acquire));
    }

    fn skip_ahead(&mut self, hint: u64) {
        if hint.wrapping_sub(self.cursor).cast_signed() > 0 {
            self.cursor = hint;
        }
    }

    /// Makes what is in a claim visible: a value in each slot, or, `as_one`, one thing in all of them. This is
    /// the commit.
    #[inline(always)]
    pub(crate) fn publish<W: Words>(&self, words: &W, claimed: Claimed, as_one: bool) {
        for index in (0..claimed.run).rev() {
            let position = claimed.position.wrapping_add(index);
            if W::APART && index > 0 {
                // So that it is not of long ago when turns come round, and that who ran out of looks in the middle of a
                // run does not claim it.
                let word = self.turns.claimed(position, self.owner, 1);
                store_among_swaps(words.claim(position), word.0, Ordering::Relaxed);
            }
            // The words behind the first say nothing there, but that they are not of long ago: turns come round.
            let run = if as_one && index == 0 { claimed.run } else { 1 };
            let word = self.turns.published(position, run);
            // ORDERING(value): Release. Pairs with ORDERING(value) in Receiver::look and Receiver::take: makes
            // the value visible.
            // ORDERING(run): Release. Pairs with ORDERING(run) in Held::at: the words behind the first of a run come
            // before it.
            store_among_swaps(words.word(position), word.0, Ordering::Release);
        }
    }

    /// Gives a claim up: all will pass over it.
    pub(crate) fn abandon(&self, words: &impl Words, claimed: Claimed) {
        let word = self.turns.skipped(claimed.position, claimed.run);
        // ORDERING(given-up): Release. Pairs with ORDERING(given-up) in Receiver::look and pass: what was written to
        // a record's room before it was given up is not written over what the next one writes there.
        words.word(claimed.position).store(word.0, Ordering::Release);
    }
}
