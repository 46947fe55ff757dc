//! An object of a model: its words are on the heap, and both sides find them by the number of the real object, which
//! is there, too, and empty.
#![allow(unsafe_code, reason = "sends what stands for words between the threads of a model")]

use super::{Part, Side};
use crate::error::Result;
use crate::sync::{AtomicU64, Watch};
use crate::sys::{self, Access};
use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock, Weak};

#[derive(Debug)]
struct Words {
    parts: [Part; 2],
    data: Box<[AtomicU64]>,
    watches: Box<[Watch]>,
}

// SAFETY: all but the watches is atomics, and the threads of a model, which is what watches are for, run one at a time.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

thread_local! {
    /// What a model's handles stand for, by the real objects' numbers.
    static OBJECTS: RefCell<Vec<(u64, Weak<Words>)>> = const { RefCell::new(Vec::new()) };
}

/// Nothing is there before it is put there: the words at an address cannot become others in a model.
#[derive(Debug)]
pub(super) struct Object(OnceLock<Arc<Words>>);

impl Object {
    /// The one that this handle stands for, made if it is new.
    pub(super) fn of(handle: &sys::Handle, data: usize, _access: Access) -> Result<Object> {
        let number = sys::stat(handle)?.identity.object;
        let words = OBJECTS.with_borrow_mut(|objects| {
            objects.retain(|(_, words)| words.strong_count() > 0);
            let known = objects.iter().find(|(known, _)| *known == number);
            known.and_then(|(_, words)| words.upgrade()).unwrap_or_else(|| {
                let words = Arc::new(Words {
                    parts: [Part::new(0), Part::new(0)],
                    data: (0..data / 8).map(|_| AtomicU64::new(0)).collect(),
                    watches: (0..data / 8).map(|_| Watch::new()).collect(),
                });
                objects.push((number, Arc::downgrade(&words)));
                words
            })
        });
        Ok(Object(OnceLock::from(words)))
    }

    pub(super) fn of_zeroes(_data: usize) -> Result<Object> {
        Ok(Object(OnceLock::new()))
    }

    pub(super) fn put(&self, handle: &sys::Handle, data: usize) -> Result<()> {
        let object = Object::of(handle, data, Access::Read)?;
        self.0.set(object.0.into_inner().expect("just made")).expect("put once");
        Ok(())
    }

    fn words(&self) -> &Words {
        self.0.get().expect("a model links before it uses")
    }

    pub(super) fn part(&self, side: Side) -> &Part {
        &self.words().parts[side as usize]
    }

    pub(super) fn data(&self) -> NonNull<AtomicU64> {
        NonNull::from(&self.words().data[0])
    }

    pub(super) fn watch(&self, word: usize) -> &Watch {
        &self.words().watches[word]
    }
}
