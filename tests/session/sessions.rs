//! Sessions: reading, writing, waiting, cancelling, closing, dying.

use crate::common::{Second, page, scratch, until};
use crate::support::{Task, accept, connected, server, service, sleeper};
use ringlane::session::{CloseOutcome, Server, ServiceName, Session};
use ringlane::{Peer, SessionError, Wait};
use std::time::{Duration, Instant};

const BROKEN: SessionError = SessionError::BrokenPipe { done: 0 };
const CANCELLED: SessionError = SessionError::Cancelled { done: 0 };

pub(crate) fn part(part: &str, name: &ServiceName) -> bool {
    let session = || Session::connect(name).unwrap();
    match part {
        "write one byte and flush" => {
            let session = session();
            session.write_all(b"!").unwrap();
            session.flush().unwrap();
        }
        "write a hundred bytes and be killed" => {
            let session = session();
            session.write_all(&hundred()).unwrap();
            // Where memory goes with its maker, the server has to have it first.
            #[cfg(windows)]
            until("the server has accepted", || session.peer() == Peer::Alive);
            std::process::abort();
        }
        "be there until killed" => {
            let session = session();
            session.write_all(b"!").unwrap();
            loop {
                std::thread::park();
            }
        }
        _ => return false,
    }
    true
}

fn hundred() -> Vec<u8> {
    (0..100).collect()
}

/// What is left to be read.
fn rest(session: &Session) -> (Vec<u8>, SessionError) {
    let mut all = Vec::new();
    let mut some = [0; 7];
    loop {
        match session.read(&mut some) {
            Ok(len) => all.extend(&some[..len]),
            Err(error) => return (all, error),
        }
    }
}

/// A second process that plays a part, and the server's side of its session.
fn with_second(part: &str) -> (Second, Session, Server) {
    let name = scratch();
    let server = Server::bind(&service(&name)).unwrap();
    let mut second = Second::start(part, &name);
    let session = accept(&server, &mut second);
    (second, session, server)
}

#[test]
fn x_01_a_byte_arrives_between_threads() {
    let (client, server) = connected(4096);
    let task = Task::run(move || {
        client.write_all(b"!").unwrap();
        client.flush().unwrap();
    });
    let mut byte = [0];
    server.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"!");
    task.done();
}

#[test]
fn x_01_a_byte_arrives_from_another_process() {
    let (second, session, _server) = with_second("write one byte and flush");
    let mut byte = [0];
    session.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"!");
    assert!(second.done().success());
}

#[test]
fn x_02_waiting_for_nothing_times_out_and_not_before_its_time() {
    let (client, _server) = connected(4096);
    for time in [Duration::ZERO, Duration::from_millis(8)] {
        let began = Instant::now();
        assert_eq!(client.wait_readable(Some(time)), Err(SessionError::TimedOut { done: 0 }));
        assert!(began.elapsed() >= time);
    }
}

#[test]
fn x_03_trying_to_read_nothing_changes_nothing() {
    let (client, _server) = connected(4096);
    let mut buffer = [7; 4];
    assert_eq!(client.try_read(&mut buffer), Err(SessionError::WouldBlock));
    assert_eq!(buffer, [7; 4]);
}

#[test]
fn x_04_after_the_other_side_closed_the_pipe_is_broken_for_good() {
    let (client, server) = connected(4096);
    client.write_all(b"disconnect").unwrap();
    server.wait_readable(Some(Duration::from_secs(60))).unwrap();
    assert_eq!(server.try_read(&mut [0; 64]), Ok(10));
    server.close();
    for _ in 0..2 {
        for time in [60_000, 0, 1000] {
            assert_eq!(client.wait_readable(Some(Duration::from_millis(time))), Err(BROKEN));
        }
        assert_eq!(client.write(b"more"), Err(BROKEN));
        assert_eq!(client.write_all(b"more"), Err(BROKEN));
        assert_eq!(client.send(b"more"), Err(BROKEN));
        assert_eq!(client.read_exact(&mut [0; 4]), Err(BROKEN));
        assert_eq!(client.read(&mut [0; 4]), Err(BROKEN));
        assert_eq!(client.try_read(&mut [0; 4]), Err(BROKEN));
    }
    assert_eq!(client.peer(), Peer::Closed);
}

#[test]
fn x_05_what_was_written_before_a_close_is_read_first() {
    let (client, server) = connected(4096);
    client.write_all(&hundred()).unwrap();
    client.close();
    server.wait_readable(None).unwrap();
    assert_eq!(rest(&server), (hundred(), BROKEN));
}

#[test]
fn x_06_what_was_written_before_a_death_is_read_first() {
    let (second, session, _server) = with_second("write a hundred bytes and be killed");
    assert!(!second.done().success());
    assert_eq!(rest(&session), (hundred(), BROKEN));
    assert_eq!(session.peer(), Peer::Died);
    assert_eq!(session.write(b"more"), Err(BROKEN));
}

#[test]
fn x_06_who_only_tries_is_told_of_a_death_too() {
    let (second, session, _server) = with_second("be there until killed");
    session.read_exact(&mut [0]).unwrap();
    assert_eq!(session.try_read(&mut [0]), Err(SessionError::WouldBlock));
    second.kill();
    until("trying to read says that the pipe is broken", || {
        let tried = session.try_read(&mut [0]);
        assert!([Err(SessionError::WouldBlock), Err(BROKEN)].contains(&tried));
        tried == Err(BROKEN)
    });
}

#[test]
fn x_06_a_death_wakes_who_waits() {
    let (second, session, _server) = with_second("be there until killed");
    session.read_exact(&mut [0]).unwrap();
    let reading = session.clone();
    let task = sleeper(move || reading.read(&mut [0]));
    second.kill();
    assert_eq!(task.done(), Err(BROKEN));
}

#[test]
fn x_08_a_read_gives_what_there_is() {
    let (client, server) = connected(4096);
    client.write_all(b"abc").unwrap();
    let mut buffer = [0; 100];
    assert_eq!(server.read(&mut buffer), Ok(3));
    assert_eq!(&buffer[..3], b"abc");
}

#[test]
fn x_09_a_write_longer_than_the_ring_waits_for_the_reader() {
    let (client, server) = connected(4096);
    let sent: Vec<u8> = (0..4 * page()).map(|n| (n * 7 % 251) as u8).collect();
    let text = sent.clone();
    let task = sleeper(move || client.write_all(&text));
    let mut got = vec![0; sent.len()];
    server.read_exact(&mut got).unwrap();
    assert!(got == sent);
    task.done().unwrap();
}

#[test]
fn x_10_a_writer_that_waits_for_room_is_told_of_a_close() {
    let (client, server) = connected(4096);
    let task = sleeper(move || client.write_all(&vec![1; 3 * page()]));
    server.close();
    let Err(SessionError::BrokenPipe { done }) = task.done() else { panic!("not broken") };
    assert!((1..=page()).contains(&done), "{done}");
}

#[test]
fn x_10_a_writer_that_waits_for_room_is_told_of_a_death() {
    let (second, session, _server) = with_second("be there until killed");
    session.read_exact(&mut [0]).unwrap();
    let task = sleeper(move || session.write_all(&vec![1; 1 << 20]));
    second.kill();
    let Err(SessionError::BrokenPipe { done }) = task.done() else { panic!("not broken") };
    assert!((1..=1 << 18).contains(&done), "{done}");
}

/// Every operation of a cancelled session.
fn all_cancelled(session: &Session) {
    let mut buffer = [0; 4];
    assert_eq!(session.read(&mut buffer), Err(CANCELLED));
    assert_eq!(session.read_exact(&mut buffer), Err(CANCELLED));
    assert_eq!(session.try_read(&mut buffer), Err(CANCELLED));
    assert_eq!(session.try_recv(), Err(CANCELLED));
    assert_eq!(session.recv(), Err(CANCELLED));
    assert_eq!(session.write(&buffer), Err(CANCELLED));
    assert_eq!(session.write_all(&buffer), Err(CANCELLED));
    assert_eq!(session.send(&buffer), Err(CANCELLED));
    assert_eq!(session.flush(), Err(CANCELLED));
    assert_eq!(session.wait_readable(Some(Duration::ZERO)), Err(CANCELLED));
    assert_eq!(session.arm_read(), Err(CANCELLED));
    assert_eq!(session.arm_write(), Err(CANCELLED));
    let kinds = [
        session.peer_pid().unwrap_err().kind(),
        session.peer_uid().unwrap_err().kind(),
        session.peer_gid().unwrap_err().kind(),
        session.peer_process().unwrap_err().kind(),
        session.verify_same_user().unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ringlane::ErrorKind::Cancelled; 5]);
}

#[test]
fn x_11_cancel_ends_a_read_and_everything_after_it() {
    let (client, server) = connected(4096);
    let reading = client.clone();
    let task = sleeper(move || reading.read(&mut [0]));
    client.cancel();
    assert_eq!(task.done(), Err(CANCELLED));
    server.write_all(b"data").unwrap();
    all_cancelled(&client);
    assert_eq!(client.close(), CloseOutcome::Destroyed);
}

#[test]
fn x_11_cancel_ends_a_write() {
    let (client, _server) = connected(4096);
    let writing = client.clone();
    let task = sleeper(move || writing.write_all(&vec![1; 3 * page()]));
    client.cancel();
    let Err(SessionError::Cancelled { done }) = task.done() else { panic!("not cancelled") };
    assert!((1..=page()).contains(&done), "{done}");
}

#[test]
fn x_11_cancel_ends_a_read_before_the_accept() {
    let (_server, name) = server();
    let client = Session::connect(&name).unwrap();
    let reading = client.clone();
    let task = sleeper(move || reading.read(&mut [0]));
    client.cancel();
    assert_eq!(task.done(), Err(CANCELLED));
}

#[test]
fn x_12_cancel_before_anything_counts() {
    let (client, _server) = connected(4096);
    client.cancel();
    client.cancel();
    all_cancelled(&client);
}

#[test]
fn x_13_cancel_is_told_to_the_other_side_by_the_close() {
    let (client, server) = connected(4096);
    client.write_all(b"kept").unwrap();
    client.cancel();
    server.write_all(b"still open").unwrap();
    assert_eq!(server.peer(), Peer::Alive);
    client.close();
    assert_eq!(rest(&server), (b"kept".to_vec(), BROKEN));
}

#[test]
fn x_15_flush_waits_until_everything_is_read() {
    let (client, server) = connected(4096);
    client.flush().unwrap();
    client.write_all(b"abcd").unwrap();
    assert_eq!(
        client.flush_timeout(Duration::from_millis(1)),
        Err(SessionError::TimedOut { done: 0 })
    );
    let flushing = client.clone();
    let task = sleeper(move || flushing.flush());
    server.read_exact(&mut [0; 3]).unwrap();
    assert_eq!(task.is_done(), None);
    server.read_exact(&mut [0; 1]).unwrap();
    assert_eq!(task.done(), Ok(()));
}

#[test]
fn x_15_flush_is_told_what_will_not_be_read() {
    let (second, session, _server) = with_second("be there until killed");
    session.read_exact(&mut [0]).unwrap();
    session.write_all(b"unread").unwrap();
    let task = sleeper(move || session.flush());
    second.kill();
    assert_eq!(task.done(), Err(BROKEN));

    let (client, server) = connected(4096);
    client.write_all(b"unread").unwrap();
    let flushing = client.clone();
    let task = sleeper(move || flushing.flush());
    client.cancel();
    assert_eq!(task.done(), Err(CANCELLED));
    drop(server);
}

#[test]
fn x_17_clones_are_counted_and_close_cancels_them_all() {
    let (client, server) = connected(4096);
    let clone = client.clone();
    assert_eq!(client.ref_count(), 2);
    drop(clone);
    assert_eq!(client.ref_count(), 1);
    client.write_all(b"not cancelled").unwrap();
    let clone = client.clone();
    assert_eq!(client.close(), CloseOutcome::StillReferenced(1));
    all_cancelled(&clone);
    assert_eq!(rest(&server), (b"not cancelled".to_vec(), BROKEN));
    assert_eq!(clone.close(), CloseOutcome::Destroyed);
}

#[test]
fn x_17_the_last_drop_tells_the_other_side() {
    let (client, server) = connected(4096);
    let clone = client.clone();
    drop(client);
    assert_eq!(server.peer(), Peer::Alive);
    drop(clone);
    assert_eq!(server.read(&mut [0]), Err(BROKEN));
}

#[test]
fn x_18_closing_ends_a_read_in_another_thread() {
    let (client, _server) = connected(4096);
    let reading = client.clone();
    let task = sleeper(move || (reading.read(&mut [0]), reading));
    assert_eq!(client.close(), CloseOutcome::StillReferenced(1));
    let (read, reading) = task.done();
    assert_eq!(read, Err(CANCELLED));
    assert_eq!(reading.close(), CloseOutcome::Destroyed);
}

#[cfg(unix)]
#[test]
fn x_20_a_broken_pipe_is_no_signal() {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default handler.
    let before = unsafe { sigaction(Signal::SIGPIPE, &default) }.unwrap();
    let (second, session, _server) = with_second("be there until killed");
    session.read_exact(&mut [0]).unwrap();
    second.kill();
    until("a write says that the pipe is broken", || {
        session.write_all(&[0; 1000]) == Err(BROKEN)
            || session.write_all_timeout(&[0; 1 << 19], Duration::from_secs(1)).is_err()
    });
    // A poll that is rung goes through the socket.
    let (client, server) = connected(4096);
    assert!(!server.arm_read().unwrap());
    server.close();
    let _ = client.write_all(b"ring");
    // SAFETY: what it was before.
    let now = unsafe { sigaction(Signal::SIGPIPE, &before) }.unwrap();
    assert!(matches!(now.handler(), SigHandler::SigDfl));
}

#[test]
fn x_22_nothing_is_read_and_written_at_once() {
    let (client, server) = connected(4096);
    assert_eq!(client.read(&mut []), Ok(0));
    assert_eq!(client.read_exact(&mut []), Ok(()));
    assert_eq!(client.write(&[]), Ok(0));
    assert_eq!(client.write_all(&[]), Ok(()));
    assert_eq!(server.try_read(&mut [0]), Err(SessionError::WouldBlock));
    client.cancel();
    assert_eq!(client.read(&mut []), Err(CANCELLED));
    assert_eq!(client.write(&[]), Err(CANCELLED));
}

#[test]
fn x_23_bytes_arrive_in_order_one_by_one() {
    let count: u32 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    let (client, server) = connected(4096);
    let task = Task::run(move || {
        for n in 0..count {
            client.write_all(&[(n % 251) as u8]).unwrap();
        }
    });
    for n in 0..count {
        let mut byte = [0];
        server.read_exact(&mut byte).unwrap();
        assert_eq!(u32::from(byte[0]), n % 251);
    }
    task.done();
}

#[test]
fn x_25_waiting_ends_with_data_a_close_and_a_cancel() {
    for wait in [Wait::Park, Wait::SpinThenPark] {
        let waiting = || {
            let (client, server) = connected(4096);
            client.set_wait(wait).unwrap();
            let clone = client.clone();
            (sleeper(move || clone.wait_readable(None)), client, server)
        };
        let (task, _client, server) = waiting();
        server.write_all(b"x").unwrap();
        assert_eq!(task.done(), Ok(()));
        let (task, _client, server) = waiting();
        server.close();
        assert_eq!(task.done(), Err(BROKEN));
        let (task, client, _server) = waiting();
        client.cancel();
        assert_eq!(task.done(), Err(CANCELLED));
    }
}

#[test]
fn messages_arrive_whole() {
    let (client, server) = connected(4096);
    client.send(b"").unwrap();
    client.send(b"one").unwrap();
    client.write_all(b"two").unwrap();
    assert_eq!(server.recv().unwrap(), b"");
    assert_eq!(server.recv().unwrap(), b"one");
    assert_eq!(server.recv_timeout(Duration::from_secs(60)).unwrap(), b"two");
    let longest = client.longest_message().unwrap();
    client.send(&vec![1; longest]).unwrap();
    assert_eq!(server.try_recv().unwrap().len(), longest);
    let error = client.send(&vec![1; longest + 1]).unwrap_err();
    assert_eq!(error, SessionError::TooLarge { len: longest + 1, max: longest });
    // A message that was begun as bytes is ended as a message.
    client.send(b"head and body").unwrap();
    server.read_exact(&mut [0; 9]).unwrap();
    assert_eq!(server.recv().unwrap(), b"body");
    drop(client);
    assert_eq!(server.recv(), Err(BROKEN));
}

#[test]
fn std_s_reader_and_writer_know_an_end_from_a_death() {
    use std::io::{ErrorKind, Read, Write};
    let (mut client, server) = connected(4096);
    let task = Task::run(move || {
        writeln!(client, "a line").unwrap();
        client.flush().unwrap();
    });
    let mut text = String::new();
    (&server).read_to_string(&mut text).unwrap();
    assert_eq!(text, "a line\n");
    task.done();
    let (second, mut session, _server) = with_second("write a hundred bytes and be killed");
    second.done();
    let mut bytes = Vec::new();
    assert_eq!(session.read_to_end(&mut bytes).unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(bytes, hundred());
}

#[test]
fn halves_are_used_by_two_threads() {
    let (client, server) = connected(4096);
    let (reader, writer) = client.split();
    let echo = Task::run(move || {
        let mut buffer = [0; 100];
        while let Ok(len) = server.read(&mut buffer) {
            if server.write_all(&buffer[..len]).is_err() {
                break;
            }
        }
    });
    let task = Task::run(move || writer.session().write_all(&[3; 50_000]).map(|()| writer));
    let mut got = vec![0; 50_000];
    reader.session().read_exact(&mut got).unwrap();
    assert!(got.iter().all(|byte| *byte == 3));
    drop((task.done().unwrap(), reader));
    echo.done();
}
