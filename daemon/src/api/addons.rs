//! Add-ons, their services and plans.

use axum::{Json, extract::State, http::HeaderMap};
use paas_wire as wire;
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::broadcast;
use uuid::Uuid;

use super::{
    endpoints::{Created, Endpoints, Page},
    error::{ApiError, ApiResult},
    expand::{self, Expand},
    extract::{Auth, Body, Path, Query},
    list::list,
};
use crate::{
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
        .patch("/addons/{addon}/config", set_addon_config)
        .post("/addons/{addon}/actions/provision", provision)
        .post("/addons/{addon}/actions/deprovision", deprovision)
        .get("/users/{id}/addons", index_of_user)
        .get("/apps/{app}/addons", index)
        .post("/apps/{app}/addons", create)
        .get("/apps/{app}/addons/{addon}", info)
        .patch("/apps/{app}/addons/{addon}", update)
        .delete("/apps/{app}/addons/{addon}", destroy)
        .get("/apps/{app}/addons/{addon}/sso", sso)
        .post("/actions/addons/resolve", resolve)
}

async fn all(State(p): State<Platform>, Auth(actor): Auth, headers: HeaderMap) -> ApiResult<Page<wire::Addon>> {
    let expand = Expand::asked(&headers);
    let items = ops::addons::list_all(&p, &actor).await?.iter().map(|shown| expand::addon(shown, expand)).collect();
    Ok(list(&headers, "id", items, |item: &wire::Addon| item.id.to_string()))
}

async fn index(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Addon>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::View).await?;
    let expand = Expand::asked(&headers);
    let items = ops::addons::list(&p, &app).await?.iter().map(|shown| expand::addon(shown, expand)).collect();
    Ok(list(&headers, "id", items, |item: &wire::Addon| item.id.to_string()))
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
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
    let made = ops::addons::create(&p, &actor, &app, new).await?;
    let shown = match settled(&p, wakes, made.addon.id).await? {
        Some(row) => ops::addons::show(&p, row).await?,
        None => made,
    };
    Ok(Created(expand::addon(&shown, Expand::asked(&headers))))
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
    headers: HeaderMap,
) -> ApiResult<Json<wire::Addon>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::View).await?;
    let shown = ops::addons::find(&p, &actor, Some(&app), &addon).await?;
    Ok(Json(expand::addon(&shown, Expand::asked(&headers))))
}

async fn info_anywhere(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(addon): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Json<wire::Addon>> {
    let shown = ops::addons::find(&p, &actor, None, &addon).await?;
    Ok(Json(expand::addon(&shown, Expand::asked(&headers))))
}

async fn change(p: &Platform, actor: &Actor, shown: Shown, body: wire::AddonUpdate) -> ApiResult<Shown> {
    ops::addons::check_may_change(p, actor, &shown).await?;
    if body.plan.is_none() && body.name.is_none() {
        return Err(ApiError::invalid("plan: give the new plan, or name: the new name."));
    }
    let plan = body.plan.as_ref().map(wire::Identity::as_str);
    let mut held = None;
    if plan.is_some() {
        let (provider, instance) = ops::addons::instance(p, &shown.addon).await?;
        // One that can't be asked tells nothing.
        held = provider.held(p.engine.as_ref(), &instance).await.unwrap_or_default();
    }
    let changes = ops::addons::Changes { plan, held, name: body.name.as_deref() };
    Ok(ops::addons::change(p, actor, &shown, changes).await?)
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, addon)): Path<(String, String)>,
    headers: HeaderMap,
    Body(body): Body<wire::AddonUpdate>,
) -> ApiResult<Json<wire::Addon>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::View).await?;
    let shown = ops::addons::find(&p, &actor, Some(&app), &addon).await?;
    let shown = change(&p, &actor, shown, body).await?;
    Ok(Json(expand::addon(&shown, Expand::asked(&headers))))
}

async fn update_anywhere(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(addon): Path<String>,
    headers: HeaderMap,
    Body(body): Body<wire::AddonUpdate>,
) -> ApiResult<Json<wire::Addon>> {
    let shown = ops::addons::find(&p, &actor, None, &addon).await?;
    let shown = change(&p, &actor, shown, body).await?;
    Ok(Json(expand::addon(&shown, Expand::asked(&headers))))
}

async fn destroy(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, addon)): Path<(String, String)>,
    headers: HeaderMap,
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
    let gone = ops::addons::destroy(&p, &actor, &shown, body.force.unwrap_or(false)).await?;
    Ok(Json(expand::addon(&gone, Expand::asked(&headers))))
}

/// The add-ons of the apps that one owns.
async fn index_of_user(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Addon>> {
    if id != "~" && id != actor.user.id.to_string() && !id.eq_ignore_ascii_case(&actor.user.email) {
        return Err(Error::not_found("user", id).into());
    }
    let expand = Expand::asked(&headers);
    let all = ops::addons::list_all(&p, &actor).await?;
    let own = all.iter().filter(|shown| shown.app.team_id.is_none() && shown.app.owner_id == actor.user.id);
    let items = own.map(|shown| expand::addon(shown, expand)).collect();
    Ok(list(&headers, "id", items, |item: &wire::Addon| item.id.to_string()))
}

/// Sees to it that an add-on is made: the platform does that by itself, so this waits for it.
async fn provision(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(addon): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Json<wire::Addon>> {
    let shown = ops::addons::find(&p, &actor, None, &addon).await?;
    ops::addons::check_may_change(&p, &actor, &shown).await?;
    let row = settled(&p, p.db.wakes(), shown.addon.id).await?;
    let row = row.ok_or_else(|| Error::not_found("add_on", addon))?;
    Ok(Json(expand::addon(&ops::addons::show(&p, row).await?, Expand::asked(&headers))))
}

/// Destroys an add-on that no other app uses.
async fn deprovision(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(addon): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Json<wire::Addon>> {
    let shown = ops::addons::find(&p, &actor, None, &addon).await?;
    let gone = ops::addons::destroy(&p, &actor, &shown, false).await?;
    Ok(Json(expand::addon(&gone, Expand::asked(&headers))))
}

/// The way to an add-on's page without logging in there.
async fn sso(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, addon)): Path<(String, String)>,
) -> ApiResult<Json<wire::addon::AddonSso>> {
    let app = ops::apps::find(&p, &actor, &app).await?;
    let shown = ops::addons::find(&p, &actor, Some(&app), &addon).await?;
    let action = super::addon_page::sign(&p, &shown);
    Ok(Json(wire::addon::AddonSso { action, method: "get".into(), params: BTreeMap::new() }))
}

fn config_view(p: &Platform, shown: &Shown) -> ApiResult<Vec<wire::AddonConfig>> {
    let secrets = ops::config::open_addon(p, &shown.addon)?;
    let options = shown.provider.options(&secrets);
    let all = secrets.values.into_iter().chain(options);
    Ok(all.map(|(name, value)| wire::AddonConfig { name, value: Some(value) }).collect())
}

/// What an add-on gives to its apps, and its options.
async fn addon_config(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(addon): Path<String>,
) -> ApiResult<Json<Vec<wire::AddonConfig>>> {
    let shown = ops::addons::find(&p, &actor, None, &addon).await?;
    ops::addons::check_may_use(&p, &actor, &shown).await?;
    Ok(Json(config_view(&p, &shown)?))
}

/// Sets options. What an add-on gives to its apps is its own to say.
async fn set_addon_config(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(addon): Path<String>,
    Body(body): Body<wire::AddonConfigUpdate>,
) -> ApiResult<Json<Vec<wire::AddonConfig>>> {
    let shown = ops::addons::find(&p, &actor, None, &addon).await?;
    ops::addons::check_may_change(&p, &actor, &shown).await?;
    let now = config_view(&p, &shown)?;
    let given = ops::config::open_addon(&p, &shown.addon)?.values;
    let mut options = BTreeMap::new();
    for wire::AddonConfig { name, value } in body.config {
        if now.iter().any(|item| item.name == name && item.value == value) {
            continue;
        }
        if given.contains_key(&name) {
            return Err(ApiError::invalid(format!(
                "config: {name} is given by {} and can't be set; reset its credentials for another.",
                shown.addon.name
            )));
        }
        options.insert(name, value.unwrap_or_default());
    }
    if options.is_empty() {
        return Ok(Json(now));
    }
    let shown = ops::addons::configure(&p, &actor, &shown, &options).await?;
    Ok(Json(config_view(&p, &shown)?))
}

async fn resolve(
    State(p): State<Platform>,
    Auth(actor): Auth,
    headers: HeaderMap,
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
    let expand = Expand::asked(&headers);
    Ok(Json(found.iter().map(|shown| expand::addon(shown, expand)).collect()))
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
