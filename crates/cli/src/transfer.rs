//! `send` and `recv`: stdin to stdout through a named record ring.

mod recv;
mod send;

pub(crate) use recv::{RecvArgs, recv};
pub(crate) use send::{SendArgs, send};

use crate::output;
use ringlane::record::{Options, Queue};
use serde_json::json;
use std::time::{Duration, Instant};

/// What both ends must give alike: the bytes are a stream, and the ring's name goes with its clean end.
const TAG: &str = "ringlane send/recv v1";

fn options() -> Options {
    Queue::options().tag(TAG).clone()
}

/// The value of `--timeout`.
fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "a number of seconds is wanted".to_owned())?;
    if number < 0.0 {
        return Err("a time is not negative".to_owned());
    }
    Duration::try_from_secs_f64(number).map_err(|_| "a number of seconds is wanted".to_owned())
}

/// The value of `--record` and `--capacity`.
fn byte_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a whole number of bytes from 1 on is wanted".to_owned()),
        Ok(count) => Ok(count),
    }
}

/// What has been passed on so far.
#[derive(Debug)]
struct Totals {
    since: Instant,
    bytes: u64,
    records: u64,
}

impl Totals {
    fn new() -> Totals {
        Totals { since: Instant::now(), bytes: 0, records: 0 }
    }

    fn add(&mut self, len: usize) {
        self.bytes += len as u64;
        self.records += 1;
    }

    /// The summary of `--json`, on stderr because stdout is data.
    fn print_json(&self, command: &str, ring: &str) {
        let summary = json!({
            "command": command,
            "ring": ring,
            "bytes": self.bytes,
            "records": self.records,
            "seconds": self.since.elapsed().as_secs_f64(),
        });
        output::note(&summary.to_string());
    }
}

/// Pauses between two looks at something that nobody announces.
#[derive(Debug)]
struct Backoff {
    pause: Duration,
    deadline: Option<Instant>,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(1);
    const LONGEST: Duration = Duration::from_millis(50);

    /// Pauses for at most `timeout` in all; one that is too long for a clock is for ever.
    fn new(timeout: Option<Duration>) -> Backoff {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Backoff { pause: Self::FIRST, deadline }
    }

    /// Pauses a little, longer each time. False if the time was up before.
    fn pause(&mut self) -> bool {
        let left = self.deadline.map(|d| d.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return false;
        }
        std::thread::sleep(self.pause.min(left.unwrap_or(self.pause)));
        self.pause = (self.pause * 2).min(Self::LONGEST);
        true
    }
}

/// Whoever removes a ring holds both of its ends for a moment, so an end that is held is looked at again
/// for this long before it counts as somebody's.
const GRACE: Duration = Duration::from_millis(200);
