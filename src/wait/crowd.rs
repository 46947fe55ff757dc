//! The handshake where many wait for one thing.
//!
//! ```text
//!   waker                                  sleeper
//!   publish                                e = epoch
//!   light fence                            sleep += 1
//!   s = sleep; called == s? done           heavy fence
//!   epoch += 1, futex wake all             anything published? then stay awake
//!   called = s                             futex wait while epoch == e
//! ```
//!
//! All sleepers are woken, so none depends on what another does with its wake-up, or whether it lives to do
//! it. A waker says that it has called only after it has: one that dies before leaves the two numbers
//! apart, and the next waker calls in its stead. What stays is a waker that dies between publishing and
//! looking; that is what [`Watch`](super::Watch) and bounded sleeps are for, as between two ends.
//!
//! `called` may go back, when a slow waker writes an old number: then somebody calls once more, for nothing.

use crate::layout::{Common, Crowd, Members};
use crate::sync::{Ordering, fence, light_fence};
use crate::sys;
use std::time::Duration;

/// One participant's way to wake others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CrowdBell {
    /// Whether this process takes part in the heavy fence, and so may run without fences.
    unfenced: bool,
}

/// A sleep that has been announced and not yet begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asleep {
    epoch: u32,
    /// Whether wakers are certain to see it. If not, only a nap is safe.
    certain: bool,
}

impl CrowdBell {
    pub(crate) fn new() -> CrowdBell {
        CrowdBell { unfenced: sys::register_fence() }
    }

    /// Wakes all who sleep. To be called after each publication, or each release.
    #[inline(always)]
    pub(crate) fn notify(&self, crowd: &Crowd) {
        if self.unfenced {
            // ORDERING(crowd-fence): light half. Pairs with ORDERING(crowd-fence) in CrowdBell::announce.
            light_fence();
        } else {
            // ORDERING(crowd-fence): SeqCst fence. Pairs with ORDERING(crowd-fence) in CrowdBell::announce.
            fence(Ordering::SeqCst);
        }
        let sleep = crowd.sleep.load(Ordering::Relaxed);
        if sleep != crowd.called.load(Ordering::Relaxed) {
            answer(crowd);
        }
    }

    /// Says that somebody is about to sleep. After this, and before [`sleep`](Self::sleep), the caller looks
    /// once more at what it waits for.
    pub(crate) fn announce(&self, crowd: &Crowd, members: &Members) -> Asleep {
        // Relaxed: the fence below acquires for it.
        let epoch = crowd.epoch.load(Ordering::Relaxed);
        // ORDERING(crowd-sleep): Release. Pairs with ORDERING(crowd-sleep) in answer. No model: loom reorders no read
        // with a later write.
        crowd.sleep.fetch_add(1, Ordering::Release);
        // ORDERING(crowd-fence): SeqCst fence, then the heavy one. Pairs with ORDERING(crowd-fence) in
        // CrowdBell::notify: either the waker sees the new number, or we see what it published before.
        // ORDERING(arrive): SeqCst fence. Pairs with ORDERING(arrive) in Place::acquire: a participant that
        // comes now either sees the new number, or we see that it may run without fences.
        // ORDERING(crowd-epoch): what that epoch was bumped for can be seen from here on. Pairs with
        // ORDERING(crowd-epoch) in call.
        fence(Ordering::SeqCst);
        // ORDERING(crowd-fence): the heavy half. No model: the other half is a full fence there, and so the one above is
        // enough.
        let certain = members.unfenced.load(Ordering::Relaxed) == 0 || sys::heavy_fence();
        Asleep { epoch, certain }
    }

    /// Sleeps until somebody calls, `most` has passed, or for no reason.
    pub(crate) fn sleep(&self, asleep: Asleep, crowd: &Crowd, most: Duration) {
        const NAP: Duration = Duration::from_millis(1);
        let most = if asleep.certain { most } else { most.min(NAP) };
        sys::wait(&crowd.epoch, asleep.epoch, most);
    }
}

#[cold]
fn answer(crowd: &Crowd) {
    // ORDERING(crowd-sleep): Acquire. Pairs with ORDERING(crowd-sleep) in CrowdBell::announce: the sleepers
    // up to this number have read the epoch before we bump it. No model: loom reorders no read with a
    // later write.
    let sleep = crowd.sleep.load(Ordering::Acquire);
    call(crowd);
    // Relaxed: whoever sees it has no need to call those whom we have called.
    crowd.called.store(sleep, Ordering::Relaxed);
}

fn call(crowd: &Crowd) {
    // ORDERING(crowd-epoch): Release. Pairs with ORDERING(crowd-epoch) in CrowdBell::announce: who sees the
    // new epoch sees what it is bumped for.
    crowd.epoch.fetch_add(1, Ordering::Release);
    sys::wake(&crowd.epoch);
}

/// Wakes all who sleep on anything, whether or not anybody says so: when somebody has come, closed or died.
pub(crate) fn call_all(common: &Common) {
    call(&common.items);
    call(&common.room);
}
