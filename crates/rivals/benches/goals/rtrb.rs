//! rtrb, between two threads: a ring of values in one process's memory, with nobody to be woken.
#![allow(unsafe_code, reason = "commits what it has written in place")]

use ringlane_bench::payload::{check_slice, check_words, words};
use ringlane_bench::{Half, Row, Sample, Side};
use rtrb::{Consumer, PopError, Producer, PushError, RingBuffer};
use std::mem::MaybeUninit;

/// Each with as many bytes as our ring has, 16 KiB, and with the capacities at which it was fastest.
pub(crate) const ROWS: &[Row] = &[
    row("rtrb one way 8 B, 2048 slots", 8, 20_000_000).threads(single::<1, 2048>),
    row("rtrb one way 8 B, 1024 slots", 8, 20_000_000).threads(single::<1, 1024>),
    row("rtrb one way 8 B, 512 slots", 8, 20_000_000).threads(single::<1, 512>),
    row("rtrb chunks of 64 x 8 B, 2048 slots", 8, 50_000_000).threads(chunks::<2048>),
    row("rtrb chunks of 64 x 8 B, 1024 slots", 8, 50_000_000).threads(chunks::<1024>),
    row("rtrb chunks of 64 x 8 B, 512 slots", 8, 50_000_000).threads(chunks::<512>),
    row("rtrb one way 56 B, 256 slots", 56, 6_000_000).threads(single::<7, 256>),
    row("rtrb one way 56 B, 128 slots", 56, 6_000_000).threads(single::<7, 128>),
    row("rtrb one way 56 B, 16 slots", 56, 6_000_000).threads(single::<7, 16>),
    row("rtrb one way 1 KiB, 16 slots", 1024, 800_000).threads(single::<128, 16>),
    row("rtrb one way 1 KiB, 8 slots", 1024, 800_000).threads(single::<128, 8>),
];

const fn row(name: &'static str, bytes: usize, messages: u64) -> Row {
    fn none(_: &Side) -> Sample {
        unreachable!("it is between threads")
    }
    Row::one_way(name, bytes, messages, none).by("rtrb")
}

fn single<const N: usize, const CAPACITY: usize>() -> (Half, Half) {
    let (mut producer, mut consumer) = RingBuffer::<[u64; N]>::new(CAPACITY);
    let push = move |side: &Side| side.stream(1, |n| put(&mut producer, words(n)));
    let pop = move |side: &Side| side.stream(1, |n| check_words(&take(&mut consumer), n));
    (Box::new(push), Box::new(pop))
}

#[inline(always)]
fn put<T>(producer: &mut Producer<T>, mut value: T) {
    while let Err(PushError::Full(back)) = producer.push(value) {
        value = back;
    }
}

#[inline(always)]
fn take<T>(consumer: &mut Consumer<T>) -> T {
    loop {
        match consumer.pop() {
            Ok(value) => return value,
            Err(PopError::Empty) => {}
        }
    }
}

#[inline(always)]
fn fill(words: &mut [MaybeUninit<u64>], n: u64) {
    for (i, word) in words.iter_mut().enumerate() {
        word.write(n.wrapping_add(i as u64));
    }
}

/// In place: written where the ring has room, read where it lies.
fn chunks<const CAPACITY: usize>() -> (Half, Half) {
    const CHUNK: usize = 64;
    let (mut producer, mut consumer) = RingBuffer::<u64>::new(CAPACITY);
    let push = move |side: &Side| {
        side.stream(CHUNK as u64, |n| {
            loop {
                let Ok(mut chunk) = producer.write_chunk_uninit(CHUNK) else { continue };
                let (first, second) = chunk.as_mut_slices();
                fill(first, n);
                fill(second, n + first.len() as u64);
                // SAFETY: all of them have just been written.
                unsafe { chunk.commit_all() };
                break;
            }
        })
    };
    let pop = move |side: &Side| {
        side.stream(CHUNK as u64, |n| {
            loop {
                let Ok(chunk) = consumer.read_chunk(CHUNK) else { continue };
                let (first, second) = chunk.as_slices();
                check_slice(first, n);
                check_slice(second, n + first.len() as u64);
                chunk.commit_all();
                break;
            }
        })
    };
    (Box::new(push), Box::new(pop))
}
