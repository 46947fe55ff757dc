//! What is done with a session as a whole: it is called off, closed, counted, polled.

use super::{CloseOutcome, Result, Session};
use crate::error::{PopError, ReserveError, SessionError};
use crate::queue::Limit;
use crate::wait::Wait;
use std::sync::Arc;

impl Session {
    /// Calls off what waits in the session now, in all clones, and whatever is done with it later. The other side is
    /// told nothing before this one is closed or dropped.
    ///
    /// ```
    /// use ringlane::SessionError;
    /// let (one, other) = ringlane::session::Session::pair(4096)?;
    /// other.write_all(b"there").unwrap();
    /// one.cancel();
    /// assert_eq!(one.try_read(&mut [0; 5]), Err(SessionError::Cancelled { done: 0 }));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLocalIpcSessionCancel")]
    pub fn cancel(&self) {
        self.core.link.cancel();
    }

    /// Cancels the session, tells the other side that it is over, and lets go of it. What was written before stays
    /// there to be read; what was not read is lost.
    ///
    /// ```
    /// use ringlane::session::{CloseOutcome, Session};
    /// let (one, _other) = Session::pair(4096)?;
    /// assert_eq!(one.close(), CloseOutcome::Destroyed);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLocalIpcSessionClose")]
    pub fn close(self) -> CloseOutcome {
        self.core.link.close();
        CloseOutcome::of(self.core)
    }

    /// How many clones there are, this one among them.
    ///
    /// ```
    /// let (one, _other) = ringlane::session::Session::pair(4096)?;
    /// let clone = one.clone();
    /// assert_eq!(one.ref_count(), 2);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "RTLocalIpcSessionRetain")]
    #[doc(alias = "RTLocalIpcSessionRelease")]
    pub fn ref_count(&self) -> usize {
        Arc::strong_count(&self.core)
    }

    /// How this side waits. Default: [`Wait::SpinThenPark`].
    ///
    /// # Errors
    /// [`SessionError::Busy`] while another thread reads or writes, and
    /// [`Cancelled`](SessionError::Cancelled).
    ///
    /// ```
    /// use ringlane::Wait;
    /// let (one, _other) = ringlane::session::Session::pair(4096)?;
    /// one.set_wait(Wait::Park).unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn set_wait(&self, wait: Wait) -> Result<()> {
        let mut reader = self.reader()?;
        self.writer()?.set_wait(wait);
        reader.set_wait(wait);
        Ok(())
    }

    /// Whether a read would do something at once: give bytes, or say that the pipe is broken. If not, the
    /// session's [descriptor](crate::session#polling) becomes readable when it would, and a poll of it can be waited for.
    ///
    /// What made the descriptor readable is taken from it by the next call of this or of
    /// [`arm_write`](Self::arm_write); whoever waits for both calls both, one after the other, before each poll.
    ///
    /// # Errors
    /// [`SessionError::Cancelled`], [`Busy`](SessionError::Busy).
    ///
    /// ```
    /// use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    /// use std::os::fd::AsFd;
    ///
    /// let (one, other) = ringlane::session::Session::pair(4096)?;
    /// assert!(!one.arm_read().unwrap());
    /// other.write_all(b"ring").unwrap();
    /// let mut polled = [PollFd::new(one.as_fd(), PollFlags::POLLIN)];
    /// assert_eq!(poll(&mut polled, PollTimeout::NONE), Ok(1));
    /// assert_eq!(one.try_read(&mut [0; 10]), Ok(4));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn arm_read(&self) -> Result<bool> {
        let mut reader = self.reader()?;
        self.core.link.drain();
        reader.end().arm();
        self.core.link.check();
        let ready = self.core.link.is_gone()
            || !matches!(reader.find_limited(Limit::Now), Err(PopError::Empty));
        if ready {
            reader.end().disarm();
        }
        Ok(ready)
    }

    /// The same for writing: whether there is room for a byte, or the pipe is broken.
    ///
    /// # Errors
    /// As [`arm_read`](Self::arm_read).
    ///
    /// ```
    /// let (one, _other) = ringlane::session::Session::pair(4096)?;
    /// assert!(one.arm_write().unwrap());
    /// while one.try_write(&[0; 100]).is_ok() {}
    /// assert!(!one.arm_write().unwrap());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn arm_write(&self) -> Result<bool> {
        self.check()?;
        let mut writer = self.core.writer.take().ok_or(SessionError::Busy)?;
        self.core.link.drain();
        writer.end().arm();
        self.core.link.check();
        let full = matches!(writer.try_reserve(1), Err(ReserveError::Full));
        let ready = self.core.link.is_gone() || !full;
        if ready {
            writer.end().disarm();
        }
        Ok(ready)
    }
}
