//! Many producers, many consumers, slots of one size. The word in the slot is the truth; `tail` is a hint.
//!
//! A producer claims position `p` by one CAS on its claim, from whatever an earlier turn left there
//! to "claimed by me, a run of `n`". So the word that blocks others names who blocks them. It writes the
//! values and publishes: the slots' words of the run from the last to the first, each by a plain store, so the
//! run appears as a whole. The claim is the slot's word itself if the slot is short ([`Words::APART`]), and else a word
//! beside all others', which says nothing as soon as the slot's is of this turn. A consumer copies the value at `head` and then takes it, by one CAS that moves
//! `head`; it never writes to a slot, and one that dies holds nothing.
//!
//! Invariants, beside those of [`super`]:
//!
//! * M1. Positions are claimed without gaps: who claims `p` has seen the claim of the position before, and
//!   the end of its run is `p`. So claims begin at the same positions for everybody.
//! * M2. A slot is claimed for `p` only when `head` has passed `p - capacity`; `head` passes a position only
//!   when it is published (and copied) or skipped.
//! * M3. The words behind the first of a run are nobody's business until the run is published or skipped. A run
//!   that is published as one, which is what a record in blocks is, keeps them so: everybody goes by its first.
//! * M4. Only its owner changes the word of a slot that is claimed or taken, unless the kernel certifies the owner
//!   gone. Then anybody does, by one CAS whose expected value can never come again: it has turn, owner and generation,
//!   or is what an earlier turn left, which every later one overwrites.
//!
//! Where a value and its word are 16 bytes and the processor can swap as many, a push of one value claims and
//! publishes in one step; then there is no moment at which it holds anything, unless it is alone, see [`sole`].
//!
//! What a push did is decided by the claim, for order; it happens for others when it is published. A claim
//! whose owner died first is skipped: that push never happened.
//!
//! Acknowledged rings differ on the consumers' side: a value is taken by a CAS on its slot's word, and the
//! acknowledgement skips the slot. `head` then passes skipped slots only, moved by whoever comes by.

mod receiver;
mod sender;
mod sole;

pub(crate) use receiver::{Look, Receiver, There};
pub(crate) use sender::{Claimed, Sender};
pub(crate) use sole::claim_for;

use crate::layout::{Common, Control, LONGEST_RUN, Owner, Slots, State, Turn, Turns};
use crate::sync::{AtomicU64, Ordering, spin_hint};

/// How long to let others go on after one of them was faster.
const PAUSES: u32 = if cfg!(loom) { 0 } else { 50 };

/// How often one call looks at a slot, or tries again because others were faster, beside once or twice at each slot of the
/// ring. Then it says that it got nothing: only a peer that writes nonsense, or more than a thousand dead ones, make it come
/// to that.
const LOOKS: u64 = 1 << 16;

/// What a call may spend: those, and so many looks at each slot.
fn budget(turns: Turns, each: u64) -> u64 {
    LOOKS.saturating_add(turns.capacity().saturating_mul(each))
}

/// What a question to the kernel, and the calls that follow from its answer, count as.
pub(crate) const QUESTION: u64 = 64;

/// Lets others go on after one of them was faster: what it goes on with is in its own cache then.
#[cold]
fn back_off() {
    for _ in 0..PAUSES {
        spin_hint();
    }
}

/// Positions as words: what the ring needs of its slots.
pub(crate) trait Words {
    /// Whether positions are claimed by words of their own.
    const APART: bool;
    /// The control word of the slot that a position falls into.
    fn word(&self, position: u64) -> &AtomicU64;
    /// The word by which a position is claimed.
    fn claim(&self, position: u64) -> &AtomicU64;
}

impl<T> Words for Slots<T> {
    const APART: bool = Slots::<T>::APART;

    #[inline(always)]
    fn word(&self, position: u64) -> &AtomicU64 {
        self.cells().sequence(position)
    }

    #[inline(always)]
    fn claim(&self, position: u64) -> &AtomicU64 {
        Slots::claim(self, position)
    }
}

/// A slot that somebody holds, as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) position: u64,
    /// What its words say together.
    word: Control,
    /// The slot's own.
    slot: Control,
}

/// What a position's words say together: what the slot says, or, while that is of an earlier turn, the claim.
fn together(
    turns: Turns,
    position: u64,
    slot: Control,
    claim: impl FnOnce() -> Control,
) -> Control {
    if turns.is_earlier(slot, position) { claim() } else { slot }
}

impl Held {
    /// What there is at a position.
    fn at(words: &impl Words, turns: Turns, position: u64) -> Held {
        // ORDERING(claim): Acquire. Pairs with ORDERING(claim) in Sender::try_claim and Receiver::take.
        // ORDERING(run): Acquire. Pairs with ORDERING(run) in Sender::publish: the words behind the first of a run are
        // there before we look at them.
        let slot = Control(words.word(position).load(Ordering::Acquire));
        let word = together(turns, position, slot, || {
            // ORDERING(claim): Acquire. Pairs with ORDERING(claim) in Sender::try_claim and claim_at.
            Control(words.claim(position).load(Ordering::Acquire))
        });
        Held { position, word, slot }
    }

    /// What the slot says alone.
    fn by_slot(position: u64, slot: Control) -> Held {
        Held { position, word: slot, slot }
    }

    /// Whether somebody holds it.
    pub(crate) fn is_held(self, turns: Turns) -> bool {
        let held = matches!(self.word.state(), State::Claimed | State::Taken);
        held && turns.turn(self.word, self.position) == Turn::Current
    }

    pub(crate) fn owner(&self) -> Owner {
        self.word.owner()
    }
}

/// What a resolved slot became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// So many slots will be passed over.
    Skipped(u64),
    /// The value comes again.
    Again,
}

fn come_again(common: &Common) {
    // ORDERING(again): Release. Pairs with ORDERING(again) in Receiver::take: who sees the new number finds
    // the value when it looks from the head on. No model: without it the value is found all the same, but later.
    common.again.fetch_add(1, Ordering::Release);
}

/// Moves the head past what is done with or given up. Of a ring that is not acknowledged, past what is given up.
pub(crate) fn pass(common: &Common, words: &impl Words, turns: Turns) -> bool {
    let mut moved = false;
    for _ in 0..LOOKS {
        let head = common.head.load(Ordering::Relaxed);
        // ORDERING(done): Acquire. Pairs with ORDERING(done) in Receiver::acknowledge.
        // ORDERING(given-up): Acquire. Pairs with ORDERING(given-up) in Sender::abandon.
        let word = Control(words.word(head).load(Ordering::Acquire));
        match (turns.turn(word, head), word.state()) {
            (Turn::Current, State::Skipped) => {}
            // Or others pass, and go on until there is no more.
            _ => break,
        }
        let next = head.wrapping_add(word.run());
        // ORDERING(mpmc-head): Release. Pairs with ORDERING(mpmc-head) in Sender::search: whoever was done
        // with these slots was so before they are written again.
        let passed = common.head.compare_exchange(head, next, Ordering::Release, Ordering::Relaxed);
        moved |= passed.is_ok();
    }
    moved
}

/// Resolves a slot whose holder is gone: what was claimed is skipped, what was taken comes again. True for
/// just one of all who try.
pub(crate) fn resolve(
    common: &Common,
    words: &impl Words,
    turns: Turns,
    held: Held,
) -> Option<Resolved> {
    let (position, seen) = (held.position, held.word);
    if !held.is_held(turns) {
        return None;
    }
    let (word, resolved) = match seen.state() {
        State::Claimed => (turns.skipped(position, seen.run()), Resolved::Skipped(seen.run())),
        _ => (turns.again(position, seen.run()), Resolved::Again),
    };
    // ORDERING(value): Release. Pairs with ORDERING(value) in Receiver::take: the value that comes again has
    // been seen by whoever took it first, and by us through its word. Or in Receiver::look and pass: what the dead wrote
    // comes before what the next one writes there.
    words
        .word(position)
        .compare_exchange(held.slot.0, word.0, Ordering::Release, Ordering::Relaxed)
        .ok()?;
    if resolved == Resolved::Again {
        come_again(common);
    }
    Some(resolved)
}

/// Goes over what has been claimed from the head on, for as long as `more` says so. Whether it came to the end;
/// where others were faster it goes on from the head.
fn sweep(
    common: &Common,
    words: &impl Words,
    turns: Turns,
    mut more: impl FnMut(Held) -> bool,
) -> bool {
    let mut position = common.head.load(Ordering::Relaxed);
    for _ in 0..budget(turns, 1) {
        let held = Held::at(words, turns, position);
        match turns.turn(held.word, position) {
            Turn::Current if !more(held) => return false,
            Turn::Current => position = position.wrapping_add(held.word.run()),
            Turn::Later => position = common.head.load(Ordering::Relaxed),
            Turn::Earlier => return true,
        }
    }
    false
}

/// Slots that a place's former holders left, before the place's generations come round. `find` is told each.
pub(crate) fn left_by(
    common: &Common,
    words: &impl Words,
    turns: Turns,
    place: u8,
    mut find: impl FnMut(Held),
) {
    sweep(common, words, turns, |held| {
        if held.is_held(turns) && held.owner().place == place {
            find(held);
        }
        true
    });
}

/// Whether there is anything that is not done with: what somebody has taken may come again. In acknowledged
/// rings.
pub(crate) fn is_any_left(common: &Common, words: &impl Words, turns: Turns) -> bool {
    // Skipped is for good, so what was looked at once need not be looked at again.
    !sweep(common, words, turns, |held| held.word.state() == State::Skipped)
}

/// Who holds what is at the head, if somebody does.
pub(crate) fn first_held(common: &Common, words: &impl Words, turns: Turns) -> Option<Held> {
    let position = common.head.load(Ordering::Relaxed);
    let held = Held::at(words, turns, position);
    held.is_held(turns).then_some(held)
}

/// How many positions from the head on have been claimed, and how many of them hold values. `word` reads a slot's word,
/// and `claim` that of the claim.
pub(crate) fn depth(
    head: u64,
    capacity: u64,
    word: impl Fn(u64) -> u64,
    claim: impl Fn(u64) -> u64,
) -> (u64, u64) {
    let turns = Turns::of(capacity);
    let (mut used, mut values) = (0, 0);
    while used < capacity {
        let position = head.wrapping_add(used);
        let slot = Control(word(position));
        let seen = together(turns, position, slot, || Control(claim(position)));
        if turns.turn(seen, position) != Turn::Current {
            break;
        }
        values += u64::from(matches!(seen.state(), State::Published | State::Taken));
        used += seen.run();
    }
    (used, values)
}

/// Most slots of one claim.
pub(crate) fn longest_run(capacity: u64) -> u64 {
    capacity.min(LONGEST_RUN)
}
