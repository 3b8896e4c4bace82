//! Who may do what with an app, and what somebody is in a team.
//!
//! An app belongs to an account or to a team. Its owner may do all with it, and so may the
//! admins of its team and the administrators of the platform. A collaborator of a personal
//! app may do all but manage it; one of a team's app what was granted. Members of the team see
//! its apps that are not locked, and may join them.

use uuid::Uuid;

use super::{Actor, apps::Permission};
use crate::{
    error::{Error, Result},
    store::{
        Conn,
        apps::{self, App},
        team_members,
        teams::{self, Team},
        users::{self, User},
    },
};

/// What somebody is in a team, or to an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Of a personal app: whose it is.
    Owner,
    /// May do all.
    Admin,
    /// Sees the team's apps, joins those that are not locked, makes new ones.
    Member,
    /// Sees the team's apps that are not locked.
    Viewer,
    /// Works on single apps only.
    Collaborator,
}

impl Role {
    /// Heroku's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Viewer => "viewer",
            Self::Collaborator => "collaborator",
        }
    }

    /// The role of that name that one can have in a team.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "admin" => Ok(Self::Admin),
            "member" => Ok(Self::Member),
            "viewer" => Ok(Self::Viewer),
            "collaborator" => Ok(Self::Collaborator),
            _ => Err(Error::invalid(format!(
                "role: {name:?} is none that one can have in a team. Roles are admin, member, viewer and collaborator."
            ))),
        }
    }
}

impl Permission {
    /// All, in Heroku's order.
    pub const ALL: [Self; 4] = [Self::View, Self::Deploy, Self::Operate, Self::Manage];

    /// Those of a collaborator of whom nothing else is said.
    pub const USUAL: [Self; 3] = [Self::View, Self::Deploy, Self::Operate];

    /// Heroku's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Deploy => "deploy",
            Self::Operate => "operate",
            Self::Manage => "manage",
        }
    }

    /// What it allows, in a sentence.
    pub fn description(self) -> &'static str {
        match self {
            Self::View => "Can see the app: its dynos, releases, builds and add-ons.",
            Self::Deploy => "Can push and fetch code, release, read logs, set config vars, add add-ons and run dynos.",
            Self::Operate => "Can scale and restart, read logs, set config vars, domains and add-ons, and run dynos.",
            Self::Manage => "Can rename, lock, transfer and destroy the app, and say who works on it.",
        }
    }

    /// The permission of that name.
    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.name() == name)
    }

    /// Reads names; to see the app is always among them. Sorted, each once.
    pub fn parse_all(names: &[String]) -> Result<Vec<Self>> {
        let mut all = vec![Self::View];
        for name in names {
            all.push(Self::parse(name.trim()).ok_or_else(|| {
                Error::invalid(format!(
                    "permissions: there is none called {name:?}. Permissions are view, deploy, operate and manage."
                ))
            })?);
        }
        all.sort();
        all.dedup();
        Ok(all)
    }

    /// As they are kept.
    pub(super) fn join(all: &[Self]) -> String {
        all.iter().map(|permission| permission.name()).collect::<Vec<_>>().join(",")
    }

    /// As they were kept; nothing kept: the usual ones.
    pub fn kept(text: Option<&str>) -> Vec<Self> {
        match text {
            Some(text) => text.split(',').filter_map(Self::parse).collect(),
            None => Self::USUAL.to_vec(),
        }
    }
}

/// What somebody may do with an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// What they are to it, or in its team; none for strangers.
    pub role: Option<Role>,
    /// What they may do.
    pub permissions: Vec<Permission>,
    /// Whether they own it or are among those who work on it.
    pub joined: bool,
}

impl Access {
    /// Whether they may do that.
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }

    /// Whether they may do one of these.
    pub fn may_any(&self, permissions: &[Permission]) -> bool {
        permissions.iter().any(|permission| self.may(*permission))
    }
}

/// What a user may do with an app: nothing once their account is gone.
pub async fn of(c: &mut Conn, user: &User, app: &App) -> Result<Access> {
    if user.deleted_at.is_some() {
        return Ok(Access { role: None, permissions: Vec::new(), joined: false });
    }
    let kept = apps::collaboration(c, app.id, user.id).await?;
    let Some(team_id) = app.team_id else {
        let owner = app.owner_id == user.id;
        let (role, permissions) = match kept {
            _ if owner => (Some(Role::Owner), Permission::ALL.to_vec()),
            _ if user.admin => (Some(Role::Admin), Permission::ALL.to_vec()),
            Some(_) => (Some(Role::Collaborator), Permission::USUAL.to_vec()),
            None => (None, Vec::new()),
        };
        return Ok(Access { role, permissions, joined: owner || kept.is_some() });
    };
    let role = role_by_row(c, team_id, user).await?;
    let permissions = match (role, &kept) {
        (Some(Role::Owner | Role::Admin), _) => Permission::ALL.to_vec(),
        (_, Some(kept)) => Permission::kept(kept.as_deref()),
        (Some(Role::Member | Role::Viewer), None) if !app.locked => vec![Permission::View],
        (Some(Role::Member | Role::Viewer | Role::Collaborator) | None, None) => Vec::new(),
    };
    let role = role.or(kept.as_ref().map(|_| Role::Collaborator));
    Ok(Access { role, permissions, joined: kept.is_some() })
}

/// What somebody is in a team by its rows; everybody who has an account still is in the built-in one.
async fn role_by_row(c: &mut Conn, team_id: Uuid, user: &User) -> Result<Option<Role>> {
    if user.deleted_at.is_some() {
        return Ok(None);
    }
    if user.admin {
        return Ok(Some(Role::Admin));
    }
    if let Some(role) = team_members::role(c, team_id, user.id).await? {
        return Role::parse(&role).map(Some);
    }
    let built_in = teams::by_id(c, team_id).await?.is_some_and(|team| team.built_in);
    Ok(built_in.then_some(Role::Member))
}

/// What somebody is in a team: who works on one of its apps is a collaborator at least.
pub async fn role_in(c: &mut Conn, team: &Team, user: &User) -> Result<Option<Role>> {
    let role = role_by_row(c, team.id, user).await?;
    if role.is_none() && team_members::collaborates(c, team.id, user.id).await? {
        return Ok(Some(Role::Collaborator));
    }
    Ok(role)
}

/// The account of that address or identity; `~` is who asks.
pub async fn find_user(c: &mut Conn, actor: &Actor, who: &str) -> Result<User> {
    if who == "~" {
        return Ok(actor.user.clone());
    }
    let user = match who.parse::<Uuid>() {
        Ok(id) => users::present(c, id).await?,
        Err(_) => users::by_email(c, &who.trim().to_lowercase()).await?,
    };
    user.ok_or_else(|| Error::not_found("user", who))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn permissions_are_read_and_kept() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let read = Permission::parse_all(&names(&["manage", "deploy", "deploy"])).unwrap();
        assert_eq!(read, [Permission::View, Permission::Deploy, Permission::Manage]);
        assert_eq!(Permission::kept(Some(&Permission::join(&read))), read);
        assert_eq!(Permission::kept(None), Permission::USUAL);
        assert!(Permission::parse_all(&names(&["root"])).is_err());
    }
}
