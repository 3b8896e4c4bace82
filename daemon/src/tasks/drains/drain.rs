//! One drain: reads, sends, and says what its receiver has missed.
//!
//! What its receiver has not taken yet is in the log store, not in memory. A receiver that
//! keeps up gets every line, however many come at once. One that does not take a frame within
//! a second is waited for with the newest [`BUFFER`] messages: older ones are dropped, counted,
//! and told to it and to the app as `Error L10`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::{FutureExt as _, StreamExt as _, stream::BoxStream};
use tokio::{sync::watch, time::Instant};
use uuid::Uuid;

use super::{
    frame::{Form, Frame},
    send::{Failure, Sender},
};
use crate::{
    logs::{Filter, Line, Source, Start},
    ops::Platform,
};

/// Messages that wait for a receiver that does not take any (Heroku's number).
const BUFFER: u64 = 1024;

/// Most lines and bytes of a frame.
const FRAME_LINES: usize = 300;
const FRAME_BYTES: usize = 256 * 1024;

/// How often a receiver that is waited for is looked after.
const TICK: Duration = Duration::from_secs(1);

/// Waits between two attempts: the first, and the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long a frame on its way may take once the daemon is to end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Attempts after which a frame is dropped that its receiver calls bad.
const REFUSALS: u32 = 5;

/// Failures after which the app's log tells of them.
pub(super) const TOLD_AFTER: u32 = 3;

/// The same is not told of more often, at first; each time the pause is doubled.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// A drain and its receiver.
pub(super) struct Drain {
    pub(super) p: Platform,
    pub(super) app_id: Uuid,
    /// What it is called in the app's log.
    pub(super) name: String,
    pub(super) form: Form,
    pub(super) sender: Sender,
    /// The number of the last line that the receiver has taken.
    pub(super) position: Arc<AtomicU64>,
}

impl Drain {
    /// Sends until `stop` becomes true; dropped, it ends at once.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        let Self { p, app_id, name, form, mut sender, position } = self;
        let store = p.logs.store().clone();
        let mut care = Care::new(&p, app_id, name);
        care.place = position.load(Ordering::Relaxed);
        loop {
            if let Ok(end) = store.end(app_id).await {
                // A power failure may have taken lines that were sent.
                care.place = care.place.min(end);
            }
            let mut lines = Some(store.follow(app_id, Start::After(care.place), Filter::default()));
            while let Some(reading) = &mut lines {
                let read = tokio::select! {
                    read = read(reading, form.linger()) => read,
                    () = stopped(&mut stop) => return,
                };
                let Some(mut read) = read else {
                    // A log that ends belongs to an app that goes, or to a daemon that does.
                    tokio::select! {
                        () = tokio::time::sleep(TICK) => break,
                        () = stopped(&mut stop) => return,
                    }
                };
                let (count, last) = (read.len() as u64, read.last().map_or(care.place, |line| line.seq));
                let told = care.missed;
                read.splice(..0, care.notice());
                care.place = last;
                let frame = form.frame(&read);
                drop(read);
                match care.deliver(&mut sender, frame, &mut lines, &mut stop).await {
                    Sent::Taken => care.told(told),
                    Sent::Refused => care.miss(count),
                    Sent::Stopped => return,
                }
                position.store(last, Ordering::Relaxed);
            }
            // It was waited for: read on from `place`, past what was dropped.
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The next lines, at least one; nothing when the log has ended.
async fn read(lines: &mut BoxStream<'static, Line>, linger: Duration) -> Option<Vec<Line>> {
    let first = lines.next().await?;
    if !linger.is_zero() {
        tokio::time::sleep(linger).await;
    }
    let mut bytes = first.message.len();
    let mut read = vec![first];
    while read.len() < FRAME_LINES && bytes < FRAME_BYTES {
        let Some(Some(line)) = lines.next().now_or_never() else { break };
        bytes += line.message.len();
        read.push(line);
    }
    Some(read)
}

/// How the sending of a frame ended.
enum Sent {
    Taken,
    /// Its receiver says again and again that it is bad.
    Refused,
    /// The daemon ends.
    Stopped,
}

/// What is known of how a drain fares.
struct Care {
    p: Platform,
    app_id: Uuid,
    name: String,
    /// The number of the last line that is sent, on its way, or dropped.
    place: u64,
    /// Messages dropped that the receiver has not been told of.
    missed: u64,
    since: Option<DateTime<Utc>>,
    /// Those of them that the app's log does not tell of yet.
    untold: u64,
    /// How long the next wait before another attempt is.
    wait: Duration,
    overflow_told: Pause,
    trouble: Trouble,
}

impl Care {
    fn new(p: &Platform, app_id: Uuid, name: String) -> Self {
        Self {
            p: p.clone(),
            app_id,
            trouble: Trouble::new(p, app_id, name.clone()),
            name,
            place: 0,
            missed: 0,
            since: None,
            untold: 0,
            wait: FIRST_WAIT,
            overflow_told: Pause::default(),
        }
    }

    /// Sends a frame until it is taken. A receiver that has to be waited for has no lines read
    /// ahead: they are let go of.
    async fn deliver(
        &mut self,
        sender: &mut Sender,
        mut frame: Frame,
        lines: &mut Option<BoxStream<'static, Line>>,
        stop: &mut watch::Receiver<bool>,
    ) -> Sent {
        let (mut failures, mut refusals) = (0u32, 0u32);
        while let Some(piece) = frame.pieces.front() {
            let failure = {
                let mut sending = std::pin::pin!(sender.send(piece));
                loop {
                    tokio::select! {
                        sent = &mut sending => break sent.err(),
                        () = tokio::time::sleep(TICK) => {
                            *lines = None;
                            self.look().await;
                        }
                        () = stopped(stop) => match tokio::time::timeout(FAREWELL, sending).await {
                            Ok(Ok(())) if frame.pieces.len() == 1 => return Sent::Taken,
                            Ok(_) | Err(_) => return Sent::Stopped,
                        },
                    }
                }
            };
            let Some(failure) = failure else {
                frame.pieces.pop_front();
                (failures, self.wait) = (0, FIRST_WAIT);
                continue;
            };
            *lines = None;
            failures += 1;
            self.trouble.tell(sender, "messages", &failure, failures);
            if failure.is_refusal() {
                refusals += 1;
                if refusals == REFUSALS {
                    return Sent::Refused;
                }
            }
            let until = Instant::now() + jittered(self.wait);
            self.wait = (self.wait * 2).min(LONGEST_WAIT);
            while Instant::now() < until {
                tokio::select! {
                    () = tokio::time::sleep_until(until.min(Instant::now() + TICK)) => self.look().await,
                    () = stopped(stop) => return Sent::Stopped,
                }
            }
        }
        Sent::Taken
    }

    /// Drops what is too much while the receiver takes nothing.
    async fn look(&mut self) {
        let Ok(end) = self.p.logs.store().end(self.app_id).await else { return };
        let keep = end.saturating_sub(BUFFER);
        if keep > self.place {
            let more = keep - self.place;
            self.place = keep;
            self.miss(more);
        }
    }

    /// Counts messages that the receiver will not get.
    fn miss(&mut self, count: u64) {
        self.missed += count;
        self.untold += count;
        self.since.get_or_insert(self.p.cx.now());
        if self.overflow_told.is_over() {
            self.tell_app();
        }
    }

    fn tell_app(&mut self) {
        let since = stamp(self.since.unwrap_or_else(|| self.p.cx.now()));
        let text = format!(
            "Error L10 (output buffer overflow): drain '{}' dropped {} messages since {since}.",
            self.name, self.untold
        );
        self.p.logs.platform(self.app_id, "logplex", &text);
        self.untold = 0;
    }

    /// What the receiver is to be told before it gets anything else.
    fn notice(&self) -> Option<Line> {
        let since = self.since.filter(|_| self.missed > 0)?;
        Some(Line {
            seq: 0,
            at: self.p.cx.now(),
            source: Source::Heroku,
            process: "logplex".into(),
            message: format!(
                "Error L10 (output buffer overflow): {} messages dropped since {}.",
                self.missed,
                stamp(since)
            ),
        })
    }

    /// The receiver has been told of so many.
    fn told(&mut self, count: u64) {
        self.missed -= count;
        if self.missed == 0 {
            if self.untold > 0 {
                self.tell_app();
            }
            self.since = None;
        }
    }
}

/// Tells the app why a receiver takes nothing.
pub(super) struct Trouble {
    p: Platform,
    app_id: Uuid,
    name: String,
    told: Pause,
}

impl Trouble {
    pub(super) fn new(p: &Platform, app_id: Uuid, name: String) -> Self {
        Self { p: p.clone(), app_id, name, told: Pause::default() }
    }

    /// Tells of `what` that was not taken, so often one after the other.
    pub(super) fn tell(&mut self, sender: &Sender, what: &str, failure: &Failure, failures: u32) {
        let to = sender.shown();
        tracing::debug!(drain = self.name, what, %failure, to, failures, "what a drain sent was not taken; trying again");
        let text = if let Failure::Certificate(why) = failure {
            format!("Error L14 (certificate validation): error=\"{why}\" uri=\"{to}\"")
        } else if failures < TOLD_AFTER {
            tracing::trace!(%failure, "not told to the app yet");
            return;
        } else {
            format!("Drain '{}' to {to} takes no {what}: {failure}. They are tried again.", self.name)
        };
        if self.told.is_over() {
            self.p.logs.platform(self.app_id, "logplex", &text);
        }
    }
}

/// When the same may be told again.
#[derive(Default)]
struct Pause(Option<(Instant, Duration)>);

impl Pause {
    /// Whether it is over; begins the next, twice as long.
    fn is_over(&mut self) -> bool {
        let next = match self.0 {
            None => TOLD_EVERY,
            Some((told, pause)) if told.elapsed() < pause => return false,
            Some((told, pause)) if told.elapsed() > pause * 4 => TOLD_EVERY,
            Some((_, pause)) => (pause * 2).min(TOLD_EVERY * 60),
        };
        self.0 = Some((Instant::now(), next));
        true
    }
}

fn stamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, false)
}

/// Between half of it and all of it, so that many drains of one receiver don't come at once.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(0.5 + rand::random::<f64>() / 2.0)
}
