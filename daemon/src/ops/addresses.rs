//! Addresses that are keys: whoever has one needs no credentials, until it expires. Heroku's
//! clients fetch the output of builds and the bytes of slugs without any.

use chrono::TimeDelta;
use serde::Deserialize;
use uuid::Uuid;

use super::Platform;

/// The part of an address that proves that it was given out here.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
pub struct Key {
    /// Until when it counts, in seconds since 1970.
    pub expires: Option<String>,
    /// Made over what it is for, which one, and until when.
    pub signature: Option<String>,
}

/// The query of an address that is good for `purpose` on one thing for as long.
pub fn sign(p: &Platform, purpose: &str, id: Uuid, lasts: TimeDelta) -> String {
    let expires = (p.cx.now() + lasts).timestamp();
    let signature = p.cx.sealer().sign(&text(purpose, id, expires));
    format!("expires={expires}&signature={signature}")
}

/// Whether an address was given out for this and has not expired.
pub fn is_key(p: &Platform, purpose: &str, id: Uuid, key: &Key) -> bool {
    let expires = key.expires.as_deref().and_then(|expires| expires.parse().ok());
    let (Some(expires), Some(signature)) = (expires, &key.signature) else { return false };
    expires > p.cx.now().timestamp() && p.cx.sealer().is_signed(&text(purpose, id, expires), signature)
}

fn text(purpose: &str, id: Uuid, expires: i64) -> String {
    format!("{purpose}/{id}/{expires}")
}
