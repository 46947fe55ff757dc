//! Peers that do what they like: a client, or a server, made of bare sockets and memory.

use crate::common::{Second, page, scratch, slow_to_close, until};
use crate::support::{Task, accept, connected, service, sleeper};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType,
    UnixAddr, accept as accept_socket, bind, connect, listen, recvmsg, sendmsg, socket,
};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use ringlane::session::{Server, ServerOptions, ServiceName, Session};
use ringlane::{Peer, SessionError, Wait};
use std::io::{IoSlice, IoSliceMut};
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Bytes of a greeting.
const HELLO: usize = 40;

/// Bytes of a ring.
fn ring() -> usize {
    page()
}
const SHORT: Duration = Duration::from_millis(5);

pub(crate) fn part(part: &str, name: &ServiceName) -> bool {
    match part {
        "stream numbers until killed" => {
            let session = Session::connect(name).unwrap();
            for n in 0_u64.. {
                session.write_all(&n.to_ne_bytes()).unwrap();
            }
        }
        "serve until killed" => {
            let server = Server::bind(name).unwrap();
            let _sessions: Vec<Session> = (0..3).map(|_| server.accept().unwrap()).collect();
            loop {
                std::thread::park();
            }
        }
        "take descriptors that nobody asked for" => take_descriptors(name),
        _ => return false,
    }
    true
}

fn seqpacket() -> OwnedFd {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap()
}

fn receive(socket: &OwnedFd) -> (Vec<u8>, Vec<OwnedFd>) {
    let mut bytes = [0; 64];
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let mut space = nix::cmsg_space!([RawFd; 4]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message =
        recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags).unwrap();
    let mut handles = Vec::new();
    for control in message.cmsgs().unwrap() {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            // SAFETY: the kernel has just made them.
            handles.extend(numbers.into_iter().map(|n| unsafe { OwnedFd::from_raw_fd(n) }));
        }
    }
    let len = message.bytes;
    (bytes[..len].to_vec(), handles)
}

fn send(socket: &OwnedFd, bytes: &[u8], handles: &[&OwnedFd]) {
    let numbers: Vec<RawFd> = handles.iter().map(|handle| handle.as_raw_fd()).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let rights = if numbers.is_empty() { &rights[..0] } else { &rights[..] };
    let parts = [IoSlice::new(bytes)];
    sendmsg(socket.as_raw_fd(), &parts, rights, MsgFlags::MSG_NOSIGNAL, None::<&UnixAddr>).unwrap();
}

/// A socket that listens at a path of its own, and the name for it.
fn bare_listener() -> (OwnedFd, ServiceName) {
    let path = format!("/tmp/{}.bare", scratch());
    let listener = seqpacket();
    bind(listener.as_raw_fd(), &UnixAddr::new(path.as_str()).unwrap()).unwrap();
    listen(&listener, Backlog::new(8).unwrap()).unwrap();
    (listener, ServiceName::native(path).unwrap())
}

fn bare_accept(listener: &OwnedFd) -> OwnedFd {
    // SAFETY: the kernel has just made it.
    unsafe { OwnedFd::from_raw_fd(accept_socket(listener.as_raw_fd()).unwrap()) }
}

/// A client of the library and the bare server that it connected to, which has its greeting.
fn client_of_a_bare_server() -> (Session, OwnedFd, Vec<u8>, OwnedFd) {
    let (listener, name) = bare_listener();
    let mut options = ringlane::session::ConnectOptions::new();
    let client = options.outgoing(ring()).incoming(ring()).connect(&name).unwrap();
    std::fs::remove_file(name.to_string()).unwrap();
    let socket = bare_accept(&listener);
    let (hello, mut handles) = receive(&socket);
    assert_eq!((hello.len(), handles.len()), (HELLO, 1));
    (client, socket, hello, handles.remove(0))
}

/// The greeting that this library sends for rings of [`ring`] bytes.
fn hello() -> Vec<u8> {
    static HELLO: OnceLock<Vec<u8>> = OnceLock::new();
    HELLO.get_or_init(|| client_of_a_bare_server().2).clone()
}

const ALL: SealFlag = SealFlag::F_SEAL_SHRINK
    .union(SealFlag::F_SEAL_GROW)
    .union(SealFlag::F_SEAL_FUTURE_WRITE)
    .union(SealFlag::F_SEAL_SEAL);

fn memfd(bytes: usize) -> OwnedFd {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let handle = memfd_create(c"hostile", flags).unwrap();
    nix::unistd::ftruncate(&handle, bytes as libc::off_t).unwrap();
    handle
}

/// Memory that a hostile side keeps the right to write to.
struct Memory {
    at: NonNull<AtomicU64>,
    handle: OwnedFd,
}

// SAFETY: all access is by atomics.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    fn new() -> Memory {
        let handle = memfd(page() + ring());
        let (len, access) = (
            NonZeroUsize::new(page() + ring()).unwrap(),
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
        );
        // SAFETY: fresh addresses.
        let at = unsafe { mmap(None, len, access, MapFlags::MAP_SHARED, &handle, 0) }.unwrap();
        fcntl(&handle, FcntlArg::F_ADD_SEALS(ALL)).unwrap();
        Memory { at: at.cast(), handle }
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset < page() + ring() && offset.is_multiple_of(8));
        // SAFETY: within the mapping.
        let at = unsafe { self.at.byte_add(offset) };
        // SAFETY: `self` keeps it.
        unsafe { at.as_ref() }
    }

    fn half(&self, offset: usize) -> &AtomicU32 {
        assert!(offset < page() + ring() && offset.is_multiple_of(4));
        // SAFETY: as above.
        let at = unsafe { self.at.byte_add(offset) }.cast();
        // SAFETY: as above.
        unsafe { at.as_ref() }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, and nobody has a reference.
        unsafe { munmap(self.at.cast(), page() + ring()) }.unwrap();
    }
}

fn bare_connect(server: &Server) -> OwnedFd {
    let socket = seqpacket();
    connect(socket.as_raw_fd(), &UnixAddr::new(server.path()).unwrap()).unwrap();
    socket
}

/// A bare client with a session at this server, its memory, and the server's.
fn bare_client(server: &Server) -> (OwnedFd, Memory, OwnedFd, Session) {
    let socket = bare_connect(server);
    let memory = Memory::new();
    send(&socket, &hello(), &[&memory.handle]);
    let session = server.accept().unwrap();
    let (answer, mut handles) = receive(&socket);
    assert_eq!((answer.len(), handles.len()), (HELLO, 1));
    (socket, memory, handles.remove(0), session)
}

fn works(server: &Server, name: &ServiceName) {
    let client = Session::connect(name).unwrap();
    client.write_all(b"!").unwrap();
    let session = server.accept().unwrap();
    session.read_exact(&mut [0]).unwrap();
}

#[test]
fn v_13_nonsense_is_turned_away_and_the_server_lives_on() {
    let name = service(&scratch());
    let server = Server::bind(&name).unwrap();
    let good = hello();
    let sealed = |bytes: usize| {
        let handle = memfd(bytes);
        fcntl(&handle, FcntlArg::F_ADD_SEALS(ALL)).unwrap();
        handle
    };
    let right = sealed(page() + ring());
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x5a;
        bytes
    };
    let mut random = vec![0; HELLO];
    StdRng::seed_from_u64(1).fill_bytes(&mut random);
    let mut sizes = vec![];
    for (out, back) in
        [(0_u64, 4096_u64), (4097, 4096), (u64::MAX, 4096), (4096, 0), (4096, 1 << 62)]
    {
        let mut bytes = good.clone();
        bytes[24..32].copy_from_slice(&out.to_ne_bytes());
        bytes[32..40].copy_from_slice(&back.to_ne_bytes());
        sizes.push(bytes);
    }
    let some_seals = |seals: SealFlag| {
        let handle = memfd(page() + ring());
        fcntl(&handle, FcntlArg::F_ADD_SEALS(seals)).unwrap();
        handle
    };
    let path = format!("/dev/shm/{}", scratch());
    let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path);
    let file: OwnedFd = file.unwrap().into();
    std::fs::remove_file(path).unwrap();
    nix::unistd::ftruncate(&file, (page() + ring()) as libc::off_t).unwrap();
    let null: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    let (pipe, _other) = nix::unistd::pipe().unwrap();
    let unsealed = memfd(page() + ring());
    let path = format!("/proc/self/fd/{}", unsealed.as_raw_fd());
    let read_only: OwnedFd = std::fs::File::open(path).unwrap().into();
    let long = [good.clone(), vec![0; 100]].concat();
    let (small, large) = (sealed(page()), sealed(page() + 2 * ring()));
    let shrinks = some_seals(SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_FUTURE_WRITE);
    let writable = some_seals(SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK);
    let mut cases: Vec<(&str, &[u8], Vec<&OwnedFd>)> = vec![
        ("random bytes", &random, vec![&right]),
        ("too short", &good[..HELLO - 1], vec![&right]),
        ("too long", &long, vec![&right]),
        ("no memory", &good, vec![]),
        ("too much memory", &good, vec![&right, &right]),
        ("far too much", &good, vec![&right; 100]),
        ("unsealed", &good, vec![&unsealed]),
        ("it can shrink", &good, vec![&shrinks]),
        ("others may write", &good, vec![&writable]),
        ("too small", &good, vec![&small]),
        ("too large", &good, vec![&large]),
        ("a file with a name", &good, vec![&file]),
        ("a device", &good, vec![&null]),
        ("a pipe", &good, vec![&pipe]),
        ("unsealed and read-only", &good, vec![&read_only]),
    ];
    let changed = [0, 8, 12, 16].map(changed);
    cases.extend(changed.iter().map(|bytes| ("another version", &bytes[..], vec![&right])));
    cases.extend(sizes.iter().map(|bytes| ("odd sizes", &bytes[..], vec![&right])));
    let count = cases.len() as u64;
    for (index, (case, bytes, handles)) in cases.into_iter().enumerate() {
        let socket = bare_connect(&server);
        send(&socket, bytes, &handles);
        assert!(server.try_accept().unwrap().is_none(), "{case}");
        assert_eq!(server.turned_away(), index as u64 + 1, "{case}");
        let mut end = [0; 8];
        assert_eq!(nix::unistd::read(&socket, &mut end).unwrap_or(0), 0, "{case}");
    }
    // And the same memory with the right words is welcome.
    let (_socket, _memory, _theirs, _session) = bare_client(&server);
    works(&server, &name);
    assert_eq!(server.turned_away(), count);
}

/// A message with more descriptors than there is room for comes without some of them. Those that did come must not
/// stay open, or a peer could use up the limit of the process.
#[test]
fn v_13_descriptors_that_nobody_asked_for_are_closed() {
    let part = "take descriptors that nobody asked for";
    assert!(Second::start(part, &scratch()).done().success());
}

/// In a process of its own: other tests open descriptors, too.
fn take_descriptors(name: &ServiceName) {
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let server = Server::bind(name).unwrap();
    let null: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    let (good, memory) = (hello(), Memory::new());
    let (socket, _memory, theirs, session) = bare_client(&server);
    let (client, answering, _, _) = client_of_a_bare_server();
    let _ = (session.arm_read(), client.arm_read());
    let before = open();
    for count in [1, 2, 3, 4, 5, 6, 100, 250] {
        let handles = vec![&null; count];
        // Before there is a session, where a byte is due that rings, and for an answer.
        let other = bare_connect(&server);
        send(&other, &good, &[&[&memory.handle], &handles[..]].concat());
        assert!(server.try_accept().unwrap().is_none());
        drop(other);
        send(&socket, &[1], &handles);
        assert!(!session.arm_read().unwrap());
        assert_eq!(open(), before, "{count} descriptors");
    }
    send(&answering, &good, &[&null; 9]);
    assert_eq!(client.try_read(&mut [0]), Err(SessionError::BrokenPipe { done: 0 }));
    drop((answering, client));
    assert!(open() < before);
    drop(theirs);
}

#[test]
fn v_13_who_says_nothing_holds_nobody_up() {
    let name = service(&scratch());
    let patience = Duration::from_millis(50);
    let server = ServerOptions::new().patience(patience).bind(&name).unwrap();
    let silent: Vec<OwnedFd> = (0..100).map(|_| bare_connect(&server)).collect();
    works(&server, &name);
    until("the silent ones are turned away", || {
        assert!(server.accept_timeout(SHORT).unwrap().is_none());
        server.turned_away() == 100
    });
    drop(silent);
    works(&server, &name);
}

#[test]
fn descriptors_that_are_slow_to_close_hold_nobody_up() {
    let name = service(&scratch());
    let server = Server::bind(&name).unwrap();
    for bytes in [&hello()[..], b"?"] {
        let (slow, _other) = slow_to_close();
        let client = bare_connect(&server);
        send(&client, bytes, &[&slow]);
        // What was sent, the server closes last.
        drop(slow);
        works(&server, &name);
    }
}

#[test]
fn times_that_no_clock_can_tell_are_for_ever() {
    let name = service(&scratch());
    let server = ServerOptions::new().patience(Duration::MAX).bind(&name).unwrap();
    let silent = bare_connect(&server);
    assert!(server.accept_timeout(SHORT).unwrap().is_none());
    works(&server, &name);
    assert_eq!(server.turned_away(), 0);
    drop(silent);
}

#[test]
fn a_client_s_server_can_talk_nonsense_too() {
    let good = hello();
    for case in 0..4 {
        let (client, socket, _, _) = client_of_a_bare_server();
        client.write_all(b"early").unwrap();
        let memory = Memory::new();
        match case {
            0 => send(&socket, b"?", &[]),
            1 => send(&socket, &good, &[]),
            2 => send(&socket, &good, &[&memfd(page() + ring())]),
            _ => drop(socket),
        }
        assert_eq!(client.read(&mut [0]), Err(SessionError::BrokenPipe { done: 0 }), "{case}");
        assert_eq!(client.write(&[0]), Err(SessionError::BrokenPipe { done: 0 }), "{case}");
        drop(memory);
    }
    // A server with the right words is a session.
    let (client, socket, _, _) = client_of_a_bare_server();
    let memory = Memory::new();
    send(&socket, &good, &[&memory.handle]);
    assert_eq!(client.peer(), Peer::Alive);
    assert_eq!(client.try_read(&mut [0]), Err(SessionError::WouldBlock));
}

/// All that a session can do, none of which may panic, or take long.
fn exercise(session: &Session, random: &mut StdRng) {
    let mut buffer = [0; 300];
    let len = random.random_range(0..300);
    match random.random_range(0..13) {
        0 => drop(session.try_read(&mut buffer[..len])),
        1 => drop(session.read_timeout(&mut buffer[..len], SHORT)),
        2 => drop(session.read_exact_timeout(&mut buffer[..len], SHORT)),
        3 => drop(session.try_write(&buffer[..len])),
        4 => drop(session.write_all_timeout(&buffer[..len], SHORT)),
        5 => drop(session.flush_timeout(SHORT)),
        6 => drop(session.wait_readable(Some(SHORT))),
        7 => drop(session.try_send(&buffer[..len])),
        8 => drop(session.try_recv()),
        9 => drop(session.recv_timeout(SHORT)),
        10 => drop(session.arm_read()),
        11 => drop(session.arm_write()),
        _ => drop(session.peer()),
    }
}

#[test]
fn z_01_scribbled_positions_and_headers_do_no_harm() {
    let name = service(&scratch());
    let server = Server::bind(&name).unwrap();
    let mut corrupt = 0;
    // Where the ring is larger, or the processor slow, what is read is hit more rarely.
    for seed in 0..1000 {
        if seed >= 40 && corrupt > 0 {
            break;
        }
        let mut random = StdRng::seed_from_u64(seed);
        let (_socket, memory, _theirs, session) = bare_client(&server);
        session.set_wait(if seed % 2 == 0 { Wait::Park } else { Wait::default() }).unwrap();
        let (memory, stop) = (Arc::new(memory), Arc::new(AtomicBool::new(false)));
        let scribble = {
            let (memory, stop) = (Arc::clone(&memory), Arc::clone(&stop));
            let mut random = StdRng::seed_from_u64(seed + 1000);
            Task::run(move || {
                while !stop.load(Ordering::Relaxed) {
                    let value = match random.random_range(0..4) {
                        0 => random.random(),
                        1 => random.random_range(0..2 * ring() as u64),
                        // What looks like a header.
                        2 => random.random_range(0..64) << 8 | 1,
                        _ => u64::MAX - random.random_range(0..10_u64),
                    };
                    let offset = match random.random_range(0..4) {
                        0 => 1024 + 8 * random.random_range(0..32),
                        1 => 2048 + 8 * random.random_range(0..32),
                        _ => page() + 8 * random.random_range(0..ring() / 8),
                    };
                    memory.word(offset).store(value, Ordering::Relaxed);
                }
            })
        };
        for _ in 0..100 {
            exercise(&session, &mut random);
            if session.try_read(&mut [0; 8]) == Err(SessionError::Corrupt) {
                corrupt += 1;
            }
        }
        stop.store(true, Ordering::Relaxed);
        scribble.done();
        session.close();
    }
    assert!(corrupt > 0, "nothing was noticed in any of the runs");
    works(&server, &name);
}

#[test]
fn z_03_the_other_side_s_memory_cannot_be_changed() {
    let name = service(&scratch());
    let server = Server::bind(&name).unwrap();
    let (_socket, _memory, theirs, session) = bare_client(&server);
    let len = NonZeroUsize::new(page() + ring()).unwrap();
    let write = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    assert_eq!(nix::unistd::ftruncate(&theirs, 0), Err(Errno::EPERM));
    assert_eq!(nix::unistd::ftruncate(&theirs, 1 << 20), Err(Errno::EPERM));
    let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    assert_eq!(fallocate(&theirs, hole, 0, page() as libc::off_t), Err(Errno::EPERM));
    assert_eq!(nix::unistd::write(&theirs, b"!"), Err(Errno::EPERM));
    // SAFETY: fresh addresses, if any.
    let mapped = unsafe { mmap(None, len, write, MapFlags::MAP_SHARED, &theirs, 0) };
    assert_eq!(mapped, Err(Errno::EPERM));
    let path = format!("/proc/self/fd/{}", theirs.as_raw_fd());
    let again: OwnedFd =
        std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap().into();
    assert_eq!(nix::unistd::write(&again, b"!"), Err(Errno::EPERM));
    // SAFETY: as above.
    let mapped = unsafe { mmap(None, len, write, MapFlags::MAP_SHARED, &again, 0) };
    assert_eq!(mapped, Err(Errno::EPERM));
    let more = FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE);
    assert_eq!(fcntl(&theirs, more), Err(Errno::EPERM));
    // SAFETY: as above.
    let at =
        unsafe { mmap(None, len, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, &theirs, 0) }.unwrap();
    // SAFETY: the mapping is ours.
    let raised = unsafe { nix::sys::mman::mprotect(at, len.get(), write) };
    assert_eq!(raised, Err(Errno::EACCES));
    // SAFETY: the mapping is ours.
    unsafe { munmap(at, len.get()) }.unwrap();
    session.write_all(b"still").unwrap();
}

/// Of a part: the gate comes 128 bytes behind the position.
const SLEEP: usize = 128;
const EPOCH: usize = 132;
const DOORBELL: usize = 156;

#[test]
fn z_04_who_never_wakes_us_costs_no_more_than_the_time() {
    let name = service(&scratch());
    let server = Server::bind(&name).unwrap();
    let (_socket, memory, _theirs, session) = bare_client(&server);
    for value in [0, 1, u32::MAX] {
        for part in [1024, 2048] {
            memory.half(part + SLEEP).store(value, Ordering::Relaxed);
            memory.half(part + EPOCH).store(value, Ordering::Relaxed);
        }
        let began = Instant::now();
        assert_eq!(session.wait_readable(Some(SHORT)), Err(SessionError::TimedOut { done: 0 }));
        assert!(began.elapsed() >= SHORT);
    }
    // Waiting for it is no work, either.
    let cpu = || nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    session.set_wait(Wait::Park).unwrap();
    let before = Duration::from(cpu());
    let time = Duration::from_millis(400);
    assert!(session.wait_readable(Some(time)).is_err());
    assert!(Duration::from(cpu()) - before < time / 4, "it did not sleep");
}

#[test]
fn z_04_who_is_rung_and_never_listens_holds_nobody_up() {
    let name = service(&scratch());
    let server = Server::bind(&name).unwrap();
    let (_socket, memory, _theirs, session) = bare_client(&server);
    memory.half(2048 + DOORBELL).store(1, Ordering::Relaxed);
    let mut full = false;
    for sleep in 0..5000_u32 {
        memory.half(2048 + SLEEP).store(2 * sleep + 1, Ordering::Relaxed);
        let tail = memory.word(2048);
        if session.try_write(b"ring").is_err() {
            // It takes everything, and leaves the rings where they are.
            full = true;
            tail.store(tail.load(Ordering::Relaxed), Ordering::Relaxed);
            break;
        }
    }
    assert!(full);
    assert_eq!(session.try_write(b"ring"), Err(SessionError::WouldBlock));
    works(&server, &name);
}

#[test]
fn z_04_a_stopped_peer_is_no_dead_one() {
    use nix::sys::signal::{Signal, kill};
    let name = scratch();
    let server = Server::bind(&service(&name)).unwrap();
    let mut second = Second::start("stream numbers until killed", &name);
    let session = accept(&server, &mut second);
    session.read_exact(&mut [0; 8]).unwrap();
    kill(second.pid(), Signal::SIGSTOP).unwrap();
    let mut buffer = [0; 4096];
    until("everything that was there is read", || {
        session.read_timeout(&mut buffer, Duration::from_millis(100))
            == Err(SessionError::TimedOut { done: 0 })
    });
    assert_eq!(session.peer(), Peer::Alive);
    kill(second.pid(), Signal::SIGCONT).unwrap();
    session.read_exact(&mut buffer[..8]).unwrap();
    second.kill();
}

#[test]
fn z_05_whenever_a_peer_is_killed_what_was_read_is_a_prefix() {
    let kills = if std::env::var_os("RINGLANE_SOAK_SECONDS").is_some() { 1000 } else { 60 };
    let mut random = StdRng::seed_from_u64(5);
    for round in 0..kills {
        let name = scratch();
        let server = Server::bind(&service(&name)).unwrap();
        let mut second = Second::start("stream numbers until killed", &name);
        let session = accept(&server, &mut second);
        let most = random.random_range(0..20_000_u64);
        let mut number = [0; 8];
        for n in 0..most {
            session.read_exact(&mut number).unwrap();
            assert_eq!(u64::from_ne_bytes(number), n);
        }
        let session = if round % 2 == 0 {
            // It is killed while we read,
            let task = Task::run(move || {
                for n in most.. {
                    let mut number = [0; 8];
                    match session.read_exact(&mut number) {
                        Ok(()) => assert_eq!(u64::from_ne_bytes(number), n),
                        Err(error) => return (session, error),
                    }
                }
                unreachable!()
            });
            second.kill();
            let (session, error) = task.done();
            assert!(matches!(error, SessionError::BrokenPipe { done: 0 }), "{error:?}");
            session
        } else {
            // or while it waits for us.
            second.kill();
            for n in most.. {
                match session.read_exact(&mut number) {
                    Ok(()) => assert_eq!(u64::from_ne_bytes(number), n),
                    Err(error) => {
                        assert!(matches!(error, SessionError::BrokenPipe { done: 0 }));
                        break;
                    }
                }
            }
            session
        };
        assert_eq!(session.write(&[0]), Err(SessionError::BrokenPipe { done: 0 }));
    }
}

#[test]
fn z_06_a_killed_server_leaves_no_memory_behind() {
    let name = scratch();
    let named = || {
        std::fs::read_dir("/dev/shm")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|entry| entry.starts_with(name.as_str()))
            .count()
    };
    let second = Second::start("serve until killed", &name);
    let mut clients = Vec::new();
    until("the server is there", || {
        clients.extend(Session::connect(&service(&name)));
        clients.len() == 3
    });
    until("it has accepted", || clients.iter().all(|client| client.peer() == Peer::Alive));
    let waiting = clients[0].clone();
    let task = sleeper(move || waiting.read(&mut [0]));
    second.kill();
    assert_eq!(task.done(), Err(SessionError::BrokenPipe { done: 0 }));
    for client in &clients {
        assert_eq!(client.read(&mut [0]), Err(SessionError::BrokenPipe { done: 0 }));
    }
    assert_eq!(named(), 0);
    // Its name is free.
    Server::bind(&service(&name)).unwrap();
}

#[test]
fn one_bad_peer_harms_no_other_session() {
    let name = service(&scratch());
    let server = Server::bind(&name).unwrap();
    let good = Session::connect(&name).unwrap();
    let session = server.accept().unwrap();
    let (socket, memory, _theirs, bad) = bare_client(&server);
    for offset in (1024..page() + ring()).step_by(8) {
        memory.word(offset).store(u64::MAX, Ordering::Relaxed);
    }
    let mut random = StdRng::seed_from_u64(3);
    for _ in 0..20 {
        exercise(&bad, &mut random);
        good.write_all(b"good").unwrap();
        let mut text = [0; 4];
        session.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"good");
    }
    drop((socket, memory));
    let (client, _other) = connected(ring());
    drop(client);
    assert_eq!(session.peer(), Peer::Alive);
}
