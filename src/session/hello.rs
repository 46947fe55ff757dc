//! The one message that each side sends to begin with: what memory it passes, and what it wants.
#![allow(unsafe_code, reason = "declares the message a plain value")]

use crate::error::{Error, ErrorKind, Result};
use crate::layout::{BYTE_ORDER, LAYOUT, ring_size};

const MAGIC: [u8; 8] = *b"ringsess";
const VERSION: u32 = 1;

/// The client's comes first and asks; the server's answers. The sender's memory goes with it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Hello {
    magic: [u8; 8],
    version: u32,
    byte_order: u32,
    /// Fingerprint of the offsets of a part.
    layout: u64,
    /// Bytes of the ring that the sender writes to.
    pub(super) out: u64,
    /// Bytes of the ring that it reads from.
    pub(super) back: u64,
}

// SAFETY: all fields are integers or bytes, for which zero is a value.
unsafe impl bytemuck::Zeroable for Hello {}
// SAFETY: integers and bytes only, any pattern is a value, and the asserted size leaves no padding.
unsafe impl bytemuck::Pod for Hello {}

const _: () = assert!(size_of::<Hello>() == 8 + 4 + 4 + 3 * 8);

impl Hello {
    pub(super) fn new(out: usize, back: usize) -> Hello {
        let (out, back) = (out as u64, back as u64);
        Hello { magic: MAGIC, version: VERSION, byte_order: BYTE_ORDER, layout: LAYOUT, out, back }
    }

    /// What these bytes say, if a message consists of just them.
    pub(super) fn parse(bytes: &[u8]) -> Result<Hello> {
        let refuse = |kind, text: &str| Err(Error::new(kind, text));
        let Ok(hello) = bytemuck::try_pod_read_unaligned::<Hello>(bytes) else {
            return refuse(ErrorKind::Corrupt, "no greeting of a session");
        };
        if hello.magic != MAGIC {
            return refuse(ErrorKind::Corrupt, "no greeting of a session");
        }
        let own = (VERSION, BYTE_ORDER, LAYOUT);
        if (hello.version, hello.byte_order, hello.layout) != own {
            return refuse(ErrorKind::Incompatible, "a greeting of another version or layout");
        }
        Ok(hello)
    }
}

/// A size that somebody asked for, if it is one that a ring can have, and not more than is allowed.
pub(super) fn checked_size(bytes: u64, most: usize) -> Result<usize> {
    let size = usize::try_from(bytes).ok().filter(|size| ring_size(*size) == Some(*size));
    size.filter(|size| *size <= most).ok_or_else(|| {
        let text = format!("a ring of {bytes} bytes: whole pages, {most} bytes at most");
        Error::new(ErrorKind::InvalidSize, text)
    })
}
