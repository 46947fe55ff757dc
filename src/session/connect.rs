//! How a client comes to a session.

use super::hello::Hello;
use super::link::Link;
use super::{RING, ServiceName, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Hall, ring_size};
use crate::sys;
use std::time::{Duration, Instant};

/// How a session is connected.
///
/// ```
/// use ringlane::session::{ConnectOptions, Server, ServiceName};
///
/// let name = ServiceName::new("ringlane doc connect options")?;
/// let server = Server::bind(&name)?;
/// let session = ConnectOptions::new().outgoing(1 << 16).incoming(1 << 20).connect(&name)?;
/// assert_eq!(session.outgoing_capacity(), 1 << 16);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    outgoing: usize,
    incoming: usize,
    timeout: Option<Duration>,
    same_user: bool,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        ConnectOptions { outgoing: RING, incoming: RING, timeout: None, same_user: false }
    }
}

impl ConnectOptions {
    /// Rings of 256 KiB, as long as it takes, any server.
    ///
    /// ```
    /// let options = ringlane::session::ConnectOptions::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of the ring that this side writes to, rounded up to whole pages. The server may not allow so
    /// many: then it hangs up.
    ///
    /// ```
    /// let options = ringlane::session::ConnectOptions::new().outgoing(4096).clone();
    /// ```
    pub fn outgoing(&mut self, bytes: usize) -> &mut Self {
        self.outgoing = bytes;
        self
    }

    /// Bytes of the ring that this side reads from, likewise.
    ///
    /// ```
    /// let options = ringlane::session::ConnectOptions::new().incoming(4096).clone();
    /// ```
    pub fn incoming(&mut self, bytes: usize) -> &mut Self {
        self.incoming = bytes;
        self
    }

    /// How long to wait while too many others wait to be accepted. Default: as long as it takes. Connecting never
    /// waits to be accepted.
    ///
    /// ```
    /// use std::time::Duration;
    /// let mut options = ringlane::session::ConnectOptions::new();
    /// options.timeout(Duration::from_secs(5));
    /// ```
    pub fn timeout(&mut self, timeout: Duration) -> &mut Self {
        self.timeout = Some(timeout);
        self
    }

    /// Whether the server has to be the same user. Default: no.
    ///
    /// ```
    /// let options = ringlane::session::ConnectOptions::new().restrict_to_user(true).clone();
    /// ```
    #[doc(alias = "RTLOCALIPC_C_FLAGS_RESTRICT_TO_USER")]
    pub fn restrict_to_user(&mut self, yes: bool) -> &mut Self {
        self.same_user = yes;
        self
    }

    /// Connects. It returns before the server accepts, and what is written then is there when it does; on Windows not if
    /// this process is killed before.
    ///
    /// # Errors
    /// * [`ErrorKind::NotFound`] if there is no server of this name, [`ErrorKind::ConnectionRefused`] if one has
    ///   died and left its name, or it is a socket of another kind.
    /// * [`ErrorKind::PermissionDenied`] if the server's mode does not allow it, or it is another user's and
    ///   must not be.
    /// * [`ErrorKind::TimedOut`] after the [timeout](Self::timeout).
    /// * [`ErrorKind::InvalidSize`] for rings that no memory can hold; [`ErrorKind::NoSpace`] and
    ///   [`ErrorKind::LimitReached`] if there is no memory or descriptor.
    ///
    /// ```
    /// use ringlane::ErrorKind;
    /// use ringlane::session::{ConnectOptions, ServiceName};
    /// let error = ConnectOptions::new().connect(&ServiceName::new("ringlane doc nobody")?).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLocalIpcSessionConnect")]
    pub fn connect(&self, name: &ServiceName) -> Result<Session> {
        self.attempt(name).map_err(|e| e.on(format_args!("connect to {:?}", name.to_string())))
    }

    fn attempt(&self, name: &ServiceName) -> Result<Session> {
        // First what takes a while: a server's patience with those who connect and say nothing is bounded.
        let (out, back) = (size_of_ring(self.outgoing)?, size_of_ring(self.incoming)?);
        let (hall, memory) = Hall::ask(out, back)?;
        let socket = self.find(name)?;
        if self.same_user {
            sys::check_user(&socket)?;
        }
        let memory: Vec<&sys::Handle> = memory.iter().collect();
        if !sys::send(&socket, bytemuck::bytes_of(&Hello::new(out, back)), &memory)? {
            let text = "the server hung up at once";
            return Err(Error::new(ErrorKind::ConnectionRefused, text));
        }
        Session::over(Link::new(socket, hall, Hello::new(back, out), false), None)
    }

    fn find(&self, name: &ServiceName) -> Result<sys::Socket> {
        let began = Instant::now();
        let mut missing = Error::new(ErrorKind::NotFound, "there is no server of this name");
        for path in name.paths_to_connect()? {
            let left = self.timeout.map(|timeout| timeout.saturating_sub(began.elapsed()));
            match sys::connect(&path, left) {
                Err(error) if error.kind() == ErrorKind::NotFound => missing = error,
                done => return done,
            }
        }
        Err(missing)
    }
}

/// The size that a ring has if so many bytes are asked for.
pub(super) fn size_of_ring(bytes: usize) -> Result<usize> {
    ring_size(bytes).ok_or_else(|| {
        Error::new(ErrorKind::InvalidSize, format!("a ring of {bytes} bytes is past any memory"))
    })
}
