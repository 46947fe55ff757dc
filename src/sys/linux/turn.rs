//! A lock on what a handle means, which those take who take turns. Unlike nix's, its end is no panic where the kernel, or
//! a filter of system calls, does not unlock.

use std::fs::{File, TryLockError};
use std::io;

/// Given up when it is dropped, also where a forked child has a copy of the descriptor; at the latest when the last copy is
/// closed.
#[derive(Debug)]
pub(super) struct Turn(File);

impl Turn {
    /// Or the handle again, if somebody else has it.
    pub(super) fn take(handle: File) -> io::Result<Result<Turn, File>> {
        match handle.try_lock() {
            Ok(()) => Ok(Ok(Turn(handle))),
            Err(TryLockError::WouldBlock) => Ok(Err(handle)),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {
                Ok(Err(handle))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // If it fails, the close does it.
        let _ = self.0.unlock();
    }
}
