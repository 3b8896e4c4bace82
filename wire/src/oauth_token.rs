//! `/oauth/tokens`: a program trades a code, or the token it was given to renew by, for a token.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::IdRef;
use crate::oauth_authorization::{ClientProof, Token};

/// A token with the one to renew it by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OauthToken {
    /// The token.
    pub access_token: Token,
    /// The authorization that it belongs to.
    pub authorization: IdRef,
    /// The program's secret; not told again.
    #[serde(default)]
    #[schemars(with = "Option<ClientProof>")]
    pub client: Option<()>,
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// The code; not told again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<GrantGiven>")]
    pub grant: Option<()>,
    /// Id.
    pub id: Uuid,
    /// The token to renew it by.
    pub refresh_token: Token,
    /// The session that it is.
    pub session: IdRef,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
    /// Whose account it opens.
    pub user: IdRef,
}

/// `POST /oauth/tokens`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct OauthTokenCreate {
    /// The program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientProof>,
    /// What it has been given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantGiven>,
    /// The token to renew by, for the grant `refresh_token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<RefreshGiven>,
}

/// What is traded.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct GrantGiven {
    /// The code, for `authorization_code`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// `authorization_code` or `refresh_token`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// The token to renew by.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct RefreshGiven {
    /// Its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}
