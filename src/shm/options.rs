//! How an object is opened or made.

use super::{Name, SharedMemory};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::{self, Access, Stat};

/// How often a name may come and go under [`OpenOptions::open`] before it gives up. Each time some other
/// process has got what it wanted.
const ATTEMPTS: u32 = 1000;

/// What `RTShMemOpen` takes at most, and one less than it refuses.
const MOST_MAPPINGS: u32 = 63;

/// Whether a name ends with its creator.
///
/// ```
/// use ringlane::{Lifetime, Name, OpenOptions, SharedMemory};
///
/// let name = Name::new("ringlane-doc-lifetime")?;
/// let options = OpenOptions::new().read(true).write(true).create_new(true).size(4096).clone();
/// let memory = options.clone().lifetime(Lifetime::Persistent).open(&name)?;
/// drop(memory);
/// SharedMemory::open(&name)?; // still there
/// SharedMemory::unlink(&name)?;
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifetime {
    /// The name goes when the creator's handle does. Openers never remove it.
    #[default]
    CreatorOwned,
    /// The name stays until somebody unlinks it or the machine restarts.
    Persistent,
}

/// Options for opening or creating [`SharedMemory`], in the manner of [`std::fs::OpenOptions`].
///
/// Unlike there, creating takes no write access: whichever of reader and writer comes first may make the
/// object.
///
/// ```
/// use ringlane::{Name, OpenOptions};
///
/// let name = Name::new("ringlane-doc-options")?;
/// let mut options = OpenOptions::new();
/// options.read(true).write(true).create(true).size(1 << 16);
/// let (first, second) = (options.open(&name)?, options.open(&name)?);
/// assert!(first.created() && !second.created());
/// assert_eq!(second.size()?, 1 << 16);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "RTSHMEM_O_F_VALID_MASK")]
#[doc(alias = "OFlags")]
#[doc(alias = "ShmOFlags")]
pub struct OpenOptions {
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) create: bool,
    pub(super) create_new: bool,
    pub(super) truncate: bool,
    pub(super) exec: bool,
    pub(super) size: u64,
    pub(super) mode: u32,
    pub(super) mapping_limit: u32,
    pub(super) lifetime: Lifetime,
    pub(super) reserve: bool,
    pub(super) shrink: bool,
    pub(super) foreign: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl OpenOptions {
    /// No access, nothing created, mode 0600, the name removed with its creator, memory reserved.
    ///
    /// ```
    /// use ringlane::{ErrorKind, Name, OpenOptions};
    /// // Which access is wanted has to be said.
    /// let error = OpenOptions::new().open(&Name::new("ringlane-doc-new")?).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidInput);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn new() -> Self {
        OpenOptions {
            read: false,
            write: false,
            create: false,
            create_new: false,
            truncate: false,
            exec: false,
            size: 0,
            mode: 0o600,
            mapping_limit: 0,
            lifetime: Lifetime::CreatorOwned,
            reserve: true,
            shrink: false,
            foreign: false,
        }
    }

    /// Read and write: what rings, and the shortcuts on [`SharedMemory`], ask for.
    pub(crate) fn read_write() -> Self {
        let mut options = Self::new();
        options.read(true).write(true);
        options
    }

    /// Whether the memory may be mapped for reading. Default: no.
    ///
    /// ```
    /// use ringlane::{ErrorKind, MapOptions, Name, OpenOptions, SharedMemory};
    /// let name = Name::new("ringlane-doc-read")?;
    /// let memory = SharedMemory::create(&name, 4096)?;
    /// let writer = OpenOptions::new().write(true).open(&name)?;
    /// let error = MapOptions::new().read(true).map(&writer).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTSHMEM_O_F_READ")]
    #[doc(alias = "RTSHMEM_O_F_READWRITE")]
    #[doc(alias = "O_RDONLY")]
    #[doc(alias = "RDONLY")]
    pub fn read(&mut self, yes: bool) -> &mut Self {
        self.read = yes;
        self
    }

    /// Whether the memory may be mapped for writing, and the object resized. Default: no.
    ///
    /// Without [`read`](Self::read) it may be mapped for writing only. The operating system knows no such
    /// mapping, so this library is what refuses the reading.
    ///
    /// ```
    /// use ringlane::{ErrorKind, Name, OpenOptions, SharedMemory};
    /// let name = Name::new("ringlane-doc-write")?;
    /// let memory = SharedMemory::create(&name, 4096)?;
    /// let reader = OpenOptions::new().read(true).open(&name)?.map()?;
    /// assert_eq!(reader.write_at(0, b"x").unwrap_err().kind(), ErrorKind::PermissionDenied);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTSHMEM_O_F_WRITE")]
    #[doc(alias = "RTSHMEM_O_F_READWRITE")]
    #[doc(alias = "O_RDWR")]
    #[doc(alias = "O_WRONLY")]
    #[doc(alias = "RDWR")]
    pub fn write(&mut self, yes: bool) -> &mut Self {
        self.write = yes;
        self
    }

    /// Whether to make an object if none has the name; one that is there is opened. Default: no.
    ///
    /// ```
    /// use ringlane::{Name, OpenOptions};
    /// let name = Name::new("ringlane-doc-create")?;
    /// let memory = OpenOptions::new().read(true).write(true).create(true).size(64).open(&name)?;
    /// assert!(memory.created());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTSHMEM_O_F_CREATE")]
    #[doc(alias = "PR_SHM_CREATE")]
    #[doc(alias = "O_CREAT")]
    pub fn create(&mut self, yes: bool) -> &mut Self {
        self.create = yes;
        self
    }

    /// Whether to make an object and fail if the name is taken; [`create`](Self::create) and
    /// [`truncate`](Self::truncate) then mean nothing. Default: no.
    ///
    /// ```
    /// use ringlane::{ErrorKind, Name, OpenOptions};
    /// let name = Name::new("ringlane-doc-create-new")?;
    /// let mut options = OpenOptions::new();
    /// options.read(true).write(true).create_new(true).size(4096);
    /// let first = options.open(&name)?;
    /// assert_eq!(options.open(&name).unwrap_err().kind(), ErrorKind::AlreadyExists);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTSHMEM_O_F_CREATE_EXCL")]
    #[doc(alias = "PR_SHM_EXCL")]
    #[doc(alias = "O_EXCL")]
    #[doc(alias = "EXCL")]
    pub fn create_new(&mut self, yes: bool) -> &mut Self {
        self.create_new = yes;
        self
    }

    /// Whether an object that is there loses its contents: it gets the [`size`](Self::size) given here, 0
    /// if none is, all zeroes. Takes write access. Default: no.
    ///
    /// Every process that has the object mapped and touches what is gone is ended by a SIGBUS. Nothing can
    /// tell whether there is one, so this is for objects that are known to be nobody's.
    ///
    /// ```
    /// use ringlane::{Name, OpenOptions, SharedMemory};
    /// let name = Name::new("ringlane-doc-truncate")?;
    /// let memory = SharedMemory::create(&name, 4096)?;
    /// OpenOptions::new().write(true).truncate(true).open(&name)?;
    /// assert_eq!(memory.size()?, 0);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTSHMEM_O_F_TRUNCATE")]
    #[doc(alias = "O_TRUNC")]
    #[doc(alias = "TRUNC")]
    pub fn truncate(&mut self, yes: bool) -> &mut Self {
        self.truncate = yes;
        self
    }

    /// Whether the memory may be mapped executable, see [`MapOptions::exec`](crate::MapOptions::exec).
    /// Default: no.
    ///
    /// ```
    /// use ringlane::{Name, OpenOptions};
    /// let name = Name::new("ringlane-doc-maybe-exec")?;
    /// let mut options = OpenOptions::new();
    /// options.read(true).write(true).create_new(true).size(4096).maybe_exec(true).open(&name)?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTSHMEM_O_F_MAYBE_EXEC")]
    pub fn maybe_exec(&mut self, yes: bool) -> &mut Self {
        self.exec = yes;
        self
    }

    /// The size of a new object, in bytes. One that is there keeps its size, which has to be this at
    /// least. Default: 0, to be set by [`SharedMemory::set_size`].
    ///
    /// ```
    /// use ringlane::{ErrorKind, Name, OpenOptions, SharedMemory};
    /// let name = Name::new("ringlane-doc-size")?;
    /// let memory = SharedMemory::create(&name, 4096)?;
    /// let error = OpenOptions::new().read(true).size(4097).open(&name).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidSize);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "cbMax")]
    pub fn size(&mut self, bytes: u64) -> &mut Self {
        self.size = bytes;
        self
    }

    /// The permission bits of a new object, less the process's umask. Default: 0600, only this user.
    ///
    /// ```
    /// use ringlane::{Name, OpenOptions};
    /// let name = Name::new("ringlane-doc-mode")?;
    /// let mut options = OpenOptions::new();
    /// options.read(true).write(true).create_new(true).size(64).mode(0o660).open(&name)?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "Mode")]
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }

    /// How many mappings may be alive at a time through the handle: 1 to 63, or 0 for any number.
    /// Default: 0.
    ///
    /// ```
    /// use ringlane::{ErrorKind, Name, OpenOptions};
    /// let name = Name::new("ringlane-doc-mapping-limit")?;
    /// let mut options = OpenOptions::new();
    /// options.read(true).write(true).create(true).size(4096).mapping_limit(1);
    /// let memory = options.open(&name)?;
    /// let mapping = memory.map()?;
    /// assert_eq!(memory.map().unwrap_err().kind(), ErrorKind::LimitReached);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "cMappingsHint")]
    pub fn mapping_limit(&mut self, mappings: u32) -> &mut Self {
        self.mapping_limit = mappings;
        self
    }

    /// When the name of a new object goes. Default: with its creator's handle.
    ///
    /// ```
    /// use ringlane::{Lifetime, OpenOptions};
    /// let options = OpenOptions::new().lifetime(Lifetime::Persistent).clone();
    /// ```
    pub fn lifetime(&mut self, lifetime: Lifetime) -> &mut Self {
        self.lifetime = lifetime;
        self
    }

    /// Whether the memory of a new or growing object is taken at once. Default: yes.
    ///
    /// Without it a page is taken when it is first touched, and if there is none then, the process that
    /// touched it is ended by a SIGBUS. It is for large objects of which little will be used.
    ///
    /// ```
    /// use ringlane::{Name, OpenOptions};
    /// let name = Name::new("ringlane-doc-reserve")?;
    /// let mut options = OpenOptions::new();
    /// options.read(true).write(true).create_new(true).size(1 << 40).reserve(false).open(&name)?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn reserve(&mut self, yes: bool) -> &mut Self {
        self.reserve = yes;
        self
    }

    /// Whether [`SharedMemory::set_size`] may make the object smaller. Default: no, because other
    /// processes that have it mapped are ended by a SIGBUS where they touch what is gone.
    ///
    /// ```
    /// use ringlane::{Name, OpenOptions};
    /// let name = Name::new("ringlane-doc-allow-shrink")?;
    /// let mut options = OpenOptions::new();
    /// options.read(true).write(true).create_new(true).size(8192).allow_shrink(true);
    /// options.open(&name)?.set_size(4096)?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn allow_shrink(&mut self, yes: bool) -> &mut Self {
        self.shrink = yes;
        self
    }

    /// Whether an object may be opened that others could have put there to be found: one that belongs to
    /// another user than this process's or root, or that every user may write to. Default: no.
    ///
    /// Set it for memory that is shared between users by its [`mode`](Self::mode). A mode that lets all
    /// users write says as much, so it needs no second word.
    ///
    /// ```
    /// use ringlane::{Name, OpenOptions, SharedMemory};
    /// let name = Name::new("ringlane-doc-allow-foreign")?;
    /// let memory = SharedMemory::create(&name, 4096)?;
    /// OpenOptions::new().read(true).allow_foreign(true).open(&name)?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn allow_foreign(&mut self, yes: bool) -> &mut Self {
        self.foreign = yes;
        self
    }

    /// Opens the object of this name, or makes it, as the options say. A new object appears with its full
    /// size, or not at all; one that is there keeps its size and contents unless
    /// [`truncate`](Self::truncate) was asked for.
    ///
    /// # Errors
    /// * [`ErrorKind::NotFound`] if nothing has the name and none is to be made,
    ///   [`ErrorKind::AlreadyExists`] if a new one is wanted and the name is taken.
    /// * [`ErrorKind::PermissionDenied`] if the object's mode does not allow it, the name is a symbolic link,
    ///   or the object is another user's (see [`allow_foreign`](Self::allow_foreign)).
    /// * [`ErrorKind::Corrupt`] if the name means no regular file.
    /// * [`ErrorKind::InvalidSize`] if the object is smaller than the size asked for.
    /// * [`ErrorKind::NoSpace`] if the memory is not there; then nothing is left behind.
    /// * [`ErrorKind::LimitReached`] if this process may open no more files.
    /// * [`ErrorKind::InvalidInput`] for no access at all, truncation without write access, and a mode with
    ///   other than permission bits; [`ErrorKind::OutOfRange`] for a mapping limit past 63.
    ///
    /// ```
    /// use ringlane::{ErrorKind, Name, OpenOptions};
    /// let error = OpenOptions::new().read(true).open(&Name::new("ringlane-doc-none")?).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTShMemOpen")]
    #[doc(alias = "PR_OpenSharedMemory")]
    #[doc(alias = "shm_open")]
    pub fn open(&self, name: &Name) -> Result<SharedMemory> {
        let verb = if self.create || self.create_new { "create" } else { "open" };
        self.check()
            .and_then(|()| self.obtain(name))
            .map_err(|e| e.on(format_args!("{verb} shared memory {:?}", name.as_str())))
    }

    /// A new object without a name, as the options say; those that concern a name mean nothing. Its size
    /// can be changed until it is [sealed](SharedMemory::seal_size).
    ///
    /// # Errors
    /// As [`open`](Self::open), but for the name.
    ///
    /// ```
    /// let memory = ringlane::OpenOptions::new().read(true).write(true).anonymous()?;
    /// memory.set_size(4096)?;
    /// memory.seal_size()?;
    /// assert!(memory.set_size(8192).is_err());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "SHM_ANON")]
    #[doc(alias = "memfd_create")]
    pub fn anonymous(&self) -> Result<SharedMemory> {
        let made = self.check().and_then(|()| {
            let mut handle = sys::create_anonymous("ringlane")?;
            sys::resize_alone(&handle, self.size, self.reserve)?;
            if !self.write {
                handle = sys::reopen(&handle, Access::Read)?;
            }
            Ok(SharedMemory::of(handle, None, self, true))
        });
        made.map_err(|e| e.on("create anonymous shared memory"))
    }

    fn check(&self) -> Result<()> {
        let invalid = |text: &str| Err(Error::new(ErrorKind::InvalidInput, text));
        if !self.read && !self.write {
            return invalid("neither reading nor writing is asked for");
        }
        if self.truncate && !self.write {
            return invalid("truncating takes write access");
        }
        if self.mode & !0o777 != 0 {
            return invalid(&format!("mode {:o} has more than permission bits", self.mode));
        }
        if self.mapping_limit > MOST_MAPPINGS {
            let text = format!("{} mappings: at most {MOST_MAPPINGS}", self.mapping_limit);
            return Err(Error::new(ErrorKind::OutOfRange, text));
        }
        Ok(())
    }

    fn obtain(&self, name: &Name) -> Result<SharedMemory> {
        if self.create_new {
            return self.make(name);
        }
        for _ in 0..ATTEMPTS {
            match self.open_existing(name) {
                Err(error) if self.create && error.kind() == ErrorKind::NotFound => {}
                done => return done,
            }
            match self.make(name) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                done => return done,
            }
        }
        let text = format!("the name came and went {ATTEMPTS} times");
        Err(Error::new(ErrorKind::AlreadyExists, text))
    }

    fn make(&self, name: &Name) -> Result<SharedMemory> {
        let mut memory = self.prepare()?;
        memory.publish(name)?;
        Ok(memory)
    }

    fn open_existing(&self, name: &Name) -> Result<SharedMemory> {
        let access = if self.write { Access::ReadWrite } else { Access::Read };
        let handle = sys::open(name.as_str(), access)?;
        let stat = sys::stat(&handle)?;
        self.check_trust(&stat)?;
        if self.truncate {
            sys::empty(&handle, self.size, self.reserve)?;
        } else if stat.size < self.size {
            let text = format!("it has {} bytes, {} are asked for", stat.size, self.size);
            return Err(Error::new(ErrorKind::InvalidSize, text));
        }
        Ok(SharedMemory::of(handle, Some(name.clone()), self, false))
    }

    /// Anybody can put a file where names live. What belongs to somebody else, or what everybody can
    /// change, is taken only by those who say that they mean to.
    fn check_trust(&self, stat: &Stat) -> Result<()> {
        let refuse = |text: String| Err(Error::new(ErrorKind::PermissionDenied, text));
        let user = sys::effective_user();
        if self.foreign {
            Ok(())
        } else if stat.owner != user && stat.owner != 0 {
            refuse(format!("it belongs to user {}, this process is user {user}", stat.owner))
        } else if stat.mode & 0o002 != 0 && self.mode & 0o002 == 0 {
            refuse(format!("every user may write to it, its mode is {:o}", stat.mode))
        } else {
            Ok(())
        }
    }

    /// A new object of the size asked for that has no name yet: it can be filled in peace.
    pub(crate) fn prepare(&self) -> Result<SharedMemory> {
        self.check()?;
        let mut handle = sys::create_unnamed(self.mode)?;
        sys::resize_alone(&handle, self.size, self.reserve)?;
        if !self.write {
            handle = sys::reopen(&handle, Access::Read)?;
        }
        Ok(SharedMemory::of(handle, None, self, true))
    }
}
