//! One face for all queues: numbered messages go in, and come out whole or not at all.

use bytemuck::{Pod, Zeroable};
use ringlane::{Name, Peer, PopError, PushError, ReserveError, Wait, record, spsc};
use std::time::Duration;

/// A number that no message of a test has: what fills the ring before it begins.
pub(crate) const FILLER: u64 = 0x00f1_11e4;

/// How a message goes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PushBy {
    Try,
    Wait(Duration),
    /// Records: reserve, write in two parts, commit.
    Reserve,
    /// Records: reserve more than is committed.
    Shorten,
    /// Records: reserve, write, and think better of it.
    Abort,
}

/// How a message comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PopBy {
    Try,
    Wait(Duration),
    /// Records: read in place, copy in two parts, release.
    Read,
}

/// Why nothing went in or came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Full,
    Empty,
    Closed,
    Died,
    /// What must never happen.
    Broken(String),
}

pub(crate) type Outcome<T> = Result<T, Stop>;

/// A kind of queue.
pub(crate) trait Lane {
    type Queue;
    type Tx;
    type Rx;
    type Message;

    fn label(&self) -> String;
    fn create(&self, name: &Name) -> ringlane::Result<Self::Queue>;
    fn open(&self, name: &Name) -> ringlane::Result<Self::Queue>;
    fn tx(&self, queue: &Self::Queue) -> ringlane::Result<Self::Tx>;
    fn rx(&self, queue: &Self::Queue) -> ringlane::Result<Self::Rx>;
    fn tx_peer(&self, tx: &Self::Tx) -> Peer;
    fn rx_peer(&self, rx: &Self::Rx) -> Peer;
    fn set_tx_wait(&self, _tx: &mut Self::Tx, _wait: Wait) {}
    fn set_rx_wait(&self, _rx: &mut Self::Rx, _wait: Wait) {}
    fn push(&self, by: PushBy, tx: &mut Self::Tx, message: &Self::Message) -> Outcome<()>;
    fn pop(&self, by: PopBy, rx: &mut Self::Rx) -> Outcome<Self::Message>;

    /// The message of this number; all of its bytes follow from the number.
    fn message(&self, number: u64) -> Self::Message;
    /// The number of a message, if none of its bytes is another's.
    fn number(&self, message: &Self::Message) -> Option<u64>;

    /// Goes round once and on, so that every byte is stale and `left` slots or bytes are left before
    /// the ring's end.
    fn place(&self, tx: &mut Self::Tx, rx: &mut Self::Rx, left: usize) -> Outcome<()>;

    /// The producing end for this process, which must not get a second thread: it never sleeps.
    fn own_tx(&self, queue: &Self::Queue) -> ringlane::Result<Self::Tx> {
        let mut tx = self.tx(queue)?;
        self.set_tx_wait(&mut tx, Wait::Yield);
        Ok(tx)
    }

    /// The consuming end, likewise.
    fn own_rx(&self, queue: &Self::Queue) -> ringlane::Result<Self::Rx> {
        let mut rx = self.rx(queue)?;
        self.set_rx_wait(&mut rx, Wait::Yield);
        Ok(rx)
    }

    fn send(&self, by: PushBy, tx: &mut Self::Tx, number: u64) -> Outcome<()> {
        self.push(by, tx, &self.message(number))
    }

    fn receive(&self, by: PopBy, rx: &mut Self::Rx) -> Outcome<u64> {
        let message = self.pop(by, rx)?;
        self.number(&message).ok_or_else(|| Stop::Broken("a torn message".into()))
    }
}

impl From<PopError> for Stop {
    fn from(error: PopError) -> Stop {
        match error {
            PopError::Empty => Stop::Empty,
            PopError::Closed => Stop::Closed,
            PopError::PeerDied => Stop::Died,
            other => Stop::Broken(format!("pop says {other:?}")),
        }
    }
}

impl From<ReserveError> for Stop {
    fn from(error: ReserveError) -> Stop {
        match error {
            ReserveError::Full => Stop::Full,
            ReserveError::Closed => Stop::Closed,
            ReserveError::PeerDied => Stop::Died,
            other => Stop::Broken(format!("reserve says {other:?}")),
        }
    }
}

impl<T> From<PushError<T>> for Stop {
    fn from(error: PushError<T>) -> Stop {
        match error {
            PushError::Full(_) => Stop::Full,
            PushError::Closed(_) => Stop::Closed,
            PushError::PeerDied(_) => Stop::Died,
            PushError::Corrupt(_) => Stop::Broken("push says Corrupt".into()),
        }
    }
}

/// A hash in which each bit depends on all of the number.
fn mix(number: u64) -> u64 {
    let mut hash = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

/// A value that tells whether it is whole.
pub(crate) trait Numbered: ringlane::Plain {
    fn of(number: u64) -> Self;
    fn number(&self) -> Option<u64>;
}

impl Numbered for u64 {
    fn of(number: u64) -> u64 {
        number << 32 | mix(number) >> 32
    }

    fn number(&self) -> Option<u64> {
        let number = self >> 32;
        (*self == u64::of(number)).then_some(number)
    }
}

/// 56 bytes: a slot of one cache line, copied in seven steps.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(crate) struct Wide {
    number: u64,
    body: [u64; 5],
    check: u64,
}

impl Numbered for Wide {
    fn of(number: u64) -> Wide {
        let body = std::array::from_fn(|index| mix(number ^ (index as u64) << 48));
        let check = body.iter().fold(mix(number), |sum, word| mix(sum ^ word));
        Wide { number, body, check }
    }

    fn number(&self) -> Option<u64> {
        (*self == Wide::of(self.number)).then_some(self.number)
    }
}

/// A queue of values.
pub(crate) struct Values<T> {
    label: &'static str,
    options: spsc::Options<T>,
    capacity: usize,
}

impl<T: Numbered> Values<T> {
    pub(crate) fn new(label: &'static str, capacity: usize, start: u64) -> Self {
        let options = spsc::Queue::options().capacity(capacity).start(start).clone();
        Values { label, options, capacity }
    }

    pub(crate) fn layout(mut self, layout: spsc::Layout) -> Self {
        self.options.layout(layout);
        self
    }
}

impl<T: Numbered> Lane for Values<T> {
    type Queue = spsc::Queue<T>;
    type Tx = spsc::Producer<T>;
    type Rx = spsc::Consumer<T>;
    type Message = T;

    fn label(&self) -> String {
        self.label.into()
    }

    fn create(&self, name: &Name) -> ringlane::Result<Self::Queue> {
        self.options.create(name)
    }

    fn open(&self, name: &Name) -> ringlane::Result<Self::Queue> {
        self.options.open(name)
    }

    fn tx(&self, queue: &Self::Queue) -> ringlane::Result<Self::Tx> {
        queue.producer()
    }

    fn rx(&self, queue: &Self::Queue) -> ringlane::Result<Self::Rx> {
        queue.consumer()
    }

    fn tx_peer(&self, tx: &Self::Tx) -> Peer {
        tx.peer()
    }

    fn rx_peer(&self, rx: &Self::Rx) -> Peer {
        rx.peer()
    }

    fn set_tx_wait(&self, tx: &mut Self::Tx, wait: Wait) {
        tx.set_wait(wait);
    }

    fn set_rx_wait(&self, rx: &mut Self::Rx, wait: Wait) {
        rx.set_wait(wait);
    }

    #[inline(always)]
    fn push(&self, by: PushBy, tx: &mut Self::Tx, message: &T) -> Outcome<()> {
        match by {
            PushBy::Wait(timeout) => tx.push_timeout(*message, timeout)?,
            _ => tx.try_push(*message)?,
        }
        Ok(())
    }

    #[inline(always)]
    fn pop(&self, by: PopBy, rx: &mut Self::Rx) -> Outcome<T> {
        Ok(match by {
            PopBy::Wait(timeout) => rx.pop_timeout(timeout)?,
            _ => rx.try_pop()?,
        })
    }

    fn message(&self, number: u64) -> T {
        T::of(number)
    }

    fn number(&self, message: &T) -> Option<u64> {
        message.number()
    }

    fn place(&self, tx: &mut Self::Tx, rx: &mut Self::Rx, left: usize) -> Outcome<()> {
        for _ in 0..2 * self.capacity - left {
            self.send(PushBy::Try, tx, FILLER)?;
            self.receive(PopBy::Try, rx)?;
        }
        Ok(())
    }
}

/// A queue of records.
pub(crate) struct Records {
    label: &'static str,
    options: record::Options,
    align: usize,
}

/// Lengths of records, by number. The first goes into a ring that is empty.
const LENGTHS: [usize; 5] = [96, 13, 60, 8, 33];

impl Records {
    pub(crate) const CAPACITY: usize = 4096;

    pub(crate) fn new(label: &'static str, mirrored: bool, align: usize) -> Records {
        let mut options = record::Queue::options();
        options.capacity(Records::CAPACITY).mirrored(mirrored).align(align);
        Records { label, options, align }
    }

    /// The least that anything takes up.
    pub(crate) fn unit(&self) -> usize {
        self.align
    }

    /// Bytes that the first record takes up.
    pub(crate) fn first_footprint(&self) -> usize {
        self.align + LENGTHS[0].next_multiple_of(self.align)
    }

    /// Pushes at position `at`, and pops, bytes that look like headers of the next lap's records, wherever
    /// these begin.
    fn filler(
        &self,
        tx: &mut record::Producer,
        rx: &mut record::Consumer,
        at: usize,
        len: usize,
    ) -> Outcome<()> {
        let positions = (at + self.align + Records::CAPACITY..).step_by(8);
        let tag = |at: usize| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48 << 48;
        let words = positions.flat_map(|at| (tag(at) | 24 << 8 | 1).to_ne_bytes());
        let bytes: Vec<u8> = words.take(len).collect();
        tx.try_push(&bytes)?;
        let back = rx.try_pop()?;
        if back == bytes { Ok(()) } else { Err(Stop::Broken("filler came back changed".into())) }
    }
}

impl Lane for Records {
    type Queue = record::Queue;
    type Tx = record::Producer;
    type Rx = record::Consumer;
    type Message = Vec<u8>;

    fn label(&self) -> String {
        self.label.into()
    }

    fn create(&self, name: &Name) -> ringlane::Result<Self::Queue> {
        self.options.create(name)
    }

    fn open(&self, name: &Name) -> ringlane::Result<Self::Queue> {
        self.options.open(name)
    }

    fn tx(&self, queue: &Self::Queue) -> ringlane::Result<Self::Tx> {
        queue.producer()
    }

    fn rx(&self, queue: &Self::Queue) -> ringlane::Result<Self::Rx> {
        queue.consumer()
    }

    fn tx_peer(&self, tx: &Self::Tx) -> Peer {
        tx.peer()
    }

    fn rx_peer(&self, rx: &Self::Rx) -> Peer {
        rx.peer()
    }

    fn set_tx_wait(&self, tx: &mut Self::Tx, wait: Wait) {
        tx.set_wait(wait);
    }

    fn set_rx_wait(&self, rx: &mut Self::Rx, wait: Wait) {
        rx.set_wait(wait);
    }

    #[inline(always)]
    fn push(&self, by: PushBy, tx: &mut Self::Tx, message: &Vec<u8>) -> Outcome<()> {
        let half = message.len() / 2;
        match by {
            PushBy::Try => tx.try_push(message)?,
            PushBy::Wait(timeout) => tx.push_timeout(message, timeout)?,
            PushBy::Reserve => {
                let mut room = tx.try_reserve(message.len())?;
                room.write_at(0, &message[..half]);
                room.write_at(half, &message[half..]);
                room.commit();
            }
            PushBy::Shorten => {
                let mut room = tx.try_reserve(message.len() + 40)?;
                room.write_at(0, message);
                room.commit_len(message.len());
            }
            PushBy::Abort => {
                let mut room = tx.try_reserve(message.len())?;
                room.write_at(0, &message[..half]);
                drop(room);
                return Err(Stop::Full);
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn pop(&self, by: PopBy, rx: &mut Self::Rx) -> Outcome<Vec<u8>> {
        Ok(match by {
            PopBy::Try => rx.try_pop()?,
            PopBy::Wait(timeout) => rx.pop_timeout(timeout)?,
            PopBy::Read => {
                let record = rx.try_read()?;
                let mut bytes = vec![0; record.len()];
                let (front, back) = bytes.split_at_mut(record.len() / 2);
                record.read_at(0, front);
                record.read_at(front.len(), back);
                record.release();
                bytes
            }
        })
    }

    fn message(&self, number: u64) -> Vec<u8> {
        let len = LENGTHS[number as usize % LENGTHS.len()];
        let words = (0..).flat_map(|index| mix(number ^ index << 48).to_ne_bytes());
        number.to_ne_bytes().into_iter().chain(words).take(len).collect()
    }

    fn number(&self, message: &Vec<u8>) -> Option<u64> {
        let number = u64::from_ne_bytes(message.get(..8)?.try_into().ok()?);
        (*message == self.message(number)).then_some(number)
    }

    fn place(&self, tx: &mut Self::Tx, rx: &mut Self::Rx, left: usize) -> Outcome<()> {
        // Sixteen records of 256 bytes, header and all, are one round.
        let go = Records::CAPACITY - left;
        let rounds = 16 + go / 256;
        for round in 0..rounds {
            self.filler(tx, rx, round * 256, 256 - self.align)?;
        }
        match go % 256 {
            0 => Ok(()),
            rest => self.filler(tx, rx, rounds * 256, rest - self.align),
        }
    }
}
