//! Rings in memory that is there already: anonymous, received, larger than the ring, in use.

use crate::common::page;
use crate::support::{Scratch, Second, kind, settled};
use ringlane::{ErrorKind, Name, OpenOptions, SharedMemory, record, spsc};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Barrier;

const VALUES: u64 = 10_000;

pub(crate) fn part(part: &str, _name: &Name) -> bool {
    // Stands for a descriptor that came over a socket: the other process's, opened anew.
    let Some(path) = part.strip_prefix("count from ") else { return false };
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let memory = SharedMemory::try_from(OwnedFd::from(file)).unwrap();
    assert!(memory.is_size_sealed().unwrap());
    let queue = spsc::Queue::<u64>::options().attach(memory).unwrap();
    let mut producer = settled(|| queue.producer()).unwrap();
    (0..VALUES).for_each(|n| producer.push(n).unwrap());
    true
}

#[test]
fn a_ring_without_a_name_connects_two_processes() {
    let memory = SharedMemory::anonymous(1 << 20).unwrap();
    let own = memory.as_fd().try_clone_to_owned().unwrap();
    let queue = spsc::Queue::<u64>::options().capacity(64).host(memory).unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), own.as_raw_fd());
    let second = Second::start(&format!("count from {path}"), &Scratch::new().0);
    let mut consumer = settled(|| queue.consumer()).unwrap();
    (0..VALUES).for_each(|n| assert_eq!(consumer.pop(), Ok(n)));
    second.done();
}

/// Whoever hosts has both ends' locks meanwhile, so of many at once one succeeds.
#[test]
fn of_many_who_host_at_once_one_does() {
    const THREADS: usize = 8;
    for _ in 0..50 {
        let name = Scratch::new();
        let _object = SharedMemory::create(&name.0, 1 << 20).unwrap();
        let start = Barrier::new(THREADS);
        let host = || {
            let memory = SharedMemory::open(&name.0).unwrap();
            start.wait();
            record::Queue::options().capacity(256 << 10).host(memory)
        };
        let hosted: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(host)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(hosted.iter().filter(|hosted| hosted.is_ok()).count(), 1);
        for error in hosted.into_iter().filter_map(Result::err) {
            assert!(matches!(error.kind(), ErrorKind::InUse | ErrorKind::AlreadyExists), "{error}");
        }
        let queue = record::Queue::open(&name.0).unwrap();
        settled(|| queue.producer()).unwrap().push(b"whole").unwrap();
    }
}

#[test]
fn memory_that_will_not_do_is_refused() {
    let name = Scratch::new();
    let memory = SharedMemory::create(&name.0, 1 << 20).unwrap();
    let options = spsc::Queue::<u64>::options().capacity(64).clone();
    let reader = OpenOptions::new().read(true).open(&name.0).unwrap();
    assert_eq!(kind(options.host(reader)), ErrorKind::PermissionDenied);
    let reader = OpenOptions::new().read(true).open(&name.0).unwrap();
    assert_eq!(kind(options.attach(reader)), ErrorKind::Corrupt);
    assert_eq!(kind(options.attach(SharedMemory::open(&name.0).unwrap())), ErrorKind::Corrupt);
    assert_eq!(kind(options.host(SharedMemory::anonymous(4096).unwrap())), ErrorKind::InvalidSize);
    let mut odd = options.clone();
    assert_eq!(kind(odd.capacity(3).host(memory)), ErrorKind::InvalidSize);
    // What was refused was not touched, and its name went with its creator's handle.
    assert!(!name.exists());
}

#[test]
fn attaching_takes_the_ring_that_is_meant() {
    let name = Scratch::new();
    let options = record::Queue::options().capacity(4096).tag("frames").clone();
    let _queue = options.host(SharedMemory::create(&name.0, 1 << 20).unwrap()).unwrap();
    let memory = || SharedMemory::open(&name.0).unwrap();
    assert_eq!(kind(spsc::Queue::<u64>::options().attach(memory())), ErrorKind::Incompatible);
    assert_eq!(kind(record::Queue::options().attach(memory())), ErrorKind::Incompatible);
    assert_eq!(options.attach(memory()).unwrap().capacity(), page());
    let writer = OpenOptions::new().write(true).open(&name.0).unwrap();
    assert_eq!(kind(options.attach(writer)), ErrorKind::PermissionDenied);
    assert_eq!(kind(settled(|| options.host(memory()))), ErrorKind::AlreadyExists);
}
