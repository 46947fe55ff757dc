//! What the demo found, for people and for programs.

use super::{Plan, Size};
use crate::output::{self, Failure, Outcome};
use serde_json::{Value, json};

/// What was measured.
pub(super) struct Report {
    frames: u64,
    size: Size,
    frame_bytes: usize,
    rounds: u64,
    cpus: Option<(usize, usize)>,
    ring: Rate,
    bare: Rate,
}

/// What was measured of one way.
struct Rate {
    /// Frames a second, the median of the rounds.
    median: f64,
    rounds: Vec<f64>,
    latency: Value,
}

const QUANTILES: [&str; 5] = ["p50", "p90", "p99", "p99.9", "max"];

impl Report {
    pub(super) fn new(
        plan: &Plan,
        cpus: Option<(usize, usize)>,
        result: &Value,
    ) -> Outcome<Report> {
        let way = |name: &str| Rate::new(&result[name]);
        let (Some(ring), Some(bare)) = (way("ring"), way("bare")) else {
            return Err(Failure::new("the consumer process gave no result"));
        };
        let frame_bytes = plan.pixel_bytes();
        let (frames, size, rounds) = (plan.frames, plan.size, plan.rounds());
        Ok(Report { frames, size, frame_bytes, rounds, cpus, ring, bare })
    }

    fn ratio(&self) -> f64 {
        self.ring.median / self.bare.median
    }

    fn gigabytes(&self, rate: &Rate) -> f64 {
        rate.median * self.frame_bytes as f64 / 1e9
    }

    pub(super) fn print(&self) -> Outcome {
        let cpus = match self.cpus {
            Some((producer, consumer)) => format!("cpus {producer} and {consumer}"),
            None if cfg!(target_os = "linux") => "one cpu".to_owned(),
            None => "cpus of the system's choice".to_owned(),
        };
        let frame = output::bytes(self.frame_bytes as u64);
        output::print(&format!(
            "{} frames of {} RGBA, {frame} each, every byte checked, on {cpus}",
            self.frames, self.size
        ))?;
        for (name, rate) in [("ring", &self.ring), ("bare", &self.bare)] {
            let gigabytes = self.gigabytes(rate);
            output::print(&format!(
                "{name}  {:>9.1} frames/s  {gigabytes:>6.2} GB/s",
                rate.median
            ))?;
        }
        output::print(&format!(
            "ratio {:.3} of the bare loop's rate, medians of {} rounds each",
            self.ratio(),
            self.rounds
        ))?;
        output::print("hand-over in us, the wait for a busy reader included")?;
        for (name, rate) in [("ring", &self.ring), ("bare", &self.bare)] {
            let quantiles = QUANTILES.map(|quantile| {
                let nanoseconds = rate.latency[quantile].as_u64().unwrap_or(0);
                format!("{quantile} {:.2}", nanoseconds as f64 / 1000.0)
            });
            output::print(&format!("{name}  {}", quantiles.join("  ")))?;
        }
        Ok(())
    }

    pub(super) fn print_json(&self) -> Outcome {
        output::print_json(&json!({
            "frames": self.frames,
            "width": self.size.width,
            "height": self.size.height,
            "frame_bytes": self.frame_bytes,
            "rounds": self.rounds,
            "cpus": self.cpus.map(|(producer, consumer)| [producer, consumer]),
            "ring": self.rate_json(&self.ring),
            "bare": self.rate_json(&self.bare),
            "ratio": self.ratio(),
        }))
    }

    fn rate_json(&self, rate: &Rate) -> Value {
        json!({
            "frames_per_second": rate.median,
            "gigabytes_per_second": self.gigabytes(rate),
            "round_frames_per_second": rate.rounds,
            "latency_ns": rate.latency,
        })
    }
}

impl Rate {
    /// Reads what the consumer said.
    fn new(said: &Value) -> Option<Rate> {
        let rounds: Vec<f64> =
            said["rates"].as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?;
        let mut sorted = rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let (low, high) =
            (sorted.get((sorted.len().checked_sub(1)?) / 2)?, sorted.get(sorted.len() / 2)?);
        let median = (low + high) / 2.0;
        Some(Rate { median, rounds, latency: said["latency_ns"].clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let median = |rates: &[f64]| Rate::new(&json!({ "rates": rates })).map(|rate| rate.median);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }
}
