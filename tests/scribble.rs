//! A hostile process that rewrites every byte it can write to, at random, while a victim works: no signal, no panic,
//! no call that does not end. For a second a role, or as many as `RINGLANE_SCRIBBLE_SECONDS` says; a role is one side
//! of one kind of ring. A signal or a panic ends the test; a call that hangs, the watchdog ends.
#![cfg(all(target_os = "linux", not(loom)))]
#![allow(unsafe_code, reason = "scribbles over mapped memory")]
#![allow(clippy::disallowed_types, reason = "by atomics, as a peer would")]

mod common;

use common::{Second, page, part, scratch};
use nix::time::{ClockId, clock_gettime};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use ringlane::handle::{Access, Broker, Handle, HandleOptions, Recipient, Revoke};
use ringlane::mpmc::Delivery;
use ringlane::session::{ConnectOptions, Server, ServiceName, Session};
use ringlane::spsc::Layout;
use ringlane::{
    Name, OpenOptions, PopError, ReserveError, SharedMemory, Wait, call, inspect, mpmc,
    mpmc_record, record, spsc,
};
use std::io::{BufRead, Read, Write};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// What a call may wait.
const SOON: Duration = Duration::from_micros(50);

/// No call takes as long as this, on whatever machine.
const HANGS: Duration = Duration::from_secs(60);

/// How long one ring is used before the next one.
const LIFE: Duration = Duration::from_millis(40);

/// How many handles are lent over one session.
const HANDLES: usize = 20;

fn seconds() -> u64 {
    std::env::var("RINGLANE_SCRIBBLE_SECONDS").map_or(1, |text| text.parse().expect("a number"))
}

/// Words that another process reads.
struct Words {
    at: NonNull<AtomicU64>,
    len: usize,
}

impl Words {
    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.len);
        // SAFETY: within the memory that the words were made of.
        let at = unsafe { self.at.add(index) };
        // SAFETY: mapped, aligned, and used by atomics only, here and there.
        unsafe { at.as_ref() }
    }

    /// Rewrites one word: with anything, or with what looks right and is not.
    fn scribble(&self, random: &mut StdRng) {
        // Half of it goes where the words are that mean something.
        let index = match random.random_range(0..8) {
            0..3 => 128 + random.random_range(0..96),
            3 => 512 + random.random_range(0..32),
            4 => 1024 + random.random_range(0..64),
            5 => 1536 + random.random_range(0..64),
            _ => random.random_range(0..self.len),
        };
        let word = self.word(index % self.len);
        let seen = word.load(Relaxed);
        let value = match random.random_range(0..13) {
            0 => random.random(),
            1 => random.random_range(0..20),
            2 => random.random_range(0..10_000),
            3 => u64::MAX - random.random_range(0..20_u64),
            4 => 1 << random.random_range(0..64),
            5 => seen.wrapping_add(1),
            6 => seen.wrapping_sub(1),
            7 => seen ^ 1 << random.random_range(0..64),
            8 => seen.wrapping_add(random.random_range(0..64) << 23),
            9 => self.word(random.random_range(0..self.len)).load(Relaxed),
            // What looks like a header of a record, and like a control word of a slot, of the first turns or of those
            // that others have.
            10 => random.random_range(0..600_u64) << 8 | random.random_range(0..4),
            11 => random.random_range(0..4_u64) << 23 | random.random_range(0..1024),
            _ => {
                let other = self.word(random.random_range(0..self.len)).load(Relaxed);
                other >> 23 << 23 | random.random_range(0..1024)
            }
        };
        if random.random_range(0..4) == 0 {
            let mut half = value.to_ne_bytes();
            half[..4].copy_from_slice(&seen.to_ne_bytes()[..4]);
            return word.store(u64::from_ne_bytes(half), Relaxed);
        }
        word.store(value, Relaxed);
    }

    /// Scribbles for a while.
    fn spoil(&self, random: &mut StdRng) -> u64 {
        let (began, most) = (Instant::now(), Duration::from_micros(random.random_range(0..5000)));
        // At times slowly, so that the victim gets somewhere.
        let pause = [0, 0, 30, 1000][random.random_range(0..4)];
        let mut count = 0;
        while began.elapsed() < most {
            for _ in 0..16 {
                self.scribble(random);
                (0..pause).for_each(|_| std::hint::spin_loop());
            }
            count += 16;
        }
        count
    }
}

/// How often the hostile process wrote, where the victim sees it.
fn tally(name: &Name) -> Name {
    Name::new(&format!("{name}-tally")).unwrap()
}

fn add(tally: &ringlane::Mapping, more: u64) {
    let mut count = [0; 8];
    tally.read_at(0, &mut count).unwrap();
    let count = u64::from_ne_bytes(count).wrapping_add(more);
    tally.write_at(0, &count.to_ne_bytes()).unwrap();
}

/// Scribbles over all rings of a name, one after the other, until killed.
fn scribble_rings(name: &Name) {
    let tally = SharedMemory::open(&tally(name)).unwrap().map().unwrap();
    let mut random = StdRng::seed_from_u64(std::process::id().into());
    loop {
        let Ok(map) = SharedMemory::open(name).and_then(|memory| memory.map()) else {
            std::thread::yield_now();
            continue;
        };
        let words = Words { at: map.as_ptr().cast(), len: map.len() / 8 };
        add(&tally, words.spoil(&mut random));
    }
}

/// Where this process has memory of this name mapped to be written, which others have, too.
fn shared(name: &str) -> Vec<Words> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let ours = maps.lines().filter(|line| line.contains("rw-s ") && line.contains(name));
    let range = |line: &str| {
        let (from, to) = line.split_once(' ')?.0.split_once('-')?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        let (from, to) = (number(from)?, number(to)?);
        let at = std::ptr::with_exposed_provenance_mut(from);
        Some(Words { at: NonNull::new(at)?, len: (to - from) / 8 })
    };
    ours.filter_map(range).collect()
}

/// Is the other side of sessions, and scribbles over all that it can write to.
fn scribble_sessions(name: &Name, serves: bool) {
    let tally = SharedMemory::open(&tally(name)).unwrap().map().unwrap();
    let mut random = StdRng::seed_from_u64(std::process::id().into());
    let service = ServiceName::new(name.as_str()).unwrap();
    let server = serves.then(|| Server::bind(&service).unwrap());
    loop {
        let session = match &server {
            Some(server) => server.accept().unwrap(),
            None => match connect(&service) {
                Some(session) => session,
                None => continue,
            },
        };
        let halls = shared("/memfd:ringlane session");
        for _ in 0..random.random_range(1..10) {
            add(&tally, halls.iter().map(|words| words.spoil(&mut random)).sum());
            // It rings and sends at times, as its library would.
            let _ = (session.try_send(b"?"), session.arm_read(), session.try_recv());
        }
    }
}

fn connect(service: &ServiceName) -> Option<Session> {
    let mut options = ConnectOptions::new();
    options.outgoing(page()).incoming(page()).timeout(HANGS).connect(service).ok()
}

#[test]
fn second_process() {
    let Some((part, name)) = part() else { return };
    match part.as_str() {
        "scribble over rings" => scribble_rings(&name),
        "scribble at a broker" => scribble_at_a_broker(&name),
        "scribble as a broker" => scribble_as_a_broker(&name),
        "scribble as a server" => scribble_sessions(&name, true),
        "scribble as a client" => scribble_sessions(&name, false),
        other => panic!("no such part: {other}"),
    }
}

/// Calls that a victim made.
struct Calls {
    random: StdRng,
    /// How many there were, how many of them did something, and the most work of one.
    all: u64,
    good: u64,
    most: Duration,
    until: Instant,
    alive: mpsc::Sender<()>,
}

fn work() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

impl Calls {
    fn one<V, E>(&mut self, call: impl FnOnce() -> Result<V, E>) -> Option<V> {
        let before = work();
        let result = call().ok();
        self.most = self.most.max(work() - before);
        self.all += 1;
        self.good += u64::from(result.is_some());
        if self.all.is_multiple_of(16) {
            self.alive.send(()).unwrap();
        }
        result
    }

    fn sure<V>(&mut self, call: impl FnOnce() -> V) {
        self.one(|| Ok::<V, ()>(call()));
    }

    fn below(&mut self, most: usize) -> usize {
        self.random.random_range(0..most)
    }

    fn wait(&mut self) -> Wait {
        [Wait::default(), Wait::Park, Wait::Yield, Wait::Spin][self.below(4)]
    }
}

/// Plays a role against a hostile process for the time that it has.
fn play(role: &str, part: &str, mut live: impl FnMut(&Name, &mut Calls) + Send + 'static) {
    let name = scratch();
    let tally = SharedMemory::create(&tally(&name), 8).unwrap();
    let scribbles = Arc::new(tally.map().unwrap());
    let written = {
        let scribbles = Arc::clone(&scribbles);
        move || {
            let mut count = [0; 8];
            scribbles.read_at(0, &mut count).unwrap();
            u64::from_ne_bytes(count)
        }
    };
    let mut hostile = Second::start(part, &name);
    let (alive, signs) = mpsc::channel();
    let victim = std::thread::spawn({
        let written = written.clone();
        move || {
            let end = Instant::now() + Duration::from_secs(seconds());
            let random = StdRng::seed_from_u64(seconds());
            let mut calls =
                Calls { random, all: 0, good: 0, most: Duration::ZERO, until: end, alive };
            // At least until the other one has begun.
            while Instant::now() < end || written() == 0 {
                calls.until = Instant::now() + LIFE;
                live(&name, &mut calls);
                let _ = std::fs::remove_file(format!("/dev/shm/{name}"));
            }
            (calls.all, calls.good, calls.most)
        }
    });
    loop {
        match signs.recv_timeout(HANGS) {
            Ok(()) => assert!(!hostile.has_ended(), "{role}: the hostile process ended"),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => panic!("{role}: a call hangs"),
        }
    }
    let (all, good, most) = victim.join().unwrap();
    let words = written();
    hostile.kill();
    println!(
        "{role:<28} {all:>10} calls, {good:>10} did something, {words:>11} words, {most:?} of work at most"
    );
    assert!(all > 100, "{role}: {all} calls");
}

fn values(role: &str, layout: Layout, produces: bool) {
    play(role, "scribble over rings", move |name, calls| {
        let mut options = spsc::Queue::<[u64; 2]>::options();
        let queue = options.capacity(64).layout(layout).create(name).unwrap();
        while Instant::now() < calls.until {
            let wait = calls.wait();
            let count = calls.below(1000);
            if produces {
                let Some(mut end) = calls.one(|| queue.producer()) else { continue };
                end.set_wait(wait);
                for _ in 0..count {
                    let most = calls.below(70);
                    match calls.below(12) {
                        0..4 => drop(calls.one(|| end.try_push([1; 2]))),
                        4 => drop(calls.one(|| end.push_timeout([2; 2], SOON))),
                        5 => drop(calls.one(|| end.flush(Some(SOON)))),
                        6 => calls.sure(|| (end.vacant(), end.peer())),
                        7 => drop(calls.one(|| {
                            let mut room = end.reserve_timeout(most, SOON)?;
                            room.copy_from_slice(&vec![[3; 2]; most]);
                            room.commit();
                            Ok::<(), ReserveError>(())
                        })),
                        8 => calls.sure(|| end.wait_peer(Some(SOON))),
                        _ => drop(calls.one(|| {
                            let mut room = end.try_reserve(most)?;
                            let filled = room.fill((0..20).map(|n| [n; 2]));
                            room.commit_len(filled);
                            Ok::<(), ReserveError>(())
                        })),
                    }
                }
            } else {
                let Some(mut end) = calls.one(|| queue.consumer()) else { continue };
                end.set_wait(wait);
                for _ in 0..count {
                    let most = calls.below(70);
                    match calls.below(12) {
                        0..4 => drop(calls.one(|| end.try_pop())),
                        4 => drop(calls.one(|| end.pop_timeout(SOON))),
                        5 => calls.sure(|| end.try_iter().take(100).count()),
                        6 => calls.sure(|| (end.depth(), end.peer())),
                        7 => calls.sure(|| end.wait_peer(Some(SOON))),
                        8 => drop(
                            calls.one(|| end.read_timeout(most, SOON).map(|span| span.release())),
                        ),
                        _ => drop(calls.one(|| {
                            let span = end.try_read(most)?;
                            assert!(span.len() <= most.min(64));
                            span.copy_to_slice(&mut vec![[0; 2]; span.len()]);
                            let some = span.len() / 2;
                            span.release_len(some);
                            Ok::<(), PopError>(())
                        })),
                    }
                }
            }
        }
    });
}

fn records(role: &str, mirrored: bool, produces: bool) {
    play(role, "scribble over rings", move |name, calls| {
        let mut options = record::Queue::options();
        let queue = options.capacity(4096).mirrored(mirrored).create(name).unwrap();
        while Instant::now() < calls.until {
            let wait = calls.wait();
            let count = calls.below(1000);
            if produces {
                let Some(mut end) = calls.one(|| queue.producer()) else { continue };
                end.set_wait(wait);
                for _ in 0..count {
                    let bytes = vec![7; calls.below(2100)];
                    match calls.below(12) {
                        0..4 => drop(calls.one(|| end.try_push(&bytes))),
                        4 => drop(calls.one(|| end.push_timeout(&bytes, SOON))),
                        5 => drop(calls.one(|| end.flush(Some(SOON)))),
                        6 => calls.sure(|| (end.peer(), end.wait_peer(Some(SOON)))),
                        7 => drop(calls.one(|| {
                            let mut batch = end.batch();
                            for _ in 0..5 {
                                batch.try_push(&bytes[..bytes.len() / 8])?;
                            }
                            batch.commit();
                            Ok::<(), ReserveError>(())
                        })),
                        8 => drop(calls.one(|| {
                            let mut batch = end.batch();
                            batch.push_timeout(&bytes, SOON).map(|()| batch.commit())
                        })),
                        _ => drop(calls.one(|| {
                            let mut room = end.try_reserve(bytes.len())?;
                            let len = room.len() / 2;
                            room.write_at(0, &bytes[..len]);
                            room.commit_len(len);
                            Ok::<(), ReserveError>(())
                        })),
                    }
                }
                let mut stream = end.into_stream();
                stream.set_timeout(Some(SOON));
                calls.one(|| stream.write_all(&[5; 500]));
            } else {
                let Some(mut end) = calls.one(|| queue.consumer()) else { continue };
                end.set_wait(wait);
                for _ in 0..count {
                    let most = calls.below(20);
                    match calls.below(12) {
                        0..4 => drop(calls.one(|| end.try_pop())),
                        4 => drop(calls.one(|| end.pop_timeout(SOON))),
                        5 => calls.sure(|| (end.peer(), end.wait_peer(Some(SOON)))),
                        6 => calls.sure(|| end.available()),
                        7 => drop(calls.one(|| end.try_peek(most).map(|view| view.to_vec()))),
                        8 => drop(
                            calls
                                .one(|| end.read_many_timeout(most, SOON).map(|all| all.release())),
                        ),
                        9 => drop(calls.one(|| {
                            let record = end.read_timeout(SOON)?;
                            let some = record.len() / 3;
                            record.release_bytes(some);
                            Ok::<(), PopError>(())
                        })),
                        _ => drop(calls.one(|| {
                            let records = end.try_read_many(most)?;
                            let all: usize = records.iter().map(|one| one.to_vec().len()).sum();
                            assert!(all <= 4096);
                            let some = records.len() / 2;
                            records.release_first(some);
                            Ok::<(), PopError>(())
                        })),
                    }
                }
                let mut stream = end.into_stream();
                stream.set_timeout(Some(SOON));
                calls.one(|| stream.read(&mut [0; 500]));
                let there = calls.one(|| stream.fill_buf().map(<[u8]>::len)).unwrap_or(0);
                calls.sure(|| stream.consume(there));
            }
        }
    });
}

fn calls(role: &str, asks: bool) {
    play(role, "scribble over rings", move |name, calls| {
        let cell = call::Cell::<[u64; 9], [u64; 20]>::create(name).unwrap();
        while Instant::now() < calls.until {
            let wait = calls.wait();
            let count = calls.below(1000);
            if asks {
                let Some(mut end) = calls.one(|| cell.caller()) else { continue };
                end.set_wait(wait);
                for _ in 0..count {
                    match calls.below(7) {
                        0 => drop(calls.one(|| end.try_start([1; 9]))),
                        1 => drop(calls.one(|| end.start_timeout([2; 9], SOON))),
                        2 => drop(calls.one(|| end.try_finish())),
                        3 => drop(calls.one(|| end.finish_timeout(SOON))),
                        4 => drop(calls.one(|| end.call_timeout([3; 9], SOON))),
                        5 => calls.sure(|| end.abandon()),
                        _ => calls
                            .sure(|| (end.outstanding(), end.peer(), end.wait_peer(Some(SOON)))),
                    }
                }
            } else {
                let Some(mut end) = calls.one(|| cell.server()) else { continue };
                end.set_wait(wait);
                for _ in 0..count {
                    match calls.below(5) {
                        0 => drop(calls.one(|| end.try_serve(|_| [1; 20]))),
                        1 => drop(calls.one(|| end.serve_timeout(|_| [2; 20], SOON))),
                        2 => calls
                            .sure(|| end.try_recv().map(|request| request.reply([3; 20])).is_ok()),
                        3 => drop(
                            calls.one(|| end.recv_timeout(SOON).map(|request| *request.value())),
                        ),
                        _ => calls.sure(|| (end.peer(), end.wait_peer(Some(SOON)))),
                    }
                }
            }
        }
    });
}

fn many(role: &str, delivery: Delivery, produces: bool) {
    play(role, "scribble over rings", move |name, calls| {
        let mut options = mpmc::Queue::<u64>::options();
        let queue = options.capacity(64).delivery(delivery).create(name).unwrap();
        while Instant::now() < calls.until {
            let wait = calls.wait();
            let count = calls.below(1000);
            if produces {
                let Some(mut end) = calls.one(|| queue.producer()) else { continue };
                end.set_wait(wait);
                for _ in 0..count {
                    let values = vec![3; calls.below(80)];
                    match calls.below(9) {
                        0..3 => drop(calls.one(|| end.try_push(1))),
                        3 => drop(calls.one(|| end.push_timeout(2, SOON))),
                        4 => drop(calls.one(|| end.flush(Some(SOON)))),
                        5 => calls.sure(|| (end.peer(), end.wait_peer(Some(SOON)))),
                        6 => drop(calls.one(|| end.try_reserve().map(|room| room.commit(4)))),
                        7 => drop(calls.one(|| end.try_reserve().map(drop))),
                        _ => drop(calls.one(|| end.try_push_slice(&values))),
                    }
                }
            } else {
                let Some(mut end) = calls.one(|| queue.consumer()) else { continue };
                end.set_wait(wait);
                for _ in 0..count {
                    let mut out = vec![0; calls.below(80)];
                    match calls.below(9) {
                        0..3 => drop(calls.one(|| end.try_pop())),
                        3 => drop(calls.one(|| end.pop_timeout(SOON))),
                        4 => calls.sure(|| assert!(end.available() <= 64)),
                        5 => calls.sure(|| (end.peer(), end.wait_peer(Some(SOON)))),
                        6 => drop(calls.one(|| end.try_take().map(|taken| taken.acknowledge()))),
                        7 => drop(calls.one(|| end.take_timeout(SOON).map(drop))),
                        _ => drop(calls.one(|| {
                            let count = end.try_pop_slice(&mut out)?;
                            assert!(count <= out.len().min(64));
                            Ok::<(), PopError>(())
                        })),
                    }
                }
            }
        }
    });
}

fn many_records(role: &str, delivery: Delivery, produces: bool) {
    play(role, "scribble over rings", move |name, calls| {
        let mut options = mpmc_record::Queue::options();
        let queue = options.capacity(4096).delivery(delivery).create(name).unwrap();
        while Instant::now() < calls.until {
            let wait = calls.wait();
            let count = calls.below(1000);
            if produces {
                let Some(mut end) = calls.one(|| queue.producer()) else { continue };
                end.set_wait(wait);
                for _ in 0..count {
                    let bytes = vec![7; calls.below(4200)];
                    match calls.below(8) {
                        0..3 => drop(calls.one(|| end.try_push(&bytes))),
                        3 => drop(calls.one(|| end.push_timeout(&bytes, SOON))),
                        4 => drop(calls.one(|| end.flush(Some(SOON)))),
                        5 => calls.sure(|| (end.peer(), end.held_by(), end.wait_peer(Some(SOON)))),
                        6 => drop(calls.one(|| end.try_reserve(bytes.len()).map(drop))),
                        _ => drop(calls.one(|| {
                            let mut room = end.try_reserve(bytes.len())?;
                            room.write_at(0, &bytes);
                            let len = room.len() / 2;
                            room.commit_len(len);
                            Ok::<(), ReserveError>(())
                        })),
                    }
                }
            } else {
                let Some(mut end) = calls.one(|| queue.consumer()) else { continue };
                end.set_wait(wait);
                let mut out = Vec::new();
                for _ in 0..count {
                    match calls.below(8) {
                        0..2 => drop(calls.one(|| end.try_pop())),
                        2 => drop(calls.one(|| end.pop_timeout(SOON))),
                        3 => calls.sure(|| assert!(end.available() <= 64)),
                        4 => calls.sure(|| (end.peer(), end.wait_peer(Some(SOON)))),
                        5 => drop(calls.one(|| end.try_pop_into(&mut out))),
                        6 => drop(calls.one(|| end.take_timeout(SOON).map(drop))),
                        _ => drop(calls.one(|| {
                            let taken = end.try_take()?;
                            assert!(taken.len() <= queue.max_len());
                            assert_eq!(taken.to_vec().len(), taken.len());
                            taken.acknowledge();
                            Ok::<(), PopError>(())
                        })),
                    }
                }
            }
        }
    });
}

/// Where this process has memory of handles mapped to be written, with leashes of its own; not the session by which it
/// hears of them.
fn given() -> Vec<Words> {
    [shared("/memfd:ringlane ("), shared("/memfd:ringlane leash")].into_iter().flatten().collect()
}

/// Asks a broker all the time, for what it may have and for what not, and scribbles over what it has.
fn scribble_at_a_broker(name: &Name) {
    let tally = SharedMemory::open(&tally(name)).unwrap().map().unwrap();
    let mut random = StdRng::seed_from_u64(std::process::id().into());
    let service = ServiceName::new(name.as_str()).unwrap();
    loop {
        let Some(session) = connect(&service) else { continue };
        let mut maps = Vec::new();
        while let Ok(bytes) = session.recv_timeout(HANGS) {
            let Ok(handle) = Handle::from_bytes(&bytes) else { continue };
            let access = [Access::ReadOnly, Access::ReadWrite, Access::WriteOnly];
            let access = access[random.random_range(0..3)];
            // It has a twin, and both are asked for at a time: one gets it.
            let twin = Handle::from_bytes(&bytes).unwrap();
            let asking = std::thread::spawn(move || twin.open_timeout(access, HANGS));
            maps.extend(handle.open_timeout(access, HANGS).and_then(|memory| memory.map()));
            maps.extend(asking.join().unwrap().and_then(|memory| memory.map()));
            add(&tally, 1 + given().iter().map(|words| words.spoil(&mut random)).sum::<u64>());
            maps.truncate(random.random_range(0..4));
            let _ = session.try_send(b"next");
        }
    }
}

/// A broker, and its creator, whose memory is rewritten while it is lent and taken back.
fn lends(role: &str) {
    let mut server = None;
    play(role, "scribble at a broker", move |name, calls| {
        let service = ServiceName::new(name.as_str()).unwrap();
        let server = server.get_or_insert_with(|| Server::bind(&service).unwrap());
        let Some(session) = server.accept_timeout(LIFE).unwrap() else { return };
        let Some(broker) = calls.one(Broker::start) else { return };
        let Some(other) = calls.one(|| Recipient::peer(&session)) else { return };
        for _ in 0..HANDLES {
            let mut options = HandleOptions::new();
            options.revocable(calls.below(2) == 0).no_descriptor(calls.below(8) == 0);
            if calls.below(4) == 0 {
                options.range(4096..8192);
            }
            if calls.below(8) == 0 {
                options.expires_in(SOON);
            }
            let memory = OpenOptions::new().read(true).write(true).size(8192).anonymous().unwrap();
            let map = memory.map().unwrap();
            let access = [Access::ReadOnly, Access::ReadWrite, Access::WriteOnly][calls.below(3)];
            let made = calls.one(|| broker.create(&memory, &other, access, &options));
            let Some(handle) = made else { return };
            calls.one(|| session.send_timeout(&handle.to_bytes(), HANGS));
            if calls.one(|| session.recv_timeout(HANGS)).is_none() {
                return;
            }
            calls.one(|| map.read_at(0, &mut [0; 8192]));
            let how = [Revoke::Cooperative, Revoke::Wipe, Revoke::Fault][calls.below(3)];
            match calls.below(4) {
                0 => drop(calls.one(|| broker.revoke_handle(handle.id(), how))),
                1 => drop(calls.one(|| broker.revoke(&other, how))),
                2 => drop(calls.one(|| broker.delete(handle.id()))),
                _ => drop(calls.one(|| broker.guarantees(handle.id()))),
            }
            calls.sure(|| broker.counts());
        }
        calls.sure(|| drop(broker));
    });
}

/// Has what a hostile process lends, rewrites, and takes back.
fn borrows(role: &str) {
    play(role, "scribble as a broker", move |name, calls| {
        let service = ServiceName::new(name.as_str()).unwrap();
        let Some(session) = connect(&service) else { return };
        for _ in 0..HANDLES {
            let Some(bytes) = calls.one(|| session.recv_timeout(HANGS)) else { return };
            let Some(handle) = calls.one(|| Handle::from_bytes(&bytes)) else { return };
            let memory = calls.one(|| handle.open_timeout(Access::ReadWrite, HANGS));
            let map = memory.as_ref().and_then(|memory| calls.one(|| memory.map()));
            let (Some(memory), Some(map)) = (memory, map) else {
                // Taken back before it was had.
                calls.one(|| session.try_send(b"next"));
                continue;
            };
            for _ in 0..50 {
                let (at, len) = (calls.below(9000), calls.below(9000));
                let mut bytes = vec![0; len];
                match calls.below(4) {
                    0 => drop(calls.one(|| map.write_at(at, &bytes))),
                    1 => calls
                        .sure(|| (map.is_revoked(), memory.is_revoked(), memory.size().is_ok())),
                    2 => drop(calls.one(|| memory.map())),
                    _ => drop(calls.one(|| map.read_at(at, &mut bytes))),
                }
            }
            calls.one(|| session.try_send(b"next"));
        }
    });
}

/// Lends memory with a leash, rewrites all of it, and takes it back in any way while it is used.
fn scribble_as_a_broker(name: &Name) {
    let tally = SharedMemory::open(&tally(name)).unwrap().map().unwrap();
    let mut random = StdRng::seed_from_u64(std::process::id().into());
    let service = ServiceName::new(name.as_str()).unwrap();
    let (server, broker) = (Server::bind(&service).unwrap(), Broker::start().unwrap());
    loop {
        let session = server.accept().unwrap();
        let Ok(other) = Recipient::peer(&session) else { continue };
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).size(8192).allow_shrink(random.random());
            let memory = options.anonymous().unwrap();
            let mut options = HandleOptions::new();
            let made = broker.create(&memory, &other, Access::ReadWrite, options.revocable(true));
            let Ok(handle) = made else { break };
            if session.send_timeout(&handle.to_bytes(), HANGS).is_err() {
                break;
            }
            // Its leash among them.
            let map = memory.map().unwrap();
            let words = given();
            add(&tally, 1 + words.iter().map(|words| words.spoil(&mut random)).sum::<u64>());
            // Before its pages may go.
            drop((words, map));
            let how = [Revoke::Cooperative, Revoke::Wipe, Revoke::Fault][random.random_range(0..3)];
            let _ = broker.revoke_handle(handle.id(), how);
            let _ = broker.revoke_handle(handle.id(), Revoke::Cooperative);
            let _ = session.recv_timeout(HANGS);
        }
    }
}

fn look(role: &str) {
    play(role, "scribble over rings", move |name, calls| {
        let _one: Box<dyn Send> = match calls.below(6) {
            0 => Box::new(spsc::Queue::<u64>::create(name, 64).unwrap()),
            1 => Box::new(record::Queue::create(name, 4096).unwrap()),
            2 => Box::new(call::Cell::<u64, u64>::create(name).unwrap()),
            3 => Box::new(mpmc::Queue::<u64>::create(name, 64).unwrap()),
            4 => {
                let mut options = mpmc::Queue::<u64>::options();
                options.delivery(Delivery::AtLeastOnce).capacity(64);
                Box::new(options.create(name).unwrap())
            }
            _ => Box::new(mpmc_record::Queue::create(name, 4096).unwrap()),
        };
        while Instant::now() < calls.until {
            for _ in 0..100 {
                calls.one(|| inspect::report(name));
                calls.one(|| spsc::Queue::<u64>::open(name));
                calls.one(|| record::Queue::open(name)?.consumer().map(|mut end| end.try_pop()));
                calls.one(|| {
                    call::Cell::<u64, u64>::open(name)?.server().map(|mut end| end.try_serve(|n| n))
                });
                calls.one(|| {
                    mpmc::Queue::<u64>::open(name)?.consumer().map(|mut end| end.try_pop())
                });
                calls.one(|| {
                    mpmc_record::Queue::open(name)?.consumer().map(|mut end| end.try_pop())
                });
            }
            calls.one(inspect::list);
        }
    });
}

fn sessions(role: &str, serves: bool) {
    let part = if serves { "scribble as a client" } else { "scribble as a server" };
    let mut server = None;
    play(role, part, move |name, calls| {
        let service = ServiceName::new(name.as_str()).unwrap();
        let session = if serves {
            let server = server.get_or_insert_with(|| Server::bind(&service).unwrap());
            server.accept_timeout(LIFE).unwrap()
        } else {
            connect(&service)
        };
        let Some(session) = session else { return };
        while Instant::now() < calls.until {
            use_session(&session, calls);
        }
        calls.sure(|| session.close());
    });
}

fn use_session(session: &Session, calls: &mut Calls) {
    let wait = calls.wait();
    calls.one(|| session.set_wait(wait));
    let mut buffer = vec![0; calls.below(3000)];
    for _ in 0..100 {
        match calls.below(14) {
            0 => drop(calls.one(|| session.try_read(&mut buffer))),
            1 => drop(calls.one(|| session.read_timeout(&mut buffer, SOON))),
            2 => drop(calls.one(|| session.read_exact_timeout(&mut buffer, SOON))),
            3 => drop(calls.one(|| session.try_write(&buffer))),
            4 => drop(calls.one(|| session.write_all_timeout(&buffer, SOON))),
            5 => drop(calls.one(|| session.flush_timeout(SOON))),
            6 => drop(calls.one(|| session.wait_readable(Some(SOON)))),
            7 => drop(calls.one(|| session.try_send(&buffer))),
            8 => drop(calls.one(|| session.try_recv())),
            9 => drop(calls.one(|| session.recv_timeout(SOON))),
            10 => drop(calls.one(|| session.arm_read())),
            11 => drop(calls.one(|| session.arm_write())),
            12 => drop(calls.one(|| session.peer_pid())),
            _ => calls.sure(|| session.peer()),
        }
    }
}

#[test]
fn values_are_pushed_into_scribbles() {
    values("spsc producer, slots", Layout::Slots, true);
    values("spsc producer, dense", Layout::Dense, true);
}

#[test]
fn values_are_popped_from_scribbles() {
    values("spsc consumer, slots", Layout::Slots, false);
    values("spsc consumer, dense", Layout::Dense, false);
}

#[test]
fn records_are_pushed_into_scribbles() {
    records("record producer, mirrored", true, true);
    records("record producer, padded", false, true);
}

#[test]
fn records_are_popped_from_scribbles() {
    records("record consumer, mirrored", true, false);
    records("record consumer, padded", false, false);
}

#[test]
fn calls_are_made_over_scribbles() {
    calls("caller", true);
    calls("server of calls", false);
}

#[test]
fn many_push_into_scribbles() {
    many("mpmc producer", Delivery::AtMostOnce, true);
    many("mpmc producer, acknowledged", Delivery::AtLeastOnce, true);
}

#[test]
fn many_pop_from_scribbles() {
    many("mpmc consumer", Delivery::AtMostOnce, false);
    many("mpmc consumer, acknowledged", Delivery::AtLeastOnce, false);
}

#[test]
fn records_of_many_stand_scribbles() {
    many_records("mpmc record producer", Delivery::AtMostOnce, true);
    many_records("mpmc record producer, ack.", Delivery::AtLeastOnce, true);
    many_records("mpmc record consumer", Delivery::AtMostOnce, false);
    many_records("mpmc record consumer, ack.", Delivery::AtLeastOnce, false);
}

#[test]
fn brokers_and_recipients_stand_scribbles() {
    lends("broker");
    borrows("recipient");
}

#[test]
fn scribbles_are_looked_at_and_opened() {
    look("inspect and open");
}

#[test]
fn sessions_stand_scribbles() {
    sessions("session, client", false);
    sessions("session, server", true);
}
