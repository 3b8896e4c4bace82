//! Add-ons, their services and plans.

use axum::{Json, extract::State, http::HeaderMap};
use paas_wire as wire;
use std::time::Duration;
use tokio::sync::broadcast;
use uuid::Uuid;

use super::{
    endpoints::{Created, Endpoints, Page},
    error::{ApiError, ApiResult},
    extract::{Auth, Body, Path, Query},
    list::list,
    view,
};
use crate::{
    addons::{Plan, Service},
    error::Error,
    ops::{
        self, Actor, Platform,
        addons::Shown,
        apps::{Permission, WORK},
    },
    store::{self, Wake},
};

/// How long a request to make or attach an add-on waits for what follows: most answer within
/// a second, and their users see at once that they are there.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/addons", all)
        .get("/addons/{addon}", info_anywhere)
        .patch("/addons/{addon}", update_anywhere)
        .get("/addons/{addon}/config", addon_config)
        .get("/apps/{app}/addons", index)
        .post("/apps/{app}/addons", create)
        .get("/apps/{app}/addons/{addon}", info)
        .patch("/apps/{app}/addons/{addon}", update)
        .delete("/apps/{app}/addons/{addon}", destroy)
        .post("/actions/addons/resolve", resolve)
        .get("/addon-services", services)
        .get("/addon-services/{service}", service)
        .get("/addon-services/{service}/plans", plans)
        .get("/addon-services/{service}/plans/{plan}", plan)
        .get("/plans/{plan}", plan_by_name)
}

async fn all(State(p): State<Platform>, Auth(actor): Auth, headers: HeaderMap) -> ApiResult<Page<wire::Addon>> {
    let items = ops::addons::list_all(&p, &actor).await?.iter().map(view::addon).collect();
    Ok(list(&headers, "id", items, |item: &wire::Addon| item.id.to_string()))
}

async fn index(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Addon>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::View).await?;
    let items = ops::addons::list(&p, &app).await?.iter().map(view::addon).collect();
    Ok(list(&headers, "id", items, |item: &wire::Addon| item.id.to_string()))
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(body): Body<wire::AddonCreate>,
) -> ApiResult<Created<wire::Addon>> {
    let app = ops::apps::find_any(&p, &actor, &app, &WORK).await?;
    let wakes = p.db.wakes();
    let new = ops::addons::New {
        plan: body.plan.as_str(),
        name: body.name.as_deref(),
        attachment: body.attachment.as_ref().and_then(|attachment| attachment.name.as_deref()),
        options: body.config.as_ref(),
    };
    let (provider, _) = ops::addons::resolve_plan(&p, new.plan)?;
    ops::teams::check_addon(&p, &actor, &app, provider.service().name).await?;
    let made = ops::addons::create(&p, &actor, &app, new).await?;
    let shown = match settled(&p, wakes, made.addon.id).await? {
        Some(row) => ops::addons::show(&p, row).await?,
        None => made,
    };
    Ok(Created(view::addon(&shown)))
}

/// Waits a little until nothing is under way for an add-on: it is made, and the apps have the
/// releases that it brings them. Its row then, if it is there.
pub(super) async fn settled(
    p: &Platform,
    mut wakes: broadcast::Receiver<Wake>,
    id: Uuid,
) -> ApiResult<Option<store::addons::Addon>> {
    let settled = async {
        loop {
            let mut c = p.db.read().await?;
            let row = store::addons::by_id(&mut c, id).await?;
            let due = store::addons::attachments_of_addon(&mut c, id).await?;
            drop(c);
            let busy = row.as_ref().is_some_and(|row| row.state == "provisioning");
            if !busy && due.iter().all(|row| row.release_due.is_none()) {
                return Ok::<_, Error>(());
            }
            if wakes.recv().await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    };
    // What takes longer goes on in the background.
    if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, settled).await {
        tracing::warn!(addon.id = %id, %error, "an add-on could not be waited for");
    }
    Ok(store::addons::by_id(&mut p.db.read().await?, id).await?)
}

async fn info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, addon)): Path<(String, String)>,
) -> ApiResult<Json<wire::Addon>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::View).await?;
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
    ops::addons::check_may_change(p, actor, &shown).await?;
    let mut shown = shown;
    if let Some(plan) = &body.plan {
        let (provider, instance) = ops::addons::instance(p, &shown.addon).await?;
        // One that can't be asked tells nothing.
        let held = provider.held(p.engine.as_ref(), &instance).await.unwrap_or_default();
        shown = ops::addons::change_plan(p, actor, &shown, plan.as_str(), held).await?;
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
    let app = ops::apps::find_for(&p, &actor, &app, Permission::View).await?;
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
    let app = ops::apps::find_any(&p, &actor, &app, &WORK).await?;
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
    ops::addons::check_may_use(&p, &actor, &shown).await?;
    let secrets = ops::config::open_addon(&p, &shown.addon)?;
    Ok(Json(secrets.values.into_iter().map(|(name, value)| wire::AddonConfig { name, value: Some(value) }).collect()))
}

async fn resolve(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<wire::AddonResolve>,
) -> ApiResult<Json<Vec<wire::Addon>>> {
    let app = match &body.app {
        Some(app) => Some(ops::apps::find_for(&p, &actor, app, Permission::View).await?),
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
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
pub(super) struct AppQuery {
    /// The app that an attachment name belongs to.
    pub app: Option<String>,
}

/// The Redis add-on that a data API request means.
pub(super) async fn find_redis(
    p: &Platform,
    actor: &Actor,
    name: &str,
    Query(query): &Query<AppQuery>,
) -> ApiResult<Shown> {
    let app = match &query.app {
        Some(app) => Some(ops::apps::find_for(p, actor, app, Permission::View).await?),
        None => None,
    };
    let shown = ops::addons::find(p, actor, app.as_ref(), name).await?;
    if shown.addon.service != "redis" {
        return Err(ApiError::invalid(format!("{} is not a Redis add-on.", shown.addon.name)));
    }
    Ok(shown)
}
