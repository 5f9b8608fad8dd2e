//! The ticket of a renewal, from the page to the agent.

use std::sync::Arc;

use koshin_renewal::Admission;
use koshin_types::{Fingerprint, ProtectionLevel, RenewalId};
use time::UtcDateTime;

use super::{AgentBound, AgentError, AgentRight, code_hash, exchange_key, holders};
use crate::{
    Access, Actor, AuditNote, ChangeError, NoEntropy, Ra, Session, SessionError, SessionKind, SessionToken,
    SubjectFile, sign_in::note,
};

/// A ticket for an agent, as the page shows it once.
#[derive(Debug, Clone)]
pub struct AgentTicket {
    /// For the link. Storage only knows its hash.
    pub token: SessionToken,
    /// The digits that the holder types into the agent; empty where a mailed code takes their place.
    pub digits: String,
    /// The renewal it is good for; `None` while nobody is known to enrol.
    pub renewal: Option<RenewalId>,
    /// The first instant at which it is void.
    pub until: UtcDateTime,
}

/// An exchange that was opened.
#[derive(Debug, Clone)]
pub struct AgentOpened {
    /// The subject's file.
    pub file: Arc<SubjectFile>,
    /// The renewal.
    pub renewal: RenewalId,
    /// The least protection that its key may have.
    pub minimum: ProtectionLevel,
}

/// How far an agent has come, before it asks for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgentStage {
    /// Nobody has opened the ticket.
    Waiting,
    /// The digits are awaited.
    Opened,
    /// They were right.
    Confirmed,
    /// They were wrong too often.
    Exhausted,
}

impl AgentStage {
    /// The word that stands for it in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Opened => "opened",
            Self::Confirmed => "confirmed",
            Self::Exhausted => "exhausted",
        }
    }
}

/// How many digits a page shows.
const DIGITS: usize = 4;

impl Ra {
    /// Makes a ticket for the session's own renewal, and the digits that go with it.
    ///
    /// # Errors
    ///
    /// [`AgentError::Off`], [`AgentError::NotFound`] for a renewal that is not the session's, [`AgentError::Ended`] for one
    /// that has ended.
    pub async fn agent_ticket(
        &self,
        access: &Access,
        id: RenewalId,
        now: UtcDateTime,
    ) -> Result<AgentTicket, AgentError> {
        let SessionKind::Portal { subject, certificate, .. } = &access.session.kind else {
            return Err(SessionError::None.into());
        };
        self.agents_offered(&access.file)?;
        let renewal = access.file.holding.renewal.as_ref().filter(|renewal| renewal.id == id);
        let renewal = renewal.ok_or(AgentError::NotFound { id })?;
        if renewal.state.is_end() {
            return Err(AgentError::Ended { state: renewal.state.as_str() });
        }
        let (token, digits) = (SessionToken::new(self.desk.random()?), self.digits()?);
        let until = now.saturating_add(self.desk.settings.agent_time).min(access.session.ends_at);
        let bound = AgentBound { certificate: *certificate, renewal: id };
        let right = AgentRight::Ticket { bound, code: code_hash(&token.key(), &digits) };
        let kind = SessionKind::Agent { subject: Some(subject.clone()), session: access.session.key, right };
        // What another ticket has opened is over: the last page counts.
        let over = holders(subject, "agent_exchange_over").with("renewal", &id);
        self.sessions.close(&exchange_key(&id), over, now).await?;
        let ticket = Session { key: token.key(), kind, opened_at: now, seen_at: now, ends_at: until };
        let made = holders(subject, "agent_ticket_made").with("renewal", &id);
        // The password may have been changed meanwhile.
        if !self.sessions.open(ticket, &access.file.subject, made).await? {
            return Err(ChangeError::Contended.into());
        }
        Ok(AgentTicket { token, digits, renewal: Some(id), until })
    }

    /// Opens the exchange of a ticket, once. The certificate of the handshake has to be the one that the ticket is for.
    ///
    /// # Errors
    ///
    /// [`AgentError`]; a refusal leaves an audit record. [`AgentError::OtherCertificate`] leaves the ticket as it was: who
    /// gets hold of somebody's ticket cannot even use it up.
    pub async fn agent_open(
        &self,
        certificate: Option<&Fingerprint>,
        ticket: &str,
        now: UtcDateTime,
    ) -> Result<AgentOpened, AgentError> {
        let tries = certificate.map(|certificate| format!("agent {certificate}"));
        let mut left = self.about(certificate).await?;
        let opened = match certificate {
            Some(shown) => self.open_by_ticket(shown, ticket, &mut left, now).await,
            None => Err(AgentError::NoCertificate),
        };
        self.recorded(opened, tries.as_deref(), left, now).await
    }

    /// How far the agent has come with the last ticket of a renewal, for the page that waits beside it.
    ///
    /// # Errors
    ///
    /// [`StorageError`](crate::StorageError).
    pub async fn agent_stage(&self, renewal: &RenewalId, now: UtcDateTime) -> Result<AgentStage, crate::StorageError> {
        let found = self.sessions.find(&exchange_key(renewal)).await?.filter(|found| now < found.ends_at);
        Ok(match found.map(|found| found.kind) {
            Some(SessionKind::Agent { right: AgentRight::Opened { .. }, .. }) => AgentStage::Opened,
            Some(SessionKind::Agent { right: AgentRight::Confirmed { .. }, .. }) => AgentStage::Confirmed,
            Some(SessionKind::Agent { right: AgentRight::Exhausted { .. }, .. }) => AgentStage::Exhausted,
            _ => AgentStage::Waiting,
        })
    }

    async fn open_by_ticket(
        &self,
        certificate: &Fingerprint,
        ticket: &str,
        left: &mut AuditNote,
        now: UtcDateTime,
    ) -> Result<AgentOpened, AgentError> {
        let file = self.agent_holder(certificate, now).await?;
        // Counted by certificate: nobody without it can slow its holder down.
        let tries_key = format!("agent {certificate}");
        self.not_too_many(&tries_key, now).await?;
        let token = SessionToken::parse(ticket).ok_or(AgentError::TicketWrong)?;
        let found = self.sessions.find(&token.key()).await?.filter(|found| now < found.ends_at);
        let found = found.ok_or(AgentError::TicketWrong)?;
        let SessionKind::Agent { subject: Some(subject), session, right } = &found.kind else {
            return Err(AgentError::TicketWrong);
        };
        let (AgentRight::Ticket { bound, .. } | AgentRight::Used { bound }) = *right else {
            return Err(AgentError::TicketWrong);
        };
        if bound.certificate != *certificate || *subject != file.subject.id {
            // Its holder has to find it in the log.
            left.subject = Some(subject.clone());
            left.details.insert("renewal", bound.renewal.to_string());
            return Err(AgentError::OtherCertificate);
        }
        let AgentRight::Ticket { code, .. } = *right else { return Err(AgentError::TicketUsed) };
        if !self.goes_on(session, now).await? {
            return Err(AgentError::TicketWrong);
        }
        let opened = self.agent_opened(file, bound.renewal, now)?;
        let kind = |right| SessionKind::Agent { subject: Some(subject.clone()), session: *session, right };
        let used = Session { kind: kind(AgentRight::Used { bound }), ..found.clone() };
        let note = holders(subject, "agent_opened").with("renewal", &bound.renewal);
        if !self.sessions.replace(&found, &used, Some((now, note))).await? {
            return Err(AgentError::TicketUsed);
        }
        let right = AgentRight::Opened { bound, code, ticket: found.key, tries: 0 };
        self.put_exchange(kind(right), &opened.file, bound.renewal, now).await?;
        if self.sessions.tries(&tries_key).await?.failures > 0 {
            self.sessions.note_try(&tries_key, None).await?;
        }
        Ok(opened)
    }

    /// What an agent is told of a renewal that is open.
    fn agent_opened(&self, file: Arc<SubjectFile>, id: RenewalId, now: UtcDateTime) -> Result<AgentOpened, AgentError> {
        self.agents_offered(&file)?;
        let open = file.holding.open_renewal().filter(|open| open.id == id);
        let open = open.ok_or_else(|| ended(&file, id))?;
        if let Some(deadline) = open.deadline(&self.desk.settings.deadlines).filter(|deadline| *deadline <= now) {
            return Err(ChangeError::Refused(koshin_renewal::Refused::Lapsed { deadline, now }).into());
        }
        let minimum = self.desk.settings.minimum_protection.of(file.subject.role);
        Ok(AgentOpened { renewal: id, minimum, file })
    }

    /// Puts the exchange about a renewal in the place of an earlier one: the last ticket counts.
    async fn put_exchange(
        &self,
        kind: SessionKind,
        file: &SubjectFile,
        renewal: RenewalId,
        now: UtcDateTime,
    ) -> Result<(), AgentError> {
        let key = exchange_key(&renewal);
        let ends_at = now.saturating_add(self.desk.settings.agent_time);
        let exchange = Session { key, kind, opened_at: now, seen_at: now, ends_at };
        for _ in 0..TRIES {
            let stored = if let Some(before) = self.sessions.find(&key).await? {
                self.sessions.replace(&before, &exchange, None).await?
            } else {
                let note = holders(&file.subject.id, "agent_exchange").with("renewal", &renewal);
                self.sessions.open(exchange.clone(), &file.subject, note).await?
            };
            if stored {
                return Ok(());
            }
        }
        Err(ChangeError::Contended.into())
    }

    /// The file of the certificate's holder, if the certificate may log in.
    pub(super) async fn agent_holder(
        &self,
        certificate: &Fingerprint,
        now: UtcDateTime,
    ) -> Result<Arc<SubjectFile>, AgentError> {
        let file = self.desk.registry.holder(certificate).await?;
        let file = file.ok_or(AgentError::Certificate(Admission::Unknown))?;
        match file.holding.admission(certificate, now) {
            Admission::Login => Ok(file),
            other => Err(AgentError::Certificate(other)),
        }
    }

    /// A refusal's record, about whoever holds the certificate.
    pub(super) async fn about(&self, certificate: Option<&Fingerprint>) -> Result<AuditNote, AgentError> {
        let file = match certificate {
            Some(certificate) => self.desk.registry.holder(certificate).await?,
            None => None,
        };
        Ok(match file {
            Some(file) => holders(&file.subject.id, "agent_refused"),
            None => note(Actor::System, None, "agent_refused", []),
        })
    }

    /// Four digits without bias worth speaking of, as the eight of a one-time code.
    fn digits(&self) -> Result<String, NoEntropy> {
        let number = u64::from_be_bytes(self.desk.random()?) % 10_u64.pow(4);
        Ok(format!("{number:0DIGITS$}"))
    }
}

/// Why a renewal of somebody's is not the open one.
fn ended(file: &SubjectFile, id: RenewalId) -> AgentError {
    match file.holding.renewal.as_ref().filter(|renewal| renewal.id == id) {
        Some(renewal) => AgentError::Ended { state: renewal.state.as_str() },
        None => AgentError::NotFound { id },
    }
}

/// How often an exchange is put again that somebody else put at the same time.
const TRIES: usize = 8;
