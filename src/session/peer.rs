//! Who is at the other end: what the kernel says, not the other side.

use super::Session;
use super::connect::check_user;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Peer;
use crate::sys;
use std::os::fd::OwnedFd;

impl Session {
    fn about<T>(&self, ask: impl FnOnce() -> Result<T>) -> Result<T> {
        let link = &self.core.link;
        let answer = if link.is_cancelled() {
            Err(Error::new(ErrorKind::Cancelled, "the session was cancelled"))
        } else {
            ask()
        };
        answer.map_err(|e| e.on("ask who is at the other end"))
    }

    fn credentials(&self) -> Result<sys::Credentials> {
        self.about(|| self.core.link.credentials())
    }

    /// The process that connected, or bound the server, by its number: for people. Processes that have gone leave
    /// their numbers to others; [`peer_process`](Self::peer_process) means one for good.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`]; [`ErrorKind::Unsupported`] if this process cannot see that one, being in another
    /// namespace.
    ///
    /// ```
    /// let (one, _other) = ringlane::session::Session::pair(4096)?;
    /// assert_eq!(one.peer_pid()?, std::process::id());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLocalIpcSessionQueryProcess")]
    pub fn peer_pid(&self) -> Result<u32> {
        match self.credentials()?.pid {
            0 => self.about(|| {
                let text = "it is in another namespace, and has no number here";
                Err(Error::new(ErrorKind::Unsupported, text))
            }),
            pid => Ok(pid),
        }
    }

    /// The user of that process when it connected, or bound.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`].
    ///
    /// ```
    /// let (one, other) = ringlane::session::Session::pair(4096)?;
    /// assert_eq!(one.peer_uid()?, other.peer_uid()?);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLocalIpcSessionQueryUserId")]
    pub fn peer_uid(&self) -> Result<u32> {
        Ok(self.credentials()?.user)
    }

    /// The group of that process when it connected, or bound.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`].
    ///
    /// ```
    /// let (one, other) = ringlane::session::Session::pair(4096)?;
    /// assert_eq!(one.peer_gid()?, other.peer_gid()?);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLocalIpcSessionQueryGroupId")]
    pub fn peer_gid(&self) -> Result<u32> {
        Ok(self.credentials()?.group)
    }

    /// A descriptor of that process, see `pidfd_open(2)`.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`]; [`ErrorKind::Unsupported`] before Linux 6.5.
    ///
    /// ```
    /// let (one, _other) = ringlane::session::Session::pair(4096)?;
    /// let process = one.peer_process()?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn peer_process(&self) -> Result<OwnedFd> {
        self.about(|| sys::peer_process(self.core.link.socket()))
    }

    /// Makes sure that the other side is this process's user.
    ///
    /// # Errors
    /// [`ErrorKind::PermissionDenied`] if it is another one; [`ErrorKind::Cancelled`].
    ///
    /// ```
    /// let (one, _other) = ringlane::session::Session::pair(4096)?;
    /// one.verify_same_user()?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLocalIpcSessionVerifySameUser")]
    pub fn verify_same_user(&self) -> Result<()> {
        let user = self.credentials()?.user;
        self.about(|| check_user(user))
    }

    /// What the other side is: [`Vacant`](Peer::Vacant) until the server has accepted, then
    /// [`Alive`](Peer::Alive) until it closes or dies.
    ///
    /// ```
    /// use ringlane::Peer;
    /// let (one, other) = ringlane::session::Session::pair(4096)?;
    /// assert_eq!(one.peer(), Peer::Alive);
    /// other.close();
    /// assert_eq!(one.peer(), Peer::Closed);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn peer(&self) -> Peer {
        let link = &self.core.link;
        match link.state() {
            Peer::Alive | Peer::Died if link.peer_closed() => Peer::Closed,
            peer => peer,
        }
    }
}
