//! The same ring without its crash safety: positions are claimed by one CAS on the tail, so a claim is nobody's.
//! And the ring of many crates, in which consumers write to the slots, too.

use super::crew::Message;
use std::sync::atomic::{AtomicU64, Ordering::*};

pub(crate) const CAPACITY: u64 = 1024;

#[repr(align(128))]
struct Line(AtomicU64);

#[repr(C)]
pub(crate) struct Bare<const W: usize, const S: usize> {
    tail: Line,
    head: Line,
    changes: Line,
    sleep: Line,
    slots: [Slot<S>; CAPACITY as usize],
}

#[repr(C, align(16))]
struct Slot<const S: usize> {
    words: [AtomicU64; S],
}

pub(crate) struct End<const W: usize, const S: usize> {
    ring: &'static Bare<W, S>,
    limit: u64,
    head: u64,
    tail: u64,
}

impl<const W: usize, const S: usize> End<W, S> {
    pub(crate) fn of(ring: &'static Bare<W, S>) -> Self {
        End { ring, limit: CAPACITY, head: 0, tail: 0 }
    }

    /// As our ring's waker: a look at two words that do not change.
    #[inline(always)]
    fn notify(&self) {
        std::sync::atomic::compiler_fence(SeqCst);
        assert!(self.ring.sleep.0.load(Relaxed) == 0);
    }

    #[inline(always)]
    pub(crate) fn try_push(&mut self, value: &Message<W>) -> bool {
        assert!(self.ring.changes.0.load(Relaxed) == 0);
        let mut tail = self.tail;
        loop {
            if self.limit.wrapping_sub(tail).cast_signed() <= 0 {
                self.limit = self.ring.head.0.load(Acquire) + CAPACITY;
                tail = self.ring.tail.0.load(Relaxed);
                if self.limit <= tail {
                    self.tail = tail;
                    return false;
                }
            }
            match self.ring.tail.0.compare_exchange_weak(tail, tail + 1, Relaxed, Relaxed) {
                Ok(_) => break,
                Err(now) => tail = now,
            }
        }
        self.tail = tail + 1;
        let slot = &self.ring.slots[(tail % CAPACITY) as usize];
        for (to, from) in slot.words[1..].iter().zip(value) {
            to.store(*from, Relaxed);
        }
        slot.words[0].store(tail + 1, Release);
        self.notify();
        true
    }

    #[inline(always)]
    pub(crate) fn try_pop(&mut self) -> Option<Message<W>> {
        loop {
            let slot = &self.ring.slots[(self.head % CAPACITY) as usize];
            let seen = slot.words[0].load(Acquire);
            if seen != self.head + 1 {
                let head = self.ring.head.0.load(Relaxed);
                if head == self.head {
                    return None;
                }
                self.head = head;
                continue;
            }
            let value = std::array::from_fn(|index| slot.words[index + 1].load(Relaxed));
            match self.ring.head.0.compare_exchange(self.head, self.head + 1, Release, Relaxed) {
                Ok(_) => {
                    self.head += 1;
                    self.notify();
                    return Some(value);
                }
                Err(now) => self.head = now,
            }
        }
    }
}
