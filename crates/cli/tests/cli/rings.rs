//! `ls`, `stat` and `rm`.

use crate::program::{RingName, Running, run, run_with};
use ringlane::{mpmc, spsc};
use serde_json::{Value, json};
use std::os::unix::fs::FileExt;

/// What `ls --json` says of one ring. Others come and go meanwhile.
fn listed(ring: &RingName) -> Option<Value> {
    let all = run(&["ls", "--json"]).succeeded().json();
    let all = all.as_array().expect("a list");
    all.iter().find(|entry| entry["name"] == ring.as_str()).cloned()
}

/// Its line of `ls`.
fn line(ring: &RingName) -> Option<String> {
    let text = run(&["ls"]).succeeded().text();
    text.lines()
        .find(|line| line.split_whitespace().next() == Some(ring.as_str()))
        .map(str::to_owned)
}

#[test]
fn a_ring_shows_what_is_in_it_and_who_holds_it() {
    let ring = RingName::new("shown");
    assert_eq!(listed(&ring), None);
    let mut send =
        Running::start(&["send", ring.as_str(), "--capacity", "65536", "--record", "100"]);
    send.write(&[1; 100]);
    ring.wait_count("pushed", 1);
    let stat = ring.stat().expect("there");
    assert_eq!(listed(&ring).expect("listed")["name"], stat["name"]);
    for (field, value) in [
        ("kind", json!("record")),
        ("capacity", json!(65536)),
        ("depth", json!(1)),
        ("pushed", json!(1)),
        ("popped", json!(0)),
        ("used", json!(112)),
    ] {
        assert_eq!(stat[field], value, "{field}");
    }
    assert_eq!(stat["producer"]["state"], "alive");
    assert_eq!(stat["producer"]["pid"], send.id());
    assert_eq!(stat["consumer"]["state"], "vacant");
    assert_eq!(stat["consumer"]["pid"], Value::Null);
    assert!(line(&ring).expect("listed").contains(&format!("alive {}", send.id())));
    let text = run(&["stat", ring.as_str()]).succeeded().text();
    for part in [
        "kind      record of bytes",
        "65536 bytes, 112 of them in use (0.2 %)",
        "depth     1",
        &format!("producer  alive, process {}", send.id()),
        "consumer  vacant",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }

    send.kill();
    let pid = send.id();
    send.finish();
    let stat = ring.stat().expect("there");
    assert_eq!(stat["producer"]["state"], "died");
    assert_eq!(stat["producer"]["alive"], false);
    assert!(line(&ring).expect("listed").contains(&format!("died {pid}")));
}

#[test]
fn a_ring_of_values_shows_its_type() {
    let ring = RingName::new("shown-values");
    let queue = spsc::Queue::<[u32; 3]>::create(&ring.name(), 16).expect("made");
    queue.producer().expect("taken").try_push([1, 2, 3]).expect("room");
    let stat = ring.stat().expect("there");
    assert_eq!(stat["kind"], "spsc");
    assert_eq!(stat["type"], "[u32; 3]");
    assert_eq!(stat["depth"], 1);
    assert_eq!(stat["producer"]["state"], "closed");
    let text = run(&["stat", ring.as_str()]).succeeded().text();
    assert!(text.contains("spsc of [u32; 3]") && text.contains("16 values, 1 of them"), "{text}");
}

#[test]
fn values_side_by_side_are_counted() {
    let ring = RingName::new("shown-dense");
    let mut options = spsc::Queue::<u16>::options();
    options.capacity(1 << 14).layout(spsc::Layout::Dense);
    let queue = options.create(&ring.name()).expect("made");
    let mut producer = queue.producer().expect("taken");
    let mut room = producer.try_reserve(1000).expect("room");
    room.fill(0..);
    room.commit_len(999);
    queue.consumer().expect("taken").try_read(9).expect("there").release();
    let stat = ring.stat().expect("there");
    assert_eq!((&stat["kind"], &stat["type"]), (&"spsc".into(), &"u16".into()));
    assert_eq!((&stat["depth"], &stat["capacity"]), (&990.into(), &(1 << 14).into()));
    assert_eq!((&stat["pushed"], &stat["popped"]), (&999.into(), &9.into()));
    assert!(line(&ring).expect("listed").contains("990"));
}

#[test]
fn a_ring_that_cannot_be_read_is_listed_with_the_reason() {
    let ring = RingName::new("shown-broken");
    run_with(&["send", ring.as_str(), "--detach"], b"x").succeeded();
    let file = std::fs::File::options().write(true).open(ring.path()).expect("opened");
    file.write_all_at(&7_u32.to_ne_bytes(), 8).expect("written");
    let listed = listed(&ring).expect("listed");
    assert!(listed["error"].as_str().is_some_and(|error| error.contains("layout version 7")));
    assert!(line(&ring).expect("listed").contains("layout version 7"));
    // It is a ring, so it can be removed.
    run(&["rm", ring.as_str()]).succeeded();
    assert!(!ring.path().exists());
}

#[test]
fn what_is_no_ring_is_not_listed() {
    let ring = RingName::new("not-shown");
    std::fs::write(ring.path(), b"nothing of ours").expect("written");
    assert_eq!(listed(&ring), None);
}

#[test]
fn a_missing_ring_is_told() {
    let ring = RingName::new("missing");
    for command in ["stat", "rm"] {
        run(&[command, ring.as_str()]).failed(&[ring.as_str(), "No such file"]);
    }
}

#[test]
fn only_force_removes_what_a_living_process_holds() {
    let ring = RingName::new("removed");
    let mut send = Running::start(&["send", ring.as_str()]);
    send.write(b"x");
    ring.wait_count("pushed", 1);
    let holder = format!("held by process {}", send.id());
    run(&["rm", ring.as_str()]).failed(&["producer end", &holder]);
    assert!(ring.path().exists());
    let removed = run(&["rm", ring.as_str(), "--force", "--json"]).succeeded().json();
    assert_eq!(removed, json!({ "removed": ring.as_str() }));
    assert!(!ring.path().exists());
    assert!(send.running());
}

#[test]
fn what_nobody_holds_is_removed() {
    let ring = RingName::new("removed-dead");
    run_with(&["send", ring.as_str(), "--detach"], b"x").succeeded();
    assert_eq!(run(&["rm", ring.as_str()]).succeeded().text(), "");
    assert!(!ring.path().exists());

    let mut send = Running::start(&["send", ring.as_str()]);
    ring.wait_count("capacity", 1);
    send.kill();
    send.finish();
    run(&["rm", ring.as_str(), "--json"]).succeeded();
    assert!(!ring.path().exists());
}

/// A ring for many: each place, who died there, what was skipped and what came again.
#[test]
fn a_ring_for_many_shows_its_places() {
    let ring = RingName::new("many");
    let name = ring.name();
    let mut options = mpmc::Queue::<u64>::options();
    let queue =
        options.capacity(8).delivery(mpmc::Delivery::AtLeastOnce).create(&name).expect("new");
    let (mut one, mut other) = (queue.producer().expect("place"), queue.producer().expect("place"));
    let (mut taker, mut last) =
        (queue.consumer().expect("place"), queue.consumer().expect("place"));
    std::mem::forget(one.try_reserve().expect("room"));
    drop(one);
    other.push(7).expect("room");
    std::mem::forget(taker.take().expect("seven"));
    drop(taker);
    assert!(last.take().expect("again").is_again());
    let stat = ring.stat().expect("there");
    for (field, value) in [
        ("kind", json!("mpmc")),
        ("capacity", json!(8)),
        ("depth", json!(1)),
        ("at_least_once", json!(true)),
    ] {
        assert_eq!(stat[field], value, "{field}");
    }
    let places = stat["participants"].as_array().expect("a list");
    let of = |field: &str| places.iter().map(|place| place[field].clone()).collect::<Vec<_>>();
    assert_eq!(of("state"), ["closed", "alive", "closed", "alive"]);
    assert_eq!(of("role"), ["producer", "producer", "consumer", "consumer"]);
    assert_eq!(of("skipped"), [1, 0, 0, 0]);
    assert_eq!(of("redelivered"), [0, 0, 1, 0]);
    let text = run(&["stat", ring.as_str()]).succeeded().text();
    for part in [
        "producer  1 alive, 1 closed",
        "delivery  at least once",
        "place 0   producer, closed by process",
        "; 1 slots skipped",
        "; 1 values came again",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert!(line(&ring).expect("listed").contains("1 alive, 1 closed"));
    run(&["rm", ring.as_str()]).failed(&["takes part in it"]);
}
