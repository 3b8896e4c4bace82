//! Brings promotions to their end: makes releases that a daemon which was killed has not made
//! any more, and notes how release phases went. Takes no input: it looks at the rows.

use std::time::Duration;

use tokio::sync::{
    broadcast::{Receiver, error::RecvError},
    watch,
};

use crate::{
    error::Result,
    ops::{Platform, pipelines::promotions},
    store::Wake,
};

/// How often it looks without being woken.
const PERIOD: Duration = Duration::from_secs(5);

/// Runs until `stop` becomes true.
pub async fn run(p: Platform, mut stop: watch::Receiver<bool>) {
    let mut wakes = p.db.wakes();
    loop {
        if let Err(error) = pass(&p).await {
            tracing::warn!(%error, "promotions can't be looked after; trying again");
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = woken(&mut wakes) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// One look. A promotion that can't go on is in no other's way.
async fn pass(p: &Platform) -> Result<()> {
    for promotion in promotions::pending(p).await? {
        if let Err(error) = promotions::advance(p, &promotion).await {
            tracing::warn!(promotion.id = %promotion.id, %error, "a promotion can't go on; trying again");
        }
    }
    Ok(())
}

/// Waits for what may bring one further: a release phase that has ended, an app that goes.
async fn woken(wakes: &mut Receiver<Wake>) {
    loop {
        match wakes.recv().await {
            Ok(wake) if matches!(wake.kind, "release.update" | "app.destroy") => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
