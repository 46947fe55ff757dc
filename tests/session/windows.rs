//! What is Windows' own: names in the kernel's directory, rights that cannot be given, events to wait for.

pub(crate) mod hostile;

use crate::common::{page, scratch};
use crate::support::{connected, kind, server, service};
use ringlane::session::{Server, ServerOptions, ServiceName, Session};
use ringlane::{ErrorKind, SessionError};
use std::os::windows::io::{AsHandle, AsRawHandle};
use windows_sys::Win32::System::Threading::{INFINITE, WaitForSingleObject};

fn is_set(handle: &impl AsHandle, most: u32) -> bool {
    // SAFETY: the handle is open.
    unsafe { WaitForSingleObject(handle.as_handle().as_raw_handle().cast(), most) == 0 }
}

#[test]
fn native_names_are_the_kernel_s() {
    for bad in ["", "name", r"Local\", r"Local\a\b", r"\\.\pipe\name", r"Global\name", "Local\\a\0"]
    {
        assert_eq!(kind(ServiceName::native(bad)), ErrorKind::InvalidName, "{bad:?}");
    }
    let long = format!(r"Local\{}", "x".repeat(200));
    assert_eq!(kind(ServiceName::native(long)), ErrorKind::InvalidName);
    let name = ServiceName::native(format!(r"Local\{}", scratch())).unwrap();
    let server = Server::bind(&name).unwrap();
    assert_eq!(server.path().to_str(), Some(name.to_string().as_str()));
    let _client = Session::connect(&name).unwrap();
    server.accept().unwrap();
    assert_eq!(kind(Server::bind(&name)), ErrorKind::AlreadyExists);
    drop(server);
    assert_eq!(kind(Session::connect(&name)), ErrorKind::NotFound);
}

#[test]
fn names_that_differ_in_case_are_two() {
    let name = scratch();
    let [small, large] = ["a", "A"].map(|c| ServiceName::new(&format!("{name}{c}")).unwrap());
    let (_one, _other) = (Server::bind(&small).unwrap(), Server::bind(&large).unwrap());
}

#[test]
fn rights_that_cannot_be_given_are_refused() {
    let name = service(&scratch());
    assert_eq!(kind(ServerOptions::new().mode(0o660).bind(&name)), ErrorKind::Unsupported);
    assert_eq!(kind(ServerOptions::new().group(0).bind(&name)), ErrorKind::Unsupported);
    let server = Server::bind(&name).unwrap();
    assert_eq!(kind(server.set_mode(0o666)), ErrorKind::Unsupported);
    assert_eq!(kind(server.grant_group(0)), ErrorKind::Unsupported);
    server.set_mode(0o600).unwrap();
    let client = Session::connect(&name).unwrap();
    assert_eq!(kind(client.peer_uid()), ErrorKind::Unsupported);
    assert_eq!(kind(client.peer_gid()), ErrorKind::Unsupported);
}

#[test]
fn a_name_is_free_though_sessions_live() {
    let (server, name) = server();
    let client = Session::connect(&name).unwrap();
    let session = server.accept().unwrap();
    drop(server);
    let again = Server::bind(&name).unwrap();
    let second = Session::connect(&name).unwrap();
    again.accept().unwrap().write_all(b"2").unwrap();
    session.write_all(b"1").unwrap();
    let mut byte = [0];
    client.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"1");
    second.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"2");
}

#[test]
fn clients_are_accepted_in_the_order_in_which_they_came() {
    let (server, name) = server();
    let clients: Vec<Session> = (0..20).map(|_| Session::connect(&name).unwrap()).collect();
    for (number, client) in clients.iter().enumerate() {
        client.write_all(&[number as u8]).unwrap();
    }
    for number in 0..20 {
        let mut byte = [0];
        server.accept().unwrap().read_exact(&mut byte).unwrap();
        assert_eq!(byte, [number]);
    }
}

#[test]
fn an_event_says_that_there_is_somebody_to_accept() {
    let (server, name) = server();
    assert!(!is_set(&server, 0));
    let _client = Session::connect(&name).unwrap();
    while server.try_accept().unwrap().is_none() {
        assert!(is_set(&server, INFINITE));
    }
    assert!(server.try_accept().unwrap().is_none());
    assert!(!is_set(&server, 0));
    server.cancel();
    assert!(is_set(&server, INFINITE));
}

#[test]
fn an_event_is_set_for_data_room_and_the_end() {
    let (client, server) = connected(page());
    for round in 0..100_u8 {
        assert!(!server.arm_read().unwrap());
        assert!(!is_set(&server, 0));
        client.write_all(&[round; 3]).unwrap();
        client.write_all(&[round; 3]).unwrap();
        assert!(is_set(&server, INFINITE));
        assert!(server.arm_read().unwrap(), "there is something already");
        assert!(!is_set(&server, 0), "it was taken from the event");
        server.read_exact(&mut [0; 6]).unwrap();
    }
    assert!(client.arm_write().unwrap());
    while client.try_write(&[0; 100]).is_ok() {}
    while client.try_write(&[0]).is_ok() {}
    assert!(!client.arm_write().unwrap());
    assert!(!is_set(&client, 0));
    let mut all = vec![0; page()];
    while server.try_read(&mut all).is_ok() {}
    assert!(is_set(&client, INFINITE));
    assert!(client.arm_write().unwrap());
    assert!(!client.arm_read().unwrap());
    server.close();
    assert!(is_set(&client, INFINITE));
    assert!(client.arm_read().unwrap());
    assert_eq!(client.try_read(&mut all), Err(SessionError::BrokenPipe { done: 0 }));
}
