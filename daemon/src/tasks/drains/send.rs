//! The connection to a receiver: opened when there is something to send, kept, opened anew.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::frame::Piece;
use crate::outbound::{Outbound, OutboundError, Stream, Target};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(20);

/// Most bytes of an answer that are read; a connection with a longer one is not kept.
const LONGEST_ANSWER: usize = 64 * 1024;

/// A connection that takes no byte for so long is given up.
const STALLED: Duration = Duration::from_secs(300);

/// Who sends, as receivers know it from Heroku.
const AGENT: &str = concat!("Logplex/v1 paas/", env!("CARGO_PKG_VERSION"));

/// Why a piece was not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Failure {
    /// The receiver's certificate is not good.
    #[error("its certificate is not good ({0})")]
    Certificate(String),
    /// There is no connection, or it broke.
    #[error("{0}")]
    Connection(String),
    /// It answered, but not that all is well.
    #[error("it answers with status {}", .0.as_u16())]
    Status(StatusCode),
    /// It did not answer in time.
    #[error("it does not answer within {} s", ANSWER.as_secs())]
    Silence,
}

impl Failure {
    /// Whether the receiver will hardly think otherwise of the same when it comes again.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Status(status) => {
                status.is_client_error()
                    && *status != StatusCode::REQUEST_TIMEOUT
                    && *status != StatusCode::TOO_MANY_REQUESTS
            }
            Self::Certificate(_) | Self::Connection(_) | Self::Silence => false,
        }
    }
}

impl From<OutboundError> for Failure {
    fn from(error: OutboundError) -> Self {
        match error {
            OutboundError::Certificate(why) => Self::Certificate(why),
            OutboundError::Roots(_)
            | OutboundError::Name(_)
            | OutboundError::NotAllowed(_, _)
            | OutboundError::Connect(_)
            | OutboundError::TimedOut => Self::Connection(error.to_string()),
        }
    }
}

enum Connection {
    Bytes(Box<dyn Stream>),
    Http(SendRequest<Full<Bytes>>),
}

/// A receiver and the connection to it.
pub(super) struct Sender {
    outbound: Outbound,
    target: Target,
    headers: Vec<(HeaderName, HeaderValue)>,
    connection: Option<Connection>,
}

impl Sender {
    /// Connects at the first piece. `headers` go with every request; those that can't be one
    /// are left out.
    pub(super) fn new(outbound: Outbound, target: Target, headers: &[(&str, &str)]) -> Self {
        let mut all = Vec::new();
        for (name, value) in headers {
            if let (Ok(name), Ok(mut value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
                value.set_sensitive(true);
                all.push((name, value));
            }
        }
        Self { outbound, target, headers: all, connection: None }
    }

    /// Where to, without secrets.
    pub(super) fn shown(&self) -> String {
        self.target.shown()
    }

    /// Sends a piece; returns once it is taken: answered with 2xx, or in the system's hands.
    pub(super) async fn send(&mut self, piece: &Piece) -> Result<(), Failure> {
        // Taken out, so that one on which something failed, or was given up, is not used again.
        let mut connection = match self.connection.take() {
            Some(connection) if connection.is_good() => connection,
            Some(_) | None => self.connect().await?,
        };
        match &mut connection {
            Connection::Bytes(stream) => write(stream, &piece.body).await?,
            Connection::Http(sender) => {
                let request = self.request(piece)?;
                if !tokio::time::timeout(ANSWER, ask(sender, request)).await.unwrap_or(Err(Failure::Silence))? {
                    return Ok(());
                }
            }
        }
        self.connection = Some(connection);
        Ok(())
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let stream = self.outbound.connect(&self.target).await?;
        if self.target.scheme().is_syslog() {
            return Ok(Connection::Bytes(stream));
        }
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|e| Failure::Connection(e.to_string()))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::trace!(%error, "a drain's connection ended");
            }
        });
        Ok(Connection::Http(sender))
    }

    fn request(&self, piece: &Piece) -> Result<Request<Full<Bytes>>, Failure> {
        let (path, query) = match self.target.path().split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target.path(), None),
        };
        let mut uri = if piece.path.is_empty() {
            path.to_owned()
        } else {
            format!("{}{}", path.trim_end_matches('/'), piece.path)
        };
        if let Some(query) = query {
            uri = format!("{uri}?{query}");
        }
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(header::HOST, self.target.authority())
            .header(header::USER_AGENT, AGENT)
            .header(header::CONTENT_TYPE, piece.content_type);
        for (name, value) in &piece.headers {
            request = request.header(*name, value);
        }
        if let Some(authorization) = self.target.authorization() {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let mut request =
            request.body(Full::new(piece.body.clone())).map_err(|e| Failure::Connection(e.to_string()))?;
        for (name, value) in &self.headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        Ok(request)
    }
}

impl Connection {
    /// Whether nothing speaks against sending by it. What a syslog server says is of no
    /// interest, but that it has closed is: what is written after that is lost.
    fn is_good(&self) -> bool {
        match self {
            Self::Bytes(_) => true,
            Self::Http(sender) => !sender.is_closed(),
        }
    }
}

async fn write(stream: &mut Box<dyn Stream>, mut rest: &[u8]) -> Result<(), Failure> {
    let broken = |e: std::io::Error| Failure::Connection(e.to_string());
    let mut heard = [0u8; 1024];
    while let Some(read) = stream.read(&mut heard).now_or_never() {
        if read.map_err(broken)? == 0 {
            return Err(Failure::Connection("it has closed the connection".into()));
        }
    }
    let stalled = || Failure::Connection(format!("it takes nothing for {} s", STALLED.as_secs()));
    while !rest.is_empty() {
        let written =
            tokio::time::timeout(STALLED, stream.write(rest)).await.map_err(|_| stalled())?.map_err(broken)?;
        if written == 0 {
            return Err(Failure::Connection("it has closed the connection".into()));
        }
        rest = &rest[written..];
    }
    tokio::time::timeout(STALLED, stream.flush()).await.map_err(|_| stalled())?.map_err(broken)
}

/// Asks; gives whether the connection can be used again.
async fn ask(sender: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> Result<bool, Failure> {
    let broken = |e: hyper::Error| Failure::Connection(e.to_string());
    sender.ready().await.map_err(broken)?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let whole = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await.is_ok();
    if status.is_success() { Ok(whole) } else { Err(Failure::Status(status)) }
}
