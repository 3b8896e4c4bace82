//! `/addon-services/{service}/plans`, `/plans/{plan}`: what a service is offered as.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::addon_service::AddonServiceRef;

/// A plan of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Its service.
    pub addon_service: AddonServiceRef,
    /// Rules of law it keeps.
    #[serde(default)]
    pub compliance: Option<Vec<String>>,
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Whether it is taken when no plan is named.
    #[serde(default)]
    pub default: bool,
    /// What one gets.
    pub description: String,
    /// The name that people read, e.g. `Mini`.
    pub human_name: String,
    /// Id.
    pub id: Uuid,
    /// Whether it can be had in a private network.
    #[serde(default)]
    pub installable_inside_private_network: bool,
    /// Whether it can be had outside of one.
    #[serde(default)]
    pub installable_outside_private_network: bool,
    /// Unique name with the service, e.g. `redis:mini`.
    pub name: String,
    /// What it costs; always nothing here.
    #[serde(default)]
    pub price: Price,
    /// Whether it is the default in a private network.
    #[serde(default)]
    pub space_default: bool,
    /// `alpha`, `beta`, `ga` …
    pub state: String,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
    /// Whether it is listed.
    #[serde(default)]
    pub visible: bool,
}

/// What something costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    /// Cents a unit.
    #[serde(default)]
    pub cents: u64,
    /// Whether a contract settles it.
    #[serde(default)]
    pub contract: bool,
    /// Per `month`, …
    pub unit: String,
}

impl Default for Price {
    fn default() -> Self {
        Self { cents: 0, contract: false, unit: "month".to_owned() }
    }
}

/// A plan as add-ons name it; clients read the price here without asking for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanRef {
    /// Id.
    pub id: Uuid,
    /// Unique name with the service.
    pub name: String,
    /// The name that people read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub human_name: Option<String>,
    /// What one gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// The rest of it; there when the client asked to expand it.
    #[serde(flatten)]
    pub rest: Option<PlanRest>,
}

impl From<Plan> for PlanRef {
    fn from(plan: Plan) -> Self {
        Self {
            id: plan.id,
            name: plan.name,
            human_name: Some(plan.human_name),
            description: Some(plan.description),
            price: Some(plan.price),
            rest: Some(PlanRest {
                addon_service: plan.addon_service,
                compliance: plan.compliance,
                created_at: plan.created_at,
                default: plan.default,
                installable_inside_private_network: plan.installable_inside_private_network,
                installable_outside_private_network: plan.installable_outside_private_network,
                space_default: plan.space_default,
                state: plan.state,
                updated_at: plan.updated_at,
                visible: plan.visible,
            }),
        }
    }
}

/// What an expanded plan has besides its names and price; as in [`Plan`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanRest {
    /// Its service.
    pub addon_service: AddonServiceRef,
    /// Rules of law it keeps.
    pub compliance: Option<Vec<String>>,
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Whether it is taken when no plan is named.
    pub default: bool,
    /// Whether it can be had in a private network.
    pub installable_inside_private_network: bool,
    /// Whether it can be had outside of one.
    pub installable_outside_private_network: bool,
    /// Whether it is the default in a private network.
    pub space_default: bool,
    /// `alpha`, `beta`, `ga` …
    pub state: String,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
    /// Whether it is listed.
    pub visible: bool,
}
