//! Coming and going: taking an end and closing it, creating, opening and removing a queue.

use super::journal::{DONE, Journal};
use super::lane::{Lane, PopBy, PushBy, Stop};
use super::sleep::Side;
use super::stream::{
    After, LONG, Stream, World, drain, go_round, survive_consumer, survive_producer, text,
};
use super::sweep::{Cell, Effect, ensure};
use super::tracer::{Trace, Victim, mark};
use crate::common::{leftovers, scratch};
use ringlane::{ErrorKind, Name, Peer, inspect};

/// How many messages are there when an end is taken or closed.
const THERE: u64 = 2;

/// An end is taken. If `corpse` is given, its last holder died within an operation.
pub(crate) struct Attach<'a, L> {
    pub(crate) lane: &'a L,
    pub(crate) journal: &'a Journal,
    pub(crate) side: Side,
    pub(crate) after: After,
    pub(crate) corpse: Option<&'a Corpse<'a, L>>,
}

/// A holder that died at one instruction of a push or pop into a ring with two messages.
pub(crate) struct Corpse<'a, L> {
    pub(crate) stream: &'a Stream<'a, L>,
    pub(crate) trace: &'a Trace,
    pub(crate) step: usize,
    /// Whether its operation had taken effect.
    pub(crate) done: bool,
}

impl<L: Lane> Attach<'_, L> {
    fn fill(&self, world: &mut World<L>) -> Result<(), String> {
        let tx = world.tx.as_mut().expect("just made");
        for number in 0..THERE {
            self.lane.send(PushBy::Try, tx, number).map_err(text("fill"))?;
        }
        Ok(())
    }
}

impl<L: Lane> Cell for Attach<'_, L> {
    type World = World<L>;

    fn world(&self) -> Result<World<L>, String> {
        if let Some(corpse) = self.corpse {
            let mut world = corpse.stream.world()?;
            let mut victim = Victim::start(|| corpse.stream.victim(&world))?;
            corpse.stream.staged(&mut world)?;
            let exact = victim.run_to(corpse.trace, corpse.step, true)?;
            ensure!(exact, "the first victim went another way");
            victim.kill();
            return Ok(world);
        }
        let mut world = World::new(self.lane, Some(1 << 3))?;
        self.fill(&mut world)?;
        match self.side {
            Side::Tx => world.tx = None,
            Side::Rx => world.rx = None,
        }
        Ok(world)
    }

    fn victim(&self, world: &World<L>) {
        let queue = self.lane.open(&world.name).expect("open");
        match self.side {
            Side::Tx => {
                mark();
                let tx = self.lane.tx(&queue);
                mark();
                self.journal.note(tx.is_ok());
                if let Ok(mut tx) = tx {
                    self.lane.send(PushBy::Wait(LONG), &mut tx, THERE).expect("push");
                }
            }
            Side::Rx => {
                mark();
                let rx = self.lane.rx(&queue);
                mark();
                self.journal.note(rx.is_ok());
                if let Ok(mut rx) = rx {
                    let popped = self.lane.receive(PopBy::Wait(LONG), &mut rx);
                    assert_eq!(popped, Ok(0));
                }
            }
        }
    }

    fn judge(&self, world: World<L>) -> Result<bool, String> {
        let done = self.corpse.is_some_and(|corpse| corpse.done);
        // Who died before it said that it is there leaves the end as it found it.
        let ends: &[Stop] = match self.corpse {
            Some(_) => &[Stop::Died],
            None => &[Stop::Closed, Stop::Died],
        };
        let seen = match self.side {
            Side::Tx => survive_producer(self.lane, world, 0..THERE, self.after, ends)?,
            Side::Rx => survive_consumer(self.lane, world, THERE, self.after, ends)?,
        };
        ensure!(seen == done, "the first one's operation took effect: {done}, but now: {seen}");
        Ok(seen)
    }

    fn effect(&self) -> Effect {
        Effect::Any
    }

    /// Two want the end, and one of them is stopped halfway: just one gets it.
    fn outlive(&self, victim: &mut Victim, mut world: World<L>) -> Result<(), String> {
        let lane = self.lane;
        let (ours, kind) = match self.side {
            Side::Tx => match lane.own_tx(&world.queue) {
                Ok(tx) => {
                    world.tx = Some(tx);
                    (true, None)
                }
                Err(e) => (false, Some(e.kind())),
            },
            Side::Rx => match lane.own_rx(&world.queue) {
                Ok(rx) => {
                    world.rx = Some(rx);
                    (true, None)
                }
                Err(e) => (false, Some(e.kind())),
            },
        };
        ensure!(ours || kind == Some(ErrorKind::InUse), "a second taker: {kind:?}");
        victim.resume()?;
        if !ours && self.side == Side::Tx {
            let rx = world.rx.as_mut().expect("the survivor has the consumer");
            let mut got = vec![];
            let stop = drain(lane, PopBy::Wait(LONG), rx, &mut got);
            ensure!(stop == Stop::Closed && got == [0, 1, 2], "got {got:?}, then {stop:?}");
        }
        // Held until the victim has been refused.
        self.journal.wait_noted();
        ensure!(ours != (self.journal.noted() == DONE), "both took the end, or none: {ours}");
        Ok(())
    }
}

/// An end is closed.
pub(crate) struct Close<'a, L> {
    pub(crate) lane: &'a L,
    pub(crate) side: Side,
}

impl<L: Lane> Cell for Close<'_, L> {
    type World = World<L>;

    fn world(&self) -> Result<World<L>, String> {
        let mut world = World::new(self.lane, Some(1 << 3))?;
        match self.side {
            Side::Tx => world.tx = None,
            Side::Rx => {
                let tx = world.tx.as_mut().expect("just made");
                for number in 0..THERE {
                    self.lane.send(PushBy::Try, tx, number).map_err(text("fill"))?;
                }
                world.rx = None;
            }
        }
        Ok(world)
    }

    fn victim(&self, world: &World<L>) {
        let queue = self.lane.open(&world.name).expect("open");
        match self.side {
            Side::Tx => {
                let mut tx = self.lane.tx(&queue).expect("take the producer");
                for number in 0..THERE {
                    self.lane.send(PushBy::Try, &mut tx, number).expect("fill");
                }
                mark();
                drop(tx);
                mark();
            }
            Side::Rx => {
                let rx = self.lane.rx(&queue).expect("take the consumer");
                mark();
                drop(rx);
                mark();
            }
        }
    }

    fn judge(&self, world: World<L>) -> Result<bool, String> {
        let lane = self.lane;
        let peer = match (&world.tx, &world.rx) {
            (Some(tx), _) => lane.tx_peer(tx),
            (_, Some(rx)) => lane.rx_peer(rx),
            _ => Peer::Vacant,
        };
        let end = match peer {
            Peer::Closed => Stop::Closed,
            Peer::Died => Stop::Died,
            other => return Err(format!("who died closing is {other:?}")),
        };
        let seen = match self.side {
            Side::Tx => survive_producer(lane, world, 0..THERE, After::Drain, &[end])?,
            Side::Rx => survive_consumer(lane, world, THERE, After::Drain, &[end])?,
        };
        ensure!(!seen, "closing moved a message");
        Ok(peer == Peer::Closed)
    }

    fn effect(&self) -> Effect {
        Effect::Once
    }
}

/// What is done to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Create,
    Open,
    /// The creator's handle is dropped, and the name with it.
    Drop,
    Remove,
    /// Removed though both ends are held.
    Force,
}

/// A queue is made, opened or removed by name.
pub(crate) struct Named<'a, L> {
    pub(crate) lane: &'a L,
    pub(crate) journal: &'a Journal,
    pub(crate) deed: Deed,
}

/// The name, and what this process has of the queue.
pub(crate) type Held<L> = (Name, Option<World<L>>);

impl<L: Lane> Named<'_, L> {
    /// A creator is stopped while it drops its queue, and the name is given to another queue meanwhile.
    fn replace(&self, victim: &mut Victim, name: &Name) -> Result<(), String> {
        match inspect::remove(name, true) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(format!("remove: {e}")),
            _ => {}
        }
        let queue = self.lane.create(name).map_err(text("create"))?;
        victim.resume()?;
        self.journal.wait_noted();
        let there = leftovers().iter().any(|other| other == name.as_str());
        drop(queue);
        ensure!(there, "the old creator removed the name of another's new queue");
        Ok(())
    }

    /// Whoever comes now finds a queue that works, or none and can make one.
    fn usable(&self, name: &Name) -> Result<bool, String> {
        let names = leftovers();
        let there = names.iter().any(|other| other == name.as_str());
        ensure!(names.len() == usize::from(there), "left behind: {names:?}");
        let listed = inspect::list().map_err(text("list"))?.contains(name);
        ensure!(listed == there, "listed: {listed}, there: {there}");
        if there {
            let again = self.lane.create(name).err().map(|e| e.kind());
            ensure!(again == Some(ErrorKind::AlreadyExists), "create again: {again:?}");
        }
        let queue = if there { self.lane.open(name) } else { self.lane.create(name) };
        let queue = queue.map_err(text("open or create"))?;
        let mut tx = self.lane.tx(&queue).map_err(text("take the producer"))?;
        let mut rx = self.lane.rx(&queue).map_err(text("take the consumer"))?;
        go_round(self.lane, &mut tx, &mut rx, &mut 0, &mut vec![])?;
        let report = inspect::report(name).map_err(text("report"))?;
        ensure!(report.depth == 0 && report.pushed == report.popped, "{report:?}");
        drop((tx, rx));
        if there {
            inspect::remove(name, false).map_err(text("remove"))?;
        }
        Ok(there)
    }
}

impl<L: Lane> Cell for Named<'_, L> {
    type World = Held<L>;

    fn world(&self) -> Result<Held<L>, String> {
        if matches!(self.deed, Deed::Create | Deed::Drop) {
            return Ok((scratch(), None));
        }
        let mut world = World::new(self.lane, None)?;
        if self.deed != Deed::Force {
            (world.tx, world.rx) = (None, None);
        }
        Ok((world.name.clone(), Some(world)))
    }

    fn victim(&self, (name, _): &Held<L>) {
        match self.deed {
            Deed::Create => {
                mark();
                let queue = self.lane.create(name);
                mark();
                assert!(queue.is_ok());
            }
            Deed::Open => {
                mark();
                let queue = self.lane.open(name);
                mark();
                assert!(queue.is_ok());
            }
            Deed::Drop => {
                let queue = self.lane.create(name).expect("create");
                mark();
                drop(queue);
                mark();
                self.journal.note(true);
            }
            Deed::Remove | Deed::Force => {
                mark();
                let removed = inspect::remove(name, self.deed == Deed::Force);
                mark();
                self.journal.note(removed.is_ok());
            }
        }
    }

    fn judge(&self, (name, world): Held<L>) -> Result<bool, String> {
        let names = leftovers();
        let gone = !names.iter().any(|other| other == name.as_str());
        if let Some(World { tx: Some(tx), rx: Some(rx), .. }) = world {
            // Whoever has a queue whose name is gone has it still.
            let (mut tx, mut rx) = (tx, rx);
            go_round(self.lane, &mut tx, &mut rx, &mut 0, &mut vec![])?;
        } else if self.deed != Deed::Drop && gone {
            // The old handle is still there, and takes no new queue of that name with it.
            self.usable(&name)?;
            let again = self.lane.create(&name).map_err(text("create"))?;
            drop(world);
            ensure!(leftovers().len() == 1, "a new queue's name went with an old one's handle");
            drop(again);
        } else {
            self.usable(&name)?;
        }
        Ok(if self.deed == Deed::Create { !gone } else { gone })
    }

    fn effect(&self) -> Effect {
        if self.deed == Deed::Open { Effect::Never } else { Effect::Sometime }
    }

    /// A remover is stopped halfway: nobody gets an end of a queue that then loses its name.
    fn outlive(&self, victim: &mut Victim, (name, world): Held<L>) -> Result<(), String> {
        let Some(world) = world else {
            return self.replace(victim, &name);
        };
        let taken = self.lane.own_tx(&world.queue);
        victim.resume()?;
        self.journal.wait_noted();
        let removed = self.journal.noted() == DONE;
        let there = leftovers().iter().any(|other| other == name.as_str());
        ensure!(removed != there, "removed: {removed}, still there: {there}");
        ensure!(removed != taken.is_ok(), "removed: {removed}, its end held: {}", taken.is_ok());
        if let Err(e) = taken {
            let kind = e.kind();
            let known = matches!(kind, ErrorKind::InUse | ErrorKind::NotFound);
            ensure!(known, "an end of a queue that is being removed: {kind:?}");
        }
        Ok(())
    }
}
