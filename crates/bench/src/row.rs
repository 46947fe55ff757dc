//! Something that can be timed.

use crate::side::{Sample, Side};

/// One row of a table: who does what with how many bytes.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What it is called; no two are called the same.
    pub name: &'static str,
    /// Whose code it is: `ringlane`, `bare`, or a rival.
    pub by: &'static str,
    /// What has to be said beside its figures, such as `threads`.
    pub note: &'static str,
    /// What is measured.
    pub measure: Measure,
    /// Bytes of a message.
    pub bytes: usize,
    /// Messages, or round trips, of a run: about a tenth of a second of them.
    pub messages: u64,
    /// What the two sides do.
    pub run: Run,
}

/// What a row measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The time from sending to having the answer.
    RoundTrip,
    /// How many messages go one way in a time.
    OneWay,
    /// How late messages are that were due at a fixed rate.
    Late,
    /// The part of a processor that a side takes while it waits for nothing.
    Idle,
    /// The time from nothing to the first answer.
    Start,
    /// Bytes.
    Memory,
}

impl Measure {
    /// Whether it may be done with any number of messages.
    pub(crate) fn is_scaled(self) -> bool {
        matches!(self, Measure::RoundTrip | Measure::OneWay)
    }

    /// What it is called in reports.
    pub fn name(self) -> &'static str {
        match self {
            Measure::RoundTrip => "round trip",
            Measure::OneWay => "one way",
            Measure::Late => "late",
            Measure::Idle => "idle",
            Measure::Start => "start",
            Measure::Memory => "memory",
        }
    }
}

/// How the two sides of a row live.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// In two processes, each doing this.
    Processes(fn(&Side) -> Sample),
    /// In two threads of one process, for what cannot be shared. Makes what each does.
    Threads(fn() -> (Half, Half)),
}

/// What one of two threads does.
pub type Half = Box<dyn FnOnce(&Side) -> Sample + Send>;

impl Row {
    /// A row of round trips between two processes.
    pub const fn trip(
        name: &'static str,
        bytes: usize,
        messages: u64,
        run: fn(&Side) -> Sample,
    ) -> Row {
        let (run, measure) = (Run::Processes(run), Measure::RoundTrip);
        Row { name, by: "ringlane", note: "", measure, bytes, messages, run }
    }

    /// A row of messages that go one way between two processes.
    pub const fn one_way(
        name: &'static str,
        bytes: usize,
        messages: u64,
        run: fn(&Side) -> Sample,
    ) -> Row {
        Row { measure: Measure::OneWay, ..Row::trip(name, bytes, messages, run) }
    }

    /// The same row between threads.
    pub const fn threads(self, run: fn() -> (Half, Half)) -> Row {
        Row { run: Run::Threads(run), note: "threads", ..self }
    }

    /// The same row, as somebody else's.
    pub const fn by(self, by: &'static str) -> Row {
        Row { by, ..self }
    }

    /// The same row with a remark.
    pub const fn note(self, note: &'static str) -> Row {
        Row { note, ..self }
    }
}
