//! Enrolment without a valid certificate: ID, password, one-time code.

use koshin_notify::{Code, Notice};
use koshin_types::{RenewalId, SubjectId};
use time::UtcDateTime;

use crate::{
    Actor, ChangeError, NoEntropy, Owed, PasswordError, Proof, Ra, Session, SessionError, SessionKind, SessionToken,
    SignInError, StorageError, SubjectFile,
    change::{Changed, Decided, mail_to},
    session::sha256,
    sign_in::note,
};

/// Why an enrolment did not come further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolError {
    /// There is no such enrolment in this browser, or it ended.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The code is wrong.
    #[error("the code is wrong; {left} tries are left")]
    WrongCode {
        /// How many tries are left; none means that the enrolment has to begin anew.
        left: u8,
    },
    /// The code is void.
    #[error("the code was valid until {until}; it is {now}")]
    CodeExpired {
        /// When it became void.
        until: UtcDateTime,
        /// The instant of the try.
        now: UtcDateTime,
    },
    /// Too many wrong passwords or codes for this ID.
    #[error("too many tries; possible again at {retry_at}")]
    TooMany {
        /// When the next try is possible.
        retry_at: UtcDateTime,
    },
    /// Password and code are right, but enrolment is not open.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The password could not be checked.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The random source failed.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
}

impl From<SignInError> for EnrolError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::TooMany { retry_at } => Self::TooMany { retry_at },
            SignInError::Password(error) => Self::Password(error),
            SignInError::Storage(error) => Self::Storage(error),
            SignInError::Entropy(error) => Self::Entropy(error),
            SignInError::Change(error) => Self::Change(error),
            SignInError::NoCertificate | SignInError::Certificate(_) | SignInError::Wrong => {
                Self::Session(SessionError::None)
            }
        }
    }
}

/// The length of a one-time code in digits.
const CODE_DIGITS: usize = 8;

impl Ra {
    /// Begins an enrolment with ID and password. The answer is the same whether they are right or not; a code is sent
    /// only when they are, and enrolment is open for the ID.
    ///
    /// # Errors
    ///
    /// [`EnrolError::TooMany`] after too many wrong passwords for this ID on this host, which never slows the ID's
    /// sign-in with its certificate; [`EnrolError::Password`] when too many are waiting; [`ChangeError::Clock`] while no
    /// mail goes out.
    pub async fn begin_enrolment(
        &self,
        id: &str,
        password: &str,
        now: UtcDateTime,
    ) -> Result<SessionToken, EnrolError> {
        self.desk.clock_is_trusted().map_err(ChangeError::from)?;
        let parsed: Option<SubjectId> = id.parse().ok();
        let tries_key = format!("enrolment {}", sha256(&[id.as_bytes()]));
        self.not_too_many(&tries_key, now).await?;
        let file = match &parsed {
            Some(id) => self.desk.registry.subject(id).await?,
            None => None,
        };
        let hash = file.as_ref().and_then(|file| file.subject.password_hash.as_deref());
        let right = self.desk.passwords.verify(password, hash).await?;
        let token = SessionToken::new(self.desk.random()?);
        let digits = self.one_time_code()?;
        let until = now.saturating_add(self.desk.settings.code_lifetime);
        let code = code_hash(&token, &digits);
        let proof = Proof::CodeSent { code, tries: 0, until };
        let ends_at = now.saturating_add(self.desk.settings.session_total);
        let entitled = file.filter(|file| right && self.may_enrol(file, now));
        if !right {
            let note = note(Actor::System, parsed.as_ref(), "enrolment_refused", []);
            self.sessions.note_try(&tries_key, Some((now, note))).await?;
        }
        let subject = entitled.as_ref().map(|file| file.subject.id.clone());
        let word = if subject.is_some() { "enrolment_code_sent" } else { "enrolment_begun" };
        let opened = note(Actor::System, subject.as_ref(), word, []);
        let kind = SessionKind::Enrolment { subject, proof };
        let session = Session { key: token.key(), kind, opened_at: now, seen_at: now, ends_at };
        self.sessions.open(session, opened).await?;
        if let Some(file) = entitled {
            self.send_code(&file, &token, &digits, until, now).await?;
        }
        Ok(token)
    }

    /// Takes the one-time code and opens the enrolment, or takes up the one that is open.
    ///
    /// # Errors
    ///
    /// [`EnrolError`]. A code works once, in the browser that asked for it, a limited time and number of tries.
    pub async fn prove_enrolment(
        &self,
        token: &SessionToken,
        code: &str,
        now: UtcDateTime,
    ) -> Result<(SessionToken, RenewalId, Owed), EnrolError> {
        let session = self.sessions.find(&token.key()).await?.ok_or(SessionError::None)?;
        self.within_time(&session, now)?;
        let SessionKind::Enrolment { subject, proof } = &session.kind else { return Err(SessionError::None.into()) };
        let Proof::CodeSent { code: expected, tries, until } = *proof else { return Err(SessionError::None.into()) };
        let left = self.desk.settings.code_tries.saturating_sub(tries);
        if left == 0 {
            return Err(EnrolError::WrongCode { left });
        }
        if until <= now {
            return Err(EnrolError::CodeExpired { until, now });
        }
        let typed: String = code.chars().filter(char::is_ascii_digit).collect();
        let right = code_hash(token, &typed) == expected;
        let (Some(subject), true) = (subject, right) else {
            let proof = Proof::CodeSent { code: expected, tries: tries.saturating_add(1), until };
            let kind = SessionKind::Enrolment { subject: subject.clone(), proof };
            let note = note(Actor::System, subject.as_ref(), "enrolment_code_wrong", []);
            // When the row changed meanwhile another tab used up the try; this one still was wrong.
            self.sessions.replace(&session, &Session { kind, ..session.clone() }, Some((now, note))).await?;
            return Err(EnrolError::WrongCode { left: left - 1 });
        };
        self.open_enrolment(&session, subject, now).await
    }

    /// The code was right: opens the enrolment and exchanges the session for a new one.
    async fn open_enrolment(
        &self,
        session: &Session,
        subject: &SubjectId,
        now: UtcDateTime,
    ) -> Result<(SessionToken, RenewalId, Owed), EnrolError> {
        let actor = Actor::Holder(subject.clone());
        let new_id = self.desk.new_renewal_id()?;
        let decide = |file: &SubjectFile| -> Result<Decided, ChangeError> {
            Ok(file.holding.enrol(new_id, &self.policy, now)?.into())
        };
        let Changed { file, owed, .. } = self.desk.change(subject, &actor, now, decide).await?;
        let renewal = file.holding.open_renewal().map(|open| open.id).ok_or(ChangeError::Contended)?;
        let kind = SessionKind::Enrolment { subject: Some(subject.clone()), proof: Proof::Proven { renewal } };
        let opened = note(actor.clone(), Some(subject), "enrolment_proven", []);
        let (token, _) = self.open(kind, session.ends_at, opened, now).await?;
        self.sessions.close(&session.key, note(actor, Some(subject), "enrolment_code_used", []), now).await?;
        let tries_key = format!("enrolment {}", sha256(&[subject.as_str().as_bytes()]));
        self.sessions.note_try(&tries_key, None).await?;
        Ok((token, renewal, owed))
    }

    fn may_enrol(&self, file: &SubjectFile, now: UtcDateTime) -> bool {
        let rests = file.subject.address_rests_until.is_some_and(|until| now < until);
        !rests && file.holding.outlook(&self.policy, now).enrolment
    }

    async fn send_code(
        &self,
        file: &SubjectFile,
        token: &SessionToken,
        digits: &str,
        until: UtcDateTime,
        now: UtcDateTime,
    ) -> Result<(), EnrolError> {
        let code = Code::new(digits).map_err(|_| NoEntropy)?;
        let notice = Notice::EnrolmentCode { code, expires: until };
        let Some(mail) = mail_to(&file.subject, &file.subject, notice, &token.key().to_string()) else {
            return Ok(());
        };
        let decide = |file: &SubjectFile| -> Result<Decided, ChangeError> {
            Ok(Decided { mails: vec![mail.clone()], ..file.holding.unchanged().into() })
        };
        let owed = self.desk.change(&file.subject.id, &Actor::System, now, decide).await?.owed;
        debug_assert!(owed.mail);
        Ok(())
    }

    /// Eight digits without bias: 2^64 is so much larger than 10^8 that the remainder's bias is below 10^-11.
    fn one_time_code(&self) -> Result<String, NoEntropy> {
        let number = u64::from_be_bytes(self.desk.random()?) % 10_u64.pow(8);
        Ok(format!("{number:0CODE_DIGITS$}"))
    }
}

fn code_hash(token: &SessionToken, digits: &str) -> koshin_types::Fingerprint {
    sha256(&[token.reveal().as_bytes(), b" ", digits.as_bytes()])
}
