//! Whose a pipeline is: an account's or a team's.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    ops::{
        Actor, Platform,
        access::{self, Role},
    },
    store::{Conn, apps::App, pipelines::Pipeline, teams, users},
};

/// Whose a pipeline is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// An account's.
    User(Uuid),
    /// A team's.
    Team(Uuid),
}

impl Owner {
    /// That of a pipeline.
    pub fn of(pipeline: &Pipeline) -> Option<Self> {
        match pipeline.owner_type.as_str() {
            "user" => Some(Self::User(pipeline.owner_id)),
            "team" => Some(Self::Team(pipeline.owner_id)),
            _ => None,
        }
    }

    /// That of an app.
    pub fn of_app(app: &App) -> Self {
        app.team_id.map_or(Self::User(app.owner_id), Self::Team)
    }

    /// The team, if it is one.
    pub fn team(self) -> Option<Uuid> {
        match self {
            Self::User(_) => None,
            Self::Team(id) => Some(id),
        }
    }

    /// `user` or `team`.
    pub fn kind(self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Team(_) => "team",
        }
    }

    /// Which of them.
    pub fn id(self) -> Uuid {
        match self {
            Self::User(id) | Self::Team(id) => id,
        }
    }
}

/// Whether somebody decides for an owner: for oneself, and for a team whose admin one is.
pub(super) async fn stands_for(p: &Platform, actor: &Actor, owner: Owner) -> Result<bool> {
    match owner {
        Owner::User(id) => Ok(id == actor.user.id),
        Owner::Team(id) => Ok(role(p, actor, id).await? == Some(Role::Admin)),
    }
}

/// Whether somebody may make a pipeline for an owner, or bring one to it: for oneself, and for a
/// team whose admin or member one is.
pub(super) async fn makes_for(p: &Platform, actor: &Actor, owner: Owner) -> Result<bool> {
    match owner {
        Owner::User(id) => Ok(id == actor.user.id),
        Owner::Team(id) => Ok(matches!(role(p, actor, id).await?, Some(Role::Admin | Role::Member))),
    }
}

/// Whether somebody sees what an owner has: oneself, and who is in the team.
pub(super) async fn sees_for(p: &Platform, actor: &Actor, owner: Owner) -> Result<bool> {
    match owner {
        Owner::User(id) => Ok(id == actor.user.id),
        Owner::Team(id) => Ok(matches!(role(p, actor, id).await?, Some(Role::Admin | Role::Member | Role::Viewer))),
    }
}

/// What somebody is in a team.
async fn role(p: &Platform, actor: &Actor, team: Uuid) -> Result<Option<Role>> {
    let mut c = p.db.read().await?;
    match teams::by_id(&mut c, team).await? {
        Some(team) => access::role_in(&mut c, &team, &actor.user).await,
        None => Ok(None),
    }
}

/// Locks a team until the transaction ends, so that it does not go while something of it comes.
pub(super) async fn hold(c: &mut Conn, owner: Owner, now: DateTime<Utc>) -> Result<()> {
    match owner {
        Owner::Team(id) if !teams::lock(c, id, now).await? => Err(missing(owner)),
        Owner::User(_) | Owner::Team(_) => Ok(()),
    }
}

/// That an owner is there.
pub(super) async fn check(p: &Platform, owner: Owner) -> Result<()> {
    let mut c = p.db.read().await?;
    let there = match owner {
        Owner::User(id) => users::present(&mut c, id).await?.is_some(),
        Owner::Team(id) => teams::by_id(&mut c, id).await?.is_some(),
    };
    if there { Ok(()) } else { Err(missing(owner)) }
}

fn missing(owner: Owner) -> Error {
    let noun = match owner {
        Owner::User(_) => "account",
        Owner::Team(_) => "team",
    };
    Error::invalid(format!("owner: there is no {noun} with the id {}.", owner.id()))
}

/// A team by name or identity, for somebody who is in it.
pub async fn find_team(p: &Platform, actor: &Actor, name: &str) -> Result<Uuid> {
    Ok(crate::ops::teams::find(p, actor, name).await?.team.id)
}
