//! zenoh: two peers over a Unix socket, payloads in shared memory of which only the description goes over it.

use ringlane_bench::cpus::unpinned;
use ringlane_bench::payload::{check_bytes, fill_bytes};
use ringlane_bench::rows::links::room;
use ringlane_bench::{Contender, Link, Row, Side};
use std::time::Duration;
use zenoh::handlers::FifoChannelHandler;
use zenoh::pubsub::{Publisher, Subscriber};
use zenoh::qos::CongestionControl;
use zenoh::sample::Sample;
use zenoh::shm::{
    BlockOn, GarbageCollect, PosixShmProviderBackend, ShmProvider, ShmProviderBuilder,
};
use zenoh::{Config, Session, Wait};

pub(crate) fn rows() -> Vec<Row> {
    let note = "in place; threads of its own on the two processors, and a socket";
    Contender::new("zenoh", note)
        .trip::<Peer<1>>()
        .trip::<Peer<8>>()
        .trip::<Peer<128>>()
        .trip::<Peer<8192>>()
        .trip::<Peer<131_072>>()
        .one_way::<Peer<1>>()
        .one_way::<Peer<7>>()
        .one_way::<Peer<128>>()
        .one_way::<Peer<8192>>()
        .one_way::<Peer<131_072>>()
        .one_way::<Peer<1_036_800>>()
        .asleep::<Peer<8>>()
        .paced::<Peer<8>>()
        .idle::<Peer<8>>()
        .rows()
}

struct Peer<const N: usize> {
    out: Publisher<'static>,
    back: Subscriber<FifoChannelHandler<Sample>>,
    memory: ShmProvider<PosixShmProviderBackend>,
    _session: Session,
}

fn config(side: &Side, label: &str) -> Config {
    let path = std::env::temp_dir().join(side.name(label).as_str());
    let address = format!("[\"unixsock-stream/{}\"]", path.display());
    let own = if side.is_first() { "listen/endpoints" } else { "connect/endpoints" };
    let other = if side.is_first() { "connect/endpoints" } else { "listen/endpoints" };
    let mut config = Config::default();
    for (key, value) in [
        ("mode", "\"peer\""),
        (own, &address),
        (other, "[]"),
        ("scouting/multicast/enabled", "false"),
        ("transport/shared_memory/enabled", "true"),
    ] {
        config.insert_json5(key, value).expect("a setting");
    }
    config
}

impl<const N: usize> Link for Peer<N> {
    const WORDS: usize = N;

    fn open(side: &Side, label: &str) -> Self {
        // Its threads must not all stay on this thread's processor.
        let session = unpinned(|| {
            if !side.is_first() {
                side.meet();
            }
            let session = zenoh::open(config(side, label)).wait().expect("a session");
            if side.is_first() {
                side.meet();
            }
            session
        });
        let (own, other) = if side.is_first() { ("to", "back") } else { ("back", "to") };
        let back = session.declare_subscriber(other).wait().expect("a subscriber");
        let out = session.declare_publisher(own).congestion_control(CongestionControl::Block);
        let out = out.wait().expect("a publisher");
        while !out.matching_status().wait().expect("a status").matching() {
            std::thread::sleep(Duration::from_millis(1));
        }
        side.meet();
        let backend = PosixShmProviderBackend::builder((room(8 * N) + 2) * 8 * N + (1 << 16));
        let backend = backend.wait().expect("memory");
        let memory = ShmProviderBuilder::backend(backend).wait();
        Peer { out, back, memory, _session: session }
    }

    fn send(&mut self, n: u64) {
        let room = self.memory.alloc(8 * N).with_policy::<BlockOn<GarbageCollect>>();
        let mut room = room.wait().expect("room");
        fill_bytes(&mut room, n);
        self.out.put(room).wait().expect("sent");
    }

    fn recv(&mut self, n: u64) {
        let sample = self.back.recv().expect("received");
        let bytes = sample.payload().to_bytes();
        assert_eq!(bytes.len(), 8 * N);
        check_bytes(&bytes, n);
    }
}
