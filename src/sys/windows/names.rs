//! The names of all objects: what the kernel's own directory has of labels.
#![allow(unsafe_code, reason = "system calls")]

use super::object::LABEL;
use super::{last, owned};
use crate::error::{Error, ErrorKind, Result};
use std::os::windows::io::AsRawHandle;
use std::ptr::{null, null_mut};
use windows_sys::Wdk::Foundation::OBJECT_ATTRIBUTES;
use windows_sys::Wdk::Storage::FileSystem::{NtOpenDirectoryObject, NtQueryDirectoryObject};
use windows_sys::Win32::Foundation::UNICODE_STRING;
use windows_sys::Win32::System::RemoteDesktop::ProcessIdToSessionId;

/// To ask what is in a directory of the kernel's.
const DIRECTORY_QUERY: u32 = 1;

/// Room for a name and the name of its kind, in words.
const ROOM: usize = 1024;

pub(crate) fn names() -> Result<Vec<String>> {
    let mut session = 0;
    // SAFETY: writes to what it is given.
    if unsafe { ProcessIdToSessionId(super::process_id(), &mut session) } == 0 {
        return Err(last("ask for the session"));
    }
    let mut names = labels_in(&format!(r"\Sessions\{session}\BaseNamedObjects"));
    if names.is_err() {
        names = labels_in(r"\BaseNamedObjects");
    }
    let mut names = names?;
    names.sort();
    Ok(names)
}

fn refused(status: i32) -> Error {
    Error::new(ErrorKind::Os, format!("list the names: status {status:#x}"))
}

fn labels_in(directory: &str) -> Result<Vec<String>> {
    let mut path: Vec<u16> = directory.encode_utf16().collect();
    let bytes = (path.len() * 2) as u16;
    let name = UNICODE_STRING { Length: bytes, MaximumLength: bytes, Buffer: path.as_mut_ptr() };
    let attributes = OBJECT_ATTRIBUTES {
        Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
        RootDirectory: null_mut(),
        ObjectName: &name,
        Attributes: 0,
        SecurityDescriptor: null(),
        SecurityQualityOfService: null(),
    };
    let mut opened = null_mut();
    // SAFETY: the attributes and the name that they point to outlive the call.
    let status = unsafe { NtOpenDirectoryObject(&mut opened, DIRECTORY_QUERY, &attributes) };
    let directory = owned(opened).filter(|_| status >= 0).ok_or_else(|| refused(status))?;
    let (mut labels, mut position) = (Vec::new(), 0);
    loop {
        let mut room = [0_u64; ROOM];
        // SAFETY: the buffer has the bytes that it is said to have; the position is the call's own.
        let status = unsafe {
            let (to, len) = (room.as_mut_ptr().cast(), (ROOM * 8) as u32);
            let from = directory.as_raw_handle().cast();
            NtQueryDirectoryObject(from, to, len, true, false, &mut position, null_mut())
        };
        // An error, or no more.
        if status != 0 {
            return Ok(labels);
        }
        // SAFETY: an entry begins with its name, which points into the buffer.
        let name = unsafe { room.as_ptr().cast::<UNICODE_STRING>().read() };
        let units = usize::from(name.Length) / 2;
        // SAFETY: the name has so many units.
        let name = unsafe { std::slice::from_raw_parts(name.Buffer, units) };
        let name = String::from_utf16_lossy(name);
        labels.extend(name.strip_prefix(LABEL).map(str::to_owned));
    }
}
