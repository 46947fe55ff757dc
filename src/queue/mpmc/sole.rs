//! Coming to the producers' side: alone, or beside others.

use super::member::Seat;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Kind, Owner, Standing, Turns};
use crate::ring::mpmc::{Sender, claim_for};
use crate::sync::Ordering;
use crate::sys;

/// How often others may be faster, of whom each comes or goes. Only who meets nonsense comes to that.
const TURNS: u32 = 1 << 10;

impl<T> Seat<T> {
    /// Tells the other producers that one more has come, or that it is alone.
    pub(super) fn join(&self, ring: &mut Sender) -> Result<()> {
        let common = self.forum().common();
        let standing = &common.sole.standing;
        // Records are claimed in any case, so nobody would gain by it, and who has no membarrier can come.
        let of_records =
            Kind::of(self.forum().segment().header().kind).is_some_and(Kind::has_blocks);
        for _ in 0..TURNS {
            // ORDERING(sole): Acquire. Pairs with ORDERING(sole) in Seat::join and Seat::end_sole: what was claimed
            // for who was alone is claimed, where one who is alone began can be seen, and who came before us, too.
            let seen = Standing(standing.load(Ordering::Acquire));
            if let Some(holder) = seen.holder() {
                self.end_sole(seen, holder)?;
                continue;
            }
            let alone = !of_records
                && sys::register_fence()
                && self.place().is_alone(self.forum().segment())
                // Whoever was alone between our look and now may have left: what we saw is out of date, and who is
                // remembered there may have been forgotten, and its name have another holder.
                && standing.load(Ordering::Relaxed) == seen.0
                && ring.prepare_alone(common, &self.slots);
            let next = if alone { seen.alone(self.place().owner()) } else { seen.shared() };
            if alone {
                // Forgotten from now on. Nobody is left who could still claim for it, and it is gone itself.
                self.settle_all_of(Turns::of(self.slots.capacity()), seen.last());
            }
            // ORDERING(sole): Release. Pairs with ORDERING(sole) in Seat::join. What it replaces was acquired above, for
            // no word comes twice.
            let changed =
                standing.compare_exchange(seen.0, next.0, Ordering::Release, Ordering::Relaxed);
            if changed.is_err() {
                continue;
            }
            if alone {
                ring.go_alone(next);
            }
            return Ok(());
        }
        Err(Error::new(ErrorKind::Corrupt, "who is alone in it changes without end"))
    }

    /// Sees to it that a producer that is alone claims like everybody from now on.
    #[cold]
    fn end_sole(&self, seen: Standing, holder: Owner) -> Result<()> {
        let common = self.forum().common();
        let standing = &common.sole.standing;
        let ending = seen.ending();
        let told =
            standing.compare_exchange(seen.0, ending.0, Ordering::Relaxed, Ordering::Relaxed);
        if told.is_err() {
            return Ok(());
        }
        // Who is gone writes nowhere, and what it did not publish is nobody's.
        if !self.place().is_gone(self.forum().segment(), holder) {
            // ORDERING(sole-fence): the heavy half. Pairs with ORDERING(sole-fence) in Sender::claim_alone: either
            // it sees that it is not alone, or we see where it writes.
            if !sys::heavy_fence() {
                let text = "the kernel gives no membarrier, without which a producer that is \
                            alone does not learn that another one has come";
                return Err(Error::new(ErrorKind::Unsupported, text));
            }
            claim_for(common, &self.slots, Turns::of(self.slots.capacity()), holder);
        }
        // ORDERING(sole): Release. Pairs with ORDERING(sole) in Seat::join: our claim comes before all that others try
        // there. Who fails was overtaken by somebody who did the same. No model: in loom a compare-and-swap meets the
        // last store in any case.
        let shared = ending.shared();
        let _ = standing.compare_exchange(ending.0, shared.0, Ordering::Release, Ordering::Relaxed);
        Ok(())
    }

    /// There will be another end like this one, which does nothing meanwhile.
    pub(super) fn share(&self) {
        let standing = &self.forum().common().sole.standing;
        let seen = Standing(standing.load(Ordering::Relaxed));
        if seen.holder() == Some(self.place().owner()) {
            let shared = seen.shared();
            // ORDERING(sole): Release. Pairs with ORDERING(sole) in Seat::join: what we published without a claim comes
            // before all that others try there. If it fails somebody has come from elsewhere, who does it. No model:
            // loom shows nobody so old a slot.
            let _ =
                standing.compare_exchange(seen.0, shared.0, Ordering::Release, Ordering::Relaxed);
        }
    }
}
