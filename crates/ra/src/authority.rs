//! The registration authority itself, and what all its use cases share.

use std::{fmt, sync::Arc};

use koshin_expiry::Policy;
use koshin_issuance::Ca;
use koshin_notify::{Audience, Mail, Notice, Way};
use koshin_renewal::{Basis, Change, Deadlines, Effect, Fact, Refused, State, Why};
use koshin_types::{Fingerprint, RenewalId, Role, SerialNumber, SubjectId};
use time::{Duration, UtcDateTime};

use crate::{
    Actor, Certified, Commit, CommitError, Directory, Intent, Passwords, Registry, Sessions, StorageError, Subject,
    SubjectFile,
};

/// Fills a buffer from the operating system's random source. Only binaries name that source.
pub type Entropy = fn(&mut [u8]) -> Result<(), NoEntropy>;

/// The random source did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the random source of the operating system does not answer")]
pub struct NoEntropy;

/// The numbers of the use cases that are no part of the expiry policy. Defaults as in [`Settings::default`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// A session ends after this time without a request: 15 minutes.
    pub session_idle: Duration,
    /// A session ends after this time in any case: 12 hours.
    pub session_total: Duration,
    /// How long a one-time code is valid: 10 minutes.
    pub code_lifetime: Duration,
    /// Wrong codes until the enrolment has to begin anew: 5.
    pub code_tries: u8,
    /// How long an issue permission opens enrolment: 80 days.
    pub permission: Duration,
    /// For how long a changed mail address opens no enrolment: 24 hours.
    pub address_rest: Duration,
    /// Wrong passwords that are free of delay: 5. Each further one doubles the wait.
    pub free_tries: u32,
    /// The first wait: 30 seconds.
    pub first_delay: Duration,
    /// The longest wait: 15 minutes.
    pub longest_delay: Duration,
    /// The times of a renewal.
    pub deadlines: Deadlines,
}

impl Default for Settings {
    /// ```
    /// let settings = koshin_ra::Settings::default();
    /// assert_eq!(settings.session_idle.whole_minutes(), 15);
    /// assert_eq!(settings.session_total.whole_hours(), 12);
    /// assert_eq!((settings.code_lifetime.whole_minutes(), settings.code_tries), (10, 5));
    /// assert_eq!(settings.permission.whole_days(), 80);
    /// assert_eq!(settings.address_rest.whole_hours(), 24);
    /// assert_eq!((settings.free_tries, settings.first_delay.whole_seconds()), (5, 30));
    /// assert_eq!(settings.longest_delay.whole_minutes(), 15);
    /// ```
    fn default() -> Self {
        Self {
            session_idle: Duration::minutes(15),
            session_total: Duration::hours(12),
            code_lifetime: Duration::minutes(10),
            code_tries: 5,
            permission: Duration::days(80),
            address_rest: Duration::hours(24),
            free_tries: 5,
            first_delay: Duration::seconds(30),
            longest_delay: Duration::minutes(15),
            deadlines: Deadlines::default(),
        }
    }
}

/// The registration authority. Cheap to clone; every clone is the same one.
#[derive(Clone)]
pub struct Ra {
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) sessions: Arc<dyn Sessions>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) ca: Arc<Ca>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) passwords: Passwords,
    pub(crate) entropy: Entropy,
    pub(crate) settings: Settings,
}

impl fmt::Debug for Ra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ra").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What a change owes outside of storage: the caller ends the connections of these certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "connections of replaced certificates have to be closed"]
pub struct Owed {
    /// SHA-256 of certificates that may do nothing any more.
    pub close: Vec<Fingerprint>,
    /// Whether a mail was planned.
    pub mail: bool,
}

/// Why a use case changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The rules refuse it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// There is no such subject.
    #[error("there is no subject {0}")]
    NoSubject(SubjectId),
    /// Others kept changing the same subject.
    #[error("the subject is being changed by somebody else")]
    Contended,
    /// The key was in a request before.
    #[error("the key {spki} was seen before; make a new one")]
    KeySeen {
        /// SHA-256 of the `SubjectPublicKeyInfo`.
        spki: Fingerprint,
    },
    /// The random source failed.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A decision on a file: the change, and what has to be stored with it.
pub(crate) struct Decided {
    pub(crate) change: Change,
    pub(crate) intent: Option<Intent>,
    pub(crate) certified: Option<Certified>,
    pub(crate) mails: Vec<Mail>,
}

impl From<Change> for Decided {
    fn from(change: Change) -> Self {
        Self { change, intent: None, certified: None, mails: Vec::new() }
    }
}

/// How often a lost race is run again. Each loss means that somebody else's commit went through.
const ATTEMPTS: usize = 16;

impl Ra {
    /// Puts the registration authority together.
    #[expect(clippy::too_many_arguments, reason = "a binary names every part once, here")]
    pub fn new(
        registry: Arc<dyn Registry>,
        sessions: Arc<dyn Sessions>,
        directory: Arc<dyn Directory>,
        ca: Arc<Ca>,
        policy: Arc<Policy>,
        passwords: Passwords,
        entropy: Entropy,
        settings: Settings,
    ) -> Self {
        Self { registry, sessions, directory, ca, policy, passwords, entropy, settings }
    }

    /// The expiry policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The issuing CA.
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// The times in force.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The file of a subject.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn subject(&self, id: &SubjectId) -> Result<Option<Arc<SubjectFile>>, StorageError> {
        self.registry.subject(id).await
    }

    /// The file of the subject that holds this certificate.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn holder(&self, certificate: &Fingerprint) -> Result<Option<Arc<SubjectFile>>, StorageError> {
        self.registry.holder(certificate).await
    }

    /// Certificates that were superseded or revoked after a sequence number, by any process.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn changes(&self, after: u64) -> Result<(u64, Vec<crate::ChangeSeen>), StorageError> {
        self.registry.changes(after).await
    }

    /// Reads a subject's file, decides, commits; again from the start when somebody else was faster.
    pub(crate) async fn change<E: From<ChangeError>>(
        &self,
        id: &SubjectId,
        actor: &Actor,
        now: UtcDateTime,
        decide: impl Fn(&SubjectFile) -> Result<Decided, E>,
    ) -> Result<(Change, Owed), E> {
        for _ in 0..ATTEMPTS {
            let file = self.registry.subject(id).await.map_err(ChangeError::from)?;
            let file = file.ok_or_else(|| ChangeError::NoSubject(id.clone()))?;
            let decided = decide(&file)?;
            if let Some(done) = self.commit(&file, actor, now, decided).await? {
                return Ok(done);
            }
        }
        Err(ChangeError::Contended.into())
    }

    /// Commits a decision made on `file`; `None` when somebody else was faster.
    pub(crate) async fn commit(
        &self,
        file: &SubjectFile,
        actor: &Actor,
        now: UtcDateTime,
        decided: Decided,
    ) -> Result<Option<(Change, Owed)>, ChangeError> {
        let Decided { change, intent, certified, mut mails } = decided;
        if change.facts.is_empty() && mails.is_empty() {
            return Ok(Some((change, Owed::default())));
        }
        mails.extend(self.mails(file, &change).await?);
        let close = change.effects.iter().filter_map(|effect| match effect {
            Effect::CloseCertificate { fingerprint } => Some(*fingerprint),
            _ => None,
        });
        let owed = Owed { close: close.collect(), mail: !mails.is_empty() };
        let wake_at = self.wake_at(&change, now);
        let commit = Commit {
            subject: file.subject.id.clone(),
            version: file.version,
            at: now,
            actor: actor.clone(),
            facts: change.facts.clone(),
            next: change.next.clone(),
            wake_at,
            intent,
            certified,
            mails,
        };
        match self.registry.commit(commit).await {
            Ok(()) => Ok(Some((change, owed))),
            Err(CommitError::Conflict { .. } | CommitError::SerialUsed { .. }) => Ok(None),
            Err(CommitError::KeySeen { spki }) => Err(ChangeError::KeySeen { spki }),
            Err(CommitError::NoSubject(id)) => Err(ChangeError::NoSubject(id)),
            Err(CommitError::Storage(error)) => Err(error.into()),
        }
    }

    /// An owed signature is looked at again at once, everything else at its deadline.
    fn wake_at(&self, change: &Change, now: UtcDateTime) -> Option<UtcDateTime> {
        let open = change.next.open_renewal()?;
        let deadline = open.deadline(&self.settings.deadlines);
        match open.state {
            State::Requested { .. } | State::Intended { .. } => Some(deadline.map_or(now, |at| at.min(now))),
            _ => deadline,
        }
    }

    /// The mails that the effects of a change owe.
    async fn mails(&self, file: &SubjectFile, change: &Change) -> Result<Vec<Mail>, StorageError> {
        let mut mails = Vec::new();
        for effect in &change.effects {
            match *effect {
                Effect::TellIssued { serial } => self.tell_issued(file, change, serial, &mut mails).await?,
                Effect::TellActivated { serial } => {
                    let predecessor = change.facts.iter().find_map(|fact| match fact {
                        Fact::Superseded { serial, .. } => Some(*serial),
                        _ => None,
                    });
                    let notice = Notice::CertificateActivated { serial, predecessor };
                    mails.extend(mail_to(&file.subject, &file.subject, notice, &serial.to_string()));
                }
                Effect::TellRevoked { serial, reason } => {
                    let again =
                        change.facts.iter().any(|fact| matches!(fact, Fact::Abandoned { why: Why::StartedAgain, .. }));
                    let notice =
                        if again { Notice::StartedAgain { serial } } else { Notice::Revoked { serial, reason } };
                    mails.extend(mail_to(&file.subject, &file.subject, notice, &serial.to_string()));
                }
                _ => {}
            }
        }
        Ok(mails)
    }

    /// A renewal is confirmed by its activation; an enrolment is told to holder and administrators at once, because
    /// it is what somebody with a stolen password would do.
    async fn tell_issued(
        &self,
        file: &SubjectFile,
        change: &Change,
        serial: SerialNumber,
        mails: &mut Vec<Mail>,
    ) -> Result<(), StorageError> {
        let enrolment =
            change.next.renewal.as_ref().is_some_and(|renewal| matches!(renewal.basis, Basis::Enrolment { .. }));
        let held = change.next.certificates.iter().find(|held| held.serial == serial);
        let (true, Some(held)) = (enrolment, held) else { return Ok(()) };
        let notice =
            |audience| Notice::CertificateIssued { serial, validity: held.validity, audience, way: Way::Enrolment };
        mails.extend(mail_to(&file.subject, &file.subject, notice(Audience::Holder), &serial.to_string()));
        for other in self.directory.subjects(Some(&file.organization.id)).await? {
            if other.subject.role == Role::Administrator && other.subject.id != file.subject.id {
                let key = format!("{serial} {}", other.subject.id);
                mails.extend(mail_to(&other.subject, &file.subject, notice(Audience::Administrator), &key));
            }
        }
        Ok(())
    }

    pub(crate) fn random<const N: usize>(&self) -> Result<[u8; N], NoEntropy> {
        let mut octets = [0; N];
        (self.entropy)(&mut octets)?;
        Ok(octets)
    }

    pub(crate) fn new_renewal_id(&self) -> Result<RenewalId, NoEntropy> {
        self.random().map(RenewalId::new)
    }
}

/// A mail to `recipient` about `about`, if the recipient has an address.
pub(crate) fn mail_to(recipient: &Subject, about: &Subject, notice: Notice, key: &str) -> Option<Mail> {
    let address = recipient.address.clone()?;
    Some(Mail::new(notice, key, address, recipient.language, about.id.clone()))
}

/// Milliseconds since 1970.
pub(crate) fn millis(at: UtcDateTime) -> i64 {
    at.unix_timestamp() * 1000 + i64::from(at.millisecond())
}
