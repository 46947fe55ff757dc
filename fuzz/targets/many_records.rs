//! Records for many whose shared words somebody else rewrites, before they are opened and at any time after: no record
//! is longer than one may be, none reaches outside, and every call ends.

use super::attach::use_all;
use super::{SOON, WORDS, Write, input, name};
use arbitrary::Arbitrary;
use ringlane::mpmc::Delivery;
use ringlane::mpmc_record::{Consumer, Producer, Queue};
use ringlane::{SharedMemory, inspect};

#[derive(Arbitrary, Debug)]
enum Step {
    Write(Write),
    Push(u16),
    /// Reserved, and how much of it is committed, if it is not given up.
    Reserve {
        len: u16,
        committed: Option<u16>,
        meanwhile: Vec<Write>,
    },
    Pop,
    /// Taken, and whether it is acknowledged.
    Take {
        keep: bool,
        meanwhile: Vec<Write>,
    },
    NewProducer,
    NewConsumer,
    Wait,
    Report,
}

#[derive(Arbitrary, Debug)]
struct Input {
    twice: bool,
    longest: u16,
    start: u64,
    pushed: u8,
    popped: u8,
    /// What lies everywhere, if anything but what was pushed.
    ground: Option<u64>,
    before: Vec<Write>,
    steps: Vec<Step>,
}

pub(crate) fn run(bytes: &[u8]) {
    let Some(input) = input::<Input>(bytes) else { return };
    let name = name("many-records");
    let mut options = Queue::options();
    let delivery = if input.twice { Delivery::AtLeastOnce } else { Delivery::AtMostOnce };
    let longest = usize::from(input.longest % 5000);
    options.capacity(4096).longest(longest).delivery(delivery).start(input.start);
    let queue = options.create(&name).unwrap();
    let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    for n in 0..input.pushed {
        let _ = producer.try_push(&vec![n; 3 * usize::from(n)]);
        if n < input.popped {
            let _ = consumer.try_pop();
        }
    }
    let words = SharedMemory::open(&name).unwrap().map().unwrap();
    if let Some(ground) = input.ground {
        for at in (WORDS..words.len()).step_by(8) {
            words.write_at(at, &ground.to_ne_bytes()).unwrap();
        }
    }
    input.before.iter().for_each(|write| write.to(&words));
    let write = |write: &Write| write.to(&words);
    let mut producers = [Some(producer), queue.producer().ok()];
    let mut consumers = [Some(consumer), queue.consumer().ok()];
    for (turn, step) in input.steps.iter().enumerate() {
        let (producer, consumer) = (&mut producers[turn % 2], &mut consumers[turn % 2]);
        match step {
            Step::Write(one) => write(one),
            Step::NewProducer => {
                drop(producer.take());
                *producer = queue.producer().ok();
            }
            Step::NewConsumer => {
                drop(consumer.take());
                *consumer = queue.consumer().ok();
            }
            Step::Report => {
                let report = inspect::report(&name);
                let _ = report.map(|report| assert!(report.used <= report.capacity));
            }
            step => {
                producer.iter_mut().for_each(|end| produce(end, &queue, step, write));
                consumer.iter_mut().for_each(|end| consume(end, &queue, step, write));
            }
        }
    }
    drop((producers, consumers));
    // Successors, twice: what the first ones leave is an image, too.
    (0..2).for_each(|_| use_all(&name));
    let _ = inspect::remove(&name, false);
}

fn produce(end: &mut Producer, queue: &Queue, step: &Step, write: impl Fn(&Write)) {
    match step {
        Step::Push(len) => {
            let len = usize::from(*len) % 6000;
            let pushed = end.try_push(&vec![5; len]);
            assert!(pushed.is_err() || len <= queue.max_len());
        }
        Step::Reserve { len, committed, meanwhile } => {
            let len = usize::from(*len) % 6000;
            let Ok(mut room) = end.try_reserve(len) else { return };
            assert!(room.len() == len && len <= queue.max_len());
            meanwhile.iter().for_each(&write);
            room.write_at(0, &vec![6; len]);
            match committed {
                Some(committed) => room.commit_len(len.min((*committed).into())),
                None => drop(room),
            }
        }
        Step::Wait => {
            let _ = (end.push_timeout(&[8; 70], SOON), end.flush(Some(SOON)), end.peer());
            let _ = (end.wait_peer(Some(SOON)), end.held_by());
        }
        _ => {}
    }
}

fn consume(end: &mut Consumer, queue: &Queue, step: &Step, write: impl Fn(&Write)) {
    match step {
        Step::Pop => {
            let len = end.try_pop().map_or(0, |record| record.len());
            assert!(len <= queue.max_len() && end.available() <= queue.capacity() / queue.block());
        }
        Step::Take { keep, meanwhile } => {
            let Ok(taken) = end.try_take() else { return };
            let len = taken.len();
            assert!(len <= queue.max_len());
            meanwhile.iter().for_each(&write);
            // The length was read once.
            assert!(taken.to_vec().len() == len && taken.len() == len);
            if *keep {
                taken.acknowledge();
            }
        }
        Step::Wait => {
            let _ = (end.pop_timeout(SOON), end.peer(), end.wait_peer(Some(SOON)));
        }
        _ => {}
    }
}
