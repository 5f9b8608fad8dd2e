//! What revocation lists are made of, by the suite that every source has to pass.

use std::path::PathBuf;

use async_trait::async_trait;
use koshin_endpoints::{Editions, RevocationSource, Revoked, SourceUnavailable, publisher::conformance::Rig};
use koshin_issuance::CrlEdition;
use koshin_sqlite::{Options, RecordedLists, Store};
use koshin_types::SerialNumber;
use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use time::{Duration, UtcDateTime};

struct OfStore {
    store: Store,
    folder: TempDir,
}

impl OfStore {
    fn path(&self) -> PathBuf {
        self.folder.path().join("koshin.db")
    }

    async fn revoke_all(&self, all: &[Revoked]) {
        // Only the row of the certificate; what it hangs on is of no interest here.
        let options = SqliteConnectOptions::new().filename(self.path()).foreign_keys(false);
        let mut connection = options.connect().await.unwrap();
        for Revoked { entry, not_after } in all {
            let serial = entry.serial.as_be_bytes();
            let insert = "INSERT INTO certificates (serial, subject, generation, fingerprint, not_before, not_after, spki, \
                          protection, issued_at, status, status_at, reason, deferred) \
                          VALUES (?, ?, 1, ?, 0, ?, x'', '', 0, 'revoked', ?, ?, 0)";
            let mut fingerprint = [0; 32];
            fingerprint[..serial.len()].copy_from_slice(serial);
            fingerprint[31] = u8::try_from(serial.len()).unwrap();
            let subject: i64 =
                entry.serial.as_be_bytes().iter().fold(0, |sum, digit| (sum * 31 + i64::from(*digit)) % 1_000_000_007);
            let millis = i64::try_from(entry.revoked_at.unix_timestamp_nanos() / 1_000_000).unwrap();
            let query = sqlx::query(insert).bind(serial).bind(subject).bind(&fingerprint[..]);
            let query = query.bind(not_after.unix_timestamp()).bind(millis).bind(entry.reason.to_string());
            query.execute(&mut connection).await.unwrap();
        }
    }
}

fn unavailable(error: koshin_ra::StorageError) -> SourceUnavailable {
    SourceUnavailable(error.into())
}

#[async_trait]
impl RevocationSource for OfStore {
    async fn revocations(&self, after: Option<SerialNumber>, limit: usize) -> Result<Vec<Revoked>, SourceUnavailable> {
        let page = self.store.revocations(after, limit).await.map_err(unavailable)?;
        Ok(page.into_iter().map(|(entry, not_after)| Revoked { entry, not_after }).collect())
    }

    async fn editions(&self) -> Result<Editions, SourceUnavailable> {
        let RecordedLists { reserved, published } = self.store.lists().await.map_err(unavailable)?;
        Ok(Editions { reserved, published })
    }

    async fn reserve(&self, wanted: CrlEdition) -> Result<CrlEdition, SourceUnavailable> {
        self.store.reserve_list(wanted).await.map_err(unavailable)
    }

    async fn published(&self, edition: CrlEdition) -> Result<(), SourceUnavailable> {
        self.store.list_published(edition).await.map_err(unavailable)
    }
}

#[async_trait(?Send)]
impl Rig for OfStore {
    fn source(&self) -> &dyn RevocationSource {
        self
    }

    async fn revoke(&self, revoked: Revoked) {
        self.revoke_all(&[revoked]).await;
    }

    async fn reopen(self) -> Self {
        self.store.shut_down().await;
        let store = Store::open(&self.path(), &Options::default()).await.unwrap();
        Self { store, folder: self.folder }
    }
}

async fn empty() -> OfStore {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("koshin.db"), &Options::default()).await.unwrap();
    OfStore { store, folder }
}

koshin_endpoints::revocations_conformance!(empty);

/// Serial numbers of another length sort as numbers, not as texts.
#[tokio::test]
async fn shorter_serial_numbers_come_first() {
    let rig = empty().await;
    let at = UtcDateTime::UNIX_EPOCH + Duration::days(20_000);
    let serials: Vec<SerialNumber> =
        [&[0x7f][..], &[0x01, 0x00], &[0xff, 0xff], &[0x01, 0, 0], &[0x11; 19], &[0x02; 20]]
            .map(|octets| SerialNumber::from_be_bytes(octets).unwrap())
            .to_vec();
    let revoked = |serial| {
        let reason = koshin_types::RevocationReason::KeyCompromise;
        let entry = koshin_issuance::RevokedCertificate { serial, revoked_at: at, reason, invalidity_date: None };
        Revoked { entry, not_after: at }
    };
    let mut all: Vec<_> = serials.iter().copied().map(revoked).collect();
    all.reverse();
    rig.revoke_all(&all).await;
    let mut after = None;
    let mut read = Vec::new();
    loop {
        let page = rig.revocations(after, 2).await.unwrap();
        read.extend(page.iter().map(|revoked| revoked.entry.serial));
        let Some(last) = page.last() else { break };
        after = Some(last.entry.serial);
    }
    assert_eq!(read, serials);
}

/// The tables keep what the port promises, whatever program writes.
#[tokio::test]
async fn no_edition_goes_back() {
    let rig = empty().await;
    let at = UtcDateTime::UNIX_EPOCH + Duration::days(20_000);
    let edition = CrlEdition { number: 7, this_update: at, next_update: at + Duration::DAY };
    rig.reserve(edition).await.unwrap();
    let mut connection = SqliteConnectOptions::new().filename(rig.path()).connect().await.unwrap();
    for statement in [
        "DELETE FROM editions",
        "UPDATE editions SET number = 6",
        "UPDATE editions SET number = 7",
        "UPDATE editions SET number = 8, this_update = this_update - 1",
        "UPDATE editions SET number = 8, next_update = this_update",
    ] {
        assert!(sqlx::query(statement).execute(&mut connection).await.is_err(), "{statement}");
    }
    let records = rig.store.audit_records(0, 10).await.unwrap();
    let words: Vec<_> = records.iter().map(|record| &*record.word).collect();
    assert_eq!(words, ["list_reserved"]);
}
