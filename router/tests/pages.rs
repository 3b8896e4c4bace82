//! What visitors and programs are told when there is no answer of an app's.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use paas_domain::route::RouteState;
use util::backend::nobody;
use util::client::{get, send, status_of};
use util::{House, REQUEST_ID, app, serving, table};

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn a_page_tells_its_request_and_when_to_come_again() {
    let house = House::new(table(1, vec![])).await;
    let dead = nobody().await;
    let mut generation = 1;
    for (state, maintenance, dynos, title, code, retry) in [
        (RouteState::Crashed, false, vec![], "Application error", "H10", None),
        (RouteState::Serving, false, vec![dead], "Application error", "H21", Some(5)),
        (RouteState::Serving, true, vec![], "Down for maintenance", "H80", Some(60)),
        (RouteState::Blank, false, vec![], "Nothing here yet", "H81", None),
    ] {
        let mut app = app(state, &dynos);
        app.maintenance = maintenance;
        generation += 1;
        house.set(table(generation, vec![app])).await;
        let answer = send(house.addr, &get("/a", "")).await;
        assert!(answer.contains(&format!("<title>{title}</title>")), "{answer}");
        assert!(
            answer.contains(&format!("<p class=\"id\">{code} · request <code>{REQUEST_ID}</code></p>")),
            "{answer}"
        );
        let after = answer.lines().find_map(|line| line.strip_prefix("retry-after: "));
        assert_eq!(after, retry.map(|seconds: u16| seconds.to_string()).as_deref(), "{code}");

        // Of a page that isn't asked for only the head comes, with the length that it would have.
        let only_head = send(house.addr, &get("/a", "").replace("GET ", "HEAD ")).await;
        assert_eq!(status_of(&only_head), 503);
        assert_eq!(body(&only_head), "");
        let length = |answer: &str| {
            let line = answer.lines().find_map(|line| line.strip_prefix("content-length: "));
            line.unwrap_or_else(|| panic!("{answer}")).to_owned()
        };
        // The other one got H34, which is as long.
        assert_eq!(length(&only_head), length(&answer), "{code}");
    }
}

#[tokio::test]
async fn programs_are_told_in_json() {
    let mut down = app(RouteState::Crashed, &[]);
    down.error_page_url = Some("https://cdn.example/error.html".to_owned());
    let house = House::new(table(1, vec![down])).await;
    let json = "Accept: application/json\r\n";
    let answer = send(house.addr, &get("/a", json)).await;
    assert!(status_of(&answer) == 503 && answer.contains("\r\ncontent-type: application/json\r\n"), "{answer}");
    let told: serde_json::Value = serde_json::from_str(body(&answer)).unwrap();
    assert_eq!(told["id"], "application_error");
    assert_eq!(told["code"], "H10");
    assert_eq!(told["request_id"], REQUEST_ID);
    assert!(told["message"].as_str().unwrap().starts_with("Something went wrong in this app"), "{told}");

    let other = get("/a", json).replace("demo.localhost", "other.localhost");
    let answer = send(house.addr, &other).await;
    let told: serde_json::Value = serde_json::from_str(body(&answer)).unwrap();
    assert_eq!((status_of(&answer), told["id"].as_str()), (404, Some("no_such_app")));
    assert_eq!(told.get("code"), None);

    // Browsers name HTML before all else, and get the app's own page.
    let browser = "Accept: text/html,application/json;q=0.9,*/*;q=0.8\r\n";
    assert!(send(house.addr, &get("/a", browser)).await.contains("<iframe src=\"https://cdn.example/error.html\""));
}

#[tokio::test]
async fn a_bad_request_is_the_visitors_own() {
    let house = House::new(serving(1, &[nobody().await])).await;
    let answer = send(house.addr, &get("/a", "Expect: a-miracle\r\n")).await;
    assert!(status_of(&answer) == 417 && answer.contains("<h1>Bad request</h1>"), "{answer}");
}
