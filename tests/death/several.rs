//! Lanes whose messages are several records, or several pieces of one: batches and streams.

use super::lane::{Lane, Numbered, Outcome, PopBy, PushBy, Records, Stop};
use ringlane::record::{Consumer, Producer, Queue, StreamReader, StreamWriter};
use ringlane::{Name, Peer, PopError, ReserveError, Wait};
use std::io::{self, Read, Write};
use std::time::Duration;

/// A message is a batch of three records: committed together, read together, released together.
pub(crate) struct Batches(pub(crate) Records);

impl Lane for Batches {
    type Queue = Queue;
    type Tx = Producer;
    type Rx = Consumer;
    type Message = Vec<Vec<u8>>;

    fn label(&self) -> String {
        format!("batches_{}", self.0.label())
    }

    fn create(&self, name: &Name) -> ringlane::Result<Queue> {
        self.0.create(name)
    }

    fn open(&self, name: &Name) -> ringlane::Result<Queue> {
        self.0.open(name)
    }

    fn tx(&self, queue: &Queue) -> ringlane::Result<Producer> {
        queue.producer()
    }

    fn rx(&self, queue: &Queue) -> ringlane::Result<Consumer> {
        queue.consumer()
    }

    fn tx_peer(&self, tx: &Producer) -> Peer {
        tx.peer()
    }

    fn rx_peer(&self, rx: &Consumer) -> Peer {
        rx.peer()
    }

    fn set_tx_wait(&self, tx: &mut Producer, wait: Wait) {
        tx.set_wait(wait);
    }

    fn set_rx_wait(&self, rx: &mut Consumer, wait: Wait) {
        rx.set_wait(wait);
    }

    #[inline(always)]
    fn push(&self, by: PushBy, tx: &mut Producer, message: &Vec<Vec<u8>>) -> Outcome<()> {
        let mut batch = tx.batch();
        for record in message {
            match by {
                PushBy::Wait(timeout) => batch.push_timeout(record, timeout)?,
                _ => batch.try_push(record)?,
            }
        }
        if by == PushBy::Abort {
            return Err(Stop::Full);
        }
        batch.commit();
        Ok(())
    }

    #[inline(always)]
    fn pop(&self, by: PopBy, rx: &mut Consumer) -> Outcome<Vec<Vec<u8>>> {
        let records = match by {
            PopBy::Wait(timeout) => rx.read_many_timeout(3, timeout)?,
            _ => rx.try_read_many(3)?,
        };
        let message = records.iter().map(|record| record.to_vec()).collect();
        records.release();
        Ok(message)
    }

    fn message(&self, number: u64) -> Vec<Vec<u8>> {
        (0..3).map(|part| self.0.message(3 * number + part)).collect()
    }

    fn number(&self, message: &Vec<Vec<u8>>) -> Option<u64> {
        let number = self.0.number(message.first()?)? / 3;
        (*message == self.message(number)).then_some(number)
    }

    fn place(&self, tx: &mut Producer, rx: &mut Consumer, left: usize) -> Outcome<()> {
        self.0.place(tx, rx, left)
    }
}

/// A message is three words, written to a stream at once and read one by one. Who dies while reading has taken
/// some of them, and the next one gets the others.
pub(crate) struct Streams(pub(crate) Records);

/// Why a stream stopped.
fn stop(error: &io::Error) -> Stop {
    let inner = error.get_ref();
    let pop = inner.and_then(|inner| inner.downcast_ref::<PopError>()).map(|e| Stop::from(*e));
    let push = inner.and_then(|inner| inner.downcast_ref::<ReserveError>()).map(|e| Stop::from(*e));
    pop.or(push).unwrap_or_else(|| Stop::Broken(format!("a stream says {error}")))
}

impl Lane for Streams {
    type Queue = Queue;
    type Tx = StreamWriter;
    type Rx = StreamReader;
    type Message = Vec<u64>;

    fn label(&self) -> String {
        format!("streams_{}", self.0.label())
    }

    fn create(&self, name: &Name) -> ringlane::Result<Queue> {
        self.0.create(name)
    }

    fn open(&self, name: &Name) -> ringlane::Result<Queue> {
        self.0.open(name)
    }

    fn tx(&self, queue: &Queue) -> ringlane::Result<StreamWriter> {
        queue.producer().map(Producer::into_stream)
    }

    fn rx(&self, queue: &Queue) -> ringlane::Result<StreamReader> {
        queue.consumer().map(Consumer::into_stream)
    }

    fn tx_peer(&self, tx: &StreamWriter) -> Peer {
        tx.get_ref().peer()
    }

    fn rx_peer(&self, rx: &StreamReader) -> Peer {
        rx.get_ref().peer()
    }

    fn set_tx_wait(&self, tx: &mut StreamWriter, wait: Wait) {
        tx.get_mut().set_wait(wait);
    }

    fn set_rx_wait(&self, rx: &mut StreamReader, wait: Wait) {
        rx.get_mut().set_wait(wait);
    }

    #[inline(always)]
    fn push(&self, by: PushBy, tx: &mut StreamWriter, message: &Vec<u64>) -> Outcome<()> {
        let timeout = if let PushBy::Wait(timeout) = by { timeout } else { Duration::ZERO };
        tx.set_timeout(Some(timeout));
        let written = tx.write(bytemuck::cast_slice(message)).map_err(|e| stop(&e))?;
        if written == 24 { Ok(()) } else { Err(Stop::Broken(format!("{written} bytes written"))) }
    }

    #[inline(always)]
    fn pop(&self, by: PopBy, rx: &mut StreamReader) -> Outcome<Vec<u64>> {
        let timeout = if let PopBy::Wait(timeout) = by { timeout } else { Duration::ZERO };
        rx.set_timeout(Some(timeout));
        let mut message = vec![];
        loop {
            let mut word = [0; 8];
            match rx.read(&mut word).map_err(|e| stop(&e))? {
                0 => return Err(Stop::Closed),
                8 => message.push(u64::from_ne_bytes(word)),
                other => return Err(Stop::Broken(format!("{other} bytes of a word"))),
            }
            let Some(number) = message.last().and_then(Numbered::number) else {
                return Err(Stop::Broken("a torn word".into()));
            };
            if number % 3 == 2 {
                return Ok(message);
            }
        }
    }

    fn message(&self, number: u64) -> Vec<u64> {
        (0..3).map(|part| u64::of(3 * number + part)).collect()
    }

    fn number(&self, message: &Vec<u64>) -> Option<u64> {
        let number = message.last()?.number()? / 3;
        self.message(number).ends_with(message).then_some(number)
    }

    fn place(&self, tx: &mut StreamWriter, rx: &mut StreamReader, left: usize) -> Outcome<()> {
        self.0.place(tx.get_mut(), rx.get_mut(), left)
    }
}
