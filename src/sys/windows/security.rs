//! Who may reach what this process makes: its own user and the system, nobody else.
#![allow(unsafe_code, reason = "system calls")]

use super::{last, owned, this_process, wide};
use crate::error::Result;
use std::ffi::c_void;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr::null_mut;
use std::sync::OnceLock;
use windows_sys::Win32::Foundation::{HANDLE, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidW, ConvertStringSecurityDescriptorToSecurityDescriptorW, GetSecurityInfo,
    SDDL_REVISION_1, SE_KERNEL_OBJECT,
};
use windows_sys::Win32::Security::{
    EqualSid, GetSidSubAuthority, GetSidSubAuthorityCount, GetTokenInformation, IsWellKnownSid,
    OWNER_SECURITY_INFORMATION, PSID, SECURITY_ATTRIBUTES, TOKEN_QUERY, TOKEN_USER, TokenUser,
    WinBuiltinAdministratorsSid, WinLocalSystemSid,
};
use windows_sys::Win32::System::Threading::OpenProcessToken;

/// The token's user. The words hold a `TOKEN_USER` that points into them.
struct User(Vec<u64>);

impl User {
    /// Asked once: a process keeps its user.
    fn own() -> Result<&'static User> {
        static USER: OnceLock<User> = OnceLock::new();
        if let Some(user) = USER.get() {
            return Ok(user);
        }
        let user = User::of(this_process())?;
        Ok(USER.get_or_init(|| user))
    }

    fn of(process: HANDLE) -> Result<User> {
        let mut token = null_mut();
        // SAFETY: the token is written to what is given; for no process's handle it fails.
        let opened = unsafe { OpenProcessToken(process, TOKEN_QUERY, &mut token) };
        let token = owned(token).filter(|_| opened != 0).ok_or_else(|| last("open the token"))?;
        // No SID is longer than 68 bytes.
        let (mut words, mut len) = (vec![0_u64; 32], 0);
        // SAFETY: the buffer has the bytes that it is said to have.
        let told = unsafe {
            let room = (words.len() * 8) as u32;
            let to = words.as_mut_ptr().cast();
            GetTokenInformation(token.as_raw_handle().cast(), TokenUser, to, room, &mut len)
        };
        if told == 0 { Err(last("ask for the user")) } else { Ok(User(words)) }
    }

    fn sid(&self) -> PSID {
        let user = self.0.as_ptr().cast::<TOKEN_USER>();
        // SAFETY: the words begin with a `TOKEN_USER`, and are aligned for one.
        unsafe { (*user).User.Sid }
    }
}

/// The last number of a SID: who it is, for people.
///
/// # Safety
/// It is a valid one.
unsafe fn number_of(sid: PSID) -> u32 {
    // SAFETY: as the contract says.
    let count = unsafe { GetSidSubAuthorityCount(sid) };
    // SAFETY: a valid SID's count can be read.
    let count = u32::from(unsafe { count.read() });
    if count == 0 {
        return 0;
    }
    // SAFETY: as the contract says; the index is below the count.
    let number = unsafe { GetSidSubAuthority(sid, count - 1) };
    // SAFETY: it points to that number.
    unsafe { number.read() }
}

/// Whom the system takes this process for: a number for people.
pub(super) fn own_number() -> u32 {
    // SAFETY: the token's SID is a valid one.
    User::own().map_or(u32::MAX, |user| unsafe { number_of(user.sid()) })
}

/// Whether a process's user is this one's.
pub(super) fn is_own_user(process: HANDLE) -> Result<bool> {
    let (own, user) = (User::own()?, User::of(process)?);
    // SAFETY: both are valid.
    Ok(unsafe { EqualSid(own.sid(), user.sid()) } != 0)
}

/// Whose an object is: this user's number, 0 if it is the system's or an administrator's, or another number.
pub(super) fn owner_of(object: &OwnedHandle) -> Result<u32> {
    let user = User::own()?;
    let (mut owner, mut descriptor) = (null_mut(), null_mut());
    // SAFETY: the results are written to what is given; the owner points into the descriptor.
    let failed = unsafe {
        GetSecurityInfo(
            object.as_raw_handle().cast(),
            SE_KERNEL_OBJECT,
            OWNER_SECURITY_INFORMATION,
            &mut owner,
            null_mut(),
            null_mut(),
            null_mut(),
            &mut descriptor,
        )
    };
    if failed != 0 {
        return Err(crate::error::Error::os("ask for the owner", failed.cast_signed()));
    }
    let _descriptor = Local(descriptor);
    // What was made without an owner is nobody's.
    if owner.is_null() {
        return Ok(u32::MAX);
    }
    // SAFETY: both are valid.
    let own = unsafe { EqualSid(owner, user.sid()) } != 0;
    let trusted = [WinLocalSystemSid, WinBuiltinAdministratorsSid].into_iter().any(|known| {
        // SAFETY: it is a valid one.
        unsafe { IsWellKnownSid(owner, known) != 0 }
    });
    // SAFETY: it is a valid one.
    let number = unsafe { number_of(owner) };
    Ok(match (own, trusted) {
        (true, _) => own_number(),
        (false, true) => 0,
        // Numbers of different domains can be the same.
        _ if number == own_number() || number == 0 => u32::MAX,
        _ => number,
    })
}

/// Memory of `LocalAlloc`.
struct Local(*mut c_void);

impl Drop for Local {
    fn drop(&mut self) {
        // SAFETY: whoever made this owns the memory.
        unsafe { LocalFree(self.0) };
    }
}

/// How this user is spelled.
fn own_text() -> Result<String> {
    let mut text = null_mut();
    // SAFETY: the SID is valid, and the text is written to what is given.
    let told = unsafe { ConvertSidToStringSidW(User::own()?.sid(), &mut text) };
    if told == 0 {
        return Err(last("spell the user"));
    }
    let _text = Local(text.cast());
    let unit = |n: usize| {
        // SAFETY: the text ends with a zero, behind which nobody looks.
        let unit = unsafe { text.add(n) };
        // SAFETY: as above.
        unsafe { unit.read() }
    };
    let len = (0..).take_while(|n| unit(*n) != 0).count();
    // SAFETY: it has so many units.
    Ok(String::from_utf16_lossy(unsafe { std::slice::from_raw_parts(text, len) }))
}

/// For objects that are this user's, and that it and the system may use.
pub(super) fn own_only() -> Result<SECURITY_ATTRIBUTES> {
    static DESCRIPTOR: OnceLock<usize> = OnceLock::new();
    attributes(&DESCRIPTOR, || {
        let sid = own_text()?;
        Ok(format!("O:{sid}D:P(A;;GA;;;{sid})(A;;GA;;;SY)"))
    })
}

/// For sections that are this user's, and that whoever opens them can only read: not even their owner may change
/// that, unless by the handle that it was made with.
pub(super) fn read_only() -> Result<SECURITY_ATTRIBUTES> {
    static DESCRIPTOR: OnceLock<usize> = OnceLock::new();
    attributes(&DESCRIPTOR, || {
        let sid = own_text()?;
        Ok(format!("O:{sid}D:P(A;;0x20005;;;{sid})(A;;RC;;;S-1-3-4)"))
    })
}

/// For sections of which whoever opens them can only ask what they are: they are had by handles.
pub(super) fn query_only() -> Result<SECURITY_ATTRIBUTES> {
    static DESCRIPTOR: OnceLock<usize> = OnceLock::new();
    attributes(&DESCRIPTOR, || {
        let sid = own_text()?;
        Ok(format!("O:{sid}D:P(A;;0x20001;;;{sid})(A;;RC;;;S-1-3-4)"))
    })
}

/// For what nobody is to open.
pub(super) fn nobody() -> Result<SECURITY_ATTRIBUTES> {
    static DESCRIPTOR: OnceLock<usize> = OnceLock::new();
    attributes(&DESCRIPTOR, || Ok("D:P".into()))
}

fn attributes(
    made: &OnceLock<usize>,
    text: impl FnOnce() -> Result<String>,
) -> Result<SECURITY_ATTRIBUTES> {
    let descriptor = match made.get() {
        Some(descriptor) => *descriptor,
        None => {
            let text = wide(&text()?);
            let mut descriptor = null_mut();
            // SAFETY: the text ends with a zero, and the result is written to what is given.
            let done = unsafe {
                ConvertStringSecurityDescriptorToSecurityDescriptorW(
                    text.as_ptr(),
                    SDDL_REVISION_1,
                    &mut descriptor,
                    null_mut(),
                )
            };
            if done == 0 {
                return Err(last("make a security descriptor"));
            }
            // It is kept for as long as the process runs; a second one of the same is left to itself.
            *made.get_or_init(|| descriptor.expose_provenance())
        }
    };
    Ok(SECURITY_ATTRIBUTES {
        nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
        lpSecurityDescriptor: std::ptr::with_exposed_provenance_mut(descriptor),
        bInheritHandle: 0,
    })
}
