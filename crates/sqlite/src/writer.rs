//! The one task that writes: group commit.

use std::{
    error::Error as StdError,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use sqlx::{Connection as _, Row as _, SqliteConnection, sqlite::SqliteRow};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};

use crate::{
    audit::{self, AuditHead, Entry},
    codec::is_busy,
    error::StoreError,
    readers,
    script::Script,
};

/// The most jobs in one commit.
const LARGEST_BATCH: usize = 256;
/// How long a batch waits for as many jobs as the last one had.
const GATHER: Duration = Duration::from_micros(500);
/// How long the queue has to be empty before the log is carried over into the file.
const IDLE: Duration = Duration::from_millis(100);
/// After so many jobs any empty queue is idle enough.
const CHECKPOINT_AFTER: u64 = 1_000;
/// How often is looked whether others wrote, and for how long that is believed.
const LOOK: Duration = Duration::from_millis(200);
const BELIEVED: Duration = Duration::from_secs(1);
/// How often a begin is tried while another process writes; each time waits for the busy timeout.
const BEGIN_TRIES: u32 = 3;

/// Work on the connection that writes.
#[async_trait]
pub(crate) trait Job: Send + 'static {
    type Done: Send + 'static;
    type Refused: From<StoreError> + Send + 'static;

    /// Does the work within its own savepoint. An error rolls back this job and no other.
    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<Self::Done, Failed<Self::Refused>>;

    /// Called when it is durable, before anybody learns of it.
    fn durable(&self, _done: &Self::Done) {}
}

/// Why a job is rolled back.
pub(crate) enum Failed<R> {
    /// The job says so.
    Refused(R),
    /// SQLite says so.
    Sqlite(sqlx::Error),
}

impl<R: From<StoreError>> From<StoreError> for Failed<R> {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

impl<R> From<sqlx::Error> for Failed<R> {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// How the writer has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Commits.
    pub batches: u64,
    /// Jobs in them.
    pub jobs: u64,
    /// The most jobs in one commit.
    pub largest: u64,
}

/// What is known of those who write to the same file in other processes.
#[derive(Default)]
pub(crate) struct Outsiders {
    writes: AtomicU64,
    looked: Mutex<Option<Instant>>,
}

impl Outsiders {
    /// How often they were found to have written; `None` when nobody has looked for a second.
    pub(crate) fn writes(&self) -> Option<u64> {
        let looked = *self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        (looked?.elapsed() < BELIEVED).then(|| self.writes.load(Ordering::Acquire))
    }

    /// `at` is not after the instant at which the file was looked at.
    fn looked(&self, wrote: bool, at: Instant) {
        if wrote {
            self.writes.fetch_add(1, Ordering::AcqRel);
        }
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }
}

/// The handle to the writer.
#[derive(Clone)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Message>,
    counters: Arc<Counters>,
    outsiders: Arc<Outsiders>,
}

enum Message {
    Job(Box<dyn Queued>),
    Close(oneshot::Sender<()>),
}

#[derive(Default)]
struct Counters {
    batches: AtomicU64,
    jobs: AtomicU64,
    largest: AtomicU64,
}

impl Writer {
    /// Starts the task on the current runtime.
    pub(crate) fn start(connection: SqliteConnection, queue: usize) -> Self {
        let (sender, receiver) = mpsc::channel(queue.max(1));
        let counters = Arc::new(Counters::default());
        let outsiders = Arc::new(Outsiders::default());
        let task = Task {
            connection,
            queue: receiver,
            counters: Arc::clone(&counters),
            outsiders: Arc::clone(&outsiders),
            version: None,
            since_checkpoint: 0,
        };
        tokio::spawn(task.run());
        Self { queue: sender, counters, outsiders }
    }

    pub(crate) async fn run<J: Job>(&self, job: J) -> Result<J::Done, J::Refused> {
        let (reply, answer) = oneshot::channel();
        let queued = Box::new(Pending { job, result: None, reply });
        let gone = || J::Refused::from(StoreError::Unavailable(Box::new(Closed)));
        self.queue.send(Message::Job(queued)).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    pub(crate) fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { batches, jobs, largest } = &*self.counters;
        Stats { batches: read(batches), jobs: read(jobs), largest: read(largest) }
    }

    pub(crate) fn outsiders(&self) -> Arc<Outsiders> {
        Arc::clone(&self.outsiders)
    }

    /// Commits what is queued and closes the connection.
    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Message::Close(done)).await.is_ok() {
            // An error means that the task is gone already, which is as closed as it can be.
            let _: Result<(), _> = closed.await;
        }
    }
}

/// A job with its caller, whatever it answers.
#[async_trait]
trait Queued: Send {
    /// Runs the job. `false` when it has to be rolled back.
    async fn run(&mut self, tx: &mut Transaction<'_>) -> bool;
    /// Answers the caller, after the commit or with its error.
    fn reply(self: Box<Self>, failed: Option<&BatchFailed>);
}

struct Pending<J: Job> {
    job: J,
    result: Option<Result<J::Done, J::Refused>>,
    reply: oneshot::Sender<Result<J::Done, J::Refused>>,
}

#[async_trait]
impl<J: Job> Queued for Pending<J> {
    async fn run(&mut self, tx: &mut Transaction<'_>) -> bool {
        let result = self.job.run(tx).await.map_err(|failed| match failed {
            Failed::Refused(refused) => refused,
            Failed::Sqlite(error) => StoreError::from(error).into(),
        });
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn reply(self: Box<Self>, failed: Option<&BatchFailed>) {
        let Self { job, result, reply } = *self;
        if let (None, Some(Ok(done))) = (failed, &result) {
            job.durable(done);
        }
        let answer = match (failed, result) {
            // What was refused is refused, whatever became of the others.
            (_, Some(Err(refused))) => Err(refused),
            (None, Some(done)) => done,
            (Some(failed), _) => Err(StoreError::Unavailable(Box::new(failed.clone())).into()),
            (None, None) => Err(StoreError::Unavailable(Box::new(Closed)).into()),
        };
        // A caller that went away gets no answer; what it asked for is done all the same.
        let _: Result<(), _> = reply.send(answer);
    }
}

/// The transaction of a batch, as one job sees it.
pub(crate) struct Transaction<'c> {
    connection: &'c mut SqliteConnection,
    /// The head of the audit log, moved on by [`Entry::append`].
    pub(crate) head: AuditHead,
    savepoint: bool,
}

impl Transaction<'_> {
    /// Runs a script in the job's savepoint. Answers with what its statements return.
    pub(crate) async fn write(&mut self, script: Script) -> sqlx::Result<Vec<SqliteRow>> {
        let before = if self.savepoint { "" } else { SAVEPOINT };
        self.savepoint = true;
        self.read(script.between(before, "")).await
    }

    /// As [`Transaction::write`], for the last step of a job, which cannot be undone by itself: saves a hand-over.
    pub(crate) async fn write_last(&mut self, script: Script) -> sqlx::Result<()> {
        self.write(script.between("", RELEASE)).await?;
        self.savepoint = false;
        Ok(())
    }

    pub(crate) async fn read(&mut self, script: Script) -> sqlx::Result<Vec<SqliteRow>> {
        readers::all(self.connection, script).await
    }

    /// Adds an audit record.
    pub(crate) async fn record(&mut self, entry: Entry) -> sqlx::Result<()> {
        let mut script = Script::default();
        entry.append(&mut self.head, &mut script);
        self.write(script).await.map(drop)
    }

    /// Undoes what the job has done so far.
    pub(crate) async fn undo(&mut self) -> sqlx::Result<()> {
        if self.savepoint {
            plain(self.connection, UNDO).await?;
            self.savepoint = false;
        }
        Ok(())
    }

    /// Runs one job. An error means that the whole batch is lost.
    async fn job(&mut self, job: &mut dyn Queued) -> sqlx::Result<()> {
        let head = self.head;
        if !job.run(self).await {
            self.undo().await?;
            self.head = head;
        } else if self.savepoint {
            plain(self.connection, RELEASE).await?;
        }
        self.savepoint = false;
        Ok(())
    }
}

const VERSION: &str = "/* Task::look */ PRAGMA data_version";
const SAVEPOINT: &str = "/* Transaction::write */ SAVEPOINT job;\n";
const RELEASE: &str = "/* Transaction::write_last */ RELEASE job";
const UNDO: &str = "/* Transaction::undo */ ROLLBACK TO job; /* Transaction::undo */ RELEASE job";

async fn plain(connection: &mut SqliteConnection, text: &'static str) -> sqlx::Result<()> {
    sqlx::query(text).execute(connection).await.map(|_| ())
}

struct Task {
    connection: SqliteConnection,
    queue: mpsc::Receiver<Message>,
    counters: Arc<Counters>,
    outsiders: Arc<Outsiders>,
    /// What SQLite says of commits by others than this connection: another number after each.
    version: Option<i64>,
    /// Jobs since the log was last carried over.
    since_checkpoint: u64,
}

impl Task {
    async fn run(mut self) {
        let mut last = 0;
        let mut closing = Vec::new();
        while let Some(messages) = self.gather(last).await {
            let mut jobs = Vec::with_capacity(messages.len());
            for message in messages {
                match message {
                    Message::Job(job) => jobs.push(job),
                    Message::Close(done) => {
                        self.queue.close();
                        closing.push(done);
                    }
                }
            }
            last = jobs.len();
            if !jobs.is_empty() {
                self.batch(jobs).await;
            }
            if self.queue.is_empty() && self.since_checkpoint >= CHECKPOINT_AFTER {
                self.checkpoint().await;
            }
        }
        // Whoever copies the file of a program that was stopped does not always take the log beside it.
        self.checkpoint().await;
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "the writing connection did not close well");
        }
        for done in closing {
            let _: Result<(), ()> = done.send(());
        }
    }

    /// What waits, at least one; `None` when the queue is closed and empty.
    async fn gather(&mut self, last: usize) -> Option<Vec<Message>> {
        let mut messages = Vec::new();
        while messages.is_empty() {
            let wait = if self.since_checkpoint > 0 { IDLE } else { LOOK };
            match timeout(wait, self.queue.recv_many(&mut messages, LARGEST_BATCH)).await {
                Ok(0) => return None,
                Ok(_) => {}
                Err(_) => {
                    if self.since_checkpoint > 0 {
                        self.checkpoint().await;
                    }
                    self.look().await;
                }
            }
        }
        // Those who were answered together are about to come again together.
        if last > 1 {
            let until = Instant::now() + GATHER;
            while messages.len() < last.min(LARGEST_BATCH) {
                let room = LARGEST_BATCH - messages.len();
                match timeout_at(until, self.queue.recv_many(&mut messages, room)).await {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                }
            }
        }
        Some(messages)
    }

    async fn batch(&mut self, mut jobs: Vec<Box<dyn Queued>>) {
        let size = jobs.len() as u64;
        self.since_checkpoint += size;
        let failed = match self.commit(&mut jobs).await {
            Ok(()) => None,
            Err(error) => {
                tracing::error!(%error, jobs = size, "a group commit failed");
                // Where SQLite has rolled back by itself there is nothing left to roll back.
                let _: sqlx::Result<()> = plain(&mut self.connection, "/* Task::batch */ ROLLBACK").await;
                Some(BatchFailed(Arc::new(error)))
            }
        };
        if failed.is_none() {
            self.counters.batches.fetch_add(1, Ordering::Relaxed);
            self.counters.jobs.fetch_add(size, Ordering::Relaxed);
            self.counters.largest.fetch_max(size, Ordering::Relaxed);
        }
        for job in jobs {
            job.reply(failed.as_ref());
        }
    }

    async fn commit(&mut self, jobs: &mut [Box<dyn Queued>]) -> sqlx::Result<()> {
        let head = self.begin().await?;
        let mut tx = Transaction { connection: &mut self.connection, head, savepoint: false };
        for job in jobs {
            tx.job(&mut **job).await?;
        }
        plain(&mut self.connection, "/* Task::commit */ COMMIT").await
    }

    /// Takes the write lock and reads the head of the audit log, which another process may have moved on.
    async fn begin(&mut self) -> sqlx::Result<AuditHead> {
        let mut tries = 1;
        loop {
            let script = Script::one("/* Task::begin */ BEGIN IMMEDIATE").then(VERSION).then(audit::HEAD);
            match readers::all(&mut self.connection, script).await {
                Ok(rows) => {
                    // The write lock is held: nobody has written since.
                    self.others(rows.first(), Instant::now())?;
                    return audit::head(rows.get(1)).map_err(|error| sqlx::Error::Decode(Box::new(error)));
                }
                Err(error) if is_busy(&error) && tries < BEGIN_TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks whether others wrote.
    async fn look(&mut self) {
        let asked = Instant::now();
        let looked = match readers::all(&mut self.connection, Script::one(VERSION)).await {
            Ok(rows) => self.others(rows.first(), asked),
            Err(error) => Err(error),
        };
        if let Err(error) = looked {
            tracing::warn!(%error, "it is not known whether other processes wrote; everything is read anew");
        }
    }

    fn others(&mut self, row: Option<&SqliteRow>, at: Instant) -> sqlx::Result<()> {
        let version = row.map(|row| row.try_get(0)).transpose()?;
        self.outsiders.looked(version != self.version, at);
        self.version = version;
        Ok(())
    }

    /// Carries the log over into the file as far as no reader needs it. Left to a commit, somebody would wait for it.
    async fn checkpoint(&mut self) {
        self.since_checkpoint = 0;
        if let Err(error) = plain(&mut self.connection, "/* Task::checkpoint */ PRAGMA wal_checkpoint(PASSIVE)").await {
            tracing::warn!(%error, "the write-ahead log was not carried over; the next idle moment tries again");
        }
    }
}

/// A group commit did not become durable; nothing of it is stored.
#[derive(Debug, Clone)]
struct BatchFailed(Arc<sqlx::Error>);

impl fmt::Display for BatchFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a group commit failed; nothing of it is stored")
    }
}

impl StdError for BatchFailed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the store is closed")]
struct Closed;
