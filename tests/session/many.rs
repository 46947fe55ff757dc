//! Many sessions at a time.

use crate::common::{Second, page, scratch, until};
use crate::support::{Task, connected, service};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use ringlane::SessionError;
use ringlane::session::{ConnectOptions, Server, ServerOptions, ServiceName, Session};
use std::collections::HashMap;
use std::os::fd::AsFd;

const RING: usize = 4096;

/// How large the test is: processes, sessions of each, messages of each session.
fn size() -> (usize, usize, u32) {
    if std::env::var_os("RINGLANE_SOAK_SECONDS").is_some() { (50, 20, 1000) } else { (10, 10, 100) }
}

fn options() -> ConnectOptions {
    ConnectOptions::new().outgoing(RING).incoming(RING).clone()
}

pub(crate) fn part(part: &str, name: &ServiceName) -> bool {
    match part {
        "echo in many sessions" => {
            let (_, sessions, messages) = size();
            let sessions: Vec<Session> =
                (0..sessions).map(|_| options().connect(name).unwrap()).collect();
            for session in &sessions {
                session.send(&std::process::id().to_ne_bytes()).unwrap();
            }
            let mut waiting: Vec<u32> = vec![0; sessions.len()];
            for message in 0..messages {
                for (session, count) in sessions.iter().zip(&mut waiting) {
                    session.send(&message.to_ne_bytes()).unwrap();
                    let answer = session.recv().unwrap();
                    assert_eq!(answer, (message ^ 0x5555).to_ne_bytes());
                    *count += 1;
                }
            }
        }
        "serve many sessions" => serve_many(),
        "count what sessions cost" => count_costs(),
        _ => return false,
    }
    true
}

/// How many descriptors this process has.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Objects of sessions that are mapped here, and the size of each.
fn objects() -> HashMap<String, usize> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut sizes = HashMap::new();
    for line in maps.lines().filter(|line| line.contains("ringlane session")) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let number = |text: &str| usize::from_str_radix(text, 16).unwrap();
        let (start, end) = words[0].split_once('-').unwrap();
        let size = sizes.entry(words[4].to_owned()).or_default();
        *size = number(end).saturating_sub(number(start)).wrapping_add(number(words[2])).max(*size);
    }
    sizes
}

fn many_descriptors() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(100_000), hard).unwrap();
}

/// What the server knows of one session.
struct Served {
    session: Session,
    pid: u32,
    next: u32,
}

#[test]
fn one_thread_serves_many_sessions_of_which_a_tenth_is_killed() {
    let second = Second::start("serve many sessions", &scratch());
    assert!(second.done_within(std::time::Duration::from_secs(600)).success());
}

/// One thread, which sleeps in one place, serves all the sessions of processes of which some are killed.
fn serve_many() {
    many_descriptors();
    let before = descriptors();
    let (processes, sessions, messages) = size();
    let all = processes * sessions;
    let name = scratch();
    let server = ServerOptions::new().backlog(1000).bind(&service(&name)).unwrap();
    let mut random = StdRng::seed_from_u64(9);
    let mut seconds: Vec<Option<Second>> =
        (0..processes).map(|_| Some(Second::start("echo in many sessions", &name))).collect();
    let mut to_kill: Vec<usize> = (0..processes).filter(|n| n % 10 == 3).collect();
    let mut killed = Vec::new();
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    epoll.add(&server, EpollEvent::new(EpollFlags::EPOLLIN, u64::MAX)).unwrap();
    let mut served: HashMap<u64, Served> = HashMap::new();
    let (mut accepted, mut ended, mut echoed, mut broken) = (0, 0, 0_usize, Vec::new());
    while ended < accepted || accepted == 0 || seconds.iter_mut().flatten().any(|s| !s.has_ended())
    {
        let mut events = [EpollEvent::empty(); 64];
        // A process may end before it has connected everything: so look at them, now and then.
        let count = epoll.wait(&mut events, EpollTimeout::from(100_u16)).unwrap();
        for event in &events[..count] {
            if event.data() == u64::MAX {
                while let Some(session) = server.try_accept().unwrap() {
                    let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP;
                    epoll.add(&session, EpollEvent::new(flags, accepted)).unwrap();
                    let pid = session.peer_pid().unwrap();
                    served.insert(accepted, Served { session, pid, next: 0 });
                    accepted += 1;
                }
            }
        }
        let tokens: Vec<u64> = if count > 0 && events[..count].iter().any(|e| e.data() == u64::MAX)
        {
            // New ones were not armed yet.
            served.keys().copied().collect()
        } else {
            events[..count].iter().map(EpollEvent::data).collect()
        };
        for token in tokens {
            let Some(one) = served.get_mut(&token) else { continue };
            let over = loop {
                match one.session.try_recv() {
                    Ok(bytes) if bytes == one.pid.to_ne_bytes() && one.next == 0 => {}
                    Ok(bytes) => {
                        assert_eq!(bytes, one.next.to_ne_bytes());
                        one.next += 1;
                        echoed += 1;
                        match one.session.send(
                            &(u32::from_ne_bytes(bytes.try_into().unwrap()) ^ 0x5555).to_ne_bytes(),
                        ) {
                            Ok(()) | Err(SessionError::BrokenPipe { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                    Err(SessionError::WouldBlock) => {
                        if !one.session.arm_read().unwrap() {
                            break false;
                        }
                    }
                    Err(SessionError::BrokenPipe { .. }) => break true,
                    Err(error) => panic!("{error}"),
                }
            };
            if over {
                let one = served.remove(&token).unwrap();
                epoll.delete(&one.session).unwrap();
                broken.push((one.pid, one.next));
                ended += 1;
            }
        }
        // At random points of all the work, one more is killed.
        let due = all * messages as usize / 20 * (killed.len() + 1);
        if echoed > random.random_range(0..due.max(1) * 2)
            && let Some(index) = to_kill.pop()
            && let Some(second) = seconds[index].take()
        {
            killed.push(second.pid().as_raw().cast_unsigned());
            second.kill();
        }
    }
    let survivors = seconds.into_iter().flatten();
    let survived = survivors.map(|second| assert!(second.done().success())).count();
    assert!(to_kill.is_empty(), "the work was over before all were killed");
    assert_eq!(survived + killed.len(), processes);
    for (pid, count) in broken {
        assert!(killed.contains(&pid) || count == messages, "process {pid}: {count}");
    }
    assert!(echoed >= survived * sessions * messages as usize);
    drop((served, epoll, server));
    assert_eq!(objects().len(), 0);
    // The thread that watches for ends has come, with a descriptor of its own.
    assert!(descriptors() <= before + 1, "{} of {before}", descriptors());
}

#[test]
fn sessions_leave_nothing_behind() {
    let name = service(&scratch());
    let server = Server::bind(&name).unwrap();
    let round = || {
        let sessions: Vec<(Session, Session)> = (0..20)
            .map(|_| {
                let client = options().connect(&name).unwrap();
                (client, server.accept().unwrap())
            })
            .collect();
        for (client, session) in &sessions {
            client.send(b"!").unwrap();
            session.recv().unwrap();
            assert!(client.try_read(&mut [0]).is_err());
        }
    };
    // Other tests of this program come and go, so what is looked for is a trend.
    round();
    let before = descriptors();
    for _ in 0..50 {
        round();
    }
    until("no descriptor of a thousand sessions is left", || descriptors() < before + 500);
}

#[test]
fn an_idle_session_costs_a_descriptor_and_a_page_a_side() {
    assert!(Second::start("count what sessions cost", &scratch()).done().success());
}

fn count_costs() {
    const PAIRS: usize = 100;
    let page = page();
    let before = descriptors();
    let pairs: Vec<(Session, Session)> = (0..PAIRS).map(|_| Session::pair(page).unwrap()).collect();
    assert_eq!(descriptors() - before, 2 * PAIRS);
    let objects = objects();
    assert_eq!(objects.len(), 2 * PAIRS);
    assert!(objects.values().all(|size| *size == 2 * page), "{objects:?}");
    // Nor does it take processor time: nobody runs.
    let clock = nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID;
    let used = || std::time::Duration::from(nix::time::clock_gettime(clock).unwrap());
    let (one, other) = &pairs[0];
    one.set_wait(ringlane::Wait::Park).unwrap();
    let (start, time) = (used(), std::time::Duration::from_millis(500));
    assert!(one.wait_readable(Some(time)).is_err());
    assert!(used() - start < time / 4);
    other.write_all(b"!").unwrap();
    one.read_exact(&mut [0]).unwrap();
}

#[test]
fn a_poll_is_rung_for_data_room_and_the_end() {
    let ready = |session: &Session| {
        let mut polled = [PollFd::new(session.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::ZERO).unwrap() == 1
    };
    let wait = |session: &Session| {
        let mut polled = [PollFd::new(session.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut polled, PollTimeout::from(60_000_u16)).unwrap(), 1);
    };
    let (client, server) = connected(RING);
    for round in 0..100_u8 {
        assert!(!server.arm_read().unwrap());
        assert!(!ready(&server));
        client.write_all(&[round; 3]).unwrap();
        client.write_all(&[round; 3]).unwrap();
        wait(&server);
        assert!(server.arm_read().unwrap(), "there is something already");
        assert!(!ready(&server), "it was taken from the descriptor");
        server.read_exact(&mut [0; 6]).unwrap();
        // A wait in between is woken, too.
        if round % 10 == 0 {
            assert!(!server.arm_read().unwrap());
            let waiting = server.clone();
            let task = Task::run(move || waiting.read_exact(&mut [0; 2]));
            client.write_all(&[1]).unwrap();
            client.flush().unwrap();
            client.write_all(&[2]).unwrap();
            task.done().unwrap();
        }
    }
    assert!(client.arm_write().unwrap());
    while client.try_write(&[0; 100]).is_ok() {}
    while client.try_write(&[0]).is_ok() {}
    assert!(!client.arm_write().unwrap());
    assert!(!ready(&client));
    let mut all = [0; RING];
    while server.try_read(&mut all).is_ok() {}
    wait(&client);
    assert!(client.arm_write().unwrap());
    assert!(!client.arm_read().unwrap());
    server.close();
    wait(&client);
    assert!(client.arm_read().unwrap());
    assert_eq!(client.try_read(&mut all), Err(SessionError::BrokenPipe { done: 0 }));
}
