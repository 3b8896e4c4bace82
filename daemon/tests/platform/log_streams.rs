//! What a release's command says, as text and as events, from the start and from where one was.

use chrono::TimeDelta;
use paas_daemon::{engine::OutputStream, ops::addresses};
use serde_json::Value;

use crate::util::TestApp;

#[tokio::test]
async fn a_releases_output_is_resumed_by_bytes_or_by_events() {
    let t = TestApp::fake().await;
    t.create("shop").await;
    let release = t.deploy("shop", &[], &[("web", "serve"), ("release", "migrate")]).await;
    let fake = t.fake.clone().unwrap();
    let dyno = t
        .until("the release's dyno", || async {
            let seen = t.platform().engine.list(None).await.unwrap();
            seen.iter().find(|dyno| dyno.name.starts_with("release.")).map(|dyno| dyno.id)
        })
        .await;
    for line in ["one", "two", "three"] {
        fake.write(dyno, OutputStream::Stdout, line);
    }
    t.until_logged("shop", "three").await;
    fake.exit(dyno, 0, false);
    let shown = t.get(&format!("/apps/shop/releases/{}", release.version)).await.ok();
    let url = shown["output_stream_url"].as_str().unwrap();
    let path = &url[url.find("/streams/").unwrap()..];
    let read = |headers: Vec<(&'static str, String)>| {
        let t = &t;
        async move {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = t.send_with("GET", path, &headers, "").await;
            let Value::String(text) = answer.body else { panic!("{answer:?}") };
            (answer.status, answer.headers["content-type"].to_str().unwrap().to_owned(), text)
        }
    };
    let (status, kind, text) = read(Vec::new()).await;
    assert_eq!((status, kind.as_str(), text.as_str()), (200, "text/plain; charset=utf-8", "one\ntwo\nthree\n"));
    let (status, _, text) = read(vec![("Range", "bytes=6-".into())]).await;
    assert_eq!((status, text.as_str()), (206, "o\nthree\n"));
    let (status, _, text) = read(vec![("Range", "bytes=999-".into())]).await;
    assert_eq!((status, text.as_str()), (206, ""));
    let events = ("Accept", "text/event-stream".to_owned());
    let (status, kind, text) = read(vec![events.clone()]).await;
    assert_eq!((status, kind.as_str()), (200, "text/event-stream"));
    let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(data, ["one", "two", "three"]);
    let first = text.lines().next().unwrap().strip_prefix("id: ").unwrap().to_owned();
    let (_, _, text) = read(vec![events.clone(), ("Last-Event-ID", first)]).await;
    let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(data, ["two", "three"]);
    let (status, _, _) = read(vec![events.clone(), ("Last-Event-ID", "nonsense".into())]).await;
    assert_eq!(status, 200);
    let (_, _, text) = read(vec![events, ("Last-Event-ID", "999".into())]).await;
    assert_eq!(text, "");
    // Without its key the address is nothing, for those with a token too.
    let (bare, key) = path.split_once('?').unwrap();
    let other = t.deploy("shop", &[], &[("web", "serve"), ("release", "migrate")]).await.id;
    let expired = addresses::sign(t.platform(), "release/output", release.id, TimeDelta::seconds(-1));
    for wrong in [bare.to_owned(), format!("{bare}?{expired}"), format!("/streams/releases/{other}?{key}")] {
        assert_eq!(t.send("GET", &wrong, Some(&t.token), None).await.status, 403, "{wrong}");
    }
}
