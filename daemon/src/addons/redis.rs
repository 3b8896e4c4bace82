//! Redis: a server of its own per add-on, with append-only persistence on a volume.

use std::{collections::BTreeMap, time::Duration};

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

/// The version of Redis in it.
pub const MAJOR: &str = "7";

/// Where Redis keeps its data in the container.
const DATA: &str = "/data";

/// Starts the server with its users from standard input: arguments are seen by every user of
/// the machine, the environment and pipes are not.
const START: &str = r#"exec redis-server "$@" - <<<"$REDIS_USERS""#;

/// What the users of a server may do: all but what leads out of their plan (settings, and
/// with them the bounds of memory and disk; copies to and from other servers; forks at will)
/// or locks everybody out.
const USER_RULES: &str = "~* &* +@all -config +config|get -acl +acl|whoami -module -debug -shutdown \
    -replicaof -slaveof -failover -migrate -sync -psync -replconf -save -bgsave -bgrewriteaof -client|pause";

/// The platform's own user: it gets in whatever users have done.
const OWN_USER: &str = "paas";

/// How long a server may take for an answer, in whole seconds: its users can make it silent
/// (`CLIENT PAUSE`, a script without end), and nobody else may wait for that.
const ANSWER: &str = "3";

/// The same with what the engine needs to start and to end the question.
const ANSWER_IN_ALL: Duration = Duration::from_secs(6);

/// What is said of a server that says nothing.
const SILENT: &str = "redis-server does not answer";

/// Most seconds that an idle client may be kept.
const LONGEST_TIMEOUT: u64 = 86_400;

/// What happens when memory is full, unless set otherwise: Heroku's default.
const DEFAULT_POLICY: &str = "noeviction";

/// The letters that stand for classes of events of keys.
const EVENTS: &str = "KEg$lshzxetdmnA";

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

/// The password of [`OWN_USER`]. No app and no user ever has it, but of an add-on that was made
/// before there was one: until its credentials are reset.
fn own_password(secrets: &Secrets) -> &str {
    secrets.private.get("own_password").and_then(|v| v.as_str()).unwrap_or_else(|| password(secrets))
}

/// The users that a server starts with, their passwords by their hashes: a program that runs
/// beside the server sees its environment.
fn users(secrets: &Secrets) -> String {
    let hash = |password: &str| hex::encode(secret::token_hash(password));
    format!(
        "user default on #{} {USER_RULES}\nuser {OWN_USER} on #{} ~* &* +@all",
        hash(password(secrets)),
        hash(own_password(secrets))
    )
}

/// The eviction policy among an add-on's secrets.
pub fn policy(secrets: &Secrets) -> &str {
    secrets.private.get("maxmemory_policy").and_then(|v| v.as_str()).unwrap_or(DEFAULT_POLICY)
}

/// Which events of keys are published, as letters; none: nothing is.
pub fn keyspace_events(secrets: &Secrets) -> &str {
    secrets.private.get("notify_keyspace_events").and_then(|v| v.as_str()).unwrap_or_default()
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

/// Options of `redis-cli` that write whatever a server sends, theirs or another, to the
/// machine's disk.
pub const WRITES: [&str; 3] = ["--rdb", "--functions-rdb", "--cluster"];

/// Carries bytes between its standard streams and the server, as the user that it serves.
const CARRY: &str = r#"exec 3<>/dev/tcp/127.0.0.1/6379 4<&0 || exit 1
printf 'AUTH %s\r\n' "$REDISCLI_AUTH" >&3
(cat <&4 >&3; sleep 2; kill $$) >/dev/null 2>&1 &
cat <&3
kill $! 2>/dev/null
exit 0"#;

/// Connects a client beside the server that speaks its protocol itself, logged in already.
pub fn carry(secrets: &Secrets) -> ExecSpec {
    ExecSpec { argv: ["bash", "-c", CARRY].map(str::to_owned).into(), ..cli(secrets, &[], false) }
}

impl Redis {
    fn with_password(host: &str, password: &str, before: Option<&Secrets>) -> Secrets {
        let url = format!("redis://:{password}@{host}:6379");
        let mut private = before.map_or_else(|| json!({}), |secrets| secrets.private.clone());
        if let Some(map) = private.as_object_mut() {
            map.insert("password".into(), password.into());
            map.insert("own_password".into(), secret::random_password().into());
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

    fn secrets(&self, host: &str) -> Secrets {
        Self::with_password(host, &secret::random_password(), None)
    }

    fn rotate(&self, host: &str, secrets: &Secrets) -> Secrets {
        Self::with_password(host, &secret::random_password(), Some(secrets))
    }

    fn option(&self, name: &str, value: &str) -> Result<serde_json::Value, String> {
        match name {
            "maxmemory_policy" if POLICIES.contains(&value) => Ok(value.into()),
            "maxmemory_policy" => {
                Err(format!("maxmemory_policy: {value} is not a policy. There are: {}.", POLICIES.join(", ")))
            }
            "timeout" => match value.parse::<u64>() {
                Ok(seconds) if seconds <= LONGEST_TIMEOUT => Ok(seconds.into()),
                Ok(_) | Err(_) => Err(format!("timeout: must be from 0 to {LONGEST_TIMEOUT} seconds.")),
            },
            "notify_keyspace_events" if value.len() <= EVENTS.len() && value.chars().all(|c| EVENTS.contains(c)) => {
                Ok(value.into())
            }
            "notify_keyspace_events" => Err(format!(
                "notify_keyspace_events: may have the letters {EVENTS} only, such as AKE; none turns it off."
            )),
            _ => Err(format!(
                "{name}: is not an option of Redis. There are: maxmemory_policy, notify_keyspace_events, timeout."
            )),
        }
    }

    fn options(&self, secrets: &Secrets) -> BTreeMap<String, String> {
        [
            ("maxmemory_policy", policy(secrets).to_owned()),
            ("notify_keyspace_events", keyspace_events(secrets).to_owned()),
            ("timeout", timeout(secrets).to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
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
        // Left out when not set: a server is remade, and restarts, for every change of this.
        let events = keyspace_events(&instance.secrets);
        if !events.is_empty() {
            command.extend(["--notify-keyspace-events".to_owned(), events.to_owned()]);
        }
        engine
            .service_start(&ServiceSpec {
                id: instance.id,
                // Not the add-on's name: it restarts for no new one.
                name: instance.host.clone(),
                image: IMAGE.into(),
                command,
                env: vec![("REDIS_USERS".into(), users(&instance.secrets))],
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
        Ok(heard(ask(engine, instance, &["ping"]).await?.as_deref()))
    }

    async fn deprovision(&self, engine: &dyn Engine, id: Uuid) -> Result<(), EngineError> {
        engine.service_remove(id, true).await
    }

    async fn info(&self, engine: &dyn Engine, instance: &Instance) -> Result<Info, EngineError> {
        Ok(told(instance, ask(engine, instance, &["info"]).await?.as_deref()))
    }

    async fn held(&self, engine: &dyn Engine, instance: &Instance) -> Result<Option<u64>, EngineError> {
        let text = ask(engine, instance, &["info", "memory"]).await?;
        Ok(text.as_deref().and_then(|text| field(text, "used_memory")?.parse().ok()))
    }
}

/// What `redis-cli` says to these arguments as the platform's own user; `None` when the server
/// says nothing in time.
async fn ask(engine: &dyn Engine, instance: &Instance, args: &[&str]) -> Result<Option<String>, EngineError> {
    // Ended where it runs: one that waits for a silent server would stay there.
    let program = ["timeout", "--signal=KILL", ANSWER, "redis-cli", "--user", OWN_USER];
    let spec = ExecSpec {
        argv: program.iter().chain(args).map(|word| (*word).to_owned()).collect(),
        env: vec![("REDISCLI_AUTH".into(), own_password(&instance.secrets).to_owned())],
        tty: false,
        size: None,
    };
    let answer = async {
        let mut session = engine.exec(Target::Service(instance.id), &spec).await?;
        let mut text = Vec::new();
        while let Some(piece) = session.output.next().await {
            match piece? {
                (OutputStream::Stdout | OutputStream::Stderr, bytes) => text.extend_from_slice(&bytes),
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    match tokio::time::timeout(ANSWER_IN_ALL, answer).await {
        Ok(text) => text.map(|text| Some(text).filter(|text| !text.trim().is_empty())),
        Err(_) => Ok(None),
    }
}

/// What is told of a server by its answer to INFO; of one that does not give it, why not.
fn told(instance: &Instance, answer: Option<&str>) -> Info {
    let plan = instance.plan;
    let settings = [
        ("Maxmemory".to_owned(), policy(&instance.secrets).to_owned()),
        ("Timeout".to_owned(), timeout(&instance.secrets).to_string()),
    ];
    let Some(text) = answer.filter(|text| field(text, "redis_version").is_some()) else {
        let why = match heard(answer) {
            Status::Starting(why) => why,
            Status::Ready => "busy".to_owned(),
        };
        let known = [("Plan".to_owned(), plan.name.to_owned()), ("Status".to_owned(), why)];
        return known.into_iter().chain(settings).collect();
    };
    let field = |name: &str| field(text, name).unwrap_or("?").to_owned();
    let keys = text.lines().find_map(|line| line.strip_prefix("db0:keys=")?.split(',').next()).unwrap_or("0");
    let figures = [
        ("Plan".into(), plan.name.into()),
        ("Status".into(), "available".into()),
        ("Version".into(), field("redis_version")),
        ("Keys".into(), keys.into()),
        ("Memory".into(), format!("{} of {} MB", field("used_memory_human"), plan.memory_mib)),
        ("Connections".into(), format!("{} of {}", field("connected_clients"), plan.connections)),
    ];
    let more = [
        ("Persistence".into(), format!("AOF, last write {}", field("aof_last_write_status"))),
        ("Uptime".into(), format!("{} s", field("uptime_in_seconds"))),
    ];
    figures.into_iter().chain(settings).chain(more).collect()
}

/// Sets the server's own counters back; what it says to that, `None` when it says nothing.
pub async fn reset_stats(engine: &dyn Engine, instance: &Instance) -> Result<Option<String>, EngineError> {
    ask(engine, instance, &["config", "resetstat"]).await
}

/// What an answer to PING tells. A server that refuses because it is busy is there.
fn heard(answer: Option<&str>) -> Status {
    let answer = answer.map_or(SILENT, str::trim);
    let refused = |word: &str| answer.contains(word);
    if answer == "PONG" || refused("max number of clients") || refused("BUSY") {
        return Status::Ready;
    }
    if refused("LOADING") {
        return Status::Starting("redis-server is loading its data".into());
    }
    Status::Starting(answer.lines().next().unwrap_or(SILENT).chars().take(200).collect())
}

/// A field of the answer to INFO.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_busy_server_is_there_and_a_silent_one_is_not() {
        for answer in [
            "PONG\n",
            "ERR max number of clients reached\n",
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\n",
        ] {
            assert_eq!(heard(Some(answer)), Status::Ready, "{answer}");
        }
        let starting = |answer: Option<&str>| match heard(answer) {
            Status::Starting(why) => why,
            Status::Ready => panic!("{answer:?}"),
        };
        assert_eq!(
            starting(Some("LOADING Redis is loading the dataset in memory\n")),
            "redis-server is loading its data"
        );
        assert_eq!(starting(Some("Could not connect to Redis\nmore")), "Could not connect to Redis");
        assert_eq!(starting(None), SILENT);
    }

    #[test]
    fn only_who_gives_its_info_is_available() {
        let secrets = Redis.secrets("host");
        let (plan, networks) = (&SERVICE.plans[0], Vec::new());
        let instance = Instance { id: Uuid::nil(), name: "x".into(), host: "host".into(), plan, secrets, networks };
        let status = |answer: Option<&str>| {
            told(&instance, answer).into_iter().find(|(name, _)| name == "Status").map(|(_, value)| value).unwrap()
        };
        assert_eq!(status(Some("# Server\r\nredis_version:7.0.15\r\n")), "available");
        assert_eq!(
            status(Some("LOADING Redis is loading the dataset in memory\n")),
            "redis-server is loading its data"
        );
        assert_eq!(status(Some("ERR max number of clients reached\n")), "busy");
        assert_eq!(status(Some("NOAUTH Authentication required.\n")), "NOAUTH Authentication required.");
        assert_eq!(status(None), SILENT);
    }

    #[test]
    fn options_are_checked() {
        assert_eq!(Redis.option("maxmemory_policy", "allkeys-lru").unwrap(), "allkeys-lru");
        assert_eq!(Redis.option("timeout", "0").unwrap(), 0);
        for (name, value) in [
            ("maxmemory_policy", "none"),
            ("timeout", "-1"),
            ("timeout", "86401"),
            ("fork", "a"),
            ("notify_keyspace_events", "AKE!"),
        ] {
            assert!(Redis.option(name, value).unwrap_err().starts_with(&format!("{name}: ")), "{name}={value}");
        }
    }

    #[test]
    fn fields_of_info() {
        let text = "# Memory\r\nused_memory:1048576\r\nused_memory_human:1.00M\r\n";
        assert_eq!(field(text, "used_memory"), Some("1048576"));
        assert_eq!(field(text, "missing"), None);
    }
}
