//! The ports: which worker takes connections from which socket, and HTTPS, which is opened
//! when there is a certificate for it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::handover::{Estate, Named};
use crate::https_policy::HttpsPort;
use crate::listen::bind;
use crate::run::StartError;
use crate::tls::Certificates;
use crate::worker::Listening;

/// HTTPS, open or to be opened.
pub(crate) struct Https {
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) addr: Option<SocketAddr>,
    /// The port by which visitors come, if it is another.
    pub(crate) visitors: Option<u16>,
    /// Where redirects learn of the port.
    pub(crate) port: Arc<HttpsPort>,
    pub(crate) inherited: Vec<TcpListener>,
    pub(crate) inherited_own: bool,
    pub(crate) open: Arc<Mutex<Vec<String>>>,
    pub(crate) threads: usize,
}

/// Sockets that are open and not in use yet.
pub(crate) struct Ready {
    addrs: Vec<SocketAddr>,
    shares: Vec<Vec<Listening>>,
}

/// Gives listeners to the workers.
pub(crate) struct Doors {
    pub(crate) https: Https,
    pub(crate) workers: Vec<mpsc::UnboundedSender<Listening>>,
    pub(crate) estate: Arc<Estate>,
}

impl Doors {
    /// Puts the sockets for HTTP into the estate and deals them out.
    pub(crate) fn http(&self, listeners: Vec<TcpListener>, own: bool) -> Result<Ready, StartError> {
        self.ready(listeners, Named { tls: false, own })
    }

    /// The same for HTTPS, if there is a certificate now.
    pub(crate) fn https(&mut self, first: bool) -> Result<Option<Ready>, StartError> {
        let https = &mut self.https;
        if https.addr.is_none() && https.inherited.is_empty() {
            return Ok(None);
        }
        if let Err(error) = https.certificates.reload() {
            if first {
                tracing::info!("HTTPS is not opened: {error}. It will be when certificate and key are there");
            }
            return Ok(None);
        }
        let (listeners, own) = match https.addr {
            Some(addr) if https.inherited.is_empty() => (bind(addr, https.threads, "PAAS_HTTPS_LISTEN")?, true),
            Some(_) | None => (std::mem::take(&mut https.inherited), https.inherited_own),
        };
        self.ready(listeners, Named { tls: true, own }).map(Some)
    }

    fn ready(&self, listeners: Vec<TcpListener>, named: Named) -> Result<Ready, StartError> {
        let fail = |error: io::Error| StartError::System(format!("a listener can't be shared: {error}"));
        self.estate.add(named, &listeners).map_err(fail)?;
        let addrs = addresses(&listeners);
        let tls = named.tls.then(|| self.https.acceptor.clone());
        let mut shares: Vec<Vec<Listening>> = Vec::new();
        for worker in 0..self.workers.len() {
            let mut share = Vec::new();
            for number in share_of(worker, self.workers.len(), listeners.len()) {
                let Some(listener) = listeners.get(number) else { continue };
                let listener = listener.try_clone().map_err(fail)?;
                share.push(Listening { listener, tls: tls.clone(), own: named.own });
            }
            shares.push(share);
        }
        Ok(Ready { addrs, shares })
    }

    /// From here on connections are taken.
    pub(crate) fn open(&self, ready: Ready) -> Vec<String> {
        for (worker, share) in self.workers.iter().zip(ready.shares) {
            for listening in share {
                // A worker that is gone has said why.
                let _ = worker.send(listening);
            }
        }
        ready.addrs.iter().map(ToString::to_string).collect()
    }

    /// The same for HTTPS.
    pub(crate) fn open_https(&self, ready: Ready) {
        if let (None, Some(addr)) = (self.https.visitors, ready.addrs.first()) {
            self.https.port.set(addr.port());
        }
        let addrs = self.open(ready);
        for addr in &addrs {
            tracing::info!("HTTPS is taken at {addr}");
        }
        *self.https.open.lock().unwrap_or_else(PoisonError::into_inner) = addrs;
    }

    /// Opens HTTPS late, and takes a new certificate when the files change. Never ends.
    pub(crate) async fn watch_certificate(mut self, period: Duration) {
        let mut told = String::new();
        loop {
            tokio::time::sleep(period).await;
            let open = !self.https.open.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
            let trouble = if open {
                match self.https.certificates.reload() {
                    Ok(true) => {
                        tracing::info!("A new certificate is in use");
                        None
                    }
                    Ok(false) => None,
                    Err(error) => Some(format!("The certificate in use stays: {error}")),
                }
            } else {
                match self.https(false) {
                    Ok(Some(ready)) => {
                        self.open_https(ready);
                        None
                    }
                    Ok(None) => None,
                    Err(error) => Some(format!("HTTPS can't be opened: {error}")),
                }
            };
            let trouble = trouble.unwrap_or_default();
            if trouble != told && !trouble.is_empty() {
                tracing::warn!("{trouble}");
            }
            told = trouble;
        }
    }
}

/// The sockets of one worker. Every socket has a worker, since what the kernel queues for one
/// waits for it alone, and every worker a socket. As many as workers: one each.
fn share_of(worker: usize, workers: usize, sockets: usize) -> Vec<usize> {
    let (workers, longer) = (workers.max(1), workers.max(sockets));
    let mut share: Vec<usize> =
        (0..longer).filter(|number| number % workers == worker).map(|number| number % sockets.max(1)).collect();
    share.dedup();
    if sockets == 0 { Vec::new() } else { share }
}

/// Where these listen, each address once.
pub(crate) fn addresses(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    let mut addrs: Vec<SocketAddr> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    addrs.dedup();
    addrs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_socket_is_left_alone_and_no_worker_without_work() {
        for workers in 1..9 {
            for sockets in 1..9 {
                let shares: Vec<Vec<usize>> = (0..workers).map(|worker| share_of(worker, workers, sockets)).collect();
                let mut all: Vec<usize> = shares.concat();
                all.sort_unstable();
                all.dedup();
                assert_eq!(all, (0..sockets).collect::<Vec<_>>(), "{workers} workers, {sockets} sockets");
                assert!(shares.iter().all(|share| !share.is_empty()), "{shares:?}");
                if workers == sockets {
                    assert!(shares.iter().enumerate().all(|(worker, share)| *share == [worker]), "{shares:?}");
                }
            }
            assert_eq!(share_of(0, workers, 0), Vec::<usize>::new());
        }
    }
}
