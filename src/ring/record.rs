//! One producer, one consumer, records of any length; the header is in the data.
//!
//! A record is a header word and its bytes, both at multiples of the ring's alignment. A header carries a tag of
//! its position, so what an earlier lap left is no header of this one. Bytes of a record can look like anything:
//! before the producer writes a header, it looks at where the *next* one will be, and clears what looks like one.
//! That is a word which it has written itself, so to look at it costs no line; to clear it each time would.
//!
//! Where the data is mapped twice, records run over the end. Where it is not, the producer fills the
//! end with padding, published together with the record that follows it.

use super::{Claim, Corrupt, MIRROR, further, looks};
use crate::layout::{Bytes, Position};
use crate::shm::Wrap;
use crate::sync::Ordering;

/// Set in every header that has been committed.
const COMMITTED: u64 = 1;
/// The rest of the ring up to its end holds nothing.
const PADDING: u64 = 2;
/// The length stands above the flags, and above it the tag.
const LENGTH_SHIFT: u32 = 8;
const TAG_SHIFT: u32 = 48;

/// The header of `len` bytes at a position.
#[inline(always)]
fn header(at: u64, len: usize, flags: u64) -> u64 {
    tag(at) | (len as u64) << LENGTH_SHIFT | flags
}

/// The tag of a position: the top bits of its product with 2^64 divided by the golden ratio, so that the laps of
/// a ring of any size have different ones. If two have the same, a header is cleared that need not be.
#[inline(always)]
fn tag(at: u64) -> u64 {
    at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> TAG_SHIFT << TAG_SHIFT
}

/// Whether a word is, or looks like, a header that was written for this position.
#[inline(always)]
fn is_header(word: u64, at: u64) -> bool {
    word & COMMITTED != 0 && (word ^ tag(at)) >> TAG_SHIFT == 0
}

/// How a ring's bytes are divided: the same numbers on both sides, none of them from the peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) capacity: usize,
    /// A power of two.
    align: usize,
    max_len: usize,
    wrap: Wrap,
}

/// What a header says.
enum Header {
    Record { len: usize },
    Padding { len: usize },
}

impl Shape {
    pub(crate) fn new(capacity: usize, align: usize, wrap: Wrap) -> Shape {
        // Half the ring, so that it fits wherever the padding falls; and a header has 40 bits for it.
        let longest = usize::try_from(1_u64 << 39).unwrap_or(usize::MAX);
        let max_len = (capacity / 2).saturating_sub(2 * align).min(longest) / align * align;
        Shape { capacity, align, max_len, wrap }
    }

    pub(crate) fn of(bytes: &Bytes, align: usize) -> Shape {
        Shape::new(bytes.capacity(), align, bytes.wrap())
    }

    /// The longest record.
    #[inline(always)]
    pub(crate) fn max_len(&self) -> usize {
        self.max_len
    }

    /// A capacity that holds `count` records of `len` bytes at a time, wherever the first of them begins, if there
    /// is such a number.
    pub(crate) fn capacity_for(
        count: usize,
        len: usize,
        align: usize,
        wrap: Wrap,
    ) -> Option<usize> {
        let len = len.checked_next_multiple_of(align)?;
        let footprint = len.checked_add(align)?;
        // The next header, and padding, which is shorter than the record that did not fit.
        let beside = if wrap == Wrap::Never { footprint } else { align };
        let all = footprint.checked_mul(count)?.checked_add(beside)?;
        let longest = len.checked_add(2 * align)?.checked_mul(2)?;
        Some(all.max(longest))
    }

    /// Follows committed records from a position to the first word that is no header: where that is, and how many
    /// records there were. `word` reads a header word at an offset.
    ///
    /// There are up to [`MIRROR`] of them and one batch, and never more than the ring holds.
    pub(crate) fn follow(
        &self,
        from: u64,
        word: impl Fn(usize) -> Result<u64, Corrupt>,
    ) -> Result<(u64, u64), Corrupt> {
        let mut at = Cursor::new(from, self)?;
        let mut count = 0;
        loop {
            let Some(header) = self.parse(word(at.offset)?, at)? else {
                return Ok((at.at, count));
            };
            at = match header {
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
    #[inline(always)]
    fn footprint(&self, len: usize) -> usize {
        // No division: each record pays for this twice.
        (len + 2 * self.align - 1) & !(self.align - 1)
    }

    /// Reads the word at a position; nothing if it is no header. Every number in it is checked here.
    #[inline(always)]
    fn parse(&self, word: u64, at: Cursor) -> Result<Option<Header>, Corrupt> {
        if !is_header(word, at.at) {
            return Ok(None);
        }
        let len = (word & !(u64::MAX << TAG_SHIFT)) >> LENGTH_SHIFT;
        let len = usize::try_from(len).map_err(|_| Corrupt)?;
        match word & ((1 << LENGTH_SHIFT) - 1) {
            COMMITTED if len <= self.max_len() => {
                let end = at.offset + self.footprint(len);
                let fits = self.wrap == Wrap::Mirror || end <= self.capacity;
                if fits { Ok(Some(Header::Record { len })) } else { Err(Corrupt) }
            }
            flags if flags == COMMITTED | PADDING => {
                let rest = self.capacity - at.offset;
                let allowed = self.wrap == Wrap::Never && at.offset > 0 && len == rest;
                if allowed { Ok(Some(Header::Padding { len })) } else { Err(Corrupt) }
            }
            _ => Err(Corrupt),
        }
    }
}

/// A position in the ring's bytes, and where that is, without a division at each step.
///
/// An end keeps one in memory, and takes it from there by [`get`](Cursor::get), field by field. To copy it is one
/// wide load of two narrow stores, which the processor cannot forward: it then waits until all stores before
/// them are done, those to the peer's lines among them. That took twice as long as all else.
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

    #[inline(always)]
    fn get(&self) -> Cursor {
        Cursor { at: self.at, offset: self.offset }
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

/// Records that have been written and not handed over yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Staged {
    /// Behind them.
    next: Cursor,
    pub(crate) count: u64,
    /// What will stand at the tail: the first one's header, or that of the padding before it.
    word: u64,
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
        if tail.wrapping_sub(head) > shape.capacity as u64 {
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

    /// Looks so many times, or until the consumer has released something since the last look at it.
    #[inline(always)]
    pub(crate) fn poll(&self, peer: &Position, times: u32) {
        let seen = self.head;
        looks(times, || peer.at.load(Ordering::Relaxed) != seen);
    }

    /// A batch with nothing in it.
    #[inline(always)]
    pub(crate) fn begin(&self) -> Staged {
        Staged { next: self.tail.get(), count: 0, word: 0 }
    }

    /// Room behind what is staged for a record of up to `len` bytes, which is at most [`Shape::max_len`].
    #[inline(always)]
    pub(crate) fn claim(
        &mut self,
        staged: &Staged,
        len: usize,
        peer: &Position,
    ) -> Result<Room, Claim> {
        let from = staged.next.get();
        let (padding, need) = self.need(from, len);
        let capacity = self.shape.capacity as u64;
        if from.at.wrapping_sub(self.head) + need > capacity {
            // ORDERING(record-head): Acquire. Pairs with ORDERING(record-head) in Reader::release: the
            // consumer has finished reading the bytes that we are about to write.
            let head = peer.at.load(Ordering::Acquire);
            if self.tail.at.wrapping_sub(head) > capacity {
                return Err(Claim::Corrupt);
            }
            self.head = head;
            if from.at.wrapping_sub(head) + need > capacity {
                return Err(Claim::Full);
            }
        }
        let start = if padding > 0 { 0 } else { from.offset };
        Ok(Room { offset: start + self.shape.align, len, padding })
    }

    /// The padding before a record of `len` bytes at `from`, and all the bytes that have to be free for it.
    #[inline(always)]
    fn need(&self, from: Cursor, len: usize) -> (usize, u64) {
        let footprint = self.shape.footprint(len);
        let over = from.offset + footprint > self.shape.capacity;
        let padding = match self.shape.wrap {
            Wrap::Never if over => self.shape.capacity - from.offset,
            _ => 0,
        };
        // The next header needs its place, too, to be cleared.
        (padding, (padding + footprint + self.shape.align) as u64)
    }

    /// The longest record that could still be staged if the consumer released everything; nothing if not
    /// even an empty one could.
    #[cold]
    pub(crate) fn most(&self, staged: Staged) -> Option<usize> {
        let used = staged.next.at.wrapping_sub(self.tail.at) as usize;
        let free = self.shape.capacity.checked_sub(used)?;
        let (here, front) = match self.shape.wrap {
            Wrap::Mirror => (free, 0),
            Wrap::Never => {
                let end = self.shape.capacity - staged.next.offset;
                // The header after a record that ends with the ring is at the front.
                (free.min(end + self.shape.align), free.saturating_sub(end))
            }
        };
        let len = here.max(front).checked_sub(2 * self.shape.align)?;
        Some((len / self.shape.align * self.shape.align).min(self.shape.max_len()))
    }

    /// Adds `len` bytes of the room to the batch as one record. Nobody sees it yet: the header that leads
    /// there, at the tail, is not there.
    #[inline(always)]
    pub(crate) fn stage(&self, staged: &mut Staged, room: Room, len: usize, bytes: &Bytes) {
        debug_assert!(len <= room.len);
        let start = staged.next.after(room.padding, &self.shape);
        let mut word = header(start.at, len, COMMITTED);
        if room.padding > 0 {
            bytes.word(start.offset).store(word, Ordering::Relaxed);
            word = header(staged.next.at, room.padding, COMMITTED | PADDING);
        }
        if staged.count == 0 {
            staged.word = word;
        } else {
            bytes.word(staged.next.offset).store(word, Ordering::Relaxed);
        }
        staged.next = start.after(self.shape.footprint(len), &self.shape);
        staged.count += 1;
    }

    /// Hands what is staged to the consumer, all at once. This is the commit.
    #[inline(always)]
    pub(crate) fn publish(&mut self, staged: Staged, own: &Position, bytes: &Bytes) {
        if staged.count == 0 {
            return;
        }
        let next = bytes.word(staged.next.offset);
        if is_header(next.load(Ordering::Relaxed), staged.next.at) {
            next.store(0, Ordering::Relaxed);
        }
        // ORDERING(record): Release. Pairs with ORDERING(record) in Reader::look: makes the bytes, the
        // headers behind this one, and that there is no next one, visible.
        bytes.word(self.tail.offset).store(staged.word, Ordering::Release);
        let before = self.count;
        self.tail = staged.next;
        self.count = before.wrapping_add(staged.count);
        if before / MIRROR != self.count / MIRROR {
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
    /// The position of the first of them.
    at: u64,
    next: Cursor,
}

impl Found {
    /// The record without its first `len` bytes, which it must have.
    #[inline(always)]
    fn past(self, len: usize) -> Option<Found> {
        let rest = self.len.checked_sub(len)?;
        let at = self.at.wrapping_add(len as u64);
        Some(Found { offset: self.offset + len, len: rest, at, next: self.next })
    }
}

/// The consumer's side.
#[derive(Debug)]
pub(crate) struct Reader {
    shape: Shape,
    head: Cursor,
    count: u64,
    /// How many bytes of the record at the head have been released.
    skip: usize,
}

impl Reader {
    /// Goes on where the segment says the last consumer stopped.
    pub(crate) fn resume(shape: Shape, own: &Position, bytes: &Bytes) -> Result<Self, Corrupt> {
        let head = Cursor::new(own.at.load(Ordering::Relaxed), &shape)?;
        let count = own.count.load(Ordering::Relaxed);
        let mut reader = Reader { shape, head, count, skip: 0 };
        let within = own.within.load(Ordering::Relaxed);
        if within.wrapping_sub(head.at).cast_signed() > 0 {
            // The last holder stopped inside of a record, which is still there.
            let found = reader.acquire(bytes)?.ok_or(Corrupt)?;
            let skip = within.wrapping_sub(found.at);
            if skip >= found.len as u64 {
                return Err(Corrupt);
            }
            reader.skip = skip as usize;
        }
        Ok(reader)
    }

    /// How many bytes hold records that are there to be taken.
    pub(crate) fn available(&self, peer: &Position, bytes: &Bytes) -> Result<u64, Corrupt> {
        let from = further(peer.at.load(Ordering::Relaxed), self.head.at);
        let (end, _) =
            self.shape.follow(from, |offset| Ok(bytes.word(offset).load(Ordering::Relaxed)))?;
        Ok(end.wrapping_sub(self.head.at))
    }

    /// Looks so many times, or until something has been committed at the head.
    #[inline(always)]
    pub(crate) fn poll(&self, bytes: &Bytes, times: u32) -> bool {
        let (at, word) = (self.head.get(), bytes.word(self.head.offset));
        looks(times, || !matches!(self.shape.parse(word.load(Ordering::Relaxed), at), Ok(None)))
    }

    /// The next record, if it has been committed.
    #[inline(always)]
    pub(crate) fn acquire(&self, bytes: &Bytes) -> Result<Option<Found>, Corrupt> {
        match self.look(self.head.get(), bytes)? {
            Some(found) => found.past(self.skip).ok_or(Corrupt).map(Some),
            None => Ok(None),
        }
    }

    /// The record behind another one, if it has been committed.
    #[inline(always)]
    pub(crate) fn after(&self, found: &Found, bytes: &Bytes) -> Result<Option<Found>, Corrupt> {
        // Headers that lead round and round are no producer's.
        if found.next.at.wrapping_sub(self.head.at) >= self.shape.capacity as u64 {
            return Err(Corrupt);
        }
        self.look(found.next, bytes)
    }

    #[inline(always)]
    fn look(&self, mut at: Cursor, bytes: &Bytes) -> Result<Option<Found>, Corrupt> {
        // Twice at most: padding leads to offset 0, where no padding may begin.
        loop {
            // ORDERING(record): Acquire. Pairs with ORDERING(record) in Writer::publish.
            let word = bytes.word(at.offset).load(Ordering::Acquire);
            let Some(header) = self.shape.parse(word, at)? else { return Ok(None) };
            match header {
                Header::Padding { len } => at = at.after(len, &self.shape),
                Header::Record { len } => {
                    let offset = at.offset + self.shape.align;
                    let next = at.after(self.shape.footprint(len), &self.shape);
                    let at = at.at.wrapping_add(self.shape.align as u64);
                    return Ok(Some(Found { offset, len, at, next }));
                }
            }
        }
    }

    /// Gives the bytes of the first `count` records back to the producer; the last of them is `found`. This is
    /// the acknowledgement.
    #[inline(always)]
    pub(crate) fn release(&mut self, found: Found, count: u64, own: &Position) {
        self.head = found.next;
        self.count = self.count.wrapping_add(count);
        self.skip = 0;
        // ORDERING(record-head): Release. Pairs with ORDERING(record-head) in Writer::claim: our reads are
        // complete before the bytes are written again.
        own.at.store(self.head.at, Ordering::Release);
        own.count.store(self.count, Ordering::Relaxed);
    }

    /// Takes the first `len` bytes of the record at the head, which has more, and leaves the rest. The producer
    /// gets nothing yet. One store acknowledges them: the position that it says is before the head, and so
    /// means nothing, as soon as the record is released.
    #[inline(always)]
    pub(crate) fn release_part(&mut self, found: Found, len: usize, own: &Position) -> Found {
        let rest = found.past(len).expect("the caller looked at its length");
        debug_assert!(rest.len > 0);
        self.skip += len;
        // Relaxed: only a successor reads it.
        own.within.store(rest.at, Ordering::Relaxed);
        rest
    }
}
