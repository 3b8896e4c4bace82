//! `/teams`: teams, their features and preferences, and what is never there on a server of
//! one's own: bills, spaces and identity providers.

use axum::{Json, extract::State, http::HeaderMap};
use paas_wire as wire;

use super::{
    endpoints::{Created, Endpoints, Page},
    error::ApiResult,
    extract::{Auth, Body, Path},
    list::list,
    view,
};
use crate::{
    error::Error,
    ops::{
        self, Platform,
        access::Role,
        teams::{self, Seen},
    },
    store::teams::AllowedService,
};

/// What is on or off for every team here: its name, its name for people, whether it is on, and what it is.
const FEATURES: [(&str, &str, bool, &str); 2] = [
    ("org-access-controls", "Access controls", true, "Permissions on apps are granted one by one."),
    (
        "team-invite-acceptance",
        "Invitations",
        false,
        "Members who have an account are asked before they are in. Here they are in at once; invitations are for people without an account.",
    ),
];

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/teams", index)
        .post("/teams", create)
        .get("/teams/{team}", info)
        .patch("/teams/{team}", update)
        .delete("/teams/{team}", destroy)
        .get("/teams/{team}/features", features)
        .get("/teams/{team}/features/{feature}", feature)
        .get("/teams/{team}/preferences", preferences)
        .patch("/teams/{team}/preferences", set_preferences)
        .get("/teams/{team}/permissions", permissions)
        .get("/teams/{team}/allowed-addon-services", services)
        .post("/teams/{team}/allowed-addon-services", allow)
        .delete("/teams/{team}/allowed-addon-services/{service}", forbid)
        .get("/teams/{team}/delinquency", delinquency)
        .get("/teams/{team}/invoices", nothing_for_admins)
        .get("/teams/{team}/invoices/{invoice}", no_invoice)
        .get("/teams/{team}/usage/daily", no_daily_usage)
        .get("/teams/{team}/usage/monthly", no_monthly_usage)
        .get("/teams/{team}/spaces", no_spaces)
        .get("/teams/{team}/identity-providers", no_providers)
}

fn show(seen: &Seen) -> wire::Team {
    let team = &seen.team;
    wire::Team {
        created_at: team.created_at,
        credit_card_collections: false,
        default: seen.default,
        enterprise_account: None,
        id: team.id,
        identity_provider: None,
        membership_limit: None,
        name: team.name.clone(),
        provisioned_licenses: false,
        role: Some(seen.role.name().into()),
        kind: "team".into(),
        updated_at: team.updated_at,
    }
}

async fn index(State(p): State<Platform>, Auth(actor): Auth, headers: HeaderMap) -> ApiResult<Page<wire::Team>> {
    let items = teams::list(&p, &actor).await?.iter().map(show).collect();
    Ok(list(&headers, "name", items, |item: &wire::Team| item.name.clone()))
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<wire::TeamCreate>,
) -> ApiResult<Created<wire::Team>> {
    Ok(Created(show(&teams::create(&p, &actor, &body.name).await?)))
}

async fn info(State(p): State<Platform>, Auth(actor): Auth, Path(team): Path<String>) -> ApiResult<Json<wire::Team>> {
    Ok(Json(show(&teams::find(&p, &actor, &team).await?)))
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(team): Path<String>,
    Body(body): Body<wire::TeamUpdate>,
) -> ApiResult<Json<wire::Team>> {
    Ok(Json(show(&teams::update(&p, &actor, &team, body.name.as_deref(), body.default).await?)))
}

async fn destroy(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(team): Path<String>,
) -> ApiResult<Json<wire::Team>> {
    Ok(Json(show(&teams::destroy(&p, &actor, &team).await?)))
}

fn features_of(seen: &Seen) -> impl Iterator<Item = wire::TeamFeature> + use<'_> {
    FEATURES.into_iter().map(|(name, display_name, enabled, description)| wire::TeamFeature {
        created_at: seen.team.created_at,
        description: description.into(),
        display_name: display_name.into(),
        doc_url: String::new(),
        enabled,
        feedback_email: String::new(),
        id: view::id_of("team-feature", name),
        name: name.into(),
        state: "general".into(),
        updated_at: seen.team.created_at,
    })
}

async fn features(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(team): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::TeamFeature>> {
    let seen = teams::find(&p, &actor, &team).await?;
    Ok(list(&headers, "name", features_of(&seen).collect(), |item: &wire::TeamFeature| item.name.clone()))
}

async fn feature(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((team, name)): Path<(String, String)>,
) -> ApiResult<Json<wire::TeamFeature>> {
    let seen = teams::find(&p, &actor, &team).await?;
    let found = features_of(&seen).find(|feature| feature.name == name || feature.id.to_string() == name);
    Ok(Json(found.ok_or_else(|| Error::not_found("team_feature", name))?))
}

fn preferences_of(team: &crate::store::teams::Team) -> wire::TeamPreferences {
    wire::TeamPreferences { default_permission: None, addons_controls: Some(team.addons_controls) }
}

async fn preferences(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(team): Path<String>,
) -> ApiResult<Json<wire::TeamPreferences>> {
    Ok(Json(preferences_of(&teams::find(&p, &actor, &team).await?.team)))
}

async fn set_preferences(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(team): Path<String>,
    Body(body): Body<wire::team::TeamPreferencesUpdate>,
) -> ApiResult<Json<wire::TeamPreferences>> {
    let team = match body.addons_controls {
        Some(on) => teams::set_addons_controls(&p, &actor, &team, on).await?,
        None => teams::find_as(&p, &actor, &team, &[Role::Admin]).await?.team,
    };
    Ok(Json(preferences_of(&team)))
}

async fn permissions(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(team): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::team::PermissionEntity>> {
    let seen = teams::find_as(&p, &actor, &team, &[Role::Admin, Role::Member]).await?;
    let entity = |(app, users): ops::teams::Permitted| wire::team::PermissionEntity {
        id: app.id,
        name: app.name,
        team_id: seen.team.id,
        kind: "app".into(),
        users: users
            .into_iter()
            .map(|(user, permissions)| wire::team::PermittedUser {
                email: user.email,
                id: user.id,
                permissions: permissions.into_iter().map(|permission| permission.name().into()).collect(),
            })
            .collect(),
    };
    let items = teams::permissions(&p, &seen).await?.into_iter().map(entity).collect();
    Ok(list(&headers, "name", items, |item: &wire::team::PermissionEntity| item.name.clone()))
}

fn service_view(p: &Platform, row: AllowedService) -> wire::team::AllowedAddonService {
    let human = p.catalog.find(&row.service).map_or(row.service.as_str(), |(found, _)| found.service().human_name);
    wire::team::AllowedAddonService {
        added_at: row.added_at,
        added_by: wire::UserRef { id: row.added_by_id, email: row.added_by.clone() },
        addon_service: wire::addon_service::AddonServiceRef {
            id: view::id_of("addon-service", &row.service),
            human_name: Some(human.into()),
            rest: None,
            name: row.service,
        },
        id: row.id,
    }
}

async fn services(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(team): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::team::AllowedAddonService>> {
    let seen = teams::find(&p, &actor, &team).await?;
    let items = teams::services(&p, &seen).await?.into_iter().map(|row| service_view(&p, row)).collect();
    Ok(list(&headers, "name", items, |item: &wire::team::AllowedAddonService| item.addon_service.name.clone()))
}

async fn allow(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(team): Path<String>,
    Body(body): Body<wire::team::AllowedAddonServiceCreate>,
) -> ApiResult<Created<Vec<wire::team::AllowedAddonService>>> {
    let seen = teams::find(&p, &actor, &team).await?;
    let wanted = body.addon_service.as_str();
    let known = p.catalog.all().iter().map(|provider| provider.service().name);
    let named = known.into_iter().find(|name| view::id_of("addon-service", name).to_string() == wanted);
    let (provider, _) = ops::addons::resolve_plan(&p, named.unwrap_or(wanted))?;
    let all = teams::allow_service(&p, &actor, &seen, provider.service().name).await?;
    Ok(Created(all.into_iter().map(|row| service_view(&p, row)).collect()))
}

async fn forbid(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((team, service)): Path<(String, String)>,
) -> ApiResult<Json<wire::team::AllowedAddonService>> {
    let seen = teams::find(&p, &actor, &team).await?;
    let row = teams::forbid_service(&p, &seen, &service).await?;
    Ok(Json(service_view(&p, row)))
}

async fn delinquency(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(team): Path<String>,
) -> ApiResult<Json<wire::team::TeamDelinquency>> {
    teams::find(&p, &actor, &team).await?;
    Ok(Json(wire::team::TeamDelinquency::default()))
}

/// There are no bills here: an empty list, for those who would see them.
async fn nothing_for_admins(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(team): Path<String>,
) -> ApiResult<Json<Vec<serde_json::Value>>> {
    teams::find_as(&p, &actor, &team, &[Role::Admin]).await?;
    Ok(Json(Vec::new()))
}

async fn no_invoice(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((team, invoice)): Path<(String, String)>,
) -> ApiResult<Json<serde_json::Value>> {
    teams::find_as(&p, &actor, &team, &[Role::Admin]).await?;
    Err(Error::not_found("invoice", invoice).into())
}

async fn no_daily_usage(
    state: State<Platform>,
    auth: Auth,
    team: Path<String>,
) -> ApiResult<Json<Vec<serde_json::Value>>> {
    nothing_for_admins(state, auth, team).await
}

async fn no_monthly_usage(
    state: State<Platform>,
    auth: Auth,
    team: Path<String>,
) -> ApiResult<Json<Vec<serde_json::Value>>> {
    nothing_for_admins(state, auth, team).await
}

async fn nothing(p: &Platform, actor: &ops::Actor, team: &str) -> ApiResult<Json<Vec<serde_json::Value>>> {
    teams::find(p, actor, team).await?;
    Ok(Json(Vec::new()))
}

async fn no_spaces(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(team): Path<String>,
) -> ApiResult<Json<Vec<serde_json::Value>>> {
    nothing(&p, &actor, &team).await
}

async fn no_providers(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(team): Path<String>,
) -> ApiResult<Json<Vec<serde_json::Value>>> {
    nothing(&p, &actor, &team).await
}
