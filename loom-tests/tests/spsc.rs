//! Values: publication, reuse of slots, close, and a successor's start.
#![cfg(loom)]

use loom::thread;
use loom_tests::model;
use ringlane::spsc::{Consumer, Producer, Queue};
use ringlane::{PopError, PushError, Wait};

fn ends(capacity: usize, start: u64) -> (Queue<u64>, Producer<u64>, Consumer<u64>) {
    let queue = Queue::<u64>::options().capacity(capacity).start(start).private().unwrap();
    let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    producer.set_wait(Wait::Park);
    consumer.set_wait(Wait::Park);
    (queue, producer, consumer)
}

#[test]
fn a_value_is_whole_when_it_is_seen() {
    model(|| {
        let (_queue, mut producer, mut consumer) = ends(2, 0);
        let thread = thread::spawn(move || producer.try_push(7).unwrap());
        match consumer.try_pop() {
            Ok(value) => assert_eq!(value, 7),
            Err(error) => assert_eq!(error, PopError::Empty),
        }
        thread.join().unwrap();
    });
}

#[test]
fn a_slot_is_not_written_before_it_was_read() {
    model(|| {
        let (_queue, mut producer, mut consumer) = ends(1, 0);
        producer.try_push(1).unwrap();
        let thread = thread::spawn(move || {
            // Room only comes from the consumer's release.
            let _ = producer.try_push(2);
            producer
        });
        assert_eq!(consumer.try_pop(), Ok(1));
        let _producer = thread.join().unwrap();
        match consumer.try_pop() {
            Ok(value) => assert_eq!(value, 2),
            Err(error) => assert_eq!(error, PopError::Empty),
        }
    });
}

#[test]
fn two_values_come_in_order_through_two_slots() {
    model(|| {
        let (_queue, mut producer, mut consumer) = ends(2, u64::MAX);
        let thread = thread::spawn(move || {
            producer.try_push(1).unwrap();
            producer.try_push(2).unwrap();
            producer
        });
        let mut expected = 1;
        for _ in 0..2 {
            if let Ok(value) = consumer.try_pop() {
                assert_eq!(value, expected);
                expected += 1;
            }
        }
        thread.join().unwrap();
    });
}

#[test]
fn what_was_pushed_before_a_close_comes_before_it() {
    model(|| {
        let (_queue, mut producer, mut consumer) = ends(1, 0);
        let thread = thread::spawn(move || {
            producer.try_push(1).unwrap();
            producer.close();
        });
        let popped = consumer.try_pop();
        assert!(matches!(popped, Ok(1) | Err(PopError::Empty)), "{popped:?}");
        thread.join().unwrap();
        if popped.is_err() {
            assert_eq!(consumer.try_pop(), Ok(1));
        }
        assert_eq!(consumer.try_pop(), Err(PopError::Closed));
    });
}

#[test]
fn a_push_against_a_close_gives_the_value_back_or_leaves_it() {
    model(|| {
        let (queue, mut producer, consumer) = ends(1, 0);
        let thread = thread::spawn(move || consumer.close());
        let pushed = producer.try_push(1);
        thread.join().unwrap();
        let mut successor = queue.consumer().unwrap();
        match pushed {
            Ok(()) => assert_eq!(successor.try_pop(), Ok(1)),
            Err(PushError::Closed(1)) => assert_eq!(successor.try_pop(), Err(PopError::Empty)),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_successor_produces_where_the_last_one_stopped() {
    model(|| {
        let (queue, mut producer, mut consumer) = ends(2, 0);
        let thread = thread::spawn(move || {
            producer.try_push(1).unwrap();
            drop(producer);
            queue.producer().unwrap().try_push(2).unwrap();
        });
        let first = consumer.try_pop();
        thread.join().unwrap();
        let expected = match first {
            Ok(1) => [Ok(2), Err(PopError::Closed)],
            Err(PopError::Empty | PopError::Closed) => [Ok(1), Ok(2)],
            other => panic!("{other:?}"),
        };
        assert_eq!([consumer.try_pop(), consumer.try_pop()], expected);
    });
}

#[test]
fn a_successor_consumes_where_the_last_one_stopped() {
    model(|| {
        let (queue, mut producer, mut consumer) = ends(1, 0);
        producer.try_push(1).unwrap();
        let thread = thread::spawn(move || {
            assert_eq!(consumer.try_pop(), Ok(1));
            drop(consumer);
            let mut successor = queue.consumer().unwrap();
            let popped = successor.try_pop();
            assert!(matches!(popped, Ok(2) | Err(PopError::Empty)), "{popped:?}");
            (popped, successor)
        });
        let pushed = producer.try_push(2);
        let (popped, mut successor) = thread.join().unwrap();
        if pushed.is_ok() && popped.is_err() {
            assert_eq!(successor.try_pop(), Ok(2));
        }
    });
}

#[test]
fn a_successor_does_not_write_a_slot_before_it_was_read() {
    model(|| {
        let (queue, mut producer, mut consumer) = ends(1, 0);
        producer.try_push(1).unwrap();
        drop(producer);
        let thread = thread::spawn(move || {
            let _ = queue.producer().unwrap().try_push(2);
            queue
        });
        assert_eq!(consumer.try_pop(), Ok(1));
        thread.join().unwrap();
    });
}
