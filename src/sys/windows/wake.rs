//! Sleeping on a word, and waking who sleeps, in any process.
//!
//! `WaitOnAddress` reaches the threads of one process only. It serves words that no other process has, as those of
//! an object without a name have none until it is given to one. For the
//! others, each process that sleeps in an object has a seat there: a number, certified as its own by a lock, and an event of that
//! number; a small section, found by the object's number, too, says how many were taken. Who wakes sets the events of all
//! seats but its own. One sleeper of a process, the first, waits for
//! the event; those who come meanwhile wait, by `WaitOnAddress`, for the first to come back, look again, and
//! one of them is the next to wait for the event. So an event that was set is never missed: it stays set until
//! somebody comes to wait for it. To be woken for nothing is harmless.
//!
//! The objects of a session have no seats, as nobody shares a word that both write: see `bell`.
//!
//! Who wakes nobody sets no event: the words of the ring say whether anybody sleeps, see `wait`.
#![allow(unsafe_code, reason = "system calls")]

use super::event::set;
use super::object::{Object, new_section, open_section};
use super::{bell, last, lock, mapping, milliseconds, owned, security, wide};
use crate::error::Result;
use crate::sync::{AtomicU32, Ordering, fence};
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use windows_sys::Win32::System::Memory::{FILE_MAP_READ, FILE_MAP_WRITE};
use windows_sys::Win32::System::Threading::{
    CreateEventW, EVENT_MODIFY_STATE, OpenEventW, WaitForSingleObject, WaitOnAddress,
    WakeByAddressAll,
};

/// How many processes can sleep in one object at a time and be woken. The others take naps.
const MOST_SEATS: u32 = 256;

/// Locks of seats are far from those of ends and places.
const FIRST_SEAT: u32 = 1 << 20;

/// How long who cannot be woken sleeps at most.
const NAP: Duration = Duration::from_millis(1);

/// One process's part in an object's waking.
#[derive(Debug)]
pub(super) struct Seats {
    /// 1 from when other processes may have the object.
    shared: AtomicU32,
    /// The words that threads sleep on while none has.
    alone: Mutex<Vec<usize>>,
    own: OnceLock<Option<Seat>>,
    taken: OnceLock<Taken>,
    /// 1 while a thread waits for our event.
    first: AtomicU32,
    /// Counts the returns of such threads. The others wait for the next one.
    round: AtomicU32,
    /// The events of all, as far as they were looked for.
    events: Mutex<Vec<Option<OwnedHandle>>>,
}

#[derive(Debug)]
struct Seat {
    number: u32,
    event: OwnedHandle,
    _lock: OwnedHandle,
}

/// How many seats of an object were taken, by anybody.
#[derive(Debug)]
struct Taken {
    view: NonNull<u8>,
    _section: OwnedHandle,
}

// SAFETY: a view is an address range of the process, the same for all of its threads; it is used as an atomic.
unsafe impl Send for Taken {}
// SAFETY: as above.
unsafe impl Sync for Taken {}

impl Taken {
    /// The one that is there, or a new one where one is wanted.
    fn of(object: &Object, make: bool) -> Option<Taken> {
        const LEN: usize = size_of::<u32>();
        let (name, access) = (taken_of(object), FILE_MAP_READ | FILE_MAP_WRITE);
        let open = || open_section(&name, access).ok();
        let new = || new_section(&name, LEN as u64, &security::own_only().ok()?).ok();
        // Somebody else may make it between the first two.
        let section = open().or_else(|| if make { new().or_else(open) } else { None })?;
        let view = mapping::view(section.as_raw_handle().cast(), access, 0, LEN, None).ok()?;
        Some(Taken { view, _section: section })
    }

    fn count(&self) -> &AtomicU32 {
        // SAFETY: the view begins at a page, and is mapped until `self` goes; any bytes are an atomic.
        unsafe { self.view.cast::<AtomicU32>().as_ref() }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // SAFETY: the view is this one's, and nobody has a reference into it any more.
        unsafe { mapping::unview(self.view.addr().get()) };
    }
}

fn taken_of(object: &Object) -> Vec<u16> {
    wide(&format!("Local\\ringlane-{}-seats", object.id()))
}

fn event_of(object: &Object, seat: u32) -> Vec<u16> {
    wide(&format!("Local\\ringlane-{}-seat-{seat}", object.id()))
}

/// Sleeps while a word of this process is what is expected.
fn wait_on(word: &AtomicU32, expected: u32, timeout: Duration) {
    let expected = std::ptr::from_ref(&expected).cast();
    // SAFETY: both words outlive the call, which only reads them.
    unsafe {
        WaitOnAddress(word.as_ptr().cast_const().cast(), expected, 4, milliseconds(timeout));
    }
}

fn wake_on(word: &AtomicU32) {
    wake_at(word.as_ptr().addr());
}

fn wake_at(address: usize) {
    // SAFETY: the address stands for itself, and is not read.
    unsafe { WakeByAddressAll(std::ptr::without_provenance(address)) };
}

/// Sleeps while `*word == expected`, until a [`wake`] or the timeout. It may return at any time for no reason.
pub(crate) fn wait(word: &AtomicU32, expected: u32, timeout: Duration) {
    match mapping::object_at(word.as_ptr().addr()) {
        Some((object, at)) if object.bells().is_some() => {
            bell::wait(&object, at, (word, expected), None, timeout);
        }
        Some((object, _)) => object.seats.wait(&object, word, expected, timeout),
        None => wait_on(word, expected, timeout),
    }
}

/// Sleeps as [`wait`] does, while neither of two words has changed. The second is this process's own.
pub(crate) fn wait_either(
    (word, expected): (&AtomicU32, u32),
    own: (&AtomicU32, u32),
    timeout: Duration,
) {
    match mapping::object_at(word.as_ptr().addr()) {
        Some((object, at)) if object.bells().is_some() => {
            bell::wait(&object, at, (word, expected), Some(own), timeout);
        }
        // What else has a second word wakes for the first only.
        _ => wait(word, expected, timeout.min(NAP)),
    }
}

/// Wakes all who [`wait`] on the word.
pub(crate) fn wake(word: &AtomicU32) {
    match mapping::object_at(word.as_ptr().addr()) {
        Some((object, at)) if object.bells().is_some() => bell::ring(&object, at),
        Some((object, _)) => object.seats.wake(&object, word),
        None => {
            wake_on(word);
            bell::wake_own(word);
        }
    }
}

impl Seats {
    pub(super) fn new() -> Seats {
        let [shared, first, round] = [0; 3].map(AtomicU32::new);
        let (own, taken) = (OnceLock::new(), OnceLock::new());
        let (alone, events) = (Mutex::default(), Mutex::default());
        Seats { shared, alone, own, taken, first, round, events }
    }

    /// To be called before another process can have the object. Threads that slept as if none had are awake then, and
    /// no other one sleeps so.
    pub(super) fn share(&self) {
        self.shared.store(1, Ordering::SeqCst);
        loop {
            let alone = self.alone().clone();
            if alone.is_empty() {
                return;
            }
            // One may be about to sleep: it is woken the next time.
            alone.iter().for_each(|word| wake_at(*word));
            std::thread::yield_now();
        }
    }

    pub(super) fn is_shared(&self) -> bool {
        self.shared.load(Ordering::SeqCst) != 0
    }

    fn alone(&self) -> MutexGuard<'_, Vec<usize>> {
        self.alone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_alone(&self, word: &AtomicU32, expected: u32, timeout: Duration) {
        let address = word.as_ptr().addr();
        self.alone().push(address);
        // After that: either it is seen here that the object is shared, or there that we sleep.
        if !self.is_shared() {
            wait_on(word, expected, timeout);
        }
        let mut alone = self.alone();
        if let Some(index) = alone.iter().position(|other| *other == address) {
            alone.swap_remove(index);
        }
    }

    /// How many seats were taken; nothing if nobody ever took one.
    fn taken(&self, object: &Object, make: bool) -> Option<&AtomicU32> {
        if let Some(taken) = self.taken.get() {
            return Some(taken.count());
        }
        let taken = Taken::of(object, make)?;
        Some(self.taken.get_or_init(|| taken).count())
    }

    /// Our seat in the object, taken now if we have none. It is there before anybody sleeps in it.
    fn seat(&self, object: &Object) -> Option<&Seat> {
        let taken = self.taken(object, true)?;
        let take = || {
            let seat =
                (0..MOST_SEATS).find_map(|number| take_seat(object, number).ok().flatten())?;
            taken.fetch_max(seat.number + 1, Ordering::Relaxed);
            Some(seat)
        };
        self.own.get_or_init(take).as_ref()
    }

    fn wait(&self, object: &Object, word: &AtomicU32, expected: u32, timeout: Duration) {
        if !self.is_shared() {
            return self.wait_alone(word, expected, timeout);
        }
        let Some(seat) = self.seat(object) else {
            return std::thread::sleep(timeout.min(NAP));
        };
        // Read before anything is looked at: if the first comes back after this, we do not sleep.
        let round = self.round.load(Ordering::SeqCst);
        let first = self.first.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        // With the one in `wake`: either the word's change is seen here, or there our seat, or that somebody
        // waits in it.
        fence(Ordering::SeqCst);
        let sleeps = word.load(Ordering::Relaxed) == expected;
        if first {
            if sleeps {
                // SAFETY: the event is open for as long as the seat is there.
                unsafe {
                    let event = seat.event.as_raw_handle().cast();
                    WaitForSingleObject(event, milliseconds(timeout));
                }
            }
            self.first.store(0, Ordering::SeqCst);
            self.next_round();
        } else if sleeps {
            wait_on(&self.round, round, timeout);
        }
    }

    /// Has all look again who wait for the first to come back.
    fn next_round(&self) {
        self.round.fetch_add(1, Ordering::SeqCst);
        wake_on(&self.round);
    }

    fn wake(&self, object: &Object, word: &AtomicU32) {
        // See `wait`. And who sees a sleeper of another process sees that the object is shared.
        fence(Ordering::SeqCst);
        if !self.is_shared() {
            return wake_on(word);
        }
        let own = self.own.get().and_then(Option::as_ref);
        if let Some(seat) = own.filter(|_| self.first.load(Ordering::SeqCst) == 1) {
            set(&seat.event);
        }
        if own.is_some() {
            self.next_round();
        }
        let Some(taken) = self.taken(object, false) else { return };
        // Whatever it says, the work is bounded.
        let taken = taken.load(Ordering::SeqCst).min(MOST_SEATS);
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let room = events.len().max(taken as usize);
        events.resize_with(room, || None);
        for (number, event) in (0..taken).zip(events.iter_mut()) {
            if own.is_some_and(|own| own.number == number) {
                continue;
            }
            if event.is_none() {
                let name = event_of(object, number);
                // SAFETY: the name ends with a zero.
                *event = owned(unsafe { OpenEventW(EVENT_MODIFY_STATE, 0, name.as_ptr()) });
            }
            // Nobody has the seat any more if there is no event.
            if let Some(event) = event {
                set(event);
            }
        }
    }
}

/// Takes a seat if nobody has it. Its event may be there already, if somebody remembers it who woke the one
/// that had the seat before.
fn take_seat(object: &Object, number: u32) -> Result<Option<Seat>> {
    let Some(lock) = lock::try_pipe(object, FIRST_SEAT + number)? else { return Ok(None) };
    let (name, own_only) = (event_of(object, number), security::own_only()?);
    // SAFETY: the name ends with a zero, and the descriptor stays for good.
    let event = owned(unsafe { CreateEventW(&own_only, 0, 0, name.as_ptr()) });
    let event = event.ok_or_else(|| last("make an event"))?;
    Ok(Some(Seat { number, event, _lock: lock }))
}

#[cfg(test)]
mod tests {
    use super::super::{create_anonymous, map, page_size, resize_alone, unmap};
    use super::*;
    use crate::sys::Access;
    use std::sync::mpsc;

    /// Who sleeps when an object is shared is no sleeper of this process alone any more.
    #[test]
    fn who_sleeps_alone_is_woken_by_events_once_the_object_is_shared() {
        const LONG: Duration = Duration::from_secs(3600);
        let handle = create_anonymous("").unwrap();
        resize_alone(&handle, page_size() as u64, true).unwrap();
        let at = map(&handle, 0, page_size(), Access::ReadWrite.into()).unwrap();
        // SAFETY: the mapping begins at a page, and stays until the thread has ended.
        let word: &'static AtomicU32 = unsafe { at.cast::<AtomicU32>().as_ref() };
        let (tell, told) = mpsc::channel();
        let sleeper = std::thread::spawn(move || {
            while word.load(Ordering::SeqCst) == 0 {
                wait(word, 0, LONG);
            }
            tell.send(()).unwrap();
        });
        let seats = &handle.object().seats;
        while seats.alone().is_empty() {
            std::thread::yield_now();
        }
        seats.share();
        assert!(seats.alone().is_empty());
        // As another process would: it knows of seats alone.
        while seats.first.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        word.store(1, Ordering::SeqCst);
        wake(word);
        told.recv_timeout(Duration::from_secs(60)).expect("it is woken");
        sleeper.join().unwrap();
        // SAFETY: mapped above, and nobody uses it any more.
        unsafe { unmap(at, page_size()) }.unwrap();
    }
}
