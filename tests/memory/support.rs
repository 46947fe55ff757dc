//! Names, second processes, and waiting with a watchdog.

use crate::common::own_program;
use ringlane::{Error, ErrorKind, Lifetime, Name, OpenOptions, SharedMemory};
use std::fmt::Debug;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const PART: &str = "RINGLANE_TEST_PART";
const NAME: &str = "RINGLANE_TEST_NAME";

/// Any user but root.
pub(crate) const STRANGER: u32 = 65534;

/// A name of one test's own, gone when it ends.
pub(crate) struct Scratch(pub(crate) Name);

impl Scratch {
    pub(crate) fn new() -> Scratch {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringlane-memory-{}-{number}", std::process::id());
        Scratch(Name::new(&name).expect("a plain name"))
    }

    pub(crate) fn path(&self) -> String {
        path(&self.0)
    }

    pub(crate) fn exists(&self) -> bool {
        std::fs::symlink_metadata(self.path()).is_ok()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path());
        let _ = std::fs::remove_dir(self.path());
    }
}

pub(crate) fn path(name: &Name) -> String {
    format!("/dev/shm/{name}")
}

pub(crate) fn read_write() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options
}

/// A new object that stays when its handle goes.
pub(crate) fn leave_behind(name: &Name, size: u64) {
    let mut options = read_write();
    options.create_new(true).size(size).lifetime(Lifetime::Persistent).open(name).unwrap();
}

/// What is said of a size of 2^40 bytes: in 32 bits there are no such numbers.
pub(crate) const MORE_THAN_THERE_IS: ErrorKind = match size_of::<usize>() {
    8 => ErrorKind::NoSpace,
    _ => ErrorKind::InvalidSize,
};

pub(crate) fn kind<T: Debug>(result: Result<T, Error>) -> ErrorKind {
    result.expect_err("this should have been refused").kind()
}

pub(crate) fn byte(memory: &SharedMemory, at: usize) -> u8 {
    let mut byte = [0];
    memory.map().unwrap().read_at(at, &mut byte).unwrap();
    byte[0]
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let watchdog = Instant::now() + Duration::from_secs(600);
    while !holds() {
        assert!(Instant::now() < watchdog, "waited ten minutes for: {what}");
        std::thread::yield_now();
    }
}

/// Tries until no lock is in the way: another test's child has copies of all of them until it has become
/// another program.
pub(crate) fn settled<T>(mut attempt: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    let mut result = attempt();
    until("no copy of a lock is left", || {
        if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::InUse) {
            result = attempt();
            return false;
        }
        true
    });
    result
}

/// Says that something was not tested, past the capture of a passing test's output.
pub(crate) fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Becomes another user, for good: for second processes only.
pub(crate) fn become_stranger() {
    let (user, group) =
        (nix::unistd::Uid::from_raw(STRANGER), nix::unistd::Gid::from_raw(STRANGER));
    nix::unistd::setgroups(&[]).unwrap();
    nix::unistd::setresgid(group, group, group).unwrap();
    nix::unistd::setresuid(user, user, user).unwrap();
}

/// The part this process was started to play, and with which name.
pub(crate) fn part() -> Option<(String, Name)> {
    let (part, name) = (std::env::var(PART).ok()?, std::env::var(NAME).ok()?);
    Some((part, Name::new(&name).expect("a plain name")))
}

/// A process that runs this program again, to play a part.
pub(crate) struct Second(Child);

/// The arguments that make this program play a part and no test.
const ARGUMENTS: [&str; 3] = ["--exact", "second_process", "--nocapture"];

impl Second {
    pub(crate) fn start(part: &str, name: &Name) -> Second {
        let mut command = own_program();
        Second::spawn(command.args(ARGUMENTS), part, name)
    }

    /// As root of a mount namespace of its own, with another `/dev/shm`. Nothing where that is not allowed.
    pub(crate) fn start_with_shm(mount: &str, part: &str, name: &Name) -> Option<Second> {
        let namespace = if is_root() { "-m" } else { "-rm" };
        let allowed = Command::new("unshare")
            .args([namespace, "sh", "-c", "mount -t tmpfs tmpfs /dev/shm"])
            .output();
        if !allowed.is_ok_and(|output| output.status.success()) {
            skip("unshare and mount are not permitted here, so /dev/shm cannot be made small");
            return None;
        }
        let script = format!("mount -t tmpfs -o {mount} tmpfs /dev/shm && exec \"$0\" \"$@\"");
        let mut command = Command::new("unshare");
        let own = own_program();
        command.args([namespace, "sh", "-c", &script]).arg(own.get_program()).args(own.get_args());
        Some(Second::spawn(command.args(ARGUMENTS), part, name))
    }

    fn spawn(command: &mut Command, part: &str, name: &Name) -> Second {
        command.env(PART, part).env(NAME, name.as_str()).stdin(Stdio::null());
        Second(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Whether it failed already. What it printed is then shown.
    pub(crate) fn failed(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some_and(|status| !status.success())
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    fn end(mut self) -> Output {
        until("the second process ends", || {
            // It needs the processor more than this does.
            std::thread::sleep(Duration::from_millis(1));
            self.has_ended()
        });
        // Ended, so both pipes do.
        let read = |pipe: Option<&mut dyn std::io::Read>| {
            let mut bytes = Vec::new();
            pipe.expect("it is piped").read_to_end(&mut bytes).unwrap();
            bytes
        };
        let stdout = read(self.0.stdout.as_mut().map(|pipe| pipe as _));
        let stderr = read(self.0.stderr.as_mut().map(|pipe| pipe as _));
        Output { status: self.0.wait().unwrap(), stdout, stderr }
    }

    /// Waits for it to end well; fails with what it said.
    pub(crate) fn done(self) {
        let output = self.end();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(output.status.success(), "second process: {}\n{said}", output.status);
        assert!(said.contains("1 passed"), "it played no part\n{said}");
    }

    /// Waits for a signal to end it.
    pub(crate) fn killed_by(self) -> Option<i32> {
        self.end().status.signal()
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
