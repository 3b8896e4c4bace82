//! Bodies of requests, where the dyno takes them slowly and where the client stops.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use paas_domain::route::{AppRoute, RouteState, RouteTable, Rules};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use util::backend::{Dyno, head};
use util::client::{rest, status_of};
use util::h2::{Client, DATA, END_HEADERS, END_STREAM, End, HEADERS, frame, header, pseudo};
use util::{House, REQUEST_ID, app, limits, patient, table, tls};

/// What the kernel may keep for the router: of the client's connection what has come, of the
/// dyno's what is to go; bytes.
fn kernel_keeps() -> usize {
    let most = |name: &str| -> usize {
        let text = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap();
        text.split_whitespace().last().unwrap().parse().unwrap()
    };
    most("tcp_rmem") + most("tcp_wmem")
}

/// What clients, dynos and the router's own windows may hold besides, bytes.
const OTHERS: usize = 2 << 20;

fn socket() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    socket.set_send_buffer_size(64 * 1024).unwrap();
    socket
}

/// An address for a dyno that keeps little for itself.
fn listener() -> TcpListener {
    let socket = socket();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    socket.listen(16).unwrap()
}

/// Takes no byte of a body before it is let, and then says how many there were.
fn dyno_of_http1(gate: Arc<Semaphore>) -> Dyno {
    Dyno::on(listener(), move |mut stream| {
        let gate = Arc::clone(&gate);
        async move {
            let head = head(&mut stream).await.to_lowercase();
            let length = head.split_once("content-length: ").unwrap().1.split_once('\r').unwrap().0;
            let length: usize = length.parse().unwrap();
            gate.acquire().await.unwrap().forget();
            let mut buffer = vec![0; 64 * 1024];
            let mut taken = 0;
            while taken < length {
                taken += stream.read(&mut buffer).await.unwrap();
            }
            let said = format!("took {taken}.");
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{said}", said.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
}

fn dyno_of_http2(gate: Arc<Semaphore>) -> Dyno {
    Dyno::on(listener(), move |stream| {
        let gate = Arc::clone(&gate);
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let gate = Arc::clone(&gate);
                tokio::spawn(async move {
                    gate.acquire().await.unwrap().forget();
                    let mut body = request.into_body();
                    let mut taken = 0;
                    while let Some(data) = body.data().await {
                        let data = data.unwrap();
                        body.flow_control().release_capacity(data.len()).unwrap();
                        taken += data.len();
                    }
                    let mut answer = respond.send_response(hyper::Response::new(()), false).unwrap();
                    answer.send_data(format!("took {taken}.").into(), true).unwrap();
                });
            }
        }
    })
}

fn of(dyno: &Dyno, http2: bool) -> RouteTable {
    let rules = Rules { http2, ..Rules::default() };
    table(1, vec![AppRoute { rules, ..app(RouteState::Serving, &[dyno.addr]) }])
}

/// Waits until nothing more is taken; how much was. Ending too early would only be too kind.
async fn stuck(sent: &mut watch::Receiver<usize>) -> usize {
    while tokio::time::timeout(Duration::from_millis(500), sent.changed()).await.is_ok() {}
    *sent.borrow()
}

/// Sends all of a body and tells how far it is; gives the answer.
async fn upload_by_http1(mut client: TcpStream, size: usize, sent: watch::Sender<usize>) -> String {
    let head =
        format!("POST / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b'x'; 16 * 1024];
    let mut left = size;
    while left > 0 {
        let written = client.write(&piece[..left.min(piece.len())]).await.unwrap();
        left -= written;
        sent.send_modify(|sent| *sent += written);
    }
    rest(&mut client).await
}

async fn upload_by_http2(addr: String, trusted: tls::Trusted, size: usize, sent: watch::Sender<usize>) -> String {
    let stream = tls::dial("demo.localhost", &addr, &trusted, b"h2").await;
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::post("https://demo.localhost/").header("content-length", size).body(()).unwrap();
    let (response, mut stream) = sender.send_request(request, false).unwrap();
    let mut left = size;
    while left > 0 {
        stream.reserve_capacity(left.min(16 * 1024));
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.unwrap().unwrap().min(left);
        left -= room;
        stream.send_data(Bytes::from(vec![b'x'; room]), left == 0).unwrap();
        sent.send_modify(|sent| *sent += room);
    }
    let mut body = response.await.unwrap().into_body();
    let mut answer = Vec::new();
    while let Some(data) = body.data().await {
        answer.extend(data.unwrap());
    }
    String::from_utf8(answer).unwrap()
}

/// A dyno that takes nothing holds the client up; nothing piles up in between, and nothing is lost.
#[tokio::test]
async fn who_takes_a_body_slowly_is_not_sent_more_than_fits() {
    let bound = kernel_keeps() + OTHERS;
    let size = 2 * bound;
    for (client_http2, dyno_http2) in [(false, false), (false, true), (true, false), (true, true)] {
        let case = format!("client of HTTP/2: {client_http2}, dyno of HTTP/2: {dyno_http2}");
        let gate = Arc::new(Semaphore::new(0));
        let dyno = if dyno_http2 { dyno_of_http2(Arc::clone(&gate)) } else { dyno_of_http1(Arc::clone(&gate)) };
        let (house, addr, trusted) = tls::house(of(&dyno, dyno_http2), patient()).await;
        let (sender, mut sent) = watch::channel(0);
        let client = if client_http2 {
            tokio::spawn(upload_by_http2(addr, trusted, size, sender))
        } else {
            let client = socket().connect(house.addr).await.unwrap();
            tokio::spawn(upload_by_http1(client, size, sender))
        };
        // The first bytes are on their way.
        sent.changed().await.unwrap();
        dyno.has_open(1).await;
        let stuck_at = stuck(&mut sent).await;
        assert!(stuck_at <= bound, "{case}: {stuck_at} bytes were taken of the client, {bound} are the most");
        gate.add_permits(1);
        let answer = client.await.unwrap();
        assert!(answer.contains(&format!("took {size}.")), "{case}: {answer}");
        let line = house.line("").await;
        assert!(line.starts_with("at=info ") && line.contains(" status=200 "), "{case}: {line}");
    }
}

/// A client of HTTP/2 that stops in the middle of a body ends this one request.
#[tokio::test]
async fn a_body_over_http2_that_stops() {
    let dyno = Dyno::mirror().await;
    let (house, addr, trusted) = tls::house(of(&dyno, false), limits()).await;
    let mut client = Client::new(addr.parse().unwrap(), &trusted, &[]).await;
    let head = [pseudo("POST", "/a"), header("x-request-id", REQUEST_ID), header("content-length", "100")].concat();
    client.write(&frame(HEADERS, END_HEADERS, 1, &head)).await;
    client.write(&frame(DATA, 0, 1, b"0123456789")).await;
    assert!(matches!(client.end(1).await, End::Answered(499, _) | End::Reset(_)));
    assert_eq!(
        house.line("").await,
        "at=warning code=H28 desc=\"Client Connection Idle\" method=POST path=\"/a\" host=demo.localhost \
         request_id=0123456789abcdef0123 fwd=\"127.0.0.1\" dyno=web.1 connect=Nms service=Nms status=499 bytes=0 \
         protocol=http2.0 tls=true tls_version=tls1.3"
    );
    // The dyno can't take it for a whole one.
    dyno.has_open(0).await;
    // Its other requests go on.
    client.write(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &util::h2::get("/b"))).await;
    assert!(matches!(client.end(3).await, End::Answered(200, _)));
}

/// The same over HTTP/1, with its exact line in `codes`: here the dyno speaks HTTP/2.
#[tokio::test]
async fn a_body_that_stops_on_its_way_to_a_dyno_of_http2() {
    let gate = Arc::new(Semaphore::new(0));
    let dyno = dyno_of_http2(gate);
    let house = House::with(of(&dyno, true), limits()).await;
    let mut client = util::client::connect(house.addr).await;
    let head = "POST /a HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 100\r\n\r\n0123456789";
    client.write_all(head.as_bytes()).await.unwrap();
    let line = house.line("path=\"/a\"").await;
    assert!(line.starts_with("at=warning code=H28 ") && line.contains(" status=499 "), "{line}");
    assert_eq!(status_of(&rest(&mut client).await), 499);
}
