//! Who means harm: to the broker, by its socket, and to a recipient, by a broker of its own.

use crate::callers::{connected, outcome, question};
use crate::common::{Second, scratch, slow_to_close, until};
use crate::support::{PATIENCE, again, descriptors, kind, me, memory, options};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, accept, bind,
    listen, sendmsg, socket,
};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use ringlane::handle::{Access, Broker, BrokerOptions, Handle};
use ringlane::{ErrorKind, Name};
use std::io::IoSlice;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

pub(crate) fn part(part: &str, _name: &Name) -> bool {
    match part {
        "run out of descriptors" => run_out(),
        "talk nonsense" => talk_nonsense(),
        _ => return false,
    }
    true
}

/// Says whether the kernel took it: the other side may have hung up, or take no descriptors.
fn send(socket: &OwnedFd, bytes: &[u8], handles: &[RawFd]) -> nix::Result<usize> {
    let rights = [ControlMessage::ScmRights(handles)];
    let rights = if handles.is_empty() { &rights[..0] } else { &rights[..] };
    let parts = [IoSlice::new(bytes)];
    sendmsg(socket.as_raw_fd(), &parts, rights, MsgFlags::MSG_NOSIGNAL, None::<&UnixAddr>)
}

/// Whether this kernel can refuse descriptors for a socket, as from Linux 6.16 on.
fn can_refuse_handles(socket: &OwnedFd) -> bool {
    let (mut value, mut len) = (0_i32, size_of::<i32>() as libc::socklen_t);
    let value = (&raw mut value).cast();
    // SAFETY: the pointers are those of a number and of its length.
    let got =
        unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, 83, value, &raw mut len) };
    got == 0
}

#[test]
fn descriptors_that_are_slow_to_close_hold_nobody_up() {
    use nix::sys::socket::{setsockopt, sockopt::Linger};
    let broker = Broker::start().unwrap();
    for bytes in [&[0; 48][..], &[0; 1]] {
        let (slow, _other) = slow_to_close();
        let socket = connected(&path(&broker));
        if send(&socket, bytes, &[slow.as_raw_fd()]).is_err() {
            // Or it is this test that waits.
            setsockopt(&slow, Linger, &libc::linger { l_onoff: 0, l_linger: 0 }).unwrap();
        }
        // What was sent, the broker closes last.
        drop(slow);
        works(&broker);
    }
}

/// Whether the other side hung up without a word.
fn hung_up(socket: &OwnedFd) -> bool {
    nix::unistd::read(socket, &mut [0; 64]).unwrap_or(0) == 0
}

fn path(broker: &Broker) -> String {
    broker.path().to_str().unwrap().to_owned()
}

fn works(broker: &Broker) {
    let handle = broker.create(&memory(), &me(), Access::ReadOnly, &options()).unwrap();
    handle.open_timeout(Access::ReadOnly, PATIENCE).unwrap();
}

#[test]
fn nonsense_is_turned_away_and_the_broker_lives_on() {
    // In a process of its own, as descriptors are counted.
    assert!(Second::start("talk nonsense", &scratch()).done().success());
}

fn talk_nonsense() {
    let broker = Broker::start().unwrap();
    let memory = memory();
    let handle = broker.create(&memory, &me(), Access::ReadOnly, &options()).unwrap();
    let good = question(&handle);
    let before = descriptors().len();
    let mut random = StdRng::seed_from_u64(7);
    let mut garbage = vec![0; 48];
    random.fill_bytes(&mut garbage);
    let null = std::fs::File::open("/dev/null").unwrap();
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x55;
        bytes
    };
    let mut cases: Vec<(Vec<u8>, Vec<RawFd>)> = vec![
        (garbage, vec![]),
        (good[..47].to_vec(), vec![]),
        (good[..1].to_vec(), vec![]),
        ([&good[..], &[0]].concat(), vec![]),
        ([&good[..], &[0; 100_000]].concat(), vec![]),
        // More descriptors than anybody wants.
        (good.clone(), vec![null.as_raw_fd(); 200]),
        (good.clone(), vec![null.as_raw_fd(); 5]),
    ];
    cases.extend([0, 7, 8, 11, 12, 15].map(|at| (changed(at), vec![])));
    let count = cases.len() as u64;
    for (index, (bytes, handles)) in cases.into_iter().enumerate() {
        let socket = connected(&path(&broker));
        if send(&socket, &bytes, &handles).is_err() {
            // Where the kernel refuses descriptors, nothing was said.
            assert!(!handles.is_empty() && can_refuse_handles(&socket), "case {index}");
            continue;
        }
        assert!(hung_up(&socket), "case {index}");
    }
    until("all were turned away", || broker.counts().turned_away == count);
    // Half of a question, and the other half.
    let socket = connected(&path(&broker));
    send(&socket, &good[..24], &[]).unwrap();
    let _ = send(&socket, &good[24..], &[]);
    assert!(hung_up(&socket));
    drop(socket);
    // A question with a descriptor is a question; the descriptor is nobody's.
    let socket = connected(&path(&broker));
    if send(&socket, &good, &[null.as_raw_fd()]).is_err() {
        send(&socket, &good, &[]).unwrap();
    }
    assert_eq!(outcome(&socket), Some(0));
    assert_eq!(kind(handle.open(Access::ReadOnly)), ErrorKind::InvalidHandle);
    drop(socket);
    until("all is closed", || descriptors().len() <= before);
    works(&broker);
}

#[test]
fn random_questions_do_no_harm() {
    let broker = Broker::start().unwrap();
    let memory = memory();
    let handles: Vec<Handle> = (0..8)
        .map(|_| broker.create(&memory, &me(), Access::ReadWrite, &options()).unwrap())
        .collect();
    let mut random = StdRng::seed_from_u64(11);
    for _ in 0..2000 {
        let mut bytes = question(&handles[random.random_range(0..8)]);
        for _ in 0..random.random_range(0..3) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        bytes.truncate(random.random_range(40..60));
        let socket = connected(&path(&broker));
        let _ = send(&socket, &bytes, &[]);
        if random.random_range(0..2) == 0 {
            let _ = nix::unistd::read(&socket, &mut [0; 64]);
        }
    }
    // Each has come out in one way; some of them have deleted a handle.
    until("all were answered", || {
        let counts = broker.counts();
        let deleted = 8 - counts.waiting as u64 - counts.redeemed - counts.denied;
        counts.turned_away + counts.refused + counts.redeemed + counts.denied + deleted == 2000
    });
    assert!(broker.counts().turned_away > 0 && broker.counts().refused > 0);
    works(&broker);
}

#[test]
fn who_guesses_gets_nothing() {
    let broker = Broker::start().unwrap();
    let memory = memory();
    let handle = broker.create(&memory, &me(), Access::ReadOnly, &options()).unwrap();
    let mut random = StdRng::seed_from_u64(3);
    for _ in 0..2000 {
        let mut guess = handle.to_bytes();
        random.fill_bytes(&mut guess[8..24]);
        let guess = Handle::from_bytes(&guess).unwrap();
        assert_eq!(kind(guess.open(Access::ReadOnly)), ErrorKind::InvalidHandle);
    }
    assert_eq!((broker.counts().refused, broker.counts().waiting), (2000, 1));
    handle.open(Access::ReadOnly).unwrap();
}

#[test]
fn who_says_nothing_and_who_reads_nothing_hold_nobody_up() {
    let patience = Duration::from_millis(50);
    let broker = BrokerOptions::new().patience(patience).start().unwrap();
    // A thousand, in the time in which a few may be silent.
    let silent: Vec<OwnedFd> = (0..1000).map(|_| connected(&path(&broker))).collect();
    works(&broker);
    // And perhaps one of ours, which asked again.
    until("the silent ones are turned away", || broker.counts().turned_away >= 1000);
    assert!(silent.iter().all(hung_up));
    drop(silent);
    // Answers that nobody takes: they are sent, and forgotten.
    let memory = memory();
    let unread: Vec<OwnedFd> = (0..200)
        .map(|_| {
            let handle = broker.create(&memory, &me(), Access::ReadOnly, &options()).unwrap();
            let socket = connected(&path(&broker));
            send(&socket, &question(&handle), &[]).unwrap();
            socket
        })
        .collect();
    until("all were answered", || broker.counts().redeemed == 201);
    works(&broker);
    drop(unread);
    // What was on its way is gone with the sockets.
    let identity = crate::support::identity_of(&memory);
    drop(memory);
    crate::common::until("nothing is left of it", || crate::support::holds(identity) == (0, 0));
}

#[test]
fn who_leaves_before_the_answer_has_spent_the_handle() {
    let broker = BrokerOptions::new().polled(true).start().unwrap();
    let memory = memory();
    let handle = broker.create(&memory, &me(), Access::ReadOnly, &options()).unwrap();
    let revocable =
        broker.create(&memory, &me(), Access::ReadOnly, &crate::support::revocable()).unwrap();
    for handle in [&handle, &revocable] {
        let socket = connected(&path(&broker));
        send(&socket, &question(handle), &[]).unwrap();
    }
    until("both were answered", || {
        broker.try_serve().unwrap();
        broker.counts().waiting == 0
    });
    let counts = broker.counts();
    assert_eq!((counts.redeemed, counts.undelivered, counts.revocable), (2, 2, 0));
}

/// A process that has no descriptor left, and gets by.
fn run_out() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let broker = Broker::start().unwrap();
    let memory = memory();
    let handle = broker.create(&memory, &me(), Access::ReadOnly, &options()).unwrap();
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None);
    let socket = socket.unwrap();
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 64, most).unwrap();
    let mut held = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        held.push(file);
    }
    // Somebody connects, and the broker cannot take it.
    let address = UnixAddr::new(broker.path()).unwrap();
    nix::sys::socket::connect(socket.as_raw_fd(), &address).unwrap();
    let again = |handle: &Handle| again(handle).open(Access::ReadOnly);
    assert_eq!(kind(again(&handle)), ErrorKind::LimitReached);
    // And goes on when there is one again.
    drop(held);
    send(&socket, &question(&handle), &[]).unwrap();
    assert_eq!(outcome(&socket), Some(0));
    works(&broker);
}

#[test]
fn a_broker_without_descriptors_waits_for_some() {
    assert!(Second::start("run out of descriptors", &scratch()).done().success());
}

/// A handle whose broker is ours, and the socket that it listens at.
fn own_broker() -> (Handle, OwnedFd, String) {
    let path = format!("/tmp/{}.false", scratch());
    let listener =
        socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(listener.as_raw_fd(), &UnixAddr::new(path.as_str()).unwrap()).unwrap();
    listen(&listener, Backlog::new(64).unwrap()).unwrap();
    let bytes = [&b"ringhnd\x01"[..], &[7; 16], path.as_bytes()].concat();
    (Handle::from_bytes(&bytes).unwrap(), listener, path)
}

fn answer(outcome: u32, flags: u32, from: u64, len: u64) -> Vec<u8> {
    let mut answer = b"ringans\x01".to_vec();
    answer.extend([outcome, flags].map(u32::to_ne_bytes).concat());
    answer.extend([from, len, 0, 0].map(u64::to_ne_bytes).concat());
    answer
}

#[test]
fn a_false_broker_does_a_recipient_no_harm() {
    let memfd = |size: libc::off_t| {
        let memfd = memfd_create(c"false", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING);
        let memfd = memfd.unwrap();
        nix::unistd::ftruncate(&memfd, size).unwrap();
        memfd
    };
    let (loose, small) = (memfd(8192), memfd(0));
    let null: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    let file: OwnedFd = std::fs::File::open(std::env::current_exe().unwrap()).unwrap().into();
    let anew = format!("/proc/self/fd/{}", loose.as_raw_fd());
    let reader: OwnedFd = std::fs::File::open(anew).unwrap().into();
    let (pipe, _other) = nix::unistd::pipe().unwrap();
    let done = answer(0, 0, 0, 0);
    let long = [done.clone(), vec![0]].concat();
    let wrong = ErrorKind::Corrupt;
    let cases: Vec<(&str, Vec<u8>, Vec<&OwnedFd>, ErrorKind)> = vec![
        ("no memory", done.clone(), vec![], wrong),
        ("two", done.clone(), vec![&loose, &loose], wrong),
        ("very many", done.clone(), vec![&loose; 100], wrong),
        ("short", done[..47].to_vec(), vec![&loose], wrong),
        ("long", long, vec![&loose], wrong),
        ("words", b"no answer at all".to_vec(), vec![&loose], wrong),
        ("unknown", answer(3, 0, 0, 0), vec![&loose], wrong),
        ("flags", answer(0, 4, 0, 0), vec![&loose], wrong),
        ("a device", done.clone(), vec![&null], wrong),
        ("a file", done.clone(), vec![&file], wrong),
        ("a pipe", done.clone(), vec![&pipe], wrong),
        ("read-only", done.clone(), vec![&reader], wrong),
        ("past the end", answer(0, 1, 4096, 8192), vec![&loose], wrong),
        ("past all", answer(0, 1, u64::MAX, 2), vec![&loose], wrong),
        ("no leash", answer(0, 2, 0, 0), vec![&loose], wrong),
        ("a loose leash", answer(0, 2, 0, 0), vec![&loose, &loose], wrong),
        ("a leash of no bytes", answer(0, 2, 0, 0), vec![&loose, &small], wrong),
        ("a device for a leash", answer(0, 2, 0, 0), vec![&loose, &null], wrong),
        ("denied, with memory", answer(2, 0, 0, 0), vec![&loose], ErrorKind::PermissionDenied),
        ("invalid, with memory", answer(1, 0, 0, 0), vec![&loose], ErrorKind::InvalidHandle),
    ];
    for (case, bytes, handles, expected) in cases {
        let (handle, listener, path) = own_broker();
        let asking = std::thread::spawn(move || handle.open_timeout(Access::ReadWrite, PATIENCE));
        // SAFETY: the kernel has just made it.
        let socket = unsafe { OwnedFd::from_raw_fd(accept(listener.as_raw_fd()).unwrap()) };
        let numbers: Vec<RawFd> = handles.iter().map(|handle| handle.as_raw_fd()).collect();
        send(&socket, &bytes, &numbers).unwrap();
        assert_eq!(kind(asking.join().unwrap()), expected, "{case}");
        std::fs::remove_file(path).unwrap();
    }
    // One that is honest.
    let (handle, listener, path) = own_broker();
    let asking = std::thread::spawn(move || handle.open_timeout(Access::ReadWrite, PATIENCE));
    // SAFETY: as above.
    let socket = unsafe { OwnedFd::from_raw_fd(accept(listener.as_raw_fd()).unwrap()) };
    send(&socket, &answer(0, 1, 4096, 4096), &[loose.as_raw_fd()]).unwrap();
    assert_eq!(asking.join().unwrap().unwrap().size().unwrap(), 4096);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_false_broker_that_is_silent_or_hangs_up_is_given_up() {
    let (handle, listener, path) = own_broker();
    // Nobody even accepts.
    let silent = again(&handle).open_timeout(Access::ReadOnly, Duration::from_millis(20));
    assert_eq!(kind(silent), ErrorKind::TimedOut);
    let asking = std::thread::spawn(move || handle.open(Access::ReadOnly));
    // Hangs up as often as it is asked.
    while !asking.is_finished() {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        use std::os::fd::AsFd;
        let mut polled = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        if poll(&mut polled, PollTimeout::from(10_u8)).unwrap() == 1 {
            // SAFETY: the kernel has just made it.
            drop(unsafe { OwnedFd::from_raw_fd(accept(listener.as_raw_fd()).unwrap()) });
        }
    }
    assert_eq!(kind(asking.join().unwrap()), ErrorKind::ConnectionRefused);
    drop(listener);
    let (gone, _listener, other) = own_broker();
    drop(_listener);
    assert_eq!(kind(gone.open(Access::ReadOnly)), ErrorKind::InvalidHandle);
    for path in [path, other] {
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn bytes_that_are_no_handle_are_refused() {
    let broker = Broker::start().unwrap();
    let handle = broker.create(&memory(), &me(), Access::ReadOnly, &options()).unwrap();
    let good = handle.to_bytes();
    assert!(good.len() <= Handle::MAX);
    let mut bad: Vec<Vec<u8>> = (0..25).map(|len| good[..len].to_vec()).collect();
    bad.push([&good[..], &[b'x'; 107]].concat());
    bad.push([&good[..], &[0]].concat());
    bad.extend((0..8).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    }));
    bad.push([&good[..24], b"relative/path"].concat());
    for bytes in bad {
        assert_eq!(kind(Handle::from_bytes(&bytes)), ErrorKind::InvalidHandle, "{bytes:?}");
    }
    // A path to something else.
    for path in ["/dev/null", "/", "/nowhere/at/all"] {
        let odd = Handle::from_bytes(&[&good[..24], path.as_bytes()].concat()).unwrap();
        assert_eq!(kind(odd.open(Access::ReadOnly)), ErrorKind::InvalidHandle, "{path}");
    }
}
