//! The broker's socket: bounded work for whoever connects, and one answer for each question.

use super::broker::{Inner, hear_only};
use super::table::Taken;
use super::wire::{Answer, Outcome, Question, bytes_of};
use crate::error::Result;
use crate::sys::{self, Interest, Received};
use std::os::fd::AsFd;
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

/// Who has connected, and said nothing yet.
#[derive(Debug)]
pub(super) struct Client {
    socket: sys::Handle,
    /// Nothing for one that may take as long as it likes.
    until: Option<Instant>,
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
        for _ in 0..MOST_CLIENTS {
            let socket = match sys::accept(&self.listener) {
                Ok(Some(socket)) => socket,
                Ok(None) => break,
                // No descriptor is left: somebody has to go, and if there is nobody, time has to.
                Err(error) if clients.is_empty() => return Err(error),
                Err(_) => {
                    self.turn_away(clients, 1);
                    break;
                }
            };
            let known = hear_only(&socket)
                .and_then(|()| self.poller.add(socket.as_fd(), Interest::Readable, false, SOCKETS));
            if known.is_ok() {
                let until = Instant::now().checked_add(self.options.patience);
                clients.push(Client { socket, until });
            }
        }
        let mut index = 0;
        while let Some(client) = clients.get(index) {
            if self.hear(&client.socket) {
                self.hang_up(&clients.remove(index));
            } else {
                index += 1;
            }
        }
        let surplus = clients.len().saturating_sub(MOST_CLIENTS);
        self.turn_away(clients, surplus);
        Ok(())
    }

    /// Hears a client out. False if it has said nothing so far.
    fn hear(&self, socket: &sys::Handle) -> bool {
        let mut bytes = [0; size_of::<Question>() + 1];
        let question = match sys::receive(socket, &mut bytes) {
            Ok(Received::Nothing) => return false,
            Ok(Received::Message { bytes: len, cut: false, sender: Some(sender), handles }) => {
                // What it sends along is nobody's.
                drop(handles);
                Question::parse(&bytes[..len]).map(|question| (question, sender))
            }
            _ => None,
        };
        match question {
            Some(((id, want), sender)) => self.answer(socket, (id, want), sender),
            None => self.table().counts.turned_away += 1,
        }
        true
    }

    fn answer(
        &self,
        socket: &sys::Handle,
        (id, want): (super::HandleId, super::wire::Want),
        sender: sys::Credentials,
    ) {
        let is_caller = |recipient: &super::Recipient| recipient.is_at(socket, sender);
        let taken = self.table().take((id, want), is_caller, &self.poller);
        // From here on nobody else gets it.
        let sent = match &taken {
            Taken::Nothing(outcome) => {
                let _ = sys::send(socket, bytes_of(&Answer::new(*outcome, None, false)), &[]);
                return;
            }
            Taken::Memory { object, leash, part } => {
                let answer = Answer::new(Outcome::Done, *part, leash.is_some());
                let handles: Vec<&sys::Handle> =
                    std::iter::once(&object.handle).chain(leash.as_ref()).collect();
                sys::send(socket, bytes_of(&answer), &handles)
            }
        };
        if !matches!(sent, Ok(true)) {
            self.table().undelivered(id, &self.poller);
        }
    }

    fn turn_away(&self, clients: &mut Vec<Client>, first: usize) {
        if first != 0 {
            self.table().counts.turned_away += first as u64;
            clients.drain(..first).for_each(|client| self.hang_up(&client));
        }
    }

    fn hang_up(&self, client: &Client) {
        self.poller.remove(client.socket.as_fd());
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
            match passed.and_then(|next| self.poller.next(next)) {
                Ok(_) => {}
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }
}
