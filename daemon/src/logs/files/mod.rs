//! The log store on disk: `DIR/<app-id>/<number of the first line>.log`, full segments
//! compressed beside it as `.log.zst`.
//!
//! One task writes for all apps ([`writer`]): it takes what has queued up meanwhile and
//! writes it in one go for each app, so that many small producers cost few calls. Readers
//! ([`read`]) go by what the writer has published of an app ([`app`]), never past it; a
//! follower reads the files too and is only woken, so that a slow one holds no memory and
//! sees no gap. [`codec`] is the format, [`upkeep`] compresses and removes.
//!
//! **What survives.** A written line survives the daemon. Everything is synced each second,
//! when [`LogStore::sync`] is asked, and at the end: a power failure takes a second at most,
//! and a torn end is found by its checksum and cut when the app's log is next opened. Logs
//! are opened when first used; about [`writer`]'s number of files are held, whatever the
//! number of apps.

mod app;
pub(crate) mod codec;
mod read;
mod upkeep;
mod writer;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use self::app::{AppLog, Tail};
use self::read::Cursor;
use self::upkeep::Chore;
use self::writer::{Command, Writer, disk, sync_all};
use super::{Filter, Line, LogError, LogStore, NewLine, Position, Result, Start};

/// Commands that may wait for the writer.
const QUEUE: usize = 4096;

/// Commands written in one round.
const ROUND: usize = 512;

/// Bytes of lines that a follower reads at a time, and about what it holds.
const CHUNK: usize = 256 << 10;

/// Logs read from their beginning at once.
const READERS: usize = 4;

/// How often what was written is synced and losses are told.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// How often all apps are held to their budgets.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// How the store keeps lines.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// Where; made when missing.
    pub dir: PathBuf,
    /// A segment is full at this size.
    pub segment_bytes: u64,
    /// Disk that an app's lines may take, about ten times as much before compression. The
    /// segment being written is kept whatever the budget.
    pub budget_bytes: u64,
    /// Lines older than this are removed (within about a seventh of it).
    pub max_age: Duration,
    /// With less than this free on the disk no line is written.
    pub disk_reserve: u64,
}

impl LogConfig {
    /// 64 MiB and 7 days for each app, 64 MiB of the disk left alone.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: 8 << 20,
            budget_bytes: 64 << 20,
            max_age: Duration::from_secs(7 * 24 * 3600),
            disk_reserve: 64 << 20,
        }
    }
}

/// What writer, readers and upkeep share.
struct Shared {
    config: LogConfig,
    reserve: AtomicU64,
    /// Lines since the start.
    written: AtomicU64,
    apps: Mutex<Option<HashMap<Uuid, Arc<AppLog>>>>,
    lossy: Mutex<HashMap<Uuid, Arc<AppLog>>>,
    commands: mpsc::Sender<Command>,
    chores: mpsc::UnboundedSender<Chore>,
    readers: Semaphore,
    /// Whether followers end.
    hung_up: watch::Sender<bool>,
}

impl Shared {
    /// The app's log; nothing once the store is closed.
    fn app(&self, id: Uuid) -> Option<Arc<AppLog>> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        let apps = apps.as_mut()?;
        let make = || Arc::new(AppLog::new(id, self.config.dir.join(id.to_string())));
        Some(Arc::clone(apps.entry(id).or_insert_with(make)))
    }

    fn is_closed(&self) -> bool {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn lossy(&self, app: &Arc<AppLog>) {
        self.lossy.lock().unwrap_or_else(PoisonError::into_inner).insert(app.id, Arc::clone(app));
    }

    fn take_lossy(&self) -> Vec<Arc<AppLog>> {
        self.lossy.lock().unwrap_or_else(PoisonError::into_inner).drain().map(|(_, app)| app).collect()
    }

    fn has_lossy(&self) -> bool {
        !self.lossy.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn chore(&self, chore: Chore) {
        // Nobody there to do it: the store is closing.
        let _ = self.chores.send(chore);
    }
}

/// The log store on disk.
pub struct FileLogs {
    shared: Arc<Shared>,
    upkeep: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for FileLogs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileLogs").field("dir", &self.shared.config.dir).finish_non_exhaustive()
    }
}

impl FileLogs {
    /// Opens the store and starts its tasks; to be called on a runtime.
    pub async fn open(config: LogConfig) -> Result<Self> {
        tokio::fs::create_dir_all(&config.dir).await.map_err(disk)?;
        let (commands, queue) = mpsc::channel(QUEUE);
        let (chores, work) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            reserve: AtomicU64::new(config.disk_reserve),
            written: AtomicU64::new(0),
            config,
            apps: Mutex::new(Some(HashMap::new())),
            lossy: Mutex::default(),
            commands,
            chores,
            readers: Semaphore::new(READERS),
            hung_up: watch::Sender::new(false),
        });
        tokio::spawn(write(Arc::clone(&shared), queue));
        let upkeep = tokio::spawn(keep_up(Arc::clone(&shared), work));
        Ok(Self { shared, upkeep: Mutex::new(Some(upkeep)) })
    }

    /// Changes how much of the disk is left alone; seen within a second.
    pub fn set_disk_reserve(&self, bytes: u64) {
        self.shared.reserve.store(bytes, Ordering::Relaxed);
    }

    fn app(&self, id: Uuid) -> Result<Arc<AppLog>> {
        self.shared.app(id).ok_or(LogError::Closed)
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.shared.commands.send(command(reply)).await.map_err(|_| LogError::Closed)?;
        answer.await.map_err(|_| LogError::Closed)
    }
}

#[async_trait]
impl LogStore for FileLogs {
    async fn append(&self, app_id: Uuid, lines: Vec<NewLine>) -> Result<()> {
        let app = self.app(app_id)?;
        self.ask(|reply| Command::Append { app, lines, reply: Some(reply) }).await?
    }

    fn offer(&self, app_id: Uuid, lines: Vec<NewLine>) {
        let Some(app) = self.shared.app(app_id) else {
            tracing::warn!(app.id = %app_id, log.lines = lines.len(), "lines came after the log was closed and are lost");
            return;
        };
        let (count, since) = (lines.len() as u64, lines.first().map(|line| line.at).unwrap_or_default());
        if self.shared.commands.try_send(Command::Append { app: Arc::clone(&app), lines, reply: None }).is_err() {
            app.lose(count, since);
            self.shared.lossy(&app);
        }
    }

    async fn recent(&self, app_id: Uuid, n: usize, filter: Filter) -> Result<Vec<Line>> {
        let app = self.app(app_id)?;
        let _one_of_few = self.shared.readers.acquire().await.map_err(|_| LogError::Closed)?;
        let (lines, _) = blocking(move || read::recent(&app, n, &filter)).await?;
        Ok(lines.into())
    }

    fn follow(&self, app_id: Uuid, start: Start, filter: Filter) -> BoxStream<'static, Line> {
        let Ok(app) = self.app(app_id) else { return stream::empty().boxed() };
        follow(Arc::clone(&self.shared), app, start, filter)
    }

    async fn end(&self, app_id: Uuid) -> Result<u64> {
        let app = self.app(app_id)?;
        blocking(move || app.view(|view| view.next_seq.saturating_sub(1))).await
    }

    async fn position(&self, app_id: Uuid, origin: Uuid) -> Result<Option<Position>> {
        let app = self.app(app_id)?;
        blocking(move || app.view(|view| view.positions.get(&origin).copied())).await
    }

    async fn forget(&self, app_id: Uuid, origin: Uuid) -> Result<()> {
        let app = self.app(app_id)?;
        self.shared.commands.send(Command::Forget { app, origin }).await.map_err(|_| LogError::Closed)
    }

    async fn sync(&self, app_id: Uuid) -> Result<()> {
        let app = self.app(app_id)?;
        self.ask(|reply| Command::Sync { app, reply }).await?
    }

    async fn remove(&self, app_id: Uuid) -> Result<()> {
        let app = self.app(app_id)?;
        self.ask(|reply| Command::Remove { app, reply }).await?
    }

    fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    async fn apps(&self) -> Result<Vec<Uuid>> {
        let shared = Arc::clone(&self.shared);
        blocking(move || upkeep::apps(&shared.config.dir)).await
    }

    fn hang_up(&self) {
        self.shared.hung_up.send_replace(true);
    }

    async fn close(&self) {
        let apps = self.shared.apps.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ = self.ask(|reply| Command::Close { reply }).await;
        for app in apps.into_iter().flatten().map(|(_, app)| app) {
            app.tail.send_modify(|tail| tail.ended = true);
        }
        self.shared.chore(Chore::End);
        // Whoever opens the directory next has it alone.
        let upkeep = self.upkeep.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(upkeep) = upkeep {
            let _ = upkeep.await;
        }
    }
}

impl Drop for FileLogs {
    /// Ends the tasks; what is queued is still written.
    fn drop(&mut self) {
        let apps = self.shared.apps.lock().unwrap_or_else(PoisonError::into_inner).take();
        for app in apps.into_iter().flatten().map(|(_, app)| app) {
            app.tail.send_modify(|tail| tail.ended = true);
        }
        self.shared.chore(Chore::End);
        let _ = self.shared.commands.try_send(Command::Close { reply: oneshot::channel().0 });
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(disk),
        Err(error) => Err(LogError::Disk { why: format!("reading failed: {error}") }),
    }
}

/// The writer's task.
async fn write(shared: Arc<Shared>, mut queue: mpsc::Receiver<Command>) {
    let mut writer = Writer::new(Arc::clone(&shared));
    let mut tick = tokio::time::interval(SYNC_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut syncing = None;
    loop {
        let mut commands = Vec::new();
        let mut ticked = false;
        tokio::select! {
            biased;
            _ = tick.tick() => ticked = true,
            received = queue.recv_many(&mut commands, ROUND) => if received == 0 { break },
        }
        // Who asks for safety waits for what is being made safe, too.
        let asked = commands.iter().any(|command| matches!(command, Command::Sync { .. } | Command::Close { .. }));
        if let Some(sync) = syncing.take_if(|sync: &mut JoinHandle<_>| asked || sync.is_finished())
            && let Ok(failed) = sync.await
        {
            writer.still_dirty(failed);
        }
        if ticked && syncing.is_none() {
            let dirty = writer.take_dirty();
            if !dirty.is_empty() {
                let shared = Arc::clone(&shared);
                syncing = Some(tokio::task::spawn_blocking(move || sync_all(&shared.config.dir, dirty)));
            }
        }
        if commands.is_empty() && !shared.has_lossy() {
            continue;
        }
        let closing = commands.iter().any(|command| matches!(command, Command::Close { .. }));
        let work = move || {
            writer.handle(commands);
            if ticked {
                writer.tell_losses();
            }
            writer
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(back) => writer = back,
            Err(error) => {
                // A defect of ours: its batch is lost, the log goes on.
                tracing::error!(%error, "the log writer failed and was made anew");
                writer = Writer::new(Arc::clone(&shared));
            }
        }
        if closing {
            break;
        }
    }
}

/// The task of what is done beside the writing.
async fn keep_up(shared: Arc<Shared>, mut chores: mpsc::UnboundedReceiver<Chore>) {
    let mut sweep = tokio::time::interval_at(tokio::time::Instant::now() + SWEEP_EVERY / 60, SWEEP_EVERY);
    loop {
        let chore = tokio::select! {
            chore = chores.recv() => match chore {
                Some(Chore::End) | None => break,
                Some(chore) => chore,
            },
            _ = sweep.tick() => Chore::Sweep,
        };
        let shared = Arc::clone(&shared);
        if let Err(error) = tokio::task::spawn_blocking(move || upkeep::work(&shared, chore)).await {
            tracing::error!(%error, "upkeep of logs failed");
        }
    }
}

/// Where a follower is.
struct Follower {
    shared: Arc<Shared>,
    app: Arc<AppLog>,
    tail: watch::Receiver<Tail>,
    hung_up: watch::Receiver<bool>,
    filter: Filter,
    start: Start,
    cursor: Option<Cursor>,
    ready: VecDeque<Line>,
}

fn follow(shared: Arc<Shared>, app: Arc<AppLog>, start: Start, filter: Filter) -> BoxStream<'static, Line> {
    stream::unfold(Follower::new(shared, app, start, filter), |mut follower| async move {
        let line = follower.next().await?;
        Some((line, follower))
    })
    .boxed()
}

impl Follower {
    fn new(shared: Arc<Shared>, app: Arc<AppLog>, start: Start, filter: Filter) -> Self {
        let tail = app.tail.subscribe();
        let hung_up = shared.hung_up.subscribe();
        Self { shared, app, tail, hung_up, filter, start, cursor: None, ready: VecDeque::new() }
    }

    async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            // Seen before the read, so that what comes during it wakes us after it.
            let ended = self.tail.borrow_and_update().ended || *self.hung_up.borrow();
            let began = self.cursor.is_none();
            if let Err(error) = self.read().await {
                tracing::warn!(app.id = %self.app.id, %error, "a log can't be followed on");
                return None;
            }
            if began || !self.ready.is_empty() {
                continue;
            }
            if ended {
                return None;
            }
            tokio::select! {
                changed = self.tail.changed() => if changed.is_err() { return None },
                _ = self.hung_up.wait_for(|hung_up| *hung_up) => {}
            }
        }
    }

    async fn read(&mut self) -> Result<()> {
        let (app, filter, start) = (Arc::clone(&self.app), self.filter.clone(), self.start);
        let (lines, cursor) = match self.cursor.take() {
            Some(mut cursor) => {
                blocking(move || {
                    let lines = read::next(&app, &mut cursor, &filter, CHUNK)?;
                    Ok((VecDeque::from(lines), cursor))
                })
                .await?
            }
            None => {
                let _one_of_few = self.shared.readers.acquire().await.map_err(|_| LogError::Closed)?;
                blocking(move || match start {
                    Start::Backlog(n) => read::backlog(&app, n, &filter, CHUNK),
                    Start::After(seq) => Ok((VecDeque::new(), Cursor::before(seq.saturating_add(1), &app)?)),
                })
                .await?
            }
        };
        self.ready = lines;
        self.cursor = Some(cursor);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[tokio::test]
    async fn a_follower_holds_little_of_what_it_is_to_read() {
        let dir = std::env::temp_dir().join(format!("paas-logs-test-{}", Uuid::new_v4()));
        let store = FileLogs::open(LogConfig { disk_reserve: 0, ..LogConfig::new(&dir) }).await.unwrap();
        let id = Uuid::from_u128(1);
        let line = NewLine {
            at: chrono::DateTime::UNIX_EPOCH,
            source: crate::logs::Source::App,
            process: "web.1".into(),
            message: vec![b'x'; 9_900],
            origin: None,
        };
        store.append(id, vec![line; 600]).await.unwrap();
        for (start, first) in [(Start::After(0), 1), (Start::After(400), 401), (Start::Backlog(600), 1)] {
            let app = store.app(id).unwrap();
            let mut follower = Follower::new(Arc::clone(&store.shared), app, start, Filter::default());
            for seq in first..=600 {
                assert_eq!(follower.next().await.unwrap().seq, seq);
                assert!(follower.ready.len() < 30, "{} lines are held", follower.ready.len());
            }
        }
        store.close().await;
        std::fs::remove_dir_all(dir).unwrap();
    }
}
