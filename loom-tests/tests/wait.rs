//! Sleeping and waking: a wake-up that can be lost is a deadlock, which loom reports.
#![cfg(loom)]

use loom::thread;
use loom_tests::model;
use ringlane::model::{Fences, kernel};
use ringlane::spsc::{Consumer, Producer, Queue};
use ringlane::{PopError, PushError, Wait};

fn ends(capacity: usize) -> (Queue<u64>, Producer<u64>, Consumer<u64>) {
    let queue = Queue::<u64>::private(capacity).unwrap();
    let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    producer.set_wait(Wait::Park);
    consumer.set_wait(Wait::Park);
    (queue, producer, consumer)
}

/// Meanwhile another thread produces. It may give the producer back, which then stays open.
fn consumer_sleeps<P: 'static>(
    capacity: usize,
    produce: fn(Producer<u64>) -> P,
    consume: fn(&mut Consumer<u64>),
) {
    model(move || {
        let (_queue, producer, mut consumer) = ends(capacity);
        let thread = thread::spawn(move || produce(producer));
        consume(&mut consumer);
        thread.join().unwrap();
    });
}

/// The ring is full, and another thread consumes meanwhile. It may give the consumer back, as above.
fn producer_sleeps<C: 'static>(
    consume: fn(Consumer<u64>) -> C,
    produce: fn(&mut Producer<u64>),
    then: fn(C),
) {
    model(move || {
        let (_queue, mut producer, consumer) = ends(1);
        producer.try_push(1).unwrap();
        let thread = thread::spawn(move || consume(consumer));
        produce(&mut producer);
        then(thread.join().unwrap());
    });
}

fn pop_both(consumer: &mut Consumer<u64>) {
    assert_eq!(consumer.pop(), Ok(1));
    assert_eq!(consumer.pop(), Ok(2));
}

fn try_pop_one(mut consumer: Consumer<u64>) -> Consumer<u64> {
    assert_eq!(consumer.try_pop(), Ok(1));
    consumer
}

#[test]
fn a_sleeping_consumer_wakes_for_a_value() {
    let produce = |mut producer: Producer<u64>| {
        producer.try_push(1).unwrap();
        producer
    };
    consumer_sleeps(1, produce, |consumer| assert_eq!(consumer.pop(), Ok(1)));
}

#[test]
fn a_sleeping_consumer_wakes_for_each_of_two_values() {
    let produce = |mut producer: Producer<u64>| {
        producer.try_push(1).unwrap();
        producer.try_push(2).unwrap();
        producer
    };
    consumer_sleeps(2, produce, pop_both);
}

#[test]
fn a_sleeping_producer_wakes_for_room() {
    let produce = |producer: &mut Producer<u64>| producer.push(2).unwrap();
    producer_sleeps(try_pop_one, produce, |mut consumer| assert_eq!(consumer.try_pop(), Ok(2)));
}

#[test]
fn both_sleep_in_turn() {
    let produce = |mut producer: Producer<u64>| {
        producer.push(1).unwrap();
        producer.push(2).unwrap();
        producer
    };
    consumer_sleeps(1, produce, pop_both);
}

#[test]
fn a_sleeping_consumer_wakes_for_a_close() {
    let consume = |consumer: &mut Consumer<u64>| assert_eq!(consumer.pop(), Err(PopError::Closed));
    consumer_sleeps(1, Producer::close, consume);
}

#[test]
fn a_sleeping_consumer_takes_the_last_value_and_then_wakes_for_the_close() {
    let produce = |mut producer: Producer<u64>| {
        producer.try_push(1).unwrap();
        producer.close();
    };
    consumer_sleeps(1, produce, |consumer| {
        assert_eq!(consumer.pop(), Ok(1));
        assert_eq!(consumer.pop(), Err(PopError::Closed));
    });
}

#[test]
fn a_sleeping_producer_wakes_for_a_close() {
    let produce = |producer: &mut Producer<u64>| {
        assert!(matches!(producer.push(2), Err(PushError::Closed(2))));
    };
    producer_sleeps(Consumer::close, produce, drop);
}

#[test]
fn a_flush_wakes_when_the_last_value_is_taken() {
    producer_sleeps(try_pop_one, |producer| producer.flush(None).unwrap(), drop);
}

/// The old consumer was called for its first sleep; the new one's first sleep must not look like it.
#[test]
fn a_successor_sleeps_and_wakes_like_the_first() {
    model(|| {
        let (queue, mut producer, mut consumer) = ends(1);
        let thread = thread::spawn(move || {
            producer.try_push(1).unwrap();
            while producer.try_push(2).is_err_and(|e| e.is_full() || e == PushError::Closed(2)) {
                thread::yield_now();
            }
            producer
        });
        assert_eq!(consumer.pop(), Ok(1));
        drop(consumer);
        let mut successor = queue.consumer().unwrap();
        successor.set_wait(Wait::Park);
        assert_eq!(successor.pop(), Ok(2));
        thread.join().unwrap();
    });
}

#[test]
fn who_waits_for_a_peer_wakes_when_it_comes() {
    model(|| {
        let queue = Queue::<u64>::private(1).unwrap();
        let mut producer = queue.producer().unwrap();
        producer.set_wait(Wait::Park);
        let thread = thread::spawn(move || queue.consumer().unwrap());
        assert!(producer.wait_peer(None));
        thread.join().unwrap();
    });
}

#[test]
fn a_consumer_that_comes_late_is_woken_all_the_same() {
    model(|| {
        let queue = Queue::<u64>::private(1).unwrap();
        let mut producer = queue.producer().unwrap();
        let thread = thread::spawn(move || {
            let mut consumer = queue.consumer().unwrap();
            consumer.set_wait(Wait::Park);
            assert_eq!(consumer.pop(), Ok(1));
        });
        producer.try_push(1).unwrap();
        thread.join().unwrap();
    });
}

/// A waker that no heavy fence reaches fences for itself.
#[test]
fn a_sleeper_wakes_where_there_is_no_heavy_fence() {
    model(|| {
        kernel(Fences::Neither);
        let (_queue, mut producer, mut consumer) = ends(1);
        let thread = thread::spawn(move || {
            producer.try_push(1).unwrap();
            producer
        });
        assert_eq!(consumer.pop(), Ok(1));
        thread.join().unwrap();
    });
}

/// The sleeper sees that the newcomer runs without fences, and naps, or is called.
#[test]
fn a_newcomer_without_fences_does_not_come_unseen() {
    model(|| {
        kernel(Fences::Naps);
        let queue = Queue::<u64>::private(1).unwrap();
        let mut consumer = queue.consumer().unwrap();
        consumer.set_wait(Wait::Park);
        let thread = thread::spawn(move || {
            let mut producer = queue.producer().unwrap();
            producer.try_push(1).unwrap();
            producer
        });
        assert_eq!(consumer.pop(), Ok(1));
        thread.join().unwrap();
    });
}
