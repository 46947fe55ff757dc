//! Peers that do what they like: a client, or a server, made of a bare pipe, a label and sections.

use crate::common::{Second, page, scratch, until};
use crate::support::service;
use ringlane::session::{ConnectOptions, Server, ServiceName, Session};
use ringlane::{ErrorKind, SessionError};
use std::hash::{BuildHasher, RandomState};
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};
use std::time::Duration;
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, GENERIC_READ, GENERIC_WRITE, GetLastError, HANDLE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, OPEN_EXISTING, PIPE_ACCESS_DUPLEX, ReadFile, WriteFile,
};
use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, FILE_MAP_READ, FILE_MAP_WRITE, MapViewOfFile, OpenFileMappingW,
    PAGE_READWRITE, SEC_COMMIT, SEC_RESERVE, UnmapViewOfFile,
};
use windows_sys::Win32::System::Pipes::{
    ConnectNamedPipe, CreateNamedPipeW, PIPE_READMODE_MESSAGE, PIPE_TYPE_MESSAGE,
};

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

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

fn owned(made: HANDLE) -> Option<OwnedHandle> {
    let failed = made.is_null() || made == INVALID_HANDLE_VALUE;
    // SAFETY: the caller has just made it.
    (!failed).then(|| unsafe { OwnedHandle::from_raw_handle(made.cast()) })
}

/// A section of this kind.
fn section(name: &str, size: usize, kind: u32) -> OwnedHandle {
    let (none, name, kind) = (INVALID_HANDLE_VALUE, wide(name), PAGE_READWRITE | kind);
    // SAFETY: the name ends with a zero.
    let made = unsafe { CreateFileMappingW(none, null(), kind, 0, size as u32, name.as_ptr()) };
    owned(made).expect("a section")
}

fn opened(name: &str, access: u32) -> Option<OwnedHandle> {
    // SAFETY: the name ends with a zero.
    owned(unsafe { OpenFileMappingW(access, 0, wide(name).as_ptr()) })
}

/// Reads or writes the words of a label: its number lies behind two words, of which the first says that it is there.
fn with_label<T>(label: &OwnedHandle, work: impl FnOnce(&mut [u64; 4]) -> T) -> T {
    let access = FILE_MAP_READ | FILE_MAP_WRITE;
    // SAFETY: fresh addresses.
    let view = unsafe { MapViewOfFile(label.as_raw_handle().cast(), access, 0, 0, 32) };
    assert!(!view.Value.is_null());
    // SAFETY: the view has so many bytes, and a page's alignment.
    let result = work(unsafe { &mut *view.Value.cast() });
    // SAFETY: mapped above, and nobody has a reference.
    unsafe { UnmapViewOfFile(view) };
    result
}

fn pipe_of([high, low]: [u64; 2]) -> Vec<u16> {
    wide(&format!(r"\\.\pipe\ringlane-{high:016x}{low:016x}"))
}

fn label_of(name: &ServiceName) -> String {
    format!(r"Local\ringlane-service.{name}")
}

/// A bare client's pipe to a server.
fn bare_client(name: &ServiceName) -> OwnedHandle {
    let label = opened(&label_of(name), FILE_MAP_READ | FILE_MAP_WRITE).expect("a label");
    let pipe = pipe_of(with_label(&label, |words| [words[1], words[2]]));
    let access = GENERIC_READ | GENERIC_WRITE;
    let mut client = None;
    until("an instance is free", || {
        // SAFETY: the name ends with a zero.
        client = owned(unsafe {
            CreateFileW(pipe.as_ptr(), access, 0, null(), OPEN_EXISTING, 0, null_mut())
        });
        client.is_some()
    });
    client.expect("a pipe")
}

fn write(pipe: &OwnedHandle, bytes: &[u8]) {
    let mut sent = 0;
    let (pipe, len) = (pipe.as_raw_handle().cast(), bytes.len() as u32);
    // SAFETY: the bytes outlive the call.
    let done = unsafe { WriteFile(pipe, bytes.as_ptr(), len, &mut sent, null_mut()) };
    assert!(done != 0 && sent == len);
}

fn read(pipe: &OwnedHandle) -> Vec<u8> {
    let (mut bytes, mut got) = (vec![0; 256], 0);
    // SAFETY: the buffer has so many bytes.
    let done = unsafe {
        ReadFile(pipe.as_raw_handle().cast(), bytes.as_mut_ptr(), 256, &mut got, null_mut())
    };
    assert!(done != 0);
    bytes.truncate(got as usize);
    bytes
}

/// A client of the library and the pipe of the bare server that it connected to, with its first message.
fn client_of_a_bare_server() -> (Session, OwnedHandle, Vec<u8>) {
    // The library asks whose a portable name is.
    let name = ServiceName::native(format!(r"Local\bare.{}", scratch())).unwrap();
    let id = [0_u64, 1].map(|n| RandomState::new().hash_one(n));
    let (kind, pipe) = (PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE, pipe_of(id));
    // SAFETY: the name ends with a zero.
    let server = owned(unsafe {
        CreateNamedPipeW(pipe.as_ptr(), PIPE_ACCESS_DUPLEX, kind, 1, 4096, 4096, 0, null())
    });
    let server = server.expect("a pipe");
    let label = section(&name.to_string(), 32, SEC_COMMIT);
    with_label(&label, |words| *words = [1, id[0], id[1], 0]);
    let mut options = ConnectOptions::new();
    let client = options.outgoing(page()).incoming(page()).connect(&name).unwrap();
    // SAFETY: nothing else is given.
    unsafe { ConnectNamedPipe(server.as_raw_handle().cast(), null_mut()) };
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
