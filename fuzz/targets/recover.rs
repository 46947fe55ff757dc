//! Any image behind a valid header, as a process may leave that died in the middle of anything, or that went mad:
//! successors are refused, or go on, and take no more than the ring holds.

use super::attach::use_all;
use super::{WORDS, Write, input, name};
use arbitrary::Arbitrary;
use ringlane::mpmc::{self, Delivery};
use ringlane::spsc::{self, Layout};
use ringlane::{SharedMemory, call, inspect, record};

#[derive(Arbitrary, Debug)]
struct Input {
    kind: u8,
    /// What the ring did before, so that most of its words fit together.
    pushed: u8,
    popped: u8,
    /// What lies everywhere, if anything but that.
    ground: Option<u64>,
    words: Vec<Write>,
}

pub(crate) fn run(bytes: &[u8]) {
    let Some(Input { kind, pushed, popped, ground, words }) = input(bytes) else { return };
    let name = name("recover");
    let start = if kind >= 128 { u64::MAX / 8 * 8 - 63 } else { 0 };
    let capacity = 16;
    // Kept, so that the name goes with it at the end.
    let _ring: Box<dyn Send> = match kind % 7 {
        kind @ (0 | 1) => {
            let layout = if kind == 0 { Layout::Slots } else { Layout::Dense };
            let mut options = spsc::Queue::<u64>::options();
            options.capacity(capacity).layout(layout).start(start);
            let queue = options.create(&name).unwrap();
            let (mut producer, mut consumer) =
                (queue.producer().unwrap(), queue.consumer().unwrap());
            (0..pushed).for_each(|n| _ = producer.try_push(n.into()));
            (0..popped).for_each(|_| _ = consumer.try_pop());
            Box::new(queue)
        }
        kind @ (2 | 3) => {
            let mut options = record::Queue::options();
            let queue = options.capacity(4096).mirrored(kind == 2).create(&name).unwrap();
            let (mut producer, mut consumer) =
                (queue.producer().unwrap(), queue.consumer().unwrap());
            for n in 0..pushed {
                let _ = producer.try_push(&vec![n; 3 * usize::from(n)]);
                if n < popped {
                    let _ = consumer.try_pop();
                }
            }
            Box::new(queue)
        }
        4 => {
            let cell = call::Cell::<u64, u64>::create(&name).unwrap();
            let (mut caller, mut server) = (cell.caller().unwrap(), cell.server().unwrap());
            for n in 0..pushed % 4 {
                let _ = (caller.try_start(n.into()), server.try_serve(|n| n), caller.try_finish());
            }
            let _ = caller.try_start(9);
            Box::new(cell)
        }
        kind => {
            let delivery = if kind == 5 { Delivery::AtMostOnce } else { Delivery::AtLeastOnce };
            let mut options = mpmc::Queue::<u64>::options();
            options.capacity(capacity).delivery(delivery).start(start);
            let queue = options.create(&name).unwrap();
            let (mut producer, mut consumer) =
                (queue.producer().unwrap(), queue.consumer().unwrap());
            (0..pushed).for_each(|n| _ = producer.try_push(n.into()));
            (0..popped).for_each(|_| _ = consumer.try_pop());
            Box::new(queue)
        }
    };
    let image = SharedMemory::open(&name).unwrap().map().unwrap();
    if let Some(ground) = ground {
        for at in (WORDS..image.len()).step_by(8) {
            image.write_at(at, &ground.to_ne_bytes()).unwrap();
        }
    }
    words.iter().for_each(|write| write.to(&image));
    let _ = inspect::report(&name).map(|report| assert!(report.used <= report.capacity));
    // Twice: what the first ones leave is an image, too.
    for _ in 0..2 {
        use_all(&name);
    }
    let _ = inspect::report(&name);
    let _ = inspect::remove(&name, false);
}
