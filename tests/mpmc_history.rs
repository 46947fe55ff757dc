//! Histories of rings for many, recorded from processes that run at the same time, and checked: is there one queue
//! that could have given these answers at these times?
//!
//! For a queue of values that are all different there is an exact and fast check (Henzinger, Sezgin, Vafeiadis:
//! Aspect-oriented linearizability proofs, CONCUR 2013): a complete history is that of a queue unless a value
//! comes that nobody put in, or twice, or two come against the order in which they went in, or "empty" is said
//! although something was there all the time. The checker is shown a history with each fault first.
#![allow(unsafe_code, reason = "forks, and shares memory")]
#![allow(clippy::disallowed_types, reason = "the record is shared memory of the test's own")]

#[cfg(not(all(target_os = "linux", not(loom))))]
fn main() {}

#[cfg(all(target_os = "linux", not(loom)))]
mod common;
#[cfg(all(target_os = "linux", not(loom)))]
mod crew;

#[cfg(all(target_os = "linux", not(loom)))]
fn main() {
    history::main();
}

#[cfg(all(target_os = "linux", not(loom)))]
mod history {
    use crate::common::{label, scratch, watchdog};
    use crate::crew::{child, shared};
    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::{WaitStatus, waitpid};
    use ringlane::mpmc::{Delivery, Queue};
    use ringlane::{Name, PopError, PushError};
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use std::time::Instant;

    const PEOPLE: usize = 8;
    const OPERATIONS: usize = 1 << 16;

    /// What each process did: kind and value, begin, end. An operation without an end was cut off by a death.
    #[repr(C)]
    struct Record {
        gate: AtomicU64,
        done: AtomicU64,
        operations: [[[AtomicU64; 3]; OPERATIONS]; PEOPLE],
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Kind {
        Push,
        Full,
        Pop,
        Empty,
    }

    #[derive(Clone, Copy, Debug)]
    struct Operation {
        kind: Kind,
        value: u64,
        begin: u64,
        /// `u64::MAX` if it never ended.
        end: u64,
    }

    /// Why no queue of `capacity` can have this history; nothing if one can.
    fn fault(history: &[Operation], capacity: usize) -> Option<String> {
        // Value to: push, pop.
        let mut values: HashMap<u64, (Option<Operation>, Option<Operation>)> = HashMap::new();
        for one in history {
            let entry = values.entry(one.value).or_default();
            match one.kind {
                Kind::Push => entry.0 = Some(*one),
                Kind::Pop if entry.1.replace(*one).is_some() => {
                    return Some(format!("{} came twice", one.value));
                }
                _ => {}
            }
        }
        let mut pushes = Vec::new();
        for (value, (push, pop)) in &values {
            match (push, pop) {
                (None, Some(_)) => return Some(format!("{value} came from nowhere")),
                (Some(push), Some(pop)) if pop.end < push.begin => {
                    return Some(format!("{value} came before it went in"));
                }
                // A push that was cut off, and of which nothing came, never happened.
                (Some(push), None) if push.end == u64::MAX => {}
                (Some(push), pop) => pushes.push((*push, *pop)),
                (None, None) => {}
            }
        }
        // Against the order: x went in before y, and y came before x did.
        let mut by_end: Vec<_> = pushes.iter().collect();
        by_end.sort_by_key(|(push, _)| push.end);
        let mut by_begin = by_end.clone();
        by_begin.sort_by_key(|(push, _)| push.begin);
        let mut earlier = by_end.into_iter().peekable();
        let mut latest: Option<(u64, u64)> = None;
        for (push, pop) in by_begin {
            while let Some((before, its_pop)) =
                earlier.next_if(|(before, _)| before.end < push.begin)
            {
                let came = its_pop.map_or(u64::MAX, |pop| pop.begin);
                latest = latest.max(Some((came, before.value)));
            }
            if let (Some(pop), Some((came, value))) = (pop, latest)
                && pop.end < came
            {
                return Some(format!("{} came before {value}, which went in first", push.value));
            }
        }
        // "Empty" although at every moment something was there for sure.
        let mut there: Vec<(u64, u64)> = pushes
            .iter()
            .map(|(push, pop)| (push.end, pop.map_or(u64::MAX, |pop| pop.begin)))
            .filter(|(from, to)| from < to)
            .collect();
        there.sort_unstable();
        let mut covered: Vec<(u64, u64)> = Vec::new();
        for (from, to) in there {
            match covered.last_mut() {
                Some(last) if from < last.1 => last.1 = last.1.max(to),
                _ => covered.push((from, to)),
            }
        }
        for one in history.iter().filter(|one| one.kind == Kind::Empty) {
            let index = covered.partition_point(|(from, _)| *from < one.begin);
            if index > 0 && covered[index - 1].1 > one.end {
                return Some(format!("empty from {} to {}, which it was not", one.begin, one.end));
            }
        }
        // "Full" although at no moment as many can have been there.
        let mut changes: Vec<(u64, i64)> = Vec::new();
        for (push, pop) in values.values() {
            if let Some(push) = push {
                changes.push((push.begin, 1));
                changes.extend(pop.map(|pop| (pop.end, -1)));
            }
        }
        // At one time, those who come come first.
        changes.sort_unstable_by_key(|(time, change)| (*time, -change));
        let mut count = 0;
        let counts: Vec<(u64, i64)> = changes
            .iter()
            .map(|(time, change)| {
                count += change;
                (*time, count)
            })
            .collect();
        for one in history.iter().filter(|one| one.kind == Kind::Full) {
            let from = counts.partition_point(|(time, _)| *time < one.begin).saturating_sub(1);
            let to = counts.partition_point(|(time, _)| *time <= one.end);
            if counts[from..to].iter().all(|(_, count)| *count < capacity as i64) {
                return Some(format!("full from {} to {}, which it was not", one.begin, one.end));
            }
        }
        None
    }

    struct Writer<'a> {
        record: &'a Record,
        who: usize,
        next: usize,
        epoch: Instant,
    }

    impl Writer<'_> {
        fn now(&self) -> u64 {
            self.epoch.elapsed().as_nanos() as u64 + 1
        }

        /// Notes an operation before it begins; how it ends is noted later.
        fn begin(&mut self, value: u64) {
            let words = &self.record.operations[self.who][self.next];
            words[0].store(value << 2 | Kind::Push as u64, SeqCst);
            words[1].store(self.now(), SeqCst);
        }

        fn end(&mut self, kind: Kind, value: u64) {
            let now = self.now();
            let words = &self.record.operations[self.who][self.next];
            words[0].store(value << 2 | kind as u64, SeqCst);
            words[2].store(now, SeqCst);
            self.next += 1;
        }
    }

    #[derive(Clone, Copy, Debug)]
    struct Plan {
        capacity: usize,
        producers: usize,
        consumers: usize,
        each: u64,
        delivery: Delivery,
        /// Whether the first producer is killed on the way.
        kill: bool,
    }

    /// A value of so many words: of one word, value and control word are pushed in one step.
    fn message<const W: usize>(value: u64) -> [u64; W] {
        std::array::from_fn(|index| [value, value ^ 7, !value][index])
    }

    fn produce<const W: usize>(name: &Name, mut writer: Writer, each: u64) {
        let mut tx = Queue::<[u64; W]>::open(name).expect("open").producer().expect("a place");
        writer.record.gate.fetch_add(1, SeqCst);
        while writer.record.gate.load(SeqCst) < u64::MAX / 2 {
            std::thread::yield_now();
        }
        let mut n = 0;
        let mut fulls = 0;
        while n < each && writer.next + 1 < OPERATIONS {
            let value = (writer.who as u64) << 32 | n;
            writer.begin(value);
            match tx.try_push(message(value)) {
                Ok(()) => {
                    writer.end(Kind::Push, value);
                    n += 1;
                }
                Err(PushError::Full(_)) => {
                    // Some of these are kept, and of the others only that they took time.
                    fulls += 1;
                    if fulls % 8 == 0 {
                        writer.end(Kind::Full, u64::MAX >> 2);
                    }
                    std::thread::yield_now();
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        writer.record.done.fetch_add(1, SeqCst);
    }

    fn consume<const W: usize>(name: &Name, mut writer: Writer, producers: u64) {
        let mut rx = Queue::<[u64; W]>::open(name).expect("open").consumer().expect("a place");
        writer.record.gate.fetch_add(1, SeqCst);
        while writer.record.gate.load(SeqCst) < u64::MAX / 2 {
            std::thread::yield_now();
        }
        let mut empties = 0;
        loop {
            let over = writer.record.done.load(SeqCst) >= producers;
            let begin = writer.now();
            match rx.try_pop() {
                Ok(got) => {
                    let value = got[0];
                    assert!(got == message(value), "torn");
                    writer.record.operations[writer.who][writer.next][1].store(begin, SeqCst);
                    writer.end(Kind::Pop, value);
                }
                Err(PopError::Empty) if over => return,
                Err(PopError::Empty) => {
                    empties += 1;
                    if empties % 8 == 0 && writer.next + 1024 < OPERATIONS {
                        writer.record.operations[writer.who][writer.next][1].store(begin, SeqCst);
                        writer.end(Kind::Empty, u64::MAX >> 2);
                    }
                    std::thread::yield_now();
                }
                // Says nothing of the queue; the slot is somebody's who is on the way.
                Err(PopError::Stalled { .. }) => std::thread::yield_now(),
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    fn record<const W: usize>(plan: Plan) -> Result<Vec<Operation>, String> {
        // SAFETY: zeroes are a record, which is all atomics.
        let record: &'static Record = unsafe { shared() };
        let name = scratch();
        let mut options = Queue::<[u64; W]>::options();
        let queue = options.capacity(plan.capacity).delivery(plan.delivery).create(&name);
        let queue = queue.map_err(|e| e.to_string())?;
        // Holds the ends' sides open, so that nobody is told of a close.
        let (_tx, _rx) = (queue.producer(), queue.consumer());
        let epoch = Instant::now();
        let people = plan.producers + plan.consumers;
        let children: Vec<_> = (0..people)
            .map(|who| {
                let writer = Writer { record, who, next: 0, epoch };
                match who < plan.producers {
                    true => child(|| produce::<W>(&name, writer, plan.each)),
                    false => child(|| consume::<W>(&name, writer, plan.producers as u64)),
                }
            })
            .collect();
        while record.gate.load(SeqCst) < people as u64 {
            std::thread::yield_now();
        }
        record.gate.store(u64::MAX / 2, SeqCst);
        if plan.kill {
            // In the middle of its work.
            while record.operations[0][plan.each as usize / 4][2].load(SeqCst) == 0 {
                std::thread::yield_now();
            }
            let _ = kill(children[0], Signal::SIGKILL);
            record.done.fetch_add(1, SeqCst);
        }
        for (who, child) in children.into_iter().enumerate() {
            let ended = waitpid(child, None);
            let killed = plan.kill && who == 0;
            if !killed && !matches!(ended, Ok(WaitStatus::Exited(_, 0))) {
                return Err(format!("a child ended with {ended:?}"));
            }
        }
        let mut history = Vec::new();
        for words in record.operations.iter().flatten() {
            let [what, begin, end] = [0, 1, 2].map(|index| words[index].load(SeqCst));
            if begin == 0 {
                continue;
            }
            let kind = [Kind::Push, Kind::Full, Kind::Pop, Kind::Empty][(what & 3) as usize];
            let end = if end == 0 { u64::MAX } else { end };
            history.push(Operation { kind, value: what >> 2, begin, end });
        }
        Ok(history)
    }

    /// The checker can fail.
    fn calibrate() {
        let of = |kind, value, begin, end| Operation { kind, value, begin, end };
        let good = [
            of(Kind::Push, 1, 1, 4),
            of(Kind::Push, 2, 2, 3),
            of(Kind::Pop, 2, 5, 6),
            of(Kind::Pop, 1, 7, 9),
            of(Kind::Empty, 0, 8, 12),
        ];
        assert_eq!(fault(&good, 2), None);
        let but = |index: usize, one| {
            let mut history = good;
            history[index] = one;
            fault(&history, 2).expect("a fault")
        };
        assert!(but(3, of(Kind::Pop, 2, 7, 8)).contains("twice"));
        assert!(but(3, of(Kind::Pop, 3, 7, 8)).contains("nowhere"));
        assert!(but(0, of(Kind::Push, 1, 10, 12)).contains("before it went in"));
        assert!(but(1, of(Kind::Push, 2, 5, 6)).contains("which went in first"));
        assert!(but(4, of(Kind::Empty, 0, 5, 6)).contains("empty"));
        assert!(but(4, of(Kind::Full, 0, 10, 12)).contains("full"));
        let never = [good[0], of(Kind::Push, 2, 5, 6), of(Kind::Pop, 2, 7, 8)];
        assert!(fault(&never, 2).expect("a fault").contains("which went in first"));
    }

    pub(super) fn main() {
        if std::env::args().any(|arg| arg == "--list") {
            return;
        }
        calibrate();
        let number = std::env::var("RINGLANE_HISTORIES").ok().and_then(|text| text.parse().ok());
        let rounds: usize = number.unwrap_or(2);
        let (mut operations, mut histories) = (0, 0);
        for round in 0..rounds {
            for (index, plan) in [
                Plan {
                    capacity: 64,
                    producers: 2,
                    consumers: 2,
                    each: 5000,
                    delivery: Delivery::AtMostOnce,
                    kill: false,
                },
                Plan {
                    capacity: 2,
                    producers: 3,
                    consumers: 3,
                    each: 2500,
                    delivery: Delivery::AtMostOnce,
                    kill: false,
                },
                Plan {
                    capacity: 1,
                    producers: 2,
                    consumers: 2,
                    each: 2500,
                    delivery: Delivery::AtMostOnce,
                    kill: false,
                },
                Plan {
                    capacity: 16,
                    producers: 4,
                    consumers: 4,
                    each: 2500,
                    delivery: Delivery::AtMostOnce,
                    kill: true,
                },
                Plan {
                    capacity: 1024,
                    producers: 4,
                    consumers: 2,
                    each: 5000,
                    delivery: Delivery::AtMostOnce,
                    kill: true,
                },
            ]
            .into_iter()
            .enumerate()
            {
                label(&format!("history_{index}"));
                watchdog(120, round);
                let recorded =
                    if (index + round) % 2 == 0 { record::<1>(plan) } else { record::<3>(plan) };
                let history = recorded.unwrap_or_else(|text| panic!("{text} in {plan:?}"));
                if let Some(fault) = fault(&history, plan.capacity) {
                    println!("test history_{index} ... FAILED ({fault} in {plan:?})");
                    std::process::exit(1);
                }
                operations += history.len();
                histories += 1;
            }
        }
        println!("{histories} histories of {operations} operations are those of a queue");
        println!("test result: ok");
    }
}
