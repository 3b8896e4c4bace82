//! Looks after add-ons: brings up what is wanted, takes down what is not, keeps what is there
//! on the right networks, and makes the releases that apps are owed because of them. Takes no
//! input: it looks at the rows and at the engine.
//!
//! Each is looked after by itself, several at once and each within a limit: their users can
//! make them silent or slow, and that is in nobody else's way.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use chrono::TimeDelta;
use tokio::{
    sync::watch,
    task::{self, JoinSet},
    time::Instant,
};
use uuid::Uuid;

use crate::{
    addons::Status,
    error::Result,
    ops::{self, Platform},
    store::addons::{self, Addon},
};

/// How often it looks at all of them without being woken.
const PERIOD: Duration = Duration::from_secs(30);

/// How often it looks at one that has just been made or changed and does not answer yet.
const SOON: Duration = Duration::from_millis(150);

/// For how long after a change an answer is expected soon.
const FRESH: TimeDelta = TimeDelta::seconds(10);

/// How often it looks at a new one that takes longer, or one that the engine refused.
const LATER: Duration = Duration::from_secs(5);

/// How many it looks after at once.
const AT_ONCE: usize = 16;

/// Longest look at one: to remake a container, its server gets 30 s to end.
const LIMIT: Duration = Duration::from_secs(90);

/// Runs until `stop` becomes true.
pub async fn run(p: Platform, mut stop: watch::Receiver<bool>) {
    let mut wakes = p.db.wakes();
    let mut list_at = Instant::now();
    let mut look_at: HashMap<Uuid, Instant> = HashMap::new();
    let mut at_work: HashMap<task::Id, Uuid> = HashMap::new();
    // Tasks of their own: they must go on, and let go of the database, while this one waits for it.
    let mut work: JoinSet<Option<Duration>> = JoinSet::new();
    loop {
        if list_at <= Instant::now() {
            let all = all(&p).await;
            let now = Instant::now();
            list_at = now + PERIOD;
            match all {
                Ok(ids) => look_at = ids.into_iter().map(|id| (id, now)).collect(),
                Err(error) => {
                    tracing::warn!(%error, "add-ons can't be looked after; trying again");
                    list_at = now + LATER;
                }
            }
        }
        let (now, busy) = (Instant::now(), at_work.values().copied().collect::<HashSet<_>>());
        let due: Vec<Uuid> =
            look_at.iter().filter(|(id, at)| **at <= now && !busy.contains(id)).map(|(id, _)| *id).collect();
        for id in due.into_iter().take(AT_ONCE.saturating_sub(at_work.len())) {
            look_at.remove(&id);
            let p = p.clone();
            at_work.insert(work.spawn(async move { look(&p, id).await }).id(), id);
        }
        let waiting = look_at.iter().filter(|(id, _)| at_work.len() < AT_ONCE && !busy.contains(id));
        let next = waiting.map(|(_, at)| *at).fold(list_at, Instant::min);
        tokio::select! {
            Some(ended) = work.join_next_with_id() => {
                let (task, wait) = match ended {
                    Ok((task, wait)) => (task, wait),
                    Err(error) => {
                        tracing::error!(%error, "looking after an add-on broke off; trying again");
                        (error.id(), Some(LATER))
                    }
                };
                if let (Some(id), Some(wait)) = (at_work.remove(&task), wait) {
                    // Whoever was woken for it meanwhile looks at once.
                    look_at.entry(id).or_insert(Instant::now() + wait);
                }
            }
            () = tokio::time::sleep_until(next) => {}
            () = relevant(&mut wakes) => list_at = Instant::now(),
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    work.shutdown().await;
}

async fn all(p: &Platform) -> Result<Vec<Uuid>> {
    Ok(addons::ids(&mut p.db.read().await?).await?)
}

/// Waits for a change that concerns add-ons.
async fn relevant(wakes: &mut tokio::sync::broadcast::Receiver<crate::store::Wake>) {
    loop {
        match wakes.recv().await {
            Ok(wake) if wake.kind.starts_with("addon.") || wake.kind == "app.destroy" => return,
            Ok(_) => {}
            Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => return,
            Err(tokio::sync::broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// One look at one of them; when to look again, if sooner than at all.
async fn look(p: &Platform, id: Uuid) -> Option<Duration> {
    match tokio::time::timeout(LIMIT, one(p, id)).await {
        Ok(Ok(wait)) => wait,
        Ok(Err(error)) => {
            tracing::warn!(addon.id = %id, %error, "an add-on could not be looked after");
            Some(LATER)
        }
        Err(_) => {
            tracing::warn!(addon.id = %id, "an add-on could not be looked after: it took over {} s", LIMIT.as_secs());
            Some(LATER)
        }
    }
}

async fn one(p: &Platform, id: Uuid) -> Result<Option<Duration>> {
    let Some(addon) = addons::by_id(&mut p.db.read().await?, id).await? else { return Ok(None) };
    let (provider, instance) = ops::addons::instance(p, &addon).await?;
    let engine = p.engine.as_ref();
    if addon.state == "deprovisioning" {
        ops::addons::settle(p, &addon, &[]).await?;
        return match provider.deprovision(engine, id).await {
            Ok(()) => {
                ops::addons::deprovisioned(p, id).await?;
                Ok(None)
            }
            Err(error) => {
                tracing::warn!(addon = addon.name, %error, "an add-on could not be removed yet");
                ops::addons::note(p, &addon, Some(&error.to_string())).await?;
                Ok(Some(LATER))
            }
        };
    }
    let status = match provider.provision(engine, &instance).await {
        Ok(()) => {
            if addon.state == "provisioned" {
                ops::addons::settle(p, &addon, &instance.networks).await?;
            }
            provider.status(engine, &instance).await
        }
        Err(error) => Err(error),
    };
    match status {
        Ok(Status::Ready) => {
            if addon.state == "provisioning" {
                ops::addons::provisioned(p, id).await?;
            } else {
                ops::addons::note(p, &addon, None).await?;
            }
            Ok(None)
        }
        Ok(Status::Starting(why)) => {
            ops::addons::note(p, &addon, Some(&why)).await?;
            Ok(again(p, &addon))
        }
        Err(error) => {
            tracing::warn!(addon = addon.name, %error, "an add-on could not be looked after");
            ops::addons::note(p, &addon, Some(&error.to_string())).await?;
            Ok(Some(LATER))
        }
    }
}

/// When to look again at one that does not answer: soon when it is expected to, at the next
/// round when it has been silent for long.
fn again(p: &Platform, addon: &Addon) -> Option<Duration> {
    if p.cx.now() - addon.updated_at < FRESH {
        return Some(SOON);
    }
    (addon.state == "provisioning").then_some(LATER)
}
