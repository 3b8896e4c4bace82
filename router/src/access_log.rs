//! One line for each request, in Heroku's words. What a line needs is noted on the request
//! path and costs no formatting there; formatting and shipping are another thread's work.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hyper::{StatusCode, Version};
use paas_domain::route::LogLine;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::failure::{Facts, Failure};
use crate::load::OnApp;
use crate::stats::{AppStats, Outcome};
use crate::table::OnDyno;
use crate::words::Words;

/// What a request was, for its line.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) app: Uuid,
    pub(crate) words: Words,
    pub(crate) version: Version,
    /// `tls1.3`, `tls1.2`, or nothing for plain HTTP.
    pub(crate) tls: Option<&'static str>,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) at: SystemTime,
    pub(crate) dyno: Option<Arc<str>>,
    pub(crate) connect: Option<Duration>,
    pub(crate) service: Option<Duration>,
    pub(crate) status: StatusCode,
    pub(crate) bytes: u64,
    pub(crate) failure: Option<Failure>,
}

/// A finished request on its way to the formatter.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) seen: Seen,
    pub(crate) ended: Ended,
}

/// Where requests leave their entries; never blocks, counts what doesn't fit.
#[derive(Debug, Clone)]
pub(crate) struct AccessLog(Arc<Closing>);

/// Entries that wait, and what their words take, bytes.
#[derive(Debug, Default)]
struct Waiting {
    entries: Vec<Entry>,
    bytes: usize,
}

/// The entries' way to the formatter, which is told of the first that waits, not of each.
#[derive(Debug)]
struct Queue {
    waiting: Mutex<Waiting>,
    most: usize,
    most_bytes: usize,
    closed: AtomicBool,
    /// The time of the last requests is over.
    over: AtomicBool,
    some: Notify,
}

/// Closes the queue when the last worker has ended.
#[derive(Debug)]
struct Closing(Arc<Queue>, Arc<Dropped>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.some.notify_one();
    }
}

/// The formatter's end.
#[derive(Debug)]
pub(crate) struct Entries {
    queue: Arc<Queue>,
    /// The memory of the last batch, for the next.
    spare: Vec<Entry>,
}

impl AccessLog {
    /// `most`: entries that wait, and `most_bytes`: of what their requests said; more are dropped.
    pub(crate) fn new(most: usize, most_bytes: usize) -> (AccessLog, Entries, Arc<Dropped>) {
        let dropped = Arc::new(Dropped::default());
        let queue = Arc::new(Queue {
            waiting: Mutex::default(),
            most,
            most_bytes,
            closed: AtomicBool::new(false),
            over: AtomicBool::new(false),
            some: Notify::new(),
        });
        (
            AccessLog(Arc::new(Closing(Arc::clone(&queue), Arc::clone(&dropped)))),
            Entries { queue, spare: Vec::new() },
            dropped,
        )
    }

    /// What has not ended yet is cut off now: it is the router that ends it (H24).
    pub(crate) fn cut_off(&self) {
        self.0.0.over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn push(&self, entry: Entry) {
        let Closing(queue, dropped) = &*self.0;
        let mut waiting = queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = waiting.bytes + entry.seen.words.len();
        if waiting.entries.len() >= queue.most || bytes > queue.most_bytes {
            let app = entry.seen.app;
            drop(waiting);
            dropped.count(app);
            return;
        }
        let first = waiting.entries.is_empty();
        waiting.bytes = bytes;
        waiting.entries.push(entry);
        drop(waiting);
        if first {
            queue.some.notify_one();
        }
    }
}

impl Entries {
    /// How long others are waited for once there is an entry: a thread that is woken for
    /// each costs the workers more than the entries do.
    const GATHER: Duration = Duration::from_millis(5);

    /// All that wait, as soon as there are some; nothing when there will be none any more.
    pub(crate) async fn recv(&mut self, pause: Duration) -> Option<Vec<Entry>> {
        loop {
            // Before the look, so that what comes after it is known to be the end.
            let closed = self.queue.closed.load(Ordering::Acquire);
            if !self.is_empty() {
                if !closed {
                    tokio::time::sleep(pause.min(Entries::GATHER)).await;
                }
                return Some(self.take());
            }
            if closed {
                return None;
            }
            self.queue.some.notified().await;
        }
    }

    /// All that wait now.
    pub(crate) fn take(&mut self) -> Vec<Entry> {
        let spare = Waiting { entries: std::mem::take(&mut self.spare), bytes: 0 };
        std::mem::replace(&mut *self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner), spare).entries
    }

    /// Takes back what a batch was in, unless that is more than is usually needed.
    pub(crate) fn reuse(&mut self, mut batch: Vec<Entry>) {
        batch.clear();
        if batch.capacity() <= 2048 {
            self.spare = batch;
        }
    }

    fn is_empty(&self) -> bool {
        self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner).entries.is_empty()
    }
}

/// Lines lost, by app, until a line can tell of them.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    by_app: Mutex<HashMap<Uuid, u64>>,
    total: AtomicU64,
}

impl Dropped {
    pub(crate) fn count(&self, app: Uuid) {
        self.total.fetch_add(1, Ordering::Relaxed);
        *self.by_app.lock().unwrap_or_else(PoisonError::into_inner).entry(app).or_default() += 1;
    }

    /// Since the start.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// One line for each app that lost some; they count as told.
    pub(crate) fn take(&self) -> Vec<LogLine> {
        let by_app = std::mem::take(&mut *self.by_app.lock().unwrap_or_else(PoisonError::into_inner));
        let at_micros = micros(SystemTime::now());
        let line = |(app_id, count)| LogLine {
            app_id,
            at_micros,
            line: format!("Error L12 (Local buffer overflow) -> {count} router lines dropped"),
        };
        by_app.into_iter().map(line).collect()
    }
}

pub(crate) fn micros(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_micros()).ok()).unwrap_or(0)
}

/// The line of a request, as Heroku writes it.
pub(crate) fn line(entry: &Entry) -> LogLine {
    let Entry { seen, ended } = entry;
    let mut line = String::with_capacity(320);
    match ended.failure.map(Failure::facts) {
        None => line.push_str("at=info"),
        Some(Facts { code, description, level, socket, cause, status: _ }) => {
            if let Some(socket) = socket {
                put(&mut line, format_args!("sock={socket} "));
            }
            put(&mut line, format_args!("at={level} code={code} desc=\"{description}\""));
            if let Some(cause) = cause {
                put(&mut line, format_args!(" cause=\"{cause}\""));
            }
        }
    }
    let words = &seen.words;
    put(&mut line, format_args!(" method={} path=\"", String::from_utf8_lossy(words.method())));
    quoted(&mut line, &String::from_utf8_lossy(words.path()));
    put(
        &mut line,
        format_args!(
            "\" host={} request_id={} fwd=\"",
            String::from_utf8_lossy(words.host()),
            String::from_utf8_lossy(words.request_id()),
        ),
    );
    quoted(&mut line, &String::from_utf8_lossy(words.forwarded_for()));
    put(&mut line, format_args!("\" dyno={} connect=", ended.dyno.as_deref().unwrap_or_default()));
    if let Some(connect) = ended.connect {
        put(&mut line, format_args!("{}ms", connect.as_millis()));
    }
    line.push_str(" service=");
    if let Some(service) = ended.service {
        put(&mut line, format_args!("{}ms", service.as_millis()));
    }
    let protocol = if seen.version == Version::HTTP_2 { "http2.0" } else { "http1.1" };
    put(
        &mut line,
        format_args!(
            " status={} bytes={} protocol={protocol} tls={}",
            ended.status.as_u16(),
            ended.bytes,
            seen.tls.is_some()
        ),
    );
    if let Some(version) = seen.tls {
        put(&mut line, format_args!(" tls_version={version}"));
    }
    LogLine { app_id: seen.app, at_micros: micros(ended.at), line }
}

fn put(line: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String can't fail.
    let _ = line.write_fmt(what);
}

/// Keeps a quoted value inside its quotes and on its line.
fn quoted(line: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            letter if letter.is_control() => put(line, format_args!("\\u{{{:x}}}", u32::from(letter))),
            letter => line.push(letter),
        }
    }
}

/// A request's record. It is written when it is dropped, whatever way the request ends:
/// only a drop sees every end.
#[derive(Debug)]
pub(crate) struct Flight {
    seen: Option<Seen>,
    log: AccessLog,
    stats: Arc<AppStats>,
    /// When its head had come.
    pub(crate) started: Instant,
    /// Counts it as one of its app's.
    pub(crate) app: Option<OnApp>,
    pub(crate) dyno: Option<OnDyno>,
    pub(crate) connect: Option<Duration>,
    /// From the moment the request could be sent.
    pub(crate) service: Option<Instant>,
    pub(crate) status: StatusCode,
    pub(crate) bytes: u64,
    failure: Option<Failure>,
}

impl Flight {
    /// A request that, if nothing else is said, ends because its client goes away.
    pub(crate) fn new(seen: Seen, log: AccessLog, stats: Arc<AppStats>) -> Flight {
        stats.begun();
        Flight {
            seen: Some(seen),
            log,
            stats,
            started: Instant::now(),
            app: None,
            dyno: None,
            connect: None,
            service: None,
            status: Failure::ClientInterrupted.status(),
            bytes: 0,
            failure: Some(Failure::ClientInterrupted),
        }
    }

    /// Where its app's requests are counted.
    pub(crate) fn stats(&self) -> Arc<AppStats> {
        Arc::clone(&self.stats)
    }

    /// What the request says of itself.
    pub(crate) fn words(&self) -> Option<&Words> {
        self.seen.as_ref().map(|seen| &seen.words)
    }

    /// It failed; the line says so.
    pub(crate) fn fail(&mut self, failure: Failure) {
        self.failure = Some(failure);
        self.status = failure.status();
    }

    /// It went well.
    pub(crate) fn done(&mut self, status: StatusCode) {
        self.failure = None;
        self.status = status;
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let Some(seen) = self.seen.take() else { return };
        // Who reads of its end finds its place free.
        self.app = None;
        if self.failure == Some(Failure::ClientInterrupted) && self.log.0.0.over.load(Ordering::Relaxed) {
            self.fail(Failure::ForcedClose);
        }
        let now = Instant::now();
        self.stats.ended(&Outcome {
            status: self.status,
            code: self.failure.map(|failure| failure.facts().code),
            bytes: self.bytes,
            duration: now - self.started,
            connect: self.connect,
        });
        self.log.push(Entry {
            seen,
            ended: Ended {
                at: SystemTime::now(),
                dyno: self.dyno.as_ref().map(|on| Arc::clone(&on.0.dyno)),
                connect: self.connect,
                service: self.service.map(|since| now - since),
                status: self.status,
                bytes: self.bytes,
                failure: self.failure,
            },
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(failure: Option<Failure>) -> Entry {
        Entry {
            seen: Seen {
                app: Uuid::from_u128(7),
                words: Words::new([
                    b"GET",
                    b"/a?b=c",
                    b"example.com",
                    b"8601b555-6a83-4c12-8269-97c8e32cdb22",
                    b"204.204.204.204, 1.2.3.4",
                ]),
                version: Version::HTTP_11,
                tls: None,
            },
            ended: Ended {
                at: UNIX_EPOCH + Duration::from_micros(1_290_000_000_677_020),
                dyno: Some("web.1".into()),
                connect: Some(Duration::from_micros(900)),
                service: Some(Duration::from_millis(18)),
                status: StatusCode::OK,
                bytes: 13,
                failure,
            },
        }
    }

    #[test]
    fn lines_are_herokus() {
        let mut info = entry(None);
        assert_eq!(
            line(&info),
            LogLine {
                app_id: Uuid::from_u128(7),
                at_micros: 1_290_000_000_677_020,
                line: "at=info method=GET path=\"/a?b=c\" host=example.com \
                       request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 fwd=\"204.204.204.204, 1.2.3.4\" dyno=web.1 \
                       connect=0ms service=18ms status=200 bytes=13 protocol=http1.1 tls=false"
                    .to_owned(),
            }
        );
        info.seen.version = Version::HTTP_2;
        info.seen.tls = Some("tls1.3");
        assert!(line(&info).line.ends_with("protocol=http2.0 tls=true tls_version=tls1.3"));
        let mut interrupted = entry(Some(Failure::ServerInterrupted));
        interrupted.ended.connect = None;
        interrupted.ended.service = None;
        interrupted.ended.dyno = None;
        interrupted.ended.status = StatusCode::SERVICE_UNAVAILABLE;
        interrupted.ended.bytes = 0;
        assert_eq!(
            line(&interrupted).line,
            "sock=backend at=error code=H18 desc=\"Server Request Interrupted\" method=GET path=\"/a?b=c\" \
             host=example.com request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 fwd=\"204.204.204.204, 1.2.3.4\" dyno= \
             connect= service= status=503 bytes=0 protocol=http1.1 tls=false"
        );
    }

    #[test]
    fn what_waits_is_bounded_by_number_and_by_bytes() {
        let long = |length: usize| {
            let mut long = entry(None);
            long.seen.words = Words::new([b"GET", &vec![b'a'; length], b"", b"", b""]);
            long
        };
        let (log, mut entries, dropped) = AccessLog::new(4, 100);
        for length in [40, 40, 40, 10] {
            log.push(long(length));
        }
        assert_eq!(entries.take().len(), 3);
        assert_eq!(dropped.total(), 1);
        // What was taken makes room.
        for length in [60, 1, 1, 1, 1] {
            log.push(long(length));
        }
        assert_eq!(entries.take().len(), 4);
        assert_eq!(dropped.total(), 2);
    }

    #[test]
    fn a_quoted_value_stays_inside_its_quotes() {
        let mut text = String::new();
        quoted(&mut text, "a\" status=200 \\\n");
        assert_eq!(text, "a\\\" status=200 \\\\\\u{a}");
    }
}
