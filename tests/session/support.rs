//! What these tests share: servers under names of their own, both sides of a session, threads with a watchdog.

use crate::common::{Second, scratch};
#[cfg(unix)]
use nix::libc;
use ringlane::session::{ConnectOptions, Server, ServiceName, Session};
use ringlane::{Error, ErrorKind, Name};
use std::fmt::Debug;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// What takes as long as this hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn service(name: &Name) -> ServiceName {
    ServiceName::new(name.as_str()).unwrap()
}

/// A server with a name of its own.
pub(crate) fn server() -> (Server, ServiceName) {
    let name = service(&scratch());
    (Server::bind(&name).unwrap(), name)
}

/// Client and server side of a session with rings of so many bytes.
pub(crate) fn connected(ring: usize) -> (Session, Session) {
    let (server, name) = server();
    let client = ConnectOptions::new().outgoing(ring).incoming(ring).connect(&name).unwrap();
    (client, server.accept().unwrap())
}

/// The session of a second process, which has to come.
pub(crate) fn accept(server: &Server, second: &mut Second) -> Session {
    loop {
        if let Some(session) = server.accept_timeout(Duration::from_millis(100)).unwrap() {
            return session;
        }
        assert!(!second.has_ended(), "the second process ended, and never came");
    }
}

pub(crate) fn kind<T: Debug>(result: Result<T, Error>) -> ErrorKind {
    result.expect_err("this should have been refused").kind()
}

/// A thread that has to end.
pub(crate) struct Task<T>(mpsc::Receiver<T>);

impl<T: Send + 'static> Task<T> {
    pub(crate) fn run(work: impl FnOnce() -> T + Send + 'static) -> Task<T> {
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let _ = tell.send(work());
        });
        Task(told)
    }

    pub(crate) fn done(self) -> T {
        self.0.recv_timeout(PATIENCE).expect("a thread that ends, and did not panic")
    }

    pub(crate) fn is_done(&self) -> Option<T> {
        self.0.try_recv().ok()
    }
}

/// Waits until a thread of this process sleeps in a call of this library.
#[cfg(target_os = "linux")]
pub(crate) fn asleep(thread: i32) {
    crate::common::until("the thread sleeps", || {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall"));
        // The line begins with the number of the call that it sleeps in, and its arguments. This library's futexes are
        // shared ones; the standard library's are not, and of those nothing is to be concluded.
        stat.is_ok_and(|stat| {
            let mut words = stat.split(' ');
            let number = words.next().and_then(|word| word.parse::<libc::c_long>().ok());
            let shared = words.nth(1) == Some("0x0");
            let own = (
                libc::SYS_futex,
                vec![
                    libc::SYS_futex_waitv,
                    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
                    libc::SYS_epoll_wait,
                    libc::SYS_epoll_pwait,
                ],
            );
            // Under an emulator they are the numbers of the kernel that it runs on, which is x86-64's.
            let (futex, calls) = if std::env::var_os("RINGLANE_TEST_RUNNER").is_some() {
                (202, vec![449, 281, 232])
            } else {
                own
            };
            number.is_some_and(|n| calls.contains(&n) || n == futex && shared)
        })
    });
}

/// Nobody says of a thread that it sleeps there. So it is given time to, and what is tested holds if it does not, too.
#[cfg(windows)]
pub(crate) fn asleep(_thread: i32) {
    thread::sleep(Duration::from_millis(30));
}

#[cfg(target_os = "linux")]
fn own_number() -> i32 {
    nix::unistd::gettid().as_raw()
}

#[cfg(windows)]
fn own_number() -> i32 {
    0
}

/// A thread that says which one it is before it does something that is to sleep.
pub(crate) fn sleeper<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Task<T> {
    let (tell, told) = mpsc::channel();
    let task = Task::run(move || {
        tell.send(own_number()).unwrap();
        work()
    });
    asleep(told.recv_timeout(PATIENCE).unwrap());
    task
}
