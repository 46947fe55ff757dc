//! Ends that are killed in the middle of a stream.

use crate::program::{RingName, Running, run, run_with, wait_for};

/// Bytes of an item, and of a record: what a pipe takes whole or not at all.
const ITEM: usize = 64;

/// Numbered items: a number, then bytes that follow from it.
fn items(range: std::ops::Range<u64>) -> Vec<u8> {
    range.flat_map(item).collect()
}

fn item(number: u64) -> [u8; ITEM] {
    let mut bytes = [0; ITEM];
    for (word, bytes) in bytes.as_chunks_mut().0.iter_mut().enumerate() {
        *bytes = number.wrapping_add(word as u64 * 0x0101_0101_0101_0101).to_le_bytes();
    }
    bytes
}

/// The numbers of whole items.
#[track_caller]
fn numbers(bytes: &[u8]) -> Vec<u64> {
    let (found, torn) = bytes.as_chunks::<ITEM>();
    assert!(torn.is_empty(), "{} bytes of an item", torn.len());
    let number = |found: &[u8; ITEM]| {
        let number = found.as_chunks().0.first().map(|word| u64::from_le_bytes(*word));
        number.filter(|number| item(*number) == *found).expect("no item is torn")
    };
    found.iter().map(number).collect()
}

/// Checks that what successive receivers got is all of the items, at most one twice at each change.
#[track_caller]
fn check_parts(parts: &[Vec<u8>], total: u64) {
    let mut next = 0;
    for part in parts {
        let part = numbers(part);
        let Some(first) = part.first() else { continue };
        assert!(*first == next || *first + 1 == next, "{first} after {next} items");
        assert!(part.windows(2).all(|pair| pair[1] == pair[0] + 1), "in order, none missing");
        next = first + part.len() as u64;
    }
    assert_eq!(next, total);
}

fn start_send(ring: &RingName) -> Running {
    Running::start(&["send", ring.as_str(), "--record", "64", "--capacity", "4096"])
}

fn start_recv(ring: &RingName) -> Running {
    Running::start(&["recv", ring.as_str()])
}

#[test]
fn a_receiver_killed_in_a_write_is_taken_over_from() {
    const TOTAL: u64 = 5000;
    let ring = RingName::new("recv-killed");
    let mut send = start_send(&ring);
    let writer = send.write_all_aside(items(0..TOTAL));
    let mut recv = start_recv(&ring);
    // Nobody reads its pipe: it stops in the write of one record, once the pipe's 64 KiB are full.
    ring.wait_count("popped", 1000);
    wait_for("a full ring", || {
        let stat = ring.stat()?;
        (stat["producer"]["asleep"] == true && stat["used"].as_u64()? > 3900).then_some(())
    });
    recv.kill();
    let first = recv.finish();
    assert_eq!(first.status.code(), None);
    assert!(send.running());
    let second = start_recv(&ring).finish().succeeded();
    send.finish().succeeded();
    writer.join().expect("written");
    assert!(!first.stdout.is_empty() && !second.stdout.is_empty());
    check_parts(&[first.stdout, second.stdout], TOTAL);
    assert!(!ring.path().exists());
}

#[test]
fn receivers_killed_anywhere_lose_and_tear_nothing() {
    const TOTAL: u64 = 60_000;
    let ring = RingName::new("recv-killed-often");
    let mut send = start_send(&ring);
    let writer = send.write_all_aside(items(0..TOTAL));
    let mut parts = Vec::new();
    for round in 0..8 {
        let mut recv = start_recv(&ring);
        let mut part = recv.read(ITEM * (1 + 97 * round));
        recv.kill();
        part.extend(recv.finish().stdout);
        parts.push(part);
    }
    assert!(send.running());
    parts.push(start_recv(&ring).finish().succeeded().stdout);
    send.finish().succeeded();
    writer.join().expect("written");
    check_parts(&parts, TOTAL);
}

#[test]
fn a_sender_killed_in_mid_stream_is_reported_after_all_it_sent() {
    let ring = RingName::new("send-killed");
    let mut send = start_send(&ring);
    send.write(&items(0..30));
    ring.wait_count("pushed", 30);
    send.kill();
    assert_eq!(send.finish().status.code(), None);
    let orphaned = run(&["recv", ring.as_str()]);
    let orphaned = orphaned.failed(&["the sender died", "30 records", "stays for a new sender"]);
    assert_eq!(numbers(&orphaned.stdout), (0..30).collect::<Vec<_>>());
    assert!(ring.path().exists());

    let mut send = start_send(&ring);
    let writer = send.write_all_aside(items(30..500));
    // Before that, a receiver would be told of the dead one.
    ring.wait_holder("producer", &send);
    let received = run(&["recv", ring.as_str()]).succeeded().stdout;
    send.finish().succeeded();
    writer.join().expect("written");
    check_parts(&[orphaned.stdout, received], 500);
    assert!(!ring.path().exists());
}

#[test]
fn a_receiver_that_is_there_sees_the_sender_die() {
    let ring = RingName::new("send-killed-live");
    let recv = start_recv(&ring);
    let mut send = start_send(&ring);
    send.write(&items(0..300));
    ring.wait_count("popped", 300);
    send.kill();
    let orphaned = recv.finish().failed(&["the sender died", "300 records (19200 bytes)"]);
    assert_eq!(numbers(&orphaned.stdout), (0..300).collect::<Vec<_>>());
}

#[test]
fn a_sender_goes_on_where_a_killed_one_stopped_before_anyone_read() {
    let ring = RingName::new("send-taken-over");
    let mut send = start_send(&ring);
    send.write(&items(0..20));
    ring.wait_count("pushed", 20);
    send.kill();
    send.finish();
    run_with(&["send", ring.as_str(), "--record", "64", "--detach"], &items(20..40)).succeeded();
    check_parts(&[run(&["recv", ring.as_str()]).succeeded().stdout], 40);
}

#[test]
fn a_sender_waits_for_another_receiver_at_its_end() {
    let ring = RingName::new("recv-killed-at-flush");
    let mut recv = start_recv(&ring);
    let mut send = start_send(&ring);
    send.write(&items(0..1));
    recv.read(ITEM);
    recv.kill();
    recv.finish();
    send.write(&items(1..10));
    send.close_stdin();
    ring.wait_count("pushed", 10);
    assert!(send.running());
    let rest = numbers(&run(&["recv", ring.as_str()]).succeeded().stdout);
    assert!(rest.first().is_some_and(|first| *first <= 1));
    assert_eq!(rest.last(), Some(&9));
    send.finish().succeeded();
}
