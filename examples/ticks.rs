//! Values of one type from one process to another: `cargo run --release --example ticks`.
//!
//! The program starts itself a second time as the consumer.

use ringlane::{Name, PopError, spsc};
use std::error::Error;
use std::process::Command;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Tick {
    symbol: u32,
    volume: u32,
    price: f64,
}

const TICKS: u32 = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(name) = std::env::args().nth(1) {
        return consume(&Name::new(&name)?);
    }
    // The ring is there before the other process is, so nobody has to try again.
    let name = Name::new(&format!("ticks-{}", std::process::id()))?;
    let options = spsc::Queue::<Tick>::options().capacity(4096).tag("ticks, v1").clone();
    let mut producer = options.create(&name)?.producer()?;
    let mut consumer = Command::new(std::env::current_exe()?).arg(name.as_str()).spawn()?;

    for n in 0..TICKS {
        producer.push(Tick { symbol: n % 500, volume: 1, price: f64::from(n) })?;
    }
    producer.close(); // the consumer takes what is left, and is then told
    let status = consumer.wait()?;
    if status.success() { Ok(()) } else { Err(status.to_string().into()) }
}

fn consume(name: &Name) -> Result<(), Box<dyn Error>> {
    let options = spsc::Queue::<Tick>::options().tag("ticks, v1").clone();
    let mut consumer = options.open(name)?.consumer()?;
    let (mut count, mut volume) = (0, 0);
    loop {
        match consumer.pop() {
            Ok(tick) => {
                assert_eq!((tick.symbol, tick.price), (count % 500, f64::from(count)));
                (count, volume) = (count + 1, volume + tick.volume);
            }
            Err(PopError::Closed) => break,
            Err(error) => return Err(error.into()),
        }
    }
    println!("{count} ticks in order, volume {volume}");
    if count == TICKS { Ok(()) } else { Err("some are missing".into()) }
}
