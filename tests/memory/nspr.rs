//! The flows of NSPR's named shared memory.

use crate::support::{Scratch, Second, byte, kind, leave_behind, read_write, until};
use ringlane::{ErrorKind, Lifetime, MapOptions, Name, OpenOptions, SharedMemory};
use std::sync::atomic::{AtomicUsize, Ordering};

const SIZE: u64 = 10 << 10;

/// How often the two processes of `n_05` take turns.
const TURNS: usize = 1000;

/// What `PR_OpenSharedMemory` is with these flags.
fn nspr(create: bool, exclusive: bool) -> OpenOptions {
    let mut options = read_write();
    options.create(create).create_new(create && exclusive);
    options.size(SIZE).mode(0o666).lifetime(Lifetime::Persistent);
    options
}

fn take_turns(name: &Name, odd: usize) {
    let memory = SharedMemory::open(name).unwrap();
    let mapping = memory.map().unwrap();
    // SAFETY: the mapping begins at a page and is larger than a word; all access to it is atomic.
    let counter = unsafe { mapping.as_ptr().cast::<AtomicUsize>().as_ref() };
    for turn in (odd..TURNS).step_by(2) {
        until("the other's turn ends", || counter.load(Ordering::Acquire) == turn);
        counter.store(turn + 1, Ordering::Release);
    }
    drop(mapping);
    memory.close().unwrap();
}

pub(crate) fn part(part: &str, name: &Name) -> bool {
    match part {
        "write to what is read-only" => {
            let memory = OpenOptions::new().read(true).open(name).unwrap();
            let mapping = MapOptions::new().read(true).map(&memory).unwrap();
            // SAFETY: not safe at all, this is what must end the process.
            unsafe { mapping.as_ptr().write_volatile(1) };
        }
        "count the odd" => take_turns(name, 1),
        _ => return false,
    }
    true
}

#[test]
fn n_01_create_attach_fill_detach_close_delete() {
    let name = Scratch::new();
    let _ = SharedMemory::unlink(&name.0);
    let memory = nspr(true, true).open(&name.0).unwrap();
    let mapping = memory.map().unwrap();
    for at in 0..SIZE as usize {
        mapping.write_at(at, &[at as u8]).unwrap();
    }
    mapping.unmap().unwrap();
    assert_eq!(byte(&memory, 0x1234), 0x34);
    memory.close().unwrap();
    assert!(name.exists());
    SharedMemory::unlink(&name.0).unwrap();
    assert!(!name.exists());
}

#[test]
fn n_02_exclusive_creation_of_what_exists_is_refused() {
    let name = Scratch::new();
    let first = nspr(true, true).open(&name.0).unwrap();
    assert_eq!(kind(nspr(true, true).open(&name.0)), ErrorKind::AlreadyExists);
    drop(first);
    assert_eq!(kind(nspr(true, true).open(&name.0)), ErrorKind::AlreadyExists);
}

#[test]
fn n_03_without_flags_it_is_opened_and_with_create_made_or_opened() {
    let name = Scratch::new();
    assert_eq!(kind(nspr(false, false).open(&name.0)), ErrorKind::NotFound);
    // EXCL without CREATE means nothing.
    assert_eq!(kind(nspr(false, true).open(&name.0)), ErrorKind::NotFound);
    let made = nspr(true, false).open(&name.0).unwrap();
    assert!(made.created());
    made.map().unwrap().write_at(1, &[5]).unwrap();
    let opened = nspr(true, false).open(&name.0).unwrap();
    assert!(!opened.created());
    assert_eq!(byte(&opened, 1), 5);
    assert_eq!(byte(&nspr(false, false).open(&name.0).unwrap(), 1), 5);
}

#[test]
fn n_04_a_write_to_a_read_only_mapping_ends_its_process_and_no_other() {
    let name = Scratch::new();
    leave_behind(&name.0, SIZE);
    let signal = Second::start("write to what is read-only", &name.0).killed_by();
    assert!(matches!(signal, Some(libc::SIGSEGV | libc::SIGBUS)), "{signal:?}");
    assert_eq!(byte(&SharedMemory::open(&name.0).unwrap(), 0), 0);
}

#[test]
fn n_05_two_processes_take_a_thousand_turns() {
    let name = Scratch::new();
    let memory = nspr(true, true).open(&name.0).unwrap();
    let second = Second::start("count the odd", &name.0);
    take_turns(&name.0, 0);
    let mapping = memory.map().unwrap();
    // SAFETY: as in `take_turns`.
    let counter = unsafe { mapping.as_ptr().cast::<AtomicUsize>().as_ref() };
    until("the last turn", || counter.load(Ordering::Acquire) == TURNS);
    second.done();
}

#[test]
fn n_06_an_object_can_be_attached_again() {
    let name = Scratch::new();
    let memory = nspr(true, true).open(&name.0).unwrap();
    let mapping = memory.map().unwrap();
    mapping.write_at(0, b"still").unwrap();
    mapping.unmap().unwrap();
    let mut seen = [0; 5];
    memory.map().unwrap().read_at(0, &mut seen).unwrap();
    assert_eq!(&seen, b"still");
}

#[test]
fn n_08_opening_with_a_smaller_size_does_not_shrink() {
    let name = Scratch::new();
    let memory = SharedMemory::create(&name.0, SIZE * 2).unwrap();
    memory.map().unwrap().write_at(SIZE as usize * 2 - 1, &[6]).unwrap();
    for create in [true, false] {
        let opened = nspr(create, false).open(&name.0).unwrap();
        assert_eq!(opened.size().unwrap(), SIZE * 2);
    }
    assert_eq!(byte(&memory, SIZE as usize * 2 - 1), 6);
}

#[test]
fn path_like_names_are_mangled_and_never_meet() {
    let own = format!("/tmp/ringlane-memory-{}-xxxNSPRshm", std::process::id());
    let name = Name::mangled(&own).unwrap();
    let memory = nspr(true, true).open(&name).unwrap();
    assert_eq!(
        kind(nspr(true, true).open(&Name::mangled(&own).unwrap())),
        ErrorKind::AlreadyExists
    );
    memory.remove().unwrap();
    let paths = ["/a/b", "a/b", "/a_b", "a_b", "/a\\b", "//a/b", "/a/b/", "/A/b"];
    let names: std::collections::HashSet<_> = paths.map(|p| Name::mangled(p).unwrap()).into();
    assert_eq!(names.len(), paths.len());
}
