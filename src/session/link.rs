//! What a session has beside its rings: the connection, and what it says of the other side.

use super::hello::Hello;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Hall, Home, Lane, Peer, Side, state};
use crate::queue::{self, Fate};
use crate::sync::{AtomicU32, Ordering};
use crate::sys::{self, Interest, Received};
use crate::wait::{Line, Nudge, Watch, shout};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// So many messages are read from the socket at a time, whoever sends them.
const MOST_RINGS: usize = 16;

#[derive(Debug)]
pub(super) struct Link {
    socket: sys::Socket,
    hall: Arc<Hall>,
    /// The ring that we write to, and the one that we read from.
    lanes: [Arc<Lane>; 2],
    /// What the answer has to say, for the side that asked.
    expected: Hello,
    /// Whether the other side's memory is in its place.
    linked: AtomicU32,
    linking: Mutex<()>,
    closed: AtomicU32,
    fate: Fate,
    watch: Mutex<Option<Watch>>,
    credentials: OnceLock<sys::Credentials>,
    /// A forked child has a copy of this, but not the session.
    owner: u64,
    me: Weak<Link>,
}

impl Link {
    pub(super) fn new(socket: sys::Socket, hall: Hall, expected: Hello, linked: bool) -> Arc<Link> {
        let hall = Arc::new(hall);
        Arc::new_cyclic(|me| Link {
            socket,
            lanes: [Side::Producer, Side::Consumer].map(|side| hall.lane(side)),
            hall,
            expected,
            linked: AtomicU32::new(linked.into()),
            linking: Mutex::default(),
            closed: AtomicU32::new(0),
            fate: Fate::new(),
            watch: Mutex::default(),
            credentials: OnceLock::new(),
            owner: sys::process_token(),
            me: Weak::clone(me),
        })
    }

    pub(super) fn socket(&self) -> &sys::Socket {
        &self.socket
    }

    /// The ring of which this process is that side.
    pub(super) fn lane(&self, side: Side) -> Arc<Lane> {
        Arc::clone(&self.lanes[side as usize])
    }

    #[inline(always)]
    pub(super) fn is_cancelled(&self) -> bool {
        self.fate.is_cancelled()
    }

    #[inline(always)]
    pub(super) fn is_gone(&self) -> bool {
        self.fate.is_gone()
    }

    pub(super) fn cancel(&self) {
        self.fate.cancel();
    }

    pub(super) fn lose(&self) {
        self.fate.lose();
    }

    /// Asks the kernel whether the other side is there. A failing query is no proof that it is gone.
    pub(super) fn check(&self) {
        if !self.is_gone() && sys::hung_up(&self.socket).unwrap_or(false) {
            self.lose();
        }
    }

    /// Takes the other side's memory if it has come. Until then, its words are zeroes.
    #[cold]
    pub(super) fn try_link(&self) {
        let _turn = self.linking.lock().unwrap_or_else(PoisonError::into_inner);
        if self.linked() || self.is_gone() {
            return;
        }
        let mut bytes = [0; size_of::<Hello>() + 1];
        match sys::receive(&self.socket, &mut bytes) {
            Ok(Received::Nothing) | Err(_) => return,
            Ok(Received::End) => return self.lose(),
            Ok(Received::Message { bytes: len, handles, cut, .. }) => {
                if self.put(&bytes[..len], &handles, cut).is_err() {
                    return self.lose();
                }
            }
        }
        // ORDERING(linked): Release. Pairs with ORDERING(linked) in Link::linked. No model: it orders a mapping, which there
        // are none of.
        self.linked.store(1, Ordering::Release);
        // Whoever of our threads looked at the zeroes for whether the other side sleeps had published before; now
        // that is seen, and the other side is woken in its stead.
        // ORDERING(sleep-fence): heavy half. Pairs with ORDERING(sleep-fence) in Bell::notify. No model: addresses
        // change their words in none.
        sys::heavy_fence();
        self.shout();
        queue::Link::ring(self);
        self.fate.nudge().give();
    }

    fn put(&self, bytes: &[u8], handles: &[sys::Handle], cut: bool) -> Result<()> {
        let hello = Hello::parse(bytes)?;
        if cut || (hello.out, hello.back) != (self.expected.out, self.expected.back) {
            return Err(Error::new(ErrorKind::Corrupt, "an answer that does not fit the question"));
        }
        self.hall.complete(handles)
    }

    #[inline(always)]
    pub(super) fn linked(&self) -> bool {
        // ORDERING(linked): Acquire. Pairs with ORDERING(linked) in Link::try_link. No model: as there.
        self.linked.load(Ordering::Acquire) != 0
    }

    fn shout(&self) {
        for (lane, side) in self.lanes.iter().zip([Side::Producer, Side::Consumer]) {
            shout(&lane.part(side).gate);
        }
    }

    /// Reads what was rung, and says whether the other side is gone.
    pub(super) fn drain(&self) {
        if !self.linked() {
            return self.try_link();
        }
        for _ in 0..MOST_RINGS {
            match sys::receive(&self.socket, &mut [0]) {
                Ok(Received::Message { .. }) => {}
                Ok(Received::End) => return self.lose(),
                Ok(Received::Nothing) | Err(_) => return,
            }
        }
    }

    /// Says that this side is closed: to the other side, and to all who use it here.
    pub(super) fn close(&self) {
        self.cancel();
        // Relaxed: the word stands for nothing but itself.
        if self.owner != sys::process_token() || self.closed.swap(1, Ordering::Relaxed) != 0 {
            return;
        }
        for (lane, side) in self.lanes.iter().zip([Side::Producer, Side::Consumer]) {
            // ORDERING(state): Release. Pairs with ORDERING(state) in Life::state_of: who sees the end closed sees
            // everything that was published before.
            lane.part(side).gate.state.store(state::CLOSED, Ordering::Release);
        }
        self.shout();
        sys::shut_down(&self.socket);
    }

    /// Ends the watch over the connection: before the last hold on the link goes, see `Watcher::wake`.
    pub(super) fn unwatch(&self) {
        drop(self.watch.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// What the other side is, whether it closed before it went or not.
    pub(super) fn state(&self) -> Peer {
        if !self.linked() {
            self.try_link();
        }
        self.check();
        if self.is_gone() {
            Peer::Died
        } else if self.linked() {
            Peer::Alive
        } else {
            Peer::Vacant
        }
    }

    /// Whether the other side said that it closed.
    pub(super) fn peer_closed(&self) -> bool {
        // ORDERING(state): Acquire. Pairs with ORDERING(state) in Link::close.
        self.lanes[0].part(Side::Consumer).gate.state.load(Ordering::Acquire) == state::CLOSED
    }

    pub(super) fn credentials(&self) -> Result<sys::Credentials> {
        if let Some(found) = self.credentials.get() {
            return Ok(*found);
        }
        let found = sys::credentials(&self.socket)?;
        Ok(*self.credentials.get_or_init(|| found))
    }
}

impl queue::Link for Link {
    fn peer(&self) -> Peer {
        // For whoever waits it is the same.
        if self.is_cancelled() { Peer::Died } else { self.state() }
    }

    fn is_linked(&self) -> bool {
        self.linked()
    }

    fn nudge(&self) -> &Nudge {
        self.fate.nudge()
    }

    fn watch(&self) -> bool {
        if cfg!(loom) {
            // In a model, a thread of its own hears what the watcher would.
            return true;
        }
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.is_none()
            && let Some(me) = self.me.upgrade()
        {
            *watch = Watch::line(&(me as Arc<dyn Line>));
        }
        watch.is_some()
    }

    fn ring(&self) {
        // Full of rings that nobody took: then it rings already.
        let _ = sys::send(&self.socket, &[1], &[]);
    }
}

impl Line for Link {
    fn socket(&self) -> &sys::Socket {
        &self.socket
    }

    fn interest(&self) -> Interest {
        if self.linked() { Interest::End } else { Interest::Readable }
    }

    fn heard(&self) -> bool {
        if !self.linked() {
            self.try_link();
        }
        self.check();
        !self.is_gone()
    }
}

#[cfg(loom)]
impl super::Session {
    /// What the watcher of the connection does when the kernel tells it of something.
    #[doc(hidden)]
    pub fn hear(&self) -> bool {
        self.core.link.heard()
    }
}
