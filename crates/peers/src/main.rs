//! `ringlane-peers [WHAT ...] [--rounds N] [--json FILE]`: ringlane in one run with whatever else carries messages
//! from one process to another, and with rings between threads, said so. `ringlane-peers report FILE ...` makes
//! tables and plots of what the runs told. `ci/compare.sh` does all of it.
//!
//! Every contender is a [`ringlane_bench::Link`]: it opens a way there and a way back, sends message n and receives message n.
//! All that is measured is done by the same code for everybody, and every message is written and checked
//! by the same code, too.

mod files;
mod ipc_channel;
mod kernel;
mod pass;
mod report;
mod ringfire;
mod shaq;
mod shm_primitives;
mod shmem_ipc;
mod threads;

#[cfg(feature = "iceoryx2")]
mod iceoryx2;
#[cfg(feature = "zenoh")]
mod zenoh;

use ringlane_bench::{Plan, Row, enter, rows};
use std::process::ExitCode;
use std::time::Duration;

/// A run of a row takes about so long.
const TARGET: Duration = Duration::from_millis(60);

fn all() -> Vec<Row> {
    let mut all = [rows::goals(), rows::links::all()].concat();
    // Of what is measured for the goals, the floors and the calls are not measured for everybody anyway.
    all.retain(|row| row.by == "bare" || row.name.starts_with("call") || row.name.contains(": "));
    all.extend(shaq::rows());
    all.extend(ringfire::rows());
    all.extend(shmem_ipc::rows());
    all.extend(shm_primitives::rows());
    #[cfg(feature = "iceoryx2")]
    all.extend(iceoryx2::rows());
    #[cfg(feature = "zenoh")]
    all.extend(zenoh::rows());
    all.extend(ipc_channel::rows());
    all.extend(kernel::rows());
    all.extend(threads::rows());
    all
}

fn main() -> ExitCode {
    let rows = all();
    enter(&rows);
    match attempt(rows) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("peers: {text}");
            ExitCode::FAILURE
        }
    }
}

fn attempt(mut rows: Vec<Row>) -> Result<(), String> {
    let mut plan = Plan { rounds: 5, apart: true, target: Some(TARGET), ..Plan::default() };
    let (mut file, mut wanted) = (None, Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "report" => return report::print(&args.collect::<Vec<_>>()),
            "--json" => file = Some(value()?),
            "--rounds" => {
                plan.rounds = value()?.parse().map_err(|_| "--rounds needs a number")?;
            }
            "--list" => {
                rows.iter().for_each(|row| println!("{}", row.name));
                return Ok(());
            }
            _ if arg.starts_with('-') => return Err(format!("{arg} is not known")),
            _ => wanted.push(arg),
        }
    }
    if !wanted.is_empty() {
        rows.retain(|row| wanted.iter().any(|part| row.name.contains(part.as_str())));
    }
    if rows.is_empty() {
        return Err("no row is called so".to_owned());
    }
    let results = plan.run(&rows)?;
    println!("{}\n\n{}\n{}", results.remarks(), results.table(), results.latency_table());
    if let Some(file) = file {
        std::fs::write(&file, results.to_json().to_string()).map_err(|e| format!("{file}: {e}"))?;
    }
    Ok(())
}
