//! What the service says of itself: whether it can do its work, and why not.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{Router, extract::State, routing::get};
use http::StatusCode;
use koshin_endpoints::Condition;
use koshin_issuance::{SignatureAlgorithm, Signer, SignerError};
use koshin_sqlite::{LedgerStore, Standing};
use koshin_types::Validity;
use time::UtcDateTime;

use crate::{clock::Clock, service::AtWork};

/// A key that remembers how its last signature went.
pub(crate) struct Watched {
    key: Arc<dyn Signer>,
    failure: Mutex<Option<SignerError>>,
}

impl Watched {
    pub(crate) fn new(key: Arc<dyn Signer>) -> Self {
        Self { key, failure: Mutex::default() }
    }

    /// Why the last signature was not made, if it was not.
    pub(crate) fn failure(&self) -> Option<SignerError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, signed: Result<Vec<u8>, SignerError>) -> Result<Vec<u8>, SignerError> {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = signed.as_ref().err().cloned();
        signed
    }
}

impl Signer for Watched {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }

    fn public_key_spki(&self) -> &[u8] {
        self.key.public_key_spki()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.note(self.key.sign(message))
    }

    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.note(self.key.sign_digest(digest))
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("failure", &self.failure()).finish_non_exhaustive()
    }
}

/// What readiness is made of.
#[derive(Clone)]
pub(crate) struct Health {
    pub(crate) store: LedgerStore,
    pub(crate) clock: Clock,
    pub(crate) at_work: AtWork,
}

impl Health {
    /// `/livez`: the process answers. `/readyz`: it can issue and what it publishes holds; else what is in the way.
    pub(crate) fn router(self) -> Router {
        Router::new().route("/livez", get(|| async { "ok\n" })).route("/readyz", get(ready)).with_state(self)
    }

    async fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        if self.clock.trusted().is_err() {
            troubles.push("clock: in doubt".to_owned());
        }
        match self.store.standing().await {
            Ok(Standing::Current) => {}
            Ok(Standing::Behind(_)) => troubles.push("ledger: restored and not reconciled".to_owned()),
            Err(_) => troubles.push("ledger: not available".to_owned()),
        }
        if self.store.witness_silent().is_some() {
            troubles.push("ledger: its witness cannot be written to; nothing is issued".to_owned());
        }
        let now = self.clock.now();
        troubles.extend(self.at_work.barred());
        for authority in &self.at_work.lineup().authorities {
            let stem = &authority.stem;
            if authority.key.failure().is_some() {
                troubles.push(format!("{stem}: the key does not sign"));
            }
            if let condition @ (Condition::Ended | Condition::Missing) = authority.publisher.standing(now).condition {
                troubles.push(format!("{stem}: {}", condition.alarm().unwrap_or_default()));
            }
            if let Some(trouble) = of_responder(authority.ocsp.responder_validity(), now) {
                troubles.push(format!("{stem}: {trouble}"));
            }
        }
        troubles
    }
}

/// What keeps a responder from signing answers.
fn of_responder(validity: Option<Validity>, now: UtcDateTime) -> Option<&'static str> {
    match validity {
        None => Some("ocsp_responder_missing"),
        Some(validity) if validity.not_after() < now => Some("ocsp_responder_ended"),
        Some(_) => None,
    }
}

async fn ready(State(health): State<Health>) -> (StatusCode, String) {
    match health.troubles().await {
        troubles if troubles.is_empty() => (StatusCode::OK, "ok\n".to_owned()),
        troubles => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", troubles.join("\n"))),
    }
}

#[cfg(test)]
mod tests {
    use time::{Duration, macros::utc_datetime};

    use super::*;

    #[test]
    fn a_responder_without_a_certificate_that_holds_is_trouble() {
        let end = utc_datetime!(2026-12-01 00:00);
        let validity = Validity::new(end - Duration::days(14), end).unwrap();
        assert_eq!(of_responder(None, end), Some("ocsp_responder_missing"));
        assert_eq!(of_responder(Some(validity), end), None);
        assert_eq!(of_responder(Some(validity), end + Duration::MILLISECOND), Some("ocsp_responder_ended"));
    }
}
