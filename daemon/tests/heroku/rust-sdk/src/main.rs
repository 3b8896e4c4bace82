//! A way through the API with heroku_rs: `heroku-rs-story URL TOKEN`.

use std::collections::HashMap;

use heroku_rs::endpoints::{apps, collaborators, config_vars, domains, formations, releases};
use heroku_rs::framework::apiclient::HerokuApiClient as _;
use heroku_rs::framework::auth::Credentials;
use heroku_rs::framework::{ApiEnvironment, HttpApiClient, HttpApiClientConfig};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let client = HttpApiClient::new(
        Credentials::UserAuthToken { token: arguments[2].clone() },
        HttpApiClientConfig::default(),
        ApiEnvironment::Custom(format!("{}/", arguments[1]).parse().unwrap()),
    )
    .unwrap();
    let app = client.request(apps::AppCreate::new().name("rusty")).unwrap();
    assert_eq!(app.name, "rusty");
    println!("created");
    let vars = HashMap::from([("COLOUR".to_owned(), "red".to_owned())]);
    client.request(&config_vars::AppConfigVarUpdate::new("rusty", vars)).unwrap();
    let vars = client.request(&config_vars::AppConfigVarDetails::new("rusty")).unwrap();
    assert_eq!(vars["COLOUR"], Some("red".to_owned()));
    println!("configured");
    wait("deployed");
    // Its own `build` puts the app's name in place of the process type.
    let mut scale = formations::FormationUpdate::new("rusty", "worker");
    scale.quantity(2);
    assert_eq!(client.request(&scale).unwrap().quantity, 2);
    let list = client.request(&releases::ReleaseList::new("rusty")).unwrap();
    assert!(list.iter().any(|release| release.description.contains("COLOUR")), "{list:?}");
    let friend = collaborators::CollaboratorCreate::new("rusty", "friend@example.com");
    client.request(&friend).unwrap();
    client.request(&collaborators::CollaboratorDelete::new("rusty", "friend@example.com")).unwrap();
    let domain = client.request(&domains::DomainCreate::new("rusty", "rusty.example.com")).unwrap();
    assert_eq!(domain.kind, "custom");
    client.request(&domains::DomainDelete::new("rusty", "rusty.example.com")).unwrap();
    client.request(&apps::AppDelete::new("rusty")).unwrap();
    assert!(client.request(&apps::AppDetails::new("rusty")).is_err());
    println!("done");
}

/// Waits for a line on stdin.
fn wait(what: &str) {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    assert_eq!(line.trim(), what);
}
