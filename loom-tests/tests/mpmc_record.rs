//! Records for many: runs of blocks that are claimed, published and taken as one. What a record shares with a value
//! is in `mpmc.rs`.
#![cfg(loom)]

use loom::thread;
use loom_tests::{coarse_model, model};
use ringlane::model::{Fences, kernel};
use ringlane::mpmc::Delivery;
use ringlane::mpmc_record::{Consumer, Producer, Queue};
use ringlane::{PopError, Wait};

/// A block.
const BLOCK: usize = 64;

fn queue(blocks: usize, start: u64, delivery: Delivery) -> Queue {
    let mut options = Queue::options();
    options.capacity(blocks * BLOCK).longest(1).start(start).delivery(delivery).private().unwrap()
}

/// A record in so many blocks, of which few bytes are written: each costs a model time.
fn push(producer: &mut Producer, blocks: usize, bytes: &[u8]) -> bool {
    let Ok(mut room) = producer.try_reserve(blocks * BLOCK) else { return false };
    room.write_at(0, bytes);
    room.commit_len(bytes.len());
    true
}

/// What comes, until there is nothing.
fn rest(consumer: &mut Consumer) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| consumer.try_pop().ok()).collect()
}

#[test]
fn a_record_is_whole_when_it_is_seen() {
    for blocks in [1, 2] {
        model(move || {
            let queue = queue(2, 1, Delivery::AtMostOnce);
            let (mut producer, mut consumer) =
                (queue.producer().unwrap(), queue.consumer().unwrap());
            let thread = thread::spawn(move || {
                push(&mut producer, blocks, &[7, 8]);
                producer
            });
            match consumer.try_pop() {
                Ok(bytes) => assert_eq!(bytes, [7, 8]),
                Err(error) => assert!(error.is_empty()),
            }
            thread.join().unwrap();
        });
    }
}

/// One claims two blocks and the other one, where the words of a run that is gone say nothing.
#[test]
fn runs_of_different_lengths_do_not_overlap() {
    model(|| {
        let queue = queue(2, u64::MAX, Delivery::AtMostOnce);
        let (mut one, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        assert!(push(&mut one, 2, &[9]));
        assert_eq!(rest(&mut consumer), [[9]]);
        let mut other = one.clone();
        let thread = thread::spawn(move || push(&mut other, 1, &[1]));
        let long = push(&mut one, 2, &[2]);
        let short = thread.join().unwrap();
        assert!(long != short, "both, or none");
        assert_eq!(rest(&mut consumer), [[if long { 2 } else { 1 }]]);
        assert!(push(&mut one, 1, &[3]) && push(&mut one, 1, &[4]));
        assert_eq!(rest(&mut consumer), [[3], [4]]);
    });
}

#[test]
fn a_consumer_that_was_overtaken_gets_nothing_torn() {
    model(|| {
        let queue = queue(1, 0, Delivery::AtMostOnce);
        let (mut producer, mut one) = (queue.producer().unwrap(), queue.consumer().unwrap());
        let mut other = one.clone();
        assert!(push(&mut producer, 1, &[1, 1]));
        let thread = thread::spawn(move || {
            let popped = other.try_pop();
            let pushed = push(&mut producer, 1, &[2, 2]);
            (popped, pushed)
        });
        let mine = one.try_pop();
        let (theirs, pushed) = thread.join().unwrap();
        let mut got: Vec<Vec<u8>> = [mine, theirs].into_iter().flatten().collect();
        got.extend(rest(&mut one));
        got.sort();
        assert_eq!(got, if pushed { vec![[1, 1], [2, 2]] } else { vec![[1, 1]] });
    });
}

#[test]
fn what_is_taken_is_not_written_before_it_is_acknowledged() {
    model(|| {
        kernel(Fences::Naps);
        let queue = queue(2, 0, Delivery::AtLeastOnce);
        let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        assert!(push(&mut producer, 2, &[1]));
        let thread = thread::spawn(move || push(&mut producer, 1, &[2]));
        let taken = consumer.take().unwrap();
        assert_eq!(taken.to_vec(), [1]);
        taken.acknowledge();
        let pushed = thread.join().unwrap();
        assert_eq!(consumer.try_pop().is_ok(), pushed);
    });
}

/// Who gives room up may have written there before: that comes before what the next one writes.
#[test]
fn what_is_given_up_is_not_written_any_more() {
    for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce] {
        model(move || {
            kernel(Fences::Naps);
            let queue = queue(1, 0, delivery);
            let (mut one, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
            let mut other = one.clone();
            let thread = thread::spawn(move || {
                if let Ok(mut room) = one.try_reserve(1) {
                    room.write_at(0, &[1]);
                }
            });
            let nothing = consumer.try_pop().unwrap_err();
            assert!(matches!(nothing, PopError::Empty | PopError::Stalled { .. }));
            let pushed = push(&mut other, 1, &[2]);
            thread.join().unwrap();
            assert_eq!(consumer.try_pop().is_ok(), pushed);
        });
    }
}

/// The producer moves the head over a block itself, looks at the word of the one before it only, and writes to both.
#[test]
fn a_record_is_not_written_before_what_was_in_all_of_its_blocks_was_read() {
    model(|| {
        kernel(Fences::Naps);
        let queue = queue(2, 0, Delivery::AtLeastOnce);
        let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        assert!(push(&mut producer, 1, &[1]) && push(&mut producer, 1, &[2]));
        assert_eq!(consumer.try_pop(), Ok(vec![1]));
        let thread = thread::spawn(move || {
            assert_eq!(consumer.try_pop(), Ok(vec![2]));
            consumer
        });
        if let Ok(mut room) = producer.try_reserve(2 * BLOCK) {
            room.write_at(BLOCK, &[3]);
        }
        let _consumer = thread.join().unwrap();
    });
}

#[test]
fn what_is_given_back_comes_again_whole() {
    model(|| {
        let queue = queue(2, 1, Delivery::AtLeastOnce);
        let (mut producer, mut one) = (queue.producer().unwrap(), queue.consumer().unwrap());
        let mut other = one.clone();
        assert!(push(&mut producer, 2, &[1]));
        let thread = thread::spawn(move || {
            drop(other.try_take());
            other
        });
        let first = one.try_pop();
        let _other = thread.join().unwrap();
        match first {
            Ok(bytes) => assert_eq!(bytes, [1]),
            Err(error) => {
                assert_eq!(error, PopError::Empty);
                let taken = one.try_take().unwrap();
                assert!(taken.is_again() && taken.to_vec() == [1]);
                taken.acknowledge();
            }
        }
        assert_eq!(one.try_pop(), Err(PopError::Empty));
        assert!(push(&mut producer, 2, &[2]));
    });
}

/// Room for one block is not what a record of two sleeps for.
#[test]
fn a_sleeping_producer_wakes_for_all_of_its_room() {
    model(|| {
        let queue = queue(2, 0, Delivery::AtMostOnce);
        let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        producer.set_wait(Wait::Park);
        assert!(push(&mut producer, 1, &[1]) && push(&mut producer, 1, &[2]));
        let thread = thread::spawn(move || (consumer.try_pop(), consumer.try_pop(), consumer));
        producer.reserve(2 * BLOCK).unwrap().commit_len(0);
        let (first, second, mut consumer) = thread.join().unwrap();
        assert_eq!((first, second), (Ok(vec![1]), Ok(vec![2])));
        assert_eq!(rest(&mut consumer), [[0_u8; 0]]);
    });
}

/// Others may move the head past what is given up, and have no use for the room: who sleeps for it is told.
#[test]
fn a_sleeping_producer_wakes_for_what_is_given_up() {
    coarse_model(|| {
        let queue = queue(4, 0, Delivery::AtLeastOnce);
        let (mut one, _consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        let (mut asleep, mut other) = (one.clone(), one.clone());
        asleep.set_wait(Wait::Park);
        let room = one.try_reserve(1).unwrap();
        assert!(push(&mut other, 3, &[1]));
        let sleeper = thread::spawn(move || asleep.reserve(1).unwrap().commit_len(0));
        let long = thread::spawn(move || assert!(other.try_reserve(2 * BLOCK).is_err()));
        drop(room);
        sleeper.join().unwrap();
        long.join().unwrap();
    });
}
