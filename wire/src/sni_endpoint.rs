//! `/apps/{app}/sni-endpoints`: certificates that an app brings.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Named;

/// A certificate of an app, chosen by the name that a visitor asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SniEndpoint {
    /// Its app.
    pub app: Named,
    /// The certificate and what it is signed by, PEM.
    pub certificate_chain: String,
    /// When it was added.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Its name, as people see it.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Ids of the domains that are served with it.
    #[serde(default)]
    pub domains: Vec<Uuid>,
    /// Id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What the certificate says.
    pub ssl_cert: SslCert,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SslCert {
    /// Not in the schema, read by clients: whether it was got automatically.
    #[serde(default)]
    pub acm: bool,
    /// Whether somebody whom this machine trusts has signed it.
    #[serde(rename = "ca_signed?")]
    pub ca_signed: bool,
    /// The host names that it is for.
    pub cert_domains: Vec<String>,
    /// When it ends.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub expires_at: DateTime<Utc>,
    /// Ours: SHA-256 of the certificate, in hexadecimal.
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// Id of the certificate: another one with every certificate.
    pub id: Uuid,
    /// Who has signed it.
    pub issuer: String,
    /// Whether it is signed by its own key.
    #[serde(rename = "self_signed?")]
    pub self_signed: bool,
    /// When it begins.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub starts_at: DateTime<Utc>,
    /// Whose it is.
    pub subject: String,
}

/// `POST /apps/{app}/sni-endpoints`
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct SniEndpointCreate {
    /// The certificate and what it is signed by, PEM.
    pub certificate_chain: String,
    /// Its key, PEM.
    pub private_key: String,
    /// Ours: a name of one's own; made up when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// `PATCH /apps/{app}/sni-endpoints/{endpoint}`
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct SniEndpointUpdate {
    /// The new certificate and what it is signed by, PEM.
    pub certificate_chain: String,
    /// Its key, PEM.
    pub private_key: String,
}

impl std::fmt::Debug for SniEndpointCreate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SniEndpointCreate").field("name", &self.name).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SniEndpointUpdate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SniEndpointUpdate").finish_non_exhaustive()
    }
}
