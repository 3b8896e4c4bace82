//! `/account`, `/users/{id}`: the people who use this installation.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Named;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    /// Whether usage may be tracked; always false here.
    #[serde(default)]
    pub allow_tracking: bool,
    /// Whether beta features are on.
    #[serde(default)]
    pub beta: bool,
    /// Country, as a person filled it in.
    #[serde(default)]
    pub country_of_residence: Option<String>,
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// The team that new apps belong to.
    #[serde(default)]
    pub default_organization: Option<Named>,
    /// The team that new apps belong to.
    #[serde(default)]
    pub default_team: Option<Named>,
    /// Since when bills are unpaid; always absent here.
    #[serde(default, with = "crate::time::option")]
    #[schemars(with = "Option<chrono::DateTime<chrono::Utc>>")]
    pub delinquent_at: Option<DateTime<Utc>>,
    /// E-mail address, unique.
    pub email: String,
    /// Whether an identity provider logs it in.
    #[serde(default)]
    pub federated: bool,
    /// Id.
    pub id: Uuid,
    /// The identity provider.
    #[serde(default)]
    pub identity_provider: Option<Named>,
    /// When it last logged in.
    #[serde(default, with = "crate::time::option")]
    #[schemars(with = "Option<chrono::DateTime<chrono::Utc>>")]
    pub last_login: Option<DateTime<Utc>>,
    /// The person's name.
    #[serde(default)]
    pub name: Option<String>,
    /// Telephone number.
    #[serde(default)]
    pub sms_number: Option<String>,
    /// Since when it is suspended.
    #[serde(default, with = "crate::time::option")]
    #[schemars(with = "Option<chrono::DateTime<chrono::Utc>>")]
    pub suspended_at: Option<DateTime<Utc>>,
    /// Whether a second factor is wanted at login.
    #[serde(default)]
    pub two_factor_authentication: bool,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
    /// Whether payment data is there; always true here, clients ask for it.
    #[serde(default)]
    pub verified: bool,
}

/// `PATCH /account`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct AccountUpdate {
    /// See [`Account::allow_tracking`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_tracking: Option<bool>,
    /// See [`Account::beta`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta: Option<bool>,
    /// See [`Account::name`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A new e-mail address; needs `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The present password, where a change asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// A new password; needs `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_password: Option<String>,
}
