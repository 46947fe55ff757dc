//! Many processes at one name: one creator a generation, no half-made object, nothing left.

use crate::common::page;
use crate::support::{Scratch, Second, kind, read_write, until};
use ringlane::{ErrorKind, Lifetime, Mapping, Name, SharedMemory, record};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};

const PROCESSES: usize = 16;

/// Of which this many remove, and the others make the next generation at the same time.
const REMOVERS: usize = 8;

/// Rounds, unless `RINGLANE_RACE_ROUNDS` says otherwise: 10000 take about a minute on two processors.
const ROUNDS: usize = 500;

const SIZE: u64 = 12_345;

/// What the processes share beside the name that they race for.
#[repr(C)]
struct Board {
    /// The next process's number.
    joined: AtomicUsize,
    rounds: AtomicUsize,
    /// The barrier: how many have come, and how often it has opened.
    came: AtomicUsize,
    opened: AtomicUsize,
    /// In this round: the generation's inode, and who did what.
    first: AtomicUsize,
    second: AtomicUsize,
    created: AtomicUsize,
    created_again: AtomicUsize,
    removed: AtomicUsize,
    unlinked: AtomicUsize,
}

fn board(mapping: &Mapping) -> &Board {
    // SAFETY: the mapping begins at a page, is larger than a board, and all of it is atomics, for which zero
    // is a value.
    unsafe { mapping.as_ptr().cast::<Board>().as_ref() }
}

impl Board {
    /// Waits until all have come here. The last one does something before any goes on.
    fn meet(&self, last: impl FnOnce()) {
        let opened = self.opened.load(Ordering::Acquire);
        if self.came.fetch_add(1, Ordering::AcqRel) + 1 == PROCESSES {
            last();
            self.came.store(0, Ordering::Relaxed);
            self.opened.store(opened + 1, Ordering::Release);
        } else {
            until("all processes come", || self.opened.load(Ordering::Acquire) != opened);
        }
    }
}

fn inode(memory: &SharedMemory) -> usize {
    nix::sys::stat::fstat(memory.as_fd()).unwrap().st_ino as usize
}

fn options(create_new: bool) -> ringlane::OpenOptions {
    let mut options = read_write();
    options.create(true).create_new(create_new).size(SIZE).lifetime(Lifetime::Persistent);
    options
}

/// Whatever was opened or made is whole.
fn whole(memory: &SharedMemory) -> usize {
    assert_eq!(memory.size().unwrap(), SIZE, "half made");
    inode(memory)
}

fn race(board: &Board, name: &Name) {
    let number = board.joined.fetch_add(1, Ordering::Relaxed);
    for round in 0..board.rounds.load(Ordering::Relaxed) {
        // All make the first generation: one succeeds, those who may open get the same.
        board.meet(|| {});
        let mut made = None;
        match (number + round) % 3 {
            0 => match options(true).open(name) {
                Ok(memory) => made = Some(memory),
                Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists),
            },
            1 => made = Some(options(false).open(name).unwrap()),
            _ => match SharedMemory::open(name) {
                Ok(memory) => made = Some(memory),
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
            },
        }
        if let Some(memory) = made.as_ref().filter(|memory| memory.created()) {
            board.created.fetch_add(1, Ordering::Relaxed);
            board.first.store(inode(memory), Ordering::Relaxed);
        }
        board.meet(|| assert_eq!(board.created.load(Ordering::Relaxed), 1, "creators"));
        let first = board.first.load(Ordering::Relaxed);
        if let Some(memory) = &made {
            assert_eq!(whole(memory), first, "two objects of one generation");
        }
        // Half of them remove that object, and no other; the rest make the next as soon as they can.
        let old = SharedMemory::open(name).unwrap();
        assert_eq!(whole(&old), first);
        board.meet(|| {});
        if number < REMOVERS {
            match old.remove() {
                Ok(()) => drop(board.removed.fetch_add(1, Ordering::Relaxed)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
            }
        } else {
            until("the next generation", || {
                let next = options(false).open(name).unwrap();
                if next.created() {
                    board.created_again.fetch_add(1, Ordering::Relaxed);
                    board.second.store(inode(&next), Ordering::Relaxed);
                }
                whole(&next) != first
            });
        }
        board.meet(|| {
            assert_eq!(board.removed.load(Ordering::Relaxed), 1, "removals of one object");
            assert_eq!(board.created_again.load(Ordering::Relaxed), 1, "creators");
        });
        // Nobody meant the second generation when they removed the first.
        let memory = SharedMemory::open(name).expect("the second generation is there");
        assert_eq!(whole(&memory), board.second.load(Ordering::Relaxed));
        board.meet(|| {});
        match SharedMemory::unlink(name) {
            Ok(()) => drop(board.unlinked.fetch_add(1, Ordering::Relaxed)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
        }
        board.meet(|| {
            assert_eq!(board.unlinked.load(Ordering::Relaxed), 1, "unlinks of one name");
            assert_eq!(kind(SharedMemory::open(name)), ErrorKind::NotFound);
            for count in [&board.created, &board.created_again, &board.removed, &board.unlinked] {
                count.store(0, Ordering::Relaxed);
            }
        });
    }
}

/// Rings are made, opened and removed by all at once: whoever opens one finds it whole.
fn race_rings(board: &Board, name: &Name) {
    board.joined.fetch_add(1, Ordering::Relaxed);
    board.meet(|| {});
    for _ in 0..board.rounds.load(Ordering::Relaxed) {
        match record::Queue::create(name, 4096) {
            Ok(queue) => drop(queue.producer().unwrap().push(b"whole")),
            Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists),
        }
        match record::Queue::open(name) {
            Ok(queue) => assert_eq!(queue.capacity(), page()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
        }
    }
}

pub(crate) fn part(part: &str, name: &Name) -> bool {
    let play = match part {
        "race" => race,
        "race with rings" => race_rings,
        _ => return false,
    };
    let mapping = SharedMemory::open(&board_of(name)).unwrap().map().unwrap();
    play(board(&mapping), name);
    true
}

fn board_of(name: &Name) -> Name {
    Name::new(&format!("{name}-board")).unwrap()
}

fn run(part: &str, rounds: usize) {
    let name = Scratch::new();
    let memory = SharedMemory::create(&board_of(&name.0), 4096).unwrap();
    let mapping = memory.map().unwrap();
    board(&mapping).rounds.store(rounds, Ordering::Relaxed);
    let mut racers: Vec<_> = (0..PROCESSES).map(|_| Second::start(part, &name.0)).collect();
    let opened = || board(&mapping).opened.load(Ordering::Relaxed);
    // The watchdog starts anew whenever they have met again.
    let mut ended = 0;
    while ended < PROCESSES {
        let before = opened();
        until("the racers meet or end", || {
            ended = racers.iter_mut().map(|racer| usize::from(racer.has_ended())).sum();
            let failed = racers.iter_mut().any(Second::failed);
            std::thread::sleep(std::time::Duration::from_millis(1));
            failed || ended == PROCESSES || opened() != before
        });
        if let Some(at) = racers.iter_mut().position(Second::failed) {
            racers.swap_remove(at).done();
        }
    }
    assert_eq!(board(&mapping).joined.load(Ordering::Relaxed), PROCESSES);
    racers.into_iter().for_each(Second::done);
    assert!(!name.exists());
}

#[test]
fn sixteen_processes_race_for_one_name() {
    let rounds = std::env::var("RINGLANE_RACE_ROUNDS").ok().and_then(|n| n.parse().ok());
    run("race", rounds.unwrap_or(ROUNDS));
}

#[test]
fn sixteen_processes_race_for_one_ring() {
    run("race with rings", 200);
}

/// Two that only grow an object never take from each other what either was told it has.
#[test]
fn who_grows_an_object_undoes_no_other_growth() {
    let name = Name::new(&format!("ringlane-memory-{}-growth", std::process::id())).unwrap();
    for round in 0..300 {
        let memory = SharedMemory::create(&name, 4096).unwrap();
        let sizes = [8192, 65536].map(|size| {
            let other = SharedMemory::open(&name).unwrap();
            std::thread::spawn(move || match other.set_size(size) {
                Ok(()) => size,
                // The other was first, and larger.
                Err(error) if error.kind() == ErrorKind::InvalidInput => 0,
                Err(error) => panic!("{error}"),
            })
        });
        let largest = sizes.map(|thread| thread.join().unwrap()).into_iter().max();
        assert_eq!(memory.size().ok(), largest, "round {round}");
    }
}
