//! Everybody who can connect to a broker: any question, cut or not, with a descriptor or not, asked in any order with what
//! the creator does. A model says what each question gets: memory comes once, with what was granted, and to nobody
//! else; and what the broker counts is what happened.

use super::bare::{bare, keep, send, settle, take, warm};
use super::input;
use arbitrary::Arbitrary;
use nix::sys::socket::{UnixAddr, connect};
use ringlane::handle::{
    Access, Broker, BrokerOptions, Counts, Handle, HandleOptions, Recipient, Revoke,
};
use ringlane::{ErrorKind, OpenOptions, SharedMemory};
use std::collections::HashSet;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

const PAGE: u64 = 4096;
const MOST_HANDLES: usize = 6;

#[derive(Arbitrary, Debug)]
enum Step {
    Create {
        memory: u8,
        access: u8,
        no_descriptor: bool,
        revocable: bool,
        seal: bool,
        /// In half pages.
        range: Option<(u8, u8)>,
        expired: bool,
        stranger: bool,
    },
    Connect,
    Ask {
        client: u8,
        handle: u8,
        want: u8,
        access: u8,
        changes: Vec<(u8, u8)>,
        len: Option<u8>,
        descriptor: bool,
    },
    HangUp(u8),
    Serve,
    Delete(u8),
    Revoke(u8, u8),
    RevokeAll(u8, bool),
    Guarantees(u8),
}

#[derive(PartialEq)]
enum State {
    Waiting,
    /// It was redeemed, and can be taken back.
    Given,
    Gone,
}

struct Made {
    handle: Handle,
    memory: (u64, u64),
    access: Access,
    no_descriptor: bool,
    revocable: bool,
    range: Option<(u64, u64)>,
    expired: bool,
    stranger: bool,
    state: State,
    leash: Option<OwnedFd>,
}

struct Client {
    socket: Option<OwnedFd>,
    said: Option<Vec<u8>>,
}

struct World {
    broker: Broker,
    memories: [SharedMemory; 2],
    made: Vec<Made>,
    clients: Vec<Client>,
    counts: Counts,
}

/// Who is asked for: this process, and another one.
fn recipients() -> [Recipient; 2] {
    [std::process::id(), 1].map(|pid| Recipient::process(pid).unwrap())
}

fn access_of(number: u8) -> Access {
    [Access::ReadOnly, Access::ReadWrite, Access::WriteOnly][usize::from(number % 3)]
}

#[allow(clippy::unnecessary_cast, reason = "on 32 bits they are shorter")]
fn identity(handle: impl AsFd) -> (u64, u64) {
    let stat = nix::sys::stat::fstat(handle).unwrap();
    (stat.st_dev as u64, stat.st_ino as u64)
}

pub(crate) fn run(bytes: &[u8]) {
    let Some(steps) = input::<Vec<Step>>(bytes) else { return };
    warm();
    let mut options = BrokerOptions::new();
    // Nobody is turned away for being slow.
    options.polled(true).most_handles(MOST_HANDLES).patience(Duration::MAX);
    // Whether there is room is asked of many files.
    let memory = |loose| {
        let mut options = OpenOptions::new();
        options.read(true).write(true).allow_shrink(loose).size(4 * PAGE);
        options.reserve(false).anonymous().unwrap()
    };
    let mut world = World {
        broker: options.start().unwrap(),
        memories: [memory(false), memory(true)],
        made: Vec::new(),
        clients: Vec::new(),
        counts: Counts::default(),
    };
    let recipients = recipients();
    for step in steps.into_iter().take(64) {
        world.step(step, &recipients);
        world.check();
    }
    world.serve();
    let done = world.broker.revoke_all(Revoke::Cooperative).unwrap();
    let of = |state| world.made.iter().filter(|made| made.state == state).count();
    assert_eq!((done.deleted, done.taken_back), (of(State::Waiting), of(State::Given)));
    let World { broker, memories, made, clients, .. } = world;
    drop((broker, memories));
    // Who was not heard is told that nobody is there.
    for socket in clients.into_iter().filter_map(|client| client.socket) {
        assert_eq!(take(&socket).map(|(bytes, _)| bytes.len()), Some(0));
    }
    drop((made, recipients));
    static OPEN: AtomicUsize = AtomicUsize::new(usize::MAX);
    settle(&OPEN);
}

impl World {
    fn step(&mut self, step: Step, recipients: &[Recipient; 2]) {
        let pick = |number: u8, of: usize| usize::from(number) % of.max(1);
        match step {
            Step::Create {
                memory,
                access,
                no_descriptor,
                revocable,
                seal,
                range,
                expired,
                stranger,
            } => {
                let access = access_of(access);
                let mut options = HandleOptions::new();
                options.no_descriptor(no_descriptor).revocable(revocable).seal_writes(seal);
                let range = range.map(|(from, to)| (from % 10, to % 10));
                let range = range.map(|(from, to)| {
                    let (from, to) = (u64::from(from) * PAGE / 2, u64::from(to) * PAGE / 2);
                    options.range(from..to);
                    (from, to.wrapping_sub(from))
                });
                if expired {
                    options.expires_in(Duration::ZERO);
                }
                let memory = &self.memories[pick(memory, 2)];
                let recipient = &recipients[usize::from(stranger)];
                let held = self.held();
                match self.broker.create(memory, recipient, access, &options) {
                    Ok(handle) => {
                        assert!(held < MOST_HANDLES);
                        if let Some((from, len)) = range {
                            assert!(from % PAGE == 0 && len % PAGE == 0 && len != 0);
                            assert!(from + len <= 4 * PAGE);
                        }
                        let (memory, state, leash) = (identity(memory), State::Waiting, None);
                        let made = Made {
                            handle,
                            memory,
                            access,
                            no_descriptor,
                            revocable,
                            range,
                            expired,
                            stranger,
                            state,
                            leash,
                        };
                        self.made.push(made);
                    }
                    Err(error) if error.kind() == ErrorKind::LimitReached => {
                        assert_eq!(held, MOST_HANDLES);
                    }
                    Err(_) => {}
                }
            }
            Step::Connect => {
                if self.clients.len() < 16 {
                    let socket = bare();
                    let address = UnixAddr::new(self.broker.path()).unwrap();
                    connect(socket.as_raw_fd(), &address).unwrap();
                    self.clients.push(Client { socket: Some(socket), said: None });
                }
            }
            Step::Ask { client, handle, want, access, changes, len, descriptor } => {
                let client = pick(client, self.clients.len());
                let made = self.made.get(pick(handle, self.made.len()));
                let Some(client) = self.clients.get_mut(client) else { return };
                let Some(socket) = &client.socket else { return };
                let mut bytes = b"ringask\x01".to_vec();
                bytes.extend(
                    [u32::from(want % 4), u32::from(access % 4)].map(u32::to_ne_bytes).concat(),
                );
                bytes.extend(
                    made.map_or(vec![7; 16], |made| made.handle.to_bytes()[8..24].to_vec()),
                );
                bytes.resize(48, 0);
                for (at, change) in changes {
                    bytes[usize::from(at) % 48] ^= change;
                }
                bytes.resize(len.map_or(48, |len| usize::from(len % 100)), 0);
                let mut null = Vec::new();
                if descriptor {
                    keep(&mut null, std::fs::File::open("/dev/null").unwrap().into());
                }
                let numbers: Vec<_> = null.iter().map(AsRawFd::as_raw_fd).collect();
                if send(socket, &bytes, &numbers) && client.said.is_none() {
                    client.said = Some(bytes);
                }
            }
            Step::HangUp(client) => {
                let client = pick(client, self.clients.len());
                self.clients
                    .get_mut(client)
                    .into_iter()
                    .for_each(|client| drop(client.socket.take()));
            }
            Step::Serve => self.serve(),
            Step::Delete(handle) => {
                let Some(made) = self.made.get_mut(usize::from(handle)) else { return };
                let deleted = self.broker.delete(made.handle.id());
                assert_eq!(deleted.is_ok(), made.state == State::Waiting);
                if deleted.is_ok() {
                    made.state = State::Gone;
                }
            }
            Step::Revoke(handle, how) => {
                let Some(made) = self.made.get_mut(usize::from(handle)) else { return };
                match self.broker.revoke_handle(made.handle.id(), how_of(how)) {
                    Ok(done) => {
                        let all = (done.deleted, done.taken_back);
                        let waiting = made.state == State::Waiting;
                        assert_eq!(all, if waiting { (1, 0) } else { (0, 1) });
                        made.over();
                    }
                    Err(error) if error.kind() == ErrorKind::InvalidHandle => {
                        assert!(made.state == State::Gone);
                    }
                    Err(error) => refused(how, error.kind()),
                }
            }
            Step::RevokeAll(how, one) => {
                let done = match one {
                    true => self.broker.revoke(&recipients[0], how_of(how)),
                    false => self.broker.revoke_all(how_of(how)),
                };
                match done {
                    Ok(done) => {
                        let mut all = (0, 0);
                        for made in self.made.iter_mut().filter(|made| !(one && made.stranger)) {
                            all.0 += usize::from(made.state == State::Waiting);
                            all.1 += usize::from(made.state == State::Given);
                            made.over();
                        }
                        assert_eq!((done.deleted, done.taken_back), all);
                    }
                    Err(error) => refused(how, error.kind()),
                }
            }
            Step::Guarantees(handle) => {
                let Some(made) = self.made.get(usize::from(handle)) else { return };
                let known = self.broker.guarantees(made.handle.id()).is_ok();
                assert_eq!(known, made.state != State::Gone);
            }
        }
    }

    fn held(&self) -> usize {
        self.made.iter().filter(|made| made.state != State::Gone).count()
    }

    fn check(&self) {
        let there = |state| self.made.iter().filter(|made| made.state == state).count();
        let held = self.made.iter().filter(|made| made.state != State::Gone);
        let recipients: HashSet<bool> = held.map(|made| made.stranger).collect();
        let mut counts = self.counts;
        (counts.waiting, counts.revocable) = (there(State::Waiting), there(State::Given));
        counts.recipients = recipients.len();
        assert_eq!(self.broker.counts(), counts);
    }

    /// Everybody is heard in the order in which they came.
    fn serve(&mut self) {
        assert!(self.broker.try_serve().is_ok());
        for client in std::mem::take(&mut self.clients) {
            if client.said.is_none() && client.socket.is_some() {
                self.clients.push(client);
                continue;
            }
            let wanted = client.said.as_deref().and_then(question);
            let answer = wanted.map(|(id, want, access)| self.answer(id, want, access));
            if answer.is_none() {
                self.counts.turned_away += 1;
            }
            let Some(socket) = client.socket else {
                if let Some(Some((0, Some(index)))) = answer {
                    self.counts.undelivered += 1;
                    self.made[index].state = State::Gone;
                }
                continue;
            };
            let (bytes, handles) = take(&socket).expect("the broker said nothing");
            let Some((outcome, memory)) = answer.flatten() else {
                assert!(bytes.is_empty() && handles.is_empty());
                continue;
            };
            assert_eq!((bytes.len(), &bytes[..8]), (48, &b"ringans\x01"[..]));
            let number = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
            assert_eq!(number(8), outcome);
            match memory {
                Some(index) => self.made[index].check_given(&bytes, handles),
                None => assert!(handles.is_empty()),
            }
        }
        for made in &mut self.made {
            if made.expired && made.state == State::Waiting {
                made.state = State::Gone;
                self.counts.expired += 1;
            }
        }
    }

    /// How a question comes out, and which memory comes.
    fn answer(&mut self, id: &[u8], want: u32, access: u32) -> Option<(u32, Option<usize>)> {
        let index = self.made.iter().position(|made| made.handle.to_bytes()[8..24] == *id);
        let usable = index.filter(|index| {
            let made = &self.made[*index];
            made.state == State::Waiting && !made.expired && !made.stranger
        });
        let Some(index) = usable else {
            self.counts.refused += 1;
            return Some((1, None));
        };
        let made = &mut self.made[index];
        made.state = State::Gone;
        if want == 3 {
            return Some((0, None));
        }
        let granted = made
            .access
            .allows([Access::ReadOnly, Access::ReadWrite, Access::WriteOnly][access as usize]);
        if !granted || want == 1 && made.no_descriptor {
            self.counts.denied += 1;
            return Some((2, None));
        }
        self.counts.redeemed += 1;
        if made.revocable {
            made.state = State::Given;
        }
        Some((0, Some(index)))
    }
}

impl Made {
    /// What came is what was granted, and no more.
    fn check_given(&mut self, bytes: &[u8], mut handles: Vec<OwnedFd>) {
        assert_eq!(handles.len(), 1 + usize::from(self.revocable));
        let flags = u32::from(self.range.is_some()) | u32::from(self.revocable) << 1;
        assert_eq!(bytes[12..16], flags.to_ne_bytes());
        let (from, len) = self.range.unwrap_or_default();
        assert_eq!(bytes[16..32], [from, len].map(u64::to_ne_bytes).concat());
        if self.revocable {
            self.leash = handles.pop();
            assert_eq!(self.held_by_leash(), 1);
        }
        assert_eq!(identity(&handles[0]), self.memory);
        let file = std::fs::File::from(handles.remove(0));
        if self.access == Access::ReadOnly {
            assert!(file.write_at(b"!", 0).is_err());
        }
    }

    fn held_by_leash(&self) -> u32 {
        let leash = self.leash.as_ref().unwrap().try_clone().unwrap();
        let mut word = [0; 4];
        std::fs::File::from(leash).read_exact_at(&mut word, 0).unwrap();
        u32::from_ne_bytes(word)
    }

    fn over(&mut self) {
        if self.state == State::Given && self.leash.is_some() {
            assert_eq!(self.held_by_leash(), 0);
        }
        self.state = State::Gone;
    }
}

fn how_of(how: u8) -> Revoke {
    [Revoke::Cooperative, Revoke::Wipe, Revoke::Fault][usize::from(how % 3)]
}

fn refused(how: u8, kind: ErrorKind) {
    assert!(how_of(how) != Revoke::Cooperative, "{kind:?}");
    assert!(matches!(kind, ErrorKind::Unsupported | ErrorKind::InUse), "{kind:?}");
}

/// What these bytes ask, as the format has it.
fn question(bytes: &[u8]) -> Option<(&[u8], u32, u32)> {
    let number = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
    let good = bytes.len() == 48 && bytes[..8] == *b"ringask\x01";
    (good && (1..=3).contains(&number(8)) && number(12) <= 2)
        .then(|| (&bytes[16..32], number(8), number(12)))
}
