//! What a dyno can't do.

use std::net::TcpListener;

use paas_daemon::engine::Engine;
use uuid::Uuid;

use super::util::{Bench, Which, run, run_with};

/// A command that says whether something answers there.
fn knock(address: &str, port: u16) -> String {
    format!("if timeout 3 bash -c '</dev/tcp/{address}/{port}' 2>/dev/null; then echo open; else echo closed; fi")
}

#[test]
fn the_process_has_no_power() {
    run(Which::Docker, async |bench| {
        let (_, out) = bench
            .run("id -u; id -g; grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; ulimit -n; ulimit -c; hostname")
            .await;
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[..2], ["10001", "10001"]);
        let status: Vec<String> = lines[2..6].iter().map(|line| line.replace('\t', "")).collect();
        assert_eq!(status, ["CapEff:0000000000000000", "CapBnd:0000000000000000", "NoNewPrivs:1", "Seccomp:2"]);
        assert!(lines[6].parse::<u64>().unwrap() <= 10_000);
        assert_eq!(lines[7], "0");
        assert!(lines[8].parse::<Uuid>().is_ok(), "{}", lines[8]);
    });
}

#[test]
fn only_app_and_tmp_can_be_written() {
    run(Which::Docker, async |bench| {
        let places = "/ /usr /usr/bin /etc /var /var/tmp /home /root /run /paas-init /opt /srv";
        let (_, out) = bench
            .run(&format!("for place in {places}; do if touch $place/x 2>/dev/null || touch $place 2>/dev/null; then echo $place; fi; done; touch /app/x /tmp/x /dev/shm/x && echo ok"))
            .await;
        assert_eq!(out, "ok");
    });
}

#[test]
fn a_fork_bomb_hits_its_limit() {
    run(Which::Docker, async |bench| {
        let spec = bench
            .start("bomb() { bomb | bomb & }; bomb 2>/dev/null; echo lit; sleep 2; echo survived; sleep 1000")
            .await;
        bench.line(spec.id, "lit").await;
        let usage = bench.engine.usage(spec.id).await.unwrap().unwrap();
        assert!(usage.pids <= u64::from(spec.limits.pids), "{usage:?}");
        // It is removed like any other.
        bench.engine.remove(spec.id).await.unwrap();
        assert!(bench.find(spec.id).await.is_none());
    });
}

#[test]
fn apps_reach_their_own_dynos_and_no_others() {
    run(Which::Docker, async |bench| {
        let server = "echo ready; while :; do python3 -m http.server 8000 >/dev/null 2>&1; done";
        let web = bench.start(server).await;
        bench.line(web.id, "ready").await;
        let address = bench.find(web.id).await.unwrap().address.unwrap();
        bench.until("the dyno answers this host", async || std::net::TcpStream::connect((address, 8000)).ok()).await;
        assert_eq!(bench.run(&knock(&address.to_string(), 8000)).await.1, "open");

        let mut stranger = bench.spec(&knock(&address.to_string(), 8000));
        stranger.app_id = Uuid::new_v4();
        bench.engine.start(&stranger).await.unwrap();
        assert_eq!(bench.lines(stranger.id).await, ["closed"]);
    });
}

#[test]
fn the_host_answers_at_the_routers_ports_only() {
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    // Not one that a daemon that was here before had for its router.
    let free = |listener: &TcpListener| !rules("iptables", "PAAS-INPUT").contains(&port(listener).to_string());
    let [router, other] =
        [(); 2].map(|()| std::iter::repeat_with(|| TcpListener::bind("0.0.0.0:0").unwrap()).find(free).unwrap());
    let ports = vec![port(&router)];
    run_with(
        Which::Docker,
        |config| config.router_ports = ports,
        async |bench: std::sync::Arc<Bench>| {
            let findings = bench.engine.prepare().await.unwrap();
            assert_eq!(bench.engine.prepare().await.unwrap(), findings, "a second time changes nothing");
            assert!(!findings.iter().any(|finding| finding.contains(" iptables:")), "{findings:?}");
            let spec = bench.start("sleep 1000").await;
            let address = bench.find(spec.id).await.unwrap().address.unwrap();
            let std::net::IpAddr::V4(own) = address else { panic!("{address}") };
            let bridge = std::net::Ipv4Addr::from((u32::from(own) & !63) + 1).to_string();
            let host = host_address();
            for address in [&bridge, &host] {
                assert_eq!(bench.run(&knock(address, port(&router))).await.1, "open", "{address}");
                assert_eq!(bench.run(&knock(address, port(&other))).await.1, "closed", "{address}");
            }
            // Refused at once, not after a time-out: the cloud's metadata service.
            let metadata = "timeout 2 bash -c '</dev/tcp/169.254.169.254/80' 2>/dev/null; echo $?";
            assert_eq!(bench.run(metadata).await.1, "1");
            for (tool, address) in [
                ("iptables", "169.254.0.0/16"),
                ("iptables", "100.100.100.200/32"),
                ("iptables", "168.63.129.16/32"),
                ("ip6tables", "fd00:ec2::254/128"),
            ] {
                let rules = rules(tool, "PAAS-FORWARD");
                // Without support for IPv6 in the kernel there is nothing to keep dynos off.
                let absent = tool == "ip6tables" && findings.iter().any(|finding| finding.contains(" ip6tables:"));
                let refused = rules.find(&format!("-A PAAS-FORWARD -d {address} -j REJECT"));
                assert!(absent || refused.is_some(), "{address}: {rules}");
                for protocol in ["udp", "tcp"] {
                    let names =
                        format!("-A PAAS-FORWARD -d {address} -p {protocol} -m {protocol} --dport 53 -j RETURN");
                    let named = rules.find(&names);
                    assert!(absent || named.is_some() && named < refused, "{address}: {rules}");
                }
            }
            // The other way, dynos answer the host.
            let web = bench.start("echo ready; exec python3 -m http.server 8000").await;
            let address = bench.find(web.id).await.unwrap().address.unwrap();
            bench.until("the dyno answers", async || std::net::TcpStream::connect((address, 8000)).ok()).await;

            // Rules of this instance go with its ports.
            let docker = bench.docker.as_ref().unwrap();
            let mut config = docker.config().clone();
            let comment = format!("paas:{}", config.instance);
            assert!(rules("iptables", "PAAS-INPUT").contains(&comment));
            config.router_ports = vec![];
            paas_daemon::engine::docker::DockerEngine::new(config).prepare().await.unwrap();
            assert!(!rules("iptables", "PAAS-INPUT").contains(&comment));
        },
    );
}

/// An address of this host other than the loopback and bridges: what a dyno would find out.
fn host_address() -> String {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent: connecting only chooses the way out.
    match socket.connect("192.0.2.1:9") {
        Ok(()) => socket.local_addr().unwrap().ip().to_string(),
        Err(_) => "172.17.0.1".into(),
    }
}

fn rules(tool: &str, chain: &str) -> String {
    let output = std::process::Command::new(tool).args(["-w", "10", "-S", chain]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
