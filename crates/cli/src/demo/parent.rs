//! The demo's first process: makes the memory, starts the other two, and tells how it went.

use super::lane::Bare;
use super::report::Report;
use super::{Args, Plan, Role};
use crate::output::{Failure, Outcome};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ringlane::{Name, SharedMemory, record};
use serde_json::Value;
use std::io::{BufRead, BufReader, IsTerminal};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Runs the whole demo.
pub(crate) fn run(args: &Args) -> Outcome {
    let cpus = ringlane_bench::cpus::pair();
    let plan = Plan { frames: args.frames.get(), size: args.size, yields: cpus.is_none() };
    let bar = progress_bar(args, &plan);
    let result = pass_frames(args, &plan, cpus, &bar);
    bar.finish_and_clear();
    let report = Report::new(&plan, cpus, &result?)?;
    if args.json { report.print_json() } else { report.print() }
}

fn pass_frames(
    args: &Args,
    plan: &Plan,
    cpus: Option<(usize, usize)>,
    bar: &ProgressBar,
) -> Outcome<Value> {
    let memory = Memory::make(plan)?;
    Children::start(args, &memory, cpus, !bar.is_hidden())?.watch(memory, bar)
}

fn progress_bar(args: &Args, plan: &Plan) -> ProgressBar {
    if args.json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let frames = plan.schedule().map(|round| round.frames).sum();
    let bar = ProgressBar::with_draw_target(Some(frames), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} frames, {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// The ring and the bare memory, by name while this lives.
struct Memory {
    ring: Name,
    bare: Name,
    /// Never read: dropping them removes the names.
    _owned: (record::Queue, SharedMemory),
    /// Dropped last: until then a signal that would end this process waits.
    _quiet: Quiet,
}

impl Memory {
    fn make(plan: &Plan) -> Outcome<Memory> {
        let too_large = || Failure::new(format!("frames of {} are too large", plan.size));
        let quiet = Quiet::begin()?;
        let id = std::process::id();
        let ring = Name::new(&format!("ringlane-demo-{id}"))?;
        let bare = Name::new(&format!("ringlane-demo-{id}-bare"))?;
        let len = plan.record_len();
        let queue = record::Queue::options().align(64).holding(2, len).create(&ring)?;
        let size = Bare::size(len).ok_or_else(too_large)?;
        let memory = SharedMemory::create(&bare, size)?;
        Ok(Memory { ring, bare, _owned: (queue, memory), _quiet: quiet })
    }
}

/// Holds back the signals that people end programs with.
#[cfg(unix)]
struct Quiet(nix::sys::signal::SigSet);

#[cfg(unix)]
impl Quiet {
    fn begin() -> Outcome<Quiet> {
        use nix::sys::signal::{SigSet, Signal};
        let set: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT]
            .into_iter()
            .collect();
        let blocked = set.thread_block();
        blocked.map_err(|e| Failure::new(format!("hold back signals: {}", e.desc())))?;
        Ok(Quiet(set))
    }
}

#[cfg(unix)]
impl Drop for Quiet {
    fn drop(&mut self) {
        // Of a set that could be blocked this cannot fail.
        let _ = self.0.thread_unblock();
    }
}

/// Nothing is left behind here, however this process ends.
#[cfg(windows)]
struct Quiet;

#[cfg(windows)]
impl Quiet {
    fn begin() -> Outcome<Quiet> {
        Ok(Quiet)
    }
}

/// What comes from a child.
enum Event {
    Said(Role, Value),
    /// Its output ended, and so did it, or it is about to.
    Ended(Role),
}

/// Both processes. Dropping this ends them.
struct Children {
    processes: Vec<(Role, Child)>,
    events: Receiver<Event>,
}

/// A child that reports a failure may only be the first to notice the other's death, which the system
/// tells us about within this time.
const GRACE: Duration = Duration::from_millis(300);

impl Children {
    fn start(
        args: &Args,
        memory: &Memory,
        cpus: Option<(usize, usize)>,
        progress: bool,
    ) -> Outcome<Children> {
        let (sender, events) = channel();
        let mut children = Children { processes: Vec::new(), events };
        for role in Role::BOTH {
            let cpu = cpus.map(|(first, second)| match role {
                Role::Producer => first,
                Role::Consumer => second,
            });
            let mut child = command(args, memory, role, cpu, progress)?
                .spawn()
                .map_err(|e| Failure::io(format_args!("start the {}", role.as_str()), &e))?;
            let stdout = child.stdout.take();
            children.processes.push((role, child));
            let sender = sender.clone();
            std::thread::Builder::new()
                .spawn(move || listen(role, stdout, &sender))
                .map_err(|e| Failure::io("start a thread", &e))?;
        }
        Ok(children)
    }

    /// Waits for the end of both, and gives the consumer's result.
    fn watch(&mut self, memory: Memory, bar: &ProgressBar) -> Outcome<Value> {
        let mut memory = Some(memory);
        // What each has said. The two are heard apart: one may be done before the other is heard at all.
        let (mut unready, mut undone) = (Role::BOTH.to_vec(), Role::BOTH.to_vec());
        let mut result = Value::Null;
        while !undone.is_empty() {
            let Ok(event) = self.events.recv() else {
                return Err(self.judge("both processes ended early".into()));
            };
            let (role, said) = match event {
                Event::Said(role, said) => (role, said),
                Event::Ended(role) if undone.contains(&role) => {
                    let text = format!("the {} process ended early", role.as_str());
                    return Err(self.judge(text));
                }
                Event::Ended(_) => continue,
            };
            if let Some(error) = said["error"].as_str() {
                return Err(self.judge(format!("the {}: {error}", role.as_str())));
            }
            if let Some(frames) = said["progress"].as_u64() {
                bar.set_position(frames);
            }
            if said.get("ready").is_some() {
                unready.retain(|other| *other != role);
            }
            if unready.is_empty() {
                // Both have all they need: from here on no death of anybody leaves a name behind.
                drop(memory.take());
            }
            if let Some(done) = said.get("done") {
                undone.retain(|other| *other != role);
                if role == Role::Consumer {
                    result = done.clone();
                }
            }
        }
        Ok(result)
    }

    /// Decides what to report: a death explains everything else, so it comes first.
    fn judge(&mut self, otherwise: String) -> Failure {
        let since = Instant::now();
        loop {
            for (role, child) in &mut self.processes {
                if let Ok(Some(status)) = child.try_wait()
                    && !status.success()
                {
                    return Failure::new(format!("the {} process died: {status}", role.as_str()));
                }
            }
            if since.elapsed() > GRACE {
                return Failure::new(otherwise);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for (_, child) in &mut self.processes {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn command(
    args: &Args,
    memory: &Memory,
    role: Role,
    cpu: Option<usize>,
    progress: bool,
) -> Outcome<Command> {
    let mut command = own_program()?;
    command.arg("demo-worker").args(["--role", role.as_str()]);
    command.args(["--ring", memory.ring.as_str(), "--bare", memory.bare.as_str()]);
    command.args(["--frames", &args.frames.to_string(), "--size", &args.size.to_string()]);
    command.args(["--parent", &std::process::id().to_string()]);
    if let Some(cpu) = cpu {
        command.args(["--cpu", &cpu.to_string()]);
    }
    if progress {
        command.arg("--progress");
    }
    // Where nothing else tells the child that this process is gone, the end of its input does.
    let stdin = if cfg!(target_os = "linux") { Stdio::null() } else { Stdio::piped() };
    command.stdin(stdin).stdout(Stdio::piped());
    Ok(command)
}

/// This very program, even if its file was replaced meanwhile.
#[cfg(target_os = "linux")]
fn own_program() -> Outcome<Command> {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("ringlane");
    Ok(command)
}

#[cfg(not(target_os = "linux"))]
fn own_program() -> Outcome<Command> {
    let path = std::env::current_exe();
    Ok(Command::new(path.map_err(|e| Failure::io("find this program", &e))?))
}

/// Passes on what a child says.
fn listen(role: Role, stdout: Option<impl std::io::Read>, events: &Sender<Event>) {
    if let Some(stdout) = stdout {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let said = serde_json::from_str(&line).unwrap_or(Value::Null);
            // Nobody listens any more when the demo has failed.
            let _ = events.send(Event::Said(role, said));
        }
    }
    let _ = events.send(Event::Ended(role));
}
