//! Waiting for descriptors: several at a time, and to be told of ends.

use super::{Flag, Process, failed};
use crate::error::{Error, Result};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Descriptors that are waited for together.
#[derive(Debug)]
pub(crate) struct Poller(Epoll);

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Something can be read, or accepted; a process ended.
    Readable,
    /// The other side of a socket hung up.
    End,
}

/// That a process's end is waited for.
#[derive(Debug)]
pub(crate) struct Watch;

impl Poller {
    pub(crate) fn new() -> Result<Poller> {
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map(Poller).map_err(failed("epoll_create"))
    }

    /// Has something reported as `token` until its handle is dropped: again and again, or once.
    pub(crate) fn add(
        &self,
        handle: impl AsFd,
        interest: Interest,
        once: bool,
        token: u64,
    ) -> Result<()> {
        self.0.add(handle, event(interest, once, token)).map_err(failed("epoll_ctl"))
    }

    /// Has the end of a process reported as `token`, once, unless its handle is dropped before.
    pub(crate) fn add_end(&self, process: &Process, token: u64) -> Result<()> {
        self.add(process.as_fd(), Interest::Readable, true, token)
    }

    /// The same again and again, until it is forgotten.
    pub(crate) fn watch_end(&self, process: &Process, token: u64) -> Result<Watch> {
        self.add(process.as_fd(), Interest::Readable, false, token).map(|()| Watch)
    }

    pub(crate) fn forget_end(&self, process: &Process, _watch: Watch) {
        self.remove(process.as_fd());
    }

    /// The same for a handle that is known already.
    pub(crate) fn again(&self, handle: impl AsFd, interest: Interest, token: u64) -> Result<()> {
        let mut event = event(interest, true, token);
        self.0.modify(handle, &mut event).map_err(failed("epoll_ctl"))
    }

    /// Forgets a handle.
    pub(crate) fn remove(&self, handle: impl AsFd) {
        // What is not there need not be removed.
        let _ = self.0.delete(handle);
    }

    /// To be called before everything that is waited for is looked at: what is reported from here on is kept for
    /// the next wait. Here, reports are made when they are asked for.
    pub(crate) fn begin_look(&self) {}

    /// Says that not everything was looked at, so that the next wait is none.
    pub(crate) fn leave_look(&self) {}

    /// Waits for the next report; nothing if there was none within the time.
    pub(crate) fn next(&self, most: Option<Duration>) -> Result<Option<u64>> {
        let mut events = [EpollEvent::empty()];
        // Rounded up, so that a wait is not over before its time.
        let most = most.map(|most| most.as_micros().div_ceil(1000).min(1 << 30) as u32);
        let most =
            most.and_then(|ms| EpollTimeout::try_from(ms).ok()).unwrap_or(EpollTimeout::NONE);
        match self.0.wait(&mut events, most) {
            Ok(0) | Err(Errno::EINTR) => Ok(None),
            Ok(_) => Ok(Some(events[0].data())),
            Err(errno) => Err(Error::os("epoll_wait", errno as i32)),
        }
    }

    /// Waits until there is one to be asked for, or the time is up. What is reported again and again is so after this.
    pub(crate) fn wait(&self, most: Option<Duration>) -> Result<()> {
        self.next(most).map(drop)
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

fn event(interest: Interest, once: bool, token: u64) -> EpollEvent {
    let mut flags = match interest {
        Interest::Readable => EpollFlags::EPOLLIN,
        // An end is reported without being asked for.
        Interest::End => EpollFlags::empty(),
    };
    flags.set(EpollFlags::EPOLLONESHOT, once);
    EpollEvent::new(flags, token)
}

/// A flag that can be waited for, and stays set until it is cleared.
pub(crate) fn flag() -> Result<Flag> {
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    EventFd::from_value_and_flags(0, flags).map(Flag::from).map_err(failed("eventfd"))
}

/// Sets a [`flag`].
pub(crate) fn raise(flag: &Flag) {
    // It fails only when the count is full, and then the flag is set.
    let _ = nix::unistd::write(flag, &1_u64.to_ne_bytes());
}

/// Clears a [`flag`].
pub(crate) fn lower(flag: &Flag) {
    // It fails only when the flag is not set.
    let _ = nix::unistd::read(flag, &mut [0; 8]);
}
