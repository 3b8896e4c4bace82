//! `/redis/v0/databases`: the data API of the Redis add-on.
//!
//! Asked for by name, a Redis is shown with the address that its apps have, which counts within
//! their networks only. Asked for by id, as `heroku redis:cli` does, it is shown with one that
//! leads through this API over TLS: for one connection, within a minute.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use paas_wire::{self as wire, redis as redis_wire};
use serde_json::json;

use super::{
    addons::{AppQuery, find_redis},
    endpoints::Endpoints,
    error::{ApiError, ApiResult},
    extract::{Auth, Body, Path, Query},
    view,
};
use crate::{
    addons::{Secrets, redis},
    engine::Target,
    error::Error,
    ops::{self, Platform, addons::Shown},
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/redis/v0/databases/{addon}", info)
        .get("/redis/v0/databases/{addon}/wait", wait)
        .get("/redis/v0/databases/{addon}/config", config)
        .patch("/redis/v0/databases/{addon}/config", configure)
        .post("/redis/v0/databases/{addon}/credentials_rotation", rotate)
        .post("/redis/v0/databases/{addon}/stats/reset", reset_stats)
        .post("/redis/v0/databases/{addon}/upgrade", upgrade)
        .post("/redis/v0/databases/{addon}/cli", cli)
}

async fn info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(name): Path<String>,
    query: Query<AppQuery>,
) -> ApiResult<Json<redis_wire::RedisInfo>> {
    let shown = find_redis(&p, &actor, &name, &query).await?;
    let (provider, instance) = ops::addons::instance(&p, &shown.addon).await?;
    // Its address has its password in it.
    let may_use = ops::addons::check_may_use(&p, &actor, &shown).await.is_ok();
    let rows = if shown.addon.state == "provisioned" {
        provider.info(p.engine.as_ref(), &instance).await.map_err(crate::error::Error::from)?
    } else {
        vec![("Status".to_owned(), shown.addon.message.clone().unwrap_or_else(|| shown.addon.state.clone()))]
    };
    let version = rows.iter().find(|(name, _)| name == "Version").map(|(_, value)| value.clone()).unwrap_or_default();
    let inside = instance.secrets.values.get("URL").cloned().unwrap_or_default();
    let ready = shown.addon.state == "provisioned";
    let through =
        (ready && may_use && name == shown.addon.id.to_string()).then(|| through_api(&p, &shown, &instance.secrets));
    Ok(Json(redis_wire::RedisInfo {
        addon_id: shown.addon.id,
        created_at: shown.addon.created_at,
        formation: redis_wire::RedisFormation { id: shown.addon.id, primary: None },
        info: rows.into_iter().map(|(name, value)| redis_wire::RedisInfoRow { name, values: vec![value] }).collect(),
        metaas_source: shown.addon.name.clone(),
        name: shown.addon.name.clone(),
        plan: shown.plan.name.into(),
        port: through.as_deref().and_then(|url| url::Url::parse(url).ok()?.port()).unwrap_or(6379),
        prefer_native_tls: through.is_some(),
        resource_url: through.unwrap_or(if may_use { inside } else { String::new() }),
        version,
    }))
}

/// The address of a way through this API's TLS port: the password is the secret.
fn through_api(p: &Platform, shown: &Shown, secrets: &Secrets) -> String {
    let secret = p.attachments.offer(Target::Service(shown.addon.id), redis::carry(secrets), p.cx.now());
    let api = url::Url::parse(&p.cx.config().api_url()).ok();
    let host = api.as_ref().and_then(|api| api.host_str()).unwrap_or("localhost");
    let port = api.as_ref().and_then(url::Url::port_or_known_default).unwrap_or(443);
    format!("rediss://h:{secret}@{host}:{port}")
}

async fn wait(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(name): Path<String>,
    query: Query<AppQuery>,
) -> ApiResult<Json<redis_wire::RedisWait>> {
    let shown = find_redis(&p, &actor, &name, &query).await?;
    let waiting = shown.addon.state == "provisioning";
    let message = if waiting { shown.addon.message.unwrap_or_else(|| "being made".into()) } else { "available".into() };
    Ok(Json(redis_wire::RedisWait { message, waiting }))
}

fn config_view(p: &Platform, shown: &Shown) -> ApiResult<redis_wire::RedisConfig> {
    let secrets = ops::config::open_addon(p, &shown.addon)?;
    let setting = |desc: &str, value: serde_json::Value, default: serde_json::Value| redis_wire::RedisSetting {
        desc: desc.into(),
        value,
        default,
        values: Default::default(),
    };
    Ok(redis_wire::RedisConfig {
        maxmemory_policy: redis_wire::RedisSetting {
            values: wire::redis::MAXMEMORY_POLICIES.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            ..setting("What happens when the memory is used up", json!(redis::policy(&secrets)), json!("noeviction"))
        },
        notify_keyspace_events: setting(
            "Which events of keys are published",
            json!(redis::keyspace_events(&secrets)),
            json!(""),
        ),
        timeout: setting(
            "Seconds after which idle clients are cut off; 0: never",
            json!(redis::timeout(&secrets)),
            json!(300),
        ),
    })
}

async fn config(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(name): Path<String>,
    query: Query<AppQuery>,
) -> ApiResult<Json<redis_wire::RedisConfig>> {
    let shown = find_redis(&p, &actor, &name, &query).await?;
    Ok(Json(config_view(&p, &shown)?))
}

async fn configure(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(name): Path<String>,
    query: Query<AppQuery>,
    Body(body): Body<redis_wire::RedisConfigUpdate>,
) -> ApiResult<Json<redis_wire::RedisConfig>> {
    let shown = find_redis(&p, &actor, &name, &query).await?;
    let options: BTreeMap<String, String> = [
        ("maxmemory_policy", body.maxmemory_policy),
        ("notify_keyspace_events", body.notify_keyspace_events),
        ("timeout", body.timeout.map(|seconds| seconds.to_string())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect();
    let shown = ops::addons::configure(&p, &actor, &shown, &options).await?;
    Ok(Json(config_view(&p, &shown)?))
}

async fn rotate(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(name): Path<String>,
    query: Query<AppQuery>,
) -> ApiResult<Json<redis_wire::RedisMessage>> {
    let shown = find_redis(&p, &actor, &name, &query).await?;
    ops::addons::rotate(&p, &actor, &shown).await?;
    Ok(Json(redis_wire::RedisMessage { message: format!("Credentials of {} have been reset.", shown.addon.name) }))
}

/// Sets the counters of INFO back.
async fn reset_stats(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(name): Path<String>,
    query: Query<AppQuery>,
) -> ApiResult<Json<redis_wire::RedisMessage>> {
    let shown = find_redis(&p, &actor, &name, &query).await?;
    ops::addons::check_may_change(&p, &actor, &shown).await?;
    let (_, instance) = ops::addons::instance(&p, &shown.addon).await?;
    let said = redis::reset_stats(p.engine.as_ref(), &instance).await.map_err(Error::from)?;
    match said.as_deref().map(str::trim) {
        Some("OK") => {
            ops::addons::stats_reset(&p, &actor, &shown).await?;
            Ok(Json(redis_wire::RedisMessage {
                message: format!("The stats of {} have been reset.", shown.addon.name),
            }))
        }
        said => Err(Error::Unavailable(format!(
            "The stats of {} could not be reset: {}. Try again in a moment.",
            shown.addon.name,
            said.unwrap_or("it does not answer")
        ))
        .into()),
    }
}

/// Moves it to another version of Redis. There is one here, so this says what there is.
async fn upgrade(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(name): Path<String>,
    query: Query<AppQuery>,
    Body(body): Body<redis_wire::RedisUpgrade>,
) -> ApiResult<Json<redis_wire::RedisMessage>> {
    let shown = find_redis(&p, &actor, &name, &query).await?;
    ops::addons::check_may_change(&p, &actor, &shown).await?;
    let (has, wanted) = (redis::MAJOR, body.version.trim());
    let name = &shown.addon.name;
    if wanted == has || wanted.strip_prefix(has).is_some_and(|rest| rest.starts_with('.')) {
        return Ok(Json(redis_wire::RedisMessage { message: format!("{name} runs Redis {has} already.") }));
    }
    let shown: String = wanted.chars().filter(|c| !c.is_control()).take(20).collect();
    Err(ApiError::invalid(format!(
        "version: {name} can't be moved to Redis {shown:?}: this server has Redis {has} only, and {name} runs it."
    )))
}

/// Lets a `redis-cli` beside the server wait for its user: nothing is published, the stream
/// goes through this API.
async fn cli(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(name): Path<String>,
    query: Query<AppQuery>,
    Body(body): Body<redis_wire::RedisCliCreate>,
) -> ApiResult<Json<redis_wire::RedisCli>> {
    let shown = find_redis(&p, &actor, &name, &query).await?;
    ops::addons::check_may_use(&p, &actor, &shown).await?;
    if shown.addon.state != "provisioned" {
        return Err(ApiError::invalid(format!("{} is not ready yet: {}.", shown.addon.name, shown.addon.state)));
    }
    if body.args.iter().any(|argument| argument.contains('\0')) || body.args.len() > 1000 {
        return Err(ApiError::invalid("args: at most 1000 arguments, none with a NUL byte."));
    }
    if let Some(option) = body.args.iter().find(|argument| redis::WRITES.contains(&argument.as_str())) {
        return Err(ApiError::invalid(format!(
            "args: {option} would write a file beside the server, where there is no room for it. Read keys with --scan and DUMP instead."
        )));
    }
    let secrets = ops::config::open_addon(&p, &shown.addon)?;
    let arguments: Vec<&str> = body.args.iter().map(String::as_str).collect();
    let mut spec = redis::cli(&secrets, &arguments, !body.force_no_tty.unwrap_or(false));
    spec.size = body.columns.zip(body.lines);
    let secret = p.attachments.offer(Target::Service(shown.addon.id), spec, p.cx.now());
    Ok(Json(redis_wire::RedisCli { attach_url: view::attach_url(p.cx.config(), &secret) }))
}
