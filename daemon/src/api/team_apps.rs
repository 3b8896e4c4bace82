//! `/teams/apps`, `/teams/{team}/apps`, its add-ons, and `/filters/apps`.

use std::collections::HashSet;

use axum::{Json, extract::State, http::HeaderMap};
use paas_wire as wire;
use uuid::Uuid;

use super::{
    endpoints::{Created, Endpoints, Page},
    error::{ApiError, ApiResult},
    expand::{self, Expand},
    extract::{Auth, Body, Path},
    list::list,
    view,
};
use crate::{
    error::Error,
    ops::{
        self, Actor, Platform,
        apps::{OwnedApp, Permission},
        members, teams, transfers,
    },
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .post("/teams/apps", create)
        .get("/teams/apps/{app}", info)
        .patch("/teams/apps/{app}", update)
        .get("/teams/{team}/apps", index)
        .get("/teams/{team}/members/{member}/apps", of_member)
        .get("/teams/{team}/addons", addons)
        .post("/filters/apps", filter)
}

fn show(p: &Platform, owned: &OwnedApp, joined: bool) -> wire::TeamApp {
    wire::TeamApp { app: view::app(p.cx.config(), owned), joined, locked: owned.app.locked }
}

async fn shown(p: &Platform, actor: &Actor, owned: &OwnedApp) -> ApiResult<wire::TeamApp> {
    let access = ops::access::of(&mut p.db.read().await?, &actor.user, &owned.app).await?;
    Ok(show(p, owned, access.joined))
}

fn page(headers: &HeaderMap, items: Vec<wire::TeamApp>) -> Page<wire::TeamApp> {
    list(headers, "name", items, |item: &wire::TeamApp| item.app.name.clone())
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<wire::TeamAppCreate>,
) -> ApiResult<Created<wire::TeamApp>> {
    if let Some(space) = body.space {
        return Err(Error::not_found("space", space.0).into());
    }
    if body.internal_routing == Some(true) {
        return Err(ApiError::invalid("internal_routing: there are no private spaces here, so every app is public."));
    }
    let new = ops::apps::New {
        name: body.name.as_deref(),
        stack: body.stack.as_ref().map(wire::Identity::as_str),
        team: None,
        locked: body.locked.unwrap_or(false),
    };
    let team = body.team.as_ref().map(wire::Identity::as_str);
    let owned = teams::create_app(&p, &actor, team, body.personal.unwrap_or(false), new).await?;
    Ok(Created(shown(&p, &actor, &owned).await?))
}

async fn info(State(p): State<Platform>, Auth(actor): Auth, Path(app): Path<String>) -> ApiResult<Json<wire::TeamApp>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::View).await?;
    let owned = ops::apps::with_owner(&p, app).await?;
    Ok(Json(shown(&p, &actor, &owned).await?))
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(body): Body<wire::TeamAppUpdate>,
) -> ApiResult<Json<wire::TeamApp>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::Manage).await?;
    let owned = match (&body.owner, body.locked) {
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid(
                "Give either owner or locked: an app that has moved is locked by who has it.",
            ));
        }
        (Some(owner), None) => transfers::transfer(&p, &actor, &app, owner.as_str()).await?,
        (None, Some(locked)) => transfers::set_locked(&p, &actor, &app, locked).await?,
        (None, None) => return Err(ApiError::invalid("Give owner, or locked.")),
    };
    Ok(Json(shown(&p, &actor, &owned).await?))
}

async fn index(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(team): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::TeamApp>> {
    let seen = teams::find(&p, &actor, &team).await?;
    let found = teams::apps(&p, &seen, &actor).await?;
    Ok(page(&headers, found.iter().map(|(owned, joined)| show(&p, owned, *joined)).collect()))
}

async fn of_member(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((team, member)): Path<(String, String)>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::TeamApp>> {
    let seen = teams::find(&p, &actor, &team).await?;
    let member = members::find(&p, &seen, &actor, &member).await?;
    let theirs = Actor { user: member.user, authorization_id: None };
    // Those that they work on, as far as who asks may know of them.
    let joined: HashSet<Uuid> = teams::apps(&p, &seen, &theirs)
        .await?
        .into_iter()
        .filter_map(|(owned, joined)| joined.then_some(owned.app.id))
        .collect();
    let found = teams::apps(&p, &seen, &actor).await?;
    let found = found.iter().filter(|(owned, _)| joined.contains(&owned.app.id));
    Ok(page(&headers, found.map(|(owned, joined)| show(&p, owned, *joined)).collect()))
}

async fn addons(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(team): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Addon>> {
    let seen = teams::find(&p, &actor, &team).await?;
    let found = ops::addons::list_all(&p, &actor).await?;
    let expand = Expand::asked(&headers);
    let of_team = found.iter().filter(|shown| shown.app.team_id == Some(seen.team.id));
    let items = of_team.map(|shown| expand::addon(shown, expand)).collect();
    Ok(list(&headers, "id", items, |item: &wire::Addon| item.id.to_string()))
}

async fn filter(
    State(p): State<Platform>,
    Auth(actor): Auth,
    headers: HeaderMap,
    Body(body): Body<wire::team_app::FilterApps>,
) -> ApiResult<Page<wire::TeamApp>> {
    let wire::team_app::FilterAppsIn { id, name } = body.of.unwrap_or_default();
    let ids: Option<HashSet<Uuid>> = id.map(|list| list.into_iter().collect());
    let names: Option<HashSet<String>> = name.map(|list| list.into_iter().collect());
    let wanted = |owned: &OwnedApp| match (&ids, &names) {
        (None, None) => true,
        (ids, names) => {
            ids.as_ref().is_some_and(|ids| ids.contains(&owned.app.id))
                || names.as_ref().is_some_and(|names| names.contains(&owned.app.name))
        }
    };
    let works = crate::store::apps::joined(&mut p.db.read().await?, actor.user.id).await?;
    let works: HashSet<Uuid> = works.into_iter().collect();
    let own = |owned: &OwnedApp| owned.team.is_none() && owned.owner.id == actor.user.id;
    let found = ops::apps::list(&p, &actor).await?;
    let found = found.iter().filter(|owned| wanted(owned));
    let mut items: Vec<wire::TeamApp> =
        found.map(|owned| show(&p, owned, own(owned) || works.contains(&owned.app.id))).collect();
    items.sort_by_key(|item| item.app.id);
    Ok(list(&headers, "id", items, |item: &wire::TeamApp| item.app.id.to_string()))
}
