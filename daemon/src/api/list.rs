//! Lists: `Range` asks for order and number, `Next-Range` tells that there is more.

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::IntoResponse,
};
use paas_wire::{Range, range::Order};
use serde::Serialize;

use super::endpoints::Page;

/// Shows a list that is in ascending order of `property`; `key` gives an item's value of it.
///
/// What the client asked by another property comes in the order asked for, all the same:
/// Heroku's clients ask by the one property that a resource is ordered by.
pub(super) fn list<T: Serialize>(
    headers: &HeaderMap,
    property: &str,
    mut items: Vec<T>,
    key: impl Fn(&T) -> String,
) -> Page<T> {
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let range = asked.map(Range::parse).unwrap_or_default();
    let descending = range.order == Some(Order::Desc);
    if descending {
        items.reverse();
    }
    let same = range.property.as_deref().is_none_or(|asked| asked == property);
    // Where a value stands in this order beside an item's.
    let beside = |item: &T, value: &str| {
        let order = compare(&key(item), value);
        if descending { order.reverse() } else { order }
    };
    if let Some(start) = range.start.as_ref().filter(|_| same) {
        let is_it = |item: &T| key(item) == start.value;
        // Several may have that value: a page begins behind all of them, or with the first.
        let at = match start.exclusive {
            true => items.iter().rposition(is_it).map(|at| at + 1),
            false => items.iter().position(is_it),
        };
        let beyond = |item: &T| beside(item, &start.value).is_ge();
        let skip = at.or_else(|| items.iter().position(beyond)).unwrap_or(items.len());
        items.drain(..skip);
    }
    if let Some(end) = range.end.as_ref().filter(|_| same) {
        let last = items.iter().rposition(|item| key(item) == *end).map(|at| at + 1);
        let beyond = |item: &T| beside(item, end).is_gt();
        let keep = last.or_else(|| items.iter().position(beyond)).unwrap_or(items.len());
        items.truncate(keep);
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
    Page::of(response)
}

/// Numbers by value, everything else as text.
fn compare(a: &str, b: &str) -> std::cmp::Ordering {
    match (a.parse::<i64>(), b.parse::<i64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => a.cmp(b),
    }
}
