//! Tells systemd how far the router is, where systemd asks for it (`NOTIFY_SOCKET`): see
//! sd_notify(3).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// It takes requests.
pub fn ready() {
    tell("READY=1");
}

/// It ends.
pub fn stopping() {
    tell("STOPPING=1");
}

/// Another process is the router now. Only the old one is listened to until then.
pub(crate) fn successor(pid: u32) {
    tell(&format!("MAINPID={pid}\nREADY=1"));
}

fn tell(state: &str) {
    #[allow(clippy::disallowed_methods, reason = "systemd's variable is no setting; it is read here only")]
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else { return };
    if let Err(error) = send(&socket, state) {
        tracing::warn!("systemd can't be told {state:?}: {error}");
    }
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let addr = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &addr).map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]
    use super::*;

    #[test]
    fn sockets_with_a_path_and_without_one_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("@paas-router-notify-{}", std::process::id());
        let there = UnixDatagram::bind(&path).unwrap();
        let abstracted =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name.as_bytes()[1..]).unwrap()).unwrap();
        for (socket, name) in [(there, path.as_os_str()), (abstracted, OsStr::new(&name))] {
            send(name, "READY=1").unwrap();
            let mut got = [0; 16];
            let length = socket.recv(&mut got).unwrap();
            assert_eq!(&got[..length], b"READY=1");
        }
        send(OsStr::new("/nowhere/notify"), "READY=1").unwrap_err();
    }
}
