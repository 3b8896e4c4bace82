//! Redis: a server of its own per add-on, with append-only persistence on a volume.

use async_trait::async_trait;
use futures_util::StreamExt as _;
use serde_json::json;
use uuid::Uuid;

use super::{Info, Instance, Plan, Provider, Secrets, Service, Status};
use crate::{
    engine::{Engine, EngineError, ExecSpec, OutputStream, ServiceSpec, ServiceState, Target},
    secret,
};

/// The image that it runs in, made by `buildpacks/stack/build`.
const IMAGE: &str = "paas/redis:7";

/// Where Redis keeps its data in the container.
const DATA: &str = "/data";

/// Starts the server with its password from standard input: arguments are seen by every
/// user of the machine, the environment and pipes are not.
const START: &str = r#"exec redis-server "$@" - <<<"requirepass $REDIS_PASSWORD""#;

/// What happens when memory is full, unless set otherwise: Heroku's default.
const DEFAULT_POLICY: &str = "noeviction";

/// The policies that Redis knows.
pub const POLICIES: [&str; 8] = [
    "noeviction",
    "allkeys-lru",
    "volatile-lru",
    "allkeys-lfu",
    "volatile-lfu",
    "allkeys-random",
    "volatile-random",
    "volatile-ttl",
];

/// The service: plans by memory and connections as Heroku's, the first two by name too.
pub static SERVICE: Service = Service {
    name: "redis",
    aliases: &[("heroku-redis", "mini"), ("redistogo", "nano"), ("rediscloud", "mini")],
    human_name: "Redis",
    attachment: "REDIS",
    default_plan: "mini",
    plans: &[
        Plan { name: "nano", description: "5 MB, 10 connections", memory_mib: 5, connections: 10 },
        Plan { name: "mini", description: "25 MB, 20 connections", memory_mib: 25, connections: 20 },
        Plan { name: "premium-0", description: "50 MB, 40 connections", memory_mib: 50, connections: 40 },
        Plan { name: "premium-1", description: "100 MB, 80 connections", memory_mib: 100, connections: 80 },
        Plan { name: "premium-2", description: "250 MB, 200 connections", memory_mib: 250, connections: 200 },
        Plan { name: "premium-3", description: "500 MB, 400 connections", memory_mib: 500, connections: 400 },
        Plan { name: "premium-5", description: "1 GB, 1000 connections", memory_mib: 1024, connections: 1000 },
        Plan { name: "premium-7", description: "7 GB, 10000 connections", memory_mib: 7168, connections: 10_000 },
    ],
    plan_aliases: &[("hobby-dev", "mini"), ("hobby", "mini"), ("basic", "mini"), ("premium", "premium-0")],
};

/// The provider.
#[derive(Debug, Clone, Copy)]
pub struct Redis;

/// The password among an add-on's secrets.
pub fn password(secrets: &Secrets) -> &str {
    secrets.private.get("password").and_then(|v| v.as_str()).unwrap_or_default()
}

/// The eviction policy among an add-on's secrets.
pub fn policy(secrets: &Secrets) -> &str {
    secrets.private.get("maxmemory_policy").and_then(|v| v.as_str()).unwrap_or(DEFAULT_POLICY)
}

/// Seconds after which idle clients are cut off; 0: never. Heroku's default is 300.
pub fn timeout(secrets: &Secrets) -> u64 {
    secrets.private.get("timeout").and_then(serde_json::Value::as_u64).unwrap_or(300)
}

/// Runs `redis-cli` with these arguments beside the server: its environment has the
/// password, under the name that redis-cli reads.
pub fn cli(secrets: &Secrets, args: &[&str], tty: bool) -> ExecSpec {
    ExecSpec {
        argv: std::iter::once("redis-cli").chain(args.iter().copied()).map(str::to_owned).collect(),
        env: vec![("REDISCLI_AUTH".into(), password(secrets).to_owned())],
        tty,
        size: None,
    }
}

impl Redis {
    fn with_password(name: &str, password: &str, before: Option<&Secrets>) -> Secrets {
        let url = format!("redis://:{password}@{name}:6379");
        let mut private = before.map_or_else(|| json!({}), |secrets| secrets.private.clone());
        if let Some(map) = private.as_object_mut() {
            map.insert("password".into(), password.into());
        }
        Secrets {
            values: [("URL".to_owned(), url.clone())].into(),
            extras: [("REDISTOGO_URL".to_owned(), url)].into(),
            private,
            default_name: SERVICE.attachment.into(),
        }
    }
}

#[async_trait]
impl Provider for Redis {
    fn service(&self) -> &'static Service {
        &SERVICE
    }

    fn secrets(&self, name: &str) -> Secrets {
        Self::with_password(name, &secret::random_password(), None)
    }

    fn rotate(&self, name: &str, secrets: &Secrets) -> Secrets {
        Self::with_password(name, &secret::random_password(), Some(secrets))
    }

    async fn provision(&self, engine: &dyn Engine, instance: &Instance) -> Result<(), EngineError> {
        let plan = instance.plan;
        let options: [(&str, String); 9] = [
            ("--dir", DATA.into()),
            ("--appendonly", "yes".into()),
            ("--appendfsync", "everysec".into()),
            ("--maxmemory", format!("{}mb", plan.memory_mib)),
            ("--maxmemory-policy", policy(&instance.secrets).into()),
            // One more than promised: room for redis:cli when all are taken.
            ("--maxclients", (plan.connections + 1).to_string()),
            ("--timeout", timeout(&instance.secrets).to_string()),
            ("--protected-mode", "no".into()),
            ("--loglevel", "notice".into()),
        ];
        let mut command: Vec<String> = ["bash", "-c", START, "redis"].map(str::to_owned).into();
        for (name, value) in options {
            command.extend([name.to_owned(), value]);
        }
        engine
            .service_start(&ServiceSpec {
                id: instance.id,
                name: instance.name.clone(),
                image: IMAGE.into(),
                command,
                env: vec![("REDIS_PASSWORD".into(), password(&instance.secrets).to_owned())],
                volume_target: Some(DATA.into()),
                user: None,
                networks: instance.networks.clone(),
                // Rewriting the append-only file forks: at worst all data twice, and the
                // server itself.
                memory_bytes: (plan.memory_mib * 2 + 64) * 1024 * 1024,
                labels: vec![("paas.service".into(), SERVICE.name.into())],
            })
            .await
    }

    async fn status(&self, engine: &dyn Engine, instance: &Instance) -> Result<Status, EngineError> {
        let Some(seen) = engine.service(instance.id).await? else {
            return Ok(Status::Starting("its container is not there yet".into()));
        };
        match seen.state {
            ServiceState::Running { .. } => {}
            ServiceState::Restarting { code } => {
                return Ok(Status::Starting(format!("redis-server ended with status {code} and is started again")));
            }
            ServiceState::Stopped { code, oom } => {
                let why = if oom { ", out of memory" } else { "" };
                return Ok(Status::Starting(format!("redis-server ended with status {code}{why}")));
            }
        }
        let answer = ask(engine, instance, &["ping"]).await?;
        Ok(if answer.trim() == "PONG" { Status::Ready } else { Status::Starting(first_line(&answer)) })
    }

    async fn deprovision(&self, engine: &dyn Engine, id: Uuid) -> Result<(), EngineError> {
        engine.service_remove(id, true).await
    }

    async fn info(&self, engine: &dyn Engine, instance: &Instance) -> Result<Info, EngineError> {
        let text = ask(engine, instance, &["info"]).await?;
        let field = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or("?").trim().to_owned()
        };
        let keys = text.lines().find_map(|line| line.strip_prefix("db0:keys=")?.split(',').next()).unwrap_or("0");
        Ok(vec![
            ("Plan".into(), instance.plan.name.into()),
            ("Status".into(), "available".into()),
            ("Version".into(), field("redis_version")),
            ("Keys".into(), keys.into()),
            ("Memory".into(), format!("{} of {} MB", field("used_memory_human"), instance.plan.memory_mib)),
            ("Connections".into(), format!("{} of {}", field("connected_clients"), instance.plan.connections)),
            ("Maxmemory".into(), policy(&instance.secrets).into()),
            ("Timeout".into(), timeout(&instance.secrets).to_string()),
            ("Persistence".into(), format!("AOF, last write {}", field("aof_last_write_status"))),
            ("Uptime".into(), format!("{} s", field("uptime_in_seconds"))),
        ])
    }
}

/// What `redis-cli` says to these arguments.
async fn ask(engine: &dyn Engine, instance: &Instance, args: &[&str]) -> Result<String, EngineError> {
    let mut session = engine.exec(Target::Service(instance.id), &cli(&instance.secrets, args, false)).await?;
    let mut text = Vec::new();
    while let Some(piece) = session.output.next().await {
        match piece? {
            (OutputStream::Stdout | OutputStream::Stderr, bytes) => text.extend_from_slice(&bytes),
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or("no answer yet").chars().take(200).collect()
}
