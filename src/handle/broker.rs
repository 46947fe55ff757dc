//! The broker: makes handles, and answers those who have one.

use super::grip::{Grip, Object};
use super::serve::{Client, LOOK, SOCKETS};
use super::table::{Entry, Table, unknown};
use super::token::PATH_MAX;
use super::{
    Access, BrokerOptions, Guarantee, Guarantees, Handle, HandleId, HandleOptions, Recipient,
};
use crate::error::{Error, ErrorKind, Result};
use crate::session::ServiceName;
use crate::shm::{Leash, SharedMemory, Terms};
use crate::sync::{AtomicU32, Ordering};
use crate::sys::{self, Interest};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// So many may wait to be accepted before the next ones wait to connect.
const BACKLOG: u32 = 128;

/// So many names are tried.
const MOST_TRIES: u32 = 1000;

/// Makes handles and answers those who redeem them, in a thread of its own or [polled](BrokerOptions::polled). Any
/// thread can use it. When it is dropped, handles that were not redeemed are void; what was redeemed stays, and cannot be
/// taken back any more.
///
/// A forked child's copy does nothing.
///
/// ```
/// use ringlane::SharedMemory;
/// use ringlane::handle::{Access, Broker, HandleOptions, Recipient};
///
/// let (broker, memory) = (Broker::start()?, SharedMemory::anonymous(4096)?);
/// let me = Recipient::process(std::process::id())?;
/// let handle = broker.create(&memory, &me, Access::ReadOnly, &HandleOptions::new())?;
/// assert_eq!(broker.counts().waiting, 1);
/// handle.open(Access::ReadOnly)?;
/// assert_eq!(broker.counts().waiting, 0);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
pub struct Broker {
    pub(super) inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) listener: sys::Listener,
    path: PathBuf,
    identity: sys::Identity,
    pub(super) poller: sys::Poller,
    /// Has the thread look again at what it waits for.
    pub(super) look: sys::Flag,
    stopped: AtomicU32,
    clients: Mutex<Vec<Client>>,
    table: Mutex<Table>,
    pub(super) options: BrokerOptions,
    owner: u64,
}

/// What a broker has, and what it has done.
///
/// ```
/// let counts = ringlane::handle::Broker::start()?.counts();
/// assert_eq!((counts.waiting, counts.redeemed), (0, 0));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Handles that have not been redeemed.
    pub waiting: usize,
    /// Handles that were, and can be taken back.
    pub revocable: usize,
    /// Processes that have any of them.
    pub recipients: usize,
    /// Handles that were redeemed, so far.
    pub redeemed: u64,
    /// Questions for handles that are not, or not for who asked.
    pub refused: u64,
    /// Handles that were spent by asking for more than they grant.
    pub denied: u64,
    /// Handles that were spent and did not arrive, as who asked was gone.
    pub undelivered: u64,
    /// Handles that were not redeemed in their time.
    pub expired: u64,
    /// Handles that were not redeemed in their recipient's life.
    pub orphaned: u64,
    /// Connections that said nothing, or nonsense.
    pub turned_away: u64,
}

impl Broker {
    /// Starts one with the default options, see [`BrokerOptions::start`].
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// let broker = ringlane::handle::Broker::start()?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn start() -> Result<Broker> {
        BrokerOptions::new().start()
    }

    pub(super) fn over(options: BrokerOptions) -> Result<Broker> {
        if options.mode & !0o777 != 0 {
            let text = format!("mode {:o} has more than permission bits", options.mode);
            return Err(Error::new(ErrorKind::InvalidInput, text));
        }
        let (poller, look) = (sys::Poller::new()?, sys::flag()?);
        let ((listener, identity), path) = listen(&options)?;
        let (clients, table) = (Mutex::default(), Mutex::default());
        let (stopped, owner, polled) = (AtomicU32::new(0), sys::process_token(), options.polled);
        let inner = Inner {
            listener,
            path,
            identity,
            poller,
            look,
            stopped,
            clients,
            table,
            options,
            owner,
        };
        let mut broker = Broker { inner: Arc::new(inner), thread: None };
        // From here on, a failure removes the name.
        let inner = &broker.inner;
        sys::set_socket_mode(&inner.path, inner.options.mode)?;
        inner.poller.add(&inner.listener, Interest::Readable, false, SOCKETS)?;
        inner.poller.add(&inner.look, Interest::Readable, false, LOOK)?;
        if !polled {
            let inner = Arc::clone(inner);
            let thread = std::thread::Builder::new().name("ringlane-handles".into());
            let thread = thread.spawn(move || inner.run());
            broker.thread = Some(thread.map_err(failed("start a thread"))?);
        }
        Ok(broker)
    }

    /// The path of its socket; on Windows the name of a kernel object.
    ///
    /// ```
    /// assert!(ringlane::handle::Broker::start()?.path().exists());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Makes a handle of this memory for this process. The memory stays while the handle is there, also if the creator
    /// lets go of it.
    ///
    /// # Errors
    /// * [`ErrorKind::PermissionDenied`] if the creator has less access itself, or has the memory only until it
    ///   [is taken back](HandleOptions::revocable); in a forked child.
    /// * [`ErrorKind::NotFound`] if the recipient has ended.
    /// * [`ErrorKind::InvalidInput`] for a range of no bytes, or not of whole pages, and for sealing what is to be
    ///   written to; [`ErrorKind::OutOfRange`] for one that is not within the memory.
    /// * [`ErrorKind::LimitReached`] if there are as many handles as [may be](BrokerOptions::most_handles), or no
    ///   descriptors.
    /// * [`ErrorKind::NoSpace`] if a revocable handle finds no memory or no addresses.
    /// * [`ErrorKind::Unsupported`] if memory that has a name is to be sealed, and on Windows any.
    ///
    /// ```
    /// use ringlane::{ErrorKind, SharedMemory};
    /// use ringlane::handle::{Access, Broker, HandleOptions, Recipient};
    /// let (broker, memory) = (Broker::start()?, SharedMemory::anonymous(8192)?);
    /// let me = Recipient::process(std::process::id())?;
    /// let mut options = HandleOptions::new();
    /// let half = broker.create(&memory, &me, Access::ReadWrite, options.range(4096..8192))?;
    /// assert_eq!(half.open(Access::ReadWrite)?.size()?, 4096);
    /// let odd = broker.create(&memory, &me, Access::ReadWrite, options.range(1..8192));
    /// assert_eq!(odd.unwrap_err().kind(), ErrorKind::InvalidInput);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "shm_create_handle")]
    #[doc(alias = "shm_create_subrange_handle")]
    pub fn create(
        &self,
        memory: &SharedMemory,
        recipient: &Recipient,
        access: Access,
        options: &HandleOptions,
    ) -> Result<Handle> {
        let made = self.make(memory, recipient, access, options);
        made.map_err(|e| e.on(format_args!("make a handle for process {}", recipient.pid())))
    }

    fn make(
        &self,
        memory: &SharedMemory,
        recipient: &Recipient,
        access: Access,
        options: &HandleOptions,
    ) -> Result<Handle> {
        self.inner.check_owner()?;
        let can_write = check_rights(memory, access)?;
        let range = range_of(memory, options)?;
        if options.seal && access != Access::ReadOnly {
            let text = "what is to be written to cannot be sealed against writers";
            return Err(Error::new(ErrorKind::InvalidInput, text));
        }
        if recipient.has_ended() {
            return Err(Error::new(ErrorKind::NotFound, "the process has ended"));
        }
        let mut table = self.inner.table();
        let most = self.inner.options.most_handles;
        if table.len() >= most {
            let text = format!("{most} handles are there, the limit given at the start");
            return Err(Error::new(ErrorKind::LimitReached, text));
        }
        let identity = sys::stat(memory.handle())?.identity;
        let mut object = |write| -> Result<Arc<Object>> {
            table.object(identity, write, || own_handle(memory, write))
        };
        let writer = if options.revocable && can_write { Some(object(true)?) } else { None };
        let object = object(access != Access::ReadOnly)?;
        let grip = options.revocable.then(|| grip(writer, range, options.seal)).transpose()?;
        if options.seal && !memory.is_write_sealed()? {
            memory.seal_writes()?;
        }
        if let Some(writer) = grip.as_ref().and_then(|grip| grip.writer.as_ref()) {
            // Or who may write could seal it against being taken back.
            sys::seal_seals(&writer.handle)?;
        }
        if access == Access::ReadOnly {
            sys::keep_to_owner(&object.handle)?;
        }
        let mut id = [0; 16];
        sys::random(&mut id)?;
        let id = HandleId(id);
        let until = options.lasts.and_then(|lasts| Instant::now().checked_add(lasts));
        let entry = Entry {
            recipient: recipient.key(),
            object,
            access,
            no_descriptor: options.no_descriptor,
            part: range.2.then_some((range.0, range.1)),
            until,
            grip,
            used: false,
        };
        table.insert(id, entry, recipient, &self.inner.poller)?;
        drop(table);
        if until.is_some() {
            // The thread has something to wait for.
            sys::raise(&self.inner.look);
        }
        Ok(Handle::new(id, &self.inner.path))
    }

    /// Ends a handle that was not redeemed. One that was is none any more.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidHandle`] if there is no such handle; [`ErrorKind::PermissionDenied`] in a forked child.
    ///
    /// ```
    /// # use ringlane::handle::{Access, Broker, HandleOptions, Recipient};
    /// # let (broker, memory) = (Broker::start()?, ringlane::SharedMemory::anonymous(4096)?);
    /// # let me = Recipient::process(std::process::id())?;
    /// let handle = broker.create(&memory, &me, Access::ReadOnly, &HandleOptions::new())?;
    /// broker.delete(handle.id())?;
    /// assert!(handle.open(Access::ReadOnly).is_err());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "shm_delete_handle")]
    pub fn delete(&self, id: HandleId) -> Result<()> {
        let delete = || {
            self.inner.check_owner()?;
            let mut table = self.inner.table();
            table.get(id).filter(|entry| !entry.used).ok_or_else(unknown)?;
            table.remove(id, &self.inner.poller);
            Ok(())
        };
        delete().map_err(|e: Error| e.on("delete a handle"))
    }

    /// Who holds each promise of a handle, as its memory is now.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidHandle`] if there is no such handle; [`ErrorKind::PermissionDenied`] in a forked child; and
    /// what the operating system says.
    ///
    /// ```
    /// # use ringlane::handle::{Access, Broker, HandleOptions, Recipient};
    /// use ringlane::handle::Guarantee;
    /// # let (broker, memory) = (Broker::start()?, ringlane::SharedMemory::anonymous(4096)?);
    /// # let me = Recipient::process(std::process::id())?;
    /// let handle = broker.create(&memory, &me, Access::ReadOnly, &HandleOptions::new())?;
    /// let held = broker.guarantees(handle.id())?;
    /// assert_eq!((held.size, held.access), (Guarantee::Kernel, Guarantee::Library));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn guarantees(&self, id: HandleId) -> Result<Guarantees> {
        let find = || {
            self.inner.check_owner()?;
            self.inner.table().get(id).ok_or_else(unknown).and_then(guarantees_of)
        };
        find().map_err(|e: Error| e.on("ask who holds the promises of a handle"))
    }

    /// What it has, and what it has done. A forked child's copy has nothing.
    ///
    /// ```
    /// println!("{:?}", ringlane::handle::Broker::start()?.counts());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn counts(&self) -> Counts {
        // In a forked child the lock may be that of a thread which is not there.
        if self.inner.check_owner().is_ok() {
            self.inner.table().counts()
        } else {
            Counts::default()
        }
    }

    /// Answers all who ask now, and lets go of what is over: for a broker that is [polled](BrokerOptions::polled). Never
    /// waits. Says after which time to call it at the latest, if nothing makes its descriptor readable before, or on
    /// Windows sets its event.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if another thread serves; [`ErrorKind::LimitReached`] if somebody connects and there
    /// is no descriptor left.
    ///
    /// ```
    /// use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    /// use ringlane::handle::{Access, BrokerOptions, HandleOptions, Recipient};
    /// use std::os::fd::AsFd;
    ///
    /// let broker = BrokerOptions::new().polled(true).start()?;
    /// let memory = ringlane::SharedMemory::anonymous(4096)?;
    /// let me = Recipient::process(std::process::id())?;
    /// let handle = broker.create(&memory, &me, Access::ReadOnly, &HandleOptions::new())?;
    /// let recipient = std::thread::spawn(move || handle.open(Access::ReadOnly));
    /// while broker.counts().redeemed == 0 {
    ///     poll(&mut [PollFd::new(broker.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
    ///     broker.try_serve()?;
    /// }
    /// recipient.join().unwrap()?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn try_serve(&self) -> Result<Option<Duration>> {
        let serve = || {
            self.inner.check_owner()?;
            match self.inner.clients.try_lock() {
                Ok(mut clients) => self.inner.pass(&mut clients),
                Err(TryLockError::Poisoned(clients)) => self.inner.pass(&mut clients.into_inner()),
                Err(TryLockError::WouldBlock) => {
                    Err(Error::new(ErrorKind::InUse, "another thread serves"))
                }
            }
        };
        serve().map_err(|e| e.on("serve handles"))
    }
}

impl Inner {
    /// A forked child has a copy of this, but not the thread, and is not who made the handles.
    pub(super) fn check_owner(&self) -> Result<()> {
        if self.owner == sys::process_token() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::PermissionDenied, "a forked child's copy is not the broker"))
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing that can panic runs with it half changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn clients(&self) -> MutexGuard<'_, Vec<Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_stopped(&self) -> bool {
        // Relaxed: the word stands for nothing but itself.
        self.stopped.load(Ordering::Relaxed) != 0
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let thread = self.thread.take();
        if self.inner.check_owner().is_err() {
            // The thread is the parent's.
            return std::mem::forget(thread);
        }
        self.inner.stopped.store(1, Ordering::Relaxed);
        sys::raise(&self.inner.look);
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.check_owner().is_err() {
            return;
        }
        let _ = sys::unlink_socket(&self.path, self.identity);
        // A forked child may have copies of the sockets, and who asked would wait for it.
        let clients = self.clients.get_mut().unwrap_or_else(PoisonError::into_inner);
        clients.iter().for_each(Client::shut_down);
        sys::stop_listening(&self.listener);
    }
}

fn failed(call: &'static str) -> impl Fn(std::io::Error) -> Error {
    // What the library itself says is that a text is no such text, which none here is.
    move |error| Error::os(call, error.raw_os_error().unwrap_or_default())
}

/// The socket, and where it is. Without a name it gets one by the process's number, so that what a killed one leaves
/// is replaced when the number comes again.
fn listen(options: &BrokerOptions) -> Result<((sys::Listener, sys::Identity), PathBuf)> {
    let bind = |name: &ServiceName| {
        // Recipients are in other directories.
        let path = sys::absolute(&name.path_to_bind()?)?;
        let bytes = path.as_os_str().len();
        if bytes > PATH_MAX {
            let text =
                format!("the broker's name has {bytes} bytes, at most {PATH_MAX} go with a handle");
            return Err(Error::new(ErrorKind::InvalidName, text));
        }
        Ok((sys::listen(&path, options.mode, BACKLOG, sys::hear_only)?, path))
    };
    if let Some(name) = &options.name {
        return bind(name);
    }
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut tries = 1;
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("handles-{}-{number}", sys::process_id());
        match bind(&ServiceName::new(&name)?) {
            // A process of another namespace has this number, too.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && tries < MOST_TRIES => {
                tries += 1;
            }
            done => return done,
        }
    }
}

/// Whether the creator may grant this; says whether it may write itself.
fn check_rights(memory: &SharedMemory, access: Access) -> Result<bool> {
    let refuse = |text: &str| Err(Error::new(ErrorKind::PermissionDenied, text));
    let own = memory.access();
    let wanted = access.read_write();
    if memory.terms().leash.is_some() {
        return refuse("it was given to this process for a time, and is not to be passed on");
    }
    if wanted.0 && !own.0 {
        return refuse("the memory was opened for writing only");
    }
    if wanted.1 && !own.1 {
        return refuse("the memory was opened for reading only");
    }
    Ok(own.1)
}

/// The first byte in the object, the number of bytes, and whether these are not all.
fn range_of(memory: &SharedMemory, options: &HandleOptions) -> Result<(u64, u64, bool)> {
    let size = memory.size()?;
    let (base, whole) = (memory.terms().range.map_or(0, |(from, _)| from), 0..size);
    let range = options.range.clone().unwrap_or(whole);
    let part = options.range.is_some() || memory.terms().range.is_some();
    let text = format!("bytes {} to {} of memory of {size}", range.start, range.end);
    if range.end > size {
        return Err(Error::new(ErrorKind::OutOfRange, text));
    }
    if part {
        let page = sys::page_size() as u64;
        let odd = [range.start, range.end].iter().any(|edge| !edge.is_multiple_of(page));
        if range.is_empty() || odd {
            let text = format!("{text}: a part is of whole pages of {page} bytes");
            return Err(Error::new(ErrorKind::InvalidInput, text));
        }
    }
    Ok((base + range.start, range.end - range.start, part))
}

/// A descriptor of the broker's own, with no more access than is to be given.
fn own_handle(memory: &SharedMemory, write: bool) -> Result<sys::Handle> {
    let access = if write { sys::Access::ReadWrite } else { sys::Access::Read };
    match sys::reopen(memory.handle(), access) {
        Ok(handle) => Ok(handle),
        // Another user's object may not be opened anew, only passed on as it came.
        Err(error) => {
            let copy = memory.handle().try_clone();
            let copy = copy.map_err(failed("dup"))?;
            if sys::adopt(&copy)? == access { Ok(copy) } else { Err(error) }
        }
    }
}

fn grip(
    writer: Option<Arc<Object>>,
    (from, len, part): (u64, u64, bool),
    seal: bool,
) -> Result<Grip> {
    let (leash, end) = Leash::new()?;
    let mapping = match &writer {
        // Once it is sealed, it is too late.
        Some(writer) if seal && !sys::seals_of(&writer.handle)?.writes => {
            let handle = sys::reopen(&writer.handle, sys::Access::ReadWrite)?;
            let terms = Terms { range: Some((from, len)), leash: None };
            let memory = SharedMemory::received(handle, (true, true), terms)?;
            let mut options = crate::shm::MapOptions::new();
            Some(options.read(true).write(true).dont_fork(true).map(&memory)?)
        }
        _ => None,
    };
    Ok(Grip { leash, end: Some(end), writer, mapping, from, len, part })
}

fn guarantees_of(entry: &Entry) -> Result<Guarantees> {
    let seals = sys::seals_of(&entry.object.handle)?;
    let if_so = |so: bool, who: Guarantee| if so { who } else { Guarantee::Nobody };
    let grip = entry.grip.as_ref();
    let can = |how| grip.is_some_and(|grip| grip.check(how).is_ok());
    Ok(Guarantees {
        recipient: Guarantee::Broker,
        single_use: Guarantee::Broker,
        access: match entry.access {
            Access::ReadWrite => Guarantee::Kernel,
            Access::ReadOnly if sys::keeps_readers(&entry.object.handle)? => Guarantee::Kernel,
            Access::ReadOnly | Access::WriteOnly => Guarantee::Library,
        },
        no_descriptor: if_so(entry.no_descriptor, Guarantee::Library),
        subrange: if entry.part.is_some() { Guarantee::Library } else { Guarantee::Kernel },
        expiry: if_so(entry.until.is_some(), Guarantee::Broker),
        not_inherited: if_so(grip.is_some(), Guarantee::Library),
        size: if_so(seals.size, Guarantee::Kernel),
        revoke_unused: Guarantee::Broker,
        revoke: if_so(grip.is_some(), Guarantee::Library),
        wipe: if_so(can(super::Revoke::Wipe), Guarantee::Kernel),
        fault: if_so(can(super::Revoke::Fault), Guarantee::Kernel),
    })
}
