//! Sleeping and locking inside a loom model: one mutex and one condition variable stand for the
//! kernel's futex queues and its lock table, both of which are looked at under locks of its own.

use super::linux::{Handle, is_locked, set_lock};
use crate::error::Result;
use crate::sync::{AtomicU32, Ordering, fence};
use loom::sync::{Condvar, Mutex};
use std::time::Duration;

loom::lazy_static! {
    static ref QUEUE: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
}

/// No time passes in a model: a wake-up that is lost is a deadlock, which loom reports.
pub(crate) fn wait(word: &AtomicU32, expected: u32, _timeout: Duration) {
    let (lock, sleepers) = &*QUEUE;
    let held = lock.lock().expect("no model panics with the lock held");
    if word.load(Ordering::Relaxed) == expected {
        drop(sleepers.wait(held).expect("no model panics with the lock held"));
    }
}

pub(crate) fn wait_either(
    (word, expected): (&AtomicU32, u32),
    (own, own_expected): (&AtomicU32, u32),
    _timeout: Duration,
) {
    let (lock, sleepers) = &*QUEUE;
    let held = lock.lock().expect("no model panics with the lock held");
    let unchanged = word.load(Ordering::Relaxed) == expected;
    if unchanged && own.load(Ordering::Relaxed) == own_expected {
        drop(sleepers.wait(held).expect("no model panics with the lock held"));
    }
}

pub(crate) fn wake(_word: &AtomicU32) {
    let (lock, sleepers) = &*QUEUE;
    let _held = lock.lock().expect("no model panics with the lock held");
    sleepers.notify_all();
}

pub(crate) fn register_fence() -> bool {
    true
}

/// The light half is a full fence in a model, so the heavy half need be no more.
pub(crate) fn heavy_fence() -> bool {
    fence(Ordering::SeqCst);
    true
}

/// A real lock, taken and dropped under the model's mutex: who sees it free sees what its holder did.
#[derive(Debug)]
pub(crate) struct Lock(Option<Handle>);

pub(crate) fn try_lock(handle: Handle, byte: u32) -> Result<Option<Lock>> {
    let _held = QUEUE.0.lock().expect("no model panics with the lock held");
    Ok(set_lock(&handle, byte, 1)?.then_some(Lock(Some(handle))))
}

pub(crate) fn is_locked_beside(lock: &Lock, byte: u32) -> Result<bool> {
    let _held = QUEUE.0.lock().expect("no model panics with the lock held");
    lock.0.as_ref().map_or(Ok(false), |handle| is_locked(handle, byte))
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _held = QUEUE.0.lock().expect("no model panics with the lock held");
        self.0 = None;
    }
}

/// A model has no processors.
pub(crate) fn processor() -> Option<u32> {
    None
}
