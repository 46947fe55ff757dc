//! An object as it is: mapped.
#![allow(unsafe_code, reason = "turns mapped bytes into references to atomics")]

use super::{Part, Side, page};
use crate::error::Result;
use crate::shm::Mapping;
use crate::sync::AtomicU64;
use crate::sys::{self, Access};
use std::ptr::NonNull;

/// Where the two parts lie.
const PRODUCER_AT: usize = 1024;
const CONSUMER_AT: usize = 2048;

/// The words that one side writes.
#[derive(Debug)]
pub(super) struct Object(Mapping);

impl Object {
    /// With a ring of `data` bytes.
    pub(super) fn of(handle: &sys::Handle, data: usize, access: Access) -> Result<Object> {
        Mapping::of_pair(handle, page(), data, access).map(Object)
    }

    /// Room for one, which nobody writes.
    #[cfg(target_os = "linux")]
    pub(super) fn of_zeroes(data: usize) -> Result<Object> {
        Mapping::of_zeroes(page() + 2 * data).map(Object)
    }

    /// Puts the real one in the place of the zeroes.
    #[cfg(target_os = "linux")]
    pub(super) fn put(&self, handle: &sys::Handle, data: usize) -> Result<()> {
        self.0.replace_by_pair(handle, page(), data)
    }

    pub(super) fn part(&self, side: Side) -> &Part {
        let at = match side {
            Side::Producer => PRODUCER_AT,
            Side::Consumer => CONSUMER_AT,
        };
        // SAFETY: within the first page of the mapping.
        let part = unsafe { self.0.as_ptr().add(at) }.cast::<Part>();
        // SAFETY: aligned to a line, and mapped as long as the mapping is; a `Part` consists of atomics, for which any
        // bytes are a value.
        unsafe { part.as_ref() }
    }

    pub(super) fn data(&self) -> NonNull<AtomicU64> {
        // SAFETY: the data lies behind the first page.
        unsafe { self.0.as_ptr().add(page()) }.cast()
    }
}
