//! ipc-channel: channels of bytes over the kernel's sockets; what is large goes through memory of its own.

use ::ipc_channel::ipc::{
    IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcSender, bytes_channel,
};
use ringlane_bench::payload::{check_bytes, fill_bytes};
use ringlane_bench::{Contender, Link, Row, Side};
use std::fs;

pub(crate) fn rows() -> Vec<Row> {
    Contender::new("ipc-channel", "always through the kernel; unbounded, so the sender never waits")
        .trip::<Channel<1>>()
        .trip::<Channel<8>>()
        .trip::<Channel<128>>()
        .trip::<Channel<8192>>()
        .trip::<Channel<131_072>>()
        .one_way::<Channel<1>>()
        .one_way::<Channel<7>>()
        .one_way::<Channel<128>>()
        .one_way::<Channel<8192>>()
        .one_way::<Channel<131_072>>()
        .one_way::<Channel<1_036_800>>()
        .asleep::<Channel<8>>()
        .paced::<Channel<8>>()
        .idle::<Channel<8>>()
        .costs::<Channel<8>>()
        .rows()
}

struct Channel<const N: usize> {
    out: IpcBytesSender,
    back: IpcBytesReceiver,
    message: Vec<u8>,
}

impl<const N: usize> Link for Channel<N> {
    const WORDS: usize = N;

    fn open(side: &Side, label: &str) -> Self {
        type Ends = (IpcBytesSender, IpcBytesReceiver);
        let path = format!("/dev/shm/{}", side.name(label).as_str());
        let (out, back) = if side.is_first() {
            let (server, name) = IpcOneShotServer::<Ends>::new().expect("a server");
            fs::write(&path, name).expect("the server's name");
            side.meet();
            let (_, ends) = server.accept().expect("a client");
            fs::remove_file(path).expect("it is there");
            ends
        } else {
            side.meet();
            let name = fs::read_to_string(&path).expect("the server's name");
            let (out, others) = bytes_channel().expect("a channel");
            let (other, back) = bytes_channel().expect("a channel");
            let ends: Ends = (other, others);
            IpcSender::connect(name).expect("a server").send(ends).expect("sent");
            (out, back)
        };
        Channel { out, back, message: vec![0; 8 * N] }
    }

    fn send(&mut self, n: u64) {
        fill_bytes(&mut self.message, n);
        self.out.send(&self.message).expect("sent");
    }

    fn recv(&mut self, n: u64) {
        let bytes = self.back.recv().expect("received");
        assert_eq!(bytes.len(), 8 * N);
        check_bytes(&bytes, n);
    }
}
