//! The side that asks makes both objects, and tells the other their names. So both are there from the beginning, and
//! nothing is ever mapped in another's place, which this platform cannot do without a moment between.
//!
//! Nobody can change the size of either. The asking side's can be opened anew for reading only; of the other side's it
//! keeps a mapping to read alone. That it kept no other the answering side has to believe, and need not: what that side writes
//! is read by who asked, and what it reads of its own words it takes as any peer's.

use super::{Hall, Object, page};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::{self, Access};

fn corrupt(text: String) -> Error {
    Error::new(ErrorKind::Corrupt, text)
}

impl Hall {
    /// For the side that asks: with a ring of `own_data` bytes to write to, and room for the other side's. Both are
    /// multiples of a page. What is to be passed with the question comes with it.
    pub(crate) fn ask(own_data: usize, their_data: usize) -> Result<(Hall, Vec<sys::Handle>)> {
        let make = |data, theirs| sys::create_for_peer((page() + data) as u64, theirs);
        let own_handle = make(own_data, Access::Read)?;
        let their_handle = make(their_data, Access::ReadWrite)?;
        let own = Object::of(&own_handle, own_data, Access::ReadWrite)?;
        let theirs = Object::of(&their_handle, their_data, Access::Read)?;
        let hall = Hall::over(own, theirs, own_data, their_data);
        Ok((hall, vec![sys::reopen(&own_handle, Access::Read)?, their_handle]))
    }

    /// For the side that answers, with what came with the question: memory of just these sizes.
    pub(crate) fn answer(
        own_data: usize,
        their_data: usize,
        asked: &[sys::Handle],
    ) -> Result<(Hall, Vec<sys::Handle>)> {
        let [theirs, own] = asked else {
            return Err(corrupt("a question comes with two objects".into()));
        };
        for (handle, data) in [(theirs, their_data), (own, own_data)] {
            let (size, wanted) = (sys::stat(handle)?.size, page() + data);
            if size != wanted as u64 {
                return Err(corrupt(format!("memory of {size} bytes, {wanted} are expected")));
            }
        }
        let own = Object::of(own, own_data, Access::ReadWrite)?;
        let theirs = Object::of(theirs, their_data, Access::Read)?;
        Ok((Hall::over(own, theirs, own_data, their_data), Vec::new()))
    }

    /// There is nothing left to be done with the answer.
    pub(crate) fn complete(&self, answered: &[sys::Handle]) -> Result<()> {
        if answered.is_empty() {
            Ok(())
        } else {
            Err(corrupt("an answer comes with no object".into()))
        }
    }
}
