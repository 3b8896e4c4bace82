//! What the router counts: per app and in all. Counting is a few additions on the request's own
//! thread, with no lock, no allocation and no look-up; adding up is done when somebody asks.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use hyper::StatusCode;

/// Upper bounds of the histogram of durations, microseconds: Prometheus's usual ones, and on to
/// the longest that a request waits for a dyno.
pub(crate) const BUCKETS: [u64; 13] = [
    5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
    75_000_000,
];

/// Codes of failures, those of Heroku's that are about requests. What is none of them counts as H99.
pub(crate) const CODES: [&str; 29] = [
    "H10", "H11", "H12", "H13", "H14", "H15", "H16", "H17", "H18", "H19", "H20", "H21", "H22", "H23", "H24", "H25",
    "H26", "H27", "H28", "H31", "H32", "H33", "H34", "H80", "H81", "H82", "H83", "H98", "H99",
];

/// Status classes by their first digit, from 1 on.
pub(crate) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Counts are kept apart for so many threads, so that these don't take each other's cache lines.
/// More threads than that share.
const SHARDS: usize = 16;

thread_local! {
    /// Which shard this thread counts in.
    static SHARD: Cell<usize> = const { Cell::new(0) };
}

/// Says which worker this thread is, once, before it counts.
pub(crate) fn this_is_worker(number: usize) {
    SHARD.set(number % SHARDS);
}

/// How a request ended, as far as it is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) status: StatusCode,
    /// Its code, where it failed.
    pub(crate) code: Option<&'static str>,
    /// Bytes of the response's body.
    pub(crate) bytes: u64,
    /// From the request's head to the response's last byte.
    pub(crate) duration: Duration,
    /// All attempts to connect; nothing where no dyno was tried.
    pub(crate) connect: Option<Duration>,
}

/// Counts of one app. The same object from table to table; gone with the app.
#[derive(Debug, Default)]
pub(crate) struct AppStats {
    shards: [OnceLock<Box<Shard>>; SHARDS],
    recent: Mutex<Option<Box<Recent>>>,
}

/// One thread's counts of one app. They only grow.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard {
    begun: AtomicU64,
    classes: [AtomicU64; CLASSES.len()],
    /// One more than there are bounds: what is over the last.
    buckets: [AtomicU64; BUCKETS.len() + 1],
    micros: AtomicU64,
    connect_micros: AtomicU64,
    connects: AtomicU64,
    bytes: AtomicU64,
    waits: AtomicU64,
    waited: AtomicU64,
    tunnels: AtomicU64,
    tunnels_closed: AtomicU64,
    codes: [AtomicU64; CODES.len()],
}

/// An app's counts of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Ended requests by status class.
    pub(crate) classes: [u64; CLASSES.len()],
    /// By [`BUCKETS`], not added up; the last is what is over all of them. Without tunnels.
    pub(crate) buckets: [u64; BUCKETS.len() + 1],
    /// What they took together.
    pub(crate) micros: u64,
    /// Time for connecting to dynos, and how many requests tried to.
    pub(crate) connect_micros: u64,
    pub(crate) connects: u64,
    /// Of responses' bodies.
    pub(crate) bytes: u64,
    /// By [`CODES`].
    pub(crate) codes: [u64; CODES.len()],
    /// Requests that are under way, tunnels among them.
    pub(crate) in_flight: u64,
    /// Requests that wait for a dyno.
    pub(crate) waiting: u64,
    /// Requests that ever waited for one.
    pub(crate) waits: u64,
    /// WebSockets and their like that are open.
    pub(crate) tunnels: u64,
}

/// What was counted at two earlier moments: the older one begins what is recent.
#[derive(Debug)]
struct Recent {
    older: (Instant, Counts),
    newer: (Instant, Counts),
}

fn add(count: &AtomicU64, by: u64) {
    count.fetch_add(by, Ordering::Relaxed);
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl AppStats {
    fn shard(&self) -> &Shard {
        let number = SHARD.get();
        // Made for the first request of an app on a thread: most apps of a large table have none.
        self.shards[number % SHARDS].get_or_init(Box::default)
    }

    /// A request has come.
    pub(crate) fn begun(&self) {
        add(&self.shard().begun, 1);
    }

    /// A request has ended, however it did.
    pub(crate) fn ended(&self, outcome: &Outcome) {
        let shard = self.shard();
        let class = usize::from(outcome.status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        add(&shard.bytes, outcome.bytes);
        if let Some(connect) = outcome.connect {
            add(&shard.connect_micros, micros(connect));
            add(&shard.connects, 1);
        }
        if let Some(code) = outcome.code {
            let at = CODES.iter().position(|known| *known == code).unwrap_or(CODES.len() - 1);
            add(&shard.codes[at], 1);
        }
        // A tunnel's time is its users' affair, not the app's speed.
        if outcome.status != StatusCode::SWITCHING_PROTOCOLS {
            let duration = micros(outcome.duration);
            add(&shard.micros, duration);
            add(&shard.buckets[BUCKETS.partition_point(|bound| *bound < duration)], 1);
        }
        // Last, as `begun` is read last: there is never more ended than begun.
        shard.classes[class].fetch_add(1, Ordering::Release);
    }

    /// Counts a request that waits for a dyno for as long as the answer lives.
    pub(crate) fn waits(&self) -> Passing<'_> {
        let shard = self.shard();
        Passing::new(&shard.waits, &shard.waited)
    }

    /// Counts a tunnel for as long as the answer lives.
    pub(crate) fn tunnel(&self) -> Passing<'_> {
        let shard = self.shard();
        Passing::new(&shard.tunnels, &shard.tunnels_closed)
    }

    /// Everything until now.
    pub(crate) fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        let (mut begun, mut ended) = (0, 0);
        for shard in self.shards.iter().filter_map(OnceLock::get) {
            for (sum, count) in sum.classes.iter_mut().zip(&shard.classes) {
                *sum += count.load(Ordering::Acquire);
            }
            let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
            for (sum, count) in sum.buckets.iter_mut().zip(&shard.buckets) {
                *sum += get(count);
            }
            for (sum, count) in sum.codes.iter_mut().zip(&shard.codes) {
                *sum += get(count);
            }
            sum.micros += get(&shard.micros);
            sum.connect_micros += get(&shard.connect_micros);
            sum.connects += get(&shard.connects);
            sum.bytes += get(&shard.bytes);
            let waited = get(&shard.waited);
            let waits = get(&shard.waits);
            sum.waits += waits;
            sum.waiting += waits.saturating_sub(waited);
            let closed = get(&shard.tunnels_closed);
            sum.tunnels += get(&shard.tunnels).saturating_sub(closed);
            begun += get(&shard.begun);
        }
        ended += sum.classes.iter().sum::<u64>();
        sum.in_flight = begun.saturating_sub(ended);
        sum
    }

    /// Whether it ever had a request.
    pub(crate) fn is_used(&self) -> bool {
        self.shards.iter().any(|shard| shard.get().is_some())
    }

    /// Notes the counts of now: what is recent begins at the note before the last.
    pub(crate) fn note(&self, now: Instant) {
        if !self.is_used() {
            return;
        }
        let newer = (now, self.counts());
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let older = recent.take().map_or_else(|| newer.clone(), |recent| recent.newer);
        *recent = Some(Box::new(Recent { older, newer }));
    }

    /// What was counted lately, and since when; `started` is when the router did.
    pub(crate) fn recent(&self, started: Instant) -> (Instant, Counts) {
        let now = self.counts();
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        match recent.as_ref() {
            Some(recent) => (recent.older.0, now.since(&recent.older.1)),
            None => (started, now),
        }
    }
}

/// Counts up, and what has passed when it is dropped.
#[derive(Debug)]
pub(crate) struct Passing<'s>(&'s AtomicU64);

impl<'s> Passing<'s> {
    fn new(come: &AtomicU64, gone: &'s AtomicU64) -> Passing<'s> {
        add(come, 1);
        Passing(gone)
    }
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        add(self.0, 1);
    }
}

impl Counts {
    /// What has come since `before`; what is under way stays as it is.
    fn since(mut self, before: &Counts) -> Counts {
        let less = |now: &mut [u64], before: &[u64]| {
            for (now, before) in now.iter_mut().zip(before) {
                *now = now.saturating_sub(*before);
            }
        };
        less(&mut self.classes, &before.classes);
        less(&mut self.buckets, &before.buckets);
        less(&mut self.codes, &before.codes);
        self.micros = self.micros.saturating_sub(before.micros);
        self.connect_micros = self.connect_micros.saturating_sub(before.connect_micros);
        self.connects = self.connects.saturating_sub(before.connects);
        self.bytes = self.bytes.saturating_sub(before.bytes);
        self.waits = self.waits.saturating_sub(before.waits);
        self
    }

    /// Ended requests.
    pub(crate) fn requests(&self) -> u64 {
        self.classes.iter().sum()
    }

    /// The duration that this part of the requests (0 to 1) kept within, milliseconds, as near as
    /// the buckets tell: straight between a bucket's bounds. Nothing where there were none.
    pub(crate) fn percentile(&self, part: f64) -> Option<f64> {
        let all: u64 = self.buckets.iter().sum();
        if all == 0 {
            return None;
        }
        let rank = part * all as f64;
        let (mut below, mut from) = (0, 0);
        for (count, bound) in self.buckets.iter().zip(BUCKETS) {
            if *count > 0 && (below + count) as f64 >= rank {
                let within = (rank - below as f64) / *count as f64;
                return Some((from as f64 + within * (bound - from) as f64) / 1000.0);
            }
            below += count;
            from = bound;
        }
        // Over the last bound nobody knows how far.
        Some(from as f64 / 1000.0)
    }
}

/// What is counted for no app.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// Client connections that were taken.
    pub(crate) accepted: AtomicU64,
    /// Those that were turned away at once, over a limit.
    pub(crate) refused: AtomicU64,
    /// TLS handshakes that failed or took too long.
    pub(crate) handshakes_failed: AtomicU64,
    /// TLS connections by version.
    pub(crate) tls12: AtomicU64,
    pub(crate) tls13: AtomicU64,
    /// Requests for names that no app has.
    pub(crate) unknown_hosts: AtomicU64,
}

/// Counts one.
pub(crate) fn count(of: &AtomicU64) {
    add(of, 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, millis: u64) -> Outcome {
        Outcome {
            status: StatusCode::from_u16(status).unwrap_or_default(),
            code: None,
            bytes: 10,
            duration: Duration::from_millis(millis),
            connect: None,
        }
    }

    #[test]
    fn counts_of_all_threads_are_added_up() {
        let stats = AppStats::default();
        assert!(!stats.is_used());
        std::thread::scope(|scope| {
            for number in 0..SHARDS + 3 {
                let stats = &stats;
                scope.spawn(move || {
                    this_is_worker(number);
                    for status in [101, 200, 204, 304, 404, 499, 503] {
                        stats.begun();
                        stats.ended(&outcome(status, 7));
                    }
                    stats.begun();
                    stats.ended(&Outcome { code: Some("H12"), ..outcome(503, 30_000) });
                    stats.begun();
                    std::mem::forget(stats.waits());
                    std::mem::forget(stats.tunnel());
                    drop(stats.tunnel());
                });
            }
        });
        let counts = stats.counts();
        let threads = SHARDS as u64 + 3;
        assert_eq!(counts.classes, [1, 2, 1, 2, 2].map(|each| each * threads));
        assert_eq!(counts.requests(), 8 * threads);
        assert_eq!((counts.buckets[1], counts.buckets[11]), (6 * threads, threads), "without the tunnel");
        assert_eq!(counts.codes.iter().sum::<u64>(), threads);
        assert_eq!((counts.in_flight, counts.waiting, counts.tunnels), (threads, threads, threads));
        assert_eq!(counts.bytes, 80 * threads);
    }

    #[test]
    fn what_is_recent_begins_at_the_note_before_the_last() {
        let stats = AppStats::default();
        let started = Instant::now();
        let later = |minutes: u64| started + Duration::from_secs(60 * minutes);
        let serve = |count: u64| (0..count).for_each(|_| (stats.begun(), stats.ended(&outcome(200, 1))).0);
        stats.note(later(1));
        serve(1);
        assert_eq!(stats.recent(started).0, started);
        stats.note(later(2));
        serve(10);
        stats.note(later(3));
        serve(100);
        let (since, counts) = stats.recent(started);
        assert_eq!((since, counts.requests()), (later(2), 110));
        stats.note(later(4));
        assert_eq!(stats.recent(started).1.requests(), 100);
    }

    #[test]
    fn percentiles_are_within_the_bounds_of_their_buckets() {
        let mut counts = Counts::default();
        assert_eq!(counts.percentile(0.5), None);
        counts.buckets[1] = 100;
        assert_eq!(counts.percentile(0.5), Some(7.5));
        counts.buckets[5] = 100;
        assert_eq!(counts.percentile(0.5), Some(10.0));
        assert_eq!(counts.percentile(0.75), Some(175.0));
        assert_eq!(counts.percentile(0.99).map(f64::round), Some(247.0));
        counts.buckets[BUCKETS.len()] = 1000;
        assert_eq!(counts.percentile(0.99), Some(75_000.0));
    }

    #[test]
    fn codes_are_in_order() {
        assert!(CODES.is_sorted() && BUCKETS.is_sorted());
    }
}
