//! `/oauth/clients`: programs that users may let into their accounts.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A program, as its maker sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Client {
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Id.
    pub id: Uuid,
    /// Whether it also serves accounts with unpaid bills: there are none here.
    #[serde(default)]
    pub ignores_delinquent: Option<bool>,
    /// Its name.
    pub name: String,
    /// Where its users are sent back to.
    pub redirect_uri: String,
    /// By which it proves itself.
    pub secret: String,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// `POST /oauth/clients`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ClientCreate {
    /// See [`Client::name`].
    pub name: String,
    /// See [`Client::redirect_uri`].
    pub redirect_uri: String,
}

/// `PATCH /oauth/clients/{id}`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ClientUpdate {
    /// See [`Client::name`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// See [`Client::redirect_uri`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_uri: Option<String>,
}
