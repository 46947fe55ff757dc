//! Records: lengths, wrapping, in place and copied, both ends coming and going.
#![allow(unsafe_code, reason = "writes and reads records in place")]

use proptest::prelude::*;
use ringlane::record::Queue;
use ringlane::{PopError, ReserveError, Wait};
use std::collections::VecDeque;

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    /// Reserved, how much of it committed.
    Commit(usize, usize),
    Abort(usize),
    Pop,
    Peek,
    NewProducer,
    NewConsumer,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0_usize..3000).prop_map(Step::Push),
        4 => (0_usize..2500, 0_usize..2500).prop_map(|(a, b)| Step::Commit(a.max(b), a.min(b))),
        1 => (0_usize..2000).prop_map(Step::Abort),
        10 => Just(Step::Pop),
        1 => Just(Step::Peek),
        1 => Just(Step::NewProducer),
        1 => Just(Step::NewConsumer),
    ];
    prop::collection::vec(step, 1..200)
}

fn bytes(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + seed * 7) as u8).collect()
}

proptest! {
    /// Every mix of operations does what a `VecDeque` of byte vectors does; what is refused as full is
    /// refused for want of room.
    #[test]
    fn it_is_a_bounded_deque_of_records(
        steps in steps(),
        mirrored in any::<bool>(),
        align in prop_oneof![Just(8_usize), Just(64)],
        start in prop_oneof![Just(0), Just((1_u64 << 32) - 64), (0_u64..1 << 50).prop_map(|n| n * 64)],
    ) {
        let mut options = Queue::options();
        let queue = options.capacity(8192).align(align).mirrored(mirrored).start(start).private().unwrap();
        let max = queue.max_len();
        prop_assert!(max >= 8192 / 2 - 2 * align);
        let mut producer = Some(queue.producer().unwrap());
        let mut consumer = Some(queue.consumer().unwrap());
        let mut model: VecDeque<Vec<u8>> = VecDeque::new();
        let footprint = |len: usize| align + len.next_multiple_of(align);
        for (seed, step) in steps.into_iter().enumerate() {
            let (p, c) = (producer.as_mut().unwrap(), consumer.as_mut().unwrap());
            let used: usize = model.iter().map(|record| footprint(record.len())).sum();
            // With padding, up to a whole record's room may be lost at the end.
            let surely_fits = |len: usize| {
                let need = footprint(len) + align;
                used + if mirrored { need } else { 3 * footprint(max) } <= 8192
            };
            match step {
                Step::Push(len) => {
                    let record = bytes(len, seed);
                    match p.try_push(&record) {
                        Ok(()) => model.push_back(record),
                        Err(ReserveError::TooLarge { len: l, max: m }) => {
                            prop_assert_eq!((l, m), (len, max));
                            prop_assert!(len > max);
                        }
                        Err(error) => {
                            prop_assert_eq!(error, ReserveError::Full);
                            prop_assert!(!surely_fits(len));
                        }
                    }
                }
                Step::Commit(len, part) if len <= max => {
                    if let Ok(mut room) = p.try_reserve(len) {
                        let record = bytes(part, seed);
                        room.write_at(0, &record[..part / 2]);
                        room.write_at(part / 2, &record[part / 2..]);
                        room.commit_len(part);
                        model.push_back(record);
                    }
                }
                Step::Abort(len) => {
                    if let Ok(mut room) = p.try_reserve(len) {
                        // It looks like headers, and must not be taken for any.
                        // SAFETY: the ring is private to this process.
                        unsafe { room.as_mut_slice() }.fill(1);
                    }
                }
                Step::Pop => {
                    prop_assert_eq!(c.try_pop(), model.pop_front().ok_or(PopError::Empty));
                }
                Step::Peek => {
                    let read = c.try_read().map(|record| {
                        // SAFETY: the ring is private to this process.
                        let bytes = unsafe { record.as_slice() };
                        assert_eq!(bytes.as_ptr().addr() % align, 0);
                        bytes.to_vec()
                    });
                    prop_assert_eq!(read, model.front().cloned().ok_or(PopError::Empty));
                }
                Step::NewProducer => {
                    drop(producer.take());
                    producer = Some(queue.producer().unwrap());
                }
                Step::NewConsumer => {
                    drop(consumer.take());
                    consumer = Some(queue.consumer().unwrap());
                }
                Step::Commit(..) => {}
            }
        }
        let rest: Vec<_> = std::iter::from_fn(|| consumer.as_mut().unwrap().try_pop().ok()).collect();
        prop_assert_eq!(rest, Vec::from(model));
    }
}

#[test]
fn random_records_between_threads_that_sleep() {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    for (mirrored, seed) in [(true, 1), (false, 2)] {
        let queue = Queue::options().capacity(1 << 14).mirrored(mirrored).private().unwrap();
        let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        producer.set_wait(Wait::Park);
        let max = queue.max_len();
        let lengths = move || {
            let mut random = StdRng::seed_from_u64(seed);
            (0..20_000).map(move |_| match random.random_range(0..10) {
                0 => random.random_range(0..=max),
                _ => random.random_range(0..200),
            })
        };
        let thread = std::thread::spawn(move || {
            for (n, len) in lengths().enumerate() {
                producer.push(&bytes(len, n)).unwrap();
            }
        });
        for (n, len) in lengths().enumerate() {
            assert!(consumer.pop().unwrap() == bytes(len, n), "record {n} of {len} bytes");
        }
        thread.join().unwrap();
        assert_eq!(consumer.pop(), Err(PopError::Closed));
    }
}

#[test]
fn the_longest_record_fits_wherever_it_falls() {
    for mirrored in [true, false] {
        for align in [8, 64] {
            let queue =
                Queue::options().capacity(4096).align(align).mirrored(mirrored).private().unwrap();
            let (mut producer, mut consumer) =
                (queue.producer().unwrap(), queue.consumer().unwrap());
            let longest = bytes(queue.max_len(), 3);
            for step in 0..300 {
                producer.try_push(&longest).unwrap();
                assert_eq!(consumer.try_pop().unwrap(), longest);
                let small = bytes(step % 100, step);
                producer.try_push(&small).unwrap();
                assert_eq!(consumer.try_pop().unwrap(), small);
            }
        }
    }
}

#[test]
fn a_size_that_cannot_be_is_refused() {
    let refused =
        |options: &mut ringlane::record::Options| options.private().unwrap_err().to_string();
    assert_eq!(refused(Queue::options().capacity(0)), "create a private ring: a ring of 0 bytes");
    assert!(refused(Queue::options().capacity(usize::MAX)).contains("more than any memory"));
    assert!(refused(Queue::options().holding(usize::MAX, 2)).contains("more than any memory"));
    assert!(refused(Queue::options().align(16)).contains("records aligned to 16 bytes"));
}

/// A producer leaves its position in the segment behind by up to 64 records, which is laps of a small ring.
#[test]
fn a_successor_finds_its_place_however_often_the_ring_has_gone_round() {
    let name = ringlane::Name::new(&format!("ringlane-test-{}-laps", std::process::id())).unwrap();
    for mirrored in [true, false] {
        for len in [0, 8, 248, 1000] {
            for pushed in (0..200_u64).step_by(13) {
                let queue =
                    Queue::options().capacity(4096).mirrored(mirrored).create(&name).unwrap();
                let mut consumer = queue.consumer().unwrap();
                let mut producer = queue.producer().unwrap();
                for n in 0..pushed {
                    producer.try_push(&bytes(len, n as usize)).unwrap();
                    // Two stay in the ring.
                    if n >= 2 {
                        assert!(consumer.try_pop().unwrap() == bytes(len, n as usize - 2));
                    }
                }
                let report = ringlane::inspect::report(&name).unwrap();
                assert_eq!((report.pushed, report.depth), (pushed, pushed.min(2)));
                assert_eq!(report.used as usize, consumer.available().unwrap());
                drop(producer);
                let mut producer = queue.producer().unwrap();
                producer.try_push(b"next").unwrap();
                assert_eq!(ringlane::inspect::report(&name).unwrap().pushed, pushed + 1);
                for n in pushed.saturating_sub(2)..pushed {
                    assert!(consumer.try_pop().unwrap() == bytes(len, n as usize));
                }
                assert_eq!(consumer.try_pop().unwrap(), b"next");
            }
        }
    }
}
