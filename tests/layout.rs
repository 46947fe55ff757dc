//! `docs/layout.md` against the bytes of real rings: every row of its tables is looked up.
#![cfg(all(target_os = "linux", not(loom)))]
#![allow(unsafe_code, reason = "asks for a lock as a program in C would")]

use nix::libc;
#[cfg(target_pointer_width = "64")]
use nix::libc::{SYS_fcntl as FCNTL, flock as FileLock};
#[cfg(not(target_pointer_width = "64"))]
use nix::libc::{SYS_fcntl64 as FCNTL, flock64 as FileLock};
use ringlane::{Lifetime, Name, SharedMemory, call, record, spsc};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

const PAGE_TEXT: &str = include_str!("../docs/layout.md");

/// One row: where, how many bytes, what it is called, what the example has there.
#[derive(Debug)]
struct Row {
    offset: u64,
    bytes: usize,
    field: String,
    example: String,
}

/// The rows of the tables below a heading whose first two cells are numbers, table by table.
fn tables(heading: &str) -> Vec<Vec<Row>> {
    let section = PAGE_TEXT.split("\n## ").find(|section| section.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("docs/layout.md has no section {heading}"));
    let mut tables = vec![Vec::new()];
    for line in section.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if let [offset, bytes, field, example, ..] = cells[..]
            && let (Ok(offset), Ok(bytes)) = (offset.parse(), bytes.parse())
        {
            let row = Row { offset, bytes, field: field.into(), example: example.into() };
            tables.last_mut().expect("there is one").push(row);
        } else if !line.starts_with('|') {
            tables.push(Vec::new());
        }
    }
    tables.retain(|table| !table.is_empty());
    tables
}

/// The object's bytes, read as any program would read them.
struct Image(Vec<u8>);

impl Image {
    fn of(name: &Name) -> Image {
        Image(std::fs::read(format!("/dev/shm/{name}")).expect("the ring's object"))
    }

    fn at(&self, offset: u64, bytes: usize) -> &[u8] {
        &self.0[offset as usize..][..bytes]
    }

    fn number(&self, offset: u64, bytes: usize) -> u64 {
        let mut word = [0; 8];
        word[..bytes].copy_from_slice(self.at(offset, bytes));
        u64::from_le_bytes(word)
    }

    /// Compares a table with what lies `base` bytes into the object.
    fn check(&self, base: u64, table: &[Row]) {
        for row in table {
            let offset = base + row.offset;
            if row.example == "any" || row.example == "hash" {
                continue;
            }
            if let Some(text) = row.example.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
                let mut wanted = text.as_bytes().to_vec();
                wanted.resize(row.bytes, 0);
                assert_eq!(self.at(offset, row.bytes), wanted, "{row:?}");
                continue;
            }
            let wanted = match row.example.strip_prefix("0x") {
                Some(digits) => u64::from_str_radix(digits, 16),
                None => row.example.parse(),
            };
            let wanted = wanted.unwrap_or_else(|_| panic!("no number in {row:?}"));
            let found = self.number(offset, row.bytes);
            assert_eq!(found, wanted, "{row:?}: the ring has {found:#x}");
        }
    }
}

fn fnv(words: impl Iterator<Item = u64>) -> u64 {
    words.fold(0xcbf2_9ce4_8422_2325, |hash: u64, word| {
        (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn name(of: &str) -> Name {
    Name::new(&format!("ringlane-layout-{of}-{}", std::process::id())).expect("a good name")
}

/// The examples are of a machine with pages of 4096 bytes and the usual byte order.
fn like_the_examples() -> bool {
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    cfg!(target_endian = "little") && page == Ok(Some(4096))
}

#[test]
fn values_lie_where_the_page_says() {
    if !like_the_examples() {
        return;
    }
    let name = name("values");
    let options = spsc::Queue::<[u8; 24]>::options().capacity(8).tag("layout").clone();
    let queue = options.create(&name).unwrap();
    let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    for n in 1..=3 {
        producer.try_push([n; 24]).unwrap();
    }
    assert_eq!(consumer.try_pop(), Ok([1; 24]));
    let image = Image::of(&name);

    let [header] = &tables("Header")[..] else { panic!("one table of the header") };
    image.check(0, header);
    let mut end = 0;
    for row in header {
        assert_eq!(row.offset, end, "{}: a gap or an overlap", row.field);
        end += row.bytes as u64;
    }
    let words = (0..24).map(|index| image.number(8 * index, 8));
    assert_eq!(image.number(192, 8), fnv(words), "check");
    assert_eq!(image.number(80, 8), fnv("layout".bytes().map(u64::from)), "tag");
    assert_eq!(image.0.len() as u64, image.number(32, 8), "total");
    assert!(image.at(end, 1024 - end as usize).iter().all(|byte| *byte == 0), "reserved");

    let [part] = &tables("Part of a side")[..] else { panic!("one table of a part") };
    assert_eq!(part.len(), 10);
    image.check(1024, part);
    assert_eq!(image.number(4096, 8), 1, "the consumer's position");
    image.check(4096, &part[1..]);
    for base in [1024, 4096] {
        assert!(image.number(base + 140, 4) <= 1, "unfenced");
        assert_eq!(image.number(base + 144, 4), u64::from(std::process::id()), "pid");
    }

    let [slots] = &tables("Values")[..] else { panic!("one table of slots") };
    image.check(8192, slots);
}

#[test]
fn records_lie_where_the_page_says() {
    if !like_the_examples() {
        return;
    }
    let tables = tables("Records");
    let [plain, padded] = &tables[..] else { panic!("two tables of records") };

    let first = name("records");
    let queue = record::Queue::options().capacity(4096).create(&first).unwrap();
    let mut producer = queue.producer().unwrap();
    producer.try_push(b"hello").unwrap();
    producer.try_push(b"").unwrap();
    let image = Image::of(&first);
    image.check(8192, plain);
    let numbers = [(28, 4, 2), (40, 8, 4096), (48, 8, 8), (56, 8, 0), (64, 8, 8), (72, 8, 1)];
    for (offset, bytes, wanted) in numbers {
        assert_eq!(image.number(offset, bytes), wanted, "header at {offset}");
    }
    assert_eq!(
        (image.number(1024, 8), image.number(1032, 8)),
        (0, 0),
        "position and count, behind"
    );
    drop(producer);
    let _successor = queue.producer().unwrap();
    let image = Image::of(&first);
    assert_eq!(
        (image.number(1024, 8), image.number(1032, 8)),
        (24, 2),
        "position and count, found"
    );

    let second = name("padded");
    let queue = record::Queue::options().capacity(4096).mirrored(false).create(&second).unwrap();
    let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    for n in 1..=2 {
        producer.try_push(&[n; 1700]).unwrap();
        consumer.try_pop().unwrap();
    }
    producer.try_push(&[3; 1700]).unwrap();
    Image::of(&second).check(8192, padded);
    assert_eq!(queue.max_len(), 4096 / 2 - 2 * 8);
}

#[test]
fn calls_lie_where_the_page_says() {
    if !like_the_examples() {
        return;
    }
    let name = name("calls");
    let cell = call::Cell::<u64, [u8; 56]>::create(&name).unwrap();
    let (mut caller, mut server) = (cell.caller().unwrap(), cell.server().unwrap());
    caller.start(7).unwrap();
    server.serve(|_| [1; 56]).unwrap();
    caller.finish().unwrap();
    caller.start(9).unwrap();
    drop(server.recv().unwrap());
    let image = Image::of(&name);
    let [line] = &tables("Calls")[..] else { panic!("one table of a call with numbers") };
    image.check(8192, line);
    // 4 in 32 bits.
    let align = align_of::<u64>() as u64;
    let header = [(28, 4, 3), (40, 8, 1), (48, 8, 128), (56, 8, 8), (64, 8, align), (72, 8, 0)];
    for (offset, bytes, wanted) in header.into_iter().chain([(112, 8, 56), (120, 8, 1)]) {
        assert_eq!(image.number(offset, bytes), wanted, "header at {offset}");
    }
    assert_eq!((image.number(1024, 8), image.number(4096, 8)), (0, 3), "at of the two sides");
    let text = "fn(u64) -> [u8; 56]";
    assert_eq!(image.at(128, text.len()), text.as_bytes(), "type_name");
}

#[test]
fn rings_for_many_lie_where_the_page_says() {
    if !like_the_examples() {
        return;
    }
    let tables = tables("Rings for many");
    let [words, slots] = &tables[..] else { panic!("two tables of a ring for many") };
    let name = name("many");
    let queue = ringlane::mpmc::Queue::<u64>::create(&name, 4).unwrap();
    let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    (1..=3).for_each(|n| producer.try_push(n).unwrap());
    assert_eq!(consumer.try_pop(), Ok(1));
    let image = Image::of(&name);
    image.check(0, words);
    image.check(12288, slots);
    let numbers = [(28, 4, 4), (40, 8, 4), (48, 8, 16), (88, 8, 4096), (96, 8, 12288)];
    for (offset, bytes, wanted) in numbers {
        assert_eq!(image.number(offset, bytes), wanted, "header at {offset}");
    }
    // Claimed by the first place in its first generation, a run of one; then skipped.
    let claimed = 1 << 23 | 1 << 9 | 1;
    let room = producer.try_reserve().unwrap();
    assert_eq!(Image::of(&name).number(12288 + 56, 8), claimed);
    drop(room);
    assert_eq!(Image::of(&name).number(12288 + 56, 8), 1 << 23 | 2);
    // Runs of two, in the second turn.
    (2..=3).for_each(|n| assert_eq!(consumer.try_pop(), Ok(n)));
    let _ = consumer.try_pop();
    producer.try_push_slice(&[4, 5]).unwrap();
    assert_eq!(Image::of(&name).number(12288 + 24, 8), 2 << 23);
}

#[test]
fn claims_of_long_values_lie_where_the_page_says() {
    if !like_the_examples() {
        return;
    }
    let name = name("claims");
    let queue = ringlane::mpmc::Queue::<[u64; 2]>::create(&name, 4).unwrap();
    let _beside = queue.producer().unwrap();
    let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    producer.try_push([1; 2]).unwrap();
    let room = producer.try_reserve().unwrap();
    let image = Image::of(&name);
    for (offset, bytes, wanted) in [(48, 8, 32), (88, 8, 4096), (96, 8, 16384)] {
        assert_eq!(image.number(offset, bytes), wanted, "header at {offset}");
    }
    // Claimed by the second place in its first generation, runs of one: published since, and not.
    let claimed = 1 << 23 | 1 << 9 | 1 << 2 | 1;
    assert_eq!([0, 1, 2].map(|slot| image.number(12288 + 8 * slot, 8)), [claimed, claimed, 0]);
    assert_eq!([0, 1].map(|slot| image.number(16384 + 32 * slot + 24, 8)), [1 << 23, 0]);
    drop(room);
    assert_eq!(Image::of(&name).number(16384 + 32 + 24, 8), 1 << 23 | 2, "skipped");
    assert_eq!(consumer.try_pop(), Ok([1; 2]));
}

#[test]
fn records_for_many_lie_where_the_page_says() {
    if !like_the_examples() {
        return;
    }
    let tables = tables("Many records");
    let [words] = &tables[..] else { panic!("one table of records for many with numbers") };
    let name = name("parcels");
    let queue = ringlane::mpmc_record::Queue::create(&name, 4096).unwrap();
    let (mut producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
    producer.try_push(b"hello").unwrap();
    producer.try_push(&[2; 100]).unwrap();
    consumer.try_pop().unwrap();
    let image = Image::of(&name);
    image.check(0, words);
    let header = [(28, 4, 6), (40, 8, 64), (48, 8, 64), (56, 8, 0), (64, 8, 64), (72, 8, 1)];
    for (offset, bytes, wanted) in header.into_iter().chain([(96, 8, 16384), (104, 8, 4096)]) {
        assert_eq!(image.number(offset, bytes), wanted, "header at {offset}");
    }
}

#[test]
fn strides_are_what_the_page_says() {
    fn stride<T: ringlane::Plain>(of: &str) -> u64 {
        let name = name(of);
        let _queue = spsc::Queue::<T>::create(&name, 1).unwrap();
        let mut word = [0; 8];
        let file = File::open(format!("/dev/shm/{name}")).unwrap();
        file.read_exact_at(&mut word, 48).unwrap();
        u64::from_ne_bytes(word)
    }
    assert_eq!(stride::<u8>("stride-1"), 16);
    assert_eq!(stride::<u64>("stride-8"), 16);
    assert_eq!(stride::<[u8; 9]>("stride-9"), 32);
    assert_eq!(stride::<[u8; 56]>("stride-56"), 64);
    assert_eq!(stride::<[u8; 57]>("stride-57"), 72);
    assert_eq!(stride::<[u8; 120]>("stride-120"), 128);
    assert_eq!(stride::<[u8; 184]>("stride-184"), 192);
}

#[test]
fn ends_are_locked_where_the_page_says() {
    let name = name("locks");
    let options = spsc::Queue::<u64>::options().lifetime(Lifetime::Persistent).clone();
    let queue = options.create(&name).unwrap();
    let locked = |byte: i64| {
        let file = File::open(format!("/dev/shm/{name}")).unwrap();
        let mut request = FileLock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: (1 << 60) + byte,
            l_len: 1,
            l_pid: 0,
        };
        // SAFETY: the command takes such a request, and keeps nothing of it.
        let done =
            unsafe { libc::syscall(FCNTL, file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut request) };
        assert_eq!(done, 0);
        i32::from(request.l_type) != libc::F_UNLCK
    };
    assert_eq!([locked(0), locked(1)], [false, false]);
    let producer = queue.producer().unwrap();
    assert_eq!([locked(0), locked(1)], [true, false]);
    let consumer = queue.consumer().unwrap();
    assert_eq!([locked(0), locked(1)], [true, true]);
    drop(producer);
    assert_eq!([locked(0), locked(1)], [false, true]);
    drop(consumer);
    SharedMemory::unlink(&name).unwrap();
}
