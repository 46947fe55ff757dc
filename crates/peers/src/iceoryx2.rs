//! iceoryx2: a service of publish and subscribe each way, samples lent in shared memory; to sleep, a service of
//! events beside each, as its own documentation has it.

use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{
    BackpressureStrategy, Config, LogLevel, Node, NodeBuilder, ServiceName, ipc, set_log_level,
};
use ringlane_bench::payload::check_slice;
use ringlane_bench::rows::links::room;
use ringlane_bench::{Contender, Link, Row, Side};

pub(crate) fn rows() -> Vec<Row> {
    let note = "in place; wake-ups through an event service";
    Contender::new("iceoryx2", note)
        .trip::<Service<1>>()
        .trip::<Service<8>>()
        .trip::<Service<128>>()
        .trip::<Service<8192>>()
        .trip::<Service<131_072>>()
        .one_way::<Service<1>>()
        .one_way::<Service<7>>()
        .one_way::<Service<128>>()
        .one_way::<Service<8192>>()
        .one_way::<Service<131_072>>()
        .one_way::<Service<1_036_800>>()
        .asleep::<Service<8>>()
        .paced::<Service<8>>()
        .idle::<Service<8>>()
        .costs::<Service<8>>()
        .rows()
}

type Kind = ipc::Service;

struct Service<const N: usize> {
    out: Publisher<Kind, [u64], ()>,
    back: Subscriber<Kind, [u64], ()>,
    wake: Notifier<Kind>,
    sleep: Listener<Kind>,
    parked: bool,
    _node: Node<Kind>,
}

impl<const N: usize> Link for Service<N> {
    const WORDS: usize = N;

    fn open(side: &Side, label: &str) -> Self {
        set_log_level(LogLevel::Error);
        let node = NodeBuilder::new().config(Config::global_config()).create::<Kind>();
        let node = node.expect("a node");
        let name = |way: &str| {
            let name = format!("{}-{way}", side.name(label).as_str());
            ServiceName::new(&name).expect("a plain name")
        };
        // One after the other: two nodes that make the same service at once get in each other's way.
        let services = || {
            ["to", "back"].map(|way| {
                let builder = node.service_builder(&name(way)).publish_subscribe::<[u64]>();
                let data = builder
                    .max_publishers(1)
                    .max_subscribers(1)
                    .history_size(0)
                    .enable_safe_overflow(false)
                    .subscriber_max_buffer_size(room(8 * N))
                    .open_or_create()
                    .expect("a service");
                let event = node.service_builder(&name(way)).event().open_or_create();
                (data, event.expect("a service"))
            })
        };
        let made = side.is_first().then(services);
        side.meet();
        let [to, back] = made.unwrap_or_else(services);
        let (out, back) = if side.is_first() { (to, back) } else { (back, to) };
        let subscriber = back.0.subscriber_builder().create().expect("a subscriber");
        let sleep = back.1.listener_builder().create().expect("a listener");
        side.meet();
        let publisher = out
            .0
            .publisher_builder()
            .initial_max_slice_len(N)
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .create()
            .expect("a publisher");
        let wake = out.1.notifier_builder().create().expect("a notifier");
        side.meet();
        Service { out: publisher, back: subscriber, wake, sleep, parked: false, _node: node }
    }

    fn park(&mut self) {
        self.parked = true;
    }

    #[inline(always)]
    fn send(&mut self, n: u64) {
        let sample = self.out.loan_slice_uninit(N).expect("room");
        sample.write_from_fn(|i| n.wrapping_add(i as u64)).send().expect("sent");
        if self.parked {
            self.wake.notify().expect("notified");
        }
    }

    #[inline(always)]
    fn recv(&mut self, n: u64) {
        loop {
            if let Some(sample) = self.back.receive().expect("received") {
                assert_eq!(sample.payload().len(), N);
                return check_slice(sample.payload(), n);
            }
            if self.parked {
                self.sleep.blocking_wait(|_| {}).expect("woken");
            }
        }
    }
}
