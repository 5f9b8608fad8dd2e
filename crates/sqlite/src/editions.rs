//! What a revocation list is made of, and the record of the lists.

use async_trait::async_trait;
use koshin_issuance::{CrlEdition, RevokedCertificate};
use koshin_ra::StorageError;
use koshin_types::SerialNumber;
use serde_json::json;
use time::UtcDateTime;

use crate::{
    audit::Entry,
    codec::{Columns, instant, millis, signed},
    error::{StoreError, damaged},
    script::Script,
    store::Store,
    witness::{self, ListEdition},
    writer::{Failed, Job, Transaction},
};

/// The newest revocation lists that are recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordedLists {
    /// The newest one that may have been signed. Dates in whole seconds.
    pub reserved: Option<CrlEdition>,
    /// The newest one that could be fetched.
    pub published: Option<CrlEdition>,
}

const fn edition(list: ListEdition) -> CrlEdition {
    CrlEdition { number: list.number, this_update: list.this_update, next_update: list.next_update }
}

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
        // A page is one row: making one of each entry would cost more than all the rest.
        const PAGE: &str = "/* Store::revocations */ SELECT group_concat(r.packed, '') FROM (\
             SELECT hex(serial) || ' ' || status_at || ' ' || reason || ' ' || not_after || ' ' AS packed \
             FROM certificates WHERE status = 'revoked' AND (length(serial), serial) > (?, ?) \
             ORDER BY length(serial), serial LIMIT ?) AS r";
        let digits = after.as_ref().map_or_else(Vec::new, |after| after.as_be_bytes().to_vec());
        let mut script = Script::one(PAGE);
        script.bind(signed(digits.len() as u64)).bind(digits).bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let row = self.readers().one(script).await?;
        let packed = row.as_ref().map(|row| Columns::of(row).get::<Option<&str>>("certificates.serial")).transpose()?;
        Ok(unpack(packed.flatten().unwrap_or_default())?)
    }

    /// The newest revocation lists that are recorded.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn lists(&self) -> Result<RecordedLists, StorageError> {
        let query = "/* Store::lists */ SELECT state, number, this_update, next_update FROM editions";
        let mut lists = RecordedLists::default();
        for row in &self.readers().all(Script::one(query)).await? {
            let mut columns = Columns::of(row);
            let state: &str = columns.get("editions.state")?;
            let list = witness::edition(&mut columns)?.map(edition);
            if state == "reserved" {
                lists.reserved = list;
            } else {
                lists.published = list;
            }
        }
        Ok(lists)
    }

    /// Records `wanted.following(reserved)` as the newest list that may be signed, with an audit record, and answers it when it is
    /// durable.
    ///
    /// # Errors
    ///
    /// [`StorageError`], also when this database may be older than what was issued from it.
    pub async fn reserve_list(&self, wanted: CrlEdition) -> Result<CrlEdition, StorageError> {
        self.has_to_be_current().await?;
        Ok(self.write(Reserve { wanted }).await?)
    }

    /// Records that a list can be fetched, unless a newer one is recorded.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn list_published(&self, edition: CrlEdition) -> Result<(), StorageError> {
        Ok(self.write(Published { edition }).await?)
    }
}

/// Serial number, instant in milliseconds, reason, notAfter in seconds, a space behind each.
fn unpack(packed: &str) -> Result<Vec<(RevokedCertificate, UtcDateTime)>, StoreError> {
    let broken = || damaged("certificates: a revocation");
    let mut revoked: Vec<(RevokedCertificate, UtcDateTime)> = Vec::with_capacity(packed.len() / 80);
    let mut fields = packed.split_ascii_whitespace();
    while let Some(serial) = fields.next() {
        let serial: SerialNumber = serial.parse().map_err(|_| broken())?;
        let mut field = || fields.next().ok_or_else(broken);
        let revoked_at = instant(field()?.parse().map_err(|_| broken())?, "certificates.status_at")?;
        let reason = field()?.parse().map_err(|_| broken())?;
        let not_after = field()?.parse().ok().and_then(|seconds| UtcDateTime::from_unix_timestamp(seconds).ok());
        if revoked.last().is_some_and(|(last, _)| last.serial >= serial) {
            return Err(broken());
        }
        let entry = RevokedCertificate { serial, revoked_at, reason, invalidity_date: None };
        revoked.push((entry, not_after.ok_or_else(broken)?));
    }
    Ok(revoked)
}

struct Reserve {
    wanted: CrlEdition,
}

#[async_trait]
impl Job for Reserve {
    type Done = CrlEdition;
    type Refused = StoreError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<CrlEdition, Failed<StoreError>> {
        let query = "/* Reserve::run */ SELECT number, this_update, next_update FROM editions WHERE state = 'reserved'";
        let rows = tx.read(Script::one(query)).await?;
        let last = match rows.first() {
            Some(row) => witness::edition(&mut Columns::of(row))?,
            None => None,
        };
        let next = self.wanted.following(last.map(edition));
        let record = Entry {
            at: millis(self.wanted.this_update),
            actor: "system".to_owned(),
            subject: None,
            fact: false,
            word: "list_reserved".to_owned(),
            body: json!({ "number": next.number }).to_string(),
        };
        let mut script = Script::default();
        record.append(&mut tx.head, &mut script);
        put(&mut script, "reserved", next);
        tx.write_last(script).await?;
        Ok(next)
    }
}

struct Published {
    edition: CrlEdition,
}

#[async_trait]
impl Job for Published {
    type Done = ();
    type Refused = StoreError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<(), Failed<StoreError>> {
        let mut script = Script::default();
        put(&mut script, "published", self.edition);
        tx.write_last(script).await?;
        Ok(())
    }
}

/// Records an edition, unless a newer one is recorded.
fn put(script: &mut Script, state: &'static str, edition: CrlEdition) {
    script.push(
        "/* editions::put */ INSERT INTO editions (state, number, this_update, next_update) VALUES (?, ?, ?, ?) \
         ON CONFLICT (state) DO UPDATE SET number = excluded.number, this_update = excluded.this_update, \
         next_update = excluded.next_update WHERE excluded.number > editions.number",
    );
    script.bind(state).bind(signed(edition.number)).bind(edition.this_update.unix_timestamp());
    script.bind(edition.next_update.unix_timestamp());
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
        let explain = "EXPLAIN QUERY PLAN SELECT hex(serial) || ' ' || status_at || ' ' || reason || ' ' || not_after \
                       FROM certificates WHERE status = 'revoked' AND (length(serial), serial) > (19, x'01') \
                       ORDER BY length(serial), serial LIMIT 10";
        let rows = sqlx::query(explain).fetch_all(&mut connection).await.unwrap();
        let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        assert_eq!(steps.len(), 1, "{steps:?}");
        assert!(steps[0].starts_with("SEARCH certificates USING COVERING INDEX certificates_revoked"), "{steps:?}");
    }
}
