//! A producer that is alone on its side: it need not claim a slot before it writes there.
//!
//! ```text
//!   bits  0..2    0: there may be several, 1: one is alone, 2: it was, and another one has come
//!   bits  2..9    its place           who was alone last, if there may be several
//!   bits  9..17   its generation      likewise
//!   bits 17..64   a count: no word comes twice
//! ```

use super::participants::Owner;
use crate::sync::AtomicU64;

const PLACE_AT: u32 = 2;
const GENERATION_AT: u32 = 9;
const COUNT_AT: u32 = 17;

/// One line, which a producer that is alone has to itself.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct Sole {
    /// Whether somebody is alone, and who: see [`Standing`].
    pub(crate) standing: AtomicU64,
    /// Behind the position that it writes to, or wrote to last.
    pub(crate) end: AtomicU64,
}

/// What the word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing(pub(crate) u64);

impl Standing {
    /// Who is alone, or was until now.
    pub(crate) fn holder(self) -> Option<Owner> {
        matches!(self.0 & 3, 1 | 2).then_some(self.last())
    }

    /// Who was alone last, as far as anybody knows; before that somebody whom there never was.
    pub(crate) fn last(self) -> Owner {
        let place = (self.0 >> PLACE_AT) as u8 & 0x7f;
        Owner { place, generation: (self.0 >> GENERATION_AT) as u8 }
    }

    /// Who is alone is so no longer.
    pub(crate) fn ending(self) -> Standing {
        Standing(self.0 & !3 | 2)
    }

    /// There may be several.
    pub(crate) fn shared(self) -> Standing {
        Standing(self.next_count() | self.0 & ((1 << COUNT_AT) - 1) & !3)
    }

    /// `owner` is alone.
    pub(crate) fn alone(self, owner: Owner) -> Standing {
        let owner = u64::from(owner.place & 0x7f) << PLACE_AT
            | u64::from(owner.generation) << GENERATION_AT;
        Standing(self.next_count() | owner | 1)
    }

    fn next_count(self) -> u64 {
        (self.0 >> COUNT_AT).wrapping_add(1) << COUNT_AT
    }
}
