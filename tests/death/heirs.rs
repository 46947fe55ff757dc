//! A newcomer that is stopped while the producer that was alone dies, and so many come to that one's place that the
//! generations of places, as words have them, come round: the last of them stays. What the newcomer then does in the
//! dead one's name must not be taken for that of the last one, who would be waited for.

use super::goods::Goods;
use super::journal::{DONE, Journal};
use super::many::{Case, open};
use super::stream::text;
use super::sweep::{Cell, Effect, ensure};
use super::tracer::{Trace, Victim, mark};
use crate::common::scratch;
use ringlane::mpmc::Delivery;
use ringlane::{Name, PopError};

/// What the newcomer pushes, and the last of those who came meanwhile.
const NEWCOMERS: u64 = 3000;
const LASTS: u64 = 3001;

/// How many generations of a place words tell from each other.
const GENERATIONS: usize = 256;

/// A newcomer beside one that was alone and has come so far in a push.
pub(crate) struct Heirs<'a, G> {
    pub(crate) journal: &'a Journal,
    /// A push of one that is alone.
    pub(crate) push: &'a Case<'a, G>,
    pub(crate) trace: &'a Trace,
    pub(crate) step: usize,
}

pub(crate) struct World<G: Goods> {
    name: Name,
    queue: G::Queue,
    rx: G::Rx,
    alone: Victim,
}

impl<G: Goods> Cell for Heirs<'_, G> {
    type World = World<G>;

    fn world(&self) -> Result<World<G>, String> {
        let name = scratch();
        let queue = G::create(&name, 4, Delivery::AtMostOnce).map_err(text("create"))?;
        let rx = G::consumer(&queue).map_err(text("a consumer"))?;
        let mut alone = Victim::start(|| self.push.act(&open::<G>(&name), 0))?;
        ensure!(
            alone.run_to(self.trace, self.step, true)?,
            "the one that is alone went another way"
        );
        Ok(World { name, queue, rx, alone })
    }

    fn victim(&self, world: &World<G>) {
        let queue = open::<G>(&world.name);
        mark();
        let tx = G::producer(&queue);
        mark();
        let pushed = G::push(&mut tx.expect("a place"), &G::thing(NEWCOMERS));
        self.journal.note(pushed.is_ok());
    }

    fn judge(&self, _: World<G>) -> Result<bool, String> {
        Err("this operation is only paused".into())
    }

    fn effect(&self) -> Effect {
        Effect::Any
    }

    fn outlive(&self, victim: &mut Victim, world: World<G>) -> Result<(), String> {
        let World { queue, mut rx, alone, .. } = world;
        alone.kill();
        for _ in 1..GENERATIONS {
            drop(G::producer(&queue).map_err(text("one of many"))?);
        }
        let mut last = G::producer(&queue).map_err(text("the last"))?;
        victim.resume()?;
        self.journal.wait_noted();
        ensure!(self.journal.noted() == DONE, "there was no room");
        G::push(&mut last, &G::thing(LASTS)).map_err(text("push"))?;
        let mut thing = G::thing(0);
        let mut got = vec![];
        let why = loop {
            match G::take(&mut rx, &mut thing) {
                Ok(_) => got.push(G::number(&thing).ok_or("a torn value")?),
                Err(why) => break why,
            }
        };
        ensure!(why == PopError::Empty, "pop gave {why:?} after {got:?}");
        ensure!(got == [NEWCOMERS, LASTS], "got {got:?}");
        Ok(())
    }
}
