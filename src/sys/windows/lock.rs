//! What certifies that a process lives: a pipe that it made, and nobody else can.
//!
//! The first instance of a pipe can be made once. It goes with its handle, which the kernel closes when the last
//! thread of the process has stopped. Whether it is there can be asked without opening it, so that who asks
//! holds nothing. Nobody may connect to it, and nothing is ever sent.
#![allow(unsafe_code, reason = "system calls")]

use super::object::Object;
use super::{Handle, last, last_code, owned, security, wide};
use crate::error::Result;
use std::os::windows::io::OwnedHandle;
use std::sync::Arc;
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_FILE_NOT_FOUND, ERROR_PIPE_BUSY, ERROR_SEM_TIMEOUT,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_FIRST_PIPE_INSTANCE, PIPE_ACCESS_OUTBOUND,
};
use windows_sys::Win32::System::Pipes::{
    CreateNamedPipeW, PIPE_REJECT_REMOTE_CLIENTS, PIPE_TYPE_BYTE, WaitNamedPipeW,
};

/// How often a pipe may come and go under our eyes.
const TRIES: u32 = 8;

/// A lock that this process holds until it is dropped, or the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    object: Arc<Object>,
    _pipes: Vec<OwnedHandle>,
}

fn pipe_of(object: &Object, byte: u32) -> Vec<u16> {
    wide(&format!(r"\\.\pipe\ringlane-{}-{byte}", object.id()))
}

pub(crate) fn try_lock(handle: Handle, byte: u32) -> Result<Option<Lock>> {
    try_lock_all(handle, byte, 1)
}

pub(crate) fn try_lock_all(handle: Handle, byte: u32, bytes: u32) -> Result<Option<Lock>> {
    let object = Arc::clone(handle.object());
    let mut pipes = Vec::new();
    for byte in byte..byte + bytes {
        let Some(pipe) = try_pipe(&object, byte)? else { return Ok(None) };
        pipes.push(pipe);
    }
    Ok(Some(Lock { object, _pipes: pipes }))
}

pub(super) fn try_pipe(object: &Object, byte: u32) -> Result<Option<OwnedHandle>> {
    let (name, nobody) = (pipe_of(object, byte), security::nobody()?);
    for attempt in 1.. {
        let first = PIPE_ACCESS_OUTBOUND | FILE_FLAG_FIRST_PIPE_INSTANCE;
        let kind = PIPE_TYPE_BYTE | PIPE_REJECT_REMOTE_CLIENTS;
        // SAFETY: the name ends with a zero, and the descriptor stays for good.
        let made =
            owned(unsafe { CreateNamedPipeW(name.as_ptr(), first, kind, 1, 0, 0, 0, &nobody) });
        if made.is_some() {
            return Ok(made);
        }
        let failed = last("lock the role");
        // Refused because it is there; or because nobody may make pipes here, which is another matter.
        let refused = matches!(last_code(), ERROR_ACCESS_DENIED | ERROR_PIPE_BUSY);
        if refused && is_there(&name)? {
            return Ok(None);
        }
        if !refused || attempt == TRIES {
            return Err(failed);
        }
    }
    Ok(None)
}

fn is_there(name: &[u16]) -> Result<bool> {
    // The shortest time: one that nobody listens on is not waited for.
    // SAFETY: the name ends with a zero.
    if unsafe { WaitNamedPipeW(name.as_ptr(), 1) } != 0 {
        return Ok(true);
    }
    match last_code() {
        ERROR_FILE_NOT_FOUND => Ok(false),
        ERROR_SEM_TIMEOUT | ERROR_PIPE_BUSY | ERROR_ACCESS_DENIED => Ok(true),
        _ => Err(last("look at the role's lock")),
    }
}

pub(crate) fn is_locked(handle: &Handle, byte: u32) -> Result<bool> {
    is_there(&pipe_of(handle.object(), byte))
}

pub(crate) fn is_locked_beside(lock: &Lock, byte: u32) -> Result<bool> {
    is_there(&pipe_of(&lock.object, byte))
}
