//! Whose a pipeline is: an account's or a team's.

use uuid::Uuid;

use crate::{
    error::{Error, Result},
    ops::{
        Actor, Platform,
        access::{self, Role},
    },
    store::{pipelines::Pipeline, teams, users},
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

/// Whether somebody decides for an owner: for oneself, and for a team that one belongs to.
pub(super) async fn stands_for(p: &Platform, actor: &Actor, owner: Owner) -> Result<bool> {
    match owner {
        Owner::User(id) => Ok(id == actor.user.id),
        Owner::Team(id) => {
            let mut c = p.db.read().await?;
            let Some(team) = teams::by_id(&mut c, id).await? else { return Ok(false) };
            let role = access::role_in(&mut c, &team, &actor.user).await?;
            Ok(matches!(role, Some(Role::Admin | Role::Member)))
        }
    }
}

/// That an owner is there.
pub(super) async fn check(p: &Platform, owner: Owner) -> Result<()> {
    let there = match owner {
        Owner::User(id) => users::by_id(&mut p.db.read().await?, id).await?.is_some(),
        Owner::Team(id) => teams::by_id(&mut p.db.read().await?, id).await?.is_some(),
    };
    if there {
        return Ok(());
    }
    let noun = match owner {
        Owner::User(_) => "account",
        Owner::Team(_) => "team",
    };
    Err(Error::invalid(format!("owner: there is no {noun} with the id {}.", owner.id())))
}

/// A team by name or identity, for somebody who belongs to it.
pub async fn find_team(p: &Platform, actor: &Actor, name: &str) -> Result<Uuid> {
    Ok(crate::ops::teams::find(p, actor, name).await?.team.id)
}
