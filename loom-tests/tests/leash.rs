//! Memory that is taken back: what a copy gave as good was there before.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use loom_tests::model;
use ringlane::model::{AtomicU32, cut, hold};

#[test]
fn what_is_read_as_good_was_not_wiped() {
    model(|| {
        let memory = Arc::new((AtomicU32::new(1), [AtomicU64::new(7), AtomicU64::new(8)]));
        let creator = {
            let memory = Arc::clone(&memory);
            thread::spawn(move || {
                cut(&memory.0);
                memory.1.iter().for_each(|word| word.store(0, Ordering::Relaxed));
            })
        };
        let mut seen = [0; 2];
        let good = hold(&memory.0, || {
            for (to, from) in seen.iter_mut().zip(&memory.1) {
                *to = from.load(Ordering::Relaxed);
            }
        });
        assert!(!good || seen == [7, 8], "{seen:?}");
        creator.join().unwrap();
        assert!(!hold(&memory.0, || panic!("it was taken back")));
    });
}
