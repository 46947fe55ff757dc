//! Memory that the `shared_memory` crate made.

use super::{Lifetime, Name, OpenOptions, SharedMemory};
use crate::error::{Error, ErrorKind, Result};
use crate::sys;
use shared_memory::Shmem;
use std::ptr::NonNull;

impl TryFrom<&Shmem> for SharedMemory {
    type Error = Error;

    /// A handle of one's own for the same object, found by its `os_id` and compared with what is mapped. Its
    /// name goes when the `Shmem` that made it does.
    ///
    /// A segment that another process made with that crate is opened without it, by
    /// `SharedMemory::open(&Name::native(os_id)?)`.
    ///
    /// ```
    /// use ringlane::{SharedMemory, spsc};
    /// use shared_memory::ShmemConf;
    ///
    /// let shmem = ShmemConf::new().size(1 << 16).create().expect("a segment");
    /// let queue = spsc::Queue::<u64>::options().capacity(256).host((&shmem).try_into()?)?;
    /// let other = spsc::Queue::<u64>::options().attach((&shmem).try_into()?)?;
    /// queue.producer()?.push(7).unwrap();
    /// assert_eq!(other.consumer()?.pop(), Ok(7));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the name is gone or means another object by now, and as
    /// [`OpenOptions::open`].
    fn try_from(shmem: &Shmem) -> Result<Self> {
        let subject = format!("open the shared memory of Shmem {:?}", shmem.get_os_id());
        same_object(shmem).map_err(|e| e.on(subject))
    }
}

fn same_object(shmem: &Shmem) -> Result<SharedMemory> {
    let name = Name::native(shmem.get_os_id())?;
    let mut options = OpenOptions::read_write();
    let memory = options.lifetime(Lifetime::Persistent).open(&name)?;
    let mapped = NonNull::new(shmem.as_ptr()).map(sys::identity_at).transpose()?.flatten();
    if mapped != Some(memory.identity()?) {
        return Err(Error::new(ErrorKind::NotFound, "the name means another object by now"));
    }
    Ok(memory)
}
