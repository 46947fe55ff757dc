//! Records: lengths, wrapping, in place and copied, both ends coming and going.
#![allow(unsafe_code, reason = "writes and reads records in place")]

mod common;

// What capacities are made of.
use common::page;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use ringlane::record::{Consumer, Producer, Queue};
use ringlane::{PopError, ReserveError, Wait};
use std::collections::VecDeque;
use std::io::{BufRead, ErrorKind, Read, Write};
use std::time::Duration;

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    /// Reserved, how much of it committed.
    Commit(usize, usize),
    Abort(usize),
    /// Lengths, and whether it is committed.
    Batch(Vec<usize>, bool),
    Pop,
    Read,
    Peek(usize),
    /// How many at most, how many of them released.
    ReadMany(usize, usize),
    /// How many bytes released of one record.
    Part(usize),
    StreamWrite(usize),
    StreamRead(usize),
    /// How many bytes consumed of those that there are.
    StreamConsume(usize),
    NewProducer,
    NewConsumer,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let lengths = prop::collection::vec(prop_oneof![0_usize..100, 0_usize..1500], 0..12);
    let step = prop_oneof![
        8 => (0_usize..3000).prop_map(Step::Push),
        4 => (0_usize..2500, 0_usize..2500).prop_map(|(a, b)| Step::Commit(a.max(b), a.min(b))),
        1 => (0_usize..2000).prop_map(Step::Abort),
        5 => (lengths, prop::bool::weighted(0.8)).prop_map(|(lengths, yes)| Step::Batch(lengths, yes)),
        8 => Just(Step::Pop),
        1 => Just(Step::Read),
        3 => (0_usize..10).prop_map(Step::Peek),
        5 => (0_usize..12, 0_usize..12).prop_map(|(max, count)| Step::ReadMany(max, count)),
        4 => (0_usize..1500).prop_map(Step::Part),
        3 => (0_usize..1500).prop_map(Step::StreamWrite),
        3 => (0_usize..1500).prop_map(Step::StreamRead),
        3 => (0_usize..1500).prop_map(Step::StreamConsume),
        2 => Just(Step::NewProducer),
        2 => Just(Step::NewConsumer),
    ];
    prop::collection::vec(step, 1..200)
}

fn bytes(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + seed * 7) as u8).collect()
}

/// A queue, both of its ends, and what must be in it.
struct Bench {
    queue: Queue,
    producer: Option<Producer>,
    consumer: Option<Consumer>,
    mirrored: bool,
    align: usize,
    /// What is left of each record, and how long it was.
    model: VecDeque<(Vec<u8>, usize)>,
}

impl Bench {
    fn new(capacity: usize, mirrored: bool, align: usize, start: u64) -> Bench {
        let mut options = Queue::options();
        options.capacity(capacity).align(align).mirrored(mirrored).start(start);
        let queue = options.private().unwrap();
        assert_eq!(queue.capacity(), capacity);
        assert!(queue.max_len() >= capacity / 2 - 2 * align);
        let (producer, consumer) = (queue.producer().ok(), queue.consumer().ok());
        Bench { queue, producer, consumer, mirrored, align, model: VecDeque::new() }
    }

    fn footprint(&self, len: usize) -> usize {
        self.align + len.next_multiple_of(self.align)
    }

    /// Whether there must be room for a record behind what is there and these, which are staged.
    fn surely_fits(&self, staged: &[usize], len: usize) -> bool {
        let lengths = self.model.iter().map(|(_, len)| len).chain(staged);
        let used: usize = lengths.map(|len| self.footprint(*len)).sum();
        // With padding, up to a whole record's room may be lost at the end.
        let need = match self.mirrored {
            true => self.footprint(len) + self.align,
            false => 3 * self.footprint(self.queue.max_len()),
        };
        used + need <= self.queue.capacity()
    }

    fn refused(&self, staged: &[usize], len: usize, error: ReserveError) -> TestCaseResult {
        let max = self.queue.max_len();
        match error {
            ReserveError::Full => prop_assert!(!self.surely_fits(staged, len)),
            ReserveError::TooLarge { len: l, max: m } => {
                prop_assert_eq!(l, len);
                let used: usize = staged.iter().map(|len| self.footprint(*len)).sum();
                let left = self.queue.capacity() - used;
                match staged {
                    [] => prop_assert!(len > max && m == max),
                    _ if len > max => prop_assert_eq!(m, max),
                    _ if self.mirrored => {
                        prop_assert!(self.footprint(len) + self.align > left);
                        prop_assert!(m == 0 || self.footprint(m) + self.align <= left);
                    }
                    _ => prop_assert!(3 * self.footprint(max) > left),
                }
            }
            other => prop_assert!(false, "{other:?}"),
        }
        Ok(())
    }

    fn add(&mut self, record: Vec<u8>) {
        let len = record.len();
        self.model.push_back((record, len));
    }

    /// The first record, or why there is none.
    fn front(&self) -> Result<Vec<u8>, PopError> {
        self.model.front().map(|(rest, _)| rest.clone()).ok_or(PopError::Empty)
    }

    /// Takes bytes off the first record.
    fn take(&mut self, len: usize) {
        let rest = &mut self.model.front_mut().expect("a record").0;
        rest.drain(..len);
        if rest.is_empty() {
            self.model.pop_front();
        }
    }

    fn produce(&mut self, seed: usize, step: Step) -> TestCaseResult {
        let mut producer = self.producer.take().unwrap();
        match step {
            Step::Push(len) => {
                let record = bytes(len, seed);
                match producer.try_push(&record) {
                    Ok(()) => self.add(record),
                    Err(error) => self.refused(&[], len, error)?,
                }
            }
            Step::Commit(len, part) => match producer.try_reserve(len) {
                Ok(mut room) => {
                    let record = bytes(part, seed);
                    room.write_at(0, &record[..part / 2]);
                    room.write_at(part / 2, &record[part / 2..]);
                    room.commit_len(part);
                    self.add(record);
                }
                Err(error) => self.refused(&[], len, error)?,
            },
            Step::Abort(len) => {
                if let Ok(mut room) = producer.try_reserve(len) {
                    // It looks like headers, and must not be taken for any.
                    // SAFETY: the ring is private to this process.
                    unsafe { room.as_mut_slice() }.fill(1);
                }
            }
            Step::Batch(lengths, commit) => {
                let mut batch = producer.batch();
                let mut staged = vec![];
                for len in lengths {
                    match batch.try_push(&bytes(len, seed + staged.len())) {
                        Ok(()) => staged.push(len),
                        Err(error) => self.refused(&staged, len, error)?,
                    }
                    prop_assert_eq!(batch.len(), staged.len());
                    let found = self.consumer.as_mut().unwrap().try_peek(self.model.len());
                    prop_assert_eq!(found.unwrap_err(), PopError::Empty);
                }
                if commit {
                    batch.commit();
                    for (index, len) in staged.into_iter().enumerate() {
                        self.add(bytes(len, seed + index));
                    }
                }
            }
            Step::StreamWrite(len) => {
                let mut stream = producer.into_stream();
                stream.set_timeout(Some(Duration::ZERO));
                let record = bytes(len, seed);
                match stream.write(&record) {
                    Ok(0) => prop_assert_eq!(len, 0),
                    Ok(written) => self.add(record[..written].to_vec()),
                    Err(error) => {
                        prop_assert_eq!(error.kind(), ErrorKind::TimedOut);
                        let len = len.min(self.queue.capacity() / 8);
                        prop_assert!(!self.surely_fits(&[], len));
                    }
                }
                producer = stream.into_inner();
            }
            _ => {
                drop(producer);
                producer = self.queue.producer().unwrap();
            }
        }
        self.producer = Some(producer);
        Ok(())
    }

    fn consume(&mut self, step: Step) -> TestCaseResult {
        let mut consumer = self.consumer.take().unwrap();
        match step {
            Step::Pop => {
                prop_assert_eq!(consumer.try_pop(), self.front());
                self.model.pop_front();
            }
            Step::Read => {
                let whole = self.model.front().is_none_or(|(rest, len)| rest.len() == *len);
                let read = consumer.try_read().map(|record| {
                    // SAFETY: the ring is private to this process.
                    let bytes = unsafe { record.as_slice() };
                    assert!(!whole || bytes.as_ptr().addr() % self.align == 0);
                    bytes.to_vec()
                });
                prop_assert_eq!(read, self.front());
            }
            Step::Peek(n) => {
                let seen = consumer.try_peek(n).map(|view| view.to_vec());
                let wanted = self.model.get(n).map(|(rest, _)| rest.clone());
                prop_assert_eq!(seen, wanted.ok_or(PopError::Empty));
            }
            Step::ReadMany(max, count) => match consumer.try_read_many(max) {
                Ok(records) => {
                    prop_assert_eq!(records.len(), self.model.len().min(max.max(1)));
                    for (record, (wanted, _)) in records.iter().zip(&self.model) {
                        prop_assert_eq!(&record.to_vec(), wanted);
                    }
                    let count = count.min(records.len());
                    match count == records.len() {
                        true => records.release(),
                        false => records.release_first(count),
                    }
                    self.model.drain(..count);
                }
                Err(error) => prop_assert_eq!(Err(error), self.front()),
            },
            Step::Part(len) => match consumer.try_read() {
                Ok(record) => {
                    let len = len.min(record.len());
                    record.release_bytes(len);
                    self.take(len);
                }
                Err(error) => prop_assert_eq!(Err(error), self.front()),
            },
            Step::StreamRead(_) | Step::StreamConsume(_) => {
                let mut stream = consumer.into_stream();
                stream.set_timeout(Some(Duration::ZERO));
                let mut got = vec![];
                let outcome = match step {
                    Step::StreamRead(0) => stream.read(&mut []),
                    Step::StreamRead(len) => {
                        got.resize(len, 0);
                        stream.read(&mut got)
                    }
                    Step::StreamConsume(len) => stream.fill_buf().map(|there| {
                        got.extend(there);
                        len.min(there.len())
                    }),
                    _ => unreachable!("a stream's steps"),
                };
                if !matches!(step, Step::StreamRead(0)) {
                    while self.model.front().is_some_and(|(rest, _)| rest.is_empty()) {
                        self.model.pop_front();
                    }
                }
                match outcome {
                    Ok(len) => {
                        if let Step::StreamConsume(_) = step {
                            prop_assert_eq!(&got, &self.front().unwrap());
                            stream.consume(len);
                        } else {
                            let wanted = self.front().unwrap_or_default();
                            prop_assert_eq!(&got[..len], &wanted[..got.len().min(wanted.len())]);
                        }
                        if len > 0 {
                            self.take(len);
                        }
                    }
                    Err(error) => {
                        prop_assert_eq!(error.kind(), ErrorKind::TimedOut);
                        prop_assert!(self.model.is_empty());
                    }
                }
                consumer = stream.into_inner();
            }
            _ => {
                drop(consumer);
                consumer = self.queue.consumer().unwrap();
            }
        }
        self.consumer = Some(consumer);
        Ok(())
    }
}

/// Whatever mix of operations does what a `VecDeque` of byte vectors does; what is refused as full is refused
/// for want of room.
fn behaves(mut bench: Bench, steps: Vec<Step>) -> TestCaseResult {
    for (seed, step) in steps.into_iter().enumerate() {
        match step {
            Step::Push(_)
            | Step::Commit(..)
            | Step::Abort(_)
            | Step::Batch(..)
            | Step::StreamWrite(_)
            | Step::NewProducer => bench.produce(seed, step)?,
            _ => bench.consume(step)?,
        }
    }
    let mut consumer = bench.consumer.take().unwrap();
    let rest: Vec<_> = std::iter::from_fn(|| consumer.try_pop().ok()).collect();
    prop_assert_eq!(rest, bench.model.into_iter().map(|(rest, _)| rest).collect::<Vec<_>>());
    Ok(())
}

/// Positions near the limits of their number, and anywhere.
fn starts() -> impl Strategy<Value = u64> {
    let near = |limit: u64| (0_u64..200).prop_map(move |n| limit.wrapping_sub(64 * n));
    prop_oneof![Just(0), near(1 << 32), near(0), (0_u64..1 << 50).prop_map(|n| n * 64)]
}

proptest! {
    #[test]
    fn it_is_a_bounded_deque_of_records(
        steps in steps(),
        capacity in prop_oneof![Just(page()), Just(2 * page())],
        mirrored in any::<bool>(),
        align in prop_oneof![Just(8_usize), Just(64)],
        start in starts(),
    ) {
        behaves(Bench::new(capacity, mirrored, align, start), steps)?;
    }

    /// Where the capacity is no power of two, so that offsets are no bits of a position.
    #[test]
    fn it_is_one_at_an_odd_capacity_too(
        steps in steps(),
        mirrored in any::<bool>(),
        align in prop_oneof![Just(8_usize), Just(64)],
        start in (0_u64..400).prop_map(|n| (1 << 32) - 64 * n),
    ) {
        behaves(Bench::new(3 * page(), mirrored, align, start), steps)?;
    }
}

#[test]
fn random_records_between_threads_that_sleep() {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    for (mirrored, seed) in [(true, 1), (false, 2)] {
        let queue = Queue::options().capacity(1 << 14).mirrored(mirrored).private().unwrap();
        let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        producer.set_wait(Wait::Park);
        let max = queue.max_len();
        let lengths = move || {
            let mut random = StdRng::seed_from_u64(seed);
            (0..20_000).map(move |_| match random.random_range(0..10) {
                0 => random.random_range(0..=max),
                _ => random.random_range(0..200),
            })
        };
        let thread = std::thread::spawn(move || {
            for (n, len) in lengths().enumerate() {
                producer.push(&bytes(len, n)).unwrap();
            }
        });
        for (n, len) in lengths().enumerate() {
            assert!(consumer.pop().unwrap() == bytes(len, n), "record {n} of {len} bytes");
        }
        thread.join().unwrap();
        assert_eq!(consumer.pop(), Err(PopError::Closed));
    }
}

#[test]
fn the_longest_record_fits_wherever_it_falls() {
    for mirrored in [true, false] {
        for align in [8, 64] {
            let queue =
                Queue::options().capacity(4096).align(align).mirrored(mirrored).private().unwrap();
            let (mut producer, mut consumer) =
                (queue.producer().unwrap(), queue.consumer().unwrap());
            let longest = bytes(queue.max_len(), 3);
            for step in 0..300 {
                producer.try_push(&longest).unwrap();
                assert_eq!(consumer.try_pop().unwrap(), longest);
                let small = bytes(step % 100, step);
                producer.try_push(&small).unwrap();
                assert_eq!(consumer.try_pop().unwrap(), small);
            }
        }
    }
}

/// Wherever in the ring they begin, padding included.
#[test]
fn a_ring_that_is_to_hold_so_many_records_always_does() {
    for (count, len, align) in
        [(1, 5000, 8), (2, 8176, 8), (2, 12_224, 64), (3, 10_000, 8), (7, 100, 64)]
    {
        for mirrored in [true, false] {
            let mut options = Queue::options();
            let queue =
                options.align(align).holding(count, len).mirrored(mirrored).private().unwrap();
            let (mut producer, mut consumer) =
                (queue.producer().unwrap(), queue.consumer().unwrap());
            (0..count).for_each(|n| producer.try_push(&bytes(len, n)).unwrap());
            for n in 0..300 {
                assert!(consumer.try_pop().unwrap() == bytes(len, n));
                let pushed = producer.try_push(&bytes(len, n + count));
                assert_eq!(pushed, Ok(()), "{count} of {len}, mirrored {mirrored}, {n}");
            }
        }
    }
}

#[test]
fn a_size_that_cannot_be_is_refused() {
    let refused =
        |options: &mut ringlane::record::Options| options.private().unwrap_err().to_string();
    assert_eq!(refused(Queue::options().capacity(0)), "create a private ring: a ring of 0 bytes");
    assert!(refused(Queue::options().capacity(usize::MAX)).contains("more than any memory"));
    assert!(refused(Queue::options().holding(usize::MAX, 2)).contains("more than any memory"));
    assert!(refused(Queue::options().align(16)).contains("records aligned to 16 bytes"));
}

/// A producer leaves its position in the segment behind by up to 64 records, which is laps of a small ring.
#[test]
fn a_successor_finds_its_place_however_often_the_ring_has_gone_round() {
    let name = ringlane::Name::new(&format!("ringlane-test-{}-laps", std::process::id())).unwrap();
    for mirrored in [true, false] {
        for len in [0, 8, 248, 1000] {
            for pushed in (0..200_u64).step_by(13) {
                let queue =
                    Queue::options().capacity(4096).mirrored(mirrored).create(&name).unwrap();
                let mut consumer = queue.consumer().unwrap();
                let mut producer = queue.producer().unwrap();
                for n in 0..pushed {
                    producer.try_push(&bytes(len, n as usize)).unwrap();
                    // Two stay in the ring.
                    if n >= 2 {
                        assert!(consumer.try_pop().unwrap() == bytes(len, n as usize - 2));
                    }
                }
                let report = ringlane::inspect::report(&name).unwrap();
                assert_eq!((report.pushed, report.depth), (pushed, pushed.min(2)));
                assert_eq!(report.used as usize, consumer.available().unwrap());
                drop(producer);
                let mut producer = queue.producer().unwrap();
                producer.try_push(b"next").unwrap();
                assert_eq!(ringlane::inspect::report(&name).unwrap().pushed, pushed + 1);
                for n in pushed.saturating_sub(2)..pushed {
                    assert!(consumer.try_pop().unwrap() == bytes(len, n as usize));
                }
                assert_eq!(consumer.try_pop().unwrap(), b"next");
            }
        }
    }
}

/// More than a producer's copy of its position is behind otherwise.
#[test]
fn a_successor_follows_a_batch_of_any_length() {
    for mirrored in [true, false] {
        let queue = Queue::options().capacity(1 << 16).mirrored(mirrored).private().unwrap();
        let mut consumer = queue.consumer().unwrap();
        for count in [1, 63, 64, 65, 1000] {
            let mut producer = queue.producer().unwrap();
            let mut batch = producer.batch();
            for n in 0..count {
                batch.try_push(&bytes(16, n)).unwrap();
            }
            batch.commit();
            drop(producer);
            queue.producer().unwrap().try_push(b"next").unwrap();
            let records = consumer.try_read_many(usize::MAX).unwrap();
            assert_eq!(records.len(), count + 1);
            assert!((0..count).all(|n| records.get(n).unwrap().to_vec() == bytes(16, n)));
            assert_eq!(records.get(count).unwrap().to_vec(), b"next");
            records.release();
        }
    }
}

#[test]
fn a_batch_waits_for_room_and_says_when_there_can_be_none() {
    // Where the ring is larger than asked for, what is too much is filled first.
    let more = (page() - 4096) / 2048;
    let queue = Queue::private(page()).unwrap();
    let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    producer.push(&[1; 1000]).unwrap();
    let thread = std::thread::spawn(move || {
        let mut batch = producer.batch();
        batch.push(&[2; 2000]).unwrap();
        (0..more).for_each(|_| batch.push(&[6; 2040]).unwrap());
        batch.push(&[3; 1500]).unwrap();
        let error = batch.push(&[4; 1000]).unwrap_err();
        let left = 4096 - (8 + 2000) - (8 + 1504) - 8 - 8;
        assert_eq!(error, ReserveError::TooLarge { len: 1000, max: left });
        batch.push(&vec![5; left]).unwrap();
        let error = batch.push(b"").unwrap_err();
        assert_eq!(error, ReserveError::TooLarge { len: 0, max: 0 });
        batch.commit();
        left
    });
    assert_eq!(consumer.pop().unwrap(), [1; 1000]);
    assert_eq!(consumer.pop().unwrap(), [2; 2000]);
    (0..more).for_each(|_| assert_eq!(consumer.pop().unwrap(), [6; 2040]));
    assert_eq!(consumer.pop().unwrap(), [3; 1500]);
    let left = thread.join().unwrap();
    assert_eq!(consumer.pop().unwrap(), vec![5; left]);
    assert_eq!(consumer.pop(), Err(PopError::Closed));
}

#[test]
fn a_stream_carries_any_bytes_in_any_pieces() {
    use rand::rngs::StdRng;
    use rand::{Rng, RngExt, SeedableRng};
    let mut data = vec![0; 3_000_000];
    StdRng::seed_from_u64(1).fill_bytes(&mut data);
    for mirrored in [true, false] {
        let queue = Queue::options().capacity(1 << 14).mirrored(mirrored).private().unwrap();
        let mut writer = queue.producer().unwrap().into_stream();
        let mut reader = queue.consumer().unwrap().into_stream();
        let sent = data.clone();
        let thread = std::thread::spawn(move || {
            let mut random = StdRng::seed_from_u64(2);
            let mut rest = &sent[..];
            while !rest.is_empty() {
                let len = random.random_range(1..20_000_usize).min(rest.len());
                writer.write_all(&rest[..len]).unwrap();
                writer.flush().unwrap();
                rest = &rest[len..];
            }
        });
        let mut random = StdRng::seed_from_u64(3);
        let mut got = vec![];
        loop {
            let len = random.random_range(1..10_000_usize);
            let before = got.len();
            if random.random() {
                let there = reader.fill_buf().unwrap();
                got.extend(&there[..len.min(there.len())]);
                let taken = got.len() - before;
                reader.consume(taken);
            } else {
                got.resize(before + len, 0);
                let taken = reader.read(&mut got[before..]).unwrap();
                got.truncate(before + taken);
            }
            if got.len() == before {
                break;
            }
        }
        assert!(got == data);
        thread.join().unwrap();
    }
}

#[test]
fn a_stream_says_what_became_of_the_other_side() {
    let queue = Queue::private(4096).unwrap();
    let mut writer = queue.producer().unwrap().into_stream();
    drop(queue.consumer().unwrap());
    assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(writer.write(b"").unwrap(), 0);

    let mut reader = queue.consumer().unwrap().into_stream();
    writer.write_all(b"the end").unwrap();
    drop(writer);
    let mut text = String::new();
    assert_eq!(reader.read_to_string(&mut text).unwrap(), 7);
    assert_eq!((text.as_str(), reader.read(&mut [0]).unwrap()), ("the end", 0));
    assert!(reader.fill_buf().unwrap().is_empty());
}

/// Nothing but empty records could keep a reader busy for ever.
#[test]
fn a_stream_passes_over_any_number_of_empty_records() {
    let queue = Queue::private(4096).unwrap();
    let (mut producer, consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    let mut reader = consumer.into_stream();
    for count in [64, 65, 400] {
        for _ in 0..count {
            producer.try_push(b"").unwrap();
        }
        producer.try_push(b"x").unwrap();
        assert_eq!(reader.read(&mut [0; 2]).unwrap(), 1);
    }
    // They are nothing to be read: what is waited for is a byte, or the time, or the end.
    for _ in 0..100 {
        producer.try_push(b"").unwrap();
    }
    reader.set_timeout(Some(Duration::from_millis(1)));
    assert_eq!(reader.read(&mut [0; 2]).unwrap_err().kind(), ErrorKind::TimedOut);
    producer.try_push(b"").unwrap();
    drop(producer);
    reader.set_timeout(None);
    assert_eq!(reader.read(&mut [0; 2]).unwrap(), 0);
}

#[test]
fn huge_pages_are_asked_for_and_counted() {
    for mirrored in [true, false] {
        let mut options = Queue::options();
        options.holding(2, 3_000_000).align(64).mirrored(mirrored).huge_pages(true);
        let queue = options.private().unwrap();
        assert_eq!(queue.max_len(), options.max_len().unwrap());
        let granted = queue.granted();
        if granted.huge_page_bytes == 0 {
            println!("SKIPPED: this kernel has no huge page to give, or none now");
        }
        let times = if mirrored { 2 } else { 1 };
        assert!(granted.huge_page_bytes <= times * queue.capacity() + 8192, "{granted:?}");
        let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        for n in 0..5 {
            let record = bytes(3_000_000, n);
            producer.push(&record).unwrap();
            assert!(consumer.pop().unwrap() == record);
        }
    }
}
