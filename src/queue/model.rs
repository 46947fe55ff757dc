//! What the models need of the inside: the kernel's moods, deaths, and the word by which memory is taken back.

pub use crate::sync::weakened::{AtomicU32, Fences};

/// What the kernel has of the asymmetric fence from now on.
pub fn kernel(fences: Fences) {
    crate::sync::set_fences(fences);
}

/// Whether two reads of a word come in either order, in all that is explored from now on.
pub fn reads_touch(yes: bool) {
    crate::sync::reads_touch(yes);
}

/// The process that has this ends here.
pub fn die_with<T>(held: T) {
    crate::sys::die_with(held);
}

/// Takes memory back that this word stands for.
pub fn cut(word: &AtomicU32) {
    crate::shm::cut(word);
}

/// Does something with such memory, and says whether it had it all the while.
pub fn hold(word: &AtomicU32, work: impl FnOnce()) -> bool {
    crate::shm::hold(word, work)
}
