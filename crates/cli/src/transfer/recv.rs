//! The receiving side: each record is written out and then released, so a killed recv loses nothing. The
//! record that it was writing comes again to the next one.
#![allow(unsafe_code, reason = "writes records out in place")]

use super::{Backoff, GRACE, Totals, options, seconds};
use crate::output::{self, Failure, Outcome};
use ringlane::record::Consumer;
use ringlane::{ErrorKind, Name, Peer, PopError, inspect};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

/// Receive what `send` sends, to stdout or a file
///
/// Waits for the ring to appear. Ends when the ring is closed and empty, and removes its name then. If
/// `send` dies, it delivers what was committed and fails; the ring stays for a new `send`. After a `recv`
/// that was killed, the next one goes on: at most the record that was in hand, or its beginning, comes twice.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ringlane recv photos | tar x")]
pub(crate) struct RecvArgs {
    /// The ring's name
    name: String,
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Add to the file, to go on after a recv that was killed
    #[arg(long, requires = "output")]
    append: bool,
    /// Give up if the ring or the next record keeps this command waiting for so long
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Print a JSON summary to stderr at the end
    #[arg(long)]
    json: bool,
}

/// Receives until the clean end.
pub(crate) fn recv(args: &RecvArgs) -> Outcome {
    let name = Name::new(&args.name)?;
    let output = open_output(args)?;
    let consumer = take_end(args, &name)?;
    empty_output(args, &output)?;
    let mut receiver = Receiver { args, name, output, totals: Totals::new() };
    receiver.run(consumer)?;
    if args.json {
        receiver.totals.print_json("recv", receiver.name.as_str());
    }
    Ok(())
}

/// A file and nothing around it: a record that is written has left this process.
fn open_output(args: &RecvArgs) -> Outcome<File> {
    let opened = match &args.output {
        // Emptied later: what is in it is not lost to a ring that cannot be had.
        Some(path) => {
            let mut how = File::options();
            how.create(true).write(true).append(args.append).truncate(false).open(path)
        }
        None => return output::standard(std::io::stdout().as_fd(), "stdout"),
    };
    opened.map_err(|e| Failure::io(format_args!("open {}", output_name(args)), &e))
}

fn empty_output(args: &RecvArgs, output: &File) -> Outcome {
    let emptied = match &args.output {
        Some(_) if !args.append => output.metadata().and_then(|about| match about.is_file() {
            true => output.set_len(0),
            false => Ok(()),
        }),
        _ => Ok(()),
    };
    emptied.map_err(|e| Failure::io(format_args!("empty {}", output_name(args)), &e))
}

fn output_name(args: &RecvArgs) -> String {
    args.output
        .as_ref()
        .map_or("stdout".to_owned(), |path| format!("{:?}", path.display().to_string()))
}

/// Takes the consuming end of the ring, once there is such a ring.
fn take_end(args: &RecvArgs, name: &Name) -> Outcome<Consumer> {
    let mut absent = Backoff::new(args.timeout);
    let mut held = None;
    loop {
        match options().open(name).and_then(|queue| queue.consumer()) {
            Ok(end) => return Ok(end),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                if !absent.pause() {
                    let text =
                        format!("receive from ring {:?}: no such ring appeared", name.as_str());
                    return Err(Failure::new(format!("{text} for {} s", waited(args))));
                }
            }
            Err(e) if e.kind() == ErrorKind::InUse => {
                if !held.get_or_insert_with(|| Backoff::new(Some(GRACE))).pause() {
                    return Err(e.into());
                }
            }
            Err(e) => return Err(e.into()),
        }
    }
}

fn waited(args: &RecvArgs) -> f64 {
    args.timeout.unwrap_or_default().as_secs_f64()
}

struct Receiver<'a> {
    args: &'a RecvArgs,
    name: Name,
    output: File,
    totals: Totals,
}

impl Receiver<'_> {
    /// Delivers until the ring is closed and empty, then removes its name.
    fn run(&mut self, mut consumer: Consumer) -> Outcome {
        loop {
            self.deliver(&mut consumer)?;
            // Another send may have taken the ring up already: then it is not at its end.
            if consumer.peer() == Peer::Alive {
                continue;
            }
            consumer.close();
            match inspect::remove_drained(&self.name) {
                Ok(true) => return Ok(()),
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
                Err(e) if e.kind() != ErrorKind::InUse => return Err(e.into()),
                Ok(false) | Err(_) => {}
            }
            // Taken up since our last look: by a send, which needs us or has left something and gone, or by
            // another recv.
            match options().open(&self.name).and_then(|queue| queue.consumer()) {
                Ok(again) => consumer = again,
                Err(_) => return Ok(()),
            }
        }
    }

    /// Writes records out until the producer has closed its end.
    fn deliver(&mut self, consumer: &mut Consumer) -> Outcome {
        loop {
            let next = match self.args.timeout {
                Some(timeout) => consumer.read_timeout(timeout),
                None => consumer.read(),
            };
            let record = match next {
                Ok(record) => record,
                Err(PopError::Closed) => return Ok(()),
                Err(error) => return Err(self.failure(error)),
            };
            // SAFETY: the tag says that the other end is this program's send, which does not touch a
            // committed record until it is released; it goes to the kernel, which takes any bytes.
            let bytes = unsafe { record.as_slice() };
            if let Err(error) = self.output.write_all(bytes) {
                drop(record);
                return Err(self.output_failure(&error));
            }
            self.totals.add(record.len());
            record.release();
        }
    }

    fn output_failure(&self, error: &std::io::Error) -> Failure {
        let text = format!(
            "write {}: {error} (record {} is not acknowledged and stays in ring {:?})",
            output_name(self.args),
            self.totals.records + 1,
            self.name.as_str()
        );
        Failure::new(text)
    }

    fn failure(&self, error: PopError) -> Failure {
        let ring = format!("receive from ring {:?}", self.name.as_str());
        let Totals { records, bytes, .. } = self.totals;
        Failure::new(match error {
            PopError::PeerDied => format!(
                "{ring}: the sender died; all {records} records ({bytes} bytes) it committed are \
                 delivered and the ring stays for a new sender"
            ),
            PopError::Empty => format!("{ring}: no record came for {} s", waited(self.args)),
            other => format!("{ring}: {other}"),
        })
    }
}
