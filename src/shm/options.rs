//! How an object is opened or made.

use super::{Name, SharedMemory};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::{self, Access};

/// Whether a name ends with its creator.
///
/// ```
/// use ringlane::{Lifetime, Name, OpenOptions, SharedMemory};
///
/// let name = Name::new("ringlane-doc-lifetime")?;
/// let memory = OpenOptions::new().size(4096).lifetime(Lifetime::Persistent).create(&name)?;
/// drop(memory);
/// SharedMemory::open(&name)?; // still there
/// SharedMemory::unlink(&name)?;
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifetime {
    /// The name goes when the creator's last handle does. Openers never remove it.
    #[default]
    CreatorOwned,
    /// The name stays until somebody unlinks it or the machine restarts.
    Persistent,
}

/// Options for opening or creating [`SharedMemory`].
///
/// ```
/// use ringlane::{Name, OpenOptions};
///
/// let name = Name::new("ringlane-doc-options")?;
/// let memory = OpenOptions::new().size(1 << 16).mode(0o600).create(&name)?;
/// assert_eq!(memory.size()?, 1 << 16);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    pub(super) write: bool,
    pub(super) size: u64,
    pub(super) mode: u32,
    pub(super) lifetime: Lifetime,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl OpenOptions {
    /// Read and write, mode 0600, removed with its creator, no size yet.
    ///
    /// ```
    /// let options = ringlane::OpenOptions::new();
    /// ```
    pub fn new() -> Self {
        OpenOptions { write: true, size: 0, mode: 0o600, lifetime: Lifetime::CreatorOwned }
    }

    /// Whether [`open`](Self::open) asks for write access. Default: yes.
    ///
    /// ```
    /// use ringlane::{ErrorKind, Name, OpenOptions, SharedMemory};
    /// let name = Name::new("ringlane-doc-write")?;
    /// let memory = SharedMemory::create(&name, 4096)?;
    /// let reader = OpenOptions::new().write(false).open(&name)?.map()?;
    /// assert_eq!(reader.write_at(0, b"x").unwrap_err().kind(), ErrorKind::PermissionDenied);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn write(&mut self, yes: bool) -> &mut Self {
        self.write = yes;
        self
    }

    /// The size of a new object, in bytes. The memory is reserved when it is created.
    ///
    /// ```
    /// let options = ringlane::OpenOptions::new().size(1 << 20).clone();
    /// ```
    pub fn size(&mut self, bytes: u64) -> &mut Self {
        self.size = bytes;
        self
    }

    /// The permission bits of a new object, less the process's umask. Default: 0600, only this user.
    ///
    /// ```
    /// let options = ringlane::OpenOptions::new().mode(0o660).clone();
    /// ```
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }

    /// When the name of a new object goes.
    ///
    /// ```
    /// use ringlane::{Lifetime, OpenOptions};
    /// let options = OpenOptions::new().lifetime(Lifetime::Persistent).clone();
    /// ```
    pub fn lifetime(&mut self, lifetime: Lifetime) -> &mut Self {
        self.lifetime = lifetime;
        self
    }

    /// Makes a new object and gives it the name. It appears with its full size, or not at all.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if the name is taken, [`ErrorKind::NoSpace`] if the memory is
    /// not there, [`ErrorKind::InvalidSize`] for 0 bytes.
    ///
    /// ```
    /// use ringlane::{ErrorKind, Name, OpenOptions};
    /// let name = Name::new("ringlane-doc-create")?;
    /// let first = OpenOptions::new().size(4096).create(&name)?;
    /// let second = OpenOptions::new().size(4096).create(&name).unwrap_err();
    /// assert_eq!(second.kind(), ErrorKind::AlreadyExists);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTShMemOpen")]
    #[doc(alias = "PR_OpenSharedMemory")]
    #[doc(alias = "shm_open")]
    pub fn create(&self, name: &Name) -> Result<SharedMemory> {
        let subject = format!("create shared memory {:?}", name.as_str());
        if self.size == 0 {
            return Err(Error::new(ErrorKind::InvalidSize, "0 bytes asked for").on(subject));
        }
        let made = self.prepare().and_then(|mut memory| memory.publish(name).map(|()| memory));
        made.map_err(|e| e.on(subject))
    }

    /// Opens the object of this name. Its size and contents stay as they are.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::PermissionDenied`], and [`ErrorKind::Corrupt`] if the
    /// name means no regular file.
    ///
    /// ```
    /// use ringlane::{ErrorKind, Name, OpenOptions};
    /// let error = OpenOptions::new().open(&Name::new("ringlane-doc-none")?).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn open(&self, name: &Name) -> Result<SharedMemory> {
        let access = if self.write { Access::ReadWrite } else { Access::Read };
        let handle = sys::open(name.as_str(), access)
            .map_err(|e| e.on(format_args!("open shared memory {:?}", name.as_str())))?;
        Ok(SharedMemory::opened(handle, name.clone(), access))
    }

    /// A new object of the size asked for that has no name yet: it can be filled in peace.
    pub(crate) fn prepare(&self) -> Result<SharedMemory> {
        let handle = sys::create_unnamed(self.mode)?;
        sys::resize_reserved(&handle, self.size)?;
        Ok(SharedMemory::unnamed(handle, self.lifetime))
    }
}
