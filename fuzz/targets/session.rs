//! The other side of a session, made of a bare socket and bare memory: any greeting, any descriptor, and then any
//! words at any time. What is no greeting is turned away; what is one is a session whose every call ends.

use super::bare::{accepted, bare, keep, listener, send, settle, take, warm};
use super::{SOON, Value, input, name};
use arbitrary::Arbitrary;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::socket::{UnixAddr, connect};
use ringlane::session::{ConnectOptions, Server, ServiceName, Session};
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Pages of the memory that this side passes, at most.
const PAGES: usize = 4;
const PAGE: usize = 4096;

#[derive(Arbitrary, Debug)]
struct Input {
    /// Whether the library connects to us, rather than we to it.
    serves: bool,
    /// Changes to the greeting: where, and how.
    greeting: Vec<(u8, u8)>,
    /// Bytes of the greeting that are sent, if not all.
    cut: Option<u8>,
    descriptors: Vec<Descriptor>,
    /// What the memory holds before anybody looks.
    before: Vec<Write>,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Descriptor {
    /// As it should be: with two pages and all seals.
    Right,
    Memory {
        pages: u8,
        bytes: u16,
        seals: u8,
        sealable: bool,
    },
    ReadOnly,
    Null,
    Pipe,
    Socket,
    Directory,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Write {
    at: u16,
    value: Value,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Write(Write),
    /// A message on the socket: so many bytes, so many descriptors.
    Ring(u8, u8),
    HangUp,
    Read(u16),
    ReadExact(u16),
    WriteAll(u16),
    TryWrite(u16),
    Send(u16),
    Recv,
    Flush,
    Readable,
    ArmRead,
    ArmWrite,
    Peer,
    Cancel,
    Split,
}

/// Memory of ours that the library maps for reading.
struct Memory {
    at: NonNull<c_void>,
    handle: OwnedFd,
}

impl Memory {
    fn new(bytes: usize, seals: SealFlag, sealable: bool) -> Memory {
        let mut flags = MFdFlags::MFD_CLOEXEC;
        if sealable {
            flags |= MFdFlags::MFD_ALLOW_SEALING;
        }
        let handle = memfd_create(c"fuzz", flags).unwrap();
        nix::unistd::ftruncate(&handle, bytes as _).unwrap();
        let len = NonZeroUsize::new(PAGES * PAGE).unwrap();
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: fresh addresses.
        let at = unsafe { mmap(None, len, access, MapFlags::MAP_SHARED, &handle, 0) }.unwrap();
        let _ = fcntl(&handle, FcntlArg::F_ADD_SEALS(seals));
        Memory { at, handle }
    }

    /// Only within what is there: elsewhere it would be this process that the kernel ends.
    fn write(&self, write: Write, bytes: usize) {
        let at = usize::from(write.at);
        let at = match at % 4 {
            0 => 1024 + at / 4 % 32 * 8,
            1 => 2048 + at / 4 % 32 * 8,
            _ => PAGE + at / 4 % 512 * 8,
        };
        if at + 8 <= bytes.min(PAGES * PAGE) {
            // SAFETY: within the mapping, and within the object.
            let word = unsafe { self.at.byte_add(at).cast::<AtomicU64>() };
            // SAFETY: aligned, and all access is by atomics.
            unsafe { word.as_ref() }.store(write.value.number(), Relaxed);
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`.
        unsafe { munmap(self.at, PAGES * PAGE) }.unwrap();
    }
}

const ALL: SealFlag = SealFlag::F_SEAL_SHRINK
    .union(SealFlag::F_SEAL_GROW)
    .union(SealFlag::F_SEAL_FUTURE_WRITE)
    .union(SealFlag::F_SEAL_SEAL);

/// A listener of ours, its name, and the greeting of a client with rings of a page.
struct Stand {
    listener: OwnedFd,
    name: ServiceName,
    server: Server,
    greeting: Vec<u8>,
}

fn stand() -> &'static Stand {
    static STAND: OnceLock<Stand> = OnceLock::new();
    STAND.get_or_init(|| {
        let path = format!("/tmp/{}.bare", name("session"));
        let listener = listener(&path);
        let name = ServiceName::native(path).unwrap();
        let client = client(&name);
        let socket = accepted(&listener);
        let (greeting, _) = take(&socket).unwrap();
        assert_eq!(greeting.len(), 40);
        drop(client);
        let own = ServiceName::native(format!("{name}.server")).unwrap();
        let _ = std::fs::remove_file(own.to_string());
        let server = Server::bind(&own).unwrap();
        warm();
        Stand { listener, name, server, greeting }
    })
}

fn client(name: &ServiceName) -> Session {
    ConnectOptions::new().outgoing(PAGE).incoming(PAGE).connect(name).unwrap()
}

pub(crate) fn run(bytes: &[u8]) {
    let Some(input) = input::<Input>(bytes) else { return };
    // One at a time: it is one listener, and one count of descriptors.
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let stand = stand();
    one(stand, &input);
    static OPEN: AtomicUsize = AtomicUsize::new(usize::MAX);
    settle(&OPEN);
}

fn one(stand: &Stand, input: &Input) {
    let mut greeting = stand.greeting.clone();
    for (at, change) in &input.greeting {
        greeting[usize::from(*at) % 40] ^= change;
    }
    greeting.truncate(input.cut.map_or(40, |cut| usize::from(cut % 41)));
    if input.cut.is_some_and(|cut| cut > 200) {
        greeting.resize(60, 0);
    }
    let mut memories: Vec<(Memory, usize)> = Vec::new();
    let mut others: Vec<OwnedFd> = Vec::new();
    let mut handles = Vec::new();
    for descriptor in input.descriptors.iter().take(6) {
        let mut memory = |bytes: usize, seals, sealable| {
            let memory = Memory::new(bytes, seals, sealable);
            input.before.iter().for_each(|write| memory.write(*write, bytes));
            let number = memory.handle.as_raw_fd();
            memories.push((memory, bytes));
            number
        };
        let number = match descriptor {
            Descriptor::Right => memory(2 * PAGE, ALL, true),
            Descriptor::Memory { pages, bytes, seals, sealable } => {
                let bytes = usize::from(pages % 5) * PAGE + usize::from(*bytes) % PAGE;
                let some = SealFlag::from_bits_truncate(i32::from(*seals));
                memory(bytes, some, *sealable)
            }
            Descriptor::ReadOnly => {
                let number = memory(2 * PAGE, ALL, true);
                let path = format!("/proc/self/fd/{number}");
                others.extend(std::fs::File::open(path).map(OwnedFd::from));
                others.last().map_or(number, AsRawFd::as_raw_fd)
            }
            Descriptor::Null => keep(&mut others, std::fs::File::open("/dev/null").unwrap().into()),
            Descriptor::Directory => keep(&mut others, std::fs::File::open("/tmp").unwrap().into()),
            Descriptor::Pipe => keep(&mut others, nix::unistd::pipe().unwrap().0),
            Descriptor::Socket => keep(&mut others, bare()),
        };
        handles.push(number);
    }
    let (socket, session) = if input.serves {
        let client = client(&stand.name);
        let socket = accepted(&stand.listener);
        drop(take(&socket));
        send(&socket, &greeting, &handles);
        (socket, client)
    } else {
        let socket = bare();
        connect(socket.as_raw_fd(), &UnixAddr::new(stand.server.path()).unwrap()).unwrap();
        send(&socket, &greeting, &handles);
        let turned_away = stand.server.turned_away();
        let Some(session) = stand.server.try_accept().unwrap() else {
            // Nonsense was noticed at once; what was not sent at all may still come.
            drop(socket);
            let _ = stand.server.try_accept();
            assert!(stand.server.turned_away() > turned_away);
            return;
        };
        drop(take(&socket));
        (socket, session)
    };
    let mut socket = Some(socket);
    let mut buffer = vec![0; 8192];
    for step in &input.steps {
        match step {
            Step::Write(write) => {
                memories.iter().for_each(|(memory, bytes)| memory.write(*write, *bytes));
            }
            Step::Ring(bytes, count) => {
                let count = handles.len().min((count % 4).into());
                if let Some(socket) = &socket {
                    send(socket, &vec![1; (*bytes).into()], &handles[..count]);
                }
            }
            Step::HangUp => drop(socket.take()),
            Step::Read(len) => {
                let len = usize::from(len % 8192);
                let read = session.try_read(&mut buffer[..len]).unwrap_or(0);
                assert!(read <= len.min(PAGE));
            }
            Step::ReadExact(len) => {
                let len = usize::from(len % 8192);
                let _ = session.read_exact_timeout(&mut buffer[..len], SOON);
            }
            Step::WriteAll(len) => {
                let _ = session.write_all_timeout(&buffer[..usize::from(len % 8192)], SOON);
            }
            Step::TryWrite(len) => {
                let len = usize::from(len % 8192);
                let written = session.try_write(&buffer[..len]).unwrap_or(0);
                assert!(written <= len.min(PAGE));
            }
            Step::Send(len) => {
                let _ = session.try_send(&buffer[..usize::from(len % 8192)]);
            }
            Step::Recv => {
                let message = session.recv_timeout(SOON).unwrap_or_default();
                assert!(message.len() <= PAGE / 2);
            }
            Step::Flush => drop(session.flush_timeout(SOON)),
            Step::Readable => drop(session.wait_readable(Some(SOON))),
            Step::ArmRead => drop(session.arm_read()),
            Step::ArmWrite => drop(session.arm_write()),
            Step::Peer => drop((session.peer(), session.peer_pid(), session.longest_message())),
            Step::Cancel => session.cancel(),
            Step::Split => {
                let (reader, writer) = session.clone().split();
                let _ = (reader.session().try_read(&mut [0]), writer.session().try_write(&[0]));
            }
        }
    }
}
