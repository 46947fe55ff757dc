//! Values and records: a ring, an end that this process holds, and waiting, put together.
//!
//! Each operation reads the same way. Push: is the peer's end closed, claim, write, publish, notify.
//! Pop: acquire, read, release, notify.

pub mod call;
mod end;
mod front;
#[cfg(not(loom))]
pub mod inspect;
mod life;
#[cfg(loom)]
#[doc(hidden)]
pub mod model;
pub mod mpmc;
pub mod mpmc_record;
pub mod record;
pub mod spsc;

pub(crate) use end::{End, Limit};
pub(crate) use life::{Fate, Link};
