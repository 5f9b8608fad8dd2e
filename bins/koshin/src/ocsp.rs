//! The OCSP responder of the service: what it asks the store, and the certificate it signs with.

use std::sync::Arc;

use async_trait::async_trait;
use koshin_endpoints::{
    LogUnavailable, OcspService, OcspSettings, Readings, ResponderKeeper, ResponderLog, ResponderSettings, StatusSource,
};
use koshin_issuance::Ca;
use koshin_operator::machine::random;
use koshin_ra::{Actor, AuditNote};
use koshin_sqlite::Store;
use koshin_types::{Rfc3339, SerialNumber, Validity};
use time::UtcDateTime;

use crate::clock::Clock;

/// Where the responder answers, below the address of the CA's files.
pub(crate) const OCSP_PATH: &str = "ocsp";

/// A responder that asks the store.
pub(crate) fn service(store: &Arc<Store>, clock: &Clock) -> OcspService {
    let now = clock.clone();
    OcspService::new(Arc::clone(store) as Arc<dyn StatusSource>, Arc::new(move || now.now()), OcspSettings::default())
}

/// Keeps the service in a responder's certificate until it is stopped.
pub(crate) async fn keep(
    service: OcspService,
    ca: Arc<Ca>,
    store: Arc<Store>,
    readings: Readings,
    stopped: impl Future<Output = ()>,
) {
    let keeper = ResponderKeeper::new(service, ca, Arc::new(Log(store)), random(), ResponderSettings::default());
    keeper.keep(readings, stopped).await;
}

/// The audit log of the store.
struct Log(Arc<Store>);

#[async_trait]
impl ResponderLog for Log {
    async fn intended(
        &self,
        serial: &SerialNumber,
        validity: &Validity,
        now: UtcDateTime,
    ) -> Result<(), LogUnavailable> {
        let details = [("serial", serial.to_string()), ("not_after", Rfc3339(validity.not_after()).to_string())].into();
        let note = AuditNote { actor: Actor::System, subject: None, word: "ocsp_responder_intended", details };
        self.0.record(&note, now).await.map_err(|error| LogUnavailable(error.into()))
    }
}
