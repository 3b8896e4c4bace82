//! What every endpoint has in common on the wire: the version asked for, who asks and how
//! often, request ids, ETags, compression, and browsers of other origins.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use axum::{
    Router,
    body::{Body, HttpBody as _, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use base64::Engine as _;
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tower_http::{
    CompressionLevel,
    compression::{CompressionLayer, Predicate, predicate::SizeAbove},
    cors::{AllowHeaders, Any, CorsLayer},
    decompression::RequestDecompressionLayer,
};

use super::{
    error::ApiError,
    extract,
    limit::{Limit, Verdict, Who},
};
use crate::{
    error::Error,
    ops::{
        Platform,
        tokens::{self, Bearer},
    },
};

/// Largest answer that gets an ETag, in bytes: it is held in memory once more.
const LARGEST_TAGGED: u64 = 16 * 1024 * 1024;

/// Below this an answer is sent as it is, in bytes: compressed it would hardly be smaller.
const SMALLEST_COMPRESSED: u64 = 1024;

static REMAINING: LazyLock<HeaderName> = LazyLock::new(|| HeaderName::from_static("ratelimit-remaining"));
static REQUEST_ID: LazyLock<HeaderName> = LazyLock::new(|| HeaderName::from_static("request-id"));

/// Who a request's token belongs to, once it was looked up: among the request's extensions.
#[derive(Debug, Clone)]
pub(super) struct Known(pub(super) Option<Bearer>);

/// The part of a list that an answer shows, for its `Content-Range`: put there last, since what
/// has that header is not compressed.
#[derive(Debug, Clone)]
pub(super) struct Shown(pub(super) HeaderValue);

/// Puts all of it around the API's routes.
pub(super) fn around(router: Router<Platform>, p: &Platform) -> Router<Platform> {
    let limit = Arc::new(Limit::new(p.cx.config().api_rate_limit));
    router
        .layer(middleware::from_fn(tagged))
        .layer(RequestDecompressionLayer::new().pass_through_unaccepted(true))
        .layer(middleware::from_fn_with_state((p.clone(), limit), counted))
        .layer(middleware::from_fn(understood))
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(
            SizeAbove::new(SMALLEST_COMPRESSED).and(
                |_: StatusCode, _: axum::http::Version, headers: &HeaderMap, _: &axum::http::Extensions| {
                    is_json(headers)
                },
            ),
        ))
        .layer(browsers())
        .layer(middleware::from_fn(named))
        .layer(middleware::from_fn(ended))
}

/// Pages of other origins may call: who asks is told by a header that they must have been given,
/// and never by a cookie.
fn browsers() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::OPTIONS,
        ])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            header::ACCEPT_RANGES,
            header::CONTENT_RANGE,
            header::ETAG,
            HeaderName::from_static("next-range"),
            REMAINING.clone(),
            REQUEST_ID.clone(),
            HeaderName::from_static("x-heroku-warning"),
        ])
        .max_age(std::time::Duration::from_secs(3600))
}

/// Every answer has the ids of its request: those that came, and one of its own.
async fn named(request: Request, next: Next) -> Response {
    let sent = request.headers().get(&*REQUEST_ID).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let own = uuid::Uuid::new_v4().to_string();
    let mut response = next.run(request).await;
    if let Some(Shown(shown)) = response.extensions_mut().remove::<Shown>() {
        response.headers_mut().insert(header::CONTENT_RANGE, shown);
    }
    let ids = paas_wire::headers::with_request_id(sent.as_deref(), &own);
    if let Ok(value) = HeaderValue::from_str(&ids) {
        response.headers_mut().insert(REQUEST_ID.clone(), value);
    }
    response
}

/// A refusal that did not wait for the request's body ends an HTTP/1 connection, on which the body
/// would come next: it says so, and whoever asks next makes another.
async fn ended(request: Request, next: Next) -> Response {
    let old = request.version() < Version::HTTP_2;
    if !old || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let read = Arc::new(AtomicBool::new(false));
    let end = read.clone();
    let end = futures_util::stream::poll_fn(move |_| {
        end.store(true, Ordering::Relaxed);
        Poll::Ready(None)
    });
    let mut response = next.run(request.map(|body| Body::from_stream(body.into_data_stream().chain(end)))).await;
    if response.status().is_client_error() && !read.load(Ordering::Relaxed) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Version 3 is spoken here, whatever its suffix.
async fn understood(request: Request, next: Next) -> Response {
    // Nothing has a name with a NUL character in it, and Postgres can't be asked for one.
    if request.uri().path().contains("%00") {
        return super::unknown().await.into_response();
    }
    for accept in request.headers().get_all(header::ACCEPT) {
        if let Err(version) = paas_wire::headers::api_version(&String::from_utf8_lossy(accept.as_bytes())) {
            return ApiError::new(
                StatusCode::NOT_ACCEPTABLE,
                "not_acceptable",
                format!(
                    "There is no version {version} of the API here. Ask for version 3, with the header: Accept: {}",
                    paas_wire::headers::ACCEPT_V3
                ),
            )
            .into_response();
        }
    }
    next.run(request).await
}

/// Looks up who asks, and takes one of their requests of this hour.
async fn counted(State((p, limit)): State<(Platform, Arc<Limit>)>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let bearer = match extract::credentials(&parts.headers) {
        Some((_, token)) => match tokens::bearer(&p, &token).await {
            Ok(bearer) => bearer,
            Err(error) => return ApiError::from(error).into_response(),
        },
        None => None,
    };
    let who = match &bearer {
        Some(bearer) => Who::Account(bearer.actor.user.id),
        None => Who::Address(network(&parts)),
    };
    parts.extensions.insert(Known(bearer));
    let request = Request::from_parts(parts, body);
    if limit.an_hour() == 0 || free(&request) {
        let left = if limit.an_hour() == 0 { super::RATE_LIMIT } else { limit.left(who, p.cx.now()) };
        return remaining(next.run(with_left(request, left)).await, left);
    }
    match limit.take(who, p.cx.now()) {
        Verdict::Passed(left) => remaining(next.run(with_left(request, left)).await, left),
        Verdict::Refused(seconds) => {
            let whose = match who {
                Who::Account(_) => "Your account",
                Who::Address(_) => "Your address (there were no valid credentials)",
            };
            let text = format!(
                "{whose} reached the API rate limit of {} requests an hour. Wait {seconds} s, then try again.",
                limit.of(who)
            );
            let mut response = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit", text).into_response();
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            remaining(response, 0)
        }
    }
}

/// Where a request comes from. What comes from this machine itself came through its router most
/// likely, which says for whom.
fn client(parts: &Parts) -> IpAddr {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let peer = peer.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    if !peer.is_loopback() {
        return peer;
    }
    let forwarded = parts.headers.get_all("x-forwarded-for").iter().next_back().and_then(|value| value.to_str().ok());
    forwarded.and_then(|list| list.rsplit(',').next()?.trim().parse().ok()).unwrap_or(peer)
}

/// The network that a request comes from: of IPv6 the /64, since whoever has one address there has
/// all of it.
pub(super) fn network(parts: &Parts) -> IpAddr {
    match client(parts).to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip @ IpAddr::V4(_) => ip,
    }
}

/// How many requests are left, for the endpoint that tells it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left(pub(super) u32);

fn with_left(mut request: Request, left: u32) -> Request {
    request.extensions_mut().insert(Left(left));
    request
}

fn remaining(mut response: Response, left: u32) -> Response {
    response.headers_mut().insert(REMAINING.clone(), HeaderValue::from(left));
    response
}

/// What costs nothing: to ask how much is left, whether all is well, and preflights.
fn free(request: &Request) -> bool {
    matches!(request.uri().path(), "/account/rate-limits" | "/health") || request.method() == Method::OPTIONS
}

/// Good answers carry an ETag, and whoever has that one already gets 304.
async fn tagged(request: Request, next: Next) -> Response {
    let asked = request.headers().get(header::IF_NONE_MATCH).cloned();
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let response = next.run(request).await;
    let good = matches!(response.status(), StatusCode::OK | StatusCode::PARTIAL_CONTENT);
    // What is not to be kept has nothing to be known again by, and may come bit by bit.
    let kept = response.headers().get(header::CACHE_CONTROL).is_none_or(|value| value != "no-store");
    if !good || !kept || !is_json(response.headers()) || response.headers().contains_key(header::ETAG) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // What is too large to be held once more goes as it is.
    if body.size_hint().lower() > LARGEST_TAGGED {
        return Response::from_parts(parts, body);
    }
    let bytes = match to_bytes(body, usize::MAX).await {
        Ok(bytes) => bytes,
        Err(error) => return ApiError::from(Error::internal("The answer could not be made.", error)).into_response(),
    };
    let mut hash = Sha256::digest(&bytes).to_vec();
    hash.truncate(18);
    // Weak: compressed or not, it is the same.
    let tag = format!("W/\"{}\"", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash));
    let same = asked.is_some_and(|asked| {
        let asked = String::from_utf8_lossy(asked.as_bytes()).into_owned();
        let plain = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        asked.trim() == "*" || asked.split(',').any(|one| plain(one) == plain(&tag))
    });
    if let Ok(value) = HeaderValue::from_str(&tag) {
        parts.headers.insert(header::ETAG, value);
    }
    parts.headers.insert(header::VARY, HeaderValue::from_static("Authorization, Accept, Range"));
    parts.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if same {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.remove(header::CONTENT_TYPE);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/json"))
}
