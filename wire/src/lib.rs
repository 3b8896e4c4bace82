//! Heroku's Platform API v3 as Rust types: what goes over the wire, nothing else.
//!
//! The server answers with these types, the command line and the tests read them. There is
//! one file a resource; a file holds what the API answers (`App`) and what it accepts
//! (`AppCreate`, `AppUpdate`). Beside them: [`error`] (the error body), [`headers`] (API
//! version, request ids, rate limit), [`range`] (pagination), [`time`] (how times are
//! written), [`loose`] (input that clients write in several ways), [`attach`] (the frames of
//! an attached dyno).
//!
//! Rules that hold everywhere:
//! - Answers serialize every field of Heroku's schema, absent values as `null`. Fields that
//!   Heroku does not have are optional, left out when empty and marked "ours".
//! - Request bodies ignore fields that they don't know, since clients send more than the
//!   schema names.

pub mod account;
pub mod addon;
pub mod addon_attachment;
pub mod addon_config;
pub mod addon_region_capability;
pub mod addon_service;
pub mod app;
pub mod app_setup;
pub mod app_transfer;
pub mod attach;
pub mod build;
pub mod buildpack_installation;
pub mod buildpack_registry;
pub mod collaborator;
pub mod config_var;
pub mod domain;
pub mod dyno;
pub mod dyno_size;
pub mod error;
pub mod feature;
pub mod formation;
pub mod generation;
pub mod headers;
pub mod key;
pub mod log_drain;
pub mod log_session;
pub mod loose;
pub mod oauth_authorization;
pub mod oauth_client;
pub mod oauth_token;
pub mod pipeline;
pub mod pipeline_coupling;
pub mod pipeline_promotion;
pub mod plan;
pub mod range;
pub mod rate_limit;
pub mod redis;
pub mod reference;
pub mod region;
pub mod release;
pub mod review_app;
pub mod router;
pub mod routing;
pub mod slug;
pub mod sni_endpoint;
pub mod source;
pub mod stack;
pub mod status;
pub mod team;
pub mod team_app;
pub mod team_member;
pub mod telemetry_drain;
pub mod test_run;
pub mod time;
pub mod webhook;

pub use account::{
    Account, AccountDelete, AccountDelinquency, AccountUpdate, PasswordReset, PasswordResetCreate,
    PasswordResetFinalize, SmsNumber, UserPreferences, UserPreferencesUpdate,
};
pub use addon::{Addon, AddonCreate, AddonResolve, AddonState, AddonUpdate};
pub use addon_attachment::{AddonAttachment, AttachmentCreate, AttachmentResolve};
pub use addon_config::{AddonConfig, AddonConfigUpdate};
pub use addon_region_capability::AddonRegionCapability;
pub use addon_service::AddonService;
pub use app::{App, AppCreate, AppUpdate};
pub use app_setup::{AppSetup, AppSetupCreate, SetupStatus};
pub use app_transfer::{AppTransfer, AppTransferCreate, AppTransferUpdate, TransferState};
pub use build::{Build, BuildCreate, BuildStatus, SourceBlob};
pub use buildpack_installation::{BuildpackInstallation, BuildpackInstallationsUpdate};
pub use collaborator::{Collaborator, CollaboratorCreate, CollaboratorUpdate};
pub use config_var::{ConfigVars, ConfigVarsUpdate};
pub use domain::{Domain, DomainCreate, DomainUpdate};
pub use dyno::{Dyno, DynoCreate, DynoState};
pub use dyno_size::DynoSize;
pub use error::ErrorBody;
pub use feature::{Feature, FeatureUpdate};
pub use formation::{Formation, FormationBatchUpdate, FormationUpdate, Quantity};
pub use generation::Generation;
pub use key::{Key, KeyCreate};
pub use log_drain::{LogDrain, LogDrainAddon, LogDrainCreate};
pub use log_session::{LogSession, LogSessionCreate};
pub use loose::Identity;
pub use oauth_authorization::{
    Authorization, AuthorizationCreate, AuthorizationUpdate, ClientProof, Session, SessionCreate,
};
pub use oauth_client::{Client, ClientCreate, ClientUpdate};
pub use oauth_token::{OauthToken, OauthTokenCreate};
pub use pipeline::{
    OwnerKind, Pipeline, PipelineCreate, PipelineOwner, PipelineQuery, PipelineStack, PipelineTransfer,
    PipelineTransferCreate, PipelineUpdate,
};
pub use pipeline_coupling::{PipelineCoupling, PipelineCouplingCreate, PipelineCouplingUpdate, Stage};
pub use pipeline_promotion::{
    PipelinePromotion, PipelinePromotionCreate, PromotionSource, PromotionStatus, PromotionTarget, TargetStatus,
};
pub use plan::{Plan, Price};
pub use range::Range;
pub use rate_limit::RateLimit;
pub use reference::{IdRef, NameRef, Named, UserRef};
pub use region::Region;
pub use release::{Release, ReleaseCreate, ReleaseStatus};
pub use review_app::{PipelineRepo, ReviewApp, ReviewAppConfig};
pub use router::{Router, RouterApp, RouterDyno, RouterProcess, RouterQuery, RouterRecent};
pub use routing::{Routing, RoutingUpdate};
pub use slug::{Slug, SlugCreate};
pub use sni_endpoint::{SniEndpoint, SniEndpointCreate, SniEndpointUpdate, SslCert};
pub use source::Source;
pub use stack::Stack;
pub use team::{Team, TeamCreate, TeamFeature, TeamPreferences, TeamUpdate};
pub use team_app::{TeamApp, TeamAppCreate, TeamAppUpdate};
pub use team_member::{Person, TeamInvitation, TeamInvitationCreate, TeamMember, TeamMemberUpdate};
pub use telemetry_drain::{TelemetryDrain, TelemetryDrainCreate, TelemetryDrainUpdate};
pub use test_run::{TestCase, TestNode, TestRun, TestStatus};
pub use webhook::{Webhook, WebhookCreate, WebhookDelivery, WebhookEvent, WebhookUpdate};
