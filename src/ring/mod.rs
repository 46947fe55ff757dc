//! Positions: who may touch which slot or byte now. Knows no value type, no system, no waiting.
//!
//! Invariants, for every ring here:
//!
//! * I1. A position only grows. The producer's is `tail`, the consumer's `head`; `tail - head` never
//!   exceeds the capacity.
//! * I2. Own positions are private memory. The copy in the segment is written, and read back only by a
//!   successor; the peer's is read once per use and checked against I1 before it counts.
//! * I3. The word that publishes is in the data, next to what it publishes. The producer writes it last;
//!   the consumer never writes data. A call cell has one
//!   place for both directions instead: who has the turn writes.
//! * I4. What is between `head` and `tail` belongs to the consumer, the rest to the producer.
//! * I5. A death leaves at most one step undone, and each step can be told from the words. The copy of
//!   `head` in the segment is one release behind at most. That of `tail` is behind by up to [`MIRROR`]
//!   publications, which a successor and an onlooker follow in the data: to store it each time would cost
//!   up to half of the rate, because stores to two lines in turn do not combine.

pub(crate) mod call;
pub(crate) mod record;
pub(crate) mod spsc;

/// The producer stores its position in the segment once in so many publications.
pub(crate) const MIRROR: u64 = 64;

/// The further of two positions. What lies before the consumer's may have been overwritten, so nobody
/// follows the data from the copy of a tail that has fallen behind it.
pub(crate) fn further(tail: u64, head: u64) -> u64 {
    if tail.wrapping_sub(head).cast_signed() > 0 { tail } else { head }
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
