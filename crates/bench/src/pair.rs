//! The two processes, or threads, of a run.

mod apart;

pub(crate) use apart::run_apart;

use crate::cpus::{self, Pinned};
use crate::parent::end_with_parent;
use crate::results::Timed;
use crate::row::{Half, Row, Run};
use crate::side::{SIZE, Sample, Side};
use nix::unistd::alarm;
use ringlane::{Mapping, Name, SharedMemory};
use std::fs;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

/// The first argument of an executable that is to be the second side.
const PEER: &str = "ringlane-bench-peer";

/// Seconds after which a second process is ended, whatever it does.
const LONGEST: u32 = 120;

/// One run: how much of what, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    pub(crate) row: &'a Row,
    pub(crate) messages: u64,
    /// Round trips of each probe of the floor; none if 0.
    pub(crate) probe: u64,
    /// The processors of the two sides.
    pub(crate) cpus: (usize, usize),
}

/// What a `main` that measures calls first: if this process was started to be the second side of a row, it is
/// that, and ends.
pub fn enter(rows: &[Row]) {
    let args: Vec<String> = std::env::args().collect();
    apart::enter(rows, &args);
    let [_, peer, row, name, messages, probe, cpu, parent] = &args[..] else { return };
    if peer != PEER {
        return;
    }
    let number = |text: &str| text.parse::<u64>().expect("a number from the first side");
    end_with_parent(number(parent) as i32).unwrap_or_else(|e| panic!("{e}"));
    alarm::set(LONGEST);
    cpus::pin(number(cpu) as usize).unwrap_or_else(|e| panic!("{e}"));
    let row = rows.iter().find(|known| known.name == row).expect("a row of both sides");
    let Run::Processes(run) = row.run else { panic!("{} is not for processes", row.name) };
    let words = Name::new(name).and_then(|name| SharedMemory::open(&name)?.map());
    let words = words.unwrap_or_else(|e| panic!("{e}"));
    take_part(&Side::new(false, name, number(messages), words), number(probe), run);
    std::process::exit(0);
}

/// What each side does in a run, in this order.
fn take_part(side: &Side, probe: u64, run: impl FnOnce(&Side) -> Sample) -> (f64, Sample, f64) {
    let floor = || if probe > 0 { side.probe(probe) } else { f64::NAN };
    side.meet();
    let before = floor();
    let sample = run(side);
    (before, sample, floor())
}

/// Runs a row once, without a floor, to be looked at from outside.
///
/// # Errors
/// One sentence.
pub fn run_bare(row: &Row, messages: u64) -> Result<(), String> {
    let cpus = cpus::pair().ok_or(ONE_PROCESSOR)?;
    let _pinned = Pinned::to(cpus.0)?;
    run(Job { row, messages, probe: 0, cpus }).map(drop)
}

/// Why there is nothing to be measured.
pub(crate) const ONE_PROCESSOR: &str =
    "two processors are needed, and this process may use one only";

/// The first part of all names that a process gives.
fn prefix(process: u32) -> String {
    format!("ringlane-bench-{process}-")
}

/// Removes what a process that failed has left under such names.
fn sweep(process: u32) {
    let prefix = prefix(process);
    for directory in ["/dev/shm".into(), std::env::temp_dir()] {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Runs a row once. The calling thread is the first side, and is on its processor already.
pub(crate) fn run(job: Job<'_>) -> Result<Timed, String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("{}{}", prefix(std::process::id()), NEXT.fetch_add(1, Ordering::Relaxed));
    let memory = Name::new(&name).and_then(|name| SharedMemory::create(&name, SIZE as u64));
    let memory = memory.map_err(|e| e.to_string())?;
    let map = || memory.map().map_err(|e| e.to_string());
    let side = Side::new(true, &name, job.messages, map()?);
    let (before, sample, after) = match job.row.run {
        Run::Processes(run) => {
            let ended = watch(start(job, &name)?, job.row.name);
            let taken = take_part(&side, job.probe, run);
            ended.recv().map_err(|_| "the second process was not waited for".to_owned())?;
            taken
        }
        Run::Threads(halves) => {
            let (first, second) = halves();
            let ended = second_thread(job, name, map()?, second);
            let taken = take_part(&side, job.probe, first);
            ended.recv().map_err(|_| "the second thread ended".to_owned())?;
            taken
        }
    };
    let each = sample.took.as_secs_f64() * 1e9 / sample.messages.max(1) as f64;
    Ok(Timed { round: 0, before, after, each, trips: sample.trips, slept: sample.slept })
}

/// Starts this executable as the second side.
fn start(job: Job<'_>, name: &str) -> Result<Child, String> {
    let own = std::env::current_exe().map_err(|e| format!("find this program: {e}"))?;
    let numbers = [job.messages, job.probe, job.cpus.1 as u64, u64::from(std::process::id())];
    let mut command = Command::new(own);
    command.args([PEER, job.row.name, name]).args(numbers.map(|number| number.to_string()));
    command.spawn().map_err(|e| format!("start the second process: {e}"))
}

/// Waits for the second process beside the first side, which would spin for ever without it.
fn watch(mut child: Child, row: &'static str) -> mpsc::Receiver<()> {
    let (tell, ended) = mpsc::channel();
    std::thread::spawn(move || {
        match child.wait() {
            Ok(status) if status.success() => {}
            Ok(status) => give_up(&format!("{row}: the second process ended with {status}")),
            Err(error) => give_up(&format!("{row}: wait for the second process: {error}")),
        }
        let _ = tell.send(());
    });
    ended
}

fn second_thread(job: Job<'_>, name: String, words: Mapping, run: Half) -> mpsc::Receiver<()> {
    let (tell, ended) = mpsc::channel();
    let (row, cpu) = (job.row.name, job.cpus.1);
    let (messages, probe) = (job.messages, job.probe);
    let work = move || {
        cpus::pin(cpu).unwrap_or_else(|e| panic!("{e}"));
        take_part(&Side::new(false, &name, messages, words), probe, run);
    };
    std::thread::spawn(move || {
        // The panic has been reported already.
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err() {
            give_up(&format!("{row}: the second thread failed"));
        }
        let _ = tell.send(());
    });
    ended
}

/// Ends the process while its first side may be spinning.
fn give_up(text: &str) -> ! {
    eprintln!("{text}");
    sweep(std::process::id());
    std::process::exit(1);
}
