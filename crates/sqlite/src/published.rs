//! What the publisher of revocation lists and the OCSP responder of a CA in the registry's process ask.

use async_trait::async_trait;
use koshin_endpoints::{Editions, RevocationSource, Revoked, SourceUnavailable, StatusSource, StatusUnavailable};
use koshin_issuance::{CrlEdition, OcspStatus};
use koshin_ra::StorageError;
use koshin_renewal::Status;
use koshin_types::SerialNumber;

use crate::{codec::Columns, error::StoreError, file, lists::RecordedLists, script::Script, store::Store};

fn unavailable(error: StorageError) -> SourceUnavailable {
    SourceUnavailable(error.into())
}

#[async_trait]
impl RevocationSource for Store {
    async fn revocations(&self, after: Option<SerialNumber>, limit: usize) -> Result<Vec<Revoked>, SourceUnavailable> {
        let page = Self::revocations(self, after, limit).await.map_err(unavailable)?;
        Ok(page.into_iter().map(|(entry, not_after)| Revoked { entry, not_after }).collect())
    }

    async fn editions(&self) -> Result<Editions, SourceUnavailable> {
        let RecordedLists { reserved, published } = self.lists().await.map_err(unavailable)?;
        Ok(Editions { reserved, published })
    }

    async fn reserve(&self, wanted: CrlEdition) -> Result<CrlEdition, SourceUnavailable> {
        self.reserve_list(wanted).await.map_err(unavailable)
    }

    async fn published(&self, edition: CrlEdition) -> Result<(), SourceUnavailable> {
        self.list_published(edition).await.map_err(unavailable)
    }
}

#[async_trait]
impl StatusSource for Store {
    /// Where the database may lack something, only what is revoked for ever is told. Superseded is no revocation: the portal
    /// refuses the certificate, others may still check old signatures.
    async fn status(&self, serial: &SerialNumber) -> Result<OcspStatus, StatusUnavailable> {
        let unavailable = |error: StoreError| StatusUnavailable(Box::new(error));
        let query = "/* Store::status */ SELECT c.status, c.status_at, c.superseded_by, c.reason, t.at, t.reason \
                     FROM (SELECT ? AS serial) AS w LEFT JOIN certificates AS c ON c.serial = w.serial \
                     LEFT JOIN strays AS t ON t.serial = w.serial";
        let row = self.readers().one(Script::one(query).with(serial.as_be_bytes())).await.map_err(unavailable)?;
        let row = row.ok_or_else(|| unavailable(crate::error::damaged("certificates")))?;
        let known = told(&mut Columns::of(&row)).map_err(unavailable)?;
        if !matches!(known, OcspStatus::Revoked { .. }) {
            self.database().has_to_be_current().await.map_err(unavailable)?;
        }
        Ok(known)
    }
}

fn told(columns: &mut Columns<'_>) -> Result<OcspStatus, StoreError> {
    let held = file::maybe_status(columns)?;
    // Found after a restore, and nobody's here.
    if let Some(at) = columns.maybe_instant("strays.at")? {
        return Ok(OcspStatus::Revoked { at, reason: columns.word("strays.reason")? });
    }
    Ok(match held {
        None => OcspStatus::Unknown,
        Some(Status::Revoked { at, reason }) => OcspStatus::Revoked { at, reason },
        Some(Status::Pending | Status::Active { .. } | Status::Superseded { .. }) => OcspStatus::Good,
    })
}
