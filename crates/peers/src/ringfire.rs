//! ringfire: a ring that any number may read, lossless as far as it goes, and blobs for frames.

use crate::files;
use ringfire::{BlobConsumer, BlobProducer, BlobProducerBuilder, FlowControl, FutexWait};
use ringfire::{RecvStatus, RingConsumer, RingProducer, RingProducerBuilder};
use ringlane_bench::payload::{check_bytes, check_words, fill_bytes, words};
use ringlane_bench::rows::links::room;
use ringlane_bench::{Contender, Link, Row, Side};
use std::path::PathBuf;

pub(crate) fn rows() -> Vec<Row> {
    let ring = Contender::new("ringfire", "lossless; a producer cannot sleep");
    let blobs = Contender::new("ringfire blobs", "cannot sleep; a late reader loses frames");
    let ring = ring
        .trip::<Ring<1>>()
        .trip::<Ring<8>>()
        .trip::<Ring<128>>()
        .one_way::<Ring<1>>()
        .one_way::<Ring<7>>()
        .one_way::<Ring<128>>()
        .asleep::<Ring<8>>()
        .paced::<Ring<8>>()
        .idle::<Ring<8>>()
        .costs::<Ring<8>>();
    // Only round trips: one way, blobs overwrite what was not read yet.
    let blobs = blobs.trip::<Blobs<8192>>().trip::<Blobs<131_072>>();
    [ring.rows(), blobs.rows()].concat()
}

struct Ring<const N: usize> {
    out: RingProducer<[u64; N]>,
    back: RingConsumer<[u64; N]>,
    wait: Option<FutexWait>,
}

impl<const N: usize> Link for Ring<N> {
    const WORDS: usize = N;

    fn open(side: &Side, label: &str) -> Self {
        let make = |path: &_| -> RingProducer<[u64; N]> {
            let builder = RingProducerBuilder::new(room(8 * N) as u64);
            let builder = builder.flow_control(FlowControl::LosslessBackpressure);
            builder.build(path).expect("a producer")
        };
        let join = |path: &_| RingConsumer::attach(path).expect("a consumer");
        let (out, back) = both(side, label, make, join);
        Ring { out, back, wait: None }
    }

    fn park(&mut self) {
        self.wait = Some(FutexWait::new(0, None));
    }

    #[inline(always)]
    fn send(&mut self, n: u64) {
        self.out.push(&words(n));
    }

    #[inline(always)]
    fn recv(&mut self, n: u64) {
        if let Some(wait) = &mut self.wait {
            return check_words(&self.back.recv_blocking(wait), n);
        }
        loop {
            match self.back.recv_status() {
                RecvStatus::Ok(words) => return check_words(&words, n),
                RecvStatus::Empty => {}
                RecvStatus::Lapped { skipped, .. } => panic!("{skipped} messages were lost"),
            }
        }
    }
}

/// Each side makes what it sends through; only then the other can come to it.
fn both<P, C>(
    side: &Side,
    label: &str,
    make: impl FnOnce(&PathBuf) -> P,
    join: impl FnOnce(&PathBuf) -> C,
) -> (P, C) {
    let [to, back] = files::paths(side, label);
    let (own, other) = if side.is_first() { (to, back) } else { (back, to) };
    let out = make(&own);
    side.meet();
    let back = join(&other);
    side.meet();
    (out, back)
}

struct Blobs<const N: usize> {
    out: BlobProducer<u64>,
    back: BlobConsumer<u64>,
}

impl<const N: usize> Link for Blobs<N> {
    const WORDS: usize = N;

    fn open(side: &Side, label: &str) -> Self {
        let make = |path: &_| {
            let bytes = (room(8 * N) * 8 * N).next_power_of_two();
            BlobProducerBuilder::new(16, bytes).build(path).expect("a producer")
        };
        let join = |path: &_| BlobConsumer::attach(path).expect("a consumer");
        let (out, back) = both(side, label, make, join);
        Blobs { out, back }
    }

    #[inline(always)]
    fn send(&mut self, n: u64) {
        self.out.push_with(&n, 8 * N, |bytes| fill_bytes(bytes, n)).expect("room");
    }

    #[inline(always)]
    fn recv(&mut self, n: u64) {
        while self.back.view(|_, bytes| check_bytes(bytes, n)).expect("a message").is_none() {}
    }
}
