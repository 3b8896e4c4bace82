//! How the rest of the daemon writes lines.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use paas_domain::route::LogBatch;
use uuid::Uuid;

use super::{
    LogStore, NewLine, Origin, Position, Result, Source,
    collect::{Drains, steps_of},
};
use crate::context::Context;

/// Writes lines of every kind; cheap to clone.
#[derive(Clone)]
pub struct LogSink {
    store: Arc<dyn LogStore>,
    now: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    drains: Arc<Drains>,
}

impl std::fmt::Debug for LogSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogSink")
    }
}

impl LogSink {
    /// A sink into `store`, by the daemon's clock.
    pub fn new(store: Arc<dyn LogStore>, cx: &Context) -> Self {
        let cx = cx.clone();
        Self::with_clock(store, Arc::new(move || cx.now()))
    }

    /// The same with a clock of one's own.
    pub fn with_clock(store: Arc<dyn LogStore>, now: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>) -> Self {
        Self { store, now, drains: Arc::default() }
    }

    /// The store behind it.
    pub fn store(&self) -> &Arc<dyn LogStore> {
        &self.store
    }

    /// Which dynos have been read to their end: `drains().drained(id, bound).await` before a
    /// container is removed.
    pub fn drains(&self) -> &Drains {
        &self.drains
    }

    /// What a user did: `app[api]: Scaled to web@2:Standard-1X by user@example.com`. Never waits.
    pub fn api(&self, app_id: Uuid, text: &str) {
        self.offer(app_id, Source::App, "api", text);
    }

    /// What the platform does: `heroku[web.1]: State changed from starting to up`. Never waits.
    pub fn platform(&self, app_id: Uuid, process: &str, text: &str) {
        self.offer(app_id, Source::Heroku, process, text);
    }

    /// The same where it may have to be said again: step `step` of what the platform does to
    /// a dyno (rising with its life) is stored once, over daemon restarts too. Returns once it
    /// is written, so that it can be said before the step is recorded.
    pub async fn platform_step(&self, app_id: Uuid, process: &str, text: &str, dyno: Uuid, step: u64) -> Result<()> {
        let origin = Origin { id: steps_of(dyno), position: Position { major: step, minor: 0 } };
        let line = NewLine { origin: Some(origin), ..self.line(Source::Heroku, process, text) };
        self.store.append(app_id, vec![line]).await
    }

    fn offer(&self, app_id: Uuid, source: Source, process: &str, text: &str) {
        self.store.offer(app_id, vec![self.line(source, process, text)]);
    }

    fn line(&self, source: Source, process: &str, text: &str) -> NewLine {
        NewLine {
            at: (self.now)(),
            source,
            process: process.to_owned(),
            message: text.as_bytes().to_vec(),
            origin: None,
        }
    }

    /// Stores a batch of a router's lines; returns once they are written. A router numbers
    /// its batches from 1 on and sends one after the other, each until it succeeds: what is
    /// repeated is stored once, over daemon restarts too.
    pub async fn router_batch(&self, batch: LogBatch) -> Result<()> {
        let mut by_app: BTreeMap<Uuid, Vec<NewLine>> = BTreeMap::new();
        for line in batch.lines {
            let of_app = by_app.entry(line.app_id).or_default();
            let minor = u32::try_from(of_app.len()).unwrap_or(u32::MAX);
            of_app.push(NewLine {
                at: DateTime::from_timestamp_micros(line.at_micros).unwrap_or_else(|| (self.now)()),
                source: Source::Heroku,
                process: "router".into(),
                message: line.line.into_bytes(),
                origin: Some(Origin { id: batch.router, position: Position { major: batch.seq, minor } }),
            });
        }
        futures_util::future::try_join_all(by_app.into_iter().map(|(app_id, lines)| self.store.append(app_id, lines)))
            .await?;
        Ok(())
    }
}
