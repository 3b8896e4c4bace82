//! The table of routes itself.

use std::collections::BTreeSet;

use paas_daemon::api;

#[test]
fn every_endpoint_is_told_once_and_has_a_handler_of_its_own() {
    let (_, list) = api::endpoints().split();
    let addresses: BTreeSet<_> = list.iter().map(|e| (e.path, e.method.to_string())).collect();
    assert_eq!(addresses.len(), list.len(), "an endpoint is there twice");
    assert!(list.iter().all(|e| e.name.starts_with("api::")), "{list:#?}");
}
