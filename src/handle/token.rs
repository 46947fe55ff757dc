//! A handle: bytes that say where its broker is and which of its handles this one is.

use crate::error::{Error, ErrorKind, Result};
use crate::sys;
use std::fmt;
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"ringhnd\x01";

/// The longest place that a broker can have, in bytes.
pub(super) const PATH_MAX: usize = sys::LONGEST_PLACE;

/// Which handle: 128 bits that nobody guesses.
///
/// ```
/// use ringlane::SharedMemory;
/// use ringlane::handle::{Access, Broker, HandleOptions, Recipient};
/// let (broker, memory) = (Broker::start()?, SharedMemory::anonymous(4096)?);
/// let me = Recipient::process(std::process::id())?;
/// let handle = broker.create(&memory, &me, Access::ReadOnly, &HandleOptions::new())?;
/// let id = handle.id();
/// drop(handle);
/// broker.delete(id)?;
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandleId(pub(super) [u8; 16]);

impl fmt::Debug for HandleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell two apart.
        let [a, b, c, d, ..] = self.0;
        write!(f, "HandleId({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

/// Memory for one process to have once: see the [module](crate::handle).
///
/// Dropping a handle does nothing: its bytes may be elsewhere. [`delete`](Self::delete) ends it.
///
/// ```
/// use ringlane::SharedMemory;
/// use ringlane::handle::{Access, Broker, Handle, HandleOptions, Recipient};
/// let (broker, memory) = (Broker::start()?, SharedMemory::anonymous(4096)?);
/// let me = Recipient::process(std::process::id())?;
/// let handle = broker.create(&memory, &me, Access::ReadWrite, &HandleOptions::new())?;
/// let given = handle.open(Access::ReadWrite)?;
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "shm_handle_t")]
pub struct Handle {
    pub(super) id: HandleId,
    pub(super) path: PathBuf,
    pub(super) sealed_only: bool,
}

impl Handle {
    /// The most bytes that a handle has.
    ///
    /// ```
    /// assert!(ringlane::handle::Handle::MAX <= 256);
    /// ```
    pub const MAX: usize = MAGIC.len() + 16 + PATH_MAX;

    /// Which one it is, for its creator to [delete](crate::handle::Broker::delete) or
    /// [revoke](crate::handle::Broker::revoke_handle) it by.
    ///
    /// ```
    /// # use ringlane::handle::{Access, Broker, HandleOptions, Recipient};
    /// # let (broker, memory) = (Broker::start()?, ringlane::SharedMemory::anonymous(4096)?);
    /// # let me = Recipient::process(std::process::id())?;
    /// let handle = broker.create(&memory, &me, Access::ReadOnly, &HandleOptions::new())?;
    /// println!("{:?}", handle.id());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn id(&self) -> HandleId {
        self.id
    }

    /// The handle as bytes, at most [`MAX`](Self::MAX), to be sent in any way. Who else sees them has no use for them.
    ///
    /// ```
    /// # use ringlane::handle::{Access, Broker, Handle, HandleOptions, Recipient};
    /// # let (broker, memory) = (Broker::start()?, ringlane::SharedMemory::anonymous(4096)?);
    /// # let me = Recipient::process(std::process::id())?;
    /// let handle = broker.create(&memory, &me, Access::ReadOnly, &HandleOptions::new())?;
    /// assert_eq!(Handle::from_bytes(&handle.to_bytes())?.id(), handle.id());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn to_bytes(&self) -> Vec<u8> {
        [&MAGIC, &self.id.0[..], self.path.as_os_str().as_encoded_bytes()].concat()
    }

    /// The handle of these bytes. Whether it is good for anything, only its use says.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidHandle`] if they are those of no handle.
    ///
    /// ```
    /// use ringlane::{ErrorKind, handle::Handle};
    /// assert_eq!(Handle::from_bytes(b"?").unwrap_err().kind(), ErrorKind::InvalidHandle);
    /// ```
    pub fn from_bytes(bytes: &[u8]) -> Result<Handle> {
        let parts = bytes.strip_prefix(&MAGIC).and_then(|rest| rest.split_first_chunk::<16>());
        let parts = parts.filter(|(_, path)| path.len() <= PATH_MAX);
        let Some((id, path)) = parts.and_then(|(id, path)| Some((id, sys::whole_place(path)?)))
        else {
            let text = format!("{} bytes that are no handle", bytes.len());
            return Err(Error::new(ErrorKind::InvalidHandle, text));
        };
        Ok(Handle::new(HandleId(*id), &path))
    }

    pub(super) fn new(id: HandleId, path: &Path) -> Handle {
        Handle { id, path: path.to_owned(), sealed_only: false }
    }

    /// Whether to refuse memory whose size is not [sealed](crate::SharedMemory::seal_size). Others can shorten such
    /// memory, and who then touches a missing page is ended by a SIGBUS: so ask for it of creators that are not trusted.
    /// What is refused is spent. Default: no.
    ///
    /// ```
    /// # use ringlane::handle::{Access, Broker, HandleOptions, Recipient};
    /// # let (broker, memory) = (Broker::start()?, ringlane::SharedMemory::anonymous(4096)?);
    /// # let me = Recipient::process(std::process::id())?;
    /// let mut handle = broker.create(&memory, &me, Access::ReadOnly, &HandleOptions::new())?;
    /// handle.sealed_only(true);
    /// assert!(handle.open(Access::ReadOnly)?.is_size_sealed()?);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn sealed_only(&mut self, yes: bool) -> &mut Self {
        self.sealed_only = yes;
        self
    }
}
