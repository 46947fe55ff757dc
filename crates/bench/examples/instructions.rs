//! `instructions WHAT COUNT`: does one operation so often, between markers that callgrind can see; for
//! `ci/instructions.sh`, which counts the instructions of two runs and takes the difference.
#![allow(missing_docs, reason = "a program")]
#![allow(unsafe_code, reason = "writes and reads records in place")]

use ringlane::{record, spsc};
use ringlane_bench::payload::{check_bytes, check_words, fill_bytes, words};
use std::hint::black_box;

/// How many at a stretch: half of what fits.
const STRETCH: u64 = 512;

/// All that callgrind counts.
#[inline(never)]
fn counted(n: u64, mut work: impl FnMut(u64)) {
    for n in n..n + STRETCH {
        work(n);
    }
}

/// What is not counted. Not quite the same, or the linker would make one function of the two.
#[inline(never)]
fn other(n: u64, mut work: impl FnMut(u64)) {
    for n in n..n + STRETCH {
        work(black_box(n));
    }
}

fn values<const N: usize, const PUSH: bool>(count: u64) {
    let queue = spsc::Queue::<[u64; N]>::private(2 * STRETCH as usize).expect("a queue");
    let mut producer = queue.producer().expect("an end");
    let mut consumer = queue.consumer().expect("an end");
    turns::<PUSH>(
        count,
        |n| producer.push(words(n)).expect("room"),
        |n| check_words(&consumer.pop().expect("a value"), n),
    );
}

fn records<const PUSH: bool>(count: u64) {
    let queue = record::Queue::private(1 << 17).expect("a queue");
    let mut producer = queue.producer().expect("an end");
    let mut consumer = queue.consumer().expect("an end");
    let push = |n| {
        let mut room = producer.reserve(56).expect("room");
        // SAFETY: nobody else has this ring.
        fill_bytes(unsafe { room.as_mut_slice() }, n);
        room.commit();
    };
    let pop = |n| {
        let record = consumer.read().expect("a record");
        // SAFETY: nobody else has this ring.
        check_bytes(unsafe { record.as_slice() }, n);
        record.release();
    };
    turns::<PUSH>(count, push, pop);
}

/// Push and pop in turns. The kind is a constant so that each is called in one place, and inlined there.
fn turns<const PUSH: bool>(count: u64, mut push: impl FnMut(u64), mut pop: impl FnMut(u64)) {
    for n in (0..count).step_by(STRETCH as usize) {
        if PUSH {
            counted(n, &mut push);
            other(n, &mut pop);
        } else {
            other(n, &mut push);
            counted(n, &mut pop);
        }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, what, count] = &args[..] else { panic!("instructions WHAT COUNT") };
    let count: u64 = count.parse().expect("COUNT is a number");
    match what.as_str() {
        "push-8" => values::<1, true>(count),
        "pop-8" => values::<1, false>(count),
        "push-56" => values::<7, true>(count),
        "pop-56" => values::<7, false>(count),
        "record-push-56" => records::<true>(count),
        "record-pop-56" => records::<false>(count),
        _ => panic!("{what} is not known"),
    }
}
