//! What a victim says of itself, in memory that outlives it.

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};

/// The operation succeeded.
pub(crate) const DONE: u64 = 1;
/// It did not.
const REFUSED: u64 = 2;

/// Five words, shared with every child.
#[derive(Clone)]
pub(crate) struct Journal {
    words: &'static [AtomicU64; 5],
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
        // SAFETY: a page of zeroes, aligned and never unmapped, has room for five atomics.
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

    /// Waits for the note. The watchdog sees to it that this ends.
    pub(crate) fn wait_noted(&self) {
        while self.noted() == 0 {
            std::thread::yield_now();
        }
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

    /// Adds to the fifth word.
    pub(crate) fn also(&self, number: usize) {
        self.words[4].fetch_add(number as u64, Ordering::SeqCst);
    }

    pub(crate) fn further(&self) -> u64 {
        self.words[4].load(Ordering::SeqCst)
    }

    /// Adds to the first four words.
    pub(crate) fn add(&self, numbers: [usize; 4]) {
        for (word, number) in self.words.iter().zip(numbers) {
            word.fetch_add(number as u64, Ordering::SeqCst);
        }
    }

    pub(crate) fn all(&self) -> [u64; 4] {
        std::array::from_fn(|index| self.words[index].load(Ordering::SeqCst))
    }

    /// Why no more came.
    pub(crate) fn stop(&self, why: u64) {
        self.words[3].store(why, Ordering::SeqCst);
    }

    pub(crate) fn stopped(&self) -> u64 {
        self.words[3].load(Ordering::SeqCst)
    }

    pub(crate) fn compare(&self) -> Result<(), String> {
        let (counted, expected) = (self.counted(), self.words[2].load(Ordering::SeqCst));
        if counted == expected {
            return Ok(());
        }
        Err(format!("{counted} messages came, not {expected}"))
    }
}

/// A text that a child left: its length, then its bytes, a word each.
fn last_words() -> &'static [AtomicU64; 500] {
    static PAGE: std::sync::OnceLock<&'static [AtomicU64; 500]> = std::sync::OnceLock::new();
    // SAFETY: a page of zeroes, aligned and never unmapped, has room for 500 atomics.
    PAGE.get_or_init(|| unsafe { &*shared_page().cast() })
}

/// Before a child is made, so that it shares the page.
pub(crate) fn listen() {
    last_words()[0].store(0, Ordering::SeqCst);
}

/// In a child that panics: what its parent is to know.
pub(crate) fn say(text: &str) {
    let words = last_words();
    for (word, byte) in words[1..].iter().zip(text.bytes()) {
        word.store(u64::from(byte), Ordering::SeqCst);
    }
    words[0].store(text.len().min(words.len() - 1) as u64, Ordering::SeqCst);
}

/// What the last child said.
pub(crate) fn said() -> String {
    let words = last_words();
    let len = words[0].load(Ordering::SeqCst) as usize;
    let bytes: Vec<u8> =
        words[1..].iter().take(len).map(|word| word.load(Ordering::SeqCst) as u8).collect();
    String::from_utf8_lossy(&bytes).replace('\n', " ")
}
