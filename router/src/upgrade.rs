//! WebSockets and whatever else begins with `Upgrade`: once both sides have agreed, bytes
//! go both ways until one side ends or both are silent for too long.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::StatusCode;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Instant;

use crate::access_log::Flight;
use crate::failure::Failure;
use crate::proxy::Conn;

/// Goes on until the tunnel ends; its line is written then.
pub(crate) fn join(
    conn: &Rc<Conn>,
    client: OnUpgrade,
    dyno: OnUpgrade,
    mut flight: Option<Flight>,
    idle: Option<Duration>,
) {
    let alive = conn.worker.alive();
    // Its client's connection counts for as long as the tunnel does.
    let conn = Rc::clone(conn);
    tokio::task::spawn_local(async move {
        let end = tunnel(client, dyno, idle, &mut flight).await;
        if let Some(mut flight) = flight {
            match end {
                End::Closed => flight.done(StatusCode::SWITCHING_PROTOCOLS),
                End::Idle => flight.fail(Failure::IdleConnection),
                End::ClientGone => flight.fail(Failure::ClientInterrupted),
                End::DynoGone => flight.fail(Failure::ServerInterrupted),
            }
        }
        drop((alive, conn));
    });
}

enum End {
    Closed,
    Idle,
    ClientGone,
    DynoGone,
}

async fn tunnel(client: OnUpgrade, dyno: OnUpgrade, idle: Option<Duration>, flight: &mut Option<Flight>) -> End {
    let Ok(dyno) = dyno.await else { return End::DynoGone };
    let Ok(client) = client.await else { return End::ClientGone };
    let last = Rc::new(Cell::new(Instant::now()));
    let bytes = Rc::new(Cell::new(0));
    let client = Watched { io: TokioIo::new(client), last: Rc::clone(&last), read: Rc::default() };
    let dyno = Watched { io: TokioIo::new(dyno), last: Rc::clone(&last), read: Rc::clone(&bytes) };
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_dyno, mut to_dyno) = tokio::io::split(dyno);
    let up = async {
        let copied = tokio::io::copy(&mut from_client, &mut to_dyno).await;
        let _ = to_dyno.shutdown().await;
        copied
    };
    let down = async {
        let copied = tokio::io::copy(&mut from_dyno, &mut to_client).await;
        let _ = to_client.shutdown().await;
        copied
    };
    tokio::pin!(up);
    tokio::pin!(down);
    let mut sending = true;
    let end = loop {
        let idle_at = last.get() + idle.unwrap_or(Duration::from_secs(3600));
        tokio::select! {
            biased;
            // When the dyno has said all, it will hear no more, either. How it ended makes no difference.
            _ = &mut down => break End::Closed,
            // A client that has said all still wants to hear.
            sent = &mut up, if sending => match sent {
                Ok(_) => sending = false,
                Err(_) => break End::Closed,
            },
            () = tokio::time::sleep_until(idle_at) => {
                if idle.is_some_and(|idle| last.get() + idle <= Instant::now()) {
                    break End::Idle;
                }
            }
        }
    };
    if let Some(flight) = flight {
        flight.bytes = bytes.get();
    }
    end
}

/// Notes when bytes last came, and how many.
struct Watched {
    io: TokioIo<Upgraded>,
    last: Rc<Cell<Instant>>,
    read: Rc<Cell<u64>>,
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.io).poll_read(cx, buf);
        let count = buf.filled().len() - before;
        if count > 0 {
            this.last.set(Instant::now());
            this.read.set(this.read.get() + count as u64);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
