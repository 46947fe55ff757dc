//! Locks that the kernel drops when their holder's process ends: on bytes of the label, by open file.
#![allow(unsafe_code, reason = "system calls")]

use super::{Handle, failed};
use crate::error::{Error, Result};
use nix::errno::Errno;
use std::fs::File;
use std::os::fd::AsRawFd;

/// Past the byte of any role: who has it may resize or remove the object. Not `flock(2)`, which here is a lock of the same
/// kind, on all bytes: it is refused while an end has its holder, and makes free ends look held.
const TURN_AT: i64 = 1 << 32;

/// A lock that this process holds until it is dropped, or the process ends.
#[derive(Debug)]
pub(crate) struct Lock(Handle);

fn request(kind: libc::c_short, from: i64, bytes: u32) -> libc::flock {
    libc::flock {
        l_type: kind,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: from,
        l_len: i64::from(bytes),
        l_pid: 0,
    }
}

/// Takes a lock, or gives it up. False if somebody else has it.
fn set(label: &File, wanted: libc::flock) -> nix::Result<bool> {
    // SAFETY: the request outlives the call, which only reads it.
    match Errno::result(unsafe { libc::fcntl(label.as_raw_fd(), libc::F_OFD_SETLK, &wanted) }) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno),
    }
}

pub(crate) fn try_lock(handle: Handle, byte: u32) -> Result<Option<Lock>> {
    try_lock_all(handle, byte, 1)
}

pub(crate) fn try_lock_all(handle: Handle, byte: u32, bytes: u32) -> Result<Option<Lock>> {
    let taken = set(&handle.label, request(libc::F_WRLCK, i64::from(byte), bytes));
    Ok(taken.map_err(failed("lock the role"))?.then_some(Lock(handle)))
}

pub(crate) fn is_locked(handle: &Handle, byte: u32) -> Result<bool> {
    let (fd, mut asked) = (handle.label.as_raw_fd(), request(libc::F_WRLCK, i64::from(byte), 1));
    // SAFETY: the request outlives the call, which writes nothing else.
    let done = unsafe { libc::fcntl(fd, libc::F_OFD_GETLK, &mut asked) };
    Errno::result(done).map_err(failed("look at the role's lock"))?;
    Ok(asked.l_type != libc::F_UNLCK)
}

pub(crate) fn is_locked_beside(lock: &Lock, byte: u32) -> Result<bool> {
    is_locked(&lock.0, byte)
}

/// The right to resize or remove an object, given up when it is dropped, also where a forked child has a copy of the
/// descriptor.
#[derive(Debug)]
pub(super) struct Turn(File);

impl Turn {
    /// Nothing if somebody else has it. The label is one that was opened for this.
    pub(super) fn take(label: &File) -> Result<Option<Turn>> {
        let own = label.try_clone().map_err(super::io("copy a descriptor"))?;
        let taken = set(label, request(libc::F_WRLCK, TURN_AT, 1));
        Ok(taken.map_err(failed("lock the label"))?.then_some(Turn(own)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // If it fails, the close does it.
        let _ = set(&self.0, request(libc::F_UNLCK, TURN_AT, 1));
    }
}
