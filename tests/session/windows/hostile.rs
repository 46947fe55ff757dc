//! Peers that do what they like: a client, or a server, made of a bare pipe, a label and sections.

use crate::common::bare::{client, opened, read, section, server, welcome, with_label, write};
use crate::common::{Second, page, scratch, until};
use crate::support::service;
use ringlane::session::{ConnectOptions, Server, ServiceName, Session};
use ringlane::{ErrorKind, SessionError};
use std::os::windows::io::OwnedHandle;
use std::time::Duration;
use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, GetLastError};
use windows_sys::Win32::System::Memory::{FILE_MAP_READ, FILE_MAP_WRITE, SEC_COMMIT, SEC_RESERVE};

/// Bytes of a greeting, and of the objects in front of it.
const HELLO: usize = 40;
const OBJECTS: usize = 1 + 2 * 17;

pub(crate) fn part(part: &str, name: &ServiceName) -> bool {
    if part != "connect and be killed" {
        return false;
    }
    let session = Session::connect(name).unwrap();
    session.write_all(b"lost").unwrap();
    std::process::abort();
}

fn label_of(name: &ServiceName) -> String {
    format!(r"Local\ringlane-service.{name}")
}

/// A bare client's pipe to a server.
fn bare_client(name: &ServiceName) -> OwnedHandle {
    client(&label_of(name))
}

/// A client of the library and the pipe of the bare server that it connected to, with its first message.
fn client_of_a_bare_server() -> (Session, OwnedHandle, Vec<u8>) {
    // The library asks whose a portable name is.
    let name = ServiceName::native(format!(r"Local\bare.{}", scratch())).unwrap();
    let (server, _label) = server(&name.to_string());
    let mut options = ConnectOptions::new();
    let client = options.outgoing(page()).incoming(page()).connect(&name).unwrap();
    welcome(&server);
    let message = read(&server);
    assert_eq!(message.len(), OBJECTS + HELLO);
    (client, server, message)
}

/// The names of the sections in a message.
fn sections(message: &[u8]) -> [String; 2] {
    [1, 18].map(|at| {
        let word = |at: usize| u64::from_le_bytes(message[at..at + 8].try_into().unwrap());
        format!(r"Local\ringlane-{:016x}{:016x}", word(at), word(at + 8))
    })
}

fn works(server: &Server, name: &ServiceName) {
    let client = Session::connect(name).unwrap();
    client.write_all(b"works").unwrap();
    let mut text = [0; 5];
    server.accept().unwrap().read_exact(&mut text).unwrap();
    assert_eq!(&text, b"works");
}

fn turned_away(server: &Server, clients: u64) {
    until("they are turned away", || {
        assert!(server.accept_timeout(Duration::from_millis(5)).unwrap().is_none());
        server.turned_away() == clients
    });
}

#[test]
fn a_name_that_is_not_this_user_s_is_not_connected_to() {
    let name = service(&scratch());
    // Wine gives it no owner; Windows itself says this user, whose pipe is not there.
    let label = section(&label_of(&name), 32, SEC_COMMIT);
    with_label(&label, |words| *words = [1, 2, 3, 0]);
    let refused = Session::connect(&name).unwrap_err().kind();
    assert!([ErrorKind::PermissionDenied, ErrorKind::ConnectionRefused].contains(&refused));
}

#[test]
fn clients_that_talk_nonsense_are_turned_away() {
    let (_client, _pipe, good) = client_of_a_bare_server();
    let name = service(&scratch());
    let server = Server::bind(&name).unwrap();
    let mut nonsense = vec![b"?".to_vec(), vec![0], vec![255; 300], good[OBJECTS..].to_vec()];
    nonsense.push([&[0], &good[OBJECTS..]].concat());
    // One object; two that are not there; sizes that are not theirs.
    nonsense.push([&[1], &good[1..18], &good[OBJECTS..]].concat());
    nonsense.push([&[2], &[7; 34][..], &good[OBJECTS..]].concat());
    let mut sizes = good.clone();
    sizes[OBJECTS + 24 + 2] += 1;
    nonsense.push(sizes);
    // The second one for reading only.
    let mut rights = good.clone();
    rights[OBJECTS - 1] = 0;
    nonsense.push(rights);
    nonsense.push([&good[..], b"!"].concat());
    for (number, message) in nonsense.iter().enumerate() {
        let client = bare_client(&name);
        write(&client, message);
        turned_away(&server, number as u64 + 1);
    }
    works(&server, &name);
    let good_client = bare_client(&name);
    write(&good_client, &good);
    server.accept().unwrap();
}

#[test]
fn memory_that_may_not_be_there_is_refused() {
    let (client, _pipe, good) = client_of_a_bare_server();
    let name = service(&scratch());
    let server = Server::bind(&name).unwrap();
    let mut message = good.clone();
    message[1..17].fill(9);
    let [reserved, _] = sections(&message);
    let _reserved = section(&reserved, 2 * page(), SEC_RESERVE);
    let bare = bare_client(&name);
    write(&bare, &message);
    turned_away(&server, 1);
    drop(client);
    works(&server, &name);
}

#[test]
fn a_client_s_memory_cannot_be_opened_to_write_to_it() {
    let (client, _pipe, message) = client_of_a_bare_server();
    let [own, theirs] = sections(&message);
    assert!(opened(&own, FILE_MAP_READ).is_some());
    assert!(opened(&own, FILE_MAP_WRITE).is_none());
    // SAFETY: takes nothing.
    assert_eq!(unsafe { GetLastError() }, ERROR_ACCESS_DENIED);
    assert!(opened(&theirs, FILE_MAP_READ | FILE_MAP_WRITE).is_some());
    drop(client);
}

#[test]
fn a_client_s_server_can_talk_nonsense_too() {
    for case in 0..4 {
        let (client, pipe, message) = client_of_a_bare_server();
        client.write_all(b"early").unwrap();
        let hello = &message[OBJECTS..];
        match case {
            0 => write(&pipe, b"?"),
            1 => write(&pipe, &[&message[..OBJECTS], hello].concat()),
            2 => write(&pipe, &[&[0], &hello[1..]].concat()),
            _ => drop(pipe),
        }
        assert_eq!(client.read(&mut [0]), Err(SessionError::BrokenPipe { done: 0 }), "{case}");
        assert_eq!(client.write(&[0]), Err(SessionError::BrokenPipe { done: 0 }), "{case}");
    }
    // One with the right words is a session.
    let (client, pipe, message) = client_of_a_bare_server();
    write(&pipe, &[&[0], &message[OBJECTS..]].concat());
    until("it is a session", || client.peer() == ringlane::Peer::Alive);
    assert_eq!(client.try_read(&mut [0]), Err(SessionError::WouldBlock));
}

#[test]
fn the_memory_of_a_client_that_was_killed_before_it_was_accepted_is_gone() {
    let name = scratch();
    let server = Server::bind(&service(&name)).unwrap();
    assert!(!Second::start("connect and be killed", &name).done().success());
    turned_away(&server, 1);
    works(&server, &service(&name));
}
