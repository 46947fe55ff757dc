//! One of the two sides of a run, and what both do in the same order.
#![allow(unsafe_code, reason = "bare atomics in shared memory")]

use hdrhistogram::Histogram;
use nix::sys::resource::{UsageWho, getrusage};
use ringlane::{Mapping, Name, SharedMemory};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long one side waits for the other to come to the same place.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a side thinks while the other falls asleep.
const THINK: Duration = Duration::from_micros(50);

/// What a side's memory has at which offset: two lines for the floor, two for meetings.
const PING: usize = 0;
const PONG: usize = 256;
const MET: [usize; 2] = [512, 768];
/// And one for a number that the second side tells the first.
const SAID: usize = 1024;
pub(crate) const SIZE: usize = 4096;

/// One of two processes, or threads, that do a row together.
#[derive(Debug)]
pub struct Side {
    first: bool,
    name: String,
    messages: u64,
    words: Mapping,
    met: Cell<u64>,
}

/// What the first side has measured. The second's is not looked at.
#[derive(Clone, Debug)]
pub struct Sample {
    /// How long all messages took.
    pub took: Duration,
    /// How many there were.
    pub messages: u64,
    /// Of a row of round trips: nanoseconds of each of some more, each with one reading of the clock.
    pub trips: Option<Histogram<u64>>,
    /// Of a row that is to sleep: how often the side slept that did so less often, for each message.
    pub slept: Option<f64>,
}

impl Sample {
    /// One message, and nothing known but how long it took.
    pub(crate) fn new(took: Duration) -> Sample {
        Sample { took, messages: 1, trips: None, slept: None }
    }
}

/// A histogram of nanoseconds, to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits can be had")
}

impl Side {
    pub(crate) fn new(first: bool, name: &str, messages: u64, words: Mapping) -> Side {
        Side { first, name: name.to_owned(), messages, words, met: Cell::new(0) }
    }

    /// Whether this is the side that begins, produces, and measures.
    pub fn is_first(&self) -> bool {
        self.first
    }

    /// How many messages, or round trips, are to be timed.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Waits for the other side to come here, too.
    ///
    /// # Panics
    /// If it does not within a minute.
    pub fn meet(&self) {
        let count = self.met.get() + 1;
        self.met.set(count);
        let [first, second] = MET.map(|offset| word(&self.words, offset));
        let (own, other) = if self.first { (first, second) } else { (second, first) };
        own.store(count, Ordering::Release);
        let mut polls = 0_u32;
        let mut since = None;
        while other.load(Ordering::Acquire) < count {
            polls = polls.wrapping_add(1);
            if polls.is_multiple_of(1 << 16) {
                let since = since.get_or_insert_with(Instant::now);
                assert!(since.elapsed() < PATIENCE, "the other side does not come");
            }
        }
    }

    /// Tells the other side a number, which it may read once both have met.
    pub(crate) fn say(&self, number: u64) {
        word(&self.words, SAID).store(number, Ordering::Release);
    }

    /// What was told last.
    pub(crate) fn said(&self) -> u64 {
        word(&self.words, SAID).load(Ordering::Acquire)
    }

    /// A name of this run, for what only the first side makes.
    pub fn name(&self, label: &str) -> Name {
        Name::new(&format!("{}-{label}", self.name)).expect("a plain name")
    }

    /// What both sides use under a name of its own: the first creates it, then the second opens it.
    ///
    /// # Panics
    /// If that fails.
    pub fn shared<T>(
        &self,
        label: &str,
        create: impl FnOnce(&Name) -> ringlane::Result<T>,
        open: impl FnOnce(&Name) -> ringlane::Result<T>,
    ) -> T {
        let name = self.name(label);
        if self.first {
            let made = create(&name).unwrap_or_else(|e| panic!("{e}"));
            self.meet();
            made
        } else {
            self.meet();
            open(&name).unwrap_or_else(|e| panic!("{e}"))
        }
    }

    /// Bare memory of both sides, zeroed.
    pub fn memory(&self, label: &str, size: usize) -> Mapping {
        let create = |name: &Name| {
            let memory = SharedMemory::create(name, size as u64)?;
            Ok((memory.map()?, Some(memory)))
        };
        let open = |name: &Name| Ok((SharedMemory::open(name)?.map()?, None));
        let (mapping, memory) = self.shared(label, create, open);
        // Nobody else has to find it, so its name can go.
        self.meet();
        drop(memory);
        mapping
    }

    /// Times what both sides do, from when both are ready until both are done.
    pub fn time(&self, work: impl FnOnce()) -> Duration {
        self.meet();
        let start = Instant::now();
        work();
        self.meet();
        start.elapsed()
    }

    /// Times messages that go one way. `step(n)` sends or receives messages `n` to `n + batch`, and a tenth
    /// more of them than are timed go ahead.
    #[inline(always)]
    pub fn stream(&self, batch: u64, mut step: impl FnMut(u64)) -> Sample {
        let count = self.messages.div_ceil(batch) * batch;
        let warm = (count / 10).div_ceil(batch) * batch;
        let mut from = 0;
        // One loop for both, so that there is one copy of `step`, and no call of it. What it counts with is its own:
        // a captured counter would be stored at each message, which costs as much as half of the rate.
        let [_, took] = [warm, warm + count].map(|to| {
            let begin = std::mem::replace(&mut from, to);
            self.time(|| {
                let mut n = begin;
                while n < to {
                    step(n);
                    n += batch;
                }
            })
        });
        Sample { took, messages: count, trips: None, slept: None }
    }

    /// Times round trips. `trip(n)` sends message `n` and receives its answer, or receives and answers it. A
    /// tenth more than are timed go ahead; a quarter as many, or a thousand if there are so many, come after, each
    /// timed.
    #[inline(always)]
    pub fn trips(&self, mut trip: impl FnMut(u64)) -> Sample {
        let count = self.messages;
        let warm = count / 10;
        let single = (count / 4).max(count.min(1000));
        let mut trips = histogram();
        let mut n = 0;
        // One loop for all three, so that there is one copy of `trip`, and no call of it.
        let laps = [(warm, false), (count, false), (single, self.first)];
        let [_, took, _] = laps.map(|(more, each)| {
            let begin = n;
            n += more;
            self.time(|| {
                for n in begin..begin + more {
                    let start = each.then(Instant::now);
                    trip(n);
                    if let Some(start) = start {
                        trips += start.elapsed().as_nanos() as u64;
                    }
                }
            })
        });
        Sample { took, messages: count, trips: Some(trips), slept: None }
    }

    /// Waits so long that the other side sleeps by then.
    pub fn think(&self) {
        let start = Instant::now();
        while start.elapsed() < THINK {}
    }

    /// Times round trips in which each side finds the other asleep: as [`trips`](Self::trips), but the second
    /// side has to [`think`](Self::think) between receiving and answering. That is not counted.
    pub fn sleeping_trips(&self, mut trip: impl FnMut(u64)) -> Sample {
        let count = self.messages;
        let mut trips = histogram();
        let mut took = Duration::ZERO;
        self.meet();
        let before = sleeps();
        for n in 0..count {
            if self.first {
                self.think();
            }
            let start = Instant::now();
            trip(n);
            if self.first {
                let time = start.elapsed().saturating_sub(THINK);
                took += time;
                trips += time.as_nanos() as u64;
            }
        }
        let own = sleeps() - before;
        if !self.first {
            self.say(own);
        }
        self.meet();
        let slept = own.min(self.said()) as f64 / count as f64;
        Sample { took, messages: count, trips: Some(trips), slept: Some(slept) }
    }

    /// Nanoseconds a round trip of two bare lines: the floor.
    pub(crate) fn probe(&self, trips: u64) -> f64 {
        let (ping, pong) = (word(&self.words, PING), word(&self.words, PONG));
        self.meet();
        // Both begin with the same value: the one that is there.
        let from = pong.load(Ordering::Acquire) + 1;
        let lap =
            |from: u64, to: u64| (from..to).for_each(|n| two_lines(self.first, ping, pong, n));
        self.meet();
        lap(from, from + trips / 10);
        let start = Instant::now();
        lap(from + trips / 10, from + trips / 10 + trips);
        start.elapsed().as_secs_f64() * 1e9 / trips as f64
    }
}

/// How often this thread has gone to sleep.
fn sleeps() -> u64 {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("a thread may ask");
    usage.voluntary_context_switches() as u64
}

/// A round trip over two lines, each written by one side.
#[inline(always)]
pub(crate) fn two_lines(first: bool, ping: &AtomicU64, pong: &AtomicU64, n: u64) {
    if first {
        ping.store(n, Ordering::Release);
        while pong.load(Ordering::Acquire) != n {}
    } else {
        while ping.load(Ordering::Acquire) != n {}
        pong.store(n, Ordering::Release);
    }
}

/// A word of bare memory.
///
/// # Panics
/// If there is none at that offset.
pub(crate) fn word(mapping: &Mapping, offset: usize) -> &AtomicU64 {
    assert!(offset.is_multiple_of(8) && offset + 8 <= mapping.len(), "no word at {offset}");
    // SAFETY: in bounds, just checked.
    let word = unsafe { mapping.as_ptr().add(offset) };
    // SAFETY: mapped while `mapping` is borrowed; aligned, for a mapping begins at a page; every bit pattern
    // is a number, and all sides use atomics.
    unsafe { word.cast::<AtomicU64>().as_ref() }
}
