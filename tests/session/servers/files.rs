//! What a server is as a file: its path, its rights, its descriptor.

use crate::common::{Second, scratch};
use crate::support::{kind, server, service};
use ringlane::ErrorKind;
use ringlane::session::{Server, ServerOptions, ServiceName, Session};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;

pub(super) fn part(part: &str, name: &ServiceName) -> bool {
    match part {
        "bind in an unsafe directory" => {
            let unsafe_one = std::env::temp_dir().join(format!("{name}-unsafe"));
            std::fs::create_dir(&unsafe_one).unwrap();
            std::fs::set_permissions(&unsafe_one, PermissionsExt::from_mode(0o777)).unwrap();
            // SAFETY: this process has no other thread that looks at the environment.
            unsafe { std::env::set_var("XDG_RUNTIME_DIR", &unsafe_one) };
            let server = Server::bind(name).unwrap();
            assert!(!server.path().starts_with(&unsafe_one), "{:?}", server.path());
            assert!(std::fs::read_dir(&unsafe_one).unwrap().next().is_none());
            std::fs::remove_dir(&unsafe_one).unwrap();
            Session::connect(name).unwrap();
        }
        "bind in a safe directory" => {
            let safe = std::env::temp_dir().join(format!("{name}-safe"));
            std::fs::DirBuilder::new().mode(0o700).create(&safe).unwrap();
            // SAFETY: as above.
            unsafe { std::env::set_var("XDG_RUNTIME_DIR", &safe) };
            let server = Server::bind(name).unwrap();
            assert!(server.path().starts_with(&safe), "{:?}", server.path());
            // SAFETY: as above.
            unsafe { nix::libc::umask(0) };
            let other = Server::bind(&ServiceName::new("other").unwrap()).unwrap();
            let found = std::fs::metadata(other.path()).unwrap();
            assert_eq!(found.mode() & 0o777, 0o600);
            assert_eq!(found.uid(), nix::unistd::geteuid().as_raw());
            drop((server, other));
            std::fs::remove_dir(&safe).unwrap();
        }
        _ => return false,
    }
    true
}

#[test]
fn v_05_what_is_no_socket_is_not_replaced() {
    let path = PathBuf::from(format!("/tmp/{}", scratch()));
    std::fs::write(&path, "somebody's file").unwrap();
    let name = ServiceName::native(&path).unwrap();
    assert_eq!(kind(Server::bind(&name)), ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(&path).unwrap(), b"somebody's file");
    assert_eq!(kind(Session::connect(&name)), ErrorKind::ConnectionRefused);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn v_14_rights_are_what_was_asked_for() {
    let (server, _name) = server();
    let mode = |server: &Server| std::fs::metadata(server.path()).unwrap().mode() & 0o777;
    assert_eq!(mode(&server), 0o600);
    server.set_mode(0o666).unwrap();
    assert_eq!(mode(&server), 0o666);
    let own = nix::unistd::getegid().as_raw();
    server.grant_group(own).unwrap();
    assert_eq!(mode(&server), 0o660);
    assert_eq!(std::fs::metadata(server.path()).unwrap().gid(), own);
    let wide = ServerOptions::new().mode(0o660).group(own).bind(&service(&scratch())).unwrap();
    assert_eq!(mode(&wide), 0o660);
}

#[test]
fn v_15_a_path_is_a_name_too() {
    let path = format!("/tmp/{}", scratch());
    let name = ServiceName::native(&path).unwrap();
    let server = Server::bind(&name).unwrap();
    assert_eq!(server.path(), std::path::Path::new(&path));
    let _client = Session::connect(&name).unwrap();
    server.accept().unwrap();
    drop(server);
    assert!(!std::path::Path::new(&path).exists());
    let long = format!("/tmp/{}", "x".repeat(108));
    assert_eq!(kind(ServiceName::native(long)), ErrorKind::InvalidName);
}

#[test]
fn v_16_a_directory_that_others_can_change_is_not_used() {
    assert!(Second::start("bind in an unsafe directory", &scratch()).done().success());
}

#[test]
fn v_16_the_socket_is_its_user_s_alone_whatever_the_umask() {
    assert!(Second::start("bind in a safe directory", &scratch()).done().success());
}

#[test]
fn accepting_is_polled_for() {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let (server, name) = server();
    let ready = |time: PollTimeout| {
        poll(&mut [PollFd::new(server.as_fd(), PollFlags::POLLIN)], time).unwrap() == 1
    };
    assert!(!ready(PollTimeout::ZERO));
    let _client = Session::connect(&name).unwrap();
    assert!(ready(PollTimeout::NONE));
    assert!(server.try_accept().unwrap().is_some());
    assert!(!ready(PollTimeout::ZERO));
}
