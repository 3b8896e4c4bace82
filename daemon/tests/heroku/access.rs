//! Who may work on an app.

use crate::client::Heroku;

#[tokio::test(flavor = "multi_thread")]
async fn access() {
    let h = Heroku::fake("access").await;
    h.app.create("shop").await;
    h.app.other("friend@example.com").await;
    h.ok("access:add", "friend@example.com -a shop", &["Adding", "friend@example.com", "done"]).await;
    h.fails("access:add", "nobody@example.com -a shop", &["nobody@example.com"]).await;
    h.ok("access", "-a shop", &["friend@example.com", "owner@example.com"]).await;
    let listed = h.ok("access", "-a shop --json", &[]).await;
    h.check("access", "the JSON has both", listed.json().as_array().is_some_and(|all| all.len() == 2));
    h.ok("access:remove", "friend@example.com -a shop", &["Removing", "friend@example.com", "done"]).await;
    let left = h.ok("access", "-a shop", &["owner@example.com"]).await;
    h.check("access:remove", "it is gone", !left.out.contains("friend@"));
    h.done().await;
}
