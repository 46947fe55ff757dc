//! `cargo bench --bench goals [-- [--json] [--rounds N] [ROW]]`: the goals as ratios within this run.
//!
//! Rows of this project, bare loops and rivals in interleaved rounds, see `ringlane_bench`. With ROW only the
//! rows whose names hold it are run and shown, without goals.
#![allow(missing_docs, reason = "a program")]

mod goal;
mod outside;
mod rtrb;

use ringlane_bench::{Plan, Row, enter, rows, run_bare};
use std::process::ExitCode;
use std::time::Duration;

/// No round begins that would not be over by then.
const BUDGET: Duration = Duration::from_secs(200);

fn main() -> ExitCode {
    let mut rows = [rows::goals(), rtrb::ROWS.to_vec()].concat();
    enter(&rows);
    goal::sort(&mut rows);
    match attempt(rows) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("goals: {text}");
            ExitCode::FAILURE
        }
    }
}

fn attempt(mut rows: Vec<Row>) -> Result<(), String> {
    let mut plan = Plan { budget: Some(BUDGET), ..Plan::default() };
    let (mut json, mut wanted) = (false, None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || {
            let number = args.next().and_then(|text| text.parse().ok());
            number.ok_or(format!("{arg} needs a number"))
        };
        match arg.as_str() {
            // Cargo says so to every bench.
            "--bench" => {}
            "--json" => json = true,
            "--rounds" => plan.rounds = number()?,
            // For the tools that count from outside, see `outside.rs`.
            outside::ONCE => {
                let messages = u64::from(number()?);
                let name = args.next().unwrap_or_default();
                let row = rows.iter().find(|row| row.name == name).ok_or("no such row")?;
                return run_bare(row, messages);
            }
            _ if arg.starts_with('-') => return Err(format!("{arg} is not known")),
            _ => wanted = Some(arg),
        }
    }
    if let Some(wanted) = &wanted {
        rows.retain(|row| row.name.contains(wanted.as_str()));
    }
    if rows.is_empty() {
        return Err("no row is called so".to_owned());
    }
    let results = plan.run(&rows)?;
    let goals = if wanted.is_none() { goal::all(&results)? } else { Vec::new() };
    if json {
        let mut all = results.to_json();
        all["goals"] = goals.iter().map(goal::Verdict::to_json).collect();
        println!("{all}");
        return Ok(());
    }
    println!("{}\n\n{}\n{}", results.remarks(), results.table(), results.latency_table());
    if wanted.is_none() {
        println!("{}", goal::table(&goals));
    }
    Ok(())
}
