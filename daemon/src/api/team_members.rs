//! `/teams/{team}/members`, `/teams/{team}/invitations`, and `/teams/invitations/{token}`.

use axum::{Json, extract::State, http::HeaderMap};
use paas_wire as wire;

use super::{
    endpoints::{Created, Endpoints, Page},
    error::{ApiError, ApiResult},
    extract::{Auth, Body, Path},
    list::list,
};
use crate::ops::{
    Actor, Platform,
    access::Role,
    members::{self, Invited, Member, Want},
    teams,
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/teams/{team}/members", index)
        .put("/teams/{team}/members", put)
        .post("/teams/{team}/members", create)
        .patch("/teams/{team}/members", update)
        .delete("/teams/{team}/members/{member}", remove)
        .get("/teams/{team}/invitations", invitations)
        .put("/teams/{team}/invitations", invite)
        .delete("/teams/{team}/invitations/{invitation}", revoke)
        .get("/teams/invitations/{token}", invitation)
        .post("/teams/invitations/{token}/accept", accept)
}

fn show(member: &Member) -> wire::TeamMember {
    let user = &member.user;
    wire::TeamMember {
        created_at: member.created_at,
        email: user.email.clone(),
        federated: false,
        id: member.id,
        identity_provider: None,
        role: Some(member.role.name().into()),
        two_factor_authentication: false,
        updated_at: member.updated_at,
        user: wire::Person { email: user.email.clone(), id: user.id, name: user.name.clone() },
    }
}

async fn index(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(team): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::TeamMember>> {
    let seen = teams::find(&p, &actor, &team).await?;
    let items = members::list(&p, &seen).await?.iter().map(show).collect();
    Ok(list(&headers, "email", items, |item: &wire::TeamMember| item.email.clone()))
}

async fn set(
    p: &Platform,
    actor: &Actor,
    team: &str,
    body: &wire::TeamMemberUpdate,
    want: Want,
) -> ApiResult<wire::TeamMember> {
    Ok(show(&members::put(p, actor, team, &body.email, &body.role, want).await?))
}

async fn put(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(team): Path<String>,
    Body(body): Body<wire::TeamMemberUpdate>,
) -> ApiResult<Json<wire::TeamMember>> {
    Ok(Json(set(&p, &actor, &team, &body, Want::Either).await?))
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(team): Path<String>,
    Body(body): Body<wire::TeamMemberUpdate>,
) -> ApiResult<Created<wire::TeamMember>> {
    Ok(Created(set(&p, &actor, &team, &body, Want::New).await?))
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(team): Path<String>,
    Body(body): Body<wire::TeamMemberUpdate>,
) -> ApiResult<Json<wire::TeamMember>> {
    Ok(Json(set(&p, &actor, &team, &body, Want::There).await?))
}

async fn remove(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((team, member)): Path<(String, String)>,
) -> ApiResult<Json<wire::TeamMember>> {
    Ok(Json(show(&members::remove(&p, &actor, &team, &member).await?)))
}

fn invited_view(invited: &Invited, token: Option<String>) -> wire::TeamInvitation {
    let row = &invited.row;
    wire::TeamInvitation {
        created_at: row.created_at,
        id: row.id,
        invited_by: wire::Person { email: invited.by.email.clone(), id: invited.by.id, name: invited.by.name.clone() },
        role: Some(row.role.clone()),
        team: wire::Named { id: invited.team.id, name: invited.team.name.clone() },
        updated_at: row.updated_at,
        user: wire::Person {
            email: row.email.clone(),
            id: invited.user.as_ref().map_or(row.id, |user| user.id),
            name: invited.user.as_ref().and_then(|user| user.name.clone()),
        },
        token,
    }
}

async fn invitations(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(team): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<wire::TeamInvitation>> {
    let seen = teams::find(&p, &actor, &team).await?;
    let items = members::invitations(&p, &seen).await?.iter().map(|invited| invited_view(invited, None)).collect();
    Ok(list(&headers, "email", items, |item: &wire::TeamInvitation| item.user.email.clone()))
}

async fn invite(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(team): Path<String>,
    Body(body): Body<wire::TeamInvitationCreate>,
) -> ApiResult<Json<wire::TeamInvitation>> {
    let role = body.role.as_deref().unwrap_or(Role::Member.name());
    let (invited, token) = members::invite(&p, &actor, &team, &body.email, role).await?;
    Ok(Json(invited_view(&invited, Some(token))))
}

async fn revoke(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path((team, invitation)): Path<(String, String)>,
) -> ApiResult<Json<wire::TeamInvitation>> {
    let seen = teams::find(&p, &actor, &team).await?;
    Ok(Json(invited_view(&members::revoke(&p, &seen, &invitation).await?, None)))
}

/// The token is the key: whoever is invited need not have an account yet.
async fn invitation(State(p): State<Platform>, Path(token): Path<String>) -> ApiResult<Json<wire::TeamInvitation>> {
    Ok(Json(invited_view(&members::by_token(&p, &token).await?, None)))
}

async fn accept(
    State(p): State<Platform>,
    auth: Result<Auth, ApiError>,
    Path(token): Path<String>,
    Body(body): Body<wire::team_member::TeamInvitationAccept>,
) -> ApiResult<Created<wire::TeamMember>> {
    let actor = auth.ok().map(|Auth(actor)| actor);
    let member = members::accept(&p, actor.as_ref(), &token, body.password.as_deref(), body.name).await?;
    Ok(Created(show(&member)))
}
