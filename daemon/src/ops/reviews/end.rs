//! How review apps go: their last script runs, then the app is destroyed, if it still is theirs.

use std::collections::BTreeMap;

use paas_domain::{manifest::Manifest, stage::Stage};
use serde_json::json;

use super::is_live;
use crate::{
    error::{Error, Result},
    ops::{
        Actor, Platform,
        apps::{self, Permission},
        pipelines::{self, Owner},
        scripts,
        setups::REVIEW,
    },
    store::{
        Conn, app_setups,
        apps::{self as app_rows, App},
        couplings,
        events::Event,
        pipelines as pipeline_rows,
        review_apps::{self as rows, ReviewApp},
        users,
    },
};

/// Seconds that the script before the end may run.
const LAST_WORDS: i64 = 600;

/// Begins the end of one: its last script runs, then its app goes. For who manages the app, and
/// the pipeline's owner while it is the pipeline's.
pub async fn destroy(p: &Platform, actor: &Actor, row: &ReviewApp) -> Result<ReviewApp> {
    if row.status == "deleted" {
        return Ok(row.clone());
    }
    let owner = pipelines::is_owned_by(p, actor, row.pipeline_id).await?;
    let app = app_rows::by_id(&mut p.db.read().await?, row.app_id).await?.filter(|app| !app.deleting);
    if let Some(app) = &app {
        if !is_its_own(&mut p.db.read().await?, row, app).await? {
            leave(p, row).await?;
            return Err(Error::not_found("review_app", row.id.to_string()));
        }
        if !owner {
            apps::find_for(p, actor, &app.id.to_string(), Permission::Manage).await?;
        }
        apps::check_unused(&mut p.db.read().await?, app).await?;
    } else if !owner && row.user_id != actor.user.id {
        return Err(Error::Forbidden("Only who made this review app and the pipeline's owner may destroy it.".into()));
    }
    go(p, row, actor.name()).await
}

/// The same, by the platform itself.
pub(super) async fn go(p: &Platform, row: &ReviewApp, who: &str) -> Result<ReviewApp> {
    let now = p.cx.now();
    let mut tx = p.db.begin().await?;
    rows::set_status(&mut tx, row.id, "deleting", None, now).await?;
    let event = json!({"id": row.id, "branch": row.branch, "app": row.app_name});
    tx.commit_with(Event::new("review-app.destroy", who, event), now).await?;
    let found = rows::by_id(&mut p.db.read().await?, row.id).await?;
    found.ok_or_else(|| Error::not_found("review_app", row.id.to_string()))
}

/// Whether an app is in its pipeline at `review`, as a review app is.
async fn is_coupled(c: &mut Conn, row: &ReviewApp) -> Result<bool> {
    let coupling = couplings::of_app(c, row.app_id).await?;
    Ok(coupling.is_some_and(|c| c.pipeline_id == row.pipeline_id && c.stage == Stage::Review.as_str()))
}

/// Whether an app is still what a review app's row says: in its pipeline at `review`, and not given
/// to somebody else. What it has become since is not for the pipeline to end.
async fn is_its_own(c: &mut Conn, row: &ReviewApp, app: &App) -> Result<bool> {
    if !is_coupled(c, row).await? {
        return Ok(false);
    }
    let owner = Owner::of_app(app);
    let pipeline = pipeline_rows::by_id(c, row.pipeline_id).await?;
    Ok(owner == Owner::User(row.user_id) || pipeline.and_then(|pipeline| Owner::of(&pipeline)) == Some(owner))
}

/// Does what is next for one; whether there is more to come soon. Safe to repeat.
pub async fn advance(p: &Platform, row: &ReviewApp) -> Result<bool> {
    let app = app_rows::by_id(&mut p.db.read().await?, row.app_id).await?.filter(|app| !app.deleting);
    let Some(app) = app else {
        // A setup that fails takes its app away, and then tells why; that stays to be read.
        let setup = app_setups::by_id(&mut p.db.read().await?, row.setup_id).await?;
        if setup.is_none_or(|setup| setup.status != "pending") {
            // Read after the setup, with which it was written: the one given may be older.
            let now = rows::by_id(&mut p.db.read().await?, row.id).await?;
            if now.is_some_and(|row| row.status != "errored") {
                ended(p, row).await?;
            }
        }
        return Ok(false);
    };
    // To whom it belongs is asked when it is to go: a pipeline that is given away takes its apps along one by one.
    let its_own = match is_live(row) {
        true => is_coupled(&mut p.db.read().await?, row).await?,
        false => is_its_own(&mut p.db.read().await?, row, &app).await?,
    };
    if !its_own {
        // The coupling goes with an app: one that has just gone is for the next look.
        let app = app_rows::by_id(&mut p.db.read().await?, row.app_id).await?;
        if app.is_none_or(|app| app.deleting) {
            return Ok(true);
        }
        leave(p, row).await?;
    }
    if !its_own || is_live(row) {
        return Ok(false);
    }
    let user = users::by_id(&mut p.db.read().await?, row.user_id).await?;
    let user = user.ok_or_else(|| Error::internal("The review app's user is missing.", "no such row in users"))?;
    let actor = Actor { user, authorization_id: None };
    if let Some(script) = last_words(p, row).await? {
        let ran = async {
            scripts::start(p, &actor, &app, row.script_id, &script).await?;
            scripts::outcome(p, row.script_id, LAST_WORDS).await
        };
        match ran.await {
            Ok(None) => return Ok(true),
            Ok(Some(outcome)) if outcome.exit_code != 0 => {
                tracing::warn!(app = app.name, code = outcome.exit_code, "pr-predestroy of a review app has failed");
            }
            Ok(Some(_)) => {}
            Err(Error::Invalid(why)) => tracing::warn!(app = app.name, why, "pr-predestroy could not be run"),
            Err(error) => return Err(error),
        }
    }
    let mut change = p.change(app.id).await?;
    // It may have changed hands while the script ran.
    let app = apps::current(&mut change, app.id).await?;
    if !is_its_own(&mut change, row, &app).await? {
        drop(change);
        leave(p, row).await?;
        return Ok(false);
    }
    match apps::destroy_in(p, change, &actor, &app).await {
        Ok(_) => ended(p, row).await?,
        Err(Error::Invalid(why)) => refused(p, row, &why).await?,
        Err(error) => return Err(error),
    }
    Ok(false)
}

/// The script of app.json before the end; none where the app never came up.
async fn last_words(p: &Platform, row: &ReviewApp) -> Result<Option<scripts::Script>> {
    let setup = app_setups::by_id(&mut p.db.read().await?, row.setup_id).await?;
    let Some(text) = setup.filter(|setup| setup.status == "succeeded").and_then(|setup| setup.manifest) else {
        return Ok(None);
    };
    let Ok(parsed) = Manifest::parse(text.as_bytes()) else { return Ok(None) };
    let manifest = parsed.manifest.for_environment(REVIEW);
    Ok(manifest.scripts.get("pr-predestroy").map(|script| scripts::Script {
        process_type: "predestroy",
        command: script.command.clone(),
        size: script.size,
        env: BTreeMap::new(),
        limit_s: LAST_WORDS,
    }))
}

/// Its app is an app like others now: it stays, the review app is gone.
async fn leave(p: &Platform, row: &ReviewApp) -> Result<()> {
    tracing::info!(review_app.id = %row.id, app = row.app_name, "a review app has left its pipeline and stays");
    ended(p, row).await
}

async fn ended(p: &Platform, row: &ReviewApp) -> Result<()> {
    let now = p.cx.now();
    let mut tx = p.db.begin().await?;
    if rows::set_status(&mut tx, row.id, "deleted", None, now).await? {
        tx.commit_with(Event::new("review-app.deleted", "paas", json!({"id": row.id})), now).await?;
    }
    Ok(())
}

/// It can't go now: tells why, and waits until somebody asks again.
async fn refused(p: &Platform, row: &ReviewApp, why: &str) -> Result<()> {
    let now = p.cx.now();
    let mut tx = p.db.begin().await?;
    rows::set_status(&mut tx, row.id, "errored", Some(why), now).await?;
    tx.commit_with(Event::new("review-app.update", "paas", json!({"id": row.id, "message": why})), now).await?;
    Ok(())
}
