//! Renewal, and the part of enrolment that is the same: request, certificate, delivery.

use koshin_issuance::{IssueError, NameError, PrepareError, Rejected, RestoreError, VerifyError};
use koshin_renewal::{Dialog, Event, Key, Refused};
use koshin_types::{Fingerprint, ProtectionLevel, RenewalId, SerialNumber, Validity};
use time::UtcDateTime;

use crate::{
    Access, AuthorityError, ChangeError, Issuing, Owed, Ra, SessionKind, StorageError, SubjectFile, authority::millis,
    change::Decided, issue::Gated, room::Full,
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
    /// A CA elsewhere gave no certificate. Unless [`IssuanceError::is_final`] says otherwise the renewal keeps its state and
    /// the CA is asked again.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// What came from a CA elsewhere is not what was ordered. Nothing of it was stored.
    #[error("what came from the CA is not what was ordered: {0}")]
    Verify(#[from] VerifyError),
    /// It was recorded for another CA than the one that issues now. The renewal is refused for good.
    #[error("it was recorded for another CA than the one that issues now")]
    OtherAuthority,
    /// The serial number that was recorded stands revoked, from before the registry was put back. The renewal is refused
    /// for good.
    #[error("the serial number {serial} was revoked before the registry was put back")]
    SerialRevoked {
        /// The serial number.
        serial: SerialNumber,
    },
    /// This role's keys are made by agents.
    #[error("a key of this role is made by an agent")]
    AgentNeeded,
    /// The key is protected less than this role's keys have to be.
    #[error("the key's protection is {claimed}, at least {minimum} is needed")]
    Protection {
        /// What is needed.
        minimum: ProtectionLevel,
        /// What it is.
        claimed: ProtectionLevel,
    },
    /// The rules or storage refuse it.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl IssuanceError {
    /// Whether nobody gets a certificate as long as it lasts: the CA, or its key, does not answer.
    pub(crate) const fn is_of_everybody(&self) -> bool {
        matches!(self, Self::Issue(_) | Self::Authority(AuthorityError::Unavailable { .. })) && !self.is_final()
    }

    /// Whether what was recorded can never be signed: the renewal has ended as refused, and another one may be started.
    /// A key that cannot be reached, or that gives no sound signature, says nothing about the record.
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Restore(_)
                | Self::Issue(IssueError::Lint(_) | IssueError::Differs { .. })
                | Self::Authority(AuthorityError::Refused { .. })
                | Self::OtherAuthority
                | Self::SerialRevoked { .. }
        )
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
    /// Two commits: request, serial number and to-be-signed bytes; then certificate, state and mails. With a CA elsewhere:
    /// request and order; then serial number and to-be-signed bytes as that CA chose them, certificate, state and mails.
    /// The same key again, from another tab or after a lost answer, gets the same certificate.
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
        self.takes_files(&access.file)?;
        self.takes_requests(&access.file, id, now).await?;
        let request = self.through_the_gate(request).await?;
        self.request_gated(access, id, request, protection, now).await
    }

    /// The same after the gate.
    pub(crate) async fn request_gated(
        &self,
        access: &Access,
        id: RenewalId,
        request: Gated,
        protection: ProtectionLevel,
        now: UtcDateTime,
    ) -> Result<(Bundle, Owed), IssuanceError> {
        let key = Key { spki: request.spki_fingerprint(), protection };
        let actor = access.actor();
        let serial = SerialNumber::from_time_and_random(millis(now), self.desk.random().map_err(ChangeError::from)?);
        let decide = |file: &SubjectFile| match &self.issuing {
            Issuing::Here(authority) => self.intend(authority, file, id, key, &request, serial, now),
            Issuing::Elsewhere { issuer, .. } => self.order(issuer, file, id, key, &request, now),
        };
        let changed = self.desk.change_from(access.file.clone(), &actor, now, decide).await?;
        self.finish(changed, id, &actor, now).await
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
    pub(crate) async fn takes_requests(
        &self,
        file: &SubjectFile,
        id: RenewalId,
        now: UtcDateTime,
    ) -> Result<(), ChangeError> {
        self.takes_key(file, id, None, now).await
    }

    /// The same for one key; without one, for any that could be taken.
    pub(crate) async fn takes_key(
        &self,
        file: &SubjectFile,
        id: RenewalId,
        key: Option<Key>,
        now: UtcDateTime,
    ) -> Result<(), ChangeError> {
        let takes = |file: &SubjectFile| {
            let bound = key.or_else(|| file.holding.renewal.as_ref().and_then(|renewal| renewal.state.key()));
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
    pub(crate) async fn through_the_gate(&self, octets: &[u8]) -> Result<Gated, IssuanceError> {
        if octets.len() < LARGE {
            return Ok(Gated::from_bytes(octets, &self.gate())?);
        }
        let (gate, octets) = (self.gate(), octets.to_vec());
        let checked = self.requests.run(move || Gated::from_bytes(&octets, &gate)).await;
        Ok(checked.map_err(|Full| IssuanceError::Busy)??)
    }
}
