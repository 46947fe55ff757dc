//! Addresses for bytes of an object, until dropped.
#![allow(unsafe_code, reason = "owns mapped addresses")]

use super::{Granted, Leash, SharedMemory};
use crate::error::{Error, ErrorKind, Result};
use crate::plain;
use crate::sys::{self, Access, Protection};
use std::ptr::NonNull;
use std::sync::Arc;

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
/// It outlives the handle it was made through. Other processes may change the bytes at any time, so safe
/// calls copy. A pointer is there for code that has an agreement with its peers.
///
/// ```
/// let mapping = ringlane::SharedMemory::anonymous(4096)?.map()?;
/// mapping.write_at(4000, &[7; 96])?;
/// assert!(mapping.write_at(4001, &[7; 96]).is_err());
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
pub struct Mapping {
    /// The first byte asked for, which may lie within the first page.
    at: NonNull<u8>,
    len: usize,
    /// Where it begins in the object.
    offset: u64,
    /// What is to be unmapped.
    base: NonNull<u8>,
    whole: usize,
    protection: Protection,
    granted: Granted,
    /// The process that mapped it: a forked child may have something else at this address.
    owner: u64,
    /// Counts as one while it is held.
    _counted: Option<Arc<()>>,
    /// What it can be taken back by.
    leash: Option<Arc<Leash>>,
    /// Whether pages of it can vanish by that.
    loose: bool,
}

// SAFETY: a mapping is an address range of the process, the same for all of its threads.
unsafe impl Send for Mapping {}
// SAFETY: all access is by copies that tolerate concurrent change, or through raw pointers.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Owns `len` bytes that were mapped at `base`.
    pub(super) fn of(
        base: NonNull<u8>,
        len: usize,
        protection: Protection,
        counted: Option<Arc<()>>,
    ) -> Mapping {
        Mapping {
            at: base,
            len,
            offset: 0,
            base,
            whole: len,
            protection,
            granted: Granted::default(),
            owner: sys::process_token(),
            _counted: counted,
            leash: None,
            loose: false,
        }
    }

    pub(super) fn leash(&mut self, leash: Arc<Leash>, loose: bool) {
        (self.leash, self.loose) = (Some(leash), loose);
    }

    /// Leaves out the first `ahead` bytes, which nobody asked for.
    pub(super) fn narrow(&mut self, ahead: usize, offset: u64) {
        assert!(ahead < self.whole, "at least one byte was asked for");
        // SAFETY: within the mapping, just checked.
        self.at = unsafe { self.base.add(ahead) };
        self.len = self.whole - ahead;
        self.offset = offset;
    }

    pub(super) fn dont_fork(&mut self) -> Result<()> {
        // SAFETY: the range is this mapping.
        unsafe { sys::dont_fork(self.base, self.whole) }?;
        self.granted.dont_fork = true;
        Ok(())
    }

    pub(super) fn prefault(&mut self) -> Result<()> {
        // A private copy of each page is not what anybody wants of prefaulting.
        let write = self.protection.write && !self.protection.private;
        // SAFETY: the range is this mapping, which can be written to if `write` says so.
        self.granted.prefaulted = unsafe { sys::prefault(self.base, self.whole, write) }?;
        Ok(())
    }

    pub(super) fn prefer_huge(&mut self) -> Result<()> {
        // SAFETY: the range is this mapping.
        unsafe { sys::prefer_huge(self.base, self.whole) };
        self.granted.huge_page_bytes = sys::huge_bytes(self.base, self.whole)?;
        Ok(())
    }

    pub(super) fn bind_node(&mut self, node: u32) -> Result<()> {
        // SAFETY: the range is this mapping, which begins at a page.
        unsafe { sys::bind_node(self.base, self.whole, node) }
    }

    pub(super) fn count_node(&mut self, node: u32) -> Result<()> {
        self.granted.node_bytes = sys::node_bytes(self.base, self.whole, node)?;
        Ok(())
    }

    pub(super) fn lock_pages(&mut self) -> Result<()> {
        // SAFETY: the range is this mapping.
        unsafe { sys::lock_pages(self.base, self.whole) }?;
        self.granted.locked = true;
        Ok(())
    }

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

    /// Where in the object the mapping begins, in bytes.
    ///
    /// ```
    /// use ringlane::{MapOptions, SharedMemory};
    /// let memory = SharedMemory::anonymous(4096)?;
    /// assert_eq!(MapOptions::new().read(true).offset(100).map(&memory)?.offset(), 100);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What was got of what [`MapOptions`](crate::MapOptions) asked for beside bytes and access.
    ///
    /// ```
    /// use ringlane::{MapOptions, SharedMemory};
    /// let memory = SharedMemory::anonymous(1 << 16)?;
    /// let mapping = MapOptions::new().read(true).dont_fork(true).map(&memory)?;
    /// assert!(mapping.granted().dont_fork);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn granted(&self) -> Granted {
        self.granted
    }

    /// The first byte, aligned as its [`offset`](Self::offset) in the object is, to a page at most. Valid
    /// for [`len`](Self::len) bytes while the mapping lives, and for no access that was not asked for; other
    /// processes may write to it at any time.
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
        Err(Error::new(ErrorKind::OutOfRange, text))
    }

    /// Copies bytes out, from `offset` bytes behind the mapping's start on.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] if they are not all within the mapping, [`ErrorKind::PermissionDenied`] if
    /// it was not mapped for reading, [`ErrorKind::Revoked`] if the memory was taken back: what is in the buffer then
    /// means nothing. [`ErrorKind::Corrupt`] if somebody else shortened memory that can be taken back.
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
        if !self.protection.read {
            return Err(Error::new(ErrorKind::PermissionDenied, "not mapped for reading"));
        }
        // SAFETY: the range was checked, so the start is within the mapping.
        let from = unsafe { self.at.add(offset) };
        // SAFETY: as above, it is readable, and a private slice cannot overlap the mapping.
        unsafe { self.copy(to.as_mut_ptr(), from.as_ptr(), to.len()) }
    }

    /// Copies, unless the memory was taken back.
    ///
    /// # Safety
    /// One of the two is within the mapping, which allows the access; the other is private memory.
    #[inline(always)]
    unsafe fn copy(&self, to: *mut u8, from: *const u8, len: usize) -> Result<()> {
        match &self.leash {
            None => {
                // SAFETY: as the caller says.
                unsafe { plain::copy(to, from, len) };
                Ok(())
            }
            // SAFETY: as the caller says.
            Some(leash) => unsafe { self.copy_on(leash, to, from, len) },
        }
    }

    /// # Safety
    /// As `copy`.
    #[cold]
    unsafe fn copy_on(
        &self,
        leash: &Leash,
        to: *mut u8,
        from: *const u8,
        len: usize,
    ) -> Result<()> {
        let mut there = true;
        leash.hold(|| {
            // SAFETY: as the caller says, and copying does not mind a change.
            let copied = || unsafe { sys::copy_if_there(to, from, len) };
            match self.loose.then(copied).flatten() {
                Some(copied) => there = copied,
                // SAFETY: as the caller says.
                None => unsafe { plain::copy(to, from, len) },
            }
        })?;
        if !there {
            let text = "a page of it is gone: somebody shortened what is not sealed";
            return Err(Error::new(ErrorKind::Corrupt, text));
        }
        Ok(())
    }

    /// Whether who gave the memory has taken it back, see [`Broker::revoke`](crate::handle::Broker::revoke). Never for
    /// memory that came in another way.
    ///
    /// ```
    /// assert!(!ringlane::SharedMemory::anonymous(4096)?.map()?.is_revoked());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn is_revoked(&self) -> bool {
        self.leash.as_ref().is_some_and(|leash| leash.is_cut())
    }

    /// Copies bytes in, from `offset` bytes behind the mapping's start on.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] if they do not all fit, [`ErrorKind::PermissionDenied`] if it was not mapped
    /// for writing, [`ErrorKind::Revoked`] and [`ErrorKind::Corrupt`] as for [`read_at`](Self::read_at).
    ///
    /// ```
    /// let mapping = ringlane::SharedMemory::anonymous(4096)?.map()?;
    /// mapping.write_at(0, b"frame")?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn write_at(&self, offset: usize, from: &[u8]) -> Result<()> {
        self.check(offset, from.len())?;
        if !self.protection.write {
            return Err(Error::new(ErrorKind::PermissionDenied, "not mapped for writing"));
        }
        // SAFETY: the range was checked, so the start is within the mapping.
        let to = unsafe { self.at.add(offset) };
        // SAFETY: as above, it is writable, and a private slice cannot overlap the mapping.
        unsafe { self.copy(to.as_ptr(), from.as_ptr(), from.len()) }
    }

    /// Unmaps, as dropping does, and says if that failed.
    ///
    /// # Errors
    /// What the operating system says.
    ///
    /// ```
    /// let memory = ringlane::SharedMemory::anonymous(4096)?;
    /// memory.map()?.unmap()?;
    /// assert_eq!(memory.mapping_count(), 0);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTShMemUnmapRegion")]
    #[doc(alias = "PR_DetachSharedMemory")]
    #[doc(alias = "munmap")]
    pub fn unmap(mut self) -> Result<()> {
        self.release().map_err(|e| e.on("unmap shared memory"))
    }

    fn release(&mut self) -> Result<()> {
        let whole = std::mem::take(&mut self.whole);
        // A child that was forked without the mapping may have something else at its addresses.
        let absent = self.granted.dont_fork && self.owner != sys::process_token();
        if whole == 0 || absent {
            return Ok(());
        }
        // SAFETY: the range is ours, once, and whoever borrowed from this mapping is gone.
        unsafe { sys::unmap(self.base, whole) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // Nobody is there to be told; `unmap` tells.
        let _ = self.release();
    }
}

#[cfg(any(target_os = "linux", windows))]
impl Mapping {
    /// An object of a session: one page of parts, and data that is mapped twice.
    pub(crate) fn of_pair(
        handle: &sys::Handle,
        control: usize,
        data: usize,
        access: Access,
    ) -> Result<Mapping> {
        let at = sys::map_twice(handle, control, data, sys::page_size(), access)?;
        let mut mapping = Mapping::of(at, control + 2 * data, Protection::from(access), None);
        mapping.dont_fork()?;
        Ok(mapping)
    }
}

#[cfg(target_os = "linux")]
impl Mapping {
    /// Zeroes, to be replaced.
    pub(crate) fn of_zeroes(len: usize) -> Result<Mapping> {
        let at = sys::hold_zeroes(len)?;
        let mut mapping = Mapping::of(at, len, Protection::from(Access::Read), None);
        mapping.dont_fork()?;
        Ok(mapping)
    }

    /// Maps an object in place of the zeroes, for reading. Whoever reads meanwhile sees the one or the other.
    pub(crate) fn replace_by_pair(
        &self,
        handle: &sys::Handle,
        control: usize,
        data: usize,
    ) -> Result<()> {
        assert!(self.whole == control + 2 * data, "the zeroes were made for it");
        // SAFETY: the range is this mapping, of which nobody expects the bytes to stay.
        unsafe { sys::map_twice_at(self.base, handle, control, data, Access::Read) }?;
        // SAFETY: the range is this mapping.
        unsafe { sys::dont_fork(self.base, self.whole) }
    }
}

impl SharedMemory {
    pub(crate) fn check_ring_access(&self) -> Result<()> {
        if self.options().read && self.options().write {
            return Ok(());
        }
        let text = "a ring takes memory that was opened for reading and writing";
        Err(Error::new(ErrorKind::PermissionDenied, text))
    }

    /// Maps a ring's segment: prefaulted, left out of forked children, its data twice if asked.
    pub(crate) fn map_ring(
        &self,
        control: usize,
        data: usize,
        wrap: Wrap,
        huge: bool,
    ) -> Result<Mapping> {
        self.check_ring_access()?;
        let access = Protection::from(Access::ReadWrite);
        let unit = huge.then(sys::huge_page_size).flatten();
        let (at, len) = match wrap {
            Wrap::Never => {
                let len = control + data;
                let at = match unit {
                    Some(unit) => sys::map_aligned(self.handle(), 0, len, access, unit)?,
                    None => sys::map(self.handle(), 0, len, access)?,
                };
                (at, len)
            }
            Wrap::Mirror => {
                let unit = unit.unwrap_or_else(sys::page_size);
                (
                    sys::map_twice(self.handle(), control, data, unit, Access::ReadWrite)?,
                    control + data + data,
                )
            }
        };
        let mut mapping = Mapping::of(at, len, access, None);
        mapping.dont_fork()?;
        // A kernel that cannot, or has no page to spare now, leaves the pages to the first touch.
        let _ = mapping.prefault();
        if huge {
            mapping.prefer_huge()?;
        }
        Ok(mapping)
    }
}
