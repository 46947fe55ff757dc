//! Processes: to be told that one ended, and whose it is.
#![allow(unsafe_code, reason = "system calls")]

use super::{last, owned, security};
use crate::error::Result;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Threading::{
    OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE,
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

/// A process, by the number that it gave; it is that process if it is known to live after this call.
pub(crate) fn open_process(pid: u32) -> Result<Process> {
    // What its user is, only its own user may ask of some.
    let rights = [PROCESS_SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE];
    // SAFETY: takes no pointer.
    let handle = rights.iter().find_map(|rights| owned(unsafe { OpenProcess(*rights, 0, pid) }));
    let handle = handle.ok_or_else(|| last("open the process"))?;
    Ok(Process { waited: OnceLock::new(), handle })
}
