//! Values: order, limits, both ends coming and going.

use proptest::prelude::*;
use ringlane::{ErrorKind, Name, Peer, PopError, PushError, Wait, spsc::Queue};
use std::collections::VecDeque;
use std::time::Duration;

fn name(test: &str) -> Name {
    Name::new(&format!("ringlane-test-{}-{test}", std::process::id())).unwrap()
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
struct Odd {
    bytes: [u8; 13],
}

/// Values of every size class go through whole: below a word, odd, a line, more than a line, copied by
/// the string instruction.
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
    through(&[0x1234_u16, 0xffff]);
    through(&[u32::MAX, 7]);
    through(&[f64::MIN, 0.5]);
    through(&[u128::MAX, 1 << 70]);
    through(&[Odd { bytes: [1; 13] }, Odd { bytes: *b"thirteen byte" }]);
    through(&[[7_u64; 7], [8; 7]]);
    through(&[[7_u64; 8], [u64::MAX; 8]]);
    through(&[[3_u8; 255], [4; 255]]);
    through(&[[3_u8; 257], std::array::from_fn(|i| i as u8)]);
    through(&[[9_u64; 512], std::array::from_fn(|i| i as u64)]);
    through(&[(), ()].map(|()| [0_u8; 0]));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Push,
    Pop,
    NewProducer,
    NewConsumer,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Push),
        8 => Just(Step::Pop),
        1 => Just(Step::NewProducer),
        1 => Just(Step::NewConsumer),
    ];
    prop::collection::vec(step, 1..300)
}

proptest! {
    /// Every mix of operations does what a `VecDeque` does, at every capacity and wherever positions
    /// begin.
    #[test]
    fn it_is_a_bounded_deque(
        steps in steps(),
        log in 0_u32..5,
        start in prop_oneof![Just(0), Just((1_u64 << 32) - 5), Just(u64::MAX - 5), any::<u64>()],
    ) {
        let capacity = 1 << log;
        let queue = Queue::<u64>::options().capacity(capacity).start(start).private().unwrap();
        let mut producer = Some(queue.producer().unwrap());
        let mut consumer = Some(queue.consumer().unwrap());
        let mut model = VecDeque::new();
        let mut next = 0;
        for step in steps {
            let (p, c) = (producer.as_mut().unwrap(), consumer.as_mut().unwrap());
            match step {
                Step::Push => {
                    let pushed = p.try_push(next);
                    if model.len() < capacity {
                        prop_assert_eq!(pushed, Ok(()));
                        model.push_back(next);
                        next += 1;
                    } else {
                        prop_assert_eq!(pushed, Err(PushError::Full(next)));
                    }
                }
                Step::Pop => {
                    prop_assert_eq!(c.try_pop(), model.pop_front().ok_or(PopError::Empty));
                }
                Step::NewProducer => {
                    drop(producer.take());
                    producer = Some(queue.producer().unwrap());
                }
                Step::NewConsumer => {
                    drop(consumer.take());
                    consumer = Some(queue.consumer().unwrap());
                }
            }
            prop_assert_eq!(consumer.as_ref().unwrap().depth(), model.len());
            prop_assert_eq!(producer.as_ref().unwrap().vacant(), capacity - model.len());
        }
    }
}

#[test]
fn both_ends_wait_in_every_way() {
    for wait in [Wait::Spin, Wait::Yield, Wait::SpinThenPark, Wait::Park] {
        let queue = Queue::<u64>::private(2).unwrap();
        let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        producer.set_wait(wait);
        consumer.set_wait(wait);
        let thread = std::thread::spawn(move || {
            for n in 0..2000 {
                producer.push(n).unwrap();
            }
            producer.flush(None).unwrap();
        });
        for n in 0..2000 {
            assert_eq!(consumer.pop(), Ok(n));
        }
        thread.join().unwrap();
        assert_eq!(consumer.pop(), Err(PopError::Closed));
    }
}

#[test]
fn a_timeout_is_waited_for_and_gives_the_value_back() {
    let wait = Duration::from_millis(20);
    for how in [Wait::Spin, Wait::Yield, Wait::SpinThenPark, Wait::Park] {
        let queue = Queue::<u64>::private(1).unwrap();
        let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        producer.set_wait(how);
        consumer.set_wait(how);
        let start = std::time::Instant::now();
        assert_eq!(consumer.pop_timeout(wait), Err(PopError::Empty));
        assert!(start.elapsed() >= wait);
        producer.push(1).unwrap();
        let start = std::time::Instant::now();
        assert_eq!(producer.push_timeout(2, wait), Err(PushError::Full(2)));
        assert!(start.elapsed() >= wait);
        assert_eq!(producer.flush(Some(Duration::from_millis(1))), Err(PushError::Full(())));
        assert_eq!(producer.push_timeout(2, Duration::ZERO), Err(PushError::Full(2)));
        assert_eq!(consumer.pop_timeout(Duration::MAX), Ok(1));
    }
}

#[test]
fn a_closed_end_is_told_apart_from_an_empty_or_full_one() {
    let queue = Queue::<u64>::private(2).unwrap();
    let mut producer = queue.producer().unwrap();
    let mut consumer = queue.consumer().unwrap();
    producer.push(1).unwrap();
    producer.close();
    assert_eq!(consumer.peer(), Peer::Closed);
    assert_eq!(consumer.pop(), Ok(1));
    assert_eq!(consumer.try_pop(), Err(PopError::Closed));
    assert_eq!(consumer.pop(), Err(PopError::Closed));

    let mut producer = queue.producer().unwrap();
    assert_eq!(consumer.try_pop(), Err(PopError::Empty), "a new producer opens it again");
    producer.push(2).unwrap();
    consumer.close();
    assert_eq!(producer.try_push(3), Err(PushError::Closed(3)));
    assert_eq!(producer.push(3), Err(PushError::Closed(3)));
    assert_eq!(producer.flush(None), Err(PushError::Closed(())));
    assert_eq!(queue.consumer().unwrap().pop(), Ok(2), "what was pushed is still there");
}

#[test]
fn a_capacity_that_cannot_be_is_refused_by_name() {
    for (capacity, text) in [
        (0, "capacity 0 is not a power of two"),
        (3, "capacity 3 is not a power of two"),
        (1 << 62, "capacity 4611686018427387904 times 16 bytes is too large"),
    ] {
        let name = name("capacity");
        let error = Queue::<u64>::create(&name, capacity).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSize);
        assert_eq!(error.to_string(), format!("create ring {:?}: {text}", name.as_str()));
    }
}

#[test]
fn a_name_that_is_taken_stays_with_its_owner() {
    let name = name("taken");
    let queue = Queue::<u64>::create(&name, 8).unwrap();
    queue.producer().unwrap().push(5).unwrap();
    let error = Queue::<u64>::create(&name, 16).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(Queue::<u64>::open(&name).unwrap().consumer().unwrap().pop(), Ok(5));
}

#[test]
fn a_second_holder_of_an_end_is_refused_and_told_who_has_it() {
    let name = name("second");
    let queue = Queue::<u64>::create(&name, 8).unwrap();
    let _producer = queue.producer().unwrap();
    let error = Queue::<u64>::open(&name).unwrap().producer().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    let pid = std::process::id();
    let text = format!(
        "take the producer end of ring {:?}: a living process holds it, the last to take it was {pid}",
        name.as_str()
    );
    assert_eq!(error.to_string(), text);
}

#[test]
fn an_end_of_a_removed_ring_is_not_given_out() {
    let name = name("removed");
    let queue = Queue::<u64>::create(&name, 8).unwrap();
    let late = Queue::<u64>::open(&name).unwrap();
    ringlane::inspect::remove(&name, false).unwrap();
    assert_eq!(late.consumer().unwrap_err().kind(), ErrorKind::NotFound);
    drop(queue);
}

/// A producer leaves its position in the segment behind by up to 64 values, which is laps of a small ring.
#[test]
fn a_successor_finds_its_place_however_often_the_ring_has_gone_round() {
    for capacity in [1, 2, 8, 64, 128] {
        for pushed in (0..200).step_by(7) {
            for left in [0, 1, capacity / 2, capacity].map(|left| pushed.min(left)) {
                let queue = Queue::<u64>::private(capacity as usize).unwrap();
                let mut consumer = queue.consumer().unwrap();
                let mut producer = queue.producer().unwrap();
                for n in 0..pushed {
                    producer.try_push(n).unwrap();
                    if n < pushed - left {
                        assert_eq!(consumer.try_pop(), Ok(n));
                    }
                }
                drop(producer);
                let mut producer = queue.producer().unwrap();
                assert_eq!(consumer.depth() as u64, left);
                if left < capacity {
                    producer.try_push(pushed).unwrap();
                    assert!((pushed - left..=pushed).all(|n| consumer.try_pop() == Ok(n)));
                }
                assert_eq!(producer.vacant() as u64, if left < capacity { capacity } else { 0 });
            }
        }
    }
}
