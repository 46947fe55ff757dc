//! Very many handles, of which half are redeemed, some by processes that die: nothing is left of them.

use crate::common::{Second, page, scratch, until};
use crate::support::{Child, PATIENCE, descriptors, memory, parent, say};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use ringlane::handle::{Access, BrokerOptions, Handle, HandleOptions, Revoke};
use ringlane::{MapOptions, Name};
use std::time::{Duration, Instant};

/// So many of a process's handles are sent in one message.
const AT_ONCE: usize = 100;

pub(crate) fn part(part: &str, name: &Name) -> bool {
    if let Some(total) = part.strip_prefix("storm ") {
        storm(total.parse().unwrap());
        return true;
    }
    let Some(left) = part.strip_prefix("redeem ") else { return false };
    let mut left: usize = left.parse().unwrap();
    let session = parent(name);
    say(&session, "ready");
    loop {
        let message = session.recv_timeout(PATIENCE).unwrap();
        if message == b"end" {
            return true;
        }
        // Each is its length and its bytes.
        let mut rest = &message[..];
        while let Some((len, more)) = rest.split_first().filter(|_| left > 0) {
            let (bytes, more) = more.split_at(usize::from(*len));
            rest = more;
            let handle = Handle::from_bytes(bytes).unwrap();
            let mapping = handle.map(MapOptions::new().read(true)).unwrap();
            mapping.read_at(0, &mut [0; 8]).unwrap();
            left -= 1;
            if left == 0 {
                say(&session, "redeemed");
            }
        }
    }
}

/// Mappings of memory without a name, of which handles are made.
fn mapped() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("/memfd:ringlane leash")).count()
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// In a process of its own, so that nothing else opens and closes.
fn storm(total: usize) {
    const EACH: usize = 1000;
    let broker = BrokerOptions::new().most_handles(2 * EACH).start().unwrap();
    let mut random = StdRng::seed_from_u64(total as u64);
    // What a process has once, for all sessions and handles that it will ever have.
    let child = Child::start("redeem 0");
    child.says("ready");
    // It sleeps, so that the thread that watches is there.
    child.session.recv_timeout(Duration::from_millis(5)).unwrap_err();
    child.send(b"end");
    child.done();
    let (began, before) = (Instant::now(), (descriptors().len(), mapped(), resident()));
    let (mut redeemed, mut killed, mut peak) = (0, 0, 0);
    let (each, workers) = (EACH.min(total / 10), (total / EACH).max(10));
    for worker in 0..workers {
        // Every tenth dies in the middle of it; the others redeem half of what they get.
        let dies = worker % 10 == 9;
        let child = Child::start(&format!("redeem {}", each / 2));
        child.says("ready");
        let recipient = child.recipient();
        let objects: Vec<_> = (0..10).map(|_| memory()).collect();
        let mut sent = Vec::new();
        let mut handles = Vec::new();
        for n in 0..each {
            let mut options = HandleOptions::new();
            options.revocable(n % 20 == 0).no_descriptor(n % 3 == 0);
            if n % 7 == 0 {
                options.expires_in(Duration::from_secs(3600));
            }
            if n % 5 == 0 {
                let page = page() as u64;
                options.range(page..2 * page);
            }
            let handle =
                broker.create(&objects[n % 10], &recipient, Access::ReadOnly, &options).unwrap();
            let bytes = handle.to_bytes();
            sent.push(u8::try_from(bytes.len()).unwrap());
            sent.extend(bytes);
            handles.push(handle.id());
            if (n + 1) % AT_ONCE == 0 || n + 1 == each {
                child.send(&sent);
                sent.clear();
            }
        }
        drop(objects);
        peak = peak.max(descriptors().len());
        if dies {
            let enough = redeemed + random.random_range(0..each as u64 / 2);
            until("it has redeemed some", || broker.counts().redeemed >= enough);
            child.second.kill();
            killed += 1;
            until("all of it is gone", || broker.counts().recipients == 0);
        } else {
            child.says("redeemed");
            assert_eq!(broker.counts().redeemed, redeemed + each as u64 / 2);
            match worker % 3 {
                // Deleted one by one, revoked at once, or left to the recipient's end.
                0 => handles.into_iter().for_each(|id| drop(broker.delete(id))),
                1 => drop(broker.revoke(&recipient, Revoke::Cooperative).unwrap()),
                _ => {}
            }
            child.send(b"end");
            child.done();
            drop(recipient);
            until("all of it is gone", || broker.counts().recipients == 0);
        }
        let counts = broker.counts();
        assert_eq!((counts.waiting, counts.revocable), (0, 0));
        redeemed = counts.redeemed;
    }
    // The broker may not have looked yet at the last client's end.
    until("the last connection is closed", || descriptors().len() <= before.0);
    let after = (descriptors().len(), mapped(), resident());
    println!(
        "{} handles to {workers} processes, {killed} of them killed: {redeemed} redeemed, {} gone with their \
         recipients, {} undelivered, in {:.1} s; descriptors {} before, at most {peak}, {} after; leashes mapped {} \
         before, {} after; resident {} KiB before, {} KiB after",
        each * workers,
        broker.counts().orphaned,
        broker.counts().undelivered,
        began.elapsed().as_secs_f64(),
        before.0,
        after.0,
        before.1,
        after.1,
        before.2,
        after.2,
    );
    assert_eq!((after.0, after.1), (before.0, before.1));
    drop(broker);
}

#[test]
fn of_very_many_handles_nothing_is_left() {
    // `ci/handles.sh` runs a hundred thousand.
    let total = std::env::var("RINGLANE_HANDLES").ok().and_then(|n| n.parse().ok());
    let total = total.unwrap_or(2000);
    let second = Second::start(&format!("storm {total}"), &scratch());
    assert!(second.done_within(Duration::from_secs(600)).success());
}
