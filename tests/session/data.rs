//! What goes through a session is what comes out of it.

use crate::common::{Second, page, scratch};
use crate::support::{Task, accept, connected, service};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use ringlane::SessionError;
use ringlane::session::{ConnectOptions, Server, ServiceName, Session};
use sha2::{Digest, Sha256};
use std::time::Duration;

pub(crate) fn part(part: &str, name: &ServiceName) -> bool {
    match part {
        "send all rounds" => {
            let session = Session::connect(name).unwrap();
            send_rounds(&session, 1);
            receive_rounds(&session, 2);
        }
        "say the last and go" => {
            let session = Session::connect(name).unwrap();
            let mut number = [0; 4];
            while session.read_exact(&mut number).is_ok() {
                session.write_all(&number).unwrap();
                if u32::from_ne_bytes(number) == TURNS {
                    session.close();
                    return true;
                }
            }
        }
        "stream" => {
            let session = ConnectOptions::new().outgoing(1 << 20).connect(name).unwrap();
            session.write_all(&stream(&session, None)).unwrap();
            session.flush().unwrap();
        }
        _ => return false,
    }
    true
}

const ROUNDS: usize = 40;
const TURNS: u32 = 2000;

/// The message of a round: 4 bytes to about 1 MiB, the same on both sides.
fn message(seed: u64, round: usize) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(seed << 32 | round as u64);
    let len = 4 << (round % 19);
    let mut bytes = vec![0; len];
    random.fill_bytes(&mut bytes);
    bytes
}

/// In pieces of one byte more than the round's number.
fn send_rounds(session: &Session, seed: u64) {
    for round in 0..ROUNDS {
        let bytes = message(seed, round);
        session.write_all(&(bytes.len() as u32).to_ne_bytes()).unwrap();
        for piece in bytes.chunks(round + 1) {
            session.write_all(piece).unwrap();
        }
    }
    session.flush().unwrap();
}

/// In exact and partial reads of random sizes.
fn receive_rounds(session: &Session, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..ROUNDS {
        let mut len = [0; 4];
        session.read_exact(&mut len).unwrap();
        let mut got = vec![0; u32::from_ne_bytes(len) as usize];
        let mut done = 0;
        while done < got.len() {
            let most = (got.len() - done).min(random.random_range(1..=1 << (round % 19)));
            if random.random() {
                session.read_exact(&mut got[done..done + most]).unwrap();
                done += most;
            } else {
                done += session.read(&mut got[done..done + most]).unwrap();
            }
        }
        assert!(got == message(seed, round), "round {round}");
    }
}

#[test]
fn d_01_messages_of_all_sizes_arrive_between_threads() {
    let (client, server) = connected(1 << 16);
    let task = Task::run(move || {
        send_rounds(&client, 1);
        receive_rounds(&client, 2);
    });
    receive_rounds(&server, 1);
    send_rounds(&server, 2);
    task.done();
}

#[test]
fn d_01_messages_of_all_sizes_arrive_between_processes() {
    let name = scratch();
    let server = Server::bind(&service(&name)).unwrap();
    let mut second = Second::start("send all rounds", &name);
    let session = accept(&server, &mut second);
    receive_rounds(&session, 1);
    send_rounds(&session, 2);
    assert!(second.done().success());
}

#[test]
fn d_02_the_last_answer_is_read_though_its_writer_went_at_once() {
    let name = scratch();
    let server = Server::bind(&service(&name)).unwrap();
    let mut second = Second::start("say the last and go", &name);
    let session = accept(&server, &mut second);
    for turn in 0..=TURNS {
        session.write_all(&turn.to_ne_bytes()).unwrap();
        let mut answer = [0; 4];
        session.read_exact(&mut answer).unwrap();
        assert_eq!(u32::from_ne_bytes(answer), turn);
    }
    assert_eq!(session.read(&mut [0]), Err(SessionError::BrokenPipe { done: 0 }));
    assert!(second.done().success());
}

/// Pieces of a long stream; written to the session if there is one, and hashed if asked for. Gives the hash at last.
fn stream(session: &Session, hash: Option<()>) -> Vec<u8> {
    let megabytes: usize = if cfg!(debug_assertions) { 32 } else { 1024 };
    let mut random = StdRng::seed_from_u64(7);
    let mut sum = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    random.fill_bytes(&mut piece);
    for n in 0..megabytes {
        piece[..8].copy_from_slice(&(n as u64).to_ne_bytes());
        if hash.is_some() {
            let mut got = vec![0; piece.len()];
            session.read_exact(&mut got).unwrap();
            sum.update(&got);
        } else {
            // Of uneven lengths, so that the ring's end falls anywhere.
            for part in piece.chunks(random.random_range(1..=1 << 18)) {
                session.write_all(part).unwrap();
            }
            sum.update(&piece);
        }
    }
    sum.finalize().to_vec()
}

#[test]
fn d_03_a_long_stream_has_the_same_sum() {
    let name = scratch();
    let server = Server::bind(&service(&name)).unwrap();
    let mut second = Second::start("stream", &name);
    let session = accept(&server, &mut second);
    let sum = stream(&session, Some(()));
    let mut theirs = [0; 32];
    session.read_exact(&mut theirs).unwrap();
    assert_eq!(theirs[..], sum[..]);
    assert!(second.done().success());
}

#[test]
fn d_03_pieces_of_every_size_around_a_ring_go_through_it() {
    let (client, server) = connected(4096);
    let page = page();
    let sizes = (0..300).chain(400..700).chain(page - 96..=page + 1);
    let sizes = sizes.chain(2 * page - 2..2 * page + 3);
    let all: Vec<usize> = sizes.collect();
    let sizes = all.clone();
    let task = Task::run(move || {
        let mut next = 0_u8;
        for len in sizes {
            let piece: Vec<u8> = (0..len).map(|n| next.wrapping_add(n as u8)).collect();
            next = next.wrapping_add(len as u8);
            client.write_all(&piece).unwrap();
        }
    });
    let mut got = vec![0; all.iter().sum()];
    server.read_exact(&mut got).unwrap();
    assert!(got.iter().enumerate().all(|(n, byte)| *byte == n as u8));
    task.done();
}

#[test]
fn no_number_of_empty_messages_spoils_a_read() {
    let (one, other) = Session::pair(4096).unwrap();
    let mut buffer = [0; 8];
    for _ in 0..3 {
        let mut sent = 0;
        while one.try_send(b"").is_ok() {
            sent += 1;
        }
        assert!(sent > 400, "{sent}");
        assert_eq!(other.try_read(&mut buffer), Err(SessionError::WouldBlock));
        while one.try_send(b"").is_ok() {}
        let timeout = Duration::from_millis(1);
        let read = other.read_timeout(&mut buffer, timeout);
        assert_eq!(read, Err(SessionError::TimedOut { done: 0 }));
        for _ in 0..100 {
            one.send(b"").unwrap();
        }
        one.send(b"text").unwrap();
        assert_eq!(other.read(&mut buffer), Ok(4));
    }
}

#[test]
fn a_peer_that_sends_nothing_without_end_keeps_nobody() {
    let (one, other) = Session::pair(4096).unwrap();
    let sender = Task::run(move || while one.send(b"").is_ok() {});
    let timeout = Duration::from_millis(20);
    let read = other.read_timeout(&mut [0; 8], timeout);
    assert_eq!(read, Err(SessionError::TimedOut { done: 0 }));
    let waiting = other.clone();
    let reader = Task::run(move || waiting.read(&mut [0; 8]));
    other.cancel();
    assert_eq!(reader.done(), Err(SessionError::Cancelled { done: 0 }));
    other.close();
    sender.done();
}
