//! Handles: the broker's process, or the recipient's, dies within an operation. The other one is a process of its own,
//! for a broker has a thread, and the tracer must not get a second one.

use super::journal::Journal;
use super::matrix::{FEW, Matrix, SOME};
use super::meet::{Scene, Word, World};
use super::sweep::{Cell, Effect, Fate, ensure};
use super::tracer::{Victim, mark, spawn};
use crate::common::{scratch, sleeps};
use ringlane::handle::{Access, Broker, BrokerOptions, Handle, HandleOptions, Recipient, Revoke};
use ringlane::session::ServiceName;
use ringlane::{ErrorKind, MapOptions, Name, SharedMemory};
use std::time::Duration;

/// What is done with a handle, or with a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    // By the broker's process:
    Start,
    Create,
    /// A question is answered.
    Answer,
    /// One for memory that can be taken back.
    Lend,
    Delete,
    Recall,
    Wipe,
    Fault,
    Stop,
    // By the recipient:
    Open,
    Map,
    /// Memory that can be taken back.
    Borrow,
    GiveUp,
}

const SIZE: usize = 8192;

/// What the memory holds everywhere.
const BYTE: u8 = 7;

/// Longer than anything takes here. The watchdog barks before.
const LONG: Duration = Duration::from_secs(90);

/// Where the bytes of two handles lie in the scene.
const FIRST: usize = 16;
const SECOND: usize = 256;

struct Gift<'a> {
    journal: &'a Journal,
    deed: Deed,
    scene: Scene,
}

fn broker(name: &Name, polled: bool) -> ringlane::Result<Broker> {
    let name = ServiceName::new(name.as_str()).expect("a name");
    BrokerOptions::new().name(&name).polled(polled).start()
}

fn memory(loose: bool) -> SharedMemory {
    let mut options = ringlane::OpenOptions::new();
    options.read(true).write(true).allow_shrink(loose).size(SIZE as u64);
    let memory = options.reserve(false).anonymous().expect("memory");
    memory.map().and_then(|map| map.write_at(0, &[BYTE; SIZE])).expect("write");
    memory
}

fn myself() -> Recipient {
    Recipient::process(std::process::id()).expect("this process")
}

fn again(bytes: &[u8]) -> Handle {
    Handle::from_bytes(bytes).expect("a handle")
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("list").count()
}

/// Whether a broker serves: a handle of its own process is redeemed.
fn works(broker: &Broker) {
    let made = broker.create(&memory(false), &myself(), Access::ReadOnly, &HandleOptions::new());
    made.and_then(|handle| handle.open_timeout(Access::ReadOnly, LONG)).expect("serve");
}

/// There is no such handle any more, and it takes no time-out to say so.
fn is_void(bytes: &[u8]) {
    let error = again(bytes).open_timeout(Access::ReadOnly, LONG).expect_err("void");
    let known = [ErrorKind::InvalidHandle, ErrorKind::ConnectionRefused];
    assert!(known.contains(&error.kind()), "{error}");
}

impl Gift<'_> {
    /// Whether the victim is the recipient.
    fn asks(&self) -> bool {
        matches!(self.deed, Deed::Open | Deed::Map | Deed::Borrow | Deed::GiveUp)
    }

    fn is_taken_back(&self) -> bool {
        matches!(self.deed, Deed::Recall | Deed::Wipe | Deed::Fault)
    }

    fn how(&self) -> Revoke {
        match self.deed {
            Deed::Wipe => Revoke::Wipe,
            Deed::Fault => Revoke::Fault,
            _ => Revoke::Cooperative,
        }
    }

    /// The recipient, which stays when its broker dies.
    fn receive(&self, name: &Name) {
        let scene = self.scene;
        let before = open_files();
        scene.set(Word::Asks, u64::from(std::process::id()));
        match self.deed {
            Deed::Start | Deed::Create => {}
            Deed::Answer | Deed::Lend | Deed::Stop => self.ask(&scene.passed(FIRST)),
            Deed::Delete => drop(scene.passed(FIRST)),
            _ => self.borrow(&scene.passed(FIRST)),
        }
        scene.wait(Word::Over, 1);
        // Its broker's name is free, and the next one knows nothing of what it made.
        let next = loop {
            match broker(name, false) {
                Ok(next) => break next,
                // Who was stopped, and went on, is about to end.
                Err(error) if self.journal.noted() != 0 => {
                    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
                }
                Err(error) => panic!("the dead one's name: {error}"),
            }
        };
        if !matches!(self.deed, Deed::Start | Deed::Create) {
            is_void(&scene.passed(FIRST));
        }
        works(&next);
        drop(next);
        assert_eq!(open_files(), before, "descriptors are left open");
    }

    /// Asks, and gets the memory once, or hears that there is no broker.
    fn ask(&self, bytes: &[u8]) {
        match again(bytes).open_timeout(Access::ReadOnly, LONG) {
            Ok(memory) => {
                let map = memory.map().expect("map");
                let mut found = [0; SIZE];
                map.read_at(0, &mut found).expect("read");
                assert_eq!(found, [BYTE; SIZE]);
                self.scene.set(Word::Got, 1);
                self.scene.wait(Word::Over, 1);
                // What was redeemed stays.
                map.read_at(0, &mut found).expect("read");
                assert_eq!(found, [BYTE; SIZE]);
            }
            Err(error) => {
                let known = [ErrorKind::InvalidHandle, ErrorKind::ConnectionRefused];
                assert!(known.contains(&error.kind()), "{error}");
            }
        }
    }

    /// Has what is being taken back: it is whole, or it is gone.
    fn borrow(&self, bytes: &[u8]) {
        let memory = again(bytes).open_timeout(Access::ReadOnly, LONG).expect("open");
        let map = memory.map().expect("map");
        let mut found = [0; SIZE];
        let mut look = || match map.read_at(0, &mut found) {
            Ok(()) => {
                assert_eq!(found, [BYTE; SIZE], "taken back, and not told");
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Revoked);
                false
            }
        };
        self.scene.set(Word::Got, 1);
        let mut held = true;
        while self.scene.get(Word::Over) == 0 {
            let holds = look();
            assert!(held || !holds, "it came back");
            held = holds;
            self.scene.set(Word::Looks, self.scene.get(Word::Looks) + 1);
            std::thread::sleep(Duration::from_micros(50));
        }
        self.scene.set(Word::Closed, u64::from(!look()));
    }

    /// The broker, which stays when a recipient dies.
    fn serve(&self, name: &Name) {
        let scene = self.scene;
        let before = open_files();
        let broker = broker(name, false).expect("start");
        let memory = memory(false);
        scene.wait(Word::Asks, 1);
        let victim = Recipient::process(scene.get(Word::Asks) as u32).expect("the victim");
        let mut options = HandleOptions::new();
        options.revocable(self.deed == Deed::Borrow);
        let handle = broker.create(&memory, &victim, Access::ReadWrite, &options).expect("create");
        let kept = broker.create(&memory, &victim, Access::ReadOnly, &options).expect("create");
        scene.pass(FIRST, &handle.to_bytes());
        drop((victim, kept));
        let mut own = 0;
        while scene.get(Word::Over) == 0 {
            works(&broker);
            own += 1;
            scene.set(Word::Looks, scene.get(Word::Looks) + 1);
        }
        // Nothing is left of whoever is dead.
        while broker.counts().recipients != 0 {
            std::thread::sleep(Duration::from_micros(50));
        }
        let counts = broker.counts();
        assert_eq!((counts.waiting, counts.revocable), (0, 0));
        // Once, and the other one never.
        let got = counts.redeemed - own;
        assert!(got <= 1 && counts.denied == 0 && counts.expired == 0, "{counts:?}");
        assert!((1..=2).contains(&counts.orphaned), "{counts:?}");
        scene.set(Word::Got, got);
        is_void(&handle.to_bytes());
        drop((broker, memory));
        assert_eq!(open_files(), before, "descriptors are left open");
    }

    /// In the victim that is a broker: what is done to it.
    fn broke(&self, World { name, .. }: &World) {
        let scene = self.scene;
        if self.deed == Deed::Start {
            mark();
            let broker = broker(name, true);
            mark();
            assert!(broker.is_ok());
            return self.journal.note(true);
        }
        let memory = memory(self.deed == Deed::Fault);
        let broker = broker(name, true).expect("start");
        scene.wait(Word::Asks, 1);
        let pid = scene.get(Word::Asks);
        let recipient = Recipient::process(pid as u32).expect("the survivor");
        let mut options = HandleOptions::new();
        options.revocable(self.deed == Deed::Lend || self.is_taken_back());
        let create = || broker.create(&memory, &recipient, Access::ReadOnly, &options);
        if self.deed == Deed::Create {
            mark();
            let handle = create();
            mark();
            assert!(handle.is_ok());
            return self.journal.note(true);
        }
        let handle = create().expect("create");
        // For whoever asks while this one is stopped, and is not answered.
        if !self.is_taken_back() {
            scene.pass(SECOND, &create().expect("create").to_bytes());
        }
        scene.pass(FIRST, &handle.to_bytes());
        match self.deed {
            Deed::Answer | Deed::Lend => {
                while !sleeps(pid) || !is_asked(&broker) {
                    std::thread::yield_now();
                }
                mark();
                let served = broker.try_serve();
                mark();
                served.expect("serve");
                assert_eq!(broker.counts().redeemed, 1);
            }
            Deed::Delete => {
                mark();
                let deleted = broker.delete(handle.id());
                mark();
                deleted.expect("delete");
            }
            Deed::Stop => {
                while !sleeps(pid) || !is_asked(&broker) {
                    std::thread::yield_now();
                }
                mark();
                drop(broker);
                mark();
                return self.journal.note(true);
            }
            _ => {
                while scene.get(Word::Got) == 0 {
                    broker.try_serve().expect("serve");
                }
                mark();
                let done = broker.revoke(&recipient, self.how());
                mark();
                let done = done.expect("revoke");
                assert_eq!((done.deleted, done.taken_back), (0, 1));
            }
        }
        self.journal.note(true);
    }
}

/// Whether somebody is connected to a broker that has not looked yet.
fn is_asked(broker: &Broker) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    let mut polled = [PollFd::new(broker.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO) == Ok(1)
}

impl Cell for Gift<'_> {
    type World = World;

    fn world(&self) -> Result<World, String> {
        self.scene.clear();
        let name = scratch();
        let survivor = spawn(|| if self.asks() { self.serve(&name) } else { self.receive(&name) })?;
        Ok(World { name, survivor: Some(survivor) })
    }

    fn victim(&self, world: &World) {
        if !self.asks() {
            return self.broke(world);
        }
        self.scene.set(Word::Asks, u64::from(std::process::id()));
        let handle = again(&self.scene.passed(FIRST));
        match self.deed {
            Deed::Map => {
                let mut options = MapOptions::new();
                options.read(true).write(true);
                mark();
                let map = handle.map(&options);
                mark();
                map.and_then(|map| map.write_at(0, &[1])).expect("map");
            }
            Deed::GiveUp => {
                mark();
                let deleted = handle.delete();
                mark();
                deleted.expect("delete");
            }
            _ => {
                mark();
                let memory = handle.open(Access::ReadWrite);
                mark();
                memory.expect("open");
            }
        }
        self.journal.note(true);
    }

    fn judge(&self, world: World) -> Result<bool, String> {
        self.scene.set(Word::Over, 1);
        world.survived()?;
        let (got, closed) = (self.scene.get(Word::Got) == 1, self.scene.get(Word::Closed) == 1);
        ensure!(!got || self.deed != Deed::GiveUp, "what was given up was redeemed");
        Ok(if self.is_taken_back() { closed } else { got })
    }

    fn effect(&self) -> Effect {
        match self.deed {
            Deed::Answer | Deed::Lend => Effect::Once,
            Deed::Recall | Deed::Wipe | Deed::Fault => Effect::Once,
            Deed::Start | Deed::Create | Deed::Delete | Deed::Stop => Effect::Never,
            // Another process takes part.
            _ => Effect::Any,
        }
    }

    /// Who is stopped keeps nobody beyond its time, and does the rest when it goes on.
    fn outlive(&self, victim: &mut Victim, world: World) -> Result<(), String> {
        let scene = self.scene;
        if self.asks() || self.is_taken_back() {
            scene.wait(Word::Looks, scene.get(Word::Looks) + 2);
        } else if matches!(self.deed, Deed::Answer | Deed::Lend | Deed::Delete) {
            let asked = again(&scene.passed(SECOND)).open_timeout(Access::ReadOnly, NOT_LONG);
            let error = asked.expect_err("another's handle").kind();
            // Nobody answers, or it is not this process's.
            ensure!(error == ErrorKind::TimedOut, "a broker that is stopped: {error:?}");
        }
        victim.resume()?;
        self.journal.wait_noted();
        if matches!(self.deed, Deed::Answer | Deed::Lend) {
            scene.wait(Word::Got, 1);
        }
        // It returns after this, and lets go of all that it has.
        scene.set(Word::Over, 1);
        world.survived()?;
        let (got, closed) = (scene.get(Word::Got) == 1, scene.get(Word::Closed) == 1);
        let wanted = !matches!(self.deed, Deed::GiveUp | Deed::Stop | Deed::Delete | Deed::Create);
        ensure!(got == wanted || self.deed == Deed::Start, "redeemed: {got}");
        ensure!(closed == self.is_taken_back(), "taken back: {closed}");
        Ok(())
    }
}

/// How long who asks a broker that is stopped waits.
const NOT_LONG: Duration = Duration::from_millis(1);

/// All deeds, killed and stopped.
pub(crate) fn gifts(matrix: &mut Matrix) {
    let journal = matrix.journal.clone();
    for deed in [
        Deed::Start,
        Deed::Create,
        Deed::Answer,
        Deed::Lend,
        Deed::Delete,
        Deed::Recall,
        Deed::Wipe,
        Deed::Fault,
        Deed::Stop,
        Deed::Open,
        Deed::Map,
        Deed::Borrow,
        Deed::GiveUp,
    ] {
        let cell = Gift { journal: &journal, deed, scene: Scene::new() };
        let name = format!("handle_{deed:?}").to_lowercase();
        let budget = if deed == Deed::Answer { FEW } else { SOME };
        let around = matrix.run(&name, Fate::Kill, matrix.plan(budget, None), &cell);
        // Who starts, or stops, is nobody's broker.
        if !matches!(deed, Deed::Start | Deed::Create | Deed::Stop) {
            let plan = matrix.plan(SOME / 2, around);
            matrix.run(&format!("{name}_pause"), Fate::Pause, plan, &cell);
        }
    }
}
