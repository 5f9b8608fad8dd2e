//! What is asked beside the ports: the status of one serial number, a note in the audit log, and a task that is closed with
//! one.

use async_trait::async_trait;
use koshin_notify::MailId;
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

struct SettleNoted {
    id: MailId,
    note: Entry,
}

#[async_trait]
impl Job for SettleNoted {
    type Done = bool;
    type Refused = StorageError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<bool, Failed<StorageError>> {
        let script = Script::one(
            "/* SettleNoted::run */ UPDATE outbox SET settled = 1 WHERE id = ? AND state = 'done' AND settled = 0 \
             AND disposition IN ('undeliverable', 'bounced', 'unknown') RETURNING subject",
        );
        let rows = tx.write(script.with(self.id.as_bytes().to_vec())).await?;
        let Some(row) = rows.first() else { return Ok(false) };
        self.note.subject = Some(Columns::of(row).get("outbox.subject")?);
        tx.record(self.note.clone()).await?;
        Ok(true)
    }
}

impl Store {
    /// Closes the task of a mail, because somebody has seen to it, and adds a note about that to the audit log in the same
    /// transaction; the note is about the ID that the mail speaks of. `false` when there is none open.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn settle_noted(&self, id: MailId, note: &AuditNote, at: UtcDateTime) -> Result<bool, StorageError> {
        self.write(SettleNoted { id, note: Entry::note(note, at) }).await
    }

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
