//! What is different on Windows: names that go with their last handle, sizes that stay, and what is refused.
#![cfg(windows)]

mod common;

use common::{Second, part, scratch, until};
use ringlane::{
    ErrorKind, Lifetime, MapOptions, Name, OpenOptions, Peer, PopError, Resize, SharedMemory, Wait,
    capabilities, inspect, mpmc, record, spsc,
};
use std::time::Duration;

/// Where the second process comes in. As a test of its own it does nothing.
#[test]
fn second_process() {
    let Some((part, name)) = part() else { return };
    match part.as_str() {
        "hold the name" => {
            let memory = SharedMemory::open(&name).unwrap();
            let mapping = memory.map().unwrap();
            mapping.write_at(0, b"here").unwrap();
            loop {
                std::thread::park();
            }
        }
        "consume many asleep" => {
            let mut consumer = mpmc::Queue::<u64>::open(&name).unwrap().consumer().unwrap();
            consumer.set_wait(Wait::Park);
            while consumer.pop().is_ok() {}
        }
        other => panic!("no such part: {other}"),
    }
}

fn read_write(size: u64) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).size(size);
    options
}

#[test]
fn a_name_is_one_objects_and_goes_with_its_last_handle_and_mapping() {
    let name = scratch();
    assert_eq!(SharedMemory::open(&name).unwrap_err().kind(), ErrorKind::NotFound);
    let memory = SharedMemory::create(&name, 10_000).unwrap();
    let taken = SharedMemory::create(&name, 10_000).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    let other = SharedMemory::open(&name).unwrap();
    assert_eq!((memory.size().unwrap(), other.size().unwrap()), (10_000, 10_000));
    memory.map().unwrap().write_at(9_990, b"the end").unwrap();
    drop(memory);
    let mut bytes = [0; 7];
    let part = MapOptions::new().read(true).offset(9_000).length(1_000).map(&other).unwrap();
    drop(other);
    SharedMemory::open(&name).unwrap();
    part.read_at(990, &mut bytes).unwrap();
    assert_eq!(&bytes, b"the end");
    drop(part);
    assert_eq!(SharedMemory::open(&name).unwrap_err().kind(), ErrorKind::NotFound);
    SharedMemory::create(&name, 1).unwrap().close().unwrap();
}

#[test]
fn a_killed_process_leaves_no_name() {
    let name = scratch();
    let memory = SharedMemory::create(&name, 4096).unwrap();
    let second = Second::start("hold the name", &name);
    let mapping = memory.map().unwrap();
    until("the second process has it mapped", || {
        let mut bytes = [0; 4];
        mapping.read_at(0, &mut bytes).unwrap();
        &bytes == b"here"
    });
    drop((mapping, memory));
    let memory = SharedMemory::open(&name).unwrap();
    assert!(!inspect::list().unwrap().contains(&name), "no ring is in it");
    drop(memory);
    second.kill();
    until("the name is gone", || SharedMemory::open(&name).is_err());
}

#[test]
fn what_cannot_be_had_is_an_error_that_says_so() {
    let name = scratch();
    let can = capabilities().unwrap();
    assert_eq!((can.resize, can.empty, can.truncate), (Resize::Never, false, false));
    assert!(!(can.unlink || can.persistent || can.mode || can.exec || can.seal || can.numa));
    assert!(can.copy_on_write && can.offset_unit.is_multiple_of(4096));
    let kind = |done: ringlane::Result<SharedMemory>| done.unwrap_err().kind();
    assert_eq!(kind(read_write(0).open(&name)), ErrorKind::Unsupported);
    assert_eq!(kind(read_write(64).mode(0o660).open(&name)), ErrorKind::Unsupported);
    assert_eq!(kind(OpenOptions::new().write(true).anonymous()), ErrorKind::Unsupported);
    let memory =
        read_write(64).maybe_exec(true).lifetime(Lifetime::Persistent).open(&name).unwrap();
    let mut options = OpenOptions::new();
    assert_eq!(kind(options.write(true).truncate(true).open(&name)), ErrorKind::Unsupported);
    assert_eq!(memory.set_size(128).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(memory.remove().unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(SharedMemory::unlink(&name).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(memory.seal_writes().unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(memory.is_size_sealed().unwrap() && !memory.is_write_sealed().unwrap());
    let exec = MapOptions::new().read(true).exec(true).map(&memory).unwrap_err();
    assert_eq!(exec.kind(), ErrorKind::Unsupported);
    let name = scratch();
    let _queue = spsc::Queue::<u64>::create(&name, 8).unwrap();
    assert_eq!(inspect::remove(&name, false).unwrap_err().kind(), ErrorKind::Unsupported);
    let huge = SharedMemory::create(&scratch(), 1 << 62).unwrap_err();
    assert!(matches!(huge.kind(), ErrorKind::NoSpace | ErrorKind::Os), "{huge}");
}

#[test]
fn what_was_opened_for_reading_is_not_written_to() {
    let name = scratch();
    let memory = SharedMemory::create(&name, 64).unwrap();
    let reader = OpenOptions::new().read(true).open(&name).unwrap();
    let error = MapOptions::new().write(true).map(&reader).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let own = MapOptions::new().read(true).write(true).copy_on_write(true).map(&reader).unwrap();
    own.write_at(0, &[7]).unwrap();
    let mut byte = [1];
    memory.map().unwrap().read_at(0, &mut byte).unwrap();
    assert_eq!(byte, [0]);
}

#[test]
fn rings_are_listed_and_looked_at_by_name() {
    let name = scratch();
    let queue = record::Queue::create(&name, 1 << 16).unwrap();
    let mut producer = queue.producer().unwrap();
    producer.push(b"one").unwrap();
    assert!(inspect::list().unwrap().contains(&name));
    let report = inspect::report(&name).unwrap();
    assert_eq!((report.depth, report.producer.holder), (1, Peer::Alive));
    assert_eq!(report.consumer.holder, Peer::Vacant);
    let again = record::Queue::open(&name).unwrap().producer().unwrap_err();
    assert_eq!(again.kind(), ErrorKind::InUse);
}

/// Three processes sleep on one word, and one more thread of this one: all are woken.
#[test]
fn all_who_sleep_on_one_word_are_woken_in_every_process() {
    let name = scratch();
    let queue = mpmc::Queue::<u64>::create(&name, 8).unwrap();
    let mut producer = queue.producer().unwrap();
    let seconds = [0; 3].map(|_| Second::start("consume many asleep", &name));
    let mut own = queue.consumer().unwrap();
    own.set_wait(Wait::Park);
    let mut clones = [own.clone(), own.clone()];
    std::thread::scope(|scope| {
        for clone in &mut clones {
            scope.spawn(|| while clone.pop().is_ok() {});
        }
        for n in 0..2_000 {
            producer.push(n).unwrap();
            if n % 100 == 0 {
                producer.flush(Some(Duration::from_secs(60))).unwrap();
            }
        }
        drop(producer);
        assert!(seconds.map(Second::done).iter().all(std::process::ExitStatus::success));
        while own.pop().is_ok() {}
        assert_eq!(own.pop(), Err(PopError::Closed));
    });
}

/// A name of any length that is one leads to one object only.
#[test]
fn long_names_are_names() {
    let prefix = scratch();
    let long = |last: char| {
        let mut name = format!("{prefix}-");
        name.extend(std::iter::repeat_n('x', Name::MAX - 1 - name.len()));
        Name::new(&format!("{name}{last}")).unwrap()
    };
    let one = SharedMemory::create(&long('a'), 1).unwrap();
    assert_eq!(one.name().unwrap().as_str().len(), Name::MAX);
    assert_eq!(SharedMemory::open(&long('b')).unwrap_err().kind(), ErrorKind::NotFound);
    SharedMemory::open(&long('a')).unwrap();
}
