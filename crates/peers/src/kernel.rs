//! What the kernel offers: sockets, pipes, message queues.

use crate::pass;
use nix::fcntl::OFlag;
use nix::mqueue::{MQ_OFlag, MqAttr, MqdT, mq_open, mq_receive, mq_send, mq_unlink};
use nix::sys::socket::{self, AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use ringlane_bench::payload::{check_bytes, fill_bytes};
use ringlane_bench::{Contender, Link, Row, Side};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;

const NOTE: &str = "always through the kernel";

pub(crate) fn rows() -> Vec<Row> {
    let stream = Contender::new("unix stream socket", NOTE)
        .trip::<Stream<1>>()
        .trip::<Stream<8>>()
        .trip::<Stream<128>>()
        .trip::<Stream<8192>>()
        .trip::<Stream<131_072>>()
        .one_way::<Stream<1>>()
        .one_way::<Stream<7>>()
        .one_way::<Stream<128>>()
        .one_way::<Stream<8192>>()
        .one_way::<Stream<131_072>>()
        .one_way::<Stream<1_036_800>>()
        .asleep::<Stream<8>>()
        .paced::<Stream<8>>()
        .idle::<Stream<8>>()
        .costs::<Stream<8>>();
    // A message of 1 MiB does not fit into its buffers.
    let seqpacket = Contender::new("unix seqpacket socket", NOTE)
        .trip::<Packets<1>>()
        .trip::<Packets<8>>()
        .trip::<Packets<128>>()
        .trip::<Packets<8192>>()
        .one_way::<Packets<1>>()
        .one_way::<Packets<7>>()
        .one_way::<Packets<128>>()
        .one_way::<Packets<8192>>()
        .asleep::<Packets<8>>()
        .paced::<Packets<8>>()
        .idle::<Packets<8>>()
        .costs::<Packets<8>>();
    let pipe = Contender::new("pipe", NOTE)
        .trip::<Pipe<1>>()
        .trip::<Pipe<8>>()
        .trip::<Pipe<128>>()
        .trip::<Pipe<8192>>()
        .trip::<Pipe<131_072>>()
        .one_way::<Pipe<1>>()
        .one_way::<Pipe<7>>()
        .one_way::<Pipe<128>>()
        .one_way::<Pipe<8192>>()
        .one_way::<Pipe<131_072>>()
        .one_way::<Pipe<1_036_800>>()
        .asleep::<Pipe<8>>()
        .paced::<Pipe<8>>()
        .idle::<Pipe<8>>()
        .costs::<Pipe<8>>();
    // Ten messages of 8 KiB are what a system allows if nobody has said otherwise.
    let queue = Contender::new("POSIX message queue", NOTE)
        .trip::<Queue<1>>()
        .trip::<Queue<8>>()
        .trip::<Queue<128>>()
        .one_way::<Queue<1>>()
        .one_way::<Queue<7>>()
        .one_way::<Queue<128>>()
        .asleep::<Queue<8>>()
        .paced::<Queue<8>>()
        .idle::<Queue<8>>()
        .costs::<Queue<8>>();
    [stream, seqpacket, pipe, queue].map(Contender::rows).concat()
}

struct Stream<const N: usize>(UnixStream, Vec<u8>);

impl<const N: usize> Link for Stream<N> {
    const WORDS: usize = N;

    fn open(side: &Side, label: &str) -> Self {
        Stream(pass::socket(side, label), vec![0; 8 * N])
    }

    fn send(&mut self, n: u64) {
        fill_bytes(&mut self.1, n);
        self.0.write_all(&self.1).expect("sent");
    }

    fn recv(&mut self, n: u64) {
        self.0.read_exact(&mut self.1).expect("received");
        check_bytes(&self.1, n);
    }
}

struct Packets<const N: usize>(OwnedFd, Vec<u8>);

impl<const N: usize> Link for Packets<N> {
    const WORDS: usize = N;

    fn open(side: &Side, label: &str) -> Self {
        let path = std::env::temp_dir().join(side.name(label).as_str());
        let address = UnixAddr::new(&path).expect("short enough");
        let kind = SockType::SeqPacket;
        let own = socket::socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None);
        let own = own.expect("a socket");
        let connected = if side.is_first() {
            socket::bind(own.as_raw_fd(), &address).expect("a name");
            socket::listen(&own, Backlog::new(1).expect("one")).expect("a listener");
            side.meet();
            let fd = socket::accept(own.as_raw_fd()).expect("a client");
            std::fs::remove_file(path).expect("it is there");
            // SAFETY: the kernel has just given it to us.
            unsafe { OwnedFd::from_raw_fd(fd) }
        } else {
            side.meet();
            socket::connect(own.as_raw_fd(), &address).expect("a connection");
            own
        };
        Packets(connected, vec![0; 8 * N])
    }

    fn send(&mut self, n: u64) {
        fill_bytes(&mut self.1, n);
        let sent = socket::send(self.0.as_raw_fd(), &self.1, MsgFlags::empty()).expect("sent");
        assert_eq!(sent, 8 * N);
    }

    fn recv(&mut self, n: u64) {
        let came = socket::recv(self.0.as_raw_fd(), &mut self.1, MsgFlags::empty());
        assert_eq!(came.expect("received"), 8 * N);
        check_bytes(&self.1, n);
    }
}

struct Pipe<const N: usize> {
    out: File,
    back: File,
    message: Vec<u8>,
}

impl<const N: usize> Link for Pipe<N> {
    const WORDS: usize = N;

    fn open(side: &Side, label: &str) -> Self {
        let paths = ["to", "back"]
            .map(|way| std::env::temp_dir().join(side.name(&format!("{label}-{way}")).as_str()));
        if side.is_first() {
            paths.iter().for_each(|path| mkfifo(path, Mode::S_IRWXU).expect("a pipe"));
        }
        side.meet();
        // To read and write, so that nobody waits for the other to come.
        let [to, back] = paths.each_ref().map(|path| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).custom_flags(OFlag::O_CLOEXEC.bits());
            let file = options.open(path).expect("a pipe");
            if 8 * N > 1024 {
                // SAFETY: an integer and no pointer. As much as a user may ask for.
                let size = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETPIPE_SZ, 1 << 20) };
                assert!(size > 0, "a larger pipe");
            }
            file
        });
        side.meet();
        if side.is_first() {
            paths.iter().for_each(|path| std::fs::remove_file(path).expect("it is there"));
        }
        let (out, back) = if side.is_first() { (to, back) } else { (back, to) };
        Pipe { out, back, message: vec![0; 8 * N] }
    }

    fn send(&mut self, n: u64) {
        fill_bytes(&mut self.message, n);
        self.out.write_all(&self.message).expect("sent");
    }

    fn recv(&mut self, n: u64) {
        self.back.read_exact(&mut self.message).expect("received");
        check_bytes(&self.message, n);
    }
}

struct Queue<const N: usize> {
    out: MqdT,
    back: MqdT,
    message: Vec<u8>,
}

impl<const N: usize> Link for Queue<N> {
    const WORDS: usize = N;

    fn open(side: &Side, label: &str) -> Self {
        let names =
            ["to", "back"].map(|way| format!("/{}", side.name(&format!("{label}-{way}")).as_str()));
        let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_RDWR | MQ_OFlag::O_CLOEXEC;
        let attributes = MqAttr::new(0, 10, 8 * N as i64, 0);
        let open = |name: &String| {
            mq_open(name.as_str(), flags, Mode::S_IRWXU, Some(&attributes)).expect("a queue")
        };
        let [to, back] = names.each_ref().map(open);
        side.meet();
        if side.is_first() {
            names.iter().for_each(|name| mq_unlink(name.as_str()).expect("it is there"));
        }
        let (out, back) = if side.is_first() { (to, back) } else { (back, to) };
        Queue { out, back, message: vec![0; 8 * N] }
    }

    fn send(&mut self, n: u64) {
        fill_bytes(&mut self.message, n);
        mq_send(&self.out, &self.message, 0).expect("sent");
    }

    fn recv(&mut self, n: u64) {
        let mut priority = 0;
        let came = mq_receive(&self.back, &mut self.message, &mut priority).expect("received");
        assert_eq!(came, 8 * N);
        check_bytes(&self.message, n);
    }
}
