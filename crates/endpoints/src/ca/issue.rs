//! Issuing: recorded first, signed after, answered with what is stored.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
};

use koshin_issuance::{
    Ca, CertificationRequest, IssueError, PrepareError, Recorded as Signable, SubjectName, new_serial,
};
use koshin_types::{RevocationReason, SerialNumber, Validity};
use time::UtcDateTime;

use super::{
    client::{Client, Right},
    ledger::{
        Entry, IntendError, Intent, IssuedError, LedgerError, OrderKey, Recorded, Revocation, RevokeError, Standing,
    },
    order::{Finished, IssueRequest, Issued},
    refused::{IssueRefused, Unsignable},
    room::Full,
    service::CaService,
};

/// From this many octets on a request may hold a large RSA key, which costs some tenths of a second at the gate.
const LARGE: usize = 1024;
/// How many serial numbers are drawn before the ledger's refusal is believed to mean something else.
const DRAWS: usize = 3;
/// By whom what can never be signed is abandoned, in the ledger.
const OURSELVES: &str = "koshin-ca";

impl CaService {
    /// Issues a certificate, or answers with the one that this order has already.
    ///
    /// `now` is the CA's own instant; the request bears the RA's.
    ///
    /// # Errors
    ///
    /// [`IssueRefused`]. Whatever it is, no second certificate comes of it.
    pub async fn issue(
        &self,
        client: &Client,
        request: &IssueRequest,
        now: UtcDateTime,
    ) -> Result<Issued, IssueRefused> {
        let not_allowed = || IssueRefused::NotAllowed { client: client.name.clone(), profile: request.profile.clone() };
        let allowed = client.may(Right::Issue) && client.profiles.contains(&request.profile);
        let profile = self.profiles.get(&request.profile).filter(|_| allowed).ok_or_else(not_allowed)?;
        let ca = self.cas.get(&request.profile).ok_or_else(not_allowed)?;
        if (request.now - now).abs() > Self::CLOCKS_DIFFER {
            return Err(IssueRefused::ClocksDiffer { ra: request.now, ca: now, limit: Self::CLOCKS_DIFFER });
        }
        let checked = self.through_the_gate(&request.request).await?;
        let order = OrderKey { renewal: request.renewal, spki: checked.spki_fingerprint() };
        let _turn = self.turns.of(order).await;
        if let Some(entry) = self.ledger.find(&order).await? {
            return self.take_up(client, request, entry, now).await;
        }
        self.may_sign(now).await?;
        profile.check_key(checked.key_kind())?;
        profile.check_validity(request.validity, request.now)?;
        let subject = SubjectName::new(&request.organization, &request.subject)?;
        for _ in 0..DRAWS {
            let serial = new_serial(now, self.random.as_ref()).map_err(|_| IssueRefused::NoRandomness)?;
            let mail = request.mail.as_deref();
            let prepared = ca.prepare(checked.clone(), &subject, mail, serial, request.validity);
            let prepared = prepared.map_err(|error| match error {
                PrepareError::Mail(error) => IssueRefused::Mail(error),
                other => IssueRefused::Prepare(other),
            })?;
            let intent = Intent {
                order,
                client: client.name.clone(),
                profile: request.profile.clone(),
                organization: request.organization.clone(),
                subject: request.subject.clone(),
                serial,
                validity: request.validity,
                tbs: prepared.tbs().to_vec(),
                at: now.truncate_to_millisecond(),
            };
            match self.ledger.intend(intent).await {
                Ok(Recorded::New) => {
                    self.latest.saw(now);
                    return self.sign(ca, prepared.recorded(), request.validity, now).await;
                }
                // Another process was faster.
                Ok(Recorded::Known(entry)) => return self.take_up(client, request, *entry, now).await,
                Err(IntendError::SerialTaken { .. }) => {}
                Err(IntendError::KeySeen { spki }) => return Err(IssueRefused::KeySeen { spki }),
                Err(IntendError::RenewalTaken { recorded, asked }) => {
                    return Err(IssueRefused::RenewalTaken { recorded, asked });
                }
                Err(IntendError::Ledger(error)) => return Err(error.into()),
            }
        }
        Err(IssueRefused::NoRandomness)
    }

    /// Signs what a crash left recorded and unsigned, at start and from time to time. What can never be signed is abandoned.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when the ledger cannot be asked for it.
    pub async fn finish_unfinished(&self, now: UtcDateTime) -> Result<Finished, LedgerError> {
        const PAGE: u32 = 100;
        let mut finished = Finished::default();
        let mut seen = BTreeSet::new();
        loop {
            // What is still there after it was ended would be there for ever.
            let mut intents = self.ledger.unfinished(PAGE).await?;
            intents.retain(|intent| seen.insert(intent.serial));
            if intents.is_empty() {
                return Ok(finished);
            }
            for intent in intents {
                let (serial, _turn) = (intent.serial, self.turns.of(intent.order).await);
                // Its own request may have been at work on it: what has its certificate is not signed once more.
                let status = self.ledger.status(&serial).await?;
                if status.is_none_or(|status| status.standing != Standing::Intended) {
                    continue;
                }
                match self.sign_recorded(intent, now).await {
                    Ok(issued) => finished.issued.push(issued.serial),
                    Err(IssueRefused::Unsignable { serial, source }) => finished.abandoned.push((serial, source)),
                    // Somebody else ended it meanwhile.
                    Err(IssueRefused::Abandoned { .. } | IssueRefused::Revoked { .. }) => {
                        tracing::info!(%serial, "an unfinished serial number was abandoned meanwhile");
                    }
                    Err(stopped) => {
                        finished.stopped = Some(stopped);
                        return Ok(finished);
                    }
                }
            }
        }
    }

    /// A request with an elliptic curve is checked here and now: it costs less than two changes of threads.
    async fn through_the_gate(&self, octets: &[u8]) -> Result<CertificationRequest, IssueRefused> {
        if octets.len() < LARGE {
            return Ok(CertificationRequest::from_bytes(octets, &self.gate)?);
        }
        let (gate, octets) = (Arc::clone(&self.gate), octets.to_vec());
        let checked = self.large.run(move || CertificationRequest::from_bytes(&octets, &gate)).await;
        Ok(checked.map_err(|Full| IssueRefused::Busy)??)
    }

    /// Goes on with an order that is recorded.
    async fn take_up(
        &self,
        client: &Client,
        request: &IssueRequest,
        entry: Entry,
        now: UtcDateTime,
    ) -> Result<Issued, IssueRefused> {
        let Entry { intent, certificate, standing } = entry;
        if intent.client != client.name {
            return Err(IssueRefused::KeySeen { spki: intent.order.spki });
        }
        if intent.profile != request.profile {
            return Err(IssueRefused::OrderDiffers { field: "profile" });
        }
        if intent.subject != request.subject {
            return Err(IssueRefused::OrderDiffers { field: "subject" });
        }
        let Intent { serial, validity, .. } = intent;
        match (standing, certificate) {
            (Standing::Issued, Some(certificate)) => Ok(Issued { serial, certificate, validity }),
            (Standing::Intended, None) => self.sign_recorded(intent, now).await,
            (Standing::Abandoned(_), _) => Err(IssueRefused::Abandoned { serial }),
            (Standing::Revoked(revocation), _) => Err(IssueRefused::revoked(serial, &revocation)),
            (Standing::Issued, None) | (Standing::Intended, Some(_)) => {
                let what = format!("the standing of {serial} and its certificate contradict each other");
                Err(LedgerError::Damaged { what }.into())
            }
        }
    }

    async fn sign_recorded(&self, intent: Intent, now: UtcDateTime) -> Result<Issued, IssueRefused> {
        self.may_sign(now).await?;
        let Intent { serial, validity, order, tbs, profile, .. } = intent;
        match Signable::restore(tbs, serial, validity, order.spki) {
            Ok(recorded) => {
                let ca = self.cas.get(&profile).unwrap_or(&self.any);
                self.sign(ca, recorded, validity, now).await
            }
            Err(error) => self.abandon(serial, error.into(), now).await,
        }
    }

    /// Signs, and stores what came of it.
    async fn sign(
        &self,
        ca: &Arc<Ca>,
        recorded: Signable,
        validity: Validity,
        now: UtcDateTime,
    ) -> Result<Issued, IssueRefused> {
        let serial = recorded.serial();
        let signed = match &self.signing {
            None => ca.issue(recorded),
            Some(room) => {
                let ca = Arc::clone(ca);
                room.run(move || ca.issue(recorded)).await.map_err(|Full| IssueRefused::Busy)?
            }
        };
        let certificate = match signed {
            Ok(certificate) => certificate,
            Err(error @ (IssueError::Lint(_) | IssueError::Differs { .. })) => {
                return self.abandon(serial, error.into(), now).await;
            }
            // A key that cannot be reached, or that gives no sound signature, says nothing about the record.
            Err(source) => {
                tracing::error!(%serial, error = ?source, "a recorded certificate was not signed");
                return Err(IssueRefused::Unsigned { serial, source });
            }
        };
        match self.ledger.issued(&serial, certificate.der(), now.truncate_to_millisecond()).await {
            Ok(certificate) => {
                self.latest.saw(now);
                Ok(Issued { serial, certificate, validity })
            }
            Err(IssuedError::Abandoned { serial }) => Err(IssueRefused::Abandoned { serial }),
            Err(IssuedError::Unknown { serial }) => {
                Err(LedgerError::Damaged { what: format!("the intent of {serial} is gone") }.into())
            }
            Err(IssuedError::Ledger(error)) => Err(error.into()),
        }
    }

    /// Gives up what can never be signed.
    async fn abandon(
        &self,
        serial: SerialNumber,
        source: Unsignable,
        now: UtcDateTime,
    ) -> Result<Issued, IssueRefused> {
        tracing::error!(%serial, error = ?source, "what was recorded can never be signed: it is abandoned");
        let at = now.truncate_to_millisecond();
        let reason = RevocationReason::Unspecified;
        let given_up = Revocation { at, reason, invalidity_date: None, by: OURSELVES.to_owned() };
        let status = self.ledger.status(&serial).await?;
        // What another process made a certificate of after all is not ours to revoke.
        if status.is_some_and(|status| status.standing == Standing::Intended)
            && let Err(RevokeError::Ledger(error)) = self.ledger.revoke(&serial, &given_up, at).await
        {
            return Err(error.into());
        }
        Err(IssueRefused::Unsignable { serial, source })
    }

    async fn may_sign(&self, now: UtcDateTime) -> Result<(), IssueRefused> {
        if let Some(why) = self.held.read().unwrap_or_else(PoisonError::into_inner).clone() {
            return Err(IssueRefused::Held { why });
        }
        let largest = self.latest.largest(self.ledger.as_ref()).await?;
        match largest {
            Some(largest) if now < largest.saturating_sub(Self::CLOCK_BEHIND) => {
                Err(IssueRefused::ClockBehind { now, largest })
            }
            _ => Ok(()),
        }
    }
}
