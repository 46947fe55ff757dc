//! A record ring as a stream of bytes.
//!
//! The records are an envelope only: the reader takes as many bytes as it is asked for, from the front of the
//! next record, and releases just these.

use super::{Consumer, Producer};
use crate::error::PopError;
use crate::queue::end::Limit;
use crate::ring::record::Found;
use std::io::{self, BufRead, Read, Write};
use std::time::Duration;

/// No record of a stream is longer, so that the reader begins while the writer goes on.
pub(super) const LONGEST: usize = 1 << 16;

/// A ring is to hold so many of them at least.
pub(super) const AT_LEAST: usize = 8;

/// The producing end as a stream, see [`Producer::into_stream`]. Dropping it closes it.
///
/// Each write is committed as one record before it returns: an eighth of the ring at most, and 64 KiB at most, so
/// a longer one is [`write_all`](Write::write_all)'s. Many short writes are better made through a
/// [`BufWriter`](io::BufWriter), because each record takes up 8 bytes or more beside its own.
///
/// `flush` has nothing to do: what was written can be read. To wait until it has been read, use
/// [`Producer::flush`] by way of [`get_mut`](Self::get_mut).
///
/// # Errors
/// Writing gives [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the consumer has closed, or has died and there is
/// no room; [`TimedOut`](io::ErrorKind::TimedOut) after the [timeout](Self::set_timeout);
/// [`InvalidData`](io::ErrorKind::InvalidData) if the ring is corrupt.
///
/// ```
/// use std::io;
/// let queue = ringlane::record::Queue::private(1 << 16)?;
/// let (producer, consumer) = (queue.producer()?, queue.consumer()?);
/// let thread = std::thread::spawn(move || {
///     io::copy(&mut io::repeat(7).take(1_000_000), &mut producer.into_stream()).unwrap();
/// });
/// # use std::io::Read;
/// assert_eq!(io::copy(&mut consumer.into_stream(), &mut io::sink()).unwrap(), 1_000_000);
/// thread.join().unwrap();
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
pub struct StreamWriter {
    producer: Producer,
    timeout: Option<Duration>,
    longest: usize,
}

impl StreamWriter {
    pub(super) fn new(producer: Producer) -> StreamWriter {
        let longest = producer.longest_piece();
        StreamWriter { producer, timeout: None, longest }
    }

    /// How long a write may wait for room; `None`, as it is at first, is as long as it takes.
    ///
    /// ```
    /// use std::{io::{ErrorKind, Write}, time::Duration};
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let mut stream = queue.producer()?.into_stream();
    /// stream.set_timeout(Some(Duration::from_millis(1)));
    /// let error = stream.write_all(&[0; 5000]).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// The end itself, to look at.
    ///
    /// ```
    /// use ringlane::Peer;
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// assert_eq!(queue.producer()?.into_stream().get_ref().peer(), Peer::Vacant);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn get_ref(&self) -> &Producer {
        &self.producer
    }

    /// The end itself.
    ///
    /// ```
    /// use std::io::Write;
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let mut stream = queue.producer()?.into_stream();
    /// stream.write_all(b"x").unwrap();
    /// queue.consumer()?.pop().unwrap();
    /// assert!(stream.get_mut().flush(None).is_ok());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn get_mut(&mut self) -> &mut Producer {
        &mut self.producer
    }

    /// The end again.
    ///
    /// ```
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let mut producer = queue.producer()?.into_stream().into_inner();
    /// producer.push(b"a record").unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn into_inner(self) -> Producer {
        self.producer
    }
}

impl Write for StreamWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let len = bytes.len().min(self.longest);
        self.producer.reserve_within(len, self.timeout)?.fill(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The consuming end as a stream, see [`Consumer::into_stream`]. Dropping it closes it.
///
/// What a read returns has been released, to the byte: a successor goes on with the next one. A
/// [`BufReader`](io::BufReader) would take more than it hands on; this is a [`BufRead`] of its own, which
/// releases what is consumed.
///
/// A read gives 0 when the producer has closed and everything has been read. Empty records say nothing, and
/// are passed over.
///
/// # Errors
/// Reading gives [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the producer has died, after all that it had
/// written; [`TimedOut`](io::ErrorKind::TimedOut) after the [timeout](Self::set_timeout);
/// [`InvalidData`](io::ErrorKind::InvalidData) if the ring is corrupt. Empty records are passed over.
///
/// ```
/// use std::io::{BufRead, Write};
/// let queue = ringlane::record::Queue::private(4096)?;
/// let mut writer = queue.producer()?.into_stream();
/// write!(writer, "one\ntwo\n").unwrap();
/// drop(writer);
/// let lines = queue.consumer()?.into_stream().lines().collect::<Result<Vec<_>, _>>().unwrap();
/// assert_eq!(lines, ["one", "two"]);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
pub struct StreamReader {
    consumer: Consumer,
    timeout: Option<Duration>,
    /// A copy of what is first in the ring, of which `used` bytes have been released.
    copy: Vec<u8>,
    used: usize,
    /// The record at the head as far as it is not released, if there is a copy.
    held: Option<Found>,
}

impl StreamReader {
    pub(super) fn new(consumer: Consumer) -> StreamReader {
        StreamReader { consumer, timeout: None, copy: Vec::new(), used: 0, held: None }
    }

    /// How long a read may wait for bytes; `None`, as it is at first, is as long as it takes.
    ///
    /// ```
    /// use std::{io::{ErrorKind, Read}, time::Duration};
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// let mut stream = queue.consumer()?.into_stream();
    /// stream.set_timeout(Some(Duration::from_millis(1)));
    /// assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// The end itself, to look at.
    ///
    /// ```
    /// use ringlane::Peer;
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// assert_eq!(queue.consumer()?.into_stream().get_ref().peer(), Peer::Vacant);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn get_ref(&self) -> &Consumer {
        &self.consumer
    }

    /// The end itself.
    ///
    /// ```
    /// use ringlane::Wait;
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.consumer()?.into_stream().get_mut().set_wait(Wait::Park);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn get_mut(&mut self) -> &mut Consumer {
        // What was copied and not consumed is still in the ring.
        self.forget_copy();
        &mut self.consumer
    }

    /// The end again; what was not consumed is in the next record.
    ///
    /// ```
    /// use std::io::Read;
    /// let queue = ringlane::record::Queue::private(4096)?;
    /// queue.producer()?.push(b"a record").unwrap();
    /// let mut stream = queue.consumer()?.into_stream();
    /// stream.read_exact(&mut [0; 2]).unwrap();
    /// assert_eq!(stream.into_inner().pop().unwrap(), b"record");
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn into_inner(self) -> Consumer {
        self.consumer
    }

    fn forget_copy(&mut self) {
        self.copy.clear();
        self.used = 0;
        self.held = None;
    }

    /// The record that the next bytes are in; nothing at the end.
    fn next(&mut self) -> io::Result<Option<Found>> {
        let limit = self.timeout.map_or(Limit::Never, Limit::Within);
        match self.consumer.find_filled(limit) {
            Ok(found) => Ok(Some(found)),
            Err(PopError::Closed) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Read for StreamReader {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.held.is_some() {
            let len = (&self.copy[self.used..]).read(to)?;
            self.consume(len);
            return Ok(len);
        }
        if to.is_empty() {
            return Ok(0);
        }
        let Some(found) = self.next()? else { return Ok(0) };
        Ok(self.consumer.take_bytes(found, to))
    }
}

impl BufRead for StreamReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.held.is_none()
            && let Some(found) = self.next()?
        {
            self.copy.resize(found.len.min(LONGEST), 0);
            self.consumer.bytes.copy_out(found.offset, &mut self.copy);
            (self.used, self.held) = (0, Some(found));
        }
        Ok(&self.copy[self.used..])
    }

    /// # Panics
    /// If that is more than `fill_buf` gave.
    fn consume(&mut self, len: usize) {
        assert!(len <= self.copy.len() - self.used, "more is consumed than is there");
        if let Some(found) = self.held.filter(|_| len > 0) {
            self.used += len;
            self.held = self.consumer.release_bytes(found, len);
            if self.used == self.copy.len() {
                self.forget_copy();
            }
        }
    }
}
