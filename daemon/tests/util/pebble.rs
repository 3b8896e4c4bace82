//! A certificate authority of the test's own (Pebble), the DNS that it asks (pebble-challtestsrv), and
//! a router that it looks at.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use paas_daemon::config::Config;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{PATIENCE, TestApp, free_port, programs};

/// What is set about the authority.
#[derive(Default)]
pub struct Faults {
    /// Its environment: `PEBBLE_WFE_NONCEREJECT` and others.
    pub environment: Vec<(&'static str, &'static str)>,
    /// How long certificates are good, in seconds; five years when nothing is said.
    pub validity: Option<u64>,
    /// It looks at this port for HTTP, not at the router's.
    pub http_port: Option<u16>,
    /// Accounts have to be bound, with [`EAB`].
    pub bound: bool,
    /// No name leads anywhere until it is told.
    pub no_names: bool,
}

/// How an account is bound where it has to be.
pub const EAB: &str = "kid-1:zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// The authority with what belongs to it. Dropping it ends the processes.
pub struct Pebble {
    pub dir: PathBuf,
    pub directory: String,
    pub http_port: u16,
    pub https_port: u16,
    pub dns: SocketAddr,
    pub dns_management: u16,
    looks_at: u16,
    management: String,
    environment: Vec<(&'static str, &'static str)>,
    /// Its DNS, itself, routers.
    children: Vec<Child>,
    http: reqwest::Client,
}

impl Pebble {
    pub async fn start(faults: Faults) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = std::env::temp_dir().join(format!("paas-pebble-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap();
        // Its own server is signed by the root that the daemon is told of.
        let server_key = KeyPair::generate().unwrap();
        let issuer = rcgen::Issuer::new(params, key);
        let server =
            CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&server_key, &issuer).unwrap();
        std::fs::write(dir.join("ca.pem"), ca.pem()).unwrap();
        std::fs::write(dir.join("cert.pem"), server.pem()).unwrap();
        std::fs::write(dir.join("key.pem"), server_key.serialize_pem()).unwrap();
        let [port, management, dns_port, dns_management, http_port, https_port] = [0; 6].map(|_| free_port());
        let looks_at = faults.http_port.unwrap_or(http_port);
        let mut settings = json!({
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": dir.join("cert.pem"),
            "privateKey": dir.join("key.pem"),
            "httpPort": looks_at,
            "tlsPort": https_port,
            "externalAccountBindingRequired": faults.bound,
        });
        if faults.bound {
            let (id, key) = EAB.split_once(':').unwrap();
            settings["externalAccountMACKeys"] = json!({id: key});
        }
        if let Some(validity) = faults.validity {
            settings["certificateValidityPeriod"] = json!(validity);
        }
        std::fs::write(dir.join("pebble.json"), json!({"pebble": settings}).to_string()).unwrap();
        let address = if faults.no_names { "" } else { "127.0.0.1" };
        let names = Command::new("pebble-challtestsrv")
            .args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", "", "-defaultIPv4", address])
            .args(["-dns01", &format!("127.0.0.1:{dns_port}")])
            .args(["-management", &format!("127.0.0.1:{dns_management}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let names = names.expect("pebble-challtestsrv is missing: install the package of that name");
        let server = serve(&dir, dns_port, &faults.environment);
        let root = reqwest::Certificate::from_pem(ca.pem().as_bytes()).unwrap();
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([root]).build().unwrap();
        let this = Self {
            directory: format!("https://localhost:{port}/dir"),
            management: format!("https://localhost:{management}"),
            dns: SocketAddr::from(([127, 0, 0, 1], dns_port)),
            dir,
            http_port,
            https_port,
            dns_management,
            looks_at,
            environment: faults.environment,
            children: vec![names, server],
            http,
        };
        this.until_it_answers().await;
        this.until("its DNS", || async { TcpStream::connect(("127.0.0.1", dns_management)).await.is_ok() }).await;
        this
    }

    async fn until_it_answers(&self) {
        self.until("Pebble", || async { self.http.get(&self.directory).send().await.is_ok_and(|a| a.status() == 200) })
            .await;
    }

    /// Ends it and starts it again: all accounts, orders and nonces are forgotten, and its own key is another.
    pub async fn restart(&mut self) {
        let server = &mut self.children[1];
        server.kill().unwrap();
        server.wait().unwrap();
        *server = serve(&self.dir, self.dns.port(), &self.environment);
        self.until_it_answers().await;
    }

    pub async fn until<F: Future<Output = bool>>(&self, what: &str, mut look: impl FnMut() -> F) {
        let started = Instant::now();
        while !look().await {
            assert!(started.elapsed() < PATIENCE, "waited in vain for {what}; Pebble says:\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// The settings of a daemon that asks this authority.
    pub fn settings(&self, config: &mut Config) {
        config.http_listen = SocketAddr::from(([127, 0, 0, 1], self.http_port)).into();
        config.https_listen = SocketAddr::from(([127, 0, 0, 1], self.https_port)).into();
        config.acme.email = Some("ops@example.com".into());
        config.acme.directory = self.directory.clone();
        config.acme.ca_file = Some(self.dir.join("ca.pem"));
        config.acme.resolver = Some(self.dns);
        config.acme.http_port = self.looks_at;
        config.acme.https_port = self.https_port;
    }

    /// Starts a router for the daemon of this data directory, and waits until it serves both ports.
    pub async fn router(&mut self, data_dir: &Path) {
        let child = Command::new(programs().join("paas-router"))
            .arg("--data-dir")
            .arg(data_dir)
            .args(["--http-listen", &format!("127.0.0.1:{}", self.http_port)])
            .args(["--https-listen", &format!("127.0.0.1:{}", self.https_port)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.children.push(child.expect("paas-router is missing: cargo build --workspace"));
        self.until("the router", || async {
            TcpStream::connect(("127.0.0.1", self.http_port)).await.is_ok()
                && TcpStream::connect(("127.0.0.1", self.https_port)).await.is_ok()
        })
        .await;
    }

    /// A daemon that asks this authority, with a router.
    pub async fn app(&mut self, change: impl FnOnce(&mut Config)) -> TestApp {
        let app = TestApp::fake_with(|config| {
            self.settings(config);
            change(config);
        })
        .await;
        self.router(&app.dir).await;
        app
    }

    /// What its log says.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.dir.join("pebble.log")).unwrap_or_default()
    }

    /// How many accounts were made there.
    pub fn accounts(&self) -> usize {
        self.said().matches("accounts in memory").count()
    }

    /// How many orders were made there, those apart whose nonce it has refused.
    pub fn new_orders(&self) -> usize {
        self.said().matches("orders in the db").count()
    }

    /// How many orders were made there.
    pub fn orders(&self) -> usize {
        self.said().matches("POST /order-plz").count()
    }

    /// Tells its DNS.
    pub async fn dns(&self, path: &str, body: Value) {
        let url = format!("http://127.0.0.1:{}/{path}", self.dns_management);
        let answer = self.http.post(url).body(body.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {answer:?}");
    }

    /// Its directory, with renewal information besides (which this Pebble has none of): the address. All
    /// certificates are to be renewed in the window that is in the returned place.
    pub async fn with_renewals(&self) -> (String, Arc<std::sync::Mutex<Value>>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let mut directory: Value = self.http.get(&self.directory).send().await.unwrap().json().await.unwrap();
        directory["renewalInfo"] = json!(format!("{base}/renewals"));
        let window = Arc::new(std::sync::Mutex::new(Value::Null));
        let shown = window.clone();
        let renewals = move |axum::extract::Path(id): axum::extract::Path<String>| {
            // RFC 9773: who has signed it, and its number.
            assert!(id.split('.').count() == 2 && !id.contains('='), "{id}");
            let window = shown.lock().unwrap().clone();
            async move { axum::Json(json!({"suggestedWindow": window})) }
        };
        let app = axum::Router::new()
            .route("/dir", axum::routing::get(move || async move { axum::Json(directory) }))
            .route("/renewals/{id}", axum::routing::get(renewals));
        tokio::spawn(async move { axum::serve(listener, app).await });
        (format!("{base}/dir"), window)
    }

    /// The certificate that a visitor of `name` gets, who trusts this authority; nothing where
    /// that one is not by it.
    pub async fn served(&self, name: &str) -> Option<CertificateDer<'static>> {
        let root = self.http.get(format!("{}/roots/0", self.management)).send().await.unwrap().bytes().await.unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&root).unwrap()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let stream = TcpStream::connect(("127.0.0.1", self.https_port)).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
        Some(stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned())
    }
}

fn serve(dir: &Path, dns_port: u16, environment: &[(&'static str, &'static str)]) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(dir.join("pebble.log")).unwrap();
    let mut command = Command::new("pebble");
    command
        .arg("-config")
        .arg(dir.join("pebble.json"))
        .args(["-strict", "-dnsserver", &format!("127.0.0.1:{dns_port}")])
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    if !environment.iter().any(|(name, _)| *name == "PEBBLE_VA_SLEEPTIME") {
        command.env("PEBBLE_VA_NOSLEEP", "1");
    }
    if !environment.iter().any(|(name, _)| *name == "PEBBLE_WFE_NONCEREJECT") {
        command.env("PEBBLE_WFE_NONCEREJECT", "0");
    }
    command.envs(environment.iter().copied()).spawn().expect("pebble is missing: install the package of that name")
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
