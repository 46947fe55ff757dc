//! The object: what a handle can do beside mapping it.

use super::{Leash, Lifetime, MapOptions, Mapping, Name, OpenOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::{self, Access};
use std::fmt;
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
///
/// [`as_fd`](AsFd::as_fd) lends the file descriptor, to be sent to another process; what arrives there
/// becomes a handle again by `SharedMemory::try_from`:
///
/// ```
/// use std::os::fd::AsFd;
/// use ringlane::SharedMemory;
///
/// let memory = SharedMemory::anonymous(4096)?;
/// let descriptor = memory.as_fd().try_clone_to_owned().expect("a descriptor is free");
/// memory.map()?.write_at(0, &[7])?;
/// let mut byte = [0];
/// SharedMemory::try_from(descriptor)?.map()?.read_at(0, &mut byte)?;
/// assert_eq!(byte, [7]);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "RTSHMEM")]
#[doc(alias = "PRSharedMemory")]
pub struct SharedMemory {
    handle: sys::Handle,
    name: Option<Name>,
    /// What was asked for: the rights and limits of this handle.
    options: OpenOptions,
    /// The process that has to remove the name, if one has.
    remover: Option<u64>,
    created: bool,
    /// Every mapping holds a copy of the inner `Arc`, so they are counted; the mutex lets nobody map
    /// between a look at the count and what is done on its strength.
    mappings: Mutex<Arc<()>>,
    /// What this process was given of an object by a handle, if not all for good.
    terms: Terms,
}

/// On which terms an object was received.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    /// The first byte and the number of bytes, if it is a part.
    pub(crate) range: Option<(u64, u64)>,
    /// What it can be taken back by.
    pub(crate) leash: Option<Arc<Leash>>,
}

impl SharedMemory {
    /// A new object under a name, `size` bytes of zeroes, for reading and writing, removed with its
    /// creator.
    ///
    /// # Errors
    /// As [`OpenOptions::open`].
    ///
    /// ```
    /// let name = ringlane::Name::new("ringlane-doc-shm-create")?;
    /// let memory = ringlane::SharedMemory::create(&name, 4096)?;
    /// assert!(memory.created());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn create(name: &Name, size: u64) -> Result<Self> {
        OpenOptions::read_write().create_new(true).size(size).open(name)
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
        OpenOptions::read_write().open(name)
    }

    /// A new object without a name; its descriptor can be passed on. Nobody can change its size.
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
    #[doc(alias = "SHM_ANON")]
    pub fn anonymous(size: u64) -> Result<Self> {
        let memory = OpenOptions::read_write().size(size).anonymous()?;
        memory.seal_size()?;
        Ok(memory)
    }

    /// Removes a name, whatever it means. The memory stays with those who have it; the name can be used
    /// anew. [`remove`](Self::remove) is for those who mean a certain object.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such name, [`ErrorKind::PermissionDenied`] if it is another
    /// user's.
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

    pub(super) fn of(
        handle: sys::Handle,
        name: Option<Name>,
        options: &OpenOptions,
        created: bool,
    ) -> Self {
        let (options, mappings) = (options.clone(), Mutex::default());
        let terms = Terms::default();
        SharedMemory { handle, name, options, remover: None, created, mappings, terms }
    }

    /// What came by a handle: at most with this access, on these terms.
    #[cfg(any(target_os = "linux", windows))]
    pub(crate) fn received(
        handle: sys::Handle,
        (read, write): (bool, bool),
        terms: Terms,
    ) -> Result<Self> {
        let can_write = sys::adopt(&handle)? == Access::ReadWrite;
        if write && !can_write {
            return Err(Error::new(
                ErrorKind::Corrupt,
                "memory with less access than was promised",
            ));
        }
        let size = sys::stat(&handle)?.size;
        if let Some((from, len)) = terms.range
            && from.checked_add(len).is_none_or(|end| end > size)
        {
            let text = format!("{len} bytes at {from} of an object of {size}");
            return Err(Error::new(ErrorKind::Corrupt, text));
        }
        let mut options = OpenOptions::new();
        options.read(read).write(write).lifetime(Lifetime::Persistent);
        let mut memory = SharedMemory::of(handle, None, &options, false);
        memory.terms = terms;
        Ok(memory)
    }

    /// Gives the object its name: from here on others can open it.
    pub(crate) fn publish(&mut self, name: &Name) -> Result<()> {
        sys::publish(&self.handle, name.as_str())?;
        self.name = Some(name.clone());
        let owned = self.options.lifetime == Lifetime::CreatorOwned;
        self.remover = (owned && sys::ABILITIES.unlink).then(sys::process_token);
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

    /// The object's size in bytes, by the kernel's word: what was asked for on Linux, possibly more
    /// elsewhere. Of memory that was given in part, the size of that part.
    ///
    /// # Errors
    /// What the operating system says, and [`ErrorKind::Revoked`] if the memory was taken back.
    ///
    /// ```
    /// assert_eq!(ringlane::SharedMemory::anonymous(8192)?.size()?, 8192);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTShMemQuerySize")]
    pub fn size(&self) -> Result<u64> {
        if let Some(leash) = &self.terms.leash {
            leash.check().map_err(|e| self.about("ask the size of", e))?;
        }
        match self.terms.range {
            Some((_, len)) => Ok(len),
            None => Ok(sys::stat(&self.handle).map_err(|e| self.about("ask the size of", e))?.size),
        }
    }

    /// Whether who gave this memory has taken it back, see [`Broker::revoke`](crate::handle::Broker::revoke). Never for
    /// memory that came in another way.
    ///
    /// ```
    /// assert!(!ringlane::SharedMemory::anonymous(4096)?.is_revoked());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn is_revoked(&self) -> bool {
        self.terms.leash.as_ref().is_some_and(|leash| leash.is_cut())
    }

    /// Sets the object's size in bytes. What is new is zeroes, and its memory is taken now unless
    /// [`OpenOptions::reserve`] said otherwise. On failure the size is what it was.
    ///
    /// # Errors
    /// * [`ErrorKind::InvalidState`] while mappings made through this handle are alive.
    /// * [`ErrorKind::PermissionDenied`] if the object was opened without write access or is
    ///   [sealed](Self::seal_size).
    /// * [`ErrorKind::InvalidInput`] for a smaller size without [`OpenOptions::allow_shrink`].
    /// * [`ErrorKind::NoSpace`] if the memory is not there.
    /// * [`ErrorKind::InUse`] if another process has been about to resize or remove the object for long.
    ///
    /// ```
    /// use ringlane::{Name, OpenOptions};
    /// let name = Name::new("ringlane-doc-set-size")?;
    /// let mut options = OpenOptions::new();
    /// let memory = options.read(true).write(true).create_new(true).open(&name)?;
    /// memory.set_size(8192)?;
    /// assert_eq!(memory.map()?.len(), 8192);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTShMemSetSize")]
    #[doc(alias = "ftruncate")]
    pub fn set_size(&self, bytes: u64) -> Result<()> {
        let mappings = self.mappings();
        self.resize(&mappings, bytes).map_err(|e| self.about("resize", e))
    }

    fn resize(&self, mappings: &Arc<()>, bytes: u64) -> Result<()> {
        check_unmapped(mappings)?;
        if !self.options.write {
            return Err(Error::new(ErrorKind::PermissionDenied, "opened for reading only"));
        }
        if self.terms.range.is_some() || self.terms.leash.is_some() {
            let text = "only a part was given, or only for a time";
            return Err(Error::new(ErrorKind::PermissionDenied, text));
        }
        sys::resize(&self.handle, bytes, self.options.reserve, self.options.shrink)
    }

    /// Maps the whole object, with the access it was opened with. [`MapOptions`] maps parts of it, and in
    /// other ways.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the object is empty, and as [`MapOptions::map`].
    ///
    /// ```
    /// let mapping = ringlane::SharedMemory::anonymous(4096)?.map()?;
    /// assert_eq!(mapping.len(), 4096);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTShMemMapRegion")]
    #[doc(alias = "PR_AttachSharedMemory")]
    pub fn map(&self) -> Result<Mapping> {
        MapOptions::new().read(self.options.read).write(self.options.write).map(self)
    }

    /// How many mappings made through this handle are alive.
    ///
    /// ```
    /// let memory = ringlane::SharedMemory::anonymous(4096)?;
    /// let (one, two) = (memory.map()?, memory.map()?);
    /// drop(one);
    /// assert_eq!(memory.mapping_count(), 1);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTShMemRefCount")]
    pub fn mapping_count(&self) -> usize {
        count(&self.mappings())
    }

    /// Closes the handle. The creator's handle takes the name with it unless the object is
    /// [`Lifetime::Persistent`]; dropping does the same, but cannot say what went wrong.
    ///
    /// # Errors
    /// The handle comes back: with [`ErrorKind::InvalidState`] while mappings made through it are alive, or
    /// with what the operating system says if the name could not be removed.
    ///
    /// ```
    /// use ringlane::{ErrorKind, SharedMemory};
    /// let memory = SharedMemory::anonymous(4096)?;
    /// let mapping = memory.map()?;
    /// let refused = memory.close().unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::InvalidState);
    /// drop(mapping);
    /// refused.into_memory().close()?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTShMemClose")]
    #[doc(alias = "PR_CloseSharedMemory")]
    pub fn close(mut self) -> std::result::Result<(), CloseError> {
        let unmapped = check_unmapped(&self.mappings());
        let closed = unmapped.and_then(|()| self.remove_if_creator());
        closed.map_err(|e| CloseError { error: self.about("close", e), memory: Box::new(self) })
    }

    /// Removes the name this object was opened or created under, if it still means this object: another
    /// that was made under it since stays. Removals by this library take turns under an `flock(2)` lock on
    /// the object, so that none falls between another's look and its removal; other programs' do not.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the name is gone or means another object, [`ErrorKind::InvalidInput`] if
    /// the object has no name, [`ErrorKind::PermissionDenied`] if it is another user's.
    ///
    /// ```
    /// use ringlane::{ErrorKind, Name, SharedMemory};
    /// let name = Name::new("ringlane-doc-remove")?;
    /// let old = SharedMemory::create(&name, 4096)?;
    /// SharedMemory::unlink(&name)?;
    /// let new = SharedMemory::create(&name, 4096)?;
    /// assert_eq!(old.remove().unwrap_err().kind(), ErrorKind::NotFound);
    /// new.remove()?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn remove(&self) -> Result<()> {
        let Some(name) = &self.name else {
            return Err(Error::new(ErrorKind::InvalidInput, "anonymous memory has no name"));
        };
        sys::unlink(name.as_str(), Some(&self.handle)).map_err(|e| self.about("unlink", e))
    }

    /// From here on nobody, in no process, can change the object's size: nothing that is mapped of it can
    /// vanish. For anonymous objects.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the object has a name.
    ///
    /// ```
    /// let memory = ringlane::OpenOptions::new().read(true).write(true).size(64).anonymous()?;
    /// assert!(!memory.is_size_sealed()?);
    /// memory.seal_size()?;
    /// assert!(memory.is_size_sealed()?);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "SHMCTL_SEAL")]
    #[doc(alias = "F_SEAL_SHRINK")]
    #[doc(alias = "F_SEAL_GROW")]
    pub fn seal_size(&self) -> Result<()> {
        sys::seal_size(&self.handle).map_err(|e| self.about("seal", e))
    }

    /// From here on nobody, in no process, can map the object for writing. Mappings that are there stay as
    /// they are: so one process can write what all others can only read. For anonymous objects.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the object has a name or the kernel is older than Linux 5.1.
    ///
    /// ```
    /// use ringlane::{ErrorKind, MapOptions, SharedMemory};
    /// let memory = SharedMemory::anonymous(4096)?;
    /// let mine = memory.map()?;
    /// memory.seal_writes()?;
    /// mine.write_at(0, &[1])?;
    /// assert_eq!(memory.map().unwrap_err().kind(), ErrorKind::PermissionDenied);
    /// MapOptions::new().read(true).map(&memory)?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "F_SEAL_FUTURE_WRITE")]
    pub fn seal_writes(&self) -> Result<()> {
        sys::seal_writes(&self.handle).map_err(|e| self.about("seal", e))
    }

    /// Whether the size cannot change any more, see [`seal_size`](Self::seal_size).
    ///
    /// # Errors
    /// What the operating system says.
    ///
    /// ```
    /// assert!(ringlane::SharedMemory::anonymous(4096)?.is_size_sealed()?);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn is_size_sealed(&self) -> Result<bool> {
        Ok(sys::seals_of(&self.handle).map_err(|e| self.about("ask for the seals of", e))?.size)
    }

    /// Whether no new mapping can write, see [`seal_writes`](Self::seal_writes).
    ///
    /// # Errors
    /// What the operating system says.
    ///
    /// ```
    /// assert!(!ringlane::SharedMemory::anonymous(4096)?.is_write_sealed()?);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn is_write_sealed(&self) -> Result<bool> {
        Ok(sys::seals_of(&self.handle).map_err(|e| self.about("ask for the seals of", e))?.writes)
    }

    pub(crate) fn handle(&self) -> &sys::Handle {
        &self.handle
    }

    pub(super) fn options(&self) -> &OpenOptions {
        &self.options
    }

    /// Whether this handle reads, and writes.
    pub(crate) fn access(&self) -> (bool, bool) {
        (self.options.read, self.options.write)
    }

    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Where in the object the first byte lies that this handle has.
    pub(super) fn begin(&self) -> u64 {
        self.terms.range.map_or(0, |(from, _)| from)
    }

    pub(super) fn leash(&self) -> Option<&Arc<Leash>> {
        self.terms.leash.as_ref()
    }

    /// A ring lies at the start of an object, and has no way to be taken back from.
    pub(crate) fn check_whole(&self) -> Result<()> {
        if self.terms.range.is_some() {
            let text = "only a part of the memory was given: a ring takes all of it";
            return Err(Error::new(ErrorKind::PermissionDenied, text));
        }
        self.terms.leash.as_ref().map_or(Ok(()), |leash| leash.check())
    }

    pub(super) fn mappings(&self) -> MutexGuard<'_, Arc<()>> {
        // Nothing that can panic runs with it held, and an `Arc` has no state to be half changed.
        self.mappings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the name it was opened under is gone, or means another object.
    pub(crate) fn is_orphan(&self) -> Result<bool> {
        Ok(self.name.is_some() && sys::stat(&self.handle)?.names == 0)
    }

    #[cfg(all(feature = "shared_memory", target_os = "linux"))]
    pub(super) fn identity(&self) -> Result<sys::Identity> {
        Ok(sys::stat(&self.handle)?.identity)
    }

    pub(super) fn about(&self, verb: &str, error: Error) -> Error {
        match &self.name {
            Some(name) => error.on(format_args!("{verb} shared memory {:?}", name.as_str())),
            None => error.on(format_args!("{verb} anonymous shared memory")),
        }
    }

    fn remove_if_creator(&mut self) -> Result<()> {
        // A forked child's copy is not the creator.
        let (Some(process), Some(name)) = (self.remover, &self.name) else { return Ok(()) };
        if process != sys::process_token() {
            return Ok(());
        }
        match sys::unlink(name.as_str(), Some(&self.handle)) {
            // Somebody removed it before us: that is what we want.
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => {
                self.remover = None;
                Ok(())
            }
        }
    }
}

/// How many mappings hold a copy.
pub(super) fn count(mappings: &Arc<()>) -> usize {
    Arc::strong_count(mappings) - 1
}

fn check_unmapped(mappings: &Arc<()>) -> Result<()> {
    match count(mappings) {
        0 => Ok(()),
        1 => Err(Error::new(ErrorKind::InvalidState, "a mapping of it is alive")),
        more => {
            Err(Error::new(ErrorKind::InvalidState, format!("{more} mappings of it are alive")))
        }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // Nobody is there to be told; `close` tells.
        let _ = self.remove_if_creator();
    }
}

#[cfg(target_os = "linux")]
impl AsFd for SharedMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

#[cfg(target_os = "linux")]
impl TryFrom<OwnedFd> for SharedMemory {
    type Error = Error;

    /// A handle for a descriptor that came from elsewhere, with the access it was opened with. It is not
    /// the creator, and has no name. Programs that this one starts do not inherit it.
    ///
    /// Whoever else may write to the object can shorten it, unless it
    /// [is sealed](SharedMemory::is_size_sealed): ask before mapping what a stranger sent.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if it is no shared memory, [`ErrorKind::PermissionDenied`] if it was opened in
    /// a way that nothing can be mapped with, [`ErrorKind::Unsupported`] for files of huge pages.
    fn try_from(descriptor: OwnedFd) -> Result<Self> {
        let access = sys::adopt(&descriptor).map_err(|e| e.on("adopt shared memory"))?;
        let mut options = OpenOptions::new();
        options.read(true).write(access == Access::ReadWrite).lifetime(Lifetime::Persistent);
        Ok(SharedMemory::of(descriptor, None, &options, false))
    }
}

/// Why [`SharedMemory::close`] did not close, and the handle.
///
/// ```
/// let memory = ringlane::SharedMemory::anonymous(4096)?;
/// let mapping = memory.map()?;
/// let refused = memory.close().unwrap_err();
/// assert_eq!(refused.to_string(), "close anonymous shared memory: a mapping of it is alive");
/// assert_eq!(refused.into_memory().mapping_count(), 1);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
pub struct CloseError {
    error: Error,
    memory: Box<SharedMemory>,
}

impl CloseError {
    /// What kind of failure this is.
    ///
    /// ```
    /// let memory = ringlane::SharedMemory::anonymous(4096)?;
    /// let mapping = memory.map()?;
    /// assert_eq!(memory.close().unwrap_err().kind(), ringlane::ErrorKind::InvalidState);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.error.kind()
    }

    /// The handle, as it was.
    ///
    /// ```
    /// let memory = ringlane::SharedMemory::anonymous(4096)?;
    /// let mapping = memory.map()?;
    /// let memory = memory.close().unwrap_err().into_memory();
    /// drop(mapping);
    /// memory.close()?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn into_memory(self) -> SharedMemory {
        *self.memory
    }
}

impl fmt::Display for CloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for CloseError {}

impl From<CloseError> for Error {
    fn from(refused: CloseError) -> Error {
        refused.error
    }
}
