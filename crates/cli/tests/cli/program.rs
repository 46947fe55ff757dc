//! Starting the program, and waiting for what it does. Nothing here waits for a time to pass: each wait is
//! for a condition, and a watchdog fails the test if it never comes.

use serde_json::Value;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The watchdog: far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) const EXE: &str = env!("CARGO_BIN_EXE_ringlane");

/// Looks again and again until there is something.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A ring's name that no other test has; whatever has it is removed at the end.
pub(crate) struct RingName(String);

impl RingName {
    pub(crate) fn new(test: &str) -> RingName {
        RingName(format!("rlcli-{}-{test}", std::process::id()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from("/dev/shm").join(&self.0)
    }

    pub(crate) fn name(&self) -> ringlane::Name {
        ringlane::Name::new(&self.0).expect("a good name")
    }

    /// What `stat --json` says, if there is such a ring.
    pub(crate) fn stat(&self) -> Option<Value> {
        let done = run(&["stat", &self.0, "--json"]);
        done.status.success().then(|| done.json())
    }

    /// Waits until a number of `stat` is at least `least`.
    pub(crate) fn wait_count(&self, field: &str, least: u64) {
        let what = format!("{field} {least} of {}", self.0);
        wait_for(&what, || self.stat()?[field].as_u64().filter(|count| *count >= least));
    }

    /// Waits until this process holds an end.
    pub(crate) fn wait_holder(&self, end: &str, process: &Running) {
        wait_for(&format!("the {end} of {}", self.0), || {
            let stat = self.stat()?;
            let holder = &stat[end];
            (holder["alive"] == true && holder["pid"] == process.id()).then_some(())
        });
    }
}

impl Drop for RingName {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path());
    }
}

/// A running program, killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

/// What a program left when it ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Running {
    pub(crate) fn start(args: &[&str]) -> Running {
        Running::start_command(Command::new(EXE).args(args))
    }

    pub(crate) fn start_command(command: &mut Command) -> Running {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stderr = child.stderr.take().expect("piped");
        Running {
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: Some(std::thread::spawn(move || all_of(stderr))),
            child,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes bytes to its stdin, as long as it takes.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("still open");
        stdin.write_all(bytes).expect("it reads its stdin");
    }

    /// Writes bytes to its stdin and closes it, on a thread of its own.
    pub(crate) fn write_all_aside(&mut self, bytes: Vec<u8>) -> JoinHandle<()> {
        let mut stdin = self.stdin.take().expect("still open");
        // It may be killed meanwhile.
        std::thread::spawn(move || drop(stdin.write_all(&bytes)))
    }

    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn close_stdout(&mut self) {
        self.stdout = None;
    }

    /// Reads exactly so many bytes of its stdout, on a thread, so that the watchdog sees to it.
    pub(crate) fn read(&mut self, len: usize) -> Vec<u8> {
        let mut stdout = self.stdout.take().expect("still open");
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = vec![0; len];
            let read = stdout.read_exact(&mut bytes);
            sender.send((stdout, read.map(|()| bytes)))
        });
        let (stdout, bytes) = receiver.recv_timeout(PATIENCE).expect("it writes so much");
        self.stdout = Some(stdout);
        bytes.expect("it writes so much before it ends")
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
    }

    pub(crate) fn running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// Waits for its end; its stdin is closed.
    pub(crate) fn finish(mut self) -> Done {
        self.stdin = None;
        let stdout = self.stdout.take().map(|out| std::thread::spawn(move || all_of(out)));
        let status = wait_for("the end of a process", || self.child.try_wait().expect("our child"));
        let stdout = stdout.map(|thread| thread.join().expect("read")).unwrap_or_default();
        let stderr = self.stderr.take().map(|thread| thread.join().expect("read"));
        let stderr = String::from_utf8(stderr.unwrap_or_default()).expect("stderr is text");
        Done { status, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn all_of(mut from: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = from.read_to_end(&mut bytes);
    bytes
}

impl Done {
    /// It must have succeeded, in silence.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Done {
        assert!(self.status.success(), "{self:?}");
        assert_eq!(self.stderr, "");
        self
    }

    /// It must have failed with this one sentence, or with one that has all these parts.
    #[track_caller]
    pub(crate) fn failed(self, parts: &[&str]) -> Done {
        assert!(self.status.code().is_some_and(|code| code == 1 || code == 2), "{self:?}");
        let sentence = self.stderr.strip_suffix('\n').unwrap_or(&self.stderr);
        assert!(sentence.starts_with("ringlane: "), "{sentence}");
        assert!(!sentence.contains('\n'), "more than one line: {sentence}");
        for part in parts {
            assert!(sentence.contains(part), "no {part:?} in {sentence:?}");
        }
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).expect("stdout is JSON")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("stdout is text")
    }
}

/// Runs the program to its end without input.
pub(crate) fn run<S: AsRef<OsStr>>(args: &[S]) -> Done {
    Running::start_command(Command::new(EXE).args(args)).finish()
}

/// Runs the program to its end.
pub(crate) fn run_with(args: &[&str], input: &[u8]) -> Done {
    let mut running = Running::start(args);
    let writer = running.write_all_aside(input.to_vec());
    let done = running.finish();
    writer.join().expect("the writer ends with its reader");
    done
}

/// What is in /dev/shm and has this text in its name.
pub(crate) fn shared_names(text: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/dev/shm").expect("/dev/shm can be listed");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.contains(text)).collect()
}
