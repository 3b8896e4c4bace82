//! A pipeline is given to somebody else, with those of its apps that belong to its owner.

use serde_json::json;
use uuid::Uuid;

use super::{Owner, current, owner, taken};
use crate::{
    error::{Error, Result},
    ops::{Actor, Platform, apps::current as current_app, transfers},
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
    if let Owner::Team(_) = to
        && !actor.user.admin
        && !owner::makes_for(p, actor, to).await?
    {
        return Err(Error::Forbidden("new_owner: you are no member of that team.".into()));
    }
    for coupling in couplings::of_pipeline(&mut p.db.read().await?, pipeline.id).await? {
        hand_over(p, actor, coupling.app_id, from, to).await?;
    }
    let now = p.cx.now();
    let mut tx = p.db.begin().await?;
    let mut row = current(&mut tx, pipeline.id).await?;
    owner::hold(&mut tx, to, now).await?;
    row.owner_type = to.kind().into();
    row.owner_id = to.id();
    row.updated_at = now;
    pipelines::update(&mut tx, &row).await.map_err(|e| taken(e, &row.name))?;
    let side = |owner: Owner| json!({"id": owner.id(), "type": owner.kind()});
    let data = json!({"id": row.id, "name": row.name, "previous_owner": side(from), "new_owner": side(to)});
    tx.commit_with(Event::new("pipeline.transfer", actor.name(), data), now).await?;
    Ok(from)
}

/// Gives an app to the new owner, if it was the old one's. An account that had it goes on working
/// on it.
async fn hand_over(p: &Platform, actor: &Actor, app_id: Uuid, from: Owner, to: Owner) -> Result<()> {
    let app = apps::by_id(&mut p.db.read().await?, app_id).await?;
    let Some(app) = app.filter(|app| !app.deleting && owner_of(app) == from) else { return Ok(()) };
    let (Owner::User(_), Owner::User(to)) = (from, to) else {
        transfers::transfer(p, actor, &app, &to.id().to_string()).await?;
        return Ok(());
    };
    let mut change = p.change(app_id).await?;
    let mut app = current_app(&mut change, app_id).await?;
    let new = users::present(&mut change, to).await?.ok_or_else(|| Error::not_found("user", to.to_string()))?;
    if owner_of(&app) != from {
        return Ok(());
    }
    transfers::hand_over(p, &mut change, &mut app, &new).await?;
    crate::store::transfers::withdraw(&mut change, app_id).await?;
    let data = json!({"name": app.name, "owner": new.email});
    p.commit(change, Event::new("app.transfer", actor.name(), data)).await?;
    p.tell(app_id, format!("Transfer to {} by user {}", new.email, actor.name()));
    Ok(())
}

fn owner_of(app: &App) -> Owner {
    app.team_id.map_or(Owner::User(app.owner_id), Owner::Team)
}
