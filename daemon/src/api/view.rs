//! Rows as Heroku's clients want to see them.

use std::sync::LazyLock;

use paas_domain::size::Size;
use paas_wire as wire;
use uuid::Uuid;
use wire::{IdRef, Named, UserRef};

use crate::{
    config::Config,
    ops::{self, Platform, accounts::Account, addons::Shown, apps::OwnedApp, formation::Process},
    store::{self, apps::App, users::User},
};

/// A stable identity for what has a name but no row: stacks, regions, plans, sizes.
pub(super) fn id_of(kind: &str, name: &str) -> Uuid {
    crate::ops::stacks::stable_id(kind, name)
}

pub(super) fn named(kind: &str, name: &str) -> Named {
    Named { id: id_of(kind, name), name: name.to_owned() }
}

// Of every app: not to be made out for each again.
static GENERATION: LazyLock<Named> = LazyLock::new(|| named("generation", "cedar"));
static REGION: LazyLock<Named> = LazyLock::new(|| named("region", "local"));

pub(super) fn app_ref(app: &App) -> Named {
    Named { id: app.id, name: app.name.clone() }
}

pub(super) fn user_ref(user: &User) -> UserRef {
    UserRef { id: user.id, email: user.email.clone() }
}

/// Whose an app is, as Heroku's clients know: a team has an address by which they tell it from
/// an account.
pub(super) fn owner_ref(owned: &OwnedApp) -> UserRef {
    match &owned.team {
        Some(team) => UserRef { id: team.id, email: format!("{}@herokumanager.com", team.name) },
        None => user_ref(&owned.owner),
    }
}

pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

/// Where the holder of a secret attaches; Heroku's clients want this scheme.
pub(super) fn attach_url(config: &Config, secret: &str) -> String {
    let api = config.api_url();
    let authority = api.split_once("://").map_or(api.as_str(), |(_, rest)| rest);
    format!("rendezvous://{authority}/{secret}")
}

pub(super) fn app(config: &Config, owned: &OwnedApp) -> wire::App {
    let app = &owned.app;
    let team = owned.team.as_ref().map(|team| Named { id: team.id, name: team.name.clone() });
    let stack = named("stack", &app.stack);
    wire::App {
        acm: app.acm,
        archived_at: None,
        build_stack: if app.build_stack == app.stack { stack.clone() } else { named("stack", &app.build_stack) },
        buildpack_provided_description: app.buildpack_description.clone(),
        create_status: Some("complete".into()),
        created_at: app.created_at,
        generation: Some(GENERATION.clone()),
        git_url: format!("{}/{}.git", config.api_url(), app.name),
        id: app.id,
        internal_routing: None,
        maintenance: app.maintenance,
        name: app.name.clone(),
        organization: team.clone(),
        owner: owner_ref(owned),
        process_tier: Some("production".into()),
        region: REGION.clone(),
        released_at: app.released_at,
        repo_size: app.repo_size.map(unsigned),
        slug_size: app.slug_size.map(unsigned),
        space: None,
        stack,
        team,
        updated_at: app.updated_at,
        web_url: Some(config.web_url(&app.name)),
    }
}

pub(super) fn account(account: &Account) -> wire::Account {
    let Account { user, profile, team } = account;
    let team = team.as_ref().map(|team| Named { id: team.id, name: team.name.clone() });
    wire::Account {
        allow_tracking: profile.allow_tracking,
        beta: profile.beta,
        country_of_residence: None,
        created_at: user.created_at,
        default_organization: team.clone(),
        default_team: team,
        delinquent_at: None,
        email: user.email.clone(),
        federated: false,
        id: user.id,
        identity_provider: None,
        last_login: profile.last_login,
        name: user.name.clone(),
        sms_number: None,
        suspended_at: None,
        two_factor_authentication: false,
        updated_at: user.updated_at,
        verified: true,
    }
}

pub(super) fn size_name(size: &str) -> String {
    Size::parse(size).map_or_else(|_| size.to_owned(), |size| size.name().to_owned())
}

pub(super) fn formation(app: &App, process: &Process) -> wire::Formation {
    let row = &process.formation;
    let size = size_name(&row.size);
    wire::Formation {
        app: app_ref(app),
        command: process.command.clone(),
        created_at: row.created_at,
        dyno_size: named("dyno-size", &size),
        id: row.id,
        quantity: u32::try_from(row.quantity).unwrap_or_default(),
        size,
        kind: row.process_type.clone(),
        updated_at: row.updated_at,
    }
}

pub(super) fn dyno(app: &App, dyno: &store::dynos::Dyno, attach_url: Option<String>) -> wire::Dyno {
    use wire::DynoState::{Crashed, Down, Idle, Starting, Up};
    wire::Dyno {
        app: app_ref(app),
        attach_url,
        command: dyno.command.clone(),
        created_at: dyno.created_at,
        id: dyno.id,
        name: dyno.name(),
        release: wire::dyno::DynoRelease { id: dyno.release_id, version: unsigned(dyno.release_version) },
        size: size_name(&dyno.size),
        state: match dyno.phase.as_str() {
            "starting" => Starting,
            "up" => Up,
            "crashed" => Crashed,
            "idle" => Idle,
            _ => Down,
        },
        kind: dyno.process_type.clone(),
        updated_at: dyno.phase_at,
    }
}

pub(super) fn release(
    p: &Platform,
    app: &App,
    row: &store::releases::Release,
    user: &User,
    current: Option<i64>,
) -> wire::Release {
    use wire::ReleaseStatus::{Expired, Failed, Pending, Succeeded};
    let status = match row.status.as_str() {
        "pending" => Pending,
        "failed" => Failed,
        "expired" => Expired,
        _ => Succeeded,
    };
    wire::Release {
        addon_plan_names: row.addon_plans.0.clone(),
        app: app_ref(app),
        artifacts: row.slug_id.map(|id| wire::release::Artifact { kind: "slug".into(), id }).into_iter().collect(),
        created_at: row.created_at,
        current: current == Some(row.version),
        description: row.description.clone(),
        eligible_for_rollback: status == Succeeded && row.slug_id.is_some(),
        id: row.id,
        output_stream_url: row.phase.then(|| ops::releases::output_url(p, row.id)),
        slug: row.slug_id.map(|id| IdRef { id }),
        status,
        updated_at: row.updated_at,
        user: user_ref(user),
        version: unsigned(row.version),
    }
}

/// Why a domain waits for its automatic certificate where none can be got.
const NO_ACME: &str = "This server gets no certificates by itself: it is not set up for ACME. Its administrator can do that by setting PAAS_ACME_EMAIL; until then bring a certificate with certs:add";

/// How far a domain's automatic certificate is, and why. One that has a certificate of its own waits for none.
fn acm_status(
    config: &Config,
    app: &App,
    endpoint: Option<&store::sni_endpoints::SniEndpoint>,
    acm: Option<&store::acme::Certificate>,
) -> (Option<String>, Option<String>) {
    if !app.acm || endpoint.is_some_and(|row| !row.acm) {
        return (None, None);
    }
    let reason = |acm: Option<&store::acme::Certificate>| acm.and_then(|row| row.reason.clone());
    let status = acm.map_or("pending", |row| row.status.as_str());
    let reason = if config.acme.is_on() { reason(acm) } else { Some(NO_ACME.to_owned()) };
    (Some(status.to_owned()), reason)
}

pub(super) fn domain(
    config: &Config,
    app: &App,
    row: &store::domains::Domain,
    endpoint: Option<&store::sni_endpoints::SniEndpoint>,
    acm: Option<&store::acme::Certificate>,
) -> wire::Domain {
    let (acm_status, acm_status_reason) = acm_status(config, app, endpoint, acm);
    wire::Domain {
        updated_at: acm
            .filter(|_| acm_status.is_some())
            .map_or(row.updated_at, |acm| row.updated_at.max(acm.updated_at)),
        acm_status,
        acm_status_reason,
        app: app_ref(app),
        cname: Some(config.app_host(&app.name)),
        created_at: row.created_at,
        hostname: row.hostname.clone(),
        id: row.id,
        kind: wire::domain::DomainKind::Custom,
        sni_endpoint: endpoint.map(|row| Named { id: row.id, name: row.name.clone() }),
        status: "succeeded".into(),
    }
}

pub(super) fn sni_endpoint(app: &App, shown: &crate::ops::sni_endpoints::Shown) -> wire::SniEndpoint {
    let (row, said) = (&shown.row, &shown.said);
    wire::SniEndpoint {
        app: app_ref(app),
        certificate_chain: row.certificate_chain.clone(),
        created_at: row.created_at,
        display_name: None,
        domains: shown.domains.clone(),
        id: row.id,
        name: row.name.clone(),
        ssl_cert: wire::SslCert {
            acm: row.acm,
            ca_signed: row.ca_signed,
            cert_domains: said.names.clone(),
            expires_at: said.expires_at,
            fingerprint: Some(said.fingerprint.clone()),
            id: row.certificate_id,
            issuer: said.issuer.clone(),
            self_signed: said.self_signed,
            starts_at: said.starts_at,
            subject: said.subject.clone(),
        },
        updated_at: row.updated_at,
    }
}

/// The name that every app has by itself.
pub(super) fn own_domain(config: &Config, app: &App) -> wire::Domain {
    let hostname = config.app_host(&app.name);
    wire::Domain {
        acm_status: None,
        acm_status_reason: None,
        app: app_ref(app),
        cname: None,
        created_at: app.created_at,
        id: id_of("domain", &app.id.to_string()),
        hostname,
        kind: wire::domain::DomainKind::Heroku,
        sni_endpoint: None,
        status: "succeeded".into(),
        updated_at: app.created_at,
    }
}

pub(super) fn addon_state(state: &str) -> wire::AddonState {
    match state {
        "provisioning" => wire::AddonState::Provisioning,
        // For its users it is gone at once.
        "deprovisioning" | "deprovisioned" => wire::AddonState::Deprovisioned,
        _ => wire::AddonState::Provisioned,
    }
}

pub(super) fn attachment(
    shown: &Shown,
    row: &store::addons::Attachment,
    app: &App,
    config_vars: Vec<String>,
) -> wire::AddonAttachment {
    wire::AddonAttachment {
        addon: wire::addon_attachment::AttachedAddon {
            app: app_ref(&shown.app),
            id: shown.addon.id,
            name: shown.addon.name.clone(),
            plan: Some(super::expand::plan(shown, false)),
        },
        app: app_ref(app),
        config_vars,
        created_at: row.created_at,
        id: row.id,
        log_input_url: None,
        name: row.name.clone(),
        namespace: None,
        updated_at: row.updated_at,
        web_url: Some(shown.dashboard.clone()),
    }
}
