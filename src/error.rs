//! What can go wrong: one [`Error`] for setting up, five small enums for the data path.

mod os;

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

/// Why a value did not go in. The value comes back.
///
/// ```
/// use ringlane::{spsc, PushError};
///
/// let queue = spsc::Queue::<u64>::private(1)?;
/// let mut producer = queue.producer()?;
/// producer.try_push(1).unwrap();
/// assert!(matches!(producer.try_push(2), Err(PushError::Full(2))));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PushError<T> {
    /// No room: at once (`try_`), or still none when the time ran out (`_timeout`).
    Full(T),
    /// The consumer closed its end.
    Closed(T),
    /// The consumer's process ended without closing. Another process can take its place; then
    /// pushing works again.
    PeerDied(T),
    /// The consumer's position cannot be: this ring is not used any more.
    Corrupt(T),
}

impl<T> PushError<T> {
    /// The value that did not go in.
    ///
    /// ```
    /// assert_eq!(ringlane::PushError::Full(7).into_inner(), 7);
    /// ```
    pub fn into_inner(self) -> T {
        match self {
            PushError::Full(v)
            | PushError::Closed(v)
            | PushError::PeerDied(v)
            | PushError::Corrupt(v) => v,
        }
    }

    /// Whether waiting longer could have helped.
    ///
    /// ```
    /// assert!(ringlane::PushError::Full(()).is_full());
    /// assert!(!ringlane::PushError::Closed(()).is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        matches!(self, PushError::Full(_))
    }

    /// The same reason, for a value.
    pub(crate) fn of<U>(self, value: U) -> PushError<U> {
        match self {
            PushError::Full(_) => PushError::Full(value),
            PushError::Closed(_) => PushError::Closed(value),
            PushError::PeerDied(_) => PushError::PeerDied(value),
            PushError::Corrupt(_) => PushError::Corrupt(value),
        }
    }

    fn sentence(&self) -> &'static str {
        match self {
            PushError::Full(_) => "the ring is full",
            PushError::Closed(_) => "the consumer closed the ring",
            PushError::PeerDied(_) => "the consumer's process died",
            PushError::Corrupt(_) => "the ring is corrupt: the consumer's position cannot be",
        }
    }
}

impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PushError({})", self.sentence())
    }
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl<T> std::error::Error for PushError<T> {}

/// Why nothing came out.
///
/// Whatever was committed before a close or a death is handed out first.
///
/// ```
/// use ringlane::{spsc, PopError};
///
/// let queue = spsc::Queue::<u64>::private(8)?;
/// let (producer, mut consumer) = (queue.producer()?, queue.consumer()?);
/// assert_eq!(consumer.try_pop(), Err(PopError::Empty));
/// producer.close();
/// assert_eq!(consumer.pop(), Err(PopError::Closed));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PopError {
    /// Nothing there: at once (`try_`), or still nothing when the time ran out (`_timeout`).
    Empty,
    /// The producer closed its end and everything has been taken.
    Closed,
    /// The producer's process ended without closing and everything it committed has been taken.
    /// Another process can take its place; then popping works again.
    PeerDied,
    /// What the producer wrote cannot be: this ring is not used any more.
    Corrupt,
    /// The value that comes next is not whole yet: a living process, which may be stopped, has begun to push
    /// it. Only in rings for many ([`mpmc`](crate::mpmc)).
    Stalled {
        /// The process id that it gave.
        pid: u32,
    },
}

impl PopError {
    /// Whether waiting longer could have helped: nothing is there, or nothing that is whole.
    ///
    /// ```
    /// assert!(ringlane::PopError::Empty.is_empty());
    /// assert!(!ringlane::PopError::PeerDied.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        matches!(self, PopError::Empty | PopError::Stalled { .. })
    }
}

impl fmt::Display for PopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PopError::Stalled { pid } => {
                return write!(
                    f,
                    "process {pid} has begun to push the next value and not finished"
                );
            }
            PopError::Empty => "the ring is empty",
            PopError::Closed => "the producer closed the ring",
            PopError::PeerDied => "the producer's process died",
            PopError::Corrupt => "the ring is corrupt: what the producer wrote cannot be",
        })
    }
}

impl std::error::Error for PopError {}

/// A stream that cannot go on: no more comes through a pipe that is broken.
impl From<PopError> for std::io::Error {
    fn from(error: PopError) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match error {
            PopError::Empty | PopError::Stalled { .. } => Io::TimedOut,
            PopError::Closed | PopError::PeerDied => Io::BrokenPipe,
            PopError::Corrupt => Io::InvalidData,
        };
        std::io::Error::new(kind, error)
    }
}

/// Why room for a record was not given.
///
/// ```
/// use ringlane::{record, ReserveError};
///
/// let queue = record::Queue::private(4096)?;
/// let mut producer = queue.producer()?;
/// let error = producer.try_reserve(1 << 20).unwrap_err();
/// assert!(matches!(error, ReserveError::TooLarge { .. }));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReserveError {
    /// No room: at once (`try_`), or still none when the time ran out (`_timeout`).
    Full,
    /// The record can never fit: it has `len` bytes and the ring takes at most `max`.
    TooLarge {
        /// Bytes asked for.
        len: usize,
        /// The longest record that this ring takes, in bytes.
        max: usize,
    },
    /// The consumer closed its end.
    Closed,
    /// The consumer's process ended without closing. Another process can take its place.
    PeerDied,
    /// The consumer's position cannot be: this ring is not used any more.
    Corrupt,
}

impl ReserveError {
    /// Whether waiting longer could have helped.
    ///
    /// ```
    /// assert!(ringlane::ReserveError::Full.is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        matches!(self, ReserveError::Full)
    }
}

impl From<PushError<()>> for ReserveError {
    fn from(error: PushError<()>) -> Self {
        match error {
            PushError::Full(()) => ReserveError::Full,
            PushError::Closed(()) => ReserveError::Closed,
            PushError::PeerDied(()) => ReserveError::PeerDied,
            PushError::Corrupt(()) => ReserveError::Corrupt,
        }
    }
}

impl fmt::Display for ReserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReserveError::TooLarge { len, max } => {
                write!(f, "a record of {len} bytes does not fit: this ring takes at most {max}")
            }
            ReserveError::Full => f.write_str(PushError::Full(()).sentence()),
            ReserveError::Closed => f.write_str(PushError::Closed(()).sentence()),
            ReserveError::PeerDied => f.write_str(PushError::PeerDied(()).sentence()),
            ReserveError::Corrupt => f.write_str(PushError::Corrupt(()).sentence()),
        }
    }
}

impl std::error::Error for ReserveError {}

/// As for [`PopError`].
impl From<ReserveError> for std::io::Error {
    fn from(error: ReserveError) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match error {
            ReserveError::Full => Io::TimedOut,
            ReserveError::Closed | ReserveError::PeerDied => Io::BrokenPipe,
            ReserveError::TooLarge { .. } => Io::InvalidInput,
            ReserveError::Corrupt => Io::InvalidData,
        };
        std::io::Error::new(kind, error)
    }
}

/// Why there is no reply.
///
/// After [`Busy`](CallError::Busy) and [`Idle`](CallError::Idle), nothing has changed. After the others, whether the
/// request is with the server is what [`Caller::outstanding`](crate::call::Caller::outstanding) says.
///
/// ```
/// use ringlane::{CallError, call};
///
/// let cell = call::Cell::<u64, u64>::private()?;
/// let mut caller = cell.caller()?;
/// assert_eq!(caller.try_finish(), Err(CallError::Idle));
/// caller.try_start(1).unwrap();
/// assert_eq!(caller.try_finish(), Err(CallError::Pending));
/// assert_eq!(caller.try_start(2), Err(CallError::Busy));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// No reply: at once (`try_`), or still none when the time ran out (`_timeout`). The request is with the
    /// server, and `finish` takes the call up again.
    Pending,
    /// The request was not sent, because an earlier one is outstanding: one's own, to be finished or
    /// abandoned first; or an abandoned one, which the server has not answered yet or not within the time.
    Busy,
    /// There is no call to finish.
    Idle,
    /// The server closed its end, and there is no reply. The next server gets a request that is outstanding.
    Closed,
    /// The server's process ended without closing, and there is no reply. Another process can take its
    /// place, and gets the request again.
    PeerDied,
    /// What is in the cell cannot be: do not use it any more.
    Corrupt,
}

impl CallError {
    /// Whether waiting longer could have helped.
    ///
    /// ```
    /// assert!(ringlane::CallError::Pending.is_pending());
    /// assert!(!ringlane::CallError::Closed.is_pending());
    /// ```
    pub fn is_pending(&self) -> bool {
        matches!(self, CallError::Pending)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CallError::Pending => "no reply has come yet",
            CallError::Busy => "an earlier request has not been answered yet",
            CallError::Idle => "no call is under way",
            CallError::Closed => "the server closed the cell",
            CallError::PeerDied => "the server's process died",
            CallError::Corrupt => "the cell is corrupt: its turn cannot be",
        })
    }
}

impl std::error::Error for CallError {}

/// Why a session's operation did not do all it was to do.
///
/// The outcomes come in this order: a cancelled session says so even if there are bytes to be read; bytes that
/// were written before the other side closed, or died, are read first; only then the pipe is broken.
///
/// ```
/// use ringlane::SessionError;
/// use ringlane::session::Session;
///
/// let (one, other) = Session::pair(4096)?;
/// assert_eq!(one.try_read(&mut [0; 4]), Err(SessionError::WouldBlock));
/// other.write_all(b"last").unwrap();
/// other.close();
/// assert_eq!(one.read(&mut [0; 4]), Ok(4));
/// assert_eq!(one.read(&mut [0; 4]), Err(SessionError::BrokenPipe { done: 0 }));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionError {
    /// The session was cancelled, or closed, on this side. It stays so.
    #[doc(alias = "VERR_CANCELLED")]
    Cancelled {
        /// Bytes that this call transferred before.
        done: usize,
    },
    /// The other side closed the session, or its process ended, and everything it had written has been read. It
    /// stays so.
    #[doc(alias = "VERR_BROKEN_PIPE")]
    BrokenPipe {
        /// Bytes that this call transferred before.
        done: usize,
    },
    /// The time was up.
    #[doc(alias = "VERR_TIMEOUT")]
    TimedOut {
        /// Bytes that this call transferred before.
        done: usize,
    },
    /// Not now: nothing to be read, no room to write.
    #[doc(alias = "VINF_TRY_AGAIN")]
    WouldBlock,
    /// Another thread is in the middle of reading, or of writing.
    #[doc(alias = "VERR_RESOURCE_BUSY")]
    Busy,
    /// The message can never fit: it has `len` bytes and the ring takes at most `max`.
    TooLarge {
        /// Bytes of the message.
        len: usize,
        /// The longest message that this ring takes, in bytes.
        max: usize,
    },
    /// What the other side wrote cannot be. The session is not used any more.
    Corrupt,
}

impl SessionError {
    /// The same reason, after so many bytes.
    pub(crate) fn after(self, more: usize) -> SessionError {
        match self {
            SessionError::Cancelled { done } => SessionError::Cancelled { done: done + more },
            SessionError::BrokenPipe { done } => SessionError::BrokenPipe { done: done + more },
            SessionError::TimedOut { done } => SessionError::TimedOut { done: done + more },
            other => other,
        }
    }

    /// Bytes that the failing call transferred.
    ///
    /// ```
    /// assert_eq!(ringlane::SessionError::BrokenPipe { done: 3 }.done(), 3);
    /// ```
    pub fn done(&self) -> usize {
        match self {
            SessionError::Cancelled { done }
            | SessionError::BrokenPipe { done }
            | SessionError::TimedOut { done } => *done,
            _ => 0,
        }
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SessionError::Cancelled { .. } => f.write_str("the session was cancelled"),
            SessionError::BrokenPipe { .. } => f.write_str("the other side of the session is gone"),
            SessionError::TimedOut { .. } => f.write_str("the time was up"),
            SessionError::WouldBlock => f.write_str("it would have to wait"),
            SessionError::Busy => f.write_str("another thread is in the middle of it"),
            SessionError::TooLarge { len, max } => {
                write!(f, "a message of {len} bytes does not fit: this ring takes at most {max}")
            }
            SessionError::Corrupt => {
                f.write_str("the session is corrupt: what the other side wrote cannot be")
            }
        }
    }
}

impl std::error::Error for SessionError {}

impl From<SessionError> for std::io::Error {
    fn from(error: SessionError) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match error {
            // Not `Interrupted`: that would be tried again.
            SessionError::Cancelled { .. } => Io::ConnectionAborted,
            SessionError::BrokenPipe { .. } => Io::BrokenPipe,
            SessionError::TimedOut { .. } => Io::TimedOut,
            SessionError::WouldBlock => Io::WouldBlock,
            SessionError::Busy => Io::ResourceBusy,
            SessionError::TooLarge { .. } => Io::InvalidInput,
            SessionError::Corrupt => Io::InvalidData,
        };
        std::io::Error::new(kind, error)
    }
}

impl From<SessionError> for Error {
    fn from(error: SessionError) -> Self {
        let kind = match error {
            SessionError::Cancelled { .. } => ErrorKind::Cancelled,
            SessionError::BrokenPipe { .. } => ErrorKind::BrokenPipe,
            SessionError::TimedOut { .. } | SessionError::WouldBlock => ErrorKind::TimedOut,
            SessionError::Busy => ErrorKind::InUse,
            SessionError::TooLarge { .. } => ErrorKind::InvalidSize,
            SessionError::Corrupt => ErrorKind::Corrupt,
        };
        Error::new(kind, error.to_string())
    }
}
