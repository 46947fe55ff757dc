//! The streams that this process was started with.

use super::{Failure, Outcome};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{FileStat, fstat};
use std::fs::File;
use std::os::fd::BorrowedFd;

/// This process's own copy of one of its standard streams, unless it was started with that one closed: then
/// Rust's runtime has put `/dev/null` in its place, where what is written is lost and nothing is to be read.
/// It opens that for both, which no shell's `<` or `>` does.
pub(crate) fn standard(stream: BorrowedFd<'_>, what: &str) -> Outcome<File> {
    let own =
        stream.try_clone_to_owned().map_err(|e| Failure::io(format_args!("open {what}"), &e))?;
    let flags = fcntl(&own, FcntlArg::F_GETFL).map(OFlag::from_bits_truncate);
    let both = flags.is_ok_and(|flags| flags & OFlag::O_ACCMODE == OFlag::O_RDWR);
    let device = |stat: FileStat| stat.st_rdev == NULL;
    if both && fstat(&own).is_ok_and(device) {
        return Err(Failure::new(format!("{what} is closed")));
    }
    Ok(File::from(own))
}

/// The device number of `/dev/null`, see `null(4)`.
const NULL: nix::libc::dev_t = nix::libc::makedev(1, 3);
