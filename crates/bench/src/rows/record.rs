//! Records and frames through `ringlane::record`, written and read in place.
#![allow(unsafe_code, reason = "lends the bytes of records: both sides are this program")]

use crate::payload::{check_bytes, fill_bytes};
use crate::row::Row;
use crate::rows::bare::{LARGE, SMALL, VIDEO};
use crate::side::{Sample, Side};
use ringlane::record;

/// The rows of records.
pub const ROWS: &[Row] = &[
    Row::trip("record round trip 56 B", 56, 300_000, trip),
    Row::one_way("record one way 56 B", 56, 4_000_000, one_way::<56>),
    Row::one_way("record one way 1 KiB", 1024, 800_000, one_way::<1024>),
    Row::one_way("record frames of 64 KiB, 2 fit", SMALL, 15_000, frames::<SMALL, 2>),
    Row::one_way("record frames of 64 KiB, 64 fit", SMALL, 50_000, frames::<SMALL, 64>),
    Row::one_way("record frames of 1 MiB, 2 fit", LARGE, 3_000, frames::<LARGE, 2>),
    Row::one_way("record frames of 1 MiB, 4 fit", LARGE, 5_000, frames::<LARGE, 4>),
    Row::one_way("record frames of 8.3 MB, 2 fit", VIDEO, 500, frames::<VIDEO, 2>),
];

fn queue(side: &Side, label: &str, options: &record::Options) -> record::Queue {
    side.shared(label, |name| options.create(name), |name| options.open(name))
}

#[inline(always)]
fn send<const LEN: usize>(producer: &mut record::Producer, n: u64) {
    let mut room = producer.reserve(LEN).expect("a living peer");
    // SAFETY: both sides are this program, which touches only what it reserved or read.
    fill_bytes(unsafe { room.as_mut_slice() }, n);
    room.commit();
}

#[inline(always)]
fn receive<const LEN: usize>(consumer: &mut record::Consumer, n: u64) {
    let record = consumer.read().expect("a living peer");
    assert_eq!(record.len(), LEN);
    // SAFETY: both sides are this program, which touches only what it reserved or read.
    check_bytes(unsafe { record.as_slice() }, n);
    record.release();
}

fn trip(side: &Side) -> Sample {
    let options = record::Queue::options().capacity(1 << 14).clone();
    let [to, back] = ["to", "back"].map(|label| queue(side, label, &options));
    let (out, back) = if side.is_first() { (&to, &back) } else { (&back, &to) };
    let mut producer = out.producer().expect("an end");
    let mut consumer = back.consumer().expect("an end");
    side.trips(|n| {
        if side.is_first() {
            send::<56>(&mut producer, n);
            receive::<56>(&mut consumer, n);
        } else {
            receive::<56>(&mut consumer, n);
            send::<56>(&mut producer, n);
        }
    })
}

fn stream<const LEN: usize>(side: &Side, options: &record::Options) -> Sample {
    let queue = queue(side, "line", options);
    if side.is_first() {
        let mut producer = queue.producer().expect("an end");
        side.stream(1, |n| send::<LEN>(&mut producer, n))
    } else {
        let mut consumer = queue.consumer().expect("an end");
        side.stream(1, |n| receive::<LEN>(&mut consumer, n))
    }
}

/// As many bytes as a queue of values has.
fn one_way<const LEN: usize>(side: &Side) -> Sample {
    stream::<LEN>(side, record::Queue::options().capacity(1 << 14))
}

/// Frames, of which so many fit.
fn frames<const LEN: usize, const COUNT: usize>(side: &Side) -> Sample {
    stream::<LEN>(side, record::Queue::options().align(64).holding(COUNT, LEN))
}
