//! Queues that are wrong on purpose. If the harness does not find the flaw, the harness is wrong.

use super::journal::shared_page;
use super::lane::{FILLER, Lane, Outcome, PopBy, PushBy, Stop};
use nix::sys::signal::kill;
use nix::unistd::{Pid, getpid};
use ringlane::{Name, Peer, spsc};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It is right. That it passes shows that the others are found for their flaws.
    None,
    /// Says that the message is there before it is.
    IndexFirst,
    /// Gives the message back before it has been copied.
    AckFirst,
    /// Both sides take a lock, with which a process can die.
    Lock,
}

/// Lamport's ring in a page that children share: two indices, four slots.
pub(crate) struct Toy {
    flaw: Flaw,
    words: &'static [AtomicU64; 64],
}

const CAPACITY: u64 = 4;
const LOCK: usize = 0;
/// The two sides' words: the index, the holder's process id, whether it closed.
const TX: usize = 1;
const RX: usize = 4;
const PID: usize = 1;
const CLOSED: usize = 2;
const SLOTS: usize = 16;

/// One side of it.
pub(crate) struct End {
    side: usize,
    words: &'static [AtomicU64; 64],
}

impl Drop for End {
    fn drop(&mut self) {
        self.words[self.side + CLOSED].store(1, SeqCst);
        self.words[self.side + PID].store(0, SeqCst);
    }
}

impl Toy {
    pub(crate) fn new(flaw: Flaw) -> Toy {
        // SAFETY: a page of zeroes, aligned and never unmapped, has room for 64 atomics.
        Toy { flaw, words: unsafe { &*shared_page().cast() } }
    }

    fn peer(&self, side: usize) -> Peer {
        let pid = self.words[side + PID].load(SeqCst);
        match self.words[side + CLOSED].load(SeqCst) {
            1 => Peer::Closed,
            _ if pid == 0 => Peer::Vacant,
            _ if kill(Pid::from_raw(pid as i32), None).is_ok() => Peer::Alive,
            _ => Peer::Died,
        }
    }

    fn take(&self, side: usize) -> ringlane::Result<End> {
        if self.peer(side) == Peer::Alive {
            // The library's errors are the library's to make: have it make this one.
            let queue = spsc::Queue::<u64>::private(1)?;
            let _held = queue.producer()?;
            queue.producer()?;
        }
        self.words[side + CLOSED].store(0, SeqCst);
        self.words[side + PID].store(getpid().as_raw() as u64, SeqCst);
        Ok(End { side, words: self.words })
    }

    fn lock(&self) -> Outcome<()> {
        let free = |_| self.words[LOCK].compare_exchange(0, 1, SeqCst, SeqCst).is_ok();
        if self.flaw != Flaw::Lock || (0..10_000).any(free) {
            return Ok(());
        }
        Err(Stop::Broken("stuck at a lock".into()))
    }

    fn unlock(&self) {
        if self.flaw == Flaw::Lock {
            self.words[LOCK].store(0, SeqCst);
        }
    }

    fn slot(&self, position: u64) -> &[AtomicU64] {
        let at = SLOTS + (position % CAPACITY) as usize * 3;
        &self.words[at..at + 3]
    }

    fn try_push(&self, message: &[u64; 3]) -> Outcome<()> {
        self.lock()?;
        let [tail, head] = [TX, RX].map(|side| self.words[side].load(SeqCst));
        let pushed = if self.words[RX + CLOSED].load(SeqCst) == 1 {
            Err(Stop::Closed)
        } else if tail - head == CAPACITY {
            Err(Stop::Full)
        } else {
            if self.flaw == Flaw::IndexFirst {
                self.words[TX].store(tail + 1, SeqCst);
            }
            for (word, value) in self.slot(tail).iter().zip(message) {
                word.store(*value, SeqCst);
            }
            self.words[TX].store(tail + 1, SeqCst);
            Ok(())
        };
        self.unlock();
        pushed
    }

    fn try_pop(&self) -> Outcome<[u64; 3]> {
        self.lock()?;
        let closed = self.words[TX + CLOSED].load(SeqCst) == 1;
        let [tail, head] = [TX, RX].map(|side| self.words[side].load(SeqCst));
        let popped = if tail == head {
            Err(if closed { Stop::Closed } else { Stop::Empty })
        } else {
            if self.flaw == Flaw::AckFirst {
                self.words[RX].store(head + 1, SeqCst);
            }
            let mut message = [0; 3];
            for (value, word) in message.iter_mut().zip(self.slot(head)) {
                *value = word.load(SeqCst);
            }
            self.words[RX].store(head + 1, SeqCst);
            Ok(message)
        };
        self.unlock();
        popped
    }

    /// Tries until something happens, the other side is dead, or the time is up.
    fn wait<R>(
        &self,
        timeout: std::time::Duration,
        other: usize,
        attempt: impl Fn() -> Outcome<R>,
    ) -> Outcome<R> {
        let begun = Instant::now();
        loop {
            let died = self.peer(other) == Peer::Died;
            match attempt() {
                Err(Stop::Full | Stop::Empty) if died => return Err(Stop::Died),
                Err(Stop::Full | Stop::Empty) if begun.elapsed() < timeout => {
                    std::thread::yield_now();
                }
                done => return done,
            }
        }
    }
}

impl Lane for Toy {
    type Queue = ();
    type Tx = End;
    type Rx = End;
    type Message = [u64; 3];

    fn label(&self) -> String {
        format!("toy_{:?}", self.flaw).to_lowercase()
    }

    fn create(&self, _name: &Name) -> ringlane::Result<()> {
        self.words.iter().for_each(|word| word.store(0, SeqCst));
        Ok(())
    }

    fn open(&self, _name: &Name) -> ringlane::Result<()> {
        Ok(())
    }

    fn tx(&self, (): &()) -> ringlane::Result<End> {
        self.take(TX)
    }

    fn rx(&self, (): &()) -> ringlane::Result<End> {
        self.take(RX)
    }

    fn tx_peer(&self, _tx: &End) -> Peer {
        self.peer(RX)
    }

    fn rx_peer(&self, _rx: &End) -> Peer {
        self.peer(TX)
    }

    fn push(&self, by: PushBy, _tx: &mut End, message: &[u64; 3]) -> Outcome<()> {
        match by {
            PushBy::Wait(timeout) => self.wait(timeout, RX, || self.try_push(message)),
            _ => self.try_push(message),
        }
    }

    fn pop(&self, by: PopBy, _rx: &mut End) -> Outcome<[u64; 3]> {
        match by {
            PopBy::Wait(timeout) => self.wait(timeout, TX, || self.try_pop()),
            _ => self.try_pop(),
        }
    }

    fn message(&self, number: u64) -> [u64; 3] {
        [number, !number, number.wrapping_mul(0x9e37_79b9_7f4a_7c15)]
    }

    fn number(&self, message: &[u64; 3]) -> Option<u64> {
        (*message == self.message(message[0])).then_some(message[0])
    }

    fn place(&self, tx: &mut End, rx: &mut End, left: usize) -> Outcome<()> {
        for _ in 0..2 * CAPACITY as usize - left {
            self.send(PushBy::Try, tx, FILLER)?;
            self.receive(PopBy::Try, rx)?;
        }
        Ok(())
    }
}
