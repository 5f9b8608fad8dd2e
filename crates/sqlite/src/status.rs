//! What a CA asks its ledger beside the ports: the status of one serial number, and a note in the audit log.

use async_trait::async_trait;
use koshin_ra::{AuditNote, StorageError};
use koshin_renewal::Status;
use koshin_types::SerialNumber;
use time::UtcDateTime;

use crate::{
    audit::Entry,
    codec::Columns,
    file,
    script::Script,
    store::Store,
    writer::{Failed, Job, Transaction},
};

struct Note(Entry);

#[async_trait]
impl Job for Note {
    type Done = ();
    type Refused = StorageError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<(), Failed<StorageError>> {
        Ok(tx.record(self.0.clone()).await?)
    }
}

impl Store {
    /// What became of the certificate with this serial number; `None` when none was issued.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn status(&self, serial: &SerialNumber) -> Result<Option<Status>, StorageError> {
        let query = "/* Store::status */ SELECT status, status_at, superseded_by, reason FROM certificates \
                     WHERE serial = ?";
        let row = self.readers().one(Script::one(query).with(serial.as_be_bytes())).await?;
        Ok(row.map(|row| file::status(&mut Columns::of(&row))).transpose()?)
    }

    /// Adds a note to the audit log. It is durable when this returns.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn record(&self, note: &AuditNote, at: UtcDateTime) -> Result<(), StorageError> {
        self.write(Note(Entry::note(note, at))).await
    }
}
