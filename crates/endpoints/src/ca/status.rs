//! What OCSP says, out of the ledger.

use std::sync::Arc;

use async_trait::async_trait;
use koshin_issuance::OcspStatus;
use koshin_types::SerialNumber;

use super::ledger::{Ledger, Standing};
use crate::{StatusSource, StatusUnavailable};

/// A ledger as the source of OCSP answers: good is only what was issued and is not revoked (I-75).
#[derive(Clone)]
pub struct LedgerStatus(Arc<dyn Ledger>);

impl LedgerStatus {
    /// Asks this ledger.
    pub fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self(ledger)
    }
}

#[async_trait]
impl StatusSource for LedgerStatus {
    async fn status(&self, serial: &SerialNumber) -> Result<OcspStatus, StatusUnavailable> {
        let status = self.0.status(serial).await.map_err(|error| StatusUnavailable(Box::new(error)))?;
        Ok(match status.map(|status| status.standing) {
            Some(Standing::Issued) => OcspStatus::Good,
            Some(Standing::Revoked(revocation)) => OcspStatus::Revoked { at: revocation.at, reason: revocation.reason },
            Some(Standing::Intended | Standing::Abandoned(_)) | None => OcspStatus::Unknown,
        })
    }
}

impl std::fmt::Debug for LedgerStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LedgerStatus").finish_non_exhaustive()
    }
}
