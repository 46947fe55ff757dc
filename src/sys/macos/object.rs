//! Objects and their labels.
#![allow(unsafe_code, reason = "copies out of a mapping")]

use super::super::{Access, Identity, Seals, Stat};
use super::lock::Turn;
use super::{failed, io, page_size};
use crate::error::{Error, ErrorKind, Result};
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, Mode};
use std::fs::{File, Metadata};
use std::hash::{BuildHasher, RandomState};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Bits of a mode that concern other users.
const OTHERS: u32 = 0o077;

/// A label is the object's name, padded, and its size in digits.
const NAME_BYTES: usize = 32;
const LABEL_BYTES: usize = NAME_BYTES + 20;

/// How often, and how long apart, the lock that orders removals and resizings is tried.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(1);

/// An open object.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(super) memory: Arc<OwnedFd>,
    pub(super) label: File,
    place: Arc<Place>,
}

/// Where the label is.
#[derive(Debug)]
struct Place {
    /// Where it was made; nothing if this process did not make it.
    made: Option<PathBuf>,
    /// The object's own name, which goes with a label that got no name.
    own: String,
    named: OnceLock<PathBuf>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(made) = &self.made
            && self.named.get().is_none()
        {
            // Nobody can find them any more. What is gone already is as it should be.
            let _ = std::fs::remove_file(made);
            let _ = nix::sys::mman::shm_unlink(self.own.as_str());
        }
    }
}

/// A directory that only this user can change, for labels that are made or that have names.
fn directory(below: &str) -> Result<PathBuf> {
    let user = super::effective_user();
    let top = PathBuf::from(format!("/tmp/ringlane-{user}"));
    let whole = top.join(below);
    for path in [&top, &whole] {
        match std::fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(io("make the directory of names")(error));
            }
            _ => {}
        }
    }
    let found = std::fs::symlink_metadata(&top).map_err(io("look at the directory of names"))?;
    if !found.is_dir() || found.uid() != user || found.mode() & OTHERS != 0 {
        let text = format!("{} is not a directory of this user's alone", top.display());
        return Err(Error::new(ErrorKind::PermissionDenied, text));
    }
    Ok(whole)
}

fn path_of(name: &str) -> Result<PathBuf> {
    Ok(directory("names")?.join(name))
}

/// Digits that nobody has, or can guess.
fn unique() -> String {
    let [one, two] = [0_u64, 1].map(|n| RandomState::new().hash_one((n, std::process::id())));
    format!("{one:016x}{:08x}", two as u32)
}

fn label_options() -> std::fs::OpenOptions {
    let mut options = File::options();
    options.read(true).write(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options
}

pub(crate) fn create_unnamed(mode: u32) -> Result<Handle> {
    if mode & OTHERS != 0 {
        let text = format!("mode {mode:o}: objects here are for their maker's user only");
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    let digits = unique();
    let own = format!("/rl.{digits}");
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR;
    let rights = Mode::S_IRUSR | Mode::S_IWUSR;
    let memory =
        nix::sys::mman::shm_open(own.as_str(), flags, rights).map_err(failed("shm_open"))?;
    let made = directory("new").map(|directory| directory.join(digits));
    let place = Place { made: made.as_ref().ok().cloned(), own, named: OnceLock::new() };
    let label = label_options().create_new(true).open(made?).map_err(io("make a label"))?;
    let handle = Handle { memory: Arc::new(memory), label, place: Arc::new(place) };
    handle.write_label(0)?;
    Ok(handle)
}

/// Its label stays where it was made, for as long as this handle and what was reopened from it.
pub(crate) fn create_anonymous(_label: &str) -> Result<Handle> {
    let handle = create_unnamed(0o600)?;
    nix::sys::mman::shm_unlink(handle.place.own.as_str()).map_err(failed("shm_unlink"))?;
    Ok(handle)
}

impl Handle {
    fn write_label(&self, size: u64) -> Result<()> {
        let text = format!("{:<NAME_BYTES$}{size:020}", self.place.own);
        self.label.write_all_at(text.as_bytes(), 0).map_err(io("write the label"))
    }

    fn path(&self) -> Option<&Path> {
        self.place.named.get().or(self.place.made.as_ref()).map(PathBuf::as_path)
    }

    /// The size that the object was given, not rounded up, but no more than the kernel's.
    pub(super) fn size(&self) -> Result<u64> {
        let size = read_label(&self.label)?.1;
        let has = u64::try_from(fstat(self)?.st_size).unwrap_or(0);
        if size > has {
            let text = format!("its label says {size} bytes, it has {has}");
            return Err(Error::new(ErrorKind::Corrupt, text));
        }
        Ok(size)
    }
}

fn read_label(label: &File) -> Result<(String, u64)> {
    let corrupt = || Error::new(ErrorKind::Corrupt, "is no label of shared memory");
    let mut bytes = [0; LABEL_BYTES];
    label.read_exact_at(&mut bytes, 0).map_err(|_| corrupt())?;
    let text = str::from_utf8(&bytes).map_err(|_| corrupt())?;
    let (name, size) = text.split_at_checked(NAME_BYTES).ok_or_else(corrupt)?;
    Ok((name.trim_end().to_owned(), size.parse().map_err(|_| corrupt())?))
}

fn fstat(handle: &Handle) -> Result<FileStat> {
    nix::sys::stat::fstat(&*handle.memory).map_err(failed("fstat"))
}

pub(crate) fn resize(handle: &Handle, len: u64, reserve: bool, _may_shrink: bool) -> Result<()> {
    let label = reopen(handle, Access::Read)?.label;
    let held = || Error::new(ErrorKind::InUse, "another process is about to resize or remove it");
    let _turn = take_turn(&label)?.ok_or_else(held)?;
    if handle.size()? != 0 {
        let text = "the size of shared memory can be set once here";
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    resize_alone(handle, len, reserve)
}

pub(crate) fn empty(_: &Handle, _len: u64, _reserve: bool) -> Result<()> {
    Err(Error::new(ErrorKind::Unsupported, "shared memory cannot be emptied here"))
}

/// Sets the size of an object that has none. Pages come when they are touched: nothing reserves them.
pub(crate) fn resize_alone(handle: &Handle, len: u64, _reserve: bool) -> Result<()> {
    if len == 0 {
        return Ok(());
    }
    let size = i64::try_from(len).map_err(|_| {
        Error::new(ErrorKind::InvalidSize, format!("{len} bytes is past any limit"))
    })?;
    nix::unistd::ftruncate(&*handle.memory, size).map_err(failed("set the size"))?;
    handle.write_label(len)
}

pub(crate) fn reserve(handle: &Handle, len: u64) -> Result<()> {
    let now = handle.size()?;
    if len > now {
        let text = format!("{len} bytes to be reserved, the object has {now}");
        return Err(Error::new(ErrorKind::InvalidSize, text));
    }
    Ok(())
}

/// Once an object has its size, it keeps it.
pub(crate) fn seal_size(handle: &Handle) -> Result<()> {
    if handle.size()? == 0 {
        return Err(Error::new(ErrorKind::Unsupported, "it has no size yet"));
    }
    Ok(())
}

pub(crate) fn seal_writes(_: &Handle) -> Result<()> {
    Err(Error::new(ErrorKind::Unsupported, "it cannot be sealed"))
}

pub(crate) fn seals_of(handle: &Handle) -> Result<Seals> {
    let size = handle.size()? != 0;
    Ok(Seals { size, shrink: size, writes: false })
}

pub(crate) fn publish(handle: &Handle, name: &str) -> Result<()> {
    let (to, made) = (path_of(name)?, handle.place.made.as_ref());
    let made = made.ok_or_else(|| Error::new(ErrorKind::InvalidState, "it has a name already"))?;
    std::fs::hard_link(made, &to).map_err(io("give the name"))?;
    let named = |_| Error::new(ErrorKind::InvalidState, "it has a name already");
    handle.place.named.set(to).map_err(named)?;
    std::fs::remove_file(made).map_err(io("remove the name before"))
}

pub(crate) fn open(name: &str, access: Access) -> Result<Handle> {
    let path = path_of(name)?;
    let label = label_options().open(&path).map_err(io("open"))?;
    if !label.metadata().map_err(io("fstat"))?.is_file() {
        return Err(Error::new(ErrorKind::Corrupt, "is not a regular file"));
    }
    let own = read_label(&label)?.0;
    let flags = if access == Access::Read { OFlag::O_RDONLY } else { OFlag::O_RDWR };
    let memory = nix::sys::mman::shm_open(own.as_str(), flags, Mode::empty());
    let memory = Arc::new(memory.map_err(failed("shm_open"))?);
    let place = Arc::new(Place { made: None, own, named: OnceLock::from(path) });
    let handle = Handle { memory, label, place };
    handle.size()?;
    Ok(handle)
}

/// The label is opened anew, because a lock is an open file's.
pub(crate) fn reopen(handle: &Handle, _access: Access) -> Result<Handle> {
    let gone = || Error::new(ErrorKind::NotFound, "the name is gone, or means another object");
    let path = handle.path().ok_or_else(gone)?;
    let label = label_options().open(path).map_err(io("open the label again"))?;
    if identity_of(&label)? != identity_of(&handle.label)? {
        return Err(gone());
    }
    let (memory, place) = (Arc::clone(&handle.memory), Arc::clone(&handle.place));
    Ok(Handle { memory, label, place })
}

/// The turn of who resizes or removes an object. Nothing if somebody else has it all the while.
fn take_turn(label: &File) -> Result<Option<Turn>> {
    for _ in 0..LOCK_TRIES {
        if let Some(turn) = Turn::take(label)? {
            return Ok(Some(turn));
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    Ok(None)
}

/// Between its look at the name and its removal, nobody who takes turns finds the name moved on to another object. Without the
/// turn, which a process stopped at the wrong moment can withhold, it goes on after a while.
pub(crate) fn unlink(name: &str, handle: Option<&Handle>) -> Result<()> {
    let path = path_of(name)?;
    let wanted = handle.map(|handle| identity_of(&handle.label)).transpose()?;
    let moved = || Error::new(ErrorKind::NotFound, "the name means another object by now");
    for _ in 0..LOCK_TRIES {
        let label = label_options().open(&path).map_err(io("unlink"))?;
        let found = identity_of(&label)?;
        if wanted.is_some_and(|wanted| wanted != found) {
            return Err(moved());
        }
        let _turn = take_turn(&label)?;
        let now = std::fs::symlink_metadata(&path).map_err(io("unlink"))?;
        if identity(&now) != found {
            continue;
        }
        std::fs::remove_file(&path).map_err(io("unlink"))?;
        if let Ok((own, _)) = read_label(&label) {
            // Whoever has it open keeps it.
            let _ = nix::sys::mman::shm_unlink(own.as_str());
        }
        return Ok(());
    }
    Err(moved())
}

pub(crate) fn names() -> Result<Vec<String>> {
    let entries = std::fs::read_dir(directory("names")?).map_err(io("list the names"))?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

fn identity_of(label: &File) -> Result<Identity> {
    Ok(identity(&label.metadata().map_err(io("fstat"))?))
}

fn identity(about: &Metadata) -> Identity {
    Identity { device: about.dev(), object: about.ino() }
}

pub(crate) fn stat(handle: &Handle) -> Result<Stat> {
    let about = handle.label.metadata().map_err(io("fstat"))?;
    Ok(Stat {
        size: handle.size()?,
        identity: identity_of(&handle.label)?,
        names: about.nlink(),
        owner: about.uid(),
        mode: about.mode() & 0o7777,
    })
}

/// Shared memory cannot be read but by mapping it.
pub(crate) fn read_at(handle: &Handle, offset: u64, buffer: &mut [u8]) -> Result<usize> {
    let rest = handle.size()?.saturating_sub(offset);
    let len = buffer.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
    if len == 0 {
        return Ok(0);
    }
    let ahead = (offset % page_size() as u64) as usize;
    let start = offset - ahead as u64;
    let at = super::map(handle, start, ahead + len, Access::Read.into())?;
    // SAFETY: within the mapping, which is so long.
    let from = unsafe { at.add(ahead) };
    // SAFETY: as above, and the buffer has so many bytes of this process's own.
    unsafe { crate::plain::copy(buffer.as_mut_ptr(), from.as_ptr(), len) };
    // SAFETY: the mapping was made here, and nobody else has it.
    unsafe { super::unmap(at, ahead + len) }?;
    Ok(len)
}
