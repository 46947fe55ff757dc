//! ringlane's contenders: each kind of ring, and sessions, in everything that is measured.
#![allow(unsafe_code, reason = "lends the bytes of records: both sides are this program")]

use crate::contender::Contender;
use crate::link::{Awake, Link};
use crate::payload::{check_bytes, check_words, fill_bytes, words};
use crate::row::{Measure, Row};
use crate::rows::session::carried;
use crate::side::Side;
use ringlane::session::Session;
use ringlane::{Wait, mpmc, record, spsc};

/// Messages of so many bytes that have room one way: for everybody who has a capacity. What is small stays in
/// the first or second cache, of frames there are a few.
pub const fn room(bytes: usize) -> usize {
    match bytes {
        ..=64 => 1024,
        65..=1024 => 64,
        1025..=1_048_576 => 4,
        _ => 2,
    }
}

/// All of them, in all sizes.
pub fn all() -> Vec<Row> {
    [
        Contender::new("ringlane values", "")
            .trip::<Values<1>>()
            .trip::<Values<8>>()
            .trip::<Values<128>>()
            .one_way::<Values<1>>()
            .one_way::<Values<7>>()
            .one_way::<Values<128>>()
            .asleep::<Values<8>>()
            .paced::<Values<8>>()
            .idle::<Values<8>>()
            .costs::<Values<8>>(),
        Contender::new("ringlane values, spinning", "Wait::Spin: cannot sleep")
            .trip::<Awake<Values<8>>>()
            .paced::<Awake<Values<8>>>(),
        Contender::new("ringlane records", "in place")
            .trip::<Records<1>>()
            .trip::<Records<8>>()
            .trip::<Records<128>>()
            .trip::<Records<8192>>()
            .trip::<Records<131_072>>()
            .one_way::<Records<1>>()
            .one_way::<Records<7>>()
            .one_way::<Records<128>>()
            .one_way::<Records<8192>>()
            .one_way::<Records<131_072>>()
            .one_way::<Records<1_036_800>>()
            .asleep::<Records<8>>()
            .paced::<Records<8>>()
            .idle::<Records<8>>()
            .costs::<Records<8>>(),
        Contender::new("ringlane records, spinning", "Wait::Spin: cannot sleep; in place")
            .trip::<Awake<Records<8>>>()
            .trip::<Awake<Records<128>>>()
            .trip::<Awake<Records<8192>>>()
            .trip::<Awake<Records<131_072>>>(),
        Contender::new("ringlane sessions", "peers need no trust; copies")
            .trip::<Sessions<1>>()
            .trip::<Sessions<8>>()
            .trip::<Sessions<128>>()
            .trip::<Sessions<8192>>()
            .trip::<Sessions<131_072>>()
            .one_way::<Sessions<1>>()
            .one_way::<Sessions<7>>()
            .one_way::<Sessions<128>>()
            .one_way::<Sessions<8192>>()
            .one_way::<Sessions<131_072>>()
            .one_way::<Sessions<1_036_800>>()
            .asleep::<Sessions<8>>()
            .paced::<Sessions<8>>()
            .idle::<Sessions<8>>()
            .costs::<Sessions<8>>(),
        Contender::new("ringlane mpmc", "one of each side")
            .trip::<Many<1>>()
            .trip::<Many<8>>()
            .one_way::<Many<1>>()
            .one_way::<Many<7>>()
            .asleep::<Many<8>>()
            .paced::<Many<8>>()
            .idle::<Many<8>>()
            .costs::<Many<8>>(),
    ]
    .map(Contender::rows)
    .concat()
}

/// Of those what no other file of rows has, less what only a comparison needs.
pub fn more() -> Vec<Row> {
    let mut rows = all();
    rows.retain(|row| match row.measure {
        _ if row.by.ends_with("spinning") => false,
        Measure::RoundTrip => row.by == "ringlane mpmc" || row.bytes > 1000 && row.bytes != 65_536,
        Measure::OneWay => row.by == "ringlane mpmc",
        Measure::Late => row.name.contains("every 10 us"),
        Measure::Idle | Measure::Start | Measure::Memory => true,
    });
    rows
}

/// Two queues and an end of each.
macro_rules! pair {
    ($queue:ty, $producer:ty, $consumer:ty) => {
        ([$queue; 2], $producer, $consumer)
    };
}

/// Makes or opens both queues of a link and takes this side's ends.
macro_rules! ends {
    ($side:expr, $label:expr, $create:expr, $open:expr) => {{
        let queues =
            ["to", "back"].map(|way| $side.shared(&format!("{}-{way}", $label), $create, $open));
        let [to, back] = &queues;
        let (out, back) = if $side.is_first() { (to, back) } else { (back, to) };
        let ends = (out.producer().expect("an end"), back.consumer().expect("an end"));
        (queues, ends.0, ends.1)
    }};
}

/// The same verbs of two kinds of queue that share no type.
macro_rules! values {
    ($name:ident, $module:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug)]
        pub struct $name<const N: usize>(
            pair!(
                $module::Queue<[u64; N]>,
                $module::Producer<[u64; N]>,
                $module::Consumer<[u64; N]>
            ),
        );

        impl<const N: usize> Link for $name<N> {
            const WORDS: usize = N;

            fn open(side: &Side, label: &str) -> Self {
                let create = |name: &_| $module::Queue::create(name, room(8 * N));
                $name(ends!(side, label, create, $module::Queue::open))
            }

            fn park(&mut self) {
                self.0.1.set_wait(Wait::Park);
                self.0.2.set_wait(Wait::Park);
            }

            fn spin(&mut self) {
                self.0.1.set_wait(Wait::Spin);
                self.0.2.set_wait(Wait::Spin);
            }

            #[inline(always)]
            fn send(&mut self, n: u64) {
                self.0.1.push(words(n)).expect("a living peer");
            }

            #[inline(always)]
            fn recv(&mut self, n: u64) {
                check_words(&self.0.2.pop().expect("a living peer"), n);
            }
        }
    };
}

values!(Values, spsc, "Values through `spsc`.");
values!(Many, mpmc, "Values through `mpmc`.");

/// Records, written and read where they lie.
#[derive(Debug)]
pub struct Records<const N: usize>(pair!(record::Queue, record::Producer, record::Consumer));

impl<const N: usize> Link for Records<N> {
    const WORDS: usize = N;

    fn open(side: &Side, label: &str) -> Self {
        let mut options = record::Queue::options();
        if 8 * N > 1024 {
            options.align(64);
        }
        options.holding(room(8 * N), 8 * N);
        Records(ends!(side, label, |name| options.create(name), |name| options.open(name)))
    }

    fn park(&mut self) {
        self.0.1.set_wait(Wait::Park);
        self.0.2.set_wait(Wait::Park);
    }

    fn spin(&mut self) {
        self.0.1.set_wait(Wait::Spin);
        self.0.2.set_wait(Wait::Spin);
    }

    #[inline(always)]
    fn send(&mut self, n: u64) {
        let mut room = self.0.1.reserve(8 * N).expect("a living peer");
        // SAFETY: both sides are this program, which touches only what it reserved or read.
        fill_bytes(unsafe { room.as_mut_slice() }, n);
        room.commit();
    }

    #[inline(always)]
    fn recv(&mut self, n: u64) {
        let record = self.0.2.read().expect("a living peer");
        assert_eq!(record.len(), 8 * N);
        // SAFETY: both sides are this program, which touches only what it reserved or read.
        check_bytes(unsafe { record.as_slice() }, n);
        record.release();
    }
}

/// A session, as a stream of bytes.
#[derive(Debug)]
pub struct Sessions<const N: usize> {
    session: Session,
    message: Vec<u8>,
}

impl<const N: usize> Link for Sessions<N> {
    const WORDS: usize = N;

    fn open(side: &Side, label: &str) -> Self {
        // What a session has if nothing is said, or two frames.
        let ring = (2 * 8 * N).next_power_of_two().max(1 << 18);
        Sessions { session: carried(side, label, ring), message: vec![0; 8 * N] }
    }

    fn park(&mut self) {
        self.session.set_wait(Wait::Park).expect("nobody uses it");
    }

    #[inline(always)]
    fn send(&mut self, n: u64) {
        fill_bytes(&mut self.message, n);
        self.session.write_all(&self.message).expect("a living peer");
    }

    #[inline(always)]
    fn recv(&mut self, n: u64) {
        self.session.read_exact(&mut self.message).expect("a living peer");
        check_bytes(&self.message, n);
    }
}
