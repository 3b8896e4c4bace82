//! `/apps/{app}/domains`: host names that lead to an app.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Named;

/// A host name of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Domain {
    /// State of its automatic certificate.
    #[serde(default)]
    pub acm_status: Option<String>,
    /// Why it is in that state.
    #[serde(default)]
    pub acm_status_reason: Option<String>,
    /// Its app.
    pub app: Named,
    /// What its DNS record must point to.
    #[serde(default)]
    pub cname: Option<String>,
    /// When it was added.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// The host name.
    pub hostname: String,
    /// Id.
    pub id: Uuid,
    /// Whose it is.
    pub kind: DomainKind,
    /// The certificate it is served with.
    #[serde(default)]
    pub sni_endpoint: Option<Named>,
    /// `pending`, `succeeded` …
    pub status: String,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// Whose a domain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DomainKind {
    /// Given by the platform: NAME.BASE. The word is Heroku's, clients compare it.
    Heroku,
    /// Added by the user.
    Custom,
}

/// `POST /apps/{app}/domains`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DomainCreate {
    /// The host name.
    pub hostname: String,
    /// Name or id of the certificate.
    #[serde(default)]
    pub sni_endpoint: Option<String>,
}

/// `PATCH /apps/{app}/domains/{domain}`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct DomainUpdate {
    /// Name or id of the certificate; `null` for none. One of them must be given.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<String>")]
    pub sni_endpoint: Option<Option<String>>,
}
