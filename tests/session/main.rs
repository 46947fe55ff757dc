//! Servers and sessions, by the scenarios of VirtualBox's local IPC: servers (`v_`), sessions (`x_`), data (`d_`) and
//! hostile peers (`z_`). The number in a test's name is the scenario's; `docs/seeds.md` says which promise each one
//! shows.
//!
//! Where a scenario takes a second process, the test program runs itself again.
#![cfg(all(any(target_os = "linux", windows), not(loom)))]
#![allow(unsafe_code, reason = "maps memory as a hostile peer would")]

#[path = "../common/mod.rs"]
mod common;

mod data;
#[cfg(target_os = "linux")]
mod hostile;
#[cfg(target_os = "linux")]
mod many;
mod originals;
mod peers;
mod servers;
mod sessions;
mod support;
#[cfg(windows)]
mod windows;

/// Where a second process comes in. As a test of its own it does nothing.
#[test]
fn second_process() {
    let Some((part, name)) = common::part() else { return };
    let name = support::service(&name);
    let parts = [
        data::part,
        #[cfg(target_os = "linux")]
        hostile::part,
        #[cfg(target_os = "linux")]
        many::part,
        peers::part,
        servers::part,
        sessions::part,
        #[cfg(windows)]
        windows::hostile::part,
    ];
    let played = parts.iter().any(|play| play(&part, &name));
    assert!(played, "no test has the part {part:?}");
}
