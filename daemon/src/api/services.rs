//! `/addon-services` and `/plans`: what add-ons there can be, and where.
//!
//! A service answers to its own name and to those by which Heroku's clients know it
//! (`heroku-redis`): asked for by one of them it is shown under it, and so is an add-on that
//! was made by it.

use axum::{Json, extract::State, http::HeaderMap};
use paas_wire as wire;

use super::{
    endpoints::{Endpoints, Page},
    error::ApiResult,
    extract::{Auth, Path},
    list::list,
    regions, view,
};
use crate::{
    addons::{Plan, Service},
    error::Error,
    ops::{self, Platform},
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/addon-services", services)
        .get("/addon-services/{service}", service)
        .get("/addon-services/{service}/plans", plans)
        .get("/addon-services/{service}/plans/{plan}", plan)
        .get("/addon-services/{service}/region-capabilities", capabilities_of)
        .get("/plans/{plan}", plan_by_name)
        .get("/addon-region-capabilities", capabilities)
        .get("/regions/{region}/addon-region-capabilities", capabilities_in)
}

fn long_ago() -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::UNIX_EPOCH
}

/// A service under one of its names.
pub(super) fn service_view(service: &Service, name: &str) -> wire::AddonService {
    let human = service.human_name;
    wire::AddonService {
        cli_plugin_name: None,
        created_at: long_ago(),
        human_name: if name == service.name { human.into() } else { format!("{human} ({})", service.name) },
        id: view::id_of("addon-service", name),
        name: name.into(),
        state: "ga".into(),
        supported_generations: vec![view::named("generation", "cedar")],
        supports_multiple_installations: true,
        supports_sharing: true,
        updated_at: long_ago(),
    }
}

/// A plan of a service under one of its names.
pub(super) fn plan_view(service: &Service, service_name: &str, plan: &Plan) -> wire::Plan {
    let name = format!("{service_name}:{}", plan.name);
    let shown = service_view(service, service_name);
    wire::Plan {
        addon_service: wire::addon_service::AddonServiceRef {
            id: shown.id,
            name: shown.name,
            human_name: Some(shown.human_name),
            rest: None,
        },
        compliance: None,
        created_at: long_ago(),
        default: plan.name == service.default_plan_of(service_name),
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

/// Every service under every name, its own name first.
fn all(p: &Platform) -> Vec<(&'static Service, &'static str)> {
    let services = p.catalog.all().iter().map(|provider| provider.service());
    services.flat_map(|service| service.names().map(move |name| (service, name))).collect()
}

/// A service by any of its names, or the id of one.
fn find(p: &Platform, asked: &str) -> ApiResult<(&'static Service, &'static str)> {
    let is_it = |name: &str| name == asked || view::id_of("addon-service", name).to_string() == asked;
    match all(p).into_iter().find(|(_, name)| is_it(name)) {
        Some(found) => Ok(found),
        None => Err(ops::addons::resolve_plan(p, asked)
            .err()
            .unwrap_or_else(|| Error::not_found("addon_service", asked))
            .into()),
    }
}

async fn services(State(p): State<Platform>, Auth(_): Auth, headers: HeaderMap) -> ApiResult<Page<wire::AddonService>> {
    let items = all(&p).into_iter().map(|(service, name)| service_view(service, name)).collect();
    Ok(list(&headers, "name", items, |item: &wire::AddonService| item.name.clone()))
}

async fn service(
    State(p): State<Platform>,
    Auth(_): Auth,
    Path(name): Path<String>,
) -> ApiResult<Json<wire::AddonService>> {
    let (service, name) = find(&p, &name)?;
    Ok(Json(service_view(service, name)))
}

async fn plans(
    State(p): State<Platform>,
    Auth(_): Auth,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Plan>> {
    let (service, name) = find(&p, &name)?;
    let items = service.plans.iter().map(|plan| plan_view(service, name, plan)).collect();
    Ok(list(&headers, "name", items, |item: &wire::Plan| item.name.clone()))
}

/// A plan of a service: by id, `PLAN`, or `SERVICE:PLAN`.
fn plan_of(p: &Platform, (service, name): (&'static Service, &'static str), asked: &str) -> ApiResult<wire::Plan> {
    let by_id = service.plans.iter().find(|plan| plan_view(service, name, plan).id.to_string() == asked);
    if let Some(plan) = by_id {
        return Ok(plan_view(service, name, plan));
    }
    let (named, short) = asked.split_once(':').unwrap_or((name, asked));
    if !service.names().any(|name| name == named) {
        return Err(Error::not_found("plan", asked).into());
    }
    let (_, plan) = ops::addons::resolve_plan(p, &format!("{name}:{short}"))?;
    Ok(plan_view(service, name, plan))
}

async fn plan(
    State(p): State<Platform>,
    Auth(_): Auth,
    Path((service, plan)): Path<(String, String)>,
) -> ApiResult<Json<wire::Plan>> {
    Ok(Json(plan_of(&p, find(&p, &service)?, &plan)?))
}

async fn plan_by_name(
    State(p): State<Platform>,
    Auth(_): Auth,
    Path(plan): Path<String>,
) -> ApiResult<Json<wire::Plan>> {
    let plan = ops::addons::plan_of_id(&p, &plan).unwrap_or(plan);
    if let Some((service, short)) = plan.split_once(':') {
        return Ok(Json(plan_of(&p, find(&p, service)?, short)?));
    }
    // The name of a service stands for its default plan.
    let (service, name) = find(&p, &plan)?;
    Ok(Json(plan_of(&p, (service, name), service.default_plan_of(name))?))
}

fn capability(service: &Service, name: &str) -> wire::AddonRegionCapability {
    wire::AddonRegionCapability {
        addon_service: service_view(service, name),
        id: view::id_of("addon-region-capability", name),
        region: regions::here(),
        // Every app's network is its own.
        supports_private_networking: true,
    }
}

fn page(headers: &HeaderMap, services: Vec<(&'static Service, &'static str)>) -> Page<wire::AddonRegionCapability> {
    let items = services.into_iter().map(|(service, name)| capability(service, name)).collect();
    list(headers, "id", items, |item: &wire::AddonRegionCapability| item.id.to_string())
}

async fn capabilities(
    State(p): State<Platform>,
    Auth(_): Auth,
    headers: HeaderMap,
) -> ApiResult<Page<wire::AddonRegionCapability>> {
    Ok(page(&headers, all(&p)))
}

async fn capabilities_of(
    State(p): State<Platform>,
    Auth(_): Auth,
    Path(service): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::AddonRegionCapability>> {
    Ok(page(&headers, vec![find(&p, &service)?]))
}

async fn capabilities_in(
    State(p): State<Platform>,
    Auth(_): Auth,
    Path(region): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::AddonRegionCapability>> {
    regions::find(&region)?;
    Ok(page(&headers, all(&p)))
}
