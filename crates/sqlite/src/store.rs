//! The store: registry, sessions, schedule and outbox in one file.

use std::{path::Path, sync::Arc};

use crate::{
    audit::{AuditHead, AuditRecord},
    check::{AuditError, AuditReport},
    database::{Database, Options},
    error::StoreError,
    open::{OpenError, REGISTRY},
    readers::Readers,
    witness::{Standing, WitnessSilent},
    writer::{Job, Stats},
};

/// An open database file. Clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    #[cfg(feature = "registry")]
    fresh: crate::fresh::Fresh,
    #[cfg(feature = "registry")]
    recent: crate::recent::Recent,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a database file, or makes a new one that only its owner can read, and brings its tables up to date. Has to
    /// be called on a tokio runtime with time enabled, which the writer lives on.
    ///
    /// # Errors
    ///
    /// [`OpenError`] with a text for the operator.
    pub async fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        Ok(Self::on(Database::open(path, &REGISTRY, options).await?))
    }

    /// Opens a database file that is there for reading only: neither it nor its witness changes, and what would write is
    /// answered as unavailable.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; [`OpenError::Older`] for a file whose tables would have to be brought up to date first.
    pub async fn view(path: &Path, options: &Options) -> Result<Self, OpenError> {
        Ok(Self::on(Database::view(path, &REGISTRY, options).await?))
    }

    fn on(database: Database) -> Self {
        let inner = Inner {
            #[cfg(feature = "registry")]
            fresh: crate::fresh::Fresh::beside(database.outsiders()),
            database,
            #[cfg(feature = "registry")]
            recent: crate::recent::Recent::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Commits what is queued and closes the file, for this and every clone. Later calls are answered as unavailable.
    pub async fn shut_down(&self) {
        self.inner.database.shut_down().await;
    }

    /// How the writer has done so far.
    pub fn stats(&self) -> Stats {
        self.inner.database.stats()
    }

    /// The end of the audit log, to be signed and kept elsewhere.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        self.inner.database.audit_head().await
    }

    /// The hash of one audit record; `None` when there is no such record.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn audit_hash(&self, sequence: u64) -> Result<Option<koshin_types::Fingerprint>, StoreError> {
        self.inner.database.hash_at(sequence).await
    }

    /// The audit records after a sequence number, in order, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn audit_records(&self, after: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        self.inner.database.audit_records(after, limit).await
    }

    /// Walks the whole audit log and compares every hash. It finds records that were changed, put in, taken out or put
    /// in another order; records cut off at the end are found by comparing [`AuditReport::head`] with a head that was
    /// kept elsewhere.
    ///
    /// # Errors
    ///
    /// [`AuditError::Break`] with the first record that is wrong.
    pub async fn audit_verify(&self) -> Result<AuditReport, AuditError> {
        self.inner.database.audit_verify().await
    }

    /// Copies everything, as it stands at one instant, into a new file that only its owner can read. Whoever writes goes on
    /// meanwhile. The copy is one file without a log beside it, and is on the disk when this returns; it is opened like any
    /// other.
    ///
    /// # Errors
    ///
    /// [`BackupError`](crate::BackupError); what was written until then is removed again.
    pub async fn backup(&self, to: &Path) -> Result<(), crate::BackupError> {
        self.inner.database.backup(to).await
    }

    /// Whether this is the database that was written last, or an older copy of it that was put in its place. Of the latter
    /// everything can be read and revoked, but nothing is signed from it.
    ///
    /// # Errors
    ///
    /// [`StoreError`], also when the witness cannot be read.
    pub async fn standing(&self) -> Result<Standing, StoreError> {
        self.inner.database.standing().await
    }

    /// Why the witness learns nothing at the moment, if it is so: then nothing is issued, and everything else goes on.
    pub fn witness_silent(&self) -> Option<WitnessSilent> {
        self.inner.database.silent()
    }

    pub(crate) async fn write<J: Job>(&self, job: J) -> Result<J::Done, J::Refused> {
        self.inner.database.write(job).await
    }

    pub(crate) fn readers(&self) -> &Readers {
        self.inner.database.readers()
    }

    #[cfg(feature = "registry")]
    pub(crate) fn fresh(&self) -> &crate::fresh::Fresh {
        &self.inner.fresh
    }

    #[cfg(feature = "registry")]
    pub(crate) fn recent(&self) -> &crate::recent::Recent {
        &self.inner.recent
    }

    #[cfg(feature = "registry")]
    pub(crate) fn database(&self) -> &Database {
        &self.inner.database
    }
}
