//! `ls`, `stat` and `rm`: which rings there are, who holds them, and away with them.

use crate::output::{self, Outcome};
use ringlane::inspect::{self, End, Participant, Report};
use ringlane::{Name, Peer};
use serde_json::{Value, json};

/// List the rings in shared memory
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ringlane ls --json | jq -r '.[] | select(.depth > 0) | .name'")]
pub(crate) struct LsArgs {
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

/// Show one ring: what it carries, how full it is, who holds its ends
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ringlane stat letters --json | jq .producer.pid")]
pub(crate) struct StatArgs {
    /// The ring's name
    name: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Remove a ring that no living process holds
///
/// Processes that have the ring open keep its memory until they end; its name is free at once.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ringlane rm letters")]
pub(crate) struct RmArgs {
    /// The ring's name
    name: String,
    /// Remove it even if a living process holds an end
    #[arg(long)]
    force: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

const COLUMNS: [&str; 8] =
    ["NAME", "KIND", "CAPACITY", "DEPTH", "PUSHED", "POPPED", "PRODUCER", "CONSUMER"];

/// Lists all rings. One that cannot be read has a line, too: it says why.
pub(crate) fn ls(args: &LsArgs) -> Outcome {
    let rings: Vec<_> =
        inspect::list()?.into_iter().map(|name| (inspect::report(&name), name)).collect();
    if args.json {
        let rings = rings.iter().map(|(report, name)| match report {
            Ok(report) => report_json(name, report),
            Err(error) => json!({ "name": name.as_str(), "error": error.to_string() }),
        });
        return output::print_json(&Value::Array(rings.collect()));
    }
    let rows: Vec<[String; 8]> =
        rings.iter().filter_map(|(report, name)| Some(row(name, report.as_ref().ok()?))).collect();
    if !rows.is_empty() {
        print_table(&rows)?;
    }
    for (report, name) in &rings {
        if let Err(error) = report {
            output::print(&format!("{name}  ({error})"))?;
        }
    }
    Ok(())
}

/// Shows one ring.
pub(crate) fn stat(args: &StatArgs) -> Outcome {
    let name = Name::new(&args.name)?;
    let report = inspect::report(&name)?;
    if args.json {
        return output::print_json(&report_json(&name, &report));
    }
    let used = if report.capacity == 0 {
        0.0
    } else {
        report.used as f64 * 100.0 / report.capacity as f64
    };
    let unit = match report.kind.as_str() {
        "record" | "mpmc-record" => "bytes",
        "call" => "call",
        _ => "values",
    };
    let report = &report;
    let lines = [
        ("name", name.to_string()),
        ("kind", format!("{} of {}", report.kind.as_str(), report.type_name)),
        ("size", format!("{} bytes", report.size)),
        (
            "capacity",
            format!("{} {unit}, {} of them in use ({used:.1} %)", report.capacity, report.used),
        ),
        ("depth", report.depth.to_string()),
        ("pushed", report.pushed.to_string()),
        ("popped", report.popped.to_string()),
        ("producer", side_line(report, true)),
        ("consumer", side_line(report, false)),
    ];
    lines.iter().try_for_each(|(key, value)| output::print(&format!("{key:<10}{value}")))?;
    if report.kind.is_shared() {
        let delivery = if report.at_least_once { "at least once" } else { "at most once" };
        output::print(&format!("{:<10}{delivery}", "delivery"))?;
        for one in &report.participants {
            output::print(&format!("{:<10}{}", format!("place {}", one.place), place_line(one)))?;
        }
    }
    Ok(())
}

/// Who has a place of a ring for many, and what its holders left behind.
fn place_line(one: &Participant) -> String {
    let role = if one.is_producer { "producer" } else { "consumer" };
    let mut line = format!("{role}, {}", end_line(&end_of(one)));
    if one.deaths > 0 {
        line += &format!("; {} died here, the last was process {}", one.deaths, one.last_death);
    }
    if one.skipped > 0 {
        line += &format!("; {} slots skipped", one.skipped);
    }
    if one.redelivered > 0 {
        line += &format!("; {} values came again", one.redelivered);
    }
    line
}

fn end_of(one: &Participant) -> End {
    End { holder: one.holder, pid: one.pid, generation: one.generation, asleep: false }
}

/// Removes a ring's name.
pub(crate) fn rm(args: &RmArgs) -> Outcome {
    let name = Name::new(&args.name)?;
    inspect::remove(&name, args.force)?;
    if args.json {
        return output::print_json(&json!({ "removed": name.as_str() }));
    }
    Ok(())
}

fn row(name: &Name, report: &Report) -> [String; 8] {
    [
        name.to_string(),
        report.kind.as_str().to_owned(),
        report.capacity.to_string(),
        report.depth.to_string(),
        report.pushed.to_string(),
        report.popped.to_string(),
        side_word(report, true),
        side_word(report, false),
    ]
}

fn print_table(rows: &[[String; 8]]) -> Outcome {
    let heading = COLUMNS.map(str::to_owned);
    let all: Vec<&[String; 8]> = std::iter::once(&heading).chain(rows).collect();
    let widths: [usize; 8] = std::array::from_fn(|column| {
        all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    all.iter().try_for_each(|row| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        output::print(cells.collect::<Vec<_>>().join("  ").trim_end())
    })
}

fn holder(end: &End) -> &'static str {
    match end.holder {
        Peer::Vacant => "vacant",
        Peer::Alive => "alive",
        Peer::Closed => "closed",
        Peer::Died => "died",
    }
}

/// The same in a word or two.
fn side_word(report: &Report, producers: bool) -> String {
    match report.kind {
        kind if kind.is_shared() => side_line(report, producers),
        _ => end_word(if producers { &report.producer } else { &report.consumer }),
    }
}

/// The end's state; with the process, where it says who to look for.
fn end_word(end: &End) -> String {
    match end.holder {
        Peer::Alive | Peer::Died => format!("{} {}", holder(end), end.pid),
        _ => holder(end).to_owned(),
    }
}

fn end_line(end: &End) -> String {
    let asleep = if end.asleep { ", asleep" } else { "" };
    match end.holder {
        Peer::Vacant => "vacant, nobody has held it".to_owned(),
        Peer::Alive => format!("alive, process {}{asleep}, holder no. {}", end.pid, end.generation),
        Peer::Closed => format!("closed by process {}, holder no. {}", end.pid, end.generation),
        Peer::Died => format!("died, process {}, holder no. {}", end.pid, end.generation),
    }
}

/// The end's state; of a ring for many, how many there are on that side.
fn side_line(report: &Report, producers: bool) -> String {
    let end = if producers { &report.producer } else { &report.consumer };
    if !report.kind.is_shared() {
        return end_line(end);
    }
    let count = |state| {
        let of_side = report.participants.iter().filter(|one| one.is_producer == producers);
        of_side.filter(|one| one.holder == state).count()
    };
    let places = [(Peer::Alive, "alive"), (Peer::Died, "died"), (Peer::Closed, "closed")];
    let words: Vec<String> = places
        .iter()
        .map(|(state, word)| (count(*state), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    if words.is_empty() { end_line(end) } else { words.join(", ") }
}

fn report_json(name: &Name, report: &Report) -> Value {
    let end = |end: &End| {
        json!({
            "state": holder(end),
            "pid": (end.pid != 0).then_some(end.pid),
            "alive": end.holder == Peer::Alive,
            "asleep": end.asleep,
            "generation": end.generation,
        })
    };
    json!({
        "name": name.as_str(),
        "kind": report.kind.as_str(),
        "type": report.type_name,
        "size": report.size,
        "capacity": report.capacity,
        "used": report.used,
        "depth": report.depth,
        "pushed": report.pushed,
        "popped": report.popped,
        "producer": end(&report.producer),
        "consumer": end(&report.consumer),
        "at_least_once": report.kind.is_shared().then_some(report.at_least_once),
        "participants": report.participants.iter().map(|one| json!({
            "place": one.place,
            "role": if one.is_producer { "producer" } else { "consumer" },
            "state": holder(&end_of(one)),
            "pid": one.pid,
            "generation": one.generation,
            "deaths": one.deaths,
            "last_death": (one.last_death != 0).then_some(one.last_death),
            "skipped": one.skipped,
            "redelivered": one.redelivered,
        })).collect::<Vec<_>>(),
    })
}
