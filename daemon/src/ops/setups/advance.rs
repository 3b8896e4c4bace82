//! One step of a setup after the other.

use chrono::TimeDelta;
use paas_domain::manifest::Manifest;
use serde_json::json;
use sqlx::types::Json;

use super::{Overrides, REVIEW, TEST, configure, manifest, overrides};
use crate::{
    context::new_id,
    error::{Error, Result},
    ops::{Actor, Platform, addons, apps, builds, formation, releases, scripts, sources, test_runs},
    store::{
        Conn, addons as addon_rows,
        app_setups::{self, AppSetup},
        apps as app_rows,
        apps::App,
        builds as build_rows,
        events::Event,
        review_apps,
        test_runs::TestRun,
        users,
    },
};

/// How long a setup may take before it is given up.
const LONGEST: TimeDelta = TimeDelta::hours(6);

/// How long add-ons may take to answer for the first time.
const ADDONS: TimeDelta = TimeDelta::minutes(30);

/// How often a build is made that something else than its source has ended.
const TRIES: usize = 20;

/// How long after a build that the engine did not run the next is made: as often as there were any.
const AGAIN: TimeDelta = TimeDelta::seconds(5);

/// What there is to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The archive is to be fetched, then [`took`] to be called.
    Fetch,
    /// There is another step.
    Again,
    /// Something that goes on is to be waited for.
    Wait,
    /// Nothing: it has ended.
    Done,
}

/// Does the next step of a setup; safe to repeat, as is each.
///
/// # Errors
/// Only what may be better the next time: anything else ends the setup.
pub async fn advance(p: &Platform, setup: &AppSetup) -> Result<Next> {
    if setup.status != "pending" {
        return Ok(Next::Done);
    }
    if setup.step == "undo" {
        return undo(p, setup).await;
    }
    if let Some(run) = run_of(p, setup).await?
        && run.status == "cancelled"
    {
        return end(p, setup, Err(("The test run was cancelled.".into(), Vec::new()))).await;
    }
    match step(p, setup).await {
        Err(
            error @ (Error::NotFound(_)
            | Error::Invalid(_)
            | Error::Conflict(_)
            | Error::Forbidden(_)
            | Error::Unauthorized(_)
            | Error::ConfirmationRequired { .. }),
        ) => {
            let what = match setup.step.as_str() {
                "configure" | "addons" => Vec::from([error.to_string()]),
                _ => Vec::new(),
            };
            end(p, setup, Err((error.to_string(), what))).await
        }
        other => other,
    }
}

async fn step(p: &Platform, setup: &AppSetup) -> Result<Next> {
    let (app, actor) = whose(p, setup).await?;
    if p.cx.now() - setup.created_at > LONGEST {
        return Err(Error::invalid(format!("The setup took longer than {} hours.", LONGEST.num_hours())));
    }
    match setup.step.as_str() {
        "source" => Ok(Next::Fetch),
        "configure" => {
            let (manifest, overrides) = (manifest(setup)?, overrides(p, setup)?);
            if let Some(next) = refuse(p, setup, &manifest, &overrides).await? {
                return Ok(next);
            }
            configure::configure(p, &actor, &app, setup, &manifest, &overrides).await?;
            go_on(p, setup, "addons").await
        }
        "addons" => addons(p, &actor, &app, setup).await,
        "build" => build(p, &actor, &app, setup).await,
        "release" => release(p, &actor, &app, setup).await,
        _ => script(p, &actor, &app, setup).await,
    }
}

/// The test run that a setup is for.
async fn run_of(p: &Platform, setup: &AppSetup) -> Result<Option<TestRun>> {
    if setup.environment.as_deref() == Some(TEST) { test_runs::of_setup(p, setup).await } else { Ok(None) }
}

async fn whose(p: &Platform, setup: &AppSetup) -> Result<(App, Actor)> {
    let mut c = p.db.read().await?;
    let app = app_rows::by_id(&mut c, setup.app_id).await?.filter(|app| !app.deleting);
    let app = app.ok_or_else(|| Error::invalid("The app was destroyed while it was being set up."))?;
    let user = users::present(&mut c, setup.user_id).await?;
    let user = user.ok_or_else(|| Error::invalid("The account that asked for the setup is gone."))?;
    Ok((app, Actor { user, authorization_id: None }))
}

async fn refuse(p: &Platform, setup: &AppSetup, m: &Manifest, overrides: &Overrides) -> Result<Option<Next>> {
    let problems = configure::problems(p, m, overrides);
    if problems.is_empty() {
        return Ok(None);
    }
    let text = "app.json asks for what can't be done here; manifest_errors has the reasons.".to_owned();
    end(p, setup, Err((text, problems))).await.map(Some)
}

/// Writes what came of the archive: the text of its app.json (none: it has none), or why it
/// can't be used.
pub async fn took(p: &Platform, setup: &AppSetup, found: Result<Option<Vec<u8>>, String>) -> Result<Next> {
    let bytes = match found {
        Err(why) => return end(p, setup, Err((why, Vec::new()))).await,
        // Who sets up an app from an archive means its app.json; a branch may do without.
        Ok(None) if setup.environment.is_none() => {
            let text = "The archive has no app.json at its top level.";
            return end(p, setup, Err((text.to_owned(), vec!["app.json not found".to_owned()]))).await;
        }
        Ok(None) => b"{}".to_vec(),
        Ok(Some(bytes)) => bytes,
    };
    let parsed = match Manifest::parse(&bytes) {
        Ok(parsed) => parsed,
        Err(error) => {
            let text = "app.json can't be read; manifest_errors has the reason.".to_owned();
            return end(p, setup, Err((text, vec![error.to_string()]))).await;
        }
    };
    for warning in parsed.warnings {
        p.tell(setup.app_id, warning);
    }
    let text = String::from_utf8_lossy(&bytes).replace('\0', "");
    let next = AppSetup { manifest: Some(text), step: "configure".into(), ..setup.clone() };
    save(p, next, None).await?;
    Ok(Next::Again)
}

async fn addons(p: &Platform, actor: &Actor, app: &App, setup: &AppSetup) -> Result<Next> {
    let wanted = manifest(setup)?.addons;
    let have = addon_rows::of_app(&mut p.db.read().await?, app.id).await?;
    // They are made in order: those that are there are the first of them.
    if let Some(next) = wanted.get(have.len()) {
        let new = addons::New {
            plan: &next.plan,
            name: None,
            attachment: next.attachment.as_deref(),
            options: Some(&next.options).filter(|options| !options.is_empty()),
        };
        addons::create(p, actor, app, new).await?;
        return Ok(Next::Again);
    }
    if let Some(late) = have.iter().find(|addon| addon.state != "provisioned") {
        if p.cx.now() - late.created_at > ADDONS {
            let why = late.message.clone().unwrap_or_else(|| "it does not answer".to_owned());
            return Err(Error::invalid(format!("The add-on {} does not come up: {why}", late.name)));
        }
        return Ok(Next::Wait);
    }
    go_on(p, setup, "build").await
}

async fn build(p: &Platform, actor: &Actor, app: &App, setup: &AppSetup) -> Result<Next> {
    let Some(build) = build_rows::by_id(&mut p.db.read().await?, setup.build_id).await? else {
        let new = builds::New {
            kind: "tarball",
            url: Some(sources::url(p, setup.source_id)),
            version: setup.source_version.clone(),
            description: None,
            buildpacks: Vec::new(),
        };
        builds::create(p, actor, app, setup.build_id, new).await?;
        return Ok(Next::Wait);
    };
    match build.status.as_str() {
        "queued" | "pending" => Ok(Next::Wait),
        "succeeded" => go_on(p, setup, "release").await,
        // Not its own fault: once more, later each time when it is the engine's.
        _ if builds::was_interrupted(&build) => {
            let before = builds::list(p, app).await?.len();
            if before >= TRIES {
                return Err(failed(build.message));
            }
            let wait = AGAIN * i32::try_from(before).unwrap_or(1);
            if builds::had_no_engine(&build) && p.cx.now() - build.updated_at < wait {
                return Ok(Next::Wait);
            }
            save(p, AppSetup { build_id: new_id(), ..setup.clone() }, None).await?;
            Ok(Next::Again)
        }
        _ => Err(failed(build.message)),
    }
}

fn failed(why: Option<String>) -> Error {
    let why = why.unwrap_or_else(|| "it was cancelled".to_owned());
    Error::invalid(format!("The build failed: {}.", why.trim_end_matches('.')))
}

async fn release(p: &Platform, actor: &Actor, app: &App, setup: &AppSetup) -> Result<Next> {
    let build = build_rows::by_id(&mut p.db.read().await?, setup.build_id).await?;
    let release = match build.and_then(|build| build.release_id) {
        Some(id) => releases::by_id(p, id).await?,
        None => None,
    };
    let release = release.ok_or_else(|| Error::invalid("The release of the build is gone."))?;
    match release.status.as_str() {
        "pending" => return Ok(Next::Wait),
        "succeeded" => {}
        _ => {
            let why = release.message.unwrap_or_else(|| "it failed".to_owned());
            return Err(Error::invalid(format!("The release failed: {why}.")));
        }
    }
    if setup.environment.as_deref() != Some(TEST) {
        scale(p, actor, app, &manifest(setup)?).await?;
    }
    go_on(p, setup, "script").await
}

/// The formation of app.json, as far as the Procfile has its types.
async fn scale(p: &Platform, actor: &Actor, app: &App, manifest: &Manifest) -> Result<()> {
    let have = formation::list(p, app).await?;
    let known = |name: &str| have.iter().any(|process| process.formation.process_type == name);
    let (there, missing): (Vec<_>, Vec<_>) = manifest.formation.iter().partition(|(kind, _)| known(kind.as_str()));
    for (kind, _) in missing {
        p.tell(app.id, format!("app.json scales {kind}, which is no process type of the app"));
    }
    let updates: Vec<formation::Update> = there
        .into_iter()
        .map(|(kind, wanted)| formation::Update {
            process_type: kind.to_string(),
            quantity: Some(formation::Quantity::Exactly(i64::from(wanted.quantity))),
            size: wanted.size.map(|size| size.name().to_owned()),
        })
        .collect();
    formation::update(p, actor, app, &updates).await?;
    Ok(())
}

async fn script(p: &Platform, actor: &Actor, app: &App, setup: &AppSetup) -> Result<Next> {
    let manifest = manifest(setup)?;
    let run = run_of(p, setup).await?;
    if run.as_ref().is_some_and(|run| run.debug) {
        // Somebody looks around in it, and ends the run when that is done.
        return Ok(Next::Wait);
    }
    let (script, limit_s) = match (run, manifest.scripts.get("postdeploy")) {
        (Some(_), _) => (test_runs::script(&manifest), test_runs::LIMIT),
        (None, None) => return end(p, setup, Ok(None)).await,
        (None, Some(script)) => {
            let limit_s = i64::try_from(p.cx.config().release_timeout_s).unwrap_or(3600).clamp(1, 86_400);
            let script = scripts::Script {
                process_type: "postdeploy",
                command: script.command.clone(),
                size: script.size,
                env: Default::default(),
                limit_s,
            };
            (script, limit_s)
        }
    };
    scripts::start(p, actor, app, setup.script_id, &script).await?;
    match scripts::outcome(p, setup.script_id, limit_s).await? {
        None => Ok(Next::Wait),
        Some(outcome) => end(p, setup, Ok(Some(outcome))).await,
    }
}

async fn go_on(p: &Platform, setup: &AppSetup, step: &str) -> Result<Next> {
    save(p, AppSetup { step: step.into(), ..setup.clone() }, None).await?;
    Ok(Next::Again)
}

/// Ends a setup: with what its script said, or with the reason and what is wrong in app.json.
pub async fn end(
    p: &Platform,
    setup: &AppSetup,
    how: Result<Option<scripts::Outcome>, (String, Vec<String>)>,
) -> Result<Next> {
    let test = setup.environment.as_deref() == Some(TEST);
    if test {
        let told = match &how {
            Ok(Some(outcome)) => Ok(outcome),
            Ok(None) => Err("The tests did not run."),
            Err((why, _)) => Err(why.as_str()),
        };
        test_runs::ended(p, setup, told).await?;
    }
    let mut row = setup.clone();
    let (script, mut failure) = match how {
        Ok(script) => (script, None),
        Err((text, errors)) => {
            row.manifest_errors = Json(errors);
            (None, Some(text))
        }
    };
    if let Some(script) = script {
        if script.exit_code != 0 && test {
            failure = Some(format!("The tests ended with status {}.", script.exit_code));
        } else if script.exit_code != 0 {
            failure = Some(format!("The postdeploy script ended with status {}.", script.exit_code));
        }
        row.exit_code = Some(script.exit_code);
        row.output = Some(script.output);
    }
    let unbuilt = matches!(setup.step.as_str(), "source" | "configure" | "addons");
    match failure {
        // Its app goes with it.
        None if test => row.step = "undo".into(),
        None => {
            row.success_url = success_url(p, setup);
            row.status = "succeeded".into();
            row.step = "done".into();
        }
        Some(text) => {
            row.failure_message = Some(text);
            if unbuilt || test {
                row.step = "undo".into();
            } else {
                row.status = "failed".into();
                row.step = "done".into();
            }
        }
    }
    let told = match row.status.as_str() {
        "succeeded" => Some("Setup succeeded".to_owned()),
        _ => row.failure_message.as_ref().map(|why| format!("Setup failed: {why}")),
    };
    let next = if row.status == "pending" { Next::Again } else { Next::Done };
    save(p, row, told).await?;
    Ok(next)
}

/// Takes the app of a setup away that came to nothing. One that can't go, since its add-ons are in
/// use elsewhere by now, stays for its owner to destroy.
async fn undo(p: &Platform, setup: &AppSetup) -> Result<Next> {
    let mut row = AppSetup { step: "done".into(), ..setup.clone() };
    row.status = if setup.failure_message.is_some() { "failed" } else { "succeeded" }.into();
    let gone = match whose(p, setup).await {
        Ok((app, actor)) => apps::destroy(p, &actor, &app).await.map(drop),
        Err(Error::Invalid(_)) => Ok(()),
        Err(error) => Err(error),
    };
    let told = match gone {
        Ok(()) => None,
        Err(Error::Invalid(why)) => Some(format!("The app of a setup that has ended stays: {why}")),
        Err(error) => return Err(error),
    };
    save(p, row, told).await?;
    Ok(Next::Done)
}

fn success_url(p: &Platform, setup: &AppSetup) -> Option<String> {
    let wanted = manifest(setup).ok()?.success_url?;
    if wanted.starts_with("http://") || wanted.starts_with("https://") {
        return Some(wanted);
    }
    let base = p.cx.config().web_url(&setup.app_name);
    Some(format!("{}/{}", base.trim_end_matches('/'), wanted.trim_start_matches('/')))
}

/// Writes a setup that is under way, with its event.
async fn save(p: &Platform, mut row: AppSetup, told: Option<String>) -> Result<()> {
    row.updated_at = p.cx.now();
    let event = json!({"id": row.id, "status": row.status, "step": row.step});
    match p.db.change(row.app_id).await? {
        Some(mut change) => {
            write(&mut change, &row).await?;
            p.commit(change, Event::new("app-setup.update", "paas", event)).await?;
        }
        None => {
            let mut tx = p.db.begin().await?;
            write(&mut tx, &row).await?;
            tx.commit(None).await?;
        }
    }
    if let Some(told) = told {
        p.tell(row.app_id, told);
    }
    Ok(())
}

/// The row, and what follows it: a review app or a test run.
async fn write(c: &mut Conn, row: &AppSetup) -> Result<()> {
    if !app_setups::update(c, row).await? {
        return Ok(());
    }
    match row.environment.as_deref() {
        Some(REVIEW) => {
            let status = match row.status.as_str() {
                "pending" => "creating",
                "succeeded" => "created",
                _ => "errored",
            };
            let failure = row.failure_message.as_deref().filter(|_| status == "errored");
            review_apps::follow(c, row.id, status, failure, row.updated_at).await?;
        }
        Some(TEST) => test_runs::follow(c, row, row.updated_at).await?,
        Some(_) | None => {}
    }
    Ok(())
}
