//! `/apps`: apps.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Identity, Named, UserRef};

/// An app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct App {
    /// Whether certificates are got automatically.
    #[serde(default)]
    pub acm: bool,
    /// Since when it is archived.
    #[serde(default, with = "crate::time::option")]
    #[schemars(with = "Option<chrono::DateTime<chrono::Utc>>")]
    pub archived_at: Option<DateTime<Utc>>,
    /// The stack of the next build.
    pub build_stack: Named,
    /// What the last build's buildpack calls itself, e.g. `Ruby`.
    #[serde(default)]
    pub buildpack_provided_description: Option<String>,
    /// Not in the schema, read by clients: `complete` once the app can be used.
    #[serde(default)]
    pub create_status: Option<String>,
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Generation of the platform; clients branch on the name `fir`, so it is another one.
    #[serde(default)]
    pub generation: Option<Named>,
    /// Where to push to: `https://HOST/NAME.git`.
    pub git_url: String,
    /// Id.
    pub id: Uuid,
    /// Whether it can be reached from inside a private network only.
    #[serde(default)]
    pub internal_routing: Option<bool>,
    /// Whether visitors see the maintenance page.
    #[serde(default)]
    pub maintenance: bool,
    /// Unique name.
    pub name: String,
    /// The team it belongs to (old name of the field).
    #[serde(default)]
    pub organization: Option<Named>,
    /// Who made it or took it over.
    pub owner: UserRef,
    /// Not in the schema, read by clients: price class of its dynos.
    #[serde(default)]
    pub process_tier: Option<String>,
    /// Where it runs.
    pub region: Named,
    /// When it last got a release.
    #[serde(default, with = "crate::time::option")]
    #[schemars(with = "Option<chrono::DateTime<chrono::Utc>>")]
    pub released_at: Option<DateTime<Utc>>,
    /// Bytes of the git repository.
    #[serde(default)]
    pub repo_size: Option<u64>,
    /// Bytes of the present slug.
    #[serde(default)]
    pub slug_size: Option<u64>,
    /// The private network it is in.
    #[serde(default)]
    pub space: Option<Named>,
    /// The stack of the present release.
    pub stack: Named,
    /// The team it belongs to.
    #[serde(default)]
    pub team: Option<Named>,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
    /// Where visitors find it.
    #[serde(default)]
    pub web_url: Option<String>,
}

/// `POST /apps`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct AppCreate {
    /// The name; the server makes one up when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Region by name or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Identity>,
    /// Stack by name or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<Identity>,
    /// Features to turn on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_flags: Option<Vec<String>>,
}

/// `PATCH /apps/{app}`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct AppUpdate {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// See [`App::maintenance`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::flag")]
    #[schemars(schema_with = "crate::loose::flag_schema")]
    pub maintenance: Option<bool>,
    /// The stack of the next build, by name or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_stack: Option<Identity>,
}
