//! Lists: `Range` asks for order and number, `Next-Range` tells that there is more.

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use paas_wire::{Range, range::Order};
use serde::Serialize;

/// Shows a list that is in ascending order of `property`; `key` gives an item's value of it.
///
/// What the client asked by another property comes in the order asked for, all the same:
/// Heroku's clients ask by the one property that a resource is ordered by.
pub(super) fn list<T: Serialize>(
    headers: &HeaderMap,
    property: &str,
    mut items: Vec<T>,
    key: impl Fn(&T) -> String,
) -> Response {
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let range = asked.map(Range::parse).unwrap_or_default();
    let descending = range.order == Some(Order::Desc);
    if descending {
        items.reverse();
    }
    let same = range.property.as_deref().is_none_or(|asked| asked == property);
    if let Some(start) = range.start.as_ref().filter(|_| same) {
        let at = items.iter().position(|item| key(item) == start.value);
        let skip = match at {
            Some(at) if start.exclusive => at + 1,
            Some(at) => at,
            None => {
                let beyond = |item: &T| match compare(&key(item), &start.value) {
                    std::cmp::Ordering::Less => descending,
                    std::cmp::Ordering::Greater => !descending,
                    std::cmp::Ordering::Equal => true,
                };
                items.iter().position(beyond).unwrap_or(items.len())
            }
        };
        items.drain(..skip);
    }
    let limit = if asked.is_some() { range.limit() as usize } else { paas_wire::range::LARGEST_MAX as usize };
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| range.after(property, &key(last)).to_string());
    let status = if more { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut response = (status, Json(items)).into_response();
    if let Ok(accepts) = HeaderValue::from_str(property) {
        response.headers_mut().insert(header::ACCEPT_RANGES, accepts);
    }
    if let Some(Ok(next)) = next.map(|next| HeaderValue::from_str(&next)) {
        response.headers_mut().insert(HeaderName::from_static("next-range"), next);
    }
    response
}

/// Numbers by value, everything else as text.
fn compare(a: &str, b: &str) -> std::cmp::Ordering {
    match (a.parse::<i64>(), b.parse::<i64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => a.cmp(b),
    }
}
