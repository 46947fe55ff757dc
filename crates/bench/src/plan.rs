//! Which rows are run how often, and when a run counts.

use crate::cpus::{self, Pinned};
use crate::machine::{Machine, stolen};
use crate::pair::{self, Job, ONE_PROCESSOR};
use crate::results::{Measured, Results};
use crate::row::Row;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// What is run. All rows in turns, again and again.
///
/// ```no_run
/// let rows = ringlane_bench::rows::all();
/// ringlane_bench::enter(&rows);
/// let results = ringlane_bench::Plan::default().run(&rows)?;
/// print!("{}", results.table());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plan {
    /// How often each row is run.
    pub rounds: u32,
    /// When this has passed, no further round begins, but for the first.
    pub budget: Option<Duration>,
    /// At most so many messages a run, for those who only want to see that a row works.
    pub most: Option<u64>,
    /// Times as many messages a run.
    pub scale: u64,
    /// Each run in processes of its own, so that a row that fails or hangs is told of and the others go on.
    pub apart: bool,
    /// A run of about so long: it gets as many messages as a short one says, and no more than the row has.
    pub target: Option<Duration>,
    /// Whether to say how far it is, if stderr is a terminal.
    pub progress: bool,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            rounds: 7,
            budget: None,
            most: None,
            scale: 1,
            apart: false,
            target: None,
            progress: true,
        }
    }
}

/// Round trips of a probe of the floor.
const PROBE: u64 = 50_000;

/// The messages of a run that tells how many there should be: so small a part of what the row has, and at least
/// so many.
const PILOT: (u64, u64) = (200, 20);

/// How often a run is done if the floor moves during it each time.
const ATTEMPTS: u32 = 3;

impl Plan {
    /// Runs these rows.
    ///
    /// # Errors
    /// One sentence: too few processors, no memory, no second process.
    pub fn run(&self, rows: &[Row]) -> Result<Results, String> {
        let cpus = cpus::pair().ok_or(ONE_PROCESSOR)?;
        let _pinned = Pinned::to(cpus.0)?;
        let machine = Machine::here();
        let mut measured: Vec<Measured> = rows.iter().map(Measured::new).collect();
        let (start, stolen_before) = (Instant::now(), stolen(cpus));
        let mut longest = Duration::ZERO;
        let progress = self.progress && std::io::stderr().is_terminal();
        for round in 0..self.rounds {
            // A round that would not fit any more is not begun.
            if self.budget.is_some_and(|budget| round > 0 && start.elapsed() + longest > budget) {
                break;
            }
            let begun = Instant::now();
            // To and fro, so that no row always comes after the same other.
            let count = measured.len();
            for index in 0..count {
                let index = if round.is_multiple_of(2) { index } else { count - 1 - index };
                if progress {
                    eprint!("\rround {} of {}, row {:<2} ", round + 1, self.rounds, index + 1);
                }
                self.run_row(round, &mut measured[index], cpus)?;
            }
            longest = longest.max(begun.elapsed());
        }
        if progress {
            eprintln!();
        }
        let took = start.elapsed();
        let stolen = (stolen(cpus) - stolen_before) as f64 / 100.0 / took.as_secs_f64() / 2.0;
        Ok(Results { machine, measured, took, stolen })
    }

    fn run_row(
        &self,
        round: u32,
        measured: &mut Measured,
        cpus: (usize, usize),
    ) -> Result<(), String> {
        let row = measured.row;
        let most = self.most.unwrap_or(u64::MAX);
        let run = if self.apart { pair::run_apart } else { pair::run };
        let mut messages = (row.messages * self.scale).min(most);
        let job = |messages, probe| Job { row: &row, messages, probe, cpus };
        if let Some(target) = self.target.filter(|_| row.measure.is_scaled()) {
            if measured.messages == 0 {
                let few = (messages / PILOT.0).max(PILOT.1).min(messages);
                match run(job(few, 0)) {
                    Ok(pilot) => {
                        let fit = (target.as_nanos() as f64 / pilot.each) as u64;
                        measured.messages = fit.clamp(few, messages);
                    }
                    Err(text) if self.apart => measured.failed.push(text),
                    Err(text) => return Err(text),
                }
            }
            messages = messages.min(measured.messages.max(1));
        }
        // Whoever only wants to see that a row works has seen it.
        let attempts = if self.most.is_some() { 1 } else { ATTEMPTS };
        for _ in 0..attempts {
            if measured.failed.len() as u32 >= ATTEMPTS {
                break;
            }
            let mut timed = match run(job(messages, PROBE.min(most))) {
                Ok(timed) => timed,
                Err(text) if self.apart => {
                    measured.failed.push(text);
                    continue;
                }
                Err(text) => return Err(text),
            };
            if timed.is_steady() {
                timed.round = round;
                measured.runs.push(timed);
                break;
            }
            if timed.slept() {
                measured.discarded += 1;
            } else {
                measured.awake += 1;
            }
        }
        Ok(())
    }
}
