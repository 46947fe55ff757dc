//! By the scheduler's affinity masks.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Two processors that this thread may use, of two cores if there are two; `None` if it may use one only.
pub fn pair() -> Option<(usize, usize)> {
    // A machine with more processors than the set has room for: then nobody is pinned.
    let allowed = sched_getaffinity(Pid::from_raw(0)).ok()?;
    let mut cpus = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false));
    let first = cpus.next()?;
    let rest: Vec<usize> = cpus.collect();
    let siblings = siblings(first);
    let apart = rest.iter().find(|cpu| !siblings.contains(cpu));
    Some((first, *apart.or(rest.first())?))
}

/// The processors of the same core, as far as the system tells. Written as `0,4` or `0-1`.
fn siblings(cpu: usize) -> Vec<usize> {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let ranges = text.trim().split(',').filter_map(|range| {
        let (low, high) = range.split_once('-').unwrap_or((range, range));
        Some(low.parse().ok()?..=high.parse().ok()?)
    });
    ranges.flatten().take(CpuSet::count()).collect()
}

/// Keeps this thread on one processor until it is dropped.
#[derive(Debug)]
pub(crate) struct Pinned(CpuSet);

impl Pinned {
    pub(crate) fn to(cpu: usize) -> Result<Pinned, String> {
        let before = sched_getaffinity(Pid::from_raw(0)).map_err(|e| e.desc().to_owned())?;
        pin(cpu)?;
        Ok(Pinned(before))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // What may run on several processors may run on one, too.
        let _ = sched_setaffinity(Pid::from_raw(0), &self.0);
    }
}

/// Keeps this thread on one processor.
///
/// # Errors
/// One sentence, if the system refuses.
pub fn pin(cpu: usize) -> Result<(), String> {
    let mut set = CpuSet::new();
    let pinned = set.set(cpu).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
    pinned.map_err(|e| format!("stay on cpu {cpu}: {}", e.desc()))
}

/// Lets what `work` starts run on any processor, for those who bring threads of their own.
pub fn unpinned<T>(work: impl FnOnce() -> T) -> T {
    let own = Pid::from_raw(0);
    let before = sched_getaffinity(own);
    let mut all = CpuSet::new();
    (0..CpuSet::count()).for_each(|cpu| all.set(cpu).expect("there is room for it"));
    // The kernel leaves out those that there are not.
    let _ = sched_setaffinity(own, &all);
    let done = work();
    if let Ok(before) = before {
        let _ = sched_setaffinity(own, &before);
    }
    done
}
