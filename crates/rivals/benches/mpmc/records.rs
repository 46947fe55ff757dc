//! Records from many producers, in the three ways that there are: runs of blocks, blocks of a pool that a queue
//! names, and a lane for each producer. The last two are prototypes without any safety: what they could do at best.

use super::Run;
use super::bare::CAPACITY;
use super::crew::{Crew, Message};
use super::peers::{name, parts, until};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use ringlane::{Name, mpmc, mpmc_record, record};
use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::time::Duration;

/// One way, for each size.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    /// Most consumers.
    pub(crate) most: u64,
    pub(crate) sizes: [Run; 4],
}

/// Words of a record.
pub(crate) const WORDS: [usize; 4] = [3, 7, 64, 256];

macro_rules! sizes {
    ($run:ident $(, $arg:expr)*) => {
        [$run::<3 $(, $arg)*>, $run::<7 $(, $arg)*>, $run::<64 $(, $arg)*>, $run::<256 $(, $arg)*>]
    };
}

pub(crate) const WAYS: &[Way] = &[
    Way { name: "runs of blocks", most: 64, sizes: sizes!(runs, false) },
    Way { name: "runs of blocks, acked", most: 64, sizes: sizes!(runs, true) },
    Way { name: "a pool, unsafe", most: 64, sizes: sizes!(pool) },
    Way { name: "lanes, unsafe", most: 1, sizes: sizes!(lanes) },
];

fn runs<const W: usize, const ACKED: bool>(crew: &Crew) -> Duration {
    let name = name();
    let delivery = if ACKED { mpmc::Delivery::AtLeastOnce } else { mpmc::Delivery::AtMostOnce };
    let mut options = mpmc_record::Queue::options();
    options.capacity(CAPACITY as usize * (W * 8).next_multiple_of(64)).delivery(delivery);
    let queue = options.create(&name).expect("create");
    let open = || mpmc_record::Queue::open(&name).expect("open");
    let produce = |id| {
        let mut producer = open().producer().expect("producer");
        crew.produce(id, |message: Message<W>| {
            producer.push(bytemuck::bytes_of(&message)).expect("push");
        });
    };
    let consume = |id| {
        let mut consumer = open().consumer().expect("consumer");
        let mut bytes = Vec::new();
        crew.consume(id, || {
            let mut message = [0; W];
            if ACKED {
                let taken = consumer.take().expect("take");
                taken.read_at(0, bytemuck::bytes_of_mut(&mut message));
                taken.acknowledge();
            } else {
                consumer.pop_into(&mut bytes).expect("pop");
                bytemuck::bytes_of_mut(&mut message).copy_from_slice(&bytes);
            }
            message
        });
    };
    let took = crew.run(parts(crew, produce, consume));
    drop(queue);
    took
}

fn pool<const W: usize>(crew: &Crew) -> Duration {
    let (full, free) = (name(), other_name());
    let rings = [&full, &free]
        .map(|name| mpmc::Queue::<u64>::create(name, CAPACITY as usize).expect("create"));
    let stride = (W * 8).next_multiple_of(64);
    let len = NonZeroUsize::new(CAPACITY as usize * stride).expect("not zero");
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let flags = MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE;
    // SAFETY: the kernel chooses fresh addresses, so no memory of this process is touched.
    let memory = unsafe { mmap_anonymous(None, len, access, flags) }.expect("memory").addr().get();
    let at = move |block: u64| (memory + block as usize * stride) as *mut Message<W>;
    let mut filler = rings[1].producer().expect("producer");
    (0..CAPACITY).for_each(|block| filler.push(block).expect("push"));
    let open = |name: &Name| mpmc::Queue::<u64>::open(name).expect("open");
    let produce = |id| {
        let mut names = open(&full).producer().expect("producer");
        let mut blocks = open(&free).consumer().expect("consumer");
        crew.produce(id, |message: Message<W>| {
            let block = blocks.pop().expect("pop");
            // SAFETY: the block is ours until its name is pushed.
            unsafe { at(block).write(message) };
            names.push(block).expect("push");
        });
    };
    let consume = |id| {
        let mut names = open(&full).consumer().expect("consumer");
        let mut blocks = open(&free).producer().expect("producer");
        crew.consume(id, || {
            let block = names.pop().expect("pop");
            // SAFETY: as above.
            let message = unsafe { at(block).read() };
            // At the end nobody may be left who wants it.
            let _ = blocks.push(block);
            message
        });
    };
    let took = crew.run(parts(crew, produce, consume));
    drop(filler);
    drop(rings);
    took
}

fn lanes<const W: usize>(crew: &Crew) -> Duration {
    // Children have other process ids.
    let all = name();
    let lane = |id| Name::new(&format!("{all}-lane-{id}")).expect("a name");
    let bytes = CAPACITY as usize * (W * 8 + 8);
    let queues: Vec<_> = (0..crew.producers)
        .map(|id| record::Queue::create(&lane(id), bytes).expect("create"))
        .collect();
    let open = |id| record::Queue::open(&lane(id)).expect("open");
    let produce = |id| {
        let mut producer = open(id).producer().expect("producer");
        crew.produce(id, |message: Message<W>| {
            producer.push(bytemuck::bytes_of(&message)).expect("push");
        });
    };
    let consume = |id| {
        let all = (0..crew.producers).map(|id| open(id).consumer().expect("consumer"));
        let lanes = RefCell::new(all.collect::<Vec<_>>());
        let mut next = 0;
        let mut stop = None;
        crew.consume(id, || {
            until(|| {
                let mut lanes = lanes.borrow_mut();
                for _ in 0..lanes.len() {
                    next = (next + 1) % lanes.len();
                    let Ok(record) = lanes[next].try_read() else { continue };
                    let mut message = [0; W];
                    record.read_at(0, bytemuck::bytes_of_mut(&mut message));
                    record.release();
                    if message[0] != u64::MAX {
                        return Some(message);
                    }
                    // The others may have some left.
                    stop = Some(message);
                }
                stop
            })
        });
    };
    let took = crew.run(parts(crew, produce, consume));
    drop(queues);
    took
}

fn other_name() -> Name {
    Name::new(&format!("{}-free", name())).expect("a name")
}
