//! What the publisher of the revocation list asks the store.

use std::sync::Arc;

use async_trait::async_trait;
use koshin_endpoints::{Editions, RevocationSource, Revoked, SourceUnavailable};
use koshin_issuance::CrlEdition;
use koshin_ra::StorageError;
use koshin_sqlite::{RecordedLists, Store};
use koshin_types::SerialNumber;

/// The store of one CA.
pub(crate) struct Revocations(pub(crate) Arc<Store>);

fn unavailable(error: StorageError) -> SourceUnavailable {
    SourceUnavailable(error.into())
}

#[async_trait]
impl RevocationSource for Revocations {
    async fn revocations(&self, after: Option<SerialNumber>, limit: usize) -> Result<Vec<Revoked>, SourceUnavailable> {
        let page = self.0.revocations(after, limit).await.map_err(unavailable)?;
        Ok(page.into_iter().map(|(entry, not_after)| Revoked { entry, not_after }).collect())
    }

    async fn editions(&self) -> Result<Editions, SourceUnavailable> {
        let RecordedLists { reserved, published } = self.0.lists().await.map_err(unavailable)?;
        Ok(Editions { reserved, published })
    }

    async fn reserve(&self, wanted: CrlEdition) -> Result<CrlEdition, SourceUnavailable> {
        self.0.reserve_list(wanted).await.map_err(unavailable)
    }

    async fn published(&self, edition: CrlEdition) -> Result<(), SourceUnavailable> {
        self.0.list_published(edition).await.map_err(unavailable)
    }
}
