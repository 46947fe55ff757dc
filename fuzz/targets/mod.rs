//! What the fuzzers do with their bytes. `tests/fuzzed.rs` does the same with the inputs that are kept.

pub(crate) mod attach;
mod bare;
pub(crate) mod broker;
pub(crate) mod many_records;
pub(crate) mod model;
pub(crate) mod recipient;
pub(crate) mod recover;
pub(crate) mod rewrite;
pub(crate) mod session;

use arbitrary::{Arbitrary, Unstructured};
use ringlane::{Mapping, Name};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// The longest that a call may wait for another side, which there is not.
pub(crate) const SOON: Duration = Duration::from_micros(1);

/// Where the words begin that others write.
pub(crate) const WORDS: usize = 1024;

/// An input, or nothing if the bytes are none.
fn input<'a, T: Arbitrary<'a>>(bytes: &'a [u8]) -> Option<T> {
    T::arbitrary_take_rest(Unstructured::new(bytes)).ok()
}

/// A name of this process's own; another one each time, for threads.
fn name(target: &str) -> Name {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let (pid, number) = (std::process::id(), NEXT.fetch_add(1, Relaxed));
    Name::new(&format!("ringlane-fuzz-{target}-{pid}-{number}")).unwrap()
}

/// Numbers that a fuzzer would take long to find.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Value {
    Any(u64),
    Near {
        shift: u8,
        less: i8,
    },
    /// With the tag of the position that is so many words from the beginning.
    Header {
        len: u16,
        flags: u8,
        at: u16,
    },
    /// What stands in a slot of a ring for many.
    Control {
        turn: u8,
        run: u8,
        generation: u8,
        place: u8,
        state: u8,
    },
    /// What stands in a place of a participant.
    Status {
        generation: u8,
        consumer: bool,
        standing: u8,
    },
}

impl Value {
    pub(crate) fn number(self) -> u64 {
        match self {
            Value::Any(n) => n,
            Value::Near { shift, less } => {
                1_u64.rotate_left(u32::from(shift)).wrapping_add_signed(i64::from(less))
            }
            Value::Header { len, flags, at } => {
                let tag = (u64::from(at) * 8).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48 << 48;
                tag | u64::from(len) << 8 | u64::from(flags)
            }
            Value::Control { turn, run, generation, place, state } => {
                u64::from(turn) << 23
                    | u64::from(run % 64) << 17
                    | u64::from(generation) << 9
                    | u64::from(place % 128) << 2
                    | u64::from(state % 4)
            }
            Value::Status { generation, consumer, standing } => {
                u64::from(generation) << 32 | u64::from(consumer) << 8 | u64::from(standing % 5)
            }
        }
    }
}

/// A word that the other side writes.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct Write {
    at: u16,
    value: Value,
}

impl Write {
    /// Half of them go where words are that mean something.
    fn to(self, words: &Mapping) {
        let at = usize::from(self.at);
        let at = match at % 8 {
            0..4 => WORDS + at / 8 % 96 * 8,
            // The consumer's part, or places; the data of small rings, and of rings for many.
            4 => 4096 + at / 8 % 32 * 8,
            5 => 8192 + at / 8 % 64 * 8,
            6 => 12_288 + at / 8 % 64 * 8,
            _ => WORDS + at / 8 * 8,
        };
        let at = WORDS + (at - WORDS) % (words.len() - WORDS);
        words.write_at(at, &self.value.number().to_ne_bytes()).unwrap();
    }
}
