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
#![allow(unsafe_code, reason = "turns mapped bytes into references to atomics")]

#[cfg(windows)]
mod named;
#[cfg(target_os = "linux")]
mod sealed;

use super::home::{Extent, Home};
use super::part::{Part, Side};
use super::segment::page;
use crate::shm::{Mapping, Wrap};
use crate::sync::AtomicU64;
use std::sync::Arc;

/// Where the two parts lie.
const PRODUCER_AT: usize = 1024;
const CONSUMER_AT: usize = 2048;

/// Both objects of a session.
#[derive(Debug)]
pub(crate) struct Hall {
    own: Mapping,
    theirs: Mapping,
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
    fn over(own: Mapping, theirs: Mapping, own_data: usize, their_data: usize) -> Hall {
        for at in [PRODUCER_AT, CONSUMER_AT] {
            part_at(&own, at).hold();
        }
        Hall { own, theirs, own_data, their_data }
    }

    /// One of the two rings: the one that this side writes to if it is the producer.
    pub(crate) fn lane(self: &Arc<Self>, side: Side) -> Arc<Lane> {
        Arc::new(Lane { hall: Arc::clone(self), own_side: side })
    }
}

fn part_at(mapping: &Mapping, at: usize) -> &Part {
    // SAFETY: within the first page of the mapping.
    let part = unsafe { mapping.as_ptr().add(at) }.cast::<Part>();
    // SAFETY: aligned to a line, and mapped as long as the mapping is; a `Part` consists of atomics, for which any
    // bytes are a value. The other side's is only read: whoever has a side writes its own part alone.
    unsafe { part.as_ref() }
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
        let mapping = if side == self.own_side { &self.hall.own } else { &self.hall.theirs };
        let at = match side {
            Side::Producer => PRODUCER_AT,
            Side::Consumer => CONSUMER_AT,
        };
        part_at(mapping, at)
    }

    fn bytes(&self) -> Extent {
        let (mapping, capacity) = match self.own_side {
            Side::Producer => (&self.hall.own, self.hall.own_data),
            Side::Consumer => (&self.hall.theirs, self.hall.their_data),
        };
        // SAFETY: the data lies behind the first page.
        let at = unsafe { mapping.as_ptr().add(page()) }.cast::<AtomicU64>();
        Extent { at, capacity, wrap: Wrap::Mirror }
    }
}
