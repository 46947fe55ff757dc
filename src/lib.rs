#![doc = include_str!("../README.md")]
#![cfg_attr(loom, allow(dead_code, unused_imports, reason = "a model maps nothing"))]
#![cfg_attr(
    not(target_os = "linux"),
    allow(
        dead_code,
        unused_imports,
        reason = "what only Linux has, and what sessions and handles use, which macOS has not"
    )
)]

// In layer order: a module uses only what stands above it, and `tests/house.rs` says so.
mod sync;

mod error;
mod plain;

mod sys;

mod shm;

mod layout;

mod ring;

mod wait;

mod queue;

#[cfg(any(target_os = "linux", windows))]
pub mod session;

#[cfg(all(any(target_os = "linux", windows), not(loom)))]
pub mod handle;

pub use error::{
    CallError, Error, ErrorKind, PopError, PushError, ReserveError, Result, SessionError,
};
pub use layout::Peer;
pub use plain::Plain;
#[cfg(not(loom))]
pub use queue::inspect;
#[cfg(loom)]
#[doc(hidden)]
pub use queue::model;
pub use queue::{call, mpmc, mpmc_record, record, spsc};
pub use shm::{
    Capabilities, CloseError, Granted, Lifetime, MapOptions, Mapping, Name, OpenOptions, Resize,
    SharedMemory, capabilities,
};
pub use wait::Wait;

/// The guide's code is compiled and run like all other examples.
#[cfg(doctest)]
#[doc = include_str!("../docs/guide.md")]
struct Guide;
