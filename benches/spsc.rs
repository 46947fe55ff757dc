//! Round trips and one-way rates between two pinned processes, beside the floor of the same run.
//!
//! `cargo bench --bench spsc [-- ROW [SCALE]]`: the rows whose names hold ROW, with SCALE times as many
//! messages. Each row is run in several interleaved rounds, with its floor, a ping-pong in two lines or, for
//! calls, in one, probed before and after; every message is checked. Only ratios mean anything: the
//! host moves the virtual processors about.
#![allow(unsafe_code, reason = "the floors are bare atomics in shared memory")]
#![allow(missing_docs, reason = "a program")]

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use ringlane::{Mapping, Name, PopError, SharedMemory, Wait, call, record, spsc};
use std::hint::black_box;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const ROUNDS: usize = 7;

static PEER: OnceLock<usize> = OnceLock::new();

/// One row of the table.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    messages: u64,
    /// Bytes of payload of a message.
    bytes: u64,
    unit: Unit,
    run: fn(&str, u64, bool) -> Duration,
    floor: Floor,
}

/// The bare loop that a row is compared with.
#[derive(Clone, Copy, PartialEq)]
enum Floor {
    /// There and back, each in a line of its own.
    TwoLines,
    /// There and back in the same line.
    OneLine,
}

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    /// Nanoseconds a round trip.
    RoundTrip,
    /// Million messages a second.
    Rate,
}

const ROWS: &[Row] = &[
    Row {
        name: "spsc round trip 8 B",
        messages: 300_000,
        bytes: 8,
        unit: Unit::RoundTrip,
        run: trip::<1>,
        floor: Floor::TwoLines,
    },
    Row {
        name: "spsc round trip 56 B",
        messages: 300_000,
        bytes: 56,
        unit: Unit::RoundTrip,
        run: trip::<7>,
        floor: Floor::TwoLines,
    },
    Row {
        name: "record round trip 56 B",
        messages: 300_000,
        bytes: 56,
        unit: Unit::RoundTrip,
        run: record_trip,
        floor: Floor::TwoLines,
    },
    Row {
        name: "spsc one way 8 B, spinning only",
        messages: 20_000_000,
        bytes: 8,
        unit: Unit::Rate,
        run: one_way_spin,
        floor: Floor::TwoLines,
    },
    Row {
        name: "spsc one way 8 B",
        messages: 20_000_000,
        bytes: 8,
        unit: Unit::Rate,
        run: one_way::<1>,
        floor: Floor::TwoLines,
    },
    Row {
        name: "spsc one way 56 B",
        messages: 5_000_000,
        bytes: 56,
        unit: Unit::Rate,
        run: one_way::<7>,
        floor: Floor::TwoLines,
    },
    Row {
        name: "spsc one way 1 KiB",
        messages: 1_000_000,
        bytes: 1024,
        unit: Unit::Rate,
        run: one_way::<128>,
        floor: Floor::TwoLines,
    },
    Row {
        name: "record one way 56 B",
        messages: 5_000_000,
        bytes: 56,
        unit: Unit::Rate,
        run: record_one_way::<7>,
        floor: Floor::TwoLines,
    },
    Row {
        name: "record one way 1 KiB",
        messages: 1_000_000,
        bytes: 1024,
        unit: Unit::Rate,
        run: record_one_way::<128>,
        floor: Floor::TwoLines,
    },
    Row {
        name: "futex round trip, bare",
        messages: 5_000,
        bytes: 0,
        unit: Unit::RoundTrip,
        run: futex_trip,
        floor: Floor::TwoLines,
    },
    Row {
        name: "spsc round trip 8 B, both asleep",
        messages: 5_000,
        bytes: 8,
        unit: Unit::RoundTrip,
        run: sleeping_trip,
        floor: Floor::TwoLines,
    },
    Row {
        name: "one-line floor",
        messages: 300_000,
        bytes: 0,
        unit: Unit::RoundTrip,
        run: one_line,
        floor: Floor::OneLine,
    },
    Row {
        name: "call cell round trip 8 B",
        messages: 300_000,
        bytes: 8,
        unit: Unit::RoundTrip,
        run: calls::<1>,
        floor: Floor::OneLine,
    },
    Row {
        name: "call cell round trip 56 B",
        messages: 300_000,
        bytes: 56,
        unit: Unit::RoundTrip,
        run: calls::<7>,
        floor: Floor::OneLine,
    },
    Row {
        name: "call cell round trip 256 B",
        messages: 300_000,
        bytes: 256,
        unit: Unit::RoundTrip,
        run: calls::<32>,
        floor: Floor::OneLine,
    },
    Row {
        name: "call cell round trip 8 B, both asleep",
        messages: 5_000,
        bytes: 8,
        unit: Unit::RoundTrip,
        run: sleeping_calls,
        floor: Floor::OneLine,
    },
];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, peer, row, messages, name] = &args[..]
        && peer == "peer"
    {
        pin_peer();
        let row = &ROWS[row.parse::<usize>().expect("a row")];
        (row.run)(name, messages.parse().expect("a number"), false);
        return;
    }
    if let [_, floor, name] = &args[..]
        && floor == "floor-peer"
    {
        pin_peer();
        two_lines(name, FLOOR_TRIPS, false);
        return;
    }
    if let [_, floor, name] = &args[..]
        && floor == "one-line-peer"
    {
        pin_peer();
        one_line(name, FLOOR_TRIPS, false);
        return;
    }
    let mut wanted = args.iter().skip(1).filter(|arg| !arg.starts_with('-'));
    let only = wanted.next().cloned();
    let scale = wanted.next().map_or(1, |scale| scale.parse().expect("SCALE is a number"));
    let (here, there) = processors();
    pin(here);
    PEER.set(there).expect("once");
    let mut results: Vec<Vec<(f64, f64)>> = vec![Vec::new(); ROWS.len()];
    for round in 0..ROUNDS {
        for (index, row) in ROWS.iter().enumerate() {
            if only.as_ref().is_some_and(|only| !row.name.contains(only.as_str())) {
                continue;
            }
            let messages = row.messages * scale;
            let before = floor(row.floor);
            let peer = ["peer".to_owned(), index.to_string(), messages.to_string()];
            let took = with_peer(&peer, &format!("bench{round}-{index}"), |name| {
                (row.run)(name, messages, true)
            });
            let floor = (before + floor(row.floor)) / 2.0;
            let each = took.as_secs_f64() / messages as f64;
            results[index].push((floor, each * 1e9));
        }
        eprint!("\rround {} of {ROUNDS}", round + 1);
    }
    eprintln!();
    println!("| row | median | spread | floor ns (placement) | ratio to the floor |");
    println!("|---|---|---|---|---|");
    for (row, results) in ROWS.iter().zip(results).filter(|(_, results)| !results.is_empty()) {
        let floor = median(results.iter().map(|r| r.0));
        let each = median(results.iter().map(|r| r.1));
        let ratio = median(results.iter().map(|r| r.1 / r.0));
        let (low, high) =
            results.iter().fold((f64::MAX, 0.0_f64), |(l, h), r| (l.min(r.1), h.max(r.1)));
        let show = |ns: f64| match row.unit {
            Unit::RoundTrip => format!("{ns:.0} ns"),
            Unit::Rate => format!("{:.1} M/s", 1e3 / ns),
        };
        let rate = match row.unit {
            Unit::Rate if row.bytes >= 1024 => format!(" ({:.1} GB/s)", row.bytes as f64 / each),
            _ => String::new(),
        };
        let ratio = match row.unit {
            Unit::RoundTrip => format!("{ratio:.2}x"),
            Unit::Rate => "-".into(),
        };
        println!(
            "| {} | {}{rate} | {} to {} | {floor:.0} ({}) | {ratio} |",
            row.name,
            show(each),
            show(low),
            show(high),
            placement(floor),
        );
    }
}

fn placement(floor: f64) -> &'static str {
    match floor {
        ..75.0 => "one core",
        ..250.0 => "near",
        _ => "far",
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The processors for the two sides, chosen before anything is pinned.
fn processors() -> (usize, usize) {
    let allowed = sched_getaffinity(Pid::from_raw(0)).expect("affinity");
    let mut usable = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false));
    let first = usable.next().expect("at least this one");
    let second = usable.next().unwrap_or_else(|| {
        eprintln!("only one processor: both sides share it, and no figure means much");
        first
    });
    (first, second)
}

fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu).expect("a processor");
    sched_setaffinity(Pid::from_raw(0), &set).expect("pin");
}

/// Where the parent tells the child which processor is its own.
const PEER_CPU: &str = "RINGLANE_BENCH_CPU";

fn pin_peer() {
    pin(std::env::var(PEER_CPU).expect("set by the parent").parse().expect("a number"));
}

/// Runs this side of a row while a child runs the other.
fn with_peer(args: &[String], id: &str, side: impl FnOnce(&str) -> Duration) -> Duration {
    let name = format!("ringlane-{}-{id}", std::process::id());
    let mut command = Command::new(std::env::current_exe().expect("own path"));
    command.args(args).arg(&name).env(PEER_CPU, PEER.get().expect("set in main").to_string());
    let mut child: Child = command.spawn().expect("a second process");
    let took = side(&name);
    assert!(child.wait().expect("a child").success(), "the peer failed");
    took
}

const FLOOR_TRIPS: u64 = 100_000;

/// Nanoseconds a round trip of bare lines.
fn floor(kind: Floor) -> f64 {
    let (peer, run): (_, fn(&str, u64, bool) -> Duration) = match kind {
        Floor::TwoLines => ("floor-peer", two_lines),
        Floor::OneLine => ("one-line-peer", one_line),
    };
    let took = with_peer(&[peer.to_owned()], "floor", |name| run(name, FLOOR_TRIPS, true));
    took.as_secs_f64() * 1e9 / FLOOR_TRIPS as f64
}

fn bare(name: &str, first: bool) -> (Option<SharedMemory>, Mapping) {
    let name = Name::new(name).expect("a name");
    if first {
        let memory = SharedMemory::create(&name, 4096).expect("memory");
        let mapping = memory.map().expect("a mapping");
        (Some(memory), mapping)
    } else {
        (None, retry(|| SharedMemory::open(&name)).map().expect("a mapping"))
    }
}

fn word(mapping: &Mapping, offset: usize) -> &AtomicU64 {
    assert!(offset + 8 <= mapping.len());
    // SAFETY: in bounds, just checked.
    let word = unsafe { mapping.as_ptr().add(offset) };
    // SAFETY: mapped while `mapping` is borrowed, and the offsets used are multiples of a line.
    unsafe { word.cast::<AtomicU64>().as_ref() }
}

fn two_lines(name: &str, trips: u64, first: bool) -> Duration {
    let (_memory, mapping) = bare(name, first);
    let (ping, pong) = (word(&mapping, 0), word(&mapping, 256));
    let lap = |from: u64, to: u64| {
        for n in from..to {
            if first {
                ping.store(n, Ordering::Release);
                while pong.load(Ordering::Acquire) != n {}
            } else {
                while ping.load(Ordering::Acquire) != n {}
                pong.store(n, Ordering::Release);
            }
        }
    };
    lap(1, 1000);
    let start = Instant::now();
    lap(1000, 1000 + trips);
    start.elapsed()
}

/// Both ways in one line: each side waits for the other's number and writes the next.
fn one_line(name: &str, trips: u64, first: bool) -> Duration {
    let (_memory, mapping) = bare(name, first);
    let turn = word(&mapping, 0);
    let lap = |from: u64, to: u64| {
        for n in from..to {
            if first {
                turn.store(2 * n + 1, Ordering::Release);
                while turn.load(Ordering::Acquire) != 2 * n + 2 {}
            } else {
                while turn.load(Ordering::Acquire) != 2 * n + 1 {}
                turn.store(2 * n + 2, Ordering::Release);
            }
        }
    };
    lap(0, 1000);
    let start = Instant::now();
    lap(1000, 1000 + trips);
    start.elapsed()
}

/// The peer may not have created it yet.
fn retry<T>(mut open: impl FnMut() -> ringlane::Result<T>) -> T {
    let watchdog = Instant::now() + Duration::from_secs(30);
    loop {
        match open() {
            Ok(value) => return value,
            Err(error) => assert!(Instant::now() < watchdog, "{error}"),
        }
        std::thread::yield_now();
    }
}

type Words<const N: usize> = [u64; N];

fn message<const N: usize>(n: u64) -> Words<N> {
    std::array::from_fn(|i| n.wrapping_add(i as u64))
}

fn check<const N: usize>(words: &Words<N>, n: u64) {
    let wrong =
        words.iter().enumerate().fold(0, |bad, (i, word)| bad | (word ^ n.wrapping_add(i as u64)));
    assert!(wrong == 0, "message {n} is not what was sent");
}

fn names(name: &str) -> (Name, Name) {
    let to = Name::new(&format!("{name}-to")).expect("a name");
    (to, Name::new(&format!("{name}-back")).expect("a name"))
}

type Ends<const N: usize> = (spsc::Producer<Words<N>>, spsc::Consumer<Words<N>>);

/// Two queues, one a direction; both sides keep the handles until they are done.
fn pair<const N: usize>(name: &str, first: bool) -> (Vec<spsc::Queue<Words<N>>>, Ends<N>) {
    let (to, back) = names(name);
    let options = spsc::Queue::<Words<N>>::options().capacity(64).clone();
    if first {
        let queues =
            vec![options.create(&to).expect("a queue"), options.create(&back).expect("a queue")];
        let ends = (queues[0].producer().expect("an end"), queues[1].consumer().expect("an end"));
        (queues, ends)
    } else {
        let queues = vec![retry(|| options.open(&to)), retry(|| options.open(&back))];
        let ends = (queues[1].producer().expect("an end"), queues[0].consumer().expect("an end"));
        (queues, ends)
    }
}

fn trips<const N: usize>(name: &str, trips: u64, first: bool, wait: Wait) -> Duration {
    let (_queues, (mut producer, mut consumer)) = pair::<N>(name, first);
    producer.set_wait(wait);
    consumer.set_wait(wait);
    let mut lap = |from: u64, to: u64| {
        for n in from..to {
            if first {
                producer.push(message(n)).expect("a living peer");
                check::<N>(&consumer.pop().expect("a living peer"), n);
            } else {
                let words = consumer.pop().expect("a living peer");
                check::<N>(&words, n);
                producer.push(words).expect("a living peer");
            }
        }
    };
    let warm = trips / 10;
    lap(0, warm);
    let start = Instant::now();
    lap(warm, warm + trips);
    start.elapsed()
}

fn trip<const N: usize>(name: &str, count: u64, first: bool) -> Duration {
    trips::<N>(name, count, first, Wait::default())
}

fn sleeping_trip(name: &str, count: u64, first: bool) -> Duration {
    trips::<1>(name, count, first, Wait::Park)
}

fn calls_as<const N: usize>(name: &str, trips: u64, first: bool, wait: Wait) -> Duration {
    let name = Name::new(name).expect("a name");
    let warm = trips / 10;
    if !first {
        let cell = retry(|| call::Cell::<Words<N>, Words<N>>::open(&name));
        let mut server = cell.server().expect("an end");
        server.set_wait(wait);
        for n in 0..warm + trips {
            let served = server.serve(|words| {
                check::<N>(&words, n);
                words
            });
            served.expect("a living peer");
        }
        return Duration::ZERO;
    }
    let cell = call::Cell::<Words<N>, Words<N>>::create(&name).expect("a cell");
    let mut caller = cell.caller().expect("an end");
    caller.set_wait(wait);
    let mut lap = |from: u64, to: u64| {
        for n in from..to {
            check::<N>(&caller.call(message(n)).expect("a living peer"), n);
        }
    };
    lap(0, warm);
    let start = Instant::now();
    lap(warm, warm + trips);
    start.elapsed()
}

fn calls<const N: usize>(name: &str, count: u64, first: bool) -> Duration {
    calls_as::<N>(name, count, first, Wait::default())
}

fn sleeping_calls(name: &str, count: u64, first: bool) -> Duration {
    calls_as::<1>(name, count, first, Wait::Park)
}

fn one_way_as<const N: usize>(name: &str, count: u64, first: bool, wait: Wait) -> Duration {
    let name = Name::new(name).expect("a name");
    // About 64 KiB of slots: within the second-level cache of either core.
    let capacity = (1 << 16) / (8 * N + 8).next_power_of_two();
    let options = spsc::Queue::<Words<N>>::options().capacity(capacity).clone();
    if first {
        let queue = options.create(&name).expect("a queue");
        let mut producer = queue.producer().expect("an end");
        producer.set_wait(wait);
        assert!(producer.wait_peer(Some(Duration::from_secs(30))), "no peer");
        let start = Instant::now();
        for n in 0..count {
            producer.push(message(n)).expect("a living peer");
        }
        producer.flush(None).expect("a living peer");
        start.elapsed()
    } else {
        let mut consumer = retry(|| options.open(&name)).consumer().expect("an end");
        consumer.set_wait(wait);
        for n in 0..count {
            check::<N>(&consumer.pop().expect("a living peer"), n);
        }
        assert_eq!(consumer.pop().expect_err("nothing more was sent"), PopError::Closed);
        Duration::ZERO
    }
}

fn one_way<const N: usize>(name: &str, count: u64, first: bool) -> Duration {
    one_way_as::<N>(name, count, first, Wait::default())
}

fn one_way_spin(name: &str, count: u64, first: bool) -> Duration {
    one_way_as::<1>(name, count, first, Wait::Spin)
}

fn record_trip(name: &str, trips: u64, first: bool) -> Duration {
    let (to, back) = names(name);
    let options = record::Queue::options().capacity(1 << 14).clone();
    let open = |name: &Name| match first {
        true => options.create(name).expect("a queue"),
        false => retry(|| options.open(name)),
    };
    let queues = [open(&to), open(&back)];
    let (mine, theirs) = if first { (0, 1) } else { (1, 0) };
    let mut producer = queues[mine].producer().expect("an end");
    let mut consumer = queues[theirs].consumer().expect("an end");
    let mut lap = |from: u64, to: u64| {
        for n in from..to {
            if first {
                send::<7>(&mut producer, n);
                receive::<7>(&mut consumer, n);
            } else {
                receive::<7>(&mut consumer, n);
                send::<7>(&mut producer, n);
            }
        }
    };
    let warm = trips / 10;
    lap(0, warm);
    let start = Instant::now();
    lap(warm, warm + trips);
    start.elapsed()
}

fn send<const N: usize>(producer: &mut record::Producer, n: u64) {
    let mut room = producer.reserve(8 * N).expect("a living peer");
    // SAFETY: both processes are this program, which writes only to what it reserved.
    let bytes = unsafe { room.as_mut_slice() };
    for (i, word) in bytes.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&n.wrapping_add(i as u64).to_ne_bytes());
    }
    room.commit();
}

fn receive<const N: usize>(consumer: &mut record::Consumer, n: u64) {
    let record = consumer.read().expect("a living peer");
    assert_eq!(record.len(), 8 * N);
    // SAFETY: both processes are this program, which writes only to what it reserved.
    let bytes = unsafe { record.as_slice() };
    let words =
        bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().expect("eight")));
    let wrong = words.enumerate().fold(0, |bad, (i, word)| bad | (word ^ n.wrapping_add(i as u64)));
    assert!(black_box(wrong) == 0, "record {n} is not what was sent");
    record.release();
}

fn record_one_way<const N: usize>(name: &str, count: u64, first: bool) -> Duration {
    let name = Name::new(name).expect("a name");
    let options = record::Queue::options().capacity(1 << 16).clone();
    if first {
        let queue = options.create(&name).expect("a queue");
        let mut producer = queue.producer().expect("an end");
        assert!(producer.wait_peer(Some(Duration::from_secs(30))), "no peer");
        let start = Instant::now();
        for n in 0..count {
            send::<N>(&mut producer, n);
        }
        producer.flush(None).expect("a living peer");
        start.elapsed()
    } else {
        let mut consumer = retry(|| options.open(&name)).consumer().expect("an end");
        for n in 0..count {
            receive::<N>(&mut consumer, n);
        }
        assert_eq!(consumer.read().expect_err("nothing more was sent"), PopError::Closed);
        Duration::ZERO
    }
}

/// What sleeping and waking costs at least: two words, a futex call a side and a message.
fn futex_trip(name: &str, trips: u64, first: bool) -> Duration {
    let (_memory, mapping) = bare(name, first);
    let (ping, pong) = (word(&mapping, 0), word(&mapping, 256));
    let futex = |word: &AtomicU64, operation: i32, value: u32| {
        // SAFETY: the word is mapped for the call, little-endian halves; no timeout is passed.
        unsafe {
            libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, std::ptr::null::<u8>());
        }
    };
    let wake = |word: &AtomicU64, n: u64| {
        word.store(n, Ordering::SeqCst);
        futex(word, libc::FUTEX_WAKE, 1);
    };
    let wait = |word: &AtomicU64, n: u64| {
        while word.load(Ordering::SeqCst) != n {
            futex(word, libc::FUTEX_WAIT, (n - 1) as u32);
        }
    };
    let start = Instant::now();
    for n in 1..=trips {
        if first {
            wake(ping, n);
            wait(pong, n);
        } else {
            wait(ping, n);
            wake(pong, n);
        }
    }
    start.elapsed()
}
