//! Memory that the `shared_memory` crate made.

use crate::support::{Scratch, kind, settled};
use ringlane::{ErrorKind, Name, SharedMemory, record, spsc};
use shared_memory::{Shmem, ShmemConf};

fn make(size: usize) -> Shmem {
    ShmemConf::new().size(size).create().unwrap()
}

fn peek(shmem: &Shmem, at: usize) -> u8 {
    assert!(at < shmem.len());
    // SAFETY: within the segment, just checked.
    let byte = unsafe { shmem.as_ptr().add(at) };
    // SAFETY: as above; a byte that another process changes meanwhile is read as either.
    unsafe { byte.read_volatile() }
}

#[test]
fn a_ring_is_hosted_in_a_segment_that_is_there() {
    let shmem = make(1 << 20);
    // What is in it does not matter, and it may be larger than the ring.
    // SAFETY: the segment has that many bytes, and nobody else has it.
    unsafe { shmem.as_ptr().write_bytes(0xa5, 1 << 20) };
    let queue = spsc::Queue::<u64>::options().capacity(64).host((&shmem).try_into().unwrap());
    let queue = queue.unwrap();
    // Another process would come by the name.
    let name = Name::native(shmem.get_os_id()).unwrap();
    let other = spsc::Queue::<u64>::open(&name).unwrap();
    let (mut producer, mut consumer) =
        (settled(|| queue.producer()).unwrap(), settled(|| other.consumer()).unwrap());
    for n in 0..1000 {
        producer.push(n).unwrap();
        assert_eq!(consumer.pop(), Ok(n));
    }
    // The user's view shows the ring, and its rest is untouched.
    assert_eq!((peek(&shmem, 0), peek(&shmem, (1 << 20) - 1)), (b'r', 0xa5));
    // The ends outlive the segment's owner.
    drop(shmem);
    producer.push(7).unwrap();
    assert_eq!(consumer.pop(), Ok(7));
    assert_eq!(kind(spsc::Queue::<u64>::open(&name)), ErrorKind::NotFound);
}

#[test]
fn records_are_hosted_and_attached_to() {
    let shmem = make(64 << 10);
    for mirrored in [true, false] {
        let options = record::Queue::options().capacity(16 << 10).mirrored(mirrored).clone();
        let queue = settled(|| options.host((&shmem).try_into().unwrap())).unwrap();
        let other = record::Queue::options().attach((&shmem).try_into().unwrap()).unwrap();
        let (mut producer, mut consumer) =
            (settled(|| queue.producer()).unwrap(), settled(|| other.consumer()).unwrap());
        for n in 0..100_u8 {
            producer.push(&[n; 1000]).unwrap();
            let record = consumer.read().unwrap();
            assert!(record.to_vec() == [n; 1000]);
            record.release();
        }
        let memory = SharedMemory::try_from(&shmem).unwrap();
        memory.map().unwrap().write_at(0, &[0; 8]).unwrap();
    }
}

#[test]
fn a_ring_that_is_there_is_not_overwritten() {
    let shmem = make(64 << 10);
    let options = spsc::Queue::<u64>::options().capacity(64).clone();
    let host = || options.host((&shmem).try_into().unwrap());
    let queue = host().unwrap();
    assert_eq!(kind(settled(host)), ErrorKind::AlreadyExists);
    let producer = settled(|| queue.producer()).unwrap();
    assert_eq!(kind(host()), ErrorKind::InUse);
    // Nor while its magic is scribbled over but an end is held.
    // SAFETY: within the segment.
    unsafe { shmem.as_ptr().write_bytes(0, 8) };
    assert_eq!(kind(host()), ErrorKind::InUse);
    drop(producer);
    settled(host).unwrap();
}

#[test]
fn a_segment_that_is_too_small_or_not_the_same_is_refused() {
    let shmem = make(4096);
    let small = spsc::Queue::<u64>::options().host((&shmem).try_into().unwrap());
    assert_eq!(kind(small), ErrorKind::InvalidSize);
    let name = Name::native(shmem.get_os_id()).unwrap();
    SharedMemory::unlink(&name).unwrap();
    assert_eq!(kind(SharedMemory::try_from(&shmem)), ErrorKind::NotFound);
    let _other = SharedMemory::create(&name, 4096).unwrap();
    assert_eq!(kind(SharedMemory::try_from(&shmem)), ErrorKind::NotFound);
}

#[test]
fn segments_of_either_library_are_opened_by_the_other() {
    let name = Scratch::new();
    let memory = SharedMemory::create(&name.0, 8192).unwrap();
    memory.map().unwrap().write_at(100, b"ours").unwrap();
    let shmem = ShmemConf::new().os_id(format!("/{}", name.0)).open().unwrap();
    assert_eq!(shmem.len(), 8192);
    assert_eq!([100, 101, 102, 103].map(|at| peek(&shmem, at)), *b"ours");
    let theirs = make(4096);
    let opened = SharedMemory::open(&Name::native(theirs.get_os_id()).unwrap()).unwrap();
    assert!(!opened.created() && opened.size().unwrap() >= 4096);
    drop(opened);
    assert!(SharedMemory::try_from(&theirs).is_ok(), "closing ours removed their name");
}
