//! Sessions: a server under a name, and connections to it that carry bytes and messages both ways, between
//! processes that need not trust each other.
//!
//! ```text
//!   ServerOptions --bind--> Server --accept--> Session  <==== two rings ====>  Session <--connect-- ConnectOptions
//! ```
//!
//! Each side makes the memory that it writes, seals it, and passes it to the other side, which can only read it. (On
//! Windows the client makes both, see `docs/trust.md`.) The socket, there a pipe, serves to meet, to say who is who, to pass the memory, and to notice that the other side is gone; what
//! is sent goes through the rings and touches no socket while both sides are awake.
//!
//! ```
//! use ringlane::session::{Server, ServiceName, Session};
//!
//! let name = ServiceName::new("ringlane doc session")?;
//! let server = Server::bind(&name)?;
//! let thread = std::thread::spawn(move || {
//!     let session = server.accept().unwrap();
//!     let mut request = [0; 4];
//!     session.read_exact(&mut request).unwrap();
//!     session.write_all(&request.map(|byte| byte.to_ascii_uppercase())).unwrap();
//!     session.flush().unwrap();
//! });
//!
//! let session = Session::connect(&name)?;
//! session.write_all(b"ping").unwrap();
//! let mut reply = [0; 4];
//! session.read_exact(&mut reply).unwrap();
//! assert_eq!(&reply, b"PING");
//! # thread.join().unwrap();
//! # Ok::<(), ringlane::Error>(())
//! ```
//!
//! # Polling
//!
//! One thread can serve any number of sessions: [`Server`] and [`Session`] lend a descriptor (`AsFd`) for `poll(2)` and the
//! like, on Windows an event (`AsHandle`). A server's is readable when there is something for [`Server::try_accept`] to do. A
//! session's is readable after [`Session::arm_read`] or [`Session::arm_write`] said that there is nothing yet, and then something
//! came; it costs the other side one system call to say so, and none when nobody is armed.

mod connect;
mod control;
mod hello;
mod io;
mod link;
mod message;
mod name;
mod options;
mod peer;
mod poll;
mod server;
#[expect(clippy::module_inception, reason = "the session itself")]
mod session;
mod split;
mod turn;

pub use connect::ConnectOptions;
pub use name::ServiceName;
pub use options::ServerOptions;
pub use server::{Canceller, Server};
pub use session::{CloseOutcome, Session};
pub use split::{SessionReader, SessionWriter};

/// The result of a session's operation.
pub type Result<T> = std::result::Result<T, crate::error::SessionError>;

/// Bytes of a ring if nothing is said.
const RING: usize = 1 << 18;
