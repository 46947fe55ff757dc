//! Does each operation once, between stores that a trace of memory accesses shows; for `ci/loads.sh`, which fails if an
//! operation loads a word of the ring twice.
#![allow(missing_docs, reason = "a program")]

use ringlane::mpmc::Delivery;
use ringlane::session::Session;
use ringlane::spsc::Layout;
use ringlane::{Name, call, mpmc, mpmc_record, record, spsc};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A store to one of these begins an operation, and to the last one ends it.
static MARKS: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];

struct Marks(usize);

/// The offset of a producer's position in a ring of values. Into slots, it keeps it there and nowhere else, and looks twice:
/// wherever it then says to go, it is within the ring. All others have their own.
const PRODUCER: usize = 1024;
/// The offset of the standing in a ring for many. A producer that is alone has to look at it twice, before it says where it
/// writes and after: each time it only compares it with what it was.
const STANDING: usize = 1792;
const NOBODY: (usize, usize) = (0, 1);

impl Marks {
    /// Does it twice: the first time, what is private to this process is set up on the way.
    fn twice<T>(&mut self, name: &str, work: impl FnMut() -> T) {
        self.rounds(name, 1, || {}, work);
    }

    /// The same for what goes so many rounds, each of which looks anew, and after something else.
    fn rounds<T>(
        &mut self,
        name: &str,
        most: usize,
        mut before: impl FnMut(),
        mut work: impl FnMut() -> T,
    ) {
        before();
        black_box(work());
        before();
        self.mark(name, most, NOBODY, work);
    }

    fn once<T>(&mut self, name: &str, work: impl FnMut() -> T) {
        self.mark(name, 1, NOBODY, work);
    }

    /// The same for a side that looks so often at one word: where it keeps its position in the ring, or what it may find
    /// changed in between.
    fn own<T>(
        &mut self,
        name: &str,
        own: (usize, usize),
        mut before: impl FnMut(),
        mut work: impl FnMut() -> T,
    ) {
        before();
        black_box(work());
        before();
        self.mark(name, 1, own, work);
    }

    fn mark<T>(
        &mut self,
        name: &str,
        most: usize,
        own: (usize, usize),
        mut work: impl FnMut() -> T,
    ) {
        let (own, looks) = own;
        println!("mark {:p} {name} {most} {own} {looks}", &raw const MARKS[self.0]);
        MARKS[self.0].store(1, Relaxed);
        let done = work();
        MARKS[63].store(1, Relaxed);
        black_box(done);
        self.0 += 1;
    }
}

/// Where this process has what it shares with others.
fn ranges() {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("/proc");
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|f| f.ends_with('s')))
    {
        let mut fields = line.split_ascii_whitespace();
        let (range, _, offset) = (fields.next(), fields.next(), fields.next());
        let (device, inode) = (fields.next(), fields.next());
        if let (Some((from, to)), Some(offset), Some(inode), Some(_)) =
            (range.and_then(|range| range.split_once('-')), offset, inode, device)
        {
            println!("range {from} {to} {offset} {inode}");
        }
    }
}

fn main() {
    let mut marks = Marks(0);
    println!("end {:p}", &raw const MARKS[63]);
    let name = Name::new(&format!("ringlane-loads-{}", std::process::id())).expect("a name");
    for (layout, label) in [(Layout::Slots, "slots"), (Layout::Dense, "dense")] {
        let mut options = spsc::Queue::<[u64; 4]>::options();
        let queue = options.capacity(16).layout(layout).create(&name).expect("a queue");
        let (mut producer, mut consumer) =
            (queue.producer().expect("an end"), queue.consumer().expect("an end"));
        ranges();
        let own = |looks| if layout == Layout::Slots { (PRODUCER, looks) } else { NOBODY };
        marks.own(&format!("spsc_{label}_push"), own(2), || {}, || producer.try_push([7; 4]));
        marks.twice(&format!("spsc_{label}_pop"), || consumer.try_pop());
        marks.own(
            &format!("spsc_{label}_commit"),
            own(2),
            || {},
            || {
                let mut room = producer.try_reserve(4).expect("room");
                room.copy_from_slice(&[[7; 4]; 4]);
                room.commit();
            },
        );
        marks.twice(&format!("spsc_{label}_read"), || {
            let span = consumer.try_read(4).expect("values");
            let mut out = [[0; 4]; 4];
            span.copy_to_slice(&mut out[..span.len()]);
            span.release();
            out
        });
        for _ in 0..16 {
            let _ = producer.try_push([1; 4]);
        }
        // Full, and then not: the peer's position is read.
        let before = || _ = consumer.try_pop();
        marks.own(&format!("spsc_{label}_push_after_full"), own(3), before, || {
            producer.try_push([7; 4])
        });
    }
    for (mirrored, label) in [(true, "mirrored"), (false, "padded")] {
        let mut options = record::Queue::options();
        let queue = options.capacity(8192).mirrored(mirrored).create(&name).expect("a queue");
        let (mut producer, mut consumer) =
            (queue.producer().expect("an end"), queue.consumer().expect("an end"));
        ranges();
        marks.twice(&format!("record_{label}_push"), || producer.try_push(&[7; 100]));
        let mut out = [0; 100];
        marks.twice(&format!("record_{label}_read"), || {
            let record = consumer.try_read().expect("a record");
            record.read_at(0, &mut out);
            record.release();
        });
        let _ = (producer.try_push(&[7; 100]), producer.try_push(&[7; 100]));
        marks.twice(&format!("record_{label}_pop"), || consumer.try_pop());
    }
    let cell = call::Cell::<u64, u64>::create(&name).expect("a cell");
    let (mut caller, mut server) = (cell.caller().expect("an end"), cell.server().expect("an end"));
    ranges();
    for _ in 0..3 {
        let _ = (caller.try_start(1), server.try_serve(|n| n), caller.try_finish());
    }
    // Each side's turn comes once, so nothing is done twice.
    marks.once("call_start", || caller.try_start(1));
    marks.once("call_serve", || server.try_serve(|n| n));
    marks.once("call_finish", || caller.try_finish());
    drop((caller, server, cell));
    for (delivery, label) in [(Delivery::AtMostOnce, "mpmc"), (Delivery::AtLeastOnce, "acked")] {
        let mut options = mpmc::Queue::<[u64; 3]>::options();
        let queue = options.capacity(16).delivery(delivery).create(&name).expect("a queue");
        let (mut producer, mut consumer) =
            (queue.producer().expect("an end"), queue.consumer().expect("an end"));
        ranges();
        let push = format!("{label}_push_alone");
        marks.own(&push, (STANDING, 2), || {}, || producer.try_push([7; 3]));
        let _beside = queue.producer().expect("an end");
        // It learns of that once, and looks again.
        producer.try_push([7; 3]).expect("room");
        marks.twice(&format!("{label}_push"), || producer.try_push([7; 3]));
        // Who acknowledges goes over what is done with, round by round.
        let rounds = if delivery == Delivery::AtLeastOnce { 2 } else { 1 };
        marks.rounds(&format!("{label}_pop"), rounds, || {}, || consumer.try_pop());
        marks.twice(&format!("{label}_push_slice"), || producer.try_push_slice(&[[7; 3]; 4]));
        let mut out = [[0; 3]; 4];
        marks.rounds(
            &format!("{label}_pop_slice"),
            rounds,
            || {},
            || consumer.try_pop_slice(&mut out),
        );
    }
    for (delivery, label) in
        [(Delivery::AtMostOnce, "mpmc_record"), (Delivery::AtLeastOnce, "acked_record")]
    {
        let mut options = mpmc_record::Queue::options();
        let queue = options.capacity(8192).delivery(delivery).create(&name).expect("a queue");
        let (mut producer, mut consumer) =
            (queue.producer().expect("an end"), queue.consumer().expect("an end"));
        ranges();
        let rounds = if delivery == Delivery::AtLeastOnce { 2 } else { 1 };
        marks.twice(&format!("{label}_push"), || producer.try_push(&[7; 100]));
        marks.rounds(&format!("{label}_pop"), rounds, || {}, || consumer.try_pop());
        let _ = (producer.try_push(&[7; 100]), producer.try_push(&[7; 100]));
        marks.rounds(
            &format!("{label}_take"),
            rounds,
            || {},
            || {
                let taken = consumer.try_take().expect("a record");
                let mut out = [0; 100];
                taken.read_at(0, &mut out);
                taken.acknowledge();
                out
            },
        );
    }
    let (one, other) = Session::pair(8192).expect("a pair");
    ranges();
    let mut out = [0; 100];
    marks.twice("session_send", || one.try_send(&[7; 100]));
    marks.twice("session_read", || other.try_read(&mut out));
    let _ = (one.try_send(&[7; 100]), one.try_send(&[7; 100]));
    marks.twice("session_recv", || other.try_recv());
}
