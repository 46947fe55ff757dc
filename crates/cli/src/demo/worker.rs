//! One of the demo's two processes.

use super::lane::{Bare, Read, RingReader, RingWriter, Write};
use super::{Plan, Role, Round, Way, WorkerArgs, frame};
use crate::output::{self, Failure, Outcome};
use hdrhistogram::Histogram;
use ringlane::{Name, Wait, record};
use serde_json::{Value, json};
use std::time::Duration;

/// How often the parent is told how far it got.
const PROGRESS: Duration = Duration::from_millis(100);

/// Latencies are told apart to three digits, up to this many nanoseconds.
const LONGEST: u64 = 600_000_000_000;

/// Does one process's part. The parent reads what it says: one JSON object a line.
pub(crate) fn work(args: &WorkerArgs) -> Outcome {
    match attempt(args) {
        Ok(result) => output::print_json(&json!({ "done": result })),
        Err(failure) => output::print_json(&json!({ "error": failure.to_string() })),
    }
}

fn attempt(args: &WorkerArgs) -> Outcome<Value> {
    ringlane_bench::end_with_parent(args.parent).map_err(Failure::new)?;
    if let Some(cpu) = args.cpu {
        ringlane_bench::cpus::pin(cpu).map_err(Failure::new)?;
    }
    let plan = Plan { frames: args.frames.get(), size: args.size, yields: args.cpu.is_none() };
    let queue = record::Queue::open(&Name::new(&args.ring)?)?;
    let bare = Bare::open(&Name::new(&args.bare)?, &plan)?;
    let wait = if plan.yields { Wait::Yield } else { Wait::Spin };
    match args.role {
        Role::Producer => {
            let mut end = queue.producer()?;
            end.set_wait(wait);
            output::print_json(&json!({ "ready": true }))?;
            produce(&plan, bare, RingWriter(end, plan.record_len()))
        }
        Role::Consumer => {
            let mut end = queue.consumer()?;
            end.set_wait(wait);
            output::print_json(&json!({ "ready": true }))?;
            Consuming::new(args.progress)?.consume(&plan, bare, RingReader(end))
        }
    }
}

fn produce(plan: &Plan, mut bare: Bare, mut ring: RingWriter) -> Outcome<Value> {
    let mut number = 0;
    for round in plan.schedule() {
        match round.way {
            Way::Bare => write_round(&mut bare, round, number)?,
            Way::Ring => write_round(&mut ring, round, number)?,
        }
        number += round.frames;
    }
    Ok(Value::Null)
}

fn write_round(lane: &mut impl Write, round: Round, first: u64) -> Outcome {
    let start = frame::now();
    for number in first..first + round.frames {
        lane.put(|bytes| frame::write(number, start, bytes))?;
    }
    lane.drain()
}

/// What the consumer counts.
struct Consuming {
    latency: [Histogram<u64>; 2],
    rates: [Vec<f64>; 2],
    frames: u64,
    progress: bool,
    told: u64,
}

impl Consuming {
    fn new(progress: bool) -> Outcome<Consuming> {
        let histogram = || {
            Histogram::new_with_bounds(1, LONGEST, 3)
                .map_err(|e| Failure::new(format!("make a histogram: {e}")))
        };
        let latency = [histogram()?, histogram()?];
        Ok(Consuming { latency, rates: [vec![], vec![]], frames: 0, progress, told: 0 })
    }

    fn consume(mut self, plan: &Plan, mut bare: Bare, mut ring: RingReader) -> Outcome<Value> {
        for round in plan.schedule() {
            match round.way {
                Way::Bare => self.read_round(&mut bare, round)?,
                Way::Ring => self.read_round(&mut ring, round)?,
            }
        }
        Ok(json!({
            "bare": way_json(&self.rates[0], &self.latency[0]),
            "ring": way_json(&self.rates[1], &self.latency[1]),
        }))
    }

    fn read_round(&mut self, lane: &mut impl Read, round: Round) -> Outcome {
        let way = round.way as usize;
        let mut began = 0;
        for number in self.frames..self.frames + round.frames {
            let times = lane.take(|bytes| {
                let came = frame::now();
                frame::check(number, bytes).map(|times| (came, times))
            })?;
            let (came, times) = times.map_err(|wrong| Failure::new(wrong.to_string()))?;
            began = times.round_start;
            if !round.warm_up {
                let latency = came.saturating_sub(times.handed_over);
                self.latency[way].saturating_record(latency);
            }
            self.tell(number + 1, came)?;
        }
        self.frames += round.frames;
        if !round.warm_up {
            let nanoseconds = frame::now().saturating_sub(began).max(1);
            self.rates[way].push(round.frames as f64 * 1e9 / nanoseconds as f64);
        }
        Ok(())
    }

    /// Says how many frames came, now and then.
    fn tell(&mut self, frames: u64, now: u64) -> Outcome {
        if !self.progress || u128::from(now.saturating_sub(self.told)) < PROGRESS.as_nanos() {
            return Ok(());
        }
        self.told = now;
        output::print_json(&json!({ "progress": frames }))
    }
}

fn way_json(rates: &[f64], latency: &Histogram<u64>) -> Value {
    json!({
        "rates": rates,
        "latency_ns": {
            "p50": latency.value_at_quantile(0.5),
            "p90": latency.value_at_quantile(0.9),
            "p99": latency.value_at_quantile(0.99),
            "p99.9": latency.value_at_quantile(0.999),
            "max": latency.max(),
        },
    })
}
