//! Locks that the kernel drops when their holder's process ends: on bytes of the label, by open file.
#![allow(unsafe_code, reason = "system calls")]

use super::{Handle, failed};
use crate::error::{Error, Result};
use nix::errno::Errno;
use std::os::fd::AsRawFd;

/// A lock that this process holds until it is dropped, or the process ends.
#[derive(Debug)]
pub(crate) struct Lock(Handle);

fn request(byte: u32, bytes: u32) -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: i64::from(byte),
        l_len: i64::from(bytes),
        l_pid: 0,
    }
}

pub(crate) fn try_lock(handle: Handle, byte: u32) -> Result<Option<Lock>> {
    try_lock_all(handle, byte, 1)
}

pub(crate) fn try_lock_all(handle: Handle, byte: u32, bytes: u32) -> Result<Option<Lock>> {
    let (fd, wanted) = (handle.label.as_raw_fd(), request(byte, bytes));
    // SAFETY: the request outlives the call, which only reads it.
    match Errno::result(unsafe { libc::fcntl(fd, libc::F_OFD_SETLK, &wanted) }) {
        Ok(_) => Ok(Some(Lock(handle))),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
        Err(errno) => Err(Error::os("lock the role", errno as i32)),
    }
}

pub(crate) fn is_locked(handle: &Handle, byte: u32) -> Result<bool> {
    let (fd, mut asked) = (handle.label.as_raw_fd(), request(byte, 1));
    // SAFETY: the request outlives the call, which writes nothing else.
    let done = unsafe { libc::fcntl(fd, libc::F_OFD_GETLK, &mut asked) };
    Errno::result(done).map_err(failed("look at the role's lock"))?;
    Ok(asked.l_type != libc::F_UNLCK)
}

pub(crate) fn is_locked_beside(lock: &Lock, byte: u32) -> Result<bool> {
    is_locked(&lock.0, byte)
}
