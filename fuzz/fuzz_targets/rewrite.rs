//! Rings in use whose shared words are rewritten between operations: every call ends, and none panics,
//! reads outside or takes more than the ring holds.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringlane::spsc::Layout;
use ringlane::{Name, SharedMemory, call, record, spsc};
use std::io::{BufRead, Read};
use std::time::Duration;

#[derive(Arbitrary, Debug)]
enum Step {
    Write { word: u16, value: Value },
    Push(u16),
    Pop,
    Commit { reserve: u16, commit: u16 },
    Peek,
    Batch { lens: [u8; 3], commit: bool },
    ReadMany { max: u8, count: u8 },
    Part(u16),
    Stream(u8),
    NewProducer,
    NewConsumer,
    Wait,
}

/// Numbers that a fuzzer would take long to find.
#[derive(Arbitrary, Debug)]
enum Value {
    Any(u64),
    Near {
        shift: u8,
        less: i8,
    },
    /// With the tag of the position that is so many words from the beginning.
    Header {
        len: u16,
        flags: u8,
        at: u16,
    },
}

impl Value {
    fn number(&self) -> u64 {
        match *self {
            Value::Any(n) => n,
            Value::Near { shift, less } => {
                1_u64.rotate_left(u32::from(shift)).wrapping_add_signed(i64::from(less))
            }
            Value::Header { len, flags, at } => {
                let tag = (u64::from(at) * 8).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48 << 48;
                tag | u64::from(len) << 8 | u64::from(flags)
            }
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Input {
    kind: u8,
    steps: Vec<Step>,
}

fuzz_target!(|input: Input| {
    let name = Name::new(&format!("ringlane-fuzz-rewrite-{}", std::process::id())).unwrap();
    let soon = Duration::from_micros(1);
    if input.kind % 5 == 3 {
        return calls(&name, &input.steps);
    }
    if input.kind % 5 == 0 || input.kind % 5 == 4 {
        let layout = if input.kind % 5 == 0 { Layout::Slots } else { Layout::Dense };
        let mut options = spsc::Queue::<u64>::options();
        let queue = options.capacity(16).layout(layout).create(&name).unwrap();
        let words = SharedMemory::open(&name).unwrap().map().unwrap();
        let (mut producer, mut consumer) = (queue.producer().ok(), queue.consumer().ok());
        for step in &input.steps {
            match step {
                Step::Write { word, value } => {
                    let at = 1024 + usize::from(*word) % ((words.len() - 1024) / 8) * 8;
                    words.write_at(at, &value.number().to_ne_bytes()).unwrap();
                }
                Step::Push(n) => {
                    producer.as_mut().map(|p| p.try_push(u64::from(*n)));
                }
                Step::Pop | Step::Peek => {
                    consumer.as_mut().map(|c| (c.try_pop(), c.depth()));
                }
                Step::Commit { reserve, commit } => {
                    let reserve = usize::from(*reserve);
                    if let Some(Ok(mut room)) = producer.as_mut().map(|p| p.try_reserve(reserve)) {
                        assert!(room.len() == reserve && reserve <= 16);
                        room.copy_from_slice(&vec![2; reserve]);
                        room.fill(0..);
                        room.commit_len(reserve.min(usize::from(*commit)));
                    }
                }
                Step::ReadMany { max, count } => {
                    let max = usize::from(*max);
                    if let Some(Ok(span)) = consumer.as_mut().map(|c| c.try_read(max)) {
                        assert!(span.len() <= max.min(16));
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
                    consumer.as_mut().map(|c| c.pop_timeout(soon));
                    producer.as_mut().map(|p| (p.flush(Some(soon)), p.vacant(), p.peer()));
                }
                _ => {}
            }
        }
        return;
    }
    let mirrored = input.kind % 5 == 1;
    let queue = record::Queue::options().capacity(4096).mirrored(mirrored).create(&name).unwrap();
    let words = SharedMemory::open(&name).unwrap().map().unwrap();
    let (mut producer, mut consumer) = (queue.producer().ok(), queue.consumer().ok());
    for step in &input.steps {
        match step {
            Step::Write { word, value } => {
                let at = 1024 + usize::from(*word) % ((words.len() - 1024) / 8) * 8;
                words.write_at(at, &value.number().to_ne_bytes()).unwrap();
            }
            Step::Push(len) => {
                producer.as_mut().map(|p| p.try_push(&vec![1; usize::from(*len)]));
            }
            Step::Commit { reserve, commit } => {
                if let Some(Ok(mut room)) =
                    producer.as_mut().map(|p| p.try_reserve(usize::from(*reserve)))
                {
                    let len = usize::from(*commit).min(room.len());
                    room.write_at(0, &vec![2; len]);
                    room.commit_len(len);
                }
            }
            Step::Pop => {
                if let Some(Ok(record)) = consumer.as_mut().map(|c| c.try_pop()) {
                    assert!(record.len() <= queue.max_len());
                }
            }
            Step::Peek => {
                if let Some(Ok(record)) = consumer.as_mut().map(|c| c.try_read()) {
                    assert!(record.to_vec().len() <= queue.max_len());
                }
            }
            Step::Batch { lens, commit } => {
                if let Some(producer) = &mut producer {
                    let mut batch = producer.batch();
                    for len in lens {
                        let _ = batch.try_push(&vec![3; usize::from(*len)]);
                    }
                    if *commit {
                        batch.commit();
                    }
                }
            }
            Step::ReadMany { max, count } => {
                if let Some(Ok(records)) = consumer.as_mut().map(|c| c.try_read_many((*max).into()))
                {
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
                    stream.set_timeout(Some(soon));
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
                consumer.as_mut().map(|c| c.read_timeout(soon).map(|record| record.len()));
                producer.as_mut().map(|p| (p.flush(Some(soon)), p.peer()));
            }
        }
    }
});

/// The same for a call cell, whose one line both sides write.
fn calls(name: &Name, steps: &[Step]) {
    let soon = Duration::from_micros(1);
    let cell = call::Cell::<u64, [u8; 13]>::create(name).unwrap();
    let words = SharedMemory::open(name).unwrap().map().unwrap();
    let (mut caller, mut server) = (cell.caller().ok(), cell.server().ok());
    for step in steps {
        match step {
            Step::Write { word, value } => {
                let at = 1024 + usize::from(*word) % ((words.len() - 1024) / 8) * 8;
                words.write_at(at, &value.number().to_ne_bytes()).unwrap();
            }
            Step::Push(n) => {
                caller.as_mut().map(|c| c.try_start(u64::from(*n)));
            }
            Step::Pop => {
                caller.as_mut().map(|c| c.try_finish());
            }
            Step::Commit { commit, .. } => {
                server.as_mut().map(|s| s.try_serve(|_| [*commit as u8; 13]));
            }
            Step::Peek => {
                server.as_mut().map(|s| s.try_recv().map(|r| (*r.value(), r.is_redelivery())));
                caller.as_mut().map(|c| c.abandon());
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
                server.as_mut().map(|s| (s.serve_timeout(|_| [1; 13], soon), s.peer()));
                caller.as_mut().map(|c| (c.call_timeout(1, soon), c.outstanding(), c.peer()));
            }
            _ => {}
        }
    }
}
