//! What can go wrong with a request: Heroku's codes, their words and statuses.

use hyper::StatusCode;

/// A failure with a code of Heroku's, as it appears in the app's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// H10: every web dyno crashed.
    Crashed,
    /// H11: more requests at once than the app's dynos may have.
    Backlog,
    /// H12: no first byte in time.
    RequestTimeout,
    /// H13: the dyno closed the connection without a byte.
    ClosedWithoutResponse,
    /// H14: no web dynos.
    NoWeb,
    /// H15: a response that went silent.
    IdleConnection,
    /// H17: what the dyno sent is no HTTP response.
    BadResponse,
    /// H18: the dyno closed the connection in the middle of request or response.
    ServerInterrupted,
    /// H19: the dyno didn't take the connection in time.
    ConnectTimeout,
    /// H20: no dyno came up in time.
    BootTimeout,
    /// H21: the dyno refused the connection.
    ConnectRefused,
    /// H22: more tunnels at once than one app may have.
    ConnectionLimit,
    /// H24: the router ended before the request did.
    ForcedClose,
    /// H25: the response breaks a limit, named here.
    Restriction(&'static str),
    /// H26: the request's `Expect` asks for something unknown.
    BadExpect,
    /// H26: a header breaks a limit.
    BadHeader,
    /// H26: a chunk of the body is malformed.
    BadChunk,
    /// H27: the client went away.
    ClientInterrupted,
    /// H28: the client went silent.
    ClientIdle,
    /// H31: the request's host has a certificate, but the connection was made with another.
    Misdirected,
    /// H32: the connection's certificate is another host's, and this one has none.
    CertificateMismatch,
    /// H33: the client broke the rules of HTTP/2 in its stream.
    StreamBroken,
    /// H34: every dyno was in quarantine, and still none could be connected to.
    Quarantined,
    /// H80: maintenance mode.
    Maintenance,
    /// H81: nothing was released yet.
    Blank,
    /// H99: our own fault.
    Platform,
}

/// What the log and the client are told of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// H10 to H99.
    pub(crate) code: &'static str,
    /// Heroku's words.
    pub(crate) description: &'static str,
    /// What the client gets, or would have got.
    pub(crate) status: StatusCode,
    /// `at=` in the log line.
    pub(crate) level: &'static str,
    /// `sock=` in front of the log line: which side's socket broke.
    pub(crate) socket: Option<&'static str>,
    /// `cause=` in the log line, for codes that have several.
    pub(crate) cause: Option<&'static str>,
}

impl Facts {
    const fn new(code: &'static str, description: &'static str) -> Facts {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Facts { code, description, status, level: "error", socket: None, cause: None }
    }

    const fn level(self, level: &'static str) -> Facts {
        Facts { level, ..self }
    }

    const fn status(self, status: StatusCode) -> Facts {
        Facts { status, ..self }
    }

    const fn socket(self, socket: &'static str) -> Facts {
        Facts { socket: Some(socket), ..self }
    }

    const fn cause(self, cause: &'static str) -> Facts {
        Facts { cause: Some(cause), ..self }
    }
}

impl Failure {
    /// Everything about it.
    pub(crate) const fn facts(self) -> Facts {
        match self {
            Failure::Crashed => Facts::new("H10", "App crashed"),
            Failure::Backlog => Facts::new("H11", "Backlog too deep"),
            Failure::RequestTimeout => Facts::new("H12", "Request timeout"),
            Failure::ClosedWithoutResponse => Facts::new("H13", "Connection closed without response"),
            Failure::NoWeb => Facts::new("H14", "No web processes running"),
            Failure::IdleConnection => Facts::new("H15", "Idle connection"),
            Failure::BadResponse => Facts::new("H17", "Poorly formatted HTTP response"),
            Failure::ServerInterrupted => Facts::new("H18", "Server Request Interrupted").socket("backend"),
            Failure::ConnectTimeout => Facts::new("H19", "Backend connection timeout"),
            Failure::BootTimeout => Facts::new("H20", "App boot timeout"),
            Failure::ConnectRefused => Facts::new("H21", "Backend connection refused"),
            Failure::ConnectionLimit => Facts::new("H22", "Connection limit reached"),
            Failure::ForcedClose => Facts::new("H24", "Forced close"),
            Failure::Restriction(cause) => {
                Facts::new("H25", "HTTP Restriction").cause(cause).status(StatusCode::BAD_GATEWAY)
            }
            Failure::BadExpect => Facts::new("H26", "Request Error")
                .cause("unsupported expect header value")
                .status(StatusCode::EXPECTATION_FAILED),
            Failure::BadHeader => {
                Facts::new("H26", "Request Error").cause("bad header").status(StatusCode::BAD_REQUEST)
            }
            Failure::BadChunk => Facts::new("H26", "Request Error").cause("bad chunk").status(StatusCode::BAD_REQUEST),
            Failure::ClientInterrupted => {
                Facts::new("H27", "Client Request Interrupted").level("warning").socket("client").status(CLIENT_CLOSED)
            }
            Failure::ClientIdle => Facts::new("H28", "Client Connection Idle").level("warning").status(CLIENT_CLOSED),
            Failure::Misdirected => Facts::new("H31", "Misdirected Request").status(StatusCode::MISDIRECTED_REQUEST),
            Failure::CertificateMismatch => {
                Facts::new("H32", "TLS Certificate Mismatch").status(StatusCode::MISDIRECTED_REQUEST)
            }
            Failure::StreamBroken => Facts::new("H33", "HTTP/2 Stream Broken").status(StatusCode::BAD_REQUEST),
            Failure::Quarantined => Facts::new("H34", "All up dynos are quarantined"),
            Failure::Maintenance => Facts::new("H80", "Maintenance mode").level("info"),
            Failure::Blank => Facts::new("H81", "Blank app").level("info"),
            Failure::Platform => Facts::new("H99", "Platform error"),
        }
    }

    /// The status that the client gets, or would have got.
    pub(crate) const fn status(self) -> StatusCode {
        self.facts().status
    }
}

/// 499, which has no name of its own: the client closed the connection.
const CLIENT_CLOSED: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};
