//! shm-primitives: a buffer of bytes in two parts, in which a producer is granted room in one piece.

use crate::files;
use ringlane_bench::payload::{check_bytes, fill_bytes};
use ringlane_bench::rows::links::room;
use ringlane_bench::{Contender, Link, Row, Side};
use shm_primitives::mmap::{FileCleanup, MmapRegion};
use shm_primitives::{BIPBUF_HEADER_SIZE, BipBuf};
use std::path::Path;

pub(crate) fn rows() -> Vec<Row> {
    let usual = Contender::new("shm-primitives", "cannot sleep; lengths are the user's")
        .trip::<Bip<1>>()
        .trip::<Bip<8>>()
        .trip::<Bip<128>>()
        .trip::<Bip<8192>>()
        .trip::<Bip<131_072>>()
        .one_way::<Bip<1>>()
        .one_way::<Bip<7>>()
        .one_way::<Bip<128>>()
        .one_way::<Bip<8192>>()
        .one_way::<Bip<131_072>>()
        .one_way::<Bip<1_036_800>>()
        .paced::<Bip<8>>()
        .idle::<Bip<8>>()
        .costs::<Bip<8>>();
    // Often at its end, where it is seen to hand out what it has handed out before.
    let small = Contender::new("shm-primitives, 1000 B", "cannot sleep; lengths are the user's")
        .trip::<Bip<7, 1000>>()
        .one_way::<Bip<7, 1000>>();
    [usual.rows(), small.rows()].concat()
}

/// With room for as much as everybody has, or for so many bytes.
struct Bip<const N: usize, const ROOM: usize = 0> {
    out: BipBuf,
    back: BipBuf,
    // Below what lies in them.
    _memory: [MmapRegion; 2],
}

impl<const N: usize, const ROOM: usize> Link for Bip<N, ROOM> {
    const WORDS: usize = N;

    fn open(side: &Side, label: &str) -> Self {
        // It wants one byte more than it can hold.
        let capacity = if ROOM > 0 { ROOM } else { (room(8 * N) + 1) * 8 * N };
        let create = |path: &Path| {
            let size = BIPBUF_HEADER_SIZE + capacity;
            let memory = MmapRegion::create(path, size, FileCleanup::Manual).expect("memory");
            // SAFETY: fresh memory of that size, that nobody else has yet.
            let ring = unsafe { BipBuf::init(memory.region(), 0, capacity as u32) };
            (memory, ring)
        };
        let attach = |path: &Path| {
            let memory = MmapRegion::attach(path).expect("memory");
            // SAFETY: the first side has made it.
            let ring = unsafe { BipBuf::attach(memory.region(), 0) };
            (memory, ring)
        };
        let [to, back] = files::open(
            side,
            label,
            |paths| paths.each_ref().map(|path| create(path)),
            |paths| paths.each_ref().map(|path| attach(path)),
        );
        let (out, back) = if side.is_first() { (to, back) } else { (back, to) };
        Bip { out: out.1, back: back.1, _memory: [out.0, back.0] }
    }

    #[inline(always)]
    fn send(&mut self, n: u64) {
        loop {
            if let Some(room) = self.out.inner().try_grant(8 * N as u32) {
                fill_bytes(room, n);
                self.out.inner().commit(8 * N as u32);
                return;
            }
        }
    }

    #[inline(always)]
    fn recv(&mut self, n: u64) {
        loop {
            if let Some(bytes) = self.back.inner().try_read() {
                check_bytes(&bytes[..8 * N], n);
                self.back.inner().release(8 * N as u32);
                return;
            }
        }
    }
}
