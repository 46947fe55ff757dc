//! Servers: a name, and the pipe that it leads to.
//!
//! A pipe has its name for as long as any connection of it is there, and all users of a machine share one directory of
//! them. So a server's pipe has a number nobody can guess, whose first instance the server made, and the server's name is a
//! label that says the number: it is in the logon session's own directory, and goes with the server.
#![allow(unsafe_code, reason = "system calls")]

use super::super::Identity;
use super::event::{Interest, Pollable, Told, Waited, new_event};
use super::object::{Id, Label};
use super::pipe::{Done, Operation, Role, Socket};
use super::{last, last_code, milliseconds, owned, security, wide};
use crate::error::{Error, ErrorKind, Result};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use windows_sys::Win32::Foundation::{
    ERROR_FILE_NOT_FOUND, ERROR_IO_PENDING, ERROR_NO_DATA, ERROR_PIPE_BUSY, ERROR_PIPE_CONNECTED,
    ERROR_SEM_TIMEOUT, GENERIC_READ, GENERIC_WRITE,
};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, OPEN_EXISTING,
    PIPE_ACCESS_DUPLEX, SECURITY_IDENTIFICATION, SECURITY_SQOS_PRESENT,
};
use windows_sys::Win32::System::Pipes::{
    ConnectNamedPipe, CreateNamedPipeW, PIPE_READMODE_MESSAGE, PIPE_REJECT_REMOTE_CLIENTS,
    PIPE_TYPE_MESSAGE, PIPE_UNLIMITED_INSTANCES, SetNamedPipeHandleState, WaitNamedPipeW,
};

/// Bytes that a pipe holds each way: a greeting, and rings that nobody takes.
const BUFFER: u32 = 4096;

/// The longest name of a kernel object here.
pub(crate) const LONGEST_PLACE: usize = 200;

/// What the label of a portable name begins with.
const SERVICE: &str = r"Local\ringlane-service.";

/// How often, a millisecond apart, a name is tried for that is held by those who look at what a dead server left.
const NAME_TRIES: u32 = 100;

/// The place that a native name means, or what is wrong with it.
pub(crate) fn check_place(path: &OsStr) -> std::result::Result<PathBuf, String> {
    let Some(text) = path.to_str() else { return Err("is no Unicode".into()) };
    let name = text.strip_prefix(r"Local\");
    let units = text.encode_utf16().count();
    match name {
        None => Err(r"does not begin with Local\, where sessions' memory is".into()),
        Some("") => Err("is empty".into()),
        Some(name) if name.contains(['\\', '\0']) => Err("holds what no name may".into()),
        Some(_) if units > LONGEST_PLACE => {
            Err(format!("has {units} characters, at most {LONGEST_PLACE} are allowed"))
        }
        Some(_) => Ok(PathBuf::from(path)),
    }
}

/// Where a server of this name is bound.
pub(crate) fn place_of(name: &str) -> Result<PathBuf> {
    Ok(PathBuf::from(format!("{SERVICE}{name}")))
}

/// Where it may be found, in this order.
pub(crate) fn places_of(name: &str) -> Result<Vec<PathBuf>> {
    Ok(vec![place_of(name)?])
}

fn pipe_name(id: Id) -> Vec<u16> {
    wide(&format!(r"\\.\pipe\ringlane-{id}"))
}

/// An instance of a pipe that waits for a client.
#[derive(Debug)]
struct Instance {
    connecting: Operation,
    /// Whether it still waits, as far as was looked.
    pending: bool,
    pipe: OwnedHandle,
}

impl Instance {
    fn new(name: &[u16], first: bool, arrived: &OwnedHandle) -> Result<Instance> {
        let own_only = security::own_only()?;
        let first = if first { FILE_FLAG_FIRST_PIPE_INSTANCE } else { 0 };
        let access = PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | first;
        let kind = PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE | PIPE_REJECT_REMOTE_CLIENTS;
        let most = PIPE_UNLIMITED_INSTANCES;
        // SAFETY: the name ends with a zero, and the descriptor stays for good.
        let pipe = owned(unsafe {
            CreateNamedPipeW(name.as_ptr(), access, kind, most, BUFFER, BUFFER, 0, &own_only)
        });
        let pipe = pipe.ok_or_else(|| last("make a pipe"))?;
        let mut instance = Instance { connecting: Operation::new(arrived), pending: false, pipe };
        let with = instance.connecting.overlapped();
        // SAFETY: the operation stays with the instance until it is over, see `drop`.
        let done = unsafe { ConnectNamedPipe(instance.pipe.as_raw_handle().cast(), with) };
        match last_code() {
            _ if done != 0 => {}
            // The last two: a client is there, or was.
            ERROR_IO_PENDING => instance.pending = true,
            ERROR_PIPE_CONNECTED | ERROR_NO_DATA => {}
            _ => return Err(last("wait for a client")),
        }
        Ok(instance)
    }

    fn is_taken(&mut self) -> bool {
        if self.pending {
            self.pending = self.connecting.done(&self.pipe, false) == Done::NotYet;
        }
        !self.pending
    }

    fn into_pipe(self) -> Option<OwnedHandle> {
        // A copy, as `drop` has the other one.
        if self.pending { None } else { self.pipe.try_clone().ok() }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.pending {
            self.connecting.end(&self.pipe);
        }
    }
}

/// What clients connect to.
#[derive(Debug)]
pub(crate) struct Listener {
    /// The name goes first, then who answers to it, then the instances.
    _label: Label,
    _waited: Waited,
    desk: Arc<Desk>,
}

/// Clients, in the order in which they came, and the instance that the next one takes.
#[derive(Debug)]
struct Desk {
    name: Vec<u16>,
    here: Mutex<Here>,
    told: OnceLock<(Arc<Told>, u64)>,
    backlog: usize,
    arrived: Arc<OwnedHandle>,
}

#[derive(Debug, Default)]
struct Here {
    next: Option<Instance>,
    clients: VecDeque<OwnedHandle>,
}

impl Desk {
    fn here(&self) -> MutexGuard<'_, Here> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes who has come, and lets the next one come, unless so many wait.
    fn look(&self) -> MutexGuard<'_, Here> {
        let mut here = self.here();
        loop {
            if here.next.as_mut().is_some_and(|next| !next.is_taken()) {
                break;
            }
            let pipe = here.next.take().and_then(Instance::into_pipe);
            here.clients.extend(pipe);
            if here.clients.len() >= self.backlog {
                break;
            }
            // Whoever looks next tries again.
            let Ok(next) = Instance::new(&self.name, false, &self.arrived) else { break };
            here.next = Some(next);
        }
        here
    }

    fn tell(&self) {
        if !self.look().clients.is_empty()
            && let Some((told, token)) = self.told.get()
        {
            told.tell(*token);
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // Before the event that it sets.
        self.here().next = None;
    }
}

impl Pollable for Listener {
    fn tell(&self, told: &Arc<Told>, _: Interest, token: u64) -> Result<()> {
        let known = |_| Error::new(ErrorKind::InvalidState, "the server is waited for already");
        self.desk.told.set((Arc::clone(told), token)).map_err(known)?;
        self.desk.tell();
        Ok(())
    }

    /// It is waited for as long as it is there.
    fn tell_nobody(&self) {}
}

fn own_alone(mode: u32) -> Result<()> {
    if mode & 0o777 == 0o600 {
        return Ok(());
    }
    let text = format!("mode {mode:o}: servers here are for their maker's user only, mode 600");
    Err(Error::new(ErrorKind::Unsupported, text))
}

/// `prepare` sees the server before anybody can connect to it.
pub(crate) fn listen(
    path: &Path,
    mode: u32,
    backlog: u32,
    prepare: impl FnOnce(&OwnedHandle) -> Result<()>,
) -> Result<(Listener, Identity)> {
    own_alone(mode)?;
    let (id, arrived) = (Id::new()?, Arc::new(new_event(false)?));
    let name = pipe_name(id);
    let next = Instance::new(&name, true, &arrived)?;
    prepare(&next.pipe)?;
    let here = Mutex::new(Here { next: Some(next), clients: VecDeque::new() });
    let backlog = backlog.clamp(1, 4096) as usize;
    let raw = arrived.as_raw_handle().cast();
    let desk = Arc::new(Desk { name, here, told: OnceLock::new(), backlog, arrived });
    let known = Arc::downgrade(&desk);
    let look = move || known.upgrade().iter().for_each(|desk| desk.tell());
    // SAFETY: the desk has the event, and goes after the wait.
    let waited = unsafe { Waited::on(raw, false, look) }?;
    let label = name_server(path, id)?;
    let identity = Identity { device: id.0[0], object: id.0[1] };
    Ok((Listener { _label: label, _waited: waited, desk }, identity))
}

fn name_server(path: &Path, id: Id) -> Result<Label> {
    let name = wide(&path.to_string_lossy());
    for attempt in 1.. {
        let taken = match Label::new(&name, id, 0) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => error,
            done => return done,
        };
        // Those who look at it have it for a moment, also when its server is dead.
        let living = match Label::open(&name).and_then(|label| label.read()) {
            Ok((id, _)) => is_there(&pipe_name(id)),
            Err(error) => error.kind() != ErrorKind::NotFound,
        };
        if living || attempt == NAME_TRIES {
            return Err(taken);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    unreachable!("the last attempt returns")
}

fn is_there(pipe: &[u16]) -> bool {
    // SAFETY: the name ends with a zero.
    unsafe { WaitNamedPipeW(pipe.as_ptr(), 1) != 0 || last_code() != ERROR_FILE_NOT_FOUND }
}

pub(crate) fn accept(listener: &Listener) -> Result<Option<Socket>> {
    let desk = &listener.desk;
    let mut here = desk.look();
    let Some(pipe) = here.clients.pop_front() else {
        // Nobody can come, and nobody would be told.
        if here.next.is_none() {
            here.next = Some(Instance::new(&desk.name, false, &desk.arrived)?);
        }
        return Ok(None);
    };
    drop(here);
    // Now there is room for one more.
    drop(desk.look());
    Socket::over(pipe, Role::Server).map(Some)
}

/// The name is gone with the server itself.
pub(crate) fn unlink_socket(_path: &Path, _identity: Identity) -> Result<()> {
    Ok(())
}

/// Nobody has a copy of it: it ends when it is dropped.
pub(crate) fn stop_listening(_listener: &Listener) {}

/// The place that these bytes mean.
pub(crate) fn whole_place(bytes: &[u8]) -> Option<PathBuf> {
    check_place(OsStr::new(str::from_utf8(bytes).ok()?)).ok()
}

/// Places are the same for everybody.
pub(crate) fn absolute(place: &Path) -> Result<PathBuf> {
    Ok(place.to_owned())
}

pub(crate) fn set_socket_mode(_path: &Path, mode: u32) -> Result<()> {
    own_alone(mode)
}

pub(crate) fn set_socket_group(_path: &Path, _group: u32) -> Result<()> {
    let text = "servers here are for their maker's user only, and no group";
    Err(Error::new(ErrorKind::Unsupported, text))
}

pub(crate) fn connect(path: &Path, timeout: Option<Duration>) -> Result<Socket> {
    let text = path.to_string_lossy();
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let label = Label::open(&wide(&text))?;
    if text.starts_with(SERVICE) && label.owner()? != security::own_number() {
        let text = "the name is another user's";
        return Err(Error::new(ErrorKind::PermissionDenied, text));
    }
    let (id, _) = label.read()?;
    drop(label);
    let name = pipe_name(id);
    let gone = || Error::new(ErrorKind::ConnectionRefused, "its server has just gone");
    loop {
        if let Some(pipe) = open_pipe(&name) {
            return Socket::over(pipe?, Role::Client);
        }
        match last_code() {
            ERROR_FILE_NOT_FOUND => return Err(gone()),
            ERROR_PIPE_BUSY => {}
            _ => return Err(last("open the pipe")),
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // 0 would be for as long as the server says.
        let left = left.map_or(u32::MAX, |left| milliseconds(left).max(1));
        // SAFETY: the name ends with a zero.
        if unsafe { WaitNamedPipeW(name.as_ptr(), left) } == 0 {
            match last_code() {
                ERROR_SEM_TIMEOUT => {
                    let text = "too many wait to be accepted, and the time is up";
                    return Err(Error::new(ErrorKind::TimedOut, text));
                }
                ERROR_FILE_NOT_FOUND => return Err(gone()),
                _ => return Err(last("wait for the pipe")),
            }
        }
    }
}

/// The client's end of a pipe; nothing, and the last error says why, if there is none free.
fn open_pipe(name: &[u16]) -> Option<Result<OwnedHandle>> {
    let access = GENERIC_READ | GENERIC_WRITE;
    // The server may know who we are, and not act in our name.
    let how = FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION;
    // SAFETY: the name ends with a zero.
    let pipe = owned(unsafe {
        CreateFileW(name.as_ptr(), access, 0, null(), OPEN_EXISTING, how, null_mut())
    })?;
    let (raw, mode) = (pipe.as_raw_handle().cast(), PIPE_READMODE_MESSAGE);
    // SAFETY: reads the mode, and nothing else is given.
    let done = unsafe { SetNamedPipeHandleState(raw, &mode, null(), null()) };
    Some(if done == 0 { Err(last("set the pipe's mode")) } else { Ok(pipe) })
}

/// Both sides of a connection.
pub(crate) fn socket_pair() -> Result<(Socket, Socket)> {
    let (name, arrived) = (pipe_name(Id::new()?), new_event(true)?);
    let mut instance = Instance::new(&name, true, &arrived)?;
    let client = open_pipe(&name).ok_or_else(|| last("open the pipe"))??;
    while !instance.is_taken() {
        std::thread::yield_now();
    }
    let server = instance.into_pipe().ok_or_else(|| last("copy a handle"))?;
    Ok((Socket::over(server, Role::Server)?, Socket::over(client, Role::Client)?))
}
