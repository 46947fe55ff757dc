//! Memory for victims. What the system's allocator does depends on all that was allocated before, so two
//! victims would not run the same instructions; this one only counts up.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

const SIZE: usize = 8 << 20;

pub(crate) struct Arena {
    bytes: UnsafeCell<[u8; SIZE]>,
    used: AtomicUsize,
    on: AtomicBool,
}

// SAFETY: bytes are given out once, and the rest is atomics.
unsafe impl Sync for Arena {}

#[global_allocator]
static ARENA: Arena = Arena {
    bytes: UnsafeCell::new([0; SIZE]),
    used: AtomicUsize::new(0),
    on: AtomicBool::new(false),
};

/// From now on, allocate from the arena: in a child, which does not live long.
pub(crate) fn enter() {
    ARENA.on.store(true, Relaxed);
}

// SAFETY: what comes from the arena is aligned, within it and never given out again; all else is the
// system allocator's.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.bytes.get().addr();
        if self.on.load(Relaxed) {
            // With room to align, and without a branch, so that it is always the same instructions.
            let used = self.used.fetch_add(layout.size() + layout.align(), Relaxed);
            if used + layout.size() + layout.align() <= SIZE {
                let at = (start + used + layout.align() - 1) & !(layout.align() - 1);
                return self.bytes.get().cast::<u8>().with_addr(at);
            }
        }
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        let start = self.bytes.get().addr();
        if !(start..start + SIZE).contains(&at.addr()) {
            // SAFETY: it came from the system's allocator, as all that is not of the arena.
            unsafe { System.dealloc(at, layout) };
        }
    }
}
