//! Renewal by a program: a ticket, made in a session with password, beside the certificate; and what certificates for keys
//! in programs' files may not do.

use koshin_notify::{Audience, Mail, Notice, Way};
use koshin_renewal::{Admission, Basis, Key};
use koshin_types::{Fingerprint, ProtectionLevel, RenewalId, Rfc3339, SerialNumber, Validity};
use time::UtcDateTime;

use crate::{
    Access, Actor, Bundle, ChangeError, IssuanceError, NoEntropy, Owed, Ra, Session, SessionError, SessionKey,
    SessionKind, SessionToken, SignInError, StorageError, SubjectFile, change::mail_to, session::sha256, sign_in::note,
};

/// Marks are kept for ever: a certificate may be activated long after its key was seen.
pub(crate) const FOR_EVER: UtcDateTime = UtcDateTime::MAX;

/// A renewal ticket: 256 random bits that let a program renew one certificate once.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// For the program. Storage only knows its hash.
    pub token: SessionToken,
    /// The renewal it is good for.
    pub renewal: RenewalId,
    /// The first instant at which it is void.
    pub until: UtcDateTime,
}

/// Why a program may not renew.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// No client certificate was presented.
    #[error("no client certificate was presented")]
    NoCertificate,
    /// The certificate may not log in, so it cannot be renewed.
    #[error("the certificate may not be renewed")]
    Certificate(Admission),
    /// No ticket was shown.
    #[error("a renewal ticket is needed")]
    Needed,
    /// The ticket is not this subject's, not for this certificate, not for its open renewal, or over. Which of them,
    /// nobody is told.
    #[error("the renewal ticket does not hold")]
    Wrong,
    /// Too many wrong tickets with this certificate.
    #[error("too many wrong tickets; possible again at {}", Rfc3339(*retry_at))]
    TooMany {
        /// When the next try is possible.
        retry_at: UtcDateTime,
    },
    /// Tickets are made in sessions of the portal only.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The rules refuse the renewal.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The random source failed.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
}

impl From<SignInError> for TicketError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::TooMany { retry_at } => Self::TooMany { retry_at },
            SignInError::Storage(error) => Self::Storage(error),
            SignInError::Entropy(error) => Self::Entropy(error),
            SignInError::Change(error) => Self::Change(error),
            SignInError::Certificate(admission) => Self::Certificate(admission),
            SignInError::NoCertificate => Self::NoCertificate,
            SignInError::Wrong | SignInError::Password(_) => Self::Wrong,
        }
    }
}

impl Ra {
    /// Starts a renewal, or takes up the one that is open, and makes a ticket for it. The ticket holds as long as a session
    /// may be idle, and no longer than the session that it is made in.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Refused`] as for [`start_renewal`](Self::start_renewal); [`SessionError::None`] with a session of an
    /// enrolment.
    pub async fn renewal_ticket(&self, access: &Access, now: UtcDateTime) -> Result<Ticket, TicketError> {
        let SessionKind::Portal { subject, certificate, .. } = &access.session.kind else {
            return Err(SessionError::None.into());
        };
        let renewal = self.start_renewal(access, now).await?;
        let until = now.saturating_add(self.desk.settings.session_idle).min(access.session.ends_at);
        let kind = SessionKind::Ticket {
            subject: subject.clone(),
            certificate: *certificate,
            renewal,
            session: access.session.key,
        };
        let made = note(access.actor(), Some(subject), "ticket_made", []).with("renewal", &renewal);
        // The password may have been changed meanwhile.
        let opened = self.open(kind, until, &access.file.subject, made, now).await?;
        let (token, _) = opened.ok_or(ChangeError::Contended)?;
        Ok(Ticket { token, renewal, until })
    }

    /// Checks what a program shows: the certificate of the handshake, and ID and ticket.
    ///
    /// # Errors
    ///
    /// [`TicketError`]. The certificate comes first, then the window ([`ChangeError::Refused`] says when it opens), then the
    /// ticket.
    pub async fn ticket_access(
        &self,
        certificate: Option<&Fingerprint>,
        shown: Option<(&str, &str)>,
        now: UtcDateTime,
    ) -> Result<(Access, RenewalId), TicketError> {
        let certificate = certificate.ok_or(TicketError::NoCertificate)?;
        let unknown = || TicketError::Certificate(Admission::Unknown);
        let file = self.desk.registry.holder(certificate).await?.ok_or_else(unknown)?;
        match file.holding.admission(certificate, now) {
            Admission::Login => {}
            other => return Err(TicketError::Certificate(other)),
        }
        let open = file.holding.open_renewal().filter(|open| matches!(open.basis, Basis::Renewal { .. }));
        if open.is_none() {
            // Only asked whether it could start: nothing comes of this identifier.
            file.holding.start(RenewalId::new([0; 16]), &self.policy, now).map_err(ChangeError::from)?;
        }
        let (id, ticket) = shown.ok_or(TicketError::Needed)?;
        // Counted by certificate: nobody without it can slow its holder down.
        let tries_key = format!("ticket {certificate}");
        self.not_too_many(&tries_key, now).await?;
        let open = open.map(|open| open.id);
        let session = match SessionToken::parse(ticket).filter(|_| id == file.subject.id.as_str()) {
            Some(token) => self.ticket_holds(&token, &file, certificate, open, now).await?,
            None => None,
        };
        let (Some(session), Some(renewal)) = (session, open) else {
            let left = note(Actor::Holder(file.subject.id.clone()), Some(&file.subject.id), "ticket_refused", []);
            self.sessions.note_try(&tries_key, Some((now, left.into()))).await?;
            return Err(TicketError::Wrong);
        };
        if self.sessions.tries(&tries_key).await?.failures > 0 {
            self.sessions.note_try(&tries_key, None).await?;
        }
        Ok((Access { session, file }, renewal))
    }

    /// The ticket, if it is one for this certificate and this renewal and the session that it was made in goes on.
    async fn ticket_holds(
        &self,
        token: &SessionToken,
        file: &SubjectFile,
        certificate: &Fingerprint,
        open: Option<RenewalId>,
        now: UtcDateTime,
    ) -> Result<Option<Session>, StorageError> {
        let Some(found) = self.sessions.find(&token.key()).await?.filter(|found| now < found.ends_at) else {
            return Ok(None);
        };
        let SessionKind::Ticket { subject, certificate: bound, renewal, session } = &found.kind else {
            return Ok(None);
        };
        if *subject != file.subject.id || bound != certificate || Some(*renewal) != open {
            return Ok(None);
        }
        let made_in = self.sessions.find(session).await?.filter(|session| now < session.ends_at);
        Ok(made_in.map(|_| found))
    }

    /// The same as [`request_certificate`](Self::request_certificate) for a program, which keeps its key in a file
    /// ([`ProtectionLevel::File`]). The key is marked before anything is issued for it: the holder gets a mail when its
    /// certificate is issued, and the certificate is activated by a sign-in with password, never by a handshake alone.
    ///
    /// # Errors
    ///
    /// [`IssuanceError`].
    pub async fn request_by_program(
        &self,
        access: &Access,
        id: RenewalId,
        request: &[u8],
        now: UtcDateTime,
    ) -> Result<(Bundle, Owed), IssuanceError> {
        self.takes_files(&access.file)?;
        self.takes_requests(&access.file, id, now).await?;
        let request = self.through_the_gate(request).await?;
        let key = Key { spki: request.spki_fingerprint(), protection: ProtectionLevel::File };
        // A mark stays for ever: there is none for another key than the one that the renewal is bound to.
        self.takes_key(&access.file, id, Some(key), now).await?;
        self.mark_program_key(access, id, &key.spki, now).await?;
        self.request_gated(access, id, request, ProtectionLevel::File, now).await
    }

    async fn mark_program_key(
        &self,
        access: &Access,
        renewal: RenewalId,
        spki: &Fingerprint,
        now: UtcDateTime,
    ) -> Result<(), ChangeError> {
        if self.is_program_key(spki).await? {
            return Ok(());
        }
        let kind = SessionKind::ProgramKey { renewal };
        let mark = Session { key: program_key(spki), kind, opened_at: now, seen_at: now, ends_at: FOR_EVER };
        let asked = note(access.actor(), Some(access.id()), "requested_by_program", []).with("renewal", &renewal);
        match self.sessions.open(mark, &access.file.subject, asked).await {
            Ok(true) => Ok(()),
            // The password was changed meanwhile.
            Ok(false) => Err(ChangeError::Contended),
            // The same request came twice at once, and the other one was faster.
            Err(_) if self.is_program_key(spki).await? => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a key was requested by a program, so that its certificate is activated by a sign-in only.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn is_program_key(&self, spki: &Fingerprint) -> Result<bool, StorageError> {
        Ok(self.sessions.find(&program_key(spki)).await?.is_some())
    }

    /// The mail to the holder when a certificate is issued to a program. An enrolment is told anyway, a renewal in the
    /// browser by its activation.
    pub(crate) async fn issued_to_program(
        &self,
        file: &SubjectFile,
        spki: &Fingerprint,
        serial: SerialNumber,
        validity: Validity,
    ) -> Result<Vec<Mail>, StorageError> {
        let renewal = file.holding.renewal.as_ref();
        let is_renewal = renewal.is_some_and(|renewal| matches!(renewal.basis, Basis::Renewal { .. }));
        if !is_renewal || !self.is_program_key(spki).await? {
            return Ok(Vec::new());
        }
        let notice = Notice::CertificateIssued { serial, validity, audience: Audience::Holder, way: Way::Renewal };
        Ok(mail_to(&file.subject, &file.subject, notice, &serial.to_string()).into_iter().collect())
    }
}

/// Where the mark of a key is kept. No token has this hash: tokens are 64 octets of hexadecimal digits.
fn program_key(spki: &Fingerprint) -> SessionKey {
    sha256(&[b"program key ", spki.as_bytes()])
}
