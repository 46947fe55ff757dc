//! What can go wrong: one [`Error`] for setting up, and small enums for the data path.

mod operation;
mod os;

pub use operation::{CallError, PopError, PushError, ReserveError, SessionError};
use std::fmt;

/// The result of everything that opens, creates, maps or attaches.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of failure an [`Error`] is.
///
/// ```
/// use ringlane::{spsc, ErrorKind, Name};
///
/// let missing = Name::new("ringlane-doc-no-such-ring")?;
/// let error = spsc::Queue::<u64>::open(&missing).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No object has this name.
    #[doc(alias = "VERR_FILE_NOT_FOUND")]
    #[doc(alias = "PR_FILE_NOT_FOUND_ERROR")]
    #[doc(alias = "ENOENT")]
    NotFound,
    /// An object of this name exists and a new one was asked for.
    #[doc(alias = "VERR_ALREADY_EXISTS")]
    #[doc(alias = "PR_FILE_EXISTS_ERROR")]
    #[doc(alias = "EEXIST")]
    AlreadyExists,
    /// The operating system or the access asked for at opening does not allow it.
    #[doc(alias = "VERR_ACCESS_DENIED")]
    #[doc(alias = "EACCES")]
    PermissionDenied,
    /// The name has a character or a length that no platform takes.
    #[doc(alias = "VERR_INVALID_NAME")]
    #[doc(alias = "VERR_FILENAME_TOO_LONG")]
    #[doc(alias = "ENAMETOOLONG")]
    InvalidName,
    /// A size, capacity or alignment is outside its limits, or an object is smaller than it must be.
    InvalidSize,
    /// Options that contradict each other or leave out what is needed.
    InvalidInput,
    /// A range does not lie within the object or the mapping, or a number is past its limit.
    #[doc(alias = "VERR_OUT_OF_RANGE")]
    OutOfRange,
    /// Not while the object is in use as it is: mappings of it are there.
    #[doc(alias = "VERR_INVALID_STATE")]
    InvalidState,
    /// The object is a ring, but not one that this call can use: another kind, value type, tag,
    /// layout version or word size.
    Incompatible,
    /// The object is no ring, or its contents contradict each other.
    Corrupt,
    /// A living process holds this end of the ring.
    InUse,
    /// The memory asked for is not there: `/dev/shm` is full or a limit on memory is reached.
    NoSpace,
    /// A limit on a count is reached: mappings, open files, bytes locked in memory.
    #[doc(alias = "VERR_SHMEM_MAXIMUM_MAPPINGS_REACHED")]
    LimitReached,
    /// Somebody called it off, and all that comes after it.
    #[doc(alias = "VERR_CANCELLED")]
    Cancelled,
    /// The time was up.
    #[doc(alias = "VERR_TIMEOUT")]
    TimedOut,
    /// Something has the name, but nobody listens, or not for sessions.
    #[doc(alias = "ECONNREFUSED")]
    ConnectionRefused,
    /// The other side of a session is gone.
    #[doc(alias = "VERR_BROKEN_PIPE")]
    BrokenPipe,
    /// A handle that is not one, or not any more, or not for this process: which of them, nobody is told.
    #[doc(alias = "VERR_INVALID_HANDLE")]
    #[doc(alias = "EBADF")]
    #[doc(alias = "ESRCH")]
    InvalidHandle,
    /// The memory was given, and taken back.
    Revoked,
    /// This platform, or this object, cannot do it.
    #[doc(alias = "VERR_NOT_SUPPORTED")]
    Unsupported,
    /// Any other error of the operating system; see [`Error::raw_os_error`].
    Os,
}

/// A failure to set something up: which operation, on which name, and why.
///
/// Its `Display` is one sentence that names the object and the limit.
///
/// ```
/// let error = ringlane::Name::new("a/b").unwrap_err();
/// assert_eq!(error.to_string(), "name \"a/b\": holds '/', which no portable name may");
/// ```
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    subject: String,
    detail: String,
    os: Option<i32>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Error { kind, subject: String::new(), detail: detail.into(), os: None }
    }

    pub(crate) fn revoked() -> Self {
        Error::new(ErrorKind::Revoked, "the memory was taken back")
    }

    /// An error of the operating system, by number, with what was tried.
    pub(crate) fn os(call: &str, code: i32) -> Self {
        let reason = std::io::Error::from_raw_os_error(code);
        let (kind, detail) = (os::kind_of(code), format!("{call}: {reason}"));
        Error { kind, subject: String::new(), detail, os: Some(code) }
    }

    /// Names the object; the innermost caller that knows it says it.
    pub(crate) fn on(mut self, subject: impl fmt::Display) -> Self {
        if self.subject.is_empty() {
            self.subject = subject.to_string();
        }
        self
    }

    /// What kind of failure this is.
    ///
    /// ```
    /// use ringlane::{ErrorKind, Name};
    /// assert_eq!(Name::new("").unwrap_err().kind(), ErrorKind::InvalidName);
    /// ```
    #[doc(alias = "PR_GetError")]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The operating system's error number, if it was its error.
    ///
    /// ```
    /// use ringlane::{Name, SharedMemory};
    /// let error = SharedMemory::open(&Name::new("ringlane-doc-nothing")?).unwrap_err();
    /// assert_eq!(error.raw_os_error(), Some(2));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "PR_GetOSError")]
    #[doc(alias = "errno")]
    pub fn raw_os_error(&self) -> Option<i32> {
        self.os
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.subject.is_empty() {
            f.write_str(&self.detail)
        } else {
            write!(f, "{}: {}", self.subject, self.detail)
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({self})", self.kind)
    }
}

impl std::error::Error for Error {}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match error.kind {
            ErrorKind::NotFound => Io::NotFound,
            ErrorKind::AlreadyExists => Io::AlreadyExists,
            ErrorKind::PermissionDenied => Io::PermissionDenied,
            ErrorKind::InvalidName
            | ErrorKind::InvalidSize
            | ErrorKind::InvalidInput
            | ErrorKind::OutOfRange => Io::InvalidInput,
            ErrorKind::Incompatible | ErrorKind::Corrupt => Io::InvalidData,
            ErrorKind::InUse | ErrorKind::InvalidState => Io::ResourceBusy,
            ErrorKind::NoSpace => Io::StorageFull,
            ErrorKind::LimitReached => Io::QuotaExceeded,
            // Not `Interrupted`: that would be tried again.
            ErrorKind::Cancelled => Io::ConnectionAborted,
            ErrorKind::TimedOut => Io::TimedOut,
            ErrorKind::ConnectionRefused => Io::ConnectionRefused,
            ErrorKind::BrokenPipe => Io::BrokenPipe,
            ErrorKind::InvalidHandle => Io::NotFound,
            ErrorKind::Revoked => Io::PermissionDenied,
            ErrorKind::Unsupported => Io::Unsupported,
            ErrorKind::Os => Io::Other,
        };
        std::io::Error::new(kind, error)
    }
}
