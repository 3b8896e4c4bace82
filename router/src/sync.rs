//! Follows the daemon's table by long poll and keeps the last good one when it is away.
//!
//! The first question on every reconnection asks for the whole table (`after=0`), so that a
//! daemon of another installation, which counts from elsewhere, is heard. It says as well what
//! the router has (`have`): the same installation's daemon goes on from there, wherever its
//! clock is.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use paas_domain::route::RouteTable;

use crate::daemon_client::ask;
use crate::handover::Older;
use crate::settings::Limits;
use crate::table::{Routes, Snapshot};
use crate::table_file::TableFile;

/// What is to be done with a table that the daemon sent.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Take,
    Same,
    Older,
}

fn judge(own: &Snapshot, new: &RouteTable) -> Verdict {
    if !own.known || own.instance != new.instance || new.generation > own.generation {
        Verdict::Take
    } else if new.generation == own.generation {
        Verdict::Same
    } else {
        Verdict::Older
    }
}

/// How long the next question waits for the disk. One that takes longer holds up no deploy.
const KEPT: Duration = Duration::from_secs(1);
/// What an older router has to take a table that this one has.
const OLDER: Duration = Duration::from_secs(1);

/// The follower.
pub(crate) struct Sync {
    pub(crate) socket: PathBuf,
    pub(crate) routes: Arc<Routes>,
    pub(crate) file: TableFile,
    pub(crate) limits: Limits,
    /// A router that has handed over to this one.
    pub(crate) older: Arc<Older>,
    /// Whether the daemon answers, for `/status`.
    pub(crate) connected: Arc<AtomicBool>,
}

impl Sync {
    /// Never ends.
    pub(crate) async fn run(self) {
        let mut pause = Duration::ZERO;
        let mut told = false;
        loop {
            match self.poll().await {
                Ok(()) => {
                    if told {
                        tracing::info!("The daemon answers again");
                    }
                    (pause, told) = (Duration::ZERO, false);
                }
                Err(why) => {
                    self.connected.store(false, Ordering::Relaxed);
                    if !told {
                        let generation = self.routes.load().generation;
                        tracing::warn!(
                            table.generation = generation,
                            "Requests go on by the last table; the daemon gives none: {why}"
                        );
                        told = true;
                    }
                    pause = (pause * 2).clamp(Duration::from_millis(50), self.limits.backoff);
                    tokio::time::sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
                }
            }
        }
    }

    async fn poll(&self) -> Result<(), String> {
        let own = self.routes.load_full();
        let fresh = self.connected.load(Ordering::Relaxed);
        let after = if fresh && own.known { own.generation } else { 0 };
        let have = own.generation;
        let path = format!("/router/table?after={after}&have={have}&instance={}", own.instance);
        let (status, body) = ask(&self.socket, Method::GET, &path, Bytes::new(), self.limits.poll)
            .await
            .map_err(|error| error.to_string())?;
        match status {
            StatusCode::NO_CONTENT => {}
            StatusCode::OK => {
                let table: RouteTable = serde_json::from_slice(&body)
                    .map_err(|error| format!("its table can't be understood ({error}); are the versions the same?"))?;
                match judge(&own, &table) {
                    Verdict::Take => {
                        // It has answered, however long the disk takes now.
                        self.connected.store(true, Ordering::Relaxed);
                        self.take(table, body).await;
                    }
                    Verdict::Same if after == 0 => {}
                    Verdict::Same => return Err("it repeats a table that was to be newer".to_owned()),
                    Verdict::Older => {
                        return Err(format!(
                            "its table is older (generation {}) than the one in use ({}); are the versions the same? If \
                             so, stop the router, remove its table.json and table.previous.json, and start it",
                            table.generation, own.generation,
                        ));
                    }
                }
            }
            other => return Err(format!("it answered {other}")),
        }
        self.connected.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Puts it to use at once, has it kept, and waits until it is used by all that serve: the next question tells
    /// the daemon that dynos which have left get no more requests, and that a router that starts anew knows of it.
    async fn take(&self, table: RouteTable, text: Bytes) {
        tracing::debug!(table.generation = table.generation, table.apps = table.apps.len(), "A new table");
        let identity = (table.instance, table.generation);
        self.routes.publish(table);
        self.file.want(text);
        if tokio::time::timeout(KEPT, self.file.kept()).await.is_err() {
            tracing::debug!("The table is in use and not kept yet");
        }
        // It finds the table on the disk.
        if tokio::time::timeout(OLDER, self.older.goes_by(identity)).await.is_err() {
            tracing::warn!(
                table.generation = identity.1,
                "The router that was here before has not said within {OLDER:?} that it goes by the newest table",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn an_older_table_is_refused_unless_the_installation_is_another() {
        let table = |instance, generation| RouteTable {
            instance: Uuid::from_u128(instance),
            generation,
            ..RouteTable::default()
        };
        let routes = Routes::new(Some(table(1, 5)), Limits::default());
        let own = routes.load_full();
        assert_eq!(judge(&own, &table(1, 6)), Verdict::Take);
        assert_eq!(judge(&own, &table(1, 5)), Verdict::Same);
        assert_eq!(judge(&own, &table(1, 4)), Verdict::Older);
        assert_eq!(judge(&own, &table(2, 1)), Verdict::Take);
        assert_eq!(judge(&Routes::new(None, Limits::default()).load_full(), &table(0, 0)), Verdict::Take);
    }
}
