//! Mappings: which bytes, and with which access.

use crate::support::{Scratch, byte, kind, leave_behind, read_write};
use ringlane::{ErrorKind, MapOptions, OpenOptions, SharedMemory, capabilities};

fn reading() -> MapOptions {
    let mut options = MapOptions::new();
    options.read(true);
    options
}

#[test]
fn s_11_a_region_mapped_again_is_valid_and_shows_the_object() {
    let name = Scratch::new();
    let memory = SharedMemory::create(&name.0, 8192).unwrap();
    for round in 0..100 {
        let mapping = memory.map().unwrap();
        let mut before = [0];
        mapping.read_at(5000, &mut before).unwrap();
        assert_eq!(before[0], round);
        mapping.write_at(5000, &[round + 1]).unwrap();
    }
    assert_eq!(memory.mapping_count(), 0);
}

#[test]
fn s_12_of_two_identical_mappings_one_outlives_the_other() {
    let memory = SharedMemory::anonymous(4096).unwrap();
    let (one, two) = (memory.map().unwrap(), memory.map().unwrap());
    assert_ne!(one.as_ptr(), two.as_ptr());
    drop(one);
    two.write_at(0, &[1]).unwrap();
    assert_eq!(byte(&memory, 0), 1);
}

#[test]
fn s_18_what_was_opened_for_reading_is_not_written_to() {
    let name = Scratch::new();
    leave_behind(&name.0, 4096);
    let reader = OpenOptions::new().read(true).open(&name.0).unwrap();
    let wanted = reading().write(true).map(&reader);
    assert_eq!(kind(wanted), ErrorKind::PermissionDenied);
    assert_eq!(kind(MapOptions::new().write(true).map(&reader)), ErrorKind::PermissionDenied);
    let mapping = reading().map(&reader).unwrap();
    assert_eq!(kind(mapping.write_at(0, &[1])), ErrorKind::PermissionDenied);
    drop(mapping);
    assert_eq!(kind(reader.set_size(8192)), ErrorKind::PermissionDenied);
}

#[test]
fn s_19_what_was_opened_for_writing_is_not_read() {
    let name = Scratch::new();
    leave_behind(&name.0, 4096);
    let writer = OpenOptions::new().write(true).open(&name.0).unwrap();
    assert_eq!(kind(reading().map(&writer)), ErrorKind::PermissionDenied);
    assert_eq!(kind(reading().write(true).map(&writer)), ErrorKind::PermissionDenied);
    let private = MapOptions::new().write(true).copy_on_write(true).map(&writer);
    assert_eq!(kind(private), ErrorKind::PermissionDenied);
    let mapping = MapOptions::new().write(true).map(&writer).unwrap();
    mapping.write_at(0, &[8]).unwrap();
    assert_eq!(kind(mapping.read_at(0, &mut [0])), ErrorKind::PermissionDenied);
    assert_eq!(byte(&SharedMemory::open(&name.0).unwrap(), 0), 8);
}

#[test]
fn s_20_code_runs_where_it_was_announced() {
    let name = Scratch::new();
    let mut options = read_write();
    let plain = options.create_new(true).size(4096).open(&name.0).unwrap();
    assert_eq!(kind(reading().exec(true).map(&plain)), ErrorKind::PermissionDenied);
    let announced = read_write().maybe_exec(true).open(&name.0).unwrap();
    // To give back 42: mov eax, 42; ret
    #[cfg(target_arch = "x86_64")]
    let code = [0xb8, 42, 0, 0, 0, 0xc3];
    // mov w0, 42; ret
    #[cfg(target_arch = "aarch64")]
    let code = [0x40, 5, 0x80, 0x52, 0xc0, 3, 0x5f, 0xd6];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let code = [];
    plain.map().unwrap().write_at(0, &code).unwrap();
    let mapping = reading().exec(true).map(&announced);
    if !capabilities().unwrap().exec {
        assert_eq!(kind(mapping), ErrorKind::PermissionDenied);
        return;
    }
    let mapping = mapping.unwrap();
    if !code.is_empty() {
        // SAFETY: the mapping is executable and begins with a function of this type.
        let answer: extern "C" fn() -> u32 = unsafe { std::mem::transmute(mapping.as_ptr()) };
        assert_eq!(answer(), 42);
    }
}

#[test]
fn s_21_writes_to_a_private_mapping_stay_there() {
    let memory = SharedMemory::anonymous(8192).unwrap();
    let shared = memory.map().unwrap();
    shared.write_at(0, b"old").unwrap();
    let own = reading().write(true).copy_on_write(true).map(&memory).unwrap();
    own.write_at(0, b"own").unwrap();
    for (mapping, expected) in [(&shared, b"old"), (&own, b"own"), (&memory.map().unwrap(), b"old")]
    {
        let mut seen = [0; 3];
        mapping.read_at(0, &mut seen).unwrap();
        assert_eq!(&seen, expected);
    }
}

#[test]
fn s_22_a_reader_may_write_to_a_private_mapping() {
    let name = Scratch::new();
    leave_behind(&name.0, 4096);
    let reader = OpenOptions::new().read(true).open(&name.0).unwrap();
    let own = reading().write(true).copy_on_write(true).map(&reader).unwrap();
    own.write_at(0, &[9]).unwrap();
    assert_eq!(byte(&reader, 0), 0);
}

#[test]
fn s_23_ranges_outside_the_object_are_refused() {
    let memory = SharedMemory::anonymous(10_000).unwrap();
    let map = |offset, length| reading().offset(offset).length(length).map(&memory);
    assert_eq!(kind(map(0, 0)), ErrorKind::InvalidInput);
    assert_eq!(kind(map(10_000, 0)), ErrorKind::InvalidInput);
    assert_eq!(kind(reading().offset(10_000).map(&memory)), ErrorKind::InvalidInput);
    for (offset, length) in [
        (0, 10_001),
        (1, 10_000),
        (10_000, 1),
        (10_001, 0),
        (1 << 40, 1),
        (1, u64::MAX),
        (u64::MAX, 1),
        (u64::MAX, u64::MAX),
        (0, u64::MAX),
        (i64::MAX as u64, 2),
    ] {
        assert_eq!(kind(map(offset, length)), ErrorKind::OutOfRange, "{offset} {length}");
    }
    assert_eq!(kind(MapOptions::new().map(&memory)), ErrorKind::InvalidInput);
    assert_eq!(kind(MapOptions::new().copy_on_write(true).map(&memory)), ErrorKind::InvalidInput);
    assert_eq!(memory.mapping_count(), 0);
}

#[test]
fn s_25_a_part_shows_what_is_written_through_the_whole() {
    let memory = SharedMemory::anonymous(1 << 20).unwrap();
    let whole = memory.map().unwrap();
    let pattern: Vec<u8> = (0..1 << 20).map(|n: u32| (n ^ n >> 8) as u8).collect();
    whole.write_at(0, &pattern).unwrap();
    for offset in [65_536, 65_537, 65_535, 4096, 4095, 1, 0, 123_456, (1 << 20) - 1] {
        for length in [1, 2, 4095, 4096, 4097, 70_000] {
            let length = length.min((1 << 20) - offset);
            let mut options = reading();
            let part = options.write(true).offset(offset as u64).length(length as u64);
            let part = part.map(&memory).unwrap();
            assert_eq!((part.len(), part.offset()), (length, offset as u64));
            let mut seen = vec![0; length];
            part.read_at(0, &mut seen).unwrap();
            assert_eq!(seen, pattern[offset..offset + length], "{offset} {length}");
            assert_eq!(kind(part.read_at(length, &mut [0])), ErrorKind::OutOfRange);
            part.write_at(length - 1, &[0xee]).unwrap();
            let mut last = [0];
            whole.read_at(offset + length - 1, &mut last).unwrap();
            assert_eq!(last, [0xee]);
            whole.write_at(0, &pattern).unwrap();
        }
    }
}

#[test]
fn s_37_a_mapping_outlives_the_handle() {
    let name = Scratch::new();
    let memory = SharedMemory::create(&name.0, 4096).unwrap();
    let mapping = memory.map().unwrap();
    mapping.write_at(0, &[1]).unwrap();
    drop(memory);
    assert!(!name.exists());
    mapping.write_at(4095, &[2]).unwrap();
    let mut bytes = [0; 4096];
    mapping.read_at(0, &mut bytes).unwrap();
    assert_eq!((bytes[0], bytes[4095]), (1, 2));
}

/// Every length at which copying changes its way, between addresses that are aligned to nothing: the bytes
/// are those of the other side, and none beside them changes.
#[test]
fn a_copy_of_any_length_between_any_addresses_is_exact() {
    const BORDER: usize = 24;
    let memory = SharedMemory::anonymous(3 * 4096).unwrap();
    let mapping = memory.map().unwrap();
    let source: Vec<u8> = (0..9000_u32).map(|at| (at * 7 + at / 251) as u8).collect();
    let lengths = (0..=300).chain(1000..=1010).chain(4060..=4200).chain([8000]);
    for len in lengths {
        for (near, far) in [(0, 0), (1, 0), (0, 1), (3, 7), (8, 15), (9, 16), (15, 4)] {
            let around = len + 2 * BORDER;
            mapping.write_at(far, &vec![0xee; around]).unwrap();
            let from = &source[near..near + len];
            mapping.write_at(far + BORDER, from).unwrap();
            let mut buffer = vec![0xdd; near + around];
            mapping.read_at(far, &mut buffer[near..]).unwrap();
            let seen = &buffer[near..];
            assert_eq!(seen[..BORDER], [0xee; BORDER], "before {len} at {near}, {far}");
            assert_eq!(&seen[BORDER..BORDER + len], from, "{len} at {near}, {far}");
            assert_eq!(seen[BORDER + len..], [0xee; BORDER], "behind {len} at {near}, {far}");
            let mut buffer = vec![0xdd; near + around];
            mapping.read_at(far + BORDER, &mut buffer[near + BORDER..][..len]).unwrap();
            assert!(buffer[..near + BORDER].iter().all(|byte| *byte == 0xdd));
            assert_eq!(&buffer[near + BORDER..][..len], from);
            assert_eq!(buffer[near + BORDER + len..], [0xdd; BORDER]);
        }
    }
}
