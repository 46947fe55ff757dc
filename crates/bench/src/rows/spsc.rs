//! Values through `ringlane::spsc`.
#![allow(unsafe_code, reason = "reads and writes in place")]

use crate::payload::{check_words, fill_slice, words};
use crate::row::Row;
use crate::side::{Sample, Side};
use ringlane::{Wait, spsc};

/// The rows of values.
pub const ROWS: &[Row] = &[
    Row::trip("spsc round trip 8 B", 8, 300_000, trip::<1>),
    Row::trip("spsc round trip 56 B", 56, 300_000, trip::<7>),
    Row::trip("spsc round trip 64 B", 64, 300_000, trip::<8>),
    Row::trip("spsc round trip 8 B, both asleep", 8, 2_000, sleeping_trip),
    Row::one_way("spsc one way 8 B", 8, 30_000_000, one_way::<1>),
    Row::one_way("spsc one way 8 B, spinning only", 8, 30_000_000, one_way_spin).note("Wait::Spin"),
    Row::one_way("spsc one way 8 B, spans of 64", 8, 60_000_000, spans_in_place)
        .note("Layout::Dense, slices"),
    Row::one_way("spsc one way 8 B, spans of 64, copied", 8, 60_000_000, spans)
        .note("Layout::Dense, fill and iter"),
    Row::one_way("spsc one way 8 B, spans of 64, slots", 8, 30_000_000, spans_in_slots),
    Row::one_way("spsc one way 56 B", 56, 8_000_000, one_way::<7>),
    Row::one_way("spsc one way 1 KiB", 1024, 800_000, one_way::<128>),
    Row::one_way("spsc one way 1 KiB, in place", 1024, 800_000, in_place)
        .note("Layout::Dense, slices of one value"),
    Row::one_way("spsc one way 8 B, 64 KiB", 8, 20_000_000, one_way_roomy::<1>),
    Row::one_way("spsc one way 56 B, 64 KiB", 56, 4_000_000, one_way_roomy::<7>),
    Row::one_way("spsc one way 1 KiB, 64 KiB", 1024, 800_000, one_way_roomy::<128>),
];

type Ends<const N: usize> = (spsc::Producer<[u64; N]>, spsc::Consumer<[u64; N]>);

/// A queue under this label.
fn queue<const N: usize>(side: &Side, label: &str, capacity: usize) -> spsc::Queue<[u64; N]> {
    side.shared(label, |name| spsc::Queue::create(name, capacity), spsc::Queue::open)
}

/// Two queues, one a direction, and this side's two ends.
fn pair<const N: usize>(side: &Side) -> ([spsc::Queue<[u64; N]>; 2], Ends<N>) {
    let queues = ["to", "back"].map(|label| queue(side, label, 64));
    let [to, back] = &queues;
    let (out, back) = if side.is_first() { (to, back) } else { (back, to) };
    let ends = (out.producer().expect("an end"), back.consumer().expect("an end"));
    (queues, ends)
}

fn trip<const N: usize>(side: &Side) -> Sample {
    let (_queues, (mut producer, mut consumer)) = pair::<N>(side);
    side.trips(|n| {
        if side.is_first() {
            producer.push(words(n)).expect("a living peer");
            check_words(&consumer.pop().expect("a living peer"), n);
        } else {
            let words = consumer.pop().expect("a living peer");
            check_words(&words, n);
            producer.push(words).expect("a living peer");
        }
    })
}

fn sleeping_trip(side: &Side) -> Sample {
    let (_queues, (mut producer, mut consumer)) = pair::<1>(side);
    producer.set_wait(Wait::Park);
    consumer.set_wait(Wait::Park);
    side.sleeping_trips(|n| {
        if side.is_first() {
            producer.push(words(n)).expect("a living peer");
            check_words(&consumer.pop().expect("a living peer"), n);
        } else {
            let words: [u64; 1] = consumer.pop().expect("a living peer");
            check_words(&words, n);
            side.think();
            producer.push(words).expect("a living peer");
        }
    })
}

/// Bytes of slots with which a queue is fastest: within the first-level cache of either core.
const BYTES: usize = 1 << 14;

/// A queue for as many values as have room in so many bytes of slots.
fn line<const N: usize>(side: &Side, bytes: usize) -> spsc::Queue<[u64; N]> {
    queue(side, "line", bytes / (8 * N + 8).next_power_of_two().min(1024))
}

fn one_way_as<const N: usize>(side: &Side, bytes: usize, wait: Wait) -> Sample {
    let queue = line::<N>(side, bytes);
    if side.is_first() {
        let mut producer = queue.producer().expect("an end");
        producer.set_wait(wait);
        side.stream(1, |n| producer.push(words(n)).expect("a living peer"))
    } else {
        let mut consumer = queue.consumer().expect("an end");
        consumer.set_wait(wait);
        side.stream(1, |n| check_words(&consumer.pop().expect("a living peer"), n))
    }
}

fn one_way<const N: usize>(side: &Side) -> Sample {
    one_way_as::<N>(side, BYTES, Wait::default())
}

/// A queue that takes up more, within the second-level cache.
fn one_way_roomy<const N: usize>(side: &Side) -> Sample {
    one_way_as::<N>(side, 4 * BYTES, Wait::default())
}

fn one_way_spin(side: &Side) -> Sample {
    one_way_as::<1>(side, BYTES, Wait::Spin)
}

/// Values written and read where they lie, one at a time.
fn in_place(side: &Side) -> Sample {
    const WORDS: usize = 128;
    let queue = side.shared(
        "line",
        |name| {
            let mut options = spsc::Queue::<[u64; WORDS]>::options();
            options.capacity(BYTES / 8 / WORDS).layout(spsc::Layout::Dense).create(name)
        },
        spsc::Queue::open,
    );
    if side.is_first() {
        let mut producer = queue.producer().expect("an end");
        side.stream(1, |n| {
            let mut room = producer.reserve(1).expect("a living peer");
            // SAFETY: both processes are this program, which writes only to what it reserved.
            let (here, _) = unsafe { room.as_mut_slices() }.expect("side by side");
            fill_slice(&mut here[0], n);
            room.commit();
        })
    } else {
        let mut consumer = queue.consumer().expect("an end");
        side.stream(1, |n| {
            let span = consumer.read(1).expect("a living peer");
            // SAFETY: both processes are this program, which writes only to what it reserved.
            let (here, _) = unsafe { span.as_slices() }.expect("side by side");
            check_words(&here[0], n);
            span.release();
        })
    }
}

const SPAN: u64 = 64;

/// Values that a queue of spans holds: within the first-level cache, too.
const HELD: usize = BYTES / 8;

fn span_queue(side: &Side, layout: spsc::Layout) -> spsc::Queue<u64> {
    side.shared(
        "line",
        |name| spsc::Queue::options().capacity(HELD).layout(layout).create(name),
        spsc::Queue::open,
    )
}

fn spans_as(side: &Side, layout: spsc::Layout) -> Sample {
    let queue = span_queue(side, layout);
    if side.is_first() {
        let mut producer = queue.producer().expect("an end");
        side.stream(SPAN, |from| {
            let mut room = producer.reserve(SPAN as usize).expect("a living peer");
            room.fill(from..from + SPAN);
            room.commit();
        })
    } else {
        let mut consumer = queue.consumer().expect("an end");
        side.stream(SPAN, |from| {
            let mut next = from;
            while next < from + SPAN {
                let span = consumer.read((from + SPAN - next) as usize).expect("a living peer");
                let wrong = span.iter().zip(next..).fold(0, |bad, (value, n)| bad | (value ^ n));
                assert!(wrong == 0, "what came is not what was sent, after {next}");
                next += span.len() as u64;
                span.release();
            }
        })
    }
}

fn spans(side: &Side) -> Sample {
    spans_as(side, spsc::Layout::Dense)
}

fn spans_in_slots(side: &Side) -> Sample {
    spans_as(side, spsc::Layout::Slots)
}

/// Writes and reads where the values lie.
fn spans_in_place(side: &Side) -> Sample {
    let queue = span_queue(side, spsc::Layout::Dense);
    if side.is_first() {
        let mut producer = queue.producer().expect("an end");
        side.stream(SPAN, |from| {
            let mut room = producer.reserve(SPAN as usize).expect("a living peer");
            // SAFETY: both processes are this program, which writes only to what it reserved.
            let (here, there) = unsafe { room.as_mut_slices() }.expect("side by side");
            let mut next = from;
            for part in [here, there] {
                part.iter_mut().zip(next..).for_each(|(value, n)| *value = n);
                next += part.len() as u64;
            }
            room.commit();
        })
    } else {
        let mut consumer = queue.consumer().expect("an end");
        side.stream(SPAN, |from| {
            let mut next = from;
            while next < from + SPAN {
                let span = consumer.read((from + SPAN - next) as usize).expect("a living peer");
                // SAFETY: both processes are this program, which writes only to what it reserved.
                let (here, there) = unsafe { span.as_slices() }.expect("side by side");
                for part in [here, there] {
                    let wrong =
                        part.iter().zip(next..).fold(0, |bad, (value, n)| bad | (value ^ n));
                    assert!(wrong == 0, "what came is not what was sent, after {next}");
                    next += part.len() as u64;
                }
                span.release();
            }
        })
    }
}
