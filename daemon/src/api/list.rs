//! Lists: `Range` asks for order and number, `Next-Range` tells that there is more.

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::IntoResponse,
};
use paas_wire::{Range, range::Order};
use serde::Serialize;

use super::{endpoints::Page, transport::Shown};
use crate::store::releases::Part;

/// Shows a list that is in ascending order of `property`; `key` gives an item's value of it.
///
/// Who asks by another property that the items have gets them in its order; a property that
/// they don't have is as good as none.
pub(super) fn list<T: Serialize>(
    headers: &HeaderMap,
    property: &str,
    items: Vec<T>,
    key: impl Fn(&T) -> String,
) -> Page<T> {
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let range = asked.map(Range::parse).unwrap_or_default();
    let other = range.property.as_deref().filter(|other| *other != property);
    let by_other = other.and_then(|other| items.iter().map(|item| value_of(item, other)).collect::<Option<Vec<_>>>());
    let (property, mut items): (&str, Vec<(String, T)>) = match (other, by_other) {
        (Some(other), Some(keys)) => {
            let mut items: Vec<_> = keys.into_iter().zip(items).collect();
            items.sort_by(|a, b| compare(&a.0, &b.0));
            (other, items)
        }
        (Some(_) | None, _) => (property, items.into_iter().map(|item| (key(&item), item)).collect()),
    };
    let descending = range.order == Some(Order::Desc);
    if descending {
        items.reverse();
    }
    let same = range.property.as_deref().is_none_or(|asked| asked == property);
    // Where a value stands in this order beside an item's.
    let beside = |key: &str, value: &str| {
        let order = compare(key, value);
        if descending { order.reverse() } else { order }
    };
    if let Some(start) = range.start.as_ref().filter(|_| same) {
        let is_it = |(key, _): &(String, T)| *key == start.value;
        // Several may have that value: a page begins behind all of them, or with the first.
        let at = match start.exclusive {
            true => items.iter().rposition(is_it).map(|at| at + 1),
            false => items.iter().position(is_it),
        };
        let beyond = |(key, _): &(String, T)| beside(key, &start.value).is_ge();
        let skip = at.or_else(|| items.iter().position(beyond)).unwrap_or(items.len());
        items.drain(..skip);
    }
    if let Some(end) = range.end.as_ref().filter(|_| same) {
        let last = items.iter().rposition(|(key, _)| key == end).map(|at| at + 1);
        let beyond = |(key, _): &(String, T)| beside(key, end).is_gt();
        let keep = last.or_else(|| items.iter().position(beyond)).unwrap_or(items.len());
        items.truncate(keep);
    }
    let mut limit = if asked.is_some() { range.limit() as usize } else { paas_wire::range::LARGEST_MAX as usize };
    // The next page begins behind all that have the last one's value, so they are on this one.
    while limit < items.len() && items[limit].0 == items[limit - 1].0 {
        limit += 1;
    }
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|(last, _)| range.after(property, last).to_string());
    let shown = items.first().zip(items.last()).map(|((first, _), (last, _))| format!("{property} {first}..{last}"));
    let status = if more { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let items: Vec<T> = items.into_iter().map(|(_, item)| item).collect();
    let mut response = (status, Json(items)).into_response();
    let accepts = if property == "id" { property.to_owned() } else { format!("id, {property}") };
    // A key that no header can carry is not told.
    for (name, value) in [(header::ACCEPT_RANGES, Some(accepts)), (HeaderName::from_static("next-range"), next)] {
        if let Some(Ok(value)) = value.map(|value| HeaderValue::from_str(&value)) {
            response.headers_mut().insert(name, value);
        }
    }
    if let Some(Ok(shown)) = shown.map(|shown| HeaderValue::from_str(&shown)) {
        response.extensions_mut().insert(Shown(shown));
    }
    Page::of(response)
}

/// Whether a list is asked for in the order of this property.
pub(super) fn is_by(headers: &HeaderMap, property: &str) -> bool {
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    asked.is_some_and(|asked| Range::parse(asked).property.as_deref() == Some(property))
}

/// Which part of a list that is numbered by `property` is needed for what [`list`] shows, so
/// that no more is read; all of it where it is asked for in another way.
pub(super) fn part(headers: &HeaderMap, property: &str) -> Part {
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let range = asked.map(Range::parse).unwrap_or_default();
    let number = |text: Option<&str>| text.map(str::parse::<i64>).transpose();
    let (start, end) = (range.start.as_ref().map(|start| start.value.as_str()), range.end.as_deref());
    let (Ok(start), Ok(end), true) =
        (number(start), number(end), range.property.as_deref().is_none_or(|asked| asked == property))
    else {
        return Part::ALL;
    };
    let highest = range.order == Some(Order::Desc);
    let (from, to) = if highest { (end, start) } else { (start, end) };
    let limit = if asked.is_some() { range.limit() } else { paas_wire::range::LARGEST_MAX };
    // One more tells that there are more; where to start may be left out.
    let most = i64::from(limit) + 2;
    Part { from: from.unwrap_or(Part::ALL.from), to: to.unwrap_or(Part::ALL.to), most, highest }
}

/// An item's value of a property, where it is a text or a number.
fn value_of<T: Serialize>(item: &T, property: &str) -> Option<String> {
    match serde_json::to_value(item).ok()?.get_mut(property)?.take() {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Array(_)
        | serde_json::Value::Object(_) => None,
    }
}

/// Numbers by value, everything else as text.
fn compare(a: &str, b: &str) -> std::cmp::Ordering {
    match (a.parse::<i64>(), b.parse::<i64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => a.cmp(b),
    }
}
