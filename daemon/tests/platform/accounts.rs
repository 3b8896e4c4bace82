//! Accounts: who one is, tokens and what they may do, logins, keys, passwords.

use base64::Engine as _;
use paas_daemon::ops::accounts;
use serde_json::{Value, json};

use crate::util::TestApp;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0ZzUiac7LVSQt7HU+qkBpmupVTQ2Y/DYIgI4q1ju3i me@laptop";

fn basic(user: &str, secret: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{secret}")))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// A token with these scopes.
async fn with_scope(t: &TestApp, scope: &[&str]) -> String {
    text(&t.post("/oauth/authorizations", json!({"scope": scope})).await.ok()["access_token"]["token"])
}

async fn as_with(t: &TestApp, token: &str, method: &str, path: &str, body: Value) -> crate::util::Answer {
    let body = (method != "GET").then(|| body.to_string().into_bytes());
    t.send(method, path, Some(token), body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_tells_of_itself_and_can_be_changed() {
    let t = TestApp::fake().await;
    let me = t.get("/account").await.ok();
    assert_eq!(
        (&me["email"], &me["allow_tracking"], &me["last_login"]),
        (&json!(t.email), &json!(false), &json!(null))
    );
    let changed = t.patch("/account", json!({"name": " Tina ", "allow_tracking": true, "beta": true})).await.ok();
    assert_eq!(
        (&changed["name"], &changed["allow_tracking"], &changed["beta"]),
        (&json!("Tina"), &json!(true), &json!(true))
    );
    assert_eq!(t.get("/users/~").await.ok(), changed, "the same by its other address");
    assert_eq!(t.get(&format!("/users/{}", t.email)).await.ok(), changed);
    assert_eq!(t.patch("/account", json!({"name": null})).await.ok()["name"], json!(null));
    for (body, field) in [
        (json!({"name": 3}), "name"),
        (json!({"beta": "yes"}), "beta"),
        (json!({"new_password": "long enough"}), "password"),
        (json!({"email": "new@example.com"}), "password"),
        (json!({"email": "nowhere", "password": "correct horse"}), "email"),
        (json!({"password": "correct horse", "new_password": "short"}), "password"),
    ] {
        let (id, why) = t.patch("/account", body).await.error(422);
        assert!(id == "invalid_params" && why.starts_with(field), "{why}");
    }
    t.patch("/account", json!({"password": "wrong horse", "new_password": "long enough"})).await.error(401);
    t.patch("/account", json!({"password": "correct horse", "new_password": "long enough"})).await.ok();
    let login = |password: &str| basic("owner@example.com", password);
    let try_login = async |password: &str| {
        t.send_with("POST", "/oauth/authorizations", &[("Authorization", &login(password))], "{}").await.status
    };
    assert_eq!((try_login("correct horse").await, try_login("long enough").await), (401, 201));
    assert_ne!(t.get("/account").await.ok()["last_login"], json!(null));

    t.other("taken@example.com").await;
    let (_, why) =
        t.patch("/account", json!({"email": "taken@example.com", "password": "long enough"})).await.error(422);
    assert!(why.starts_with("email:"), "{why}");
    let moved = t.patch("/account", json!({"email": "New@Example.com", "password": "long enough"})).await.ok();
    assert_eq!(moved["email"], "new@example.com");

    assert_eq!(t.get("/account/delinquency").await.ok()["scheduled_deletion_time"], json!(null));
    assert_eq!(t.get("/users/~/sms-number").await.ok(), json!({"sms_number": null}));
    t.post("/users/~/sms-number/actions/recover", json!({})).await.error(422);
    let id = text(&moved["id"]);
    t.get(&format!("/accounts/{id}/actions/get-quota")).await.error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_oneself_and_administrators_reach_an_account() {
    let t = TestApp::fake().await;
    let other = t.other("other@example.com").await;
    let id = text(&t.get("/account").await.ok()["id"]);
    for path in [format!("/users/{id}"), "/users/owner@example.com".into(), format!("/users/{id}/preferences")] {
        as_with(&t, &other, "GET", &path, json!({})).await.error(404);
        as_with(&t, &other, "PATCH", &path, json!({"name": "x"})).await.error(404);
    }
    as_with(&t, &other, "DELETE", &format!("/users/{id}"), json!({})).await.error(404);
    let admin = accounts::create(t.platform(), "admin@example.com", None, true).await.unwrap();
    let admin = accounts::create_token(t.platform(), admin.id, "test", None).await.unwrap().1;
    assert_eq!(
        as_with(&t, &admin, "GET", "/users/other@example.com", json!({})).await.ok()["email"],
        "other@example.com"
    );
    as_with(&t, &admin, "PATCH", "/users/other@example.com", json!({"name": "Renamed"})).await.ok();
    assert_eq!(as_with(&t, &other, "GET", "/account", json!({})).await.ok()["name"], "Renamed");
    as_with(&t, &admin, "DELETE", "/users/other@example.com", json!({})).await.ok();
    as_with(&t, &other, "GET", "/account", json!({})).await.error(401);
    as_with(&t, &admin, "GET", "/users/other@example.com", json!({})).await.error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn preferences_are_kept_one_by_one() {
    let mut t = TestApp::fake().await;
    let first = t.get("/users/~/preferences").await.ok();
    assert_eq!(first["timezone"], json!(null));
    assert_eq!(first.as_object().unwrap().len(), 10, "{first}");
    t.patch("/users/~/preferences", json!({"timezone": "Europe/Berlin", "dismissed-sms-banner": true})).await.ok();
    t.patch("/users/~/preferences", json!({"dismissed-getting-started": false, "other": 1})).await.ok();
    t.restart().await;
    let now = t.patch("/users/~/preferences", json!({"dismissed-sms-banner": null})).await.ok();
    assert_eq!((&now["timezone"], &now["dismissed-getting-started"]), (&json!("Europe/Berlin"), &json!(false)));
    assert_eq!(now["dismissed-sms-banner"], json!(null));
    t.patch("/users/~/preferences", json!({"timezone": 1})).await.error(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_deleted_with_its_password_and_without_apps() {
    let t = TestApp::fake().await;
    t.create("mine").await;
    t.post("/account/keys", json!({"public_key": KEY})).await.ok();
    let (_, why) = t.delete("/account").await.error(422);
    assert!(why.starts_with("password:"), "{why}");
    let delete =
        async |password: &str| as_with(&t, &t.token, "DELETE", "/account", json!({"password": password})).await;
    delete("wrong horse").await.error(401);
    let (_, why) = delete("correct horse").await.error(422);
    assert!(why.contains("mine"), "{why}");
    t.get("/apps/mine").await.ok();
    t.delete("/apps/mine").await.ok();
    let gone = delete("correct horse").await.ok();
    assert_eq!(gone["email"], "owner@example.com");
    t.get("/account").await.error(401);
    // Address and key are free again.
    let again = t.other("owner@example.com").await;
    assert_ne!(as_with(&t, &again, "GET", "/account", json!({})).await.ok()["id"], gone["id"]);
    as_with(&t, &again, "POST", "/account/keys", json!({"public_key": KEY})).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_what_its_scope_says_and_no_more() {
    let t = TestApp::fake().await;
    t.create("app").await;
    let mut table = Vec::new();
    for scope in ["global", "identity", "read", "write", "read-protected", "write-protected"] {
        let token = with_scope(&t, &[scope]).await;
        let mut can = Vec::new();
        for (method, path) in [
            ("GET", "/account"),
            ("PATCH", "/account"),
            ("GET", "/oauth/authorizations"),
            ("POST", "/oauth/authorizations"),
            ("GET", "/account/keys"),
            ("GET", "/apps"),
            ("PATCH", "/apps/app"),
            ("GET", "/apps/app/config-vars"),
            ("PATCH", "/apps/app/config-vars"),
            ("GET", "/account/rate-limits"),
        ] {
            let answer = as_with(&t, &token, method, path, json!({})).await;
            match answer.status {
                200 | 201 => can.push(format!("{method} {path}")),
                _ => {
                    let (id, why) = answer.error(403);
                    assert!(id == "forbidden" && why.contains(scope), "{why}");
                }
            }
        }
        table.push(format!("{scope}: {}", can.join(", ")));
    }
    insta::assert_snapshot!(table.join("\n"), @r"
    global: GET /account, PATCH /account, GET /oauth/authorizations, POST /oauth/authorizations, GET /account/keys, GET /apps, PATCH /apps/app, GET /apps/app/config-vars, PATCH /apps/app/config-vars, GET /account/rate-limits
    identity: GET /account, GET /account/rate-limits
    read: GET /apps, GET /account/rate-limits
    write: GET /apps, PATCH /apps/app, GET /account/rate-limits
    read-protected: GET /apps, GET /apps/app/config-vars, GET /account/rate-limits
    write-protected: GET /apps, PATCH /apps/app, GET /apps/app/config-vars, PATCH /apps/app/config-vars, GET /account/rate-limits
    ");
    // Git too: a token that may read fetches and doesn't push.
    let read = with_scope(&t, &["read"]).await;
    let identity = with_scope(&t, &["identity"]).await;
    let refs = async |token: &str, service: &str| {
        let path = format!("/app.git/info/refs?service=git-{service}");
        t.send_with("GET", &path, &[("Authorization", &basic("x", token))], "").await.status
    };
    assert_eq!((refs(&read, "upload-pack").await, refs(&read, "receive-pack").await), (200, 403));
    assert_eq!((refs(&identity, "upload-pack").await, refs(&t.token, "receive-pack").await), (403, 200));
    // Whatever it may do, it may end itself.
    as_with(&t, &read, "DELETE", "/oauth/sessions/~", json!({})).await.ok();
    as_with(&t, &read, "GET", "/apps", json!({})).await.error(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_listed_shown_changed_and_regenerated() {
    let t = TestApp::fake().await;
    let made =
        t.post("/oauth/authorizations", json!({"description": "CI", "scope": ["read"], "expires_in": 600})).await;
    assert_eq!(made.status, 201);
    let made = made.ok();
    let (id, token) = (text(&made["id"]), text(&made["access_token"]["token"]));
    assert_eq!((&made["scope"], &made["access_token"]["expires_in"]), (&json!(["read"]), &json!(600)));
    let path = format!("/oauth/authorizations/{id}");

    // Others know it by its ends; the one that asks sees itself whole.
    let list = t.get("/oauth/authorizations").await.ok();
    let shown =
        |id: &str| text(&list.as_array().unwrap().iter().find(|a| a["id"] == *id).unwrap()["access_token"]["token"]);
    assert_eq!(shown(&id), format!("{}**********{}", &token[..9], &token[token.len() - 4..]));
    let own = list.as_array().unwrap().iter().any(|a| a["access_token"]["token"] == *t.token);
    assert!(own, "{list}");
    t.get("/oauth/authorizations/~").await.error(404);
    t.get("/oauth/authorizations/nothing").await.error(404);

    assert_eq!(t.patch(&path, json!({"description": "CI 2"})).await.ok()["description"], "CI 2");
    t.patch(&path, json!({"description": 1})).await.error(422);
    t.patch(&path, json!({"client": {"id": id, "secret": "x"}})).await.error(422);

    let fresh = t.post(&format!("{path}/actions/regenerate-tokens"), json!({})).await.ok();
    let new = text(&fresh["access_token"]["token"]);
    assert_ne!(new, token);
    assert_eq!(fresh["id"], *id);
    as_with(&t, &token, "GET", "/apps", json!({})).await.error(401);
    as_with(&t, &new, "GET", "/apps", json!({})).await.ok();
    assert_eq!(t.get(&path).await.ok()["scope"], json!(["read"]));

    // Nobody else's.
    let other = t.other("other@example.com").await;
    for (method, path) in [
        ("GET", path.clone()),
        ("PATCH", path.clone()),
        ("DELETE", path.clone()),
        ("POST", format!("{path}/actions/regenerate-tokens")),
    ] {
        as_with(&t, &other, method, &path, json!({})).await.error(404);
    }
    t.delete(&path).await.ok();
    t.delete(&path).await.error(404);
    as_with(&t, &new, "GET", "/apps", json!({})).await.error(401);
    for body in [json!({"scope": []}), json!({"scope": "read"}), json!({"expires_in": 0}), json!({"client": "nobody"})]
    {
        t.post("/oauth/authorizations", body).await.error(422);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_logins_and_end() {
    let t = TestApp::fake().await;
    assert_eq!(t.get("/oauth/sessions").await.ok(), json!([]));
    let login = basic("owner@example.com", "correct horse");
    let body = json!({"description": "laptop"}).to_string();
    let made = t.send_with("POST", "/oauth/sessions", &[("Authorization", &login)], &body).await.ok();
    let (id, token) = (text(&made["id"]), text(&made["access_token"]["token"]));
    as_with(&t, &token, "GET", "/account", json!({})).await.ok();
    let list = t.get("/oauth/sessions").await.ok();
    assert_eq!((&list[0]["description"], &list[0]["id"]), (&json!("laptop"), &json!(id)));
    assert_eq!(list[0].get("access_token"), None);
    let others = t.get("/oauth/authorizations").await.ok();
    assert!(others.as_array().unwrap().iter().all(|a| a["id"] != *id), "a login is no token for a program");
    // A token that is no session has no session to end by its id.
    let own = text(&others[0]["id"]);
    t.delete(&format!("/oauth/sessions/{own}")).await.error(404);
    let other = t.other("other@example.com").await;
    as_with(&t, &other, "DELETE", &format!("/oauth/sessions/{id}"), json!({})).await.error(404);
    t.delete(&format!("/oauth/sessions/{id}")).await.ok();
    as_with(&t, &token, "GET", "/account", json!({})).await.error(401);
    t.delete("/oauth/sessions/~").await.ok();
    t.get("/account").await.error(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_checked_listed_and_removed() {
    let t = TestApp::fake().await;
    let made = t.post("/account/keys", json!({"public_key": format!("{KEY}\n")})).await;
    assert_eq!(made.status, 201);
    let made = made.ok();
    assert_eq!(made["fingerprint"], "cc:82:6e:34:0a:68:be:1c:9e:b8:d0:43:43:66:9a:5b");
    assert_eq!(
        (&made["comment"], &made["public_key"], &made["email"]),
        (&json!("me@laptop"), &json!(KEY), &json!(t.email))
    );
    let (_, why) = t.post("/account/keys", json!({"public_key": KEY})).await.error(422);
    assert!(why.starts_with("public_key:"), "{why}");
    let other = t.other("other@example.com").await;
    as_with(&t, &other, "POST", "/account/keys", json!({"public_key": KEY})).await.error(422);
    for bad in [json!({}), json!({"public_key": 1}), json!({"public_key": "ssh-rsa nonsense"})] {
        t.post("/account/keys", bad).await.error(422);
    }
    assert_eq!(t.get("/account/keys").await.ok(), json!([made]));
    let by_print = "/account/keys/cc:82:6e:34:0a:68:be:1c:9e:b8:d0:43:43:66:9a:5b";
    assert_eq!(t.get(by_print).await.ok(), made);
    let path = format!("/account/keys/{}", text(&made["id"]));
    as_with(&t, &other, "DELETE", &path, json!({})).await.error(404);
    t.delete(&path).await.ok();
    t.delete(&path).await.error(404);
    assert_eq!(t.get("/account/keys").await.ok(), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_is_made_out_by_an_administrator() {
    let t = TestApp::fake().await;
    let login = basic("owner@example.com", "correct horse");
    let session = t.send_with("POST", "/oauth/sessions", &[("Authorization", &login)], "{}").await.ok();
    let ask = async |email: &str| {
        let body = json!({"email": email}).to_string();
        t.send_with("POST", "/password-resets", &[("Content-Type", "application/json")], &body).await.ok()
    };
    let (known, unknown) = (ask("owner@example.com").await, ask("nobody@example.com").await);
    assert_eq!(known["user"]["email"], "owner@example.com");
    let shape = |value: &Value| value["user"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(shape(&known), shape(&unknown), "nobody learns who has an account");
    assert_ne!(known["user"]["id"], t.get("/account").await.ok()["id"]);
    t.until("the request to be kept", || async {
        accounts::reset(t.platform(), "owner@example.com").await.unwrap().1.map(|_| ())
    })
    .await;
    accounts::reset(t.platform(), "nobody@example.com").await.unwrap_err();
    let (token, _) = accounts::reset(t.platform(), "owner@example.com").await.unwrap();
    let finalize = async |token: &str, password: &str, again: &str| {
        let body = json!({"password": password, "password_confirmation": again}).to_string();
        t.send_with("POST", &format!("/password-resets/{token}/actions/finalize"), &[], &body).await
    };
    finalize("nonsense", "battery staple", "battery staple").await.error(404);
    finalize(&token, "battery staple", "other").await.error(422);
    finalize(&token, "short", "short").await.error(422);
    finalize(&token, "battery staple", "battery staple").await.ok();
    finalize(&token, "battery staple", "battery staple").await.error(404);
    let try_login = async |password: &str| {
        let login = basic("owner@example.com", password);
        t.send_with("POST", "/oauth/authorizations", &[("Authorization", &login)], "{}").await.status
    };
    assert_eq!((try_login("correct horse").await, try_login("battery staple").await), (401, 201));
    // Logins with the old password are over; tokens of programs are not.
    as_with(&t, &text(&session["access_token"]["token"]), "GET", "/account", json!({})).await.error(401);
    t.get("/account").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_passwords_is_made_to_wait() {
    let t = TestApp::fake().await;
    let try_login = async |peer: &str, email: &str, password: &str| {
        let login = basic(email, password);
        let headers = [("Authorization", login.as_str()), ("X-Forwarded-For", peer)];
        t.send_with("POST", "/oauth/authorizations", &headers, "{}").await
    };
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(try_login("192.0.2.1", "owner@example.com", "wrong").await.status);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
    let (id, why) = try_login("192.0.2.1", "owner@example.com", "correct horse").await.error(429);
    assert!(id == "rate_limit" && why.contains("second"), "even the right one is not looked at: {why}");
    try_login("192.0.2.2", "owner@example.com", "correct horse").await.ok();
    t.until("the wait to end", || async {
        (try_login("192.0.2.1", "owner@example.com", "correct horse").await.status == 201).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_here_is_said_as_heroku_does() {
    let t = TestApp::fake().await;
    for path in ["/spaces", "/enterprise-accounts", "/account/invoices", "/account/credits"] {
        assert_eq!(t.get(path).await.ok(), json!([]), "{path}");
        t.send("GET", path, None, None).await.error(401);
    }
    for (method, path, noun) in [
        ("GET", "/spaces/x", "space"),
        ("GET", "/spaces/x/nat", "space"),
        ("PUT", "/spaces/x/inbound-ruleset", "space"),
        ("POST", "/spaces/x/vpn-connections", "space"),
        ("PATCH", "/spaces/x/members/you@example.com", "space"),
        ("DELETE", "/spaces/x/peerings/pcx-1", "space"),
        ("GET", "/enterprise-accounts/x/archives/2026/01", "enterprise account"),
        ("GET", "/account/invoices/1", "invoice"),
        ("GET", "/account/credits/1", "credit"),
    ] {
        let (id, why) = as_with(&t, &t.token, method, path, json!({})).await.error(404);
        assert_eq!((id.as_str(), why), ("not_found", format!("Couldn't find that {noun}.")));
    }
    t.post("/spaces", json!({"name": "x"})).await.error(422);
}
