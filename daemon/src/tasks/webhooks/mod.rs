//! Webhooks at work: [`tell`] turns what happened into what is told, [`send`] takes it to the
//! receivers.
//!
//! Nothing is remembered but in the rows: how far each app's events were told of (a cursor that
//! moves with the tellings in one transaction), and what is due for whom. Killed anywhere, the
//! next daemon goes on: what was being sent is sent again, so a receiver may get a delivery
//! twice, by the same id.

mod about;
pub mod send;
pub mod tell;

use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::{broadcast, watch};

use self::send::Sender;
use crate::{
    error::Result,
    ops::Platform,
    store::{self, Wake, webhooks},
};

/// How often it looks without being woken.
const PERIOD: Duration = Duration::from_secs(15);

/// How long tellings are kept.
const KEPT: TimeDelta = TimeDelta::days(30);

/// How many of an app are kept at most, beside those that are on their way.
const MOST: i64 = 2000;

/// After how many looks what is too old is removed.
const PRUNE_EVERY: u32 = 200;

/// Runs until `stop` becomes true.
pub async fn run(p: Platform, mut stop: watch::Receiver<bool>) {
    // Before the first look: what happens during one is looked at by the next.
    let mut wakes = p.db.wakes();
    let mut sender = Sender::new(&p);
    let mut looks = 0u32;
    loop {
        if let Err(error) = tell::pass(&p).await {
            tracing::warn!(%error, "what happened could not be made known to webhooks yet; trying again");
        }
        let wait = match sender.start_due(&p).await {
            Ok(next) => next.map_or(PERIOD, |next| next.min(PERIOD)),
            Err(error) => {
                tracing::warn!(%error, "webhooks could not be told yet; trying again");
                PERIOD
            }
        };
        if looks.is_multiple_of(PRUNE_EVERY)
            && let Err(error) = prune(&p).await
        {
            tracing::warn!(%error, "old webhook events could not be removed; trying again later");
        }
        looks = looks.wrapping_add(1);
        tokio::select! {
            open = woken(&mut wakes) => if !open { return },
            () = sender.ended() => {}
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Waits for a change, and takes all that have come. Whether there will be more.
async fn woken(wakes: &mut broadcast::Receiver<Wake>) -> bool {
    match wakes.recv().await {
        Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
        Err(broadcast::error::RecvError::Closed) => return false,
    }
    while wakes.try_recv().is_ok() {}
    true
}

/// Removes what is too old or too much, and all of apps that are gone.
pub async fn prune(p: &Platform) -> Result<()> {
    let before = p.cx.now() - KEPT;
    let mut tx = p.db.begin().await?;
    webhooks::events::prune(&mut tx, before, MOST).await?;
    store::events::prune_dynos(&mut tx, before).await?;
    for cursor in webhooks::gone(&mut tx).await? {
        webhooks::forget(&mut tx, cursor.app_id).await?;
    }
    tx.commit(None).await?;
    Ok(())
}
