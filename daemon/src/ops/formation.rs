//! The formation: how many dynos of which type, and of which size.

use std::collections::BTreeMap;

use paas_domain::{name::ProcessType, size::Size};
use serde_json::json;

use super::{Actor, Platform, apps::sentence, releases};
use crate::{
    context::new_id,
    error::{Error, Result},
    store::{
        Change,
        apps::App,
        events::Event,
        formations::{self, Formation},
    },
};

/// A process type with the command that the current release has for it.
#[derive(Debug, Clone)]
pub struct Process {
    /// Quantity and size.
    pub formation: Formation,
    /// What it runs.
    pub command: String,
}

/// A wanted quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// So many.
    Exactly(i64),
    /// So many more, or fewer.
    Relative(i64),
}

/// A wanted change of one process type.
#[derive(Debug, Clone)]
pub struct Update {
    /// Which.
    pub process_type: String,
    /// How many, if that changes.
    pub quantity: Option<Quantity>,
    /// Of which size, if that changes.
    pub size: Option<String>,
}

/// Brings the formation in step with a release's process types: a new type begins at 0 (and
/// `release`, which runs by itself, stays there), `web` of the first deploy at 1; a type that is gone keeps its row but has nothing to run.
pub(super) async fn follow(p: &Platform, change: &mut Change, types: &BTreeMap<String, String>) -> Result<()> {
    let now = p.cx.now();
    let app_id = change.app_id();
    let have = formations::list(change, app_id).await?;
    for process_type in types.keys() {
        if have.iter().any(|row| row.process_type == *process_type) {
            continue;
        }
        let first_web = process_type == "web" && have.is_empty();
        let row = Formation {
            id: new_id(),
            app_id,
            process_type: process_type.clone(),
            quantity: i64::from(first_web),
            size: Size::default().name().to_lowercase(),
            strategy: None,
            epoch: 0,
            created_at: now,
            updated_at: now,
        };
        formations::put(change, &row).await?;
    }
    Ok(())
}

/// The process types of the current release, `web` first and then by name.
pub async fn list(p: &Platform, app: &App) -> Result<Vec<Process>> {
    let mut c = p.db.read().await?;
    let Some(release) = crate::store::releases::current(&mut c, app.id).await? else { return Ok(Vec::new()) };
    let Some(slug) = releases::slug_of(&mut c, &release).await? else { return Ok(Vec::new()) };
    let mut all: Vec<Process> = formations::list(&mut c, app.id)
        .await?
        .into_iter()
        .filter_map(|formation| {
            let command = slug.process_types.get(&formation.process_type)?.clone();
            Some(Process { formation, command })
        })
        .collect();
    all.sort_by_key(|process| (process.formation.process_type != "web", process.formation.process_type.clone()));
    Ok(all)
}

/// One of them, by type or identity.
pub async fn find(p: &Platform, app: &App, name: &str) -> Result<Process> {
    let all = list(p, app).await?;
    let known: Vec<String> = all.iter().map(|process| process.formation.process_type.clone()).collect();
    all.into_iter()
        .find(|process| process.formation.process_type == name || process.formation.id.to_string() == name)
        .ok_or_else(|| unknown(name, &known))
}

/// Changes several types at once: all or none.
pub async fn update(p: &Platform, actor: &Actor, app: &App, updates: &[Update]) -> Result<Vec<Process>> {
    let most = i64::from(p.cx.config().max_dynos);
    for update in updates {
        if update.process_type.parse::<uuid::Uuid>().is_err() {
            ProcessType::parse(&update.process_type).map_err(|e| Error::invalid(sentence(&e)))?;
        }
    }
    let mut all = list(p, app).await?;
    let known: Vec<String> = all.iter().map(|process| process.formation.process_type.clone()).collect();
    let now = p.cx.now();
    let mut change = p.change(app.id).await?;
    let mut told = Vec::new();
    for update in updates {
        let process = all
            .iter_mut()
            .find(|process| {
                process.formation.process_type == update.process_type
                    || process.formation.id.to_string() == update.process_type
            })
            .ok_or_else(|| unknown(&update.process_type, &known))?;
        // Read again inside the change: two relative ones at once both count.
        let name = process.formation.process_type.clone();
        if let Some(row) = formations::find(&mut change, app.id, &name).await? {
            process.formation = row;
        }
        let row = &mut process.formation;
        if let Some(quantity) = update.quantity {
            let wanted = match quantity {
                Quantity::Exactly(wanted) => wanted,
                Quantity::Relative(more) => row.quantity.saturating_add(more),
            };
            if !(0..=most).contains(&wanted) {
                return Err(Error::invalid(format!(
                    "Cannot scale {name} to {wanted}: the quantity must be from 0 to {most}."
                )));
            }
            if name == "release" && wanted != 0 {
                return Err(Error::invalid(
                    "Cannot scale release: it runs once with each release. `paas releases:retry` runs it again.",
                ));
            }
            row.quantity = wanted;
        }
        if let Some(size) = &update.size {
            row.size = Size::parse(size).map_err(|e| Error::invalid(sentence(&e)))?.name().to_lowercase();
        }
        row.updated_at = now;
        formations::put(&mut change, row).await?;
        let size = Size::parse(&row.size).unwrap_or_default();
        told.push(format!("{name}@{}:{size}", row.quantity));
    }
    if told.is_empty() {
        return Ok(all);
    }
    p.commit(change, Event::new("formation.update", actor.name(), json!({"formation": told}))).await?;
    p.tell(app.id, format!("Scaled to {} by user {}", told.join(" "), actor.name()));
    Ok(all)
}

fn unknown(name: &str, known: &[String]) -> Error {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
    let hint = match known {
        [] => "The app has no process types yet: deploy it first, with git push paas main.".to_owned(),
        known => format!("Its Procfile has: {}.", known.join(", ")),
    };
    Error::NotFound(crate::error::NotFound {
        resource: "formation",
        asked: format!("Couldn't find that process type ({shown}). {hint}"),
    })
}
