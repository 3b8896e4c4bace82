//! `/apps/{app}/collaborators` and `/teams/apps/{app}/collaborators`: who may work on an app.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Named;

/// Someone who may work on an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Collaborator {
    /// The app.
    pub app: Named,
    /// Since when.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Id.
    pub id: Uuid,
    /// What they may do.
    #[serde(default)]
    pub permissions: Vec<Permission>,
    /// `owner`, `admin`, `member`, `collaborator`.
    #[serde(default)]
    pub role: Option<String>,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
    /// Who.
    pub user: CollaboratorUser,
}

/// The account of a collaborator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CollaboratorUser {
    /// E-mail address.
    pub email: String,
    /// Whether an identity provider logs them in.
    #[serde(default)]
    pub federated: bool,
    /// Id.
    pub id: Uuid,
}

/// Something one may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Permission {
    /// `view`, `deploy`, `operate` or `manage`.
    pub name: String,
    /// What that means.
    #[serde(default)]
    pub description: String,
}

/// `POST /apps/{app}/collaborators`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CollaboratorCreate {
    /// E-mail address or id of the account.
    pub user: String,
    /// Whether no mail is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<bool>,
    /// What they may do, by name; for apps of teams only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
}

/// `PATCH /teams/apps/{app}/collaborators/{who}`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CollaboratorUpdate {
    /// What they may do from now on, by name.
    pub permissions: Vec<String>,
}
