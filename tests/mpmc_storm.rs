//! Rings for many under random kills: producers and consumers, each a process, of which one is killed and
//! replaced 20 times a second, or stopped for a moment. In a part of it they also come and go of their own accord, so
//! that there is one alone now and then. A journal outside the ring is the oracle.
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
#[path = "storm/goods.rs"]
mod goods;

#[cfg(all(target_os = "linux", not(loom)))]
fn main() {
    storm::main();
}

#[cfg(all(target_os = "linux", not(loom)))]
mod storm {
    use crate::common::{label, leftovers, scratch, watchdog};
    use crate::crew::{child, shared};
    use crate::goods::{Goods, Records, Value, Values, value};
    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    use nix::unistd::Pid;
    use rand::{RngExt, SeedableRng, rngs::SmallRng};
    use ringlane::mpmc::Delivery;
    use ringlane::{Name, PopError, Wait, inspect};
    use std::marker::PhantomData;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use std::time::{Duration, Instant};

    const SIDE: usize = 4;
    /// Lives of one producer between two checks, and values of one life.
    const LIVES: usize = 96;
    const VALUES: usize = 1 << 17;

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

    impl Journal {
        fn new() -> &'static Journal {
            // SAFETY: zeroes are a journal, which is all atomics.
            unsafe { shared() }
        }

        fn produce<G: Goods>(&self, plan: &Plan, who: usize, life: usize) {
            let queue = G::open(&plan.name).expect("open");
            let mut random = SmallRng::seed_from_u64((who * LIVES + life) as u64);
            let mut n = 0;
            while n + 8 < VALUES as u64 {
                let mut tx = queue.producer().expect("a place");
                while !plan.leaves(&mut random) && n + 8 < VALUES as u64 {
                    let run: u64 =
                        if random.random_bool(0.2) { random.random_range(2..8) } else { 1 };
                    self.intent[who][life].store(n + run, SeqCst);
                    let values: Vec<Value> = (n..n + run).map(|n| value(who, life, n)).collect();
                    let mut rest = &values[..];
                    while !rest.is_empty() {
                        let pushed = G::push(&mut tx, rest);
                        if pushed == 0 {
                            // All consumers are dead or away, this moment.
                            std::thread::yield_now();
                        }
                        rest = &rest[pushed..];
                    }
                    n += run;
                    self.done[who][life].store(n, SeqCst);
                }
                drop(tx);
                plan.stay_away(&mut random);
            }
        }

        fn consume<G: Goods>(&self, plan: &Plan, who: usize) {
            let queue = G::open(&plan.name).expect("open");
            let mut random = SmallRng::seed_from_u64(u64::from(std::process::id()));
            while self.stop.load(SeqCst) == 0 {
                let mut rx = queue.consumer().expect("a place");
                while self.stop.load(SeqCst) == 0 && !plan.leaves(&mut random) {
                    let taken = G::take(&mut rx, Some(Duration::from_millis(20)), |got, again| {
                        self.note(got, again && plan.acked());
                    });
                    match taken {
                        Ok(()) => drop(self.received[who].fetch_add(1, SeqCst)),
                        Err(PopError::Corrupt) => self.fault("pop says Corrupt"),
                        Err(_) => {}
                    }
                }
                drop(rx);
                plan.stay_away(&mut random);
            }
        }

        fn note(&self, got: Option<Value>, again: bool) {
            let Some([who, life, n, ..]) = got else { return self.fault("torn") };
            let (who, life) = (who as usize, life as usize);
            let known = who < SIDE && life < LIVES && n < VALUES as u64;
            if !known || got != Some(value(who, life, n)) {
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

    /// What is done.
    #[derive(Clone)]
    struct Plan {
        name: Name,
        side: usize,
        delivery: Delivery,
        /// Whether they come and go of their own accord.
        fleeting: bool,
    }

    impl Plan {
        fn acked(&self) -> bool {
            self.delivery == Delivery::AtLeastOnce
        }

        fn leaves(&self, random: &mut SmallRng) -> bool {
            self.fleeting && random.random_bool(0.005)
        }

        fn stay_away(&self, random: &mut SmallRng) {
            if self.fleeting {
                std::thread::sleep(Duration::from_micros(random.random_range(0..500)));
            }
        }
    }

    struct Storm<G> {
        journal: &'static Journal,
        plan: Plan,
        random: SmallRng,
        producers: Vec<Pid>,
        consumers: Vec<Pid>,
        lives: Vec<usize>,
        kills: usize,
        stops: usize,
        consumer_deaths: u64,
        _goods: PhantomData<G>,
    }

    impl<G: Goods> Storm<G> {
        fn spawn_producer(&mut self, who: usize) -> Option<Pid> {
            let (journal, plan, life) = (self.journal, self.plan.clone(), self.lives[who]);
            if life == LIVES {
                return None;
            }
            self.lives[who] += 1;
            Some(child(|| journal.produce::<G>(&plan, who, life)))
        }

        fn spawn_consumer(&self, who: usize) -> Pid {
            let (journal, plan) = (self.journal, self.plan.clone());
            child(move || journal.consume::<G>(&plan, who))
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
        fn phase(&mut self, length: Duration) -> Result<(u64, u64), String> {
            let side = self.plan.side;
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
            let mut rx = G::open(&self.plan.name)
                .and_then(|queue| queue.consumer())
                .map_err(|e| e.to_string())?;
            G::set_wait(&mut rx, Wait::Yield);
            let mut quiet = 0;
            let begun = Instant::now();
            while quiet < 50 {
                let there = G::available(&rx);
                let taken = G::take(&mut rx, None, |got, again| {
                    self.journal.note(got, again && self.plan.acked());
                });
                match taken {
                    Ok(()) => quiet = 0,
                    // What another consumer holds comes to its end, or again.
                    Err(PopError::Empty | PopError::Closed) if there == 0 => quiet += 1,
                    Err(PopError::Corrupt) => return Err("Corrupt".into()),
                    Err(_) => std::thread::yield_now(),
                }
                if begun.elapsed() > Duration::from_secs(120) {
                    let report = inspect::report(&self.plan.name);
                    return Err(format!("stuck: {taken:?} {report:?}"));
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

    fn run<G: Goods>(plan: &Plan, length: Duration) -> Result<(), String> {
        let queue = G::create(&plan.name, plan.delivery).map_err(|e| e.to_string())?;
        let seed = std::env::var("RINGLANE_STORM_SEED").ok().and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or(u64::from(std::process::id()));
        let mut storm = Storm::<G> {
            journal: Journal::new(),
            plan: plan.clone(),
            random: SmallRng::seed_from_u64(seed),
            producers: vec![],
            consumers: vec![],
            lives: vec![],
            kills: 0,
            stops: 0,
            consumer_deaths: 0,
            _goods: PhantomData,
        };
        let (mut pushed, mut missing, mut deaths) = (0, 0, 0);
        let until = Instant::now() + length;
        while Instant::now() < until {
            watchdog(240, storm.kills);
            let rest = until.saturating_duration_since(Instant::now());
            let (more, lost) = storm.phase(rest.min(Duration::from_secs(5)))?;
            if plan.acked() && lost > 0 || lost > storm.consumer_deaths {
                return Err(format!("{lost} lost of {more}, seed {seed}"));
            }
            if storm.journal.faults.load(SeqCst) > 0 {
                return Err(format!("faults, seed {seed}"));
            }
            pushed += more;
            missing += lost;
            deaths += storm.consumer_deaths;
        }
        let report = inspect::report(&plan.name).map_err(|e| e.to_string())?;
        let sum =
            |of: fn(&inspect::Participant) -> u64| report.participants.iter().map(of).sum::<u64>();
        println!(
            "{}: {pushed} {}, {} kills, {} stops; {missing} went with {deaths} dead consumers, {} came again; the ring \
             counts {} deaths, {} slots skipped, {} that came again",
            name_of::<G>(plan),
            G::NAME,
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

    fn name_of<G: Goods>(plan: &Plan) -> String {
        let fleeting = if plan.fleeting { "_fleeting" } else { "" };
        format!("storm_{}_{}_{:?}{fleeting}", plan.side, G::NAME, plan.delivery)
    }

    fn weather<G: Goods>(side: usize, delivery: Delivery, fleeting: bool, length: Duration) {
        let plan = Plan { name: scratch(), side, delivery, fleeting };
        label(&name_of::<G>(&plan));
        if let Err(text) = run::<G>(&plan, length) {
            println!("test {} ... FAILED ({text})", name_of::<G>(&plan));
            std::process::exit(1);
        }
    }

    pub(super) fn main() {
        if std::env::args().any(|arg| arg == "--list") {
            return;
        }
        let seconds =
            std::env::var("RINGLANE_STORM_SECONDS").ok().and_then(|text| text.parse().ok());
        let each = Duration::from_secs_f64(seconds.unwrap_or(5.0) / 10.0);
        for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce] {
            weather::<Values>(2, delivery, false, each);
            weather::<Values>(2, delivery, true, each);
            weather::<Values>(4, delivery, false, each);
            weather::<Records>(2, delivery, true, each);
            weather::<Records>(4, delivery, false, each);
        }
        println!("test result: ok");
    }
}
