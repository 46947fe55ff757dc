//! Connections: pipes of messages, with the numbers of objects in front of the bytes.
//!
//! ```text
//!   n   n times: an object's number (16 bytes), 1 if it may be written to   bytes
//! ```
//!
//! Objects are told by name, and not by handles put into the other process: a number that a peer says to be a handle
//! of ours could be any of ours, to be mapped and closed; and to put one there takes rights that amount to all of that
//! process's. Nobody guesses a name, and whoever has it can do to the object what its rights say. But a name means
//! something only as long as its maker is there. So who passes an object stays until the other side has it, also
//! if it closes before; only its death is not waited for.
//!
//! A broker of handles, which may open whom it gives something, does put handles into it: see `give`.
#![allow(unsafe_code, reason = "system calls")]

use super::super::{Access, Credentials, Received};
use super::death::copy_of;
use super::event::{Interest, Pollable, Told, Waited, new_event, reset, set};
use super::give::Lent;
use super::object::{Id, Object, open_of_peer};
use super::{Handle, Process, last, last_code, number_of, open_process};
use crate::error::{Error, ErrorKind, Result};
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, OwnedHandle};
use std::ptr::{NonNull, null_mut};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use windows_sys::Wdk::Storage::FileSystem::{
    FILE_PIPE_CONNECTED_STATE, FILE_PIPE_LOCAL_INFORMATION, FilePipeLocalInformation,
    NtQueryInformationFile,
};
use windows_sys::Win32::Foundation::{
    ERROR_BROKEN_PIPE, ERROR_IO_INCOMPLETE, ERROR_IO_PENDING, ERROR_MORE_DATA, ERROR_NO_DATA,
    ERROR_PIPE_NOT_CONNECTED, HANDLE,
};
use windows_sys::Win32::Storage::FileSystem::{ReadFile, WriteFile};
use windows_sys::Win32::System::IO::{
    CancelIoEx, GetOverlappedResult, IO_STATUS_BLOCK, OVERLAPPED,
};
use windows_sys::Win32::System::Pipes::{GetNamedPipeClientProcessId, GetNamedPipeServerProcessId};
use windows_sys::Win32::System::Threading::{INFINITE, WaitForSingleObject};

/// The longest message; none here has a hundred bytes.
const ROOM: usize = 256;

/// Bytes that an object takes in a message.
const OBJECT: usize = 17;

/// No message here passes more.
pub(super) const MOST_OBJECTS: usize = 2;

/// Which side of a pipe this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Server,
    Client,
}

/// An operation of a pipe that may take a while. It and its buffer stay where they are until it is over.
#[derive(Debug)]
pub(super) struct Operation(NonNull<Begun>);

struct Begun {
    overlapped: OVERLAPPED,
    buffer: [u8; ROOM],
}

/// What has become of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    NotYet,
    /// So many bytes, and whether there are more of the message.
    Bytes(usize, bool),
    Failed,
}

// SAFETY: the memory is this one's alone, but for the kernel's writes to it.
unsafe impl Send for Operation {}

impl Operation {
    /// What sets this event when it is over.
    pub(super) fn new(event: &OwnedHandle) -> Operation {
        let overlapped =
            OVERLAPPED { hEvent: event.as_raw_handle().cast(), ..OVERLAPPED::default() };
        let begun = Box::new(Begun { overlapped, buffer: [0; ROOM] });
        Operation(NonNull::from(Box::leak(begun)))
    }

    pub(super) fn overlapped(&self) -> *mut OVERLAPPED {
        // SAFETY: the memory is there as long as `self`; no reference is made.
        unsafe { &raw mut (*self.0.as_ptr()).overlapped }
    }

    fn buffer(&self) -> *mut u8 {
        // SAFETY: as above.
        unsafe { (&raw mut (*self.0.as_ptr()).buffer).cast() }
    }

    pub(super) fn done(&self, pipe: &OwnedHandle, wait: bool) -> Done {
        let mut bytes = 0;
        let pipe = pipe.as_raw_handle().cast();
        // SAFETY: the operation is one of this pipe, and its memory is there.
        let over =
            unsafe { GetOverlappedResult(pipe, self.overlapped(), &mut bytes, i32::from(wait)) };
        match last_code() {
            _ if over != 0 => Done::Bytes(bytes as usize, false),
            ERROR_IO_INCOMPLETE => Done::NotYet,
            ERROR_MORE_DATA => Done::Bytes(bytes as usize, true),
            _ => Done::Failed,
        }
    }

    /// Calls it off; what has become of it.
    pub(super) fn end(&self, pipe: &OwnedHandle) -> Done {
        // SAFETY: as above. It fails if the operation is over.
        unsafe { CancelIoEx(pipe.as_raw_handle().cast(), self.overlapped()) };
        self.done(pipe, true)
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and over: whoever began it has waited for that.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// A pipe of which a read is always under way.
#[derive(Debug)]
struct Line {
    read: Operation,
    written: Operation,
    /// Whether the read was begun. If not, nothing comes any more.
    reads: bool,
    /// Objects that were told to the other side, which has not answered yet.
    kept: Vec<Arc<Object>>,
    /// Handles in the other process, which has not answered yet.
    lent: Vec<Lent>,
    pipe: OwnedHandle,
    came: Arc<OwnedHandle>,
    _wrote: OwnedHandle,
}

impl Line {
    fn new(pipe: OwnedHandle, came: &Arc<OwnedHandle>) -> Result<Line> {
        let (came, wrote) = (Arc::clone(came), new_event(true)?);
        let (read, written) = (Operation::new(&came), Operation::new(&wrote));
        let (kept, lent) = (Vec::new(), Vec::new());
        let mut line = Line { read, written, reads: false, kept, lent, pipe, came, _wrote: wrote };
        line.begin();
        Ok(line)
    }

    fn raw(&self) -> HANDLE {
        self.pipe.as_raw_handle().cast()
    }

    fn begin(&mut self) {
        reset(&self.came);
        let (to, with) = (self.read.buffer(), self.read.overlapped());
        // SAFETY: the buffer has so many bytes, and stays with the operation until it is over, see `drop`.
        let begun = unsafe { ReadFile(self.raw(), to, ROOM as u32, null_mut(), with) };
        self.reads = begun != 0 || matches!(last_code(), ERROR_IO_PENDING | ERROR_MORE_DATA);
        if !self.reads {
            // What is over for good is told again and again.
            set(&self.came);
        }
    }

    fn receive(&mut self, buffer: &mut [u8], objects_of: Parse) -> Result<Received> {
        let done = if self.reads { self.read.done(&self.pipe, false) } else { Done::Failed };
        let (len, more) = match done {
            Done::NotYet => return Ok(Received::Nothing),
            Done::Failed => return Ok(Received::End),
            Done::Bytes(len, more) => (len, more),
        };
        // SAFETY: the operation is over, so the bytes are nobody else's.
        let message = unsafe { std::slice::from_raw_parts(self.read.buffer(), len.min(ROOM)) };
        let received = parse(message, more, buffer, objects_of);
        self.kept.clear();
        self.lent.clear();
        self.begin();
        Ok(received)
    }

    /// Sends the objects of these handles by name.
    fn send(&mut self, bytes: &[u8], handles: &[&Handle]) -> Result<bool> {
        let sent = self.write(&frame(bytes, handles))?;
        if sent {
            self.kept.extend(handles.iter().map(|handle| Arc::clone(handle.object())));
        }
        Ok(sent)
    }

    /// Sends a message about handles that were put into the other process: they stay until it answers, or is gone.
    fn lend(&mut self, message: &[u8], lent: Vec<Lent>) -> Result<bool> {
        let sent = self.write(message)?;
        if sent {
            self.lent = lent;
        }
        Ok(sent)
    }

    fn write(&mut self, message: &[u8]) -> Result<bool> {
        let (len, with) = (message.len() as u32, self.written.overlapped());
        // SAFETY: the bytes outlive the call, and what is left of the operation when it returns is called off below.
        let sent = unsafe { WriteFile(self.raw(), message.as_ptr(), len, null_mut(), with) };
        match last_code() {
            _ if sent != 0 => Ok(true),
            // There is no room.
            ERROR_IO_PENDING => Ok(matches!(self.written.end(&self.pipe), Done::Bytes(..))),
            ERROR_BROKEN_PIPE | ERROR_NO_DATA | ERROR_PIPE_NOT_CONNECTED => Ok(false),
            _ => Err(last("write to the pipe")),
        }
    }

    fn hung_up(&self) -> Result<bool> {
        let (mut status, mut found) =
            (IO_STATUS_BLOCK::default(), FILE_PIPE_LOCAL_INFORMATION::default());
        let len = size_of::<FILE_PIPE_LOCAL_INFORMATION>() as u32;
        let to = (&raw mut found).cast();
        // SAFETY: writes to what it is given, which is so long.
        let failed = unsafe {
            NtQueryInformationFile(self.raw(), &mut status, to, len, FilePipeLocalInformation)
        };
        if failed < 0 {
            return Err(Error::new(ErrorKind::Os, format!("ask for the pipe: {failed:#x}")));
        }
        Ok(found.NamedPipeState != FILE_PIPE_CONNECTED_STATE)
    }

    /// Stays until the other side has what was told to it, or is gone.
    fn linger(mut self) {
        // From here on with an event of its own, which nothing else sets.
        let Ok(came) = new_event(true) else { return };
        if !std::mem::take(&mut self.reads) || self.read.end(&self.pipe) != Done::Failed {
            return;
        }
        (self.read, self.came) = (Operation::new(&came), Arc::new(came));
        self.begin();
        let wait = move || {
            // SAFETY: the event is open.
            unsafe { WaitForSingleObject(self.came.as_raw_handle().cast(), INFINITE) };
            drop(self);
        };
        // Without a thread it goes at once.
        let _ = std::thread::Builder::new().name("ringlane-last-words".into()).spawn(wait);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.reads {
            self.read.end(&self.pipe);
        }
    }
}

fn frame(bytes: &[u8], handles: &[&Handle]) -> Vec<u8> {
    assert!(handles.len() <= MOST_OBJECTS, "{} objects with one message", handles.len());
    let mut message = vec![handles.len() as u8];
    for handle in handles {
        message.extend(handle.object().id().to_bytes());
        message.push(u8::from(handle.access() == Access::ReadWrite));
    }
    message.extend(bytes);
    message
}

/// The objects that a message passes, and what lies behind; nothing if it is no such message.
pub(super) type Parse = fn(&[u8]) -> Option<(Vec<Handle>, &[u8])>;

/// What a message says; whoever sent it can have written anything.
fn parse(message: &[u8], more: bool, buffer: &mut [u8], objects_of: Parse) -> Received {
    let Some((handles, bytes)) = objects_of(message) else {
        // As little as of one that was cut.
        return Received::Message { bytes: 0, handles: Vec::new(), cut: true, sender: None };
    };
    let len = bytes.len().min(buffer.len());
    buffer[..len].copy_from_slice(&bytes[..len]);
    let cut = more || len < bytes.len();
    Received::Message { bytes: len, handles, cut, sender: None }
}

/// Objects that are passed by name.
fn objects_of(message: &[u8]) -> Option<(Vec<Handle>, &[u8])> {
    let (count, rest) = message.split_first()?;
    each_of(usize::from(*count), OBJECT, rest, |object| {
        let (number, access) = object.split_at_checked(16)?;
        let id = Id::of(number.try_into().ok()?);
        let access = if access == [1] { Access::ReadWrite } else { Access::Read };
        open_of_peer(id, access).ok()
    })
}

/// So many objects, each of `len` bytes, and what lies behind; nothing if one is none.
pub(super) fn each_of(
    count: usize,
    len: usize,
    rest: &[u8],
    object: impl Fn(&[u8]) -> Option<Handle>,
) -> Option<(Vec<Handle>, &[u8])> {
    if count > MOST_OBJECTS {
        return None;
    }
    let (objects, bytes) = rest.split_at_checked(count * len)?;
    let handles = objects.chunks_exact(len).map(object).collect::<Option<_>>()?;
    Some((handles, bytes))
}

/// One side of a connection.
#[derive(Debug)]
pub(crate) struct Socket {
    /// Goes before the handles that are waited for.
    waited: Mutex<Option<Waited>>,
    /// Nothing after this side hung up.
    line: Mutex<Option<Line>>,
    /// Set while there is something to be received, or nothing comes any more.
    came: Arc<OwnedHandle>,
    pid: u32,
    process: OnceLock<Process>,
}

impl Socket {
    pub(super) fn over(pipe: OwnedHandle, role: Role) -> Result<Socket> {
        let came = Arc::new(new_event(true)?);
        let (raw, mut pid) = (pipe.as_raw_handle().cast(), 0);
        let told = match role {
            // SAFETY: writes to what it is given.
            Role::Server => unsafe { GetNamedPipeClientProcessId(raw, &mut pid) },
            // SAFETY: as above.
            Role::Client => unsafe { GetNamedPipeServerProcessId(raw, &mut pid) },
        };
        // Who has left again by now has no number any more.
        let pid = if told == 0 { 0 } else { pid };
        let line = Mutex::new(Some(Line::new(pipe, &came)?));
        let (waited, process) = (Mutex::default(), OnceLock::new());
        Ok(Socket { waited, line, came, pid, process })
    }

    fn line(&self) -> MutexGuard<'_, Option<Line>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process at the other end. One that had its number before would have taken the pipe with it.
    fn process(&self) -> Result<&Process> {
        if let Some(process) = self.process.get() {
            return Ok(process);
        }
        let process = if self.pid == 0 { None } else { Some(open_process(self.pid)?) };
        let Some(process) = process.filter(|_| !hung_up(self).unwrap_or(true)) else {
            return Err(Error::new(ErrorKind::Unsupported, "it has gone before it was asked for"));
        };
        Ok(self.process.get_or_init(|| process))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        shut_down(self);
    }
}

impl AsHandle for Socket {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.came.as_handle()
    }
}

impl Pollable for Socket {
    fn tell(&self, told: &Arc<Told>, interest: Interest, token: u64) -> Result<()> {
        let told = Arc::clone(told);
        let handle = match interest {
            Interest::Readable => self.came.as_raw_handle().cast(),
            Interest::End => self.process()?.raw(),
        };
        let mut waited = self.waited.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the next one begins.
        *waited = None;
        // SAFETY: `self` has the handle, and drops the wait before it.
        *waited = Some(unsafe { Waited::on(handle, true, move || told.tell(token)) }?);
        Ok(())
    }

    fn tell_nobody(&self) {
        *self.waited.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

pub(crate) fn send(socket: &Socket, bytes: &[u8], handles: &[&Handle]) -> Result<bool> {
    socket.line().as_mut().map_or(Ok(false), |line| line.send(bytes, handles))
}

pub(crate) fn receive(socket: &Socket, buffer: &mut [u8]) -> Result<Received> {
    receive_by(socket, buffer, objects_of)
}

pub(super) fn receive_by(
    socket: &Socket,
    buffer: &mut [u8],
    objects_of: Parse,
) -> Result<Received> {
    socket.line().as_mut().map_or(Ok(Received::End), |line| line.receive(buffer, objects_of))
}

pub(super) fn lend(socket: &Socket, message: &[u8], lent: Vec<Lent>) -> Result<bool> {
    socket.line().as_mut().map_or(Ok(false), |line| line.lend(message, lent))
}

pub(crate) fn hung_up(socket: &Socket) -> Result<bool> {
    socket.line().as_ref().map_or(Ok(true), Line::hung_up)
}

pub(crate) fn shut_down(socket: &Socket) {
    let Some(line) = socket.line().take() else { return };
    if line.kept.is_empty() || line.hung_up().unwrap_or(true) {
        drop(line);
    } else {
        line.linger();
    }
    set(&socket.came);
}

/// Users have no numbers here, see `Abilities`.
pub(crate) fn credentials(socket: &Socket) -> Result<Credentials> {
    Ok(Credentials { pid: socket.pid, user: u32::MAX, group: u32::MAX })
}

/// Whether this process connected, which has this number. Nobody else has its number while both handles are open.
pub(crate) fn connected_by(socket: &Socket, _process: &Process, number: u32) -> Result<bool> {
    Ok(number_of(socket.process()?)? == Some(number))
}

/// Whether the other side's user is this process's.
pub(crate) fn check_user(socket: &Socket) -> Result<()> {
    if socket.process()?.is_own_user()? {
        return Ok(());
    }
    let text = "the other side is another user than this process";
    Err(Error::new(ErrorKind::PermissionDenied, text))
}

pub(crate) fn peer_process(socket: &Socket) -> Result<OwnedHandle> {
    copy_of(socket.process()?.handle())
}

/// Waits until there is something to receive, or the time is up, or for less.
pub(crate) fn wait_readable(socket: &Socket, most: Option<Duration>) -> Result<()> {
    let most = most.map_or(INFINITE, super::milliseconds);
    // SAFETY: the event is open.
    unsafe { WaitForSingleObject(socket.came.as_raw_handle().cast(), most) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pipe_takes_no_more_and_loses_nothing() {
        let (one, other) = super::super::socket_pair().unwrap();
        let mut sent = 0;
        while send(&one, &[1; 100], &[]).unwrap() {
            sent += 1;
            assert!(sent < 1000, "it is never full");
        }
        assert!(!send(&one, &[1; 100], &[]).unwrap());
        let mut buffer = [0; 100];
        for _ in 0..sent {
            wait_readable(&other, None).unwrap();
            let got = receive(&other, &mut buffer).unwrap();
            assert!(matches!(got, Received::Message { bytes: 100, cut: false, .. }), "{got:?}");
        }
        assert!(matches!(receive(&other, &mut buffer), Ok(Received::Nothing)));
        assert!(send(&one, &[1], &[]).unwrap());
        assert!(!hung_up(&other).unwrap());
        drop(one);
        assert!(hung_up(&other).unwrap());
        assert!(matches!(receive(&other, &mut buffer), Ok(Received::Message { bytes: 1, .. })));
        assert!(matches!(receive(&other, &mut buffer), Ok(Received::End)));
        assert!(!send(&other, &[1], &[]).unwrap());
    }
}
