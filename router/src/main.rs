//! `paas-router`: see the library for how it works, `docs/router.md` for how it is used.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser;
use paas_router::{Inherited, Settings, start};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let inherited = Inherited::take();
    let settings = Settings::parse();
    // Two sockets for each request: a shell's usual 1024 would be at their end with 500.
    let files = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
    let filter = EnvFilter::try_from_env("PAAS_LOG").unwrap_or_else(|_| EnvFilter::new("info,hyper=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    if let Err(error) = raised {
        tracing::warn!("The limit of open files stays at {:?}: {error}", files.current);
    }
    // Every TLS setting names its provider; this is for whatever comes later and doesn't.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();

    let router = match inherited.map_err(Into::into).and_then(|inherited| start(settings, inherited)) {
        Ok(router) => router,
        Err(error) => {
            tracing::error!("The router can't start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let signals = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
        runtime.block_on(async {
            let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
            Ok(())
        })
    });
    if let Err(error) = signals {
        tracing::error!("The router can't wait for signals and ends: {error}");
    }
    tracing::info!("Taking no more connections; requests that were begun come to their end");
    router.stop();
    router.join();
    tracing::info!("The router has ended");
    ExitCode::SUCCESS
}
