//! The repository that a pipeline is connected to: one of the server's own apps, or any that
//! git reaches over https. Review apps are made from its branches.

use std::path::Path;

use chrono::TimeDelta;
use paas_buildpacks::output::plain_address;
use serde_json::json;
use uuid::Uuid;

use super::{
    Actor, Platform, access, addresses,
    apps::{self, Permission},
};
use crate::{
    error::{Error, Result},
    repos::{self, Branch, RepoError},
    store::{
        apps as app_rows,
        events::Event,
        pipelines::Pipeline,
        review_apps::{self as rows, Repo},
        users,
    },
};

/// How long the address of an archive counts.
const LASTS: TimeDelta = TimeDelta::hours(24);

/// What such an address is for.
const ARCHIVE: &str = "pipeline/archive";

/// How a branch's archive is named in the rows of setups.
const SCHEME: &str = "repo:";

impl From<RepoError> for Error {
    fn from(error: RepoError) -> Self {
        match error {
            RepoError::Address
            | RepoError::NotAllowed(_)
            | RepoError::Host(_)
            | RepoError::Git(_)
            | RepoError::TooLarge => Self::invalid(error.to_string()),
            RepoError::Late | RepoError::Busy | RepoError::Full => Self::Unavailable(error.to_string()),
            RepoError::Run(source) => Self::internal("git could not be run.", source),
        }
    }
}

/// Connects a pipeline to a repository: an address, or the name of an app of this server.
/// Its branches are read once, so that a wrong one is told now.
pub async fn connect(p: &Platform, actor: &Actor, pipeline: &Pipeline, address: &str) -> Result<Repo> {
    let address = address.trim();
    if address.is_empty() || address.len() > 4096 || address.chars().any(char::is_control) {
        return Err(Error::invalid("repo_url: the address of a git repository, or the name of an app, is needed."));
    }
    let now = p.cx.now();
    let app = match own(p, address) {
        Some(name) => Some(apps::find_for(p, actor, &name, Permission::Deploy).await?),
        None => None,
    };
    let row = Repo {
        pipeline_id: pipeline.id,
        number: i64::from(rand::random::<u32>() >> 1),
        full_name: app.as_ref().map_or_else(|| full_name(address), |app| app.name.clone()),
        url: p.cx.sealer().seal(&place(pipeline.id), address.as_bytes()),
        app_id: app.map(|app| app.id),
        user_id: actor.user.id,
        created_at: now,
        updated_at: now,
    };
    if row.app_id.is_none() {
        repos::branches(&p.cx, &repo(p, &row).await?).await?;
    }
    let mut tx = p.db.begin().await?;
    rows::put_repo(&mut tx, &row).await?;
    let event = json!({"pipeline": pipeline.id, "repo": row.full_name});
    tx.commit_with(Event::new("pipeline-repo.update", actor.name(), event), now).await?;
    Ok(row)
}

/// The name of the app of this server that an address is the repository of.
fn own(p: &Platform, address: &str) -> Option<String> {
    if !address.contains("://") {
        return (!address.contains(['/', ':', '@'])).then(|| address.to_owned());
    }
    let (_, rest) = address.split_once("://")?;
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let (host, path) = rest.split_once('/')?;
    let config = p.cx.config();
    let api = config.api_url();
    let api = api.split_once("://").map_or(api.as_str(), |(_, rest)| rest);
    let base = [config.app_host("git"), config.app_host("api")];
    let ours = host == api || base.iter().any(|ours| host.split(':').next() == Some(ours.as_str()));
    ours.then(|| path.trim_end_matches('/').trim_end_matches(".git").to_owned())
}

/// `owner/name` of an address.
fn full_name(address: &str) -> String {
    let plain = plain_address(address);
    let path = plain.split_once("://").map_or(plain.as_str(), |(_, rest)| rest);
    let path = path.split_once('/').map_or(path, |(_, path)| path);
    path.trim_matches('/').trim_end_matches(".git").to_owned()
}

fn place(pipeline_id: Uuid) -> String {
    format!("pipeline-repo/{pipeline_id}")
}

/// The address of a repository, without what may be secret in it.
pub fn shown_url(p: &Platform, row: &Repo) -> Result<String> {
    Ok(plain_address(&address(p, row)?))
}

fn address(p: &Platform, row: &Repo) -> Result<String> {
    let unreadable = "The repository's address can't be read.";
    let text = p.cx.sealer().open(&place(row.pipeline_id), &row.url).map_err(|e| Error::internal(unreadable, e))?;
    String::from_utf8(text).map_err(|e| Error::internal(unreadable, e))
}

/// What is read. Of an app of this server, only as long as who connected it may fetch its code:
/// what they were given and has been taken back is not kept by way of a pipeline.
async fn repo(p: &Platform, row: &Repo) -> Result<repos::Repo> {
    let Some(app) = row.app_id else { return Ok(repos::Repo::Remote(address(p, row)?)) };
    let mut c = p.db.read().await?;
    let user = users::by_id(&mut c, row.user_id).await?;
    let app = app_rows::by_id(&mut c, app).await?.filter(|app| !app.deleting);
    if let (Some(user), Some(app)) = (user, app)
        && access::of(&mut c, &user, &app).await?.may(Permission::Deploy)
    {
        return Ok(repos::Repo::Local(p.cx.path("git").join(format!("{}.git", app.id))));
    }
    Err(Error::Forbidden(format!(
        "Who connected the pipeline to the repository of {} may not fetch its code any more. Somebody who may can connect it again with: paas pipelines:connect",
        row.full_name
    )))
}

/// That of a pipeline.
pub async fn get(p: &Platform, pipeline_id: Uuid) -> Result<Repo> {
    let found = rows::repo(&mut p.db.read().await?, pipeline_id).await?;
    found.ok_or_else(|| {
        let text =
            "Couldn't find a repository that the pipeline is connected to. Connect it with: paas pipelines:connect";
        Error::not_found("repo", text)
    })
}

/// Disconnects a pipeline.
pub async fn disconnect(p: &Platform, actor: &Actor, pipeline: &Pipeline) -> Result<Repo> {
    let row = get(p, pipeline.id).await?;
    let mut tx = p.db.begin().await?;
    rows::delete_repo(&mut tx, pipeline.id).await?;
    let event = json!({"pipeline": pipeline.id, "repo": row.full_name});
    tx.commit_with(Event::new("pipeline-repo.destroy", actor.name(), event), p.cx.now()).await?;
    Ok(row)
}

/// Its branches, by name.
pub async fn branches(p: &Platform, pipeline_id: Uuid) -> Result<Vec<Branch>> {
    let repo = repo(p, &get(p, pipeline_id).await?).await?;
    if let repos::Repo::Local(path) = &repo
        && !path.exists()
    {
        // Nothing has been pushed yet.
        return Ok(Vec::new());
    }
    Ok(repos::branches(&p.cx, &repo).await?)
}

/// One of them.
pub async fn branch(p: &Platform, pipeline_id: Uuid, name: &str) -> Result<Branch> {
    let found = branches(p, pipeline_id).await?.into_iter().find(|branch| branch.name == name);
    found.ok_or_else(|| Error::not_found("branch", format!("Couldn't find the branch {name} in the repository.")))
}

/// Writes the tree of a branch into a file, as a gzipped tar.
pub async fn archive(p: &Platform, pipeline_id: Uuid, branch: &str, target: &Path) -> Result<()> {
    super::disk::enough(&p.cx).map_err(|scarce| Error::Unavailable(format!("{scarce}.")))?;
    let repo = repo(p, &get(p, pipeline_id).await?).await?;
    Ok(repos::archive(&p.cx, &repo, branch, target, || super::disk::enough(&p.cx).is_ok()).await?)
}

/// The address that a branch's archive is to be had at for a while.
pub fn archive_link(p: &Platform, pipeline_id: Uuid, branch: &str) -> String {
    let name = percent_encoding::utf8_percent_encode(branch, percent_encoding::NON_ALPHANUMERIC);
    let key = addresses::sign(p, &purpose(branch), pipeline_id, LASTS);
    format!("{}/pipelines/{pipeline_id}/repo/archives/{name}?{key}", p.cx.config().api_url())
}

/// What the address of a branch's archive is signed for.
pub fn purpose(branch: &str) -> String {
    format!("{ARCHIVE}/{branch}")
}

/// How a setup names the archive of a branch.
pub fn source(pipeline_id: Uuid, branch: &str) -> String {
    format!("{SCHEME}{pipeline_id}:{branch}")
}

/// The branch that a setup's source names.
pub fn is_source(url: &str) -> Option<(Uuid, &str)> {
    let (id, branch) = url.strip_prefix(SCHEME)?.split_once(':')?;
    Some((id.parse().ok()?, branch))
}

/// The branch whose archive an address of ours gives.
pub fn is_archive(p: &Platform, pipeline_id: Uuid, url: &str) -> Option<String> {
    let start = format!("{}/pipelines/{pipeline_id}/repo/archives/", p.cx.config().api_url());
    let name = url.strip_prefix(&start)?.split('?').next()?;
    percent_encoding::percent_decode_str(name).decode_utf8().ok().map(|name| name.into_owned())
}
