//! Recording revocations.

use async_trait::async_trait;
use koshin_endpoints::ca::{Revocation, RevokeError, Standing};
use koshin_types::SerialNumber;
use serde_json::json;
use sqlx::sqlite::SqliteRow;
use time::UtcDateTime;

use super::{
    rows::{self, octets, put_change, put_revocation},
    write::record,
};
use crate::{
    audit::Entry,
    codec::Columns,
    error::StoreError,
    script::Script,
    writer::{Failed, Job, Transaction},
};

impl From<StoreError> for RevokeError {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}

pub(super) struct Revoke {
    pub(super) serial: SerialNumber,
    pub(super) revocation: Revocation,
    pub(super) now: UtcDateTime,
}

#[async_trait]
impl Job for Revoke {
    type Done = Standing;
    type Refused = RevokeError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<Standing, Failed<RevokeError>> {
        let rows = tx.read(rows::status_of(&self.serial).then(SUBJECT).with(octets(&self.serial))).await?;
        let [status, subject] = rows.as_slice() else {
            return Err(Failed::Refused(RevokeError::Unknown { serial: self.serial }));
        };
        let known = rows::status(&mut Columns::of(status))?;
        let standing = match known.standing {
            Standing::Intended => Standing::Abandoned(self.revocation.clone()),
            Standing::Issued => Standing::Revoked(self.revocation.clone()),
            ended => return Ok(ended),
        };
        let word = if matches!(standing, Standing::Revoked(_)) { "revoked" } else { "abandoned" };
        let mut script = Script::default();
        let record = revoked(&self.serial, subject_of(subject)?, word, &self.revocation, self.now);
        let sequence = record.append(&mut tx.head, &mut script);
        put_revocation(&mut script, &self.serial, word, &self.revocation, known.validity.not_after());
        put_change(&mut script, sequence, &self.serial, word);
        tx.write_last(script).await?;
        Ok(standing)
    }
}

const SUBJECT: &str = "/* Revoke::run */ SELECT subject FROM entries WHERE serial = ?";

fn subject_of(row: &SqliteRow) -> Result<&str, StoreError> {
    Columns::of(row).get("entries.subject")
}

/// What the audit log says of a revocation: everything in its row.
pub(super) fn revoked(
    serial: &SerialNumber,
    subject: &str,
    word: &'static str,
    revocation: &Revocation,
    now: UtcDateTime,
) -> Entry {
    record(now, &revocation.by, subject, word, body(serial, revocation))
}

pub(super) fn body(serial: &SerialNumber, revocation: &Revocation) -> String {
    json!({
        "serial": serial.to_string(),
        "at": crate::codec::millis(revocation.at),
        "reason": revocation.reason.as_str(),
        "invalidity_date": revocation.invalidity_date.map(UtcDateTime::unix_timestamp),
    })
    .to_string()
}
