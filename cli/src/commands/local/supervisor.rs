//! Runs all processes until the first one ends or somebody asks, then ends the rest.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::formation::Process;
use super::output::{Output, Speaker};
use super::process::{exit_code, spawn};
use super::tree::Tree;

/// How often the processes that are asked to end are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How long the kernel may take to end what was killed, and pipes to run empty.
const AFTERMATH: Duration = Duration::from_secs(2);

/// What to run and how.
pub(super) struct Plan {
    pub(super) processes: Vec<Process>,
    pub(super) vars: BTreeMap<String, String>,
    pub(super) root: PathBuf,
    /// How long a process may take to end after SIGTERM.
    pub(super) patience: Duration,
    pub(super) colour: bool,
}

/// Runs the plan. The result is the exit code of the process that ended first, or 128 and
/// the number of the signal that we were sent.
pub(super) async fn run(plan: Plan) -> anyhow::Result<i32> {
    let mut signals = Signals::new()?;
    let mut children = signal(SignalKind::child()).context("can't listen for signals")?;
    let output = Output::start(plan.processes.iter().map(|process| process.name.clone()).collect(), plan.colour);
    let mut tree = Tree::new();
    let mut tasks = JoinSet::new();
    let (exits, mut exited) = mpsc::unbounded_channel();

    let started = start(&plan, &output, &mut tree, &mut tasks, &exits).await;
    drop(exits);
    let code = match &started {
        Ok(()) => until_first_end(&mut signals, &mut children, &mut exited, &output, &tree).await,
        Err(_) => 1,
    };
    let patient = stop(&tree, plan.patience, &mut signals, &output).await;

    // Whoever left our session may keep the pipe open; what it says from here on is its own.
    if timeout(AFTERMATH, async { while tasks.join_next().await.is_some() {} }).await.is_err() {
        tasks.shutdown().await;
    }
    tree.reap();
    if patient {
        tokio::select! {
            () = output.finish() => {}
            _ = signals.next() => {}
        }
    }
    started.map(|()| code)
}

async fn start(
    plan: &Plan,
    output: &Output,
    tree: &mut Tree,
    tasks: &mut JoinSet<()>,
    exits: &mpsc::UnboundedSender<ExitStatus>,
) -> anyhow::Result<()> {
    for (index, process) in plan.processes.iter().enumerate() {
        let speaker = output.process(index);
        let running = spawn(process, &plan.vars, &plan.root, speaker.clone())?;
        let id = running.id().unwrap_or_default();
        tree.add(id);
        running.follow(tasks, exits.clone());
        let _ = speaker.say(format!("started with pid {id} on port {}", process.port)).await;
    }
    Ok(())
}

/// Waits for the first thing that ends it all, and says which.
async fn until_first_end(
    signals: &mut Signals,
    children: &mut Listener,
    exited: &mut mpsc::UnboundedReceiver<ExitStatus>,
    output: &Output,
    tree: &Tree,
) -> i32 {
    loop {
        tokio::select! {
            biased;
            status = exited.recv() => return status.map_or(1, exit_code),
            (name, number) = signals.next() => {
                tell(&output.system(), format!("{name} received, stopping all processes")).await;
                return 128 + number;
            }
            // As a shell's SIGPIPE would end it.
            () = output.closed() => return 141,
            _ = children.recv() => tree.reap(),
        }
    }
}

/// Ends everything that still runs: SIGTERM, and SIGKILL when that takes too long or a
/// second signal comes, in which case the answer is false.
async fn stop(tree: &Tree, patience: Duration, signals: &mut Signals, output: &Output) -> bool {
    if tree.alive().is_empty() {
        return true;
    }
    let system = output.system();
    tell(&system, "sending SIGTERM to all processes".to_owned()).await;
    tree.signal(Signal::TERM);
    let deadline = Instant::now() + patience;
    let mut patient = true;
    while patient && Instant::now() < deadline {
        if tree.alive().is_empty() {
            return true;
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            _ = signals.next() => patient = false,
        }
    }
    let killed = Instant::now();
    let mut told = false;
    while !tree.alive().is_empty() && killed.elapsed() < AFTERMATH {
        if !told {
            tell(&system, "sending SIGKILL to all processes".to_owned()).await;
            told = true;
        }
        // Again and again: what forks while it is killed leaves a child.
        tree.signal(Signal::KILL);
        sleep(LOOK).await;
    }
    patient
}

/// Says something unless the terminal is held: ending the processes must not wait for it.
async fn tell(system: &Speaker, what: String) {
    let _ = timeout(Duration::from_millis(100), system.say(what)).await;
}

/// The signals by which people and their terminals end a program.
struct Signals {
    interrupt: Listener,
    terminate: Listener,
    hangup: Listener,
    quit: Listener,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("can't listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
            quit: listen(SignalKind::quit())?,
        })
    }

    /// The next one's name and number.
    async fn next(&mut self) -> (&'static str, i32) {
        tokio::select! {
            _ = self.interrupt.recv() => ("SIGINT", 2),
            _ = self.terminate.recv() => ("SIGTERM", 15),
            _ = self.hangup.recv() => ("SIGHUP", 1),
            _ = self.quit.recv() => ("SIGQUIT", 3),
        }
    }
}
