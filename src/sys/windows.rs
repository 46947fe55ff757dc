//! Windows: sections, pipes whose being there says that a process lives, events.
//!
//! A section has its name from the beginning and a size that stays, and goes with its last handle. So that an
//! object appears whole or not at all, its section has a number nobody can guess for a name; what it is called
//! leads to a small second section, the label, which says the number when all is done. Locks and events are
//! found by that number, too.
#![allow(unsafe_code, reason = "system calls")]

mod bell;
mod death;
mod event;
mod give;
mod listen;
mod lock;
mod mapping;
mod names;
mod object;
mod pipe;
mod security;
mod twice;
mod wake;

pub(crate) use death::*;
pub(crate) use event::*;
pub(crate) use give::*;
pub(crate) use listen::*;
pub(crate) use lock::*;
pub(crate) use mapping::*;
pub(crate) use names::*;
pub(crate) use object::*;
pub(crate) use pipe::*;
pub(crate) use wake::*;

use crate::error::{Error, Result};
use std::os::windows::io::{FromRawHandle, OwnedHandle};
use std::sync::OnceLock;
use std::time::Duration;
use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Security::Cryptography::ProcessPrng;
use windows_sys::Win32::System::SystemInformation::{GetSystemInfo, SYSTEM_INFO};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetCurrentProcessorNumber};

pub(crate) const ABILITIES: super::Abilities = super::Abilities {
    resizes: 0,
    truncate: false,
    unlink: false,
    persistent: false,
    mode: false,
    copy_on_write: true,
    seal: false,
    numbered_users: false,
};

/// The last call's error.
fn last(call: &str) -> Error {
    Error::os(call, last_code().cast_signed())
}

fn last_code() -> u32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0).cast_unsigned()
}

/// Text as the system wants it.
fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// What a call has just made, for nobody else; nothing if it failed.
fn owned(made: HANDLE) -> Option<OwnedHandle> {
    let failed = made.is_null() || made == INVALID_HANDLE_VALUE;
    // SAFETY: the caller says that this handle was just made, and is nobody else's.
    (!failed).then(|| unsafe { OwnedHandle::from_raw_handle(made.cast()) })
}

/// Milliseconds, rounded up so that a wait is not over before its time.
fn milliseconds(time: Duration) -> u32 {
    time.as_nanos().div_ceil(1_000_000).min(1 << 30) as u32
}

/// What the standard library calls a handle here.
pub(crate) type OwnedRaw = OwnedHandle;

/// Views begin at multiples of this, which is more than the processor's page.
pub(crate) fn page_size() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    *SIZE.get_or_init(|| {
        let mut info = SYSTEM_INFO::default();
        // SAFETY: writes what it is given, and does not fail.
        unsafe { GetSystemInfo(&mut info) };
        info.dwAllocationGranularity as usize
    })
}

/// This process, as it calls itself.
fn this_process() -> HANDLE {
    // SAFETY: takes nothing.
    unsafe { GetCurrentProcess() }
}

/// No process is a copy of another one here.
pub(crate) fn process_token() -> u64 {
    u64::from(process_id())
}

pub(crate) fn process_id() -> u32 {
    std::process::id()
}

pub(crate) fn processor() -> Option<u32> {
    // SAFETY: takes nothing.
    Some(unsafe { GetCurrentProcessorNumber() })
}

/// Bytes that nobody guesses.
pub(crate) fn random(buffer: &mut [u8]) -> Result<()> {
    // SAFETY: the buffer has so many bytes.
    if unsafe { ProcessPrng(buffer.as_mut_ptr(), buffer.len()) } == 0 {
        return Err(last("get random bytes"));
    }
    Ok(())
}

/// There is nothing to be kept from a thread.
pub(crate) fn block_signals() {}

/// No fence here reaches other processes: `FlushProcessWriteBuffers` is for this one's threads. So every
/// operation has a fence of its own.
pub(crate) fn register_fence() -> bool {
    false
}

pub(crate) fn heavy_fence() -> bool {
    crate::sync::fence(crate::sync::Ordering::SeqCst);
    false
}

/// Code cannot be run from any object.
pub(crate) fn can_execute() -> Result<bool> {
    Ok(false)
}
