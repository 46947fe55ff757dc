//! Sessions: one side dies, or stops, within an operation. The other side is a process of its own, for it sleeps, and
//! the tracer must not get a second thread.

use super::journal::{Journal, shared_page};
use super::matrix::{FEW, Matrix, SOME};
use super::sweep::{Cell, Effect, Fate, ensure};
use super::tracer::{Victim, mark, reap, spawn};
use crate::common::scratch;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringlane::session::{ConnectOptions, Server, ServiceName, Session};
use ringlane::{Name, Peer, SessionError};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What is done to a session, or to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Bind,
    Unbind,
    Accept,
    Connect,
    Send,
    Write,
    Recv,
    Read,
    Flush,
    Arm,
    Close,
    Cancel,
    Split,
}

/// Bytes of a message.
const LEN: usize = 100;

/// Messages that wait for the victim.
const THERE: usize = 2;

/// The survivor looks up so often.
const LOOK: Duration = Duration::from_millis(2);

/// How far the survivor and the victim have come: words of a shared page.
#[derive(Clone, Copy)]
pub(crate) enum Word {
    /// Somebody is there to be connected to.
    Bound,
    /// The session is there on the survivor's side.
    Met,
    /// The victim is gone, or done.
    Over,
    /// Messages that came whole.
    Got,
    /// The other side said that it closed.
    Closed,
    /// How often the survivor looked.
    Looks,
    /// Who wants something.
    Asks,
}

#[derive(Clone, Copy)]
pub(crate) struct Scene(&'static [AtomicU64; 512]);

impl Scene {
    pub(crate) fn new() -> Scene {
        // SAFETY: a page of zeroes, aligned and never unmapped, has room for 512 atomics.
        Scene(unsafe { &*shared_page().cast() })
    }

    pub(crate) fn clear(self) {
        self.0.iter().for_each(|word| word.store(0, Ordering::SeqCst));
    }

    /// Leaves bytes for the other process, from this word on: their number, then one in a word.
    pub(crate) fn pass(self, from: usize, bytes: &[u8]) {
        for (word, byte) in self.0[from + 1..].iter().zip(bytes) {
            word.store(u64::from(*byte), Ordering::SeqCst);
        }
        self.0[from].store(bytes.len() as u64, Ordering::SeqCst);
    }

    /// The bytes that the other process leaves there.
    pub(crate) fn passed(self, from: usize) -> Vec<u8> {
        while self.0[from].load(Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_micros(50));
        }
        let len = self.0[from].load(Ordering::SeqCst) as usize;
        self.0[from + 1..][..len].iter().map(|word| word.load(Ordering::SeqCst) as u8).collect()
    }

    pub(crate) fn set(self, word: Word, value: u64) {
        self.0[word as usize].store(value, Ordering::SeqCst);
    }

    pub(crate) fn get(self, word: Word) -> u64 {
        self.0[word as usize].load(Ordering::SeqCst)
    }

    /// The watchdog sees to it that this ends.
    pub(crate) fn wait(self, word: Word, least: u64) {
        while self.get(word) < least {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
}

pub(crate) struct Meeting<'a> {
    journal: &'a Journal,
    deed: Deed,
    scene: Scene,
}

/// The process that stays.
pub(crate) struct World {
    pub(crate) name: Name,
    pub(crate) survivor: Option<Pid>,
}

impl World {
    pub(crate) fn survived(mut self) -> Result<(), String> {
        self.survivor.take().map_or(Ok(()), reap)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(pid) = self.survivor {
            let _ = kill(pid, Signal::SIGKILL);
            let _ = reap(pid);
        }
    }
}

fn service(name: &Name) -> ServiceName {
    ServiceName::new(name.as_str()).expect("a name")
}

fn connect(name: &Name) -> ringlane::Result<Session> {
    ConnectOptions::new().outgoing(4096).incoming(4096).connect(&service(name))
}

fn message(number: usize) -> [u8; LEN] {
    std::array::from_fn(|index| (number * 31 + index) as u8)
}

/// Whether a server works: a client meets it, and both are rid of all that it took.
fn works(server: &Server, name: &Name) {
    let client = connect(name).expect("connect");
    client.send(&message(7)).expect("send");
    let session = loop {
        if let Some(session) = server.accept_timeout(LOOK).expect("accept") {
            // A client that died before it was accepted may have been here first.
            if session.recv_timeout(LOOK).is_ok_and(|found| found == message(7)) {
                break session;
            }
        }
    };
    session.send(&message(8)).expect("send");
    assert_eq!(client.recv().expect("receive"), message(8));
}

impl<'a> Meeting<'a> {
    pub(crate) fn new(journal: &'a Journal, deed: Deed) -> Meeting<'a> {
        Meeting { journal, deed, scene: Scene::new() }
    }

    fn serves(&self) -> bool {
        matches!(self.deed, Deed::Bind | Deed::Unbind | Deed::Accept)
    }

    /// In the process that stays, until the victim is gone; then all must be as if it had never been.
    fn survive(&self, name: &Name) {
        let scene = self.scene;
        let open = || std::fs::read_dir("/proc/self/fd").expect("list").count();
        if self.serves() {
            if self.deed == Deed::Accept {
                scene.wait(Word::Bound, 1);
                let client = connect(name).expect("connect");
                client.send(&message(0)).expect("send");
                scene.set(Word::Met, 1);
                self.watch(&client);
                drop(client);
            }
            scene.wait(Word::Over, 1);
            let server = Server::bind(&service(name)).expect("the dead one's name");
            return works(&server, name);
        }
        let server = Server::bind(&service(name)).expect("bind");
        // What is made once, with the first session.
        works(&server, name);
        let before = open();
        scene.set(Word::Bound, 1);
        let session = loop {
            scene.set(Word::Looks, scene.get(Word::Looks) + 1);
            let over = scene.get(Word::Over) != 0;
            match server.accept_timeout(LOOK).expect("accept") {
                Some(session) => break Some(session),
                None if over => break None,
                None => {}
            }
        };
        if let Some(session) = session {
            for number in 0..THERE {
                let sent = session.send(&message(number));
                assert!(sent.is_ok() || self.deed == Deed::Connect, "{sent:?}");
            }
            scene.set(Word::Met, 1);
            self.watch(&session);
            let closed = session.peer();
            scene.set(Word::Closed, u64::from(closed == Peer::Closed));
            assert!(matches!(closed, Peer::Closed | Peer::Died), "{closed:?}");
            let sent = session.send(&message(0));
            assert_eq!(sent, Err(SessionError::BrokenPipe { done: 0 }));
        }
        works(&server, name);
        assert_eq!(open(), before, "descriptors are left open");
    }

    /// Reads until the other side is gone: what comes is whole, and in order.
    fn watch(&self, session: &Session) {
        let mut got = 0;
        loop {
            match session.recv_timeout(LOOK) {
                Ok(found) => {
                    assert_eq!(found, message(got), "a torn message");
                    got += 1;
                    self.scene.set(Word::Got, got as u64);
                }
                Err(SessionError::TimedOut { .. }) => {
                    let looks = self.scene.get(Word::Looks);
                    self.scene.set(Word::Looks, looks + 1);
                }
                Err(SessionError::BrokenPipe { .. }) => return,
                Err(error) => panic!("the other side is stopped or dead, and this gave {error:?}"),
            }
        }
    }
}

impl Cell for Meeting<'_> {
    type World = World;

    fn world(&self) -> Result<World, String> {
        self.scene.clear();
        let name = scratch();
        let survivor = spawn(|| self.survive(&name))?;
        Ok(World { name, survivor: Some(survivor) })
    }

    fn victim(&self, World { name, .. }: &World) {
        let scene = self.scene;
        if self.serves() {
            let name = service(name);
            if self.deed == Deed::Bind {
                mark();
                let server = Server::bind(&name);
                mark();
                assert!(server.is_ok());
                return self.journal.note(true);
            }
            let server = Server::bind(&name).expect("bind");
            if self.deed == Deed::Unbind {
                mark();
                drop(server);
                mark();
                return self.journal.note(true);
            }
            scene.set(Word::Bound, 1);
            scene.wait(Word::Met, 1);
            mark();
            let session = server.accept();
            mark();
            assert!(session.is_ok());
            return self.journal.note(true);
        }
        scene.wait(Word::Bound, 1);
        if self.deed == Deed::Connect {
            mark();
            let session = connect(name);
            mark();
            assert!(session.is_ok());
            return self.journal.note(true);
        }
        let session = connect(name).expect("connect");
        scene.wait(Word::Met, 1);
        assert_eq!(session.peer(), Peer::Alive);
        let mut buffer = [0; LEN];
        match self.deed {
            Deed::Send => {
                mark();
                let sent = session.send(black_box(&message(0)));
                mark();
                sent.expect("send");
            }
            Deed::Write => {
                mark();
                let written = session.write_all(black_box(&message(0)));
                mark();
                written.expect("write");
            }
            Deed::Recv => {
                mark();
                let found = session.recv();
                mark();
                assert_eq!(found.expect("receive"), message(0));
            }
            Deed::Read => {
                mark();
                let read = session.read_exact(black_box(&mut buffer));
                mark();
                read.expect("read");
                assert_eq!(buffer, message(0));
            }
            Deed::Flush => {
                session.send(&message(0)).expect("send");
                scene.wait(Word::Got, 1);
                mark();
                let flushed = session.flush();
                mark();
                flushed.expect("flush");
            }
            Deed::Arm => {
                mark();
                let armed = (session.arm_read(), session.arm_write());
                mark();
                assert_eq!(armed, (Ok(true), Ok(true)));
            }
            Deed::Cancel => {
                mark();
                session.cancel();
                mark();
            }
            Deed::Split => {
                mark();
                let (reader, writer) = session.split();
                drop(reader);
                drop(writer);
                mark();
            }
            _ => {
                mark();
                session.close();
                mark();
            }
        }
        self.journal.note(true);
    }

    fn judge(&self, world: World) -> Result<bool, String> {
        self.scene.set(Word::Over, 1);
        world.survived()?;
        let got = self.scene.get(Word::Got);
        let closed = self.scene.get(Word::Closed) != 0;
        let most = u64::from(matches!(self.deed, Deed::Send | Deed::Write | Deed::Flush));
        ensure!(got <= most, "{got} messages came");
        Ok(if matches!(self.deed, Deed::Close | Deed::Split) { closed } else { got > 0 })
    }

    fn effect(&self) -> Effect {
        match self.deed {
            Deed::Send | Deed::Write => Effect::Once,
            Deed::Close | Deed::Split => Effect::Sometime,
            Deed::Recv | Deed::Read | Deed::Arm | Deed::Cancel => Effect::Never,
            _ => Effect::Any,
        }
    }

    /// Who is stopped is not gone: the survivor goes on looking, and then hears all of it.
    fn outlive(&self, victim: &mut Victim, world: World) -> Result<(), String> {
        // Who closes may have said so before it was stopped.
        let closes = matches!(self.deed, Deed::Connect | Deed::Close | Deed::Split);
        if !self.serves() && !closes {
            self.scene.wait(Word::Looks, self.scene.get(Word::Looks) + 2);
        }
        victim.resume()?;
        self.journal.wait_noted();
        // It returns after this, and lets go of all that it has.
        self.scene.set(Word::Over, 1);
        world.survived()?;
        let got = self.scene.get(Word::Got);
        let wanted = u64::from(matches!(self.deed, Deed::Send | Deed::Write | Deed::Flush));
        ensure!(got == wanted, "{got} messages came, not {wanted}");
        Ok(())
    }
}

/// All deeds, killed and stopped.
pub(crate) fn meetings(matrix: &mut Matrix) {
    let journal = matrix.journal.clone();
    for deed in [Deed::Bind, Deed::Unbind, Deed::Accept, Deed::Connect] {
        let cell = Meeting::new(&journal, deed);
        let name = format!("session_{deed:?}").to_lowercase();
        matrix.run(&name, Fate::Kill, matrix.plan(SOME, None), &cell);
    }
    for deed in [
        Deed::Send,
        Deed::Write,
        Deed::Recv,
        Deed::Read,
        Deed::Flush,
        Deed::Arm,
        Deed::Close,
        Deed::Cancel,
        Deed::Split,
    ] {
        let cell = Meeting::new(&journal, deed);
        let name = format!("session_{deed:?}").to_lowercase();
        let budget = if deed == Deed::Send { FEW } else { SOME };
        let around = matrix.run(&name, Fate::Kill, matrix.plan(budget, None), &cell);
        matrix.run(&format!("{name}_pause"), Fate::Pause, matrix.plan(SOME / 2, around), &cell);
    }
}
