//! Being told that a process ended, by kqueue.

use super::failed;
use crate::error::{Error, ErrorKind, Result};
use nix::errno::Errno;
use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A process that can be waited for, by its number.
#[derive(Debug)]
pub(crate) struct Process(u32);

/// It is that process if it is known to live after the wait for it was begun.
pub(crate) fn open_process(pid: u32) -> Result<Process> {
    if pid == 0 {
        return Err(Error::new(ErrorKind::NotFound, "no process has the number 0"));
    }
    Ok(Process(pid))
}

/// Tells which of several processes ended.
#[derive(Debug)]
pub(crate) struct Poller {
    queue: Kqueue,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// A process is in the queue once, whoever waits for it.
    tokens: BTreeMap<usize, Vec<u64>>,
    /// What is still to be told.
    told: VecDeque<u64>,
}

fn ended(pid: usize, flags: EvFlags) -> KEvent {
    KEvent::new(pid, EventFilter::EVFILT_PROC, flags, FilterFlag::NOTE_EXIT, 0, 0)
}

impl Poller {
    pub(crate) fn new() -> Result<Poller> {
        Ok(Poller { queue: Kqueue::new().map_err(failed("kqueue"))?, state: Mutex::default() })
    }

    /// Has the end of a process reported as `token`, once. Tokens that nobody knows any more may be reported.
    pub(crate) fn add_end(&self, process: &Process, token: u64) -> Result<()> {
        let pid = process.0 as usize;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let change = [ended(pid, EvFlags::EV_ADD | EvFlags::EV_ONESHOT)];
        // A process that is gone is an error here.
        self.queue.kevent(&change, &mut [], None).map_err(failed("kevent"))?;
        state.tokens.entry(pid).or_default().push(token);
        Ok(())
    }

    /// Waits for the next report; nothing if there was none within the time.
    pub(crate) fn next(&self, most: Option<Duration>) -> Result<Option<u64>> {
        let next = || self.state.lock().unwrap_or_else(PoisonError::into_inner).told.pop_front();
        if let Some(token) = next() {
            return Ok(Some(token));
        }
        let most = most.map(|most| libc::timespec {
            tv_sec: libc::time_t::try_from(most.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: i64::from(most.subsec_nanos()),
        });
        let mut events = [ended(0, EvFlags::empty())];
        match self.queue.kevent(&[], &mut events, most) {
            Ok(0) | Err(Errno::EINTR) => return Ok(None),
            Ok(_) => {}
            Err(errno) => return Err(Error::os("kevent", errno as i32)),
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let tokens = state.tokens.remove(&events[0].ident()).unwrap_or_default();
        state.told.extend(tokens);
        Ok(state.told.pop_front())
    }
}
