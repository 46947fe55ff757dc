//! Calls: each reply belongs to its request, whatever comes between.

mod common;

use common::page;
use proptest::prelude::*;
use ringlane::call::{Cell, Outstanding};
use ringlane::{CallError, ErrorKind, Name, Peer, PopError, SharedMemory, Wait, inspect, spsc};
use std::time::{Duration, Instant};

fn name(test: &str) -> Name {
    Name::new(&format!("ringlane-test-{}-call-{test}", std::process::id())).unwrap()
}

const WAITS: [Wait; 4] = [Wait::Spin, Wait::Yield, Wait::SpinThenPark, Wait::Park];

#[derive(Clone, Copy, Debug)]
enum Step {
    Start,
    Finish,
    Abandon,
    Serve,
    /// Takes the request and leaves it.
    Look,
    NewCaller,
    NewServer,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Start),
        8 => Just(Step::Finish),
        2 => Just(Step::Abandon),
        8 => Just(Step::Serve),
        4 => Just(Step::Look),
        1 => Just(Step::NewCaller),
        1 => Just(Step::NewServer),
    ];
    prop::collection::vec(step, 1..300)
}

/// Where the one call is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Model {
    Idle,
    Asked { request: u64, given: bool, abandoned: bool },
    Answered { reply: u64, abandoned: bool },
}

proptest! {
    /// Every mix of operations does what a call on paper does, wherever turns begin.
    #[test]
    fn every_reply_is_that_to_the_last_request(
        steps in steps(),
        start in prop_oneof![Just(0), Just((1_u64 << 32) - 5), Just(u64::MAX - 5), any::<u64>()],
    ) {
        let cell = Cell::<u64, [u64; 2]>::options().start(start).private().unwrap();
        let mut caller = Some(cell.caller().unwrap());
        let mut server = Some(cell.server().unwrap());
        let mut model = Model::Idle;
        let mut next = 0;
        for step in steps {
            let (c, s) = (caller.as_mut().unwrap(), server.as_mut().unwrap());
            match step {
                Step::Start => {
                    let free = match model {
                        Model::Idle => true,
                        Model::Asked { .. } => false,
                        Model::Answered { abandoned, .. } => abandoned,
                    };
                    next += 1;
                    prop_assert_eq!(c.try_start(next), if free { Ok(()) } else { Err(CallError::Busy) });
                    if free {
                        model = Model::Asked { request: next, given: false, abandoned: false };
                    }
                }
                Step::Finish => {
                    let wanted = match model {
                        Model::Asked { abandoned: false, .. } => Err(CallError::Pending),
                        Model::Answered { abandoned: false, reply } => Ok([reply, !reply]),
                        _ => Err(CallError::Idle),
                    };
                    prop_assert_eq!(c.try_finish(), wanted);
                    if wanted.is_ok() {
                        model = Model::Idle;
                    }
                }
                Step::Abandon => {
                    c.abandon();
                    if let Model::Asked { abandoned, .. } | Model::Answered { abandoned, .. } = &mut model {
                        *abandoned = true;
                    }
                }
                Step::Serve => {
                    let served = s.try_serve(|n| [n + 7, !(n + 7)]);
                    if let Model::Asked { request, abandoned, .. } = model {
                        prop_assert_eq!(served, Ok(()));
                        model = Model::Answered { reply: request + 7, abandoned };
                    } else {
                        prop_assert_eq!(served, Err(PopError::Empty));
                    }
                }
                Step::Look => {
                    let seen = s.try_recv().map(|r| (*r.value(), r.is_redelivery()));
                    if let Model::Asked { request, given, .. } = &mut model {
                        prop_assert_eq!(seen, Ok((*request, *given)));
                        *given = true;
                    } else {
                        prop_assert_eq!(seen, Err(PopError::Empty));
                    }
                }
                Step::NewCaller => {
                    drop(caller.take());
                    caller = Some(cell.caller().unwrap());
                    model = match model {
                        Model::Asked { request, given, .. } => {
                            Model::Asked { request, given, abandoned: true }
                        }
                        _ => Model::Idle,
                    };
                }
                Step::NewServer => {
                    drop(server.take());
                    server = Some(cell.server().unwrap());
                }
            }
            let outstanding = match model {
                Model::Idle => Outstanding::Nothing,
                Model::Asked { abandoned, .. } | Model::Answered { abandoned, .. } => {
                    if abandoned { Outstanding::Abandoned } else { Outstanding::Request }
                }
            };
            prop_assert_eq!(caller.as_ref().unwrap().outstanding(), outstanding);
        }
    }
}

/// Requests and replies of every size go through whole, the larger of them either way.
#[test]
fn values_of_every_size_are_whole() {
    fn through<Req, Rep>(requests: [Req; 2], replies: [Rep; 2])
    where
        Req: ringlane::Plain + PartialEq + std::fmt::Debug,
        Rep: ringlane::Plain + PartialEq + std::fmt::Debug,
    {
        let cell = Cell::<Req, Rep>::private().unwrap();
        let (mut caller, mut server) = (cell.caller().unwrap(), cell.server().unwrap());
        for turn in 0..6 {
            let (request, reply) = (requests[turn % 2], replies[turn % 2]);
            caller.start(request).unwrap();
            let served = server.serve(|got| {
                assert_eq!(got, request);
                reply
            });
            served.unwrap();
            assert_eq!(caller.finish(), Ok(reply));
        }
    }
    through([1_u8, 255], [[7_u64; 7], [u64::MAX; 7]]);
    through([[7_u64; 7], [8; 7]], [3_u16, 4]);
    through([[1_u8; 13], *b"thirteen byte"], [[9_u8; 15], *b"fifteen bytes.."]);
    through([[1_u8; 57], [2; 57]], [(); 2].map(|()| [0_u8; 0]));
    through([[1_u8; 255], [2; 255]], [[3_u8; 4097], std::array::from_fn(|i| i as u8)]);
}

#[test]
fn both_ends_wait_in_every_way() {
    for wait in WAITS {
        for other in WAITS {
            let cell = Cell::<u64, u64>::private().unwrap();
            let (mut caller, mut server) = (cell.caller().unwrap(), cell.server().unwrap());
            caller.set_wait(wait);
            server.set_wait(other);
            let thread = std::thread::spawn(move || {
                loop {
                    if let Err(error) = server.serve(|n| n * n) {
                        return error;
                    }
                }
            });
            assert!((0..500).all(|n| caller.call(n) == Ok(n * n)), "{wait:?}, {other:?}");
            caller.close();
            assert_eq!(thread.join().unwrap(), PopError::Closed);
        }
    }
}

#[test]
fn a_timeout_is_waited_for_and_the_call_can_be_taken_up() {
    let wait = Duration::from_millis(20);
    for how in WAITS {
        let cell = Cell::<u64, u64>::private().unwrap();
        let (mut caller, mut server) = (cell.caller().unwrap(), cell.server().unwrap());
        caller.set_wait(how);
        server.set_wait(how);
        let timed = |work: &mut dyn FnMut()| {
            let start = Instant::now();
            work();
            assert!(start.elapsed() >= wait, "{how:?}");
        };
        timed(&mut || assert_eq!(server.serve_timeout(|n| n, wait), Err(PopError::Empty)));
        timed(&mut || assert_eq!(caller.call_timeout(1, wait), Err(CallError::Pending)));
        timed(&mut || assert_eq!(caller.finish_timeout(wait), Err(CallError::Pending)));
        assert_eq!(caller.call_timeout(2, Duration::ZERO), Err(CallError::Busy));
        assert_eq!(caller.call(2), Err(CallError::Busy), "an own request is not given up silently");
        caller.abandon();
        timed(&mut || assert_eq!(caller.start_timeout(2, wait), Err(CallError::Busy)));
        timed(&mut || assert_eq!(caller.call_timeout(2, wait), Err(CallError::Busy)));
        server.serve_timeout(|n| n + 10, Duration::MAX).unwrap();
        assert_eq!(caller.call_timeout(2, Duration::ZERO), Err(CallError::Pending), "sent at last");
        server.serve(|n| n + 10).unwrap();
        assert_eq!(caller.finish_timeout(Duration::MAX), Ok(12));
        assert_eq!(caller.finish(), Err(CallError::Idle));
    }
}

#[test]
fn a_close_is_told_and_what_is_outstanding_stays() {
    let cell = Cell::<u64, u64>::private().unwrap();
    let (mut caller, server) = (cell.caller().unwrap(), cell.server().unwrap());
    server.close();
    assert_eq!(caller.peer(), Peer::Closed);
    assert_eq!(caller.call(1), Err(CallError::Closed));
    assert_eq!(caller.outstanding(), Outstanding::Nothing, "it was not sent");
    let mut server = cell.server().unwrap();
    caller.start(1).unwrap();
    assert_eq!(*server.recv().unwrap().value(), 1);
    server.close();
    assert_eq!(caller.try_finish(), Err(CallError::Closed));
    assert_eq!(caller.finish(), Err(CallError::Closed));
    let mut server = cell.server().unwrap();
    let request = server.recv().unwrap();
    assert!(request.is_redelivery());
    request.reply(2);
    drop(server);
    assert_eq!(caller.finish(), Ok(2), "answered before the close");

    let mut server = cell.server().unwrap();
    caller.start(3).unwrap();
    caller.close();
    assert_eq!(server.try_serve(|n| n), Ok(()), "sent before the close");
    assert_eq!(server.try_serve(|n| n), Err(PopError::Closed));
    assert_eq!(server.recv().unwrap_err(), PopError::Closed);
}

#[test]
fn a_panic_while_serving_leaves_the_request() {
    let cell = Cell::<u64, u64>::private().unwrap();
    let (mut caller, mut server) = (cell.caller().unwrap(), cell.server().unwrap());
    caller.start(1).unwrap();
    let served = std::panic::AssertUnwindSafe(|| server.serve(|_| panic!("in the service")));
    std::panic::catch_unwind(served).unwrap_err();
    assert_eq!(caller.try_finish(), Err(CallError::Pending));
    assert!(server.recv().unwrap().is_redelivery());
    server.serve(|n| n + 1).unwrap();
    assert_eq!(caller.finish(), Ok(2));
}

#[test]
fn what_is_no_such_cell_is_refused() {
    let name = name("refused");
    let cell = Cell::<u64, [u8; 8]>::create(&name).unwrap();
    let refused = |error: ringlane::Error| {
        assert_eq!(error.kind(), ErrorKind::Incompatible);
        error.to_string()
    };
    let text = refused(Cell::<u64, u64>::open(&name).unwrap_err());
    assert!(text.contains("replies of 8 bytes aligned to 1"), "{text}");
    let text = refused(Cell::<u32, [u8; 8]>::open(&name).unwrap_err());
    assert!(text.contains("carries values of type fn(u64) -> [u8; 8]"), "{text}");
    let text = refused(spsc::Queue::<u64>::open(&name).unwrap_err());
    assert!(text.contains("is a ring of kind call, and spsc is wanted"), "{text}");
    let _caller = cell.caller().unwrap();
    let text = cell.caller().unwrap_err().to_string();
    assert!(text.contains("take the caller end"), "{text}");
    let error = inspect::remove(&name, false).unwrap_err();
    assert!(error.to_string().contains("its caller end is held"), "{error}");
    drop(cell);
}

#[test]
fn an_onlooker_sees_how_many_calls_there_were() {
    let name = name("seen");
    let cell = Cell::<u64, u64>::create(&name).unwrap();
    let (mut caller, mut server) = (cell.caller().unwrap(), cell.server().unwrap());
    for n in 0..3 {
        caller.start(n).unwrap();
        server.serve(|n| n).unwrap();
        caller.finish().unwrap();
    }
    caller.start(3).unwrap();
    let report = inspect::report(&name).unwrap();
    assert_eq!((report.kind.as_str(), report.capacity, report.depth), ("call", 1, 1));
    assert_eq!((report.pushed, report.popped), (4, 3));
    assert_eq!([report.producer.holder, report.consumer.holder], [Peer::Alive; 2]);
    drop((caller, server));
    assert!(!inspect::remove_drained(&name).unwrap(), "a request is in it");
    cell.server().unwrap().serve(|n| n).unwrap();
    if ringlane::capabilities().unwrap().unlink {
        assert!(inspect::remove_drained(&name).unwrap());
    }
}

/// Whatever is in the line, every call ends within its time, without a panic.
#[test]
fn a_line_that_is_scribbled_on_harms_nobody() {
    let name = name("scribbled");
    let soon = Duration::from_millis(1);
    for start in [0, u64::MAX - 1] {
        for word in [0, 1, 2, 3, 7, 1 << 32, 1 << 63, u64::MAX - 2, u64::MAX - 1, u64::MAX] {
            let cell = Cell::<u64, u64>::options().start(start).create(&name).unwrap();
            let line = SharedMemory::open(&name).unwrap().map().unwrap();
            let data = line.len() - page();
            let turn = || {
                let mut bytes = [0; 8];
                line.read_at(data, &mut bytes).unwrap();
                u64::from_ne_bytes(bytes)
            };
            let scribble = |word: u64| line.write_at(data, &word.to_ne_bytes()).unwrap();
            let (mut caller, mut server) = (cell.caller().unwrap(), cell.server().unwrap());
            assert_eq!(turn(), start);
            caller.start(5).unwrap();
            scribble(word);
            let asked = start.wrapping_add(1);
            let wanted = match word.wrapping_sub(asked) {
                0 => Err(CallError::Pending),
                1 => Ok(5),
                _ => Err(CallError::Corrupt),
            };
            assert_eq!(caller.finish_timeout(soon), wanted, "{word:#x}");
            let served = server.serve_timeout(|n| n, soon);
            let wanted = match word.wrapping_sub(start) {
                0 => Err(PopError::Empty),
                1 => Ok(()),
                _ => Err(PopError::Corrupt),
            };
            assert_eq!(served, wanted, "{word:#x}");
            // Successors take the word as it is, and go on.
            scribble(word);
            drop((caller, server));
            let (mut caller, mut server) = (cell.caller().unwrap(), cell.server().unwrap());
            assert_eq!(server.try_serve(|n| n).is_ok(), word % 2 == 1);
            caller.start_timeout(9, soon).unwrap();
            server.serve(|n| n + 1).unwrap();
            assert_eq!(caller.finish(), Ok(10));
        }
    }
}

/// One thread scribbles all the time, two use the cell: they end, and neither panics.
#[test]
fn a_line_that_is_scribbled_on_meanwhile_harms_nobody() {
    let name = name("meanwhile");
    let cell = Cell::<[u64; 7], [u64; 7]>::create(&name).unwrap();
    let line = SharedMemory::open(&name).unwrap().map().unwrap();
    let data = line.len() - page();
    let soon = Duration::from_micros(50);
    let done = std::sync::Barrier::new(3);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..300 {
                // Not yet another: the other two may be at it. A new end begins where the word is now.
                let mut caller = cell.caller().unwrap();
                let _ = caller.call_timeout([1; 7], soon);
                let _ = caller.finish_timeout(soon);
                caller.abandon();
                let _ = caller.start_timeout([2; 7], soon);
            }
            done.wait();
        });
        scope.spawn(|| {
            for _ in 0..300 {
                let mut server = cell.server().unwrap();
                let _ = server.serve_timeout(|words| words, soon);
                let _ = server.recv_timeout(soon).map(|request| request.reply([3; 7]));
            }
            done.wait();
        });
        for n in 0..20_000_u64 {
            let word = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let word = if n % 3 == 0 { word } else { word >> 60 };
            line.write_at(data + 8 * (n as usize % 8), &word.to_ne_bytes()).unwrap();
        }
        done.wait();
    });
}
