//! Sessions: what wakes a sleeper beside the peer, and that what was written before the end is read.
#![cfg(loom)]

use loom::thread;
use loom_tests::model;
use ringlane::model::{Control, linked};
use ringlane::record::{Consumer, Options, Producer};
use ringlane::{PopError, Wait};

fn ends() -> (Producer, Consumer, Control) {
    let mut options = Options::default();
    let (mut producer, mut consumer, control) = linked(options.capacity(128).mirrored(false));
    producer.set_wait(Wait::Park);
    consumer.set_wait(Wait::Park);
    (producer, consumer, control)
}

#[test]
fn a_message_wakes_who_waits_for_the_connection_too() {
    model(|| {
        let (mut producer, mut consumer, _control) = ends();
        let thread = thread::spawn(move || producer.try_push(b"x").map(|()| producer));
        assert_eq!(consumer.pop().unwrap(), b"x");
        let _producer = thread.join().unwrap().unwrap();
    });
}

/// The other side writes and goes; the kernel says that it is gone.
#[test]
fn the_last_message_is_read_before_the_end_is_seen() {
    model(|| {
        let (mut producer, mut consumer, control) = ends();
        let thread = thread::spawn(move || {
            producer.try_push(b"x").unwrap();
            control.hang_up();
            producer
        });
        assert_eq!(consumer.pop().unwrap(), b"x");
        assert_eq!(consumer.pop().unwrap_err(), PopError::PeerDied);
        let _producer = thread.join().unwrap();
    });
}

#[test]
fn a_cancel_ends_a_wait() {
    model(|| {
        let (_producer, mut consumer, control) = ends();
        let thread = thread::spawn(move || control.cancel());
        assert_eq!(consumer.pop().unwrap_err(), PopError::PeerDied);
        thread.join().unwrap();
    });
}

/// Whoever comes first: nobody waits for ever, and a message that was taken is the one that was sent.
#[test]
fn a_cancel_and_a_message_both_end_a_wait() {
    model(|| {
        let (mut producer, mut consumer, control) = ends();
        let sender = thread::spawn(move || producer.try_push(b"x").map(|()| producer));
        let canceller = thread::spawn(move || control.cancel());
        match consumer.pop() {
            Ok(message) => assert_eq!(message, b"x"),
            Err(error) => assert_eq!(error, PopError::PeerDied),
        }
        let _producer = sender.join().unwrap().unwrap();
        canceller.join().unwrap();
    });
}
