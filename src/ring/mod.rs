//! Positions: who may touch which slot or byte now. Knows no value type, no system, no waiting.
//!
//! Invariants, for every ring here:
//!
//! * I1. A position only grows. The producer's is `tail`, the consumer's `head`; `tail - head` never
//!   exceeds the capacity.
//! * I2. A side writes its own position, and the peer's is read once per use and checked against I1 before it
//!   counts. Its own it keeps in private memory, too: a line that the peer polls is elsewhere when it is to be
//!   read. Only the producer of values in slots, whose line nobody polls, reads its own in the segment: each
//!   further line that it stores to costs up to half of the rate, because stores to lines in turn do not
//!   combine. A producer of records stores its position in the segment once in [`MIRROR`] publications.
//! * I3. The word that publishes is in the data, next to what it publishes; of values side by side it is the
//!   producer's position. The producer writes it last;
//!   the consumer never writes data. A call cell has one
//!   place for both directions instead: who has the turn writes.
//! * I4. What is between `head` and `tail` belongs to the consumer, the rest to the producer.
//! * I5. A death leaves at most one step undone, and each step can be told from the words: a position in the
//!   segment is one release or publication behind at most (in slots, a span is published value by value), and that of a producer of records by up to
//!   [`MIRROR`] and a batch; a successor and an onlooker follow the data from there.

pub(crate) mod call;
use crate::sync::spin_hint;

pub(crate) mod mpmc;
pub(crate) mod record;
pub(crate) mod spsc;

/// A producer of records stores its position in the segment once in so many publications.
pub(crate) const MIRROR: u64 = 64;

/// The further of two positions. What lies before the consumer's may have been overwritten, so nobody
/// follows the data from the copy of a tail that has fallen behind it.
pub(crate) fn further(tail: u64, head: u64) -> u64 {
    if tail.wrapping_sub(head).cast_signed() > 0 { tail } else { head }
}

/// Looks so many times, or until there is something to see; says whether there was. Nothing else happens in
/// here: what stands between the arrival of a line and the use of what is in it delays each message. The
/// pause leaves the line to its writer for a moment, which a round trip needs more than the next look.
#[inline(always)]
pub(crate) fn looks(times: u32, mut look: impl FnMut() -> bool) -> bool {
    for _ in 0..times {
        if look() {
            return true;
        }
        spin_hint();
    }
    false
}

/// Why a claim gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// No room now.
    Full,
    /// The consumer's position breaks I1.
    Corrupt,
}

/// What was published breaks the ring's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Corrupt;
