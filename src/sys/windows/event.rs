//! Waiting for handles: several at a time, by threads of the system's that tell who waits here.
#![allow(unsafe_code, reason = "system calls")]

use super::{Process, Watch, last, milliseconds, owned};
use crate::error::{Error, ErrorKind, Result};
use std::collections::VecDeque;
use std::ffi::c_void;
use std::fmt;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, OwnedHandle};
use std::ptr::null;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::Threading::{
    CreateEventW, INFINITE, RegisterWaitForSingleObject, ResetEvent, SetEvent, UnregisterWaitEx,
    WT_EXECUTEDEFAULT, WT_EXECUTEONLYONCE, WaitForSingleObject,
};

/// An event without a name: one that stays set until it is reset, or one that a single wait takes.
pub(super) fn new_event(stays: bool) -> Result<OwnedHandle> {
    // SAFETY: no name, and nothing else that is pointed to.
    let event = owned(unsafe { CreateEventW(null(), i32::from(stays), 0, null()) });
    event.ok_or_else(|| last("make an event"))
}

pub(super) fn set(event: &OwnedHandle) {
    // It does not fail for an event.
    // SAFETY: the event is open.
    unsafe { SetEvent(event.as_raw_handle().cast()) };
}

pub(super) fn reset(event: &OwnedHandle) {
    // As above.
    // SAFETY: the event is open.
    unsafe { ResetEvent(event.as_raw_handle().cast()) };
}

/// A wait by a thread of the system's, until dropped.
pub(super) struct Waited {
    /// A handle, as a number: the system does not mind which thread has it.
    wait: usize,
    /// What the callback is given.
    _work: Box<Work>,
}

type Work = Box<dyn Fn() + Send + Sync>;

impl fmt::Debug for Waited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waited").finish_non_exhaustive()
    }
}

impl Waited {
    /// Has something done, each time that the handle is set, or once.
    ///
    /// # Safety
    /// The handle stays open for as long as this is there.
    pub(super) unsafe fn on(
        handle: HANDLE,
        once: bool,
        work: impl Fn() + Send + Sync + 'static,
    ) -> Result<Waited> {
        let work: Box<Work> = Box::new(Box::new(work));
        let (mut wait, context) = (std::ptr::null_mut(), std::ptr::from_ref(&*work).cast());
        let kind = if once { WT_EXECUTEONLYONCE } else { WT_EXECUTEDEFAULT };
        // SAFETY: the handle stays open until the wait is called off, by the contract, and so does what the callback
        // is given: `Waited` has it.
        let done = unsafe {
            RegisterWaitForSingleObject(&mut wait, handle, Some(call), context, INFINITE, kind)
        };
        if done == 0 {
            return Err(last("wait for a handle"));
        }
        Ok(Waited { wait: wait.expose_provenance(), _work: work })
    }
}

unsafe extern "system" fn call(work: *mut c_void, _timed_out: bool) {
    let work = work.cast_const().cast::<Work>();
    // SAFETY: `Waited` keeps it until no callback runs any more.
    let work = unsafe { &*work };
    work();
}

impl Drop for Waited {
    fn drop(&mut self) {
        let wait = std::ptr::with_exposed_provenance_mut(self.wait);
        // SAFETY: the wait is this one's. The call returns when no callback runs and none will.
        unsafe { UnregisterWaitEx(wait, INVALID_HANDLE_VALUE) };
    }
}

/// Handles that are waited for together.
#[derive(Debug)]
pub(crate) struct Poller(Arc<Told>);

/// What was reported and not asked for yet.
#[derive(Debug)]
pub(crate) struct Told {
    tokens: Mutex<VecDeque<u64>>,
    /// Set while there is any.
    any: OwnedHandle,
}

impl Told {
    pub(super) fn tell(&self, token: u64) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever looks for one of them looks for all that it stands for.
        if !tokens.contains(&token) {
            tokens.push_back(token);
        }
        set(&self.any);
    }

    fn take(&self) -> Option<u64> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let token = tokens.pop_front();
        if tokens.is_empty() {
            reset(&self.any);
        }
        token
    }
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Something can be received, or accepted.
    Readable,
    /// The process at the other side of a connection ended.
    End,
}

/// What a [`Poller`] can wait for.
pub(crate) trait Pollable {
    /// Has it told, once or each time.
    fn tell(&self, told: &Arc<Told>, interest: Interest, token: u64) -> Result<()>;

    /// Has nobody told any more.
    fn tell_nobody(&self);
}

impl Poller {
    pub(crate) fn new() -> Result<Poller> {
        let any = new_event(true)?;
        Ok(Poller(Arc::new(Told { tokens: Mutex::default(), any })))
    }

    /// Has something reported as `token` until its handle is dropped. A connection is reported once; whoever was told
    /// takes everything that came.
    pub(crate) fn add(
        &self,
        handle: &impl Pollable,
        interest: Interest,
        _once: bool,
        token: u64,
    ) -> Result<()> {
        handle.tell(&self.0, interest, token)
    }

    /// Has the end of a process reported as `token`, once, unless its handle is dropped before.
    pub(crate) fn add_end(&self, process: &Process, token: u64) -> Result<()> {
        let told = Arc::clone(&self.0);
        // SAFETY: the process has the wait, and drops it before its handle.
        let waited = unsafe { Waited::on(process.raw(), true, move || told.tell(token)) }?;
        let again = |_| Error::new(ErrorKind::InvalidState, "the process is waited for already");
        process.waited.set(waited).map_err(again)
    }

    /// The same for a process that others wait for, too.
    pub(crate) fn watch_end(&self, process: &Process, token: u64) -> Result<Watch> {
        let told = Arc::clone(&self.0);
        Watch::of(process, move || told.tell(token))
    }

    /// Forgets it.
    pub(crate) fn forget_end(&self, _process: &Process, watch: Watch) {
        drop(watch);
    }

    /// The same for a handle that is known already.
    pub(crate) fn again(
        &self,
        handle: &impl Pollable,
        interest: Interest,
        token: u64,
    ) -> Result<()> {
        handle.tell(&self.0, interest, token)
    }

    /// Forgets a handle.
    pub(crate) fn remove(&self, handle: &impl Pollable) {
        handle.tell_nobody();
    }

    /// To be called before everything that is waited for is looked at: what is reported from here on is kept for
    /// the next wait.
    pub(crate) fn begin_look(&self) {
        while self.0.take().is_some() {}
    }

    /// Says that not everything was looked at, so that the next wait is none.
    pub(crate) fn leave_look(&self) {
        self.0.tell(0);
    }

    /// Waits for the next report; nothing if there was none within the time.
    pub(crate) fn next(&self, most: Option<Duration>) -> Result<Option<u64>> {
        self.wait(most)?;
        Ok(self.0.take())
    }

    /// Waits until there is one to be asked for, or the time is up.
    pub(crate) fn wait(&self, most: Option<Duration>) -> Result<()> {
        let most = most.map_or(INFINITE, milliseconds);
        // SAFETY: the event is open.
        unsafe { WaitForSingleObject(self.0.any.as_raw_handle().cast(), most) };
        Ok(())
    }
}

impl AsHandle for Poller {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.0.any.as_handle()
    }
}

/// A flag that can be waited for.
#[derive(Debug, Default)]
pub(crate) struct Flag(OnceLock<(Arc<Told>, u64)>);

pub(crate) fn flag() -> Result<Flag> {
    Ok(Flag::default())
}

/// Sets a [`flag`].
pub(crate) fn raise(flag: &Flag) {
    if let Some((told, token)) = flag.0.get() {
        told.tell(*token);
    }
}

/// It was told, and that was all.
pub(crate) fn lower(_flag: &Flag) {}

impl Pollable for Flag {
    fn tell(&self, told: &Arc<Told>, _: Interest, token: u64) -> Result<()> {
        let known = |_| Error::new(ErrorKind::InvalidState, "the flag is waited for already");
        self.0.set((Arc::clone(told), token)).map_err(known)
    }

    /// It is waited for as long as it is there.
    fn tell_nobody(&self) {}
}
