//! `bench`: that every row works, and what is said of it. How fast they are is not for a test.

use crate::program::{Done, Running, run, shared_names};
use std::collections::BTreeSet;
use std::process::Command;

/// Whether there are two processors; without, `bench` has to say so.
fn measured(done: Done) -> Option<Done> {
    if std::thread::available_parallelism().expect("this one").get() > 1 {
        return Some(done.succeeded());
    }
    done.failed(&["two processors are needed"]);
    None
}

#[test]
fn every_row_works() {
    let bench = Running::start(&["bench", "--json", "--messages", "20"]);
    let names = format!("ringlane-bench-{}", bench.id());
    let Some(done) = measured(bench.finish()) else { return };
    let report = done.json();
    assert!(report["machine"]["processors"].as_u64().expect("a number") > 1);
    let rows = report["rows"].as_array().expect("rows");
    let text = |row: &serde_json::Value, field: &str| row[field].as_str().expect("text").to_owned();
    let of: BTreeSet<String> = rows.iter().map(|row| text(row, "by")).collect();
    let others: Vec<_> = of.iter().filter(|by| !by.starts_with("ringlane")).collect();
    assert_eq!(others, ["bare", "unix stream socket"]);
    let measures: BTreeSet<String> = rows.iter().map(|row| text(row, "measure")).collect();
    let all = ["idle", "late", "memory", "one way", "round trip", "start"].map(str::to_owned);
    assert_eq!(measures, BTreeSet::from(all));
    for row in rows {
        let placed = row["placed"].as_array().expect("placements");
        // Beside other tests the floor moves: then the run has been done, and is not counted.
        let lost = ["discarded", "awake"].map(|why| row[why].as_u64().expect("a number"));
        assert_eq!(placed.is_empty(), lost.iter().sum::<u64>() == 1, "{row}");
        for placed in placed {
            let numbers = ["floor_ns", "median_ns"].map(|field| placed[field].as_f64());
            // A waiter that sleeps may have used less of a processor than the system counts.
            let least = if row["measure"] == "idle" { -1.0 } else { 0.0 };
            assert!(numbers.iter().all(|number| number.is_some_and(|n| n > least)), "{row}");
            assert_eq!(placed["runs_ns"].as_array().map(Vec::len), Some(1), "{row}");
            let trips = &placed["single_ns"];
            let single = ["late", "round trip", "start"].map(|measure| row["measure"] == measure);
            assert_eq!(trips.is_null(), !single.contains(&true), "{row}");
            if !trips.is_null() {
                let points = ["min", "p50", "p99", "p99.9", "max"].map(|at| trips[at].as_u64());
                assert!(points.iter().all(Option::is_some) && points.is_sorted(), "{row}");
            }
        }
    }
    assert!(shared_names(&names).is_empty());
}

#[test]
fn some_rows_can_be_chosen() {
    let Some(done) = measured(run(&["bench", "round trip 8 B", "--messages", "20"])) else {
        return;
    };
    let text = done.text();
    for part in ["spsc round trip 8 B", "both asleep", "the clock"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("frames"), "{text}");
    run(&["bench", "no such row"]).failed(&["no such row", "round trip"]);
    run(&["bench", "--messages", "few"]).failed(&["--messages"]);
}

/// What is drawn is tested where it is drawn: here, beside other tests, no run may have counted.
#[test]
fn nothing_to_draw_is_said() {
    let args = ["bench", "session one way", "--messages", "2", "--plot", "/no/such/place"];
    if std::thread::available_parallelism().expect("this one").get() > 1 {
        run(&args).failed(&["nothing to draw", "round trips"]);
    }
}

#[test]
fn one_processor_is_refused() {
    if Command::new("taskset").arg("--version").output().is_err() {
        eprintln!("SKIPPED one_processor_is_refused: there is no taskset");
        return;
    }
    let mut command = Command::new("taskset");
    command.args(["-c", "0", crate::program::EXE, "bench"]);
    Running::start_command(&mut command).finish().failed(&["two processors are needed"]);
}
