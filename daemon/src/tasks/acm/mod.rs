//! Automatic Certificate Management: gets certificates for the domains of apps that want them, and
//! renews them. Takes no input: it looks at the rows, and writes each step into them before it is
//! taken, so that it goes on wherever it was ended.
//!
//! A domain's way: [`obtain`] tries that the name leads here, orders, proves and fetches;
//! [`proof`] answers an authority's challenge; [`renewal`] says when the next one is due.

mod obtain;
mod proof;
pub(crate) mod renewal;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::{
    sync::{
        broadcast::{Receiver, error::RecvError},
        watch,
    },
    task::{Id, JoinSet},
};
use uuid::Uuid;

use self::obtain::Stop;
use super::routes::Routes;
use crate::{
    acme::{Authority, renewal_id},
    error::Result,
    ops::{Platform, acm, certificate},
    store::{Wake, acme, domains},
};

/// How often it looks without being woken.
const PERIOD: Duration = Duration::from_secs(60);

/// How many certificates are got at once: authorities count, and none is in a hurry.
const AT_ONCE: usize = 2;

/// The first pause after a failure, doubled by each one after it.
const FIRST_PAUSE: TimeDelta = TimeDelta::minutes(1);

/// The longest.
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(12);

/// Until when an authority, by its directory, wants no order of a domain. Most limits are a name's own:
/// the others go on.
type Limited = HashMap<(String, Uuid), DateTime<Utc>>;

/// What every step works with.
#[derive(Clone)]
struct Acm {
    p: Platform,
    routes: Routes,
    /// The first before the second.
    authorities: Arc<Vec<Authority>>,
    limited: Arc<Mutex<Limited>>,
}

/// Runs until `stop` becomes true.
pub async fn run(p: Platform, routes: Routes, mut stop: watch::Receiver<bool>) {
    let authorities = match p.cx.config().acme.is_on() {
        true => Authority::all(p.cx.config()).unwrap_or_else(|error| {
            tracing::error!("certificates can't be got automatically: {error} Mend the settings and start paasd again");
            Vec::new()
        }),
        false => Vec::new(),
    };
    let acm = Acm { p, routes, authorities: Arc::new(authorities), limited: Arc::default() };
    if let Err(error) = renewal::of_others(&acm).await {
        tracing::warn!(%error, "certificates of authorities that aren't set any more can't be looked for");
    }
    let mut wakes = acm.p.db.wakes();
    let mut busy = Busy::default();
    loop {
        let wait = match look(&acm, &mut busy).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::warn!(%error, "automatic certificates can't be looked after; trying again");
                PERIOD
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = woken(&mut wakes) => {}
            Some(ended) = busy.tasks.join_next_with_id() => busy.end(ended),
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// The domains that are worked on now.
#[derive(Default)]
struct Busy {
    tasks: JoinSet<()>,
    domains: HashMap<Id, Uuid>,
}

impl Busy {
    fn end(&mut self, ended: std::result::Result<(Id, ()), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "getting a certificate ended by a fault of paasd's own");
                error.id()
            }
        };
        self.domains.remove(&id);
    }
}

/// One look: begins what is due; how long until the next.
async fn look(acm: &Acm, busy: &mut Busy) -> Result<Duration> {
    acm::tidy(&acm.p).await?;
    if acm.authorities.is_empty() {
        return Ok(PERIOD);
    }
    let now = acm.p.cx.now();
    let (due, next) = {
        let mut c = acm.p.db.read().await?;
        (acme::due(&mut c, now).await?, acme::next(&mut c, now).await?)
    };
    let at_work: HashSet<Uuid> = busy.domains.values().copied().collect();
    let free = AT_ONCE.saturating_sub(at_work.len());
    for row in due.into_iter().filter(|row| !at_work.contains(&row.domain_id)).take(free) {
        let (acm, domain_id) = (acm.clone(), row.domain_id);
        let handle = busy.tasks.spawn(async move {
            if let Err(error) = advance(&acm, row).await {
                tracing::warn!(domain.id = %domain_id, %error, "a certificate can't be looked after; trying again");
                // What can't even be written down is not tried without a pause.
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        });
        busy.domains.insert(handle.id(), domain_id);
    }
    let until = next.map_or(PERIOD, |next| (next - now).to_std().unwrap_or_default());
    Ok(until.clamp(Duration::from_millis(20), PERIOD))
}

/// Waits for what may make something due or superfluous.
async fn woken(wakes: &mut Receiver<Wake>) {
    loop {
        match wakes.recv().await {
            Ok(wake) if ["app.", "domain.", "sni-endpoint.", "acm."].iter().any(|kind| wake.kind.starts_with(kind)) => {
                return;
            }
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Gets or renews what is due of one domain, or asks whether it is due.
async fn advance(acm: &Acm, mut row: acme::Certificate) -> Result<()> {
    let p = &acm.p;
    let domain = domains::by_id(&mut p.db.read().await?, row.domain_id).await?;
    let Some(domain) = domain else { return Ok(()) };
    let now = p.cx.now();
    if row.order_url.is_none()
        && row.renew_at.is_some_and(|at| at > now)
        && let Some(chain) = acm::chain(p, &domain).await?
    {
        renewal::plan(acm, &mut row, &chain).await?;
        if row.renew_at.is_some_and(|at| at > now) {
            acm::save(p, &mut row).await?;
            return Ok(());
        }
    }
    let outcome = obtain::obtain(acm, &mut row, &domain).await;
    let stopped = match outcome {
        Ok((chain, by)) => {
            // What is known stays as it was until the certificate is in its place.
            let mut done = row.clone();
            match install(acm, &mut done, &chain, &by).await {
                Ok(()) => None,
                Err(error) => {
                    Some(Stop::Unusable(format!("The certificate that {by} has sent can't be used: {error}")))
                }
            }
        }
        Err(stop) => Some(stop),
    };
    if let Some(stop) = stopped {
        fail(acm, &mut row, &domain, stop).await?;
    }
    // The router need not answer for it any more.
    acm.routes.refresh().await?;
    Ok(())
}

/// Serves with what has come, and plans its renewal.
async fn install(acm: &Acm, row: &mut acme::Certificate, chain: &str, by: &str) -> Result<()> {
    renewal::plan(acm, row, chain).await?;
    renewal::not_at_once(acm.p.cx.now(), row, chain)?;
    acm::install(&acm.p, row, chain, by).await?;
    Ok(())
}

async fn fail(acm: &Acm, row: &mut acme::Certificate, domain: &domains::Domain, stop: Stop) -> Result<()> {
    let now = acm.p.cx.now();
    // Authorities count what they have refused: Let's Encrypt bears five failures of a name in an hour.
    let refused = matches!(stop, Stop::Name(_) | Stop::Unusable(_));
    let mut next_at = now + pause(row.attempts + if refused { 2 } else { 0 });
    let reason = match stop {
        Stop::Gone => return Ok(()),
        Stop::Own(error) => return Err(error),
        Stop::NotHere(reason) | Stop::Name(reason) => {
            acm::clear(row);
            reason
        }
        Stop::Unusable(reason) => {
            // It is fetched again, not ordered again: each one that is signed counts. But not for ever.
            if (row.attempts + 1) % obtain::IN_A_ROW == 0 {
                acm::clear(row);
            } else {
                acm::clear_challenge(row);
            }
            reason
        }
        Stop::Authority { reason, until } => {
            // An order that is under way is gone on with.
            acm::clear_challenge(row);
            next_at = next_at.max(until.unwrap_or(next_at));
            reason
        }
    };
    tracing::warn!(domain.name = domain.hostname, "a certificate can't be got yet: {reason}");
    acm::fail(&acm.p, row, &domain.hostname, &reason, next_at).await
}

/// How long after so many failures it is tried again: up to a tenth more, so that not all come at once.
fn pause(attempts: i64) -> TimeDelta {
    let doubled = FIRST_PAUSE * (1 << attempts.clamp(0, 10));
    let pause = doubled.min(LONGEST_PAUSE);
    pause + pause * i32::from(rand::random::<u8>()) / (10 * i32::from(u8::MAX))
}

/// The name by which an authority knows the certificate that serves a domain.
async fn replaced(
    acm: &Acm,
    row: &acme::Certificate,
    domain: &domains::Domain,
    by: &Authority,
) -> Result<Option<String>> {
    if row.directory.as_deref() != Some(by.directory()) {
        return Ok(None);
    }
    Ok(acm::chain(&acm.p, domain).await?.as_deref().and_then(renewal_id))
}

/// When a certificate begins and ends.
fn times(chain: &str) -> Result<(DateTime<Utc>, DateTime<Utc>)> {
    let said = certificate::read(chain)?;
    Ok((said.starts_at, said.expires_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_half_a_day() {
        for (attempts, minutes) in [(0, 1), (1, 2), (5, 32), (9, 512), (10, 720), (99, 720)] {
            let pause = pause(attempts);
            let least = TimeDelta::minutes(minutes);
            assert!(pause >= least && pause <= least + least / 10, "{attempts}: {pause}");
        }
    }
}
