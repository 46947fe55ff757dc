//! What goes through a ring for many: values, or records, each of which tells its number and whether it is torn.

use super::lane::Numbered;
use ringlane::mpmc::{self, Delivery};
use ringlane::{Name, PopError, PushError, ReserveError, Result, Wait, mpmc_record};
use std::hint::black_box;
use std::marker::PhantomData;

/// How many things a batch has.
pub(crate) const BATCH: usize = 3;

pub(crate) trait Goods {
    type Queue;
    type Tx;
    type Rx;
    /// A thing, made before and looked at after the steps that count.
    type Thing;
    /// Whether several go at once, and each is one of few steps.
    const BATCHES: bool;

    fn thing(number: u64) -> Self::Thing;
    fn number(thing: &Self::Thing) -> Option<u64>;

    fn create(name: &Name, capacity: usize, delivery: Delivery) -> Result<Self::Queue>;
    fn open(name: &Name) -> Result<Self::Queue>;
    /// They never sleep: who uses them must not get a second thread.
    fn producer(queue: &Self::Queue) -> Result<Self::Tx>;
    fn consumer(queue: &Self::Queue) -> Result<Self::Rx>;

    fn push(tx: &mut Self::Tx, thing: &Self::Thing) -> std::result::Result<(), PushError<()>>;
    fn push_batch(tx: &mut Self::Tx, things: &[Self::Thing; BATCH]) -> usize;
    /// Reserves, then commits.
    fn commit(tx: &mut Self::Tx, thing: &Self::Thing) -> bool;
    /// Reserves, then thinks better of it. Whether there was room.
    fn abort(tx: &mut Self::Tx) -> bool;
    fn pop(rx: &mut Self::Rx, thing: &mut Self::Thing) -> bool;
    fn pop_batch(rx: &mut Self::Rx, things: &mut [Self::Thing; BATCH]) -> usize;
    /// Takes, then acknowledges. Whether it came again.
    fn take(rx: &mut Self::Rx, thing: &mut Self::Thing) -> std::result::Result<bool, PopError>;
    fn give_back(rx: &mut Self::Rx);
}

/// Values of one type.
pub(crate) struct Of<T>(PhantomData<T>);

impl<T: Numbered> Goods for Of<T> {
    type Queue = mpmc::Queue<T>;
    type Tx = mpmc::Producer<T>;
    type Rx = mpmc::Consumer<T>;
    type Thing = T;
    const BATCHES: bool = true;

    fn thing(number: u64) -> T {
        T::of(number)
    }

    fn number(thing: &T) -> Option<u64> {
        thing.number()
    }

    fn create(name: &Name, capacity: usize, delivery: Delivery) -> Result<Self::Queue> {
        mpmc::Queue::options().capacity(capacity).delivery(delivery).create(name)
    }

    fn open(name: &Name) -> Result<Self::Queue> {
        mpmc::Queue::open(name)
    }

    fn producer(queue: &Self::Queue) -> Result<Self::Tx> {
        let mut tx = queue.producer()?;
        tx.set_wait(Wait::Yield);
        Ok(tx)
    }

    fn consumer(queue: &Self::Queue) -> Result<Self::Rx> {
        let mut rx = queue.consumer()?;
        rx.set_wait(Wait::Yield);
        Ok(rx)
    }

    fn push(tx: &mut Self::Tx, thing: &T) -> std::result::Result<(), PushError<()>> {
        tx.try_push(*black_box(thing)).map_err(|refused| match refused {
            PushError::Full(_) => PushError::Full(()),
            PushError::Closed(_) => PushError::Closed(()),
            PushError::PeerDied(_) => PushError::PeerDied(()),
            PushError::Corrupt(_) => PushError::Corrupt(()),
        })
    }

    fn push_batch(tx: &mut Self::Tx, things: &[T; BATCH]) -> usize {
        tx.try_push_slice(black_box(things)).unwrap_or(0)
    }

    fn commit(tx: &mut Self::Tx, thing: &T) -> bool {
        tx.try_reserve().map(|room| room.commit(*black_box(thing))).is_ok()
    }

    fn abort(tx: &mut Self::Tx) -> bool {
        tx.try_reserve().map(drop).is_ok()
    }

    fn pop(rx: &mut Self::Rx, thing: &mut T) -> bool {
        rx.try_pop().map(|value| *thing = value).is_ok()
    }

    fn pop_batch(rx: &mut Self::Rx, things: &mut [T; BATCH]) -> usize {
        rx.try_pop_slice(black_box(things)).unwrap_or(0)
    }

    fn take(rx: &mut Self::Rx, thing: &mut T) -> std::result::Result<bool, PopError> {
        let taken = rx.try_take()?;
        let again = taken.is_again();
        *thing = taken.acknowledge();
        Ok(again)
    }

    fn give_back(rx: &mut Self::Rx) {
        drop(black_box(rx.try_take()));
    }
}

/// Records, each in 16 blocks, which lie across the ring's end in turn.
pub(crate) struct Parcels;

/// Not a multiple of a block, so 16 are taken for the last byte.
const LEN: usize = 15 * 64 + 1;

impl Goods for Parcels {
    type Queue = mpmc_record::Queue;
    type Tx = mpmc_record::Producer;
    type Rx = mpmc_record::Consumer;
    type Thing = Vec<u8>;
    const BATCHES: bool = false;

    fn thing(number: u64) -> Vec<u8> {
        let words = (0..=LEN as u64 / 8).flat_map(|n| (u64::of(number) ^ n << 20).to_ne_bytes());
        words.take(LEN).collect()
    }

    fn number(thing: &Vec<u8>) -> Option<u64> {
        let first = thing.get(..8)?.try_into().expect("eight bytes");
        let number = u64::from_ne_bytes(first).number()?;
        (*thing == Parcels::thing(number)).then_some(number)
    }

    fn create(name: &Name, capacity: usize, delivery: Delivery) -> Result<Self::Queue> {
        let mut options = mpmc_record::Queue::options();
        // The positions are not multiples of a record's blocks.
        options.capacity(capacity * 1024).delivery(delivery).start(5).create(name)
    }

    fn open(name: &Name) -> Result<Self::Queue> {
        mpmc_record::Queue::open(name)
    }

    fn producer(queue: &Self::Queue) -> Result<Self::Tx> {
        let mut tx = queue.producer()?;
        tx.set_wait(Wait::Yield);
        Ok(tx)
    }

    fn consumer(queue: &Self::Queue) -> Result<Self::Rx> {
        let mut rx = queue.consumer()?;
        rx.set_wait(Wait::Yield);
        Ok(rx)
    }

    fn push(tx: &mut Self::Tx, thing: &Vec<u8>) -> std::result::Result<(), PushError<()>> {
        tx.try_push(black_box(thing)).map_err(|refused| match refused {
            ReserveError::Full => PushError::Full(()),
            ReserveError::Closed => PushError::Closed(()),
            ReserveError::PeerDied => PushError::PeerDied(()),
            ReserveError::Corrupt | ReserveError::TooLarge { .. } => PushError::Corrupt(()),
        })
    }

    fn push_batch(_: &mut Self::Tx, _: &[Vec<u8>; BATCH]) -> usize {
        unreachable!("records go one at a time")
    }

    fn commit(tx: &mut Self::Tx, thing: &Vec<u8>) -> bool {
        let Ok(mut room) = tx.try_reserve(LEN) else { return false };
        let (head, body) = thing.split_at(100);
        room.write_at(100, black_box(body));
        room.write_at(0, black_box(head));
        room.commit();
        true
    }

    fn abort(tx: &mut Self::Tx) -> bool {
        tx.try_reserve(LEN).map(drop).is_ok()
    }

    fn pop(rx: &mut Self::Rx, thing: &mut Vec<u8>) -> bool {
        rx.try_pop_into(thing).is_ok()
    }

    fn pop_batch(_: &mut Self::Rx, _: &mut [Vec<u8>; BATCH]) -> usize {
        unreachable!("records go one at a time")
    }

    fn take(rx: &mut Self::Rx, thing: &mut Vec<u8>) -> std::result::Result<bool, PopError> {
        let taken = rx.try_take()?;
        let again = taken.is_again();
        thing.resize(taken.len(), 0);
        taken.read_at(0, thing);
        taken.acknowledge();
        Ok(again)
    }

    fn give_back(rx: &mut Self::Rx) {
        drop(black_box(rx.try_take()));
    }
}
