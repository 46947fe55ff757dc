//! What the tests share: names that nobody else has, and a watchdog.
#![allow(unsafe_code, reason = "sets a signal handler")]
#![allow(dead_code, reason = "each test uses a part of it")]

use ringlane::Name;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// The names in `/dev/shm` that begin as [`scratch`] names do.
pub(crate) fn leftovers() -> Vec<String> {
    let prefix = prefix();
    let entries = std::fs::read_dir("/dev/shm").expect("list /dev/shm");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.starts_with(&prefix)).collect()
}

/// What the watchdog says when it barks.
static STEP: AtomicUsize = AtomicUsize::new(0);

/// Ends this process if it is not called again within `seconds`: a hang is a failure, and says where.
pub(crate) fn watchdog(seconds: u32, step: usize) {
    extern "C" fn bark(_: libc::c_int) {
        let mut text = [0; 64];
        let mut rest = &mut text[..];
        let step = STEP.load(Ordering::Relaxed);
        // Into a buffer of our own, and out by one call: a handler may do no more.
        let _ = writeln!(rest, "FAILED (watchdog: stuck at step {step})");
        let len = 64 - rest.len();
        // SAFETY: the buffer has `len` bytes.
        unsafe { libc::write(1, text.as_ptr().cast(), len) };
        // SAFETY: ends the process.
        unsafe { libc::_exit(101) };
    }
    STEP.store(step, Ordering::Relaxed);
    let action = nix::sys::signal::SigAction::new(
        nix::sys::signal::SigHandler::Handler(bark),
        nix::sys::signal::SaFlags::empty(),
        nix::sys::signal::SigSet::empty(),
    );
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler writes and exits, both safe within a signal handler.
        unsafe { nix::sys::signal::sigaction(nix::sys::signal::SIGALRM, &action) }
            .expect("set a handler");
    });
    nix::unistd::alarm::set(seconds);
}
