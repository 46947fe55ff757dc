//! How much memory can be had before the kernel kills somebody for it.

use crate::error::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// A tmpfs is often allowed as much as the whole machine has. Taking that would end not in an error but in
/// the kernel's killing processes, this one or any other.
pub(super) fn check(more: u64) -> Result<()> {
    let available = [of_machine(more), of_groups(more)].into_iter().flatten().min();
    if let Some(available) = available.filter(|available| more > *available) {
        let text = format!("{more} bytes asked for, {available} bytes of memory are available");
        return Err(Error::new(ErrorKind::NoSpace, text));
    }
    Ok(())
}

/// What the kernel reckons can be had, see `proc_meminfo(5)`; nothing if it does not say, or so much lies
/// idle that its reckoning, which takes longer, is not needed.
fn of_machine(more: u64) -> Option<u64> {
    if nix::sys::sysinfo::sysinfo().is_ok_and(|machine| machine.ram_unused() / 2 >= more) {
        return None;
    }
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What the control groups of this process leave, see `cgroups(7)`: a container's limit, for one. Nothing
/// if that is enough, if there is no limit, or none that can be read.
fn of_groups(more: u64) -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().filter_map(|line| of_group(line, more)).min()
}

/// A line is `number:controllers:path`; of the second version there is one, without controllers.
fn of_group(line: &str, more: u64) -> Option<u64> {
    let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
    let (root, limit, usage, cache) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "),
        list if list.split(',').any(|name| name == "memory") => (
            "/sys/fs/cgroup/memory",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_inactive_file ",
        ),
        _ => return None,
    };
    let group = PathBuf::from(format!("{root}{path}"));
    // The limits of those above count, too. A container may see its own group as the root.
    let above = group.ancestors().take_while(|above| above.starts_with(root)).map(Path::to_owned);
    let room = |group: PathBuf| {
        let number = |file: &str| -> Option<u64> {
            std::fs::read_to_string(group.join(file)).ok()?.trim().parse().ok()
        };
        // Without a limit nothing else is worth a look. The first version says none by a large number.
        let limit = number(limit).filter(|limit| *limit < 1 << 62)?;
        let unused = limit.saturating_sub(number(usage)?);
        if more <= unused {
            return None;
        }
        let stat = std::fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        // What was read from files and not used lately goes before anybody is killed.
        let cache = stat.lines().find_map(|line| line.strip_prefix(cache)?.parse().ok());
        Some(unused.saturating_add(cache.unwrap_or(0)))
    };
    above.filter_map(room).min()
}
