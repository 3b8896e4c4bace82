//! A pipeline is given to somebody else, with those of its apps that belong to its owner.

use serde_json::json;

use super::{Owner, current, owner, taken};
use crate::{
    context::new_id,
    error::{Error, Result},
    ops::{Actor, Platform, transfers},
    store::{
        apps::{self, App},
        couplings,
        events::Event,
        pipelines::{self, Pipeline},
        users,
    },
};

/// Gives a pipeline to somebody else; gives whose it was. The apps follow one by one: killed
/// in between, it is the old owner's still and can be done again.
pub async fn create(p: &Platform, actor: &Actor, pipeline: &Pipeline, to: Owner) -> Result<Owner> {
    let from = Owner::of(pipeline)
        .ok_or_else(|| Error::internal("The pipeline's owner can't be read.", pipeline.owner_type.clone()))?;
    owner::check(p, to).await?;
    if from == to {
        return Err(Error::invalid("new_owner: the pipeline belongs to them already."));
    }
    let same = pipelines::by_name(&mut p.db.read().await?, &pipeline.name).await?;
    if same.iter().any(|other| Owner::of(other) == Some(to)) {
        return Err(Error::invalid(format!(
            "new_owner: they have a pipeline called {} already; rename one of the two first.",
            pipeline.name
        )));
    }
    if matches!(to, Owner::Team(_)) && !actor.user.admin && !owner::stands_for(p, actor, to).await? {
        return Err(Error::Forbidden("new_owner: you are not in that team.".into()));
    }
    for coupling in couplings::of_pipeline(&mut p.db.read().await?, pipeline.id).await? {
        let app = apps::by_id(&mut p.db.read().await?, coupling.app_id).await?.filter(|app| !app.deleting);
        let Some(app) = app.filter(|app| is_of(app, from)) else { continue };
        match (from, to) {
            (Owner::User(from), Owner::User(to)) => hand_over(p, actor, app.id, from, to).await?,
            (Owner::User(_) | Owner::Team(_), _) => {
                transfers::transfer(p, actor, &app, &to.id().to_string()).await?;
            }
        }
    }
    let now = p.cx.now();
    let mut tx = p.db.begin().await?;
    let mut row = current(&mut tx, pipeline.id).await?;
    row.owner_type = to.kind().into();
    row.owner_id = to.id();
    row.updated_at = now;
    pipelines::update(&mut tx, &row).await.map_err(|e| taken(e, &row.name))?;
    let side = |owner: Owner| json!({"id": owner.id(), "type": owner.kind()});
    let data = json!({"id": row.id, "name": row.name, "previous_owner": side(from), "new_owner": side(to)});
    tx.commit_with(Event::new("pipeline.transfer", actor.name(), data), now).await?;
    Ok(from)
}

/// Whether an app belongs to them: one of a team is not its maker's.
fn is_of(app: &App, owner: Owner) -> bool {
    match owner {
        Owner::User(id) => app.team_id.is_none() && app.owner_id == id,
        Owner::Team(id) => app.team_id == Some(id),
    }
}

/// Gives an app to the new owner, if it was the old one's, who goes on working on it.
async fn hand_over(p: &Platform, actor: &Actor, app_id: uuid::Uuid, from: uuid::Uuid, to: uuid::Uuid) -> Result<()> {
    let mut change = match p.change(app_id).await {
        Ok(change) => change,
        Err(Error::NotFound(_)) => return Ok(()),
        Err(error) => return Err(error),
    };
    let Some(mut app) =
        apps::by_id(&mut change, app_id).await?.filter(|app| !app.deleting && is_of(app, Owner::User(from)))
    else {
        return Ok(());
    };
    let new = users::by_id(&mut change, to).await?.ok_or_else(|| Error::not_found("user", to.to_string()))?;
    let now = p.cx.now();
    app.owner_id = to;
    app.updated_at = now;
    apps::update(&mut change, &app).await?;
    apps::remove_collaborator(&mut change, app_id, to).await?;
    apps::add_collaborator(&mut change, new_id(), (app_id, from), None, now).await?;
    p.commit(change, Event::new("app.transfer", actor.name(), json!({"from": from, "to": to}))).await?;
    p.tell(app_id, format!("Transfer app to {} by user {}", new.email, actor.name()));
    Ok(())
}
