//! Stacks: the systems that apps are built and run on.

use uuid::Uuid;

use super::Platform;
use crate::error::{Error, Result};

/// Those that there is an image for: ours, made on this machine, and Heroku's.
const KNOWN: [&str; 5] = ["debian-12", "debian-12-rails", "heroku-22", "heroku-24", "heroku-26"];

/// The names of all, in order.
pub fn all(p: &Platform) -> Vec<String> {
    let mut names: Vec<String> = KNOWN.iter().map(|name| (*name).to_owned()).collect();
    names.push(p.cx.config().stack.clone());
    names.sort();
    names.dedup();
    names
}

/// The stack that is meant by a name or an id.
pub fn find(p: &Platform, asked: &str) -> Result<String> {
    all(p)
        .into_iter()
        .find(|name| name == asked || id(name).to_string() == asked)
        .ok_or_else(|| Error::not_found("stack", asked))
}

/// The same for a field of a request: what is wrong is the request.
pub fn parse(p: &Platform, asked: &str) -> Result<String> {
    find(p, asked).map_err(|_| {
        let shown: String = asked.chars().filter(|c| !c.is_control()).take(40).collect();
        let hint = if asked == "container" { " Apps of Docker images are not run here." } else { "" };
        Error::invalid(format!("stack: {shown:?} is not a stack here.{hint} There are: {}.", all(p).join(", ")))
    })
}

/// A stack's id: always the same for a name.
pub fn id(name: &str) -> Uuid {
    stable_id("stack", name)
}

/// A stable identity for what has a name but no row: stacks, regions, plans, sizes.
pub fn stable_id(kind: &str, name: &str) -> Uuid {
    use sha2::{Digest as _, Sha256};
    let hash = Sha256::digest(format!("{kind}/{name}").as_bytes());
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
