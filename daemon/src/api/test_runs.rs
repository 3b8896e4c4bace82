//! `/test-runs`: a commit's tests, what they say, and their cases.

use std::convert::Infallible;

use axum::{
    Json,
    body::Body as HttpBody,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use chrono::TimeDelta;
use futures_util::StreamExt as _;
use paas_wire as wire;
use uuid::Uuid;
use wire::{
    IdRef, TestCase, TestNode, TestRun, TestStatus,
    test_run::{NodeDyno, TestDyno, TestRunCreate, TestRunUpdate, TestSetup},
};

use super::{
    endpoints::{Accepted, Created, Endpoints, Page},
    error::{ApiError, ApiResult},
    extract::{Auth, Body, Path, Query},
    list::list,
    view,
};
use crate::{
    error::Error,
    logs::Start,
    ops::{
        self, Platform, addresses,
        apps::Permission,
        pipelines::{find, find_for, may_in as may},
        scripts, test_runs,
    },
    store::{self, app_setups, test_runs::TestRun as Row},
};

/// How long an address of output counts.
const LASTS: TimeDelta = TimeDelta::hours(24);

/// What such an address is for.
const OUTPUT: &str = "test-run/output";

/// How often a run that has nothing to say yet is looked at.
const LOOK: std::time::Duration = std::time::Duration::from_millis(500);

/// The last lines of a dyno may be stored a little after its end is known.
const GRACE: std::time::Duration = std::time::Duration::from_secs(2);

/// Most lines that are shown.
const MOST_LINES: usize = 10_000;

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .post("/test-runs", create)
        .get("/test-runs/{test_run}", info)
        .patch("/test-runs/{test_run}", update)
        .get("/test-runs/{test_run}/test-nodes", nodes)
        .get("/test-runs/{test_run}/test-cases", cases)
        .get("/pipelines/{pipeline}/test-runs", index)
        .get("/pipelines/{pipeline}/test-runs/{number}", by_number)
        .get("/streams/test-runs/{test_run}/setup", setup_output)
        .get("/streams/test-runs/{test_run}/tests", test_output)
}

fn status(row: &Row) -> TestStatus {
    TestStatus::ALL.into_iter().find(|status| status.as_str() == row.status).unwrap_or(TestStatus::Pending)
}

/// A run; the address of its source only for who may fetch the pipeline's code (`deploys`).
async fn show(p: &Platform, row: &Row, deploys: bool) -> ApiResult<TestRun> {
    let user = test_runs::user(p, row).await?;
    let user = ops::accounts::of(p, user).await?;
    let source = test_runs::source_url(p, row)?;
    Ok(TestRun {
        actor_email: user.user.email.clone(),
        app_setup: Some(TestSetup { id: row.setup_id, app_name: test_runs::app_name(p, row).await? }),
        clear_cache: Some(false),
        commit_branch: row.commit_branch.clone(),
        commit_message: row.commit_message.clone(),
        commit_sha: row.commit_sha.clone(),
        created_at: row.created_at,
        debug: row.debug,
        dyno: Some(TestDyno { size: paas_domain::size::Size::default().name().to_owned() }),
        id: row.id,
        message: row.message.clone(),
        number: row.number,
        organization: None,
        pipeline: IdRef { id: row.pipeline_id },
        source_blob_url: if deploys { source } else { ops::sources::shown(&source) },
        status: status(row),
        updated_at: row.updated_at,
        user: view::account(&user),
        warning_message: None,
    })
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<TestRunCreate>,
) -> ApiResult<Created<TestRun>> {
    let pipeline = find_for(&p, &actor, body.pipeline.as_str(), Permission::Deploy).await?;
    let new = test_runs::New {
        branch: body.commit_branch,
        message: body.commit_message,
        sha: body.commit_sha,
        url: body.source_blob_url,
        debug: body.debug.unwrap_or(false),
    };
    Ok(Created(show(&p, &test_runs::create(&p, &actor, &pipeline, new).await?, true).await?))
}

async fn info(State(p): State<Platform>, Auth(actor): Auth, Path(run): Path<String>) -> ApiResult<Json<TestRun>> {
    let row = test_runs::find(&p, &actor, &run).await?;
    let deploys = may(&p, &actor, row.pipeline_id, Permission::Deploy).await?;
    Ok(Json(show(&p, &row, deploys).await?))
}

async fn by_number(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((pipeline, number)): Path<(String, String)>,
) -> ApiResult<Json<TestRun>> {
    let pipeline = find(&p, &actor, &pipeline).await?;
    let deploys = may(&p, &actor, pipeline.id, Permission::Deploy).await?;
    Ok(Json(show(&p, &test_runs::by_number(&p, &pipeline, &number).await?, deploys).await?))
}

async fn index(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(pipeline): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<TestRun>> {
    let pipeline = find(&p, &actor, &pipeline).await?;
    let deploys = may(&p, &actor, pipeline.id, Permission::Deploy).await?;
    let mut items = Vec::new();
    for row in test_runs::list(&p, &pipeline).await? {
        items.push(show(&p, &row, deploys).await?);
    }
    Ok(list(&headers, "number", items, |item: &TestRun| item.number.to_string()))
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(run): Path<String>,
    Body(body): Body<TestRunUpdate>,
) -> ApiResult<Accepted<TestRun>> {
    let row = test_runs::find(&p, &actor, &run).await?;
    if body.status != TestStatus::Cancelled {
        return Err(ApiError::invalid("status: only cancelled can be set; the tests decide about the others."));
    }
    let row = test_runs::cancel(&p, &actor, &row, body.message.as_deref()).await?;
    Ok(Accepted(show(&p, &row, true).await?))
}

fn stream_url(p: &Platform, row: &Row, what: &str) -> String {
    let api = p.cx.config().api_url();
    // Heroku's clients read these over TLS only, which the API's port takes too.
    let api = api.strip_prefix("http://").map_or_else(|| api.clone(), |rest| format!("https://{rest}"));
    format!("{api}/streams/test-runs/{}/{what}?{}", row.id, addresses::sign(p, OUTPUT, row.id, LASTS))
}

async fn nodes(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(run): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<TestNode>> {
    let row = test_runs::find(&p, &actor, &run).await?;
    let mut c = p.db.read().await.map_err(Error::from)?;
    let setup = app_setups::by_id(&mut c, row.setup_id).await.map_err(Error::from)?;
    let started = match setup {
        Some(setup) => store::scripts::by_id(&mut c, setup.script_id).await.map_err(Error::from)?,
        None => None,
    };
    let node = TestNode {
        created_at: row.created_at,
        dyno: started.map(|script| NodeDyno { id: script.id, attach_url: None }),
        error_status: (row.status == "errored").then(|| row.status.clone()),
        exit_code: row.exit_code,
        id: row.node_id,
        index: 0,
        message: row.message.clone(),
        output_stream_url: stream_url(&p, &row, "tests"),
        pipeline: IdRef { id: row.pipeline_id },
        setup_stream_url: stream_url(&p, &row, "setup"),
        status: status(&row),
        test_run: IdRef { id: row.id },
        updated_at: row.updated_at,
    };
    Ok(list(&headers, "index", vec![node], |node: &TestNode| node.index.to_string()))
}

async fn cases(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(run): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<TestCase>> {
    let row = test_runs::find(&p, &actor, &run).await?;
    let cases = test_runs::cases(&p, &row).await?.into_iter().map(|case| TestCase {
        created_at: case.created_at,
        description: case.description,
        diagnostic: case.diagnostic,
        directive: case.directive,
        id: case.id,
        number: case.number,
        passed: case.passed,
        test_node: IdRef { id: row.node_id },
        test_run: IdRef { id: row.id },
        updated_at: case.created_at,
    });
    Ok(list(&headers, "number", cases.collect(), |case: &TestCase| case.number.to_string()))
}

/// The run whose output somebody may read: the address that was given out is the key to it.
async fn admitted(p: &Platform, run: &str, key: &addresses::Key, auth: Result<Auth, ApiError>) -> ApiResult<Row> {
    let missing = || Error::not_found("test_run", run);
    let id: Uuid = run.parse().map_err(|_| missing())?;
    if addresses::is_key(p, OUTPUT, id, key) {
        return Ok(test_runs::by_id(p, id).await?.ok_or_else(missing)?);
    }
    Ok(test_runs::find(p, &auth?.0, run).await?)
}

fn plain(body: HttpBody) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// What was kept of a run's output, once it was.
async fn kept(p: &Platform, row: &Row, name: &str) -> Option<Response> {
    let file = tokio::fs::File::open(test_runs::directory(p, row.id).join(name)).await.ok()?;
    Some(plain(HttpBody::from_stream(tokio_util::io::ReaderStream::new(file))))
}

/// Waits a moment, unless the run has ended: then there is nothing to wait for.
async fn goes_on(p: &Platform, id: Uuid) -> ApiResult<bool> {
    let goes_on = test_runs::by_id(p, id).await?.is_some_and(|row| !test_runs::has_ended(&row));
    if goes_on {
        tokio::time::sleep(LOOK).await;
    }
    Ok(goes_on)
}

/// The build of a run, once there is one.
async fn build_of(p: &Platform, row: &Row) -> ApiResult<Option<Uuid>> {
    loop {
        if let Some(setup) = setup_of(p, row).await?
            && let Some(build) = ops::builds::by_id(p, setup.build_id).await?
        {
            return Ok(Some(build.id));
        }
        if !goes_on(p, row.id).await? {
            return Ok(None);
        }
    }
}

/// The dyno that runs its tests, once there is one.
async fn script_of(p: &Platform, row: &Row) -> ApiResult<Option<store::scripts::Script>> {
    loop {
        if let Some(setup) = setup_of(p, row).await? {
            let mut c = p.db.read().await.map_err(Error::from)?;
            if let Some(script) = store::scripts::by_id(&mut c, setup.script_id).await.map_err(Error::from)? {
                return Ok(Some(script));
            }
        }
        if !goes_on(p, row.id).await? {
            return Ok(None);
        }
    }
}

async fn setup_of(p: &Platform, row: &Row) -> ApiResult<Option<app_setups::AppSetup>> {
    let mut c = p.db.read().await.map_err(Error::from)?;
    Ok(app_setups::by_id(&mut c, row.setup_id).await.map_err(Error::from)?)
}

/// What the build of a run says, as it comes.
async fn setup_output(
    State(p): State<Platform>,
    auth: Result<Auth, ApiError>,
    Path(run): Path<String>,
    Query(key): Query<addresses::Key>,
) -> ApiResult<Response> {
    let row = admitted(&p, &run, &key, auth).await?;
    if let Some(kept) = kept(&p, &row, test_runs::SETUP_LOG).await {
        return Ok(kept);
    }
    Ok(match build_of(&p, &row).await? {
        Some(build) => plain(HttpBody::from_stream(ops::builds::output(&p, build, 0))),
        None => plain(HttpBody::empty()),
    })
}

/// What the tests of a run say, as it comes.
async fn test_output(
    State(p): State<Platform>,
    auth: Result<Auth, ApiError>,
    Path(run): Path<String>,
    Query(key): Query<addresses::Key>,
) -> ApiResult<Response> {
    let row = admitted(&p, &run, &key, auth).await?;
    if let Some(kept) = kept(&p, &row, test_runs::TEST_LOG).await {
        return Ok(kept);
    }
    let Some(script) = script_of(&p, &row).await? else {
        return Ok(match kept(&p, &row, test_runs::TEST_LOG).await {
            Some(kept) => kept,
            None => plain(HttpBody::empty()),
        });
    };
    let lines = p.logs.store().follow(row.app_id, Start::Backlog(MOST_LINES), scripts::lines(&script.name));
    let lines = lines.take_until(end(p.clone(), row.id));
    Ok(plain(HttpBody::from_stream(lines.map(|line| Ok::<_, Infallible>(format!("{}\n", line.message))))))
}

/// Waits until a run has ended, and its last lines are there.
async fn end(p: Platform, id: Uuid) {
    loop {
        match test_runs::by_id(&p, id).await {
            Ok(Some(row)) if !test_runs::has_ended(&row) => tokio::time::sleep(LOOK).await,
            Ok(_) | Err(_) => break,
        }
    }
    tokio::time::sleep(GRACE).await;
}
