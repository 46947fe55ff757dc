//! How a server is bound.

use super::connect::size_of_ring;
use super::{Server, ServiceName};
use crate::error::{Error, ErrorKind, Result};
use std::time::Duration;

/// How a server is bound, and what it grants its clients.
///
/// ```
/// use ringlane::session::{ServerOptions, ServiceName};
///
/// let name = ServiceName::new("ringlane doc server options")?;
/// let server = ServerOptions::new().largest_ring(1 << 16).most_sessions(100).bind(&name)?;
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "RTLOCALIPC_FLAGS_VALID_MASK")]
pub struct ServerOptions {
    pub(super) mode: u32,
    pub(super) group: Option<u32>,
    pub(super) same_user: bool,
    pub(super) backlog: u32,
    pub(super) largest_ring: usize,
    pub(super) most_sessions: usize,
    pub(super) patience: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            mode: 0o600,
            group: None,
            same_user: false,
            backlog: 128,
            largest_ring: 1 << 24,
            most_sessions: usize::MAX,
            patience: Duration::from_secs(5),
        }
    }
}

impl ServerOptions {
    /// Mode 0600, rings of up to 16 MiB, any number of sessions.
    ///
    /// ```
    /// let options = ringlane::session::ServerOptions::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// The permission bits of the socket, which it has before it has its name. To connect takes the right to
    /// write. Default: 0600, this user and root; on Windows, whose servers are their user's, the only one.
    ///
    /// ```
    /// let options = ringlane::session::ServerOptions::new().mode(0o660).clone();
    /// ```
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }

    /// The group that the socket belongs to: set before its mode lets the group in. Not on Windows.
    ///
    /// ```
    /// let options = ringlane::session::ServerOptions::new().group(100).mode(0o660).clone();
    /// ```
    pub fn group(&mut self, group: u32) -> &mut Self {
        self.group = Some(group);
        self
    }

    /// Whether clients of other users, root among them, are turned away whatever the mode. Default: no.
    ///
    /// ```
    /// let options = ringlane::session::ServerOptions::new().restrict_to_user(true).clone();
    /// ```
    #[doc(alias = "RTLOCALIPC_FLAGS_RESTRICT_TO_USER")]
    pub fn restrict_to_user(&mut self, yes: bool) -> &mut Self {
        self.same_user = yes;
        self
    }

    /// How many clients may wait to be accepted before the next ones wait to connect. Default: 128.
    ///
    /// ```
    /// let options = ringlane::session::ServerOptions::new().backlog(16).clone();
    /// ```
    pub fn backlog(&mut self, clients: u32) -> &mut Self {
        self.backlog = clients;
        self
    }

    /// Bytes that either ring of a session may have at most, rounded up to whole pages. A client that asks for
    /// more is turned away. Default: 16 MiB.
    ///
    /// ```
    /// let options = ringlane::session::ServerOptions::new().largest_ring(1 << 20).clone();
    /// ```
    pub fn largest_ring(&mut self, bytes: usize) -> &mut Self {
        self.largest_ring = bytes;
        self
    }

    /// How many sessions may live at a time; further clients are turned away. Default: any number.
    ///
    /// ```
    /// let options = ringlane::session::ServerOptions::new().most_sessions(8).clone();
    /// ```
    pub fn most_sessions(&mut self, sessions: usize) -> &mut Self {
        self.most_sessions = sessions;
        self
    }

    /// How long a client may take to say what it wants, before it is turned away. Nobody waits for it meanwhile.
    /// Default: 5 seconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// let mut options = ringlane::session::ServerOptions::new();
    /// options.patience(Duration::from_millis(100));
    /// ```
    pub fn patience(&mut self, patience: Duration) -> &mut Self {
        self.patience = patience;
        self
    }

    /// Binds a server to this name. What a server that died has left there is replaced; a living one is not.
    ///
    /// # Errors
    /// * [`ErrorKind::AlreadyExists`] if a living server has the name, or something that is no socket.
    /// * [`ErrorKind::InvalidName`] if the path is too long for a socket.
    /// * [`ErrorKind::PermissionDenied`] if the directory or the group does not allow it, or there is no directory
    ///   for portable names that is this user's alone.
    /// * [`ErrorKind::InvalidInput`] for a mode with other than permission bits, [`ErrorKind::InvalidSize`] for
    ///   a ring that no memory can hold.
    /// * [`ErrorKind::Unsupported`] on Windows for a group, and for a mode that is not 0600.
    ///
    /// ```
    /// use ringlane::ErrorKind;
    /// use ringlane::session::{Server, ServiceName};
    /// let name = ServiceName::new("ringlane doc bind")?;
    /// let server = Server::bind(&name)?;
    /// assert_eq!(Server::bind(&name).unwrap_err().kind(), ErrorKind::AlreadyExists);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLocalIpcServerCreate")]
    pub fn bind(&self, name: &ServiceName) -> Result<Server> {
        let bound = self.checked().and_then(|options| Server::over(options, name));
        bound.map_err(|e| e.on(format_args!("bind {:?}", name.to_string())))
    }

    fn checked(&self) -> Result<ServerOptions> {
        if self.mode & !0o777 != 0 {
            let text = format!("mode {:o} has more than permission bits", self.mode);
            return Err(Error::new(ErrorKind::InvalidInput, text));
        }
        let largest_ring = size_of_ring(self.largest_ring)?;
        Ok(ServerOptions { largest_ring, ..self.clone() })
    }
}
