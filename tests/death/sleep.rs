//! A survivor that sleeps when its peer dies.
//!
//! Three processes: the sleeper, the victim, and this one, which only watches. The sleeper is stopped in
//! its sleep until the victim's fate is settled, so that the victim always finds it asleep; a message that
//! was committed by one who died before waking anybody must still arrive.

use super::journal::Journal;
use super::lane::{Lane, PopBy, PushBy, Stop};
use super::stream::{LONG, World, room, text};
use super::sweep::{Cell, Effect, ensure};
use super::tracer::{Victim, mark, reap, spawn};
use crate::common::scratch;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use ringlane::{ErrorKind, Name, Peer, Wait, inspect};

/// Which end the victim has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Tx,
    Rx,
}

/// What it does while the other end sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Push or pop.
    Move,
    Close,
    Attach,
}

/// One deed beside a sleeper.
pub(crate) struct Sleep<'a, L> {
    pub(crate) lane: &'a L,
    pub(crate) journal: &'a Journal,
    pub(crate) side: Side,
    pub(crate) deed: Deed,
    room: u64,
}

/// A child that sleeps. Dropping it ends it.
pub(crate) struct Sleeper(Option<Pid>);

impl Drop for Sleeper {
    fn drop(&mut self) {
        if let Some(pid) = self.0.take() {
            let _ = kill(pid, Signal::SIGKILL);
            let _ = waitpid(pid, None);
        }
    }
}

impl Sleeper {
    pub(crate) fn start(body: impl FnOnce()) -> Result<Sleeper, String> {
        Ok(Sleeper(Some(spawn(body)?)))
    }

    fn pid(&self) -> Pid {
        self.0.expect("still there")
    }

    fn report(name: &Name, side: Side) -> Result<inspect::End, String> {
        let report = inspect::report(name).map_err(text("report"))?;
        Ok(if side == Side::Tx { report.producer } else { report.consumer })
    }

    /// Stops it in its sleep on the end `side`.
    pub(crate) fn stop(&self, name: &Name, side: Side) -> Result<(), String> {
        loop {
            while !Self::report(name, side)?.asleep {
                let status = waitpid(self.pid(), Some(WaitPidFlag::WNOHANG));
                ensure!(status == Ok(WaitStatus::StillAlive), "the sleeper ended: {status:?}");
                std::thread::yield_now();
            }
            kill(self.pid(), Signal::SIGSTOP).map_err(text("stop"))?;
            let status = waitpid(self.pid(), Some(WaitPidFlag::WUNTRACED));
            ensure!(matches!(status, Ok(WaitStatus::Stopped(..))), "the sleeper ended: {status:?}");
            if Self::report(name, side)?.asleep {
                return Ok(());
            }
            self.go_on()?;
        }
    }

    pub(crate) fn go_on(&self) -> Result<(), String> {
        kill(self.pid(), Signal::SIGCONT).map_err(text("continue"))
    }

    /// Waits until it has returned.
    pub(crate) fn finish(&mut self) -> Result<(), String> {
        reap(self.0.take().expect("still there"))
    }
}

fn code(stop: &Stop) -> u64 {
    match stop {
        Stop::Died => 1,
        Stop::Closed => 2,
        Stop::Full | Stop::Empty => 3,
        Stop::Broken(_) => 4,
    }
}

impl<'a, L: Lane> Sleep<'a, L> {
    pub(crate) fn new(
        lane: &'a L,
        journal: &'a Journal,
        side: Side,
        deed: Deed,
    ) -> Result<Self, String> {
        Ok(Sleep { lane, journal, side, deed, room: room(lane, None)? })
    }

    fn other(&self) -> Side {
        if self.side == Side::Tx { Side::Rx } else { Side::Tx }
    }

    /// Takes or gives messages until that is over for good; says how many, and why it is over.
    fn sleeper(&self, name: &Name) {
        let queue = self.lane.open(name).expect("open");
        let mut count = 0;
        let stop = if self.other() == Side::Rx {
            let mut rx = self.lane.rx(&queue).expect("take the consumer");
            self.lane.set_rx_wait(&mut rx, Wait::Park);
            loop {
                match self.lane.receive(PopBy::Wait(LONG), &mut rx) {
                    Ok(number) => assert_eq!(number, count, "out of order"),
                    Err(stop) => break stop,
                }
                count += 1;
                self.journal.count(count);
            }
        } else {
            let mut tx = self.lane.tx(&queue).expect("take the producer");
            self.lane.set_tx_wait(&mut tx, Wait::Park);
            loop {
                if let Err(stop) = self.lane.send(PushBy::Wait(LONG), &mut tx, count) {
                    break stop;
                }
                count += 1;
                self.journal.count(count);
            }
        };
        self.journal.stop(code(&stop));
    }

    /// What the sleeper has seen in the end.
    fn outcome(&self, sleeper: &mut Sleeper) -> Result<(u64, u64), String> {
        sleeper.finish()?;
        Ok((self.journal.counted(), self.journal.stopped()))
    }

    /// All that the sleeper sent and nobody took is still there.
    fn rest(&self, world: &World<L>, from: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
        let mut rx = loop {
            match self.lane.own_rx(&world.queue) {
                // It says that it is closed before it gives the end back.
                Err(e) if e.kind() == ErrorKind::InUse => std::thread::yield_now(),
                taken => break taken.map_err(text("take the consumer"))?,
            }
        };
        let mut got = vec![];
        let stop = super::stream::drain(self.lane, PopBy::Wait(LONG), &mut rx, &mut got);
        ensure!(stop == Stop::Closed, "after the sleeper, pop gave {stop:?}");
        let first = got.first().copied().unwrap_or(self.journal.counted());
        let wanted: Vec<u64> = (first..self.journal.counted()).collect();
        ensure!(from.contains(&first) && got == wanted, "got {got:?}, not {wanted:?}");
        Ok(first)
    }
}

impl<L: Lane> Cell for Sleep<'_, L> {
    type World = (Sleeper, World<L>);

    fn world(&self) -> Result<Self::World, String> {
        let name = scratch();
        let queue = self.lane.create(&name).map_err(text("create"))?;
        let sleeper = Sleeper::start(|| self.sleeper(&name))?;
        Ok((sleeper, World { tx: None, rx: None, queue, name }))
    }

    fn victim(&self, (_, world): &Self::World) {
        let lane = self.lane;
        let queue = lane.open(&world.name).expect("open");
        let message = lane.message(0);
        match (self.side, self.deed) {
            (_, Deed::Attach) => {
                mark();
                let ends = match self.side {
                    Side::Tx => (lane.tx(&queue).ok(), None),
                    Side::Rx => (None, lane.rx(&queue).ok()),
                };
                mark();
                drop(ends);
            }
            (Side::Tx, deed) => {
                let mut tx = lane.tx(&queue).expect("take the producer");
                mark();
                if deed == Deed::Move {
                    let _ = lane.push(PushBy::Try, &mut tx, &message);
                } else {
                    drop(tx);
                    mark();
                    return;
                }
                mark();
                for number in 1..2 * self.room {
                    lane.send(PushBy::Wait(LONG), &mut tx, number).expect("go on");
                }
            }
            (Side::Rx, deed) => {
                let mut rx = lane.rx(&queue).expect("take the consumer");
                mark();
                if deed == Deed::Move {
                    let _ = lane.pop(PopBy::Try, &mut rx);
                } else {
                    drop(rx);
                    mark();
                    return;
                }
                mark();
                for number in 1..2 * self.room {
                    let popped = lane.receive(PopBy::Wait(LONG), &mut rx);
                    assert_eq!(popped, Ok(number));
                }
            }
        }
    }

    fn staged(&self, (sleeper, world): &mut Self::World) -> Result<(), String> {
        sleeper.stop(&world.name, self.other())
    }

    fn judge(&self, (mut sleeper, world): Self::World) -> Result<bool, String> {
        sleeper.go_on()?;
        if self.deed == Deed::Attach {
            // Nobody has come, as far as the sleeper can see: it is right to sleep on.
            let holder = Sleeper::report(&world.name, self.side)?.holder;
            if holder == Peer::Vacant {
                match self.side {
                    Side::Tx => drop(self.lane.own_tx(&world.queue).map_err(text("take"))?),
                    Side::Rx => drop(self.lane.own_rx(&world.queue).map_err(text("take"))?),
                }
            }
            let (count, stop) = self.outcome(&mut sleeper)?;
            let wanted = code(if holder == Peer::Vacant { &Stop::Closed } else { &Stop::Died });
            let moved = if self.side == Side::Tx { 0 } else { self.room };
            ensure!((count, stop) == (moved, wanted), "{holder:?}: sleeper saw {count}, {stop}");
            return Ok(holder == Peer::Died);
        }
        let (count, stop) = self.outcome(&mut sleeper)?;
        let closed = stop == code(&Stop::Closed);
        let expected = if self.deed == Deed::Close { closed || stop == 1 } else { stop == 1 };
        ensure!(expected, "the sleeper ended with {stop}");
        match self.side {
            Side::Tx => {
                let moved = u64::from(self.deed == Deed::Move);
                ensure!(count <= moved, "the sleeper got {count}");
                Ok(count == 1 || closed)
            }
            Side::Rx => {
                let first = self.rest(&world, 0..=1)?;
                // One record's room may be that of several.
                let went_on = count > self.room;
                ensure!(
                    count >= self.room && (first == 1 || !went_on),
                    "the sleeper sent {count}, from {first} on"
                );
                Ok(first == 1 || closed)
            }
        }
    }

    fn effect(&self) -> Effect {
        Effect::Once
    }

    fn outlive(
        &self,
        victim: &mut Victim,
        (mut sleeper, world): Self::World,
    ) -> Result<(), String> {
        sleeper.go_on()?;
        let holder = Sleeper::report(&world.name, self.side)?.holder;
        ensure!(holder != Peer::Died, "a stopped process passes for dead");
        victim.resume()?;
        let (count, stop) = self.outcome(&mut sleeper)?;
        ensure!(stop == code(&Stop::Closed), "the sleeper ended with {stop}");
        let moved = if self.deed == Deed::Move { 2 * self.room } else { 0 };
        match self.side {
            Side::Tx => ensure!(count == moved, "the sleeper got {count}"),
            Side::Rx => {
                let first = self.rest(&world, moved..=moved)?;
                ensure!(first == moved, "the successor begins with {first}");
            }
        }
        Ok(())
    }
}
