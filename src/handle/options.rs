//! How a handle is made, and how a broker is started.

use super::Broker;
use crate::error::{Error, Result};
use crate::session::ServiceName;
use std::ops::Range;
use std::time::Duration;

/// What goes with a handle beside access.
///
/// ```
/// use ringlane::handle::HandleOptions;
/// use std::time::Duration;
/// let options = HandleOptions::new().revocable(true).expires_in(Duration::from_secs(60)).clone();
/// ```
#[derive(Clone, Debug, Default)]
pub struct HandleOptions {
    pub(super) no_descriptor: bool,
    pub(super) range: Option<Range<u64>>,
    pub(super) lasts: Option<Duration>,
    pub(super) revocable: bool,
    pub(super) seal: bool,
}

impl HandleOptions {
    /// All of the memory, for as long as the broker lives, for good.
    ///
    /// ```
    /// let options = ringlane::handle::HandleOptions::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the recipient is to have a mapping and no descriptor: the handle can be
    /// [mapped](crate::handle::Handle::map), not [opened](crate::handle::Handle::open). Default: no.
    ///
    /// The library in the recipient closes the descriptor before it returns, or on Windows keeps its handle to itself as
    /// long as the mapping is there; a hostile one keeps it.
    ///
    /// ```
    /// let options = ringlane::handle::HandleOptions::new().no_descriptor(true).clone();
    /// ```
    #[doc(alias = "SHM_CREATE_HANDLE_OPT_NOFD")]
    #[doc(alias = "mmap_handle")]
    pub fn no_descriptor(&mut self, yes: bool) -> &mut Self {
        self.no_descriptor = yes;
        self
    }

    /// A part of the memory: whole pages. For the recipient it is the whole, and begins at 0.
    ///
    /// The library in the recipient keeps to it; a hostile one has the descriptor of the whole. Where that matters, give
    /// objects of their own.
    ///
    /// ```
    /// let options = ringlane::handle::HandleOptions::new().range(65536..131072).clone();
    /// ```
    #[doc(alias = "shm_create_subrange_handle")]
    pub fn range(&mut self, bytes: Range<u64>) -> &mut Self {
        self.range = Some(bytes);
        self
    }

    /// How long it may be redeemed, by the clock that nobody sets. Default: as long as the broker and the recipient live.
    ///
    /// Time in which the machine is suspended does not count.
    ///
    /// ```
    /// use std::time::Duration;
    /// let mut options = ringlane::handle::HandleOptions::new();
    /// options.expires_in(Duration::from_secs(10));
    /// ```
    pub fn expires_in(&mut self, time: Duration) -> &mut Self {
        self.lasts = Some(time);
        self
    }

    /// Whether the memory can be [taken back](crate::handle::Broker::revoke) after it was redeemed. It costs a page, and
    /// two looks at a word for each copy; the broker keeps the memory while the recipient lives; forked children of the
    /// recipient are without its mappings. Default: no.
    ///
    /// From then on nobody can seal the memory any further, or a recipient could seal it against being taken back. What
    /// is to be sealed is sealed before, or by [`seal_writes`](Self::seal_writes) here.
    ///
    /// ```
    /// let options = ringlane::handle::HandleOptions::new().revocable(true).clone();
    /// ```
    #[doc(alias = "SHMCTL_REVOCABLE")]
    pub fn revocable(&mut self, yes: bool) -> &mut Self {
        self.revocable = yes;
        self
    }

    /// Seals the memory against all who would map it to write from now on, the creator among them: who is to
    /// write maps it before. Then the kernel holds that a recipient only reads. For anonymous memory that is granted
    /// [for reading](crate::handle::Access::ReadOnly). Default: no. On Windows it is
    /// [`Unsupported`](crate::ErrorKind::Unsupported): there the kernel holds that without.
    ///
    /// ```
    /// let options = ringlane::handle::HandleOptions::new().seal_writes(true).clone();
    /// ```
    pub fn seal_writes(&mut self, yes: bool) -> &mut Self {
        self.seal = yes;
        self
    }
}

/// How a broker is started, and what it bears.
///
/// ```
/// use ringlane::handle::BrokerOptions;
/// let broker = BrokerOptions::new().most_handles(100).start()?;
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    pub(super) name: Option<ServiceName>,
    pub(super) mode: u32,
    pub(super) polled: bool,
    pub(super) most_handles: usize,
    pub(super) patience: Duration,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        BrokerOptions {
            name: None,
            mode: 0o600,
            polled: false,
            most_handles: 1 << 16,
            patience: Duration::from_secs(5),
        }
    }
}

impl BrokerOptions {
    /// A thread of its own, a socket of its own that this user alone can connect to, 65536 handles.
    ///
    /// ```
    /// let options = ringlane::handle::BrokerOptions::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Where recipients find it. Default: a name of its own in a directory that is this user's alone. Recipients of other users
    /// have to get at the socket: it takes a [native](ServiceName::native) name in a directory of theirs,
    /// and a [mode](Self::mode) that lets them in.
    ///
    /// ```
    /// use ringlane::session::ServiceName;
    /// let mut options = ringlane::handle::BrokerOptions::new();
    /// options.name(&ServiceName::native("/run/frames.handles")?);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn name(&mut self, name: &ServiceName) -> &mut Self {
        self.name = Some(name.clone());
        self
    }

    /// The permission bits of its socket. They only say who may ask; who is given something, the handles say.
    /// Default: 0600, and on Windows there is no other.
    ///
    /// ```
    /// let options = ringlane::handle::BrokerOptions::new().mode(0o666).clone();
    /// ```
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }

    /// Whether the program itself [serves](crate::handle::Broker::try_serve), polling the broker's descriptor, instead
    /// of a thread. Default: no.
    ///
    /// ```
    /// let options = ringlane::handle::BrokerOptions::new().polled(true).clone();
    /// ```
    pub fn polled(&mut self, yes: bool) -> &mut Self {
        self.polled = yes;
        self
    }

    /// How many handles may be there at a time: those not redeemed, and those that were and can be taken back.
    /// Default: 65536.
    ///
    /// ```
    /// let options = ringlane::handle::BrokerOptions::new().most_handles(10).clone();
    /// ```
    pub fn most_handles(&mut self, handles: usize) -> &mut Self {
        self.most_handles = handles;
        self
    }

    /// How long who connects may take to say what it wants. Nobody waits for it meanwhile. Default: 5 seconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// let mut options = ringlane::handle::BrokerOptions::new();
    /// options.patience(Duration::from_millis(100));
    /// ```
    pub fn patience(&mut self, patience: Duration) -> &mut Self {
        self.patience = patience;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// As [`ServerOptions::bind`](crate::session::ServerOptions::bind); [`ErrorKind::LimitReached`](crate::ErrorKind) if
    /// there is no descriptor or thread to be had.
    ///
    /// ```
    /// let broker = ringlane::handle::BrokerOptions::new().start()?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn start(&self) -> Result<Broker> {
        Broker::over(self.clone()).map_err(|e: Error| e.on("start a broker of handles"))
    }
}
