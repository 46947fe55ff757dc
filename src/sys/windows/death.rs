//! Processes: to be told that one ended, and whose it is.
#![allow(unsafe_code, reason = "system calls")]

use super::super::Identity;
use super::{last, owned, security};
use crate::error::{Error, ErrorKind, Result};
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use windows_sys::Win32::Foundation::{
    ERROR_INVALID_PARAMETER, HANDLE, WAIT_OBJECT_0, WAIT_TIMEOUT,
};
use windows_sys::Win32::System::Threading::{
    GetProcessId, OpenProcess, PROCESS_DUP_HANDLE, PROCESS_QUERY_LIMITED_INFORMATION,
    PROCESS_SYNCHRONIZE, WaitForSingleObject,
};

use super::event::Waited;
use std::sync::OnceLock;

/// A process that can be waited for.
#[derive(Debug)]
pub(crate) struct Process {
    /// Goes before the handle that is waited for.
    pub(super) waited: OnceLock<Waited>,
    handle: OwnedHandle,
}

impl Process {
    pub(super) fn raw(&self) -> HANDLE {
        self.handle.as_raw_handle().cast()
    }

    pub(super) fn handle(&self) -> &OwnedHandle {
        &self.handle
    }

    /// Whether it runs as this process's user.
    pub(super) fn is_own_user(&self) -> Result<bool> {
        security::is_own_user(self.raw())
    }
}

/// Something that is told of a process's end, until dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Goes before the handle that is waited for.
    _waited: Waited,
    _process: OwnedHandle,
}

impl Watch {
    pub(super) fn of(process: &Process, tell: impl Fn() + Send + Sync + 'static) -> Result<Watch> {
        let process = copy_of(&process.handle)?;
        // SAFETY: this has the handle, and drops the wait before it.
        let waited = unsafe { Waited::on(process.as_raw_handle().cast(), true, tell) }?;
        Ok(Watch { _waited: waited, _process: process })
    }
}

pub(super) fn copy_of(handle: &OwnedHandle) -> Result<OwnedHandle> {
    handle.try_clone().map_err(|e| Error::os("copy a handle", e.raw_os_error().unwrap_or(0)))
}

/// What its user is, only its own user may ask of some.
const TO_WATCH: [u32; 2] =
    [PROCESS_SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE];

/// To put handles into it.
const TO_GIVE: [u32; 1] =
    [PROCESS_SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_DUP_HANDLE];

fn open_for(pid: u32, rights: &[u32]) -> Result<OwnedHandle> {
    // SAFETY: takes no pointer.
    let handle = rights.iter().find_map(|rights| owned(unsafe { OpenProcess(*rights, 0, pid) }));
    handle.ok_or_else(|| last("open the process"))
}

/// A process, by the number that it gave; it is that process if it is known to live after this call.
pub(crate) fn open_process(pid: u32) -> Result<Process> {
    Ok(Process { waited: OnceLock::new(), handle: open_for(pid, &TO_WATCH)? })
}

/// The same, to be given something.
pub(crate) fn open_to_give(pid: u32) -> Result<Process> {
    Ok(Process { waited: OnceLock::new(), handle: open_for(pid, &TO_GIVE)? })
}

/// Whether that says that there is no process of that number.
pub(crate) fn is_no_process(error: &Error) -> bool {
    error.raw_os_error() == Some(ERROR_INVALID_PARAMETER.cast_signed())
}

/// The process of a handle that came from elsewhere, to be given something. As long as one is open, nobody else has its number.
pub(crate) fn process_of(handle: OwnedHandle) -> Result<Process> {
    // SAFETY: the handle is open, whatever it is of.
    let pid = unsafe { GetProcessId(handle.as_raw_handle().cast()) };
    if pid == 0 {
        return Err(Error::new(ErrorKind::InvalidInput, "no handle of a process"));
    }
    let given = Process { waited: OnceLock::new(), handle };
    if has_ended(&given)? {
        return Ok(given);
    }
    open_to_give(pid)
}

pub(crate) fn number_of(process: &Process) -> Result<Option<u32>> {
    // SAFETY: the handle is open.
    match unsafe { GetProcessId(process.raw()) } {
        0 => Err(last("ask for the process's number")),
        pid => Ok(Some(pid)),
    }
}

/// What tells it from others of its number: there are none while its handle is open.
pub(crate) fn mark_of(_: &Process) -> Result<Identity> {
    Ok(Identity { device: 0, object: 0 })
}

pub(crate) fn has_ended(process: &Process) -> Result<bool> {
    // SAFETY: the handle is open.
    match unsafe { WaitForSingleObject(process.raw(), 0) } {
        WAIT_OBJECT_0 => Ok(true),
        WAIT_TIMEOUT => Ok(false),
        _ => Err(last("look at the process")),
    }
}
