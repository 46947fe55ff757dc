//! `demo`: frames from one process to another through a ring, and through bare memory for comparison.

mod frame;
mod lane;
mod parent;
mod report;
mod worker;

pub(crate) use parent::run;
pub(crate) use worker::work;

use std::num::NonZeroU64;

/// Pass video frames between two processes and measure it
///
/// Starts a producer and a consumer process. Every byte of every frame is made by the one and checked by the
/// other, in place. As many frames go through a bare shared-memory loop between the same two processes, in
/// turns with the ring: the ratio of the two rates is what the ring costs.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ringlane demo --frames 600 --size 3840x2160")]
pub(crate) struct Args {
    /// How many frames go through the ring
    #[arg(long, value_name = "N", default_value = "300", value_parser = frame_count)]
    frames: NonZeroU64,
    /// The size of a frame in pixels of 4 bytes
    #[arg(long, value_name = "WxH", default_value = "1920x1080", value_parser = size)]
    size: Size,
    /// Print one JSON object, and no progress
    #[arg(long)]
    json: bool,
}

/// One of the two processes of `ringlane demo`, which starts it
#[derive(clap::Args)]
pub(crate) struct WorkerArgs {
    #[arg(long)]
    role: Role,
    #[arg(long)]
    ring: String,
    #[arg(long)]
    bare: String,
    #[arg(long, value_parser = frame_count)]
    frames: NonZeroU64,
    #[arg(long, value_parser = size)]
    size: Size,
    #[arg(long)]
    cpu: Option<usize>,
    #[arg(long)]
    parent: i32,
    #[arg(long)]
    progress: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Role {
    Producer,
    Consumer,
}

impl Role {
    const BOTH: [Role; 2] = [Role::Producer, Role::Consumer];

    fn as_str(self) -> &'static str {
        match self {
            Role::Producer => "producer",
            Role::Consumer => "consumer",
        }
    }
}

/// A frame's width and height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    width: u32,
    height: u32,
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

fn frame_count(text: &str) -> Result<NonZeroU64, String> {
    // So that no sum of frame numbers overflows; it would take years.
    let count = text.parse().ok().filter(|n: &NonZeroU64| n.get() <= 1_000_000_000_000);
    count.ok_or_else(|| "a whole number from 1 to 1000000000000 is wanted".to_owned())
}

fn size(text: &str) -> Result<Size, String> {
    let side = |text: &str| text.parse().ok().filter(|n| (1..=16_384).contains(n));
    let sides = text.split_once('x').and_then(|(w, h)| Some((side(w)?, side(h)?)));
    let (width, height) =
        sides.ok_or("WIDTHxHEIGHT is wanted, such as 1920x1080, each from 1 to 16384")?;
    Ok(Size { width, height })
}

/// What both processes do, in the same order.
#[derive(Clone, Copy, Debug)]
struct Plan {
    frames: u64,
    size: Size,
    /// With one processor for both, a waiting process has to let the other one run.
    yields: bool,
}

/// One stretch of frames that all go the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Round {
    way: Way,
    frames: u64,
    /// Not measured: it is there to touch all memory.
    warm_up: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Bare,
    Ring,
}

/// Measured rounds each way, unless there are fewer frames.
const ROUNDS: u64 = 5;
const WARM_UP_FRAMES: u64 = 4;

impl Plan {
    fn pixel_bytes(&self) -> usize {
        self.size.width as usize * self.size.height as usize * 4
    }

    /// Bytes of a frame with its front.
    fn record_len(&self) -> usize {
        frame::FRONT + self.pixel_bytes()
    }

    fn rounds(&self) -> u64 {
        self.frames.min(ROUNDS)
    }

    /// Bare and ring in turns, the frames spread over the rounds.
    fn schedule(&self) -> impl Iterator<Item = Round> + use<> {
        let (frames, rounds) = (self.frames, self.rounds());
        let warm_up = std::iter::once((WARM_UP_FRAMES, true));
        let measured = (0..rounds).map(move |round| {
            let extra = u64::from(round < frames % rounds);
            (frames / rounds + extra, false)
        });
        warm_up.chain(measured).flat_map(|(frames, warm_up)| {
            [Way::Bare, Way::Ring].map(|way| Round { way, frames, warm_up })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked() {
        assert_eq!(size("640x480"), Ok(Size { width: 640, height: 480 }));
        assert_eq!(size("16384x1"), Ok(Size { width: 16_384, height: 1 }));
        for bad in ["", "x", "640", "0x480", "640x0", "16385x1", "640x480x3", "-1x5", "aXb"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_frame_is_in_one_round_each_way() {
        for frames in [1, 4, 5, 7, 300, 301] {
            let plan = Plan { frames, size: Size { width: 1, height: 1 }, yields: false };
            for way in [Way::Bare, Way::Ring] {
                let measured = plan.schedule().filter(|r| r.way == way && !r.warm_up);
                assert_eq!(measured.map(|r| r.frames).sum::<u64>(), frames);
            }
            assert!(plan.schedule().all(|round| round.frames > 0));
        }
    }
}
