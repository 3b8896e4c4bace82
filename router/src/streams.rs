//! The streams of a client's HTTP/2 connection, each a task of its own.
//!
//! hyper asks a response's body for more only when the client takes what it was given, so a
//! client that stops reading is noticed here and not in the body: its stream is reset (H28).
//! And a connection is told to have been without streams for long, which HTTP/2 itself never
//! ends as long as the client answers pings.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::{Instant, Sleep};

tokio::task_local! {
    static CURRENT: Rc<Reading>;
}

/// How the client of a stream fares with the response's body.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Since when the client has had something to take.
    offered: Cell<Option<Instant>>,
    stopped: Cell<bool>,
}

impl Reading {
    /// Of the stream whose request is being answered; none in HTTP/1.
    pub(crate) fn current() -> Option<Rc<Reading>> {
        CURRENT.try_with(Rc::clone).ok()
    }

    /// A piece was handed on, and the next not asked for.
    pub(crate) fn offer(&self) {
        self.offered.set(Some(Instant::now()));
    }

    /// The client waits for the dyno.
    pub(crate) fn taken(&self) {
        self.offered.set(None);
    }

    /// Whether the stream was given up because the client took nothing any more.
    pub(crate) fn has_stopped(&self) -> bool {
        self.stopped.get()
    }

    /// Ready when the client has taken nothing for `limit`. To be asked whenever the stream's
    /// task has moved.
    fn poll_stopped(&self, cx: &mut Context<'_>, sleep: &mut Option<Pin<Box<Sleep>>>, limit: Duration) -> Poll<()> {
        loop {
            let Some(offered) = self.offered.get() else { return Poll::Pending };
            let end = offered + limit;
            let sleep = sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
            ready!(sleep.as_mut().poll(cx));
            if Instant::now() >= end {
                self.stopped.set(true);
                return Poll::Ready(());
            }
            sleep.as_mut().reset(end);
        }
    }
}

/// A connection's streams. They stay on its thread.
#[derive(Debug, Clone)]
pub(crate) struct Streams(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    open: Cell<usize>,
    /// When the last one ended.
    ended: Cell<Instant>,
    limit: Duration,
}

impl Streams {
    /// `limit`: how long a client may take nothing of a response.
    pub(crate) fn new(limit: Duration) -> Streams {
        Streams(Rc::new(Shared { open: Cell::new(0), ended: Cell::new(Instant::now()), limit }))
    }

    /// Returns when no stream has been open for `time` from now on.
    pub(crate) async fn unused(&self, time: Duration) {
        let begun = Instant::now();
        loop {
            let since = if self.0.open.get() == 0 { self.0.ended.get().max(begun) } else { Instant::now() };
            if since.elapsed() >= time {
                return;
            }
            tokio::time::sleep_until(since + time).await;
        }
    }
}

impl<F: Future + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let open = Open::new(&self.0);
        let limit = self.0.limit;
        tokio::task::spawn_local(async move {
            let reading = Rc::new(Reading::default());
            let mut sleep = None;
            tokio::select! {
                biased;
                _ = CURRENT.scope(Rc::clone(&reading), stream) => {}
                // The stream is dropped, which resets it.
                () = std::future::poll_fn(|cx| reading.poll_stopped(cx, &mut sleep, limit)) => {}
            }
            drop(open);
        });
    }
}

/// Counts a stream for as long as it lives.
struct Open(Rc<Shared>);

impl Open {
    fn new(shared: &Rc<Shared>) -> Open {
        shared.open.set(shared.open.get() + 1);
        Open(Rc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.ended.set(Instant::now());
    }
}
