//! What the daemon is told at its start: flags, and the same in the environment.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// Where clouds hand out a machine's own credentials, beside link-local addresses: Alibaba, Azure,
/// Oracle; EC2 and Google by IPv6. Nothing that users have sent, and no dyno, may go there.
pub const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// Settings of `paasd serve`. Every flag is also an environment variable; nothing else of
/// the environment is read.
#[derive(Clone, clap::Args)]
pub struct Config {
    /// Where everything that must survive is kept (mode 0700).
    #[arg(long, env = "PAAS_DATA_DIR", default_value = "/var/lib/paas")]
    pub data_dir: PathBuf,

    /// `postgres://…`, or `sqlite:PATH`; without it, SQLite in the data directory.
    #[arg(long, env = "PAAS_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// Where the API, git and streams listen: HTTP and TLS on the same port.
    #[arg(long, env = "PAAS_API_LISTEN", default_value = "127.0.0.1:5000")]
    pub api_listen: SocketAddr,

    /// Where the router listens for HTTP; empty for nowhere.
    #[arg(long, env = "PAAS_HTTP_LISTEN", default_value = "0.0.0.0:80", value_parser = listen_address)]
    pub http_listen: Listen,

    /// Where the router listens for HTTPS; empty for nowhere.
    #[arg(long, env = "PAAS_HTTPS_LISTEN", default_value = "0.0.0.0:443", value_parser = listen_address)]
    pub https_listen: Listen,

    /// Apps answer at NAME.BASE; the API also at api.BASE and git.BASE.
    #[arg(long, env = "PAAS_BASE_DOMAIN", default_value = "localhost")]
    pub base_domain: String,

    /// The Docker engine: `unix:///…` or `tcp://…`; without it, Docker's own default.
    #[arg(long, env = "PAAS_DOCKER_HOST")]
    pub docker_host: Option<String>,

    /// The stack of new apps.
    #[arg(long, env = "PAAS_STACK", default_value = "debian-12")]
    pub stack: String,

    /// Who runs the router: this daemon (which adopts one that already runs), or somebody else (a systemd unit).
    #[arg(long, env = "PAAS_ROUTER", value_enum, default_value_t = RouterMode::Managed)]
    pub router: RouterMode,

    /// Where paas-router and paas-init are; without it, beside paasd itself.
    #[arg(long, env = "PAAS_LIBEXEC_DIR")]
    pub libexec_dir: Option<PathBuf>,

    /// A bundle of CA certificates for builds and dynos (behind a company proxy, say); without it, the stack's own.
    #[arg(long, env = "PAAS_CA_BUNDLE")]
    pub ca_bundle: Option<PathBuf>,

    /// Environment of builds, as KEY=VALUE: proxies and package indexes. May be repeated; in the environment, separated by newlines.
    #[arg(long = "build-env", env = "PAAS_BUILD_ENV", value_delimiter = '\n', hide_env_values = true)]
    pub build_env: Vec<String>,

    /// How many builds run at once.
    #[arg(long, env = "PAAS_BUILD_SLOTS", default_value_t = 1)]
    pub build_slots: usize,

    /// Memory of a build, in MiB.
    #[arg(long, env = "PAAS_BUILD_MEMORY", default_value_t = 2048)]
    pub build_memory_mib: u64,

    /// Cores a build may use at most (1.5, say), on an idle machine too; 0: whatever dynos leave.
    #[arg(long, env = "PAAS_BUILD_CPUS", default_value_t = 0.0, value_parser = cores)]
    pub build_cpus: f64,

    /// Time a build may take, in seconds.
    #[arg(long, env = "PAAS_BUILD_TIMEOUT", default_value_t = 900)]
    pub build_timeout_s: u64,

    /// Disk a build may fill, in MiB.
    #[arg(long, env = "PAAS_BUILD_DISK", default_value_t = 8192)]
    pub build_disk_mib: u64,

    /// Free disk below which builds are refused and running ones ended, in MiB.
    #[arg(long, env = "PAAS_DISK_RESERVE", default_value_t = 1024)]
    pub disk_reserve_mib: u64,

    /// Seconds a web dyno has to bind to $PORT. Heroku: 60.
    #[arg(long, env = "PAAS_BOOT_TIMEOUT", default_value_t = 60)]
    pub boot_timeout_s: u64,

    /// Seconds between SIGTERM and SIGKILL. Heroku: 30.
    #[arg(long, env = "PAAS_STOP_GRACE", default_value_t = 30)]
    pub stop_grace_s: u64,

    /// Seconds a release phase may take. Heroku: 3600.
    #[arg(long, env = "PAAS_RELEASE_TIMEOUT", default_value_t = 3600)]
    pub release_timeout_s: u64,

    /// How crashed dynos come back: quick (5 times at once, then after 10 s, then 30 s) or Heroku's own (20, 40, 60, 180, 320 minutes).
    #[arg(long, env = "PAAS_CRASH_POLICY", value_enum, default_value_t = CrashPolicy::Quick)]
    pub crash_policy: CrashPolicy,

    /// Where the apps' networks are taken from, a /24 each: an IPv4 network that nothing else on the machine uses.
    #[arg(long, env = "PAAS_NETWORK_POOL", default_value = "10.208.0.0/12")]
    pub network_pool: String,

    /// Most dynos of one process type, and most one-off dynos of an app. Heroku: 100.
    #[arg(long, env = "PAAS_MAX_DYNOS", default_value_t = 100)]
    pub max_dynos: u32,

    /// Whether what users have sent elsewhere (drains, webhooks, repositories) may go to this machine's own addresses too, its loopback among them.
    #[arg(long, env = "PAAS_ALLOW_LOOPBACK", value_parser = clap::builder::FalseyValueParser::new())]
    pub allow_loopback: bool,

    /// API requests that an account may make in an hour, refilled evenly; 0 for no limit. Heroku: 4500.
    #[arg(long, env = "PAAS_API_RATE_LIMIT", default_value_t = 4500)]
    pub api_rate_limit: u32,

    /// Scheme and authority that users reach the API by, when it is not the listening address (http://api.example.com).
    #[arg(long, env = "PAAS_PUBLIC_URL")]
    pub public_url: Option<String>,

    /// Where Prometheus finds the metrics of router and daemon, by plain HTTP at /metrics (127.0.0.1:9394, say); without it, nowhere.
    #[arg(long, env = "PAAS_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,

    /// What whoever reads the metrics must bring as a bearer token; without it, everybody may who reaches the address.
    #[arg(long, env = "PAAS_METRICS_TOKEN", hide_env_values = true)]
    pub metrics_token: Option<String>,

    /// Seconds before a webhook that failed is tried again; each pause after that is 2.5 times the one before, 9 in all.
    #[arg(long, env = "PAAS_WEBHOOK_RETRY", default_value_t = 100)]
    pub webhook_retry_s: u64,

    /// Seconds that a webhook's receiver has to answer.
    #[arg(long, env = "PAAS_WEBHOOK_TIMEOUT", default_value_t = 20)]
    pub webhook_timeout_s: u64,

    /// How certificates are got.
    #[command(flatten)]
    pub acme: AcmeConfig,
}

/// Certificates that are got automatically, by ACME (RFC 8555): who asks whom for them, and how.
#[derive(Clone, clap::Args)]
pub struct AcmeConfig {
    /// E-mail address that certificate authorities may write to; with it set, certificates are got automatically, and by itself for every app that gets a domain.
    #[arg(id = "acme_email", long = "acme-email", env = "PAAS_ACME_EMAIL")]
    pub email: Option<String>,

    /// The directory of the certificate authority.
    #[arg(
        id = "acme_directory",
        long = "acme-directory",
        env = "PAAS_ACME_DIRECTORY",
        default_value = "https://acme-v02.api.letsencrypt.org/directory"
    )]
    pub directory: String,

    /// What binds our account there to one made by hand, where the authority wants that: the key's id and the HMAC key in base64url, as KID:KEY.
    #[arg(id = "acme_eab", long = "acme-eab", env = "PAAS_ACME_EAB", hide_env_values = true)]
    pub eab: Option<String>,

    /// The directory of a second authority, asked when the first is down, has had enough of us or refuses a name again and again.
    #[arg(id = "acme_fallback", long = "acme-fallback", env = "PAAS_ACME_FALLBACK")]
    pub fallback: Option<String>,

    /// The same binding for the second authority.
    #[arg(
        id = "acme_fallback_eab",
        long = "acme-fallback-eab",
        env = "PAAS_ACME_FALLBACK_EAB",
        hide_env_values = true
    )]
    pub fallback_eab: Option<String>,

    /// CA certificates (PEM) that the directories' own servers are checked by, besides the machine's and PAAS_CA_BUNDLE; for an authority of one's own.
    #[arg(id = "acme_ca_file", long = "acme-ca-file", env = "PAAS_ACME_CA_FILE")]
    pub ca_file: Option<PathBuf>,

    /// Program that writes and removes DNS records, for wildcards: called with `present|cleanup NAME VALUE`.
    #[arg(id = "acme_dns_hook", long = "acme-dns-hook", env = "PAAS_ACME_DNS_HOOK")]
    pub dns_hook: Option<PathBuf>,

    /// DNS zones that wildcards are proved in, comma-separated (example.com,example.org): names that are the administrator's to give certificates for, and those below them. Without any, wildcards get none.
    #[arg(
        id = "acme_dns_zones",
        long = "acme-dns-zones",
        env = "PAAS_ACME_DNS_ZONES",
        value_name = "ZONE",
        value_delimiter = ','
    )]
    pub dns_zones: Vec<String>,

    /// Whether a name is tried from here before a certificate is asked for: that it leads to this server.
    #[arg(id = "acme_preflight", long = "acme-preflight", env = "PAAS_ACME_PREFLIGHT", default_value_t = true, action = clap::ArgAction::Set, value_parser = clap::builder::BoolishValueParser::new())]
    pub preflight: bool,

    /// DNS server (address and port) that is asked where names lead, in place of the machine's own.
    #[arg(id = "acme_resolver", long = "acme-resolver", env = "PAAS_ACME_RESOLVER")]
    pub resolver: Option<SocketAddr>,

    /// Port at which the world reaches the router's HTTP; authorities ask at no other than 80, but for one's own.
    #[arg(id = "acme_http_port", long = "acme-http-port", env = "PAAS_ACME_HTTP_PORT", default_value_t = 80)]
    pub http_port: u16,

    /// Port at which the world reaches the router's HTTPS; authorities ask at no other than 443, but for one's own.
    #[arg(id = "acme_https_port", long = "acme-https-port", env = "PAAS_ACME_HTTPS_PORT", default_value_t = 443)]
    pub https_port: u16,
}

impl AcmeConfig {
    /// Whether certificates can be got.
    pub fn is_on(&self) -> bool {
        self.email.as_deref().is_some_and(|email| !email.is_empty())
    }

    /// The zones that wildcards are proved in, as names are written in domains.
    pub fn dns_zones(&self) -> impl Iterator<Item = String> {
        self.dns_zones
            .iter()
            .map(|zone| zone.trim().trim_start_matches("*.").trim_end_matches('.').to_ascii_lowercase())
            .filter(|zone| !zone.is_empty())
    }

    /// Whether a name is one of those zones or below one.
    pub fn is_in_dns_zones(&self, name: &str) -> bool {
        self.dns_zones().any(|zone| name.strip_suffix(&zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
    }
}

/// Where the router listens for something, or nothing where it doesn't.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen(pub Option<SocketAddr>);

impl Listen {
    /// The port; 0, which is nobody's, for nowhere.
    pub fn port(self) -> u16 {
        self.0.map_or(0, |address| address.port())
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self(Some(address))
    }
}

impl std::fmt::Display for Listen {
    /// As it is set.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |address| address.fmt(f))
    }
}

fn listen_address(text: &str) -> Result<Listen, String> {
    if text.is_empty() {
        return Ok(Listen(None));
    }
    let address = text.parse().map(Some).map(Listen);
    address.map_err(|_| "expected ADDRESS:PORT such as 0.0.0.0:80 or [::]:80, or nothing".to_owned())
}

/// A number of cores; Docker takes no less than a hundredth.
fn cores(text: &str) -> Result<f64, String> {
    let cores = text.parse::<f64>().ok().filter(|cores| *cores == 0.0 || (0.01..=10_000.0).contains(cores));
    cores.ok_or_else(|| format!("{text:?} is not a number of cores: 0 for no ceiling, or from 0.01 on"))
}

/// Who runs the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RouterMode {
    /// The daemon starts one, and adopts one that already runs.
    Managed,
    /// Something else starts it; the daemon only feeds it.
    External,
}

/// How crashed dynos come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CrashPolicy {
    /// Five times at once, then after 10 s, then every 30 s.
    Quick,
    /// At once, then after up to 20, 40, 60, 180 and 320 minutes.
    Heroku,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The database's address and the builds' environment may carry passwords.
        f.debug_struct("Config")
            .field("data_dir", &self.data_dir)
            .field("api_listen", &self.api_listen)
            .field("http_listen", &self.http_listen)
            .field("https_listen", &self.https_listen)
            .field("base_domain", &self.base_domain)
            .field("router", &self.router)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// The address of the database: what was set, or SQLite in the data directory.
    pub fn database_url(&self) -> String {
        self.database_url.clone().unwrap_or_else(|| format!("sqlite:{}", self.data_dir.join("paas.db").display()))
    }

    /// Where one of our other programs is: `paas-router`, `paas-init`.
    pub fn program(&self, name: &str) -> PathBuf {
        let beside =
            || std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf)).unwrap_or_default();
        self.libexec_dir.clone().unwrap_or_else(beside).join(name)
    }

    /// Where paasd itself is, for git's hooks: with the other programs, or else the one that runs.
    pub fn own_program(&self) -> PathBuf {
        let installed = self.program("paasd");
        if installed.is_file() { installed } else { std::env::current_exe().unwrap_or(installed) }
    }

    /// The Docker image that runs and builds apps of a stack; `build` asks for the one that builds.
    pub fn stack_image(&self, stack: &str, build: bool) -> String {
        match stack.strip_prefix("heroku-") {
            Some(version) if build => format!("heroku/heroku:{version}-build"),
            Some(version) => format!("heroku/heroku:{version}"),
            None => format!("paas/stack:{stack}"),
        }
    }

    /// The host name at which an app answers: NAME.BASE.
    pub fn app_host(&self, app: &str) -> String {
        format!("{app}.{}", self.base_domain)
    }

    /// The address at which a user's browser finds an app, with a slash at its end.
    pub fn web_url(&self, app: &str) -> String {
        let (scheme, usual, port) = match (self.http_listen.0, self.https_listen.0) {
            (None, Some(https)) => ("https", 443, https.port()),
            (http, _) => ("http", 80, http.map_or(80, |http| http.port())),
        };
        let port = if port == usual { String::new() } else { format!(":{port}") };
        format!("{scheme}://{}{port}/", self.app_host(app))
    }

    /// Scheme and authority that users reach the API by, without a slash at its end.
    pub fn api_url(&self) -> String {
        match &self.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://localhost:{}", self.api_listen.port()),
        }
    }

    /// Builds' environment as pairs; an entry without `=` is left out.
    pub fn build_env(&self) -> Vec<(String, String)> {
        self.build_env
            .iter()
            .filter_map(|entry| entry.split_once('='))
            .map(|(key, value)| (key.trim().to_owned(), value.to_owned()))
            .collect()
    }
}
