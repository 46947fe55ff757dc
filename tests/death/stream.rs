//! Push and pop, killed or paused at each instruction.
//!
//! This process holds the other end and is the survivor. A victim is judged by what the survivor gets:
//! all that was there before, the message in flight whole or not at all, and then what a successor sends.

use super::journal::{DONE, Journal};
use super::lane::{Lane, Outcome, PopBy, PushBy, Stop};
use super::sweep::{Cell, Effect, ensure};
use super::tracer::{Victim, mark};
use crate::common::scratch;
use ringlane::{ErrorKind, Name, Peer, Wait};
use std::hint::black_box;
use std::time::Duration;

/// Longer than anything takes, and a machine stands still, but not as long as the watchdog waits. Who waits as
/// long as this was forgotten.
pub(crate) const LONG: Duration = Duration::from_secs(45);

/// Long enough to go to sleep once.
pub(crate) const SHORT: Duration = Duration::from_millis(1);

/// A ring, and the end that this process holds.
pub(crate) struct World<L: Lane> {
    pub(crate) tx: Option<L::Tx>,
    pub(crate) rx: Option<L::Rx>,
    pub(crate) queue: L::Queue,
    pub(crate) name: Name,
}

/// What the victim is killed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Push(PushBy),
    Pop(PopBy),
}

/// What the ring is like when the operation begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    pub(crate) label: &'static str,
    /// Go round once and leave so many slots or bytes before the end; `None` for fresh memory.
    pub(crate) left: Option<usize>,
    pub(crate) fill: Fill,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    Exactly(usize),
    /// So many messages fewer than fit.
    ButFor(usize),
    /// All that fit, and then the consumer took one: the producer has to look for its room.
    TakenFrom,
}

/// What the survivor does first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Goes on with its own end until it learns of the death.
    Drain,
    /// Takes the dead one's place.
    Resume,
}

/// One operation in one state.
pub(crate) struct Stream<'a, L> {
    pub(crate) lane: &'a L,
    pub(crate) journal: &'a Journal,
    pub(crate) op: Op,
    pub(crate) state: State,
    pub(crate) after: After,
    /// How many messages fit.
    room: u64,
}

pub(crate) fn text<E: std::fmt::Debug>(what: &str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error:?}")
}

impl<L: Lane> World<L> {
    pub(crate) fn new(lane: &L, left: Option<usize>) -> Result<World<L>, String> {
        let name = scratch();
        let queue = lane.create(&name).map_err(text("create"))?;
        let mut tx = lane.own_tx(&queue).map_err(text("first producer"))?;
        let mut rx = lane.own_rx(&queue).map_err(text("first consumer"))?;
        if let Some(left) = left {
            lane.place(&mut tx, &mut rx, left).map_err(text("place"))?;
        }
        Ok(World { tx: Some(tx), rx: Some(rx), queue, name })
    }
}

/// How many messages fit into a ring that stands at `left`.
pub(crate) fn room<L: Lane>(lane: &L, left: Option<usize>) -> Result<u64, String> {
    let mut world = World::new(lane, left)?;
    let tx = world.tx.as_mut().expect("just made");
    let mut number = 0;
    while lane.send(PushBy::Try, tx, number).is_ok() {
        number += 1;
    }
    Ok(number)
}

/// Takes what comes, until nothing does; why nothing does.
pub(crate) fn drain<L: Lane>(lane: &L, by: PopBy, rx: &mut L::Rx, got: &mut Vec<u64>) -> Stop {
    loop {
        match lane.receive(by, rx) {
            Ok(number) => got.push(number),
            Err(stop) => return stop,
        }
    }
}

/// Puts in `next` and what follows, until no more goes in; why not.
fn stuff<L: Lane>(lane: &L, by: PushBy, tx: &mut L::Tx, next: &mut u64) -> Stop {
    loop {
        match lane.send(by, tx, *next) {
            Ok(()) => *next += 1,
            Err(stop) => return stop,
        }
    }
}

/// Three times around the ring, so that whatever was left in it comes to light.
pub(crate) fn go_round<L: Lane>(
    lane: &L,
    tx: &mut L::Tx,
    rx: &mut L::Rx,
    next: &mut u64,
    got: &mut Vec<u64>,
) -> Result<(), String> {
    for _ in 0..3 {
        let stop = stuff(lane, PushBy::Try, tx, next);
        ensure!(stop == Stop::Full, "a successor's push gave {stop:?}");
        let stop = drain(lane, PopBy::Try, rx, got);
        ensure!(stop == Stop::Empty, "after a successor's pushes, pop gave {stop:?}");
    }
    Ok(())
}

/// The producer is dead: what does the consumer get? True if the message in flight, which has the number
/// right after `before`, was among it.
pub(crate) fn survive_producer<L: Lane>(
    lane: &L,
    mut world: World<L>,
    before: std::ops::Range<u64>,
    after: After,
    end: &[Stop],
) -> Result<bool, String> {
    let mut rx = world.rx.take().expect("the survivor has the consumer");
    let (flight, mut got) = (before.end, vec![]);
    if after == After::Drain {
        let stop = drain(lane, PopBy::Wait(LONG), &mut rx, &mut got);
        ensure!(end.contains(&stop), "the survivor's pop gave {stop:?}, not {end:?}");
        let peer = lane.rx_peer(&rx);
        ensure!(stop != Stop::Died || peer == Peer::Died, "the dead producer is {peer:?}");
    }
    let mut tx = lane.own_tx(&world.queue).map_err(text("take the dead producer's place"))?;
    ensure!(lane.rx_peer(&rx) == Peer::Alive, "the successor is {:?}", lane.rx_peer(&rx));
    let mut next = flight + 1;
    go_round(lane, &mut tx, &mut rx, &mut next, &mut got)?;
    drop(tx);
    let stop = drain(lane, PopBy::Wait(LONG), &mut rx, &mut got);
    ensure!(stop == Stop::Closed, "after a close, pop gave {stop:?}");

    let committed = got.contains(&flight);
    let flight = committed.then_some(flight).into_iter();
    let wanted: Vec<u64> = before.clone().chain(flight).chain(before.end + 1..next).collect();
    ensure!(got == wanted, "got {got:?}, not {wanted:?}");
    Ok(committed)
}

/// The consumer is dead: what does its successor get? True if the first message of `0..sent` was taken.
pub(crate) fn survive_consumer<L: Lane>(
    lane: &L,
    mut world: World<L>,
    sent: u64,
    after: After,
    end: &[Stop],
) -> Result<bool, String> {
    let mut tx = world.tx.take().expect("the survivor has the producer");
    let (mut next, mut got) = (sent, vec![]);
    if after == After::Drain {
        let stop = stuff(lane, PushBy::Wait(LONG), &mut tx, &mut next);
        ensure!(end.contains(&stop), "the survivor's push gave {stop:?}, not {end:?}");
        let peer = lane.tx_peer(&tx);
        ensure!(stop != Stop::Died || peer == Peer::Died, "the dead consumer is {peer:?}");
    }
    let mut rx = lane.own_rx(&world.queue).map_err(text("take the dead consumer's place"))?;
    ensure!(lane.tx_peer(&tx) == Peer::Alive, "the successor is {:?}", lane.tx_peer(&tx));
    go_round(lane, &mut tx, &mut rx, &mut next, &mut got)?;
    drop(tx);
    let stop = drain(lane, PopBy::Wait(LONG), &mut rx, &mut got);
    ensure!(stop == Stop::Closed, "after a close, pop gave {stop:?}");

    let taken = sent > 0 && got.first() != Some(&0);
    let wanted: Vec<u64> = (u64::from(taken)..next).collect();
    ensure!(got == wanted, "got {got:?}, not {wanted:?}");
    Ok(taken)
}

impl<'a, L: Lane> Stream<'a, L> {
    pub(crate) fn new(
        lane: &'a L,
        journal: &'a Journal,
        op: Op,
        state: State,
        after: After,
    ) -> Result<Self, String> {
        let room = room(lane, state.left)?;
        Ok(Stream { lane, journal, op, state, after, room })
    }

    /// How many messages are put in before the operation, and how many taken out again.
    fn filled(&self) -> (u64, u64) {
        match self.state.fill {
            Fill::Exactly(count) => (count as u64, 0),
            Fill::ButFor(count) => (self.room - count as u64, 0),
            Fill::TakenFrom => (self.room, 1),
        }
    }

    fn produce(&self, name: &Name, by: PushBy) {
        let (fill, _) = self.filled();
        let queue = self.lane.open(name).expect("open");
        let mut tx = self.lane.tx(&queue).expect("take the producer");
        for number in 0..fill {
            self.lane.send(PushBy::Try, &mut tx, number).expect("fill");
        }
        let message = self.lane.message(fill);
        if matches!(by, PushBy::Wait(_)) {
            self.lane.set_tx_wait(&mut tx, Wait::Park);
            // Who first sleeps gets a thread, which must not meet a breakpoint: now, not later.
            let full = self.lane.send(PushBy::Wait(SHORT), &mut tx, fill);
            assert_eq!(full, Err(Stop::Full));
        }
        mark();
        let pushed = self.lane.push(by, &mut tx, black_box(&message));
        mark();
        // From here on only who was paused, not killed.
        self.journal.note(pushed.is_ok());
        for number in fill + 1..fill + 1 + 2 * self.room {
            self.lane.send(PushBy::Wait(LONG), &mut tx, number).expect("go on");
        }
    }

    fn consume(&self, name: &Name, by: PopBy) {
        let queue = self.lane.open(name).expect("open");
        let mut rx = self.lane.rx(&queue).expect("take the consumer");
        if matches!(by, PopBy::Wait(_)) {
            self.lane.set_rx_wait(&mut rx, Wait::Park);
            let empty = self.lane.receive(PopBy::Wait(SHORT), &mut rx);
            assert_eq!(empty, Err(Stop::Empty));
        }
        mark();
        let popped = self.lane.pop(by, &mut rx);
        mark();
        let mut got = vec![];
        if let Ok(message) = black_box(popped) {
            got.push(self.lane.number(&message).expect("whole"));
        }
        let stop = drain(self.lane, PopBy::Wait(LONG), &mut rx, &mut got);
        assert_eq!(stop, Stop::Closed);
        let wanted: Vec<u64> = (0..got.len() as u64).collect();
        assert_eq!(got, wanted);
        self.journal.count(got.len() as u64);
    }

    fn outlive_producer(&self, victim: &mut Victim, mut world: World<L>) -> Result<(), String> {
        let (fill, take) = self.filled();
        let lane = self.lane;
        let mut rx = world.rx.take().expect("the survivor has the consumer");
        let mut got = vec![];
        for _ in 0..2 {
            let stop = drain(lane, PopBy::Try, &mut rx, &mut got);
            ensure!(stop == Stop::Empty, "while the producer was stopped, pop gave {stop:?}");
            ensure!(lane.rx_peer(&rx) == Peer::Alive, "stopped: {:?}", lane.rx_peer(&rx));
        }
        let taken = lane.own_tx(&world.queue).err().map(|e| e.kind());
        ensure!(taken == Some(ErrorKind::InUse), "a stopped producer's place: {taken:?}");
        victim.resume()?;
        let stop = drain(lane, PopBy::Wait(LONG), &mut rx, &mut got);
        ensure!(stop == Stop::Closed, "after the producer went on and closed, pop gave {stop:?}");
        let pushed = self.journal.noted() == DONE;
        let rest = fill + 1..fill + 1 + 2 * self.room;
        let wanted: Vec<u64> = (take..fill).chain(pushed.then_some(fill)).chain(rest).collect();
        ensure!(got == wanted, "got {got:?}, not {wanted:?}");
        Ok(())
    }

    fn outlive_consumer(&self, victim: &mut Victim, mut world: World<L>) -> Result<(), String> {
        let lane = self.lane;
        let mut tx = world.tx.take().expect("the survivor has the producer");
        let mut next = self.filled().0;
        for _ in 0..2 {
            let stop = stuff(lane, PushBy::Try, &mut tx, &mut next);
            ensure!(stop == Stop::Full, "while the consumer was stopped, push gave {stop:?}");
            ensure!(lane.tx_peer(&tx) == Peer::Alive, "stopped: {:?}", lane.tx_peer(&tx));
        }
        let taken = lane.own_rx(&world.queue).err().map(|e| e.kind());
        ensure!(taken == Some(ErrorKind::InUse), "a stopped consumer's place: {taken:?}");
        victim.resume()?;
        for number in next..next + 2 * self.room {
            lane.send(PushBy::Wait(LONG), &mut tx, number).map_err(text("after it went on"))?;
        }
        drop(tx);
        self.journal.expect(next + 2 * self.room);
        Ok(())
    }
}

impl<L: Lane> Cell for Stream<'_, L> {
    type World = World<L>;

    fn world(&self) -> Result<World<L>, String> {
        let mut world = World::new(self.lane, self.state.left)?;
        match self.op {
            Op::Push(_) => world.tx = None,
            Op::Pop(_) => {
                let tx = world.tx.as_mut().expect("just made");
                for number in 0..self.filled().0 {
                    self.lane.send(PushBy::Try, tx, number).map_err(text("fill"))?;
                }
                world.rx = None;
            }
        }
        Ok(world)
    }

    fn victim(&self, world: &World<L>) {
        match self.op {
            Op::Push(by) => self.produce(&world.name, by),
            Op::Pop(by) => self.consume(&world.name, by),
        }
    }

    fn staged(&self, world: &mut World<L>) -> Result<(), String> {
        if let Some(rx) = &mut world.rx {
            for number in 0..self.filled().1 {
                let popped: Outcome<u64> = self.lane.receive(PopBy::Try, rx);
                ensure!(popped == Ok(number), "before the operation, pop gave {popped:?}");
            }
        }
        Ok(())
    }

    fn judge(&self, world: World<L>) -> Result<bool, String> {
        let (fill, take) = self.filled();
        match self.op {
            Op::Push(_) => {
                survive_producer(self.lane, world, take..fill, self.after, &[Stop::Died])
            }
            Op::Pop(_) => survive_consumer(self.lane, world, fill, self.after, &[Stop::Died]),
        }
    }

    fn effect(&self) -> Effect {
        let (fill, take) = self.filled();
        let done = match self.op {
            Op::Push(PushBy::Abort) => false,
            Op::Push(_) => fill - take < self.room,
            Op::Pop(_) => fill > 0,
        };
        if done { Effect::Once } else { Effect::Never }
    }

    fn outlive(&self, victim: &mut Victim, world: World<L>) -> Result<(), String> {
        match self.op {
            Op::Push(_) => self.outlive_producer(victim, world),
            Op::Pop(_) => self.outlive_consumer(victim, world),
        }
    }

    fn outlived(&self) -> Result<(), String> {
        match self.op {
            Op::Push(_) => Ok(()),
            Op::Pop(_) => self.journal.compare(),
        }
    }
}
