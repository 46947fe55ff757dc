//! Peers made of a bare pipe and a label, that can say what they like.

use super::until;
use std::hash::{BuildHasher, RandomState};
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};
use windows_sys::Win32::Foundation::{GENERIC_READ, GENERIC_WRITE, HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, OPEN_EXISTING, PIPE_ACCESS_DUPLEX, ReadFile, WriteFile,
};
use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, FILE_MAP_READ, FILE_MAP_WRITE, MapViewOfFile, OpenFileMappingW,
    PAGE_READWRITE, SEC_COMMIT, UnmapViewOfFile,
};
use windows_sys::Win32::System::Pipes::{
    ConnectNamedPipe, CreateNamedPipeW, PIPE_READMODE_MESSAGE, PIPE_TYPE_MESSAGE,
};

pub(crate) fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

pub(crate) fn owned(made: HANDLE) -> Option<OwnedHandle> {
    let failed = made.is_null() || made == INVALID_HANDLE_VALUE;
    // SAFETY: the caller has just made it.
    (!failed).then(|| unsafe { OwnedHandle::from_raw_handle(made.cast()) })
}

/// A section of this kind.
pub(crate) fn section(name: &str, size: usize, kind: u32) -> OwnedHandle {
    let (none, name, kind) = (INVALID_HANDLE_VALUE, wide(name), PAGE_READWRITE | kind);
    // SAFETY: the name ends with a zero.
    let made = unsafe { CreateFileMappingW(none, null(), kind, 0, size as u32, name.as_ptr()) };
    owned(made).expect("a section")
}

pub(crate) fn opened(name: &str, access: u32) -> Option<OwnedHandle> {
    // SAFETY: the name ends with a zero.
    owned(unsafe { OpenFileMappingW(access, 0, wide(name).as_ptr()) })
}

/// Reads or writes the words of a label: its number lies behind two words, of which the first says that it is there.
pub(crate) fn with_label<T>(label: &OwnedHandle, work: impl FnOnce(&mut [u64; 4]) -> T) -> T {
    let access = FILE_MAP_READ | FILE_MAP_WRITE;
    // SAFETY: fresh addresses.
    let view = unsafe { MapViewOfFile(label.as_raw_handle().cast(), access, 0, 0, 32) };
    assert!(!view.Value.is_null());
    // SAFETY: the view has so many bytes, and a page's alignment.
    let result = work(unsafe { &mut *view.Value.cast() });
    // SAFETY: mapped above, and nobody has a reference.
    unsafe { UnmapViewOfFile(view) };
    result
}

pub(crate) fn pipe_of([high, low]: [u64; 2]) -> Vec<u16> {
    wide(&format!(r"\\.\pipe\ringlane-{high:016x}{low:016x}"))
}

/// A bare client's pipe to the server of this label.
pub(crate) fn client(label: &str) -> OwnedHandle {
    let label = opened(label, FILE_MAP_READ | FILE_MAP_WRITE).expect("a label");
    let pipe = pipe_of(with_label(&label, |words| [words[1], words[2]]));
    let access = GENERIC_READ | GENERIC_WRITE;
    let mut client = None;
    until("an instance is free", || {
        // SAFETY: the name ends with a zero.
        client = owned(unsafe {
            CreateFileW(pipe.as_ptr(), access, 0, null(), OPEN_EXISTING, 0, null_mut())
        });
        client.is_some()
    });
    client.expect("a pipe")
}

pub(crate) fn write(pipe: &OwnedHandle, bytes: &[u8]) {
    let mut sent = 0;
    let (pipe, len) = (pipe.as_raw_handle().cast(), bytes.len() as u32);
    // SAFETY: the bytes outlive the call.
    let done = unsafe { WriteFile(pipe, bytes.as_ptr(), len, &mut sent, null_mut()) };
    assert!(done != 0 && sent == len);
}

pub(crate) fn read(pipe: &OwnedHandle) -> Vec<u8> {
    let (mut bytes, mut got) = (vec![0; 256], 0);
    // SAFETY: the buffer has so many bytes.
    let done = unsafe {
        ReadFile(pipe.as_raw_handle().cast(), bytes.as_mut_ptr(), 256, &mut got, null_mut())
    };
    assert!(done != 0);
    bytes.truncate(got as usize);
    bytes
}

/// A bare server's pipe, and its label.
pub(crate) fn server(label: &str) -> (OwnedHandle, OwnedHandle) {
    let id = [0_u64, 1].map(|n| RandomState::new().hash_one(n));
    let (kind, pipe) = (PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE, pipe_of(id));
    // SAFETY: the name ends with a zero.
    let server = owned(unsafe {
        CreateNamedPipeW(pipe.as_ptr(), PIPE_ACCESS_DUPLEX, kind, 1, 4096, 4096, 0, null())
    });
    let label = section(label, 32, SEC_COMMIT);
    with_label(&label, |words| *words = [1, id[0], id[1], 0]);
    (server.expect("a pipe"), label)
}

/// Has whoever comes to it connect.
pub(crate) fn welcome(server: &OwnedHandle) {
    // SAFETY: nothing else is given.
    unsafe { ConnectNamedPipe(server.as_raw_handle().cast(), null_mut()) };
}
