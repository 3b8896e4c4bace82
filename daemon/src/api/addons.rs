//! Add-ons, their services and plans, and attachments.

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::{get, post},
};
use paas_wire as wire;
use std::time::Duration;

use super::{
    error::{ApiError, ApiResult},
    extract::{Auth, Body},
    list::list,
    view,
};
use crate::{
    addons::{Plan, Service},
    error::Error,
    ops::{self, Actor, Platform, addons::Shown},
    store::{self, addons::Attachment, apps::App},
};

/// How long a request to make an add-on waits for it to answer: most do within a second,
/// and their users see at once that they are there.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn routes() -> Router<Platform> {
    Router::new()
        .route("/addons", get(all))
        .route("/addons/{addon}", get(info_anywhere).patch(update_anywhere))
        .route("/addons/{addon}/addon-attachments", get(attachments_of))
        .route("/addons/{addon}/config", get(addon_config))
        .route("/apps/{app}/addons", get(index).post(create))
        .route("/apps/{app}/addons/{addon}", get(info).patch(update).delete(destroy))
        .route("/apps/{app}/addon-attachments", get(attachments_of_app))
        .route("/apps/{app}/addon-attachments/{attachment}", get(attachment_in_app))
        .route("/addon-attachments", get(attachments).post(attach))
        .route("/addon-attachments/{attachment}", get(attachment).delete(detach))
        .route("/actions/addons/resolve", post(resolve))
        .route("/actions/addon-attachments/resolve", post(resolve_attachment))
        .route("/addon-services", get(services))
        .route("/addon-services/{service}", get(service))
        .route("/addon-services/{service}/plans", get(plans))
        .route("/addon-services/{service}/plans/{plan}", get(plan))
        .route("/plans/{plan}", get(plan_by_name))
}

async fn all(State(p): State<Platform>, Auth(actor): Auth, headers: HeaderMap) -> ApiResult<Response> {
    let items = ops::addons::list_all(&p, &actor).await?.iter().map(view::addon).collect();
    Ok(list(&headers, "id", items, |item: &wire::Addon| item.id.to_string()))
}

async fn index(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let app = ops::apps::find(&p, &actor, &app).await?;
    let items = ops::addons::list(&p, &app).await?.iter().map(view::addon).collect();
    Ok(list(&headers, "id", items, |item: &wire::Addon| item.id.to_string()))
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(body): Body<wire::AddonCreate>,
) -> ApiResult<(StatusCode, Json<wire::Addon>)> {
    let app = ops::apps::find(&p, &actor, &app).await?;
    let mut wakes = p.db.wakes();
    let attachment = body.attachment.as_ref().and_then(|attachment| attachment.name.as_deref());
    let made = ops::addons::create(&p, &actor, &app, body.plan.as_str(), body.name.as_deref(), attachment).await?;
    let ready = async {
        loop {
            let row = store::addons::by_id(&mut p.db.read().await?, made.addon.id).await?;
            match row {
                Some(row) if row.state == "provisioning" => {}
                Some(_) | None => return Ok::<_, Error>(row),
            }
            if wakes.recv().await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    };
    let shown = match tokio::time::timeout(PATIENCE, ready).await {
        Ok(Ok(Some(row))) => ops::addons::show(&p, row).await?,
        Ok(Ok(None)) | Ok(Err(_)) | Err(_) => made,
    };
    Ok((StatusCode::CREATED, Json(view::addon(&shown))))
}

async fn info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, addon)): Path<(String, String)>,
) -> ApiResult<Json<wire::Addon>> {
    let app = ops::apps::find(&p, &actor, &app).await?;
    Ok(Json(view::addon(&ops::addons::find(&p, &actor, Some(&app), &addon).await?)))
}

async fn info_anywhere(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(addon): Path<String>,
) -> ApiResult<Json<wire::Addon>> {
    Ok(Json(view::addon(&ops::addons::find(&p, &actor, None, &addon).await?)))
}

async fn change(p: &Platform, actor: &Actor, shown: Shown, body: wire::AddonUpdate) -> ApiResult<Json<wire::Addon>> {
    let mut shown = shown;
    if let Some(plan) = &body.plan {
        shown = ops::addons::change_plan(p, actor, &shown, plan.as_str()).await?;
    }
    if let Some(name) = &body.name {
        shown = ops::addons::rename(p, actor, &shown, name).await?;
    }
    Ok(Json(view::addon(&shown)))
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, addon)): Path<(String, String)>,
    Body(body): Body<wire::AddonUpdate>,
) -> ApiResult<Json<wire::Addon>> {
    let app = ops::apps::find(&p, &actor, &app).await?;
    let shown = ops::addons::find(&p, &actor, Some(&app), &addon).await?;
    change(&p, &actor, shown, body).await
}

async fn update_anywhere(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(addon): Path<String>,
    Body(body): Body<wire::AddonUpdate>,
) -> ApiResult<Json<wire::Addon>> {
    let shown = ops::addons::find(&p, &actor, None, &addon).await?;
    change(&p, &actor, shown, body).await
}

async fn destroy(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, addon)): Path<(String, String)>,
    Body(body): Body<wire::addon::AddonDelete>,
) -> ApiResult<Json<wire::Addon>> {
    let app = ops::apps::find(&p, &actor, &app).await?;
    let shown = ops::addons::find(&p, &actor, Some(&app), &addon).await?;
    if shown.addon.app_id != app.id {
        return Err(Error::Forbidden(format!(
            "{} belongs to {}: destroy it there, or detach it here with addons:detach.",
            shown.addon.name, shown.app.name
        ))
        .into());
    }
    Ok(Json(view::addon(&ops::addons::destroy(&p, &actor, &shown, body.force.unwrap_or(false)).await?)))
}

async fn addon_config(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(addon): Path<String>,
) -> ApiResult<Json<Vec<wire::AddonConfig>>> {
    let shown = ops::addons::find(&p, &actor, None, &addon).await?;
    let secrets = ops::config::open_addon(&p, &shown.addon)?;
    Ok(Json(secrets.values.into_iter().map(|(name, value)| wire::AddonConfig { name, value: Some(value) }).collect()))
}

fn attachment_view(p: &Platform, shown: &Shown, row: &Attachment, app: &App) -> ApiResult<wire::AddonAttachment> {
    let secrets = ops::config::open_addon(p, &shown.addon)?;
    Ok(view::attachment(shown, row, app, secrets.vars(&row.name).into_keys().collect()))
}

async fn visible_attachments(p: &Platform, actor: &Actor) -> ApiResult<Vec<(Shown, Attachment, App)>> {
    let mut all = Vec::new();
    for shown in ops::addons::list_all(p, actor).await? {
        for (row, app) in shown.attachments.clone() {
            all.push((shown.clone(), row, app));
        }
    }
    Ok(all)
}

async fn attachments(State(p): State<Platform>, Auth(actor): Auth, headers: HeaderMap) -> ApiResult<Response> {
    let mut items = Vec::new();
    for (shown, row, app) in visible_attachments(&p, &actor).await? {
        items.push(attachment_view(&p, &shown, &row, &app)?);
    }
    Ok(list(&headers, "id", items, |item: &wire::AddonAttachment| item.id.to_string()))
}

async fn attachments_of(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(addon): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let shown = ops::addons::find(&p, &actor, None, &addon).await?;
    let mut items = Vec::new();
    for (row, app) in &shown.attachments {
        items.push(attachment_view(&p, &shown, row, app)?);
    }
    Ok(list(&headers, "id", items, |item: &wire::AddonAttachment| item.id.to_string()))
}

async fn attachments_of_app(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let app = ops::apps::find(&p, &actor, &app).await?;
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
    let name_as = name.strip_suffix("_URL").unwrap_or(name);
    let mut found: Vec<_> = visible_attachments(p, actor)
        .await?
        .into_iter()
        .filter(|(_, row, _)| app.is_none_or(|app| row.app_id == app.id))
        .filter(|(_, row, _)| row.id.to_string() == name || row.name.eq_ignore_ascii_case(name_as))
        .collect();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Error::not_found("attachment", name).into()),
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
    let app = ops::apps::find(&p, &actor, &app).await?;
    let (shown, row, app) = find_attachment(&p, &actor, Some(&app), &name).await?;
    Ok(Json(attachment_view(&p, &shown, &row, &app)?))
}

async fn attach(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<wire::AttachmentCreate>,
) -> ApiResult<(StatusCode, Json<wire::AddonAttachment>)> {
    let app = ops::apps::find(&p, &actor, body.app.as_str()).await?;
    let shown = ops::addons::find(&p, &actor, None, body.addon.as_str()).await?;
    let row = ops::addons::attach(&p, &actor, &shown, &app, body.name.as_deref()).await?;
    Ok((StatusCode::CREATED, Json(attachment_view(&p, &shown, &row, &app)?)))
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
    Body(body): Body<wire::AddonResolve>,
) -> ApiResult<Json<Vec<wire::Addon>>> {
    let app = match &body.app {
        Some(app) => Some(ops::apps::find(&p, &actor, app).await?),
        None => None,
    };
    let mut found = ops::addons::resolve(&p, &actor, app.as_ref(), &body.addon).await?;
    if found.is_empty() && app.is_some() {
        // A name of another app's add-on is still its name.
        found = ops::addons::resolve(&p, &actor, None, &body.addon).await?;
    }
    if let Some(service) = &body.addon_service {
        found.retain(|shown| {
            p.catalog.find(service).is_some_and(|(provider, _)| provider.service().name == shown.addon.service)
        });
    }
    if found.is_empty() {
        return Err(Error::not_found("add_on", body.addon).into());
    }
    Ok(Json(found.iter().map(view::addon).collect()))
}

async fn resolve_attachment(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<wire::AttachmentResolve>,
) -> ApiResult<Json<Vec<wire::AddonAttachment>>> {
    let app = match &body.app {
        Some(app) => Some(ops::apps::find(&p, &actor, app).await?),
        None => None,
    };
    let name = body.addon_attachment.rsplit("::").next().unwrap_or_default();
    let name_as = name.strip_suffix("_URL").unwrap_or(name);
    let mut items = Vec::new();
    for (shown, row, of) in visible_attachments(&p, &actor).await? {
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
        return Err(Error::not_found("attachment", name).into());
    }
    Ok(Json(items))
}

fn long_ago() -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::UNIX_EPOCH
}

fn service_view(service: &Service) -> wire::AddonService {
    wire::AddonService {
        cli_plugin_name: None,
        created_at: long_ago(),
        human_name: service.human_name.into(),
        id: view::id_of("addon-service", service.name),
        name: service.name.into(),
        state: "ga".into(),
        supported_generations: Vec::new(),
        supports_multiple_installations: true,
        supports_sharing: true,
        updated_at: long_ago(),
    }
}

fn plan_view(service: &Service, plan: &Plan) -> wire::Plan {
    let name = format!("{}:{}", service.name, plan.name);
    wire::Plan {
        addon_service: wire::addon_service::AddonServiceRef {
            id: view::id_of("addon-service", service.name),
            name: service.name.into(),
            human_name: Some(service.human_name.into()),
        },
        compliance: None,
        created_at: long_ago(),
        default: plan.name == service.default_plan,
        description: plan.description.into(),
        human_name: plan.name.into(),
        id: view::id_of("plan", &name),
        installable_inside_private_network: true,
        installable_outside_private_network: true,
        name,
        price: wire::Price::default(),
        space_default: false,
        state: "ga".into(),
        updated_at: long_ago(),
        visible: true,
    }
}

async fn services(State(p): State<Platform>, Auth(_): Auth) -> Json<Vec<wire::AddonService>> {
    Json(p.catalog.all().iter().map(|provider| service_view(provider.service())).collect())
}

fn find_service(p: &Platform, name: &str) -> ApiResult<&'static Service> {
    match p.catalog.find(name) {
        Some((provider, _)) => Ok(provider.service()),
        None => Err(ops::addons::resolve_plan(p, name)
            .err()
            .unwrap_or_else(|| Error::not_found("addon_service", name))
            .into()),
    }
}

async fn service(
    State(p): State<Platform>,
    Auth(_): Auth,
    Path(name): Path<String>,
) -> ApiResult<Json<wire::AddonService>> {
    Ok(Json(service_view(find_service(&p, &name)?)))
}

async fn plans(State(p): State<Platform>, Auth(_): Auth, Path(name): Path<String>) -> ApiResult<Json<Vec<wire::Plan>>> {
    let service = find_service(&p, &name)?;
    Ok(Json(service.plans.iter().map(|plan| plan_view(service, plan)).collect()))
}

async fn plan(
    State(p): State<Platform>,
    Auth(_): Auth,
    Path((service, plan)): Path<(String, String)>,
) -> ApiResult<Json<wire::Plan>> {
    let short = plan.rsplit(':').next().unwrap_or_default();
    let (provider, plan) = ops::addons::resolve_plan(&p, &format!("{service}:{short}"))?;
    Ok(Json(plan_view(provider.service(), plan)))
}

async fn plan_by_name(
    State(p): State<Platform>,
    Auth(_): Auth,
    Path(plan): Path<String>,
) -> ApiResult<Json<wire::Plan>> {
    let (provider, plan) = ops::addons::resolve_plan(&p, &plan)?;
    Ok(Json(plan_view(provider.service(), plan)))
}

/// For addresses that take `?app=`.
#[derive(Debug, serde::Deserialize)]
pub(super) struct AppQuery {
    /// The app that an attachment name belongs to.
    pub app: Option<String>,
}

/// The Redis add-on that a data API request means.
pub(super) async fn find_redis(p: &Platform, actor: &Actor, name: &str, query: &Query<AppQuery>) -> ApiResult<Shown> {
    let app = match &query.app {
        Some(app) => Some(ops::apps::find(p, actor, app).await?),
        None => None,
    };
    let shown = ops::addons::find(p, actor, app.as_ref(), name).await?;
    if shown.addon.service != "redis" {
        return Err(ApiError::invalid(format!("{} is not a Redis add-on.", shown.addon.name)));
    }
    Ok(shown)
}
