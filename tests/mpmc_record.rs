//! Records through rings for many: whole, in order, within the room there is, with both kinds of delivery.
#![cfg(not(loom))]

mod common;

use common::{page, scratch};
use proptest::prelude::*;
#[cfg(target_os = "linux")]
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use ringlane::mpmc::Delivery;
use ringlane::mpmc_record::{Consumer, Options, Producer, Queue};
use ringlane::{ErrorKind, Peer, PopError, ReserveError, Wait, inspect};
use std::collections::VecDeque;
use std::time::Duration;

/// So that 64 of them are a page.
fn block() -> usize {
    page() / 64
}

/// Where the slots begin: behind the places.
#[cfg(target_os = "linux")]
fn slots_at() -> u64 {
    (page() + 8192).next_multiple_of(page()) as u64
}

/// A queue of 64 blocks, as many as the longest record takes.
fn options(delivery: Delivery) -> Options {
    Queue::options().capacity(page()).longest(page()).delivery(delivery).clone()
}

/// A record that tells how long it is, and where it is torn.
fn record(number: u64, len: usize) -> Vec<u8> {
    let seed = (number << 20 | len as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let words = (0..len.div_ceil(8) as u64).flat_map(|n| (seed ^ n).to_ne_bytes());
    words.take(len).collect()
}

fn blocks(len: usize) -> usize {
    len.max(1).div_ceil(block())
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Push(usize, usize),
    /// Reserved, and less committed.
    Shorten(usize, usize),
    Abandon(usize, usize),
    Pop(usize),
    /// Taken and given back.
    Return(usize),
    NewProducer(usize),
    NewConsumer(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let end = 0..3_usize;
    let len = prop_oneof![0..200_usize, 0..=page(), Just(block()), Just(page())];
    let step = prop_oneof![
        8 => (end.clone(), len.clone()).prop_map(|(end, len)| Step::Push(end, len)),
        2 => (end.clone(), len.clone()).prop_map(|(end, len)| Step::Shorten(end, len)),
        1 => (end.clone(), len).prop_map(|(end, len)| Step::Abandon(end, len)),
        8 => end.clone().prop_map(Step::Pop),
        2 => end.clone().prop_map(Step::Return),
        1 => end.clone().prop_map(Step::NewProducer),
        1 => end.prop_map(Step::NewConsumer),
    ];
    prop::collection::vec(step, 1..300)
}

/// Blocks that are in use, and what is in them; `None` is nothing. What came back is marked.
type Held = (usize, Option<(Vec<u8>, bool)>);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Every mix of operations by three producers and three consumers does what a `VecDeque` does, wherever
    /// positions begin, with both kinds of delivery.
    #[test]
    fn it_is_a_deque_of_blocks(
        steps in steps(),
        start in prop_oneof![Just(0), Just(60), Just(u64::MAX - 5), any::<u64>()],
        delivery in prop_oneof![Just(Delivery::AtMostOnce), Just(Delivery::AtLeastOnce)],
    ) {
        let queue = options(delivery).start(start).private().unwrap();
        let mut producers: Vec<Producer> = vec![queue.producer().unwrap(), queue.producer().unwrap()];
        producers.push(producers[0].clone());
        let mut consumers: Vec<Consumer> = vec![queue.consumer().unwrap(), queue.consumer().unwrap()];
        consumers.push(consumers[0].clone());
        let mut model: VecDeque<Held> = VecDeque::new();
        let drop_skipped = |model: &mut VecDeque<Held>| {
            while matches!(model.front(), Some((_, None))) {
                model.pop_front();
            }
        };
        let mut next = 0;
        for step in steps {
            match step {
                Step::Push(end, len) | Step::Shorten(end, len) | Step::Abandon(end, len) => {
                    let needed = blocks(len);
                    let used: usize = model.iter().map(|(blocks, _)| *blocks).sum();
                    match producers[end].try_reserve(len) {
                        Ok(mut room) => {
                            // Gaps at the front need not have been passed by the consumers.
                            if used + needed > 64 {
                                drop_skipped(&mut model);
                            }
                            prop_assert_eq!(room.len(), len);
                            let short = if matches!(step, Step::Shorten(..)) { len / 3 } else { len };
                            let bytes = record(next, short);
                            room.write_at(0, &bytes);
                            let there = match step {
                                Step::Abandon(..) => {
                                    drop(room);
                                    None
                                }
                                _ => {
                                    room.commit_len(short);
                                    Some((bytes, false))
                                }
                            };
                            model.push_back((needed, there));
                            next += 1;
                            let used: usize = model.iter().map(|(blocks, _)| *blocks).sum();
                            prop_assert!(used <= 64);
                        }
                        Err(error) => {
                            prop_assert_eq!(error, ReserveError::Full);
                            prop_assert!(used + needed > 64);
                        }
                    }
                }
                Step::Pop(end) => {
                    drop_skipped(&mut model);
                    let wanted = model.pop_front().and_then(|(_, there)| there).map(|(bytes, _)| bytes);
                    prop_assert_eq!(consumers[end].try_pop(), wanted.ok_or(PopError::Empty));
                }
                Step::Return(end) => {
                    drop_skipped(&mut model);
                    let wanted = model.pop_front();
                    match consumers[end].try_take() {
                        Ok(taken) => {
                            let (used, there) = wanted.unwrap();
                            let (bytes, again) = there.unwrap();
                            prop_assert_eq!((taken.to_vec(), taken.is_again()), (bytes.clone(), again));
                            drop(taken);
                            if delivery == Delivery::AtLeastOnce {
                                model.push_front((used, Some((bytes, true))));
                            }
                        }
                        Err(error) => prop_assert_eq!((error, wanted), (PopError::Empty, None)),
                    };
                }
                Step::NewProducer(end) => producers[end] = queue.producer().unwrap(),
                Step::NewConsumer(end) => consumers[end] = queue.consumer().unwrap(),
            }
            let there = model.iter().filter(|(_, there)| there.is_some()).count();
            prop_assert_eq!(consumers[0].available(), there);
        }
    }
}

/// Records that tell where they come from, from several threads to several threads: all of them, once, and each
/// producer's in its order.
fn through(delivery: Delivery, sides: (u64, u64), each: u64, wait: Wait) {
    let queue = options(delivery).private().unwrap();
    let (tx, rx) = (queue.producer().unwrap(), queue.consumer().unwrap());
    let len = |n: u64| (n * 37 % 900) as usize + if n.is_multiple_of(97) { 3000 } else { 0 };
    let of = move |id: u64, n: u64| {
        let mut bytes = record(id << 32 | n, len(n));
        bytes.splice(0..0, [id, n].into_iter().flat_map(u64::to_ne_bytes));
        bytes
    };
    let producers: Vec<_> = (0..sides.0)
        .map(|id| {
            let mut tx = if id % 2 == 0 { tx.clone() } else { queue.producer().unwrap() };
            tx.set_wait(wait);
            std::thread::spawn(move || (0..each).for_each(|n| tx.push(&of(id, n)).unwrap()))
        })
        .collect();
    drop(tx);
    let consumers: Vec<_> = (0..sides.1)
        .map(|id| {
            let mut rx = if id % 2 == 0 { rx.clone() } else { queue.consumer().unwrap() };
            rx.set_wait(wait);
            std::thread::spawn(move || {
                let mut got = Vec::new();
                loop {
                    let popped = match got.len() % 2 {
                        0 => rx.pop(),
                        _ => rx.take().map(|taken| {
                            let bytes = taken.to_vec();
                            taken.acknowledge();
                            bytes
                        }),
                    };
                    match popped {
                        Ok(bytes) => {
                            let word =
                                |at| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
                            let (id, n) = (word(0), word(8));
                            assert!(bytes == of(id, n), "torn");
                            got.push((id, n));
                        }
                        Err(error) => {
                            assert_eq!(error, PopError::Closed);
                            return got;
                        }
                    }
                }
            })
        })
        .collect();
    drop(rx);
    producers.into_iter().for_each(|thread| thread.join().unwrap());
    let mut all = Vec::new();
    for consumer in consumers {
        let got = consumer.join().unwrap();
        for id in 0..sides.0 {
            let of_one = got.iter().filter(|(whose, _)| *whose == id);
            assert!(of_one.map(|(_, n)| *n).is_sorted(), "out of order");
        }
        all.extend(got);
    }
    all.sort_unstable();
    let wanted = (0..sides.0).flat_map(|id| (0..each).map(move |n| (id, n)));
    assert!(all.into_iter().eq(wanted), "lost or doubled");
}

#[test]
fn all_come_once_and_in_order() {
    for sides in [(1, 1), (2, 2), (3, 1), (1, 3)] {
        for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce] {
            for wait in [Wait::Yield, Wait::SpinThenPark, Wait::Park] {
                through(delivery, sides, 300, wait);
            }
        }
    }
}

#[test]
fn lengths_and_blocks_are_what_was_asked_for() {
    for (capacity, longest, block) in
        [(1, 0, 64), (4096, 4096, 64), (1 << 16, 4097, 128), (1000, 1 << 20, 1 << 14)]
    {
        let queue = Queue::options().capacity(capacity).longest(longest).private().unwrap();
        assert_eq!(queue.block(), block);
        assert!(queue.capacity() >= capacity && queue.max_len() >= longest);
        let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        for n in 0..5 {
            let bytes = record(n, queue.max_len());
            producer.push(&bytes).unwrap();
            assert!(consumer.pop().unwrap() == bytes);
        }
        let len = queue.max_len() + 1;
        let error = producer.reserve(len).unwrap_err();
        assert_eq!(error, ReserveError::TooLarge { len, max: len - 1 });
    }
    for (capacity, longest) in [(usize::MAX, 1), (1, usize::MAX), (usize::MAX / 4, 1)] {
        let error = Queue::options().capacity(capacity).longest(longest).private().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSize, "{capacity} {longest}");
    }
}

/// A producer that waits for many blocks is woken when they are there, though fewer were there before.
#[test]
fn a_long_record_waits_for_all_of_its_room() {
    for wait in [Wait::Yield, Wait::Park] {
        let queue = options(Delivery::AtMostOnce).private().unwrap();
        let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        producer.set_wait(wait);
        (0..64).for_each(|n| producer.push(&[n]).unwrap());
        let long = record(1, 40 * block());
        let thread = {
            let long = long.clone();
            std::thread::spawn(move || producer.push(&long))
        };
        (0..64).for_each(|n| assert_eq!(consumer.pop().unwrap(), [n]));
        assert!(consumer.pop().unwrap() == long);
        thread.join().unwrap().unwrap();
    }
}

#[test]
fn what_is_reserved_holds_up_those_behind_it_and_names_who() {
    let queue = options(Delivery::AtMostOnce).private().unwrap();
    let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    let mut other = queue.producer().unwrap();
    let mut room = producer.reserve(300).unwrap();
    other.push(b"second").unwrap();
    let stalled = Err(PopError::Stalled { pid: std::process::id() });
    assert_eq!(consumer.try_pop(), stalled);
    assert_eq!(consumer.pop_timeout(Duration::from_millis(1)), stalled);
    room.write_at(0, b"first");
    room.commit_len(5);
    assert_eq!(consumer.pop().unwrap(), b"first");
    assert_eq!(consumer.pop().unwrap(), b"second");
    // Forgotten, and given up with its place.
    std::mem::forget(producer.reserve(page() - block()).unwrap());
    other.push(b"third").unwrap();
    assert_eq!(consumer.try_pop(), stalled);
    drop(producer);
    assert_eq!(consumer.try_pop().unwrap(), b"third");
    other.push(&vec![7; page()]).unwrap();
    assert_eq!(consumer.pop().unwrap(), vec![7; page()]);
}

#[test]
fn what_is_taken_comes_again_unless_acknowledged() {
    let queue = options(Delivery::AtLeastOnce).private().unwrap();
    let (mut producer, mut one) = (queue.producer().unwrap(), queue.consumer().unwrap());
    let mut other = queue.consumer().unwrap();
    let (first, second) = (record(1, 30 * block()), record(2, 30 * block()));
    producer.push(&first).unwrap();
    producer.push(&second).unwrap();
    let taken = one.take().unwrap();
    other.take().unwrap().acknowledge();
    // Its blocks are in use until it is acknowledged.
    assert_eq!(producer.try_push(&record(3, 30 * block())), Err(ReserveError::Full));
    assert!(taken.to_vec() == first);
    std::mem::forget(taken);
    drop(one);
    let taken = other.take().unwrap();
    assert!(taken.is_again() && taken.to_vec() == first);
    taken.acknowledge();
    producer.push(&record(3, page())).unwrap();
    assert!(other.pop().unwrap() == record(3, page()));
    drop(producer);
    assert_eq!((other.pop(), other.peer()), (Err(PopError::Closed), Peer::Closed));
}

#[test]
fn an_onlooker_sees_records_and_bytes() {
    let name = scratch();
    let queue = options(Delivery::AtLeastOnce).create(&name).unwrap();
    let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    for len in [10, block(), block() + 1, 1000 * block() / 64] {
        producer.push(&record(0, len)).unwrap();
    }
    consumer.pop().unwrap();
    let report = inspect::report(&name).unwrap();
    assert_eq!((report.kind.as_str(), report.at_least_once), ("mpmc-record", true));
    assert_eq!(
        (report.capacity, report.depth, report.used),
        (page() as u64, 3, 19 * block() as u64)
    );
    assert_eq!((report.popped, report.pushed), (1, 20));
    std::mem::forget(producer.reserve(3 * block() + 8).unwrap());
    drop(producer);
    while consumer.try_pop().is_ok() {}
    let report = inspect::report(&name).unwrap();
    assert_eq!((report.participants[0].skipped, report.depth), (4, 0));
}

#[test]
fn other_rings_are_refused() {
    let name = scratch();
    let queue = Queue::create(&name, 1 << 16).unwrap();
    let kinds = [
        ringlane::mpmc::Queue::<u64>::open(&name).unwrap_err().kind(),
        ringlane::record::Queue::open(&name).unwrap_err().kind(),
        Queue::options().tag("other").open(&name).unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::Incompatible; 3]);
    drop(queue);
    let _values = ringlane::mpmc::Queue::<u64>::create(&name, 64).unwrap();
    assert_eq!(Queue::open(&name).unwrap_err().kind(), ErrorKind::Incompatible);
}

/// Words and bytes that another process scribbles over make no call panic, hang or reach outside. What comes out
/// then is anybody's guess.
#[test]
#[cfg(target_os = "linux")]
fn scribbled_words_harm_nobody() {
    use std::os::unix::fs::FileExt;
    let seed = std::process::id().into();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce] {
        let name = scratch();
        let queue = options(delivery).create(&name).unwrap();
        let file = std::fs::File::options().write(true).open(format!("/dev/shm/{name}")).unwrap();
        let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        let mut corrupt = 0;
        for round in 0..80_u64 {
            // The words of all, the first two places, the slots: lengths and words.
            let at = match random.random_range(0..4) {
                0 => 1024 + 128 * random.random_range(0..6),
                1 => page() as u64 + 8 * random.random_range(0..16),
                _ => slots_at() + 8 * random.random_range(0..128),
            };
            let turn = random.random_range(0..4_u64) << 23;
            let word = match random.random_range(0..4) {
                0 => turn | random.random_range(0..1 << 23),
                1 => random.random(),
                2 => random.random_range(0..5000),
                _ => u64::MAX - random.random_range(0..3),
            };
            file.write_all_at(&word.to_ne_bytes(), at).unwrap();
            let _ = producer.try_push(&[1; 100]);
            let _ = producer.try_push(&vec![2; page()]);
            drop(producer.try_reserve(1000));
            corrupt += u32::from(consumer.try_pop() == Err(PopError::Corrupt));
            if let Ok(taken) = consumer.try_take() {
                let _ = taken.to_vec();
            }
            let _ = (consumer.available(), consumer.peer(), producer.peer());
            let _ = inspect::report(&name);
            if round % 15 == 0 {
                let _ = consumer.pop_timeout(Duration::from_millis(1));
                let _ = producer.push_timeout(&[1; 700], Duration::from_millis(1));
            }
        }
        println!("{corrupt} said to be corrupt");
    }
}

/// A length that cannot be is said to be so, its blocks come back, and what follows is whole.
#[test]
#[cfg(target_os = "linux")]
fn a_length_that_cannot_be_is_passed_over() {
    use std::os::unix::fs::FileExt;
    for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce] {
        let name = scratch();
        let queue = options(delivery).create(&name).unwrap();
        let file = std::fs::File::options().write(true).open(format!("/dev/shm/{name}")).unwrap();
        let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        producer.push(&vec![1; 2 * block()]).unwrap();
        producer.push(b"whole").unwrap();
        // Two blocks were claimed.
        let len = 2 * block() as u64 + 1;
        file.write_all_at(&len.to_ne_bytes(), slots_at()).unwrap();
        assert_eq!(consumer.try_pop(), Err(PopError::Corrupt));
        assert_eq!(consumer.try_pop().unwrap(), b"whole");
        producer.push(&vec![2; page()]).unwrap();
        assert_eq!(consumer.try_pop().unwrap(), vec![2; page()]);
    }
}
