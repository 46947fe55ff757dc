//! Taking back: what each way does, and to whom it does nothing.

use crate::common::page;
use crate::support::{
    Child, SIZE, again, byte, kind, me, memory, options, parent, receive, revocable, say, told,
};
#[cfg(target_os = "linux")]
use crate::support::{identity_of, loose_memory};
#[cfg(target_os = "linux")]
use nix::sys::signal::Signal;
#[cfg(target_os = "linux")]
use nix::sys::wait::{WaitStatus, waitpid};
#[cfg(target_os = "linux")]
use nix::unistd::{ForkResult, fork};
use ringlane::handle::{Access, Broker, BrokerOptions, Guarantee, Revoke};
use ringlane::{ErrorKind, MapOptions, Name, SharedMemory};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) fn part(part: &str, name: &Name) -> bool {
    match part {
        "use it until it is taken back" => {
            let session = parent(name);
            let given = receive(&session).open(Access::ReadWrite).unwrap();
            let mapping = given.map().unwrap();
            assert!(mapping.granted().dont_fork && !mapping.is_revoked());
            mapping.write_at(0, &[1]).unwrap();
            assert_eq!(byte(&mapping, 0), 1);
            say(&session, "using");
            told(&session, "taken");
            let mut seen = [9; 4];
            assert_eq!(kind(mapping.read_at(0, &mut seen)), ErrorKind::Revoked);
            assert_eq!(kind(mapping.write_at(0, &[2])), ErrorKind::Revoked);
            assert_eq!(kind(given.map()), ErrorKind::Revoked);
            assert_eq!(kind(given.size()), ErrorKind::Revoked);
            assert!(given.is_revoked() && mapping.is_revoked());
            // What lies behind the library's back.
            // SAFETY: nothing is gone, whatever it holds.
            let behind = unsafe { mapping.as_ptr().read_volatile() };
            say(&session, if behind == 0 { "zeroes" } else { "data" });
        }
        #[cfg(target_os = "linux")]
        "touch what is cut off" => {
            let session = parent(name);
            let mapping = receive(&session).map(MapOptions::new().read(true)).unwrap();
            assert_eq!(byte(&mapping, 0), 4);
            say(&session, "using");
            told(&session, "touch");
            assert_eq!(kind(mapping.read_at(0, &mut [0])), ErrorKind::Revoked);
            // SAFETY: not safe at all: this is what has to end the process.
            let byte = unsafe { mapping.as_ptr().read_volatile() };
            unreachable!("read {byte}");
        }
        "go on reading" => {
            let session = parent(name);
            let mapping = receive(&session).map(MapOptions::new().read(true)).unwrap();
            say(&session, "using");
            told(&session, "touch");
            assert_eq!(byte(&mapping, 0), 4);
            // SAFETY: it is mapped, and nobody took it back.
            assert_eq!(unsafe { mapping.as_ptr().read_volatile() }, 4);
            say(&session, "went on");
        }
        #[cfg(target_os = "linux")]
        "fork with what is given for a time" => {
            let session = parent(name);
            let mapping = receive(&session).map(MapOptions::new().read(true)).unwrap();
            // SAFETY: the child reads a byte and exits.
            match unsafe { fork() }.unwrap() {
                ForkResult::Child => {
                    // SAFETY: not safe at all: the child does not have it, and is to be ended.
                    let byte = unsafe { mapping.as_ptr().read_volatile() };
                    // SAFETY: ends the child.
                    unsafe { libc::_exit(i32::from(byte)) };
                }
                ForkResult::Parent { child } => {
                    let status = waitpid(child, None).unwrap();
                    assert!(
                        matches!(status, WaitStatus::Signaled(_, Signal::SIGSEGV, _)),
                        "{status:?}"
                    );
                }
            }
            assert_eq!(byte(&mapping, 0), 4);
            say(&session, "forked");
        }
        #[cfg(target_os = "linux")]
        "fork the creator" => {
            let (broker, memory) = (Broker::start().unwrap(), memory());
            let handle = broker.create(&memory, &me(), Access::ReadOnly, &revocable()).unwrap();
            let id = handle.id();
            let mapping = handle.map(MapOptions::new().read(true)).unwrap();
            // SAFETY: the child looks at its memory, makes system calls, and exits.
            match unsafe { fork() }.unwrap() {
                ForkResult::Child => {
                    let refused = |kind: ErrorKind| kind == ErrorKind::PermissionDenied;
                    let all = [
                        broker.revoke_all(Revoke::Wipe).map_err(|e| e.kind()).err(),
                        broker.revoke_handle(id, Revoke::Wipe).map_err(|e| e.kind()).err(),
                        broker.delete(id).map_err(|e| e.kind()).err(),
                        broker.try_serve().map_err(|e| e.kind()).err(),
                        broker.guarantees(id).map_err(|e| e.kind()).err(),
                    ];
                    let nothing = broker.counts().revocable == 0;
                    drop(broker);
                    let held = nothing && all.into_iter().all(|kind| kind.is_some_and(refused));
                    // SAFETY: ends the child.
                    unsafe { libc::_exit(i32::from(held)) };
                }
                ForkResult::Parent { child } => {
                    let status = waitpid(child, None).unwrap();
                    assert!(matches!(status, WaitStatus::Exited(_, 1)), "{status:?}");
                }
            }
            // Nothing of it touched the parent's.
            assert!(broker.path().exists() && !mapping.is_revoked());
            let done = broker.revoke(&me(), Revoke::Wipe).unwrap();
            assert_eq!((done.taken_back, mapping.is_revoked()), (1, true));
        }
        _ => return false,
    }
    true
}

#[test]
fn q_13_what_was_not_redeemed_is_void() {
    let (broker, memory) = (Broker::start().unwrap(), memory());
    let make = |options: &_| broker.create(&memory, &me(), Access::ReadWrite, options).unwrap();
    let handles = [make(&options()), make(&revocable()), make(&revocable())];
    let other = Child::start("go on reading");
    let theirs = broker.create(&memory, &other.recipient(), Access::ReadOnly, &options()).unwrap();
    let done = broker.revoke(&me(), Revoke::Cooperative).unwrap();
    assert_eq!((done.deleted, done.taken_back), (3, 0));
    for handle in handles {
        assert_eq!(kind(handle.open(Access::ReadOnly)), ErrorKind::InvalidHandle);
    }
    assert_eq!(broker.counts().waiting, 1);
    // By itself, and then there is none of that kind.
    let one = broker.revoke_handle(theirs.id(), Revoke::Cooperative).unwrap();
    assert_eq!((one.deleted, one.taken_back), (1, 0));
    let gone = broker.revoke_handle(theirs.id(), Revoke::Cooperative);
    assert_eq!(kind(gone), ErrorKind::InvalidHandle);
    assert_eq!(broker.revoke_all(Revoke::Fault).unwrap(), Default::default());
}

#[test]
fn q_14_calls_end_with_revoked_and_nobody_is_killed() {
    for (how, behind) in [(Revoke::Cooperative, "data"), (Revoke::Wipe, "zeroes")] {
        let (broker, memory) = (Broker::start().unwrap(), memory());
        let child = Child::start("use it until it is taken back");
        let handle = child.give(&broker, &memory, Access::ReadWrite, &revocable());
        child.says("using");
        let held = broker.guarantees(handle.id()).unwrap();
        assert_eq!((held.revoke, held.wipe), (Guarantee::Library, Guarantee::Kernel));
        assert_eq!(held.fault, Guarantee::Nobody);
        assert_eq!(byte(&memory.map().unwrap(), 0), 1);
        let done = broker.revoke(&child.recipient(), how).unwrap();
        assert_eq!((done.deleted, done.taken_back), (0, 1));
        child.send(b"taken");
        child.says(behind);
        child.done();
        let left = byte(&memory.map().unwrap(), 0);
        assert_eq!(left, u8::from(how == Revoke::Cooperative));
        assert_eq!(broker.counts().revocable, 0);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn q_14_what_is_sealed_for_reading_is_wiped_too() {
    let (broker, memory) = (Broker::start().unwrap(), memory());
    let mine = memory.map().unwrap();
    mine.write_at(SIZE as usize - 1, &[1]).unwrap();
    let sealing = revocable().seal_writes(true).clone();
    let handle = broker.create(&memory, &me(), Access::ReadOnly, &sealing).unwrap();
    let held = broker.guarantees(handle.id()).unwrap();
    assert_eq!((held.access, held.wipe), (Guarantee::Kernel, Guarantee::Kernel));
    let given = handle.open(Access::ReadOnly).unwrap().map().unwrap();
    assert_eq!(byte(&given, SIZE as usize - 1), 1);
    broker.revoke_all(Revoke::Wipe).unwrap();
    assert_eq!(kind(given.read_at(0, &mut [0])), ErrorKind::Revoked);
    // SAFETY: it is mapped, and its size is sealed.
    let behind = unsafe { given.as_ptr().add(SIZE as usize - 1) };
    // SAFETY: as above.
    assert_eq!(unsafe { behind.read_volatile() }, 0);
    // What was sealed before the handle was made cannot be wiped, and it is said so.
    let handle = broker.create(&memory, &me(), Access::ReadOnly, &sealing).unwrap();
    assert_eq!(broker.guarantees(handle.id()).unwrap().wipe, Guarantee::Nobody);
    let id = handle.id();
    let given = handle.open(Access::ReadOnly).unwrap();
    assert_eq!(kind(broker.revoke_handle(id, Revoke::Wipe)), ErrorKind::Unsupported);
    assert!(!given.is_revoked(), "nothing is done that is not done in full");
    broker.revoke_handle(id, Revoke::Cooperative).unwrap();
    assert!(given.is_revoked());
}

#[test]
fn q_14_what_a_read_gives_was_there_before_it_was_wiped() {
    let broker = Broker::start().unwrap();
    for _ in 0..50 {
        let memory = memory();
        memory.map().unwrap().write_at(0, &[7; SIZE as usize]).unwrap();
        let handle = broker.create(&memory, &me(), Access::ReadOnly, &revocable()).unwrap();
        let given = handle.open(Access::ReadOnly).unwrap().map().unwrap();
        let reading = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut seen = vec![0; SIZE as usize];
                loop {
                    seen.fill(1);
                    match given.read_at(0, &mut seen) {
                        Ok(()) => assert!(seen.iter().all(|byte| *byte == 7), "wiped bytes"),
                        Err(error) => break assert_eq!(error.kind(), ErrorKind::Revoked),
                    }
                    reading.store(true, Ordering::Relaxed);
                }
            });
            crate::common::until("it is read", || reading.load(Ordering::Relaxed));
            broker.revoke_all(Revoke::Wipe).unwrap();
        });
    }
}

/// A recipient that may write may also seal, but not what can be taken back.
#[cfg(target_os = "linux")]
#[test]
fn what_can_be_taken_back_cannot_be_sealed_against_it() {
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    let broker = Broker::start().unwrap();
    for (memory, how) in
        [(memory(), Revoke::Wipe), (loose_memory(), Revoke::Wipe), (loose_memory(), Revoke::Fault)]
    {
        let mine = memory.map().unwrap();
        mine.write_at(0, &[1]).unwrap();
        let make = |options: &_| {
            let handle = broker.create(&memory, &me(), Access::ReadWrite, options).unwrap();
            (handle.id(), handle.open(Access::ReadWrite).unwrap())
        };
        let (id, given) = make(&revocable());
        for seal in [
            SealFlag::F_SEAL_FUTURE_WRITE,
            SealFlag::F_SEAL_SHRINK,
            SealFlag::F_SEAL_GROW,
            SealFlag::F_SEAL_SEAL,
        ] {
            let sealed = fcntl(&given, FcntlArg::F_ADD_SEALS(seal));
            assert_eq!(sealed, Err(nix::errno::Errno::EPERM), "{seal:?}");
        }
        broker.revoke_handle(id, how).unwrap();
        if how == Revoke::Wipe {
            assert_eq!(byte(&mine, 0), 0);
        } else {
            assert_eq!(memory.size().unwrap(), 0);
        }
    }
    // What is given for good can be sealed by who may write to it.
    let memory = loose_memory();
    let handle = broker.create(&memory, &me(), Access::ReadWrite, &options()).unwrap();
    handle.open(Access::ReadWrite).unwrap().seal_writes().unwrap();
    assert!(memory.is_write_sealed().unwrap());
}

#[cfg(target_os = "linux")]
#[test]
fn q_15_what_is_cut_off_faults_and_the_others_go_on() {
    let broker = Broker::start().unwrap();
    let memories = [loose_memory(), loose_memory()];
    let [cut, other] = ["touch what is cut off", "go on reading"].map(Child::start);
    for (child, memory) in [&cut, &other].into_iter().zip(&memories) {
        memory.map().unwrap().write_at(0, &[4]).unwrap();
        let handle = child.give(&broker, memory, Access::ReadOnly, &revocable());
        child.says("using");
        assert_eq!(broker.guarantees(handle.id()).unwrap().fault, Guarantee::Kernel);
    }
    let done = broker.revoke(&cut.recipient(), Revoke::Fault).unwrap();
    assert_eq!(done.taken_back, 1);
    assert_eq!(memories[0].size().unwrap(), 0);
    for child in [&cut, &other] {
        child.send(b"touch");
    }
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(cut.second.done().signal(), Some(libc::SIGBUS));
    other.says("went on");
    other.done();
    // Memory of a fixed size is not for that.
    let memory = memory();
    let handle = broker.create(&memory, &me(), Access::ReadOnly, &revocable()).unwrap();
    let id = handle.id();
    let given = handle.open(Access::ReadOnly).unwrap();
    assert_eq!(kind(broker.revoke_handle(id, Revoke::Fault)), ErrorKind::Unsupported);
    assert!(!given.is_revoked());
}

/// Whoever copies by the library while it is cut off is told so, and not ended.
#[cfg(target_os = "linux")]
#[test]
fn q_14_what_is_cut_off_in_the_middle_of_a_copy_is_an_error() {
    let broker = Broker::start().unwrap();
    for _ in 0..100 {
        let memory = loose_memory();
        let handle = broker.create(&memory, &me(), Access::ReadWrite, &revocable()).unwrap();
        let given = handle.open(Access::ReadWrite).unwrap().map().unwrap();
        let copies = [AtomicBool::new(false), AtomicBool::new(false)];
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let bytes = vec![7; SIZE as usize];
                loop {
                    match given.write_at(0, &bytes) {
                        Ok(()) => copies[0].store(true, Ordering::Relaxed),
                        Err(error) => break assert_eq!(error.kind(), ErrorKind::Revoked),
                    }
                }
            });
            scope.spawn(|| {
                let mut bytes = vec![0; SIZE as usize];
                loop {
                    match given.read_at(0, &mut bytes) {
                        Ok(()) => copies[1].store(true, Ordering::Relaxed),
                        Err(error) => break assert_eq!(error.kind(), ErrorKind::Revoked),
                    }
                }
            });
            crate::common::until("both copy", || {
                copies.iter().all(|copied| copied.load(Ordering::Relaxed))
            });
            broker.revoke_all(Revoke::Fault).unwrap();
        });
    }
    // Cut off by somebody else, who may write.
    let memory = loose_memory();
    let handle = broker.create(&memory, &me(), Access::ReadOnly, &revocable()).unwrap();
    let given = handle.open(Access::ReadOnly).unwrap().map().unwrap();
    nix::unistd::ftruncate(&memory, page() as _).unwrap();
    given.read_at(0, &mut vec![0; page()]).unwrap();
    assert_eq!(kind(given.read_at(page() - 96, &mut [0; 100])), ErrorKind::Corrupt);
}

#[cfg(target_os = "linux")]
#[test]
fn q_19_a_forked_child_is_without_it() {
    let (broker, memory) = (Broker::start().unwrap(), memory());
    memory.map().unwrap().write_at(0, &[4]).unwrap();
    let child = Child::start("fork with what is given for a time");
    child.give(&broker, &memory, Access::ReadOnly, &revocable());
    child.says("forked");
    child.done();
}

#[cfg(target_os = "linux")]
#[test]
fn q_20_the_creator_s_forked_child_revokes_nothing() {
    let second = crate::common::Second::start("fork the creator", &crate::common::scratch());
    assert!(second.done().success());
}

#[test]
fn one_is_not_wiped_with_what_another_has() {
    let page = page() as u64;
    let (broker, memory) = (Broker::start().unwrap(), memory());
    let child = Child::start("go on reading");
    memory.map().unwrap().write_at(0, &[4]).unwrap();
    let make = |range: std::ops::Range<u64>| {
        let options = revocable().range(range).clone();
        broker.create(&memory, &me(), Access::ReadWrite, &options).unwrap()
    };
    child.give(&broker, &memory, Access::ReadOnly, options().range(0..page));
    let shared = make(0..2 * page);
    let (shared, own) = (shared.id(), {
        again(&shared).open(Access::ReadOnly).unwrap();
        make(2 * page..4 * page)
    });
    let id = own.id();
    let given = own.open(Access::ReadWrite).unwrap();
    // Before it was redeemed it counts as well; after that, of what was not revocable, nothing is known.
    child.says("using");
    let second = broker.create(&memory, &child.recipient(), Access::ReadOnly, &revocable());
    let second = second.unwrap();
    assert_eq!(kind(broker.revoke_handle(shared, Revoke::Wipe)), ErrorKind::InUse);
    assert_eq!(kind(broker.revoke_handle(id, Revoke::Wipe)), ErrorKind::InUse);
    broker.delete(second.id()).unwrap();
    // Apart from each other.
    broker.revoke_handle(id, Revoke::Wipe).unwrap();
    assert!(given.is_revoked());
    child.send(b"touch");
    child.says("went on");
    child.done();
    broker.revoke_handle(shared, Revoke::Cooperative).unwrap();
    assert_eq!(broker.counts().revocable, 0);
}

#[cfg(target_os = "linux")]
#[test]
fn what_has_grown_is_wiped_to_its_end() {
    let (broker, memory) = (Broker::start().unwrap(), loose_memory());
    let handle = broker.create(&memory, &me(), Access::ReadWrite, &revocable()).unwrap();
    let given = handle.open(Access::ReadWrite).unwrap();
    memory.set_size(2 * SIZE).unwrap();
    let mapping = memory.map().unwrap();
    mapping.write_at(2 * SIZE as usize - 1, &[4]).unwrap();
    broker.revoke(&me(), Revoke::Wipe).unwrap();
    assert!(given.is_revoked());
    assert_eq!(byte(&mapping, 2 * SIZE as usize - 1), 0);
    assert_eq!(memory.size().unwrap(), 2 * SIZE);
}

#[test]
fn one_of_many_is_wiped_where_no_other_is() {
    const PAGES: u64 = 200;
    let page = page() as u64;
    let (broker, memory) = (Broker::start().unwrap(), SharedMemory::anonymous(PAGES * page));
    let memory = memory.unwrap();
    let make = |from: u64, to: u64| {
        let options = revocable().range(from * page..to * page).clone();
        let handle = broker.create(&memory, &me(), Access::ReadOnly, &options).unwrap();
        let id = handle.id();
        (id, handle.open(Access::ReadOnly).unwrap())
    };
    let each: Vec<_> = (0..PAGES - 2).map(|at| make(at, at + 1)).collect();
    // The last two share a page; the one before them shares none.
    let (first, second) = (make(PAGES - 2, PAGES), make(PAGES - 1, PAGES));
    assert_eq!(kind(broker.revoke_handle(first.0, Revoke::Wipe)), ErrorKind::InUse);
    assert_eq!(kind(broker.revoke_handle(second.0, Revoke::Wipe)), ErrorKind::InUse);
    broker.revoke_handle(each[each.len() - 1].0, Revoke::Wipe).unwrap();
    assert_eq!(kind(broker.revoke_handle(each[0].0, Revoke::Fault)), ErrorKind::Unsupported);
    let done = broker.revoke_all(Revoke::Wipe).unwrap();
    assert_eq!(done.taken_back as u64, PAGES - 1);
    assert!(each.iter().all(|(_, given)| given.is_revoked()));
}

#[test]
fn what_was_given_for_a_time_is_not_passed_on_nor_made_a_ring() {
    let (broker, memory) = (Broker::start().unwrap(), memory());
    let queue = ringlane::spsc::Queue::<u64>::options().capacity(64).host(memory).unwrap();
    let handle = broker.create(queue.memory(), &me(), Access::ReadWrite, &revocable()).unwrap();
    let given = handle.open(Access::ReadWrite).unwrap();
    let on = broker.create(&given, &me(), Access::ReadOnly, &options());
    assert_eq!(kind(on), ErrorKind::PermissionDenied);
    broker.revoke_all(Revoke::Cooperative).unwrap();
    let attached = ringlane::spsc::Queue::<u64>::options().attach(given);
    assert_eq!(kind(attached), ErrorKind::Revoked);
}

/// A ring has no word for it: it is useless from then on, and says so, or nothing.
#[test]
fn a_ring_that_is_wiped_does_nobody_harm() {
    let broker = Broker::start().unwrap();
    for close_first in [true, false] {
        let queue = ringlane::record::Queue::private(1 << 16).unwrap();
        let handle = broker.create(queue.memory(), &me(), Access::ReadWrite, &revocable());
        let given = handle.unwrap().open(Access::ReadWrite).unwrap();
        let theirs = ringlane::record::Queue::options().attach(given).unwrap();
        let (mut producer, mut consumer) = (queue.producer().unwrap(), theirs.consumer().unwrap());
        (0..100).for_each(|n| producer.push(&[n; 100]).unwrap());
        assert_eq!(consumer.pop().unwrap(), [0; 100]);
        if close_first {
            (1..100).for_each(|n| assert_eq!(consumer.pop().unwrap(), [n; 100]));
            let sleeper = std::thread::spawn(move || consumer.pop());
            producer.close();
            assert_eq!(sleeper.join().unwrap(), Err(ringlane::PopError::Closed));
            broker.revoke_all(Revoke::Wipe).unwrap();
            continue;
        }
        broker.revoke_all(Revoke::Wipe).unwrap();
        for _ in 0..300 {
            let _ = consumer.try_pop();
            let _ = consumer.pop_timeout(Duration::from_micros(10));
            let _ = producer.try_push(&[1; 100]);
        }
    }
}

#[test]
fn what_has_expired_is_gone_without_being_asked_for() {
    let (broker, memory) = (Broker::start().unwrap(), memory());
    #[cfg(target_os = "linux")]
    let identity = identity_of(&memory);
    let brief = options().expires_in(Duration::from_millis(5)).clone();
    let long = options().expires_in(Duration::from_secs(3600)).clone();
    let [short, late] =
        [&brief, &long].map(|of| broker.create(&memory, &me(), Access::ReadOnly, of).unwrap());
    assert_eq!(broker.guarantees(late.id()).unwrap().expiry, Guarantee::Broker);
    crate::common::until("one has expired", || broker.counts().expired == 1);
    assert_eq!(kind(short.open(Access::ReadOnly)), ErrorKind::InvalidHandle);
    late.open(Access::ReadOnly).unwrap();
    drop(memory);
    #[cfg(target_os = "linux")]
    crate::common::until("nothing is left of it", || crate::support::holds(identity) == (0, 0));
    // Who polls is told when to come again.
    let polled = BrokerOptions::new().polled(true).start().unwrap();
    let memory = crate::support::memory();
    assert_eq!(polled.try_serve().unwrap(), None);
    let handle = polled.create(&memory, &me(), Access::ReadOnly, &brief).unwrap();
    let mut next = polled.try_serve().unwrap();
    crate::common::until("it has expired there, too", || {
        assert!(next.is_none_or(|next| next <= Duration::from_millis(5)));
        next = polled.try_serve().unwrap();
        next.is_none()
    });
    assert_eq!(polled.counts().expired, 1);
    drop(handle);
}

#[test]
fn a_redeemed_handle_does_not_expire() {
    let (broker, memory) = (Broker::start().unwrap(), memory());
    let options = revocable().expires_in(Duration::from_millis(20)).clone();
    let handle = broker.create(&memory, &me(), Access::ReadOnly, &options).unwrap();
    let id = handle.id();
    let Ok(given) = handle.open(Access::ReadOnly) else { return }; // It was a long time.
    // What is made later expires later.
    broker.create(&memory, &me(), Access::ReadOnly, &options).unwrap();
    crate::common::until("the second has expired", || broker.counts().expired == 1);
    assert!(!given.is_revoked());
    broker.revoke_handle(id, Revoke::Cooperative).unwrap();
}
