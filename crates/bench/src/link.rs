//! Whatever carries messages both ways between two sides, and what is measured of all such alike.

use crate::row::Half;
use crate::side::{Sample, Side, histogram};
use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};
use std::fs;
use std::time::{Duration, Instant};

/// One side's end of a way there and a way back, for messages of one size.
pub trait Link: Sized + 'static {
    /// Words of a message.
    const WORDS: usize;

    /// Makes it, or opens what the first side makes. Both sides call this with the same label.
    fn open(side: &Side, label: &str) -> Self;

    /// From now on a side that finds nothing sleeps at once. What cannot sleep leaves it as it is.
    fn park(&mut self) {}

    /// From now on a side never sleeps.
    fn spin(&mut self) {}

    /// Sends message `n`, every word of it written.
    fn send(&mut self, n: u64);

    /// Receives message `n`, every word of it checked.
    fn recv(&mut self, n: u64);

    /// Sends and receives the answer, or the other way round.
    #[inline(always)]
    fn trip(&mut self, side: &Side, n: u64) {
        if side.is_first() {
            self.send(n);
            self.recv(n);
        } else {
            self.recv(n);
            self.send(n);
        }
    }
}

/// The same one, never asleep: what those do who cannot sleep.
#[derive(Debug)]
pub struct Awake<L>(L);

impl<L: Link> Link for Awake<L> {
    const WORDS: usize = L::WORDS;

    fn open(side: &Side, label: &str) -> Self {
        let mut link = L::open(side, label);
        link.spin();
        Awake(link)
    }

    #[inline(always)]
    fn send(&mut self, n: u64) {
        self.0.send(n);
    }

    #[inline(always)]
    fn recv(&mut self, n: u64) {
        self.0.recv(n);
    }
}

/// Round trips.
pub fn trip<L: Link>(side: &Side) -> Sample {
    let mut link = L::open(side, "link");
    side.trips(|n| link.trip(side, n))
}

/// Messages from the first side to the second.
pub fn one_way<L: Link>(side: &Side) -> Sample {
    let mut link = L::open(side, "link");
    if side.is_first() {
        side.stream(1, |n| link.send(n))
    } else {
        side.stream(1, |n| link.recv(n))
    }
}

/// Round trips in which each side finds the other asleep.
pub fn asleep<L: Link>(side: &Side) -> Sample {
    let mut link = L::open(side, "link");
    link.park();
    side.sleeping_trips(|n| {
        if side.is_first() {
            link.send(n);
            link.recv(n);
        } else {
            link.recv(n);
            side.think();
            link.send(n);
        }
    })
}

/// Nanoseconds on a clock that is the same in all processes.
fn clock() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a clock");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

/// How late messages are that were due at a fixed rate, so many a second: from when each should have been
/// sent, whether or not it could be, until the other side has checked it. A stall so counts for every message
/// that it held up. The second side sends, so that the first, whose figures count, receives.
pub fn paced<L: Link, const RATE: u64>(side: &Side) -> Sample {
    let mut link = L::open(side, "link");
    let count = side.messages();
    let warm = count / 10;
    let period = 1_000_000_000 / RATE;
    let mut late = histogram();
    side.meet();
    // The sender says when it begins, a little ahead.
    if !side.is_first() {
        side.say(clock() + 100_000);
    }
    side.meet();
    let start = side.said();
    side.time(|| {
        for n in 0..warm + count {
            let due = start + n * period;
            if side.is_first() {
                link.recv(n);
                if n >= warm {
                    late += clock().saturating_sub(due);
                }
            } else {
                while clock() < due {}
                link.send(n);
            }
        }
    });
    // The one in the middle: a mean would be that of the longest stall.
    Sample {
        trips: Some(late.clone()),
        ..Sample::new(Duration::from_nanos(late.value_at_quantile(0.5)))
    }
}

/// Processor time of a side that waits and gets nothing, for so many milliseconds.
pub fn idle<L: Link>(side: &Side) -> Sample {
    let mut link = L::open(side, "link");
    link.park();
    link.trip(side, 0);
    side.meet();
    if side.is_first() {
        std::thread::sleep(Duration::from_millis(side.messages()));
        link.send(1);
    } else {
        let before = used();
        link.recv(1);
        side.say((used() - before).as_nanos() as u64);
    }
    side.meet();
    Sample { messages: side.messages(), ..Sample::new(Duration::from_nanos(side.said())) }
}

/// What this process has used of the processors, all threads together.
fn used() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask");
    [usage.user_time(), usage.system_time()]
        .map(|time| Duration::from_micros((time.tv_sec() * 1_000_000 + time.tv_usec()) as u64))
        .iter()
        .sum()
}

/// From nothing to the first answer, between two processes that are running.
pub fn start<L: Link>(side: &Side) -> Sample {
    let mut took = histogram();
    for n in 0..side.messages() {
        side.meet();
        let start = Instant::now();
        let mut link = L::open(side, &format!("link{n}"));
        link.trip(side, n);
        took += start.elapsed().as_nanos() as u64;
        side.meet();
        drop(link);
    }
    let middle = Duration::from_nanos(took.value_at_quantile(0.5));
    Sample { trips: Some(took), ..Sample::new(middle) }
}

/// Bytes of memory that a way there and a way back take up once a message has gone each way, shared and private,
/// both processes together. The kernel's own (queues of sockets, page tables) does not show.
pub fn memory<L: Link>(side: &Side) -> Sample {
    const LINKS: u64 = 8;
    // What comes with the first one, such as a thread or an arena, is not counted.
    let mut first = L::open(side, "first");
    first.trip(side, 0);
    side.meet();
    let before = (shared(), private());
    side.meet();
    let mut links: Vec<L> = (0..LINKS).map(|n| L::open(side, &format!("link{n}"))).collect();
    links.iter_mut().for_each(|link| link.trip(side, 0));
    side.meet();
    let own = private().saturating_sub(before.1);
    if !side.is_first() {
        side.say(own);
    }
    side.meet();
    let all = shared().saturating_sub(before.0) + own + side.said();
    side.meet();
    Sample { messages: LINKS, ..Sample::new(Duration::from_nanos(all)) }
}

/// Bytes of a line such as `Shmem:   1234 kB`.
fn line(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let number = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

/// Shared memory of the whole machine: whoever measures is alone.
fn shared() -> u64 {
    line("/proc/meminfo", "Shmem:")
}

fn private() -> u64 {
    line("/proc/self/smaps_rollup", "Anonymous:")
}

/// The same by both of two threads.
pub(crate) fn halves(run: fn(&Side) -> Sample) -> (Half, Half) {
    (Box::new(run), Box::new(run))
}
