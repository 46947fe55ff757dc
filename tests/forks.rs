//! Forks in every state: a forked child drops what it has a copy of, or uses it. The first does nothing; the second is an
//! error, or a fault in the child, or is what every process may do. The parent notices nothing of either.
#![cfg(all(target_os = "linux", not(loom)))]
#![allow(unsafe_code, reason = "forks")]

mod common;

use common::{Second, part, scratch, sleeps, until};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, gettid};
use ringlane::handle::{Access, Broker, Handle, HandleOptions, Recipient, Revoke};
use ringlane::mpmc::Delivery;
use ringlane::session::{ConnectOptions, Server, ServiceName, Session};
use ringlane::spsc::Layout;
use ringlane::{ErrorKind, SharedMemory, Wait, call, mpmc, mpmc_record, record, spsc};
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const SOON: Duration = Duration::from_millis(2);

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(60);

/// Runs `child` in a forked copy of this process, and says how that ended.
fn forked(child: impl FnOnce()) -> WaitStatus {
    // SAFETY: the child uses what it has a copy of, allocates, which the C library makes sound, and leaves.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(if done.is_ok() { 0 } else { 101 }) }
        }
        ForkResult::Parent { child } => waitpid(child, None).unwrap(),
    }
}

/// A second owner of the same thing, as a fork makes one. It is for the child alone.
fn copy<T>(original: &T) -> std::mem::ManuallyDrop<T> {
    // SAFETY: it is dropped in the child alone, if at all, where it is what the fork left.
    std::mem::ManuallyDrop::new(unsafe { std::ptr::read(original) })
}

/// Copies are dropped in a child, and nothing comes of it.
fn dropped<T>(what: &str, things: &T) {
    let copies = copy(things);
    let status = forked(|| drop(std::mem::ManuallyDrop::into_inner(copies)));
    assert!(matches!(status, WaitStatus::Exited(_, 0)), "{what}, dropped: {status:?}");
}

/// Touching what is not there ends the child, and nobody else.
fn faults(what: &str, touch: impl FnOnce()) {
    let status = forked(touch);
    assert!(matches!(status, WaitStatus::Signaled(_, Signal::SIGSEGV, _)), "{what}: {status:?}");
}

fn works(what: &str, try_it: impl FnOnce()) {
    let status = forked(try_it);
    assert!(matches!(status, WaitStatus::Exited(_, 0)), "{what}: {status:?}");
}

/// One test at a time: a child has copies of all that the process has open, and descriptors are counted.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// In which state a ring is when its process forks.
#[derive(Clone, Copy, Debug)]
enum State {
    New,
    Some,
    Full,
    /// Each end has waited in vain, so that there is a thread that waits for deaths.
    Slept,
    /// Somebody is asleep at the other end.
    Asleep,
}

/// Numbers through a ring of any kind.
struct Ring<Tx, Rx> {
    make: fn() -> (Tx, Rx),
    push: fn(&mut Tx, u64, Duration) -> bool,
    pop: fn(&mut Rx, Duration) -> Option<u64>,
}

impl<Tx: Send, Rx: Send> Ring<Tx, Rx> {
    fn fork(&self, what: &str) {
        let Ring { make, push, pop } = *self;
        // What the first wait makes, and keeps.
        let (_tx, mut rx) = make();
        assert_eq!(pop(&mut rx, SOON), None);
        for state in [State::New, State::Some, State::Full, State::Slept, State::Asleep] {
            let what = format!("{what}, {state:?}");
            let before = open();
            let (mut tx, mut rx) = make();
            let mut sent = 0;
            let mut fill = |tx: &mut Tx, most| {
                while sent < most && push(tx, sent, Duration::ZERO) {
                    sent += 1;
                }
            };
            match state {
                State::New => {}
                State::Some => fill(&mut tx, 2),
                State::Full => fill(&mut tx, u64::MAX),
                State::Slept | State::Asleep => {
                    assert_eq!(pop(&mut rx, SOON), None);
                    fill(&mut tx, 1);
                    assert_eq!(pop(&mut rx, SOON), Some(0));
                }
            }
            if matches!(state, State::Asleep) {
                let who = AtomicU64::new(0);
                std::thread::scope(|scope| {
                    let (rx, who) = (&mut rx, &who);
                    let sleeper = scope.spawn(move || {
                        who.store(gettid().as_raw() as u64, Relaxed);
                        pop(rx, LONG)
                    });
                    until("it sleeps", || sleeps(who.load(Relaxed)));
                    dropped(&what, &tx);
                    faults(&what, || _ = push(&mut tx, 7, Duration::ZERO));
                    assert!(push(&mut tx, sent, LONG), "{what}");
                    assert_eq!(sleeper.join().unwrap(), Some(sent), "{what}");
                });
            } else {
                dropped(&what, &tx);
                dropped(&what, &rx);
                faults(&what, || _ = push(&mut tx, 7, Duration::ZERO));
                faults(&what, || _ = pop(&mut rx, Duration::ZERO));
                let from = if matches!(state, State::Slept) { 1 } else { 0 };
                for number in from..sent {
                    assert_eq!(pop(&mut rx, Duration::ZERO), Some(number), "{what}");
                }
                assert_eq!(pop(&mut rx, SOON), None, "{what}");
                for number in 0..3 {
                    assert!(push(&mut tx, number, SOON), "{what}");
                    assert_eq!(pop(&mut rx, SOON), Some(number), "{what}");
                }
            }
            // Dropped in a child again, after the other side has gone.
            drop(tx);
            dropped(&what, &rx);
            assert_eq!(pop(&mut rx, LONG), None, "{what}: it waits for nobody");
            drop(rx);
            until("all is closed", || open() <= before);
        }
    }
}

fn word(bytes: Vec<u8>) -> u64 {
    u64::from_ne_bytes(bytes.try_into().unwrap())
}

#[test]
fn a_fork_with_ends_of_rings_of_values() {
    let _turn = turn();
    fn values(layout: Layout) -> (spsc::Producer<u64>, spsc::Consumer<u64>) {
        let queue = spsc::Queue::<u64>::options().capacity(8).layout(layout).private().unwrap();
        let (mut tx, mut rx) = (queue.producer().unwrap(), queue.consumer().unwrap());
        tx.set_wait(Wait::Park);
        rx.set_wait(Wait::Park);
        (tx, rx)
    }
    for (layout, make) in [
        (Layout::Slots, (|| values(Layout::Slots)) as fn() -> _),
        (Layout::Dense, || values(Layout::Dense)),
    ] {
        let push = |tx: &mut spsc::Producer<u64>, n, most| tx.push_timeout(n, most).is_ok();
        let pop = |rx: &mut spsc::Consumer<u64>, most| rx.pop_timeout(most).ok();
        Ring { make, push, pop }.fork(&format!("values, {layout:?}"));
    }
}

#[test]
fn a_fork_with_ends_of_rings_of_records() {
    let _turn = turn();
    let make = || {
        let queue = record::Queue::private(4096).unwrap();
        let (mut tx, mut rx) = (queue.producer().unwrap(), queue.consumer().unwrap());
        tx.set_wait(Wait::Park);
        rx.set_wait(Wait::Park);
        (tx, rx)
    };
    let push =
        |tx: &mut record::Producer, n: u64, most| tx.push_timeout(&n.to_ne_bytes(), most).is_ok();
    let pop = |rx: &mut record::Consumer, most| rx.pop_timeout(most).ok().map(word);
    Ring { make, push, pop }.fork("records");
}

#[test]
fn a_fork_with_places_in_rings_for_many() {
    let _turn = turn();
    fn values(delivery: Delivery) -> (mpmc::Producer<u64>, mpmc::Consumer<u64>) {
        let queue = mpmc::Queue::<u64>::options().capacity(8).delivery(delivery).private().unwrap();
        let (mut tx, mut rx) = (queue.producer().unwrap(), queue.consumer().unwrap());
        tx.set_wait(Wait::Park);
        rx.set_wait(Wait::Park);
        (tx, rx)
    }
    fn records(delivery: Delivery) -> (mpmc_record::Producer, mpmc_record::Consumer) {
        let mut options = mpmc_record::Queue::options();
        let queue = options.capacity(4096).delivery(delivery).private().unwrap();
        let (mut tx, mut rx) = (queue.producer().unwrap(), queue.consumer().unwrap());
        tx.set_wait(Wait::Park);
        rx.set_wait(Wait::Park);
        (tx, rx)
    }
    for (delivery, make) in [
        (Delivery::AtMostOnce, (|| values(Delivery::AtMostOnce)) as fn() -> _),
        (Delivery::AtLeastOnce, || values(Delivery::AtLeastOnce)),
    ] {
        let push = |tx: &mut mpmc::Producer<u64>, n, most| tx.push_timeout(n, most).is_ok();
        let pop = |rx: &mut mpmc::Consumer<u64>, most| rx.pop_timeout(most).ok();
        Ring { make, push, pop }.fork(&format!("values for many, {delivery:?}"));
    }
    for (delivery, make) in [
        (Delivery::AtMostOnce, (|| records(Delivery::AtMostOnce)) as fn() -> _),
        (Delivery::AtLeastOnce, || records(Delivery::AtLeastOnce)),
    ] {
        let push = |tx: &mut mpmc_record::Producer, n: u64, most| {
            tx.push_timeout(&n.to_ne_bytes(), most).is_ok()
        };
        let pop = |rx: &mut mpmc_record::Consumer, most| rx.pop_timeout(most).ok().map(word);
        Ring { make, push, pop }.fork(&format!("records for many, {delivery:?}"));
    }
}

#[test]
fn a_fork_with_sides_of_sessions() {
    let _turn = turn();
    let make = || {
        let (one, other) = Session::pair(4096).unwrap();
        one.set_wait(Wait::Park).unwrap();
        other.set_wait(Wait::Park).unwrap();
        (one, other)
    };
    let push = |tx: &mut Session, n: u64, most| tx.send_timeout(&n.to_ne_bytes(), most).is_ok();
    let pop = |rx: &mut Session, most| rx.recv_timeout(most).ok().map(word);
    Ring { make, push, pop }.fork("sessions");
}

#[test]
fn a_fork_with_sides_of_calls() {
    let _turn = turn();
    let cell = call::Cell::<u64, u64>::private().unwrap();
    let (mut caller, mut server) = (cell.caller().unwrap(), cell.server().unwrap());
    for turn in 0..3 {
        // Nothing asked; asked; answered.
        let what = format!("a call, {turn}");
        if turn > 0 {
            caller.try_start(7).unwrap();
        }
        if turn > 1 {
            server.try_serve(|n| n + 1).unwrap();
        }
        dropped(&what, &cell);
        dropped(&what, &caller);
        dropped(&what, &server);
        faults(&what, || _ = (caller.try_start(1), caller.try_finish()));
        faults(&what, || _ = server.try_serve(|_| 0));
        if turn == 1 {
            server.try_serve(|n| n + 1).unwrap();
        }
        if turn > 0 {
            assert_eq!(caller.finish_timeout(LONG).unwrap(), 8, "{what}");
        }
    }
    server.close();
    dropped("a caller whose server left", &caller);
    assert!(caller.call_timeout(1, LONG).is_err());
}

/// What holds a part of a ring, and gives it back when it is dropped, is the parent's to give back.
#[test]
fn a_fork_with_room_and_spans() {
    let _turn = turn();
    let queue = spsc::Queue::<u64>::private(8).unwrap();
    let (mut tx, mut rx) = (queue.producer().unwrap(), queue.consumer().unwrap());
    let mut room = tx.try_reserve(2).unwrap();
    dropped("room", &room);
    room.fill(1..);
    room.commit();
    let span = rx.try_read(2).unwrap();
    dropped("a span", &span);
    assert_eq!(span.iter().collect::<Vec<_>>(), [1, 2]);
    span.release();
    for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce] {
        let queue = mpmc::Queue::<u64>::options().capacity(8).delivery(delivery).private().unwrap();
        let (mut tx, mut rx) = (queue.producer().unwrap(), queue.consumer().unwrap());
        let room = tx.try_reserve().unwrap();
        untouched("room among many", &room);
        room.commit(7);
        let taken = rx.try_take().unwrap();
        untouched("what was taken", &taken);
        assert!(!taken.is_again());
        taken.acknowledge();
        assert!(rx.try_pop().is_err());
    }
}

/// A copy is dropped in a child, which may end it: it would be written that it was given back.
fn untouched<T>(what: &str, thing: &T) {
    let copies = copy(thing);
    let status = forked(|| drop(std::mem::ManuallyDrop::into_inner(copies)));
    let known =
        matches!(status, WaitStatus::Exited(_, 0) | WaitStatus::Signaled(_, Signal::SIGSEGV, _));
    assert!(known, "{what}: {status:?}");
}

#[test]
fn a_fork_with_names_and_mappings() {
    let _turn = turn();
    let name = scratch();
    let memory = SharedMemory::create(&name, 8192).unwrap();
    let map = memory.map().unwrap();
    dropped("memory", &memory);
    dropped("a mapping", &map);
    // It is the child's as well.
    works("a mapping", || map.write_at(5, b"child").unwrap());
    works("memory", || drop(memory.map().unwrap()));
    let mut found = [0; 5];
    map.read_at(5, &mut found).unwrap();
    assert_eq!(&found, b"child");
    assert_eq!(
        SharedMemory::open(&name).unwrap().size().unwrap(),
        8192,
        "the name is the parent's"
    );
    // A ring can be opened anew by its name, and an end that is free be had.
    let ring = scratch();
    let queue = spsc::Queue::<u64>::create(&ring, 8).unwrap();
    let mut rx = queue.consumer().unwrap();
    works("a ring by its name", || {
        let own = spsc::Queue::<u64>::open(&ring).unwrap();
        own.producer().unwrap().push(3).unwrap();
    });
    assert_eq!(rx.pop_timeout(LONG), Ok(3));
    dropped("a ring", &queue);
    drop(spsc::Queue::<u64>::open(&ring).unwrap());
}

#[test]
fn a_fork_with_servers() {
    let _turn = turn();
    let name = ServiceName::new(scratch().as_str()).unwrap();
    let server = Server::bind(&name).unwrap();
    let connect = || ConnectOptions::new().timeout(LONG).connect(&name).unwrap();
    let before = open();
    for waits in [false, true] {
        let client = waits.then(connect);
        dropped("a server", &server);
        if let Some(client) = client {
            let session = server.accept_timeout(LONG).unwrap().unwrap();
            client.send(b"to the parent").unwrap();
            assert_eq!(session.recv().unwrap(), b"to the parent");
        }
    }
    assert_eq!(open(), before, "descriptors");
    assert!(connect().peer_pid().is_ok(), "the name is the parent's");
}

fn refused<T: Debug>(result: ringlane::Result<T>, kind: ErrorKind) {
    assert_eq!(result.expect_err("this is the parent's").kind(), kind);
}

/// A process of its own: who is whose recipient depends on nothing else.
#[test]
fn a_fork_with_brokers_and_handles() {
    assert!(Second::start("fork with a broker", &scratch()).done().success());
}

#[test]
fn second_process() {
    let Some((part, _)) = part() else { return };
    assert_eq!(part, "fork with a broker");
    let (broker, memory) = (Broker::start().unwrap(), SharedMemory::anonymous(8192).unwrap());
    let me = Recipient::process(std::process::id()).unwrap();
    let options = HandleOptions::new().revocable(true).clone();
    let handle = broker.create(&memory, &me, Access::ReadWrite, &options).unwrap();
    let bytes = handle.to_bytes();
    let again = || Handle::from_bytes(&bytes).unwrap();
    let before = open();
    for redeemed in [false, true] {
        let map = redeemed.then(|| {
            let memory = again().open_timeout(Access::ReadWrite, LONG).unwrap();
            memory.map().unwrap()
        });
        let what = format!("a broker, redeemed: {redeemed}");
        dropped(&what, &broker);
        dropped(&what, &map);
        dropped(&what, &me);
        dropped(&what, &handle);
        works(&what, || {
            let denied = ErrorKind::PermissionDenied;
            refused(broker.create(&memory, &me, Access::ReadOnly, &options), denied);
            refused(broker.delete(handle.id()), denied);
            refused(broker.revoke(&me, Revoke::Wipe), denied);
            refused(broker.revoke_all(Revoke::Cooperative), denied);
            refused(broker.try_serve(), denied);
            refused(broker.guarantees(handle.id()), denied);
            assert_eq!((broker.counts().waiting, broker.counts().redeemed), (0, 0));
            // It is no recipient either.
            refused(again().open_timeout(Access::ReadOnly, LONG), ErrorKind::InvalidHandle);
            refused(again().delete(), ErrorKind::InvalidHandle);
        });
        let counts = broker.counts();
        assert_eq!(
            (counts.waiting, counts.revocable),
            (1 - usize::from(redeemed), redeemed.into())
        );
        if let Some(map) = map {
            // What is given for a time is not there in a child.
            faults("what was given", || {
                // SAFETY: it is a fault that is wanted.
                let _ = unsafe { map.as_ptr().as_ptr().read_volatile() };
            });
            map.write_at(0, b"mine").unwrap();
            broker.revoke(&me, Revoke::Cooperative).unwrap();
            refused(map.read_at(0, &mut [0]), ErrorKind::Revoked);
        }
    }
    until("all is closed", || open() <= before);
    assert!(broker.path().exists(), "the name is the parent's");
}
