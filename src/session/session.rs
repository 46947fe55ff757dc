//! One side of a connection.

use super::connect::size_of_ring;
use super::hello::Hello;
use super::link::Link;
use super::turn::{Taken, Turn};
use super::{ConnectOptions, Result, ServiceName};
use crate::error::{PopError, ReserveError, SessionError};
use crate::layout::{Hall, Home, Side};
use crate::queue::record::{Consumer, Producer};
use crate::queue::{self, End, Limit, Link as _};
use crate::sync::{AtomicU32, Ordering};
use crate::sys;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Records of a session are aligned to so many bytes.
const ALIGN: usize = 8;

/// One side of a connection between two processes: bytes, or messages, both ways.
///
/// A clone is the same session. One thread at a time reads, one writes; a third is told
/// [`Busy`](SessionError::Busy). When the last clone is dropped, or any is [closed](Self::close), the other side reads
/// what was written, and then finds the pipe broken.
///
/// ```
/// use ringlane::session::Session;
///
/// let (one, other) = Session::pair(1 << 16)?;
/// one.send(b"a message").unwrap();
/// assert_eq!(other.recv().unwrap(), b"a message");
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "RTLOCALIPCSESSION")]
#[doc(alias = "RTLocalIpcSessionRetain")]
pub struct Session {
    pub(super) core: Arc<Core>,
}

#[derive(Debug)]
pub(super) struct Core {
    pub(super) writer: Turn<Producer>,
    pub(super) reader: Turn<Consumer>,
    pub(super) link: Arc<Link>,
    /// Whether the connection is watched, so that its end is noticed by who never sleeps.
    watched: AtomicU32,
    /// Bytes of a write that go into one record.
    piece: usize,
    /// Counts the sessions of a server.
    _counted: Option<Arc<()>>,
}

/// What closing did.
///
/// ```
/// use ringlane::session::{CloseOutcome, Session};
///
/// let (one, _other) = Session::pair(4096)?;
/// let clone = one.clone();
/// assert_eq!(one.close(), CloseOutcome::StillReferenced(1));
/// assert_eq!(clone.close(), CloseOutcome::Destroyed);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseOutcome {
    /// It was the last clone.
    #[doc(alias = "VINF_OBJECT_DESTROYED")]
    Destroyed,
    /// So many clones are left, all of them cancelled.
    StillReferenced(usize),
}

impl CloseOutcome {
    pub(super) fn of<T>(shared: Arc<T>) -> CloseOutcome {
        let left = Arc::strong_count(&shared) - 1;
        match Arc::into_inner(shared) {
            Some(_) => CloseOutcome::Destroyed,
            // Another may go at the same time, but it is the other then that is the last.
            None => CloseOutcome::StillReferenced(left.max(1)),
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.link.close();
        self.link.unwatch();
    }
}

impl Session {
    pub(super) fn over(link: Arc<Link>, counted: Option<Arc<()>>) -> crate::error::Result<Session> {
        let end = |side| {
            let lane = link.lane(side) as Arc<dyn Home>;
            let end =
                End::linked(Arc::clone(&link) as Arc<dyn queue::Link>, Arc::clone(&lane), side);
            (end, lane)
        };
        let ((out, out_lane), (back, back_lane)) = (end(Side::Producer), end(Side::Consumer));
        let writer = Producer::of(out, out_lane, ALIGN)?;
        let reader = Consumer::of(back, back_lane, ALIGN)?;
        let piece = writer.longest_piece();
        let core = Core {
            writer: Turn::new(writer),
            reader: Turn::new(reader),
            link,
            watched: AtomicU32::new(0),
            piece,
            _counted: counted,
        };
        Ok(Session { core: Arc::new(core) })
    }

    /// Connects with the default options, see [`ConnectOptions::connect`].
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// # use ringlane::session::{Server, ServiceName, Session};
    /// # let name = ServiceName::new("ringlane doc connect")?;
    /// # let server = Server::bind(&name)?;
    /// let session = Session::connect(&name)?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn connect(name: &ServiceName) -> crate::error::Result<Session> {
        ConnectOptions::new().connect(name)
    }

    /// Both sides of a session without a server, with rings of so many bytes.
    ///
    /// # Errors
    /// As [`ConnectOptions::connect`], but for the name.
    ///
    /// ```
    /// let (one, other) = ringlane::session::Session::pair(4096)?;
    /// one.write_all(b"hello").unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn pair(ring: usize) -> crate::error::Result<(Session, Session)> {
        let make = || {
            let size = size_of_ring(ring)?;
            let (one, asked) = Hall::ask(size, size)?;
            let (other, answered) = Hall::answer(size, size, &asked)?;
            one.complete(&answered)?;
            let (socket, other_socket) = sys::socket_pair()?;
            let hello = Hello::new(size, size);
            let side = |socket, hall| Session::over(Link::new(socket, hall, hello, true), None);
            Ok((side(socket, one)?, side(other_socket, other)?))
        };
        make().map_err(|e: crate::error::Error| e.on("make a pair of sessions"))
    }

    /// Bytes of the ring that this side writes to. About as much can be written before the other side reads.
    ///
    /// ```
    /// let (one, _other) = ringlane::session::Session::pair(5000)?;
    /// assert!(one.outgoing_capacity() >= 5000);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn outgoing_capacity(&self) -> usize {
        self.core.link.lane(Side::Producer).bytes().capacity
    }

    #[inline(always)]
    pub(super) fn check(&self) -> Result<()> {
        if self.core.link.is_cancelled() {
            return Err(SessionError::Cancelled { done: 0 });
        }
        Ok(())
    }

    #[inline(always)]
    pub(super) fn reader(&self) -> Result<Taken<'_, Consumer>> {
        self.check()?;
        self.core.reader.take().ok_or(SessionError::Busy)
    }

    #[inline(always)]
    pub(super) fn writer(&self) -> Result<Taken<'_, Producer>> {
        self.check()?;
        if self.core.link.is_gone() {
            return Err(SessionError::BrokenPipe { done: 0 });
        }
        self.core.writer.take().ok_or(SessionError::Busy)
    }

    /// Reads what there is, at least a byte, and waits for it as long as it takes. 0 only for an empty buffer.
    ///
    /// # Errors
    /// [`SessionError::Cancelled`], [`BrokenPipe`](SessionError::BrokenPipe), [`Busy`](SessionError::Busy),
    /// [`Corrupt`](SessionError::Corrupt).
    ///
    /// ```
    /// let (one, other) = ringlane::session::Session::pair(4096)?;
    /// one.write_all(b"abc").unwrap();
    /// assert_eq!(other.read(&mut [0; 100]), Ok(3));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLocalIpcSessionRead")]
    #[inline]
    pub fn read(&self, to: &mut [u8]) -> Result<usize> {
        self.read_limited(to, Limit::Never)
    }

    /// Reads what there is now. Never waits.
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`SessionError::WouldBlock`] if there is nothing.
    ///
    /// ```
    /// use ringlane::SessionError;
    /// let (one, _other) = ringlane::session::Session::pair(4096)?;
    /// assert_eq!(one.try_read(&mut [0; 100]), Err(SessionError::WouldBlock));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLocalIpcSessionReadNB")]
    #[inline]
    pub fn try_read(&self, to: &mut [u8]) -> Result<usize> {
        self.read_limited(to, Limit::Now)
    }

    /// Reads what there is, and waits for it at most `timeout`.
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`SessionError::TimedOut`].
    ///
    /// ```
    /// use {ringlane::SessionError, std::time::Duration};
    /// let (one, _other) = ringlane::session::Session::pair(4096)?;
    /// let read = one.read_timeout(&mut [0; 100], Duration::from_millis(1));
    /// assert_eq!(read, Err(SessionError::TimedOut { done: 0 }));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn read_timeout(&self, to: &mut [u8], timeout: Duration) -> Result<usize> {
        self.read_limited(to, Limit::Within(timeout))
    }

    /// Fills the buffer, and waits as long as that takes.
    ///
    /// # Errors
    /// As [`read`](Self::read); the error says how much was read before.
    ///
    /// ```
    /// use ringlane::SessionError;
    /// let (one, other) = ringlane::session::Session::pair(4096)?;
    /// one.write_all(b"abc").unwrap();
    /// one.close();
    /// assert_eq!(other.read_exact(&mut [0; 4]), Err(SessionError::BrokenPipe { done: 3 }));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLocalIpcSessionRead")]
    #[inline]
    pub fn read_exact(&self, to: &mut [u8]) -> Result<()> {
        self.read_exact_limited(to, None)
    }

    /// Fills the buffer, and waits for that at most `timeout`.
    ///
    /// # Errors
    /// As [`read_exact`](Self::read_exact), and [`SessionError::TimedOut`].
    ///
    /// ```
    /// use {ringlane::SessionError, std::time::Duration};
    /// let (one, other) = ringlane::session::Session::pair(4096)?;
    /// one.write_all(b"abc").unwrap();
    /// let read = other.read_exact_timeout(&mut [0; 4], Duration::from_millis(1));
    /// assert_eq!(read, Err(SessionError::TimedOut { done: 3 }));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn read_exact_timeout(&self, to: &mut [u8], timeout: Duration) -> Result<()> {
        self.read_exact_limited(to, Some(timeout))
    }

    #[inline]
    fn read_exact_limited(&self, to: &mut [u8], timeout: Option<Duration>) -> Result<()> {
        let began = timeout.map(|_| Instant::now());
        let mut done = 0;
        loop {
            let left = left_of(timeout, began);
            done += self.read_limited(&mut to[done..], left).map_err(|e| e.after(done))?;
            if done == to.len() {
                return Ok(());
            }
        }
    }

    #[inline(always)]
    fn read_limited(&self, to: &mut [u8], limit: Limit) -> Result<usize> {
        let mut reader = self.reader()?;
        if to.is_empty() {
            return Ok(0);
        }
        match reader.find_filled(limit) {
            Ok(found) => Ok(reader.take_bytes(found, to)),
            Err(error) => {
                let gone = self.look_again(&error, limit)?;
                let found = reader.find_filled(Limit::Now);
                let found = found.map_err(|e| self.unread(e, limit, gone))?;
                Ok(reader.take_bytes(found, to))
            }
        }
    }

    /// After a look found nothing: whether another one is worthwhile, because the other side may have written before
    /// it went, or was there before we knew. Says whether the other side was gone before that look: only then is an
    /// empty pipe a broken one.
    #[cold]
    pub(super) fn look_again(&self, error: &PopError, limit: Limit) -> Result<bool> {
        let link = &self.core.link;
        if matches!(error, PopError::Empty) && matches!(limit, Limit::Now) {
            if !link.linked() {
                link.try_link();
            }
            self.watch();
        }
        let gone = link.is_gone();
        if matches!(error, PopError::Empty) && (gone || matches!(limit, Limit::Now)) {
            return Ok(gone);
        }
        Err(self.unread(*error, limit, gone))
    }

    /// Has the connection's end noticed.
    fn watch(&self) {
        // Relaxed: the word stands for nothing but itself.
        if self.core.watched.swap(1, Ordering::Relaxed) == 0 && !self.core.link.watch() {
            self.core.watched.store(0, Ordering::Relaxed);
            self.core.link.check();
        }
    }

    /// Why nothing was read.
    #[cold]
    pub(super) fn unread(&self, error: PopError, limit: Limit, gone: bool) -> SessionError {
        let link = &self.core.link;
        if link.is_cancelled() {
            return SessionError::Cancelled { done: 0 };
        }
        match error {
            PopError::Empty if gone => SessionError::BrokenPipe { done: 0 },
            // No ring of one producer stalls.
            PopError::Empty | PopError::Stalled { .. } => missed(limit),
            PopError::Closed | PopError::PeerDied => {
                link.lose();
                SessionError::BrokenPipe { done: 0 }
            }
            PopError::Corrupt => SessionError::Corrupt,
        }
    }

    /// Why nothing was written.
    #[cold]
    pub(super) fn unwritten(&self, error: ReserveError, limit: Limit) -> SessionError {
        let link = &self.core.link;
        if link.is_cancelled() {
            return SessionError::Cancelled { done: 0 };
        }
        match error {
            ReserveError::Full => missed(limit),
            ReserveError::TooLarge { len, max } => SessionError::TooLarge { len, max },
            ReserveError::Closed | ReserveError::PeerDied => {
                link.lose();
                SessionError::BrokenPipe { done: 0 }
            }
            ReserveError::Corrupt => SessionError::Corrupt,
        }
    }

    /// Waits until there is something to read. `None` is as long as it takes; no time at all is a look.
    ///
    /// # Errors
    /// As [`read_timeout`](Self::read_timeout).
    ///
    /// ```
    /// use std::time::Duration;
    /// let (one, other) = ringlane::session::Session::pair(4096)?;
    /// one.write_all(b"abc").unwrap();
    /// other.wait_readable(Some(Duration::ZERO)).unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLocalIpcSessionWaitForData")]
    pub fn wait_readable(&self, timeout: Option<Duration>) -> Result<()> {
        let limit = timeout.map_or(Limit::Never, Limit::Within);
        let mut reader = self.reader()?;
        let first = reader.find_limited(limit).map(drop);
        first.or_else(|error| {
            let gone = self.look_again(&error, limit)?;
            reader.find_limited(Limit::Now).map(drop).map_err(|e| self.unread(e, limit, gone))
        })
    }

    /// Writes all of it, and waits for room as long as it takes.
    ///
    /// # Errors
    /// [`SessionError::Cancelled`], [`BrokenPipe`](SessionError::BrokenPipe), [`Busy`](SessionError::Busy),
    /// [`Corrupt`](SessionError::Corrupt); the error says how much was written before. The end of a process that did
    /// not close is noticed a little later: what is written meanwhile is lost.
    ///
    /// ```
    /// let (one, other) = ringlane::session::Session::pair(4096)?;
    /// one.write_all(b"abc").unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLocalIpcSessionWrite")]
    #[inline]
    pub fn write_all(&self, bytes: &[u8]) -> Result<()> {
        self.write_all_limited(bytes, None)
    }

    /// Writes all of it, and waits for room at most `timeout`.
    ///
    /// # Errors
    /// As [`write_all`](Self::write_all), and [`SessionError::TimedOut`].
    ///
    /// ```
    /// use {ringlane::SessionError, std::time::Duration};
    /// let (one, _other) = ringlane::session::Session::pair(4096)?;
    /// let error = one.write_all_timeout(&[0; 10_000], Duration::from_millis(1)).unwrap_err();
    /// assert!(matches!(error, SessionError::TimedOut { done } if done > 2000));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn write_all_timeout(&self, bytes: &[u8], timeout: Duration) -> Result<()> {
        self.write_all_limited(bytes, Some(timeout))
    }

    #[inline]
    fn write_all_limited(&self, bytes: &[u8], timeout: Option<Duration>) -> Result<()> {
        let began = timeout.map(|_| Instant::now());
        let mut done = 0;
        loop {
            let left = left_of(timeout, began);
            done += self.write_limited(&bytes[done..], left).map_err(|e| e.after(done))?;
            if done == bytes.len() {
                return Ok(());
            }
        }
    }

    /// Writes a piece of it, at least a byte, and waits for room as long as it takes. 0 only for no bytes.
    ///
    /// # Errors
    /// As [`write_all`](Self::write_all).
    ///
    /// ```
    /// let (one, other) = ringlane::session::Session::pair(4096)?;
    /// assert_eq!(one.write(b"abc"), Ok(3));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn write(&self, bytes: &[u8]) -> Result<usize> {
        self.write_limited(bytes, Limit::Never)
    }

    /// Writes as much of it as there is room for now, or about that. Never waits.
    ///
    /// # Errors
    /// As [`write_all`](Self::write_all), and [`SessionError::WouldBlock`] if there is none.
    ///
    /// ```
    /// use ringlane::SessionError;
    /// let (one, _other) = ringlane::session::Session::pair(4096)?;
    /// while one.try_write(&[0; 100]).is_ok() {}
    /// assert_eq!(one.try_write(&[0; 100]), Err(SessionError::WouldBlock));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn try_write(&self, bytes: &[u8]) -> Result<usize> {
        let mut len = bytes.len();
        loop {
            match self.write_limited(&bytes[..len], Limit::Now) {
                // Less may fit.
                Err(SessionError::WouldBlock) if len > 1 => len = len.min(self.core.piece) / 2,
                done => return done,
            }
        }
    }

    #[inline(always)]
    fn write_limited(&self, bytes: &[u8], limit: Limit) -> Result<usize> {
        let mut writer = self.writer()?;
        if bytes.is_empty() {
            return Ok(0);
        }
        let len = bytes.len().min(self.core.piece);
        writer.push_limited(&bytes[..len], limit).map_err(|e| self.unwritten(e, limit))?;
        self.written();
        Ok(len)
    }

    /// After each publication: the other side may have come, and be asleep, without our knowing.
    #[inline(always)]
    pub(super) fn written(&self) {
        if !self.core.link.linked() {
            self.core.link.try_link();
        }
    }

    /// Waits until the other side has read everything that was written before; `None` is as long as it takes.
    ///
    /// A thread that drives both sides waits for itself here.
    ///
    /// # Errors
    /// [`SessionError::Cancelled`], [`BrokenPipe`](SessionError::BrokenPipe) if it will not be read any more,
    /// [`TimedOut`](SessionError::TimedOut), [`Busy`](SessionError::Busy), [`Corrupt`](SessionError::Corrupt).
    ///
    /// ```
    /// use {ringlane::SessionError, std::time::Duration};
    /// let (one, _other) = ringlane::session::Session::pair(4096)?;
    /// one.flush().unwrap();
    /// one.write_all(b"unread").unwrap();
    /// let flushed = one.flush_timeout(Duration::from_millis(1));
    /// assert_eq!(flushed, Err(SessionError::TimedOut { done: 0 }));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLocalIpcSessionFlush")]
    pub fn flush(&self) -> Result<()> {
        self.flush_limited(None)
    }

    /// The same, for at most `timeout`.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    ///
    /// ```
    /// use std::time::Duration;
    /// let (one, _other) = ringlane::session::Session::pair(4096)?;
    /// one.flush_timeout(Duration::ZERO).unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn flush_timeout(&self, timeout: Duration) -> Result<()> {
        self.flush_limited(Some(timeout))
    }

    fn flush_limited(&self, timeout: Option<Duration>) -> Result<()> {
        self.check()?;
        let mut writer = self.core.writer.take().ok_or(SessionError::Busy)?;
        let limit = timeout.map_or(Limit::Never, Limit::Within);
        writer.flush(timeout).map_err(|e| self.unwritten(e, limit))
    }
}

/// What is left of a time.
fn left_of(timeout: Option<Duration>, began: Option<Instant>) -> Limit {
    match timeout.zip(began) {
        Some((timeout, began)) => Limit::Within(timeout.saturating_sub(began.elapsed())),
        None => Limit::Never,
    }
}

/// What it is called that the time was up.
fn missed(limit: Limit) -> SessionError {
    match limit {
        Limit::Now => SessionError::WouldBlock,
        Limit::Within(_) | Limit::Never => SessionError::TimedOut { done: 0 },
    }
}
