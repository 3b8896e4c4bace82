//! Attached input and output: one-off dynos, `ps:exec`, `redis:cli`.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::io::AsyncWrite;
use uuid::Uuid;

use super::{OutputStream, Result};

/// Where [`super::Engine::exec`] runs its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// In a dyno.
    Dyno(Uuid),
    /// In an add-on's container.
    Service(Uuid),
}

/// A program to run beside what runs already.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ExecSpec {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Environment on top of the container's own.
    pub env: Vec<(String, String)>,
    /// Whether it gets a terminal.
    pub tty: bool,
    /// Columns and rows of the terminal at the start.
    pub size: Option<(u16, u16)>,
}

/// An attached program. Dropping it detaches: the program sees the end of its standard input
/// and goes on.
pub struct Session {
    /// Its standard input; `shutdown` is end-of-file.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    /// Its output in the order in which it came; ends when the program has ended.
    pub output: BoxStream<'static, Result<(OutputStream, Bytes)>>,
    /// What else can be done with it.
    pub control: Arc<dyn SessionControl>,
}

/// The side door of a [`Session`].
#[async_trait]
pub trait SessionControl: Send + Sync {
    /// Tells the terminal its size; without a terminal nothing happens.
    async fn resize(&self, columns: u16, rows: u16) -> Result<()>;

    /// Waits for the end and gives the exit code; 128+n when a signal ended it.
    async fn exit_code(&self) -> Result<i64>;

    /// Tells a program beside what runs, and all that it has started, that its user is gone:
    /// SIGHUP, and SIGKILL to what is left after 10 s. Whole dynos are the planner's to end:
    /// for them nothing happens.
    async fn hang_up(&self) -> Result<()>;
}
