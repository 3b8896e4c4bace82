//! Visitors. They speak bytes, so that a test sees what is on the wire.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use paas_domain::route::AppActivity;
use paas_router::Status;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::REQUEST_ID;

/// A request of demo.localhost with the id that the tests expect; `lines` go in between.
pub fn get(target: &str, lines: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: demo.localhost\r\nX-Request-Id: {REQUEST_ID}\r\nConnection: close\r\n{lines}\r\n"
    )
}

pub async fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends `request` and reads until the router closes.
pub async fn send(addr: SocketAddr, request: &str) -> String {
    let mut stream = connect(addr).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    rest(&mut stream).await
}

/// What comes until the end, whichever way it ends.
pub async fn rest<S: AsyncReadExt + Unpin>(stream: &mut S) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the router didn't close; so far {}", String::from_utf8_lossy(&answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads until `end` was read.
pub async fn read_to<S: AsyncReadExt + Unpin>(stream: &mut S, end: &str) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), async {
        while !answer.ends_with(end.as_bytes()) {
            let byte = stream.read_u8().await;
            answer.push(byte.unwrap_or_else(|_| panic!("it ended after {:?}", String::from_utf8_lossy(&answer))));
        }
    })
    .await;
    assert!(read.is_ok(), "{end:?} never came; so far {}", String::from_utf8_lossy(&answer));
    String::from_utf8_lossy(&answer).into_owned()
}

pub fn status_of(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no status in {answer:?}"))
}

pub async fn status(socket: &Path) -> Option<Status> {
    serde_json::from_str(&told(socket, "/status").await?).ok()
}

/// What the router answers on its own socket.
pub async fn told(socket: &Path, path: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: router\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer.split_once("\r\n\r\n")?.1.to_owned())
}

/// What the router knows of the apps' last requests; `apps` are ids with commas between.
pub async fn activity(dir: &Path, apps: &str) -> Vec<AppActivity> {
    let mut stream = UnixStream::connect(dir.join("run/router.sock")).await.unwrap();
    let question = format!("GET /activity?apps={apps} HTTP/1.1\r\nHost: router\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// The headers that a mirror dyno says it got.
pub fn mirrored(answer: &str) -> HashMap<String, String> {
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    body.lines()
        .skip(1)
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
