//! The sending side: input, cut into records, read straight into the ring.
#![allow(unsafe_code, reason = "reads input into reserved room in place")]

use super::{Backoff, GRACE, Totals, byte_count, options, seconds};
use crate::output::{self, Failure, Outcome};
use ringlane::record::Producer;
use ringlane::{ErrorKind, Lifetime, Name, ReserveError};
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

/// Send stdin, or a file, through a ring
///
/// Makes the ring, or takes up one whose sender died or detached. Ends when `recv` has read everything.
/// If `recv` dies, it waits for another one and goes on; if `recv` gives up, it fails.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  tar c photos | ringlane send photos")]
pub(crate) struct SendArgs {
    /// The ring's name
    name: String,
    /// Send this file instead of stdin
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// The longest record
    #[arg(long, value_name = "BYTES", default_value = "65536", value_parser = byte_count)]
    record: usize,
    /// The size of a new ring; it takes records of a little less than half of that
    #[arg(long, value_name = "BYTES", default_value = "1048576", value_parser = byte_count)]
    capacity: usize,
    /// End when everything is in the ring; a later recv reads it
    #[arg(long)]
    detach: bool,
    /// Give up if recv keeps this command waiting for so long
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Print a JSON summary to stderr at the end
    #[arg(long)]
    json: bool,
}

/// Sends all input.
pub(crate) fn send(args: &SendArgs) -> Outcome {
    let name = Name::new(&args.name)?;
    let mut input = open_input(args)?;
    let producer = take_end(args, &name)?;
    let mut sender = Sender { args, name, producer, totals: Totals::new() };
    while sender.pass_one(&mut input)? {}
    if !args.detach {
        sender.flush()?;
    }
    let Sender { name, producer, totals, .. } = sender;
    producer.close();
    if args.json {
        totals.print_json("send", name.as_str());
    }
    Ok(())
}

/// A file and nothing around it: what is read goes straight into the ring.
fn open_input(args: &SendArgs) -> Outcome<File> {
    let opened = match &args.input {
        Some(path) => File::open(path),
        None => return output::standard(std::io::stdin().as_fd(), "stdin"),
    };
    opened.map_err(|e| Failure::io(format_args!("open {}", input_name(args)), &e))
}

fn input_name(args: &SendArgs) -> String {
    args.input
        .as_ref()
        .map_or("stdin".to_owned(), |path| format!("{:?}", path.display().to_string()))
}

/// Takes the producing end of the ring, which is made if there is none.
fn take_end(args: &SendArgs, name: &Name) -> Outcome<Producer> {
    let mut options = options();
    options.capacity(args.capacity).lifetime(Lifetime::Persistent);
    let mut held = None;
    loop {
        // Opened first: where the ring is, a full /dev/shm is no obstacle.
        let found = match options.open(name) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Before anything has the name.
                if let Ok(max) = options.max_len() {
                    check_record(args, name, args.capacity, max)?;
                }
                options.create(name)
            }
            found => found,
        };
        if let Ok(queue) = &found {
            check_record(args, name, queue.capacity(), queue.max_len())?;
        }
        match found.and_then(|queue| queue.producer()) {
            Ok(end) => return Ok(end),
            // Made or removed by somebody else between two of our steps.
            Err(e) if matches!(e.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => {}
            Err(e) if e.kind() == ErrorKind::InUse => {
                if !held.get_or_insert_with(|| Backoff::new(Some(GRACE))).pause() {
                    return Err(e.into());
                }
            }
            Err(e) => return Err(e.into()),
        }
    }
}

fn check_record(args: &SendArgs, name: &Name, capacity: usize, max: usize) -> Outcome {
    if args.record <= max {
        return Ok(());
    }
    let text = format!(
        "ring {:?} of {capacity} bytes takes records of at most {max} bytes, less than the {} of --record",
        name.as_str(),
        args.record
    );
    Err(Failure::new(text))
}

struct Sender<'a> {
    args: &'a SendArgs,
    name: Name,
    producer: Producer,
    totals: Totals,
}

impl Sender<'_> {
    /// Passes one record on: as much as the input has at once. False at its end.
    fn pass_one(&mut self, input: &mut File) -> Outcome<bool> {
        loop {
            let room = match self.args.timeout {
                Some(timeout) => self.producer.reserve_timeout(self.args.record, timeout),
                None => self.producer.reserve(self.args.record),
            };
            let mut room = match room {
                Ok(room) => room,
                Err(error) => {
                    self.settle(error)?;
                    continue;
                }
            };
            // SAFETY: the tag says that the other end is this program's recv, which reads only what is
            // committed; this process holds the only producing end.
            let bytes = unsafe { room.as_mut_slice() };
            let len = read_some(input, bytes)
                .map_err(|e| Failure::io(format_args!("read {}", input_name(self.args)), &e))?;
            if len == 0 {
                return Ok(false);
            }
            room.commit_len(len);
            self.totals.add(len);
            return Ok(true);
        }
    }

    /// Waits until recv has released everything, whichever recv that is.
    fn flush(&mut self) -> Outcome {
        while let Err(error) = self.producer.flush(self.args.timeout) {
            self.settle(error)?;
        }
        Ok(())
    }

    /// Decides what to do when the ring gives no room: wait for another recv, or fail.
    fn settle(&mut self, error: ReserveError) -> Outcome {
        let ring = format!("ring {:?}", self.name.as_str());
        match error {
            ReserveError::PeerDied => self.wait_peer(&ring),
            // Closed before our first record: that was a recv of an earlier send.
            ReserveError::Closed if self.totals.records == 0 => self.wait_peer(&ring),
            ReserveError::Closed => Err(Failure::new(format!(
                "send to {ring}: recv gave up before it had read everything; what it left stays in the ring"
            ))),
            ReserveError::Full => Err(Failure::new(format!(
                "send to {ring}: nobody read it for {} s",
                self.args.timeout.unwrap_or_default().as_secs_f64()
            ))),
            other => Err(Failure::new(format!("send to {ring}: {other}"))),
        }
    }

    fn wait_peer(&mut self, ring: &str) -> Outcome {
        if self.producer.wait_peer(self.args.timeout) {
            return Ok(());
        }
        let waited = self.args.timeout.unwrap_or_default().as_secs_f64();
        Err(Failure::new(format!("send to {ring}: no recv came for {waited} s")))
    }
}

/// One read, which a signal does not end.
fn read_some(input: &mut File, bytes: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match input.read(bytes) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
