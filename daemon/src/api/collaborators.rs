//! `/apps/{app}/collaborators`, and the same with permissions at `/teams/apps/{app}/collaborators`.

use axum::{Json, extract::State, http::HeaderMap};
use paas_wire as wire;

use super::{
    endpoints::{Created, Endpoints, Page},
    error::ApiResult,
    extract::{Auth, Body, Path},
    list::list,
    view,
};
use crate::{
    ops::{
        self, Actor, Platform,
        access::Role,
        apps::Permission,
        collaborators::{self, Shown},
    },
    store::apps::{App, Collaborator},
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/apps/{app}/collaborators", index)
        .post("/apps/{app}/collaborators", add)
        .get("/apps/{app}/collaborators/{who}", info)
        .delete("/apps/{app}/collaborators/{who}", remove)
        .get("/teams/permissions", permissions)
        .get("/teams/apps/{app}/collaborators", team_index)
        .post("/teams/apps/{app}/collaborators", team_add)
        .get("/teams/apps/{app}/collaborators/{who}", team_info)
        .patch("/teams/apps/{app}/collaborators/{who}", update)
        .delete("/teams/apps/{app}/collaborators/{who}", team_remove)
}

fn permission_view(permission: Permission) -> wire::collaborator::Permission {
    wire::collaborator::Permission { name: permission.name().into(), description: permission.description().into() }
}

async fn permissions(Auth(_): Auth) -> Json<Vec<wire::collaborator::Permission>> {
    Json(Permission::ALL.into_iter().map(permission_view).collect())
}

pub(super) fn view_of(app: &App, shown: &Shown) -> wire::Collaborator {
    let row = &shown.row;
    wire::Collaborator {
        app: view::app_ref(app),
        created_at: row.collaborator_since,
        id: row.collaborator_id,
        permissions: shown.permissions.iter().copied().map(permission_view).collect(),
        role: Some(shown.role.name().into()),
        updated_at: row.collaborator_updated_at,
        user: wire::collaborator::CollaboratorUser { email: row.user.email.clone(), federated: false, id: row.user.id },
    }
}

async fn show(p: &Platform, app: &App, row: Collaborator) -> ApiResult<wire::Collaborator> {
    Ok(view_of(app, &collaborators::show(p, app, row).await?))
}

/// The owner stands among those who work on an app: an account, or a team by its address.
async fn owner(p: &Platform, app: &App) -> ApiResult<wire::Collaborator> {
    let owner = view::owner_ref(&ops::apps::with_owner(p, app.clone()).await?);
    Ok(wire::Collaborator {
        app: view::app_ref(app),
        created_at: app.created_at,
        id: app.id,
        permissions: Permission::ALL.into_iter().map(permission_view).collect(),
        role: Some(Role::Owner.name().into()),
        updated_at: app.created_at,
        user: wire::collaborator::CollaboratorUser { email: owner.email, federated: false, id: owner.id },
    })
}

async fn everybody(p: &Platform, actor: &Actor, app: &str, headers: &HeaderMap) -> ApiResult<Page<wire::Collaborator>> {
    let app = ops::apps::find_for(p, actor, app, Permission::View).await?;
    let mut items = vec![owner(p, &app).await?];
    for row in collaborators::list(p, &app).await? {
        items.push(show(p, &app, row).await?);
    }
    items[1..].sort_by(|a, b| a.user.email.cmp(&b.user.email));
    Ok(list(headers, "email", items, |item: &wire::Collaborator| item.user.email.clone()))
}

async fn index(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Collaborator>> {
    everybody(&p, &actor, &app, &headers).await
}

async fn team_index(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Collaborator>> {
    everybody(&p, &actor, &app, &headers).await
}

async fn one(p: &Platform, actor: &Actor, app: &str, who: &str) -> ApiResult<Json<wire::Collaborator>> {
    let app = ops::apps::find_for(p, actor, app, Permission::View).await?;
    let owner = owner(p, &app).await?;
    if owner.user.email.eq_ignore_ascii_case(who) || owner.user.id.to_string() == who || owner.id.to_string() == who {
        return Ok(Json(owner));
    }
    let row = collaborators::find(p, actor, &app, who).await?;
    Ok(Json(show(p, &app, row).await?))
}

async fn info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, who)): Path<(String, String)>,
) -> ApiResult<Json<wire::Collaborator>> {
    one(&p, &actor, &app, &who).await
}

async fn team_info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, who)): Path<(String, String)>,
) -> ApiResult<Json<wire::Collaborator>> {
    one(&p, &actor, &app, &who).await
}

async fn let_in(
    p: &Platform,
    actor: &Actor,
    app: &str,
    body: wire::CollaboratorCreate,
) -> ApiResult<Created<wire::Collaborator>> {
    let app = ops::apps::find_for(p, actor, app, Permission::View).await?;
    let row = collaborators::add(p, actor, &app, &body.user, body.permissions.as_deref()).await?;
    Ok(Created(show(p, &app, row).await?))
}

async fn add(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(body): Body<wire::CollaboratorCreate>,
) -> ApiResult<Created<wire::Collaborator>> {
    let_in(&p, &actor, &app, body).await
}

async fn team_add(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(body): Body<wire::CollaboratorCreate>,
) -> ApiResult<Created<wire::Collaborator>> {
    let_in(&p, &actor, &app, body).await
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, who)): Path<(String, String)>,
    Body(body): Body<wire::CollaboratorUpdate>,
) -> ApiResult<Json<wire::Collaborator>> {
    let app = ops::apps::find_for(&p, &actor, &app, Permission::Manage).await?;
    let row = collaborators::update(&p, &actor, &app, &who, &body.permissions).await?;
    Ok(Json(show(&p, &app, row).await?))
}

async fn let_go(p: &Platform, actor: &Actor, app: &str, who: &str) -> ApiResult<Json<wire::Collaborator>> {
    let app = ops::apps::find_for(p, actor, app, Permission::View).await?;
    let before = collaborators::find(p, actor, &app, who).await?;
    let shown = show(p, &app, before).await?;
    collaborators::remove(p, actor, &app, who).await?;
    Ok(Json(shown))
}

async fn remove(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, who)): Path<(String, String)>,
) -> ApiResult<Json<wire::Collaborator>> {
    let_go(&p, &actor, &app, &who).await
}

async fn team_remove(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, who)): Path<(String, String)>,
) -> ApiResult<Json<wire::Collaborator>> {
    let_go(&p, &actor, &app, &who).await
}
