//! Records: the commit, the next header, padding at the end of the ring.
#![cfg(loom)]

use loom::thread;
use loom_tests::deep_model as model;
use ringlane::record::{Consumer, Producer, Queue};
use ringlane::{PopError, Wait};

/// A ring of 128 bytes, which a model's records wrap around soon.
fn ends(start: u64) -> (Producer, Consumer) {
    let mut options = Queue::options();
    let queue = options.capacity(128).mirrored(false).start(start).private().unwrap();
    assert_eq!(queue.capacity(), 128);
    let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    producer.set_wait(Wait::Park);
    consumer.set_wait(Wait::Park);
    (producer, consumer)
}

#[test]
fn a_record_is_whole_when_it_is_seen() {
    model(|| {
        let (mut producer, mut consumer) = ends(0);
        let thread = thread::spawn(move || producer.try_push(&[7; 9]).unwrap());
        match consumer.try_pop() {
            Ok(record) => assert_eq!(record, [7; 9]),
            Err(error) => assert_eq!(error, PopError::Empty),
        }
        thread.join().unwrap();
    });
}

/// Stale bytes of an earlier lap lie where the next header will be, and look like one.
#[test]
fn the_next_header_is_cleared_before_this_one_is_seen() {
    model(|| {
        let (mut producer, mut consumer) = ends(0);
        // Five words that all look like the header of a committed record of one byte at position 192.
        let tag = 192_u64.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48 << 48;
        let forged: Vec<u8> =
            [tag | 0x0101; 5].iter().flat_map(|word| word.to_ne_bytes()).collect();
        for _ in 0..2 {
            producer.try_push(&forged).unwrap();
            assert_eq!(consumer.try_pop().unwrap(), forged);
        }
        // The third begins at 96 and does not fit before 128: it goes to the front, over the first.
        producer.try_push(&forged).unwrap();
        assert_eq!(consumer.try_pop().unwrap(), forged);
        let thread = thread::spawn(move || producer.try_push(b"x").map(|()| producer));
        let popped = consumer.try_pop();
        let _producer = thread.join().unwrap().unwrap();
        match popped {
            Ok(record) => assert_eq!(record, b"x"),
            Err(error) => {
                assert_eq!(error, PopError::Empty);
                assert_eq!(consumer.try_pop().unwrap(), b"x");
            }
        }
        assert_eq!(consumer.try_pop(), Err(PopError::Empty));
    });
}

fn both(consumer: &mut Consumer, wanted: [&[u8]; 2]) -> bool {
    match consumer.try_read_many(3) {
        Ok(records) => {
            let got: Vec<_> = records.iter().map(|record| record.to_vec()).collect();
            assert_eq!(got, wanted);
            records.release();
            true
        }
        Err(error) => {
            assert_eq!(error, PopError::Empty);
            false
        }
    }
}

#[test]
fn a_batch_is_there_as_a_whole() {
    // From the front, and with padding first.
    for start in [0, 112] {
        model(move || {
            let (mut producer, mut consumer) = ends(start);
            let thread = thread::spawn(move || {
                let mut batch = producer.batch();
                batch.try_push(&[5; 16]).unwrap();
                batch.try_push(&[6; 2]).unwrap();
                batch.commit();
                producer
            });
            let seen = both(&mut consumer, [&[5; 16], &[6; 2]]);
            let _producer = thread.join().unwrap();
            assert!(seen || both(&mut consumer, [&[5; 16], &[6; 2]]));
            assert_eq!(consumer.try_pop(), Err(PopError::Empty));
        });
    }
}

/// The second record of a batch that was given up has a header, and must not pass for committed.
#[test]
fn what_is_left_of_a_batch_means_nothing() {
    model(|| {
        let (mut producer, mut consumer) = ends(0);
        let thread = thread::spawn(move || {
            let mut batch = producer.batch();
            batch.try_push(&[1; 8]).unwrap();
            batch.try_push(&[2; 8]).unwrap();
            drop(batch);
            producer.try_push(&[3; 8]).unwrap();
            producer
        });
        let first = consumer.try_pop();
        let second = consumer.try_pop();
        let _producer = thread.join().unwrap();
        match first {
            Ok(record) => assert_eq!((record, second), (vec![3; 8], Err(PopError::Empty))),
            Err(error) => assert_eq!(error, PopError::Empty),
        }
    });
}

/// As long as some of a record is not released, the producer has none of its room, and a successor of the
/// consumer finds the rest.
#[test]
fn a_record_that_is_released_in_part_is_not_written_over() {
    model(|| {
        let queue = Queue::options().capacity(128).mirrored(false).private().unwrap();
        let mut producer = queue.producer().unwrap();
        producer.try_push(&[1; 48]).unwrap();
        producer.try_push(&[2; 48]).unwrap();
        let thread = thread::spawn(move || {
            // It goes to the front, over the first, as soon as all of that is released.
            let _ = producer.try_push(&[3; 40]);
            producer
        });
        let mut consumer = queue.consumer().unwrap();
        consumer.try_read().unwrap().release_bytes(40);
        drop(consumer);
        let mut consumer = queue.consumer().unwrap();
        assert_eq!(consumer.try_pop().unwrap(), [1; 8]);
        assert_eq!(consumer.try_pop().unwrap(), [2; 48]);
        thread.join().unwrap();
    });
}

#[test]
fn padding_never_shows_without_its_record() {
    model(|| {
        // 16 bytes are left before the end; a record of 16 takes 24.
        let (mut producer, mut consumer) = ends(112);
        let thread = thread::spawn(move || producer.try_push(&[5; 16]).map(|()| producer));
        let popped = consumer.try_pop();
        let _producer = thread.join().unwrap().unwrap();
        match popped {
            Ok(record) => assert_eq!(record, [5; 16]),
            Err(error) => {
                assert_eq!(error, PopError::Empty);
                assert_eq!(consumer.try_pop().unwrap(), [5; 16]);
            }
        }
    });
}

/// The header at the front is one of an earlier lap until the padding leads there.
#[test]
fn padding_leads_to_its_record_and_to_no_older_one() {
    model(|| {
        let (mut producer, mut consumer) = ends(0);
        for lap in 0..2 {
            producer.try_push(&[lap; 48]).unwrap();
            assert_eq!(consumer.try_pop().unwrap(), [lap; 48]);
        }
        // 16 bytes are left before the end.
        let thread = thread::spawn(move || producer.try_push(&[5; 16]).map(|()| producer));
        let popped = consumer.try_pop();
        let _producer = thread.join().unwrap().unwrap();
        match popped {
            Ok(record) => assert_eq!(record, [5; 16]),
            Err(error) => {
                assert_eq!(error, PopError::Empty);
                assert_eq!(consumer.try_pop().unwrap(), [5; 16]);
            }
        }
    });
}

#[test]
fn a_successor_does_not_write_before_the_bytes_were_read() {
    model(|| {
        let queue = Queue::options().capacity(128).mirrored(false).private().unwrap();
        let mut consumer = queue.consumer().unwrap();
        {
            let mut producer = queue.producer().unwrap();
            producer.try_push(&[1; 40]).unwrap();
            producer.try_push(&[2; 40]).unwrap();
        }
        let thread = thread::spawn(move || {
            // It goes to the front, over the first.
            let _ = queue.producer().unwrap().try_push(&[3; 40]);
            queue
        });
        assert_eq!(consumer.try_pop().unwrap(), [1; 40]);
        assert_eq!(consumer.try_pop().unwrap(), [2; 40]);
        thread.join().unwrap();
    });
}

#[test]
fn bytes_are_not_written_before_they_were_read() {
    model(|| {
        let (mut producer, mut consumer) = ends(0);
        producer.try_push(&[1; 48]).unwrap();
        producer.try_push(&[2; 48]).unwrap();
        let thread = thread::spawn(move || {
            // It goes to the front, over the first, as soon as that alone is released.
            let _ = producer.try_push(&[3; 40]);
            producer
        });
        assert_eq!(consumer.try_pop().unwrap(), [1; 48]);
        thread.join().unwrap();
    });
}

#[test]
fn a_record_pushed_before_a_close_comes_before_it() {
    model(|| {
        ringlane::model::kernel(ringlane::model::Fences::Naps);
        let (mut producer, mut consumer) = ends(0);
        let thread = thread::spawn(move || {
            producer.try_push(b"last").unwrap();
            producer.close();
        });
        let popped = consumer.try_pop();
        assert!(popped == Ok(b"last".to_vec()) || popped == Err(PopError::Empty), "{popped:?}");
        thread.join().unwrap();
        if popped.is_err() {
            assert_eq!(consumer.try_pop().unwrap(), b"last");
        }
        assert_eq!(consumer.try_pop(), Err(PopError::Closed));
    });
}
