//! What is lent to be polled, as the standard library calls it on each platform.

use super::{Server, Session};
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
#[cfg(windows)]
use std::os::windows::io::{AsHandle, BorrowedHandle};

#[cfg(unix)]
impl AsFd for Server {
    /// Readable when [`try_accept`](Server::try_accept) has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.poller.as_fd()
    }
}

#[cfg(windows)]
impl AsHandle for Server {
    /// Set when [`try_accept`](Server::try_accept) may have something to do.
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.inner.poller.as_handle()
    }
}

#[cfg(unix)]
impl AsFd for Session {
    /// To be polled after [`arm_read`](Session::arm_read), and hung up when the other side is gone. Nothing else is to
    /// be done with it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.core.link.socket().as_fd()
    }
}

#[cfg(windows)]
impl AsHandle for Session {
    /// An event, to be waited for after [`arm_read`](Session::arm_read), and set for good when the other side is gone.
    /// Nothing else is to be done with it.
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.core.link.socket().as_handle()
    }
}
