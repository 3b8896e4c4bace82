//! Release phases: a release whose slug has a `release` process waits until that has run.

use serde_json::json;

use crate::{
    context::new_id,
    error::Result,
    ops::{self, Platform},
    store::{
        apps::App,
        dynos::{self, Dyno},
        events::Event,
        releases,
    },
};

/// The row of the dyno that runs the first waiting release's phase; made when missing.
/// A release that waits without a phase of its own, being first, ends at once.
pub async fn ensure(p: &Platform, app: &App, rows: &[Dyno]) -> Result<Option<Dyno>> {
    let waiting = releases::pending(&mut p.db.read().await?, app.id).await?;
    let Some(release) = waiting.into_iter().next() else { return Ok(None) };
    if rows.iter().any(|row| row.kind == "release" && row.release_id == release.id) {
        return Ok(None);
    }
    let slug = ops::releases::slug_of(&mut p.db.read().await?, &release).await?;
    let command = slug.as_ref().and_then(|slug| slug.process_types.get("release").cloned());
    let (true, Some(command)) = (release.phase, command) else {
        ops::releases::end_phase(p, release.id, None).await?;
        return Ok(None);
    };
    let now = p.cx.now();
    let dyno = Dyno {
        id: new_id(),
        app_id: app.id,
        kind: "release".into(),
        process_type: "release".into(),
        // As ops::releases::phase_dyno says it.
        number: release.version,
        release_id: release.id,
        release_version: release.version,
        size: paas_domain::size::Size::default().name().to_lowercase(),
        command,
        epoch: 0,
        phase: "starting".into(),
        phase_at: now,
        created_at: now,
        updated_at: now,
        started_at: None,
        stop_at: None,
        stop_reason: None,
        request: None,
        crashes: 0,
        next_start_at: None,
        exit_code: None,
        time_to_live: Some(i64::try_from(p.cx.config().release_timeout_s).unwrap_or(3600)),
        attach: false,
        tty: false,
        env: None,
        user_id: Some(release.user_id),
        address: None,
        killed_at: None,
        kill_reason: None,
        routed: false,
        unrouted_at: None,
        attributes: sqlx::types::Json(json!({})),
    };
    let mut change = p.change(app.id).await?;
    dynos::insert(&mut change, &dyno).await?;
    p.commit(change, Event::new("dyno.create", "paas", json!({"dyno": dyno.name()}))).await?;
    Ok(Some(dyno))
}

/// What follows when the dyno of a release phase has ended.
pub async fn ended(p: &Platform, dyno: &Dyno, code: i64) -> Result<()> {
    let overdue = dyno.stop_reason.as_deref() == Some("time-to-live");
    let failure = match code {
        0 if !overdue => None,
        _ if overdue => {
            Some(format!("the release command took longer than {} s and was ended", p.cx.config().release_timeout_s))
        }
        code => Some(format!("the release command exited with status {code}")),
    };
    ops::releases::end_phase(p, dyno.release_id, failure.as_deref()).await
}
