//! `/buildpacks`: the registry of buildpacks with a name. Those that come with this server are
//! in it; what else has a name is in Heroku's registry, and is set by its name or address.
//!
//! Nobody proves who they are here, as with Heroku's: all of it is public.

use std::fmt;

use axum::{Json, extract::State, http::HeaderMap};
use base64::Engine as _;
use paas_buildpacks::catalog::{Described, described};
use paas_wire::buildpack_registry::{
    BuildpackReadme, BuildpackRevision, RegisteredBuildpack, RegistrySource, RegistrySupport,
};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use super::{
    endpoints::{Endpoints, Page},
    error::ApiResult,
    extract::{Path, Query},
    list::list,
    view,
};
use crate::{
    error::{Error, NotFound},
    ops::Platform,
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/buildpacks", search)
        .get("/buildpacks/{buildpack}", info)
        .get("/buildpacks/{buildpack}/readme", readme)
        .get("/buildpacks/{buildpack}/revisions", revisions)
        .get("/buildpacks/{buildpack}/revisions/{revision}", revision)
}

fn long_ago() -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::UNIX_EPOCH
}

fn show(p: &Platform, pack: &Described) -> RegisteredBuildpack {
    let (namespace, name) = pack.name.split_once('/').unwrap_or(("paas", pack.name));
    RegisteredBuildpack {
        // What apps store and are shown for it; it is inside the server and at no address.
        blob_url: format!("urn:buildpack:{}", pack.name),
        category: "languages".into(),
        created_at: long_ago(),
        description: pack.about.into(),
        id: view::id_of("buildpack", pack.name),
        name: name.into(),
        namespace: namespace.into(),
        source: RegistrySource { kind: "embedded".into() },
        support: RegistrySupport { address: format!("{}/", p.cx.config().api_url()), method: "website".into() },
        updated_at: long_ago(),
    }
}

fn find(asked: &str) -> ApiResult<Described> {
    let lower = asked.to_ascii_lowercase();
    let found = described()
        .into_iter()
        .find(|pack| pack.name == lower || view::id_of("buildpack", pack.name).to_string() == lower);
    found.ok_or_else(|| {
        let shown: String = asked.chars().filter(|c| !c.is_control()).take(80).collect();
        let known: Vec<_> = described().iter().map(|pack| pack.name).collect();
        let asked = format!(
            "Couldn't find {shown} among this server's buildpacks: {}. Others are set by the https:// address of a git repository or .tgz archive.",
            known.join(", ")
        );
        Error::NotFound(NotFound { resource: "buildpack", asked }).into()
    })
}

/// What is looked for: each may be there several times, and then one of them is enough.
#[derive(Debug, Default, JsonSchema)]
struct Search {
    /// One of these namespaces.
    #[schemars(rename = "in[namespace][]", with = "Option<String>")]
    namespaces: Vec<String>,
    /// One of these names.
    #[schemars(rename = "in[name][]", with = "Option<String>")]
    names: Vec<String>,
    /// Words of the description.
    #[schemars(rename = "like[description]", with = "Option<String>")]
    descriptions: Vec<String>,
}

impl<'de> Deserialize<'de> for Search {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Pairs)
    }
}

/// Reads pairs of which several may have one name.
struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Search;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("names and values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Search, A::Error> {
        let mut search = Search::default();
        while let Some((name, value)) = map.next_entry::<String, String>()? {
            let value = value.to_ascii_lowercase();
            match name.as_str() {
                "in[namespace][]" => search.namespaces.push(value),
                "in[name][]" => search.names.push(value),
                "like[description]" => search.descriptions.push(value),
                _ => {}
            }
        }
        Ok(search)
    }
}

async fn search(
    State(p): State<Platform>,
    Query(search): Query<Search>,
    headers: HeaderMap,
) -> ApiResult<Page<RegisteredBuildpack>> {
    let Search { namespaces, names, descriptions } = search;
    let items = described()
        .iter()
        .map(|pack| show(&p, pack))
        .filter(|pack| namespaces.is_empty() || namespaces.contains(&pack.namespace))
        .filter(|pack| names.is_empty() || names.contains(&pack.name))
        .filter(|pack| {
            let about = pack.description.to_ascii_lowercase();
            descriptions.iter().all(|wanted| about.contains(wanted.as_str()))
        })
        .collect();
    Ok(list(&headers, "id", items, |item: &RegisteredBuildpack| item.id.to_string()))
}

async fn info(State(p): State<Platform>, Path(name): Path<String>) -> ApiResult<Json<RegisteredBuildpack>> {
    Ok(Json(show(&p, &find(&name)?)))
}

async fn readme(Path(name): Path<String>) -> ApiResult<Json<BuildpackReadme>> {
    let content = base64::engine::general_purpose::STANDARD.encode(find(&name)?.readme);
    Ok(Json(BuildpackReadme { content, encoding: "base64".into() }))
}

/// A pack of ours is of the server's own version, and there is no other.
fn only(pack: &Described) -> BuildpackRevision {
    BuildpackRevision {
        created_at: long_ago(),
        id: view::id_of("buildpack-revision", pack.name),
        license: Some("Apache-2.0".into()),
        reference: format!("v{}", env!("CARGO_PKG_VERSION")),
        release: 1,
        status: "published".into(),
    }
}

async fn revisions(Path(name): Path<String>, headers: HeaderMap) -> ApiResult<Page<BuildpackRevision>> {
    let items = vec![only(&find(&name)?)];
    Ok(list(&headers, "release", items, |item: &BuildpackRevision| item.release.to_string()))
}

async fn revision(Path((name, revision)): Path<(String, String)>) -> ApiResult<Json<BuildpackRevision>> {
    let only = only(&find(&name)?);
    if revision == only.id.to_string() || revision == only.release.to_string() {
        return Ok(Json(only));
    }
    Err(Error::not_found("revision", revision).into())
}
