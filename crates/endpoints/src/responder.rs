//! Keeping the OCSP responder in a certificate that it can sign with.

use std::{fmt, future::Future, sync::Arc, time::Duration as Wait};

use async_trait::async_trait;
use koshin_issuance::{
    Ca, CeremonyError, NoRandomness, OcspError, OcspResponder, Random, create_ocsp_responder, new_serial,
};
use koshin_types::{Rfc3339, SerialNumber, Validity, ValidityError};
use time::{Duration, UtcDateTime};
use tokio::sync::Mutex;

use crate::{OcspService, Reading, Readings};

/// How often [`ResponderKeeper::keep`] looks whether it is time.
const LOOK_EVERY: Wait = Wait::from_secs(2);
/// How soon a certificate that could not be made is tried again: while there is one, and while there is none.
const RETRY: Duration = Duration::MINUTE;
const RETRY_WITHOUT: Duration = Duration::seconds(10);
/// For how long what was recorded for a certificate that could not be made is used for the next try.
const REUSED: Duration = Duration::HOUR;

/// How long the responder's certificates live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponderSettings {
    /// How long one lives: 14 days by default. Another one takes its place halfway.
    pub validity: Duration,
    /// How long before it is made it begins, for relying parties whose clocks are behind: 5 minutes by default.
    pub backdate: Duration,
    /// Its common name: `OCSP` by default.
    pub common_name: String,
}

impl Default for ResponderSettings {
    /// ```
    /// let settings = koshin_endpoints::ResponderSettings::default();
    /// assert_eq!((settings.validity.whole_days(), settings.backdate.whole_minutes()), (14, 5));
    /// assert_eq!(settings.common_name, "OCSP");
    /// ```
    fn default() -> Self {
        Self { validity: Duration::days(14), backdate: Duration::minutes(5), common_name: "OCSP".to_owned() }
    }
}

/// Where it is written down that the CA is about to sign a certificate for its responder.
#[async_trait]
pub trait ResponderLog: Send + Sync {
    /// Records serial number and validity. They are durable when this returns.
    ///
    /// # Errors
    ///
    /// [`LogUnavailable`]; then nothing is signed.
    async fn intended(
        &self,
        serial: &SerialNumber,
        validity: &Validity,
        now: UtcDateTime,
    ) -> Result<(), LogUnavailable>;
}

/// What the CA is about to sign cannot be written down.
#[derive(Debug, thiserror::Error)]
#[error("the responder's certificate cannot be recorded")]
pub struct LogUnavailable(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Gives an [`OcspService`] certificates (RFC 6960, 4.2.2.2), each with a key of its own that is never stored.
pub struct ResponderKeeper {
    service: OcspService,
    ca: Arc<Ca>,
    log: Arc<dyn ResponderLog>,
    random: Random,
    settings: ResponderSettings,
    state: Mutex<State>,
}

struct State {
    /// When the next certificate is made.
    renew_at: UtcDateTime,
    /// Of the newest one.
    validity: Option<Validity>,
    /// What is recorded and nobody has a certificate of.
    unused: Option<Intended>,
}

/// What was recorded for a certificate.
#[derive(Clone, Copy)]
struct Intended {
    serial: SerialNumber,
    validity: Validity,
    at: UtcDateTime,
}

impl ResponderKeeper {
    /// A keeper that has made no certificate yet.
    pub fn new(
        service: OcspService,
        ca: Arc<Ca>,
        log: Arc<dyn ResponderLog>,
        random: Random,
        settings: ResponderSettings,
    ) -> Self {
        let state = Mutex::new(State { renew_at: UtcDateTime::MIN, validity: None, unused: None });
        Self { service, ca, log, random, settings, state }
    }

    /// Makes a certificate if it is time and the clock is believed, and sounds the alarm when the service is about to be
    /// without one. To be called every few seconds or minutes.
    pub async fn tend(&self, reading: Reading) {
        let mut state = self.state.lock().await;
        if let Reading::Believed(now) = reading
            && state.renew_at <= now
        {
            match self.made(&mut state.unused, now).await {
                Ok(responder) => {
                    let validity = responder.validity();
                    self.service.install(responder);
                    *state = State { renew_at: part(validity, 2), validity: Some(validity), unused: None };
                }
                Err(error) => {
                    let serves = state.validity.is_some_and(|validity| validity.not_after() >= now);
                    state.renew_at = now.saturating_add(if serves { RETRY } else { RETRY_WITHOUT });
                    let last = state.validity.map(|validity| Rfc3339(validity.not_after()).to_string());
                    let code = match state.validity {
                        None => "ocsp_responder_missing",
                        Some(validity) if validity.not_after() < now => "ocsp_responder_ended",
                        Some(validity) if part(validity, 4) <= now => "ocsp_responder_ends",
                        Some(_) => "ocsp_responder_not_renewed",
                    };
                    tracing::error!(code, last, error = ?error, "there is no new OCSP responder; it is tried again");
                }
            }
        }
    }

    /// Keeps the service in a certificate until it is stopped.
    pub async fn keep(self, readings: Readings, stopped: impl Future<Output = ()>) {
        let keep = async {
            loop {
                self.tend(readings.read()).await;
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::select! {
            () = stopped => {}
            () = keep => {}
        }
    }

    /// The validity of the certificate that the service signs with, if it has one.
    pub async fn validity(&self) -> Option<Validity> {
        self.state.lock().await.validity
    }

    /// Makes a responder with a new key. Its serial number is recorded before it is signed, like every other one; a key that is
    /// away for long costs one an hour, not one for each try.
    async fn made(&self, unused: &mut Option<Intended>, now: UtcDateTime) -> Result<OcspResponder, ResponderError> {
        let recorded = unused.filter(|intended| (intended.at..intended.at.saturating_add(REUSED)).contains(&now));
        let Intended { serial, validity, .. } = match recorded {
            Some(intended) => intended,
            None => *unused.insert(self.intended(now).await?),
        };
        let organization = self.ca.issuer_organization().unwrap_or(self.ca.issuer_name());
        let (name, parent) = (&self.settings.common_name, self.ca.parent());
        let made = create_ocsp_responder(organization, name, parent, serial, validity, &self.random)?;
        let certificate = made.certificate_der().to_vec();
        Ok(OcspResponder::load(self.ca.certificate_der(), &certificate, Box::new(made.into_signer()))?)
    }

    /// Records what the next certificate will be.
    async fn intended(&self, now: UtcDateTime) -> Result<Intended, ResponderError> {
        let ResponderSettings { validity, backdate, .. } = self.settings;
        let serial = new_serial(now, self.random.as_ref())?;
        let last = now.saturating_add(validity).min(self.ca.validity().not_after());
        let first = now.saturating_sub(backdate).max(self.ca.validity().not_before());
        let validity = Validity::new(first.truncate_to_second(), last.truncate_to_second())?;
        self.log.intended(&serial, &validity, now).await?;
        Ok(Intended { serial, validity, at: now })
    }
}

/// Where so much of a validity is left: a half, a quarter.
fn part(validity: Validity, divisor: i32) -> UtcDateTime {
    validity.not_after().saturating_sub((validity.not_after() - validity.not_before()) / divisor)
}

impl fmt::Debug for ResponderKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponderKeeper").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Why a responder has no new certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResponderError {
    /// No serial number.
    #[error("no serial number could be drawn")]
    Serial(#[from] NoRandomness),
    /// Nothing is left of the CA's own validity.
    #[error("the CA's certificate has no validity left to give")]
    Validity(#[from] ValidityError),
    /// It could not be written down before.
    #[error("nothing is signed that is not recorded")]
    Log(#[from] LogUnavailable),
    /// The CA's key gave no certificate.
    #[error("the CA gave no certificate")]
    Ceremony(#[from] CeremonyError),
    /// The certificate that was made cannot be used.
    #[error("the certificate cannot be used")]
    Responder(#[from] OcspError),
}
