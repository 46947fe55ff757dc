//! Addresses for the bytes of an object: views, and who they belong to.
#![allow(unsafe_code, reason = "system calls")]

use super::super::{Access, Protection};
use super::object::Object;
use super::{Handle, last, twice};
use crate::error::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::ptr::{NonNull, null};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use windows_sys::Win32::Foundation::{ERROR_WORKING_SET_QUOTA, HANDLE};
use windows_sys::Win32::System::Memory::{
    FILE_MAP_COPY, FILE_MAP_READ, FILE_MAP_WRITE, MEMORY_BASIC_INFORMATION,
    MEMORY_MAPPED_VIEW_ADDRESS, MapViewOfFileEx, SEC_COMMIT, SEC_FILE, SEC_IMAGE, SEC_RESERVE,
    UnmapViewOfFile, VirtualLock, VirtualQuery,
};

/// What is mapped, by its first address.
static MAPPED: Mutex<BTreeMap<usize, Mapped>> = Mutex::new(BTreeMap::new());

#[derive(Debug)]
struct Mapped {
    len: usize,
    /// Where its views begin.
    views: Vec<usize>,
    object: Arc<Object>,
}

fn mapped() -> MutexGuard<'static, BTreeMap<usize, Mapped>> {
    MAPPED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The object that has something mapped at this address, and how far behind the mapping's beginning that is.
pub(super) fn object_at(address: usize) -> Option<(Arc<Object>, usize)> {
    let mapped = mapped();
    let (start, found) = mapped.range(..=address).next_back()?;
    let behind = address - start;
    (behind < found.len).then(|| (Arc::clone(&found.object), behind))
}

/// A view of a section, at an address of the system's choice or at this one.
pub(super) fn view(
    section: HANDLE,
    access: u32,
    offset: u64,
    len: usize,
    at: Option<NonNull<u8>>,
) -> Result<NonNull<u8>> {
    let at = at.map_or(null(), |at| at.as_ptr().cast_const().cast());
    let (high, low) = ((offset >> 32) as u32, offset as u32);
    // SAFETY: a view is never put over addresses in use, so no memory of this process is touched.
    let view = unsafe { MapViewOfFileEx(section, access, high, low, len, at) };
    NonNull::new(view.Value.cast()).ok_or_else(|| last("map"))
}

/// # Safety
/// A view begins there, and nobody uses it any more.
pub(super) unsafe fn unview(address: usize) {
    let view = MEMORY_MAPPED_VIEW_ADDRESS { Value: std::ptr::with_exposed_provenance_mut(address) };
    // SAFETY: as the contract says. What is a view can be unmapped.
    unsafe { UnmapViewOfFile(view) };
}

/// The bytes of a section, in whole pages.
pub(super) fn size_of_section(section: HANDLE) -> Result<u64> {
    let whole = view(section, FILE_MAP_READ, 0, 0, None)?;
    let mut found = MEMORY_BASIC_INFORMATION::default();
    // SAFETY: writes to what it is given, which is so long.
    let told = unsafe {
        VirtualQuery(whole.as_ptr().cast(), &mut found, size_of::<MEMORY_BASIC_INFORMATION>())
    };
    let size = if told == 0 { Err(last("ask for the size")) } else { Ok(found.RegionSize as u64) };
    // SAFETY: the view was made here, and nobody else has it.
    unsafe { unview(whole.addr().get()) };
    size
}

/// What the kernel says of a section.
#[repr(C)]
#[derive(Default)]
struct Basic {
    _base: usize,
    attributes: u32,
    size: i64,
}

#[link(name = "ntdll")]
unsafe extern "system" {
    fn NtQuerySection(
        section: HANDLE,
        class: i32,
        into: *mut Basic,
        len: usize,
        told: *mut usize,
    ) -> i32;
}

/// The bytes of a section that is memory alone, and all there: a file's could vanish, and what is only reserved is
/// not there to be read.
pub(super) fn size_of_plain(section: HANDLE) -> Result<u64> {
    const BASIC: i32 = 0;
    let mut found = Basic::default();
    // SAFETY: writes to what it is given, which is so long.
    let status = unsafe {
        NtQuerySection(section, BASIC, &mut found, size_of::<Basic>(), std::ptr::null_mut())
    };
    if status < 0 {
        return Err(Error::new(ErrorKind::Os, format!("ask for the size: status {status:#x}")));
    }
    let plain = found.attributes & SEC_COMMIT != 0
        && found.attributes & (SEC_FILE | SEC_IMAGE | SEC_RESERVE) == 0;
    match u64::try_from(found.size) {
        Ok(size) if plain => Ok(size),
        _ => Err(Error::new(ErrorKind::Corrupt, "memory that may not be there")),
    }
}

fn past_address_space() -> Error {
    Error::new(ErrorKind::OutOfRange, "a mapping past the address space")
}

fn only_for_reading() -> Error {
    Error::new(ErrorKind::PermissionDenied, "opened for reading only")
}

fn check_range(handle: &Handle, offset: u64, len: usize) -> Result<HANDLE> {
    let (section, size) = handle.section()?;
    if offset.checked_add(len as u64).is_none_or(|end| end > size) || len == 0 {
        let text = format!("{len} bytes at {offset} of an object of {size}");
        return Err(Error::new(ErrorKind::OutOfRange, text));
    }
    Ok(section)
}

fn list(at: NonNull<u8>, len: usize, views: Vec<usize>, handle: &Handle) -> NonNull<u8> {
    let object = Arc::clone(handle.object());
    mapped().insert(at.as_ptr().expose_provenance(), Mapped { len, views, object });
    at
}

pub(crate) fn map(
    handle: &Handle,
    offset: u64,
    len: usize,
    wanted: Protection,
) -> Result<NonNull<u8>> {
    let section = check_range(handle, offset, len)?;
    if wanted.exec {
        let text = "code cannot be run from shared memory here";
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    let access = match (wanted.private, wanted.write) {
        (true, true) => FILE_MAP_COPY,
        (false, true) if handle.access() == Access::Read => {
            return Err(only_for_reading());
        }
        (false, true) => FILE_MAP_READ | FILE_MAP_WRITE,
        (_, false) => FILE_MAP_READ,
    };
    let at = view(section, access, offset, len, None)?;
    Ok(list(at, len, vec![at.addr().get()], handle))
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

/// Maps `[0, head + body)` of the object, and the body once more right behind it.
pub(crate) fn map_twice(
    handle: &Handle,
    head: usize,
    body: usize,
    _unit: usize,
    access: Access,
) -> Result<NonNull<u8>> {
    let once = head.checked_add(body).ok_or_else(past_address_space)?;
    let section = check_range(handle, 0, once)?;
    let access = match access {
        Access::Read => FILE_MAP_READ,
        Access::ReadWrite if handle.access() == Access::Read => return Err(only_for_reading()),
        Access::ReadWrite => FILE_MAP_READ | FILE_MAP_WRITE,
    };
    let [first, again] = twice::views(section, access, head, once)?;
    Ok(list(first, once + body, vec![first.addr().get(), again.addr().get()], handle))
}

/// # Safety
/// The range is one that a function here mapped, and nobody uses it any more.
pub(crate) unsafe fn unmap(at: NonNull<u8>, _len: usize) -> Result<()> {
    let gone = mapped().remove(&at.addr().get());
    let gone =
        gone.ok_or_else(|| Error::new(ErrorKind::InvalidState, "unmap: nothing is there"))?;
    for view in gone.views {
        // SAFETY: a view of this mapping, which nobody uses any more by the contract.
        unsafe { unview(view) };
    }
    Ok(())
}

/// No process is a copy of another one here.
///
/// # Safety
/// None: it does nothing.
pub(crate) unsafe fn dont_fork(_at: NonNull<u8>, _len: usize) -> Result<()> {
    Ok(())
}

/// Pages come when they are touched.
///
/// # Safety
/// None: it does nothing.
pub(crate) unsafe fn prefault(_at: NonNull<u8>, _len: usize, _write: bool) -> Result<bool> {
    Ok(false)
}

/// Keeps the range from being paged out.
///
/// # Safety
/// The range is a mapping of the caller's.
pub(crate) unsafe fn lock_pages(at: NonNull<u8>, len: usize) -> Result<()> {
    // SAFETY: as the contract says; locking changes no contents.
    if unsafe { VirtualLock(at.as_ptr().cast(), len) } != 0 {
        return Ok(());
    }
    match super::last_code() {
        ERROR_WORKING_SET_QUOTA => {
            let text = format!("lock {len} bytes in memory: more than the working set may have");
            Err(Error::new(ErrorKind::LimitReached, text))
        }
        _ => Err(last("lock in memory")),
    }
}
