//! What all answers have in common: versions, ETags, pages, the rate limit, compression, CORS.

use std::{collections::BTreeSet, io::Read as _};

use paas_daemon::{api, store};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::util::{Answer, TestApp};

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).map(|value| value.to_str().unwrap())
}

impl TestApp {
    async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut all = vec![("Authorization", bearer.as_str())];
        all.extend(headers);
        self.send_with("GET", path, &all, "").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn version_three_is_spoken_whatever_its_suffix() {
    let t = TestApp::fake().await;
    for accept in [
        "*/*",
        "application/json",
        "application/vnd.heroku+json; version=3",
        "application/vnd.heroku+json; version=3.sdk",
        "application/vnd.heroku+json; version=3.never-heard-of",
        "application/vnd.heroku+json;version=3.cedar-acm, */*",
    ] {
        t.ask("/account", &[("Accept", accept)]).await.ok();
    }
    for accept in ["application/vnd.heroku+json; version=2", "application/vnd.heroku+json; version=30"] {
        let (id, why) = t.ask("/account", &[("Accept", accept)]).await.error(406);
        assert!(id == "not_acceptable" && why.contains("version=3"), "{id}: {why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_come_as_bearer_or_as_a_password_of_any_user() {
    use base64::Engine as _;
    let t = TestApp::fake().await;
    for user in ["", "heroku", "app", "_", "someone@example.com"] {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{}", t.token));
        t.send_with("GET", "/account", &[("Authorization", &format!("Basic {pair}"))], "").await.ok();
    }
    t.send_with("GET", "/account", &[("Authorization", &format!("bearer {}", t.token))], "").await.ok();
    for wrong in ["Bearer", "Bearer ", "Basic !!!", "Basic Og==", "Digest x", "Bearer wrong"] {
        t.send_with("GET", "/account", &[("Authorization", wrong)], "").await.error(401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etag_saves_the_body() {
    let t = TestApp::fake().await;
    t.create("tagged").await;
    let first = t.ask("/apps", &[]).await;
    let tag = header(&first, "etag").unwrap().to_owned();
    for asked in [tag.clone(), "*".into(), tag.trim_start_matches("W/").to_owned(), format!("\"x\", {tag}")] {
        let again = t.ask("/apps", &[("If-None-Match", &asked)]).await;
        assert_eq!((again.status, &again.body, header(&again, "etag")), (304, &json!(""), Some(tag.as_str())));
    }
    t.patch("/apps/tagged", json!({"maintenance": true})).await.ok();
    let changed = t.ask("/apps", &[("If-None-Match", &tag)]).await;
    assert_eq!(changed.status, 200);
    assert_ne!(header(&changed, "etag"), Some(tag.as_str()));
    // HEAD is GET without the body; a change has no tag, and no condition holds it up.
    let head = t.send("HEAD", "/apps", Some(&t.token), None).await;
    assert_eq!((head.status, &head.body), (200, &json!("")));
    assert_eq!(header(&head, "etag"), header(&changed, "etag"));
    let bearer = format!("Bearer {}", t.token);
    let condition = [("Authorization", bearer.as_str()), ("If-None-Match", "*")];
    let made = t.send_with("POST", "/apps", &condition, "{}").await;
    assert_eq!((made.status, header(&made, "etag")), (201, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages_in_the_order_asked_for() {
    let t = TestApp::fake().await;
    for name in ["page-a", "page-b", "page-c", "page-d", "page-e"] {
        t.create(name).await;
    }
    // Every way in which clients write it, followed to the end, gives each once.
    for (start, wanted) in [
        ("name ..; max=2", "abcde"),
        ("name ..; max=2,order=desc", "edcba"),
        ("name ..; order=desc,max=2", "edcba"),
        ("name ..; max=2; order=desc;", "edcba"),
        ("name page-b..page-d; max=2", "bcd"),
        ("name ]page-b..; max=1000", "cde"),
        ("order=desc,max=2", "edcba"),
        ("id ..; max=2", "abcde"),
        ("id ..; max=3, order=desc", "edcba"),
        ("created_at ..; max=200", "abcde"),
        ("created_at ..; max=2", "abcde"),
        ("updated_at ..; max=1", "abcde"),
        ("maintenance ..; max=2", "abcde"),
        ("nonsense ..; max=2", "abcde"),
        ("bytes=0-10", "abcde"),
    ] {
        let mut range = start.to_owned();
        let mut seen = String::new();
        for page in 0.. {
            assert!(page < 10, "{start}: no end");
            let answer = t.ask("/apps", &[("Range", &range)]).await;
            assert!(header(&answer, "accept-ranges").unwrap().contains("id"), "{answer:?}");
            assert!(header(&answer, "content-range").is_some(), "{answer:?}");
            for app in answer.body.as_array().unwrap() {
                seen.push_str(app["name"].as_str().unwrap().trim_start_matches("page-"));
            }
            match header(&answer, "next-range") {
                Some(next) => {
                    assert_eq!(answer.status, 206);
                    range = next.to_owned();
                }
                None => {
                    assert_eq!(answer.status, 200);
                    break;
                }
            }
        }
        assert_eq!(seen, wanted, "{start}");
    }
    // Entries with one and the same value are all on one page; any value leads on.
    for text in ["a, b; c", "ümlaut", "a..b", "same", "same", "same"] {
        t.post("/oauth/authorizations", json!({"description": text})).await.ok();
    }
    for start in ["description ..; max=1", "scope ..; max=2", "description ..; max=2, order=desc"] {
        let (mut range, mut seen) = (start.to_owned(), BTreeSet::new());
        for page in 0.. {
            assert!(page < 10, "{start}: no end");
            let answer = t.ask("/oauth/authorizations", &[("Range", &range)]).await;
            for item in answer.body.as_array().unwrap() {
                assert!(seen.insert(item["id"].as_str().unwrap().to_owned()), "{start}: twice");
            }
            let Some(next) = header(&answer, "next-range") else {
                assert_eq!(answer.status, 200, "{start}: {range}");
                break;
            };
            range = next.to_owned();
        }
        assert_eq!(seen.len(), 7, "{start}");
    }
    // More than there may be is as many as there may be; a Range on a change is nobody's business.
    t.ask("/apps", &[("Range", "id ..; max=100000")]).await.ok();
    let bearer = format!("Bearer {}", t.token);
    let headers = [("Authorization", bearer.as_str()), ("Range", "id ..; max=1")];
    assert_eq!(t.send_with("POST", "/apps", &headers, "{}").await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_account() {
    let t = TestApp::fake_with(|config| config.api_rate_limit = 20).await;
    let other = t.other("other@example.com").await;
    let left = |answer: &Answer| header(answer, "ratelimit-remaining").unwrap().parse::<u32>().unwrap();
    assert_eq!(left(&t.get("/account").await), 19);
    assert_eq!(left(&t.get("/no/such/path").await), 18);
    // To ask costs nothing.
    for _ in 0..30 {
        assert_eq!(t.get("/account/rate-limits").await.ok()["remaining"], 18);
    }
    for _ in 0..18 {
        t.get("/account").await.ok();
    }
    let refused = t.get("/account").await;
    assert_eq!(left(&refused), 0);
    assert!(header(&refused, "retry-after").unwrap().parse::<u32>().unwrap() <= 180, "{refused:?}");
    let (id, why) = refused.error(429);
    assert!(id == "rate_limit" && why.contains("20 requests an hour"), "{id}: {why}");
    // Another token of the account is no way around it; another account has its own.
    let user = t.actor().await.user.id;
    let second = paas_daemon::ops::accounts::create_token(t.platform(), user, "second", None).await.unwrap().1;
    t.send("GET", "/account", Some(&second), None).await.error(429);
    t.send("GET", "/account", Some(&other), None).await.ok();
    // Whoever has no account has fewer, and takes them from nobody.
    let statuses: Vec<u16> = {
        let mut statuses = Vec::new();
        for n in 0..6 {
            statuses.push(t.send("GET", "/account", Some(&format!("wrong-{n}")), None).await.status);
        }
        statuses
    };
    assert_eq!(statuses, [401, 401, 401, 401, 429, 429]);
    let (_, why) = t.send("GET", "/account", Some("wrong"), None).await.error(429);
    assert!(why.contains("Your address") && why.contains("4 requests an hour"), "{why}");
    t.send("GET", "/account", Some(&other), None).await.ok();
    // Whoever has one address of a network of IPv6 has all of it.
    let mut statuses = Vec::new();
    for n in 0..6 {
        let from = format!("2001:db8::{n:x}:1");
        statuses.push(t.send_with("GET", "/account", &[("X-Forwarded-For", &from)], "").await.status);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 429, 429]);
    t.send_with("GET", "/account", &[("X-Forwarded-For", "2001:db8:0:1::1")], "").await.error(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_sent_however_large_it_is() {
    let t = TestApp::fake().await;
    t.create("large").await;
    let build = |version: String| json!({"source_blob": {"url": "http://127.0.0.1:1/x.tgz", "version": version}});
    let (_, why) = t.post("/apps/large/builds", build("v".repeat(201))).await.error(422);
    assert!(why.starts_with("source_blob.version:"), "{why}");
    for (path, body, field) in [
        ("/apps/large/slugs", json!({"process_types": {"web": "x".repeat(20_000)}}), "process_types.web:"),
        ("/apps/large/slugs", json!({"process_types": {}, "commit": "x".repeat(300)}), "commit:"),
        (
            "/app-setups",
            json!({"source_blob": {"url": "http://x.example/", "version": "x".repeat(300)}}),
            "source_blob",
        ),
    ] {
        let (_, why) = t.post(path, body).await.error(422);
        assert!(why.starts_with(field), "{why}");
    }
    let (_, why) = t.patch("/users/~/preferences", json!({"timezone": "x".repeat(300)})).await.error(422);
    assert!(why.starts_with("timezone:"), "{why}");
    // Of the time when there was no bound.
    let made = t.post("/apps/large/builds", build("v1".into())).await.ok();
    let p = t.platform();
    let id = made["id"].as_str().unwrap().parse().unwrap();
    let row = paas_daemon::ops::builds::by_id(p, id).await.unwrap().unwrap();
    let mut tx = p.db.begin().await.unwrap();
    for _ in 0..5 {
        let text = "v".repeat(4 << 20);
        let row = store::builds::Build { id: uuid::Uuid::now_v7(), source_version: Some(text), ..row.clone() };
        store::builds::insert(&mut tx, &row).await.unwrap();
    }
    tx.commit(None).await.unwrap();
    assert_eq!(t.get("/apps/large/builds").await.ok().as_array().unwrap().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_compressed_for_who_asks_and_requests_may_be() {
    use std::io::Write as _;
    let t = TestApp::fake().await;
    for n in 0..4 {
        t.create(&format!("compressed-{n}")).await;
    }
    let plain = t.ask("/apps", &[]).await;
    assert_eq!(header(&plain, "content-encoding"), None);
    let http = reqwest::Client::new();
    let packed = http.get(format!("{}/apps", t.url)).bearer_auth(&t.token).header("Accept-Encoding", "gzip");
    let packed = packed.send().await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    let bytes = packed.bytes().await.unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), plain.body);
    // A request's body, packed; and one that would be endless when unpacked.
    let pack = |text: &[u8]| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        writer.write_all(text).unwrap();
        writer.finish().unwrap()
    };
    let send = |body: Vec<u8>| {
        let request = http.patch(format!("{}/apps/compressed-0", t.url)).bearer_auth(&t.token);
        request.header("Content-Encoding", "gzip").body(body).send()
    };
    assert_eq!(send(pack(br#"{"maintenance": true}"#)).await.unwrap().status(), 200);
    assert_eq!(t.get("/apps/compressed-0").await.ok()["maintenance"], true);
    assert_eq!(send(pack(&vec![b' '; 64 << 20])).await.unwrap().status(), 413);
    assert_eq!(send(b"no gzip at all".to_vec()).await.unwrap().status(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_may_call() {
    let t = TestApp::fake().await;
    let asked = [
        ("Origin", "https://dashboard.example.com"),
        ("Access-Control-Request-Method", "PATCH"),
        ("Access-Control-Request-Headers", "authorization, content-type, range, x-own"),
    ];
    let preflight = t.send_with("OPTIONS", "/apps/any/config-vars", &asked, "").await;
    assert_eq!(preflight.status, 200);
    assert_eq!(header(&preflight, "access-control-allow-origin"), Some("*"));
    assert!(header(&preflight, "access-control-allow-methods").unwrap().contains("PATCH"));
    for name in ["authorization", "range", "x-own"] {
        assert!(header(&preflight, "access-control-allow-headers").unwrap().contains(name), "{preflight:?}");
    }
    let answer = t.ask("/apps", &[("Origin", "https://dashboard.example.com")]).await;
    assert!(header(&answer, "access-control-expose-headers").unwrap().contains("next-range"));
    // Never with cookies.
    assert_eq!(header(&answer, "access-control-allow-credentials"), None);
    // Refusals can be read too.
    let refused = t.send_with("GET", "/apps", &[("Origin", "https://dashboard.example.com")], "").await;
    assert_eq!((refused.status, header(&refused, "access-control-allow-origin")), (401, Some("*")));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_tells_its_request() {
    let t = TestApp::fake().await;
    for path in ["/account", "/no/such/path", "/openapi.json"] {
        let answer = t.ask(path, &[("Request-Id", "one,two")]).await;
        let ids: Vec<&str> = header(&answer, "request-id").unwrap().split(',').collect();
        assert!(ids.len() == 3 && ids[..2] == ["one", "two"], "{ids:?}");
    }
    let long = vec!["01234567-89ab-4def-8123-456789abcdef"; 400].join(",");
    let answer = t.ask("/account", &[("Request-Id", &long)]).await;
    assert!(header(&answer, "request-id").unwrap().len() <= 7 * 1024);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bodies_are_told_with_their_field() {
    let t = TestApp::fake().await;
    t.create("bodies").await;
    let bearer = format!("Bearer {}", t.token);
    let send = async |body: &str| t.send_with("PATCH", "/apps/bodies", &[("Authorization", &bearer)], body).await;
    for (body, status, told) in [
        (r#"{"maintenance": "yes"}"#, 422, "maintenance: "),
        (r#"{"name": 3}"#, 422, "name: "),
        ("[]", 422, "object"),
        ("3", 422, "object"),
        (r#"{"name": "#, 400, "JSON"),
        ("name=three", 400, "JSON"),
        (r#"{"name": "bo\u0000dies"}"#, 422, "NUL"),
    ] {
        let (id, why) = send(body).await.error(status);
        assert!(why.contains(told), "{body}: {id} {why}");
    }
    // As deep as it goes, nobody's stack is used up.
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [format!(r#"{{"other": {deep}}}"#), format!(r#"{{"name": {deep}}}"#), deep] {
        assert!(send(&body).await.error(400).1.contains("recursion limit"));
    }
    // A list is no object within the body either, though serde would read it as one.
    let filter = r#"{"in": [null, null]}"#;
    let (_, why) = t.send_with("POST", "/filters/apps", &[("Authorization", &bearer)], filter).await.error(422);
    assert!(why.starts_with("in: invalid type: sequence"), "{why}");
    // What is not known is not minded.
    let shown = send(r#"{"maintenance": true, "never_heard_of": {"x": [1, 2]}}"#).await.ok();
    assert_eq!(shown["maintenance"], true);
    // Another method than a path has.
    t.send_with("PUT", "/apps/bodies", &[("Authorization", &bearer)], "{}").await.error(405);
    t.send_with("BREW", "/apps/bodies", &[("Authorization", &bearer)], "{}").await.error(405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_ends_the_connection_says_so() {
    let t = TestApp::fake().await;
    let ask = async |token: &str, body: &str, length: usize| {
        let mut stream = tokio::net::TcpStream::connect(t.url.trim_start_matches("http://")).await.unwrap();
        let head = format!(
            "PATCH /account HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        while !answer.contains("\r\n\r\n") {
            let mut piece = [0; 4096];
            let n = stream.read(&mut piece).await.unwrap();
            assert!(n > 0, "{answer}");
            answer.push_str(&String::from_utf8_lossy(&piece[..n]));
        }
        (answer[9..12].to_owned(), answer.to_lowercase().contains("\r\nconnection: close\r\n"))
    };
    assert_eq!(ask("wrong", "", 20).await, ("401".into(), true), "its body is still to come");
    assert_eq!(ask("wrong", "", 0).await, ("401".into(), false));
    assert_eq!(ask(&t.token, r#"{"name": 3}"#, 11).await, ("422".into(), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_describes_itself() {
    let t = TestApp::fake().await;
    let document = t.send_with("GET", "/openapi.json", &[], "").await.ok();
    let schema = t.send_with("GET", "/schema", &[], "").await.ok();
    let (_, endpoints) = api::endpoints().split();
    let mut ids = BTreeSet::new();
    for endpoint in &endpoints {
        // The rest of a path has a star in front, which is not OpenAPI's.
        let path = endpoint.path.replace("{*", "{");
        let operation = &document["paths"][&path][endpoint.method.as_str().to_lowercase()];
        assert!(operation.is_object(), "{} {} is missing", endpoint.method, endpoint.path);
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{operation}");
        let of = |resource: &Value| {
            let links = resource["links"].as_array().unwrap();
            links.iter().any(|link| link["href"] == endpoint.path && link["method"] == endpoint.method.as_str())
        };
        let resources = schema["definitions"].as_object().unwrap();
        assert!(resources.values().any(of), "{} {} is in no resource", endpoint.method, endpoint.path);
    }
    for whole in [&document, &schema] {
        let mut references = BTreeSet::new();
        gather(whole, &mut references);
        for reference in references {
            assert!(whole.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
        }
    }
    assert_eq!(schema["definitions"]["app"]["properties"]["name"]["type"], "string");
}

fn gather(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            into.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| gather(value, into));
        }
        Value::Array(list) => list.iter().for_each(|value| gather(value, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
