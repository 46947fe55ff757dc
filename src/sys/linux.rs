//! Linux: `/dev/shm` files and memfds, OFD locks, futexes, membarrier.
#![allow(unsafe_code, reason = "system calls")]

use super::{Access, Identity, Stat};
use crate::error::{Error, ErrorKind, Result};
#[cfg(not(loom))]
use crate::sync::AtomicU32;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, FallocateFlags, FcntlArg, OFlag, SealFlag};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::memfd::MFdFlags;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::SigSet;
use nix::sys::stat::{FileStat, Mode, SFlag};
use std::ffi::{CString, c_void};
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::OnceLock;
#[cfg(not(loom))]
use std::time::Duration;

/// An open object.
pub(crate) type Handle = OwnedFd;

/// Where named objects live: `shm_open(3)` puts them here, so names mean the same to C programs.
const DIRECTORY: &str = "/dev/shm";

/// Role locks lie far beyond any object's bytes, so no lock that somebody takes on the contents
/// can be mistaken for one.
const LOCK_BASE: i64 = 1 << 60;

fn failed(call: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::os(call, errno as i32)
}

fn path(name: &str) -> String {
    format!("{DIRECTORY}/{name}")
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

pub(crate) fn create_unnamed(mode: u32) -> Result<Handle> {
    let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
    nix::fcntl::open(DIRECTORY, flags, Mode::from_bits_truncate(mode))
        .map_err(failed("create in /dev/shm"))
}

pub(crate) fn create_anonymous(label: &str) -> Result<Handle> {
    let label = CString::new(label).unwrap_or_default();
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    nix::sys::memfd::memfd_create(label.as_c_str(), flags).map_err(failed("memfd_create"))
}

pub(crate) fn resize_reserved(handle: &Handle, len: u64) -> Result<()> {
    let size = i64::try_from(len).map_err(|_| {
        Error::new(ErrorKind::InvalidSize, format!("{len} bytes is past any limit"))
    })?;
    // Growing past this limit is a signal that ends the process, so it is asked for first.
    let (limit, _) = getrlimit(Resource::RLIMIT_FSIZE).map_err(failed("getrlimit"))?;
    if len > limit {
        let text = format!("{len} bytes is past this process's file size limit of {limit}");
        return Err(Error::new(ErrorKind::NoSpace, text));
    }
    // A tmpfs is often allowed as much as the whole machine has. Reserving that would end not in an error
    // but in the kernel's killing processes, this one or any other.
    if let Some(available) = available_memory().filter(|available| len > *available) {
        let text = format!("{len} bytes asked for, {available} bytes of memory are available");
        return Err(Error::new(ErrorKind::NoSpace, text));
    }
    nix::unistd::ftruncate(handle, size).map_err(failed("set the size"))?;
    if len == 0 {
        return Ok(());
    }
    // tmpfs promises memory only now; without this, a full /dev/shm is a SIGBUS at some later touch.
    loop {
        match nix::fcntl::fallocate(handle, FallocateFlags::empty(), 0, size) {
            Err(Errno::EINTR) => continue,
            Err(errno) => {
                return Err(Error::os(&format!("reserve {len} bytes of memory"), errno as i32));
            }
            Ok(()) => return Ok(()),
        }
    }
}

/// What the kernel reckons can be had without anybody being killed, see `proc_meminfo(5)`; nothing if it
/// does not say.
fn available_memory() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

pub(crate) fn seal_size(handle: &Handle) -> Result<()> {
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW;
    nix::fcntl::fcntl(handle, FcntlArg::F_ADD_SEALS(seals)).map_err(failed("seal the size"))?;
    Ok(())
}

pub(crate) fn publish(handle: &Handle, name: &str) -> Result<()> {
    let from = path_of(handle);
    let to = path(name);
    nix::unistd::linkat(AT_FDCWD, from.as_str(), AT_FDCWD, to.as_str(), AtFlags::AT_SYMLINK_FOLLOW)
        .map_err(failed("give the name"))
}

pub(crate) fn open(name: &str, access: Access) -> Result<Handle> {
    let access = match access {
        Access::Read => OFlag::O_RDONLY,
        Access::ReadWrite => OFlag::O_RDWR,
    };
    // O_NONBLOCK: a FIFO under our name must not hold us up. O_NOFOLLOW: nor a link lead us away.
    let flags = access | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let handle =
        nix::fcntl::open(path(name).as_str(), flags, Mode::empty()).map_err(
            |errno| match errno {
                Errno::ELOOP => Error::new(ErrorKind::PermissionDenied, "is a symbolic link"),
                Errno::EISDIR | Errno::ENXIO => {
                    Error::new(ErrorKind::Corrupt, "is not a regular file")
                }
                errno => Error::os("open", errno as i32),
            },
        )?;
    let stat = fstat(&handle)?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(Error::new(ErrorKind::Corrupt, "is not a regular file"));
    }
    Ok(handle)
}

pub(crate) fn unlink(name: &str, identity: Option<Identity>) -> Result<()> {
    let path = path(name);
    if let Some(identity) = identity {
        let stat = nix::sys::stat::lstat(path.as_str()).map_err(failed("unlink"))?;
        if self::identity(&stat) != identity {
            return Err(Error::new(ErrorKind::NotFound, "the name means another object by now"));
        }
    }
    nix::unistd::unlink(path.as_str()).map_err(failed("unlink"))
}

pub(crate) fn names() -> Result<Vec<String>> {
    let entries = std::fs::read_dir(DIRECTORY)
        .map_err(|e| Error::os("list /dev/shm", e.raw_os_error().unwrap_or(libc::EIO)))?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

fn fstat(handle: &Handle) -> Result<FileStat> {
    nix::sys::stat::fstat(handle).map_err(failed("fstat"))
}

fn identity(stat: &FileStat) -> Identity {
    Identity { device: stat.st_dev, object: stat.st_ino }
}

#[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "widths differ by target")]
pub(crate) fn stat(handle: &Handle) -> Result<Stat> {
    let stat = fstat(handle)?;
    Ok(Stat {
        size: u64::try_from(stat.st_size).unwrap_or(0),
        identity: identity(&stat),
        names: u64::from(stat.st_nlink as u32),
    })
}

pub(crate) fn read_at(handle: &Handle, offset: u64, buffer: &mut [u8]) -> Result<usize> {
    let offset = i64::try_from(offset)
        .map_err(|_| Error::new(ErrorKind::InvalidSize, "offset past any file"))?;
    nix::sys::uio::pread(handle, buffer, offset).map_err(failed("read"))
}

fn protection(access: Access) -> ProtFlags {
    match access {
        Access::Read => ProtFlags::PROT_READ,
        Access::ReadWrite => ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
    }
}

fn length(len: usize) -> Result<NonZeroUsize> {
    NonZeroUsize::new(len).ok_or_else(|| Error::new(ErrorKind::InvalidSize, "a mapping of 0 bytes"))
}

pub(crate) fn map(handle: &Handle, offset: u64, len: usize, access: Access) -> Result<NonNull<u8>> {
    let offset = i64::try_from(offset)
        .map_err(|_| Error::new(ErrorKind::InvalidSize, "offset past any file"))?;
    let len = length(len)?;
    // SAFETY: the kernel chooses fresh addresses, so no memory of this process is touched.
    let at = unsafe {
        nix::sys::mman::mmap(None, len, protection(access), MapFlags::MAP_SHARED, handle, offset)
    };
    at.map(NonNull::cast).map_err(failed("map"))
}

/// Maps `[0, head + body)` of the object, and the body once more right behind it: what runs over
/// the end of the body goes on at its beginning.
pub(crate) fn map_twice(handle: &Handle, head: usize, body: usize) -> Result<NonNull<u8>> {
    let once = head.checked_add(body).and_then(|n| Some((n, n.checked_add(body)?)));
    let (first, whole) =
        once.ok_or_else(|| Error::new(ErrorKind::InvalidSize, "a mapping past the address space"))?;
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
    // SAFETY: the kernel chooses fresh addresses, so no memory of this process is touched.
    let base = unsafe {
        nix::sys::mman::mmap_anonymous(None, length(whole)?, ProtFlags::PROT_NONE, flags)
    }
    .map_err(failed("map"))?;
    let place = |at: usize, len: usize, offset: usize| {
        let address = NonZeroUsize::new(base.as_ptr().addr() + at);
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
        let access = protection(Access::ReadWrite);
        // SAFETY: the range lies within the reservation above, which only this function knows.
        unsafe { nix::sys::mman::mmap(address, length(len)?, access, flags, handle, offset as i64) }
            .map_err(failed("map"))
    };
    let placed = place(0, first, 0).and_then(|_| place(first, body, head));
    if let Err(error) = placed {
        // SAFETY: the reservation is ours and nobody has seen it.
        unsafe { unmap(base.cast(), whole) };
        return Err(error);
    }
    Ok(base.cast())
}

/// # Safety
/// The range is one that `map` or `map_twice` returned, and nobody uses it any more.
pub(crate) unsafe fn unmap(at: NonNull<u8>, len: usize) {
    // SAFETY: as the contract says. It cannot fail for such a range.
    let _ = unsafe { nix::sys::mman::munmap(at.cast::<c_void>(), len) };
}

/// Leaves the range out of child processes: a forked copy of a ring's end would be a second one.
///
/// # Safety
/// The range is a mapping of the caller's.
pub(crate) unsafe fn dont_fork(at: NonNull<u8>, len: usize) -> Result<()> {
    // SAFETY: as the contract says; this advice changes nothing in this process.
    unsafe { nix::sys::mman::madvise(at.cast::<c_void>(), len, MmapAdvise::MADV_DONTFORK) }
        .map_err(failed("madvise"))
}

/// Takes every page of the range in now, so that no later touch faults. Best effort.
///
/// # Safety
/// The range is a mapping of the caller's.
pub(crate) unsafe fn prefault(at: NonNull<u8>, len: usize) {
    // SAFETY: populating changes no contents; an old kernel says EINVAL and pages come in later.
    unsafe { libc::madvise(at.as_ptr().cast(), len, libc::MADV_POPULATE_WRITE) };
}

pub(crate) fn reopen(handle: &Handle) -> Result<Handle> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    nix::fcntl::open(path_of(handle).as_str(), flags, Mode::empty())
        .map_err(failed("reopen through /proc/self/fd"))
}

fn lock_request(kind: libc::c_int, byte: u32) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: LOCK_BASE + i64::from(byte),
        l_len: 1,
        l_pid: 0,
    }
}

/// A lock that this process holds until it is dropped, or the process ends.
#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct Lock(Handle);

/// Takes an open-file-description lock, see `fcntl_locking(2)`: the kernel drops it when the last copy
/// of the handle is closed, which a process's end does after its last thread stopped running.
#[cfg(not(loom))]
pub(crate) fn try_lock(handle: Handle, byte: u32) -> Result<Option<Lock>> {
    Ok(set_lock(&handle, byte)?.then_some(Lock(handle)))
}

/// Whether somebody else than this lock's holder has the lock of another byte.
#[cfg(not(loom))]
pub(crate) fn is_locked_beside(lock: &Lock, byte: u32) -> Result<bool> {
    is_locked(&lock.0, byte)
}

pub(super) fn set_lock(handle: &Handle, byte: u32) -> Result<bool> {
    let request = lock_request(libc::F_WRLCK, byte);
    match nix::fcntl::fcntl(handle, FcntlArg::F_OFD_SETLK(&request)) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(Error::os("lock the role", errno as i32)),
    }
}

/// Whether anybody has the lock.
pub(crate) fn is_locked(handle: &Handle, byte: u32) -> Result<bool> {
    let mut request = lock_request(libc::F_WRLCK, byte);
    nix::fcntl::fcntl(handle, FcntlArg::F_OFD_GETLK(&mut request))
        .map_err(failed("look at the role's lock"))?;
    Ok(i32::from(request.l_type) != libc::F_UNLCK)
}

pub(crate) fn process_id() -> u32 {
    std::process::id()
}

/// A process, by the number that it gave; it is that process if it is known to live after this call.
pub(crate) fn open_process(pid: u32) -> Result<Handle> {
    // SAFETY: pidfd_open(2) takes no pointer.
    let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match Errno::result(opened).map(RawFd::try_from) {
        // SAFETY: the kernel has just made this descriptor, closed on exec, for nobody else.
        Ok(Ok(number)) => Ok(unsafe { OwnedFd::from_raw_fd(number) }),
        Ok(Err(_)) => Err(Error::new(ErrorKind::Os, "pidfd_open: not a descriptor")),
        Err(errno) => Err(Error::os("pidfd_open", errno as i32)),
    }
}

/// The ends of processes, as they come.
#[derive(Debug)]
pub(crate) struct Deaths(Epoll);

impl Deaths {
    pub(crate) fn new() -> Result<Deaths> {
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map(Deaths).map_err(failed("epoll_create"))
    }

    /// Has the end of a process reported once, as `token`, until its handle is dropped.
    pub(crate) fn add(&self, process: &Handle, token: u64) -> Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT, token);
        self.0.add(process, event).map_err(failed("epoll_ctl"))
    }

    /// Waits for the next end.
    pub(crate) fn next(&self) -> Result<u64> {
        let mut events = [EpollEvent::empty()];
        loop {
            match self.0.wait(&mut events, EpollTimeout::NONE) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(events[0].data()),
                Err(errno) => return Err(Error::os("epoll_wait", errno as i32)),
            }
        }
    }
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
    let timeout = libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: i64::from(timeout.subsec_nanos()) as _,
    };
    // SAFETY: the word and the timespec outlive the call; the kernel only reads them.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, &timeout);
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
