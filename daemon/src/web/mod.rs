//! The HTTP server itself: HTTP and TLS on one port.
//!
//! Heroku's own git remotes and rendezvous are always TLS, even where the API is plain
//! HTTP, so the first byte of a connection decides: 0x16 opens a TLS handshake. What is
//! served on it is the caller's affair; [`tls`] makes the certificate. What comes over TLS and
//! is no HTTP but a secret (`hello`) is a rendezvous, and the caller's affair too.

pub(crate) mod hello;
pub mod tls;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use futures_util::future::BoxFuture;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

/// The first byte of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

/// How long a new connection may take to say what it is.
const HELLO: Duration = Duration::from_secs(20);

/// How long requests under way may take once the server is told to end.
const DRAIN: Duration = Duration::from_secs(5);

/// Whether a request came over TLS; among the extensions of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverTls(pub bool);

/// A TLS connection that began with a secret, without it.
pub type SecretStream = hello::Rewound<tokio_rustls::server::TlsStream<TcpStream>>;

/// What a connection that is no HTTP began with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// Heroku's rendezvous.
    Rendezvous(String),
    /// A client of Redis.
    Redis(String),
}

/// Takes over a connection that began with a secret; its answer ends with it.
pub type Rendezvous = Arc<dyn Fn(Secret, SecretStream) -> BoxFuture<'static, ()> + Send + Sync>;

/// Serves `router` on `listener` until `stop` becomes true, then lets requests under way
/// end for a few seconds. Connections that begin with a secret go to `rendezvous`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Arc<rustls::ServerConfig>,
    rendezvous: Rendezvous,
    mut stop: watch::Receiver<bool>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let graceful = Arc::new(GracefulShutdown::new());
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HELLO);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HELLO).keep_alive_timeout(HELLO);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: give those that end a moment.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = stopped(&mut stop) => break,
        };
        let (acceptor, router, builder) = (acceptor.clone(), router.clone(), builder.clone());
        let rendezvous = Arc::clone(&rendezvous);
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            if let Err(error) = connection(stream, peer, acceptor, router, builder, rendezvous, watcher).await {
                tracing::debug!(%error, %peer, "a connection ended early");
            }
        });
    }
    drop(listener);
    if let Ok(graceful) = Arc::try_unwrap(graceful) {
        let _ = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: TlsAcceptor,
    router: Router,
    builder: auto::Builder<TokioExecutor>,
    rendezvous: Rendezvous,
    watcher: hyper_util::server::graceful::Watcher,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let mut first = [0u8; 1];
    let seen = tokio::time::timeout(HELLO, stream.peek(&mut first)).await??;
    if seen == 0 {
        return Ok(());
    }
    if first[0] == TLS_HANDSHAKE {
        let stream = tokio::time::timeout(HELLO, acceptor.accept(stream)).await??;
        match tokio::time::timeout(HELLO, hello::hello(stream)).await?? {
            (hello::Hello::Http, stream) => http(stream, peer, true, router, builder, watcher).await,
            (hello::Hello::Rendezvous(secret), stream) => {
                rendezvous(Secret::Rendezvous(secret), stream).await;
                Ok(())
            }
            (hello::Hello::Redis(secret), stream) => {
                rendezvous(Secret::Redis(secret), stream).await;
                Ok(())
            }
        }
    } else {
        let stream = tokio::time::timeout(HELLO, hello::http(stream)).await??;
        http(stream, peer, false, router, builder, watcher).await
    }
}

async fn http<S>(
    stream: S,
    peer: SocketAddr,
    tls: bool,
    router: Router,
    builder: auto::Builder<TokioExecutor>,
    watcher: hyper_util::server::graceful::Watcher,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = router.layer(axum::Extension(ConnectInfo(peer))).layer(axum::Extension(OverTls(tls)));
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    watcher.watch(connection.into_owned()).await
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
