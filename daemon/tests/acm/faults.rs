//! An authority that is slow, refuses nonces, has forgotten us, or spoils what was begun.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderName, StatusCode, header},
    response::IntoResponse,
    routing::{any, get},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use paas_daemon::store::{Wake, acme};
use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::{
    certificates, domain, due, issued, until_status,
    util::{
        TestApp,
        pebble::{Faults, Pebble},
    },
};

async fn add(t: &TestApp, name: &str) {
    t.post("/apps/shop/domains", json!({"hostname": name})).await.ok();
}

async fn row(t: &TestApp, name: &str) -> acme::Certificate {
    let id = domain(t, name).await["id"].as_str().unwrap().parse().unwrap();
    acme::by_domain(&mut t.platform().db.read().await.unwrap(), id).await.unwrap().unwrap()
}

/// As if a daemon before had ordered this, and something had ended it then.
async fn under_way(t: &TestApp, name: &str, order: &str) {
    let mut row = row(t, name).await;
    let p = t.platform();
    (row.order_url, row.next_at) = (Some(order.to_owned()), p.cx.now());
    let mut tx = p.db.begin().await.unwrap();
    acme::update(&mut tx, &row).await.unwrap();
    tx.commit(Some(Wake { app_id: None, kind: "acm.refresh" })).await.unwrap();
}

/// A third of the nonces are refused, names are looked at late, what was proved once counts again, and the
/// authority loses its memory. Nobody is told of a failure: there is none.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_authority_has_forgotten_is_made_anew() {
    let environment =
        vec![("PEBBLE_WFE_NONCEREJECT", "33"), ("PEBBLE_VA_SLEEPTIME", "2"), ("PEBBLE_AUTHZREUSE", "100")];
    let mut ca = Pebble::start(Faults { environment, ..Faults::default() }).await;
    let mut t = ca.app(|_| {}).await;
    t.create("shop").await;
    add(&t, "one.example.org").await;
    issued(&t, "one.example.org").await;
    t.restart().await;
    add(&t, "two.example.org").await;
    issued(&t, "two.example.org").await;
    assert_eq!((ca.accounts(), ca.new_orders()), (1, 2), "the account is kept: {}", ca.said());

    // An order that is unknown there.
    let first = t.until("visitors to get it", || async { ca.served("one.example.org").await }).await;
    let unknown = ca.directory.replace("/dir", "/my-order/unknown");
    under_way(&t, "one.example.org", &unknown).await;
    t.until("another one", || async {
        let served = ca.served("one.example.org").await.expect("always a good one");
        (served != first).then_some(())
    })
    .await;
    assert_eq!((ca.accounts(), ca.new_orders()), (1, 3), "{}", ca.said());

    // All is, the account too.
    ca.restart().await;
    under_way(&t, "two.example.org", &unknown).await;
    t.until("one by the authority's new key", || async { ca.served("two.example.org").await }).await;
    assert_eq!((ca.accounts(), ca.new_orders()), (2, 4), "{}", ca.said());
    ca.restart().await;
    add(&t, "three.example.org").await;
    issued(&t, "three.example.org").await;
    assert_eq!((ca.accounts(), ca.new_orders()), (3, 5), "{}", ca.said());
    for name in ["one.example.org", "two.example.org", "three.example.org"] {
        let row = row(&t, name).await;
        assert_eq!((row.status.as_str(), row.attempts, row.order_url), ("cert issued", 0, None), "{name}");
    }
}

/// An authority of a few lines: it believes all that it is sent, and an order is what it is told to be.
struct Puppet {
    base: String,
    issuer: Issuer<'static, KeyPair>,
    orders: Mutex<Vec<PuppetOrder>>,
    /// How the next orders will be, look after look; the last stays.
    plans: Mutex<Vec<Vec<&'static str>>>,
}

#[derive(Default)]
struct PuppetOrder {
    plan: Vec<&'static str>,
    looks: usize,
    finalized: usize,
    chain: String,
}

impl Puppet {
    async fn start(plans: Vec<Vec<&'static str>>) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut params = CertificateParams::new(vec!["Puppet".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let puppet = Arc::new(Self {
            base: format!("http://{}", listener.local_addr().unwrap()),
            issuer: Issuer::new(params, KeyPair::generate().unwrap()),
            orders: Mutex::default(),
            plans: Mutex::new(plans),
        });
        let app = Router::new()
            .route("/dir", get(directory))
            .route("/{what}", any(begun))
            .route("/{what}/{number}", any(order))
            .with_state(Arc::clone(&puppet));
        tokio::spawn(async move { axum::serve(listener, app).await });
        puppet
    }

    /// Of an order: how often it was looked at, and finalized.
    fn counts(&self, number: usize) -> (usize, usize) {
        self.orders.lock().unwrap().get(number).map_or((0, 0), |order| (order.looks, order.finalized))
    }
}

const NONCE: (HeaderName, &str) = (HeaderName::from_static("replay-nonce"), "bm9uY2U");

async fn directory(State(puppet): State<Arc<Puppet>>) -> axum::Json<Value> {
    let base = &puppet.base;
    axum::Json(
        json!({"newNonce": format!("{base}/nonce"), "newAccount": format!("{base}/account"), "newOrder": format!("{base}/order")}),
    )
}

/// A nonce, an account or an order.
async fn begun(State(puppet): State<Arc<Puppet>>, Path(what): Path<String>) -> impl IntoResponse {
    let mut orders = puppet.orders.lock().unwrap();
    if what == "order" {
        orders.push(PuppetOrder { plan: puppet.plans.lock().unwrap().remove(0), ..PuppetOrder::default() });
    }
    let location: &'static str = format!("{}/{what}/{}", puppet.base, orders.len().saturating_sub(1)).leak();
    (StatusCode::CREATED, [NONCE, (header::LOCATION, location)], "{}")
}

async fn order(
    State(puppet): State<Arc<Puppet>>,
    Path((what, number)): Path<(String, usize)>,
    body: String,
) -> impl IntoResponse {
    let mut orders = puppet.orders.lock().unwrap();
    let order = &mut orders[number];
    let text = match what.as_str() {
        "order" => {
            let status = order.plan[order.looks.min(order.plan.len() - 1)];
            order.looks += 1;
            let [finalize, certificate] = ["finalize", "chain"].map(|what| format!("{}/{what}/{number}", puppet.base));
            let error = json!({"type": "urn:ietf:params:acme:error:serverInternal", "detail": "the signer is on fire"});
            json!({
                "status": status,
                "finalize": finalize,
                "certificate": (status == "valid").then_some(certificate),
                "error": (status == "invalid").then_some(error),
            })
            .to_string()
        }
        "finalize" => {
            let decoded = |text: &Value| BASE64.decode(text.as_str().unwrap()).unwrap();
            let sent: Value = serde_json::from_str(&body).unwrap();
            let sent: Value = serde_json::from_slice(&decoded(&sent["payload"])).unwrap();
            let mut request = CertificateSigningRequestParams::from_der(&decoded(&sent["csr"]).into()).unwrap();
            request.params.not_after = rcgen::date_time_ymd(2120, 1, 1);
            order.chain = request.signed_by(&puppet.issuer).unwrap().pem();
            order.finalized += 1;
            "{}".to_owned()
        }
        _ => order.chain.clone(),
    };
    ([NONCE, (header::RETRY_AFTER, "0")], text)
}

/// An order that is signed slowly is waited for, across a restart too, with the same key; one that is spoilt
/// there is told in the authority's words, and made anew.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_its_way_at_the_authority() {
    let puppet = Puppet::start(vec![
        vec!["ready", "processing", "invalid"],
        vec!["ready", "processing", "processing", "processing", "valid"],
        vec!["ready", "processing"],
    ])
    .await;
    let mut ca = Pebble::start(Faults::default()).await;
    let mut t = ca.app(|config| config.acme.directory = format!("{}/dir", puppet.base)).await;
    t.create("shop").await;
    add(&t, "one.example.org").await;
    let failing = until_status(&t, "one.example.org", "failing").await;
    let said = "127.0.0.1 has given up the order: the signer is on fire (serverInternal).";
    assert_eq!(failing["acm_status_reason"], said);
    assert_eq!((puppet.counts(0), puppet.counts(1)), ((3, 1), (0, 0)), "it isn't ordered again at once");
    due(&t, "one.example.org").await;
    let good = until_status(&t, "one.example.org", "cert issued").await;
    assert_eq!(good["acm_status_reason"], Value::Null);
    assert_eq!(puppet.counts(1), (5, 1));

    add(&t, "two.example.org").await;
    t.until("it to be signed", || async { (puppet.counts(2).0 > 2).then_some(()) }).await;
    t.down().await;
    puppet.orders.lock().unwrap()[2].plan.push("valid");
    t.up().await;
    issued(&t, "two.example.org").await;
    assert_eq!(puppet.counts(2).1, 1, "signed once");
    assert_eq!(certificates(&t).await.len(), 2);
    // Spoilt while nobody was there to see it.
    puppet.orders.lock().unwrap()[2].plan = vec!["invalid"];
    puppet.plans.lock().unwrap().push(vec!["ready", "valid"]);
    under_way(&t, "two.example.org", &format!("{}/order/2", puppet.base)).await;
    t.until("another order", || async { (puppet.counts(3) == (2, 1)).then_some(()) }).await;
    t.until_logged("shop", "Certificate for two.example.org renewed by 127.0.0.1").await;
}
