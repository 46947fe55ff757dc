//! Who takes part.

use super::bare::{Bare, CAPACITY, End};
use super::crew::{Crew, Message};
use crossbeam_utils::Backoff;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use ringlane::{Name, Wait, mpmc, spsc};
use std::num::NonZeroUsize;
use std::time::Duration;

pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Most ends on a side.
    pub(crate) most: u64,
    pub(crate) small: fn(&Crew) -> Duration,
    pub(crate) wide: fn(&Crew) -> Duration,
}

pub(crate) const PEERS: &[Peer] = &[
    Peer { name: "ringlane mpmc", most: 64, small: ours::<1>, wide: ours::<7> },
    Peer { name: "ringlane mpmc, yield", most: 64, small: yielding::<1>, wide: yielding::<7> },
    Peer { name: "ringlane mpmc, acked", most: 64, small: acked::<1>, wide: acked::<7> },
    Peer { name: "ringlane mpmc, slices of 64", most: 64, small: slices::<1>, wide: slices::<7> },
    Peer {
        name: "ringlane mpmc, pushed in slices",
        most: 64,
        small: half::<1, true>,
        wide: half::<7, true>,
    },
    Peer {
        name: "ringlane mpmc, popped in slices",
        most: 64,
        small: half::<1, false>,
        wide: half::<7, false>,
    },
    Peer { name: "ringlane spsc", most: 1, small: pair::<1>, wide: pair::<7> },
    Peer { name: "no crash safety", most: 64, small: bare::<1, 2>, wide: bare::<7, 8> },
    Peer { name: "crossbeam ArrayQueue (threads)", most: 64, small: array::<1>, wide: array::<7> },
    Peer { name: "kanal (threads)", most: 64, small: kanal::<1>, wide: kanal::<7> },
    // With more of them than processors it does thousands a second, and takes the whole run.
    Peer { name: "shaq mpmc", most: 2, small: shaq::<1>, wide: shaq::<7> },
];

type Parts<'a> = Vec<Box<dyn FnOnce() + 'a>>;

/// A part for each producer and each consumer.
pub(crate) fn parts<'a>(
    crew: &'a Crew,
    produce: impl Fn(u64) + Clone + 'a,
    consume: impl Fn(u64) + Clone + 'a,
) -> Parts<'a> {
    let mut parts: Parts = Vec::new();
    for id in 0..crew.producers {
        let produce = produce.clone();
        parts.push(Box::new(move || produce(id)));
    }
    for id in 0..crew.consumers {
        let consume = consume.clone();
        parts.push(Box::new(move || consume(id)));
    }
    parts
}

/// All of them as threads of one process.
fn threads(crew: &Crew, produce: impl Fn(u64) + Sync, consume: impl Fn(u64) + Sync) -> Duration {
    let body = || {
        std::thread::scope(|scope| {
            for id in 0..crew.producers {
                let produce = &produce;
                scope.spawn(move || produce(id));
            }
            for id in 0..crew.consumers {
                let consume = &consume;
                scope.spawn(move || consume(id));
            }
        });
    };
    crew.run(vec![Box::new(body)])
}

pub(crate) fn until<R>(mut attempt: impl FnMut() -> Option<R>) -> R {
    let backoff = Backoff::new();
    loop {
        if let Some(done) = attempt() {
            return done;
        }
        backoff.snooze();
    }
}

pub(crate) fn name() -> Name {
    Name::new(&format!("ringlane-bench-mpmc-{}", std::process::id())).expect("a name")
}

fn queue<const W: usize>(
    crew: &Crew,
    wait: Wait,
    delivery: mpmc::Delivery,
    (slices, popped): (bool, bool),
) -> Duration {
    let name = name();
    let options =
        mpmc::Queue::<Message<W>>::options().capacity(CAPACITY as usize).delivery(delivery).clone();
    let queue = options.create(&name).expect("create");
    let produce = |id| {
        let mut producer =
            mpmc::Queue::<Message<W>>::open(&name).expect("open").producer().expect("producer");
        producer.set_wait(wait);
        if slices {
            let mut batch = Vec::with_capacity(64);
            crew.produce(id, |message: Message<W>| {
                batch.push(message);
                if batch.len() == 64
                    || message[0] == u64::MAX
                    || message[0] << 16 >> 16 == crew.messages / crew.producers - 1
                {
                    producer.push_slice(&batch).expect("push");
                    batch.clear();
                }
            });
        } else {
            crew.produce(id, |message| producer.push(message).expect("push"));
        }
    };
    let consume = |id| {
        let mut consumer =
            mpmc::Queue::<Message<W>>::open(&name).expect("open").consumer().expect("consumer");
        consumer.set_wait(wait);
        if popped {
            let mut batch = [[0; W]; 64];
            let (mut at, mut len) = (0, 0);
            crew.consume(id, || {
                if at == len {
                    len = consumer
                        .pop_slice(&mut batch[..if crew.consumers == 1 { 64 } else { 8 }])
                        .expect("pop");
                    at = 0;
                }
                at += 1;
                batch[at - 1]
            });
        } else {
            crew.consume(id, || consumer.pop().expect("pop"));
        }
    };
    let took = crew.run(parts(crew, produce, consume));
    drop(queue);
    took
}

fn ours<const W: usize>(crew: &Crew) -> Duration {
    queue::<W>(crew, Wait::default(), mpmc::Delivery::AtMostOnce, (false, false))
}

fn yielding<const W: usize>(crew: &Crew) -> Duration {
    queue::<W>(crew, Wait::Yield, mpmc::Delivery::AtMostOnce, (false, false))
}

fn acked<const W: usize>(crew: &Crew) -> Duration {
    queue::<W>(crew, Wait::default(), mpmc::Delivery::AtLeastOnce, (false, false))
}

fn slices<const W: usize>(crew: &Crew) -> Duration {
    queue::<W>(crew, Wait::default(), mpmc::Delivery::AtMostOnce, (true, crew.consumers == 1))
}

/// One side in slices, to see which side costs what.
fn half<const W: usize, const PUSHED: bool>(crew: &Crew) -> Duration {
    queue::<W>(
        crew,
        Wait::default(),
        mpmc::Delivery::AtMostOnce,
        (PUSHED, !PUSHED && crew.consumers == 1),
    )
}

fn pair<const W: usize>(crew: &Crew) -> Duration {
    let name = name();
    let queue = spsc::Queue::<Message<W>>::create(&name, CAPACITY as usize).expect("create");
    let open = || spsc::Queue::<Message<W>>::open(&name).expect("open");
    let produce = |id| {
        let mut producer = open().producer().expect("producer");
        crew.produce(id, |message| producer.push(message).expect("push"));
    };
    let consume = |id| {
        let mut consumer = open().consumer().expect("consumer");
        crew.consume(id, || consumer.pop().expect("pop"));
    };
    let took = crew.run(parts(crew, produce, consume));
    drop(queue);
    took
}

fn bare<const W: usize, const S: usize>(crew: &Crew) -> Duration {
    let len = NonZeroUsize::new(size_of::<Bare<W, S>>()).expect("not zero");
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let flags = MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE;
    // SAFETY: the kernel chooses fresh addresses, so no memory of this process is touched.
    let memory = unsafe { mmap_anonymous(None, len, access, flags) }.expect("memory");
    // SAFETY: zeroed, aligned to a page, never unmapped, and all of it atomics.
    let ring: &'static Bare<W, S> = unsafe { memory.cast().as_ref() };
    let produce = move |id| {
        let mut end = End::of(ring);
        crew.produce(id, |message| until(|| end.try_push(&message).then_some(())));
    };
    let consume = move |id| {
        let mut end = End::of(ring);
        crew.consume(id, || until(|| end.try_pop()));
    };
    crew.run(parts(crew, produce, consume))
}

fn array<const W: usize>(crew: &Crew) -> Duration {
    let queue = crossbeam_queue::ArrayQueue::<Message<W>>::new(CAPACITY as usize);
    let produce =
        |id| crew.produce(id, |message| until(|| queue.push(message).is_ok().then_some(())));
    let consume = |id| crew.consume(id, || until(|| queue.pop()));
    threads(crew, produce, consume)
}

fn kanal<const W: usize>(crew: &Crew) -> Duration {
    let (tx, rx) = kanal::bounded::<Message<W>>(CAPACITY as usize);
    let produce = |id| crew.produce(id, |message| tx.send(message).expect("send"));
    let consume = |id| crew.consume(id, || rx.recv().expect("receive"));
    threads(crew, produce, consume)
}

fn shaq<const W: usize>(crew: &Crew) -> Duration {
    use shaq::mpmc::{Consumer, Producer};
    let path = format!("/dev/shm/{}", name());
    let options = || {
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create(true);
        options.open(&path).expect("a file")
    };
    let size = shaq::mpmc::minimum_file_size::<Message<W>>(CAPACITY as usize);
    // SAFETY: a fresh file, and both sides mean the same type.
    let queue = unsafe { Producer::<Message<W>>::create(&options(), size) }.expect("create");
    let produce = |id| {
        // SAFETY: as above.
        let producer = unsafe { Producer::<Message<W>>::join(&options()) }.expect("join");
        crew.produce(id, |message| until(|| producer.try_write(message).ok()));
    };
    let consume = |id| {
        // SAFETY: as above.
        let consumer = unsafe { Consumer::<Message<W>>::join(&options()) }.expect("join");
        crew.consume(id, || until(|| consumer.try_read()));
    };
    let took = crew.run(parts(crew, produce, consume));
    drop(queue);
    std::fs::remove_file(path).expect("remove");
    took
}
