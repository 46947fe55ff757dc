//! Sessions, and Unix stream sockets that do the same.

use crate::payload::{check_bytes, fill_bytes};
use crate::row::Row;
use crate::rows::bare::LARGE;
use crate::side::{Sample, Side};
use ringlane::session::{ConnectOptions, Server, ServiceName, Session};
use ringlane::{Name, Wait};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

/// The rows of sessions.
pub const ROWS: &[Row] = &[
    Row::trip("session round trip 64 B", TEXT, 300_000, |side| trip(side, session(side, SHORT))),
    Row::trip("session round trip 64 B, both asleep", TEXT, 2_000, |side| {
        asleep(side, parked(side))
    }),
    Row::one_way("session one way 1 MiB", LARGE, 2_000, |side| {
        one_way(side, session(side, 2 * LARGE))
    }),
    Row::one_way("session one way 1 MiB, 256 KiB rings", LARGE, 1_000, |side| {
        one_way(side, session(side, SHORT))
    }),
    Row::trip("unix socket round trip 64 B", TEXT, 20_000, |side| trip(side, socket(side)))
        .by("unix stream socket"),
    Row::trip("unix socket round trip 64 B, both asleep", TEXT, 2_000, |side| {
        asleep(side, socket(side))
    })
    .by("unix stream socket"),
    Row::one_way("unix socket one way 1 MiB", LARGE, 500, |side| one_way(side, socket(side)))
        .by("unix stream socket"),
];

/// Bytes of the rings of a session for short messages: what they have if nothing is said. For frames, two fit.
const SHORT: usize = 1 << 18;

/// Bytes of a short message.
const TEXT: usize = 64;

/// What carries bytes both ways.
trait Carrier {
    fn put(&mut self, bytes: &[u8]);
    fn take(&mut self, bytes: &mut [u8]);
}

impl Carrier for Session {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        self.write_all(bytes).expect("a living peer");
    }

    #[inline(always)]
    fn take(&mut self, bytes: &mut [u8]) {
        self.read_exact(bytes).expect("a living peer");
    }
}

impl Carrier for UnixStream {
    fn put(&mut self, bytes: &[u8]) {
        self.write_all(bytes).expect("a living peer");
    }

    fn take(&mut self, bytes: &mut [u8]) {
        self.read_exact(bytes).expect("a living peer");
    }
}

/// The first side listens, the second connects.
fn meet<L, C>(
    side: &Side,
    label: &str,
    listen: impl FnOnce(&Name) -> L,
    accept: impl FnOnce(L) -> C,
    connect: impl FnOnce(&Name) -> C,
) -> C {
    enum Which<L, C> {
        Listener(L),
        Connection(C),
    }
    let met = side.shared(
        label,
        |name| Ok(Which::Listener(listen(name))),
        |name| Ok(Which::Connection(connect(name))),
    );
    match met {
        Which::Listener(listener) => accept(listener),
        Which::Connection(connection) => connection,
    }
}

fn session(side: &Side, ring: usize) -> Session {
    carried(side, "connection", ring)
}

/// A session with rings of so many bytes.
pub(crate) fn carried(side: &Side, label: &str, ring: usize) -> Session {
    let name = |name: &Name| ServiceName::new(name.as_str()).expect("a plain name");
    let options = ConnectOptions::new().outgoing(ring).incoming(ring).clone();
    meet(
        side,
        label,
        |at| Server::bind(&name(at)).expect("a server"),
        |server| server.accept().expect("a client"),
        |at| options.connect(&name(at)).expect("a session"),
    )
}

fn parked(side: &Side) -> Session {
    let session = session(side, SHORT);
    session.set_wait(Wait::Park).expect("nobody uses it");
    session
}

fn socket(side: &Side) -> UnixStream {
    let path = |name: &Name| std::env::temp_dir().join(format!("{name}.socket"));
    meet(
        side,
        "connection",
        |at| (UnixListener::bind(path(at)).expect("a listener"), path(at)),
        |(listener, path)| {
            let accepted = listener.accept().expect("a client").0;
            std::fs::remove_file(path).expect("it is there");
            accepted
        },
        |at| UnixStream::connect(path(at)).expect("a connection"),
    )
}

#[inline(always)]
fn put_message(carrier: &mut impl Carrier, n: u64) {
    let mut text = [0; TEXT];
    fill_bytes(&mut text, n);
    carrier.put(&text);
}

#[inline(always)]
fn take_message(carrier: &mut impl Carrier, n: u64) {
    let mut text = [0; TEXT];
    carrier.take(&mut text);
    check_bytes(&text, n);
}

#[inline(always)]
fn trip(side: &Side, mut carrier: impl Carrier) -> Sample {
    side.trips(|n| {
        if side.is_first() {
            put_message(&mut carrier, n);
            take_message(&mut carrier, n);
        } else {
            take_message(&mut carrier, n);
            put_message(&mut carrier, n);
        }
    })
}

fn asleep(side: &Side, mut carrier: impl Carrier) -> Sample {
    side.sleeping_trips(|n| {
        if side.is_first() {
            put_message(&mut carrier, n);
            take_message(&mut carrier, n);
        } else {
            take_message(&mut carrier, n);
            side.think();
            put_message(&mut carrier, n);
        }
    })
}

fn one_way(side: &Side, mut carrier: impl Carrier) -> Sample {
    let mut frame = vec![0; LARGE];
    side.stream(1, |n| {
        if side.is_first() {
            fill_bytes(&mut frame, n);
            carrier.put(&frame);
        } else {
            carrier.take(&mut frame);
            check_bytes(&frame, n);
        }
    })
}
