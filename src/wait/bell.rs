//! The two halves of the handshake.

use crate::layout::Gate;
use crate::sync::{AtomicU32, Ordering, fence, light_fence};
use crate::sys;
use std::time::Duration;

/// One end's memory of the handshake.
#[derive(Debug)]
pub(crate) struct Bell {
    /// Whether this process takes part in the heavy fence, and so may run without fences.
    unfenced: bool,
    /// The peer's sleep that we have already called into.
    called: u32,
}

/// A sleep that has been announced and not yet begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announced {
    epoch: u32,
    /// Whether the peer is certain to see it. If not, only a nap is safe.
    certain: bool,
}

impl Bell {
    pub(crate) fn new() -> Bell {
        Bell { unfenced: sys::register_fence(), called: 0 }
    }

    /// Wakes the peer if it sleeps, and says whether it had to be woken. To be called after each publication and
    /// each release.
    #[inline(always)]
    pub(crate) fn notify(&mut self, own: &Gate, peer: &Gate) -> bool {
        if self.unfenced {
            // ORDERING(sleep-fence): light half. Pairs with ORDERING(sleep-fence) in Bell::announce.
            light_fence();
        } else {
            full_fence();
        }
        peer.sleep.load(Ordering::Relaxed) & 1 == 1 && self.call(own, peer)
    }

    #[cold]
    fn call(&mut self, own: &Gate, peer: &Gate) -> bool {
        // ORDERING(sleep): Acquire. Pairs with ORDERING(sleep) in Bell::announce: the sleeper has read our
        // epoch before we bump it. No model: loom reorders no read with a later write.
        let sleep = peer.sleep.load(Ordering::Acquire);
        let called = sleep & 1 == 1 && sleep != self.called;
        if called {
            self.called = sleep;
            stand(own);
            shout(own);
        }
        called
    }

    /// Says that this side is about to sleep. After this, and before [`sleep`](Self::sleep), the caller
    /// looks once more at what it waits for; in any case it then calls [`withdraw`](Self::withdraw).
    pub(crate) fn announce(&self, own: &Gate, peer: &Gate) -> Announced {
        // Relaxed: the fence below acquires for it.
        let epoch = peer.epoch.load(Ordering::Relaxed);
        let awake = own.sleep.load(Ordering::Relaxed) & !1;
        // ORDERING(sleep): Release. Pairs with ORDERING(sleep) in Bell::call. No model: loom reorders no read
        // with a later write.
        own.sleep.store(awake.wrapping_add(1), Ordering::Release);
        // ORDERING(sleep-fence): SeqCst fence, then the heavy one. Pairs with ORDERING(sleep-fence) in
        // Bell::notify: either the peer sees the odd word, or we see what it published before it looked.
        // ORDERING(attach): SeqCst fence. Pairs with ORDERING(attach) in Role::acquire: a peer that comes
        // now either sees the odd word, or we see whether it runs without fences.
        // ORDERING(epoch): what that epoch was bumped for can be seen from here on. Pairs with ORDERING(epoch) in
        // Bell::shout.
        // ORDERING(nudge): so can what a nudge was given for that was seen before. Pairs with ORDERING(nudge) in
        // Nudge::give.
        fence(Ordering::SeqCst);
        // ORDERING(sleep-fence): the heavy half. No model: the other half is a full fence there, and so the one above is
        // enough.
        let certain = peer.unfenced.load(Ordering::Relaxed) == 0 || sys::heavy_fence();
        Announced { epoch, certain }
    }

    /// Sleeps until the peer calls, this process gives a nudge, `most` has passed, or for no reason.
    pub(crate) fn sleep(
        &self,
        announced: Announced,
        peer: &Gate,
        nudge: Option<(&Nudge, Nudged)>,
        most: Duration,
    ) {
        const NAP: Duration = Duration::from_millis(1);
        let most = if announced.certain { most } else { most.min(NAP) };
        match nudge {
            None => sys::wait(&peer.epoch, announced.epoch, most),
            Some((nudge, Nudged(seen))) => {
                sys::wait_either((&peer.epoch, announced.epoch), (&nudge.0, seen), most);
            }
        }
    }

    /// Says that this side is awake.
    pub(crate) fn withdraw(&self, own: &Gate) {
        let sleep = own.sleep.load(Ordering::Relaxed);
        // Relaxed: a peer that still sees the old word calls into a sleep that is over, to no harm.
        own.sleep.store(sleep.wrapping_add(sleep & 1), Ordering::Relaxed);
    }
}

/// A word of this process's own that wakes its sleepers: for what the peer does not do.
#[derive(Debug)]
pub(crate) struct Nudge(AtomicU32);

/// What a [`Nudge`] was when a sleeper looked, before it looked at anything else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nudged(u32);

impl Nudge {
    pub(crate) fn new() -> Nudge {
        Nudge(AtomicU32::new(0))
    }

    pub(crate) fn look(&self) -> Nudged {
        // Relaxed: the fence of the announcement that follows acquires for it.
        Nudged(self.0.load(Ordering::Relaxed))
    }

    /// Wakes who sleeps. To be called after what it is for.
    pub(crate) fn give(&self) {
        // ORDERING(nudge): Release. Pairs with ORDERING(nudge) in Bell::announce: who saw it before sees what it is for.
        self.0.fetch_add(1, Ordering::Release);
        sys::wake(&self.0);
    }

    /// Sleeps until a nudge is given, `most` has passed, or for no reason.
    pub(crate) fn sleep(&self, seen: Nudged, most: Duration) {
        sys::wait(&self.0, seen.0, most);
    }
}

#[cold]
fn full_fence() {
    // ORDERING(sleep-fence): SeqCst fence. Pairs with ORDERING(sleep-fence) in Bell::announce.
    fence(Ordering::SeqCst);
}

/// Says on which processor this end is, and which that is. The peer compares it with its own.
fn stand(own: &Gate) -> Option<u32> {
    let here = sys::processor()?.checked_add(1)?;
    // The peer reads this line after each of its operations, so it is written only if something changed.
    if own.processor.load(Ordering::Relaxed) != here {
        own.processor.store(here, Ordering::Relaxed);
    }
    Some(here)
}

/// Whether the peer was last seen on this very processor. Then it does not run now, and to look for what it
/// does keeps it from doing it. It may have moved since: then it has to wake us, and says where it is.
pub(crate) fn shares_processor(own: &Gate, peer: &Gate) -> bool {
    stand(own).is_some_and(|here| peer.processor.load(Ordering::Relaxed) == here)
}

/// Wakes who sleeps on a gate, whether or not anybody says so: after opening and closing an end, and in
/// the name of a holder that died.
pub(crate) fn shout(own: &Gate) {
    // ORDERING(epoch): Release. Pairs with ORDERING(epoch) in Bell::announce: who sees the new epoch sees
    // what it is bumped for. An addition, because a successor may bump it while a watcher does.
    own.epoch.fetch_add(1, Ordering::Release);
    sys::wake(&own.epoch);
}
