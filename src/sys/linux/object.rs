//! Objects: `/dev/shm` files and memfds, their names, sizes, owners and seals.
#![allow(unsafe_code, reason = "a system call whose offsets have 64 bits wherever we run")]

use super::super::{Access, Identity, Seals, Stat};
use super::turn::Turn;
use super::{Handle, failed, path_of, room};
use crate::error::{Error, ErrorKind, Result};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, FallocateFlags, FcntlArg, FdFlag, OFlag, SealFlag};
use nix::sys::memfd::MFdFlags;
use nix::sys::resource::Resource;
use nix::sys::stat::{FileStat, Mode, SFlag};
use nix::sys::statfs::{HUGETLBFS_MAGIC, TMPFS_MAGIC};
use std::ffi::CString;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Where named objects live: `shm_open(3)` puts them here, so names mean the same to C programs.
const DIRECTORY: &str = "/dev/shm";

/// Memory is reserved in steps of this many bytes. A signal undoes the step that it interrupts, so
/// the steps are short beside the time between two signals.
const RESERVE_STEP: u64 = 16 << 20;

/// How often, and how long apart, the lock that orders removals is tried.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(1);

fn path(name: &str) -> String {
    format!("{DIRECTORY}/{name}")
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

fn offset_of(len: u64) -> Result<libc::off_t> {
    libc::off_t::try_from(len)
        .map_err(|_| Error::new(ErrorKind::InvalidSize, format!("{len} bytes is past any limit")))
}

/// Sets the size. Resizings by this library take turns: two that grow do not undo each other, and nobody
/// shrinks what has grown since it looked.
pub(crate) fn resize(handle: &Handle, len: u64, reserve: bool, may_shrink: bool) -> Result<()> {
    let _turn = turn_to_resize(handle)?;
    let now = stat(handle)?.size;
    if len < now && !may_shrink {
        let text = format!("{len} of {now} bytes: shrinking was not asked for");
        return Err(Error::new(ErrorKind::InvalidInput, text));
    }
    resize_alone(handle, len, reserve)
}

/// Empties the object and sets its size. It keeps what it has if it can be told before that the new size
/// is not to be had.
pub(crate) fn empty(handle: &Handle, len: u64, reserve: bool) -> Result<()> {
    let _turn = turn_to_resize(handle)?;
    let now = stat(handle)?.size;
    if len > now {
        offset_of(len)?;
        check_file_limit(len)?;
        if reserve {
            reserve_beyond(handle, now, len)?;
        }
    }
    resize_alone(handle, 0, false)?;
    resize_alone(handle, len, reserve)
}

fn turn_to_resize(handle: &Handle) -> Result<Turn> {
    let held = || Error::new(ErrorKind::InUse, "another process is about to resize or remove it");
    take_turn(reopen(handle, Access::Read)?).ok_or_else(held)
}

/// Sets the size of an object that is new, so that nobody else has it, or of which the caller has the turn.
pub(crate) fn resize_alone(handle: &Handle, len: u64, reserve: bool) -> Result<()> {
    let size = offset_of(len)?;
    let now = stat(handle)?.size;
    if len > now {
        check_file_limit(len)?;
    }
    if reserve && len > now {
        reserve_beyond(handle, now, len)?;
    }
    nix::unistd::ftruncate(handle, size).map_err(failed("set the size"))
}

pub(crate) fn reserve(handle: &Handle, len: u64) -> Result<()> {
    let (now, has) = (stat(handle)?.size, allocated(handle)?);
    if len > now {
        let text = format!("{len} bytes to be reserved, the object has {now}");
        return Err(Error::new(ErrorKind::InvalidSize, text));
    }
    room::check(len.saturating_sub(has))?;
    reserve_range(handle, 0, len)
}

#[allow(clippy::unnecessary_cast, reason = "widths differ by target")]
fn allocated(handle: &Handle) -> Result<u64> {
    Ok(u64::try_from(fstat(handle)?.st_blocks as i64).unwrap_or(0).saturating_mul(512))
}

/// Growing past the limit is a signal that ends the process, so it is asked for first.
fn check_file_limit(len: u64) -> Result<()> {
    let limit = super::limit_of(Resource::RLIMIT_FSIZE)?;
    if len > limit {
        let text = format!("{len} bytes is past this process's file size limit of {limit}");
        return Err(Error::new(ErrorKind::NoSpace, text));
    }
    Ok(())
}

/// Takes the memory for what the object is about to grow by; on failure it has what it had.
fn reserve_beyond(handle: &Handle, now: u64, len: u64) -> Result<()> {
    room::check(len - now)?;
    reserve_range(handle, now, len).inspect_err(|_| {
        // Gives back what was taken beyond the end; a failure here changes no size.
        let _ = offset_of(now).map(|now| nix::unistd::ftruncate(handle, now));
    })
}

/// tmpfs promises memory only now; without this, a full /dev/shm is a SIGBUS at some later touch.
fn reserve_range(handle: &Handle, from: u64, to: u64) -> Result<()> {
    let mut at = from;
    while at < to {
        let step = RESERVE_STEP.min(to - at);
        let keep = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        match nix::fcntl::fallocate(handle, keep, offset_of(at)?, offset_of(step)?) {
            Err(Errno::EINTR) => {}
            Err(errno) => {
                let what = format!("reserve {} bytes of memory", to - from);
                return Err(Error::os(&what, errno as i32));
            }
            Ok(()) => at += step,
        }
    }
    Ok(())
}

fn add_seals(handle: &Handle, seals: SealFlag, call: &'static str) -> Result<()> {
    match nix::fcntl::fcntl(handle, FcntlArg::F_ADD_SEALS(seals)) {
        Ok(_) => Ok(()),
        // EINVAL: no seals on this kind of file. EPERM: none can be added, as on anything with a name.
        Err(Errno::EINVAL) => Err(Error::new(ErrorKind::Unsupported, "it cannot be sealed")),
        Err(Errno::EPERM) if !seals_of(handle)?.size => Err(Error::new(
            ErrorKind::Unsupported,
            "what has a name, or was opened for reading only, cannot be sealed",
        )),
        Err(errno) => Err(Error::os(call, errno as i32)),
    }
}

pub(crate) fn seal_size(handle: &Handle) -> Result<()> {
    add_seals(handle, SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW, "seal the size")
}

pub(crate) fn seal_writes(handle: &Handle) -> Result<()> {
    add_seals(handle, SealFlag::F_SEAL_FUTURE_WRITE, "seal against new writers")
}

/// Seals that no more can be sealed. What takes no seals at all is so already.
pub(crate) fn seal_seals(handle: &Handle) -> Result<()> {
    match nix::fcntl::fcntl(handle, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SEAL)) {
        Ok(_) | Err(Errno::EPERM | Errno::EINVAL) => Ok(()),
        Err(errno) => Err(Error::os("seal the seals", errno as i32)),
    }
}

/// Seals size and writes, and that no more can be sealed.
pub(crate) fn seal_all(handle: &Handle) -> Result<()> {
    let size = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW;
    let all = size | SealFlag::F_SEAL_FUTURE_WRITE | SealFlag::F_SEAL_SEAL;
    add_seals(handle, all, "seal")
}

pub(crate) fn seals_of(handle: &Handle) -> Result<Seals> {
    let seals = match nix::fcntl::fcntl(handle, FcntlArg::F_GET_SEALS) {
        Ok(bits) => SealFlag::from_bits_retain(bits),
        Err(Errno::EINVAL) => SealFlag::empty(),
        Err(errno) => return Err(Error::os("look at the seals", errno as i32)),
    };
    let writes = SealFlag::F_SEAL_FUTURE_WRITE | SealFlag::F_SEAL_WRITE;
    Ok(Seals {
        size: seals.contains(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW),
        shrink: seals.contains(SealFlag::F_SEAL_SHRINK),
        writes: seals.intersects(writes),
    })
}

/// Whether the kernel keeps who was given it to read from writing.
pub(crate) fn keeps_readers(handle: &Handle) -> Result<bool> {
    Ok(seals_of(handle)?.writes)
}

/// Takes the right to write from the group and from others, where a nameless object of ours grants it.
pub(crate) fn keep_to_owner(handle: &Handle) -> Result<()> {
    let found = stat(handle)?;
    if found.names != 0 || found.owner != effective_user() || found.mode & 0o022 == 0 {
        return Ok(());
    }
    let mode = Mode::from_bits_truncate(found.mode & !0o022);
    nix::sys::stat::fchmod(handle, mode).map_err(failed("fchmod"))
}

/// Punches a hole: what was there is gone from every mapping, and touching it finds zeroes.
pub(crate) fn empty_range(handle: &Handle, from: u64, len: u64) -> Result<()> {
    // To the end of any object: another program may have made it longer than offsets here are.
    #[cfg(target_pointer_width = "64")]
    use libc::fallocate;
    #[cfg(not(target_pointer_width = "64"))]
    use libc::fallocate64 as fallocate;
    let how = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    let [from, len] = [from, len].map(u64::cast_signed);
    loop {
        // SAFETY: the call takes no pointer.
        let done = unsafe { fallocate(handle.as_raw_fd(), how, from, len) };
        match Errno::result(done) {
            Err(Errno::EINTR) => {}
            done => return done.map(drop).map_err(failed("punch a hole")),
        }
    }
}

pub(crate) fn publish(handle: &Handle, name: &str) -> Result<()> {
    let from = path_of(handle);
    let to = path(name);
    nix::unistd::linkat(AT_FDCWD, from.as_str(), AT_FDCWD, to.as_str(), AtFlags::AT_SYMLINK_FOLLOW)
        .map_err(|errno| match errno {
            Errno::ENOENT => {
                Error::new(ErrorKind::Unsupported, "giving the name takes /proc, not mounted here")
            }
            errno => Error::os("give the name", errno as i32),
        })
}

pub(crate) fn open(name: &str, access: Access) -> Result<Handle> {
    // Looked at first as a path only: to open a FIFO or a device may do something to it.
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let found =
        nix::fcntl::open(path(name).as_str(), flags, Mode::empty()).map_err(failed("open"))?;
    let stat = fstat(&found)?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFLNK {
        return Err(Error::new(ErrorKind::PermissionDenied, "is a symbolic link"));
    }
    if !is_regular(&stat) {
        return Err(Error::new(ErrorKind::Corrupt, "is not a regular file"));
    }
    nix::fcntl::open(path_of(&found).as_str(), flags_of(access), Mode::empty()).map_err(|errno| {
        match errno {
            Errno::ENOENT => {
                Error::new(ErrorKind::Unsupported, "opening takes /proc, not mounted here")
            }
            errno => Error::os("open", errno as i32),
        }
    })
}

fn flags_of(access: Access) -> OFlag {
    let access = match access {
        Access::Read => OFlag::O_RDONLY,
        Access::ReadWrite => OFlag::O_RDWR,
    };
    access | OFlag::O_CLOEXEC
}

fn is_regular(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG
}

pub(crate) fn reopen(handle: &Handle, access: Access) -> Result<Handle> {
    nix::fcntl::open(path_of(handle).as_str(), flags_of(access), Mode::empty())
        .map_err(failed("reopen through /proc/self/fd"))
}

pub(crate) fn adopt(handle: &Handle) -> Result<Access> {
    if !is_regular(&fstat(handle)?) {
        return Err(Error::new(ErrorKind::Corrupt, "is not a regular file"));
    }
    // A file elsewhere may be served by a process that never answers a page fault.
    let kind = nix::sys::statfs::fstatfs(handle).map_err(failed("fstatfs"))?.filesystem_type();
    if kind == HUGETLBFS_MAGIC {
        // Its ranges are multiples of a size that is not ours to know.
        return Err(Error::new(ErrorKind::Unsupported, "lies on a file system of huge pages"));
    }
    if kind != TMPFS_MAGIC {
        return Err(Error::new(ErrorKind::Corrupt, "is a file on disk, not shared memory"));
    }
    let flags = nix::fcntl::fcntl(handle, FcntlArg::F_GETFL).map_err(failed("fcntl"))?;
    let flags = OFlag::from_bits_retain(flags);
    if flags.contains(OFlag::O_PATH) {
        return Err(Error::new(ErrorKind::PermissionDenied, "is open as a path only"));
    }
    let access = match flags & OFlag::O_ACCMODE {
        OFlag::O_RDWR => Access::ReadWrite,
        OFlag::O_RDONLY => Access::Read,
        _ => {
            let text = "is open for writing only, which nothing can be mapped with";
            return Err(Error::new(ErrorKind::PermissionDenied, text));
        }
    };
    nix::fcntl::fcntl(handle, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(failed("fcntl"))?;
    Ok(access)
}

pub(crate) fn unlink(name: &str, handle: Option<&Handle>) -> Result<()> {
    match handle {
        Some(handle) => {
            let _turn = reopen(handle, Access::Read).ok().and_then(take_turn);
            unlink_same(name, stat(handle)?.identity)
        }
        None => unlink_any(name),
    }
}

/// Removals of one object, and its resizings, take turns, under a lock on the object: between its look at the name and its
/// removal, none finds the name moved on to another object by another. Without the lock, which a process
/// stopped at the wrong moment can withhold, it goes on after a while.
fn take_turn(handle: Handle) -> Option<Turn> {
    lock_within(handle, LOCK_TRIES).ok().flatten()
}

/// An exclusive lock on what the handle means, tried so many times, a millisecond apart. None if somebody else
/// has it all the while.
pub(super) fn lock_within(handle: Handle, tries: u32) -> std::io::Result<Option<Turn>> {
    let mut file = handle.into();
    for _ in 0..tries {
        match Turn::take(file)? {
            Ok(turn) => return Ok(Some(turn)),
            Err(back) => file = back,
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    Ok(None)
}

fn unlink_same(name: &str, identity: Identity) -> Result<()> {
    let path = path(name);
    let stat = nix::sys::stat::lstat(path.as_str()).map_err(failed("unlink"))?;
    if identity_of(&stat) != identity {
        return Err(Error::new(ErrorKind::NotFound, "the name means another object by now"));
    }
    nix::unistd::unlink(path.as_str()).map_err(failed("unlink"))
}

/// Removes whatever has the name, but in turn with those who look first.
fn unlink_any(name: &str) -> Result<()> {
    let mut turns = 0;
    loop {
        let stat = nix::sys::stat::lstat(path(name).as_str()).map_err(failed("unlink"))?;
        let object = is_regular(&stat).then(|| open(name, Access::Read).ok()).flatten();
        // What is no object, or may not be read, nobody looks at before removing it.
        let Some(object) = object.filter(|_| turns < LOCK_TRIES) else {
            return nix::unistd::unlink(path(name).as_str()).map_err(failed("unlink"));
        };
        let identity = self::stat(&object)?.identity;
        let _turn = take_turn(object);
        match unlink_same(name, identity) {
            Err(error) if error.kind() == ErrorKind::NotFound && error.raw_os_error().is_none() => {
                turns += 1;
            }
            done => return done,
        }
    }
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

#[allow(clippy::unnecessary_cast, reason = "widths differ by target")]
fn identity_of(stat: &FileStat) -> Identity {
    Identity { device: stat.st_dev, object: stat.st_ino as u64 }
}

#[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "widths differ by target")]
pub(crate) fn stat(handle: &Handle) -> Result<Stat> {
    let stat = fstat(handle)?;
    Ok(Stat {
        size: u64::try_from(stat.st_size).unwrap_or(0),
        identity: identity_of(&stat),
        names: u64::from(stat.st_nlink as u32),
        owner: stat.st_uid,
        mode: stat.st_mode as u32 & 0o7777,
    })
}

pub(crate) fn effective_user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

pub(crate) fn read_at(handle: &Handle, offset: u64, buffer: &mut [u8]) -> Result<usize> {
    let offset = libc::off_t::try_from(offset)
        .map_err(|_| Error::new(ErrorKind::InvalidSize, "offset past any file"))?;
    nix::sys::uio::pread(handle, buffer, offset).map_err(failed("read"))
}

/// Whether code may be run from named objects: not where `/dev/shm` is mounted `noexec`.
pub(crate) fn can_execute() -> Result<bool> {
    let mount = nix::sys::statvfs::statvfs(DIRECTORY).map_err(failed("statvfs"))?;
    Ok(!mount.flags().contains(nix::sys::statvfs::FsFlags::ST_NOEXEC))
}
