//! Headers with a meaning of their own: API version, request ids, rate limit, warnings.

/// The media type that our own client asks for.
pub const ACCEPT_V3: &str = "application/vnd.heroku+json; version=3";
/// Requests that may still be made.
pub const RATE_LIMIT_REMAINING: &str = "RateLimit-Remaining";
/// Id of a request, as the server answers it; clients send on what they know as a comma list.
pub const REQUEST_ID: &str = "Request-Id";
/// A sentence that clients print on stderr.
pub const WARNING: &str = "X-Heroku-Warning";
/// The next page, see [`crate::range`].
pub const NEXT_RANGE: &str = "Next-Range";
/// By which properties a listing can be ordered.
pub const ACCEPT_RANGES: &str = "Accept-Ranges";
/// Which resources to answer in full, as a comma list.
pub const ACCEPT_EXPANSION: &str = "Accept-Expansion";
/// Longest Request-Id list that is kept, in bytes: clients let it grow to 7 KB.
pub const REQUEST_ID_MAX: usize = 7 * 1024;

/// What a client asks for by its `Accept` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiVersion {
    /// Always 3 here.
    pub major: u32,
    /// What follows the dot in `version=3.sdk`; any suffix is fine.
    pub variant: Option<String>,
}

/// Reads an `Accept` header. Without a version (absent, `*/*`, `application/json`) it is 3.
///
/// # Errors
/// The version as the client wrote it, when it is not 3 or 3 with a suffix.
pub fn api_version(accept: &str) -> Result<ApiVersion, String> {
    let wanted = accept
        .split([',', ';'])
        .filter_map(|part| part.trim().strip_prefix("version="))
        .map(|version| version.trim_matches('"'))
        .next();
    let Some(wanted) = wanted else {
        return Ok(ApiVersion { major: 3, variant: None });
    };
    let (major, variant) = match wanted.split_once('.') {
        Some((major, variant)) => (major, Some(variant.to_owned())),
        None => (wanted, None),
    };
    if major == "3" { Ok(ApiVersion { major: 3, variant }) } else { Err(wanted.to_owned()) }
}

/// The request ids of a header, oldest first.
pub fn request_ids(header: &str) -> impl Iterator<Item = &str> {
    header.split(',').map(str::trim).filter(|id| !id.is_empty())
}

/// The list that answers a request: what the client sent, then `own`. The oldest ids are
/// left out when the list would be longer than [`REQUEST_ID_MAX`].
#[must_use]
pub fn with_request_id(sent: Option<&str>, own: &str) -> String {
    let mut ids: Vec<&str> = sent.map(|sent| request_ids(sent).collect()).unwrap_or_default();
    ids.push(own);
    let mut length: usize = ids.iter().map(|id| id.len() + 1).sum();
    let mut first = 0;
    while length > REQUEST_ID_MAX && first + 1 < ids.len() {
        length -= ids[first].len() + 1;
        first += 1;
    }
    ids[first..].join(",")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn versions() {
        for accept in ["*/*", "", "application/json", ACCEPT_V3] {
            assert_eq!(api_version(accept).unwrap().variant, None, "{accept}");
        }
        let version = api_version("application/vnd.heroku+json; version=3.cedar-acm").unwrap();
        assert_eq!(version.variant.as_deref(), Some("cedar-acm"));
        assert_eq!(api_version("application/vnd.heroku+json; version=2"), Err("2".to_owned()));
        assert_eq!(api_version("a/b; version=30"), Err("30".to_owned()));
    }

    #[test]
    fn request_id_list_stays_short() {
        assert_eq!(with_request_id(None, "z"), "z");
        assert_eq!(with_request_id(Some("a, b,"), "z"), "a,b,z");
        let long = vec!["x".repeat(99); 200].join(",");
        let list = with_request_id(Some(&long), "z");
        assert!(list.len() <= REQUEST_ID_MAX && list.ends_with(",z"), "{}", list.len());
    }
}
