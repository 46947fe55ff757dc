//! Sleeping until the peer has done something, and waking it, at no cost while nobody sleeps.
//!
//! Each side has a gate: a sleep word and an epoch, written by that side alone. The sleeper counts its
//! own sleep word up to an odd number; the waker, after each of its operations, looks at that word and,
//! if it is odd, bumps its *own* epoch, on which the sleeper sleeps, and wakes it. So nobody writes to
//! memory that the peer owns, and the sleeper's futex is never one that the peer could take away.
//!
//! ```text
//!   waker                                  sleeper
//!   publish                                e = peer.epoch
//!   light fence                            own.sleep = odd
//!   peer.sleep odd?                        heavy fence
//!     and not woken for it already:        anything published? then stay awake
//!       own.epoch += 1, futex wake         futex wait while peer.epoch == e
//! ```
//!
//! Why no wake-up is lost:
//!
//! * The two fences forbid that the waker misses the odd word *and* the sleeper misses what was
//!   published. The waker's half only binds the compiler: the sleeper's `membarrier(2)` makes every
//!   running thread of the waker's process pass a full fence. Where the kernel has no membarrier, the
//!   waker's gate says so and it runs a real fence at each operation; where only the sleeper is refused,
//!   it sleeps in short naps.
//! * If the waker sees the odd word, it bumps the epoch after the sleeper read it. The futex call then
//!   either finds the word changed, or is queued and woken: the kernel compares under its own lock.
//! * A waker that dies between publishing and waking wakes nobody. So each process that sleeps has a
//!   thread that the kernel tells of the end of its peers, and that wakes in their names. It only says
//!   *when* to look: whether a peer is dead, the lock that it held decides. Where there can be no such
//!   thread, and should it fail, sleeps are bounded.
//!
//! Where many sleep on one thing (a ring for many), they share a gate: see [`crowd`].
//!
//! One sleep costs its waker one system call: it remembers the odd number for which it has called.

mod bell;
mod crowd;
mod death;
mod waiter;

pub(crate) use bell::{Announced, Bell, Nudge, Nudged, shares_processor, shout};
pub(crate) use crowd::{Asleep, CrowdBell, call_all};
#[cfg(any(target_os = "linux", windows))]
pub(crate) use death::Line;
pub(crate) use death::Watch;
pub use waiter::Wait;
pub(crate) use waiter::Waiter;
