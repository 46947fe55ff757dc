//! Waits that signals interrupt.

use crate::common::{page, until};
use crate::support::{PATIENCE, Task, connected, sleeper};
use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use ringlane::SessionError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

/// Interrupts a thread until it has seen some signals.
fn interrupt(thread: Pthread, times: usize) {
    extern "C" fn count(_: nix::libc::c_int) {
        SIGNALS.fetch_add(1, Ordering::Relaxed);
    }
    // Without SA_RESTART: calls of the kernel return.
    let action = SigAction::new(SigHandler::Handler(count), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler adds to an atomic.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
    for _ in 0..times {
        let before = SIGNALS.load(Ordering::Relaxed);
        pthread_kill(thread, Signal::SIGUSR1).unwrap();
        until("a signal arrives", || SIGNALS.load(Ordering::Relaxed) > before);
    }
}

/// Which thread: a pointer, with musl.
struct Which(Pthread);

// SAFETY: what stands for a thread stands for it in every thread.
unsafe impl Send for Which {}

/// A thread that waits, and which it is.
fn interruptible<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> (Task<T>, Pthread) {
    let (tell, told) = mpsc::channel();
    let task = sleeper(move || {
        tell.send(Which(pthread_self())).unwrap();
        work()
    });
    (task, told.recv_timeout(PATIENCE).unwrap().0)
}

/// The original said that the time was up when a signal came.
#[test]
fn an_interrupted_wait_goes_on_for_the_rest_of_its_time() {
    let (client, server) = connected(4096);
    let waiting = client.clone();
    let (task, thread) = interruptible(move || waiting.wait_readable(None));
    interrupt(thread, 20);
    assert_eq!(task.is_done(), None);
    server.write_all(b"x").unwrap();
    assert_eq!(task.done(), Ok(()));

    let time = Duration::from_millis(300);
    let (client, _server) = connected(4096);
    let (task, thread) = interruptible(move || {
        let began = Instant::now();
        (client.wait_readable(Some(time)), began.elapsed())
    });
    interrupt(thread, 5);
    let (waited, took) = task.done();
    assert_eq!(waited, Err(SessionError::TimedOut { done: 0 }));
    assert!(took >= time, "{took:?}");
}

/// The original began an exact read, or a long write, anew after a signal.
#[test]
fn an_interrupted_transfer_goes_on_where_it_was() {
    // Fifteen times what the ring holds.
    let room = page();
    let sent: Vec<u8> = (0..15 * room as u32).map(|n| (n % 251) as u8).collect();
    let mut got = vec![0; sent.len()];

    let (client, server) = connected(room);
    let text = sent.clone();
    let (writer, thread) = interruptible(move || client.write_all(&text));
    interrupt(thread, 10);
    for piece in got.chunks_mut(room / 4) {
        server.read_exact(piece).unwrap();
    }
    writer.done().unwrap();
    assert!(got == sent);

    let (client, server) = connected(room);
    let len = sent.len();
    let (reader, thread) = interruptible(move || {
        let mut got = vec![0; len];
        server.read_exact(&mut got).map(|()| got)
    });
    for piece in sent.chunks(room * 3 / 2) {
        client.write_all(piece).unwrap();
        client.flush().unwrap();
        // It has read a part of what it wants, and waits for the rest.
        if !std::ptr::eq(piece.as_ptr_range().end, sent.as_ptr_range().end) {
            interrupt(thread, 2);
        }
    }
    assert!(reader.done().unwrap() == sent);
}
