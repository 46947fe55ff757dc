//! Two files in shared memory, one a way, and halves that go from one thread to another.

use ringlane_bench::Side;
use std::any::Any;
use std::path::PathBuf;
use std::sync::Mutex;

/// The paths of the way there and the way back.
pub(crate) fn paths(side: &Side, label: &str) -> [PathBuf; 2] {
    ["to", "back"].map(|way| {
        PathBuf::from(format!("/dev/shm/{}", side.name(&format!("{label}-{way}")).as_str()))
    })
}

/// What the first side makes of two paths, and the second once it is made. The files' names go when both have.
pub(crate) fn open<T>(
    side: &Side,
    label: &str,
    make: impl FnOnce(&[PathBuf; 2]) -> T,
    join: impl FnOnce(&[PathBuf; 2]) -> T,
) -> T {
    let paths = paths(side, label);
    let made = if side.is_first() {
        let made = make(&paths);
        side.meet();
        made
    } else {
        side.meet();
        join(&paths)
    };
    side.meet();
    if side.is_first() {
        for path in &paths {
            // Not everybody leaves it there.
            let _ = std::fs::remove_file(path);
        }
    }
    made
}

/// Between threads: the first side makes both halves and leaves the second one for the other side.
pub(crate) fn hand_over<T: Send + 'static>(side: &Side, make: impl FnOnce() -> (T, T)) -> T {
    static LEFT: Mutex<Option<Box<dyn Any + Send>>> = Mutex::new(None);
    if side.is_first() {
        let (own, other) = make();
        *LEFT.lock().expect("nobody panics with it") = Some(Box::new(other));
        side.meet();
        own
    } else {
        side.meet();
        let left = LEFT.lock().expect("nobody panics with it").take().expect("it was left");
        *left.downcast().expect("both do the same row")
    }
}
