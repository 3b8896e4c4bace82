//! Telemetry drains: `telemetry`, `:add`, `:info`, `:update`, `:remove`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand, ValueEnum};
use paas_wire::telemetry_drain::{
    TelemetryExporter, TelemetryExporterUpdate, TelemetryOwner, TelemetryOwnerKind, TelemetrySignal, TelemetryTransport,
};
use paas_wire::{App, TelemetryDrain, TelemetryDrainCreate, TelemetryDrainUpdate};
use reqwest::Method;

use crate::app::AppArgs;
use crate::client::{Client, app_path, segment};
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::progress::Action;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List where the telemetry of an app is sent
    #[command(name = "telemetry")]
    List {
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Send logs, metrics and traces to an OpenTelemetry receiver
    #[command(name = "telemetry:add")]
    Add(AddArgs),
    /// Show a telemetry drain
    #[command(name = "telemetry:info")]
    Info {
        /// The drain's id
        #[arg(value_name = "ID")]
        id: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Change a telemetry drain; what is not given stays
    #[command(name = "telemetry:update")]
    Update(UpdateArgs),
    /// Remove a telemetry drain, or all of an app
    #[command(name = "telemetry:remove")]
    Remove {
        /// The drain's id; all of the app when left out
        #[arg(value_name = "ID")]
        id: Option<String>,
        #[command(flatten)]
        app: AppArgs,
    },
}

#[derive(Args, Debug)]
pub(crate) struct AddArgs {
    /// The receiver's address; /v1/logs and the like is put to its end
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    #[command(flatten)]
    app: AppArgs,
    /// What to send: traces, metrics, logs, with commas between; or all
    #[arg(long, default_value = "all")]
    signals: String,
    /// Headers for the receiver, as JSON: '{"x-api-key": "…"}'
    #[arg(long, value_name = "JSON")]
    headers: Option<String>,
    /// How to send it
    #[arg(long, value_enum, default_value_t = Transport::Http)]
    transport: Transport,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct UpdateArgs {
    /// The drain's id
    #[arg(value_name = "ID")]
    id: String,
    /// The receiver's address
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// What to send: traces, metrics, logs, with commas between; or all
    #[arg(long)]
    signals: Option<String>,
    /// Headers for the receiver, as JSON, in the place of those that were
    #[arg(long, value_name = "JSON")]
    headers: Option<String>,
    /// How to send it
    #[arg(long, value_enum)]
    transport: Option<Transport>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Heroku's names of the transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Transport {
    /// OTLP over HTTP
    Http,
    /// OTLP over gRPC
    Grpc,
}

impl From<Transport> for TelemetryTransport {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Http => Self::Otlphttp,
            Transport::Grpc => Self::Otlp,
        }
    }
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { app, json } => {
                let (app, client) = context.app(&app)?;
                list(client, &app, json).await
            }
            Self::Add(arguments) => add(context, arguments).await,
            Self::Info { id, json } => {
                let client = context.client()?;
                let drain: TelemetryDrain = client.get(&path(&id)).await?;
                if json { output::json(&drain) } else { show(client, &drain).await }
            }
            Self::Update(arguments) => update(context, arguments).await,
            Self::Remove { id, app } => remove(context, id, &app).await,
        }
    }
}

fn path(id: &str) -> String {
    format!("/telemetry-drains/{}", segment(id))
}

fn name(signal: TelemetrySignal) -> &'static str {
    match signal {
        TelemetrySignal::Traces => "traces",
        TelemetrySignal::Metrics => "metrics",
        TelemetrySignal::Logs => "logs",
    }
}

const ALL: [TelemetrySignal; 3] = [TelemetrySignal::Traces, TelemetrySignal::Metrics, TelemetrySignal::Logs];

fn signals(text: &str) -> anyhow::Result<Vec<TelemetrySignal>> {
    if text == "all" {
        return Ok(ALL.to_vec());
    }
    let find = |word: &str| {
        ALL.into_iter().find(|signal| name(*signal) == word).ok_or_else(|| {
            Failure::usage(format!("{word:?} is no signal: there are traces, metrics and logs, or all.")).into()
        })
    };
    text.split(',').map(str::trim).map(find).collect()
}

fn headers(text: &str) -> anyhow::Result<BTreeMap<String, String>> {
    serde_json::from_str(text).map_err(|error| {
        Failure::usage(format!("--headers is no JSON object of texts: {error}"))
            .hint(r#"Write it as '{"x-api-key": "value"}'."#)
            .into()
    })
}

async fn list(client: &Client, app: &str, json: bool) -> anyhow::Result<()> {
    let drains: Vec<TelemetryDrain> = client.list(&app_path(app, "/telemetry-drains")).await?;
    if json {
        return output::json(&drains);
    }
    if drains.is_empty() {
        output::line(format_args!("There are no telemetry drains in {app}"));
        return Ok(());
    }
    output::heading(format_args!("{app} Telemetry Drains"));
    let rows =
        drains.into_iter().map(|drain| vec![drain.id.to_string(), joined(&drain.signals), drain.exporter.endpoint]);
    output::table(&["ID", "Signals", "Endpoint"], rows.collect());
    Ok(())
}

fn joined(signals: &[TelemetrySignal]) -> String {
    signals.iter().map(|signal| name(*signal)).collect::<Vec<_>>().join(", ")
}

async fn show(client: &Client, drain: &TelemetryDrain) -> anyhow::Result<()> {
    let app: App = client.get(&app_path(&drain.owner.id, "")).await?;
    output::heading(drain.id);
    let transport = match drain.exporter.kind {
        TelemetryTransport::Otlphttp => "HTTP",
        TelemetryTransport::Otlp => "gRPC",
    };
    output::fields(&[
        ("App", app.name),
        ("Signals", joined(&drain.signals)),
        ("Endpoint", drain.exporter.endpoint.clone()),
        ("Transport", transport.to_owned()),
        ("Headers", serde_json::to_string(&drain.exporter.headers)?),
    ]);
    Ok(())
}

async fn add(context: &Context, arguments: AddArgs) -> anyhow::Result<()> {
    let signals = signals(&arguments.signals)?;
    let headers = arguments.headers.as_deref().map(headers).transpose()?.unwrap_or_default();
    let (app, client) = context.app(&arguments.app)?;
    let body = TelemetryDrainCreate {
        owner: TelemetryOwner { id: app, kind: TelemetryOwnerKind::App },
        signals,
        exporter: TelemetryExporter { kind: arguments.transport.into(), endpoint: arguments.endpoint, headers },
    };
    let drain: TelemetryDrain = client.send_json(Method::POST, "/telemetry-drains", &body).await?;
    if arguments.json {
        return output::json(&drain);
    }
    output::line(format_args!("successfully added drain {}", drain.exporter.endpoint));
    output::note(format_args!("Its id is {}.", drain.id));
    Ok(())
}

async fn update(context: &Context, arguments: UpdateArgs) -> anyhow::Result<()> {
    let exporter = TelemetryExporterUpdate {
        kind: arguments.transport.map(TelemetryTransport::from),
        endpoint: arguments.endpoint,
        headers: arguments.headers.as_deref().map(headers).transpose()?,
    };
    let signals = arguments.signals.as_deref().map(signals).transpose()?;
    let changes = exporter.kind.is_some() || exporter.endpoint.is_some() || exporter.headers.is_some();
    if !changes && signals.is_none() {
        return Err(
            Failure::usage("Nothing is to change: give --signals, --endpoint, --headers or --transport.").into()
        );
    }
    let client = context.client()?;
    let action = Action::start(format!("Updating telemetry drain {}", arguments.id));
    let body = TelemetryDrainUpdate { signals, exporter: changes.then_some(exporter) };
    let drain: TelemetryDrain = client.send_json(Method::PATCH, &path(&arguments.id), &body).await?;
    action.done();
    if arguments.json { output::json(&drain) } else { show(client, &drain).await }
}

async fn remove(context: &Context, id: Option<String>, app: &AppArgs) -> anyhow::Result<()> {
    if let Some(id) = id {
        let action = Action::start(format!("Removing telemetry drain {id}"));
        context.client()?.delete(&path(&id)).await?;
        action.done();
        return Ok(());
    }
    let (app, client) = context.app(app)?;
    let action = Action::start(format!("Removing all telemetry drains from {}", output::app(&app)));
    let drains: Vec<TelemetryDrain> = client.list(&app_path(&app, "/telemetry-drains")).await?;
    for drain in drains {
        client.delete(&path(&drain.id.to_string())).await?;
    }
    action.done();
    Ok(())
}
