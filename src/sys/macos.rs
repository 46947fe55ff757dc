//! macOS: POSIX shared memory that labels lead to, `os_sync_wait_on_address`, kqueue. It compiles; it was never run.
//!
//! A POSIX shared memory object has a name of 31 bytes at most, can be given its size once, cannot be linked
//! to a name, nor locked. So a name is a small file in a directory of this user's, the label, which says what
//! the object is called and how long it is: it appears by `link(2)` when the object is whole, has a name of
//! any length, and its bytes are what is locked.
#![allow(unsafe_code, reason = "system calls")]

mod death;
mod lock;
mod mapping;
mod object;
mod wake;

pub(crate) use death::*;
pub(crate) use lock::*;
pub(crate) use mapping::*;
pub(crate) use object::*;
pub(crate) use wake::*;

use crate::error::{Error, Result};
use nix::errno::Errno;
use nix::sys::signal::SigSet;
use std::sync::OnceLock;

pub(crate) const ABILITIES: super::Abilities = super::Abilities {
    resizes: 1,
    truncate: false,
    unlink: true,
    persistent: true,
    mode: false,
    copy_on_write: false,
    seal: false,
    numbered_users: true,
};

fn failed(call: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::os(call, errno as i32)
}

fn io(call: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::os(call, error.raw_os_error().unwrap_or(libc::EIO))
}

pub(crate) fn page_size() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    *SIZE.get_or_init(|| {
        let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
        size.ok().flatten().and_then(|n| usize::try_from(n).ok()).unwrap_or(16384)
    })
}

/// A forked child has another number: there are no namespaces of them here.
pub(crate) fn process_token() -> u64 {
    u64::from(process_id())
}

pub(crate) fn process_id() -> u32 {
    std::process::id()
}

/// Nothing that is cheap says so.
pub(crate) fn processor() -> Option<u32> {
    None
}

/// Keeps every signal that can be kept from this thread: the program's threads handle them.
pub(crate) fn block_signals() {
    // It fails for no set of signals.
    let _ = SigSet::all().thread_block();
}

/// No fence here reaches other processes. So every operation has a fence of its own.
pub(crate) fn register_fence() -> bool {
    false
}

pub(crate) fn heavy_fence() -> bool {
    crate::sync::fence(crate::sync::Ordering::SeqCst);
    false
}

pub(crate) fn effective_user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Shared memory has no right to be run.
pub(crate) fn can_execute() -> Result<bool> {
    Ok(false)
}
