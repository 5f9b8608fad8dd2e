//! The ledger of one CA in a file of its own.

mod begun;
mod notes;
mod restore;
mod revoke;
mod rows;
mod source;
mod verify;
mod write;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use koshin_endpoints::ca::{
    Change, ChangeKind, Changes, Entry, IntendError, Intent, IssuedError, Ledger, LedgerError, OrderKey, Recorded,
    Revocation, RevokeError, Standing as EntryStanding, Status,
};
use koshin_types::SerialNumber;
use time::UtcDateTime;

use crate::{
    audit::{AuditHead, AuditRecord},
    backup::BackupError,
    check::{AuditError, AuditReport},
    codec::{Columns, millis, signed},
    database::{Database, Options},
    error::{StoreError, damaged},
    open::{LEDGER, OpenError},
    script::Script,
    witness::{Standing, WitnessSilent},
    writer::Stats,
};
use begun::{Begun, Named};
pub use notes::LedgerCounts;
use revoke::Revoke;
use rows::{entry_query, octets};
use write::{Advance, ConfirmClock, Intend, Issue};

/// The ledger of one CA: an open database file. Clones share it.
///
/// It is the port [`Ledger`], and answers a publisher as [`RevocationSource`](koshin_endpoints::RevocationSource) and an OCSP
/// responder as [`StatusSource`](koshin_endpoints::StatusSource).
///
/// ```
/// use koshin_endpoints::ca::Ledger;
/// use koshin_sqlite::{LedgerStore, Options, Standing};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let ledger = LedgerStore::open(&folder.path().join("ca.db"), &Options::default()).await?;
/// assert!(ledger.status(&"1AFF".parse()?).await?.is_none());
/// assert_eq!(ledger.standing().await?, Standing::Current);
/// ledger.shut_down().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LedgerStore {
    database: Arc<Database>,
    begun: Arc<Begun>,
}

impl std::fmt::Debug for LedgerStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LedgerStore").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl LedgerStore {
    /// Opens a database file, or makes a new one that only its owner can read, and brings its tables up to date. Has to
    /// be called on a tokio runtime with time enabled, which the writer lives on.
    ///
    /// # Errors
    ///
    /// [`OpenError`] with a text for the operator.
    pub async fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let database = Arc::new(Database::open(path, &LEDGER, options).await?);
        Ok(Self { database, begun: Arc::default() })
    }

    /// Commits what is queued and closes the file, for this and every clone. Later calls are answered as unavailable.
    pub async fn shut_down(&self) {
        self.database.shut_down().await;
    }

    /// How the writer has done so far.
    pub fn stats(&self) -> Stats {
        self.database.stats()
    }

    /// The end of the audit log, to be signed and kept elsewhere.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        self.database.audit_head().await
    }

    /// The hash of one audit record; `None` when there is no such record.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn audit_hash(&self, sequence: u64) -> Result<Option<koshin_types::Fingerprint>, StoreError> {
        self.database.hash_at(sequence).await
    }

    /// The audit records after a sequence number, in order, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn audit_records(&self, after: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        self.database.audit_records(after, limit).await
    }

    /// Walks the whole audit log and compares every hash. It finds records that were changed, put in, taken out or put
    /// in another order; records cut off at the end are found by comparing [`AuditReport::head`] with a head that was
    /// kept elsewhere.
    ///
    /// # Errors
    ///
    /// [`AuditError::Break`] with the first record that is wrong.
    pub async fn audit_verify(&self) -> Result<AuditReport, AuditError> {
        self.database.audit_verify().await
    }

    /// Copies everything, as it stands at one instant, into a new file that only its owner can read. Whoever writes goes on
    /// meanwhile. The copy knows that it is one: see [`standing`](Self::standing).
    ///
    /// # Errors
    ///
    /// [`BackupError`]; what was written until then is removed again.
    pub async fn backup(&self, to: &Path) -> Result<(), BackupError> {
        self.database.backup(to).await
    }

    /// Whether this is the database that was written last, or an older copy of it that was put in its place. From the latter
    /// nothing is signed: intents, certificates and numbers of revocation lists are refused as unavailable, with
    /// [`NotReconciled`](crate::NotReconciled) as the source, until it is [reconciled](Self::reconcile). Reading and revoking
    /// go on.
    ///
    /// # Errors
    ///
    /// [`StoreError`], also when the witness cannot be read.
    pub async fn standing(&self) -> Result<Standing, StoreError> {
        self.database.standing().await
    }

    /// Why the ledger's witness learns nothing at the moment, if it is so: then intents and certificates are refused as
    /// unavailable, and everything else goes on.
    pub fn witness_silent(&self) -> Option<WitnessSilent> {
        self.database.silent()
    }

    /// The revocation of a serial number, of one too that was found after a restore and has no entry.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn revocation(&self, serial: &SerialNumber) -> Result<Option<Revocation>, StoreError> {
        let query = "/* LedgerStore::revocation */ SELECT at, reason, invalidity_date, revoked_by FROM revocations \
                     WHERE serial = ?";
        let row = self.database.readers().one(Script::one(query).with(octets(serial))).await?;
        row.map(|row| rows::revocation(&mut Columns::of(&row))).transpose()
    }

    /// Records that it is `now` at least, so that a clock which is set back is found even if nothing was issued.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn advance(&self, now: UtcDateTime) -> Result<(), StoreError> {
        self.database.write(Advance { to: millis(now) }).await
    }

    /// Records that somebody vouches for the clock: from now on the largest recorded instant is `now`, be it smaller or
    /// greater than before.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn confirm_clock(&self, by: &str, now: UtcDateTime) -> Result<(), StoreError> {
        self.database.write(ConfirmClock { by: by.to_owned(), now }).await
    }

    async fn one(&self, script: Script) -> Result<Option<Entry>, StoreError> {
        let row = self.database.readers().one(script).await?;
        row.map(|row| rows::entry(&mut Columns::of(&row))).transpose()
    }
}

#[async_trait]
impl Ledger for LedgerStore {
    async fn find(&self, order: &OrderKey) -> Result<Option<Entry>, LedgerError> {
        const QUERY: &str = entry_query!("LedgerStore::find", "WHERE e.spki = ? AND e.renewal = ?");
        let script = Script::one(QUERY).with(order.spki.as_bytes().to_vec()).with(order.renewal.as_bytes().to_vec());
        Ok(self.one(script).await?)
    }

    async fn intend(&self, intent: Intent) -> Result<Recorded, IntendError> {
        self.database.may_issue().await?;
        let (serial, named) = (intent.serial, Named::of(&intent));
        let recorded = self.database.write(Intend::new(intent)).await?;
        if recorded == Recorded::New {
            self.begun.put(serial, named);
        }
        Ok(recorded)
    }

    async fn issued(&self, serial: &SerialNumber, der: &[u8], now: UtcDateTime) -> Result<Vec<u8>, IssuedError> {
        const QUERY: &str = entry_query!("LedgerStore::issued", "WHERE e.serial = ?");
        // What became of it meanwhile, the tables know.
        if let Some(named) = self.begun.take(serial) {
            self.database.may_issue().await?;
            return self.database.write(Issue::new(*serial, &named, der, now)).await;
        }
        let Some(entry) = self.one(Script::one(QUERY).with(octets(serial))).await? else {
            return Err(IssuedError::Unknown { serial: *serial });
        };
        match (entry.certificate, entry.standing) {
            (Some(stored), _) => Ok(stored),
            (None, EntryStanding::Intended) => {
                self.database.may_issue().await?;
                self.database.write(Issue::new(*serial, &Named::of(&entry.intent), der, now)).await
            }
            (None, _) => Err(IssuedError::Abandoned { serial: *serial }),
        }
    }

    async fn revoke(
        &self,
        serial: &SerialNumber,
        revocation: &Revocation,
        now: UtcDateTime,
    ) -> Result<EntryStanding, RevokeError> {
        self.database.write(Revoke { serial: *serial, revocation: revocation.clone(), now }).await
    }

    async fn status(&self, serial: &SerialNumber) -> Result<Option<Status>, LedgerError> {
        let row = self.database.readers().one(rows::status_of(serial)).await?;
        if row.is_none() {
            // Who is told that it was never recorded does not ask again: not to revoke it either.
            self.database.has_to_be_current().await?;
        }
        Ok(row.map(|row| rows::status(&mut Columns::of(&row))).transpose()?)
    }

    async fn changes(&self, after: u64, limit: u32) -> Result<Changes, LedgerError> {
        // One statement, so that nothing between the newest number and the changes is missed.
        let query = "/* LedgerStore::changes */ SELECT max(coalesce((SELECT max(sequence) FROM changes), 0), \
                     coalesce((SELECT max(sequence) FROM stray_changes), 0)), k.largest, \
                     c.sequence, coalesce(c.stray, e.serial), e.client, a.at, c.kind, r.at, r.reason, r.invalidity_date, \
                     r.revoked_by FROM clock AS k LEFT JOIN \
                     (SELECT sequence, entry, NULL AS stray, kind FROM changes WHERE sequence > ? \
                     UNION ALL SELECT sequence, NULL, serial, 'revoked' FROM stray_changes WHERE sequence > ? \
                     ORDER BY sequence LIMIT ?) AS c ON true \
                     LEFT JOIN audit AS a ON a.sequence = c.sequence LEFT JOIN entries AS e ON e.number = c.entry \
                     LEFT JOIN revocations AS r ON c.kind <> 'issued' AND r.serial = coalesce(c.stray, e.serial) \
                     WHERE k.number = 1 ORDER BY c.sequence";
        let script = Script::one(query).with(signed(after)).with(signed(after)).with(i64::from(limit));
        let rows = self.database.readers().all(script).await?;
        let mut page = Changes::default();
        for row in &rows {
            let mut columns = Columns::of(row);
            page.head = columns.unsigned("changes.sequence")?;
            page.largest = columns.maybe_instant("clock.largest")?;
            let Some(sequence) = columns.get::<Option<i64>>("changes.sequence")? else { continue };
            let sequence = crate::codec::unsigned(sequence, "changes.sequence")?;
            let serial = columns.serial("entries.serial")?;
            let (client, at) = (columns.get("entries.client")?, columns.instant("audit.at")?);
            let kind = match columns.get::<&str>("changes.kind")? {
                "issued" => ChangeKind::Issued,
                "abandoned" => ChangeKind::Abandoned(rows::revocation(&mut columns)?),
                "revoked" => ChangeKind::Revoked(rows::revocation(&mut columns)?),
                _ => return Err(damaged("changes.kind").into()),
            };
            page.changes.push(Change { sequence, serial, client, at, kind });
        }
        Ok(page)
    }

    async fn unfinished(&self, limit: u32) -> Result<Vec<Intent>, LedgerError> {
        const QUERY: &str = entry_query!(
            "LedgerStore::unfinished",
            "WHERE e.number IN (SELECT entry FROM unfinished ORDER BY entry LIMIT ?) ORDER BY e.number"
        );
        let rows = self.database.readers().all(Script::one(QUERY).with(i64::from(limit))).await?;
        let intents = rows.iter().map(|row| rows::entry(&mut Columns::of(row)).map(|entry| entry.intent));
        Ok(intents.collect::<Result<_, StoreError>>()?)
    }
}
