//! `/oauth/authorizations`: API tokens. A login is a `POST` with Basic e-mail and password.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::IdRef;

/// A permission to use the API, with its token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Authorization {
    /// The token; its text is told whole once, when it is made, and to whoever asks with it.
    /// Afterwards it is told as its first and last letters, since only a hash is kept.
    #[serde(default)]
    pub access_token: Option<Token>,
    /// The program it was made for.
    #[serde(default)]
    pub client: Option<OauthClient>,
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// What it is for, in the user's words.
    #[serde(default)]
    pub description: Option<String>,
    /// A code that a program is to trade for the token, where one was asked for.
    #[serde(default)]
    pub grant: Option<Grant>,
    /// Id.
    pub id: Uuid,
    /// A token to renew it by.
    #[serde(default)]
    pub refresh_token: Option<Token>,
    /// What it allows: `global`, `read`, `write`, `identity` …
    #[serde(default)]
    pub scope: Vec<String>,
    /// The session it belongs to.
    #[serde(default)]
    pub session: Option<IdRef>,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
    /// Whose it is.
    #[serde(default)]
    pub user: Option<AuthorizationUser>,
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Token {
    /// Seconds until it expires; absent: never.
    #[serde(default)]
    pub expires_in: Option<u64>,
    /// Id.
    pub id: Uuid,
    /// The secret.
    pub token: String,
}

/// A program that uses the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OauthClient {
    /// Id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Where its users are sent back to.
    #[serde(default)]
    pub redirect_uri: Option<String>,
}

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Grant {
    /// The code to trade for a token.
    pub code: String,
    /// Seconds until it expires.
    pub expires_in: u64,
    /// Id.
    pub id: Uuid,
}

/// Whose an authorization is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuthorizationUser {
    /// Id.
    pub id: Uuid,
    /// E-mail address.
    pub email: String,
    /// The person's name.
    #[serde(default)]
    pub full_name: Option<String>,
}

/// `POST /oauth/authorizations`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct AuthorizationCreate {
    /// See [`Authorization::scope`]; everything when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Vec<String>>,
    /// See [`Authorization::description`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Seconds until it expires; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::number")]
    #[schemars(with = "Option<u64>")]
    pub expires_in: Option<u64>,
    /// Id of the program it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// `PATCH /oauth/authorizations/{id}`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct AuthorizationUpdate {
    /// See [`Authorization::description`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The program that it is to belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientProof>,
}

/// A program that proves itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ClientProof {
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// Its secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// `/oauth/sessions`: a login, as distinct from a token made for a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// Id.
    pub id: Uuid,
    /// What logged in.
    #[serde(default)]
    pub description: Option<String>,
    /// When.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
    /// Seconds until it ends; absent: never.
    #[serde(default)]
    pub expires_in: Option<u64>,
    /// Its token, told once: when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<Token>,
}

/// `POST /oauth/sessions`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct SessionCreate {
    /// See [`Session::description`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Seconds until it ends; thirty days when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::number")]
    #[schemars(with = "Option<u64>")]
    pub expires_in: Option<u64>,
}
