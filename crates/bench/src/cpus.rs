//! Which two processors to use, and staying on one. Nobody is pinned but on Linux.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub use linux::*;

/// Two processors that this thread may use: not asked for here.
#[cfg(not(target_os = "linux"))]
pub fn pair() -> Option<(usize, usize)> {
    None
}

/// Keeps this thread on one processor.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn pin(cpu: usize) -> Result<(), String> {
    Err(format!("stay on cpu {cpu}: not on this platform"))
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
