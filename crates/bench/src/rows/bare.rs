//! The floors: loops that do the same without a ring, in the same kind of memory.
#![allow(unsafe_code, reason = "bare atomics, words and futexes in shared memory")]

use crate::payload::{check_slice, fill_slice};
use crate::row::Row;
use crate::side::{Sample, Side, two_lines, word};
use ringlane::Mapping;
use std::sync::atomic::{AtomicU64, Ordering};

/// The floors.
pub const ROWS: &[Row] = &[
    Row::trip("two lines", 8, 500_000, lines).by("bare"),
    Row::trip("one line", 8, 500_000, one_line).by("bare"),
    Row::trip("futex, both asleep", 8, 2_000, futex).by("bare"),
    Row::one_way("slots of 8 B", 8, 30_000_000, slots).by("bare"),
    Row::one_way("spans of 64 x 8 B in place", 8, 100_000_000, spans::<16>).by("bare"),
    Row::one_way("spans of 64 x 8 B in place, 64 KiB", 8, 50_000_000, spans::<128>).by("bare"),
    Row::one_way("frames of 64 KiB in place, 2 fit", SMALL, 15_000, frames::<SMALL, 2>).by("bare"),
    Row::one_way("frames of 64 KiB in place, 64 fit", SMALL, 50_000, frames::<SMALL, 64>)
        .by("bare"),
    Row::one_way("frames of 1 MiB in place, 2 fit", LARGE, 3_000, frames::<LARGE, 2>).by("bare"),
    Row::one_way("frames of 1 MiB in place, 4 fit", LARGE, 5_000, frames::<LARGE, 4>).by("bare"),
    Row::one_way("frames of 8.3 MB in place, 2 fit", VIDEO, 500, frames::<VIDEO, 2>).by("bare"),
];

/// A small frame.
pub const SMALL: usize = 1 << 16;
/// A large one.
pub const LARGE: usize = 1 << 20;
/// A frame of 1920x1080 pixels of 4 bytes.
pub const VIDEO: usize = 1920 * 1080 * 4;

const LINE: usize = 64;

fn lines(side: &Side) -> Sample {
    let memory = side.memory("lines", 4096);
    let (ping, pong) = (word(&memory, 0), word(&memory, 256));
    side.trips(|n| two_lines(side.is_first(), ping, pong, n + 1))
}

/// Request and answer in the same word.
fn one_line(side: &Side) -> Sample {
    let memory = side.memory("line", 4096);
    let word = word(&memory, 0);
    side.trips(|n| {
        let (request, answer) = (2 * n + 1, 2 * n + 2);
        if side.is_first() {
            word.store(request, Ordering::Release);
            while word.load(Ordering::Acquire) != answer {}
        } else {
            while word.load(Ordering::Acquire) != request {}
            word.store(answer, Ordering::Release);
        }
    })
}

/// What sleeping and waking costs at least: two words, and two calls of the kernel a side and round trip.
fn futex(side: &Side) -> Sample {
    let memory = side.memory("futex", 4096);
    let (ping, pong) = (word(&memory, 0), word(&memory, 256));
    let call = |word: &AtomicU64, operation: i32, value: u32| {
        // SAFETY: the word is mapped during the call, and its first half is what the kernel compares on
        // little-endian processors; there is no timeout.
        unsafe {
            libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, std::ptr::null::<u8>());
        }
    };
    let wake = |word: &AtomicU64, n: u64| {
        word.store(n, Ordering::SeqCst);
        call(word, libc::FUTEX_WAKE, 1);
    };
    let wait = |word: &AtomicU64, n: u64| {
        while word.load(Ordering::SeqCst) != n {
            call(word, libc::FUTEX_WAIT, (n - 1) as u32);
        }
    };
    side.sleeping_trips(|n| {
        if side.is_first() {
            wake(ping, n + 1);
            wait(pong, n + 1);
        } else {
            wait(ping, n + 1);
            side.think();
            wake(pong, n + 1);
        }
    })
}

/// A ring of 16-byte slots, a value and its number each, in which nobody can be woken: what a ring of values
/// would be that only spins.
fn slots(side: &Side) -> Sample {
    const SLOTS: u64 = 1024;
    /// So often the consumer says how far it is.
    const LAG: u64 = 64;
    let memory = side.memory("slots", LINE * 2 + SLOTS as usize * 16);
    let taken = word(&memory, 0);
    let slot = |n: u64| {
        let offset = LINE * 2 + (n % SLOTS) as usize * 16;
        [word(&memory, offset), word(&memory, offset + 8)]
    };
    let mut room = SLOTS;
    side.stream(1, |n| {
        let [value, number] = slot(n);
        if side.is_first() {
            while n >= room {
                room = taken.load(Ordering::Acquire) + SLOTS;
            }
            value.store(n, Ordering::Relaxed);
            number.store(n + 1, Ordering::Release);
        } else {
            while number.load(Ordering::Acquire) != n + 1 {}
            check_slice(&[value.load(Ordering::Relaxed)], n);
            if (n + 1).is_multiple_of(LAG) {
                taken.store(n + 1, Ordering::Release);
            }
        }
    })
}

/// A flag and so many bytes, several times in a row.
struct Blocks<const LEN: usize> {
    memory: Mapping,
    count: u64,
}

impl<const LEN: usize> Blocks<LEN> {
    const STRIDE: usize = LINE + LEN.next_multiple_of(LINE);

    fn new(side: &Side, count: u64) -> Self {
        Blocks { memory: side.memory("blocks", Self::STRIDE * count as usize), count }
    }

    /// Writes or reads block `n` in place; its words are those of message `payload`.
    #[inline(always)]
    fn pass(&self, first: bool, n: u64, payload: u64) {
        let offset = (n % self.count) as usize * Self::STRIDE;
        let flag = word(&self.memory, offset);
        // SAFETY: a block has that many bytes past its flag.
        let at = unsafe { self.memory.as_ptr().add(offset + LINE) }.cast::<u64>();
        if first {
            while flag.load(Ordering::Acquire) != 0 {}
            // SAFETY: the block is in the mapping and aligned; the flag says that it is the first side's.
            let words = unsafe { std::slice::from_raw_parts_mut(at.as_ptr(), LEN / 8) };
            fill_slice(words, payload);
            flag.store(n + 1, Ordering::Release);
        } else {
            while flag.load(Ordering::Acquire) != n + 1 {}
            // SAFETY: as above; the flag says that it is the second side's.
            let words = unsafe { std::slice::from_raw_parts(at.as_ptr(), LEN / 8) };
            check_slice(words, payload);
            flag.store(0, Ordering::Release);
        }
    }
}

/// Spans, of which so many fit.
fn spans<const COUNT: u64>(side: &Side) -> Sample {
    let blocks = Blocks::<512>::new(side, COUNT);
    side.stream(64, |n| blocks.pass(side.is_first(), n / 64, n))
}

/// Frames, of which so many fit.
fn frames<const LEN: usize, const COUNT: u64>(side: &Side) -> Sample {
    let blocks = Blocks::<LEN>::new(side, COUNT);
    side.stream(1, |n| blocks.pass(side.is_first(), n, n))
}
