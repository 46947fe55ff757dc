//! Operations in any order do what they do on a simple model.

use super::{SOON, input};
use arbitrary::Arbitrary;
use ringlane::mpmc::{self, Delivery};
use ringlane::session::Session;
use ringlane::spsc::{self, Layout};
use ringlane::{PopError, PushError, ReserveError, SessionError, call, record};
use std::collections::VecDeque;

#[derive(Arbitrary, Debug)]
enum Step {
    Push,
    Pop,
    /// Reserved, how much of it committed.
    Write(u8, u8),
    /// At most, how much of it released.
    Read(u8, u8),
    Bytes(u16),
    Abandon,
    Return,
    NewProducer,
    NewConsumer,
    Wait,
}

#[derive(Arbitrary, Debug)]
struct Input {
    kind: u8,
    log: u8,
    start: Start,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Start {
    Zero,
    Last(u8),
    Half(u8),
    Any(u64),
}

pub(crate) fn run(bytes: &[u8]) {
    let Some(Input { kind, log, start, steps }) = input(bytes) else { return };
    let start = match start {
        Start::Zero => 0,
        Start::Last(n) => u64::MAX - u64::from(n),
        Start::Half(n) => (1 << 32) - u64::from(n),
        Start::Any(n) => n,
    };
    let capacity = 1 << (log % 5);
    match kind % 8 {
        0 => values(Layout::Slots, capacity, start, &steps),
        1 => values(Layout::Dense, capacity, start, &steps),
        2 => records(true, start / 8 * 8, &steps),
        3 => records(false, start / 8 * 8, &steps),
        4 => calls(&steps),
        5 => many(Delivery::AtMostOnce, capacity, start, &steps),
        6 => many(Delivery::AtLeastOnce, capacity, start, &steps),
        _ => messages(&steps),
    }
}

fn values(layout: Layout, capacity: usize, start: u64, steps: &[Step]) {
    let mut options = spsc::Queue::<u64>::options();
    let queue = options.capacity(capacity).layout(layout).start(start).private().unwrap();
    let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    let mut model: VecDeque<u64> = VecDeque::new();
    let mut next = 0;
    for step in steps {
        match *step {
            Step::Push | Step::Bytes(_) => match producer.try_push(next) {
                Ok(()) => {
                    model.push_back(next);
                    next += 1;
                    assert!(model.len() <= capacity);
                }
                Err(error) => {
                    assert_eq!((error, model.len()), (PushError::Full(next), capacity));
                }
            },
            Step::Pop => assert_eq!(consumer.try_pop(), model.pop_front().ok_or(PopError::Empty)),
            Step::Write(count, kept) => {
                let (count, room) = (usize::from(count % 20), capacity - model.len());
                match producer.try_reserve(count) {
                    Ok(mut span) => {
                        assert!(span.len() == count && count <= room);
                        assert_eq!(span.fill(next..), count);
                        let kept = count.min(kept.into());
                        span.commit_len(kept);
                        model.extend(next..next + kept as u64);
                        next += kept as u64;
                    }
                    Err(ReserveError::TooLarge { len, max }) => {
                        assert!(len == count && max == capacity && count > capacity);
                    }
                    Err(error) => assert!(error == ReserveError::Full && count > room),
                }
            }
            Step::Read(most, released) => {
                let most = usize::from(most % 20);
                match consumer.try_read(most) {
                    Ok(span) => {
                        let there = model.iter().copied().take(most);
                        assert!(span.iter().eq(there), "other values");
                        let released = span.len().min(released.into());
                        span.release_len(released);
                        model.drain(..released);
                    }
                    Err(error) => {
                        assert!(error == PopError::Empty && (most == 0 || model.is_empty()));
                    }
                }
            }
            Step::Abandon => drop(producer.try_reserve(1)),
            Step::Return => drop(consumer.try_read(1)),
            Step::NewProducer => {
                drop(producer);
                producer = queue.producer().unwrap();
            }
            Step::NewConsumer => {
                drop(consumer);
                consumer = queue.consumer().unwrap();
            }
            Step::Wait => {
                let full = model.len() == capacity;
                assert!(!full || producer.push_timeout(next, SOON) == Err(PushError::Full(next)));
                assert!(!model.is_empty() || consumer.pop_timeout(SOON) == Err(PopError::Empty));
                assert_eq!(producer.flush(Some(SOON)).is_ok(), model.is_empty());
            }
        }
        assert_eq!((consumer.depth(), producer.vacant()), (model.len(), capacity - model.len()));
    }
}

fn bytes(len: usize, seed: u64) -> Vec<u8> {
    (0..len as u64).map(|n| (n * 31 + seed * 7) as u8).collect()
}

fn records(mirrored: bool, start: u64, steps: &[Step]) {
    let mut options = record::Queue::options();
    let queue = options.capacity(4096).mirrored(mirrored).start(start).private().unwrap();
    let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    let mut model: VecDeque<Vec<u8>> = VecDeque::new();
    // Of the first record: what was given back of it takes room until all is.
    let mut gone = 0;
    let max = queue.max_len();
    let full = |model: &VecDeque<Vec<u8>>, gone: usize, len: usize, error| {
        let first = model.front().map_or(0, Vec::len);
        let more = (first + gone).next_multiple_of(8) - first.next_multiple_of(8);
        let used: usize = model.iter().map(|record| 8 + record.len().next_multiple_of(8)).sum();
        let used = used + more;
        let need = 16 + len.next_multiple_of(8);
        match error {
            ReserveError::TooLarge { len: l, max: m } => assert!(l == len && m == max && len > max),
            ReserveError::Full if mirrored => assert!(used + need > 4096, "{used} and {need}"),
            // Padding counts, too: that to come, and that which is there. An empty ring takes any record.
            error => assert!(error == ReserveError::Full && !model.is_empty()),
        }
    };
    for (seed, step) in (0..).zip(steps) {
        match *step {
            Step::Push | Step::Bytes(_) => {
                let len = if let Step::Bytes(len) = *step { usize::from(len % 2100) } else { 24 };
                let record = bytes(len, seed);
                match producer.try_push(&record) {
                    Ok(()) => model.push_back(record),
                    Err(error) => full(&model, gone, len, error),
                }
            }
            Step::Pop => {
                assert_eq!(consumer.try_pop(), model.pop_front().ok_or(PopError::Empty));
                gone = 0;
            }
            Step::Write(len, kept) => {
                let mut batch = producer.batch();
                let mut staged = Vec::new();
                for index in 0..u64::from(kept % 4) {
                    let record = bytes(8 * usize::from(len), seed + index);
                    if batch.try_push(&record).is_ok() {
                        staged.push(record);
                    }
                }
                assert_eq!(batch.len(), staged.len());
                if kept >= 4 {
                    batch.commit();
                    model.extend(staged);
                }
            }
            // One at least, whatever is asked for.
            Step::Read(most, released) => match consumer.try_read_many((most % 8).into()) {
                Ok(records) => {
                    let there = model.iter().take((most % 8).max(1).into());
                    let got: Vec<Vec<u8>> = records.iter().map(|record| record.to_vec()).collect();
                    let there: Vec<Vec<u8>> = there.cloned().collect();
                    assert_eq!(got, there);
                    let released = records.len().min(released.into());
                    records.release_first(released);
                    model.drain(..released);
                    gone = if released > 0 { 0 } else { gone };
                }
                Err(error) => {
                    assert!(error == PopError::Empty && model.is_empty());
                }
            },
            Step::Abandon => {
                if let Ok(mut room) = producer.try_reserve(1000) {
                    // Like headers.
                    room.write_at(0, &[1; 1000]);
                }
            }
            Step::Return => match consumer.try_read() {
                Ok(record) if !record.is_empty() => {
                    record.release_bytes(1);
                    let rest = model.front_mut().unwrap();
                    rest.remove(0);
                    gone += 1;
                    if rest.is_empty() {
                        model.pop_front();
                        gone = 0;
                    }
                }
                Ok(record) => drop(record),
                Err(error) => assert!(error == PopError::Empty && model.is_empty()),
            },
            Step::NewProducer => {
                drop(producer);
                producer = queue.producer().unwrap();
            }
            Step::NewConsumer => {
                drop(consumer);
                consumer = queue.consumer().unwrap();
            }
            Step::Wait => {
                assert!(!model.is_empty() || consumer.pop_timeout(SOON) == Err(PopError::Empty));
                assert_eq!(producer.flush(Some(SOON)).is_ok(), model.is_empty());
            }
        }
        let front = consumer.try_peek(0).map(|record| record.to_vec());
        assert_eq!(front, model.front().cloned().ok_or(PopError::Empty));
    }
}

fn calls(steps: &[Step]) {
    let cell = call::Cell::<u64, [u64; 9]>::private().unwrap();
    let (mut caller, mut server) = (cell.caller().unwrap(), cell.server().unwrap());
    // The request under way and whether it is answered; whether its caller still wants it.
    let (mut request, mut answered, mut wanted) = (None, false, false);
    for (n, step) in (0..).zip(steps) {
        match *step {
            Step::Push | Step::Write(..) => {
                let started = caller.try_start(n);
                // A late answer that nobody wants makes room.
                let free = request.is_none() || answered && !wanted;
                assert_eq!(started.is_ok(), free, "{started:?}");
                if free {
                    (request, answered, wanted) = (Some(n), false, true);
                }
            }
            Step::Pop | Step::Read(..) => {
                let served = server.try_serve(|n| [n; 9]);
                let there = request.is_some() && !answered;
                assert_eq!(served.is_ok(), there, "{served:?}");
                answered |= there;
            }
            Step::Bytes(_) | Step::Wait => {
                let finished = caller.try_finish();
                if request.is_some() && answered && wanted {
                    assert_eq!(finished, Ok([request.unwrap(); 9]));
                    (request, answered, wanted) = (None, false, false);
                } else {
                    assert!(finished.is_err(), "{finished:?}");
                }
            }
            Step::Abandon => {
                caller.abandon();
                wanted = false;
            }
            Step::Return => {
                let received = server.try_recv().map(|request| *request.value());
                let there = request.filter(|_| !answered);
                assert_eq!(received.ok(), there);
            }
            Step::NewProducer => {
                drop(caller);
                caller = cell.caller().unwrap();
                wanted = false;
            }
            Step::NewConsumer => {
                drop(server);
                server = cell.server().unwrap();
            }
        }
    }
}

fn many(delivery: Delivery, capacity: usize, start: u64, steps: &[Step]) {
    let mut options = mpmc::Queue::<u64>::options();
    let queue = options.capacity(capacity).start(start).delivery(delivery).private().unwrap();
    let mut producers = [queue.producer().unwrap(), queue.producer().unwrap()];
    let mut consumers = [queue.consumer().unwrap(), queue.consumer().unwrap()];
    // `None` takes up a slot and is nothing; what came back is in front, marked.
    let mut model: VecDeque<Option<(u64, bool)>> = VecDeque::new();
    let mut next = 0;
    let skip = |model: &mut VecDeque<Option<(u64, bool)>>| {
        while model.front() == Some(&None) {
            model.pop_front();
        }
    };
    for (turn, step) in steps.iter().enumerate() {
        let (producer, consumer) = (&mut producers[turn % 2], &mut consumers[turn / 2 % 2]);
        let full = model.len() == capacity;
        // Gaps at the front need not have been passed.
        let room = |model: &mut VecDeque<_>, count| {
            if model.len() + count > capacity {
                skip(model);
            }
            assert!(model.len() + count <= capacity);
        };
        match *step {
            Step::Push => match producer.try_push(next) {
                Ok(()) => {
                    room(&mut model, 1);
                    model.push_back(Some((next, false)));
                    next += 1;
                }
                Err(error) => assert!(error == PushError::Full(next) && full),
            },
            Step::Bytes(0) => assert_eq!(producer.try_push_slice(&[]), Ok(0)),
            Step::Bytes(_) | Step::Write(..) => {
                let len = if let Step::Write(_, len) = *step { len } else { 7 };
                let values: Vec<u64> = (next..next + u64::from(len % 9) + 1).collect();
                match producer.try_push_slice(&values) {
                    Ok(count) => {
                        assert!(count >= 1 && count <= values.len());
                        room(&mut model, count);
                        model.extend(values[..count].iter().map(|value| Some((*value, false))));
                        next += count as u64;
                    }
                    Err(error) => assert!(error == PushError::Full(()) && full),
                }
            }
            Step::Abandon => match producer.try_reserve() {
                Ok(slot) => {
                    drop(slot);
                    room(&mut model, 1);
                    model.push_back(None);
                }
                Err(error) => assert!(error.is_full() && full),
            },
            Step::Pop => {
                skip(&mut model);
                let popped = model.pop_front().flatten().map(|(value, _)| value);
                assert_eq!(consumer.try_pop(), popped.ok_or(PopError::Empty));
            }
            Step::Read(most, _) => {
                let mut out = vec![0; usize::from(most % 20)];
                if !out.is_empty() {
                    skip(&mut model);
                }
                match consumer.try_pop_slice(&mut out) {
                    Ok(count) => {
                        assert!(count <= out.len() && (count > 0) != out.is_empty());
                        for value in &out[..count] {
                            let wanted = model.pop_front().flatten();
                            assert_eq!(Some(*value), wanted.map(|(value, _)| value));
                        }
                    }
                    Err(error) => assert!(error == PopError::Empty && model.is_empty()),
                }
            }
            Step::Return => {
                skip(&mut model);
                let wanted = model.pop_front().flatten();
                match consumer.try_take() {
                    Ok(taken) => {
                        assert_eq!(Some((*taken, taken.is_again())), wanted);
                        drop(taken);
                        if delivery == Delivery::AtLeastOnce {
                            model.push_front(wanted.map(|(value, _)| (value, true)));
                        }
                    }
                    Err(error) => assert_eq!((error, wanted), (PopError::Empty, None)),
                }
            }
            Step::NewProducer => *producer = queue.producer().unwrap(),
            Step::NewConsumer => *consumer = queue.consumer().unwrap(),
            Step::Wait => {
                let empty = model.iter().flatten().next().is_none();
                assert!(!empty || consumer.pop_timeout(SOON) == Err(PopError::Empty));
                if empty {
                    skip(&mut model);
                }
            }
        }
        assert_eq!(consumers[0].available(), model.iter().flatten().count());
    }
}

fn messages(steps: &[Step]) {
    let (one, other) = Session::pair(4096).unwrap();
    // What is under way: how long each message was, which is the room that it takes until all of it is read, and what of
    // it has not been read.
    let mut ways: [VecDeque<(usize, Vec<u8>)>; 2] = Default::default();
    let full = |way: &VecDeque<(usize, Vec<u8>)>, len: usize| {
        let used: usize = way.iter().map(|(whole, _)| 8 + whole.next_multiple_of(8)).sum();
        used + 4096 / 8 + 2 * (16 + len.next_multiple_of(8)) > 4096
    };
    for (seed, step) in (0..).zip(steps) {
        let (from, to, way) = match seed % 2 {
            0 => (&one, &other, &mut ways[0]),
            _ => (&other, &one, &mut ways[1]),
        };
        match *step {
            Step::Push | Step::Write(..) | Step::Abandon => {
                let len = if let Step::Write(len, _) = *step { 8 * usize::from(len) } else { 9 };
                let message = bytes(len, seed);
                match from.try_send(&message) {
                    Ok(()) => way.push_back((message.len(), message)),
                    Err(SessionError::TooLarge { len: l, max }) => assert!(l == len && l > max),
                    Err(error) => assert!(error == SessionError::WouldBlock && full(way, len)),
                }
            }
            Step::Bytes(len) => {
                let all = bytes(usize::from(len % 5000), seed);
                match from.try_write(&all) {
                    Ok(0) => assert!(all.is_empty()),
                    Ok(count) => way.push_back((count, all[..count].to_vec())),
                    Err(error) => assert!(error == SessionError::WouldBlock && full(way, 1)),
                }
            }
            Step::Pop | Step::Return => match to.try_recv() {
                Ok(message) => assert_eq!(Some(message), way.pop_front().map(|(_, rest)| rest)),
                Err(error) => assert!(error == SessionError::WouldBlock && way.is_empty()),
            },
            Step::Read(len, _) => {
                let mut out = vec![0; len.into()];
                match to.try_read(&mut out) {
                    Ok(count) => {
                        let mut there = Vec::new();
                        while there.len() < count {
                            let (_, message) = way.front_mut().expect("as much was written");
                            let rest = message.split_off(message.len().min(count - there.len()));
                            there.append(message);
                            *message = rest;
                            if message.is_empty() {
                                way.pop_front();
                            }
                        }
                        assert_eq!(out[..count], there);
                    }
                    Err(error) => {
                        assert_eq!(error, SessionError::WouldBlock);
                        assert!(way.iter().all(|(_, rest)| rest.is_empty()));
                        way.clear();
                    }
                }
            }
            Step::NewProducer | Step::NewConsumer => {
                let copy = one.clone();
                assert_eq!((copy.ref_count(), one.peer()), (2, ringlane::Peer::Alive));
            }
            Step::Wait => {
                assert!(!way.is_empty() || from.flush_timeout(SOON).is_ok());
                let there = way.is_empty() || to.wait_readable(Some(SOON)).is_ok();
                assert!(there);
            }
        }
    }
}
