//! From an accepted request to a stored certificate, wherever the CA is.

use std::sync::Arc;

use koshin_issuance::{
    Certificate, CertificationRequest, Gate, IssuerCertificate, Recorded, Rejected, SubjectName, is_rfc822_name,
    request_der,
};
use koshin_renewal::{Event, Holding, Key, Refused, State};
use koshin_types::{RenewalId, SerialNumber};
use time::{Duration, UtcDateTime};

use crate::{
    Actor, Authority, AuthorityError, Bundle, Certified, ChangeError, Correspondence, Document, Intent, IssuanceError,
    Issuing, LocalAuthority, Order, Owed, Ra, StorageError, SubjectFile,
    change::{Changed, Decided},
};

/// A request that passed the gate, with its octets for a CA elsewhere, which has a gate of its own.
pub(crate) struct Gated {
    request: CertificationRequest,
    der: Vec<u8>,
}

impl Gated {
    pub(crate) fn from_bytes(octets: &[u8], gate: &Gate) -> Result<Self, Rejected> {
        let request = CertificationRequest::from_bytes(octets, gate)?;
        Ok(Self { request, der: request_der(octets)? })
    }

    pub(crate) const fn spki_fingerprint(&self) -> koshin_types::Fingerprint {
        self.request.spki_fingerprint()
    }
}

/// How old an order is before another one takes its place when the CA calls it stale. Were it the CA's rules and not the
/// order's age, every try would store a new one.
const ORDER_LASTS: Duration = Duration::MINUTE;

/// A CA elsewhere, and what the dealings with it need.
#[derive(Clone, Copy)]
pub(crate) struct Elsewhere<'a> {
    pub(crate) authority: &'a dyn Authority,
    pub(crate) issuer: &'a IssuerCertificate,
    pub(crate) correspondence: &'a dyn Correspondence,
}

impl Issuing {
    pub(crate) fn elsewhere(&self) -> Option<Elsewhere<'_>> {
        match self {
            Self::Here(_) => None,
            Self::Elsewhere { authority, issuer, correspondence } => Some(Elsewhere {
                authority: authority.as_ref(),
                issuer: issuer.as_ref(),
                correspondence: correspondence.as_ref(),
            }),
        }
    }
}

impl Elsewhere<'_> {
    /// The certificate of an order, verified.
    pub(crate) async fn issue(&self, order: &Order, now: UtcDateTime) -> Result<Certificate, IssuanceError> {
        let der = self.authority.issue(order, now).await?;
        let subject = order.subject_name()?;
        Ok(self.issuer.verify(der, &order.ordered(&subject))?)
    }
}

/// A certificate on its way into the registry, with the intent of a CA elsewhere.
struct Issued {
    certificate: Certificate,
    /// The record of it that is not yet stored.
    intent: Option<Intent>,
}

impl Ra {
    /// For a CA in this process: Requested and Intended in one commit; nothing when the key is already bound to this
    /// renewal.
    #[expect(clippy::too_many_arguments, reason = "what a certificate is made of")]
    pub(crate) fn intend(
        &self,
        authority: &LocalAuthority,
        file: &SubjectFile,
        id: RenewalId,
        key: Key,
        gated: &Gated,
        serial: SerialNumber,
        now: UtcDateTime,
    ) -> Result<Decided, IssuanceError> {
        let deadlines = &self.desk.settings.deadlines;
        let refused = |refused| IssuanceError::from(ChangeError::Refused(refused));
        let requested = file.holding.step(id, &Event::Request { key }, now, deadlines).map_err(refused)?;
        if requested.facts.is_empty() {
            return Ok(requested.into());
        }
        let validity =
            self.policy.validity_for(now, authority.issuer().not_after()).map_err(IssuanceError::Validity)?;
        let name = SubjectName::new(&file.organization.name, file.subject.id.as_str())?;
        let address = file.subject.address.as_ref().map(koshin_notify::Address::as_str);
        let prepared = authority.prepare(&gated.request, &name, address, serial, validity)?;
        let mut change = requested.next.step(id, &Event::Intend { serial }, now, deadlines).map_err(refused)?;
        change.facts.splice(0..0, requested.facts);
        let intent = Intent { renewal: id, serial, spki: key.spki, validity, tbs: prepared.tbs().to_vec() };
        Ok(Decided { intent: Some(intent), ..change.into() })
    }

    /// For a CA elsewhere: Requested, and what the CA will be asked, in one commit; nothing when the key is already bound
    /// to this renewal.
    pub(crate) fn order(
        &self,
        issuer: &IssuerCertificate,
        file: &SubjectFile,
        id: RenewalId,
        key: Key,
        gated: &Gated,
        now: UtcDateTime,
    ) -> Result<Decided, IssuanceError> {
        let requested = file
            .holding
            .step(id, &Event::Request { key }, now, &self.desk.settings.deadlines)
            .map_err(ChangeError::Refused)?;
        if requested.facts.is_empty() {
            return Ok(requested.into());
        }
        let address = file.subject.address.as_ref().map(koshin_notify::Address::as_str);
        let order = Order {
            renewal: id,
            spki: key.spki,
            organization: file.organization.name.clone(),
            subject: file.subject.id.clone(),
            // Mail reaches more addresses than a certificate can hold: nobody is kept from one by that.
            mail: address.filter(|address| is_rfc822_name(address)).map(str::to_owned),
            validity: self.policy.validity_for(now, issuer.not_after()).map_err(IssuanceError::Validity)?,
            request: gated.der.clone(),
            at: now.truncate_to_millisecond(),
        };
        // Names that fit into no certificate are found out before anything is promised.
        order.subject_name()?;
        Ok(Decided { order: Some(order), ..requested.into() })
    }

    /// Obtains the certificate that is owed and stores it; answers with the stored one when that was done before. What can
    /// never be issued ends its renewal.
    pub(crate) async fn finish(
        &self,
        changed: Changed,
        id: RenewalId,
        actor: &Actor,
        now: UtcDateTime,
    ) -> Result<(Bundle, Owed), IssuanceError> {
        let renewal = changed.file.holding.renewal.as_ref().filter(|renewal| renewal.id == id);
        let none = ChangeError::Refused(Refused::NoRenewal { id });
        let state = renewal.map(|renewal| renewal.state).ok_or(none)?;
        if !matches!(state, State::Requested { .. } | State::Intended { .. }) {
            return Ok((self.issued(&changed.file, id).await?, Owed::default()));
        }
        let answer = self.ask_for(changed, id, state, actor, now).await;
        self.dealings.tried(id, &answer, now);
        answer
    }

    async fn ask_for(
        &self,
        changed: Changed,
        id: RenewalId,
        state: State,
        actor: &Actor,
        now: UtcDateTime,
    ) -> Result<(Bundle, Owed), IssuanceError> {
        let Changed { file, order, intent, .. } = changed;
        self.desk.clock_is_trusted().map_err(ChangeError::from)?;
        let issued = match (state, &self.issuing) {
            (State::Intended { serial, .. }, Issuing::Here(authority)) => self.sign(authority, serial, intent).await,
            (State::Requested { .. }, Issuing::Elsewhere { .. }) => {
                return self.obtain(file, id, order, actor, now).await;
            }
            _ => Err(IssuanceError::OtherAuthority),
        };
        match issued {
            Err(error) if error.is_final() => {
                self.refuse(file, id, actor, now).await?;
                Err(error)
            }
            issued => self.store(file, id, issued?, actor, now).await,
        }
    }

    /// Signs what is intended.
    async fn sign(
        &self,
        authority: &LocalAuthority,
        serial: SerialNumber,
        intent: Option<Intent>,
    ) -> Result<Issued, IssuanceError> {
        let Intent { serial, spki, validity, tbs, .. } = match intent {
            Some(intent) => intent,
            None => self.document(&serial).await?.intent,
        };
        let certificate = authority.sign(Recorded::restore(tbs, serial, validity, spki)?).await?;
        Ok(Issued { certificate, intent: None })
    }

    /// Asks a CA elsewhere.
    async fn obtain(
        &self,
        file: Arc<SubjectFile>,
        id: RenewalId,
        order: Option<Order>,
        actor: &Actor,
        now: UtcDateTime,
    ) -> Result<(Bundle, Owed), IssuanceError> {
        let there = self.issuing.elsewhere().ok_or(IssuanceError::OtherAuthority)?;
        let order = match order {
            None => there.correspondence.order(&id).await?,
            known => known,
        };
        let Some(order) = order else {
            // Answered meanwhile: an order leaves with the commit that stores its certificate.
            let file = self.reread(&file).await?;
            return Ok((self.issued(&file, id).await?, Owed::default()));
        };
        let (file, order, answer) = match there.issue(&order, now).await {
            Err(IssuanceError::Authority(AuthorityError::Stale)) if order.at.saturating_add(ORDER_LASTS) <= now => {
                let changed = self.renew_order(file, order, there.issuer, actor, now).await?;
                let order = changed.order.ok_or(ChangeError::Contended)?;
                let answer = there.issue(&order, now).await;
                (changed.file, order, answer)
            }
            answer => (file, order, answer),
        };
        let certificate = match answer {
            Err(error) if error.is_final() => {
                self.refuse(file, id, actor, now).await?;
                return Err(error);
            }
            answer => answer?,
        };
        let (serial, validity, tbs) = (certificate.serial(), certificate.validity(), certificate.tbs().to_vec());
        let intent = Intent { renewal: id, serial, spki: order.spki, validity, tbs };
        self.store(file, id, Issued { certificate, intent: Some(intent) }, actor, now).await
    }

    /// Stores the same order with a validity of today. Only on the file that the stale one was read with: of two who find
    /// it stale one replaces it, so that what the CA was asked always is what is stored.
    async fn renew_order(
        &self,
        file: Arc<SubjectFile>,
        order: Order,
        issuer: &IssuerCertificate,
        actor: &Actor,
        now: UtcDateTime,
    ) -> Result<Changed, IssuanceError> {
        let validity = self.policy.validity_for(now, issuer.not_after()).map_err(IssuanceError::Validity)?;
        let order = Order { validity, at: now.truncate_to_millisecond(), ..order };
        let version = file.version;
        let decide = |file: &SubjectFile| -> Result<Decided, ChangeError> {
            if file.version != version {
                return Err(ChangeError::Contended);
            }
            Ok(Decided { order: Some(order.clone()), ..file.holding.unchanged().into() })
        };
        Ok(self.desk.change_from(file, actor, now, decide).await?)
    }

    /// The second commit. A certificate that stands revoked before it is stored ends its renewal.
    async fn store(
        &self,
        file: Arc<SubjectFile>,
        id: RenewalId,
        issued: Issued,
        actor: &Actor,
        now: UtcDateTime,
    ) -> Result<(Bundle, Owed), IssuanceError> {
        let Issued { certificate, intent } = issued;
        let (serial, validity) = (certificate.serial(), certificate.validity());
        let fingerprint = certificate.fingerprint();
        let mails = self.issued_to_program(&file, &certificate.spki_fingerprint(), serial, validity).await?;
        let decide = |file: &SubjectFile| -> Result<Decided, ChangeError> {
            let deadlines = &self.desk.settings.deadlines;
            let renewal = file.holding.renewal.as_ref().filter(|renewal| renewal.id == id);
            if renewal.is_some_and(|renewal| renewal.state.issued().is_some()) {
                // Somebody else was faster. Here, ECDSA makes of the same bytes another certificate each time.
                return Ok(file.holding.unchanged().into());
            }
            let issue = |holding: &Holding| holding.issue(id, serial, fingerprint, validity, now, deadlines);
            let change = if intent.is_some() {
                let intended = file.holding.step(id, &Event::Intend { serial }, now, deadlines)?;
                let mut change = issue(&intended.next)?;
                change.facts.splice(0..0, intended.facts);
                change
            } else {
                issue(&file.holding)?
            };
            let certified = Certified { serial, fingerprint, der: certificate.der().to_vec() };
            let mails = mails.clone();
            Ok(Decided { intent: intent.clone(), certified: Some(certified), mails, ..change.into() })
        };
        let changed = match self.desk.change_from(Arc::clone(&file), actor, now, decide).await {
            Err(ChangeError::SerialRevoked { serial }) => {
                self.refuse(file, id, actor, now).await?;
                return Err(IssuanceError::SerialRevoked { serial });
            }
            changed => changed?,
        };
        let bundle = if changed.file.holding.certificate(&fingerprint).is_some() {
            Bundle { serial, validity, certificate: certificate.into_der(), chain: self.chain() }
        } else {
            self.issued(&changed.file, id).await?
        };
        Ok((bundle, changed.owed))
    }

    /// Ends a renewal of which no certificate can ever come, so that its holder can start another one.
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

    /// What is stored for a renewal.
    async fn issued(&self, file: &SubjectFile, id: RenewalId) -> Result<Bundle, IssuanceError> {
        let renewal = file.holding.renewal.as_ref().filter(|renewal| renewal.id == id);
        let issued = renewal.and_then(|renewal| renewal.state.issued());
        let issued = issued.ok_or(ChangeError::Refused(Refused::NoRenewal { id }))?;
        self.bundle(&file.holding, issued.serial).await
    }

    pub(crate) async fn bundle(&self, holding: &Holding, serial: SerialNumber) -> Result<Bundle, IssuanceError> {
        let document = self.document(&serial).await?;
        let held = holding.certificates.iter().find(|held| held.serial == serial);
        let damaged = || StorageError::Damaged { what: format!("the certificate {serial} is missing") };
        let (Some(held), Some(certificate)) = (held, document.certificate) else { return Err(damaged().into()) };
        Ok(Bundle { serial, validity: held.validity, certificate, chain: self.chain() })
    }

    /// The issuing CA and those above it but for the root, which relying parties have or do not trust.
    fn chain(&self) -> Vec<Vec<u8>> {
        let issuer = self.issuing.issuer();
        let above = issuer.chain_der().split_last().map_or(&[][..], |(_root, between)| between);
        std::iter::once(issuer.certificate_der().to_vec()).chain(above.iter().cloned()).collect()
    }

    async fn reread(&self, file: &SubjectFile) -> Result<Arc<SubjectFile>, ChangeError> {
        let id = &file.subject.id;
        let found = self.desk.registry.subject(id).await?;
        found.ok_or_else(|| ChangeError::NoSubject(id.clone()))
    }

    async fn document(&self, serial: &SerialNumber) -> Result<Document, StorageError> {
        let damaged = || StorageError::Damaged { what: format!("the intent of serial number {serial} is missing") };
        self.desk.registry.document(serial).await?.ok_or_else(damaged)
    }
}
