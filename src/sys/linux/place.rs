//! Where servers' names live: directories that only this user can change, and the sockets in them.

use super::{effective_user, stat};
use crate::error::{Error, ErrorKind, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The longest path of a socket, see `unix(7)`.
pub(crate) const LONGEST_PLACE: usize = 107;

/// The place that a native name means, or what is wrong with it.
pub(crate) fn check_place(path: &OsStr) -> std::result::Result<PathBuf, String> {
    let bytes = path.as_bytes();
    if bytes.is_empty() {
        Err("is empty".into())
    } else if bytes.contains(&0) {
        Err("holds a NUL, which no path may".into())
    } else if bytes.len() > LONGEST_PLACE {
        Err(format!("has {} bytes, at most {LONGEST_PLACE} are allowed", bytes.len()))
    } else {
        Ok(PathBuf::from(path))
    }
}

/// The place that these bytes mean, the same for those in other directories.
pub(crate) fn whole_place(bytes: &[u8]) -> Option<PathBuf> {
    let whole = bytes.first() == Some(&b'/') && !bytes.contains(&0);
    whole.then(|| PathBuf::from(OsStr::from_bytes(bytes)))
}

/// The same place for those in other directories.
pub(crate) fn absolute(place: &Path) -> Result<PathBuf> {
    let error =
        |e: std::io::Error| Error::os("find the path", e.raw_os_error().unwrap_or(libc::EINVAL));
    std::path::absolute(place).map_err(error)
}

/// Where a server of this name is bound.
pub(crate) fn place_of(name: &str) -> Result<PathBuf> {
    for directory in directories() {
        // Made where this library may; a directory that somebody else made is passed over.
        if directory.ours {
            let _ = make_private_directory(&directory.path);
        }
        if is_private_directory(&directory.path)? {
            return within(&directory.path, name);
        }
    }
    let text = "there is no directory that is this user's alone to put it in";
    Err(Error::new(ErrorKind::PermissionDenied, text))
}

/// Where it may be found, in this order.
pub(crate) fn places_of(name: &str) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for directory in directories() {
        if is_private_directory(&directory.path)? {
            paths.push(within(&directory.path, name)?);
        }
    }
    Ok(paths)
}

struct Directory {
    path: PathBuf,
    /// Whether this library makes it.
    ours: bool,
}

/// Where portable names live, the best place first. Others can keep a user from some of them, by making them first,
/// but cannot make them be used.
fn directories() -> Vec<Directory> {
    let user = effective_user();
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let given = given.into_iter().filter(|path| path.is_absolute());
    let given = given.chain([PathBuf::from(format!("/run/user/{user}"))]);
    let given = given.map(|path| Directory { path, ours: false });
    let own = ["/tmp", "/dev/shm"].map(|parent| {
        let path = PathBuf::from(format!("{parent}/ringlane-{user}"));
        Directory { path, ours: true }
    });
    given.chain(own).collect()
}

fn within(directory: &Path, name: &str) -> Result<PathBuf> {
    let path = directory.join(format!("ringlane-{name}"));
    let len = path.as_os_str().len();
    if len > LONGEST_PLACE {
        let text =
            format!("its path {path:?} has {len} bytes, at most {LONGEST_PLACE} are allowed");
        return Err(Error::new(ErrorKind::InvalidName, text));
    }
    Ok(path)
}

/// A directory that only this user can change: its owner, and nobody else's rights.
fn is_private_directory(path: &Path) -> Result<bool> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let found = match nix::fcntl::open(path, flags, Mode::empty()) {
        Ok(found) => stat(&found)?,
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EACCES) => return Ok(false),
        Err(errno) => return Err(Error::os("open", errno as i32)),
    };
    Ok(found.owner == effective_user() && found.mode & 0o077 == 0)
}

fn make_private_directory(path: &Path) -> Result<()> {
    match nix::unistd::mkdir(path, Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(Error::os("mkdir", errno as i32)),
    }
}
