//! An audio server: clients, each a process, stream samples into sessions, and one thread mixes them in real time, a
//! block every few milliseconds, with no call of the kernel for a client that has its samples there in time.
//!
//!     cargo run --example audio_server            # 8 clients, a second of sound
//!     cargo run --example audio_server -- 30 5    # 30 clients, 5 seconds

use ringlane::SessionError;
use ringlane::session::{ConnectOptions, Server, ServiceName, Session};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const RATE: usize = 48_000;
/// Samples of a block: 5 ms.
const BLOCK: usize = RATE / 200;
const BYTES: usize = 2 * BLOCK;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, pitch, blocks] = &args[..]
        && flag == "--client"
    {
        return client(&ServiceName::new(name)?, pitch.parse()?, blocks.parse()?);
    }
    let number = |at: usize, default| args.get(at).map_or(Ok(default), |text| text.parse());
    let (clients, seconds) = (number(0, 8_usize)?, number(1, 1_usize)?);
    serve(clients, seconds * RATE / BLOCK)
}

/// A voice: a tone of its own pitch.
fn client(name: &ServiceName, pitch: f64, blocks: usize) -> Result<(), Box<dyn std::error::Error>> {
    // Four blocks of sound are on the way at most: what is written more waits.
    let session = ConnectOptions::new().outgoing(4 * BYTES).incoming(4096).connect(name)?;
    for block in 0..blocks {
        let mut bytes = [0; BYTES];
        for (n, sample) in bytes.as_chunks_mut().0.iter_mut().enumerate() {
            let time = (block * BLOCK + n) as f64 / RATE as f64;
            let value = (time * pitch * std::f64::consts::TAU).sin() * 1000.0;
            *sample = (value as i16).to_ne_bytes();
        }
        session.write_all(&bytes)?;
    }
    // What is written is there for the server, even if this process goes now.
    Ok(())
}

/// What the server knows of a client.
struct Voice {
    session: Session,
    block: [u8; BYTES],
    filled: usize,
    late: u64,
}

impl Voice {
    /// Takes what is there of the next block. False when the client has gone and all was taken.
    fn fill(&mut self) -> bool {
        while self.filled < BYTES {
            match self.session.try_read(&mut self.block[self.filled..]) {
                Ok(len) => self.filled += len,
                Err(SessionError::WouldBlock) => return true,
                Err(_) => return false,
            }
        }
        true
    }
}

fn serve(clients: usize, blocks: usize) -> Result<(), Box<dyn std::error::Error>> {
    let text = format!("ringlane audio {}", std::process::id());
    let name = ServiceName::new(&text)?;
    let server = Server::bind(&name)?;
    let program = std::env::current_exe()?;
    let start = |n: usize| {
        let pitch = (220 + 55 * n).to_string();
        let mut command = Command::new(&program);
        command.args(["--client", &text, &pitch, &blocks.to_string()]).spawn()
    };
    let mut children: Vec<Child> = (0..clients).map(start).collect::<Result<_, _>>()?;

    let mut voices: Vec<Voice> = Vec::new();
    let (mut mixed, mut late, mut peak, mut worst) = (0_u64, 0, 0_i32, Duration::ZERO);
    let (mut joined, mut next) = (0, Instant::now());
    while joined < clients || !voices.is_empty() {
        while let Some(session) = server.try_accept()? {
            voices.push(Voice { session, block: [0; BYTES], filled: 0, late: 0 });
            joined += 1;
        }
        let began = Instant::now();
        let mut mix = [0_i32; BLOCK];
        voices.retain_mut(|voice| {
            let alive = voice.fill();
            if voice.filled == BYTES {
                for (sum, sample) in mix.iter_mut().zip(voice.block.as_chunks().0) {
                    *sum += i32::from(i16::from_ne_bytes(*sample));
                }
                (voice.filled, mixed) = (0, mixed + 1);
                return true;
            }
            // It is silent in this block: the others do not wait for it.
            voice.late += 1;
            if !alive {
                late += voice.late - 1;
            }
            alive
        });
        peak = mix.iter().map(|sum| sum.abs()).max().unwrap_or(0).max(peak);
        worst = worst.max(began.elapsed());
        // The sound card would take the block now.
        next += Duration::from_secs_f64(BLOCK as f64 / RATE as f64);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    for child in &mut children {
        assert!(child.wait()?.success(), "a client failed");
    }
    assert_eq!(mixed, (clients * blocks) as u64, "a block is lost");
    println!(
        "{clients} clients, {mixed} blocks mixed, {late} came late, peak {peak}, longest mix {worst:?}"
    );
    Ok(())
}
