//! One producer, one consumer, records of any length; the header is in the data.
//!
//! A record is a header word and its bytes, both at multiples of the ring's alignment. The header is 0
//! until the record is committed, and the producer clears the *next* header before it writes this one:
//! stale payload can look like anything, so a consumer must never meet a word that nobody cleared.
//!
//! Where the data is mapped twice, records run over the end. Where it is not, the producer fills the
//! end with padding, published together with the record that follows it.

use super::{Claim, Corrupt, MIRROR, further};
use crate::layout::{Bytes, Position};
use crate::shm::Wrap;
use crate::sync::Ordering;

/// Set in every header that has been committed.
const COMMITTED: u64 = 1;
/// The rest of the ring up to its end holds nothing.
const PADDING: u64 = 2;
/// The length stands above the flags.
const LENGTH_SHIFT: u32 = 8;

/// How a ring's bytes are divided: the same numbers on both sides, none of them from the peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) capacity: usize,
    pub(crate) align: usize,
    pub(crate) wrap: Wrap,
}

/// What a header says.
enum Header {
    Record { len: usize },
    Padding { len: usize },
}

impl Shape {
    pub(crate) fn new(bytes: &Bytes, align: usize) -> Shape {
        Shape { capacity: bytes.capacity(), align, wrap: bytes.wrap() }
    }

    /// The longest record. Half the ring, so that it fits wherever the padding falls.
    pub(crate) fn max_len(&self) -> usize {
        (self.capacity / 2).saturating_sub(2 * self.align) / self.align * self.align
    }

    /// A capacity that holds `count` records of `len` bytes at a time, if there is such a number.
    pub(crate) fn capacity_for(count: usize, len: usize, align: usize) -> Option<usize> {
        let len = len.checked_next_multiple_of(align)?;
        let all = len.checked_add(align)?.checked_mul(count)?.checked_add(align)?;
        let longest = len.checked_add(2 * align)?.checked_mul(2)?;
        Some(all.max(longest))
    }

    /// Follows committed records from a position to the first header that is 0, or for a little more than
    /// [`MIRROR`] records: where that is, and how many records there were. `word` reads a header word at an offset.
    pub(crate) fn follow(
        &self,
        from: u64,
        word: impl Fn(usize) -> Result<u64, Corrupt>,
    ) -> Result<(u64, u64), Corrupt> {
        let mut at = Cursor::new(from, self)?;
        let mut count = 0;
        loop {
            let header = word(at.offset)?;
            // A producer leaves no more than this behind its tail's copy.
            if header == 0 || count > MIRROR {
                return Ok((at.at, count));
            }
            at = match self.parse(header, at.offset)? {
                Header::Padding { len } => at.after(len, self),
                Header::Record { len } => {
                    count += 1;
                    at.after(self.footprint(len), self)
                }
            };
            if at.at.wrapping_sub(from) > self.capacity as u64 {
                return Err(Corrupt);
            }
        }
    }

    /// Bytes that a record of `len` takes up, header and all.
    fn footprint(&self, len: usize) -> usize {
        self.align + len.next_multiple_of(self.align)
    }

    /// Reads a nonzero header word found at `offset`. Every number in it is checked here.
    fn parse(&self, word: u64, offset: usize) -> Result<Header, Corrupt> {
        let len = usize::try_from(word >> LENGTH_SHIFT).map_err(|_| Corrupt)?;
        match word & ((1 << LENGTH_SHIFT) - 1) {
            COMMITTED if len <= self.max_len() => {
                let end = offset + self.footprint(len);
                let fits = self.wrap == Wrap::Mirror || end <= self.capacity;
                if fits { Ok(Header::Record { len }) } else { Err(Corrupt) }
            }
            flags if flags == COMMITTED | PADDING => {
                let rest = self.capacity - offset;
                let allowed = self.wrap == Wrap::Never && offset > 0 && len == rest;
                if allowed { Ok(Header::Padding { len }) } else { Err(Corrupt) }
            }
            _ => Err(Corrupt),
        }
    }
}

/// A position in the ring's bytes, and where that is, without a division at each step.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    at: u64,
    offset: usize,
}

impl Cursor {
    fn new(at: u64, shape: &Shape) -> Result<Cursor, Corrupt> {
        let offset = (at % shape.capacity as u64) as usize;
        if offset.is_multiple_of(shape.align) { Ok(Cursor { at, offset }) } else { Err(Corrupt) }
    }

    /// The cursor `len` bytes on; `len` is at most the capacity.
    #[inline(always)]
    fn after(self, len: usize, shape: &Shape) -> Cursor {
        let offset = self.offset + len;
        let offset = if offset >= shape.capacity { offset - shape.capacity } else { offset };
        Cursor { at: self.at.wrapping_add(len as u64), offset }
    }
}

/// Room for a record: where its bytes go, and how many at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Where the record's bytes begin.
    pub(crate) offset: usize,
    /// How many there may be.
    pub(crate) len: usize,
    padding: usize,
}

/// The producer's side.
#[derive(Debug)]
pub(crate) struct Writer {
    shape: Shape,
    tail: Cursor,
    /// The consumer's position, as far as known.
    head: u64,
    count: u64,
}

impl Writer {
    /// Goes on where the segment says the last producer stopped.
    pub(crate) fn resume(
        shape: Shape,
        own: &Position,
        peer: &Position,
        bytes: &Bytes,
    ) -> Result<Self, Corrupt> {
        // A living consumer may release between our looks at its two words.
        let (head, taken) = loop {
            // ORDERING(record-head): Acquire. Pairs with ORDERING(record-head) in Reader::release.
            let head = peer.at.load(Ordering::Acquire);
            let taken = peer.count.load(Ordering::Relaxed);
            if peer.at.load(Ordering::Relaxed) == head {
                break (head, taken);
            }
        };
        let from = further(own.at.load(Ordering::Relaxed), head);
        let (tail, uncounted) =
            shape.follow(from, |offset| Ok(bytes.word(offset).load(Ordering::Relaxed)))?;
        if uncounted > MIRROR || tail.wrapping_sub(head) > shape.capacity as u64 {
            return Err(Corrupt);
        }
        let counted = if from == head { taken } else { own.count.load(Ordering::Relaxed) };
        let count = counted.wrapping_add(uncounted);
        own.at.store(tail, Ordering::Relaxed);
        own.count.store(count, Ordering::Relaxed);
        Ok(Writer { shape, tail: Cursor::new(tail, &shape)?, head, count })
    }

    pub(crate) fn tail(&self) -> u64 {
        self.tail.at
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Whether the consumer has released anything since the last look.
    #[inline(always)]
    pub(crate) fn has_moved(&self, peer: &Position) -> bool {
        peer.at.load(Ordering::Relaxed) != self.head
    }

    /// Room for a record of up to `len` bytes, which is at most [`Shape::max_len`].
    #[inline(always)]
    pub(crate) fn claim(&mut self, len: usize, peer: &Position) -> Result<Room, Claim> {
        let footprint = self.shape.footprint(len);
        let over = self.tail.offset + footprint > self.shape.capacity;
        let padding = match self.shape.wrap {
            Wrap::Never if over => self.shape.capacity - self.tail.offset,
            _ => 0,
        };
        // The next header needs its place, too, to be cleared.
        let need = (padding + footprint + self.shape.align) as u64;
        let capacity = self.shape.capacity as u64;
        if self.tail.at.wrapping_sub(self.head) + need > capacity {
            // ORDERING(record-head): Acquire. Pairs with ORDERING(record-head) in Reader::release: the
            // consumer has finished reading the bytes that we are about to write.
            let head = peer.at.load(Ordering::Acquire);
            let used = self.tail.at.wrapping_sub(head);
            if used > capacity {
                return Err(Claim::Corrupt);
            }
            self.head = head;
            if used + need > capacity {
                return Err(Claim::Full);
            }
        }
        let start = if padding > 0 { 0 } else { self.tail.offset };
        Ok(Room { offset: start + self.shape.align, len, padding })
    }

    /// Hands `len` bytes of the room to the consumer as one record. This is the commit.
    #[inline(always)]
    pub(crate) fn publish(&mut self, room: Room, len: usize, own: &Position, bytes: &Bytes) {
        debug_assert!(len <= room.len);
        let start = self.tail.after(room.padding, &self.shape);
        let next = start.after(self.shape.footprint(len), &self.shape);
        bytes.clear(next.offset);
        let header = (len as u64) << LENGTH_SHIFT | COMMITTED;
        // ORDERING(record): Release. Pairs with ORDERING(record) in Reader::acquire: makes the bytes and
        // the cleared next header visible.
        bytes.word(start.offset).store(header, Ordering::Release);
        if room.padding > 0 {
            let header = (room.padding as u64) << LENGTH_SHIFT | COMMITTED | PADDING;
            // ORDERING(record): Release. Pairs with ORDERING(record) in Reader::acquire: the record behind
            // the padding is there before the padding is.
            bytes.word(self.tail.offset).store(header, Ordering::Release);
        }
        self.tail = next;
        self.count = self.count.wrapping_add(1);
        if self.count.is_multiple_of(MIRROR) {
            // Relaxed: only a successor and onlookers read it, and they follow the headers from there.
            own.at.store(self.tail.at, Ordering::Relaxed);
            own.count.store(self.count, Ordering::Relaxed);
        }
    }
}

/// A committed record: where its bytes are, and how many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// Where the record's bytes begin.
    pub(crate) offset: usize,
    /// How many there are.
    pub(crate) len: usize,
    next: Cursor,
}

/// The consumer's side.
#[derive(Debug)]
pub(crate) struct Reader {
    shape: Shape,
    head: Cursor,
    count: u64,
}

impl Reader {
    /// Goes on where the segment says the last consumer stopped.
    pub(crate) fn resume(shape: Shape, own: &Position) -> Result<Self, Corrupt> {
        let head = Cursor::new(own.at.load(Ordering::Relaxed), &shape)?;
        Ok(Reader { shape, head, count: own.count.load(Ordering::Relaxed) })
    }

    /// How many bytes hold records that are there to be taken.
    pub(crate) fn available(&self, peer: &Position, bytes: &Bytes) -> Result<u64, Corrupt> {
        let from = further(peer.at.load(Ordering::Relaxed), self.head.at);
        let (end, _) =
            self.shape.follow(from, |offset| Ok(bytes.word(offset).load(Ordering::Relaxed)))?;
        Ok(end.wrapping_sub(self.head.at))
    }

    /// Whether anything has been committed.
    #[inline(always)]
    pub(crate) fn is_published(&self, bytes: &Bytes) -> bool {
        bytes.word(self.head.offset).load(Ordering::Relaxed) != 0
    }

    /// The next record, if it has been committed.
    #[inline(always)]
    pub(crate) fn acquire(&self, bytes: &Bytes) -> Result<Option<Found>, Corrupt> {
        let mut at = self.head;
        // Twice at most: padding leads to offset 0, where no padding may begin.
        loop {
            // ORDERING(record): Acquire. Pairs with ORDERING(record) in Writer::publish.
            let word = bytes.word(at.offset).load(Ordering::Acquire);
            if word == 0 {
                return Ok(None);
            }
            match self.shape.parse(word, at.offset)? {
                Header::Padding { len } => at = at.after(len, &self.shape),
                Header::Record { len } => {
                    let offset = at.offset + self.shape.align;
                    let next = at.after(self.shape.footprint(len), &self.shape);
                    return Ok(Some(Found { offset, len, next }));
                }
            }
        }
    }

    /// Gives the record's bytes back to the producer. This is the acknowledgement.
    #[inline(always)]
    pub(crate) fn release(&mut self, found: Found, own: &Position) {
        self.head = found.next;
        self.count = self.count.wrapping_add(1);
        // ORDERING(record-head): Release. Pairs with ORDERING(record-head) in Writer::claim: our reads are
        // complete before the bytes are written again.
        own.at.store(self.head.at, Ordering::Release);
        own.count.store(self.count, Ordering::Relaxed);
    }
}
