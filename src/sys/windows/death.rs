//! Being told that a process ended.
#![allow(unsafe_code, reason = "system calls")]

use super::{last, owned};
use crate::error::{Error, ErrorKind, Result};
use std::collections::VecDeque;
use std::ffi::c_void;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use windows_sys::Win32::Foundation::INVALID_HANDLE_VALUE;
use windows_sys::Win32::System::Threading::{
    INFINITE, OpenProcess, PROCESS_SYNCHRONIZE, RegisterWaitForSingleObject, UnregisterWaitEx,
    WT_EXECUTEONLYONCE,
};

/// A process that can be waited for.
#[derive(Debug)]
pub(crate) struct Process {
    handle: OwnedHandle,
    waited: OnceLock<Waited>,
}

/// A process, by the number that it gave; it is that process if it is known to live after this call.
pub(crate) fn open_process(pid: u32) -> Result<Process> {
    // SAFETY: takes no pointer.
    let handle = owned(unsafe { OpenProcess(PROCESS_SYNCHRONIZE, 0, pid) });
    let handle = handle.ok_or_else(|| last("open the process"))?;
    Ok(Process { handle, waited: OnceLock::new() })
}

/// Tells which of several processes ended.
#[derive(Debug)]
pub(crate) struct Poller(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    tokens: Mutex<VecDeque<u64>>,
    more: Condvar,
}

impl Told {
    fn tell(&self, token: u64) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).push_back(token);
        self.more.notify_one();
    }
}

/// A wait by a thread of the system's, until dropped.
#[derive(Debug)]
struct Waited {
    /// A handle, as a number: the system does not mind which thread has it.
    wait: usize,
    /// What the callback is given.
    _whom: Box<(Arc<Told>, u64)>,
}

impl Drop for Waited {
    fn drop(&mut self) {
        let wait = std::ptr::with_exposed_provenance_mut(self.wait);
        // SAFETY: the wait is this one's. The call returns when no callback runs and none will.
        unsafe { UnregisterWaitEx(wait, INVALID_HANDLE_VALUE) };
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Before the handle that is waited for.
        self.waited.take();
    }
}

unsafe extern "system" fn ended(whom: *mut c_void, _timed_out: bool) {
    let whom = whom.cast_const().cast::<(Arc<Told>, u64)>();
    // SAFETY: `Waited` keeps it until no callback runs any more.
    let (told, token) = unsafe { &*whom };
    told.tell(*token);
}

impl Poller {
    pub(crate) fn new() -> Result<Poller> {
        Ok(Poller(Arc::default()))
    }

    /// Has the end of a process reported as `token`, once, unless its handle is dropped before.
    pub(crate) fn add_end(&self, process: &Process, token: u64) -> Result<()> {
        let whom = Box::new((Arc::clone(&self.0), token));
        let (mut wait, handle) = (std::ptr::null_mut(), process.handle.as_raw_handle().cast());
        let context = std::ptr::from_ref(&*whom).cast();
        // SAFETY: the handle stays open until the wait is called off, and so does what the callback is given:
        // `Waited` has it, or the wait is called off below.
        let done = unsafe {
            let once = WT_EXECUTEONLYONCE;
            RegisterWaitForSingleObject(&mut wait, handle, Some(ended), context, INFINITE, once)
        };
        if done == 0 {
            return Err(last("wait for the process"));
        }
        let waited = Waited { wait: wait.expose_provenance(), _whom: whom };
        let again = |_| Error::new(ErrorKind::InvalidState, "the process is waited for already");
        process.waited.set(waited).map_err(again)
    }

    /// Waits for the next report; nothing if there was none within the time.
    pub(crate) fn next(&self, most: Option<Duration>) -> Result<Option<u64>> {
        let mut tokens = self.0.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.is_empty() {
            tokens = match most {
                None => self.0.more.wait(tokens).unwrap_or_else(PoisonError::into_inner),
                Some(most) => {
                    let waited = self.0.more.wait_timeout(tokens, most);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        Ok(tokens.pop_front())
    }
}
