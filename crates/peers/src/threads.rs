//! Rings that live in one process: between two of its threads, which is said beside every figure.

use crate::files::hand_over;
use crossbeam_queue::ArrayQueue;
use disruptor::{
    BusySpin, EventPoller, Producer as _, SingleConsumerBarrier, SingleProducer,
    SingleProducerBarrier, build_single_producer,
};
use ringbuf::traits::{Consumer as _, Producer as _, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};
use ringlane_bench::payload::{check_words, words};
use ringlane_bench::rows::links::room;
use ringlane_bench::{Contender, Link, Row, Side};
use std::sync::Arc;

pub(crate) fn rows() -> Vec<Row> {
    let spins = "threads; cannot sleep";
    let sleeps = "threads";
    [
        sized::<Rtrb<1>, Rtrb<7>, Rtrb<8>, Rtrb<128>>("rtrb", spins),
        sized::<Ringbuf<1>, Ringbuf<7>, Ringbuf<8>, Ringbuf<128>>("ringbuf", spins),
        sized::<Disruptor<1>, Disruptor<7>, Disruptor<8>, Disruptor<128>>("disruptor", spins),
        sized::<Array<1>, Array<7>, Array<8>, Array<128>>("crossbeam ArrayQueue", spins),
        sized::<Bounded<1>, Bounded<7>, Bounded<8>, Bounded<128>>("crossbeam-channel", sleeps)
            .asleep::<Bounded<8>>(),
        sized::<Kanal<1>, Kanal<7>, Kanal<8>, Kanal<128>>("kanal", sleeps).asleep::<Kanal<8>>(),
    ]
    .map(Contender::rows)
    .concat()
}

/// In all sizes that values have.
fn sized<A: Link, B: Link, C: Link, D: Link>(by: &'static str, note: &'static str) -> Contender {
    Contender::threads(by, note)
        .trip::<A>()
        .trip::<C>()
        .trip::<D>()
        .one_way::<A>()
        .one_way::<B>()
        .one_way::<D>()
        .paced::<C>()
        .idle::<C>()
}

/// Two ends of a ring each way.
macro_rules! link {
    ($name:ident, $out:ty, $back:ty, $make:expr, $send:expr, $recv:expr) => {
        struct $name<const N: usize>($out, $back);

        impl<const N: usize> Link for $name<N> {
            const WORDS: usize = N;

            fn open(side: &Side, _label: &str) -> Self {
                hand_over(side, || {
                    let ((to, at), (back, own)) = ($make(room(8 * N)), $make(room(8 * N)));
                    ($name(to, own), $name(back, at))
                })
            }

            #[inline(always)]
            fn send(&mut self, n: u64) {
                $send(&mut self.0, words(n));
            }

            #[inline(always)]
            fn recv(&mut self, n: u64) {
                check_words(&$recv(&mut self.1), n);
            }
        }
    };
}

link!(
    Rtrb,
    rtrb::Producer<[u64; N]>,
    rtrb::Consumer<[u64; N]>,
    rtrb::RingBuffer::new,
    |out: &mut rtrb::Producer<[u64; N]>, mut message| {
        while let Err(rtrb::PushError::Full(back)) = out.push(message) {
            message = back;
        }
    },
    |back: &mut rtrb::Consumer<[u64; N]>| until(|| back.pop().ok())
);

link!(
    Ringbuf,
    HeapProd<[u64; N]>,
    HeapCons<[u64; N]>,
    |room| HeapRb::new(room).split(),
    |out: &mut HeapProd<[u64; N]>, mut message| {
        while let Err(back) = out.try_push(message) {
            message = back;
        }
    },
    |back: &mut HeapCons<[u64; N]>| until(|| back.try_pop())
);

link!(
    Disruptor,
    SingleProducer<[u64; N], SingleConsumerBarrier>,
    EventPoller<[u64; N], SingleProducerBarrier>,
    |room| {
        let builder = build_single_producer(room, || [0; N], BusySpin);
        let (poller, builder) = builder.new_event_poller();
        (builder.build(), poller)
    },
    |out: &mut SingleProducer<[u64; N], SingleConsumerBarrier>, message| {
        out.publish(|slot| *slot = message);
    },
    |back: &mut EventPoller<[u64; N], SingleProducerBarrier>| {
        until(|| back.take(1).ok().and_then(|mut some| (&mut some).next().copied()))
    }
);

link!(
    Array,
    Arc<ArrayQueue<[u64; N]>>,
    Arc<ArrayQueue<[u64; N]>>,
    |room| {
        let queue = Arc::new(ArrayQueue::new(room));
        (queue.clone(), queue)
    },
    |out: &mut Arc<ArrayQueue<[u64; N]>>, mut message| {
        while let Err(back) = out.push(message) {
            message = back;
        }
    },
    |back: &mut Arc<ArrayQueue<[u64; N]>>| until(|| back.pop())
);

link!(
    Bounded,
    crossbeam_channel::Sender<[u64; N]>,
    crossbeam_channel::Receiver<[u64; N]>,
    crossbeam_channel::bounded,
    |out: &mut crossbeam_channel::Sender<[u64; N]>, message| {
        out.send(message).expect("a living peer");
    },
    |back: &mut crossbeam_channel::Receiver<[u64; N]>| back.recv().expect("a living peer")
);

link!(
    Kanal,
    kanal::Sender<[u64; N]>,
    kanal::Receiver<[u64; N]>,
    kanal::bounded,
    |out: &mut kanal::Sender<[u64; N]>, message| out.send(message).expect("a living peer"),
    |back: &mut kanal::Receiver<[u64; N]>| back.recv().expect("a living peer")
);

#[inline(always)]
fn until<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(done) = attempt() {
            return done;
        }
    }
}
