//! What goes over a broker's socket: a question of 48 bytes, an answer of 48 bytes with up to two descriptors.
#![allow(unsafe_code, reason = "declares the messages plain values")]

use super::Access;
use super::token::HandleId;

const QUESTION: [u8; 8] = *b"ringask\x01";
const ANSWER: [u8; 8] = *b"ringans\x01";

/// What is to be done with a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Its memory, as a descriptor.
    Open(Access),
    /// Its memory, as a mapping.
    Map(Access),
    /// Its end.
    Delete,
}

/// From who holds a handle.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    magic: [u8; 8],
    want: u32,
    access: u32,
    id: [u8; 16],
    spare: [u64; 2],
}

// SAFETY: all fields are integers or bytes, for which zero is a value.
unsafe impl bytemuck::Zeroable for Question {}
// SAFETY: integers and bytes only, any pattern is a value, and the asserted size leaves no padding.
unsafe impl bytemuck::Pod for Question {}

const _: () = assert!(size_of::<Question>() == 8 + 4 + 4 + 16 + 16);

impl Question {
    pub(super) fn new(id: HandleId, want: Want) -> Question {
        let (want, access) = match want {
            Want::Open(access) => (1, access.to_wire()),
            Want::Map(access) => (2, access.to_wire()),
            Want::Delete => (3, 0),
        };
        Question { magic: QUESTION, want, access, id: id.0, spare: [0; 2] }
    }

    /// What these bytes ask, if a message consists of just them.
    pub(super) fn parse(bytes: &[u8]) -> Option<(HandleId, Want)> {
        let question = bytemuck::try_pod_read_unaligned::<Question>(bytes).ok()?;
        let access = Access::from_wire(question.access)?;
        let want = match question.want {
            1 => Want::Open(access),
            2 => Want::Map(access),
            3 => Want::Delete,
            _ => return None,
        };
        (question.magic == QUESTION).then_some((HandleId(question.id), want))
    }
}

/// How a question came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// No such handle for who asks.
    Invalid,
    /// The handle grants less. It is spent.
    Denied,
}

/// From the broker. The object's descriptor goes with it, then the leash's.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    magic: [u8; 8],
    outcome: u32,
    /// Bit 0: a part only. Bit 1: a leash comes, too.
    flags: u32,
    from: u64,
    len: u64,
    spare: [u64; 2],
}

// SAFETY: all fields are integers or bytes, for which zero is a value.
unsafe impl bytemuck::Zeroable for Answer {}
// SAFETY: integers and bytes only, any pattern is a value, and the asserted size leaves no padding.
unsafe impl bytemuck::Pod for Answer {}

const _: () = assert!(size_of::<Answer>() == 8 + 4 + 4 + 4 * 8);

impl Answer {
    pub(super) fn new(outcome: Outcome, range: Option<(u64, u64)>, leash: bool) -> Answer {
        let outcome = match outcome {
            Outcome::Done => 0,
            Outcome::Invalid => 1,
            Outcome::Denied => 2,
        };
        let flags = u32::from(range.is_some()) | u32::from(leash) << 1;
        let (from, len) = range.unwrap_or_default();
        Answer { magic: ANSWER, outcome, flags, from, len, spare: [0; 2] }
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Answer> {
        let answer = bytemuck::try_pod_read_unaligned::<Answer>(bytes).ok()?;
        (answer.magic == ANSWER && answer.outcome <= 2 && answer.flags <= 3).then_some(answer)
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self.outcome {
            0 => Outcome::Done,
            2 => Outcome::Denied,
            _ => Outcome::Invalid,
        }
    }

    pub(super) fn range(&self) -> Option<(u64, u64)> {
        (self.flags & 1 != 0).then_some((self.from, self.len))
    }

    pub(super) fn has_leash(&self) -> bool {
        self.flags & 2 != 0
    }
}

pub(super) fn bytes_of<T: bytemuck::Pod>(message: &T) -> &[u8] {
    bytemuck::bytes_of(message)
}
