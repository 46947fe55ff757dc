//! Descriptors from the first process to the second, over a socket.

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use ringlane_bench::Side;
use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};

/// A connection of the two sides.
pub(crate) fn socket(side: &Side, label: &str) -> UnixStream {
    let path = std::env::temp_dir().join(side.name(label).as_str());
    if side.is_first() {
        let listener = UnixListener::bind(&path).expect("a listener");
        side.meet();
        let stream = listener.accept().expect("a client").0;
        std::fs::remove_file(path).expect("it is there");
        stream
    } else {
        side.meet();
        UnixStream::connect(path).expect("a connection")
    }
}

pub(crate) fn send(stream: &UnixStream, files: &[&File]) {
    let fds: Vec<RawFd> = files.iter().map(|file| file.as_raw_fd()).collect();
    let bytes = [IoSlice::new(&[1])];
    let message = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(stream.as_raw_fd(), &bytes, &message, MsgFlags::empty(), None).expect("sent");
}

pub(crate) fn receive(stream: &UnixStream) -> Vec<File> {
    let mut byte = [0];
    let mut bytes = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!([RawFd; 8]);
    let message =
        recvmsg::<()>(stream.as_raw_fd(), &mut bytes, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC);
    let message = message.expect("received");
    let mut files = Vec::new();
    for part in message.cmsgs().expect("whole") {
        if let ControlMessageOwned::ScmRights(fds) = part {
            // SAFETY: the kernel has just given us these, and nobody else closes them.
            files.extend(fds.into_iter().map(|fd| unsafe { File::from_raw_fd(fd) }));
        }
    }
    files
}
