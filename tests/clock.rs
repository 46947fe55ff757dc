//! The clock that can be set jumps by years, forth and back, at every look: nothing looks. All that waits goes by the clock
//! that only goes on, and so does the time in which a handle is to be redeemed.
// Elsewhere the standard library asks by another symbol.
#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64", not(loom)))]
#![allow(unsafe_code, reason = "takes the place of the C library's clocks")]

mod common;

use ringlane::handle::{Access, Broker, BrokerOptions, HandleOptions, Recipient};
use ringlane::session::{ConnectOptions, Server, ServiceName, Session};
use ringlane::{ErrorKind, SharedMemory, Wait, call, mpmc, mpmc_record, record, spsc};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

/// How often somebody asked for the time of day.
static LOOKS: AtomicU64 = AtomicU64::new(0);

/// By how many seconds the clock is wrong.
static JUMP: AtomicI64 = AtomicI64::new(0);

/// In place of the C library's, for this program and all that it is made of.
///
/// # Safety
/// As clock_gettime(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(
    clock: libc::clockid_t,
    time: *mut libc::timespec,
) -> libc::c_int {
    // SAFETY: the caller's arguments.
    let got = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    let set = [libc::CLOCK_REALTIME, libc::CLOCK_REALTIME_COARSE, libc::CLOCK_TAI];
    if got == 0 && set.contains(&clock) {
        LOOKS.fetch_add(1, Relaxed);
        // Ten years forth, twenty back, and so on.
        let years = [10, -20, 30, -40][LOOKS.load(Relaxed) as usize % 4];
        let jump = JUMP.fetch_add(years * 31_536_000, Relaxed);
        // SAFETY: as above, and nothing else refers to it.
        if let Some(time) = unsafe { time.as_mut() } {
            time.tv_sec = (time.tv_sec + jump).max(0);
        }
    }
    got as libc::c_int
}

const SOON: Duration = Duration::from_millis(3);

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(60);

/// Waits in vain, no less than it is to.
fn in_vain<T>(what: &str, wait: impl FnOnce() -> Option<T>) {
    let began = Instant::now();
    assert!(wait().is_none(), "{what}");
    assert!(began.elapsed() >= SOON, "{what} came back early");
}

#[test]
fn no_wait_looks_at_a_clock_that_can_be_set() {
    let now = || SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    // The clock is ours, and jumps.
    let (one, two, three) = (now(), now(), now());
    assert!(one.abs_diff(two) > LONG && two.abs_diff(three) > LONG);
    assert!(LOOKS.swap(0, Relaxed) >= 3);
    for wait in [Wait::Park, Wait::SpinThenPark, Wait::Yield, Wait::Spin] {
        rings(wait);
        sessions(wait);
    }
    handles();
    assert_eq!(LOOKS.load(Relaxed), 0, "somebody asked for the time of day");
}

fn rings(wait: Wait) {
    let queue = spsc::Queue::<u64>::private(1).unwrap();
    let (mut tx, mut rx) = (queue.producer().unwrap(), queue.consumer().unwrap());
    tx.set_wait(wait);
    rx.set_wait(wait);
    in_vain("a pop", || rx.pop_timeout(SOON).ok());
    tx.push(1).unwrap();
    in_vain("a push", || tx.push_timeout(2, SOON).ok());
    in_vain("a flush", || tx.flush(Some(SOON)).ok());
    let queue = record::Queue::private(4096).unwrap();
    let (_tx, mut rx) = (queue.producer().unwrap(), queue.consumer().unwrap());
    rx.set_wait(wait);
    in_vain("a record", || rx.pop_timeout(SOON).ok());
    let queue = mpmc::Queue::<u64>::private(1).unwrap();
    let (mut tx, mut rx) = (queue.producer().unwrap(), queue.consumer().unwrap());
    tx.set_wait(wait);
    rx.set_wait(wait);
    in_vain("a pop of many", || rx.pop_timeout(SOON).ok());
    tx.push(1).unwrap();
    in_vain("a push of many", || tx.push_timeout(2, SOON).ok());
    let queue = mpmc_record::Queue::private(4096).unwrap();
    let (_tx, mut rx) = (queue.producer().unwrap(), queue.consumer().unwrap());
    rx.set_wait(wait);
    in_vain("a record of many", || rx.pop_timeout(SOON).ok());
    let cell = call::Cell::<u64, u64>::private().unwrap();
    let (mut caller, mut server) = (cell.caller().unwrap(), cell.server().unwrap());
    caller.set_wait(wait);
    server.set_wait(wait);
    in_vain("a request", || server.serve_timeout(|n| n, SOON).ok());
    in_vain("a reply", || caller.call_timeout(1, SOON).ok());
}

fn sessions(wait: Wait) {
    let name = ServiceName::new(common::scratch().as_str()).unwrap();
    let server = Server::bind(&name).unwrap();
    in_vain("a client", || server.accept_timeout(SOON).unwrap());
    let client = ConnectOptions::new().timeout(LONG).connect(&name).unwrap();
    assert!(server.accept_timeout(LONG).unwrap().is_some());
    drop(client);
    let (one, other) = Session::pair(4096).unwrap();
    other.set_wait(wait).unwrap();
    in_vain("a message", || other.recv_timeout(SOON).ok());
    in_vain("a byte", || other.read_timeout(&mut [0], SOON).ok());
    one.send(b"message").unwrap();
    in_vain("a flush", || one.flush_timeout(SOON).ok());
}

/// What expires does so after its time, and not before.
fn handles() {
    let memory = SharedMemory::anonymous(4096).unwrap();
    let me = Recipient::process(std::process::id()).unwrap();
    let (mut short, mut long) = (HandleOptions::new(), HandleOptions::new());
    short.expires_in(SOON);
    long.expires_in(LONG);
    let broker = Broker::start().unwrap();
    let began = Instant::now();
    let first = broker.create(&memory, &me, Access::ReadOnly, &short).unwrap();
    let second = broker.create(&memory, &me, Access::ReadOnly, &long).unwrap();
    common::until("the first has expired", || broker.counts().expired == 1);
    assert!(began.elapsed() >= SOON, "it expired early");
    let error = first.open_timeout(Access::ReadOnly, LONG).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidHandle);
    assert_eq!(broker.counts().waiting, 1);
    second.open_timeout(Access::ReadOnly, LONG).unwrap();
    // One that nobody serves.
    let silent = BrokerOptions::new().polled(true).start().unwrap();
    let handle = silent.create(&memory, &me, Access::ReadOnly, &HandleOptions::new()).unwrap();
    in_vain("an answer", || handle.open_timeout(Access::ReadOnly, SOON).ok());
}
