//! shaq: values of one type in a file that both map.

use crate::files;
use ringlane_bench::payload::{check_slice, check_words, fill_slice, words};
use ringlane_bench::rows::links::room;
use ringlane_bench::{Contender, Link, Row, Side};
use shaq::spsc::{Consumer, Producer, minimum_file_size};
use std::fs::{File, OpenOptions};
use std::mem::MaybeUninit;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

pub(crate) fn rows() -> Vec<Row> {
    Contender::new("shaq spsc", "types of the two sides unchecked; a producer cannot sleep")
        .trip::<Shaq<1>>()
        .trip::<Shaq<8>>()
        .trip::<Shaq<128>>()
        .trip::<Shaq<8192>>()
        .trip::<Shaq<131_072>>()
        .one_way::<Shaq<1>>()
        .one_way::<Shaq<7>>()
        .one_way::<Shaq<128>>()
        .one_way::<Shaq<8192>>()
        .one_way::<Shaq<131_072>>()
        .one_way::<Shaq<1_036_800>>()
        .asleep::<Shaq<8>>()
        .paced::<Shaq<8>>()
        .idle::<Shaq<8>>()
        .costs::<Shaq<8>>()
        .rows()
}

struct Shaq<const N: usize> {
    out: Producer<[u64; N]>,
    back: Consumer<[u64; N]>,
    parked: bool,
}

fn file(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).open(path).expect("a file")
}

impl<const N: usize> Link for Shaq<N> {
    const WORDS: usize = N;

    fn open(side: &Side, label: &str) -> Self {
        let size = minimum_file_size::<[u64; N]>(room(8 * N));
        let (out, back) = files::open(
            side,
            label,
            // SAFETY: fresh files, one end of each, and both sides mean the same type.
            |[to, back]| unsafe {
                (Producer::create(&file(to), size), Consumer::create(&file(back), size))
            },
            // SAFETY: as above.
            |[to, back]| unsafe { (Producer::join(&file(back)), Consumer::join(&file(to))) },
        );
        Shaq { out: out.expect("an end"), back: back.expect("an end"), parked: false }
    }

    fn park(&mut self) {
        self.parked = true;
    }

    #[inline(always)]
    fn send(&mut self, n: u64) {
        if N <= 128 {
            while self.out.try_write(words(n)).is_err() {}
            return;
        }
        // In place: too large to be handed over by value.
        loop {
            let mut batch = self.out.write_batch();
            // SAFETY: all of it is written before the batch ends.
            if let Some(slot) = unsafe { batch.try_as_mut() } {
                // SAFETY: N words, every value of which is one.
                fill_slice(unsafe { words_of(slot) }, n);
                return;
            }
        }
    }

    #[inline(always)]
    fn recv(&mut self, n: u64) {
        const LONG: Duration = Duration::from_secs(10);
        if N <= 128 {
            if self.parked {
                check_words(&self.back.read_timeout(LONG).expect("a message"), n);
                return;
            }
            loop {
                if let Some(words) = self.back.try_read() {
                    return check_words(&words, n);
                }
            }
        }
        loop {
            if let Some(batch) = self.back.try_reserve_read_batch(NonZeroUsize::MIN) {
                return check_slice(batch.get(0).expect("one"), n);
            }
        }
    }
}

/// # Safety
/// It is written before it is read.
unsafe fn words_of<const N: usize>(slot: &mut MaybeUninit<[u64; N]>) -> &mut [u64] {
    // SAFETY: as much memory as that; the caller writes it first.
    unsafe { std::slice::from_raw_parts_mut(slot.as_mut_ptr().cast(), N) }
}
