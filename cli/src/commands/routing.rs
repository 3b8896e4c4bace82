//! `routing`, `routing:set`, `routing:reset`: how the router treats an app.

use clap::Subcommand;
use paas_wire::{Routing, RoutingUpdate};
use reqwest::Method;

use crate::app::AppArgs;
use crate::client::app_path;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::progress::Action;

/// Each setting: its name here, its name in the API.
const SETTINGS: [(&str, &str); 11] = [
    ("connect", "connect_ms"),
    ("queue", "queue_ms"),
    ("first-byte", "first_byte_ms"),
    ("idle", "idle_ms"),
    ("concurrency", "concurrency"),
    ("balancing", "balancing"),
    ("https-only", "https_only"),
    ("hsts", "hsts_max_age"),
    ("hsts-include-subdomains", "hsts_include_subdomains"),
    ("hsts-preload", "hsts_preload"),
    ("idle-after", "idle_after_ms"),
];

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show how the router treats an app: time limits, requests at once, choice of dyno, HTTPS
    #[command(name = "routing")]
    Show {
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Set how the router treats an app: first-byte=60s, concurrency=500, https-only=on, hsts=1y
    #[command(name = "routing:set")]
    Set {
        /// connect, queue, first-byte or idle=TIME; concurrency=COUNT; balancing=random or
        /// least-connections; https-only=on or off; hsts=TIME or off; hsts-include-subdomains and
        /// hsts-preload=on or off; idle-after=TIME without a request
        #[arg(value_name = "SETTING=VALUE", required = true)]
        settings: Vec<String>,
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make settings of an app's routing as they are for all apps; all of them when none is named
    #[command(name = "routing:reset")]
    Reset {
        /// Settings by name
        #[arg(value_name = "SETTING")]
        settings: Vec<String>,
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Show { app, json } => {
                let (app, client) = context.app(&app)?;
                let routing: Routing = client.get(&app_path(&app, "/routing")).await?;
                show(&routing, json)
            }
            Self::Set { settings, app, json } => {
                let mut update = RoutingUpdate::default();
                for setting in &settings {
                    set(&mut update, setting)?;
                }
                change(context, &app, &update, "Setting", &settings.join(" "), json).await?;
                if update.https_only == Some(Some(true)) {
                    output::note(
                        "Browsers remember that: those of the app's names without a certificate that they trust can't be opened any more. See them with: paas certs:auto",
                    );
                }
                Ok(())
            }
            Self::Reset { settings, app, json } => {
                let mut update = RoutingUpdate::default();
                let all: Vec<String> = SETTINGS.iter().map(|(name, _)| (*name).to_owned()).collect();
                for name in if settings.is_empty() { &all } else { &settings } {
                    reset(&mut update, name)?;
                }
                let what = if settings.is_empty() { "all routing settings".to_owned() } else { settings.join(" ") };
                change(context, &app, &update, "Resetting", &what, json).await
            }
        }
    }
}

async fn change(
    context: &Context,
    app: &AppArgs,
    update: &RoutingUpdate,
    verb: &str,
    what: &str,
    json: bool,
) -> anyhow::Result<()> {
    let (app, client) = context.app(app)?;
    let action = Action::start(format!("{verb} {what} for {}", output::app(&app)));
    let routing: Routing = client.send_json(Method::PATCH, &app_path(&app, "/routing"), update).await?;
    action.done();
    if json { output::json(&routing) } else { Ok(()) }
}

fn unknown(name: &str) -> Failure {
    let names = SETTINGS.map(|(name, _)| name).join(", ");
    Failure::usage(format!("The routing of an app has no setting {name:?}.")).hint(format!("There are: {names}"))
}

/// Reads `first-byte=60s`.
fn set(update: &mut RoutingUpdate, setting: &str) -> Result<(), Failure> {
    let (name, value) = setting.split_once('=').ok_or_else(|| {
        Failure::usage(format!("{setting:?} is no SETTING=VALUE."))
            .hint("For example: paas routing:set first-byte=60s concurrency=500")
    })?;
    match name {
        "connect" => update.connect_ms = Some(Some(milliseconds(name, value)?)),
        "queue" => update.queue_ms = Some(Some(milliseconds(name, value)?)),
        "first-byte" => update.first_byte_ms = Some(Some(milliseconds(name, value)?)),
        "idle" => update.idle_ms = Some(Some(milliseconds(name, value)?)),
        "concurrency" => {
            let count = value.parse().map_err(|_| {
                Failure::usage(format!("concurrency: {value:?} is no number of requests for each web dyno."))
            })?;
            update.concurrency = Some(Some(count));
        }
        "balancing" => update.balancing = Some(Some(value.to_owned())),
        "https-only" => update.https_only = Some(Some(switch(name, value)?)),
        "hsts" if value == "off" => no_hsts(update),
        "hsts" => update.hsts_max_age = Some(Some(milliseconds(name, value)? / 1000)),
        "hsts-include-subdomains" => update.hsts_include_subdomains = Some(Some(switch(name, value)?)),
        "hsts-preload" => update.hsts_preload = Some(Some(switch(name, value)?)),
        "idle-after" => update.idle_after_ms = Some(Some(milliseconds(name, value)?)),
        _ => return Err(unknown(name)),
    }
    Ok(())
}

fn reset(update: &mut RoutingUpdate, name: &str) -> Result<(), Failure> {
    match name {
        "connect" => update.connect_ms = Some(None),
        "queue" => update.queue_ms = Some(None),
        "first-byte" => update.first_byte_ms = Some(None),
        "idle" => update.idle_ms = Some(None),
        "concurrency" => update.concurrency = Some(None),
        "balancing" => update.balancing = Some(None),
        "https-only" => update.https_only = Some(None),
        "hsts" => no_hsts(update),
        "hsts-include-subdomains" => update.hsts_include_subdomains = Some(None),
        "hsts-preload" => update.hsts_preload = Some(None),
        "idle-after" => update.idle_after_ms = Some(None),
        _ => return Err(unknown(name)),
    }
    Ok(())
}

/// Without HSTS there is nothing to say of names below and of lists.
fn no_hsts(update: &mut RoutingUpdate) {
    update.hsts_max_age = Some(None);
    update.hsts_include_subdomains.get_or_insert(None);
    update.hsts_preload.get_or_insert(None);
}

fn switch(name: &str, value: &str) -> Result<bool, Failure> {
    match value {
        "on" | "true" | "yes" => Ok(true),
        "off" | "false" | "no" => Ok(false),
        _ => Err(Failure::usage(format!("{name}: {value:?} is neither on nor off."))),
    }
}

/// Units of time, milliseconds; a year has 365 days.
const UNITS: [(&str, f64); 6] =
    [("ms", 1.0), ("s", 1e3), ("m", 60e3), ("h", 3_600e3), ("d", 86_400e3), ("y", 365.0 * 86_400e3)];

/// Reads `500ms`, `0.5s`, `2m`, `1h`, `30d`, `1y`.
fn milliseconds(name: &str, value: &str) -> Result<i64, Failure> {
    let wrong = || {
        Failure::usage(format!("{name}: {value:?} is no time."))
            .hint("A time is a number and its unit: 500ms, 30s, 2m, 1h, 30d or 1y")
    };
    let number = value.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let unit = &value[number.len()..];
    let (_, factor) = UNITS.iter().find(|(known, _)| *known == unit).ok_or_else(wrong)?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(wrong());
    }
    let amount = number.parse::<f64>().map_err(|_| wrong())? * factor;
    // What is far out of every range is refused by the server in its own words.
    Ok(amount.round().min(1e15) as i64)
}

/// `60s`, `1.5s`, `2m`: the largest unit in which it is whole, seconds otherwise.
fn time(milliseconds: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match units.iter().find(|(size, _)| milliseconds >= *size && milliseconds.is_multiple_of(*size)) {
        Some((size, unit)) => format!("{}{unit}", milliseconds / size),
        None if milliseconds == 0 => "0s".to_owned(),
        None if milliseconds < 1_000 => format!("{milliseconds}ms"),
        None => format!("{}s", milliseconds as f64 / 1e3),
    }
}

fn show(routing: &Routing, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(routing);
    }
    let switch = |on: bool| if on { "on" } else { "off" }.to_owned();
    let value = |name: &str| match name {
        "connect" => time(routing.connect_ms),
        "queue" => time(routing.queue_ms),
        "first-byte" => time(routing.first_byte_ms),
        "idle" => time(routing.idle_ms),
        "concurrency" => format!("{} requests for each web dyno", routing.concurrency),
        "balancing" => routing.balancing.clone(),
        "https-only" => switch(routing.https_only),
        "hsts" => routing.hsts_max_age.map_or("off".to_owned(), |age| time(age.saturating_mul(1000))),
        "hsts-include-subdomains" => switch(routing.hsts_include_subdomains),
        "idle-after" => time(routing.idle_after_ms),
        _ => switch(routing.hsts_preload),
    };
    let mut rows: Vec<Vec<String>> = SETTINGS
        .iter()
        .map(|(name, field)| {
            let own = routing.own.iter().any(|own| own == field);
            let from = if own { "set for this app" } else { "as for all apps" };
            vec![(*name).to_owned(), value(name), from.to_owned()]
        })
        .collect();
    for (name, on, feature) in [
        ("session affinity", routing.session_affinity, "http-session-affinity"),
        ("HTTP/2 to dynos", routing.http2_to_dynos, "http2-to-dynos"),
        ("idle web dynos", routing.web_idling, "web-idling"),
    ] {
        rows.push(vec![name.to_owned(), switch(on), format!("feature {feature}")]);
    }
    output::heading(format_args!("Routing of {}", output::app(&routing.app.name)));
    output::table(&["Setting", "Value", "From"], rows);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_shown() {
        for (text, milliseconds, shown) in [
            ("500ms", 500, "500ms"),
            ("0.5s", 500, "500ms"),
            ("1.5s", 1500, "1.5s"),
            ("90s", 90_000, "90s"),
            ("2m", 120_000, "2m"),
            ("24h", 86_400_000, "1d"),
            ("1y", 31_536_000_000, "365d"),
            ("0s", 0, "0s"),
        ] {
            assert_eq!(super::milliseconds("idle", text).ok(), Some(milliseconds), "{text}");
            assert_eq!(time(milliseconds.unsigned_abs()), shown);
        }
        for bad in ["", "s", "60", "1w", "-1s", "1..5s", "1 s", "1e3s", "NaNs", "infs"] {
            assert!(super::milliseconds("idle", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_setting_can_be_set_and_reset() {
        for (name, _) in SETTINGS {
            let mut update = RoutingUpdate::default();
            assert!(reset(&mut update, name).is_ok(), "{name}");
            assert_ne!(update, RoutingUpdate::default(), "{name}");
            let value = match name {
                "concurrency" => "5",
                "balancing" => "random",
                "https-only" | "hsts-include-subdomains" | "hsts-preload" => "on",
                _ => "60s",
            };
            assert!(set(&mut update, &format!("{name}={value}")).is_ok(), "{name}");
        }
        assert!(set(&mut RoutingUpdate::default(), "first-bite=1s").is_err());
    }
}
