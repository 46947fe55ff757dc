//! Memory over a session: a handle for the process at its other end, as a message.

use super::{Access, Broker, Handle, HandleId, HandleOptions, Recipient};
use crate::error::{Error, Result, SessionError};
use crate::session::Session;
use crate::shm::SharedMemory;
use std::time::{Duration, Instant};

impl Session {
    /// Gives the process at the other end a handle of this memory, as the next message; see
    /// [`Broker::create`](crate::handle::Broker::create). Waits for room as [`send`](Self::send) does.
    ///
    /// A ring goes over whole as its memory does: `queue.memory()` here, and `attach` there.
    ///
    /// # Errors
    /// As [`Broker::create`](crate::handle::Broker::create) and [`peer_process`](Self::peer_process); and as
    /// [`send`](Self::send), where [`ErrorKind::InUse`](crate::ErrorKind::InUse) means that another thread sends. Then
    /// there is no handle.
    ///
    /// ```
    /// use ringlane::handle::{Access, Broker, HandleOptions};
    /// use ringlane::{session::Session, spsc};
    ///
    /// let (one, other) = Session::pair(4096)?;
    /// let (broker, queue) = (Broker::start()?, spsc::Queue::<u64>::private(64)?);
    /// one.send_memory(&broker, queue.memory(), Access::ReadWrite, &HandleOptions::new())?;
    /// queue.producer()?.push(7).unwrap();
    ///
    /// let memory = other.recv_memory(Access::ReadWrite)?;
    /// let mut consumer = spsc::Queue::<u64>::options().attach(memory)?.consumer()?;
    /// assert_eq!(consumer.pop(), Ok(7));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn send_memory(
        &self,
        broker: &Broker,
        memory: &SharedMemory,
        access: Access,
        options: &HandleOptions,
    ) -> Result<HandleId> {
        let handle = broker.create(memory, &Recipient::peer(self)?, access, options)?;
        self.sent(broker, &handle, |bytes| self.send(bytes))
    }

    /// The same, and waits for room at most `timeout`.
    ///
    /// # Errors
    /// As [`send_memory`](Self::send_memory), and [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut).
    ///
    /// ```
    /// use ringlane::handle::{Access, Broker, HandleOptions};
    /// use ringlane::{ErrorKind, SharedMemory, session::Session};
    /// use std::time::Duration;
    ///
    /// let (one, _other) = Session::pair(4096)?;
    /// let (broker, memory) = (Broker::start()?, SharedMemory::anonymous(4096)?);
    /// while one.try_send(&[0; 100]).is_ok() {}
    /// let (options, short) = (HandleOptions::new(), Duration::from_millis(1));
    /// let sent = one.send_memory_timeout(&broker, &memory, Access::ReadOnly, &options, short);
    /// assert_eq!(sent.unwrap_err().kind(), ErrorKind::TimedOut);
    /// assert_eq!(broker.counts().waiting, 0);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn send_memory_timeout(
        &self,
        broker: &Broker,
        memory: &SharedMemory,
        access: Access,
        options: &HandleOptions,
        timeout: Duration,
    ) -> Result<HandleId> {
        let handle = broker.create(memory, &Recipient::peer(self)?, access, options)?;
        self.sent(broker, &handle, |bytes| self.send_timeout(bytes, timeout))
    }

    fn sent(
        &self,
        broker: &Broker,
        handle: &Handle,
        send: impl FnOnce(&[u8]) -> std::result::Result<(), SessionError>,
    ) -> Result<HandleId> {
        match send(&handle.to_bytes()) {
            Ok(()) => Ok(handle.id()),
            Err(error) => {
                // If the other side has ended, it is gone already.
                let _ = broker.delete(handle.id());
                Err(Error::from(error).on("send memory"))
            }
        }
    }

    /// Receives the next message, which has to be memory, and has it with this access; see
    /// [`Handle::open`](crate::handle::Handle::open). Waits as long as it takes.
    ///
    /// # Errors
    /// As [`recv`](Self::recv) and [`Handle::open`](crate::handle::Handle::open);
    /// [`ErrorKind::InvalidHandle`](crate::ErrorKind::InvalidHandle) if it is another message, which is lost.
    ///
    /// ```
    /// use ringlane::handle::{Access, Broker, HandleOptions};
    /// use ringlane::{SharedMemory, session::Session};
    ///
    /// let (one, other) = Session::pair(4096)?;
    /// let (broker, memory) = (Broker::start()?, SharedMemory::anonymous(4096)?);
    /// one.send_memory(&broker, &memory, Access::ReadOnly, &HandleOptions::new())?;
    /// assert_eq!(other.recv_memory(Access::ReadOnly)?.size()?, 4096);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn recv_memory(&self, access: Access) -> Result<SharedMemory> {
        self.recv_handle()?.open(access)
    }

    /// The same, and waits at most `timeout` for the message and the memory together.
    ///
    /// # Errors
    /// As [`recv_memory`](Self::recv_memory), and [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut).
    ///
    /// ```
    /// use ringlane::{ErrorKind, handle::Access, session::Session};
    /// use std::time::Duration;
    /// let (one, _other) = Session::pair(4096)?;
    /// let none = one.recv_memory_timeout(Access::ReadOnly, Duration::from_millis(1));
    /// assert_eq!(none.unwrap_err().kind(), ErrorKind::TimedOut);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn recv_memory_timeout(&self, access: Access, timeout: Duration) -> Result<SharedMemory> {
        let began = Instant::now();
        let message = self.recv_timeout(timeout);
        let handle = message.map_err(Error::from).and_then(|bytes| Handle::from_bytes(&bytes));
        let left = timeout.saturating_sub(began.elapsed());
        handle.map_err(|e| e.on("receive memory"))?.open_timeout(access, left)
    }

    /// Receives the next message, which has to be memory, as a handle that was not yet redeemed: to
    /// [map](crate::handle::Handle::map) it, or to be [particular](crate::handle::Handle::sealed_only).
    ///
    /// # Errors
    /// As [`recv_memory`](Self::recv_memory).
    ///
    /// ```
    /// use ringlane::handle::{Access, Broker, HandleOptions};
    /// use ringlane::{MapOptions, SharedMemory, session::Session};
    ///
    /// let (one, other) = Session::pair(4096)?;
    /// let (broker, memory) = (Broker::start()?, SharedMemory::anonymous(4096)?);
    /// let options = HandleOptions::new().no_descriptor(true).clone();
    /// one.send_memory(&broker, &memory, Access::ReadOnly, &options)?;
    /// let mapping = other.recv_handle()?.map(MapOptions::new().read(true))?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn recv_handle(&self) -> Result<Handle> {
        let message = self.recv().map_err(Error::from);
        let handle = message.and_then(|bytes| Handle::from_bytes(&bytes));
        handle.map_err(|e| e.on("receive memory"))
    }
}
