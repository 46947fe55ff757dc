//! Servers: names, rights, accepting, cancelling.

use crate::common::{Second, page, scratch, until};
use crate::support::{Task, kind, server, service, sleeper};
use ringlane::session::{
    CloseOutcome, ConnectOptions, Server, ServerOptions, ServiceName, Session,
};
use ringlane::{ErrorKind, SessionError};
use std::time::Duration;

/// Servers as files.
#[cfg(unix)]
mod files;

pub(crate) fn part(part: &str, name: &ServiceName) -> bool {
    match part {
        "bind and die" => {
            let _server = Server::bind(name).unwrap();
            // Nobody removes its name.
            std::process::abort();
        }
        #[cfg(unix)]
        part => files::part(part, name),
        #[cfg(windows)]
        _ => false,
    }
}

#[test]
fn v_01_names_are_checked() {
    for bad in ["", "a/b", "a\\b", "a\nb", "a\0b", "\u{7f}", "caf\u{e9}"] {
        assert_eq!(kind(ServiceName::new(bad)), ErrorKind::InvalidName, "{bad:?}");
    }
    for good in ["two words", "a:b", "x", ".", ".."] {
        let name = ServiceName::new(&format!("{good}{}", scratch())).unwrap();
        Server::bind(&name).unwrap();
    }
    assert_eq!(kind(ServiceName::new(&"x".repeat(108))), ErrorKind::InvalidName);
}

#[test]
fn v_02_bits_that_mean_nothing_are_refused() {
    let name = service(&scratch());
    assert_eq!(kind(ServerOptions::new().mode(0o1234).bind(&name)), ErrorKind::InvalidInput);
    let server = Server::bind(&name).unwrap();
    assert_eq!(kind(server.set_mode(0o7777)), ErrorKind::InvalidInput);
}

#[test]
fn v_03_a_closed_server_leaves_nothing() {
    let (server, name) = server();
    #[cfg(unix)]
    let path = server.path().to_owned();
    #[cfg(unix)]
    assert!(path.exists());
    server.cancel();
    assert_eq!(server.close(), CloseOutcome::Destroyed);
    #[cfg(unix)]
    assert!(!path.exists());
    assert_eq!(kind(Session::connect(&name)), ErrorKind::NotFound);
}

#[test]
fn v_05_a_living_name_is_not_taken() {
    let (server, name) = server();
    assert_eq!(kind(Server::bind(&name)), ErrorKind::AlreadyExists);
    let _client = Session::connect(&name).unwrap();
    server.accept().unwrap();
}

#[test]
fn v_05_a_dead_server_s_name_is_taken() {
    let name = scratch();
    assert!(!Second::start("bind and die", &name).done().success());
    let name = service(&name);
    // A socket stays when its server dies; a label goes.
    let left = if cfg!(windows) { ErrorKind::NotFound } else { ErrorKind::ConnectionRefused };
    assert_eq!(kind(Session::connect(&name)), left);
    let server = Server::bind(&name).unwrap();
    let _client = Session::connect(&name).unwrap();
    server.accept().unwrap();
}

#[test]
fn v_06_cancel_ends_an_accept_and_all_that_follow() {
    let (server, _name) = server();
    let accepting = server.clone();
    let task = sleeper(move || kind(accepting.accept()));
    server.cancel();
    assert_eq!(task.done(), ErrorKind::Cancelled);
    assert_eq!(kind(server.accept()), ErrorKind::Cancelled);
    assert_eq!(kind(server.try_accept()), ErrorKind::Cancelled);
}

#[test]
fn v_07_a_cancel_before_the_accept_counts() {
    let (server, name) = server();
    let _client = Session::connect(&name).unwrap();
    server.cancel();
    assert_eq!(kind(server.accept()), ErrorKind::Cancelled);
}

#[test]
fn v_08_closing_ends_an_accept() {
    let (server, name) = server();
    let accepting = server.clone();
    let task = sleeper(move || {
        let kind = kind(accepting.accept());
        (kind, accepting.close())
    });
    let first = server.close();
    let (kind_of_end, second) = task.done();
    assert_eq!(kind_of_end, ErrorKind::Cancelled);
    let destroyed = [first, second].into_iter().filter(|o| *o == CloseOutcome::Destroyed).count();
    assert_eq!(destroyed, 1, "{first:?} {second:?}");
    assert_eq!(kind(Session::connect(&name)), ErrorKind::NotFound);
}

#[test]
fn v_09_sessions_outlive_their_server() {
    let (server, name) = server();
    let client = Session::connect(&name).unwrap();
    let session = server.accept().unwrap();
    server.cancel();
    client.write_all(b"still").unwrap();
    server.close();
    let mut text = [0; 5];
    session.read_exact(&mut text).unwrap();
    session.write_all(&text).unwrap();
    client.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"still");
}

#[test]
fn v_10_each_of_64_clients_gets_a_session_of_its_own() {
    let (server, name) = server();
    let served = Task::run(move || {
        let sessions: Vec<Session> = (0..128).map(|_| server.accept().unwrap()).collect();
        for session in &sessions {
            let mut number = [0; 8];
            session.read_exact(&mut number).unwrap();
            session.write_all(&number).unwrap();
        }
        sessions
    });
    let talk = |number: u64, session: Session| {
        session.write_all(&number.to_ne_bytes()).unwrap();
        let mut answer = [0; 8];
        session.read_exact(&mut answer).unwrap();
        assert_eq!(u64::from_ne_bytes(answer), number);
    };
    // All connect before any is answered.
    let one_by_one: Vec<Session> = (0..64).map(|_| Session::connect(&name).unwrap()).collect();
    let at_once: Vec<Task<()>> = (64..128)
        .map(|number| {
            let name = name.clone();
            Task::run(move || talk(number, Session::connect(&name).unwrap()))
        })
        .collect();
    for (number, session) in one_by_one.into_iter().enumerate() {
        talk(number as u64, session);
    }
    at_once.into_iter().for_each(Task::done);
    drop(served.done());
}

#[test]
fn v_17_what_is_written_before_the_accept_is_read_after_it() {
    let (server, name) = server();
    let client = Session::connect(&name).unwrap();
    client.write_all(b"early").unwrap();
    let gone = Session::connect(&name).unwrap();
    gone.write_all(b"and gone").unwrap();
    gone.close();
    let session = server.accept().unwrap();
    let mut text = [0; 5];
    session.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"early");
    let last = server.accept().unwrap();
    let mut text = [0; 8];
    last.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"and gone");
    assert_eq!(last.read(&mut text), Err(SessionError::BrokenPipe { done: 0 }));
}

#[test]
fn a_client_that_was_never_accepted_is_told_when_the_server_goes() {
    let (server, name) = server();
    let client = Session::connect(&name).unwrap();
    client.write_all(b"to nobody").unwrap();
    let waiting = client.clone();
    let task = sleeper(move || waiting.read(&mut [0; 1]));
    server.close();
    assert_eq!(task.done(), Err(SessionError::BrokenPipe { done: 0 }));
    assert_eq!(client.write(b"more"), Err(SessionError::BrokenPipe { done: 0 }));
}

#[test]
fn a_write_before_the_accept_wakes_a_server_that_reads() {
    for _ in 0..50 {
        let (server, name) = server();
        let client = Session::connect(&name).unwrap();
        let session = server.accept().unwrap();
        let task = sleeper(move || {
            let mut byte = [0];
            session.read_exact(&mut byte).map(|()| (byte, session))
        });
        // The first thing that the client does since it was accepted.
        client.write_all(&[7]).unwrap();
        assert_eq!(task.done().unwrap().0, [7]);
    }
}

#[test]
fn a_client_waits_for_an_answer_that_comes_after_the_accept() {
    let (server, name) = server();
    let client = Session::connect(&name).unwrap();
    let task = sleeper(move || {
        let mut byte = [0];
        client.read_exact(&mut byte).map(|()| byte)
    });
    let session = server.accept().unwrap();
    session.write_all(&[9]).unwrap();
    assert_eq!(task.done(), Ok([9]));
}

#[test]
fn a_second_thread_that_accepts_is_told_so() {
    let (server, _name) = server();
    let accepting = server.clone();
    let task = sleeper(move || kind(accepting.accept()));
    assert_eq!(kind(server.try_accept()), ErrorKind::InUse);
    server.cancel();
    assert_eq!(task.done(), ErrorKind::Cancelled);
}

/// Accepts nobody, until so many were turned away.
fn turned_away(server: &Server, clients: u64) {
    until("they are turned away", || {
        assert!(server.try_accept().unwrap().is_none());
        server.turned_away() == clients
    });
}

#[test]
fn clients_that_want_too_much_are_turned_away() {
    let name = service(&scratch());
    let most = 2 * page();
    let server = ServerOptions::new().largest_ring(most).most_sessions(1).bind(&name).unwrap();
    let greedy = ConnectOptions::new().outgoing(most + 1).incoming(1).connect(&name).unwrap();
    turned_away(&server, 1);
    assert_eq!(greedy.read(&mut [0]), Err(SessionError::BrokenPipe { done: 0 }));
    let mut small = ConnectOptions::new();
    small.outgoing(most).incoming(most);
    let _first = small.connect(&name).unwrap();
    let session = server.accept().unwrap();
    let second = small.connect(&name).unwrap();
    turned_away(&server, 2);
    assert_eq!(second.read(&mut [0]), Err(SessionError::BrokenPipe { done: 0 }));
    drop(session);
    let _third = small.connect(&name).unwrap();
    server.accept().unwrap();
}

#[test]
fn connecting_to_a_full_server_takes_no_longer_than_allowed() {
    let name = service(&scratch());
    let _server = ServerOptions::new().backlog(1).bind(&name).unwrap();
    let mut options = ConnectOptions::new();
    options.timeout(Duration::from_millis(20)).outgoing(4096).incoming(4096);
    let mut waiting = Vec::new();
    until("the backlog is full", || match options.connect(&name) {
        Ok(client) => {
            waiting.push(client);
            assert!(waiting.len() < 100);
            false
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            true
        }
    });
}
