//! Test runs: a commit's tests in an app of their own, which is set up from app.json with what
//! that says for `test` and goes with the run.
//!
//! The build runs the buildpacks' `bin/test-compile` where they have one. The tests are
//! `scripts.test-setup` and `scripts.test` of app.json, or else the buildpack's `bin/test`, in a
//! one-off dyno. What build and tests say is kept in `test-runs/ID` of the data directory.

use std::{collections::BTreeMap, path::PathBuf};

use chrono::TimeDelta;
use paas_domain::{manifest::Manifest, stage::Stage, tap};
use serde_json::json;
use uuid::Uuid;

use super::{
    Actor, Platform,
    apps::{self, Permission},
    builds,
    pipelines::{self, Owner, couplings},
    scripts,
    setups::{self, Overrides, SourceBlob, TEST},
};
use crate::{
    context::new_id,
    error::{Error, Result},
    store::{
        Conn, app_setups,
        app_setups::AppSetup,
        apps as app_rows,
        events::Event,
        pipelines::Pipeline,
        test_runs::{self as rows, TestCase, TestRun},
        users,
    },
};

/// Seconds that tests may run.
pub const LIMIT: i64 = 3600;

/// Where a build leaves the buildpack's own tests, in the app's directory.
pub const PACK: &str = ".paas-test";

/// How long what a run has said is kept.
const KEPT: TimeDelta = TimeDelta::days(90);

/// Most cases that are kept of a run.
const MOST_CASES: usize = 5000;

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct New {
    /// The branch.
    pub branch: String,
    /// The commit's message.
    pub message: String,
    /// The commit.
    pub sha: String,
    /// The address of its source.
    pub url: String,
    /// Stop before the tests.
    pub debug: bool,
}

/// Begins a run; it goes on by itself.
pub async fn create(p: &Platform, actor: &Actor, pipeline: &Pipeline, new: New) -> Result<TestRun> {
    for (field, text, most) in [
        ("commit_branch", &new.branch, 250),
        ("commit_sha", &new.sha, 250),
        ("commit_message", &new.message, 64 * 1024),
    ] {
        if text.len() > most || text.contains('\0') || text.is_empty() && field != "commit_message" {
            return Err(Error::invalid(format!("{field}: a text of 1 to {most} bytes is needed.")));
        }
    }
    let blob = SourceBlob { url: new.url, version: Some(new.sha.clone()), checksum: None };
    let blob = setups::check_source(p, blob)?;
    let id = new_id();
    let mut env = pipelines::config::of_stage(p, pipeline.id, Stage::Test).await?;
    env.entry("CI".to_owned()).or_insert_with(|| "true".to_owned());
    let platform = BTreeMap::from([
        ("HEROKU_TEST_RUN_ID".to_owned(), id.to_string()),
        ("HEROKU_TEST_RUN_BRANCH".to_owned(), new.branch.clone()),
        ("HEROKU_TEST_RUN_COMMIT_VERSION".to_owned(), new.sha.clone()),
    ]);
    let overrides = Overrides { env, buildpacks: None, platform };
    let source_url = blob.url.clone();
    let name = format!("ci-{}", &Uuid::new_v4().simple().to_string()[..16]);
    let team = Owner::of(pipeline).and_then(Owner::team);
    let (mut change, app) =
        apps::begin_for(p, actor, apps::New { name: Some(&name), team, ..apps::New::default() }).await?;
    // This locks the pipeline's row: its numbers are given out one after the other.
    let coupling = couplings::add_new(p, &mut change, actor, (&app, pipeline), Stage::Test).await?;
    let setup = setups::row(p, actor, &app, Some(TEST), blob, &overrides)?;
    let now = p.cx.now();
    let row = TestRun {
        id,
        pipeline_id: pipeline.id,
        number: rows::next_number(&mut change, pipeline.id).await?,
        user_id: actor.user.id,
        app_id: app.id,
        setup_id: setup.id,
        node_id: new_id(),
        status: "pending".into(),
        message: None,
        commit_branch: new.branch,
        commit_message: new.message,
        commit_sha: new.sha,
        source_url: p.cx.sealer().seal(&place(id), source_url.as_bytes()),
        debug: new.debug,
        exit_code: None,
        created_at: now,
        updated_at: now,
    };
    app_setups::insert(&mut change, &setup).await?;
    rows::insert(&mut change, &row).await?;
    let event = json!({"id": row.id, "number": row.number, "pipeline": pipeline.id, "setup": setup.id});
    p.commit(change, Event::new("app-setup.create", actor.name(), event)).await?;
    p.tell(app.id, apps::first_words(actor));
    p.tell(app.id, couplings::told(actor, &coupling));
    Ok(row)
}

fn place(id: Uuid) -> String {
    format!("test-run/{id}/source")
}

/// The address of a run's source, which may be a key.
pub fn source_url(p: &Platform, run: &TestRun) -> Result<String> {
    let unreadable = "The test run's source can't be read.";
    let text = p.cx.sealer().open(&place(run.id), &run.source_url).map_err(|e| Error::internal(unreadable, e))?;
    String::from_utf8(text).map_err(|e| Error::internal(unreadable, e))
}

/// Those of a pipeline, by number.
pub async fn list(p: &Platform, pipeline: &Pipeline) -> Result<Vec<TestRun>> {
    Ok(rows::of_pipeline(&mut p.db.read().await?, pipeline.id).await?)
}

/// One of a pipeline's, by number.
pub async fn by_number(p: &Platform, pipeline: &Pipeline, number: &str) -> Result<TestRun> {
    let missing = || Error::not_found("test_run", number);
    let parsed: i64 = number.parse().map_err(|_| missing())?;
    rows::by_number(&mut p.db.read().await?, pipeline.id, parsed).await?.ok_or_else(missing)
}

/// One by identity, or by a number that only one has, for somebody who may see its pipeline.
pub async fn find(p: &Platform, actor: &Actor, name: &str) -> Result<TestRun> {
    let missing = || Error::not_found("test_run", name);
    let mut c = p.db.read().await?;
    let found = match (name.parse::<Uuid>(), name.parse::<i64>()) {
        (Ok(id), _) => rows::by_id(&mut c, id).await?.into_iter().collect(),
        (Err(_), Ok(number)) => rows::numbered(&mut c, number).await?,
        (Err(_), Err(_)) => Vec::new(),
    };
    drop(c);
    let mut seen = Vec::new();
    for row in found {
        match pipelines::find(p, actor, &row.pipeline_id.to_string()).await {
            Ok(_) => seen.push(row),
            Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    match (seen.pop(), seen.is_empty()) {
        (Some(row), true) => Ok(row),
        (Some(_), false) => {
            Err(Error::invalid(format!("Several pipelines have a test run {name}; name the one you mean by its id.")))
        }
        (None, _) => Err(missing()),
    }
}

/// By identity alone.
pub async fn by_id(p: &Platform, id: Uuid) -> Result<Option<TestRun>> {
    Ok(rows::by_id(&mut p.db.read().await?, id).await?)
}

/// The cases that a run has told of, by number.
pub async fn cases(p: &Platform, run: &TestRun) -> Result<Vec<TestCase>> {
    Ok(rows::cases(&mut p.db.read().await?, run.id).await?)
}

/// Whether a run has ended.
pub fn has_ended(run: &TestRun) -> bool {
    matches!(run.status.as_str(), "succeeded" | "failed" | "errored" | "cancelled")
}

/// Whether a commit's tests have passed in a pipeline.
pub async fn has_passed(p: &Platform, pipeline_id: Uuid, sha: &str) -> Result<bool> {
    let runs = rows::of_pipeline(&mut p.db.read().await?, pipeline_id).await?;
    let last = runs.into_iter().rev().find(|run| run.commit_sha == sha);
    Ok(last.is_some_and(|run| run.status == "succeeded"))
}

/// Ends a run that has not ended: its app goes at once, with its build and its dynos.
pub async fn cancel(p: &Platform, actor: &Actor, run: &TestRun, message: Option<&str>) -> Result<TestRun> {
    pipelines::find_for(p, actor, &run.pipeline_id.to_string(), Permission::Deploy).await?;
    let now = p.cx.now();
    let mut tx = p.db.begin().await?;
    if !rows::set_status(&mut tx, run.id, "cancelled", message, None, now).await? {
        return Err(Error::Conflict(format!("The test run {} has ended already: it has {}.", run.number, run.status)));
    }
    let event = json!({"id": run.id, "number": run.number, "status": "cancelled"});
    // Wakes whoever drives its setup, which sees it and takes the app away.
    tx.commit_with(Event::new("test-run.update", actor.name(), event), now).await?;
    by_id(p, run.id).await?.ok_or_else(|| Error::not_found("test_run", run.id.to_string()))
}

/// The run that a setup is made for.
pub(super) async fn of_setup(p: &Platform, setup: &AppSetup) -> Result<Option<TestRun>> {
    Ok(rows::of_setup(&mut p.db.read().await?, setup.id).await?)
}

/// Whether an app is for tests: its build is made another way.
pub async fn is_for_tests(p: &Platform, app_id: Uuid) -> Result<bool> {
    Ok(rows::of_app(&mut p.db.read().await?, app_id).await?.is_some())
}

/// Follows the step of a setup, in its transaction.
pub(super) async fn follow(c: &mut Conn, setup: &AppSetup, now: chrono::DateTime<chrono::Utc>) -> Result<()> {
    let Some(run) = rows::of_setup(c, setup.id).await? else { return Ok(()) };
    let status = match setup.step.as_str() {
        "source" | "configure" | "addons" => "creating",
        "build" | "release" => "building",
        "script" if run.debug => "debugging",
        "script" => "running",
        _ => return Ok(()),
    };
    rows::set_status(c, run.id, status, None, None, now).await?;
    Ok(())
}

/// The command that runs the tests of an app.
pub(super) fn script(manifest: &Manifest) -> scripts::Script {
    let setup = manifest.scripts.get("test-setup");
    let test = manifest.scripts.get("test");
    let own = format!(
        "if [ -x {PACK}/bin/test ]; then {PACK}/bin/test /app \"$(mktemp -d)\"; else echo ' !     There are no tests: app.json has no environments.test.scripts.test, and the buildpack no bin/test.' >&2; exit 127; fi"
    );
    let test_command = test.map_or(own, |script| script.command.clone());
    let command = match setup {
        Some(setup) => format!("{}\nsetup=$?; [ $setup = 0 ] || exit $setup\n{test_command}", setup.command),
        None => test_command,
    };
    let size = test.and_then(|script| script.size).or_else(|| setup.and_then(|script| script.size));
    scripts::Script { process_type: "test", command, size, env: BTreeMap::new(), limit_s: LIMIT }
}

/// Where what a run says is kept.
pub fn directory(p: &Platform, id: Uuid) -> PathBuf {
    p.cx.path("test-runs").join(id.to_string())
}

/// What a build says, in a run's directory.
pub const SETUP_LOG: &str = "setup.log";
/// What the tests say.
pub const TEST_LOG: &str = "test.log";

/// Writes down how a run ended: by its tests, or why it never came to them. Safe to repeat.
pub(super) async fn ended(p: &Platform, setup: &AppSetup, how: Result<&scripts::Outcome, &str>) -> Result<()> {
    let Some(run) = of_setup(p, setup).await? else { return Ok(()) };
    let said = how.map_or("", |outcome| outcome.output.as_str());
    if !directory(p, run.id).join(TEST_LOG).exists() {
        let kept = keep(p, &run, setup.build_id, said).await;
        kept.map_err(|e| Error::internal("A test run's output can't be kept.", e))?;
    }
    if has_ended(&run) {
        return Ok(());
    }
    let (status, message, code) = match how {
        Ok(outcome) if outcome.exit_code == 0 => ("succeeded", None, Some(0)),
        Ok(outcome) => ("failed", None, Some(outcome.exit_code)),
        Err(why) => ("errored", Some(why), None),
    };
    let now = p.cx.now();
    let mut tx = p.db.begin().await?;
    if !rows::set_status(&mut tx, run.id, status, message, code, now).await? {
        return Ok(());
    }
    for case in tap::read(said).into_iter().take(MOST_CASES) {
        let row = TestCase {
            id: new_id(),
            test_run_id: run.id,
            number: case.number,
            passed: case.passed,
            description: case.description,
            directive: case.directive,
            diagnostic: case.diagnostic,
            created_at: now,
        };
        rows::insert_case(&mut tx, &row).await?;
    }
    let event = json!({"id": run.id, "number": run.number, "status": status});
    tx.commit_with(Event::new("test-run.update", "paas", event), now).await?;
    Ok(())
}

/// Keeps what was said before the app goes.
async fn keep(p: &Platform, run: &TestRun, build: Uuid, said: &str) -> std::io::Result<()> {
    let directory = directory(p, run.id);
    tokio::fs::create_dir_all(&directory).await?;
    match tokio::fs::copy(builds::output_path(p, build), directory.join(SETUP_LOG)).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            tokio::fs::write(directory.join(SETUP_LOG), b"").await?;
        }
        other => {
            other?;
        }
    }
    // Whole or not at all: it is asked whether it is there.
    let fresh = directory.join(format!("{TEST_LOG}.new"));
    tokio::fs::write(&fresh, said).await?;
    tokio::fs::rename(fresh, directory.join(TEST_LOG)).await
}

/// Removes what runs have said that are gone, or that nobody has looked for in a long time.
pub async fn sweep(p: &Platform) -> Result<()> {
    let failed = |e| Error::internal("The output of test runs can't be looked through.", e);
    let mut entries = match tokio::fs::read_dir(p.cx.path("test-runs")).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    while let Some(entry) = entries.next_entry().await.map_err(failed)? {
        let id: Option<Uuid> = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(id) = id else { continue };
        let old = by_id(p, id).await?.is_none_or(|run| p.cx.now() - run.created_at > KEPT);
        if old {
            tokio::fs::remove_dir_all(entry.path()).await.map_err(failed)?;
        }
    }
    Ok(())
}

/// Who asked for a run.
pub async fn user(p: &Platform, run: &TestRun) -> Result<users::User> {
    let user = users::by_id(&mut p.db.read().await?, run.user_id).await?;
    user.ok_or_else(|| Error::not_found("user", run.user_id.to_string()))
}

/// The name of its app, while that is there.
pub async fn app_name(p: &Platform, run: &TestRun) -> Result<Option<String>> {
    let app = app_rows::by_id(&mut p.db.read().await?, run.app_id).await?;
    Ok(app.filter(|app| !app.deleting).map(|app| app.name))
}
