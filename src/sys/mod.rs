//! The only place that calls the operating system: flat functions, one file a platform.
//!
//! Every platform file has this list, and each function this contract:
//!
//! | function | does |
//! |---|---|
//! | `page_size` | the unit that mappings are made of, in bytes |
//! | `create_unnamed(mode)` | an empty object that can be given a name later |
//! | `create_anonymous(label)` | an empty object that never has one; its size can be sealed |
//! | `resize_reserved(handle, len)` | sets the size and takes the memory now, or says that it is not there |
//! | `seal_size(handle)` | nobody can change the size any more |
//! | `publish(handle, name)` | the object appears under the name, unless one is there |
//! | `open(name, write)` | opens a regular object; never follows a link, never waits |
//! | `unlink(name, identity)` | removes the name if it is still this object's |
//! | `names()` | the names of all objects |
//! | `stat(handle)` | size, identity, number of names |
//! | `read_at(handle, offset, buffer)` | copies bytes out without mapping them |
//! | `map(handle, ..)` / `map_twice(handle, ..)` / `unmap` | addresses for bytes |
//! | `reopen(handle)` | an independent handle of the same object, to hold a lock with |
//! | `try_lock(handle, byte)` | a lock that the kernel drops when its process ends |
//! | `is_locked(handle, byte)` / `is_locked_beside(lock, byte)` | whether somebody has that lock |
//! | `process_id` | a label for people; never evidence |
//! | `open_process(pid)`, `Deaths` | to be told when a process ends: a hint to look at its lock |
//! | `block_signals` | leaves a helping thread alone |
//! | `wait(word, expected, timeout)` / `wake(word)` | sleep until the word is woken, across processes |
//! | `register_fence` / `heavy_fence` | the two halves of the asymmetric fence; false where the kernel has none |
//!
//! Errors carry the call's name; callers add the object's.

#[cfg(not(any(target_os = "linux", loom)))]
compile_error!("ringlane runs on Linux so far: add a file to src/sys for this platform");

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::*;

// Under loom the memory calls stay the platform's (no model uses them); sleeping is the model's.
#[cfg(loom)]
mod loom;
#[cfg(loom)]
pub(crate) use self::loom::{
    Lock, heavy_fence, is_locked_beside, register_fence, try_lock, wait, wake,
};

/// Which object a handle or a name means, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) device: u64,
    pub(crate) object: u64,
}

/// What the kernel says of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stat {
    pub(crate) size: u64,
    pub(crate) identity: Identity,
    /// How many names it has; 0 after it was unlinked.
    pub(crate) names: u64,
}

/// What a mapping may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    ReadWrite,
}
