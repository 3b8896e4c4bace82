//! `/teams/{team}/members` and `/teams/{team}/invitations`: who is in a team, and who is asked
//! to be.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Named;

/// Someone in a team.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TeamMember {
    /// Since when.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// E-mail address.
    pub email: String,
    /// Whether an identity provider logs them in.
    #[serde(default)]
    pub federated: bool,
    /// Id of the membership.
    pub id: Uuid,
    /// The identity provider.
    #[serde(default)]
    pub identity_provider: Option<Named>,
    /// `admin`, `member`, `viewer` or `collaborator`.
    #[serde(default)]
    pub role: Option<String>,
    /// Whether they log in with a second factor.
    #[serde(default)]
    pub two_factor_authentication: bool,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
    /// Their account.
    pub user: Person,
}

/// An account with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Person {
    /// E-mail address.
    pub email: String,
    /// Id.
    pub id: Uuid,
    /// The person's name.
    #[serde(default)]
    pub name: Option<String>,
}

/// `PUT`, `POST` and `PATCH /teams/{team}/members`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TeamMemberUpdate {
    /// E-mail address of the account.
    pub email: String,
    /// `admin`, `member`, `viewer` or `collaborator`.
    pub role: String,
}

/// Someone who is asked to be in a team.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TeamInvitation {
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Id.
    pub id: Uuid,
    /// Who asks.
    pub invited_by: Person,
    /// What they will be.
    #[serde(default)]
    pub role: Option<String>,
    /// The team.
    pub team: Named,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
    /// Who is asked; without an account yet, the id is the invitation's.
    pub user: Person,
    /// Ours: what accepts it, told once to who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// `PUT /teams/{team}/invitations`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TeamInvitationCreate {
    /// E-mail address, of an account or not.
    pub email: String,
    /// What they will be; absent: a member.
    #[serde(default)]
    pub role: Option<String>,
}

/// `POST /teams/invitations/{token}/accept`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct TeamInvitationAccept {
    /// Ours: the password of the account that is made, for who has none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Ours: the person's name, for the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
