//! Memory, files and locks that are not to be had: an error each time, never a signal, nothing left behind.

use crate::support::{
    MORE_THAN_THERE_IS, Scratch, Second, become_stranger, is_root, kind, read_write,
};
use nix::sys::resource::{Resource, setrlimit};
use ringlane::{ErrorKind, MapOptions, Name, SharedMemory, capabilities, record, spsc};

const PAGE: u64 = 4096;

/// What the small `/dev/shm` holds.
const LIMIT: u64 = 1 << 20;

fn names() -> usize {
    std::fs::read_dir("/dev/shm").unwrap().count()
}

/// Bytes of `/dev/shm` that nothing has taken.
fn free() -> u64 {
    let there = nix::sys::statvfs::statvfs("/dev/shm").unwrap();
    there.blocks_free() as u64 * there.fragment_size() as u64
}

fn create_at_every_size(name: &Name) {
    assert_eq!((free(), names()), (LIMIT, 0));
    for size in (PAGE..=LIMIT).step_by(PAGE as usize * 17) {
        let memory = SharedMemory::create(name, size).unwrap();
        // Where pages are larger, more is taken.
        assert!(free() <= LIMIT - size);
        memory.map().unwrap().write_at(size as usize - 1, &[1]).unwrap();
    }
    for size in (LIMIT + PAGE..=4 * LIMIT).step_by(PAGE as usize) {
        for exclusive in [true, false] {
            let mut options = read_write();
            let made = options.create(true).create_new(exclusive).size(size).open(name);
            assert_eq!(kind(made), ErrorKind::NoSpace, "{size}");
        }
        assert_eq!(kind(record::Queue::create(name, size as usize)), ErrorKind::NoSpace);
        let values = (size as usize).next_power_of_two() / 8;
        assert_eq!(kind(spsc::Queue::<u64>::create(name, values)), ErrorKind::NoSpace);
        assert_eq!((free(), names()), (LIMIT, 0), "after {size}");
    }
}

/// What is there keeps its size and contents when it cannot grow.
fn grow_past_the_limit(name: &Name) {
    let memory = SharedMemory::create(name, LIMIT / 2).unwrap();
    memory.map().unwrap().write_at(0, b"kept").unwrap();
    for size in (LIMIT + PAGE..=LIMIT * 2).step_by(PAGE as usize) {
        assert_eq!(kind(memory.set_size(size)), ErrorKind::NoSpace, "{size}");
        assert_eq!((memory.size().unwrap(), free()), (LIMIT / 2, LIMIT / 2));
    }
    let mut seen = [0; 4];
    memory.map().unwrap().read_at(0, &mut seen).unwrap();
    assert_eq!(&seen, b"kept");
    memory.set_size(LIMIT).unwrap();
    assert_eq!(free(), 0);
    // Not one page is left for a ring.
    assert_eq!(
        kind(spsc::Queue::<u64>::create(&Name::new("ring").unwrap(), 1)),
        ErrorKind::NoSpace
    );
}

fn limit(resource: Resource, to: u64) {
    setrlimit(resource, to as _, to as _).unwrap();
}

pub(crate) fn part(part: &str, name: &Name) -> bool {
    match part {
        "create past the limit" => {
            create_at_every_size(name);
            grow_past_the_limit(name);
            assert_eq!(kind(SharedMemory::create(name, 1 << 40)), MORE_THAN_THERE_IS);
            assert_eq!((free(), names()), (LIMIT, 0));
        }
        "fail to grow in steps" => {
            // Memory is reserved in steps, the last of which fails here: what the others took goes back.
            let before = free();
            let memory = SharedMemory::create(name, PAGE).unwrap();
            for size in [40 << 20, 64 << 20] {
                assert_eq!(kind(memory.set_size(size)), ErrorKind::NoSpace);
                // What the file system gives away, which an emulator's pages are not.
                let unit = nix::sys::statvfs::statvfs("/dev/shm").unwrap().fragment_size();
                let left = before - unit as u64;
                assert_eq!((memory.size().unwrap(), free()), (PAGE, left));
            }
        }
        "create where nothing runs" => {
            assert!(!capabilities().unwrap().exec);
            let mut options = read_write();
            let memory = options.create_new(true).size(PAGE).maybe_exec(true).open(name).unwrap();
            let code = MapOptions::new().read(true).exec(true).map(&memory);
            assert_eq!(kind(code), ErrorKind::PermissionDenied);
            memory.map().unwrap();
        }
        "reach the file size limit" => {
            limit(Resource::RLIMIT_FSIZE, LIMIT);
            for size in (LIMIT + 1..LIMIT + 64 * PAGE).step_by(4095) {
                assert_eq!(kind(SharedMemory::create(name, size)), ErrorKind::NoSpace);
                assert_eq!(kind(SharedMemory::anonymous(size)), ErrorKind::NoSpace);
                let mut sparse = read_write();
                let sparse = sparse.create(true).size(size).reserve(false).open(name);
                assert_eq!(kind(sparse), ErrorKind::NoSpace);
                assert_eq!(kind(record::Queue::create(name, size as usize)), ErrorKind::NoSpace);
            }
            assert!(!std::path::Path::new(&crate::support::path(name)).exists());
            let memory = SharedMemory::create(name, LIMIT).unwrap();
            assert_eq!(kind(memory.set_size(LIMIT + 1)), ErrorKind::NoSpace);
            assert_eq!(memory.size().unwrap(), LIMIT);
        }
        "reach the limit of open files" => reach_open_files(name),
        "reach the limit of locked memory" => {
            if is_root() {
                become_stranger();
            }
            limit(Resource::RLIMIT_MEMLOCK, 16 * PAGE);
            let memory = SharedMemory::anonymous(LIMIT).unwrap();
            let lock =
                |len| MapOptions::new().read(true).write(true).lock(true).length(len).map(&memory);
            let locked = lock(8 * PAGE).unwrap();
            assert!(locked.granted().locked);
            for len in [9 * PAGE, 16 * PAGE, LIMIT] {
                assert_eq!(kind(lock(len)), ErrorKind::LimitReached);
            }
            assert_eq!(memory.mapping_count(), 1);
            drop(locked);
            lock(16 * PAGE).unwrap();
            limit(Resource::RLIMIT_MEMLOCK, 0);
            assert_eq!(kind(lock(PAGE)), ErrorKind::LimitReached);
        }
        "reach the limit of address space" => {
            let memory = SharedMemory::anonymous(64 << 20).unwrap();
            limit(Resource::RLIMIT_AS, 1 << 30);
            let mut mappings = Vec::new();
            let refused = loop {
                match memory.map() {
                    Ok(mapping) => mappings.push(mapping),
                    Err(error) => break error,
                }
            };
            assert_eq!(refused.kind(), ErrorKind::NoSpace);
            assert_eq!(memory.mapping_count(), mappings.len());
            mappings.pop();
            memory.map().unwrap();
        }
        _ => return false,
    }
    true
}

fn reach_open_files(name: &Name) {
    let memory = SharedMemory::create(name, PAGE).unwrap();
    let other = Name::new(&format!("{name}-other")).unwrap();
    limit(Resource::RLIMIT_NOFILE, 32);
    let mut open = Vec::new();
    let refused = loop {
        match SharedMemory::open(name) {
            Ok(memory) => open.push(memory),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::LimitReached);
    // Opening takes a second file for a moment, which is free still.
    while let Ok(memory) = SharedMemory::anonymous(PAGE) {
        open.push(memory);
    }
    assert_eq!(kind(SharedMemory::create(&other, PAGE)), ErrorKind::LimitReached);
    assert_eq!(kind(read_write().create(true).size(PAGE).open(&other)), ErrorKind::LimitReached);
    assert_eq!(kind(SharedMemory::anonymous(PAGE)), ErrorKind::LimitReached);
    assert_eq!(kind(spsc::Queue::<u64>::create(&other, 8)), ErrorKind::LimitReached);
    assert_eq!(kind(spsc::Queue::<u64>::private(8)), ErrorKind::LimitReached);
    // What is open goes on working, and a name can be removed without another file.
    memory.map().unwrap().write_at(0, &[1]).unwrap();
    memory.close().unwrap();
    open.pop();
    assert_eq!(kind(SharedMemory::open(name)), ErrorKind::NotFound);
    SharedMemory::create(&other, PAGE).unwrap();
    assert!(!std::path::Path::new(&crate::support::path(&other)).exists());
}

#[test]
fn a_full_shm_is_an_error_at_every_size_and_never_a_signal() {
    let name = Scratch::new();
    let mount = format!("size={LIMIT}");
    if let Some(second) = Second::start_with_shm(&mount, "create past the limit", &name.0) {
        second.done();
    }
}

#[test]
fn what_a_failed_growth_took_goes_back() {
    let name = Scratch::new();
    if let Some(second) = Second::start_with_shm("size=36m", "fail to grow in steps", &name.0) {
        second.done();
    }
}

#[test]
fn s_20_a_mount_without_execution_refuses_code() {
    let name = Scratch::new();
    if let Some(second) = Second::start_with_shm("noexec", "create where nothing runs", &name.0) {
        second.done();
    }
}

#[test]
fn s_33_more_than_there_is_leaves_no_name_behind() {
    let name = Scratch::new();
    assert_eq!(kind(SharedMemory::create(&name.0, 1 << 40)), MORE_THAN_THERE_IS);
    assert!(!name.exists());
}

#[test]
fn the_file_size_limit_is_an_error() {
    let name = Scratch::new();
    Second::start("reach the file size limit", &name.0).done();
}

#[test]
fn the_limit_of_open_files_is_an_error() {
    let name = Scratch::new();
    Second::start("reach the limit of open files", &name.0).done();
    assert!(!name.exists());
}

#[test]
fn the_limit_of_locked_memory_is_an_error() {
    let name = Scratch::new();
    Second::start("reach the limit of locked memory", &name.0).done();
}

#[test]
fn the_limit_of_address_space_is_an_error() {
    let name = Scratch::new();
    Second::start("reach the limit of address space", &name.0).done();
}
