//! A producer is killed and the next one goes on: `cargo run --release --example takeover`.
//!
//! The program starts itself as the producer, kills it after a while, and starts another. Each producer
//! asks the ring where the last one stopped, so that the numbers have neither a gap nor a repetition.

use ringlane::{Name, Peer, PopError, inspect, spsc};
use std::error::Error;
use std::process::{Child, Command};
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(name) = std::env::args().nth(1) {
        return produce(&Name::new(&name)?);
    }
    let name = Name::new(&format!("takeover-{}", std::process::id()))?;
    let mut consumer = spsc::Queue::<u64>::create(&name, 1024)?.consumer()?;
    let mut next = 0;
    for round in 1..=3 {
        let mut producer = start(&name)?;
        let came = consumer.wait_peer(Some(Duration::from_secs(10)));
        assert!(came, "no producer came");
        let before = next;
        while next < before + 100_000 {
            assert_eq!(consumer.pop()?, next);
            next += 1;
        }
        producer.kill()?; // SIGKILL: it has no chance to tidy up
        producer.wait()?;
        // What it had committed is still there, and comes first.
        loop {
            match consumer.pop() {
                Ok(number) => assert_eq!(number, next),
                Err(PopError::PeerDied) => break,
                Err(error) => return Err(error.into()),
            }
            next += 1;
        }
        assert_eq!(consumer.peer(), Peer::Died);
        println!("producer {round} was killed; {next} numbers so far, none missing, none twice");
    }
    Ok(())
}

fn start(name: &Name) -> Result<Child, Box<dyn Error>> {
    Ok(Command::new(std::env::current_exe()?).arg(name.as_str()).spawn()?)
}

fn produce(name: &Name) -> Result<(), Box<dyn Error>> {
    let mut producer = spsc::Queue::<u64>::open(name)?.producer()?;
    // Having the end, we know that nobody pushes now: this many numbers were committed before.
    let mut number = inspect::report(name)?.pushed;
    loop {
        producer.push(number)?;
        number += 1;
    }
}
