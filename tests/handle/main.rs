//! Handles, by the scenarios of QNX (`q_`), and what hostile processes do with them. The number in a test's name is the
//! scenario's; `docs/seeds.md` says which promise each one shows.
//!
//! Where a scenario takes a second process, the test program runs itself again.
#![cfg(all(any(target_os = "linux", windows), not(loom)))]
#![allow(
    unsafe_code,
    reason = "forks, starts processes by number, touches what must not be touched"
)]

#[path = "../common/mod.rs"]
mod common;

mod callers;
#[cfg(target_os = "linux")]
mod hostile;
mod passing;
mod qnx;
mod revoking;
#[cfg(target_os = "linux")]
mod storm;
mod support;
#[cfg(windows)]
mod windows;

/// Where a second process comes in. As a test of its own it does nothing.
#[test]
fn second_process() {
    let Some((part, name)) = common::part() else { return };
    let parts = [
        callers::part,
        #[cfg(target_os = "linux")]
        hostile::part,
        passing::part,
        qnx::part,
        revoking::part,
        #[cfg(target_os = "linux")]
        storm::part,
        #[cfg(windows)]
        windows::part,
    ];
    let played = parts.iter().any(|play| play(&part, &name));
    assert!(played, "no test has the part {part:?}");
}
