//! `POST /sources`: a place to upload a build's source to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A place for one source archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// Its two addresses.
    pub source_blob: SourceUrls,
}

/// Addresses of an uploaded source; whoever has them needs no credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceUrls {
    /// Goes into `POST /apps/{app}/builds`.
    pub get_url: String,
    /// PUT the gzipped tar here.
    pub put_url: String,
}
