//! Producers and consumers, each a process or a thread of its own, that begin together.

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// A message: its first word says whose it is and the how manieth, and the others follow from that.
pub(crate) type Message<const W: usize> = [u64; W];

/// The first word of what tells a consumer to stop.
const STOP: u64 = u64::MAX;

/// One run: how many of each, and how many messages in all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crew {
    pub(crate) producers: u64,
    pub(crate) consumers: u64,
    pub(crate) messages: u64,
    words: &'static [AtomicU64; 8],
    epoch: Instant,
}

const READY: usize = 0;
const DONE: usize = 1;
const BEGUN: usize = 2;
const ENDED: usize = 3;
const SEEN: usize = 4;

#[inline(always)]
fn message<const W: usize>(first: u64) -> Message<W> {
    std::array::from_fn(|index| first.wrapping_mul(2 * index as u64 + 1))
}

/// Memory of zeroes that all children share. It is never given back.
fn shared<T>() -> &'static T {
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let len = NonZeroUsize::new(size_of::<T>()).expect("not zero");
    // SAFETY: the kernel chooses fresh addresses, so no memory of this process is touched.
    let memory = unsafe { mmap_anonymous(None, len, access, MapFlags::MAP_SHARED) };
    // SAFETY: all that is shared here is atomics, for which zeroes are a value, and less aligned than a page.
    unsafe { memory.expect("memory").cast().as_ref() }
}

/// Two processes on two processors, with something between them, and what came of it.
pub(crate) fn child_pair<T>(
    first: impl FnOnce(&T),
    second: impl FnOnce(&T),
    result: impl FnOnce(&T) -> f64,
) -> f64
where
    T: 'static,
{
    let between: &'static T = shared();
    let children = [
        child(Box::new(move || {
            pin(0);
            first(between);
        })),
        child(Box::new(move || {
            pin(1);
            second(between);
        })),
    ];
    for child in children {
        let ended = waitpid(child, None).expect("wait");
        assert!(matches!(ended, WaitStatus::Exited(_, 0)), "a child ended with {ended:?}");
    }
    result(between)
}

impl Crew {
    pub(crate) fn new(producers: u64, consumers: u64, messages: u64) -> Crew {
        let words = shared();
        let messages = messages / producers * producers;
        Crew { producers, consumers, messages, words, epoch: Instant::now() }
    }

    fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    /// Everybody is here.
    fn meet(&self) {
        let last = self.producers + self.consumers - 1;
        if self.words[READY].fetch_add(1, SeqCst) == last {
            self.words[BEGUN].store(self.now(), SeqCst);
        }
        while self.words[BEGUN].load(SeqCst) == 0 {
            std::thread::yield_now();
        }
    }

    /// One producer's part. The last one to be done tells the consumers to stop.
    pub(crate) fn produce<const W: usize>(&self, id: u64, mut push: impl FnMut(Message<W>)) {
        pin(id);
        self.meet();
        for n in 0..self.messages / self.producers {
            push(message(id << 48 | n));
        }
        if self.words[DONE].fetch_add(1, SeqCst) == self.producers - 1 {
            (0..self.consumers).for_each(|_| push(message(STOP)));
        }
    }

    /// One consumer's part: everything is checked.
    pub(crate) fn consume<const W: usize>(&self, id: u64, mut pop: impl FnMut() -> Message<W>) {
        pin(id + 1);
        self.meet();
        let mut last = [0; 16];
        let mut seen = 0;
        loop {
            let got = pop();
            if got[0] == STOP {
                break;
            }
            assert!(got == message(got[0]), "torn");
            let (whose, n) = ((got[0] >> 48) as usize, got[0] << 16 >> 16);
            assert!(n + 1 > last[whose], "out of order");
            last[whose] = n + 1;
            seen += 1;
        }
        self.words[ENDED].fetch_max(self.now(), SeqCst);
        self.words[SEEN].fetch_add(seen, SeqCst);
    }

    /// Runs a process for each of the parts and says how long it took.
    pub(crate) fn run(&self, parts: Vec<Box<dyn FnOnce() + '_>>) -> Duration {
        self.words.iter().for_each(|word| word.store(0, SeqCst));
        let children: Vec<Pid> = parts.into_iter().map(child).collect();
        for child in children {
            let ended = waitpid(child, None).expect("wait");
            assert!(matches!(ended, WaitStatus::Exited(_, 0)), "a child ended with {ended:?}");
        }
        assert_eq!(self.words[SEEN].load(SeqCst), self.messages, "lost or doubled");
        let [begun, ended] = [BEGUN, ENDED].map(|word| self.words[word].load(SeqCst));
        Duration::from_nanos(ended - begun)
    }
}

fn child(body: Box<dyn FnOnce() + '_>) -> Pid {
    // SAFETY: this process has one thread, so the child finds no lock held and no invariant broken.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            // SAFETY: asks the kernel to end us with our parent; takes no pointer.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
            // SAFETY: ends the process, without the exit handlers that belong to the parent.
            unsafe { libc::_exit(i32::from(done.is_err())) }
        }
    }
}

/// The first producer and the first consumer are on two processors, and so on in turn.
fn pin(id: u64) {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let mut set = CpuSet::new();
    set.set(id as usize % cpus.min(2)).expect("a processor");
    // Where it may not be pinned it is measured all the same.
    let _ = sched_setaffinity(Pid::from_raw(0), &set);
}
