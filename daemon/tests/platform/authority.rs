//! Who may do what, over the whole table of routes: a new route is in here by itself.
//!
//! Where a route has a parameter that is not in [`World::value`] yet, the test says so: add what
//! stands for it. A body that its handler needs goes into [`body`]; a route that is open to
//! everybody into [`PUBLIC`], one about nobody's things into [`CATALOGUE`], and what only owners
//! may do into [`OWNERS`]. Each with its reason. What tokens of less than everything may do is a
//! snapshot of all routes.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use paas_daemon::{
    api::{
        self,
        endpoints::{Caller, Endpoint},
    },
    ops::{scopes::Scopes, tokens},
};
use serde_json::{Value, json};

use crate::{
    people::Person,
    util::{Answer, TestApp},
};

/// Open to everybody: method, path, why.
const PUBLIC: &[(&str, &str, &str)] = &[
    ("GET", "/health", "for load balancers, tells nothing"),
    ("GET", "/openapi.json", "documentation"),
    ("GET", "/schema", "documentation"),
    ("GET", "/api/v4/current-status", "whether the platform is well, for people who can't log in"),
    ("GET", "/buildpacks", "a registry of what anybody can have"),
    ("GET", "/buildpacks/{buildpack}", "a registry of what anybody can have"),
    ("GET", "/buildpacks/{buildpack}/readme", "a registry of what anybody can have"),
    ("GET", "/buildpacks/{buildpack}/revisions", "a registry of what anybody can have"),
    ("GET", "/buildpacks/{buildpack}/revisions/{revision}", "a registry of what anybody can have"),
    ("GET", "/addons/{addon}/dashboard", "the form asks for the password; an address that was signed is the key"),
    ("POST", "/addons/{addon}/dashboard", "the form asks for the password"),
    ("POST", "/auth", "a login begins"),
    ("GET", "/auth/browser/{page}", "the address, a random number, is the key, and the form asks for the password"),
    ("POST", "/auth/browser/{page}", "the address, a random number, is the key, and the form asks for the password"),
    ("GET", "/auth/cli", "a token of its own is the key"),
    ("GET", "/oauth/authorize", "tells a client's name; the form asks for the password"),
    ("POST", "/oauth/authorize", "the form asks for the password"),
    ("POST", "/oauth/tokens", "the client's secret is the key"),
    ("POST", "/oauth/token", "the client's secret is the key"),
    ("POST", "/password-resets", "for whoever can't log in; its answer is always the same"),
    ("POST", "/password-resets/{token}/actions/finalize", "the token, a random number, is the key"),
    ("GET", "/teams/invitations/{token}", "the token is the key: who is invited need not have an account"),
    ("PUT", "/sources/{source}", "the address that was given out is the key"),
    ("GET", "/sources/{source}", "the address that was given out is the key"),
];

/// Has a parameter and is about nobody's things: the path, why.
const CATALOGUE: &[(&str, &str)] = &[
    ("/addon-services/{service}", "what there is to be had"),
    ("/addon-services/{service}/plans", "what there is to be had"),
    ("/addon-services/{service}/plans/{plan}", "what there is to be had"),
    ("/plans/{plan}", "what there is to be had"),
    ("/addon-services/{service}/region-capabilities", "what there is to be had"),
    ("/regions/{region}", "what there is to be had"),
    ("/regions/{region}/addon-region-capabilities", "what there is to be had"),
    ("/stacks/{stack}", "what there is to be had"),
    ("/generations/{generation}", "what there is to be had"),
    ("/api/v2/{dyno}", "refused to everybody, with what to do instead"),
    ("/account/features/{feature}", "of the account that asks"),
    ("/dyno-sizes/{size}", "what there is to be had"),
];

/// What a collaborator is refused.
const OWNERS: &[(&str, &str)] =
    &[("DELETE", "/apps/{app}"), ("POST", "/apps/{app}/collaborators"), ("DELETE", "/apps/{app}/collaborators/{who}")];

/// One owner with an app and what belongs to it.
struct World {
    t: TestApp,
    owner: Value,
    authorization: String,
    addon: String,
    attachment: String,
    /// `world` at staging, and `world-next` at production of it.
    pipeline: String,
    coupling: String,
    promotion: String,
    log_drain: String,
    telemetry_drain: String,
    setup: String,
    review: String,
    run: String,
}

impl World {
    async fn make() -> Self {
        let t = TestApp::fake().await;
        t.create("world").await;
        t.deploy("world", &[("x", "y")], &[("worker", "sleep 1000")]).await;
        t.patch("/apps/world/formation/worker", json!({"quantity": 1})).await.ok();
        t.until_dynos("world", &["worker.1 up"]).await;
        let addon = t.post("/apps/world/addons", json!({"plan": "redis:mini"})).await.ok();
        let attachments = t.get("/apps/world/addon-attachments").await.ok();
        t.post("/apps/world/domains", json!({"hostname": "www.example.com"})).await.ok();
        for email in ["helper@example.com", "second@example.com"] {
            t.other(email).await;
            t.post("/apps/world/collaborators", json!({"user": email})).await.ok();
        }
        let next = t.create("world-next").await;
        let pipeline = t.post("/pipelines", json!({"name": "line"})).await.ok();
        let couple = |app: &str, stage: &str| json!({"pipeline": pipeline["id"], "app": app, "stage": stage});
        let coupling = t.post("/pipeline-couplings", couple("world", "staging")).await.ok();
        t.post("/pipeline-couplings", couple("world-next", "production")).await.ok();
        let source = json!({"app": {"id": coupling["app"]["id"]}});
        let promotion =
            json!({"pipeline": {"id": pipeline["id"]}, "source": source, "targets": [{"app": {"id": next["id"]}}]});
        let promotion = t.post("/pipeline-promotions", promotion).await.ok();
        // A team that none of them is in.
        Person::admin(&t, "root").await.post("/teams", json!({"name": "crew"})).await.ok();
        let log_drain = t.post("/apps/world/log-drains", json!({"url": "syslog://logs.invalid:514"})).await.ok();
        let exporter = json!({"type": "otlphttp", "endpoint": "https://otel.invalid"});
        let drain = json!({"owner": {"id": "world", "type": "app"}, "signals": ["logs"], "exporter": exporter});
        let telemetry_drain = t.post("/telemetry-drains", drain).await.ok();
        // Nothing has been uploaded there: they end by themselves.
        let url = t.post("/sources", json!({})).await.ok()["source_blob"]["get_url"].clone();
        let setup = t.post("/app-setups", json!({"source_blob": {"url": url}})).await.ok();
        let review = json!({"branch": "b", "pipeline": pipeline["id"], "source_blob": {"url": url}});
        let review = t.post("/review-apps", review).await.ok();
        let run = json!({
            "commit_branch": "b", "commit_message": "m", "commit_sha": "c", "pipeline": pipeline["id"],
            "source_blob_url": url,
        });
        let run = t.post("/test-runs", run).await.ok();
        let owner = t.get("/account").await.ok();
        let authorization = t.get("/oauth/authorizations").await.ok()[0]["id"].as_str().unwrap().to_owned();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            owner,
            authorization,
            addon: text(&addon["name"]),
            attachment: text(&attachments[0]["id"]),
            pipeline: text(&pipeline["id"]),
            coupling: text(&coupling["id"]),
            promotion: text(&promotion["id"]),
            log_drain: text(&log_drain["id"]),
            telemetry_drain: text(&telemetry_drain["id"]),
            setup: text(&setup["id"]),
            review: text(&review["id"]),
            run: text(&run["id"]),
            t,
        }
    }

    /// What stands for a parameter of a path.
    fn value(&self, path: &str, parameter: &str) -> String {
        let nothing = "01234567-89ab-4def-8123-456789abcdef".to_owned();
        match (parameter, path.split('/').nth(1).unwrap_or_default()) {
            ("app", _) => "world".into(),
            ("id", "users") => self.owner["id"].as_str().unwrap().into(),
            ("id", "accounts") => self.owner["id"].as_str().unwrap().into(),
            ("feature", "account") => "dashboard-repositories-api".into(),
            ("feature", "apps") => "preboot".into(),
            ("key" | "client" | "token" | "page" | "space" | "*part" | "enterprise" | "invoice" | "credit", _) => {
                nothing
            }
            ("id", "oauth") => self.authorization.clone(),
            ("addon", _) => self.addon.clone(),
            ("attachment", _) => self.attachment.clone(),
            ("drain", "telemetry-drains") => self.telemetry_drain.clone(),
            ("drain", _) => self.log_drain.clone(),
            ("service", _) => "redis".into(),
            ("plan", "plans") => "redis:mini".into(),
            ("plan", _) => "mini".into(),
            ("size", _) => "standard-1x".into(),
            ("type", _) => "worker".into(),
            ("region", _) => "local".into(),
            ("stack", _) => "debian-12".into(),
            ("generation", _) => "cedar".into(),
            ("buildpack", _) => "heroku%2Fruby".into(),
            ("revision", _) => "1".into(),
            ("image", _) => nothing,
            ("dyno", _) => "worker.1".into(),
            ("release", "streams") => nothing,
            ("release", _) => "2".into(),
            ("who" | "member", _) => "second@example.com".into(),
            ("team", _) => "crew".into(),
            ("feature", "teams") => "org-access-controls".into(),
            ("invitation" | "transfer", _) => nothing,
            ("name", _) => "www.example.com".into(),
            ("setup", _) => self.setup.clone(),
            ("review_app", _) => self.review.clone(),
            ("test_run", _) => self.run.clone(),
            ("branch", _) => "main".into(),
            ("number", _) => "1".into(),
            ("pipeline", _) => self.pipeline.clone(),
            ("coupling", _) => self.coupling.clone(),
            ("promotion", _) => self.promotion.clone(),
            ("stage", _) => "test".into(),
            ("build" | "slug" | "source" | "webhook" | "event" | "delivery" | "endpoint", _) => nothing,
            _ => panic!("{path}: say in World::value what stands for {{{parameter}}}"),
        }
    }

    fn path(&self, endpoint: &Endpoint) -> String {
        let part = |part: &str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(parameter) => self.value(endpoint.path, parameter),
            None => part.to_owned(),
        };
        endpoint.path.split('/').map(part).collect::<Vec<_>>().join("/")
    }

    /// A new token of an account.
    async fn token(&self, email: &str) -> String {
        let p = self.t.platform();
        let user = paas_daemon::store::users::by_email(&mut p.db.read().await.unwrap(), email).await.unwrap().unwrap();
        paas_daemon::ops::accounts::create_token(p, user.id, "of the matrix", None).await.unwrap().1
    }

    async fn ask(&self, endpoint: &Endpoint, token: Option<&str>) -> Answer {
        let body = endpoint.body.map(|_| body(endpoint).to_string().into_bytes());
        self.t.send(endpoint.method.as_str(), &self.path(endpoint), token, body).await
    }
}

/// A body that the endpoint's handler takes.
fn body(endpoint: &Endpoint) -> Value {
    match (endpoint.method.as_str(), endpoint.path) {
        ("PATCH", "/account/features/{feature}" | "/apps/{app}/features/{feature}") => json!({"enabled": true}),
        ("POST", "/account/keys") => json!({"public_key": "no key"}),
        ("POST", "/oauth/clients") => json!({"name": "x", "redirect_uri": "https://example.com/"}),
        ("POST", "/password-resets") => json!({"email": "nobody@example.com"}),
        ("POST", "/password-resets/{token}/actions/finalize") => {
            json!({"password": "long enough", "password_confirmation": "long enough"})
        }
        ("POST", "/apps/{app}/collaborators" | "/teams/apps/{app}/collaborators") => {
            json!({"user": "third@example.com"})
        }
        ("PATCH", "/teams/apps/{app}/collaborators/{who}") => json!({"permissions": ["view"]}),
        ("PUT" | "POST" | "PATCH", "/teams/{team}/members") => json!({"email": "second@example.com", "role": "member"}),
        ("PUT", "/teams/{team}/invitations") => json!({"email": "third@example.com", "role": "member"}),
        ("POST", "/teams/{team}/allowed-addon-services") => json!({"addon_service": "redis"}),
        ("PATCH", "/account/app-transfers/{transfer}") => json!({"state": "accepted"}),
        ("POST", "/account/app-transfers") => json!({"app": "world", "recipient": "second@example.com"}),
        ("POST", "/apps/{app}/domains") => json!({"hostname": "other.example.com"}),
        ("PATCH", "/apps/{app}/domains/{name}") => json!({"sni_endpoint": null}),
        ("POST", "/apps/{app}/sni-endpoints") | ("PATCH", "/apps/{app}/sni-endpoints/{endpoint}") => {
            json!({"certificate_chain": "none", "private_key": "none"})
        }
        ("POST", "/apps/{app}/webhooks" | "/addons/{addon}/webhooks") => {
            json!({"url": "http://192.0.2.1/", "include": ["api:app"], "level": "notify"})
        }
        ("POST", "/apps/{app}/addons") => json!({"plan": "redis:mini"}),
        ("PATCH", "/apps/{app}/addons/{addon}" | "/addons/{addon}") => json!({"plan": "redis:mini"}),
        ("POST", "/addon-attachments") => json!({"addon": "nobody", "app": "world"}),
        ("POST", "/actions/addons/resolve") => json!({"addon": "nobody", "app": "world"}),
        ("POST", "/actions/addon-attachments/resolve") => json!({"addon_attachment": "nobody", "app": "world"}),
        ("PATCH", "/apps/{app}/formation") => json!({"updates": [{"type": "worker", "quantity": 1}]}),
        ("PATCH", "/apps/{app}/formation/{type}") => json!({"quantity": 1}),
        ("POST", "/redis/v0/databases/{addon}/upgrade") => json!({"version": "7"}),
        ("POST", "/apps/{app}/dynos" | "/apps/{app}/dynos/{dyno}") => json!({"command": "true"}),
        ("POST", "/apps/{app}/log-drains") | ("PUT", "/addons/{addon}/log-drains/{drain}") => {
            json!({"url": "syslog://other.invalid:514"})
        }
        ("PUT", "/apps/{app}/buildpack-installations") => json!({"updates": []}),
        ("POST", "/apps/{app}/releases") => json!({"release": "2"}),
        ("POST", "/apps/{app}/slugs") => json!({"process_types": {"worker": "work"}}),
        ("POST", "/apps/{app}/builds") => json!({"source_blob": {"url": "http://127.0.0.1:1/source.tgz"}}),
        ("POST", "/redis/v0/databases/{addon}/cli") => json!({"command": ["PING"]}),
        ("POST", "/pipelines/{pipeline}/repo") => json!({"repo_url": "world"}),
        ("PATCH", "/test-runs/{test_run}") => json!({"status": "cancelled"}),
        ("POST", "/pipelines") => json!({"name": "another"}),
        ("POST", "/pipeline-couplings") => json!({"pipeline": "line", "app": "world", "stage": "staging"}),
        ("PATCH", "/pipelines/{pipeline}/stage/{stage}/config-vars") => json!({"A": "1"}),
        _ => json!({}),
    }
}

/// Those that look first, those that take away last, and of these the deepest first.
fn in_order(mut endpoints: Vec<Endpoint>) -> Vec<Endpoint> {
    let rank = |e: &Endpoint| match e.method {
        Method::GET => 0,
        Method::DELETE => 2,
        _ => 1,
    };
    endpoints.sort_by_key(|e| (rank(e), std::cmp::Reverse(e.path.split('/').count())));
    endpoints
}

fn is_open(endpoint: &Endpoint) -> bool {
    PUBLIC.iter().any(|(method, path, _)| (*method, *path) == (endpoint.method.as_str(), endpoint.path))
}

#[test]
fn open_endpoints_are_those_that_are_meant_to_be() {
    let (_, endpoints) = api::endpoints().split();
    let open: Vec<_> = endpoints.iter().filter(|e| e.caller == Caller::Anyone).collect();
    let unmeant: Vec<_> = open.iter().filter(|e| !is_open(e)).map(|e| format!("{} {}", e.method, e.path)).collect();
    assert!(unmeant.is_empty(), "open to everybody without a reason in PUBLIC: {unmeant:#?}");
    let gone: Vec<_> = PUBLIC.iter().filter(|(m, p, _)| !open.iter().any(|e| e.method == *m && e.path == *p)).collect();
    assert!(gone.is_empty(), "in PUBLIC and not there or not open: {gone:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_nowhere() {
    let world = World::make().await;
    let (_, endpoints) = api::endpoints().split();
    let revoked = world.t.post("/oauth/authorizations", json!({})).await.ok();
    let id = revoked["id"].as_str().unwrap();
    let revoked = revoked["access_token"]["token"].as_str().unwrap().to_owned();
    world.t.delete(&format!("/oauth/authorizations/{id}")).await.ok();
    world.t.other("outsider@example.com").await;
    let mut wrong = Vec::new();
    for endpoint in in_order(endpoints) {
        let named = format!("{} {}", endpoint.method, endpoint.path);
        for (who, token) in [("nobody", None), ("a revoked token", Some(revoked.as_str()))] {
            let status = world.ask(&endpoint, token).await.status;
            let good = match endpoint.caller {
                Caller::Token | Caller::Password => status == 401,
                Caller::KeyOrToken => matches!(status, 401 | 403 | 404),
                Caller::Anyone => status < 500,
            };
            if !good {
                wrong.push(format!("{named}: {who} gets {status}"));
            }
        }
        if endpoint.caller == Caller::Anyone {
            continue;
        }
        let scoped = endpoint.path.contains('{') && !CATALOGUE.iter().any(|(path, _)| *path == endpoint.path);
        // A new token each time: some routes end the one that is used.
        let token = world.token("outsider@example.com").await;
        let answer = world.ask(&endpoint, Some(&token)).await;
        if scoped && !matches!(answer.status, 403 | 404) || answer.status >= 500 {
            wrong.push(format!("{named}: an outsider gets {} {}", answer.status, answer.body));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    // Nothing of it has done anything.
    let app = world.t.get("/apps/world").await.ok();
    assert_eq!(app["maintenance"], false);
    assert_eq!(world.t.get("/apps/world/addons").await.ok().as_array().unwrap().len(), 1);
    assert_eq!(world.t.dynos("world").await, ["worker.1 up"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_works_on_an_app_gets_where_they_may() {
    for who in ["owner@example.com", "helper@example.com"] {
        let world = World::make().await;
        let token = world.token(who).await;
        let owner = who == "owner@example.com";
        let mut wrong = Vec::new();
        let (_, endpoints) = api::endpoints().split();
        for endpoint in in_order(endpoints) {
            let of_the_app = endpoint.path.starts_with("/apps/{app}") || endpoint.path.starts_with("/addons/{addon}");
            // Of their own account, only what looks: the rest would end the walk.
            if !of_the_app && endpoint.method != Method::GET || is_open(&endpoint) {
                continue;
            }
            let named = format!("{} {}", endpoint.method, endpoint.path);
            let refused = OWNERS.contains(&(endpoint.method.as_str(), endpoint.path)) && !owner;
            let answer = world.ask(&endpoint, Some(&token)).await;
            // What somebody may not see is not there for them.
            let hidden = answer.status == 404
                && (answer.body["resource"] == "app"
                    // Those that change have deprovisioned it after a while.
                    || answer.body["resource"] == "add_on" && endpoint.method == Method::GET);
            let denied = matches!(answer.status, 401 | 403) || hidden;
            let good = if of_the_app { denied == refused } else { answer.status != 401 };
            if !good || answer.status >= 500 {
                wrong.push(format!("{named}: {who} gets {} {}", answer.status, answer.body));
            }
        }
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    }
}

/// A new token of the owner's with one scope.
async fn scoped(t: &TestApp, scope: &str) -> String {
    let new = tokens::New {
        description: "of the matrix".into(),
        scopes: Scopes::parse([scope]).unwrap(),
        expires_in: None,
        session: false,
    };
    tokens::create(t.platform(), &t.actor().await, new).await.unwrap().1
}

const LESS: [&str; 5] = ["identity", "read", "write", "read-protected", "write-protected"];

/// Which tokens of less than everything get past every route's door: a new route is not in the
/// snapshot until somebody has looked at what it lets them do.
#[tokio::test(flavor = "multi_thread")]
async fn each_route_takes_the_scopes_that_are_written_down() {
    let world = World::make().await;
    let mut table: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let (_, endpoints) = api::endpoints().split();
    for endpoint in in_order(endpoints) {
        if endpoint.caller == Caller::Anyone {
            continue;
        }
        let mut may = Vec::new();
        for scope in LESS {
            // A new token each time: some routes end the one that is used.
            let answer = world.ask(&endpoint, Some(&scoped(&world.t, scope).await)).await;
            let why = answer.body["message"].as_str().unwrap_or_default();
            if answer.status != 403 || !why.starts_with("This token has the scope") {
                may.push(scope);
            }
        }
        let may = if may.is_empty() { "global only".to_owned() } else { may.join(", ") };
        table.entry(may).or_default().insert(format!("{} {}", endpoint.path, endpoint.method));
    }
    let mut text = String::new();
    for (may, routes) in table {
        text.push_str(&format!("{may}:\n"));
        routes.iter().for_each(|route| text.push_str(&format!("  {route}\n")));
    }
    insta::assert_snapshot!(text);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_read_or_write_apps_is_shown_no_secret() {
    let world = World::make().await;
    let t = &world.t;
    t.patch("/apps/world/config-vars", json!({"SECRET": "s3cret-of-the-app"})).await.ok();
    let url = "https://user:s3cret-of-the-drain@logs.invalid/";
    t.post("/apps/world/log-drains", json!({"url": url})).await.ok();
    let exporter =
        json!({"type": "otlphttp", "endpoint": "https://otel.invalid", "headers": {"x-key": "s3cret-of-otel"}});
    t.patch(&format!("/telemetry-drains/{}", world.telemetry_drain), json!({"exporter": exporter})).await.ok();
    let stage = format!("/pipelines/{}/stage/test/config-vars", world.pipeline);
    t.patch(&stage, json!({"SECRET": "s3cret-of-the-stage"})).await.ok();
    let hook = json!({
        "url": "http://192.0.2.1/", "include": ["api:app"], "level": "notify", "secret": "s3cret-of-the-hook",
        "authorization": "s3cret-to-the-hook",
    });
    t.post("/apps/world/webhooks", hook).await.ok();
    let client = json!({"name": "x", "redirect_uri": "https://example.com/"});
    let client = t.post("/oauth/clients", client).await.ok()["secret"].as_str().unwrap().to_owned();
    let secrets = ["s3cret-of-the-app", "s3cret-of-the-drain", "s3cret-of-otel", "s3cret-of-the-stage", &client];
    let (_, endpoints) = api::endpoints().split();
    let mut shown: BTreeSet<&str> = BTreeSet::new();
    for endpoint in endpoints.iter().filter(|endpoint| endpoint.method == Method::GET) {
        for scope in ["global", "identity", "read", "write"] {
            let answer = world.ask(endpoint, Some(&scoped(t, scope).await)).await;
            let text = answer.body.to_string();
            let has = |secret: &&str| text.contains(secret);
            if scope == "global" {
                shown.extend(secrets.into_iter().filter(has));
                continue;
            }
            let found: Vec<&str> = secrets.into_iter().chain(["redis://", "s3cret-"]).filter(has).collect();
            assert!(found.is_empty(), "{}: {scope} is shown {found:?}: {text}", endpoint.path);
        }
    }
    assert_eq!(shown.len(), secrets.len(), "all of them are to be seen by who may: {shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_of_less_than_everything_gives_others_more() {
    let t = TestApp::fake().await;
    t.create("app").await;
    let root = Person::admin(&t, "root").await;
    Person::new(&t, "eve").await;
    root.put("/teams/default/members", json!({"email": t.email, "role": "admin"})).await.ok();
    for scope in LESS {
        let token = scoped(&t, scope).await;
        for (method, path, body) in [
            ("PUT", "/teams/default/members", json!({"email": "eve@example.com", "role": "admin"})),
            ("PUT", "/teams/default/invitations", json!({"email": "evil@example.com", "role": "admin"})),
            ("POST", "/teams", json!({"name": "crew"})),
            ("POST", "/apps/app/collaborators", json!({"user": "eve@example.com"})),
            ("PATCH", "/teams/apps/app", json!({"owner": "eve@example.com"})),
            ("POST", "/account/app-transfers", json!({"app": "app", "recipient": "eve@example.com"})),
            ("GET", "/users/root@example.com", json!({})),
        ] {
            let body = (method != "GET").then(|| body.to_string().into_bytes());
            let (_, why) = t.send(method, path, Some(&token), body).await.error(403);
            assert!(why.ends_with("this takes global."), "{method} {path}: {why}");
        }
        let run = json!({"command": "env"}).to_string().into_bytes();
        let (_, why) = t.send("POST", "/apps/app/dynos", Some(&token), Some(run)).await.error(match scope {
            "write-protected" => 422,
            _ => 403,
        });
        assert!(scope == "write-protected" || why.ends_with("this takes global or write-protected."), "{why}");
    }
    // By its id, a Redis is shown with a way in that changes it as well.
    let id = t.post("/apps/app/addons", json!({"plan": "redis:mini"})).await.ok()["id"].as_str().unwrap().to_owned();
    let read = scoped(&t, "read-protected").await;
    // However it is written.
    let written = format!("%{:02x}{}", id.as_bytes()[0], &id[1..]);
    for id in [id, written] {
        t.send("GET", &format!("/redis/v0/databases/{id}"), Some(&read), None).await.error(403);
    }
}
