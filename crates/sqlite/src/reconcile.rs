//! Reconciling a registry that was put back.

use async_trait::async_trait;
use koshin_types::RevocationReason;
use time::UtcDateTime;

use crate::{
    codec::{Columns, millis},
    restore::{Evidence, FoundCertificate, Ground, ListedRevocation, NO_END, ReconcileError, Reconciled},
    script::Script,
    store::Store,
    witness::put_edition,
    writer::{Failed, Job, Transaction},
};

impl Store {
    /// Brings a registry that was put back to where no certificate that it may have signed since is forgotten, in one
    /// transaction; from then on it is [`Current`](crate::Standing::Current).
    ///
    /// Serial numbers that nobody here knows, on the list or of found certificates, are revoked for ever, and their keys
    /// never taken again: their holders enrol again. Renewals that were begun in the copy go on, with the bytes that were
    /// recorded, except those whose serial number the list revokes. The next list has a number and dates that follow all that
    /// are known. `by` is who vouches for it.
    ///
    /// # Errors
    ///
    /// [`ReconcileError`]; nothing was changed then. [`ReconcileError::StillValid`] names what has to be revoked first, by the
    /// use case that also ends sessions and tells the holder.
    pub async fn reconcile(
        &self,
        evidence: Evidence,
        by: &str,
        now: UtcDateTime,
    ) -> Result<Reconciled, ReconcileError> {
        let ground = self.database().ground(&evidence, now).await?;
        let done = self.write(Reconcile { evidence, by: by.to_owned(), now, ground }).await?;
        self.database().reconciled().await?;
        Ok(done)
    }
}

struct Reconcile {
    evidence: Evidence,
    by: String,
    now: UtcDateTime,
    ground: Ground,
}

#[async_trait]
impl Job for Reconcile {
    type Done = Reconciled;
    type Refused = ReconcileError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<Reconciled, Failed<ReconcileError>> {
        let mut done = Reconciled { epoch: self.ground.epoch, ..Reconciled::default() };
        let mut serials = Vec::new();
        let mut script = Script::default();
        for listed in self.evidence.listed() {
            match standing(tx, listed).await? {
                Known::Stray | Known::Revoked => {}
                Known::Valid => serials.push(*listed),
                Known::Not => {
                    put_stray(&mut script, listed, NO_END);
                    done.adopted += 1;
                }
            }
        }
        if !serials.is_empty() {
            return Err(Failed::Refused(ReconcileError::StillValid { serials }));
        }
        for found in &self.evidence.certificates {
            done.adopted += u64::from(self.found(tx, &mut script, found).await?);
        }
        if let Some(list) = self.ground.list {
            put_edition(&mut script, "reserved", list);
        }
        self.ground.note(&self.by, self.now, &done).append(&mut tx.head, &mut script);
        self.ground.settle(&mut script);
        tx.write_last(script).await?;
        Ok(done)
    }
}

impl Reconcile {
    /// Whether a found certificate was none of ours until now.
    async fn found(
        &self,
        tx: &mut Transaction<'_>,
        script: &mut Script,
        found: &FoundCertificate,
    ) -> Result<bool, Failed<ReconcileError>> {
        let known = "/* Reconcile::found */ SELECT 1 FROM intents WHERE serial = ? \
                     UNION ALL SELECT 1 FROM strays WHERE serial = ?";
        let known = Script::one(known).with(found.serial.as_be_bytes()).with(found.serial.as_be_bytes());
        let is_listed = self.evidence.listed().iter().any(|listed| listed.serial == found.serial);
        let is_new = tx.read(known).await?.is_empty() && !is_listed;
        if is_new {
            let revoked = ListedRevocation {
                serial: found.serial,
                at: self.now,
                reason: RevocationReason::Unspecified,
                invalidity_date: None,
            };
            put_stray(script, &revoked, found.not_after.unix_timestamp());
        }
        // The key of nobody's renewal.
        script.push(
            "/* Reconcile::found */ INSERT INTO keys_seen (spki, renewal) VALUES (?, zeroblob(16)) \
             ON CONFLICT (spki) DO NOTHING",
        );
        script.bind(found.spki.as_bytes().to_vec());
        Ok(is_new)
    }
}

enum Known {
    Not,
    Stray,
    Revoked,
    Valid,
}

async fn standing(tx: &mut Transaction<'_>, listed: &ListedRevocation) -> Result<Known, Failed<ReconcileError>> {
    let query = "/* reconcile::standing */ SELECT (SELECT status FROM certificates WHERE serial = w.serial), \
                 EXISTS (SELECT 1 FROM strays WHERE serial = w.serial) FROM (SELECT ? AS serial) AS w";
    let rows = tx.read(Script::one(query).with(listed.serial.as_be_bytes())).await?;
    let Some(row) = rows.first() else { return Ok(Known::Not) };
    let mut columns = Columns::of(row);
    let status: Option<&str> = columns.get("certificates.status")?;
    let is_stray: bool = columns.get("strays.serial")?;
    Ok(match status {
        Some("revoked") => Known::Revoked,
        Some(_) => Known::Valid,
        None if is_stray => Known::Stray,
        None => Known::Not,
    })
}

/// Adds the statement that revokes a serial number for ever that nobody here knows.
fn put_stray(script: &mut Script, revoked: &ListedRevocation, not_after: i64) {
    script.push(
        "/* reconcile::put_stray */ INSERT INTO strays (serial, at, reason, invalidity_date, not_after) \
         VALUES (?, ?, ?, ?, ?) ON CONFLICT (serial) DO NOTHING",
    );
    script.bind(revoked.serial.as_be_bytes()).bind(millis(revoked.at)).bind(revoked.reason.as_str());
    script.bind(revoked.invalidity_date.map(UtcDateTime::unix_timestamp)).bind(not_after);
}
