//! Pagination by the `Range` header: `id ..; max=200, order=desc`.
//!
//! A listing is ordered by one property; a client names it, where to start and end, how many
//! it wants and in which direction. When there is more, the answer is 206 and its
//! `Next-Range` header holds the `Range` of the next page. Clients write the header in many
//! ways and none expects a refusal, so [`Range::parse`] reads what it can and leaves the rest.
//! What the header can't carry of a value, or would read as something else, is written as `%` and
//! two hexadecimal digits.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// Entries on a page when the client doesn't say.
pub const DEFAULT_MAX: u32 = 200;
/// Most entries on a page, whatever the client says.
pub const LARGEST_MAX: u32 = 1000;

/// Which part of a listing is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// What to order by: `id`, `name`, `version`, `seq` …; absent: as the listing likes.
    pub property: Option<String>,
    /// Where to start.
    pub start: Option<Bound>,
    /// Where to end, inclusive.
    pub end: Option<String>,
    /// How many, as asked; see [`Range::limit`].
    pub max: Option<u32>,
    /// Which direction; absent: as the listing likes.
    pub order: Option<Order>,
}

/// Where a page starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Value of the property.
    pub value: String,
    /// Whether the entry with that value is left out (`]value..`).
    pub exclusive: bool,
}

/// Direction of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Smallest first.
    Asc,
    /// Largest first.
    Desc,
}

impl Range {
    /// Reads a `Range` header; what can't be read is left out.
    #[must_use]
    pub fn parse(header: &str) -> Self {
        let mut range = Self::default();
        for part in header.split([';', ',']).map(str::trim).filter(|part| !part.is_empty()) {
            if let Some((key, value)) = part.split_once('=').filter(|_| !part.contains("..")) {
                range.argument(key.trim(), value.trim());
            } else {
                range.span(part);
            }
        }
        range
    }

    /// How many entries a page has: as asked, between 1 and [`LARGEST_MAX`].
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.max.unwrap_or(DEFAULT_MAX).clamp(1, LARGEST_MAX)
    }

    /// The range of the page after the entry whose property is `last`; `property` is what the
    /// listing was ordered by. Its text goes into `Next-Range`.
    #[must_use]
    pub fn after(&self, property: &str, last: &str) -> Self {
        Self {
            property: Some(property.to_owned()),
            start: Some(Bound { value: last.to_owned(), exclusive: true }),
            end: self.end.clone(),
            max: Some(self.limit()),
            order: self.order,
        }
    }

    fn argument(&mut self, key: &str, value: &str) {
        match (key, value) {
            ("max", value) => self.max = value.parse().ok(),
            ("order", "desc") => self.order = Some(Order::Desc),
            ("order", "asc") => self.order = Some(Order::Asc),
            (_, _) => {}
        }
    }

    fn span(&mut self, part: &str) {
        let (property, span) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if !property.bytes().all(word) {
            return;
        }
        self.property = Some(property.to_owned());
        let Some((start, end)) = span.trim().split_once("..") else {
            return;
        };
        let exclusive = start.starts_with(']');
        let start = start.trim_start_matches([']', '[']);
        if !start.is_empty() {
            self.start = Some(Bound { value: unescape(start), exclusive });
        }
        let end = end.trim_end_matches([']', '[']);
        if !end.is_empty() {
            self.end = Some(unescape(end));
        }
    }
}

impl FromStr for Range {
    type Err = Infallible;

    fn from_str(header: &str) -> Result<Self, Infallible> {
        Ok(Self::parse(header))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.property.as_deref().unwrap_or("id"))?;
        if let Some(start) = &self.start {
            write!(f, "{}{}", if start.exclusive { "]" } else { "" }, escape(&start.value))?;
        }
        write!(f, "..{}", escape(self.end.as_deref().unwrap_or_default()))?;
        let order = self.order.map(|order| match order {
            Order::Asc => "order=asc",
            Order::Desc => "order=desc",
        });
        match (self.max, order) {
            (Some(max), Some(order)) => write!(f, "; max={max}, {order}"),
            (Some(max), None) => write!(f, "; max={max}"),
            (None, Some(order)) => write!(f, "; {order}"),
            (None, None) => Ok(()),
        }
    }
}

/// A value as it stands in the header: letters, digits and what times and names have between them.
fn escape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for (at, byte) in value.bytes().enumerate() {
        // Two points would end it.
        let point = byte == b'.' && at > 0 && at + 1 < value.len() && value.as_bytes()[at - 1] != b'.';
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':' | b'+' | b'@' | b'/' | b'~') || point {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// The value that stands there; what is no escape is taken as it is.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match digits.filter(|_| *byte == b'%').and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(meant) => {
                bytes.push(meant);
                rest = &after[2..];
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_clients_send() {
        let cases = [
            ("id ..; max=200, order=desc", "id ..; max=200, order=desc"),
            ("version ..; max=1, order=desc", "version ..; max=1, order=desc"),
            ("version ..; order=desc,max=1", "version ..; max=1, order=desc"),
            ("order=desc,max=1", "id ..; max=1, order=desc"),
            ("id ..; max=1000;", "id ..; max=1000"),
            ("id ..; ;", "id .."),
            ("seq ..", "seq .."),
            ("number ..", "number .."),
            ("id ]01234567-89ab..; max=10", "id ]01234567-89ab..; max=10"),
            ("name a..z", "name a..z"),
            ("version 3..7]", "version 3..7"),
            ("", "id .."),
            ("bytes=0-100", "id .."),
            ("???", "id .."),
            ("id ..; max=-3, order=sideways", "id .."),
        ];
        for (header, wanted) in cases {
            assert_eq!(Range::parse(header).to_string(), wanted, "{header:?}");
        }
    }

    #[test]
    fn pages() {
        assert_eq!(Range::parse("").limit(), 200);
        assert_eq!(Range::parse("id ..; max=0").limit(), 1);
        assert_eq!(Range::parse("id ..; max=99999").limit(), 1000);
        let next = Range::parse("version ..; order=desc, max=2").after("version", "7");
        assert_eq!(next.to_string(), "version ]7..; max=2, order=desc");
        assert_eq!(Range::parse(&next.to_string()), next);
    }

    #[test]
    fn any_value_comes_back_from_the_header() {
        for value in
            ["7", "a, b; c", "ümlaut", "a..b", "..", ".", "] x", "100%", "%41", "", "2026-11-26T20:58:47.123Z", "a=b"]
        {
            let range = Range::parse("description ..; max=1").after("description", value);
            let text = range.to_string();
            assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text}");
            let read = Range::parse(&text);
            assert_eq!(read.start.map(|start| start.value).unwrap_or_default(), value, "{text}");
            assert_eq!((read.property, read.max), (range.property, range.max), "{text}");
        }
        assert_eq!(Range::parse("name 50%..z%zz").to_string(), "name 50%25..z%25zz");
    }
}
