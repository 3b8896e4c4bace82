//! The control thread: what goes on beside the workers, and how all of it ends so that nobody
//! notices.

use std::fs;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::admin::Admin;
use crate::doors::Doors;
use crate::ending::Ending;
use crate::handover::{Before, Estate, listen, report};
use crate::metrics;
use crate::run::StartError;
use crate::settings::Limits;
use crate::ship::Shipper;
use crate::sync::Sync;
use crate::table::Routes;
use crate::table_file::TableFile;
use crate::wake::Waker;

/// How often a router that ends looks for a table that its successor has written.
const FOLLOW: Duration = Duration::from_millis(50);

/// All that the thread does.
pub(crate) struct Control {
    pub(crate) admin: Arc<Admin>,
    pub(crate) socket: AdminSocket,
    pub(crate) sync: Sync,
    pub(crate) waker: Waker,
    pub(crate) shipper: Shipper,
    pub(crate) doors: Doors,
    pub(crate) file: TableFile,
    pub(crate) estate: Arc<Estate>,
    pub(crate) ending: Arc<Ending>,
    pub(crate) workers: Vec<JoinHandle<()>>,
    pub(crate) stopped: watch::Receiver<bool>,
    /// The router that has handed over to this one.
    pub(crate) before: Option<Before>,
    /// The one that this one hands over to.
    pub(crate) successor: oneshot::Receiver<UnixStream>,
    pub(crate) limits: Limits,
}

impl Control {
    /// Until the router has ended.
    pub(crate) async fn run(self) {
        let Control { admin, socket, sync, waker, shipper, doors, file, estate, ending, workers, limits, .. } = self;
        let mut stopped = self.stopped;
        let (listener, path) = (socket.listener, socket.path);
        let listener = match tokio::net::UnixListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!("The router's own socket can't be used: {error}"),
        };
        let before = self.before.map(|before| {
            let (older, ending) = (Arc::clone(&admin.older), Arc::clone(&ending));
            tokio::spawn(listen(before, older, ending))
        });
        let routes = Arc::clone(&sync.routes);
        let log_waiting = Arc::clone(&admin.log_waiting);
        let tasks = [
            tokio::spawn(sync.run()),
            tokio::spawn(file.clone().keep(limits.backoff)),
            tokio::spawn(Arc::clone(&admin).run(listener)),
            tokio::spawn(doors.watch_certificate(limits.tls_check)),
            tokio::spawn(metrics::note(Arc::clone(&admin.shared), limits.recent)),
        ];
        let shipped = tokio::spawn(shipper.run());
        // Requests that wait at the end wait for a dyno all the same.
        let waking = tokio::spawn(waker.run());
        // An error means that whoever could stop us is gone.
        let _ = stopped.wait_for(|stopped| *stopped).await;
        for task in tasks {
            task.abort();
        }
        if !ending.handed_over() {
            let _ = fs::remove_file(&path);
        }
        let lock = estate.give_up();
        let laying = file.clone();
        let laid = tokio::task::spawn_blocking(move || {
            let laid = laying.lay_down();
            // From here on the next router may start, unless it has.
            drop(lock);
            laid
        });
        if let Ok(Err(error)) = laid.await {
            tracing::error!(
                "The router ends and its newest routing table can't be kept on disk: {error}. Is the disk full?"
            );
        }
        let following = tokio::spawn(follow(file, routes));
        if ending.handed_over()
            && let Ok(stream) = self.successor.await
        {
            let (admin, ending) = (Arc::clone(&admin), Arc::clone(&ending));
            tokio::spawn(report(stream, ending, admin));
        }
        let ended = tokio::task::spawn_blocking(move || workers.into_iter().for_each(|worker| drop(worker.join())));
        let _ = ended.await;
        following.abort();
        waking.abort();
        // The daemon may just be restarting, too.
        if tokio::time::timeout(limits.last_lines, shipped).await.is_err() {
            let lost = log_waiting.load(Ordering::Relaxed);
            tracing::warn!(log.lines = lost, "The router ends while the daemon is away: access lines are lost");
        }
        // What that one still does is told through this one.
        if let Some(before) = before
            && ending.handed_over()
        {
            let _ = before.await;
        }
    }
}

/// Requests that go on, or wait for a dyno, go by the table that the next router has.
async fn follow(file: TableFile, routes: Arc<Routes>) {
    let mut mark = file.last_mark();
    loop {
        let newest = file.mark();
        if newest != mark {
            mark = newest;
            if let Some(table) = file.peek() {
                routes.publish(table);
            }
        }
        tokio::time::sleep(FOLLOW).await;
    }
}

/// Where the router answers about itself.
pub(crate) struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
    beside: PathBuf,
}

impl AdminSocket {
    /// Opens it beside its place: a router that is to be replaced still answers there.
    pub(crate) fn bind(path: PathBuf) -> Result<AdminSocket, StartError> {
        let beside = path.with_extension("sock.new");
        let fail = |source| StartError::File { path: beside.display().to_string(), source };
        // The lock is ours, so that a socket there is one that a killed router left behind.
        match fs::remove_file(&beside) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fail(error)),
        }
        let listener = UnixListener::bind(&beside).map_err(fail)?;
        listener.set_nonblocking(true).map_err(fail)?;
        Ok(AdminSocket { listener, path, beside })
    }

    /// Puts it in its place; there is no moment without one.
    pub(crate) fn publish(&self) -> Result<(), StartError> {
        fs::rename(&self.beside, &self.path)
            .map_err(|source| StartError::File { path: self.path.display().to_string(), source })
    }
}
