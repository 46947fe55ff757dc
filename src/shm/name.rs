//! Names that mean the same object to every process and, if short, on every platform.

use crate::error::{Error, ErrorKind, Result};
use std::fmt;
use std::str::FromStr;

/// The name of a shared-memory object: 1 to 253 bytes, without `/`, `\` and control characters.
///
/// One leading slash, as `shm_open(3)` wants it, is taken off: `"/ticks"` and `"ticks"` name the
/// same object, `/dev/shm/ticks` on Linux.
///
/// ```
/// use ringlane::Name;
///
/// let name = Name::new("/ticks")?;
/// assert_eq!(name.as_str(), "ticks");
/// assert!(name.is_portable());
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// The longest name that every platform takes, in bytes (macOS has the tightest limit).
    ///
    /// ```
    /// assert!(ringlane::Name::new(&"x".repeat(ringlane::Name::PORTABLE_MAX))?.is_portable());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub const PORTABLE_MAX: usize = 30;

    /// The longest name, in bytes.
    ///
    /// ```
    /// assert!(ringlane::Name::new(&"x".repeat(ringlane::Name::MAX + 1)).is_err());
    /// ```
    pub const MAX: usize = 253;

    /// Checks a name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] says what is wrong with it.
    ///
    /// ```
    /// use ringlane::Name;
    /// for bad in ["", "/", ".", "..", "a/b", "a\\b", "a\0b"] {
    ///     assert!(Name::new(bad).is_err());
    /// }
    /// ```
    pub fn new(name: &str) -> Result<Self> {
        let bare = name.strip_prefix('/').unwrap_or(name);
        let fault = if bare.is_empty() {
            "is empty".into()
        } else if bare == "." || bare == ".." {
            "means a directory".into()
        } else if let Some(bad) = bare.chars().find(|c| matches!(c, '/' | '\\') || c.is_control()) {
            format!("holds {bad:?}, which no portable name may")
        } else if bare.len() > Self::MAX {
            format!("has {} bytes, at most {} are allowed", bare.len(), Self::MAX)
        } else {
            return Ok(Name(bare.to_owned()));
        };
        Err(Error::new(ErrorKind::InvalidName, fault).on(format_args!("name {name:?}")))
    }

    /// The name, without a leading slash.
    ///
    /// ```
    /// assert_eq!(ringlane::Name::new("ticks")?.as_str(), "ticks");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether every platform takes it as it is.
    ///
    /// ```
    /// assert!(!ringlane::Name::new("a-name-of-more-than-thirty-bytes")?.is_portable());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn is_portable(&self) -> bool {
        self.0.len() <= Self::PORTABLE_MAX && self.0.is_ascii()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        Name::new(name)
    }
}
