//! Two processes exchange random records with random pauses, by every operation there is, and both keep the sums:
//! for 5 seconds, or as many as `RINGLANE_SOAK_SECONDS` says.
#![cfg(not(loom))]

mod common;

use common::{Second, part, scratch};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use ringlane::record::{Consumer, Producer, Queue};
use ringlane::{Name, PopError, Wait};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// Nothing that anybody waits for takes as long as this; a machine may stop both processes for a while.
const STALL: Duration = Duration::from_secs(180);

/// A record's number and the checksum of all of it.
const HEAD: usize = 16;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    records: u64,
    bytes: u64,
    hash: u64,
}

fn hash(number: u64, body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (number, body).hash(&mut hasher);
    hasher.finish()
}

impl Sums {
    /// The next record to send.
    fn make(&mut self, random: &mut StdRng, len: usize) -> Vec<u8> {
        let mut record = vec![0; HEAD + len];
        random.fill_bytes(&mut record[HEAD..]);
        let sum = hash(self.records, &record[HEAD..]);
        record[..8].copy_from_slice(&self.records.to_ne_bytes());
        record[8..HEAD].copy_from_slice(&sum.to_ne_bytes());
        self.add(&record, sum);
        record
    }

    /// A record that came.
    fn check(&mut self, record: &[u8]) {
        let word = |at: usize| u64::from_ne_bytes(record[at..at + 8].try_into().unwrap());
        assert_eq!(word(0), self.records, "a record is lost, or came twice");
        let sum = hash(self.records, &record[HEAD..]);
        assert_eq!(word(8), sum, "record {} is not what was sent", self.records);
        self.add(record, sum);
    }

    fn add(&mut self, record: &[u8], sum: u64) {
        self.records += 1;
        self.bytes += record.len() as u64;
        self.hash = self.hash.rotate_left(1) ^ sum;
    }

    fn to_record(self) -> Vec<u8> {
        [self.records, self.bytes, self.hash].map(u64::to_ne_bytes).concat()
    }
}

fn seconds() -> u64 {
    std::env::var("RINGLANE_SOAK_SECONDS").map_or(5, |text| text.parse().expect("a number"))
}

fn pause(random: &mut StdRng) {
    let most = match random.random_range(0..5000) {
        0 => 200_000,
        1..100 => 3000,
        _ => return,
    };
    std::thread::sleep(Duration::from_micros(random.random_range(0..most)));
}

fn any_wait(random: &mut StdRng) -> Wait {
    [Wait::SpinThenPark, Wait::Park, Wait::Yield, Wait::Spin][random.random_range(0..4)]
}

fn any_len(random: &mut StdRng, most: usize) -> usize {
    match random.random_range(0..10) {
        0 => random.random_range(0..=most - HEAD),
        1..3 => random.random_range(0..2000.min(most - HEAD)),
        _ => random.random_range(0..100),
    }
}

fn send(mut producer: Producer, most: usize, seed: u64) -> Sums {
    let mut random = StdRng::seed_from_u64(seed);
    let until = Instant::now() + Duration::from_secs(seconds());
    let mut sums = Sums::default();
    while Instant::now() < until {
        pause(&mut random);
        if random.random_range(0..100) == 0 {
            producer.set_wait(any_wait(&mut random));
        }
        let len = any_len(&mut random, most);
        match random.random_range(0..10) {
            0 => drop(producer.reserve_timeout(len, STALL).expect("no stall")),
            1..3 => {
                let record = sums.make(&mut random, len);
                let room = most.min(record.len() + 50);
                let mut room = producer.reserve_timeout(room, STALL).expect("no stall");
                room.write_at(HEAD, &record[HEAD..]);
                room.write_at(0, &record[..HEAD]);
                room.commit_len(record.len());
            }
            3..5 => {
                let mut batch = producer.batch();
                for _ in 0..random.random_range(0..10) {
                    let len = any_len(&mut random, most / 10);
                    let record = sums.make(&mut random, len);
                    batch.push_timeout(&record, STALL).expect("no stall");
                }
                batch.commit();
            }
            _ => {
                let record = sums.make(&mut random, len);
                producer.push_timeout(&record, STALL).expect("no stall");
            }
        }
    }
    // Nothing else is empty.
    producer.push_timeout(b"", STALL).expect("no stall");
    producer.push_timeout(&sums.to_record(), STALL).expect("no stall");
    producer.flush(Some(STALL)).expect("no stall");
    sums
}

fn receive(mut consumer: Consumer, seed: u64) -> Sums {
    let mut random = StdRng::seed_from_u64(seed);
    let mut sums = Sums::default();
    loop {
        pause(&mut random);
        if random.random_range(0..100) == 0 {
            consumer.set_wait(any_wait(&mut random));
        }
        let many = if random.random() { 1 } else { random.random_range(1..20) };
        let records = consumer.read_many_timeout(many, STALL).expect("no stall");
        let take = random.random_range(1..=records.len());
        let last = records.iter().take(take).position(|record| record.is_empty());
        let take = last.unwrap_or(take);
        let whole: Vec<Vec<u8>> = records.iter().take(take).map(|record| record.to_vec()).collect();
        whole.iter().for_each(|record| sums.check(record));
        records.release_first(take);
        if last.is_some() {
            break;
        }
        if random.random_range(0..10) == 0 {
            // One more, in two pieces.
            let record = consumer.read_timeout(STALL).expect("no stall");
            if record.is_empty() {
                break;
            }
            let whole = record.to_vec();
            sums.check(&whole);
            let first = random.random_range(0..=whole.len());
            record.release_bytes(first);
            if first < whole.len() {
                assert_eq!(consumer.try_peek(0).expect("the rest").to_vec(), &whole[first..]);
                consumer.try_read().expect("the rest").release();
            }
        }
    }
    assert!(consumer.pop().expect("the last one").is_empty());
    let theirs = consumer.pop_timeout(STALL).expect("no stall");
    assert_eq!(theirs, sums.to_record(), "both sides count and add up alike");
    assert_eq!(consumer.pop_timeout(STALL), Err(PopError::Closed));
    sums
}

/// Sends and receives; what was sent, and what came.
fn exchange(to: &Queue, from: &Queue, seed: u64) -> (Sums, Sums) {
    let (producer, most) = (to.producer().unwrap(), to.max_len());
    let mut consumer = from.consumer().unwrap();
    assert!(consumer.wait_peer(Some(STALL)), "nobody came");
    std::thread::scope(|scope| {
        let sender = scope.spawn(move || send(producer, most, seed));
        let came = receive(consumer, seed + 1);
        (sender.join().expect("the sender"), came)
    })
}

fn names(name: &Name) -> [Name; 2] {
    ["to", "back"].map(|way| Name::new(&format!("{name}-{way}")).unwrap())
}

/// Where the second process comes in. As a test of its own it does nothing.
#[test]
fn second_process() {
    let Some((_, name)) = part() else { return };
    let [to, back] = names(&name).map(|name| Queue::open(&name).unwrap());
    exchange(&back, &to, 3);
}

#[test]
fn two_processes_lose_nothing_and_never_stall() {
    let name = scratch();
    let [to, back] = names(&name);
    let to = Queue::options().capacity(1 << 17).create(&to).unwrap();
    let back = Queue::options().capacity(1 << 14).align(64).mirrored(false).create(&back).unwrap();
    let second = Second::start("exchange", &name);
    let (sent, came) = exchange(&to, &back, 1);
    assert!(second.done().success(), "the second process failed");
    let show = |sums: Sums| format!("{} records, {} MB", sums.records, sums.bytes / 1_000_000);
    println!("soak: {} s: {} there, {} back; all sums agree", seconds(), show(sent), show(came));
    assert!(sent.records > 100 && came.records > 100, "{sent:?} {came:?}");
}
