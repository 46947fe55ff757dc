//! Messages, which arrive as they were sent.

use super::{Result, Session};
use crate::error::PopError;
use crate::queue::Limit;
use crate::queue::record::Record;
use std::time::Duration;

impl Session {
    /// Sends a message, whole, and waits for room as long as it takes.
    ///
    /// Messages and bytes go the same way: a message that is read as bytes is its bytes, and what is written is
    /// received in the pieces in which it was written.
    ///
    /// # Errors
    /// As [`write_all`](Self::write_all), and [`SessionError::TooLarge`](crate::SessionError::TooLarge) if it is longer than
    /// [`longest_message`](Self::longest_message).
    ///
    /// ```
    /// let (one, other) = ringlane::session::Session::pair(4096)?;
    /// one.send(b"one").unwrap();
    /// one.send(b"two").unwrap();
    /// assert_eq!(other.recv().unwrap(), b"one");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn send(&self, message: &[u8]) -> Result<()> {
        self.send_limited(message, Limit::Never)
    }

    /// Sends a message if there is room for it now. Never waits.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SessionError::WouldBlock`](crate::SessionError::WouldBlock).
    ///
    /// ```
    /// let (one, other) = ringlane::session::Session::pair(4096)?;
    /// one.try_send(b"one").unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn try_send(&self, message: &[u8]) -> Result<()> {
        self.send_limited(message, Limit::Now)
    }

    /// Sends a message, and waits for room at most `timeout`.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SessionError::TimedOut`](crate::SessionError::TimedOut).
    ///
    /// ```
    /// use std::time::Duration;
    /// let (one, other) = ringlane::session::Session::pair(4096)?;
    /// one.send_timeout(b"one", Duration::from_millis(1)).unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn send_timeout(&self, message: &[u8], timeout: Duration) -> Result<()> {
        self.send_limited(message, Limit::Within(timeout))
    }

    #[inline(always)]
    fn send_limited(&self, message: &[u8], limit: Limit) -> Result<()> {
        let mut writer = self.writer()?;
        writer.push_limited(message, limit).map_err(|e| self.unwritten(e, limit))?;
        self.written();
        Ok(())
    }

    /// The longest message that this side can send.
    ///
    /// ```
    /// let (one, _other) = ringlane::session::Session::pair(1 << 16)?;
    /// assert!(one.longest_message().unwrap() > 30_000);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn longest_message(&self) -> Result<usize> {
        Ok(self.writer()?.max_len())
    }

    /// Receives a message, and waits for one as long as it takes.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// ```
    /// let (one, other) = ringlane::session::Session::pair(4096)?;
    /// one.send(b"one").unwrap();
    /// assert_eq!(other.recv().unwrap(), b"one");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn recv(&self) -> Result<Vec<u8>> {
        self.recv_limited(Limit::Never)
    }

    /// Receives a message if one is there now. Never waits.
    ///
    /// # Errors
    /// As [`try_read`](Self::try_read).
    ///
    /// ```
    /// use ringlane::SessionError;
    /// let (one, _other) = ringlane::session::Session::pair(4096)?;
    /// assert_eq!(one.try_recv(), Err(SessionError::WouldBlock));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn try_recv(&self) -> Result<Vec<u8>> {
        self.recv_limited(Limit::Now)
    }

    /// Receives a message, and waits for one at most `timeout`.
    ///
    /// # Errors
    /// As [`read_timeout`](Self::read_timeout).
    ///
    /// ```
    /// use std::time::Duration;
    /// let (one, _other) = ringlane::session::Session::pair(4096)?;
    /// assert!(one.recv_timeout(Duration::from_millis(1)).is_err());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Vec<u8>> {
        self.recv_limited(Limit::Within(timeout))
    }

    fn recv_limited(&self, limit: Limit) -> Result<Vec<u8>> {
        let mut reader = self.reader()?;
        let first = reader.read_limited(limit).map(Record::take);
        first.or_else(|error: PopError| {
            let gone = self.look_again(&error, limit)?;
            let second = reader.read_limited(Limit::Now).map(Record::take);
            second.map_err(|e| self.unread(e, limit, gone))
        })
    }
}
