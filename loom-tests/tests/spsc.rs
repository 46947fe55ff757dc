//! Values: publication, reuse of slots, close, and a successor's start.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use loom::thread;
use loom_tests::deep_model as model;
use ringlane::model::{Fences, kernel};
use ringlane::spsc::{Consumer, Layout, Producer, Queue};
use ringlane::{Peer, PopError, PushError, Wait};
use std::time::Duration;

type Ends = (Queue<u64>, Producer<u64>, Consumer<u64>);

fn ends(capacity: usize, start: u64) -> Ends {
    laid_out(Layout::Slots, capacity, start)
}

fn laid_out(layout: Layout, capacity: usize, start: u64) -> Ends {
    let mut options = Queue::<u64>::options();
    let queue = options.capacity(capacity).start(start).layout(layout).private().unwrap();
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
        kernel(Fences::Naps);
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

fn commit(producer: &mut Producer<u64>, values: &[u64]) -> bool {
    let Ok(mut room) = producer.try_reserve(values.len()) else { return false };
    room.copy_from_slice(values);
    room.commit();
    true
}

/// What is there, released.
fn take(consumer: &mut Consumer<u64>, most: usize) -> Vec<u64> {
    let Ok(span) = consumer.try_read(most) else { return vec![] };
    let values = span.iter().collect();
    span.release();
    values
}

#[test]
fn a_commit_of_two_appears_from_the_front() {
    model(|| {
        let (_queue, mut producer, mut consumer) = ends(2, u64::MAX);
        let thread = thread::spawn(move || {
            assert!(commit(&mut producer, &[1, 2]));
            producer
        });
        let mut seen = take(&mut consumer, 4);
        assert!([1, 2].starts_with(&seen), "{seen:?}");
        let _producer = thread.join().unwrap();
        seen.extend(take(&mut consumer, 4));
        assert_eq!(seen, [1, 2]);
    });
}

#[test]
fn a_commit_of_two_side_by_side_appears_as_one() {
    for capacity in [2, 4] {
        model(move || {
            let (_queue, mut producer, mut consumer) = laid_out(Layout::Dense, capacity, u64::MAX);
            let thread = thread::spawn(move || {
                assert!(commit(&mut producer, &[1, 2]));
                producer
            });
            let seen = take(&mut consumer, 4);
            assert!(seen.is_empty() || seen == [1, 2], "{seen:?}");
            let _producer = thread.join().unwrap();
            assert_eq!([seen, take(&mut consumer, 4)].concat(), [1, 2]);
        });
    }
}

#[test]
fn a_span_is_not_written_over_before_it_was_released() {
    for layout in [Layout::Slots, Layout::Dense] {
        model(move || {
            let (_queue, mut producer, mut consumer) = laid_out(layout, 2, 0);
            assert!(commit(&mut producer, &[1, 2]));
            let thread = thread::spawn(move || {
                let wrote = commit(&mut producer, &[3, 4]);
                (wrote, producer)
            });
            let span = consumer.try_read(2).unwrap();
            assert_eq!(span.get(0), 1);
            assert_eq!(span.iter().collect::<Vec<_>>(), [1, 2]);
            span.release();
            let (wrote, _producer) = thread.join().unwrap();
            assert_eq!(take(&mut consumer, 2), if wrote { vec![3, 4] } else { vec![] });
        });
    }
}

/// The consumer knows of two values and gives back one: its place is used again while the other is read.
#[test]
fn a_place_that_was_given_back_is_used_again_beside_one_that_is_known() {
    for layout in [Layout::Slots, Layout::Dense] {
        model(move || {
            let (_queue, mut producer, mut consumer) = laid_out(layout, 2, 0);
            assert!(commit(&mut producer, &[1, 2]));
            let thread = thread::spawn(move || {
                let wrote = producer.try_push(3).is_ok();
                (wrote, producer)
            });
            let span = consumer.try_read(2).unwrap();
            assert_eq!((span.len(), span.get(0)), (2, 1));
            span.release_len(1);
            assert_eq!(consumer.try_pop(), Ok(2));
            let early = take(&mut consumer, 2);
            let (wrote, _producer) = thread.join().unwrap();
            let late = take(&mut consumer, 2);
            assert_eq!([early, late].concat(), if wrote { vec![3] } else { vec![] });
        });
    }
}

#[test]
fn a_single_place_goes_round_and_round() {
    model(|| {
        let (_queue, mut producer, mut consumer) = laid_out(Layout::Dense, 1, u64::MAX);
        let thread = thread::spawn(move || {
            let pushed = (1..=3).take_while(|n| producer.try_push(*n).is_ok()).count() as u64;
            (pushed, producer)
        });
        let mut seen = vec![];
        for _ in 0..2 {
            seen.extend(consumer.try_pop());
        }
        let (pushed, _producer) = thread.join().unwrap();
        seen.extend(consumer.try_iter());
        assert_eq!(seen, (1..=pushed).collect::<Vec<_>>());
    });
}

#[test]
fn what_was_committed_before_a_close_comes_before_it() {
    for layout in [Layout::Slots, Layout::Dense] {
        model(move || {
            kernel(Fences::Naps);
            let (_queue, mut producer, mut consumer) = laid_out(layout, 2, 0);
            let thread = thread::spawn(move || {
                assert!(commit(&mut producer, &[1, 2]));
                producer.close();
            });
            let mut seen = vec![];
            let end = loop {
                match consumer.try_read(2) {
                    Ok(span) => {
                        seen.extend(span.iter());
                        span.release();
                    }
                    Err(PopError::Empty) => thread::yield_now(),
                    Err(error) => break error,
                }
            };
            thread.join().unwrap();
            assert_eq!((end, seen), (PopError::Closed, vec![1, 2]));
        });
    }
}

#[test]
fn a_commit_against_a_close_is_refused_or_left() {
    for layout in [Layout::Slots, Layout::Dense] {
        model(move || {
            let (queue, mut producer, consumer) = laid_out(layout, 2, 0);
            let thread = thread::spawn(move || consumer.close());
            let wrote = commit(&mut producer, &[1, 2]);
            thread.join().unwrap();
            let mut successor = queue.consumer().unwrap();
            assert_eq!(successor.depth(), if wrote { 2 } else { 0 });
            assert_eq!(take(&mut successor, 2), if wrote { vec![1, 2] } else { vec![] });
        });
    }
}

#[test]
fn a_successor_commits_where_the_last_one_stopped() {
    for layout in [Layout::Slots, Layout::Dense] {
        model(move || {
            let (queue, mut producer, mut consumer) = laid_out(layout, 4, u64::MAX);
            let thread = thread::spawn(move || {
                assert!(commit(&mut producer, &[1, 2]));
                drop(producer);
                let mut successor = queue.producer().unwrap();
                assert!(commit(&mut successor, &[3, 4]));
                successor
            });
            let mut seen = take(&mut consumer, 4);
            let _successor = thread.join().unwrap();
            seen.extend(take(&mut consumer, 4));
            assert_eq!(seen, [1, 2, 3, 4]);
        });
    }
}

/// The first consumer gives back one of two; the next one reads the other, and its place is used again.
#[test]
fn a_successor_reads_on_where_the_last_one_stopped() {
    for layout in [Layout::Slots, Layout::Dense] {
        model(move || {
            let (queue, mut producer, mut consumer) = laid_out(layout, 2, 0);
            assert!(commit(&mut producer, &[1, 2]));
            let thread = thread::spawn(move || {
                consumer.try_read(2).unwrap().release_len(1);
                drop(consumer);
                let mut successor = queue.consumer().unwrap();
                assert_eq!(successor.try_pop(), Ok(2));
                successor
            });
            let wrote = commit(&mut producer, &[3, 4]);
            let mut successor = thread.join().unwrap();
            assert_eq!(take(&mut successor, 2), if wrote { vec![3, 4] } else { vec![] });
        });
    }
}

/// Who waits for room for two is not content with one, and sleeps on.
#[test]
fn who_waits_for_room_or_values_is_woken_by_a_span() {
    for layout in [Layout::Slots, Layout::Dense] {
        model(move || {
            let (_queue, mut producer, mut consumer) = laid_out(layout, 2, 0);
            assert!(commit(&mut producer, &[1, 2]));
            let thread = thread::spawn(move || {
                let mut room = producer.reserve(2).unwrap();
                room.fill([3, 4]);
                room.commit();
                producer
            });
            assert_eq!(consumer.pop(), Ok(1));
            assert_eq!(consumer.read(1).map(|span| span.get(0)), Ok(2));
            assert_eq!(take(&mut consumer, 1), [2]);
            assert_eq!(consumer.pop(), Ok(3));
            let _producer = thread.join().unwrap();
            assert_eq!(take(&mut consumer, 2), [4]);
        });
    }
}

/// Who looks finds the lock free between two holders, and the next one's state.
#[test]
fn an_end_that_changes_hands_is_not_taken_for_dead() {
    model(|| {
        kernel(Fences::Naps);
        let (queue, producer, consumer) = ends(1, 0);
        let thread = thread::spawn(move || {
            drop(producer);
            queue.producer().unwrap()
        });
        assert_ne!(consumer.peer(), Peer::Died);
        let _successor = thread.join().unwrap();
    });
}

#[test]
fn what_a_consumer_did_before_it_gave_back_is_seen_after_a_flush() {
    model(|| {
        kernel(Fences::Naps);
        let (_queue, mut producer, mut consumer) = ends(1, 0);
        producer.try_push(1).unwrap();
        let done = Arc::new(AtomicU64::new(0));
        let theirs = Arc::clone(&done);
        let thread = thread::spawn(move || {
            theirs.store(1, Relaxed);
            consumer.try_pop().unwrap();
            consumer
        });
        if producer.flush(Some(Duration::ZERO)).is_ok() {
            assert_eq!(done.load(Relaxed), 1);
        }
        let _consumer = thread.join().unwrap();
    });
}
