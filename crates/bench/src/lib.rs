//! What measures ringlane: two pinned processes, the floors of the same run, and the rows.
//!
//! A [`Row`] is something that can be timed, and does its part on either of two [`Side`]s: both are this
//! executable, so a `main` that measures begins with [`enter`]. A [`Plan`] runs rows in interleaved rounds and
//! probes the floor, a bare two-line ping-pong between the same two sides, before and after each run. The
//! host moves virtual processors about: the floor tells their [`Placement`], a run during which it moved
//! is done again, and only runs of one placement are compared. Every message is checked in the run that is
//! timed.
//!
//! What measures is Linux's; elsewhere there is only what the program's demo takes of it.

#[cfg(target_os = "linux")]
mod contender;
pub mod cpus;
#[cfg(target_os = "linux")]
pub mod link;
#[cfg(target_os = "linux")]
mod machine;
#[cfg(target_os = "linux")]
mod pair;
mod parent;
#[cfg(target_os = "linux")]
pub mod payload;
#[cfg(target_os = "linux")]
mod plan;
#[cfg(target_os = "linux")]
pub mod plot;
#[cfg(target_os = "linux")]
mod results;
#[cfg(target_os = "linux")]
mod row;
#[cfg(target_os = "linux")]
pub mod rows;
#[cfg(target_os = "linux")]
mod side;
#[cfg(target_os = "linux")]
mod table;

pub use parent::end_with_parent;

#[cfg(target_os = "linux")]
pub use {
    contender::Contender,
    link::Link,
    machine::Machine,
    pair::{enter, run_bare},
    plan::Plan,
    results::{Measured, Placement, Results, Timed, median},
    row::{Half, Measure, Row, Run},
    side::{Sample, Side},
    table::Table,
};
