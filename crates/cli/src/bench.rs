//! `bench`: how fast the rings are here, and how fast they could be.

use crate::output::{self, Failure, Outcome};
use ringlane_bench::plot::Plot;
use ringlane_bench::{Plan, rows};
use std::path::PathBuf;
use std::time::Duration;

/// Measure the rings between two processes, beside what this machine could do
///
/// Two processes on a processor each, every message checked. The bare loops, without a ring, are the floors of
/// this machine. Before and after each run a round trip over two cache lines is timed, too: it tells where
/// the host has put the processors, runs during which it changes are done again, and only ratios of runs
/// in one placement mean anything.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ringlane bench 'round trip' --json | jq '.rows[].placed'")]
pub(crate) struct Args {
    /// Only the rows whose names hold this
    row: Option<String>,
    /// Print one JSON object, and no progress
    #[arg(long)]
    json: bool,
    /// Draw percentiles and how many times the floor each round trip takes, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// At most so many messages a run, once: to see that a row works
    #[arg(long, hide = true)]
    messages: Option<u64>,
}

/// How often a row is run, unless the time is up before.
const ROUNDS: u32 = 5;

/// No round begins that would not be over by then.
const BUDGET: Duration = Duration::from_secs(55);

pub(crate) fn run(args: &Args) -> Outcome {
    let mut rows = rows::all();
    if let Some(wanted) = &args.row {
        rows.retain(|row| row.name.contains(wanted.as_str()));
        if rows.is_empty() {
            let text =
                format!("no row's name holds {wanted:?}; \"round trip\" and \"frames\" are held");
            return Err(Failure::new(text));
        }
    }
    let plan = Plan {
        rounds: if args.messages.is_some() { 1 } else { ROUNDS },
        budget: Some(BUDGET),
        most: args.messages,
        progress: !args.json,
        ..Plan::default()
    };
    let results = plan.run(&rows).map_err(Failure::new)?;
    if let Some(file) = &args.plot {
        Plot::of(&results).write(file).map_err(Failure::new)?;
    }
    if args.json {
        return output::print_json(&results.to_json());
    }
    output::print(&format!("{}\n{}", results.remarks(), results.floors()))?;
    output::print(&results.table())?;
    let latencies = results.latency_table();
    if latencies.is_empty() { Ok(()) } else { output::print(latencies.trim_end()) }
}
