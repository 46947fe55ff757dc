//! One cell of the matrix: every instruction of one operation in one state.

use super::journal::Journal;
use super::tracer::{Trace, Victim};
use crate::common::{leftovers, sweep_up, watchdog};

/// Fails the cell with a sentence.
macro_rules! ensure {
    ($yes:expr, $($arg:tt)*) => {
        if !$yes {
            return Err(format!($($arg)*));
        }
    };
}
pub(crate) use ensure;

/// What the survivor may see of the operation, by how far the victim came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing before one instruction, all from that instruction on, and surely at the end.
    Once,
    /// Nothing at first and all at the end; how many instructions it takes is the allocator's affair.
    Sometime,
    /// Nothing at all.
    Never,
    /// There is no saying: other processes and the clock take part.
    Any,
}

/// An operation in a state.
pub(crate) trait Cell {
    /// What this process has of the ring, made anew for each victim.
    type World;

    fn world(&self) -> Result<Self::World, String>;
    /// In the child: gets ready, marks, does the operation, marks. What follows is for those that were
    /// only paused.
    fn victim(&self, world: &Self::World);
    /// In this process, while the victim stands at its first marker.
    fn staged(&self, _world: &mut Self::World) -> Result<(), String> {
        Ok(())
    }
    /// After the victim's death: are the promises kept, and did the operation take effect?
    fn judge(&self, world: Self::World) -> Result<bool, String>;
    fn effect(&self) -> Effect;
    /// While the victim is stopped within the operation: goes on, resumes it, and looks at the outcome.
    fn outlive(&self, _victim: &mut Victim, _world: Self::World) -> Result<(), String> {
        Err("this operation is not paused".into())
    }
    /// After the paused victim has returned.
    fn outlived(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Which instructions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// About how many; all if the operation has no more. The first and the last are always taken.
    pub(crate) budget: usize,
    /// Take all that are near this one.
    pub(crate) around: Option<usize>,
    /// Where to begin to count.
    pub(crate) offset: usize,
    /// Where to stop if the operation does not end by itself.
    pub(crate) most: usize,
    /// Take only this one.
    pub(crate) only: Option<usize>,
}

impl Plan {
    fn points(&self, len: usize) -> Vec<usize> {
        if let Some(only) = self.only {
            return vec![only.min(len)];
        }
        let stride = len.div_ceil(self.budget).max(1);
        let near = |step: usize| self.around.is_some_and(|at| step.abs_diff(at) <= 25);
        let taken = |step: &usize| {
            *step == 0 || *step == len || step % stride == self.offset % stride || near(*step)
        };
        (0..=len).filter(taken).collect()
    }
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Victims killed, or paused.
    pub(crate) points: usize,
    /// Instructions of the operation.
    pub(crate) len: usize,
    /// Victims that went another way than the first.
    pub(crate) strays: usize,
    /// The first point at which the operation had taken effect.
    pub(crate) effect: Option<usize>,
    /// Most rounds of one string instruction: each of them is a point, too.
    pub(crate) rounds: usize,
}

/// A promise broken, and where.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) step: usize,
    pub(crate) at: String,
    pub(crate) text: String,
}

/// What happens to the victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Kill,
    Pause,
}

/// Where in this program an address lies, as `addr2line` takes it.
fn place(address: u64) -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut base = 0;
    for line in maps.lines() {
        let mut fields = line.split_ascii_whitespace();
        let range = fields.next().unwrap_or("");
        let file = fields.nth(4).unwrap_or("?");
        let (from, to) = range.split_once('-').unwrap_or(("0", "0"));
        let number = |text| u64::from_str_radix(text, 16).unwrap_or(0);
        let (from, to) = (number(from), number(to));
        if line.contains(" 00000000 ") {
            base = from;
        }
        if (from..to).contains(&address) {
            return format!("{file}+{:#x}", address - base);
        }
    }
    format!("{address:#x}")
}

/// A fresh victim at its first marker.
pub(crate) fn start<C: Cell>(cell: &C, journal: &Journal) -> Result<(Victim, C::World), String> {
    journal.clear();
    let mut world = cell.world()?;
    let victim = Victim::start(|| cell.victim(&world))?;
    cell.staged(&mut world)?;
    Ok((victim, world))
}

fn one<C: Cell>(
    cell: &C,
    journal: &Journal,
    fate: Fate,
    trace: &Trace,
    step: usize,
    tally: &mut Tally,
) -> Result<bool, String> {
    let (mut victim, mut world) = start(cell, journal)?;
    tally.points += 1;
    if !victim.run_to(trace, step, true)? {
        // Not where it should be: another, in single steps, which are slow and cannot go wrong.
        drop((victim, world));
        sweep_up();
        (victim, world) = start(cell, journal)?;
        tally.strays += usize::from(!victim.run_to(trace, step, false)?);
    }
    let done = match fate {
        Fate::Kill => {
            victim.kill();
            cell.judge(world)?
        }
        Fate::Pause => {
            cell.outlive(&mut victim, world)?;
            victim.finish()?;
            cell.outlived()?;
            false
        }
    };
    let names = leftovers();
    if names.is_empty() { Ok(done) } else { Err(format!("left behind: {names:?}")) }
}

/// Kills or pauses one victim at each point of the plan.
pub(crate) fn sweep<C: Cell>(
    cell: &C,
    journal: &Journal,
    fate: Fate,
    plan: Plan,
) -> Result<Tally, Fault> {
    let early = |text| Fault { step: 0, at: "before the operation".into(), text };
    watchdog(60, 0);
    let trace = usual_trace(cell, journal, plan.most).map_err(early)?;
    let mut plan = plan;
    let leaves_out = plan.only.is_none() && plan.budget < trace.len();
    if leaves_out && plan.around.is_none() && fate == Fate::Kill && cell.effect() == Effect::Once {
        plan.around = Some(halve(cell, journal, &trace).map_err(early)?);
    }
    let mut tally = Tally { len: trace.len(), rounds: trace.longest_repeat(), ..Tally::default() };
    for step in plan.points(trace.len()) {
        watchdog(60, step);
        let fault = |text: String| Fault { step, at: place(trace.at[step]), text };
        let strays = tally.strays;
        let done = one(cell, journal, fate, &trace, step, &mut tally).map_err(fault)?;
        let exact = tally.strays == strays;
        // Who went another way has kept its promises there; when its effect begins is another matter.
        if !exact || fate == Fate::Pause || cell.effect() == Effect::Any || plan.only.is_some() {
            continue;
        }
        match (done, tally.effect) {
            (true, None) => tally.effect = Some(step),
            (false, Some(since)) if cell.effect() != Effect::Sometime => {
                return Err(fault(format!("lost, though it was there since step {since}")));
            }
            _ => {}
        }
        let ended = trace.ended && step == trace.len();
        let wanted = matches!(cell.effect(), Effect::Once | Effect::Sometime);
        if step == 0 && done || ended && done != wanted {
            return Err(fault(format!("took effect: {done}, the operation ended: {ended}")));
        }
    }
    if cell.effect() == Effect::Once && tally.strays > 1 + tally.points / 2 {
        let text = format!("{} of {} victims went another way", tally.strays, tally.points);
        return Err(Fault { step: tally.len, at: "anywhere".into(), text });
    }
    Ok(tally)
}

/// The way that two victims in a row went, or the last of several: a clock's carry, say, is an instruction
/// more in one of a thousand.
fn usual_trace<C: Cell>(cell: &C, journal: &Journal, most: usize) -> Result<Trace, String> {
    let mut before: Option<Trace> = None;
    for _ in 0..5 {
        let trace = start(cell, journal).and_then(|(mut victim, _)| victim.trace(most))?;
        sweep_up();
        if cell.effect() != Effect::Once || before.is_some_and(|before| before.at == trace.at) {
            return Ok(trace);
        }
        before = Some(trace);
    }
    before.ok_or_else(|| "no trace".into())
}

/// Where the effect of an operation begins, found by halving.
fn halve<C: Cell>(cell: &C, journal: &Journal, trace: &Trace) -> Result<usize, String> {
    let (mut before, mut since) = (0, trace.len());
    while before + 1 < since {
        let middle = usize::midpoint(before, since);
        let done = one(cell, journal, Fate::Kill, trace, middle, &mut Tally::default())?;
        *if done { &mut since } else { &mut before } = middle;
    }
    Ok(since)
}

/// The trace of an operation, and where its effect begins.
pub(crate) fn bisect<C: Cell>(cell: &C, journal: &Journal) -> Result<(Trace, usize), String> {
    watchdog(60, 0);
    let trace = usual_trace(cell, journal, 1 << 20)?;
    let effect = halve(cell, journal, &trace)?;
    Ok((trace, effect))
}
