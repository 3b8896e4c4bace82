//! Takes access lines to the daemon: batches, each repeated until the daemon has it, so
//! that a daemon that restarts loses none. What waits is bounded; what doesn't fit is
//! counted and told of later.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use paas_domain::route::{LogBatch, LogLine};
use uuid::Uuid;

use crate::access_log::{Dropped, Entries, Entry, line};
use crate::daemon_client::ask;
use crate::settings::Limits;

/// The shipper.
pub(crate) struct Shipper {
    pub(crate) socket: PathBuf,
    pub(crate) router: Uuid,
    pub(crate) entries: Entries,
    pub(crate) dropped: Arc<Dropped>,
    pub(crate) limits: Limits,
    /// Lines that wait, for `/status`.
    pub(crate) waiting: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// Lines of the batch that is being delivered.
    sending: usize,
}

/// What a line costs beside its text.
const LINE_COST: usize = 64;

impl Waiting {
    fn push(&mut self, line: LogLine, limit: usize, dropped: &Dropped) {
        if self.bytes + line.line.len() > limit {
            dropped.count(line.app_id);
        } else {
            self.bytes += line.line.len() + LINE_COST;
            self.lines.push_back(line);
        }
    }

    fn batch(&mut self, most: usize) -> Vec<LogLine> {
        let count = self.lines.len().min(most);
        let batch: Vec<LogLine> = self.lines.drain(..count).collect();
        self.bytes -= batch.iter().map(|line| line.line.len() + LINE_COST).sum::<usize>();
        batch
    }
}

impl Shipper {
    /// Ends when every worker has ended and everything was delivered.
    pub(crate) async fn run(mut self) {
        let mut waiting = Waiting::default();
        let mut seq = 0;
        let mut open = true;
        while open || !waiting.lines.is_empty() {
            if waiting.lines.is_empty() {
                open = self.gather_some(&mut waiting).await;
                // Others are likely to follow: one batch for all of them.
                tokio::time::timeout(self.limits.log_pause, self.gather(&mut waiting)).await.unwrap_or(());
            }
            let entries = self.entries.take();
            self.keep(entries, &mut waiting);
            for line in self.dropped.take() {
                // Not counted against the limit: it is what tells that there is one.
                waiting.bytes += line.line.len() + LINE_COST;
                waiting.lines.push_back(line);
            }
            let lines = waiting.batch(self.limits.log_batch);
            if lines.is_empty() {
                continue;
            }
            seq += 1;
            waiting.sending = lines.len();
            self.deliver(LogBatch { router: self.router, seq, lines }, &mut waiting).await;
            waiting.sending = 0;
            self.count(&waiting);
        }
    }

    async fn gather_some(&mut self, waiting: &mut Waiting) -> bool {
        match self.entries.recv(self.limits.log_pause).await {
            Some(entries) => {
                self.keep(entries, waiting);
                true
            }
            None => false,
        }
    }

    /// Until the workers have ended, or dropped.
    async fn gather(&mut self, waiting: &mut Waiting) {
        while self.gather_some(waiting).await {}
    }

    fn keep(&mut self, entries: Vec<Entry>, waiting: &mut Waiting) {
        for entry in &entries {
            waiting.push(line(entry), self.limits.log_bytes, &self.dropped);
        }
        self.entries.reuse(entries);
        self.count(waiting);
    }

    fn count(&self, waiting: &Waiting) {
        self.waiting.store(waiting.lines.len() + waiting.sending, Ordering::Relaxed);
    }

    /// Repeats until the daemon has the batch, formatting what comes in meanwhile.
    async fn deliver(&mut self, batch: LogBatch, waiting: &mut Waiting) {
        let count = batch.lines.len();
        let Ok(body) = serde_json::to_vec(&batch) else { return };
        let body = Bytes::from(body);
        let socket = self.socket.clone();
        let mut pause = Duration::ZERO;
        let mut told = false;
        loop {
            let send = ask(&socket, Method::POST, "/router/log", body.clone(), Duration::from_secs(10));
            let why = match self.meanwhile(send, waiting).await {
                Ok((status, _)) if status.is_success() => return,
                Ok((
                    StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY,
                    body,
                )) => {
                    tracing::error!(
                        log.lines = count,
                        "The daemon refuses a batch of access lines, they are lost: {}",
                        String::from_utf8_lossy(&body),
                    );
                    return;
                }
                Ok((status, _)) => format!("it answered {status}"),
                Err(error) => error.to_string(),
            };
            if !told {
                tracing::warn!(log.lines = count, "Access lines wait for the daemon: {why}");
                told = true;
            }
            pause = (pause * 2).clamp(Duration::from_millis(50), self.limits.backoff);
            self.meanwhile(tokio::time::sleep(pause), waiting).await;
        }
    }

    /// Awaits `work` and keeps taking entries, so that the queue stays free.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>, waiting: &mut Waiting) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                result = &mut work => return result,
                entries = self.entries.recv(self.limits.log_pause) => match entries {
                    Some(entries) => self.keep(entries, waiting),
                    None => return work.await,
                },
            }
        }
    }
}
