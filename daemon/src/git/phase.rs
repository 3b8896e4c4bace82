//! A push waits for the release phase of what it has deployed, and shows what that says.

use std::time::Duration;

use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use uuid::Uuid;

use super::push::{Push, Pusher};
use crate::{
    error::Result,
    logs::{Filter, Line, Source, Start},
    ops::{Platform, releases},
    store::{
        dynos::{self, Dyno},
        releases::Release,
    },
};

/// How often the release is looked at without being woken.
const PERIOD: Duration = Duration::from_secs(1);
/// How long the last lines may take from the dyno into the log.
const LAST_LINES: Duration = Duration::from_secs(5);
/// Lines of a phase that were there before anybody followed it.
const BACKLOG: usize = 10_000;
/// Lines sent in one piece.
const CHUNK: usize = 200;

/// The dyno of an app's release phase that runs now.
pub(super) async fn running(p: &Platform, app: Uuid) -> Result<Option<Dyno>> {
    let rows = dynos::list(&mut p.db.read().await?, app).await?;
    Ok(rows.into_iter().find(|dyno| dyno.kind == "release" && dyno.phase != "exited"))
}

/// Waits for the release phase, when there is one. Its failure doesn't reject the push: the slug
/// and the release are there, only the release doesn't count. As on Heroku. A pusher who is gone
/// needs no news, and git may then take the push.
pub(super) async fn wait(p: &Platform, push: &Push, id: Uuid, pusher: &mut Pusher) {
    let mut told = false;
    let mut phase: Option<Phase> = None;
    while !pusher.is_gone() {
        let mut wakes = p.db.wakes();
        let release = match look(p, id, &mut phase).await {
            Ok(Some(release)) => release,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "a release can't be looked at");
                return;
            }
        };
        let waits = release.status == "pending";
        if !told && (release.phase || waits) {
            told = true;
            pusher.say("Running release command...\n").await;
        }
        if !waits {
            if let Some(phase) = &mut phase {
                phase.rest(p, pusher).await;
            }
            return end(&release, told, phase.map(|phase| phase.dyno), pusher).await;
        }
        let mut tick = std::pin::pin!(tokio::time::sleep(PERIOD));
        while !pusher.is_gone() {
            tokio::select! {
                () = &mut tick => break,
                _ = wakes.recv() => break,
                () = push.gone.cancelled() => return,
                text = next(&mut phase) => pusher.say(&text).await,
            }
        }
    }
}

/// The release as it is now, and the phase that runs for it.
async fn look(p: &Platform, id: Uuid, phase: &mut Option<Phase>) -> Result<Option<Release>> {
    let Some(release) = releases::by_id(p, id).await? else { return Ok(None) };
    let rows = dynos::list(&mut p.db.read().await?, release.app_id).await?;
    let dyno = rows.into_iter().find(|dyno| dyno.kind == "release" && dyno.release_id == id);
    // A phase that was lost is run again, by another dyno.
    if let Some(dyno) = dyno.filter(|dyno| phase.as_ref().is_none_or(|phase| phase.dyno.id != dyno.id)) {
        *phase = Some(Phase::follow(p, dyno));
    }
    Ok(Some(release))
}

async fn end(release: &Release, told: bool, dyno: Option<Dyno>, pusher: &mut Pusher) {
    match release.status.as_str() {
        "succeeded" if told => pusher.say("Waiting for release.... done.\n").await,
        "failed" | "expired" => {
            pusher
                .say(&format!(
                    "\n !     Release command failed: {}.\n \
                     !     v{} is not deployed; what ran before goes on. Look at: paas logs --dyno {}\n\n",
                    release.message.as_deref().unwrap_or("it did not succeed").trim_end_matches('.'),
                    release.version,
                    dyno.map_or_else(|| "release".to_owned(), |dyno| dyno.name())
                ))
                .await;
        }
        _ => {}
    }
}

/// The dyno that runs a release's phase, and what it says.
struct Phase {
    dyno: Dyno,
    lines: BoxStream<'static, Vec<Line>>,
    /// The number of the last line that was given.
    seen: u64,
}

impl Phase {
    fn follow(p: &Platform, dyno: Dyno) -> Self {
        let lines = p.logs.store().follow(dyno.app_id, Start::Backlog(BACKLOG), filter(&dyno));
        Self { dyno, lines: lines.ready_chunks(CHUNK).boxed(), seen: 0 }
    }

    /// Its next lines; nothing, for ever, when the log has ended.
    async fn next(&mut self) -> String {
        let Some(lines) = self.lines.next().await else {
            self.lines = stream::pending().boxed();
            return std::future::pending().await;
        };
        self.seen = lines.last().map_or(self.seen, |line| line.seq);
        // Another phase may have had the same name before.
        let own = lines.iter().filter(|line| line.at >= self.dyno.created_at);
        own.map(|line| format!("{}\n", line.message)).collect()
    }

    /// What it said last, once it has ended.
    async fn rest(&mut self, p: &Platform, pusher: &mut Pusher) {
        p.logs.drains().drained(self.dyno.id, LAST_LINES).await;
        let last = p.logs.store().recent(self.dyno.app_id, 1, filter(&self.dyno)).await;
        let last = last.unwrap_or_default().pop().map_or(0, |line| line.seq);
        while self.seen < last {
            let Ok(text) = tokio::time::timeout(LAST_LINES, self.next()).await else { return };
            pusher.say(&text).await;
        }
    }
}

async fn next(phase: &mut Option<Phase>) -> String {
    match phase {
        Some(phase) => phase.next().await,
        None => std::future::pending().await,
    }
}

fn filter(dyno: &Dyno) -> Filter {
    Filter { source: Some(Source::App), process: Some(dyno.name()) }
}
