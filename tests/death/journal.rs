//! What a victim says of itself, in memory that outlives it.

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};

/// The operation succeeded.
pub(crate) const DONE: u64 = 1;
/// It did not.
const REFUSED: u64 = 2;

/// Four words, shared with every child.
#[derive(Clone)]
pub(crate) struct Journal {
    words: &'static [AtomicU64; 4],
}

/// A page of zeroes that children share. It is never given back.
pub(crate) fn shared_page() -> *mut AtomicU64 {
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let len = NonZeroUsize::new(4096).expect("not zero");
    // SAFETY: the kernel chooses fresh addresses, so no memory of this process is touched.
    let page = unsafe { mmap_anonymous(None, len, access, MapFlags::MAP_SHARED) };
    page.expect("map a page").cast().as_ptr()
}

impl Journal {
    pub(crate) fn new() -> Journal {
        // SAFETY: a page of zeroes, aligned and never unmapped, has room for four atomics.
        Journal { words: unsafe { &*shared_page().cast() } }
    }

    pub(crate) fn clear(&self) {
        self.words.iter().for_each(|word| word.store(0, Ordering::SeqCst));
    }

    /// How the operation ended.
    pub(crate) fn note(&self, done: bool) {
        self.words[0].store(if done { DONE } else { REFUSED }, Ordering::SeqCst);
    }

    pub(crate) fn noted(&self) -> u64 {
        self.words[0].load(Ordering::SeqCst)
    }

    /// How many messages came.
    pub(crate) fn count(&self, messages: u64) {
        self.words[1].store(messages, Ordering::SeqCst);
    }

    pub(crate) fn counted(&self) -> u64 {
        self.words[1].load(Ordering::SeqCst)
    }

    /// How many should have come.
    pub(crate) fn expect(&self, messages: u64) {
        self.words[2].store(messages, Ordering::SeqCst);
    }

    pub(crate) fn compare(&self) -> Result<(), String> {
        let (counted, expected) = (self.counted(), self.words[2].load(Ordering::SeqCst));
        if counted == expected {
            return Ok(());
        }
        Err(format!("{counted} messages came, not {expected}"))
    }
}
