//! Sleeping inside a loom model: one mutex and one condition variable stand for the kernel's
//! futex queues, which also look at the word under a lock.

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
