//! The addresses that daemon and router listen on.

use std::net::{SocketAddr, TcpListener};

use serde_json::Value;

use super::{Finding, bad, good, warning};
use crate::{
    config::{Config, RouterMode},
    tasks::router,
};

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let router = router::status(&config.data_dir.join("run/router.sock")).await.unwrap_or_default();
    let mut findings = vec![match TcpListener::bind(config.api_listen) {
        Ok(_) => free("API", config.api_listen),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => warning(
            "ports",
            format!("API: {} is in use: by a paasd that runs, or set PAAS_API_LISTEN to another", config.api_listen),
        ),
        Err(e) => unusable("API", config.api_listen, "PAAS_API_LISTEN", &e),
    }];
    for (what, address, flag, held) in [
        ("HTTP", config.http_listen, "PAAS_HTTP_LISTEN", &router["http"]),
        ("HTTPS", config.https_listen, "PAAS_HTTPS_LISTEN", &router["https"]),
    ] {
        let Some(address) = address.0 else {
            findings.push(good("ports", format!("{what}: the router takes none ({flag} is empty)")));
            continue;
        };
        findings.push(match TcpListener::bind(address) {
            Ok(_) => free(what, address),
            Err(_) if holds(held, address) => good("ports", format!("{what}: {address} is held by our router")),
            Err(e) if config.router == RouterMode::External && router.is_null() => warning(
                "ports",
                format!("{what}: {address} is in use ({e}) and our router does not answer: is it the router's own unit that has it?"),
            ),
            Err(e) => unusable(what, address, flag, &e),
        });
    }
    findings
}

fn free(what: &str, address: SocketAddr) -> Finding {
    good("ports", format!("{what}: {address} is free"))
}

fn unusable(what: &str, address: SocketAddr, flag: &str, error: &std::io::Error) -> Finding {
    bad(
        "ports",
        format!(
            "{what}: {address} can't be used: {error}. Stop what uses it (ss -ltnp shows it), or set {flag} to another."
        ),
    )
}

/// Whether the router says that it listens on this port.
fn holds(listeners: &Value, address: SocketAddr) -> bool {
    let mut listeners = listeners.as_array().into_iter().flatten().filter_map(|one| one.as_str()?.parse().ok());
    listeners.any(|one: SocketAddr| one.port() == address.port())
}
