//! Processes that share memory of the test's own.

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::unistd::{ForkResult, Pid, fork};
use std::num::NonZeroUsize;

/// Memory that all children share.
///
/// # Safety
/// Zeroes are a `T`, and all of it is atomics.
pub(crate) unsafe fn shared<T>() -> &'static T {
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let len = NonZeroUsize::new(size_of::<T>()).expect("not zero");
    // SAFETY: the kernel chooses fresh addresses, so no memory of this process is touched.
    let memory = unsafe { mmap_anonymous(None, len, access, MapFlags::MAP_SHARED) };
    // SAFETY: as the contract says; it is aligned to a page and never unmapped.
    unsafe { memory.expect("map shared memory").cast().as_ref() }
}

/// Runs `body` in a child of this process, which must have one thread. It ends with its parent.
pub(crate) fn child(body: impl FnOnce()) -> Pid {
    // SAFETY: this process has one thread, so the child finds no lock held and no invariant broken.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            // SAFETY: asks the kernel to end us with our parent; takes no pointer.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            nix::unistd::alarm::cancel();
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
            // SAFETY: ends the process, without the exit handlers that belong to the parent.
            unsafe { libc::_exit(i32::from(done.is_err())) }
        }
    }
}
