//! Bytes of a segment as typed references: the only place that knows an offset.
//!
//! ```text
//!   0            header   written once before the segment appears, then only read
//!   1024         part of the producer: position line, gate line     (P is the page size)
//!   P            part of the consumer: position line, gate line
//!   2 P          data: slots, bytes of records, or a call cell      mapped once or twice
//! ```
//!
//! A ring for many has the words of all where the producer's part is, then a place for each, then slots; one of
//! records has blocks behind its slots, and they are the data.
//! A session's memory is two such objects without a header, see [`Hall`].
//!
//! Each side writes to its own part only, and the producer to the data; so the two parts can as well
//! lie in two objects of which each side maps the other's read-only. A call cell is the exception: its one
//! line of data is written by both sides in turn. All numbers are in the machine's byte order. `docs/layout.md` is the normative description.

mod cell;
mod control;
mod data;
#[cfg(any(target_os = "linux", windows))]
mod hall;
mod header;
mod home;
mod part;
mod participants;
#[cfg(not(loom))]
mod peek;
mod role;
mod segment;
mod slots;
mod sole;

pub(crate) use cell::{Exchange, bytes_of};
pub(crate) use control::{Control, LONGEST_RUN, State, Turn, Turns};
pub(crate) use data::{Bytes, is_alignment};
#[cfg(any(target_os = "linux", windows))]
pub(crate) use hall::{Hall, Lane, ring_size};
pub(crate) use header::{BYTE_ORDER, DATA_ALIGN, Kind, LAYOUT, LEAST_BLOCK, Spec, tag_of};
pub(crate) use home::{Home, Parts};
pub(crate) use part::{Gate, Position, Side, state};
#[cfg(not(loom))]
pub(crate) use participants::standing;
pub(crate) use participants::{Common, Crowd, Members, Owner, Place};
#[cfg(not(loom))]
pub(crate) use peek::{Abandoned, PartImage, ParticipantImage, Peek};
pub use role::Peer;
pub(crate) use role::Role;
pub(crate) use segment::{Create, Forum, Segment, data_unit};
pub(crate) use slots::{Cells, Slots};
pub(crate) use sole::Standing;
