//! Objects: a section, and if it has a name, the label that leads there.
#![allow(unsafe_code, reason = "system calls")]

use super::super::{Access, Identity, Seals, Stat};
use super::bell::Bells;
use super::wake::Seats;
use super::{last, last_code, mapping, owned, security, wide};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use std::fmt;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use windows_sys::Win32::Foundation::{
    ERROR_ALREADY_EXISTS, ERROR_INVALID_HANDLE, HANDLE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Security::SECURITY_ATTRIBUTES;
use windows_sys::Win32::Storage::FileSystem::READ_CONTROL;
use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, FILE_MAP_READ, FILE_MAP_WRITE, OpenFileMappingW, PAGE_READWRITE,
    SECTION_QUERY,
};

/// What the name of a label begins with.
pub(super) const LABEL: &str = "ringlane.";

/// How often, and how long apart, a label that says nothing yet is read.
const LABEL_TRIES: u32 = 100;
const LABEL_PAUSE: Duration = Duration::from_millis(1);

/// Bits of a mode that concern other users.
const OTHERS: u32 = 0o077;

/// An open object.
#[derive(Debug)]
pub(crate) struct Handle {
    object: Arc<Object>,
    access: Access,
}

impl Handle {
    pub(super) fn of(object: Object, access: Access) -> Handle {
        Handle { object: Arc::new(object), access }
    }

    pub(crate) fn try_clone(&self) -> std::io::Result<Handle> {
        Ok(Handle { object: Arc::clone(&self.object), access: self.access })
    }

    pub(super) fn object(&self) -> &Arc<Object> {
        &self.object
    }

    pub(super) fn access(&self) -> Access {
        self.access
    }

    /// The section and its size.
    pub(super) fn section(&self) -> Result<(HANDLE, u64)> {
        let section = self.object.section.get();
        let section = section.ok_or_else(|| Error::new(ErrorKind::InvalidSize, "has no size"))?;
        Ok((section.handle.as_raw_handle().cast(), section.size))
    }
}

/// The number that an object's section, locks and events are found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(pub(super) [u64; 2]);

impl Id {
    /// One that nobody has, or can guess.
    pub(super) fn new() -> Result<Id> {
        let mut bytes = [0; 16];
        super::random(&mut bytes)?;
        Ok(Id::of(bytes))
    }

    pub(super) fn of(bytes: [u8; 16]) -> Id {
        let number = u128::from_le_bytes(bytes);
        Id([number as u64, (number >> 64) as u64])
    }

    pub(super) fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.0[1]) << 64 | u128::from(self.0[0])).to_le_bytes()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.0[0], self.0[1])
    }
}

#[derive(Debug)]
pub(super) struct Object {
    id: Id,
    /// Goes first: who finds the label finds the section, as far as one can say.
    label: OnceLock<Label>,
    section: OnceLock<Section>,
    /// What threads sleep on.
    pub(super) seats: Seats,
    /// What wakes the other process, if the object is for one other.
    bells: Option<Bells>,
    /// It is had by handles that the first one is copied to, with no more rights than those copies were made with.
    guarded: bool,
}

impl Object {
    fn new(id: Id) -> Object {
        let (label, section) = (OnceLock::new(), OnceLock::new());
        Object { id, label, section, seats: Seats::new(), bells: None, guarded: false }
    }

    /// One that was given to this process.
    pub(super) fn given(id: Id, handle: OwnedHandle, size: u64) -> Object {
        let object = Object::new(id);
        let _ = object.section.set(Section { handle, size });
        object.seats.share();
        object
    }

    /// One that this process and one other have.
    fn paired(id: Id, section: Section) -> Object {
        let object = Object { bells: Some(Bells::default()), ..Object::new(id) };
        let _ = object.section.set(section);
        object
    }

    pub(super) fn id(&self) -> Id {
        self.id
    }

    pub(super) fn bells(&self) -> Option<&Bells> {
        self.bells.as_ref()
    }
}

#[derive(Debug)]
struct Section {
    handle: OwnedHandle,
    /// As asked for; the system's own number is rounded up.
    size: u64,
}

/// A name's section, mapped.
#[derive(Debug)]
pub(super) struct Label {
    handle: OwnedHandle,
    view: NonNull<u8>,
}

/// What is in it.
#[repr(C)]
struct Page {
    /// 1 when the rest is there.
    whole: AtomicU32,
    id: [AtomicU64; 2],
    size: AtomicU64,
}

// SAFETY: a view is an address range of the process, the same for all of its threads; it consists of atomics.
unsafe impl Send for Label {}
// SAFETY: as above.
unsafe impl Sync for Label {}

impl Label {
    fn of(handle: OwnedHandle) -> Result<Label> {
        let access = FILE_MAP_READ | FILE_MAP_WRITE;
        let view =
            mapping::view(handle.as_raw_handle().cast(), access, 0, size_of::<Page>(), None)?;
        Ok(Label { handle, view })
    }

    /// A name for what has this number, unless there is one of that name.
    pub(super) fn new(name: &[u16], id: Id, size: u64) -> Result<Label> {
        let label =
            Label::of(new_section(name, size_of::<Page>() as u64, &security::own_only()?)?)?;
        let page = label.page();
        for (to, from) in page.id.iter().zip(id.0) {
            to.store(from, Ordering::Relaxed);
        }
        page.size.store(size, Ordering::Relaxed);
        // Release, which pairs with the Acquire in `read`: who sees it sees the rest.
        page.whole.store(1, Ordering::Release);
        Ok(label)
    }

    pub(super) fn open(name: &[u16]) -> Result<Label> {
        Label::of(open_section(name, FILE_MAP_READ | FILE_MAP_WRITE | READ_CONTROL)?)
    }

    /// Waits a moment for whoever is about to write it. If that one died, the label goes with us.
    pub(super) fn read(&self) -> Result<(Id, u64)> {
        let page = self.page();
        for _ in 0..LABEL_TRIES {
            // Acquire, which pairs with the Release in `new`.
            if page.whole.load(Ordering::Acquire) == 1 {
                let id = [0, 1].map(|n: usize| page.id[n].load(Ordering::Relaxed));
                return Ok((Id(id), page.size.load(Ordering::Relaxed)));
            }
            std::thread::sleep(LABEL_PAUSE);
        }
        Err(Error::new(ErrorKind::NotFound, "the name is there, and no object yet"))
    }

    /// Whose it is, see [`security::owner_of`].
    pub(super) fn owner(&self) -> Result<u32> {
        security::owner_of(&self.handle)
    }

    fn page(&self) -> &Page {
        let page = self.view.cast::<Page>();
        // SAFETY: the view is a page long at least, aligned to one, and mapped until `self` goes; any bytes are
        // atomics.
        unsafe { page.as_ref() }
    }
}

impl Drop for Label {
    fn drop(&mut self) {
        // SAFETY: the view is this one's, and nobody has a reference into it any more.
        unsafe { mapping::unview(self.view.addr().get()) };
    }
}

fn label_name(name: &str) -> Vec<u16> {
    wide(&format!("Local\\{LABEL}{name}"))
}

pub(super) fn section_name(id: Id) -> Vec<u16> {
    wide(&format!("Local\\ringlane-{id}"))
}

/// A section of pages that are taken at once, new. An error if there is one of the name.
pub(super) fn new_section(
    name: &[u16],
    size: u64,
    rights: &SECURITY_ATTRIBUTES,
) -> Result<OwnedHandle> {
    // SAFETY: the name ends with a zero, and the descriptor stays for good.
    let made = unsafe {
        CreateFileMappingW(
            INVALID_HANDLE_VALUE,
            rights,
            PAGE_READWRITE,
            (size >> 32) as u32,
            size as u32,
            name.as_ptr(),
        )
    };
    let (code, failed) = (last_code(), last("create a section"));
    let made = owned(made);
    // The name can be another kind of object's.
    let taken = matches!(code, ERROR_ALREADY_EXISTS | ERROR_INVALID_HANDLE);
    match made {
        Some(_) | None if taken => Err(Error::new(ErrorKind::AlreadyExists, "the name is in use")),
        Some(made) => Ok(made),
        None => Err(failed),
    }
}

pub(super) fn open_section(name: &[u16], access: u32) -> Result<OwnedHandle> {
    // SAFETY: the name ends with a zero.
    let opened = owned(unsafe { OpenFileMappingW(access, 0, name.as_ptr()) });
    opened.ok_or_else(|| match last_code() {
        ERROR_INVALID_HANDLE => Error::new(ErrorKind::Corrupt, "is no shared memory"),
        _ => last("open"),
    })
}

pub(crate) fn create_unnamed(mode: u32) -> Result<Handle> {
    if mode & OTHERS != 0 {
        let text = format!("mode {mode:o}: objects here are for their maker's user only");
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    Ok(Handle { object: Arc::new(Object::new(Id::new()?)), access: Access::ReadWrite })
}

pub(crate) fn create_anonymous(_label: &str) -> Result<Handle> {
    let object = Object { guarded: true, ..Object::new(Id::new()?) };
    Ok(Handle { object: Arc::new(object), access: Access::ReadWrite })
}

fn fixed() -> Error {
    Error::new(ErrorKind::Unsupported, "the size of a section stays what it was made with")
}

pub(crate) fn resize(_: &Handle, _len: u64, _reserve: bool, _may_shrink: bool) -> Result<()> {
    Err(fixed())
}

pub(crate) fn empty(_: &Handle, _len: u64, _reserve: bool) -> Result<()> {
    Err(fixed())
}

/// Gives a new object its size. The memory is always reserved.
pub(crate) fn resize_alone(handle: &Handle, len: u64, _reserve: bool) -> Result<()> {
    if len == 0 {
        return Err(Error::new(ErrorKind::Unsupported, "a section of 0 bytes"));
    }
    let object = &handle.object;
    // Who makes it keeps all rights, by its handle.
    let rights = if object.guarded { security::query_only()? } else { security::own_only()? };
    let made = new_section(&section_name(object.id), len, &rights)?;
    object.section.set(Section { handle: made, size: len }).map_err(|_| fixed())
}

pub(crate) fn reserve(handle: &Handle, len: u64) -> Result<()> {
    let (_, now) = handle.section()?;
    if len > now {
        let text = format!("{len} bytes to be reserved, the object has {now}");
        return Err(Error::new(ErrorKind::InvalidSize, text));
    }
    Ok(())
}

/// A section has had a size that stays from its beginning.
pub(crate) fn seal_size(_: &Handle) -> Result<()> {
    Ok(())
}

pub(crate) fn seal_writes(_: &Handle) -> Result<()> {
    Err(Error::new(ErrorKind::Unsupported, "it cannot be sealed"))
}

/// There are no seals that somebody could add.
pub(crate) fn seal_seals(_: &Handle) -> Result<()> {
    Ok(())
}

/// As anonymous objects are from their beginning.
pub(crate) fn seal_all(_: &Handle) -> Result<()> {
    Ok(())
}

/// No other user can open it.
pub(crate) fn keep_to_owner(_: &Handle) -> Result<()> {
    Ok(())
}

/// Whether the kernel keeps who was given it to read from writing.
pub(crate) fn keeps_readers(handle: &Handle) -> Result<bool> {
    Ok(handle.object.guarded)
}

/// What it was checked to be when it came.
pub(crate) fn adopt(handle: &Handle) -> Result<Access> {
    Ok(handle.access)
}

/// The pages stay, and are zeroes.
pub(crate) fn empty_range(handle: &Handle, from: u64, len: u64) -> Result<()> {
    const STEP: u64 = 1 << 16;
    static ZEROES: [u8; STEP as usize] = [0; STEP as usize];
    let (section, size) = handle.section()?;
    let (mut at, end) = (from, from.saturating_add(len).min(size));
    while at < end {
        let step = STEP.min(end - at) as usize;
        let view = mapping::view(section, FILE_MAP_READ | FILE_MAP_WRITE, at, step, None)?;
        // SAFETY: the view has so many bytes, of memory that others may read and write meanwhile.
        unsafe { crate::plain::copy(view.as_ptr(), ZEROES.as_ptr(), step) };
        // SAFETY: the view was made here, and nobody else has it.
        unsafe { mapping::unview(view.addr().get()) };
        at += step as u64;
    }
    Ok(())
}

pub(crate) fn seals_of(_: &Handle) -> Result<Seals> {
    Ok(Seals { size: true, shrink: true, writes: false })
}

pub(crate) fn publish(handle: &Handle, name: &str) -> Result<()> {
    let (_, size) = handle.section()?;
    let label = Label::new(&label_name(name), handle.object.id, size)?;
    let named = |_| Error::new(ErrorKind::InvalidState, "it has a name already");
    handle.object.label.set(label).map_err(named)?;
    handle.object.seats.share();
    Ok(())
}

pub(crate) fn open(name: &str, access: Access) -> Result<Handle> {
    let label = Label::open(&label_name(name))?;
    let (id, size) = label.read()?;
    let section = open_section(&section_name(id), rights_of(access))?;
    let has = mapping::size_of_section(section.as_raw_handle().cast())?;
    if size == 0 || size > has {
        let text = format!("its label says {size} bytes, it has {has}");
        return Err(Error::new(ErrorKind::Corrupt, text));
    }
    let object = Object::new(id);
    let _ = object.section.set(Section { handle: section, size });
    let _ = object.label.set(label);
    object.seats.share();
    Ok(Handle { object: Arc::new(object), access })
}

pub(super) fn rights_of(access: Access) -> u32 {
    match access {
        Access::Read => FILE_MAP_READ,
        Access::ReadWrite => FILE_MAP_READ | FILE_MAP_WRITE,
    }
}

/// A whole object for this process and one other, which may open it for that.
pub(crate) fn create_for_peer(size: u64, theirs: Access) -> Result<Handle> {
    let (id, rights) = match theirs {
        Access::Read => (Id::new()?, security::read_only()?),
        Access::ReadWrite => (Id::new()?, security::own_only()?),
    };
    let handle = new_section(&section_name(id), size, &rights)?;
    let object = Object::paired(id, Section { handle, size });
    Ok(Handle { object: Arc::new(object), access: Access::ReadWrite })
}

/// Such an object, by the number that the other process said, which may be any: plain memory, all of it there.
pub(super) fn open_of_peer(id: Id, access: Access) -> Result<Handle> {
    let handle = open_section(&section_name(id), rights_of(access) | SECTION_QUERY)?;
    let size = mapping::size_of_plain(handle.as_raw_handle().cast())?;
    Ok(Handle { object: Arc::new(Object::paired(id, Section { handle, size })), access })
}

/// The same object: locks and mappings are independent of each other here, whatever they were made with.
pub(crate) fn reopen(handle: &Handle, access: Access) -> Result<Handle> {
    Ok(Handle { object: Arc::clone(&handle.object), access })
}

pub(crate) fn unlink(_name: &str, _handle: Option<&Handle>) -> Result<()> {
    let text = "a name goes with the last handle, and cannot be removed before";
    Err(Error::new(ErrorKind::Unsupported, text))
}

pub(crate) fn stat(handle: &Handle) -> Result<Stat> {
    let (_, size) = handle.section()?;
    let label = handle.object.label.get();
    let owner = label.map_or(Ok(security::own_number()), Label::owner)?;
    Ok(Stat {
        size,
        identity: Identity { device: handle.object.id.0[0], object: handle.object.id.0[1] },
        names: u64::from(label.is_some()),
        owner,
        mode: 0o600,
    })
}

pub(crate) fn effective_user() -> u32 {
    security::own_number()
}

pub(crate) fn read_at(handle: &Handle, offset: u64, buffer: &mut [u8]) -> Result<usize> {
    let (section, size) = handle.section()?;
    let len = buffer.len().min(usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX));
    if len == 0 {
        return Ok(0);
    }
    let ahead = (offset % super::page_size() as u64) as usize;
    let start = offset - ahead as u64;
    let view = mapping::view(section, FILE_MAP_READ, start, ahead + len, None)?;
    // SAFETY: within the view, which is so long.
    let from = unsafe { view.add(ahead) };
    // SAFETY: as above, and the buffer has so many bytes of this process's own.
    unsafe { crate::plain::copy(buffer.as_mut_ptr(), from.as_ptr(), len) };
    // SAFETY: the view was made here, and nobody else has it.
    unsafe { mapping::unview(view.addr().get()) };
    Ok(len)
}
