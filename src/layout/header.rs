//! The header: what the segment is, so that whoever opens it can refuse what it cannot use.
#![allow(unsafe_code, reason = "declares the header a plain value")]

use super::part::{Part, Side};
use super::participants::{Common, PLACES, Participant};
use crate::error::{Error, ErrorKind, Result};
use crate::shm::Wrap;
use std::mem::offset_of;

pub(crate) const MAGIC: [u8; 8] = *b"ringlane";
pub(crate) const VERSION: u32 = 1;

/// Where the producer's part begins; the header has all before it.
pub(super) const PRODUCER_AT: usize = 1024;

/// Reads the same only on a machine of the same byte order.
pub(crate) const BYTE_ORDER: u32 = 0x0102_0304;

/// What the data of every ring is aligned to at least, and so the most that values side by side may be.
pub(crate) const DATA_ALIGN: usize = 4096;

/// Bytes from slot to slot where a slot says what is in a block: the length of a record, and the control word.
pub(super) const BLOCK_SLOT: usize = 16;

/// Bytes of a claim that is not in its slot.
const CLAIM: usize = 8;

/// The smallest block: a cache line.
pub(crate) const LEAST_BLOCK: usize = 64;

/// What a ring carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    Spsc = 1,
    Record = 2,
    Call = 3,
    /// Many producers and consumers; what a consumer took is gone.
    Mpmc = 4,
    /// The same, but what a consumer took comes again unless it is acknowledged.
    MpmcAck = 5,
    /// Records of any length, each in a run of blocks, for many.
    MpmcRecord = 6,
    /// The same, acknowledged.
    MpmcRecordAck = 7,
}

impl Kind {
    pub(crate) fn of(number: u32) -> Option<Kind> {
        use Kind::*;
        let known = [Spsc, Record, Call, Mpmc, MpmcAck, MpmcRecord, MpmcRecordAck];
        known.into_iter().find(|kind| *kind as u32 == number)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Kind::Spsc => "spsc",
            Kind::Record => "record",
            Kind::Call => "call",
            Kind::Mpmc | Kind::MpmcAck => "mpmc",
            Kind::MpmcRecord | Kind::MpmcRecordAck => "mpmc-record",
        }
    }

    /// What people call the end of this side.
    pub(crate) fn end_name(self, side: Side) -> &'static str {
        match (self, side) {
            (Kind::Call, Side::Producer) => "caller",
            (Kind::Call, Side::Consumer) => "server",
            (_, Side::Producer) => "producer",
            (_, Side::Consumer) => "consumer",
        }
    }

    /// Whether it has places for many instead of two ends.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Kind::Mpmc | Kind::MpmcAck) || self.has_blocks()
    }

    /// Whether it has blocks of bytes, and slots of their own that say what is in them.
    pub(crate) fn has_blocks(self) -> bool {
        matches!(self, Kind::MpmcRecord | Kind::MpmcRecordAck)
    }

    /// Whether what a consumer took comes again unless it is acknowledged.
    pub(crate) fn is_acked(self) -> bool {
        matches!(self, Kind::MpmcAck | Kind::MpmcRecordAck)
    }

    /// Whether a program that wants the one can use the other: how often a thing is delivered is its creator's
    /// choice.
    fn is_like(self, other: Kind) -> bool {
        let shared = self.is_shared() && other.is_shared();
        self == other || shared && self.has_blocks() == other.has_blocks()
    }

    /// Whether positions are claimed by words of their own, and not by their slots'.
    fn claims_apart(self, stride: usize) -> bool {
        self.is_shared() && !self.has_blocks() && super::slots::claims_apart(stride)
    }

    /// Bytes of the slots before the blocks, or of the claims before the slots, with pages of `page` bytes.
    fn table_len(self, capacity: usize, stride: usize, page: usize) -> Option<usize> {
        let each = match self.has_blocks() {
            true => BLOCK_SLOT,
            false if self.claims_apart(stride) => CLAIM,
            false => 0,
        };
        capacity.checked_mul(each)?.checked_next_multiple_of(page)
    }

    /// Where the data begins, with pages of `page` bytes, but for a table before it.
    fn data_at(self, page: usize) -> usize {
        match self.is_shared() {
            false => 2 * page,
            true => (page + PLACES * size_of::<Participant>()).next_multiple_of(page),
        }
    }
}

/// What somebody wants of a ring: what to create, or what to find.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) kind: Kind,
    /// Slots, or bytes of records, or 1 for a call cell.
    pub(crate) capacity: usize,
    /// Bytes from slot to slot, or the alignment of records, or bytes of a call cell.
    pub(crate) stride: usize,
    pub(crate) value_size: usize,
    pub(crate) value_align: usize,
    /// Size and alignment of the replies of a call cell, whose values are its requests.
    pub(crate) reply: (usize, usize),
    pub(crate) wrap: Wrap,
    pub(crate) tag: u64,
    pub(crate) type_name: &'static str,
}

/// The first bytes of a segment.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) magic: [u8; 8],
    pub(crate) version: u32,
    /// Bits of a position word.
    pub(crate) word_bits: u32,
    /// Fingerprint of every offset that this build uses.
    pub(crate) layout: u64,
    byte_order: u32,
    pub(crate) kind: u32,
    /// Bytes of the object.
    pub(crate) total: u64,
    pub(crate) capacity: u64,
    pub(crate) stride: u64,
    pub(crate) value_size: u64,
    pub(crate) value_align: u64,
    /// 1 if the data is to be mapped twice in a row.
    mirrored: u64,
    pub(crate) tag: u64,
    /// Where the consumer's part begins; also the page size of the creator.
    pub(crate) consumer_at: u64,
    pub(crate) data_at: u64,
    pub(crate) data_len: u64,
    reply_size: u64,
    reply_align: u64,
    /// The value type's name as the creator's compiler wrote it: for people, never compared.
    type_name: [u8; 64],
    /// Hash of all of the above: a scribbled header is told from an odd one.
    check: u64,
}

// SAFETY: all fields are integers or bytes, for which zero is a value.
unsafe impl bytemuck::Zeroable for Header {}
// SAFETY: integers and bytes only, any pattern is a value, and the asserted size leaves no padding.
unsafe impl bytemuck::Pod for Header {}

const _: () = assert!(size_of::<Header>() == 24 + 8 + 12 * 8 + 64 + 8);
const _: () = assert!(size_of::<Header>() <= PRODUCER_AT);
const _: () = assert!(PRODUCER_AT + size_of::<Common>() <= 4096);

/// FNV-1a over 64-bit words. It guards against accidents, not against malice.
const fn mix(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3)
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// Changes whenever a field moves, whether or not somebody thought of the version.
pub(crate) const LAYOUT: u64 = {
    let offsets = [
        offset_of!(Header, kind),
        offset_of!(Header, total),
        offset_of!(Header, reply_size),
        offset_of!(Header, type_name),
        offset_of!(Header, check),
        PRODUCER_AT,
        offset_of!(Part, position),
        offset_of!(Part, gate),
        size_of::<Part>(),
        Part::POSITION_OFFSETS[0],
        Part::POSITION_OFFSETS[1],
        Part::POSITION_OFFSETS[2],
        Part::GATE_OFFSETS[0],
        Part::GATE_OFFSETS[1],
        Part::GATE_OFFSETS[2],
        Part::GATE_OFFSETS[3],
        Part::GATE_OFFSETS[4],
        Part::GATE_OFFSETS[5],
        Part::GATE_OFFSETS[6],
        Common::OFFSETS[0],
        Common::OFFSETS[1],
        Common::OFFSETS[2],
        Common::OFFSETS[3],
        Common::OFFSETS[4],
        Common::OFFSETS[5],
        Common::OFFSETS[6],
        Participant::OFFSETS[0],
        Participant::OFFSETS[1],
        Participant::OFFSETS[2],
        Participant::OFFSETS[3],
        Participant::OFFSETS[4],
        Participant::OFFSETS[5],
        size_of::<Participant>(),
        BLOCK_SLOT,
        CLAIM,
    ];
    let mut hash = SEED;
    let mut index = 0;
    while index < offsets.len() {
        hash = mix(hash, offsets[index] as u64);
        index += 1;
    }
    hash
};

/// The fingerprint of a tag that both sides of a ring agree on.
pub(crate) fn tag_of(text: &str) -> u64 {
    if text.is_empty() {
        return 0;
    }
    text.bytes().fold(SEED, |hash, byte| mix(hash, u64::from(byte)))
}

impl Spec {
    /// The header of a new segment, with pages of `page` bytes.
    pub(crate) fn header(&self, page: usize) -> Result<Header> {
        let too_large = || {
            let text = match self.kind {
                Kind::Spsc | Kind::Call | Kind::Mpmc | Kind::MpmcAck => {
                    format!("capacity {} times {} bytes is too large", self.capacity, self.stride)
                }
                Kind::Record => format!("capacity {} bytes is too large", self.capacity),
                Kind::MpmcRecord | Kind::MpmcRecordAck => {
                    format!("{} blocks of {} bytes are too large", self.capacity, self.stride)
                }
            };
            Error::new(ErrorKind::InvalidSize, text)
        };
        let unit = match self.kind {
            Kind::Record => 1,
            // The line, and the server's copy.
            Kind::Call => self.stride.checked_mul(2).ok_or_else(too_large)?,
            _ => self.stride,
        };
        let data_len = self
            .capacity
            .checked_mul(unit)
            .and_then(|n| n.checked_next_multiple_of(page))
            .filter(|n| *n <= isize::MAX as usize / 4)
            .ok_or_else(too_large)?;
        let table = self.kind.table_len(self.capacity, self.stride, page).ok_or_else(too_large)?;
        let data_at = self.kind.data_at(page).checked_add(table).ok_or_else(too_large)?;
        let capacity = if self.kind == Kind::Record { data_len } else { self.capacity };
        let mut type_name = [0; 64];
        let len = (0..=self.type_name.len().min(64))
            .rev()
            .find(|n| self.type_name.is_char_boundary(*n))
            .unwrap_or(0);
        type_name[..len].copy_from_slice(&self.type_name.as_bytes()[..len]);
        let mut header = Header {
            magic: MAGIC,
            version: VERSION,
            word_bits: 64,
            layout: LAYOUT,
            byte_order: BYTE_ORDER,
            kind: self.kind as u32,
            total: (data_at + data_len) as u64,
            capacity: capacity as u64,
            stride: self.stride as u64,
            value_size: self.value_size as u64,
            value_align: self.value_align as u64,
            mirrored: u64::from(self.wrap == Wrap::Mirror),
            tag: self.tag,
            consumer_at: page as u64,
            data_at: data_at as u64,
            data_len: data_len as u64,
            reply_size: self.reply.0 as u64,
            reply_align: self.reply.1 as u64,
            type_name,
            check: 0,
        };
        header.check = header.hash();
        Ok(header)
    }
}

impl Header {
    fn hash(&self) -> u64 {
        let bytes = bytemuck::bytes_of(self);
        let covered = &bytes[..offset_of!(Header, check)];
        covered
            .chunks_exact(8)
            .fold(SEED, |hash, word| mix(hash, u64::from_ne_bytes(word.try_into().expect("eight"))))
    }

    pub(crate) fn wrap(&self) -> Wrap {
        if self.mirrored == 1 { Wrap::Mirror } else { Wrap::Never }
    }

    /// Where the slots are, and how many bytes are from one to the next.
    pub(crate) fn slots(&self) -> (u64, u64) {
        match Kind::of(self.kind).filter(|kind| kind.has_blocks()) {
            // Rounded up to whole pages: the places come before them, whole pages, too.
            Some(kind) => (kind.data_at(self.consumer_at as usize) as u64, BLOCK_SLOT as u64),
            None => (self.data_at, self.stride),
        }
    }

    /// Where the claims are, if they are not in the slots.
    pub(crate) fn claims_at(&self) -> Option<u64> {
        let kind = Kind::of(self.kind).filter(|kind| kind.claims_apart(self.stride as usize))?;
        Some(kind.data_at(self.consumer_at as usize) as u64)
    }

    /// Whether the values lie side by side, without sequence words.
    pub(crate) fn is_dense(&self) -> bool {
        self.kind == Kind::Spsc as u32 && self.stride == self.value_size
    }

    /// The type name, with nothing in it that could upset a terminal.
    pub(crate) fn type_name(&self) -> String {
        let end = self.type_name.iter().position(|b| *b == 0).unwrap_or(self.type_name.len());
        let text = String::from_utf8_lossy(&self.type_name[..end]);
        text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
    }

    /// Checks that this is the header of a ring of this layout and of an object of `size` bytes, and
    /// that its numbers agree with each other.
    pub(crate) fn check(&self, size: u64) -> Result<Kind> {
        let incompatible = |text: String| Err(Error::new(ErrorKind::Incompatible, text));
        let corrupt = |text: String| Err(Error::new(ErrorKind::Corrupt, text));
        if self.magic != MAGIC {
            return corrupt("is no ring: it does not begin with \"ringlane\"".into());
        }
        if (self.word_bits, self.byte_order) != (64, BYTE_ORDER) {
            return incompatible(format!(
                "made by a machine of another kind: {}-bit words, byte order {:#010x}",
                self.word_bits, self.byte_order
            ));
        }
        if self.version != VERSION {
            return incompatible(format!(
                "layout version {}, this build reads {VERSION}",
                self.version
            ));
        }
        if self.layout != LAYOUT {
            return incompatible(format!(
                "layout {:016x}, this build has {LAYOUT:016x}",
                self.layout
            ));
        }
        if self.check != self.hash() {
            return corrupt("its header was overwritten".into());
        }
        let Some(kind) = Kind::of(self.kind) else {
            return incompatible(format!("a ring of kind {}, unknown to this build", self.kind));
        };
        if size < self.total {
            return corrupt(format!("is truncated: {size} of {} bytes are left", self.total));
        }
        self.check_numbers(kind).map(|()| kind)
    }

    /// Rebuilds the header from its own inputs: whatever does not come out the same was made up.
    fn check_numbers(&self, kind: Kind) -> Result<()> {
        let fault = || Error::new(ErrorKind::Corrupt, "its header contradicts itself");
        let number = |n: u64| usize::try_from(n).map_err(|_| fault());
        let page = number(self.consumer_at)?;
        let spec = Spec {
            kind,
            capacity: number(self.capacity)?,
            stride: number(self.stride)?,
            value_size: number(self.value_size)?,
            value_align: number(self.value_align)?,
            reply: (number(self.reply_size)?, number(self.reply_align)?),
            wrap: self.wrap(),
            tag: self.tag,
            type_name: "",
        };
        let sound = page.is_power_of_two()
            && page <= 1 << 30
            && page.is_multiple_of(crate::sys::page_size())
            && match kind {
                Kind::Spsc | Kind::Mpmc | Kind::MpmcAck => {
                    spec.capacity.is_power_of_two()
                        && spec.stride > 0
                        && (spec.stride == super::slots::stride_of(spec.value_size)
                            || kind == Kind::Spsc
                                && spec.stride == spec.value_size
                                && spec.value_align <= DATA_ALIGN)
                        && spec.wrap == Wrap::Never
                        && spec.reply == (0, 0)
                }
                Kind::Record => {
                    spec.capacity > 0
                        && super::data::is_alignment(spec.stride)
                        && spec.reply == (0, 0)
                }
                Kind::MpmcRecord | Kind::MpmcRecordAck => {
                    spec.capacity.is_power_of_two()
                        && spec.stride.is_power_of_two()
                        && spec.stride >= LEAST_BLOCK
                        // A run of blocks goes on at the beginning.
                        && spec.wrap == Wrap::Mirror
                        && spec.capacity.checked_mul(spec.stride).is_some_and(|n| n.is_multiple_of(page))
                        && spec.reply == (0, 0)
                }
                Kind::Call => {
                    spec.capacity == 1
                        && spec.stride == super::cell::bytes_of(spec.value_size, spec.reply.0)
                        && spec.wrap == Wrap::Never
                }
            };
        if !sound {
            return Err(fault());
        }
        let mut again = spec.header(page).map_err(|_| fault())?;
        again.type_name = self.type_name;
        again.check = self.check;
        if again == *self { Ok(()) } else { Err(fault()) }
    }

    /// Checks that the ring is the one that `spec` expects. Capacity and stride are the creator's.
    pub(crate) fn expect(&self, spec: &Spec) -> Result<()> {
        let Some(kind) = Kind::of(self.kind).filter(|kind| kind.is_like(spec.kind)) else {
            let text = format!(
                "is a ring of kind {}, and {} is wanted",
                Kind::of(self.kind).map_or("?", Kind::as_str),
                spec.kind.as_str()
            );
            return Err(Error::new(ErrorKind::Incompatible, text));
        };
        let (size, align) = (spec.value_size as u64, spec.value_align as u64);
        let reply = (spec.reply.0 as u64, spec.reply.1 as u64);
        if (self.reply_size, self.reply_align) != reply {
            let text = format!(
                "is called as {}, with replies of {} bytes aligned to {}; {} has {} bytes aligned to {}",
                self.type_name(),
                self.reply_size,
                self.reply_align,
                spec.type_name,
                reply.0,
                reply.1
            );
            return Err(Error::new(ErrorKind::Incompatible, text));
        }
        if kind != Kind::Record && (self.value_size, self.value_align) != (size, align) {
            let text = format!(
                "carries values of type {}, {} bytes aligned to {}; {} has {size} bytes aligned to {align}",
                self.type_name(),
                self.value_size,
                self.value_align,
                spec.type_name
            );
            return Err(Error::new(ErrorKind::Incompatible, text));
        }
        if self.tag != spec.tag {
            let text =
                format!("carries the tag {:016x}, this program's is {:016x}", self.tag, spec.tag);
            return Err(Error::new(ErrorKind::Incompatible, text));
        }
        Ok(())
    }
}
