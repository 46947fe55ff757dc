//! The machine that figures are from.

use serde_json::{Value, json};
use std::fs;
use std::time::Instant;

/// What has to be known of the machine to read the figures.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// How many processors there are.
    pub processors: usize,
    /// The kernel's version.
    pub kernel: String,
    /// What a reading of the clock costs in nanoseconds: single round trips include one.
    pub clock: f64,
}

impl Machine {
    /// This one.
    pub fn here() -> Machine {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let info = read("/proc/cpuinfo");
        let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Machine {
            processor: model.map_or("unknown", |(_, name)| name.trim()).to_owned(),
            processors: info.lines().filter(|line| line.starts_with("processor")).count(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            clock: clock(),
        }
    }

    /// As an object.
    pub fn to_json(&self) -> Value {
        json!({
            "processor": self.processor,
            "processors": self.processors,
            "kernel": self.kernel,
            "clock_ns": self.clock,
        })
    }
}

fn clock() -> f64 {
    const READINGS: u32 = 100_000;
    let start = Instant::now();
    for _ in 0..READINGS {
        std::hint::black_box(Instant::now());
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(READINGS)
}

/// Hundredths of a second that the host took from two processors since they started, as far as it tells.
pub(crate) fn stolen(cpus: (usize, usize)) -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let of = |cpu: usize| {
        let line =
            stat.lines().find(|line| line.split(' ').next() == Some(&format!("cpu{cpu}")))?;
        line.split_whitespace().nth(8)?.parse::<u64>().ok()
    };
    of(cpus.0).unwrap_or(0) + of(cpus.1).unwrap_or(0)
}
