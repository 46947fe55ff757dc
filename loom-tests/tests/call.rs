//! Calls: the line goes to and fro, each side comes and goes, nobody sleeps for ever.
#![cfg(loom)]

use loom::thread;
use loom_tests::model;
use ringlane::call::{Caller, Cell, Outstanding, Server};
use ringlane::{CallError, PopError, Wait};

type Ends = (Cell<u64, u64>, Caller<u64, u64>, Server<u64, u64>);

fn ends(start: u64) -> Ends {
    let cell = Cell::<u64, u64>::options().start(start).private().unwrap();
    let (mut caller, mut server) = (cell.caller().unwrap(), cell.server().unwrap());
    caller.set_wait(Wait::Park);
    server.set_wait(Wait::Park);
    (cell, caller, server)
}

#[test]
fn a_request_and_its_reply_are_whole_when_they_are_seen() {
    model(|| {
        let (_cell, mut caller, mut server) = ends(u64::MAX - 1);
        let thread = thread::spawn(move || {
            let served = server.try_serve(|n| {
                assert_eq!(n, 7);
                n + 1
            });
            (served, server)
        });
        caller.try_start(7).unwrap();
        let reply = caller.try_finish();
        let (served, _server) = thread.join().unwrap();
        match (reply, served) {
            (Ok(8), Ok(())) => {}
            (Err(CallError::Pending), Ok(())) => assert_eq!(caller.try_finish(), Ok(8)),
            (Err(CallError::Pending), Err(PopError::Empty)) => {}
            other => panic!("{other:?}"),
        }
    });
}

/// The next request goes where the reply was, and that where the request was: neither before it was read.
#[test]
fn the_line_is_written_only_after_it_was_read() {
    model(|| {
        let (_cell, mut caller, mut server) = ends(0);
        caller.try_start(1).unwrap();
        let thread = thread::spawn(move || {
            server.try_serve(|n| n + 10).unwrap();
            let _ = server.try_serve(|n| {
                assert_eq!(n, 2);
                n + 10
            });
            server
        });
        if let Ok(reply) = caller.try_finish() {
            assert_eq!(reply, 11);
            caller.try_start(2).unwrap();
            let reply = caller.try_finish();
            assert!(matches!(reply, Ok(12) | Err(CallError::Pending)), "{reply:?}");
        }
        thread.join().unwrap();
    });
}

#[test]
fn both_sleep_in_turn() {
    model(|| {
        let (_cell, mut caller, mut server) = ends(0);
        let thread = thread::spawn(move || {
            server.serve(|n| n + 1).unwrap();
            server.serve(|n| n + 1).unwrap();
            server
        });
        assert_eq!(caller.call(1), Ok(2));
        assert_eq!(caller.call(2), Ok(3));
        thread.join().unwrap();
    });
}

#[test]
fn a_sleeping_server_wakes_for_a_close_after_the_request() {
    model(|| {
        let (_cell, mut caller, mut server) = ends(0);
        let thread = thread::spawn(move || {
            caller.start(1).unwrap();
            caller.close();
        });
        assert_eq!(server.serve(|n| n), Ok(()));
        assert_eq!(server.serve(|n| n), Err(PopError::Closed));
        thread.join().unwrap();
    });
}

#[test]
fn a_call_against_a_close_is_not_sent_or_stays_for_the_successor() {
    model(|| {
        let (cell, mut caller, server) = ends(0);
        let thread = thread::spawn(move || server.close());
        assert_eq!(caller.call(1), Err(CallError::Closed));
        thread.join().unwrap();
        let sent = caller.outstanding() == Outstanding::Request;
        let mut server = cell.server().unwrap();
        let served = server.try_serve(|n| n + 1);
        match sent {
            true => assert_eq!((served, caller.try_finish()), (Ok(()), Ok(2))),
            false => assert_eq!(served, Err(PopError::Empty)),
        }
    });
}

/// The old caller's reply comes while the new one is about to ask.
#[test]
fn a_successor_does_not_take_the_reply_to_another() {
    model(|| {
        let (cell, mut caller, mut server) = ends(0);
        caller.start(1).unwrap();
        let thread = thread::spawn(move || {
            server.serve(|n| n + 10).unwrap();
            let _ = server.try_serve(|n| n + 10);
            server
        });
        drop(caller);
        let mut caller = cell.caller().unwrap();
        match caller.try_start(2) {
            Ok(()) => {
                let reply = caller.try_finish();
                assert!(matches!(reply, Ok(12) | Err(CallError::Pending)), "{reply:?}");
            }
            Err(error) => {
                assert_eq!(error, CallError::Busy);
                assert_eq!(caller.outstanding(), Outstanding::Abandoned);
            }
        }
        let mut server = thread.join().unwrap();
        match caller.outstanding() {
            Outstanding::Nothing => {}
            Outstanding::Abandoned => caller.try_start(2).unwrap(),
            Outstanding::Request => {
                let _ = server.try_serve(|n| n + 10);
                assert_eq!(caller.try_finish(), Ok(12));
            }
        }
    });
}

/// The new caller waits asleep until the old one's request has been served.
#[test]
fn a_successor_sleeps_until_the_abandoned_request_is_served() {
    model(|| {
        let (cell, mut caller, mut server) = ends(0);
        caller.start(1).unwrap();
        drop(caller);
        let thread = thread::spawn(move || {
            server.try_serve(|n| n + 10).unwrap();
            server
        });
        let mut caller = cell.caller().unwrap();
        caller.set_wait(Wait::Park);
        caller.start(2).unwrap();
        assert_eq!(thread.join().unwrap().try_serve(|n| n + 10), Ok(()));
        assert_eq!(caller.try_finish(), Ok(12));
    });
}

#[test]
fn a_successor_serves_what_the_last_server_was_given() {
    model(|| {
        let (cell, mut caller, mut server) = ends(0);
        let thread = thread::spawn(move || {
            let given = server.try_recv().is_ok();
            drop(server);
            let mut server = cell.server().unwrap();
            let served = server.try_recv().map(|request| {
                assert_eq!((*request.value(), request.is_redelivery()), (1, given));
                request.reply(2);
            });
            assert!(served.is_ok() || !given, "{served:?}");
            (served, server)
        });
        // Refused only between the two servers.
        let started = caller.try_start(1);
        let (served, mut server) = thread.join().unwrap();
        match started {
            Err(error) => assert_eq!(error, CallError::Closed),
            Ok(()) => {
                if served.is_err() {
                    server.try_serve(|n| n + 1).unwrap();
                }
                assert_eq!(caller.try_finish(), Ok(2));
            }
        }
    });
}
