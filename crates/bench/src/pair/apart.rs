//! A run in processes of its own.

use super::{Job, end_with_parent, run, sweep};
use crate::cpus;
use crate::results::Timed;
use crate::row::Row;
use crate::side::histogram;
use nix::unistd::alarm;
use serde_json::{Value, json};
use std::process::{Command, Stdio};

/// The first argument of an executable that is to do one run and tell of it.
const RUN: &str = "ringlane-bench-run";

/// Seconds after which such a run is ended, whatever it does.
const LONGEST: u32 = 20;

/// Runs a row once, in two processes other than this one.
pub(crate) fn run_apart(job: Job<'_>) -> Result<Timed, String> {
    let own = std::env::current_exe().map_err(|e| format!("find this program: {e}"))?;
    let numbers = [job.messages, job.probe, job.cpus.0 as u64, job.cpus.1 as u64];
    let mut command = Command::new(own);
    command.args([RUN, job.row.name]).args(numbers.map(|number| number.to_string()));
    command.arg(std::process::id().to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|e| format!("start a run: {e}"))?;
    let process = child.id();
    let out = child.wait_with_output().map_err(|e| format!("wait for a run: {e}"))?;
    let text = String::from_utf8_lossy(&out.stderr);
    if !out.status.success() {
        sweep(process);
        // A panic's first line says where, the second says what.
        let said = text.lines().find(|line| !line.is_empty() && !line.contains("panicked at"));
        return Err(said.map_or_else(|| out.status.to_string(), str::to_owned));
    }
    let told = String::from_utf8_lossy(&out.stdout);
    let value = told.lines().last().and_then(|line| serde_json::from_str(line).ok());
    value.as_ref().and_then(timed).ok_or_else(|| "a run told nothing".to_owned())
}

/// If this process was started for one run, does it and ends.
pub(super) fn enter(rows: &[Row], args: &[String]) {
    let [_, role, row, messages, probe, first, second, parent] = args else { return };
    if role != RUN {
        return;
    }
    let number = |text: &String| text.parse::<u64>().expect("a number from who started this");
    end_with_parent(number(parent) as i32).unwrap_or_else(|e| panic!("{e}"));
    alarm::set(LONGEST);
    let row = rows.iter().find(|known| known.name == row).expect("a row of both");
    let cpus = (number(first) as usize, number(second) as usize);
    cpus::pin(cpus.0).unwrap_or_else(|e| panic!("{e}"));
    match run(Job { row, messages: number(messages), probe: number(probe), cpus }) {
        Ok(timed) => println!("{}", to_json(&timed)),
        Err(text) => {
            eprintln!("{text}");
            std::process::exit(1);
        }
    }
    std::process::exit(0);
}

fn to_json(timed: &Timed) -> Value {
    let trips = timed.trips.as_ref().map(|trips| {
        let counts = trips.iter_recorded();
        counts.map(|at| [at.value_iterated_to(), at.count_at_value()]).collect::<Vec<_>>()
    });
    json!({
        "before": timed.before,
        "after": timed.after,
        "each": timed.each,
        "slept": timed.slept,
        "trips": trips,
    })
}

fn timed(value: &Value) -> Option<Timed> {
    // What is not a number has become null.
    let number = |name: &str| value[name].as_f64().unwrap_or(f64::NAN);
    let trips = match &value["trips"] {
        Value::Array(counts) => {
            let mut trips = histogram();
            for count in counts {
                trips.record_n(count[0].as_u64()?, count[1].as_u64()?).ok()?;
            }
            Some(trips)
        }
        _ => None,
    };
    let [before, after, each] = ["before", "after", "each"].map(number);
    let slept = value["slept"].as_f64();
    each.is_finite().then_some(Timed { round: 0, before, after, each, trips, slept })
}
