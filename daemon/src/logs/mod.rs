//! Log lines of every app: kept, read back, followed.
//!
//! [`LogStore`] is the port; [`files`] keeps each app's lines in segments under
//! `DATA/logs/<app-id>/`. [`line`] says what a line is and how it reads, [`sink`] is how the
//! rest of the daemon writes one (`app[api]`, `heroku[web.1]`, the router's), [`collect`]
//! brings a dyno's output here without losing or repeating a line.
//!
//! Three promises that everything here serves:
//!
//! - **A line that was stored keeps its number.** [`Line::seq`] rises without end in each
//!   app, so that a stream that broke is resumed where it was.
//! - **Where a line came from is stored with it** ([`Origin`]), in the same write: after
//!   `kill -9` the source is read again from that place, and what it repeats is dropped.
//! - **Nobody waits for a log.** [`LogStore::offer`] never blocks; what finds no room (a full
//!   disk, a full queue) is counted, and a line says how many were lost.

pub mod collect;
pub mod files;
pub mod line;
pub mod sink;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use uuid::Uuid;

pub use files::{FileLogs, LogConfig};
pub use line::{Filter, Line, MAX_MESSAGE, NewLine, Origin, Position, Source};
pub use sink::LogSink;

/// What can go wrong with logs.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The file system refused; nothing of the call was stored.
    #[error(
        "Log lines can't be written or read ({why}). Make room on the disk of the data directory or check its rights."
    )]
    Disk {
        /// What the system said.
        why: String,
    },
    /// The store has been closed: the daemon ends.
    #[error("The log store is closed; the daemon is ending.")]
    Closed,
}

/// What every call gives.
pub type Result<T, E = LogError> = std::result::Result<T, E>;

/// Where a follower begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the last so many lines that pass the filter.
    Backlog(usize),
    /// With the first line after the one of this number.
    After(u64),
}

/// Keeps the lines of every app.
#[async_trait]
pub trait LogStore: Send + Sync {
    /// Stores lines in this order and returns once they are written (they outlive the
    /// daemon; a power failure may take the last second). Lines whose origin has been
    /// stored already are dropped. On an error none of them is stored.
    async fn append(&self, app_id: Uuid, lines: Vec<NewLine>) -> Result<()>;

    /// Stores lines without waiting. When there is no room for them they are dropped and
    /// counted; a line `Error L12` tells how many as soon as there is room again.
    fn offer(&self, app_id: Uuid, lines: Vec<NewLine>);

    /// The last `n` lines that pass the filter, oldest first.
    async fn recent(&self, app_id: Uuid, n: usize, filter: Filter) -> Result<Vec<Line>>;

    /// The lines from `start` on, then each new one as it comes; between the two none is
    /// missing and none comes twice. Ends when the app's log is removed or the store is
    /// closed. A follower so slow that lines were removed before it saw them gets a line
    /// `Error L11` in their place.
    fn follow(&self, app_id: Uuid, start: Start, filter: Filter) -> BoxStream<'static, Line>;

    /// The number of the last line that was stored; 0 before the first.
    async fn end(&self, app_id: Uuid) -> Result<u64>;

    /// How far an origin's lines have been stored.
    async fn position(&self, app_id: Uuid, origin: Uuid) -> Result<Option<Position>>;

    /// Lets go of what [`LogStore::position`] remembers: the origin will give no more lines.
    async fn forget(&self, app_id: Uuid, origin: Uuid) -> Result<()>;

    /// Makes what was appended before safe from a power failure too.
    async fn sync(&self, app_id: Uuid) -> Result<()>;

    /// Removes all lines of an app; later lines for it are dropped. Gone is success.
    async fn remove(&self, app_id: Uuid) -> Result<()>;

    /// Lines that were written since the daemon's start.
    fn written(&self) -> u64;

    /// The apps of which there are lines from before.
    async fn apps(&self) -> Result<Vec<Uuid>>;

    /// Ends all followers, and new ones at the end of what there is: the daemon is about to
    /// end, and who follows is to come back to the next. Lines are still taken.
    fn hang_up(&self);

    /// Writes out what is queued, syncs, and ends all followers.
    async fn close(&self);
}
