//! Linux: `/dev/shm` files and memfds, OFD locks, futexes, membarrier.
#![allow(unsafe_code, reason = "system calls")]

mod event;
mod mapping;
mod object;
mod place;
mod room;
mod socket;
mod turn;

pub(crate) use event::*;
pub(crate) use mapping::*;
pub(crate) use object::*;
pub(crate) use place::*;
pub(crate) use socket::*;

use crate::error::{Error, ErrorKind, Result};
#[cfg(not(loom))]
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use nix::errno::Errno;
#[cfg(not(loom))]
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::SigSet;
#[cfg(not(loom))]
use nix::sys::time::TimeSpec;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
#[cfg(not(loom))]
use std::time::Duration;

/// An open object.
pub(crate) type Handle = OwnedFd;

/// A process that can be waited for.
pub(crate) type Process = OwnedFd;

/// One side of a connection, what clients connect to, and a [`flag`].
pub(crate) type Socket = OwnedFd;
pub(crate) type Listener = OwnedFd;
pub(crate) type Flag = OwnedFd;

/// What the standard library calls a handle here.
pub(crate) type OwnedRaw = OwnedFd;

pub(crate) const ABILITIES: super::Abilities = super::Abilities {
    resizes: u64::MAX,
    truncate: true,
    unlink: true,
    persistent: true,
    mode: true,
    copy_on_write: true,
    seal: true,
    numbered_users: true,
};

/// Role locks lie far beyond any object's bytes, so no lock that somebody takes on the contents
/// can be mistaken for one.
const LOCK_BASE: i64 = 1 << 60;

fn failed(call: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::os(call, errno as i32)
}

/// What this process may have of something.
#[allow(clippy::useless_conversion, reason = "widths differ by target")]
fn limit_of(what: Resource) -> Result<u64> {
    let (soft, _) = getrlimit(what).map_err(failed("getrlimit"))?;
    Ok(soft.into())
}

/// A path that reaches the open object itself, whatever happened to its name.
fn path_of(handle: &Handle) -> String {
    format!("/proc/self/fd/{}", handle.as_raw_fd())
}

pub(crate) fn page_size() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    *SIZE.get_or_init(|| {
        let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
        size.ok().flatten().and_then(|n| usize::try_from(n).ok()).unwrap_or(4096)
    })
}

/// The call, and what it takes, in which offsets have 64 bits wherever we run.
#[cfg(target_pointer_width = "64")]
use libc::{SYS_fcntl as FCNTL, flock as FileLock};
#[cfg(not(target_pointer_width = "64"))]
use libc::{SYS_fcntl64 as FCNTL, flock64 as FileLock};

/// Sets a lock of so many bytes, or looks who has one. What the kernel made of the request.
fn file_lock(
    handle: &Handle,
    command: libc::c_int,
    byte: u32,
    bytes: u32,
) -> nix::Result<FileLock> {
    let mut request = FileLock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: LOCK_BASE + i64::from(byte),
        l_len: i64::from(bytes),
        l_pid: 0,
    };
    // SAFETY: both commands take such a request, and keep nothing of it.
    let done = unsafe { libc::syscall(FCNTL, handle.as_raw_fd(), command, &raw mut request) };
    Errno::result(done).map(|_| request)
}

/// A lock that this process holds until it is dropped, or the process ends.
#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct Lock(Handle);

/// Takes an open-file-description lock, see `fcntl_locking(2)`: the kernel drops it when the last copy
/// of the handle is closed, which a process's end does after its last thread stopped running.
#[cfg(not(loom))]
pub(crate) fn try_lock(handle: Handle, byte: u32) -> Result<Option<Lock>> {
    Ok(set_lock(&handle, byte, 1)?.then_some(Lock(handle)))
}

/// The same for so many bytes from the first one on: all, or none.
#[cfg(not(loom))]
pub(crate) fn try_lock_all(handle: Handle, byte: u32, bytes: u32) -> Result<Option<Lock>> {
    Ok(set_lock(&handle, byte, bytes)?.then_some(Lock(handle)))
}

/// Whether somebody else than this lock's holder has the lock of another byte.
#[cfg(not(loom))]
pub(crate) fn is_locked_beside(lock: &Lock, byte: u32) -> Result<bool> {
    is_locked(&lock.0, byte)
}

pub(super) fn set_lock(handle: &Handle, byte: u32, bytes: u32) -> Result<bool> {
    match file_lock(handle, libc::F_OFD_SETLK, byte, bytes) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(Error::os("lock the role", errno as i32)),
    }
}

/// Whether anybody has the lock.
pub(crate) fn is_locked(handle: &Handle, byte: u32) -> Result<bool> {
    let found =
        file_lock(handle, libc::F_OFD_GETLK, byte, 1).map_err(failed("look at the role's lock"))?;
    Ok(i32::from(found.l_type) != libc::F_UNLCK)
}

/// A number that is another one in a forked child. The process id would not do: a child in a PID namespace
/// of its own can have its parent's.
#[cfg(not(loom))]
pub(crate) fn process_token() -> u64 {
    static PAGE: OnceLock<Option<usize>> = OnceLock::new();
    let Some(page) = *PAGE.get_or_init(page_wiped_on_fork) else {
        return u64::from(process_id());
    };
    // SAFETY: the page is never unmapped, and only ever used as this word.
    let word = unsafe { AtomicU64::from_ptr(std::ptr::with_exposed_provenance_mut(page)) };
    match word.load(Ordering::Relaxed) {
        // Relaxed: the word stands for nothing but itself.
        0 => match word.compare_exchange(0, fresh(), Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => word.load(Ordering::Relaxed),
            Err(token) => token,
        },
        token => token,
    }
}

/// Never 0, and later than any token of a parent.
#[cfg(not(loom))]
fn fresh() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    now.map_or(1, |now| Duration::from(now).as_nanos() as u64) | 1 << 63
}

/// The address of a page that is zeroes in a forked child, see `madvise(2)`; nothing before Linux 4.14.
#[cfg(not(loom))]
fn page_wiped_on_fork() -> Option<usize> {
    let len = std::num::NonZeroUsize::new(page_size())?;
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: the kernel chooses fresh addresses, so no memory of this process is touched.
    let page = unsafe { mmap_anonymous(None, len, access, MapFlags::MAP_PRIVATE) }.ok()?;
    // SAFETY: the page was just made and nobody has it.
    unsafe { madvise(page, len.get(), MmapAdvise::MADV_WIPEONFORK) }.ok()?;
    Some(page.as_ptr().expose_provenance())
}

/// The processor that this thread runs on at the moment. No call of the kernel.
pub(crate) fn processor() -> Option<u32> {
    // SAFETY: sched_getcpu(3) takes nothing.
    let number = unsafe { libc::sched_getcpu() };
    u32::try_from(number).ok()
}

pub(crate) fn process_id() -> u32 {
    std::process::id()
}

/// A process, by the number that it gave; it is that process if it is known to live after this call.
pub(crate) fn open_process(pid: u32) -> Result<Process> {
    // SAFETY: pidfd_open(2) takes no pointer.
    let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match Errno::result(opened).map(RawFd::try_from) {
        // SAFETY: the kernel has just made this descriptor, closed on exec, for nobody else.
        Ok(Ok(number)) => Ok(unsafe { OwnedFd::from_raw_fd(number) }),
        Ok(Err(_)) => Err(Error::new(ErrorKind::Os, "pidfd_open: not a descriptor")),
        Err(errno) => Err(Error::os("pidfd_open", errno as i32)),
    }
}

/// The number of the process that a handle from `pidfd_open(2)` or the like means; nothing if it has ended, or has
/// no number here.
pub(crate) fn number_of(process: &Handle) -> Result<Option<u32>> {
    let path = format!("/proc/self/fdinfo/{}", process.as_raw_fd());
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::os("read fdinfo", e.raw_os_error().unwrap_or(libc::EIO)))?;
    let Some(number) = text.lines().find_map(|line| line.strip_prefix("Pid:")) else {
        return Err(Error::new(ErrorKind::InvalidInput, "the descriptor is of no process"));
    };
    Ok(number.trim().parse().ok().filter(|number| *number != 0))
}

/// Whether that says that there is no process of that number.
pub(crate) fn is_no_process(error: &Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ESRCH | libc::EINVAL))
}

/// The same, to be given something.
pub(crate) fn open_to_give(pid: u32) -> Result<Process> {
    open_process(pid)
}

/// The process of a handle that came from elsewhere, to be given something.
pub(crate) fn process_of(handle: OwnedFd) -> Result<Process> {
    Ok(handle)
}

/// What tells it from others of its number: from Linux 6.9 on one for each process that there ever was.
pub(crate) fn mark_of(process: &Process) -> Result<super::Identity> {
    Ok(stat(process)?.identity)
}

/// Fills the buffer with what nobody can guess.
pub(crate) fn random(buffer: &mut [u8]) -> Result<()> {
    let mut rest = buffer;
    while !rest.is_empty() {
        // SAFETY: the pointer and the length are those of the buffer.
        let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match Errno::result(got) {
            Ok(got) => rest = &mut rest[got.cast_unsigned()..],
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::os("getrandom", errno as i32)),
        }
    }
    Ok(())
}

/// Keeps every signal that can be kept from this thread: the program's threads handle them.
pub(crate) fn block_signals() {
    // It fails for no set of signals.
    let _ = SigSet::all().thread_block();
}

/// Sleeps while `*word == expected`, until a [`wake`] or the timeout, see `futex(2)`. It may return
/// at any time for no reason, so callers look at what they wait for, never at why it returned.
///
/// The futex is a shared one: the waker may be any process that maps the same object.
#[cfg(not(loom))]
pub(crate) fn wait(word: &AtomicU32, expected: u32, timeout: Duration) {
    // Seconds have 32 bits on some platforms. To sleep for less is to wake for no reason.
    const MOST: Duration = Duration::from_secs(i32::MAX as u64);
    let timeout = TimeSpec::from(timeout.min(MOST));
    let timeout: *const libc::timespec = timeout.as_ref();
    // SAFETY: the word and the timespec outlive the call; the kernel only reads them.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, timeout);
    }
}

/// Sleeps as [`wait`] does, while neither of two words has changed. The second is this process's own. A kernel
/// before Linux 5.16 looks at the first one only: then it is a nap.
#[cfg(not(loom))]
pub(crate) fn wait_either(
    (word, expected): (&AtomicU32, u32),
    (own, own_expected): (&AtomicU32, u32),
    timeout: Duration,
) {
    const SIZE_U32: u32 = 2;
    const NAP: Duration = Duration::from_millis(5);
    let of = |word: &AtomicU32, expected: u32| {
        // SAFETY: all fields are numbers.
        let mut of: libc::futex_waitv = unsafe { std::mem::zeroed() };
        of.val = u64::from(expected);
        of.uaddr = word.as_ptr().expose_provenance() as u64;
        of.flags = SIZE_U32;
        of
    };
    let both = [of(word, expected), of(own, own_expected)];
    let clock = libc::CLOCK_MONOTONIC;
    let Ok(now) = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC) else { return };
    let until = Duration::from(now).saturating_add(timeout);
    // The kernel's time of 64 bits, whatever the C library's is.
    let until: [i64; 2] =
        [until.as_secs().try_into().unwrap_or(i64::MAX), until.subsec_nanos().into()];
    // SAFETY: the words, the list and the time outlive the call; the kernel only reads them.
    let slept = unsafe { libc::syscall(libc::SYS_futex_waitv, both.as_ptr(), 2, 0, &until, clock) };
    if slept < 0 && Errno::last() == Errno::ENOSYS {
        wait(word, expected, timeout.min(NAP));
    }
}

/// Wakes all who [`wait`] on the word. The word is only an address here: a read-only mapping will do.
#[cfg(not(loom))]
pub(crate) fn wake(word: &AtomicU32) {
    // SAFETY: the word outlives the call; the kernel does not even read it.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}

#[cfg(not(loom))]
fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: membarrier(2) takes no pointer.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

/// Makes this process one whose running threads a peer's [`heavy_fence`] reaches, so that they may
/// run without fences of their own. False where the kernel cannot: then they must fence.
#[cfg(not(loom))]
pub(crate) fn register_fence() -> bool {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    *REGISTERED.get_or_init(|| membarrier(libc::MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED))
}

/// A full fence here and, at the same point, in every running thread of every registered process.
/// False where the kernel refused: then only the fence here has happened.
#[cfg(not(loom))]
pub(crate) fn heavy_fence() -> bool {
    crate::sync::fence(crate::sync::Ordering::SeqCst);
    membarrier(libc::MEMBARRIER_CMD_GLOBAL_EXPEDITED)
}
