//! The table of routes: what each takes and gives is read off its handler's own signature, so
//! that the OpenAPI document, the authorisation tests and the router can't tell different
//! stories, and no route can be left out of one of them.
//!
//! A resource's `routes()` returns [`Endpoints`]. Handlers take what [`super::extract`] has,
//! and give [`Json`], [`Created`], [`Accepted`], [`Page`], or a bare [`Response`] where the
//! answer is no JSON.

use std::{any::type_name, borrow::Cow, marker::PhantomData};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Request, State},
    handler::Handler,
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
    routing::{MethodFilter, on},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use super::{
    error::{ApiError, ApiResult},
    extract::{Auth, Body, Form, PasswordAuth, Path, Peer, Query},
    transport::Left,
};
use crate::ops::Platform;

/// Writes a type's schema with the components that it names.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// Who may call an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Everybody; the address may be a key of its own.
    Anyone,
    /// Whoever has the address with its signature, or a token.
    KeyOrToken,
    /// Whoever has a token.
    Token,
    /// Whoever has a token, or an address and password.
    Password,
}

/// One route, as its handler tells of it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The method.
    pub method: Method,
    /// The path, with `{names}` for its parts.
    pub path: &'static str,
    /// The handler, as `module::function`: unique.
    pub name: String,
    /// Who may call it.
    pub caller: Caller,
    /// What its body must be; none: it takes none, or one that is no JSON.
    pub body: Option<SchemaOf>,
    /// What may stand after `?`.
    pub query: Option<SchemaOf>,
    /// What it answers when it succeeds.
    pub answer: Answer,
}

impl Endpoint {
    /// A name of its own: `apps.index`.
    #[must_use]
    pub fn id(&self) -> String {
        self.name.strip_prefix("api::").unwrap_or(&self.name).replace("::", ".")
    }

    /// The module that it is of: `apps`.
    #[must_use]
    pub fn topic(&self) -> &str {
        let name = self.name.strip_prefix("api::").unwrap_or(&self.name);
        name.split("::").next().unwrap_or_default()
    }

    /// The names of the parts of its path.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

/// An answer's shape.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body; none: no JSON, or one without a shape of its own.
    pub schema: Option<SchemaOf>,
    /// What is in it: the name of the type, of an item's where it is a list.
    pub of: Option<fn() -> Cow<'static, str>>,
    /// Whether it is a list that comes in pages (206 and `Next-Range`).
    pub pages: bool,
    /// Whether it is a page for a browser, as is then what is wrong with a request.
    pub html: bool,
}

impl Answer {
    /// One without a shape.
    const PLAIN: Self = Self { status: StatusCode::OK, schema: None, of: None, pages: false, html: false };
}

/// Routes with what is known of them.
pub struct Endpoints {
    router: Router<Platform>,
    list: Vec<Endpoint>,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self::new()
    }
}

impl Endpoints {
    /// None yet.
    pub fn new() -> Self {
        Self { router: Router::new(), list: Vec::new() }
    }

    /// Answers `GET` (and `HEAD`) at `path`.
    #[must_use]
    pub fn get<A: 'static, H: Handler<A, Platform> + Told<A>>(self, path: &'static str, handler: H) -> Self {
        self.add(Method::GET, MethodFilter::GET, path, handler)
    }

    /// Answers `POST`.
    #[must_use]
    pub fn post<A: 'static, H: Handler<A, Platform> + Told<A>>(self, path: &'static str, handler: H) -> Self {
        self.add(Method::POST, MethodFilter::POST, path, handler)
    }

    /// Answers `PUT`.
    #[must_use]
    pub fn put<A: 'static, H: Handler<A, Platform> + Told<A>>(self, path: &'static str, handler: H) -> Self {
        self.add(Method::PUT, MethodFilter::PUT, path, handler)
    }

    /// Answers `PATCH`.
    #[must_use]
    pub fn patch<A: 'static, H: Handler<A, Platform> + Told<A>>(self, path: &'static str, handler: H) -> Self {
        self.add(Method::PATCH, MethodFilter::PATCH, path, handler)
    }

    /// Answers `DELETE`.
    #[must_use]
    pub fn delete<A: 'static, H: Handler<A, Platform> + Told<A>>(self, path: &'static str, handler: H) -> Self {
        self.add(Method::DELETE, MethodFilter::DELETE, path, handler)
    }

    fn add<A: 'static, H: Handler<A, Platform> + Told<A>>(
        mut self,
        method: Method,
        filter: MethodFilter,
        path: &'static str,
        handler: H,
    ) -> Self {
        let name = type_name::<H>();
        let name = name.strip_prefix("paas_daemon::").unwrap_or(name).to_owned();
        let mut endpoint =
            Endpoint { method, path, name, caller: Caller::Anyone, body: None, query: None, answer: Answer::PLAIN };
        H::tell(&mut endpoint);
        self.list.push(endpoint);
        self.router = self.router.route(path, on(filter, handler));
        self
    }

    /// These and those.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.list.extend(other.list);
        self
    }

    /// Lets the bodies of those added so far be of any size: they are streamed.
    #[must_use]
    pub fn of_any_size(mut self) -> Self {
        self.router = self.router.layer(DefaultBodyLimit::disable());
        self
    }

    /// The router, and the table of what is in it.
    pub fn split(self) -> (Router<Platform>, Vec<Endpoint>) {
        (self.router, self.list)
    }
}

/// 201 with what was made.
#[derive(Debug)]
pub struct Created<T>(pub T);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }
}

/// 202: it will be done.
#[derive(Debug)]
pub struct Accepted<T>(pub T);

impl<T: Serialize> IntoResponse for Accepted<T> {
    fn into_response(self) -> Response {
        (StatusCode::ACCEPTED, Json(self.0)).into_response()
    }
}

/// A page of a list, see [`super::list`].
pub struct Page<T> {
    response: Response,
    items: PhantomData<T>,
}

impl<T> Page<T> {
    pub(super) fn of(response: Response) -> Self {
        Self { response, items: PhantomData }
    }
}

impl<T> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        self.response
    }
}

/// A page for a browser, or where it is to go.
#[derive(Debug)]
pub struct Html(pub Response);

impl IntoResponse for Html {
    fn into_response(self) -> Response {
        self.0
    }
}

/// What a handler's argument tells of its endpoint.
pub trait Takes {
    /// Writes it down.
    fn tell(endpoint: &mut Endpoint);
}

impl Takes for State<Platform> {
    fn tell(_: &mut Endpoint) {}
}

impl Takes for HeaderMap {
    fn tell(_: &mut Endpoint) {}
}

impl Takes for Request {
    fn tell(_: &mut Endpoint) {}
}

impl Takes for axum::body::Body {
    fn tell(_: &mut Endpoint) {}
}

impl Takes for Form {
    fn tell(_: &mut Endpoint) {}
}

impl Takes for Peer {
    fn tell(_: &mut Endpoint) {}
}

impl Takes for Left {
    fn tell(_: &mut Endpoint) {}
}

impl<T> Takes for Path<T> {
    fn tell(_: &mut Endpoint) {}
}

impl<T: JsonSchema> Takes for Query<T> {
    fn tell(endpoint: &mut Endpoint) {
        endpoint.query = Some(|schemas| T::json_schema(schemas));
    }
}

impl<T: JsonSchema> Takes for Body<T> {
    fn tell(endpoint: &mut Endpoint) {
        endpoint.body = Some(|schemas| schemas.subschema_for::<T>());
    }
}

impl Takes for Auth {
    fn tell(endpoint: &mut Endpoint) {
        endpoint.caller = Caller::Token;
    }
}

impl Takes for PasswordAuth {
    fn tell(endpoint: &mut Endpoint) {
        endpoint.caller = Caller::Password;
    }
}

impl Takes for Result<Auth, ApiError> {
    fn tell(endpoint: &mut Endpoint) {
        endpoint.caller = Caller::KeyOrToken;
    }
}

/// What a handler's result tells of its endpoint.
pub trait Gives {
    /// What it answers.
    fn answer() -> Answer;
}

fn json<T: JsonSchema>(status: StatusCode) -> Answer {
    Answer { status, schema: Some(|schemas| schemas.subschema_for::<T>()), of: Some(T::schema_name), ..Answer::PLAIN }
}

impl<T: JsonSchema> Gives for Json<T> {
    fn answer() -> Answer {
        json::<T>(StatusCode::OK)
    }
}

impl<T: JsonSchema> Gives for Created<T> {
    fn answer() -> Answer {
        json::<T>(StatusCode::CREATED)
    }
}

impl<T: JsonSchema> Gives for Accepted<T> {
    fn answer() -> Answer {
        json::<T>(StatusCode::ACCEPTED)
    }
}

impl<T: JsonSchema> Gives for Page<T> {
    fn answer() -> Answer {
        Answer { pages: true, of: Some(T::schema_name), ..json::<Vec<T>>(StatusCode::OK) }
    }
}

/// An answer with headers of its own.
impl<T: Gives> Gives for (HeaderMap, T) {
    fn answer() -> Answer {
        T::answer()
    }
}

impl Gives for Response {
    fn answer() -> Answer {
        Answer::PLAIN
    }
}

impl Gives for Html {
    fn answer() -> Answer {
        Answer { html: true, ..Answer::PLAIN }
    }
}

impl Gives for &'static str {
    fn answer() -> Answer {
        Response::answer()
    }
}

impl Gives for StatusCode {
    fn answer() -> Answer {
        Response::answer()
    }
}

impl<T: Gives> Gives for ApiResult<T> {
    fn answer() -> Answer {
        T::answer()
    }
}

/// A handler that tells of itself: implemented for functions of what [`Takes`] to what
/// [`Gives`].
pub trait Told<A> {
    /// Writes down what it takes and gives.
    fn tell(endpoint: &mut Endpoint);
}

macro_rules! told {
    ($($argument:ident),*) => {
        impl<F, Made, R, M, $($argument),*> Told<(M, $($argument,)*)> for F
        where
            F: Fn($($argument),*) -> Made,
            Made: Future<Output = R>,
            R: Gives,
            $($argument: Takes,)*
        {
            fn tell(endpoint: &mut Endpoint) {
                $($argument::tell(endpoint);)*
                endpoint.answer = R::answer();
            }
        }
    };
}

impl<F, Made, R> Told<((),)> for F
where
    F: Fn() -> Made,
    Made: Future<Output = R>,
    R: Gives,
{
    fn tell(endpoint: &mut Endpoint) {
        endpoint.answer = R::answer();
    }
}

told!(A1);
told!(A1, A2);
told!(A1, A2, A3);
told!(A1, A2, A3, A4);
told!(A1, A2, A3, A4, A5);
told!(A1, A2, A3, A4, A5, A6);
