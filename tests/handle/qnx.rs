//! What QNX promises of handles before anything is taken back.

#[cfg(target_os = "linux")]
use crate::common::{page, until};
use crate::support::{
    Child, SIZE, again, byte, kind, me, memory, open_broker, options, parent, receive, say, told,
};
#[cfg(target_os = "linux")]
use crate::support::{STRANGER, become_stranger, holds, identity_of, is_root, skip};
#[cfg(target_os = "linux")]
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
#[cfg(target_os = "linux")]
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use ringlane::handle::{Access, Broker, Guarantee, Recipient};
use ringlane::{ErrorKind, MapOptions, Name, OpenOptions, SharedMemory};
#[cfg(target_os = "linux")]
use std::num::NonZeroUsize;
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Maps for reading and writing, past the library.
#[cfg(target_os = "linux")]
fn map_raw(fd: impl AsFd) -> nix::Result<()> {
    let (len, access) =
        (NonZeroUsize::new(page()).unwrap(), ProtFlags::PROT_READ | ProtFlags::PROT_WRITE);
    // SAFETY: fresh addresses, which nobody uses.
    unsafe { mmap(None, len, access, MapFlags::MAP_SHARED, fd, 0) }.map(drop)
}

/// Opens a descriptor anew, with the right to write.
#[cfg(target_os = "linux")]
fn open_anew(fd: impl AsFd) -> std::io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    std::fs::OpenOptions::new().read(true).write(true).open(path).map(OwnedFd::from)
}

pub(crate) fn part(part: &str, name: &Name) -> bool {
    match part {
        "see a pattern" => {
            let session = parent(name);
            let given = receive(&session).open(Access::ReadWrite).unwrap();
            let mapping = given.map().unwrap();
            let mut seen = vec![0; SIZE as usize];
            mapping.read_at(0, &mut seen).unwrap();
            assert!(seen.iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8));
            mapping.write_at(3, b"seen").unwrap();
            say(&session, "seen");
        }
        "be a third party" => {
            let session = parent(name);
            for _ in 0..2 {
                assert_eq!(kind(receive(&session).delete()), ErrorKind::InvalidHandle);
            }
            // One that is its own.
            let own = receive(&session);
            let bytes = own.to_bytes();
            own.delete().unwrap();
            assert_eq!(kind(receive(&session).delete()), ErrorKind::InvalidHandle);
            let again = ringlane::handle::Handle::from_bytes(&bytes).unwrap();
            assert_eq!(kind(again.open(Access::ReadOnly)), ErrorKind::InvalidHandle);
            say(&session, "done");
        }
        "open what was let go of" => {
            let session = parent(name);
            let handle = receive(&session);
            told(&session, "open");
            let given = handle.open(Access::ReadOnly).unwrap();
            #[cfg(target_os = "linux")]
            let identity = identity_of(&given);
            let mapping = given.map().unwrap();
            assert_eq!(byte(&mapping, 77), 7);
            #[cfg(target_os = "linux")]
            assert_eq!(holds(identity), (1, 1));
            drop((given, mapping));
            #[cfg(target_os = "linux")]
            assert_eq!(holds(identity), (0, 0));
            say(&session, "let go");
        }
        "map without a descriptor" => {
            let session = parent(name);
            let (refused, handle) = (receive(&session), receive(&session));
            assert_eq!(kind(refused.open(Access::ReadWrite)), ErrorKind::PermissionDenied);
            #[cfg(target_os = "linux")]
            let before = crate::support::descriptors().len();
            let mapping = handle.map(MapOptions::new().read(true).write(true)).unwrap();
            #[cfg(target_os = "linux")]
            assert_eq!(crate::support::descriptors().len(), before);
            mapping.write_at(9, &[9]).unwrap();
            say(&session, "mapped");
        }
        #[cfg(target_os = "linux")]
        "try to write as a stranger" => {
            let session = parent(name);
            become_stranger();
            say(&session, "stranger");
            // Sealed: nobody writes.
            let sealed = receive(&session).open(Access::ReadOnly).unwrap();
            let refused = open_anew(&sealed).map(map_raw);
            assert!(
                refused.as_ref().is_err() || refused.as_ref().is_ok_and(Result::is_err),
                "{refused:?}"
            );
            // Not sealed: another user can still not open it to write.
            let open = receive(&session).open(Access::ReadOnly).unwrap();
            assert_eq!(map_raw(&open), Err(nix::errno::Errno::EACCES));
            let refused = open_anew(&open).unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
            // That is the doing of the mode: what was given for writing opens.
            let given = receive(&session).open(Access::ReadWrite).unwrap();
            assert_eq!(map_raw(open_anew(&given).unwrap()), Ok(()));
            assert_eq!(nix::unistd::geteuid().as_raw(), STRANGER);
            say(&session, "tried");
        }
        #[cfg(target_os = "linux")]
        "look at the seals" => {
            let session = parent(name);
            let given = receive(&session).open(Access::ReadWrite).unwrap();
            let flags = fcntl(&given, FcntlArg::F_GETFD).unwrap();
            assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
            assert!(given.is_size_sealed().unwrap());
            assert_eq!(kind(given.set_size(2 * SIZE)), ErrorKind::PermissionDenied);
            assert!(nix::unistd::ftruncate(&given, 0).is_err());
            given.map().unwrap().write_at(5, &[5]).unwrap();
            say(&session, "looked");
        }
        _ => return false,
    }
    true
}

#[test]
fn q_01_a_handle_for_oneself_is_the_same_memory() {
    let (broker, memory) = (Broker::start().unwrap(), memory());
    let handle = broker.create(&memory, &me(), Access::ReadWrite, &options()).unwrap();
    let given = handle.open(Access::ReadWrite).unwrap();
    let (mine, theirs) = (memory.map().unwrap(), given.map().unwrap());
    mine.write_at(1, &[1]).unwrap();
    theirs.write_at(2, &[2]).unwrap();
    assert_eq!((byte(&theirs, 1), byte(&mine, 2)), (1, 2));
    assert!(!given.created() && given.name().is_none());
}

#[test]
fn q_02_a_handle_is_opened_once() {
    let (broker, memory) = (Broker::start().unwrap(), memory());
    let handle = broker.create(&memory, &me(), Access::ReadWrite, &options()).unwrap();
    let second = again(&handle);
    handle.open(Access::ReadOnly).unwrap();
    assert_eq!(kind(second.open(Access::ReadOnly)), ErrorKind::InvalidHandle);
    let counts = broker.counts();
    assert_eq!((counts.redeemed, counts.refused, counts.waiting), (1, 1, 0));
    // Of many who try at once, one succeeds.
    for _ in 0..20 {
        let handle = broker.create(&memory, &me(), Access::ReadWrite, &options()).unwrap();
        let opened: usize = std::thread::scope(|scope| {
            let open = || again(&handle).open(Access::ReadWrite).is_ok();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
        });
        assert_eq!(opened, 1);
    }
}

#[test]
fn q_03_a_handle_goes_to_another_process_as_bytes() {
    let (broker, memory) = (Broker::start().unwrap(), memory());
    let mapping = memory.map().unwrap();
    let pattern: Vec<u8> = (0..SIZE as usize).map(|at| (at % 251) as u8).collect();
    mapping.write_at(0, &pattern).unwrap();
    let child = Child::start("see a pattern");
    // By its number: its parent knows that it lives.
    let recipient = ringlane::handle::Recipient::process(child.second.id()).unwrap();
    let handle = broker.create(&memory, &recipient, Access::ReadWrite, &options()).unwrap();
    child.send(&handle.to_bytes());
    child.says("seen");
    let mut seen = [0; 4];
    mapping.read_at(3, &mut seen).unwrap();
    assert_eq!(&seen, b"seen");
    child.done();
}

#[test]
fn q_06_no_more_than_was_granted() {
    let (broker, memory) = (Broker::start().unwrap(), memory());
    let make = |access| broker.create(&memory, &me(), access, &options()).unwrap();
    for more in [Access::ReadWrite, Access::WriteOnly] {
        let handle = make(Access::ReadOnly);
        let spent = again(&handle);
        assert_eq!(kind(handle.open(more)), ErrorKind::PermissionDenied);
        // An attempt to have more spends it.
        assert_eq!(kind(spent.open(Access::ReadOnly)), ErrorKind::InvalidHandle);
    }
    assert_eq!(broker.counts().denied, 2);
    let given = make(Access::ReadOnly).open(Access::ReadOnly).unwrap();
    let writing = MapOptions::new().read(true).write(true).map(&given);
    assert_eq!(kind(writing), ErrorKind::PermissionDenied);
    // By the descriptor itself, not just by the library.
    #[cfg(target_os = "linux")]
    assert_eq!(map_raw(&given), Err(nix::errno::Errno::EACCES));
    let mapped = make(Access::ReadOnly).map(MapOptions::new().read(true).write(true));
    assert_eq!(kind(mapped), ErrorKind::PermissionDenied);
    assert_eq!(kind(make(Access::ReadOnly).map(&MapOptions::new())), ErrorKind::InvalidInput);

    // Less than was granted is fine.
    let given = make(Access::ReadWrite).open(Access::ReadOnly).unwrap();
    assert_eq!(kind(given.map().unwrap().write_at(0, &[1])), ErrorKind::PermissionDenied);
    // Writing only: the library holds it.
    let handle = make(Access::WriteOnly);
    assert_eq!(broker.guarantees(handle.id()).unwrap().access, Guarantee::Library);
    assert_eq!(kind(again(&handle).open(Access::ReadOnly)), ErrorKind::PermissionDenied);
    let given = make(Access::WriteOnly).open(Access::WriteOnly).unwrap();
    let mapping = given.map().unwrap();
    mapping.write_at(0, &[6]).unwrap();
    assert_eq!(kind(mapping.read_at(0, &mut [0])), ErrorKind::PermissionDenied);
    assert_eq!(byte(&memory.map().unwrap(), 0), 6);
}

#[test]
fn q_07_no_more_than_the_creator_has() {
    let broker = Broker::start().unwrap();
    let name = crate::common::scratch();
    let named = SharedMemory::create(&name, SIZE).unwrap();
    let reader = OpenOptions::new().read(true).open(&name).unwrap();
    let writer = OpenOptions::new().write(true).open(&name).unwrap();
    for (memory, access, granted) in [
        (&reader, Access::ReadOnly, true),
        (&reader, Access::ReadWrite, false),
        (&reader, Access::WriteOnly, false),
        (&writer, Access::ReadOnly, false),
        (&writer, Access::ReadWrite, false),
        (&writer, Access::WriteOnly, true),
        (&named, Access::ReadWrite, true),
    ] {
        match broker.create(memory, &me(), access, &options()) {
            Ok(handle) => {
                assert!(granted, "{access:?}");
                handle.open(access).unwrap();
            }
            Err(error) => {
                assert!(!granted, "{access:?}: {error}");
                assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            }
        }
    }
    // Nor by passing on what was received.
    let handle = broker.create(&named, &me(), Access::ReadOnly, &options()).unwrap();
    let received = handle.open(Access::ReadOnly).unwrap();
    let more = broker.create(&received, &me(), Access::ReadWrite, &options());
    assert_eq!(kind(more), ErrorKind::PermissionDenied);
    broker.create(&received, &me(), Access::ReadOnly, &options()).unwrap();
}

#[test]
fn q_08_its_creator_and_its_recipient_delete_it_and_nobody_else() {
    let (broker, memory) = (open_broker(), memory());
    let make =
        |who: &Recipient| broker.create(&memory, who, Access::ReadWrite, &options()).unwrap();
    let mine = make(&me());
    broker.delete(mine.id()).unwrap();
    assert_eq!(kind(broker.delete(mine.id())), ErrorKind::InvalidHandle);
    assert_eq!(kind(mine.open(Access::ReadWrite)), ErrorKind::InvalidHandle);
    // By a third party: what it asks to delete stays.
    let child = Child::start("be a third party");
    let (redeemed, waiting) = (make(&me()), make(&me()));
    let id = redeemed.id();
    child.send(&redeemed.to_bytes());
    child.send(&waiting.to_bytes());
    again(&redeemed).open(Access::ReadOnly).unwrap();
    let theirs = make(&child.recipient());
    child.send(&theirs.to_bytes());
    child.send(&theirs.to_bytes());
    child.says("done");
    waiting.open(Access::ReadOnly).unwrap();
    assert_eq!(kind(broker.delete(theirs.id())), ErrorKind::InvalidHandle);
    // One that was redeemed is none any more.
    assert_eq!(kind(broker.delete(id)), ErrorKind::InvalidHandle);
    child.done();
    assert_eq!(broker.counts().waiting, 0);
}

#[test]
fn q_10_the_memory_lives_as_long_as_anything_that_means_it() {
    let (broker, memory) = (Broker::start().unwrap(), memory());
    #[cfg(target_os = "linux")]
    let identity = identity_of(&memory);
    memory.map().unwrap().write_at(77, &[7]).unwrap();
    let child = Child::start("open what was let go of");
    child.give(&broker, &memory, Access::ReadOnly, &options());
    drop(memory);
    // The broker's own, and nothing else.
    #[cfg(target_os = "linux")]
    assert_eq!(holds(identity), (1, 0));
    child.send(b"open");
    child.says("let go");
    // Nobody has it any more, so it is gone.
    #[cfg(target_os = "linux")]
    until("nothing is left of it", || holds(identity) == (0, 0));
    child.done();
}

#[test]
fn q_11_a_mapping_and_no_descriptor() {
    let (broker, memory) = (Broker::start().unwrap(), memory());
    let child = Child::start("map without a descriptor");
    let options = options().no_descriptor(true).clone();
    for _ in 0..2 {
        let handle = child.give(&broker, &memory, Access::ReadWrite, &options);
        if let Ok(held) = broker.guarantees(handle.id()) {
            assert_eq!(held.no_descriptor, Guarantee::Library);
        }
    }
    child.says("mapped");
    assert_eq!(byte(&memory.map().unwrap(), 9), 9);
    assert_eq!(broker.counts().denied, 1);
    child.done();
}

#[cfg(target_os = "linux")]
#[test]
fn q_12_a_part_is_a_whole_of_its_own() {
    let (broker, memory) = (Broker::start().unwrap(), memory());
    let make = |range: std::ops::Range<u64>| {
        broker.create(&memory, &me(), Access::ReadWrite, options().range(range))
    };
    let whole = memory.map().unwrap();
    whole.write_at(0x10000 - 1, &[1, 2]).unwrap();
    whole.write_at(0x20000 - 1, &[3, 4]).unwrap();
    let handle = make(0x10000..0x20000).unwrap();
    assert_eq!(broker.guarantees(handle.id()).unwrap().subrange, Guarantee::Library);
    let part = handle.open(Access::ReadWrite).unwrap();
    assert_eq!(part.size().unwrap(), 0x10000);
    let mapping = part.map().unwrap();
    assert_eq!((mapping.len(), mapping.offset()), (0x10000, 0));
    assert_eq!((byte(&mapping, 0), byte(&mapping, 0xffff)), (2, 3));
    mapping.write_at(0x8000, &[5]).unwrap();
    assert_eq!(byte(&whole, 0x18000), 5);
    let within = MapOptions::new().read(true).offset(0x8000).length(1).map(&part).unwrap();
    assert_eq!(byte(&within, 0), 5);
    for (offset, length) in [(0, 0x10001), (0x10000, 1), (1, 0x10000), (u64::MAX, 1)] {
        let past = MapOptions::new().read(true).offset(offset).length(length).map(&part);
        assert_eq!(kind(past), ErrorKind::OutOfRange, "{offset} {length}");
    }
    drop((mapping, within));
    assert_eq!(kind(part.set_size(SIZE)), ErrorKind::PermissionDenied);
    assert_eq!(
        kind(ringlane::spsc::Queue::<u64>::options().attach(part)),
        ErrorKind::PermissionDenied
    );
    // A part of a part.
    let page = page() as u64;
    let part = make(0x10000..0x30000).unwrap().open(Access::ReadWrite).unwrap();
    let range = 0x10000..0x10000 + page;
    let smaller = broker.create(&part, &me(), Access::ReadOnly, options().range(range));
    let smaller = smaller.unwrap().map(MapOptions::new().read(true)).unwrap();
    assert_eq!((smaller.len() as u64, byte(&smaller, 0)), (page, 4));
    let beyond = broker.create(&part, &me(), Access::ReadOnly, options().range(0..0x30000));
    assert_eq!(kind(beyond), ErrorKind::OutOfRange);

    for odd in [1..page, 0..page + 1, 100..200, page..page] {
        assert_eq!(kind(make(odd.clone())), ErrorKind::InvalidInput, "{odd:?}");
    }
    let reversed = 2 * page..page;
    assert_eq!(kind(make(reversed)), ErrorKind::InvalidInput);
    assert_eq!(kind(make(0..SIZE + page)), ErrorKind::OutOfRange);
    let whole = make(0..SIZE).unwrap();
    assert_eq!(whole.open(Access::ReadOnly).unwrap().size().unwrap(), SIZE);
}

#[cfg(target_os = "linux")]
#[test]
fn q_18_what_is_opened_closes_on_exec_and_keeps_its_size() {
    let (broker, memory) = (Broker::start().unwrap(), memory());
    let child = Child::start("look at the seals");
    child.give(&broker, &memory, Access::ReadWrite, &options());
    child.says("looked");
    assert_eq!(byte(&memory.map().unwrap(), 5), 5);
    assert_eq!(kind(memory.set_size(2 * SIZE)), ErrorKind::PermissionDenied);
    child.done();
    // Who asks for no other is given no other.
    let loose = crate::support::loose_memory();
    let mut handle = broker.create(&loose, &me(), Access::ReadWrite, &options()).unwrap();
    assert_eq!(broker.guarantees(handle.id()).unwrap().size, Guarantee::Nobody);
    handle.sealed_only(true);
    assert_eq!(kind(handle.open(Access::ReadWrite)), ErrorKind::Corrupt);
}

#[cfg(target_os = "linux")]
#[test]
fn q_21_the_kernel_holds_what_is_sealed() {
    let (broker, memory) = (Broker::start().unwrap(), memory());
    let mine = memory.map().unwrap();
    let sealing = options().seal_writes(true).clone();
    for more in [Access::ReadWrite, Access::WriteOnly] {
        let refused = broker.create(&memory, &me(), more, &sealing);
        assert_eq!(kind(refused), ErrorKind::InvalidInput);
    }
    assert!(!memory.is_write_sealed().unwrap());
    let handle = broker.create(&memory, &me(), Access::ReadOnly, &sealing).unwrap();
    assert_eq!(broker.guarantees(handle.id()).unwrap().access, Guarantee::Kernel);
    let given = handle.open(Access::ReadOnly).unwrap();
    // As the same user, it can be opened to write, and still not be mapped or written to.
    let anew = open_anew(&given).unwrap();
    assert_eq!(map_raw(&anew), Err(nix::errno::Errno::EPERM));
    assert_eq!(nix::sys::uio::pwrite(&anew, &[1], 0), Err(nix::errno::Errno::EPERM));
    mine.write_at(0, &[8]).unwrap();
    assert_eq!(byte(&given.map().unwrap(), 0), 8);
    // Named memory cannot be sealed.
    let named = SharedMemory::create(&crate::common::scratch(), SIZE).unwrap();
    let refused = broker.create(&named, &me(), Access::ReadOnly, &sealing);
    assert_eq!(kind(refused), ErrorKind::Unsupported);
}

#[cfg(target_os = "linux")]
#[test]
fn q_21_another_user_does_not_get_to_write() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let broker = open_broker();
    let child = Child::start("try to write as a stranger");
    child.says("stranger");
    let (sealed, open) = (memory(), memory());
    let _mine = sealed.map().unwrap();
    child.give(&broker, &sealed, Access::ReadOnly, options().seal_writes(true));
    let handle = child.give(&broker, &open, Access::ReadOnly, &options());
    if let Ok(held) = broker.guarantees(handle.id()) {
        // Its mode keeps that user out, but not one with the right to pass over modes: not claimed.
        assert_eq!(held.access, Guarantee::Library);
    }
    child.give(&broker, &memory(), Access::ReadWrite, &options());
    child.says("tried");
    child.done();
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_claimed_is_of_the_object() {
    use Guarantee::{Broker as Held, Kernel, Library, Nobody};
    let broker = Broker::start().unwrap();
    let name = crate::common::scratch();
    let named = SharedMemory::create(&name, SIZE).unwrap();
    let reader = OpenOptions::new().read(true).open(&name).unwrap();
    let (fixed, loose) = (memory(), crate::support::loose_memory());
    let sealed = memory();
    sealed.seal_writes().unwrap();
    let claims = |memory: &SharedMemory, access, options: &_| {
        let handle = broker.create(memory, &me(), access, options).unwrap();
        let held = broker.guarantees(handle.id()).unwrap();
        assert_eq!((held.recipient, held.single_use, held.revoke_unused), (Held, Held, Held));
        broker.delete(handle.id()).unwrap();
        assert_eq!(kind(broker.guarantees(handle.id())), ErrorKind::InvalidHandle);
        held
    };
    let revocable = crate::support::revocable();
    for (memory, access, size, wipe, fault) in [
        (&named, Library, Nobody, Kernel, Kernel),
        // Its creator cannot write, so it cannot wipe either.
        (&reader, Library, Nobody, Nobody, Nobody),
        (&fixed, Library, Kernel, Kernel, Nobody),
        (&loose, Library, Nobody, Kernel, Kernel),
        // Sealed before there was anything to wipe it by.
        (&sealed, Kernel, Kernel, Nobody, Nobody),
    ] {
        let held = claims(memory, Access::ReadOnly, &revocable);
        assert_eq!((held.access, held.size, held.wipe, held.fault), (access, size, wipe, fault));
        assert_eq!((held.revoke, held.not_inherited), (Library, Library));
        let held = claims(memory, Access::ReadOnly, &options());
        assert_eq!((held.revoke, held.wipe, held.fault), (Nobody, Nobody, Nobody));
        assert_eq!((held.not_inherited, held.no_descriptor, held.expiry), (Nobody, Nobody, Nobody));
        assert_eq!(held.subrange, Kernel);
    }
    assert_eq!(claims(&fixed, Access::WriteOnly, &options()).access, Library);
    assert_eq!(claims(&fixed, Access::ReadWrite, &options()).access, Kernel);
    let part = crate::support::revocable().range(0..page() as u64).clone();
    let held = claims(&loose, Access::ReadWrite, &part);
    assert_eq!((held.subrange, held.wipe, held.fault), (Library, Kernel, Nobody));
}
