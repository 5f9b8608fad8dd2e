//! What a revocation list is made of, and the record of the lists.

use koshin_issuance::{CrlEdition, RevokedCertificate};
use koshin_ra::StorageError;
use koshin_types::{RevocationReason, SerialNumber};
use time::UtcDateTime;

use crate::{
    codec::{Columns, instant, signed},
    error::{StoreError, damaged},
    lists::RecordedLists,
    script::Script,
    store::Store,
};

/// Entries whose serial numbers have so many octets and are greater than another one; and the next length of serial numbers.
///
/// A page is one row: making one of each entry would cost more than all the rest.
const PAGE: &str = "/* Store::revocations */ SELECT (SELECT group_concat(r.packed, '') FROM (\
     SELECT hex(serial) || ' ' || status_at || ' ' || reason || ' ' || not_after || ' ' AS packed FROM certificates \
     WHERE status = 'revoked' AND length(serial) = ? AND serial > ? ORDER BY serial LIMIT ?) AS r), \
     (SELECT min(length(serial)) FROM certificates WHERE status = 'revoked' AND length(serial) > ?)";

impl Store {
    /// The revoked certificates with serial numbers greater than `after`, in their order, at most `limit`, each with its
    /// notAfter.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn revocations(
        &self,
        after: Option<SerialNumber>,
        limit: usize,
    ) -> Result<Vec<(RevokedCertificate, UtcDateTime)>, StorageError> {
        let mut revoked = Vec::new();
        let mut from =
            after.as_ref().map_or((0, Vec::new()), |after| (after.as_be_bytes().len(), after.as_be_bytes().to_vec()));
        loop {
            let mut script = Script::one(PAGE);
            script.bind(signed(from.0 as u64)).bind(from.1);
            script
                .bind(i64::try_from(limit.saturating_sub(revoked.len())).unwrap_or(i64::MAX))
                .bind(signed(from.0 as u64));
            let row = self.readers().scan(script).await?.ok_or_else(|| damaged("certificates"))?;
            let mut columns = Columns::of(&row);
            let packed: Option<&str> = columns.get("certificates.serial")?;
            unpack(packed.unwrap_or_default(), &mut revoked)?;
            match columns.get::<Option<i64>>("certificates.serial")? {
                Some(longer) if revoked.len() < limit => {
                    from = (usize::try_from(longer).unwrap_or(usize::MAX), Vec::new());
                }
                _ => break,
            }
        }
        let strays = self.strays(after, limit).await?;
        if !strays.is_empty() {
            revoked.extend(strays);
            revoked.sort_unstable_by_key(|(revoked, _)| revoked.serial);
            revoked.truncate(limit);
        }
        Ok(revoked)
    }

    /// The same of what was found after a restore and has no certificate here: very few, if any.
    async fn strays(
        &self,
        after: Option<SerialNumber>,
        limit: usize,
    ) -> Result<Vec<(RevokedCertificate, UtcDateTime)>, StoreError> {
        let query = "/* Store::strays */ SELECT serial, at, reason, invalidity_date, not_after FROM strays \
                     WHERE (length(serial), serial) > (?, ?) ORDER BY length(serial), serial LIMIT ?";
        let digits = after.as_ref().map_or_else(Vec::new, |after| after.as_be_bytes().to_vec());
        let mut script = Script::one(query);
        script.bind(signed(digits.len() as u64)).bind(digits).bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let second = |seconds| UtcDateTime::from_unix_timestamp(seconds).map_err(|_| damaged("strays.not_after"));
        let stray = |row| {
            let mut columns = Columns::of(row);
            let entry = RevokedCertificate {
                serial: columns.serial("strays.serial")?,
                revoked_at: columns.instant("strays.at")?,
                reason: columns.word("strays.reason")?,
                invalidity_date: columns.get::<Option<i64>>("strays.invalidity_date")?.map(second).transpose()?,
            };
            Ok((entry, second(columns.get("strays.not_after")?)?))
        };
        self.readers().all(script).await?.iter().map(stray).collect()
    }

    /// The newest revocation lists that are recorded.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn lists(&self) -> Result<RecordedLists, StorageError> {
        Ok(self.database().lists().await?)
    }

    /// Records `wanted.following(reserved)` as the newest list that may be signed, with an audit record, and answers it when it is
    /// durable.
    ///
    /// # Errors
    ///
    /// [`StorageError`], also when this database may be older than what was issued from it.
    pub async fn reserve_list(&self, wanted: CrlEdition) -> Result<CrlEdition, StorageError> {
        Ok(self.database().reserve_list(wanted).await?)
    }

    /// Records that a list can be fetched, unless a newer one is recorded.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn list_published(&self, edition: CrlEdition) -> Result<(), StorageError> {
        Ok(self.database().list_published(edition).await?)
    }
}

/// Serial number, instant in milliseconds, reason, notAfter in seconds, a space behind each.
fn unpack(packed: &str, into: &mut Vec<(RevokedCertificate, UtcDateTime)>) -> Result<(), StoreError> {
    let broken = || damaged("certificates: a revocation");
    into.reserve(packed.len() / 80);
    let mut fields = packed.split(' ').filter(|field| !field.is_empty());
    // Most reasons follow one of the same kind.
    let mut known = ("", RevocationReason::Unspecified);
    while let Some(serial) = fields.next() {
        let serial: SerialNumber = serial.parse().map_err(|_| broken())?;
        let mut field = || fields.next().ok_or_else(broken);
        let revoked_at = instant(field()?.parse().map_err(|_| broken())?, "certificates.status_at")?;
        let reason = field()?;
        if known.0 != reason {
            known = (reason, reason.parse().map_err(|_| broken())?);
        }
        let not_after = field()?.parse().ok().and_then(|seconds| UtcDateTime::from_unix_timestamp(seconds).ok());
        if into.last().is_some_and(|(last, _)| last.serial >= serial) {
            return Err(broken());
        }
        let entry = RevokedCertificate { serial, revoked_at, reason: known.1, invalidity_date: None };
        into.push((entry, not_after.ok_or_else(broken)?));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sqlx::{ConnectOptions as _, Row as _, sqlite::SqliteConnectOptions};

    use super::*;
    use crate::Options;

    /// A page costs what stands on it: no table is read, and nothing is sorted.
    #[tokio::test]
    async fn a_page_is_read_from_the_index_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("koshin.db");
        Store::open(&file, &Options::default()).await.unwrap().shut_down().await;
        let mut connection = SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
        let explain = format!("EXPLAIN QUERY PLAN {PAGE}");
        let query = sqlx::query(sqlx::AssertSqlSafe(explain)).bind(19).bind(&b"\x01"[..]).bind(10).bind(19);
        let rows = query.fetch_all(&mut connection).await.unwrap();
        let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        let covered = |step: &&String| step.contains("certificates USING COVERING INDEX certificates_revoked");
        let searched = steps.iter().filter(covered).filter(|step| step.starts_with("SEARCH"));
        assert_eq!(searched.count(), 2, "{steps:?}");
        assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{steps:?}");
    }
}
