//! The handles of a broker: taken by one caller, once, under a lock, before anything is sent.

use super::grip::{Grip, Object};
use super::wire::{Outcome, Want};
use super::{Access, Counts, HandleId, Recipient};
use crate::error::{Error, ErrorKind, Result};
use crate::sys;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// What is known of a handle.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) recipient: (u32, u64),
    pub(super) object: Arc<Object>,
    pub(super) access: Access,
    pub(super) no_descriptor: bool,
    /// The first byte and the number of bytes, if they are not all.
    pub(super) part: Option<(u64, u64)>,
    pub(super) until: Option<Instant>,
    pub(super) grip: Option<Grip>,
    /// It was redeemed, and is here because it can be taken back.
    pub(super) used: bool,
}

impl Entry {
    /// Which object's bytes these are, the first, and the first that is none of them any more.
    pub(super) fn span(&self) -> ((u64, u64), u64, u64) {
        let sys::Identity { device, object } = self.object.identity;
        let (from, to) = self.part.map_or((0, u64::MAX), |(from, len)| (from, from + len));
        ((device, object), from, to)
    }
}

#[derive(Debug)]
struct Process {
    recipient: Recipient,
    token: u64,
    watch: sys::Watch,
    handles: HashSet<HandleId>,
}

/// What a caller gets.
pub(super) enum Taken {
    Nothing(Outcome),
    Memory {
        object: Arc<Object>,
        leash: Option<sys::Handle>,
        part: Option<(u64, u64)>,
        to: Recipient,
    },
}

#[derive(Debug, Default)]
pub(super) struct Table {
    entries: HashMap<HandleId, Entry>,
    processes: HashMap<(u32, u64), Process>,
    tokens: HashMap<u64, (u32, u64)>,
    /// By device, number, and whether it can be written to.
    objects: HashMap<(u64, u64, bool), Weak<Object>>,
    due: BTreeSet<(Instant, HandleId)>,
    next_token: u64,
    pub(super) counts: Counts,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, id: HandleId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (HandleId, &Entry)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    pub(super) fn of(&self, recipient: &Recipient) -> Vec<HandleId> {
        let process = self.processes.get(&recipient.key());
        process.map_or_else(Vec::new, |process| process.handles.iter().copied().collect())
    }

    pub(super) fn counts(&self) -> Counts {
        let used = self.entries.values().filter(|entry| entry.used).count();
        let (waiting, recipients) = (self.entries.len() - used, self.processes.len());
        Counts { waiting, revocable: used, recipients, ..self.counts }
    }

    /// The broker's own descriptor of this object, made by `open` if it has none.
    pub(super) fn object(
        &mut self,
        identity: sys::Identity,
        write: bool,
        open: impl FnOnce() -> Result<sys::Handle>,
    ) -> Result<Arc<Object>> {
        let key = (identity.device, identity.object, write);
        if let Some(object) = self.objects.get(&key).and_then(Weak::upgrade) {
            return Ok(object);
        }
        // What is gone is forgotten when it makes half of them.
        if self.objects.len() > 2 * self.entries.len() + 16 {
            self.objects.retain(|_, object| object.strong_count() != 0);
        }
        let object = Arc::new(Object { handle: open()?, identity });
        self.objects.insert(key, Arc::downgrade(&object));
        Ok(object)
    }

    pub(super) fn insert(
        &mut self,
        id: HandleId,
        entry: Entry,
        recipient: &Recipient,
        poller: &sys::Poller,
    ) -> Result<()> {
        let key = recipient.key();
        // Before Linux 6.9 another process with the same number looks the same; it is gone then.
        let stale = self.processes.get(&key).filter(|process| process.recipient.has_ended());
        if let Some(token) = stale.map(|process| process.token) {
            self.reap(token, poller);
        }
        if !self.processes.contains_key(&key) {
            self.next_token += 1;
            let token = self.next_token;
            let watch = poller.watch_end(recipient.process_handle(), token)?;
            let (recipient, handles) = (recipient.clone(), HashSet::new());
            self.processes.insert(key, Process { recipient, token, watch, handles });
            self.tokens.insert(token, key);
        }
        if let Some(process) = self.processes.get_mut(&key) {
            process.handles.insert(id);
        }
        if let Some(until) = entry.until {
            self.due.insert((until, id));
        }
        self.entries.insert(id, entry);
        Ok(())
    }

    pub(super) fn remove(&mut self, id: HandleId, poller: &sys::Poller) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        if let Some(until) = entry.until {
            self.due.remove(&(until, id));
        }
        if let Some(process) = self.processes.get_mut(&entry.recipient) {
            process.handles.remove(&id);
            if process.handles.is_empty() {
                let (token, key) = (process.token, entry.recipient);
                self.forget(token, key, poller);
            }
        }
        if self.entries.is_empty() {
            // So that nothing is left of so many.
            self.entries.shrink_to(64);
            self.objects.retain(|_, object| object.strong_count() > 1);
            self.objects.shrink_to(64);
        }
        Some(entry)
    }

    fn forget(&mut self, token: u64, key: (u32, u64), poller: &sys::Poller) {
        self.tokens.remove(&token);
        if let Some(Process { recipient, watch, .. }) = self.processes.remove(&key) {
            poller.forget_end(recipient.process_handle(), watch);
        }
    }

    /// A process has ended: what was made for it goes.
    pub(super) fn reap(&mut self, token: u64, poller: &sys::Poller) {
        let Some(key) = self.tokens.get(&token).copied() else { return };
        let Some(process) = self.processes.get(&key) else { return };
        if !process.recipient.has_ended() {
            return;
        }
        let handles: Vec<HandleId> = process.handles.iter().copied().collect();
        for id in handles {
            if self.remove(id, poller).is_some_and(|entry| !entry.used) {
                self.counts.orphaned += 1;
            }
        }
    }

    /// What has not been redeemed in its time goes. Says how long it is until the next one's.
    pub(super) fn expire(&mut self, now: Instant, poller: &sys::Poller) -> Option<Duration> {
        while let Some((until, id)) = self.due.first().copied() {
            if until > now {
                return Some(until - now);
            }
            self.remove(id, poller);
            self.counts.expired += 1;
        }
        None
    }

    /// Takes a handle for a caller, whom `is_caller` tells from others. Whoever is not its recipient gets what who asks
    /// for an unknown one gets, and changes nothing.
    pub(super) fn take(
        &mut self,
        (id, want): (HandleId, Want),
        is_caller: impl FnOnce(&Recipient) -> bool,
        poller: &sys::Poller,
    ) -> Taken {
        let Some(entry) = self.entries.get_mut(&id) else { return self.refuse() };
        let recipient = self.processes.get(&entry.recipient).map(|process| &process.recipient);
        let expired = entry.until.is_some_and(|until| until <= Instant::now());
        let Some(recipient) = recipient.filter(|of| !entry.used && !expired && is_caller(of))
        else {
            return self.refuse();
        };
        let granted = match want {
            Want::Open(access) => !entry.no_descriptor && entry.access.allows(access),
            Want::Map(access) => entry.access.allows(access),
            Want::Delete => {
                self.remove(id, poller);
                return Taken::Nothing(Outcome::Done);
            }
        };
        if !granted {
            self.remove(id, poller);
            self.counts.denied += 1;
            return Taken::Nothing(Outcome::Denied);
        }
        self.counts.redeemed += 1;
        let to = recipient.clone();
        let (object, part) = (Arc::clone(&entry.object), entry.part);
        let leash = entry.grip.as_mut().and_then(|grip| grip.end.take());
        if entry.grip.is_some() {
            // It stays, to be taken back, for as long as the recipient lives.
            entry.used = true;
            if let Some(until) = entry.until.take() {
                self.due.remove(&(until, id));
            }
        } else {
            self.remove(id, poller);
        }
        Taken::Memory { object, leash, part, to }
    }

    fn refuse(&mut self) -> Taken {
        self.counts.refused += 1;
        Taken::Nothing(Outcome::Invalid)
    }

    /// What was taken did not arrive.
    pub(super) fn undelivered(&mut self, id: HandleId, poller: &sys::Poller) {
        self.counts.undelivered += 1;
        self.remove(id, poller);
    }
}

/// What a handle of which nothing is known says.
pub(super) fn unknown() -> Error {
    Error::new(ErrorKind::InvalidHandle, "there is no such handle")
}
