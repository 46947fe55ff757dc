//! The memory of a session: two objects, of which each side writes one and reads the other.
//!
//! ```text
//!   0            nothing
//!   1024         part of the producer, for the ring whose data is in this object
//!   2048         part of the consumer, for the ring whose data is in the other one
//!   P            data                                                    mapped twice
//! ```
//!
//! Addresses never change. How the objects come to both sides, and who makes them, is each platform's:
//! see `sealed` and `named`.

#[cfg(loom)]
mod heap;
#[cfg(not(loom))]
mod mapped;
#[cfg(windows)]
mod named;
#[cfg(target_os = "linux")]
mod sealed;

#[cfg(loom)]
use self::heap::Object;
#[cfg(not(loom))]
use self::mapped::Object;
use super::home::{Extent, Home};
use super::part::{Part, Side};
use super::segment::page;
use crate::shm::Wrap;
use std::sync::Arc;

/// Both objects of a session.
#[derive(Debug)]
pub(crate) struct Hall {
    own: Object,
    theirs: Object,
    /// Bytes of the ring in our object, and in theirs.
    own_data: usize,
    their_data: usize,
}

/// The size that a ring of so many bytes has, in whole pages.
pub(crate) fn ring_size(bytes: usize) -> Option<usize> {
    let size = bytes.max(1).checked_next_multiple_of(page())?;
    (size <= isize::MAX as usize / 8).then_some(size)
}

impl Hall {
    /// Over an object that this side writes, of which the parts are taken now, and one that it reads.
    fn over(own: Object, theirs: Object, own_data: usize, their_data: usize) -> Hall {
        for side in [Side::Producer, Side::Consumer] {
            own.part(side).hold();
        }
        Hall { own, theirs, own_data, their_data }
    }

    /// One of the two rings: the one that this side writes to if it is the producer.
    pub(crate) fn lane(self: &Arc<Self>, side: Side) -> Arc<Lane> {
        Arc::new(Lane { hall: Arc::clone(self), own_side: side })
    }
}

/// One ring of a [`Hall`].
#[derive(Debug)]
pub(crate) struct Lane {
    hall: Arc<Hall>,
    /// Which side this process is.
    own_side: Side,
}

impl Home for Lane {
    fn part(&self, side: Side) -> &Part {
        // The other side's is only read: whoever has a side writes its own part alone.
        let object = if side == self.own_side { &self.hall.own } else { &self.hall.theirs };
        object.part(side)
    }

    fn bytes(&self) -> Extent {
        let (object, capacity) = match self.own_side {
            Side::Producer => (&self.hall.own, self.hall.own_data),
            Side::Consumer => (&self.hall.theirs, self.hall.their_data),
        };
        Extent { at: object.data(), capacity, wrap: Wrap::Mirror }
    }

    #[cfg(loom)]
    fn watch(&self, word: usize) -> &crate::sync::Watch {
        match self.own_side {
            Side::Producer => self.hall.own.watch(word),
            Side::Consumer => self.hall.theirs.watch(word),
        }
    }
}
