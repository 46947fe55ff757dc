//! Rings for many whose participants come, close and die while others look. Most run without the full fence that
//! otherwise stands for a waker's light one: it would order what has to be ordered without it.
#![cfg(loom)]

use loom::thread;
use loom_tests::{model, shallow_model};
use ringlane::model::{Fences, die_with, kernel};
use ringlane::mpmc::{Consumer, Delivery, Queue};
use ringlane::mpmc_record;
use ringlane::{ErrorKind, Peer, PopError, Wait};
use std::sync::Arc;

fn queue(delivery: Delivery) -> Queue<u64> {
    Queue::<u64>::options().capacity(2).delivery(delivery).private().unwrap()
}

fn sleeper(queue: &Queue<u64>) -> Consumer<u64> {
    let mut consumer = queue.consumer().unwrap();
    consumer.set_wait(Wait::Park);
    consumer
}

/// Who finds a claim of a newcomer's must not take it for what a former holder of the place left.
#[test]
fn a_newcomer_that_has_claimed_is_not_taken_for_gone() {
    model(|| {
        kernel(Fences::Naps);
        let queue = queue(Delivery::AtMostOnce);
        let mut consumer = queue.consumer().unwrap();
        let thread = thread::spawn(move || {
            let mut producer = queue.producer().unwrap();
            producer.try_push_slice(&[1, 2]).unwrap();
            producer
        });
        let mut got: Vec<u64> = consumer.try_pop().into_iter().collect();
        let _producer = thread.join().unwrap();
        got.extend(std::iter::from_fn(|| consumer.try_pop().ok()));
        assert_eq!(got, [1, 2]);
    });
}

/// The same where the claim is only looked at, by who asks for whom all wait.
#[test]
fn a_newcomer_that_holds_something_lives() {
    model(|| {
        // Who is alone would have to be reached by the heavy fence.
        kernel(Fences::Neither);
        let queue = queue(Delivery::AtMostOnce);
        let one = queue.producer().unwrap();
        kernel(Fences::Naps);
        let thread = thread::spawn(move || {
            let mut other = queue.producer().unwrap();
            std::mem::forget(other.try_reserve().unwrap());
            other
        });
        one.held_by();
        let _other = thread.join().unwrap();
        assert!(one.held_by().is_some());
    });
}

#[test]
fn a_newcomer_that_has_taken_is_not_taken_for_gone() {
    model(|| {
        kernel(Fences::Naps);
        let queue = queue(Delivery::AtLeastOnce);
        let (mut producer, mut one) = (queue.producer().unwrap(), queue.consumer().unwrap());
        producer.try_push_slice(&[1, 2]).unwrap();
        assert_eq!(one.try_pop(), Ok(1));
        let thread = thread::spawn(move || {
            let mut other = queue.consumer().unwrap();
            let taken = other.try_take().ok().map(std::mem::forget);
            (taken.is_some(), other)
        });
        let mine = one.try_take().map(|taken| assert!(!taken.is_again()));
        let (theirs, _other) = thread.join().unwrap();
        assert!(theirs || mine.is_ok());
    });
}

/// It took what another one gave back, behind the place where the onlooker goes on.
#[test]
fn a_newcomer_that_took_what_came_again_is_not_taken_for_gone() {
    shallow_model(|| {
        kernel(Fences::Naps);
        let queue = queue(Delivery::AtLeastOnce);
        let (mut producer, mut one) = (queue.producer().unwrap(), queue.consumer().unwrap());
        let mut first = one.clone();
        producer.try_push(1).unwrap();
        let taken = first.try_take().unwrap();
        assert_eq!(one.try_pop(), Err(PopError::Empty));
        let thread = thread::spawn(move || {
            let taken = one.try_take().is_ok_and(|taken| taken.acknowledge() == 1);
            (taken, one)
        });
        drop(taken);
        let mut other = queue.consumer().unwrap();
        let mine = other.try_take().map(std::mem::forget).is_ok();
        let (theirs, _one) = thread.join().unwrap();
        assert!(mine != theirs, "both, or none: {mine}");
    });
}

/// Who looks who is there, and sees that something has changed, sees what it was.
#[test]
fn a_close_is_seen_once_something_has_changed() {
    model(|| {
        kernel(Fences::Naps);
        let queue = queue(Delivery::AtMostOnce);
        let (mut consumer, producer) = (queue.consumer().unwrap(), queue.producer().unwrap());
        let thread = thread::spawn(move || producer.close());
        let first = consumer.try_pop();
        assert!(matches!(first, Err(PopError::Empty | PopError::Closed)));
        thread.join().unwrap();
        assert_eq!(consumer.try_pop(), Err(PopError::Closed));
    });
}

/// The consumer looks who is there because another one closed before, and finds the last close by chance.
#[test]
fn what_was_pushed_before_the_last_close_comes_before_it() {
    model(|| {
        kernel(Fences::Naps);
        let queue = queue(Delivery::AtMostOnce);
        let mut consumer = queue.consumer().unwrap();
        let mut producer = queue.producer().unwrap();
        let thread = thread::spawn(move || {
            producer.try_push(1).unwrap();
            producer.close();
        });
        let first = consumer.try_pop();
        assert!(matches!(first, Ok(1) | Err(PopError::Empty | PopError::Stalled { .. })));
        thread.join().unwrap();
    });
}

/// Another consumer has found the producer dead, and written it down.
#[test]
fn what_was_pushed_before_a_death_comes_before_it() {
    model(|| {
        kernel(Fences::Naps);
        let queue = queue(Delivery::AtMostOnce);
        let mut consumer = sleeper(&queue);
        let (mut producer, other) = (queue.producer().unwrap(), queue.consumer().unwrap());
        let thread = thread::spawn(move || {
            producer.try_push(1).unwrap();
            die_with(producer);
            assert_eq!(other.peer(), Peer::Died);
            other
        });
        assert_eq!(consumer.pop(), Ok(1));
        let _other = thread.join().unwrap();
        assert_eq!(consumer.pop(), Err(PopError::PeerDied));
    });
}

/// Room that a dead producer wrote to is given up by one, passed by another, and written to. Neither of those who live
/// asks the kernel meanwhile, which would order it, too.
#[test]
fn what_the_dead_wrote_comes_before_what_the_living_write_there() {
    model(|| {
        kernel(Fences::Naps);
        let mut options = mpmc_record::Queue::options();
        let queue = options.capacity(64).longest(1).private().unwrap();
        let (mut consumer, mut other) = (queue.consumer().unwrap(), queue.consumer().unwrap());
        let (mut dead, mut producer) = (queue.producer().unwrap(), queue.producer().unwrap());
        assert_eq!(other.try_pop(), Err(PopError::Empty));
        let thread = thread::spawn(move || {
            if let Ok(mut room) = dead.try_reserve(1) {
                room.write_at(0, &[1]);
                std::mem::forget(room);
            }
            die_with(dead);
            let _ = consumer.try_pop();
            consumer
        });
        let _ = other.try_pop();
        if let Ok(mut room) = producer.try_reserve(1) {
            room.write_at(0, &[2]);
            room.commit_len(1);
        }
        let _consumer = thread.join().unwrap();
    });
}

/// What a dead consumer held comes again, whole.
#[test]
fn what_the_dead_held_comes_again_whole() {
    model(|| {
        kernel(Fences::Naps);
        let queue = queue(Delivery::AtLeastOnce);
        let (mut producer, mut one) = (queue.producer().unwrap(), queue.consumer().unwrap());
        let mut other = queue.consumer().unwrap();
        let thread = thread::spawn(move || {
            producer.try_push(1).unwrap();
            std::mem::forget(other.try_take());
            die_with(other);
            producer
        });
        let first = one.try_pop();
        assert!(first.is_ok_and(|value| value == 1) || first.is_err_and(|error| error.is_empty()));
        let _producer = thread.join().unwrap();
        assert!(first.is_ok() || one.try_pop() == Ok(1));
    });
}

/// Each of them sees the other one, be it that the other one was faster: neither goes without claims. Who finds the other
/// one alone knows where it began, and not what the word said before, which is behind the ring's first position.
#[test]
fn two_that_come_at_once_are_not_alone() {
    shallow_model(|| {
        let queue = Queue::<u64>::options().capacity(2).start(u64::MAX).private().unwrap();
        let (mut consumer, queue) = (queue.consumer().unwrap(), Arc::new(queue));
        let theirs = Arc::clone(&queue);
        let thread = thread::spawn(move || {
            let mut producer = theirs.producer().unwrap();
            producer.try_push(1).unwrap();
            producer
        });
        let mut producer = queue.producer().unwrap();
        producer.try_push(2).unwrap();
        let _other = thread.join().unwrap();
        let mut got = [consumer.try_pop().unwrap(), consumer.try_pop().unwrap()];
        got.sort();
        assert_eq!(got, [1, 2]);
    });
}

/// Who comes when one that was alone has a clone sees what it published without a claim.
#[test]
fn what_one_alone_published_is_seen_once_it_has_a_clone() {
    model(|| {
        kernel(Fences::Both);
        let queue = Queue::<[u64; 2]>::options().capacity(2).private().unwrap();
        let (mut alone, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        kernel(Fences::Naps);
        let thread = thread::spawn(move || {
            alone.try_push([1; 2]).unwrap();
            (alone.clone(), alone)
        });
        // Before that it is refused.
        let newcomer = queue.producer().map(|mut newcomer| {
            newcomer.try_push([2; 2]).unwrap();
            newcomer
        });
        let _ends = thread.join().unwrap();
        assert_eq!(consumer.try_pop(), Ok([1; 2]));
        assert_eq!(consumer.try_pop().is_ok(), newcomer.is_ok());
    });
}

/// A newcomer that cannot reach the one that is alone does not come, and that one goes on.
#[test]
fn who_cannot_reach_the_one_that_is_alone_is_refused() {
    model(|| {
        kernel(Fences::Both);
        let queue = queue(Delivery::AtMostOnce);
        let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        kernel(Fences::Naps);
        let thread = thread::spawn(move || queue.producer().map(drop).unwrap_err().kind());
        producer.try_push(1).unwrap();
        assert_eq!(thread.join().unwrap(), ErrorKind::Unsupported);
        producer.try_push(2).unwrap();
        assert_eq!((consumer.try_pop(), consumer.try_pop()), (Ok(1), Ok(2)));
    });
}

/// A waker that no heavy fence reaches fences for itself.
#[test]
fn a_sleeper_wakes_where_there_is_no_heavy_fence() {
    model(|| {
        kernel(Fences::Neither);
        let queue = queue(Delivery::AtMostOnce);
        let (mut consumer, mut producer) = (sleeper(&queue), queue.producer().unwrap());
        let thread = thread::spawn(move || {
            producer.try_push(1).unwrap();
            producer
        });
        assert_eq!(consumer.pop(), Ok(1));
        let _producer = thread.join().unwrap();
    });
}

/// The sleeper sees that the newcomer runs without fences, and naps, or is called.
#[test]
fn a_newcomer_without_fences_does_not_come_unseen() {
    model(|| {
        kernel(Fences::Naps);
        let queue = queue(Delivery::AtMostOnce);
        let mut consumer = sleeper(&queue);
        let thread = thread::spawn(move || {
            let mut producer = queue.producer().unwrap();
            producer.try_push(1).unwrap();
            producer
        });
        assert_eq!(consumer.pop(), Ok(1));
        let _producer = thread.join().unwrap();
    });
}
