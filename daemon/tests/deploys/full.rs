//! The disk of the data directory is truly full: a small one of the test's own.

use std::{fs, io::Write as _, process::Command};

use serde_json::json;

use crate::util::Server;

/// Writes until the disk is full.
fn fill(server: &Server) {
    let mut file = fs::File::create(server.root.join("data/fill")).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

#[test]
fn a_disk_that_is_full_is_told_and_nothing_is_left_half_done() {
    // Dynos may be started and builds begun until it is full: no reserve.
    let server = Server::start_with("enospc", &[("PAAS_DISK_RESERVE", "0"), ("PAAS_STOP_GRACE", "5")], |data| {
        fs::create_dir(data).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=96m", "tmpfs"]).arg(data).output().unwrap();
        assert!(mounted.status.success(), "{mounted:?}");
    });
    let app = server.app("enospc");
    let copy = server.copy(&app);
    copy.write("Procfile", "web: python3 -m http.server $PORT\n");
    copy.commit("Second");
    let (taken, said) = copy.push(&["main"]);
    assert!(taken, "{said}");
    server.settled(&[(&app, &[("web", 1)])]);
    for round in 0..2 {
        let version = server.version(&app);
        let commit = copy.there("main").unwrap();
        fill(&server);
        let full = |what: &str, (status, body): (u16, serde_json::Value)| {
            let text = body["message"].as_str().unwrap_or_default();
            assert!(status == 503 && text.contains("full"), "{what}: {status} {body}");
        };
        let path = format!("/apps/{app}");
        // On Postgres the rows have room elsewhere; the dyno has not.
        let on_sqlite = std::env::var_os("PAAS_TEST_DATABASE_URL").is_none();
        if on_sqlite {
            full(
                "config:set",
                server.send("PATCH", &format!("{path}/config-vars"), &json!({"BIG": "x".repeat(60_000)})),
            );
            full(
                "run",
                server.send(
                    "POST",
                    &format!("{path}/dynos"),
                    &json!({"command": format!("true {}", "x".repeat(9000))}),
                ),
            );
        }
        copy.write("noise", format!("{round} {}", "noise ".repeat(round + 1)));
        copy.commit("While it is full");
        let (taken, said) = copy.push(&["main"]);
        assert!(!taken, "{said}");
        eprintln!("a push said:\n{said}");
        assert!(["full", "No space left", "disk"].iter().any(|sign| said.contains(sign)), "{said}");
        // What is there can be looked at still, and goes on.
        assert_eq!(server.version(&app), version);
        assert_eq!(server.dynos(&app).len(), 1);
        fs::remove_file(server.root.join("data/fill")).unwrap();

        assert_eq!(copy.there("main").unwrap(), commit);
        assert!(server.get(&format!("{path}/config-vars"))["BIG"].is_null());
        server.settled(&[(&app, &[("web", 1)])]);
        server.set(&app, "ROUND", &round.to_string());
        let (taken, said) = copy.push(&["main"]);
        assert!(taken, "{said}");
        server.scale(&app, &[("web", 2)]);
        server.settled(&[(&app, &[("web", 2)])]);
        server.scale(&app, &[("web", 1)]);
        server.settled(&[(&app, &[("web", 1)])]);
    }
}
