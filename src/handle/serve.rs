//! The broker's socket: bounded work for whoever connects, and one answer for each question.

use super::broker::Inner;
use super::table::Taken;
use super::wire::{Answer, Outcome, Question, bytes_of};
use crate::error::Result;
use crate::sys::{self, Interest, Received};
use std::time::{Duration, Instant};

/// So many may be connected and have said nothing yet. One that comes then takes the place of the one that has taken
/// longest.
const MOST_CLIENTS: usize = 64;

/// So many events are looked at in one go.
const MOST_EVENTS: usize = 64;

/// What the poller calls the sockets, and the call to look again. Processes have other numbers.
pub(super) const SOCKETS: u64 = 0;
pub(super) const LOOK: u64 = u64::MAX;

/// How long a broker's thread waits when it has no descriptor for who connects.
const PAUSE: Duration = Duration::from_millis(10);

/// Who has connected, and said nothing yet; or was given something, where that goes again with the connection.
#[derive(Debug)]
pub(super) struct Client {
    socket: sys::Socket,
    /// Nothing for one that may take as long as it likes.
    until: Option<Instant>,
    answered: bool,
}

impl Client {
    /// A forked child may have a copy of the socket: it is told, not just closed.
    pub(super) fn shut_down(&self) {
        sys::shut_down(&self.socket);
    }
}

impl Inner {
    /// Does what can be done now, and says when there is something to do at the latest.
    pub(super) fn pass(&self, clients: &mut Vec<Client>) -> Result<Option<Duration>> {
        for _ in 0..MOST_EVENTS {
            match self.poller.next(Some(Duration::ZERO))? {
                None => break,
                Some(LOOK) => sys::lower(&self.look),
                Some(SOCKETS) => self.hear_all(clients)?,
                Some(token) => self.table().reap(token, &self.poller),
            }
        }
        let now = Instant::now();
        // Those who connected first come first.
        let late = clients
            .iter()
            .take_while(|client| client.until.is_some_and(|until| until <= now))
            .count();
        self.turn_away(clients, late);
        let next = clients.first().and_then(|client| client.until);
        let next = next.map(|until| until.saturating_duration_since(now));
        let due = self.table().expire(now, &self.poller);
        Ok(next.into_iter().chain(due).min())
    }

    fn hear_all(&self, clients: &mut Vec<Client>) -> Result<()> {
        // As many as may be connected, and no more before those are heard.
        let mut all = false;
        for _ in 0..MOST_CLIENTS {
            let socket = match sys::accept(&self.listener) {
                Ok(Some(socket)) => socket,
                Ok(None) => {
                    all = true;
                    break;
                }
                // No descriptor is left: somebody has to go, and if there is nobody, time has to.
                Err(error) if clients.is_empty() => {
                    self.poller.leave_look();
                    return Err(error);
                }
                Err(_) => {
                    self.turn_away(clients, 1);
                    break;
                }
            };
            let known = sys::hear_only(&socket)
                .and_then(|()| self.poller.add(&socket, Interest::Readable, false, SOCKETS));
            if known.is_ok() {
                let until = Instant::now().checked_add(self.options.patience);
                clients.push(Client { socket, until, answered: false });
            }
        }
        if !all {
            self.poller.leave_look();
        }
        let mut index = 0;
        while let Some(client) = clients.get_mut(index) {
            if self.hear(client) {
                self.hang_up(&clients.remove(index));
            } else {
                index += 1;
            }
        }
        let surplus = clients.len().saturating_sub(MOST_CLIENTS);
        self.turn_away(clients, surplus);
        Ok(())
    }

    /// Hears a client out. False if it is to be heard again: it has said nothing so far, or has what it was given only
    /// while it is connected, and is about to take it.
    fn hear(&self, client: &mut Client) -> bool {
        let mut bytes = [0; size_of::<Question>() + 1];
        let question = match sys::receive(&client.socket, &mut bytes) {
            Ok(Received::Nothing) => return false,
            _ if client.answered => return true,
            Ok(Received::Message { bytes: len, cut: false, sender, handles }) => {
                // What it sends along is nobody's.
                drop(handles);
                Question::parse(&bytes[..len]).map(|question| (question, sender))
            }
            _ => None,
        };
        match question {
            Some(((id, want), sender)) => {
                client.answered = self.answer(&client.socket, (id, want), sender)
                    && sys::LENDS
                    && self.poller.again(&client.socket, Interest::Readable, SOCKETS).is_ok();
            }
            None => self.table().counts.turned_away += 1,
        }
        !client.answered
    }

    /// Says whether it has given something.
    fn answer(
        &self,
        socket: &sys::Socket,
        (id, want): (super::HandleId, super::wire::Want),
        sender: Option<sys::Credentials>,
    ) -> bool {
        let is_caller = |recipient: &super::Recipient| recipient.is_at(socket, sender);
        let taken = self.table().take((id, want), is_caller, &self.poller);
        // From here on nobody else gets it.
        let sent = match &taken {
            Taken::Nothing(outcome) => {
                let _ = sys::send(socket, bytes_of(&Answer::new(*outcome, None, false)), &[]);
                return false;
            }
            Taken::Memory { object, leash, part, to } => {
                let answer = Answer::new(Outcome::Done, *part, leash.is_some());
                let handles: Vec<&sys::Handle> =
                    std::iter::once(&object.handle).chain(leash.as_ref()).collect();
                sys::give(socket, to.process_handle(), bytes_of(&answer), &handles)
            }
        };
        let sent = matches!(sent, Ok(true));
        if !sent {
            self.table().undelivered(id, &self.poller);
        }
        sent
    }

    fn turn_away(&self, clients: &mut Vec<Client>, first: usize) {
        if first != 0 {
            let silent = clients[..first].iter().filter(|client| !client.answered).count();
            self.table().counts.turned_away += silent as u64;
            clients.drain(..first).for_each(|client| self.hang_up(&client));
        }
    }

    fn hang_up(&self, client: &Client) {
        self.poller.remove(&client.socket);
        client.shut_down();
    }

    /// What a broker's thread does.
    pub(super) fn run(&self) {
        sys::block_signals();
        let mut clients = self.clients();
        loop {
            let passed = self.pass(&mut clients);
            // After the pass, which may have cleared the flag that said so.
            if self.is_stopped() {
                return;
            }
            match passed.and_then(|next| self.poller.wait(next)) {
                Ok(()) => {}
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }
}
