//! Review apps: a branch as an app of its own, set up from its app.json with what that says for
//! `review`, and gone with the branch. How a pipeline makes them is its [`Config`].
//!
//! Here they are made and found; `end` takes them away, [`follow`](fn@follow) makes and ends
//! them with the branches of a repository.

mod end;
mod follow;

use std::collections::BTreeMap;

use paas_domain::{name::AppName, stage::Stage};
use serde_json::json;
use uuid::Uuid;

pub use end::{advance, destroy};
pub use follow::{follow, sweep};

use super::{
    Actor, Platform,
    apps::{self, Permission},
    pipelines::{self, Owner, couplings},
    repos,
    setups::{self, Overrides, REVIEW, SourceBlob},
};
use crate::{
    context::new_id,
    error::{Error, Result},
    store::{
        Conn, app_setups,
        events::Event,
        pipelines::{self as pipeline_rows, Pipeline},
        review_apps::{self as rows, Config, ReviewApp},
    },
};

/// Most review apps that a pipeline has at a time: whoever pushes branches makes them.
const MOST: usize = 20;

/// Days without a deploy after which a review app is stale, when nobody says otherwise.
const STALE_DAYS: i64 = 5;

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct New {
    /// The branch.
    pub branch: String,
    /// Its source: an address; `resolve`: the branch of the pipeline's repository.
    pub url: String,
    /// What its user calls it.
    pub version: Option<String>,
    /// Config vars of this one.
    pub environment: BTreeMap<String, String>,
    /// The number of the pull request.
    pub pr_number: Option<i64>,
    /// The fork that the branch is in.
    pub fork_repo_id: Option<i64>,
}

/// Changes of a pipeline's configuration.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Every branch gets one.
    pub automatic: Option<bool>,
    /// Those that nobody deploys go.
    pub destroy_stale: Option<bool>,
    /// After so many days.
    pub stale_days: Option<i64>,
    /// Not before its tests have passed.
    pub wait_for_ci: Option<bool>,
    /// What their names begin with.
    pub base_name: Option<Option<String>>,
}

/// The configuration of a pipeline.
pub async fn config(p: &Platform, pipeline: &Pipeline) -> Result<Config> {
    let found = rows::config(&mut p.db.read().await?, pipeline.id).await?;
    found.ok_or_else(|| {
        let text = format!("Couldn't find review apps of the pipeline {}: they are not enabled.", pipeline.name);
        Error::not_found("review_app_config", text)
    })
}

/// Enables review apps in a pipeline, of the repository that it is connected to.
pub async fn enable(
    p: &Platform,
    actor: &Actor,
    pipeline: &Pipeline,
    repo: Option<&str>,
    changes: Changes,
) -> Result<Config> {
    let connected = rows::repo(&mut p.db.read().await?, pipeline.id).await?.ok_or_else(|| {
        Error::invalid("The pipeline is not connected to a repository yet. Connect it with: paas pipelines:connect")
    })?;
    if repo.is_some_and(|repo| repo != connected.full_name && repo != connected.number.to_string()) {
        return Err(Error::invalid(format!("repo: the pipeline is connected to {}.", connected.full_name)));
    }
    let now = p.cx.now();
    let mut row = Config {
        pipeline_id: pipeline.id,
        user_id: actor.user.id,
        automatic: false,
        destroy_stale: false,
        stale_days: STALE_DAYS,
        wait_for_ci: false,
        base_name: None,
        created_at: now,
        updated_at: now,
    };
    change(&mut row, changes)?;
    let mut tx = p.db.begin().await?;
    rows::insert_config(&mut tx, &row).await.map_err(|error| match error.is_duplicate() {
        true => Error::Conflict(format!("Review apps are enabled in {} already.", pipeline.name)),
        false => error.into(),
    })?;
    tx.commit_with(config_event("review-app-config.create", actor, pipeline), now).await?;
    Ok(row)
}

/// Changes how they are made.
pub async fn reconfigure(p: &Platform, actor: &Actor, pipeline: &Pipeline, changes: Changes) -> Result<Config> {
    let now = p.cx.now();
    let mut tx = p.db.begin().await?;
    pipeline_rows::lock(&mut tx, pipeline.id).await?;
    let mut row = rows::config(&mut tx, pipeline.id).await?;
    let Some(row) = row.as_mut() else { return Err(config(p, pipeline).await.err().unwrap_or_else(missing)) };
    if changes.automatic == Some(true) {
        row.user_id = actor.user.id;
    }
    change(row, changes)?;
    row.updated_at = now;
    rows::update_config(&mut tx, row).await?;
    tx.commit_with(config_event("review-app-config.update", actor, pipeline), now).await?;
    Ok(row.clone())
}

fn missing() -> Error {
    Error::not_found("review_app_config", "it has just been removed")
}

/// Disables them. Those that are there stay.
pub async fn disable(p: &Platform, actor: &Actor, pipeline: &Pipeline) -> Result<Config> {
    let row = config(p, pipeline).await?;
    let mut tx = p.db.begin().await?;
    rows::delete_config(&mut tx, pipeline.id).await?;
    tx.commit_with(config_event("review-app-config.destroy", actor, pipeline), p.cx.now()).await?;
    Ok(row)
}

fn config_event(kind: &'static str, actor: &Actor, pipeline: &Pipeline) -> Event {
    Event::new(kind, actor.name(), json!({"pipeline": pipeline.id, "name": pipeline.name}))
}

fn change(row: &mut Config, changes: Changes) -> Result<()> {
    if let Some(days) = changes.stale_days {
        if !(1..=30).contains(&days) {
            return Err(Error::invalid("stale_days: must be from 1 to 30."));
        }
        row.stale_days = days;
    }
    if let Some(base) = changes.base_name {
        if let Some(base) = &base
            && (base.len() > 20 || AppName::parse(&format!("{base}-x")).is_err())
        {
            return Err(Error::invalid(
                "base_name: lower-case letters, digits and dashes, beginning with a letter, at most 20 of them.",
            ));
        }
        row.base_name = base;
    }
    row.automatic = changes.automatic.unwrap_or(row.automatic);
    row.destroy_stale = changes.destroy_stale.unwrap_or(row.destroy_stale);
    row.wait_for_ci = changes.wait_for_ci.unwrap_or(row.wait_for_ci);
    Ok(())
}

/// Makes a review app of a branch; it goes on by itself. In a team's pipeline it is the team's.
pub async fn create(p: &Platform, actor: &Actor, pipeline: &Pipeline, new: New) -> Result<ReviewApp> {
    check(&new)?;
    let settings = rows::config(&mut p.db.read().await?, pipeline.id).await?;
    let branch = match new.url.as_str() {
        "resolve" => Some(new.branch.clone()),
        url => repos::is_archive(p, pipeline.id, url),
    };
    let blob = match branch {
        Some(branch) => {
            let found = repos::branch(p, pipeline.id, &branch).await?;
            let version = new.version.clone().or(Some(found.commit));
            SourceBlob { url: repos::source(pipeline.id, &branch), version, checksum: None }
        }
        None => {
            let blob = SourceBlob { url: new.url.clone(), version: new.version.clone(), checksum: None };
            setups::check_source(p, blob)?
        }
    };
    let base = settings.as_ref().and_then(|row| row.base_name.clone()).unwrap_or_else(|| pipeline.name.clone());
    let name = name_for(&base, &new.branch, new.pr_number);
    // The app's own count before the stage's.
    let mut env = pipelines::config::of_stage(p, pipeline.id, Stage::Review).await?;
    env.extend(new.environment.clone());
    let mut platform = BTreeMap::from([
        ("HEROKU_APP_NAME".to_owned(), name.clone()),
        ("HEROKU_BRANCH".to_owned(), new.branch.clone()),
    ]);
    if let Some(number) = new.pr_number {
        platform.insert("HEROKU_PR_NUMBER".to_owned(), number.to_string());
    }
    let overrides = Overrides { env, buildpacks: None, platform };
    setups::check(&overrides)?;
    let team = Owner::of(pipeline).and_then(Owner::team);
    let (mut change, app) =
        apps::begin_for(p, actor, apps::New { name: Some(&name), team, ..apps::New::default() }).await?;
    let coupling = couplings::add_new(p, &mut change, actor, (&app, pipeline), Stage::Review).await?;
    // The pipeline's row is locked: two who ask at once come one after the other.
    check_room(&mut change, pipeline, &new).await?;
    let setup = setups::row(p, actor, &app, Some(REVIEW), blob, &overrides)?;
    let now = p.cx.now();
    let row = ReviewApp {
        id: new_id(),
        pipeline_id: pipeline.id,
        user_id: actor.user.id,
        app_id: app.id,
        app_name: app.name.clone(),
        setup_id: setup.id,
        branch: new.branch,
        pr_number: new.pr_number,
        fork_repo_id: new.fork_repo_id,
        wait_for_ci: settings.is_some_and(|row| row.wait_for_ci),
        status: "pending".into(),
        error_status: None,
        message: None,
        script_id: new_id(),
        branch_gone: false,
        created_at: now,
        updated_at: now,
    };
    app_setups::insert(&mut change, &setup).await?;
    rows::insert(&mut change, &row).await?;
    let event = json!({"id": row.id, "branch": row.branch, "app": app.name, "setup": setup.id});
    // Tells whoever sets up apps, too.
    p.commit(change, Event::new("app-setup.create", actor.name(), event)).await?;
    p.tell(app.id, apps::first_words(actor));
    p.tell(app.id, couplings::told(actor, &coupling));
    p.tell(app.id, format!("Create review app of {} by user {}", row.branch, actor.name()));
    Ok(row)
}

/// Whether a branch can have one at all.
fn check(new: &New) -> Result<()> {
    if new.branch.is_empty() || new.branch.len() > 250 || new.branch.chars().any(char::is_control) {
        return Err(Error::invalid("branch: the name of a branch is needed, of at most 250 bytes."));
    }
    if new.pr_number.is_some_and(|number| number < 1) {
        return Err(Error::invalid("pr_number: must be 1 or more."));
    }
    Ok(())
}

/// Whether a review app is there, or comes, and does not go.
fn is_live(row: &ReviewApp) -> bool {
    !matches!(row.status.as_str(), "deleting" | "deleted")
}

/// Whether a pipeline may have one more, of that branch.
async fn check_room(c: &mut Conn, pipeline: &Pipeline, new: &New) -> Result<()> {
    let all = rows::of_pipeline(c, pipeline.id).await?;
    let live: Vec<_> = all.into_iter().filter(is_live).collect();
    let same = |row: &&ReviewApp| row.status != "errored" && row.branch == new.branch && row.pr_number == new.pr_number;
    if let Some(first) = live.iter().find(same) {
        return Err(Error::Conflict(format!(
            "The branch {} has the review app {} already; destroy that first.",
            first.branch, first.app_name
        )));
    }
    // Of one that has failed there may be no app any more.
    if rows::count_with_app(c, pipeline.id).await? >= MOST {
        return Err(Error::invalid(format!(
            "The pipeline {} has {MOST} review apps, which is the most; destroy one first.",
            pipeline.name
        )));
    }
    Ok(())
}

/// `shop-pr-7`, or `shop-branch-x2f4`: an app's name.
fn name_for(base: &str, branch: &str, pr_number: Option<i64>) -> String {
    let slug = |text: &str, most: usize| {
        let text: String =
            text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
        let parts: Vec<&str> = text.split('-').filter(|part| !part.is_empty()).collect();
        let short: String = parts.join("-").chars().take(most).collect();
        short.trim_matches('-').to_owned()
    };
    let mut base = slug(base, 12);
    if !base.starts_with(|c: char| c.is_ascii_lowercase()) {
        base.insert_str(0, "app-");
    }
    let random = format!("{:04x}", rand::random::<u16>());
    let middle = pr_number.map_or_else(|| slug(branch, 8), |number| slug(&format!("pr-{number}"), 8));
    if middle.is_empty() { format!("{base}-{random}") } else { format!("{base}-{middle}-{random}") }
}

/// One, for somebody who may see its pipeline.
pub async fn find(p: &Platform, actor: &Actor, id: &str) -> Result<ReviewApp> {
    let missing = || Error::not_found("review_app", id);
    let parsed: Uuid = id.parse().map_err(|_| missing())?;
    let row = rows::by_id(&mut p.db.read().await?, parsed).await?.ok_or_else(missing)?;
    if row.user_id != actor.user.id {
        pipelines::find(p, actor, &row.pipeline_id.to_string()).await.map_err(|_| missing())?;
    }
    Ok(row)
}

/// That of an app.
pub async fn of_app(p: &Platform, actor: &Actor, app: &str) -> Result<ReviewApp> {
    let app = apps::find_for(p, actor, app, Permission::View).await?;
    let row = rows::of_app(&mut p.db.read().await?, app.id).await?;
    row.ok_or_else(|| Error::not_found("review_app", format!("Couldn't find a review app: {} is none.", app.name)))
}

/// Those of a pipeline, oldest first; those that are gone are left out.
pub async fn list(p: &Platform, pipeline: &Pipeline) -> Result<Vec<ReviewApp>> {
    let all = rows::of_pipeline(&mut p.db.read().await?, pipeline.id).await?;
    Ok(all.into_iter().filter(|row| row.status != "deleted").collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_review_apps_are_names_of_apps() {
        for (base, branch, pr) in [
            ("shop", "main", None),
            ("A Very Long Name of a Pipeline", "feature/some_thing#long-and-more", None),
            ("7up", "ÄÖÜ", None),
            ("shop", "x", Some(123_456_789)),
            ("---", "---", None),
        ] {
            let name = name_for(base, branch, pr);
            assert!(AppName::parse(&name).is_ok(), "{name}");
        }
        assert!(name_for("shop", "fix/cart", None).starts_with("shop-fix-cart-"));
        assert!(name_for("shop", "x", Some(7)).starts_with("shop-pr-7-"));
    }
}
