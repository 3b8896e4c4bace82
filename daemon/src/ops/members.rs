//! Who is in a team, and who is invited to be.
//!
//! Everybody with an account is in the built-in team: an administrator of the platform as its
//! admin, all others as members, unless a row says that they only view. To make somebody an
//! admin of it is to make them an administrator. In every other team are those who have a row,
//! and those who work on one of its apps.
//!
//! An invitation is for an address that need not have an account yet: no mail is sent from here,
//! so whoever invites gets a token to hand on, which makes the account when it is accepted.

use chrono::TimeDelta;

use super::{
    Actor, Platform,
    access::{self, Role},
    accounts,
    teams::{self, Seen, check_role},
};
use crate::{
    context::new_id,
    error::{Error, Result},
    secret,
    store::{
        Conn, Tx,
        team_members::{self, Invitation},
        teams::{self as rows, Team},
        users::{self, User},
    },
};

/// How long an invitation can be accepted.
const INVITED_FOR: TimeDelta = TimeDelta::days(14);

/// Who may see the members of a team.
const INSIDERS: [Role; 4] = [Role::Admin, Role::Member, Role::Viewer, Role::Collaborator];

/// Somebody in a team.
#[derive(Debug, Clone)]
pub struct Member {
    /// Identity of the membership: its row's, or the account's where there is none.
    pub id: uuid::Uuid,
    /// Who.
    pub user: User,
    /// What they are.
    pub role: Role,
    /// Since when.
    pub created_at: chrono::DateTime<chrono::Utc>,
    /// When that last changed.
    pub updated_at: chrono::DateTime<chrono::Utc>,
}

/// Everybody in a team, by address.
pub async fn list(p: &Platform, seen: &Seen) -> Result<Vec<Member>> {
    check_role(seen, &INSIDERS)?;
    all(&mut p.db.read().await?, &seen.team).await
}

async fn all(c: &mut Conn, team: &Team) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    for row in team_members::list(c, team.id).await? {
        members.push(Member {
            id: row.member_id,
            role: Role::parse(&row.role)?,
            created_at: row.member_since,
            updated_at: row.member_updated_at,
            user: row.user,
        });
    }
    let (others, role) = if team.built_in {
        (users::all_present(c).await?, Role::Member)
    } else {
        (team_members::collaborators(c, team.id).await?, Role::Collaborator)
    };
    for user in others {
        if !members.iter().any(|member| member.user.id == user.id) {
            let (id, created_at, updated_at) = (user.id, user.created_at, user.updated_at);
            members.push(Member { id, user, role, created_at, updated_at });
        }
    }
    if team.built_in {
        for member in members.iter_mut().filter(|member| member.user.admin) {
            member.role = Role::Admin;
        }
    }
    members.sort_by(|a, b| a.user.email.cmp(&b.user.email));
    Ok(members)
}

async fn find_in(c: &mut Conn, team: &Team, actor: &Actor, who: &str) -> Result<Member> {
    let members = all(c, team).await?;
    let is = |member: &Member| {
        member.user.email.eq_ignore_ascii_case(who)
            || member.id.to_string() == who
            || member.user.id.to_string() == who
            || (who == "~" && member.user.id == actor.user.id)
    };
    members.into_iter().find(is).ok_or_else(|| Error::not_found("team_member", who))
}

/// One of them, by address or identity.
pub async fn find(p: &Platform, seen: &Seen, actor: &Actor, who: &str) -> Result<Member> {
    check_role(seen, &INSIDERS)?;
    find_in(&mut p.db.read().await?, &seen.team, actor, who).await
}

/// What is asked for of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// That they are not in the team yet.
    New,
    /// That they are in it.
    There,
    /// Neither.
    Either,
}

/// A team whose people are to change, locked: with what the actor is in it then. They may just
/// have been made less than they were when they asked.
async fn hold(p: &Platform, tx: &mut Tx, actor: &Actor, team: &str) -> Result<Seen> {
    let seen = teams::find_in(tx, actor, team).await?;
    rows::lock(tx, seen.team.id, p.cx.now()).await?;
    let user = access::find_user(tx, actor, &actor.user.id.to_string()).await?;
    teams::find_in(tx, &Actor { user, ..actor.clone() }, team).await
}

/// Puts somebody with an account into a team, or changes what they are in it.
pub async fn put(p: &Platform, actor: &Actor, team: &str, email: &str, role: &str, want: Want) -> Result<Member> {
    let role = Role::parse(role)?;
    let mut tx = p.db.begin().await?;
    let seen = hold(p, &mut tx, actor, team).await?;
    check_role(&seen, &[Role::Admin])?;
    let user = access::find_user(&mut tx, actor, email).await.map_err(|error| if let Error::NotFound(_) = error { Error::not_found(
            "user",
            format!("Couldn't find that account: {email} has none here. An invitation makes one: paas members:add {email} --role {} --team {}", role.name(), seen.team.name),
        ) } else { error })?;
    let before = match find_in(&mut tx, &seen.team, actor, &user.id.to_string()).await {
        Ok(member) => Some(member),
        Err(Error::NotFound(_)) => None,
        Err(error) => return Err(error),
    };
    // Who only works on an app is no member yet.
    let member = before.as_ref().is_some_and(|before| before.role != Role::Collaborator || before.id != user.id);
    match want {
        Want::New if member => return Err(Error::invalid(format!("{} is in {} already.", user.email, seen.team.name))),
        Want::There if before.is_none() => return Err(Error::not_found("team_member", email)),
        Want::New | Want::There | Want::Either => {}
    }
    enter(p, &mut tx, &seen.team, user.clone(), role).await?;
    let member = find_in(&mut tx, &seen.team, actor, &user.id.to_string()).await?;
    tx.commit(None).await?;
    tracing::info!(
        user = actor.name(),
        team = seen.team.name,
        member = user.email,
        role = role.name(),
        "a member's role was set"
    );
    Ok(member)
}

/// Writes what somebody is in a team.
async fn enter(p: &Platform, tx: &mut Tx, team: &Team, user: User, role: Role) -> Result<()> {
    let now = p.cx.now();
    let user = users::lock(tx, user.id).await?.ok_or_else(|| Error::not_found("user", user.email))?;
    if role != Role::Admin {
        check_not_last(tx, team, &user).await?;
    }
    if matches!(role, Role::Viewer | Role::Collaborator) {
        forget_default(tx, team, &user).await?;
    }
    if team.built_in {
        if role == Role::Collaborator {
            return Err(Error::invalid(format!(
                "role: everybody with an account is in {}: as an admin, a member or a viewer.",
                team.name
            )));
        }
        if user.admin != (role == Role::Admin) {
            users::set_admin(tx, user.id, role == Role::Admin, now).await?;
        }
        if role != Role::Viewer {
            team_members::remove(tx, team.id, user.id).await?;
            return Ok(());
        }
    }
    Ok(team_members::put(tx, new_id(), (team.id, user.id), role.name(), now).await?)
}

/// The team in which somebody makes no more apps is not their default one.
async fn forget_default(c: &mut Conn, team: &Team, user: &User) -> Result<()> {
    if rows::default_of(c, user.id).await?.is_some_and(|default| default.id == team.id) {
        rows::set_default(c, user.id, None).await?;
    }
    Ok(())
}

/// A team needs somebody who can say who is in it.
async fn check_not_last(c: &mut Conn, team: &Team, user: &User) -> Result<()> {
    let members = all(c, team).await?;
    let mut admins = members.iter().filter(|member| member.role == Role::Admin);
    let is_one = admins.clone().any(|member| member.user.id == user.id);
    if is_one && admins.all(|member| member.user.id == user.id) {
        return Err(Error::invalid(format!(
            "{} is the only admin of {}. Make somebody else one first.",
            user.email, team.name
        )));
    }
    Ok(())
}

/// That no team is without an admin once an account is gone. Its teams are locked.
pub(super) async fn check_may_go(tx: &mut Tx, user: &User, now: chrono::DateTime<chrono::Utc>) -> Result<()> {
    let mut teams = rows::built_in(tx).await?.map(|team| team.id).into_iter().collect::<Vec<_>>();
    teams.extend(team_members::of_user(tx, user.id).await?.into_iter().map(|(id, _)| id));
    teams.sort_unstable();
    for id in teams {
        rows::lock(tx, id, now).await?;
        if let Some(team) = rows::by_id(tx, id).await? {
            check_not_last(tx, &team, user).await?;
        }
    }
    Ok(())
}

/// Takes somebody out of a team, and off all of its apps. Admins may do so with everybody, and
/// everybody with themselves.
pub async fn remove(p: &Platform, actor: &Actor, team: &str, who: &str) -> Result<Member> {
    let mut tx = p.db.begin().await?;
    let seen = hold(p, &mut tx, actor, team).await?;
    let member = find_in(&mut tx, &seen.team, actor, who).await?;
    if member.user.id != actor.user.id {
        check_role(&seen, &[Role::Admin])?;
    }
    if seen.team.built_in {
        return Err(Error::invalid(format!(
            "Everybody with an account here is in {}: {} leaves it with the account only.",
            seen.team.name, member.user.email
        )));
    }
    check_not_last(&mut tx, &seen.team, &member.user).await?;
    team_members::remove(&mut tx, seen.team.id, member.user.id).await?;
    team_members::remove_collaborator(&mut tx, seen.team.id, member.user.id).await?;
    forget_default(&mut tx, &seen.team, &member.user).await?;
    tx.commit(None).await?;
    tracing::info!(user = actor.name(), team = seen.team.name, member = member.user.email, "a member was removed");
    Ok(member)
}

/// An invitation with all that is shown of it.
#[derive(Debug, Clone)]
pub struct Invited {
    /// The invitation.
    pub row: Invitation,
    /// The team.
    pub team: Team,
    /// Who invites.
    pub by: User,
    /// The account that is invited, if there is one.
    pub user: Option<User>,
}

async fn shown(c: &mut Conn, row: Invitation) -> Result<Invited> {
    let gone = || Error::not_found("team_invitation", row.id.to_string());
    let team = rows::by_id(c, row.team_id).await?.ok_or_else(gone)?;
    let by = users::by_id(c, row.invited_by).await?.ok_or_else(gone)?;
    let user = users::by_email(c, &row.email).await?;
    Ok(Invited { row, team, by, user })
}

/// The invitations to a team.
pub async fn invitations(p: &Platform, seen: &Seen) -> Result<Vec<Invited>> {
    check_role(seen, &[Role::Admin, Role::Member])?;
    let mut c = p.db.read().await?;
    let mut all = Vec::new();
    for row in team_members::invitations(&mut c, seen.team.id, p.cx.now()).await? {
        all.push(shown(&mut c, row).await?);
    }
    Ok(all)
}

/// Invites an address to a team; gives the token that accepts it, which is told this once. An
/// earlier invitation of the same address ends.
pub async fn invite(p: &Platform, actor: &Actor, team: &str, email: &str, role: &str) -> Result<(Invited, String)> {
    let role = Role::parse(role)?;
    let email = accounts::check_email(email)?;
    let now = p.cx.now();
    let token = secret::new_token();
    let mut tx = p.db.begin().await?;
    let seen = hold(p, &mut tx, actor, team).await?;
    check_role(&seen, &[Role::Admin])?;
    match users::by_email(&mut tx, &email).await? {
        Some(user)
            if access::role_in(&mut tx, &seen.team, &user).await?.is_some_and(|role| role != Role::Collaborator) =>
        {
            return Err(Error::invalid(format!("{email} is in {} already.", seen.team.name)));
        }
        None if !actor.user.admin => {
            return Err(Error::Forbidden(format!(
                "{email} has no account here yet, and only administrators of this platform may invite such people."
            )));
        }
        Some(_) | None => {}
    }
    if seen.team.built_in && role == Role::Collaborator {
        return Err(Error::invalid("role: everybody with an account is an admin, a member or a viewer of this team."));
    }
    let row = Invitation {
        id: new_id(),
        team_id: seen.team.id,
        invited_by: actor.user.id,
        email,
        role: role.name().into(),
        token_hash: secret::token_hash(&token),
        expires_at: now + INVITED_FOR,
        created_at: now,
        updated_at: now,
    };
    team_members::invite(&mut tx, &row).await?;
    let invited = shown(&mut tx, row).await?;
    tx.commit(None).await?;
    tracing::info!(user = actor.name(), team = invited.team.name, invited = invited.row.email, "somebody was invited");
    Ok((invited, token))
}

/// Takes an invitation back, found by address or identity.
pub async fn revoke(p: &Platform, seen: &Seen, who: &str) -> Result<Invited> {
    check_role(seen, &[Role::Admin])?;
    let found = invitations(p, seen)
        .await?
        .into_iter()
        .find(|invited| invited.row.email.eq_ignore_ascii_case(who) || invited.row.id.to_string() == who)
        .ok_or_else(|| Error::not_found("team_invitation", who))?;
    let mut tx = p.db.begin().await?;
    team_members::revoke(&mut tx, found.row.id).await?;
    tx.commit(None).await?;
    Ok(found)
}

/// The invitation that a token accepts.
pub async fn by_token(p: &Platform, token: &str) -> Result<Invited> {
    by_token_in(&mut p.db.read().await?, p, token).await
}

async fn by_token_in(c: &mut Conn, p: &Platform, token: &str) -> Result<Invited> {
    let gone = || Error::not_found("team_invitation", "by its token");
    if token.is_empty() || token.len() > 200 {
        return Err(gone());
    }
    let row = team_members::invitation(c, &secret::token_hash(token), p.cx.now()).await?.ok_or_else(gone)?;
    shown(c, row).await
}

/// Accepts an invitation: as the account that is invited, or by making it, with this password.
pub async fn accept(
    p: &Platform,
    actor: Option<&Actor>,
    token: &str,
    password: Option<&str>,
    name: Option<String>,
) -> Result<Member> {
    let invited = by_token(p, token).await?;
    let hash = match (actor, &invited.user, password) {
        (Some(actor), _, _) if actor.user.email != invited.row.email => {
            return Err(Error::Forbidden(format!(
                "This invitation is for {}, and you are {}.",
                invited.row.email,
                actor.name()
            )));
        }
        (Some(_), _, _) => None,
        (None, Some(_), _) => {
            return Err(Error::Unauthorized(format!("Log in as {} to accept this invitation.", invited.row.email)));
        }
        (None, None, None) => return Err(Error::invalid("password: the new account needs one.")),
        (None, None, Some(password)) => Some(accounts::hash(password).await?),
    };
    let now = p.cx.now();
    let mut tx = p.db.begin().await?;
    rows::lock(&mut tx, invited.team.id, now).await?;
    // It may have been taken back, or accepted, while the password was being hashed.
    let invited = by_token_in(&mut tx, p, token).await?;
    if !team_members::revoke(&mut tx, invited.row.id).await? {
        return Err(Error::not_found("team_invitation", "by its token"));
    }
    let user = match (&invited.user, hash) {
        (Some(user), None) => user.clone(),
        (None, Some(hash)) => {
            let user = User {
                id: new_id(),
                email: invited.row.email.clone(),
                name: accounts::tidy_name(name),
                password_hash: Some(hash),
                admin: false,
                created_at: now,
                updated_at: now,
                deleted_at: None,
            };
            users::insert(&mut tx, &user).await?;
            user
        }
        // Somebody made the account meanwhile, or it has gone.
        (Some(_), Some(_)) | (None, None) => {
            return Err(Error::Conflict("The account has changed meanwhile. Accept the invitation again.".into()));
        }
    };
    enter(p, &mut tx, &invited.team, user.clone(), Role::parse(&invited.row.role)?).await?;
    let actor = Actor { user, authorization_id: None };
    let member = find_in(&mut tx, &invited.team, &actor, "~").await?;
    tx.commit(None).await?;
    tracing::info!(user = actor.name(), team = invited.team.name, "an invitation was accepted");
    Ok(member)
}
