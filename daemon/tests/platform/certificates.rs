//! Certificates that apps bring: what is refused, which domains they serve, and the router
//! that serves them.

use std::{
    process::{Child, Command},
    sync::Arc,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use serde_json::{Value, json};

use crate::util::{TestApp, free_port, programs};

/// A CA of the test's own.
struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "Test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let cert = params.self_signed(&key).unwrap();
        Self { pem: cert.pem(), issuer: Issuer::new(params, key) }
    }

    /// Certificate and key for these names, ending in this year.
    fn sign(&self, names: &[&str], until: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, "SE");
        params.distinguished_name.push(DnType::CommonName, names[0]);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

async fn add(t: &TestApp, chain: &str, key: &str) -> Value {
    t.post("/apps/shop/sni-endpoints", json!({"certificate_chain": chain, "private_key": key})).await.ok()
}

#[tokio::test]
async fn a_certificate_is_checked_kept_and_told_without_its_key() {
    let t = TestApp::fake().await;
    t.create("shop").await;
    t.create("other").await;
    let ca = Ca::new();
    let (cert, key) = ca.sign(&["www.example.com", "*.shop.example.com"], 2046);
    let chain = format!("some words\n{cert}{}", ca.pem);
    let made = add(&t, &chain, &key).await;
    let said = &made["ssl_cert"];
    assert_eq!(said["cert_domains"], json!(["www.example.com", "*.shop.example.com"]));
    assert_eq!(
        (&said["self_signed?"], &said["ca_signed?"], &said["acm"]),
        (&json!(false), &json!(false), &json!(false))
    );
    assert_eq!((&said["subject"], &said["issuer"]), (&json!("/C=SE/CN=www.example.com"), &json!("/CN=Test CA")));
    assert_eq!(
        (&said["starts_at"], &said["expires_at"]),
        (&json!("2020-01-01T00:00:00Z"), &json!("2046-01-01T00:00:00Z"))
    );
    assert_eq!(said["fingerprint"].as_str().unwrap().len(), 64);
    assert!(
        !made.to_string().contains("PRIVATE KEY") && !made["certificate_chain"].as_str().unwrap().contains("words")
    );
    let name = made["name"].as_str().unwrap().to_owned();
    for path in [&name, made["id"].as_str().unwrap()] {
        assert_eq!(t.get(&format!("/apps/shop/sni-endpoints/{path}")).await.ok(), made);
        t.get(&format!("/apps/other/sni-endpoints/{path}")).await.error(404);
    }
    assert_eq!(t.get("/apps/shop/sni-endpoints").await.ok(), json!([made]));
    let files: Vec<u8> =
        ["paas.db", "paas.db-wal"].iter().flat_map(|f| std::fs::read(t.dir.join(f)).unwrap_or_default()).collect();
    let word = key.lines().nth(1).unwrap().as_bytes();
    assert!(!files.windows(word.len()).any(|window| window == word), "the key is in the database");

    // One that signs itself.
    let own = rcgen::generate_simple_self_signed(vec!["self.example.com".to_owned()]).unwrap();
    let own = add(&t, &own.cert.pem(), &own.signing_key.serialize_pem()).await;
    assert_eq!(own["ssl_cert"]["self_signed?"], true);

    let (other_cert, other_key) = ca.sign(&["www.example.com"], 2046);
    let (old_cert, old_key) = ca.sign(&["www.example.com"], 2021);
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (chain, key, word) in [
        ("", key.as_str(), "certificate_chain"),
        ("nonsense", &key, "certificate_chain"),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", &key, "X.509"),
        (&cert, "", "private_key"),
        (&cert, "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n", "private_key"),
        (&cert, locked, "passphrase"),
        (&cert, &other_key, "not the key"),
        (&format!("{}{cert}", ca.pem), &key, "comes first"),
        (&format!("{cert}{other_cert}"), &key, "comes first"),
        (&old_cert, &old_key, "ended at 2021-01-01"),
    ] {
        let body = json!({"certificate_chain": chain, "private_key": key});
        let (id, message) = t.post("/apps/shop/sni-endpoints", body.clone()).await.error(422);
        assert!(id == "invalid_params" && message.contains(word), "{word}: {message}");
        assert!(!message.contains("PRIVATE KEY-----\nMI"), "{message}");
        t.patch(&format!("/apps/shop/sni-endpoints/{name}"), body).await.error(422);
    }
    let (_, message) = t.post("/apps/shop/sni-endpoints", json!({"certificate_chain": cert})).await.error(422);
    assert!(message.contains("private_key"), "{message}");
    let stranger = t.other("stranger@example.com").await;
    for (method, path) in [("GET", "sni-endpoints"), ("POST", "acm"), ("DELETE", "acm")] {
        t.send(method, &format!("/apps/shop/{path}"), Some(&stranger), None).await.error(403);
    }

    let (new_cert, new_key) = ca.sign(&["new.example.com"], 2046);
    let body = json!({"certificate_chain": new_cert, "private_key": new_key});
    let changed = t.patch(&format!("/apps/shop/sni-endpoints/{name}"), body).await.ok();
    assert_eq!((&changed["id"], &changed["ssl_cert"]["cert_domains"]), (&made["id"], &json!(["new.example.com"])));
    assert_ne!(changed["ssl_cert"]["id"], said["id"]);
    t.delete(&format!("/apps/shop/sni-endpoints/{name}")).await.ok();
    t.delete(&format!("/apps/shop/sni-endpoints/{name}")).await.error(404);
}

#[tokio::test]
async fn domains_are_served_with_the_certificates_that_they_are_given() {
    let t = TestApp::fake().await;
    t.create("shop").await;
    t.create("other").await;
    let ca = Ca::new();
    let (cert, key) = ca.sign(&["*.example.com"], 2046);
    let made = add(&t, &cert, &key).await;
    let name = made["name"].as_str().unwrap();
    let first = json!({"hostname": "www.example.com", "sni_endpoint": name});
    let domain = t.post("/apps/shop/domains", first).await.ok();
    assert_eq!(domain["sni_endpoint"], json!({"id": made["id"], "name": name}));
    let plain = t.post("/apps/shop/domains", json!({"hostname": "*.example.com", "sni_endpoint": null})).await.ok();
    assert_eq!(plain["sni_endpoint"], Value::Null);
    assert_eq!((&plain["status"], &plain["cname"]), (&json!("succeeded"), &json!("shop.localhost")));
    let by_id = format!("/apps/shop/domains/{}", plain["id"].as_str().unwrap());
    t.patch(&by_id, json!({"sni_endpoint": made["id"]})).await.ok();
    let (_, why) = t.patch(&by_id, json!({})).await.error(422);
    assert!(why.contains("null for none"), "{why}");
    assert_eq!(t.get(&by_id).await.ok()["sni_endpoint"]["id"], made["id"]);
    let shown = t.get(&format!("/apps/shop/sni-endpoints/{name}")).await.ok();
    assert_eq!(shown["domains"].as_array().unwrap().len(), 2);
    let list = t.get("/apps/shop/domains").await.ok();
    let named = list.as_array().unwrap().iter().filter(|one| one["sni_endpoint"]["name"] == name).count();
    assert_eq!(named, 2);

    // What visitors would not accept, and what is not there.
    let (_, message) =
        t.post("/apps/shop/domains", json!({"hostname": "a.b.example.com", "sni_endpoint": name})).await.error(422);
    assert!(message.contains("*.example.com"), "{message}");
    t.post("/apps/other/domains", json!({"hostname": "b.example.org", "sni_endpoint": name})).await.error(404);
    t.get("/apps/other/domains/b.example.org").await.error(404);
    t.patch("/apps/shop/domains/nowhere.example.com", json!({"sni_endpoint": name})).await.error(404);
    t.patch("/apps/shop/domains/www.example.com", json!({"sni_endpoint": 5})).await.error(422);
    let (other, other_key) = ca.sign(&["www.example.com"], 2046);
    let body = json!({"certificate_chain": other, "private_key": other_key});
    let (_, message) = t.patch(&format!("/apps/shop/sni-endpoints/{name}"), body).await.error(422);
    assert!(message.contains("*.example.com, which is served"), "{message}");

    // The router's table has it, with the key; without its last domain it does not.
    let table = || async { t.control("GET /router/table?after=0", "").await.1 };
    let certificates = t.until("the table", || async {
        let all = table().await["certificates"].as_array().unwrap().clone();
        (all.len() == 1 && all[0]["hosts"].as_array().unwrap().len() == 2).then_some(all)
    });
    assert_eq!(certificates.await[0]["id"], made["ssl_cert"]["id"]);
    t.patch("/apps/shop/domains/www.example.com", json!({"sni_endpoint": null})).await.ok();
    t.delete(&by_id).await.ok();
    t.until("none", || async { table().await["certificates"].as_array().unwrap().is_empty().then_some(()) }).await;

    // A certificate that is removed leaves its domains.
    t.patch("/apps/shop/domains/www.example.com", json!({"sni_endpoint": name})).await.ok();
    t.delete(&format!("/apps/shop/sni-endpoints/{name}")).await.ok();
    assert_eq!(t.get("/apps/shop/domains/www.example.com").await.ok()["sni_endpoint"], Value::Null);
}

#[tokio::test]
async fn automatic_certificates_are_wanted_and_said_to_wait() {
    let t = TestApp::fake().await;
    t.create("shop").await;
    t.post("/apps/shop/domains", json!({"hostname": "www.example.com"})).await.ok();
    assert_eq!(t.get("/apps/shop").await.ok()["acm"], false);
    assert_eq!(t.get("/apps/shop/domains/www.example.com").await.ok()["acm_status"], Value::Null);
    t.patch("/apps/shop/acm", json!({"acm_refresh": true})).await.error(422);
    assert_eq!(t.post("/apps/shop/acm", json!({})).await.ok()["acm"], true);
    assert_eq!(t.post("/apps/shop/acm", json!({})).await.ok()["acm"], true);
    let domain = t.get("/apps/shop/domains/www.example.com").await.ok();
    assert_eq!(domain["acm_status"], "pending");
    assert!(domain["acm_status_reason"].as_str().unwrap().contains("ACME"), "{domain}");
    t.patch("/apps/shop/acm", json!({"acm_refresh": true})).await.ok();
    // Other changes of the app leave it as it is.
    t.patch("/apps/shop", json!({"maintenance": true})).await.ok();
    assert_eq!(t.get("/apps/shop").await.ok()["acm"], true);
    let own = rcgen::generate_simple_self_signed(vec!["www.example.com".to_owned()]).unwrap();
    let made = add(&t, &own.cert.pem(), &own.signing_key.serialize_pem()).await;
    t.patch("/apps/shop/domains/www.example.com", json!({"sni_endpoint": made["name"]})).await.ok();
    assert_eq!(t.get("/apps/shop/domains/www.example.com").await.ok()["acm_status"], Value::Null);
    assert_eq!(t.delete("/apps/shop/acm").await.ok()["acm"], false);
}

/// The router's program beside a test's daemon.
struct Router(Child);

impl Router {
    fn start(t: &TestApp) -> Self {
        let child = Command::new(programs().join("paas-router"))
            .env("PAAS_DATA_DIR", &t.dir)
            .env("PAAS_HTTP_LISTEN", format!("127.0.0.1:{}", free_port()))
            .env("PAAS_HTTPS_LISTEN", t.config.https_listen.to_string())
            .env("PAAS_ROUTER_THREADS", "1")
            .stderr(std::process::Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a visitor of `name` who trusts `ca` gets a TLS connection.
async fn is_accepted(t: &TestApp, ca: &str, name: &'static str) -> bool {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let address = ("127.0.0.1", t.config.https_listen.port());
    let Ok(stream) = tokio::net::TcpStream::connect(address).await else { return false };
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let shaken = connector.connect(ServerName::try_from(name).unwrap(), stream);
    tokio::time::timeout(Duration::from_secs(5), shaken).await.is_ok_and(|shaken| shaken.is_ok())
}

#[tokio::test]
async fn the_router_serves_them_by_name_and_after_a_start_without_the_daemon() {
    // No client accepts a wildcard of one part, such as *.localhost.
    let mut t = TestApp::fake_with(|config| config.base_domain = "apps.example.net".into()).await;
    t.create("shop").await;
    let ca = Ca::new();
    let (cert, key) = ca.sign(&["www.example.com"], 2046);
    let made = add(&t, &format!("{cert}{}", ca.pem), &key).await;
    let router = Router::start(&t);
    let own = std::fs::read_to_string(t.dir.join("tls/ca.pem")).unwrap();
    t.until("HTTPS", || async { is_accepted(&t, &own, "shop.apps.example.net").await.then_some(()) }).await;
    assert!(!is_accepted(&t, &ca.pem, "www.example.com").await);
    let body = json!({"hostname": "www.example.com", "sni_endpoint": made["name"]});
    t.post("/apps/shop/domains", body).await.ok();
    t.until("the app's own certificate", || async { is_accepted(&t, &ca.pem, "www.example.com").await.then_some(()) })
        .await;
    assert!(is_accepted(&t, &own, "shop.apps.example.net").await);

    // Another one takes its place without a start.
    let new = Ca::new();
    let (cert, key) = new.sign(&["www.example.com"], 2046);
    let path = format!("/apps/shop/sni-endpoints/{}", made["name"].as_str().unwrap());
    t.patch(&path, json!({"certificate_chain": cert, "private_key": key})).await.ok();
    t.until("the new certificate", || async { is_accepted(&t, &new.pem, "www.example.com").await.then_some(()) }).await;
    assert!(!is_accepted(&t, &ca.pem, "www.example.com").await);

    t.down().await;
    drop(router);
    let _router = Router::start(&t);
    let started = std::time::Instant::now();
    while !is_accepted(&t, &new.pem, "www.example.com").await {
        assert!(started.elapsed() < crate::util::PATIENCE, "the certificate is not served any more");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}
