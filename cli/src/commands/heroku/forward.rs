//! The forwarder: HTTP and TLS on one port of 127.0.0.1, passed on to the server. It is the
//! proxy of the program that uses it, too, so that what the program asks of Heroku's hosts
//! past all settings ends here.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::attach::{self, Speaks};
use super::connection::{Boxed, Rewound};
use super::{rewrite, trust};
use crate::client::Client;
use crate::settings::Settings;

/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// Domains that never hear of the token.
const REFUSED: [&str; 6] =
    ["heroku.com", "herokai.com", "herokuapp.com", "herokudev.com", "herokuspace.com", "salesforce.com"];

/// Headers that belong to one connection, and those that reqwest writes itself.
const NOT_PASSED: [HeaderName; 9] = [
    header::HOST,
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::EXPECT,
    header::PROXY_AUTHORIZATION,
    // What is to be changed must be readable.
    header::ACCEPT_ENCODING,
];

type Body = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// What all connections share.
pub(super) struct Forwarder {
    pub(super) http: reqwest::Client,
    pub(super) base: Url,
    port: u16,
    acceptor: TlsAcceptor,
    /// The proxy to the outside of whoever called us, as `HOST:PORT`.
    outer: Option<String>,
}

impl Forwarder {
    /// One for `listener`, with the certificate in `folder`.
    pub(super) fn new(settings: &Settings, listener: &TcpListener, folder: &Path) -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            http: Client::builder(settings)?.build().context("The HTTP client can't be set up")?,
            base: settings.host.clone(),
            port: listener.local_addr().context("The forwarder has no address")?.port(),
            acceptor: trust::acceptor(folder)?,
            outer: settings.proxy.clone(),
        }))
    }

    /// Passes on until it is dropped.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let _ = stream.set_nodelay(true);
                    tokio::spawn(Box::pin(Arc::clone(&self).connection(Box::new(stream), false)));
                }
                // Out of descriptors, most likely: those that end make room.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            }
        }
    }

    /// One connection, of which the first bytes say what it is. How it breaks off is its
    /// program's affair.
    async fn connection(self: Arc<Self>, stream: Boxed, over_tls: bool) {
        let Ok(mut stream) = Rewound::new(stream).await else { return };
        let first = stream.first();
        if first.first() == Some(&TLS_HANDSHAKE) && !over_tls {
            if let Ok(stream) = self.acceptor.clone().accept(stream).await {
                Box::pin(self.connection(Box::new(stream), true)).await;
            }
        } else if first.starts_with(b"CONNECT ") {
            self.connect(stream).await;
        } else if over_tls && first.starts_with(attach::AUTH) {
            if let Ok(Some(line)) = stream.take_until(b"\n").await {
                let secret =
                    String::from_utf8_lossy(line.get(attach::AUTH.len()..).unwrap_or_default()).trim().to_owned();
                attach::carry(&self, &secret, Speaks::Redis, stream).await;
            }
        } else if over_tls && !is_http(first) {
            let said = match stream.take_until(b"\n").await {
                Ok(Some(line)) => line,
                // Some say it without an end of line.
                _ => stream.take_first(),
            };
            let secret = String::from_utf8_lossy(&said).trim().to_owned();
            attach::carry(&self, &secret, Speaks::Rendezvous, stream).await;
        } else if !first.is_empty() {
            let service = hyper::service::service_fn(|request| Arc::clone(&self).pass(request));
            let _ = hyper::server::conn::http1::Builder::new()
                .half_close(true)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    }

    /// `CONNECT`: to ourselves, to the server, to anybody but Heroku.
    async fn connect(self: Arc<Self>, mut stream: Rewound) {
        let Ok(Some(head)) = stream.take_until(b"\r\n\r\n").await else { return };
        let head = String::from_utf8_lossy(&head).into_owned();
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        if self.is_us(&target) {
            if stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_ok() {
                Box::pin(self.connection(Box::new(stream), false)).await;
            }
            return;
        }
        if is_refused(&target) {
            let _ = stream.write_all(refusal(&target).as_bytes()).await;
            return;
        }
        let ours =
            self.base.host_str().is_some_and(|host| target.rsplit_once(':').is_some_and(|(name, _)| name == host));
        let connected = match self.outer.as_deref().filter(|_| !ours) {
            Some(outer) => match TcpStream::connect(outer).await {
                Ok(mut far) => far.write_all(head.as_bytes()).await.map(|()| far),
                Err(error) => Err(error),
            },
            None => match TcpStream::connect(&target).await {
                Ok(far) => stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.map(|()| far),
                Err(error) => Err(error),
            },
        };
        match connected {
            Ok(mut far) => drop(tokio::io::copy_bidirectional(&mut stream, &mut far).await),
            Err(_) => drop(stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await),
        }
    }

    fn is_us(&self, authority: &str) -> bool {
        authority
            .rsplit_once(':')
            .is_some_and(|(host, port)| matches!(host, "127.0.0.1" | "localhost") && port.parse() == Ok(self.port))
    }

    /// Passes a request on, and its answer back.
    async fn pass(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        // As proxies are asked: for ourselves, and for others what has no token.
        let secret = request.headers().contains_key(header::AUTHORIZATION);
        if let Some(authority) = request.uri().authority().filter(|authority| !self.is_us(authority.as_str()))
            && (secret || is_refused(authority.as_str()))
        {
            let text = format!("{authority} is asked by paas heroku for nobody: it would learn the token.\n");
            return Ok(plain(StatusCode::FORBIDDEN, text));
        }
        Ok(self.asked(request).await.unwrap_or_else(|error| {
            let text = serde_json::json!({"id": "unreachable", "message": format!("{} can't be reached: {error:#}", self.base)});
            let mut response = plain(StatusCode::BAD_GATEWAY, text.to_string());
            response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
            response
        }))
    }

    async fn asked(&self, request: Request<Incoming>) -> anyhow::Result<Response<Body>> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let elsewhere = parts.uri.authority().is_some_and(|authority| !self.is_us(authority.as_str()));
        let url = if elsewhere { parts.uri.to_string().parse()? } else { self.base.join(path)? };
        anyhow::ensure!(elsewhere || url.origin() == self.base.origin(), "{path} is no path");
        let has_body =
            parts.headers.contains_key(header::CONTENT_LENGTH) || parts.headers.contains_key(header::TRANSFER_ENCODING);
        let mut request = self.http.request(parts.method, url).headers(passed(&parts.headers));
        if has_body {
            request = request.body(reqwest::Body::wrap(body));
        }
        let answer: Response<reqwest::Body> = request.send().await?.into();
        let (parts, body) = answer.into_parts();
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_json =
            kind.starts_with("application/json") || kind.split(';').next().is_some_and(|k| k.ends_with("+json"));
        let mut response = Response::builder().status(parts.status);
        if let Some(headers) = response.headers_mut() {
            *headers = passed(&parts.headers);
        }
        let body: Body = if is_json && !elsewhere {
            if let Some(headers) = response.headers_mut() {
                headers.remove(header::CONTENT_LENGTH);
            }
            let bytes = body.collect().await?.to_bytes();
            full(match serde_json::from_slice(&bytes) {
                Ok(mut value) => {
                    rewrite::rewrite(&mut value, self.port);
                    Bytes::from(value.to_string())
                }
                Err(_) => bytes,
            })
        } else {
            body.map_err(Into::into).boxed()
        };
        Ok(response.body(body)?)
    }
}

fn passed(headers: &HeaderMap) -> HeaderMap {
    headers
        .iter()
        .filter(|(name, _)| !NOT_PASSED.contains(name) && !matches!(name.as_str(), "keep-alive" | "proxy-connection"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

fn plain(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(full(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

/// Whether bytes begin a request: a method in capitals, and a blank.
fn is_http(first: &[u8]) -> bool {
    let method = first.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    (3..=8).contains(&method) && first.get(method) == Some(&b' ')
}

fn is_refused(target: &str) -> bool {
    let host = target.rsplit_once(':').map_or(target, |(host, _)| host).trim_end_matches('.').to_ascii_lowercase();
    REFUSED.iter().any(|domain| host == *domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')))
}

fn refusal(target: &str) -> String {
    let text = format!("{target} belongs to Heroku; paas heroku tells it nothing.\n");
    format!("HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_told_nothing() {
        for host in ["api.heroku.com:443", "heroku.com:443", "TELEX.heroku.com.:80", "pgdiagnose.herokai.com"] {
            assert!(is_refused(host), "{host}");
        }
        for host in ["notheroku.com:443", "github.com:443", "api.example.com:443", "heroku.com.example.org:443"] {
            assert!(!is_refused(host), "{host}");
        }
    }

    #[test]
    fn requests_and_secrets() {
        assert!(is_http(b"GET / HTTP/1.1\r\n") && is_http(b"PROPFIND /"));
        assert!(!is_http(b"3f1c9a\r\n") && !is_http(b"GETsecret\r\n") && !is_http(b"AB"));
    }
}
