//! Add-ons as they are shown, and what `Accept-Expansion` asks to see of them in full: their
//! service and their plan, which are named with id and name otherwise. What clients read
//! without asking (the plan's price) is always there.

use axum::http::HeaderMap;
use paas_wire as wire;

use super::{
    services::{plan_view, service_view},
    view::{addon_state, app_ref},
};
use crate::ops::addons::Shown;

/// What is to be shown in full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Expand {
    service: bool,
    plan: bool,
}

impl Expand {
    /// What a request's `Accept-Expansion` names: `addon_service,plan`.
    pub(super) fn asked(headers: &HeaderMap) -> Self {
        let values = headers.get_all("accept-expansion").into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|text| text.split(',')).map(str::trim).fold(Self::default(), |all, word| Self {
            service: all.service || word == "addon_service",
            plan: all.plan || word == "plan",
        })
    }
}

/// An add-on's plan, whole or by name and price.
pub(super) fn plan(shown: &Shown, whole: bool) -> wire::plan::PlanRef {
    let plan = plan_view(shown.provider.service(), shown.addon.service_name(), shown.plan);
    let mut plan = wire::plan::PlanRef::from(plan);
    if !whole {
        plan.rest = None;
    }
    plan
}

/// An add-on.
pub(super) fn addon(shown: &Shown, expand: Expand) -> wire::Addon {
    let addon = &shown.addon;
    let service = service_view(shown.provider.service(), addon.service_name());
    let mut service = wire::addon_service::AddonServiceRef::from(service);
    if !expand.service {
        service.rest = None;
    }
    wire::Addon {
        actions: Vec::new(),
        addon_service: service,
        app: app_ref(&shown.app),
        billed_price: Some(wire::Price::default()),
        billing_entity: Some(wire::addon::BillingEntity {
            id: shown.app.id,
            name: shown.app.name.clone(),
            kind: "app".into(),
        }),
        config_vars: shown.config_vars.clone(),
        created_at: addon.created_at,
        id: addon.id,
        name: addon.name.clone(),
        plan: plan(shown, expand.plan),
        provider_id: Some(addon.id.to_string()),
        provision_message: addon.message.clone().unwrap_or_default(),
        state: addon_state(&addon.state),
        updated_at: addon.updated_at,
        web_url: Some(shown.dashboard.clone()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn words_of_the_header() {
        let asked = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("accept-expansion", value.parse().unwrap());
            Expand::asked(&headers)
        };
        assert_eq!(asked("addon_service,plan"), Expand { service: true, plan: true });
        assert_eq!(asked(" plan , other"), Expand { service: false, plan: true });
        assert_eq!(Expand::asked(&HeaderMap::new()), Expand::default());
    }
}
