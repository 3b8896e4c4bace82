//! Session affinity: visitors come back to the dyno that answered first.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use paas_domain::route::{Balancing, RouteState, RouteTable};
use paas_router::Limits;
use tokio::io::AsyncWriteExt;
use util::backend::{Dyno, head};
use util::client::{connect, get, read_to, send, status_of};
use util::{House, app, patient, serving, table, tls};
use uuid::Uuid;

/// Answers with its name and the cookies that it got; with a cookie of its own.
async fn dyno(name: &'static str) -> Dyno {
    Dyno::http(move |request| async move {
        let cookies: Vec<_> = request.headers().get_all("cookie").iter().map(|line| line.to_str().unwrap()).collect();
        let text = format!("{name}|{}", cookies.join("|"));
        let mut response = Response::new(Full::from(text));
        response.headers_mut().insert("set-cookie", "own=1".parse().unwrap());
        response
    })
    .await
}

fn sticky(generation: u64, backends: &[SocketAddr]) -> RouteTable {
    let mut app = app(RouteState::Serving, backends);
    app.rules.affinity = true;
    table(generation, vec![app])
}

fn body(answer: &str) -> (&str, &str) {
    answer.rsplit("\r\n\r\n").next().unwrap().split_once('|').unwrap()
}

/// What the router sets, without its attributes; they are as expected.
fn cookie(answer: &str) -> Option<String> {
    let line = answer.lines().find(|line| line.starts_with("set-cookie: heroku-session-affinity="))?;
    let (pair, attributes) = line.strip_prefix("set-cookie: ").unwrap().split_once("; ").unwrap();
    assert_eq!(attributes, "Max-Age=86400; Path=/; HttpOnly");
    Some(pair.to_owned())
}

#[tokio::test]
async fn a_visitor_comes_back_to_its_dyno() {
    let dynos = [dyno("one").await, dyno("two").await, dyno("three").await];
    let addrs: Vec<SocketAddr> = dynos.iter().map(|dyno| dyno.addr).collect();
    let house = House::with(sticky(1, &addrs), patient()).await;
    let mut visitors = BTreeSet::new();
    // Chance has to bring one to each dyno: of 300 all miss one of three dynos once in 10^52 times.
    for _ in 0..300 {
        if visitors.len() == dynos.len() {
            break;
        }
        let first = send(house.addr, &get("/", "")).await;
        let pair = cookie(&first).unwrap_or_else(|| panic!("{first}"));
        assert!(first.contains("\r\nset-cookie: own=1\r\n"), "{first}");
        let token = pair.split_once('=').unwrap().1;
        assert!(token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
        assert!(!dynos.iter().any(|dyno| {
            // Nothing of the dyno's own.
            let id = Uuid::from_u128(u128::from(dyno.addr.port())).simple().to_string();
            token.contains(&id) || id.contains(token)
        }));
        for _ in 0..6 {
            let again = send(house.addr, &get("/", &format!("Cookie: a=1; {pair}; b=2\r\n"))).await;
            // As on Heroku the dyno sees the cookie, and the visitor doesn't get it anew.
            assert_eq!(body(&again), (body(&first).0, format!("a=1; {pair}; b=2").as_str()));
            assert_eq!(cookie(&again), None, "{again}");
        }
        visitors.insert((body(&first).0.to_owned(), pair));
    }
    // Each has one value, and no two the same.
    let (names, values): (BTreeSet<_>, BTreeSet<_>) = visitors.iter().cloned().unzip();
    assert_eq!((visitors.len(), names.len(), values.len()), (3, 3, 3), "{visitors:?}");
}

#[tokio::test]
async fn when_its_dyno_is_gone_a_visitor_gets_another_and_stays_there() {
    let (one, two) = (dyno("one").await, dyno("two").await);
    let limits = Limits { quarantine: patient().queue, ..patient() };
    let house = House::with(sticky(1, &[one.addr]), limits).await;
    let of_one = cookie(&send(house.addr, &get("/", "")).await).unwrap();
    house.set(sticky(2, &[one.addr, two.addr])).await;
    one.dies();
    while tokio::net::TcpStream::connect(one.addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    // It is in the table, but can't be connected to.
    let answer = send(house.addr, &get("/", &format!("Cookie: {of_one}\r\n"))).await;
    assert_eq!(body(&answer).0, "two", "{answer}");
    let of_two = cookie(&answer).unwrap();
    assert_ne!(of_one, of_two);
    house.set(sticky(3, &[two.addr])).await;
    for (sent, set) in [
        (of_two.as_str(), false),
        (of_one.as_str(), true),
        ("heroku-session-affinity=", true),
        ("heroku-session-affinity=../../etc/passwd", true),
        // The one that fits counts.
        (&format!("{of_one}; {of_two}"), false),
    ] {
        let answer = send(house.addr, &get("/", &format!("Cookie: {sent}\r\n"))).await;
        assert_eq!((status_of(&answer), cookie(&answer).is_some()), (200, set), "{sent}: {answer}");
    }
}

#[tokio::test]
async fn without_the_feature_there_is_no_cookie_and_least_connections_knows_its_visitors() {
    let (one, two) = (dyno("one").await, dyno("two").await);
    let house = House::with(serving(1, &[one.addr, two.addr]), patient()).await;
    assert_eq!(cookie(&send(house.addr, &get("/", "")).await), None);
    let mut both = sticky(2, &[one.addr, two.addr]);
    both.apps[0].rules.balancing = Balancing::LeastConnections;
    house.set(both).await;
    let first = send(house.addr, &get("/", "")).await;
    let pair = cookie(&first).unwrap();
    for _ in 0..10 {
        let again = send(house.addr, &get("/", &format!("Cookie: {pair}\r\n"))).await;
        assert_eq!(body(&again).0, body(&first).0);
    }
}

#[tokio::test]
async fn over_http2_where_each_cookie_has_its_own_line() {
    let dynos = [dyno("one").await, dyno("two").await, dyno("three").await];
    let addrs: Vec<SocketAddr> = dynos.iter().map(|dyno| dyno.addr).collect();
    let (_house, addr, trusted) = tls::house(sticky(1, &addrs), patient()).await;
    let mut client = tls::http2("demo.localhost", &addr, &trusted).await;
    let request = || hyper::Request::get("https://demo.localhost/").header("cookie", "a=1");
    let first = client.send_request(request().body(Full::new(Bytes::new())).unwrap()).await.unwrap();
    let set: Vec<_> =
        first.headers().get_all("set-cookie").iter().map(|set| set.to_str().unwrap().to_owned()).collect();
    let ours = set.iter().find(|set| set.starts_with("heroku-session-affinity=")).unwrap();
    assert!(set.len() == 2 && ours.ends_with("; Max-Age=86400; Path=/; HttpOnly; Secure"), "{set:?}");
    let pair = ours.split(';').next().unwrap();
    let first = first.into_body().collect().await.unwrap().to_bytes();
    let name = std::str::from_utf8(&first).unwrap().split('|').next().unwrap();
    for _ in 0..10 {
        let request = request().header("cookie", pair).header("cookie", "b=2").body(Full::new(Bytes::new())).unwrap();
        let again = client.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(again, format!("{name}|a=1; {pair}; b=2"));
    }
}

#[tokio::test]
async fn websockets_too() {
    let socket = |name: &'static str| {
        Dyno::raw(move |mut stream| async move {
            head(&mut stream).await;
            let answer =
                format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n{name}.");
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
    };
    let (one, two) = (socket("one").await, socket("two").await);
    let house = House::with(sticky(1, &[one.addr, two.addr]), patient()).await;
    let handshake = |lines: String| {
        let addr = house.addr;
        async move {
            let mut client = connect(addr).await;
            let request =
                format!("GET / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: Upgrade\r\nUpgrade: x\r\n{lines}\r\n");
            client.write_all(request.as_bytes()).await.unwrap();
            let head = read_to(&mut client, "\r\n\r\n").await;
            assert_eq!(status_of(&head), 101, "{head}");
            (cookie(&head), read_to(&mut client, ".").await)
        }
    };
    let (pair, name) = handshake(String::new()).await;
    let pair = pair.unwrap();
    for _ in 0..10 {
        assert_eq!(handshake(format!("Cookie: {pair}\r\n")).await, (None, name.clone()));
    }
}
