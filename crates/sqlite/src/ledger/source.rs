//! What is published of the ledger: revocation lists and the status of single certificates.

use async_trait::async_trait;
use koshin_endpoints::{Editions, RevocationSource, Revoked, SourceUnavailable, StatusSource, StatusUnavailable};
use koshin_issuance::{CrlEdition, OcspStatus, RevokedCertificate};
use koshin_types::{RevocationReason, SerialNumber};
use time::UtcDateTime;

use super::{LedgerStore, rows::octets};
use crate::{
    codec::{Columns, instant},
    error::{StoreError, damaged},
    lists::RecordedLists,
    script::Script,
};

fn unavailable(error: StoreError) -> SourceUnavailable {
    SourceUnavailable(Box::new(error))
}

#[async_trait]
impl RevocationSource for LedgerStore {
    /// What was abandoned is revoked too: nobody can show that it was never signed.
    async fn revocations(&self, after: Option<SerialNumber>, limit: usize) -> Result<Vec<Revoked>, SourceUnavailable> {
        // A page is one row: making one of each entry would cost more than all the rest.
        let query = "/* LedgerStore::revocations */ SELECT group_concat(r.packed, '') FROM \
                     (SELECT packed FROM revocations WHERE serial > ? ORDER BY serial LIMIT ?) AS r";
        let after = after.map_or_else(Vec::new, |after| octets(&after));
        let script = Script::one(query).with(after).with(i64::try_from(limit).unwrap_or(i64::MAX));
        let row = self.database.readers().scan(script).await.map_err(unavailable)?;
        let packed = row.as_ref().map(|row| Columns::of(row).get::<Option<&str>>("revocations")).transpose();
        unpack(packed.map_err(unavailable)?.flatten().unwrap_or_default()).map_err(unavailable)
    }

    async fn editions(&self) -> Result<Editions, SourceUnavailable> {
        let RecordedLists { reserved, published } = self.database.lists().await.map_err(unavailable)?;
        Ok(Editions { reserved, published })
    }

    async fn reserve(&self, wanted: CrlEdition) -> Result<CrlEdition, SourceUnavailable> {
        self.database.reserve_list(wanted).await.map_err(unavailable)
    }

    async fn published(&self, edition: CrlEdition) -> Result<(), SourceUnavailable> {
        self.database.list_published(edition).await.map_err(unavailable)
    }
}

#[async_trait]
impl StatusSource for LedgerStore {
    /// Where the database may lack something, only what is revoked for ever is told.
    async fn status(&self, serial: &SerialNumber) -> Result<OcspStatus, StatusUnavailable> {
        let unavailable = |error: StoreError| StatusUnavailable(Box::new(error));
        let query = "/* LedgerStore::status */ SELECT (SELECT count(*) FROM entries AS e JOIN certificates AS c \
                     ON c.entry = e.number WHERE e.serial = w.serial), r.at, r.reason \
                     FROM (SELECT ? AS serial) AS w LEFT JOIN revocations AS r ON r.serial = w.serial";
        let row = self.database.readers().one(Script::one(query).with(octets(serial))).await.map_err(unavailable)?;
        let row = row.ok_or_else(|| unavailable(damaged("entries")))?;
        let mut columns = Columns::of(&row);
        let is_issued: bool = columns.get("entries.serial").map_err(unavailable)?;
        if let Some(at) = columns.maybe_instant("revocations.at").map_err(unavailable)? {
            let reason = columns.word("revocations.reason").map_err(unavailable)?;
            return Ok(OcspStatus::Revoked { at, reason });
        }
        self.database.has_to_be_current().await.map_err(unavailable)?;
        Ok(if is_issued { OcspStatus::Good } else { OcspStatus::Unknown })
    }
}

/// Entries of 40 digits of a serial number and four fields, `,` between and `;` behind them.
fn unpack(packed: &str) -> Result<Vec<Revoked>, StoreError> {
    const DIGITS: usize = 2 * SerialNumber::MAX_OCTETS;
    let broken = || damaged("revocations");
    let mut revoked: Vec<Revoked> = Vec::with_capacity(packed.len() / 80);
    // Most reasons follow one of the same kind.
    let mut known = ("", RevocationReason::Unspecified);
    for entry in packed.split_terminator(';') {
        let (digits, fields) = entry.split_at_checked(DIGITS).ok_or_else(broken)?;
        let serial = digits.parse().map_err(|_| broken())?;
        let mut fields = fields.split(',');
        let mut field = || fields.next().ok_or_else(broken);
        let revoked_at = instant(field()?.parse().map_err(|_| broken())?, "revocations.at")?;
        let reason = field()?;
        if known.0 != reason {
            known = (reason, reason.parse().map_err(|_| broken())?);
        }
        let invalidity_date = Some(field()?).filter(|text| !text.is_empty()).map(second).transpose()?;
        let not_after = second(field()?)?;
        if revoked.last().is_some_and(|last| last.entry.serial >= serial) {
            return Err(broken());
        }
        let entry = RevokedCertificate { serial, revoked_at, reason: known.1, invalidity_date };
        revoked.push(Revoked { entry, not_after });
    }
    Ok(revoked)
}

fn second(text: &str) -> Result<UtcDateTime, StoreError> {
    let seconds = text.parse().map_err(|_| damaged("revocations"))?;
    UtcDateTime::from_unix_timestamp(seconds).map_err(|_| damaged("revocations"))
}
