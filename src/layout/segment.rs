//! A segment: made or checked, mapped, and then only handed out in parts.
#![allow(unsafe_code, reason = "turns mapped bytes into references to atomics")]

use super::control::Turns;
use super::header::{Header, Kind, Spec};
use super::home::{Extent, Home};
use super::part::{Part, Side};
use super::participants::{Common, PLACES, Participant};
#[cfg(not(loom))]
use super::participants::{LOCK_BYTES, lock_byte};
use crate::error::{Error, ErrorKind, Result};
use crate::plain;
#[cfg(not(loom))]
use crate::shm::Granted;
use crate::shm::{Lifetime, Name, OpenOptions, SharedMemory};
use crate::sync::{AtomicU64, Ordering};
use crate::sys;
use std::ptr::NonNull;
use std::sync::Arc;

/// How a new segment is made, beside what it holds.
#[derive(Clone, Debug)]
pub(crate) struct Create {
    pub(crate) mode: u32,
    pub(crate) lifetime: Lifetime,
    /// Whether one that is opened may be another user's.
    pub(crate) foreign: bool,
    /// Whether to ask for huge pages.
    pub(crate) huge: bool,
    /// The first position. Anything but 0 is for tests of what happens near a limit.
    pub(crate) start: u64,
}

impl Default for Create {
    fn default() -> Self {
        let lifetime = Lifetime::CreatorOwned;
        Create { mode: 0o600, lifetime, foreign: false, huge: false, start: 0 }
    }
}

/// The words of a ring in this process, and the object they lie in.
#[derive(Debug)]
pub(crate) struct Segment {
    memory: SharedMemory,
    words: Words,
    header: Header,
}

// SAFETY: the parts and the data are atomics; the pointers to them stay valid with `self`.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

/// Where the words are: in a mapping, or in a loom model's heap.
#[derive(Debug)]
struct Words {
    producer: NonNull<Part>,
    consumer: NonNull<Part>,
    /// In the places of the two, in a ring for many.
    common: NonNull<Common>,
    participants: NonNull<Participant>,
    data: NonNull<AtomicU64>,
    /// The same as the data, but for blocks.
    slots: NonNull<AtomicU64>,
    /// The same as the slots, if there are none.
    claims: NonNull<AtomicU64>,
    #[cfg(not(loom))]
    mapping: crate::shm::Mapping,
    #[cfg(loom)]
    _heap: (Box<[Part; 2]>, Box<[AtomicU64]>, Box<Common>, Box<[Participant]>),
    /// One for each word of the data.
    #[cfg(loom)]
    watches: Box<[crate::sync::Watch]>,
}

/// The unit of a new ring's bytes: a page, of the huge ones if they are asked for and there are any.
pub(crate) fn data_unit(how: &Create) -> usize {
    #[cfg(not(loom))]
    if let Some(unit) = how.huge.then(sys::huge_page_size).flatten() {
        return unit;
    }
    let _ = how;
    page()
}

/// The unit of a new segment's parts, in bytes. A model has no pages, and every word of it costs time.
pub(crate) fn page() -> usize {
    if cfg!(loom) { 64 } else { sys::page_size().max(4096) }
}

impl Segment {
    /// A new segment: under a name that nothing has, or without one.
    pub(crate) fn create(spec: &Spec, how: &Create, name: Option<&Name>) -> Result<Arc<Segment>> {
        let header = spec.header(page())?;
        let memory = match name {
            Some(_) => OpenOptions::read_write()
                .size(header.total)
                .mode(how.mode)
                .lifetime(how.lifetime)
                .prepare()?,
            None => SharedMemory::anonymous(header.total)?,
        };
        let words = Words::new(&memory, &header, how)?;
        words.begin(spec.kind, &header, how.start);
        let mut segment = Segment { memory, words, header };
        if let Some(name) = name {
            // The segment is whole: now, and not before, it may be seen.
            segment.memory.publish(name)?;
        }
        Ok(Arc::new(segment))
    }

    /// The segment of this name, if it is what `spec` says. Its capacity is the creator's.
    pub(crate) fn open(spec: &Spec, how: &Create, name: &Name) -> Result<Arc<Segment>> {
        let mut options = OpenOptions::read_write();
        let memory = options.mode(how.mode).allow_foreign(how.foreign).open(name)?;
        Segment::attach(spec, how, memory)
    }

    /// The segment in an object that is open already, which may be larger.
    pub(crate) fn attach(spec: &Spec, how: &Create, memory: SharedMemory) -> Result<Arc<Segment>> {
        memory.check_whole()?;
        let header = Segment::read_header(memory.handle())?;
        header.expect(spec)?;
        let words = Words::attach(&memory, &header, how)?;
        Ok(Arc::new(Segment { memory, words, header }))
    }

    /// A new segment in an object that is there already, which may be larger. What it holds is lost.
    #[cfg(not(loom))]
    pub(crate) fn host(spec: &Spec, how: &Create, memory: SharedMemory) -> Result<Arc<Segment>> {
        memory.check_ring_access()?;
        memory.check_whole()?;
        let header = spec.header(page())?;
        let size = memory.size()?;
        if size < header.total {
            let text = format!("the ring takes {} bytes, the object has {size}", header.total);
            return Err(Error::new(ErrorKind::InvalidSize, text));
        }
        // Whoever holds an end of a ring in there has its lock, and nobody gets one before we are done.
        let mut locks = Vec::new();
        for side in [Side::Producer, Side::Consumer] {
            let handle = sys::reopen(memory.handle(), sys::Access::ReadWrite)?;
            let Some(lock) = sys::try_lock(handle, side.lock_byte())? else {
                let end = spec.kind.end_name(side);
                let text = format!("a process holds the {end} end of a ring in it");
                return Err(Error::new(ErrorKind::InUse, text));
            };
            locks.push(lock);
        }
        let handle = sys::reopen(memory.handle(), sys::Access::ReadWrite)?;
        let (first, places) = (lock_byte(0), LOCK_BYTES - lock_byte(0));
        let Some(lock) = sys::try_lock_all(handle, first, places)? else {
            let text = "a process takes part in a ring in it";
            return Err(Error::new(ErrorKind::InUse, text));
        };
        locks.push(lock);
        let mut magic = [0; super::header::MAGIC.len()];
        let read = sys::read_at(memory.handle(), 0, &mut magic)?;
        if read == magic.len() && magic == super::header::MAGIC {
            let text = "a ring is in it already: attach to it, or overwrite its first bytes";
            return Err(Error::new(ErrorKind::AlreadyExists, text));
        }
        // Others size their objects without taking the memory, and then the first touch can be fatal.
        sys::reserve(memory.handle(), header.total)?;
        let words = Words::renew(&memory, &header, how)?;
        words.begin(spec.kind, &header, how.start);
        Ok(Arc::new(Segment { memory, words, header }))
    }

    /// Reads and checks the header of an open object, without mapping anything.
    pub(crate) fn read_header(handle: &sys::Handle) -> Result<Header> {
        let mut header: Header = bytemuck::Zeroable::zeroed();
        let read = sys::read_at(handle, 0, bytemuck::bytes_of_mut(&mut header))?;
        if read < size_of::<Header>() && header.magic == super::header::MAGIC {
            let text = format!("is truncated: {read} bytes are left");
            return Err(Error::new(ErrorKind::Corrupt, text));
        }
        header.check(sys::stat(handle)?.size)?;
        Ok(header)
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// What people call the end of this side.
    pub(crate) fn end_name(&self, side: Side) -> &'static str {
        Kind::of(self.header.kind).unwrap_or(Kind::Spsc).end_name(side)
    }

    pub(crate) fn memory(&self) -> &SharedMemory {
        &self.memory
    }

    /// The words that one side writes.
    #[inline(always)]
    pub(crate) fn part(&self, side: Side) -> &Part {
        let part = match side {
            Side::Producer => self.words.producer,
            Side::Consumer => self.words.consumer,
        };
        // SAFETY: it points into the mapping or heap that `self` holds, where a `Part` was written
        // before the segment could be seen; all of its fields are atomics.
        unsafe { part.as_ref() }
    }

    /// What the kernel gave of what was asked for.
    #[cfg(not(loom))]
    pub(crate) fn granted(&self) -> Granted {
        self.words.mapping.granted()
    }

    /// The words that all participants share.
    ///
    /// # Panics
    /// If the ring is not one for many.
    pub(crate) fn common(&self) -> &Common {
        self.assert_shared();
        // SAFETY: it points into the mapping or heap that `self` holds, where a ring for many, just checked,
        // has these words; all of them are atomics, for which zeroes are a value.
        unsafe { self.words.common.as_ref() }
    }

    /// The places that have been held, perhaps.
    ///
    /// # Panics
    /// If the ring is not one for many.
    pub(crate) fn participants(&self) -> &[Participant] {
        let used = self.common().members.used.load(Ordering::Relaxed) as usize;
        // SAFETY: as for `common`; so many places follow each other there.
        unsafe { std::slice::from_raw_parts(self.words.participants.as_ptr(), used.min(PLACES)) }
    }

    /// One place.
    ///
    /// # Panics
    /// If the ring is not one for many, or has no such place.
    pub(crate) fn participant(&self, index: usize) -> &Participant {
        self.assert_shared();
        assert!(index < PLACES, "no place {index}");
        // SAFETY: as for `participants`, and the index was just checked.
        let participant = unsafe { self.words.participants.add(index) };
        // SAFETY: as above.
        unsafe { participant.as_ref() }
    }

    fn assert_shared(&self) {
        let kind = Kind::of(self.header.kind);
        assert!(kind.is_some_and(Kind::is_shared), "a ring with two ends");
    }

    #[cfg(loom)]
    pub(super) fn watch(&self, word: usize) -> &crate::sync::Watch {
        &self.words.watches[word]
    }

    pub(super) fn data(&self) -> NonNull<AtomicU64> {
        self.words.data
    }

    pub(super) fn slots(&self) -> NonNull<AtomicU64> {
        self.words.slots
    }

    pub(super) fn claims(&self) -> NonNull<AtomicU64> {
        self.words.claims
    }

    /// In a model: how many words are before the slots.
    #[cfg(loom)]
    pub(super) fn slots_at(&self) -> usize {
        slots_at(&self.header)
    }
}

impl Words {
    /// Makes the data what it is at the first position.
    fn begin(&self, kind: Kind, header: &Header, start: u64) {
        match kind {
            Kind::Spsc if start != 0 => self.pretend_lap_before(header, start),
            // SAFETY: the data begins with a whole word, and `self` keeps it.
            Kind::Call => unsafe { plain::word_at(self.data, 0) }.store(start, Ordering::Relaxed),
            Kind::Mpmc | Kind::MpmcAck | Kind::MpmcRecord | Kind::MpmcRecordAck => {
                if start != 0 {
                    self.pretend_lap_before(header, start);
                }
                // SAFETY: the words of all are there, zeroes so far, and nobody else has them yet.
                unsafe { self.common.as_ref() }.begin_at(start);
            }
            Kind::Spsc | Kind::Record => {}
        }
    }

    /// Leaves each slot as the lap before `start` would have, so that no slot looks published.
    fn pretend_lap_before(&self, header: &Header, start: u64) {
        if header.is_dense() {
            return;
        }
        let (_, stride) = header.slots();
        for position in (0..header.capacity).map(|n| start.wrapping_add(n)) {
            let word = (position & (header.capacity - 1)) * stride / 8 + stride / 8 - 1;
            // SAFETY: a slot's sequence word, within the slots by the header's own arithmetic.
            let sequence = unsafe { plain::word_at(self.slots, word as usize) };
            let before = match Kind::of(header.kind) {
                Some(kind) if kind.is_shared() => Turns::of(header.capacity).before(position).0,
                _ => position.wrapping_add(1).wrapping_sub(header.capacity),
            };
            sequence.store(before, Ordering::Relaxed);
            if header.claims_at().is_some() {
                let index = position & (header.capacity - 1);
                // SAFETY: there is a claim for each slot.
                unsafe { plain::word_at(self.claims, index as usize) }
                    .store(before, Ordering::Relaxed);
            }
        }
    }
}

impl Home for Segment {
    fn part(&self, side: Side) -> &Part {
        Segment::part(self, side)
    }

    fn bytes(&self) -> Extent {
        let capacity = self.header.data_len as usize;
        Extent { at: self.data(), capacity, wrap: self.header.wrap() }
    }

    #[cfg(loom)]
    fn watch(&self, word: usize) -> &crate::sync::Watch {
        Segment::watch(self, word)
    }
}

/// What the participants of a ring for many share, without a detour on each access.
#[derive(Clone, Debug)]
pub(crate) struct Forum {
    /// Keeps the words mapped.
    segment: Arc<Segment>,
    common: NonNull<Common>,
}

// SAFETY: the words are atomics, and the segment that holds them is Send and Sync.
unsafe impl Send for Forum {}
// SAFETY: as above.
unsafe impl Sync for Forum {}

impl Forum {
    pub(crate) fn of(segment: &Arc<Segment>) -> Forum {
        Forum { segment: Arc::clone(segment), common: NonNull::from(segment.common()) }
    }

    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    #[inline(always)]
    pub(crate) fn common(&self) -> &Common {
        // SAFETY: it came from a reference into the segment that `self` keeps.
        unsafe { self.common.as_ref() }
    }
}

#[cfg(not(loom))]
impl Words {
    /// Maps a checked segment.
    fn attach(memory: &SharedMemory, header: &Header, how: &Create) -> Result<Words> {
        let (control, data) = (header.data_at as usize, header.data_len as usize);
        let mapping = memory.map_ring(control, data, header.wrap(), how.huge)?;
        let at = |offset: usize| {
            assert!(offset + size_of::<Part>() <= mapping.len(), "the header was checked");
            // SAFETY: within the mapping, just checked.
            unsafe { mapping.as_ptr().add(offset) }
        };
        Ok(Words {
            producer: at(super::header::PRODUCER_AT).cast(),
            consumer: at(header.consumer_at as usize).cast(),
            common: at(super::header::PRODUCER_AT).cast(),
            participants: at(header.consumer_at as usize).cast(),
            data: at(control).cast(),
            slots: at(header.slots().0 as usize).cast(),
            claims: at(header.claims_at().unwrap_or(header.slots().0) as usize).cast(),
            mapping,
        })
    }

    /// Maps and fills an object that may hold anything.
    fn renew(memory: &SharedMemory, header: &Header, how: &Create) -> Result<Words> {
        const ZEROES: [u8; 4096] = [0; 4096];
        let words = Words::attach(memory, header, how)?;
        // Both are multiples of a page. The header goes first, so that nothing passes for a ring.
        for at in (0..header.total as usize).step_by(ZEROES.len()) {
            words.mapping.write_at(at, &ZEROES)?;
        }
        words.fill(header, how.start)
    }

    /// Maps and fills a new object, which is all zeroes.
    fn new(memory: &SharedMemory, header: &Header, how: &Create) -> Result<Words> {
        Words::attach(memory, header, how)?.fill(header, how.start)
    }

    fn fill(self, header: &Header, start: u64) -> Result<Words> {
        let words = self;
        words.mapping.write_at(0, bytemuck::bytes_of(header))?;
        if Kind::of(header.kind).is_some_and(Kind::is_shared) {
            // Zeroes are what its words begin with.
            return Ok(words);
        }
        for part in [words.producer, words.consumer] {
            // SAFETY: it points to room for a `Part`, aligned to a line, that nobody else has yet.
            unsafe { part.write(Part::new(start)) };
        }
        Ok(words)
    }
}

/// Slots that are not the data come after it in a model.
#[cfg(loom)]
fn slots_at(header: &Header) -> usize {
    let apart = Kind::of(header.kind).is_some_and(Kind::has_blocks);
    if apart { header.data_len as usize / 8 } else { 0 }
}

#[cfg(loom)]
impl Words {
    fn attach(_memory: &SharedMemory, _header: &Header, _how: &Create) -> Result<Words> {
        Err(Error::new(ErrorKind::Unsupported, "a model opens no segment by name"))
    }

    fn new(_memory: &SharedMemory, header: &Header, how: &Create) -> Result<Words> {
        let parts = Box::new([Part::new(how.start), Part::new(how.start)]);
        let words = slots_at(header) as u64 + header.slots().1 * header.capacity / 8;
        let claims_at = words.max(header.data_len / 8);
        // There is no harm in claims that nobody uses.
        let words = claims_at + header.capacity;
        let data: Box<[AtomicU64]> = (0..words).map(|_| AtomicU64::new(0)).collect();
        let common = Box::new(Common::new());
        let participants: Box<[Participant]> = (0..PLACES).map(|_| Participant::new()).collect();
        Ok(Words {
            producer: NonNull::from(&parts[0]),
            consumer: NonNull::from(&parts[1]),
            common: NonNull::from(&*common),
            participants: NonNull::from(&participants[0]),
            data: NonNull::from(&data[0]),
            slots: NonNull::from(&data[slots_at(header)]),
            claims: NonNull::from(&data[claims_at as usize]),
            _heap: (parts, data, common, participants),
            watches: (0..words).map(|_| crate::sync::Watch::new()).collect(),
        })
    }
}
