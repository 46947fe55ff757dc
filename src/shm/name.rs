//! Names that mean the same object to every process and, if short, on every platform.

// Mangled names are stored in other programs' configuration and met by later versions, so the hash in them
// is spelled out here; `std`'s may change with any compiler.

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

    /// A name in the platform's own terms. On Linux: what `shm_open(3)` takes, 1 to 255 bytes with any
    /// character but `/` and NUL, after at most one leading slash.
    ///
    /// For objects that other programs made under names that [`new`](Self::new) refuses.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] says what is wrong with it.
    ///
    /// ```
    /// use ringlane::Name;
    /// assert_eq!(Name::native("/back\\slash")?.as_str(), "back\\slash");
    /// assert!(Name::new("/back\\slash").is_err());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn native(name: &str) -> Result<Self> {
        let bare = name.strip_prefix('/').unwrap_or(name);
        let fault = if bare.is_empty() {
            "is empty".into()
        } else if bare == "." || bare == ".." {
            "means a directory".into()
        } else if let Some(bad) = bare.chars().find(|c| matches!(c, '/' | '\0')) {
            format!("holds {bad:?}, which the name of no file may")
        } else if bare.len() > NATIVE_MAX {
            format!("has {} bytes, at most {NATIVE_MAX} are allowed", bare.len())
        } else {
            return Ok(Name(bare.to_owned()));
        };
        Err(Error::new(ErrorKind::InvalidName, fault).on(format_args!("native name {name:?}")))
    }

    /// A portable name for a path, as programs use them that name their memory by a file: the end of the
    /// path, with `_` for what no name may hold, and a hash of all of it, so that two paths do not meet.
    ///
    /// The same path gives the same name in every process and version. Nothing is looked up, so two
    /// spellings of one path are two names.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] if the path is empty or holds a NUL.
    ///
    /// ```
    /// use ringlane::Name;
    /// let name = Name::mangled("/tmp/xxxNSPRshm")?;
    /// assert_eq!(name.as_str(), "mp_xxxNSPRshm-bd62f6ad8a0a9721");
    /// assert!(name.is_portable());
    /// assert_ne!(name, Name::mangled("/tmp_xxxNSPRshm")?);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "PR_MakeIPCName")]
    pub fn mangled(path: &str) -> Result<Self> {
        let fault = if path.is_empty() {
            "is empty"
        } else if path.contains('\0') {
            "holds a NUL, which no path may"
        } else {
            return Ok(Name(mangle(path)));
        };
        Err(Error::new(ErrorKind::InvalidName, fault).on(format_args!("path {path:?}")))
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
        self.0.len() <= Self::PORTABLE_MAX && self.0.is_ascii() && Name::new(&self.0).is_ok()
    }
}

/// The longest name of a file on Linux, in bytes.
const NATIVE_MAX: usize = 255;

/// As much of the end of a path as leaves room for a hyphen and sixteen digits.
fn mangle(path: &str) -> String {
    let kept = Name::PORTABLE_MAX - 17;
    let plain = |c: char| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '_' };
    let bare: Vec<char> = path.trim_start_matches('/').chars().map(plain).collect();
    let end: String = bare[bare.len().saturating_sub(kept)..].iter().collect();
    format!("{end}-{:016x}", fnv1a(path.as_bytes()))
}

/// The 64-bit FNV-1a hash. Whoever means to can find two paths that meet; the names of others can be
/// taken more simply.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The published test values of FNV-1a: mangled names must not change with a version.
    #[test]
    fn the_hash_is_the_one_that_everybody_has() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn every_mangled_name_is_portable() {
        let long = "x".repeat(5000);
        for path in ["/", "a", "//a//b", "a\\b", "C:\\tmp\\x", "\u{e9}t\u{e9}\n", ".", "..", &long]
        {
            let name = Name::mangled(path).unwrap();
            assert!(name.is_portable(), "{path:?} gives {name}");
        }
        assert!(Name::mangled("").is_err() && Name::mangled("a\0b").is_err());
    }
}
