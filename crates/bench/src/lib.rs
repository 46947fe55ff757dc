//! What measures ringlane: two pinned processes, the floors of the same run, and the rows.
//!
//! A [`Row`] is something that can be timed, and does its part on either of two [`Side`]s: both are this
//! executable, so a `main` that measures begins with [`enter`]. A [`Plan`] runs rows in interleaved rounds and
//! probes the floor, a bare two-line ping-pong between the same two sides, before and after each run. The
//! host moves virtual processors about: the floor tells their [`Placement`], a run during which it moved
//! is done again, and only runs of one placement are compared. Every message is checked in the run that is
//! timed.

pub mod cpus;
mod machine;
mod pair;
pub mod payload;
mod plan;
mod results;
mod row;
pub mod rows;
mod side;
mod table;

pub use machine::Machine;
pub use pair::{end_with_parent, enter, run_bare};
pub use plan::Plan;
pub use results::{Measured, Placement, Results, Timed, median};
pub use row::{Half, Measure, Row, Run};
pub use side::{Sample, Side};
pub use table::Table;
