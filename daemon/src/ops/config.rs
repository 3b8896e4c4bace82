//! Config vars: those that users set, and those that add-ons bring.

use std::collections::BTreeMap;

use paas_domain::name::{ConfigKey, check_config};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{Actor, Platform, apps::sentence, releases};
use crate::{
    addons::Secrets,
    error::{Error, Result},
    store::{Conn, addons, apps::App, config_vars, events::Event, releases::Release},
};

/// Config vars of an app or a release, by where they come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vars {
    /// Set by users.
    pub user: BTreeMap<String, String>,
    /// Brought by the add-ons attached.
    pub addons: BTreeMap<String, String>,
}

impl Vars {
    /// All together; an add-on's var hides a user's of the same name.
    pub fn merged(&self) -> BTreeMap<String, String> {
        let mut all = self.user.clone();
        all.extend(self.addons.iter().map(|(key, value)| (key.clone(), value.clone())));
        all
    }
}

/// Seals an add-on's secrets for its row.
pub fn seal_addon(p: &Platform, addon_id: Uuid, secrets: &Secrets) -> Result<Vec<u8>> {
    let text =
        serde_json::to_vec(secrets).map_err(|e| Error::internal("The add-on's settings could not be kept.", e))?;
    Ok(p.cx.sealer().seal(&format!("addon/{addon_id}"), &text))
}

/// Opens them.
pub fn open_addon(p: &Platform, addon: &addons::Addon) -> Result<Secrets> {
    let text =
        p.cx.sealer()
            .open(&format!("addon/{}", addon.id), &addon.config)
            .map_err(|e| Error::internal("The add-on's settings can't be read.", e))?;
    serde_json::from_slice(&text).map_err(|e| Error::internal("The add-on's settings can't be read.", e))
}

/// An app's config vars as they stand.
pub async fn vars(p: &Platform, c: &mut Conn, app_id: Uuid) -> Result<Vars> {
    let mut vars = Vars::default();
    for (key, sealed) in config_vars::list(c, app_id).await? {
        let value =
            p.cx.sealer()
                .open(&place(app_id, &key), &sealed)
                .map_err(|e| Error::internal("A config var can't be read.", e))?;
        vars.user.insert(key, String::from_utf8_lossy(&value).into_owned());
    }
    for attachment in addons::attachments_of_app(c, app_id).await? {
        let Some(addon) = addons::by_id(c, attachment.addon_id).await? else { continue };
        // What is on its way in has no values yet; what is on its way out has lost them.
        if addon.state == "provisioned" {
            vars.addons.extend(open_addon(p, &addon)?.vars(&attachment.name));
        }
    }
    Ok(vars)
}

/// All config vars of an app, as its dynos would get them.
pub async fn get(p: &Platform, app: &App) -> Result<BTreeMap<String, String>> {
    Ok(vars(p, &mut p.db.read().await?, app.id).await?.merged())
}

/// The config vars of a release.
pub fn of_release(p: &Platform, release: &Release) -> Result<Vars> {
    let text =
        p.cx.sealer()
            .open(&format!("release/{}", release.id), &release.config)
            .map_err(|e| Error::internal("The release's config vars can't be read.", e))?;
    serde_json::from_slice(&text).map_err(|e| Error::internal("The release's config vars can't be read.", e))
}

/// Seals the config vars of a release.
pub(super) fn seal_release(p: &Platform, release_id: Uuid, vars: &Vars) -> Result<Vec<u8>> {
    let text = serde_json::to_vec(vars).map_err(|e| Error::internal("The config vars could not be kept.", e))?;
    Ok(p.cx.sealer().seal(&format!("release/{release_id}"), &text))
}

/// Sets and unsets several in one release; `None` unsets. With `restart` false, dynos keep
/// what they have until they start anew. Where nothing changes, nothing is released.
pub async fn update(
    p: &Platform,
    actor: &Actor,
    app: &App,
    wanted: &BTreeMap<String, Option<String>>,
    restart: bool,
) -> Result<BTreeMap<String, String>> {
    for key in wanted.keys() {
        ConfigKey::parse(key).map_err(|e| Error::invalid(sentence(&e)))?;
    }
    if let Some(key) = wanted.iter().find_map(|(key, value)| value.as_ref().filter(|v| v.contains('\0')).map(|_| key)) {
        return Err(Error::invalid(format!("The value of {key} has a NUL byte, which no environment can carry.")));
    }
    let mut change = p.change(app.id).await?;
    let mut vars = vars(p, &mut change, app.id).await?;
    let before = bytes(&vars.merged());
    let (mut set, mut removed) = (Vec::new(), Vec::new());
    for (key, value) in wanted {
        if let Some(held) = vars.addons.get(key) {
            // Clients send back what they have read; only a change is refused.
            if value.as_ref() == Some(held) {
                continue;
            }
            return Err(Error::invalid(format!(
                "Cannot overwrite attachment values {key}: an add-on brings it. Detach the add-on first, or attach it under another name (addons:attach --as)."
            )));
        }
        match value {
            Some(value) if vars.user.get(key) != Some(value) => {
                vars.user.insert(key.clone(), value.clone());
                config_vars::set(&mut change, app.id, key, &p.cx.sealer().seal(&place(app.id, key), value.as_bytes()))
                    .await?;
                set.push(key.as_str());
            }
            None if vars.user.remove(key).is_some() => {
                config_vars::unset(&mut change, app.id, key).await?;
                removed.push(key.as_str());
            }
            Some(_) | None => {}
        }
    }
    let merged = vars.merged();
    if set.is_empty() && removed.is_empty() {
        return Ok(merged);
    }
    // What add-ons bring may have made it too large: getting smaller is never refused.
    if bytes(&merged) > before {
        check_config(merged.iter().map(|(key, value)| (key.as_str(), value.as_str())))
            .map_err(|e| Error::invalid(sentence(&e)))?;
    }
    let description = match (set.is_empty(), removed.is_empty()) {
        (false, true) => format!("Set {} config vars", set.join(", ")),
        (true, _) => format!("Remove {} config vars", removed.join(", ")),
        (false, false) => format!("Set {} and remove {} config vars", set.join(", "), removed.join(", ")),
    };
    let new = releases::New { restart, ..releases::New::keep(&description) };
    let release = releases::insert(p, &mut change, actor, new).await?;
    let event = json!({"set": set, "removed": removed, "release": release.version});
    p.commit(change, Event::new("config.update", actor.name(), event)).await?;
    p.tell(app.id, format!("{description} by user {}", actor.name()));
    p.tell(app.id, format!("Release v{} created by user {}", release.version, actor.name()));
    Ok(merged)
}

/// Replaces what users have set, inside a change: what a rollback returns to.
pub(super) async fn replace_user(
    p: &Platform,
    c: &mut Conn,
    app_id: Uuid,
    user: &BTreeMap<String, String>,
) -> Result<()> {
    config_vars::clear(c, app_id).await?;
    for (key, value) in user {
        config_vars::set(c, app_id, key, &p.cx.sealer().seal(&place(app_id, key), value.as_bytes())).await?;
    }
    Ok(())
}

/// Sets what is not set yet, inside a change: what buildpacks bring with the first release.
pub(super) async fn set_missing(
    p: &Platform,
    c: &mut Conn,
    app_id: Uuid,
    wanted: &BTreeMap<String, String>,
) -> Result<()> {
    let settable = |key: &str| ConfigKey::parse(key).is_ok();
    let wanted = wanted.iter().filter(|(key, _)| settable(key)).map(|(key, value)| (key.clone(), value.clone()));
    match add_missing(p, c, app_id, &wanted.collect()).await {
        Ok(_) => Ok(()),
        Err(Error::Invalid(why)) => {
            Err(Error::invalid(format!("The config vars that bin/release brings can't be set: {why}")))
        }
        Err(error) => Err(error),
    }
}

/// Sets what is not set yet, the platform's own variables too, inside a change. Gives the keys
/// that were not.
pub(super) async fn add_missing(
    p: &Platform,
    c: &mut Conn,
    app_id: Uuid,
    wanted: &BTreeMap<String, String>,
) -> Result<Vec<String>> {
    let have = vars(p, c, app_id).await?.merged();
    let missing: Vec<_> = wanted.iter().filter(|(key, _)| !have.contains_key(*key)).collect();
    let all = have.iter().chain(missing.iter().copied());
    check_config(all.map(|(key, value)| (key.as_str(), value.as_str()))).map_err(|e| Error::invalid(sentence(&e)))?;
    for (key, value) in &missing {
        config_vars::set(c, app_id, key, &p.cx.sealer().seal(&place(app_id, key), value.as_bytes())).await?;
    }
    Ok(missing.into_iter().map(|(key, _)| key.clone()).collect())
}

/// Bytes of all keys and values.
fn bytes(vars: &BTreeMap<String, String>) -> usize {
    vars.iter().map(|(key, value)| key.len() + value.len()).sum()
}

fn place(app_id: Uuid, key: &str) -> String {
    format!("config/{app_id}/{key}")
}
