//! How things are called on the engine, and the labels by which they are found again.

use std::collections::HashMap;

use uuid::Uuid;

/// uid and gid of everything that runs in dynos and builds.
pub(super) const DYNO_UID: u32 = 10_001;
/// The same, the way Docker wants it.
pub(super) const DYNO_USER: &str = "10001:10001";

/// Which data directory a thing belongs to.
pub(super) const INSTANCE: &str = "paas.instance";
/// dyno, build or addon.
pub(super) const KIND: &str = "paas.kind";
/// An app's name.
pub(super) const APP: &str = "paas.app";
/// An app's id.
pub(super) const APP_ID: &str = "paas.app-id";
/// `web.1`.
pub(super) const DYNO: &str = "paas.dyno";
/// A dyno's id.
pub(super) const DYNO_ID: &str = "paas.dyno-id";
/// formation, one-off or release.
pub(super) const DYNO_KIND: &str = "paas.dyno-kind";
/// A release's version.
pub(super) const RELEASE: &str = "paas.release";
/// A build's id.
pub(super) const BUILD: &str = "paas.build";
/// An add-on's id.
pub(super) const ADDON_ID: &str = "paas.addon-id";
/// An add-on's name.
pub(super) const ADDON: &str = "paas.addon";
/// A digest of a service's spec: another one means that the container must be remade.
pub(super) const SPEC: &str = "paas.spec";

/// A dyno's container.
pub(super) fn dyno(id: Uuid) -> String {
    format!("paas-dyno-{}", id.simple())
}

/// A dyno's `/app` volume.
pub(super) fn dyno_volume(id: Uuid) -> String {
    format!("paas-app-{}", id.simple())
}

/// A service's container.
pub(super) fn service(id: Uuid) -> String {
    format!("paas-addon-{}", id.simple())
}

/// A service's data.
pub(super) fn service_volume(id: Uuid) -> String {
    format!("paas-data-{}", id.simple())
}

/// An app's network. Docker's name has 12 digits of the id, the bridge's 10 (the kernel takes
/// 15 bytes). The *last* digits: a v7 id begins with the time, and two apps of one instant
/// must not share them.
pub(super) fn network(app_id: Uuid) -> String {
    format!("paas-{}", tail(app_id, 12))
}

/// The bridge of an app's network.
pub(super) fn bridge(app_id: Uuid) -> String {
    format!("paas-{}", tail(app_id, 10))
}

/// The network and bridge of builds.
pub(super) const BUILD_NETWORK: &str = "paas-build";
/// The network and bridge on which add-ons are at home.
pub(super) const ADDON_NETWORK: &str = "paas-addons";

fn tail(id: Uuid, digits: usize) -> String {
    let all = id.simple().to_string();
    all[all.len() - digits..].to_owned()
}

/// Docker's filter for things with all of these labels.
pub(super) fn labelled<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> HashMap<String, Vec<String>> {
    let wanted = labels.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    HashMap::from([("label".to_owned(), wanted)])
}

/// A label read as an id.
pub(super) fn id_label(labels: &HashMap<String, String>, key: &str) -> Option<Uuid> {
    labels.get(key)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bridges_fit_the_kernel_and_differ_for_apps_of_one_instant() {
        let one: Uuid = "0193a2b4-c5d6-7e8f-9a0b-1c2d3e4f5a6b".parse().unwrap_or_default();
        let two: Uuid = "0193a2b4-c5d6-7e8f-9a0b-1c2d3e4f5a6c".parse().unwrap_or_default();
        assert_eq!(bridge(one), "paas-2d3e4f5a6b");
        assert_eq!(network(one), "paas-1c2d3e4f5a6b");
        assert!(bridge(one).len() <= 15);
        assert_ne!(bridge(one), bridge(two));
    }
}
