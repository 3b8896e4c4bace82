//! Attachments: which apps use which add-on, and by which name.

use std::collections::HashSet;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use paas_wire as wire;
use uuid::Uuid;

use super::{
    addons::settled,
    endpoints::{Created, Endpoints, Page},
    error::{ApiError, ApiResult},
    extract::{Auth, Body, Path},
    list::list,
    view,
};
use crate::{
    error::{Error, Result},
    ops::{
        self, Actor, Platform,
        addons::Shown,
        apps::{Permission, WORK},
    },
    store::{addons::Attachment, apps::App},
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/addons/{addon}/addon-attachments", attachments_of)
        .get("/apps/{app}/addon-attachments", attachments_of_app)
        .get("/apps/{app}/addon-attachments/{attachment}", attachment_in_app)
        .get("/addon-attachments", attachments)
        .post("/addon-attachments", attach)
        .get("/addon-attachments/{attachment}", attachment)
        .delete("/addon-attachments/{attachment}", detach)
        .post("/actions/addon-attachments/resolve", resolve)
}

pub(super) fn attachment_view(
    p: &Platform,
    shown: &Shown,
    row: &Attachment,
    app: &App,
) -> Result<wire::AddonAttachment> {
    let secrets = ops::config::open_addon(p, &shown.addon)?;
    Ok(view::attachment(shown, row, app, secrets.vars(&row.name).into_keys().collect()))
}

async fn attachments(
    State(p): State<Platform>,
    Auth(actor): Auth,
    headers: HeaderMap,
) -> ApiResult<Page<wire::AddonAttachment>> {
    let mut items = Vec::new();
    for (shown, row, app) in ops::addons::attachments(&p, &actor).await? {
        items.push(attachment_view(&p, &shown, &row, &app)?);
    }
    Ok(list(&headers, "id", items, |item: &wire::AddonAttachment| item.id.to_string()))
}

async fn attachments_of(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(addon): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::AddonAttachment>> {
    let shown = ops::addons::find(&p, &actor, None, &addon).await?;
    // Whoever may change it sees all; others, those of their own apps.
    let all = ops::addons::check_may_change(&p, &actor, &shown).await.is_ok();
    let own: HashSet<Uuid> = ops::apps::list(&p, &actor).await?.into_iter().map(|owned| owned.app.id).collect();
    let mut items = Vec::new();
    for (row, app) in shown.attachments.iter().filter(|(row, _)| all || own.contains(&row.app_id)) {
        items.push(attachment_view(&p, &shown, row, app)?);
    }
    Ok(list(&headers, "id", items, |item: &wire::AddonAttachment| item.id.to_string()))
}

async fn attachments_of_app(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::AddonAttachment>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::View).await?;
    let mut items = Vec::new();
    for shown in ops::addons::list(&p, &app).await? {
        for (row, of) in shown.attachments.iter().filter(|(row, _)| row.app_id == app.id) {
            items.push(attachment_view(&p, &shown, row, of)?);
        }
    }
    Ok(list(&headers, "id", items, |item: &wire::AddonAttachment| item.id.to_string()))
}

async fn find_attachment(
    p: &Platform,
    actor: &Actor,
    app: Option<&App>,
    name: &str,
) -> ApiResult<(Shown, Attachment, App)> {
    let (named, name) = ops::addons::within(p, actor, name).await?;
    let app = named.as_ref().or(app);
    let name_as = name.strip_suffix("_URL").unwrap_or(name);
    let mut found: Vec<_> = ops::addons::attachments(p, actor)
        .await?
        .into_iter()
        .filter(|(_, row, _)| app.is_none_or(|app| row.app_id == app.id))
        .filter(|(_, row, _)| row.id.to_string() == name || row.name.eq_ignore_ascii_case(name_as))
        .collect();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Error::not_found("add_on attachment", name).into()),
        _ => Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            wire::error::MULTIPLE_MATCHES,
            format!("{name} is attached to more than one app. Name the app with --app."),
        )),
    }
}

async fn attachment(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(name): Path<String>,
) -> ApiResult<Json<wire::AddonAttachment>> {
    let (shown, row, app) = find_attachment(&p, &actor, None, &name).await?;
    Ok(Json(attachment_view(&p, &shown, &row, &app)?))
}

async fn attachment_in_app(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, name)): Path<(String, String)>,
) -> ApiResult<Json<wire::AddonAttachment>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::View).await?;
    let (shown, row, app) = find_attachment(&p, &actor, Some(&app), &name).await?;
    Ok(Json(attachment_view(&p, &shown, &row, &app)?))
}

async fn attach(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<wire::AttachmentCreate>,
) -> ApiResult<Created<wire::AddonAttachment>> {
    let app = ops::apps::find_any(&p, &actor, body.app.as_str(), &WORK).await?;
    let shown = ops::addons::find(&p, &actor, None, body.addon.as_str()).await?;
    let wakes = p.db.wakes();
    let (name, confirm) = (body.name.as_deref(), body.confirm.as_deref());
    let row = ops::addons::attach(&p, &actor, &shown, &app, name, confirm).await?;
    if shown.addon.state == "provisioned" {
        settled(&p, wakes, shown.addon.id).await?;
    }
    Ok(Created(attachment_view(&p, &shown, &row, &app)?))
}

async fn detach(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(name): Path<String>,
) -> ApiResult<Json<wire::AddonAttachment>> {
    let (shown, row, app) = find_attachment(&p, &actor, None, &name).await?;
    let seen = attachment_view(&p, &shown, &row, &app)?;
    ops::addons::detach(&p, &actor, &row).await?;
    Ok(Json(seen))
}

async fn resolve(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<wire::AttachmentResolve>,
) -> ApiResult<Json<Vec<wire::AddonAttachment>>> {
    let app = match &body.app {
        Some(app) => Some(ops::apps::find_for(&p, &actor, app, Permission::View).await?),
        None => None,
    };
    let (named, name) = ops::addons::within(&p, &actor, &body.addon_attachment).await?;
    let app = named.or(app);
    let name_as = name.strip_suffix("_URL").unwrap_or(name);
    let mut items = Vec::new();
    for (shown, row, of) in ops::addons::attachments(&p, &actor).await? {
        let here = app.as_ref().is_none_or(|app| app.id == row.app_id);
        let meant = row.name.eq_ignore_ascii_case(name_as) || row.id.to_string() == name || shown.addon.name == name;
        let service = body.addon_service.as_ref().is_none_or(|service| {
            p.catalog.find(service).is_some_and(|(provider, _)| provider.service().name == shown.addon.service)
        });
        if here && meant && service {
            items.push(attachment_view(&p, &shown, &row, &of)?);
        }
    }
    if items.is_empty() {
        return Err(Error::not_found("add_on attachment", name).into());
    }
    Ok(Json(items))
}
