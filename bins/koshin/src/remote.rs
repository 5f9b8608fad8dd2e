//! A `koshin-ca` as the registration authority's [`Authority`]: orders go out over its API, bytes come back.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use http::StatusCode;
use koshin_endpoints::{
    ca::{ChangeKind, IssueRequest, RevocationRequest},
    client::{CaAddress, CaClient, CallError},
};
use koshin_operator::pem;
use koshin_ra::{Authority, AuthorityError, Order, Revocation};
use time::UtcDateTime;

use crate::config::Remote;

/// How many changes are asked for at once.
const PAGE: u32 = 500;

/// A CA in another process.
#[derive(Debug, Clone)]
pub(crate) struct RemoteAuthority {
    client: CaClient,
    profile: String,
}

impl RemoteAuthority {
    /// Reads what the tables name. It connects with the first question, so that a portal starts while its CA is down.
    pub(crate) fn open(remote: &Remote, path: impl Fn(&Path) -> PathBuf) -> anyhow::Result<Self> {
        let certificates = |file: &Path| -> anyhow::Result<Vec<_>> {
            Ok(pem::chain(&path(file))?.iter().map(|der| der.to_vec()).collect())
        };
        let key = pem::private_key(&path(&remote.key))?;
        let (roots, own) = (certificates(&remote.roots)?, certificates(&remote.certificate)?);
        let address = CaAddress::new(&remote.url, roots, own, key.secret_der().to_vec());
        Ok(Self { client: CaClient::new(address)?, profile: remote.profile.clone() })
    }
}

#[async_trait]
impl Authority for RemoteAuthority {
    async fn issue(&self, order: &Order, now: UtcDateTime) -> Result<Vec<u8>, AuthorityError> {
        let request = IssueRequest {
            renewal: order.renewal,
            profile: self.profile.clone(),
            organization: order.organization.clone(),
            subject: order.subject.as_str().to_owned(),
            mail: order.mail.clone(),
            validity: order.validity,
            now,
            request: order.request.clone(),
        };
        Ok(self.client.issue(&request).await.map_err(failed)?.certificate)
    }

    async fn revoke(&self, revocation: &Revocation, now: UtcDateTime) -> Result<(), AuthorityError> {
        let Revocation { serial, at, reason } = *revocation;
        let request = RevocationRequest { serial, reason, revoked_at: at, invalidity_date: None };
        self.client.revoke(&request, now).await.map(drop).map_err(failed)
    }

    async fn changes(&self, after: u64) -> Result<(u64, Vec<Revocation>), AuthorityError> {
        let page = self.client.changes(after, PAGE).await.map_err(failed)?;
        let revoked = page.changes.into_iter().filter_map(|change| match change.kind {
            ChangeKind::Issued => None,
            ChangeKind::Abandoned(revocation) | ChangeKind::Revoked(revocation) => {
                Some(Revocation { serial: change.serial, at: revocation.at, reason: revocation.reason })
            }
        });
        // Asked beyond its head, the CA's ledger is an older copy of the one that was asked before.
        Ok((page.next.min(page.head), revoked.collect()))
    }
}

/// What a failed call means for the order.
fn failed(error: CallError) -> AuthorityError {
    let refusal = match error {
        CallError::Refused(refusal) => refusal,
        // The CA answers; this answer will not change by asking again at once, and says nothing of other orders.
        CallError::Differs { .. } => return AuthorityError::Declined { detail: error.to_string() },
        other => return AuthorityError::Unavailable { detail: format!("{:#}", anyhow::Error::from(other)) },
    };
    let is_about_the_order = [StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY].contains(&refusal.status);
    match refusal.code.as_str() {
        // All that a validity of today mends.
        "validity.backdated" | "validity.beyond_ca" => AuthorityError::Stale,
        // An order is sent word for word as it is stored: what differs is the configuration.
        "order.differs" => AuthorityError::Declined { detail: refusal.to_string() },
        "key.of_ca" | "profile.key_kind" | "serial.unknown" => AuthorityError::Refused { code: refusal.code },
        code if code.starts_with("request.") || refusal.ends_order() => AuthorityError::Refused { code: refusal.code },
        _ if is_about_the_order => AuthorityError::Declined { detail: refusal.to_string() },
        _ => AuthorityError::Unavailable { detail: refusal.to_string() },
    }
}

#[cfg(test)]
mod tests;
