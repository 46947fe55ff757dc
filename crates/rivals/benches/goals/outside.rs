//! What is counted from outside: system calls by strace, and the size of a segment.

use ringlane::{Name, inspect, spsc};
use std::fmt;
use std::fs;
use std::process::{Command, Stdio};

/// The argument with which this program does one row and nothing else.
pub(crate) const ONCE: &str = "--once";

/// The bytes of a segment for so many values of 8 bytes.
pub(crate) fn segment_size(capacity: usize) -> Result<u64, String> {
    let name = format!("ringlane-goals-{}-{capacity}", std::process::id());
    let name = Name::new(&name).map_err(|e| e.to_string())?;
    let queue = spsc::Queue::<u64>::create(&name, capacity).map_err(|e| e.to_string())?;
    let report = inspect::report(&name).map_err(|e| e.to_string())?;
    drop(queue);
    Ok(report.size)
}

/// How many system calls a row makes more for how many messages more.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) calls: u64,
    pub(crate) messages: u64,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} more for {} M more", self.calls, self.messages / 1_000_000)
    }
}

/// Counts the system calls of both processes of a row.
pub(crate) fn system_calls(row: &str) -> Result<Counted, String> {
    let (short, long) = (2_000_000, 40_000_000);
    let (few, many) = (count(row, short)?, count(row, long)?);
    // The runs differ by some for their start, too.
    Ok(Counted { calls: many.saturating_sub(few), messages: long - short })
}

fn count(row: &str, messages: u64) -> Result<u64, String> {
    let out = std::env::temp_dir().join(format!("ringlane-goals-{}", std::process::id()));
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-o"]).arg(&out).arg(own).args([ONCE, &messages.to_string(), row]);
    let status = strace.stdin(Stdio::null()).status().map_err(|e| format!("strace: {e}"))?;
    let summary = fs::read_to_string(&out).map_err(|e| format!("strace's summary: {e}"))?;
    let _ = fs::remove_file(&out);
    if !status.success() {
        return Err(format!("strace ended with {status}"));
    }
    // The last line: `100.00  0.000123  2  1234  12 total`, of which the fourth is the calls.
    let total = summary.lines().find(|line| line.ends_with("total"));
    let calls = total.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    calls.ok_or_else(|| "strace's summary has no total".to_owned())
}
