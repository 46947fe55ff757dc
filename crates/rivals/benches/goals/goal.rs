//! What is to be reached, and whether it is.

use crate::outside;
use ringlane_bench::{Placement, Results, Row, Table, median};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a row is measured against, in the same round.
enum Against {
    /// The two-line floor before and after it.
    Floor,
    /// Another row; of several, the one that does best.
    Rows(&'static [&'static str]),
}

/// A bound of a ratio of times, or of rates.
#[derive(Clone, Copy)]
enum Bound {
    /// So many times the other's time at most.
    Time(f64),
    /// So many times the other's rate at least.
    Rate(f64),
}

struct Goal {
    what: &'static str,
    row: &'static str,
    against: Against,
    bound: Bound,
}

const fn goal(what: &'static str, row: &'static str, against: Against, bound: Bound) -> Goal {
    Goal { what, row, against, bound }
}

use Against::{Floor, Rows};
use Bound::{Rate, Time};

const GOALS: &[Goal] = &[
    goal("round trip 8 B / two lines", "spsc round trip 8 B", Floor, Time(1.0)),
    goal("round trip 56 B / two lines", "spsc round trip 56 B", Floor, Time(1.25)),
    goal("call cell / one line", "call cell round trip 8 B", Rows(&["one line"]), Time(1.1)),
    goal(
        "session round trip 64 B / spsc",
        "session round trip 64 B",
        Rows(&["spsc round trip 64 B"]),
        Time(1.5),
    ),
    goal(
        "session round trip 64 B / Unix socket",
        "session round trip 64 B",
        Rows(&["unix socket round trip 64 B"]),
        Rate(10.0),
    ),
    goal(
        "session round trip 64 B, both asleep / Unix socket",
        "session round trip 64 B, both asleep",
        Rows(&["unix socket round trip 64 B, both asleep"]),
        Time(1.0),
    ),
    goal(
        "session one way 1 MiB / Unix socket",
        "session one way 1 MiB",
        Rows(&["unix socket one way 1 MiB"]),
        Rate(2.0),
    ),
    goal(
        "one way 8 B, one a call / rtrb (threads)",
        "spsc one way 8 B",
        Rows(&[
            "rtrb one way 8 B, 2048 slots",
            "rtrb one way 8 B, 1024 slots",
            "rtrb one way 8 B, 512 slots",
        ]),
        Rate(2.5),
    ),
    goal(
        "one way 8 B, spans of 64 / rtrb's chunks (threads)",
        "spsc one way 8 B, spans of 64",
        Rows(&[
            "rtrb chunks of 64 x 8 B, 2048 slots",
            "rtrb chunks of 64 x 8 B, 1024 slots",
            "rtrb chunks of 64 x 8 B, 512 slots",
        ]),
        Rate(1.1),
    ),
    goal(
        "one way 8 B, spans of 64 / bare in place",
        "spsc one way 8 B, spans of 64",
        Rows(&["spans of 64 x 8 B in place"]),
        Rate(0.9),
    ),
    goal(
        "one way 8 B, spans of 64 / bare in place, 64 KiB",
        "spsc one way 8 B, spans of 64",
        Rows(&["spans of 64 x 8 B in place, 64 KiB"]),
        Rate(0.9),
    ),
    goal(
        "one way 56 B / rtrb (threads)",
        "spsc one way 56 B",
        Rows(&[
            "rtrb one way 56 B, 256 slots",
            "rtrb one way 56 B, 128 slots",
            "rtrb one way 56 B, 16 slots",
        ]),
        Rate(1.5),
    ),
    goal(
        "one way 1 KiB / rtrb (threads)",
        "spsc one way 1 KiB",
        Rows(&["rtrb one way 1 KiB, 16 slots", "rtrb one way 1 KiB, 8 slots"]),
        Rate(1.5),
    ),
    goal(
        "one way 1 KiB, in place / rtrb (threads)",
        "spsc one way 1 KiB, in place",
        Rows(&["rtrb one way 1 KiB, 16 slots", "rtrb one way 1 KiB, 8 slots"]),
        Rate(1.5),
    ),
    goal(
        "frames of 64 KiB, 2 fit / bare in place",
        "record frames of 64 KiB, 2 fit",
        Rows(&["frames of 64 KiB in place, 2 fit"]),
        Rate(0.95),
    ),
    goal(
        "frames of 64 KiB, 64 fit / bare in place",
        "record frames of 64 KiB, 64 fit",
        Rows(&["frames of 64 KiB in place, 64 fit"]),
        Rate(0.95),
    ),
    goal(
        "frames of 1 MiB, 2 fit / bare in place",
        "record frames of 1 MiB, 2 fit",
        Rows(&["frames of 1 MiB in place, 2 fit"]),
        Rate(0.95),
    ),
    goal(
        "frames of 1 MiB, 4 fit / bare in place",
        "record frames of 1 MiB, 4 fit",
        Rows(&["frames of 1 MiB in place, 4 fit"]),
        Rate(0.95),
    ),
    goal(
        "frames of 8.3 MB, 2 fit / bare in place",
        "record frames of 8.3 MB, 2 fit",
        Rows(&["frames of 8.3 MB in place, 2 fit"]),
        Rate(0.95),
    ),
    goal(
        "round trip, both asleep / bare futex",
        "spsc round trip 8 B, both asleep",
        Rows(&["futex, both asleep"]),
        Time(1.1),
    ),
    goal(
        "one way 8 B, wake-capable / spinning only",
        "spsc one way 8 B",
        Rows(&["spsc one way 8 B, spinning only"]),
        Rate(0.97),
    ),
    goal(
        "one way 8 B, wake-capable / bare slots",
        "spsc one way 8 B",
        Rows(&["slots of 8 B"]),
        Rate(0.97),
    ),
];

/// Puts rows that are compared beside each other.
pub(crate) fn sort(rows: &mut [Row]) {
    rows.sort_by_key(|row| {
        let compared = |goal: &Goal| {
            goal.row == row.name
                || matches!(goal.against, Rows(others) if others.contains(&row.name))
        };
        GOALS.iter().position(compared)
    });
}

/// A goal, and what came out in one placement.
pub(crate) struct Verdict {
    what: String,
    bound: String,
    placement: Option<Placement>,
    measured: Option<String>,
    /// The row of the other that did best, and how many rounds were compared.
    basis: String,
    met: Option<bool>,
}

impl Verdict {
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "goal": self.what,
            "bound": self.bound,
            "placement": self.placement.map(|placement| placement.to_string()),
            "measured": self.measured,
            "basis": self.basis,
            "met": self.met,
        })
    }
}

/// All goals, by placement.
pub(crate) fn all(results: &Results) -> Result<Vec<Verdict>, String> {
    let mut verdicts: Vec<Verdict> = GOALS.iter().flat_map(|goal| judge(goal, results)).collect();
    verdicts.extend(memory()?);
    verdicts.push(system_calls());
    Ok(verdicts)
}

/// What a goal was measured by: the other's name and the ratios of times, for each placement.
fn ratios(goal: &Goal, results: &Results) -> BTreeMap<Placement, (&'static str, Vec<f64>)> {
    let mut best: BTreeMap<Placement, (&'static str, Vec<f64>)> = BTreeMap::new();
    match goal.against {
        Floor => {
            for (placement, ratios) in results.over_floor(goal.row) {
                best.insert(placement, ("floor", ratios));
            }
        }
        Rows(others) => {
            for &other in others {
                for (placement, ratios) in results.ratios(goal.row, other) {
                    // The other does best where ours takes longest beside it.
                    let better = best.get(&placement).is_none_or(|(_, known)| {
                        median(ratios.iter().copied()) > median(known.iter().copied())
                    });
                    if better {
                        best.insert(placement, (other, ratios));
                    }
                }
            }
        }
    }
    best
}

fn judge(goal: &Goal, results: &Results) -> Vec<Verdict> {
    let bound = match goal.bound {
        Time(most) => format!("at most {most}x"),
        Rate(least) => format!("at least {least}x"),
    };
    let verdict = |placement, measured, basis, met| Verdict {
        what: goal.what.to_owned(),
        bound: bound.clone(),
        placement,
        measured,
        basis,
        met,
    };
    let verdicts = ratios(goal, results).into_iter().map(|(placement, (other, ratios))| {
        let as_bound = |ratio: f64| match goal.bound {
            Time(_) => ratio,
            Rate(_) => 1.0 / ratio,
        };
        let ratio = as_bound(median(ratios.iter().copied()));
        let met = match goal.bound {
            Time(most) => ratio <= most,
            Rate(least) => ratio >= least,
        };
        let low = ratios.iter().copied().map(as_bound).fold(f64::INFINITY, f64::min);
        let high = ratios.iter().copied().map(as_bound).fold(0.0, f64::max);
        let measured = format!("{ratio:.2}x ({low:.2} to {high:.2})");
        let basis = format!("{} rounds, {other}", ratios.len());
        verdict(Some(placement), Some(measured), basis, Some(met))
    });
    let verdicts: Vec<Verdict> = verdicts.collect();
    if !verdicts.is_empty() {
        return verdicts;
    }
    let why = match results.row(goal.row) {
        None => "there is no such row yet",
        Some(_) => "no round was steady",
    };
    vec![verdict(None, None, why.to_owned(), None)]
}

/// How much of a segment a slot takes, and how much is none.
fn memory() -> Result<Vec<Verdict>, String> {
    let (small, large) = (1 << 10, 1 << 16);
    let sizes = [outside::segment_size(small)?, outside::segment_size(large)?];
    let slot = (sizes[1] - sizes[0]) as f64 / (large - small) as f64;
    let rest = sizes[0] - small as u64 * 16;
    let verdict = |what: &str, bound: &str, measured: String, met| Verdict {
        what: what.to_owned(),
        bound: bound.to_owned(),
        placement: None,
        measured: Some(measured),
        basis: "exact".to_owned(),
        met: Some(met),
    };
    Ok(vec![
        verdict("memory a slot of 8 B", "at most 16 B", format!("{slot} B"), slot <= 16.0),
        verdict("memory that is no slot", "at most 8192 B", format!("{rest} B"), rest <= 8192),
    ])
}

fn system_calls() -> Verdict {
    let counted = outside::system_calls("spsc one way 8 B");
    Verdict {
        what: "system calls a message while both are awake".to_owned(),
        bound: "0".to_owned(),
        placement: None,
        measured: counted.as_ref().ok().map(|counted| counted.to_string()),
        // Some are from sleeps, while the host or another process has one of the processors.
        met: counted.as_ref().ok().map(|counted| counted.calls < counted.messages / 100_000),
        basis: match counted {
            Ok(_) => "strace, the difference of two runs".to_owned(),
            Err(why) => format!("not counted: {why}"),
        },
    }
}

/// The goals as a table.
pub(crate) fn table(verdicts: &[Verdict]) -> Table {
    let heading = ["goal", "asked for", "measured (spread)", "verdict", "placement", "basis"];
    let mut table = Table::new(&heading);
    for verdict in verdicts {
        table.row([
            verdict.what.clone(),
            verdict.bound.clone(),
            verdict.measured.clone().unwrap_or_else(|| "-".to_owned()),
            match verdict.met {
                Some(true) => "met",
                Some(false) => "MISSED",
                None => "-",
            }
            .to_owned(),
            verdict.placement.map_or("any".to_owned(), |placement| placement.to_string()),
            verdict.basis.clone(),
        ]);
    }
    table
}
