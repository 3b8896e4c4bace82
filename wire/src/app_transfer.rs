//! `/account/app-transfers`: apps on their way from one account to another.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Identity, Named, UserRef};

/// An app that somebody gives to somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppTransfer {
    /// The app.
    pub app: Named,
    /// When it was offered.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Id.
    pub id: Uuid,
    /// Who gives it.
    pub owner: UserRef,
    /// Who is to have it.
    pub recipient: UserRef,
    /// How far it is.
    pub state: TransferState,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TransferState {
    /// Offered.
    Pending,
    /// Taken.
    Accepted,
    /// Not wanted.
    Declined,
}

/// `POST /account/app-transfers`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AppTransferCreate {
    /// The app by name or id.
    pub app: Identity,
    /// The account by address, id or `~`.
    pub recipient: Identity,
    /// Whether no mail is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<bool>,
}

/// `PATCH /account/app-transfers/{transfer}`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AppTransferUpdate {
    /// `accepted` or `declined`.
    pub state: TransferState,
}
