//! The memory of a session: two objects, of which each side writes one and reads the other.
//!
//! ```text
//!   0            nothing
//!   1024         part of the producer, for the ring whose data is in this object
//!   2048         part of the consumer, for the ring whose data is in the other one
//!   P            data                                                    mapped twice
//! ```
//!
//! Whoever makes an object maps it, seals it against any change of its size and against all further writers, and
//! passes it on. The other object is there from the beginning: as zeroes, which is what a new object
//! holds, until the real one is mapped in their place. So addresses never change.
#![allow(unsafe_code, reason = "turns mapped bytes into references to atomics")]

use super::home::{Extent, Home};
use super::part::{Part, Side};
use super::segment::page;
use crate::error::{Error, ErrorKind, Result};
use crate::shm::{Mapping, Wrap};
use crate::sync::AtomicU64;
use crate::sys;
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
    /// Makes this side's object, with a ring of `own_data` bytes to write to, and leaves room for the other
    /// side's. Both are multiples of a page. The handle is for the other side.
    pub(crate) fn new(own_data: usize, their_data: usize) -> Result<(Hall, sys::Handle)> {
        let handle = sys::create_anonymous("ringlane session")?;
        sys::resize_alone(&handle, (page() + own_data) as u64, true)?;
        let own = Mapping::of_own_pair(&handle, page(), own_data)?;
        for at in [PRODUCER_AT, CONSUMER_AT] {
            // SAFETY: within the first page of the mapping.
            let part = unsafe { own.as_ptr().add(at) }.cast::<Part>();
            // SAFETY: room for a `Part`, aligned to a line, that nobody else has yet.
            unsafe { part.write(Part::held()) };
        }
        sys::seal_all(&handle)?;
        let theirs = Mapping::of_zeroes(page() + 2 * their_data)?;
        Ok((Hall { own, theirs, own_data, their_data }, handle))
    }

    /// Puts the other side's object in its place, for reading only, if it is what it should be: shared memory of
    /// just this size, of which nobody can change the size.
    pub(crate) fn put(&self, handle: &sys::Handle) -> Result<()> {
        sys::adopt(handle)?;
        let seals = sys::seals_of(handle)?;
        if !seals.size || !seals.writes {
            return Err(Error::new(ErrorKind::Corrupt, "memory that is not sealed"));
        }
        // Not before: only now the size is one that stays.
        let (size, wanted) = (sys::stat(handle)?.size, page() + self.their_data);
        if size != wanted as u64 {
            let text = format!("memory of {size} bytes, {wanted} are expected");
            return Err(Error::new(ErrorKind::Corrupt, text));
        }
        self.theirs.replace_by_pair(handle, page(), self.their_data)
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
        let mapping = if side == self.own_side { &self.hall.own } else { &self.hall.theirs };
        let at = match side {
            Side::Producer => PRODUCER_AT,
            Side::Consumer => CONSUMER_AT,
        };
        // SAFETY: within the first page of the mapping.
        let part = unsafe { mapping.as_ptr().add(at) }.cast::<Part>();
        // SAFETY: aligned; a `Part` consists of atomics, for which any bytes are a value. The other side's is only
        // read: whoever has a side writes its own part alone.
        unsafe { part.as_ref() }
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
