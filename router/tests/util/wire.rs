//! HTTP/1.1 as its RFC (9112) has it and not a bit wider: what a test holds against the
//! bytes that the router wrote, to dynos and to visitors.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::backend::Dyno;

/// A request or a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The first line, without its end.
    pub start: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub trailers: Vec<(String, String)>,
}

impl Message {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Of a request.
    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// Of a response.
    pub fn status(&self) -> u16 {
        self.target().parse().unwrap_or_default()
    }
}

/// What some bytes begin with.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Whole(Message, usize),
    Partial,
    Wrong(String),
}

fn token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

type Lines = Vec<(String, String)>;

/// Header lines, each with CRLF at its end.
fn lines(text: &[u8]) -> Result<Lines, String> {
    let mut all = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.windows(2).position(|two| two == b"\r\n").ok_or("a line without end")?;
        let (line, after) = (&rest[..end], &rest[end + 2..]);
        let colon =
            line.iter().position(|byte| *byte == b':').ok_or_else(|| format!("no colon: {}", line.escape_ascii()))?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if !token(name) {
            return Err(format!("a name that is none: {}", line.escape_ascii()));
        }
        if value.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
            return Err(format!("a control character: {}", line.escape_ascii()));
        }
        all.push((String::from_utf8_lossy(name).to_lowercase(), String::from_utf8_lossy(value).into_owned()));
        rest = after;
    }
    Ok(all)
}

enum Framing {
    Length(usize),
    Chunked,
    None,
}

fn framing(headers: &[(String, String)]) -> Result<Framing, String> {
    let all = |name: &str| {
        headers.iter().filter(|(given, _)| given == name).map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => Ok(Framing::None),
        ([length], []) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
            length.parse().map(Framing::Length).map_err(|_| format!("a length of {length}"))
        }
        ([], [encoding]) if encoding == "chunked" => Ok(Framing::Chunked),
        (lengths, encodings) => Err(format!("a framing of {lengths:?} and {encodings:?}")),
    }
}

/// The decoded body, its trailers and how many bytes they took; None where some are missing.
fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, Lines, usize)>, String> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let Some(end) = bytes[at..].windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let size = &bytes[at..at + end];
        if size.is_empty() || size.len() > 16 || !size.iter().all(u8::is_ascii_hexdigit) {
            return Err(format!("a chunk of the size {}", size.escape_ascii()));
        }
        let size = usize::from_str_radix(&String::from_utf8_lossy(size), 16).map_err(|error| error.to_string())?;
        at += end + 2;
        if size == 0 {
            let rest = &bytes[at..];
            if rest.starts_with(b"\r\n") {
                return Ok(Some((body, vec![], at + 2)));
            }
            let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
            let trailers = lines(&rest[..end + 2])?;
            for (name, _) in &trailers {
                if ["content-length", "transfer-encoding", "host", "connection", "content-encoding"]
                    .contains(&name.as_str())
                {
                    return Err(format!("a trailer {name}"));
                }
            }
            return Ok(Some((body, trailers, at + end + 4)));
        }
        if bytes.len() < at + size + 2 {
            return Ok(None);
        }
        body.extend(&bytes[at..at + size]);
        at += size;
        if &bytes[at..at + 2] != b"\r\n" {
            return Err("a chunk without end".to_owned());
        }
        at += 2;
    }
}

/// A head, and where it ends.
fn head(bytes: &[u8]) -> Result<Option<(Vec<u8>, Lines, usize)>, String> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let first = bytes.windows(2).position(|two| two == b"\r\n").unwrap_or(end);
    let start = bytes[..first].to_vec();
    if start.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
        return Err(format!("a first line {}", start.escape_ascii()));
    }
    let headers = if first == end { vec![] } else { lines(&bytes[first + 2..end + 2])? };
    Ok(Some((start, headers, end + 4)))
}

fn message(
    bytes: &[u8],
    is_fine: impl Fn(&[u8], &Lines) -> Result<bool, String>,
    ended: Option<bool>,
) -> Result<Option<(Message, usize)>, String> {
    let Some((start, headers, at)) = head(bytes)? else { return Ok(None) };
    let has_body = is_fine(&start, &headers)?;
    let framing = framing(&headers)?;
    let (body, trailers, length) = match framing {
        _ if !has_body => (vec![], vec![], 0),
        Framing::Length(length) if bytes.len() < at + length => return Ok(None),
        Framing::Length(length) => (bytes[at..at + length].to_vec(), vec![], length),
        Framing::Chunked => match chunks(&bytes[at..])? {
            Some(all) => all,
            None => return Ok(None),
        },
        Framing::None => match ended {
            None => (vec![], vec![], 0),
            Some(true) => (bytes[at..].to_vec(), vec![], bytes.len() - at),
            Some(false) => return Ok(None),
        },
    };
    let (start, body) = (String::from_utf8_lossy(&start).into_owned(), String::from_utf8_lossy(&body).into_owned());
    Ok(Some((Message { start, headers, body, trailers }, at + length)))
}

fn step(result: Result<Option<(Message, usize)>, String>) -> Step {
    match result {
        Ok(Some((message, length))) => Step::Whole(message, length),
        Ok(None) => Step::Partial,
        Err(why) => Step::Wrong(why),
    }
}

/// A request as a dyno may read it.
pub fn request(bytes: &[u8]) -> Step {
    step(message(
        bytes,
        |start, headers| {
            let words: Vec<&[u8]> = start.split(|byte| *byte == b' ').collect();
            let fine = matches!(&words[..], [method, target, b"HTTP/1.1"] if token(method)
                && (target.starts_with(b"/") || *target == b"*") && !target.contains(&b'\t'));
            if !fine {
                return Err(format!("a request line {}", start.escape_ascii()));
            }
            match headers.iter().filter(|(name, _)| name == "host").count() {
                1 => Ok(true),
                hosts => Err(format!("{hosts} Host headers")),
            }
        },
        None,
    ))
}

/// The answers to requests of these methods, and whether the last is cut off. `ended`:
/// whether the connection was closed behind `bytes`. Answers like 100 are passed over.
pub fn responses(mut bytes: &[u8], methods: &[&str], ended: bool) -> Result<(Vec<Message>, bool), String> {
    let mut all: Vec<Message> = Vec::new();
    while !bytes.is_empty() {
        let method = methods.get(all.len()).copied().unwrap_or("GET");
        let fine = |start: &[u8], _: &Lines| {
            let text = String::from_utf8_lossy(start).into_owned();
            let words: Vec<&str> = text.splitn(3, ' ').collect();
            match &words[..] {
                ["HTTP/1.1", status, _] if status.len() == 3 => {
                    let status: u16 = status.parse().map_err(|_| format!("a status line {text}"))?;
                    Ok(method != "HEAD" && status >= 200 && status != 204 && status != 304)
                }
                _ => Err(format!("a status line {text}")),
            }
        };
        match message(bytes, fine, Some(ended))? {
            Some((message, length)) => {
                if message.status() >= 200 {
                    all.push(message);
                }
                bytes = &bytes[length..];
            }
            None => return Ok((all, true)),
        }
    }
    Ok((all, false))
}

/// What a dyno got on one connection.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    pub requests: Vec<Message>,
    /// What is no whole request yet.
    pub rest: Vec<u8>,
    pub wrong: Option<String>,
    pub closed: bool,
}

/// A dyno that keeps what it gets, and answers each whole request with its target.
pub struct Recorder {
    pub dyno: Dyno,
    heard: Arc<Mutex<Vec<Heard>>>,
    changed: watch::Sender<()>,
}

impl Recorder {
    pub async fn new() -> Recorder {
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let changed = watch::Sender::new(());
        let (all, tell) = (Arc::clone(&heard), changed.clone());
        let dyno = Dyno::raw(move |mut stream| {
            let (all, tell) = (Arc::clone(&all), tell.clone());
            async move {
                let number = {
                    let mut all = all.lock().unwrap();
                    all.push(Heard::default());
                    all.len() - 1
                };
                let mut buffer = vec![0; 64 * 1024];
                loop {
                    let read = stream.read(&mut buffer).await.unwrap_or(0);
                    let mut answers = String::new();
                    let goes_on = {
                        let mut all = all.lock().unwrap();
                        let heard = &mut all[number];
                        heard.rest.extend(&buffer[..read]);
                        heard.closed = read == 0;
                        while heard.wrong.is_none() && !heard.rest.is_empty() {
                            match request(&heard.rest) {
                                Step::Whole(message, length) => {
                                    heard.rest.drain(..length);
                                    answers.push_str(&answer(&message));
                                    heard.requests.push(message);
                                }
                                Step::Partial => break,
                                Step::Wrong(why) => heard.wrong = Some(why),
                            }
                        }
                        !heard.closed && heard.wrong.is_none()
                    };
                    tell.send_replace(());
                    if !goes_on || stream.write_all(answers.as_bytes()).await.is_err() {
                        break;
                    }
                }
                all.lock().unwrap()[number].closed = true;
                tell.send_replace(());
            }
        })
        .await;
        Recorder { dyno, heard, changed }
    }

    /// One that speaks HTTP/2: each of its streams stands as a connection of HTTP/1 would.
    pub async fn http2() -> Recorder {
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let changed = watch::Sender::new(());
        let (all, tell) = (Arc::clone(&heard), changed.clone());
        let dyno = Dyno::raw(move |stream| {
            let (all, tell) = (Arc::clone(&all), tell.clone());
            async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let (all, tell) = (Arc::clone(&all), tell.clone());
                    let number = {
                        let mut all = all.lock().unwrap();
                        all.push(Heard { rest: b"a stream".to_vec(), ..Heard::default() });
                        all.len() - 1
                    };
                    tokio::spawn(async move {
                        let taken = whole(request).await;
                        let answer = taken.as_ref().map(|message| format!("seen {}", message.target()));
                        {
                            let heard = &mut all.lock().unwrap()[number];
                            heard.rest.clear();
                            heard.closed = taken.is_none();
                            heard.requests.extend(taken);
                        }
                        tell.send_replace(());
                        // The router may have given the stream up meanwhile.
                        let Some(answer) = answer else { return };
                        let head = hyper::Response::builder().header("content-length", answer.len()).body(()).unwrap();
                        if let Ok(mut body) = respond.send_response(head, false) {
                            let _ = body.send_data(answer.into(), true);
                        }
                    });
                }
            }
        })
        .await;
        Recorder { dyno, heard, changed }
    }

    /// What was heard since the last time, when no request is under way any more. Pooled
    /// connections stay known.
    pub async fn heard(&self) -> Result<Vec<Heard>, String> {
        let mut changed = self.changed.subscribe();
        let quiet = |heard: &Heard| heard.closed || heard.rest.is_empty();
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while !self.heard.lock().unwrap().iter().all(quiet) {
                changed.changed().await.unwrap();
            }
        })
        .await;
        let mut all = self.heard.lock().unwrap();
        if waited.is_err() {
            return Err(format!("the dyno waits for the rest of a request: {all:?}"));
        }
        let heard = all.clone();
        for connection in all.iter_mut() {
            connection.requests.clear();
            connection.wrong = None;
            if connection.closed {
                connection.rest.clear();
            }
        }
        Ok(heard)
    }
}

/// A request of HTTP/2 to its end; nothing where it is broken off.
async fn whole(request: hyper::Request<h2::RecvStream>) -> Option<Message> {
    let (parts, mut body) = request.into_parts();
    let listed = |headers: &hyper::HeaderMap| -> Lines {
        let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
    };
    let mut headers = listed(&parts.headers);
    headers.extend(parts.uri.authority().map(|host| ("host".to_owned(), host.to_string())));
    let mut taken = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.ok()?;
        body.flow_control().release_capacity(data.len()).ok()?;
        taken.extend(data);
    }
    let trailers = body.trailers().await.ok()?.as_ref().map(listed).unwrap_or_default();
    let target = parts.uri.path_and_query().map_or("*", |target| target.as_str());
    Some(Message {
        start: format!("{} {target} HTTP/2", parts.method),
        headers,
        body: String::from_utf8_lossy(&taken).into_owned(),
        trailers,
    })
}

fn answer(request: &Message) -> String {
    let body = format!("seen {}", request.target());
    let shown = if request.start.starts_with("HEAD ") { "" } else { &body };
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{shown}", body.len())
}
