//! What the program says: one sentence when it fails, text or JSON when it does not.

#[cfg(target_os = "linux")]
mod standard;

#[cfg(target_os = "linux")]
pub(crate) use standard::standard;

use serde_json::Value;
use std::fmt;
use std::io::Write;

/// The result of everything that can fail in one sentence.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Why a command failed: one sentence without a full stop.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Failure {
        Failure(text.into())
    }

    /// What was tried, and what the system said.
    pub(crate) fn io(tried: impl fmt::Display, error: &std::io::Error) -> Failure {
        Failure(format!("{tried}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ringlane::Error> for Failure {
    fn from(error: ringlane::Error) -> Failure {
        Failure(error.to_string())
    }
}

/// Writes the one sentence to stderr. Names and file contents can be in it, so it is kept to one line
/// and has nothing in it that could upset a terminal.
pub(crate) fn sentence(text: &str) {
    let text: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    // Without a stderr there is nobody to tell; the exit code tells it, too.
    let _ = writeln!(std::io::stderr(), "ringlane: {text}");
}

/// Writes a line to stderr that is no failure.
#[cfg(target_os = "linux")]
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes text to stdout, with a newline.
pub(crate) fn print(text: &str) -> Outcome {
    // Not `println!`, which panics if the reader went away.
    writeln!(std::io::stdout(), "{text}").map_err(|e| Failure::io("write to stdout", &e))
}

/// Writes a JSON value to stdout, on one line.
pub(crate) fn print_json(value: &Value) -> Outcome {
    print(&value.to_string())
}

/// A number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    let units = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut amount = count as f64 / 1000.0;
    let mut unit = 0;
    while amount >= 999.95 && unit + 1 < units.len() {
        amount /= 1000.0;
        unit += 1;
    }
    format!("{amount:.1} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_a_unit() {
        let shown: Vec<String> = [0, 999, 1000, 65_536, 999_960, u64::MAX].map(bytes).into();
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "65.5 kB", "1.0 MB", "18.4 EB"]);
    }
}
