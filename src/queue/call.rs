//! One caller, one server: a request goes to and its reply comes back in the same cache line.
//!
//! ```
//! use ringlane::{Name, call};
//!
//! // One process creates the cell and serves ...
//! let name = Name::new("ringlane-doc-call")?;
//! let cell = call::Cell::<u64, f64>::create(&name)?;
//! let mut server = cell.server()?;
//! let thread = std::thread::spawn(move || while server.serve(|n| (n as f64).sqrt()).is_ok() {});
//!
//! // ... another opens it and calls.
//! let mut caller = call::Cell::<u64, f64>::open(&name)?.caller()?;
//! assert_eq!(caller.call(16), Ok(4.0));
//! drop(caller);
//! # thread.join().unwrap();
//! # Ok::<(), ringlane::Error>(())
//! ```
//!
//! One call is under way at a time; several callers want a cell each. A value of up to 56 bytes shares its
//! line with the word that announces it, a larger one takes further lines.

mod caller;
mod server;

pub use caller::{Caller, Outstanding};
pub use server::{Request, Server};

use super::end::{Blocked, End, Limit, block};
use super::front::{options, queue};
use crate::error::{Error, Result};
use crate::layout::{Create, Exchange, Kind, Segment, Side, Spec, bytes_of};
use crate::plain::Plain;
use crate::ring::call::Turn;
use crate::shm::{Name, Wrap};
use std::marker::PhantomData;
use std::sync::Arc;

/// How a cell is created, and what is expected of one that is opened.
///
/// ```
/// use ringlane::{Name, call};
///
/// let name = Name::new("ringlane-doc-call-options")?;
/// let options = call::Cell::<u64, u64>::options().tag("square, v1").clone();
/// let cell = options.create(&name)?;
/// assert!(call::Cell::<u64, u64>::open(&name).is_err()); // another tag
/// options.open(&name)?;
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options<Req, Rep> {
    tag: u64,
    how: Create,
    _values: PhantomData<fn(Req) -> Rep>,
}

impl<Req: Plain, Rep: Plain> Options<Req, Rep> {
    fn new() -> Self {
        Options { tag: 0, how: Create::default(), _values: PhantomData }
    }

    /// The spec of a new cell.
    fn new_spec(&self) -> Result<Spec> {
        Ok(self.spec())
    }

    fn spec(&self) -> Spec {
        Spec {
            kind: Kind::Call,
            capacity: 1,
            stride: bytes_of(size_of::<Req>(), size_of::<Rep>()),
            value_size: size_of::<Req>(),
            value_align: align_of::<Req>(),
            reply: (size_of::<Rep>(), align_of::<Rep>()),
            wrap: Wrap::Never,
            tag: self.tag,
            type_name: std::any::type_name::<fn(Req) -> Rep>(),
        }
    }

    options! {
        module: "call",
        queue: "Cell::<u64, u64>",
        noun: "cell",
        ring: "call cell",
        /// The first turn, the even one at or below this, for tests of what happens near the limits of a number.
        start: turn => turn & !1,
        impossible: "if requests or replies are too large for an address space",
        incompatible: "if it is a ring, or a cell of other sizes, alignments, tag or layout",
        opened: "",
        sent: "cell.caller()?.try_start(7).unwrap();",
        received: "assert_eq!(*other.server()?.recv().unwrap().value(), 7);",
        makes: Cell<Req, Rep>,
    }
}

/// A place in shared memory for one call at a time: a request of type `Req`, and its reply of type `Rep`.
///
/// A `Cell` is a handle: it keeps the memory and gives out the two ends. Each reply belongs to its request,
/// whoever dies between: turns are numbered. A request that was sent is served even if its caller is killed
/// right after; the next caller discards the reply. A request whose server is killed before its reply was
/// whole goes to the next server, so it is served at least once.
///
/// ```
/// use ringlane::call::Cell;
///
/// let cell = Cell::<u64, [u64; 2]>::private()?;
/// let (mut caller, mut server) = (cell.caller()?, cell.server()?);
/// let thread = std::thread::spawn(move || while server.serve(|n| [n / 10, n % 10]).is_ok() {});
/// assert!((0..1000).all(|n| caller.call(n) == Ok([n / 10, n % 10])));
/// caller.close();
/// thread.join().unwrap();
/// # Ok::<(), ringlane::Error>(())
/// ```
pub struct Cell<Req, Rep> {
    segment: Arc<Segment>,
    _values: PhantomData<fn(Req) -> Rep>,
}

queue! {
    Cell<Req, Rep>,
    module: "call",
    queue: "Cell::<u64, u64>",
    noun: "cell",
}

impl<Req: Plain, Rep: Plain> Cell<Req, Rep> {
    fn of(segment: Arc<Segment>) -> Self {
        Cell { segment, _values: PhantomData }
    }

    /// Makes a new cell.
    ///
    /// # Errors
    /// As [`Options::create`].
    ///
    /// ```
    /// let name = ringlane::Name::new("ringlane-doc-call-create")?;
    /// let cell = ringlane::call::Cell::<u32, [f32; 2]>::create(&name)?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn create(name: &Name) -> Result<Self> {
        Self::options().create(name)
    }

    /// Makes a new cell for the threads of one process.
    ///
    /// # Errors
    /// As [`Options::private`].
    ///
    /// ```
    /// let cell = ringlane::call::Cell::<u64, u64>::private()?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn private() -> Result<Self> {
        Self::options().private()
    }

    /// Takes the calling end. If its last holder left a request behind, that one counts as abandoned: see
    /// [`Outstanding::Abandoned`].
    ///
    /// # Errors
    /// [`ErrorKind::InUse`](crate::ErrorKind::InUse) while a living process holds it,
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if the cell was removed.
    ///
    /// ```
    /// use ringlane::{ErrorKind, call::Cell};
    /// let cell = Cell::<u64, u64>::private()?;
    /// let caller = cell.caller()?;
    /// assert_eq!(cell.caller().unwrap_err().kind(), ErrorKind::InUse);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn caller(&self) -> Result<Caller<Req, Rep>> {
        Ok(Caller::of(Half::acquire(&self.segment, Side::Producer)?))
    }

    /// Takes the serving end. If its last holder left a request unanswered, this one gets it, see
    /// [`Request::is_redelivery`].
    ///
    /// # Errors
    /// As [`caller`](Self::caller).
    ///
    /// ```
    /// let cell = ringlane::call::Cell::<u64, u64>::private()?;
    /// let server = cell.server()?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn server(&self) -> Result<Server<Req, Rep>> {
        Ok(Server::of(Half::acquire(&self.segment, Side::Consumer)?))
    }
}

/// What both ends have: they wait for the same word, and only one of them at a time.
#[derive(Debug)]
struct Half<Req, Rep> {
    end: End,
    turn: Turn,
    place: Exchange<Req, Rep>,
}

/// Why it did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missed {
    Pending,
    Closed,
    Died,
    Corrupt,
}

impl<Req: Plain, Rep: Plain> Half<Req, Rep> {
    fn acquire(segment: &Arc<Segment>, side: Side) -> std::result::Result<Self, Error> {
        let end = End::acquire(segment, side)?;
        let place = Exchange::of(segment);
        let turn = Turn::resume(place.turn());
        Ok(Half { end, turn, place })
    }

    /// Waits until the other side has published its turn.
    ///
    /// The loop is as bare as a loop can be: whatever is between the arrival of the line and the use of
    /// what is in it is on the way of every call.
    #[inline(always)]
    fn wait(&mut self, limit: Limit) -> std::result::Result<(), Missed> {
        let polls = match limit {
            Limit::Now => 1,
            _ => self.end.polls(),
        };
        if self.turn.poll(self.place.turn(), polls) { Ok(()) } else { self.wait_long(limit) }
    }

    #[cold]
    #[inline(never)]
    fn wait_long(&mut self, limit: Limit) -> std::result::Result<(), Missed> {
        let timeout = match limit {
            Limit::Now => return self.look().unwrap_or(Err(Missed::Pending)),
            Limit::Within(timeout) => Some(timeout),
            Limit::Never => None,
        };
        let poll = |half: &Self, times| half.turn.watch(half.place.turn(), times);
        block(self, |half| &mut half.end, timeout, poll, Half::look).unwrap_or_else(|blocked| {
            Err(match blocked {
                Blocked::TimedOut => Missed::Pending,
                Blocked::PeerDied => Missed::Died,
            })
        })
    }

    /// Whether the wait is over, and how.
    fn look(&mut self) -> Option<std::result::Result<(), Missed>> {
        match self.turn.acquire(self.place.turn()) {
            Ok(true) => Some(Ok(())),
            Ok(false) if !self.end.peer_closed() => None,
            // It may have come between our look and the close.
            Ok(false) if self.turn.take(self.place.turn()) => Some(Ok(())),
            Ok(false) => Some(Err(Missed::Closed)),
            Err(_) => Some(Err(Missed::Corrupt)),
        }
    }

    /// Hands over what was written, and wakes who waits for it.
    #[inline(always)]
    fn publish(&mut self) {
        self.turn.publish(self.place.turn());
        self.end.notify();
    }
}
