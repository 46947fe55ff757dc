//! The two ways that frames go: the ring, and a bare loop over shared memory with nothing around it.
#![allow(unsafe_code, reason = "frames are written and read in place")]

use super::Plan;
use crate::output::{Failure, Outcome};
use ringlane::record::{Consumer, Producer};
use ringlane::{Mapping, Name, SharedMemory};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// A way to pass frames on.
pub(super) trait Write {
    /// Passes one frame on, which `fill` writes where it lies.
    fn put(&mut self, fill: impl FnOnce(&mut [u8])) -> Outcome;
    /// Waits until the reader is done with all frames.
    fn drain(&mut self) -> Outcome;
}

/// The other end of it.
pub(super) trait Read {
    /// Looks at the next frame where it lies, and gives its place back.
    fn take<R>(&mut self, look: impl FnOnce(&[u8]) -> R) -> Outcome<R>;
}

/// The ring's producing end, and the length of a frame.
pub(super) struct RingWriter(pub(super) Producer, pub(super) usize);

impl Write for RingWriter {
    #[inline]
    fn put(&mut self, fill: impl FnOnce(&mut [u8])) -> Outcome {
        let mut room = self.0.reserve(self.1).map_err(|e| Failure::new(format!("reserve: {e}")))?;
        // SAFETY: both processes are ours, nobody else knows the name, and the consumer does not look at
        // what is not committed.
        fill(unsafe { room.as_mut_slice() });
        room.commit();
        Ok(())
    }

    fn drain(&mut self) -> Outcome {
        self.0.flush(None).map_err(|e| Failure::new(format!("flush: {e}")))
    }
}

/// The ring's consuming end.
pub(super) struct RingReader(pub(super) Consumer);

impl Read for RingReader {
    #[inline]
    fn take<R>(&mut self, look: impl FnOnce(&[u8]) -> R) -> Outcome<R> {
        let record = self.0.read().map_err(|e| Failure::new(format!("read: {e}")))?;
        // SAFETY: both processes are ours, nobody else knows the name, and the producer does not touch
        // what is not released.
        let seen = look(unsafe { record.as_slice() });
        record.release();
        Ok(seen)
    }
}

/// Frames in flight at most, as in the ring: more would not stay in the cache.
const SLOTS: u64 = 2;
/// Where the counters are, each on lines of its own, and where the slots begin.
const WRITTEN_AT: usize = 0;
const READ_AT: usize = 128;
const SLOTS_AT: usize = 4096;

/// Two frame slots and a counter a direction. It has no way to tell that the other process died: the
/// parent, which sees that, ends both.
pub(super) struct Bare {
    mapping: Mapping,
    frame: usize,
    stride: usize,
    count: u64,
    yields: bool,
}

impl Bare {
    /// Bytes that it takes; `None` if that is more than any memory.
    pub(super) fn size(frame: usize) -> Option<u64> {
        let slots = frame.checked_next_multiple_of(4096)?.checked_mul(SLOTS as usize)?;
        u64::try_from(slots.checked_add(SLOTS_AT)?).ok()
    }

    pub(super) fn open(name: &Name, plan: &Plan) -> Outcome<Bare> {
        let mapping = SharedMemory::open(name)?.map()?;
        let frame = plan.record_len();
        if Self::size(frame) != u64::try_from(mapping.len()).ok() {
            return Err(Failure::new(format!("shared memory {name:?} is not of the frames' size")));
        }
        let stride = frame.next_multiple_of(4096);
        Ok(Bare { mapping, frame, stride, count: 0, yields: plan.yields })
    }

    fn at(&self, offset: usize) -> NonNull<u8> {
        // SAFETY: callers give a counter's place or a slot's, and `open` checked that all are inside.
        unsafe { self.mapping.as_ptr().add(offset) }
    }

    fn counter(&self, offset: usize) -> &AtomicU64 {
        let at = self.at(offset).cast::<AtomicU64>().as_ptr();
        // SAFETY: mapped as long as `self` lives, aligned, and both processes only use it as an atomic.
        unsafe { AtomicU64::from_ptr(at.cast()) }
    }

    /// Where frame `count` lies.
    fn slot(&self) -> NonNull<u8> {
        self.at(SLOTS_AT + (self.count % SLOTS) as usize * self.stride)
    }

    /// Waits until the counter is past `limit`.
    #[inline]
    fn wait_past(&self, offset: usize, limit: u64) {
        while self.counter(offset).load(Ordering::Acquire) <= limit {
            if self.yields {
                std::thread::yield_now();
            }
        }
    }
}

impl Write for Bare {
    #[inline]
    fn put(&mut self, fill: impl FnOnce(&mut [u8])) -> Outcome {
        if let Some(previous) = self.count.checked_sub(SLOTS) {
            self.wait_past(READ_AT, previous);
        }
        // SAFETY: the slot is in the mapping, and the reader is done with its last frame.
        fill(unsafe { std::slice::from_raw_parts_mut(self.slot().as_ptr(), self.frame) });
        self.count += 1;
        self.counter(WRITTEN_AT).store(self.count, Ordering::Release);
        Ok(())
    }

    fn drain(&mut self) -> Outcome {
        if let Some(last) = self.count.checked_sub(1) {
            self.wait_past(READ_AT, last);
        }
        Ok(())
    }
}

impl Read for Bare {
    #[inline]
    fn take<R>(&mut self, look: impl FnOnce(&[u8]) -> R) -> Outcome<R> {
        self.wait_past(WRITTEN_AT, self.count);
        // SAFETY: the slot is in the mapping, and the writer does not touch it until it is given back.
        let seen = look(unsafe { std::slice::from_raw_parts(self.slot().as_ptr(), self.frame) });
        self.count += 1;
        self.counter(READ_AT).store(self.count, Ordering::Release);
        Ok(seen)
    }
}
