//! Sockets and descriptors as the kernel has them: what a hostile process has at hand.

use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType,
    UnixAddr, accept, bind, listen, recvmsg, sendmsg, socket,
};
use ringlane::session::Session;
use ringlane::spsc;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

pub(crate) fn bare() -> OwnedFd {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap()
}

/// One that listens at this path, whoever did so before.
pub(crate) fn listener(path: &str) -> OwnedFd {
    let _ = std::fs::remove_file(path);
    let listener = bare();
    bind(listener.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    listen(&listener, Backlog::new(8).unwrap()).unwrap();
    listener
}

/// The next one who connects.
pub(crate) fn accepted(listener: &OwnedFd) -> OwnedFd {
    // SAFETY: the kernel has just made it.
    unsafe { OwnedFd::from_raw_fd(accept(listener.as_raw_fd()).unwrap()) }
}

/// Says whether the kernel took it: the other side may have hung up, have a full queue, or take no descriptors.
pub(crate) fn send(socket: &OwnedFd, bytes: &[u8], handles: &[RawFd]) -> bool {
    let rights = [ControlMessage::ScmRights(handles)];
    let rights = if handles.is_empty() { &rights[..0] } else { &rights[..] };
    let parts = [IoSlice::new(bytes)];
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    sendmsg(socket.as_raw_fd(), &parts, rights, flags, None::<&UnixAddr>).is_ok()
}

/// Takes what there is from the socket, and what comes with it; nothing if there is nothing yet.
pub(crate) fn take(socket: &OwnedFd) -> Option<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = [0; 64];
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let mut space = nix::cmsg_space!([RawFd; 4]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let number = socket.as_raw_fd();
    let mut received = recvmsg::<UnixAddr>(number, &mut parts, Some(&mut space), flags);
    if received.is_err_and(|error| error == nix::Error::ECONNRESET) {
        // The other side had more to hear when it closed. This was told first; what it said comes next.
        received = recvmsg::<UnixAddr>(number, &mut parts, Some(&mut space), flags);
    }
    let message = match received {
        Ok(message) => message,
        Err(nix::Error::EAGAIN) => return None,
        Err(_) => return Some((Vec::new(), Vec::new())),
    };
    let mut handles = Vec::new();
    for control in message.cmsgs().into_iter().flatten() {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            // SAFETY: the kernel has just made them.
            handles.extend(numbers.into_iter().map(|n| unsafe { OwnedFd::from_raw_fd(n) }));
        }
    }
    let len = message.bytes;
    Some((bytes[..len].to_vec(), handles))
}

pub(crate) fn keep(others: &mut Vec<OwnedFd>, handle: OwnedFd) -> RawFd {
    others.push(handle);
    others.last().map_or(-1, AsRawFd::as_raw_fd)
}

/// How many are open.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn names() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    entries.filter_map(|entry| entry.ok()?.path().read_link().ok()).collect()
}

/// Waits until no more are open than were after any input before: a thread may hold on to one for a moment.
pub(crate) fn settle(open: &AtomicUsize) {
    let began = Instant::now();
    loop {
        let now = descriptors();
        if now <= open.fetch_min(now, Relaxed) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "descriptors stay open: {:?}", names());
        std::thread::yield_now();
    }
}

/// Has the library open what it opens once, at the first wait.
pub(crate) fn warm() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let (one, _other) = Session::pair(4096).unwrap();
        let _ = (one.try_read(&mut [0]), one.read_timeout(&mut [0], Duration::from_millis(1)));
        let queue = spsc::Queue::<u64>::private(1).unwrap();
        let (_producer, mut consumer) = (queue.producer().unwrap(), queue.consumer().unwrap());
        let _ = consumer.pop_timeout(Duration::from_millis(1));
    });
}
