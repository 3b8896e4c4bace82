//! Where names lead: the system's answers, or those of a DNS server that the settings name
//! (RFC 1035, by UDP).

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::net::UdpSocket;

pub(crate) const A: u16 = 1;
pub(crate) const TXT: u16 = 16;
pub(crate) const AAAA: u16 = 28;

/// How long an answer is waited for, so often.
const TIME: Duration = Duration::from_secs(3);
const TRIES: usize = 3;

/// The addresses of a name; an error is a half sentence that goes on from the name.
pub async fn addresses(resolver: Option<SocketAddr>, name: &str) -> Result<Vec<IpAddr>, String> {
    let none = || "has no address: add a DNS record for it".to_owned();
    let Some(server) = resolver else {
        let found = tokio::net::lookup_host((name, 0)).await;
        let found: Vec<IpAddr> = found.map_err(|e| format!("can't be resolved ({e})"))?.map(|a| a.ip()).collect();
        return if found.is_empty() { Err(none()) } else { Ok(found) };
    };
    let mut found = Vec::new();
    for kind in [AAAA, A] {
        for data in ask(server, name, kind).await? {
            if let Ok(four) = <[u8; 4]>::try_from(data.as_slice()) {
                found.push(IpAddr::V4(Ipv4Addr::from(four)));
            } else if let Ok(sixteen) = <[u8; 16]>::try_from(data.as_slice()) {
                found.push(IpAddr::V6(Ipv6Addr::from(sixteen)));
            }
        }
    }
    if found.is_empty() { Err(none()) } else { Ok(found) }
}

/// Whether a TXT record of this value can be seen.
pub async fn has_text(server: SocketAddr, name: &str, value: &str) -> bool {
    let found = ask(server, name, TXT).await.unwrap_or_default();
    found.iter().any(|data| text(data) == value.as_bytes())
}

/// What a TXT record says: it is some strings, each after its length.
pub(crate) fn text(mut data: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    while let Some((length, after)) = data.split_first() {
        let (part, after) = after.split_at_checked(usize::from(*length)).unwrap_or((after, &[]));
        text.extend_from_slice(part);
        data = after;
    }
    text
}

/// The data of the records of this kind.
async fn ask(server: SocketAddr, name: &str, kind: u16) -> Result<Vec<Vec<u8>>, String> {
    let failed = |why: &dyn std::fmt::Display| format!("can't be looked up: the DNS server {server} fails ({why})");
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let question = question(name, kind).ok_or("is no name for DNS")?;
    let mut last = "no answer".to_owned();
    for _ in 0..TRIES {
        let socket = UdpSocket::bind((any, 0)).await.map_err(|e| failed(&e))?;
        socket.connect(server).await.map_err(|e| failed(&e))?;
        let id: [u8; 2] = rand::random();
        let message = [&id[..], &question[..]].concat();
        let asked = async {
            socket.send(&message).await?;
            let mut answer = vec![0; 4096];
            loop {
                let length = socket.recv(&mut answer).await?;
                let answer = answer.get(..length).unwrap_or_default();
                if answer.starts_with(&id) {
                    return Ok::<_, std::io::Error>(read(answer, kind));
                }
            }
        };
        match tokio::time::timeout(TIME, asked).await {
            Ok(Ok(Some(Ok(records)))) => return Ok(records),
            Ok(Ok(Some(Err(3)))) => return Err("does not exist in DNS".into()),
            Ok(Ok(Some(Err(code)))) => last = format!("code {code}"),
            Ok(Ok(None)) => last = "its answer can't be read".into(),
            Ok(Err(e)) => last = e.to_string(),
            Err(_) => {}
        }
    }
    Err(failed(&last))
}

/// A question without its id: recursion is wanted, one name of class IN.
fn question(name: &str, kind: u16) -> Option<Vec<u8>> {
    let mut bytes = vec![1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        bytes.push(length);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    Some(bytes)
}

/// The data of an answer's records of this kind, or the code of its failure; nothing where it is
/// no answer.
pub(crate) fn read(message: &[u8], kind: u16) -> Option<Result<Vec<Vec<u8>>, u8>> {
    let word = |at: usize| Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?));
    let flags = word(2)?;
    if flags & 0x8000 == 0 {
        return None;
    }
    let code = u8::try_from(flags & 0xf).ok()?;
    if code != 0 {
        return Some(Err(code));
    }
    let (questions, answers) = (word(4)?, word(6)?);
    let mut at = 12;
    for _ in 0..questions {
        at = after_name(message, at)? + 4;
    }
    let mut records = Vec::new();
    for _ in 0..answers {
        at = after_name(message, at)?;
        let length = usize::from(word(at + 8)?);
        let data = message.get(at + 10..at + 10 + length)?;
        if word(at)? == kind {
            records.push(data.to_vec());
        }
        at += 10 + length;
    }
    Some(Ok(records))
}

/// Where a name ends: at a zero, or after a pointer of two bytes.
fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = *message.get(at)?;
        match length {
            0 => return Some(at + 1),
            1..=63 => at += 1 + usize::from(length),
            192.. => return Some(at + 2),
            64..192 => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn answers_are_read_and_nonsense_is_not() {
        let mut answer = vec![0, 7, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0];
        answer.extend_from_slice(&question("www.example.com", A).unwrap()[10..]);
        // A CNAME first, then the address, both of names that are pointers.
        answer.extend_from_slice(&[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 16]);
        answer.extend_from_slice(&[0xc0, 16, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 7]);
        assert_eq!(read(&answer, A), Some(Ok(vec![vec![192, 0, 2, 7]])));
        assert_eq!(read(&answer, AAAA), Some(Ok(vec![])));
        for end in 0..answer.len() {
            assert!(read(&answer[..end], A).is_none(), "{end}");
        }
        answer[3] = 0x83;
        assert_eq!(read(&answer, A), Some(Err(3)));
        assert!(question("a..b", A).is_none() && question(&"x".repeat(64), A).is_none());
    }
}
