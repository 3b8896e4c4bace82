//! `paas-router`: see the library for how it works, `docs/router.md` for how it is used.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use paas_router::{Handover, HandoverError, Inherited, Running, Settings, notify, start};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    // First of all: a signal that nobody takes would end the process.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let begun = runtime.and_then(|runtime| {
        let signals = runtime.block_on(async { Signals::new() })?;
        Ok((runtime, signals))
    });
    let inherited = Inherited::take();
    let settings = Settings::parse();
    let program = program();
    // Two sockets for each request: a shell's usual 1024 would be at their end with 500.
    let files = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
    let filter = EnvFilter::try_from_env("PAAS_LOG").unwrap_or_else(|_| EnvFilter::new("info,hyper=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
    if let Err(error) = raised {
        tracing::warn!("The limit of open files stays at {:?}: {error}", files.current);
    }
    // Every TLS setting names its provider; this is for whatever comes later and doesn't.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();

    let (runtime, signals) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            tracing::error!("The router can't wait for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let took_over = matches!(&inherited, Ok(inherited) if inherited.predecessor.is_some());
    let router = match inherited.map_err(Into::into).and_then(|inherited| start(settings, inherited)) {
        Ok(router) => router,
        Err(error) => {
            tracing::error!("The router can't start: {error}");
            return ExitCode::FAILURE;
        }
    };
    if took_over {
        tracing::info!("Process {} has taken over", std::process::id());
    } else {
        notify::ready();
    }
    let handover = router.handover();
    runtime.block_on(serve(router, signals, program));
    tracing::info!("The router has ended");
    if handover.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What can be asked of the process.
struct Signals {
    term: Signal,
    int: Signal,
    usr2: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            usr2: signal(SignalKind::user_defined2())?,
        })
    }
}

/// The file that is started when this router is to be replaced: what stands at the path now.
fn program() -> io::Result<PathBuf> {
    let named = std::env::args_os().next().filter(|name| name.as_bytes().contains(&b'/'));
    if let Some(named) = named {
        return std::path::absolute(named);
    }
    let path = std::env::current_exe()?.into_os_string().into_vec();
    Ok(PathBuf::from(OsString::from_vec(path.strip_suffix(b" (deleted)").unwrap_or(&path).to_vec())))
}

/// Until the router has ended.
async fn serve(router: Running, mut signals: Signals, program: io::Result<PathBuf>) {
    let handover = router.handover();
    let mut ended = tokio::task::spawn_blocking(move || router.join());
    let (done, mut outcome) = mpsc::channel(1);
    let mut under_way = false;
    loop {
        tokio::select! {
            _ = signals.term.recv() => end(&handover),
            _ = signals.int.recv() => end(&handover),
            _ = signals.usr2.recv() => match &program {
                _ if under_way => tracing::info!("A hand-over is under way already"),
                _ if std::process::id() == 1 => tracing::error!(
                    "There is no hand-over: this container would end with its first process. Restart it instead"
                ),
                Ok(program) => {
                    under_way = true;
                    tracing::info!("{} is started to take over", program.display());
                    hand_over(handover.clone(), program.clone(), done.clone());
                }
                Err(error) => tracing::error!("There is no hand-over: the program's path is unknown ({error})"),
            },
            Some(outcome) = outcome.recv() => {
                under_way = false;
                match outcome {
                    Ok(pid) => tracing::info!(
                        "Process {pid} takes the requests now; those that were begun come to their end here"
                    ),
                    Err(error) => tracing::error!("There was no hand-over: {error}"),
                }
            }
            _ = &mut ended => return,
        }
    }
}

fn end(handover: &Handover) {
    tracing::info!("Taking no more connections; requests that were begun come to their end");
    notify::stopping();
    handover.stop();
}

fn hand_over(handover: Handover, program: PathBuf, done: mpsc::Sender<Result<u32, HandoverError>>) {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    tokio::task::spawn_blocking(move || {
        // Nobody asks any more when the router has ended.
        let _ = done.blocking_send(handover.run(&program, &arguments));
    });
}
