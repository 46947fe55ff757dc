//! Values through `ringlane::spsc`.

use crate::payload::{check_words, words};
use crate::row::Row;
use crate::side::{Sample, Side};
use ringlane::{Wait, spsc};

/// The rows of values.
pub const ROWS: &[Row] = &[
    Row::trip("spsc round trip 8 B", 8, 300_000, trip::<1>),
    Row::trip("spsc round trip 56 B", 56, 300_000, trip::<7>),
    Row::trip("spsc round trip 8 B, both asleep", 8, 4_000, sleeping_trip),
    Row::one_way("spsc one way 8 B", 8, 20_000_000, one_way::<1>),
    Row::one_way("spsc one way 8 B, spinning only", 8, 20_000_000, one_way_spin).note("Wait::Spin"),
    Row::one_way("spsc one way 8 B, spans of 64", 8, 20_000_000, spans).note("single calls as yet"),
    Row::one_way("spsc one way 56 B", 56, 4_000_000, one_way::<7>),
    Row::one_way("spsc one way 1 KiB", 1024, 800_000, one_way::<128>),
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

fn trips<const N: usize>(side: &Side, wait: Wait) -> Sample {
    let (_queues, (mut producer, mut consumer)) = pair::<N>(side);
    producer.set_wait(wait);
    consumer.set_wait(wait);
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

fn trip<const N: usize>(side: &Side) -> Sample {
    trips::<N>(side, Wait::default())
}

fn sleeping_trip(side: &Side) -> Sample {
    trips::<1>(side, Wait::Park)
}

/// One queue of about 64 KiB of slots, within the second-level cache of either core.
fn line<const N: usize>(side: &Side) -> spsc::Queue<[u64; N]> {
    queue(side, "line", (1 << 16) / (8 * N + 8).next_power_of_two())
}

fn one_way_as<const N: usize>(side: &Side, wait: Wait) -> Sample {
    let queue = line::<N>(side);
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
    one_way_as::<N>(side, Wait::default())
}

fn one_way_spin(side: &Side) -> Sample {
    one_way_as::<1>(side, Wait::Spin)
}

const SPAN: u64 = 64;

/// To be `reserve(64)` and `read(64)`.
fn spans(side: &Side) -> Sample {
    let queue = line::<1>(side);
    if side.is_first() {
        let mut producer = queue.producer().expect("an end");
        side.stream(SPAN, |from| {
            for n in from..from + SPAN {
                producer.push(words(n)).expect("a living peer");
            }
        })
    } else {
        let mut consumer = queue.consumer().expect("an end");
        side.stream(SPAN, |from| {
            for n in from..from + SPAN {
                check_words(&consumer.pop().expect("a living peer"), n);
            }
        })
    }
}
