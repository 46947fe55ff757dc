//! Sessions as `std`'s readers and writers.
//!
//! A read gives 0 when the other side closed and everything has been read; if it died without closing, the pipe is
//! broken. `flush` has nothing to do, as what was written can be read at once: to wait until it has been read, there is
//! [`Session::flush`].

use super::{Session, SessionReader, SessionWriter};
use crate::error::SessionError;
use crate::layout::Peer;
use std::io::{self, Read, Write};

impl Read for &Session {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match Session::read(self, to) {
            Err(SessionError::BrokenPipe { .. }) if self.peer() == Peer::Closed => Ok(0),
            done => Ok(done?),
        }
    }
}

impl Write for &Session {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(Session::write(self, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Session {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        Read::read(&mut &*self, to)
    }
}

impl Write for Session {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut &*self, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for SessionReader {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        Read::read(&mut self.session(), to)
    }
}

impl Write for SessionWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut self.session(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
