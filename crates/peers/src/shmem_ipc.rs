//! shmem-ipc: a sealed memfd and two eventfds, for peers that need not trust each other.

use crate::pass;
use ringlane_bench::payload::{check_slice, fill_slice};
use ringlane_bench::rows::links::room;
use ringlane_bench::{Contender, Link, Row, Side};
use shmem_ipc::sharedring::{Receiver, Sender};
use std::fs::File;

pub(crate) fn rows() -> Vec<Row> {
    Contender::new("shmem-ipc", "in place; a wake-up is a write to an eventfd")
        .trip::<Shared<1>>()
        .trip::<Shared<8>>()
        .trip::<Shared<128>>()
        .trip::<Shared<8192>>()
        .trip::<Shared<131_072>>()
        .one_way::<Shared<1>>()
        .one_way::<Shared<7>>()
        .one_way::<Shared<128>>()
        .one_way::<Shared<8192>>()
        .one_way::<Shared<131_072>>()
        .one_way::<Shared<1_036_800>>()
        .asleep::<Shared<8>>()
        .paced::<Shared<8>>()
        .idle::<Shared<8>>()
        .costs::<Shared<8>>()
        .rows()
}

/// Its low-level ends while nobody sleeps, which signal nothing; its own blocking calls once parked.
struct Shared<const N: usize> {
    out: Sender<[u64; N]>,
    back: Receiver<[u64; N]>,
    parked: bool,
}

impl<const N: usize> Link for Shared<N> {
    const WORDS: usize = N;

    fn open(side: &Side, label: &str) -> Self {
        let room = room(8 * N);
        let stream = pass::socket(side, label);
        let (out, back) = if side.is_first() {
            let out = Sender::new(room).expect("a ring");
            let back = Receiver::new(room).expect("a ring");
            let of = [out.memfd().as_file(), out.empty_signal(), out.full_signal()];
            pass::send(&stream, &of);
            pass::send(&stream, &[back.memfd().as_file(), back.empty_signal(), back.full_signal()]);
            (out, back)
        } else {
            let mut rings = [0, 1].map(|_| {
                let files = pass::receive(&stream);
                <[File; 3]>::try_from(files).expect("three")
            });
            let [back, out] = &mut rings;
            let take = |files: &mut [File; 3]| {
                files.each_ref().map(|file| file.try_clone().expect("a descriptor"))
            };
            let [memory, empty, full] = take(back);
            let back = Receiver::open(room, memory, empty, full).expect("a ring");
            let [memory, empty, full] = take(out);
            (Sender::open(room, memory, empty, full).expect("a ring"), back)
        };
        Shared { out, back, parked: false }
    }

    fn park(&mut self) {
        self.parked = true;
    }

    #[inline(always)]
    fn send(&mut self, n: u64) {
        let write = |at: *mut [u64; N], count: usize| {
            assert!(count > 0, "it calls this if there is room");
            // SAFETY: room for one message, which the receiver does not touch yet.
            fill_slice(unsafe { std::slice::from_raw_parts_mut(at.cast::<u64>(), N) }, n);
            1
        };
        if self.parked {
            self.out.block_until_writable().expect("a ring");
            self.out.send_raw(write).expect("sent");
            return;
        }
        while self.out.sender_mut().write_count().expect("a ring") == 0 {}
        self.out.sender_mut().send(write).expect("sent");
    }

    #[inline(always)]
    fn recv(&mut self, n: u64) {
        let read = |at: *const [u64; N], count: usize| {
            assert!(count > 0, "it calls this if there is a message");
            // SAFETY: one message, which the sender has written and does not touch.
            check_slice(unsafe { std::slice::from_raw_parts(at.cast::<u64>(), N) }, n);
            1
        };
        if self.parked {
            self.back.block_until_readable().expect("a ring");
            self.back.receive_raw(read).expect("received");
            return;
        }
        while self.back.receiver_mut().read_count().expect("a ring") == 0 {}
        self.back.receiver_mut().recv(read).expect("received");
    }
}
