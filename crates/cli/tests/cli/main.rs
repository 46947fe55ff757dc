//! The program itself, in real processes: what it prints, what it leaves behind, what a kill does to it.

mod bench;
mod crash;
mod demo;
mod faults;
mod help;
mod program;
mod rings;
mod transfer;
