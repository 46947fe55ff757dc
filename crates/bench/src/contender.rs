//! One way to get messages across, and the rows that it takes part in.

use crate::link::{self, Link, halves};
use crate::row::{Measure, Row, Run};
use crate::side::{Sample, Side};

/// Whose code it is, what has to be said of it, and its rows: each is named after what is measured, so that
/// the rows of all contenders in one thing can be put beside each other.
///
/// ```
/// use ringlane_bench::{Contender, rows::links::Values};
///
/// let ours = Contender::new("ringlane values", "").trip::<Values<8>>();
/// assert_eq!(ours.rows()[0].name, "round trip 64 B: ringlane values");
/// ```
#[derive(Clone, Debug)]
pub struct Contender {
    by: &'static str,
    note: &'static str,
    threads: bool,
    rows: Vec<Row>,
}

/// Messages a second of the rows of lateness.
const RATES: [u64; 3] = [10_000, 100_000, 1_000_000];

impl Contender {
    /// Between processes.
    pub fn new(by: &'static str, note: &'static str) -> Contender {
        Contender { by, note, threads: false, rows: Vec::new() }
    }

    /// Between threads, which is said first.
    pub fn threads(by: &'static str, note: &'static str) -> Contender {
        Contender { threads: true, ..Contender::new(by, note) }
    }

    /// Its rows.
    pub fn rows(self) -> Vec<Row> {
        self.rows
    }

    fn add(
        mut self,
        measure: Measure,
        what: &str,
        (bytes, messages): (usize, u64),
        processes: fn(&Side) -> Sample,
        threads: Run,
    ) -> Contender {
        // As long as the program runs, and a few dozen at all.
        let name = Box::leak(format!("{what}: {}", self.by).into_boxed_str());
        let run = if self.threads { threads } else { Run::Processes(processes) };
        self.rows.push(Row { name, by: self.by, note: self.note, measure, bytes, messages, run });
        self
    }

    /// Round trips.
    #[must_use]
    pub fn trip<L: Link>(self) -> Contender {
        let bytes = 8 * L::WORDS;
        // Of the fastest, a tenth of a second.
        let messages = (60_000_000 / (200 + bytes / 3)) as u64;
        let what = format!("round trip {}", size(bytes));
        let threads = Run::Threads(|| halves(link::trip::<L>));
        self.add(Measure::RoundTrip, &what, (bytes, messages), link::trip::<L>, threads)
    }

    /// Messages one way.
    #[must_use]
    pub fn one_way<L: Link>(self) -> Contender {
        let bytes = 8 * L::WORDS;
        let messages = (6_000_000_000 / (200 + bytes)) as u64;
        let what = format!("one way {}", size(bytes));
        let threads = Run::Threads(|| halves(link::one_way::<L>));
        self.add(Measure::OneWay, &what, (bytes, messages), link::one_way::<L>, threads)
    }

    /// Round trips between sleepers.
    #[must_use]
    pub fn asleep<L: Link>(self) -> Contender {
        let bytes = 8 * L::WORDS;
        let what = format!("round trip {}, both asleep", size(bytes));
        let threads = Run::Threads(|| halves(link::asleep::<L>));
        self.add(Measure::RoundTrip, &what, (bytes, 1_000), link::asleep::<L>, threads)
    }

    /// How late messages are at fixed rates.
    #[must_use]
    pub fn paced<L: Link>(mut self) -> Contender {
        type Rated = (fn(&Side) -> Sample, Run);
        let runs: [Rated; 3] = [
            (
                link::paced::<L, { RATES[0] }>,
                Run::Threads(|| halves(link::paced::<L, { RATES[0] }>)),
            ),
            (
                link::paced::<L, { RATES[1] }>,
                Run::Threads(|| halves(link::paced::<L, { RATES[1] }>)),
            ),
            (
                link::paced::<L, { RATES[2] }>,
                Run::Threads(|| halves(link::paced::<L, { RATES[2] }>)),
            ),
        ];
        let bytes = 8 * L::WORDS;
        for (rate, (processes, threads)) in RATES.iter().zip(runs) {
            let what = format!("{} every {} us", size(bytes), 1_000_000 / rate);
            self = self.add(Measure::Late, &what, (bytes, rate / 5), processes, threads);
        }
        self
    }

    /// What a waiter costs, if it can sleep or not.
    #[must_use]
    pub fn idle<L: Link>(self) -> Contender {
        let threads = Run::Threads(|| halves(link::idle::<L>));
        self.add(Measure::Idle, "idle waiter", (8 * L::WORDS, 200), link::idle::<L>, threads)
    }

    /// What it takes to set up, and what it takes up: between processes only.
    #[must_use]
    pub fn costs<L: Link>(self) -> Contender {
        let bytes = 8 * L::WORDS;
        let (start, memory) = (link::start::<L>, link::memory::<L>);
        self.add(Measure::Start, "start", (bytes, 50), start, Run::Processes(start)).add(
            Measure::Memory,
            "memory",
            (bytes, 1),
            memory,
            Run::Processes(memory),
        )
    }
}

/// A number of bytes as people write it.
fn size(bytes: usize) -> String {
    match bytes {
        ..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        1_048_576 => "1 MiB".to_owned(),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
