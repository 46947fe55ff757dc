//! Round trips of one value, through two rings and back, over a bare ping-pong on two lines.

use super::crew::{Message, child_pair};
use ringlane::{Name, Wait, mpmc, spsc};
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::time::{Duration, Instant};

const TRIPS: u64 = 100_000;

#[repr(align(128))]
struct Line(AtomicU64);

/// Two lines, and how long it took.
pub(crate) struct Lines {
    there: Line,
    back: Line,
    took: AtomicU64,
}

fn time(lines: &Lines, mut trip: impl FnMut(u64)) {
    (1..=TRIPS / 10).for_each(&mut trip);
    let begun = Instant::now();
    (TRIPS / 10 + 1..=TRIPS).for_each(&mut trip);
    lines.took.store(begun.elapsed().as_nanos() as u64, SeqCst);
}

fn took(lines: &Lines) -> f64 {
    Duration::from_nanos(lines.took.load(SeqCst)).as_nanos() as f64 / (TRIPS - TRIPS / 10) as f64
}

pub(crate) fn floor() -> f64 {
    child_pair(
        |lines: &Lines| {
            time(lines, |n| {
                lines.there.0.store(n, Release);
                while lines.back.0.load(Acquire) != n {}
            });
        },
        |lines| {
            for n in 1..=TRIPS {
                while lines.there.0.load(Acquire) != n {}
                lines.back.0.store(n, Release);
            }
        },
        took,
    )
}

fn names() -> [Name; 2] {
    ["there", "back"].map(|way| {
        Name::new(&format!("ringlane-bench-trip-{way}-{}", std::process::id())).expect("a name")
    })
}

/// Both kinds of ring have the same verbs, and no type in common.
macro_rules! trips {
    ($name:ident, $kind:ident) => {
        pub(crate) fn $name<const W: usize>() -> f64 {
            let names = names();
            let rings = names
                .clone()
                .map(|name| $kind::Queue::<Message<W>>::create(&name, 64).expect("new"));
            let open = |way: usize| $kind::Queue::<Message<W>>::open(&names[way]).expect("open");
            let took = child_pair(
                |lines| {
                    let (mut tx, mut rx) =
                        (open(0).producer().expect("tx"), open(1).consumer().expect("rx"));
                    rx.set_wait(Wait::Spin);
                    time(lines, |n| {
                        tx.push([n; W]).expect("push");
                        assert_eq!(rx.pop().expect("pop"), [n; W]);
                    });
                },
                |_| {
                    let (mut tx, mut rx) =
                        (open(1).producer().expect("tx"), open(0).consumer().expect("rx"));
                    rx.set_wait(Wait::Spin);
                    for _ in 0..TRIPS {
                        tx.push(rx.pop().expect("pop")).expect("push");
                    }
                },
                took,
            );
            drop(rings);
            took
        }
    };
}

trips!(many, mpmc);
trips!(pair, spsc);
