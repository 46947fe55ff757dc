//! What a server is called, and where that is.

use crate::error::{Error, ErrorKind, Result};
use crate::sys;
use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

/// The name of a server.
///
/// A portable name belongs to its user: it means a socket in a directory that only this user can change, on Windows a
/// name in the logon session's directory that only this user is taken at, and two users' servers of one name are two. A server for other users has a [native](Self::native) name.
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

/// The longest portable name: no place has room for more on any platform.
const LONGEST: usize = 107;

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
        } else if name.len() > LONGEST {
            format!("has {} bytes, at most {LONGEST} are allowed", name.len())
        } else {
            return Ok(ServiceName(Form::Portable(name.to_owned())));
        };
        Err(Error::new(ErrorKind::InvalidName, fault).on(format_args!("service name {name:?}")))
    }

    /// A name in the platform's own terms: on Linux, the path of a socket, up to 107 bytes; on Windows, the name of a
    /// kernel object, `Local\` and up to 194 more characters.
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
        let path = path.as_ref();
        sys::check_place(path).map(|path| ServiceName(Form::Native(path))).map_err(|fault| {
            Error::new(ErrorKind::InvalidName, fault).on(format_args!("service path {path:?}"))
        })
    }

    /// Where a server of this name is bound.
    pub(crate) fn path_to_bind(&self) -> Result<PathBuf> {
        match &self.0 {
            Form::Portable(name) => sys::place_of(name),
            Form::Native(path) => Ok(path.clone()),
        }
    }

    /// Where it may be found, in this order.
    pub(super) fn paths_to_connect(&self) -> Result<Vec<PathBuf>> {
        match &self.0 {
            Form::Portable(name) => sys::places_of(name),
            Form::Native(path) => Ok(vec![path.clone()]),
        }
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Portable(name) => f.write_str(name),
            Form::Native(path) => write!(f, "{}", path.display()),
        }
    }
}
