//! What a server is called, and where that is.

use crate::error::{Error, ErrorKind, Result};
use crate::sys;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The name of a server.
///
/// A portable name belongs to its user: it means a socket in a directory that only this user can change, and two
/// users' servers of one name are two. A server for other users has a [native](Self::native) name.
///
/// ```
/// use ringlane::session::ServiceName;
///
/// assert_eq!(ServiceName::new("mixer: main")?.to_string(), "mixer: main");
/// assert!(ServiceName::new("audio/mixer").is_err());
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "pszName")]
pub struct ServiceName(Form);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Form {
    Portable(String),
    Native(PathBuf),
}

/// The longest path of a socket, see `unix(7)`.
const PATH_MAX: usize = 107;

impl ServiceName {
    /// A portable name: ASCII, no control characters, no slash, no backslash, not empty.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] says what is wrong with it.
    ///
    /// ```
    /// use ringlane::session::ServiceName;
    /// for bad in ["", "a/b", "a\\b", "a\0b", "caf\u{e9}"] {
    ///     assert!(ServiceName::new(bad).is_err());
    /// }
    /// ```
    pub fn new(name: &str) -> Result<ServiceName> {
        let allowed = |c: char| c.is_ascii() && !c.is_control() && c != '/' && c != '\\';
        let fault = if name.is_empty() {
            "is empty".into()
        } else if let Some(bad) = name.chars().find(|c| !allowed(*c)) {
            format!("holds {bad:?}, which no portable name may")
        } else if name.len() > PATH_MAX {
            format!("has {} bytes, at most {PATH_MAX} are allowed", name.len())
        } else {
            return Ok(ServiceName(Form::Portable(name.to_owned())));
        };
        Err(Error::new(ErrorKind::InvalidName, fault).on(format_args!("service name {name:?}")))
    }

    /// A name in the platform's own terms: on Linux, the path of a socket, up to 107 bytes.
    ///
    /// Whoever can write to its directory can replace the socket.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] says what is wrong with it.
    ///
    /// ```
    /// use ringlane::session::ServiceName;
    /// assert_eq!(ServiceName::native("/run/mixer.sock")?.to_string(), "/run/mixer.sock");
    /// assert!(ServiceName::native("/".repeat(108)).is_err());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLOCALIPC_FLAGS_NATIVE_NAME")]
    #[doc(alias = "RTLOCALIPC_C_FLAGS_NATIVE_NAME")]
    pub fn native(path: impl AsRef<OsStr>) -> Result<ServiceName> {
        let path = Path::new(path.as_ref());
        let bytes = path.as_os_str().as_bytes();
        let fault = if bytes.is_empty() {
            "is empty".into()
        } else if bytes.contains(&0) {
            "holds a NUL, which no path may".into()
        } else if bytes.len() > PATH_MAX {
            format!("has {} bytes, at most {PATH_MAX} are allowed", bytes.len())
        } else {
            return Ok(ServiceName(Form::Native(path.to_owned())));
        };
        Err(Error::new(ErrorKind::InvalidName, fault).on(format_args!("service path {path:?}")))
    }

    /// Where a server of this name is bound.
    pub(crate) fn path_to_bind(&self) -> Result<PathBuf> {
        let name = match &self.0 {
            Form::Portable(name) => name,
            Form::Native(path) => return Ok(path.clone()),
        };
        for directory in directories() {
            // Made where this library may; a directory that somebody else made is passed over.
            if directory.ours {
                let _ = sys::make_private_directory(&directory.path);
            }
            if sys::is_private_directory(&directory.path)? {
                return within(&directory.path, name);
            }
        }
        let text = "there is no directory that is this user's alone to put it in";
        Err(Error::new(ErrorKind::PermissionDenied, text))
    }

    /// Where it may be found, in this order.
    pub(super) fn paths_to_connect(&self) -> Result<Vec<PathBuf>> {
        let name = match &self.0 {
            Form::Portable(name) => name,
            Form::Native(path) => return Ok(vec![path.clone()]),
        };
        let mut paths = Vec::new();
        for directory in directories() {
            if sys::is_private_directory(&directory.path)? {
                paths.push(within(&directory.path, name)?);
            }
        }
        Ok(paths)
    }
}

struct Directory {
    path: PathBuf,
    /// Whether this library makes it.
    ours: bool,
}

/// Where portable names live, the best place first. Others can keep a user from some of them, by making them first,
/// but cannot make them be used.
fn directories() -> Vec<Directory> {
    let user = sys::effective_user();
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
    if len > PATH_MAX {
        let text = format!("its path {path:?} has {len} bytes, at most {PATH_MAX} are allowed");
        return Err(Error::new(ErrorKind::InvalidName, text));
    }
    Ok(path)
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Portable(name) => f.write_str(name),
            Form::Native(path) => write!(f, "{}", path.display()),
        }
    }
}
