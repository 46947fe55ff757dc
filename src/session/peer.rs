//! Who is at the other end: what the kernel says, not the other side.

use super::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Peer;
use crate::sys;

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

    fn numbered(&self) -> Result<sys::Credentials> {
        let found = self.credentials()?;
        if sys::ABILITIES.numbered_users {
            return Ok(found);
        }
        self.about(|| Err(Error::new(ErrorKind::Unsupported, "users have no numbers here")))
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
    /// [`ErrorKind::Cancelled`]; [`ErrorKind::Unsupported`] on Windows, where users have no numbers.
    ///
    /// ```
    /// let (one, other) = ringlane::session::Session::pair(4096)?;
    /// assert_eq!(one.peer_uid()?, other.peer_uid()?);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLocalIpcSessionQueryUserId")]
    pub fn peer_uid(&self) -> Result<u32> {
        Ok(self.numbered()?.user)
    }

    /// The group of that process when it connected, or bound.
    ///
    /// # Errors
    /// As [`peer_uid`](Self::peer_uid).
    ///
    /// ```
    /// let (one, other) = ringlane::session::Session::pair(4096)?;
    /// assert_eq!(one.peer_gid()?, other.peer_gid()?);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLocalIpcSessionQueryGroupId")]
    pub fn peer_gid(&self) -> Result<u32> {
        Ok(self.numbered()?.group)
    }

    /// A descriptor of that process, see `pidfd_open(2)`; on Windows a handle that can be waited for.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`]; [`ErrorKind::Unsupported`] before Linux 6.5.
    ///
    /// ```
    /// let (one, _other) = ringlane::session::Session::pair(4096)?;
    /// let process = one.peer_process()?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn peer_process(&self) -> Result<sys::OwnedRaw> {
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
        self.about(|| sys::check_user(self.core.link.socket()))
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
