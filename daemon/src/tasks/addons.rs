//! Looks after add-ons: brings up what is wanted, takes down what is not, and keeps what is
//! there on the right networks. Takes no input: it looks at the rows and at the engine.

use std::time::Duration;

use tokio::sync::watch;

use crate::{
    addons::Status,
    error::Result,
    ops::{self, Platform},
    store::addons::{self, Addon},
};

/// How often it looks without being woken.
const PERIOD: Duration = Duration::from_secs(30);

/// How often it looks while something is under way.
const SOON: Duration = Duration::from_millis(150);

/// Runs until `stop` becomes true.
pub async fn run(p: Platform, mut stop: watch::Receiver<bool>) {
    let mut wakes = p.db.wakes();
    let mut failures = 0u32;
    loop {
        let wait = match pass(&p).await {
            Ok(true) => {
                failures = 0;
                SOON
            }
            Ok(false) => {
                failures = 0;
                PERIOD
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(%error, "add-ons could not all be looked after; trying again");
                Duration::from_secs(u64::from(failures.min(6)) * 5)
            }
        };
        tokio::select! {
            _ = tokio::time::sleep(wait) => {}
            _ = relevant(&mut wakes) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Waits for a change that concerns add-ons.
async fn relevant(wakes: &mut tokio::sync::broadcast::Receiver<crate::store::Wake>) {
    loop {
        match wakes.recv().await {
            Ok(wake) if wake.kind.starts_with("addon.") || wake.kind.starts_with("app.") => return,
            Ok(_) => {}
            Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => return,
            Err(tokio::sync::broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// One look at all of them; whether something is still under way. One that can't be looked
/// after is in nobody else's way: its error comes after all the others have had their turn.
pub async fn pass(p: &Platform) -> Result<bool> {
    let rows = addons::all(&mut p.db.read().await?).await?;
    let mut busy = false;
    let mut failure = None;
    for addon in rows {
        match one(p, &addon).await {
            Ok(more) => busy |= more,
            Err(error) => {
                tracing::warn!(addon = addon.name, %error, "an add-on could not be looked after");
                failure = Some(error);
            }
        }
    }
    match failure {
        // What is under way is looked at soon; the broken one comes along.
        Some(error) if !busy => Err(error),
        Some(_) | None => Ok(busy),
    }
}

async fn one(p: &Platform, addon: &Addon) -> Result<bool> {
    let (provider, instance) = ops::addons::instance(p, addon).await?;
    let engine = p.engine.as_ref();
    if addon.state == "deprovisioning" {
        return match provider.deprovision(engine, addon.id).await {
            Ok(()) => {
                ops::addons::deprovisioned(p, addon.id).await?;
                Ok(false)
            }
            Err(error) => {
                tracing::warn!(addon = addon.name, %error, "an add-on could not be removed yet");
                ops::addons::note(p, addon.id, Some(&error.to_string())).await?;
                Ok(false)
            }
        };
    }
    let status = match provider.provision(engine, &instance).await {
        Ok(()) => provider.status(engine, &instance).await,
        Err(error) => Err(error),
    };
    match status {
        Ok(Status::Ready) => {
            if addon.state == "provisioning" {
                ops::addons::provisioned(p, addon.id).await?;
            } else {
                ops::addons::note(p, addon.id, None).await?;
            }
            Ok(false)
        }
        Ok(Status::Starting(why)) => {
            ops::addons::note(p, addon.id, Some(&why)).await?;
            Ok(true)
        }
        Err(error) => {
            tracing::warn!(addon = addon.name, %error, "an add-on could not be looked after");
            ops::addons::note(p, addon.id, Some(&error.to_string())).await?;
            Ok(false)
        }
    }
}
