//! Two views of a section side by side: all of it, and its end once more.
//!
//! Where the system has placeholders, addresses are reserved, split, and each half replaced by its view: they are
//! nobody else's at any moment. Elsewhere they are looked for, given back, and taken one by one. What somebody else takes
//! meanwhile is left to him, and others are looked for.
#![allow(unsafe_code, reason = "system calls")]

use super::mapping::{unview, view};
use super::{last, last_code, wide};
use crate::error::{Error, ErrorKind, Result};
use std::ffi::{CStr, c_void};
use std::ptr::{NonNull, null, null_mut};
use std::sync::{Mutex, OnceLock, PoisonError};
use windows_sys::Win32::Foundation::{ERROR_INVALID_PARAMETER, HANDLE};
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::Win32::System::Memory::{
    FILE_MAP_WRITE, MEM_PRESERVE_PLACEHOLDER, MEM_RELEASE, MEM_REPLACE_PLACEHOLDER, MEM_RESERVE,
    MEM_RESERVE_PLACEHOLDER, PAGE_NOACCESS, PAGE_READONLY, PAGE_READWRITE, VirtualAlloc,
    VirtualFree,
};

/// How often addresses that were free a moment ago may be somebody else's.
const TRIES: u32 = 64;

/// Where the views begin.
pub(super) type Views = [NonNull<u8>; 2];

/// Views of the section's first `once` bytes, and right behind it of those from `head` to `once`.
pub(super) fn views(section: HANDLE, access: u32, head: usize, once: usize) -> Result<Views> {
    match in_placeholders(section, access, head, once)? {
        Some(views) => Ok(views),
        None => by_chance(section, access, head, once),
    }
}

fn past_address_space() -> Error {
    Error::new(ErrorKind::OutOfRange, "a mapping past the address space")
}

/// `VirtualAlloc2`.
type Allocate = unsafe extern "system" fn(
    process: HANDLE,
    at: *const c_void,
    len: usize,
    kind: u32,
    protection: u32,
    more: *mut c_void,
    how_many: u32,
) -> *mut c_void;

/// `MapViewOfFile3`.
type Map = unsafe extern "system" fn(
    section: HANDLE,
    process: HANDLE,
    at: *const c_void,
    offset: u64,
    len: usize,
    kind: u32,
    protection: u32,
    more: *mut c_void,
    how_many: u32,
) -> *mut c_void;

#[derive(Clone, Copy)]
struct Calls {
    allocate: Allocate,
    map: Map,
}

/// What Windows has from 10, version 1803, on.
fn calls() -> Option<Calls> {
    static CALLS: OnceLock<Option<Calls>> = OnceLock::new();
    *CALLS.get_or_init(|| {
        let library = wide("kernelbase.dll");
        // SAFETY: the name ends with a zero. Every process has that library, and keeps it.
        let library = unsafe { GetModuleHandleW(library.as_ptr()) };
        let find = |name: &CStr| {
            // SAFETY: the name ends with a zero; without a library there is no function.
            unsafe { GetProcAddress(library, name.as_ptr().cast()) }
        };
        let (allocate, map) = (find(c"VirtualAlloc2")?, find(c"MapViewOfFile3")?);
        // SAFETY: that is what the function of this name takes and gives.
        let allocate = unsafe {
            std::mem::transmute::<unsafe extern "system" fn() -> isize, Allocate>(allocate)
        };
        // SAFETY: as above.
        let map = unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, Map>(map) };
        Some(Calls { allocate, map })
    })
}

/// Addresses that nothing else is put at, until a view is, or this is dropped.
struct Placeholder {
    at: NonNull<u8>,
    len: usize,
}

impl Placeholder {
    /// Nothing if the system has none, as Wine before 10, whose functions are there and take no such flag.
    fn new(calls: Calls, len: usize) -> Result<Option<Placeholder>> {
        let kind = MEM_RESERVE | MEM_RESERVE_PLACEHOLDER;
        // SAFETY: the system chooses fresh addresses, so no memory of this process is touched.
        let at = unsafe {
            (calls.allocate)(null_mut(), null(), len, kind, PAGE_NOACCESS, null_mut(), 0)
        };
        match NonNull::new(at.cast()) {
            Some(at) => Ok(Some(Placeholder { at, len })),
            None if last_code() == ERROR_INVALID_PARAMETER => Ok(None),
            None => Err(last("reserve addresses")),
        }
    }

    /// Two, of which the first has this length.
    fn split(self, first: usize) -> Result<[Placeholder; 2]> {
        let kind = MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER;
        // SAFETY: they were reserved here, nobody has seen them, and they stay reserved.
        if unsafe { VirtualFree(self.at.as_ptr().cast(), first, kind) } == 0 {
            return Err(last("split addresses"));
        }
        // SAFETY: within the addresses that were reserved.
        let at = unsafe { self.at.add(first) };
        let rest = Placeholder { at, len: self.len - first };
        let first = Placeholder { at: self.at, len: first };
        std::mem::forget(self);
        Ok([first, rest])
    }

    fn replace(
        self,
        calls: Calls,
        section: HANDLE,
        offset: u64,
        access: u32,
    ) -> Result<NonNull<u8>> {
        let protection = if access & FILE_MAP_WRITE != 0 { PAGE_READWRITE } else { PAGE_READONLY };
        let (at, kind) = (self.at.as_ptr().cast_const().cast(), MEM_REPLACE_PLACEHOLDER);
        // SAFETY: the addresses are this one's, and nobody has seen them.
        let view = unsafe {
            (calls.map)(section, null_mut(), at, offset, self.len, kind, protection, null_mut(), 0)
        };
        let view = NonNull::new(view.cast()).ok_or_else(|| last("map"))?;
        // They are the view's now, and go with it.
        std::mem::forget(self);
        Ok(view)
    }
}

impl Drop for Placeholder {
    fn drop(&mut self) {
        // SAFETY: as in `split`, and nothing was put there.
        unsafe { VirtualFree(self.at.as_ptr().cast(), 0, MEM_RELEASE) };
    }
}

/// Nothing where the system has no placeholders.
fn in_placeholders(
    section: HANDLE,
    access: u32,
    head: usize,
    once: usize,
) -> Result<Option<Views>> {
    let whole = once.checked_add(once - head).ok_or_else(past_address_space)?;
    let Some(calls) = calls() else { return Ok(None) };
    let Some(all) = Placeholder::new(calls, whole)? else { return Ok(None) };
    let [first, again] = all.split(once)?;
    let first = first.replace(calls, section, 0, access)?;
    match again.replace(calls, section, head as u64, access) {
        Ok(again) => Ok(Some([first, again])),
        Err(error) => {
            // SAFETY: the view was made here, and nobody else has it.
            unsafe { unview(first.addr().get()) };
            Err(error)
        }
    }
}

/// The addresses are free when they are looked for, and may be somebody's when they are used: then that fails, harming
/// nobody.
fn by_chance(section: HANDLE, access: u32, head: usize, once: usize) -> Result<Views> {
    let body = once - head;
    let whole = once.checked_add(body).ok_or_else(past_address_space)?;
    let mut failed = past_address_space();
    // Threads that all look for addresses take them from each other.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..TRIES {
        let base = free_addresses(whole)?;
        // SAFETY: within the addresses that were free.
        let again = unsafe { base.add(once) };
        let first = match view(section, access, 0, once, Some(base)) {
            Ok(first) => first,
            Err(error) => {
                failed = error;
                continue;
            }
        };
        match view(section, access, head as u64, body, Some(again)) {
            Ok(again) => return Ok([first, again]),
            Err(error) => failed = error,
        }
        // SAFETY: the view was made here, and nobody else has it.
        unsafe { unview(first.addr().get()) };
    }
    Err(failed)
}

/// Addresses that nothing is at, just now.
fn free_addresses(len: usize) -> Result<NonNull<u8>> {
    // SAFETY: the system chooses fresh addresses, so no memory of this process is touched.
    let at = unsafe { VirtualAlloc(null(), len, MEM_RESERVE, PAGE_NOACCESS) };
    let at = NonNull::new(at.cast::<u8>()).ok_or_else(|| last("find addresses"))?;
    // SAFETY: they were reserved here, and nobody has seen them.
    unsafe { VirtualFree(at.as_ptr().cast(), 0, MEM_RELEASE) };
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::super::{create_anonymous, page_size, resize_alone};
    use super::*;
    use windows_sys::Win32::System::Memory::{
        FILE_MAP_READ, MEM_FREE, MEMORY_BASIC_INFORMATION, VirtualQuery,
    };

    fn is_free(at: NonNull<u8>) -> bool {
        let mut found = MEMORY_BASIC_INFORMATION::default();
        let len = size_of::<MEMORY_BASIC_INFORMATION>();
        // SAFETY: writes to what it is given, which is so long.
        assert_ne!(unsafe { VirtualQuery(at.as_ptr().cast(), &mut found, len) }, 0);
        found.State == MEM_FREE
    }

    /// A head and a body: what is written into the body is there twice, and nothing is left of it at the end.
    fn mirrors(way: impl Fn(HANDLE, u32, usize, usize) -> Result<Option<Views>>) -> bool {
        let (head, once) = (page_size(), 3 * page_size());
        let handle = create_anonymous("").unwrap();
        resize_alone(&handle, once as u64, true).unwrap();
        let (section, _) = handle.section().unwrap();
        let Some([first, again]) =
            way(section, FILE_MAP_READ | FILE_MAP_WRITE, head, once).unwrap()
        else {
            return false;
        };
        assert_eq!(again.addr().get() - first.addr().get(), once);
        for at in [head, once - 1] {
            // SAFETY: within the first view.
            let here = unsafe { first.add(at) };
            // SAFETY: within the second one.
            let there = unsafe { again.add(at - head) };
            // SAFETY: both are mapped, for writing.
            unsafe { here.write_volatile(at as u8 | 1) };
            // SAFETY: as above.
            assert_eq!(unsafe { there.read_volatile() }, at as u8 | 1);
        }
        for view in [first, again] {
            assert!(!is_free(view));
            // SAFETY: the views were made here.
            unsafe { unview(view.addr().get()) };
        }
        // What is bound to fail leaves nothing either: past the section's end.
        assert!(way(section, FILE_MAP_READ, head, once + page_size()).is_err());
        true
    }

    #[test]
    fn addresses_side_by_side_are_had_in_either_way() {
        assert!(mirrors(|section, access, head, once| {
            by_chance(section, access, head, once).map(Some)
        }));
        // False where the system has none.
        println!("by placeholders: {}", mirrors(in_placeholders));
    }

    #[test]
    fn a_placeholder_is_given_back_whole_and_in_halves() {
        let Some(calls) = calls() else { return };
        let len = 4 * page_size();
        // Another thread may take the addresses at once, but not each time.
        let (mut whole_free, mut halves_free) = (false, false);
        for _ in 0..100 {
            let Some(whole) = Placeholder::new(calls, len).unwrap() else { return };
            let at = whole.at;
            assert!(!is_free(at));
            drop(whole);
            whole_free |= is_free(at);
            let whole = Placeholder::new(calls, len).unwrap().unwrap();
            let [first, rest] = whole.split(page_size()).unwrap();
            let (one, other) = (first.at, rest.at);
            assert_eq!(other.addr().get() - one.addr().get(), page_size());
            drop(first);
            assert!(!is_free(other));
            drop(rest);
            halves_free |= is_free(one) && is_free(other);
        }
        assert!(whole_free && halves_free);
    }
}
