//! Tokens, OAuth clients, sessions, keys, features: what the commands say and send.

use serde_json::{Value, json};

use crate::util::{World, things::*};

#[test]
fn tokens_and_clients() {
    let world = World::new();
    let token = format!("/oauth/authorizations/{}", id(8));
    let client = format!("/oauth/clients/{}", id(21));
    let mut shown = authorization(Some("HRKU-0123**********cdef"));
    shown.scope = vec!["read".into()];
    shown.access_token.as_mut().unwrap().expires_in = Some(3 * 3600);
    world
        .stub
        .json(&format!("GET {token}"), &shown)
        .json(&format!("PATCH {token}"), &shown)
        .json(&format!("POST {token}/actions/regenerate-tokens"), &authorization(Some("new-token")))
        .json("GET /oauth/clients", &[oauth_client("Zebra"), oauth_client("Amazing")])
        .json("POST /oauth/clients", &oauth_client("Amazing"))
        .json(&format!("GET {client}"), &oauth_client("Amazing"))
        .json(&format!("PATCH {client}"), &oauth_client("Other"))
        .json(&format!("DELETE {client}"), &oauth_client("Other"))
        .json(&format!("POST {client}/actions/rotate-credentials"), &oauth_client("Amazing"));
    let runs = [
        format!("authorizations:info {}", id(8)),
        format!("authorizations:update {} -d CI", id(8)),
        format!("authorizations:update {}", id(8)),
        format!("authorizations:update {} --client-id {} --client-secret s", id(8), id(21)),
        format!("authorizations:rotate {}", id(8)),
        "clients".into(),
        "clients:create Amazing https://example.com/cb --shell".into(),
        format!("clients:info {} -s", id(21)),
        format!("clients:update {} -n Other", id(21)),
        format!("clients:update {}", id(21)),
        format!("clients:rotate {} --shell", id(21)),
        format!("clients:destroy {}", id(21)),
    ];
    insta::assert_snapshot!(world.shows(&runs.iter().map(String::as_str).collect::<Vec<_>>()));
    let calls = world.stub.calls();
    for call in [
        format!(r#"PATCH {token} {{"description":"CI"}}"#),
        format!(r#"PATCH {token} {{"client":{{"id":"{}","secret":"s"}}}}"#, id(21)),
        r#"POST /oauth/clients {"name":"Amazing","redirect_uri":"https://example.com/cb"}"#.to_owned(),
        format!(r#"PATCH {client} {{"name":"Other"}}"#),
    ] {
        assert!(calls.contains(&call), "{call}: {calls:#?}");
    }
}

#[test]
fn sessions_keys_and_features() {
    let world = World::new();
    let ssh = world.home.path().join(".ssh");
    std::fs::create_dir(&ssh).unwrap();
    std::fs::write(ssh.join("id_ed25519.pub"), "ssh-ed25519 AAAA me@laptop\n").unwrap();
    std::fs::write(ssh.join("id_ed25519"), "-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap();
    let private = format!("keys:add {}", ssh.join("id_ed25519").display());
    world
        .stub
        .json("GET /account", &account())
        .json("GET /oauth/sessions", &Vec::<Value>::new())
        .json(&format!("DELETE /oauth/sessions/{}", id(23)), &session("laptop"))
        .json("GET /account/keys", &[key("me@laptop")])
        .json("POST /account/keys", &key("me@laptop"))
        .json(&format!("DELETE /account/keys/{}", id(22)), &key("me@laptop"))
        .json("GET /account/features", &[feature("beta", "public", true), feature("old", "general", true)])
        .json("GET /account/features/beta", &feature("beta", "public", false))
        .json("PATCH /account/features/beta", &feature("beta", "public", true))
        .error("GET /account/features/metrics", 404, "not_found", "Couldn't find that feature.")
        .json("GET /apps/myapp/features/metrics", &feature("metrics", "public", true))
        .json("PATCH /apps/myapp/features/metrics", &feature("metrics", "public", false))
        .json("GET /apps/myapp/features/preboot", &feature("preboot", "general", true))
        .json("GET /apps/myapp/features", &[feature("metrics", "public", false), feature("preboot", "general", true)]);
    let destroy = format!("sessions:destroy {}", id(23));
    let shown = world.shows(&[
        "sessions",
        &destroy,
        "keys",
        "keys --long",
        "keys:add",
        &private,
        "keys:remove you@laptop",
        "keys:remove me@laptop",
        "keys:clear",
        "features",
        "features:info preboot",
        "features:enable preboot",
        "labs",
        "labs:enable beta",
        "labs:disable metrics",
        "2fa",
    ]);
    insta::assert_snapshot!(shown.replace(&*world.home.path().display().to_string(), "HOME"));
    let calls = world.stub.calls();
    for call in [
        r#"POST /account/keys {"public_key":"ssh-ed25519 AAAA me@laptop\n"}"#,
        r#"PATCH /account/features/beta {"enabled":true}"#,
        r#"PATCH /apps/myapp/features/metrics {"enabled":false}"#,
    ] {
        assert!(calls.contains(&call.to_owned()), "{call}: {calls:#?}");
    }
    assert!(!calls.iter().any(|call| call.contains("PRIVATE")), "{calls:#?}");
}

#[test]
fn login_by_a_browser() {
    let world = World::new();
    let begun = json!({"browser_url": "/auth/browser/x", "cli_url": "/auth/cli", "token": "waiting"});
    world
        .stub
        .json("POST /auth", &begun)
        .json("GET /auth/cli", &json!({"access_token": "good"}))
        .json("GET /auth/cli", &json!({"error": "The login was cancelled in the browser."}))
        .json("GET /account", &account());
    let run = world.run(&["login", "--browser"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("/auth/browser/x") && run.stderr.contains("me@example.com"), "{}", run.stderr);
    assert!(std::fs::read_to_string(world.home.path().join(".netrc")).unwrap().contains("good"));
    let sent = world.stub.requests();
    let waited = sent.iter().find(|request| request.path == "/auth/cli").unwrap();
    assert_eq!(waited.headers["authorization"], "Bearer waiting");
    let run = world.run(&["login", "--browser"]);
    assert!(run.code == 1 && run.stderr.contains("cancelled"), "{}", run.stderr);
}
