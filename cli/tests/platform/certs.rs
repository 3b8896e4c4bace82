//! `certs…`, and domains with certificates.

use std::os::unix::fs::PermissionsExt as _;

use paas_wire::domain::DomainKind;
use serde_json::{Value, json};

use crate::util::World;
use crate::util::things::{app, at, domain, id, named};

pub(crate) fn endpoint(name: &str) -> Value {
    json!({
        "app": {"id": id(1), "name": "myapp"}, "certificate_chain": "-----BEGIN CERTIFICATE-----", "created_at": at(),
        "display_name": name, "domains": [id(6)], "id": id(30), "name": name, "updated_at": at(),
        "ssl_cert": {
            "acm": false, "ca_signed?": false, "cert_domains": ["*.example.com"], "expires_at": at(),
            "fingerprint": "ab".repeat(32), "id": id(31), "issuer": "/CN=Test CA", "self_signed?": false,
            "starts_at": at(), "subject": "/CN=*.example.com",
        },
    })
}

#[test]
fn certs() {
    let world = World::new();
    let mut waiting = domain("www.example.com", DomainKind::Custom);
    waiting.acm_status = Some("pending".into());
    waiting.acm_status_reason = Some("The server is not set up for it.".into());
    let mut on = app("myapp");
    on.acm = true;
    world
        .stub
        .json("GET /apps/none/sni-endpoints", &Vec::<Value>::new())
        .json("GET /apps/myapp/sni-endpoints", &[endpoint("brave-river-1")])
        .json("POST /apps/myapp/sni-endpoints", &endpoint("brave-river-1"))
        .json("PATCH /apps/myapp/sni-endpoints/brave-river-1", &endpoint("brave-river-1"))
        .json("DELETE /apps/myapp/sni-endpoints/brave-river-1", &endpoint("brave-river-1"))
        .json("GET /apps/myapp/domains", &[domain("myapp.localhost", DomainKind::Heroku), waiting.clone()])
        .json("PATCH /apps/myapp/domains/www.example.com", &waiting)
        .json("GET /apps/myapp", &on)
        .json("POST /apps/myapp/acm", &on)
        .json("PATCH /apps/myapp/acm", &on)
        .json("DELETE /apps/myapp/acm", &app("myapp"));
    for (file, text) in [("a.crt", "the chain"), ("a.key", "the key")] {
        std::fs::write(world.work().join(file), text).unwrap();
    }
    insta::assert_snapshot!(world.shows(&[
        "certs -a none",
        "certs:info -a none",
        "certs",
        "certs:add a.crt a.key",
        "certs:add a.crt a.key --domain www.example.com",
        "certs:add missing.crt a.key",
        "certs:info --show-domains",
        "certs:info --name other",
        "certs:update a.crt a.key",
        "certs:update a.crt a.key --confirm myapp",
        "certs:remove --confirm myapp",
        "certs:auto",
        "certs:auto --wait",
        "certs:auto:enable",
        "certs:auto:refresh",
        "certs:auto:disable --confirm myapp",
        "domains:update www.example.com --cert brave-river-1",
    ]));
    let calls = world.stub.calls();
    assert!(
        calls.contains(
            &r#"POST /apps/myapp/sni-endpoints {"certificate_chain":"the chain","private_key":"the key"}"#.to_owned()
        ),
        "{calls:#?}"
    );
    assert!(
        calls.contains(&r#"PATCH /apps/myapp/domains/www.example.com {"sni_endpoint":"brave-river-1"}"#.to_owned()),
        "{calls:#?}"
    );
}

#[test]
fn one_of_several_is_named() {
    let world = World::new();
    let mut served = domain("www.example.com", DomainKind::Custom);
    served.sni_endpoint = Some(named("second"));
    served.sni_endpoint.as_mut().unwrap().id = id(99);
    let mut second = endpoint("second");
    second["id"] = json!(id(99));
    world
        .stub
        .json("GET /apps/myapp/sni-endpoints", &[endpoint("first"), second])
        .json("GET /apps/myapp/domains", &[served]);
    assert_ne!(world.run(&["certs:info"]).code, 0);
    assert!(world.run(&["certs:info", "--name", "first"]).stdout.contains("first"));
    assert!(world.run(&["certs:info", "--endpoint", "www.example.com"]).stdout.contains("second"));
}

#[test]
fn keys_and_certificates_are_made_and_never_written_over() {
    let world = World::new();
    world.stub.json("GET /apps/myapp/sni-endpoints", &[endpoint("brave-river-1")]);
    let read = |file: &str| std::fs::read_to_string(world.work().join(file)).unwrap();
    let run =
        world.run(&["certs:generate", "www.example.com", "--selfsigned", "--owner", "Example", "--country", "SE"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("paas certs:add www.example.com.crt www.example.com.key -a myapp"), "{}", run.stderr);
    assert!(read("www.example.com.crt").starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(read("www.example.com.key").starts_with("-----BEGIN PRIVATE KEY-----"));
    let mode = std::fs::metadata(world.work().join("www.example.com.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = read("www.example.com.key");
    assert_ne!(world.run(&["certs:generate", "www.example.com", "--now"]).code, 0);
    assert_eq!(read("www.example.com.key"), before);

    let run = world.run(&["certs:generate", "*.example.com", "--subject", "/C=SE/CN=example.com"]);
    assert!(run.stderr.contains("paas certs:update CERTFILE *.example.com.key"), "{}", run.stderr);
    assert!(read("*.example.com.csr").starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
    for bad in [&["certs:generate", "../evil"][..], &["certs:generate", "a.com", "--subject", "/XX=1"]] {
        assert_ne!(world.run(bad).code, 0, "{bad:?}");
    }
    assert!(!world.work().join("a.com.key").exists());
}
