//! Rings for many: publication, claims and takes that compete, reuse of slots, sleep, what is left behind.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use loom::thread;
use loom_tests::{coarse_model, model};
use ringlane::model::{Fences, kernel};
use ringlane::mpmc::{Consumer, Delivery, Producer, Queue};
use ringlane::{Plain, PopError, Wait};
use std::fmt::Debug;
use std::time::Duration;

fn queue(capacity: usize, start: u64, delivery: Delivery) -> Queue<u64> {
    let mut options = Queue::<u64>::options();
    options.capacity(capacity).start(start).delivery(delivery).private().unwrap()
}

fn ends(queue: &Queue<u64>) -> (Producer<u64>, Consumer<u64>) {
    let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    producer.set_wait(Wait::Park);
    consumer.set_wait(Wait::Park);
    (producer, consumer)
}

/// What comes, until there is nothing.
fn rest(consumer: &mut Consumer<u64>) -> Vec<u64> {
    std::iter::from_fn(|| consumer.try_pop().ok()).collect()
}

/// Nothing yet, or nothing whole.
fn is_not_yet(error: PopError) -> bool {
    error.is_empty()
}

#[test]
fn a_value_is_whole_when_it_is_seen() {
    model(|| {
        let queue = Queue::<[u64; 2]>::options().capacity(2).private().unwrap();
        let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        let thread = thread::spawn(move || {
            producer.try_push([7, 8]).unwrap();
            producer
        });
        match consumer.try_pop() {
            Ok(value) => assert_eq!(value, [7, 8]),
            Err(error) => assert!(is_not_yet(error)),
        }
        thread.join().unwrap();
    });
}

#[test]
fn two_producers_claim_different_slots() {
    for capacity in [1, 2] {
        model(move || {
            let queue = queue(capacity, u64::MAX, Delivery::AtMostOnce);
            let (mut one, mut consumer) = ends(&queue);
            let mut other = one.clone();
            let thread = thread::spawn(move || {
                let pushed = other.try_push(1).is_ok();
                (other, pushed)
            });
            let mut pushed = one.try_push(2).is_ok();
            let (_other, theirs) = thread.join().unwrap();
            pushed |= theirs;
            assert!(pushed, "the ring was empty");
            let mut got = rest(&mut consumer);
            got.sort();
            assert!(if capacity == 1 { got.len() == 1 } else { got == [1, 2] }, "{got:?}");
        });
    }
}

#[test]
fn two_consumers_take_different_values() {
    model(|| {
        let queue = queue(2, 0, Delivery::AtMostOnce);
        let (mut producer, mut one) = ends(&queue);
        producer.try_push_slice(&[1, 2]).unwrap();
        let mut other = one.clone();
        let thread = thread::spawn(move || other.try_pop());
        let mut got = vec![one.try_pop().unwrap(), thread.join().unwrap().unwrap()];
        got.sort();
        assert_eq!(got, [1, 2]);
    });
}

/// The copy that another consumer makes meanwhile, of two values at once, is not looked at.
#[test]
fn a_slot_is_not_written_before_it_was_read() {
    model(|| {
        let queue = Queue::<[u64; 2]>::options().capacity(1).private().unwrap();
        let (mut producer, mut one) = (queue.producer().unwrap(), queue.consumer().unwrap());
        producer.try_push([1, 1]).unwrap();
        let thread = thread::spawn(move || {
            let _ = producer.try_push([2, 2]);
            producer
        });
        let mut got = vec![one.try_pop().unwrap()];
        let mut producer = thread.join().unwrap();
        got.extend(one.try_pop());
        assert!(got == [[1, 1]] || got == [[1, 1], [2, 2]], "{got:?}");
        producer.try_push([3, 3]).unwrap();
        assert_eq!(one.try_pop(), Ok([3, 3]));
    });
}

#[test]
fn a_consumer_that_was_overtaken_gets_nothing_torn() {
    model(|| {
        let queue = Queue::<[u64; 2]>::options().capacity(1).private().unwrap();
        let (mut producer, mut one) = (queue.producer().unwrap(), queue.consumer().unwrap());
        let mut other = one.clone();
        producer.try_push([1, 1]).unwrap();
        let thread = thread::spawn(move || {
            let popped = other.try_pop();
            let pushed = producer.try_push([2, 2]).is_ok();
            (popped, pushed)
        });
        let mine = one.try_pop();
        let (theirs, pushed) = thread.join().unwrap();
        let mut got: Vec<[u64; 2]> = [mine, theirs].into_iter().flatten().collect();
        got.extend(std::iter::from_fn(|| one.try_pop().ok()));
        got.sort();
        assert_eq!(got, if pushed { vec![[1, 1], [2, 2]] } else { vec![[1, 1]] });
    });
}

#[test]
fn a_batch_appears_as_a_whole() {
    model(|| {
        let queue = queue(2, 1, Delivery::AtMostOnce);
        let (mut producer, mut consumer) = ends(&queue);
        let mut other = producer.clone();
        let thread = thread::spawn(move || other.try_push_slice(&[1, 2]));
        let mine = producer.try_push(3).is_ok();
        let theirs = thread.join().unwrap().unwrap_or(0);
        let wanted: &[&[u64]] = match (mine, theirs) {
            (true, 1) => &[&[1, 3], &[3, 1]],
            (true, _) => &[&[3]],
            (false, _) => &[&[1, 2]],
        };
        let got = rest(&mut consumer);
        assert!(wanted.contains(&&got[..]), "{got:?}, not one of {wanted:?}");
    });
}

#[test]
fn a_sleeping_consumer_wakes_for_a_value() {
    model(|| {
        let queue = queue(1, 0, Delivery::AtMostOnce);
        let (mut producer, mut consumer) = ends(&queue);
        let thread = thread::spawn(move || {
            producer.try_push(1).unwrap();
            producer
        });
        assert_eq!(consumer.pop(), Ok(1));
        thread.join().unwrap();
    });
}

#[test]
fn two_sleeping_consumers_wake_for_two_producers() {
    model(|| {
        let queue = queue(2, 0, Delivery::AtMostOnce);
        let (mut producer, mut one) = ends(&queue);
        let mut other = one.clone();
        other.set_wait(Wait::Park);
        let sleeper = thread::spawn(move || other.pop().unwrap());
        let mut second = producer.clone();
        producer.try_push(1).unwrap();
        second.try_push(2).unwrap();
        let got = one.pop().unwrap() + sleeper.join().unwrap();
        assert_eq!(got, 3);
    });
}

#[test]
fn a_sleeping_producer_wakes_for_room() {
    for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce] {
        model(move || {
            let queue = queue(1, 0, delivery);
            let (mut producer, mut consumer) = ends(&queue);
            producer.try_push(1).unwrap();
            let thread = thread::spawn(move || {
                assert_eq!(consumer.try_pop(), Ok(1));
                consumer
            });
            producer.push(2).unwrap();
            assert_eq!(thread.join().unwrap().try_pop(), Ok(2));
        });
    }
}

#[test]
fn a_sleeping_consumer_wakes_for_the_last_close_only() {
    model(|| {
        let queue = queue(1, 0, Delivery::AtMostOnce);
        let (mut producer, mut consumer) = ends(&queue);
        let thread = thread::spawn(move || {
            producer.try_push(1).unwrap();
            producer.close();
        });
        assert_eq!(consumer.pop(), Ok(1));
        assert_eq!(consumer.pop(), Err(PopError::Closed));
        thread.join().unwrap();
    });
}

#[test]
fn what_was_given_up_wakes_and_is_passed() {
    model(|| {
        let queue = queue(2, 0, Delivery::AtMostOnce);
        let (mut producer, mut consumer) = ends(&queue);
        let thread = thread::spawn(move || {
            drop(producer.try_reserve().unwrap());
            producer.try_push(1).unwrap();
            producer
        });
        assert_eq!(consumer.pop(), Ok(1));
        thread.join().unwrap();
    });
}

#[test]
fn two_who_find_an_orphan_skip_it_once() {
    model(|| {
        let queue = queue(2, 0, Delivery::AtMostOnce);
        let (mut producer, mut one) = ends(&queue);
        let mut dead = queue.producer().unwrap();
        std::mem::forget(dead.try_reserve().unwrap());
        drop(dead);
        producer.try_push(1).unwrap();
        let mut other = one.clone();
        let thread = thread::spawn(move || other.try_pop());
        let mine = one.try_pop();
        let got: Vec<u64> = [mine, thread.join().unwrap()].into_iter().flatten().collect();
        assert_eq!(got, [1]);
        producer.try_push_slice(&[2, 3]).unwrap();
        assert_eq!(rest(&mut one), [2, 3]);
    });
}

#[test]
fn what_is_taken_is_not_written_before_it_is_acknowledged() {
    model(|| {
        kernel(Fences::Naps);
        let queue = Queue::<[u64; 2]>::options()
            .capacity(1)
            .delivery(Delivery::AtLeastOnce)
            .private()
            .unwrap();
        let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        producer.try_push([1, 1]).unwrap();
        let thread = thread::spawn(move || producer.try_push([2, 2]).is_ok());
        assert_eq!(consumer.take().unwrap().acknowledge(), [1, 1]);
        let pushed = thread.join().unwrap();
        assert_eq!(consumer.try_pop().is_ok(), pushed);
    });
}

#[test]
fn what_is_given_back_comes_again_whole() {
    model(|| {
        let queue = queue(2, 0, Delivery::AtLeastOnce);
        let (mut producer, mut one) = ends(&queue);
        let mut other = one.clone();
        producer.try_push(1).unwrap();
        let thread = thread::spawn(move || {
            drop(other.try_take());
            other
        });
        let first = one.try_pop();
        let _other = thread.join().unwrap();
        match first {
            Ok(value) => assert_eq!(value, 1),
            Err(error) => {
                assert_eq!(error, PopError::Empty);
                let taken = one.try_take().unwrap();
                assert!(taken.is_again());
                assert_eq!(taken.acknowledge(), 1);
            }
        }
        assert_eq!(one.try_pop(), Err(PopError::Empty));
    });
}

#[test]
fn two_acknowledge_next_to_each_other_and_all_room_is_there() {
    model(|| {
        let queue = queue(2, 0, Delivery::AtLeastOnce);
        let (mut producer, mut one) = ends(&queue);
        let mut other = one.clone();
        producer.try_push_slice(&[1, 2]).unwrap();
        let thread = thread::spawn(move || {
            other.try_pop().unwrap();
            other
        });
        one.try_pop().unwrap();
        let _other = thread.join().unwrap();
        producer.try_push(3).unwrap();
        producer.try_push(4).unwrap();
        assert_eq!(rest(&mut one), [3, 4]);
    });
}

#[test]
fn the_last_acknowledgement_wakes_who_waits_for_what_may_come_again() {
    model(|| {
        let queue = queue(2, 0, Delivery::AtLeastOnce);
        let (mut producer, mut one) = ends(&queue);
        let mut other = one.clone();
        producer.try_push(1).unwrap();
        let taken = one.try_take().unwrap();
        drop(producer);
        let thread = thread::spawn(move || other.pop());
        assert_eq!(taken.acknowledge(), 1);
        assert_eq!(thread.join().unwrap(), Err(PopError::Closed));
    });
}

#[test]
fn each_value_of_a_run_is_whole() {
    model(|| {
        let queue = Queue::<[u64; 2]>::options().capacity(2).private().unwrap();
        let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        let thread = thread::spawn(move || {
            producer.try_push([1, 1]).unwrap();
            producer.try_push([2, 2]).unwrap();
            producer
        });
        let mut out = [[0; 2]; 2];
        let count = consumer.try_pop_slice(&mut out).unwrap_or(0);
        assert_eq!(out[..count], [[1, 1], [2, 2]][..count]);
        thread.join().unwrap();
    });
}

#[test]
fn a_value_is_whole_when_it_is_taken() {
    model(|| {
        let queue = queue(2, 0, Delivery::AtLeastOnce);
        let (mut producer, mut consumer) = ends(&queue);
        let thread = thread::spawn(move || {
            producer.try_push(1).unwrap();
            producer
        });
        match consumer.try_pop() {
            Ok(value) => assert_eq!(value, 1),
            Err(error) => assert!(is_not_yet(error)),
        }
        thread.join().unwrap();
    });
}

/// Who gives it back had it from its producer, and hands that on.
#[test]
fn a_value_that_comes_again_is_whole() {
    model(|| {
        kernel(Fences::Naps);
        let queue = queue(2, 0, Delivery::AtLeastOnce);
        let (mut producer, mut one) = ends(&queue);
        let mut other = one.clone();
        let thread = thread::spawn(move || {
            producer.try_push(1).unwrap();
            drop(other.try_take());
            (producer, other)
        });
        match one.try_pop() {
            Ok(value) => assert_eq!(value, 1),
            Err(error) => assert!(is_not_yet(error)),
        }
        thread.join().unwrap();
    });
}

/// The producer itself moves the head over both slots, looks at the word of the first only, and writes to both.
#[test]
fn a_run_is_not_written_before_all_of_it_was_read() {
    coarse_model(|| {
        kernel(Fences::Naps);
        let queue = queue(2, 0, Delivery::AtLeastOnce);
        let (mut producer, mut one) = ends(&queue);
        let mut other = one.clone();
        producer.try_push_slice(&[1, 2]).unwrap();
        let first = thread::spawn(move || {
            one.try_pop().unwrap();
            one
        });
        let second = thread::spawn(move || {
            other.try_pop().unwrap();
            other
        });
        let _ = producer.try_push_slice(&[3, 4]);
        let _ends = (first.join().unwrap(), second.join().unwrap());
    });
}

#[test]
fn who_follows_the_hint_has_seen_what_is_before_it() {
    model(|| {
        // The second one reaches the first, which is alone, by the heavy fence.
        kernel(Fences::Both);
        // The hint is stored at multiples of 16, and looked at by who has walked over as many positions.
        let queue = queue(32, 15, Delivery::AtMostOnce);
        let (mut ahead, mut consumer) = ends(&queue);
        let mut behind = queue.producer().unwrap();
        kernel(Fences::Naps);
        assert_eq!(ahead.try_push_slice(&[0; 16]), Ok(16));
        assert_eq!(consumer.try_pop_slice(&mut [1; 16]), Ok(16));
        let thread = thread::spawn(move || {
            ahead.try_push(1).unwrap();
            ahead
        });
        behind.try_push(3).unwrap();
        loop {
            match consumer.try_pop() {
                Ok(3) => break,
                Ok(_) => {}
                Err(PopError::Stalled { .. }) => break,
                Err(error) => panic!("{error}, with a value behind the head"),
            }
        }
        thread.join().unwrap();
    });
}

#[test]
fn a_newcomer_is_not_taken_for_gone() {
    fn explore<T: Plain + PartialEq + Debug + Send + Sync>(value: T) {
        model(move || {
            let queue = Queue::<T>::options().capacity(2).private().unwrap();
            let (producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
            let onlooker = thread::spawn(move || {
                producer.held_by();
                producer
            });
            // Who claims is not who took the place.
            let mut newcomer = queue.producer().unwrap();
            let thread = thread::spawn(move || {
                newcomer.try_push(value).unwrap();
                newcomer
            });
            let mut rest = || std::iter::from_fn(|| consumer.try_pop().ok()).collect::<Vec<T>>();
            let mut got = rest();
            let _ends = (onlooker.join().unwrap(), thread.join().unwrap());
            got.extend(rest());
            assert_eq!(got, [value]);
        });
    }
    explore(7_u64);
    // Claimed by words of their own.
    explore([7_u64; 2]);
}

#[test]
fn a_newcomer_who_took_something_is_not_taken_for_gone() {
    model(|| {
        let queue = queue(2, 0, Delivery::AtLeastOnce);
        let (mut producer, mut consumer) = ends(&queue);
        producer.try_push(7).unwrap();
        let onlooker = thread::spawn(move || {
            let got = consumer.try_pop().ok();
            (consumer, got)
        });
        let mut newcomer = queue.consumer().unwrap();
        let thread = thread::spawn(move || {
            let got = newcomer.try_take().ok().map(|taken| taken.acknowledge());
            (newcomer, got)
        });
        let (_one, theirs) = onlooker.join().unwrap();
        let (_other, mine) = thread.join().unwrap();
        let got: Vec<u64> = [mine, theirs].into_iter().flatten().collect();
        assert_eq!(got, [7]);
    });
}

#[test]
fn what_was_done_before_the_last_value_was_taken_is_done_when_it_is_flushed() {
    model(|| {
        let queue = queue(2, 0, Delivery::AtMostOnce);
        let (mut producer, mut consumer) = ends(&queue);
        let word = Arc::new(AtomicU64::new(0));
        producer.try_push(1).unwrap();
        let done = Arc::clone(&word);
        let thread = thread::spawn(move || {
            done.store(1, Relaxed);
            assert_eq!(consumer.try_pop(), Ok(1));
            consumer
        });
        if producer.flush(Some(Duration::ZERO)).is_ok() {
            assert_eq!(word.load(Relaxed), 1);
        }
        thread.join().unwrap();
    });
}

/// Who is alone writes without a claim; who comes meanwhile claims. Neither writes where the other one does, and all
/// of it comes.
#[test]
fn a_newcomer_claims_behind_one_that_was_alone() {
    model(|| {
        let queue = Queue::<[u64; 2]>::options().capacity(2).private().unwrap();
        let (mut alone, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        let thread = thread::spawn(move || {
            alone.try_push([1, 1]).unwrap();
            alone
        });
        let mut newcomer = queue.producer().unwrap();
        newcomer.try_push([2, 2]).unwrap();
        let mut alone = thread.join().unwrap();
        let mut got = [consumer.try_pop().unwrap(), consumer.try_pop().unwrap()];
        got.sort();
        assert_eq!(got, [[1, 1], [2, 2]]);
        alone.try_push([3, 3]).unwrap();
        newcomer.try_push([4, 4]).unwrap();
        assert_eq!((consumer.try_pop(), consumer.try_pop()), (Ok([3, 3]), Ok([4, 4])));
    });
}

/// What it writes without a claim, one after another, comes in order and whole while a newcomer comes.
#[test]
fn one_that_was_alone_keeps_its_order() {
    model(|| {
        let queue = Queue::<[u64; 2]>::options().capacity(4).private().unwrap();
        let (mut alone, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        let thread = thread::spawn(move || {
            alone.try_push([1, 1]).unwrap();
            alone.try_push([2, 2]).unwrap();
            alone
        });
        let mut newcomer = queue.producer().unwrap();
        newcomer.try_push([3, 3]).unwrap();
        let _alone = thread.join().unwrap();
        let got: Vec<u64> =
            std::iter::from_fn(|| consumer.try_pop().ok()).map(|value| value[0]).collect();
        assert!([vec![1, 2, 3], vec![1, 3, 2], vec![3, 1, 2]].contains(&got), "{got:?}");
    });
}

/// The slot of an earlier turn is written without a claim only when it was read, whoever comes meanwhile.
#[test]
fn one_that_is_alone_writes_to_no_slot_that_is_being_read() {
    model(|| {
        let queue = Queue::<[u64; 2]>::options()
            .capacity(1)
            .delivery(Delivery::AtLeastOnce)
            .private()
            .unwrap();
        let (mut alone, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        alone.try_push([1, 1]).unwrap();
        let thread = thread::spawn(move || alone.try_push([2, 2]).is_ok());
        assert_eq!(consumer.take().unwrap().acknowledge(), [1, 1]);
        let mut newcomer = queue.producer().unwrap();
        let theirs = thread.join().unwrap();
        let pushed = newcomer.try_push([3, 3]).is_ok();
        assert!(pushed != theirs, "room for one");
        assert_eq!(consumer.try_pop(), Ok(if theirs { [2, 2] } else { [3, 3] }));
    });
}
