//! Domains and certificates.

use crate::client::Heroku;

#[tokio::test(flavor = "multi_thread")]
async fn domains() {
    let h = Heroku::fake("domains").await;
    h.app.create("shop").await;
    h.ok("domains:add", "www.example.com -a shop", &["Adding www.example.com to", "done", "DNS Target"]).await;
    h.ok("domains:add", "shop.example.org -a shop --json", &[r#""hostname": "shop.example.org""#]).await;
    h.fails("domains:add", "www.example.com -a shop", &["www.example.com"]).await;
    h.fails("domains:add", "not..a.name -a shop", &["not..a.name"]).await;
    h.ok("domains", "-a shop", &["shop Heroku Domain", "shop.localhost", "shop Custom Domains", "www.example.com"])
        .await;
    h.ok("domains", "-a shop --csv", &["Domain Name", "www.example.com"]).await;
    let all = h.ok("domains", "-a shop --json", &[]).await.json();
    h.check("domains", "the JSON has all", all.as_array().is_some_and(|all| all.len() == 3));
    h.ok("domains:info", "www.example.com -a shop", &["hostname:", "kind:", "custom", "status:", "succeeded"]).await;
    h.ok("domains:wait", "www.example.com -a shop", &[]).await;
    h.ok("domains:wait", "-a shop", &[]).await;
    h.ok("domains:remove", "shop.example.org -a shop", &["Removing shop.example.org from", "done"]).await;
    h.fails("domains:info", "shop.example.org -a shop", &["Couldn't find that"]).await;
    h.ok("domains:clear", "-a shop", &["Removing all domains from", "done"]).await;
    let left = h.ok("domains", "-a shop", &[]).await;
    h.check("domains:clear", "none is left", !left.out.contains("example"));
    h.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certs() {
    let h = Heroku::fake("certs").await;
    h.app.create("shop").await;
    h.ok("certs", "-a shop", &["has no SSL certificates"]).await;
    h.app
        .post("/apps/shop/domains", serde_json::json!({"hostname": "www.example.com", "sni_endpoint": null}))
        .await
        .ok();
    h.ok(
        "certs:generate",
        "www.example.com -a shop --selfsigned --subject '/CN=www.example.com'",
        &[
            "Your key and self-signed certificate have been generated.",
            "heroku certs:add www.example.com.crt www.example.com.key",
        ],
    )
    .await;
    // One certificate only: no question which domains it is for.
    h.app.delete("/apps/shop/domains/www.example.com").await.ok();
    h.ok("certs:add", "www.example.com.crt www.example.com.key -a shop", &["Adding SSL certificate to", "done"]).await;
    let name = h.app.get("/apps/shop/sni-endpoints").await.body[0]["name"].as_str().unwrap_or("none").to_owned();
    h.ok("certs", "-a shop", &[&name, "www.example.com", "SNI"]).await;
    h.ok(
        "certs:info",
        &format!("--name {name} -a shop"),
        &["Fetching SSL certificate", "Common Name(s): www.example.com", "SSL certificate is self signed."],
    )
    .await;
    h.app
        .post("/apps/shop/domains", serde_json::json!({"hostname": "www.example.com", "sni_endpoint": null}))
        .await
        .ok();
    h.ok(
        "domains:update",
        &format!("www.example.com --cert {name} -a shop"),
        &["Updating www.example.com to use", &name, "done"],
    )
    .await;
    h.ok("certs:generate", "www.example.com -a shop --now", &["certificate signing request", "heroku certs:update"])
        .await;
    h.tool(
        "openssl",
        "req -x509 -newkey rsa:2048 -nodes -keyout new.key -out new.crt -subj /CN=www.example.com -days 30",
    )
    .await;
    h.ok(
        "certs:update",
        &format!("new.crt new.key --name {name} -a shop --confirm shop"),
        &["Updating SSL certificate", "done"],
    )
    .await;
    h.fails("certs:add", "new.crt www.example.com.key -a shop", &["key"]).await;
    h.ok("certs:remove", &format!("--name {name} -a shop --confirm shop"), &["Removing SSL certificate", "done"]).await;

    h.ok("certs:auto", "-a shop", &["Automatic Certificate Management is disabled"]).await;
    h.ok("certs:auto:enable", "-a shop", &["Enabling Automatic Certificate Management"]).await;
    h.ok("certs:auto", "-a shop", &["Automatic Certificate Management is enabled", "www.example.com"]).await;
    h.ok("certs:auto:refresh", "-a shop", &["Refreshing Automatic Certificate Management"]).await;
    h.ok("certs:auto:disable", "-a shop --confirm shop", &["Disabling Automatic Certificate Management"]).await;
    h.done().await;
}
