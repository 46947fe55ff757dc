//! Addresses for the bytes of an object, and what the kernel is asked to do with them.
#![allow(unsafe_code, reason = "system calls")]

use super::super::{Access, Protection};
use super::{Handle, failed, page_size};
use crate::error::{Error, ErrorKind, Result};
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags};
use nix::sys::resource::Resource;
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

/// Nodes of memory that a mask here has room for; Linux itself stops at 1024.
const NODES: u32 = 1024;

/// How many pages are asked about at a time.
const PAGES_A_CALL: usize = 1024;

fn protection(wanted: Protection) -> ProtFlags {
    let mut flags = ProtFlags::PROT_NONE;
    flags.set(ProtFlags::PROT_READ, wanted.read);
    flags.set(ProtFlags::PROT_WRITE, wanted.write);
    flags.set(ProtFlags::PROT_EXEC, wanted.exec);
    flags
}

fn length(len: usize) -> Result<NonZeroUsize> {
    NonZeroUsize::new(len)
        .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "a mapping of 0 bytes"))
}

fn past_address_space() -> Error {
    Error::new(ErrorKind::OutOfRange, "a mapping past the address space")
}

fn offset_of(offset: u64) -> Result<libc::off_t> {
    libc::off_t::try_from(offset)
        .map_err(|_| Error::new(ErrorKind::OutOfRange, "offset past any file"))
}

pub(crate) fn map(
    handle: &Handle,
    offset: u64,
    len: usize,
    wanted: Protection,
) -> Result<NonNull<u8>> {
    let (offset, len) = (offset_of(offset)?, length(len)?);
    let sharing = if wanted.private { MapFlags::MAP_PRIVATE } else { MapFlags::MAP_SHARED };
    // SAFETY: the kernel chooses fresh addresses, so no memory of this process is touched.
    let at =
        unsafe { nix::sys::mman::mmap(None, len, protection(wanted), sharing, handle, offset) };
    at.map(NonNull::cast).map_err(failed("map"))
}

/// Addresses that nothing can be at, to lay mappings into.
fn hold(len: usize) -> Result<NonNull<u8>> {
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
    // SAFETY: the kernel chooses fresh addresses, so no memory of this process is touched.
    let at =
        unsafe { nix::sys::mman::mmap_anonymous(None, length(len)?, ProtFlags::PROT_NONE, flags) };
    at.map(NonNull::cast).map_err(failed("map"))
}

/// The same at an address that is `offset` modulo `unit`, a power of two.
fn hold_at(len: usize, offset: usize, unit: usize) -> Result<NonNull<u8>> {
    let len = len.checked_next_multiple_of(page_size()).ok_or_else(past_address_space)?;
    let whole = len.checked_add(unit).ok_or_else(past_address_space)?;
    let base = hold(whole)?;
    let ahead = offset.wrapping_sub(base.as_ptr().addr()) & (unit - 1);
    // SAFETY: `ahead` is less than `unit`, so `len` bytes from there are within.
    let at = unsafe { base.add(ahead) };
    if ahead > 0 {
        // SAFETY: what is before is ours and nobody has seen it.
        let _ = unsafe { unmap(base, ahead) };
    }
    let behind = whole - ahead - len;
    if behind > 0 {
        // SAFETY: within the addresses held above.
        let rest = unsafe { at.add(len) };
        // SAFETY: what is behind is ours and nobody has seen it.
        let _ = unsafe { unmap(rest, behind) };
    }
    Ok(at)
}

/// Maps a range to addresses that agree with its offset modulo `unit`, a power of two, so that the kernel
/// can use pages of that size.
pub(crate) fn map_aligned(
    handle: &Handle,
    offset: u64,
    len: usize,
    wanted: Protection,
    unit: usize,
) -> Result<NonNull<u8>> {
    let file_offset = offset_of(offset)?;
    let base = hold_at(len, offset as usize, unit)?;
    let rounded = len.next_multiple_of(page_size());
    let address = NonZeroUsize::new(base.as_ptr().addr());
    let sharing = if wanted.private { MapFlags::MAP_PRIVATE } else { MapFlags::MAP_SHARED };
    let (flags, whole) = (sharing | MapFlags::MAP_FIXED, length(rounded)?);
    // SAFETY: the range is the addresses held above, which only this function knows.
    let placed = unsafe {
        nix::sys::mman::mmap(address, whole, protection(wanted), flags, handle, file_offset)
    };
    placed.map(NonNull::cast).map_err(|errno| {
        // SAFETY: the addresses are ours and nobody has seen them.
        let _ = unsafe { unmap(base, rounded) };
        failed("map")(errno)
    })
}

/// Maps `[0, head + body)` of the object, and the body once more right behind it: what runs over
/// the end of the body goes on at its beginning. The first address is a multiple of `unit`, a power of two.
pub(crate) fn map_twice(
    handle: &Handle,
    head: usize,
    body: usize,
    unit: usize,
    access: Access,
) -> Result<NonNull<u8>> {
    let once = head.checked_add(body).and_then(|n| n.checked_add(body));
    let whole = once.ok_or_else(past_address_space)?;
    let base = hold_at(whole, 0, unit)?;
    // SAFETY: the range is the addresses held above, which only this function knows.
    let placed = unsafe { map_twice_at(base, handle, head, body, access) };
    if let Err(error) = placed {
        // SAFETY: the addresses are ours and nobody has seen them.
        let _ = unsafe { unmap(base, whole) };
        return Err(error);
    }
    Ok(base)
}

/// The same in place of what is mapped at `base`.
///
/// # Safety
/// `head + 2 * body` bytes from there are the caller's, and may change under whoever reads them.
pub(crate) unsafe fn map_twice_at(
    base: NonNull<u8>,
    handle: &Handle,
    head: usize,
    body: usize,
    access: Access,
) -> Result<()> {
    let place = |at: usize, len: usize, offset: usize| {
        let address = NonZeroUsize::new(base.as_ptr().addr() + at);
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
        let access = protection(access.into());
        let (len, offset) = (length(len)?, offset_of(offset as u64)?);
        // SAFETY: the range is the caller's, as the contract says.
        unsafe { nix::sys::mman::mmap(address, len, access, flags, handle, offset) }
            .map_err(failed("map"))
    };
    place(0, head + body, 0).and_then(|_| place(head + body, body, head)).map(drop)
}

/// Addresses that read as zeroes, until something is mapped in their place.
pub(crate) fn hold_zeroes(len: usize) -> Result<NonNull<u8>> {
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
    // SAFETY: the kernel chooses fresh addresses, so no memory of this process is touched.
    let at =
        unsafe { nix::sys::mman::mmap_anonymous(None, length(len)?, ProtFlags::PROT_READ, flags) };
    at.map(NonNull::cast).map_err(failed("map"))
}

/// # Safety
/// The range is one that a function here mapped, and nobody uses it any more.
pub(crate) unsafe fn unmap(at: NonNull<u8>, len: usize) -> Result<()> {
    // SAFETY: as the contract says.
    unsafe { nix::sys::mman::munmap(at.cast::<c_void>(), len) }.map_err(failed("unmap"))
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

/// Takes every page of the range in now, so that no later touch faults. False where the kernel is too old
/// to be asked: then pages come in when they are touched.
///
/// # Safety
/// The range is a mapping of the caller's, writable if `write` is asked for.
pub(crate) unsafe fn prefault(at: NonNull<u8>, len: usize, write: bool) -> Result<bool> {
    let advice =
        if write { MmapAdvise::MADV_POPULATE_WRITE } else { MmapAdvise::MADV_POPULATE_READ };
    loop {
        // SAFETY: as the contract says; populating changes no contents.
        match unsafe { nix::sys::mman::madvise(at.cast::<c_void>(), len, advice) } {
            Ok(()) => return Ok(true),
            Err(Errno::EINVAL) => return Ok(false),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            // A touch would have been a SIGBUS.
            Err(Errno::EFAULT) => {
                let text = "prefault: there is no memory for it, or the object was shortened";
                return Err(Error::new(ErrorKind::NoSpace, text));
            }
            Err(errno) => return Err(Error::os("prefault", errno as i32)),
        }
    }
}

/// Keeps the range from being paged out, see `mlock(2)`.
///
/// # Safety
/// The range is a mapping of the caller's.
pub(crate) unsafe fn lock_pages(at: NonNull<u8>, len: usize) -> Result<()> {
    // SAFETY: as the contract says; locking changes no contents.
    match unsafe { nix::sys::mman::mlock(at.cast::<c_void>(), len) } {
        Ok(()) => Ok(()),
        Err(errno @ (Errno::EPERM | Errno::ENOMEM | Errno::EAGAIN)) => {
            let limit = super::limit_of(Resource::RLIMIT_MEMLOCK)?;
            // Without the right to lock more, a limit that holds; else there is no memory for the pages.
            let kind =
                if errno == Errno::EPERM || len as u64 > limit || !nix::unistd::geteuid().is_root()
                {
                    ErrorKind::LimitReached
                } else {
                    ErrorKind::NoSpace
                };
            let text = format!(
                "lock {len} bytes in memory: {errno}; this process may lock {limit} in all, as far as it \
                 is held to a limit"
            );
            Err(Error::new(kind, text))
        }
        Err(errno) => Err(Error::os("lock in memory", errno as i32)),
    }
}

/// The size of a huge page of ordinary shared memory; nothing where the kernel has none.
pub(crate) fn huge_page_size() -> Option<usize> {
    let text =
        std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size").ok()?;
    text.trim().parse().ok().filter(|size: &usize| size.is_power_of_two())
}

/// Asks for huge pages, and puts those that are there already together. What came of it,
/// [`huge_bytes`] says.
///
/// # Safety
/// The range is a mapping of the caller's.
pub(crate) unsafe fn prefer_huge(at: NonNull<u8>, len: usize) {
    // SAFETY: as the contract says; this advice changes no contents. A kernel without huge pages says so.
    let _ = unsafe { nix::sys::mman::madvise(at.cast::<c_void>(), len, MmapAdvise::MADV_HUGEPAGE) };
    /// Since Linux 6.1; not in nix.
    const MADV_COLLAPSE: libc::c_int = 25;
    // SAFETY: as above.
    unsafe { libc::madvise(at.as_ptr().cast(), len, MADV_COLLAPSE) };
}

/// How many bytes of the range are mapped by huge pages now, by the kernel's word.
pub(crate) fn huge_bytes(at: NonNull<u8>, len: usize) -> Result<usize> {
    let maps = std::fs::read_to_string("/proc/self/smaps")
        .map_err(|e| Error::os("read /proc/self/smaps", e.raw_os_error().unwrap_or(libc::EIO)))?;
    let (from, to) = (at.as_ptr().addr(), at.as_ptr().addr() + len);
    let mut inside = false;
    let mut bytes = 0_usize;
    for line in maps.lines() {
        if let Some((start, end)) = range_of(line) {
            inside = start < to && from < end;
        } else if inside
            && let Some((field, value)) = line.split_once(':')
            && ["ShmemPmdMapped", "FilePmdMapped", "AnonHugePages"].contains(&field)
            && let Some(kilobytes) = value.trim().strip_suffix("kB")
        {
            bytes += kilobytes.trim().parse::<usize>().unwrap_or(0) * 1024;
        }
    }
    Ok(bytes.min(len))
}

/// The addresses that a line of `/proc/self/maps` begins with.
fn range_of(line: &str) -> Option<(usize, usize)> {
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
}

/// Which object is mapped at an address of this process; nothing if none is.
#[cfg(feature = "shared_memory")]
pub(crate) fn identity_at(at: NonNull<u8>) -> Result<Option<super::super::Identity>> {
    let maps = std::fs::read_to_string("/proc/self/maps")
        .map_err(|e| Error::os("read /proc/self/maps", e.raw_os_error().unwrap_or(libc::EIO)))?;
    let address = at.as_ptr().addr();
    let line = maps
        .lines()
        .find(|line| range_of(line).is_some_and(|(start, end)| (start..end).contains(&address)));
    Ok(line.and_then(|line| {
        let (major, minor) = line.split(' ').nth(3)?.split_once(':')?;
        let major = u32::from_str_radix(major, 16).ok()?;
        let minor = u32::from_str_radix(minor, 16).ok()?;
        let object = line.split(' ').nth(4)?.parse().ok().filter(|inode| *inode != 0)?;
        Some(super::super::Identity { device: libc::makedev(major, minor), object })
    }))
}

/// Whether this kernel lets a process say which node its memory comes from.
pub(crate) fn has_nodes() -> bool {
    // SAFETY: without any pointer the call only says whether it is there.
    unsafe { libc::syscall(libc::SYS_get_mempolicy, 0, 0, 0, 0, 0) == 0 }
}

/// Has the range's memory come from one node, and moves there what can be moved.
///
/// # Safety
/// The range is a mapping of the caller's, beginning at a page.
pub(crate) unsafe fn bind_node(at: NonNull<u8>, len: usize, node: u32) -> Result<()> {
    if node >= NODES {
        return Err(Error::new(ErrorKind::InvalidInput, format!("there is no NUMA node {node}")));
    }
    let mut mask = [0_u64; NODES as usize / 64];
    mask[node as usize / 64] = 1 << (node % 64);
    /// Move the pages that only this process maps. Not in libc.
    const MPOL_MF_MOVE: libc::c_uint = 2;
    let bits = libc::c_ulong::from(NODES) + 1;
    // SAFETY: the mask has the bits that it is said to have; a policy changes no contents.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mbind,
            at.as_ptr(),
            len,
            libc::MPOL_BIND,
            mask.as_ptr(),
            bits,
            MPOL_MF_MOVE,
        )
    };
    match Errno::result(done) {
        Ok(_) => Ok(()),
        Err(Errno::EINVAL) => {
            Err(Error::new(ErrorKind::InvalidInput, format!("there is no NUMA node {node}")))
        }
        Err(errno) => Err(Error::os("bind to a NUMA node", errno as i32)),
    }
}

/// How many bytes of the range lie on a node, of those that this process has touched.
pub(crate) fn node_bytes(at: NonNull<u8>, len: usize, node: u32) -> Result<usize> {
    let page = page_size();
    let mut there = 0;
    let pages: Vec<usize> = (0..len).step_by(page).map(|n| at.as_ptr().addr() + n).collect();
    for chunk in pages.chunks(PAGES_A_CALL) {
        let mut status = [-1_i32; PAGES_A_CALL];
        // SAFETY: both arrays have the pages that they are said to have; without a list of nodes the call
        // moves nothing.
        let done = unsafe {
            libc::syscall(
                libc::SYS_move_pages,
                0,
                chunk.len(),
                chunk.as_ptr(),
                std::ptr::null::<libc::c_int>(),
                status.as_mut_ptr(),
                0,
            )
        };
        Errno::result(done).map_err(failed("ask for NUMA nodes"))?;
        there +=
            status[..chunk.len()].iter().filter(|at| i64::from(**at) == i64::from(node)).count();
    }
    Ok((there * page).min(len))
}

/// Copies bytes by the kernel's hand, so that a page that is gone is no signal: false if one of either is. Nothing
/// where the kernel is not allowed to do it.
///
/// # Safety
/// Nobody but this has the private bytes among the two; the others may change, or vanish, meanwhile.
pub(crate) unsafe fn copy_if_there(to: *mut u8, from: *const u8, len: usize) -> Option<bool> {
    let (own, mut done) = (super::process_id() as libc::pid_t, 0);
    while done < len {
        let rest = len - done;
        let [to, from] = [to.wrapping_add(done), from.cast_mut().wrapping_add(done)]
            .map(|at| libc::iovec { iov_base: at.cast(), iov_len: rest });
        // SAFETY: the kernel writes to what the caller may write to, or fails.
        let copied =
            unsafe { libc::process_vm_readv(own, &raw const to, 1, &raw const from, 1, 0) };
        match Errno::result(copied) {
            Ok(copied @ 1..) => done += copied.cast_unsigned(),
            Err(Errno::EPERM | Errno::ENOSYS) => return None,
            _ => return Some(false),
        }
    }
    Some(true)
}
