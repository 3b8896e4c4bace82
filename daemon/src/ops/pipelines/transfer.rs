//! A pipeline is given to somebody else, with those of its apps that belong to its owner.

use serde_json::json;
use uuid::Uuid;

use super::{Owner, current, owner, taken};
use crate::{
    error::{Error, Result},
    ops::{Actor, Platform, transfers},
    store::{
        apps, couplings,
        events::Event,
        pipelines::{self, Pipeline},
        review_apps, transfers as store_transfers,
    },
};

/// Gives a pipeline to somebody else; gives whose it was. The apps follow one by one, or are
/// offered to an account: killed in between, it is the old owner's still and can be done again.
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
    let couplings = couplings::of_pipeline(&mut p.db.read().await?, pipeline.id).await?;
    // All of them are looked at before the first goes.
    for coupling in &couplings {
        check_free(p, coupling.app_id, from, to).await?;
    }
    for coupling in couplings {
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
    // Apps would be made in the name of somebody who has not asked for them.
    review_apps::by_hand_only(&mut tx, row.id, now).await?;
    let side = |owner: Owner| json!({"id": owner.id(), "type": owner.kind()});
    let data = json!({"id": row.id, "name": row.name, "previous_owner": side(from), "new_owner": side(to)});
    tx.commit_with(Event::new("pipeline.transfer", actor.name(), data), now).await?;
    Ok(from)
}

/// Refuses where an app that would be offered has been offered to somebody else.
async fn check_free(p: &Platform, app_id: Uuid, from: Owner, to: Owner) -> Result<()> {
    let (Owner::User(_), Owner::User(recipient)) = (from, to) else { return Ok(()) };
    let mut c = p.db.read().await?;
    let app = apps::by_id(&mut c, app_id).await?.filter(|app| !app.deleting && Owner::of_app(app) == from);
    let promised = store_transfers::pending(&mut c, app_id).await?.filter(|row| row.recipient_id != recipient);
    match (app, promised) {
        (Some(app), Some(_)) => Err(Error::invalid(format!(
            "{} is already being transferred to somebody else. Cancel that first: paas apps:transfers:cancel {}",
            app.name, app.name
        ))),
        (Some(_) | None, _) => Ok(()),
    }
}

/// Gives an app to the new owner, if it was the old one's. From account to account it is offered,
/// as any app is: nobody gets apps, and what runs in them, without agreeing.
async fn hand_over(p: &Platform, actor: &Actor, app_id: Uuid, from: Owner, to: Owner) -> Result<()> {
    let app = apps::by_id(&mut p.db.read().await?, app_id).await?;
    let Some(app) = app.filter(|app| !app.deleting && Owner::of_app(app) == from) else { return Ok(()) };
    let recipient = to.id().to_string();
    if let (Owner::User(_), Owner::User(_)) = (from, to) {
        transfers::create(p, actor, &app, &recipient).await?;
    } else {
        transfers::transfer(p, actor, &app, &recipient).await?;
    }
    Ok(())
}
