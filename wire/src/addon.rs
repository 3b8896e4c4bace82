//! `/addons`, `/apps/{app}/addons`: the databases and services of an app.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::addon_service::AddonServiceRef;
use crate::plan::{PlanRef, Price};
use crate::{Identity, Named};

/// An add-on: one installation of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Addon {
    /// What its provider lets one do; always empty here.
    #[serde(default)]
    pub actions: Vec<serde_json::Value>,
    /// Its service.
    pub addon_service: AddonServiceRef,
    /// The app that it was made for and that destroys it.
    pub app: Named,
    /// What is charged.
    #[serde(default)]
    pub billed_price: Option<Price>,
    /// Who pays; the app here.
    #[serde(default)]
    pub billing_entity: Option<BillingEntity>,
    /// Names of the config vars that it sets on its own app.
    #[serde(default)]
    pub config_vars: Vec<String>,
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Id.
    pub id: Uuid,
    /// Unique name, e.g. `redis-silent-hill-1234`.
    pub name: String,
    /// Its plan.
    pub plan: PlanRef,
    /// The provider's own id for it.
    #[serde(default)]
    pub provider_id: Option<String>,
    /// What the provider tells the user after making it.
    #[serde(default)]
    pub provision_message: String,
    /// How far it is.
    pub state: AddonState,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
    /// Its dashboard.
    #[serde(default)]
    pub web_url: Option<String>,
}

/// Who pays for an add-on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BillingEntity {
    /// Id of the app or team.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// `app` or `team`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// How far an add-on is. A DELETE must answer one of the last two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddonState {
    /// Being made; clients ask again.
    Provisioning,
    /// Ready.
    Provisioned,
    /// Being taken away.
    Deprovisioning,
    /// Gone.
    Deprovisioned,
}

impl AddonState {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Provisioned => "provisioned",
            Self::Deprovisioning => "deprovisioning",
            Self::Deprovisioned => "deprovisioned",
        }
    }
}

/// `POST /apps/{app}/addons`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AddonCreate {
    /// `SERVICE:PLAN`, `SERVICE` (its default plan) or the plan's id; a text or `{name}`.
    pub plan: Identity,
    /// Its unique name; the server makes one up when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The name of its first attachment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<AddonCreateAttachment>,
    /// Options of the service, e.g. `{"maxmemory_policy": "allkeys-lru"}`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::texts")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub config: Option<BTreeMap<String, String>>,
    /// The app's name, where a config var would be overwritten. That takes an add-on that is
    /// there: here a name that is taken is refused, with what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
}

/// The first attachment of a new add-on.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct AddonCreateAttachment {
    /// E.g. `CACHE`, which makes `CACHE_URL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// `PATCH /apps/{app}/addons/{addon}`: another plan, another name, or both.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct AddonUpdate {
    /// A new unique name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A new plan of the same service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Identity>,
}

/// `GET /apps/{app}/addons/{addon}/sso`: how to get into an add-on's dashboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddonSso {
    /// Where to go.
    pub action: String,
    /// `get` or `post`.
    pub method: String,
    /// What to send along.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
}

/// Body of `DELETE /apps/{app}/addons/{addon}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct AddonDelete {
    /// Whether to go on though other apps have it attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
}

/// `POST /actions/addons/resolve`: which add-ons fit a name; answers a list.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct AddonResolve {
    /// Add-on name, attachment name, or `APP::ATTACHMENT`.
    pub addon: String,
    /// The app whose attachments count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Only add-ons of this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addon_service: Option<String>,
}
