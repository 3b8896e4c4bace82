//! Brings the output of every dyno into the logs.
//!
//! Each dyno that the engine knows has a follower, which goes on where the store says that
//! this dyno's lines end. A dyno that has ended is followed to its last line and then marked
//! as drained; its container goes after that. What an attached dyno says is for the user
//! at its other end, and in no log.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::{
    engine::{DynoState, EngineError, ObservedDyno, OutputLine, OutputStream},
    error::Result,
    logs::{
        LogError, NewLine, Source,
        collect::{Lane, Resume},
    },
    ops::Platform,
    store::dynos,
};

/// How often it looks without being woken.
const PERIOD: Duration = Duration::from_secs(15);

/// Lines stored in one go.
const BATCH: usize = 500;

/// Longest wait between two attempts.
const PATIENCE: Duration = Duration::from_secs(5);

struct Follower {
    app_id: Uuid,
    task: Option<JoinHandle<()>>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Runs until `stop` becomes true.
pub async fn run(p: Platform, mut stop: watch::Receiver<bool>) {
    let mut changes = p.engine.changes();
    let mut followers: HashMap<Uuid, Follower> = HashMap::new();
    loop {
        if let Err(error) = pass(&p, &mut followers).await {
            tracing::warn!(%error, "the dynos' output could not be looked after; trying again");
        }
        tokio::select! {
            hint = changes.next() => {
                if hint.is_none() {
                    changes = p.engine.changes();
                }
                // Hints come in swarms: one look is enough for those that are here.
                while let Some(Some(_)) = changes.next().now_or_never() {}
            }
            () = tokio::time::sleep(PERIOD) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// One look: a follower for each dyno that has none, none for those that are gone.
async fn pass(p: &Platform, followers: &mut HashMap<Uuid, Follower>) -> Result<()> {
    let seen = p.engine.list(None).await?;
    let gone: Vec<Uuid> = followers.keys().copied().filter(|id| !seen.iter().any(|dyno| dyno.id == *id)).collect();
    for id in gone {
        if let Some(mut follower) = followers.remove(&id) {
            if let Some(task) = follower.task.take() {
                // Its last lines may be on their way still.
                let _ = tokio::time::timeout(PATIENCE, task).await;
            }
            p.logs.drains().forget(id);
            if let Err(error) = Resume::forget(p.logs.store().as_ref(), follower.app_id, id).await {
                tracing::debug!(%error, dyno.id = %id, "a dyno's place in the log could not be let go");
            }
        }
    }
    for dyno in seen {
        // What was only made has said nothing yet; its start wakes us.
        if followers.contains_key(&dyno.id) || dyno.state == DynoState::Created {
            continue;
        }
        let attached = dynos::by_id(&mut p.db.read().await?, dyno.id).await?.is_some_and(|row| row.attach);
        let (id, app_id) = (dyno.id, dyno.app_id);
        // Whoever is attached to it says when all of it is heard.
        let task = (!attached).then(|| tokio::spawn(follow(p.clone(), dyno)));
        followers.insert(id, Follower { app_id, task });
    }
    Ok(())
}

/// Follows one dyno to its end, through failures of the engine and of the disk.
async fn follow(p: Platform, dyno: ObservedDyno) {
    let mut failures = 0u32;
    loop {
        match once(&p, &dyno, &mut failures).await {
            Ok(()) => break,
            Err(Trouble::Gone) => break,
            Err(Trouble::Closed) => return,
            Err(Trouble::Later(why)) => {
                failures += 1;
                if failures == 1 || failures.is_multiple_of(60) {
                    tracing::warn!(
                        dyno = dyno.name, dyno.id = %dyno.id, app.id = %dyno.app_id, why,
                        "a dyno's output can't be read or stored now; nothing is lost while its container is there"
                    );
                }
                tokio::time::sleep(PATIENCE.min(Duration::from_millis(100) * failures)).await;
            }
        }
    }
    if let Err(error) = p.logs.store().sync(dyno.app_id).await {
        tracing::debug!(%error, dyno.id = %dyno.id, "a dyno's last lines could not be synced");
    }
    p.logs.drains().mark(dyno.id);
}

enum Trouble {
    /// Worth repeating.
    Later(String),
    /// There is no such dyno any more.
    Gone,
    /// The daemon ends.
    Closed,
}

impl From<LogError> for Trouble {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Disk { .. } => Self::Later(error.to_string()),
            LogError::Closed => Self::Closed,
        }
    }
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        if matches!(error, EngineError::NotFound { .. }) { Self::Gone } else { Self::Later(error.to_string()) }
    }
}

/// Reads until the dyno ends (`Ok`) or something fails.
async fn once(p: &Platform, dyno: &ObservedDyno, failures: &mut u32) -> Result<(), Trouble> {
    let store = p.logs.store();
    let mut resume = Resume::load(store.as_ref(), dyno.app_id, dyno.id).await?;
    let mut output = p.engine.output(dyno.id, resume.since()).await?.ready_chunks(BATCH);
    while let Some(chunk) = output.next().await {
        let mut lines = Vec::with_capacity(chunk.len());
        let mut broken = None;
        for line in chunk {
            match line {
                Ok(line) => lines.extend(new_line(&mut resume, dyno, line)),
                Err(error) => broken = Some(error),
            }
        }
        if !lines.is_empty() {
            store.append(dyno.app_id, lines).await?;
            *failures = 0;
        }
        if let Some(error) = broken {
            return Err(error.into());
        }
    }
    Ok(())
}

fn new_line(resume: &mut Resume, dyno: &ObservedDyno, line: OutputLine) -> Option<NewLine> {
    let lane = match line.stream {
        OutputStream::Stdout => Lane::Out,
        OutputStream::Stderr => Lane::Err,
    };
    let origin = resume.take(lane, line.at)?;
    Some(NewLine {
        at: line.at,
        source: Source::App,
        process: dyno.name.clone(),
        message: line.bytes.to_vec(),
        origin: Some(origin),
    })
}
