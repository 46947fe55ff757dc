//! How long to look before sleeping, and for how long to sleep.

use std::time::{Duration, Instant};

/// What an end does while it waits. Each end chooses for itself, at any time; the peer cannot tell.
///
/// ```
/// use ringlane::{spsc, Wait};
///
/// let queue = spsc::Queue::<u64>::private(8)?;
/// let mut consumer = queue.consumer()?;
/// consumer.set_wait(Wait::Park);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// Looks again and again, and never sleeps: the lowest latency, at the price of a whole core.
    Spin,
    /// Looks, and lets others run in between.
    Yield,
    /// Looks for about as long as a sleep and a wake-up would take, then sleeps. At once, if the other end was
    /// last seen on the same processor: it cannot run while this one looks.
    #[default]
    SpinThenPark,
    /// Sleeps at once.
    Park,
}

/// About what it costs to be put to sleep and woken.
const SPIN_BUDGET: Duration = Duration::from_micros(20);

/// Looks between two looks at anything else, such as the clock. They take a microsecond or two: longer than a
/// round trip to a peer that is awake, on any two processors of one socket.
const POLLS: u32 = if cfg!(loom) { 1 } else { 128 };

impl Wait {
    /// How often to look before anything else is done.
    #[inline(always)]
    pub(crate) fn polls(self) -> u32 {
        match self {
            Wait::Spin | Wait::SpinThenPark => POLLS,
            Wait::Yield | Wait::Park => 0,
        }
    }
}

/// The bound of a sleep from which the peer's death wakes.
const WATCHED: Duration = Duration::from_secs(1);

/// The first and the longest bound of a sleep from which it does not, so this is how long a death can go
/// unnoticed: little at first, more for those who wait long anyway.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(50);

/// One wait, from its first look to its end.
#[derive(Debug)]
pub(crate) struct Waiter {
    strategy: Wait,
    /// When to give up; never if `None`.
    deadline: Option<Instant>,
    /// Whether there has been a burst already.
    started: bool,
    /// When to leave the spinning for a look at the peer or a sleep.
    until: Option<Instant>,
    bound: Duration,
}

impl Waiter {
    /// A wait of at most `timeout`; one that is too long for a clock is for ever.
    pub(crate) fn new(strategy: Wait, timeout: Option<Duration>) -> Waiter {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Waiter { strategy, deadline, started: false, until: None, bound: SHORTEST }
    }

    /// How many times to look before anything else is done. None says that it is time to check the peer and
    /// perhaps to sleep.
    #[inline]
    pub(crate) fn burst(&mut self) -> Option<u32> {
        let first = !std::mem::replace(&mut self.started, true);
        match self.strategy {
            Wait::Park => None,
            Wait::Yield => {
                std::thread::yield_now();
                (first || self.within_budget()).then_some(1)
            }
            Wait::Spin | Wait::SpinThenPark => {
                (first || self.within_budget()).then_some(self.strategy.polls())
            }
        }
    }

    fn within_budget(&mut self) -> bool {
        let now = Instant::now();
        let budget = if self.parks() { SPIN_BUDGET } else { SHORTEST };
        let until = *self.until.get_or_insert(now + budget);
        if now < until && self.deadline.is_none_or(|deadline| now < deadline) {
            return true;
        }
        self.until = None;
        false
    }

    /// Sleeps at once, unless this is a wait that never sleeps.
    pub(crate) fn park(&mut self) {
        if self.parks() {
            self.strategy = Wait::Park;
        }
    }

    /// Whether this wait ever sleeps.
    pub(crate) fn parks(&self) -> bool {
        matches!(self.strategy, Wait::SpinThenPark | Wait::Park)
    }

    /// Whether the time is up.
    pub(crate) fn expired(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// How long the next sleep may last, if the peer is `watched` or not. After the first, there is no
    /// spinning any more.
    pub(crate) fn next_bound(&mut self, watched: bool) -> Duration {
        self.strategy = Wait::Park;
        let bound = if watched { WATCHED } else { self.bound };
        self.bound = (self.bound * 2).min(LONGEST);
        match self.deadline {
            Some(deadline) => bound.min(deadline.saturating_duration_since(Instant::now())),
            None => bound,
        }
    }
}
