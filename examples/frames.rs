//! Frames written and read where they lie: `cargo run --release --example frames`.
//!
//! The producer draws straight into the ring, the consumer adds up straight from it: no copy at all.
#![allow(
    unsafe_code,
    reason = "lends the ring's own bytes, which needs the peer to keep the rules"
)]

use ringlane::{Name, PopError, record};
use std::error::Error;
use std::process::Command;

const FRAME: usize = 1280 * 720 * 4;
const FRAMES: u8 = 200;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(name) = std::env::args().nth(1) {
        return consume(&Name::new(&name)?);
    }
    let name = Name::new(&format!("frames-{}", std::process::id()))?;
    // Two frames: the one that is drawn and the one that is looked at. More would only cool the cache.
    let queue = record::Queue::options().align(64).holding(2, FRAME).create(&name)?;
    let mut producer = queue.producer()?;
    let mut consumer = Command::new(std::env::current_exe()?).arg(name.as_str()).spawn()?;

    for n in 0..FRAMES {
        let mut room = producer.reserve(FRAME)?;
        // SAFETY: the ring's mode is 0600 and its other end is this same program, which only reads.
        unsafe { room.as_mut_slice() }.fill(n);
        room.commit();
    }
    producer.close();
    let status = consumer.wait()?;
    if status.success() { Ok(()) } else { Err(status.to_string().into()) }
}

fn consume(name: &Name) -> Result<(), Box<dyn Error>> {
    let mut consumer = record::Queue::open(name)?.consumer()?;
    let mut count = 0;
    loop {
        let frame = match consumer.read() {
            Ok(frame) => frame,
            Err(PopError::Closed) => break,
            Err(error) => return Err(error.into()),
        };
        // SAFETY: the ring's mode is 0600 and its other end is this same program, which does not touch a
        // committed frame until it is released.
        let pixels = unsafe { frame.as_slice() };
        assert!(pixels.len() == FRAME && pixels.iter().all(|byte| *byte == count));
        frame.release();
        count += 1;
    }
    println!("{count} frames of {FRAME} bytes, all whole");
    if count == FRAMES { Ok(()) } else { Err("some are missing".into()) }
}
