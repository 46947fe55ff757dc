//! Any bytes under a name: opening them is an error, or gives a ring whose every operation ends.
//!
//! The input's first byte says whether the bytes are laid over a valid ring, which gets further.

use super::{SOON, name};
use ringlane::mpmc::{self, Delivery};
use ringlane::{Lifetime, Name, call, inspect, mpmc_record, record, spsc};
use std::os::unix::fs::FileExt;

pub(crate) fn run(input: &[u8]) {
    let name = name("attach");
    let path = format!("/dev/shm/{name}");
    let (how, bytes) = input.split_first().unwrap_or((&0, &[]));
    match how % 8 {
        0 => std::fs::write(&path, bytes).unwrap(),
        kind => {
            if kind == 1 || kind == 5 {
                let mut options = spsc::Queue::<u64>::options();
                let layout = if kind == 1 { spsc::Layout::Slots } else { spsc::Layout::Dense };
                options
                    .capacity(64)
                    .layout(layout)
                    .lifetime(Lifetime::Persistent)
                    .create(&name)
                    .unwrap();
            } else if kind == 6 || kind == 7 {
                let delivery = if kind == 6 { Delivery::AtMostOnce } else { Delivery::AtLeastOnce };
                let mut options = mpmc::Queue::<u64>::options();
                options.capacity(64).delivery(delivery).lifetime(Lifetime::Persistent);
                options.create(&name).unwrap();
            } else if kind == 4 {
                let mut options = call::Cell::<u64, u64>::options();
                options.lifetime(Lifetime::Persistent).create(&name).unwrap();
            } else {
                let mut options = record::Queue::options();
                options.capacity(4096).mirrored(kind == 2).lifetime(Lifetime::Persistent);
                options.create(&name).unwrap();
            }
            // Pairs of an offset, scaled, and a byte: headers and positions are within reach.
            let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
            for patch in bytes.chunks_exact(3) {
                let at = u64::from(u16::from_ne_bytes([patch[0], patch[1]])) % 13_312;
                file.write_all_at(&patch[2..], at).unwrap();
            }
            if how >= &128 {
                mend(&file);
            }
        }
    }
    let _ = inspect::report(&name);
    use_all(&name);
    let _ = inspect::remove(&name, false);
    let _ = std::fs::remove_file(&path);
}

/// Makes the header's hash right, so that its numbers are looked at.
fn mend(file: &std::fs::File) {
    let mut header = [0; 192];
    file.read_exact_at(&mut header, 0).unwrap();
    let check = header.chunks_exact(8).fold(0xcbf2_9ce4_8422_2325, |hash: u64, word| {
        (hash ^ u64::from_ne_bytes(word.try_into().unwrap())).wrapping_mul(0x0100_0000_01b3)
    });
    file.write_all_at(&check.to_ne_bytes(), 192).unwrap();
}

/// Uses what opens under this name.
pub(crate) fn use_all(name: &Name) {
    spsc::Queue::<u64>::open(name).iter().for_each(use_values);
    record::Queue::open(name).iter().for_each(use_records);
    call::Cell::<u64, u64>::open(name).iter().for_each(use_calls);
    mpmc::Queue::<u64>::open(name).iter().for_each(use_many);
    mpmc_record::Queue::open(name).iter().for_each(use_many_records);
}

pub(crate) fn use_values(queue: &spsc::Queue<u64>) {
    if let Ok(mut producer) = queue.producer() {
        for n in 0..70 {
            let _ = producer.try_push(n);
        }
        if let Ok(mut room) = producer.try_reserve(3) {
            room.fill(0..);
            room.commit_len(2);
        }
        let _ = (producer.vacant(), producer.push_timeout(0, SOON), producer.flush(Some(SOON)));
    }
    if let Ok(mut consumer) = queue.consumer() {
        if let Ok(span) = consumer.try_read(usize::MAX) {
            assert!(span.len() <= queue.capacity());
            span.copy_to_slice(&mut vec![0; span.len()]);
            assert_eq!(span.iter().count(), span.len());
            let some = span.len() / 2;
            span.release_len(some);
        }
        for _ in 0..70 {
            let _ = consumer.try_pop();
        }
        let _ = (consumer.depth(), consumer.pop_timeout(SOON));
    }
}

pub(crate) fn use_records(queue: &record::Queue) {
    if let Ok(mut producer) = queue.producer() {
        for len in [0, 1, 100, queue.max_len()] {
            let _ = producer.try_push(&vec![7; len]);
        }
        let _ = producer.flush(Some(SOON));
    }
    if let Ok(mut consumer) = queue.consumer() {
        for _ in 0..10 {
            let _ = consumer.try_pop();
        }
        let _ = (consumer.available(), consumer.read_timeout(SOON).map(|record| record.len()));
    }
}

pub(crate) fn use_calls(cell: &call::Cell<u64, u64>) {
    let (mut caller, mut server) = (cell.caller().ok(), cell.server().ok());
    for n in 0..4 {
        caller.as_mut().map(|c| (c.try_start(n), c.outstanding()));
        server.as_mut().map(|s| (s.try_recv().is_ok(), s.serve_timeout(|n| n, SOON)));
        caller.as_mut().map(|c| c.finish_timeout(SOON));
    }
}

pub(crate) fn use_many(queue: &mpmc::Queue<u64>) {
    let (producer, consumer) = (queue.producer().ok(), queue.consumer().ok());
    if let Some(mut consumer) = consumer {
        // Each takes a slot, and nothing is put in meanwhile.
        let popped = (0..2 * queue.capacity()).take_while(|_| consumer.try_pop().is_ok()).count();
        assert!(popped <= queue.capacity());
        assert!(consumer.available() <= queue.capacity());
        let count = consumer.try_pop_slice(&mut vec![0; 100]).unwrap_or(0);
        assert!(count <= queue.capacity());
        let _ = (consumer.pop_timeout(SOON), consumer.peer());
        let _ = consumer.take_timeout(SOON).map(|taken| taken.is_again());
    }
    if let Some(mut producer) = producer {
        let mut all = 0;
        for n in 0..70 {
            all += usize::from(producer.try_push(n).is_ok());
            let _ = producer.try_reserve().map(|room| room.commit(n));
        }
        assert!(all <= queue.capacity().min(70));
        let _ = (producer.try_push_slice(&[1; 70]), producer.try_reserve().map(drop));
        let _ = (producer.push_timeout(0, SOON), producer.flush(Some(SOON)), producer.peer());
    }
}

pub(crate) fn use_many_records(queue: &mpmc_record::Queue) {
    let (producer, consumer) = (queue.producer().ok(), queue.consumer().ok());
    if let Some(mut consumer) = consumer {
        // Each takes a block at least, and nothing is put in meanwhile.
        let most = queue.capacity() / queue.block();
        let mut popped = 0;
        while let Ok((len, again)) =
            consumer.try_take().map(|taken| (taken.len(), taken.is_again()))
        {
            // What is given back unread comes again, marked.
            popped += usize::from(!again);
            assert!(len <= queue.max_len() && popped <= most);
            if again {
                break;
            }
        }
        for _ in 0..most {
            let Ok(record) = consumer.try_pop() else { break };
            assert!(record.len() <= queue.max_len());
        }
        assert!(consumer.available() <= queue.capacity());
        let _ = (consumer.pop_timeout(SOON), consumer.peer());
    }
    if let Some(mut producer) = producer {
        for len in [0, 1, 100, queue.max_len(), queue.max_len() + 1] {
            let _ = producer.try_push(&vec![7; len]);
            let _ = producer.try_reserve(len).map(|room| room.commit_len(len / 2));
        }
        let _ = (producer.try_reserve(1).map(drop), producer.held_by(), producer.peer());
        let _ = (producer.push_timeout(&[7; 9], SOON), producer.flush(Some(SOON)));
    }
}
