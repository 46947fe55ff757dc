//! A word by which memory that was given away is taken back: whoever has the memory looks at it before and after each
//! copy.
#![allow(unsafe_code, reason = "turns mapped bytes into a reference to an atomic")]

use super::Mapping;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{AtomicU32, Ordering, fence};
use crate::sys::{self, Access, Protection};

/// What the word is while the memory may be used. Zero is cut, so a hole that is punched cuts it, too.
const HELD: u32 = 1;

/// One word in a page of its own, written by who gave the memory and read by who got it.
#[derive(Debug)]
pub(crate) struct Leash(Mapping);

impl Leash {
    /// A new one, and the handle that goes with the memory. Nobody but this mapping can write to it.
    #[cfg(any(target_os = "linux", windows))]
    pub(crate) fn new() -> Result<(Leash, sys::Handle)> {
        let handle = sys::create_anonymous("ringlane leash")?;
        sys::resize_alone(&handle, sys::page_size() as u64, true)?;
        let leash = Leash::map(&handle, Access::ReadWrite)?;
        leash.0.write_at(0, &HELD.to_ne_bytes())?;
        sys::seal_all(&handle)?;
        Ok((leash, handle))
    }

    /// The one that came with memory. Its page has to be one that stays.
    #[cfg(any(target_os = "linux", windows))]
    pub(crate) fn of(handle: &sys::Handle) -> Result<Leash> {
        sys::adopt(handle)?;
        if !sys::seals_of(handle)?.size || sys::stat(handle)?.size < size_of::<u32>() as u64 {
            return Err(Error::new(ErrorKind::Corrupt, "a leash that could vanish"));
        }
        Leash::map(handle, Access::Read)
    }

    fn map(handle: &sys::Handle, access: Access) -> Result<Leash> {
        let (len, access) = (sys::page_size(), Protection::from(access));
        let mut mapping = Mapping::of(sys::map(handle, 0, len, access)?, len, access, None);
        mapping.dont_fork()?;
        Ok(Leash(mapping))
    }

    fn word(&self) -> &AtomicU32 {
        // SAFETY: the mapping has a page, begins at one, and lives as long as `self`; every word of bytes is a value
        // of the atomic.
        unsafe { self.0.as_ptr().cast::<AtomicU32>().as_ref() }
    }

    /// Takes the memory back: whoever copies from it now, or later, is told so.
    pub(crate) fn cut(&self) {
        cut(self.word());
    }

    pub(crate) fn is_cut(&self) -> bool {
        is_cut(self.word())
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.is_cut() { Err(Error::revoked()) } else { Ok(()) }
    }

    /// Does something with the memory, if it was not taken back before nor meanwhile.
    pub(crate) fn hold(&self, work: impl FnOnce()) -> Result<()> {
        if hold(self.word(), work) { Ok(()) } else { Err(Error::revoked()) }
    }
}

/// Before the memory itself is emptied: who sees any of that sees the leash cut.
pub(crate) fn cut(word: &AtomicU32) {
    // Relaxed: the fence orders it.
    word.store(0, Ordering::Relaxed);
    // ORDERING(leash): Release. Pairs with ORDERING(leash) in hold.
    fence(Ordering::Release);
}

fn is_cut(word: &AtomicU32) -> bool {
    // Relaxed: the word stands for nothing but itself; `hold` looks again.
    word.load(Ordering::Relaxed) != HELD
}

/// Whether what `work` read was there before the leash was cut.
pub(crate) fn hold(word: &AtomicU32, work: impl FnOnce()) -> bool {
    if is_cut(word) {
        return false;
    }
    work();
    // ORDERING(leash): Acquire. Pairs with ORDERING(leash) in cut.
    fence(Ordering::Acquire);
    !is_cut(word)
}
