//! Things for the stand-in to answer with.

use chrono::{DateTime, Utc};
use paas_wire::addon::BillingEntity;
use paas_wire::addon_attachment::AttachedAddon;
use paas_wire::addon_service::AddonServiceRef;
use paas_wire::buildpack_installation::InstalledBuildpack;
use paas_wire::collaborator::CollaboratorUser;
use paas_wire::domain::DomainKind;
use paas_wire::dyno::DynoRelease;
use paas_wire::oauth_authorization::{AuthorizationUser, Token};
use paas_wire::plan::PlanRef;
use paas_wire::redis::{RedisConfig, RedisFormation, RedisInfo, RedisInfoRow, RedisSetting};
use paas_wire::*;
use uuid::Uuid;

pub(crate) fn at() -> DateTime<Utc> {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

pub(crate) fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

pub(crate) fn named(name: &str) -> Named {
    Named { id: id(1), name: name.to_owned() }
}

pub(crate) fn user() -> UserRef {
    UserRef { id: id(2), email: "me@example.com".to_owned() }
}

pub(crate) fn app(name: &str) -> App {
    App {
        acm: false,
        archived_at: None,
        build_stack: named("debian-12"),
        buildpack_provided_description: Some("Ruby".to_owned()),
        create_status: Some("complete".to_owned()),
        created_at: at(),
        generation: Some(named("cedar")),
        git_url: format!("https://localhost:5000/{name}.git"),
        id: id(1),
        internal_routing: None,
        maintenance: false,
        name: name.to_owned(),
        organization: None,
        owner: user(),
        process_tier: None,
        region: named("local"),
        released_at: Some(at()),
        repo_size: Some(2_048),
        slug_size: Some(12_900_000),
        space: None,
        stack: named("debian-12"),
        team: None,
        updated_at: at(),
        web_url: Some(format!("http://{name}.localhost/")),
    }
}

pub(crate) fn account() -> Account {
    serde_json::from_value(serde_json::json!({
        "created_at": at(), "updated_at": at(), "email": "me@example.com", "id": id(2),
    }))
    .unwrap()
}

pub(crate) fn authorization(token: Option<&str>) -> Authorization {
    Authorization {
        access_token: token.map(|token| Token { expires_in: None, id: id(9), token: token.to_owned() }),
        client: None,
        created_at: at(),
        description: Some("CI".to_owned()),
        grant: None,
        id: id(8),
        refresh_token: None,
        scope: vec!["global".to_owned()],
        session: None,
        updated_at: at(),
        user: Some(AuthorizationUser { id: id(2), email: "me@example.com".to_owned(), full_name: None }),
    }
}

pub(crate) fn dyno(name: &str, state: DynoState, command: &str) -> Dyno {
    Dyno {
        app: named("myapp"),
        attach_url: None,
        command: command.to_owned(),
        created_at: at(),
        id: id(3),
        kind: name.split('.').next().unwrap().to_owned(),
        name: name.to_owned(),
        release: DynoRelease { id: id(4), version: 7 },
        size: "Basic".to_owned(),
        state,
        updated_at: at(),
    }
}

pub(crate) fn formation(kind: &str, quantity: u32, size: &str) -> Formation {
    Formation {
        app: named("myapp"),
        command: format!("run {kind}"),
        created_at: at(),
        dyno_size: named(size),
        id: id(5),
        kind: kind.to_owned(),
        quantity,
        size: size.to_owned(),
        updated_at: at(),
    }
}

pub(crate) fn release(version: u64, description: &str, status: ReleaseStatus) -> Release {
    Release {
        addon_plan_names: vec!["redis:mini".to_owned()],
        app: named("myapp"),
        artifacts: Vec::new(),
        created_at: at(),
        current: false,
        description: description.to_owned(),
        eligible_for_rollback: status == ReleaseStatus::Succeeded,
        id: id(u128::from(version)),
        output_stream_url: None,
        slug: Some(IdRef { id: id(6) }),
        status,
        updated_at: at(),
        user: user(),
        version,
    }
}

pub(crate) fn build(status: BuildStatus) -> Build {
    Build {
        app: IdRef { id: id(1) },
        buildpacks: None,
        created_at: at(),
        generation: None,
        id: id(11),
        output_stream_url: "http://elsewhere:1/streams/build/b1".to_owned(),
        release: None,
        slug: None,
        source_blob: SourceBlob {
            version: Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
            ..SourceBlob::default()
        },
        stack: "debian-12".to_owned(),
        status,
        updated_at: at(),
        user: user(),
    }
}

pub(crate) fn domain(hostname: &str, kind: DomainKind) -> Domain {
    Domain {
        acm_status: None,
        acm_status_reason: None,
        app: named("myapp"),
        cname: (kind == DomainKind::Custom).then(|| "myapp.example.net".to_owned()),
        created_at: at(),
        hostname: hostname.to_owned(),
        id: id(12),
        kind,
        sni_endpoint: None,
        status: "succeeded".to_owned(),
        updated_at: at(),
    }
}

pub(crate) fn addon(name: &str, state: AddonState) -> Addon {
    Addon {
        actions: Vec::new(),
        addon_service: AddonServiceRef { id: id(20), name: "redis".to_owned(), human_name: None, rest: None },
        app: named("myapp"),
        billed_price: None,
        billing_entity: Some(BillingEntity { id: id(1), name: "myapp".to_owned(), kind: "app".to_owned() }),
        config_vars: vec!["REDIS_URL".to_owned(), "REDISTOGO_URL".to_owned()],
        created_at: at(),
        id: id(21),
        name: name.to_owned(),
        plan: plan("redis:mini"),
        provider_id: None,
        provision_message: String::new(),
        state,
        updated_at: at(),
        web_url: None,
    }
}

pub(crate) fn plan(name: &str) -> PlanRef {
    PlanRef {
        id: id(22),
        name: name.to_owned(),
        human_name: None,
        description: None,
        price: Some(Price::default()),
        rest: None,
    }
}

pub(crate) fn attachment(name: &str, addon: &str, owner: &str) -> AddonAttachment {
    AddonAttachment {
        addon: AttachedAddon {
            app: named(owner),
            id: if owner == "myapp" { id(21) } else { id(99) },
            name: addon.to_owned(),
            plan: Some(plan("redis:mini")),
        },
        app: named("myapp"),
        config_vars: vec![format!("{name}_URL")],
        created_at: at(),
        id: id(23),
        log_input_url: None,
        name: name.to_owned(),
        namespace: None,
        updated_at: at(),
        web_url: None,
    }
}

pub(crate) fn buildpack(ordinal: u32, name: &str) -> BuildpackInstallation {
    BuildpackInstallation {
        ordinal,
        buildpack: InstalledBuildpack { url: format!("urn:buildpack:{name}"), name: name.to_owned() },
    }
}

pub(crate) fn collaborator(email: &str, role: &str) -> Collaborator {
    Collaborator {
        app: named("myapp"),
        created_at: at(),
        id: id(30),
        permissions: Vec::new(),
        role: Some(role.to_owned()),
        updated_at: at(),
        user: CollaboratorUser { email: email.to_owned(), federated: false, id: id(31) },
    }
}

pub(crate) fn redis_info() -> RedisInfo {
    let row = |name: &str, value: &str| RedisInfoRow { name: name.to_owned(), values: vec![value.to_owned()] };
    RedisInfo {
        addon_id: id(21),
        created_at: at(),
        formation: RedisFormation { id: id(40), primary: None },
        info: vec![row("Plan", "Mini"), row("Status", "available"), row("Version", "7.0.15")],
        metaas_source: "local".to_owned(),
        name: "redis-calm-1".to_owned(),
        plan: "mini".to_owned(),
        port: 6379,
        prefer_native_tls: false,
        resource_url: "redis://:pw@redis-calm-1:6379".to_owned(),
        version: "7.0.15".to_owned(),
    }
}

pub(crate) fn redis_config(policy: &str) -> RedisConfig {
    let setting = |value: serde_json::Value| RedisSetting {
        desc: String::new(),
        default: value.clone(),
        value,
        values: redis::MAXMEMORY_POLICIES.map(|(name, text)| (name.to_owned(), text.to_owned())).into(),
    };
    RedisConfig {
        maxmemory_policy: setting(policy.into()),
        notify_keyspace_events: setting("".into()),
        timeout: setting(300.into()),
    }
}

pub(crate) fn feature(name: &str, state: &str, enabled: bool) -> Feature {
    Feature {
        created_at: at(),
        description: format!("What {name} does"),
        display_name: name.to_owned(),
        doc_url: "https://example.com/docs".to_owned(),
        enabled,
        feedback_email: String::new(),
        id: id(20),
        name: name.to_owned(),
        state: state.to_owned(),
        updated_at: at(),
    }
}

pub(crate) fn oauth_client(name: &str) -> paas_wire::Client {
    paas_wire::Client {
        created_at: at(),
        id: id(21),
        ignores_delinquent: None,
        name: name.to_owned(),
        redirect_uri: "https://example.com/cb".to_owned(),
        secret: "the-secret".to_owned(),
        updated_at: at(),
    }
}

pub(crate) fn key(comment: &str) -> Key {
    Key {
        comment: comment.to_owned(),
        created_at: at(),
        email: "me@example.com".to_owned(),
        fingerprint: "cc:82:6e".to_owned(),
        id: id(22),
        public_key: format!("ssh-ed25519 AAAA {comment}"),
        updated_at: at(),
    }
}

pub(crate) fn session(description: &str) -> Session {
    Session {
        id: id(23),
        description: Some(description.to_owned()),
        created_at: at(),
        updated_at: at(),
        expires_in: None,
        access_token: None,
    }
}

pub(crate) fn team_app(name: &str) -> TeamApp {
    let owner = UserRef { id: id(40), email: "crew@herokumanager.com".to_owned() };
    let team = Named { id: id(40), name: "crew".to_owned() };
    let app = App { owner, team: Some(team.clone()), organization: Some(team), ..app(name) };
    TeamApp { app, joined: true, locked: false }
}

pub(crate) fn member(email: &str, role: &str) -> TeamMember {
    TeamMember {
        created_at: at(),
        email: email.to_owned(),
        federated: false,
        id: id(41),
        identity_provider: None,
        role: Some(role.to_owned()),
        two_factor_authentication: false,
        updated_at: at(),
        user: Person { email: email.to_owned(), id: id(42), name: None },
    }
}

pub(crate) fn invitation(email: &str, token: Option<&str>) -> TeamInvitation {
    TeamInvitation {
        created_at: at(),
        id: id(43),
        invited_by: Person { email: "me@example.com".to_owned(), id: id(2), name: None },
        role: Some("member".to_owned()),
        team: Named { id: id(40), name: "crew".to_owned() },
        updated_at: at(),
        user: Person { email: email.to_owned(), id: id(43), name: None },
        token: token.map(str::to_owned),
    }
}

pub(crate) fn transfer(app: &str, state: TransferState) -> AppTransfer {
    AppTransfer {
        app: named(app),
        created_at: at(),
        id: id(44),
        owner: user(),
        recipient: UserRef { id: id(45), email: "you@example.com".to_owned() },
        state,
        updated_at: at(),
    }
}
