//! What only Linux gives, as the other platforms answer: that it is not there.
#![allow(unsafe_code, reason = "has the contracts of what it stands for")]

use crate::error::{Error, ErrorKind, Result};
use std::ptr::NonNull;

/// On Windows pages of the large kind take a right that users do not have.
pub(crate) fn huge_page_size() -> Option<usize> {
    None
}

/// # Safety
/// None: it does nothing.
pub(crate) unsafe fn prefer_huge(_at: NonNull<u8>, _len: usize) {}

pub(crate) fn huge_bytes(_at: NonNull<u8>, _len: usize) -> Result<usize> {
    Ok(0)
}

pub(crate) fn has_nodes() -> bool {
    false
}

/// # Safety
/// None: it does nothing.
pub(crate) unsafe fn bind_node(_at: NonNull<u8>, _len: usize, _node: u32) -> Result<()> {
    Err(Error::new(ErrorKind::Unsupported, "memory cannot be asked for by NUMA node here"))
}

pub(crate) fn node_bytes(_at: NonNull<u8>, _len: usize, _node: u32) -> Result<usize> {
    Ok(0)
}

/// No memory is given here that could be cut off.
///
/// # Safety
/// None: it does nothing.
pub(crate) unsafe fn copy_if_there(_to: *mut u8, _from: *const u8, _len: usize) -> Option<bool> {
    None
}
