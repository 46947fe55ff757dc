//! The matrix.

mod journal;
mod lane;
mod stream;
mod sweep;
mod tracer;

use journal::Journal;
use lane::{Lane, PopBy, PushBy, Records, Values, Wide};
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;
use stream::{After, Fill, Op, State, Stream};
use sweep::{Cell, Fate, Fault, Plan, Tally};

/// What was asked for, and what was found.
struct Matrix {
    journal: Journal,
    full: bool,
    seed: usize,
    only: Option<usize>,
    filters: Vec<String>,
    passed: usize,
    failed: usize,
    kills: usize,
    pauses: usize,
}

impl Matrix {
    fn new() -> Matrix {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
        let seed = number("RINGLANE_DEATH_SEED").unwrap_or(std::process::id() as usize);
        Matrix {
            journal: Journal::new(),
            full: std::env::var("RINGLANE_DEATH").is_ok_and(|value| value == "full"),
            seed,
            only: number("RINGLANE_DEATH_STEP"),
            filters: std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect(),
            passed: 0,
            failed: 0,
            kills: 0,
            pauses: 0,
        }
    }

    fn wanted(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter.as_str()))
    }

    /// Runs a cell and prints its line.
    fn run<C: Cell>(&mut self, name: &str, fate: Fate, stride: usize, cell: &C) -> Option<Tally> {
        if !self.wanted(name) {
            return None;
        }
        print!("test {name} ... ");
        let _ = std::io::stdout().flush();
        let stride = if self.full { 1 } else { stride };
        let plan = Plan { stride, offset: self.seed, most: 1 << 20, only: self.only };
        match sweep::sweep(cell, &self.journal, fate, plan) {
            Ok(tally) => {
                self.passed += 1;
                let of = if stride > 1 { format!(" of {}", tally.len + 1) } else { String::new() };
                let effect = tally.effect.map(|at| format!(", effect at {at}")).unwrap_or_default();
                let what = match fate {
                    Fate::Kill => "kill points",
                    Fate::Pause => "pauses",
                };
                let strays = match tally.strays {
                    0 => String::new(),
                    strays => format!(", {strays} strays"),
                };
                println!("ok ({}{of} {what}{effect}{strays})", tally.points);
                match fate {
                    Fate::Kill => self.kills += tally.points,
                    Fate::Pause => self.pauses += tally.points,
                }
                Some(tally)
            }
            Err(Fault { step, at, text }) => {
                self.failed += 1;
                println!("FAILED at step {step}, {at}: {text}");
                None
            }
        }
    }

    fn stream<L: Lane>(&mut self, lane: &L, op: (&str, Op), state: State) {
        for (after, fate, suffix) in [
            (After::Drain, Fate::Kill, "drain"),
            (After::Resume, Fate::Kill, "resume"),
            (After::Drain, Fate::Pause, "pause"),
        ] {
            let name = format!("{}_{}_{}_{suffix}", lane.label(), op.0, state.label);
            let journal = Journal::clone(&self.journal);
            match Stream::new(lane, &journal, op.1, state, after) {
                Ok(cell) => {
                    self.run(&name, fate, 1, &cell);
                }
                Err(text) => {
                    self.failed += 1;
                    println!("test {name} ... FAILED: {text}");
                }
            }
        }
    }
}

fn states(left: &[(&'static str, usize)]) -> Vec<State> {
    let state = |label, left, fill| State { label, left, fill };
    let mut states = vec![
        state("new", None, Fill::Exactly(0)),
        state("empty", Some(left[0].1), Fill::Exactly(0)),
        state("one", Some(left[0].1), Fill::Exactly(1)),
        state("almost", Some(left[0].1), Fill::ButFor(1)),
        state("refresh", Some(left[0].1), Fill::TakenFrom),
        state("full", Some(left[0].1), Fill::ButFor(0)),
    ];
    for (label, left) in left {
        states.push(state(label, Some(*left), Fill::Exactly(0)));
    }
    states
}

pub(crate) fn main() -> ExitCode {
    let begun = Instant::now();
    let mut matrix = Matrix::new();
    println!("seed {}", matrix.seed);
    let push = ("push", Op::Push(PushBy::Try));
    let pop = ("pop", Op::Pop(PopBy::Try));
    let short = Values::<u64>::new("u64", 8, 0);
    let wide = Values::<Wide>::new("wide", 4, 0);
    for state in states(&[("wrap", 1)]) {
        for op in [push, pop] {
            matrix.stream(&short, op, state);
            matrix.stream(&wide, op, state);
        }
    }
    let _ = (
        Records::new("", true, 8).first_footprint(),
        PushBy::Reserve,
        PushBy::Shorten,
        PushBy::Abort,
        PopBy::Read,
    );
    let Matrix { passed, failed, kills, pauses, .. } = matrix;
    println!("\n{kills} kill points, {pauses} pauses");
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    let time = begun.elapsed().as_secs_f64();
    println!("test result: {verdict}. {passed} passed; {failed} failed; finished in {time:.2}s");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
