//! Named shared memory: a [`Name`], an object under it, and addresses for its bytes.
//!
//! ```text
//!   OpenOptions --create--> SharedMemory --map--> Mapping      close, drop: the handle goes
//!        \------open------>      |                             unlink: the name goes
//!                              unlink                          last handle and mapping: the bytes go
//! ```

mod memory;
mod name;
mod options;

pub(crate) use memory::Wrap;
pub use memory::{Mapping, SharedMemory};
pub use name::Name;
pub use options::{Lifetime, OpenOptions};
