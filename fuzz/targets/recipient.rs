//! A broker that is none: any answer, with any descriptors, and then any words in the memory and in the leash at any time.
//! What is no shared memory is refused; of what is, every use ends, and no descriptor stays open.

use super::attach::{use_calls, use_many, use_many_records, use_records, use_values};
use super::bare::{bare, keep, listener, send, settle, warm};
use super::{Value, input, name};
use arbitrary::Arbitrary;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{Shutdown, accept, shutdown};
use nix::sys::stat::Mode;
use ringlane::handle::{Access, Handle};
use ringlane::{MapOptions, Mapping, SharedMemory, call, mpmc, mpmc_record, record, spsc};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

const PAGE: usize = 4096;
/// Longer than any answer takes that comes.
const LATE: Duration = Duration::from_secs(20);
const SILENT: Duration = Duration::from_millis(1);

#[derive(Arbitrary, Debug)]
struct Input {
    /// Bytes that are perhaps a handle.
    handle: Vec<u8>,
    how: u8,
    access: u8,
    sealed_only: bool,
    silent: bool,
    /// So many times it hangs up first.
    hangs_up: u8,
    outcome: u8,
    flags: u8,
    range: (u16, u16),
    changes: Vec<(u8, u8)>,
    len: Option<u8>,
    descriptors: Vec<Descriptor>,
    before: Vec<Write>,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Descriptor {
    Memory {
        pages: u8,
        bytes: u16,
        seals: u8,
        sealable: bool,
    },
    /// As a broker's, of one page, with a word that says that it holds.
    Leash {
        seals: u8,
        word: u8,
    },
    Ring(u8),
    ReadOnly,
    Path,
    Huge,
    Null,
    Pipe,
    Socket,
    Directory,
}

/// Which descriptor, where, what.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Write {
    to: u8,
    at: u16,
    value: Value,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Write(Write),
    /// Only where the leash has the kernel copy.
    Shorten(u8, u16),
    Read(u16, u16),
    Store(u16, u16),
    Map(u16, u16),
    Size,
    Use,
}

/// A false broker: how often it hangs up, and what it says then, if anything, to everybody who comes. The thread ends
/// when nobody can come any more.
fn serve(listener: &OwnedFd, hangs_up: u8, says: Option<(Vec<u8>, Vec<RawFd>)>) {
    let mut questions = 0;
    while let Ok(socket) = accept(listener.as_raw_fd()) {
        // SAFETY: the kernel has just made it.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        questions += 1;
        if questions <= hangs_up {
            continue;
        }
        match &says {
            Some((bytes, handles)) => drop(send(&socket, bytes, handles)),
            // Until the other side gives up.
            None => while nix::unistd::read(&socket, &mut [0; 64]).unwrap_or(0) != 0 {},
        }
    }
}

pub(crate) fn run(bytes: &[u8]) {
    let Some(input) = input::<Input>(bytes) else { return };
    warm();
    if let Ok(handle) = Handle::from_bytes(&input.handle) {
        assert_eq!(handle.to_bytes(), input.handle);
    }
    let given = Given::new(&input);
    let mut answer = b"ringans\x01".to_vec();
    answer.extend(
        [u32::from(input.outcome % 4), u32::from(input.flags % 5)].map(u32::to_ne_bytes).concat(),
    );
    let (from, len) = (usize::from(input.range.0), usize::from(input.range.1));
    answer.extend(
        [from / 8 * PAGE / 8, len / 8 * PAGE / 8].map(|n| (n as u64).to_ne_bytes()).concat(),
    );
    answer.resize(48, 0);
    for (at, change) in &input.changes {
        answer[usize::from(*at) % 48] ^= change;
    }
    answer.resize(input.len.map_or(48, |len| usize::from(len % 60)), 0);
    let hangs_up = if input.hangs_up < 240 { 0 } else { input.hangs_up % 9 };
    let says = (!input.silent).then_some((answer, given.numbers.clone()));
    let path = format!("/tmp/{}.bare", name("recipient"));
    let listener = listener(&path);
    let bytes = [&b"ringhnd\x01"[..], &[7; 16], path.as_bytes()].concat();
    let mut handle = Handle::from_bytes(&bytes).unwrap();
    handle.sealed_only(input.sealed_only);
    let access =
        [Access::ReadOnly, Access::ReadWrite, Access::WriteOnly][usize::from(input.access % 3)];
    let timeout = if input.silent { SILENT } else { LATE };
    let (read, write) = (access != Access::WriteOnly, access != Access::ReadOnly);
    let (mut memory, mut mapping) = (None, None);
    std::thread::scope(|scope| {
        let broker = scope.spawn(|| serve(&listener, hangs_up, says));
        match input.how % 2 {
            0 => memory = handle.open_timeout(access, timeout).ok(),
            _ => {
                let mut options = MapOptions::new();
                mapping = handle.map_timeout(options.read(read).write(write), timeout).ok();
            }
        }
        // Wakes who waits for the next one.
        shutdown(listener.as_raw_fd(), Shutdown::Both).unwrap();
        // The thread itself, not just what it did: or something of it is still there, which would be a leak.
        broker.join().unwrap();
    });
    drop(listener);
    std::fs::remove_file(path).unwrap();
    assert!(!(input.silent && (memory.is_some() || mapping.is_some())));
    let leashed = (input.flags % 5) & 2 != 0 && input.changes.is_empty();
    for step in &input.steps {
        match step {
            Step::Write(write) => given.write(*write),
            Step::Shorten(which, to) => {
                if leashed {
                    given.shorten(*which, *to);
                }
            }
            Step::Read(at, len) => {
                let mut bytes = vec![0; usize::from(*len) % 8192];
                let len = bytes.len();
                mapping.iter().for_each(|mapping| {
                    within(mapping, *at, len, mapping.read_at((*at).into(), &mut bytes))
                });
            }
            Step::Store(at, len) => {
                let bytes = vec![1; usize::from(*len) % 8192];
                mapping.iter().for_each(|mapping| {
                    within(mapping, *at, bytes.len(), mapping.write_at((*at).into(), &bytes))
                });
            }
            Step::Map(from, len) => {
                if let Some(memory) = &memory {
                    let mut options = MapOptions::new();
                    options.read(read).write(write);
                    if *from != 0 {
                        options.offset(u64::from(from / 16) * 4096).length((*len).into());
                    }
                    mapping = options.map(memory).ok();
                }
            }
            Step::Size => {
                let _ = memory
                    .as_ref()
                    .map(|memory| (memory.size(), memory.is_revoked(), memory.is_size_sealed()));
                let _ = mapping.as_ref().map(|mapping| (mapping.len(), mapping.is_revoked()));
            }
            // Rings of what can be shortened are not to be used: that is what `sealed_only` is for.
            Step::Use => {
                if !leashed && let Some(memory) = memory.take() {
                    use_as(memory, input.how / 2);
                }
            }
        }
    }
    drop((memory, mapping, given));
    static OPEN: AtomicUsize = AtomicUsize::new(usize::MAX);
    settle(&OPEN);
}

/// Nothing is read or written past the end.
fn within(mapping: &Mapping, at: u16, len: usize, done: ringlane::Result<()>) {
    assert!(done.is_err() || usize::from(at) + len <= mapping.len());
}

fn use_as(memory: SharedMemory, kind: u8) {
    match kind % 5 {
        0 => spsc::Queue::<u64>::options().attach(memory).iter().for_each(use_values),
        1 => record::Queue::options().attach(memory).iter().for_each(use_records),
        2 => call::Cell::<u64, u64>::options().attach(memory).iter().for_each(use_calls),
        3 => mpmc::Queue::<u64>::options().attach(memory).iter().for_each(use_many),
        _ => mpmc_record::Queue::options().attach(memory).iter().for_each(use_many_records),
    }
}

/// What goes with the answer.
#[derive(Default)]
struct Given {
    numbers: Vec<RawFd>,
    others: Vec<OwnedFd>,
    /// Of a ring: the library's own.
    rings: Vec<Box<dyn Send>>,
    /// What can be written to, which of the descriptors it is, and whether it can be shortened.
    memories: Vec<std::fs::File>,
}

impl Given {
    fn new(input: &Input) -> Given {
        let mut given = Given::default();
        for descriptor in input.descriptors.iter().take(5) {
            let number = given.make(descriptor, input.how / 2);
            given.numbers.push(number);
        }
        input.before.iter().for_each(|write| given.write(*write));
        given
    }

    fn make(&mut self, descriptor: &Descriptor, kind: u8) -> RawFd {
        match descriptor {
            Descriptor::Memory { pages, bytes, seals, sealable } => {
                let bytes = usize::from(pages % 5) * PAGE + usize::from(*bytes) % PAGE;
                self.memory(bytes, i32::from(*seals), *sealable, &[])
            }
            Descriptor::Leash { seals, word } => {
                // Mostly as it is to be.
                let seals = if *seals < 128 { 0x1f } else { i32::from(*seals) };
                self.memory(PAGE, seals, true, &u32::from(word % 4 != 0).to_ne_bytes())
            }
            Descriptor::Ring(n) => self.ring(n % 2 == 0, kind),
            Descriptor::ReadOnly => {
                let number = self.memory(2 * PAGE, 0x1f, true, &[]);
                keep(
                    &mut self.others,
                    std::fs::File::open(format!("/proc/self/fd/{number}")).unwrap().into(),
                )
            }
            Descriptor::Path => {
                let path = format!("/proc/self/fd/{}", self.memory(2 * PAGE, 0x1f, true, &[]));
                let path = nix::fcntl::open(path.as_str(), OFlag::O_PATH, Mode::empty()).unwrap();
                keep(&mut self.others, path)
            }
            Descriptor::Huge => match memfd_create(c"fuzz", MFdFlags::MFD_HUGETLB) {
                Ok(huge) => keep(&mut self.others, huge),
                Err(_) => keep(&mut self.others, bare()),
            },
            Descriptor::Null => {
                keep(&mut self.others, std::fs::File::open("/dev/null").unwrap().into())
            }
            Descriptor::Directory => {
                keep(&mut self.others, std::fs::File::open("/tmp").unwrap().into())
            }
            Descriptor::Pipe => keep(&mut self.others, nix::unistd::pipe().unwrap().0),
            Descriptor::Socket => keep(&mut self.others, bare()),
        }
    }

    fn memory(&mut self, bytes: usize, seals: i32, sealable: bool, text: &[u8]) -> RawFd {
        let mut flags = MFdFlags::MFD_CLOEXEC;
        if sealable {
            flags |= MFdFlags::MFD_ALLOW_SEALING;
        }
        let memory = memfd_create(c"fuzz", flags).unwrap();
        nix::unistd::ftruncate(&memory, bytes as _).unwrap();
        let file = std::fs::File::from(memory);
        file.write_all_at(text, 0).unwrap();
        // Not against writers: what is to be rewritten is written through this.
        let seals = SealFlag::from_bits_truncate(seals & !8);
        let _ = fcntl(&file, FcntlArg::F_ADD_SEALS(seals));
        let number = file.as_raw_fd();
        self.memories.push(file);
        number
    }

    fn ring(&mut self, empty: bool, kind: u8) -> RawFd {
        let (ring, handle): (Box<dyn Send>, OwnedFd) = match kind % 5 {
            0 => {
                let ring = spsc::Queue::<u64>::private(64).unwrap();
                let _ = empty || ring.producer().unwrap().try_push(7).is_ok();
                let handle = ring.memory().as_fd().try_clone_to_owned().unwrap();
                (Box::new(ring), handle)
            }
            1 => {
                let ring = record::Queue::private(4096).unwrap();
                let _ = empty || ring.producer().unwrap().try_push(b"seven").is_ok();
                let handle = ring.memory().as_fd().try_clone_to_owned().unwrap();
                (Box::new(ring), handle)
            }
            2 => {
                let cell = call::Cell::<u64, u64>::private().unwrap();
                let _ = empty || cell.caller().unwrap().try_start(7).is_ok();
                let handle = cell.memory().as_fd().try_clone_to_owned().unwrap();
                (Box::new(cell), handle)
            }
            3 => {
                let ring = mpmc::Queue::<u64>::private(64).unwrap();
                let _ = empty || ring.producer().unwrap().try_push(7).is_ok();
                let handle = ring.memory().as_fd().try_clone_to_owned().unwrap();
                (Box::new(ring), handle)
            }
            _ => {
                let ring = mpmc_record::Queue::private(4096).unwrap();
                let _ = empty || ring.producer().unwrap().try_push(b"seven").is_ok();
                let handle = ring.memory().as_fd().try_clone_to_owned().unwrap();
                (Box::new(ring), handle)
            }
        };
        self.rings.push(ring);
        self.memories.push(handle.into());
        self.memories.last().map_or(-1, AsRawFd::as_raw_fd)
    }

    fn picked(&self, which: u8) -> Option<&std::fs::File> {
        self.memories.get(usize::from(which) % self.memories.len().max(1))
    }

    /// Only within what is there, so that it grows no memory.
    fn write(&self, write: Write) {
        let Some(memory) = self.picked(write.to) else { return };
        let at = u64::from(write.at % 1700) * 8;
        let size = memory.metadata().unwrap().len();
        if at + 8 <= size {
            let _ = memory.write_all_at(&write.value.number().to_ne_bytes(), at);
        }
    }

    fn shorten(&self, which: u8, to: u16) {
        let Some(memory) = self.picked(which) else { return };
        // What is sealed stays as it is; the leash is, or was refused.
        let _ = memory.set_len(u64::from(to) % memory.metadata().unwrap().len().max(1));
    }
}
