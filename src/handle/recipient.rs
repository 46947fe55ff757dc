//! Whom a handle is for: a process, not its number.

use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;
use crate::sys;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A process that handles are made for. It is the process that had the number, or is at the other end, when this was
/// made: numbers are given anew, this is not. A clone is the same process.
///
/// ```
/// use ringlane::handle::Recipient;
/// let me = Recipient::process(std::process::id())?;
/// assert_eq!(me.pid(), std::process::id());
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Recipient {
    process: Arc<sys::Handle>,
    pid: u32,
    /// Of the descriptor: from Linux 6.9 on one for each process that there ever was.
    identity: sys::Identity,
}

impl Recipient {
    /// The process that has this number now. Only who knows that it lives, as its parent does until it waits
    /// for it, knows that this is the one that is meant.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none; [`ErrorKind::LimitReached`] if there is no descriptor to be had.
    ///
    /// ```
    /// let me = ringlane::handle::Recipient::process(std::process::id())?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn process(pid: u32) -> Result<Recipient> {
        let missing = |error: Error| match error.raw_os_error() {
            Some(libc::ESRCH | libc::EINVAL) => {
                Error::new(ErrorKind::NotFound, "there is no such process")
            }
            _ => error,
        };
        let found = sys::open_process(pid).map_err(missing).and_then(Recipient::of);
        found.map_err(|e| e.on(format_args!("make process {pid} a recipient")))
    }

    /// The process of a descriptor from `pidfd_open(2)`, `clone(2)` or the like.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is no such descriptor, [`ErrorKind::NotFound`] if the process has
    /// ended or is in a namespace that this one does not see.
    ///
    /// ```
    /// let (one, _other) = ringlane::session::Session::pair(4096)?;
    /// let recipient = ringlane::handle::Recipient::descriptor(one.peer_process()?)?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "pidfd_open")]
    pub fn descriptor(process: OwnedFd) -> Result<Recipient> {
        Recipient::of(process).map_err(|e| e.on("make a process a recipient"))
    }

    /// The process at the other end of a session: which connected, or bound the server.
    ///
    /// # Errors
    /// As [`Session::peer_process`] and [`descriptor`](Self::descriptor).
    ///
    /// ```
    /// let (one, _other) = ringlane::session::Session::pair(4096)?;
    /// let recipient = ringlane::handle::Recipient::peer(&one)?;
    /// assert_eq!(recipient.pid(), one.peer_pid()?);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn peer(session: &Session) -> Result<Recipient> {
        Recipient::descriptor(session.peer_process()?)
    }

    fn of(process: sys::Handle) -> Result<Recipient> {
        let gone = || Error::new(ErrorKind::NotFound, "the process has ended, or is out of sight");
        let pid = sys::number_of(&process)?.ok_or_else(gone)?;
        if sys::has_ended(&process)? {
            return Err(gone());
        }
        let identity = sys::stat(&process)?.identity;
        Ok(Recipient { process: Arc::new(process), pid, identity })
    }

    /// Its number, while it lives: for people.
    ///
    /// ```
    /// let me = ringlane::handle::Recipient::process(std::process::id())?;
    /// assert_eq!(me.pid(), std::process::id());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What two of the same process have in common.
    pub(super) fn key(&self) -> (u32, u64) {
        (self.pid, self.identity.object)
    }

    pub(super) fn handle(&self) -> &sys::Handle {
        &self.process
    }

    /// A failing query is no proof that it lives.
    pub(super) fn has_ended(&self) -> bool {
        sys::has_ended(&self.process).unwrap_or(true)
    }

    /// Whether a message from this sender, over this socket, is the process's own: it sent it, it
    /// connected, and it lives, so that nobody else has its number.
    pub(super) fn is_at(&self, socket: &sys::Handle, sender: sys::Credentials) -> bool {
        let connected = sys::credentials(socket).is_ok_and(|found| found.pid == self.pid);
        let same = match sys::peer_process(socket) {
            Ok(process) => sys::stat(&process).is_ok_and(|found| found.identity == self.identity),
            // Before Linux 6.5 there is the number alone, and that the process has kept it.
            Err(error) => error.kind() == ErrorKind::Unsupported,
        };
        sender.pid == self.pid && connected && same && !self.has_ended()
    }
}
