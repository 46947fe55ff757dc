//! `cargo bench --bench operations [-- NAME]`: single operations in one thread, to see that none has become
//! slower. Nothing goes from core to core here: for that there is the bench `goals`.
//!
//! The target is in `crates/rivals`, so that `cargo test` does not build criterion.
#![allow(missing_docs, reason = "a program")]

use criterion::{Criterion, criterion_group, criterion_main};
use ringlane::{Name, mpmc, record, spsc};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};
use std::time::{Duration, Instant};

/// Values that fit, and how many are put in or taken out at a stretch.
const CAPACITY: usize = 1024;
const STRETCH: u64 = 512;

/// Times `work` and not what makes room, or messages, for it: each is told how often.
fn stretches(times: u64, mut work: impl FnMut(u64), mut other: impl FnMut(u64)) -> Duration {
    let mut took = Duration::ZERO;
    let mut left = times;
    while left > 0 {
        let now = left.min(STRETCH);
        let start = Instant::now();
        work(now);
        took += start.elapsed();
        other(now);
        left -= now;
    }
    took
}

fn values<const N: usize>(c: &mut Criterion) {
    let queue = spsc::Queue::<[u64; N]>::private(CAPACITY).expect("a queue");
    let mut producer = queue.producer().expect("an end");
    let mut consumer = queue.consumer().expect("an end");
    let mut push = |times| (0..times).for_each(|n| producer.push([n; N]).expect("room"));
    let mut pop = |times| {
        for _ in 0..times {
            black_box(consumer.pop().expect("one"));
        }
    };
    c.bench_function(&format!("push {} B", 8 * N), |b| {
        b.iter_custom(|times| stretches(times, &mut push, &mut pop));
    });
    c.bench_function(&format!("pop {} B", 8 * N), |b| {
        b.iter_custom(|times| {
            push(times.min(STRETCH));
            let mut left = times - times.min(STRETCH);
            stretches(times, &mut pop, |_| {
                let now = left.min(STRETCH);
                push(now);
                left -= now;
            })
        });
    });
}

fn many(c: &mut Criterion) {
    let queue = mpmc::Queue::<u64>::private(CAPACITY).expect("a queue");
    let mut producer = queue.producer().expect("an end");
    let mut consumer = queue.consumer().expect("an end");
    let mut push = |times| (0..times).for_each(|n| producer.push(n).expect("room"));
    let mut pop = |times| {
        for _ in 0..times {
            black_box(consumer.pop().expect("one"));
        }
    };
    c.bench_function("mpmc push 8 B", |b| {
        b.iter_custom(|times| stretches(times, &mut push, &mut pop));
    });
    c.bench_function("mpmc pop 8 B", |b| {
        b.iter_custom(|times| {
            push(times.min(STRETCH));
            let mut left = times - times.min(STRETCH);
            stretches(times, &mut pop, |_| {
                let now = left.min(STRETCH);
                push(now);
                left -= now;
            })
        });
    });
}

/// From nothing to a ring with both ends, and to the other end of one that is there.
fn beginnings(c: &mut Criterion) {
    let name = format!("ringlane-operations-{}", std::process::id());
    let name = Name::new(&name).expect("a plain name");
    c.bench_function("create a ring and take its producer", |b| {
        b.iter(|| {
            let queue = spsc::Queue::<u64>::create(&name, CAPACITY).expect("a queue");
            queue.producer().expect("an end")
        });
    });
    let queue = spsc::Queue::<u64>::create(&name, CAPACITY).expect("a queue");
    c.bench_function("open a ring and take its consumer", |b| {
        b.iter(|| {
            let queue = spsc::Queue::<u64>::open(&name).expect("a queue");
            queue.consumer().expect("an end")
        });
    });
    drop(queue);
}

fn refusals(c: &mut Criterion) {
    let queue = spsc::Queue::<u64>::private(2).expect("a queue");
    let mut producer = queue.producer().expect("an end");
    let mut consumer = queue.consumer().expect("an end");
    c.bench_function("try_pop of an empty ring", |b| b.iter(|| consumer.try_pop().is_err()));
    (0..2).for_each(|n| producer.push(n).expect("room"));
    c.bench_function("try_push into a full ring", |b| {
        b.iter(|| producer.try_push(black_box(7)).is_err());
    });
}

fn records(c: &mut Criterion) {
    let queue = record::Queue::private(1 << 17).expect("a queue");
    let mut producer = queue.producer().expect("an end");
    let mut consumer = queue.consumer().expect("an end");
    let bytes = [7; 56];
    let mut push = |times| (0..times).for_each(|_| producer.push(black_box(&bytes)).expect("room"));
    let mut release = |times| (0..times).for_each(|_| consumer.read().expect("one").release());
    c.bench_function("record push 56 B", |b| {
        b.iter_custom(|times| stretches(times, &mut push, &mut release));
    });
    let mut to = [0; 56];
    let mut read = |times| {
        for _ in 0..times {
            let record = consumer.read().expect("one");
            record.read_at(0, black_box(&mut to));
            record.release();
        }
    };
    c.bench_function("record read 56 B", |b| {
        b.iter_custom(|times| {
            push(times.min(STRETCH));
            let mut left = times - times.min(STRETCH);
            stretches(times, &mut read, |_| {
                let now = left.min(STRETCH);
                push(now);
                left -= now;
            })
        });
    });
}

/// What a push has to do at least, and what looking for a sleeping peer adds.
fn wake_check(c: &mut Criterion) {
    let slots: Vec<[AtomicU64; 2]> = (0..CAPACITY).map(|_| Default::default()).collect();
    let asleep = AtomicU64::new(0);
    let store = |n: u64| {
        let [value, number] = &slots[n as usize % CAPACITY];
        value.store(n, Ordering::Relaxed);
        number.store(n + 1, Ordering::Release);
    };
    let asleep = black_box(&asleep);
    c.bench_function("bare slot", |b| {
        b.iter_custom(|times| stretches(times, |times| (0..times).for_each(store), |_| ()));
    });
    c.bench_function("bare slot and wake check", |b| {
        let checked = |n| {
            store(n);
            compiler_fence(Ordering::SeqCst);
            assert!(asleep.load(Ordering::Relaxed) & 1 == 0);
        };
        b.iter_custom(|times| stretches(times, |times| (0..times).for_each(checked), |_| ()));
    });
}

criterion_group! {
    name = operations;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = values::<1>, values::<7>, many, refusals, records, beginnings, wake_check
}
criterion_main!(operations);
