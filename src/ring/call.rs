//! A caller and a server take turns at one place; the turn word beside the value says whose it is.
//!
//! An even turn is the caller's: it may write a request and publish the next turn, which is odd. An odd turn
//! is the server's: it reads the request, writes the reply over it and publishes the next turn. Turns only
//! count up, so a reply belongs to the request whose turn is one less, whoever waits for it. The word and a
//! small value travel in one cache line, to and fro.

use super::Corrupt;
use crate::sync::{AtomicU64, Ordering};

/// One side's knowledge of the turn: private memory, like every own position.
#[derive(Debug)]
pub(crate) struct Turn {
    at: u64,
}

impl Turn {
    /// Goes on with the turn that the word says. Nobody but the other side can move it meanwhile, and by
    /// one only.
    pub(crate) fn resume(word: &AtomicU64) -> Turn {
        // ORDERING(turn): Acquire. Pairs with ORDERING(turn) in Turn::publish: what a predecessor or the
        // peer wrote is there, and they have finished reading what we write over.
        Turn { at: word.load(Ordering::Acquire) }
    }

    /// Which turn it is.
    #[inline(always)]
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Whether a request is on its way or being served: the turn is the server's.
    #[inline(always)]
    pub(crate) fn is_servers(&self) -> bool {
        self.at & 1 == 1
    }

    /// Whether there is anything to take note of.
    #[inline(always)]
    pub(crate) fn has_moved(&self, word: &AtomicU64) -> bool {
        word.load(Ordering::Relaxed) != self.at
    }

    /// Takes note if the other side has published its turn: then it is ours.
    #[inline(always)]
    pub(crate) fn take(&mut self, word: &AtomicU64) -> bool {
        self.acquire(word) == Ok(true)
    }

    /// The same, looking so many times.
    #[inline(always)]
    pub(crate) fn poll(&mut self, word: &AtomicU64, times: u32) -> bool {
        let next = self.at.wrapping_add(1);
        for _ in 0..times {
            // ORDERING(turn): Acquire. Pairs with ORDERING(turn) in Turn::publish: the value is whole.
            if word.load(Ordering::Acquire) == next {
                self.at = next;
                return true;
            }
        }
        false
    }

    /// The same. The word can only be what it was, or one more.
    #[inline(always)]
    pub(crate) fn acquire(&mut self, word: &AtomicU64) -> Result<bool, Corrupt> {
        let next = self.at.wrapping_add(1);
        // ORDERING(turn): Acquire. Pairs with ORDERING(turn) in Turn::publish: the value is whole.
        let seen = word.load(Ordering::Acquire);
        if seen == next {
            self.at = next;
            return Ok(true);
        }
        if seen == self.at { Ok(false) } else { Err(Corrupt) }
    }

    /// Hands what was written to the other side. This is the commit.
    #[inline(always)]
    pub(crate) fn publish(&mut self, word: &AtomicU64) {
        self.at = self.at.wrapping_add(1);
        // ORDERING(turn): Release. Pairs with ORDERING(turn) in Turn::acquire and Turn::resume: makes the
        // value visible, and ends our reading of what was here before.
        word.store(self.at, Ordering::Release);
    }
}
