//! `/apps`: apps, their config vars and collaborators.

use axum::{Json, extract::State, http::HeaderMap};
use paas_wire as wire;

use super::{
    endpoints::{Created, Endpoints, Page},
    error::ApiResult,
    extract::{Auth, Body, Path, Query},
    list::list,
    view,
};
use crate::ops::{self, Platform};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/apps", index)
        .post("/apps", create)
        .get("/users/{id}/apps", index_of_user)
        .get("/apps/{app}", info)
        .patch("/apps/{app}", update)
        .delete("/apps/{app}", destroy)
        .get("/apps/{app}/config-vars", config)
        .patch("/apps/{app}/config-vars", set_config)
        .get("/apps/{app}/releases/{release}/config-vars", release_config)
        .get("/apps/{app}/collaborators", collaborators)
        .post("/apps/{app}/collaborators", add_collaborator)
        .get("/apps/{app}/collaborators/{who}", collaborator)
        .delete("/apps/{app}/collaborators/{who}", remove_collaborator)
}

async fn index(State(p): State<Platform>, Auth(actor): Auth, headers: HeaderMap) -> ApiResult<Page<wire::App>> {
    let items: Vec<wire::App> =
        ops::apps::list(&p, &actor).await?.iter().map(|owned| view::app(p.cx.config(), owned)).collect();
    Ok(list(&headers, "name", items, |app: &wire::App| app.name.clone()))
}

async fn index_of_user(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::App>> {
    if id != "~" && id != actor.user.id.to_string() && !id.eq_ignore_ascii_case(&actor.user.email) {
        return Err(crate::error::Error::not_found("user", id).into());
    }
    index(State(p), Auth(actor), headers).await
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<wire::AppCreate>,
) -> ApiResult<Created<wire::App>> {
    let stack = body.stack.as_ref().map(wire::Identity::as_str);
    let owned = ops::apps::create(&p, &actor, body.name.as_deref(), stack).await?;
    Ok(Created(view::app(p.cx.config(), &owned)))
}

async fn info(State(p): State<Platform>, Auth(actor): Auth, Path(app): Path<String>) -> ApiResult<Json<wire::App>> {
    let app = ops::apps::find(&p, &actor, &app).await?;
    Ok(Json(view::app(p.cx.config(), &ops::apps::with_owner(&p, app).await?)))
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(body): Body<wire::AppUpdate>,
) -> ApiResult<Json<wire::App>> {
    let app = ops::apps::find(&p, &actor, &app).await?;
    let changes = ops::apps::Changes {
        name: body.name,
        maintenance: body.maintenance,
        build_stack: body.build_stack.map(|stack| stack.0),
    };
    Ok(Json(view::app(p.cx.config(), &ops::apps::update(&p, &actor, &app, changes).await?)))
}

async fn destroy(State(p): State<Platform>, Auth(actor): Auth, Path(app): Path<String>) -> ApiResult<Json<wire::App>> {
    let app = ops::apps::find_owned(&p, &actor, &app).await?;
    Ok(Json(view::app(p.cx.config(), &ops::apps::destroy(&p, &actor, &app).await?)))
}

async fn config(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
) -> ApiResult<Json<wire::ConfigVars>> {
    let app = ops::apps::find(&p, &actor, &app).await?;
    Ok(Json(ops::config::get(&p, &app).await?))
}

async fn release_config(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, release)): Path<(String, String)>,
) -> ApiResult<Json<wire::ConfigVars>> {
    let app = ops::apps::find(&p, &actor, &app).await?;
    let release = ops::releases::find(&p, &app, &release).await?;
    Ok(Json(ops::config::of_release(&p, &release)?.merged()))
}

async fn set_config(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Query(query): Query<wire::config_var::ConfigVarsQuery>,
    Body(body): Body<wire::ConfigVarsUpdate>,
) -> ApiResult<Json<wire::ConfigVars>> {
    let app = ops::apps::find(&p, &actor, &app).await?;
    Ok(Json(ops::config::update(&p, &actor, &app, &body, query.restart.unwrap_or(true)).await?))
}

pub(super) fn collaborator_view(
    app: &crate::store::apps::App,
    id: uuid::Uuid,
    since: chrono::DateTime<chrono::Utc>,
    user: &crate::store::users::User,
    owner: bool,
) -> wire::Collaborator {
    let permissions = ["view", "deploy", "operate", "manage"];
    let given = if owner { &permissions[..] } else { &permissions[..3] };
    wire::Collaborator {
        app: view::app_ref(app),
        created_at: since,
        id,
        permissions: given
            .iter()
            .map(|name| wire::collaborator::Permission { name: (*name).into(), description: String::new() })
            .collect(),
        role: Some(if owner { "owner" } else { "collaborator" }.into()),
        updated_at: since,
        user: wire::collaborator::CollaboratorUser { email: user.email.clone(), federated: false, id: user.id },
    }
}

async fn collaborators(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::Collaborator>> {
    let app = ops::apps::find(&p, &actor, &app).await?;
    let owner = ops::apps::with_owner(&p, app.clone()).await?.owner;
    let mut items = vec![collaborator_view(&app, app.id, app.created_at, &owner, true)];
    for row in ops::collaborators::list(&p, &app).await? {
        items.push(collaborator_view(&app, row.collaborator_id, row.collaborator_since, &row.user, false));
    }
    Ok(list(&headers, "email", items, |item: &wire::Collaborator| item.user.email.clone()))
}

async fn collaborator(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, who)): Path<(String, String)>,
) -> ApiResult<Json<wire::Collaborator>> {
    let app = ops::apps::find(&p, &actor, &app).await?;
    let row = ops::collaborators::find(&p, &app, &who).await?;
    Ok(Json(collaborator_view(&app, row.collaborator_id, row.collaborator_since, &row.user, false)))
}

async fn add_collaborator(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(app): Path<String>,
    Body(body): Body<wire::CollaboratorCreate>,
) -> ApiResult<Created<wire::Collaborator>> {
    let app = ops::apps::find(&p, &actor, &app).await?;
    let row = ops::collaborators::add(&p, &actor, &app, &body.user).await?;
    let shown = collaborator_view(&app, row.collaborator_id, row.collaborator_since, &row.user, false);
    Ok(Created(shown))
}

async fn remove_collaborator(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((app, who)): Path<(String, String)>,
) -> ApiResult<Json<wire::Collaborator>> {
    let app = ops::apps::find(&p, &actor, &app).await?;
    let row = ops::collaborators::remove(&p, &actor, &app, &who).await?;
    Ok(Json(collaborator_view(&app, row.collaborator_id, row.collaborator_since, &row.user, false)))
}
