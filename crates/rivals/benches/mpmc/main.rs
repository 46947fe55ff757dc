//! `mpmc::Queue` beside what one could use instead: rates with one, two and four of each side.
//!
//! `cargo bench -p ringlane-rivals --bench mpmc [-- WHAT ...]` runs the rows whose names contain one of the words.
#![allow(unsafe_code, reason = "forks, and maps memory of its own")]
#![allow(clippy::disallowed_types, reason = "the rivals and the bare rings are of the bench's own")]

mod bare;
mod crew;
mod peers;
mod records;
mod trips;

use crew::Crew;
use peers::PEERS;
use std::time::Duration;

/// Says how long the messages took.
type Run = fn(&Crew) -> Duration;

/// Gives the nanoseconds of a round trip.
type Trip = fn() -> f64;

const ROUNDS: usize = 5;
const SHAPES: [(u64, u64); 3] = [(1, 1), (2, 2), (4, 4)];

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let rounds = number("RINGLANE_BENCH_ROUNDS").unwrap_or(ROUNDS);
    let budget = Duration::from_millis(number("RINGLANE_BENCH_MS").unwrap_or(150) as u64);
    if words.is_empty() || words.iter().any(|word| word == "trips") {
        let rows: [(&str, Trip); 5] = [
            ("two lines, bare", trips::floor),
            ("round trip, 8 B, mpmc", trips::many::<1>),
            ("round trip, 8 B, spsc", trips::pair::<1>),
            ("round trip, 56 B, mpmc", trips::many::<7>),
            ("round trip, 56 B, spsc", trips::pair::<7>),
        ];
        let mut times = vec![vec![]; rows.len()];
        for _ in 0..rounds {
            rows.iter().zip(&mut times).for_each(|((_, row), times)| times.push(row()));
        }
        let times: Vec<f64> = times.into_iter().map(median).collect();
        for ((name, _), time) in rows.iter().zip(&times) {
            println!("{name:<38} {time:8.1} ns  {:.2} times the floor", time / times[0]);
        }
    }
    let wanted = |row: &str| words.iter().all(|word| row.contains(word.as_str()));
    for (index, size) in records::WORDS.iter().map(|words| words * 8).enumerate() {
        for (producers, consumers) in [(1, 1), (2, 1), (2, 2), (4, 1)] {
            let shape = format!("records of {size} B {producers}P{consumers}C");
            let rows = records::WAYS.iter().filter(|way| way.most >= consumers);
            let rows = rows.map(|way| (way.name, way.sizes[index]));
            let rows = rows.filter(|row| wanted(&format!("{shape} {}", row.0))).collect();
            compare(&shape, (producers, consumers), rows, rounds, budget);
        }
    }
    for size in [8, 56] {
        for (producers, consumers) in SHAPES {
            let shape = format!("{size} B {producers}P{consumers}C");
            let rows = PEERS.iter().filter(|peer| peer.most >= producers);
            let rows = rows.map(|p| (p.name, if size == 8 { p.small } else { p.wide }));
            let rows = rows.filter(|row| wanted(&format!("{shape} {}", row.0))).collect();
            compare(&shape, (producers, consumers), rows, rounds, budget);
        }
    }
}

/// Interleaved rounds of each row.
fn compare(
    shape: &str,
    (producers, consumers): (u64, u64),
    rows: Vec<(&'static str, Run)>,
    rounds: usize,
    budget: Duration,
) {
    let rate = |run: Run, messages: u64| {
        let crew = Crew::new(producers, consumers, messages);
        crew.messages as f64 / run(&crew).as_secs_f64()
    };
    let messages: Vec<u64> = rows
        .iter()
        .map(|(_, run)| {
            // Some do thousands a second here and some do hundreds of millions.
            let few = (rate(*run, 2000) * budget.as_secs_f64()) as u64;
            let more = (rate(*run, few.clamp(500, 100_000)) * budget.as_secs_f64()) as u64;
            more.max(500)
        })
        .collect();
    let mut rates = vec![vec![]; rows.len()];
    for _ in 0..rounds {
        for (index, (_, run)) in rows.iter().enumerate() {
            rates[index].push(rate(*run, messages[index]) / 1e6);
        }
    }
    let ours = rates.first().map(|rates| median(rates.clone()));
    for ((name, _), rates) in rows.iter().zip(rates) {
        let (least, most) =
            rates.iter().fold((f64::MAX, 0.0_f64), |(l, m), r| (l.min(*r), m.max(*r)));
        let all = median(rates);
        println!(
            "{shape}  {name:<28} {all:8.1} M/s  ({least:.1} to {most:.1})  ours/this {:.2}",
            ours.unwrap_or(all) / all
        );
    }
}
