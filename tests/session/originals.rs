//! The bugs of the original, each the other way round.

use crate::common::page;
use crate::support::{connected, kind, server, sleeper};
use ringlane::session::{Server, Session};
use ringlane::{ErrorKind, SessionError};

/// What signals do to waits. Windows has none.
#[cfg(unix)]
mod interrupted;

/// The original told a second reader, or writer, that it had succeeded, and did nothing.
#[test]
fn a_second_reader_or_writer_is_told_that_it_comes_second() {
    let (client, server) = connected(4096);
    let reading = client.clone();
    let reader = sleeper(move || {
        let mut byte = [0];
        reading.read(&mut byte).map(|len| (len, byte))
    });
    assert_eq!(client.read(&mut [0]), Err(SessionError::Busy));
    assert_eq!(client.try_read(&mut [0]), Err(SessionError::Busy));
    assert_eq!(client.wait_readable(None), Err(SessionError::Busy));
    let writing = client.clone();
    let writer = sleeper(move || writing.write_all(&vec![1; 3 * page()]));
    assert_eq!(client.write(&[0]), Err(SessionError::Busy));
    assert_eq!(client.flush(), Err(SessionError::Busy));
    server.write_all(&[5]).unwrap();
    assert_eq!(reader.done(), Ok((1, [5])));
    let mut got = vec![0; 3 * page()];
    server.read_exact(&mut got).unwrap();
    assert!(got.iter().all(|byte| *byte == 1), "the second writer's byte is among them");
    assert_eq!(writer.done(), Ok(()));
}

/// The original removed the socket of a living server and took its name.
#[test]
fn a_living_server_keeps_its_name() {
    let (server, name) = server();
    for _ in 0..3 {
        assert_eq!(kind(Server::bind(&name)), ErrorKind::AlreadyExists);
        let client = Session::connect(&name).unwrap();
        client.write_all(b"!").unwrap();
        server.accept().unwrap().read_exact(&mut [0]).unwrap();
    }
}

/// Who goes does not take the name of who came after.
#[cfg(unix)]
#[test]
fn a_server_removes_its_own_name_only() {
    let name = crate::support::service(&crate::common::scratch());
    let first = Server::bind(&name).unwrap();
    std::fs::remove_file(first.path()).unwrap();
    let second = Server::bind(&name).unwrap();
    drop(first);
    let _client = Session::connect(&name).unwrap();
    second.accept().unwrap();
}

/// The original's flush waited for nothing, and could not be cancelled.
#[test]
fn flush_waits() {
    let (client, server) = connected(4096);
    client.write_all(b"x").unwrap();
    let flushing = client.clone();
    let task = sleeper(move || flushing.flush());
    assert_eq!(task.is_done(), None);
    server.read_exact(&mut [0]).unwrap();
    assert_eq!(task.done(), Ok(()));
}
