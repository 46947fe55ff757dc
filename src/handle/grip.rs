//! What a broker keeps of memory that can be taken back.

use super::revoke::Revoke;
use crate::error::{Error, ErrorKind, Result};
use crate::shm::{Leash, Mapping};
use crate::sys;
use std::sync::Arc;

/// An object that handles were made of; one descriptor for all of them.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) handle: sys::Handle,
    pub(super) identity: sys::Identity,
}

#[derive(Debug)]
pub(super) struct Grip {
    pub(super) leash: Leash,
    /// The leash's descriptor, until it was given.
    pub(super) end: Option<sys::Handle>,
    /// The object, to be written to, if the creator could.
    pub(super) writer: Option<Arc<Object>>,
    /// The bytes given, mapped before nobody could write any more.
    pub(super) mapping: Option<Mapping>,
    /// The first of the bytes given, how many, and whether these are not all.
    pub(super) from: u64,
    pub(super) len: u64,
    pub(super) part: bool,
}

impl Grip {
    /// Why it cannot be done, if so: the seals are what they were when the handle was made.
    pub(super) fn check(&self, how: Revoke) -> Result<()> {
        let refuse = |text: &str| Err(Error::new(ErrorKind::Unsupported, text));
        if how == Revoke::Cooperative {
            return Ok(());
        }
        let Some(writer) = &self.writer else {
            return refuse("the creator of the handle could not write to the memory");
        };
        let seals = sys::seals_of(&writer.handle)?;
        match how {
            // Where others can shorten the object, nothing is to be touched.
            Revoke::Wipe if seals.writes && !(self.mapping.is_some() && seals.size) => {
                refuse("the memory was sealed against writers before")
            }
            Revoke::Fault if self.part => refuse("only a part of the memory was given"),
            Revoke::Fault if seals.shrink => refuse("the size of the memory is sealed"),
            _ => Ok(()),
        }
    }

    /// Takes the memory back. What was asked about before can still fail.
    pub(super) fn pull(&self, how: Revoke) -> Result<()> {
        self.leash.cut();
        match (how, &self.writer) {
            (Revoke::Wipe, Some(writer)) => match &self.mapping {
                Some(mapping) if sys::seals_of(&writer.handle)?.writes => wipe(mapping),
                _ if self.part => sys::empty_range(&writer.handle, self.from, self.len),
                // It may have grown since, and its last page may be full beyond its size.
                _ => sys::empty_range(&writer.handle, 0, i64::MAX as u64),
            },
            (Revoke::Fault, Some(writer)) => sys::resize_alone(&writer.handle, 0, false),
            _ => Ok(()),
        }
    }
}

fn wipe(mapping: &Mapping) -> Result<()> {
    const STEP: usize = 1 << 16;
    let zeroes = [0; STEP];
    let mut at = 0;
    while at < mapping.len() {
        let step = STEP.min(mapping.len() - at);
        mapping.write_at(at, &zeroes[..step])?;
        at += step;
    }
    Ok(())
}
