//! Renewal, and the part of enrolment that is the same: request, certificate, delivery.

use std::sync::Arc;

use koshin_issuance::{
    Certificate, CertificationRequest, IssueError, NameError, PrepareError, Recorded, Rejected, RestoreError,
    SubjectName,
};
use koshin_renewal::{Dialog, Event, Holding, Key, Refused, State};
use koshin_types::{Fingerprint, ProtectionLevel, RenewalId, SerialNumber, Validity};
use time::UtcDateTime;

use crate::{
    Access, Actor, Certified, ChangeError, Document, Intent, Owed, Ra, SessionKind, StorageError, SubjectFile,
    authority::millis, change::Decided, room::Full,
};

/// A certificate as it is handed to its holder, with the chain up to but without the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Its serial number.
    pub serial: SerialNumber,
    /// Its validity.
    pub validity: Validity,
    /// DER.
    pub certificate: Vec<u8>,
    /// DER of the CA certificates above it, nearest first.
    pub chain: Vec<Vec<u8>>,
}

/// Octets below which a request cannot hold an RSA key of 2048 bits together with the signature that it made, in whatever
/// form: nothing is computed for a smaller key, nor for one without such a signature.
const LARGE: usize = 2 * 2048 / 8;

/// Why no certificate was issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssuanceError {
    /// Too many large requests are being checked.
    #[error("too many large requests are being checked; try again in a few seconds")]
    Busy,
    /// The request is not acceptable; the holder may send another one.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The key is one of ours, or the CA ends too early.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The registry's names do not fit into a certificate.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The stored intent is not what was stored. The renewal is refused for good.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The expiry policy refuses a validity.
    #[error("no validity can be given: {0}")]
    Validity(koshin_expiry::ValidityRefused),
    /// No certificate came of the stored intent. Unless [`IssuanceError::is_final`] says otherwise the renewal keeps its
    /// state and is taken up again.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The rules or storage refuse it.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl IssuanceError {
    /// Whether what was recorded can never be signed: the renewal has ended as refused, and another one may be started.
    /// A key that cannot be reached, or that gives no sound signature, says nothing about the record.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Restore(_) | Self::Issue(IssueError::Lint(_) | IssueError::Differs { .. }))
    }
}

impl Ra {
    /// Starts a renewal, or takes up the one that is open.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Refused`] exactly when the notice is not offered.
    pub async fn start_renewal(&self, access: &Access, now: UtcDateTime) -> Result<RenewalId, ChangeError> {
        let new_id = self.desk.new_renewal_id()?;
        let decide = |file: &SubjectFile| -> Result<Decided, ChangeError> {
            Ok(file.holding.start(new_id, &self.policy, now)?.into())
        };
        let changed = self.desk.change_from(access.file.clone(), &access.actor(), now, decide).await?;
        changed.file.holding.open_renewal().map(|open| open.id).ok_or(ChangeError::Contended)
    }

    /// Counts "renew later".
    ///
    /// # Errors
    ///
    /// [`ChangeError::Refused`] when the notice is not shown at this instant.
    pub async fn defer(&self, access: &Access, now: UtcDateTime) -> Result<(), ChangeError> {
        let decide =
            |file: &SubjectFile| -> Result<Decided, ChangeError> { Ok(file.holding.defer(&self.policy, now)?.into()) };
        self.desk.change_from(access.file.clone(), &access.actor(), now, decide).await.map(|_| ())
    }

    /// "Yes" to the first dialog: takes a certification request (RFC 2986, DER or PEM) and answers with the certificate.
    ///
    /// Two commits: request, serial number and to-be-signed bytes; then certificate, state and mails. The same key
    /// again, from another tab or after a lost answer, gets the same certificate.
    ///
    /// # Errors
    ///
    /// [`IssuanceError`]. Whatever it is, no second certificate comes of it.
    pub async fn request_certificate(
        &self,
        access: &Access,
        id: RenewalId,
        request: &[u8],
        protection: ProtectionLevel,
        now: UtcDateTime,
    ) -> Result<(Bundle, Owed), IssuanceError> {
        self.takes_requests(&access.file, id, now).await?;
        let request = self.through_the_gate(request).await?;
        let key = Key { spki: request.spki_fingerprint(), protection };
        let actor = access.actor();
        let serial = SerialNumber::from_time_and_random(millis(now), self.desk.random().map_err(ChangeError::from)?);
        let decide = |file: &SubjectFile| self.prepare(file, id, key, &request, serial, now);
        let changed = self.desk.change_from(access.file.clone(), &actor, now, decide).await?;
        self.finish(changed.file, id, changed.intent, &actor, now).await
    }

    /// The certificate that was issued in the subject's renewal `id`: the same bytes every time.
    ///
    /// # Errors
    ///
    /// [`Refused::NoRenewal`] for another identifier or before anything was issued.
    pub async fn certificate(&self, access: &Access, id: RenewalId) -> Result<Bundle, IssuanceError> {
        let renewal = access.file.holding.renewal.as_ref().filter(|renewal| renewal.id == id);
        let issued = renewal.and_then(|renewal| renewal.state.issued());
        let serial = issued.ok_or(ChangeError::Refused(Refused::NoRenewal { id }))?.serial;
        self.bundle(&access.file.holding, serial).await
    }

    /// "Yes" to the second dialog.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Refused`] before the issue or after an end.
    pub async fn deliver(&self, access: &Access, id: RenewalId, now: UtcDateTime) -> Result<(), ChangeError> {
        self.step(access, id, Event::Deliver, now).await
    }

    /// "No" to a dialog. Nothing changes but the audit log.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Refused`] after an end.
    pub async fn decline(
        &self,
        access: &Access,
        id: RenewalId,
        dialog: Dialog,
        now: UtcDateTime,
    ) -> Result<(), ChangeError> {
        self.step(access, id, Event::Decline { dialog }, now).await
    }

    /// "Start again with a new key": in one commit the unactivated certificate is revoked, the renewal abandoned and
    /// another one started.
    ///
    /// # Errors
    ///
    /// [`Refused::TooOften`] and others, as [`koshin_renewal::Holding::start_again`].
    pub async fn start_again(
        &self,
        access: &Access,
        id: RenewalId,
        now: UtcDateTime,
    ) -> Result<(RenewalId, Owed), ChangeError> {
        let new_id = self.desk.new_renewal_id()?;
        let decide = |file: &SubjectFile| -> Result<Decided, ChangeError> {
            Ok(file.holding.start_again(id, new_id, now, &self.desk.settings.deadlines)?.into())
        };
        let owed = self.desk.change_from(access.file.clone(), &access.actor(), now, decide).await?.owed;
        if matches!(access.session.kind, SessionKind::Enrolment { .. }) {
            self.rebind_enrolment(&access.session, id, new_id).await?;
        }
        Ok((new_id, owed))
    }

    async fn step(&self, access: &Access, id: RenewalId, event: Event, now: UtcDateTime) -> Result<(), ChangeError> {
        let decide = |file: &SubjectFile| -> Result<Decided, ChangeError> {
            Ok(file.holding.step(id, &event, now, &self.desk.settings.deadlines)?.into())
        };
        self.desk.change_from(access.file.clone(), &access.actor(), now, decide).await.map(|_| ())
    }

    /// Whether a request could be of any use, asked before anything is computed for it. A refusal is only believed of the
    /// file as it stands now.
    async fn takes_requests(&self, file: &SubjectFile, id: RenewalId, now: UtcDateTime) -> Result<(), ChangeError> {
        let takes = |file: &SubjectFile| {
            let bound = file.holding.renewal.as_ref().and_then(|renewal| renewal.state.key());
            let key = bound.unwrap_or(Key { spki: Fingerprint::new([0; 32]), protection: ProtectionLevel::File });
            file.holding.step(id, &Event::Request { key }, now, &self.desk.settings.deadlines)
        };
        if takes(file).is_err() {
            let subject = &file.subject.id;
            let file = self.desk.registry.subject(subject).await?;
            takes(&*file.ok_or_else(|| ChangeError::NoSubject(subject.clone()))?)?;
        }
        Ok(())
    }

    /// A request with an elliptic curve is checked here and now: it costs less than two changes of threads. One that is
    /// long enough for a large RSA key waits for its turn elsewhere.
    async fn through_the_gate(&self, octets: &[u8]) -> Result<CertificationRequest, IssuanceError> {
        if octets.len() < LARGE {
            return Ok(CertificationRequest::from_bytes(octets, &self.gate)?);
        }
        let (gate, octets) = (Arc::clone(&self.gate), octets.to_vec());
        let checked = self.requests.run(move || CertificationRequest::from_bytes(&octets, &gate)).await;
        Ok(checked.map_err(|Full| IssuanceError::Busy)??)
    }

    /// Requested and Intended in one commit; nothing when the key is already bound to this renewal.
    fn prepare(
        &self,
        file: &SubjectFile,
        id: RenewalId,
        key: Key,
        request: &CertificationRequest,
        serial: SerialNumber,
        now: UtcDateTime,
    ) -> Result<Decided, IssuanceError> {
        let deadlines = &self.desk.settings.deadlines;
        let refused = |refused| IssuanceError::from(ChangeError::Refused(refused));
        let requested = file.holding.step(id, &Event::Request { key }, now, deadlines).map_err(refused)?;
        if requested.facts.is_empty() {
            return Ok(requested.into());
        }
        let validity = self.policy.validity_for(now, self.ca.not_after()).map_err(IssuanceError::Validity)?;
        let name = SubjectName::new(&file.organization.name, file.subject.id.as_str())?;
        let address = file.subject.address.as_ref().map(koshin_notify::Address::as_str);
        let prepare = |address| self.ca.prepare(request.clone(), &name, address, serial, validity);
        let prepared = match prepare(address) {
            // Mail reaches more addresses than an rfc822Name can hold: nobody is kept from a certificate by that.
            Err(PrepareError::Mail(_)) => prepare(None)?,
            other => other?,
        };
        let mut change = requested.next.step(id, &Event::Intend { serial }, now, deadlines).map_err(refused)?;
        change.facts.splice(0..0, requested.facts);
        let intent = Intent { renewal: id, serial, spki: key.spki, validity, tbs: prepared.tbs().to_vec() };
        Ok(Decided { change, intent: Some(intent), certified: None, mails: Vec::new() })
    }

    /// Signs what is intended and stores it; answers with the stored certificate when that was done before.
    pub(crate) async fn finish(
        &self,
        file: Arc<SubjectFile>,
        id: RenewalId,
        intent: Option<Intent>,
        actor: &Actor,
        now: UtcDateTime,
    ) -> Result<(Bundle, Owed), IssuanceError> {
        let renewal = file.holding.renewal.as_ref().filter(|renewal| renewal.id == id);
        let none = ChangeError::Refused(Refused::NoRenewal { id });
        let state = renewal.map(|renewal| renewal.state).ok_or(none)?;
        let State::Intended { serial, .. } = state else {
            let issued = state.issued().ok_or(ChangeError::Refused(Refused::NoRenewal { id }))?;
            return Ok((self.bundle(&file.holding, issued.serial).await?, Owed::default()));
        };
        self.desk.clock_is_trusted().map_err(ChangeError::from)?;
        let intent = match intent {
            Some(intent) => intent,
            None => self.document(&serial).await?.intent,
        };
        let validity = intent.validity;
        let certificate = match self.sign(intent) {
            Err(error) if error.is_final() => {
                self.refuse(file, id, actor, now).await?;
                return Err(error);
            }
            signed => signed?,
        };
        let fingerprint = certificate.fingerprint();
        let decide = |file: &SubjectFile| -> Result<Decided, ChangeError> {
            let deadlines = &self.desk.settings.deadlines;
            let change = match file.holding.issue(id, serial, fingerprint, validity, now, deadlines) {
                // Somebody else signed the same bytes and was faster; ECDSA makes their certificate another one.
                Err(Refused::OutOfPlace { .. }) if file.holding.certificates.iter().any(|c| c.serial == serial) => {
                    file.holding.unchanged()
                }
                other => other?,
            };
            let certified = Certified { serial, fingerprint, der: certificate.der().to_vec() };
            Ok(Decided { change, intent: None, certified: Some(certified), mails: Vec::new() })
        };
        let changed = self.desk.change_from(file, actor, now, decide).await?;
        let bundle = if changed.file.holding.certificate(&fingerprint).is_some() {
            Bundle { serial, validity, certificate: certificate.into_der(), chain: self.chain() }
        } else {
            self.bundle(&changed.file.holding, serial).await?
        };
        Ok((bundle, changed.owed))
    }

    fn sign(&self, intent: Intent) -> Result<Certificate, IssuanceError> {
        let Intent { serial, spki, validity, tbs, .. } = intent;
        Ok(self.ca.issue(Recorded::restore(tbs, serial, validity, spki)?)?)
    }

    /// Ends a renewal whose intent can never be signed, so that its holder can start another one.
    async fn refuse(
        &self,
        file: Arc<SubjectFile>,
        id: RenewalId,
        actor: &Actor,
        now: UtcDateTime,
    ) -> Result<(), ChangeError> {
        let decide = |file: &SubjectFile| -> Result<Decided, ChangeError> {
            // Meanwhile issued by another process, or ended: then there is nothing to refuse.
            let refused = file.holding.step(id, &Event::Refuse, now, &self.desk.settings.deadlines);
            Ok(refused.unwrap_or_else(|_| file.holding.unchanged()).into())
        };
        self.desk.change_from(file, actor, now, decide).await.map(|_| ())
    }

    async fn bundle(&self, holding: &Holding, serial: SerialNumber) -> Result<Bundle, IssuanceError> {
        let document = self.document(&serial).await?;
        let held = holding.certificates.iter().find(|held| held.serial == serial);
        let damaged = || StorageError::Damaged { what: format!("the certificate {serial} is missing") };
        let (Some(held), Some(certificate)) = (held, document.certificate) else { return Err(damaged().into()) };
        Ok(Bundle { serial, validity: held.validity, certificate, chain: self.chain() })
    }

    /// The issuing CA and those above it but for the root, which relying parties have or do not trust.
    fn chain(&self) -> Vec<Vec<u8>> {
        let above = self.ca.chain_der().split_last().map_or(&[][..], |(_root, between)| between);
        std::iter::once(self.ca.certificate_der().to_vec()).chain(above.iter().cloned()).collect()
    }

    async fn document(&self, serial: &SerialNumber) -> Result<Document, StorageError> {
        let damaged = || StorageError::Damaged { what: format!("the intent of serial number {serial} is missing") };
        self.desk.registry.document(serial).await?.ok_or_else(damaged)
    }
}
