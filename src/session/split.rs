//! The two directions of a session, to be given to two threads.

use super::Session;

/// The half that reads. Nothing else reads from the session while it is used through its halves, so a call is never
/// [`Busy`](crate::SessionError::Busy).
///
/// ```
/// use std::io::{Read, Write};
/// let (one, other) = ringlane::session::Session::pair(4096)?;
/// let (_reader, mut writer) = one.split();
/// let (mut reader, _writer) = other.split();
/// writer.write_all(b"half").unwrap();
/// let mut text = [0; 4];
/// reader.read_exact(&mut text).unwrap();
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
pub struct SessionReader(Session);

/// The half that writes, likewise.
///
/// ```
/// use std::io::Write;
/// let (one, _other) = ringlane::session::Session::pair(4096)?;
/// let (_reader, mut writer) = one.split();
/// writer.write_all(b"half").unwrap();
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
pub struct SessionWriter(Session);

impl Session {
    /// The session as two halves. It is closed when both are dropped.
    ///
    /// ```
    /// let (one, _other) = ringlane::session::Session::pair(4096)?;
    /// let (reader, writer) = one.split();
    /// assert_eq!(reader.session().ref_count(), 2);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn split(self) -> (SessionReader, SessionWriter) {
        (SessionReader(self.clone()), SessionWriter(self))
    }
}

impl SessionReader {
    /// The session, for all its ways of reading, and to cancel it.
    ///
    /// ```
    /// let (one, other) = ringlane::session::Session::pair(4096)?;
    /// let (reader, _writer) = one.split();
    /// other.send(b"message").unwrap();
    /// assert_eq!(reader.session().recv().unwrap(), b"message");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn session(&self) -> &Session {
        &self.0
    }
}

impl SessionWriter {
    /// The session, for all its ways of writing, and to cancel it.
    ///
    /// ```
    /// let (one, _other) = ringlane::session::Session::pair(4096)?;
    /// let (_reader, writer) = one.split();
    /// writer.session().send(b"message").unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn session(&self) -> &Session {
        &self.0
    }
}
