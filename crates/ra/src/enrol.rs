//! Enrolment without a valid certificate: ID, password, one-time code.

use koshin_notify::{Code, Notice, WhyClosed};
use koshin_renewal::{Refused, Status};
use koshin_types::{Fingerprint, RenewalId, Rfc3339, SubjectId};
use time::UtcDateTime;

use crate::{
    Actor, Beginning, Begun, ChangeError, NoEntropy, Owed, PasswordError, Proof, Ra, SentCode, Session, SessionError,
    SessionKind, SessionToken, SignInError, StorageError, SubjectFile, Trace,
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
    #[error("the code was valid until {}; it is {}", Rfc3339(*until), Rfc3339(*now))]
    CodeExpired {
        /// When it became void.
        until: UtcDateTime,
        /// The instant of the try.
        now: UtcDateTime,
    },
    /// Too many passwords or codes for this ID.
    #[error("too many tries; possible again at {}", Rfc3339(*retry_at))]
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

/// How often a beginning is made anew because the subject's password or address changed under it.
const BEGINNINGS: usize = 3;

impl Ra {
    /// Begins an enrolment with ID and password. The answer is the same whether they are right or not, and takes the same
    /// work; a mail goes out only when they are: with a code when enrolment is open for the ID, else with the reason why
    /// it is not.
    ///
    /// # Errors
    ///
    /// [`EnrolError::TooMany`] after too many beginnings and codes for this ID on this host, which never slows the ID's
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
        let typed_id = sha256(&[id.as_bytes()]);
        self.not_too_many(&tries_key(&typed_id), now).await?;
        for _ in 0..BEGINNINGS {
            let file = match &parsed {
                Some(id) => self.desk.registry.subject(id).await?,
                None => None,
            };
            let hash = file.as_ref().and_then(|file| file.subject.password_hash.as_deref());
            let right = self.desk.passwords.for_enrolment().verify(password, hash).await?;
            let (beginning, token) = self.beginning(file.as_deref(), right, typed_id, now)?;
            match self.sessions.begin(beginning).await? {
                Begun::Opened => return Ok(token),
                Begun::TooSoon { retry_at } => return Err(EnrolError::TooMany { retry_at }),
                Begun::Changed => {}
            }
        }
        Err(ChangeError::Contended.into())
    }

    fn beginning(
        &self,
        file: Option<&SubjectFile>,
        right: bool,
        typed_id: Fingerprint,
        now: UtcDateTime,
    ) -> Result<(Beginning, SessionToken), NoEntropy> {
        let token = SessionToken::new(self.desk.random()?);
        let digits = self.one_time_code()?;
        let until = now.saturating_add(self.desk.settings.code_lifetime);
        let closed = file.and_then(|file| self.enrolment_closed(file, now));
        let (word, reason, notice) = match (right, closed) {
            (false, _) => ("enrolment_refused", None, None),
            (true, Some(why)) => ("enrolment_closed", Some(why.word()), Some(Notice::EnrolmentClosed { why })),
            (true, None) => {
                let code = Code::new(&digits).map_err(|_| NoEntropy)?;
                ("enrolment_code_sent", None, Some(Notice::EnrolmentCode { code, expires: until }))
            }
        };
        let mail = file
            .zip(notice)
            .and_then(|(file, notice)| mail_to(&file.subject, &file.subject, notice, &token.key().to_string()));
        let (word, reason) = match (right, &mail) {
            (true, None) => ("enrolment_closed", Some("no_address")),
            _ => (word, reason),
        };
        let coded = mail.as_ref().is_some_and(|mail| matches!(mail.kind, Notice::EnrolmentCode { .. }));
        let subject = file.map(|file| file.subject.clone());
        let mut left = note(Actor::System, subject.as_ref().map(|subject| &subject.id), word, []);
        left.details.extend(reason.map(|reason| ("reason", reason.to_owned())));
        let sent = SentCode { code: code_hash(&token, &digits), tries: 0, until, typed_id };
        let whose = subject.as_ref().filter(|_| coded).map(|subject| subject.id.clone());
        let kind = SessionKind::Enrolment { subject: whose, proof: Proof::CodeSent(sent) };
        let session = Session { key: token.key(), kind, opened_at: now, seen_at: now, ends_at: until };
        let trace = if subject.is_some() { Trace::Recorded(left) } else { Trace::Counted(left) };
        let patience = self.desk.settings.patience();
        Ok((Beginning { session, tries: tries_key(&typed_id), patience, subject, trace, mail }, token))
    }

    /// Takes the one-time code and opens the enrolment, or takes up the one that is open.
    ///
    /// # Errors
    ///
    /// [`EnrolError`]. A code works in the browser that asked for it, a limited time and number of tries, for one
    /// enrolment. [`EnrolError::TooMany`] never for the first code of a session: what strangers do in the name of an ID
    /// does not keep out who holds the code.
    pub async fn prove_enrolment(
        &self,
        token: &SessionToken,
        code: &str,
        now: UtcDateTime,
    ) -> Result<(SessionToken, RenewalId, Owed), EnrolError> {
        let (session, sent) = self.counted_try(token, now).await?;
        let typed: String = code.chars().filter(char::is_ascii_digit).collect();
        let right = code_hash(token, &typed) == sent.code;
        let (SessionKind::Enrolment { subject: Some(subject), proof }, true) = (&session.kind, right) else {
            let left = note(Actor::System, session.kind.subject(), "enrolment_code_wrong", []);
            let known = session.kind.subject().is_some();
            let trace = if known { Trace::Recorded(left) } else { Trace::Counted(left) };
            self.sessions.note_try(&tries_key(&sent.typed_id), Some((now, trace))).await?;
            return Err(EnrolError::WrongCode { left: self.desk.settings.code_tries.saturating_sub(sent.tries) });
        };
        match *proof {
            Proof::CodeUsed { renewal, .. } => self.enter_enrolment(subject, renewal, now).await,
            _ => self.open_enrolment(&session, sent, subject, now).await,
        }
    }

    /// Counts the try before anything is compared, so that however many come at once, no more are compared than allowed.
    async fn counted_try(&self, token: &SessionToken, now: UtcDateTime) -> Result<(Session, SentCode), EnrolError> {
        // Whoever loses the race for a try finds one more counted: the loop ends.
        loop {
            let session = self.sessions.find(&token.key()).await?.ok_or(SessionError::None)?;
            let SessionKind::Enrolment { subject, proof } = &session.kind else {
                return Err(SessionError::None.into());
            };
            let (Proof::CodeSent(sent) | Proof::CodeUsed { sent, .. }) = *proof else {
                return Err(SessionError::None.into());
            };
            if sent.until <= now {
                return Err(EnrolError::CodeExpired { until: sent.until, now });
            }
            if sent.tries >= self.desk.settings.code_tries {
                return Err(EnrolError::WrongCode { left: 0 });
            }
            if sent.tries > 0 {
                self.not_too_many(&tries_key(&sent.typed_id), now).await?;
            }
            let sent = SentCode { tries: sent.tries.saturating_add(1), ..sent };
            let proof = match *proof {
                Proof::CodeUsed { renewal, .. } => Proof::CodeUsed { sent, renewal },
                _ => Proof::CodeSent(sent),
            };
            let kind = SessionKind::Enrolment { subject: subject.clone(), proof };
            let counted = Session { kind, ..session.clone() };
            if self.sessions.replace(&session, &counted, None).await? {
                return Ok((counted, sent));
            }
        }
    }

    /// The code was right: opens the enrolment, in a session of its own.
    async fn open_enrolment(
        &self,
        session: &Session,
        sent: SentCode,
        subject: &SubjectId,
        now: UtcDateTime,
    ) -> Result<(SessionToken, RenewalId, Owed), EnrolError> {
        let actor = Actor::Holder(subject.clone());
        let new_id = self.desk.new_renewal_id()?;
        let decide = |file: &SubjectFile| -> Result<Decided, ChangeError> {
            // Asked again: the address may have been changed since the code was sent.
            match self.enrolment_closed(file, now) {
                Some(_) => Err(Refused::EnrolmentClosed.into()),
                None => Ok(file.holding.enrol(new_id, &self.policy, now)?.into()),
            }
        };
        let Changed { file, owed, .. } = self.desk.change(subject, &actor, now, decide).await?;
        let renewal = file.holding.open_renewal().map(|open| open.id).ok_or(ChangeError::Contended)?;
        let kind = SessionKind::Enrolment { subject: Some(subject.clone()), proof: Proof::CodeUsed { sent, renewal } };
        let used = note(actor, Some(subject), "enrolment_code_used", []);
        // Lost against another submission of the same form, or against the end of the session: `enter_enrolment` finds out.
        if !self.sessions.replace(session, &Session { kind, ..session.clone() }, Some((now, used))).await?
            && self.sessions.find(&session.key).await?.is_none()
        {
            return Err(SessionError::None.into());
        }
        self.sessions.note_try(&tries_key(&sent.typed_id), None).await?;
        let (token, renewal, _) = self.enter_enrolment(subject, renewal, now).await?;
        Ok((token, renewal, owed))
    }

    /// A session for the enrolment that the code has opened.
    pub(crate) async fn enter_enrolment(
        &self,
        subject: &SubjectId,
        renewal: RenewalId,
        now: UtcDateTime,
    ) -> Result<(SessionToken, RenewalId, Owed), EnrolError> {
        let file = self.desk.registry.subject(subject).await?.ok_or(SessionError::None)?;
        if file.holding.renewal.as_ref().is_none_or(|current| current.id != renewal) {
            return Err(SessionError::None.into());
        }
        let kind = SessionKind::Enrolment { subject: Some(subject.clone()), proof: Proof::Proven { renewal } };
        let opened = note(Actor::Holder(subject.clone()), Some(subject), "enrolment_proven", []);
        let ends_at = now.saturating_add(self.desk.settings.session_total);
        let (token, _) = self.open(kind, ends_at, &file.subject, opened, now).await?.ok_or(SessionError::None)?;
        Ok((token, renewal, Owed::default()))
    }

    /// Why the subject cannot enrol now; `None` when it can.
    pub fn enrolment_closed(&self, file: &SubjectFile, now: UtcDateTime) -> Option<WhyClosed> {
        let outlook = file.holding.outlook(&self.policy, now);
        if outlook.enrolment {
            let rests = file.subject.address_rests_until.filter(|until| now < *until);
            return rests.map(|until| WhyClosed::AddressRests { until });
        }
        let lapsed = file.holding.grant.filter(|grant| grant.until <= now);
        Some(match (outlook.current.map(|held| (held.status, held.validity)), lapsed) {
            (Some((Status::Active { .. }, validity)), _) if now < validity.end() => {
                WhyClosed::StillValid { not_after: validity.not_after() }
            }
            (_, Some(grant)) => WhyClosed::PermissionLapsed { until: grant.until },
            (Some((Status::Active { .. }, validity)), None) => WhyClosed::TooLate { not_after: validity.not_after() },
            (Some((Status::Revoked { .. }, _)), None) => WhyClosed::Revoked,
            _ => WhyClosed::NotPermitted,
        })
    }

    /// Eight digits without bias: 2^64 is so much larger than 10^8 that the remainder's bias is below 10^-11.
    fn one_time_code(&self) -> Result<String, NoEntropy> {
        let number = u64::from_be_bytes(self.desk.random()?) % 10_u64.pow(8);
        Ok(format!("{number:0CODE_DIGITS$}"))
    }
}

/// Under which key the tries for an ID are counted on the public host, whether there is one or not.
fn tries_key(typed_id: &Fingerprint) -> String {
    format!("enrolment {typed_id}")
}

fn code_hash(token: &SessionToken, digits: &str) -> Fingerprint {
    sha256(&[token.reveal().as_bytes(), b" ", digits.as_bytes()])
}
