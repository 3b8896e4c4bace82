//! Release phases: a release whose slug has a `release` process waits until that has run.

use paas_domain::plan::{DynoKind, ExitReason, Phase, StopReason};

use crate::{
    context::new_id,
    error::Result,
    ops::{self, Platform},
    store::{
        apps::App,
        dynos::{self, Dyno},
        releases,
    },
};

/// The row of the dyno that runs the first waiting release's phase; made when missing.
/// A release that waits without a phase of its own, being first, ends at once.
pub async fn ensure(p: &Platform, app: &App, rows: &[Dyno]) -> Result<Option<Dyno>> {
    let waiting = releases::pending(&mut p.db.read().await?, app.id).await?;
    let Some(release) = waiting.into_iter().next() else { return Ok(None) };
    if let Some(row) = rows.iter().find(|row| row.kind == "release" && row.release_id == release.id) {
        if row.phase == Phase::Exited.as_str() {
            // It has run; only what follows from that is missing.
            let code = row.exit_code.and_then(|code| i32::try_from(code).ok());
            ended(p, row, code.map_or(ExitReason::Lost, ExitReason::Code)).await?;
        }
        return Ok(None);
    }
    let slug = ops::releases::slug_of(&mut p.db.read().await?, &release).await?;
    let command = slug.as_ref().and_then(|slug| slug.process_types.get("release").cloned());
    let (true, Some(command)) = (release.phase, command) else {
        ops::releases::end_phase(p, release.id, None).await?;
        return Ok(None);
    };
    let dyno = Dyno {
        command,
        time_to_live: Some(i64::try_from(p.cx.config().release_timeout_s).unwrap_or(3600)),
        user_id: Some(release.user_id),
        // Its number as ops::releases::phase_dyno says it.
        ..Dyno::new(new_id(), &release, DynoKind::Release, "release", release.version, p.cx.now())
    };
    let mut change = p.change(app.id).await?;
    dynos::insert(&mut change, &dyno).await?;
    p.commit(change, ops::dynos::event("dyno.create", "paas", &dyno)).await?;
    Ok(Some(dyno))
}

/// What follows when the dyno of a release phase has ended. Safe to repeat.
pub async fn ended(p: &Platform, dyno: &Dyno, exit: ExitReason) -> Result<()> {
    let limit = p.cx.config().release_timeout_s;
    let refused = dyno.attributes.get("refused").and_then(|why| why.as_str());
    let reason = dyno.stop_reason.as_deref().map(str::parse).transpose().ok().flatten();
    let failure = match (exit, reason) {
        (ExitReason::Unstarted, _) => Some(match refused {
            Some(why) => format!("the release command could not be started: {why}"),
            None if dyno.request.is_some() => "the release command was stopped before it had started".to_owned(),
            None => format!("the release command could not be started within {limit} s"),
        }),
        (_, Some(StopReason::TimeToLive)) => {
            Some(format!("the release command took longer than {limit} s and was ended"))
        }
        (_, Some(_)) => Some("the release command was stopped".to_owned()),
        (ExitReason::Oom, None) => Some("the release command ran out of memory".to_owned()),
        (exit, None) if exit.code() == 0 => None,
        (exit, None) => Some(format!("the release command exited with status {}", exit.code())),
    };
    ops::releases::end_phase(p, dyno.release_id, failure.as_deref()).await
}
