//! The control word of an MPMC slot: whose turn the slot is in, and who has it.
//!
//! ```text
//!   bits  0..2    state
//!   bits  2..9    place of the owner        claimed and taken only
//!   bits  9..17   the owner's generation    claimed and taken only; published: 1 if it comes again
//!   bits 17..23   slots of the run, less 1  0 where values are published or taken, for they stand alone
//!   bits 23..64   turn: the position divided by the capacity, plus 1
//! ```
//!
//! All zeroes is "published in the turn before the first", so fresh memory is an empty ring.

use super::participants::Owner;

const OWNER_AT: u32 = 2;
const GENERATION_AT: u32 = 9;
const RUN_AT: u32 = 17;
const TURN_AT: u32 = 23;

/// Most slots that one claim covers.
pub(crate) const LONGEST_RUN: u64 = 1 << (TURN_AT - RUN_AT);

/// What a slot is in, in its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// There is a value.
    Published = 0,
    /// A producer writes it and the run behind it.
    Claimed = 1,
    /// There is nothing here, nor in the run behind it: given up, or done with.
    Skipped = 2,
    /// A consumer has it and has not acknowledged it.
    Taken = 3,
}

/// When a slot's word was written, seen from a position that falls into the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Before: nobody has claimed the position.
    Earlier,
    /// For the position itself.
    Current,
    /// After: the position is long gone.
    Later,
}

/// One control word, as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Control(pub(crate) u64);

/// Turns positions into words and back, for one capacity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turns {
    log: u32,
}

impl Turns {
    /// # Panics
    /// If the capacity is not a power of two: opening a ring checks that.
    pub(crate) fn of(capacity: u64) -> Turns {
        assert!(capacity.is_power_of_two());
        Turns { log: capacity.trailing_zeros() }
    }

    pub(crate) fn capacity(self) -> u64 {
        1 << self.log
    }

    /// A position's turn, where words have it.
    #[inline(always)]
    fn bits(self, position: u64) -> u64 {
        // With its sign, so that the position before the first is in the turn before the first.
        (position.cast_signed() >> self.log).wrapping_add(1).cast_unsigned() << TURN_AT
    }

    #[inline(always)]
    pub(crate) fn published(self, position: u64, run: u64) -> Control {
        Control(self.bits(position) | (run - 1) << RUN_AT)
    }

    /// As published, for the second time.
    pub(crate) fn again(self, position: u64, run: u64) -> Control {
        Control(self.published(position, run).0 | 1 << GENERATION_AT)
    }

    #[inline(always)]
    pub(crate) fn claimed(self, position: u64, owner: Owner, run: u64) -> Control {
        Control(
            self.bits(position) | (run - 1) << RUN_AT | owner_bits(owner) | State::Claimed as u64,
        )
    }

    #[inline(always)]
    pub(crate) fn skipped(self, position: u64, run: u64) -> Control {
        Control(self.bits(position) | (run - 1) << RUN_AT | State::Skipped as u64)
    }

    #[inline(always)]
    pub(crate) fn taken(self, position: u64, owner: Owner, run: u64) -> Control {
        Control(self.bits(position) | (run - 1) << RUN_AT | owner_bits(owner) | State::Taken as u64)
    }

    /// What a fresh ring whose first position is not 0 has in the slot of `position`.
    pub(crate) fn before(self, position: u64) -> Control {
        Control(self.bits(position).wrapping_sub(1 << TURN_AT))
    }

    /// When `word` was written, seen from `position`.
    #[inline(always)]
    pub(crate) fn turn(self, word: Control, position: u64) -> Turn {
        let ahead = (word.0 & !(LONGEST - 1)).wrapping_sub(self.bits(position)).cast_signed();
        match ahead {
            0 => Turn::Current,
            1.. => Turn::Later,
            _ => Turn::Earlier,
        }
    }

    /// The same, for who only asks whether a position has been claimed.
    #[inline(always)]
    pub(crate) fn is_earlier(self, word: Control, position: u64) -> bool {
        self.turn(word, position) == Turn::Earlier
    }
}

/// Bits below the turn, as a number one above them.
const LONGEST: u64 = 1 << TURN_AT;

#[inline(always)]
fn owner_bits(owner: Owner) -> u64 {
    u64::from(owner.place & 0x7f) << OWNER_AT | u64::from(owner.generation) << GENERATION_AT
}

impl Control {
    #[inline(always)]
    pub(crate) fn state(self) -> State {
        match self.0 & 3 {
            0 => State::Published,
            1 => State::Claimed,
            2 => State::Skipped,
            _ => State::Taken,
        }
    }

    /// Who claimed or took the slot.
    pub(crate) fn owner(self) -> Owner {
        Owner {
            place: (self.0 >> OWNER_AT) as u8 & 0x7f,
            generation: (self.0 >> GENERATION_AT) as u8,
        }
    }

    /// Whether it is of one turn in a million: words that nobody needs are written then, so that none is of long ago
    /// when turns come round.
    #[inline(always)]
    pub(crate) fn is_to_be_renewed(self) -> bool {
        self.0 >> TURN_AT & 0xf_ffff == 0
    }

    /// From this slot to the next of which there is something to say.
    #[inline(always)]
    pub(crate) fn run(self) -> u64 {
        (self.0 >> RUN_AT & (LONGEST_RUN - 1)) + 1
    }

    /// Whether a published value was in a consumer's hands before.
    #[inline(always)]
    pub(crate) fn is_again(self) -> bool {
        self.0 >> GENERATION_AT & 1 == 1
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_position_before_the_first_is_published_in_any_capacity() {
        for log in 0..40 {
            let turns = Turns::of(1 << log);
            assert_eq!(turns.turn(Control(0), u64::MAX), Turn::Current, "2^{log}");
            assert_eq!(turns.turn(Control(0), 0), Turn::Earlier, "2^{log}");
        }
    }
}
