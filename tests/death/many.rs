//! Rings for many: an operation of one participant is killed or paused at each instruction, and the others
//! push and pop on.
//!
//! This process has a producer and a consumer from the beginning; the victim takes a third place. Or it has only the
//! consumer, and the victim is alone among producers, until the survivors push. With a
//! corpse, a fourth participant was there before, and died at some instruction of an operation of its own: then
//! the victim is who meets what it left.

use super::goods::{BATCH, Goods};
use super::journal::{DONE, Journal};
use super::stream::text;
use super::sweep::{Cell, Effect, ensure};
use super::tracer::{Trace, Victim, mark};
use crate::common::scratch;
use ringlane::mpmc::Delivery;
use ringlane::{Name, Peer, PopError, PushError, inspect};
use std::marker::PhantomData;

/// The first number that the victim pushes, and a corpse before it, and the survivors after it.
const VICTIMS: u64 = 1000;
const CORPSES: u64 = 2000;
const LATER: u64 = 3000;

/// What the victim does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Push,
    PushSlice,
    /// Reserve, then commit.
    Commit,
    /// Reserve, then think better of it.
    Abort,
    Pop,
    PopSlice,
    /// Take, then acknowledge.
    Take,
    /// Take, then give back.
    GiveBack,
    AttachProducer,
    AttachConsumer,
    CloseProducer,
    CloseConsumer,
}

impl Deed {
    fn produces(self) -> bool {
        use Deed::*;
        matches!(self, Push | PushSlice | Commit | Abort | AttachProducer | CloseProducer)
    }

    /// How many values it puts in.
    fn pushes(self) -> u64 {
        match self {
            Deed::Push | Deed::Commit => 1,
            Deed::PushSlice => BATCH as u64,
            _ => 0,
        }
    }

    /// How many it takes out, if they are there.
    fn pops(self, acked: bool) -> usize {
        match self {
            Deed::Pop | Deed::Take => 1,
            Deed::PopSlice if acked => 1,
            Deed::PopSlice => BATCH,
            _ => 0,
        }
    }
}

/// What the ring is like before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    pub(crate) label: &'static str,
    /// How many values have gone through.
    pub(crate) gone: usize,
    /// How many are there.
    pub(crate) fill: usize,
    /// Whether a slot was given up in front of them.
    pub(crate) gap: bool,
    /// Whether the victim is the only producer. Else this process has one from the beginning.
    pub(crate) alone: bool,
}

/// What the survivors do first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    Pop,
    Push,
}

/// A kind of ring.
pub(crate) struct Many<G> {
    pub(crate) label: &'static str,
    delivery: Delivery,
    capacity: usize,
    acked: bool,
    _goods: PhantomData<G>,
}

impl<G: Goods> Many<G> {
    pub(crate) fn new(label: &'static str, capacity: usize, delivery: Delivery) -> Many<G> {
        let acked = delivery == Delivery::AtLeastOnce;
        Many { label, delivery, capacity, acked, _goods: PhantomData }
    }

    pub(crate) fn is_acked(&self) -> bool {
        self.acked
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }
}

/// One operation in one state.
pub(crate) struct Case<'a, G> {
    pub(crate) many: &'a Many<G>,
    pub(crate) journal: &'a Journal,
    pub(crate) deed: Deed,
    pub(crate) state: State,
    pub(crate) first: First,
    pub(crate) corpse: Option<Corpse<'a, G>>,
}

/// A participant that died at one instruction of another case, whose state is this one's.
pub(crate) struct Corpse<'a, G> {
    pub(crate) case: &'a Case<'a, G>,
    pub(crate) trace: &'a Trace,
    pub(crate) step: usize,
    /// Whether its operation had taken effect.
    pub(crate) done: bool,
}

/// What this process has of the ring.
pub(crate) struct World<G: Goods> {
    name: Name,
    queue: G::Queue,
    /// None while the victim is alone: then who pushes next comes for it.
    tx: Option<G::Tx>,
    rx: G::Rx,
}

/// A bit for each number that a consumer may get.
fn bit(number: u64) -> u64 {
    match number {
        LATER.. => 16 + (number - LATER),
        CORPSES.. => 8 + (number - CORPSES),
        _ => number % 8,
    }
}

impl<G: Goods> World<G> {
    fn ends(queue: &G::Queue) -> Result<(Option<G::Tx>, G::Rx), String> {
        let tx = G::producer(queue).map_err(text("a producer"))?;
        let rx = G::consumer(queue).map_err(text("a consumer"))?;
        Ok((Some(tx), rx))
    }

    fn tx(&mut self) -> Result<&mut G::Tx, String> {
        if self.tx.is_none() {
            self.tx = Some(G::producer(&self.queue).map_err(text("a later producer"))?);
        }
        Ok(self.tx.as_mut().expect("just made"))
    }

    /// Takes all that comes, and whether it was marked; why no more does.
    fn drain(&mut self, got: &mut Vec<(u64, bool)>) -> Result<PopError, String> {
        let mut thing = G::thing(0);
        loop {
            match G::take(&mut self.rx, &mut thing) {
                Ok(again) => got.push((G::number(&thing).ok_or("a torn value")?, again)),
                Err(why) => return Ok(why),
            }
        }
    }

    /// Puts in `next` and what follows until no more goes in.
    fn stuff(&mut self, next: &mut u64) -> Result<(), String> {
        loop {
            match G::push(self.tx()?, &G::thing(*next)) {
                Ok(()) => *next += 1,
                Err(PushError::Full(_)) => return Ok(()),
                Err(why) => return Err(format!("push gave {why:?}")),
            }
        }
    }
}

impl<G: Goods> Case<'_, G> {
    /// What is in the ring before the victim begins, as far as all know.
    fn before(&self) -> Vec<u64> {
        let mut there: Vec<u64> = (0..self.state.fill as u64).collect();
        if let Some(corpse) = &self.corpse
            && corpse.done
        {
            let deed = corpse.case.deed;
            there.extend((0..deed.pushes()).map(|n| CORPSES + n));
            there.drain(..deed.pops(self.many.acked).min(there.len()));
        }
        there
    }

    pub(crate) fn act(&self, queue: &G::Queue, base: u64) {
        let things: [G::Thing; BATCH] = std::array::from_fn(|index| G::thing(base + index as u64));
        let mut mask = 0;
        let mut saw = |thing: &G::Thing| mask |= 1_u64 << bit(G::number(thing).expect("whole"));
        if self.deed == Deed::AttachProducer || self.deed == Deed::AttachConsumer {
            mark();
            let (tx, rx) = match self.deed {
                Deed::AttachProducer => (Some(G::producer(queue)), None),
                _ => (None, Some(G::consumer(queue))),
            };
            mark();
            drop((tx.map(Result::unwrap), rx.map(Result::unwrap)));
            return self.journal.note(true);
        }
        if self.deed.produces() {
            let mut tx = G::producer(queue).expect("a place");
            mark();
            let done = match self.deed {
                Deed::Push => G::push(&mut tx, &things[0]).is_ok(),
                Deed::PushSlice => {
                    let count = G::push_batch(&mut tx, &things);
                    self.journal.count(count as u64);
                    count > 0
                }
                Deed::Commit => G::commit(&mut tx, &things[0]),
                Deed::Abort => {
                    G::abort(&mut tx);
                    false
                }
                _ => {
                    drop(tx);
                    mark();
                    return self.journal.note(true);
                }
            };
            mark();
            return self.journal.note(done);
        }
        let mut rx = G::consumer(queue).expect("a place");
        let mut out = things;
        mark();
        let count = match self.deed {
            Deed::Pop => usize::from(G::pop(&mut rx, &mut out[0])),
            Deed::PopSlice => G::pop_batch(&mut rx, &mut out),
            Deed::Take => usize::from(G::take(&mut rx, &mut out[0]).is_ok()),
            Deed::GiveBack => {
                G::give_back(&mut rx);
                0
            }
            _ => {
                drop(rx);
                mark();
                return self.journal.note(true);
            }
        };
        mark();
        out[..count].iter().for_each(&mut saw);
        self.journal.count(mask);
        self.journal.note(count > 0);
    }

    /// The first case's victim is killed.
    fn bury(&self, world: &World<G>, corpse: &Corpse<'_, G>) -> Result<(), String> {
        let mut victim = Victim::start(|| corpse.case.act(&open::<G>(&world.name), CORPSES))?;
        let exact = victim.run_to(corpse.trace, corpse.step, true)?;
        ensure!(exact, "the first victim went another way");
        victim.kill();
        self.journal.clear();
        Ok(())
    }

    /// What came must be what was there, what the victim did, and what came later. Whether it did it.
    fn compare(&self, got: &[(u64, bool)], later: std::ops::Range<u64>) -> Result<bool, String> {
        let numbers: Vec<u64> = got.iter().map(|(number, _)| *number).collect();
        let (pushes, pops) = (self.deed.pushes(), self.deed.pops(self.many.acked));
        let mut wanted = self.before();
        let done = match pushes {
            0 => {
                let missing = wanted.len().min(pops);
                let taken = missing > 0 && !numbers.contains(&wanted[0]);
                if taken {
                    wanted.drain(..missing);
                }
                taken
            }
            _ => {
                let there = (0..pushes).filter(|n| numbers.contains(&(VICTIMS + n))).count() as u64;
                wanted.extend((0..there).map(|n| VICTIMS + n));
                // As many as there was room for, or none. A gap that has not been passed yet may count.
                let gap = u64::from(self.state.gap && self.many.acked);
                let fits = [pushes.min(self.room()), pushes.min(self.room() - gap)];
                ensure!(there == 0 || fits.contains(&there), "a part of a batch: {there}");
                there > 0
            }
        };
        wanted.extend(later);
        let marked: Vec<u64> = got.iter().filter(|(_, again)| *again).map(|(n, _)| *n).collect();
        // What comes again comes when it is found; all else is in order.
        let mut in_order = numbers.clone();
        in_order.retain(|number| !marked.contains(number));
        let once = numbers.len() == in_order.len() + marked.len();
        let known = marked.iter().all(|number| wanted.contains(number));
        let ordered = wanted.iter().filter(|number| !marked.contains(number)).eq(&in_order);
        ensure!(once && known && ordered, "got {numbers:?}, {marked:?} again, not {wanted:?}");
        let held = [Deed::Take, Deed::GiveBack, Deed::Pop, Deed::PopSlice];
        let holders = self.corpse.iter().map(|corpse| corpse.case.deed).chain([self.deed]);
        let may = self.many.acked && holders.into_iter().any(|deed| held.contains(&deed));
        ensure!(marked.is_empty() || may, "came again: {marked:?}");
        ensure!(marked.len() <= 1, "came again: {marked:?}");
        Ok(done)
    }

    /// How many values fit when the victim begins, at most.
    fn room(&self) -> u64 {
        // Producers pass a gap themselves where there are acknowledgements, and else consumers do.
        let gap = usize::from(self.state.gap && !self.many.acked);
        (self.many.capacity - self.state.fill - gap) as u64
    }

    /// Nobody counts as alive who is dead, and the other way round.
    fn look(&self, name: &Name, paused: Option<u32>) -> Result<(), String> {
        let report = inspect::report(name).map_err(text("report"))?;
        let own = std::process::id();
        for one in &report.participants {
            let alive = one.holder == Peer::Alive;
            let lives = one.pid == own || Some(one.pid) == paused;
            // A newcomer has not written its number when it has its lock.
            ensure!(!alive || lives || paused.is_some(), "a dead one lives: {one:?}");
            ensure!(paused.is_none() || one.deaths == 0, "a stopped one is dead: {one:?}");
        }
        Ok(())
    }
}

pub(crate) fn open<G: Goods>(name: &Name) -> G::Queue {
    G::open(name).expect("open")
}

impl<G: Goods> Cell for Case<'_, G> {
    type World = World<G>;

    fn world(&self) -> Result<World<G>, String> {
        let name = scratch();
        let many = self.many;
        let queue = G::create(&name, many.capacity, many.delivery).map_err(text("create"))?;
        let (tx, rx) = World::<G>::ends(&queue)?;
        let mut world = World { name, queue, tx, rx };
        for _ in 0..self.state.gone {
            G::push(world.tx()?, &G::thing(999)).map_err(text("place"))?;
            ensure!(G::pop(&mut world.rx, &mut G::thing(0)), "no place");
        }
        if self.state.gap {
            ensure!(G::abort(world.tx()?), "no gap");
        }
        for number in 0..self.state.fill as u64 {
            G::push(world.tx()?, &G::thing(number)).map_err(text("fill"))?;
        }
        if self.state.alone {
            world.tx = None;
        }
        if let Some(corpse) = &self.corpse {
            self.bury(&world, corpse)?;
        }
        Ok(world)
    }

    fn victim(&self, world: &World<G>) {
        self.act(&open::<G>(&world.name), VICTIMS);
    }

    fn judge(&self, mut world: World<G>) -> Result<bool, String> {
        let (mut got, mut next) = (Vec::new(), LATER);
        if self.first == First::Push {
            world.stuff(&mut next)?;
        }
        for _ in 0..3 {
            let nobody = world.tx.is_none();
            let why = world.drain(&mut got)?;
            let none = why == PopError::Empty || nobody && why == PopError::Closed;
            ensure!(none, "pop gave {why:?}");
            let from = next;
            world.stuff(&mut next)?;
            let fit = (next - from) as usize;
            ensure!(fit == self.many.capacity, "only {fit} fit");
            // Newcomers do no worse.
            let (tx, rx) = World::<G>::ends(&world.queue)?;
            (world.tx, world.rx) = (tx, rx);
        }
        let why = world.drain(&mut got)?;
        ensure!(why == PopError::Empty, "at the end, pop gave {why:?}");
        self.look(&world.name, None)?;
        let done = self.compare(&got, LATER..next)?;
        let noted =
            self.journal.noted() == DONE && self.deed.pushes() + self.deed.pops(true) as u64 > 0;
        ensure!(done || !noted, "what was done is lost");
        Ok(done)
    }

    fn effect(&self) -> Effect {
        let done = match self.deed {
            deed if deed.pushes() > 0 => self.room() > 0,
            deed => deed.pops(self.many.acked) > 0 && !self.before().is_empty(),
        };
        match self.corpse {
            // Whether a dead one's slot counts, and how long it takes to be sure, is the kernel's affair.
            Some(_) => Effect::Any,
            None if done => Effect::Once,
            None => Effect::Never,
        }
    }

    fn outlive(&self, victim: &mut Victim, mut world: World<G>) -> Result<(), String> {
        let (mut got, mut next) = (Vec::new(), LATER);
        let pid = victim.pid().as_raw().cast_unsigned();
        let mut stalled = false;
        for _ in 0..2 {
            let nobody = world.tx.is_none();
            let why = world.drain(&mut got)?;
            stalled |= why == PopError::Stalled { pid };
            let none = why == PopError::Empty || nobody && why == PopError::Closed;
            let known = none || why == PopError::Stalled { pid };
            ensure!(known, "while the victim was stopped, pop gave {why:?}");
            ensure!(!stalled || self.deed.produces(), "a stopped consumer is in the way: {why:?}");
            world.stuff(&mut next)?;
        }
        self.look(&world.name, Some(pid))?;
        victim.resume()?;
        self.journal.wait_noted();
        let why = world.drain(&mut got)?;
        ensure!(why == PopError::Empty, "after the victim went on, pop gave {why:?}");
        let done = self.journal.noted() == DONE;
        // All whole, none lost, none twice; those of one producer in order.
        let mut wanted = self.before();
        wanted.extend(LATER..next);
        let mask = self.journal.counted();
        if self.deed.pushes() > 0 && done {
            let count = if self.deed == Deed::PushSlice { mask } else { 1 };
            wanted.extend((0..count).map(|n| VICTIMS + n));
        } else if !self.deed.produces() {
            // Numbers of two kinds: those that were there, and those that came while it was stopped.
            let theirs = |number: &u64| mask >> bit(*number) & 1 == 1;
            let popped = wanted.iter().filter(|n| theirs(n)).count();
            wanted.retain(|number| !theirs(number));
            ensure!(popped == mask.count_ones() as usize, "the victim popped what was not there");
        }
        let mut numbers: Vec<u64> = got.iter().map(|(number, _)| *number).collect();
        for range in [0..VICTIMS, VICTIMS..CORPSES, LATER..u64::MAX] {
            let of_one: Vec<u64> = numbers.iter().copied().filter(|n| range.contains(n)).collect();
            let acked = self.many.acked;
            ensure!(acked || of_one.is_sorted(), "out of order: {of_one:?}");
        }
        numbers.sort_unstable();
        wanted.sort_unstable();
        ensure!(numbers == wanted, "got {numbers:?}, not {wanted:?}");
        Ok(())
    }
}
