//! What the platform can do.

use super::Name;
use crate::error::Result;
use crate::sys;

/// How often an object's size can be set.
///
/// ```
/// assert_eq!(ringlane::capabilities()?.resize, ringlane::Resize::Always);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resize {
    /// Only when it is created.
    Never,
    /// Once, when it is created or later.
    Once,
    /// At any time.
    Always,
}

/// What shared memory can do on this platform, and on this machine.
///
/// ```
/// let can = ringlane::capabilities()?;
/// assert!(can.unlink && can.offset_unit >= 4096);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// How often an object's size can be set. Linux: always; macOS: once; Windows: never.
    pub resize: Resize,
    /// Whether an object can be made without a size. Linux and macOS: yes; Windows: no.
    pub empty: bool,
    /// Whether opening can empty an object. Linux: yes; macOS and Windows: no.
    pub truncate: bool,
    /// Whether a name can be removed while the object is in use. Linux and macOS: yes; Windows: no.
    pub unlink: bool,
    /// Whether an object outlives the last process that has it open. Linux and macOS: yes, until a restart; Windows:
    /// no.
    pub persistent: bool,
    /// Whether the mode of an object keeps other users out, or lets them in. Linux and macOS: yes; Windows: it can only keep
    /// them out.
    pub mode: bool,
    /// Whether writes can be kept private. Linux and Windows: yes; macOS: no.
    pub copy_on_write: bool,
    /// Whether code can be run from named objects. Linux: unless `/dev/shm` is mounted `noexec`; macOS and Windows: no.
    pub exec: bool,
    /// Whether anonymous objects can be sealed. Linux: yes; macOS and Windows: no, but the size of a Windows object never
    /// changes.
    pub seal: bool,
    /// The unit in which the operating system maps, in bytes. Offsets need not be multiples of it.
    pub offset_unit: usize,
    /// The longest name, in bytes.
    pub longest_name: usize,
    /// The size of a huge page, in bytes; nothing where the kernel has none.
    pub huge_page: Option<usize>,
    /// Whether memory can be asked for by NUMA node.
    pub numa: bool,
}

/// What shared memory can do here.
///
/// # Errors
/// What the operating system says when it is asked.
///
/// ```
/// println!("{:#?}", ringlane::capabilities()?);
/// # Ok::<(), ringlane::Error>(())
/// ```
pub fn capabilities() -> Result<Capabilities> {
    let can = sys::ABILITIES;
    Ok(Capabilities {
        resize: match can.resizes {
            0 => Resize::Never,
            1 => Resize::Once,
            _ => Resize::Always,
        },
        empty: can.resizes > 0,
        truncate: can.truncate,
        unlink: can.unlink,
        persistent: can.persistent,
        mode: can.mode,
        copy_on_write: can.copy_on_write,
        exec: sys::can_execute()?,
        seal: can.seal,
        offset_unit: sys::page_size(),
        longest_name: Name::MAX,
        huge_page: sys::huge_page_size(),
        numa: sys::has_nodes(),
    })
}
