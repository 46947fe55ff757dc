//! What the system refuses: each system call fails, from the first on, while every operation is done; signals come
//! all the time; descriptors and memory run out; the kernel has no `membarrier`, or no `futex_waitv`. Each call gives
//! an error or does without: no panic, no signal, nothing left open, no name left behind.
//!
//! `ci/faults.sh` lets single calls fail, one after the other, by strace.
#![cfg(all(not(loom), target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(unsafe_code, reason = "installs filters and handlers")]

mod common;

use common::{Second, page, part, scratch};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use ringlane::handle::{Access, Broker, BrokerOptions, Handle, HandleOptions, Recipient, Revoke};
use ringlane::mpmc::Delivery;
use ringlane::session::{ConnectOptions, Server, ServiceName, Session};
use ringlane::spsc::Layout;
use ringlane::{
    Name, OpenOptions, SessionError, SharedMemory, Wait, call, inspect, mpmc, mpmc_record, record,
    spsc,
};
use std::fmt::Display;
use std::time::Duration;

// What the C library calls where a processor has only the newer one of two calls.
#[cfg(target_arch = "x86_64")]
use libc::{
    SYS_chmod as CHMOD, SYS_epoll_wait as EPOLL_WAIT, SYS_mkdir as MKDIR, SYS_poll as POLL,
    SYS_unlink as UNLINK,
};
#[cfg(target_arch = "aarch64")]
use libc::{
    SYS_epoll_pwait as EPOLL_WAIT, SYS_fchmodat as CHMOD, SYS_mkdirat as MKDIR, SYS_ppoll as POLL,
    SYS_unlinkat as UNLINK,
};

const SOON: Duration = Duration::from_millis(2);

/// What who answers here needs at most, if he can.
const LATER: Duration = Duration::from_millis(100);

/// Every system call of the library, and what it may fail with. Not `close` and `munmap`, which do not fail for what
/// is there; of `futex` only the sleep of this library is to fail, not the locks of the standard library.
const CALLS: &[(&str, i64, i32)] = &[
    ("openat", libc::SYS_openat, libc::EMFILE),
    ("openat", libc::SYS_openat, libc::EACCES),
    ("memfd_create", libc::SYS_memfd_create, libc::ENFILE),
    ("memfd_create", libc::SYS_memfd_create, libc::ENOMEM),
    ("ftruncate", libc::SYS_ftruncate, libc::EPERM),
    ("fallocate", libc::SYS_fallocate, libc::ENOSPC),
    ("fallocate", libc::SYS_fallocate, libc::EOPNOTSUPP),
    ("linkat", libc::SYS_linkat, libc::EMLINK),
    ("unlinkat", libc::SYS_unlinkat, libc::EPERM),
    ("unlink", UNLINK, libc::EPERM),
    ("fcntl", libc::SYS_fcntl, libc::ENOLCK),
    ("flock", libc::SYS_flock, libc::ENOLCK),
    ("fstat", libc::SYS_fstat, libc::EIO),
    ("newfstatat", libc::SYS_newfstatat, libc::EACCES),
    ("statx", libc::SYS_statx, libc::EACCES),
    ("fstatfs", libc::SYS_fstatfs, libc::ENOSYS),
    ("fchmod", libc::SYS_fchmod, libc::EPERM),
    ("chmod", CHMOD, libc::EPERM),
    ("mkdir", MKDIR, libc::EROFS),
    ("getdents64", libc::SYS_getdents64, libc::EIO),
    ("read", libc::SYS_read, libc::EIO),
    ("pread64", libc::SYS_pread64, libc::EIO),
    ("madvise", libc::SYS_madvise, libc::EINVAL),
    ("membarrier", libc::SYS_membarrier, libc::ENOSYS),
    ("futex_waitv", libc::SYS_futex_waitv, libc::ENOSYS),
    ("futex_waitv", libc::SYS_futex_waitv, libc::EPERM),
    ("pidfd_open", libc::SYS_pidfd_open, libc::ENOSYS),
    ("pidfd_open", libc::SYS_pidfd_open, libc::EMFILE),
    ("eventfd2", libc::SYS_eventfd2, libc::EMFILE),
    ("epoll_create1", libc::SYS_epoll_create1, libc::EMFILE),
    ("epoll_ctl", libc::SYS_epoll_ctl, libc::ENOSPC),
    ("epoll_ctl", libc::SYS_epoll_ctl, libc::ENOMEM),
    ("epoll_wait", EPOLL_WAIT, libc::EBADF),
    ("poll", POLL, libc::ENOMEM),
    ("socket", libc::SYS_socket, libc::EMFILE),
    ("socketpair", libc::SYS_socketpair, libc::EMFILE),
    ("bind", libc::SYS_bind, libc::EADDRINUSE),
    ("listen", libc::SYS_listen, libc::EADDRINUSE),
    ("connect", libc::SYS_connect, libc::EACCES),
    ("accept4", libc::SYS_accept4, libc::EMFILE),
    ("accept4", libc::SYS_accept4, libc::ENOMEM),
    ("connect", libc::SYS_connect, libc::EAGAIN),
    ("sendmsg", libc::SYS_sendmsg, libc::ENOBUFS),
    ("sendmsg", libc::SYS_sendmsg, libc::EAGAIN),
    ("recvmsg", libc::SYS_recvmsg, libc::ENOMEM),
    ("recvmsg", libc::SYS_recvmsg, libc::EAGAIN),
    ("getrandom", libc::SYS_getrandom, libc::ENOSYS),
    ("process_vm_readv", libc::SYS_process_vm_readv, libc::EPERM),
    ("getsockopt", libc::SYS_getsockopt, libc::ENOPROTOOPT),
    ("setsockopt", libc::SYS_setsockopt, libc::ENOPROTOOPT),
    ("shutdown", libc::SYS_shutdown, libc::ENOTCONN),
    ("sched_getaffinity", libc::SYS_sched_getaffinity, libc::EPERM),
    ("clone3", libc::SYS_clone3, libc::EAGAIN),
];

/// Of these, who is to remove a name needs all: where one fails, the name stays.
const NEEDED: &[&str] = &["openat", "unlinkat", "unlink", "fcntl", "flock", "fstat", "newfstatat"];

/// From now on, this system call fails in this thread and in those that it begins.
fn refuse(call: i64, errno: i32) {
    refuse_if(call, None, errno);
}

/// The same, perhaps only with this second argument.
fn refuse_if(call: i64, argument: Option<u32>, errno: i32) {
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let (load, compare, give) = (
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        libc::BPF_RET | libc::BPF_K,
    );
    // Where the lower half of the second argument lies, and the number of the call, which any is.
    let (at, argument) = argument.map_or((0, call as u32), |argument| (24, argument));
    let mut steps = [
        step(load, 0, 0, 0),
        step(compare, 0, 3, call as u32),
        step(load, 0, 0, at),
        step(compare, 0, 1, argument),
        step(give, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        step(give, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    nix::sys::prctl::set_no_new_privs().unwrap();
    // SAFETY: the program and its steps are there during the call.
    let set =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(set, 0, "a filter");
}

/// What an operation gave: an error has to say something.
fn tried<T, E: Display>(result: Result<T, E>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            assert!(error.to_string().len() > 5, "an error without a word");
            None
        }
    }
}

/// Operations of one kind, of which none has to succeed.
type Section = (&'static str, fn(&Name));

/// All of them.
const SECTIONS: &[Section] = &[
    ("nothing", |_| ()),
    ("memory", memory),
    ("values", values),
    ("records", records),
    ("calls", calls),
    ("many", many),
    ("many-records", many_records),
    ("sessions", sessions),
    ("handles", handles),
];

fn everything(name: &Name) {
    SECTIONS.iter().for_each(|(_, section)| section(name));
}

fn named(name: &Name, what: &str) -> Name {
    Name::new(&format!("{name}-{what}")).unwrap()
}

fn memory(name: &Name) {
    let memory = named(name, "memory");
    if let Some(memory) = tried(SharedMemory::create(&memory, 8192)) {
        tried(memory.set_size(16_384));
        tried(memory.size());
        let map = tried(memory.map());
        tried(memory.seal_size());
        drop(map);
        tried(memory.remove());
    }
    tried(OpenOptions::new().read(true).write(true).create(true).size(4096).open(&memory));
    tried(SharedMemory::open(&memory));
    tried(SharedMemory::unlink(&memory));
    tried(SharedMemory::anonymous(4096)).map(|memory| tried(memory.map()));
}

fn values(name: &Name) {
    for layout in [Layout::Slots, Layout::Dense] {
        let name = named(name, "values");
        let mut options = spsc::Queue::<u64>::options();
        let Some(queue) = tried(options.capacity(8).layout(layout).create(&name)) else { continue };
        tried(spsc::Queue::<u64>::open(&name));
        let ends = tried(queue.producer()).zip(tried(queue.consumer()));
        if let Some((mut producer, mut consumer)) = ends {
            producer.set_wait(Wait::Park);
            consumer.set_wait(Wait::Park);
            tried(consumer.pop_timeout(SOON));
            assert_eq!(producer.try_push(1), Ok(()));
            tried(producer.flush(Some(SOON)));
            assert_eq!(consumer.try_pop(), Ok(1));
            while producer.try_push(2).is_ok() {}
            tried(producer.push_timeout(3, SOON));
            consumer.wait_peer(Some(SOON));
        }
        tried(inspect::report(&name));
        tried(inspect::list());
        tried(inspect::remove(&name, true));
    }
}

fn records(name: &Name) {
    let records = named(name, "records");
    if let Some(queue) = tried(record::Queue::create(&records, 8192)) {
        let ends = tried(queue.producer()).zip(tried(queue.consumer()));
        if let Some((mut producer, mut consumer)) = ends {
            tried(consumer.pop_timeout(SOON));
            assert_eq!(producer.try_push(b"record"), Ok(()));
            assert_eq!(consumer.try_pop().unwrap(), b"record");
            while producer.try_push(&[0; 1000]).is_ok() {}
            tried(producer.push_timeout(&[0; 1000], SOON));
        }
    }
}

fn calls(name: &Name) {
    if let Some(cell) = tried(call::Cell::<u64, u64>::create(&named(name, "calls"))) {
        let (caller, server) = (tried(cell.caller()), tried(cell.server()));
        if let (Some(mut caller), Some(mut server)) = (caller, server) {
            tried(server.serve_timeout(|n| n, SOON));
            tried(caller.call_timeout(1, SOON));
            assert_eq!(server.try_serve(|n| n + 1), Ok(()));
            assert_eq!(caller.try_finish().unwrap(), 2);
        }
    }
}

fn many(name: &Name) {
    for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce] {
        let mut options = mpmc::Queue::<u64>::options();
        let queue = options.capacity(8).delivery(delivery).create(&named(name, "many"));
        let Some(queue) = tried(queue) else { continue };
        let ends = tried(queue.producer()).zip(tried(queue.consumer()));
        if let Some((mut producer, mut consumer)) = ends {
            tried(consumer.pop_timeout(SOON));
            assert_eq!(producer.try_push(1), Ok(()));
            assert_eq!(consumer.try_pop(), Ok(1));
            while producer.try_push(2).is_ok() {}
            tried(producer.push_timeout(3, SOON));
            tried(producer.flush(Some(SOON)));
        }
    }
}

fn many_records(name: &Name) {
    for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce] {
        let mut options = mpmc_record::Queue::options();
        let queue = options.capacity(4096).delivery(delivery).create(&named(name, "many-records"));
        let Some(queue) = tried(queue) else { continue };
        let ends = tried(queue.producer()).zip(tried(queue.consumer()));
        if let Some((mut producer, mut consumer)) = ends {
            tried(consumer.pop_timeout(SOON));
            assert_eq!(producer.try_push(b"record"), Ok(()));
            assert_eq!(consumer.try_pop().unwrap(), b"record");
            while producer.try_push(&[0; 1000]).is_ok() {}
            tried(producer.push_timeout(&[0; 1000], SOON));
            tried(producer.flush(Some(SOON)));
        }
    }
}

fn sessions(name: &Name) {
    let service = ServiceName::native(format!("/tmp/{name}.sock")).unwrap();
    if let Some(server) = tried(Server::bind(&service)) {
        tried(server.accept_timeout(SOON));
        let client = tried(ConnectOptions::new().timeout(SOON).connect(&service));
        let session = tried(server.accept_timeout(SOON)).flatten();
        client.iter().chain(&session).for_each(talk);
        session.iter().chain(&client).for_each(talk);
        tried(server.set_mode(0o600));
    }
    let _ = std::fs::remove_file(service.to_string());
    if let Some((one, other)) = tried(Session::pair(4096)) {
        tried(other.read_timeout(&mut [0], SOON));
        assert_eq!(one.send(b"message"), Ok(()));
        assert_eq!(other.try_recv().unwrap(), b"message");
        talk(&one);
    }
}

/// Memory for this process itself, by a thread of the broker's and by a poll.
fn handles(name: &Name) {
    let service = ServiceName::native(format!("/tmp/{name}.broker")).unwrap();
    if let Some(broker) = tried(BrokerOptions::new().name(&service).start()) {
        lend(&broker, |_| ());
    }
    let _ = std::fs::remove_file(service.to_string());
    if let Some(broker) = tried(BrokerOptions::new().name(&service).polled(true).start()) {
        lend(&broker, |broker| _ = tried(broker.try_serve()));
    }
    let _ = std::fs::remove_file(service.to_string());
}

fn lend(broker: &Broker, serve: impl Fn(&Broker) + Copy + Send) {
    let me = tried(Recipient::process(std::process::id()));
    let memory = tried(SharedMemory::anonymous(8192));
    let (Some(me), Some(memory)) = (me, memory) else { return };
    let create =
        |options: &HandleOptions| tried(broker.create(&memory, &me, Access::ReadWrite, options));
    let redeem = |handle: Handle| {
        let bytes = handle.to_bytes();
        let asking = std::thread::Builder::new().spawn(move || {
            let memory = tried(handle.open_timeout(Access::ReadWrite, LATER))?;
            tried(memory.map())
        });
        let Ok(asking) = asking else { return None };
        while !asking.is_finished() {
            serve(broker);
            std::thread::yield_now();
        }
        let map = asking.join().unwrap();
        if map.is_some() {
            let again = Handle::from_bytes(&bytes).unwrap();
            assert!(again.open_timeout(Access::ReadOnly, SOON).is_err(), "redeemed twice");
        }
        map
    };
    if let Some(handle) = create(&HandleOptions::new()) {
        tried(broker.guarantees(handle.id()));
        redeem(handle);
    }
    for how in [Revoke::Cooperative, Revoke::Wipe] {
        let Some(handle) = create(HandleOptions::new().revocable(true)) else { continue };
        let map = redeem(handle);
        let taken = tried(broker.revoke(&me, how));
        if let (Some(map), Some(_)) = (map, taken) {
            assert!(map.read_at(0, &mut [0]).is_err(), "taken back, and still there");
        }
    }
    offer(broker);
}

/// Handles that nobody redeems.
fn offer(broker: &Broker) {
    let me = tried(Recipient::process(std::process::id()));
    let memory = tried(SharedMemory::anonymous(8192));
    let (Some(me), Some(memory)) = (me, memory) else { return };
    let create =
        |options: &HandleOptions| tried(broker.create(&memory, &me, Access::ReadWrite, options));
    if let Some(handle) = create(HandleOptions::new().expires_in(SOON)) {
        tried(broker.delete(handle.id()));
    }
    // What nobody redeemed goes with all others.
    create(&HandleOptions::new());
    create(HandleOptions::new().revocable(true));
    tried(broker.revoke_all(Revoke::Cooperative));
    assert_eq!((broker.counts().waiting, broker.counts().revocable), (0, 0));
}

fn talk(session: &Session) {
    tried(session.send_timeout(b"message", SOON));
    tried(session.recv_timeout(SOON));
    tried(session.flush_timeout(SOON));
    tried(session.arm_read());
    tried(session.arm_write());
    tried(session.peer_pid());
    tried(session.peer_process());
    let _ = session.peer();
}

/// How many descriptors are open, by a call that is refused to nobody here.
fn open() -> usize {
    let is_open = |number: &i32| {
        // SAFETY: asks about a number, and moves nothing.
        let at = unsafe { libc::lseek(*number, 0, libc::SEEK_CUR) };
        at >= 0 || nix::errno::Errno::last() != nix::errno::Errno::EBADF
    };
    (0..200).filter(is_open).count()
}

fn there(name: &Name) -> Vec<String> {
    let entries = std::fs::read_dir("/dev/shm").unwrap();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    // Where this one ends in 4, that of the thread beside it may end in 42.
    let is_ours = |rest: &str| !rest.starts_with(|next: char| next.is_ascii_digit());
    names.filter(|other| other.strip_prefix(name.as_str()).is_some_and(is_ours)).collect()
}

/// Values through every kind of ring between two threads, both of which sleep; what comes is right.
fn exchange() {
    const COUNT: u64 = 3000;
    let queue = spsc::Queue::<u64>::private(4).unwrap();
    let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    producer.set_wait(Wait::Park);
    consumer.set_wait(Wait::Park);
    let thread = std::thread::spawn(move || (0..COUNT).for_each(|n| producer.push(n).unwrap()));
    assert!((0..COUNT).all(|n| consumer.pop() == Ok(n)));
    thread.join().unwrap();
    let queue = mpmc::Queue::<u64>::private(4).unwrap();
    let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    producer.set_wait(Wait::Park);
    consumer.set_wait(Wait::Park);
    let thread = std::thread::spawn(move || (0..COUNT).for_each(|n| producer.push(n).unwrap()));
    assert!((0..COUNT).all(|n| consumer.pop() == Ok(n)));
    thread.join().unwrap();
    let cell = call::Cell::<u64, u64>::private().unwrap();
    let (mut caller, mut server) = (cell.caller().unwrap(), cell.server().unwrap());
    caller.set_wait(Wait::Park);
    server.set_wait(Wait::Park);
    let thread = std::thread::spawn(move || while server.serve(|n| n + 1).is_ok() {});
    assert!((0..COUNT).all(|n| caller.call(n).unwrap() == n + 1));
    drop(caller);
    thread.join().unwrap();
    let (one, other) = Session::pair(4096).unwrap();
    one.set_wait(Wait::Park).unwrap();
    other.set_wait(Wait::Park).unwrap();
    let thread = std::thread::spawn(move || {
        (0..COUNT).for_each(|n| one.send(&n.to_ne_bytes()).unwrap());
        one.flush().unwrap();
    });
    assert!((0..COUNT).all(|n| other.recv().unwrap() == n.to_ne_bytes()));
    thread.join().unwrap();
    // A time is kept, too.
    let queue = mpmc::Queue::<u64>::private(4).unwrap();
    let (_producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    let (_one, other) = Session::pair(4096).unwrap();
    let began = std::time::Instant::now();
    assert!(consumer.pop_timeout(SOON).unwrap_err().is_empty());
    assert_eq!(other.recv_timeout(SOON), Err(SessionError::TimedOut { done: 0 }));
    assert!(began.elapsed() >= 2 * SOON);
}

/// Signals 10,000 times a second, which interrupt every system call that waits.
fn signals() {
    extern "C" fn nothing(_: libc::c_int) {}
    let handler = SigHandler::Handler(nothing);
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGALRM, &action) }.unwrap();
    let often = libc::timeval { tv_sec: 0, tv_usec: 100 };
    let timer = libc::itimerval { it_interval: often, it_value: often };
    // SAFETY: the timer is there during the call.
    let set = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
    assert_eq!(set, 0);
}

#[test]
fn second_process() {
    let Some((part, name)) = part() else { return };
    let mut words = part.split(' ');
    let what = words.next().unwrap();
    let mut number = || words.next().map_or(0, |word| word.parse::<i64>().unwrap());
    match what {
        "refused" => {
            // What the first of its kind makes once, and keeps.
            everything(&name);
            let before = open();
            refuse(number(), number() as i32);
            everything(&name);
            everything(&name);
            assert_eq!(open(), before, "descriptors are left open");
        }
        "locked" => {
            refuse_if(libc::SYS_flock, Some(libc::LOCK_UN as u32), libc::EPERM);
            everything(&name);
            // The close has done it.
            let name = named(&name, "again");
            let memory = SharedMemory::create(&name, 4096).unwrap();
            memory.set_size(8192).unwrap();
            memory.set_size(12_288).unwrap();
            memory.remove().unwrap();
        }
        "injected" => {
            let section = SECTIONS.iter().find(|(what, _)| part.ends_with(&format!(" {what}")));
            section.expect("a section").1(&name);
        }
        "without" => {
            refuse(number(), number() as i32);
            exchange();
        }
        "signals" => {
            signals();
            exchange();
            everything(&name);
        }
        "descriptors" => {
            everything(&name);
            let (before, more) = (open(), number() as u64);
            let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
            setrlimit(Resource::RLIMIT_NOFILE, before as u64 + more, hard).unwrap();
            everything(&name);
            assert_eq!(open(), before, "descriptors are left open");
        }
        "memory" => {
            everything(&name);
            let status = std::fs::read_to_string("/proc/self/statm").unwrap();
            let pages: u64 = status.split(' ').next().unwrap().parse().unwrap();
            let most = pages * page() as u64 + number() as u64 * 4096;
            setrlimit(Resource::RLIMIT_AS, most, most).unwrap();
            // A thread that finds no room for the end of its stack ends the process: that is the standard library's, and
            // goes for a broker's thread, too.
            let alone = SECTIONS.iter().filter(|(what, _)| *what != "handles");
            alone.for_each(|(_, section)| section(&name));
            let service = ServiceName::native(format!("/tmp/{name}.broker")).unwrap();
            tried(BrokerOptions::new().name(&service).polled(true).start()).iter().for_each(offer);
            let _ = std::fs::remove_file(service.to_string());
        }
        other => panic!("no such part: {other}"),
    }
}

/// A process that does its part, and ends well.
fn well(part: &str, may_stay: bool) {
    let name = scratch();
    // Without `membarrier` it naps at each step, which an emulator takes long over.
    let status = Second::start(part, &name).done_within(Duration::from_secs(600));
    let left = there(&name);
    for name in &left {
        let _ = std::fs::remove_file(format!("/dev/shm/{name}"));
    }
    assert!(status.success(), "{part}: {status}");
    assert!(may_stay || left.is_empty(), "{part}: {left:?} is left");
}

#[test]
fn every_system_call_may_fail() {
    // Most of it is waiting.
    std::thread::scope(|scope| {
        for some in CALLS.chunks(CALLS.len().div_ceil(6)) {
            scope.spawn(move || {
                for (name, call, errno) in some {
                    eprintln!("{name} fails with {}", nix::errno::Errno::from_raw(*errno));
                    well(&format!("refused {call} {errno}"), NEEDED.contains(name));
                }
            });
        }
    });
}

#[test]
fn a_lock_that_is_not_given_up_goes_with_its_descriptor() {
    well("locked", false);
}

#[test]
fn without_what_old_kernels_lack_all_works() {
    for call in [libc::SYS_membarrier, libc::SYS_futex_waitv, libc::SYS_pidfd_open] {
        well(&format!("without {call} {}", libc::ENOSYS), false);
        well(&format!("without {call} {}", libc::EPERM), false);
    }
}

/// No producer of records goes without claims, so none has to be told that another one has come.
#[test]
fn without_membarrier_a_second_producer_of_records_comes() {
    let queue = mpmc_record::Queue::private(4096).unwrap();
    let _one = queue.producer().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            refuse(libc::SYS_membarrier, libc::EPERM);
            queue.producer().unwrap();
        });
    });
}

#[test]
fn signals_all_the_time_change_nothing() {
    well("signals", false);
}

#[test]
fn descriptors_may_run_out_anywhere() {
    for more in 0..16 {
        well(&format!("descriptors {more}"), true);
    }
}

#[test]
fn memory_may_run_out_anywhere() {
    for more in [0, 1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128] {
        well(&format!("memory {more}"), true);
    }
}
