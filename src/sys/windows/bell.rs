//! Sleeping on a word of an object that one process writes and one other reads, as a session's are.
//!
//! Each word that is slept on has an event, found by the object's number and the word's place. Whoever comes first makes
//! it, and it stays set until somebody comes to wait for it: so none is missed. One thread at a time sleeps on a word.
//!
//! Such a sleep ends, too, when a word of this process's own changes. So each thread has an event, which it lists under
//! that word's address while it sleeps.
#![allow(unsafe_code, reason = "system calls")]

use super::event::{new_event, set};
use super::object::Object;
use super::{milliseconds, owned, security, wide};
use crate::sync::{AtomicU32, Ordering, fence};
use std::collections::BTreeMap;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use windows_sys::Win32::System::Threading::{CreateEventW, WaitForMultipleObjects};

/// How long who has no event sleeps at most.
const NAP: Duration = Duration::from_millis(1);

/// The events of an object's words, by their places, as far as they were asked for.
pub(super) type Bells = Mutex<BTreeMap<usize, Arc<OwnedHandle>>>;

fn bell_of(object: &Object, at: usize) -> Option<Arc<OwnedHandle>> {
    let mut bells = object.bells()?.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bell) = bells.get(&at) {
        return Some(Arc::clone(bell));
    }
    let name = wide(&format!("Local\\ringlane-{}-at-{at}", object.id()));
    let own_only = security::own_only().ok()?;
    // SAFETY: the name ends with a zero, and the descriptor stays for good.
    let bell = Arc::new(owned(unsafe { CreateEventW(&own_only, 0, 0, name.as_ptr()) })?);
    bells.insert(at, Arc::clone(&bell));
    Some(bell)
}

/// Wakes who sleeps on the word at that place.
pub(super) fn ring(object: &Object, at: usize) {
    // Without an event nobody sleeps for longer than a nap.
    if let Some(bell) = bell_of(object, at) {
        set(&bell);
    }
}

/// Who sleeps until a word of this process's own changes: its address, and the sleeper's event.
static SLEEPERS: Mutex<Vec<(usize, Arc<OwnedHandle>)>> = Mutex::new(Vec::new());
static SLEEPING: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static OWN: Option<Arc<OwnedHandle>> = new_event(false).ok().map(Arc::new);
}

/// On the list, until dropped.
struct Listed(usize, Arc<OwnedHandle>);

impl Listed {
    fn new(address: usize, event: Arc<OwnedHandle>) -> Listed {
        let mut sleepers = SLEEPERS.lock().unwrap_or_else(PoisonError::into_inner);
        sleepers.push((address, Arc::clone(&event)));
        SLEEPING.fetch_add(1, Ordering::SeqCst);
        Listed(address, event)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut sleepers = SLEEPERS.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = |(address, event): &(usize, Arc<OwnedHandle>)| {
            *address == self.0 && Arc::ptr_eq(event, &self.1)
        };
        if let Some(index) = sleepers.iter().position(mine) {
            sleepers.swap_remove(index);
            SLEEPING.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Wakes who sleeps until this word changes, beside another one.
pub(super) fn wake_own(word: &AtomicU32) {
    // With the one in `wait`: either the change is seen there, or here that somebody sleeps.
    fence(Ordering::SeqCst);
    if SLEEPING.load(Ordering::SeqCst) == 0 {
        return;
    }
    let sleepers = SLEEPERS.lock().unwrap_or_else(PoisonError::into_inner);
    let address = word.as_ptr().addr();
    sleepers.iter().filter(|sleeper| sleeper.0 == address).for_each(|sleeper| set(&sleeper.1));
}

/// Sleeps while the word at that place is what is expected, and the other word, too.
pub(super) fn wait(
    object: &Object,
    at: usize,
    (word, expected): (&AtomicU32, u32),
    own: Option<(&AtomicU32, u32)>,
    timeout: Duration,
) {
    let thread = OWN.try_with(Clone::clone).ok().flatten();
    let (Some(bell), Some(thread)) = (bell_of(object, at), thread) else {
        return std::thread::sleep(timeout.min(NAP));
    };
    let listed = own.map(|(own, _)| Listed::new(own.as_ptr().addr(), Arc::clone(&thread)));
    // With the ones in `wake_own` and, for the first word, after each publication: either a change is seen here, or
    // there that somebody sleeps. What wakes for the first word sets its event whether or not.
    fence(Ordering::SeqCst);
    let unchanged = word.load(Ordering::Relaxed) == expected
        && own.is_none_or(|(own, expected)| own.load(Ordering::Relaxed) == expected);
    if unchanged {
        let events = [&bell, &thread].map(|event| event.as_raw_handle().cast());
        // SAFETY: so many events, all of them open.
        unsafe { WaitForMultipleObjects(2, events.as_ptr(), 0, milliseconds(timeout)) };
    }
    drop(listed);
}
