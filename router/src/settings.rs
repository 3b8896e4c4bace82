//! Settings, read once from flags and environment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser};
use paas_domain::route::{Rules, usual};

use crate::networks::Networks;

/// What the command line and the environment say.
#[derive(Debug, Clone, Parser)]
#[command(name = "paas-router", version, about = "The front door of paas: sends the world's requests to web dynos")]
pub struct Settings {
    /// Where plain HTTP is taken; empty for nowhere.
    #[arg(long, env = "PAAS_HTTP_LISTEN", default_value = "0.0.0.0:80", value_parser = listen_address)]
    pub http_listen: Listen,

    /// Where HTTPS is taken; empty for nowhere.
    #[arg(long, env = "PAAS_HTTPS_LISTEN", default_value = "0.0.0.0:443", value_parser = listen_address)]
    pub https_listen: Listen,

    /// The port by which visitors reach HTTPS, where it is another than that of the address: redirects name it.
    #[arg(long, env = "PAAS_HTTPS_PORT")]
    pub https_port: Option<u16>,

    /// Directory that the router shares with the daemon.
    #[arg(long, env = "PAAS_DATA_DIR", default_value = "/var/lib/paas")]
    pub data_dir: PathBuf,

    /// Certificate chain for HTTPS, PEM. Default: tls/cert.pem in the data directory.
    #[arg(long, env = "PAAS_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,

    /// Key of the certificate, PEM. Default: tls/key.pem in the data directory.
    #[arg(long, env = "PAAS_TLS_KEY")]
    pub tls_key: Option<PathBuf>,

    /// Worker threads, each with a listener and upstream connections of its own.
    /// Default: one for each core.
    #[arg(long, env = "PAAS_ROUTER_THREADS")]
    pub threads: Option<usize>,

    /// Who may come in.
    #[command(flatten)]
    pub front: Front,

    /// Time limits; not to be set from outside.
    #[arg(skip)]
    pub limits: Limits,
}

/// Who may come in, and who is believed what.
#[derive(Debug, Clone, Default, Args)]
pub struct Front {
    /// Addresses and networks whose connections begin with a header of the PROXY protocol
    /// (version 1 or 2), such as a load balancer's. Only theirs may.
    #[arg(long, env = "PAAS_PROXY_PROTOCOL_FROM", default_value = "", hide_default_value = true)]
    pub proxy_protocol_from: Networks,

    /// Addresses and networks of proxies whose X-Forwarded-Proto, X-Forwarded-Port and
    /// X-Request-Start are believed.
    #[arg(long, env = "PAAS_TRUSTED_PROXIES", default_value = "", hide_default_value = true)]
    pub trusted_proxies: Networks,

    /// Connections at once from one client (an IPv4 address or an IPv6 network of 64 bits);
    /// 0 for any number. This machine and trusted proxies may have more.
    #[arg(long, env = "PAAS_CLIENT_CONNECTIONS", default_value_t = 1000)]
    pub client_connections: u32,
}

/// An address, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen(pub Option<SocketAddr>);

fn listen_address(text: &str) -> Result<Listen, String> {
    if text.is_empty() {
        return Ok(Listen(None));
    }
    match text.parse() {
        Ok(addr) => Ok(Listen(Some(addr))),
        Err(_) => Err("expected ADDRESS:PORT such as 0.0.0.0:80 or [::]:80, or nothing".to_owned()),
    }
}

impl Settings {
    /// Where the daemon answers.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.data_dir.join("run/control.sock")
    }

    /// Where this router answers about itself.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.data_dir.join("run/router.sock")
    }

    /// The router's own directory.
    #[must_use]
    pub fn router_dir(&self) -> PathBuf {
        self.data_dir.join("router")
    }

    /// Certificate chain and key.
    #[must_use]
    pub fn tls_files(&self) -> (PathBuf, PathBuf) {
        (
            self.tls_cert.clone().unwrap_or_else(|| self.data_dir.join("tls/cert.pem")),
            self.tls_key.clone().unwrap_or_else(|| self.data_dir.join("tls/key.pem")),
        )
    }
}

/// Every time limit and size limit in one place, so that tests can shorten them. The
/// defaults are Heroku's.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connecting to one dyno (H19).
    pub connect: Duration,
    /// How long a dyno that couldn't be connected to is left alone.
    pub quarantine: Duration,
    /// How long a request whose dynos all refuse it waits for the daemon to learn of their end
    /// (H21 after that).
    pub hold: Duration,
    /// Dynos tried for one request.
    pub attempts: usize,
    /// Waiting for a dyno and connecting, together (H20).
    pub queue: Duration,
    /// Requests at once for each dyno of an app that is up (H11).
    pub concurrency: u32,
    /// WebSockets and other tunnels of one app at once (H22).
    pub tunnels: u32,
    /// From the last byte of the request to the first of the response (H12).
    pub first_byte: Duration,
    /// Silence in both directions after that (H15, H28).
    pub idle: Duration,
    /// An unused connection to a dyno.
    pub upstream_keepalive: Duration,
    /// How long after its last use a connection to a dyno takes a request that would do harm
    /// when asked twice.
    pub upstream_fresh: Duration,
    /// A first attempt that failed later than this is not repeated.
    pub repeat: Duration,
    /// A client connection without a request.
    pub client_idle: Duration,
    /// The same when others need its place.
    pub crowded_idle: Duration,
    /// A request's head, from its first byte to its last; what a connection of HTTP/2 begins with.
    pub head: Duration,
    /// Hearing out a client that still sends when it has its answer.
    pub linger: Duration,
    /// Silence of it meanwhile.
    pub linger_idle: Duration,
    /// Header of the PROXY protocol and TLS handshake, together.
    pub handshake: Duration,
    /// Connections of one worker that are in their handshake; the oldest is given up for one more.
    pub handshakes: usize,
    /// Client connections at once. None: as many as the limit of open files allows.
    pub connections: Option<usize>,
    /// Connections to dynos at once. None: a quarter of the files that may be open.
    pub dyno_connections: Option<usize>,
    /// What requests in flight get at the end.
    pub drain: Duration,
    /// What requests and tunnels in flight get when another router has taken over.
    pub handover_drain: Duration,
    /// What a new router that is to take over has to become ready.
    pub handover: Duration,
    /// Delivering the last access lines at the end.
    pub last_lines: Duration,
    /// Trying again to reach a daemon that is being restarted, for a request to its API.
    pub control_connect: Duration,
    /// One long poll for the table, a little more than the daemon holds it.
    pub poll: Duration,
    /// Longest pause between attempts to reach the daemon.
    pub backoff: Duration,
    /// Looking whether the certificate changed.
    pub tls_check: Duration,
    /// Pause between two batches of access lines.
    pub log_pause: Duration,
    /// Access lines that wait to be formatted; more are dropped and counted.
    pub log_queue: usize,
    /// Bytes of what their requests said; more are dropped and counted.
    pub log_queue_bytes: usize,
    /// Bytes of formatted lines that wait for the daemon; more are dropped and counted.
    pub log_bytes: usize,
    /// Lines in one batch.
    pub log_batch: usize,
    /// Unused connections kept to one dyno by one worker.
    pub upstream_idle_max: usize,
    /// Each app's counts are noted as often; what is recent is one to two such times old.
    pub recent: Duration,
}

/// The limits of one app's requests: the router's, but where the app has rules of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AppLimits {
    pub(crate) connect: Duration,
    pub(crate) queue: Duration,
    pub(crate) first_byte: Duration,
    pub(crate) idle: Duration,
    /// Requests at once for each dyno that is up (H11).
    pub(crate) concurrency: u32,
}

impl AppLimits {
    pub(crate) fn new(limits: &Limits, rules: &Rules) -> AppLimits {
        let or = |own: Option<u64>, all: Duration| own.map_or(all, Duration::from_millis);
        AppLimits {
            connect: or(rules.connect_ms, limits.connect),
            queue: or(rules.queue_ms, limits.queue),
            first_byte: or(rules.first_byte_ms, limits.first_byte),
            idle: or(rules.idle_ms, limits.idle),
            concurrency: rules.concurrency.unwrap_or(limits.concurrency),
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connect: Duration::from_millis(usual::CONNECT_MS),
            quarantine: Duration::from_secs(5),
            hold: Duration::from_secs(5),
            attempts: 10,
            queue: Duration::from_millis(usual::QUEUE_MS),
            concurrency: usual::CONCURRENCY,
            tunnels: 10_000,
            first_byte: Duration::from_millis(usual::FIRST_BYTE_MS),
            idle: Duration::from_millis(usual::IDLE_MS),
            upstream_keepalive: Duration::from_secs(90),
            upstream_fresh: Duration::from_secs(1),
            repeat: Duration::from_secs(1),
            client_idle: Duration::from_secs(60),
            crowded_idle: Duration::from_secs(5),
            head: Duration::from_secs(30),
            linger: Duration::from_secs(30),
            linger_idle: Duration::from_secs(5),
            handshake: Duration::from_secs(10),
            handshakes: 1024,
            connections: None,
            dyno_connections: None,
            drain: Duration::from_secs(30),
            handover_drain: Duration::from_secs(3600),
            handover: Duration::from_secs(10),
            last_lines: Duration::from_secs(5),
            control_connect: Duration::from_secs(5),
            poll: Duration::from_secs(40),
            backoff: Duration::from_secs(2),
            tls_check: Duration::from_secs(5),
            log_pause: Duration::from_millis(50),
            log_queue: 16 * 1024,
            log_queue_bytes: 8 * 1024 * 1024,
            log_bytes: 8 * 1024 * 1024,
            log_batch: 2000,
            upstream_idle_max: 512,
            recent: Duration::from_secs(150),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Apps are written for these; docs/router.md tells them.
    #[test]
    fn the_limits_are_herokus() {
        let limits = Limits::default();
        let seconds = Duration::from_secs;
        assert_eq!(limits.first_byte, seconds(30), "H12");
        assert_eq!(limits.idle, seconds(55), "H15, H28");
        assert_eq!(limits.queue, seconds(75), "H20");
        assert_eq!(limits.connect, seconds(5), "H19");
        assert_eq!(limits.concurrency, 200, "H11");
        assert_eq!((limits.quarantine, limits.attempts), (seconds(5), 10));
        assert_eq!((limits.upstream_keepalive, limits.upstream_fresh), (seconds(90), seconds(1)));
        assert_eq!((limits.client_idle, limits.drain, limits.last_lines), (seconds(60), seconds(30), seconds(5)));
        // Stricter than Heroku, which tells no limit of its own for these.
        assert_eq!((limits.head, limits.handshake, limits.crowded_idle), (seconds(30), seconds(10), seconds(5)));
        // As nginx: lingering_time, lingering_timeout.
        assert_eq!((limits.linger, limits.linger_idle), (seconds(30), seconds(5)));
        assert_eq!((limits.log_queue, limits.log_queue_bytes, limits.log_bytes), (16_384, 8 << 20, 8 << 20));
    }
}
