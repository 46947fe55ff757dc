//! Opening what is not, or not quite, the ring that was expected, and rings whose words were rewritten.

use ringlane::{ErrorKind, Name, OpenOptions, PopError, PushError, ReserveError, SharedMemory};
use ringlane::{inspect, record, spsc};
use std::os::unix::fs::{FileExt, PermissionsExt};

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
    assert!(texts[0].contains("values of type u64, 8 bytes aligned to 8; [u64; 7] has 56"));
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

#[allow(unsafe_code, reason = "the library's own call would change every thread")]
fn set_thread_uid(uid: u32) {
    // SAFETY: setresuid(2) takes no pointer; the raw call is for the calling thread alone.
    let failed = unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) };
    assert_eq!(failed, 0);
}

/// Positions in the segment that cannot be: an end is not given out, and one that was is told so.
#[test]
fn impossible_positions_are_corrupt_and_nothing_worse() {
    const PRODUCER: usize = 1024;
    const CONSUMER: usize = 4096;
    for wrong in [1, 65, u64::MAX, 1 << 63, (1 << 32) + 1] {
        let name = Temporary::new("positions");
        let queue = spsc::Queue::<u64>::create(&name.0, 64).unwrap();
        let words = SharedMemory::open(&name.0).unwrap().map().unwrap();

        let mut producer = queue.producer().unwrap();
        words.write_at(CONSUMER, &wrong.to_ne_bytes()).unwrap();
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
        words.write_at(CONSUMER, &0_u64.to_ne_bytes()).unwrap();
        // Too far ahead it cannot be. Behind, it is as one that was not stored for a while.
        match queue.producer() {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{wrong}"),
            Ok(_) => assert!(wrong.cast_signed() <= 65, "{wrong}"),
        }
        words.write_at(PRODUCER, &0_u64.to_ne_bytes()).unwrap();
        words.write_at(CONSUMER, &wrong.to_ne_bytes()).unwrap();
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
    const DATA: usize = 8192;
    for mirrored in [true, false] {
        let name = Temporary::new("records");
        let queue =
            record::Queue::options().capacity(4096).mirrored(mirrored).create(&name.0).unwrap();
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
                2000,
                2032,
                2033,
                4080,
                4088,
                4096,
                4097,
                1 << 31,
                1 << 40,
                (1 << 56) - 1,
            ] {
                words.write_at(DATA, &(len << 8 | low).to_ne_bytes()).unwrap();
                match consumer.try_read() {
                    Ok(record) => {
                        assert!(low == 1 && record.len() as u64 == len && len <= 4080);
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
        words.write_at(DATA, &(u64::MAX >> 16).to_ne_bytes()).unwrap();
        assert_eq!(queue.producer().unwrap_err().kind(), ErrorKind::Corrupt);
        words.write_at(DATA, &0_u64.to_ne_bytes()).unwrap();
        let mut producer = queue.producer().unwrap();
        let _consumer = queue.consumer().unwrap();
        words.write_at(4096, &(1_u64 << 40).to_ne_bytes()).unwrap();
        let failed = (0..10).find_map(|_| producer.try_push(&[0; 2000]).err());
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
            words.write_at(4096 + 16, &u64::to_ne_bytes(within)).unwrap();
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
