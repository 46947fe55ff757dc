//! Rings for many under random kills: producers and consumers, each a process, of which one is killed and
//! replaced 20 times a second, or stopped for a moment. A journal outside the ring is the oracle.
//!
//! `RINGLANE_STORM_SECONDS` says for how long (5); `ci/storm.sh` runs it for ten minutes.
//!
//! Every value says whose it is, of which life of its producer, and the how manieth. A producer notes in the
//! journal what it is about to push and what it has pushed; a consumer notes each value that it got. Every few
//! seconds the producers are ended, the ring is emptied, and the journal is checked: what was pushed came, and
//! once; what was being pushed at a death came whole or not at all; nothing else came. At most once, each death of
//! a consumer may have taken one value with it; at least once, none, and what comes twice is marked.
#![allow(unsafe_code, reason = "forks, kills and shares memory")]
#![allow(clippy::disallowed_types, reason = "the journal is shared memory of the test's own")]

#[cfg(not(all(target_os = "linux", not(loom))))]
fn main() {}

#[cfg(all(target_os = "linux", not(loom)))]
mod common;
#[cfg(all(target_os = "linux", not(loom)))]
mod crew;

#[cfg(all(target_os = "linux", not(loom)))]
fn main() {
    storm::main();
}

#[cfg(all(target_os = "linux", not(loom)))]
mod storm {
    use crate::common::{label, leftovers, scratch, watchdog};
    use crate::crew::{child, shared};
    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    use nix::unistd::Pid;
    use rand::{RngExt, SeedableRng, rngs::SmallRng};
    use ringlane::mpmc::{Delivery, Queue};
    use ringlane::{Name, PopError, Wait, inspect};
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use std::time::{Duration, Instant};

    /// Values of 40 bytes: whose, which life, the how manieth, and two that follow from these.
    type Value = [u64; 5];

    const SIDE: usize = 4;
    /// Lives of one producer between two checks, and values of one life.
    const LIVES: usize = 96;
    const VALUES: usize = 1 << 17;
    const CAPACITY: usize = 256;

    /// What is known outside of the ring. All of it is shared with every process.
    #[repr(C)]
    struct Journal {
        stop: AtomicU64,
        /// Before and after: the number after the last value that is to be pushed, or was.
        intent: [[AtomicU64; LIVES]; SIDE],
        done: [[AtomicU64; LIVES]; SIDE],
        /// A bit for each value that came.
        came: [[[AtomicU64; VALUES / 64]; LIVES]; SIDE],
        /// Values that came, that came again, and complaints.
        received: [AtomicU64; SIDE],
        again: AtomicU64,
        faults: AtomicU64,
    }

    fn mix(number: u64) -> u64 {
        let hash = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash ^ hash >> 27
    }

    fn value(who: usize, life: usize, n: u64) -> Value {
        let key = (who as u64) << 56 | (life as u64) << 40 | n;
        [who as u64, life as u64, n, mix(key), mix(mix(key))]
    }

    impl Journal {
        fn new() -> &'static Journal {
            // SAFETY: zeroes are a journal, which is all atomics.
            unsafe { shared() }
        }

        fn produce(&self, name: &Name, who: usize, life: usize) {
            let mut tx = Queue::<Value>::open(name).expect("open").producer().expect("a place");
            let mut random = SmallRng::seed_from_u64((who * LIVES + life) as u64);
            let mut n = 0;
            while n + 8 < VALUES as u64 {
                let run: u64 = if random.random_bool(0.2) { random.random_range(2..8) } else { 1 };
                self.intent[who][life].store(n + run, SeqCst);
                let values: Vec<Value> = (n..n + run).map(|n| value(who, life, n)).collect();
                let pushed = match run {
                    1 => tx.push(values[0]).is_ok(),
                    _ => tx.push_slice(&values).is_ok(),
                };
                if !pushed {
                    // All consumers are dead, this moment.
                    return;
                }
                n += run;
                self.done[who][life].store(n, SeqCst);
            }
        }

        fn consume(&self, name: &Name, who: usize) {
            let mut rx = Queue::<Value>::open(name).expect("open").consumer().expect("a place");
            let acked = self.acked(name);
            while self.stop.load(SeqCst) == 0 {
                match rx.take_timeout(Duration::from_millis(20)) {
                    Ok(taken) => {
                        let again = taken.is_again();
                        self.note(*taken, again && acked);
                        taken.acknowledge();
                        self.received[who].fetch_add(1, SeqCst);
                    }
                    Err(PopError::Corrupt) => self.fault("pop says Corrupt"),
                    Err(_) => {}
                }
            }
        }

        fn acked(&self, name: &Name) -> bool {
            Queue::<Value>::open(name).expect("open").delivery() == Delivery::AtLeastOnce
        }

        fn note(&self, got: Value, again: bool) {
            let [who, life, n, ..] = got;
            let (who, life) = (who as usize, life as usize);
            if who >= SIDE || life >= LIVES || n >= VALUES as u64 || got != value(who, life, n) {
                return self.fault(&format!("torn: {got:x?}"));
            }
            let bit = 1 << (n % 64);
            let before = self.came[who][life][n as usize / 64].fetch_or(bit, SeqCst);
            if before & bit != 0 && !again {
                self.fault(&format!("twice: {who}, {life}, {n}"));
            }
            self.again.fetch_add(u64::from(again), SeqCst);
        }

        fn fault(&self, text: &str) {
            eprintln!("{text}");
            self.faults.fetch_add(1, SeqCst);
        }

        /// Checks all lives since the last time, and forgets them. How many values were pushed, and are missing.
        fn check(&self, lives: &[usize]) -> (u64, u64) {
            let (mut pushed, mut missing) = (0, 0);
            for (who, lives) in lives.iter().enumerate() {
                for life in 0..*lives {
                    let done = self.done[who][life].swap(0, SeqCst);
                    let intent = self.intent[who][life].swap(0, SeqCst);
                    pushed += done;
                    for (index, word) in self.came[who][life].iter().enumerate() {
                        let bits = word.swap(0, SeqCst);
                        let first = index as u64 * 64;
                        // Bits of values below a number.
                        let below = |number: u64| match number.saturating_sub(first) {
                            64.. => u64::MAX,
                            count => (1 << count) - 1,
                        };
                        missing += u64::from((below(done) & !bits).count_ones());
                        if bits & !below(intent) != 0 {
                            self.fault(&format!(
                                "came from nowhere: {who}, {life}, after {intent}"
                            ));
                        }
                        if first >= intent && bits == 0 {
                            break;
                        }
                    }
                }
            }
            (pushed, missing)
        }
    }

    struct Storm {
        journal: &'static Journal,
        name: Name,
        random: SmallRng,
        producers: Vec<Pid>,
        consumers: Vec<Pid>,
        lives: Vec<usize>,
        kills: usize,
        stops: usize,
        consumer_deaths: u64,
    }

    impl Storm {
        fn spawn_producer(&mut self, who: usize) -> Option<Pid> {
            let (journal, name, life) = (self.journal, self.name.clone(), self.lives[who]);
            if life == LIVES {
                return None;
            }
            self.lives[who] += 1;
            Some(child(|| journal.produce(&name, who, life)))
        }

        fn spawn_consumer(&self, who: usize) -> Pid {
            let (journal, name) = (self.journal, self.name.clone());
            child(move || journal.consume(&name, who))
        }

        fn end(pid: Pid) {
            let _ = kill(pid, Signal::SIGKILL);
            while matches!(waitpid(pid, None), Ok(WaitStatus::Stopped(..))) {}
        }

        /// Ends one and puts another in its place, or stops one for a moment.
        fn strike(&mut self) {
            let all = self.producers.len() + self.consumers.len();
            let index = self.random.random_range(0..all);
            let who = index.checked_sub(self.producers.len());
            let pid = who.map_or_else(|| self.producers[index], |who| self.consumers[who]);
            if self.random.random_bool(0.2) {
                let _ = kill(pid, Signal::SIGSTOP);
                std::thread::sleep(Duration::from_millis(self.random.random_range(1..30)));
                let _ = kill(pid, Signal::SIGCONT);
                self.stops += 1;
                return;
            }
            Self::end(pid);
            self.kills += 1;
            match who {
                Some(who) => {
                    self.consumer_deaths += 1;
                    self.consumers[who] = self.spawn_consumer(who);
                }
                None => {
                    if let Some(pid) = self.spawn_producer(index) {
                        self.producers[index] = pid;
                    }
                }
            }
        }

        /// Those that came to the end of their numbers begin a new life.
        fn replace_done(&mut self) {
            for who in 0..self.producers.len() {
                let ended = waitpid(self.producers[who], Some(WaitPidFlag::WNOHANG));
                if matches!(ended, Ok(WaitStatus::Exited(..)))
                    && let Some(pid) = self.spawn_producer(who)
                {
                    self.producers[who] = pid;
                }
            }
        }

        /// Strikes for a while, ends all, empties the ring, and checks.
        fn phase(&mut self, length: Duration, side: usize) -> Result<(u64, u64), String> {
            self.lives = vec![0; side];
            self.journal.stop.store(0, SeqCst);
            self.consumer_deaths = 0;
            self.consumers = (0..side).map(|who| self.spawn_consumer(who)).collect();
            self.producers = (0..side).filter_map(|who| self.spawn_producer(who)).collect();
            let until = Instant::now() + length;
            while Instant::now() < until && self.lives.iter().all(|lives| *lives < LIVES) {
                std::thread::sleep(Duration::from_millis(50));
                self.strike();
                self.replace_done();
            }
            for pid in std::mem::take(&mut self.producers) {
                self.kills += 1;
                Self::end(pid);
            }
            // Half of the consumers, too: the others, and this process, empty the ring.
            for who in 0..side / 2 {
                Self::end(self.consumers[who]);
                self.consumer_deaths += 1;
                self.kills += 1;
            }
            let mut rx = Queue::<Value>::open(&self.name)
                .and_then(|queue| queue.consumer())
                .map_err(|e| e.to_string())?;
            rx.set_wait(Wait::Yield);
            let acked = self.journal.acked(&self.name);
            let mut quiet = 0;
            let begun = Instant::now();
            while quiet < 50 {
                let there = rx.available();
                match rx.try_take() {
                    Ok(taken) => {
                        let again = taken.is_again() && acked;
                        self.journal.note(taken.acknowledge(), again);
                        quiet = 0;
                    }
                    // What another consumer holds comes to its end, or again.
                    Err(PopError::Empty | PopError::Closed) if there == 0 => quiet += 1,
                    Err(PopError::Corrupt) => return Err("Corrupt".into()),
                    Err(_) => std::thread::yield_now(),
                }
                if begun.elapsed() > Duration::from_secs(120) {
                    let report = inspect::report(&self.name);
                    return Err(format!("stuck: {:?} {report:?}", rx.try_pop()));
                }
            }
            self.journal.stop.store(1, SeqCst);
            for who in side / 2..side {
                let ended = waitpid(self.consumers[who], None);
                if !matches!(ended, Ok(WaitStatus::Exited(_, 0))) {
                    return Err(format!("a consumer ended with {ended:?}"));
                }
            }
            Ok(self.journal.check(&self.lives))
        }
    }

    fn run(side: usize, delivery: Delivery, length: Duration) -> Result<(), String> {
        let name = scratch();
        let mut options = Queue::<Value>::options();
        let queue = options.capacity(CAPACITY).delivery(delivery).create(&name);
        let queue = queue.map_err(|e| e.to_string())?;
        let seed = std::env::var("RINGLANE_STORM_SEED").ok().and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or(u64::from(std::process::id()));
        let mut storm = Storm {
            journal: Journal::new(),
            name,
            random: SmallRng::seed_from_u64(seed),
            producers: vec![],
            consumers: vec![],
            lives: vec![],
            kills: 0,
            stops: 0,
            consumer_deaths: 0,
        };
        let (mut pushed, mut missing, mut deaths) = (0, 0, 0);
        let until = Instant::now() + length;
        while Instant::now() < until {
            watchdog(240, storm.kills);
            let rest = until.saturating_duration_since(Instant::now());
            let (more, lost) = storm.phase(rest.min(Duration::from_secs(5)), side)?;
            if delivery == Delivery::AtLeastOnce && lost > 0 || lost > storm.consumer_deaths {
                return Err(format!("{lost} lost of {more}, seed {seed}"));
            }
            if storm.journal.faults.load(SeqCst) > 0 {
                return Err(format!("faults, seed {seed}"));
            }
            pushed += more;
            missing += lost;
            deaths += storm.consumer_deaths;
        }
        let report = inspect::report(&storm.name).map_err(|e| e.to_string())?;
        let sum =
            |of: fn(&inspect::Participant) -> u64| report.participants.iter().map(of).sum::<u64>();
        println!(
            "{side}P{side}C {delivery:?}: {pushed} values, {} kills, {} stops; {missing} values went with {deaths} \
             dead consumers, {} came again; the ring counts {} deaths, {} slots skipped, {} values that came again",
            storm.kills,
            storm.stops,
            storm.journal.again.load(SeqCst),
            sum(|one| one.deaths),
            sum(|one| one.skipped),
            sum(|one| one.redelivered),
        );
        drop(queue);
        let names = leftovers();
        if names.is_empty() { Ok(()) } else { Err(format!("left behind: {names:?}")) }
    }

    pub(super) fn main() {
        if std::env::args().any(|arg| arg == "--list") {
            return;
        }
        let seconds =
            std::env::var("RINGLANE_STORM_SECONDS").ok().and_then(|text| text.parse().ok());
        let each = Duration::from_secs_f64(seconds.unwrap_or(5.0) / 4.0);
        for side in [2, 4] {
            for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce] {
                label(&format!("storm_{side}_{delivery:?}"));
                if let Err(text) = run(side, delivery, each) {
                    println!("test storm_{side}_{delivery:?} ... FAILED ({text})");
                    std::process::exit(1);
                }
            }
        }
        println!("test result: ok");
    }
}
