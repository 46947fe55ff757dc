//! `send` and `recv`: streams that arrive as they were.

use crate::program::{RingName, Running, run, run_with};
use sha2::{Digest, Sha256};

/// Bytes without a pattern, but the same each time.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| word().to_le_bytes()).collect();
    bytes.truncate(len);
    bytes
}

#[track_caller]
fn assert_same(sent: &[u8], received: &[u8]) {
    assert_eq!(received.len(), sent.len());
    assert_eq!(Sha256::digest(received), Sha256::digest(sent));
}

#[test]
fn a_stream_arrives_whole_in_either_order_of_starting() {
    let ring = RingName::new("orders");
    let bytes = noise(3_000_001);
    for recv_first in [true, false] {
        let start_recv = || Running::start(&["recv", ring.as_str()]);
        let early = recv_first.then(start_recv);
        let mut send = Running::start(&["send", ring.as_str(), "--capacity", "262144"]);
        let writer = send.write_all_aside(bytes.clone());
        if !recv_first {
            // It is more than the ring holds, so the sender waits for somebody to come.
            ring.wait_count("depth", 1);
        }
        let recv = early.unwrap_or_else(start_recv);
        assert_same(&bytes, &recv.finish().succeeded().stdout);
        send.finish().succeeded();
        writer.join().expect("written");
        assert!(!ring.path().exists(), "the clean end removes the name");
    }
}

#[test]
fn no_bytes_arrive_as_no_bytes() {
    let ring = RingName::new("nothing");
    let recv = Running::start(&["recv", ring.as_str()]);
    run(&["send", ring.as_str()]).succeeded();
    assert!(recv.finish().succeeded().stdout.is_empty());
    assert!(!ring.path().exists());
}

#[test]
fn a_detached_ring_waits_for_its_reader() {
    let ring = RingName::new("detach");
    let bytes = noise(100_000);
    run_with(&["send", ring.as_str(), "--detach"], &bytes).succeeded();
    assert!(ring.path().exists());
    assert_same(&bytes, &run(&["recv", ring.as_str()]).succeeded().stdout);
    assert!(!ring.path().exists());
}

#[test]
fn a_detached_ring_can_be_added_to() {
    let ring = RingName::new("detach-twice");
    run_with(&["send", ring.as_str(), "--detach"], b"one ").succeeded();
    run_with(&["send", ring.as_str(), "--detach"], b"two").succeeded();
    assert_eq!(run(&["recv", ring.as_str()]).succeeded().stdout, b"one two");
}

#[test]
fn files_go_the_same_way() {
    let ring = RingName::new("files");
    let directory = std::env::temp_dir();
    let [from, to] = ["from", "to"].map(|end| directory.join(format!("{}-{end}", ring.as_str())));
    let (from_text, to_text) = (from.to_str().expect("text"), to.to_str().expect("text"));
    let bytes = noise(500_000);
    std::fs::write(&from, &bytes).expect("written");
    std::fs::write(&to, noise(600_000)).expect("written");

    let recv = Running::start(&["recv", ring.as_str(), "--output", to_text]);
    run(&["send", ring.as_str(), "--input", from_text]).succeeded();
    assert!(recv.finish().succeeded().stdout.is_empty());
    assert_same(&bytes, &std::fs::read(&to).expect("read"));

    // Added to, not emptied.
    let recv = Running::start(&["recv", ring.as_str(), "--output", to_text, "--append"]);
    run_with(&["send", ring.as_str()], b"more").succeeded();
    recv.finish().succeeded();
    assert_same(&[&bytes[..], b"more"].concat(), &std::fs::read(&to).expect("read"));

    // Left alone, if the ring cannot be had.
    run(&["recv", ring.as_str(), "--output", to_text, "--timeout", "0"]).failed(&["no such ring"]);
    assert_eq!(std::fs::read(&to).expect("read").len(), bytes.len() + 4);
    for path in [from, to] {
        std::fs::remove_file(path).expect("removed");
    }
}

#[test]
fn both_ends_sum_up_in_json() {
    let ring = RingName::new("json");
    let recv = Running::start(&["recv", ring.as_str(), "--json"]);
    let sent = run_with(&["send", ring.as_str(), "--json", "--record", "100"], &noise(1000));
    let received = recv.finish();
    for (done, command) in [(&sent, "send"), (&received, "recv")] {
        let summary: serde_json::Value =
            serde_json::from_str(&done.stderr).expect("JSON on stderr");
        assert_eq!(summary["command"], command);
        assert_eq!(summary["ring"], ring.as_str());
        assert_eq!(summary["bytes"], 1000);
        assert!(summary["records"].as_u64().is_some_and(|records| records >= 10));
        assert!(summary["seconds"].as_f64().is_some_and(|seconds| seconds >= 0.0));
    }
}

#[test]
fn short_input_is_passed_on_at_once() {
    let ring = RingName::new("short");
    let mut send = Running::start(&["send", ring.as_str()]);
    let mut recv = Running::start(&["recv", ring.as_str()]);
    for line in ["a\n", "word\n", "at a time\n"] {
        send.write(line.as_bytes());
        assert_eq!(recv.read(line.len()), line.as_bytes());
    }
    assert!(send.running() && recv.running());
    send.finish().succeeded();
    recv.finish().succeeded();
}

#[test]
fn a_reader_that_goes_away_ends_both_with_a_sentence() {
    let ring = RingName::new("head");
    let mut send =
        Running::start(&["send", ring.as_str(), "--record", "1000", "--capacity", "8192"]);
    let writer = send.write_all_aside(noise(1_000_000));
    let mut recv = Running::start(&["recv", ring.as_str()]);
    recv.read(10);
    recv.close_stdout();
    recv.finish().failed(&["write stdout: Broken pipe", "not acknowledged"]);
    send.finish().failed(&["recv gave up"]);
    writer.join().expect("ended");
    assert!(ring.path().exists(), "what was not delivered stays");
}

#[test]
fn after_a_reader_gave_up_a_new_pair_goes_on() {
    let ring = RingName::new("gave-up");
    let args = ["send", ring.as_str(), "--record", "1000", "--capacity", "8192"];
    let mut send = Running::start(&args);
    let writer = send.write_all_aside(noise(200_000));
    let mut recv = Running::start(&["recv", ring.as_str()]);
    recv.read(10);
    recv.close_stdout();
    recv.finish().failed(&["Broken pipe"]);
    send.finish().failed(&["recv gave up"]);
    writer.join().expect("ended");
    let left = ring.stat().expect("it stays")["depth"].as_u64().expect("a number");
    assert!(left > 0);

    // The ring's end says closed, and it is not this sender's recv that closed it.
    let mut send = Running::start(&args);
    send.write(b"the end");
    send.close_stdin();
    ring.wait_holder("producer", &send);
    let received = run(&["recv", ring.as_str()]).succeeded().stdout;
    send.finish().succeeded();
    assert!(received.ends_with(b"the end"));
    assert!(received.len() > b"the end".len());
}

#[test]
fn waiting_can_be_limited() {
    let ring = RingName::new("timeout");
    let recv = ["recv", ring.as_str(), "--timeout", "0.05"];
    run(&recv).failed(&["no such ring appeared for 0.05 s"]);
    let send = ["send", ring.as_str(), "--timeout", "0.05"];
    run_with(&send, b"unread").failed(&["nobody read it for 0.05 s"]);

    let mut idle = Running::start(&["send", ring.as_str()]);
    idle.write(b"more");
    ring.wait_count("pushed", 2);
    let late = run(&recv).failed(&["no record came for 0.05 s"]);
    assert_eq!(late.stdout, b"unreadmore");
}
