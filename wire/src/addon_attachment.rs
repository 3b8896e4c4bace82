//! `/addon-attachments`: which apps use which add-on, and by which name.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::plan::PlanRef;
use crate::{Identity, Named};

/// An add-on as one app sees it. Its name gives the config vars: `CACHE` makes `CACHE_URL`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddonAttachment {
    /// The add-on.
    pub addon: AttachedAddon,
    /// The app that uses it.
    pub app: Named,
    /// Not in the schema, read by clients: the config vars that this attachment sets.
    #[serde(default)]
    pub config_vars: Vec<String>,
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Id.
    pub id: Uuid,
    /// Where the add-on may write log lines to.
    #[serde(default)]
    pub log_input_url: Option<String>,
    /// Unique name within the app, upper case.
    pub name: String,
    /// A part of the add-on (e.g. one credential); always absent here.
    #[serde(default)]
    pub namespace: Option<String>,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
    /// The add-on's dashboard for this app.
    #[serde(default)]
    pub web_url: Option<String>,
}

/// The add-on of an attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttachedAddon {
    /// The app that owns the add-on.
    pub app: Named,
    /// Id.
    pub id: Uuid,
    /// Unique name.
    pub name: String,
    /// Not in the schema, read by clients: its plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanRef>,
}

/// `POST /addon-attachments`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AttachmentCreate {
    /// The add-on by name or id.
    pub addon: Identity,
    /// The app by name or id.
    pub app: Identity,
    /// The app's name, where an attachment of the same name would be replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
    /// The attachment's name; the server makes one up when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// See [`AddonAttachment::namespace`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// `POST /actions/addon-attachments/resolve`: which attachments fit a name; answers a list.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct AttachmentResolve {
    /// Attachment name, add-on name, or `APP::ATTACHMENT`.
    pub addon_attachment: String,
    /// The app whose attachments count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Only add-ons of this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addon_service: Option<String>,
}
