//! `paas-init`: PID 1 of every dyno.
//!
//! ```text
//! paas-init [--grace SECONDS] [--] PROGRAM [ARGUMENT…]
//! ```
//!
//! Starts the program and is a good first process to it:
//!
//! - **Reaps** every orphan.
//! - **SIGTERM goes to every process** of the dyno at once, as on Heroku, not to the program
//!   alone: a Sidekiq that Puma has spawned, or whatever `bash -c` did not exec, hears of the
//!   shutdown, too. Then it waits for all of them. It sets no deadline: whoever sent SIGTERM
//!   sends SIGKILL when patience ends. What is born during the shutdown is given
//!   [`NEWBORN`] to finish (the clean-up of a `trap … TERM`) and is asked to end after that.
//! - **When the program ends** before the others, they get SIGTERM and `--grace` seconds
//!   (30); then the kernel kills what is left, because PID 1 exits.
//! - **Keeps the program's exit code**: 128+n when signal n ended it, 127 when there is no
//!   such program, 126 when it can't be executed, 125 when init itself was called wrongly.
//! - **Notes in `/paas-end`**, where there is such a file, that the kernel killed a process of the
//!   dyno for memory: whoever looks from outside may not hear of it.
//! - **Widens its pipes**: what the program says has a megabyte of room while nobody reads it.
//! - **Hands on** HUP, INT, QUIT, USR1, USR2 and WINCH to the program, unless they came from
//!   the terminal, which has told the program already.
//!
//! It is mounted into images of any kind, so it is linked statically:
//!
//! ```text
//! RUSTFLAGS='-C target-feature=+crt-static' \
//!   cargo build --release -p paas-init --target x86_64-unknown-linux-gnu
//! ```

mod memory;
mod pipes;
mod processes;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

use processes::{ProcessId, Seen};

/// How long a process that is born during the shutdown may live unasked.
const NEWBORN: Duration = Duration::from_secs(5);
/// How often to look for them.
const LOOK: Duration = Duration::from_millis(250);
/// Handed on to the program.
const FORWARDED: [Signal; 6] =
    [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGWINCH];
/// What the kernel writes into a signal that the terminal raised (`SI_KERNEL`).
const FROM_KERNEL: i32 = 0x80;

/// The first argument of the second stage, see [`become_program`].
const BECOME: &str = "--become";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let code = if arguments.next_if(|argument| argument == BECOME).is_some() {
        become_program(arguments)
    } else {
        match Call::parse(arguments) {
            Ok(call) => run(&call),
            Err(problem) => complain(&problem, 125),
        }
    };
    ExitCode::from(code)
}

/// The second stage, in the child: gives the program the empty signal mask that it expects
/// (init's own is inherited, and must be in place before the child exists), and becomes it.
/// Returns only when that fails.
fn become_program(mut arguments: impl Iterator<Item = OsString>) -> u8 {
    let Some(program) = arguments.next() else { return complain("--become wants a program", 125) };
    if let Err(error) = SigSet::all().thread_unblock() {
        return complain(&format!("can't unblock signals: {error}"), 125);
    }
    let error = Command::new(&program).args(arguments).exec();
    let name = program.to_string_lossy();
    if error.kind() == ErrorKind::NotFound {
        return complain(&format!("{name}: command not found"), 127);
    }
    complain(&format!("{name}: can't be executed: {error}"), 126)
}

/// What the command line asks for.
struct Call {
    grace: Duration,
    program: OsString,
    arguments: Vec<OsString>,
}

impl Call {
    fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut arguments = arguments.peekable();
        let mut grace = Duration::from_secs(30);
        if arguments.next_if(|argument| argument == "--grace").is_some() {
            grace = arguments
                .next()
                .and_then(|seconds| seconds.to_str().and_then(|text| text.parse().ok()))
                .map(Duration::from_secs)
                .ok_or("--grace wants a number of seconds")?;
        }
        arguments.next_if(|argument| argument == "--");
        let program = arguments.next().ok_or("usage: paas-init [--grace SECONDS] [--] PROGRAM [ARGUMENT…]")?;
        Ok(Self { grace, program, arguments: arguments.collect() })
    }
}

/// Says on standard error what is wrong and gives the exit code back.
fn complain(problem: &str, code: u8) -> u8 {
    use std::io::Write;
    // Nobody left to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "paas-init: {problem}");
    code
}

fn run(call: &Call) -> u8 {
    if getpid() != Pid::from_raw(1) {
        // Elsewhere, "every process" would be everything of this user.
        return complain("runs as the first process of a container only (PID 1)", 125);
    }
    let mut wanted = SigSet::empty();
    wanted.add(Signal::SIGCHLD);
    wanted.add(Signal::SIGTERM);
    for signal in FORWARDED {
        wanted.add(signal);
    }
    let signals = match wanted
        .thread_block()
        .and_then(|()| SignalFd::with_flags(&wanted, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC))
    {
        Ok(signals) => signals,
        Err(error) => return complain(&format!("can't receive signals: {error}"), 125),
    };
    pipes::widen();
    let mut second_stage = Command::new("/proc/self/exe");
    second_stage.arg(BECOME).arg(&call.program).args(&call.arguments);
    match second_stage.spawn() {
        Ok(child) => {
            let code = Watch::new(Pid::from_raw(child.id().cast_signed()), call.grace).until_all_ended(&signals);
            memory::note();
            code
        }
        Err(error) => complain(&format!("can't start a process: {error}"), 125),
    }
}

/// The dyno from its start to its end.
struct Watch {
    main: Pid,
    grace: Duration,
    code: Option<u8>,
    shutdown: Option<Shutdown>,
}

/// A shutdown under way.
struct Shutdown {
    seen: Seen,
    next_look: Instant,
    /// When to give up on the rest; none when SIGTERM came from outside.
    deadline: Option<Instant>,
}

impl Watch {
    fn new(main: Pid, grace: Duration) -> Self {
        Self { main, grace, code: None, shutdown: None }
    }

    fn until_all_ended(mut self, signals: &SignalFd) -> u8 {
        loop {
            while let Ok(Some(signal)) = signals.read_signal() {
                self.take(signal.ssi_signo, signal.ssi_code);
            }
            if !self.reap() {
                return self.code.unwrap_or(1);
            }
            if self.code.is_some() && self.shutdown.is_none() {
                self.shut_down(Some(Instant::now() + self.grace));
            }
            if self.look_again() {
                return self.code.unwrap_or(1);
            }
            let patience = match self.shutdown {
                Some(_) => PollTimeout::from(u8::try_from(LOOK.as_millis()).unwrap_or(u8::MAX)),
                None => PollTimeout::NONE,
            };
            // An interrupted or failed wait only means to look earlier.
            let _ = poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], patience);
        }
    }

    fn take(&mut self, number: u32, origin: i32) {
        let Some(signal) = i32::try_from(number).ok().and_then(|number| Signal::try_from(number).ok()) else {
            return;
        };
        if signal == Signal::SIGTERM {
            // A repeated SIGTERM is the same request: some programs take a second one for "at once".
            if self.shutdown.is_none() {
                self.shut_down(None);
            }
        } else if FORWARDED.contains(&signal) && origin != FROM_KERNEL && self.code.is_none() {
            let _ = kill(self.main, signal);
        }
    }

    /// Asks every process to end.
    fn shut_down(&mut self, deadline: Option<Instant>) {
        // Listed before the signal: who is born in between counts as a newborn, and may be
        // asked a second time.
        let asked: Vec<ProcessId> = processes::others();
        let _ = kill(Pid::from_raw(-1), Signal::SIGTERM);
        self.shutdown = Some(Shutdown { seen: Seen::asked(asked), next_look: Instant::now() + LOOK, deadline });
    }

    /// Asks newborns that have lived long enough; says whether to give up on the rest.
    fn look_again(&mut self) -> bool {
        let Some(shutdown) = &mut self.shutdown else { return false };
        let now = Instant::now();
        if shutdown.deadline.is_some_and(|deadline| now >= deadline) {
            return true;
        }
        if now >= shutdown.next_look {
            shutdown.next_look = now + LOOK;
            for process in shutdown.seen.due(processes::others(), now, NEWBORN) {
                let _ = kill(process.pid(), Signal::SIGTERM);
            }
        }
        false
    }

    /// Takes note of all who have ended; says whether anybody is left.
    fn reap(&mut self) -> bool {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => self.ended(pid, u8::try_from(code).unwrap_or(1)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    self.ended(pid, u8::try_from(128 + signal as i32).unwrap_or(255));
                }
                Ok(WaitStatus::StillAlive) => return true,
                Err(Errno::ECHILD) => return false,
                // Stops and continues aren't asked for; an interruption only repeats.
                Ok(
                    WaitStatus::Stopped(..)
                    | WaitStatus::PtraceEvent(..)
                    | WaitStatus::PtraceSyscall(_)
                    | WaitStatus::Continued(_),
                )
                | Err(Errno::EINTR) => {}
                Err(_) => return true,
            }
        }
    }

    fn ended(&mut self, pid: Pid, code: u8) {
        if pid == self.main {
            self.code = Some(code);
        }
    }
}
