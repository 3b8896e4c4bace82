//! Automatic certificates, with a true authority (Pebble), true DNS questions and the true router.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod faults;
#[path = "../util/mod.rs"]
mod util;

use std::{
    path::PathBuf,
    process::{Child, Stdio},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use util::{
    TestApp,
    database::Database,
    free_port,
    pebble::{EAB, Faults, Pebble},
    programs,
    settings::without_settings,
};

/// A domain as the API shows it.
async fn domain(t: &TestApp, name: &str) -> Value {
    t.get(&format!("/apps/shop/domains/{name}")).await.ok()
}

/// Waits until the domain has this status, and gives it.
async fn until_status(t: &TestApp, name: &str, status: &str) -> Value {
    t.until(&format!("{name} to be {status}"), || async {
        let domain = domain(t, name).await;
        (domain["acm_status"] == status).then_some(domain)
    })
    .await
}

async fn issued(t: &TestApp, name: &str) -> Value {
    let started = std::time::Instant::now();
    loop {
        let domain = domain(t, name).await;
        if domain["acm_status"] == "cert issued" {
            return domain;
        }
        let log = t.log("shop").await;
        assert!(started.elapsed() < util::PATIENCE, "no certificate: {domain}\n{}", log.join("\n"));
        assert!(domain["acm_status_reason"].is_null(), "{domain}");
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
}

/// What is tried again now, though it has failed a moment ago.
async fn refresh(t: &TestApp) {
    assert_eq!(t.patch("/apps/shop/acm", json!({"acm_refresh": true})).await.ok()["acm"], true);
}

async fn certificates(t: &TestApp) -> Vec<Value> {
    t.get("/apps/shop/sni-endpoints").await.ok().as_array().unwrap().clone()
}

/// A domain gets a certificate by itself, with the authority's faults switched on: half of the nonces
/// are refused, the chain is long. The app is in maintenance, which is none of the authority's business.
#[tokio::test(flavor = "multi_thread")]
async fn a_domain_gets_a_certificate_by_itself() {
    let environment = vec![("PEBBLE_WFE_NONCEREJECT", "50"), ("PEBBLE_CHAIN_LENGTH", "3"), ("PEBBLE_AUTHZREUSE", "0")];
    let mut ca = Pebble::start(Faults { environment, ..Faults::default() }).await;
    let t = ca.app(|_| {}).await;
    t.create("shop").await;
    t.patch("/apps/shop", json!({"maintenance": true})).await.ok();
    assert!(ca.served("www.example.org").await.is_none());
    let made = t.post("/apps/shop/domains", json!({"hostname": "www.example.org"})).await.ok();
    assert_eq!((&made["acm_status"], &made["acm_status_reason"]), (&json!("pending"), &Value::Null), "{made}");
    assert_eq!(t.get("/apps/shop").await.ok()["acm"], true, "it is on by itself");
    let domain = issued(&t, "www.example.org").await;
    t.until("visitors to get it", || async { ca.served("www.example.org").await }).await;
    t.until_logged("shop", "Certificate for www.example.org issued by localhost, good until ").await;
    let [one] = &certificates(&t).await[..] else { panic!("not one") };
    assert_eq!(one["ssl_cert"]["acm"], true);
    assert_eq!(one["ssl_cert"]["cert_domains"], json!(["www.example.org"]));
    assert_eq!(one["name"], domain["sni_endpoint"]["name"]);
    assert!(one["certificate_chain"].as_str().unwrap().matches("BEGIN").count() >= 3, "the chain is whole");

    // It is nobody's to change by hand.
    let path = format!("/apps/shop/sni-endpoints/{}", one["name"].as_str().unwrap());
    let (_, why) = t.delete(&path).await.error(422);
    assert!(why.contains("certs:auto:disable"), "{why}");
    let own = rcgen::generate_simple_self_signed(vec!["www.example.org".to_owned()]).unwrap();
    let own = json!({"certificate_chain": own.cert.pem(), "private_key": own.signing_key.serialize_pem()});
    t.patch(&path, own.clone()).await.error(422);

    // One that the app brings comes before it, which goes then.
    let brought = t.post("/apps/shop/sni-endpoints", own).await.ok();
    let update = json!({"sni_endpoint": brought["name"]});
    let domain = t.patch("/apps/shop/domains/www.example.org", update).await.ok();
    assert_eq!(domain["acm_status"], Value::Null);
    t.until("the automatic one to go", || async {
        let all = certificates(&t).await;
        (all.len() == 1 && all[0]["name"] == brought["name"]).then_some(())
    })
    .await;
    t.until("visitors to get the app's", || async { ca.served("www.example.org").await.is_none().then_some(()) }).await;

    // And back; until nobody wants any more.
    t.patch("/apps/shop/domains/www.example.org", json!({"sni_endpoint": null})).await.ok();
    issued(&t, "www.example.org").await;
    t.until("visitors to get one", || async { ca.served("www.example.org").await }).await;
    assert_eq!(t.delete("/apps/shop/acm").await.ok()["acm"], false);
    let left = certificates(&t).await;
    assert!(left.len() == 1 && left[0]["name"] == brought["name"], "{left:?}");
    t.until("visitors to get none", || async { ca.served("www.example.org").await.is_none().then_some(()) }).await;
    // Who has switched it off is not overruled by the next domain.
    t.post("/apps/shop/domains", json!({"hostname": "example.org"})).await.ok();
    assert_eq!(t.get("/apps/shop").await.ok()["acm"], false);

    // What a domain leaves behind goes with it.
    t.post("/apps/shop/acm", json!({})).await.ok();
    issued(&t, "example.org").await;
    t.delete("/apps/shop/domains/example.org").await.ok();
    t.until("its certificate to go", || async {
        let all = certificates(&t).await;
        all.iter().all(|one| one["ssl_cert"]["cert_domains"] != json!(["example.org"])).then_some(())
    })
    .await;
    // The other domain's turn comes, too.
    issued(&t, "www.example.org").await;
    t.until("nothing to be answered any more", || async {
        let challenges = t.control("GET /router/table?after=0", "").await.1["challenges"].clone();
        (challenges == json!([])).then_some(())
    })
    .await;
}

/// Where nothing is on port 80, the certificate itself is the proof. The account has to be bound.
#[tokio::test(flavor = "multi_thread")]
async fn without_port_80_it_is_proved_over_tls() {
    let closed = free_port();
    let mut ca = Pebble::start(Faults { http_port: Some(closed), bound: true, ..Faults::default() }).await;
    let t = ca.app(|config| config.acme.eab = Some(EAB.into())).await;
    t.create("shop").await;
    t.post("/apps/shop/domains", json!({"hostname": "www.example.org"})).await.ok();
    issued(&t, "www.example.org").await;
    t.until("visitors to get it", || async { ca.served("www.example.org").await }).await;
}

/// A DNS hook that tells the test's DNS, and where it writes what it was called with; `before` is
/// shell that it runs first.
fn hook(ca: &Pebble, before: &str) -> (PathBuf, PathBuf) {
    let (hook, said) = (ca.dir.join("hook"), ca.dir.join("hook.said"));
    let script = format!(
        "#!/bin/sh\nset -e\necho \"$1 $2\" >> {said}\n{before}\ncase $1 in\npresent) p=set-txt ;;\ncleanup) p=clear-txt ;;\nesac\n\
         exec curl -sSf --noproxy '*' -d \"{{\\\"host\\\":\\\"$2.\\\",\\\"value\\\":\\\"$3\\\"}}\" http://127.0.0.1:{port}/$p\n",
        said = said.display(),
        port = ca.dns_management
    );
    std::fs::write(&hook, script).unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    (hook, said)
}

/// A wildcard is proved by a DNS record that a program of the administrator's writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_is_proved_by_a_record() {
    let mut ca = Pebble::start(Faults::default()).await;
    let (hook, said) = hook(&ca, "");
    let mut t = ca.app(|_| {}).await;
    t.create("shop").await;
    t.post("/apps/shop/domains", json!({"hostname": "*.example.org"})).await.ok();
    let domain = until_status(&t, "*.example.org", "failing").await;
    assert!(domain["acm_status_reason"].as_str().unwrap().contains("PAAS_ACME_DNS_HOOK"), "{domain}");
    assert_eq!(ca.orders(), 0, "{}", ca.said());

    // Whose zone it is, the administrator says: any user can add any wildcard.
    t.config.acme.dns_hook = Some(hook);
    for zones in [vec![], vec!["ample.org".to_owned(), "www.example.org".to_owned(), String::new()]] {
        t.config.acme.dns_zones = zones;
        t.restart().await;
        refresh(&t).await;
        t.until("the refusal", || async {
            let said = self::domain(&t, "*.example.org").await["acm_status_reason"].to_string();
            said.contains("PAAS_ACME_DNS_ZONES").then_some(())
        })
        .await;
    }
    assert_eq!((ca.orders(), said.exists()), (0, false), "{}", ca.said());

    t.config.acme.dns_zones = vec!["example.net".to_owned(), " Example.org.".to_owned()];
    t.restart().await;
    refresh(&t).await;
    t.until("the certificate", || async {
        (self::domain(&t, "*.example.org").await["acm_status"] == "cert issued").then_some(())
    })
    .await;
    t.until("visitors to get it", || async { ca.served("any.example.org").await }).await;
    let said = std::fs::read_to_string(said).unwrap();
    assert_eq!(said, "present _acme-challenge.example.org\ncleanup _acme-challenge.example.org\n");
}

/// A name that leads elsewhere is told of, and nothing is ordered for it; when it leads here, it works.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_lead_here_is_not_ordered() {
    let mut ca = Pebble::start(Faults { no_names: true, ..Faults::default() }).await;
    let t = ca.app(|_| {}).await;
    // Another server: it answers everything.
    let other = TcpListener::bind(("127.0.0.2", ca.http_port)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = other.accept().await {
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nother").await;
        }
    });
    t.create("shop").await;
    let reason = |domain: &Value| domain["acm_status_reason"].as_str().unwrap().to_owned();
    let add = async |name: &str| {
        t.post("/apps/shop/domains", json!({"hostname": name})).await.ok();
        reason(&until_status(&t, name, "failing").await)
    };
    let said = add("none.example.org").await;
    assert_eq!(said, "none.example.org has no address: add a DNS record for it.");
    ca.dns("add-a", json!({"host": "other.example.org.", "addresses": ["127.0.0.2"]})).await;
    let said = add("other.example.org").await;
    assert_eq!(
        said,
        "other.example.org leads to 127.0.0.2, which is not this server (it answers with HTTP status 200): point it at shop.localhost."
    );
    ca.dns("add-a", json!({"host": "silent.example.org.", "addresses": ["127.0.0.3"]})).await;
    let said = add("silent.example.org").await;
    assert!(said.starts_with("silent.example.org leads to 127.0.0.3, where nothing answers on port "), "{said}");
    // Nobody is sent where clouds keep their keys.
    ca.dns("add-a", json!({"host": "inside.example.org.", "addresses": ["169.254.169.254"]})).await;
    let said = add("inside.example.org").await;
    assert!(said.contains("169.254.169.254, which is not this server (it is a link-local address"), "{said}");
    assert_eq!(ca.orders(), 0, "{}", ca.said());
    t.until_logged("shop", "Certificate for other.example.org can't be got yet: other.example.org leads to").await;

    // Mended: one asks for it again, and has it. The others are in nobody's way.
    ca.dns("clear-a", json!({"host": "other.example.org."})).await;
    ca.dns("add-a", json!({"host": "other.example.org.", "addresses": ["127.0.0.1"]})).await;
    refresh(&t).await;
    let good = until_status(&t, "other.example.org", "cert issued").await;
    assert_eq!(good["acm_status_reason"], Value::Null);
    assert_eq!(ca.orders(), 1);

    // Who has a server of its own reads the authority's words. Five failures, and nobody waits any more.
    for _ in 0..4 {
        let tried = || async {
            let mut c = t.platform().db.read().await.unwrap();
            let id = self::domain(&t, "none.example.org").await["id"].as_str().unwrap().parse().unwrap();
            paas_daemon::store::acme::by_domain(&mut c, id).await.unwrap().unwrap()
        };
        let before = tried().await.attempts;
        due(&t, "none.example.org").await;
        t.until("another try", || async { (tried().await.attempts > before).then_some(()) }).await;
    }
    until_status(&t, "none.example.org", "failed").await;
}

/// Makes one due without forgetting its failures, as time does.
async fn due(t: &TestApp, name: &str) {
    use paas_daemon::store::{Wake, acme};
    let id = domain(t, name).await["id"].as_str().unwrap().parse().unwrap();
    let p = t.platform();
    let mut tx = p.db.begin().await.unwrap();
    let mut row = acme::by_domain(&mut tx, id).await.unwrap().unwrap();
    row.next_at = p.cx.now();
    acme::update(&mut tx, &row).await.unwrap();
    tx.commit(Some(Wake { app_id: None, kind: "acm.refresh" })).await.unwrap();
}

/// What the authority says is what the user reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_in_the_authoritys_words() {
    let closed = free_port();
    let mut ca = Pebble::start(Faults { http_port: Some(closed), ..Faults::default() }).await;
    let t = ca.app(|config| config.acme.preflight = false).await;
    t.create("shop").await;
    t.post("/apps/shop/domains", json!({"hostname": "www.example.org"})).await.ok();
    let domain = until_status(&t, "www.example.org", "failing").await;
    let said = domain["acm_status_reason"].as_str().unwrap();
    assert!(said.starts_with("localhost could not see that www.example.org leads here: "), "{said}");
    assert!(said.contains("connection refused") && said.contains("(connection)"), "{said}");
    assert_eq!(ca.orders(), 1);
    // Untried, the other way has its turn then.
    due(&t, "www.example.org").await;
    t.until("the certificate", || async {
        (self::domain(&t, "www.example.org").await["acm_status"] == "cert issued").then_some(())
    })
    .await;
    t.until("visitors to get it", || async { ca.served("www.example.org").await }).await;
}

/// A short-lived certificate is renewed in time, and no visitor is without one meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_renewed() {
    let mut ca = Pebble::start(Faults { validity: Some(20), ..Faults::default() }).await;
    let t = ca.app(|_| {}).await;
    t.create("shop").await;
    t.post("/apps/shop/domains", json!({"hostname": "www.example.org"})).await.ok();
    issued(&t, "www.example.org").await;
    let first = t.until("visitors to get it", || async { ca.served("www.example.org").await }).await;
    let name = certificates(&t).await[0]["name"].clone();
    t.until("another one", || async {
        let served = ca.served("www.example.org").await.expect("always a good one");
        (served != first).then_some(())
    })
    .await;
    t.until_logged("shop", "Certificate for www.example.org renewed by localhost").await;
    let [one] = &certificates(&t).await[..] else { panic!("not one") };
    assert_eq!(one["name"], name);
    assert_eq!(domain(&t, "www.example.org").await["acm_status"], "cert issued");
}

/// One that has come and can't be served (it has ended when it comes) is not ordered again at once.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_is_fetched_again_and_seldom_ordered() {
    let mut ca = Pebble::start(Faults { validity: Some(1), ..Faults::default() }).await;
    let t = ca.app(|_| {}).await;
    t.create("shop").await;
    t.post("/apps/shop/domains", json!({"hostname": "www.example.org"})).await.ok();
    let domain = until_status(&t, "www.example.org", "failing").await;
    let said = domain["acm_status_reason"].as_str().unwrap();
    assert!(said.starts_with("The certificate that localhost has sent can't be used: "), "{said}");
    let id = domain["id"].as_str().unwrap().parse().unwrap();
    let row = async || {
        let mut c = t.platform().db.read().await.unwrap();
        paas_daemon::store::acme::by_domain(&mut c, id).await.unwrap().unwrap()
    };
    for (attempts, orders) in [(2, 1), (3, 1), (4, 2)] {
        let before = row().await;
        assert!(before.next_at > t.platform().cx.now() + chrono::TimeDelta::minutes(1), "it waits");
        due(&t, "www.example.org").await;
        t.until("another try", || async { (row().await.attempts == attempts).then_some(()) }).await;
        assert_eq!(ca.orders(), orders, "{}", ca.said());
    }
}

/// From a staging directory to the true one: what is there is replaced without anybody's asking.
#[tokio::test(flavor = "multi_thread")]
async fn another_directory_gets_all_anew() {
    let mut ca = Pebble::start(Faults::default()).await;
    let (other, window) = ca.with_renewals().await;
    *window.lock().unwrap() = json!({"start": "2099-01-01T00:00:00Z", "end": "2099-01-02T00:00:00Z"});
    let mut t = ca.app(|_| {}).await;
    t.create("shop").await;
    t.post("/apps/shop/domains", json!({"hostname": "www.example.org"})).await.ok();
    issued(&t, "www.example.org").await;
    let first = t.until("visitors to get it", || async { ca.served("www.example.org").await }).await;
    t.restart().await;
    assert_eq!(ca.orders(), 1, "of the same one it stays");
    t.config.acme.directory = other;
    t.restart().await;
    t.until("another one", || async {
        let served = ca.served("www.example.org").await?;
        (served != first).then_some(())
    })
    .await;
    t.until_logged("shop", "Certificate for www.example.org renewed by 127.0.0.1").await;
    assert_eq!(domain(&t, "www.example.org").await["acm_status"], "cert issued");
}

/// The authority's own word on renewals counts, and is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_renewed_when_the_authority_says_so() {
    let mut ca = Pebble::start(Faults::default()).await;
    let (directory, window) = ca.with_renewals().await;
    *window.lock().unwrap() = json!({"start": "2099-01-01T00:00:00Z", "end": "2099-01-02T00:00:00Z"});
    let t = ca.app(|config| config.acme.directory = directory).await;
    t.create("shop").await;
    t.post("/apps/shop/domains", json!({"hostname": "www.example.org"})).await.ok();
    let id = issued(&t, "www.example.org").await["id"].as_str().unwrap().parse().unwrap();
    let row = async || {
        let mut c = t.platform().db.read().await.unwrap();
        paas_daemon::store::acme::by_domain(&mut c, id).await.unwrap().unwrap()
    };
    let first = t.until("visitors to get it", || async { ca.served("www.example.org").await }).await;
    assert!(row().await.renew_at.unwrap().to_rfc3339().starts_with("2099-01-01T"), "{:?}", row().await.renew_at);
    assert!(row().await.next_at < t.platform().cx.now() + chrono::TimeDelta::hours(7), "it is asked again");
    // A revocation, say.
    *window.lock().unwrap() = json!({"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"});
    due(&t, "www.example.org").await;
    t.until("another one", || async {
        let served = ca.served("www.example.org").await.expect("always a good one");
        (served != first).then_some(())
    })
    .await;
    t.until_logged("shop", "Certificate for www.example.org renewed by 127.0.0.1").await;
    // It says the same of the new one; we know better than to order without end.
    assert!(row().await.renew_at.unwrap() > t.platform().cx.now(), "{:?}", row().await.renew_at);
}

/// An authority that has had enough of us, or is down, keeps nobody from asking the other.
#[tokio::test(flavor = "multi_thread")]
async fn the_second_authority_is_asked_when_the_first_will_not() {
    let mut ca = Pebble::start(Faults::default()).await;
    let busy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let first = format!("http://{}/directory", busy.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = busy.accept().await {
            let mut head = [0; 2048];
            let _ = stream.read(&mut head).await;
            let body = r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many certificates"}"#;
            let answer = format!(
                "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3600\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let second = ca.directory.clone();
    let mut t = ca
        .app(|config| {
            config.acme.directory = first.clone();
            config.acme.fallback = None;
        })
        .await;
    t.create("shop").await;
    t.post("/apps/shop/domains", json!({"hostname": "www.example.org"})).await.ok();
    let alone = until_status(&t, "www.example.org", "failing").await;
    assert_eq!(
        alone["acm_status_reason"],
        "127.0.0.1 takes no more from us for now: too many certificates (rateLimited)."
    );
    let id = alone["id"].as_str().unwrap().parse().unwrap();
    let row = async |t: &TestApp| {
        let mut c = t.platform().db.read().await.unwrap();
        paas_daemon::store::acme::by_domain(&mut c, id).await.unwrap().unwrap()
    };
    assert!(row(&t).await.next_at > t.platform().cx.now() + chrono::TimeDelta::minutes(50), "Retry-After is kept");
    refresh(&t).await;
    t.until("it not to be asked again", || async {
        let reason = domain(&t, "www.example.org").await["acm_status_reason"].to_string();
        reason.contains("takes no more from us until").then_some(())
    })
    .await;

    t.config.acme.fallback = Some(second.clone());
    t.restart().await;
    refresh(&t).await;
    t.until("the certificate", || async {
        (domain(&t, "www.example.org").await["acm_status"] == "cert issued").then_some(())
    })
    .await;
    assert_eq!(row(&t).await.directory, Some(second));

    // Down is as good a reason.
    t.config.acme.directory = format!("https://localhost:{}/dir", free_port());
    t.restart().await;
    t.post("/apps/shop/domains", json!({"hostname": "example.org"})).await.ok();
    issued(&t, "example.org").await;
}

/// `paasd` as a process, which is killed at the end.
struct Paasd {
    process: Child,
    api: u16,
    token: String,
}

impl Paasd {
    fn command(ca: &Pebble, api: u16, database: Option<&Database>, arguments: &[&str]) -> std::process::Command {
        let mut command = without_settings(programs().join("paasd"));
        command.args(arguments);
        command
            .env("PAAS_DATA_DIR", ca.dir.join("data"))
            .env("PAAS_API_LISTEN", format!("127.0.0.1:{api}"))
            .env("PAAS_HTTP_LISTEN", format!("127.0.0.1:{}", ca.http_port))
            .env("PAAS_HTTPS_LISTEN", format!("127.0.0.1:{}", ca.https_port))
            .env("PAAS_ROUTER", "external")
            // Nothing runs in this test.
            .env("PAAS_DOCKER_HOST", "unix:///nonexistent/docker.sock")
            .env("PAAS_DISK_RESERVE", "64")
            .env("PAAS_ACME_EMAIL", "ops@example.com")
            .env("PAAS_ACME_DIRECTORY", &ca.directory)
            .env("PAAS_ACME_CA_FILE", ca.dir.join("ca.pem"))
            .env("PAAS_ACME_RESOLVER", ca.dns.to_string())
            .env("PAAS_ACME_DNS_HOOK", ca.dir.join("hook"))
            .env("PAAS_ACME_DNS_ZONES", "example.net,example.org")
            .stdin(Stdio::null());
        if let Some(database) = database {
            command.env("PAAS_DATABASE_URL", &database.url);
        }
        command
    }

    async fn start(ca: &Pebble, api: u16, database: Option<&Database>, token: String) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(ca.dir.join("paasd.log")).unwrap();
        let mut command = Self::command(ca, api, database, &["serve"]);
        let process = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let this = Self { process, api, token };
        ca.until("paasd", || async { reqwest::get(format!("http://127.0.0.1:{api}/health")).await.is_ok() }).await;
        this
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Value {
        let url = format!("http://127.0.0.1:{}{path}", self.api);
        let request = reqwest::Client::new().request(method.parse().unwrap(), url).bearer_auth(&self.token);
        let request = request.header("Accept", "application/vnd.heroku+json; version=3");
        let answer = if method == "GET" { request } else { request.json(&body) }.send().await.unwrap();
        answer.json().await.unwrap()
    }
}

impl Drop for Paasd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `kill -9` between an order and its end: the next daemon goes on with the same one.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_was_killed_goes_on_with_its_order() {
    let mut ca = Pebble::start(Faults::default()).await;
    let go = ca.dir.join("go");
    let (_, said) = hook(&ca, &format!("while ! [ -e {} ]; do sleep 0.1; done", go.display()));
    let database = Database::new();
    let api = free_port();
    let mut first = Paasd::start(&ca, api, database.as_ref(), String::new()).await;
    let made =
        Paasd::command(&ca, api, database.as_ref(), &["admin", "user:create", "you@example.com"]).output().unwrap();
    let token = String::from_utf8(made.stdout).unwrap().lines().last().unwrap().trim().to_owned();
    first.token.clone_from(&token);
    let data = ca.dir.join("data");
    ca.router(&data).await;
    first.ask("POST", "/apps", json!({"name": "shop"})).await;
    first.ask("POST", "/apps/shop/domains", json!({"hostname": "*.example.org"})).await;
    let calls = || std::fs::read_to_string(&said).unwrap_or_default().matches("present").count();
    ca.until("the order to be made", || async { calls() == 1 }).await;
    drop(first);
    std::fs::write(&go, "").unwrap();
    let second = Paasd::start(&ca, api, database.as_ref(), token).await;
    ca.until("the certificate", || async {
        let domain = second.ask("GET", "/apps/shop/domains/*.example.org", Value::Null).await;
        domain["acm_status"] == "cert issued"
    })
    .await;
    ca.until("visitors to get it", || async { ca.served("any.example.org").await.is_some() }).await;
    assert_eq!((ca.orders(), calls()), (1, 2), "{}", ca.said());
}
