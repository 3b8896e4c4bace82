//! Resources as their own addresses show them, for who tells of them without being asked:
//! webhooks.

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{
    attachments::attachment_view,
    builds, collaborators, domains,
    expand::{self, Expand},
    view,
};
use crate::{
    error::{Error, Result},
    ops::{self, Platform},
    store::{
        self,
        addons::{Addon, Attachment},
        apps::{self, App},
        domains::Domain,
        dynos::Dyno,
        releases::Release,
        users::{self, User},
    },
};

/// A resource: its identity and how it is shown.
pub type Shown = (Uuid, Value);

fn value(id: Uuid, shown: &impl Serialize) -> Result<Shown> {
    let value = serde_json::to_value(shown);
    Ok((id, value.map_err(|e| Error::internal("A resource could not be shown.", e))?))
}

async fn user(p: &Platform, id: Uuid) -> Result<User> {
    let user = users::by_id(&mut p.db.read().await?, id).await?;
    user.ok_or_else(|| Error::not_found("user", id.to_string()))
}

/// An app.
pub async fn app(p: &Platform, app: &App) -> Result<Shown> {
    let owned = ops::apps::with_owner(p, app.clone()).await?;
    value(app.id, &view::app(p.cx.config(), &owned))
}

/// A build, if it is there.
pub async fn build(p: &Platform, id: Uuid) -> Result<Option<Shown>> {
    let Some(row) = ops::builds::by_id(p, id).await? else { return Ok(None) };
    let user = user(p, row.user_id).await?;
    value(row.id, &builds::show(p, &row, &user)).map(Some)
}

/// A release, with who made it.
pub async fn release(p: &Platform, app: &App, row: &Release) -> Result<(Shown, User)> {
    let current = ops::releases::current(p, app).await?.map(|release| release.version);
    let user = user(p, row.user_id).await?;
    let shown = value(row.id, &view::release(p, app, row, &user, current))?;
    Ok((shown, user))
}

/// The formation.
pub async fn formation(p: &Platform, app: &App) -> Result<Vec<(ops::formation::Process, Shown)>> {
    let mut all = Vec::new();
    for process in ops::formation::list(p, app).await? {
        let shown = value(process.formation.id, &view::formation(app, &process))?;
        all.push((process, shown));
    }
    Ok(all)
}

/// A dyno as it was.
pub fn dyno(app: &App, row: &Dyno) -> Result<Shown> {
    value(row.id, &view::dyno(app, row, None))
}

/// A domain that may be gone.
pub async fn domain(p: &Platform, app: &App, row: &Domain) -> Result<Shown> {
    value(row.id, &domains::show(p, app, row).await?)
}

/// A certificate, or what is left of it.
pub async fn sni_endpoint(p: &Platform, app: &App, row: store::sni_endpoints::SniEndpoint) -> Result<Shown> {
    let shown = match ops::sni_endpoints::find(p, app, &row.id.to_string()).await {
        Ok(shown) => shown,
        Err(Error::NotFound(_)) => ops::sni_endpoints::alone(row)?,
        Err(error) => return Err(error),
    };
    value(shown.row.id, &view::sni_endpoint(app, &shown))
}

/// An add-on.
pub async fn addon(p: &Platform, row: Addon) -> Result<Shown> {
    let shown = ops::addons::show(p, row).await?;
    value(shown.addon.id, &expand::addon(&shown, Expand::default()))
}

/// An attachment, which may be gone, of an add-on to an app.
pub async fn attachment(p: &Platform, app: &App, addon: Addon, row: &Attachment) -> Result<Shown> {
    let shown = ops::addons::show(p, addon).await?;
    value(row.id, &attachment_view(p, &shown, row, app)?)
}

/// A collaborator, if they are one.
pub async fn collaborator(p: &Platform, app: &App, email: &str) -> Result<Option<Shown>> {
    let all = apps::collaborators(&mut p.db.read().await?, app.id).await?;
    let Some(row) = all.into_iter().find(|row| row.user.email == email) else { return Ok(None) };
    let id = row.collaborator_id;
    value(id, &collaborators::view_of(app, &ops::collaborators::show(p, app, row).await?)).map(Some)
}

/// Somebody by their address.
pub async fn actor(p: &Platform, name: &str) -> Result<paas_wire::UserRef> {
    let known = users::by_email(&mut p.db.read().await?, name).await?;
    Ok(match known {
        Some(user) => view::user_ref(&user),
        None if name.contains('@') => paas_wire::UserRef { id: view::id_of("user", name), email: name.to_owned() },
        // The platform itself.
        None => {
            paas_wire::UserRef { id: view::id_of("user", name), email: format!("{name}@{}", p.cx.config().base_domain) }
        }
    })
}
