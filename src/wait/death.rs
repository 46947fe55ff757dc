//! Being woken when the peer dies or hangs up: one thread a process, started when an end first goes to sleep.

use super::{call_all, shout};
use crate::layout::{Segment, Side};
use crate::sync::Ordering;
use crate::sys;
#[cfg(any(target_os = "linux", windows))]
use crate::sys::Interest;
use std::collections::HashMap;
#[cfg(any(target_os = "linux", windows))]
use std::fmt::Debug;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// The process's thread and what it watches.
#[derive(Debug)]
struct Watcher {
    ends: sys::Poller,
    watched: Mutex<Watched>,
    /// A forked child has this, but not the thread.
    owner: u64,
}

#[derive(Debug, Default)]
struct Watched {
    next: u64,
    by_token: HashMap<u64, Whom>,
}

/// Whom to tell of what.
#[derive(Debug)]
enum Whom {
    /// Who sleeps on the gate of this side, whose holder's process is watched.
    Side(Weak<Segment>, Side),
    /// All who sleep on a ring for many, of which a participant's process is watched.
    Everybody(Weak<Segment>),
    #[cfg(any(target_os = "linux", windows))]
    Line(Weak<dyn Line>),
}

/// A connection that is watched.
#[cfg(any(target_os = "linux", windows))]
pub(crate) trait Line: Debug + Send + Sync {
    fn socket(&self) -> &sys::Socket;

    /// What is to be told next: something that came, or the end only.
    fn interest(&self) -> Interest;

    /// It has come. Says whether to watch on.
    fn heard(&self) -> bool;
}

static WATCHER: OnceLock<Option<Watcher>> = OnceLock::new();

/// A watch over the holder of one end, or over a connection, until dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    watcher: &'static Watcher,
    token: u64,
    generation: u32,
    _process: Option<sys::Process>,
}

impl Watch {
    /// Has the death of the holder of `side` wake who sleeps on its gate. Nothing if there is no holder or
    /// no way; whoever sleeps then does so in short bounds.
    ///
    /// The process is found by the number that the holder wrote down. If that is wrong, only the hint is
    /// lost: the caller looks at the holder's lock after this.
    pub(crate) fn start(segment: &Arc<Segment>, side: Side, generation: u32) -> Option<Watch> {
        let pid = segment.part(side).gate.pid.load(Ordering::Relaxed);
        Watch::on(Whom::Side(Arc::downgrade(segment), side), pid, generation)
    }

    /// Has the death of a participant in a ring for many wake all who sleep there.
    pub(crate) fn participant(segment: &Arc<Segment>, pid: u32, generation: u32) -> Option<Watch> {
        Watch::on(Whom::Everybody(Arc::downgrade(segment)), pid, generation)
    }

    fn on(whom: Whom, pid: u32, generation: u32) -> Option<Watch> {
        let mut watch = Watch::list(whom, generation)?;
        let process = watch._process.insert(sys::open_process(pid).ok()?);
        watch.watcher.ends.add_end(process, watch.token).ok()?;
        Some(watch)
    }

    /// Has a connection told of what it is interested in.
    #[cfg(any(target_os = "linux", windows))]
    pub(crate) fn line(line: &Arc<dyn Line>) -> Option<Watch> {
        let watch = Watch::list(Whom::Line(Arc::downgrade(line)), 0)?;
        watch.watcher.ends.add(line.socket(), line.interest(), true, watch.token).ok()?;
        Some(watch)
    }

    /// Made first, so that it is taken off the list if the next step fails.
    fn list(whom: Whom, generation: u32) -> Option<Watch> {
        let watcher = WATCHER.get_or_init(Watcher::start).as_ref()?;
        if watcher.owner != sys::process_token() {
            return None;
        }
        let mut watched = watcher.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.next += 1;
        let token = watched.next;
        watched.by_token.insert(token, whom);
        Some(Watch { watcher, token, generation, _process: None })
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
        let ends = sys::Poller::new().ok()?;
        let watch = || {
            sys::block_signals();
            // It is there before the first token is.
            let Some(watcher) = WATCHER.wait() else { return };
            while let Ok(token) = watcher.ends.next(None) {
                token.into_iter().for_each(|token| watcher.wake(token));
            }
        };
        std::thread::Builder::new().name("ringlane-deaths".into()).spawn(watch).ok()?;
        Some(Watcher { ends, watched: Mutex::default(), owner: sys::process_token() })
    }

    fn wake(&self, token: u64) {
        // With the list held throughout: whoever drops a watch waits, and then has the last hold on the
        // segment itself. Or this thread might end up with it, and remove the name at a time of its own.
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        match watched.by_token.get(&token) {
            Some(Whom::Side(segment, side)) => {
                if let Some(segment) = segment.upgrade() {
                    shout(&segment.part(*side).gate);
                }
            }
            Some(Whom::Everybody(segment)) => {
                if let Some(segment) = segment.upgrade() {
                    call_all(segment.common());
                }
            }
            #[cfg(any(target_os = "linux", windows))]
            Some(Whom::Line(line)) => {
                if let Some(line) = line.upgrade()
                    && line.heard()
                {
                    // If it fails, sleepers look for themselves, once in a while.
                    let _ = self.ends.again(line.socket(), line.interest(), token);
                }
            }
            None => {}
        }
    }
}
