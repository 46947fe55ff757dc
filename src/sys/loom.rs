//! Sleeping and locking inside a loom model: one mutex and one condition variable stand for the
//! kernel's futex queues and its lock table, both of which are looked at under locks of its own.

use super::Received;
use super::linux::{self, Handle, is_locked, set_lock};
use crate::error::Result;
use crate::sync::{AtomicU32, Fences, Ordering, fence, fences};
use loom::sync::{Condvar, Mutex};
use std::cell::Cell;
use std::time::Duration;

/// No sleep of a sleeper that may miss its wake-up is longer.
const NAP: Duration = Duration::from_millis(1);

loom::lazy_static! {
    static ref QUEUE: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
}

/// No time passes in a model: a wake-up that is lost is a deadlock, which loom reports. But for naps, which end.
pub(crate) fn wait(word: &AtomicU32, expected: u32, timeout: Duration) {
    if timeout <= NAP {
        return loom::thread::yield_now();
    }
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
    fences() != Fences::Neither
}

/// The light half is a full fence in a model, so the heavy half need be no more.
#[track_caller]
pub(crate) fn heavy_fence() -> bool {
    fence(Ordering::SeqCst);
    fences() == Fences::Both
}

loom::thread_local! {
    static DYING: Cell<bool> = Cell::new(false);
}

/// Lets go of something as the kernel does when a process ends: it says nothing, and its locks are free.
pub(crate) fn die_with<T>(held: T) {
    // What it did is seen by whoever the kernel tells of its end.
    drop(QUEUE.0.lock().expect("no model panics with the lock held"));
    DYING.with(|dying| dying.set(true));
    drop(held);
    DYING.with(|dying| dying.set(false));
}

/// Who dies is no longer who took what it has.
pub(crate) fn process_token() -> u64 {
    DYING.with(|dying| u64::from(!dying.get()))
}

/// A real lock, taken and dropped under the model's mutex: who sees it free sees what its holder did.
#[derive(Debug)]
pub(crate) struct Lock(Option<Handle>);

pub(crate) fn try_lock(handle: Handle, byte: u32) -> Result<Option<Lock>> {
    let _held = QUEUE.0.lock().expect("no model panics with the lock held");
    // Not made where it is refused: to drop it would take the mutex again.
    Ok(set_lock(&handle, byte, 1)?.then(|| Lock(Some(handle))))
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

/// Real sockets, under the model's mutex: what came, or ended, came after all that its sender did before.
pub(crate) fn send(socket: &Handle, bytes: &[u8], handles: &[&Handle]) -> Result<bool> {
    let _held = QUEUE.0.lock().expect("no model panics with the lock held");
    linux::send(socket, bytes, handles)
}

pub(crate) fn receive(socket: &Handle, buffer: &mut [u8]) -> Result<Received> {
    let _held = QUEUE.0.lock().expect("no model panics with the lock held");
    linux::receive(socket, buffer)
}

pub(crate) fn hung_up(socket: &Handle) -> Result<bool> {
    let _held = QUEUE.0.lock().expect("no model panics with the lock held");
    linux::hung_up(socket)
}

pub(crate) fn shut_down(socket: &Handle) {
    let _held = QUEUE.0.lock().expect("no model panics with the lock held");
    linux::shut_down(socket);
}
