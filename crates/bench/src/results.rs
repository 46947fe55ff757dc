//! What came out, and how two rows compare.

use crate::machine::Machine;
use crate::row::{Measure, Row};
use crate::side::histogram;
use crate::table::Table;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How far apart the two processors are, by the floor: the time of a round trip over two lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Placement {
    /// They share a core: below 75 ns.
    OneCore,
    /// They share a cache: below 250 ns.
    Near,
    /// They share none.
    Far,
}

impl Placement {
    /// The placement in which the floor is so many nanoseconds.
    pub fn of(floor: f64) -> Placement {
        match floor {
            ..75.0 => Placement::OneCore,
            ..250.0 => Placement::Near,
            _ => Placement::Far,
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Placement::OneCore => "one core",
            Placement::Near => "near",
            Placement::Far => "far",
        })
    }
}

/// One run that counts.
#[derive(Clone, Debug)]
pub struct Timed {
    /// Its round: runs of one round are compared.
    pub round: u32,
    /// The floor before it in nanoseconds.
    pub before: f64,
    /// The floor after it.
    pub after: f64,
    /// Nanoseconds a message, or a round trip.
    pub each: f64,
    /// Nanoseconds of single round trips, each with a reading of the clock.
    pub trips: Option<Histogram<u64>>,
    /// Of a row that is to sleep: how often the side slept that did so less often, for each message.
    pub slept: Option<f64>,
}

/// By how much the floor may differ before and after a run.
const STEADY: f64 = 1.15;

impl Timed {
    /// The floor of this run.
    pub fn floor(&self) -> f64 {
        f64::midpoint(self.before, self.after)
    }

    /// The placement of this run.
    pub fn placement(&self) -> Placement {
        Placement::of(self.floor())
    }

    /// Whether who was to sleep did.
    pub(crate) fn slept(&self) -> bool {
        self.slept.is_none_or(|slept| slept > 0.95)
    }

    /// Whether the floor stayed what it was, and who was to sleep did.
    pub(crate) fn is_steady(&self) -> bool {
        let (low, high) = (self.before.min(self.after), self.before.max(self.after));
        self.slept() && high <= low * STEADY && Placement::of(low) == Placement::of(high)
    }
}

/// A row and its runs.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The row.
    pub row: Row,
    /// Its runs, at most one a round.
    pub runs: Vec<Timed>,
    /// How many were not counted because the floor moved.
    pub discarded: u32,
    /// How many were not because somebody did not sleep who was to.
    pub awake: u32,
    /// What runs failed with.
    pub failed: Vec<String>,
    /// How many messages a run has, if that was found out; 0 until then.
    pub(crate) messages: u64,
}

impl Measured {
    pub(crate) fn new(row: &Row) -> Measured {
        Measured {
            row: *row,
            runs: Vec::new(),
            discarded: 0,
            awake: 0,
            failed: Vec::new(),
            messages: 0,
        }
    }

    /// The runs by placement.
    pub fn placed(&self) -> BTreeMap<Placement, Vec<&Timed>> {
        let mut placed: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for run in &self.runs {
            placed.entry(run.placement()).or_default().push(run);
        }
        placed
    }

    /// Nanoseconds of single round trips in one placement.
    pub fn trips(&self, placement: Placement) -> Option<Histogram<u64>> {
        let mut all = histogram();
        let runs = self.runs.iter().filter(|run| run.placement() == placement);
        runs.filter_map(|run| run.trips.as_ref()).for_each(|trips| all += trips);
        (!all.is_empty()).then_some(all)
    }

    /// The figure of a time a message, as this row's measure has it: a time, millions a second, a part, bytes.
    pub fn show(&self, each: f64) -> String {
        match self.row.measure {
            Measure::Idle => format!("{:.2} %", each / 1e4),
            Measure::Memory => format!("{:.0} KiB", each / 1024.0),
            Measure::RoundTrip | Measure::Late | Measure::Start => match each {
                1e7.. => format!("{:.1} ms", each / 1e6),
                1e4.. => format!("{:.1} us", each / 1e3),
                _ => format!("{each:.0} ns"),
            },
            Measure::OneWay if self.row.bytes >= 1024 => {
                format!("{:.1} GB/s", self.row.bytes as f64 / each)
            }
            Measure::OneWay => format!("{:.1} M/s", 1e3 / each),
        }
    }

    fn to_json(&self) -> Value {
        let placed = self.placed().into_iter().map(|(placement, runs)| {
            let trips = self.trips(placement).map(|trips| {
                let at = |quantile| trips.value_at_quantile(quantile);
                json!({
                    "min": trips.min(),
                    "p50": at(0.5),
                    "p99": at(0.99),
                    "p99.9": at(0.999),
                    "max": trips.max(),
                    "curve": curve(&trips),
                })
            });
            json!({
                "placement": placement.to_string(),
                "floor_ns": median(runs.iter().map(|run| run.floor())),
                "median_ns": median(runs.iter().map(|run| run.each)),
                "over_floor": median(runs.iter().map(|run| run.each / run.floor())),
                "runs_ns": runs.iter().map(|run| run.each).collect::<Vec<_>>(),
                "single_ns": trips,
            })
        });
        json!({
            "row": self.row.name,
            "by": self.row.by,
            "note": self.row.note,
            "measure": self.row.measure.name(),
            "bytes": self.row.bytes,
            "discarded": self.discarded,
            "awake": self.awake,
            "failed": self.failed,
            "placed": placed.collect::<Vec<_>>(),
        })
    }
}

/// What a plan brought.
#[derive(Clone, Debug)]
pub struct Results {
    /// Where.
    pub machine: Machine,
    /// The rows, in the plan's order.
    pub measured: Vec<Measured>,
    /// How long it all took.
    pub took: Duration,
    /// The part of the two processors' time that the host took.
    pub stolen: f64,
}

impl Results {
    /// The row of this name.
    pub fn row(&self, name: &str) -> Option<&Measured> {
        self.measured.iter().find(|measured| measured.row.name == name)
    }

    /// How many times as long a message takes in one row as in another: for each round in which both
    /// counted, and had the same placement.
    pub fn ratios(&self, row: &str, other: &str) -> BTreeMap<Placement, Vec<f64>> {
        let mut ratios: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let (Some(row), Some(other)) = (self.row(row), self.row(other)) else { return ratios };
        for run in &row.runs {
            let same = |o: &&Timed| o.round == run.round && o.placement() == run.placement();
            if let Some(other) = other.runs.iter().find(same) {
                ratios.entry(run.placement()).or_default().push(run.each / other.each);
            }
        }
        ratios
    }

    /// How many times as long as the floor of the same run a round trip takes.
    pub fn over_floor(&self, row: &str) -> BTreeMap<Placement, Vec<f64>> {
        let placed = self.row(row).map(Measured::placed).unwrap_or_default();
        let over = |runs: Vec<&Timed>| runs.iter().map(|run| run.each / run.floor()).collect();
        placed.into_iter().map(|(placement, runs)| (placement, over(runs))).collect()
    }

    /// All of it as an object.
    pub fn to_json(&self) -> Value {
        json!({
            "machine": self.machine.to_json(),
            "seconds": self.took.as_secs_f64(),
            "stolen": self.stolen,
            "rows": self.measured.iter().map(Measured::to_json).collect::<Vec<_>>(),
        })
    }

    /// Throughput, latency and floor of each row in each placement.
    pub fn table(&self) -> String {
        let heading = ["row", "of", "placement", "median", "spread", "floor", "over it", "runs"];
        let mut table = Table::new(&heading);
        for measured in &self.measured {
            let row = measured.row;
            let of = if row.note.is_empty() {
                row.by.into()
            } else {
                format!("{}, {}", row.by, row.note)
            };
            for (placement, runs) in measured.placed() {
                let of_all = |figure: fn(&Timed) -> f64| median(runs.iter().map(|run| figure(run)));
                let (low, high) = spread(runs.iter().map(|run| run.each));
                table.row([
                    row.name.to_owned(),
                    of.clone(),
                    placement.to_string(),
                    measured.show(of_all(|run| run.each)),
                    format!("{} to {}", measured.show(low), measured.show(high)),
                    format!("{:.0} ns", of_all(Timed::floor)),
                    match row.measure {
                        Measure::RoundTrip => {
                            format!("{:.2}x", of_all(|run| run.each / run.floor()))
                        }
                        _ => "-".to_owned(),
                    },
                    match measured.discarded + measured.awake {
                        0 => runs.len().to_string(),
                        discarded => format!("{} (-{discarded})", runs.len()),
                    },
                ]);
            }
            if measured.runs.is_empty() {
                let lost = measured.discarded + measured.awake + measured.failed.len() as u32;
                let none = format!("0 (-{lost})");
                let moved = if measured.awake > measured.discarded { "awake" } else { "moved" };
                let why = measured.failed.last().map_or(moved, String::as_str);
                table.row([row.name, &of, why, "-", "-", "-", "-", &none].map(str::to_owned));
            }
        }
        table.to_string()
    }

    /// What two processors of this machine take for the least that there is to do.
    pub fn floors(&self) -> String {
        let mut floors: BTreeMap<Placement, Vec<f64>> = BTreeMap::new();
        for run in self.measured.iter().flat_map(|measured| &measured.runs) {
            floors.entry(run.placement()).or_default().push(run.floor());
        }
        let lines = floors.into_iter().map(|(placement, floors)| {
            let bare = self.measured.iter().filter(|measured| measured.row.by == "bare");
            let rows = bare.filter_map(|measured| {
                let placed = measured.placed();
                let each = median(placed.get(&placement)?.iter().map(|run| run.each));
                Some(format!("; {} {}", measured.row.name, measured.show(each)))
            });
            let rows: String = rows.collect();
            let (runs, floor) = (floors.len(), median(floors));
            format!("floor of {runs} runs, {placement}: a round trip over two lines {floor:.0} ns{rows}\n")
        });
        lines.collect()
    }

    /// Percentiles of the rows of round trips.
    pub fn latency_table(&self) -> String {
        let heading = ["single round trips, ns", "placement", "min", "p50", "p99", "p99.9", "max"];
        let mut table = Table::new(&heading);
        for measured in &self.measured {
            for placement in measured.placed().into_keys() {
                let Some(trips) = measured.trips(placement) else { continue };
                let at = |quantile| trips.value_at_quantile(quantile);
                let figures = [trips.min(), at(0.5), at(0.99), at(0.999), trips.max()];
                let names = [measured.row.name.to_owned(), placement.to_string()];
                table.row(names.into_iter().chain(figures.map(|figure| figure.to_string())));
            }
        }
        table.to_string()
    }

    /// What is to be known of the run as a whole.
    pub fn remarks(&self) -> String {
        let machine = &self.machine;
        format!(
            "{}, {} processors, Linux {}; {:.0} s, of which the host took {:.1} %; \
             a single round trip includes {:.0} ns for the clock",
            machine.processor,
            machine.processors,
            machine.kernel,
            self.took.as_secs_f64(),
            self.stolen * 100.0,
            machine.clock,
        )
    }
}

/// Values at growing parts of all, more of them the closer to all of it: what a curve is drawn through.
pub(crate) fn curve(trips: &Histogram<u64>) -> Vec<[f64; 2]> {
    let steps = (0..=40).map(|step| 1.0 - 10_f64.powf(-f64::from(step) / 10.0));
    let resolved = steps.take_while(|part| (1.0 - part) * trips.len() as f64 >= 1.0);
    resolved.map(|part| [part, trips.value_at_quantile(part) as f64]).collect()
}

/// The one in the middle; not a number if there is none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.get(middle) {
        None => f64::NAN,
        Some(upper) if values.len().is_multiple_of(2) => f64::midpoint(values[middle - 1], *upper),
        Some(value) => *value,
    }
}

pub(crate) fn spread(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows;

    fn timed(round: u32, floor: f64, each: f64) -> Timed {
        Timed { round, before: floor, after: floor, each, trips: None, slept: None }
    }

    fn results(runs: [Vec<Timed>; 2]) -> (Results, &'static str, &'static str) {
        let all = rows::all();
        let measured: Vec<Measured> = all
            .iter()
            .zip(runs)
            .map(|(row, runs)| Measured { runs, ..Measured::new(row) })
            .collect();
        let results = Results {
            machine: Machine::here(),
            measured,
            took: Duration::from_secs(1),
            stolen: 0.0,
        };
        (results, all[0].name, all[1].name)
    }

    #[test]
    fn only_runs_of_one_round_and_placement_are_compared() {
        let first = vec![timed(0, 100.0, 200.0), timed(1, 100.0, 300.0), timed(2, 500.0, 900.0)];
        let second = vec![timed(0, 110.0, 100.0), timed(1, 400.0, 1.0), timed(2, 500.0, 600.0)];
        let (results, a, b) = results([first, second]);
        let ratios = results.ratios(a, b);
        assert_eq!(ratios[&Placement::Near], [2.0]);
        assert_eq!(ratios[&Placement::Far], [1.5]);
        assert_eq!(results.over_floor(a)[&Placement::Near], [2.0, 3.0]);
        assert!(results.ratios(a, "none").is_empty());
    }

    #[test]
    fn a_floor_that_moved_is_noticed() {
        let moved = |before, after| !Timed { before, after, ..timed(0, 0.0, 1.0) }.is_steady();
        assert!(!moved(100.0, 114.0));
        assert!(moved(100.0, 120.0));
        assert!(moved(500.0, 100.0));
        assert!(moved(74.0, 76.0));
        assert!(Timed { slept: Some(0.99), ..timed(0, 100.0, 1.0) }.is_steady());
        assert!(!Timed { slept: Some(0.5), ..timed(0, 100.0, 1.0) }.is_steady());
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median([]).is_nan());
    }
}
