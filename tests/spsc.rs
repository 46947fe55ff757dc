//! Values: order, limits, both ends coming and going.
#![allow(unsafe_code, reason = "borrows the places of values")]

use bytemuck::{Pod, Zeroable};
use proptest::prelude::*;
use ringlane::spsc::{Consumer, Layout, Producer, Queue, Reserve, Span};
use ringlane::{ErrorKind, Name, Peer, PopError, PushError, ReserveError, Wait};
use std::collections::VecDeque;
use std::fmt::Debug;
use std::time::Duration;

fn name(test: &str) -> Name {
    Name::new(&format!("ringlane-test-{}-{test}", std::process::id())).unwrap()
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
struct Odd {
    bytes: [u8; 13],
}

/// Values of every size class go through whole: below a word, odd, a line, more than a line, copied by
/// the string instruction.
#[test]
fn values_of_every_size_are_whole() {
    fn through<T: ringlane::Plain + PartialEq + std::fmt::Debug>(values: &[T]) {
        let queue = Queue::<T>::private(4).unwrap();
        let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        for value in values.iter().chain(values).chain(values) {
            producer.push(*value).unwrap();
            assert_eq!(consumer.pop().unwrap(), *value);
        }
    }
    through(&[1_u8, 2, 255]);
    through(&[0x1234_u16, 0xffff]);
    through(&[u32::MAX, 7]);
    through(&[f64::MIN, 0.5]);
    through(&[u128::MAX, 1 << 70]);
    through(&[Odd { bytes: [1; 13] }, Odd { bytes: *b"thirteen byte" }]);
    through(&[[7_u64; 7], [8; 7]]);
    through(&[[7_u64; 8], [u64::MAX; 8]]);
    through(&[[3_u8; 255], [4; 255]]);
    through(&[[3_u8; 257], std::array::from_fn(|i| i as u8)]);
    through(&[[9_u64; 512], std::array::from_fn(|i| i as u64)]);
    through(&[(), ()].map(|()| [0_u8; 0]));
}

#[derive(Clone, Copy, Debug)]
enum Write {
    Fill,
    /// One by one, from the last to the first.
    Set,
    Copy,
    /// By the places themselves, if the layout lends them.
    Slices,
}

#[derive(Clone, Copy, Debug)]
enum Read {
    Iter,
    Get,
    Copy,
    Slices,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Push,
    Pop,
    TryIter(usize),
    /// So many of the reserved values are committed; none: the room is dropped.
    Reserve(usize, Write, Option<usize>),
    /// So many of the read values are released; none: the span is dropped.
    Read(usize, Read, Option<usize>),
    NewProducer,
    NewConsumer,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write =
        prop_oneof![Just(Write::Fill), Just(Write::Set), Just(Write::Copy), Just(Write::Slices)];
    let read = prop_oneof![Just(Read::Iter), Just(Read::Get), Just(Read::Copy), Just(Read::Slices)];
    let most = || prop_oneof![8 => 0_usize..20, 1 => Just(usize::MAX)];
    let kept = || prop_oneof![1 => Just(None), 4 => Just(Some(usize::MAX)), 2 => (0_usize..20).prop_map(Some)];
    let step = prop_oneof![
        8 => Just(Step::Push),
        8 => Just(Step::Pop),
        2 => (0_usize..5).prop_map(Step::TryIter),
        8 => (most(), write, kept()).prop_map(|(count, how, kept)| Step::Reserve(count, how, kept)),
        8 => (most(), read, kept()).prop_map(|(most, how, kept)| Step::Read(most, how, kept)),
        1 => Just(Step::NewProducer),
        1 => Just(Step::NewConsumer),
    ];
    prop::collection::vec(step, 1..150)
}

/// A value of which each byte follows from the number and the byte's place.
fn value<T: Pod>(number: u64) -> T {
    let mut value = T::zeroed();
    let hash = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for (at, byte) in bytemuck::bytes_of_mut(&mut value).iter_mut().enumerate() {
        *byte = (hash.rotate_left(at as u32) as u8).wrapping_add(at as u8);
    }
    value
}

/// Values from a number on.
fn values<T: Pod>(from: u64) -> impl Iterator<Item = T> {
    (from..).map(value)
}

/// A queue, and the numbers of the values that are in it.
struct Tested<T> {
    queue: Queue<T>,
    ends: Option<(Producer<T>, Consumer<T>)>,
    model: VecDeque<u64>,
    next: u64,
}

type Tries = Result<(), TestCaseError>;

impl<T: Pod + Send + PartialEq + Debug> Tested<T> {
    fn new(layout: Layout, capacity: usize, start: u64) -> Self {
        let mut options = Queue::<T>::options();
        let queue = options.capacity(capacity).layout(layout).start(start).private().unwrap();
        let ends = Some((queue.producer().unwrap(), queue.consumer().unwrap()));
        Tested { queue, ends, model: VecDeque::new(), next: 0 }
    }

    fn go(&mut self, step: Step) -> Tries {
        let (p, c) = self.ends.as_mut().unwrap();
        match step {
            Step::Push => {
                let pushed = p.try_push(value(self.next));
                if self.model.len() < self.queue.capacity() {
                    prop_assert_eq!(pushed, Ok(()));
                    self.model.push_back(self.next);
                    self.next += 1;
                } else {
                    prop_assert_eq!(pushed, Err(PushError::Full(value(self.next))));
                }
            }
            Step::Pop => {
                let expected = self.model.pop_front().map(value).ok_or(PopError::Empty);
                prop_assert_eq!(c.try_pop(), expected);
            }
            Step::TryIter(most) => {
                let taken: Vec<T> = c.try_iter().take(most).collect();
                let expected = self.model.drain(..most.min(self.model.len())).map(value);
                prop_assert_eq!(taken, expected.collect::<Vec<T>>());
            }
            Step::Reserve(count, how, kept) => self.write(count, how, kept)?,
            Step::Read(most, how, kept) => self.read(most, how, kept)?,
            Step::NewProducer => {
                let (producer, consumer) = self.ends.take().unwrap();
                drop(producer);
                self.ends = Some((self.queue.producer().unwrap(), consumer));
            }
            Step::NewConsumer => {
                let (producer, consumer) = self.ends.take().unwrap();
                drop(consumer);
                self.ends = Some((producer, self.queue.consumer().unwrap()));
            }
        }
        let (p, c) = self.ends.as_mut().unwrap();
        prop_assert_eq!(c.depth(), self.model.len());
        prop_assert_eq!(p.vacant(), self.queue.capacity() - self.model.len());
        Ok(())
    }

    fn write(&mut self, count: usize, how: Write, kept: Option<usize>) -> Tries {
        let (p, _) = self.ends.as_mut().unwrap();
        let max = p.capacity();
        let room = match p.try_reserve(count) {
            Ok(room) => room,
            Err(error) if count > max => {
                prop_assert_eq!(error, ReserveError::TooLarge { len: count, max });
                return Ok(());
            }
            Err(error) => {
                prop_assert_eq!(error, ReserveError::Full);
                prop_assert!(self.model.len() + count > max);
                return Ok(());
            }
        };
        prop_assert!(self.model.len() + count <= max);
        prop_assert_eq!((room.len(), room.is_empty()), (count, count == 0));
        put(room, self.next, how, kept);
        for _ in 0..kept.unwrap_or(0).min(count) {
            self.model.push_back(self.next);
            self.next += 1;
        }
        Ok(())
    }

    fn read(&mut self, most: usize, how: Read, kept: Option<usize>) -> Tries {
        let (_, c) = self.ends.as_mut().unwrap();
        let span = match c.try_read(most) {
            Ok(span) => span,
            Err(error) => {
                prop_assert!(self.model.is_empty() && most > 0);
                prop_assert_eq!(error, PopError::Empty);
                return Ok(());
            }
        };
        let count = most.min(self.model.len());
        prop_assert!(count > 0 || most == 0);
        prop_assert_eq!((span.len(), span.is_empty()), (count, count == 0));
        let expected: Vec<T> = self.model.iter().take(count).copied().map(value).collect();
        prop_assert_eq!(get(&span, how), expected);
        match kept {
            None => drop(span),
            Some(kept) if kept >= count => span.release(),
            Some(kept) => span.release_len(kept),
        }
        self.model.drain(..kept.unwrap_or(0).min(count));
        Ok(())
    }
}

/// Writes as many values as are kept, or all.
fn put<T: Pod + Send>(mut room: Reserve<'_, T>, first: u64, how: Write, kept: Option<usize>) {
    let len = room.len();
    let kept_len = kept.unwrap_or(len).min(len);
    match how {
        Write::Fill => {
            assert_eq!(room.fill(values(first).take(kept_len)), kept_len);
            if kept_len == len {
                assert_eq!(room.fill(values(first)), len, "more values than room");
            }
        }
        Write::Set => {
            (0..kept_len).rev().for_each(|at| room.set(at, value(first + at as u64)));
        }
        Write::Copy => room.copy_from_slice(&values(first).take(len).collect::<Vec<T>>()),
        Write::Slices => {
            // SAFETY: the ring is private to this thread.
            match unsafe { room.as_mut_slices() } {
                Some((here, there)) => {
                    assert_eq!(here.len() + there.len(), len);
                    for (to, value) in here.iter_mut().chain(there).zip(values(first)) {
                        *to = value;
                    }
                }
                None => assert_eq!(room.fill(values(first)), len),
            }
        }
    }
    match kept {
        None => drop(room),
        Some(kept) if kept >= len => room.commit(),
        Some(kept) => room.commit_len(kept),
    }
}

fn get<T: Pod + Send>(span: &Span<'_, T>, how: Read) -> Vec<T> {
    match how {
        Read::Iter => span.iter().collect(),
        Read::Get => (0..span.len()).map(|at| span.get(at)).collect(),
        Read::Copy => {
            let mut to = vec![T::zeroed(); span.len()];
            span.copy_to_slice(&mut to);
            to
        }
        // SAFETY: the ring is private to this thread.
        Read::Slices => match unsafe { span.as_slices() } {
            Some((here, there)) => [here, there].concat(),
            None => span.iter().collect(),
        },
    }
}

/// All steps, with values of one type.
fn run<T: Pod + Send + PartialEq + Debug>(
    steps: Vec<Step>,
    layout: Layout,
    capacity: usize,
    start: u64,
) -> Tries {
    let mut tested = Tested::<T>::new(layout, capacity, start);
    steps.into_iter().try_for_each(|step| tested.go(step))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Every mix of operations does what a `VecDeque` does, in both layouts, for values of every size class,
    /// at every capacity and wherever positions begin.
    #[test]
    fn it_is_a_bounded_deque(
        steps in steps(),
        dense in any::<bool>(),
        log in 0_u32..5,
        start in prop_oneof![
            1 => Just(0),
            2 => (0..40_u64).prop_map(|less| (1 << 32) - less),
            2 => (0..40_u64).prop_map(u64::wrapping_neg),
            1 => any::<u64>(),
        ],
        size in 0..TYPES.len(),
    ) {
        let layout = if dense { Layout::Dense } else { Layout::Slots };
        TYPES[size](steps, layout, 1 << log, start)?;
    }
}

type Run = fn(Vec<Step>, Layout, usize, u64) -> Tries;

/// Below a word, a word, odd, a line and the word that goes with it, more than a line, and what is copied
/// in other ways.
const TYPES: [Run; 18] = [
    run::<u8>,
    run::<[u8; 2]>,
    run::<u16>,
    run::<u32>,
    run::<[u8; 4]>,
    run::<u64>,
    run::<[u16; 4]>,
    run::<[u32; 3]>,
    run::<Odd>,
    run::<[u8; 16]>,
    run::<u128>,
    run::<[u64; 7]>,
    run::<[u8; 56]>,
    run::<[u64; 8]>,
    run::<[u8; 64]>,
    run::<[u16; 31]>,
    run::<[u64; 32]>,
    run::<[u8; 1024]>,
];

#[test]
fn what_a_span_cannot_do_is_a_panic_that_says_so() {
    fn text(f: impl FnOnce()) -> String {
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_err();
        panic.downcast_ref::<String>().cloned().unwrap()
    }
    for layout in [Layout::Slots, Layout::Dense] {
        let queue = Queue::<u64>::options().capacity(4).layout(layout).private().unwrap();
        let (mut p, mut c) = (queue.producer().unwrap(), queue.consumer().unwrap());
        assert_eq!(text(|| p.reserve(2).unwrap().set(2, 1)), "value 2 of 2");
        assert!(text(|| p.reserve(2).unwrap().copy_from_slice(&[1])).contains("another length"));
        assert_eq!(text(|| p.reserve(2).unwrap().commit_len(3)), "commit of 3 values, 2 reserved");
        assert_eq!(p.vacant(), 4, "nothing of it was committed");
        p.push(1).unwrap();
        assert_eq!(text(|| _ = c.read(2).unwrap().get(1)), "value 1 of 1");
        assert!(text(|| c.read(2).unwrap().copy_to_slice(&mut [0; 2])).contains("another length"));
        assert_eq!(text(|| c.read(2).unwrap().release_len(2)), "release of 2 values, 1 read");
        assert_eq!(c.pop(), Ok(1));
    }
}

/// Spans that wait, between two threads: each of random length, larger than what is there at times.
#[test]
fn spans_wait_for_room_and_for_values() {
    for layout in [Layout::Slots, Layout::Dense] {
        for wait in [Wait::Spin, Wait::Yield, Wait::SpinThenPark, Wait::Park] {
            let queue = Queue::<u32>::options().capacity(8).layout(layout).private().unwrap();
            let (mut p, mut c) = (queue.producer().unwrap(), queue.consumer().unwrap());
            p.set_wait(wait);
            c.set_wait(wait);
            let thread = std::thread::spawn(move || {
                let mut next = 0;
                while next < 5000 {
                    let count = (next * 7 + 3) % 9;
                    let mut room = p.reserve(count as usize).unwrap();
                    assert_eq!(room.fill(next..), count as usize);
                    room.commit();
                    next += count.max(1) - u32::from(count == 0);
                    if count == 0 {
                        p.push(next).unwrap();
                        next += 1;
                    }
                }
                next
            });
            let mut expected = 0;
            let end = loop {
                match c.read(1 + expected as usize % 10) {
                    Ok(span) => {
                        assert!(!span.is_empty());
                        for value in span.iter() {
                            assert_eq!(value, expected);
                            expected += 1;
                        }
                        span.release();
                    }
                    Err(error) => break error,
                }
            };
            assert_eq!((end, expected), (PopError::Closed, thread.join().unwrap()));
        }
    }
}

#[test]
fn a_span_is_waited_for_as_long_as_was_said() {
    let wait = Duration::from_millis(20);
    for layout in [Layout::Slots, Layout::Dense] {
        let queue = Queue::<u64>::options().capacity(2).layout(layout).private().unwrap();
        let (mut p, mut c) = (queue.producer().unwrap(), queue.consumer().unwrap());
        let start = std::time::Instant::now();
        assert_eq!(c.read_timeout(2, wait).map(|span| span.len()), Err(PopError::Empty));
        assert!(start.elapsed() >= wait);
        assert_eq!(c.read_timeout(0, wait).map(|span| span.len()), Ok(0));
        p.push(1).unwrap();
        let start = std::time::Instant::now();
        assert_eq!(p.reserve_timeout(2, wait).map(|room| room.len()), Err(ReserveError::Full));
        assert!(start.elapsed() >= wait);
        let large = ReserveError::TooLarge { len: 3, max: 2 };
        assert_eq!(p.reserve_timeout(3, wait).map(|room| room.len()), Err(large));
        assert_eq!(c.read_timeout(2, wait).map(|span| span.get(0)), Ok(1));
        drop(p);
        assert_eq!(c.iter().collect::<Vec<_>>(), [1], "until the producer closed");
        assert_eq!(c.read(2).map(|span| span.len()), Err(PopError::Closed));
        assert_eq!(c.try_read(2).map(|span| span.len()), Err(PopError::Closed));
        assert_eq!(c.read(0).map(|span| span.len()), Ok(0));
    }
}

#[test]
fn what_cannot_lie_side_by_side_is_refused() {
    #[repr(C, align(8192))]
    #[derive(Clone, Copy, Zeroable, Pod)]
    struct Aligned([u8; 8192]);
    let dense = Layout::Dense;
    for error in [
        Queue::<()>::options().layout(dense).private().unwrap_err(),
        Queue::<Aligned>::options().capacity(1).layout(dense).private().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidSize);
        assert!(error.to_string().contains("cannot lie side by side"), "{error}");
    }
    let queue = Queue::<Aligned>::options().capacity(2).private().unwrap();
    queue.producer().unwrap().push(Aligned([3; 8192])).unwrap();
    assert_eq!(queue.consumer().unwrap().pop().map(|value| value.0[8191]), Ok(3));
}

#[test]
fn both_ends_wait_in_every_way() {
    for wait in [Wait::Spin, Wait::Yield, Wait::SpinThenPark, Wait::Park] {
        let queue = Queue::<u64>::private(2).unwrap();
        let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        producer.set_wait(wait);
        consumer.set_wait(wait);
        let thread = std::thread::spawn(move || {
            for n in 0..2000 {
                producer.push(n).unwrap();
            }
            producer.flush(None).unwrap();
        });
        for n in 0..2000 {
            assert_eq!(consumer.pop(), Ok(n));
        }
        thread.join().unwrap();
        assert_eq!(consumer.pop(), Err(PopError::Closed));
    }
}

#[test]
fn a_timeout_is_waited_for_and_gives_the_value_back() {
    let wait = Duration::from_millis(20);
    for how in [Wait::Spin, Wait::Yield, Wait::SpinThenPark, Wait::Park] {
        let queue = Queue::<u64>::private(1).unwrap();
        let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        producer.set_wait(how);
        consumer.set_wait(how);
        let start = std::time::Instant::now();
        assert_eq!(consumer.pop_timeout(wait), Err(PopError::Empty));
        assert!(start.elapsed() >= wait);
        producer.push(1).unwrap();
        let start = std::time::Instant::now();
        assert_eq!(producer.push_timeout(2, wait), Err(PushError::Full(2)));
        assert!(start.elapsed() >= wait);
        assert_eq!(producer.flush(Some(Duration::from_millis(1))), Err(PushError::Full(())));
        assert_eq!(producer.push_timeout(2, Duration::ZERO), Err(PushError::Full(2)));
        assert_eq!(consumer.pop_timeout(Duration::MAX), Ok(1));
    }
}

#[test]
fn a_closed_end_is_told_apart_from_an_empty_or_full_one() {
    let queue = Queue::<u64>::private(2).unwrap();
    let mut producer = queue.producer().unwrap();
    let mut consumer = queue.consumer().unwrap();
    producer.push(1).unwrap();
    producer.close();
    assert_eq!(consumer.peer(), Peer::Closed);
    assert_eq!(consumer.pop(), Ok(1));
    assert_eq!(consumer.try_pop(), Err(PopError::Closed));
    assert_eq!(consumer.pop(), Err(PopError::Closed));

    let mut producer = queue.producer().unwrap();
    assert_eq!(consumer.try_pop(), Err(PopError::Empty), "a new producer opens it again");
    producer.push(2).unwrap();
    consumer.close();
    assert_eq!(producer.try_push(3), Err(PushError::Closed(3)));
    assert_eq!(producer.push(3), Err(PushError::Closed(3)));
    assert_eq!(producer.flush(None), Err(PushError::Closed(())));
    assert_eq!(queue.consumer().unwrap().pop(), Ok(2), "what was pushed is still there");
}

#[test]
fn a_capacity_that_cannot_be_is_refused_by_name() {
    let large = 1 << (usize::BITS - 2);
    let too_large = format!("capacity {large} times 16 bytes is too large");
    for (capacity, text) in [
        (0, "capacity 0 is not a power of two"),
        (3, "capacity 3 is not a power of two"),
        (large, &too_large),
    ] {
        let name = name("capacity");
        let error = Queue::<u64>::create(&name, capacity).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSize);
        assert_eq!(error.to_string(), format!("create ring {:?}: {text}", name.as_str()));
    }
}

#[test]
fn a_name_that_is_taken_stays_with_its_owner() {
    let name = name("taken");
    let queue = Queue::<u64>::create(&name, 8).unwrap();
    queue.producer().unwrap().push(5).unwrap();
    let error = Queue::<u64>::create(&name, 16).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(Queue::<u64>::open(&name).unwrap().consumer().unwrap().pop(), Ok(5));
}

#[test]
fn a_second_holder_of_an_end_is_refused_and_told_who_has_it() {
    let name = name("second");
    let queue = Queue::<u64>::create(&name, 8).unwrap();
    let _producer = queue.producer().unwrap();
    let error = Queue::<u64>::open(&name).unwrap().producer().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    let pid = std::process::id();
    let text = format!(
        "take the producer end of ring {:?}: a living process holds it, the last to take it was {pid}",
        name.as_str()
    );
    assert_eq!(error.to_string(), text);
}

#[test]
#[cfg_attr(windows, ignore = "a name cannot be removed")]
fn an_end_of_a_removed_ring_is_not_given_out() {
    let name = name("removed");
    let queue = Queue::<u64>::create(&name, 8).unwrap();
    let late = Queue::<u64>::open(&name).unwrap();
    ringlane::inspect::remove(&name, false).unwrap();
    assert_eq!(late.consumer().unwrap_err().kind(), ErrorKind::NotFound);
    drop(queue);
}

#[test]
fn a_successor_finds_its_place_however_often_the_ring_has_gone_round() {
    for capacity in [1, 2, 8, 64, 128] {
        for pushed in (0..200).step_by(7) {
            for left in [0, 1, capacity / 2, capacity].map(|left| pushed.min(left)) {
                let queue = Queue::<u64>::private(capacity as usize).unwrap();
                let mut consumer = queue.consumer().unwrap();
                let mut producer = queue.producer().unwrap();
                for n in 0..pushed {
                    producer.try_push(n).unwrap();
                    if n < pushed - left {
                        assert_eq!(consumer.try_pop(), Ok(n));
                    }
                }
                drop(producer);
                let mut producer = queue.producer().unwrap();
                assert_eq!(consumer.depth() as u64, left);
                if left < capacity {
                    producer.try_push(pushed).unwrap();
                    assert!((pushed - left..=pushed).all(|n| consumer.try_pop() == Ok(n)));
                }
                assert_eq!(producer.vacant() as u64, if left < capacity { capacity } else { 0 });
            }
        }
    }
}
