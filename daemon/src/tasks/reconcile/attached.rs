//! One-off dynos with a user: started by the stream of whoever attaches, and ended when
//! nobody is there for them.

use std::{collections::HashMap, time::Duration};

use chrono::TimeDelta;
use paas_domain::plan::{Phase, Request};
use uuid::Uuid;

use crate::{
    engine::{DynoState, ObservedDyno},
    error::Result,
    ops::{Platform, attach},
    store::dynos::{self, Dyno},
};

/// How long one waits for its user (R13).
const WAIT: TimeDelta = TimeDelta::seconds(30);

/// How long one may go on after SIGHUP (R16); SIGTERM follows.
const HANGUP: TimeDelta = TimeDelta::seconds(10);

/// Takes those out of `rows` and `seen` that are a session's affair, and looks after those
/// that no session holds. Gives the rest; into `waits` goes when to look again.
pub(super) async fn look(
    p: &Platform,
    rows: Vec<Dyno>,
    seen: &mut HashMap<Uuid, ObservedDyno>,
    waits: &mut Vec<Duration>,
) -> Result<Vec<Dyno>> {
    let mut rest = Vec::with_capacity(rows.len());
    for mut row in rows {
        let state = seen.get(&row.id).map(|seen| &seen.state);
        let held = p.attachments.holds(row.id);
        if !row.attach || row.request.is_some() {
            rest.push(row);
        } else if row.phase == Phase::Starting.as_str() && matches!(state, None | Some(DynoState::Created)) {
            seen.remove(&row.id);
            if !held {
                waits.push(waiting(p, row).await?);
            }
        } else if row.phase == Phase::Exited.as_str() && held {
            // Its user is still reading what it wrote.
            seen.remove(&row.id);
        } else {
            if !held && matches!(state, Some(DynoState::Running { .. })) {
                waits.extend(left_alone(p, &mut row).await?);
            }
            rest.push(row);
        }
    }
    Ok(rest)
}

/// It waits for its user, for a while.
async fn waiting(p: &Platform, mut dyno: Dyno) -> Result<Duration> {
    let now = p.cx.now();
    let left = (WAIT - (now - dyno.created_at)).to_std().unwrap_or_default();
    if !left.is_zero() || !p.attachments.give_up(dyno.id, now) {
        return Ok(left);
    }
    dyno.phase = Phase::Exited.to_string();
    dyno.phase_at = now;
    dyno.updated_at = now;
    let mut tx = p.db.begin().await?;
    dynos::update(&mut tx, &dyno).await?;
    tx.commit(None).await?;
    p.logs.platform(dyno.app_id, &dyno.name(), "Error R13 (Attach error) -> Failed to attach to process");
    Ok(Duration::ZERO)
}

/// It runs and its user is gone, perhaps with the daemon before this one.
async fn left_alone(p: &Platform, dyno: &mut Dyno) -> Result<Option<Duration>> {
    let now = p.cx.now();
    let since = match p.attachments.hung_up(dyno.id) {
        Some(since) => since,
        None => {
            attach::hang_up(p, dyno.id).await?;
            now
        }
    };
    let left = (HANGUP - (now - since)).to_std().unwrap_or_default();
    if !left.is_zero() {
        return Ok(Some(left));
    }
    p.logs.platform(dyno.app_id, &dyno.name(), "Error R16 (Detached) -> An attached process is not responding to SIGHUP after its external connection was closed.");
    let mut tx = p.db.begin().await?;
    dynos::request(&mut tx, dyno.id, Request::Stop.as_str(), now).await?;
    tx.commit(None).await?;
    dyno.request = Some(Request::Stop.to_string());
    Ok(None)
}
