//! The protocol of rings for many by itself: every interleaving of a small model, with crashes at any step.
//!
//! The model is written from `docs/mpmc.md`, not from the code: one access to shared memory is one step, memory
//! is sequentially consistent (loom looks at the rest), values are written and read in two halves. Flaws that
//! are put in on purpose must be found, or the search would find nothing.
//!
//! `RINGLANE_PROTOCOL=full` makes it larger.
#![cfg(not(loom))]

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

const SLOTS: usize = 2;
const PEOPLE: usize = 5;
const VALUES: usize = 6;

/// A flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// A claim is skipped though its owner lives, only because it was slow.
    Impatience,
    /// Nobody skips the claims of the dead.
    Patience,
    /// A consumer stores the head instead of comparing and swapping it.
    BlindTake,
    /// A value is taken, then copied.
    TakeFirst,
    /// A claim does not wait for the head.
    NoRoomCheck,
    /// A slot is published before its value is whole.
    PublishFirst,
    /// A batch is published from its first slot to its last.
    ForwardBatch,
    /// Who walks over a claim takes it for one slot.
    RunIgnored,
    /// A dead one's slot is skipped by a store instead of a compare-and-swap.
    BlindSkip,
    /// Who is alone does not look a second time whether it is.
    OneLook,
    /// It looks twice, and says only then where it writes.
    LateAnnouncement,
    /// A newcomer does not claim where the one that was alone writes.
    NoHelp,
    /// It does so by a store instead of a compare-and-swap.
    BlindHelp,
    /// Who comes to the place of the one that was alone may sign as it did, when generations come round.
    Stranger,
    /// Who becomes alone does not look what is left of the one that was alone before.
    NoLastLook,
    /// Claims apart: who walks over what is claimed does not look at the slots, of which one that was alone has claimed none.
    ClaimsOnly,
    /// A newcomer among several does not change the standing.
    QuietArrival,
    /// Who becomes alone leaves what another one has announced.
    OldAnnouncement,
    /// At least once: a value that is given out is acknowledged before it is copied.
    EarlyAcknowledgement,
    /// At least once: what a dead consumer held is skipped.
    NoRedelivery,
}

#[derive(Clone, Copy, Debug)]
struct Setting {
    capacity: u8,
    producers: u8,
    consumers: u8,
    /// How many values each push of each producer has; 0 for no push.
    pushes: [[u8; 2]; 3],
    crashes: u8,
    /// How many values consumers copy at a time before they take them one by one.
    ahead: u8,
    /// Whether a push is one record in so many blocks, and not so many values.
    whole: bool,
    acknowledged: bool,
    /// Whether the first producer is alone when it begins, and the others come meanwhile.
    alone: bool,
    /// Whether claims are words of their own, and not the slots'.
    apart: bool,
    /// Whether so many come to the place of the first producer, should it die, that the last of them signs as it did.
    round: bool,
    flaw: Flaw,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
enum Mark {
    #[default]
    Published,
    Claimed,
    Skipped,
    Taken,
}

/// A control word. Turn 0 is the one before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
struct Word {
    turn: u8,
    mark: Mark,
    owner: u8,
    run: u8,
    again: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
enum Pc {
    // Producers that come.
    Attach,
    Join,
    End,
    ReadEnd,
    ReadWord,
    ClaimFor,
    Share,
    Scan,
    Announce,
    LastLook,
    Change,
    // One that comes when generations come round, until it is seen.
    Sweep,
    Sign,
    // One that is alone.
    SoleLook,
    SoleRoom,
    SoleAnnounce,
    SoleAgain,
    SoleSettle,
    SoleClaim,
    SoleMine,
    SoleHint,
    // Producers.
    #[default]
    Begin,
    Look,
    LookClaim,
    Hint,
    Catch,
    Room,
    Claim,
    Store,
    Write,
    Publish,
    Finished,
    // Consumers.
    Peek,
    PeekClaim,
    Copy,
    CopyRest,
    Take,
    Skip,
    Head,
    Resolve,
    // With acknowledgements.
    Hold,
    Acknowledge,
    Pass,
    PassWord,
    PassHead,
    Search,
}

/// Whether one producer is alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
enum Kind {
    #[default]
    Shared,
    Alone,
    Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
struct Standing {
    kind: Kind,
    owner: u8,
    count: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
struct Person {
    pc: Pc,
    dead: bool,
    cursor: u8,
    limit: u8,
    seen: Word,
    run: u8,
    index: u8,
    half: bool,
    push: u8,
    /// Claims before this position were complete when this push began.
    bound: u8,
    /// Copies, two halves each, and how many there are and how many were used.
    copies: [[u8; 2]; 2],
    copied: u8,
    used: u8,
    at: u8,
    /// Producers: whether others can see this one, and whether it takes itself to be alone.
    attached: bool,
    sole: bool,
    /// The standing as it was seen, or as it says that this one is alone.
    standing: Standing,
    /// What the one that was alone had announced.
    end: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
struct State {
    words: [Word; SLOTS],
    claims: [Word; SLOTS],
    values: [[u8; 2]; SLOTS],
    head: u8,
    tail: u8,
    standing: Standing,
    /// Behind what the one that is alone has announced.
    end: u8,
    people: [Person; PEOPLE],
    crashes: u8,
    // What only the referee sees.
    claimed: u8,
    /// After the last position whose push returned.
    returned: u8,
    /// For each position: whether its word was published, and the push returned; how often the value was given
    /// out; whether it is done with.
    published: [bool; VALUES * 2],
    complete: [bool; VALUES * 2],
    given: [u8; VALUES * 2],
    done: [bool; VALUES * 2],
}

struct Search {
    setting: Setting,
    seen: HashSet<u64>,
    states: usize,
    ends: usize,
}

type Step = Result<Option<State>, String>;

macro_rules! ensure {
    ($yes:expr, $($arg:tt)*) => {
        if !$yes {
            return Err(format!($($arg)*));
        }
    };
}

impl Setting {
    fn slot(&self, position: u8) -> usize {
        usize::from(position % self.capacity)
    }

    fn turn(&self, position: u8) -> u8 {
        position / self.capacity + 1
    }

    fn people(&self) -> usize {
        usize::from(self.producers + self.consumers)
    }

    /// How much room a push of so many needs: of values, one goes in alone.
    fn least(&self, run: u8) -> u8 {
        if self.whole { run } else { 1 }
    }

    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn published(&self, position: u8, again: bool, run: u8) -> Word {
        // A value's word says nothing of a run.
        let run = if self.whole { run } else { 0 };
        Word { turn: self.turn(position), again, run, ..Word::default() }
    }

    fn skipped(&self, position: u8, run: u8) -> Word {
        Word { turn: self.turn(position), mark: Mark::Skipped, run, ..Word::default() }
    }

    fn run_of(&self, word: Word) -> u8 {
        match word.mark {
            _ if self.is(Flaw::RunIgnored) => 1,
            _ if self.whole => word.run.max(1),
            Mark::Claimed | Mark::Skipped => word.run,
            _ => 1,
        }
    }

    /// The word by which a position is claimed.
    fn claim(&self, state: &State, position: u8) -> Word {
        let words = if self.apart { &state.claims } else { &state.words };
        words[self.slot(position)]
    }

    fn claimed(&self, position: u8, owner: u8, run: u8) -> Word {
        Word { turn: self.turn(position), mark: Mark::Claimed, owner, run, again: false }
    }

    fn set_claim(&self, state: &mut State, position: u8, owner: u8, run: u8) {
        let words = if self.apart { &mut state.claims } else { &mut state.words };
        words[self.slot(position)] = self.claimed(position, owner, run);
    }

    /// What a position's words say together.
    fn together(&self, state: &State, position: u8) -> Word {
        let word = state.words[self.slot(position)];
        if word.turn < self.turn(position) { self.claim(state, position) } else { word }
    }

    /// Whether the walk from the head on finds something that a consumer who found nothing has to do.
    fn something_behind(&self, state: &State, cursor: u8) -> Option<(u8, Word)> {
        let mut position = state.head;
        while position < cursor {
            let word = state.words[self.slot(position)];
            if word.turn != self.turn(position) {
                return None;
            }
            let orphan = word.mark == Mark::Taken && state.people[usize::from(word.owner)].dead;
            if word.mark == Mark::Published || orphan && !self.is(Flaw::Patience) {
                return Some((position, word));
            }
            position += self.run_of(word);
        }
        None
    }

    /// The claim of somebody who is gone is skipped, if there is one.
    fn resign(&self, state: &State, owner: u8) -> Option<State> {
        let mut position = state.head;
        loop {
            let word = self.together(state, position);
            if word.turn != self.turn(position) {
                return None;
            }
            if word.mark == Mark::Claimed && word.owner == owner {
                let mut next = *state;
                next.words[self.slot(position)] = self.skipped(position, word.run);
                return Some(next);
            }
            position += self.run_of(word);
        }
    }

    /// A position is claimed, or published without a claim: those before it were.
    fn count_claim(
        &self,
        state: &mut State,
        who: usize,
        position: u8,
        run: u8,
    ) -> Result<(), String> {
        ensure!(position == state.claimed, "claimed {position} after {}", state.claimed);
        let bound = state.people[who].bound;
        ensure!(position >= bound, "a later push got an earlier place");
        state.claimed += run;
        Ok(())
    }

    /// One step of one person. None if there is nothing to do until somebody else does something.
    fn step(&self, state: &State, who: usize) -> Step {
        let mut next = *state;
        let me = &mut next.people[who];
        let slot = self.slot(me.cursor);
        let word = state.words[slot];
        let turn = self.turn(me.cursor);
        match me.pc {
            Pc::Attach => {
                me.attached = true;
                me.pc = Pc::Join;
            }
            Pc::Join => {
                me.standing = state.standing;
                me.pc = if me.standing.kind == Kind::Shared { Pc::Scan } else { Pc::End };
            }
            Pc::End => {
                me.pc = Pc::Join;
                if state.standing == me.standing {
                    let gone = state.people[usize::from(me.standing.owner)].dead;
                    let helps = !gone && !self.is(Flaw::NoHelp);
                    me.pc = if helps { Pc::ReadEnd } else { Pc::Share };
                    next.standing.kind = Kind::Ending;
                }
            }
            Pc::ReadEnd => {
                me.end = state.end;
                me.pc = Pc::ReadWord;
            }
            Pc::ReadWord => {
                me.pc = Pc::Share;
                // Nothing was announced before the first position.
                if let Some(position) = me.end.checked_sub(1) {
                    me.seen = self.claim(state, position);
                    if me.seen.turn < self.turn(position) {
                        me.pc = Pc::ClaimFor;
                    }
                }
            }
            Pc::ClaimFor => {
                let position = me.end - 1;
                me.pc = Pc::Share;
                if self.claim(state, position) == me.seen || self.is(Flaw::BlindHelp) {
                    let owner = me.standing.owner;
                    let is_new = self.together(state, position).turn < self.turn(position);
                    self.set_claim(&mut next, position, owner, 1);
                    if is_new {
                        self.count_claim(&mut next, usize::from(owner), position, 1)?;
                    }
                }
            }
            Pc::Share => {
                me.pc = Pc::Join;
                let ending = Standing { kind: Kind::Ending, ..me.standing };
                if state.standing == ending {
                    next.standing =
                        Standing { kind: Kind::Shared, count: ending.count + 1, ..ending };
                }
            }
            Pc::Scan => {
                let producers = &state.people[..usize::from(self.producers)];
                let others = producers.iter().enumerate().filter(|(other, _)| *other != who);
                let alone = others.clone().all(|(_, other)| !other.attached || other.dead);
                me.pc = Pc::Change;
                me.sole = alone;
                if alone {
                    // Nobody who lives claims meanwhile, or the standing changes.
                    let mut end = state.head;
                    while self.together(state, end).turn == self.turn(end) {
                        end += self.run_of(self.together(state, end));
                    }
                    me.cursor = end;
                    me.pc = if self.is(Flaw::OldAnnouncement) { Pc::Change } else { Pc::Announce };
                } else if self.is(Flaw::QuietArrival) {
                    me.pc = Pc::Begin;
                }
            }
            Pc::Announce => {
                next.end = me.cursor;
                me.pc = if self.is(Flaw::NoLastLook) { Pc::Change } else { Pc::LastLook };
            }
            Pc::LastLook => {
                if let Some(resigned) = self.resign(state, me.standing.owner) {
                    return Ok(Some(resigned));
                }
                me.pc = Pc::Change;
            }
            Pc::Sweep => {
                if let Some(resigned) = self.resign(state, who as u8) {
                    return Ok(Some(resigned));
                }
                me.pc = Pc::Sign;
            }
            Pc::Sign => {
                // Else it takes the next generation, and is somebody else.
                if usize::from(state.standing.owner) == who && !self.is(Flaw::Stranger) {
                    return Ok(None);
                }
                (me.dead, me.pc) = (false, Pc::Finished);
            }
            Pc::Change => {
                me.pc = Pc::Join;
                if state.standing == me.standing {
                    let count = me.standing.count + 1;
                    let kind = if me.sole { Kind::Alone } else { Kind::Shared };
                    let owner = if me.sole { who as u8 } else { me.standing.owner };
                    me.standing = Standing { kind, owner, count };
                    next.standing = me.standing;
                    me.pc = Pc::Begin;
                }
            }
            Pc::SoleLook => {
                me.sole = state.standing == me.standing;
                me.pc = match () {
                    () if !me.sole || me.run > 1 => Pc::Look,
                    () if me.limit > me.cursor => Pc::SoleAnnounce,
                    () => Pc::SoleRoom,
                };
                if self.is(Flaw::LateAnnouncement) && me.pc == Pc::SoleAnnounce {
                    me.pc = Pc::SoleAgain;
                }
            }
            Pc::SoleRoom => {
                me.limit = state.head + self.capacity;
                if me.limit < me.cursor + 1 {
                    return Ok(None);
                }
                me.pc = Pc::SoleLook;
            }
            Pc::SoleAnnounce => {
                next.end = me.cursor + 1;
                me.pc = Pc::SoleAgain;
                if self.is(Flaw::OneLook) || self.is(Flaw::LateAnnouncement) {
                    (me.at, me.pc) = (me.cursor, Pc::Write);
                    me.cursor += 1;
                }
            }
            Pc::SoleAgain => {
                me.sole = state.standing == me.standing;
                me.pc = Pc::SoleSettle;
                if me.sole && self.is(Flaw::LateAnnouncement) {
                    me.pc = Pc::SoleAnnounce;
                } else if me.sole {
                    (me.at, me.pc) = (me.cursor, Pc::SoleHint);
                    me.cursor += 1;
                }
            }
            Pc::SoleSettle => {
                me.seen = self.claim(state, me.cursor);
                me.pc = if me.seen.turn < turn { Pc::SoleClaim } else { Pc::SoleMine };
            }
            Pc::SoleClaim => {
                me.pc = Pc::SoleMine;
                if self.claim(state, me.cursor) == me.seen {
                    let position = me.cursor;
                    self.set_claim(&mut next, position, who as u8, 1);
                    self.count_claim(&mut next, who, position, 1)?;
                }
            }
            Pc::SoleMine => {
                me.pc = Pc::Look;
                if self.claim(state, me.cursor) == self.claimed(me.cursor, who as u8, 1) {
                    (me.at, me.pc) = (me.cursor, Pc::Write);
                    me.cursor += 1;
                }
            }
            Pc::SoleHint => {
                next.tail = me.at;
                me.pc = Pc::Write;
            }
            Pc::Begin => {
                let runs = self.pushes[who];
                let run = runs.get(usize::from(me.push)).copied().unwrap_or(0);
                (me.run, me.index, me.half) = (run, 0, false);
                me.bound = state.returned;
                me.pc = match run {
                    0 => Pc::Finished,
                    _ if me.sole => Pc::SoleLook,
                    // Room that is known of begins where a walk has ended.
                    _ if self.apart && me.limit >= me.cursor + self.least(run) => Pc::LookClaim,
                    _ => Pc::Look,
                };
            }
            Pc::Look => {
                me.seen = word;
                me.pc = Pc::Look;
                if self.is(Flaw::ClaimsOnly) {
                    me.pc = Pc::LookClaim;
                } else if word.turn == turn {
                    me.cursor += self.run_of(word);
                    // The hint is looked at once in a while, here always.
                    me.pc = if self.alone { Pc::Hint } else { Pc::Look };
                } else if word.turn > turn {
                    me.pc = Pc::Hint;
                } else if self.apart {
                    me.pc = Pc::LookClaim;
                } else if me.limit >= me.cursor + self.least(me.run) || self.is(Flaw::NoRoomCheck) {
                    me.pc = Pc::Claim;
                } else {
                    me.pc = Pc::Room;
                }
            }
            Pc::LookClaim => {
                me.seen = self.claim(state, me.cursor);
                me.pc = match () {
                    () if me.seen.turn == turn => {
                        me.cursor += self.run_of(me.seen);
                        if self.alone { Pc::Hint } else { Pc::Look }
                    }
                    () if me.seen.turn > turn => Pc::Hint,
                    () if self.is(Flaw::NoRoomCheck) => Pc::Claim,
                    () if me.limit >= me.cursor + self.least(me.run) => Pc::Claim,
                    () => Pc::Room,
                };
            }
            Pc::Hint => {
                me.cursor = me.cursor.max(state.tail);
                me.pc = Pc::Catch;
            }
            Pc::Catch => {
                me.cursor = me.cursor.max(state.head);
                me.pc = Pc::Look;
            }
            Pc::Room => {
                me.limit = state.head + self.capacity;
                let first = state.words[self.slot(state.head)];
                let done = first.turn == self.turn(state.head) && first.mark == Mark::Skipped;
                let full = me.limit < me.cursor + self.least(me.run);
                if full && self.acknowledged && done {
                    // Whoever had it done died, or was overtaken, before the head passed it.
                    next.head += self.run_of(first);
                    return Ok(Some(next));
                }
                if full {
                    // Full: waits until that changes, or others have claimed the place.
                    return Ok(None);
                }
                me.pc = Pc::Look;
            }
            Pc::Claim => {
                let room = me.limit.saturating_sub(me.cursor).max(1);
                // A push that fits in parts is two pushes; here it takes what there is.
                let run = me.run.min(room).min(self.capacity);
                if self.claim(state, me.cursor) != me.seen {
                    me.pc = Pc::Look;
                    return Ok(Some(next));
                }
                let position = me.cursor;
                me.run = run;
                me.at = position;
                me.cursor += run;
                me.pc = Pc::Store;
                self.set_claim(&mut next, position, who as u8, run);
                self.count_claim(&mut next, who, position, run)?;
            }
            Pc::Store => {
                me.pc = if self.is(Flaw::PublishFirst) { Pc::Publish } else { Pc::Write };
                next.tail = me.cursor;
            }
            Pc::Write => {
                let position = me.at + me.index;
                next.values[self.slot(position)][usize::from(me.half)] = position + 1;
                me.half = !me.half;
                if !me.half {
                    me.index += 1;
                }
                if me.index == me.run {
                    me.index = 0;
                    me.pc = Pc::Publish;
                    if self.is(Flaw::PublishFirst) {
                        me.pc = Pc::Begin;
                        me.push += 1;
                    }
                }
            }
            Pc::Publish => {
                let offset = match self.is(Flaw::ForwardBatch) {
                    true => me.index,
                    false => me.run - 1 - me.index,
                };
                let position = me.at + offset;
                // The words behind the first of a record say nothing, and it is published when that is.
                let run = if offset == 0 { me.run } else { 1 };
                let before = self.claim(state, position);
                if before.turn < self.turn(position) && me.run == 1 {
                    self.count_claim(&mut next, who, position, 1)?;
                } else if me.run == 1 && !self.is(Flaw::PublishFirst) && !self.is(Flaw::Impatience)
                {
                    let mine = before.mark == Mark::Claimed && before.owner == who as u8;
                    ensure!(mine, "published {position} over {before:?}");
                }
                if offset > 0 && self.apart {
                    // So that it is not of long ago when turns come round.
                    self.set_claim(&mut next, position, who as u8, 1);
                }
                let me = &mut next.people[who];
                next.words[self.slot(position)] = self.published(position, false, run);
                let visible = match self.whole {
                    true if offset > 0 => 0..0,
                    true => position..position + run,
                    false => position..position + 1,
                };
                visible.for_each(|position| next.published[usize::from(position)] = true);
                me.index += 1;
                if me.index == me.run {
                    me.pc = Pc::Begin;
                    me.push += 1;
                    if self.is(Flaw::PublishFirst) {
                        (me.index, me.pc, me.push) = (0, Pc::Write, me.push - 1);
                    }
                    let run = me.at..me.at + me.run;
                    next.returned = next.returned.max(run.end);
                    run.for_each(|position| next.complete[usize::from(position)] = true);
                }
            }
            Pc::Finished => return Ok(None),
            Pc::Peek => {
                me.seen = word;
                let owner_dead = state.people[usize::from(word.owner)].dead;
                if word.turn < turn {
                    if self.acknowledged
                        && let Some((position, word)) = self.something_behind(state, me.cursor)
                    {
                        (me.at, me.seen, me.pc) = (position, word, Pc::Search);
                        return Ok(Some(next));
                    }
                    // Nothing comes of a look at the claim unless its owner is gone.
                    let claim = self.claim(state, me.cursor);
                    let gone =
                        state.people[usize::from(claim.owner)].dead && !self.is(Flaw::Patience);
                    if !self.apart || claim.turn != turn || !gone && !self.is(Flaw::Impatience) {
                        return Ok(None);
                    }
                    me.pc = Pc::PeekClaim;
                    return Ok(Some(next));
                }
                me.run = word.run;
                me.pc = match word.mark {
                    _ if word.turn > turn => Pc::Head,
                    Mark::Published if self.acknowledged => Pc::Hold,
                    Mark::Published if self.is(Flaw::TakeFirst) => Pc::Take,
                    Mark::Published => {
                        (me.copied, me.used, me.at) = (0, 0, me.cursor);
                        Pc::Copy
                    }
                    Mark::Skipped | Mark::Taken if self.acknowledged => {
                        me.cursor += self.run_of(word);
                        Pc::Peek
                    }
                    Mark::Skipped => Pc::Skip,
                    Mark::Claimed if owner_dead && !self.is(Flaw::Patience) => Pc::Resolve,
                    Mark::Claimed if self.is(Flaw::Impatience) => Pc::Resolve,
                    _ => return Ok(None),
                };
                if me.pc == Pc::Resolve {
                    me.at = me.cursor;
                }
            }
            Pc::PeekClaim => {
                let claim = self.claim(state, me.cursor);
                (me.at, me.run) = (me.cursor, claim.run);
                me.pc = if claim.turn == turn { Pc::Resolve } else { Pc::Peek };
            }
            // Copies the value at `at + copied`, in two steps.
            Pc::Copy => {
                let position = me.at + me.copied;
                me.copies[usize::from(me.copied)][0] = state.values[self.slot(position)][0];
                me.pc = Pc::CopyRest;
            }
            Pc::CopyRest => {
                let position = me.at + me.copied;
                me.copies[usize::from(me.copied)][1] = state.values[self.slot(position)][1];
                me.copied += 1;
                // The look at the next word is a step of its own, but one that only reads: with this one.
                let more = position + 1;
                let another = state.words[self.slot(more)] == self.published(more, false, 1);
                let wanted = me.copied < self.ahead && me.copied < self.capacity;
                if self.whole && me.copied < self.run_of(me.seen) {
                    me.pc = Pc::Copy;
                    return Ok(Some(next));
                }
                me.pc = match () {
                    () if self.acknowledged && self.is(Flaw::EarlyAcknowledgement) => Pc::Pass,
                    () if self.acknowledged => Pc::Acknowledge,
                    () if self.is(Flaw::TakeFirst) => Pc::Peek,
                    () if wanted && another && !self.whole => Pc::Copy,
                    () => Pc::Take,
                };
                if self.acknowledged || self.is(Flaw::TakeFirst) {
                    let (copies, at, run) = (me.copies, me.at, self.run_of(me.seen));
                    me.copied = 0;
                    return give(next, &copies[..usize::from(run)], at, self.acknowledged)
                        .map(Some);
                }
            }
            Pc::Take => {
                let position = me.cursor;
                if state.head != position && !self.is(Flaw::BlindTake) {
                    me.cursor = state.head;
                    // Copies that are still ahead of the head are good.
                    me.used = me.cursor - me.at.min(me.cursor);
                    me.pc =
                        if me.used < me.copied && me.cursor >= me.at { Pc::Take } else { Pc::Peek };
                    return Ok(Some(next));
                }
                let run = self.run_of(me.seen);
                let run = if self.whole { run } else { 1 };
                me.cursor += run;
                next.head = position + run;
                if self.is(Flaw::TakeFirst) {
                    (me.at, me.copied, me.pc) = (position, 0, Pc::Copy);
                    return Ok(Some(next));
                }
                let copies = me.copies;
                let from = usize::from(me.used);
                me.used += run;
                me.pc = if me.used < me.copied { Pc::Take } else { Pc::Peek };
                return give(next, &copies[from..][..usize::from(run)], position, false).map(Some);
            }
            Pc::Skip => {
                if state.head == me.cursor {
                    next.head = me.cursor + self.run_of(me.seen);
                    me.cursor = next.head;
                } else {
                    me.cursor = state.head;
                }
                me.pc = Pc::Peek;
            }
            Pc::Head => {
                me.cursor = state.head;
                me.pc = Pc::Peek;
            }
            Pc::Resolve => {
                me.pc = Pc::Peek;
                let slot = self.slot(me.at);
                if state.words[slot] == me.seen || self.is(Flaw::BlindSkip) {
                    next.words[slot] = self.skipped(me.at, me.run);
                }
            }
            Pc::Hold => {
                me.pc = Pc::Peek;
                if word == me.seen {
                    let (mark, owner, run) = (Mark::Taken, who as u8, me.seen.run);
                    next.words[slot] = Word { turn, mark, owner, run, again: false };
                    (me.at, me.copied) = (me.cursor, 0);
                    me.cursor += self.run_of(me.seen);
                    me.pc = Pc::Copy;
                    if self.is(Flaw::EarlyAcknowledgement) {
                        me.pc = Pc::Acknowledge;
                    }
                }
            }
            Pc::Acknowledge => {
                let run = self.run_of(me.seen);
                next.words[self.slot(me.at)] = self.skipped(me.at, run);
                (me.at..me.at + run).for_each(|position| next.done[usize::from(position)] = true);
                me.pc = if self.is(Flaw::EarlyAcknowledgement) { Pc::Copy } else { Pc::Pass };
            }
            Pc::Pass => {
                me.limit = state.head;
                me.pc = Pc::PassWord;
            }
            Pc::PassWord => {
                me.seen = state.words[self.slot(me.limit)];
                let passes = me.seen.turn == self.turn(me.limit) && me.seen.mark == Mark::Skipped;
                me.pc = if passes { Pc::PassHead } else { Pc::Peek };
            }
            Pc::PassHead => {
                if state.head == me.limit {
                    next.head += self.run_of(me.seen);
                }
                me.pc = Pc::Pass;
            }
            Pc::Search => {
                me.pc = Pc::Peek;
                let slot = self.slot(me.at);
                match me.seen.mark {
                    Mark::Published => me.cursor = me.at,
                    _ if state.words[slot] == me.seen => {
                        next.words[slot] = match self.is(Flaw::NoRedelivery) {
                            true => self.skipped(me.at, self.run_of(me.seen)),
                            false => self.published(me.at, true, me.seen.run),
                        };
                        me.cursor = me.at;
                    }
                    _ => {}
                }
            }
        }
        Ok(Some(next))
    }
}

/// A consumer has a value in its hands, or all blocks of a record.
fn give(
    mut state: State,
    copies: &[[u8; 2]],
    first: u8,
    acknowledged: bool,
) -> Result<State, String> {
    for (position, copy) in (first..).zip(copies) {
        let at = usize::from(position);
        ensure!(*copy == [position + 1; 2], "position {position} came as {copy:?}");
        ensure!(state.published[at], "position {position} came before it was published");
        state.given[at] += 1;
        if !acknowledged {
            ensure!(state.given[at] == 1, "position {position} came twice");
            state.done[at] = true;
        }
        ensure!(state.given[at] < 4, "position {position} came again and again");
    }
    Ok(state)
}

impl Search {
    fn run(setting: Setting) -> Result<Search, String> {
        let mut search = Search { setting, seen: HashSet::new(), states: 0, ends: 0 };
        let mut state = State::default();
        for consumer in setting.producers..setting.producers + setting.consumers {
            state.people[usize::from(consumer)].pc = Pc::Peek;
        }
        if setting.alone {
            state.standing = Standing { kind: Kind::Alone, owner: 0, count: 1 };
            for who in 0..usize::from(setting.producers) {
                let person = &mut state.people[who];
                (person.attached, person.sole) = (who == 0, who == 0);
                person.pc = if who == 0 { Pc::Begin } else { Pc::Attach };
                person.standing = if who == 0 { state.standing } else { Standing::default() };
            }
        }
        let mut stack = vec![state];
        while let Some(state) = stack.pop() {
            let mut hasher = DefaultHasher::new();
            state.hash(&mut hasher);
            if !search.seen.insert(hasher.finish()) {
                continue;
            }
            search.states += 1;
            let mut stuck = true;
            for who in 0..setting.people() {
                let person = state.people[who];
                if person.dead && !(setting.round && who == 0) {
                    continue;
                }
                if let Some(next) = setting.step(&state, who)? {
                    stuck = false;
                    stack.push(next);
                }
                if state.crashes < setting.crashes && !person.dead && person.pc != Pc::Finished {
                    let mut next = state;
                    next.crashes += 1;
                    next.people[who].dead = true;
                    if setting.round && who == 0 {
                        next.people[who].pc = Pc::Sweep;
                    }
                    stack.push(next);
                }
            }
            if stuck {
                search.ends += 1;
                search.judge(&state)?;
            }
        }
        Ok(search)
    }

    /// Nobody has anything to do: is everything done?
    fn judge(&self, state: &State) -> Result<(), String> {
        let setting = &self.setting;
        let consumers = usize::from(setting.producers)..setting.people();
        if consumers.clone().all(|who| state.people[who].dead) {
            return Ok(());
        }
        for who in 0..usize::from(setting.producers) {
            let producer = state.people[who];
            let done = producer.dead || producer.pc == Pc::Finished;
            ensure!(done, "producer {who} is stuck at {:?}", producer.pc);
        }
        let dead = consumers.filter(|who| state.people[*who].dead).count();
        for position in 0..usize::from(state.claimed) {
            if !state.complete[position] || state.done[position] {
                continue;
            }
            // Only at most once, and only a consumer that died after it had taken it can have lost it.
            let with_consumer = !setting.acknowledged && state.head > position as u8 && dead > 0;
            ensure!(with_consumer, "position {position} was lost");
        }
        Ok(())
    }
}

const PLAIN: Setting = Setting {
    capacity: 2,
    producers: 2,
    consumers: 2,
    pushes: [[1, 1], [1, 0], [0, 0]],
    crashes: 1,
    ahead: 1,
    whole: false,
    acknowledged: false,
    alone: false,
    apart: false,
    round: false,
    flaw: Flaw::None,
};

fn full() -> bool {
    std::env::var("RINGLANE_PROTOCOL").is_ok_and(|value| value == "full")
}

#[test]
fn no_interleaving_with_crashes_breaks_a_promise() {
    let one_each = Setting { pushes: [[1, 0], [1, 0], [0, 0]], crashes: 2, ..PLAIN };
    let acknowledged = Setting { acknowledged: true, crashes: 1, ..one_each };
    let records = Setting { whole: true, pushes: [[2, 1], [1, 0], [0, 0]], crashes: 2, ..PLAIN };
    let mixed = Setting { pushes: [[2, 1], [1, 0], [0, 0]], ..PLAIN };
    let three = Setting { producers: 3, pushes: [[1, 0], [1, 0], [1, 0]], ..PLAIN };
    let mut settings = vec![
        one_each,
        Setting { capacity: 1, ..one_each },
        Setting { ahead: 2, consumers: 1, crashes: 2, ..PLAIN },
        Setting { pushes: [[2, 0], [1, 0], [0, 0]], ahead: 2, ..PLAIN },
        Setting { pushes: [[2, 1], [0, 0], [0, 0]], producers: 1, crashes: 2, ..PLAIN },
        acknowledged,
        Setting { capacity: 1, ..acknowledged },
        Setting { crashes: 1, consumers: 1, ..records },
        Setting { crashes: 1, consumers: 1, acknowledged: true, ..records },
        Setting { alone: true, consumers: 1, crashes: 2, ..PLAIN },
        Setting { alone: true, consumers: 1, crashes: 2, capacity: 1, ..one_each },
        Setting { alone: true, consumers: 1, crashes: 2, ..mixed },
        Setting { alone: true, round: true, consumers: 1, crashes: 2, ..one_each },
        Setting { alone: true, round: true, consumers: 1, crashes: 2, capacity: 1, ..one_each },
    ];
    if full() {
        settings.push(Setting { alone: true, consumers: 1, crashes: 1, ..three });
        settings.push(Setting { alone: true, round: true, consumers: 1, crashes: 1, ..three });
        let large = Setting { crashes: 2, ahead: 2, ..PLAIN };
        let three = Setting { crashes: 2, ahead: 2, ..three };
        settings.extend([
            Setting { alone: true, ..large },
            Setting { alone: true, consumers: 1, ..three },
            Setting { alone: true, acknowledged: true, consumers: 1, ..three },
            Setting { alone: true, acknowledged: true, crashes: 1, ..large },
            Setting { alone: true, consumers: 1, pushes: [[1, 2], [2, 0], [0, 0]], ..large },
            large,
            Setting { capacity: 1, ..large },
            Setting { pushes: [[1, 1], [1, 1], [0, 0]], crashes: 1, ..large },
            Setting { pushes: [[2, 1], [1, 0], [0, 0]], ..large },
            Setting { pushes: [[2, 0], [2, 0], [0, 0]], ..large },
            Setting { consumers: 1, ..three },
            Setting { ahead: 1, ..three },
            Setting { capacity: 1, ..three },
            Setting { crashes: 2, ..acknowledged },
            records,
            Setting { pushes: [[2, 0], [2, 0], [0, 0]], ..records },
            Setting { pushes: [[1, 2], [2, 0], [0, 0]], crashes: 1, ..records },
            Setting { acknowledged: true, crashes: 1, ..records },
            Setting { acknowledged: true, crashes: 1, ..large },
            Setting { acknowledged: true, crashes: 1, capacity: 1, ..large },
            Setting { acknowledged: true, pushes: [[2, 0], [1, 0], [0, 0]], ..large },
        ]);
    }
    // Claims apart make no difference to records, which have none.
    let apart = settings.iter().filter(|setting| !setting.whole);
    settings.extend(apart.map(|setting| Setting { apart: true, ..*setting }).collect::<Vec<_>>());
    let mut states = 0;
    for setting in settings {
        let search = Search::run(setting).unwrap_or_else(|text| panic!("{text} in {setting:?}"));
        assert!(search.ends > 0, "{setting:?} never ends");
        println!("{} states, {} ends: {setting:?}", search.states, search.ends);
        states += search.states;
    }
    println!("{states} states in all");
}

#[test]
fn every_flaw_is_found() {
    let batch = Setting { pushes: [[2, 0], [1, 0], [0, 0]], ..PLAIN };
    let acknowledged = Setting { acknowledged: true, ..PLAIN };
    let records = Setting { whole: true, crashes: 0, ..batch };
    let alone = Setting { alone: true, consumers: 1, crashes: 0, ..PLAIN };
    let (apart, alone_apart) = (Setting { apart: true, ..PLAIN }, Setting { apart: true, ..alone });
    let alone_of_three = Setting { producers: 3, pushes: [[1, 0], [1, 0], [1, 0]], ..alone };
    let mut flaws = vec![
        (Flaw::Impatience, PLAIN, ""),
        (Flaw::Patience, PLAIN, "stuck"),
        (Flaw::BlindTake, PLAIN, "came"),
        (Flaw::TakeFirst, Setting { capacity: 1, ..PLAIN }, "came as"),
        (Flaw::NoRoomCheck, PLAIN, "came as"),
        (Flaw::PublishFirst, PLAIN, "came as"),
        (Flaw::ForwardBatch, batch, "claimed"),
        (Flaw::RunIgnored, batch, "claimed"),
        (Flaw::RunIgnored, records, "claimed"),
        (Flaw::ForwardBatch, Setting { pushes: [[2, 0], [1, 1], [0, 0]], ..records }, ""),
        (Flaw::BlindSkip, Setting { crashes: 1, capacity: 1, ..PLAIN }, ""),
        (Flaw::Impatience, apart, ""),
        (Flaw::Patience, apart, "stuck"),
        (Flaw::NoRoomCheck, apart, "came as"),
        (Flaw::PublishFirst, apart, "came as"),
        (Flaw::BlindSkip, Setting { crashes: 1, capacity: 1, ..apart }, ""),
        (Flaw::NoHelp, alone_apart, ""),
        (Flaw::BlindHelp, Setting { capacity: 1, ..alone_apart }, ""),
        (Flaw::ClaimsOnly, alone_apart, ""),
        (Flaw::OneLook, alone, ""),
        (Flaw::LateAnnouncement, alone, ""),
        (Flaw::NoHelp, alone, ""),
        (Flaw::BlindHelp, alone, ""),
        (Flaw::Stranger, Setting { crashes: 1, round: true, ..alone }, "lost"),
        (Flaw::EarlyAcknowledgement, acknowledged, ""),
        (Flaw::NoRedelivery, acknowledged, "lost"),
    ];
    if full() {
        let three = Setting { crashes: 1, ..alone_of_three };
        flaws.extend([(Flaw::QuietArrival, three, ""), (Flaw::OldAnnouncement, three, "")]);
        flaws.push((Flaw::NoLastLook, Setting { crashes: 2, round: true, ..three }, "lost"));
    }
    for (flaw, setting, sign) in flaws {
        let found = Search::run(Setting { flaw, ..setting }).err();
        let text = found.unwrap_or_else(|| panic!("{flaw:?} was not found"));
        assert!(text.contains(sign), "{flaw:?} was found as {text:?}");
        println!("{flaw:?}: {text}");
    }
}
