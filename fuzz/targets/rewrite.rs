//! Rings in use whose shared words are rewritten between operations: every call ends, and none panics,
//! reads outside or takes more than the ring holds.

use super::{SOON, Write, input, name};
use arbitrary::Arbitrary;
use ringlane::mpmc::{self, Delivery};
use ringlane::spsc::Layout;
use ringlane::{Name, SharedMemory, call, inspect, record, spsc};
use std::io::{BufRead, Read};

#[derive(Arbitrary, Debug)]
enum Step {
    Write(Write),
    Push(u16),
    Pop,
    Commit { reserve: u16, commit: u16, meanwhile: Option<Write> },
    Peek { meanwhile: Option<Write> },
    Batch { lens: [u8; 3], commit: bool, meanwhile: Option<Write> },
    ReadMany { max: u8, count: u8, meanwhile: Option<Write> },
    Part(u16),
    Stream(u8),
    NewProducer,
    NewConsumer,
    Wait,
}

#[derive(Arbitrary, Debug)]
struct Input {
    kind: u8,
    steps: Vec<Step>,
}

pub(crate) fn run(bytes: &[u8]) {
    let Some(Input { kind, steps }) = input(bytes) else { return };
    let name = name("rewrite");
    match kind % 7 {
        0 => values(&name, Layout::Slots, &steps),
        1 => values(&name, Layout::Dense, &steps),
        2 => records(&name, true, &steps),
        3 => records(&name, false, &steps),
        4 => calls(&name, &steps),
        5 => many(&name, Delivery::AtMostOnce, &steps),
        _ => many(&name, Delivery::AtLeastOnce, &steps),
    }
}

fn values(name: &Name, layout: Layout, steps: &[Step]) {
    let mut options = spsc::Queue::<u64>::options();
    let queue = options.capacity(16).layout(layout).create(name).unwrap();
    let words = SharedMemory::open(name).unwrap().map().unwrap();
    let (mut producer, mut consumer) = (queue.producer().ok(), queue.consumer().ok());
    for step in steps {
        match step {
            Step::Write(write) => write.to(&words),
            Step::Push(n) => {
                producer.as_mut().map(|p| p.try_push(u64::from(*n)));
            }
            Step::Pop | Step::Peek { .. } => {
                consumer.as_mut().map(|c| (c.try_pop(), c.depth()));
            }
            Step::Commit { reserve, commit, meanwhile } => {
                let reserve = usize::from(*reserve);
                if let Some(Ok(mut room)) = producer.as_mut().map(|p| p.try_reserve(reserve)) {
                    assert!(room.len() == reserve && reserve <= 16);
                    room.copy_from_slice(&vec![2; reserve]);
                    room.fill(0..);
                    meanwhile.iter().for_each(|write| write.to(&words));
                    room.commit_len(reserve.min(usize::from(*commit)));
                }
            }
            Step::ReadMany { max, count, meanwhile } => {
                let max = usize::from(*max);
                if let Some(Ok(span)) = consumer.as_mut().map(|c| c.try_read(max)) {
                    assert!(span.len() <= max.min(16));
                    meanwhile.iter().for_each(|write| write.to(&words));
                    span.copy_to_slice(&mut vec![0; span.len()]);
                    assert_eq!(span.iter().count(), span.len());
                    (0..span.len()).for_each(|at| _ = span.get(at));
                    let count = span.len().min(usize::from(*count));
                    span.release_len(count);
                }
            }
            Step::NewProducer => {
                drop(producer.take());
                producer = queue.producer().ok();
            }
            Step::NewConsumer => {
                drop(consumer.take());
                consumer = queue.consumer().ok();
            }
            Step::Wait => {
                consumer.as_mut().map(|c| c.pop_timeout(SOON));
                producer.as_mut().map(|p| (p.flush(Some(SOON)), p.vacant(), p.peer()));
            }
            _ => {}
        }
    }
}

fn records(name: &Name, mirrored: bool, steps: &[Step]) {
    let queue = record::Queue::options().capacity(4096).mirrored(mirrored).create(name).unwrap();
    let words = SharedMemory::open(name).unwrap().map().unwrap();
    let (mut producer, mut consumer) = (queue.producer().ok(), queue.consumer().ok());
    for step in steps {
        match step {
            Step::Write(write) => write.to(&words),
            Step::Push(len) => {
                producer.as_mut().map(|p| p.try_push(&vec![1; usize::from(*len)]));
            }
            Step::Commit { reserve, commit, meanwhile } => {
                if let Some(Ok(mut room)) =
                    producer.as_mut().map(|p| p.try_reserve(usize::from(*reserve)))
                {
                    let len = usize::from(*commit).min(room.len());
                    room.write_at(0, &vec![2; len]);
                    meanwhile.iter().for_each(|write| write.to(&words));
                    room.commit_len(len);
                }
            }
            Step::Pop => {
                if let Some(Ok(record)) = consumer.as_mut().map(|c| c.try_pop()) {
                    assert!(record.len() <= queue.max_len());
                }
            }
            Step::Peek { meanwhile } => {
                if let Some(Ok(record)) = consumer.as_mut().map(|c| c.try_read()) {
                    meanwhile.iter().for_each(|write| write.to(&words));
                    assert!(record.to_vec().len() <= queue.max_len());
                }
            }
            Step::Batch { lens, commit, meanwhile } => {
                if let Some(producer) = &mut producer {
                    let mut batch = producer.batch();
                    for len in lens {
                        let _ = batch.try_push(&vec![3; usize::from(*len)]);
                        meanwhile.iter().for_each(|write| write.to(&words));
                    }
                    if *commit {
                        batch.commit();
                    }
                }
            }
            Step::ReadMany { max, count, meanwhile } => {
                if let Some(Ok(records)) = consumer.as_mut().map(|c| c.try_read_many((*max).into()))
                {
                    meanwhile.iter().for_each(|write| write.to(&words));
                    let all: usize = records.iter().map(|record| record.to_vec().len()).sum();
                    assert!(all <= queue.capacity());
                    let count = usize::from(*count).min(records.len());
                    records.release_first(count);
                }
            }
            Step::Part(len) => {
                if let Some(Ok(record)) = consumer.as_mut().map(|c| c.try_read()) {
                    let len = usize::from(*len).min(record.len());
                    record.release_bytes(len);
                }
            }
            Step::Stream(len) => {
                if let Some(mut stream) = consumer.take().map(|c| c.into_stream()) {
                    stream.set_timeout(Some(SOON));
                    let _ = stream.read(&mut vec![0; usize::from(*len)]);
                    let there = stream.fill_buf().map_or(0, |bytes| bytes.len());
                    stream.consume(there.min(usize::from(*len)));
                    consumer = Some(stream.into_inner());
                }
                consumer.as_ref().map(|c| c.try_peek((*len).into()).map(|record| record.to_vec()));
            }
            Step::NewProducer => {
                drop(producer.take());
                producer = queue.producer().ok();
            }
            Step::NewConsumer => {
                drop(consumer.take());
                consumer = queue.consumer().ok();
            }
            Step::Wait => {
                consumer.as_mut().map(|c| c.read_timeout(SOON).map(|record| record.len()));
                producer.as_mut().map(|p| (p.flush(Some(SOON)), p.peer()));
            }
        }
    }
}

/// The same for a call cell, whose one line both sides write.
fn calls(name: &Name, steps: &[Step]) {
    let cell = call::Cell::<u64, [u8; 13]>::create(name).unwrap();
    let words = SharedMemory::open(name).unwrap().map().unwrap();
    let (mut caller, mut server) = (cell.caller().ok(), cell.server().ok());
    for step in steps {
        match step {
            Step::Write(write) => write.to(&words),
            Step::Push(n) => {
                caller.as_mut().map(|c| c.try_start(u64::from(*n)));
            }
            Step::Pop => {
                caller.as_mut().map(|c| c.try_finish());
            }
            Step::Commit { commit, .. } => {
                server.as_mut().map(|s| s.try_serve(|_| [*commit as u8; 13]));
            }
            Step::Peek { meanwhile } => {
                if let Some(Ok(request)) = server.as_mut().map(|s| s.try_recv()) {
                    meanwhile.iter().for_each(|write| write.to(&words));
                    request.reply([3; 13]);
                }
                server.as_mut().map(|s| s.try_recv().map(|r| (*r.value(), r.is_redelivery())));
                caller.iter_mut().for_each(|c| c.abandon());
            }
            Step::NewProducer => {
                drop(caller.take());
                caller = cell.caller().ok();
            }
            Step::NewConsumer => {
                drop(server.take());
                server = cell.server().ok();
            }
            Step::Wait => {
                server.as_mut().map(|s| (s.serve_timeout(|_| [1; 13], SOON), s.peer()));
                caller.as_mut().map(|c| (c.call_timeout(1, SOON), c.outstanding(), c.peer()));
            }
            _ => {}
        }
    }
}

/// The same for a ring for many: two participants of each side.
fn many(name: &Name, delivery: Delivery, steps: &[Step]) {
    let mut options = mpmc::Queue::<u64>::options();
    let queue = options.capacity(16).delivery(delivery).create(name).unwrap();
    let words = SharedMemory::open(name).unwrap().map().unwrap();
    let mut producers = [queue.producer().ok(), queue.producer().ok()];
    let mut consumers = [queue.consumer().ok(), queue.consumer().ok()];
    for (turn, step) in steps.iter().enumerate() {
        let (producer, consumer) = (&mut producers[turn % 2], &mut consumers[turn % 2]);
        match step {
            Step::Write(write) => write.to(&words),
            Step::Push(n) => {
                producer.as_mut().map(|p| p.try_push(u64::from(*n)));
            }
            Step::Pop => {
                consumer.as_mut().map(|c| (c.try_pop(), c.available() <= 16));
            }
            Step::Commit { commit, meanwhile, .. } => {
                if let Some(Ok(room)) = producer.as_mut().map(|p| p.try_reserve()) {
                    meanwhile.iter().for_each(|write| write.to(&words));
                    if commit % 2 == 0 { room.commit(2) } else { drop(room) }
                }
            }
            Step::Peek { meanwhile } => {
                if let Some(Ok(taken)) = consumer.as_mut().map(|c| c.try_take()) {
                    meanwhile.iter().for_each(|write| write.to(&words));
                    let _ = taken.is_again();
                }
            }
            Step::Batch { lens, .. } => {
                let len = usize::from(lens[0]);
                let pushed = producer.as_mut().map(|p| p.try_push_slice(&vec![3; len]));
                assert!(pushed.is_none_or(|pushed| pushed.unwrap_or(0) <= len.min(16)));
            }
            Step::ReadMany { max, meanwhile, .. } => {
                let mut out = vec![0; usize::from(*max)];
                let popped = consumer.as_mut().map(|c| c.try_pop_slice(&mut out));
                assert!(popped.is_none_or(|popped| popped.unwrap_or(0) <= out.len().min(16)));
                if let Some(Ok(taken)) = consumer.as_mut().map(|c| c.try_take()) {
                    meanwhile.iter().for_each(|write| write.to(&words));
                    taken.acknowledge();
                }
            }
            Step::NewProducer => {
                drop(producer.take());
                *producer = queue.producer().ok();
            }
            Step::NewConsumer => {
                drop(consumer.take());
                *consumer = queue.consumer().ok();
            }
            Step::Wait => {
                consumer.as_mut().map(|c| (c.pop_timeout(SOON), c.peer(), c.wait_peer(Some(SOON))));
                producer.as_mut().map(|p| (p.push_timeout(1, SOON), p.flush(Some(SOON)), p.peer()));
            }
            Step::Part(_) | Step::Stream(_) => {
                let _ = inspect::report(name).map(|report| assert!(report.used <= 16));
            }
        }
    }
}
