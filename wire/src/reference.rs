//! Short forms in which one resource names another.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Another resource by id and name, e.g. `release.app`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Named {
    /// The resource's id.
    pub id: Uuid,
    /// The resource's name.
    pub name: String,
}

/// Another resource by id only, e.g. `release.slug`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IdRef {
    /// The resource's id.
    pub id: Uuid,
}

/// Another resource by name only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NameRef {
    /// The resource's name.
    pub name: String,
}

/// An account as other resources name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserRef {
    /// The account's id.
    pub id: Uuid,
    /// The account's e-mail address.
    pub email: String,
}
