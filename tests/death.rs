//! Kills a process at every instruction of every operation, and asks the survivors.
#![allow(unsafe_code, reason = "forks, traces and kills processes")]
#![allow(clippy::disallowed_types, reason = "the journal is shared memory of the test's own")]

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() {
    println!("skipped: single-stepping is known here for x86-64 Linux only");
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod common;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "death/mod.rs"]
mod death;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() -> std::process::ExitCode {
    death::main()
}
