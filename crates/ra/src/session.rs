//! Sessions: opened by a sign-in, checked at every request.

use std::sync::Arc;

use koshin_renewal::Admission;
use koshin_types::{Fingerprint, RenewalId, Rfc3339, SubjectId};
use ring::digest;
use time::{Duration, UtcDateTime};

use crate::{Actor, AuditNote, Proof, Ra, Session, SessionKey, SessionKind, StorageError, SubjectFile, sign_in::note};

/// The secret of a session, as the cookie carries it: 256 random bits in lower-case hexadecimal.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionToken(String);

impl SessionToken {
    pub(crate) fn new(random: [u8; 32]) -> Self {
        Self(Fingerprint::new(random).to_string())
    }

    /// Reads a cookie's value; `None` when it cannot be a token of ours.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f')))
            .then(|| Self(text.to_owned()))
    }

    /// The token of these octets.
    pub(crate) fn of(octets: Fingerprint) -> Self {
        Self(octets.to_string())
    }

    /// Its octets.
    pub(crate) fn octets(&self) -> Fingerprint {
        // A token is 64 hexadecimal digits from its birth.
        self.0.parse().unwrap_or_else(|_| Fingerprint::new([0; 32]))
    }

    /// The text for the cookie.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What storage knows of it.
    pub fn key(&self) -> SessionKey {
        sha256(&[self.0.as_bytes()])
    }
}

impl std::fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionToken(***)")
    }
}

/// A request with a session: who it is, with the file as it stands now.
#[derive(Debug, Clone)]
pub struct Access {
    /// The session.
    pub session: Session,
    /// The subject's file.
    pub file: Arc<SubjectFile>,
}

impl Access {
    /// The subject.
    pub fn id(&self) -> &SubjectId {
        &self.file.subject.id
    }

    /// When the subject had signed in before this session was opened.
    pub const fn previous_sign_in(&self) -> Option<UtcDateTime> {
        match self.session.kind {
            SessionKind::Portal { previous_sign_in, .. } => previous_sign_in,
            _ => None,
        }
    }

    /// On whose behalf this request acts.
    pub fn actor(&self) -> Actor {
        Actor::Holder(self.id().clone())
    }
}

/// Why a request has no session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// There is none, or not of this kind.
    #[error("there is no session")]
    None,
    /// It was not used for too long.
    #[error("the session was idle since {}; it is {}", Rfc3339(*seen_at), Rfc3339(*now))]
    Idle {
        /// When it was last used.
        seen_at: UtcDateTime,
        /// The instant of the request.
        now: UtcDateTime,
    },
    /// It has lasted as long as it may.
    #[error("the session ended at {}; it is {}", Rfc3339(*ends_at), Rfc3339(*now))]
    Ended {
        /// When it ended.
        ends_at: UtcDateTime,
        /// The instant of the request.
        now: UtcDateTime,
    },
    /// The request came with another certificate than the session was opened with, or with none.
    #[error("the session belongs to another certificate")]
    OtherCertificate,
    /// The certificate may not log in any more.
    #[error("the certificate of the session may not be used any more")]
    Certificate(Admission),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The enrolment that the session is for was followed by another one.
    #[error("the session is for the enrolment {renewal}, which is over")]
    EnrolmentOver {
        /// The enrolment.
        renewal: RenewalId,
    },
}

/// Sessions are written back at most this often; idleness is counted to this precision.
const TOUCH: Duration = Duration::minutes(1);

impl Ra {
    /// The session of a request to the portal. Certificate and ledger are checked every time.
    ///
    /// # Errors
    ///
    /// [`SessionError`] says which next step to show.
    pub async fn session(
        &self,
        token: &SessionToken,
        certificate: Option<&Fingerprint>,
        now: UtcDateTime,
    ) -> Result<Access, SessionError> {
        let session = self.sessions.find(&token.key()).await?.ok_or(SessionError::None)?;
        let SessionKind::Portal { subject, certificate: bound, .. } = &session.kind else {
            return Err(SessionError::None);
        };
        if certificate != Some(bound) {
            return Err(SessionError::OtherCertificate);
        }
        let file = self.desk.registry.holder(bound).await?.ok_or(SessionError::Certificate(Admission::Unknown))?;
        match file.holding.admission(bound, now) {
            Admission::Login if file.subject.id == *subject => {}
            Admission::Login => return Err(SessionError::OtherCertificate),
            other => return Err(SessionError::Certificate(other)),
        }
        self.within_time(&session, now)?;
        let session = self.touch(session, now).await?;
        Ok(Access { session, file })
    }

    /// The session of an enrolment whose code was right, with the enrolment it is for and no other.
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub async fn enrolment_session(
        &self,
        token: &SessionToken,
        now: UtcDateTime,
    ) -> Result<(Access, RenewalId), SessionError> {
        let session = self.sessions.find(&token.key()).await?.ok_or(SessionError::None)?;
        let SessionKind::Enrolment { subject: Some(subject), proof: Proof::Proven { renewal } } = &session.kind else {
            return Err(SessionError::None);
        };
        let renewal = *renewal;
        self.within_time(&session, now)?;
        let file = self.desk.registry.subject(subject).await?.ok_or(SessionError::None)?;
        if file.holding.renewal.as_ref().is_none_or(|current| current.id != renewal) {
            return Err(SessionError::EnrolmentOver { renewal });
        }
        let session = self.touch(session, now).await?;
        Ok((Access { session, file }, renewal))
    }

    /// Ends a session.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn sign_out(&self, access: &Access, now: UtcDateTime) -> Result<(), StorageError> {
        self.sessions.close(&access.session.key, note(access.actor(), Some(access.id()), "signed_out", []), now).await
    }

    /// Binds an enrolment session to another enrolment, after "start again with a new key". Every request may touch the
    /// session in between; only its end, or somebody else's binding, is a reason not to.
    pub(crate) async fn rebind_enrolment(
        &self,
        session: &Session,
        from: RenewalId,
        to: RenewalId,
    ) -> Result<(), StorageError> {
        while let Some(found) = self.sessions.find(&session.key).await? {
            let SessionKind::Enrolment { subject, proof: Proof::Proven { renewal } } = &found.kind else { break };
            if *renewal != from {
                break;
            }
            let kind = SessionKind::Enrolment { subject: subject.clone(), proof: Proof::Proven { renewal: to } };
            if self.sessions.replace(&found, &Session { kind, ..found.clone() }, None).await? {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn within_time(&self, session: &Session, now: UtcDateTime) -> Result<(), SessionError> {
        if session.ends_at <= now {
            return Err(SessionError::Ended { ends_at: session.ends_at, now });
        }
        if session.seen_at.saturating_add(self.desk.settings.session_idle) <= now {
            return Err(SessionError::Idle { seen_at: session.seen_at, now });
        }
        Ok(())
    }

    async fn touch(&self, session: Session, now: UtcDateTime) -> Result<Session, StorageError> {
        if now < session.seen_at.saturating_add(TOUCH) {
            return Ok(session);
        }
        let seen = Session { seen_at: now, ..session.clone() };
        let stored = self.sessions.replace(&session, &seen, None).await?;
        Ok(if stored { seen } else { session })
    }
}

pub(crate) fn sha256(parts: &[&[u8]]) -> Fingerprint {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut octets = [0; 32];
    octets.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    Fingerprint::new(octets)
}

impl AuditNote {
    /// A note with details.
    pub(crate) fn with(mut self, key: &'static str, value: &dyn ToString) -> Self {
        self.details.insert(key, value.to_string());
        self
    }
}
