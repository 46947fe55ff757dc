//! Being woken when the peer dies: one thread a process, started when an end first goes to sleep.

use super::{call_all, shout};
use crate::layout::{Segment, Side};
use crate::sync::Ordering;
use crate::sys;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// The process's thread and what it watches.
#[derive(Debug)]
struct Watcher {
    deaths: sys::Deaths,
    watched: Mutex<Watched>,
    /// A forked child has this, but not the thread.
    owner: u64,
}

#[derive(Debug, Default)]
struct Watched {
    next: u64,
    by_token: HashMap<u64, (Weak<Segment>, Whom)>,
}

/// Whom a death wakes.
#[derive(Clone, Copy, Debug)]
enum Whom {
    /// Who sleeps on this end's gate.
    PeerOf(Side),
    /// All who sleep on a ring for many.
    Everybody,
}

static WATCHER: OnceLock<Option<Watcher>> = OnceLock::new();

/// A watch over the holder of one end, until dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    watcher: &'static Watcher,
    token: u64,
    generation: u32,
    _process: sys::Handle,
}

impl Watch {
    /// Has the death of the holder of `side` wake who sleeps on its gate. Nothing if there is no holder or
    /// no way; whoever sleeps then does so in short bounds.
    ///
    /// The process is found by the number that the holder wrote down. If that is wrong, only the hint is
    /// lost: the caller looks at the holder's lock after this.
    pub(crate) fn start(segment: &Arc<Segment>, side: Side, generation: u32) -> Option<Watch> {
        let pid = segment.part(side).gate.pid.load(Ordering::Relaxed);
        Watch::on(segment, Whom::PeerOf(side), pid, generation)
    }

    /// Has the death of a participant in a ring for many wake all who sleep there.
    pub(crate) fn participant(segment: &Arc<Segment>, pid: u32, generation: u32) -> Option<Watch> {
        Watch::on(segment, Whom::Everybody, pid, generation)
    }

    fn on(segment: &Arc<Segment>, whom: Whom, pid: u32, generation: u32) -> Option<Watch> {
        let watcher = WATCHER.get_or_init(Watcher::start).as_ref()?;
        if watcher.owner != sys::process_token() {
            return None;
        }
        let process = sys::open_process(pid).ok()?;
        let token = {
            let mut watched = watcher.watched.lock().unwrap_or_else(PoisonError::into_inner);
            watched.next += 1;
            let token = watched.next;
            watched.by_token.insert(token, (Arc::downgrade(segment), whom));
            token
        };
        // Made first, so that it is taken off the list if the next step fails.
        let watch = Watch { watcher, token, generation, _process: process };
        watcher.deaths.add(&watch._process, token).ok()?;
        Some(watch)
    }

    /// Which of the end's holders is watched.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.watcher.owner != sys::process_token() {
            // In a forked child, where the list may be locked by a thread that is not there.
            return;
        }
        let mut watched = self.watcher.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.by_token.remove(&self.token);
    }
}

impl Watcher {
    fn start() -> Option<Watcher> {
        let deaths = sys::Deaths::new().ok()?;
        let watch = || {
            sys::block_signals();
            // It is there before the first token is.
            let Some(watcher) = WATCHER.wait() else { return };
            while let Ok(token) = watcher.deaths.next() {
                watcher.wake(token);
            }
        };
        std::thread::Builder::new().name("ringlane-deaths".into()).spawn(watch).ok()?;
        Some(Watcher { deaths, watched: Mutex::default(), owner: sys::process_token() })
    }

    fn wake(&self, token: u64) {
        // With the list held throughout: whoever drops a watch waits, and then has the last hold on the
        // segment itself. Or this thread might end up with it, and remove the name at a time of its own.
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((segment, whom)) = watched.by_token.get(&token)
            && let Some(segment) = segment.upgrade()
        {
            match whom {
                Whom::PeerOf(side) => shout(&segment.part(*side).gate),
                Whom::Everybody => call_all(segment.common()),
            }
        }
    }
}
