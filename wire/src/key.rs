//! `/account/keys`: SSH keys of an account.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Key {
    /// What stands behind it in its file: often whose and where.
    pub comment: String,
    /// When it was added.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// The account's address.
    pub email: String,
    /// MD5 of it, as pairs of hexadecimal digits with colons between.
    pub fingerprint: String,
    /// Id.
    pub id: Uuid,
    /// The key in one line.
    pub public_key: String,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// `POST /account/keys`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct KeyCreate {
    /// See [`Key::public_key`].
    pub public_key: String,
}
