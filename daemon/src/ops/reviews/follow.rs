//! Review apps that come and go by themselves: with the branches of the pipeline's repository, and
//! when nobody has deployed them for long.

use chrono::TimeDelta;
use uuid::Uuid;

use super::{MOST, New, create, end::go, is_live};
use crate::{
    error::Result,
    ops::{
        Actor, Platform,
        pipelines::{self, Owner},
        repos, setups, test_runs,
    },
    store::{
        app_setups, apps as app_rows,
        pipelines::{self as pipeline_rows, Pipeline},
        review_apps::{self as rows, Config, ReviewApp},
        users,
    },
};

/// Most that are made in one pass: each is a build.
const MOST_AT_ONCE: usize = 5;

/// Begins the end of those that nobody has deployed for as long as their pipeline says.
pub async fn sweep(p: &Platform) -> Result<()> {
    let now = p.cx.now();
    for config in rows::configs(&mut p.db.read().await?).await?.into_iter().filter(|config| config.destroy_stale) {
        for row in rows::of_pipeline(&mut p.db.read().await?, config.pipeline_id).await? {
            if !matches!(row.status.as_str(), "created" | "errored") {
                continue;
            }
            let app = app_rows::by_id(&mut p.db.read().await?, row.app_id).await?;
            let last = app.and_then(|app| app.released_at).unwrap_or(row.created_at);
            if now - last > TimeDelta::days(config.stale_days) {
                go(p, &row, "paas").await?;
            }
        }
    }
    Ok(())
}

/// Follows the branches of a pipeline whose review apps are automatic: the app of a branch that is
/// gone goes, and a new branch gets one.
pub async fn follow(p: &Platform, config: &Config) -> Result<()> {
    let Some(pipeline) = pipeline_rows::by_id(&mut p.db.read().await?, config.pipeline_id).await? else {
        return Ok(());
    };
    let branches = repos::branches(p, pipeline.id).await?;
    let all = rows::of_pipeline(&mut p.db.read().await?, pipeline.id).await?;
    let (there, gone): (Vec<_>, Vec<_>) = all
        .into_iter()
        .filter(|row| !row.branch_gone)
        .partition(|row| branches.iter().any(|branch| branch.name == row.branch));
    for row in gone.iter().filter(|row| row.pr_number.is_none()) {
        if resolved(p, row).await? {
            let mut tx = p.db.begin().await?;
            rows::branch_gone(&mut tx, row.id).await?;
            tx.commit(None).await?;
            if is_live(row) {
                go(p, row, "paas").await?;
            }
        }
    }
    let Some(actor) = keeper(p, &pipeline, config).await? else {
        tracing::warn!(pipeline = pipeline.name, "nobody is left in whose name review apps could be made");
        return Ok(());
    };
    let mut live = rows::of_pipeline(&mut p.db.read().await?, pipeline.id).await?.iter().filter(|r| is_live(r)).count();
    let mut made = 0;
    for branch in branches.iter().filter(|branch| !matches!(branch.name.as_str(), "main" | "master")) {
        // One that was taken away by hand, or had grown stale, comes again with its branch only.
        if there.iter().any(|row| row.branch == branch.name) {
            continue;
        }
        if made >= MOST_AT_ONCE || live >= MOST {
            tracing::info!(pipeline = pipeline.name, live, "more branches wait for a review app: {MOST} is the most");
            break;
        }
        if config.wait_for_ci && !test_runs::has_passed(p, pipeline.id, &branch.commit).await? {
            continue;
        }
        let new = New { branch: branch.name.clone(), url: "resolve".into(), ..New::default() };
        match create(p, &actor, &pipeline, new).await {
            Ok(_) => (made, live) = (made + 1, live + 1),
            // The others are not to wait for this one.
            Err(error) => {
                let branch = &branch.name;
                tracing::warn!(pipeline = pipeline.name, branch, %error, "a branch gets no review app");
            }
        }
    }
    Ok(())
}

/// Whether it was made from the pipeline's repository.
async fn resolved(p: &Platform, row: &ReviewApp) -> Result<bool> {
    let setup = app_setups::by_id(&mut p.db.read().await?, row.setup_id).await?;
    Ok(match setup {
        Some(setup) => repos::is_source(&setups::source_url(p, &setup)?).is_some(),
        None => false,
    })
}

/// In whose name the platform makes review apps: the pipeline's owner's; for a team's, who switched
/// that on, as long as they may make apps in the team.
async fn keeper(p: &Platform, pipeline: &Pipeline, config: &Config) -> Result<Option<Actor>> {
    let id = match Owner::of(pipeline) {
        Some(Owner::User(id)) => id,
        Some(Owner::Team(_)) => config.user_id,
        None => return Ok(None),
    };
    let Some(actor) = account(p, id).await? else { return Ok(None) };
    Ok(pipelines::makes_in(p, &actor, pipeline).await?.then_some(actor))
}

/// An account that has not been deleted.
async fn account(p: &Platform, id: Uuid) -> Result<Option<Actor>> {
    let user = users::present(&mut p.db.read().await?, id).await?;
    Ok(user.map(|user| Actor { user, authorization_id: None }))
}
