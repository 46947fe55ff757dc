//! Sleeping on a word, and waking who sleeps, in any process: `os_sync_wait_on_address`, from macOS 14.4 on.
#![allow(unsafe_code, reason = "system calls")]

use crate::sync::AtomicU32;
use std::ffi::{CStr, c_void};
use std::sync::OnceLock;
use std::time::Duration;

/// How long a sleep without those calls lasts, and one that has to look at two words.
const NAP: Duration = Duration::from_millis(1);

/// The longest sleep: what is far longer runs over on its way into the kernel's units.
const LONGEST: Duration = Duration::from_secs(3600);

type Wait = unsafe extern "C" fn(*mut c_void, u64, usize, u32, u32, u64) -> libc::c_int;
type Wake = unsafe extern "C" fn(*mut c_void, usize, u32) -> libc::c_int;

/// Looked for when the program runs, so that it runs on older systems, too.
fn symbol(name: &CStr) -> Option<usize> {
    // SAFETY: the name ends with a zero.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then(|| found.expose_provenance())
}

fn calls() -> Option<(Wait, Wake)> {
    static CALLS: OnceLock<Option<(Wait, Wake)>> = OnceLock::new();
    *CALLS.get_or_init(|| {
        let wait: *const c_void =
            std::ptr::with_exposed_provenance(symbol(c"os_sync_wait_on_address_with_timeout")?);
        let wake: *const c_void =
            std::ptr::with_exposed_provenance(symbol(c"os_sync_wake_by_address_all")?);
        // SAFETY: the functions of these names have these signatures, see `os/os_sync_wait_on_address.h`.
        let wait = unsafe { std::mem::transmute::<*const c_void, Wait>(wait) };
        // SAFETY: as above.
        let wake = unsafe { std::mem::transmute::<*const c_void, Wake>(wake) };
        Some((wait, wake))
    })
}

/// Sleeps while `*word == expected`, until a [`wake`] or the timeout. It may return at any time for no reason.
pub(crate) fn wait(word: &AtomicU32, expected: u32, timeout: Duration) {
    let Some((wait, _)) = calls() else { return std::thread::sleep(timeout.min(NAP)) };
    // 0 is no time here, but an error.
    let nanoseconds = (timeout.min(LONGEST).as_nanos() as u64).max(1);
    let (at, shared) = (word.as_ptr().cast(), libc::OS_SYNC_WAIT_ON_ADDRESS_SHARED);
    let clock = libc::OS_CLOCK_MACH_ABSOLUTE_TIME;
    // It says that it was woken, that the time is over, that a signal came, or that the page is not there just now: all are
    // for the caller to look at the word again, which takes the page in.
    // SAFETY: the word outlives the call, which only reads it, and is of 4 bytes.
    unsafe { wait(at, u64::from(expected), 4, shared, clock, nanoseconds) };
}

/// Sleeps as [`wait`] does, for a while, on the first word only.
pub(crate) fn wait_either(
    (word, expected): (&AtomicU32, u32),
    _own: (&AtomicU32, u32),
    timeout: Duration,
) {
    wait(word, expected, timeout.min(NAP));
}

/// Wakes all who [`wait`] on the word.
pub(crate) fn wake(word: &AtomicU32) {
    if let Some((_, wake)) = calls() {
        // SAFETY: the word outlives the call, and is of 4 bytes.
        unsafe { wake(word.as_ptr().cast(), 4, libc::OS_SYNC_WAKE_BY_ADDRESS_SHARED) };
    }
}
