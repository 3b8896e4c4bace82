//! What each worker has for itself.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::net::SocketAddr;
use std::time::Duration;

use paas_router::Settings;
use util::backend::Dyno;
use util::client::{get, send};
use util::{House, patient, serving};

/// Sockets that listen on an IPv4 address (proc(5): the address in the machine's order, state 0A).
fn listening(addr: SocketAddr) -> usize {
    let SocketAddr::V4(addr) = addr else { panic!("{addr} is no IPv4 address") };
    let wanted = format!("{:08X}:{:04X}", u32::from_ne_bytes(addr.ip().octets()), addr.port());
    let sockets = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let fields = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields.filter(|fields| fields[1] == wanted && fields[3] == "0A").count()
}

/// One socket of each takes connections, and each keeps its own to a dyno.
#[tokio::test]
async fn each_worker_has_its_listener_and_its_connections_to_dynos() {
    for threads in [1, 3] {
        let dyno = Dyno::text("x").await;
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { threads: Some(threads), ..util::settings(dir.path(), patient()) };
        let house = House::from(dir, serving(1, &[dyno.addr]), settings).await;
        assert_eq!(listening(house.addr), threads);
        // Chance brings some to each.
        let all = async {
            while dyno.connections() < threads {
                send(house.addr, &get("/", "")).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), all).await.expect("a worker gets no connection");
        for _ in 0..50 {
            send(house.addr, &get("/", "")).await;
        }
        assert_eq!(dyno.connections(), threads, "each is used again");
    }
}
