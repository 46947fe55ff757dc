//! The only place that calls the operating system: flat functions, one file a platform.
//!
//! Every platform file has this list, and each function this contract. What connections are made of macOS has not, and so
//! neither sessions nor handles; seals of writes, and what is said of a message's sender, are Linux's only.
//!
//! | function | does |
//! |---|---|
//! | `ABILITIES` | what cannot be had here at all |
//! | `page_size` | the unit that mappings are made of, in bytes |
//! | `create_unnamed(mode)` | an empty object that can be given a name later |
//! | `create_anonymous(label)` | an empty object that never has one; its size can be sealed |
//! | `resize(handle, len, reserve)` | sets the size and, if asked, takes the memory now, or says that it is not there |
//! | `reserve(handle, len)` | takes the memory for the first bytes of the object now |
//! | `seal_size(handle)` / `seal_writes(handle)` / `seal_seals(handle)` / `seal_all(handle)` / `seals_of(handle)` | nobody can change the size, map it anew to write, or seal more, any more |
//! | `keeps_readers(handle)` | whether the kernel keeps who was given the object to read from writing to it |
//! | `keep_to_owner(handle)` | other users cannot open the object anew to write to it |
//! | `empty_range(handle, from, len)` | the bytes are zeroes, in all mappings, and their memory is free |
//! | `publish(handle, name)` | the object appears under the name, unless one is there |
//! | `open(name, access)` | opens a regular object; never follows a link, never waits |
//! | `adopt(handle)` | what a handle from elsewhere may do, if it is shared memory at all |
//! | `reopen(handle, access)` | an independent handle of the same object, to hold a lock with |
//! | `unlink(name, handle)` | removes the name, with a handle only if it is still this object's |
//! | `names()` | the names of all objects |
//! | `stat(handle)` | size, identity, number of names, owner, permission bits |
//! | `effective_user()` | whom the kernel takes this process for |
//! | `can_execute()` | whether code may be run from named objects |
//! | `read_at(handle, offset, buffer)` | copies bytes out without mapping them |
//! | `map(handle, ..)` / `map_aligned(handle, ..)` / `map_twice(handle, ..)` / `unmap` | addresses for bytes |
//! | `copy_if_there(to, from, len)` | copies without a signal if a page is gone, if the system can |
//! | `dont_fork` / `prefault` / `lock_pages` | leave a range out of children, take its pages in, keep them in |
//! | `huge_page_size` / `prefer_huge` / `huge_bytes` | ask for huge pages, and what came of it |
//! | `has_nodes` / `bind_node` / `node_bytes` | ask for memory of one NUMA node, and what came of it |
//! | `identity_at(address)` | which object is mapped there |
//! | `try_lock(handle, byte)` / `try_lock_all(handle, byte, bytes)` | a lock that the kernel drops when its process ends |
//! | `is_locked(handle, byte)` / `is_locked_beside(lock, byte)` | whether somebody has that lock |
//! | `process_token` | tells this process from its forked children |
//! | `process_id` | a label for people; never evidence |
//! | `processor` | which processor this thread runs on, as a hint |
//! | `open_process(pid)` | a handle that can be waited for: its process ended |
//! | `open_to_give(pid)` / `process_of(handle)` | the same with the right to be given something |
//! | `number_of(process)` / `mark_of(process)` / `has_ended(process)` | the process of such a handle; what tells it from others of its number |
//! | `random(buffer)` | bytes that nobody guesses |
//! | `Process` | such a handle; one that a `Poller` has is told to it before it goes |
//! | `Poller` | waits for several handles: something to read, an end |
//! | `Poller::next` / `wait` | takes a report; waits until there is one |
//! | `Poller::watch_end` / `forget_end` | has a process's end told, which others may have told, too |
//! | `Poller::begin_look` / `leave_look` | around a look at everything, where reports are made once and not asked for |
//! | `flag()` / `raise(flag)` / `lower(flag)` | something that can be waited for and stays set until it is cleared |
//! | `absolute(place)` / `whole_place(bytes)` | a place as others are told it |
//! | `check_place(path)` / `place_of(name)` / `places_of(name)` | where a server of that name is bound, and may be found: only this user can put names there |
//! | `Listener`, `Socket`: `listen(path, mode, backlog)` | a socket of messages under a path, which had these rights before it had the path; takes over from the dead, not from the living |
//! | `unlink_socket` / `set_socket_mode` / `set_socket_group` | removes the path if it is still this socket's; changes its rights |
//! | `connect(path, timeout)` / `accept(socket)` / `socket_pair` | a connection; one that waits, if one does; both sides of one |
//! | `send(socket, bytes, handles)` / `receive(socket, buffer)` | one message and perhaps handles; never waits |
//! | `give(socket, process, bytes, handles)` / `receive_given(socket, buffer)` | the same, with objects for that process and no other; while the connection is there, where it `LENDS` |
//! | `hear_only(socket)` | has each message say who sent it, where that matters, and takes no handles |
//! | `wait_readable(socket, timeout)` | sleeps until something came, or for less |
//! | `hung_up(socket)` / `shut_down(socket)` / `stop_listening(listener)` | whether the other side is gone; says that this side is |
//! | `credentials(socket)` / `peer_process(socket)` / `check_user(socket)` / `connected_by(socket, process, number)` | who connected, or listened; whether it is this user, or this process |
//! | `create_for_peer(size, access)` | an object for one other process, which opens it with that access; where objects are passed by name |
//! | `block_signals` | leaves a helping thread alone |
//! | `wait(word, expected, timeout)` / `wake(word)` | sleep until the word is woken, across processes |
//! | `wait_either(shared, own, timeout)` | the same with a second word |
//! | `hold_zeroes` / `map_twice_at` | addresses that read as zeroes, and an object put in their place |
//! | `register_fence` / `heavy_fence` | the two halves of the asymmetric fence; false where the kernel has none |
//!
//! Errors carry the call's name; callers add the object's.

#[cfg(not(any(target_os = "linux", target_os = "macos", windows, loom)))]
compile_error!("ringlane has no file in src/sys for this platform");

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::*;

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
pub(crate) use macos::*;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use self::windows::*;

#[cfg(any(target_os = "macos", windows))]
mod spare;
#[cfg(any(target_os = "macos", windows))]
pub(crate) use spare::*;

// Under loom the memory calls stay the platform's (no model uses them); sleeping is the model's.
#[cfg(loom)]
mod loom;
#[cfg(loom)]
pub(crate) use self::loom::{
    Lock, die_with, heavy_fence, hung_up, is_locked_beside, process_token, processor, receive,
    register_fence, send, shut_down, try_lock, wait, wait_either, wake,
};

/// What objects can do on a platform, and what is refused there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Abilities {
    /// How often the size can be set, beside when the object is made.
    pub(crate) resizes: u64,
    pub(crate) truncate: bool,
    /// Whether a name goes when it is told to, and not before.
    pub(crate) unlink: bool,
    pub(crate) persistent: bool,
    pub(crate) mode: bool,
    pub(crate) copy_on_write: bool,
    pub(crate) seal: bool,
    /// Whether users and groups are numbers.
    pub(crate) numbered_users: bool,
}

/// Which object a handle or a name means, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) device: u64,
    pub(crate) object: u64,
}

/// What the kernel says of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stat {
    pub(crate) size: u64,
    pub(crate) identity: Identity,
    /// How many names it has; 0 after it was unlinked.
    pub(crate) names: u64,
    /// The user that it belongs to.
    pub(crate) owner: u32,
    /// Its permission bits.
    pub(crate) mode: u32,
}

/// What nobody can do to an object any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seals {
    pub(crate) size: bool,
    /// Make it smaller; a part of the above.
    pub(crate) shrink: bool,
    pub(crate) writes: bool,
}

/// Who is at the other end of a socket: who connected, or listened, whoever has it now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credentials {
    /// 0 if this process's namespace has no number for it.
    pub(crate) pid: u32,
    pub(crate) user: u32,
    pub(crate) group: u32,
}

/// What came over a socket.
#[derive(Debug)]
pub(crate) enum Received {
    /// Nothing so far.
    Nothing,
    /// So many bytes, some handles, whether there was more than had room, and who sent it, where
    /// `tell_senders` asked.
    Message { bytes: usize, handles: Vec<Handle>, cut: bool, sender: Option<Credentials> },
    /// The other side is gone.
    End,
}

/// What a handle may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    ReadWrite,
}

/// What a mapping may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Protection {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) exec: bool,
    /// Pages that are written to become this process's own.
    pub(crate) private: bool,
}

impl From<Access> for Protection {
    fn from(access: Access) -> Self {
        let write = access == Access::ReadWrite;
        Protection { read: true, write, exec: false, private: false }
    }
}
