//! Memory and rings over sessions.

use crate::support::{Child, PATIENCE, kind, me, memory, options, parent, say, told};
#[cfg(target_os = "linux")]
use crate::support::{become_stranger, is_root, open_broker, skip};
use ringlane::handle::{Access, Broker, BrokerOptions, Handle};
use ringlane::session::Session;
use ringlane::{ErrorKind, Name, PopError, mpmc, record, spsc};

const VALUES: u64 = 10_000;

fn consume(session: &Session) {
    let memory = session.recv_memory(Access::ReadWrite).unwrap();
    assert!(memory.is_size_sealed().unwrap());
    let queue = spsc::Queue::<u64>::options().attach(memory).unwrap();
    let mut consumer = queue.consumer().unwrap();
    say(session, "ready");
    (0..VALUES).for_each(|n| assert_eq!(consumer.pop(), Ok(n)));
    assert_eq!(consumer.pop(), Err(PopError::Closed));
}

pub(crate) fn part(part: &str, name: &Name) -> bool {
    match part {
        "consume what a ring brings" => {
            let session = parent(name);
            consume(&session);
            // The others, by the same way.
            let memory = session.recv_memory_timeout(Access::ReadWrite, PATIENCE).unwrap();
            let queue = record::Queue::options().attach(memory).unwrap();
            let mut consumer = queue.consumer().unwrap();
            assert_eq!(consumer.pop().unwrap(), b"a record");
            let memory = session.recv_memory(Access::ReadWrite).unwrap();
            let queue = mpmc::Queue::<u64>::options().attach(memory).unwrap();
            queue.producer().unwrap().push(8).unwrap();
            say(&session, "consumed");
            told(&session, "end");
        }
        "make a handle and be killed" => {
            let session = parent(name);
            let (broker, memory) = (Broker::start().unwrap(), memory());
            let options = options();
            session.send_memory(&broker, &memory, Access::ReadOnly, &options).unwrap();
            session.send(broker.path().to_str().unwrap().as_bytes()).unwrap();
            told(&session, "never");
        }
        "push into what another process sleeps in" => {
            let session = parent(name);
            let memory = session.recv_memory(Access::ReadWrite).unwrap();
            let queue = spsc::Queue::<u64>::options().attach(memory).unwrap();
            queue.producer().unwrap().push(7).unwrap();
            say(&session, "pushed");
            told(&session, "end");
        }
        #[cfg(target_os = "linux")]
        "consume as a stranger" => {
            let session = parent(name);
            become_stranger();
            consume(&session);
            say(&session, "consumed");
            told(&session, "end");
        }
        _ => return false,
    }
    true
}

fn produce(child: &Child, broker: &Broker) {
    let queue = spsc::Queue::<u64>::private(64).unwrap();
    let session = &child.session;
    session.send_memory(broker, queue.memory(), Access::ReadWrite, &options()).unwrap();
    child.says("ready");
    let mut producer = queue.producer().unwrap();
    (0..VALUES).for_each(|n| producer.push(n).unwrap());
}

#[test]
fn rings_go_over_whole() {
    let broker = Broker::start().unwrap();
    let child = Child::start("consume what a ring brings");
    produce(&child, &broker);
    let (records, many) =
        (record::Queue::private(4096).unwrap(), mpmc::Queue::<u64>::private(64).unwrap());
    for memory in [records.memory(), many.memory()] {
        child.session.send_memory(&broker, memory, Access::ReadWrite, &options()).unwrap();
    }
    records.producer().unwrap().push(b"a record").unwrap();
    assert_eq!(many.consumer().unwrap().pop(), Ok(8));
    child.says("consumed");
    child.send(b"end");
    child.done();
    assert_eq!(broker.counts().redeemed, 3);
}

/// It slept when nobody else had the ring.
#[test]
fn who_sleeps_is_woken_by_who_was_given_the_ring_meanwhile() {
    let broker = Broker::start().unwrap();
    let queue = spsc::Queue::<u64>::private(64).unwrap();
    let mut consumer = queue.consumer().unwrap();
    consumer.set_wait(ringlane::Wait::Park);
    let sleeper = std::thread::spawn(move || consumer.pop());
    let child = Child::start("push into what another process sleeps in");
    let (memory, options) = (queue.memory(), options());
    child.session.send_memory(&broker, memory, Access::ReadWrite, &options).unwrap();
    child.says("pushed");
    assert_eq!(sleeper.join().unwrap(), Ok(7));
    child.send(b"end");
    child.done();
}

#[cfg(target_os = "linux")]
#[test]
fn a_ring_goes_to_another_user() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let child = Child::start("consume as a stranger");
    produce(&child, &open_broker());
    child.says("consumed");
    child.send(b"end");
    child.done();
}

#[test]
fn what_is_no_memory_is_refused_and_what_cannot_be_sent_is_deleted() {
    let (broker, memory) = (Broker::start().unwrap(), memory());
    let (one, other) = Session::pair(4096).unwrap();
    one.send(b"a word").unwrap();
    assert_eq!(kind(other.recv_memory(Access::ReadOnly)), ErrorKind::InvalidHandle);
    let more = one.send_memory(&broker, &memory, Access::ReadOnly, &options());
    more.unwrap();
    assert_eq!(kind(other.recv_memory(Access::ReadWrite)), ErrorKind::PermissionDenied);
    let id = one.send_memory(&broker, &memory, Access::ReadOnly, &options()).unwrap();
    broker.delete(id).unwrap();
    assert_eq!(kind(other.recv_memory(Access::ReadOnly)), ErrorKind::InvalidHandle);
    other.close();
    let refused = one.send_memory(&broker, &memory, Access::ReadOnly, &options());
    assert_eq!(kind(refused), ErrorKind::BrokenPipe);
    assert_eq!(broker.counts().waiting, 0);
    one.cancel();
    assert_eq!(kind(one.recv_memory(Access::ReadOnly)), ErrorKind::Cancelled);
}

/// Waits until it has something to do, or a moment.
#[cfg(target_os = "linux")]
fn wait_for(broker: &Broker) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    let mut polled = [PollFd::new(broker.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::from(100_u8)).unwrap();
}

#[cfg(windows)]
fn wait_for(broker: &Broker) {
    use std::os::windows::io::{AsHandle, AsRawHandle};
    use windows_sys::Win32::System::Threading::WaitForSingleObject;
    // SAFETY: the event is the broker's, and open.
    unsafe { WaitForSingleObject(broker.as_handle().as_raw_handle().cast(), 100) };
}

#[test]
fn a_broker_without_a_thread_serves_when_it_is_told_to() {
    let (broker, memory) = (BrokerOptions::new().polled(true).start().unwrap(), memory());
    let handles: Vec<Handle> = (0..200)
        .map(|_| broker.create(&memory, &me(), Access::ReadOnly, &options()).unwrap())
        .collect();
    let threads: Vec<_> = handles
        .into_iter()
        .map(|handle| std::thread::spawn(|| handle.open(Access::ReadOnly).unwrap()))
        .collect();
    crate::common::until("all are served", || {
        wait_for(&broker);
        broker.try_serve().unwrap();
        broker.counts().redeemed == 200
    });
    threads.into_iter().for_each(|thread| drop(thread.join().unwrap()));
    // One that has a thread is served by that.
    let served = Broker::start().unwrap();
    let busy = || served.try_serve().map_err(|e| e.kind());
    crate::common::until("its thread has begun", || busy() == Err(ErrorKind::InUse));
}

#[cfg(target_os = "linux")]
#[test]
fn a_forked_child_keeps_nobody_waiting_for_a_broker_that_is_gone() {
    use crate::callers::{connected, question};
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    let broker = BrokerOptions::new().polled(true).start().unwrap();
    let handle = broker.create(&memory(), &me(), Access::ReadOnly, &options()).unwrap();
    let path = broker.path().to_str().unwrap().to_owned();
    // One that was accepted, and one that was not.
    let silent = connected(&path);
    broker.try_serve().unwrap();
    let asking = connected(&path);
    nix::unistd::write(&asking, &question(&handle)).unwrap();
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    // SAFETY: the child makes system calls alone, and exits.
    let child = match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Child => {
            drop(writer);
            let _ = nix::unistd::read(&reader, &mut [0]);
            // SAFETY: ends the child.
            unsafe { libc::_exit(0) };
        }
        nix::unistd::ForkResult::Parent { child } => child,
    };
    drop(broker);
    for socket in [silent, asking] {
        let mut polled = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        let most = PollTimeout::try_from(PATIENCE).unwrap();
        assert_eq!(poll(&mut polled, most).unwrap(), 1, "nobody hung up");
        assert_eq!(nix::unistd::read(&socket, &mut [0; 64]).unwrap_or(0), 0);
    }
    assert_eq!(kind(handle.open_timeout(Access::ReadOnly, PATIENCE)), ErrorKind::InvalidHandle);
    drop((reader, writer));
    nix::sys::wait::waitpid(child, None).unwrap();
}

#[test]
fn a_broker_that_is_gone_leaves_nothing_and_its_handles_are_void() {
    let (broker, memory) = (Broker::start().unwrap(), memory());
    #[cfg(target_os = "linux")]
    let (identity, path) = (crate::support::identity_of(&memory), broker.path().to_owned());
    let handle = broker.create(&memory, &me(), Access::ReadOnly, &options()).unwrap();
    drop((broker, memory));
    #[cfg(target_os = "linux")]
    assert!(!path.exists());
    #[cfg(target_os = "linux")]
    assert_eq!(crate::support::holds(identity), (0, 0));
    assert_eq!(kind(handle.open(Access::ReadOnly)), ErrorKind::InvalidHandle);
}

#[test]
fn a_broker_that_was_killed_is_gone_too() {
    let child = Child::start("make a handle and be killed");
    let handle = child.session.recv_handle().unwrap();
    let path = child.session.recv_timeout(PATIENCE).unwrap();
    child.second.kill();
    assert_eq!(kind(handle.open(Access::ReadOnly)), ErrorKind::InvalidHandle);
    // A socket is there until a process with its number starts one.
    if cfg!(unix) {
        std::fs::remove_file(String::from_utf8(path).unwrap()).unwrap();
    }
}

#[test]
fn a_broker_bears_so_many_handles_and_no_more() {
    let broker = BrokerOptions::new().most_handles(3).start().unwrap();
    let memory = memory();
    let make = || broker.create(&memory, &me(), Access::ReadOnly, &options());
    let handles: Vec<Handle> = (0..3).map(|_| make().unwrap()).collect();
    let error = make().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitReached);
    assert!(error.to_string().contains('3'), "{error}");
    handles.into_iter().next().unwrap().open(Access::ReadOnly).unwrap();
    make().unwrap();
}
