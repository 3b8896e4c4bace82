//! Where a body ends: what the headers say of it, and what is made of that (RFC 9112, 6).
//! Strict, since a body that two servers end at different places smuggles requests.

use crate::http1::write;

/// How a body's end is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// There is no body, and nothing is said of it.
    None,
    Exact(u64),
    Chunked,
    /// The body ends with the connection.
    UntilEnd,
}

impl Length {
    /// Whether there is anything to wait for.
    pub(crate) fn has_body(self) -> bool {
        match self {
            Length::None | Length::Exact(0) => false,
            Length::Exact(_) | Length::Chunked | Length::UntilEnd => true,
        }
    }
}

/// The headers contradict each other or say what nobody understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unclear {
    Length,
    Coding,
}

/// What the headers of one message say about its body.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Declared {
    length: Option<u64>,
    codings: u32,
    unclear: Option<Unclear>,
}

impl Declared {
    /// Takes a `Content-Length`. The same number twice is the same number.
    pub(crate) fn length(&mut self, value: &[u8]) {
        match number(value) {
            Some(length) if self.length.is_none_or(|before| before == length) => self.length = Some(length),
            Some(_) | None => self.unclear = Some(Unclear::Length),
        }
    }

    /// Takes a `Transfer-Encoding`.
    pub(crate) fn coding(&mut self, value: &[u8]) {
        self.codings += 1;
        if self.codings > 1 || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
            self.unclear = Some(Unclear::Coding);
        }
    }

    /// Of a request of HTTP/1: how long, and whether the connection may go on after it.
    pub(crate) fn of_request(self, old: bool) -> Result<(Length, bool), Unclear> {
        match (self.unclear, self.codings, self.length) {
            (Some(unclear), _, _) => Err(unclear),
            (None, 1.., _) if old => Err(Unclear::Coding),
            // Chunked wins, but who sends both may have another in mind who sees it otherwise.
            (None, 1.., length) => Ok((Length::Chunked, length.is_none())),
            (None, 0, Some(length)) => Ok((Length::Exact(length), true)),
            (None, 0, None) => Ok((Length::None, true)),
        }
    }

    /// Of a message of HTTP/2, where `streams` tells whether a body follows.
    pub(crate) fn of_stream(self, streams: bool) -> Result<(Length, bool), Unclear> {
        match (self.unclear, self.codings, self.length) {
            (Some(unclear), _, _) => Err(unclear),
            (None, 1.., _) => Err(Unclear::Coding),
            (None, 0, Some(0)) => Ok((if streams { Length::Chunked } else { Length::Exact(0) }, true)),
            (None, 0, Some(_)) if !streams => Err(Unclear::Length),
            (None, 0, Some(length)) => Ok((Length::Exact(length), true)),
            (None, 0, None) => Ok((if streams { Length::Chunked } else { Length::None }, true)),
        }
    }

    /// Of a response of HTTP/1 that may have a body.
    pub(crate) fn of_response(self, old: bool) -> Result<(Length, bool), Unclear> {
        match self.of_request(old)? {
            (Length::None, _) => Ok((Length::UntilEnd, false)),
            other => Ok(other),
        }
    }

    /// Of a response of HTTP/2 that may have a body.
    pub(crate) fn of_answering_stream(self, streams: bool) -> Result<(Length, bool), Unclear> {
        match self.of_stream(streams)? {
            (Length::None, certain) => Ok((Length::Exact(0), certain)),
            other => Ok(other),
        }
    }

    /// Whether a body is promised, or seems to be.
    pub(crate) fn promises(self) -> bool {
        self.unclear.is_some() || self.codings > 0 || self.length.is_some_and(|length| length > 0)
    }

    /// The `Content-Length`, for a response whose body is left out.
    pub(crate) fn told(self) -> Option<u64> {
        self.length.filter(|_| self.unclear.is_none() && self.codings == 0)
    }
}

/// Digits and nothing else; `None` also for what no 64 bits hold.
fn number(value: &[u8]) -> Option<u64> {
    let value = value.trim_ascii();
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Writes the header that says it.
pub(crate) fn write(out: &mut Vec<u8>, length: Length) {
    match length {
        Length::None | Length::UntilEnd => {}
        Length::Exact(length) => {
            out.extend_from_slice(b"content-length: ");
            write::decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Length::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(lines: &[(&str, &str)]) -> Declared {
        let mut declared = Declared::default();
        for (name, value) in lines {
            match *name {
                "cl" => declared.length(value.as_bytes()),
                _ => declared.coding(value.as_bytes()),
            }
        }
        declared
    }

    #[test]
    fn requests() {
        for (lines, old, expected) in [
            (&[][..], false, Ok((Length::None, true))),
            (&[("cl", "5")], false, Ok((Length::Exact(5), true))),
            (&[("cl", "5"), ("cl", "5")], false, Ok((Length::Exact(5), true))),
            (&[("cl", "5"), ("cl", "6")], false, Err(Unclear::Length)),
            (&[("cl", "5, 5")], false, Err(Unclear::Length)),
            (&[("cl", "+5")], false, Err(Unclear::Length)),
            (&[("cl", "0x5")], false, Err(Unclear::Length)),
            (&[("cl", "")], false, Err(Unclear::Length)),
            (&[("cl", "99999999999999999999")], false, Err(Unclear::Length)),
            (&[("te", "Chunked")], false, Ok((Length::Chunked, true))),
            (&[("te", "chunked"), ("cl", "5")], false, Ok((Length::Chunked, false))),
            (&[("te", "chunked"), ("cl", "x")], false, Err(Unclear::Length)),
            (&[("te", "chunked")], true, Err(Unclear::Coding)),
            (&[("te", "chunked"), ("te", "chunked")], false, Err(Unclear::Coding)),
            (&[("te", "gzip, chunked")], false, Err(Unclear::Coding)),
            (&[("te", "identity")], false, Err(Unclear::Coding)),
            (&[("te", "xchunked")], false, Err(Unclear::Coding)),
            (&[("te", "\"chunked\"")], false, Err(Unclear::Coding)),
        ] {
            assert_eq!(declared(lines).of_request(old), expected, "{lines:?}");
        }
    }

    #[test]
    fn responses_and_streams() {
        assert_eq!(declared(&[]).of_response(false), Ok((Length::UntilEnd, false)));
        assert_eq!(declared(&[("te", "chunked"), ("cl", "3")]).of_response(false), Ok((Length::Chunked, false)));
        assert_eq!(declared(&[("te", "chunked")]).of_stream(true), Err(Unclear::Coding));
        assert_eq!(declared(&[("cl", "3")]).of_stream(false), Err(Unclear::Length));
        assert_eq!(declared(&[]).of_stream(true), Ok((Length::Chunked, true)));
    }
}
