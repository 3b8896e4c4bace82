//! What there is one of: region, stacks, the rate limit.

use axum::{Json, extract::State};
use paas_wire as wire;

use super::{endpoints::Endpoints, error::ApiResult, extract::Auth, transport::Left, view};
use crate::{ops::Platform, store};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/regions", regions)
        .get("/stacks", stacks)
        .get("/account/rate-limits", rate_limit)
        .get("/api/v4/current-status", current_status)
        .get("/health", health)
}

async fn regions(Auth(_): Auth) -> Json<Vec<wire::Region>> {
    let at = chrono::DateTime::UNIX_EPOCH;
    Json(vec![wire::Region {
        country: "Here".into(),
        created_at: at,
        description: "This machine".into(),
        id: view::id_of("region", "local"),
        locale: "Local".into(),
        name: "local".into(),
        private_capable: false,
        provider: wire::region::RegionProvider { name: "self-hosted".into(), region: "local".into() },
        updated_at: at,
    }])
}

/// The default stack, Heroku's, and whatever else apps use.
async fn stacks(State(p): State<Platform>, Auth(_): Auth) -> ApiResult<Json<Vec<wire::Stack>>> {
    let default = p.cx.config().stack.clone();
    let mut names = vec![default.clone(), "heroku-24".to_owned()];
    for app in store::apps::list(&mut p.db.read().await?).await? {
        names.extend([app.stack, app.build_stack]);
    }
    names.sort();
    names.dedup();
    let at = chrono::DateTime::UNIX_EPOCH;
    Ok(Json(
        names
            .into_iter()
            .map(|name| wire::Stack {
                created_at: at,
                default: name == default,
                id: view::id_of("stack", &name),
                name,
                state: "public".into(),
                updated_at: at,
            })
            .collect(),
    ))
}

async fn rate_limit(Auth(_): Auth, left: Left) -> Json<wire::RateLimit> {
    Json(wire::RateLimit { remaining: left.0.into() })
}

/// For load balancers and `paasd doctor`: answers when the database does.
async fn health(State(p): State<Platform>) -> ApiResult<&'static str> {
    store::settings::get(&mut p.db.read().await?, store::settings::INSTANCE).await?;
    Ok("ok\n")
}

/// How apps (the engine), data (the database) and tools (this API) are now.
async fn current_status(State(p): State<Platform>) -> Json<wire::CurrentStatus> {
    let data = match p.db.read().await {
        Ok(mut db) => store::settings::get(&mut db, store::settings::INSTANCE).await.is_ok(),
        Err(_) => false,
    };
    let apps = p.engine.nodes().await.is_ok_and(|nodes| nodes.iter().any(|node| node.ready));
    let part = |system: &str, well: bool| wire::SystemStatus {
        system: system.into(),
        status: if well { "green" } else { "red" }.into(),
    };
    Json(wire::CurrentStatus {
        status: vec![part("Apps", apps), part("Data", data), part("Tools", true)],
        incidents: Vec::new(),
        scheduled: Vec::new(),
    })
}
