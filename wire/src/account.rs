//! `/account`, `/users/{id}`: the people who use this installation.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Named;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    /// Whether usage may be tracked; always false here.
    #[serde(default)]
    pub allow_tracking: bool,
    /// Whether beta features are on.
    #[serde(default)]
    pub beta: bool,
    /// Country, as a person filled it in.
    #[serde(default)]
    pub country_of_residence: Option<String>,
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// The team that new apps belong to.
    #[serde(default)]
    pub default_organization: Option<Named>,
    /// The team that new apps belong to.
    #[serde(default)]
    pub default_team: Option<Named>,
    /// Since when bills are unpaid; always absent here.
    #[serde(default, with = "crate::time::option")]
    #[schemars(with = "Option<chrono::DateTime<chrono::Utc>>")]
    pub delinquent_at: Option<DateTime<Utc>>,
    /// E-mail address, unique.
    pub email: String,
    /// Whether an identity provider logs it in.
    #[serde(default)]
    pub federated: bool,
    /// Id.
    pub id: Uuid,
    /// The identity provider.
    #[serde(default)]
    pub identity_provider: Option<Named>,
    /// When it last logged in.
    #[serde(default, with = "crate::time::option")]
    #[schemars(with = "Option<chrono::DateTime<chrono::Utc>>")]
    pub last_login: Option<DateTime<Utc>>,
    /// The person's name.
    #[serde(default)]
    pub name: Option<String>,
    /// Telephone number.
    #[serde(default)]
    pub sms_number: Option<String>,
    /// Since when it is suspended.
    #[serde(default, with = "crate::time::option")]
    #[schemars(with = "Option<chrono::DateTime<chrono::Utc>>")]
    pub suspended_at: Option<DateTime<Utc>>,
    /// Whether a second factor is wanted at login.
    #[serde(default)]
    pub two_factor_authentication: bool,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
    /// Whether payment data is there; always true here, clients ask for it.
    #[serde(default)]
    pub verified: bool,
}

/// `PATCH /account`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct AccountUpdate {
    /// See [`Account::allow_tracking`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_tracking: Option<bool>,
    /// See [`Account::beta`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta: Option<bool>,
    /// See [`Account::name`]; `null` takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<String>")]
    pub name: Option<Option<String>>,
    /// A new e-mail address; needs `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The present password, where a change asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// A new password; needs `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_password: Option<String>,
}

/// `DELETE /account`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct AccountDelete {
    /// The present password, where the account has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// `GET /account/delinquency`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct AccountDelinquency {
    /// When it will be suspended; never, here.
    #[serde(default, with = "crate::time::option")]
    #[schemars(with = "Option<chrono::DateTime<chrono::Utc>>")]
    pub scheduled_suspension_time: Option<DateTime<Utc>>,
    /// When it will be deleted; never, here.
    #[serde(default, with = "crate::time::option")]
    #[schemars(with = "Option<chrono::DateTime<chrono::Utc>>")]
    pub scheduled_deletion_time: Option<DateTime<Utc>>,
}

/// `GET /users/{id}/sms-number`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct SmsNumber {
    /// The number; none can be set here.
    #[serde(default)]
    pub sms_number: Option<String>,
}

/// `/users/{id}/preferences`: what clients remember for a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct UserPreferences {
    /// By its name in the IANA database.
    #[serde(default)]
    pub timezone: Option<String>,
    /// The team that is shown first.
    #[serde(default)]
    pub default_organization: Option<String>,
    /// A banner was closed.
    #[serde(default)]
    pub dismissed_github_banner: Option<bool>,
    /// A banner was closed.
    #[serde(default)]
    pub dismissed_getting_started: Option<bool>,
    /// A banner was closed.
    #[serde(default)]
    pub dismissed_org_access_controls: Option<bool>,
    /// A banner was closed.
    #[serde(default)]
    pub dismissed_org_wizard_notification: Option<bool>,
    /// A banner was closed.
    #[serde(default)]
    pub dismissed_pipelines_banner: Option<bool>,
    /// A banner was closed.
    #[serde(default)]
    pub dismissed_pipelines_github_banner: Option<bool>,
    /// The pipelines for which a banner was closed.
    #[serde(default)]
    pub dismissed_pipelines_github_banners: Option<Vec<Uuid>>,
    /// A banner was closed.
    #[serde(default)]
    pub dismissed_sms_banner: Option<bool>,
}

/// `PATCH /users/{id}/preferences`: what is named is set, `null` takes it away.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct UserPreferencesUpdate {
    /// See [`UserPreferences::timezone`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<String>")]
    pub timezone: Option<Option<String>>,
    /// See [`UserPreferences::default_organization`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<String>")]
    pub default_organization: Option<Option<String>>,
    /// See [`UserPreferences::dismissed_github_banner`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<bool>")]
    pub dismissed_github_banner: Option<Option<bool>>,
    /// See [`UserPreferences::dismissed_getting_started`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<bool>")]
    pub dismissed_getting_started: Option<Option<bool>>,
    /// See [`UserPreferences::dismissed_org_access_controls`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<bool>")]
    pub dismissed_org_access_controls: Option<Option<bool>>,
    /// See [`UserPreferences::dismissed_org_wizard_notification`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<bool>")]
    pub dismissed_org_wizard_notification: Option<Option<bool>>,
    /// See [`UserPreferences::dismissed_pipelines_banner`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<bool>")]
    pub dismissed_pipelines_banner: Option<Option<bool>>,
    /// See [`UserPreferences::dismissed_pipelines_github_banner`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<bool>")]
    pub dismissed_pipelines_github_banner: Option<Option<bool>>,
    /// See [`UserPreferences::dismissed_pipelines_github_banners`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<Vec<Uuid>>")]
    pub dismissed_pipelines_github_banners: Option<Option<Vec<Uuid>>>,
    /// See [`UserPreferences::dismissed_sms_banner`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::loose::given")]
    #[schemars(with = "Option<bool>")]
    pub dismissed_sms_banner: Option<Option<bool>>,
}

impl UserPreferences {
    /// With these changes.
    #[must_use]
    pub fn with(self, update: UserPreferencesUpdate) -> Self {
        Self {
            timezone: update.timezone.unwrap_or(self.timezone),
            default_organization: update.default_organization.unwrap_or(self.default_organization),
            dismissed_github_banner: update.dismissed_github_banner.unwrap_or(self.dismissed_github_banner),
            dismissed_getting_started: update.dismissed_getting_started.unwrap_or(self.dismissed_getting_started),
            dismissed_org_access_controls: update
                .dismissed_org_access_controls
                .unwrap_or(self.dismissed_org_access_controls),
            dismissed_org_wizard_notification: update
                .dismissed_org_wizard_notification
                .unwrap_or(self.dismissed_org_wizard_notification),
            dismissed_pipelines_banner: update.dismissed_pipelines_banner.unwrap_or(self.dismissed_pipelines_banner),
            dismissed_pipelines_github_banner: update
                .dismissed_pipelines_github_banner
                .unwrap_or(self.dismissed_pipelines_github_banner),
            dismissed_pipelines_github_banners: update
                .dismissed_pipelines_github_banners
                .unwrap_or(self.dismissed_pipelines_github_banners),
            dismissed_sms_banner: update.dismissed_sms_banner.unwrap_or(self.dismissed_sms_banner),
        }
    }
}

/// `POST /password-resets`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PasswordResetCreate {
    /// The account's address.
    pub email: String,
}

/// `POST /password-resets/{token}/actions/finalize`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PasswordResetFinalize {
    /// The new password.
    pub password: String,
    /// The same again.
    pub password_confirmation: String,
}

/// A password reset that is under way.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PasswordReset {
    /// When it was asked for.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// For whom.
    pub user: crate::UserRef,
}
