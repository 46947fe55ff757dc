//! The end that asks.

use super::{Half, Missed};
use crate::error::CallError;
use crate::plain::Plain;
use crate::queue::end::Limit;
use crate::queue::front;
use std::time::{Duration, Instant};

/// What a caller has under way.
///
/// ```
/// use ringlane::call::{Cell, Outstanding};
/// let cell = Cell::<u64, u64>::private()?;
/// let mut caller = cell.caller()?;
/// assert_eq!(caller.outstanding(), Outstanding::Nothing);
/// caller.try_start(1).unwrap();
/// assert_eq!(caller.outstanding(), Outstanding::Request);
/// drop(caller);
/// assert_eq!(cell.caller()?.outstanding(), Outstanding::Abandoned);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outstanding {
    /// Nothing: the next request can be sent.
    Nothing,
    /// A request of this caller's, whose reply `finish` takes.
    Request,
    /// A request that this caller, or one before it, has given up. The next call waits until the server has
    /// answered it, discards the reply, and only then sends its own request.
    Abandoned,
}

/// The calling end of a [`Cell`](super::Cell). Dropping it closes it: the server answers what is outstanding
/// and is then told.
///
/// ```
/// use ringlane::{PopError, call::Cell};
/// let cell = Cell::<u64, u64>::private()?;
/// let (mut caller, mut server) = (cell.caller()?, cell.server()?);
/// caller.try_start(1).unwrap();
/// drop(caller);
/// server.serve(|n| n + 1).unwrap();
/// assert_eq!(server.serve(|n| n + 1), Err(PopError::Closed));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
pub struct Caller<Req, Rep> {
    half: Half<Req, Rep>,
    /// Whether nobody wants the reply to what is outstanding.
    abandoned: bool,
}

impl<Req: Plain, Rep: Plain> Caller<Req, Rep> {
    pub(super) fn of(half: Half<Req, Rep>) -> Self {
        let abandoned = half.turn.is_servers();
        Caller { half, abandoned }
    }

    /// Sends a request and waits for its reply, as long as it takes.
    ///
    /// # Errors
    /// [`CallError::Busy`] if an earlier request of this caller is outstanding: it is not given up silently.
    /// [`CallError::Closed`], [`CallError::PeerDied`]: if the request was sent before, it is outstanding, see
    /// [`outstanding`](Self::outstanding), and the next server gets it. [`CallError::Corrupt`].
    ///
    /// ```
    /// let cell = ringlane::call::Cell::<u64, u64>::private()?;
    /// let (mut caller, mut server) = (cell.caller()?, cell.server()?);
    /// let thread = std::thread::spawn(move || server.serve(|n| n * n));
    /// assert_eq!(caller.call(7), Ok(49));
    /// # thread.join().unwrap().unwrap();
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn call(&mut self, request: Req) -> Result<Rep, CallError> {
        self.put(&request, Limit::Never)?;
        self.reply(Limit::Never)
    }

    /// Sends a request and waits for its reply, at most `timeout` in all.
    ///
    /// # Errors
    /// As [`call`](Self::call); [`CallError::Pending`] when the time ran out: then the request is with the
    /// server, and [`finish`](Self::finish) takes the call up again, or [`abandon`](Self::abandon) gives it up.
    /// [`CallError::Busy`] also if an abandoned request was not answered in time: then nothing was sent.
    ///
    /// ```
    /// use ringlane::{CallError, call::Cell};
    /// use std::time::Duration;
    /// let cell = Cell::<u64, u64>::private()?;
    /// let (mut caller, mut server) = (cell.caller()?, cell.server()?);
    /// let soon = Duration::from_millis(1);
    /// assert_eq!(caller.call_timeout(7, soon), Err(CallError::Pending));
    /// server.serve(|n| n * n).unwrap();
    /// assert_eq!(caller.finish(), Ok(49));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn call_timeout(&mut self, request: Req, timeout: Duration) -> Result<Rep, CallError> {
        if !self.half.turn.is_servers() {
            self.put(&request, Limit::Now)?;
            return self.reply(Limit::Within(timeout));
        }
        let begun = Instant::now();
        self.put(&request, Limit::Within(timeout))?;
        self.reply(Limit::Within(timeout.saturating_sub(begun.elapsed())))
    }

    /// Sends a request, and does not wait for its reply. Waits only if an abandoned one is outstanding, for
    /// the server to be done with it.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    ///
    /// ```
    /// let cell = ringlane::call::Cell::<u64, u64>::private()?;
    /// let (mut caller, mut server) = (cell.caller()?, cell.server()?);
    /// caller.start(7).unwrap();
    /// server.serve(|n| n * n).unwrap(); // meanwhile, elsewhere
    /// assert_eq!(caller.finish(), Ok(49));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn start(&mut self, request: Req) -> Result<(), CallError> {
        self.put(&request, Limit::Never)
    }

    /// Sends a request if nothing is outstanding now. Never waits.
    ///
    /// # Errors
    /// [`CallError::Busy`], [`CallError::Closed`], [`CallError::Corrupt`].
    ///
    /// ```
    /// use ringlane::{CallError, call::Cell};
    /// let cell = Cell::<u64, u64>::private()?;
    /// let mut caller = cell.caller()?;
    /// assert_eq!(caller.try_start(1), Ok(()));
    /// assert_eq!(caller.try_start(2), Err(CallError::Busy));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn try_start(&mut self, request: Req) -> Result<(), CallError> {
        self.put(&request, Limit::Now)
    }

    /// Sends a request, waiting at most `timeout` for the server to be done with an abandoned one.
    ///
    /// # Errors
    /// As [`start`](Self::start), and [`CallError::Busy`] when the time ran out.
    ///
    /// ```
    /// use ringlane::{CallError, call::Cell};
    /// use std::time::Duration;
    /// let cell = Cell::<u64, u64>::private()?;
    /// cell.caller()?.try_start(1).unwrap();
    /// let started = cell.caller()?.start_timeout(2, Duration::from_millis(1));
    /// assert_eq!(started, Err(CallError::Busy));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn start_timeout(&mut self, request: Req, timeout: Duration) -> Result<(), CallError> {
        self.put(&request, Limit::Within(timeout))
    }

    /// Waits for the reply to the request that was started.
    ///
    /// # Errors
    /// [`CallError::Idle`] if none was; [`CallError::Closed`] and [`CallError::PeerDied`], after which the request
    /// is still outstanding, and the next server gets it; [`CallError::Corrupt`].
    ///
    /// ```
    /// use ringlane::{CallError, call::Cell};
    /// let cell = Cell::<u64, u64>::private()?;
    /// let (mut caller, server) = (cell.caller()?, cell.server()?);
    /// caller.start(7).unwrap();
    /// server.close();
    /// assert_eq!(caller.finish(), Err(CallError::Closed));
    /// cell.server()?.serve(|n| n * n).unwrap(); // its successor
    /// assert_eq!(caller.finish(), Ok(49));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn finish(&mut self) -> Result<Rep, CallError> {
        self.wanted()?;
        self.reply(Limit::Never)
    }

    /// Takes the reply to the request that was started, if it is there. Never waits.
    ///
    /// # Errors
    /// As [`finish`](Self::finish), but for [`CallError::PeerDied`], and [`CallError::Pending`] if it is not there.
    ///
    /// ```
    /// use ringlane::{CallError, call::Cell};
    /// let cell = Cell::<u64, u64>::private()?;
    /// let mut caller = cell.caller()?;
    /// caller.start(7).unwrap();
    /// assert_eq!(caller.try_finish(), Err(CallError::Pending));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn try_finish(&mut self) -> Result<Rep, CallError> {
        self.wanted()?;
        self.reply(Limit::Now)
    }

    /// Waits for the reply to the request that was started, at most `timeout`.
    ///
    /// # Errors
    /// As [`finish`](Self::finish), and [`CallError::Pending`] when the time ran out.
    ///
    /// ```
    /// use ringlane::{CallError, call::Cell};
    /// use std::time::Duration;
    /// let cell = Cell::<u64, u64>::private()?;
    /// let mut caller = cell.caller()?;
    /// caller.start(7).unwrap();
    /// assert_eq!(caller.finish_timeout(Duration::from_millis(1)), Err(CallError::Pending));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn finish_timeout(&mut self, timeout: Duration) -> Result<Rep, CallError> {
        self.wanted()?;
        self.reply(Limit::Within(timeout))
    }

    /// Gives up a call that is under way: its reply will be discarded. The server serves it all the same. No
    /// effect if none is.
    ///
    /// ```
    /// let cell = ringlane::call::Cell::<u64, u64>::private()?;
    /// let (mut caller, mut server) = (cell.caller()?, cell.server()?);
    /// caller.start(7).unwrap();
    /// caller.abandon();
    /// server.serve(|n| n * n).unwrap();
    /// caller.start(8).unwrap(); // the 49 is gone
    /// server.serve(|n| n * n).unwrap();
    /// assert_eq!(caller.finish(), Ok(64));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn abandon(&mut self) {
        self.abandoned = self.half.turn.is_servers();
    }

    /// What is under way, as far as this caller has looked.
    ///
    /// ```
    /// use ringlane::call::{Cell, Outstanding};
    /// let cell = Cell::<u64, u64>::private()?;
    /// assert_eq!(cell.caller()?.outstanding(), Outstanding::Nothing);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn outstanding(&self) -> Outstanding {
        match (self.half.turn.is_servers(), self.abandoned) {
            (false, _) => Outstanding::Nothing,
            (true, false) => Outstanding::Request,
            (true, true) => Outstanding::Abandoned,
        }
    }

    /// The request stays with the caller's caller, so that it is copied once: into the cell.
    #[inline(always)]
    fn put(&mut self, request: &Req, limit: Limit) -> Result<(), CallError> {
        if self.half.turn.is_servers() {
            self.discard(limit)?;
        }
        if self.half.end.peer_closed() {
            return Err(CallError::Closed);
        }
        self.half.place.request().store(request);
        self.half.publish();
        Ok(())
    }

    /// Sees an abandoned request off.
    #[cold]
    fn discard(&mut self, limit: Limit) -> Result<(), CallError> {
        if !self.abandoned {
            return Err(CallError::Busy);
        }
        self.half.wait(limit).map_err(|missed| match why(missed) {
            CallError::Pending => CallError::Busy,
            other => other,
        })?;
        self.abandoned = false;
        Ok(())
    }

    /// Whether there is a reply to come that is wanted.
    #[inline(always)]
    fn wanted(&self) -> Result<(), CallError> {
        match self.outstanding() {
            Outstanding::Request => Ok(()),
            _ => Err(CallError::Idle),
        }
    }

    /// Waits first and then copies the reply once, from where it lies to where it goes.
    #[inline(always)]
    fn reply(&mut self, limit: Limit) -> Result<Rep, CallError> {
        self.half.wait(limit).map_err(why)?;
        Ok(self.half.place.reply().load())
    }

    front::end! {
        field: half.end,
        queue: "call::Cell::<u64, u64>::private()",
        own: "caller",
        peer: "server",
        peers_end: "serving",
    }
}

#[cold]
fn why(missed: Missed) -> CallError {
    match missed {
        Missed::Pending => CallError::Pending,
        Missed::Closed => CallError::Closed,
        Missed::Died => CallError::PeerDied,
        Missed::Corrupt => CallError::Corrupt,
    }
}
