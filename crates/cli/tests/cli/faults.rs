//! Rings that cannot be had, and what is said about it.

use crate::program::{EXE, RingName, Running, run, run_with, shared_names, wait_for};
use ringlane::{record, spsc};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::process::Command;

/// Both ends and the onlooker say the same about a ring that none of them can use.
#[track_caller]
fn refused_by_all(ring: &RingName, parts: &[&str]) {
    let quoted = format!("{:?}", ring.as_str());
    for command in ["send", "recv", "stat"] {
        run(&[command, ring.as_str()]).failed(&[&[&*quoted], parts].concat());
    }
}

#[test]
fn names_are_checked() {
    for command in ["send", "recv", "stat", "rm"] {
        run(&[command, "a/b"]).failed(&["name \"a/b\"", "holds '/'"]);
        run(&[command, ""]).failed(&["is empty"]);
        run(&[command, ".."]).failed(&["means a directory"]);
        run(&[command, "new\nline"]).failed(&["holds '\\n'"]);
        run(&[command, &"x".repeat(300)]).failed(&["300 bytes", "at most 253"]);
    }
}

#[test]
fn a_ring_of_values_is_no_stream() {
    let ring = RingName::new("values");
    let queue = spsc::Queue::<u64>::create(&ring.name(), 8).expect("made");
    for command in ["send", "recv"] {
        run(&[command, ring.as_str()])
            .failed(&[ring.as_str(), "is a ring of kind spsc, and record is wanted"]);
    }
    drop(queue);
}

#[test]
fn a_record_ring_of_another_program_is_no_stream() {
    let ring = RingName::new("records");
    let queue = record::Queue::options().tag("frames").create(&ring.name()).expect("made");
    for command in ["send", "recv"] {
        run(&[command, ring.as_str()]).failed(&[ring.as_str(), "carries the tag"]);
    }
    drop(queue);
}

fn detached(test: &str) -> (RingName, std::fs::File) {
    let ring = RingName::new(test);
    run_with(&["send", ring.as_str(), "--detach"], b"some bytes").succeeded();
    let file = std::fs::File::options().read(true).write(true).open(ring.path()).expect("opened");
    (ring, file)
}

#[test]
fn another_layout_version_is_named() {
    let (ring, file) = detached("version");
    file.write_all_at(&99_u32.to_ne_bytes(), 8).expect("written");
    refused_by_all(&ring, &["layout version 99", "this build reads"]);
}

#[test]
fn a_scribbled_header_is_told() {
    let (ring, file) = detached("scribble");
    file.write_all_at(&[0xff; 16], 48).expect("written");
    refused_by_all(&ring, &["header was overwritten"]);
}

#[test]
fn a_truncated_ring_is_told() {
    let (ring, file) = detached("truncated");
    let whole = file.metadata().expect("stat").len();
    file.set_len(whole - 4096).expect("truncated");
    refused_by_all(&ring, &["is truncated", &whole.to_string()]);
    file.set_len(100).expect("truncated");
    refused_by_all(&ring, &[]);
    file.set_len(0).expect("truncated");
    refused_by_all(&ring, &[]);
}

#[test]
fn a_file_that_is_no_ring_is_told_and_left_alone() {
    let ring = RingName::new("no-ring");
    std::fs::write(ring.path(), vec![7; 20_000]).expect("written");
    refused_by_all(&ring, &["is no ring"]);
    for force in [&["--force"][..], &[]] {
        run(&[&["rm", ring.as_str()], force].concat()).failed(&["is no ring"]);
    }
    assert_eq!(std::fs::read(ring.path()).expect("still there").len(), 20_000);
}

#[test]
fn a_directory_or_link_of_the_name_is_told() {
    let directory = RingName::new("directory");
    std::fs::create_dir(directory.path()).expect("made");
    refused_by_all(&directory, &["not a regular file"]);
    std::fs::remove_dir(directory.path()).expect("removed");
    let link = RingName::new("link");
    std::os::unix::fs::symlink("/etc/hostname", link.path()).expect("made");
    refused_by_all(&link, &["is a symbolic link"]);
}

#[test]
fn records_past_the_ring_are_refused_before_input_is_read() {
    let ring = RingName::new("too-large");
    let args = ["send", ring.as_str(), "--record", "5000", "--capacity", "8192"];
    // Its stdin is open and empty: had it read, it would wait.
    let mut send = Running::start(&args);
    wait_for("the refusal", || (!send.running()).then_some(()));
    send.finish().failed(&["of 8192 bytes", "at most 4080 bytes", "the 5000 of --record"]);
    assert!(!ring.path().exists(), "nothing is left of a ring that was not wanted");

    // A ring that is there has its own size.
    run_with(&["send", ring.as_str(), "--record", "100", "--capacity", "4096", "--detach"], b"x")
        .succeeded();
    run(&["send", ring.as_str()]).failed(&["of 4096 bytes", "at most 2032 bytes", "65536"]);
    // A size that no memory has is refused by the library, before anything is reserved.
    let absent = RingName::new("too-large-ring");
    for capacity in ["18446744073709551615", "9000000000000000000"] {
        run(&["send", absent.as_str(), "--capacity", capacity]).failed(&[absent.as_str()]);
    }
    assert!(!absent.path().exists());
}

#[test]
fn an_end_has_one_holder() {
    let ring = RingName::new("held");
    let mut send = Running::start(&["send", ring.as_str()]);
    send.write(b"mine");
    let mut recv = Running::start(&["recv", ring.as_str()]);
    assert_eq!(recv.read(4), b"mine");
    for (command, end, holder) in [("send", "producer", send.id()), ("recv", "consumer", recv.id())]
    {
        let holder = format!("a living process holds it, the last to take it was {holder}");
        run(&[command, ring.as_str()]).failed(&[&format!("the {end} end of ring"), &holder]);
    }
    send.finish().succeeded();
    recv.finish().succeeded();
}

#[test]
fn input_and_output_have_to_be_there() {
    let ring = RingName::new("in-out");
    run(&["send", ring.as_str(), "--input", "/no/such/file"])
        .failed(&["open \"/no/such/file\"", "No such file"]);
    run(&["recv", ring.as_str(), "--output", "/no/such/file"])
        .failed(&["open \"/no/such/file\"", "No such file"]);
    run(&["send", ring.as_str(), "--input", "/"]).failed(&["read \"/\"", "directory"]);
    run(&["rm", ring.as_str()]).succeeded();

    run_with(&["send", ring.as_str(), "--detach"], b"kept").succeeded();
    run(&["recv", ring.as_str(), "--output", "/dev/full"]).failed(&[
        "write \"/dev/full\"",
        "No space left",
        "stays in ring",
    ]);
    assert_eq!(run(&["recv", ring.as_str()]).succeeded().stdout, b"kept");
}

/// A command in a mount namespace where /dev/shm is so large; `None` if that is not permitted here.
fn with_small_memory(script: &str) -> Option<crate::program::Done> {
    let flags = if is_root() { "-m" } else { "-rm" };
    let script = format!("mount -t tmpfs -o size=64k tmpfs /dev/shm || exit 77; {script}");
    let command = ["unshare", flags, "sh", "-c", &script];
    let probe = Command::new(command[0]).args([flags, "true"]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        return None;
    }
    let done = Running::start_command(Command::new(command[0]).args(&command[1..])).finish();
    (done.status.code() != Some(77)).then_some(done)
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout == b"0\n")
}

#[test]
fn full_memory_is_an_error_and_leaves_nothing() {
    let send = format!("{EXE} send full; code=$?; ls -A /dev/shm; exit $code");
    let demo = format!("{EXE} demo --frames 5; code=$?; ls -A /dev/shm; exit $code");
    let small = format!(
        "echo hello | {EXE} send small --capacity 16384 --record 1000 --detach && {EXE} recv small"
    );
    let (Some(sent), Some(shown), Some(small)) =
        (with_small_memory(&send), with_small_memory(&demo), with_small_memory(&small))
    else {
        eprintln!(
            "SKIPPED full_memory_is_an_error_and_leaves_nothing: unshare is not permitted here"
        );
        return;
    };
    let sent = sent.failed(&["create ring \"full\"", "No space left on device"]);
    assert!(sent.stdout.is_empty(), "left behind: {}", sent.text());
    let shown = shown.failed(&["create ring", "No space left on device"]);
    assert!(shown.stdout.is_empty(), "left behind: {}", shown.text());
    assert_eq!(small.succeeded().stdout, b"hello\n");
}

#[test]
fn another_users_ring_is_not_ours() {
    let switch = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let probe = Command::new("setpriv").args(switch).arg("true").output();
    if !is_root() || !probe.is_ok_and(|probe| probe.status.success()) {
        eprintln!("SKIPPED another_users_ring_is_not_ours: only root can become another user");
        return;
    }
    let (ring, _file) = detached("permission");
    // That user may not be able to reach the build directory.
    let copy = std::env::temp_dir().join(format!("{}-exe", ring.as_str()));
    // By another process: a child that some other test starts now could inherit our open copy, and a file
    // that is open for writing cannot be run.
    let copied = Command::new("cp").arg(EXE).arg(&copy).status();
    assert!(copied.expect("cp runs").success());
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).expect("allowed");
    for command in ["send", "recv", "stat", "rm"] {
        let mut other = Command::new("setpriv");
        other.args(switch).arg(&copy).args([command, ring.as_str()]);
        let done = Running::start_command(&mut other).finish();
        done.failed(&[ring.as_str(), "Permission denied"]);
    }
    std::fs::remove_file(copy).expect("removed");
    assert_eq!(shared_names(ring.as_str()).len(), 1);
    assert_eq!(run(&["recv", ring.as_str()]).succeeded().stdout, b"some bytes");
}

/// Rust's runtime puts `/dev/null` in the place of a closed stream; records must not vanish there.
#[test]
fn a_closed_stdin_or_stdout_is_told_and_nothing_is_lost() {
    let ring = RingName::new("closed");
    let shell = |script: &str| {
        let script = script.replace("RINGLANE", EXE).replace("RING", ring.as_str());
        Command::new("sh").args(["-c", &script]).output().expect("a shell")
    };
    let refused = shell("RINGLANE send RING <&-");
    assert!(!refused.status.success());
    assert_eq!(String::from_utf8_lossy(&refused.stderr), "ringlane: stdin is closed\n");
    assert!(shell("echo hello | RINGLANE send RING --detach").status.success());
    let refused = shell("RINGLANE recv RING >&-");
    assert!(!refused.status.success());
    assert_eq!(String::from_utf8_lossy(&refused.stderr), "ringlane: stdout is closed\n");
    assert!(shell("RINGLANE recv RING > /dev/null").status.success());
}
