//! Looking whether the audit log is whole.

use sqlx::SqliteConnection;

use crate::{
    audit::{self, AuditHead, Entry},
    database::Database,
    error::StoreError,
    readers,
    script::Script,
};

/// Records read at a time.
const PAGE: u32 = 1_000;

/// What was found in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditReport {
    /// The end of the log.
    pub head: AuditHead,
    /// Subjects whose holding, or entries whose rows, were compared; 0 when only the log was looked at.
    pub subjects: u64,
}

/// The first place at which the log is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the audit log breaks at record {sequence}: {what}")]
pub struct AuditBreak {
    /// The record.
    pub sequence: u64,
    /// What is wrong with it.
    pub what: String,
}

/// Why a check did not come to a good end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The log was changed.
    #[error(transparent)]
    Break(#[from] AuditBreak),
    /// A record is no step that the machine allows where it stands.
    #[cfg(feature = "registry")]
    #[error("the machine does not allow record {sequence}, about {subject}")]
    NotAllowed {
        /// The record.
        sequence: u64,
        /// The subject.
        subject: String,
        /// What the machine says.
        source: Box<koshin_renewal::NotAllowed>,
    },
    /// The log gives another holding than is stored.
    #[cfg(feature = "registry")]
    #[error("what {subject} holds is not what the audit log says")]
    Differs {
        /// The subject.
        subject: String,
    },
    /// The ledger holds a row that no record speaks of.
    #[error("the ledger holds something that the audit log does not speak of")]
    Surplus,
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StoreError),
}

impl Database {
    pub(crate) async fn audit_verify(&self) -> Result<AuditReport, AuditError> {
        let mut connection = self.snapshot().await?;
        let head = walk(&mut connection, |_, _| Ok(())).await?;
        Ok(AuditReport { head, subjects: 0 })
    }

    /// A connection that goes on seeing this instant's state until it is dropped.
    pub(crate) async fn snapshot(&self) -> Result<SqliteConnection, StoreError> {
        let mut connection = self.readers().own().await?;
        readers::all(&mut connection, Script::one("/* Database::snapshot */ BEGIN")).await?;
        Ok(connection)
    }
}

/// Walks the log from its beginning; `each` sees every record whose hash is right.
pub(crate) async fn walk(
    connection: &mut SqliteConnection,
    mut each: impl FnMut(u64, &Entry) -> Result<(), AuditError>,
) -> Result<AuditHead, AuditError> {
    let mut head = AuditHead::default();
    loop {
        let records = page(connection, &mut head).await?;
        if records.is_empty() {
            return Ok(head);
        }
        for (sequence, entry) in &records {
            each(*sequence, entry)?;
        }
    }
}

/// The next records of a walk, whose hashes are right.
pub(crate) async fn page(
    connection: &mut SqliteConnection,
    head: &mut AuditHead,
) -> Result<Vec<(u64, Entry)>, AuditError> {
    let rows = readers::all(connection, audit::page(head.sequence, PAGE)).await.map_err(StoreError::from)?;
    let mut records = Vec::with_capacity(rows.len());
    for row in &rows {
        let expected = head.sequence + 1;
        let broken = |what: &str| AuditBreak { sequence: expected, what: what.to_owned() };
        let (sequence, entry, hash) = audit::stored(row).map_err(|error| broken(&error.to_string()))?;
        if sequence != expected {
            return Err(broken("the record is missing").into());
        }
        *head = entry.follow(*head);
        if head.hash != hash {
            return Err(broken("the hash does not match").into());
        }
        records.push((sequence, entry));
    }
    Ok(records)
}
