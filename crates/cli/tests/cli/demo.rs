//! `demo`: frames between two processes.

use crate::program::{Running, run, shared_names, wait_for};
use serde_json::Value;
use std::process::Command;

const SMALL: [&str; 5] = ["demo", "--frames", "20", "--size", "320x240"];

#[test]
fn a_small_run_tells_what_it_measured() {
    let demo = Running::start(&[&SMALL[..], &["--json"]].concat());
    let names = format!("ringlane-demo-{}", demo.id());
    let report = demo.finish().succeeded().json();
    for (field, value) in
        [("frames", 20), ("width", 320), ("height", 240), ("frame_bytes", 307_200), ("rounds", 5)]
    {
        assert_eq!(report[field], value, "{field}");
    }
    let positive = |value: &Value| value.as_f64().is_some_and(|number| number > 0.0);
    for way in ["ring", "bare"] {
        assert!(positive(&report[way]["frames_per_second"]));
        assert!(positive(&report[way]["gigabytes_per_second"]));
        let rounds = report[way]["round_frames_per_second"].as_array().expect("a list");
        assert_eq!(rounds.len(), 5);
        let latency = ["p50", "p90", "p99", "p99.9", "max"]
            .map(|quantile| report[way]["latency_ns"][quantile].as_u64().expect("a number"));
        assert!(latency.is_sorted(), "{latency:?}");
    }
    assert!(positive(&report["ratio"]));
    assert!(shared_names(&names).is_empty());
}

#[test]
fn the_text_says_the_same() {
    let text = run(&SMALL).succeeded().text();
    for part in
        ["20 frames of 320x240", "frames/s", "GB/s", "ratio", "p50", "p90", "p99", "p99.9", "max"]
    {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn the_smallest_frames_pass() {
    for frames in ["1", "2", "7"] {
        let report =
            run(&["demo", "--frames", frames, "--size", "1x1", "--json"]).succeeded().json();
        assert_eq!(report["frame_bytes"], 4);
    }
}

#[test]
fn one_processor_is_enough() {
    let mut command = Command::new("taskset");
    command.args(["-c", "0", crate::program::EXE]).args(SMALL).arg("--json");
    if Command::new("taskset").arg("--version").output().is_err() {
        eprintln!("SKIPPED one_processor_is_enough: there is no taskset");
        return;
    }
    let done = Running::start_command(&mut command).finish();
    if done.stderr.starts_with("taskset") {
        eprintln!("SKIPPED one_processor_is_enough: {}", done.stderr);
        return;
    }
    assert_eq!(done.succeeded().json()["cpus"], Value::Null);
}

/// The process of the demo that has this role.
fn worker(parent: u32, role: &str) -> u32 {
    wait_for("a worker process", || {
        let children = format!("/proc/{parent}/task/{parent}/children");
        let children = std::fs::read_to_string(children).ok()?;
        children.split_whitespace().find_map(|pid| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
            line.contains(&format!("--role\0{role}\0")).then(|| pid.parse().ok())?
        })
    })
}

fn is_gone(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.is_empty() || status.contains(") Z")
}

#[test]
fn a_killed_process_is_reported_and_leaves_nothing() {
    for (role, other) in [("producer", "consumer"), ("consumer", "producer")] {
        let demo = Running::start(&["demo", "--frames", "1000000", "--size", "640x480"]);
        let names = format!("ringlane-demo-{}", demo.id());
        let (victim, survivor) = (worker(demo.id(), role), worker(demo.id(), other));
        let killed = Command::new("kill").args(["-KILL", &victim.to_string()]).status();
        assert!(killed.expect("kill runs").success());
        demo.failed_after_kill(role);
        wait_for("the other process to be gone", || is_gone(survivor).then_some(()));
        assert!(shared_names(&names).is_empty());
    }
}

#[test]
fn a_killed_parent_takes_its_processes_along() {
    let mut demo = Running::start(&["demo", "--frames", "1000000", "--size", "640x480"]);
    let names = format!("ringlane-demo-{}", demo.id());
    let workers = ["producer", "consumer"].map(|role| worker(demo.id(), role));
    // Until both have the memory, its names have to be there.
    wait_for("both names to go", || shared_names(&names).is_empty().then_some(()));
    demo.kill();
    for pid in workers {
        wait_for("a worker to be gone", || is_gone(pid).then_some(()));
    }
    assert!(shared_names(&names).is_empty());
}

impl Running {
    fn failed_after_kill(self, role: &str) {
        let sentence = format!("the {role} process died: signal: 9 (SIGKILL)");
        assert_eq!(self.finish().failed(&[&sentence]).stdout, b"");
    }
}

#[test]
fn a_terminated_demo_leaves_nothing() {
    let demo = Running::start(&["demo", "--frames", "1000000", "--size", "640x480"]);
    let names = format!("ringlane-demo-{}", demo.id());
    // At any moment from here on, the earliest the memory's creation.
    wait_for("the memory", || {
        let made = !shared_names(&names).is_empty();
        let passed = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", demo.id()));
        (made || passed.is_ok_and(|children| !children.is_empty())).then_some(())
    });
    let ended = Command::new("kill").args(["-TERM", &demo.id().to_string()]).status();
    assert!(ended.expect("kill runs").success());
    assert!(demo.finish().status.code().is_none());
    assert!(shared_names(&names).is_empty());
}
