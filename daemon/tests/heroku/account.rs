//! Logging in and out, tokens, clients, sessions and keys.

use crate::client::Heroku;

#[tokio::test(flavor = "multi_thread")]
async fn login() {
    let mut h = Heroku::fake("login").await;
    h.ok("auth:whoami", "", &["owner@example.com"]).await;
    h.ok("auth:token", "", &[&h.app.token.clone()]).await;
    h.ok("auth:2fa", "", &["Two-factor authentication is not enabled"]).await;
    h.with_key = false;
    h.fails("auth:whoami", "", &["not logged in"]).await;
    let typed = [("Email", "owner@example.com\r"), ("Password", "correct horse\r")];
    let said = h.on_terminal("auth:login", "-i", &typed).await;
    h.judge("auth:login", "-i", &said, Some(0), &["Logged in as owner@example.com"]);
    let netrc = std::fs::read_to_string(h.home.join(".netrc")).unwrap_or_default();
    h.check("auth:login", "the netrc file has the host", netrc.contains(&h.host().replace("http://", "machine ")));
    h.ok("auth:whoami", "", &["owner@example.com"]).await;
    let token = h.ok("auth:token", "", &[]).await.out.lines().next().unwrap_or_default().to_owned();
    h.ok("auth:logout", "", &["Logging out"]).await;
    h.check(
        "auth:logout",
        "the token is of no use",
        h.app.send("GET", "/account", Some(&token), None).await.status == 401,
    );
    h.fails("auth:whoami", "", &["not logged in"]).await;
    let typed = [("Email", "owner@example.com\r"), ("Password", "wrong\r")];
    let said = h.on_terminal("auth:login", "-i", &typed).await;
    h.check("auth:login", "a wrong password is refused", said.status != 0);
    h.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authorizations() {
    let h = Heroku::fake("authorizations").await;
    let made = h.ok("authorizations:create", "-d robot --json", &[]).await.json();
    let id = made["id"].as_str().unwrap_or("none").to_owned();
    let token = made["access_token"]["token"].as_str().unwrap_or("none").to_owned();
    h.check(
        "authorizations:create",
        "the token works",
        h.app.send("GET", "/account", Some(&token), None).await.status == 200,
    );
    let short = h.ok("authorizations:create", "-S -d short -e 3600", &[]).await;
    h.check("authorizations:create", "-S prints the token alone", !short.out.trim().contains(' '));
    h.ok("authorizations", "", &["robot", "short", &id]).await;
    h.ok("authorizations:info", &id, &["Client:", "robot", "Scope:", "global", "Token:"]).await;
    h.ok("authorizations:update", &format!("{id} -d machine"), &["Updating OAuth Authorization... done", "machine"])
        .await;
    let turned = h.ok("authorizations:rotate", &id, &["Rotating", "Token:"]).await;
    h.check("authorizations:rotate", "the token is another", !turned.out.contains(&token));
    h.check(
        "authorizations:rotate",
        "the old token is of no use",
        h.app.send("GET", "/account", Some(&token), None).await.status == 401,
    );
    h.ok("authorizations:revoke", &id, &["Revoking OAuth Authorization", "done"]).await;
    h.fails("authorizations:info", &id, &["Couldn't find that"]).await;
    h.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients() {
    let h = Heroku::fake("clients").await;
    let made = h.ok("clients:create", "robot https://example.com/back --json", &[]).await.json();
    let id = made["id"].as_str().unwrap_or("none").to_owned();
    let secret = made["secret"].as_str().unwrap_or("none").to_owned();
    h.ok("clients:create", "other https://example.com/2 -s", &["HEROKU_OAUTH_ID=", "HEROKU_OAUTH_SECRET="]).await;
    h.fails("clients:create", "bad ftp://example.com", &["Unsupported callback URL"]).await;
    h.ok("clients", "", &["robot", &id, "https://example.com/back"]).await;
    h.ok("clients:info", &id, &["robot", "created_at", "redirect_uri", &secret]).await;
    h.ok("clients:update", &format!("{id} -n android"), &["Updating", "done"]).await;
    let turned = h.ok("clients:rotate", &format!("{id} --json"), &["android"]).await;
    h.check("clients:rotate", "the secret is another", !turned.out.contains(&secret));
    h.ok("clients:destroy", &id, &["Destroying", "done"]).await;
    h.fails("clients:info", &id, &["Couldn't find that"]).await;
    h.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_keys() {
    let h = Heroku::fake("sessions").await;
    let login = serde_json::json!({"description": "Heroku CLI login", "expires_in": 3600, "scope": ["global"]});
    h.app.post("/oauth/authorizations", login).await.ok();
    let listed = h.ok("sessions", "--json", &[]).await.json();
    let session = listed[0]["id"].as_str().map(str::to_owned);
    h.ok("sessions", "", &[]).await;
    if let Some(id) = session {
        h.ok("sessions:destroy", &id, &["Destroying", "done"]).await;
    } else {
        h.fails("sessions:destroy", "00000000-0000-4000-8000-000000000000", &["Couldn't find that"]).await;
    }

    h.ok("keys", "", &["You have no SSH keys."]).await;
    let key = h.home.join("id");
    h.tool("ssh-keygen", &format!("-q -t ed25519 -N '' -C me@laptop -f {}", key.display())).await;
    let public = format!("{}.pub", key.display());
    h.ok("keys:add", &public, &["Uploading", "done"]).await;
    h.fails("keys:add", &public, &["already"]).await;
    h.ok("keys", "", &["owner@example.com keys", "ssh-ed25519", "me@laptop"]).await;
    h.ok("keys:remove", "me@laptop", &["Removing me@laptop SSH key... done"]).await;
    h.ok("keys:add", &public, &["done"]).await;
    h.ok("keys:clear", "", &["Removing all SSH keys... done"]).await;
    h.ok("keys", "", &["You have no SSH keys."]).await;
    std::fs::write(h.home.join("bad.pub"), "no key\n").unwrap();
    h.fails("keys:add", &h.home.join("bad.pub").display().to_string(), &["key"]).await;
    h.done().await;
}
