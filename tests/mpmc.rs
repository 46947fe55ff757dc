//! Values through rings for many: order, limits, ends coming and going, both kinds of delivery.
#![cfg(not(loom))]

mod common;

use common::{page, slots_of_many, until};
use proptest::prelude::*;
use ringlane::mpmc::{Consumer, Delivery, Producer, Queue};
use ringlane::{ErrorKind, Name, Peer, PopError, PushError, SharedMemory, Wait};
use std::collections::VecDeque;
use std::time::Duration;

fn name(test: &str) -> Name {
    Name::new(&format!("ringlane-test-{}-mpmc-{test}", std::process::id())).unwrap()
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Push(usize),
    PushSlice(usize, usize),
    Abandon(usize),
    Pop(usize),
    PopSlice(usize, usize),
    /// Taken and given back.
    Return(usize),
    NewProducer(usize),
    NewConsumer(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let end = 0..3_usize;
    let step = prop_oneof![
        8 => end.clone().prop_map(Step::Push),
        4 => (end.clone(), 0..9_usize).prop_map(|(end, len)| Step::PushSlice(end, len)),
        1 => end.clone().prop_map(Step::Abandon),
        8 => end.clone().prop_map(Step::Pop),
        4 => (end.clone(), 0..9_usize).prop_map(|(end, len)| Step::PopSlice(end, len)),
        2 => end.clone().prop_map(Step::Return),
        1 => end.clone().prop_map(Step::NewProducer),
        1 => end.prop_map(Step::NewConsumer),
    ];
    prop::collection::vec(step, 1..300)
}

proptest! {
    /// Every mix of operations by three producers and three consumers does what a `VecDeque` does, at every
    /// capacity, wherever positions begin, with both kinds of delivery.
    #[test]
    fn it_is_a_bounded_deque(
        steps in steps(),
        log in 0_u32..5,
        start in prop_oneof![Just(0), Just((1_u64 << 32) - 5), Just(u64::MAX - 5), any::<u64>()],
        delivery in prop_oneof![Just(Delivery::AtMostOnce), Just(Delivery::AtLeastOnce)],
        alone in 0..150_usize,
    ) {
        let capacity = 1 << log;
        let queue = Queue::<u64>::options()
            .capacity(capacity).start(start).delivery(delivery).private().unwrap();
        // Two participants and one clone on each side; but first one producer is alone.
        let mut producers: Vec<Producer<u64>> = vec![queue.producer().unwrap()];
        let mut consumers: Vec<Consumer<u64>> = vec![queue.consumer().unwrap(), queue.consumer().unwrap()];
        consumers.push(consumers[0].clone());
        // What is there; `None` takes up a slot and is nothing. What came back is in front, marked.
        let mut model: VecDeque<Option<(u64, bool)>> = VecDeque::new();
        let mut next = 0;
        let drop_skipped = |model: &mut VecDeque<Option<(u64, bool)>>| {
            while model.front() == Some(&None) {
                model.pop_front();
            }
        };
        for (index, step) in steps.into_iter().enumerate() {
            if index == alone {
                producers.push(queue.producer().unwrap());
                producers.push(producers[0].clone());
            }
            let last = producers.len() - 1;
            match step {
                Step::Push(end) => {
                    match producers[end.min(last)].try_push(next) {
                        Ok(()) => {
                            // Gaps at the front need not have been passed by the consumers.
                            if model.len() == capacity {
                                drop_skipped(&mut model);
                            }
                            prop_assert!(model.len() < capacity);
                            model.push_back(Some((next, false)));
                            next += 1;
                        }
                        Err(error) => {
                            prop_assert_eq!(error, PushError::Full(next));
                            prop_assert_eq!(model.len(), capacity);
                        }
                    }
                }
                Step::PushSlice(end, len) => {
                    let values: Vec<u64> = (next..next + len as u64).collect();
                    let room = capacity - model.len();
                    let pushed = producers[end.min(last)].try_push_slice(&values);
                    match (len, room) {
                        (0, _) => prop_assert_eq!(pushed, Ok(0)),
                        (_, 0) if pushed.is_err() => {
                            prop_assert_eq!(pushed, Err(PushError::Full(())));
                        }
                        _ => {
                            let count = pushed.unwrap();
                            // Room that a producer has not heard of yet it need not use; one slot it finds.
                            prop_assert!(count >= 1 && count <= len);
                            if room < count {
                                drop_skipped(&mut model);
                            }
                            model.extend(values[..count].iter().map(|value| Some((*value, false))));
                            prop_assert!(model.len() <= capacity);
                            next += count as u64;
                        }
                    }
                }
                Step::Abandon(end) => match producers[end.min(last)].try_reserve() {
                    Ok(room) => {
                        drop(room);
                        if model.len() == capacity {
                            drop_skipped(&mut model);
                        }
                        model.push_back(None);
                        prop_assert!(model.len() <= capacity);
                    }
                    Err(error) => {
                        prop_assert!(error.is_full() && model.len() == capacity);
                    }
                },
                Step::Pop(end) => {
                    drop_skipped(&mut model);
                    let popped = model.pop_front().flatten().map(|(value, _)| value);
                    prop_assert_eq!(consumers[end].try_pop(), popped.ok_or(PopError::Empty));
                }
                Step::PopSlice(end, len) => {
                    let mut out = vec![0; len];
                    let popped = consumers[end].try_pop_slice(&mut out);
                    if len == 0 {
                        prop_assert_eq!(popped, Ok(0));
                        continue;
                    }
                    drop_skipped(&mut model);
                    match popped {
                        Ok(count) => {
                            prop_assert!(count >= 1);
                            for value in &out[..count] {
                                let wanted = model.pop_front().flatten();
                                prop_assert_eq!(Some(*value), wanted.map(|(value, _)| value));
                            }
                            // It stops where there is nothing, or nothing but a gap.
                            let more = matches!(model.front(), Some(Some(_)));
                            prop_assert!(delivery == Delivery::AtLeastOnce || count == len || !more);
                        }
                        Err(error) => {
                            prop_assert_eq!(error, PopError::Empty);
                            prop_assert!(model.is_empty());
                        }
                    }
                }
                Step::Return(end) => {
                    drop_skipped(&mut model);
                    let wanted = model.pop_front().flatten();
                    match consumers[end].try_take() {
                        Ok(taken) => {
                            prop_assert_eq!(Some((*taken, taken.is_again())), wanted);
                            drop(taken);
                            if delivery == Delivery::AtLeastOnce {
                                model.push_front(Some((wanted.unwrap().0, true)));
                            }
                        }
                        Err(error) => prop_assert_eq!((error, wanted), (PopError::Empty, None)),
                    };
                }
                Step::NewProducer(_) if last == 0 => {
                    producers.clear();
                    producers.push(queue.producer().unwrap());
                }
                Step::NewProducer(end) => producers[end] = queue.producer().unwrap(),
                Step::NewConsumer(end) => consumers[end] = queue.consumer().unwrap(),
            }
            let there = model.iter().flatten().count();
            prop_assert_eq!(consumers[0].available(), there);
        }
    }
}

/// Who comes, or is a clone, while another one writes without claims, gets no slot of its, and none is lost.
#[test]
fn producers_come_to_one_that_is_alone() {
    for _ in 0..200 {
        let queue = Queue::<[u64; 7]>::private(8).unwrap();
        let mut consumer = queue.consumer().unwrap();
        let mut alone = queue.producer().unwrap();
        const MANY: u64 = 200;
        std::thread::scope(|scope| {
            scope.spawn(|| (0..MANY).for_each(|n| alone.push([n; 7]).unwrap()));
            for whose in 1..3 {
                let queue = &queue;
                scope.spawn(move || {
                    let mut newcomer = queue.producer().unwrap();
                    let mut clone = newcomer.clone();
                    for n in 0..MANY / 2 {
                        newcomer.push([(whose << 32) | (2 * n); 7]).unwrap();
                        clone.push([(whose << 32) | (2 * n + 1); 7]).unwrap();
                    }
                });
            }
            let mut seen = [0; 3];
            for _ in 0..3 * MANY {
                let value = consumer.pop_timeout(Duration::from_secs(60)).unwrap();
                assert_eq!(value, [value[0]; 7], "torn");
                let of = &mut seen[(value[0] >> 32) as usize];
                assert_eq!(value[0] << 32 >> 32, *of, "lost, doubled or out of order");
                *of += 1;
            }
        });
        assert_eq!(consumer.try_pop(), Err(PopError::Empty), "the first one is still there");
    }
}

/// Values that tell where they come from, from several threads to several threads: all of them, once, and
/// each producer's in its order.
fn through(
    delivery: Delivery,
    capacity: usize,
    producers: u64,
    consumers: u64,
    each: u64,
    wait: Wait,
) {
    let queue =
        Queue::<[u64; 3]>::options().capacity(capacity).delivery(delivery).private().unwrap();
    let (tx, rx) = (queue.producer().unwrap(), queue.consumer().unwrap());
    let mut threads = Vec::new();
    for id in 0..producers {
        let mut tx = if id % 2 == 0 { tx.clone() } else { queue.producer().unwrap() };
        tx.set_wait(wait);
        threads.push(std::thread::spawn(move || {
            let mut next = 0;
            while next < each {
                if next % 7 == 0 {
                    let run: Vec<[u64; 3]> =
                        (next..each.min(next + 5)).map(|n| [id, n, id ^ n]).collect();
                    tx.push_slice(&run).unwrap();
                    next += run.len() as u64;
                } else {
                    tx.push([id, next, id ^ next]).unwrap();
                    next += 1;
                }
            }
        }));
    }
    drop(tx);
    let mut takers = Vec::new();
    for id in 0..consumers {
        let mut rx = if id % 2 == 0 { rx.clone() } else { queue.consumer().unwrap() };
        rx.set_wait(wait);
        takers.push(std::thread::spawn(move || {
            let mut got = Vec::new();
            let mut out = [[0; 3]; 4];
            loop {
                let popped = match got.len() % 3 {
                    0 => rx.pop_slice(&mut out),
                    1 => rx.take().map(|taken| {
                        out[0] = taken.acknowledge();
                        1
                    }),
                    _ => rx.pop().map(|value| {
                        out[0] = value;
                        1
                    }),
                };
                match popped {
                    Ok(count) => got.extend_from_slice(&out[..count]),
                    Err(error) => {
                        assert_eq!(error, PopError::Closed);
                        return got;
                    }
                }
            }
        }));
    }
    drop(rx);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let mut counts = vec![vec![false; each as usize]; producers as usize];
    for taker in takers {
        let got = taker.join().unwrap();
        let mut last = vec![None; producers as usize];
        for [id, n, check] in got {
            assert_eq!(check, id ^ n, "torn");
            assert!(last[id as usize] < Some(n), "{id}: {n} after {:?}", last[id as usize]);
            last[id as usize] = Some(n);
            assert!(!std::mem::replace(&mut counts[id as usize][n as usize], true), "twice");
        }
    }
    assert!(counts.iter().flatten().all(|seen| *seen), "lost");
}

#[test]
fn all_come_once_and_in_order() {
    for (capacity, producers, consumers) in
        [(1, 2, 2), (2, 3, 2), (4, 1, 3), (64, 3, 1), (1024, 4, 4)]
    {
        for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce] {
            for wait in [Wait::Yield, Wait::SpinThenPark, Wait::Park] {
                through(delivery, capacity, producers, consumers, 3000, wait);
            }
        }
    }
}

/// Values of every size class go through whole.
#[test]
fn values_of_every_size_are_whole() {
    fn through<T: ringlane::Plain + PartialEq + std::fmt::Debug>(values: &[T]) {
        let queue = Queue::<T>::private(4).unwrap();
        let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        for value in values.iter().chain(values).chain(values) {
            producer.push(*value).unwrap();
            assert_eq!(consumer.pop().unwrap(), *value);
        }
    }
    through(&[1_u8, 2, 255]);
    through(&[u32::MAX, 7]);
    through(&[[7_u64; 7], [8; 7]]);
    through(&[[3_u8; 255], [4; 255]]);
    through(&[[9_u64; 512], std::array::from_fn(|i| i as u64)]);
    through(&[(), ()].map(|()| [0_u8; 0]));
}

#[test]
fn at_least_sixty_four_take_part_and_no_more_than_fit() {
    let queue = Queue::<u64>::private(256).unwrap();
    let mut producers: Vec<_> = (0..64).map(|_| queue.producer().unwrap()).collect();
    let mut consumers: Vec<_> = (0..64).map(|_| queue.consumer().unwrap()).collect();
    for (n, producer) in (0..).zip(&mut producers) {
        producer.push(n).unwrap();
    }
    for (n, consumer) in (0..).zip(&mut consumers) {
        assert_eq!(consumer.pop(), Ok(n));
    }
    assert_eq!(queue.consumer().unwrap_err().kind(), ErrorKind::LimitReached);
    assert_eq!(queue.producer().unwrap_err().kind(), ErrorKind::LimitReached);
    drop(producers.pop());
    queue.consumer().unwrap();
}

#[test]
fn a_place_is_taken_more_often_than_a_word_can_tell() {
    let queue = Queue::<u64>::private(4).unwrap();
    let mut consumer = queue.consumer().unwrap();
    for n in 0..600 {
        queue.producer().unwrap().push(n).unwrap();
        assert_eq!(consumer.pop(), Ok(n));
    }
}

#[test]
fn closing_is_told_when_the_last_has_closed() {
    let queue = Queue::<u64>::private(4).unwrap();
    let (mut one, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    let mut clone = one.clone();
    let mut other = queue.producer().unwrap();
    one.push(1).unwrap();
    drop(one);
    assert_eq!(consumer.pop(), Ok(1));
    assert_eq!(consumer.try_pop(), Err(PopError::Empty));
    clone.push(2).unwrap();
    drop(clone);
    other.push(3).unwrap();
    assert_eq!(consumer.peer(), Peer::Alive);
    drop(other);
    assert_eq!((consumer.pop(), consumer.pop()), (Ok(2), Ok(3)));
    assert_eq!(consumer.pop(), Err(PopError::Closed));
    assert_eq!(consumer.peer(), Peer::Closed);
    // Somebody comes again.
    let mut late = queue.producer().unwrap();
    assert_eq!(consumer.try_pop(), Err(PopError::Empty));
    late.push(4).unwrap();
    assert_eq!(consumer.pop(), Ok(4));
    drop(consumer);
    assert!(matches!(late.push(5), Err(PushError::Closed(5))));
    let _back = queue.consumer().unwrap();
    late.push(6).unwrap();
}

/// Whoever comes after the close, and whatever place it takes.
#[test]
fn a_close_is_told_to_those_who_come_after_it() {
    let queue = Queue::<u64>::private(4).unwrap();
    queue.producer().unwrap().push(1).unwrap();
    let mut late = queue.consumer().unwrap();
    assert_eq!((late.pop(), late.peer()), (Ok(1), Peer::Closed));
    assert_eq!(late.pop_timeout(Duration::from_secs(60)), Err(PopError::Closed));
    let mut later = queue.consumer().unwrap();
    assert_eq!(later.pop_timeout(Duration::from_secs(60)), Err(PopError::Closed));
    drop((late, later));
    let mut producer = queue.producer().unwrap();
    assert_eq!(producer.peer(), Peer::Closed);
    assert!(matches!(producer.push(2), Err(PushError::Closed(2))));
    // Where a side has all places but one, that one stays the memory of the other.
    drop(producer);
    let mut consumers: Vec<_> = (0..127).map(|_| queue.consumer().unwrap()).collect();
    assert_eq!(queue.consumer().unwrap_err().kind(), ErrorKind::LimitReached);
    assert_eq!(consumers[126].pop_timeout(Duration::from_secs(60)), Err(PopError::Closed));
    let _last = queue.producer().unwrap();
    assert_eq!(consumers[0].peer(), Peer::Alive);
}

#[test]
fn a_sleeper_wakes_for_a_close() {
    let queue = Queue::<u64>::private(4).unwrap();
    let (producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    consumer.set_wait(Wait::Park);
    let sleeper = std::thread::spawn(move || consumer.pop());
    drop(producer);
    assert_eq!(sleeper.join().unwrap(), Err(PopError::Closed));
}

#[test]
fn what_is_reserved_holds_up_those_behind_it_and_names_who() {
    let queue = Queue::<u64>::private(4).unwrap();
    let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    let mut other = queue.producer().unwrap();
    let room = producer.try_reserve().unwrap();
    other.push(2).unwrap();
    let stalled = Err(PopError::Stalled { pid: std::process::id() });
    assert_eq!(consumer.try_pop(), stalled);
    assert_eq!(consumer.pop_timeout(Duration::from_millis(1)), stalled);
    room.commit(1);
    assert_eq!((consumer.pop(), consumer.pop()), (Ok(1), Ok(2)));
}

/// A producer that finds no room can ask why.
#[test]
fn producers_learn_who_is_in_the_way() {
    for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce] {
        let queue = Queue::<u64>::options().capacity(2).delivery(delivery).private().unwrap();
        let (mut one, mut other) = (queue.producer().unwrap(), queue.producer().unwrap());
        let mut consumer = queue.consumer().unwrap();
        let room = one.try_reserve().unwrap();
        other.push(2).unwrap();
        assert!(other.try_push(3).unwrap_err().is_full());
        assert_eq!(other.held_by(), Some(std::process::id()));
        room.commit(1);
        assert_eq!(other.held_by(), None);
        let taken = consumer.take().unwrap();
        let holds = delivery == Delivery::AtLeastOnce;
        assert_eq!(other.held_by(), holds.then(std::process::id));
        taken.acknowledge();
        assert_eq!((consumer.pop(), other.held_by()), (Ok(2), None));
        // What somebody left is given up on the way.
        std::mem::forget(one.try_reserve().unwrap());
        drop(one);
        assert_eq!(other.held_by(), None);
        other.push(3).unwrap();
        assert_eq!(consumer.pop(), Ok(3));
    }
}

/// A claim that its process forgot is given up when the process closes its place.
#[test]
fn what_was_forgotten_is_skipped_after_the_close() {
    let queue = Queue::<u64>::private(4).unwrap();
    let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    let mut other = queue.producer().unwrap();
    std::mem::forget(producer.try_reserve().unwrap());
    other.push(2).unwrap();
    assert!(matches!(consumer.try_pop(), Err(PopError::Stalled { .. })));
    drop(producer);
    assert_eq!(consumer.try_pop(), Ok(2));
}

/// However much somebody says that the dead left, one call does a bounded part of it, and says no more of the ring than
/// it knows by then.
#[test]
fn what_the_dead_left_is_passed_in_parts() {
    const MANY: usize = 4096;
    for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce] {
        let name = name("left");
        let mut options = Queue::<u64>::options();
        let queue = options.capacity(2 * MANY).delivery(delivery).create(&name).unwrap();
        let mut consumer = queue.consumer().unwrap();
        drop(queue.producer().unwrap());
        let bytes = SharedMemory::open(&name).unwrap().map().unwrap();
        let slots = slots_of_many();
        for slot in 0..MANY {
            // Claimed, by a holder of the second place that there never was.
            let word = 1_u64 << 23 | 77 << 9 | 1 << 2 | 1;
            bytes.write_at(slots + 16 * slot + 8, &word.to_ne_bytes()).unwrap();
        }
        queue.producer().unwrap().push(1).unwrap();
        let skipped = || ringlane::inspect::report(&name).unwrap().participants[1].skipped as usize;
        let mut calls = 0;
        let value = loop {
            let before = skipped();
            calls += 1;
            match consumer.try_pop() {
                Err(PopError::Empty) => assert_ne!(skipped(), before, "after {calls} calls"),
                popped => break popped,
            }
        };
        assert!(calls > 1, "all of it in one call");
        assert_eq!((value, skipped()), (Ok(1), MANY));
        assert_eq!(consumer.try_pop(), Err(PopError::Closed));
    }
}

/// However many were taken behind it.
#[test]
fn what_the_gone_held_comes_again_in_a_long_ring() {
    const LONG: u64 = 1 << 16;
    let mut options = Queue::<u64>::options();
    let options = options.capacity(LONG as usize).delivery(Delivery::AtLeastOnce);
    let queue = options.private().unwrap();
    let mut producer = queue.producer().unwrap();
    let (mut gone, mut consumer) = (queue.consumer().unwrap(), queue.consumer().unwrap());
    (0..LONG).for_each(|n| producer.try_push(n).unwrap());
    std::mem::forget(gone.try_take().unwrap());
    drop(gone);
    (1..LONG).for_each(|n| assert_eq!(consumer.try_pop(), Ok(n)));
    let again = consumer.try_take().unwrap();
    assert!(again.is_again());
    again.acknowledge();
    assert!(producer.try_push(LONG).is_ok());
}

/// What was claimed and not filled is in nobody's way, and known to be there, however much is held before it.
#[test]
fn a_claim_is_seen_behind_what_is_held() {
    let mut options = Queue::<[u64; 7]>::options();
    let queue = options.capacity(4096).delivery(Delivery::AtLeastOnce).private().unwrap();
    let (mut producer, mut other) = (queue.producer().unwrap(), queue.producer().unwrap());
    let (mut holder, mut consumer) = (queue.consumer().unwrap(), queue.consumer().unwrap());
    (0..2000).for_each(|n| producer.try_push([n; 7]).unwrap());
    let held = holder.try_take().unwrap();
    (1..2000).for_each(|n| assert_eq!(consumer.try_pop(), Ok([n; 7])));
    std::mem::forget(other.try_reserve().unwrap());
    producer.try_push([99; 7]).unwrap();
    assert!(matches!(consumer.try_pop(), Err(PopError::Stalled { .. })));
    drop(other);
    assert_eq!(consumer.try_pop(), Ok([99; 7]));
    assert_eq!(held[0], 0);
}

#[test]
fn what_is_taken_comes_again_unless_acknowledged() {
    let queue =
        Queue::<u64>::options().capacity(4).delivery(Delivery::AtLeastOnce).private().unwrap();
    let (mut producer, mut one) = (queue.producer().unwrap(), queue.consumer().unwrap());
    let mut other = queue.consumer().unwrap();
    producer.push_slice(&[1, 2, 3]).unwrap();
    let taken = one.take().unwrap();
    assert_eq!(other.take().unwrap().acknowledge(), 2);
    drop(taken);
    let taken = other.take().unwrap();
    assert_eq!((*taken, taken.is_again()), (1, true));
    // Its slot is in use until then.
    producer.push_slice(&[4]).unwrap();
    assert_eq!(producer.try_push(5), Err(PushError::Full(5)));
    taken.acknowledge();
    producer.push_slice(&[5, 6]).unwrap();
    for n in 3..7 {
        assert_eq!(one.pop(), Ok(n));
    }
    // Forgotten, and its place closed: it comes again.
    producer.push(7).unwrap();
    std::mem::forget(one.take().unwrap());
    assert_eq!(other.try_pop(), Err(PopError::Empty));
    drop(one);
    assert!(other.take().unwrap().is_again());
}

#[test]
fn other_rings_are_refused() {
    let name = name("kind");
    let queue = Queue::<u64>::create(&name, 8).unwrap();
    let spsc = ringlane::spsc::Queue::<u64>::open(&name).unwrap_err();
    assert_eq!(spsc.kind(), ErrorKind::Incompatible);
    assert_eq!(Queue::<u32>::open(&name).unwrap_err().kind(), ErrorKind::Incompatible);
    // Delivery is the creator's.
    let opened = Queue::<u64>::options().delivery(Delivery::AtLeastOnce).open(&name).unwrap();
    assert_eq!(opened.delivery(), Delivery::AtMostOnce);
    drop(queue);
    assert_eq!(
        Queue::<u64>::options().capacity(3).private().unwrap_err().kind(),
        ErrorKind::InvalidSize
    );
}

/// The words beside the slots take up less than 32 KiB, with places for 128, or three pages where those are large.
#[test]
fn it_takes_little_beside_its_slots() {
    let name = name("size");
    let _queue = Queue::<u64>::create(&name, 1024).unwrap();
    let size = SharedMemory::open(&name).unwrap().size().unwrap();
    let few = (32 << 10).max(3 * page() as u64);
    assert!(size - 1024 * 16 <= few, "{size} bytes");
}

/// Words that another process scribbles over make no call panic, hang or reach outside. What comes out then is
/// anybody's guess.
#[test]
fn scribbled_words_harm_nobody() {
    use rand::{RngExt, SeedableRng, rngs::SmallRng};
    let seed = std::process::id().into();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce] {
        let name = name("scribbled");
        let queue = Queue::<u64>::options().capacity(8).delivery(delivery).create(&name).unwrap();
        let bytes = SharedMemory::open(&name).unwrap().map().unwrap();
        let slots = slots_of_many();
        let mut producer = queue.producer().unwrap();
        let mut consumer = queue.consumer().unwrap();
        for round in 0..150_u64 {
            // The words of all, the first two places, the slots.
            let at = match random.random_range(0..4) {
                0 => 1024 + 128 * random.random_range(0..6),
                1 => page() + 8 * random.random_range(0..16),
                _ => slots + 8 * random.random_range(0..16),
            };
            let turn = random.random_range(0..4_u64) << 23;
            let word = match random.random_range(0..4) {
                0 => turn | random.random_range(0..1 << 23),
                1 => random.random(),
                2 => random.random_range(0..40),
                _ => u64::MAX - random.random_range(0..3),
            };
            bytes.write_at(at, &word.to_ne_bytes()).unwrap();
            let _ = producer.try_push(round);
            let _ = producer.try_push_slice(&[round; 5]);
            drop(producer.try_reserve());
            let _ = consumer.try_pop();
            let _ = consumer.try_pop_slice(&mut [0; 5]);
            drop(consumer.try_take());
            let _ = (consumer.available(), consumer.peer(), producer.peer());
            let _ = ringlane::inspect::report(&name);
            if round % 15 == 0 {
                let _ = consumer.pop_timeout(Duration::from_millis(1));
                let _ = producer.push_timeout(1, Duration::from_millis(1));
            }
        }
    }
}

/// What an early holder of a place left is not taken for a much later one's, whose generation looks the same.
#[test]
fn what_was_left_long_ago_is_nobodys() {
    for left_at in [1, 5, 255] {
        let queue = Queue::<u64>::private(4).unwrap();
        (1..left_at).for_each(|_| drop(queue.producer().unwrap()));
        let mut producer = queue.producer().unwrap();
        std::mem::forget(producer.try_reserve().unwrap());
        drop(producer);
        (0..255).for_each(|_| drop(queue.producer().unwrap()));
        let mut late = queue.producer().unwrap();
        let mut consumer = queue.consumer().unwrap();
        assert_eq!(consumer.try_pop(), Err(PopError::Empty), "left at {left_at}");
        late.push(1).unwrap();
        assert_eq!(consumer.pop(), Ok(1));
    }
}

/// The same of where one that was alone was about to write when it died.
#[test]
fn what_one_alone_announced_long_ago_is_nobodys() {
    /// Where a producer that is alone says where it is about to write.
    const END: usize = 1024 + 6 * 128 + 8;
    // A consumer comes to look like it, or the next producer does.
    for consumes in [true, false] {
        let name = name("announced");
        let queue = Queue::<[u64; 7]>::options().capacity(4).create(&name).unwrap();
        let words = SharedMemory::open(&name).unwrap().map().unwrap();
        let mut alone = queue.producer().unwrap();
        alone.push([1; 7]).unwrap();
        let mut end = [0; 8];
        words.read_at(END, &mut end).unwrap();
        // Not on every system is there one that is alone.
        if u64::from_ne_bytes(end) != 1 {
            return;
        }
        // It gets as far as this with its next push.
        words.write_at(END, &2_u64.to_ne_bytes()).unwrap();
        drop(alone);
        // Its place, as 254 consumers would have left it that came after it.
        let put = |word: u64| words.write_at(page(), &word.to_ne_bytes()).unwrap();
        put(255 << 32 | 1 << 8 | 2);
        drop(queue.consumer().unwrap());
        let mut status = [0; 8];
        words.read_at(page(), &mut status).unwrap();
        assert_eq!(u64::from_ne_bytes(status), 256 << 32 | 1 << 8 | 2, "that one got the place");
        if !consumes {
            // As a producer would have left it.
            put(256 << 32 | 2);
        }
        let lookalike = consumes.then(|| queue.consumer().unwrap());
        let mut late = queue.producer().unwrap();
        late.push([2; 7]).unwrap();
        let mut consumer = queue.consumer().unwrap();
        assert_eq!(consumer.try_pop(), Ok([1; 7]));
        assert_eq!(consumer.try_pop(), Ok([2; 7]), "{consumes}");
        assert_eq!(consumer.try_pop(), Err(PopError::Empty), "{consumes}");
        drop(lookalike);
    }
}

/// What others pushed is waited for, too, and what is given up or done with is not.
#[test]
fn a_flush_waits_for_everybodys_values() {
    for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce] {
        let queue = Queue::<u64>::options().capacity(4).delivery(delivery).private().unwrap();
        let (mut one, mut other) = (queue.producer().unwrap(), queue.producer().unwrap());
        let mut consumer = queue.consumer().unwrap();
        for count in 1..=4 {
            other.push_slice(&vec![7; count]).unwrap();
            assert_eq!(one.flush(Some(Duration::ZERO)), Err(PushError::Full(())), "{count}");
            (0..count).for_each(|_| assert_eq!(consumer.pop(), Ok(7)));
            assert_eq!(one.flush(Some(Duration::ZERO)), Ok(()), "{count}");
        }
        drop(other.try_reserve().unwrap());
        assert_eq!(consumer.try_pop(), Err(PopError::Empty));
        assert_eq!(one.flush(Some(Duration::ZERO)), Ok(()));
    }
}

/// What was given up nobody has to take, so it is no matter that nobody is left to pass over it.
#[test]
fn a_flush_after_the_close_passes_what_was_given_up() {
    for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce] {
        let queue = Queue::<u64>::options().capacity(4).delivery(delivery).private().unwrap();
        let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        let room = producer.try_reserve().unwrap();
        drop(room);
        drop(consumer);
        assert_eq!(producer.flush(None), Ok(()), "{delivery:?}");
        consumer = queue.consumer().unwrap();
        producer.push(1).unwrap();
        drop(producer.try_reserve().unwrap());
        assert_eq!(consumer.available(), 1);
        drop(consumer);
        assert_eq!(producer.flush(None), Err(PushError::Closed(())), "{delivery:?}");
        assert_eq!(queue.consumer().unwrap().try_pop(), Ok(1));
    }
}

/// Room that was made by passing what was given up is news for those who sleep until there is room.
#[test]
fn room_where_nothing_was_taken_wakes_producers() {
    /// Where the three words of those who wait for room are: announcements, those answered, and the epoch.
    const ROOM: usize = 1024 + 4 * 128;
    for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce] {
        let name = name("room");
        let queue = Queue::<u64>::options().capacity(2).delivery(delivery).create(&name).unwrap();
        let words = SharedMemory::open(&name).unwrap().map().unwrap();
        let word = |at: usize| {
            let mut bytes = [0; 4];
            words.read_at(ROOM + at, &mut bytes).unwrap();
            u32::from_ne_bytes(bytes)
        };
        let mut producer = queue.producer().unwrap();
        let mut consumer = queue.consumer().unwrap();
        let room = producer.try_reserve().unwrap();
        // Somebody has announced that it sleeps.
        let (asleep, epoch) = (word(4).wrapping_add(1), word(8));
        words.write_at(ROOM, &asleep.to_ne_bytes()).unwrap();
        drop(room);
        assert_eq!(consumer.try_pop(), Err(PopError::Empty));
        assert_eq!((word(4), word(8)), (asleep, epoch.wrapping_add(1)), "{delivery:?}");
    }
}

/// A producer that stopped in the middle of a push is not in the way of a value that comes again.
#[test]
fn what_comes_again_waits_for_no_claim_behind_it() {
    let mut options = Queue::<u64>::options();
    let queue = options.capacity(4).delivery(Delivery::AtLeastOnce).private().unwrap();
    let (mut producer, mut one) = (queue.producer().unwrap(), queue.consumer().unwrap());
    let mut other = queue.consumer().unwrap();
    producer.push(1).unwrap();
    std::mem::forget(one.take().unwrap());
    let room = producer.try_reserve().unwrap();
    // `other` is past the value by now.
    assert!(matches!(other.try_take(), Err(PopError::Stalled { .. })));
    drop(one);
    let taken = other.take_timeout(Duration::from_millis(1)).unwrap();
    assert_eq!((*taken, taken.is_again()), (1, true));
    taken.acknowledge();
    assert!(matches!(other.try_take(), Err(PopError::Stalled { .. })));
    room.commit(2);
    assert_eq!(other.pop(), Ok(2));
}

/// Ends that sleep watch over other processes, not over the ends of their own: descriptors are few.
#[test]
#[cfg(target_os = "linux")]
fn sleeping_takes_no_descriptors_for_ends_of_this_process() {
    let queue = Queue::<u64>::private(4).unwrap();
    let watches = || {
        let open = std::fs::read_dir("/proc/self/fd").unwrap();
        let links = open.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
        links.filter(|link| link.to_string_lossy().contains("pidfd")).count()
    };
    let _producers: Vec<_> = (0..9).map(|_| queue.producer().unwrap()).collect();
    let mut consumers: Vec<_> = (0..9).map(|_| queue.consumer().unwrap()).collect();
    let before = watches();
    for consumer in &mut consumers {
        consumer.set_wait(Wait::Park);
        assert_eq!(consumer.pop_timeout(Duration::from_millis(1)), Err(PopError::Empty));
    }
    assert!(watches() <= before + 9, "{} descriptors", watches() - before);
}

/// What somebody holds may come again, so nobody is told that nothing more comes.
#[test]
fn a_queue_does_not_end_while_a_value_may_come_again() {
    let mut options = Queue::<u64>::options();
    let queue = options.capacity(4).delivery(Delivery::AtLeastOnce).private().unwrap();
    let (mut producer, mut one) = (queue.producer().unwrap(), queue.consumer().unwrap());
    let mut other = queue.consumer().unwrap();
    let mut clone = one.clone();
    producer.push(1).unwrap();
    let taken = one.take().unwrap();
    drop(producer);
    for consumer in [&mut other, &mut clone] {
        assert_eq!(consumer.try_pop(), Err(PopError::Empty));
        assert_eq!(consumer.pop_timeout(Duration::from_millis(1)), Err(PopError::Empty));
        assert_eq!(consumer.peer(), Peer::Closed);
    }
    drop(taken);
    let taken = other.try_take().unwrap();
    assert_eq!((*taken, taken.is_again()), (1, true));
    assert_eq!(clone.try_pop(), Err(PopError::Empty));
    taken.acknowledge();
    assert_eq!((clone.try_pop(), clone.pop()), (Err(PopError::Closed), Err(PopError::Closed)));
}

/// After a close an acknowledgement may be what a sleeper waits for: that nothing comes again.
#[test]
fn the_last_acknowledgement_wakes_who_waits() {
    /// Where the words of those who wait for values are: announcements, those answered, and the epoch.
    const ITEMS: usize = 1024 + 3 * 128;
    let name = name("last");
    let mut options = Queue::<u64>::options();
    let queue = options.capacity(4).delivery(Delivery::AtLeastOnce).create(&name).unwrap();
    let words = SharedMemory::open(&name).unwrap().map().unwrap();
    let word = |at: usize| {
        let mut bytes = [0; 4];
        words.read_at(ITEMS + at, &mut bytes).unwrap();
        u32::from_ne_bytes(bytes)
    };
    let mut producer = queue.producer().unwrap();
    let (mut one, mut other) = (queue.consumer().unwrap(), queue.consumer().unwrap());
    producer.push(1).unwrap();
    let taken = one.take().unwrap();
    drop(producer);
    // Somebody has announced that it sleeps.
    let (asleep, epoch) = (word(4).wrapping_add(1), word(8));
    words.write_at(ITEMS, &asleep.to_ne_bytes()).unwrap();
    taken.acknowledge();
    assert_eq!((word(4), word(8)), (asleep, epoch.wrapping_add(1)));
    // And one that does.
    let mut producer = queue.producer().unwrap();
    producer.push(2).unwrap();
    let taken = one.take().unwrap();
    drop(producer);
    other.set_wait(Wait::Park);
    let announced = word(0);
    let sleeper = std::thread::spawn(move || other.pop());
    until("it has announced its sleep", || word(0) != announced);
    assert_eq!(taken.acknowledge(), 2);
    assert_eq!(sleeper.join().unwrap(), Err(PopError::Closed));
}
