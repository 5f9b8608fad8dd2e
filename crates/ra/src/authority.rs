//! The registration authority itself, and what all its use cases share.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use koshin_expiry::{ClockDoubt, Policy};
use koshin_issuance::{Gate, IssuerCertificate};
use koshin_notify::Tasks;
use koshin_renewal::{Deadlines, Refused};
use koshin_types::{Fingerprint, ProtectionLevel, RenewalId, SerialNumber, SubjectId};
use time::{Duration, UtcDateTime};

use crate::{
    Administration, Agents, ByRole, ClockWatch, Directory, Issuing, Passwords, Patience, Registry, Sessions,
    StorageError, SubjectFile, dealings::Dealings, room::Room,
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
    /// Wrong passwords that are free of delay: 5. Each further one doubles the wait. On the public host everything that
    /// is begun or entered for an ID counts, until a right code.
    pub free_tries: u32,
    /// The first wait: 30 seconds.
    pub first_delay: Duration,
    /// The longest wait: 15 minutes.
    pub longest_delay: Duration,
    /// The times of a renewal.
    pub deadlines: Deadlines,
    /// Whether holders obtain certificates with an agent: whoever wants to.
    pub agents: ByRole<Agents>,
    /// The least protection that a key may have, as its holder's agent claims it: any.
    pub minimum_protection: ByRole<ProtectionLevel>,
    /// How long a ticket for an agent is good for, and an exchange after it was opened: 10 minutes each.
    pub agent_time: Duration,
    /// Wrong digits until an exchange is void: 3.
    pub agent_tries: u8,
}

impl Settings {
    /// How tries of passwords and codes are slowed down.
    pub const fn patience(&self) -> Patience {
        Patience { free: self.free_tries, first: self.first_delay, longest: self.longest_delay }
    }
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
    /// assert_eq!((settings.agent_time.whole_minutes(), settings.agent_tries), (10, 3));
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
            agents: ByRole::all(Agents::Offered),
            minimum_protection: ByRole::all(ProtectionLevel::File),
            agent_time: Duration::minutes(10),
            agent_tries: 3,
        }
    }
}

/// The registration authority. Cheap to clone; every clone is the same one.
#[derive(Clone)]
pub struct Ra {
    /// What needs neither sessions nor a CA.
    pub(crate) desk: Administration,
    pub(crate) sessions: Arc<dyn Sessions>,
    pub(crate) issuing: Issuing,
    /// It is another one after a list of blocked keys was read again.
    pub(crate) gate: Arc<RwLock<Arc<Gate>>>,
    /// Where large requests wait for the gate.
    pub(crate) requests: Room,
    pub(crate) policy: Arc<Policy>,
    pub(crate) dealings: Arc<Dealings>,
    /// `None` where nobody is shown what did not arrive.
    pub(crate) tasks: Option<Arc<dyn Tasks>>,
}

impl fmt::Debug for Ra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ra").field("settings", &self.desk.settings).finish_non_exhaustive()
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
    /// The certificate's serial number stands revoked, from before the registry was put back.
    #[error("the serial number {serial} was revoked before the registry was put back")]
    SerialRevoked {
        /// The serial number.
        serial: SerialNumber,
    },
    /// The certificate's key came from a program: it takes a sign-in with password to activate it.
    #[error("the certificate is activated by a sign-in with password")]
    PasswordNeeded,
    /// The clock is not believed, so nothing is done that cannot be undone.
    #[error(transparent)]
    Clock(#[from] ClockDoubt),
    /// The random source failed.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Ra {
    /// How many requests with large RSA keys are checked at once: each costs up to some tenths of a second.
    pub const LARGE_REQUESTS_AT_ONCE: usize = 2;
    /// How many may be checked or wait for it.
    pub const LARGE_REQUESTS: usize = 32;
    /// How many changes are read at once, at most.
    pub const CHANGES_AT_ONCE: u32 = 500;

    /// Puts the registration authority together. Certificates come from a CA in this process (an `Arc<Ca>` or a
    /// [`LocalAuthority`](crate::LocalAuthority)), or from one elsewhere, in which case no key of a CA is needed here.
    #[expect(clippy::too_many_arguments, reason = "a binary names every part once, here")]
    pub fn new(
        registry: Arc<dyn Registry>,
        sessions: Arc<dyn Sessions>,
        directory: Arc<dyn Directory>,
        issuing: impl Into<Issuing>,
        gate: Arc<Gate>,
        policy: Arc<Policy>,
        passwords: Passwords,
        entropy: Entropy,
        settings: Settings,
    ) -> Self {
        let desk = Administration::new(registry, directory, passwords, entropy, settings);
        let requests = Room::new(Self::LARGE_REQUESTS_AT_ONCE, Self::LARGE_REQUESTS);
        let gate = Arc::new(RwLock::new(gate));
        Self { desk, sessions, issuing: issuing.into(), gate, requests, policy, dealings: Arc::default(), tasks: None }
    }

    /// Does nothing that cannot be undone while this watch doubts the clock (I-41, I-44). Without a watch the instants of
    /// the callers are believed, as in rehearsals.
    #[must_use]
    pub fn watched_by(self, clock: Arc<ClockWatch>) -> Self {
        Self { desk: Administration { clock: Some(clock), ..self.desk }, ..self }
    }

    /// The operator's work on the same storage.
    pub const fn administration(&self) -> &Administration {
        &self.desk
    }

    /// What requests have to pass.
    pub fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on requests have to pass another gate, for every clone of this one. What passed before goes on.
    pub fn set_gate(&self, gate: impl Into<Arc<Gate>>) {
        *self.gate.write().unwrap_or_else(PoisonError::into_inner) = gate.into();
    }

    /// The expiry policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The issuing CA's certificate, wherever its key is.
    pub fn ca(&self) -> &IssuerCertificate {
        self.issuing.issuer()
    }

    /// The times in force.
    pub const fn settings(&self) -> &Settings {
        &self.desk.settings
    }

    /// The file of a subject.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn subject(&self, id: &SubjectId) -> Result<Option<Arc<SubjectFile>>, StorageError> {
        self.desk.registry.subject(id).await
    }

    /// The file of the subject that holds this certificate.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn holder(&self, certificate: &Fingerprint) -> Result<Option<Arc<SubjectFile>>, StorageError> {
        self.desk.registry.holder(certificate).await
    }

    /// The file of the subject whose renewal this is, by the renewal's identifier alone.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn renewal_file(&self, id: &RenewalId) -> Result<Option<Arc<SubjectFile>>, StorageError> {
        match self.desk.registry.renewal(id).await? {
            Some(subject) => self.desk.registry.subject(&subject).await,
            None => Ok(None),
        }
    }

    /// Whether a renewal is, or was, this subject's. One question to storage, whoever's it is.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn is_renewal_of(&self, subject: &SubjectId, id: &RenewalId) -> Result<bool, StorageError> {
        Ok(self.desk.registry.renewal(id).await?.is_some_and(|whose| whose == *subject))
    }

    /// Certificates that were superseded or revoked after a sequence number, by any process: one page, with the sequence
    /// number to ask after the next time. When the page has less than [`Ra::CHANGES_AT_ONCE`] there is no more.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn changes(&self, after: u64) -> Result<(u64, Vec<crate::ChangeSeen>), StorageError> {
        self.desk.registry.changes(after, Self::CHANGES_AT_ONCE).await
    }
}

/// Milliseconds since 1970.
pub(crate) fn millis(at: UtcDateTime) -> i64 {
    at.unix_timestamp() * 1000 + i64::from(at.millisecond())
}
