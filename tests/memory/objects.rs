//! Objects: making, opening, sizes, names, and how they end.

use crate::support::{Scratch, Second, byte, kind, leave_behind, path, read_write};
use ringlane::{ErrorKind, Lifetime, Name, OpenOptions, SharedMemory, capabilities};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

const SIZE: u64 = 512 << 10;

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

pub(crate) fn part(part: &str, name: &Name) -> bool {
    match part {
        "fail to create a hundred times" => {
            let before = open_descriptors();
            for _ in 0..100 {
                let mut options = read_write();
                let again = options.create_new(true).size(4096).open(name);
                assert_eq!(kind(again), ErrorKind::AlreadyExists);
                let missing = SharedMemory::open(&Name::new("ringlane-memory-none").unwrap());
                assert_eq!(kind(missing), ErrorKind::NotFound);
            }
            assert_eq!(open_descriptors(), before);
        }
        "see A, leave B" => {
            let memory = SharedMemory::open(name).unwrap();
            assert_eq!(memory.size().unwrap(), SIZE);
            let mapping = memory.map().unwrap();
            let mut bytes = vec![0; SIZE as usize];
            mapping.read_at(0, &mut bytes).unwrap();
            assert!(bytes.iter().all(|byte| *byte == b'A'));
            mapping.write_at(0, &vec![b'B'; SIZE as usize]).unwrap();
        }
        _ => return false,
    }
    true
}

#[test]
fn s_01_a_new_object_has_its_size_and_a_creator() {
    let name = Scratch::new();
    let mut options = read_write();
    let memory = options.create_new(true).size(SIZE).maybe_exec(true).open(&name.0).unwrap();
    assert!(memory.created());
    assert_eq!(memory.size().unwrap(), SIZE);
    assert_eq!(memory.name(), Some(&name.0));
}

#[test]
fn s_02_a_second_new_object_is_refused_and_the_first_stays() {
    let name = Scratch::new();
    let first = SharedMemory::create(&name.0, SIZE).unwrap();
    first.map().unwrap().write_at(7, &[7]).unwrap();
    assert_eq!(kind(SharedMemory::create(&name.0, SIZE * 2)), ErrorKind::AlreadyExists);
    Second::start("fail to create a hundred times", &name.0).done();
    assert_eq!((first.size().unwrap(), byte(&first, 7)), (SIZE, 7));
    assert_eq!(byte(&SharedMemory::open(&name.0).unwrap(), 7), 7);
}

#[test]
fn s_03_create_opens_what_is_there() {
    let name = Scratch::new();
    let first = SharedMemory::create(&name.0, SIZE).unwrap();
    first.map().unwrap().write_at(0, b"here").unwrap();
    let second = read_write().create(true).size(4096).open(&name.0).unwrap();
    assert!(!second.created());
    assert_eq!(second.size().unwrap(), SIZE);
    assert_eq!(byte(&second, 0), b'h');
}

#[test]
fn s_04_a_missing_name_is_not_found() {
    let name = Scratch::new();
    assert_eq!(kind(SharedMemory::open(&name.0)), ErrorKind::NotFound);
    assert!(!name.exists());
}

#[test]
fn s_05_a_second_process_sees_what_the_first_wrote() {
    let name = Scratch::new();
    let memory = SharedMemory::create(&name.0, SIZE).unwrap();
    let mapping = memory.map().unwrap();
    mapping.write_at(0, &vec![0; SIZE as usize]).unwrap();
    mapping.write_at(0, &vec![b'A'; SIZE as usize]).unwrap();
    Second::start("see A, leave B", &name.0).done();
    let mut bytes = vec![0; SIZE as usize];
    mapping.read_at(0, &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == b'B'));
}

#[test]
fn s_06_a_write_through_one_mapping_is_seen_through_another() {
    let name = Scratch::new();
    let first = SharedMemory::create(&name.0, SIZE).unwrap();
    let second = SharedMemory::open(&name.0).unwrap();
    let (one, two) = (first.map().unwrap(), second.map().unwrap());
    let mut seen = [0; 6];
    for at in [0, 1, 4095, 4096, SIZE as usize - 6] {
        one.write_at(at, b"abcdef").unwrap();
        two.read_at(at, &mut seen).unwrap();
        assert_eq!(&seen, b"abcdef");
    }
}

#[test]
fn s_07_mappings_and_handles_go_in_any_order_and_then_the_name() {
    let name = Scratch::new();
    let first = SharedMemory::create(&name.0, SIZE).unwrap();
    let second = SharedMemory::open(&name.0).unwrap();
    let (one, two) = (first.map().unwrap(), second.map().unwrap());
    two.unmap().unwrap();
    second.close().unwrap();
    assert!(name.exists());
    one.unmap().unwrap();
    first.close().unwrap();
    assert_eq!(kind(SharedMemory::open(&name.0)), ErrorKind::NotFound);
}

#[test]
fn s_08_a_fresh_object_is_all_zeroes() {
    for reserve in [true, false] {
        let name = Scratch::new();
        let mut options = read_write();
        let memory = options.create_new(true).size(SIZE).reserve(reserve).open(&name.0).unwrap();
        let mut bytes = vec![1; SIZE as usize];
        memory.map().unwrap().read_at(0, &mut bytes).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0));
        // What is reserved takes memory at once, the rest when it is touched.
        let has = std::fs::metadata(name.path()).unwrap().blocks() * 512;
        assert!(!reserve || has == SIZE, "{has} bytes of memory");
    }
}

#[test]
fn s_09_a_mapped_object_does_not_close_and_the_handle_comes_back() {
    let name = Scratch::new();
    let memory = SharedMemory::create(&name.0, SIZE).unwrap();
    let mapping = memory.map().unwrap();
    let refused = memory.close().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidState);
    let memory = refused.into_memory();
    assert_eq!(memory.mapping_count(), 1);
    assert!(name.exists(), "the name stays while the close is refused");
    mapping.write_at(0, &[9]).unwrap();
    assert_eq!(byte(&memory, 0), 9);
    drop(mapping);
    memory.close().unwrap();
    assert!(!name.exists());
}

#[test]
fn s_13_the_number_of_mappings_has_a_limit_below_64() {
    let name = Scratch::new();
    let open = |limit| read_write().create(true).size(4096).mapping_limit(limit).open(&name.0);
    assert_eq!(kind(open(64)), ErrorKind::OutOfRange);
    assert!(!name.exists());
    assert_eq!(kind(open(u32::MAX)), ErrorKind::OutOfRange);
    let memory = open(63).unwrap();
    let mut mappings: Vec<_> = (0..63).map(|_| memory.map().unwrap()).collect();
    assert_eq!(kind(memory.map()), ErrorKind::LimitReached);
    mappings.pop();
    mappings.push(memory.map().unwrap());
    assert_eq!(memory.mapping_count(), 63);
    let unlimited = open(0).unwrap();
    let more: Vec<_> = (0..200).map(|_| unlimited.map().unwrap()).collect();
    assert_eq!(unlimited.mapping_count(), more.len());
}

#[test]
fn s_15_a_mapped_object_is_not_resized() {
    let name = Scratch::new();
    let mut options = read_write();
    let memory = options.create_new(true).size(4096).allow_shrink(true).open(&name.0).unwrap();
    let mapping = memory.map().unwrap();
    for size in [0, 4096, 8192] {
        assert_eq!(kind(memory.set_size(size)), ErrorKind::InvalidState);
    }
    drop(mapping);
    memory.set_size(8192).unwrap();
}

#[test]
fn s_16_an_object_made_without_a_size_gets_one_later() {
    let name = Scratch::new();
    let memory = read_write().create_new(true).open(&name.0).unwrap();
    assert_eq!(memory.size().unwrap(), 0);
    assert_eq!(kind(memory.map()), ErrorKind::InvalidInput);
    memory.set_size(8192).unwrap();
    assert_eq!(memory.size().unwrap(), 8192);
    memory.map().unwrap().write_at(8191, &[1]).unwrap();
}

#[test]
fn s_17_growing_keeps_what_is_there_and_shrinking_is_asked_for() {
    let name = Scratch::new();
    let memory = SharedMemory::create(&name.0, 4096).unwrap();
    memory.map().unwrap().write_at(4095, &[5]).unwrap();
    memory.set_size(8192).unwrap();
    assert_eq!((byte(&memory, 4095), byte(&memory, 4096), byte(&memory, 8191)), (5, 0, 0));
    assert_eq!(kind(memory.set_size(4096)), ErrorKind::InvalidInput);
    assert_eq!(memory.size().unwrap(), 8192);
    let shrinking = read_write().allow_shrink(true).open(&name.0).unwrap();
    shrinking.set_size(100).unwrap();
    assert_eq!(memory.size().unwrap(), 100);
    // What is gone is gone: growing again gives zeroes.
    memory.set_size(8192).unwrap();
    assert_eq!(byte(&memory, 4095), 0);
}

#[test]
fn s_26_truncating_empties_an_object_and_takes_write_access() {
    let name = Scratch::new();
    leave_behind(&name.0, 8192);
    let mut reading = OpenOptions::new();
    assert_eq!(kind(reading.read(true).truncate(true).open(&name.0)), ErrorKind::InvalidInput);
    assert_eq!(SharedMemory::open(&name.0).unwrap().size().unwrap(), 8192);
    let memory = read_write().truncate(true).open(&name.0).unwrap();
    assert_eq!((memory.size().unwrap(), memory.created()), (0, false));
    let memory = read_write().truncate(true).create(true).size(4096).open(&name.0).unwrap();
    assert_eq!((memory.size().unwrap(), byte(&memory, 0)), (4096, 0));
}

#[test]
fn s_27_an_unlinked_object_lives_on_and_its_name_is_free() {
    let name = Scratch::new();
    let old = SharedMemory::create(&name.0, 4096).unwrap();
    let mapping = old.map().unwrap();
    mapping.write_at(0, b"old").unwrap();
    SharedMemory::unlink(&name.0).unwrap();
    assert_eq!(byte(&old, 0), b'o');
    assert_eq!(kind(SharedMemory::open(&name.0)), ErrorKind::NotFound);
    let new = SharedMemory::create(&name.0, 8192).unwrap();
    assert_eq!((new.size().unwrap(), byte(&new, 0)), (8192, 0));
    new.map().unwrap().write_at(0, b"new").unwrap();
    let mut seen = [0; 3];
    mapping.read_at(0, &mut seen).unwrap();
    assert_eq!(&seen, b"old");
}

#[test]
fn s_28_a_missing_name_cannot_be_unlinked() {
    let name = Scratch::new();
    assert_eq!(kind(SharedMemory::unlink(&name.0)), ErrorKind::NotFound);
    assert_eq!(
        kind(Name::new("").and_then(|name| SharedMemory::unlink(&name))),
        ErrorKind::InvalidName
    );
    assert!(capabilities().unwrap().unlink);
}

#[test]
fn s_30_who_did_not_create_does_not_remove() {
    let name = Scratch::new();
    let creator = SharedMemory::create(&name.0, 4096).unwrap();
    read_write().create(true).size(4096).open(&name.0).unwrap().close().unwrap();
    drop(SharedMemory::open(&name.0).unwrap());
    SharedMemory::open(&name.0).unwrap();
    creator.close().unwrap();
    assert!(!name.exists());
}

#[test]
fn s_31_a_persistent_object_outlives_its_handles() {
    let name = Scratch::new();
    let mut options = read_write();
    options.create_new(true).size(4096).lifetime(Lifetime::Persistent);
    let memory = options.open(&name.0).unwrap();
    memory.map().unwrap().write_at(0, b"intact").unwrap();
    memory.close().unwrap();
    let again = SharedMemory::open(&name.0).unwrap();
    assert_eq!(byte(&again, 0), b'i');
    again.remove().unwrap();
    assert!(!name.exists());
}

#[test]
fn s_35_no_other_program_inherits_an_object() {
    let name = Scratch::new();
    let memory = SharedMemory::create(&name.0, 4096).unwrap();
    let anonymous = SharedMemory::anonymous(4096).unwrap();
    let inheritable = nix::fcntl::open(
        name.path().as_str(),
        nix::fcntl::OFlag::O_RDWR,
        nix::sys::stat::Mode::empty(),
    );
    // A descriptor from elsewhere is made so when it becomes a handle.
    let adopted = SharedMemory::try_from(inheritable.unwrap()).unwrap();
    for memory in [&memory, &anonymous, &adopted] {
        let flags = nix::fcntl::fcntl(memory, nix::fcntl::FcntlArg::F_GETFD).unwrap();
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
    }
    let listing = std::process::Command::new("ls").args(["-l", "/proc/self/fd"]).output().unwrap();
    let listing = String::from_utf8(listing.stdout).unwrap();
    assert!(!listing.contains(name.0.as_str()) && !listing.contains("memfd:ringlane"), "{listing}");
}

#[test]
fn s_39_names_that_no_platform_takes_are_refused() {
    for bad in ["", "/", "a/b", "a\\b", ".", "..", "/.", "/..", "a\0b", "//a", "a\nb"] {
        assert_eq!(kind(Name::new(bad)), ErrorKind::InvalidName, "{bad:?}");
    }
    let own = Scratch::new();
    for len in [30, 31, 253] {
        let name = Name::new(&format!("{:x<len$}", own.0.as_str())).unwrap();
        assert_eq!(name.is_portable(), len == 30);
        let memory = SharedMemory::create(&name, 64).unwrap();
        assert_eq!(SharedMemory::open(&name).unwrap().size().unwrap(), 64);
        memory.close().unwrap();
        assert!(!std::path::Path::new(&path(&name)).exists());
    }
    assert_eq!(kind(Name::new(&"x".repeat(254))), ErrorKind::InvalidName);
    assert!(Name::native(&"x".repeat(255)).is_ok());
    assert_eq!(kind(Name::native(&"x".repeat(256))), ErrorKind::InvalidName);
    for bad in ["", "/", ".", "..", "a/b", "a\0b"] {
        assert_eq!(kind(Name::native(bad)), ErrorKind::InvalidName, "{bad:?}");
    }
}

#[test]
fn s_40_a_leading_slash_changes_nothing() {
    let name = Scratch::new();
    let slashed = Name::new(&format!("/{}", name.0)).unwrap();
    let memory = SharedMemory::create(&slashed, 4096).unwrap();
    memory.map().unwrap().write_at(0, &[4]).unwrap();
    assert_eq!(byte(&SharedMemory::open(&name.0).unwrap(), 0), 4);
}

#[test]
fn an_opener_who_wants_more_than_there_is_is_told() {
    let name = Scratch::new();
    let memory = SharedMemory::create(&name.0, 4096).unwrap();
    assert_eq!(kind(read_write().size(4097).open(&name.0)), ErrorKind::InvalidSize);
    assert_eq!(kind(read_write().create(true).size(4097).open(&name.0)), ErrorKind::InvalidSize);
    assert_eq!(memory.size().unwrap(), 4096);
}

#[test]
fn a_reader_may_come_first_and_make_the_object() {
    let name = Scratch::new();
    let reader = OpenOptions::new().read(true).create(true).size(4096).open(&name.0).unwrap();
    assert!(reader.created());
    assert_eq!(kind(reader.set_size(8192)), ErrorKind::PermissionDenied);
    // The kernel keeps to it, too: the descriptor is a reader's.
    let copy: OwnedFd = reader.as_fd().try_clone_to_owned().unwrap();
    assert_eq!(nix::errno::Errno::EBADF, nix::unistd::write(&copy, b"x").unwrap_err());
    let writer = read_write().create(true).size(4096).open(&name.0).unwrap();
    writer.map().unwrap().write_at(0, &[3]).unwrap();
    assert_eq!(byte(&reader, 0), 3);
}

#[test]
fn a_descriptor_that_is_no_shared_memory_is_refused() {
    let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    assert_eq!(kind(SharedMemory::try_from(OwnedFd::from(file))), ErrorKind::Corrupt);
    let pipe = std::io::pipe().unwrap().0;
    assert_eq!(kind(SharedMemory::try_from(OwnedFd::from(pipe))), ErrorKind::Corrupt);
    let directory = std::fs::File::open("/dev/shm").unwrap();
    assert_eq!(kind(SharedMemory::try_from(OwnedFd::from(directory))), ErrorKind::Corrupt);
    let name = Scratch::new();
    leave_behind(&name.0, 4096);
    let writer = std::fs::OpenOptions::new().write(true).open(name.path()).unwrap();
    assert_eq!(kind(SharedMemory::try_from(OwnedFd::from(writer))), ErrorKind::PermissionDenied);
    let reader = SharedMemory::try_from(OwnedFd::from(std::fs::File::open(name.path()).unwrap()));
    let reader = reader.unwrap();
    assert!(!reader.created() && reader.name().is_none() && reader.as_fd().as_raw_fd() > 2);
    assert_eq!(kind(reader.map().unwrap().write_at(0, &[1])), ErrorKind::PermissionDenied);
    assert_eq!(kind(reader.remove()), ErrorKind::InvalidInput);
}
