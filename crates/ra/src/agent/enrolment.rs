//! The ticket of an enrolment. A page cannot tell whether ID and password were right, so neither can its ticket: until the
//! mailed code is typed, an exchange about nobody looks like any other.

use koshin_renewal::{Dialog, Event};
use koshin_types::{ProtectionLevel, RenewalId};
use time::UtcDateTime;

use super::{AgentError, AgentRight, AgentStanding, AgentTicket, sealed};
use crate::{
    Access, Actor, Beginning, Begun, Bundle, ChangeError, Owed, Proof, Ra, SentCode, Session, SessionError,
    SessionKind, SessionToken, Trace, sign_in::note,
};

/// An enrolment that an agent has proven, with the mailed code.
#[derive(Debug)]
pub struct AgentProven {
    /// The secret for everything after: the agent's own session of this enrolment.
    pub token: SessionToken,
    /// The session and the file.
    pub access: Access,
    /// The enrolment.
    pub renewal: RenewalId,
    /// What is owed.
    pub owed: Owed,
}

impl Ra {
    /// Makes a ticket in the session of an enrolment whose code has been sent, or seems to have been.
    ///
    /// # Errors
    ///
    /// [`AgentError::Session`] without such a session, [`AgentError::TooMany`] after too many tickets in it.
    pub async fn agent_enrolment_ticket(
        &self,
        token: &SessionToken,
        now: UtcDateTime,
    ) -> Result<AgentTicket, AgentError> {
        let (session, sent) = self.code_awaited(token, now).await?.ok_or(SessionError::None)?;
        let ticket = SessionToken::new(self.desk.random()?);
        let right = AgentRight::EnrolmentTicket { sealed: sealed(&ticket, &token.octets()) };
        self.put_enrolment(&session, &ticket, right, sent.until, "agent_ticket_made", now).await?;
        Ok(AgentTicket { token: ticket, digits: String::new(), renewal: None, until: sent.until })
    }

    /// Opens the exchange of an enrolment's ticket, once. Answers with the exchange's secret, good for the code alone.
    ///
    /// # Errors
    ///
    /// [`AgentError`]; a refusal leaves an audit record, of those that strangers can cause one now and then.
    pub async fn agent_open_enrolment(&self, ticket: &str, now: UtcDateTime) -> Result<SessionToken, AgentError> {
        let mut left = note(Actor::System, None, "agent_refused", []);
        let opened = async {
            let secret = SessionToken::parse(ticket).ok_or(AgentError::TicketWrong)?;
            let found = self.sessions.find(&secret.key()).await?.filter(|found| now < found.ends_at);
            let found = found.ok_or(AgentError::TicketWrong)?;
            let SessionKind::Agent { subject, session, right } = &found.kind else {
                return Err(AgentError::TicketWrong);
            };
            left.subject.clone_from(subject);
            let sealed_token = match right {
                AgentRight::EnrolmentTicket { sealed } => *sealed,
                AgentRight::EnrolmentUsed => return Err(AgentError::TicketUsed),
                _ => return Err(AgentError::TicketWrong),
            };
            let token = SessionToken::of(sealed(&secret, &sealed_token));
            let awaited = self.code_awaited(&token, now).await?.filter(|(found, _)| found.key == *session);
            let (awaited, sent) = awaited.ok_or(AgentError::TicketWrong)?;
            let kind =
                SessionKind::Agent { subject: subject.clone(), session: *session, right: AgentRight::EnrolmentUsed };
            if !self.sessions.replace(&found, &Session { kind, ..found.clone() }, None).await? {
                return Err(AgentError::TicketUsed);
            }
            let exchange = SessionToken::new(self.desk.random()?);
            let right = AgentRight::EnrolmentOpened { sealed: sealed(&exchange, &token.octets()) };
            self.put_enrolment(&awaited, &exchange, right, sent.until, "agent_opened", now).await?;
            Ok(exchange)
        };
        let opened = opened.await;
        self.recorded(opened, None, left, now).await
    }

    /// Takes the mailed code, as the page does: with the same tries, the same time and the same records.
    ///
    /// # Errors
    ///
    /// [`AgentError::Over`] without such an exchange, else as [`prove_enrolment`](Self::prove_enrolment);
    /// [`AgentError::Off`] for a role that does without agents.
    pub async fn agent_prove(
        &self,
        exchange: &SessionToken,
        code: &str,
        now: UtcDateTime,
    ) -> Result<AgentProven, AgentError> {
        let found = self.sessions.find(&exchange.key()).await?.filter(|found| now < found.ends_at);
        let found = found.ok_or(AgentError::Over)?;
        let SessionKind::Agent { right: AgentRight::EnrolmentOpened { sealed: kept }, .. } = &found.kind else {
            return Err(AgentError::Over);
        };
        let token = SessionToken::of(sealed(exchange, kept));
        let (token, renewal, owed) = self.prove_enrolment(&token, code, now).await?;
        let (access, _) = self.enrolment_session(&token, now).await?;
        self.agents_offered(&access.file)?;
        Ok(AgentProven { token, access, renewal, owed })
    }

    /// The same as [`agent_request`](Self::agent_request) with the secret that a right code was answered with.
    ///
    /// # Errors
    ///
    /// [`AgentError`]; a refusal leaves an audit record.
    pub async fn agent_request_enrolment(
        &self,
        token: &SessionToken,
        id: RenewalId,
        request: &[u8],
        claimed: ProtectionLevel,
        now: UtcDateTime,
    ) -> Result<(Bundle, Owed), AgentError> {
        let access = self.enrolling(token, id, now).await?;
        let left = super::holders(access.id(), "agent_refused").with("renewal", &id);
        let requested = self.request_by_agent(&access, id, request, claimed, Ok(()), now).await;
        self.recorded(requested, None, left, now).await
    }

    /// "Yes" to the second confirmation of an enrolment, after the certificate was installed.
    ///
    /// # Errors
    ///
    /// [`AgentError`]; a refusal leaves an audit record.
    pub async fn agent_installed_enrolment(
        &self,
        token: &SessionToken,
        id: RenewalId,
        now: UtcDateTime,
    ) -> Result<(), AgentError> {
        self.enrolment_step(token, id, &Event::Deliver, now).await
    }

    /// "No" to a confirmation of an enrolment.
    ///
    /// # Errors
    ///
    /// [`AgentError`]; a refusal leaves an audit record.
    pub async fn agent_declined_enrolment(
        &self,
        token: &SessionToken,
        id: RenewalId,
        dialog: Dialog,
        now: UtcDateTime,
    ) -> Result<(), AgentError> {
        self.enrolment_step(token, id, &Event::Decline { dialog }, now).await
    }

    async fn enrolment_step(
        &self,
        token: &SessionToken,
        id: RenewalId,
        event: &Event,
        now: UtcDateTime,
    ) -> Result<(), AgentError> {
        let access = self.enrolling(token, id, now).await?;
        let left = super::holders(access.id(), "agent_refused").with("renewal", &id);
        let stepped = self.step_by_agent(&access, id, event, now).await;
        self.recorded(stepped, None, left, now).await
    }

    /// Where the enrolment stands.
    ///
    /// # Errors
    ///
    /// [`AgentError`].
    pub async fn agent_standing_enrolment(
        &self,
        token: &SessionToken,
        id: RenewalId,
        now: UtcDateTime,
    ) -> Result<AgentStanding, AgentError> {
        let access = self.enrolling(token, id, now).await?;
        let renewal = access.file.holding.renewal.as_ref().filter(|renewal| renewal.id == id);
        let state = renewal.ok_or(AgentError::NotFound { id })?.state;
        Ok(AgentStanding { state: state.as_str(), serial: state.serial() })
    }

    async fn enrolling(&self, token: &SessionToken, id: RenewalId, now: UtcDateTime) -> Result<Access, AgentError> {
        match self.enrolment_session(token, now).await {
            Ok((access, renewal)) if renewal == id => Ok(access),
            Ok(_) => Err(AgentError::NotFound { id }),
            Err(SessionError::Storage(error)) => Err(error.into()),
            Err(_) => Err(AgentError::Over),
        }
    }

    /// For the page that waits beside an agent: the enrolment that the code was typed for there. No session comes with it:
    /// the page may be somebody's who knows ID and password, and had the holder type the code.
    ///
    /// # Errors
    ///
    /// [`AgentError::Over`] when the page's session is over before that.
    pub async fn followed_enrolment(
        &self,
        token: &SessionToken,
        now: UtcDateTime,
    ) -> Result<Option<RenewalId>, AgentError> {
        let (session, _) = self.code_awaited(token, now).await?.ok_or(AgentError::Over)?;
        Ok(match session.kind {
            SessionKind::Enrolment { proof: Proof::CodeUsed { renewal, .. }, .. } => Some(renewal),
            _ => None,
        })
    }

    /// The session that awaits a code, or has got it within the code's time.
    async fn code_awaited(
        &self,
        token: &SessionToken,
        now: UtcDateTime,
    ) -> Result<Option<(Session, SentCode)>, AgentError> {
        let found = self.sessions.find(&token.key()).await?;
        Ok(found.and_then(|found| match &found.kind {
            SessionKind::Enrolment { proof: Proof::CodeSent(sent) | Proof::CodeUsed { sent, .. }, .. }
                if now < sent.until =>
            {
                let sent = *sent;
                Some((found, sent))
            }
            _ => None,
        }))
    }

    /// Stores a ticket or an exchange about whoever this enrolment is for. It is the same work for nobody.
    async fn put_enrolment(
        &self,
        made_in: &Session,
        secret: &SessionToken,
        right: AgentRight,
        until: UtcDateTime,
        word: &'static str,
        now: UtcDateTime,
    ) -> Result<(), AgentError> {
        let subject = made_in.kind.subject().cloned();
        let left = note(Actor::System, subject.as_ref(), word, []);
        let trace = if subject.is_some() { Trace::Recorded(left) } else { Trace::Counted(left) };
        let kind = SessionKind::Agent { subject, session: made_in.key, right };
        let session = Session { key: secret.key(), kind, opened_at: now, seen_at: now, ends_at: until };
        let (tries, patience) = (format!("agent {}", made_in.key), self.desk.settings.patience());
        match self.sessions.begin(Beginning { session, tries, patience, subject: None, trace, mail: None }).await? {
            Begun::Opened => Ok(()),
            Begun::TooSoon { retry_at } => Err(AgentError::TooMany { retry_at }),
            Begun::Changed => Err(ChangeError::Contended.into()),
        }
    }
}
