//! What others can have put under our name: refused, and left as it is.

use crate::support::{STRANGER, Scratch, Second, is_root, kind, leave_behind, path};
use crate::support::{read_write, skip};
use ringlane::{ErrorKind, Name, OpenOptions, SharedMemory, spsc};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

pub(crate) fn part(part: &str, name: &Name) -> bool {
    if part != "open the FIFO" {
        return false;
    }
    refused(name, ErrorKind::Corrupt);
    true
}

/// Everything about a file that an opener could change.
fn image(path: &str) -> (u64, u32, u32, u64, i64, i64, i64, i64) {
    let data = std::fs::symlink_metadata(path).unwrap();
    (
        data.ino(),
        data.mode(),
        data.uid(),
        data.size(),
        data.mtime(),
        data.mtime_nsec(),
        data.ctime(),
        data.ctime_nsec(),
    )
}

/// Tries every way to open or make an object under the name; each is refused and changes nothing.
fn refused(name: &Name, expected: ErrorKind) {
    let before = image(&path(name));
    let ways: [fn(&mut OpenOptions) -> &mut OpenOptions; 4] = [
        |options| options,
        |options| options.write(true),
        |options| options.write(true).create(true).size(4096),
        |options| options.write(true).create(true).truncate(true).size(4096),
    ];
    for way in ways {
        let mut options = OpenOptions::new();
        assert_eq!(kind(way(options.read(true)).open(name)), expected);
    }
    let new = read_write().create_new(true).size(4096).open(name);
    assert_eq!(kind(new), ErrorKind::AlreadyExists);
    assert_eq!(kind(spsc::Queue::<u64>::open(name)), expected);
    assert_eq!(kind(spsc::Queue::<u64>::create(name, 8)), ErrorKind::AlreadyExists);
    assert_eq!(image(&path(name)), before);
}

#[test]
fn a_planted_symlink_is_not_followed() {
    let (name, target) = (Scratch::new(), Scratch::new());
    leave_behind(&target.0, 4096);
    let before = image(&target.path());
    std::os::unix::fs::symlink(target.path(), name.path()).unwrap();
    refused(&name.0, ErrorKind::PermissionDenied);
    assert_eq!(image(&target.path()), before);
    // Neither where it leads nowhere: nothing is made there.
    std::fs::remove_file(target.path()).unwrap();
    refused(&name.0, ErrorKind::PermissionDenied);
    assert!(!target.exists());
    // It can be removed as any name can, and then it is the link that goes.
    SharedMemory::unlink(&name.0).unwrap();
    assert!(!name.exists());
}

#[test]
fn a_planted_fifo_holds_nobody_up() {
    let name = Scratch::new();
    let path = std::ffi::CString::new(name.path()).unwrap();
    nix::unistd::mkfifo(path.as_c_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Whoever is held up is held up in a process that can be ended.
    Second::start("open the FIFO", &name.0).done();
    SharedMemory::unlink(&name.0).unwrap();
}

#[test]
fn a_planted_directory_is_no_object() {
    let name = Scratch::new();
    std::fs::create_dir(name.path()).unwrap();
    refused(&name.0, ErrorKind::Corrupt);
    assert!(SharedMemory::unlink(&name.0).is_err());
    assert!(name.exists());
}

#[test]
fn a_planted_socket_is_no_object() {
    let name = Scratch::new();
    let _listener = std::os::unix::net::UnixListener::bind(name.path()).unwrap();
    refused(&name.0, ErrorKind::Corrupt);
}

#[test]
fn a_world_writable_object_is_refused_unless_asked_for() {
    let name = Scratch::new();
    leave_behind(&name.0, 4096);
    std::fs::set_permissions(name.path(), std::fs::Permissions::from_mode(0o606)).unwrap();
    refused(&name.0, ErrorKind::PermissionDenied);
    let text = SharedMemory::open(&name.0).unwrap_err().to_string();
    assert!(text.ends_with("every user may write to it, its mode is 606"), "{text}");
    read_write().allow_foreign(true).open(&name.0).unwrap();
    // Whoever would have made it so asks for it by that.
    read_write().create(true).mode(0o606).open(&name.0).unwrap();
}

#[test]
fn a_foreign_object_is_refused_unless_asked_for() {
    if !is_root() {
        return skip("only root can give a file to another user");
    }
    let name = Scratch::new();
    leave_behind(&name.0, 4096);
    std::os::unix::fs::chown(name.path(), Some(STRANGER), None).unwrap();
    refused(&name.0, ErrorKind::PermissionDenied);
    let text = SharedMemory::open(&name.0).unwrap_err().to_string();
    assert!(
        text.contains(&format!("belongs to user {STRANGER}, this process is user 0")),
        "{text}"
    );
    read_write().allow_foreign(true).open(&name.0).unwrap();
}

#[test]
fn a_foreign_ring_is_opened_by_those_who_say_so() {
    if !is_root() {
        return skip("only root can give a file to another user");
    }
    let name = Scratch::new();
    let queue = spsc::Queue::<u64>::create(&name.0, 8).unwrap();
    std::os::unix::fs::chown(name.path(), Some(STRANGER), None).unwrap();
    assert_eq!(kind(spsc::Queue::<u64>::open(&name.0)), ErrorKind::PermissionDenied);
    let theirs = spsc::Queue::<u64>::options().allow_foreign(true).open(&name.0).unwrap();
    queue.producer().unwrap().push(1).unwrap();
    assert_eq!(theirs.consumer().unwrap().pop(), Ok(1));
}
