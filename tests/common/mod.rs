//! What the tests share: names that nobody else has, and a watchdog.
#![allow(unsafe_code, reason = "sets a signal handler")]
#![allow(dead_code, reason = "each test uses a part of it")]

#[cfg(windows)]
pub(crate) mod bare;

use ringlane::Name;
#[cfg(unix)]
use std::io::Write;
use std::process::{Child, Command, ExitStatus};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The part of a name that only this process gives.
pub(crate) fn prefix() -> String {
    format!("ringlane-test-{}-", std::process::id())
}

/// A name that nothing has.
pub(crate) fn scratch() -> Name {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Name::new(&format!("{}{number}", prefix())).expect("a plain name")
}

/// Where the slots of a ring for many are, whose values have 8 bytes at most.
pub(crate) fn slots_of_many() -> usize {
    page() + 8192_usize.next_multiple_of(page())
}

/// The unit that rings are laid out in.
pub(crate) fn page() -> usize {
    ringlane::capabilities().expect("the platform says").offset_unit
}

/// The names in `/dev/shm` that begin as [`scratch`] names do.
pub(crate) fn leftovers() -> Vec<String> {
    let prefix = prefix();
    let entries = std::fs::read_dir("/dev/shm").expect("list /dev/shm");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.starts_with(&prefix)).collect()
}

/// Removes them.
pub(crate) fn sweep_up() {
    for name in leftovers() {
        let _ = std::fs::remove_file(format!("/dev/shm/{name}"));
    }
}

/// What the watchdog says when it barks: a name, and a number.
static LABEL: Mutex<[u8; 64]> = Mutex::new([b' '; 64]);
static STEP: AtomicUsize = AtomicUsize::new(0);

/// Names what is going on, for the watchdog.
pub(crate) fn label(name: &str) {
    let mut label = LABEL.lock().expect("one thread");
    label.fill(b' ');
    for (to, from) in label.iter_mut().zip(name.bytes()) {
        *to = from;
    }
}

/// Ends this process if it is not called again within `seconds`: a hang is a failure, and says where. The time is
/// given in halves, of which a machine that stands still for minutes takes one at most.
#[cfg(unix)]
pub(crate) fn watchdog(seconds: u32, step: usize) {
    static SECOND_HALF: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn bark(_: libc::c_int) {
        let seconds = SECOND_HALF.swap(0, Ordering::Relaxed);
        if seconds > 0 {
            // SAFETY: takes a number, and is safe within a signal handler.
            unsafe { libc::alarm(seconds as u32) };
            return;
        }
        let mut text = [0; 160];
        let mut rest = &mut text[..];
        let step = STEP.load(Ordering::Relaxed);
        let label = LABEL.try_lock().map_or([b'?'; 64], |label| *label);
        let label = str::from_utf8(&label).unwrap_or("?").trim_end();
        // Into a buffer of our own, and out by one call: a handler may do no more.
        let _ = writeln!(rest, "test {label} ... FAILED (watchdog: stuck at step {step})");
        let len = 160 - rest.len();
        // SAFETY: the buffer has `len` bytes.
        unsafe { libc::write(1, text.as_ptr().cast(), len) };
        // SAFETY: ends the process.
        unsafe { libc::_exit(101) };
    }
    STEP.store(step, Ordering::Relaxed);
    SECOND_HALF.store(seconds.div_ceil(2) as usize, Ordering::Relaxed);
    let action = nix::sys::signal::SigAction::new(
        nix::sys::signal::SigHandler::Handler(bark),
        // What the first half interrupts goes on.
        nix::sys::signal::SaFlags::SA_RESTART,
        nix::sys::signal::SigSet::empty(),
    );
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler writes and exits, both safe within a signal handler.
        unsafe { nix::sys::signal::sigaction(nix::sys::signal::SIGALRM, &action) }
            .expect("set a handler");
    });
    nix::unistd::alarm::set(seconds.div_ceil(2));
}

/// Waits until something is so.
pub(crate) fn until(what: &str, holds: impl FnMut() -> bool) {
    until_within(Duration::from_secs(60), what, holds);
}

/// The same for what takes long.
pub(crate) fn until_within(most: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let watchdog = Instant::now() + most;
    while !holds() {
        assert!(Instant::now() < watchdog, "waited {most:?} for: {what}");
        std::thread::yield_now();
    }
}

/// Whether a thread sleeps, by its number; the first one of a process has the process's.
#[cfg(target_os = "linux")]
pub(crate) fn sleeps(thread: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{thread}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
}

const PART: &str = "RINGLANE_TEST_PART";
const NAME: &str = "RINGLANE_TEST_NAME";

/// The part that this process is to play, and the name that goes with it, if it is a [`Second`].
pub(crate) fn part() -> Option<(String, Name)> {
    let (part, name) = (std::env::var(PART).ok()?, std::env::var(NAME).ok()?);
    Some((part, Name::new(&name).unwrap()))
}

/// This program, to be run again: by the emulator that `RINGLANE_TEST_RUNNER` names, if the kernel cannot.
pub(crate) fn own_program() -> Command {
    let own = std::env::current_exe().expect("this program has a path");
    let runner = std::env::var("RINGLANE_TEST_RUNNER").unwrap_or_default();
    let mut words = runner.split_whitespace();
    let Some(emulator) = words.next() else { return Command::new(own) };
    let mut command = Command::new(emulator);
    command.args(words).arg(own);
    command
}

/// A second process: this program again, of which only the test `second_process` runs. It is killed if
/// the test ends before it does.
pub(crate) struct Second(Child);

impl Second {
    pub(crate) fn start(part: &str, name: &Name) -> Second {
        let mut command = own_program();
        command.args(["--exact", "second_process", "--nocapture"]);
        Second(command.env(PART, part).env(NAME, name.as_str()).spawn().unwrap())
    }

    #[cfg(unix)]
    pub(crate) fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(self.0.id() as i32)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub(crate) fn done(self) -> ExitStatus {
        self.done_within(Duration::from_secs(60))
    }

    pub(crate) fn done_within(mut self, most: Duration) -> ExitStatus {
        let mut status = None;
        until_within(most, "the second process ends", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A descriptor that nobody else has, and whose close waits for very long.
#[cfg(target_os = "linux")]
pub(crate) fn slow_to_close() -> (std::os::fd::OwnedFd, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut slow = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (other, _) = listener.accept().unwrap();
    let linger = libc::linger { l_onoff: 1, l_linger: 10_000 };
    nix::sys::socket::setsockopt(&slow, nix::sys::socket::sockopt::Linger, &linger).unwrap();
    slow.set_nonblocking(true).unwrap();
    // More than the other side takes.
    while slow.write(&[0; 1 << 16]).is_ok() {}
    (slow.into(), other)
}
