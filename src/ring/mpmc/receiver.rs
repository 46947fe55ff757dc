//! The consumers' side: looking at the head and moving it, or taking and acknowledging.

use super::{Held, LOOKS, Words, back_off, budget, come_again, pass};
use crate::layout::{Common, Control, Owner, State, Turn, Turns};
use crate::sync::Ordering;

/// The consumer's side of one end.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    /// The head as it was last seen; in acknowledged rings where to look for something to take.
    cursor: u64,
    /// The number of values that came again, as it was last seen.
    again: u64,
    /// Whether the head was moved over skipped slots, of which nobody who waits for room has heard yet.
    made_room: bool,
    /// What is left to the call that is being made.
    looks: u64,
    turns: Turns,
    owner: Owner,
}

/// Something that was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct There {
    pub(crate) position: u64,
    /// How many slots it has.
    pub(crate) run: u64,
    /// Whether it comes again.
    pub(crate) again: bool,
}

/// What there is at the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// A value; it is not ours yet. Or, in acknowledged rings, it is.
    Value(There),
    /// Nothing.
    Empty,
    /// What comes next is in somebody's hands.
    Pending(Held),
}

impl Receiver {
    pub(crate) fn new(common: &Common, capacity: u64, owner: Owner) -> Receiver {
        let cursor = common.head.load(Ordering::Relaxed);
        let turns = Turns::of(capacity);
        Receiver { cursor, again: 0, made_room: false, looks: LOOKS, turns, owner }
    }

    /// A call begins that did not end at its first look.
    pub(crate) fn renew(&mut self) {
        self.looks = budget(self.turns, 2);
    }

    /// The call has done more, which counts as so many looks.
    #[inline(always)]
    pub(crate) fn spend(&mut self, looks: u64) {
        self.looks = self.looks.saturating_sub(looks);
    }

    /// Whether the call has to end, so that nothing follows from what it did not find.
    #[inline(always)]
    pub(crate) fn is_spent(&self) -> bool {
        self.looks == 0
    }

    pub(crate) fn turns(&self) -> Turns {
        self.turns
    }

    /// The head as it was last seen.
    #[inline(always)]
    pub(crate) fn head(&self) -> u64 {
        self.cursor
    }

    /// Looks at the head, past what is skipped.
    #[inline(always)]
    pub(crate) fn look(&mut self, common: &Common, words: &impl Words) -> Look {
        while !self.is_spent() {
            let position = self.cursor;
            // ORDERING(value): Acquire. Pairs with ORDERING(value) in Sender::publish.
            // ORDERING(given-up): Acquire. Pairs with ORDERING(given-up) in Sender::abandon.
            // ORDERING(claim): Acquire. Pairs with ORDERING(claim) in Sender::try_claim.
            let seen = Control(words.word(position).load(Ordering::Acquire));
            match (self.turns.turn(seen, position), seen.state()) {
                (Turn::Current, State::Published) => {
                    return Look::Value(There { position, run: seen.run(), again: false });
                }
                (Turn::Current, State::Skipped) => {
                    self.made_room |= self.advance(common, seen.run());
                }
                // Words of a claim are seen at the head only: what is before it was published or skipped.
                (Turn::Current, _) => return Look::Pending(Held::by_slot(position, seen)),
                // Nobody has published it, so nothing can be behind it, and the head is not either.
                (Turn::Earlier, _) => return Look::Empty,
                (Turn::Later, _) => self.cursor = common.head.load(Ordering::Relaxed),
            }
            self.spend(1);
        }
        Look::Empty
    }

    /// Who has claimed what was looked at last and found empty, if its slot does not say that.
    #[inline(always)]
    pub(crate) fn find_claim<W: Words>(&self, words: &W) -> Option<Held> {
        if !W::APART {
            return None;
        }
        let held = Held::at(words, self.turns, self.cursor);
        (!self.turns.is_earlier(held.word, self.cursor)).then_some(held)
    }

    /// Whether there is room that those who wait for it have to be told of, because nothing was taken after it
    /// was made.
    #[inline]
    pub(crate) fn has_made_room(&mut self) -> bool {
        std::mem::take(&mut self.made_room)
    }

    /// Whether it is worth a look at the position that was looked at last: not while it is being written.
    #[inline(always)]
    pub(crate) fn is_changed(&self, words: &impl Words) -> bool {
        let seen = Control(words.word(self.cursor).load(Ordering::Relaxed));
        !self.turns.is_earlier(seen, self.cursor) && seen.state() != State::Claimed
    }

    /// How many values in a row are there from the one at `position` on, `most` at most.
    #[inline(always)]
    pub(crate) fn run(&self, words: &impl Words, position: u64, most: u64) -> u64 {
        let published = |index: &u64| {
            let position = position.wrapping_add(*index);
            // ORDERING(value): Acquire. Pairs with ORDERING(value) in Sender::publish.
            let seen = Control(words.word(position).load(Ordering::Acquire));
            seen == self.turns.published(position, 1)
        };
        1 + (1..most).take_while(published).count() as u64
    }

    /// Moves the head over `run` slots if it is where it was last seen. If so, what was copied from them
    /// before is ours, and whole: this is the acknowledgement.
    #[inline(always)]
    pub(crate) fn advance(&mut self, common: &Common, run: u64) -> bool {
        let next = self.cursor.wrapping_add(run);
        // ORDERING(mpmc-head): Release. Pairs with ORDERING(mpmc-head) in Sender::search: our copies are
        // complete before the slots are written again.
        let moved =
            common.head.compare_exchange(self.cursor, next, Ordering::Release, Ordering::Relaxed);
        self.cursor = moved.map_or_else(|head| head, |_| next);
        if moved.is_err() {
            self.spend(1);
            back_off();
        }
        moved.is_ok()
    }

    /// Takes the first value that nobody has, in an acknowledged ring.
    pub(crate) fn take(&mut self, common: &Common, words: &impl Words) -> Look {
        // ORDERING(again): Acquire. Pairs with ORDERING(again) in come_again. No model: without it the value is
        // found all the same, but later, by `look_behind`.
        let again = common.again.load(Ordering::Acquire);
        if again != self.again {
            self.again = again;
            self.cursor = common.head.load(Ordering::Relaxed);
        }
        while !self.is_spent() {
            let position = self.cursor;
            let word = words.word(position);
            // ORDERING(value): Acquire. Pairs with ORDERING(value) in Sender::publish.
            let seen = Control(word.load(Ordering::Acquire));
            match (self.turns.turn(seen, position), seen.state()) {
                (Turn::Current, State::Published) => {
                    let run = seen.run();
                    let taken = self.turns.taken(position, self.owner, run);
                    // The load before has seen the value.
                    // ORDERING(claim): Release. Pairs with ORDERING(claim) in Receiver::look_behind: who sees
                    // the value taken sees our place, and does not take us for gone.
                    let ours = word.compare_exchange(
                        seen.0,
                        taken.0,
                        Ordering::Release,
                        Ordering::Relaxed,
                    );
                    if ours.is_ok() {
                        self.cursor = position.wrapping_add(run);
                        return Look::Value(There { position, run, again: seen.is_again() });
                    }
                }
                (Turn::Current, State::Claimed) => {
                    return Look::Pending(Held::by_slot(position, seen));
                }
                (Turn::Current, _) => self.cursor = position.wrapping_add(seen.run()),
                (Turn::Earlier, _) => {
                    return self.find_claim(words).map_or(Look::Empty, Look::Pending);
                }
                (Turn::Later, _) => self.cursor = common.head.load(Ordering::Relaxed),
            }
            self.spend(1);
        }
        Look::Empty
    }

    /// Says that what was taken is done with.
    pub(crate) fn acknowledge(&self, common: &Common, words: &impl Words, taken: There) {
        let word = self.turns.skipped(taken.position, taken.run);
        // ORDERING(done): Release. Pairs with ORDERING(done) in pass: our copy is complete before the slot
        // is written again.
        words.word(taken.position).store(word.0, Ordering::Release);
        pass(common, words, self.turns);
    }

    /// Gives back what was taken: it comes again.
    pub(crate) fn give_back(&self, common: &Common, words: &impl Words, taken: There) {
        let word = self.turns.again(taken.position, taken.run);
        // ORDERING(value): Release. Pairs with ORDERING(value) in Receiver::take. Who takes it next sees the
        // value, as we did.
        words.word(taken.position).store(word.0, Ordering::Release);
        come_again(common);
    }

    /// Tells of each slot that another consumer has taken, in an acknowledged ring. Values that came again
    /// are found on the way, be it that nobody said so: then it is worth looking again.
    pub(crate) fn look_behind(
        &mut self,
        common: &Common,
        words: &impl Words,
        mut find: impl FnMut(Held),
    ) -> bool {
        let mut position = common.head.load(Ordering::Relaxed);
        while self.cursor.wrapping_sub(position).cast_signed() > 0 && !self.is_spent() {
            self.spend(1);
            // ORDERING(claim): Acquire. Pairs with ORDERING(claim) in Receiver::take.
            let word = Control(words.word(position).load(Ordering::Acquire));
            match (self.turns.turn(word, position), word.state()) {
                (Turn::Current, State::Published) => {
                    self.cursor = position;
                    return true;
                }
                (Turn::Current, State::Taken) if word.owner() != self.owner => {
                    find(Held::by_slot(position, word));
                }
                (Turn::Current, _) => {}
                // Others have gone on meanwhile.
                _ => return false,
            }
            position = position.wrapping_add(word.run());
        }
        false
    }
}
