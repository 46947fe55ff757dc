//! Requests and replies through `ringlane::call`.

use crate::payload::{check_words, words};
use crate::row::Row;
use crate::side::{Sample, Side};
use ringlane::Wait;
use ringlane::call::{Caller, Cell, Server};

/// The rows of calls.
pub const ROWS: &[Row] = &[
    Row::trip("call cell round trip 8 B", 8, 400_000, calls::<1>),
    Row::trip("call cell round trip 56 B", 56, 300_000, calls::<7>),
    Row::trip("call cell round trip 256 B", 256, 200_000, calls::<32>),
    Row::trip("call cell round trip 8 B, both asleep", 8, 2_000, sleeping_calls),
];

fn cell<const N: usize>(side: &Side) -> Cell<[u64; N], [u64; N]> {
    side.shared("cell", Cell::create, Cell::open)
}

#[inline(always)]
fn call<const N: usize>(caller: &mut Caller<[u64; N], [u64; N]>, n: u64) {
    check_words(&caller.call(words(n)).expect("a living peer"), n);
}

/// Answers with what was asked, after having thought.
#[inline(always)]
fn serve<const N: usize>(server: &mut Server<[u64; N], [u64; N]>, n: u64, think: impl FnOnce()) {
    let served = server.serve(|words| {
        check_words(&words, n);
        think();
        words
    });
    served.expect("a living peer");
}

fn calls<const N: usize>(side: &Side) -> Sample {
    let cell = cell::<N>(side);
    if side.is_first() {
        let mut caller = cell.caller().expect("an end");
        side.trips(|n| call(&mut caller, n))
    } else {
        let mut server = cell.server().expect("an end");
        side.trips(|n| serve(&mut server, n, || ()))
    }
}

fn sleeping_calls(side: &Side) -> Sample {
    let cell = cell::<1>(side);
    if side.is_first() {
        let mut caller = cell.caller().expect("an end");
        caller.set_wait(Wait::Park);
        side.sleeping_trips(|n| call(&mut caller, n))
    } else {
        let mut server = cell.server().expect("an end");
        server.set_wait(Wait::Park);
        side.sleeping_trips(|n| serve(&mut server, n, || side.think()))
    }
}
