//! What the models need of the inside: ends of a session without its socket, of which a thread of the model says that the
//! other side hung up; and the word by which memory is taken back.

use super::End;
use super::life::{Fate, Link};
use super::record::{Consumer, Options, Producer};
use crate::layout::{Peer, Side};
use crate::sync::AtomicU32;
use crate::wait::Nudge;
use std::sync::Arc;

/// What a session's end is told by other threads of its process.
#[derive(Clone, Debug)]
pub struct Control(Arc<Fate>);

impl Control {
    /// The session is cancelled.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// The kernel says that the other side is gone.
    pub fn hang_up(&self) {
        self.0.lose();
    }
}

impl Link for Fate {
    fn peer(&self) -> Peer {
        if self.is_cancelled() || self.is_gone() { Peer::Died } else { Peer::Alive }
    }

    fn is_linked(&self) -> bool {
        true
    }

    fn nudge(&self) -> &Nudge {
        Fate::nudge(self)
    }

    fn watch(&self) -> bool {
        true
    }

    fn ring(&self) {}
}

/// Both ends of one ring of a session, and what controls the consumer's.
pub fn linked(options: &Options) -> (Producer, Consumer, Control) {
    let (home, align) = options.home().expect("a model has memory");
    let end = |side| {
        let fate = Arc::new(Fate::new());
        (End::linked(Arc::clone(&fate) as Arc<dyn Link>, Arc::clone(&home), side), Control(fate))
    };
    let ((out, _), (back, control)) = (end(Side::Producer), end(Side::Consumer));
    let producer = Producer::of(out, Arc::clone(&home), align).expect("a new ring");
    let consumer = Consumer::of(back, home, align).expect("a new ring");
    (producer, consumer, control)
}

/// Takes memory back that this word stands for.
pub fn cut(word: &AtomicU32) {
    crate::shm::cut(word);
}

/// Does something with such memory, and says whether it had it all the while.
pub fn hold(word: &AtomicU32, work: impl FnOnce()) -> bool {
    crate::shm::hold(word, work)
}
