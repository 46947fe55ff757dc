//! What goes through a ring in the storm: values, or records of any length.

use ringlane::mpmc::{self, Delivery};
use ringlane::{Name, PopError, Result, Wait, mpmc_record};
use std::time::Duration;

/// Values of 40 bytes: whose, which life, the how manieth, and two that follow from these.
pub(crate) type Value = [u64; 5];

const CAPACITY: usize = 256;

/// Blocks of a record that go on behind its value, at most.
const FURTHER: u64 = 40;

pub(crate) fn mix(number: u64) -> u64 {
    let hash = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash ^ hash >> 27
}

pub(crate) fn value(who: usize, life: usize, n: u64) -> Value {
    let key = (who as u64) << 56 | (life as u64) << 40 | n;
    [who as u64, life as u64, n, mix(key), mix(mix(key))]
}

/// A ring of one kind, and its verbs.
pub(crate) trait Goods: Sized {
    const NAME: &'static str;
    type Tx;
    type Rx;

    fn create(name: &Name, delivery: Delivery) -> Result<Self>;
    fn open(name: &Name) -> Result<Self>;
    fn producer(&self) -> Result<Self::Tx>;
    fn consumer(&self) -> Result<Self::Rx>;

    /// Puts all in, and says how many went in: fewer if there was no consumer that lived.
    fn push(tx: &mut Self::Tx, values: &[Value]) -> usize;
    /// Takes one, and acknowledges it after `note` has been told of it: what it was, unless it was torn, and whether it
    /// came again.
    fn take(
        rx: &mut Self::Rx,
        wait: Option<Duration>,
        note: impl FnOnce(Option<Value>, bool),
    ) -> std::result::Result<(), PopError>;
    fn available(rx: &Self::Rx) -> usize;
    fn set_wait(rx: &mut Self::Rx, wait: Wait);
}

pub(crate) struct Values(mpmc::Queue<Value>);

impl Goods for Values {
    const NAME: &'static str = "values";
    type Tx = mpmc::Producer<Value>;
    type Rx = mpmc::Consumer<Value>;

    fn create(name: &Name, delivery: Delivery) -> Result<Self> {
        let mut options = mpmc::Queue::options();
        options.capacity(CAPACITY).delivery(delivery).create(name).map(Values)
    }

    fn open(name: &Name) -> Result<Self> {
        mpmc::Queue::open(name).map(Values)
    }

    fn producer(&self) -> Result<Self::Tx> {
        self.0.producer()
    }

    fn consumer(&self) -> Result<Self::Rx> {
        self.0.consumer()
    }

    fn push(tx: &mut Self::Tx, values: &[Value]) -> usize {
        match values {
            [value] => usize::from(tx.push(*value).is_ok()),
            _ => tx.push_slice(values).map_or_else(|e| e.into_inner(), |()| values.len()),
        }
    }

    fn take(
        rx: &mut Self::Rx,
        wait: Option<Duration>,
        note: impl FnOnce(Option<Value>, bool),
    ) -> std::result::Result<(), PopError> {
        let taken = match wait {
            Some(time) => rx.take_timeout(time)?,
            None => rx.try_take()?,
        };
        note(Some(*taken), taken.is_again());
        taken.acknowledge();
        Ok(())
    }

    fn available(rx: &Self::Rx) -> usize {
        rx.available()
    }

    fn set_wait(rx: &mut Self::Rx, wait: Wait) {
        rx.set_wait(wait);
    }
}

pub(crate) struct Records(mpmc_record::Queue);

/// A value, and up to some hundred bytes that follow from it.
fn record(value: Value) -> Vec<u8> {
    let words = value.into_iter().chain((1..=value[4] % FURTHER).map(|n| mix(value[3] ^ n)));
    words.flat_map(u64::to_ne_bytes).chain((0..value[3] % 8).map(|n| n as u8)).collect()
}

impl Goods for Records {
    const NAME: &'static str = "records";
    type Tx = mpmc_record::Producer;
    type Rx = mpmc_record::Consumer;

    fn create(name: &Name, delivery: Delivery) -> Result<Self> {
        let mut options = mpmc_record::Queue::options();
        options.capacity(CAPACITY * 64).delivery(delivery).create(name).map(Records)
    }

    fn open(name: &Name) -> Result<Self> {
        mpmc_record::Queue::open(name).map(Records)
    }

    fn producer(&self) -> Result<Self::Tx> {
        self.0.producer()
    }

    fn consumer(&self) -> Result<Self::Rx> {
        self.0.consumer()
    }

    fn push(tx: &mut Self::Tx, values: &[Value]) -> usize {
        let pushed = |value: &&Value| tx.push(&record(**value)).is_ok();
        values.iter().take_while(pushed).count()
    }

    fn take(
        rx: &mut Self::Rx,
        wait: Option<Duration>,
        note: impl FnOnce(Option<Value>, bool),
    ) -> std::result::Result<(), PopError> {
        let taken = match wait {
            Some(time) => rx.take_timeout(time)?,
            None => rx.try_take()?,
        };
        let bytes = taken.to_vec();
        let word = |n: usize| Some(u64::from_ne_bytes(*bytes.get(8 * n..)?.first_chunk()?));
        let value = || Some([word(0)?, word(1)?, word(2)?, word(3)?, word(4)?]);
        note(value().filter(|value| record(*value) == bytes), taken.is_again());
        taken.acknowledge();
        Ok(())
    }

    fn available(rx: &Self::Rx) -> usize {
        rx.available()
    }

    fn set_wait(rx: &mut Self::Rx, wait: Wait) {
        rx.set_wait(wait);
    }
}
