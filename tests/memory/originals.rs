//! What the forerunners get wrong, each with a test that would fail on them.

use crate::support::{MORE_THAN_THERE_IS, Scratch, Second, byte, kind, read_write};
use ringlane::{ErrorKind, MapOptions, Name, SharedMemory};

/// RTShMem keeps the address of a region after its last unmapping and hands it out again.
#[test]
fn mapping_again_gives_no_stale_pointer() {
    let memory = SharedMemory::anonymous(4096).unwrap();
    let first = memory.map().unwrap();
    let stale = first.as_ptr();
    first.unmap().unwrap();
    // Something else takes the address, so whoever gets it handed out again sees that.
    let squatter = SharedMemory::anonymous(4096).unwrap().map().unwrap();
    squatter.write_at(0, &[0xbb; 4096]).unwrap();
    let second = memory.map().unwrap();
    assert!(second.as_ptr() != stale || squatter.as_ptr() != stale);
    let mut seen = [1];
    second.read_at(0, &mut seen).unwrap();
    assert_eq!(seen, [0]);
    second.write_at(0, &[7]).unwrap();
    squatter.read_at(0, &mut seen).unwrap();
    assert_eq!(seen, [0xbb]);
}

/// RTShMem miscounts a region that is mapped several times, and then never closes.
#[test]
fn a_region_mapped_often_and_unmapped_as_often_closes() {
    let name = Scratch::new();
    let memory = SharedMemory::create(&name.0, 8192).unwrap();
    let same = || MapOptions::new().read(true).offset(4096).length(100).map(&memory).unwrap();
    let mappings: Vec<_> = (0..10).map(|_| same()).collect();
    assert_eq!(memory.mapping_count(), 10);
    for (left, mapping) in (0..10).rev().zip(mappings) {
        mapping.unmap().unwrap();
        assert_eq!(memory.mapping_count(), left);
    }
    memory.close().unwrap();
    assert!(!name.exists());
}

/// RTShMem lets one mapping be unmapped twice, which takes another's memory away. Here unmapping takes the
/// mapping, so that a second time does not compile; what is left to show is that nothing is unmapped again
/// by the way, when another thread may have the addresses already.
#[test]
fn nothing_is_unmapped_twice() {
    Second::start("map and unmap from two threads", &Scratch::new().0).done();
}

pub(crate) fn part(part: &str, _name: &Name) -> bool {
    if part != "map and unmap from two threads" {
        return false;
    }
    let memory = SharedMemory::anonymous(4096).unwrap();
    std::thread::scope(|scope| {
        for number in 0..2 {
            let memory = &memory;
            scope.spawn(move || {
                for _ in 0..20_000 {
                    let mapping = memory.map().unwrap();
                    mapping.write_at(number, &[1]).unwrap();
                    mapping.unmap().unwrap();
                }
            });
        }
    });
    assert_eq!(memory.mapping_count(), 0);
    true
}

/// RTShMem takes everyone who passes the create flag for the creator, whose close removes the name.
#[test]
fn an_opener_with_the_create_flag_removes_nothing() {
    let name = Scratch::new();
    let creator = SharedMemory::create(&name.0, 4096).unwrap();
    for _ in 0..3 {
        let opener = read_write().create(true).size(4096).open(&name.0).unwrap();
        assert!(!opener.created());
        opener.close().unwrap();
        drop(read_write().create(true).open(&name.0).unwrap());
    }
    assert_eq!(SharedMemory::open(&name.0).unwrap().size().unwrap(), 4096);
    drop(creator);
    assert!(!name.exists());
}

/// RTShMem and NSPR set the size whenever they are given one, also of what others use.
#[test]
fn opening_with_a_size_resizes_nothing() {
    let name = Scratch::new();
    let memory = SharedMemory::create(&name.0, 8192).unwrap();
    let mapping = memory.map().unwrap();
    mapping.write_at(8191, &[3]).unwrap();
    for size in [1, 4096, 8192] {
        let opened = read_write().create(true).size(size).open(&name.0).unwrap();
        assert_eq!(opened.size().unwrap(), 8192);
    }
    assert_eq!(kind(read_write().create(true).size(8193).open(&name.0)), ErrorKind::InvalidSize);
    let mut seen = [0];
    // On the originals this is a SIGBUS.
    mapping.read_at(8191, &mut seen).unwrap();
    assert_eq!((seen[0], memory.size().unwrap()), (3, 8192));
}

/// RTShMem's close removes the name whatever it means by then.
#[test]
fn a_creator_does_not_remove_its_successor() {
    let name = Scratch::new();
    let old = SharedMemory::create(&name.0, 4096).unwrap();
    SharedMemory::unlink(&name.0).unwrap();
    let new = SharedMemory::create(&name.0, 8192).unwrap();
    assert_eq!(kind(old.remove()), ErrorKind::NotFound);
    old.close().unwrap();
    assert_eq!(SharedMemory::open(&name.0).unwrap().size().unwrap(), 8192);
    assert_eq!(byte(&new, 0), 0);
}

/// RTShMem leaves an object of no size behind when the size cannot be had, unless it was exclusive.
#[test]
fn a_failed_creation_leaves_nothing_behind() {
    for exclusive in [true, false] {
        let name = Scratch::new();
        let mut options = read_write();
        options.create(true).create_new(exclusive);
        assert_eq!(kind(options.size(1 << 60).open(&name.0)), MORE_THAN_THERE_IS);
        assert_eq!(kind(options.size(u64::MAX).open(&name.0)), ErrorKind::InvalidSize);
        assert!(!name.exists());
    }
}

/// RTShMem maps past the end, and the first touch there is fatal.
#[test]
fn a_range_past_the_end_is_refused_when_it_is_mapped() {
    let memory = SharedMemory::anonymous(4096).unwrap();
    let past = MapOptions::new().read(true).offset(4096).length(4096).map(&memory);
    assert_eq!(kind(past), ErrorKind::OutOfRange);
}
