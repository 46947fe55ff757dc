//! Each side makes the object that it writes, maps it, seals it against any change of its size and against all further
//! writers, and passes it on. The other object is there from the beginning: as zeroes, which is what a new object
//! holds, until the real one is mapped in their place.

use super::{Hall, Object, page};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::{self, Access};

impl Hall {
    /// For the side that asks: with a ring of `own_data` bytes to write to, and room for the other side's. Both are
    /// multiples of a page. What is to be passed with the question comes with it.
    pub(crate) fn ask(own_data: usize, their_data: usize) -> Result<(Hall, Vec<sys::Handle>)> {
        let handle = sys::create_anonymous("ringlane session")?;
        sys::resize_alone(&handle, (page() + own_data) as u64, true)?;
        let own = Object::of(&handle, own_data, Access::ReadWrite)?;
        let theirs = Object::of_zeroes(their_data)?;
        let hall = Hall::over(own, theirs, own_data, their_data);
        sys::seal_all(&handle)?;
        Ok((hall, vec![handle]))
    }

    /// For the side that answers, with what came with the question. What is to be passed with the answer comes with
    /// it.
    pub(crate) fn answer(
        own_data: usize,
        their_data: usize,
        asked: &[sys::Handle],
    ) -> Result<(Hall, Vec<sys::Handle>)> {
        let (hall, own) = Hall::ask(own_data, their_data)?;
        hall.complete(asked)?;
        Ok((hall, own))
    }

    /// Puts the other side's object in its place, for reading only, if it is what it should be: shared memory of
    /// just this size, of which nobody can change the size.
    pub(crate) fn complete(&self, answered: &[sys::Handle]) -> Result<()> {
        let [handle] = answered else {
            return Err(Error::new(ErrorKind::Corrupt, "a greeting comes with one descriptor"));
        };
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
        self.theirs.put(handle, self.their_data)
    }
}
