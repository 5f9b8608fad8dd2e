//! The exchange about a renewal: digits, request, certificate, installed.

use std::sync::Arc;

use koshin_renewal::{Admission, Basis, Dialog, Event, Key};
use koshin_types::{Fingerprint, ProtectionLevel, RenewalId, SerialNumber};
use time::UtcDateTime;

use super::{AgentError, AgentRight, agent_key, code_hash, exchange_key, holders};
use crate::{Access, Bundle, ChangeError, Owed, Ra, Session, SessionKind, SubjectFile, issue::Gated, ticket::FOR_EVER};

/// Where a renewal stands, for an agent that was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentStanding {
    /// The word of its state.
    pub state: &'static str,
    /// The serial number, once there is one.
    pub serial: Option<SerialNumber>,
}

impl Ra {
    /// Takes the digits that the page shows. The same right digits again change nothing.
    ///
    /// # Errors
    ///
    /// [`AgentError::CodeWrong`], [`AgentError::CodeExhausted`] and others; a refusal leaves an audit record.
    pub async fn agent_confirm(
        &self,
        certificate: Option<&Fingerprint>,
        id: RenewalId,
        digits: &str,
        now: UtcDateTime,
    ) -> Result<(), AgentError> {
        let left = self.about(certificate).await?.with("renewal", &id);
        let confirmed = self.confirm(certificate, id, digits, now).await;
        self.recorded(confirmed, None, left, now).await
    }

    async fn confirm(
        &self,
        certificate: Option<&Fingerprint>,
        id: RenewalId,
        digits: &str,
        now: UtcDateTime,
    ) -> Result<(), AgentError> {
        let file = self.renewing(certificate, id, now).await?;
        let most = self.desk.settings.agent_tries;
        // Whoever loses the race for a try finds one more counted: the loop ends.
        loop {
            let exchange = self.exchange(&file, certificate, id, now).await?.ok_or(AgentError::Over)?;
            let SessionKind::Agent { subject, session, right } = exchange.kind.clone() else {
                return Err(AgentError::Over);
            };
            let (bound, code, ticket, tries) = match right {
                AgentRight::Opened { bound, code, ticket, tries } => (bound, code, ticket, tries),
                AgentRight::Confirmed { .. } => return Ok(()),
                AgentRight::Exhausted { .. } => return Err(AgentError::CodeExhausted),
                _ => return Err(AgentError::Over),
            };
            let tries = tries.saturating_add(1);
            let right = code_hash(&ticket, digits) == code;
            let after = match (right, tries < most) {
                (true, _) => AgentRight::Confirmed { bound },
                (false, true) => AgentRight::Opened { bound, code, ticket, tries },
                (false, false) => AgentRight::Exhausted { bound },
            };
            let kind = SessionKind::Agent { subject, session, right: after };
            let note = right.then(|| (now, holders(&file.subject.id, "agent_confirmed").with("renewal", &id)));
            // Counted in the same step in which it is compared: of those that come at once, one is.
            if !self.sessions.replace(&exchange, &Session { kind, ..exchange.clone() }, note).await? {
                continue;
            }
            return match after {
                AgentRight::Confirmed { .. } => Ok(()),
                AgentRight::Exhausted { .. } => Err(AgentError::CodeExhausted),
                _ => Err(AgentError::CodeWrong { left: most.saturating_sub(tries) }),
            };
        }
    }

    /// The same as [`request_certificate`](Self::request_certificate) for an agent with the predecessor's certificate. The
    /// exchange has to be confirmed, or the key to be the one that was accepted before: then it needs nothing else. The key
    /// is marked, with the protection that the agent claims.
    ///
    /// # Errors
    ///
    /// [`AgentError`]; a refusal leaves an audit record.
    pub async fn agent_request(
        &self,
        certificate: Option<&Fingerprint>,
        id: RenewalId,
        request: &[u8],
        claimed: ProtectionLevel,
        now: UtcDateTime,
    ) -> Result<(Bundle, Owed), AgentError> {
        let left = self.about(certificate).await?.with("renewal", &id);
        let requested = async {
            let file = self.renewing(certificate, id, now).await?;
            let session = self.exchange(&file, certificate, id, now).await?.unwrap_or_else(|| unseen(id, now));
            let access = Access { session, file };
            let may_begin = match &access.session.kind {
                SessionKind::Agent { right: AgentRight::Confirmed { .. }, .. } => Ok(()),
                SessionKind::Agent { right: AgentRight::Exhausted { .. }, .. } => Err(AgentError::CodeExhausted),
                SessionKind::Agent { right: AgentRight::Opened { .. }, .. } => Err(AgentError::NotConfirmed),
                _ => Err(AgentError::Over),
            };
            self.request_by_agent(&access, id, request, claimed, may_begin, now).await
        };
        let requested = requested.await;
        self.recorded(requested, None, left, now).await
    }

    /// Request and certificate, whoever the agent has shown to be.
    pub(super) async fn request_by_agent(
        &self,
        access: &Access,
        id: RenewalId,
        request: &[u8],
        claimed: ProtectionLevel,
        may_begin: Result<(), AgentError>,
        now: UtcDateTime,
    ) -> Result<(Bundle, Owed), AgentError> {
        let file = &access.file;
        let bound = file.holding.renewal.as_ref().is_some_and(|renewal| renewal.state.key().is_some());
        match (bound, self.is_agents(file).await?) {
            // An accepted key needs no exchange any more; another one is refused below.
            (true, true) => {}
            // The page was faster, or the key was accepted from it.
            (true, false) => {
                may_begin?;
            }
            (false, _) => {
                may_begin?;
                self.agents_offered(file)?;
                let minimum = self.desk.settings.minimum_protection.of(file.subject.role);
                if claimed < minimum {
                    return Err(AgentError::Protection { minimum, claimed });
                }
            }
        }
        self.takes_requests(file, id, now).await?;
        let gated: Gated = self.through_the_gate(request).await?;
        let key = Key { spki: gated.spki_fingerprint(), protection: claimed };
        // A mark stays for ever: there is none for another key than the one that the renewal is bound to.
        self.takes_key(file, id, Some(key), now).await?;
        if !bound {
            self.mark_agent_key(access, id, key, now).await?;
        }
        Ok(self.request_gated(access, id, gated, claimed, now).await?)
    }

    async fn mark_agent_key(
        &self,
        access: &Access,
        renewal: RenewalId,
        key: Key,
        now: UtcDateTime,
    ) -> Result<(), AgentError> {
        let kind = SessionKind::AgentKey { renewal };
        let mark = Session { key: agent_key(&key.spki), kind, opened_at: now, seen_at: now, ends_at: FOR_EVER };
        let asked = holders(access.id(), "requested_by_agent").with("renewal", &renewal);
        let asked = asked.with("protection", &key.protection);
        match self.sessions.open(mark, &access.file.subject, asked).await {
            Ok(true) => Ok(()),
            // The password was changed meanwhile.
            Ok(false) => Err(ChangeError::Contended.into()),
            // The same request came twice at once, and the other one was faster.
            Err(_) if self.is_agent_key(&key.spki).await? => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// "Yes" to the second confirmation, after the certificate was installed.
    ///
    /// # Errors
    ///
    /// [`AgentError`]; a refusal leaves an audit record.
    pub async fn agent_installed(
        &self,
        certificate: Option<&Fingerprint>,
        id: RenewalId,
        now: UtcDateTime,
    ) -> Result<(), AgentError> {
        self.agent_step(certificate, id, &Event::Deliver, now).await
    }

    /// "No" to a confirmation. Nothing changes but the audit log.
    ///
    /// # Errors
    ///
    /// [`AgentError`]; a refusal leaves an audit record.
    pub async fn agent_declined(
        &self,
        certificate: Option<&Fingerprint>,
        id: RenewalId,
        dialog: Dialog,
        now: UtcDateTime,
    ) -> Result<(), AgentError> {
        self.agent_step(certificate, id, &Event::Decline { dialog }, now).await
    }

    async fn agent_step(
        &self,
        certificate: Option<&Fingerprint>,
        id: RenewalId,
        event: &Event,
        now: UtcDateTime,
    ) -> Result<(), AgentError> {
        let left = self.about(certificate).await?.with("renewal", &id);
        let stepped = async {
            let file = self.renewing(certificate, id, now).await?;
            let exchange = self.exchange(&file, certificate, id, now).await?;
            if exchange.is_none() && !self.is_agents(&file).await? {
                return Err(AgentError::Over);
            }
            let session = exchange.unwrap_or_else(|| unseen(id, now));
            self.step_by_agent(&Access { session, file }, id, event, now).await
        };
        let stepped = stepped.await;
        self.recorded(stepped, None, left, now).await
    }

    /// One of the steps that need no more than that the key is an agent's.
    pub(super) async fn step_by_agent(
        &self,
        access: &Access,
        id: RenewalId,
        event: &Event,
        now: UtcDateTime,
    ) -> Result<(), AgentError> {
        match *event {
            // What a page was given is not the agent's to install.
            Event::Deliver if !self.is_agents(&access.file).await? => Err(AgentError::NotConfirmed),
            Event::Decline { dialog } => Ok(self.decline(access, id, dialog, now).await?),
            _ => Ok(self.deliver(access, id, now).await?),
        }
    }

    /// Where the renewal stands, with the certificate of its predecessor, whatever became of that but a revocation, or of
    /// its successor.
    ///
    /// # Errors
    ///
    /// [`AgentError`]. Nothing is changed, and nothing recorded.
    pub async fn agent_standing(
        &self,
        certificate: Option<&Fingerprint>,
        id: RenewalId,
        now: UtcDateTime,
    ) -> Result<AgentStanding, AgentError> {
        let certificate = certificate.ok_or(AgentError::NoCertificate)?;
        let unknown = AgentError::Certificate(Admission::Unknown);
        let file = self.desk.registry.holder(certificate).await?.ok_or(unknown)?;
        if let revoked @ Admission::Revoked { .. } = file.holding.admission(certificate, now) {
            return Err(AgentError::Certificate(revoked));
        }
        let Some(renewal) = file.holding.renewal.as_ref().filter(|renewal| renewal.id == id) else {
            // Started again meanwhile: for this agent that is the end of it.
            let gone = self.is_renewal_of(&file.subject.id, &id).await?;
            return if gone {
                Ok(AgentStanding { state: GONE, serial: None })
            } else {
                Err(AgentError::NotFound { id })
            };
        };
        let shown = file.holding.certificate(certificate).map(|held| held.serial);
        let predecessor = match renewal.basis {
            Basis::Renewal { predecessor, .. } => Some(predecessor),
            Basis::Enrolment { .. } => None,
        };
        if shown.is_none() || (shown != predecessor && shown != renewal.state.serial()) {
            return Err(AgentError::OtherCertificate);
        }
        Ok(AgentStanding { state: renewal.state.as_str(), serial: renewal.state.serial() })
    }

    /// The file of whoever shows the predecessor of this renewal.
    async fn renewing(
        &self,
        certificate: Option<&Fingerprint>,
        id: RenewalId,
        now: UtcDateTime,
    ) -> Result<Arc<SubjectFile>, AgentError> {
        let certificate = certificate.ok_or(AgentError::NoCertificate)?;
        let file = self.agent_holder(certificate, now).await?;
        let Some(renewal) = file.holding.renewal.as_ref().filter(|renewal| renewal.id == id) else {
            let gone = self.is_renewal_of(&file.subject.id, &id).await?;
            return Err(if gone { AgentError::Ended { state: GONE } } else { AgentError::NotFound { id } });
        };
        let Basis::Renewal { predecessor, .. } = renewal.basis else { return Err(AgentError::NotFound { id }) };
        match file.holding.certificate(certificate) {
            Some(held) if held.serial == predecessor => Ok(file),
            _ => Err(AgentError::OtherCertificate),
        }
    }

    /// The exchange about a renewal, if it goes on: it is for this certificate, in time, and so is the session in which its
    /// ticket was made.
    async fn exchange(
        &self,
        file: &SubjectFile,
        certificate: Option<&Fingerprint>,
        id: RenewalId,
        now: UtcDateTime,
    ) -> Result<Option<Session>, AgentError> {
        let Some(found) = self.sessions.find(&exchange_key(&id)).await?.filter(|found| now < found.ends_at) else {
            return Ok(None);
        };
        let SessionKind::Agent { subject: Some(subject), session, right } = &found.kind else { return Ok(None) };
        let (AgentRight::Opened { bound, .. } | AgentRight::Confirmed { bound } | AgentRight::Exhausted { bound }) =
            *right
        else {
            return Ok(None);
        };
        let is_own = *subject == file.subject.id && Some(&bound.certificate) == certificate && bound.renewal == id;
        let goes_on = is_own && self.goes_on(session, now).await?;
        Ok(goes_on.then_some(found))
    }
}

/// What became of a renewal that another one took the place of.
const GONE: &str = "abandoned";

/// Stands for the exchange once it is over: nothing is read from it but that it is none.
fn unseen(renewal: RenewalId, now: UtcDateTime) -> Session {
    let kind = SessionKind::AgentKey { renewal };
    Session { key: exchange_key(&renewal), kind, opened_at: now, seen_at: now, ends_at: now }
}
