//! Lines on their way: nothing lost, nothing twice, and what is dropped is told.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use paas_daemon::{logs::Filter, web};
use serde_json::json;

use super::{
    drain, numbered,
    receivers::{Http, Syslog},
    say, shop,
};
use crate::util::TestApp;

/// The numbers of `line N` among messages, in order.
fn numbers(messages: &[String]) -> Vec<usize> {
    messages.iter().filter_map(|message| message.trim_end().strip_prefix("line ")?.parse().ok()).collect()
}

#[tokio::test]
async fn syslog_gets_each_line_once_and_in_order() {
    let (t, app) = shop().await;
    let receiver = Syslog::start(None).await;
    say(&t, app, &["before".into()]).await;
    let made = drain(&t, &receiver.url()).await;
    let token = made["token"].as_str().unwrap();
    let long = format!("{}é", "x".repeat(9_999));
    say(&t, app, &["one".into(), long, "Grüße".into()]).await;
    t.platform().logs.platform(app, "router", "at=info");
    receiver.until("at=info").await;
    let frames = receiver.frames();
    // Its own addition is the first thing that it hears of.
    assert!(frames[0].contains(&format!(" {token} app api - - Add log drain {token}")), "{frames:?}");
    assert!(frames[1].starts_with("<190>1 20") && frames[1].ends_with(&format!("+00:00 {token} app web.1 - - one")));
    assert!(frames.last().unwrap().starts_with("<158>1 "), "{frames:?}");
    assert!(frames.last().unwrap().ends_with(&format!(" {token} heroku router - - at=info")));
    let messages = receiver.messages();
    assert_eq!(messages[2..5], ["x".repeat(9_999), "é".into(), "Grüße".to_owned()]);
    // Many at once are no trouble for a receiver that keeps up: more than the buffer holds.
    say(&t, app, &numbered(0..3000)).await;
    receiver.until("line 2999").await;
    assert_eq!(numbers(&receiver.messages()), (0..3000).collect::<Vec<_>>());
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn drains_come_and_go_while_lines_flow() {
    let (t, app) = shop().await;
    let (first, second) = (Syslog::start(None).await, Syslog::start(None).await);
    drain(&t, &first.url()).await;
    say(&t, app, &numbered(0..10)).await;
    first.until("line 9").await;
    let added = drain(&t, &second.url()).await;
    say(&t, app, &numbered(10..20)).await;
    second.until("line 19").await;
    first.until("line 19").await;
    assert_eq!(numbers(&second.messages()), (10..20).collect::<Vec<_>>());
    t.delete(&format!("/apps/shop/log-drains/{}", added["id"].as_str().unwrap())).await.ok();
    t.until("its connection to end", || async { (second.open_connections() == 0).then_some(()) }).await;
    say(&t, app, &numbered(20..30)).await;
    first.until("line 29").await;
    assert_eq!(numbers(&first.messages()), (0..30).collect::<Vec<_>>());
    assert_eq!(numbers(&second.messages()), (10..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn tls_is_by_certificates_that_are_trusted_and_no_others() {
    let ca = std::env::temp_dir().join(format!("paas-test-ca-{}", uuid::Uuid::new_v4().simple()));
    let files = web::tls::ensure(&ca, "logs.test").unwrap();
    let config = web::tls::server_config(&files).unwrap();
    let bundle = files.ca.clone();
    let t = TestApp::fake_with(|config| {
        config.allow_loopback = true;
        config.ca_bundle = Some(bundle);
    })
    .await;
    let app = t.create("shop").await["id"].as_str().unwrap().parse().unwrap();
    let good = Syslog::start(Some(config)).await;
    drain(&t, &format!("syslog+tls://localhost:{}", good.address.port())).await;
    say(&t, app, &numbered(0..5)).await;
    good.until("line 4").await;
    assert_eq!(numbers(&good.messages()), (0..5).collect::<Vec<_>>());

    // One of nobody that is trusted.
    let strange = std::env::temp_dir().join(format!("paas-test-ca-{}", uuid::Uuid::new_v4().simple()));
    let files = web::tls::ensure(&strange, "logs.test").unwrap();
    let bad = Syslog::start(Some(web::tls::server_config(&files).unwrap())).await;
    let url = format!("syslog+tls://localhost:{}", bad.address.port());
    drain(&t, &url).await;
    say(&t, app, &numbered(5..6)).await;
    t.until_logged("shop", "heroku[logplex]: Error L14 (certificate validation): error=").await;
    let log = t.log("shop").await;
    assert!(log.iter().any(|line| line.contains("Error L14") && line.ends_with(&format!("uri=\"{url}\""))), "{log:?}");
    assert_eq!(bad.frames().len(), 0);
    good.until("line 5").await;
    for dir in [ca, strange] {
        std::fs::remove_dir_all(dir).unwrap();
    }
}

#[tokio::test]
async fn requests_are_as_logplex_makes_them_and_repeated_until_taken() {
    let (t, app) = shop().await;
    let receiver = Http::start(&[503, 500]).await;
    let made = drain(&t, &format!("http://me:p%40ss@{}/in?key=1", receiver.address)).await;
    let token = made["token"].as_str().unwrap().to_owned();
    say(&t, app, &numbered(0..50)).await;
    let all = |requests: &[super::receivers::Request]| requests.iter().any(|r| r.body.contains("line 49\n"));
    let requests = receiver.until("line 49", |requests| requests.len() >= 3 && all(requests)).await;
    let [first, second, third, ..] = requests.as_slice() else { panic!("{requests:#?}") };
    let id = first.header("logplex-frame-id");
    assert!(id.len() == 32 && [second, third].iter().all(|again| again.header("logplex-frame-id") == id));
    assert_eq!(first.body, third.body);
    let mut ids = BTreeSet::new();
    let mut messages = Vec::new();
    for request in &requests {
        assert_eq!(request.path, "/in?key=1");
        assert_eq!(request.header("content-type"), "application/logplex-1");
        assert_eq!(request.header("logplex-drain-token"), token);
        assert_eq!(request.header("authorization"), "Basic bWU6cEBzcw==");
        assert_eq!(request.header("host"), receiver.address.to_string());
        assert!(request.header("user-agent").starts_with("Logplex/"), "{request:?}");
        let lines: Vec<&str> = request.body.lines().collect();
        assert_eq!(request.header("logplex-msg-count"), lines.len().to_string());
        if ids.insert(request.header("logplex-frame-id").to_owned()) {
            messages.extend(lines.iter().map(|line| line.split_once(" - ").unwrap().1.to_owned()));
        }
        // Each length counts its line's end too.
        let (length, rest) = lines[0].split_once(' ').unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), rest.len() + 1);
    }
    assert_eq!(numbers(&messages), (0..50).collect::<Vec<_>>());
    let log = t.log("shop").await.join("\n");
    assert!(!log.contains("p%40ss") && !log.contains("p@ss"));
}

#[tokio::test]
async fn a_frame_that_is_called_bad_again_and_again_is_dropped_and_told() {
    let (t, app) = shop().await;
    let receiver = Http::start(&[400; 5]).await;
    drain(&t, &format!("http://{}/", receiver.address)).await;
    let requests = receiver.until("5 attempts", |requests| requests.len() >= 5).await;
    let count = requests[0].header("logplex-msg-count").to_owned();
    say(&t, app, &["good".into()]).await;
    let requests =
        receiver.until("what comes after", |requests| requests.iter().any(|r| r.body.contains("good\n"))).await;
    let told = format!(" heroku logplex - Error L10 (output buffer overflow): {count} messages dropped since ");
    assert!(requests[5].body.lines().next().unwrap().contains(&told), "{requests:#?}");
}

#[tokio::test]
async fn a_stuck_receiver_gets_the_newest_and_the_exact_count_of_the_rest() {
    let (t, app) = shop().await;
    let (stuck, well) = (Syslog::start(None).await, Syslog::start(None).await);
    // What was said of the app's making is stored by then, so the drain begins where `start` is.
    say(&t, app, &["before".into()]).await;
    let start = t.platform().logs.store().end(app).await.unwrap();
    let token = drain(&t, &stuck.url()).await["token"].as_str().unwrap().to_owned();
    drain(&t, &well.url()).await;
    say(&t, app, &["first".into()]).await;
    stuck.until("first").await;
    stuck.set_reads(false);
    // Far more than the system holds for it: 12 MB.
    let padding = "x".repeat(4000);
    let text = |n: usize| format!("line {n} {padding}");
    for from in (0..3000).step_by(500) {
        say(&t, app, &(from..from + 500).map(text).collect::<Vec<_>>()).await;
    }
    // Nobody else is held up.
    well.until("line 2999 ").await;
    t.until_logged("shop", &format!("Error L10 (output buffer overflow): drain '{token}' dropped ")).await;
    stuck.set_reads(true);
    say(&t, app, &["last".into()]).await;
    stuck.until(" - - last").await;
    let messages = stuck.messages();
    let messages = &messages[..=messages.iter().position(|message| message == "last").unwrap()];
    // What the daemon told the app of it is a line as any other.
    let told: Vec<u64> = messages
        .iter()
        .filter_map(|message| {
            message.strip_prefix("Error L10 (output buffer overflow): ")?.split_once(" messages dropped since ")
        })
        .filter_map(|(count, _)| count.parse().ok())
        .collect();
    let log = t.platform().logs.store().recent(app, 1500, Filter::default()).await.unwrap();
    let last = log.iter().find(|line| line.message == "last").unwrap().seq;
    let (came, dropped) = ((messages.len() - told.len()) as u64, told.iter().sum::<u64>());
    assert_eq!(came + dropped, last - start, "{came} came, {told:?} were dropped; from {start} to {last}");
    assert!(dropped > 0);
    let kept: Vec<usize> = stuck
        .messages()
        .iter()
        .filter_map(|message| message.strip_prefix("line ")?.split(' ').next()?.parse().ok())
        .collect();
    assert!(kept.is_sorted() && kept.iter().collect::<BTreeSet<_>>().len() == kept.len());
    assert!(kept.ends_with(&(2000..3000).collect::<Vec<_>>()), "the newest are kept");
}

#[tokio::test]
async fn a_receiver_that_comes_back_gets_what_it_missed() {
    let (t, app) = shop().await;
    let receiver = Syslog::start(None).await;
    drain(&t, &receiver.url()).await;
    say(&t, app, &numbered(0..3)).await;
    receiver.until("line 2").await;
    let address = receiver.stop().await;
    say(&t, app, &numbered(3..10)).await;
    t.until_logged("shop", " takes no messages: ").await;
    let receiver = Syslog::at(address, None).await;
    receiver.until("line 9").await;
    assert_eq!(numbers(&receiver.messages()), (3..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_restart_of_the_daemon_neither_loses_nor_repeats() {
    let (mut t, app) = shop().await;
    let (syslog, http) = (Syslog::start(None).await, Http::start(&[]).await);
    drain(&t, &syslog.url()).await;
    drain(&t, &format!("http://{}/", http.address)).await;
    say(&t, app, &numbered(0..100)).await;
    syslog.until("line 99").await;
    http.until("line 99", |requests| requests.iter().any(|r| r.body.contains("line 99\n"))).await;
    // Both are away while the daemon goes: what they have not had is theirs after it.
    http.answer_with(503, 1_000);
    say(&t, app, &numbered(100..200)).await;
    syslog.until("line 199").await;
    t.restart().await;
    http.answer_with(204, 1);
    say(&t, app, &numbered(200..300)).await;
    syslog.until("line 299").await;
    let all: Vec<usize> = (0..300).collect();
    assert_eq!(numbers(&syslog.messages()), all);
    let requests = http
        .until("line 299", |requests| requests.iter().any(|r| r.status == 204 && r.body.contains("line 299\n")))
        .await;
    let taken = requests.iter().filter(|request| request.status == 204);
    let lines: Vec<usize> = taken
        .flat_map(|request| request.body.lines())
        .filter_map(|line| line.split_once(" - line ")?.1.parse().ok())
        .collect();
    assert_eq!(lines, all);
}

#[tokio::test]
async fn a_hundred_drains_of_one_app_and_no_more() {
    let (t, app) = shop().await;
    let receiver = Arc::new(Syslog::start(None).await);
    let tokens: Vec<String> = {
        let mut tokens = Vec::new();
        for n in 0..100 {
            let made = drain(&t, &format!("{}/{n}", receiver.url())).await;
            tokens.push(made["token"].as_str().unwrap().to_owned());
        }
        tokens
    };
    let (_, why) = t.post("/apps/shop/log-drains", json!({"url": "syslog://h:1"})).await.error(422);
    assert!(why.contains("limit of 100"), "{why}");
    say(&t, app, &["to all".into()]).await;
    for token in &tokens {
        receiver.until(&format!("{token} app web.1 - - to all")).await;
    }
    // The app goes, and with it all of them.
    t.delete("/apps/shop").await.ok();
    t.until("the drains to be gone", || async {
        let rows = paas_daemon::store::log_drains::all(&mut t.platform().db.read().await.unwrap()).await.unwrap();
        rows.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_never_answers_holds_up_nobody_and_not_the_daemons_end() {
    let (mut t, app) = shop().await;
    let (silent, well) = (Http::start(&[]).await, Syslog::start(None).await);
    silent.set_silent(true);
    drain(&t, &format!("http://{}/", silent.address)).await;
    drain(&t, &well.url()).await;
    say(&t, app, &numbered(0..10)).await;
    well.until("line 9").await;
    silent.until("a request", |requests| !requests.is_empty()).await;
    let started = std::time::Instant::now();
    t.down().await;
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    t.up().await;
    silent.set_silent(false);
    silent.until("what it was asked before", |requests| requests.iter().any(|r| r.body.contains("line 9\n"))).await;
}
