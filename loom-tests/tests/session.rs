//! Sessions: what wakes a sleeper beside the peer, that what was written before the end is read, one thread at a time.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use loom::thread;
use loom_tests::model;
use ringlane::model::{Fences, die_with, kernel};
use ringlane::session::{Server, ServiceName, Session};
use ringlane::{Peer, SessionError, Wait};

const CANCELLED: SessionError = SessionError::Cancelled { done: 0 };
const BROKEN: SessionError = SessionError::BrokenPipe { done: 0 };

fn sides() -> (Session, Session) {
    let (one, other) = Session::pair(128).unwrap();
    one.set_wait(Wait::Park).unwrap();
    (one, other)
}

#[test]
fn a_message_wakes_who_waits_for_the_connection_too() {
    model(|| {
        let (one, other) = sides();
        let thread = thread::spawn(move || other.try_send(b"x").map(|()| other));
        assert_eq!(one.recv().unwrap(), b"x");
        let _other = thread.join().unwrap().unwrap();
    });
}

#[test]
fn the_last_message_is_read_before_the_close_is_seen() {
    model(|| {
        let (one, other) = sides();
        let thread = thread::spawn(move || {
            other.try_send(b"x").unwrap();
            other.close();
        });
        assert_eq!(one.recv().unwrap(), b"x");
        assert_eq!(one.recv().unwrap_err(), BROKEN);
        thread.join().unwrap();
    });
}

/// The other side writes and dies; the kernel says that it is gone.
#[test]
fn the_last_message_is_read_before_the_end_is_seen() {
    model(|| {
        let (one, other) = sides();
        let watcher = one.clone();
        let thread = thread::spawn(move || {
            other.try_send(b"x").unwrap();
            die_with(other);
            watcher.hear();
        });
        assert_eq!(one.recv().unwrap(), b"x");
        assert_eq!(one.recv().unwrap_err(), BROKEN);
        thread.join().unwrap();
    });
}

#[test]
fn the_last_message_is_read_before_the_end_is_told_to_who_does_not_wait() {
    model(|| {
        kernel(Fences::Naps);
        let (one, other) = sides();
        let watcher = one.clone();
        let thread = thread::spawn(move || {
            other.try_send(b"x").unwrap();
            die_with(other);
            watcher.hear();
        });
        match one.try_recv() {
            Ok(message) => assert_eq!(message, b"x"),
            Err(error) => assert_eq!(error, SessionError::WouldBlock),
        }
        thread.join().unwrap();
    });
}

#[test]
fn what_was_sent_is_there_when_the_peer_is_closed() {
    model(|| {
        kernel(Fences::Naps);
        let (one, other) = sides();
        let thread = thread::spawn(move || {
            other.try_send(b"x").unwrap();
            other.close();
        });
        if one.peer() == Peer::Closed {
            assert_eq!(one.try_recv().unwrap(), b"x");
        }
        thread.join().unwrap();
    });
}

#[test]
fn a_cancel_ends_a_wait() {
    model(|| {
        let (one, _other) = sides();
        let canceller = one.clone();
        let thread = thread::spawn(move || canceller.cancel());
        assert_eq!(one.recv().unwrap_err(), CANCELLED);
        thread.join().unwrap();
    });
}

#[test]
fn what_was_done_before_a_cancel_is_seen_after_it() {
    model(|| {
        let (one, _other) = sides();
        let (canceller, done) = (one.clone(), Arc::new(AtomicU64::new(0)));
        let theirs = Arc::clone(&done);
        let thread = thread::spawn(move || {
            theirs.store(1, Relaxed);
            canceller.cancel();
        });
        if one.try_recv() == Err(CANCELLED) {
            assert_eq!(done.load(Relaxed), 1);
        }
        thread.join().unwrap();
    });
}

#[test]
fn what_was_done_before_a_server_is_cancelled_is_seen_after_it() {
    model(|| {
        let name = format!("ringlane model {}", std::process::id());
        let server = Server::bind(&ServiceName::new(&name).unwrap()).unwrap();
        let (canceller, done) = (server.canceller(), Arc::new(AtomicU64::new(0)));
        let theirs = Arc::clone(&done);
        let thread = thread::spawn(move || {
            theirs.store(1, Relaxed);
            canceller.cancel();
        });
        if server.try_accept().is_err() {
            assert_eq!(done.load(Relaxed), 1);
        }
        thread.join().unwrap();
    });
}

/// Whoever comes first: nobody waits for ever, and a message that was taken is the one that was sent.
#[test]
fn a_cancel_and_a_message_both_end_a_wait() {
    model(|| {
        let (one, other) = sides();
        let canceller = one.clone();
        let sender = thread::spawn(move || other.try_send(b"x").map(|()| other));
        let cancelling = thread::spawn(move || canceller.cancel());
        match one.recv() {
            Ok(message) => assert_eq!(message, b"x"),
            Err(error) => assert_eq!(error, CANCELLED),
        }
        let _other = sender.join().unwrap().unwrap();
        cancelling.join().unwrap();
    });
}

#[test]
fn two_who_read_have_the_end_in_turn() {
    model(|| {
        let (one, other) = sides();
        other.try_send(b"x").unwrap();
        let second = one.clone();
        let thread = thread::spawn(move || second.try_recv());
        let mine = one.try_recv();
        let got = [mine, thread.join().unwrap()];
        assert_eq!(got.iter().filter(|read| read.is_ok()).count(), 1, "{got:?}");
        let lost = got.into_iter().find_map(Result::err);
        assert!(matches!(lost, Some(SessionError::Busy | SessionError::WouldBlock)), "{lost:?}");
    });
}
