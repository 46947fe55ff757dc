//! Who may redeem: by the kernel's word, at the moment of asking.

use crate::common::{Second, until};
use crate::support::{Child, again, kind, me, memory, open_broker, options, parent, receive, say};
#[cfg(target_os = "linux")]
use crate::support::{become_stranger, byte, is_root, skip};
#[cfg(target_os = "linux")]
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
#[cfg(target_os = "linux")]
use nix::sys::wait::waitpid;
#[cfg(target_os = "linux")]
use nix::unistd::{ForkResult, fork};
#[cfg(target_os = "linux")]
use ringlane::handle::BrokerOptions;
use ringlane::handle::{Access, Broker, Handle, Recipient};
use ringlane::{ErrorKind, Name};
#[cfg(target_os = "linux")]
use std::ffi::CString;
use std::fs::File;
#[cfg(target_os = "linux")]
use std::os::fd::{AsRawFd, OwnedFd};
#[cfg(target_os = "linux")]
use std::time::Duration;

/// The question of who wants to open this handle for reading.
pub(crate) fn question(handle: &Handle) -> Vec<u8> {
    let mut question = b"ringask\x01".to_vec();
    question.extend(1_u32.to_ne_bytes());
    question.extend(0_u32.to_ne_bytes());
    question.extend(&handle.to_bytes()[8..24]);
    question.extend([0; 16]);
    question
}

#[cfg(target_os = "linux")]
pub(crate) fn path_in(handle: &Handle) -> String {
    String::from_utf8(handle.to_bytes()[24..].to_vec()).unwrap()
}

#[cfg(target_os = "linux")]
pub(crate) fn connected(path: &str) -> OwnedFd {
    let socket =
        socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
    connect(socket.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    socket
}

/// How an answer came out: 0 for done, 1 for no such handle.
#[cfg(target_os = "linux")]
pub(crate) fn outcome(socket: &OwnedFd) -> Option<u32> {
    let mut answer = [0; 64];
    let len = nix::unistd::read(socket, &mut answer).unwrap();
    (len == 48).then(|| u32::from_ne_bytes(answer[8..12].try_into().unwrap()))
}

pub(crate) fn part(part: &str, name: &Name) -> bool {
    match part {
        "try what is another's" => {
            let session = parent(name);
            for _ in 0..3 {
                let handle = receive(&session);
                assert_eq!(kind(again(&handle).open(Access::ReadWrite)), ErrorKind::InvalidHandle);
                assert_eq!(kind(again(&handle).delete()), ErrorKind::InvalidHandle);
                // More than it grants is no other question to who may not ask.
                assert_eq!(kind(handle.open(Access::WriteOnly)), ErrorKind::InvalidHandle);
            }
            say(&session, "tried");
        }
        #[cfg(target_os = "linux")]
        "try as a stranger" => {
            let session = parent(name);
            become_stranger();
            let handle = receive(&session);
            assert_eq!(kind(again(&handle).open(Access::ReadOnly)), ErrorKind::PermissionDenied);
            say(&session, "kept out");
            // One that it can ask, and that was made for it.
            let given = receive(&session).open(Access::ReadOnly).unwrap();
            assert_eq!(byte(&given.map().unwrap(), 0), 3);
            say(&session, "let in");
        }
        #[cfg(target_os = "linux")]
        "lend the connection to a child" => {
            let session = parent(name);
            let handle = receive(&session);
            let question = question(&handle);
            // Connected by the recipient, and asked over by its child.
            let socket = connected(&path_in(&handle));
            // SAFETY: the child makes system calls alone, and exits.
            match unsafe { fork() }.unwrap() {
                ForkResult::Child => {
                    let _ = nix::unistd::write(&socket, &question);
                    let mut answer = [0_u8; 64];
                    let len = nix::unistd::read(&socket, &mut answer).unwrap_or(0);
                    // SAFETY: ends the child.
                    unsafe { libc::_exit(i32::from(len == 48 && answer[8] == 1)) };
                }
                ForkResult::Parent { child } => {
                    let status = waitpid(child, None).unwrap();
                    assert!(
                        matches!(status, nix::sys::wait::WaitStatus::Exited(_, 1)),
                        "{status:?}"
                    );
                }
            }
            // Connected by the child, asked over by the recipient: a socket pair brings it.
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            let path = path_in(&handle);
            // SAFETY: as above.
            match unsafe { fork() }.unwrap() {
                ForkResult::Child => {
                    let socket = connected(&path);
                    let numbers = [socket.as_raw_fd()];
                    let rights = [nix::sys::socket::ControlMessage::ScmRights(&numbers)];
                    let parts = [std::io::IoSlice::new(b"!")];
                    let flags = nix::sys::socket::MsgFlags::empty();
                    let _ = nix::sys::socket::sendmsg::<UnixAddr>(
                        theirs.as_raw_fd(),
                        &parts,
                        &rights,
                        flags,
                        None,
                    );
                    // SAFETY: ends the child.
                    unsafe { libc::_exit(0) };
                }
                ForkResult::Parent { child } => {
                    waitpid(child, None).unwrap();
                    let mut byte = [0];
                    let mut parts = [std::io::IoSliceMut::new(&mut byte)];
                    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 1]);
                    let message = nix::sys::socket::recvmsg::<UnixAddr>(
                        ours.as_raw_fd(),
                        &mut parts,
                        Some(&mut space),
                        nix::sys::socket::MsgFlags::empty(),
                    )
                    .unwrap();
                    let rights = message.cmsgs().unwrap().next().unwrap();
                    let nix::sys::socket::ControlMessageOwned::ScmRights(numbers) = rights else {
                        panic!("no descriptor came");
                    };
                    // SAFETY: the kernel has just made it.
                    let socket: OwnedFd =
                        unsafe { std::os::fd::FromRawFd::from_raw_fd(numbers[0]) };
                    nix::unistd::write(&socket, &question).unwrap();
                    assert_eq!(outcome(&socket), Some(1));
                }
            }
            // None of which cost it anything.
            handle.open(Access::ReadOnly).unwrap();
            say(&session, "opened");
        }
        "wait to be ended" => {
            let session = parent(name);
            while session.recv_timeout(crate::support::PATIENCE).unwrap() != b"end" {}
        }
        #[cfg(target_os = "linux")]
        "ask under another's number" => {
            // The handle is in the name's file.
            let bytes = std::fs::read(format!("/tmp/{name}.handle")).unwrap();
            let handle = Handle::from_bytes(&bytes).unwrap();
            assert_eq!(std::fs::read_to_string(format!("/tmp/{name}.pid")).unwrap(), {
                std::process::id().to_string()
            });
            let opened = handle.open_timeout(Access::ReadOnly, Duration::from_secs(30));
            assert_eq!(kind(opened), ErrorKind::InvalidHandle);
            std::fs::write(format!("/tmp/{name}.refused"), b"").unwrap();
        }
        _ => return false,
    }
    true
}

#[test]
fn a_wrong_caller_learns_and_consumes_nothing() {
    let (broker, memory) = (open_broker(), memory());
    let child = Child::start("try what is another's");
    // One that is there, one that was redeemed, one that never was.
    let waiting = broker.create(&memory, &me(), Access::ReadWrite, &options()).unwrap();
    let redeemed = broker.create(&memory, &me(), Access::ReadWrite, &options()).unwrap();
    again(&redeemed).open(Access::ReadOnly).unwrap();
    let mut never = waiting.to_bytes();
    never[8..24].fill(1);
    for bytes in [waiting.to_bytes(), redeemed.to_bytes(), never] {
        child.send(&bytes);
    }
    child.says("tried");
    let counts = broker.counts();
    assert_eq!((counts.waiting, counts.refused, counts.denied), (1, 9, 0));
    waiting.open(Access::ReadWrite).unwrap();
    child.done();
}

#[cfg(target_os = "linux")]
#[test]
fn a_connection_that_is_lent_redeems_nothing() {
    let (broker, memory) = (Broker::start().unwrap(), memory());
    let child = Child::start("lend the connection to a child");
    child.give(&broker, &memory, Access::ReadOnly, &options());
    child.says("opened");
    assert_eq!(broker.counts().refused, 2);
    child.done();
}

#[cfg(target_os = "linux")]
#[test]
fn a_stranger_asks_where_the_mode_lets_it() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let (closed, open, memory) = (Broker::start().unwrap(), open_broker(), memory());
    memory.map().unwrap().write_at(0, &[3]).unwrap();
    let child = Child::start("try as a stranger");
    let first = child.give(&closed, &memory, Access::ReadOnly, &options());
    child.says("kept out");
    // It did not get as far as to spend it.
    closed.delete(first.id()).unwrap();
    child.give(&open, &memory, Access::ReadOnly, &options());
    child.says("let in");
    child.done();
}

#[test]
fn q_16_who_ends_before_redeeming_leaves_nothing() {
    let (broker, memory) = (Broker::start().unwrap(), memory());
    #[cfg(target_os = "linux")]
    let identity = crate::support::identity_of(&memory);
    let child = Child::start("wait to be ended");
    let recipient = child.recipient();
    for _ in 0..3 {
        child.give(&broker, &memory, Access::ReadOnly, &options());
    }
    drop(memory);
    assert_eq!((broker.counts().waiting, broker.counts().recipients), (3, 1));
    child.second.kill();
    until("its handles are gone", || broker.counts().recipients == 0);
    let counts = broker.counts();
    assert_eq!((counts.waiting, counts.orphaned), (0, 3));
    #[cfg(target_os = "linux")]
    until("nothing is left of it", || crate::support::holds(identity) == (0, 0));
    // And it is made no more.
    let late = broker.create(&crate::support::memory(), &recipient, Access::ReadOnly, &options());
    assert_eq!(kind(late), ErrorKind::NotFound);
}

/// A process with this number, which the kernel gives to who may ask for it.
#[cfg(target_os = "linux")]
fn start_as(pid: i32, part: &str, name: &Name) -> Option<nix::unistd::Pid> {
    let program = CString::new(std::env::current_exe().unwrap().to_str().unwrap()).unwrap();
    let arguments = ["test", "--exact", "second_process", "--nocapture"];
    let arguments = arguments.map(|argument| CString::new(argument).unwrap());
    let environment = [
        CString::new(format!("RINGLANE_TEST_PART={part}")).unwrap(),
        CString::new(format!("RINGLANE_TEST_NAME={name}")).unwrap(),
    ];
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(&arguments), pointers(&environment));
    // As in clone(2); `set_tid` is the ninth word.
    let tids = [pid];
    let mut how = [0_u64; 11];
    how[4] = libc::SIGCHLD as u64;
    how[8] = tids.as_ptr() as u64;
    how[9] = 1;
    // SAFETY: it is the structure of clone3(2), without a stack: as fork(2) does.
    let child = unsafe { libc::syscall(libc::SYS_clone3, how.as_ptr(), size_of_val(&how)) };
    if child == 0 {
        // SAFETY: all strings were made before, and end with a NUL; lists end with a null.
        unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
        // SAFETY: ends the child.
        unsafe { libc::_exit(127) };
    }
    (child == libc::c_long::from(pid)).then(|| nix::unistd::Pid::from_raw(pid))
}

#[cfg(target_os = "linux")]
#[test]
fn q_16_another_process_with_the_same_number_cannot_redeem() {
    // Polled, so that it has no chance to notice the death before it is asked.
    let broker = BrokerOptions::new().polled(true).start().unwrap();
    let memory = memory();
    for _ in 0..20 {
        let child = Child::start("wait to be ended");
        let pid = child.second.pid();
        let handle = child.give(&broker, &memory, Access::ReadOnly, &options());
        child.second.kill();
        assert_eq!(broker.counts().waiting, 1, "nobody has looked");
        let name = crate::common::scratch();
        std::fs::write(format!("/tmp/{name}.handle"), handle.to_bytes()).unwrap();
        std::fs::write(format!("/tmp/{name}.pid"), pid.to_string()).unwrap();
        let started = start_as(pid.as_raw(), "ask under another's number", &name);
        let Some(second) = started else {
            let errno = nix::errno::Errno::last();
            std::fs::remove_file(format!("/tmp/{name}.handle")).unwrap();
            std::fs::remove_file(format!("/tmp/{name}.pid")).unwrap();
            broker.try_serve().unwrap();
            if errno == nix::errno::Errno::EEXIST {
                continue; // Somebody else has it by now.
            }
            return skip("this process may not choose the number of a new one");
        };
        let mut status = None;
        until("it was refused", || {
            broker.try_serve().unwrap();
            let flags = nix::sys::wait::WaitPidFlag::WNOHANG;
            status = Some(waitpid(second, Some(flags)).unwrap());
            !matches!(status, Some(nix::sys::wait::WaitStatus::StillAlive))
        });
        let refused = std::fs::remove_file(format!("/tmp/{name}.refused")).is_ok();
        std::fs::remove_file(format!("/tmp/{name}.handle")).unwrap();
        std::fs::remove_file(format!("/tmp/{name}.pid")).unwrap();
        assert!(refused, "{status:?}");
        let counts = broker.counts();
        assert_eq!((counts.waiting, counts.redeemed, counts.refused), (0, 0, 1));
        assert!(counts.orphaned > 0);
        return;
    }
    skip("its number was taken by others, 20 times");
}

#[test]
fn whom_it_is_for_has_to_be_a_living_process() {
    assert_eq!(kind(Recipient::process(0)), ErrorKind::NotFound);
    assert_eq!(kind(Recipient::process(u32::MAX)), ErrorKind::NotFound);
    let file = File::open(std::env::current_exe().unwrap()).unwrap();
    assert_eq!(kind(Recipient::descriptor(file.into())), ErrorKind::InvalidInput);
    let child = Child::start("wait to be ended");
    let process = child.session.peer_process().unwrap();
    let still = process.try_clone().unwrap();
    assert_eq!(Recipient::descriptor(still).unwrap().pid(), child.recipient().pid());
    let second: Second = child.second;
    second.kill();
    assert_eq!(kind(Recipient::descriptor(process)), ErrorKind::NotFound);
}
