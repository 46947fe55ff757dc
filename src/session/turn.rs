//! One thread at a time, and whoever else comes is told so at once.
#![allow(unsafe_code, reason = "lends a value to one thread at a time")]

use crate::sync::{AtomicU32, Ordering};
use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// A value that one thread at a time can have. Nobody waits for it.
pub(super) struct Turn<T> {
    taken: AtomicU32,
    value: UnsafeCell<T>,
    #[cfg(loom)]
    watch: crate::sync::Watch,
}

// SAFETY: at most one thread at a time gets at the value.
unsafe impl<T: Send> Sync for Turn<T> {}

impl<T> Turn<T> {
    pub(super) fn new(value: T) -> Turn<T> {
        Turn {
            taken: AtomicU32::new(0),
            value: UnsafeCell::new(value),
            #[cfg(loom)]
            watch: crate::sync::Watch::new(),
        }
    }

    #[inline(always)]
    pub(super) fn take(&self) -> Option<Taken<'_, T>> {
        // ORDERING(taken): Acquire. Pairs with ORDERING(taken) in Taken::drop: what the last thread did with the
        // value is done.
        let ours = self.taken.swap(1, Ordering::Acquire) == 0;
        #[cfg(loom)]
        if ours {
            self.watch.write();
        }
        ours.then(|| Taken(self))
    }
}

/// The value, until dropped.
pub(super) struct Taken<'a, T>(&'a Turn<T>);

impl<T> Deref for Taken<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: whoever has the turn is the only one, see `take`.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Taken<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Taken<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        #[cfg(loom)]
        self.0.watch.write();
        // ORDERING(taken): Release. Pairs with ORDERING(taken) in Turn::take.
        self.0.taken.store(0, Ordering::Release);
    }
}

impl<T> fmt::Debug for Turn<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").finish_non_exhaustive()
    }
}
