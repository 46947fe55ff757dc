//! Handles where they are put into the recipient's process: what they are good for there, and how long; and brokers and
//! recipients made of a bare pipe.

use crate::callers::question;
use crate::common::bare::{client, opened, owned, read, section, server, welcome, write};
use crate::common::{Second, page, scratch, until};
use crate::support::{
    Child, PATIENCE, SIZE, byte, kind, me, memory, options, parent, receive, revocable, say, told,
};
use ringlane::handle::{Access, Broker, BrokerOptions, Guarantee, Handle, Revoke};
use ringlane::{ErrorKind, MapOptions, Name, OpenOptions, SharedMemory};
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr::{null_mut, without_provenance_mut};
use std::time::Duration;
use windows_sys::Win32::Foundation::{
    DUPLICATE_SAME_ACCESS, DuplicateHandle, ERROR_ACCESS_DENIED, GetHandleInformation,
    GetLastError, HANDLE,
};
use windows_sys::Win32::Storage::FileSystem::READ_CONTROL;
use windows_sys::Win32::System::Memory::{
    FILE_MAP_READ, FILE_MAP_WRITE, MEMORY_MAPPED_VIEW_ADDRESS, MapViewOfFile, SEC_COMMIT,
    SEC_RESERVE, SECTION_QUERY, UnmapViewOfFile,
};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetProcessHandleCount, OpenProcess, PROCESS_DUP_HANDLE,
};

/// The rights to a kernel object's descriptor.
const WRITE_DAC: u32 = 0x4_0000;

fn label_in(handle: &Handle) -> String {
    String::from_utf8(handle.to_bytes()[24..].to_vec()).unwrap()
}

/// Asks for it over a pipe of our own. What the answer says of the memory: its number, and the handle's here.
fn asked(handle: &Handle) -> (OwnedHandle, String, u64) {
    let pipe = client(&label_in(handle));
    write(&pipe, &[&[0][..], &question(handle)].concat());
    let answer = read(&pipe);
    let (name, number) = told_of(&answer);
    (pipe, name, number)
}

fn told_of(answer: &[u8]) -> (String, u64) {
    assert_eq!((answer.len(), answer[0]), (1 + 25 + 48, 0x81));
    let word = |at: usize| u64::from_le_bytes(answer[at..at + 8].try_into().unwrap());
    (format!(r"Local\ringlane-{:016x}{:016x}", word(1), word(9)), word(18))
}

fn this() -> HANDLE {
    // SAFETY: takes nothing.
    unsafe { GetCurrentProcess() }
}

fn raw(number: u64) -> HANDLE {
    without_provenance_mut(number as usize)
}

fn is_open(number: u64) -> bool {
    let mut flags = 0;
    // SAFETY: writes to what it is given.
    unsafe { GetHandleInformation(raw(number), &mut flags) != 0 }
}

fn can_map(number: u64, access: u32) -> bool {
    // SAFETY: fresh addresses.
    let view: MEMORY_MAPPED_VIEW_ADDRESS =
        unsafe { MapViewOfFile(raw(number), access, 0, 0, page()) };
    // SAFETY: mapped above, if at all.
    !view.Value.is_null() && unsafe { UnmapViewOfFile(view) } != 0
}

/// A copy with other rights.
fn widened(number: u64, access: u32) -> Option<OwnedHandle> {
    let mut copy = null_mut();
    // SAFETY: writes to what it is given.
    let done = unsafe { DuplicateHandle(this(), raw(number), this(), &mut copy, access, 0, 0) };
    owned(copy).filter(|_| done != 0)
}

pub(crate) fn part(part: &str, name: &Name) -> bool {
    match part {
        "borrow a connection" => borrow(name),
        "count what is left" => count_what_is_left(),
        _ => return false,
    }
    true
}

fn borrow(name: &Name) {
    let session = parent(name);
    let handle = receive(&session);
    let number = String::from_utf8(session.recv_timeout(PATIENCE).unwrap()).unwrap();
    let pipe = owned(raw(number.parse().unwrap())).unwrap();
    write(&pipe, &[&[0][..], &question(&handle)].concat());
    let (name, _) = told_of(&read(&pipe));
    // What it has read is of no use here, where nothing was put.
    assert!(opened(&name, FILE_MAP_READ).is_none());
    assert_eq!(handle.open(Access::ReadOnly).unwrap_err().kind(), ErrorKind::InvalidHandle);
    say(&session, "borrowed");
    told(&session, "end");
}

#[test]
fn a_connection_that_is_lent_gives_the_borrower_nothing() {
    let (broker, memory) = (Broker::start().unwrap(), memory());
    let child = Child::start("borrow a connection");
    let handle = broker.create(&memory, &me(), Access::ReadOnly, &options()).unwrap();
    child.send(&handle.to_bytes());
    let pipe = client(&label_in(&handle));
    let mut theirs = null_mut();
    // SAFETY: takes no pointer.
    let process = unsafe { OpenProcess(PROCESS_DUP_HANDLE, 0, child.second.id()) };
    let process = owned(process).unwrap();
    // SAFETY: both are open, and the number is written to what is given.
    let done = unsafe {
        let (pipe, to) = (pipe.as_raw_handle().cast(), process.as_raw_handle().cast());
        DuplicateHandle(this(), pipe, to, &mut theirs, 0, 0, DUPLICATE_SAME_ACCESS)
    };
    assert_ne!(done, 0);
    drop(pipe);
    child.send(theirs.addr().to_string().as_bytes());
    child.says("borrowed");
    // Who lent it has spent it.
    assert_eq!((broker.counts().redeemed, broker.counts().waiting), (1, 0));
    child.send(b"end");
    child.done();
}

#[test]
fn the_kernel_keeps_a_reader_from_writing() {
    let (broker, memory) = (Broker::start().unwrap(), memory());
    let make = |memory, access| broker.create(memory, &me(), access, &options()).unwrap();
    let handle = make(&memory, Access::ReadOnly);
    assert_eq!(broker.guarantees(handle.id()).unwrap().access, Guarantee::Kernel);
    let (_pipe, name, number) = asked(&handle);
    assert!(can_map(number, FILE_MAP_READ));
    assert!(!can_map(number, FILE_MAP_READ | FILE_MAP_WRITE));
    // Nor by a copy, nor by its name.
    for access in [FILE_MAP_WRITE, FILE_MAP_READ | FILE_MAP_WRITE] {
        assert!(widened(number, access).is_none());
        // SAFETY: takes nothing.
        assert_eq!(unsafe { GetLastError() }, ERROR_ACCESS_DENIED);
        assert!(opened(&name, access).is_none());
    }
    assert!(opened(&name, FILE_MAP_READ).is_none());
    assert!(opened(&name, SECTION_QUERY | READ_CONTROL).is_some());
    // Wine lets an owner change its object's rights, whatever they say of owners.
    println!("rights can be changed: {}", widened(number, WRITE_DAC).is_some());
    // Who may write, may.
    let (_pipe, _, number) = asked(&make(&memory, Access::ReadWrite));
    assert!(!can_map(number, FILE_MAP_WRITE) || can_map(number, FILE_MAP_READ | FILE_MAP_WRITE));
    // What has a name is found by it, by who may open it: there the library holds it.
    let named = SharedMemory::create(&scratch(), SIZE).unwrap();
    let handle = make(&named, Access::ReadOnly);
    assert_eq!(broker.guarantees(handle.id()).unwrap().access, Guarantee::Library);
    let (_pipe, name, number) = asked(&handle);
    assert!(!can_map(number, FILE_MAP_READ | FILE_MAP_WRITE));
    assert!(opened(&name, FILE_MAP_READ | FILE_MAP_WRITE).is_some());
}

#[test]
fn what_was_put_here_goes_with_the_connection_or_in_time() {
    let patient = Broker::start().unwrap();
    let brief = BrokerOptions::new().patience(Duration::from_millis(200)).start().unwrap();
    let memory = memory();
    let handle = patient.create(&memory, &me(), Access::ReadOnly, &revocable()).unwrap();
    let pipe = client(&label_in(&handle));
    write(&pipe, &[&[0][..], &question(&handle)].concat());
    let answer = read(&pipe);
    assert_eq!((answer.len(), answer[0]), (1 + 2 * 25 + 48, 0x82));
    let numbers = [18, 43].map(|at| u64::from_le_bytes(answer[at..at + 8].try_into().unwrap()));
    assert!(numbers.iter().all(|number| is_open(*number)));
    drop(pipe);
    until("they are gone", || !numbers.iter().any(|number| is_open(*number)));
    // Who does not hang up.
    let handle = brief.create(&memory, &me(), Access::ReadOnly, &options()).unwrap();
    let (_pipe, _, number) = asked(&handle);
    until("it is gone, too", || !is_open(number));
    assert_eq!((brief.counts().turned_away, brief.counts().undelivered), (0, 0));
}

/// In a process of its own, where no other test opens anything.
fn count_what_is_left() {
    let open = || {
        let mut count = 0;
        // SAFETY: writes to what it is given.
        assert_ne!(unsafe { GetProcessHandleCount(this(), &mut count) }, 0);
        count
    };
    let broker = Broker::start().unwrap();
    let round = || {
        let memory = memory();
        for n in 0..20 {
            let options = if n % 2 == 0 { options() } else { revocable() };
            let handle = broker.create(&memory, &me(), Access::ReadOnly, &options).unwrap();
            if n % 3 != 0 {
                handle.open(Access::ReadOnly).unwrap();
            }
        }
        broker.revoke_all(Revoke::Cooperative).unwrap();
    };
    round();
    let before = open();
    (0..10).for_each(|_| round());
    until("all is closed", || open() <= before);
}

#[test]
fn of_many_handles_nothing_is_left() {
    assert!(Second::start("count what is left", &scratch()).done().success());
}

/// A handle whose broker is ours.
fn own_broker() -> (Handle, OwnedHandle, OwnedHandle) {
    let place = format!(r"Local\false.{}", scratch());
    let (pipe, label) = server(&place);
    let bytes = [&b"ringhnd\x01"[..], &[7; 16], place.as_bytes()].concat();
    (Handle::from_bytes(&bytes).unwrap(), pipe, label)
}

fn answer(outcome: u32, flags: u32, from: u64, len: u64) -> Vec<u8> {
    let mut answer = b"ringans\x01".to_vec();
    answer.extend([outcome, flags].map(u32::to_ne_bytes).concat());
    answer.extend([from, len, 0, 0].map(u64::to_ne_bytes).concat());
    answer
}

fn number(handle: &OwnedHandle) -> u64 {
    handle.as_raw_handle().addr() as u64
}

/// What is said of an object: its number, that it may be written to, the handle's number.
fn said(id: u8, number: u64) -> Vec<u8> {
    [&[id; 16][..], &[1], &number.to_le_bytes()].concat()
}

fn named(id: u8, size: usize, kind: u32) -> OwnedHandle {
    let word = u64::from_le_bytes([id; 8]);
    section(&format!(r"Local\ringlane-{word:016x}{word:016x}"), size, kind)
}

#[test]
fn a_false_broker_names_handles_of_ours_and_they_stay_ours() {
    let size = 2 * page();
    let (good, small) = (named(0xa1, size, SEC_COMMIT), named(0xa2, page(), SEC_COMMIT));
    let reserved = named(0xa3, size, SEC_RESERVE);
    // A section of ours that the broker does not know the name of.
    let ours = named(0xa4, size, SEC_COMMIT);
    let (pipe, _label) = server(&format!(r"Local\pipe.{}", scratch()));
    let file: OwnedHandle = std::fs::File::open(std::env::current_exe().unwrap()).unwrap().into();
    let all = [&good, &small, &reserved, &ours, &pipe, &file];
    let done = answer(0, 0, 0, 0);
    let message = |objects: &[Vec<u8>], answer: &[u8]| {
        [&[0x80 | objects.len() as u8][..], &objects.concat(), answer].concat()
    };
    let whole = said(0xa1, number(&good));
    let wrong = ErrorKind::Corrupt;
    let cases: Vec<(&str, Vec<u8>, ErrorKind)> = vec![
        ("no memory", message(&[], &done), wrong),
        ("by name", [&[1][..], &[0xa1; 16], &[1], &done].concat(), wrong),
        ("two", message(&[whole.clone(), whole.clone()], &done), wrong),
        ("very many", [&[0xff][..], &whole, &done].concat(), wrong),
        ("not all of it", [&[0x82][..], &whole, &done].concat(), wrong),
        ("short", message(std::slice::from_ref(&whole), &done[..47]), wrong),
        ("words", message(std::slice::from_ref(&whole), b"no answer at all"), wrong),
        ("unknown", message(std::slice::from_ref(&whole), &answer(3, 0, 0, 0)), wrong),
        ("nothing", message(&[said(0xa1, 0)], &done), wrong),
        ("no handle", message(&[said(0xa1, 0x00de_adb8)], &done), wrong),
        ("this process", message(&[said(0xa1, u64::MAX)], &done), wrong),
        ("this thread", message(&[said(0xa1, u64::MAX - 1)], &done), wrong),
        ("a file", message(&[said(0xa1, number(&file))], &done), wrong),
        ("a pipe", message(&[said(0xa1, number(&pipe))], &done), wrong),
        ("memory of ours", message(&[said(0xa1, number(&ours))], &done), wrong),
        ("an unknown name", message(&[said(0xee, number(&good))], &done), wrong),
        ("what is not there", message(&[said(0xa3, number(&reserved))], &done), wrong),
        (
            "past the end",
            message(std::slice::from_ref(&whole), &answer(0, 1, 4096, size as u64)),
            wrong,
        ),
        ("past all", message(std::slice::from_ref(&whole), &answer(0, 1, u64::MAX, 2)), wrong),
        ("no leash", message(std::slice::from_ref(&whole), &answer(0, 2, 0, 0)), wrong),
        (
            "a leash that is a file",
            message(&[whole.clone(), said(0xa2, number(&file))], &answer(0, 2, 0, 0)),
            wrong,
        ),
        (
            "denied",
            message(std::slice::from_ref(&whole), &answer(2, 0, 0, 0)),
            ErrorKind::PermissionDenied,
        ),
        (
            "invalid",
            message(std::slice::from_ref(&whole), &answer(1, 0, 0, 0)),
            ErrorKind::InvalidHandle,
        ),
    ];
    for (case, bytes, expected) in cases {
        let (handle, pipe, _label) = own_broker();
        let asking = std::thread::spawn(move || handle.open_timeout(Access::ReadWrite, PATIENCE));
        welcome(&pipe);
        read(&pipe);
        write(&pipe, &bytes);
        assert_eq!(kind(asking.join().unwrap()), expected, "{case}");
        assert!(all.iter().all(|handle| is_open(number(handle))), "{case}");
    }
    // One that is honest, and gives a part.
    let (handle, pipe, _label) = own_broker();
    let asking = std::thread::spawn(move || handle.open_timeout(Access::ReadWrite, PATIENCE));
    welcome(&pipe);
    read(&pipe);
    let (from, len) = (page() as u64, page() as u64);
    write(&pipe, &message(&[whole], &answer(0, 1, from, len)));
    let given = asking.join().unwrap().unwrap();
    assert_eq!(given.size().unwrap(), len);
    given.map().unwrap().write_at(0, &[5]).unwrap();
    drop(given);
    assert!(is_open(number(&good)), "what was named is not used up");
}

#[test]
fn a_part_is_a_whole_of_its_own() {
    let (broker, memory) = (Broker::start().unwrap(), memory());
    let page = page() as u64;
    let make = |range: std::ops::Range<u64>| {
        broker.create(&memory, &me(), Access::ReadWrite, options().range(range))
    };
    let whole = memory.map().unwrap();
    whole.write_at(page as usize - 1, &[1, 2]).unwrap();
    let handle = make(page..3 * page).unwrap();
    assert_eq!(broker.guarantees(handle.id()).unwrap().subrange, Guarantee::Library);
    let part = handle.open(Access::ReadWrite).unwrap();
    assert_eq!(part.size().unwrap(), 2 * page);
    assert_eq!(byte(&part.map().unwrap(), 0), 2);
    let past = MapOptions::new().read(true).offset(page).length(2 * page).map(&part);
    assert_eq!(kind(past), ErrorKind::OutOfRange);
    let smaller = broker.create(&part, &me(), Access::ReadOnly, options().range(page..2 * page));
    let smaller = smaller.unwrap().map(MapOptions::new().read(true)).unwrap();
    whole.write_at(2 * page as usize, &[3]).unwrap();
    assert_eq!((smaller.len() as u64, byte(&smaller, 0)), (page, 3));
    for odd in [1..page, 0..page + 1, 0..4096, page..page] {
        assert_eq!(kind(make(odd.clone())), ErrorKind::InvalidInput, "{odd:?}");
    }
    assert_eq!(kind(make(0..SIZE + page)), ErrorKind::OutOfRange);
}

#[test]
fn what_cannot_be_had_here_is_unsupported_and_what_is_claimed_is_of_the_object() {
    use Guarantee::{Kernel, Library, Nobody};
    assert_eq!(kind(BrokerOptions::new().mode(0o666).start()), ErrorKind::Unsupported);
    let (broker, memory) = (Broker::start().unwrap(), memory());
    let sealed = options().seal_writes(true).clone();
    let refused = broker.create(&memory, &me(), Access::ReadOnly, &sealed);
    assert_eq!(kind(refused), ErrorKind::Unsupported);
    let name = scratch();
    let named = SharedMemory::create(&name, SIZE).unwrap();
    let reader = OpenOptions::new().read(true).open(&name).unwrap();
    for (memory, access, wipe) in
        [(&named, Library, Kernel), (&reader, Library, Nobody), (&memory, Kernel, Kernel)]
    {
        let handle = broker.create(memory, &me(), Access::ReadOnly, &revocable()).unwrap();
        let held = broker.guarantees(handle.id()).unwrap();
        assert_eq!((held.access, held.wipe, held.fault), (access, wipe, Nobody));
        assert_eq!((held.size, held.revoke), (Kernel, Library));
        let (id, mut handle) = (handle.id(), handle);
        handle.sealed_only(true);
        let given = handle.open(Access::ReadOnly).unwrap();
        let cut = broker.revoke_handle(id, Revoke::Fault);
        assert_eq!(kind(cut), ErrorKind::Unsupported);
        assert!(!given.is_revoked());
        broker.revoke_handle(id, Revoke::Cooperative).unwrap();
        assert!(given.is_revoked());
    }
}
