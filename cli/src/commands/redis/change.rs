//! Commands that change a Redis.

use paas_wire::redis::{RedisConfig, RedisConfigUpdate, RedisMessage, RedisUpgrade};
use paas_wire::{AddonAttachment, AttachmentCreate, Identity};
use reqwest::Method;

use super::Found;
use crate::client::Client;
use crate::progress::Action;
use crate::{confirm, output};

async fn set(client: &Client, found: &Found, body: &RedisConfigUpdate) -> anyhow::Result<RedisConfig> {
    client.send_json(Method::PATCH, &found.path("/config"), body).await
}

/// `redis:maxmemory`
pub(super) async fn maxmemory(client: &Client, found: &Found, policy: String) -> anyhow::Result<()> {
    let action = Action::start(format!("Setting the policy of {} to {policy}", found.name));
    let body = RedisConfigUpdate { maxmemory_policy: Some(policy), ..RedisConfigUpdate::default() };
    let config = set(client, found, &body).await?;
    action.done();
    let setting = config.maxmemory_policy;
    let value = setting.value.as_str().unwrap_or_default();
    let meaning = setting.values.get(value).map(String::as_str).unwrap_or_default();
    output::line(format_args!("{value}: {meaning}"));
    Ok(())
}

/// `redis:timeout`
pub(super) async fn timeout(client: &Client, found: &Found, seconds: u64) -> anyhow::Result<()> {
    let action = Action::start(format!("Setting the time-out of {} to {seconds} s", found.name));
    set(client, found, &RedisConfigUpdate { timeout: Some(seconds), ..RedisConfigUpdate::default() }).await?;
    action.done();
    output::line(match seconds {
        0 => "Clients may be idle for as long as they like.".to_owned(),
        seconds => format!("A client that is idle for {seconds} s is cut off."),
    });
    Ok(())
}

/// `redis:keyspace-notifications`
pub(super) async fn keyspace_notifications(client: &Client, found: &Found, events: String) -> anyhow::Result<()> {
    let action = Action::start(format!("Setting the keyspace notifications of {} to '{events}'", found.name));
    let body = RedisConfigUpdate { notify_keyspace_events: Some(events), ..RedisConfigUpdate::default() };
    set(client, found, &body).await?;
    action.done();
    Ok(())
}

/// `redis:stats-reset`
pub(super) async fn stats_reset(
    client: &Client,
    app: &str,
    found: &Found,
    confirmed: Option<&str>,
) -> anyhow::Result<()> {
    confirm::destruction(&format!("This sets the counters of {} back to zero.", found.name), app, confirmed)?;
    let action = Action::start(format!("Resetting the stats of {}", found.name));
    let answer: RedisMessage = client.send_empty(Method::POST, &found.path("/stats/reset")).await?;
    action.done();
    output::line(answer.message);
    Ok(())
}

/// `redis:upgrade`
pub(super) async fn upgrade(
    client: &Client,
    app: &str,
    found: &Found,
    version: String,
    confirmed: Option<&str>,
) -> anyhow::Result<()> {
    let what = format!("This moves {} to Redis {version}; there is no way back.", found.name);
    confirm::destruction(&what, app, confirmed)?;
    let action = Action::start(format!("Upgrading {} to {version}", found.name));
    let answer: RedisMessage =
        client.send_json(Method::POST, &found.path("/upgrade"), &RedisUpgrade { version }).await?;
    action.done();
    output::line(answer.message);
    Ok(())
}

/// `redis:promote`
pub(super) async fn promote(client: &Client, app: &str, found: &Found, name: String) -> anyhow::Result<()> {
    let action = Action::start(format!("Promoting {} to {name}_URL on {}", found.name, output::app(app)));
    let body = AttachmentCreate {
        addon: Identity(found.name.clone()),
        app: Identity(app.to_owned()),
        confirm: Some(app.to_owned()),
        name: Some(name),
        namespace: None,
    };
    client.send_json::<_, AddonAttachment>(Method::POST, "/addon-attachments", &body).await?;
    action.done();
    Ok(())
}
