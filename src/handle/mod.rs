//! Handles: one process is given, once, access to memory that has no name.
//!
//! ```text
//!   SharedMemory --Broker::create, for one process--> Handle --any channel--> Handle --open, map--> SharedMemory, Mapping
//! ```
//!
//! A [`Handle`] is some bytes. They are worth nothing to anybody but the process that they were made for, and to that one
//! once: it asks the [`Broker`] in the creator's process, which looks at who asks, by the kernel's word, and passes the
//! memory with no more than the access that was granted. What may still be asked for can be deleted; memory that was
//! [given for a time](HandleOptions::revocable) can be taken back, from one process or from all.
//!
//! ```
//! use ringlane::SharedMemory;
//! use ringlane::handle::{Access, Broker, Handle, HandleOptions, Recipient};
//!
//! let broker = Broker::start()?;
//! let memory = SharedMemory::anonymous(4096)?;
//! memory.map()?.write_at(0, b"for you")?;
//! // For another process; here it is this one.
//! let recipient = Recipient::process(std::process::id())?;
//! let handle = broker.create(&memory, &recipient, Access::ReadOnly, &HandleOptions::new())?;
//! let bytes = handle.to_bytes();
//!
//! // In the recipient, to which the bytes came in whatever way:
//! let given = Handle::from_bytes(&bytes)?.open(Access::ReadOnly)?;
//! let mut text = [0; 7];
//! given.map()?.read_at(0, &mut text)?;
//! assert_eq!(&text, b"for you");
//! assert!(Handle::from_bytes(&bytes)?.open(Access::ReadOnly).is_err()); // once
//! # Ok::<(), ringlane::Error>(())
//! ```
//!
//! # Who holds what
//!
//! Not everything that a handle promises is held by the kernel: [`Broker::guarantees`] says for each promise, and for
//! the very object, whether the kernel holds it, the broker, only this library in the recipient, or nobody. A
//! process can map nothing without a descriptor, on Windows a kernel handle, so who is hostile keeps that: whole, and
//! for good.
//! What no process keeps is data that is written where it has nothing mapped. So memory that is to be taken back is
//! best one object for each recipient.

mod access;
mod broker;
mod grip;
mod options;
mod poll;
mod recipient;
mod redeem;
mod revoke;
mod serve;
mod session;
mod table;
mod token;
mod wire;

pub use access::{Access, Guarantee, Guarantees};
pub use broker::{Broker, Counts};
pub use options::{BrokerOptions, HandleOptions};
pub use recipient::Recipient;
pub use revoke::{Revoke, Revoked};
pub use token::{Handle, HandleId};
