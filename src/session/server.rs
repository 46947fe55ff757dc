//! A name that clients connect to.

use super::hello::{Hello, checked_size};
use super::link::Link;
use super::{CloseOutcome, ServerOptions, ServiceName, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Hall;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::sys::{self, Interest, Received};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, Instant};

/// So many clients may be in the middle of saying what they want. One that comes then takes the place of the
/// one that has taken longest.
const MOST_HALF_OPEN: usize = 64;

/// A server, until dropped: then its name is gone, and clients that wait to be accepted are turned away. Sessions that
/// were accepted stay. A clone is the same server.
///
/// One thread at a time accepts.
///
/// ```
/// use ringlane::session::{Server, ServiceName, Session};
///
/// let name = ServiceName::new("ringlane doc server")?;
/// let server = Server::bind(&name)?;
/// let client = Session::connect(&name)?;
/// client.write_all(b"hello").unwrap();
/// let session = server.accept()?;
/// let mut text = [0; 5];
/// session.read_exact(&mut text).unwrap();
/// assert_eq!(&text, b"hello");
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "RTLOCALIPCSERVER")]
pub struct Server {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    listener: sys::Listener,
    name: String,
    path: PathBuf,
    identity: sys::Identity,
    pub(super) poller: sys::Poller,
    stop: Arc<Stop>,
    half_open: Mutex<Vec<HalfOpen>>,
    options: ServerOptions,
    /// One for each session that lives.
    living: Arc<()>,
    turned_away: AtomicU64,
    owner: u64,
}

/// A client that has not said yet what it wants.
#[derive(Debug)]
struct HalfOpen {
    socket: sys::Socket,
    /// Never if `None`: it is too far for a clock.
    until: Option<Instant>,
}

enum Heard {
    Nothing,
    Nonsense,
    Hello(Hello, Vec<sys::Handle>),
}

#[derive(Debug)]
struct Stop {
    set: AtomicU32,
    flag: sys::Flag,
}

/// Calls a server's accepting off, from any thread.
///
/// ```
/// use ringlane::ErrorKind;
/// use ringlane::session::{Server, ServiceName};
///
/// let server = Server::bind(&ServiceName::new("ringlane doc canceller")?)?;
/// let canceller = server.canceller();
/// let thread = std::thread::spawn(move || server.accept().unwrap_err().kind());
/// canceller.cancel();
/// assert_eq!(thread.join().unwrap(), ErrorKind::Cancelled);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Canceller(Arc<Stop>);

impl Canceller {
    /// As [`Server::cancel`].
    ///
    /// ```
    /// # use ringlane::session::{Server, ServiceName};
    /// # let server = Server::bind(&ServiceName::new("ringlane doc canceller cancel")?)?;
    /// server.canceller().cancel();
    /// assert!(server.try_accept().is_err());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn cancel(&self) {
        // ORDERING(stop): Release. Pairs with ORDERING(stop) in Server::check.
        self.0.set.store(1, Ordering::Release);
        sys::raise(&self.0.flag);
    }
}

impl Server {
    /// Binds a server with the default options, see [`ServerOptions::bind`].
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// use ringlane::session::{Server, ServiceName};
    /// let server = Server::bind(&ServiceName::new("ringlane doc default")?)?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn bind(name: &ServiceName) -> Result<Server> {
        ServerOptions::new().bind(name)
    }

    pub(super) fn over(options: ServerOptions, name: &ServiceName) -> Result<Server> {
        let poller = sys::Poller::new()?;
        let stop = Arc::new(Stop { set: AtomicU32::new(0), flag: sys::flag()? });
        let path = name.path_to_bind()?;
        // Nobody of the group gets in before the group is the right one.
        let first = if options.group.is_some() { options.mode & 0o700 } else { options.mode };
        let (listener, identity) = sys::listen(&path, first, options.backlog, |_| Ok(()))?;
        let server = Server {
            inner: Arc::new(Inner {
                listener,
                name: name.to_string(),
                path,
                identity,
                poller,
                stop,
                half_open: Mutex::default(),
                options,
                living: Arc::new(()),
                turned_away: AtomicU64::new(0),
                owner: sys::process_token(),
            }),
        };
        // From here on, a failure removes the name.
        let inner = &*server.inner;
        if let Some(group) = inner.options.group {
            sys::set_socket_group(&inner.path, group)?;
        }
        sys::set_socket_mode(&inner.path, inner.options.mode)?;
        inner.poller.add(&inner.listener, Interest::Readable, false, 0)?;
        inner.poller.add(&inner.stop.flag, Interest::Readable, false, 0)?;
        Ok(server)
    }

    /// The path that the server is bound to; on Windows, its name in the kernel's directory.
    ///
    /// ```
    /// use ringlane::session::{Server, ServiceName};
    /// let server = Server::bind(&ServiceName::new("ringlane doc path")?)?;
    /// assert!(server.path().exists());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn path(&self) -> &std::path::Path {
        &self.inner.path
    }

    /// Waits for a client as long as it takes.
    ///
    /// A client that leaves again, that says nothing or nonsense, or that asks for what it may not have, is turned
    /// away, and the next one is waited for.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] after [`cancel`](Self::cancel) or [`close`](Self::close), whether before or
    /// meanwhile; [`ErrorKind::InUse`] if another thread accepts; [`ErrorKind::LimitReached`] if there are no more
    /// descriptors.
    ///
    /// ```
    /// # use ringlane::session::{Server, ServiceName, Session};
    /// # let name = ServiceName::new("ringlane doc accept")?;
    /// # let server = Server::bind(&name)?;
    /// let client = Session::connect(&name)?;
    /// let session = server.accept()?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLocalIpcServerListen")]
    pub fn accept(&self) -> Result<Session> {
        loop {
            if let Some(session) = self.accept_until(None)? {
                return Ok(session);
            }
        }
    }

    /// Accepts a client if one is there now. Never waits.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    ///
    /// ```
    /// # use ringlane::session::{Server, ServiceName};
    /// # let server = Server::bind(&ServiceName::new("ringlane doc try accept")?)?;
    /// assert!(server.try_accept()?.is_none());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn try_accept(&self) -> Result<Option<Session>> {
        self.accept_until(Some(Instant::now()))
    }

    /// Waits for a client at most `timeout`.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    ///
    /// ```
    /// # use ringlane::session::{Server, ServiceName};
    /// # use std::time::Duration;
    /// # let server = Server::bind(&ServiceName::new("ringlane doc accept timeout")?)?;
    /// assert!(server.accept_timeout(Duration::from_millis(1))?.is_none());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn accept_timeout(&self, timeout: Duration) -> Result<Option<Session>> {
        self.accept_until(Instant::now().checked_add(timeout))
    }

    fn accept_until(&self, deadline: Option<Instant>) -> Result<Option<Session>> {
        let accepted = self.inner.accept_until(deadline);
        accepted.map_err(|e| e.on(format_args!("accept at {:?}", self.inner.name)))
    }

    /// Calls off the accept that waits now and all that come after. Sessions are not touched.
    ///
    /// ```
    /// use ringlane::ErrorKind;
    /// # use ringlane::session::{Server, ServiceName};
    /// # let server = Server::bind(&ServiceName::new("ringlane doc cancel")?)?;
    /// server.cancel();
    /// assert_eq!(server.accept().unwrap_err().kind(), ErrorKind::Cancelled);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLocalIpcServerCancel")]
    pub fn cancel(&self) {
        self.canceller().cancel();
    }

    /// Something that can cancel it, and does not keep it.
    ///
    /// ```
    /// # use ringlane::session::{Server, ServiceName};
    /// # let server = Server::bind(&ServiceName::new("ringlane doc get canceller")?)?;
    /// let canceller = server.canceller();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn canceller(&self) -> Canceller {
        Canceller(Arc::clone(&self.inner.stop))
    }

    /// Cancels the server and lets go of it; with its last clone it is destroyed and its name is gone.
    ///
    /// ```
    /// use ringlane::session::CloseOutcome;
    /// # use ringlane::session::{Server, ServiceName};
    /// # let server = Server::bind(&ServiceName::new("ringlane doc close")?)?;
    /// assert_eq!(server.close(), CloseOutcome::Destroyed);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLocalIpcServerDestroy")]
    pub fn close(self) -> CloseOutcome {
        self.cancel();
        CloseOutcome::of(self.inner)
    }

    /// Changes the permission bits of the socket.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for other bits, [`ErrorKind::Unsupported`] on Windows for another mode than 0600,
    /// and the system's.
    ///
    /// ```
    /// # use ringlane::session::{Server, ServiceName};
    /// # let server = Server::bind(&ServiceName::new("ringlane doc mode")?)?;
    /// server.set_mode(0o660)?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLocalIpcServerSetAccessMode")]
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        if mode & !0o777 != 0 {
            let text = format!("mode {mode:o} has more than permission bits");
            return Err(Error::new(ErrorKind::InvalidInput, text));
        }
        let done = sys::set_socket_mode(&self.inner.path, mode);
        done.map_err(|e| e.on(format_args!("change the mode of {:?}", self.inner.name)))
    }

    /// Gives the socket to a group, and the group the right to connect: mode 0660. The group has to get at the
    /// socket's directory, too, so this is for [native](ServiceName::native) names.
    ///
    /// # Errors
    /// [`ErrorKind::PermissionDenied`] if this process is not of that group; [`ErrorKind::Unsupported`] on Windows.
    ///
    /// ```
    /// # use ringlane::session::{Server, ServiceName};
    /// # use std::os::unix::fs::MetadataExt;
    /// # let server = Server::bind(&ServiceName::new("ringlane doc group")?)?;
    /// let own = std::fs::metadata(server.path()).unwrap().gid();
    /// server.grant_group(own)?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLocalIpcServerGrantGroupAccess")]
    pub fn grant_group(&self, group: u32) -> Result<()> {
        let path = &self.inner.path;
        let done =
            sys::set_socket_group(path, group).and_then(|()| sys::set_socket_mode(path, 0o660));
        done.map_err(|e| e.on(format_args!("let a group connect to {:?}", self.inner.name)))
    }

    /// How many clients were turned away.
    ///
    /// ```
    /// # use ringlane::session::{Server, ServiceName};
    /// # let server = Server::bind(&ServiceName::new("ringlane doc turned away")?)?;
    /// assert_eq!(server.turned_away(), 0);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn turned_away(&self) -> u64 {
        self.inner.turned_away.load(Ordering::Relaxed)
    }
}

impl Inner {
    fn check(&self) -> Result<()> {
        // ORDERING(stop): Acquire. Pairs with ORDERING(stop) in Canceller::cancel.
        if self.stop.set.load(Ordering::Acquire) != 0 {
            return Err(Error::new(ErrorKind::Cancelled, "the server was cancelled"));
        }
        Ok(())
    }

    fn accept_until(&self, deadline: Option<Instant>) -> Result<Option<Session>> {
        self.check()?;
        let mut half_open = match self.half_open.try_lock() {
            Ok(half_open) => half_open,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(ErrorKind::InUse, "another thread accepts"));
            }
        };
        loop {
            self.poller.begin_look();
            self.check()?;
            // As many as may be half open, and no more before those are looked at.
            for turn in 1..=MOST_HALF_OPEN {
                let Some(socket) = sys::accept(&self.listener)? else { break };
                if turn == MOST_HALF_OPEN {
                    self.poller.leave_look();
                }
                self.poller.add(&socket, Interest::Readable, false, 0)?;
                let until = Instant::now().checked_add(self.options.patience);
                half_open.push(HalfOpen { socket, until });
            }
            if let Some(session) = self.greet_all(&mut half_open) {
                return Ok(Some(session));
            }
            let surplus = half_open.len().saturating_sub(MOST_HALF_OPEN);
            half_open.drain(..surplus).for_each(|_| self.turn_away());
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Ok(None);
            }
            let next = half_open.iter().filter_map(|client| client.until).chain(deadline).min();
            self.poller.next(next.map(|next| next.saturating_duration_since(now)))?;
        }
    }

    /// Hears each of them, in the order in which they came, until one has become a session.
    fn greet_all(&self, half_open: &mut Vec<HalfOpen>) -> Option<Session> {
        let mut index = 0;
        while let Some(client) = half_open.get(index) {
            let heard = hear(&client.socket);
            let in_time = client.until.is_none_or(|until| until > Instant::now());
            if matches!(heard, Heard::Nothing) && in_time {
                index += 1;
                continue;
            }
            let HalfOpen { socket, .. } = half_open.remove(index);
            self.poller.remove(&socket);
            if let Heard::Hello(hello, memory) = heard
                && let Ok(session) = self.admit(socket, hello, &memory)
            {
                if index < half_open.len() {
                    self.poller.leave_look();
                }
                return Some(session);
            }
            self.turn_away();
        }
        None
    }

    fn turn_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything that the client says is checked here.
    fn admit(&self, socket: sys::Socket, hello: Hello, memory: &[sys::Handle]) -> Result<Session> {
        let most = self.options.largest_ring;
        let (theirs, ours) = (checked_size(hello.out, most)?, checked_size(hello.back, most)?);
        if self.options.same_user {
            sys::check_user(&socket)?;
        }
        if Arc::strong_count(&self.living) > self.options.most_sessions {
            return Err(Error::new(ErrorKind::LimitReached, "so many sessions may live"));
        }
        let (hall, own) = Hall::answer(ours, theirs, memory)?;
        let own: Vec<&sys::Handle> = own.iter().collect();
        let answer = Hello::new(ours, theirs);
        // A client that is gone by now may have written before: it is a session all the same.
        sys::send(&socket, bytemuck::bytes_of(&answer), &own)?;
        Session::over(Link::new(socket, hall, answer, true), Some(Arc::clone(&self.living)))
    }
}

/// What a client has said.
fn hear(socket: &sys::Socket) -> Heard {
    let mut bytes = [0; size_of::<Hello>() + 1];
    match sys::receive(socket, &mut bytes) {
        Ok(Received::Nothing) => Heard::Nothing,
        Ok(Received::Message { bytes: len, handles, cut: false, .. }) => {
            Hello::parse(&bytes[..len])
                .map_or(Heard::Nonsense, |hello| Heard::Hello(hello, handles))
        }
        _ => Heard::Nonsense,
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A forked child's copy is not the server. And nobody is there to be told.
        if self.owner == sys::process_token() {
            let _ = sys::unlink_socket(&self.path, self.identity);
        }
    }
}
