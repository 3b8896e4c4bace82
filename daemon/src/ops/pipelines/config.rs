//! Config vars of a stage: what its test runs or review apps get.

use std::collections::BTreeMap;

use paas_domain::{
    name::{ConfigKey, check_config},
    stage::Stage,
};
use serde_json::json;
use uuid::Uuid;

use super::{current, is_owner, works_on_one};
use crate::{
    error::{Error, Result},
    ops::{
        Actor, Platform,
        apps::{Permission, sentence},
    },
    store::{
        Conn,
        events::Event,
        pipelines::{self, Pipeline},
    },
};

/// The config vars of a stage.
pub async fn of_stage(p: &Platform, pipeline_id: Uuid, stage: Stage) -> Result<BTreeMap<String, String>> {
    read(p, &mut p.db.read().await?, pipeline_id, stage).await
}

async fn read(p: &Platform, c: &mut Conn, pipeline_id: Uuid, stage: Stage) -> Result<BTreeMap<String, String>> {
    let mut vars = BTreeMap::new();
    for (key, sealed) in pipelines::config(c, pipeline_id, stage.as_str()).await? {
        let value =
            p.cx.sealer()
                .open(&place(pipeline_id, stage, &key), &sealed)
                .map_err(|e| Error::internal("A config var of the pipeline can't be read.", e))?;
        vars.insert(key, String::from_utf8_lossy(&value).into_owned());
    }
    Ok(vars)
}

/// The config vars of a stage, for somebody who may see them: its owner, and whoever deploys
/// one of its apps.
pub async fn get(p: &Platform, actor: &Actor, pipeline: &Pipeline, stage: Stage) -> Result<BTreeMap<String, String>> {
    admit(p, actor, pipeline, Permission::Deploy).await?;
    of_stage(p, pipeline.id, stage).await
}

/// Sets and unsets several; `None` unsets. For its owner, and whoever operates one of its apps.
pub async fn update(
    p: &Platform,
    actor: &Actor,
    pipeline: &Pipeline,
    stage: Stage,
    wanted: &BTreeMap<String, Option<String>>,
) -> Result<BTreeMap<String, String>> {
    admit(p, actor, pipeline, Permission::Operate).await?;
    for key in wanted.keys() {
        ConfigKey::parse(key).map_err(|e| Error::invalid(sentence(&e)))?;
    }
    let now = p.cx.now();
    let mut tx = p.db.begin().await?;
    current(&mut tx, pipeline.id).await?;
    let mut vars = read(p, &mut tx, pipeline.id, stage).await?;
    let (mut set, mut removed) = (Vec::new(), Vec::new());
    for (key, value) in wanted {
        match value {
            Some(value) if vars.get(key) != Some(value) => {
                let sealed = p.cx.sealer().seal(&place(pipeline.id, stage, key), value.as_bytes());
                pipelines::set_config(&mut tx, pipeline.id, stage.as_str(), key, &sealed).await?;
                vars.insert(key.clone(), value.clone());
                set.push(key.as_str());
            }
            None if vars.remove(key).is_some() => {
                pipelines::unset_config(&mut tx, pipeline.id, stage.as_str(), key).await?;
                removed.push(key.as_str());
            }
            Some(_) | None => {}
        }
    }
    if set.is_empty() && removed.is_empty() {
        return Ok(vars);
    }
    if !set.is_empty() {
        check_config(vars.iter().map(|(key, value)| (key.as_str(), value.as_str())))
            .map_err(|e| Error::invalid(sentence(&e)))?;
    }
    let data = json!({"id": pipeline.id, "stage": stage.as_str(), "set": set, "removed": removed});
    tx.commit_with(Event::new("pipeline-config.update", actor.name(), data), now).await?;
    Ok(vars)
}

async fn admit(p: &Platform, actor: &Actor, pipeline: &Pipeline, permission: Permission) -> Result<()> {
    if is_owner(p, actor, pipeline).await? || works_on_one(p, actor, pipeline, permission).await? {
        return Ok(());
    }
    Err(Error::Forbidden(format!("You may not do this with the config vars of the pipeline {}.", pipeline.name)))
}

fn place(pipeline_id: Uuid, stage: Stage, key: &str) -> String {
    format!("pipeline/{pipeline_id}/{stage}/{key}")
}
