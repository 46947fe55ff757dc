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
