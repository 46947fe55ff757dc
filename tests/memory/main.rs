//! Named shared memory, by the scenarios of its forerunners: RTShMem (`s_`), NSPR (`n_`) and QNX (`q_`). The
//! number in a test's name is the scenario's; `docs/seeds.md` says which promise each one shows.
//!
//! Where a scenario takes a second process, the test program runs itself again.
#![cfg(all(target_os = "linux", not(loom)))]
#![allow(unsafe_code, reason = "forks, calls mapped code, touches what must not be touched")]

#[path = "../common/mod.rs"]
mod common;

mod extras;
mod hosting;
mod limits;
mod nspr;
mod objects;
mod originals;
mod paper;
mod planted;
mod races;
mod ranges;
#[cfg(feature = "shared_memory")]
mod shmem;
mod support;
mod users;

/// Where a second process comes in. As a test of its own it does nothing.
#[test]
fn second_process() {
    let Some((part, name)) = support::part() else { return };
    let parts = [
        extras::part,
        hosting::part,
        limits::part,
        nspr::part,
        objects::part,
        originals::part,
        planted::part,
        races::part,
        users::part,
    ];
    let played = parts.iter().any(|play| play(&part, &name));
    assert!(played, "no test has the part {part:?}");
}
