//! Users, modes and umasks, as the kernel sees them.

use crate::support::{STRANGER, Scratch, Second, become_stranger, byte, is_root, kind, path};
use crate::support::{read_write, skip};
use nix::sys::stat::{Mode, umask};
use ringlane::{ErrorKind, Lifetime, Name, OpenOptions, SharedMemory, record};
use std::os::unix::fs::MetadataExt;

/// A new object, and the permission bits that it got.
fn mode_under(mask: u32, mode: Option<u32>, name: &Name) -> u32 {
    umask(Mode::from_bits_truncate(mask));
    let mut options = read_write();
    options.create_new(true).size(64);
    if let Some(mode) = mode {
        options.mode(mode);
    }
    let _memory = options.open(name).unwrap();
    std::fs::metadata(path(name)).unwrap().mode() & 0o7777
}

pub(crate) fn part(part: &str, name: &Name) -> bool {
    match part {
        "make objects under umasks" => {
            for (mask, mode, expected) in [
                (0o000, None, 0o600),
                (0o022, None, 0o600),
                (0o777, None, 0o000),
                (0o022, Some(0o666), 0o644),
                (0o077, Some(0o666), 0o600),
                (0o000, Some(0o666), 0o666),
                (0o000, Some(0o640), 0o640),
                (0o002, Some(0o777), 0o775),
                (0o000, Some(0o000), 0o000),
            ] {
                assert_eq!(mode_under(mask, mode, name), expected, "{mask:o} {mode:?}");
            }
            let more = read_write().create_new(true).mode(0o4600).open(name);
            assert_eq!(kind(more), ErrorKind::InvalidInput);
        }
        "find it closed" => {
            become_stranger();
            let reading = OpenOptions::new().read(true).open(name);
            assert_eq!(kind(reading), ErrorKind::PermissionDenied);
            let mut foreign = read_write();
            let writing = foreign.allow_foreign(true).open(name);
            assert_eq!(kind(writing), ErrorKind::PermissionDenied);
            assert_eq!(kind(record::Queue::open(name)), ErrorKind::PermissionDenied);
            assert_eq!(kind(SharedMemory::unlink(name)), ErrorKind::PermissionDenied);
        }
        "find it readable" => {
            become_stranger();
            let memory = OpenOptions::new().read(true).open(name).unwrap();
            assert_eq!(byte(&memory, 0), 5);
            assert_eq!(kind(SharedMemory::open(name)), ErrorKind::PermissionDenied);
            assert_eq!(kind(memory.remove()), ErrorKind::PermissionDenied);
        }
        "make one and leave it" => {
            become_stranger();
            let mut options = read_write();
            options.create_new(true).size(4096).lifetime(Lifetime::Persistent);
            let memory = options.open(name).unwrap();
            memory.map().unwrap().write_at(0, &[6]).unwrap();
        }
        _ => return false,
    }
    true
}

#[test]
fn s_34_the_mode_is_0600_or_what_was_asked_for_less_the_umask() {
    // A umask belongs to the process, so to one of its own.
    let name = Scratch::new();
    Second::start("make objects under umasks", &name.0).done();
    assert!(!name.exists());
}

#[test]
fn s_34_another_user_cannot_open_mode_0600() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let name = Scratch::new();
    let memory = SharedMemory::create(&name.0, 4096).unwrap();
    Second::start("find it closed", &name.0).done();
    memory.close().unwrap();
}

#[test]
fn another_user_can_read_mode_0644_and_no_more() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let name = Scratch::new();
    let memory = read_write().create_new(true).size(4096).mode(0o644).open(&name.0).unwrap();
    memory.map().unwrap().write_at(0, &[5]).unwrap();
    Second::start("find it readable", &name.0).done();
}

#[test]
fn what_another_user_made_is_opened_by_those_who_say_so() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let name = Scratch::new();
    Second::start("make one and leave it", &name.0).done();
    assert_eq!(std::fs::metadata(name.path()).unwrap().uid(), STRANGER);
    // Root could: the mode does not stop it, so this library does.
    assert_eq!(kind(SharedMemory::open(&name.0)), ErrorKind::PermissionDenied);
    let theirs = read_write().allow_foreign(true).open(&name.0).unwrap();
    assert_eq!(byte(&theirs, 0), 6);
}
