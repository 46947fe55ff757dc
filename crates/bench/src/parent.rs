//! Not outliving whoever started this process.

/// Sees to it that this process ends with its parent, however that ends, so that nobody is left spinning. Lets
/// signals in that the parent had held back.
///
/// # Errors
/// One sentence, if the system refuses or `parent` is gone already.
#[cfg(target_os = "linux")]
pub fn end_with_parent(parent: i32) -> Result<(), String> {
    use nix::sys::signal::{SigSet, Signal};
    let system = |e: nix::Error| format!("start: {}", e.desc());
    SigSet::all().thread_unblock().map_err(system)?;
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(system)?;
    // It may have ended before that.
    if nix::unistd::getppid().as_raw() != parent {
        return Err("the process that started this one is gone".to_owned());
    }
    Ok(())
}

/// Sees to it that this process ends with its parent, which holds the other end of its stdin.
///
/// # Errors
/// One sentence, if no thread can be started.
#[cfg(not(target_os = "linux"))]
pub fn end_with_parent(_parent: i32) -> Result<(), String> {
    let watch = || {
        // Nothing is ever written there.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    };
    std::thread::Builder::new().spawn(watch).map(drop).map_err(|e| format!("start a thread: {e}"))
}
