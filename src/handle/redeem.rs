//! What a recipient does with a handle.

use super::wire::{Answer, Outcome, Question, Want, bytes_of};
use super::{Access, Handle};
use crate::error::{Error, ErrorKind, Result};
use crate::shm::{Leash, MapOptions, Mapping, SharedMemory, Terms};
use crate::sys::{self, Received};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it is asked again after the broker hung up without an answer, as it does when too many ask at once.
const ATTEMPTS: u32 = 8;

impl Handle {
    /// Has the memory, with this access, which may be less than was granted. Waits for the broker as long as
    /// that lives.
    ///
    /// An attempt to have more than was granted spends the handle, too.
    ///
    /// # Errors
    /// * [`ErrorKind::InvalidHandle`] if it was redeemed, deleted, revoked, has expired, is another process's, or its
    ///   broker is gone: which of them, it is not said.
    /// * [`ErrorKind::PermissionDenied`] if it grants less, or only a [mapping](Self::map); or if this user may not
    ///   connect to the broker.
    /// * [`ErrorKind::Corrupt`] if what came is no shared memory, or not [sealed](Self::sealed_only).
    /// * [`ErrorKind::ConnectionRefused`] if the broker hung up again and again, as it does when very many ask.
    ///
    /// ```
    /// use ringlane::ErrorKind;
    /// # use ringlane::handle::{Access, Broker, HandleOptions, Recipient};
    /// # let (broker, memory) = (Broker::start()?, ringlane::SharedMemory::anonymous(4096)?);
    /// # let me = Recipient::process(std::process::id())?;
    /// let handle = broker.create(&memory, &me, Access::ReadOnly, &HandleOptions::new())?;
    /// let more = handle.open(Access::ReadWrite).unwrap_err();
    /// assert_eq!(more.kind(), ErrorKind::PermissionDenied);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "shm_open_handle")]
    pub fn open(self, access: Access) -> Result<SharedMemory> {
        self.redeem(Want::Open(access), access, None).map_err(|e| e.on("open a handle"))
    }

    /// The same, and waits at most `timeout`.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`ErrorKind::TimedOut`]: whether the handle is spent, is not known then.
    ///
    /// ```
    /// # use ringlane::handle::{Access, Broker, HandleOptions, Recipient};
    /// # let (broker, memory) = (Broker::start()?, ringlane::SharedMemory::anonymous(4096)?);
    /// # let me = Recipient::process(std::process::id())?;
    /// use std::time::Duration;
    /// let handle = broker.create(&memory, &me, Access::ReadOnly, &HandleOptions::new())?;
    /// let given = handle.open_timeout(Access::ReadOnly, Duration::from_secs(60))?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn open_timeout(self, access: Access, timeout: Duration) -> Result<SharedMemory> {
        self.redeem(Want::Open(access), access, Some(timeout)).map_err(|e| e.on("open a handle"))
    }

    /// Maps the memory, with the access that the options ask for, and keeps no descriptor.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`MapOptions::map`].
    ///
    /// ```
    /// # use ringlane::handle::{Access, Broker, HandleOptions, Recipient};
    /// # let (broker, memory) = (Broker::start()?, ringlane::SharedMemory::anonymous(4096)?);
    /// # let me = Recipient::process(std::process::id())?;
    /// use ringlane::MapOptions;
    /// let handle = broker.create(&memory, &me, Access::ReadOnly, &HandleOptions::new())?;
    /// let mapping = handle.map(MapOptions::new().read(true))?;
    /// assert_eq!(mapping.len(), 4096);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "mmap_handle")]
    pub fn map(self, options: &MapOptions) -> Result<Mapping> {
        self.map_within(options, None).map_err(|e| e.on("map a handle"))
    }

    /// The same, and waits at most `timeout`.
    ///
    /// # Errors
    /// As [`map`](Self::map), and [`ErrorKind::TimedOut`].
    ///
    /// ```
    /// # use ringlane::handle::{Access, Broker, HandleOptions, Recipient};
    /// # let (broker, memory) = (Broker::start()?, ringlane::SharedMemory::anonymous(4096)?);
    /// # let me = Recipient::process(std::process::id())?;
    /// use {ringlane::MapOptions, std::time::Duration};
    /// let handle = broker.create(&memory, &me, Access::ReadOnly, &HandleOptions::new())?;
    /// let mapping = handle.map_timeout(MapOptions::new().read(true), Duration::from_secs(60))?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn map_timeout(self, options: &MapOptions, timeout: Duration) -> Result<Mapping> {
        self.map_within(options, Some(timeout)).map_err(|e| e.on("map a handle"))
    }

    /// Ends the handle without having anything of it, as its creator can do, too.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    ///
    /// ```
    /// # use ringlane::handle::{Access, Broker, Handle, HandleOptions, Recipient};
    /// # let (broker, memory) = (Broker::start()?, ringlane::SharedMemory::anonymous(4096)?);
    /// # let me = Recipient::process(std::process::id())?;
    /// let handle = broker.create(&memory, &me, Access::ReadOnly, &HandleOptions::new())?;
    /// let bytes = handle.to_bytes();
    /// handle.delete()?;
    /// assert!(Handle::from_bytes(&bytes)?.delete().is_err());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "shm_delete_handle")]
    pub fn delete(self) -> Result<()> {
        self.ask(Want::Delete, None).map(drop).map_err(|e| e.on("delete a handle"))
    }

    fn map_within(self, options: &MapOptions, timeout: Option<Duration>) -> Result<Mapping> {
        let (read, write) = options.access();
        let Some(access) = Access::of(read, write) else {
            let text = "neither reading nor writing nor running is asked for";
            return Err(Error::new(ErrorKind::InvalidInput, text));
        };
        // The descriptor goes with the memory, at the end of this.
        options.map(&self.redeem(Want::Map(access), access, timeout)?)
    }

    /// Everything that the creator says is checked here.
    fn redeem(self, want: Want, access: Access, timeout: Option<Duration>) -> Result<SharedMemory> {
        let (answer, mut handles) = self.ask(want, timeout)?;
        if handles.len() != 1 + usize::from(answer.has_leash()) {
            return Err(Error::new(ErrorKind::Corrupt, "an answer without the memory"));
        }
        let leash = if answer.has_leash() { handles.pop() } else { None };
        let leash = leash.map(|leash| Leash::of(&leash)).transpose()?.map(Arc::new);
        let Some(handle) = handles.pop() else {
            return Err(Error::new(ErrorKind::Corrupt, "an answer without the memory"));
        };
        if self.sealed_only && !sys::seals_of(&handle)?.size {
            let text = "memory whose size is not sealed: others could shorten it";
            return Err(Error::new(ErrorKind::Corrupt, text));
        }
        let terms = Terms { range: answer.range(), leash };
        SharedMemory::received(handle, access.read_write(), terms)
    }

    /// Asks the broker. The answer is one that grants what was asked for.
    fn ask(&self, want: Want, timeout: Option<Duration>) -> Result<(Answer, Vec<sys::Handle>)> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let left = || deadline.map(|end| end.saturating_duration_since(Instant::now()));
        for _ in 0..ATTEMPTS {
            let socket = sys::connect(&self.path, left()).map_err(gone)?;
            if !sys::send(&socket, bytes_of(&Question::new(self.id, want)), &[])? {
                continue;
            }
            let Some((answer, handles)) = hear(&socket, left)? else { continue };
            let text = match answer.outcome() {
                Outcome::Done => return Ok((answer, handles)),
                Outcome::Denied => {
                    let text = "the handle grants less than was asked for, and is spent now";
                    return Err(Error::new(ErrorKind::PermissionDenied, text));
                }
                Outcome::Invalid => "there is no such handle for this process",
            };
            return Err(Error::new(ErrorKind::InvalidHandle, text));
        }
        let text = format!("the broker hung up {ATTEMPTS} times");
        Err(Error::new(ErrorKind::ConnectionRefused, text))
    }
}

fn gone(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            Error::new(ErrorKind::InvalidHandle, "the broker that made it is gone")
        }
        _ => error,
    }
}

/// The answer; nothing if the broker hung up instead.
fn hear(
    socket: &sys::Socket,
    left: impl Fn() -> Option<Duration>,
) -> Result<Option<(Answer, Vec<sys::Handle>)>> {
    loop {
        let mut bytes = [0; size_of::<Answer>() + 1];
        match sys::receive_given(socket, &mut bytes)? {
            Received::End => return Ok(None),
            Received::Message { bytes: len, handles, cut, .. } => {
                let answer = Answer::parse(&bytes[..len]).filter(|_| !cut);
                let nonsense = || Error::new(ErrorKind::Corrupt, "no answer of a broker");
                return Ok(Some((answer.ok_or_else(nonsense)?, handles)));
            }
            Received::Nothing => {}
        }
        let left = left();
        if left == Some(Duration::ZERO) {
            return Err(Error::new(ErrorKind::TimedOut, "the broker did not answer in time"));
        }
        sys::wait_readable(socket, left)?;
    }
}
