//! The end that answers.

use super::{Half, Missed};
use crate::error::PopError;
use crate::plain::Plain;
use crate::queue::end::Limit;
use crate::queue::front;
use crate::sync::{Ordering, light_fence};
use std::time::Duration;

/// The serving end of a [`Cell`](super::Cell). Dropping it closes it: the caller is told at its next call, and
/// a request that it has not answered goes to the next server.
///
/// ```
/// use ringlane::{CallError, call::Cell};
/// let cell = Cell::<u64, u64>::private()?;
/// let mut caller = cell.caller()?;
/// drop(cell.server()?);
/// assert_eq!(caller.call(1), Err(CallError::Closed));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
pub struct Server<Req, Rep> {
    half: Half<Req, Rep>,
    /// The last turn that this server, or one before it, was given.
    given: u64,
}

/// A request that waits for its reply. Dropping it leaves it to be received again.
///
/// ```
/// let cell = ringlane::call::Cell::<u64, u64>::private()?;
/// let (mut caller, mut server) = (cell.caller()?, cell.server()?);
/// caller.start(20).unwrap();
/// let request = server.recv().unwrap();
/// let reply = *request.value() + 1;
/// request.reply(reply);
/// assert_eq!(caller.finish(), Ok(21));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a request that is dropped is received again"]
pub struct Request<'a, Req, Rep> {
    server: &'a mut Server<Req, Rep>,
    value: Req,
    again: bool,
}

impl<Req: Plain, Rep: Plain> Server<Req, Rep> {
    pub(super) fn of(half: Half<Req, Rep>) -> Self {
        // ORDERING(given): Relaxed, for the lock came from the one before. Pairs with ORDERING(given) in Server::take: the
        // copy is whole.
        let given = half.end.own().at.load(Ordering::Relaxed);
        Server { half, given }
    }

    /// Waits for a request as long as it takes, and answers it with what `answer` makes of it.
    ///
    /// If `answer` panics, the request stays unanswered, as when a [`Request`] is dropped.
    ///
    /// # Errors
    /// [`PopError::Closed`] and [`PopError::PeerDied`], after an outstanding request was answered;
    /// [`PopError::Corrupt`].
    ///
    /// ```
    /// use ringlane::{PopError, call::Cell};
    /// let cell = Cell::<u64, u64>::private()?;
    /// let (mut caller, mut server) = (cell.caller()?, cell.server()?);
    /// let thread = std::thread::spawn(move || {
    ///     loop {
    ///         if let Err(error) = server.serve(|n| n * n) {
    ///             break error;
    ///         }
    ///     }
    /// });
    /// assert_eq!(caller.call(7), Ok(49));
    /// drop(caller);
    /// assert_eq!(thread.join().unwrap(), PopError::Closed);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn serve(&mut self, answer: impl FnOnce(Req) -> Rep) -> Result<(), PopError> {
        self.serve_within(answer, Limit::Never)
    }

    /// Answers a request if one is there now. Never waits.
    ///
    /// # Errors
    /// [`PopError::Empty`], [`PopError::Closed`], [`PopError::Corrupt`].
    ///
    /// ```
    /// use ringlane::{PopError, call::Cell};
    /// let cell = Cell::<u64, u64>::private()?;
    /// assert_eq!(cell.server()?.try_serve(|n| n), Err(PopError::Empty));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn try_serve(&mut self, answer: impl FnOnce(Req) -> Rep) -> Result<(), PopError> {
        self.serve_within(answer, Limit::Now)
    }

    /// Waits for a request at most `timeout`, and answers it. The time that `answer` takes does not count.
    ///
    /// # Errors
    /// As [`serve`](Self::serve), and [`PopError::Empty`] when the time ran out.
    ///
    /// ```
    /// use ringlane::{PopError, call::Cell};
    /// use std::time::Duration;
    /// let cell = Cell::<u64, u64>::private()?;
    /// let served = cell.server()?.serve_timeout(|n| n, Duration::from_millis(1));
    /// assert_eq!(served, Err(PopError::Empty));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn serve_timeout(
        &mut self,
        answer: impl FnOnce(Req) -> Rep,
        timeout: Duration,
    ) -> Result<(), PopError> {
        self.serve_within(answer, Limit::Within(timeout))
    }

    #[inline(always)]
    fn serve_within(
        &mut self,
        answer: impl FnOnce(Req) -> Rep,
        limit: Limit,
    ) -> Result<(), PopError> {
        self.wait(limit)?;
        let (value, _) = self.take();
        self.answer(&answer(value));
        Ok(())
    }

    /// Waits for a request as long as it takes.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    ///
    /// ```
    /// let cell = ringlane::call::Cell::<u64, u64>::private()?;
    /// cell.caller()?.start(7).unwrap();
    /// let mut server = cell.server()?;
    /// assert_eq!(*server.recv().unwrap().value(), 7);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn recv(&mut self) -> Result<Request<'_, Req, Rep>, PopError> {
        self.recv_within(Limit::Never)
    }

    /// Takes a request if one is there now. Never waits.
    ///
    /// # Errors
    /// As [`try_serve`](Self::try_serve).
    ///
    /// ```
    /// let cell = ringlane::call::Cell::<u64, u64>::private()?;
    /// assert!(cell.server()?.try_recv().unwrap_err().is_empty());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn try_recv(&mut self) -> Result<Request<'_, Req, Rep>, PopError> {
        self.recv_within(Limit::Now)
    }

    /// Waits for a request at most `timeout`.
    ///
    /// # Errors
    /// As [`serve_timeout`](Self::serve_timeout).
    ///
    /// ```
    /// use std::time::Duration;
    /// let cell = ringlane::call::Cell::<u64, u64>::private()?;
    /// assert!(cell.server()?.recv_timeout(Duration::from_millis(1)).unwrap_err().is_empty());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Request<'_, Req, Rep>, PopError> {
        self.recv_within(Limit::Within(timeout))
    }

    #[inline(always)]
    fn recv_within(&mut self, limit: Limit) -> Result<Request<'_, Req, Rep>, PopError> {
        self.wait(limit)?;
        let (value, again) = self.take();
        Ok(Request { server: self, value, again })
    }

    /// Waits until a request is there; one that was left unanswered is.
    #[inline(always)]
    fn wait(&mut self, limit: Limit) -> Result<(), PopError> {
        if self.half.turn.is_servers() {
            return Ok(());
        }
        self.half.wait(limit).map_err(why)
    }

    /// The request, and whether it was given out before.
    #[inline(always)]
    fn take(&mut self) -> (Req, bool) {
        let (turn, copy) = (self.half.turn.at(), self.half.place.copy());
        if self.given == turn {
            // The reply may lie in the line already, in part.
            return (copy.load(), true);
        }
        let request = self.half.place.request().load();
        copy.store(&request);
        // ORDERING(given): light fence. Pairs with ORDERING(given) below and in Server::of. Whoever is told
        // that the request was given out finds the copy whole: a process dies between two instructions, so
        // that the compiler does not swap them is enough. No model: nobody dies there between two instructions.
        light_fence();
        self.half.end.own().at.store(turn, Ordering::Relaxed);
        // ORDERING(given): light fence. Pairs with ORDERING(given) in Server::of. Whoever finds a part of the
        // reply in the line is told that the request was given out. So is who comes after the service began. No model: as above.
        light_fence();
        self.given = turn;
        (request, false)
    }

    #[inline(always)]
    fn answer(&mut self, reply: &Rep) {
        self.half.place.reply().store(reply);
        self.half.publish();
    }

    front::end! {
        field: half.end,
        queue: "call::Cell::<u64, u64>::private()",
        own: "server",
        peer: "caller",
        peers_end: "calling",
    }
}

impl<Req: Plain, Rep: Plain> Request<'_, Req, Rep> {
    /// What is asked: a private copy, which nobody can change any more.
    ///
    /// ```
    /// let cell = ringlane::call::Cell::<u64, u64>::private()?;
    /// cell.caller()?.start(7).unwrap();
    /// assert_eq!(*cell.server()?.recv().unwrap().value(), 7);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn value(&self) -> &Req {
        &self.value
    }

    /// Whether this request was given out before, to this server or to one that closed or died, and not
    /// answered. What it asks for may have been done.
    ///
    /// ```
    /// let cell = ringlane::call::Cell::<u64, u64>::private()?;
    /// cell.caller()?.start(7).unwrap();
    /// assert!(!cell.server()?.recv().unwrap().is_redelivery());
    /// assert!(cell.server()?.recv().unwrap().is_redelivery());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn is_redelivery(&self) -> bool {
        self.again
    }

    /// Answers it.
    ///
    /// ```
    /// let cell = ringlane::call::Cell::<u64, u64>::private()?;
    /// let (mut caller, mut server) = (cell.caller()?, cell.server()?);
    /// caller.start(7).unwrap();
    /// server.recv().unwrap().reply(8);
    /// assert_eq!(caller.finish(), Ok(8));
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[inline]
    pub fn reply(self, reply: Rep) {
        self.server.answer(&reply);
    }
}

#[cold]
fn why(missed: Missed) -> PopError {
    match missed {
        Missed::Pending => PopError::Empty,
        Missed::Closed => PopError::Closed,
        Missed::Died => PopError::PeerDied,
        Missed::Corrupt => PopError::Corrupt,
    }
}
