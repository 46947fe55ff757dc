//! A frame server: each viewer, a process, gets a ring of frames of its own that it can only read, by the kernel's hand.
//! Halfway one viewer's ring is taken back, and the others go on.
//!
//!     cargo run --release --example frame_server            # 3 viewers, 600 frames
//!     cargo run --release --example frame_server -- 8 6000
//!
//! The frames lie in memory that the viewer was given by a handle; which slot of it has a new one, and which is free
//! again, goes by the session.

use ringlane::handle::{Access, Broker, HandleId, HandleOptions, Revoke};
use ringlane::session::{Server, ServiceName, Session};
use ringlane::{ErrorKind, Mapping, SessionError, SharedMemory};
use std::error::Error;
use std::process::{Child, Command};
use std::time::Duration;

const FRAME: usize = 320 * 180 * 4;
/// Frames of a ring.
const SLOTS: u64 = 4;
/// How long a viewer may keep all of its frames before the server goes on without it.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name] = &args[..]
        && flag == "--view"
    {
        return view(&ServiceName::new(name)?);
    }
    let number = |at: usize, default: usize| args.get(at).map_or(Ok(default), |text| text.parse());
    serve(number(0, 3)?, number(1, 600)? as u64)
}

fn slot(frame: u64) -> usize {
    (frame % SLOTS) as usize * FRAME
}

/// A picture in which every word says which frame it is of.
fn paint(frame: u64, picture: &mut [u8]) {
    for (n, word) in picture.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        *word = (frame << 32 | n as u64).to_ne_bytes();
    }
}

/// What the server knows of a viewer.
struct Viewer {
    session: Session,
    ring: Mapping,
    handle: HandleId,
    /// Frames that it has done with.
    seen: u64,
}

impl Viewer {
    fn welcome(session: Session, broker: &Broker) -> Result<Viewer, Box<dyn Error>> {
        let memory = SharedMemory::anonymous(SLOTS * FRAME as u64)?;
        // Mapped before it is sealed: from then on nobody gets to write to it any more.
        let ring = memory.map()?;
        let mut options = HandleOptions::new();
        options.seal_writes(true).revocable(true).no_descriptor(true);
        let handle = session.send_memory(broker, &memory, Access::ReadOnly, &options)?;
        Ok(Viewer { session, ring, handle, seen: 0 })
    }

    /// Puts a frame into its ring when there is a free slot.
    fn show(&mut self, frame: u64, picture: &[u8]) -> Result<(), Box<dyn Error>> {
        while frame - self.seen >= SLOTS {
            self.session.recv_timeout(PATIENCE)?;
            self.seen += 1;
        }
        self.ring.write_at(slot(frame), picture)?;
        Ok(self.session.send(&frame.to_ne_bytes())?)
    }
}

fn serve(viewers: usize, frames: u64) -> Result<(), Box<dyn Error>> {
    let name = ServiceName::new(&format!("frames-{}", std::process::id()))?;
    let (server, broker) = (Server::bind(&name)?, Broker::start()?);
    let program = std::env::current_exe()?;
    let start = || Command::new(&program).args(["--view", &name.to_string()]).spawn();
    let mut children = (0..viewers).map(|_| start()).collect::<Result<Vec<Child>, _>>()?;
    let mut watching = Vec::new();
    for number in 0..viewers {
        let session = server.accept_timeout(PATIENCE)?.ok_or("a viewer did not come")?;
        println!("viewer {number} is process {}", session.peer_pid()?);
        watching.push((number, Viewer::welcome(session, &broker)?));
    }
    let mut picture = vec![0; FRAME];
    for frame in 0..frames {
        if frame == frames / 2 && !watching.is_empty() {
            let (number, viewer) = watching.remove(0);
            let held = broker.guarantees(viewer.handle)?;
            broker.revoke_handle(viewer.handle, Revoke::Wipe)?;
            println!(
                "viewer {number} is to see no more: its ring is wiped (held by the {:?}), after {frame} frames",
                held.wipe
            );
            // It is told of one more frame, and finds out.
            let _ = viewer.session.send(&frame.to_ne_bytes());
        }
        paint(frame, &mut picture);
        watching.retain_mut(|(number, viewer)| {
            let shown = viewer.show(frame, &picture);
            if let Err(error) = &shown {
                println!("viewer {number} is gone: {error}");
            }
            shown.is_ok()
        });
    }
    for (number, viewer) in watching {
        viewer.session.flush_timeout(PATIENCE)?;
        println!("viewer {number} was shown {frames} frames");
        viewer.session.close();
    }
    for child in &mut children {
        if !child.wait()?.success() {
            return Err("a viewer saw what it should not have seen".into());
        }
    }
    let counts = broker.counts();
    println!("handles left: {} not redeemed, {} revocable", counts.waiting, counts.revocable);
    Ok(())
}

fn view(name: &ServiceName) -> Result<(), Box<dyn Error>> {
    let session = Session::connect(name)?;
    let ring = session.recv_handle()?.map(ringlane::MapOptions::new().read(true))?;
    let me = std::process::id();
    let (mut seen, mut expected) = (vec![0; FRAME], vec![0; FRAME]);
    for count in 0_u64.. {
        let frame = match session.recv() {
            Ok(message) => u64::from_ne_bytes(message.as_slice().try_into()?),
            Err(SessionError::BrokenPipe { .. }) => {
                println!("process {me}: saw {count} frames, each one whole");
                break;
            }
            Err(error) => return Err(error.into()),
        };
        match ring.read_at(slot(frame), &mut seen) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Revoked => {
                println!("process {me}: saw {count} frames, and then the ring was taken back");
                break;
            }
            Err(error) => return Err(error.into()),
        }
        paint(frame, &mut expected);
        if seen != expected {
            return Err(format!("frame {frame} is not what was sent").into());
        }
        // The slot is free again. If the server closed meanwhile, that is told by the next receive.
        let _ = session.send(b".");
    }
    Ok(())
}
