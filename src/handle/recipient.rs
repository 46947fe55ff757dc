//! Whom a handle is for: a process, not its number.

use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;
use crate::sys;
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
    process: Arc<sys::Process>,
    pid: u32,
    /// What tells it from another of this number.
    mark: sys::Identity,
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
        let missing = |error: Error| {
            let none = Error::new(ErrorKind::NotFound, "there is no such process");
            if sys::is_no_process(&error) { none } else { error }
        };
        let found = sys::open_to_give(pid).map_err(missing).and_then(Recipient::of);
        found.map_err(|e| e.on(format_args!("make process {pid} a recipient")))
    }

    /// The process of a descriptor from `pidfd_open(2)`, `clone(2)` or the like; on Windows of a handle that may be waited
    /// for and asked about.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is no such descriptor, [`ErrorKind::NotFound`] if the process has
    /// ended or is in a namespace that this one does not see; on Windows [`ErrorKind::PermissionDenied`] if this process
    /// may not put handles into it.
    ///
    /// ```
    /// let (one, _other) = ringlane::session::Session::pair(4096)?;
    /// let recipient = ringlane::handle::Recipient::descriptor(one.peer_process()?)?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "pidfd_open")]
    pub fn descriptor(process: sys::OwnedRaw) -> Result<Recipient> {
        let found = sys::process_of(process).and_then(Recipient::of);
        found.map_err(|e| e.on("make a process a recipient"))
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

    fn of(process: sys::Process) -> Result<Recipient> {
        let gone = || Error::new(ErrorKind::NotFound, "the process has ended, or is out of sight");
        let pid = sys::number_of(&process)?.ok_or_else(gone)?;
        if sys::has_ended(&process)? {
            return Err(gone());
        }
        let mark = sys::mark_of(&process)?;
        Ok(Recipient { process: Arc::new(process), pid, mark })
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
        (self.pid, self.mark.object)
    }

    pub(super) fn process_handle(&self) -> &sys::Process {
        &self.process
    }

    /// A failing query is no proof that it lives.
    pub(super) fn has_ended(&self) -> bool {
        sys::has_ended(&self.process).unwrap_or(true)
    }

    /// Whether a message from this sender, over this socket, is the process's own: it sent it, it
    /// connected, and it lives, so that nobody else has its number. Where nobody says who sent it, the process gets what
    /// is sent back, whoever reads it.
    pub(super) fn is_at(&self, socket: &sys::Socket, sender: Option<sys::Credentials>) -> bool {
        let sent = sender.map_or(cfg!(windows), |sender| sender.pid == self.pid);
        let connected = sys::connected_by(socket, &self.process, self.pid);
        sent && connected.unwrap_or(false) && !self.has_ended()
    }
}
