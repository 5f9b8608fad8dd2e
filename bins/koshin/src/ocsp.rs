//! The OCSP responder of the service: what it asks the store, and the certificate it signs with.

use std::{sync::Arc, time::Duration as Wait};

use async_trait::async_trait;
use koshin_endpoints::{OcspService, OcspSettings, StatusSource, StatusUnavailable};
use koshin_issuance::{Ca, OcspResponder, OcspStatus, Random, create_ocsp_responder, new_serial};
use koshin_operator::machine::random;
use koshin_ra::{Actor, AuditNote};
use koshin_renewal::Status;
use koshin_sqlite::Store;
use koshin_types::{Rfc3339, SerialNumber, Validity};
use time::{Duration, UtcDateTime};

use crate::clock::Clock;

/// Where the responder answers, below the address of the CA's files.
pub(crate) const OCSP_PATH: &str = "ocsp";

/// How long a responder's certificate lives; another takes its place halfway.
const VALIDITY: Duration = Duration::days(14);
/// For relying parties whose clocks are a little behind.
const BACKDATE: Duration = Duration::minutes(5);
/// How often is looked whether it is time.
const LOOK_EVERY: Wait = Wait::from_mins(1);

/// A responder that asks the store.
pub(crate) fn service(store: &Arc<Store>, clock: &Clock) -> OcspService {
    let now = clock.clone();
    OcspService::new(Arc::new(Statuses(Arc::clone(store))), Arc::new(move || now.now()), OcspSettings::default())
}

struct Statuses(Arc<Store>);

#[async_trait]
impl StatusSource for Statuses {
    async fn status(&self, serial: &SerialNumber) -> Result<OcspStatus, StatusUnavailable> {
        let status = self.0.status(serial).await.map_err(|error| StatusUnavailable(error.into()))?;
        Ok(match status {
            None => OcspStatus::Unknown,
            Some(Status::Revoked { at, reason }) => OcspStatus::Revoked { at, reason },
            // Superseded is no revocation: the portal refuses the certificate, others may still check old signatures.
            Some(Status::Pending | Status::Active { .. } | Status::Superseded { .. }) => OcspStatus::Good,
        })
    }
}

/// Keeps the service in a responder's certificate until it is stopped.
pub(crate) async fn keep(
    service: OcspService,
    ca: Arc<Ca>,
    store: Arc<Store>,
    clock: Clock,
    stopped: impl Future<Output = ()>,
) {
    let renew = async {
        let mut renew_at = UtcDateTime::MIN;
        loop {
            if clock.trusted().is_ok() && renew_at <= clock.now() {
                match responder(&ca, &store, clock.now()).await {
                    Ok(responder) => {
                        renew_at = halfway(responder.validity());
                        service.install(responder);
                    }
                    Err(error) => tracing::error!(error = ?error, "there is no OCSP responder; it is tried again"),
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = stopped => {}
        () = renew => {}
    }
}

fn halfway(validity: Validity) -> UtcDateTime {
    validity.not_before().saturating_add((validity.not_after() - validity.not_before()) / 2)
}

/// Makes a responder with a new key. Its serial number is recorded before it is signed, like every other one.
async fn responder(ca: &Ca, store: &Store, now: UtcDateTime) -> anyhow::Result<OcspResponder> {
    let random: Random = random();
    let serial = new_serial(now, random.as_ref())?;
    let last = now.saturating_add(VALIDITY).min(ca.validity().not_after());
    let first = now.saturating_sub(BACKDATE).max(ca.validity().not_before());
    let validity = Validity::new(first.truncate_to_second(), last.truncate_to_second())?;
    let details = [("serial", serial.to_string()), ("not_after", Rfc3339(validity.not_after()).to_string())].into();
    let note = AuditNote { actor: Actor::System, subject: None, word: "ocsp_responder_intended", details };
    store.record(&note, now).await?;
    let organization = ca.issuer_organization().unwrap_or(ca.issuer_name());
    let made = create_ocsp_responder(organization, "OCSP", ca.parent(), serial, validity, &random)?;
    let certificate = made.certificate_der().to_vec();
    Ok(OcspResponder::load(ca.certificate_der(), &certificate, Box::new(made.into_signer()))?)
}
