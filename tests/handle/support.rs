//! What these tests share: a broker that everybody can ask, second processes with a session to the first.

use crate::common::{Second, scratch};
#[cfg(target_os = "linux")]
use ringlane::handle::BrokerOptions;
use ringlane::handle::{Access, Broker, Handle, HandleOptions, Recipient};
use ringlane::session::{Server, ServerOptions, ServiceName, Session};
use ringlane::{Error, ErrorKind, Mapping, Name, SharedMemory};
use std::fmt::Debug;
#[cfg(target_os = "linux")]
use std::io::Write;
#[cfg(target_os = "linux")]
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// Any user but root.
#[cfg(target_os = "linux")]
pub(crate) const STRANGER: u32 = 65534;

pub(crate) const SIZE: u64 = 1 << 18;

/// What takes as long as this hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(target_os = "linux")]
pub(crate) fn become_stranger() {
    let (user, group) =
        (nix::unistd::Uid::from_raw(STRANGER), nix::unistd::Gid::from_raw(STRANGER));
    nix::unistd::setgroups(&[]).unwrap();
    nix::unistd::setresgid(group, group, group).unwrap();
    nix::unistd::setresuid(user, user, user).unwrap();
    // Or its own /proc is closed to it.
    nix::sys::prctl::set_dumpable(true).unwrap();
}

/// Says that something was not tested, past the capture of a passing test's output.
#[cfg(target_os = "linux")]
pub(crate) fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

#[cfg(target_os = "linux")]
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

pub(crate) fn kind<T: Debug>(result: Result<T, Error>) -> ErrorKind {
    result.expect_err("this should have been refused").kind()
}

pub(crate) fn me() -> Recipient {
    Recipient::process(std::process::id()).unwrap()
}

/// Other users can ask none.
#[cfg(windows)]
pub(crate) fn open_broker() -> Broker {
    Broker::start().unwrap()
}

/// A broker that other users can ask, too.
#[cfg(target_os = "linux")]
pub(crate) fn open_broker() -> Broker {
    let name = ServiceName::native(format!("/tmp/{}.broker", scratch())).unwrap();
    BrokerOptions::new().name(&name).mode(0o666).start().unwrap()
}

pub(crate) fn memory() -> SharedMemory {
    SharedMemory::anonymous(SIZE).unwrap()
}

/// Memory that is not sealed, so that it can be cut off.
#[cfg(target_os = "linux")]
pub(crate) fn loose_memory() -> SharedMemory {
    let mut options = ringlane::OpenOptions::new();
    options.read(true).write(true).allow_shrink(true).size(SIZE).anonymous().unwrap()
}

pub(crate) fn options() -> HandleOptions {
    HandleOptions::new()
}

pub(crate) fn revocable() -> HandleOptions {
    HandleOptions::new().revocable(true).clone()
}

pub(crate) fn again(handle: &Handle) -> Handle {
    Handle::from_bytes(&handle.to_bytes()).unwrap()
}

pub(crate) fn byte(mapping: &Mapping, at: usize) -> u8 {
    let mut byte = [0];
    mapping.read_at(at, &mut byte).unwrap();
    byte[0]
}

/// Which memory a descriptor is of: two of the same have the same.
#[cfg(target_os = "linux")]
pub(crate) fn identity(fd: RawFd) -> (u64, u64) {
    // SAFETY: the caller's descriptor is open.
    let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
    of(nix::sys::stat::fstat(fd).unwrap())
}

#[cfg(target_os = "linux")]
#[allow(clippy::unnecessary_cast, reason = "on 32 bits they are shorter")]
fn of(stat: nix::sys::stat::FileStat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}

/// How many descriptors and mappings this process has of an object.
#[cfg(target_os = "linux")]
pub(crate) fn holds((device, inode): (u64, u64)) -> (usize, usize) {
    let descriptors = descriptors().into_iter().filter(|fd| {
        // Another thread may have closed it meanwhile.
        nix::sys::stat::stat(format!("/proc/self/fd/{fd}").as_str())
            .is_ok_and(|stat| of(stat) == (device, inode))
    });
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let key = format!(" {major:02x}:{minor:02x} {inode} ");
    (descriptors.count(), maps.lines().filter(|line| line.contains(&key)).count())
}

#[cfg(target_os = "linux")]
pub(crate) fn descriptors() -> Vec<RawFd> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // Not the one of the directory itself.
    let numbers: Vec<RawFd> = numbers.collect();
    let open = |fd: &RawFd| std::fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok();
    numbers.into_iter().filter(open).collect()
}

#[cfg(target_os = "linux")]
pub(crate) fn identity_of(memory: &SharedMemory) -> (u64, u64) {
    use std::os::fd::AsFd;
    identity(memory.as_fd().as_raw_fd())
}

/// A second process and the session to it.
pub(crate) struct Child {
    pub(crate) second: Second,
    pub(crate) session: Session,
}

#[cfg(target_os = "linux")]
fn path_of(name: &Name) -> ServiceName {
    ServiceName::native(format!("/tmp/{name}.sock")).unwrap()
}

#[cfg(windows)]
fn path_of(name: &Name) -> ServiceName {
    ServiceName::new(name.as_str()).unwrap()
}

impl Child {
    pub(crate) fn start(part: &str) -> Child {
        let name = scratch();
        // For other users, too, where it can be.
        let mode = if cfg!(unix) { 0o666 } else { 0o600 };
        let server = ServerOptions::new().mode(mode).bind(&path_of(&name)).unwrap();
        let mut second = Second::start(part, &name);
        let session = accept(&server, &mut second);
        Child { second, session }
    }

    pub(crate) fn recipient(&self) -> Recipient {
        let recipient = Recipient::peer(&self.session).unwrap();
        assert_eq!(recipient.pid(), self.second.id());
        recipient
    }

    pub(crate) fn send(&self, message: &[u8]) {
        self.session.send_timeout(message, PATIENCE).unwrap();
    }

    /// Makes it a handle, and sends that.
    pub(crate) fn give(
        &self,
        broker: &Broker,
        memory: &SharedMemory,
        access: Access,
        options: &HandleOptions,
    ) -> Handle {
        let handle = broker.create(memory, &self.recipient(), access, options).unwrap();
        self.send(&handle.to_bytes());
        handle
    }

    /// Waits until it says this.
    pub(crate) fn says(&self, what: &str) {
        let said = self.session.recv_timeout(PATIENCE).unwrap();
        assert_eq!(String::from_utf8_lossy(&said), what);
    }

    pub(crate) fn done(self) {
        assert!(self.second.done().success());
    }
}

fn accept(server: &Server, second: &mut Second) -> Session {
    loop {
        if let Some(session) = server.accept_timeout(Duration::from_millis(100)).unwrap() {
            return session;
        }
        assert!(!second.has_ended(), "the second process ended, and never came");
    }
}

/// In the second process: the session to the first.
pub(crate) fn parent(name: &Name) -> Session {
    Session::connect(&path_of(name)).unwrap()
}

pub(crate) fn receive(session: &Session) -> Handle {
    Handle::from_bytes(&session.recv_timeout(PATIENCE).unwrap()).unwrap()
}

pub(crate) fn say(session: &Session, what: &str) {
    session.send_timeout(what.as_bytes(), PATIENCE).unwrap();
    session.flush_timeout(PATIENCE).unwrap();
}

/// Waits until the first process says this.
pub(crate) fn told(session: &Session, what: &str) {
    assert_eq!(session.recv_timeout(PATIENCE).unwrap(), what.as_bytes());
}
