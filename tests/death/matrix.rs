//! Which operations, in which states, and how many points of each.

use super::goods::{Goods, Of, Parcels};
use super::heirs::Heirs;
use super::journal::Journal;
use super::lane::{Lane, PopBy, PushBy, Records, Values, Wide};
use super::life::{self, Attach, Close, Corpse, Named};
use super::many;
use super::several::{Batches, Streams};
use super::sleep::{self, Side, Sleep};
use super::spans::Spans;
use super::stream::{After, Fill, Op, State, Stream};
use super::sweep::{Cell, Effect, Fate, Fault, Plan, Tally, bisect, sweep};
use super::toy::{Flaw, Toy};
use super::tracer::{fork_child, reap};
use crate::common::{label, sweep_up};
use nix::sys::memfd::{MFdFlags, memfd_create};
use ringlane::mpmc::Delivery;
use ringlane::spsc::Layout;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Every instruction.
pub(crate) const ALL: usize = usize::MAX;
/// Points of a cell that varies one whose every instruction is taken.
pub(crate) const SOME: usize = if cfg!(debug_assertions) { 30 } else { 120 };
/// Points of a call that is made once in a queue's life.
pub(crate) const FEW: usize = if cfg!(debug_assertions) { 100 } else { 400 };

/// How long a victim waits: longer than it takes to step it to its sleep, as every point after that costs
/// as much.
pub(crate) const NAP: Duration =
    Duration::from_millis(if cfg!(debug_assertions) { 200 } else { 50 });

/// What was asked for, and what was found.
pub(crate) struct Matrix<'a> {
    pub(crate) journal: Journal,
    full: bool,
    seed: usize,
    only: Option<usize>,
    filters: Vec<String>,
    passed: usize,
    failed: usize,
    kills: usize,
    pauses: usize,
    /// Of the kills: those of who met another's death.
    pairs: usize,
    /// Which of how many processes this is: each takes a part of the cells.
    share: (u64, u64),
    line: String,
    /// What failed and why, once more, for the end of all.
    failures: &'a File,
}

impl Matrix<'_> {
    fn new(share: (u64, u64), failures: &File) -> Matrix<'_> {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
        Matrix {
            journal: Journal::new(),
            full: std::env::var("RINGLANE_DEATH").is_ok_and(|value| value == "full"),
            seed: number("RINGLANE_DEATH_SEED").unwrap_or(std::process::id() as usize),
            only: number("RINGLANE_DEATH_STEP"),
            filters: std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect(),
            passed: 0,
            failed: 0,
            kills: 0,
            pauses: 0,
            pairs: 0,
            share,
            line: String::new(),
            failures,
        }
    }

    pub(crate) fn plan(&self, budget: usize, around: Option<usize>) -> Plan {
        let budget = if self.full { ALL } else { budget };
        Plan { budget, around, offset: self.seed, most: 1 << 20, only: self.only }
    }

    /// Whether a cell is wanted, and ours; if so, begins its line.
    fn begin(&mut self, name: &str) -> bool {
        // What belongs together stays together: a pause looks closely where a kill found the effect.
        let stem = name.trim_end_matches("_resume").trim_end_matches("_pause");
        let hash = stem.bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(31) + u64::from(byte));
        let wanted = self.filters.is_empty() || self.filters.iter().any(|f| name.contains(f));
        let ours = wanted && hash % self.share.1 == self.share.0;
        if ours {
            name.clone_into(&mut self.line);
            label(name);
        }
        ours
    }

    /// Ends the line, in one piece: others write, too.
    fn end(&mut self, text: &str) {
        let line = format!("test {} ... {text}\n", self.line);
        let _ = std::io::stdout().write_all(line.as_bytes());
    }

    fn pass(&mut self, fate: Fate, tally: Tally) {
        self.passed += 1;
        let (count, what) = match fate {
            Fate::Kill => (&mut self.kills, "kill points"),
            Fate::Pause => (&mut self.pauses, "pauses"),
        };
        *count += tally.points;
        let of = match tally.points {
            points if points == tally.len + 1 => String::new(),
            _ => format!(" of {}", tally.len + 1),
        };
        let effect = tally.effect.map(|at| format!(", effect at {at}")).unwrap_or_default();
        let rounds = Some(tally.rounds).filter(|n| *n > 1);
        let rounds = rounds.map(|n| format!(", {n} rounds of a string copy")).unwrap_or_default();
        let strays = Some(tally.strays).filter(|n| *n > 0).map(|n| format!(", {n} strayed"));
        let strays = strays.unwrap_or_default();
        self.end(&format!("ok ({}{of} {what}{effect}{rounds}{strays})", tally.points));
    }

    fn fail(&mut self, text: &str) {
        self.failed += 1;
        sweep_up();
        let told = format!("---- {} stdout ----\n{text}\n\n", self.line);
        let _ = { self.failures }.write_all(told.as_bytes());
        self.end(&format!("FAILED ({text})"));
    }

    /// Runs a cell. Where its effect begins, if it came to that.
    pub(crate) fn run<C: Cell>(
        &mut self,
        name: &str,
        fate: Fate,
        plan: Plan,
        cell: &C,
    ) -> Option<usize> {
        if !self.begin(name) {
            return None;
        }
        match sweep(cell, &self.journal, fate, plan) {
            Ok(tally) => {
                let effect = tally.effect;
                self.pass(fate, tally);
                effect
            }
            Err(Fault { step, at, text }) => {
                self.fail(&format!("at step {step}, {at}: {text}"));
                None
            }
        }
    }

    /// One operation in one state: killed at every instruction and judged by a survivor that drains; then
    /// by one that resumes, and paused, at every instruction near the effect and at some others.
    fn stream<L: Lane>(&mut self, lane: &L, label: &str, op: Op, state: State, budget: usize) {
        let journal = self.journal.clone();
        let mut around = None;
        for (after, fate, suffix) in [
            (After::Drain, Fate::Kill, ""),
            (After::Resume, Fate::Kill, "_resume"),
            (After::Drain, Fate::Pause, "_pause"),
        ] {
            let name = format!("{}_{label}_{}{suffix}", lane.label(), state.label);
            let budget = if suffix.is_empty() { budget } else { budget.min(SOME) };
            let plan = self.plan(budget, around);
            match Stream::new(lane, &journal, op, state, after) {
                Ok(cell) => around = self.run(&name, fate, plan, &cell).or(around),
                Err(text) => self.fail(&text),
            }
        }
    }

    fn sleeps<L: Lane>(&mut self, lane: &L) {
        let journal = self.journal.clone();
        for (side, deed, label) in [
            (Side::Tx, sleep::Deed::Move, "push_to_sleeper"),
            (Side::Rx, sleep::Deed::Move, "pop_from_sleeper"),
            (Side::Tx, sleep::Deed::Close, "close_producer_of_sleeper"),
            (Side::Rx, sleep::Deed::Close, "close_consumer_of_sleeper"),
            (Side::Tx, sleep::Deed::Attach, "attach_producer_to_sleeper"),
            (Side::Rx, sleep::Deed::Attach, "attach_consumer_to_sleeper"),
        ] {
            let cell = match Sleep::new(lane, &journal, side, deed) {
                Ok(cell) => cell,
                Err(text) => return self.fail(&text),
            };
            let name = format!("{}_{label}", lane.label());
            let around = self.run(&name, Fate::Kill, self.plan(FEW, None), &cell);
            self.run(&format!("{name}_pause"), Fate::Pause, self.plan(SOME, around), &cell);
        }
    }

    fn lives<L: Lane>(&mut self, lane: &L) {
        let journal = self.journal.clone();
        let label = lane.label();
        for (side, end) in [(Side::Tx, "producer"), (Side::Rx, "consumer")] {
            let attach = |after| Attach { lane, journal: &journal, side, after, corpse: None };
            let name = format!("{label}_attach_{end}");
            self.run(&name, Fate::Kill, self.plan(FEW, None), &attach(After::Drain));
            let plan = self.plan(SOME, None);
            self.run(&format!("{name}_resume"), Fate::Kill, plan, &attach(After::Resume));
            self.run(&format!("{name}_pause"), Fate::Pause, plan, &attach(After::Drain));
            let plan = self.plan(FEW, None);
            self.run(&format!("{label}_close_{end}"), Fate::Kill, plan, &Close { lane, side });
        }
        for (deed, what) in [
            (life::Deed::Create, "create"),
            (life::Deed::Open, "open"),
            (life::Deed::Drop, "drop_queue"),
            (life::Deed::Remove, "remove"),
            (life::Deed::Force, "remove_forced"),
        ] {
            let cell = Named { lane, journal: &journal, deed };
            let name = format!("{label}_{what}");
            let around = self.run(&name, Fate::Kill, self.plan(FEW, None), &cell);
            if deed == life::Deed::Drop {
                // Between looking whose name it is and removing it, the name can become another's. The
                // kernel has no call that does both.
                let name = format!("{label}_known_drop_and_replace");
                if self.filters.iter().any(|filter| name.contains(filter)) {
                    self.run(&name, Fate::Pause, self.plan(ALL, around), &cell);
                } else if self.begin(&name) {
                    self.end("ignored");
                }
            }
            if deed == life::Deed::Remove {
                self.run(&format!("{name}_pause"), Fate::Pause, self.plan(SOME, around), &cell);
            }
        }
    }

    /// The first holder dies in a push or pop, its successor while it takes its place, a third goes on.
    fn twice<L: Lane>(&mut self, lane: &L, left: usize) {
        let journal = self.journal.clone();
        for (side, op, label) in [
            (Side::Tx, Op::Push(PushBy::Try), "push_then_attach"),
            (Side::Rx, Op::Pop(PopBy::Try), "pop_then_attach"),
        ] {
            let state = State { label: "two", left: Some(left), fill: Fill::Exactly(2) };
            let name = format!("{}_{label}", lane.label());
            if !self.begin(&name) {
                continue;
            }
            match self.twice_at(lane, &journal, side, op, state) {
                Ok(tally) => self.pass(Fate::Kill, tally),
                Err(text) => self.fail(&text),
            }
        }
    }

    fn twice_at<L: Lane>(
        &self,
        lane: &L,
        journal: &Journal,
        side: Side,
        op: Op,
        state: State,
    ) -> Result<Tally, String> {
        let stream = Stream::new(lane, journal, op, state, After::Drain)?;
        let said = |fault: Fault| format!("at step {}, {}: {}", fault.step, fault.at, fault.text);
        let (trace, effect) = bisect(&stream, journal)?;
        let len = trace.len();
        // The window between the effect and its mirror in the segment, and what is around it.
        let dense = effect.saturating_sub(2)..(effect + if self.full { 60 } else { 8 }).min(len);
        let coarse = [effect + 12, effect + 20, effect + 30, effect + 45, len];
        let mut steps: Vec<usize> = dense.chain(coarse).filter(|at| *at <= len).collect();
        steps.sort_unstable();
        steps.dedup();
        let mut all = Tally { effect: Some(effect), ..Tally::default() };
        for (index, step) in steps.into_iter().enumerate() {
            let corpse = Corpse { stream: &stream, trace: &trace, step, done: step >= effect };
            let after = if index % 2 == 0 { After::Drain } else { After::Resume };
            let cell = Attach { lane, journal, side, after, corpse: Some(&corpse) };
            let mut plan = self.plan(FEW / 10, None);
            plan.offset += index;
            let tally = sweep(&cell, journal, Fate::Kill, plan)
                .map_err(|fault| format!("first killed at step {step}, second {}", said(fault)))?;
            all.points += tally.points;
            all.strays += tally.strays;
            all.len += tally.len;
        }
        Ok(all)
    }

    /// Each operation of one participant among others.
    fn crowd<G: Goods>(&mut self, many: &many::Many<G>, main: bool) {
        use many::Deed::*;
        let journal = self.journal.clone();
        let full = many.capacity();
        let states = [
            many::State { label: "new", gone: 0, fill: 0, gap: false, alone: false },
            many::State { label: "one", gone: 2 * full + 1, fill: 1, gap: false, alone: false },
            many::State {
                label: "almost",
                gone: full + 1,
                fill: full - 1,
                gap: false,
                alone: false,
            },
            many::State { label: "full", gone: 3, fill: full, gap: false, alone: false },
            many::State {
                label: "gap",
                gone: full + 2,
                fill: full.min(2) - 1,
                gap: true,
                alone: false,
            },
            // The last place is free.
            many::State {
                label: "alone",
                gone: 2 * full + 1,
                fill: full - 1,
                gap: false,
                alone: true,
            },
        ];
        let fast = [Push, PushSlice, Commit, Abort, Pop, PopSlice, Take, GiveBack];
        let once = [AttachProducer, AttachConsumer, CloseProducer, CloseConsumer];
        for (state, deed) in
            states.iter().flat_map(|s| fast.iter().chain(&once).map(move |d| (s, *d)))
        {
            let label = format!("{}_{deed:?}_{}", many.label, state.label).to_lowercase();
            let rare = once.contains(&deed);
            if state.alone && !matches!(deed, Push | AttachProducer) {
                continue;
            }
            // In a ring that asks for no acknowledgement, to give back is to have taken.
            if rare && !(state.label == "one" || state.alone)
                || deed == GiveBack && !many.is_acked()
            {
                continue;
            }
            // How they come and go is the same whatever goes through.
            let same = matches!(deed, PushSlice | PopSlice) || rare && cfg!(debug_assertions);
            if same && !G::BATCHES {
                continue;
            }
            let telling = state.label == "one" || state.alone || state.label == "gap" && G::BATCHES;
            if cfg!(debug_assertions) && !(main || self.full || telling) {
                continue;
            }
            let budget = match (rare, main) {
                (true, _) => FEW,
                // Of the unoptimised operations, which are long, a part is enough: the release build takes all.
                (false, true) if self.full => ALL,
                (false, true) if state.label == "one" && cfg!(debug_assertions) => 3 * SOME,
                (false, true) if state.label == "one" || state.alone => ALL,
                (false, _) => SOME,
            };
            let case = |first| many::Case {
                many,
                journal: &journal,
                deed,
                state: *state,
                first,
                corpse: None,
            };
            let around =
                self.run(&label, Fate::Kill, self.plan(budget, None), &case(many::First::Pop));
            let some = self.plan(budget.min(SOME), around);
            self.run(&format!("{label}_resume"), Fate::Kill, some, &case(many::First::Push));
            let some = self.plan(if rare { SOME } else { budget }, around);
            self.run(&format!("{label}_pause"), Fate::Pause, some, &case(many::First::Pop));
        }
    }

    /// One participant dies in an operation, and the one that meets what it left dies while it does.
    fn pairs<G: Goods>(&mut self, many: &many::Many<G>) {
        use many::Deed::*;
        let state = many::State { label: "one", gone: 5, fill: 1, gap: false, alone: false };
        let none = many::State { label: "none", gone: 6, fill: 0, gap: false, alone: false };
        let alone = many::State { label: "alone", alone: true, ..none };
        for (first, second, state) in [
            (Commit, Pop, none),
            (Commit, Push, state),
            (PushSlice, PopSlice, none),
            (PushSlice, Take, none),
            (Commit, AttachProducer, none),
            (Push, AttachProducer, alone),
            (Push, Push, alone),
            (Push, Pop, none),
            (Take, Take, state),
            (Take, Pop, state),
            (Take, AttachConsumer, state),
            (Pop, Pop, state),
            (Abort, Take, state),
        ] {
            let name = format!("{}_pair_{first:?}_then_{second:?}_{}", many.label, state.label)
                .to_lowercase();
            let few = !G::BATCHES && cfg!(debug_assertions) && !self.full;
            let some = matches!((first, second), (Commit, Pop) | (Take, Take));
            if first == PushSlice && !G::BATCHES || few && !some || !self.begin(&name) {
                continue;
            }
            match self.pairs_of(many, first, second, state) {
                Ok(tally) => {
                    self.pairs += tally.points;
                    self.pass(Fate::Kill, tally);
                }
                Err(text) => self.fail(&text),
            }
        }
    }

    fn pairs_of<G: Goods>(
        &self,
        many: &many::Many<G>,
        first: many::Deed,
        second: many::Deed,
        state: many::State,
    ) -> Result<Tally, String> {
        let journal = self.journal.clone();
        let dead = many::Case {
            many,
            journal: &journal,
            deed: first,
            state,
            first: many::First::Pop,
            corpse: None,
        };
        let (trace, effect) = bisect(&dead, &journal)?;
        let len = trace.len();
        // Every instruction from before the claim to after the effect, and some others.
        let window = if self.full { 40 } else { 6 };
        let dense =
            effect.saturating_sub(window)..=(effect + if self.full { 6 } else { 1 }).min(len);
        let coarse = (0..=len).step_by(if self.full { len.div_ceil(10) } else { len.div_ceil(3) });
        let mut steps: Vec<usize> = dense.chain(coarse).collect();
        steps.sort_unstable();
        steps.dedup();
        let mut all = Tally { effect: Some(effect), ..Tally::default() };
        for (index, step) in steps.into_iter().enumerate() {
            let done = step >= effect && dead.effect() == Effect::Once;
            let corpse = Some(many::Corpse { case: &dead, trace: &trace, step, done });
            let after = [many::First::Pop, many::First::Push][index % 2];
            let case =
                many::Case { many, journal: &journal, deed: second, state, first: after, corpse };
            let budget = if self.full { 30 } else { 4 };
            let plan = Plan { budget, offset: index, ..self.plan(budget, None) };
            let tally =
                sweep(&case, &journal, Fate::Kill, Plan { budget, ..plan }).map_err(|fault| {
                    let second = format!("at step {}, {}: {}", fault.step, fault.at, fault.text);
                    format!("first killed at step {step}, second {second}")
                })?;
            all.points += tally.points;
            all.strays += tally.strays;
            all.len += tally.len;
        }
        Ok(all)
    }

    /// One that is alone dies in a push, and its place's generations come round while a newcomer is stopped.
    fn heirs<G: Goods>(&mut self, many: &many::Many<G>) {
        let journal = self.journal.clone();
        let state = many::State { label: "alone", gone: 0, fill: 0, gap: false, alone: true };
        let push = many::Case {
            many,
            journal: &journal,
            deed: many::Deed::Push,
            state,
            first: many::First::Pop,
            corpse: None,
        };
        let mut found = None;
        // From before it says where it writes to before its value is there.
        for before in [1, 4, 8, 12, 16, 24] {
            let name = format!("{}_heirs_{before}", many.label);
            if !self.begin(&name) {
                continue;
            }
            if found.is_none() {
                found = Some(bisect(&push, &journal));
            }
            let Some(Ok((trace, effect))) = &found else {
                self.fail("no trace");
                continue;
            };
            let step = effect.saturating_sub(before);
            let cell = Heirs { journal: &journal, push: &push, trace, step };
            match sweep(&cell, &journal, Fate::Pause, self.plan(SOME, None)) {
                Ok(tally) => self.pass(Fate::Pause, tally),
                Err(fault) => {
                    self.fail(&format!("at step {}, {}: {}", fault.step, fault.at, fault.text));
                }
            }
        }
    }

    /// A flaw that must be found, and found for what it is: by one of its signs.
    fn flaw(&mut self, flaw: Flaw, (verb, op): (&str, Op), fate: Fate, signs: &[&str]) {
        let toy = Toy::new(flaw);
        let name = format!("calibration_{}_{verb}_{fate:?}", toy.label()).to_lowercase();
        if !self.begin(&name) {
            return;
        }
        let state = State { label: "one", left: None, fill: Fill::Exactly(1) };
        let journal = self.journal.clone();
        let cell = Stream::new(&toy, &journal, op, state, After::Drain).expect("a toy");
        let plan = Plan { only: None, ..self.plan(ALL, None) };
        match sweep(&cell, &journal, fate, plan) {
            Ok(tally) if signs.is_empty() => self.pass(fate, tally),
            Err(fault) if signs.iter().any(|sign| fault.text.contains(sign)) => {
                self.passed += 1;
                self.end(&format!("ok (found at step {}: {})", fault.step, fault.text));
            }
            other => self.fail(&format!("not found: {other:?}")),
        }
    }
}

fn state(label: &'static str, left: usize, fill: Fill) -> State {
    State { label, left: Some(left), fill }
}

fn values(matrix: &mut Matrix) {
    let push = Op::Push(PushBy::Try);
    let pop = Op::Pop(PopBy::Try);
    let word = Values::<u64>::new("u64", 8, 0);
    // The positions pass 2^64 on the way.
    let late = Values::<u64>::new("u64_late", 8, u64::MAX - 17);
    let wide = Values::<Wide>::new("wide", 4, 0);
    for (state, budget) in [
        (State { label: "new", left: None, fill: Fill::Exactly(0) }, SOME),
        (state("empty", 5, Fill::Exactly(0)), ALL),
        (state("one", 5, Fill::Exactly(1)), ALL),
        (state("almost", 5, Fill::ButFor(1)), SOME),
        (state("refresh", 5, Fill::TakenFrom), ALL),
        (state("full", 5, Fill::ButFor(0)), ALL),
        (state("wrap", 1, Fill::Exactly(1)), ALL),
    ] {
        matrix.stream(&word, "push", push, state, budget);
        matrix.stream(&word, "pop", pop, state, budget);
        let left = state.left.map(|left| left.min(3));
        let state = State { left, ..state };
        let most = if state.label == "empty" { budget } else { SOME };
        matrix.stream(&wide, "push", push, state, most);
        let most = if state.label == "one" { budget } else { SOME };
        matrix.stream(&wide, "pop", pop, state, most);
    }
    for at in [2, 1, 8] {
        let state = State { left: Some(at), label: "wrap", fill: Fill::Exactly(1) };
        matrix.stream(&late, &format!("push{at}"), push, state, SOME);
        matrix.stream(&late, &format!("pop{at}"), pop, state, SOME);
    }
    let waiting = state("asleep", 5, Fill::ButFor(0));
    matrix.stream(&word, "push", Op::Push(PushBy::Wait(NAP)), waiting, SOME);
    let waiting = state("asleep", 5, Fill::Exactly(0));
    matrix.stream(&word, "pop", Op::Pop(PopBy::Wait(NAP)), waiting, SOME);
    matrix.sleeps(&word);
    matrix.lives(&word);
    matrix.twice(&word, 3);
    matrix.twice(&wide, 3);
}

fn records(matrix: &mut Matrix) {
    for (lane, main) in [
        (Records::new("mirrored", true, 8), true),
        (Records::new("padded", false, 8), true),
        (Records::new("mirrored64", true, 64), false),
        (Records::new("padded64", false, 64), false),
    ] {
        let (unit, exact) = (lane.unit(), lane.first_footprint());
        for (state, weight) in [
            (state("empty", 2048, Fill::Exactly(0)), 2),
            (state("one", 2048, Fill::Exactly(1)), 0),
            (state("almost", 2048, Fill::ButFor(1)), 0),
            (state("refresh", 2048, Fill::TakenFrom), 0),
            (state("full", 2048, Fill::ButFor(0)), 1),
            // The record in flight does not fit before the end; its header only just does; it fits
            // exactly, and the next header is at the front.
            (state("wrap", 2 * unit, Fill::Exactly(0)), 2),
            (state("edge", unit, Fill::Exactly(0)), 0),
            (state("exact", exact, Fill::Exactly(0)), 0),
        ] {
            let some = |least: i32| if main && weight >= least { ALL } else { SOME };
            matrix.stream(&lane, "push", Op::Push(PushBy::Try), state, some(2));
            if main {
                matrix.stream(&lane, "reserve", Op::Push(PushBy::Reserve), state, SOME);
                if matches!(state.fill, Fill::Exactly(_)) {
                    matrix.stream(&lane, "shorten", Op::Push(PushBy::Shorten), state, SOME);
                }
                matrix.stream(&lane, "abort", Op::Push(PushBy::Abort), state, SOME);
            }
            let at_least_one = match state.fill {
                Fill::Exactly(0) if state.label != "empty" => Fill::Exactly(1),
                fill => fill,
            };
            let state = State { fill: at_least_one, ..state };
            matrix.stream(&lane, "pop", Op::Pop(PopBy::Try), state, some(1));
            if main {
                matrix.stream(&lane, "read", Op::Pop(PopBy::Read), state, SOME);
            }
        }
        matrix.twice(&lane, 3 * unit);
        if main {
            matrix.sleeps(&lane);
            matrix.lives(&lane);
        }
    }
}

/// What takes several steps of a kind: batches, released together, and streams, released piece by piece.
fn several(matrix: &mut Matrix) {
    fn lane<L: Lane>(matrix: &mut Matrix, lane: &L, unit: usize, main: bool) {
        for (state, push, pop) in [
            (state("empty", 2048, Fill::Exactly(0)), ALL, SOME),
            (state("one", 2048, Fill::Exactly(1)), SOME, ALL),
            (state("refresh", 2048, Fill::TakenFrom), SOME, SOME),
            (state("wrap", 2 * unit, Fill::Exactly(1)), SOME, SOME),
        ] {
            if main || state.label == "wrap" {
                matrix.stream(lane, "push", Op::Push(PushBy::Try), state, push);
                matrix.stream(lane, "pop", Op::Pop(PopBy::Try), state, pop);
            }
        }
        matrix.twice(lane, 3 * unit);
    }
    for (label, mirrored, align) in [("mirrored", true, 8), ("padded64", false, 64)] {
        let records = || Records::new(label, mirrored, align);
        let batches = Batches(records());
        lane(matrix, &batches, align, mirrored);
        let abandoned = state("abandoned", 2048, Fill::Exactly(1));
        matrix.stream(&batches, "abort", Op::Push(PushBy::Abort), abandoned, SOME);
        lane(matrix, &Streams(records()), align, mirrored);
    }
}

/// Rings for many: each operation in each state; and two deaths, the second one in what meets the first.
fn crowds(matrix: &mut Matrix) {
    let word = |label, capacity, delivery| many::Many::<Of<u64>>::new(label, capacity, delivery);
    matrix.crowd(&word("many", 4, Delivery::AtMostOnce), true);
    matrix.crowd(&word("many1", 1, Delivery::AtMostOnce), false);
    matrix.crowd(&word("acked", 4, Delivery::AtLeastOnce), true);
    // Long values, whose claims are apart from their slots.
    let wide = |label, capacity, delivery| many::Many::<Of<Wide>>::new(label, capacity, delivery);
    matrix.crowd(&wide("many_wide", 4, Delivery::AtMostOnce), false);
    matrix.crowd(&wide("acked_wide", 2, Delivery::AtLeastOnce), false);
    matrix.pairs(&wide("many_wide", 4, Delivery::AtMostOnce));
    if matrix.full {
        matrix.pairs(&wide("acked_wide", 4, Delivery::AtLeastOnce));
    }
    matrix.pairs(&word("many", 4, Delivery::AtMostOnce));
    matrix.heirs(&word("many", 4, Delivery::AtMostOnce));
    matrix.pairs(&word("acked", 4, Delivery::AtLeastOnce));
    let parcels = |label, delivery| many::Many::<Parcels>::new(label, 4, delivery);
    let (one, other) = (Delivery::AtMostOnce, Delivery::AtLeastOnce);
    matrix.crowd(&parcels("many_records", one), false);
    matrix.crowd(&parcels("acked_records", other), false);
    matrix.pairs(&parcels("many_records", one));
    matrix.pairs(&parcels("acked_records", other));
}

/// Several values at once, in slots and side by side, and single ones side by side.
fn spans(matrix: &mut Matrix) {
    fn lane<L: Lane>(matrix: &mut Matrix, lane: &L) {
        for (state, budget) in [
            (state("empty", 5, Fill::Exactly(0)), ALL),
            (state("one", 5, Fill::Exactly(1)), SOME),
            (state("refresh", 5, Fill::TakenFrom), SOME),
            (state("full", 5, Fill::ButFor(0)), SOME),
            (state("wrap", 2, Fill::Exactly(0)), SOME),
            (state("edge", 3, Fill::Exactly(1)), SOME),
        ] {
            matrix.stream(lane, "commit", Op::Push(PushBy::Try), state, budget);
            if matches!(state.fill, Fill::Exactly(_)) {
                matrix.stream(lane, "shorten", Op::Push(PushBy::Shorten), state, SOME);
            }
            let fill = if state.fill == Fill::Exactly(0) { Fill::Exactly(1) } else { state.fill };
            matrix.stream(lane, "release", Op::Pop(PopBy::Try), State { fill, ..state }, budget);
        }
        let wrap = state("wrap", 2, Fill::Exactly(1));
        matrix.stream(lane, "set", Op::Push(PushBy::Reserve), wrap, SOME);
        matrix.stream(lane, "abort", Op::Push(PushBy::Abort), wrap, SOME);
        matrix.stream(lane, "read", Op::Pop(PopBy::Read), wrap, SOME);
        let full = state("asleep", 5, Fill::ButFor(0));
        matrix.stream(lane, "commit", Op::Push(PushBy::Wait(NAP)), full, SOME);
        let empty = state("asleep", 5, Fill::Exactly(0));
        matrix.stream(lane, "release", Op::Pop(PopBy::Wait(NAP)), empty, SOME);
        matrix.twice(lane, 2);
    }
    lane(matrix, &Spans::<u64>::new("spans", Layout::Slots, 16, 0));
    lane(matrix, &Spans::<u64>::new("dense_spans", Layout::Dense, 16, 0));
    lane(matrix, &Spans::<Wide>::new("dense_spans_late", Layout::Dense, 16, u64::MAX - 33));
    let dense = Values::<u64>::new("dense", 8, 0).layout(Layout::Dense);
    for state in [
        state("one", 5, Fill::Exactly(1)),
        state("refresh", 5, Fill::TakenFrom),
        state("wrap", 1, Fill::Exactly(1)),
    ] {
        matrix.stream(&dense, "push", Op::Push(PushBy::Try), state, SOME);
        matrix.stream(&dense, "pop", Op::Pop(PopBy::Try), state, SOME);
    }
    matrix.sleeps(&dense);
    matrix.twice(&dense, 3);
}

/// All cells of one process, and what came of them.
fn work(share: (u64, u64), totals: &Journal, failures: &File) -> bool {
    let mut matrix = Matrix::new(share, failures);
    let (push, pop) = (Op::Push(PushBy::Try), Op::Pop(PopBy::Try));
    for op in [("push", push), ("pop", pop)] {
        matrix.flaw(Flaw::None, op, Fate::Kill, &[]);
        matrix.flaw(Flaw::None, op, Fate::Pause, &[]);
    }
    matrix.flaw(Flaw::IndexFirst, ("push", push), Fate::Kill, &["torn"]);
    // The victim's own check, or whoever still pushes when the victim has gone over it.
    let panicked = ["assertion `left == right` failed", "after it went on: Closed"];
    matrix.flaw(Flaw::AckFirst, ("pop", pop), Fate::Pause, &panicked);
    matrix.flaw(Flaw::Lock, ("push", push), Fate::Kill, &["stuck at a lock"]);
    values(&mut matrix);
    records(&mut matrix);
    several(&mut matrix);
    spans(&mut matrix);
    super::call::calls(&mut matrix);
    crowds(&mut matrix);
    super::object::objects(&mut matrix);
    super::meet::meetings(&mut matrix);
    super::give::gifts(&mut matrix);
    totals.add([matrix.passed, matrix.failed, matrix.kills, matrix.pauses]);
    totals.also(matrix.pairs);
    matrix.failed == 0
}

pub(crate) fn main() -> ExitCode {
    let begun = Instant::now();
    if std::env::args().any(|arg| arg == "--list") {
        return ExitCode::SUCCESS;
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = number("RINGLANE_DEATH_JOBS").unwrap_or(cores.min(4)).max(1);
    let totals = Journal::new();
    let failures = memfd_create(c"failures", MFdFlags::MFD_CLOEXEC).expect("a file for failures");
    let mut failures = File::from(failures);
    println!("{jobs} processes, each steps its own victims");
    let workers: Vec<_> = (0..jobs)
        .map(|job| {
            let share = (job as u64, jobs as u64);
            fork_child(|| i32::from(!work(share, &totals, &failures))).expect("fork")
        })
        .collect();
    let lost = workers.into_iter().filter(|worker| reap(*worker).is_err()).count();
    let [passed, mut failed, kills, pauses] = totals.all();
    // One that was ended by its watchdog added nothing up.
    if failed == 0 {
        failed = lost as u64;
    }
    let pairs = totals.further();
    println!("\n{kills} kill points, of them {pairs} second deaths; {pauses} pauses");
    let mut told = String::new();
    failures.rewind().and_then(|()| failures.read_to_string(&mut told)).expect("read the failures");
    if !told.is_empty() {
        println!("\nfailures:\n\n{told}");
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    let time = begun.elapsed().as_secs_f64();
    println!("test result: {verdict}. {passed} passed; {failed} failed; finished in {time:.2}s");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
