//! The router with its daemon: visitors meet what the app's user has asked for.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod util;

use std::time::{Duration, Instant};

use util::cli_user::{CliUser, PATIENCE};

/// Asks the router for `path` of `host`, whatever name leads to it: status and text.
async fn ask(user: &CliUser, host: &str, path: &str) -> (u16, String) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://127.0.0.1:{}{path}", user.router_port);
    let token = std::fs::read_to_string(user.dir.join("token")).unwrap();
    let answer = http.get(url).header("Host", host).bearer_auth(token.trim()).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Waits until the router answers for `host` with this.
async fn until(user: &CliUser, host: &str, status: u16, text: &str) {
    let started = Instant::now();
    loop {
        let answer = ask(user, host, "/").await;
        if answer.0 == status && answer.1.contains(text) {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain for {status} {text:?} of {host}; it says {answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn visitors_meet_what_the_user_asks_for() {
    let user = CliUser::start().await;
    let place = user.dir.join("site");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("Procfile"), "web: python3 -m http.server $PORT\n").unwrap();
    std::fs::write(place.join("index.html"), "hello from the app").unwrap();
    user.git(&place, &["init", "-q", "-b", "main"]);
    user.paas(&place, &["create", "site"]);
    until(&user, "site.localhost", 503, "").await;
    user.commit_and_push(&place, "First");
    user.until_up(&place, &["web.1"]).await;
    until(&user, "site.localhost", 200, "hello from the app").await;

    until(&user, "www.example.org", 404, "").await;
    user.paas(&place, &["domains:add", "www.example.org"]);
    until(&user, "www.example.org", 200, "hello from the app").await;
    until(&user, "WWW.example.org:8080", 200, "hello from the app").await;
    until(&user, "example.org", 404, "").await;

    user.paas(&place, &["maintenance:on"]);
    for host in ["site.localhost", "www.example.org"] {
        until(&user, host, 503, "maintenance").await;
    }
    user.until_logged(&place, "code=H80 desc=\"Maintenance mode\"").await;
    let pages = ["ERROR_PAGE_URL=https://pages.example/error", "MAINTENANCE_PAGE_URL=https://pages.example/soon"];
    user.paas(&place, &["config:set", pages[0], pages[1]]);
    until(&user, "site.localhost", 503, "https://pages.example/soon").await;
    user.paas(&place, &["maintenance:off"]);
    until(&user, "www.example.org", 200, "hello from the app").await;
    user.paas(&place, &["domains:remove", "www.example.org"]);
    until(&user, "www.example.org", 404, "").await;
    until(&user, "site.localhost", 200, "hello from the app").await;

    // Whoever goes through all addresses finds nothing.
    for host in ["127.0.0.1", "[::1]:80", "localhost"] {
        let (status, text) = ask(&user, host, "/").await;
        assert!(status == 404 && !text.contains("hello"), "{host}: {status} {text}");
    }
    // The platform's own name leads to its API.
    let (status, text) = ask(&user, "api.localhost", "/apps/site").await;
    let app: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, app["name"].as_str()), (200, Some("site")), "{text}");
    assert_eq!(ask(&user, "api.localhost", "/apps/none").await.0, 404);

    user.paas(&place, &["destroy", "--app", "site", "--confirm", "site"]);
    until(&user, "site.localhost", 404, "").await;
    user.until_nothing_is_left().await;
}
