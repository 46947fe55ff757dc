//! A process that runs one instruction at a time, and dies where it is told to.
//!
//! The victim is a fork of this process, which has one thread only. It stops at its first marker, and
//! from there to its second marker the tracer counts instructions. The first run is stepped throughout.
//! Later ones run freely to a breakpoint shortly before the point asked for and are stepped from there,
//! so that a point deep in a long call costs no more than an early one.

use super::arena;
use super::journal::{listen, said, say};
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The byte of the instruction that a marker is.
const INT3: i64 = 0xcc;

/// Where the operation begins and ends.
#[inline(always)]
pub(crate) fn mark() {
    // SAFETY: a breakpoint changes nothing; the tracer takes the signal that it raises.
    unsafe { std::arch::asm!("int3") };
}

/// Every instruction of an operation, in the order of one run.
pub(crate) struct Trace {
    /// The address of the instruction that comes next after so many steps.
    pub(crate) at: Vec<u64>,
    /// How often that address has come up so far, this time included.
    visits: Vec<usize>,
    /// Whether the operation came to its end within the steps allowed.
    pub(crate) ended: bool,
}

impl Trace {
    /// How many instructions ran.
    pub(crate) fn len(&self) -> usize {
        self.at.len() - 1
    }

    /// Where best to set the breakpoint for a point: near, and not met often before. 0 for nowhere.
    fn anchor(&self, step: usize) -> usize {
        // Passing a breakpoint costs about as much as three steps.
        let cost = |at: &usize| if *at == 0 { step } else { step - at + 3 * self.visits[*at] };
        let near = step.saturating_sub(400)..=step;
        near.chain([0]).min_by_key(cost).unwrap_or(0)
    }

    /// Most steps in a row at one address: a string instruction traps after each of its rounds.
    pub(crate) fn longest_repeat(&self) -> usize {
        self.at.chunk_by(|a, b| a == b).map(<[u64]>::len).max().unwrap_or(0)
    }
}

/// Runs `body` in a child process, whose exit code it gives.
pub(crate) fn fork_child(body: impl FnOnce() -> i32) -> Result<Pid, String> {
    // SAFETY: this process has one thread, so the child finds no lock held and no invariant broken.
    match unsafe { fork() } {
        Err(errno) => Err(format!("fork: {errno}")),
        Ok(ForkResult::Parent { child }) => Ok(child),
        Ok(ForkResult::Child) => {
            // SAFETY: asks the kernel to end us with our parent; takes no pointer.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let code = catch_unwind(AssertUnwindSafe(body)).unwrap_or(101);
            // SAFETY: ends the process, without the exit handlers that belong to the parent.
            unsafe { libc::_exit(code) }
        }
    }
}

/// Runs `body` in a child process that may be stepped, and whose exit code is 0 if it returned.
pub(crate) fn spawn(body: impl FnOnce()) -> Result<Pid, String> {
    listen();
    fork_child(|| {
        arena::enter();
        std::panic::set_hook(Box::new(|info| say(&info.to_string())));
        body();
        0
    })
}

/// Waits for the end of a child that should return.
pub(crate) fn reap(pid: Pid) -> Result<(), String> {
    match waitpid(pid, None) {
        Ok(WaitStatus::Exited(_, 0)) => Ok(()),
        other => Err(format!("a child ended with {other:?}: {}", said())),
    }
}

/// A traced process. Dropping it kills it.
pub(crate) struct Victim {
    pid: Pid,
    gone: bool,
}

impl Victim {
    /// Starts `body` and waits until it stands at its first marker.
    pub(crate) fn start(body: impl FnOnce()) -> Result<Victim, String> {
        let pid = spawn(|| {
            ptrace::traceme().expect("be traced");
            body();
        })?;
        let mut victim = Victim { pid, gone: false };
        victim.trap()?;
        let options = ptrace::Options::PTRACE_O_EXITKILL;
        ptrace::setoptions(pid, options).map_err(|e| format!("ptrace: {e}"))?;
        Ok(victim)
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits until it stops again.
    fn trap(&mut self) -> Result<(), String> {
        match waitpid(self.pid, None) {
            Ok(WaitStatus::Stopped(_, Signal::SIGTRAP)) => Ok(()),
            other => {
                self.gone = !matches!(other, Ok(WaitStatus::Stopped(..)));
                Err(format!("the victim ended by itself with {other:?}: {}", said()))
            }
        }
    }

    fn next(&self) -> Result<u64, String> {
        Ok(ptrace::getregs(self.pid).map_err(|e| format!("getregs: {e}"))?.rip)
    }

    fn step(&mut self) -> Result<(), String> {
        ptrace::step(self.pid, None).map_err(|e| format!("step: {e}"))?;
        self.trap()
    }

    fn go_on(&mut self) -> Result<(), String> {
        ptrace::cont(self.pid, None).map_err(|e| format!("cont: {e}"))?;
        self.trap()
    }

    fn code(&self, at: u64) -> Result<i64, Errno> {
        ptrace::read(self.pid, at as ptrace::AddressType)
    }

    /// Steps to the second marker, or at most so far.
    pub(crate) fn trace(&mut self, most: usize) -> Result<Trace, String> {
        let mut trace = Trace { at: vec![], visits: vec![], ended: false };
        let mut seen: HashMap<u64, usize> = HashMap::new();
        loop {
            let step = trace.at.len();
            let at = self.next()?;
            let code = self.code(at).map_err(|e| format!("read code: {e}"))?;
            trace.at.push(at);
            let visits = seen.entry(at).or_default();
            *visits += 1;
            trace.visits.push(*visits);
            trace.ended = code & 0xff == INT3;
            if trace.ended || step >= most {
                return Ok(trace);
            }
            self.step()?;
        }
    }

    /// Runs to the point after `step` instructions, by a breakpoint or in single steps only. False if it
    /// left the way of the trace.
    pub(crate) fn run_to(
        &mut self,
        trace: &Trace,
        step: usize,
        freely: bool,
    ) -> Result<bool, String> {
        let anchor = if freely { trace.anchor(step) } else { 0 };
        let ran = anchor > 0 && self.run_freely(trace.at[anchor], trace.visits[anchor])?;
        let from = if ran { anchor } else { 0 };
        let mut exact = true;
        for expected in &trace.at[from..step] {
            let at = self.next()?;
            exact &= at == *expected;
            if self.code(at).is_ok_and(|code| code & 0xff == INT3) {
                return Ok(false);
            }
            self.step()?;
        }
        Ok(exact && self.next()? == trace.at[step])
    }

    /// Runs to the so manieth visit of an address. False if no breakpoint can be set there.
    fn run_freely(&mut self, to: u64, visits: usize) -> Result<bool, String> {
        let failed = |e: Errno| format!("breakpoint: {e}");
        let address = to as ptrace::AddressType;
        let Ok(code) = self.code(to) else { return Ok(false) };
        for visit in 1..=visits {
            // The kernel's own page of clock code takes no breakpoints.
            if ptrace::write(self.pid, address, code & !0xff | INT3).is_err() {
                return Ok(false);
            }
            self.go_on()?;
            ptrace::write(self.pid, address, code).map_err(failed)?;
            let mut registers = ptrace::getregs(self.pid).map_err(failed)?;
            // The trap is past its instruction: go back to it, be it our own or the marker.
            registers.rip -= 1;
            ptrace::setregs(self.pid, registers).map_err(failed)?;
            if registers.rip != to {
                return Ok(true);
            }
            if visit < visits {
                self.step()?;
            }
        }
        Ok(true)
    }

    /// Kills it where it stands. Returns when the kernel has given back all it had.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Lets it run to the second marker, and from there on freely.
    pub(crate) fn resume(&mut self) -> Result<(), String> {
        self.go_on()?;
        ptrace::detach(self.pid, None).map_err(|e| format!("detach: {e}"))
    }

    /// After [`resume`](Self::resume): waits until it has returned.
    pub(crate) fn finish(mut self) -> Result<(), String> {
        self.gone = true;
        reap(self.pid)
    }

    fn end(&mut self) {
        if !std::mem::replace(&mut self.gone, true) {
            let _ = kill(self.pid, Signal::SIGKILL);
            // A stop that was on its way is reported before the end.
            while matches!(waitpid(self.pid, None), Ok(WaitStatus::Stopped(..))) {}
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.end();
    }
}
