//! Calls, with either end killed or paused at each instruction, before survivors that are awake or asleep.

use super::journal::Journal;
use super::lane::{Numbered, Wide};
use super::matrix::{ALL, FEW, Matrix, NAP, SOME};
use super::sleep::{Side, Sleeper};
use super::stream::{After, LONG, SHORT, text};
use super::sweep::{Cell, Effect, Fate, ensure};
use super::tracer::{Victim, mark};
use crate::common::scratch;
use ringlane::call::{self, Outstanding};
use ringlane::{CallError, ErrorKind, Name, Peer, PopError, Wait};
use std::hint::black_box;

type Line = call::Cell<Wide, Wide>;
type Caller = call::Caller<Wide, Wide>;
type Server = call::Server<Wide, Wide>;

/// What is answered to a request of this number.
fn answer(number: u64) -> u64 {
    number + 1000
}

/// A cell, and the end that this process holds. It must not get a second thread, so it never sleeps.
pub(crate) struct World {
    caller: Option<Caller>,
    server: Option<Server>,
    line: Line,
    name: Name,
}

impl World {
    fn fresh(start: u64) -> Result<World, String> {
        let name = scratch();
        let line = Line::options().start(start).create(&name).map_err(text("create"))?;
        Ok(World { caller: None, server: None, line, name })
    }

    fn new(start: u64) -> Result<World, String> {
        let mut world = World::fresh(start)?;
        // The first turns of a cell that has been used.
        world.take_caller()?;
        world.take_server()?;
        world.round(99)?;
        Ok(world)
    }

    fn take_caller(&mut self) -> Result<(), String> {
        let mut caller = self.line.caller().map_err(text("take the caller"))?;
        caller.set_wait(Wait::Yield);
        self.caller = Some(caller);
        Ok(())
    }

    fn take_server(&mut self) -> Result<(), String> {
        let mut server = self.line.server().map_err(text("take the server"))?;
        server.set_wait(Wait::Yield);
        self.server = Some(server);
        Ok(())
    }

    fn caller(&mut self) -> &mut Caller {
        self.caller.as_mut().expect("this process calls")
    }

    fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("this process serves")
    }

    /// One call from one end to the other, both of which this process has.
    fn round(&mut self, number: u64) -> Result<(), String> {
        self.caller().try_start(Wide::of(number)).map_err(text("start"))?;
        let seen = serve(self.server());
        ensure!(seen == Ok(number), "instead of request {number}, serve gave {seen:?}");
        let got = self.caller().try_finish().map(|reply| reply.number());
        ensure!(got == Ok(Some(answer(number))), "the reply to {number} is {got:?}");
        Ok(())
    }
}

/// Serves one request; its number.
fn serve(server: &mut Server) -> Result<u64, PopError> {
    let mut number = None;
    server.serve_timeout(
        |request| {
            number = request.number();
            Wide::of(answer(number.expect("a torn request")))
        },
        LONG,
    )?;
    Ok(number.expect("just served"))
}

fn reply(caller: &mut Caller) -> Result<u64, CallError> {
    let reply = caller.finish_timeout(LONG)?;
    Ok(reply.number().expect("a torn reply"))
}

/// What the victim is killed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    /// The caller sends request 0.
    Start,
    /// The caller takes the reply, which is there.
    Finish,
    /// The caller waits asleep for a reply that does not come.
    FinishAsleep,
    /// The server answers request 0, which is there.
    Serve,
    /// The server waits asleep for a request that does not come.
    ServeAsleep,
    /// The caller's end is taken, while a request of its last holder is outstanding.
    AttachCaller,
    /// The server's end is taken, while a request is outstanding that its last holder was given.
    AttachServer,
}

impl Op {
    fn is_callers(self) -> bool {
        matches!(self, Op::Start | Op::Finish | Op::FinishAsleep | Op::AttachCaller)
    }
}

/// One operation, killed or paused while the other end is awake.
struct Awake<'a> {
    journal: &'a Journal,
    op: Op,
    after: After,
    start: u64,
}

impl Awake<'_> {
    fn caller(&self, line: &Line) {
        let mut caller = line.caller().expect("take the caller");
        let request = Wide::of(0);
        match self.op {
            Op::Start => {
                mark();
                let started = caller.try_start(black_box(request));
                mark();
                self.journal.note(started.is_ok());
                assert_eq!(reply(&mut caller), Ok(answer(0)));
            }
            Op::Finish => {
                caller.start(request).expect("start");
                mark();
                let got = black_box(caller.try_finish());
                mark();
                assert_eq!(got.expect("served").number(), Some(answer(0)));
            }
            _ => {
                caller.set_wait(Wait::Park);
                caller.start(request).expect("start");
                // Who first sleeps gets a thread, which must not meet a breakpoint: now, not later.
                assert!(caller.finish_timeout(SHORT).is_err_and(|e| e.is_pending()));
                mark();
                let got = caller.finish_timeout(NAP);
                mark();
                assert!(got.is_err_and(|e| e.is_pending()));
            }
        }
        assert_eq!(caller.call(Wide::of(1)).map(|reply| reply.number()), Ok(Some(answer(1))));
    }

    fn server(&self, line: &Line) {
        let mut server = line.server().expect("take the server");
        // Made before, so that the operation is short.
        let (asked, answered) = (Wide::of(0), Wide::of(answer(0)));
        let once = |server: &mut Server, limit: Option<std::time::Duration>| {
            let count = |request: Wide| {
                self.journal.count(1);
                assert_eq!(request, asked, "a torn request");
                answered
            };
            match limit {
                Some(limit) => server.serve_timeout(count, limit),
                None => server.try_serve(count),
            }
        };
        if self.op == Op::ServeAsleep {
            server.set_wait(Wait::Park);
            assert_eq!(once(&mut server, Some(SHORT)), Err(PopError::Empty));
            mark();
            let served = once(&mut server, Some(NAP));
            mark();
            assert_eq!(served, Err(PopError::Empty));
        } else {
            mark();
            let served = once(&mut server, None);
            mark();
            self.journal.note(served.is_ok());
        }
        assert_eq!(serve(&mut server), Ok(1));
    }

    /// The caller is dead. Whether its request was sent.
    fn survive_caller(&self, mut world: World) -> Result<bool, String> {
        let mut served = vec![];
        if self.after == After::Drain {
            let stop = loop {
                match serve(world.server()) {
                    Ok(number) => served.push(number),
                    Err(stop) => break stop,
                }
            };
            let vacant = self.op == Op::AttachCaller && stop == PopError::Closed;
            ensure!(stop == PopError::PeerDied || vacant, "the survivor's serve gave {stop:?}");
        }
        world.take_caller()?;
        let left = world.caller().outstanding();
        if left == Outstanding::Abandoned {
            let busy = world.caller().try_start(Wide::of(1));
            ensure!(busy == Err(CallError::Busy), "beside an abandoned request: {busy:?}");
            let idle = world.caller().try_finish().map(|_| ());
            ensure!(
                idle == Err(CallError::Idle),
                "a predecessor's call could be finished: {idle:?}"
            );
            served.push(serve(world.server()).map_err(text("serve the abandoned"))?);
        }
        ensure!(served.is_empty() || served == [0], "served {served:?}");
        // The late reply is discarded, and each of these gets its own.
        world.round(1)?;
        world.round(2)?;
        Ok(!served.is_empty())
    }

    /// The server is dead. Whether its reply was there.
    fn survive_server(&self, mut world: World) -> Result<bool, String> {
        let asleep = self.op == Op::ServeAsleep;
        if asleep {
            world.caller().try_start(Wide::of(0)).map_err(text("start"))?;
        }
        let mut early = None;
        if self.after == After::Drain {
            let got = reply(world.caller());
            let wanted = match got {
                Ok(number) => number == answer(0),
                Err(CallError::PeerDied) => true,
                Err(CallError::Closed) => self.op == Op::AttachServer,
                Err(_) => false,
            };
            ensure!(wanted, "the survivor's finish gave {got:?}");
            early = got.ok();
        }
        world.take_server()?;
        let given = self.journal.counted() == 1 || self.op == Op::AttachServer;
        let again = world.server().try_recv().map(|r| (r.value().number(), r.is_redelivery()));
        let replied = match again {
            Err(PopError::Empty) => true,
            Ok((Some(0), flag)) => {
                ensure!(flag || !given, "it was given out, and the successor is not told");
                ensure!(!flag || !asleep, "nobody was given it, and the successor is told so");
                false
            }
            other => return Err(format!("the successor was given {other:?}")),
        };
        ensure!(early.is_none() || replied, "answered, and given out again");
        if !replied {
            let number = serve(world.server());
            ensure!(number == Ok(0), "the successor served {number:?}");
        }
        if early.is_none() {
            let got = reply(world.caller());
            ensure!(got == Ok(answer(0)), "after the successor's answer: {got:?}");
        }
        world.round(1)?;
        world.round(2)?;
        Ok(replied)
    }
}

impl Cell for Awake<'_> {
    type World = World;

    fn world(&self) -> Result<World, String> {
        let mut world = World::new(self.start)?;
        match self.op {
            Op::Serve => world.caller().try_start(Wide::of(0)).map_err(text("start"))?,
            Op::AttachCaller => world.caller().try_start(Wide::of(0)).map_err(text("start"))?,
            Op::AttachServer => {
                world.caller().try_start(Wide::of(0)).map_err(text("start"))?;
                drop(world.server().try_recv().map_err(text("recv"))?);
            }
            _ => {}
        }
        match self.op.is_callers() {
            true => world.caller = None,
            false => world.server = None,
        }
        Ok(world)
    }

    fn victim(&self, world: &World) {
        let line = Line::open(&world.name).expect("open");
        match self.op {
            Op::AttachCaller => {
                mark();
                let end = line.caller();
                mark();
                drop(end);
            }
            Op::AttachServer => {
                mark();
                let end = line.server();
                mark();
                drop(end);
            }
            op if op.is_callers() => self.caller(&line),
            _ => self.server(&line),
        }
    }

    fn staged(&self, world: &mut World) -> Result<(), String> {
        if self.op == Op::Finish {
            let served = serve(world.server());
            ensure!(served == Ok(0), "before the operation, serve gave {served:?}");
        }
        Ok(())
    }

    fn judge(&self, world: World) -> Result<bool, String> {
        match self.op.is_callers() {
            true => self.survive_caller(world).map(|sent| sent && self.op == Op::Start),
            false => self.survive_server(world).map(|replied| replied && self.op == Op::Serve),
        }
    }

    fn effect(&self) -> Effect {
        match self.op {
            Op::Start | Op::Serve => Effect::Once,
            _ => Effect::Never,
        }
    }

    fn outlive(&self, victim: &mut Victim, mut world: World) -> Result<(), String> {
        if self.op == Op::Start {
            let early = world
                .server()
                .try_serve(|request| Wide::of(answer(request.number().expect("a torn request"))));
            ensure!(
                matches!(early, Ok(()) | Err(PopError::Empty)),
                "beside a stopped one: {early:?}"
            );
            let peer = world.server().peer();
            ensure!(peer == Peer::Alive, "a stopped caller is {peer:?}");
            let taken = world.line.caller().err().map(|e| e.kind());
            ensure!(taken == Some(ErrorKind::InUse), "a stopped caller's place: {taken:?}");
            victim.resume()?;
            for number in u64::from(early.is_ok())..2 {
                let served = serve(world.server());
                ensure!(served == Ok(number), "after it went on: {served:?}");
            }
            return Ok(());
        }
        let early = world.caller().try_finish().map(|reply| reply.number());
        let wanted = [Ok(Some(answer(0))), Err(CallError::Pending)];
        ensure!(wanted.contains(&early), "beside a stopped server: {early:?}");
        let peer = world.caller().peer();
        ensure!(peer == Peer::Alive, "a stopped server is {peer:?}");
        let taken = world.line.server().err().map(|e| e.kind());
        ensure!(taken == Some(ErrorKind::InUse), "a stopped server's place: {taken:?}");
        victim.resume()?;
        if early.is_err() {
            let got = reply(world.caller());
            ensure!(got == Ok(answer(0)), "after it went on: {got:?}");
        }
        world.caller().try_start(Wide::of(1)).map_err(text("start"))?;
        let got = reply(world.caller());
        ensure!(got == Ok(answer(1)), "after it went on: {got:?}");
        Ok(())
    }
}

/// One end is killed while the other sleeps in another process.
struct Asleep<'a> {
    journal: &'a Journal,
    /// The victim's end: the caller's is `Tx`.
    side: Side,
    close: bool,
}

/// How the sleeper's wait ended.
const DIED: u64 = 1;
const CLOSED: u64 = 2;

impl Asleep<'_> {
    fn other(&self) -> Side {
        if self.side == Side::Tx { Side::Rx } else { Side::Tx }
    }

    fn sleeper(&self, name: &Name) {
        let line = Line::open(name).expect("open");
        let stop = if self.side == Side::Tx {
            let mut server = line.server().expect("take the server");
            server.set_wait(Wait::Park);
            loop {
                match serve(&mut server) {
                    Ok(number) => assert_eq!(number, self.journal.counted()),
                    Err(PopError::PeerDied) => break DIED,
                    Err(PopError::Closed) => break CLOSED,
                    Err(other) => panic!("{other:?}"),
                }
                self.journal.count(self.journal.counted() + 1);
            }
        } else {
            let mut caller = line.caller().expect("take the caller");
            caller.set_wait(Wait::Park);
            caller.start(Wide::of(0)).expect("start");
            loop {
                match reply(&mut caller) {
                    Ok(number) => assert_eq!(number, answer(self.journal.counted())),
                    Err(CallError::PeerDied) => break DIED,
                    Err(CallError::Closed) => break CLOSED,
                    Err(other) => panic!("{other:?}"),
                }
                self.journal.count(self.journal.counted() + 1);
                // If the server closed meanwhile, this is not sent.
                if caller.start(Wide::of(self.journal.counted())).is_err() {
                    break CLOSED;
                }
            }
        };
        self.journal.stop(stop);
    }
}

impl Cell for Asleep<'_> {
    type World = (Sleeper, World);

    fn world(&self) -> Result<Self::World, String> {
        // Nobody has held the ends yet, so that the sleeper waits for the victim to come.
        let world = World::fresh(0)?;
        let sleeper = Sleeper::start(|| self.sleeper(&world.name))?;
        Ok((sleeper, world))
    }

    fn staged(&self, (sleeper, world): &mut Self::World) -> Result<(), String> {
        sleeper.stop(&world.name, self.other())
    }

    fn victim(&self, (_, world): &Self::World) {
        let line = Line::open(&world.name).expect("open");
        if self.side == Side::Tx {
            let mut caller = line.caller().expect("take the caller");
            let request = Wide::of(0);
            mark();
            if self.close {
                drop(caller);
            } else {
                let _ = caller.try_start(black_box(request));
                mark();
                return;
            }
        } else {
            let mut server = line.server().expect("take the server");
            let answered = Wide::of(answer(0));
            mark();
            if self.close {
                drop(server);
            } else {
                let _ = server.try_serve(|_| answered);
                mark();
                return;
            }
        }
        mark();
    }

    fn judge(&self, (mut sleeper, world): Self::World) -> Result<bool, String> {
        sleeper.go_on()?;
        sleeper.finish()?;
        let (moved, stop) = (self.journal.counted(), self.journal.stopped());
        ensure!(moved <= u64::from(!self.close), "the sleeper saw {moved} calls");
        ensure!(stop == DIED || self.close && stop == CLOSED, "the sleeper ended with {stop}");
        drop(world);
        Ok(if self.close { stop == CLOSED } else { moved == 1 })
    }

    fn effect(&self) -> Effect {
        Effect::Once
    }
}

pub(crate) fn calls(matrix: &mut Matrix) {
    let journal = matrix.journal.clone();
    for (op, label, budget) in [
        (Op::Start, "start", ALL),
        (Op::Finish, "finish", FEW),
        (Op::FinishAsleep, "finish_asleep", SOME),
        (Op::Serve, "serve", ALL),
        (Op::ServeAsleep, "serve_asleep", SOME),
        (Op::AttachCaller, "attach_caller", SOME),
        (Op::AttachServer, "attach_server", SOME),
    ] {
        let cell = |after, start| Awake { journal: &journal, op, after, start };
        let name = format!("call_{label}");
        let plan = matrix.plan(budget, None);
        let around = matrix.run(&name, Fate::Kill, plan, &cell(After::Drain, 0));
        let plan = matrix.plan(SOME, around);
        matrix.run(&format!("{name}_resume"), Fate::Kill, plan, &cell(After::Resume, 0));
        if cell(After::Drain, 0).effect() == Effect::Once {
            matrix.run(&format!("{name}_pause"), Fate::Pause, plan, &cell(After::Drain, 0));
            // The turn passes 2^64 on the way.
            let late = cell(After::Resume, u64::MAX - 3);
            matrix.run(&format!("{name}_late"), Fate::Kill, plan, &late);
        }
    }
    for (side, close, label) in [
        (Side::Tx, false, "start_before_sleeper"),
        (Side::Rx, false, "serve_before_sleeper"),
        (Side::Tx, true, "close_caller_of_sleeper"),
        (Side::Rx, true, "close_server_of_sleeper"),
    ] {
        let plan = matrix.plan(FEW, None);
        let cell = Asleep { journal: &journal, side, close };
        matrix.run(&format!("call_{label}"), Fate::Kill, plan, &cell);
    }
}
