//! Looking whether the audit log says what the ledger holds.

use std::collections::HashMap;

use koshin_endpoints::ca::{Entry, Intent, Standing};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::{
    LedgerStore, revoke,
    rows::{self, entry_query},
    write::{intended, issued, record},
};
use crate::{
    audit::{self, AuditHead},
    check::{AuditBreak, AuditError, AuditReport, page},
    codec::{Columns, instant, signed},
    error::StoreError,
    readers,
    script::Script,
};

/// Facts of each kind.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    entries: i64,
    certificates: i64,
    revocations: i64,
}

impl LedgerStore {
    /// Verifies the audit log and compares every record with the row that it is about, and every row with its record
    /// (I-35). [`AuditReport::subjects`] is the number of entries.
    ///
    /// # Errors
    ///
    /// As [`audit_verify`](Self::audit_verify); [`AuditError::Break`] also with the first record that does not say what is
    /// stored; [`AuditError::Surplus`] when something is stored that no record speaks of.
    pub async fn audit_replay(&self) -> Result<AuditReport, AuditError> {
        let mut connection = self.database.snapshot().await?;
        let (mut head, mut counts) = (AuditHead::default(), Counts::default());
        loop {
            let first = signed(head.sequence);
            let records = page(&mut connection, &mut head).await?;
            if records.is_empty() {
                break;
            }
            let stored = stored(&mut connection, first, signed(head.sequence)).await?;
            for (sequence, entry) in records.iter().filter(|(_, entry)| entry.fact) {
                let at = instant(entry.at, "audit.at")?;
                let expected = match (entry.word.as_str(), stored.get(sequence)) {
                    ("intended", Some(found)) => {
                        counts.entries += 1;
                        Some(intended(&found.intent))
                    }
                    ("issued", Some(Entry { intent: Intent { serial, client, subject, .. }, certificate, .. })) => {
                        counts.certificates += 1;
                        certificate.as_ref().map(|der| record(at, client, subject, "issued", issued(serial, der)))
                    }
                    (word @ ("revoked" | "abandoned"), Some(found)) => {
                        counts.revocations += 1;
                        let word = if word == "revoked" { "revoked" } else { "abandoned" };
                        let revocation = match (&found.standing, word) {
                            (Standing::Revoked(it), "revoked") | (Standing::Abandoned(it), "abandoned") => Some(it),
                            _ => None,
                        };
                        let Intent { serial, subject, .. } = &found.intent;
                        revocation.map(|revocation| revoke::revoked(serial, subject, word, revocation, at))
                    }
                    ("adopted", _) => {
                        counts.revocations += 1;
                        adopted(&mut connection, *sequence, entry).await?
                    }
                    _ => None,
                };
                if expected.as_ref() != Some(entry) {
                    let what = "what is stored is not what it says".to_owned();
                    return Err(AuditBreak { sequence: *sequence, what }.into());
                }
            }
        }
        let found = count(&mut connection).await?;
        if found != counts {
            return Err(AuditError::Surplus);
        }
        Ok(AuditReport { head, subjects: u64::try_from(counts.entries).unwrap_or_default() })
    }
}

/// The entries that the records after `first` up to `last` are about.
async fn stored(connection: &mut SqliteConnection, first: i64, last: i64) -> Result<HashMap<u64, Entry>, StoreError> {
    const ENTRIES: &str = entry_query!("verify::stored", "WHERE e.number > ? AND e.number <= ? ORDER BY e.number");
    const CHANGED: &str = entry_query!(
        "verify::stored",
        "JOIN changes AS h ON h.entry = e.number WHERE h.sequence > ? AND h.sequence <= ? ORDER BY h.sequence"
    );
    const SEQUENCES: &str = "/* verify::stored */ SELECT number FROM entries WHERE number > ? AND number <= ? \
                             ORDER BY number";
    const CHANGES: &str = "/* verify::stored */ SELECT sequence FROM changes WHERE sequence > ? AND sequence <= ? \
                           ORDER BY sequence";
    let mut stored = HashMap::new();
    for (entries, sequences) in [(ENTRIES, SEQUENCES), (CHANGED, CHANGES)] {
        let entries = readers::all(connection, Script::one(entries).with(first).with(last)).await?;
        let sequences = readers::all(connection, Script::one(sequences).with(first).with(last)).await?;
        for (row, sequence) in entries.iter().zip(&sequences) {
            let sequence = Columns::of(sequence).unsigned("changes.sequence")?;
            stored.insert(sequence, rows::entry(&mut Columns::of(row))?);
        }
    }
    Ok(stored)
}

/// The record of the adopted serial number that this record names, as it has to be.
async fn adopted(
    connection: &mut SqliteConnection,
    sequence: u64,
    entry: &audit::Entry,
) -> Result<Option<audit::Entry>, StoreError> {
    let serial = serde_json::from_str::<serde_json::Value>(&entry.body).ok();
    let serial = serial.and_then(|body| body.get("serial")?.as_str()?.parse().ok());
    let Some(serial) = serial else { return Ok(None) };
    let query = "/* verify::adopted */ SELECT r.at, r.reason, r.invalidity_date, r.revoked_by FROM revocations AS r \
                 JOIN stray_changes AS c ON c.serial = r.serial \
                 WHERE r.serial = ? AND r.kind = 'adopted' AND c.sequence = ?";
    let script = Script::one(query).with(rows::octets(&serial)).with(signed(sequence));
    let found = readers::all(connection, script).await?;
    let Some(row) = found.first() else { return Ok(None) };
    let revocation = rows::revocation(&mut Columns::of(row))?;
    Ok(Some(audit::Entry { actor: revocation.by.clone(), body: revoke::body(&serial, &revocation), ..entry.clone() }))
}

async fn count(connection: &mut SqliteConnection) -> Result<Counts, StoreError> {
    let query = "/* verify::count */ SELECT (SELECT count(*) FROM entries), (SELECT count(*) FROM certificates), \
                 (SELECT count(*) FROM revocations)";
    let rows = readers::all(connection, Script::one(query)).await?;
    let mut counts = rows.first().map(|row: &SqliteRow| Columns::of(row)).map(|mut columns| {
        Ok::<_, StoreError>(Counts {
            entries: columns.get("entries")?,
            certificates: columns.get("certificates")?,
            revocations: columns.get("revocations")?,
        })
    });
    counts.take().unwrap_or_else(|| Ok(Counts::default()))
}
