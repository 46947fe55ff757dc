//! A lane whose messages are three values each: reserved, written and committed together, read and released
//! together.

use super::lane::{FILLER, Lane, Numbered, Outcome, PopBy, PushBy, Stop};
use ringlane::spsc::{Consumer, Layout, Options, Producer, Queue};
use ringlane::{Name, Peer, Wait};

/// Values of a message.
const EACH: u64 = 3;

pub(crate) struct Spans<T> {
    label: &'static str,
    options: Options<T>,
    capacity: usize,
    layout: Layout,
}

/// A consumer, and the first values of a message of which more may come.
pub(crate) struct Rx<T> {
    consumer: Consumer<T>,
    begun: Vec<T>,
    /// Messages of which no more came: a producer that died within a commit left one.
    stumps: u32,
}

impl<T: Numbered> Spans<T> {
    pub(crate) fn new(label: &'static str, layout: Layout, capacity: usize, start: u64) -> Self {
        let options = Queue::options().capacity(capacity).start(start).layout(layout).clone();
        Spans { label, options, capacity, layout }
    }

    /// Adds values to what has begun. All of it once it is whole.
    fn gather(&self, rx: &mut Rx<T>, values: Vec<T>) -> Outcome<Option<Vec<T>>> {
        let broken = |text: String| Err(Stop::Broken(text));
        if self.layout == Layout::Dense && values.len() as u64 != EACH {
            return broken(format!("{} values of a commit", values.len()));
        }
        for value in values {
            let Some(number) = value.number() else { return broken("a torn value".into()) };
            let place = number % EACH;
            if place == 0 && !rx.begun.is_empty() {
                rx.begun.clear();
                rx.stumps += 1;
                if rx.stumps > 1 {
                    return broken("a second message without its end".into());
                }
            }
            let before = rx.begun.last().and_then(Numbered::number);
            if place != rx.begun.len() as u64 || before.is_some_and(|before| before + 1 != number) {
                return broken(format!("value {number} after {before:?}"));
            }
            rx.begun.push(value);
        }
        let whole = rx.begun.len() as u64 == EACH;
        Ok(whole.then(|| std::mem::take(&mut rx.begun)))
    }
}

impl<T: Numbered + PartialEq> Lane for Spans<T> {
    type Queue = Queue<T>;
    type Tx = Producer<T>;
    type Rx = Rx<T>;
    type Message = Vec<T>;

    fn label(&self) -> String {
        self.label.into()
    }

    fn create(&self, name: &Name) -> ringlane::Result<Queue<T>> {
        self.options.create(name)
    }

    fn open(&self, name: &Name) -> ringlane::Result<Queue<T>> {
        self.options.open(name)
    }

    fn tx(&self, queue: &Queue<T>) -> ringlane::Result<Producer<T>> {
        queue.producer()
    }

    fn rx(&self, queue: &Queue<T>) -> ringlane::Result<Rx<T>> {
        Ok(Rx { consumer: queue.consumer()?, begun: vec![], stumps: 0 })
    }

    fn tx_peer(&self, tx: &Producer<T>) -> Peer {
        tx.peer()
    }

    fn rx_peer(&self, rx: &Rx<T>) -> Peer {
        rx.consumer.peer()
    }

    fn set_tx_wait(&self, tx: &mut Producer<T>, wait: Wait) {
        tx.set_wait(wait);
    }

    fn set_rx_wait(&self, rx: &mut Rx<T>, wait: Wait) {
        rx.consumer.set_wait(wait);
    }

    #[inline(always)]
    fn push(&self, by: PushBy, tx: &mut Producer<T>, message: &Vec<T>) -> Outcome<()> {
        let mut room = match by {
            PushBy::Wait(timeout) => tx.reserve_timeout(message.len(), timeout)?,
            PushBy::Shorten => tx.try_reserve(message.len() + 2)?,
            _ => tx.try_reserve(message.len())?,
        };
        match by {
            PushBy::Reserve => {
                room.set(2, message[2]);
                room.set(1, message[1]);
                room.set(0, message[0]);
            }
            PushBy::Wait(_) => room.copy_from_slice(message),
            _ => assert_eq!(room.fill(message.iter().copied()), message.len()),
        }
        if by == PushBy::Abort {
            return Err(Stop::Full);
        }
        room.commit_len(message.len());
        Ok(())
    }

    #[inline(always)]
    fn pop(&self, by: PopBy, rx: &mut Rx<T>) -> Outcome<Vec<T>> {
        loop {
            let most = EACH as usize - rx.begun.len();
            let span = match by {
                PopBy::Wait(timeout) => rx.consumer.read_timeout(most, timeout)?,
                _ => rx.consumer.try_read(most)?,
            };
            let mut values: Vec<T> = span.iter().collect();
            if by != PopBy::Read {
                values.fill(T::of(FILLER));
                span.copy_to_slice(&mut values);
            }
            span.release();
            if let Some(message) = self.gather(rx, values)? {
                return Ok(message);
            }
        }
    }

    fn message(&self, number: u64) -> Vec<T> {
        (0..EACH).map(|part| T::of(EACH * number + part)).collect()
    }

    fn number(&self, message: &Vec<T>) -> Option<u64> {
        let number = message.first()?.number()? / EACH;
        (*message == self.message(number)).then_some(number)
    }

    fn place(&self, tx: &mut Producer<T>, rx: &mut Rx<T>, left: usize) -> Outcome<()> {
        for _ in 0..2 * self.capacity - left {
            tx.try_push(T::of(FILLER))?;
            rx.consumer.try_pop()?;
        }
        Ok(())
    }
}
