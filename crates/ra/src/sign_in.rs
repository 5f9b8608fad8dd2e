//! Sign-in: certificate and password.

use std::sync::Arc;

use koshin_renewal::Admission;
use koshin_types::{Fingerprint, Rfc3339, SubjectId};
use time::UtcDateTime;

use crate::{
    Access, Actor, AuditNote, ChangeError, NoEntropy, Owed, PasswordError, Ra, Session, SessionKind, SessionToken,
    StorageError, Subject, SubjectFile, Tries, authority::millis,
};

/// A sign-in that succeeded.
#[derive(Debug)]
pub struct SignedIn {
    /// For the cookie.
    pub token: SessionToken,
    /// The session and the file.
    pub access: Access,
    /// Whether the notice stands between login and main screen.
    pub notice: bool,
    /// Whether mails to the registered address did not arrive ([`Ra::undelivered`]).
    pub undelivered: bool,
    /// What is owed when the sign-in activated the certificate.
    pub owed: Owed,
}

/// Why a sign-in failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// No client certificate was presented.
    #[error("no client certificate was presented")]
    NoCertificate,
    /// The certificate may not log in.
    #[error("the certificate may not log in")]
    Certificate(Admission),
    /// ID or password are wrong; which of them, nobody is told.
    #[error("ID or password are wrong")]
    Wrong,
    /// Too many wrong passwords.
    #[error("too many wrong passwords; possible again at {}", Rfc3339(*retry_at))]
    TooMany {
        /// When the next try is possible.
        retry_at: UtcDateTime,
    },
    /// The password could not be checked.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The activation that came with the sign-in failed.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The random source failed.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
}

impl Ra {
    /// Signs in with the certificate of the TLS handshake, an ID and a password. A pending certificate is activated by
    /// its first sign-in.
    ///
    /// # Errors
    ///
    /// [`SignInError`]. Another holder's ID, an unknown ID and a wrong password get the same answer in the same time.
    pub async fn sign_in(
        &self,
        certificate: Option<&Fingerprint>,
        id: &str,
        password: &str,
        now: UtcDateTime,
    ) -> Result<SignedIn, SignInError> {
        let certificate = certificate.ok_or(SignInError::NoCertificate)?;
        let file = self.desk.registry.holder(certificate).await?;
        let file = file.ok_or(SignInError::Certificate(Admission::Unknown))?;
        let admission = file.holding.admission(certificate, now);
        if !matches!(admission, Admission::Login | Admission::ActivationOnly) {
            return Err(SignInError::Certificate(admission));
        }
        // Counted by certificate: nobody without it can slow its holder down.
        let tries_key = format!("sign-in {certificate}");
        let before = self.not_too_many(&tries_key, now).await?;
        let right = self.desk.passwords.verify(password, file.subject.password_hash.as_deref()).await?;
        if !right || id != file.subject.id.as_str() {
            let note = note(Actor::Holder(file.subject.id.clone()), Some(&file.subject.id), "sign_in_refused", []);
            let counted = self.sessions.note_try(&tries_key, Some((now, note.into()))).await?;
            return Err(self.wrong(before, counted, now));
        }
        // Others may have used up the free tries since: of those that come at once, no more are answered than one by one.
        let failed = self.not_too_many(&tries_key, now).await?.failures > 0;
        let (file, owed) = match admission {
            Admission::ActivationOnly => self.activated_file(certificate, now).await?,
            _ => (file, Owed::default()),
        };
        let held = file.holding.certificate(certificate).ok_or(SignInError::Certificate(Admission::Unknown))?;
        let ends_at = now.saturating_add(self.desk.settings.session_total).min(held.validity.end());
        let (subject, previous_sign_in) = (file.subject.id.clone(), file.subject.last_sign_in);
        let kind = SessionKind::Portal { subject, certificate: *certificate, previous_sign_in };
        let opened = note(Actor::Holder(file.subject.id.clone()), Some(&file.subject.id), "signed_in", []);
        let opened = opened.with("serial", &held.serial);
        // The password may have been changed while it was checked.
        let session = self.open(kind, ends_at, &file.subject, opened, now).await?;
        let (token, session) = session.ok_or(ChangeError::Contended)?;
        if failed {
            self.sessions.note_try(&tries_key, None).await?;
        }
        let notice = file.holding.outlook(&self.policy, now).decision.is_some_and(|decision| decision.notice);
        // Who cannot be told that mails do not arrive signs in all the same.
        let undelivered = self.undelivered(&file).await.unwrap_or_else(|error| {
            tracing::warn!(error = ?error, "the tasks of a holder cannot be read");
            None
        });
        Ok(SignedIn { token, access: Access { session, file }, notice, undelivered: undelivered.is_some(), owed })
    }

    async fn activated_file(
        &self,
        certificate: &Fingerprint,
        now: UtcDateTime,
    ) -> Result<(Arc<SubjectFile>, Owed), SignInError> {
        let (_, owed) = self.activate_proven(certificate, now).await?;
        let file = self.desk.registry.holder(certificate).await?;
        Ok((file.ok_or(SignInError::Certificate(Admission::Unknown))?, owed))
    }

    /// Opens a session; `None` when the subject's password or address is another one by now.
    pub(crate) async fn open(
        &self,
        kind: SessionKind,
        ends_at: UtcDateTime,
        subject: &Subject,
        note: AuditNote,
        now: UtcDateTime,
    ) -> Result<Option<(SessionToken, Session)>, SignInError> {
        let token = SessionToken::new(self.desk.random()?);
        let session = Session { key: token.key(), kind, opened_at: now, seen_at: now, ends_at };
        let opened = self.sessions.open(session.clone(), subject, note).await?;
        Ok(opened.then_some((token, session)))
    }

    /// Refuses a try that comes too soon after too many failures. Answers with those there were.
    pub(crate) async fn not_too_many(&self, key: &str, now: UtcDateTime) -> Result<Tries, SignInError> {
        let tries = self.sessions.tries(key).await?;
        match self.desk.settings.patience().blocked_until(tries) {
            Some(retry_at) if now < retry_at => Err(SignInError::TooMany { retry_at }),
            _ => Ok(tries),
        }
    }

    /// The answer to a wrong password that has been counted. If others were counted while it was compared, it is judged as
    /// if it had come after them, and nothing is said about the password when it had come too soon.
    fn wrong(&self, before: Tries, counted: Tries, now: UtcDateTime) -> SignInError {
        let others = Tries { failures: counted.failures.saturating_sub(1), last_at: millis(now) };
        match self.desk.settings.patience().blocked_until(others) {
            Some(retry_at) if others.failures > before.failures && now < retry_at => SignInError::TooMany { retry_at },
            _ => SignInError::Wrong,
        }
    }
}

/// An audit note.
pub(crate) fn note<const N: usize>(
    actor: Actor,
    subject: Option<&SubjectId>,
    word: &'static str,
    details: [(&'static str, String); N],
) -> AuditNote {
    AuditNote { actor, subject: subject.cloned(), word, details: details.into_iter().collect() }
}
