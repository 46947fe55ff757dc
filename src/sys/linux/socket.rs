//! Sockets in the file system: where sessions meet, and what tells each side of the other's end.
#![allow(unsafe_code, reason = "system calls")]

use super::super::{Credentials, Identity, Received};
use super::object::lock_within;
use super::turn::Turn;
use super::{Handle, Listener, Process, effective_user, failed, mark_of};
use crate::error::{Error, ErrorKind, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::socket::sockopt::{Linger, PassCred, PeerCredentials, PeerPidfd, SendTimeout};
use nix::sys::socket::{AddressFamily, Shutdown, SockFlag, SockType, UnixAddr, UnixCredentials};
use nix::sys::stat::Mode;
use nix::sys::time::TimeVal;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often the lock that orders those who bind in a directory is tried, a millisecond apart.
const LOCK_TRIES: u32 = 1000;

/// The kernel closes descriptors that come with a message beyond this number; no message here has more than two.
const MOST_HANDLES: usize = 4;

fn socket() -> Result<Handle> {
    let (kind, flags) = (SockType::SeqPacket, SockFlag::SOCK_CLOEXEC);
    nix::sys::socket::socket(AddressFamily::Unix, kind, flags, None).map_err(failed("socket"))
}

pub(crate) fn socket_pair() -> Result<(Handle, Handle)> {
    let (kind, flags) = (SockType::SeqPacket, SockFlag::SOCK_CLOEXEC);
    nix::sys::socket::socketpair(AddressFamily::Unix, kind, None, flags)
        .map_err(failed("socketpair"))
}

fn address(path: &Path) -> Result<UnixAddr> {
    UnixAddr::new(path).map_err(|_| {
        let text =
            format!("{} bytes: the path of a socket has at most 107", path.as_os_str().len());
        Error::new(ErrorKind::InvalidName, text)
    })
}

fn io(call: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::os(call, error.raw_os_error().unwrap_or(libc::EIO))
}

/// Those who bind or unlink in a directory take turns, under a lock on the directory itself.
fn take_turn_in(path: &Path) -> Result<Turn> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let handle =
        nix::fcntl::open(parent, flags, Mode::empty()).map_err(failed("open its directory"))?;
    let held = || Error::new(ErrorKind::InUse, "somebody holds a lock on its directory");
    let lock = lock_within(handle, LOCK_TRIES);
    lock.map_err(io("lock its directory"))?.ok_or_else(held)
}

/// Whether a socket is there that nobody listens to any more.
fn is_stale(path: &Path) -> Result<bool> {
    let found = std::fs::symlink_metadata(path).map_err(io("look at the path"))?;
    if !found.file_type().is_socket() {
        return Ok(false);
    }
    let probe = nix::sys::socket::connect(socket()?.as_raw_fd(), &address(path)?);
    Ok(probe == Err(Errno::ECONNREFUSED))
}

/// `prepare` sees the socket before anybody can connect to it.
pub(crate) fn listen(
    path: &Path,
    mode: u32,
    backlog: u32,
    prepare: impl FnOnce(&Handle) -> Result<()>,
) -> Result<(Handle, Identity)> {
    let address = address(path)?;
    let _turn = take_turn_in(path)?;
    let socket = socket()?;
    prepare(&socket)?;
    // Before it is bound: then the name never has other rights than these, whatever the umask.
    nix::sys::stat::fchmod(&socket, Mode::from_bits_truncate(mode)).map_err(failed("fchmod"))?;
    let mut bound = nix::sys::socket::bind(socket.as_raw_fd(), &address);
    if bound == Err(Errno::EADDRINUSE) && is_stale(path)? {
        std::fs::remove_file(path).map_err(io("remove what a dead server left"))?;
        bound = nix::sys::socket::bind(socket.as_raw_fd(), &address);
    }
    bound.map_err(|errno| match errno {
        Errno::EADDRINUSE => Error::new(ErrorKind::AlreadyExists, "the name is in use"),
        errno => Error::os("bind", errno as i32),
    })?;
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX).clamp(1, 4096);
    // Not by the number that the C library takes for the most: with musl it is 128. The kernel has its own.
    // SAFETY: the call takes no pointer.
    let listening = unsafe { libc::listen(socket.as_raw_fd(), backlog) };
    Errno::result(listening).map_err(failed("listen"))?;
    Ok((socket, identity_of(path)?))
}

fn identity_of(path: &Path) -> Result<Identity> {
    let found = std::fs::symlink_metadata(path).map_err(io("look at the path"))?;
    Ok(Identity { device: found.dev(), object: found.ino() })
}

pub(crate) fn unlink_socket(path: &Path, identity: Identity) -> Result<()> {
    let _turn = take_turn_in(path)?;
    if identity_of(path)? != identity {
        return Err(Error::new(ErrorKind::NotFound, "the name means another socket by now"));
    }
    std::fs::remove_file(path).map_err(io("unlink"))
}

pub(crate) fn set_socket_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, mode).map_err(io("change the mode"))
}

pub(crate) fn set_socket_group(path: &Path, group: u32) -> Result<()> {
    std::os::unix::fs::lchown(path, None, Some(group)).map_err(io("change the group"))
}

pub(crate) fn connect(path: &Path, timeout: Option<Duration>) -> Result<Handle> {
    let (address, socket) = (address(path)?, socket()?);
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        if let Some(deadline) = deadline {
            // 0 would be for ever.
            let left = deadline.saturating_duration_since(Instant::now());
            let micros = left.as_micros().clamp(1, 1 << 40) as i64;
            let left = TimeVal::new((micros / 1_000_000) as _, (micros % 1_000_000) as _);
            nix::sys::socket::setsockopt(&socket, SendTimeout, &left)
                .map_err(failed("setsockopt"))?;
        }
        match nix::sys::socket::connect(socket.as_raw_fd(), &address) {
            Ok(()) => return Ok(socket),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let text = "too many wait to be accepted, and the time is up";
                return Err(Error::new(ErrorKind::TimedOut, text));
            }
            Err(Errno::ECONNREFUSED | Errno::EPROTOTYPE) => {
                let text = "a socket is there, and no server of sessions";
                return Err(Error::new(ErrorKind::ConnectionRefused, text));
            }
            Err(errno) => return Err(Error::os("connect", errno as i32)),
        }
    }
}

pub(crate) fn accept(socket: &Handle) -> Result<Option<Handle>> {
    // The listener itself would wait: another thread may have taken what was there.
    if !readable(socket)? {
        return Ok(None);
    }
    loop {
        match nix::sys::socket::accept4(socket.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            Ok(number) => return Ok(Some(owned(number))),
            // A client that left again is no failure of ours.
            Err(Errno::EINTR | Errno::ECONNABORTED | Errno::EPROTO) => {}
            Err(Errno::EAGAIN) => return Ok(None),
            Err(errno) => return Err(Error::os("accept", errno as i32)),
        }
    }
}

fn owned(number: RawFd) -> Handle {
    // SAFETY: the kernel has just made this descriptor for nobody else.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Waits until there is something to receive, or the time is up, or for less.
pub(crate) fn wait_readable(socket: &Handle, most: Option<Duration>) -> Result<()> {
    // Rounded up, so that a wait is not over before its time.
    let most = most.map(|most| most.as_micros().div_ceil(1000).min(1 << 30) as u32);
    let most = most.and_then(|ms| PollTimeout::try_from(ms).ok()).unwrap_or(PollTimeout::NONE);
    match nix::poll::poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], most) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(Error::os("poll", errno as i32)),
    }
}

fn poll(socket: &Handle, events: PollFlags) -> Result<PollFlags> {
    let mut polled = [PollFd::new(socket.as_fd(), events)];
    loop {
        match nix::poll::poll(&mut polled, PollTimeout::ZERO) {
            Ok(_) => return Ok(polled[0].revents().unwrap_or(PollFlags::empty())),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::os("poll", errno as i32)),
        }
    }
}

fn readable(socket: &Handle) -> Result<bool> {
    Ok(poll(socket, PollFlags::POLLIN)?.intersects(PollFlags::POLLIN | PollFlags::POLLHUP))
}

pub(crate) fn hung_up(socket: &Handle) -> Result<bool> {
    let ended = PollFlags::POLLHUP | PollFlags::POLLERR;
    Ok(poll(socket, PollFlags::empty())?.intersects(ended))
}

/// Hangs up on all who wait to be accepted, whoever has copies of the socket. None comes any more.
pub(crate) fn stop_listening(listener: &Listener) {
    shut_down(listener);
    // There are no more than wait by now.
    while let Ok(Some(socket)) = accept(listener) {
        shut_down(&socket);
    }
}

/// Whether the process of this handle has ended.
pub(crate) fn has_ended(process: &Handle) -> Result<bool> {
    readable(process)
}

/// Has the kernel say who sends, and take no handles along.
pub(crate) fn hear_only(socket: &Handle) -> Result<()> {
    tell_senders(socket).and_then(|()| refuse_handles(socket))
}

/// Has the kernel say of each message who sent it, whoever connected.
fn tell_senders(socket: &Handle) -> Result<()> {
    nix::sys::socket::setsockopt(socket, PassCred, &true).map_err(failed("setsockopt"))
}

/// Has the kernel refuse messages that bring descriptors, from Linux 6.16 on. Dropping them here is not as good: see
/// [`hurry_close`], and a file in user space is closed when that likes.
fn refuse_handles(socket: &Handle) -> Result<()> {
    // The C library's headers have no name for it yet.
    const SO_PASSRIGHTS: libc::c_int = 83;
    let no: libc::c_int = 0;
    // SAFETY: the pointer and the length are those of a number that the kernel only reads.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PASSRIGHTS,
            (&raw const no).cast(),
            size_of_val(&no) as libc::socklen_t,
        )
    };
    match Errno::result(set) {
        Ok(_) | Err(Errno::ENOPROTOOPT) => Ok(()),
        Err(errno) => Err(Error::os("setsockopt", errno as i32)),
    }
}

pub(crate) fn send(socket: &Handle, bytes: &[u8], handles: &[&Handle]) -> Result<bool> {
    let mut space = Space([0; SPACE]);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: zeroes are a value of each of its fields.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    if !handles.is_empty() {
        put_handles(&mut message, &mut space, handles);
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    loop {
        // SAFETY: the message points to what is to be sent, with the lengths, and the kernel only reads it.
        let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) };
        match Errno::result(sent) {
            Ok(_) => return Ok(true),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN | Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN) => {
                return Ok(false);
            }
            Err(errno) => return Err(Error::os("send", errno as i32)),
        }
    }
}

/// Room for what comes or goes beside a message: credentials and descriptors. Aligned as its headers are.
#[repr(C, align(8))]
struct Space([u8; SPACE]);

const SPACE: usize =
    space_of(size_of::<libc::ucred>()) + space_of(MOST_HANDLES * size_of::<RawFd>());

/// What so many bytes take up beside a message.
const fn space_of(bytes: usize) -> usize {
    // SAFETY: arithmetic only.
    unsafe { libc::CMSG_SPACE(bytes as u32) as usize }
}

/// Lays descriptors beside a message: here and not by a library, as those trust in an allocator to align bytes.
fn put_handles(message: &mut libc::msghdr, space: &mut Space, handles: &[&Handle]) {
    assert!(handles.len() <= MOST_HANDLES, "{} descriptors with one message", handles.len());
    let bytes = handles.len() * size_of::<RawFd>();
    (message.msg_control, message.msg_controllen) =
        (space.0.as_mut_ptr().cast(), space_of(bytes) as _);
    // SAFETY: the message points to aligned room for a header and the descriptors, whose address this gives.
    let header = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: as above, and nothing else refers to it.
    if let Some(header) = unsafe { header.as_mut() } {
        (header.cmsg_level, header.cmsg_type) = (libc::SOL_SOCKET, libc::SCM_RIGHTS);
        // SAFETY: arithmetic only.
        header.cmsg_len = unsafe { libc::CMSG_LEN(bytes as u32) } as _;
        // SAFETY: behind the header.
        let data = unsafe { libc::CMSG_DATA(header) }.cast::<RawFd>();
        for (index, handle) in handles.iter().enumerate() {
            // SAFETY: within the room for so many descriptors.
            let at = unsafe { data.add(index) };
            // SAFETY: as above; it need not be aligned.
            unsafe { at.write_unaligned(handle.as_raw_fd()) };
        }
    }
}

/// Sends a message, and gives these objects to the process, which is at the other end.
pub(crate) fn give(
    socket: &Handle,
    _to: &Process,
    bytes: &[u8],
    handles: &[&Handle],
) -> Result<bool> {
    send(socket, bytes, handles)
}

/// Whether what was given is there only while the connection is, until it was taken.
pub(crate) const LENDS: bool = false;

/// Receives such a message.
pub(crate) fn receive_given(socket: &Handle, buffer: &mut [u8]) -> Result<Received> {
    receive(socket, buffer)
}

pub(crate) fn receive(socket: &Handle, buffer: &mut [u8]) -> Result<Received> {
    let mut space = Space([0; SPACE]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: zeroes are a value of each of its fields.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    loop {
        (message.msg_control, message.msg_controllen) = (space.0.as_mut_ptr().cast(), SPACE as _);
        // SAFETY: the message points to the buffers above, with their lengths.
        let got = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
        let bytes = match Errno::result(got) {
            Ok(bytes) => bytes.cast_unsigned(),
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN) => return Ok(Received::Nothing),
            Err(Errno::ECONNRESET | Errno::ENOTCONN) => return Ok(Received::End),
            Err(errno) => return Err(Error::os("receive", errno as i32)),
        };
        // Also of a message that was cut: what came of it is ours, and is to be closed.
        let (handles, sender) = controls_of(&message);
        let cut = message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0;
        return Ok(match bytes {
            // Nobody here sends a message of nothing. It may still have brought descriptors.
            0 => Received::End,
            bytes => Received::Message { bytes, handles, cut, sender },
        });
    }
}

/// The close of a TCP socket that lingers waits for as long as who sent it likes. Nothing that we want is a socket.
fn hurry_close(handle: &Handle) {
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    // It fails for all that is no socket.
    let _ = nix::sys::socket::setsockopt(handle, Linger, &at_once);
}

/// What came beside the bytes. All descriptors that the kernel made are taken, also if more were sent than had room, or
/// than this process may have.
fn controls_of(message: &libc::msghdr) -> (Vec<Handle>, Option<Credentials>) {
    let (mut handles, mut sender) = (Vec::new(), None);
    // SAFETY: the kernel filled the space that the message means, and said how much of it.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !next.is_null() {
        // SAFETY: one that the kernel wrote, aligned as the space is.
        let header = unsafe { next.read() };
        // SAFETY: the data lies behind the header.
        let data = unsafe { libc::CMSG_DATA(next) };
        // SAFETY: this takes nothing but numbers.
        let ahead = unsafe { libc::CMSG_LEN(0) } as usize;
        #[allow(clippy::unnecessary_cast, reason = "with another C library it is shorter")]
        let len = (header.cmsg_len as usize).saturating_sub(ahead);
        match (header.cmsg_level, header.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                for index in 0..len / size_of::<RawFd>() {
                    // SAFETY: within the data, by the length that the kernel wrote.
                    let at = unsafe { data.cast::<RawFd>().add(index) };
                    // SAFETY: as above; a descriptor for nobody else.
                    let handle = owned(unsafe { at.read_unaligned() });
                    hurry_close(&handle);
                    handles.push(handle);
                }
            }
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if len >= size_of::<libc::ucred>() => {
                // SAFETY: within the data, which has room for it.
                let said = unsafe { data.cast::<libc::ucred>().read_unaligned() };
                sender = Some(of(&UnixCredentials::from(said)));
            }
            _ => {}
        }
        // SAFETY: as for the first.
        next = unsafe { libc::CMSG_NXTHDR(message, next) };
    }
    (handles, sender)
}

pub(crate) fn shut_down(socket: &Handle) {
    // It fails only where the other side is gone already.
    let _ = nix::sys::socket::shutdown(socket.as_raw_fd(), Shutdown::Both);
}

pub(crate) fn credentials(socket: &Handle) -> Result<Credentials> {
    let found =
        nix::sys::socket::getsockopt(socket, PeerCredentials).map_err(failed("getsockopt"))?;
    Ok(of(&found))
}

fn of(found: &UnixCredentials) -> Credentials {
    Credentials { pid: found.pid().cast_unsigned(), user: found.uid(), group: found.gid() }
}

pub(crate) fn peer_process(socket: &Handle) -> Result<Handle> {
    match nix::sys::socket::getsockopt(socket, PeerPidfd) {
        Ok(process) => Ok(process),
        Err(Errno::ENOPROTOOPT) => {
            Err(Error::new(ErrorKind::Unsupported, "SO_PEERPIDFD takes Linux 6.5"))
        }
        Err(errno) => Err(Error::os("getsockopt", errno as i32)),
    }
}

/// Whether this process connected, which has this number and lives.
pub(crate) fn connected_by(socket: &Handle, process: &Process, number: u32) -> Result<bool> {
    if credentials(socket)?.pid != number {
        return Ok(false);
    }
    match peer_process(socket) {
        Ok(connected) => Ok(mark_of(&connected)? == mark_of(process)?),
        // Before Linux 6.5 there is the number alone, and that the process has kept it.
        Err(error) => Ok(error.kind() == ErrorKind::Unsupported),
    }
}

/// Whether the other side's user is this process's.
pub(crate) fn check_user(socket: &Handle) -> Result<()> {
    let (own, user) = (effective_user(), credentials(socket)?.user);
    if user == own {
        return Ok(());
    }
    let text = format!("the other side is user {user}, this process is user {own}");
    Err(Error::new(ErrorKind::PermissionDenied, text))
}
