//! Opening what is not, or not quite, the ring that was expected, and rings whose words were rewritten.
#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "borrows the places of values, and becomes another user")]

mod common;

// Where the consumer's part lies; the data is at twice that.
use common::page;
use ringlane::{ErrorKind, Name, OpenOptions, PopError, PushError, ReserveError, SharedMemory};
use ringlane::{inspect, record, spsc};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::time::Duration;

/// A name of this test's own, gone when it ends.
struct Temporary(Name);

impl Temporary {
    fn new(test: &str) -> Self {
        Temporary(Name::new(&format!("ringlane-test-{}-{test}", std::process::id())).unwrap())
    }

    fn path(&self) -> String {
        format!("/dev/shm/{}", self.0)
    }

    fn file(&self) -> std::fs::File {
        std::fs::OpenOptions::new().read(true).write(true).open(self.path()).unwrap()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path());
    }
}

fn refused(name: &Name) -> (ErrorKind, String) {
    let error = spsc::Queue::<u64>::open(name).unwrap_err();
    (error.kind(), error.to_string())
}

#[test]
fn what_is_no_ring_is_named_and_left_alone() {
    let name = Temporary::new("no-ring");
    for content in [&b""[..], b"ringlan", b"Ringlane", &[0; 10_000], &[0xff; 10_000]] {
        std::fs::write(name.path(), content).unwrap();
        let (kind, text) = refused(&name.0);
        assert_eq!(kind, ErrorKind::Corrupt);
        assert!(text.ends_with("is no ring: it does not begin with \"ringlane\""), "{text}");
        assert_eq!(inspect::remove(&name.0, true).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(std::fs::read(name.path()).unwrap(), content);
    }
}

#[test]
fn what_is_no_regular_file_is_refused_and_untouched() {
    let name = Temporary::new("special");
    let target = Temporary::new("target");
    std::fs::write(target.path(), b"keep").unwrap();
    std::os::unix::fs::symlink(target.path(), name.path()).unwrap();
    assert_eq!(refused(&name.0).0, ErrorKind::PermissionDenied);
    std::fs::remove_file(name.path()).unwrap();
    assert_eq!(std::fs::read(target.path()).unwrap(), b"keep");

    std::fs::create_dir(name.path()).unwrap();
    assert_eq!(refused(&name.0).0, ErrorKind::Corrupt);
    std::fs::remove_dir(name.path()).unwrap();

    let path = std::ffi::CString::new(name.path()).unwrap();
    nix::unistd::mkfifo(path.as_c_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (kind, text) = refused(&name.0);
    assert_eq!(kind, ErrorKind::Corrupt);
    assert!(text.contains("is not a regular file"), "{text}");
    // Nobody who waits at the FIFO for a reader is let through: a writer that does not wait finds none.
    let write = nix::fcntl::OFlag::O_WRONLY | nix::fcntl::OFlag::O_NONBLOCK;
    let watched = std::thread::scope(|scope| {
        let opening = scope.spawn(|| (0..1000).all(|_| refused(&name.0).0 == ErrorKind::Corrupt));
        let opened =
            || nix::fcntl::open(path.as_c_str(), write, nix::sys::stat::Mode::empty()).is_ok();
        while !opening.is_finished() {
            assert!(!opened(), "the FIFO had a reader for a moment");
        }
        opening.join().unwrap()
    });
    assert!(watched);
}

#[test]
fn a_truncated_ring_is_refused_at_every_length() {
    let name = Temporary::new("truncated");
    let queue = spsc::Queue::<u64>::create(&name.0, 64).unwrap();
    let whole = name.file().metadata().unwrap().len();
    drop(queue);
    for len in [0, 7, 8, 100, 183, 184, 1024, 4096, 8191, 8192, whole - 1] {
        // A new ring each time: one that others have mapped is never shortened by anybody.
        let queue = spsc::Queue::<u64>::options()
            .capacity(64)
            .lifetime(ringlane::Lifetime::Persistent)
            .create(&name.0)
            .unwrap();
        drop(queue);
        name.file().set_len(len).unwrap();
        let (kind, text) = refused(&name.0);
        assert_eq!(kind, ErrorKind::Corrupt);
        assert!(text.contains("truncated") || len < 8, "{len}: {text}");
        assert!(inspect::report(&name.0).is_err());
        std::fs::remove_file(name.path()).unwrap();
    }
}

#[test]
fn every_bit_of_the_header_counts() {
    let name = Temporary::new("header");
    let queue = spsc::Queue::<u64>::create(&name.0, 64).unwrap();
    let file = name.file();
    let mut kinds = std::collections::HashSet::new();
    for bit in 0..184 * 8 {
        let mut byte = [0];
        file.read_exact_at(&mut byte, bit / 8).unwrap();
        file.write_all_at(&[byte[0] ^ 1 << (bit % 8)], bit / 8).unwrap();
        let error = spsc::Queue::<u64>::open(&name.0).expect_err(&format!("bit {bit}"));
        kinds.insert(format!("{:?}", error.kind()));
        assert!(inspect::report(&name.0).is_err(), "bit {bit}");
        file.write_all_at(&byte, bit / 8).unwrap();
    }
    assert_eq!(kinds, ["Corrupt", "Incompatible"].map(String::from).into());
    assert!(spsc::Queue::<u64>::open(&name.0).is_ok());
    drop(queue);
}

#[test]
fn another_version_is_said_to_be_one() {
    let name = Temporary::new("version");
    let _queue = spsc::Queue::<u64>::create(&name.0, 64).unwrap();
    name.file().write_all_at(&2_u32.to_ne_bytes(), 8).unwrap();
    let (kind, text) = refused(&name.0);
    assert_eq!(kind, ErrorKind::Incompatible);
    assert_eq!(
        text,
        format!("open ring {:?}: layout version 2, this build reads 1", name.0.as_str())
    );
}

#[test]
fn another_type_size_kind_or_tag_is_refused_with_both_named() {
    let name = Temporary::new("type");
    let _queue = spsc::Queue::<u64>::options().tag("one").create(&name.0).unwrap();
    let texts = [
        spsc::Queue::<[u64; 7]>::options().tag("one").open(&name.0).unwrap_err(),
        spsc::Queue::<u64>::options().tag("two").open(&name.0).unwrap_err(),
        spsc::Queue::<u64>::open(&name.0).unwrap_err(),
        record::Queue::options().tag("one").open(&name.0).unwrap_err(),
        spsc::Queue::<[u8; 8]>::options().tag("one").open(&name.0).unwrap_err(),
    ]
    .map(|error| {
        assert_eq!(error.kind(), ErrorKind::Incompatible);
        error.to_string()
    });
    let values = format!("values of type u64, 8 bytes aligned to {}", align_of::<u64>());
    assert!(texts[0].contains(&format!("{values}; [u64; 7] has 56")), "{}", texts[0]);
    assert!(texts[1].contains("carries the tag "));
    assert!(texts[3].ends_with("is a ring of kind spsc, and record is wanted"), "{}", texts[3]);
    assert!(texts[4].contains("[u8; 8] has 8 bytes aligned to 1"), "{}", texts[4]);
}

#[test]
fn a_ring_of_another_user_is_refused() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let name = Temporary::new("permission");
    let _queue = spsc::Queue::<u64>::create(&name.0, 64).unwrap();
    assert_eq!(name.file().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // Effective ids are a thread's own, and so is what follows.
    let refused = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY-free: a raw call changes this thread only, where nix changes the process.
            set_thread_uid(65534);
            refused(&name.0)
        });
        thread.join().unwrap()
    });
    assert_eq!(refused.0, ErrorKind::PermissionDenied);
    assert!(refused.1.contains("Permission denied"), "{}", refused.1);
}

fn set_thread_uid(uid: u32) {
    // SAFETY: setresuid(2) takes no pointer; the raw call is for the calling thread alone.
    let failed = unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) };
    assert_eq!(failed, 0);
}

/// Positions in the segment that cannot be: an end is not given out, and one that was is told so.
#[test]
fn impossible_positions_are_corrupt_and_nothing_worse() {
    const PRODUCER: usize = 1024;
    let consumer_at = page();
    for wrong in [1, 65, u64::MAX, 1 << 63, (1 << 32) + 1] {
        let name = Temporary::new("positions");
        let queue = spsc::Queue::<u64>::create(&name.0, 64).unwrap();
        let words = SharedMemory::open(&name.0).unwrap().map().unwrap();

        let mut producer = queue.producer().unwrap();
        words.write_at(consumer_at, &wrong.to_ne_bytes()).unwrap();
        let mut pushed = 0;
        let error = loop {
            match producer.try_push(pushed) {
                Ok(()) => pushed += 1,
                Err(error) => break error,
            }
            assert!(pushed <= 130, "{wrong}: a full ring took more than twice its capacity");
        };
        assert!(matches!(error, PushError::Corrupt(_) | PushError::Full(_)), "{wrong}: {error:?}");
        drop(producer);

        words.write_at(PRODUCER, &wrong.to_ne_bytes()).unwrap();
        words.write_at(consumer_at, &0_u64.to_ne_bytes()).unwrap();
        // Too far ahead it cannot be. Behind, it is as one that was not stored for a while.
        match queue.producer() {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{wrong}"),
            Ok(_) => assert!(wrong.cast_signed() <= 65, "{wrong}"),
        }
        words.write_at(PRODUCER, &0_u64.to_ne_bytes()).unwrap();
        words.write_at(consumer_at, &wrong.to_ne_bytes()).unwrap();
        if wrong > 65 && wrong != u64::MAX {
            assert_eq!(queue.consumer().unwrap_err().kind(), ErrorKind::Corrupt, "{wrong}");
        }
        let _ = inspect::report(&name.0).unwrap();
    }
}

/// Any word can stand where a record's header is expected: the call ends, with a record within the ring, with
/// `Corrupt`, or, if it is no header of that place, with nothing.
#[test]
fn an_impossible_record_header_is_corrupt_and_nothing_worse() {
    let data_at = 2 * page();
    let capacity = page() as u64;
    for mirrored in [true, false] {
        let name = Temporary::new("records");
        let queue =
            record::Queue::options().capacity(page()).mirrored(mirrored).create(&name.0).unwrap();
        let memory = SharedMemory::open(&name.0).unwrap();
        let words = memory.map().unwrap();
        let mut consumer = queue.consumer().unwrap();
        let mut corrupt = 0;
        for low in 0..=255_u64 {
            for len in [
                0,
                1,
                7,
                8,
                capacity / 2 - 48,
                capacity / 2 - 16,
                capacity / 2 - 15,
                capacity - 16,
                capacity - 8,
                capacity,
                capacity + 1,
                1 << 31,
                1 << 40,
                (1 << 56) - 1,
            ] {
                words.write_at(data_at, &(len << 8 | low).to_ne_bytes()).unwrap();
                match consumer.try_read() {
                    Ok(record) => {
                        assert!(low == 1 && record.len() as u64 == len && len <= capacity - 16);
                        assert_eq!(record.to_vec().len() as u64, len);
                    }
                    Err(PopError::Corrupt) => corrupt += 1,
                    // The tag of position 0 is 0.
                    Err(error) => {
                        assert_eq!(error, PopError::Empty);
                        assert!(low & 1 == 0 || len >= 1 << 40, "{low} {len}");
                    }
                }
            }
        }
        assert!(corrupt > 1500, "{corrupt}");
        drop(consumer);
        // A successor reads the same headers, and does not believe them either.
        words.write_at(data_at, &(u64::MAX >> 16).to_ne_bytes()).unwrap();
        assert_eq!(queue.producer().unwrap_err().kind(), ErrorKind::Corrupt);
        words.write_at(data_at, &0_u64.to_ne_bytes()).unwrap();
        let mut producer = queue.producer().unwrap();
        let _consumer = queue.consumer().unwrap();
        words.write_at(page(), &(1_u64 << 40).to_ne_bytes()).unwrap();
        let failed = (0..10).find_map(|_| producer.try_push(&vec![0; page() / 2 - 48]).err());
        assert_eq!(failed, Some(ReserveError::Corrupt));
    }
}

/// A consumer's successor believes a place inside of a record only if it is inside of the next one.
#[test]
fn a_place_within_a_record_is_checked() {
    let name = Temporary::new("within");
    for record in [false, true] {
        let queue = record::Queue::create(&name.0, 4096).unwrap();
        let words = SharedMemory::open(&name.0).unwrap().map().unwrap();
        if record {
            queue.producer().unwrap().try_push(&[1; 16]).unwrap();
        }
        for within in [0, 1, 7, 8, 9, 23, 24, 25, 1 << 40, u64::MAX] {
            words.write_at(page() + 16, &u64::to_ne_bytes(within)).unwrap();
            let nothing_said = within.cast_signed() <= 0;
            let good = nothing_said || record && (8..24).contains(&within);
            match queue.consumer() {
                Ok(mut consumer) => {
                    assert!(good, "{within}");
                    let rest = if nothing_said { 16 } else { 24 - within as usize };
                    assert_eq!(consumer.try_read().map(|r| r.len()).ok(), record.then_some(rest));
                }
                Err(error) => assert!(!good && error.kind() == ErrorKind::Corrupt, "{within}"),
            }
        }
    }
}

/// Overwrites fields of a header, and makes its hash right again.
fn forge(name: &Temporary, fields: &[(usize, u64)]) {
    let mut header = [0; 200];
    name.file().read_exact_at(&mut header, 0).unwrap();
    for (offset, field) in fields {
        header[*offset..offset + 8].copy_from_slice(&field.to_ne_bytes());
    }
    let check = header[..192].chunks_exact(8).fold(0xcbf2_9ce4_8422_2325, |hash: u64, word| {
        (hash ^ u64::from_ne_bytes(word.try_into().unwrap())).wrapping_mul(0x0100_0000_01b3)
    });
    header[192..].copy_from_slice(&check.to_ne_bytes());
    name.file().write_all_at(&header, 0).unwrap();
}

const TOTAL: usize = 32;
const CAPACITY: usize = 40;
const STRIDE: usize = 48;
const VALUE_SIZE: usize = 56;
const VALUE_ALIGN: usize = 64;
const DATA_LEN: usize = 104;

#[repr(C, align(8192))]
#[derive(Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
struct Aligned([u8; 8192]);

/// A header that is whole, and says of its values what cannot be.
#[test]
fn values_that_cannot_lie_so_are_refused() {
    type Open = fn(&Name) -> ringlane::Result<()>;
    let word: Open = |name| spsc::Queue::<u64>::open(name).map(drop);
    let none: Open = |name| spsc::Queue::<()>::open(name).map(drop);
    let aligned: Open = |name| spsc::Queue::<Aligned>::open(name).map(drop);
    let page = page() as u64;
    let data = 8192_u64.next_multiple_of(page);
    let cases: [(&[(usize, u64)], Open); 10] = [
        (&[(STRIDE, 0)], word),
        (&[(STRIDE, 0), (VALUE_SIZE, 0), (VALUE_ALIGN, 1)], none),
        (&[(STRIDE, 8), (VALUE_SIZE, 0), (VALUE_ALIGN, 1)], none),
        (&[(STRIDE, 24)], word),
        (&[(STRIDE, 4)], word),
        (&[(STRIDE, 8), (CAPACITY, 3)], word),
        (&[(STRIDE, 8), (CAPACITY, 0)], word),
        (&[(STRIDE, 8), (CAPACITY, page / 4)], word),
        (&[(STRIDE, 8), (CAPACITY, 1 << 61)], word),
        (
            // Places that are not aligned as the values are: the data begins at two pages, but in the
            // mapping, which is aligned to one.
            &[
                (STRIDE, 8192),
                (VALUE_SIZE, 8192),
                (VALUE_ALIGN, 8192),
                (CAPACITY, 1),
                (DATA_LEN, data),
                (TOTAL, 2 * page + data),
            ],
            aligned,
        ),
    ];
    for (fields, open) in cases {
        let name = Temporary::new("forged");
        let _queue = spsc::Queue::<u64>::create(&name.0, 64).unwrap();
        name.file().set_len(2 * page + data).unwrap();
        forge(&name, fields);
        let error = open(&name.0).expect_err(&format!("{fields:?}"));
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{fields:?}");
        assert!(error.to_string().ends_with("its header contradicts itself"), "{error}");
        assert!(inspect::report(&name.0).is_err(), "{fields:?}");
    }
}

/// The layout is the creator's, and every opener finds it in the header.
#[test]
fn values_side_by_side_are_found_to_be_so() {
    let name = Temporary::new("dense");
    let mut options = spsc::Queue::<u64>::options();
    // As many as a page has.
    let most = page() / 8;
    let queue = options.capacity(most).layout(spsc::Layout::Dense).create(&name.0).unwrap();
    let long = name.file().metadata().unwrap().len();
    assert_eq!(long, 3 * page() as u64, "as long as the values, no longer");
    let most = most as u64;
    let mut producer = queue.producer().unwrap();
    let mut consumer = spsc::Queue::<u64>::open(&name.0).unwrap().consumer().unwrap();
    for n in 0..most + 188 {
        producer.push(n).unwrap();
        assert_eq!(consumer.pop(), Ok(n));
    }
    let mut room = producer.reserve(most as usize).unwrap();
    room.fill(0..);
    room.commit_len(500);
    let report = inspect::report(&name.0).unwrap();
    assert_eq!((report.depth, report.pushed, report.popped), (500, most + 688, most + 188));
    assert_eq!((report.capacity, report.used), (most, 500));
    let mut words = [0; 16];
    name.file().read_exact_at(&mut words, 2 * page() as u64 + 188 * 8).unwrap();
    assert_eq!(words, *[0_u64.to_ne_bytes(), 1_u64.to_ne_bytes()].as_flattened());
    // The same ring, were it said to be in slots, is not a whole one.
    drop((producer, consumer));
    forge(&name, &[(STRIDE, 16)]);
    assert_eq!(refused(&name.0).0, ErrorKind::Corrupt);
    // And one in slots that is said to be side by side gives what lies there, and no more than that.
    drop(queue);
    let _queue = spsc::Queue::<u64>::create(&name.0, page() / 16).unwrap();
    forge(&name, &[(STRIDE, 8)]);
    let queue = spsc::Queue::<u64>::open(&name.0).unwrap();
    queue.producer().unwrap().push(7).unwrap();
    assert_eq!(queue.consumer().unwrap().try_iter().collect::<Vec<_>>(), [7]);
}

/// A producer that dies within a commit into slots has published some of them, and its position says none of
/// it. Whoever comes next, on either side, counts what was published, also if it has been taken meanwhile.
#[test]
fn a_commit_that_was_cut_short_is_followed() {
    let name = Temporary::new("cut-short");
    for before in [0, 3, u64::MAX - 1] {
        for published in 0..=8_u64 {
            for taken in 0..=published {
                let mut options = spsc::Queue::<u64>::options();
                let queue = options.capacity(8).start(before).create(&name.0).unwrap();
                let words = SharedMemory::open(&name.0).unwrap().map().unwrap();
                let mut producer = queue.producer().unwrap();
                let mut room = producer.reserve(8).unwrap();
                room.fill(0..);
                room.commit_len(published as usize);
                drop(producer);
                words.write_at(1024, &before.to_ne_bytes()).unwrap();
                let mut consumer = queue.consumer().unwrap();
                assert_eq!(consumer.depth() as u64, published);
                assert_eq!(inspect::report(&name.0).unwrap().depth, published);
                assert!((0..taken).all(|n| consumer.try_pop() == Ok(n)));
                drop(consumer);
                assert_eq!(inspect::report(&name.0).unwrap().depth, published - taken);
                let mut consumer = queue.consumer().unwrap();
                let mut producer = queue.producer().unwrap();
                assert_eq!(consumer.depth() as u64, published - taken);
                assert_eq!(producer.vacant() as u64, 8 - (published - taken));
                for n in published..taken + 8 {
                    producer.try_push(n).unwrap();
                }
                assert!(producer.try_push(0).is_err());
                assert!((taken..taken + 8).all(|n| consumer.try_pop() == Ok(n)));
                assert_eq!(consumer.try_pop(), Err(PopError::Empty));
            }
        }
    }
}

/// A moment in the life of a span at which somebody rewrites a word.
const MOMENTS: usize = 6;

/// Spans of a ring of four, by ends that were there before and by new ones. All of it ends, and nothing is
/// larger than the ring.
fn use_spans(queue: &spsc::Queue<u64>, mut meanwhile: impl FnMut(usize)) {
    let soon = Duration::from_micros(1);
    let (mut producer, mut consumer) = (queue.producer().ok(), queue.consumer().ok());
    for _ in 0..2 {
        meanwhile(0);
        if let Some(producer) = &mut producer {
            for count in [2, 4] {
                if let Ok(mut room) = producer.reserve_timeout(count, soon) {
                    meanwhile(1);
                    room.copy_from_slice(&vec![1; count]);
                    room.fill(0..3);
                    room.set(1, 2);
                    // SAFETY: words that change under way are just what is tried, and they are atomics'.
                    if let Some((here, there)) = unsafe { room.as_mut_slices() } {
                        assert_eq!(here.len() + there.len(), count);
                    }
                    meanwhile(2);
                    room.commit_len(count - 1);
                }
            }
            assert!(producer.vacant() <= 4);
            let _ = (producer.try_push(1), producer.push_timeout(1, soon));
            let _ = producer.flush(Some(soon));
        }
        meanwhile(3);
        if let Some(consumer) = &mut consumer {
            assert!(consumer.depth() <= 4);
            for most in [1, 3, usize::MAX] {
                if let Ok(span) = consumer.read_timeout(most, soon) {
                    assert!(span.len() <= most.min(4), "{} of {most}", span.len());
                    meanwhile(4);
                    span.copy_to_slice(&mut vec![0; span.len()]);
                    assert_eq!(span.iter().count(), span.len());
                    (0..span.len()).for_each(|at| _ = span.get(at));
                    meanwhile(5);
                    let some = span.len().div_ceil(2);
                    span.release_len(some);
                }
            }
            let _ = (
                consumer.try_pop(),
                consumer.pop_timeout(soon),
                consumer.try_iter().take(9).count(),
            );
        }
        producer = producer.take().or_else(|| queue.producer().ok());
        consumer = consumer.take().or_else(|| queue.consumer().ok());
    }
}

/// Each word, our own positions among them, rewritten at each moment.
#[test]
fn a_word_that_is_rewritten_while_a_span_is_held_harms_nobody() {
    for layout in [spsc::Layout::Slots, spsc::Layout::Dense] {
        let name = Temporary::new("rewritten");
        let page = page();
        let words =
            (1024..1040).chain(1152..1184).chain(page..page + 16).chain(page + 128..page + 160);
        let words: Vec<usize> = words.chain(2 * page..2 * page + 64).step_by(8).collect();
        for at in words {
            for moment in 0..MOMENTS {
                for word in [0, 1, 3, 4, 5, 1 << 31, 1 << 32, 1 << 63, u64::MAX - 2, u64::MAX] {
                    let mut options = spsc::Queue::<u64>::options();
                    let queue = options.capacity(4).layout(layout).create(&name.0).unwrap();
                    let memory = SharedMemory::open(&name.0).unwrap().map().unwrap();
                    use_spans(&queue, |now| {
                        if now == moment {
                            memory.write_at(at, &word.to_ne_bytes()).unwrap();
                        }
                    });
                    let _ = inspect::report(&name.0).unwrap();
                }
            }
        }
    }
}

/// One thread rewrites words all the time, positions and what publishes before all; another uses spans.
#[test]
fn words_that_are_rewritten_meanwhile_harm_nobody() {
    use std::sync::atomic::{AtomicBool, Ordering};
    for layout in [spsc::Layout::Slots, spsc::Layout::Dense] {
        let name = Temporary::new("meanwhile");
        let queue =
            spsc::Queue::<u64>::options().capacity(4).layout(layout).create(&name.0).unwrap();
        let memory = SharedMemory::open(&name.0).unwrap().map().unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut n = 0_u64;
                while !done.load(Ordering::Relaxed) {
                    // What a consumer at this position takes for a lap after another.
                    for position in n..n + 16 {
                        let at = 2 * page() + (position % 4) as usize * 16 + 8;
                        memory.write_at(at, &(position + 1).to_ne_bytes()).unwrap();
                    }
                    memory.write_at(1024, &(n % 7).to_ne_bytes()).unwrap();
                    memory.write_at(page(), &(n % 5).to_ne_bytes()).unwrap();
                    n = (n + 1) % 64;
                }
            });
            let using = scope.spawn(|| (0..3000).for_each(|_| use_spans(&queue, |_| ())));
            let used = using.join();
            done.store(true, Ordering::Relaxed);
            used.unwrap();
        });
    }
}

#[test]
fn memory_is_named_mapped_and_removed() {
    let name = Temporary::new("memory");
    let memory = SharedMemory::create(&name.0, 10_000).unwrap();
    assert_eq!((memory.size().unwrap(), memory.created()), (10_000, true));
    let reader = OpenOptions::new().read(true).open(&name.0).unwrap();
    let (one, two) = (memory.map().unwrap(), reader.map().unwrap());
    drop(memory);
    assert_eq!(SharedMemory::open(&name.0).unwrap_err().kind(), ErrorKind::NotFound);
    one.write_at(9_990, b"still here").unwrap();
    let mut bytes = [0; 10];
    two.read_at(9_990, &mut bytes).unwrap();
    assert_eq!(&bytes, b"still here");
    assert_eq!(two.read_at(9_991, &mut bytes).unwrap_err().kind(), ErrorKind::OutOfRange);
    assert_eq!(two.read_at(usize::MAX, &mut bytes).unwrap_err().kind(), ErrorKind::OutOfRange);
    assert_eq!(two.write_at(0, b"x").unwrap_err().kind(), ErrorKind::PermissionDenied);
    let empty = SharedMemory::create(&name.0, 0).unwrap();
    assert_eq!(empty.map().unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn the_creator_removes_its_own_name_and_no_other() {
    let name = Temporary::new("identity");
    let first = SharedMemory::create(&name.0, 4096).unwrap();
    SharedMemory::unlink(&name.0).unwrap();
    let second = SharedMemory::create(&name.0, 8192).unwrap();
    drop(first);
    assert_eq!(SharedMemory::open(&name.0).unwrap().size().unwrap(), 8192);
    drop(second);
    assert_eq!(SharedMemory::open(&name.0).unwrap_err().kind(), ErrorKind::NotFound);
}

/// Where the tmpfs is allowed more than the machine has, a ring that is too large must not end in the
/// kernel's killing whom it likes.
#[cfg(target_pointer_width = "64")] // In 32 bits there are no such numbers.
#[test]
fn more_memory_than_there_is_is_refused_and_nobody_is_killed() {
    let name = Temporary::new("too-large");
    for capacity in [1_usize << 36, 1 << 40, 1 << 44] {
        let error = spsc::Queue::<u64>::create(&name.0, capacity).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
        let error = record::Queue::create(&name.0, capacity).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    }
    assert!(!std::path::Path::new(&name.path()).exists());
}
