//! A producer that is alone on its side. It says where it is about to write, and looks whether it still is alone;
//! then the slot is its own without a claim.
//!
//! ```text
//!   alone                                  newcomer
//!   alone? else claim                      standing = ending
//!   end = position + 1                     heavy fence
//!   light fence                            is what lies before `end` published? else claim it for who was
//!   alone? else claim this position        alone, in its name
//!   write, publish                         standing = shared, and claims like everybody
//! ```
//!
//! Of the two fences one comes first. If it is the newcomer's, the other one sees that it is not alone when it looks
//! for the second time. If not, the newcomer sees `end`, and makes of it a claim like any other: its owner may
//! publish it, be stopped, or be dead. So who was alone is never waited for. Whichever of the two writes the claim,
//! it is the same word. All steps of the newcomer can be done again by the next one, should it die.
//!
//! * M5. Only a producer that is attached, and sees nobody else on its side who lives, says that it is alone; and
//!   each newcomer changes the standing after it has attached. So while somebody is alone nobody else claims.

use super::sender::{HINT, Sender};
use super::{Held, Words};
use crate::layout::{Common, Control, Owner, Standing, Turns};
use crate::sync::{Ordering, light_fence, store_among_swaps};

impl Sender {
    /// This one is alone, which that standing says.
    pub(crate) fn go_alone(&mut self, standing: Standing) {
        self.sole = standing.0;
    }

    /// Whether it was when it last looked.
    #[inline(always)]
    pub(crate) fn is_alone(&self) -> bool {
        self.sole != 0
    }

    /// There is another one now, in this process. Both claim.
    pub(crate) fn go_together(&mut self) {
        self.sole = 0;
    }

    /// Whether nobody has claimed what is at the cursor, after a look for the first such position. If so, it is
    /// where a producer that is alone begins.
    pub(crate) fn prepare_alone(&mut self, common: &Common, words: &impl Words) -> bool {
        let end = self.find_end(common, words);
        let seen = Held::at(words, self.turns(), end).word;
        // Relaxed: whoever reads it has seen the standing that comes after it.
        common.sole.end.store(end, Ordering::Relaxed);
        self.turns().is_earlier(seen, end)
    }

    /// The next position, if this producer is alone and there is room. It must be published in the same call: nobody
    /// sees that it is held.
    #[inline(always)]
    pub(crate) fn claim_alone<W: Words>(&mut self, common: &Common, words: &W) -> Option<u64> {
        let sole = &common.sole;
        if !self.is_alone() || sole.standing.load(Ordering::Relaxed) != self.sole {
            // So that it is not looked at again.
            self.sole = 0;
            return None;
        }
        if !self.has_room() && !self.find_room(common) {
            return None;
        }
        let position = self.cursor;
        let end = position.wrapping_add(1);
        // ORDERING(sole-end): Release. Pairs with ORDERING(sole-end) in claim_for: the slot is free, as we have seen, so
        // that a claim comes after what others wrote to its word. No model: in loom a compare-and-swap meets the last
        // store in any case.
        sole.end.store(end, Ordering::Release);
        // ORDERING(sole-fence): light half. Pairs with ORDERING(sole-fence) in Seat::end_sole.
        light_fence();
        if sole.standing.load(Ordering::Relaxed) != self.sole {
            return self.claim_joined(common, words);
        }
        let claim = self.turns().claimed(position, self.owner(), 1);
        if W::APART && claim.is_to_be_renewed() {
            // Nobody needs it: so that it is not of long ago when turns come round. If a newcomer claims the position for us
            // it writes the same.
            store_among_swaps(words.claim(position), claim.0, Ordering::Relaxed);
        }
        self.cursor = end;
        if position.is_multiple_of(HINT) {
            // Not behind this position: if we die here, nobody has claimed it. Relaxed: all before it was published
            // before the light fence, and whoever claims has passed the heavy one since, or heard of it from who did.
            common.tail.store(position, Ordering::Relaxed);
        }
        Some(position)
    }

    /// Others have come just now. The position that was announced is claimed, by us or for us, or it is not ours.
    #[cold]
    fn claim_joined(&mut self, common: &Common, words: &impl Words) -> Option<u64> {
        self.sole = 0;
        let position = self.cursor;
        let claim = claim_at(words, self.turns(), self.owner(), position);
        if Control(words.claim(position).load(Ordering::Relaxed)) != claim {
            return None;
        }
        self.went_to(common, position.wrapping_add(1));
        Some(position)
    }
}

/// The claim of one position in somebody's name, written if nobody has claimed it.
fn claim_at(words: &impl Words, turns: Turns, owner: Owner, position: u64) -> Control {
    let word = words.claim(position);
    let seen = Control(word.load(Ordering::Relaxed));
    let claim = turns.claimed(position, owner, 1);
    if turns.is_earlier(seen, position) {
        // ORDERING(claim): Release. Pairs with ORDERING(claim) in Held::at, Receiver::look and
        // Receiver::look_behind: who sees the claim sees its owner's place, as we do since we saw the standing. If it
        // fails somebody has claimed the position, or it is published. No model: the light fence before it is a full one
        // there, which releases all that came before, as the heavy one does.
        let _ = word.compare_exchange(seen.0, claim.0, Ordering::Release, Ordering::Relaxed);
    }
    claim
}

/// Claims what a producer that was alone may be writing to, in its name. After the heavy fence.
pub(crate) fn claim_for(common: &Common, words: &impl Words, turns: Turns, owner: Owner) {
    // ORDERING(sole-end): Acquire. Pairs with ORDERING(sole-end) in Sender::claim_alone: the slot is free. No model: as
    // there.
    let end = common.sole.end.load(Ordering::Acquire);
    claim_at(words, turns, owner, end.wrapping_sub(1));
}
