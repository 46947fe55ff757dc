//! A value that a consumer has taken.

use super::Consumer;
use crate::plain::Plain;
use crate::ring::mpmc::There;
use std::fmt;

/// A value in a consumer's hands, see [`Consumer::take`].
///
/// In a queue with [`Delivery::AtLeastOnce`](super::Delivery), the value is done with when
/// [`acknowledge`](Taken::acknowledge) is called. Dropped without that, it comes again, to whoever asks
/// next; and if this process dies with it, it comes again, too. In other queues it is done with already, and
/// neither makes a difference.
///
/// ```
/// let queue = ringlane::mpmc::Queue::<u64>::private(4)?;
/// queue.producer()?.push(7).unwrap();
/// let mut consumer = queue.consumer()?;
/// let delivery = consumer.take().unwrap();
/// assert_eq!((*delivery, delivery.is_again()), (7, false));
/// # Ok::<(), ringlane::Error>(())
/// ```
pub struct Taken<'a, T: Plain> {
    consumer: &'a mut Consumer<T>,
    value: T,
    /// What to acknowledge.
    taken: Option<There>,
    again: bool,
}

impl<'a, T: Plain> Taken<'a, T> {
    pub(super) fn new(consumer: &'a mut Consumer<T>, value: T, taken: Option<There>) -> Self {
        Taken { consumer, value, taken, again: taken.is_some_and(|taken| taken.again) }
    }

    /// Whether the value was in a consumer's hands before, who dropped it or died.
    ///
    /// ```
    /// let queue = ringlane::mpmc::Queue::<u64>::private(4)?;
    /// queue.producer()?.push(7).unwrap();
    /// assert!(!queue.consumer()?.take().unwrap().is_again());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn is_again(&self) -> bool {
        self.again
    }

    /// Says that the value is done with, and gives it.
    ///
    /// ```
    /// let queue = ringlane::mpmc::Queue::<u64>::private(4)?;
    /// queue.producer()?.push(7).unwrap();
    /// assert_eq!(queue.consumer()?.take().unwrap().acknowledge(), 7);
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn acknowledge(mut self) -> T {
        if let Some(taken) = self.taken.take() {
            self.consumer.release(taken);
        }
        self.value
    }
}

impl<T: Plain> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        if let Some(taken) = self.taken.take() {
            self.consumer.give_back(taken);
        }
    }
}

impl<T: Plain> std::ops::Deref for Taken<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Plain> fmt::Debug for Taken<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken")
            .field("taken", &self.taken)
            .field("again", &self.again)
            .finish_non_exhaustive()
    }
}
