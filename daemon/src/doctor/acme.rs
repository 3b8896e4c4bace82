//! Automatic certificates: whether they are set up, and whether they could be got.

use std::os::unix::fs::PermissionsExt as _;

use super::{Finding, bad, good, warning};
use crate::{acme::Authority, config::Config};

const WHAT: &str = "certificates";

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    if !config.acme.is_on() {
        let text = "none are got automatically. Set PAAS_ACME_EMAIL to an address that the certificate authority may write to, and they are.";
        // Nobody signs what only this machine knows.
        return vec![if config.base_domain == "localhost" { good(WHAT, text) } else { warning(WHAT, text) }];
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authorities = match Authority::all(config) {
        Ok(authorities) => authorities,
        Err(e) => return vec![bad(WHAT, format!("they can't be got automatically: {e}"))],
    };
    let mut findings = Vec::new();
    for (at, authority) in authorities.iter().enumerate() {
        let directory = authority.directory();
        findings.push(match authority.look().await {
            Ok(()) => good(WHAT, format!("{directory} answers")),
            Err(e) => {
                let setting = if at == 0 { "PAAS_ACME_DIRECTORY" } else { "PAAS_ACME_FALLBACK" };
                bad(WHAT, format!("{e}. Is {setting} right ({directory}), and may this machine connect to there?"))
            }
        });
    }
    let (http, https) = (config.http_listen.port(), config.https_listen.port());
    let (world_http, world_https) = (config.acme.http_port, config.acme.https_port);
    findings.push(match (http == world_http, https == world_https) {
        (true, _) => good(WHAT, format!("authorities reach the router on port {world_http}")),
        (false, true) => good(WHAT, format!("authorities reach the router on port {world_https} (TLS-ALPN-01)")),
        (false, false) => warning(
            WHAT,
            format!(
                "the router listens on {}; authorities ask on ports {world_http} and {world_https}: have one of those lead there.",
                [http, https].iter().filter(|port| **port != 0).map(u16::to_string).collect::<Vec<_>>().join(" and ")
            ),
        ),
    });
    if let Some(hook) = &config.acme.dns_hook {
        let runs =
            std::fs::metadata(hook).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
        findings.push(match runs {
            true => {
                let zones: Vec<String> = config.acme.dns_zones().collect();
                match zones.is_empty() {
                    false => good(WHAT, format!("wildcards of {} by {}", zones.join(", "), hook.display())),
                    true => warning(
                        WHAT,
                        "PAAS_ACME_DNS_HOOK is set, but wildcards get no certificates: list the zones that are yours in PAAS_ACME_DNS_ZONES.",
                    ),
                }
            }
            false => bad(
                WHAT,
                format!(
                    "PAAS_ACME_DNS_HOOK: {} is not a program that can be run. Put it there, mode 0755.",
                    hook.display()
                ),
            ),
        });
    }
    findings
}
