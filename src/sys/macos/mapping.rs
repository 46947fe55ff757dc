//! Addresses for the bytes of an object.
#![allow(unsafe_code, reason = "system calls")]

use super::super::{Access, Protection};
use super::{Handle, failed, page_size};
use crate::error::{Error, ErrorKind, Result};
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags};
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

fn protection(wanted: Protection) -> ProtFlags {
    let mut flags = ProtFlags::PROT_NONE;
    flags.set(ProtFlags::PROT_READ, wanted.read);
    flags.set(ProtFlags::PROT_WRITE, wanted.write);
    flags
}

fn length(len: usize) -> Result<NonZeroUsize> {
    NonZeroUsize::new(len)
        .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "a mapping of 0 bytes"))
}

fn past_address_space() -> Error {
    Error::new(ErrorKind::OutOfRange, "a mapping past the address space")
}

pub(crate) fn map(
    handle: &Handle,
    offset: u64,
    len: usize,
    wanted: Protection,
) -> Result<NonNull<u8>> {
    let refused = |text| Err(Error::new(ErrorKind::Unsupported, text));
    if wanted.exec {
        return refused("code cannot be run from shared memory here");
    }
    if wanted.private {
        return refused("writes to shared memory cannot be kept private here");
    }
    let offset = i64::try_from(offset).map_err(|_| past_address_space())?;
    let (shared, memory) = (MapFlags::MAP_SHARED, &*handle.memory);
    // SAFETY: the kernel chooses fresh addresses, so no memory of this process is touched.
    let at = unsafe {
        nix::sys::mman::mmap(None, length(len)?, protection(wanted), shared, memory, offset)
    };
    at.map(NonNull::cast).map_err(failed("map"))
}

/// There are no huge pages to be aligned to.
pub(crate) fn map_aligned(
    handle: &Handle,
    offset: u64,
    len: usize,
    wanted: Protection,
    _unit: usize,
) -> Result<NonNull<u8>> {
    map(handle, offset, len, wanted)
}

/// Maps `[0, head + body)` of the object, and the body once more right behind it: what runs over
/// the end of the body goes on at its beginning.
pub(crate) fn map_twice(
    handle: &Handle,
    head: usize,
    body: usize,
    _unit: usize,
    access: Access,
) -> Result<NonNull<u8>> {
    let once = head.checked_add(body).ok_or_else(past_address_space)?;
    let whole = once.checked_add(body).ok_or_else(past_address_space)?;
    let nothing = (ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE);
    // SAFETY: the kernel chooses fresh addresses, so no memory of this process is touched.
    let base =
        unsafe { nix::sys::mman::mmap_anonymous(None, length(whole)?, nothing.0, nothing.1) };
    let base: NonNull<u8> = base.map(NonNull::cast).map_err(failed("map"))?;
    let access = protection(Protection::from(access));
    let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
    let place = |at: usize, len: usize, offset: usize| {
        let (address, len) = (NonZeroUsize::new(base.addr().get() + at), length(len)?);
        // SAFETY: the range is of the addresses held above, which only this function knows.
        unsafe { nix::sys::mman::mmap(address, len, access, flags, &*handle.memory, offset as i64) }
            .map_err(failed("map"))
    };
    match place(0, once, 0).and_then(|_| place(once, body, head)) {
        Ok(_) => Ok(base),
        Err(error) => {
            // SAFETY: the addresses are ours and nobody has seen them.
            let _ = unsafe { unmap(base, whole) };
            Err(error)
        }
    }
}

/// # Safety
/// The range is one that a function here mapped, and nobody uses it any more.
pub(crate) unsafe fn unmap(at: NonNull<u8>, len: usize) -> Result<()> {
    // SAFETY: as the contract says.
    unsafe { nix::sys::mman::munmap(at.cast::<c_void>(), len) }.map_err(failed("unmap"))
}

unsafe extern "C" {
    /// See `minherit(2)`.
    fn minherit(at: *mut c_void, len: usize, inherit: libc::c_int) -> libc::c_int;
}

/// Leaves the range out of child processes: a forked copy of a ring's end would be a second one.
///
/// # Safety
/// The range is a mapping of the caller's.
pub(crate) unsafe fn dont_fork(at: NonNull<u8>, len: usize) -> Result<()> {
    let len = len.next_multiple_of(page_size());
    // SAFETY: as the contract says; this changes nothing in this process.
    let done = unsafe { minherit(at.as_ptr().cast(), len, libc::VM_INHERIT_NONE) };
    Errno::result(done).map(drop).map_err(failed("minherit"))
}

/// Pages come when they are touched.
///
/// # Safety
/// None: it does nothing.
pub(crate) unsafe fn prefault(_at: NonNull<u8>, _len: usize, _write: bool) -> Result<bool> {
    Ok(false)
}

/// Keeps the range from being paged out, see `mlock(2)`.
///
/// # Safety
/// The range is a mapping of the caller's.
pub(crate) unsafe fn lock_pages(at: NonNull<u8>, len: usize) -> Result<()> {
    // SAFETY: as the contract says; locking changes no contents.
    unsafe { nix::sys::mman::mlock(at.cast::<c_void>(), len) }.map_err(|errno| {
        let text = format!("lock {len} bytes in memory: {errno}");
        Error::new(ErrorKind::LimitReached, text)
    })
}
