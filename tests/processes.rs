//! Two real processes: waiting, dying, stopping, taking over, forking.
//!
//! The test program runs itself again as the peer: a test calls `peer(..)`, which starts this binary
//! with the name of a part to play in its environment.
#![allow(unsafe_code, reason = "forks")]

mod common;

use common::{Second, page, part, slots_of_many, until};
#[cfg(unix)]
use nix::sys::signal::{Signal, kill};
#[cfg(unix)]
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
#[cfg(unix)]
use nix::unistd::{ForkResult, fork};
use ringlane::{
    CallError, Lifetime, Name, Peer, PopError, PushError, SharedMemory, Wait, call, inspect, mpmc,
    record, spsc,
};
use std::time::{Duration, Instant};

fn name(test: &str) -> Name {
    Name::new(&format!("ringlane-test-{}-{test}", std::process::id())).unwrap()
}

/// Where the second process comes in. As a test of its own it does nothing.
#[test]
fn second_process() {
    let Some((part, name)) = part() else { return };
    match part.as_str() {
        "echo asleep" => {
            let (mut consumer, mut producer) = echo_ends(&name, 0);
            while let Ok(value) = consumer.pop() {
                producer.push(value).unwrap();
            }
        }
        "produce for ever" => {
            let mut producer = spsc::Queue::<u64>::open(&name).unwrap().producer().unwrap();
            for n in 0.. {
                if producer.push(n).is_err() {
                    return;
                }
            }
        }
        "produce three and hang" => {
            let mut producer = spsc::Queue::<u64>::open(&name).unwrap().producer().unwrap();
            for n in 0..3 {
                producer.push(n).unwrap();
            }
            loop {
                std::thread::park();
            }
        }
        "produce one for many and hang" => {
            let mut producer = mpmc::Queue::<u64>::open(&name).unwrap().producer().unwrap();
            producer.push(1).unwrap();
            loop {
                std::thread::park();
            }
        }
        "leave claims and one value, and hang" => {
            let mut producer = mpmc::Queue::<u64>::open(&name).unwrap().producer().unwrap();
            for _ in 0..5000 {
                std::mem::forget(producer.try_reserve().unwrap());
            }
            producer.push(1).unwrap();
            loop {
                std::thread::park();
            }
        }
        "consume three and hang" => {
            let mut consumer = spsc::Queue::<u64>::open(&name).unwrap().consumer().unwrap();
            for n in 0..3 {
                assert_eq!(consumer.pop(), Ok(n));
            }
            loop {
                std::thread::park();
            }
        }
        "fill spans and hang" => {
            let mut producer = spsc::Queue::<u32>::open(&name).unwrap().producer().unwrap();
            let mut next = 0;
            while next < 100_000 {
                let mut room = producer.reserve(1 + next as usize % 100).unwrap();
                next += room.fill(next..) as u32;
                room.commit();
            }
            // Written, and never committed.
            producer.reserve(7).unwrap().fill(std::iter::repeat(1));
            let mut room = producer.reserve(7).unwrap();
            room.fill(std::iter::repeat(2));
            loop {
                std::thread::park();
            }
        }
        "read one and hang" => {
            let mut consumer = record::Queue::open(&name).unwrap().consumer().unwrap();
            consumer.read().unwrap().release();
            let record = consumer.read().unwrap();
            assert_eq!(record.to_vec(), [1; 1000]);
            println!("read");
            loop {
                std::thread::park();
            }
        }
        "serve asleep" => {
            let mut server = call::Cell::<u64, [u64; 7]>::open(&name).unwrap().server().unwrap();
            server.set_wait(Wait::Park);
            while server.serve(|n| [n * n; 7]).is_ok() {}
        }
        "take a request and hang" => {
            let mut server = call::Cell::<u64, u64>::open(&name).unwrap().server().unwrap();
            let request = server.recv().unwrap();
            assert_eq!(*request.value(), 7);
            loop {
                std::thread::park();
            }
        }
        "call and hang" => {
            let mut caller = call::Cell::<u64, u64>::open(&name).unwrap().caller().unwrap();
            let error = caller.call(7).unwrap_err();
            panic!("{error}");
        }
        other => panic!("no such part: {other}"),
    }
}

fn echo_ends(name: &Name, first: usize) -> (spsc::Consumer<u64>, spsc::Producer<u64>) {
    let names = ["to", "back"].map(|way| Name::new(&format!("{name}-{way}")).unwrap());
    let queues = names.map(|name| spsc::Queue::<u64>::open(&name).unwrap());
    let mut consumer = queues[first].consumer().unwrap();
    let mut producer = queues[1 - first].producer().unwrap();
    consumer.set_wait(Wait::Park);
    producer.set_wait(Wait::Park);
    (consumer, producer)
}

/// Round trips of two that sleep in turn.
fn rounds() -> u64 {
    let rounds = std::env::var("RINGLANE_ASLEEP_ROUNDS");
    rounds.map_or(20_000, |rounds| rounds.parse().expect("a number of rounds"))
}

#[test]
fn two_processes_that_sleep_in_turn_lose_no_wake_up() {
    let name = name("asleep");
    let create = |way| {
        let name = Name::new(&format!("{name}-{way}")).unwrap();
        spsc::Queue::<u64>::create(&name, 4).unwrap()
    };
    let (_to, _back) = (create("to"), create("back"));
    let second = Second::start("echo asleep", &name);
    let (mut consumer, mut producer) = echo_ends(&name, 1);
    for n in 0..rounds() {
        producer.push(n).unwrap();
        assert_eq!(consumer.pop(), Ok(n));
    }
    drop(producer);
    assert!(second.done().success());
    assert_eq!(consumer.pop(), Err(PopError::Closed));
}

#[test]
fn two_processes_that_call_asleep_lose_no_wake_up() {
    let name = name("calls");
    let cell = call::Cell::<u64, [u64; 7]>::create(&name).unwrap();
    let second = Second::start("serve asleep", &name);
    let mut caller = cell.caller().unwrap();
    caller.set_wait(Wait::Park);
    for n in 0..20_000 {
        assert_eq!(caller.call(n), Ok([n * n; 7]));
    }
    drop(caller);
    assert!(second.done().success());
}

#[test]
fn a_killed_server_is_noticed_and_its_request_goes_to_the_next() {
    for wait in [Wait::Spin, Wait::Yield, Wait::SpinThenPark, Wait::Park] {
        let name = name("dead-server");
        let cell = call::Cell::<u64, u64>::create(&name).unwrap();
        let mut caller = cell.caller().unwrap();
        caller.set_wait(wait);
        caller.start(7).unwrap();
        let second = Second::start("take a request and hang", &name);
        // The turn that it was given is the first.
        let given = || ringlane::SharedMemory::open(&name).unwrap().map().unwrap();
        until("the server has the request", || {
            let mut turn = [0; 8];
            given().read_at(page(), &mut turn).unwrap();
            u64::from_ne_bytes(turn) == 1
        });
        assert_eq!(caller.try_finish(), Err(CallError::Pending));
        second.kill();
        assert_eq!(caller.finish(), Err(CallError::PeerDied));
        let mut server = cell.server().unwrap();
        let request = server.recv().unwrap();
        assert_eq!((*request.value(), request.is_redelivery()), (7, true));
        request.reply(49);
        assert_eq!(caller.finish(), Ok(49));
    }
}

#[test]
fn a_killed_caller_is_noticed_after_its_request_and_its_reply_is_nobodys() {
    let name = name("dead-caller");
    let cell = call::Cell::<u64, u64>::create(&name).unwrap();
    let mut server = cell.server().unwrap();
    for wait in [Wait::Spin, Wait::Yield, Wait::SpinThenPark, Wait::Park] {
        server.set_wait(wait);
        let second = Second::start("call and hang", &name);
        // Until it has come, its predecessor, which closed, is all that is there.
        until("the caller comes", || server.wait_peer(None));
        until("the request", || server.recv_timeout(Duration::from_secs(60)).is_ok());
        second.kill();
        server.serve(|n| n * n).unwrap();
        assert_eq!(server.serve(|n| n), Err(PopError::PeerDied));
        let mut caller = cell.caller().unwrap();
        caller.start(8).unwrap();
        server.serve(|n| n * n).unwrap();
        assert_eq!(caller.finish(), Ok(64));
    }
}

#[test]
fn a_killed_producer_is_noticed_after_all_it_pushed_and_replaced() {
    let name = name("dead-producer");
    let queue = spsc::Queue::<u64>::create(&name, 64).unwrap();
    let mut consumer = queue.consumer().unwrap();
    for wait in [Wait::Spin, Wait::Yield, Wait::SpinThenPark, Wait::Park] {
        consumer.set_wait(wait);
        let second = Second::start("produce three and hang", &name);
        for n in 0..3 {
            // Until it has come, its dead predecessor is all that is there.
            until("a value", || match consumer.pop() {
                Ok(value) => value == n,
                Err(PopError::PeerDied) => false,
                Err(error) => panic!("{error}"),
            });
        }
        assert_eq!(consumer.pop_timeout(Duration::from_millis(5)), Err(PopError::Empty));
        assert_eq!(consumer.peer(), Peer::Alive);
        second.kill();
        assert_eq!(consumer.pop(), Err(PopError::PeerDied));
        assert_eq!(consumer.peer(), Peer::Died);
        assert_eq!(inspect::report(&name).unwrap().producer.holder, Peer::Died);
    }
    let mut producer = queue.producer().unwrap();
    producer.push(9).unwrap();
    assert_eq!(consumer.pop(), Ok(9));
}

#[test]
fn a_killed_producer_of_many_is_told_after_all_is_acknowledged() {
    let name = name("dead-of-many");
    let mut options = mpmc::Queue::<u64>::options();
    let queue = options.delivery(mpmc::Delivery::AtLeastOnce).create(&name).unwrap();
    let (mut one, mut other) = (queue.consumer().unwrap(), queue.consumer().unwrap());
    for wait in [Wait::Spin, Wait::Yield, Wait::SpinThenPark, Wait::Park] {
        other.set_wait(wait);
        let second = Second::start("produce one for many and hang", &name);
        until("the value", || {
            one.wait_peer(None) && one.pop_timeout(Duration::from_secs(60)) == Ok(1)
        });
        let mut producer = queue.producer().unwrap();
        producer.push(2).unwrap();
        let taken = one.take().unwrap();
        drop(producer);
        second.kill();
        assert_eq!(other.pop_timeout(Duration::from_millis(5)), Err(PopError::Empty));
        assert_eq!(other.peer(), Peer::Died);
        drop(taken);
        let taken = other.take().unwrap();
        assert_eq!((*taken, taken.is_again()), (2, true));
        assert_eq!(one.pop_timeout(Duration::from_millis(5)), Err(PopError::Empty));
        drop(taken);
        let taken = one.take().unwrap();
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| other.pop());
            assert_eq!(taken.acknowledge(), 2);
            assert_eq!(sleeper.join().unwrap(), Err(PopError::PeerDied));
        });
        assert_eq!(one.pop(), Err(PopError::PeerDied));
        // Also to who comes after the death.
        assert_eq!(queue.consumer().unwrap().pop(), Err(PopError::PeerDied));
    }
}

/// However much there is of it, and however little one call passes.
#[test]
fn what_a_killed_producer_left_is_passed_before_its_death_is_told() {
    for timeout in [None, Some(Duration::from_secs(60))] {
        let name = name("left-by-the-dead");
        let queue = mpmc::Queue::<u64>::create(&name, 8192).unwrap();
        let mut consumer = queue.consumer().unwrap();
        let second = Second::start("leave claims and one value, and hang", &name);
        until("the value", || consumer.available() == 1);
        second.kill();
        let mut pop = || match timeout {
            Some(timeout) => consumer.pop_timeout(timeout),
            None => consumer.pop(),
        };
        let mut popped = pop();
        while timeout.is_some() && popped == Err(PopError::Empty) {
            popped = pop();
        }
        assert_eq!((popped, pop()), (Ok(1), Err(PopError::PeerDied)), "{timeout:?}");
    }
}

/// A word that leads nowhere, which the dead left, keeps nobody for ever.
#[test]
fn nonsense_of_a_killed_producer_is_not_waited_for() {
    let name = name("nonsense-of-the-dead");
    let queue = mpmc::Queue::<u64>::create(&name, 8).unwrap();
    let mut consumer = queue.consumer().unwrap();
    let second = Second::start("produce one for many and hang", &name);
    assert!(consumer.wait_peer(None));
    assert_eq!(consumer.pop(), Ok(1));
    second.kill();
    let bytes = SharedMemory::open(&name).unwrap().map().unwrap();
    // The second slot, as many turns later.
    let word = slots_of_many() + 16 + 8;
    bytes.write_at(word, &(9_u64 << 23).to_ne_bytes()).unwrap();
    let thread = std::thread::spawn(move || consumer.pop());
    until("the death", || thread.is_finished());
    assert_eq!(thread.join().unwrap(), Err(PopError::PeerDied));
}

/// Whether somebody looked at the dead one before the next one came, or not.
#[test]
fn a_death_among_many_is_history_when_another_has_come() {
    for looked in [true, false] {
        let name = name("history");
        let queue = mpmc::Queue::<u64>::create(&name, 8).unwrap();
        // The next producer gets the first place, so it is not the dead one's successor.
        let (first, mut consumer) = (queue.consumer().unwrap(), queue.consumer().unwrap());
        let second = Second::start("produce one for many and hang", &name);
        assert!(consumer.wait_peer(None));
        assert_eq!(consumer.pop(), Ok(1));
        second.kill();
        if looked {
            assert_eq!(consumer.peer(), Peer::Died);
        }
        drop(first);
        drop(queue.producer().unwrap());
        assert_eq!(consumer.peer(), Peer::Closed, "{looked}");
        assert_eq!(consumer.pop(), Err(PopError::Closed), "{looked}");
        assert_eq!(inspect::report(&name).unwrap().participants[2].deaths, 1);
    }
}

#[test]
fn a_killed_consumer_is_noticed_by_a_waiting_producer_and_replaced() {
    let name = name("dead-consumer");
    let queue = spsc::Queue::<u64>::create(&name, 4).unwrap();
    let mut producer = queue.producer().unwrap();
    let second = Second::start("consume three and hang", &name);
    for n in 0..7 {
        producer.push(n).unwrap();
    }
    assert_eq!(producer.push_timeout(7, Duration::from_millis(5)), Err(PushError::Full(7)));
    second.kill();
    assert_eq!(producer.push(7), Err(PushError::PeerDied(7)));
    assert_eq!(producer.flush(None), Err(PushError::PeerDied(())));
    let mut consumer = queue.consumer().unwrap();
    assert_eq!(consumer.pop(), Ok(3));
    producer.push(7).unwrap();
    assert!((4..8).all(|n| consumer.pop() == Ok(n)));
}

#[test]
fn spans_cross_processes_and_outlive_their_producer() {
    for layout in [spsc::Layout::Slots, spsc::Layout::Dense] {
        let name = name("spans");
        let mut options = spsc::Queue::<u32>::options();
        let queue = options.capacity(256).layout(layout).create(&name).unwrap();
        let mut consumer = queue.consumer().unwrap();
        let second = Second::start("fill spans and hang", &name);
        let mut expected = 0;
        while expected < 100_000 {
            let span = consumer.read(1 + expected as usize % 300).unwrap();
            for value in span.iter() {
                assert_eq!(value, expected);
                expected += 1;
            }
            span.release();
        }
        second.kill();
        let end = consumer.read(300).map(|span| span.len());
        assert_eq!(end, Err(PopError::PeerDied));
        // It was killed after the last commit, and what it wrote after that is nobody's.
        let mut producer = queue.producer().unwrap();
        assert_eq!((producer.vacant(), inspect::report(&name).unwrap().depth), (256, 0));
        producer.push(expected).unwrap();
        assert_eq!(consumer.pop(), Ok(expected));
    }
}

#[test]
fn a_record_that_was_read_and_not_released_comes_again() {
    let name = name("unreleased");
    let queue = record::Queue::create(&name, 1 << 14).unwrap();
    let mut producer = queue.producer().unwrap();
    for n in 0..3 {
        producer.push(&[n; 1000]).unwrap();
    }
    let second = Second::start("read one and hang", &name);
    until("the first record is released", || inspect::report(&name).unwrap().popped == 1);
    second.kill();
    let mut consumer = queue.consumer().unwrap();
    assert_eq!(consumer.pop().unwrap(), [1; 1000]);
    assert_eq!(consumer.pop().unwrap(), [2; 1000]);
    assert_eq!(consumer.try_pop(), Err(PopError::Empty));
}

#[test]
#[cfg(unix)]
fn a_stopped_process_is_not_a_dead_one() {
    let name = name("stopped");
    let queue = spsc::Queue::<u64>::create(&name, 64).unwrap();
    let mut consumer = queue.consumer().unwrap();
    let second = Second::start("produce for ever", &name);
    assert_eq!(consumer.pop(), Ok(0));
    kill(second.pid(), Signal::SIGSTOP).unwrap();
    waitpid(second.pid(), Some(WaitPidFlag::WUNTRACED)).unwrap();
    let mut next = 1;
    while let Ok(value) = consumer.try_pop() {
        assert_eq!(value, next);
        next += 1;
    }
    assert_eq!(consumer.pop_timeout(Duration::from_millis(120)), Err(PopError::Empty));
    assert_eq!(consumer.peer(), Peer::Alive);
    assert_eq!(inspect::remove(&name, false).unwrap_err().kind(), ringlane::ErrorKind::InUse);
    kill(second.pid(), Signal::SIGCONT).unwrap();
    for n in next..next + 1000 {
        assert_eq!(consumer.pop(), Ok(n));
    }
    second.kill();
}

#[test]
#[cfg_attr(windows, ignore = "no object outlives its last handle")]
fn a_queue_outlives_its_creator_if_it_is_to() {
    let name = name("persistent");
    let mut options = spsc::Queue::<u64>::options();
    let queue = options.capacity(8).lifetime(Lifetime::Persistent).create(&name).unwrap();
    queue.producer().unwrap().push(1).unwrap();
    drop(queue);
    assert_eq!(spsc::Queue::<u64>::open(&name).unwrap().consumer().unwrap().pop(), Ok(1));
    inspect::remove(&name, false).unwrap();
    assert!(spsc::Queue::<u64>::open(&name).is_err());
}

/// Runs `child` in a forked copy of this process and says how that ended.
#[cfg(unix)]
fn forked(child: impl FnOnce()) -> WaitStatus {
    // SAFETY: the child only drops or touches what it was given, and leaves without running anything of
    // the test harness.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            child();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => waitpid(child, None).unwrap(),
    }
}

#[test]
#[cfg(unix)]
fn a_forked_child_has_no_end_of_its_own() {
    let name = name("fork");
    let queue = spsc::Queue::<u64>::create(&name, 8).unwrap();
    let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    /// A second owner of the same thing, as a fork makes one.
    fn copy<T>(original: &T) -> T {
        // SAFETY: the copies are dropped in the child alone, where they are what a fork left; the parent's
        // originals stay whole.
        unsafe { std::ptr::read(original) }
    }
    let copies = (copy(&queue), copy(&producer), copy(&consumer));
    let copies = std::mem::ManuallyDrop::new(copies);
    let status = forked(move || drop(std::mem::ManuallyDrop::into_inner(copies)));
    assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
    assert_eq!((producer.peer(), consumer.peer()), (Peer::Alive, Peer::Alive));
    producer.push(1).unwrap();
    assert_eq!(consumer.pop(), Ok(1));
    assert!(spsc::Queue::<u64>::open(&name).is_ok(), "the name is the parent's to remove");

    // The memory is not in the child at all: a second producer cannot come about by accident.
    let status = forked(|| {
        let _ = producer.try_push(2);
    });
    assert!(matches!(status, WaitStatus::Signaled(_, Signal::SIGSEGV, _)), "{status:?}");
    assert_eq!(consumer.try_pop(), Err(PopError::Empty));
}

/// A sleep from which a death wakes lasts up to a second, and so would all of these without it; the bound
/// is a watchdog's, not a figure.
#[test]
fn a_death_wakes_who_sleeps() {
    let name = name("wakes");
    let queue = spsc::Queue::<u64>::create(&name, 64).unwrap();
    let mut consumer = queue.consumer().unwrap();
    consumer.set_wait(Wait::Park);
    let mut slept = Duration::ZERO;
    for _ in 0..60 {
        let second = Second::start("produce three and hang", &name);
        until("the last value", || consumer.pop() == Ok(2));
        let name = name.clone();
        let killer = std::thread::spawn(move || {
            until("the consumer sleeps", || inspect::report(&name).unwrap().consumer.asleep);
            second.kill();
            Instant::now()
        });
        assert_eq!(consumer.pop(), Err(PopError::PeerDied));
        let woken = Instant::now();
        slept += woken.saturating_duration_since(killer.join().unwrap());
    }
    assert!(slept < Duration::from_secs(50), "no death woke anybody");
}

/// Between two looks at an end its holder may close it and another may take it: nobody has died.
#[test]
fn an_end_that_changes_hands_is_never_called_dead() {
    let queue = spsc::Queue::<u64>::private(8).unwrap();
    let mut consumer = queue.consumer().unwrap();
    consumer.set_wait(Wait::Park);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20_000 {
                // A process that another test starts has a copy of the lock until it runs a program of its own.
                until("the end is free", || queue.producer().is_ok());
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            assert_ne!(consumer.peer(), Peer::Died);
            let popped = consumer.pop_timeout(Duration::from_micros(1));
            assert!(matches!(popped, Err(PopError::Empty | PopError::Closed)), "{popped:?}");
        }
    });
}
