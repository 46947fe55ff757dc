//! Tables and plots of what several runs told.

use ringlane_bench::Table;
use ringlane_bench::plot::{Bar, Curve, Plot};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// A contender's figure in one thing.
struct Cell {
    median: f64,
    over: f64,
    bytes: f64,
    single: Value,
    /// Not in the placement that most are in.
    elsewhere: Option<String>,
    low: f64,
    high: f64,
}

/// All figures, by what was measured and by whom.
#[derive(Default)]
struct Told {
    cells: BTreeMap<(String, String), Cell>,
    /// In the order in which they came, with what is to be said of each.
    contenders: Vec<(String, String)>,
    failed: Vec<String>,
    awake: Vec<String>,
    discarded: u64,
    runs: u64,
    heads: Vec<String>,
    /// Of each thing that was measured, the placement that most runs were in.
    placements: BTreeMap<String, String>,
}

const FLOORS: &str = "bare";

pub(crate) fn print(files: &[String]) -> Result<(), String> {
    let mut values = Vec::new();
    let mut directory = None;
    let mut files = files.iter();
    while let Some(file) = files.next() {
        if file == "--plots" {
            directory = Some(files.next().ok_or("--plots needs a directory")?);
            continue;
        }
        let text = std::fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
        values.push(serde_json::from_str(&text).map_err(|e| format!("{file}: {e}"))?);
    }
    let told = Told::read(&values);
    told.tables();
    if let Some(directory) = directory {
        told.plots(Path::new(directory))?;
    }
    Ok(())
}

/// What was measured, and by whom: `one way 8 B: kanal`, and names that are older than that.
fn split(row: &Value) -> (String, String) {
    let (name, by) = (text(row, "row"), text(row, "by"));
    if let Some((what, by)) = name.split_once(": ") {
        return (what.to_owned(), by.to_owned());
    }
    match name.strip_prefix("call cell ") {
        Some(what) => (what.to_owned(), "ringlane calls".to_owned()),
        None => (name, by),
    }
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

impl Told {
    fn read(values: &[Value]) -> Told {
        let rows =
            || values.iter().flat_map(|value| value["rows"].as_array().into_iter().flatten());
        let placed = |row: &Value| row["placed"].as_array().cloned().unwrap_or_default();
        let count = |placed: &Value| placed["runs_ns"].as_array().map_or(0, Vec::len);
        // What is compared was run at the same time, and so was in one placement for the most part.
        let mut placements = BTreeMap::<String, BTreeMap<String, usize>>::new();
        for row in rows() {
            let of = placements.entry(split(row).0).or_default();
            for placed in placed(row) {
                *of.entry(text(&placed, "placement")).or_default() += count(&placed);
            }
        }
        let most = |of: &BTreeMap<String, usize>| {
            let most = of.iter().max_by_key(|(_, runs)| **runs);
            most.map(|(placement, _)| placement.clone()).unwrap_or_default()
        };
        let mut told = Told::default();
        for (what, of) in &placements {
            told.placements.insert(what.clone(), most(of));
        }
        for value in values {
            let machine = &value["machine"];
            told.heads.push(format!(
                "{}, {} processors, Linux {}: {:.0} s, of which the host took {:.2} %",
                text(machine, "processor"),
                machine["processors"],
                text(machine, "kernel"),
                value["seconds"].as_f64().unwrap_or_default(),
                value["stolen"].as_f64().unwrap_or_default() * 100.0,
            ));
        }
        for row in rows() {
            let (what, by) = split(row);
            if !told.contenders.iter().any(|(known, _)| *known == by) {
                told.contenders.push((by.clone(), text(row, "note")));
            }
            told.discarded += row["discarded"].as_u64().unwrap_or_default();
            if let Some(Value::String(why)) = row["failed"].get(0) {
                let times = row["failed"].as_array().map_or(0, Vec::len);
                told.failed.push(format!("{what}, {by}: {times} runs failed: {why}"));
            }
            let placed = placed(row);
            if placed.is_empty() && row["awake"].as_u64() > row["discarded"].as_u64() {
                told.awake.push(format!("{what}: {by}"));
            }
            let here =
                placed.iter().find(|placed| text(placed, "placement") == told.placements[&what]);
            let elsewhere = placed.iter().max_by_key(|placed| count(placed));
            let Some(chosen) = here.or(elsewhere) else { continue };
            told.runs += count(chosen) as u64;
            let number = |field: &str| chosen[field].as_f64().unwrap_or(f64::NAN);
            let runs = chosen["runs_ns"].as_array().into_iter().flatten().filter_map(Value::as_f64);
            let (low, high) =
                runs.fold((f64::MAX, f64::MIN), |(low, high), run| (low.min(run), high.max(run)));
            let cell = Cell {
                median: number("median_ns"),
                over: number("over_floor"),
                bytes: row["bytes"].as_f64().unwrap_or_default(),
                single: chosen["single_ns"].clone(),
                elsewhere: here.is_none().then(|| text(chosen, "placement")),
                low,
                high,
            };
            told.cells.insert((what, by), cell);
        }
        told
    }

    fn cell(&self, what: &str, by: &str) -> Option<&Cell> {
        self.cells.get(&(what.to_owned(), by.to_owned()))
    }

    fn whats(&self, prefix: &str) -> Vec<String> {
        let mut whats: Vec<(u64, String)> = Vec::new();
        for ((what, by), cell) in &self.cells {
            if by != FLOORS && what.starts_with(prefix) && !whats.iter().any(|w| w.1 == *what) {
                whats.push((cell.bytes as u64, what.clone()));
            }
        }
        whats.sort();
        whats.into_iter().map(|(_, what)| what).collect()
    }

    /// Near goes without saying.
    fn title(&self, what: &str) -> String {
        match self.placements.get(what).map(String::as_str) {
            None | Some("near" | "") => what.to_owned(),
            Some(placement) => format!("{what} ({placement})"),
        }
    }

    fn matrix(&self, heading: &str, whats: &[String], show: impl Fn(&Cell) -> String) {
        let mut columns = vec![heading];
        let titles: Vec<String> = whats.iter().map(|what| self.title(what)).collect();
        columns.extend(titles.iter().map(String::as_str));
        let mut table = Table::new(&columns);
        for (by, note) in &self.contenders {
            let cells: Vec<String> = whats
                .iter()
                .map(|what| {
                    let Some(cell) = self.cell(what, by) else { return String::new() };
                    let figure = show(cell);
                    let place = cell.elsewhere.as_ref();
                    place.map_or(figure.clone(), |place| format!("{figure} ({place})"))
                })
                .collect();
            if by != FLOORS && cells.iter().any(|cell| !cell.is_empty()) {
                let name = if note.is_empty() { by.clone() } else { format!("{by} ({note})") };
                table.row(std::iter::once(name).chain(cells));
            }
        }
        println!("{table}");
    }

    fn tables(&self) {
        self.heads.iter().for_each(|head| println!("{head}"));
        println!(
            "\n{} runs; {} were discarded because the floor moved\n",
            self.runs, self.discarded
        );
        let mut floors = Table::new(&["floor", "placement", "median", "spread"]);
        for ((what, by), cell) in &self.cells {
            if by == FLOORS {
                let show = |each: f64| figure(what, cell.bytes, each);
                let spread = format!("{} to {}", show(cell.low), show(cell.high));
                let placement = self.placements[what].clone();
                floors.row([what.clone(), placement, show(cell.median), spread]);
            }
        }
        println!("{floors}");
        let (asleep, trips): (Vec<_>, Vec<_>) =
            self.whats("round trip").into_iter().partition(|what| what.ends_with("asleep"));
        self.matrix("median, and times the two-line floor", &trips, |cell| {
            format!("{} ({:.2}x)", figure("", 0.0, cell.median), cell.over)
        });
        self.matrix("median of one way", &self.whats("one way"), |cell| {
            figure("one way", cell.bytes, cell.median)
        });
        let percentiles = |cell: &Cell| {
            let at = |field: &str| figure("", 0.0, cell.single[field].as_f64().unwrap_or(f64::NAN));
            ["min", "p50", "p99", "p99.9", "max"].map(at).join(", ")
        };
        let small = ["round trip 64 B".to_owned()];
        self.matrix("single: least, p50, p99, p99.9, most", &small, percentiles);
        let late = |cell: &Cell| {
            let at = |field: &str| figure("", 0.0, cell.single[field].as_f64().unwrap_or(f64::NAN));
            ["p50", "p99", "p99.9", "max"].map(at).join(", ")
        };
        let mut whats = self.whats("64 B every");
        whats.sort_by_key(|what| std::cmp::Reverse(what.len()));
        self.matrix("late: p50, p99, p99.9, most", &whats, late);
        let mut costs = asleep;
        costs.extend(["idle waiter", "start", "memory"].map(str::to_owned));
        let mut table = Table::new(&["what it costs", "asleep, 64 B", "idle", "start", "memory"]);
        for (by, _) in &self.contenders {
            let find = |what: &str| {
                let whats = costs.iter().filter(|cost| cost.contains(what));
                let mut shown = whats.filter_map(|cost| {
                    let cell = self.cell(cost, by)?;
                    Some(figure(what, cell.bytes, cell.median))
                });
                shown.next_back().unwrap_or_default()
            };
            let cells = ["64 B, both asleep", "idle waiter", "start", "memory"].map(find);
            if by != FLOORS && cells.iter().any(|cell| !cell.is_empty()) {
                table.row(std::iter::once(by.clone()).chain(cells));
            }
        }
        println!("{table}");
        self.behind();
        if !self.awake.is_empty() {
            println!("\nHad to sleep and was awake in all runs: {}.", self.awake.join("; "));
        }
        if !self.failed.is_empty() {
            println!("\nRuns that failed:\n");
            self.failed.iter().for_each(|line| println!("* {line}"));
        }
    }

    /// What others do better.
    fn behind(&self) {
        let mut table = Table::new(&["not first in", "ours", "", "first", "", "times"]);
        for prefix in ["round trip", "one way", "64 B every", "idle", "start", "memory"] {
            for what in self.whats(prefix) {
                let all = self.cells.iter().filter(|((w, by), _)| *w == what && by != FLOORS);
                let best = |ours: bool| {
                    let of = all.clone().filter(|((_, by), cell)| {
                        by.starts_with("ringlane") == ours && cell.elsewhere.is_none()
                    });
                    of.min_by(|a, b| a.1.median.total_cmp(&b.1.median))
                };
                let (Some(own), Some(other)) = (best(true), best(false)) else { continue };
                if own.1.median > other.1.median {
                    let show = |cell: &Cell| figure(prefix, cell.bytes, cell.median);
                    let times = format!("{:.2}", own.1.median / other.1.median);
                    let names = [&own.0.1, &other.0.1].map(Clone::clone);
                    let [a, b] = names;
                    table.row([self.title(&what), a, show(own.1), b, show(other.1), times]);
                }
            }
        }
        println!("{table}");
    }

    fn plots(&self, directory: &Path) -> Result<(), String> {
        let what = "round trip 64 B";
        let plot = |curves_of: &str, what: &str, bars_of: &str, bars_what: &str| {
            let of = |wanted: &str| -> Vec<(&String, &Cell)> {
                let known = self.contenders.iter().map(|(by, _)| by);
                known.filter_map(|by| Some((by, self.cell(wanted, by)?))).collect()
            };
            let curves = of(what).into_iter().filter_map(|(by, cell)| {
                let points = cell.single["curve"].as_array()?.iter();
                let points = points.filter_map(|at| Some([at[0].as_f64()?, at[1].as_f64()?]));
                let ours = by.starts_with("ringlane");
                Some(Curve { name: by.clone(), ours, points: points.collect() })
            });
            let mut bars: Vec<Bar> = of(bars_what)
                .into_iter()
                .map(|(by, cell)| {
                    let ours = by.starts_with("ringlane");
                    Bar { name: by.clone(), ours, value: cell.over }
                })
                .collect();
            bars.sort_by(|a, b| a.value.total_cmp(&b.value));
            Plot {
                curves_of: curves_of.to_owned(),
                curves: curves.collect(),
                bars_of: bars_of.to_owned(),
                bars,
            }
        };
        plot(
            "round trip of 64 B: percentiles of single trips, each with a reading of the clock",
            what,
            "round trip of 64 B: medians, times the two-line floor of the same run",
            what,
        )
        .write(&directory.join("round-trip.svg"))?;
        plot("64 B due every 10 us: how late, from when it was due", "64 B every 10 us", "", "")
            .write(&directory.join("late.svg"))
    }
}

/// A figure as people write it.
fn figure(what: &str, bytes: f64, each: f64) -> String {
    let one_way = ["one way", "slots", "spans", "frames"].iter().any(|kind| what.starts_with(kind));
    match what {
        _ if !each.is_finite() => String::new(),
        _ if one_way && bytes >= 1024.0 => format!("{:.1} GB/s", bytes / each),
        _ if one_way && each > 1e4 => format!("{:.1} k/s", 1e6 / each),
        _ if one_way => format!("{:.1} M/s", 1e3 / each),
        _ if what.starts_with("idle") => format!("{:.2} %", each / 1e4),
        _ if what.starts_with("memory") => format!("{:.0} KiB", each / 1024.0),
        _ if each >= 1e7 => format!("{:.0} ms", each / 1e6),
        _ if each >= 1e6 => format!("{:.1} ms", each / 1e6),
        _ if each >= 1e5 => format!("{:.0} us", each / 1e3),
        _ if each >= 1e3 => format!("{:.1} us", each / 1e3),
        _ => format!("{each:.0} ns"),
    }
}
