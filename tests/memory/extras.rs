//! Huge pages, prefaulting, locking, nodes, forks and seals: what was asked for was got, or is said not to be.

use crate::support::{Scratch, Second, byte, kind, read_write, skip};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use ringlane::{ErrorKind, MapOptions, Mapping, Name, SharedMemory, capabilities};
use std::os::fd::AsFd;

pub(crate) fn part(part: &str, _name: &Name) -> bool {
    match part {
        "fork with mappings" => {
            let memory = SharedMemory::anonymous(8192).unwrap();
            let left_out = MapOptions::new().read(true).dont_fork(true).map(&memory).unwrap();
            assert!(left_out.granted().dont_fork);
            let inherited = MapOptions::new().read(true).map(&memory).unwrap();
            assert!(!inherited.granted().dont_fork);
            for (mapping, ends_by_signal) in [(&left_out, true), (&inherited, false)] {
                // SAFETY: the child reads a byte and exits, both of which are safe after a fork.
                match unsafe { fork() }.unwrap() {
                    ForkResult::Child => {
                        // SAFETY: for one of the two not safe at all: that is what must end the child.
                        let byte = unsafe { mapping.as_ptr().read_volatile() };
                        // SAFETY: ends the child.
                        unsafe { libc::_exit(i32::from(byte)) };
                    }
                    ForkResult::Parent { child } => {
                        let status = waitpid(child, None).unwrap();
                        let by_signal = matches!(status, WaitStatus::Signaled(..));
                        assert_eq!(by_signal, ends_by_signal, "{status:?}");
                    }
                }
            }
        }
        _ => return false,
    }
    true
}

#[test]
fn q_19_a_mapping_left_out_of_forks_faults_in_the_child() {
    Second::start("fork with mappings", &Scratch::new().0).done();
}

#[test]
fn huge_pages_are_counted_by_the_kernel_and_the_bytes_are_the_same() {
    let name = Scratch::new();
    let memory = SharedMemory::create(&name.0, 8 << 20).unwrap();
    let plain = memory.map().unwrap();
    plain.write_at(5 << 20, b"before").unwrap();
    for (offset, length) in [(0, 8 << 20), (1, (8 << 20) - 1), (3 << 20, 4 << 20), (100, 50)] {
        let mut options = MapOptions::new();
        options.read(true).write(true).offset(offset).length(length).huge_pages(true);
        let mapping = options.map(&memory).unwrap();
        let got = mapping.granted();
        assert!(got.huge_page_bytes as u64 <= 8 << 20, "{got:?}");
        if length == 8 << 20 && got.huge_page_bytes == 0 {
            skip("this kernel has no huge page to give, or none now");
        }
        if let Some(unit) = capabilities().unwrap().huge_page {
            // So that the kernel can use them at all.
            let apart = (mapping.as_ptr().as_ptr().addr() as u64).wrapping_sub(offset);
            assert_eq!(apart % unit as u64, 0);
        }
        if length > 5 << 20 {
            let mut seen = [0; 6];
            mapping.read_at((5 << 20) - offset as usize, &mut seen).unwrap();
            assert_eq!(&seen, b"before");
        }
        mapping.write_at(length as usize - 1, &[1]).unwrap();
        assert_eq!(byte(&memory, (offset + length) as usize - 1), 1);
    }
}

/// A mapping's size, and how much of it has pages in this process, by the kernel's word.
fn residence(mapping: &Mapping) -> (usize, usize) {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let start = format!("{:x}-", mapping.as_ptr().as_ptr().addr());
    let at = maps.lines().skip_while(|line| !line.starts_with(&start));
    let field = |name: &str| {
        let line = at.clone().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
    };
    (field("Size:"), field("Rss:"))
}

#[test]
fn prefaulting_takes_pages_in_for_every_access() {
    let name = Scratch::new();
    let mut options = read_write();
    let memory = options.create_new(true).size(1 << 20).reserve(false).open(&name.0).unwrap();
    for (write, cow) in [(false, false), (true, true), (true, false)] {
        let mut options = MapOptions::new();
        options.read(true).write(write).copy_on_write(cow).prefault(true);
        let mapping = options.map(&memory).unwrap();
        if !mapping.granted().prefaulted {
            return skip("this kernel cannot be asked to take pages in");
        }
        let (_, resident) = residence(&mapping);
        assert_eq!(resident, 1 << 20, "write {write}, copy on write {cow}");
    }
    let unasked = memory.map().unwrap();
    assert!(!unasked.granted().prefaulted);
    assert_eq!(residence(&unasked), (1 << 20, 0));
}

#[test]
fn memory_of_a_node_is_counted_and_a_missing_node_is_refused() {
    let memory = SharedMemory::anonymous(1 << 20).unwrap();
    let on = |node| MapOptions::new().read(true).write(true).numa_node(node).map(&memory);
    for missing in [1023, 1024, u32::MAX] {
        let refused = kind(on(missing));
        assert!(matches!(refused, ErrorKind::InvalidInput | ErrorKind::Unsupported), "{refused:?}");
    }
    assert_eq!(memory.mapping_count(), 0);
    match on(0) {
        Ok(mapping) => assert_eq!(mapping.granted().node_bytes, 1 << 20),
        // Containers forbid it, and old kernels lack it.
        Err(error) => assert!(!capabilities().unwrap().numa || error.raw_os_error().is_some()),
    }
}

#[test]
fn q_18_a_sealed_size_stays_for_everybody() {
    let memory = read_write().size(4096).allow_shrink(true).anonymous().unwrap();
    assert!(!memory.is_size_sealed().unwrap());
    memory.set_size(8192).unwrap();
    memory.seal_size().unwrap();
    let received = SharedMemory::try_from(memory.as_fd().try_clone_to_owned().unwrap()).unwrap();
    assert!(received.is_size_sealed().unwrap());
    for handle in [&memory, &received] {
        assert_eq!(kind(handle.set_size(16_384)), ErrorKind::PermissionDenied);
    }
    assert_eq!(kind(memory.set_size(4096)), ErrorKind::PermissionDenied);
    received.map().unwrap().write_at(8191, &[1]).unwrap();
    assert_eq!(byte(&memory, 8191), 1);
    // A name is something that only unsealed objects have.
    let name = Scratch::new();
    let named = SharedMemory::create(&name.0, 4096).unwrap();
    assert_eq!(kind(named.seal_size()), ErrorKind::Unsupported);
    assert_eq!(kind(named.seal_writes()), ErrorKind::Unsupported);
    assert!(!named.is_size_sealed().unwrap() && !named.is_write_sealed().unwrap());
}

#[test]
fn q_21_what_is_sealed_against_writers_has_no_new_ones() {
    let memory = SharedMemory::anonymous(4096).unwrap();
    let mine = memory.map().unwrap();
    memory.seal_writes().unwrap();
    assert!(memory.is_write_sealed().unwrap());
    let received = SharedMemory::try_from(memory.as_fd().try_clone_to_owned().unwrap()).unwrap();
    assert_eq!(kind(received.map()), ErrorKind::PermissionDenied);
    // Nor by way of the file system, which opens it anew.
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&memory.as_fd());
    let mut again = std::fs::OpenOptions::new();
    let again = again.read(true).write(true).open(format!("/proc/self/fd/{descriptor}")).unwrap();
    let again = SharedMemory::try_from(std::os::fd::OwnedFd::from(again)).unwrap();
    assert_eq!(kind(again.map()), ErrorKind::PermissionDenied);
    let reader = MapOptions::new().read(true).map(&received).unwrap();
    mine.write_at(0, &[5]).unwrap();
    let mut seen = [0];
    reader.read_at(0, &mut seen).unwrap();
    assert_eq!(seen, [5]);
}
