//! `/teams`: teams, what they have switched on, and what this platform never has of them.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Identity, Named, UserRef, addon_service::AddonServiceRef};

/// A team: people who share apps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Team {
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Whether cards are charged; always false here.
    #[serde(default)]
    pub credit_card_collections: bool,
    /// Whether it is the one that is meant where none is named.
    #[serde(default)]
    pub default: bool,
    /// The enterprise account it belongs to; there is none here.
    #[serde(default)]
    pub enterprise_account: Option<Named>,
    /// Id.
    pub id: Uuid,
    /// Who logs its members in.
    #[serde(default)]
    pub identity_provider: Option<Named>,
    /// How many may be in it; absent: as many as there are.
    #[serde(default)]
    pub membership_limit: Option<u64>,
    /// Unique name.
    pub name: String,
    /// Whether it is licensed by contract; always false here.
    #[serde(default)]
    pub provisioned_licenses: bool,
    /// What who asks is in it: `admin`, `member`, `viewer` or `collaborator`.
    #[serde(default)]
    pub role: Option<String>,
    /// `team`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// `POST /teams`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TeamCreate {
    /// The name.
    pub name: String,
}

/// `PATCH /teams/{team}`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct TeamUpdate {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it is the team of who asks where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<bool>,
}

/// Something that a team can do or can't.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TeamFeature {
    /// When it came.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// What it is.
    pub description: String,
    /// Its name for people.
    pub display_name: String,
    /// Where it is told of.
    pub doc_url: String,
    /// Whether it is on.
    pub enabled: bool,
    /// Where to write to about it.
    pub feedback_email: String,
    /// Id.
    pub id: Uuid,
    /// Its name for programs.
    pub name: String,
    /// `general`.
    pub state: String,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// What a team has chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TeamPreferences {
    /// What new members may do; absent: as their role says.
    #[serde(default, rename = "default-permission")]
    pub default_permission: Option<String>,
    /// Whether its members may add only add-ons of allowed services.
    #[serde(default, rename = "addons-controls")]
    pub addons_controls: Option<bool>,
}

/// `PATCH /teams/{team}/preferences`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct TeamPreferencesUpdate {
    /// See [`TeamPreferences::addons_controls`].
    #[serde(default, rename = "addons-controls", skip_serializing_if = "Option::is_none")]
    pub addons_controls: Option<bool>,
}

/// An add-on service that a team's members may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AllowedAddonService {
    /// Since when.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub added_at: DateTime<Utc>,
    /// Who allowed it.
    pub added_by: UserRef,
    /// The service.
    pub addon_service: AddonServiceRef,
    /// Id.
    pub id: Uuid,
}

/// `POST /teams/{team}/allowed-addon-services`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AllowedAddonServiceCreate {
    /// The service by name or id.
    pub addon_service: Identity,
}

/// Since when a team owes money; never here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TeamDelinquency {
    /// When it will be suspended.
    #[serde(default)]
    pub scheduled_suspension_time: Option<String>,
    /// When it will be deleted.
    #[serde(default)]
    pub scheduled_deletion_time: Option<String>,
}

/// An app of a team with all who may do something with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PermissionEntity {
    /// The app's id.
    pub id: Uuid,
    /// The app's name.
    pub name: String,
    /// The team.
    pub team_id: Uuid,
    /// `app`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who.
    pub users: Vec<PermittedUser>,
}

/// Someone with what they may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PermittedUser {
    /// E-mail address.
    pub email: String,
    /// Id.
    pub id: Uuid,
    /// What they may do, by name.
    pub permissions: Vec<String>,
}
