//! Who is at the other end.

use crate::common::{Second, part as own_part, scratch};
use crate::support::{accept, connected, service};
use ringlane::session::{Server, ServiceName, Session};

/// Who is another user.
#[cfg(unix)]
mod strangers;

pub(crate) fn part(part: &str, name: &ServiceName) -> bool {
    match part {
        "look at the parent" => {
            let session = Session::connect(name).unwrap();
            for _ in 0..2 {
                #[cfg(unix)]
                assert_eq!(session.peer_pid().unwrap(), std::os::unix::process::parent_id());
                #[cfg(windows)]
                assert_ne!(session.peer_pid().unwrap(), std::process::id());
            }
            session.verify_same_user().unwrap();
            session.write_all(&std::process::id().to_ne_bytes()).unwrap();
            session.flush().unwrap();
        }
        #[cfg(unix)]
        part => return strangers::part(part, name),
        #[cfg(windows)]
        _ => return false,
    }
    true
}

#[test]
fn x_21_each_side_knows_the_other_s_process() {
    assert!(own_part().is_none());
    let name = scratch();
    let server = Server::bind(&service(&name)).unwrap();
    let mut second = Second::start("look at the parent", &name);
    let session = accept(&server, &mut second);
    let mut pid = [0; 4];
    session.read_exact(&mut pid).unwrap();
    let pid = u32::from_ne_bytes(pid);
    assert_eq!(pid, second.id());
    assert_eq!(session.peer_pid().unwrap(), pid);
    let process = session.peer_process().unwrap();
    assert!(second.done().success());
    // It says so of one that has ended, too.
    assert_eq!(session.peer_pid().unwrap(), pid);
    has_ended(&process);
}

#[cfg(windows)]
fn has_ended(process: &std::os::windows::io::OwnedHandle) {
    use std::os::windows::io::AsRawHandle;
    use windows_sys::Win32::System::Threading::{INFINITE, WaitForSingleObject};
    // SAFETY: the handle is open.
    assert_eq!(unsafe { WaitForSingleObject(process.as_raw_handle().cast(), INFINITE) }, 0);
}

#[cfg(unix)]
fn has_ended(process: &std::os::fd::OwnedFd) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    let mut polled = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut polled, PollTimeout::NONE), Ok(1));
}

#[test]
fn x_21_threads_of_one_process_are_that_process() {
    let (client, server) = connected(4096);
    for session in [&client, &server] {
        assert_eq!(session.peer_pid().unwrap(), std::process::id());
        #[cfg(unix)]
        assert_eq!(session.peer_uid().unwrap(), nix::unistd::geteuid().as_raw());
        #[cfg(unix)]
        assert_eq!(session.peer_gid().unwrap(), nix::unistd::getegid().as_raw());
        session.verify_same_user().unwrap();
    }
}
