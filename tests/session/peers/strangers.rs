//! Other users: let in, and turned away.

use crate::common::{Second, scratch};
use crate::support::{accept, kind, service};
use ringlane::ErrorKind;
use ringlane::session::{ConnectOptions, Server, ServerOptions, ServiceName, Session};
use std::io::Write;

/// Any user but root.
const STRANGER: u32 = 65534;

fn become_stranger() {
    let (user, group) =
        (nix::unistd::Uid::from_raw(STRANGER), nix::unistd::Gid::from_raw(STRANGER));
    nix::unistd::setgroups(&[]).unwrap();
    nix::unistd::setresgid(group, group, group).unwrap();
    nix::unistd::setresuid(user, user, user).unwrap();
}

fn native(name: &ServiceName) -> ServiceName {
    ServiceName::native(format!("/tmp/{name}.socket")).unwrap()
}

pub(super) fn part(part: &str, name: &ServiceName) -> bool {
    match part {
        "connect as a stranger" => {
            become_stranger();
            let session = Session::connect(&native(name)).unwrap();
            assert_eq!(session.verify_same_user().unwrap_err().kind(), ErrorKind::PermissionDenied);
            let mut options = ConnectOptions::new();
            let refused = options.restrict_to_user(true).connect(&native(name));
            assert_eq!(kind(refused), ErrorKind::PermissionDenied);
            // Turned away, or not.
            let _ = session.write_all(b"!");
            let _ = session.flush();
        }
        "be refused as a stranger" => {
            become_stranger();
            assert_eq!(kind(Session::connect(&native(name))), ErrorKind::PermissionDenied);
        }
        "bind past a squatter" => {
            become_stranger();
            // SAFETY: this process has no other thread that looks at the environment.
            unsafe { std::env::remove_var("XDG_RUNTIME_DIR") };
            let server = Server::bind(name).unwrap();
            let directory = format!("/dev/shm/ringlane-{STRANGER}");
            assert!(server.path().starts_with(&directory), "{:?}", server.path());
            let client = Session::connect(name).unwrap();
            client.write_all(b"!").unwrap();
            server.accept().unwrap().read_exact(&mut [0]).unwrap();
            drop(server);
            std::fs::remove_dir(directory).unwrap();
        }
        "grant as a stranger" => {
            become_stranger();
            let server = Server::bind(&native(name)).unwrap();
            server.grant_group(STRANGER).unwrap();
            assert_eq!(kind(server.grant_group(0)), ErrorKind::PermissionDenied);
        }
        _ => return false,
    }
    true
}

/// Says that something was not tested, past the capture of a passing test's output.
fn skipped_for_want_of_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        let _ = writeln!(std::io::stderr(), "SKIPPED: only root can become another user");
    }
    !root
}

#[test]
fn v_14_another_user_is_let_in_by_the_mode_alone() {
    if skipped_for_want_of_root() {
        return;
    }
    let name = scratch();
    let server = Server::bind(&native(&service(&name))).unwrap();
    assert!(Second::start("be refused as a stranger", &name).done().success());
    server.set_mode(0o666).unwrap();
    let mut second = Second::start("connect as a stranger", &name);
    let session = accept(&server, &mut second);
    session.read_exact(&mut [0]).unwrap();
    assert_eq!(session.peer_uid().unwrap(), STRANGER);
    assert_eq!(kind(session.verify_same_user()), ErrorKind::PermissionDenied);
    assert!(second.done().success());
}

#[test]
fn v_14_a_group_that_is_not_one_s_own_cannot_be_let_in() {
    if skipped_for_want_of_root() {
        return;
    }
    assert!(Second::start("grant as a stranger", &scratch()).done().success());
}

#[test]
fn a_server_for_its_user_alone_turns_others_away() {
    if skipped_for_want_of_root() {
        return;
    }
    let name = scratch();
    let path = native(&service(&name));
    let server = ServerOptions::new().mode(0o666).restrict_to_user(true).bind(&path).unwrap();
    let second = Second::start("connect as a stranger", &name);
    crate::common::until("the stranger is turned away", || {
        assert!(server.try_accept().unwrap().is_none());
        server.turned_away() > 0
    });
    assert!(second.done().success());
}

#[test]
fn v_16_a_directory_that_somebody_else_made_is_passed_over() {
    if skipped_for_want_of_root() {
        return;
    }
    let squatted = format!("/tmp/ringlane-{STRANGER}");
    std::fs::create_dir(&squatted).unwrap();
    std::fs::set_permissions(&squatted, std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .unwrap();
    let passed = Second::start("bind past a squatter", &scratch()).done().success();
    std::fs::remove_dir(squatted).unwrap();
    assert!(passed);
}
