//! Why an operation of an end, or of a session, gave nothing.

use super::{Error, ErrorKind};
use std::fmt;

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
