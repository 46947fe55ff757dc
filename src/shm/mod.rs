//! Named shared memory: a [`Name`], an object under it, and addresses for its bytes.
//!
//! ```text
//!   OpenOptions --open--> SharedMemory --map--> Mapping      close, drop: the handle goes
//!                              |                             unlink: the name goes
//!                           unlink                           last handle and mapping: the bytes go
//! ```

mod capabilities;
mod leash;
mod map;
mod mapping;
mod memory;
mod name;
mod options;
#[cfg(all(feature = "shared_memory", target_os = "linux"))]
mod shmem;

pub use capabilities::{Capabilities, Resize, capabilities};
pub(crate) use leash::Leash;
#[cfg(loom)]
pub(crate) use leash::{cut, hold};
pub use map::{Granted, MapOptions};
pub use mapping::Mapping;
pub(crate) use mapping::Wrap;
pub(crate) use memory::Terms;
pub use memory::{CloseError, SharedMemory};
pub use name::Name;
pub use options::{Lifetime, OpenOptions};
