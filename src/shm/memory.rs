//! The object and its mappings.
#![allow(unsafe_code, reason = "owns mapped addresses")]

use super::{Lifetime, Name, OpenOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::plain;
use crate::sys::{self, Access, Identity};
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;

/// A shared-memory object: named, or anonymous and of a size that nobody can change.
///
/// The memory lives as long as any handle or [`Mapping`] in any process. Dropping the creator's
/// handle removes the name unless it is [`Lifetime::Persistent`].
///
/// A named object belongs to its user: whoever may write to it may also truncate it, and then every
/// process that touches the missing pages is ended by a SIGBUS. Hence mode 0600 by default.
///
/// ```
/// use ringlane::{Name, SharedMemory};
///
/// let name = Name::new("ringlane-doc-memory")?;
/// let memory = SharedMemory::create(&name, 4096)?;
/// let writer = memory.map()?;
/// let reader = SharedMemory::open(&name)?.map()?;
/// writer.write_at(100, b"hello")?;
/// let mut bytes = [0; 5];
/// reader.read_at(100, &mut bytes)?;
/// assert_eq!(&bytes, b"hello");
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "RTSHMEM")]
#[doc(alias = "PRSharedMemory")]
pub struct SharedMemory {
    handle: sys::Handle,
    name: Option<Name>,
    access: Access,
    /// The process that has to remove the name, if one has.
    remover: Option<u32>,
    lifetime: Lifetime,
    created: bool,
}

impl SharedMemory {
    /// A new object under a name, `size` bytes of zeroes, removed with its creator.
    ///
    /// # Errors
    /// As [`OpenOptions::create`].
    ///
    /// ```
    /// let name = ringlane::Name::new("ringlane-doc-shm-create")?;
    /// let memory = ringlane::SharedMemory::create(&name, 4096)?;
    /// assert!(memory.created());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn create(name: &Name, size: u64) -> Result<Self> {
        OpenOptions::new().size(size).create(name)
    }

    /// The object of this name, for reading and writing.
    ///
    /// # Errors
    /// As [`OpenOptions::open`].
    ///
    /// ```
    /// let name = ringlane::Name::new("ringlane-doc-shm-open")?;
    /// let created = ringlane::SharedMemory::create(&name, 4096)?;
    /// assert!(!ringlane::SharedMemory::open(&name)?.created());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn open(name: &Name) -> Result<Self> {
        OpenOptions::new().open(name)
    }

    /// A new object without a name; its handle can be passed on. Nobody can change its size.
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`] if the memory is not there.
    ///
    /// ```
    /// let memory = ringlane::SharedMemory::anonymous(4096)?;
    /// assert_eq!(memory.size()?, 4096);
    /// assert!(memory.name().is_none());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn anonymous(size: u64) -> Result<Self> {
        let made = sys::create_anonymous("ringlane").and_then(|handle| {
            sys::resize_reserved(&handle, size)?;
            sys::seal_size(&handle)?;
            Ok(SharedMemory::unnamed(handle, Lifetime::Persistent))
        });
        made.map_err(|e| e.on("create anonymous shared memory"))
    }

    /// Removes a name. The memory stays with those who have it; the name can be used anew.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such name.
    ///
    /// ```
    /// use ringlane::{ErrorKind, Name, SharedMemory};
    /// let name = Name::new("ringlane-doc-shm-unlink")?;
    /// let memory = SharedMemory::create(&name, 4096)?;
    /// SharedMemory::unlink(&name)?;
    /// assert_eq!(SharedMemory::open(&name).unwrap_err().kind(), ErrorKind::NotFound);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTShMemDelete")]
    #[doc(alias = "PR_DeleteSharedMemory")]
    #[doc(alias = "shm_unlink")]
    pub fn unlink(name: &Name) -> Result<()> {
        sys::unlink(name.as_str(), None)
            .map_err(|e| e.on(format_args!("unlink shared memory {:?}", name.as_str())))
    }

    pub(super) fn opened(handle: sys::Handle, name: Name, access: Access) -> Self {
        let lifetime = Lifetime::Persistent;
        SharedMemory { handle, name: Some(name), access, remover: None, lifetime, created: false }
    }

    pub(super) fn unnamed(handle: sys::Handle, lifetime: Lifetime) -> Self {
        let access = Access::ReadWrite;
        SharedMemory { handle, name: None, access, remover: None, lifetime, created: true }
    }

    /// Gives the object its name: from here on others can open it.
    pub(crate) fn publish(&mut self, name: &Name) -> Result<()> {
        sys::publish(&self.handle, name.as_str())?;
        self.name = Some(name.clone());
        self.remover = (self.lifetime == Lifetime::CreatorOwned).then(sys::process_id);
        Ok(())
    }

    /// The name it was opened or created under.
    ///
    /// ```
    /// assert_eq!(ringlane::SharedMemory::anonymous(4096)?.name(), None);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn name(&self) -> Option<&Name> {
        self.name.as_ref()
    }

    /// Whether this handle made the object.
    ///
    /// ```
    /// assert!(ringlane::SharedMemory::anonymous(4096)?.created());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn created(&self) -> bool {
        self.created
    }

    /// The object's size in bytes, by the kernel's word.
    ///
    /// # Errors
    /// What the operating system says.
    ///
    /// ```
    /// assert_eq!(ringlane::SharedMemory::anonymous(8192)?.size()?, 8192);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTShMemQuerySize")]
    pub fn size(&self) -> Result<u64> {
        Ok(sys::stat(&self.handle)?.size)
    }

    /// Maps the whole object, with the access it was opened with.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSize`] if the object is empty, and what the operating system says.
    ///
    /// ```
    /// let mapping = ringlane::SharedMemory::anonymous(4096)?.map()?;
    /// assert_eq!(mapping.len(), 4096);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTShMemMapRegion")]
    #[doc(alias = "PR_AttachSharedMemory")]
    pub fn map(&self) -> Result<Mapping> {
        let len = usize::try_from(self.size()?)
            .map_err(|_| Error::new(ErrorKind::InvalidSize, "larger than the address space"))?;
        let at = sys::map(&self.handle, 0, len, self.access)?;
        Ok(Mapping { at, len, owner: sys::process_id(), access: self.access })
    }

    /// Maps a ring's segment: prefaulted, left out of forked children, its data twice if asked.
    pub(crate) fn map_ring(&self, control: usize, data: usize, wrap: Wrap) -> Result<Mapping> {
        let (at, len) = match wrap {
            Wrap::Never => {
                let len = control + data;
                (sys::map(&self.handle, 0, len, Access::ReadWrite)?, len)
            }
            Wrap::Mirror => (sys::map_twice(&self.handle, control, data)?, control + data + data),
        };
        let mapping = Mapping { at, len, owner: sys::process_id(), access: Access::ReadWrite };
        // SAFETY: the range is the mapping just made.
        unsafe { sys::dont_fork(at, len) }?;
        // SAFETY: as above.
        unsafe { sys::prefault(at, len) };
        Ok(mapping)
    }

    pub(crate) fn handle(&self) -> &sys::Handle {
        &self.handle
    }

    pub(crate) fn identity(&self) -> Result<Identity> {
        Ok(sys::stat(&self.handle)?.identity)
    }

    /// Whether the name it was opened under is gone, or means another object.
    pub(crate) fn is_orphan(&self) -> Result<bool> {
        Ok(self.name.is_some() && sys::stat(&self.handle)?.names == 0)
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // A forked child's copy is not the creator.
        if let (Some(pid), Some(name)) = (self.remover, &self.name)
            && pid == sys::process_id()
            && let Ok(identity) = self.identity()
        {
            // Somebody may have removed it before us: that is what we want.
            let _ = sys::unlink(name.as_str(), Some(identity));
        }
    }
}

impl AsFd for SharedMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// Whether the data part of a ring is mapped twice in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrap {
    /// Once: what does not fit before the end starts anew at the beginning.
    Never,
    /// Twice: what runs over the end goes on at the beginning.
    Mirror,
}

/// Bytes of a [`SharedMemory`] in this process's address space; unmapped when dropped.
///
/// Other processes may change them at any time, so safe calls copy. A pointer is there for code that
/// has an agreement with its peers.
///
/// ```
/// let mapping = ringlane::SharedMemory::anonymous(4096)?.map()?;
/// mapping.write_at(4000, &[7; 96])?;
/// assert!(mapping.write_at(4001, &[7; 96]).is_err());
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
pub struct Mapping {
    at: NonNull<u8>,
    len: usize,
    /// The process that mapped it: a forked child may have something else at this address.
    owner: u32,
    access: Access,
}

// SAFETY: a mapping is an address range of the process, the same for all of its threads.
unsafe impl Send for Mapping {}
// SAFETY: all access is by copies that tolerate concurrent change, or through raw pointers.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Its length in bytes.
    ///
    /// ```
    /// assert_eq!(ringlane::SharedMemory::anonymous(4096)?.map()?.len(), 4096);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: nothing is mapped that has no bytes.
    ///
    /// ```
    /// assert!(!ringlane::SharedMemory::anonymous(4096)?.map()?.is_empty());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first byte, aligned to a page. Valid for [`len`](Self::len) bytes while the mapping lives;
    /// other processes may write to it at any time.
    ///
    /// ```
    /// let mapping = ringlane::SharedMemory::anonymous(4096)?.map()?;
    /// assert_eq!(mapping.as_ptr().as_ptr().addr() % 4096, 0);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTShMemMapRegion")]
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.at
    }

    fn check(&self, offset: usize, len: usize) -> Result<()> {
        if offset.checked_add(len).is_some_and(|end| end <= self.len) {
            return Ok(());
        }
        let text = format!("{len} bytes at {offset} in a mapping of {}", self.len);
        Err(Error::new(ErrorKind::InvalidSize, text))
    }

    /// Copies bytes out, from `offset` on.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSize`] if they are not all within the mapping.
    ///
    /// ```
    /// let mapping = ringlane::SharedMemory::anonymous(4096)?.map()?;
    /// let mut bytes = [1; 8];
    /// mapping.read_at(4088, &mut bytes)?;
    /// assert_eq!(bytes, [0; 8]);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn read_at(&self, offset: usize, to: &mut [u8]) -> Result<()> {
        self.check(offset, to.len())?;
        // SAFETY: the range was checked, so the start is within the mapping.
        let from = unsafe { self.at.add(offset) };
        // SAFETY: as above, and a private slice cannot overlap the mapping.
        unsafe { plain::copy(to.as_mut_ptr(), from.as_ptr(), to.len()) };
        Ok(())
    }

    /// Copies bytes in, from `offset` on.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSize`] if they do not all fit, [`ErrorKind::PermissionDenied`] if the
    /// memory was opened for reading.
    ///
    /// ```
    /// let mapping = ringlane::SharedMemory::anonymous(4096)?.map()?;
    /// mapping.write_at(0, b"frame")?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn write_at(&self, offset: usize, from: &[u8]) -> Result<()> {
        self.check(offset, from.len())?;
        if self.access != Access::ReadWrite {
            return Err(Error::new(ErrorKind::PermissionDenied, "opened for reading only"));
        }
        // SAFETY: the range was checked, so the start is within the mapping.
        let to = unsafe { self.at.add(offset) };
        // SAFETY: as above, it is writable, and a private slice cannot overlap the mapping.
        unsafe { plain::copy(to.as_ptr(), from.as_ptr(), from.len()) };
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.owner == sys::process_id() {
            // SAFETY: the range is ours, and whoever borrowed from this mapping is gone.
            unsafe { sys::unmap(self.at, self.len) };
        }
    }
}
