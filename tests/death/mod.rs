//! The matrix.

mod arena;
mod call;
mod give;
mod goods;
mod heirs;
mod journal;
mod lane;
mod life;
mod many;
mod matrix;
mod meet;
mod object;
mod several;
mod sleep;
mod spans;
mod stream;
mod sweep;
mod toy;
mod tracer;

pub(crate) use matrix::main;
