//! What app.json says about an app, brought to it before its first build: stack, config vars,
//! buildpacks. Each is safe to repeat.

use std::collections::{BTreeMap, BTreeSet};

use paas_domain::{manifest::Manifest, name::ConfigKey};
use serde_json::json;

use super::{Overrides, TEST};
use crate::{
    context::new_id,
    error::{Error, Result},
    ops::{Actor, Platform, addons, apps, builds, config, releases},
    store::{
        app_setups::AppSetup,
        apps::App,
        events::Event,
        formations::{self, Formation},
    },
};

/// What can't be done of it, before anything is.
pub(super) fn problems(p: &Platform, manifest: &Manifest, overrides: &Overrides) -> Vec<String> {
    let mut errors = Vec::new();
    for key in manifest.env_with(&given(overrides)).missing {
        if !is_platform(&key) {
            errors.push(format!("env.{key}: the app needs a value for it. Give one with overrides.env."));
        }
    }
    let mut names = BTreeSet::new();
    for (index, addon) in manifest.addons.iter().enumerate() {
        match addons::resolve_plan(p, &addon.plan) {
            Ok((provider, _)) => {
                let name =
                    addons::attachment_name(addon.attachment.as_deref().unwrap_or(provider.service().attachment));
                // A second one without a name of its own gets a free one.
                if !names.insert(name.clone()) && addon.attachment.is_some() {
                    errors.push(format!("addons[{index}].as: {name} is the name of another add-on."));
                }
            }
            Err(error) => errors.push(format!("addons[{index}]: {error}")),
        }
    }
    if overrides.buildpacks.is_none() {
        let packs: Vec<String> = manifest.buildpacks.iter().map(|pack| pack.url.clone()).collect();
        errors.extend(builds::check_packs(&packs).err().map(|error| format!("buildpacks: {error}")));
    }
    let most = p.cx.config().max_dynos;
    for (kind, wanted) in &manifest.formation {
        if wanted.quantity > most {
            errors.push(format!("formation.{kind}.quantity: at most {most} dynos of a type are allowed here."));
        }
    }
    errors
}

fn given(overrides: &Overrides) -> BTreeMap<String, String> {
    let mut all = overrides.env.clone();
    all.extend(overrides.platform.clone());
    all
}

/// Whether the platform gives a variable to every dyno, or to nobody.
fn is_platform(key: &str) -> bool {
    ConfigKey::parse(key).is_err()
}

/// Brings it to the app.
pub(super) async fn configure(
    p: &Platform,
    actor: &Actor,
    app: &App,
    setup: &AppSetup,
    manifest: &Manifest,
    overrides: &Overrides,
) -> Result<()> {
    stack(p, actor, app, manifest).await?;
    let packs: Vec<String> = match &overrides.buildpacks {
        Some(packs) => packs.clone(),
        None => manifest.buildpacks.iter().map(|pack| pack.url.clone()).collect(),
    };
    if !packs.is_empty() {
        builds::set_buildpacks(p, actor, app, &packs).await?;
    }
    if setup.environment.as_deref() == Some(TEST) {
        nobody_serves(p, app).await?;
    }
    vars(p, actor, app, manifest, overrides).await
}

/// The stack that app.json asks for, where the server has it: names of Heroku's that it has not
/// are in many files.
async fn stack(p: &Platform, actor: &Actor, app: &App, manifest: &Manifest) -> Result<()> {
    let Some(wanted) = manifest.stack.as_deref().filter(|wanted| *wanted != app.build_stack) else { return Ok(()) };
    if wanted == "heroku-24" || wanted == p.cx.config().stack {
        let changes = apps::Changes { build_stack: Some(wanted.to_owned()), ..apps::Changes::default() };
        apps::update(p, actor, app, changes).await?;
    } else {
        p.tell(app.id, format!("app.json asks for the stack {wanted}, which is not here: {} is used", app.build_stack));
    }
    Ok(())
}

/// An app for tests serves nobody: no `web` of its own accord.
async fn nobody_serves(p: &Platform, app: &App) -> Result<()> {
    let now = p.cx.now();
    let mut change = p.change(app.id).await?;
    if !formations::list(&mut change, app.id).await?.is_empty() {
        return Ok(());
    }
    let row = Formation {
        id: new_id(),
        app_id: app.id,
        process_type: "web".into(),
        quantity: 0,
        size: paas_domain::size::Size::default().name().to_lowercase(),
        strategy: None,
        epoch: 0,
        created_at: now,
        updated_at: now,
    };
    formations::put(&mut change, &row).await?;
    p.commit(change, Event::new("formation.update", "paas", json!({"formation": ["web@0"]}))).await
}

/// The config vars, in one release. What is set already stays: a secret is made once.
async fn vars(p: &Platform, actor: &Actor, app: &App, manifest: &Manifest, overrides: &Overrides) -> Result<()> {
    let env = manifest.env_with(&overrides.env);
    let mut wanted: BTreeMap<String, String> = env.values.into_iter().filter(|(key, _)| !is_platform(key)).collect();
    for key in env.secrets {
        wanted.insert(key, hex::encode(rand::random::<[u8; 32]>()));
    }
    wanted.extend(overrides.platform.clone());
    if let Some((key, _)) = wanted.iter().find(|(_, value)| value.contains('\0')) {
        return Err(Error::invalid(format!("The value of {key} has a NUL byte, which no environment can carry.")));
    }
    let mut change = p.change(app.id).await?;
    let set = config::add_missing(p, &mut change, app.id, &wanted).await?;
    if set.is_empty() {
        return Ok(());
    }
    let description = format!("Set {} config vars", set.join(", "));
    let release = releases::insert(p, &mut change, actor, releases::New::keep(&description)).await?;
    let event = json!({"set": set, "removed": [], "release": release.version});
    p.commit(change, Event::new("config.update", actor.name(), event)).await?;
    p.tell(app.id, format!("{description} by user {}", actor.name()));
    Ok(())
}
