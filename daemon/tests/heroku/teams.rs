//! The team that every server has, its members and its apps.

use paas_daemon::ops::accounts;
use serde_json::json;

use crate::client::Heroku;

#[tokio::test(flavor = "multi_thread")]
async fn teams() {
    let mut h = Heroku::fake("teams").await;
    // The administrators of the server are those of its team.
    let admin = accounts::create(h.app.platform(), "admin@example.com", Some("battery staple"), true).await.unwrap();
    h.app.token = accounts::create_token(h.app.platform(), admin.id, "test", None).await.unwrap().1;
    let friend = h.app.other("friend@example.com").await;
    h.app.post("/teams", json!({"name": "crew"})).await.ok();
    let team = "crew";
    h.ok("teams", "", &["crew", "default", "admin"]).await;
    h.ok("orgs", "", &["crew", "default"]).await;
    h.ok("members", "-t crew", &["admin@example.com", "admin"]).await;
    h.ok(
        "members:add",
        "friend@example.com --role member -t crew",
        &["Adding friend@example.com to", "as member", "done"],
    )
    .await;
    h.ok("members:set", "friend@example.com --role collaborator -t crew", &["friend@example.com", "done"]).await;
    // Everybody with an account is in this one, and stays.
    let stays = "Everybody with an account here is in default";
    h.fails("members:remove", "friend@example.com -t default", &[stays]).await;
    h.ok("members:set", &format!("friend@example.com --role member -t {team}"), &["done"]).await;
    h.ok("members", &format!("-t {team} --json"), &["friend@example.com"]).await;
    h.fails("members:set", &format!("friend@example.com --role king -t {team}"), &["king"]).await;

    h.app.post("/teams/apps", json!({"name": "shop", "team": team})).await;
    h.ok("apps", &format!("--team {team}"), &["shop"]).await;
    h.app.other("guest@example.com").await;
    h.ok("access:add", "guest@example.com -a shop -p deploy,operate", &["done"]).await;
    h.ok(
        "access:update",
        "guest@example.com -a shop -p deploy",
        &["Updating guest@example.com in application", "done"],
    )
    .await;
    h.ok("access", "-a shop", &["guest@example.com", "deploy"]).await;
    h.ok("apps:lock", "-a shop", &["Locking", "done"]).await;
    h.fails("apps:lock", "-a shop", &["already locked"]).await;
    h.ok("apps:unlock", "-a shop", &["Unlocking", "done"]).await;
    let owner = std::mem::replace(&mut h.app.token, friend);
    h.ok("apps:join", "-a shop", &["Joining", "done"]).await;
    h.ok("apps:leave", "-a shop", &["Leaving", "done"]).await;
    h.app.token = owner;
    h.ok("members:remove", &format!("friend@example.com -t {team}"), &["Removing friend@example.com from", "done"])
        .await;
    h.done().await;
}
