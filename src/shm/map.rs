//! Which part of an object is mapped, and how.

use super::memory::count;
use super::{Mapping, SharedMemory};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::{self, Protection};
use std::sync::Arc;

/// Options for mapping [`SharedMemory`]: which bytes, with which access, and what else is wanted.
///
/// ```
/// use ringlane::{MapOptions, SharedMemory};
///
/// let memory = SharedMemory::anonymous(10_000)?;
/// let whole = memory.map()?;
/// let part = MapOptions::new().read(true).offset(9_000).length(1_000).map(&memory)?;
/// whole.write_at(9_990, b"the end")?;
/// let mut bytes = [0; 7];
/// part.read_at(990, &mut bytes)?;
/// assert_eq!(&bytes, b"the end");
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[doc(alias = "RTSHMEM_MAP_F_VALID_MASK")]
pub struct MapOptions {
    offset: u64,
    length: Option<u64>,
    read: bool,
    write: bool,
    exec: bool,
    cow: bool,
    huge: bool,
    prefault: bool,
    lock: bool,
    node: Option<u32>,
    dont_fork: bool,
}

impl MapOptions {
    /// The whole object, with no access: that has to be said.
    ///
    /// ```
    /// use ringlane::{ErrorKind, MapOptions, SharedMemory};
    /// let memory = SharedMemory::anonymous(4096)?;
    /// let error = MapOptions::new().map(&memory).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidInput);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// The first byte to map, counted from the start of the object. It need not be a multiple of a page.
    /// Default: 0.
    ///
    /// ```
    /// use ringlane::{MapOptions, SharedMemory};
    /// let memory = SharedMemory::anonymous(4096)?;
    /// assert_eq!(MapOptions::new().read(true).offset(4000).map(&memory)?.len(), 96);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "offRegion")]
    pub fn offset(&mut self, bytes: u64) -> &mut Self {
        self.offset = bytes;
        self
    }

    /// How many bytes to map. Default: all from the offset on.
    ///
    /// ```
    /// use ringlane::{ErrorKind, MapOptions, SharedMemory};
    /// let memory = SharedMemory::anonymous(4096)?;
    /// let error = MapOptions::new().read(true).offset(4000).length(97).map(&memory).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::OutOfRange);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "cbRegion")]
    pub fn length(&mut self, bytes: u64) -> &mut Self {
        self.length = Some(bytes);
        self
    }

    /// Whether the mapping can be read. Default: no.
    ///
    /// ```
    /// use ringlane::{MapOptions, SharedMemory};
    /// let memory = SharedMemory::anonymous(4096)?;
    /// MapOptions::new().read(true).map(&memory)?.read_at(0, &mut [0; 8])?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTSHMEM_MAP_F_READ")]
    #[doc(alias = "PR_SHM_READONLY")]
    #[doc(alias = "PROT_READ")]
    pub fn read(&mut self, yes: bool) -> &mut Self {
        self.read = yes;
        self
    }

    /// Whether the mapping can be written to. Default: no.
    ///
    /// ```
    /// use ringlane::{MapOptions, SharedMemory};
    /// let memory = SharedMemory::anonymous(4096)?;
    /// MapOptions::new().write(true).map(&memory)?.write_at(0, &[1; 8])?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTSHMEM_MAP_F_WRITE")]
    #[doc(alias = "PROT_WRITE")]
    pub fn write(&mut self, yes: bool) -> &mut Self {
        self.write = yes;
        self
    }

    /// Whether code in the mapping can be run, which
    /// [`OpenOptions::maybe_exec`](crate::OpenOptions::maybe_exec) has to have announced. Default: no.
    ///
    /// ```
    /// use ringlane::{ErrorKind, MapOptions, SharedMemory};
    /// let memory = SharedMemory::anonymous(4096)?;
    /// let error = MapOptions::new().read(true).exec(true).map(&memory).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTSHMEM_MAP_F_EXEC")]
    #[doc(alias = "PROT_EXEC")]
    pub fn exec(&mut self, yes: bool) -> &mut Self {
        self.exec = yes;
        self
    }

    /// Whether pages that are written to become this mapping's own: nobody else sees the writes. It takes
    /// read access to the object only, also for a mapping that is [`write`](Self::write). Default: no.
    ///
    /// What others write to a page that was not yet written to here may be seen or not.
    ///
    /// ```
    /// use ringlane::{MapOptions, SharedMemory};
    /// let memory = SharedMemory::anonymous(4096)?;
    /// let own = MapOptions::new().read(true).write(true).copy_on_write(true).map(&memory)?;
    /// own.write_at(0, &[7])?;
    /// let mut byte = [1];
    /// memory.map()?.read_at(0, &mut byte)?;
    /// assert_eq!(byte, [0]);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTSHMEM_MAP_F_COW")]
    #[doc(alias = "MAP_PRIVATE")]
    pub fn copy_on_write(&mut self, yes: bool) -> &mut Self {
        self.cow = yes;
        self
    }

    /// Asks for huge pages, and takes the pages in as [`prefault`](Self::prefault) does. How many bytes got
    /// them, [`Mapping::granted`] says. Default: no.
    ///
    /// ```
    /// use ringlane::{MapOptions, SharedMemory};
    /// let memory = SharedMemory::anonymous(4 << 20)?;
    /// let mapping = MapOptions::new().read(true).write(true).huge_pages(true).map(&memory)?;
    /// assert!(mapping.granted().huge_page_bytes <= 4 << 20);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "MADV_HUGEPAGE")]
    #[doc(alias = "MADV_COLLAPSE")]
    pub fn huge_pages(&mut self, yes: bool) -> &mut Self {
        self.huge = yes;
        self
    }

    /// Takes every page in now, so that no later access waits for one. Default: no.
    ///
    /// ```
    /// use ringlane::{MapOptions, SharedMemory};
    /// let memory = SharedMemory::anonymous(1 << 16)?;
    /// let mapping = MapOptions::new().read(true).prefault(true).map(&memory)?;
    /// println!("taken in: {}", mapping.granted().prefaulted);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "MADV_POPULATE_WRITE")]
    #[doc(alias = "MAP_POPULATE")]
    pub fn prefault(&mut self, yes: bool) -> &mut Self {
        self.prefault = yes;
        self
    }

    /// Keeps the pages from being paged out, or fails. Default: no.
    ///
    /// ```
    /// use ringlane::{ErrorKind, MapOptions, SharedMemory};
    /// let memory = SharedMemory::anonymous(4096)?;
    /// match MapOptions::new().read(true).lock(true).map(&memory) {
    ///     Ok(mapping) => assert!(mapping.granted().locked),
    ///     Err(error) => assert_eq!(error.kind(), ErrorKind::LimitReached),
    /// }
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "mlock")]
    pub fn lock(&mut self, yes: bool) -> &mut Self {
        self.lock = yes;
        self
    }

    /// Has the memory come from one NUMA node, moves there what only this process has mapped, and takes the
    /// pages in as [`prefault`](Self::prefault) does. How many bytes lie there, [`Mapping::granted`] says.
    ///
    /// ```
    /// use ringlane::{ErrorKind, MapOptions, SharedMemory};
    /// let memory = SharedMemory::anonymous(4096)?;
    /// let error = MapOptions::new().read(true).numa_node(5000).map(&memory).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidInput);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "mbind")]
    pub fn numa_node(&mut self, node: u32) -> &mut Self {
        self.node = Some(node);
        self
    }

    /// Leaves the mapping out of forked children: one that touches the addresses is ended by a SIGSEGV.
    /// Default: no.
    ///
    /// ```
    /// use ringlane::{MapOptions, SharedMemory};
    /// let memory = SharedMemory::anonymous(4096)?;
    /// MapOptions::new().read(true).dont_fork(true).map(&memory)?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "MADV_DONTFORK")]
    #[doc(alias = "MAP_NOINHERIT")]
    pub fn dont_fork(&mut self, yes: bool) -> &mut Self {
        self.dont_fork = yes;
        self
    }

    /// Maps. Each mapping is one of its own, also if the same bytes are mapped already.
    ///
    /// # Errors
    /// * [`ErrorKind::InvalidInput`] for no access at all, for 0 bytes, and for a NUMA node that is not there.
    /// * [`ErrorKind::OutOfRange`] if the bytes are not all within the object.
    /// * [`ErrorKind::PermissionDenied`] if the object was not opened for the access asked for, or the
    ///   operating system refuses it: code cannot be run where `/dev/shm` is mounted `noexec`.
    /// * [`ErrorKind::LimitReached`] if the [limit](crate::OpenOptions::mapping_limit) on mappings is
    ///   reached, or the one on [locked](Self::lock) memory.
    /// * [`ErrorKind::NoSpace`] if the process has no address space or may have no more mappings.
    ///
    /// ```
    /// use ringlane::{MapOptions, SharedMemory};
    /// let memory = SharedMemory::anonymous(4096)?;
    /// let one = MapOptions::new().read(true).map(&memory)?;
    /// let two = MapOptions::new().read(true).map(&memory)?;
    /// assert_ne!(one.as_ptr(), two.as_ptr());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTShMemMapRegion")]
    #[doc(alias = "PR_AttachSharedMemory")]
    #[doc(alias = "mmap")]
    pub fn map(&self, memory: &SharedMemory) -> Result<Mapping> {
        self.map_checked(memory).map_err(|e| memory.about("map", e))
    }

    fn map_checked(&self, memory: &SharedMemory) -> Result<Mapping> {
        self.check_rights(memory)?;
        let mappings = memory.mappings();
        let limit = memory.options().mapping_limit as usize;
        if limit != 0 && count(&mappings) >= limit {
            let text = format!("{limit} mappings are alive, the limit given at opening");
            return Err(Error::new(ErrorKind::LimitReached, text));
        }
        let len = self.len_within(memory.size()?)?;
        // The operating system maps from a page's start: from the one below.
        let page = sys::page_size();
        let first = memory.begin() + self.offset;
        let ahead = (first % page as u64) as usize;
        let start = first - ahead as u64;
        let whole = len
            .checked_add(ahead)
            .ok_or_else(|| Error::new(ErrorKind::OutOfRange, "past the address space"))?;
        let wanted =
            Protection { read: self.read, write: self.write, exec: self.exec, private: self.cow };
        let base = match self.huge.then(sys::huge_page_size).flatten() {
            Some(unit) => sys::map_aligned(memory.handle(), start, whole, wanted, unit)?,
            None => sys::map(memory.handle(), start, whole, wanted)?,
        };
        let mut mapping = Mapping::of(base, whole, wanted, Some(Arc::clone(&mappings)));
        mapping.narrow(ahead, self.offset);
        drop(mappings);
        if let Some(leash) = memory.leash() {
            mapping.leash(Arc::clone(leash), !sys::seals_of(memory.handle())?.size);
            mapping.dont_fork()?;
        }
        self.ask(&mut mapping)?;
        Ok(mapping)
    }

    /// What access to the object it takes: to read, and to write.
    pub(crate) fn access(&self) -> (bool, bool) {
        (self.read || self.exec || self.cow, self.write && !self.cow)
    }

    fn check_rights(&self, memory: &SharedMemory) -> Result<()> {
        let options = memory.options();
        let refuse = |text: &str| Err(Error::new(ErrorKind::PermissionDenied, text));
        if !(self.read || self.write || self.exec) {
            let text = "neither reading nor writing nor running is asked for";
            return Err(Error::new(ErrorKind::InvalidInput, text));
        }
        if self.exec && !options.exec {
            return refuse("it was not opened to be run, see OpenOptions::maybe_exec");
        }
        if (self.read || self.exec || self.cow) && !options.read {
            return refuse("opened for writing only");
        }
        if self.write && !self.cow && !options.write {
            return refuse("opened for reading only");
        }
        Ok(())
    }

    fn len_within(&self, size: u64) -> Result<usize> {
        let outside = |len: u64| {
            let text = format!("{len} bytes at {} of an object of {size}", self.offset);
            Error::new(ErrorKind::OutOfRange, text)
        };
        let rest =
            size.checked_sub(self.offset).ok_or_else(|| outside(self.length.unwrap_or(0)))?;
        let len = self.length.unwrap_or(rest);
        if len > rest {
            return Err(outside(len));
        }
        if len == 0 {
            return Err(Error::new(ErrorKind::InvalidInput, "a mapping of 0 bytes"));
        }
        usize::try_from(len).map_err(|_| outside(len))
    }

    /// Asks for all that is beside the bytes and the access, and notes what came of it.
    fn ask(&self, mapping: &mut Mapping) -> Result<()> {
        if self.dont_fork {
            mapping.dont_fork()?;
        }
        if let Some(node) = self.node {
            mapping.bind_node(node)?;
        }
        if self.prefault || self.huge || self.node.is_some() {
            mapping.prefault()?;
        }
        if self.huge {
            mapping.prefer_huge()?;
        }
        if let Some(node) = self.node {
            mapping.count_node(node)?;
        }
        if self.lock {
            mapping.lock_pages()?;
        }
        Ok(())
    }
}

/// What a [`Mapping`] got of what was asked for and can be had in part.
///
/// ```
/// let mapping = ringlane::SharedMemory::anonymous(4096)?.map()?;
/// assert!(!mapping.granted().locked); // nobody asked
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Granted {
    /// Whether every page was taken in. Not by kernels before Linux 5.14.
    pub prefaulted: bool,
    /// Whether the pages are kept from being paged out.
    pub locked: bool,
    /// Whether forked children are without the mapping.
    pub dont_fork: bool,
    /// Bytes that huge pages had mapped when the mapping was made, by the kernel's word.
    pub huge_page_bytes: usize,
    /// Bytes that lay on the NUMA node asked for when the mapping was made, by the kernel's word.
    pub node_bytes: usize,
}
