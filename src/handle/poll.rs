//! What is lent to be polled, as the standard library calls it on each platform.

use super::Broker;
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
#[cfg(windows)]
use std::os::windows::io::{AsHandle, BorrowedHandle};

#[cfg(unix)]
impl AsFd for Broker {
    /// Readable when [`try_serve`](Broker::try_serve) has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.poller.as_fd()
    }
}

#[cfg(windows)]
impl AsHandle for Broker {
    /// Set when [`try_serve`](Broker::try_serve) may have something to do.
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.inner.poller.as_handle()
    }
}
