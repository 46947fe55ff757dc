//! Objects that are put into another process, as handles: with just the rights that are granted, and to no other process,
//! whoever reads the message.
//!
//! ```text
//!   0x80 + n   n times: the object's number (16 bytes), 1 if it may be written to, the handle's number (8 bytes)   bytes
//! ```
//!
//! The one that opens the other process is the one that gives; it takes no rights on the giver's. Who is given
//! something takes the number for what it is, bytes that somebody wrote: it copies the handle, has the kernel say that
//! it is a section of plain memory, and the very one that has the object's number, which nobody guesses; and it closes
//! the copy alone. What was put there, the giver takes away again when it is told, by the end of the connection, that the
//! other one is done.
#![allow(unsafe_code, reason = "system calls")]

use super::super::{Access, Received};
use super::death::copy_of;
use super::object::{Id, Object, open_section, rights_of, section_name};
use super::pipe::{MOST_OBJECTS, each_of, lend, receive_by};
use super::{Handle, Process, Socket, last, mapping, owned, this_process};
use crate::error::Result;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr::null_mut;
use windows_sys::Win32::Foundation::{
    CompareObjectHandles, DUPLICATE_CLOSE_SOURCE, DuplicateHandle, HANDLE,
};
use windows_sys::Win32::Storage::FileSystem::READ_CONTROL;
use windows_sys::Win32::System::Memory::SECTION_QUERY;

/// What a message begins with, beside the number of objects.
const GIVEN: u8 = 0x80;

/// Bytes that an object takes in a message.
const OBJECT: usize = 25;

/// A handle in another process, until dropped.
#[derive(Debug)]
pub(super) struct Lent {
    process: OwnedHandle,
    /// Its number there.
    number: usize,
}

impl Lent {
    fn new(handle: &Handle, to: &Process) -> Result<Lent> {
        let (section, _) = handle.section()?;
        let (process, mut number) = (copy_of(to.handle())?, null_mut());
        let rights = rights_of(handle.access()) | SECTION_QUERY;
        // SAFETY: both are open, and the number is written to what is given. What it means, it means there.
        let done = unsafe {
            let to = process.as_raw_handle().cast();
            DuplicateHandle(this_process(), section, to, &mut number, rights, 0, 0)
        };
        if done == 0 {
            return Err(last("put a handle into the process"));
        }
        Ok(Lent { process, number: number.addr() })
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let (process, number) = (self.process.as_raw_handle().cast(), self.number);
        let (number, nobody) = (std::ptr::without_provenance_mut(number), null_mut());
        // If the process has closed it itself, it may be another one by now, to its own harm.
        // SAFETY: the process is open; the handle is one of that process's, where this one put it.
        unsafe {
            DuplicateHandle(process, number, nobody, null_mut(), 0, 0, DUPLICATE_CLOSE_SOURCE)
        };
    }
}

/// Sends a message, and gives these objects to the process. They go again with the connection, or when something comes.
pub(crate) fn give(
    socket: &Socket,
    to: &Process,
    bytes: &[u8],
    handles: &[&Handle],
) -> Result<bool> {
    assert!(handles.len() <= MOST_OBJECTS, "{} objects with one message", handles.len());
    let mut message = vec![GIVEN | handles.len() as u8];
    let mut lent = Vec::new();
    for handle in handles {
        // From here on it sleeps as one that others have.
        handle.object().seats.share();
        let handed = Lent::new(handle, to)?;
        message.extend(handle.object().id().to_bytes());
        message.push(u8::from(handle.access() == Access::ReadWrite));
        message.extend((handed.number as u64).to_le_bytes());
        lent.push(handed);
    }
    message.extend(bytes);
    lend(socket, &message, lent)
}

/// What was given is there only while the connection is, until it was taken.
pub(crate) const LENDS: bool = true;

/// Receives such a message.
pub(crate) fn receive_given(socket: &Socket, buffer: &mut [u8]) -> Result<Received> {
    receive_by(socket, buffer, given_of)
}

fn given_of(message: &[u8]) -> Option<(Vec<Handle>, &[u8])> {
    let (count, rest) = message.split_first()?;
    // One that gives nothing is like any other.
    let count = usize::from(if *count == 0 { GIVEN } else { *count }.checked_sub(GIVEN)?);
    each_of(count, OBJECT, rest, take)
}

/// A copy of a handle that somebody says to have put here; nothing if it is not what it is said to be.
fn take(object: &[u8]) -> Option<Handle> {
    let (id, rest) = object.split_first_chunk::<16>()?;
    let (write, number) = rest.split_first()?;
    let id = Id::of(*id);
    let access = if *write == 1 { Access::ReadWrite } else { Access::Read };
    let number = usize::try_from(u64::from_le_bytes(number.try_into().ok()?)).ok()?;
    let (number, mut copy): (HANDLE, HANDLE) =
        (std::ptr::without_provenance_mut(number), null_mut());
    let rights = rights_of(access) | SECTION_QUERY;
    // SAFETY: writes to what it is given. The number can be any: it is not used up, and what it means is asked below.
    let copied =
        unsafe { DuplicateHandle(this_process(), number, this_process(), &mut copy, rights, 0, 0) };
    let copy = owned(copy).filter(|_| copied != 0)?;
    let size = mapping::size_of_plain(copy.as_raw_handle().cast()).ok()?;
    // Who knows the object's number has the object. So this is none that is nobody's business but ours.
    // By itself, to be asked what it is would be taken for another right, of the same number, to map it.
    let named = open_section(&section_name(id), SECTION_QUERY | READ_CONTROL).ok()?;
    // SAFETY: both are open.
    let same =
        unsafe { CompareObjectHandles(copy.as_raw_handle().cast(), named.as_raw_handle().cast()) };
    (same != 0).then(|| Handle::of(Object::given(id, copy, size), access))
}

/// The kernel says who connected. Who asks over the connection need not be the same: it is given nothing itself.
pub(crate) fn hear_only<T>(_: &T) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{create_anonymous, open_to_give, page_size, resize_alone, socket_pair};
    use super::*;

    #[test]
    fn what_is_given_is_shared_from_then_on_and_is_the_same() {
        let (one, other) = socket_pair().unwrap();
        let own = open_to_give(std::process::id()).unwrap();
        let handle = create_anonymous("").unwrap();
        resize_alone(&handle, page_size() as u64, true).unwrap();
        assert!(!handle.object().seats.is_shared());
        assert!(give(&one, &own, b"given", &[&handle]).unwrap());
        assert!(handle.object().seats.is_shared());
        let mut bytes = [0; 8];
        super::super::wait_readable(&other, None).unwrap();
        let got = receive_given(&other, &mut bytes).unwrap();
        let Received::Message { bytes: 5, handles, cut: false, .. } = got else {
            panic!("{got:?}")
        };
        assert_eq!(&bytes[..5], b"given");
        assert_eq!(handles[0].object().id(), handle.object().id());
        assert!(handles[0].object().seats.is_shared());
        // Objects that are told by a number are none to those who take names.
        assert!(give(&one, &own, b"given", &[&handle]).unwrap());
        super::super::wait_readable(&other, None).unwrap();
        let got = super::super::receive(&other, &mut bytes).unwrap();
        assert!(matches!(got, Received::Message { bytes: 0, cut: true, .. }), "{got:?}");
    }
}
